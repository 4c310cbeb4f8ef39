/* SPDX-License-Identifier: MIT
 * faults_test.c: a closed store is damaged, one byte or one file at a time; the disk fills up; the
 * power goes at every call of a script. Never a wrong value, never a silent loss. */
#include "support/write_fixture.h"

#include "format/names.h"

/* ---- A small store with a bit of everything ------------------------------------------------- */

struct expectation {
    const char *key, *value; /* NULL: deleted */
};

static const struct expectation KEYS[] = {
    {"merged-1", "one"},  {"merged-2", "two"},    {"sealed-1", "three"}, {"sealed-2", "new"},
    {"deleted", NULL},    {"batch0", "batch0"},   {"batch1", "batch1"},  {"active-1", "four"},
    {"active-2", "five"}, {"deleted-late", NULL}, {"ttl", "expires"},
};

static void build_small_store(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put(f, "merged-1", "one");
    put(f, "merged-2", "two");
    put(f, "garbage", "x");
    delete_key(f, "garbage");
    assert_status(f, OK, merge_all(f));
    put(f, "sealed-1", "three");
    put(f, "sealed-2", "old");
    put(f, "deleted", "x");
    delete_key(f, "deleted");
    put_batch(f, "batch", 2);
    rotate(f);
    put(f, "sealed-2", "new");
    put(f, "active-1", "four");
    put(f, "active-2", "five");
    put(f, "deleted-late", "x");
    delete_key(f, "deleted-late");
    assert_status(f, OK, put_until(f, "ttl", "expires", f->os->clock_real(f->os) + 3600000000ull));
    close_store(f);
}

/* Damage and what was lost are warnings; a cache that was made anew is told as well. */
static bool reported_at_open(const struct fixture *f)
{
    for (size_t i = 0; i < f->event_count; i++)
        if (f->events[i].level >= BITCASK_LOG_WARN)
            return true;
    return count_events(f, "hint_rebuilt") > 0;
}

/* Look at all keys of a store that was damaged. `lost_allowed`: what only a scan could find may be
 * missing, as long as that is reported. */
static void check_damaged(struct fixture *f, const char *what, bool lost_allowed, bool must_report)
{
    bool reported = reported_at_open(f);
    int lost = 0, corrupt = 0;
    for (size_t i = 0; i < ARRAY_SIZE(KEYS); i++) {
        bitcask_buffer found = {0};
        bitcask_status status = read_key(f, KEYS[i].key, &found);
        bool same = status == BITCASK_OK && KEYS[i].value != NULL &&
                    found.size == strlen(KEYS[i].value) &&
                    memcmp(found.data, KEYS[i].value, found.size) == 0;
        bool old = status == BITCASK_OK && found.size == 3 && memcmp(found.data, "old", 3) == 0 &&
                   strcmp(KEYS[i].key, "sealed-2") == 0;
        bool gone = KEYS[i].value == NULL && status == BITCASK_NOT_FOUND;
        bool older = old || (KEYS[i].value == NULL && status == BITCASK_OK);
        if (lost_allowed && ((KEYS[i].value != NULL && status == BITCASK_NOT_FOUND) || older))
            lost++;
        else if (!same && !gone && status != BITCASK_CORRUPT)
            fail_msg("%s: '%s' is %s '%.*s'", what, KEYS[i].key, bitcask_status_name(status),
                     (int)found.size, found.data != NULL ? (char *)found.data : "");
        corrupt += status == BITCASK_CORRUPT;
        bitcask_buffer_free(&found);
    }
    bitcask_status verified = bitcask_verify(f->db, NULL, NULL, &f->error);
    if (verified != BITCASK_CORRUPT && !reported && (must_report || lost > 0 || corrupt > 0))
        fail_msg("%s: nobody reports it (verify: %s, %d keys lost)", what,
                 bitcask_status_name(verified), lost);
}

