/* SPDX-License-Identifier: MIT
 * checksum_inline.h: the checksum by carry-less multiplication, for callers to have inline.
 *
 * For checksum.c, and for what computes it millions of times a second: there the call, and the
 * choice of a way, cost as much as half of the work. Only where checksum_way_in_use is
 * CHECKSUM_CLMUL or more, in a function with CHECKSUM_TARGET of its own.
 *
 * The bits of the message are the coefficients of a polynomial over GF(2); the checksum is the rest
 * of message * x^32 divided by P = x^32 + x^26 + ... + 1. "Reflected" means that the first bit of
 * a byte is its lowest, so in a register the lowest bit is the highest power. */
#ifndef BASE_CHECKSUM_INLINE_H
#define BASE_CHECKSUM_INLINE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/checksum.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CHECKSUM_INLINE 1
#include <immintrin.h>
#else
#define CHECKSUM_INLINE 0
#endif

/* The checksum_way in use; 0 before the first call. Threads that find it at once store the same. */
extern _Atomic int checksum_way_in_use;

#if CHECKSUM_INLINE

/* Inlined without fail: legacy-encoded instructions cost a lot while the upper halves are in use.
 */
#define CHECKSUM_TARGET __attribute__((target("pclmul,sse4.1")))
#define CHECKSUM_FUNCTION CHECKSUM_TARGET static inline __attribute__((always_inline))

/* CHECKSUM_FOLD_n = {x^(8n + 63) mod P, x^(8n - 1) mod P}, as 64 reflected bits: what the first and
 * the second half of 16 bytes are multiplied with to stand n bytes further on. One power less than
 * one would think, for the product of two reflected registers comes out multiplied with x. */
#define CHECKSUM_FOLD_0 (int64_t)0xb8bc676500000000, (int64_t)0xdb71064100000000
#define CHECKSUM_FOLD_16 0x65673b4600000000, (int64_t)0x9ba54c6f00000000
#define CHECKSUM_FOLD_32 (int64_t)0x9570d49500000000, 0x01b5fd1d00000000
#define CHECKSUM_FOLD_48 0x69ccfc0d00000000, 0x2a28386200000000
#define CHECKSUM_FOLD_64 0x653d982200000000, (int64_t)0xcad38e8f00000000
#define CHECKSUM_FOLD_128 0x7d657a1000000000, 0x7406fa9500000000
#define CHECKSUM_FOLD_192 0x67f7947600000000, (int64_t)0xc56d949600000000
#define CHECKSUM_FOLD_256 0x7cc8e1e700000000, 0x03f9f86300000000
/* x^95 mod P likewise; x^1 .. x^64 of x^96 / P; P itself, its 33 bits at the low end. */
#define CHECKSUM_REST_96 (int64_t)0xccaa009e00000000
#define CHECKSUM_QUOTIENT (int64_t)0xb4e5b025f7011641
#define CHECKSUM_POLYNOMIAL 0x1db710641

CHECKSUM_FUNCTION __m128i checksum_pair(int64_t first, int64_t second)
{
    return _mm_set_epi64x(second, first);
}

CHECKSUM_FUNCTION __m128i checksum_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* `x`, moved on by the distance that `by` stands for, plus `next`. */
CHECKSUM_FUNCTION __m128i checksum_fold(__m128i x, __m128i by, __m128i next)
{
    __m128i first = _mm_clmulepi64_si128(x, by, 0x00);
    __m128i second = _mm_clmulepi64_si128(x, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, next), second);
}

/* The rest of x * x^32 by P (Barrett: multiply with the inverse for the quotient, multiply back,
 * subtract), and its complement. */
CHECKSUM_FUNCTION uint32_t checksum_reduce(__m128i x)
{
    __m128i s = _mm_clmulepi64_si128(x, _mm_cvtsi64_si128(CHECKSUM_REST_96), 0x00);
    s = _mm_xor_si128(s, _mm_slli_si128(_mm_srli_si128(x, 8), 4)); /* now of 96 bits */
    __m128i q =
        _mm_clmulepi64_si128(_mm_srli_si128(s, 4), _mm_cvtsi64_si128(CHECKSUM_QUOTIENT), 0x00);
    __m128i t = _mm_clmulepi64_si128(q, _mm_cvtsi64_si128(CHECKSUM_POLYNOMIAL), 0x00);
    return ~(uint32_t)(_mm_extract_epi32(s, 3) ^ _mm_extract_epi32(t, 2));
}

