/* SPDX-License-Identifier: MIT
 * os_posix_faults_test.c: the real struct os when the system says no: each call fails once, is
 * interrupted, or does a part; what was opened on the way is closed again.
 *
 * The linker puts the __wrap_ functions below in place of the system's (tests/meson.build). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

/* ---- Failing calls --------------------------------------------------------------------------- */

/* Calls of `name`: the first `skip` are left alone, then `times` of them fail. */
static struct {
    const char *name;
    int error;
    unsigned skip, times;
    unsigned calls;
    size_t transfer_max; /* bytes that a read or a write moves; 0: all */
    bool writes_nothing; /* a write returns 0 */
    long file_system;    /* what statfs says; 0: the truth */
} fault;

static void fail_call(const char *name, int error, unsigned skip)
{
    memset(&fault, 0, sizeof fault);
    fault.name = name;
    fault.error = error;
    fault.skip = skip;
    fault.times = 1;
}

static void fail_nothing(void)
{
    memset(&fault, 0, sizeof fault);
}

static bool fails(const char *name)
{
    if (fault.name == NULL || strcmp(fault.name, name) != 0)
        return false;
    fault.calls++;
    if (fault.skip > 0) {
        fault.skip--;
        return false;
    }
    if (fault.times == 0)
        return false;
    fault.times--;
    errno = fault.error;
    return true;
}

static size_t transfer(size_t size)
{
    return fault.transfer_max > 0 && size > fault.transfer_max ? fault.transfer_max : size;
}

#define WRAP(type, name, failure, parameters, arguments)           \
    type __real_##name parameters;                                 \
    type __wrap_##name parameters;                                 \
    type __wrap_##name parameters                                  \
    {                                                              \
        return fails(#name) ? (failure) : __real_##name arguments; \
    }

WRAP(int, open64, -1, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(int, fstat64, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, lstat64, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, fallocate64, -1, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
WRAP(int, ftruncate64, -1, (int fd, off_t size), (fd, size))
WRAP(int, fdatasync, -1, (int fd), (fd))
WRAP(int, fsync, -1, (int fd), (fd))
WRAP(int, posix_fadvise64, fault.error, (int fd, off_t at, off_t size, int advice),
     (fd, at, size, advice))
WRAP(void *, mmap64, MAP_FAILED,
     (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset))
WRAP(int, madvise, -1, (void *memory, size_t size, int advice), (memory, size, advice))
WRAP(DIR *, opendir, NULL, (const char *path), (path))
WRAP(struct dirent *, readdir64, NULL, (DIR * directory), (directory))
WRAP(int, statvfs64, -1, (const char *path, struct statvfs *st), (path, st))
WRAP(int, flock, -1, (int fd, int operation), (fd, operation))
WRAP(ssize_t, getrandom, -1, (void *data, size_t size, unsigned flags),
     (data, transfer(size), flags))
WRAP(int, pthread_atfork, fault.error,
     (void (*prepare)(void), void (*parent)(void), void (*child)(void)), (prepare, parent, child))
WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(ssize_t, pread64, -1, (int fd, void *data, size_t size, off_t at),
     (fd, data, transfer(size), at))

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd); /* Linux frees the descriptor whatever it says */
    return fails("close") ? -1 : result;
}

ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t at)
{
    if (fails("pwrite64"))
        return -1;
    return fault.writes_nothing ? 0 : __real_pwrite64(fd, data, transfer(size), at);
}

ssize_t __real_pwritev64v2(int fd, const struct iovec *vectors, int count, off_t at, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *vectors, int count, off_t at, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *vectors, int count, off_t at, int flags)
{
    assert_int_equal(count, 1);
    struct iovec part = {vectors->iov_base, transfer(vectors->iov_len)};
    return fails("pwritev64v2") ? -1 : __real_pwritev64v2(fd, &part, 1, at, flags);
}

int __real_statfs64(const char *path, struct statfs *st);
int __wrap_statfs64(const char *path, struct statfs *st);
int __wrap_statfs64(const char *path, struct statfs *st)
{
    if (fails("statfs64"))
        return -1;
    int result = __real_statfs64(path, st);
    if (fault.file_system != 0)
        st->f_type = fault.file_system;
    return result;
}

int __real_gethostname(char *name, size_t size);
int __wrap_gethostname(char *name, size_t size);
int __wrap_gethostname(char *name, size_t size)
{
    if (!fails("gethostname"))
        return __real_gethostname(name, size);
    memset(name, 'h', size); /* cut, and not ended */
    return -1;
}

