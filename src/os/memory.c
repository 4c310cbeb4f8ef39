/* SPDX-License-Identifier: MIT
 * memory.c: see memory.h. */
#include "os/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

/* Of a file in /proc or of a control group; the longest is memory.stat. */
enum { TEXT_MAX = 8 << 10 };

/* A limit from here on is none: version 1 says so by 2^63 less a page. */
#define NO_LIMIT (UINT64_C(1) << 60)

/* The names that a version of control groups has for the same things. */
struct group_files {
    const char *mount;
    const char *limits[2]; /* the lower one holds; the second may be NULL */
    const char *usage;
    const char *inactive,
        *active; /* lines of memory.stat: pages of files, of the groups below too */
};

static const struct group_files version_1 = {
    .mount = "/sys/fs/cgroup/memory",
    .limits = {"memory.limit_in_bytes", NULL},
    .usage = "memory.usage_in_bytes",
    .inactive = "total_inactive_file",
    .active = "total_active_file",
};
static const struct group_files version_2 = {
    .mount = "/sys/fs/cgroup",
    .limits = {"memory.max", "memory.high"},
    .usage = "memory.current",
    .inactive = "inactive_file",
    .active = "active_file",
};

/* ---- Text ----------------------------------------------------------------------------------- */

/* The beginning of a file, ended by a zero: as much as fits. */
static int read_text(const char *path, char text[TEXT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && size < TEXT_MAX - 1) {
        got = read(fd, text + size, TEXT_MAX - 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    int result = got < 0 ? -errno : 0;
    close(fd);
    text[size] = '\0';
    return result;
}

/* The number in the line that begins with `name`, and there with a colon or spaces behind it. */
static bool find_number(const char *text, const char *name, uint64_t *number)
{
    size_t size = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) != 0 || (line[size] != ':' && line[size] != ' '))
            continue;
        const char *digits = line + size + strspn(line + size, ": ");
        *number = strtoull(digits, NULL, 10);
        return *digits >= '0' && *digits <= '9';
    }
    return false;
}

static uint64_t less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

/* ---- Control groups ------------------------------------------------------------------------- */

static bool read_group_file(const char *group, const char *file, char text[TEXT_MAX])
{
    char path[OS_PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", group, file);
    return (size_t)size < sizeof path && read_text(path, text) == 0;
}

/* False if it is not there or says no number ("max"). */
static bool read_group_number(const char *group, const char *file, char text[TEXT_MAX],
                              uint64_t *number)
{
    if (!read_group_file(group, file, text) || text[0] < '0' || text[0] > '9')
        return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

/* What one group has room for; UINT64_MAX if it has no limit. */
static uint64_t room_in(const char *group, const struct group_files *files, char text[TEXT_MAX])
{
    uint64_t limit = NO_LIMIT, usage = 0, inactive = 0, active = 0, found;
    for (size_t i = 0; i < 2 && files->limits[i] != NULL; i++) {
        if (read_group_number(group, files->limits[i], text, &found) && found < limit)
            limit = found;
    }
    if (limit == NO_LIMIT)
        return UINT64_MAX;
    if (!read_group_number(group, files->usage, text, &usage))
        return limit;
    if (read_group_file(group, "memory.stat", text)) {
        (void)find_number(text, files->inactive, &inactive);
        (void)find_number(text, files->active, &active);
    }
    return less(limit, less(usage, inactive + active));
}

/* The group of `name` and all around it. One that is not to be seen from here (a container may see
 * no more than its own group, and that at the mount, while its name is what it has outside) does
 * not limit. */
static uint64_t room_around(const char *root, const struct group_files *files, const char *name,
                            char text[TEXT_MAX])
{
    char group[OS_PATH_MAX];
    int outermost = snprintf(group, sizeof group, "%s%s", root, files->mount);
    int size = snprintf(group, sizeof group, "%s%s%s", root, files->mount, name);
    if ((size_t)size >= sizeof group)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t room = room_in(group, files, text);
        least = room < least ? room : least;
        char *cut = strrchr(group + outermost, '/');
        if (cut == NULL)
            return least;
        *cut = '\0';
    }
}

/* Does a list such as "cpu,memory" have it? */
static bool has_memory(const char *list, size_t size)
{
    static const char name[] = "memory";
    for (const char *end = list + size; list < end;) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        size_t length = (size_t)((comma != NULL ? comma : end) - list);
        if (length == sizeof name - 1 && memcmp(list, name, length) == 0)
            return true;
        list += length + 1;
    }
    return false;
}

/* By the lines of /proc/self/cgroup: number, controllers, name. Version 2 has the number 0 and no
 * controllers there. */
static uint64_t room_in_groups(const char *root, char *lines, char text[TEXT_MAX])
{
    uint64_t least = UINT64_MAX;
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *controllers = strchr(line, ':');
        const char *name = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (name == NULL)
            continue;
        size_t size = (size_t)(name - controllers - 1);
        const struct group_files *files = size == 0                           ? &version_2
                                          : has_memory(controllers + 1, size) ? &version_1
                                                                              : NULL;
        uint64_t room = files != NULL ? room_around(root, files, name + 1, text) : UINT64_MAX;
        least = room < least ? room : least;
    }
    return least;
}

/* ---- Both ----------------------------------------------------------------------------------- */

static int machine_available(const char *root, char text[TEXT_MAX], uint64_t *bytes)
{
    char path[OS_PATH_MAX];
    uint64_t kib;
    int size = snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if ((size_t)size >= sizeof path)
        return -ENAMETOOLONG;
    int result = read_text(path, text);
    if (result != 0)
        return result;
    if (!find_number(text, "MemAvailable", &kib) || kib > UINT64_MAX / 1024)
        return -EINVAL;
    *bytes = kib * 1024;
    return 0;
}

int memory_available(const char *root, uint64_t *bytes)
{
    char text[TEXT_MAX], lines[TEXT_MAX], path[OS_PATH_MAX];
    int result = machine_available(root, text, bytes);
    if (result != 0)
        return result;
    int size = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if ((size_t)size < sizeof path && read_text(path, lines) == 0) {
        uint64_t room = room_in_groups(root, lines, text);
        *bytes = room < *bytes ? room : *bytes;
    }
    return 0;
}
