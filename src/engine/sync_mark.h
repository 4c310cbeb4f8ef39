/* SPDX-License-Identifier: MIT
 * sync_mark.h: which segment was being synced when the process died.
 *
 * After a sync that failed the page cache takes for written what is not on the disk, and no later
 * sync of that file tells (docs/DURABILITY.md, R1). Whoever got the error knows; unless it was
 * killed at that moment. So before each sync of the log the segment's id is stored into a word of
 * `bitcask.published`, which outlives the process as the page cache does, and taken out when the
 * sync has succeeded. After a failed one nothing is known, as long as the process lives.
 *
 * Recovery believes the page cache of a segment that the word does not name, once a sync of its own
 * has succeeded: an error that nobody has been told of is told to the next sync, whoever asks for
 * it (struct os_traits, sync_tells_all). What the word says after a power cut does not matter: the
 * page cache is gone, all comes from the disk.
 *
 * Threads: sync_mark_start and _stop as published_start and _release; begin and end under
 * sync_mutex. Cost: a store each, where the file is mapped; where it is not, nothing is noted and
 * recovery believes nothing. */
#ifndef ENGINE_SYNC_MARK_H
#define ENGINE_SYNC_MARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/published.h"

struct segments;

struct sync_mark {
    _Atomic(_Atomic uint64_t *) word; /* in the mapped file; NULL: nothing can be noted */
    _Atomic bool failed;              /* a sync of this process's: the word stays as it is */
};

/* All that this process has found in the log is durable, and what it will sync is noted here. */
void sync_mark_start(struct sync_mark *mark, _Atomic uint64_t *word);
void sync_mark_stop(struct sync_mark *mark);

/* Around each sync of a log segment; `result` is what it returned. */
void sync_mark_begin(struct sync_mark *mark, uint64_t segment_id);
void sync_mark_end(struct sync_mark *mark, int result);

/* ---- Recovery ---- */

/* What a process that died has left. */
struct sync_doubt {
    bool all;                      /* nothing is known: */
    uint64_t segment;              /* else a sync of this one may have failed; 0: of none */
    struct log_position published; /* how far it says the log is visible; 0, 0: it does not */
};

/* Read the word and, if `take`, have it say that nothing is known: until the recovery that is now
 * to sync has come to its end, its own syncs are in doubt too. */
struct sync_doubt sync_mark_read(struct segments *table, bool take);

static inline bool sync_doubts(const struct sync_doubt *doubt, uint64_t segment_id)
{
    return doubt->all || doubt->segment == segment_id;
}

#endif
