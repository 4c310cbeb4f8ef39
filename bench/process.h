/* SPDX-License-Identifier: MIT
 * process.h: what a benchmark asks the system: memory of this process, space of a directory, and
 * that files be dropped from the page cache. */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Anonymous memory of this process that is resident, in bytes; 0 if it cannot be told. */
uint64_t process_anonymous_bytes(void);

/* Of all files in `directory`, its subdirectories included: what they take on the device, and how
 * long they are. */
struct process_space {
    uint64_t allocated_bytes, length_bytes, files;
};
struct process_space process_space_of(const char *directory);

/* Write the files of `directory` out and drop them from the page cache. No process may have them
 * mapped. False if a file could not be opened. */
bool process_evict(const char *directory);

#endif