/* Flip one bit of each byte of each file, one at a time. */
static void flip_each_byte(bool hints)
{
    struct fixture f;
    build_small_store(&f);
    if (!hints)
        delete_hints(&f);
    struct disk_image *image = save_disk(&f);
    size_t count;
    char **names = list_files(&f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        bool means_something = strstr(names[i], ".data") != NULL ||
                               strstr(names[i], ".hint") != NULL ||
                               strcmp(names[i], NAME_MANIFEST) == 0;
        if (!means_something) /* the lock file is advice, the reserve ballast */
            continue;
        size_t size;
        unsigned char *data = read_whole(&f, names[i], &size);
        free(data);
        for (size_t at = 0; at < size; at++) {
            char what[64];
            snprintf(what, sizeof what, "%s byte %zu", names[i], at);
            restore_disk(&f, image);
            data = read_whole(&f, names[i], &size);
            data[at] ^= (unsigned char)(1u << (at % 8));
            write_whole(&f, names[i], data, size);
            free(data);
            bitcask_status status = try_open(&f);
            if (status != BITCASK_OK)
                fail_msg("%s: open gave %s: %s", what, bitcask_status_name(status),
                         f.error.message);
            check_damaged(&f, what, !hints, true);
            abandon(&f);
        }
    }
    free_list(names, count);
    free_disk(image);
    fixture_release(&f);
}

static void a_flipped_bit_anywhere_is_found_and_never_a_wrong_value(void **state)
{
    (void)state;
    flip_each_byte(true);
}

static void a_flipped_bit_in_a_store_without_hints_is_reported(void **state)
{
    (void)state;
    flip_each_byte(false);
}

/* Any one file is deleted or cut short: the same contents, or a report and the rest. */
static void any_one_file_may_be_deleted_or_truncated(void **state)
{
    (void)state;
    struct fixture f;
    build_small_store(&f);
    struct disk_image *image = save_disk(&f);
    size_t count;
    char **names = list_files(&f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        bool data = strstr(names[i], ".data") != NULL;
        size_t size = file_size(&f, names[i]);
        for (size_t part = 0; part <= 8; part++) {
            restore_disk(&f, image);
            char what[64];
            snprintf(what, sizeof what, "%s part %zu", names[i], part);
            if (part == 8)
                delete_file(&f, names[i]);
            else
                truncate_file(&f, names[i], size * part / 8);
            bitcask_status status = try_open(&f);
            if (status != BITCASK_OK)
                fail_msg("%s: open gave %s: %s", what, bitcask_status_name(status),
                         f.error.message);
            if (data)
                check_damaged(&f, what, true, false);
            else
                for (size_t k = 0; k < ARRAY_SIZE(KEYS); k++)
                    if (KEYS[k].value != NULL)
                        check_value(&f, KEYS[k].key, KEYS[k].value);
                    else
                        check_missing(&f, KEYS[k].key);
            abandon(&f);
        }
    }
    free_list(names, count);
    free_disk(image);
    fixture_release(&f);
}

