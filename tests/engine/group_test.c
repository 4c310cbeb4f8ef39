/* SPDX-License-Identifier: MIT
 * group_test.c: conditions, groups and batches; what fails leaves no trace. Invariants W1 to W6. */
#include "support/write_fixture.h"

#include <pthread.h>

/* ---- Conditions ----------------------------------------------------------------------------- */

static void conditions_on_an_absent_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    assert_status(&f, NOT_FOUND, put_if(&f, "k", "v", BITCASK_IF_PRESENT, 0));
    assert_status(&f, NOT_FOUND, put_if(&f, "k", "v", BITCASK_IF_VERSION, 7));
    assert_status(&f, NOT_FOUND, delete_if(&f, "k", 7));
    assert_status(&f, NOT_FOUND, bitcask_delete(f.db, bitcask_str("k"), NULL, NULL, &f.error));
    assert_int_equal(stats_of(&f).bytes_written, 0);
    assert_status(&f, OK, put_if(&f, "k", "v", BITCASK_IF_ABSENT, 0));
    check_value(&f, "k", "v");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void conditions_on_a_present_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    put(&f, "k", "old");
    uint64_t version = meta_of(&f, "k").version, written = stats_of(&f).bytes_written;
    assert_status(&f, EXISTS, put_if(&f, "k", "v", BITCASK_IF_ABSENT, 0));
    assert_status(&f, CONFLICT, put_if(&f, "k", "v", BITCASK_IF_VERSION, version + 1));
    assert_status(&f, CONFLICT, delete_if(&f, "k", version - 1));
    assert_int_equal(stats_of(&f).bytes_written, written);
    check_value(&f, "k", "old");
    assert_status(&f, OK, put_if(&f, "k", "new", BITCASK_IF_VERSION, version));
    check_value(&f, "k", "new");
    assert_true(meta_of(&f, "k").version > version);
    assert_status(&f, OK, put_if(&f, "k", "newer", BITCASK_IF_PRESENT, 0));
    assert_status(&f, OK, delete_if(&f, "k", meta_of(&f, "k").version));
    check_missing(&f, "k");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void an_expired_key_counts_as_absent(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_status(&f, OK, put_until(&f, key, "old", f.os->clock_real(f.os) + 1000000));
    }
    uint64_t version = meta_of(&f, "k1").version;
    os_mem_advance_clock(f.os, 2000000);
    assert_status(&f, NOT_FOUND, put_if(&f, "k0", "v", BITCASK_IF_PRESENT, 0));
    assert_status(&f, NOT_FOUND, put_if(&f, "k1", "v", BITCASK_IF_VERSION, version));
    assert_status(&f, NOT_FOUND, bitcask_delete(f.db, bitcask_str("k2"), NULL, NULL, &f.error));
    assert_status(&f, NOT_FOUND, bitcask_expire(f.db, bitcask_str("k2"), NULL, NULL, &f.error));
    assert_status(&f, OK, put_if(&f, "k3", "v", BITCASK_IF_ABSENT | BITCASK_KEEP_TTL, 0));
    assert_int_equal(meta_of(&f, "k3").expires_us, 0);
    check_missing(&f, "k4");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void keep_ttl_keeps_the_expiry_of_a_live_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    uint64_t expires_us = f.os->clock_real(f.os) + 1000000;
    assert_status(&f, OK, put_until(&f, "k", "old", expires_us));
    assert_status(&f, OK, put_if(&f, "k", "new", BITCASK_KEEP_TTL, 0));
    check_value(&f, "k", "new");
    assert_int_equal(meta_of(&f, "k").expires_us, expires_us);
    put(&f, "k", "plain");
    assert_int_equal(meta_of(&f, "k").expires_us, 0);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* A flipped bit in the header of the present record must not make a condition lie. */
