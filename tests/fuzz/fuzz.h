/* SPDX-License-Identifier: MIT
 * fuzz.h: what the fuzz targets share.
 *
 * Each target is one function, LLVMFuzzerTestOneInput. With libFuzzer (clang -fsanitize=fuzzer) it
 * is fed with new inputs; linked with replay.c it goes through the files of its corpus. The first
 * byte of an input says what the target does to the rest before it is decoded: bit 0, make the
 * checksums good, so that what lies behind them is reached. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert, there in every build. */
#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

/* A copy of just `size` bytes, so that a read beyond them is seen. The caller frees. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    REQUIRE(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

#endif
