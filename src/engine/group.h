/* SPDX-License-Identifier: MIT
 * group.h: the write queue: many threads write, one at a time appends for all that wait.
 *
 * A writer pushes its request on a stack and takes write_mutex. Who gets it without having been
 * served is the head: it takes the whole stack as its group, in the order it was pushed, evaluates
 * each request's conditions against the index plus an overlay of what the group has done so far,
 * reserves index places (so that publishing cannot fail), appends all, syncs once if any member
 * asks, and publishes in the order of versions. The others find themselves served.
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
    struct keydir_place place; /* of the new record; offset 0: none */
    uint32_t record_flags;
    bool reserved; /* an index slot is reserved */
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
    _Atomic bool done;
};

/* Carry the request through. Returns request->status. */
bitcask_status group_write(struct store *store, struct write_request *request);

#endif