static void a_condition_on_a_damaged_record_is_an_error(void **state)
{
    (void)state;
    for (uint64_t byte = 0; byte < 20; byte++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put(&f, "key", "value");
        uint64_t version = meta_of(&f, "key").version;
        struct segment *active = active_segment(&f);
        active->writable[SEGMENT_HEADER_SIZE + byte] ^= 1u << (byte % 8);
        assert_status(&f, CORRUPT, put_if(&f, "key", "new", BITCASK_IF_ABSENT, 0));
        assert_status(&f, CORRUPT, put_if(&f, "key", "new", BITCASK_IF_PRESENT, 0));
        assert_status(&f, CORRUPT, put_if(&f, "key", "new", BITCASK_IF_VERSION, version));
        assert_status(&f, CORRUPT, put_if(&f, "key", "new", BITCASK_KEEP_TTL, 0));
        assert_status(&f, CORRUPT, bitcask_expire(f.db, bitcask_str("key"), NULL, NULL, &f.error));
        /* Whatever the record says of itself, a delete writes its tombstone. */
        assert_status(&f, OK, bitcask_delete(f.db, bitcask_str("key"), NULL, NULL, &f.error));
        put(&f, "key", "new");
        check_value(&f, "key", "new");
        fixture_release(&f);
    }
}

/* ---- Several requests in one group ---------------------------------------------------------- */

static void two_compare_and_sets_in_one_group_exactly_one_wins(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put(&f, "k", "old");
        struct write_op ops[] = {op_put("k", "one", BITCASK_IF_VERSION),
                                 op_put("k", "two", BITCASK_IF_VERSION)};
        ops[0].if_version = ops[1].if_version = meta_of(&f, "k").version;
        struct write_request requests[] = {{.ops = &ops[0], .op_count = 1, .durable = durable},
                                           {.ops = &ops[1], .op_count = 1}};
        write_together(&f, requests, 2);
        assert_int_equal(requests[0].status, BITCASK_OK);
        assert_int_equal(requests[1].status, BITCASK_CONFLICT);
        check_value(&f, "k", "one");
        assert_same_after_reopening(&f);
        fixture_release(&f);
    }
}

