/* SPDX-License-Identifier: MIT
 * checksum.c: CRC-32 by carry-less multiplication, and by tables where there is none.
 * The arithmetic: checksum_inline.h. */
#include "base/checksum_inline.h"

#include <stdbool.h>

#include "base/bytes.h"
#include "base/check.h"

/* ---- Tables ---------------------------------------------------------------------------------- */

/* TABLES[k][b] is the checksum of byte b followed by k zero bytes. That is linear in the bits of b,
 * so each table follows from its eight entries 1, 2, 4, ... 128. */
#define BASIS_0 \
    0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320
#define BASIS_1 \
    0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b
#define BASIS_2 \
    0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80
#define BASIS_3 \
    0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b
#define BASIS_4 \
    0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1, 0x60e09782, 0xc1c12f04, 0x58f35849, 0xb1e6b092
#define BASIS_5 \
    0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d, 0x03d6029b, 0x07ac0536, 0x0f580a6c, 0x1eb014d8
#define BASIS_6 \
    0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67, 0x67de9cce, 0xcfbd399c, 0x440b7579, 0x8816eaf2
#define BASIS_7 \
    0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5, 0x7cbb312b, 0xf9766256, 0x299dc2ed, 0x533b85da

#define SUM(n, b0, b1, b2, b3, b4, b5, b6, b7)                                       \
    (((n)&1 ? b0 : 0u) ^ ((n)&2 ? b1 : 0u) ^ ((n)&4 ? b2 : 0u) ^ ((n)&8 ? b3 : 0u) ^ \
     ((n)&16 ? b4 : 0u) ^ ((n)&32 ? b5 : 0u) ^ ((n)&64 ? b6 : 0u) ^ ((n)&128 ? b7 : 0u))
#define ONE(n, ...) SUM(n, __VA_ARGS__)
#define FOUR(n, ...) \
    ONE(n, __VA_ARGS__), ONE(n + 1, __VA_ARGS__), ONE(n + 2, __VA_ARGS__), ONE(n + 3, __VA_ARGS__)
#define SIXTEEN(n, ...)                                                       \
    FOUR(n, __VA_ARGS__), FOUR(n + 4, __VA_ARGS__), FOUR(n + 8, __VA_ARGS__), \
        FOUR(n + 12, __VA_ARGS__)
#define SIXTY_FOUR(n, ...)                                                               \
    SIXTEEN(n, __VA_ARGS__), SIXTEEN(n + 16, __VA_ARGS__), SIXTEEN(n + 32, __VA_ARGS__), \
        SIXTEEN(n + 48, __VA_ARGS__)
#define TABLE(...)                                                                             \
    {                                                                                          \
        SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__), \
            SIXTY_FOUR(192, __VA_ARGS__)                                                       \
    }

static const uint32_t TABLES[8][256] = {
    TABLE(BASIS_0), TABLE(BASIS_1), TABLE(BASIS_2), TABLE(BASIS_3),
    TABLE(BASIS_4), TABLE(BASIS_5), TABLE(BASIS_6), TABLE(BASIS_7),
};

uint32_t checksum_portable(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    crc = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint32_t lo = crc ^ get_u32(p);
        uint32_t hi = get_u32(p + 4);
        crc = TABLES[7][lo & 255] ^ TABLES[6][lo >> 8 & 255] ^ TABLES[5][lo >> 16 & 255] ^
              TABLES[4][lo >> 24] ^ TABLES[3][hi & 255] ^ TABLES[2][hi >> 8 & 255] ^
              TABLES[1][hi >> 16 & 255] ^ TABLES[0][hi >> 24];
    }
    for (; size > 0; p++, size--)
        crc = crc >> 8 ^ TABLES[0][(crc ^ *p) & 255];
    return ~crc;
}

static uint32_t words_portable(uint64_t first, uint64_t second, const void *data, size_t size)
{
    uint8_t words[16];
    put_u64(words, first);
    put_u64(words + 8, second);
    return checksum_portable(checksum_portable(0, words, sizeof words), data, size);
}

_Atomic int checksum_way_in_use;

