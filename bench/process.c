/* SPDX-License-Identifier: MIT
 * process.c: memory of this process, space of a directory, eviction from the page cache. */
#include "process.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t process_anonymous_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            break;
    fclose(status);
    return (uint64_t)kib << 10;
}

/* nftw hands nothing through: the sum is this file's, and the functions are for one thread. */
static struct process_space space;
static bool evicted;

static int add_space(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)path, (void)where;
    if (kind == FTW_F) {
        space.allocated_bytes += (uint64_t)info->st_blocks * 512;
        space.length_bytes += (uint64_t)info->st_size;
        space.files++;
    }
    return 0;
}

struct process_space process_space_of(const char *directory)
{
    space = (struct process_space){0};
    (void)nftw(directory, add_space, 16, FTW_PHYS);
    return space;
}

static int evict_file(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)where;
    if (kind != FTW_F)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fdatasync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        evicted = false;
    if (fd >= 0)
        close(fd);
    return 0;
}

bool process_evict(const char *directory)
{
    evicted = true;
    return nftw(directory, evict_file, 16, FTW_PHYS) == 0 && evicted;
}