static void two_if_absent_puts_in_one_group_exactly_one_wins(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    struct write_op ops[] = {op_put("k", "one", BITCASK_IF_ABSENT),
                             op_put("k", "two", BITCASK_IF_ABSENT), op_delete("k"),
                             op_put("k", "three", BITCASK_IF_ABSENT), op_delete("other")};
    struct write_request requests[5];
    for (size_t i = 0; i < 5; i++)
        requests[i] = (struct write_request){.ops = &ops[i], .op_count = 1};
    write_together(&f, requests, 5);
    assert_int_equal(requests[0].status, BITCASK_OK);
    assert_int_equal(requests[1].status, BITCASK_EXISTS);
    assert_int_equal(requests[2].status, BITCASK_OK);
    assert_int_equal(requests[3].status, BITCASK_OK);
    assert_int_equal(requests[4].status, BITCASK_NOT_FOUND);
    check_value(&f, "k", "three");
    assert_int_equal(stats_of(&f).keys, 1);
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

static void a_request_that_fails_leaves_the_group_as_if_it_were_not_there(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    struct write_op batch[] = {op_put("a", "1", 0), op_delete("b"),
                               op_put("c", "no", BITCASK_IF_PRESENT)};
    struct write_op first = op_put("b", "kept", 0), last = op_put("a", "new", BITCASK_IF_ABSENT);
    /* A batch skips what is not there, so let a single-op condition fail between two others. */
    struct write_request requests[] = {{.ops = &first, .op_count = 1},
                                       {.ops = &batch[2], .op_count = 1},
                                       {.ops = batch, .op_count = 1},
                                       {.ops = &last, .op_count = 1}};
    write_together(&f, requests, 4);
    assert_int_equal(requests[1].status, BITCASK_NOT_FOUND);
    assert_int_equal(requests[2].status, BITCASK_OK);
    assert_int_equal(requests[3].status, BITCASK_EXISTS);
    check_value(&f, "a", "1");
    check_value(&f, "b", "kept");
    check_missing(&f, "c");
    assert_same_after_reopening(&f);
    fixture_release(&f);
}

/* ---- Batches -------------------------------------------------------------------------------- */

static void run_batch_case(const char *before, struct write_op *ops, size_t count,
                           const char *after, uint64_t records)
{
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    if (before != NULL)
        put(&f, "K", before);
    uint64_t had = before != NULL;
    assert_status(&f, OK, write_batch(&f, ops, count));
    if (after != NULL)
        check_value(&f, "K", after);
    else
        check_missing(&f, "K");
    assert_int_equal(active_segment(&f)->records, had + records);
    assert_int_equal(stats_of(&f).keys, after != NULL);
    assert_same_after_reopening(&f);
    if (after != NULL)
        check_value(&f, "K", after);
    else
        check_missing(&f, "K");
    assert_sound(&f);
    fixture_release(&f);
}

static void a_batch_that_puts_and_deletes_a_key_writes_its_tombstone(void **state)
{
    (void)state;
    struct write_op ops[] = {op_put("K", "a", 0), op_delete("K")};
    run_batch_case(NULL, ops, 2, NULL, 2);
    run_batch_case("old", ops, 2, NULL, 2);
}

static void a_batch_that_deletes_and_puts_a_key_leaves_it(void **state)
{
    (void)state;
    struct write_op ops[] = {op_delete("K"), op_put("K", "a", 0)};
    run_batch_case(NULL, ops, 2, "a", 1); /* there was nothing to delete */
    run_batch_case("old", ops, 2, "a", 2);
}

static void the_last_of_several_puts_of_a_key_in_a_batch_stays(void **state)
{
    (void)state;
    struct write_op ops[] = {op_put("K", "a", 0), op_put("K", "b", 0), op_delete("K"),
                             op_delete("K"), op_put("K", "c", 0)};
    run_batch_case(NULL, ops, 2, "b", 2);
    run_batch_case("old", ops, 2, "b", 2);
    run_batch_case(NULL, ops, 5, "c", 4);
    run_batch_case("old", ops, 5, "c", 4);
}

/* So long a batch looks ahead: none of its keys is in the index then, and one is, as it goes on. */
static void a_key_may_come_again_far_behind_in_a_batch(void **state)
{
    (void)state;
    enum { KEYS = 20 };
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    char names[KEYS][8];
    struct write_op first[2 * KEYS], second[KEYS];
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        first[i] = op_put(names[i], "a", BITCASK_IF_ABSENT);
        first[KEYS + i] = op_put(names[i], "b", BITCASK_IF_PRESENT);
        second[i] = op_put(names[i], "c", BITCASK_IF_PRESENT);
    }
    struct write_request requests[2] = {
        {.ops = first, .op_count = 2 * KEYS, .batch = true, .error = &f.error},
        {.ops = second, .op_count = KEYS, .batch = true, .error = &f.error}};
    write_together(&f, requests, 2);
    assert_status(&f, OK, requests[0].status);
    assert_status(&f, OK, requests[1].status);
    assert_int_equal(active_segment(&f)->records, 3 * KEYS);
    assert_int_equal(stats_of(&f).keys, KEYS);
    for (int i = 0; i < KEYS; i++)
        check_value(&f, names[i], "c");
    assert_same_after_reopening(&f);
    assert_sound(&f);
    fixture_release(&f);
}

static void a_batch_of_deletes_of_absent_keys_writes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    struct write_op ops[] = {op_delete("a"), op_delete("b")};
    assert_status(&f, OK, write_batch(&f, ops, 2));
    assert_int_equal(stats_of(&f).bytes_written, 0);
    fixture_release(&f);
}

/* ---- Visible only when durable (W4) --------------------------------------------------------- */

struct watch {
    struct fixture *f;
    int seen;
    pthread_t thread;
};

static int look_at_the_key(void *context, enum os_mem_call call)
{
    (void)call;
    struct watch *watch = context;
    bitcask_buffer found = {0};
    if (watch->f->db != NULL && atomic_load(&watch->f->store->writer.active) != NULL) {
        watch->seen++;
        assert_int_equal(read_key(watch->f, "k", &found), BITCASK_OK);
        assert_memory_equal(found.data, "old", 3);
        bitcask_buffer_free(&found);
    }
    return 0;
}

static void an_always_put_is_not_visible_before_it_is_durable(void **state)
{
    (void)state;
    for (int unsynced = 0; unsynced < 2; unsynced++) { /* one write with DSYNC, or fdatasync */
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_durably(&f, "k", "old");
        if (unsynced)
            put(&f, "other", "x");
        struct watch watch = {.f = &f};
        os_mem_hook(f.os, SYNC_CALLS | 1u << OS_CALL_PWRITE, look_at_the_key, &watch);
        put_durably(&f, "k", "new");
        os_mem_hook(f.os, 0, NULL, NULL);
        assert_true(watch.seen > 0);
        check_value(&f, "k", "new");
        crash(&f);
        open_store(&f);
        check_value(&f, "k", "new");
        fixture_release(&f);
    }
}

