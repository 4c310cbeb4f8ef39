/* SPDX-License-Identifier: MIT
 * failures_care_test.c: verifying, backing up, repairing, salvaging and destroying a store while
 * any one call of the disk, or any one allocation, fails. Done again it succeeds. */
#include "support/failures.h"

#include "engine/backup.h"
#include "engine/destroy.h"
#include "engine/repair.h"
#include "engine/salvage.h"

#define DEST "backup"

/* ---- Verify ---------------------------------------------------------------------------------- */

/* Damage that is found although there is none: a disk that fails may look like it, memory not. */
static int no_damage_by_memory(void *context, const bitcask_finding *finding)
{
    struct run *r = context;
    return is_memory(r->failure) ? no_damage(context, finding) : 0;
}

static void act_verify(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_verify_result result = {.struct_size = sizeof result};
    bitcask_status status = verify_run(f->store, no_damage_by_memory, r, &result, &f->error);
    allowed(r, status);
    if (failing_calls(r) < r->nth)
        assert_int_equal(result.findings, 0);
    if (status == BITCASK_OK)
        assert_int_equal(result.findings, 0);
}

static void fill_with_image(struct run *r)
{
    fill_and_close_with_image(r);
    open_store(r->f);
}

/* ---- Backup ---------------------------------------------------------------------------------- */

static bitcask_status back_up(struct run *r, bool copy)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.copy = copy;
    bitcask_backup_result result = {.struct_size = sizeof result};
    bitcask_status status =
        backup_run(r->f->store, r->f->os, DEST, &options, &result, &r->f->error);
    r->lossy |= store_writable(r->f->store, NULL) != BITCASK_OK; /* it syncs the log */
    return status;
}

static bool backed_up; /* it says that all is there */

static void act_backup(struct run *r)
{
    bitcask_status status = back_up(r, false);
    allowed(r, status);
    backed_up = status == BITCASK_OK;
}

static void act_backup_by_copying(struct run *r)
{
    bitcask_status status = back_up(r, true);
    allowed(r, status);
    backed_up = status == BITCASK_OK;
}

/* A backup of before, and what has been written, merged and sealed since. */
static void fill_and_back_up(struct run *r)
{
    fill(r);
    assert_status(r->f, OK, back_up(r, false));
    put_known(r, "sealed", "s2");
    assert_status(r->f, OK, merge_all(r->f));
    put_known(r, "active", "a2");
}

static void open_backup(struct run *r, bitcask_status *status)
{
    struct fixture *f = r->f;
    f->options.read_only = 1;
    *status = store_open(f->os, DEST, &f->options, &f->store, &f->error);
    f->db = (bitcask *)f->store;
    f->options.read_only = 0;
}

/* What a backup of before the failure may hold: older states. */
static void check_backup(struct run *r, bool complete)
{
    bitcask_status status;
    open_backup(r, &status);
    if (status != BITCASK_OK) {
        bool unfinished = strstr(r->f->error.message, "a backup into it was not finished") != NULL;
        if (complete || (status != BITCASK_NO_STORE && !unfinished))
            fail_run(r, "open the backup: %s %s", bitcask_status_name(status), r->f->error.message);
        return;
    }
    size_t sure[ARRAY_SIZE(r->keys)];
    for (size_t i = 0; i < r->key_count; i++) {
        sure[i] = r->keys[i].sure;
        if (!complete)
            r->keys[i].sure = 0;
    }
    check_all(r, true);
    if (verify_run(r->f->store, no_damage, r, NULL, &r->f->error) != BITCASK_OK)
        fail_run(r, "verify the backup: %s", r->f->error.message);
    for (size_t i = 0; i < r->key_count; i++)
        r->keys[i].sure = sure[i];
    end_store(r);
}

/* It is the one of before, or none, or the new one; another try completes it. */
static void after_backup(struct run *r)
{
    for (size_t i = 0; r->lossy && i < r->key_count; i++)
        r->keys[i].sure = 0;
    check_backup(r, backed_up);
    open_store(r->f);
    bitcask_status status = back_up(r, false);
    if (status != BITCASK_OK)
        fail_run(r, "another backup: %s", r->f->error.message);
    end_store(r);
    check_backup(r, true);
}