static void hints_and_manifest_may_all_be_lost(void **state)
{
    (void)state;
    for (int manifest = 0; manifest < 2; manifest++) {
        struct fixture f;
        build_small_store(&f);
        delete_hints(&f);
        if (manifest)
            delete_file(&f, NAME_MANIFEST);
        open_store(&f);
        for (size_t k = 0; k < ARRAY_SIZE(KEYS); k++)
            if (KEYS[k].value != NULL)
                check_value(&f, KEYS[k].key, KEYS[k].value);
            else
                check_missing(&f, KEYS[k].key);
        assert_same_after_reopening(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

/* ---- The power goes at every call ----------------------------------------------------------- */

/* One operation of a script, and what it does to the model. */
enum step { PUT_A, PUT_B, DELETE_A, BATCH, ROTATE, MERGE, SYNC, REOPEN, STEP_COUNT };

struct model {
    char value[4][16]; /* of a, b, batch0, batch1; "" is absent */
};

static const char *const MODEL_KEYS[4] = {"a", "b", "batch0", "batch1"};

/* Do one step; *durable: all before and with it is durable if it is done. */
static bitcask_status do_step(struct fixture *f, enum step step, int serial, struct model *model,
                              bool *durable)
{
    char value[16];
    snprintf(value, sizeof value, "v%d", serial);
    bitcask_status status = BITCASK_OK;
    *durable = false;
    switch (step) {
    case PUT_A:
        status = put_sync(f, "a", value, BITCASK_SYNC_ALWAYS);
        strcpy(model->value[0], value);
        *durable = true;
        break;
    case PUT_B:
        status = put_sync(f, "b", value, BITCASK_SYNC_NONE);
        strcpy(model->value[1], value);
        break;
    case DELETE_A:
        status = bitcask_delete(f->db, bitcask_str("a"), NULL, NULL, &f->error);
        if (status == BITCASK_NOT_FOUND)
            status = BITCASK_OK;
        model->value[0][0] = '\0';
        break;
    case BATCH: {
        struct write_op ops[] = {op_put("batch0", value, 0), op_put("batch1", value, 0)};
        status = write_batch(f, ops, 2);
        strcpy(model->value[2], value);
        strcpy(model->value[3], value);
        break;
    }
    case ROTATE:
        write_mutex_lock(&f->store->write_mutex);
        status = log_rotate(f->store, &f->error);
        write_mutex_unlock(&f->store->write_mutex);
        if (status == BITCASK_OK)
            status = seal_waiting(f->store, &f->error);
        break;
    case MERGE:
        status = merge_all(f);
        break;
    case SYNC:
        status = bitcask_sync_now(f->db, &f->error);
        *durable = true;
        break;
    case REOPEN: {
        struct store *store = f->store;
        f->store = NULL;
        f->db = NULL;
        status = store_close(store, &f->error);
        *durable = true;
        if (status == BITCASK_OK)
            status = try_open(f);
        break;
    }
    case STEP_COUNT:
        break;
    }
    return status;
}

static bool is_model(struct fixture *f, const struct model *model)
{
    for (size_t i = 0; i < 4; i++) {
        bool absent = model->value[i][0] == '\0';
        if (absent ? status_of(f, MODEL_KEYS[i]) != BITCASK_NOT_FOUND
                   : !reads_as(f, MODEL_KEYS[i], model->value[i]))
            return false;
    }
    return true;
}

static int pull_the_plug(void *context, enum os_mem_call call)
{
    (void)call;
    uint64_t *left = context;
    return (*left)-- == 1;
}

/* Run a script; the power goes at call `nth` of it (and at call `again` of the recovery). What is
 * there then is the state after some step, not before the last durable one. Returns whether the
 * call came. */
static bool run_script(const enum step *steps, int count, uint64_t nth, uint64_t again)
{
    struct fixture f;
    struct model states[8] = {0};
    fixture_init(&f);
    f.options.log = NULL;
    open_store(&f);
    int first = 0, done = 0;
    uint64_t left = nth;
    os_mem_hook(f.os, DISK_CALLS, pull_the_plug, &left);
    for (; done < count; done++) {
        bool durable;
        states[done + 1] = states[done];
        bitcask_status status = do_step(&f, steps[done], done, &states[done + 1], &durable);
        if (status != BITCASK_OK)
            break;
        if (durable)
            first = done + 1;
    }
    int last = done < count ? done + 1 : done;
    os_mem_hook(f.os, 0, NULL, NULL);
    bool came = left == 0 || left > nth;
    os_mem_crash(f.os);
    if (f.store != NULL)
        abandon(&f);
    if (again != 0) {
        left = again;
        os_mem_hook(f.os, DISK_CALLS, pull_the_plug, &left);
        bitcask_status opened = try_open(&f);
        os_mem_hook(f.os, 0, NULL, NULL);
        os_mem_crash(f.os);
        if (opened == BITCASK_OK)
            abandon(&f);
    }
    open_store(&f);
    bool found = false;
    for (int i = first; i <= last && !found; i++)
        found = is_model(&f, &states[i]);
    if (!found) {
        char *text = dump_store(&f);
        fail_msg("steps %d %d %d %d, crash at call %d, again at %d: not a state between %d and %d: "
                 "%s",
                 steps[0], count > 1 ? (int)steps[1] : -1, count > 2 ? (int)steps[2] : -1,
                 count > 3 ? (int)steps[3] : -1, (int)nth, (int)again, first, last, text);
    }
    assert_sound(&f);
    put(&f, "new", "x");
    fixture_release(&f);
    return came;
}

static void the_power_may_go_at_any_call_of_any_three_operations(void **state)
{
    (void)state;
    /* Each script begins with a synced and an unsynced put, so that there is something to lose. */
    for (int code = 0; code < STEP_COUNT * STEP_COUNT * STEP_COUNT; code++) {
        enum step steps[] = {PUT_A, PUT_B, (enum step)(code % STEP_COUNT),
                             (enum step)(code / STEP_COUNT % STEP_COUNT),
                             (enum step)(code / STEP_COUNT / STEP_COUNT)};
        uint64_t nth = 1 + (uint64_t)code % 9; /* all calls of all scripts would take minutes */
        uint64_t stride = getenv("BITCASK_TEST_LONG") != NULL ? 1 : 9;
        while (run_script(steps, 5, nth, 0))
            nth += stride;
    }
}

static void the_power_may_go_again_during_recovery(void **state)
{
    (void)state;
    static const enum step scripts[][5] = {
        {PUT_A, PUT_B, ROTATE, DELETE_A, MERGE},
        {PUT_A, BATCH, REOPEN, BATCH, ROTATE},
        {PUT_A, REOPEN, DELETE_A, SYNC, REOPEN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        bool came = true;
        for (uint64_t nth = 1; came; nth += 3) {
            for (uint64_t again = 1 + nth % 2; again < 40; again += 2)
                came = run_script(scripts[i], 5, nth, again);
        }
    }
}

/* ---- A full disk ---------------------------------------------------------------------------- */

static uint64_t used_bytes(struct fixture *f)
{
    uint64_t used = 0;
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], NAME_QUARANTINE) != 0)
            used += file_size(f, names[i]);
    free_list(names, count);
    return used;
}

static void a_full_disk_is_a_clear_error_and_reads_deletes_and_merge_go_on(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++) {
        struct fixture f;
        fixture_init(&f);
        open_way(&f, (enum way)way);
        os_mem_set_capacity(f.os, used_bytes(&f) + (512 << 10));
        int count = 0;
        bitcask_status status = BITCASK_OK;
        char key[16], value[1001];
        memset(value, 'v', 1000);
        value[1000] = '\0';
        while (status == BITCASK_OK) {
            snprintf(key, sizeof key, "k%d", count);
            status = bitcask_put(f.db, bitcask_str(key), bitcask_str(value), NULL, NULL, &f.error);
            count += status == BITCASK_OK;
            assert_true(count < 1000);
        }
        assert_int_equal(status, BITCASK_NO_SPACE);
        assert_true(count > 200);
        for (int i = 0; i < count; i++) { /* reads go on */
            snprintf(key, sizeof key, "k%d", i);
            check_value(&f, key, value);
        }
        for (int i = 0; i < 100; i++) { /* it stays an error and does no harm */
            snprintf(key, sizeof key, "more%d", i);
            status = bitcask_put(f.db, bitcask_str(key), bitcask_str(value), NULL, NULL, &f.error);
            if (status != BITCASK_OK)
                check_missing(&f, key);
            else
                delete_key(&f, key);
        }
        for (int i = 0; i < count; i += 2) { /* deletes are possible */
            snprintf(key, sizeof key, "k%d", i);
            delete_key(&f, key);
        }
        status = merge_all(&f); /* and so is giving space back */
        bitcask_status again = merge_all(&f);
        if (again != BITCASK_OK && status != BITCASK_OK)
            fail_msg("merge: %s", f.error.message);
        for (int i = 0; i < 20; i++) { /* there is room again */
            snprintf(key, sizeof key, "new%d", i);
            put(&f, key, value);
        }
        for (int i = 0; i < count; i++) {
            snprintf(key, sizeof key, "k%d", i);
            if (i % 2 == 0)
                check_missing(&f, key);
            else
                check_value(&f, key, value);
        }
        assert_same_after_reopening(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

static void writes_resume_when_room_returns(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put(&f, "first", "1");
        for (uint64_t room = 0; room < (300 << 10); room += 7777) {
            os_mem_set_capacity(f.os, used_bytes(&f) + room);
            char key[32], value[5001];
            memset(value, 'v', 5000);
            value[5000] = '\0';
            bitcask_status status = BITCASK_OK;
            for (int i = 0; i < 200 && status == BITCASK_OK; i++) {
                snprintf(key, sizeof key, "k%llu-%d", (unsigned long long)room, i);
                status =
                    put_sync(&f, key, value, durable ? BITCASK_SYNC_ALWAYS : BITCASK_SYNC_NONE);
                if (status == BITCASK_OK)
                    check_value(&f, key, value);
            }
            assert_int_equal(status, BITCASK_NO_SPACE);
            check_missing(&f, key);
            os_mem_set_capacity(f.os, 0);
            put(&f, "resumed", "x");
        }
        check_value(&f, "first", "1");
        assert_same_after_reopening(&f);
        assert_sound(&f);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_anywhere_is_found_and_never_a_wrong_value),
        cmocka_unit_test(a_flipped_bit_in_a_store_without_hints_is_reported),
        cmocka_unit_test(any_one_file_may_be_deleted_or_truncated),
        cmocka_unit_test(hints_and_manifest_may_all_be_lost),
        cmocka_unit_test(the_power_may_go_at_any_call_of_any_three_operations),
        cmocka_unit_test(the_power_may_go_again_during_recovery),
        cmocka_unit_test(a_full_disk_is_a_clear_error_and_reads_deletes_and_merge_go_on),
        cmocka_unit_test(writes_resume_when_room_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