#if CHECKSUM_INLINE
/* ---- Carry-less multiplication, in registers of 64 bytes too --------------------------------- */

enum {
    WIDE_MIN = 256, /* inputs of this size and more are worth four lanes of wide registers */
};

const uint8_t checksum_shifts[48] = {
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
    0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
};

/* As checksum_finish(), four lanes of 64 bytes; size >= WIDE_MIN. */
CHECKSUM_WIDE_TARGET static uint32_t finish_wide(__m128i x, const uint8_t *p, size_t size)
{
    const __m512i by_256 = checksum_pair_wide(CHECKSUM_FOLD_256),
                  by_64 = checksum_pair_wide(CHECKSUM_FOLD_64);
    __m512i x0 = _mm512_alignr_epi64(_mm512_loadu_si512(p), _mm512_broadcast_i64x2(x), 6);
    __m512i x1 = _mm512_loadu_si512(p + 48), x2 = _mm512_loadu_si512(p + 112);
    __m512i x3 = _mm512_loadu_si512(p + 176);
    p += 240, size -= 240;
    for (; size >= 256; p += 256, size -= 256) {
        x0 = checksum_fold_wide(x0, by_256, _mm512_loadu_si512(p));
        x1 = checksum_fold_wide(x1, by_256, _mm512_loadu_si512(p + 64));
        x2 = checksum_fold_wide(x2, by_256, _mm512_loadu_si512(p + 128));
        x3 = checksum_fold_wide(x3, by_256, _mm512_loadu_si512(p + 192));
    }
    x3 = checksum_fold_wide(x0, checksum_pair_wide(CHECKSUM_FOLD_192), x3);
    x1 = checksum_fold_wide(x1, checksum_pair_wide(CHECKSUM_FOLD_128), _mm512_setzero_si512());
    x0 = _mm512_xor_si512(x1, checksum_fold_wide(x2, by_64, x3));
    for (; size >= 64; p += 64, size -= 64)
        x0 = checksum_fold_wide(x0, by_64, _mm512_loadu_si512(p));
    x = _mm512_extracti64x2_epi64(x0, 3);
    x = checksum_fold(_mm512_castsi512_si128(x0), checksum_pair(CHECKSUM_FOLD_48), x);
    x = checksum_fold(_mm512_extracti64x2_epi64(x0, 1), checksum_pair(CHECKSUM_FOLD_32), x);
    x = checksum_fold(_mm512_extracti64x2_epi64(x0, 2), checksum_pair(CHECKSUM_FOLD_16), x);
    uint32_t crc = checksum_finish(x, p, size);
    _mm256_zeroupper(); /* not left to the compiler: 160 ns where one forgets it */
    return crc;
}

/* Less than 16 bytes, right-aligned in a register; the running checksum goes into the first four,
 * and what of it goes beyond the last is left as it is. */
CHECKSUM_TARGET static uint32_t short_clmul(uint32_t crc, const uint8_t *p, size_t size)
{
    const unsigned shift = 128 - 8 * (unsigned)size;
    unsigned __int128 x = (uint32_t)~crc;
    if (size >= 8)
        x ^= get_u64(p) | (unsigned __int128)get_u64(p + size - 8) << (8 * (size - 8));
    else if (size >= 4)
        x ^= get_u32(p) | (uint64_t)get_u32(p + size - 4) << (8 * (size - 4));
    else if (size > 0)
        x ^= p[0] | (uint32_t)p[size / 2] << (8 * (size / 2)) |
             (uint32_t)p[size - 1] << (8 * (size - 1));
    else
        return crc;
    uint32_t beyond = size < 4 ? ~crc >> (8 * size) : 0;
    x <<= shift;
    return checksum_reduce(checksum_pair((int64_t)(uint64_t)x, (int64_t)(uint64_t)(x >> 64))) ^
           beyond;
}