/* Masks that move the bytes of a register: from checksum_shifts + n up by 16 - n, from
 * checksum_shifts + 16 + n down by n; a place whose mask is negative becomes zero. */
extern const uint8_t checksum_shifts[48];

/* `x` stands for all before `p`; take in the rest, less than 16 bytes, of which (and of the bytes
 * before them) the last 16 are `last`. */
CHECKSUM_FUNCTION __m128i checksum_fold_tail(__m128i x, __m128i last, size_t size)
{
    __m128i first = _mm_shuffle_epi8(x, checksum_load(checksum_shifts + size));
    __m128i second = _mm_shuffle_epi8(x, checksum_load(checksum_shifts + 16 + size));
    /* 255 where `last` is to be taken: where the second half of the mask runs out. */
    __m128i taken = checksum_load(checksum_shifts + 16 + size);
    return checksum_fold(first, checksum_pair(CHECKSUM_FOLD_16),
                         _mm_blendv_epi8(second, last, taken));
}

/* Four lanes in turn, then the four become one. */
CHECKSUM_FUNCTION __m128i checksum_fold_lanes(__m128i x0, const uint8_t **at, size_t *left)
{
    const uint8_t *p = *at;
    size_t size = *left;
    __m128i x1 = checksum_load(p), x2 = checksum_load(p + 16), x3 = checksum_load(p + 32);
    p += 48, size -= 48;
    for (; size >= 64; p += 64, size -= 64) {
        __m128i by = checksum_pair(CHECKSUM_FOLD_64);
        x0 = checksum_fold(x0, by, checksum_load(p));
        x1 = checksum_fold(x1, by, checksum_load(p + 16));
        x2 = checksum_fold(x2, by, checksum_load(p + 32));
        x3 = checksum_fold(x3, by, checksum_load(p + 48));
    }
    *at = p;
    *left = size;
    x3 = checksum_fold(x0, checksum_pair(CHECKSUM_FOLD_48), x3);
    x1 = checksum_fold(x1, checksum_pair(CHECKSUM_FOLD_32), _mm_setzero_si128());
    return _mm_xor_si128(x1, checksum_fold(x2, checksum_pair(CHECKSUM_FOLD_16), x3));
}

/* The checksum of the 16 bytes in `x` and then `size` bytes. If size < 16, the 16 bytes before
 * data + size must be readable. */
CHECKSUM_FUNCTION uint32_t checksum_finish(__m128i x, const uint8_t *p, size_t size)
{
    if (size >= 48)
        x = checksum_fold_lanes(x, &p, &size);
    for (; size >= 16; p += 16, size -= 16)
        x = checksum_fold(x, checksum_pair(CHECKSUM_FOLD_16), checksum_load(p));
    if (size > 0)
        x = checksum_fold_tail(x, checksum_load(p + size - 16), size);
    return checksum_reduce(x);
}

/* As checksum_words; size >= 16. */
CHECKSUM_FUNCTION uint32_t checksum_words_inline(uint64_t first, uint64_t second, const uint8_t *p,
                                                 size_t size)
{
    __m128i x = checksum_pair((int64_t)(first ^ 0xffffffff), (int64_t)second);
    return checksum_finish(x, p, size);
}

/* ---- In registers of 64 bytes ------------------------------------------------------------- */

/* A function with CHECKSUM_WIDE_TARGET, of which these become a part, is only for where
 * checksum_way_in_use is CHECKSUM_WIDE; after the last of them it is to call _mm256_zeroupper. */
#define CHECKSUM_WIDE_TARGET \
    __attribute__((          \
        target("pclmul,sse4.1,avx512f,avx512vl,avx512dq,avx512bw,avx512vbmi2,bmi2,vpclmulqdq")))