static void *put_meanwhile(void *context)
{
    struct watch *watch = context;
    bitcask_error error;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = BITCASK_SYNC_NONE;
    bitcask_status status =
        bitcask_put(watch->f->db, bitcask_str("k"), bitcask_str("later"), &options, NULL, &error);
    return status == BITCASK_OK ? watch : NULL;
}

static int start_a_put(void *context, enum os_mem_call call)
{
    (void)call;
    struct watch *watch = context;
    if (watch->seen++ == 0) {
        assert_int_equal(pthread_create(&watch->thread, NULL, put_meanwhile, watch), 0);
        while (atomic_load(&watch->f->store->queue) == NULL)
            sched_yield(); /* it has queued, and waits */
        check_value(watch->f, "k", "old");
    }
    return 0;
}

static void a_none_put_does_not_overtake_an_always_put_of_its_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.log = NULL; /* the fixture's takes no threads */
    open_store(&f);
    put(&f, "k", "old");
    struct watch watch = {.f = &f};
    os_mem_hook(f.os, SYNC_CALLS, start_a_put, &watch);
    uint64_t version = 0;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = BITCASK_SYNC_ALWAYS;
    assert_status(
        &f, OK,
        bitcask_put(f.db, bitcask_str("k"), bitcask_str("durable"), &options, &version, &f.error));
    void *result;
    pthread_join(watch.thread, &result);
    assert_non_null(result);
    os_mem_hook(f.os, 0, NULL, NULL);
    check_value(&f, "k", "later");
    assert_true(meta_of(&f, "k").version > version);
    crash(&f);
    open_store(&f);
    check_value(&f, "k", "durable");
    fixture_release(&f);
}

static void a_none_put_in_the_group_of_an_always_put_is_durable_with_it(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    struct write_op ops[] = {op_put("k", "always", 0), op_put("k", "none", 0)};
    struct write_request requests[] = {{.ops = &ops[0], .op_count = 1, .durable = true},
                                       {.ops = &ops[1], .op_count = 1}};
    write_together(&f, requests, 2);
    check_value(&f, "k", "none");
    assert_true(ops[1].version > ops[0].version);
    crash(&f);
    open_store(&f);
    check_value(&f, "k", "none");
    fixture_release(&f);
}

static void a_group_is_as_durable_as_any_of_its_requests_wants(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_store(&f);
    struct write_op ops[] = {op_put("a", "none", 0), op_put("b", "always", 0)};
    struct write_request requests[] = {{.ops = &ops[0], .op_count = 1},
                                       {.ops = &ops[1], .op_count = 1, .durable = true}};
    write_together(&f, requests, 2);
    crash(&f);
    open_store(&f);
    check_value(&f, "a", "none");
    check_value(&f, "b", "always");
    fixture_release(&f);
}

/* ---- Memory (W2) ---------------------------------------------------------------------------- */

static void no_memory_for_the_index_leaves_nothing_in_the_log(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 1 << 20;
    open_store(&f);
    unsigned failed = 0, put_count = 0;
    char key[16];
    for (unsigned i = 0; i < 12000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        uint64_t end = f.store->writer.end, keys = stats_of(&f).keys;
        os_mem_fail(f.os, 1u << OS_CALL_ALLOC, 1 + i % 3, UINT64_MAX, -ENOMEM);
        bitcask_status status =
            bitcask_put(f.db, bitcask_str(key), bitcask_str("v"), NULL, NULL, &f.error);
        os_mem_fail(f.os, 0, 0, 1, -ENOMEM);
        if (status == BITCASK_OK) {
            put_count++;
            continue;
        }
        assert_int_equal(status, BITCASK_NO_MEMORY);
        assert_int_equal(f.store->writer.end, end);
        assert_int_equal(stats_of(&f).keys, keys);
        check_missing(&f, key);
        failed++;
        put(&f, key, "v"); /* with memory it goes */
        put_count++;
    }
    assert_true(failed > 0);
    assert_int_equal(stats_of(&f).keys, put_count);
    kill_9(&f);
    open_store(&f);
    assert_int_equal(stats_of(&f).keys, put_count);
    fixture_release(&f);
}

