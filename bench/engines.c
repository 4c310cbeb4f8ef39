/* SPDX-License-Identifier: MIT
 * engines.c: the engines that this program was built with. */
#include <stddef.h>

#include "engine.h"

#ifndef BENCH_PEERS /* X(NAME) for each of which meson.build has found the library */
#define BENCH_PEERS
#endif

#define X(name) extern const struct bench_engine bench_##name##_engine;
BENCH_PEERS
#undef X

const struct bench_engine *const bench_engines[] = {
    &bench_empty_engine,
    &bench_bare_engine,
    &bench_bitcask_engine,
    &bench_unverified_engine,
#define X(name) &bench_##name##_engine,
    BENCH_PEERS
#undef X
        NULL,
};
