/* SPDX-License-Identifier: MIT
 * group.h: the write queue: many threads write, one at a time appends for all that wait.
 *
 * Requests queue (engine/write_queue.h); the head takes all that wait as its group, in the order
 * they came, evaluates each request's conditions against the index plus an overlay of what the
 * group has done so far, reserves index places (so that publishing cannot fail), appends all, syncs
 * once if any member asks, and publishes in the order of versions.
 * In a group that syncs, nothing is visible before it is durable. Invariants W1 to W6. */
#ifndef ENGINE_GROUP_H
#define ENGINE_GROUP_H

#include "engine/store.h"

enum write_kind { WRITE_PUT, WRITE_DELETE, WRITE_EXPIRE };

struct write_op {
    /* Set by the caller. */
    enum write_kind kind;
    unsigned flags; /* BITCASK_IF_..., KEEP_TTL */
    slice key, value;
    uint64_t expires_us;
    uint64_t if_version;
    /* Set by the group. */
    uint64_t version; /* given; 0: nothing was written */
    uint64_t hash;
    struct keydir_place old;   /* what the index points to; offset 0: the key is not in it */
    uint64_t old_size;         /* of that record */
    uint64_t old_version;      /* of that record */
    struct keydir_place place; /* of the new record; offset 0: none */
    uint32_t record_flags;
    bool absent;   /* the index had no candidate when the batch looked ahead, and has none now */
    bool reserved; /* an index slot is reserved */
    bool keep_old; /* the old place goes into the undo overlay */
};

enum write_state {
    WRITE_WAITING,
    WRITE_ASLEEP, /* on the first or the second word of write_gather.served */
    WRITE_ASLEEP_SECOND,
    WRITE_DONE,
};

struct write_request {
    struct write_request *next; /* in the queue */
    struct write_op *ops;
    size_t op_count; /* 0: only the sync */
    bool batch;      /* all or nothing; deletes of absent keys are skipped */
    bool durable;    /* this request's effective sync mode is ALWAYS */
    bool interval;   /* it is INTERVAL */
    bitcask_status status;
    bitcask_error *error; /* nullable */
    /* By the group. */
    enum quota_kind exceeded; /* by a status LIMIT for which room can perhaps be made */
    uint64_t quota_rounds;    /* then: store->quota.rounds before */
    struct undo_entry
        *undo; /* reserved, one for each operation with keep_old; NULL to begin with */
    /* By the queue, engine/write_queue.h. */
    _Atomic uint32_t state; /* enum write_state */
};

/* Be the head, unless `own` (may be NULL) has been served meanwhile: serve all that wait. */
void group_lead(struct store *store, const struct write_request *own);

/* Carry the request through. Returns request->status. */
bitcask_status group_write(struct store *store, struct write_request *request);

#endif
