/* SPDX-License-Identifier: MIT
 * memory_test.c: what /proc and the files of control groups say, in trees of our own. */
#include "os/memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/os.h"

static char root[64];
static char made[64][256]; /* files and directories, in the order in which they were made */
static int made_count;

#define MIB (UINT64_C(1) << 20)
#define V1 "sys/fs/cgroup/memory/"
#define V2 "sys/fs/cgroup/"

static int begin(void **state)
{
    (void)state;
    strcpy(root, "/tmp/memory_test-XXXXXX");
    made_count = 0;
    return mkdtemp(root) == NULL;
}

static int end(void **state)
{
    (void)state;
    while (made_count > 0)
        remove(made[--made_count]);
    return rmdir(root);
}

static void note_made(const char *path)
{
    assert_true(made_count < 64);
    snprintf(made[made_count++], sizeof made[0], "%s", path);
}

/* Make a file and the directories that lead to it. */
static void say(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL;
         *slash++ = '/') {
        *slash = '\0';
        if (mkdir(path, 0700) == 0)
            note_made(path);
    }
    bool is_new = access(path, F_OK) != 0;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    if (is_new)
        note_made(path);
}

static void machine_has_1000_mib(void)
{
    say("proc/meminfo", "MemTotal:        2048000 kB\n"
                        "MemFree:          100000 kB\n"
                        "MemAvailable:    1024000 kB\n"
                        "Buffers:               0 kB\n");
}

static void expect_mib(uint64_t mib)
{
    uint64_t bytes = 0;
    assert_int_equal(memory_available(root, &bytes), 0);
    assert_int_equal(bytes, mib * MIB);
}

static void without_groups_it_is_the_machines(void **state)
{
    (void)state;
    machine_has_1000_mib();
    expect_mib(1000);
}

static void an_unknown_machine_is_an_error(void **state)
{
    (void)state;
    uint64_t bytes;
    assert_int_equal(memory_available(root, &bytes), -ENOENT);
    say("proc/meminfo", "MemTotal: 1 kB\nMemAvailableSoon: 5 kB\nMemAvailable: many\n");
    assert_int_equal(memory_available(root, &bytes), -EINVAL);
}

static void group_of_version_2_limits_less_what_is_no_file(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a/b\n");
    say(V2 "a/b/memory.max", "104857600\n");    /* 100 MiB */
    say(V2 "a/b/memory.current", "83886080\n"); /* 80, of which 50 are pages of files */
    say(V2 "a/b/memory.stat", "anon 31457280\nfile 99\ninactive_file 41943040\n"
                              "active_file 10485760\n");
    expect_mib(70);
}

static void high_limits_as_max_does(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    say(V2 "a/memory.max", "max\n");
    say(V2 "a/memory.high", "52428800\n"); /* 50 MiB */
    say(V2 "a/memory.current", "0\n");
    expect_mib(50);
}

static void group_around_it_limits_as_well(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a/b\n");
    say(V2 "a/b/memory.max", "209715200\n");  /* 200 MiB */
    say(V2 "a/memory.max", "104857600\n");    /* 100 */
    say(V2 "a/memory.current", "94371840\n"); /* 90, and no word of files */
    expect_mib(10);
}

static void group_beyond_its_limit_has_nothing(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    say(V2 "a/memory.max", "1048576\n");
    say(V2 "a/memory.current", "2097152\n");
    expect_mib(0);
}

static void group_of_version_1_limits(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "9:name=systemd:/\n7:cpu,memory:/box\n0::/\n");
    say(V1 "memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    say(V1 "box/memory.limit_in_bytes", "104857600\n");
    say(V1 "box/memory.usage_in_bytes", "94371840\n");
    say(V1 "box/memory.stat", "inactive_file 1\nactive_file 1\n"
                              "total_inactive_file 10485760\ntotal_active_file 10485760\n");
    expect_mib(30);
}

static void group_that_a_container_does_not_see_is_at_the_mount(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "4:memory:/docker/0123456789\n");
    say(V1 "memory.limit_in_bytes", "104857600\n");
    say(V1 "memory.usage_in_bytes", "10485760\n");
    expect_mib(90);
}

static void other_controllers_do_not_matter(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "4:memory2,cpu:/a\nnonsense\n3:cpu\n");
    say(V1 "a/memory.limit_in_bytes", "1\n");
    expect_mib(1000);
}

static void more_than_the_machine_has_is_not_available(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    say(V2 "a/memory.max", "10737418240\n"); /* 10 GiB */
    expect_mib(1000);
}

/* ---- Odd files ------------------------------------------------------------------------------- */

static void expect_error(int error)
{
    uint64_t bytes;
    assert_int_equal(memory_available(root, &bytes), error);
}

static void a_number_that_is_none_is_an_error(void **state)
{
    (void)state;
    static const char *const said[] = {"MemAvailable: -5 kB\n", "MemAvailable:", "",
                                       "MemAvailable: 99999999999999999999 kB\n"};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        say("proc/meminfo", said[i]);
        expect_error(-EINVAL);
    }
}

