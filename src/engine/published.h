/* SPDX-License-Identifier: MIT
 * published.h: how far the log is visible: told by the writer, read by its followers.
 *
 * What lies in the files of the log is more than what has happened: a record may wait for its sync,
 * belong to half a batch, or be taken back because a write failed. So after each group of writes
 * the head stores the end of what it has published into `bitcask.published`, and a follower looks
 * no further. Nobody syncs that file: after a power cut there are no followers either, and for a
 * follower that comes before the store is recovered it is one bound more.
 *
 *   F1  A follower sees no record that is not visible to the writer's own readers: not one that a
 *       failed write takes back, not an `always` write before it is durable.
 *
 * The same word is how far a change feed may read, in the writer and in a follower.
 *
 * Threads: published_start and published_set under write_mutex; the position may be loaded by
 * anyone. Cost of published_set: two stores into a mapping; where files are not written through
 * mappings, a pwrite of 16 bytes. */
#ifndef ENGINE_PUBLISHED_H
#define ENGINE_PUBLISHED_H

#include <stdatomic.h>

#include "engine/segments.h"
#include "format/published.h"

struct store;

struct published {
    _Atomic uint64_t word;   /* the position; see log_position_word */
    uint64_t capacity;       /* as in the file */
    bool started;            /* the file is there, and says the same */
    _Atomic uint64_t *words; /* the file's bytes, mapped; or NULL */
    struct os_file *file;    /* else; or NULL */
};

static inline struct log_position published_position(const struct published *published)
{
    return log_position_of(atomic_load_explicit(&published->word, memory_order_acquire));
}

/* Without a word to anyone: all log segments in the table are published to their ends. */
void published_init(struct store *store);

/* Make or open the file, before the first append. Where that fails nobody can follow closely (an
 * event says so), and the store does without. */
void published_start(struct store *store);

/* All up to `end` of `segment` is published. */
void published_set(struct store *store, const struct segment *segment, uint64_t end);

/* Has something of the segment been published before, and is the file mapped? So it stays until
 * another segment is, or published_set fails, which sets writer.plain_end to 0. */
static inline bool published_is_mapped(const struct published *published,
                                       const struct segment *segment)
{
    return published->words != NULL && published->capacity == segment->map_size;
}

/* published_set for such a segment. */
static inline void published_advance(struct published *published, const struct segment *segment,
                                     uint64_t end)
{
    uint64_t word = log_position_word((struct log_position){segment->id, end}), bytes[2];
    put_u64(&bytes[0], word);
    put_u64(&bytes[1], ~word);
    atomic_store_explicit(&published->word, word, memory_order_release);
    atomic_store_explicit(&published->words[PUBLISHED_AT_POSITION / 8], bytes[0],
                          memory_order_release);
    atomic_store_explicit(&published->words[PUBLISHED_AT_COMPLEMENT / 8], bytes[1],
                          memory_order_release);
}

void published_release(struct store *store);

/* Read it as a follower. Returns OK; NOT_FOUND if there is none of this store's, or nothing that
 * makes sense in it; IO. *capacity: how large the segment may become. */
bitcask_status published_read(struct segments *table, struct log_position *position,
                              uint64_t *capacity, bitcask_error *error);

#endif