/* ---- A directory and a file in it ------------------------------------------------------------ */

static struct {
    struct os *os;
    char directory[200], path[240], other[240];
    struct os_file *file; /* open for writing, 5 bytes: "12345" */
} t;

static int count_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int setup(void **state)
{
    (void)state;
    fail_nothing();
    const char *parent = getenv("TMPDIR");
    snprintf(t.directory, sizeof t.directory, "%.150s/os_faults.XXXXXX", parent ? parent : "/tmp");
    if (mkdtemp(t.directory) == NULL)
        return -1;
    t.os = os_posix();
    snprintf(t.path, sizeof t.path, "%s/file", t.directory);
    snprintf(t.other, sizeof t.other, "%s/other", t.directory);
    int result = t.os->open(t.os, t.path, OS_WRITE | OS_CREATE, &t.file);
    return result == 0 ? t.os->pwrite(t.os, t.file, "12345", 5, 0, 0) : result;
}

static int teardown(void **state)
{
    (void)state;
    fail_nothing();
    t.os->close(t.os, t.file);
    unlink(t.path);
    unlink(t.other);
    return rmdir(t.directory);
}

static void assert_content(const char *text)
{
    char have[100];
    int64_t size = t.os->pread(t.os, t.file, have, sizeof have, 0);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(have, text, strlen(text));
}

/* ---- The operations -------------------------------------------------------------------------- */

static int do_open(void)
{
    struct os_file *file = NULL;
    int result = t.os->open(t.os, t.path, OS_READ, &file);
    if (result != 0)
        assert_null(file);
    return result != 0 ? result : t.os->close(t.os, file);
}

static int do_pread(void)
{
    char data[5];
    int64_t size = t.os->pread(t.os, t.file, data, 5, 0);
    if (size < 0)
        return (int)size;
    assert_int_equal(size, 5);
    assert_memory_equal(data, "12345", 5);
    return 0;
}

static int do_pwrite(void)
{
    return t.os->pwrite(t.os, t.file, "12345", 5, 0, 0);
}

static int do_durable_pwrite(void)
{
    return t.os->pwrite(t.os, t.file, "12345", 5, 0, OS_DSYNC);
}

static int do_allocate(void)
{
    return t.os->allocate(t.os, t.file, 0, 5);
}

static int do_truncate(void)
{
    return t.os->truncate(t.os, t.file, 5);
}

static int do_sync(void)
{
    return t.os->sync(t.os, t.file);
}

static int do_drop_cache(void)
{
    return t.os->drop_cache(t.os, t.file, 0, 0);
}

static int do_stat_file(void)
{
    struct os_stat stat;
    return t.os->stat_file(t.os, t.file, &stat);
}

static int do_map(void)
{
    void *memory = NULL;
    int result = t.os->map(t.os, t.file, OS_PAGE, false, &memory);
    if (result != 0)
        assert_null(memory);
    else
        t.os->unmap(t.os, memory, OS_PAGE);
    return result;
}

static int do_nothing_with(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return 0;
}

static int do_list(void)
{
    int names = 0;
    int result = t.os->list(t.os, t.directory, do_nothing_with, &names);
    if (result == 0)
        assert_int_equal(names, 1);
    return result;
}

static int do_stat(void)
{
    struct os_stat stat;
    return t.os->stat(t.os, t.path, &stat);
}

static int do_sync_dir(void)
{
    return t.os->sync_dir(t.os, t.directory);
}

static int do_traits(void)
{
    struct os_traits traits;
    return t.os->traits(t.os, t.directory, &traits);
}

static int do_free_space(void)
{
    uint64_t bytes;
    return t.os->free_space(t.os, t.directory, &bytes);
}

static int do_lock(void)
{
    struct os_lock *lock = NULL;
    int result = t.os->lock(t.os, t.directory, true, &lock);
    if (result != 0)
        assert_null(lock);
    else
        t.os->unlock(t.os, lock);
    return result;
}

static int do_random(void)
{
    char data[16];
    return t.os->random(t.os, data, sizeof data);
}

