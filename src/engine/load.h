/* SPDX-License-Identifier: MIT
 * load.h: fill the keydir at open by merging the hints of all segments in hash order, and records
 * of what has none.
 *
 * Hints are sorted by hash, shards lie in hash order: so the shards are filled from left to right
 * without a cache miss and without a look at the data, by several threads that each take a range of
 * hashes. Where equal hashes meet, keys are compared (in the hints); of one key the highest version
 * wins, a tombstone that wins leaves no entry, and what loses is dead. The number of keys, which
 * sizes the keydir, is taken from a sample: the lowest 1/64 of the hashes. */
#ifndef ENGINE_LOAD_H
#define ENGINE_LOAD_H

#include "engine/hint_file.h"
#include "engine/load_records.h"
#include "engine/store.h"

struct load_input {
    struct segment *segment;
    struct hint_file hint;              /* checked whole */
    const struct load_records *records; /* or these instead, dealt; else NULL */
};

/* Fill store->keydir (new and empty) and every segment's live figures; `threads` 0: as many as
 * there are processors, at most 8. Sets *last_version to the highest version met. */
bitcask_status load_keydir(struct store *store, struct load_input *inputs, size_t count,
                           unsigned threads, uint64_t *last_version, bitcask_error *error);

/* The same for another keydir, which nobody looks at yet. */
bitcask_status load_keydir_into(struct store *store, struct keydir *keydir,
                                struct load_input *inputs, size_t count, unsigned threads,
                                uint64_t *last_version, bitcask_error *error);

/* The entries with hashes from `first` to `last`, from the hints of all segments of an open store,
 * or from the records where a hint is not good. *entries is malloc'd. Nobody writes keys of this
 * range or takes segments away meanwhile.
 * Returns OK; NO_MEMORY; CORRUPT if a segment without a good hint is damaged.
 * Cost: reads and checks all hints. */
bitcask_status load_range(struct store *store, uint64_t first, uint64_t last,
                          struct keydir_load_entry **entries, size_t *count);

#endif
