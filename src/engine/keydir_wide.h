/* SPDX-License-Identifier: MIT
 * keydir_wide.h: looking into both buckets of a key with registers of 64 bytes: one for each.
 *
 * For functions that have CHECKSUM_WIDE_TARGET anyway (base/checksum_inline.h); what these need is
 * as said there. A third of the instructions of keydir_matches: see engine/reader_fast.h for why
 * that counts. As there, no store tears the eight bytes of a slot, and neither does such a load. */
#ifndef ENGINE_KEYDIR_WIDE_H
#define ENGINE_KEYDIR_WIDE_H

#include "base/checksum_inline.h"
#include "engine/keydir_direct.h"

#if CHECKSUM_INLINE

#ifndef __SANITIZE_THREAD__
CHECKSUM_WIDE_FUNCTION __m512i keydir_bucket_wide(const _Atomic uint64_t *slots)
{
    return _mm512_load_si512((const void *)(uintptr_t)slots);
}

CHECKSUM_WIDE_FUNCTION uint32_t keydir_matches_wide(const _Atomic uint64_t *home,
                                                    const _Atomic uint64_t *other, uint64_t want)
{
    __m512i tags = _mm512_srli_epi64(keydir_bucket_wide(home), KEYDIR_ALTERNATE_BIT);
    uint32_t at_home = _mm512_cmpeq_epi64_mask(tags, _mm512_set1_epi64((int64_t)want));
    __asm__ volatile("" ::: "memory"); /* home first */
    tags = _mm512_srli_epi64(keydir_bucket_wide(other), KEYDIR_ALTERNATE_BIT);
    uint32_t at_other = _mm512_cmpeq_epi64_mask(tags, _mm512_set1_epi64((int64_t)(want | 1)));
    __asm__ volatile("" ::: "memory"); /* and what they point to later */
    return at_home | at_other << KEYDIR_BUCKET_SLOTS;
}

CHECKSUM_WIDE_FUNCTION uint32_t keydir_empty_wide(const _Atomic uint64_t *home,
                                                  const _Atomic uint64_t *other)
{
    __m512i a = keydir_bucket_wide(home), b = keydir_bucket_wide(other);
    uint32_t at_home = _mm512_testn_epi64_mask(a, a), at_other = _mm512_testn_epi64_mask(b, b);
    return at_home | at_other << KEYDIR_BUCKET_SLOTS;
}
#else
#define keydir_matches_wide keydir_matches
#define keydir_empty_wide keydir_empty
#endif

#endif
#endif