static const struct operation {
    const char *call;
    int (*run)(void);
    bool repeated; /* after EINTR */
} operations[] = {
    {"malloc", do_open, false},
    {"open64", do_open, true},
    {"fstat64", do_open, false},
    {"close", do_open, false},
    {"pread64", do_pread, true},
    {"pwrite64", do_pwrite, true},
    {"pwritev64v2", do_durable_pwrite, true},
    {"fallocate64", do_allocate, true},
    {"ftruncate64", do_truncate, true},
    {"fdatasync", do_sync, false}, /* a retry could turn a lost write into a success */
    {"posix_fadvise64", do_drop_cache, false},
    {"fstat64", do_stat_file, false},
    {"mmap64", do_map, false},
    {"madvise", do_map, false},
    {"opendir", do_list, false},
    {"readdir64", do_list, false},
    {"lstat64", do_stat, false},
    {"open64", do_sync_dir, true},
    {"fsync", do_sync_dir, false},
    {"statfs64", do_traits, true},
    {"statvfs64", do_free_space, true},
    {"malloc", do_lock, false},
    {"open64", do_lock, true},
    {"flock", do_lock, true},
    {"getrandom", do_random, true},
};

enum { OPERATION_COUNT = sizeof operations / sizeof operations[0] };

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_call_that_fails_is_reported_and_leaves_nothing_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        const struct operation *operation = &operations[i];
        int expected = strcmp(operation->call, "malloc") == 0 ? -ENOMEM : -EIO;
        int before = count_descriptors();
        fail_call(operation->call, -expected, 0);
        int result = operation->run();
        if (result != expected || fault.times != 0)
            fail_msg("operation %zu, %s fails: %d, not %d", i, operation->call, result, expected);
        if (count_descriptors() != before)
            fail_msg("operation %zu, %s fails: a descriptor is left", i, operation->call);
        if (operation->run() != 0) /* the next try finds all as it was */
            fail_msg("operation %zu fails after %s did", i, operation->call);
    }
    assert_content("12345");
}

static void an_interrupted_call_is_repeated_unless_it_is_a_sync(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        const struct operation *operation = &operations[i];
        if (strcmp(operation->call, "malloc") == 0)
            continue;
        fail_call(operation->call, EINTR, 0);
        int result = operation->run();
        int expected = operation->repeated ? 0 : -EINTR;
        if (result != expected)
            fail_msg("operation %zu, %s interrupted: %d", i, operation->call, result);
        if (operation->repeated ? fault.calls < 2 : fault.calls != 1)
            fail_msg("operation %zu: %u calls of %s", i, fault.calls, operation->call);
    }
}

static void parts_of_a_transfer_are_put_together(void **state)
{
    (void)state;
    fault.transfer_max = 2;
    assert_int_equal(t.os->pwrite(t.os, t.file, "abcdefg", 7, 5, 0), 0);
    assert_int_equal(t.os->pwrite(t.os, t.file, "hijkl", 5, 12, OS_DSYNC), 0);
    assert_content("12345abcdefghijkl");
    unsigned char bytes[8] = {0}, zeros[8] = {0};
    assert_int_equal(t.os->random(t.os, bytes, sizeof bytes), 0);
    assert_memory_not_equal(bytes, zeros, sizeof bytes);
}

static void an_error_in_the_middle_of_a_transfer_is_the_error(void **state)
{
    (void)state;
    char data[5];
    fail_call("pread64", EIO, 1);
    fault.transfer_max = 2;
    assert_int_equal(t.os->pread(t.os, t.file, data, 5, 0), -EIO);
    fail_call("pwrite64", ENOSPC, 1);
    fault.transfer_max = 2;
    assert_int_equal(t.os->pwrite(t.os, t.file, "abcde", 5, 0, 0), -ENOSPC);
    fail_nothing();
    assert_content("ab345");
}

static void a_write_that_writes_nothing_is_an_error_and_no_loop(void **state)
{
    (void)state;
    fault.writes_nothing = true;
    assert_int_equal(do_pwrite(), -EIO);
}

static void a_durable_write_without_rwf_is_a_write_and_a_sync(void **state)
{
    (void)state;
    static const int lacking[] = {EOPNOTSUPP, ENOSYS};
    for (size_t i = 0; i < 2; i++) {
        fail_call("pwritev64v2", lacking[i], 0);
        assert_int_equal(t.os->pwrite(t.os, t.file, "ABCDE", 5, 0, OS_DSYNC), 0);
        assert_int_equal(fault.calls, 1);
        assert_content("ABCDE");
    }
}