/* ---- Repair ---------------------------------------------------------------------------------- */

/* A damaged record, whose loss shows an older value; a lost hint; a damaged deletion. */
static void fill_and_damage(struct run *r)
{
    struct fixture *f = r->f;
    fill_and_close(r);
    size_t count;
    char **names = list_files(f, NULL, &count);
    bool hint_gone = false;
    for (size_t i = 0; i < count; i++) {
        size_t size;
        if (strstr(names[i], ".hint") != NULL && !hint_gone) {
            delete_file(f, names[i]);
            hint_gone = true;
        }
        if (strstr(names[i], ".data") == NULL)
            continue;
        unsigned char *data = read_whole(f, names[i], &size);
        unsigned char *at = memmem(data, size, "bothnew", 7);
        if (at != NULL) {
            *at ^= 0x40;
            write_whole(f, names[i], data, size);
        }
        free(data);
    }
    free_list(names, count);
    struct model_key *both = model_of(r, "both");
    both->sure = 0; /* "old", or nothing */
}

/* Deletions that are made anew, more than there is room for to begin with; a segment that is not
 * there. */
static void fill_and_damage_deletions(struct run *r)
{
    struct fixture *f = r->f;
    char key[16];
    fill(r);
    put_numbered(f, "d", 0, 20, "v");
    put_known(r, "deleted", "x");
    rotate(f);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "d%d", i);
        delete_key(f, key);
    }
    delete_known(r, "deleted");
    uint64_t id = active_segment(f)->id;
    rotate(f);
    put_known(r, "merged", "m2");
    close_store(f);
    char name[NAME_SIZE];
    name_data(name, id);
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    memset(data + SEGMENT_HEADER_SIZE, 0, size - SEGMENT_HEADER_SIZE);
    write_whole(f, name, data, size);
    free(data);
    /* A hint that the disk does not give is none: it is told that nobody knows what was there. */
    if (!is_memory(r->failure))
        model_of(r, "deleted")->sure = 0;
}

static bitcask_status repair(struct run *r, bool dry_run)
{
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    options.dry_run = dry_run;
    bitcask_repair_result result = {.struct_size = sizeof result};
    return repair_run(r->f->os, STORE_DIRECTORY, &options, &result, &r->f->error);
}

static void act_repair(struct run *r)
{
    allowed(r, repair(r, false));
}

static void act_examine(struct run *r)
{
    allowed(r, repair(r, true));
}

static void after_repair(struct run *r)
{
    bitcask_status status = repair(r, false);
    if (status != BITCASK_OK)
        fail_run(r, "another repair: %s", r->f->error.message);
}

/* ---- File systems without hard links --------------------------------------------------------- */

static int no_links(struct os *os, const char *from, const char *to)
{
    (void)os;
    (void)from;
    (void)to;
    return -EPERM;
}

static void fill_and_damage_without_links(struct run *r)
{
    fill_and_damage(r);
    r->f->os->link = no_links;
}

static void fill_without_links(struct run *r)
{
    fill(r);
    r->f->os->link = no_links;
}

/* ---- Salvage --------------------------------------------------------------------------------- */

/* The data files move to another directory; one of them has lost its header. */
static char loose[8][64];
static size_t loose_count;

static void fill_and_scatter(struct run *r)
{
    struct fixture *f = r->f;
    fill_and_close(r);
    loose_count = 0;
    assert_int_equal(f->os->make_dir(f->os, "loose"), 0);
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        char from[64], to[64];
        snprintf(from, sizeof from, STORE_DIRECTORY "/%s", names[i]);
        snprintf(to, sizeof to, "loose/%s", names[i]);
        if (strstr(names[i], ".data") != NULL) {
            if (loose_count == 0)
                flip_byte(f, names[i], 20);
            assert_int_equal(f->os->rename(f->os, from, to), 0);
            snprintf(loose[loose_count++], sizeof loose[0], "%s", to);
        } else {
            delete_file(f, names[i]);
        }
    }
    free_list(names, count);
    assert_int_equal(f->os->sync_dir(f->os, STORE_DIRECTORY), 0);
    assert_int_equal(f->os->sync_dir(f->os, "loose"), 0);
    assert_int_equal(f->os->sync_dir(f->os, "."), 0);
}

