/* SPDX-License-Identifier: MIT
 * os_posix_test.c: the real struct os: the contract, and what only a real system can show.
 *
 * What a system refuses is shown in a forked child under a seccomp filter or a resource limit. */
#include "support/os_contract.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int contract_setup(void **state)
{
    struct contract *c = calloc(1, sizeof(*c));
    const char *parent = getenv("TMPDIR");
    snprintf(c->directory, sizeof(c->directory), "%s/os_posix.XXXXXX", parent ? parent : "/tmp");
    c->os = os_posix();
    *state = c;
    return mkdtemp(c->directory) ? 0 : -1;
}

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

static int contract_teardown(void **state)
{
    struct contract *c = *state;
    remove_tree(c->directory);
    free(c);
    return 0;
}

/* ---- What lies in a file's place ------------------------------------------------------------- */

static void fifo_is_refused_without_waiting(void **state)
{
    struct contract *c = *state;
    assert_int_equal(mkfifo(at(c, "fifo"), 0600), 0);
    alarm(20); /* a failure would hang */
    assert_int_equal(try_open(c, "fifo", OS_READ), -EINVAL);
    assert_int_equal(try_open(c, "fifo", OS_WRITE), -EINVAL);
    alarm(0);
}

static void symbolic_link_is_not_followed(void **state)
{
    struct contract *c = *state;
    struct os_stat stat;
    make_file(c, "f", "text");
    assert_int_equal(symlink("f", at(c, "link")), 0);
    assert_int_equal(symlink("missing", at(c, "dangling")), 0);
    assert_int_equal(try_open(c, "link", OS_READ), -ELOOP);
    assert_int_equal(try_open(c, "link", OS_WRITE), -ELOOP);
    assert_int_equal(try_open(c, "dangling", OS_WRITE | OS_CREATE), -EEXIST);
    assert_int_equal(c->os->stat(c->os, at(c, "link"), &stat), 0);
    assert_false(stat.regular);
    assert_false(stat.directory);
}

static void device_and_socket_are_refused(void **state)
{
    struct contract *c = *state;
    struct os_file *file;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/socket", c->directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(c->os->open(c->os, "/dev/null", OS_WRITE, &file), -EINVAL);
    assert_int_equal(try_open(c, "socket", OS_READ), -EINVAL);
    close(fd);
}