/* Two calls fail: one is the fault, for the other the descriptor is not open for writing. */
static void a_durable_write_without_rwf_reports_either_failure(void **state)
{
    (void)state;
    struct os_file *reader;
    assert_int_equal(t.os->open(t.os, t.path, OS_READ, &reader), 0);
    fail_call("pwritev64v2", ENOSYS, 0);
    assert_int_equal(t.os->pwrite(t.os, reader, "ABCDE", 5, 0, OS_DSYNC), -EBADF);
    t.os->close(t.os, reader);
    fail_nothing();
    assert_content("12345");
}

static void a_file_system_without_fallocate_gets_zeros_behind_the_end(void **state)
{
    (void)state;
    static const int lacking[] = {EOPNOTSUPP, ENOSYS};
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t end = (i + 1) * 100000;
        fail_call("fallocate64", lacking[i], 0);
        assert_int_equal(t.os->allocate(t.os, t.file, 0, end), 0);
        struct os_stat stat;
        assert_int_equal(t.os->stat_file(t.os, t.file, &stat), 0);
        assert_int_equal(stat.size, end);
        fail_call("fallocate64", lacking[i], 0); /* there already */
        assert_int_equal(t.os->allocate(t.os, t.file, 10, 20), 0);
        assert_int_equal(do_pread(), 0);
    }
    static unsigned char bytes[200000];
    assert_int_equal(t.os->pread(t.os, t.file, bytes, sizeof bytes, 0), sizeof bytes);
    for (size_t i = 5; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0);
}

static void allocation_beyond_what_a_file_can_have_is_refused(void **state)
{
    (void)state;
    assert_int_equal(t.os->allocate(t.os, t.file, UINT64_MAX, 2), -EFBIG);
    assert_int_equal(t.os->allocate(t.os, t.file, INT64_MAX, 1), -EFBIG);
    assert_int_equal(t.os->allocate(t.os, t.file, 3, 0), 0);
    assert_content("12345");
}

static void what_cannot_be_a_file_is_an_invalid_argument(void **state)
{
    (void)state;
    static const int errors[] = {EISDIR, ENXIO};
    for (size_t i = 0; i < 2; i++) {
        fail_call("open64", errors[i], 0);
        assert_int_equal(do_open(), -EINVAL);
    }
}

