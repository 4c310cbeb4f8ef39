/* SPDX-License-Identifier: MIT
 * reader_fast.h: the short way of a look-up, for reader.c.
 *
 * Nearly all look-ups are plain: as of now, no batch is being published, and the first candidate is
 * a record of the key without an expiry, or there is no candidate. These are answered here, in one
 * function without calls; everything else is left to the long way, which begins anew. A look-up
 * that waits for memory takes about as long as it waits, and how many waits overlap is a matter of
 * how many instructions lie between them: the processor begins with the next look-up if that is
 * within some 500.
 *
 * The steps and their order are those of find_now: why they are enough is said in undo.c.
 * Only where the processor multiplies without carry (checksum_inline.h). */
#ifndef ENGINE_READER_FAST_H
#define ENGINE_READER_FAST_H

#include "base/checksum_inline.h"
#include "base/planted.h"
#include "engine/reader.h"

#if CHECKSUM_INLINE

/* memcpy of 16 to 256 bytes, which a call would cost more than the bytes do. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t at = 0; at + 16 < size; at += 16)
        memcpy(to + at, from + at, 16);
    memcpy(to + size - 16, from + size - 16, 16);
}

CHECKSUM_WIDE_FUNCTION void copy_short_wide(uint8_t *to, const uint8_t *from, size_t size)
{
    if (LIKELY(size >= 64)) {
        for (size_t at = 0; at + 64 < size; at += 64)
            _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
        _mm512_storeu_si512(to + size - 64, _mm512_loadu_si512(from + size - 64));
    } else {
        copy_short(to, from, size);
    }
}

enum fast_answer {
    FAST_FOUND,
    FAST_ABSENT,
    FAST_UNKNOWN, /* go the long way */
};

/* Does the thread own its line in epochs? Else its counting in and out takes longer anyway. */
static inline bool fast_owns_line(void)
{
    return LIKELY(epoch_thread_number - 1 < EPOCH_OWNED);
}

/* Is the record at hit->place the key's, as far as can be told without its checksum? */
static inline bool fast_match(slice key, struct reader_hit *hit)
{
#ifdef SEGMENT_PROVE_APART
    return segment_prove(hit->segment, hit->place.offset, key, true, &hit->record) == PROOF_MATCH &&
           (hit->record.shape.flags & RECORD_EXPIRES) == 0;
#else
    /* As segment_readable_from; nothing is readable where there is no map. */
    const struct segment *segment = hit->segment;
    uintptr_t record = (uintptr_t)segment->map + hit->place.offset;
    PREFETCH(record + 64); /* the header is loaded at once anyway */
    PREFETCH(record + 128);
    uint64_t readable = atomic_load_explicit(&segment->readable, memory_order_acquire);
    if (UNLIKELY(hit->place.offset >= readable) ||
        UNLIKELY(hit->place.offset >=
                 atomic_load_explicit(&segment->suspect, memory_order_relaxed)))
        return false;
    slice in = slice_of((const uint8_t *)record, readable - hit->place.offset);
    hit->record.bytes = in.data;
    return LIKELY(record_parse_plain_of(in, key.size, &hit->record.shape)) &&
           LIKELY(slice_equal(segment_record_key(&hit->record), key));
#endif
}

/* Inside an epoch. On FOUND *hit is set; its checksum remains to be looked at. */
static inline __attribute__((always_inline)) enum fast_answer
fast_find(struct store *store, uint64_t hash, slice key, struct reader_hit *hit)
{
    const struct undo *undo = &store->undo;
    uint64_t batches = undo_batches(undo), word;
    enum fast_answer answer = FAST_ABSENT;
    bool stash;
    if (keydir_peek(store->shown, hash, &word, &stash)) {
        if (UNLIKELY(!keydir_word_place(word, &hit->place)))
            return FAST_UNKNOWN;
        hit->segment = segments_at(&store->segments, hit->place.segment_slot);
        if (UNLIKELY(!fast_match(key, hit)))
            return FAST_UNKNOWN;
        answer = FAST_FOUND;
    } else if (UNLIKELY(stash)) {
        return FAST_UNKNOWN;
    }
    bool still = undo_floor(undo) == UINT64_MAX &&
                 (undo_batches(undo) == batches || PLANTED(batch_unnoticed));
    return LIKELY(still) ? answer : FAST_UNKNOWN;
}

#endif
#endif
