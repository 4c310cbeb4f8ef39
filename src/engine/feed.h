/* SPDX-License-Identifier: MIT
 * feed.h: the changes of a store, one after the other, from a position on.
 *
 * A feed walks the records of the log segments in their order and gives each whose version is above
 * that of the last one given. Versions rise along the log, whatever has happened to it (L1): so a
 * record that a rescue has copied is not given twice, and a position is a version, with a place as
 * a short cut.
 *
 *   C1  Every log record from the position on is given exactly once, in the order of versions, up
 *       to what is published, across rotation, merges, restarts of the feed and of the writer.
 *   C2  Where that cannot be, the feed says so and gives nothing more: GAP if a record behind the
 *       position is gone with a merged segment (the table's log_floor is above its version),
 *       DIVERGED if what the position stands behind is not in this store's history: another store
 *       or fork, a version that it has never had, a record that a crash has taken back.
 *
 * A feed pins the segment that it stands in, and nothing else: merges go on, and one that overtakes
 * it makes a gap.
 *
 * Threads: a feed belongs to one thread at a time; writers and merges go on meanwhile. */
#ifndef ENGINE_FEED_H
#define ENGINE_FEED_H

#include "engine/store.h"

/* As text it is BITCASK_POSITION_SIZE bytes at most, the terminating zero included. */
struct feed_position {
    uint64_t identity; /* of store and fork; 0: any (START) */
    uint64_t segment, offset;
    uint64_t version; /* of the last record before it; 0: none */
};

void feed_position_print(const struct feed_position *position, char text[BITCASK_POSITION_SIZE]);

/* False if `text` is no position. */
bool feed_position_parse(const char *text, struct feed_position *position);

/* `from` as in bitcask_feed_new. Returns OK; GAP; DIVERGED; INVALID; NO_MEMORY. */
bitcask_status feed_new(struct store *store, const char *from, slice prefix, bitcask_feed **feed,
                        bitcask_error *error);

/* Returns OK; END; GAP; DIVERGED; CORRUPT. What is given borrows from the segment until the next
 * call. */
bitcask_status feed_next(bitcask_feed *feed, bitcask_change *change, bitcask_error *error);

/* Behind the last change given, or passed over for its prefix. */
void feed_position(const bitcask_feed *feed, struct feed_position *position);

struct store *feed_store(const bitcask_feed *feed);
void feed_free(bitcask_feed *feed);

#endif