static void no_memory_inside_a_batch_takes_all_of_it_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 4 << 20;
    open_store(&f);
    enum { OPS = 3000 };
    struct write_op *ops = calloc(OPS, sizeof *ops);
    char(*keys)[16] = calloc(OPS, sizeof *keys);
    for (unsigned i = 0; i < OPS; i++) {
        snprintf(keys[i], sizeof keys[i], "b%u", i);
        ops[i] = op_put(keys[i], "v", 0);
    }
    put(&f, "b7", "old");
    uint64_t end = f.store->writer.end;
    os_mem_fail(f.os, 1u << OS_CALL_ALLOC, 1, UINT64_MAX, -ENOMEM);
    assert_status(&f, NO_MEMORY, write_batch(&f, ops, OPS));
    os_mem_fail(f.os, 0, 0, 1, -ENOMEM);
    assert_int_equal(f.store->writer.end, end);
    assert_int_equal(stats_of(&f).keys, 1);
    check_value(&f, "b7", "old");
    assert_status(&f, OK, write_batch(&f, ops, OPS));
    assert_int_equal(stats_of(&f).keys, OPS);
    assert_same_after_reopening(&f);
    free(ops);
    free(keys);
    fixture_release(&f);
}

/* W6: a place in the index that was reserved for a write that fails is given back. */
static void writes_that_fail_leave_nothing_reserved_in_the_index(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_way(&f, WAY_PWRITE);
    put(&f, "k", "v");
    uint64_t index_bytes = stats_of(&f).index_bytes;
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 1, UINT64_MAX, -EIO);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "no%d", i);
        bitcask_status status =
            bitcask_put(f.db, bitcask_str(key), bitcask_str("v"), NULL, NULL, &f.error);
        assert_true(status < 0);
        atomic_store(&f.store->write_status, 0); /* taking it back failed too: let the next try */
    }
    os_mem_fail(f.os, 0, 0, 1, -EIO);
    assert_int_equal(stats_of(&f).index_bytes, index_bytes);
    assert_int_equal(stats_of(&f).keys, 1);
    fixture_release(&f);
}

/* ---- Every call of an append fails once (W6) ------------------------------------------------ */

enum { REQUESTS = 4 };

struct attempt {
    struct write_op ops[REQUESTS + 1];
    struct write_request requests[REQUESTS];
    bitcask_error errors[REQUESTS];
    char big[9000];
    bool poisoned;
};

/* A put, a batch of two, a large put, an overwrite. */
static void prepare(struct attempt *attempt, bool durable)
{
    memset(attempt, 0, sizeof *attempt);
    memset(attempt->big, 'B', sizeof attempt->big - 1);
    attempt->ops[0] = op_put("new", "1", 0);
    attempt->ops[1] = op_put("batch-a", "2", 0);
    attempt->ops[2] = op_put("batch-b", "3", 0);
    attempt->ops[3] = op_put("big", attempt->big, 0);
    attempt->ops[4] = op_put("old", "overwritten", 0);
    for (size_t i = 0, op = 0; i < REQUESTS; i++) {
        attempt->requests[i] = (struct write_request){.ops = &attempt->ops[op],
                                                      .op_count = i == 1 ? 2 : 1,
                                                      .batch = i == 1,
                                                      .durable = durable,
                                                      .error = &attempt->errors[i]};
        op += i == 1 ? 2 : 1;
    }
}

static void check_attempt(struct fixture *f, const struct attempt *attempt, bool reopened)
{
    bool seen_b = false;
    for (size_t i = 0; i < REQUESTS; i++) {
        const struct write_request *request = &attempt->requests[i];
        for (size_t k = 0; k < request->op_count; k++) {
            const struct write_op *op = &request->ops[k];
            char key[16], value[sizeof attempt->big];
            snprintf(key, sizeof key, "%s", (const char *)op->key.data);
            snprintf(value, sizeof value, "%s", (const char *)op->value.data);
            bool there = reads_as(f, key, value);
            if (k == 1)
                assert_int_equal(there, seen_b); /* all of the batch or nothing */
            seen_b = there;
            /* A sync failed and its tail could not be saved: what was not promised to be durable
             * may be lost, and says so until then. */
            bool suspect = attempt->poisoned && !request->durable &&
                           (reopened || status_of(f, key) == BITCASK_CORRUPT);
            if (request->status == BITCASK_OK && !there && !suspect)
                fail_msg("'%s' is %s although its put said OK", key,
                         bitcask_status_name(status_of(f, key)));
            if (request->status != BITCASK_OK && there &&
                (!reopened || request->status != BITCASK_UNKNOWN))
                fail_msg("'%s' shows although its put said %s", key,
                         bitcask_status_name(request->status));
        }
    }
}