/* A file that cannot be read is told, and what the others have is taken. */
static int note_file(void *context, const bitcask_salvage_file *file)
{
    struct run *r = context;
    r->lossy |= strcmp(file->what, "cannot be read") == 0;
    return 0;
}

static bitcask_status salvage(struct run *r)
{
    const char *files[8];
    for (size_t i = 0; i < loose_count; i++)
        files[i] = loose[i];
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    options.file = note_file;
    options.context = r;
    bitcask_salvage_result result = {.struct_size = sizeof result};
    return salvage_run(r->f->os, files, loose_count, STORE_DIRECTORY, &options, &result,
                       &r->f->error);
}

static bool salvaged;

static void act_salvage(struct run *r)
{
    bitcask_status status = salvage(r);
    allowed(r, status);
    salvaged = status == BITCASK_OK && failing_calls(r) < r->nth;
}

/* What failed has left an empty store, into which it can be done again; or all. */
static void after_salvage(struct run *r)
{
    bitcask_status status = salvaged ? BITCASK_OK : salvage(r);
    if (status != BITCASK_OK && status != BITCASK_STORE_EXISTS)
        fail_run(r, "another salvage: %s", r->f->error.message);
}

/* ---- Destroy --------------------------------------------------------------------------------- */

static void fill_a_quarantine_too(struct run *r)
{
    fill_and_close(r);
    assert_int_equal(r->f->os->make_dir(r->f->os, STORE_DIRECTORY "/" NAME_QUARANTINE), 0);
    write_whole(r->f, NAME_QUARANTINE "/000000001-64-00000000", "cut", 3);
}

static void act_destroy(struct run *r)
{
    bitcask_status status = destroy_store(r->f->os, STORE_DIRECTORY, &r->f->error);
    allowed(r, status);
}

static void after_destroy(struct run *r)
{
    struct fixture *f = r->f;
    bitcask_status status = destroy_store(f->os, STORE_DIRECTORY, &f->error);
    if (status != BITCASK_OK && status != BITCASK_NO_STORE)
        fail_run(r, "another destroy: %s", f->error.message);
    size_t count; /* an empty directory is nobody's store, and stays */
    char **names = list_files(f, NULL, &count);
    free_list(names, count);
    assert_int_equal(count, 0);
    r->key_count = 0; /* from here on a new store */
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void whatever_fails_verify_finds_no_damage_that_is_not_there(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"verify", fill, act_verify, NULL, false},
        {"verify with an image", fill_with_image, act_verify, NULL, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_backup_is_the_one_before_or_none(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"backup", fill, act_backup, after_backup, false},
        {"backup by copying", fill, act_backup_by_copying, after_backup, false},
        {"increment", fill_and_back_up, act_backup, after_backup, false},
        {"backup without links", fill_without_links, act_backup, after_backup, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_repair_can_be_done_again(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"repair", fill_and_damage, act_repair, after_repair, false},
        {"repair of deletions", fill_and_damage_deletions, act_repair, after_repair, false},
        {"examine", fill_and_damage, act_examine, after_repair, false},
        {"repair without links", fill_and_damage_without_links, act_repair, after_repair, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_salvage_can_be_done_again(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"salvage", fill_and_scatter, act_salvage, after_salvage, false},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

static void whatever_fails_a_destroy_can_be_done_again(void **state)
{
    (void)state;
    static const struct scenario scenarios[] = {
        {"destroy", fill_a_quarantine_too, act_destroy, after_destroy, true},
    };
    run_scenarios(scenarios, ARRAY_SIZE(scenarios));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_verify_finds_no_damage_that_is_not_there),
        cmocka_unit_test(whatever_fails_a_backup_is_the_one_before_or_none),
        cmocka_unit_test(whatever_fails_a_repair_can_be_done_again),
        cmocka_unit_test(whatever_fails_a_salvage_can_be_done_again),
        cmocka_unit_test(whatever_fails_a_destroy_can_be_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
