/* SPDX-License-Identifier: MIT
 * memory.h: how much memory there is for pages of files, by what Linux tells in /proc and in the
 * files of control groups. For os_posix.c; a test gives it a tree of its own. */
#ifndef OS_MEMORY_H
#define OS_MEMORY_H

#include <stdint.h>

/* The least of: what the machine has free or could take back (MemAvailable), and for each memory
 * control group of this process (of version 1 or 2), up to the outermost that can be seen, its
 * limit less what is in use there and is no page of a file. Pages of files that are in memory
 * already count as available.
 *   root   "", or a directory in which proc/ and sys/fs/cgroup/ are looked for
 *   bytes  set on 0
 * Returns 0, or -errno if not even the machine's memory is told. A group that cannot be read does
 * not limit. Cost: about 50 us, and as much for each group with a limit. */
int memory_available(const char *root, uint64_t *bytes);

#endif