/* Returns whether the call that was to fail came. */
static bool fail_one_call(enum way way, bool durable, bool rotates, uint64_t nth, uint64_t repeat)
{
    struct fixture f;
    fixture_init(&f);
    open_way(&f, way);
    put(&f, "old", "1");
    if (rotates) {
        while (f.store->writer.end < 64 * 1024 - 5200 - 256)
            put_sized(&f, "filler", 'f', 1000);
    }
    sync_store(&f);
    put(&f, "old", "2");
    struct attempt attempt;
    prepare(&attempt, durable);
    uint64_t before = os_mem_calls(f.os, DISK_CALLS);
    os_mem_fail(f.os, DISK_CALLS, nth, repeat, -EIO);
    write_together(&f, attempt.requests, REQUESTS);
    bool came = os_mem_calls(f.os, DISK_CALLS) - before >= nth;
    os_mem_fail(f.os, 0, 0, 1, -EIO);
    attempt.poisoned = atomic_load(&f.store->write_status) != 0;
    check_attempt(&f, &attempt, false);
    bitcask_status after =
        bitcask_put(f.db, bitcask_str("after"), bitcask_str("x"), NULL, NULL, &f.error);
    if (repeat == 1 && after != BITCASK_OK)
        fail_msg("call %d: the store does not go on: %s", (int)nth, f.error.message);
    if (came && nth % 2 == 0)
        os_mem_kill(f.os);
    else if (durable)
        os_mem_crash(f.os);
    else
        os_mem_kill(f.os);
    abandon(&f);
    open_way(&f, way);
    check_attempt(&f, &attempt, true);
    if (after == BITCASK_OK && !durable)
        check_value(&f, "after", "x");
    assert_sound(&f);
    fixture_release(&f);
    return came;
}

static void an_append_that_fails_at_any_call_leaves_no_trace(void **state)
{
    (void)state;
    for (int way = 0; way < WAY_COUNT; way++)
        for (int durable = 0; durable < 2; durable++)
            for (int rotates = 0; rotates < 2; rotates++)
                for (uint64_t repeat = 1; repeat != 0; repeat = repeat == 1 ? UINT64_MAX : 0) {
                    uint64_t nth = 1;
                    while (fail_one_call((enum way)way, durable, rotates, nth, repeat))
                        nth++;
                    assert_true(nth > 1 || (way == WAY_MAPPED && !durable));
                }
}

/* A group that goes by pwrite stays in one segment, or it could not be taken back; how large the
 * record of an expire is, is only known once it is evaluated. */
static void an_expire_that_rotates_inside_a_group_can_be_taken_back(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct fixture f;
        fixture_init(&f);
        open_store(&f);
        put_sized(&f, "large", 'L', 20000);
        put_sized(&f, "filler", 'f', 30000);
        sync_store(&f);
        struct write_op ops[] = {op_put("first", "1", 0),
                                 {.kind = WRITE_EXPIRE, .key = bitcask_str("large")}};
        bitcask_error errors[2];
        struct write_request requests[] = {
            {.ops = &ops[0], .op_count = 1, .durable = true, .error = &errors[0]},
            {.ops = &ops[1], .op_count = 1, .durable = true, .error = &errors[1]}};
        os_mem_fail(f.os, 1u << OS_CALL_PWRITE | SYNC_CALLS, nth, 1, -EIO);
        write_together(&f, requests, 2);
        os_mem_fail(f.os, 0, 0, 1, -EIO);
        assert_int_equal(reads_as(&f, "first", "1"), requests[0].status == BITCASK_OK);
        crash(&f);
        open_store(&f);
        if (requests[0].status == BITCASK_OK)
            check_value(&f, "first", "1");
        assert_sound(&f);
        fixture_release(&f);
    }
}

static int no_second_call(void *context, enum os_mem_call call)
{
    (void)call;
    return ++*(int *)context == 2;
}