#define CHECKSUM_WIDE_FUNCTION CHECKSUM_WIDE_TARGET static inline __attribute__((always_inline))

enum { CHECKSUM_WORDS_MAX = 512 }; /* for larger input checksum_words is better, with four lanes */

CHECKSUM_WIDE_FUNCTION __m512i checksum_pair_wide(int64_t first, int64_t second)
{
    return _mm512_broadcast_i64x2(checksum_pair(first, second));
}

CHECKSUM_WIDE_FUNCTION __m512i checksum_fold_wide(__m512i x, __m512i by, __m512i next)
{
    __m512i first = _mm512_clmulepi64_epi128(x, by, 0x00);
    __m512i second = _mm512_clmulepi64_epi128(x, by, 0x11);
    return _mm512_ternarylogic_epi64(first, second, next, 0x96); /* xor of the three */
}

/* What each 16 bytes of the last 64 are multiplied with to stand at the end. */
CHECKSUM_WIDE_FUNCTION __m512i checksum_by_lane(void)
{
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(
            _mm256_set_m128i(checksum_pair(CHECKSUM_FOLD_32), checksum_pair(CHECKSUM_FOLD_48))),
        _mm256_set_m128i(checksum_pair(CHECKSUM_FOLD_0), checksum_pair(CHECKSUM_FOLD_16)), 1);
}

/* What `size` bytes are that come behind 16 in `words`, in one lane of 64 bytes with zeros put
 * before the first, which change nothing; `copies`: to `to`, as well. Returns 16 bytes that have
 * the same rest. What counts here is how few instructions wait for the data: a processor that waits
 * for a record from memory goes on to the next look-up as long as it has room for those that cannot
 * start, about a hundred, which the narrow way fills with one record of 132 bytes. */
CHECKSUM_WIDE_FUNCTION __m128i checksum_lane_wide(__m128i words, const uint8_t *p, size_t size,
                                                  bool copies, uint8_t *to)
{
    const __m512i by_64 = checksum_pair_wide(CHECKSUM_FOLD_64);
    const __m512i wide = _mm512_zextsi128_si512(words);
    const uint8_t *end = p + size;
    unsigned begin = (size + 15) % 64 + 1, with; /* bytes of the first 64, and of them data */
    __m512i x;
    if (begin >= 16) {
        with = begin - 16;
        x = _mm512_maskz_expand_epi8(UINT64_C(0xffff) << (64 - begin), wide);
    } else { /* the words lie across the first 64 and the second */
        with = begin + 48;
        x = checksum_fold_wide(
            _mm512_maskz_expand_epi8(~UINT64_C(0) << (64 - begin), wide), by_64,
            _mm512_maskz_compress_epi8((__mmask64)(0xffff & ~0u << begin), wide));
    }
    /* Loaded from where the data begins: what lies before it is another line to wait for. */
    __mmask64 there = size < 64 ? ~(~UINT64_C(0) << size) : ~UINT64_C(0);
    __m512i head = _mm512_maskz_loadu_epi8(there, p);
    if (copies) {
        _mm512_mask_storeu_epi8(to, there, head);
        to += with;
    }
    x = _mm512_xor_si512(x, _mm512_maskz_expand_epi8(~(~UINT64_C(0) >> with), head));
    for (p += with; p < end; p += 64) {
        __m512i next = _mm512_loadu_si512(p);
        if (copies) {
            _mm512_storeu_si512(to, next);
            to += 64;
        }
        x = checksum_fold_wide(x, by_64, next);
    }
    x = checksum_fold_wide(x, checksum_by_lane(), _mm512_setzero_si512());
    __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* As checksum_words; for up to CHECKSUM_WORDS_MAX bytes. */
CHECKSUM_WIDE_FUNCTION uint32_t checksum_words_wide(uint64_t first, uint64_t second,
                                                    const uint8_t *p, size_t size)
{
    __m128i words = checksum_pair((int64_t)(first ^ 0xffffffff), (int64_t)second);
    return checksum_reduce(checksum_lane_wide(words, p, size, false, NULL));
}

#endif
#endif
