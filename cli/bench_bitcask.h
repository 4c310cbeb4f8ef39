/* SPDX-License-Identifier: MIT
 * bench_bitcask.h: the adapter of the benchmark to this library. */
#ifndef CLI_BENCH_BITCASK_H
#define CLI_BENCH_BITCASK_H

#include "bench_work.h"

/* Its store is a bitcask handle, opened and closed by the caller; errors are bitcask_status. */
extern const struct bench_engine bench_bitcask_engine;

#endif