static void only_known_file_systems_get_mapped_writes(void **state)
{
    (void)state;
    static const struct {
        long type;
        bool mapped, tells_all;
        const char *name;
    } cases[] = {
        {0xEF53, true, true, "ext4"},
        {0x01021994, true, true, "tmpfs"},
        {0x58465342, true, true, "xfs"},
        {0x9123683E, false, true, "btrfs"},
        {0x6969, false, false, "nfs"},
        {0x65735546, false, false, "fuse"},
        {0x12345678, false, false, "0x12345678"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct os_traits traits;
        fault.file_system = cases[i].type;
        assert_int_equal(t.os->traits(t.os, t.directory, &traits), 0);
        assert_string_equal(traits.name, cases[i].name);
        assert_int_equal(traits.mapped_writes, cases[i].mapped);
        assert_int_equal(traits.sync_tells_all, cases[i].tells_all);
    }
}

static void advice_that_the_system_refuses_is_reported(void **state)
{
    (void)state;
    void *memory;
    assert_int_equal(t.os->map(t.os, t.file, OS_PAGE, true, &memory), 0);
    for (int advice = OS_ADVISE_RANDOM; advice <= OS_ADVISE_POPULATE; advice++) {
        fail_call("madvise", EINVAL, 0);
        assert_int_equal(t.os->advise(t.os, memory, OS_PAGE, (enum os_advice)advice), -EINVAL);
    }
    t.os->unmap(t.os, memory, OS_PAGE);
}

static void a_host_name_is_always_ended(void **state)
{
    (void)state;
    char name[8];
    fail_call("gethostname", ENAMETOOLONG, 0);
    t.os->host_name(t.os, name, sizeof name);
    assert_string_equal(name, "hhhhhhh");
    fail_call("gethostname", EFAULT, 0);
    t.os->host_name(t.os, name, sizeof name);
    assert_string_equal(name, "");
    fail_nothing();
    memcpy(name, "kept", 5);
    t.os->host_name(t.os, name, 0);
    assert_string_equal(name, "kept");
}

static void locks_may_be_released_in_any_order(void **state)
{
    (void)state;
    struct os_lock *locks[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(t.os->lock(t.os, t.directory, false, &locks[i]), 0);
    assert_int_equal(do_lock(), -EWOULDBLOCK);
    t.os->unlock(t.os, locks[0]); /* the last in the list */
    t.os->unlock(t.os, locks[2]);
    assert_int_equal(do_lock(), -EWOULDBLOCK);
    t.os->unlock(t.os, locks[1]);
    assert_int_equal(do_lock(), 0);
}

static void memory_beyond_the_address_space_is_refused(void **state)
{
    (void)state;
    assert_null(t.os->alloc(t.os, SIZE_MAX - 10, 64));
    fail_call("malloc", ENOMEM, 0);
    assert_null(t.os->alloc(t.os, 10, 8));
    void *memory = t.os->alloc(t.os, 100, 64);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 64, 0);
    t.os->free(t.os, memory, 100);
}

/* What is made once in a process is made in a child. Exits as the number of the line that is wrong,
 * or 0; by exit(), so that coverage is written. */
static void expect_in_child(int (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        exit(body() != 0);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int no_handlers_no_lock(void)
{
    struct os_lock *lock;
    fail_call("pthread_atfork", ENOMEM, 0);
    if (t.os->lock(t.os, t.directory, true, &lock) != -ENOMEM)
        return __LINE__;
    if (t.os->fork_guard(t.os) != NULL)
        return __LINE__;
    return fault.calls == 1 ? 0 : __LINE__;
}

/* Must be the first test: handlers once installed stay. */
static void without_fork_handlers_there_is_no_lock_and_no_guard(void **state)
{
    (void)state;
    expect_in_child(no_handlers_no_lock);
    assert_int_equal(do_lock(), 0);
}

static int no_page_no_guard(void)
{
    fail_call("mmap64", ENOMEM, 0);
    if (t.os->fork_guard(t.os) != NULL)
        return __LINE__;
    fail_call("madvise", EINVAL, 0); /* Linux before 4.14 */
    if (t.os->fork_guard(t.os) != NULL)
        return __LINE__;
    const volatile unsigned char *guard = t.os->fork_guard(t.os);
    return guard != NULL && *guard == 1 ? 0 : __LINE__;
}

static void without_a_page_there_is_no_guard_until_there_is_one(void **state)
{
    (void)state;
    expect_in_child(no_page_no_guard);
}

/* Of the locks of its parent a child has only the memory: it frees that, and unlocks nothing. */
static struct os_lock *inherited[2];

static int inherited_locks_are_the_parents(void)
{
    int before = count_descriptors();
    for (size_t i = 0; i < 2; i++)
        t.os->unlock(t.os, inherited[i]);
    if (count_descriptors() != before || do_lock() != -EWOULDBLOCK)
        return __LINE__;
    const volatile unsigned char *guard = t.os->fork_guard(t.os);
    return guard != NULL && *guard == 1 ? 0 : __LINE__;
}

static void a_child_closes_its_copies_of_locks(void **state)
{
    (void)state;
    assert_non_null(t.os->fork_guard(t.os));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(t.os->lock(t.os, t.directory, false, &inherited[i]), 0);
    expect_in_child(inherited_locks_are_the_parents);
    assert_int_equal(do_lock(), -EWOULDBLOCK);
    for (size_t i = 0; i < 2; i++)
        t.os->unlock(t.os, inherited[i]);
    assert_int_equal(do_lock(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_fork_handlers_there_is_no_lock_and_no_guard),
        TEST(without_a_page_there_is_no_guard_until_there_is_one),
        TEST(a_call_that_fails_is_reported_and_leaves_nothing_open),
        TEST(an_interrupted_call_is_repeated_unless_it_is_a_sync),
        TEST(parts_of_a_transfer_are_put_together),
        TEST(an_error_in_the_middle_of_a_transfer_is_the_error),
        TEST(a_write_that_writes_nothing_is_an_error_and_no_loop),
        TEST(a_durable_write_without_rwf_is_a_write_and_a_sync),
        TEST(a_durable_write_without_rwf_reports_either_failure),
        TEST(a_file_system_without_fallocate_gets_zeros_behind_the_end),
        TEST(allocation_beyond_what_a_file_can_have_is_refused),
        TEST(what_cannot_be_a_file_is_an_invalid_argument),
        TEST(only_known_file_systems_get_mapped_writes),
        TEST(advice_that_the_system_refuses_is_reported),
        TEST(a_host_name_is_always_ended),
        TEST(locks_may_be_released_in_any_order),
        TEST(memory_beyond_the_address_space_is_refused),
        TEST(a_child_closes_its_copies_of_locks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