/* Half of the group is in the file, and the disk is gone before that could be taken back. */
static void a_failed_append_that_cannot_be_taken_back_is_unknown(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    open_way(&f, WAY_PWRITE);
    put(&f, "old", "1");
    struct attempt attempt;
    prepare(&attempt, false);
    int calls = 0;
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 1, 1, -EIO);
    os_mem_hook(f.os, 1u << OS_CALL_PWRITE, no_second_call, &calls);
    write_together(&f, attempt.requests, REQUESTS);
    os_mem_hook(f.os, 0, NULL, NULL);
    assert_true(calls >= 2);
    check_attempt(&f, &attempt, false);
    assert_status(&f, READ_ONLY, put_sync(&f, "after", "x", BITCASK_SYNC_NONE));
    kill_9(&f);
    open_store(&f);
    check_value(&f, "new", "1"); /* else this shows nothing */
    check_attempt(&f, &attempt, true);
    fixture_release(&f);
}

/* Scenario 5: what a failed append left behind the end must not validate behind a later one.
 * Through the mapping none fails. */
static void a_stale_record_behind_the_end_never_shows(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.options.segment_size = 4 << 20;
    open_way(&f, WAY_PWRITE);
    put_durably(&f, "base", "x");
    /* The batch's first large value reaches the file; the second one fails. */
    char *large = malloc(300001);
    memset(large, 'x', 300000);
    large[300000] = '\0';
    struct write_op ops[] = {op_put("a", "0123456789", 0), op_put("s", "stale", 0),
                             op_put("l1", large, 0), op_put("l2", large, 0)};
    os_mem_fail(f.os, 1u << OS_CALL_PWRITE, 2, 1, -EIO);
    bitcask_status status = write_batch(&f, ops, 4);
    os_mem_fail(f.os, 0, 0, 1, -EIO);
    assert_int_equal(status, BITCASK_IO);
    /* "b" is exactly as long as "a" was: the stale record of "s" would begin at its end. */
    put(&f, "b", "0123456789");
    kill_9(&f);
    open_store(&f);
    check_value(&f, "b", "0123456789");
    check_missing(&f, "s");
    check_missing(&f, "a");
    check_missing(&f, "l1");
    assert_sound(&f);
    free(large);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_on_an_absent_key),
        cmocka_unit_test(conditions_on_a_present_key),
        cmocka_unit_test(an_expired_key_counts_as_absent),
        cmocka_unit_test(keep_ttl_keeps_the_expiry_of_a_live_key),
        cmocka_unit_test(a_condition_on_a_damaged_record_is_an_error),
        cmocka_unit_test(two_compare_and_sets_in_one_group_exactly_one_wins),
        cmocka_unit_test(two_if_absent_puts_in_one_group_exactly_one_wins),
        cmocka_unit_test(a_request_that_fails_leaves_the_group_as_if_it_were_not_there),
        cmocka_unit_test(a_batch_that_puts_and_deletes_a_key_writes_its_tombstone),
        cmocka_unit_test(a_batch_that_deletes_and_puts_a_key_leaves_it),
        cmocka_unit_test(the_last_of_several_puts_of_a_key_in_a_batch_stays),
        cmocka_unit_test(a_key_may_come_again_far_behind_in_a_batch),
        cmocka_unit_test(a_batch_of_deletes_of_absent_keys_writes_nothing),
        cmocka_unit_test(an_always_put_is_not_visible_before_it_is_durable),
        cmocka_unit_test(a_none_put_does_not_overtake_an_always_put_of_its_key),
        cmocka_unit_test(a_none_put_in_the_group_of_an_always_put_is_durable_with_it),
        cmocka_unit_test(a_group_is_as_durable_as_any_of_its_requests_wants),
        cmocka_unit_test(no_memory_for_the_index_leaves_nothing_in_the_log),
        cmocka_unit_test(no_memory_inside_a_batch_takes_all_of_it_back),
        cmocka_unit_test(writes_that_fail_leave_nothing_reserved_in_the_index),
        cmocka_unit_test(an_append_that_fails_at_any_call_leaves_no_trace),
        cmocka_unit_test(an_expire_that_rotates_inside_a_group_can_be_taken_back),
        cmocka_unit_test(a_failed_append_that_cannot_be_taken_back_is_unknown),
        cmocka_unit_test(a_stale_record_behind_the_end_never_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
