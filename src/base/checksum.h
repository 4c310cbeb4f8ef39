/* SPDX-License-Identifier: MIT
 * checksum.h: CRC-32 as zlib, gzip and PNG have it (IEEE 802.3, reflected, 0xEDB88320).
 *
 * Carry-less multiplication where the processor has it (folding as in Gopal et al., "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009), tables of eight elsewhere.
 * crc32("123456789") is 0xCBF43926. Threads: pure functions; what the processor can do is looked up
 * once and kept in a relaxed atomic. Cost: about 10 ns for 132 bytes. */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of `size` bytes behind data whose checksum is `crc` (0 to begin with), so that
 * checksum(checksum(0, a), b) == checksum(0, a || b). */
uint32_t checksum(uint32_t crc, const void *data, size_t size);

/* checksum(checksum(0, words, 16), data), the words being LE64(first), LE64(second): faster than
 * the two calls. What a record's checksum is made of. */
uint32_t checksum_words(uint64_t first, uint64_t second, const void *data, size_t size);

/* checksum(crc, the 4 bytes at `data`): what runs over the checksums of records. */
uint32_t checksum_of_four(uint32_t crc, const void *data);

/* checksum(0, a || b), from those of a and of b, whose size is `size_b` bytes. Cost: 100 ns. */
uint32_t checksum_combine(uint32_t a, uint32_t b, uint64_t size_b);

/* As checksum(), by tables on any processor; what checksum() is tested against. */
uint32_t checksum_portable(uint32_t crc, const void *data, size_t size);

/* For tests: from now on compute in this way at most. Returns the way that is used, a lower one if
 * the processor does not have it. */
enum checksum_way { CHECKSUM_PORTABLE = 1, CHECKSUM_CLMUL, CHECKSUM_WIDE };
enum checksum_way checksum_use(enum checksum_way most);

#endif