static void what_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    say("proc/meminfo/file", "a directory has its name");
    expect_error(-EISDIR);
}

static void group_whose_files_are_odd_does_not_limit(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    static const char *const said[] = {"", "-1\n", "max\n", "2000000000000000000\n"};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        say(V2 "a/memory.max", said[i]);
        expect_mib(1000);
    }
}

static void the_lower_of_two_limits_holds(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    say(V2 "a/memory.max", "52428800\n"); /* 50 MiB */
    say(V2 "a/memory.high", "104857600\n");
    expect_mib(50); /* nor does it say what is in use */
    say(V2 "a/memory.high", "20971520\n");
    expect_mib(20);
}

/* Some 8 KiB of it are read: what is behind them does not count as available. */
static void of_a_long_file_the_beginning_counts(void **state)
{
    (void)state;
    enum { FILLER = 9000 };
    static const char first[] = "inactive_file 10485760\n", last[] = "active_file 10485760\n";
    char text[sizeof first + FILLER + sizeof last];
    int size = snprintf(text, sizeof text, "%s%*s\n%s", first, FILLER, "filler", last);
    assert_true(size > FILLER && (size_t)size < sizeof text);
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/a\n");
    say(V2 "a/memory.max", "104857600\n");
    say(V2 "a/memory.current", "52428800\n");
    say(V2 "a/memory.stat", text);
    expect_mib(60);
}

static void controllers_whose_names_are_as_long_are_others(void **state)
{
    (void)state;
    machine_has_1000_mib();
    say("proc/self/cgroup", "5:cpuset:/a\n");
    say(V1 "a/memory.limit_in_bytes", "1048576\n");
    expect_mib(1000);
}

/* ---- Long paths ------------------------------------------------------------------------------ */

static void a_group_whose_name_is_too_long_does_not_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {5000, OS_PATH_MAX - 60, OS_PATH_MAX - 50, OS_PATH_MAX - 45};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char line[6000];
        snprintf(line, sizeof line, "0::/%0*d\n", (int)sizes[i], 0);
        machine_has_1000_mib();
        say("proc/self/cgroup", line);
        expect_mib(1000);
    }
}

/* Slashes change nothing but the length. */
static void a_root_whose_name_is_too_long_is_an_error(void **state)
{
    (void)state;
    char long_root[2 * OS_PATH_MAX];
    uint64_t bytes = 0;
    machine_has_1000_mib();
    say("proc/self/cgroup", "0::/\n");
    say(V2 "memory.max", "52428800\n");
    size_t longest = OS_PATH_MAX - 1 - strlen("/proc/meminfo"), size = strlen(root);
    memset(long_root, '/', sizeof long_root);
    memcpy(long_root, root, size);
    long_root[longest + 1] = '\0';
    assert_int_equal(memory_available(long_root, &bytes), -ENAMETOOLONG);
    long_root[longest] = '\0'; /* the machine is told of, its groups are not */
    assert_int_equal(memory_available(long_root, &bytes), 0);
    assert_int_equal(bytes, 1000 * MIB);
    long_root[longest - 40] = '\0';
    assert_int_equal(memory_available(long_root, &bytes), 0);
    assert_int_equal(bytes, 50 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_groups_it_is_the_machines, begin, end),
        cmocka_unit_test_setup_teardown(an_unknown_machine_is_an_error, begin, end),
        cmocka_unit_test_setup_teardown(group_of_version_2_limits_less_what_is_no_file, begin, end),
        cmocka_unit_test_setup_teardown(high_limits_as_max_does, begin, end),
        cmocka_unit_test_setup_teardown(group_around_it_limits_as_well, begin, end),
        cmocka_unit_test_setup_teardown(group_beyond_its_limit_has_nothing, begin, end),
        cmocka_unit_test_setup_teardown(group_of_version_1_limits, begin, end),
        cmocka_unit_test_setup_teardown(group_that_a_container_does_not_see_is_at_the_mount, begin,
                                        end),
        cmocka_unit_test_setup_teardown(other_controllers_do_not_matter, begin, end),
        cmocka_unit_test_setup_teardown(more_than_the_machine_has_is_not_available, begin, end),
        cmocka_unit_test_setup_teardown(a_number_that_is_none_is_an_error, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_an_error, begin, end),
        cmocka_unit_test_setup_teardown(group_whose_files_are_odd_does_not_limit, begin, end),
        cmocka_unit_test_setup_teardown(the_lower_of_two_limits_holds, begin, end),
        cmocka_unit_test_setup_teardown(of_a_long_file_the_beginning_counts, begin, end),
        cmocka_unit_test_setup_teardown(controllers_whose_names_are_as_long_are_others, begin, end),
        cmocka_unit_test_setup_teardown(a_group_whose_name_is_too_long_does_not_limit, begin, end),
        cmocka_unit_test_setup_teardown(a_root_whose_name_is_too_long_is_an_error, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