CHECKSUM_TARGET static uint32_t checksum_clmul(uint32_t crc, const uint8_t *p, size_t size,
                                               bool wide)
{
    if (size < 16)
        return short_clmul(crc, p, size);
    __m128i x = _mm_xor_si128(checksum_load(p), _mm_cvtsi32_si128((int)~crc));
    if (wide && size - 16 >= WIDE_MIN)
        return finish_wide(x, p + 16, size - 16);
    return checksum_finish(x, p + 16, size - 16);
}

CHECKSUM_WIDE_TARGET static uint32_t words_wide(uint64_t first, uint64_t second, const uint8_t *p,
                                                size_t size)
{
    uint32_t crc = checksum_words_wide(first, second, p, size);
    _mm256_zeroupper(); /* not left to the compiler: 160 ns where one forgets it */
    return crc;
}

CHECKSUM_TARGET static uint32_t words_clmul(uint64_t first, uint64_t second, const uint8_t *p,
                                            size_t size, bool wide)
{
    if (wide && size <= CHECKSUM_WORDS_MAX)
        return words_wide(first, second, p, size);
    if (wide)
        return finish_wide(checksum_pair((int64_t)(first ^ 0xffffffff), (int64_t)second), p, size);
    return checksum_words_inline(first, second, p, size);
}

/* ---- Choice ---------------------------------------------------------------------------------- */

static enum checksum_way find_way(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return CHECKSUM_PORTABLE;
    if (!__builtin_cpu_supports("vpclmulqdq") || !__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vbmi2") ||
        !__builtin_cpu_supports("bmi2"))
        return CHECKSUM_CLMUL;
    return CHECKSUM_WIDE;
}

__attribute__((cold, noinline)) enum checksum_way checksum_use(enum checksum_way most)
{
    enum checksum_way way = find_way();
    way = way < most ? way : most;
    atomic_store_explicit(&checksum_way_in_use, (int)way, memory_order_relaxed);
    return way;
}

static inline int get_way(void)
{
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    return LIKELY(way != 0) ? way : (int)checksum_use(CHECKSUM_WIDE);
}

uint32_t checksum(uint32_t crc, const void *data, size_t size)
{
    int way = get_way();
    if (LIKELY(way >= CHECKSUM_CLMUL))
        return checksum_clmul(crc, data, size, way == CHECKSUM_WIDE);
    return checksum_portable(crc, data, size);
}

CHECKSUM_TARGET static uint32_t four_clmul(uint32_t crc, const void *data)
{
    return checksum_reduce(checksum_pair(0, (int64_t)((uint64_t)(~crc ^ get_u32(data)) << 32)));
}

uint32_t checksum_of_four(uint32_t crc, const void *data)
{
    if (LIKELY(get_way() >= CHECKSUM_CLMUL))
        return four_clmul(crc, data);
    return checksum_portable(crc, data, 4);
}

uint32_t checksum_words(uint64_t first, uint64_t second, const void *data, size_t size)
{
    int way = get_way();
    if (LIKELY(way >= CHECKSUM_CLMUL && size >= 16))
        return words_clmul(first, second, data, size, way == CHECKSUM_WIDE);
    return words_portable(first, second, data, size);
}

#else

uint32_t checksum(uint32_t crc, const void *data, size_t size)
{
    return checksum_portable(crc, data, size);
}

uint32_t checksum_words(uint64_t first, uint64_t second, const void *data, size_t size)
{
    return words_portable(first, second, data, size);
}

uint32_t checksum_of_four(uint32_t crc, const void *data)
{
    return checksum_portable(crc, data, 4);
}

enum checksum_way checksum_use(enum checksum_way most)
{
    (void)most;
    return CHECKSUM_PORTABLE;
}

#endif

/* The product of two polynomials of degree below 32, without the rest that the checksum's leaves.
 * Bit 31 is the coefficient of x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ UINT32_C(0xedb88320) : b >> 1;
    }
    return product;
}

uint32_t checksum_combine(uint32_t a, uint32_t b, uint64_t size_b)
{
    uint32_t power = UINT32_C(1) << 23; /* x^8: one byte further */
    for (uint64_t left = size_b; left != 0; left >>= 1) {
        if (left & 1)
            a = multiply(a, power);
        power = multiply(power, power);
    }
    return a ^ b;
}
