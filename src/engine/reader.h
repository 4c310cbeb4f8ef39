/* SPDX-License-Identifier: MIT
 * reader.h: look-ups. Any thread, no locks: epoch in, index, record, proof, epoch out. */
#ifndef ENGINE_READER_H
#define ENGINE_READER_H

#include "engine/store.h"

/* A key's newest record, as found inside an epoch. */
struct reader_hit {
    struct keydir_place place;
    struct segment *segment;
    struct segment_record record;
};

/* Look `key` up. Inside an epoch (or holding write_mutex, as the writer). Does not judge expiry.
 * Returns OK; NOT_FOUND; CORRUPT if an unproven record may have been the key's, with the place in
 * *hit if it is not NULL (hit->segment, hit->place). */
bitcask_status reader_find(struct store *store, uint64_t hash, slice key, bool verify,
                           struct reader_hit *hit);

bitcask_status reader_get(struct store *store, slice key, bool verify, bitcask_buffer *value,
                          bitcask_meta *meta, bitcask_error *error);
bitcask_status reader_stat(struct store *store, slice key, bool verify, bitcask_meta *meta,
                           bitcask_error *error);
bitcask_status reader_view(struct store *store, slice key, bool verify, bitcask_view *view,
                           bitcask_error *error);
bitcask_status reader_views(struct store *store, const slice *keys, size_t count, bool verify,
                            bitcask_view *views, bitcask_status *each, bitcask_error *error);

#endif
