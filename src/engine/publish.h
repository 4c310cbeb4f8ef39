/* SPDX-License-Identifier: MIT
 * publish.h: make what has been appended visible to readers.
 *
 * The index is changed record by record, in the order of versions. Before the first change, the old
 * places that snapshots or readers of a batch still need are put into the undo overlay; a batch of
 * two and more records is hidden behind the floor until its last change (engine/undo.h). Nothing
 * here can fail: index places and undo entries are reserved before the append (W2). Invariants W5,
 * X4, X5.
 *
 * Holding write_mutex, inside the epoch in which the requests were evaluated. */
#ifndef ENGINE_PUBLISH_H
#define ENGINE_PUBLISH_H

#include "engine/group.h"

/* The offset of an old place that is not known yet: an earlier operation of the same request will
 * have written it. */
enum { PLACE_LATER = 1 };

/* Take memory for the old places that the request, evaluated and not yet appended, is to keep.
 * `writes`: its records. Returns OK or NO_MEMORY. */
bitcask_status publish_reserve(struct store *store, struct write_request *request, uint32_t writes);

/* Give it back. */
void publish_unreserve(struct store *store, struct write_request *request);

void publish_request(struct store *store, struct write_request *request);

/* Point the index from op->old to op->place, or to nothing for a delete, wherever a merge has moved
 * the old record meanwhile, and count that one dead. What publish_request does for each record that
 * takes the place of another. */
void publish_change(struct store *store, struct write_op *op);

#endif