static void files_and_directories_are_private(void **state)
{
    struct contract *c = *state;
    struct stat st;
    mode_t mask = umask(0);
    make_file(c, "f", "");
    assert_int_equal(c->os->make_dir(c->os, at(c, "d")), 0);
    umask(mask);
    assert_int_equal(stat(at(c, "f"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(at(c, "d"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

/* ---- Descriptors ----------------------------------------------------------------------------- */

/* Open descriptors; `inheritable` gets those that exec would keep. */
static int count_descriptors(int *inheritable)
{
    int count = 0;
    *inheritable = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        count += flags >= 0;
        *inheritable += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

static void descriptors_close_on_exec_and_do_not_leak(void **state)
{
    struct contract *c = *state;
    int kept_before, kept;
    int before = count_descriptors(&kept_before);
    struct os_file *file = create_file(c, "f");
    struct os_lock *lock = take_lock(c, true);
    assert_int_equal(count_descriptors(&kept), before + 2);
    assert_int_equal(kept, kept_before);
    int calls = 0;
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    assert_int_equal(try_open(c, ".", OS_READ), -EINVAL);
    assert_int_equal(c->os->sync_dir(c->os, c->directory), 0);
    assert_int_equal(c->os->list(c->os, c->directory, stop_at_once, &calls), 42);
    assert_int_equal(count_descriptors(&kept), before + 2);
    close_file(c, file);
    c->os->unlock(c->os, lock);
    assert_int_equal(count_descriptors(&kept), before);
}

/* ---- Children -------------------------------------------------------------------------------- */

/* Run `body` in a forked child; it returns 0 for success, or the line that failed. */
static void expect_in_child(struct contract *c, int (*body)(struct contract *c, void *context),
                            void *context)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int line = body(c, context);
        if (line != 0)
            fprintf(stderr, "%s:%d: failed in a child\n", __FILE__, line);
        _exit(line != 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define CHILD_EXPECT(condition) \
    do {                        \
        if (!(condition))       \
            return __LINE__;    \
    } while (0)

static int child_has_no_such_mapping(struct contract *c, void *memory)
{
    (void)c;
    CHILD_EXPECT(msync(memory, OS_PAGE, MS_ASYNC) != 0 && errno == ENOMEM);
    return 0;
}

static void map_is_not_inherited(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    assert_int_equal(c->os->allocate(c->os, file, 0, OS_PAGE), 0);
    char *memory = map_file(c, file, OS_PAGE, true);
    expect_in_child(c, child_has_no_such_mapping, memory);
    memory[0] = 'm';
    c->os->unmap(c->os, memory, OS_PAGE);
    close_file(c, file);
}

static int child_sees_a_dead_guard_and_gets_its_own(struct contract *c, void *context)
{
    const volatile unsigned char *inherited = context;
    CHILD_EXPECT(*inherited == 0);
    const volatile unsigned char *own = c->os->fork_guard(c->os);
    CHILD_EXPECT(own && *own == 1);
    CHILD_EXPECT(*inherited == 0);
    CHILD_EXPECT(c->os->fork_guard(c->os) == own);
    return 0;
}

static void fork_guard_is_cleared_in_the_child_only(void **state)
{
    struct contract *c = *state;
    const volatile unsigned char *guard = c->os->fork_guard(c->os);
    expect_in_child(c, child_sees_a_dead_guard_and_gets_its_own, (void *)(uintptr_t)guard);
    assert_int_equal(*guard, 1);
    assert_ptr_equal(c->os->fork_guard(c->os), guard);
}

static int child_unlocks_what_it_inherited(struct contract *c, void *lock)
{
    CHILD_EXPECT(try_lock(c, true) == -EWOULDBLOCK);
    c->os->unlock(c->os, lock);
    CHILD_EXPECT(try_lock(c, true) == -EWOULDBLOCK);
    return 0;
}

static void child_cannot_unlock_its_parents_lock(void **state)
{
    struct contract *c = *state;
    struct os_lock *lock = take_lock(c, true);
    expect_in_child(c, child_unlocks_what_it_inherited, lock);
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    c->os->unlock(c->os, lock);
    assert_int_equal(try_lock(c, true), 0);
}

/* Not for ever: a test that has failed kills nobody. */
static void wait_to_be_killed(void)
{
    alarm(60);
    pause();
}

static void lock_dies_with_a_killed_process(void **state)
{
    struct contract *c = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct os_lock *lock;
        if (c->os->lock(c->os, c->directory, true, &lock) == 0)
            byte = (char)write(ready[1], "r", 1);
        wait_to_be_killed();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(try_lock(c, true), 0);
    close(ready[0]);
    close(ready[1]);
}

/* The grandchild lives until the test closes its end of the pipe. */
static void lock_inherited_by_a_child_does_not_outlive_its_owner(void **state)
{
    struct contract *c = *state;
    int ready[2], hold[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t owner = fork();
    if (owner == 0) {
        struct os_lock *lock;
        close(hold[1]);
        if (c->os->lock(c->os, c->directory, true, &lock) != 0)
            _exit(1);
        if (fork() == 0) {
            byte = (char)write(ready[1], "r", 1);
            _exit((int)read(hold[0], &byte, 1));
        }
        wait_to_be_killed();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1); /* the grandchild runs */
    assert_int_equal(try_lock(c, true), -EWOULDBLOCK);
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    assert_int_equal(try_lock(c, true), 0);
    close(hold[1]);
    close(hold[0]);
    close(ready[0]);
    close(ready[1]);
}

/* ---- What the system refuses ----------------------------------------------------------------- */

/* From now on this system call fails with this errno in the calling process. */
static bool refuse_call(unsigned number, int errno_)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errno_),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int child_writes_over_its_limit(struct contract *c, void *file)
{
    char data[10000];
    struct rlimit limit = {8192, 8192};
    memset(data, 'd', sizeof(data));
    signal(SIGXFSZ, SIG_IGN);
    CHILD_EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_EXPECT(c->os->pwrite(c->os, file, data, sizeof(data), 0, 0) == -EFBIG);
    CHILD_EXPECT(size_of(c, file) == 8192);
    return 0;
}

static void short_write_and_then_an_error_is_the_error(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    expect_in_child(c, child_writes_over_its_limit, file);
    close_file(c, file);
}

static int child_writes_without_rwf(struct contract *c, void *file)
{
    CHILD_EXPECT(refuse_call(SYS_pwritev2, EOPNOTSUPP));
    CHILD_EXPECT(c->os->pwrite(c->os, file, "text", 4, 0, OS_DSYNC) == 0);
    CHILD_EXPECT(refuse_call(SYS_fdatasync, EIO)); /* shows that it was called */
    CHILD_EXPECT(c->os->pwrite(c->os, file, "TEXT", 4, 0, OS_DSYNC) == -EIO);
    CHILD_EXPECT(c->os->pwrite(c->os, file, "Text", 4, 0, 0) == 0);
    return 0;
}

static void dsync_falls_back_to_fdatasync(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    expect_in_child(c, child_writes_without_rwf, file);
    expect_bytes(c, file, 0, "Text", 4);
    close_file(c, file);
}

static int child_writes_without_fdatasync(struct contract *c, void *file)
{
    CHILD_EXPECT(refuse_call(SYS_fdatasync, EIO));
    CHILD_EXPECT(c->os->pwrite(c->os, file, "text", 4, 0, OS_DSYNC) == 0);
    CHILD_EXPECT(c->os->sync(c->os, file) == -EIO);
    return 0;
}

static void dsync_is_one_call_where_the_system_has_it(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    expect_in_child(c, child_writes_without_fdatasync, file);
    close_file(c, file);
}

static int child_syncs_and_is_interrupted(struct contract *c, void *file)
{
    CHILD_EXPECT(refuse_call(SYS_fdatasync, EINTR));
    CHILD_EXPECT(refuse_call(SYS_fsync, EIO));
    alarm(20); /* a retry would never end */
    CHILD_EXPECT(c->os->sync(c->os, file) == -EINTR);
    CHILD_EXPECT(c->os->sync_dir(c->os, c->directory) == -EIO);
    return 0;
}

static void failed_sync_is_reported_and_not_repeated(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    expect_in_child(c, child_syncs_and_is_interrupted, file);
    close_file(c, file);
}

static int child_allocates_without_fallocate(struct contract *c, void *file)
{
    CHILD_EXPECT(refuse_call(SYS_fallocate, EOPNOTSUPP));
    CHILD_EXPECT(c->os->allocate(c->os, file, 0, 200000) == 0);
    CHILD_EXPECT(c->os->allocate(c->os, file, 0, 10) == 0);
    CHILD_EXPECT(c->os->allocate(c->os, file, 100, 1000) == 0);
    return 0;
}

static void allocate_without_fallocate_writes_zeros_behind_the_end(void **state)
{
    struct contract *c = *state;
    struct os_stat stat;
    static char expected[200000] = "keep these bytes";
    struct os_file *file = create_file(c, "f");
    write_at(c, file, 0, expected);
    expect_in_child(c, child_allocates_without_fallocate, file);
    expect_bytes(c, file, 0, expected, sizeof(expected));
    assert_int_equal(c->os->sync(c->os, file), 0);
    assert_int_equal(c->os->stat_file(c->os, file, &stat), 0);
    assert_true(stat.allocated >= sizeof(expected));
    close_file(c, file);
}

static int child_allocates_over_its_limit(struct contract *c, void *file)
{
    struct rlimit limit = {100000, 100000};
    signal(SIGXFSZ, SIG_IGN);
    CHILD_EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_EXPECT(c->os->allocate(c->os, file, 0, 200000) == -EFBIG);
    CHILD_EXPECT(refuse_call(SYS_fallocate, EOPNOTSUPP));
    CHILD_EXPECT(c->os->allocate(c->os, file, 0, 200000) == -EFBIG);
    return 0;
}

static void allocate_says_when_there_is_no_room(void **state)
{
    struct contract *c = *state;
    struct os_file *file = create_file(c, "f");
    expect_in_child(c, child_allocates_over_its_limit, file);
    close_file(c, file);
}

/* ---- File systems ---------------------------------------------------------------------------- */

static void unknown_file_system_gets_no_mapped_writes(void **state)
{
    struct contract *c = *state;
    struct os_traits traits;
    assert_int_equal(c->os->traits(c->os, "/proc", &traits), 0);
    assert_false(traits.mapped_writes);
    assert_string_equal(traits.name, "0x9fa0");
    assert_int_equal(c->os->traits(c->os, at(c, "missing"), &traits), -ENOENT);
}

static void tmpfs_and_ext4_are_known(void **state)
{
    struct contract *c = *state;
    const char *places[] = {"/dev/shm", c->directory, "/"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct os_traits traits;
        if (c->os->traits(c->os, places[i], &traits) != 0)
            continue;
        bool known = strcmp(traits.name, "tmpfs") == 0 || strcmp(traits.name, "ext4") == 0 ||
                     strcmp(traits.name, "xfs") == 0;
        assert_int_equal(traits.mapped_writes, known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS,
        CONTRACT_TEST(fifo_is_refused_without_waiting),
        CONTRACT_TEST(symbolic_link_is_not_followed),
        CONTRACT_TEST(device_and_socket_are_refused),
        CONTRACT_TEST(files_and_directories_are_private),
        CONTRACT_TEST(descriptors_close_on_exec_and_do_not_leak),
        CONTRACT_TEST(map_is_not_inherited),
        CONTRACT_TEST(fork_guard_is_cleared_in_the_child_only),
        CONTRACT_TEST(child_cannot_unlock_its_parents_lock),
        CONTRACT_TEST(lock_dies_with_a_killed_process),
        CONTRACT_TEST(lock_inherited_by_a_child_does_not_outlive_its_owner),
        CONTRACT_TEST(short_write_and_then_an_error_is_the_error),
        CONTRACT_TEST(dsync_falls_back_to_fdatasync),
        CONTRACT_TEST(dsync_is_one_call_where_the_system_has_it),
        CONTRACT_TEST(failed_sync_is_reported_and_not_repeated),
        CONTRACT_TEST(allocate_without_fallocate_writes_zeros_behind_the_end),
        CONTRACT_TEST(allocate_says_when_there_is_no_room),
        CONTRACT_TEST(unknown_file_system_gets_no_mapped_writes),
        CONTRACT_TEST(tmpfs_and_ext4_are_known),
    };
    return cmocka_run_group_tests_name("os_posix", tests, NULL, NULL);
}
