/* SPDX-License-Identifier: MIT
 * lost_length_test.c: recovery of a log whose last length never reached the disk (R1): a sync has
 * failed, the bytes were written and the length was not, and the cache takes it for written. */
#include "support/three_segments.h"

#include <errno.h>

/* What the file system says of the length of segment 1, in front of a disk in memory that knows
 * nothing of it: a sync writes a length that has changed, and no other. */
static struct length {
    int (*open)(struct os *os, const char *path, int flags, struct os_file **file);
    int (*truncate)(struct os *os, struct os_file *file, uint64_t size);
    int (*sync)(struct os *os, struct os_file *file);
    const struct os_file *files[4]; /* segment 1, opened last */
    unsigned opened;
    uint64_t cached, durable;
    bool changed;
    int truncate_error;
} length;

static int open_file(struct os *os, const char *path, int flags, struct os_file **file)
{
    int result = length.open(os, path, flags, file);
    for (int i = 0; i < 4 && result == 0; i++)
        if (length.files[i] == *file)
            length.files[i] = NULL; /* closed since */
    if (result == 0 && strcmp(path, STORE_DIRECTORY "/" SEGMENT_1) == 0)
        length.files[length.opened++ % 4] = *file;
    return result;
}

static bool is_it(const struct os_file *file)
{
    for (int i = 0; i < 4; i++)
        if (length.files[i] == file)
            return true;
    return false;
}

static int truncate_one(struct os *os, struct os_file *file, uint64_t size)
{
    if (!is_it(file))
        return length.truncate(os, file, size);
    if (length.truncate_error != 0)
        return length.truncate_error;
    int result = length.truncate(os, file, size);
    if (result == 0 && size != length.cached) {
        length.cached = size;
        length.changed = true;
    }
    return result;
}

static int sync_file(struct os *os, struct os_file *file)
{
    int result = length.sync(os, file);
    if (result == 0 && length.changed && is_it(file)) {
        length.durable = length.cached;
        length.changed = false;
    }
    return result;
}

enum { RECORDS = 3 };

static size_t end_of_record(int i)
{
    return SEGMENT_HEADER_SIZE + (size_t)(i + 1) * record_bytes("k0", 3);
}

/* A store that was killed with three records in segment 1, and not a byte behind them; of its
 * length `durable` is on the disk. */
static void make(struct fixture *f, size_t durable)
{
    fixture_init(f);
    open_store(f);
    put_numbered(f, "k", 0, RECORDS, "one");
    kill_9(f);
    truncate_file(f, SEGMENT_1, end_of_record(RECORDS - 1));
    length = (struct length){
        .open = f->os->open,
        .truncate = f->os->truncate,
        .sync = f->os->sync,
        .cached = end_of_record(RECORDS - 1),
        .durable = durable,
    };
    f->os->open = open_file;
    f->os->truncate = truncate_one;
    f->os->sync = sync_file;
}

static void cut_the_power(struct fixture *f)
{
    crash(f);
    if (has_file(f, SEGMENT_1) && length.durable < file_size(f, SEGMENT_1))
        truncate_file(f, SEGMENT_1, length.durable);
    length.cached = length.durable;
    length.changed = false;
}

static void check_all(struct fixture *f)
{
    for (int i = 0; i < RECORDS; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        check_value(f, key, "one");
    }
}

static void what_recovery_serves_is_there_after_a_power_cut(void **state)
{
    (void)state;
    for (size_t durable = 0; durable <= end_of_record(RECORDS - 1); durable++) {
        struct fixture f;
        make(&f, durable);
        open_store(&f);
        check_all(&f);
        cut_the_power(&f);
        open_store(&f);
        assert_int_equal(count_events(&f, "damaged"), 0);
        assert_int_equal(count_events(&f, "cut"), 0);
        check_all(&f);
        fixture_release(&f);
    }
}

/* A length that cannot be written is an error, not something to be served. */
static void a_store_whose_length_cannot_be_written_does_not_open(void **state)
{
    (void)state;
    struct fixture f;
    make(&f, end_of_record(0));
    length.truncate_error = -EIO;
    assert_int_equal(try_open(&f), BITCASK_IO);
    length.truncate_error = 0;
    open_store(&f);
    check_all(&f);
    cut_the_power(&f);
    open_store(&f);
    check_all(&f);
    fixture_release(&f);
}

/* But on a full disk, or beyond a quota, the store can be read. */
static void a_store_on_a_full_disk_opens_with_the_length_that_it_has(void **state)
{
    (void)state;
    static const int errors[] = {-ENOSPC, -EDQUOT};
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        struct fixture f;
        make(&f, end_of_record(RECORDS - 1));
        length.truncate_error = errors[e];
        open_store(&f);
        check_all(&f);
        length.truncate_error = 0;
        cut_the_power(&f);
        open_store(&f);
        check_all(&f);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_recovery_serves_is_there_after_a_power_cut),
        cmocka_unit_test(a_store_whose_length_cannot_be_written_does_not_open),
        cmocka_unit_test(a_store_on_a_full_disk_opens_with_the_length_that_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
