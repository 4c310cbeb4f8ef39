/* SPDX-License-Identifier: MIT
 * iterator.h: a walk over all live keys, one shard of the index at a time.
 *
 * The places of a shard are copied at one instant, inside an epoch, and each distinct segment among
 * them is pinned; then the epoch is left, and the records are read with the pins alone, in the
 * order in which they lie. So an iterator may rest between two steps for as long as it likes: it
 * holds back the space of the segments of one batch and nothing else.
 *
 * Exactly once: a key's hash belongs to one shard's range of hashes, ranges are walked in order,
 * and a shard that splits meanwhile splits inside its range.
 *
 * As of now, a key written or deleted meanwhile is seen or not, and of a batch maybe a part. As of
 * a snapshot, every key is seen just as it was: records that are newer are passed over, and the
 * undo overlay adds those that the index has no more. The iterator holds its snapshot.
 *
 * Threads: one iterator belongs to one thread at a time. */
#ifndef ENGINE_ITERATOR_H
#define ENGINE_ITERATOR_H

#include "engine/reader.h"

/*   prefix   copied
 *   values   give values too
 *   options  borrowed; a snapshot in it is held until iterator_free
 * Returns OK or NO_MEMORY. */
bitcask_status iterator_new(struct store *store, slice prefix, bool values,
                            const struct reader_options *options, bitcask_iterator **iterator,
                            bitcask_error *error);

/* As bitcask_iterator_next. Cost: about one cache miss a record; a sort per shard. */
bitcask_status iterator_next(bitcask_iterator *iterator, bitcask_entry *entry,
                             bitcask_error *error);

struct store *iterator_store(const bitcask_iterator *iterator);
uint64_t iterator_cursor(bitcask_iterator *iterator);
uint64_t iterator_batch_cursor(bitcask_iterator *iterator);
void iterator_seek(bitcask_iterator *iterator, uint64_t cursor);
void iterator_free(bitcask_iterator *iterator);

#endif
