/* SPDX-License-Identifier: MIT
 * reader.h: look-ups. Any thread, no locks: epoch in, index, record, proof, epoch out.
 *
 * What is seen: the newest record of each key, but of a batch that is being published nothing; or
 * the store as of a snapshot. See engine/undo.h. */
#ifndef ENGINE_READER_H
#define ENGINE_READER_H

#include "engine/snapshot.h"
#include "engine/store.h"

/* A key's newest record, as found inside an epoch. */
struct reader_hit {
    struct keydir_place place;
    struct segment *segment;
    struct segment_record record;
};

/* Look `key` up in the index: its newest record, of a batch that is being published too. Inside an
 * epoch (or holding write_mutex, as the writer). Does not judge expiry.
 * Returns OK; NOT_FOUND; CORRUPT if an unproven record may have been the key's, with the place in
 * *hit if it is not NULL (hit->segment, hit->place). */
bitcask_status reader_find(struct store *store, uint64_t hash, slice key, bool verify,
                           struct reader_hit *hit);

/* Ask the processor for the record of a hash's first candidate, whose buckets have been asked for
 * some time ago, so that the misses of many look-ups overlap. Inside an epoch, or as the writer. */
static inline void reader_prefetch(struct store *store, const struct keydir *keydir, uint64_t hash)
{
    struct keydir_place place;
    if (keydir_first(keydir, hash, &place))
        segment_prefetch(segments_at(&store->segments, place.segment_slot), place.offset);
}

/* The same for many keys, from the start. */
void reader_prefetch_keys(struct store *store, const slice *keys, size_t count);

/* How the functions below read. */
struct reader_options {
    bool verify;                       /* check the checksum of what is found */
    struct bitcask_snapshot *snapshot; /* read as of it; NULL: as of now */
};

/* get and view as of now, verified as the store's option says, which a tracer can listen to: the
 * way of nearly all look-ups. */
bitcask_status reader_get_plain(struct store *store, slice key, bitcask_buffer *value,
                                bitcask_meta *meta, bitcask_error *error);
bitcask_status reader_view_plain(struct store *store, slice key, bitcask_view *view,
                                 bitcask_error *error);

bitcask_status reader_get(struct store *store, slice key, const struct reader_options *options,
                          bitcask_buffer *value, bitcask_meta *meta, bitcask_error *error);
bitcask_status reader_stat(struct store *store, slice key, const struct reader_options *options,
                           bitcask_meta *meta, bitcask_error *error);
/* *view is cleared if nothing is found. The views of reader_views are cleared by the caller. */
bitcask_status reader_view(struct store *store, slice key, const struct reader_options *options,
                           bitcask_view *view, bitcask_error *error);

/* All keys as of one moment, as far as batches are concerned: each batch is seen whole or not at
 * all. Tries without a lock, and if batches keep coming meanwhile takes a snapshot for the call. */
bitcask_status reader_views(struct store *store, const slice *keys, size_t count,
                            const struct reader_options *options, bitcask_view *views,
                            bitcask_status *each, bitcask_error *error);

#endif
