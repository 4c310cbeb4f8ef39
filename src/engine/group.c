/* SPDX-License-Identifier: MIT
 * group.c: the head of the write queue: evaluate, append, sync, publish. */
#include "engine/group.h"

#include "base/check.h"
#include "base/planted.h"
#include "engine/background.h"
#include "engine/log_writer.h"
#include "engine/overlay.h"
#include "engine/publish.h"
#include "engine/reader.h"
#include "engine/write_queue.h"

enum {
    GROUP_BYTES_MAX = 4 << 20, /* a group is cut when its requests are as large */
    AHEAD = 8,                 /* operations of a batch */
};

/* One group: some requests, oldest first, chained by `next`. */
struct group {
    struct store *store;
    struct write_request *first;
    size_t op_count;
    uint32_t request_count;
    bool durable;
    bool buffered; /* goes by pwrite */
    struct overlay overlay;
    struct log_mark mark; /* before the first record appended */
    bool marked;
    bool interval;          /* some member wants a sync within the interval */
    uint64_t first_version; /* versions of the group are not below */
};

/* What a key is like just before an operation. */
struct key_state {
    bool live;
    uint64_t version, expires_us;
    slice value;
};

/* ---- Evaluate ------------------------------------------------------------------------------ */

static bool checksum_holds(const struct reader_hit *hit)
{
    return record_checksum_ok(hit->record.bytes, hit->record.shape.size, hit->segment->salt,
                              hit->place.offset);
}

/* Is such a record deleted or expired by now? */
static bool is_gone(const struct store *store, uint32_t flags, uint64_t expires_us)
{
    uint64_t now = flags & RECORD_EXPIRES ? store->os->clock_coarse(store->os) : 0;
    return record_is_gone(flags, expires_us, now);
}

/* Look the key up in the overlay, else in the index. Sets op->old, and what op->old_... are for. */
static bitcask_status find_state(struct group *group, struct write_op *op, struct key_state *state,
                                 bitcask_error *error)
{
    struct store *store = group->store;
    *state = (struct key_state){0};
    op->old = (struct keydir_place){0, 0};
    const struct write_op *before =
        PLANTED(group_unaware) ? NULL : overlay_find(&group->overlay, op->hash, op->key);
    if (before != NULL) {
        state->live = !is_gone(store, before->record_flags, before->expires_us);
        state->version = op->old_version = before->version;
        state->expires_us = before->record_flags & RECORD_EXPIRES ? before->expires_us : 0;
        state->value = before->value;
        if (!(before->record_flags & RECORD_TOMBSTONE)) {
            op->old = before->place;
            if (op->old.offset == 0)
                op->old.offset = PLACE_LATER;
            op->old_size = record_size(before->record_flags, before->key.size, before->value.size);
        }
        return BITCASK_OK;
    }
    if (op->absent)
        return BITCASK_OK;
    struct reader_hit hit;
    bool plain = op->kind != WRITE_EXPIRE && !(op->flags & (BITCASK_IF_ABSENT | BITCASK_IF_VERSION |
                                                            BITCASK_IF_PRESENT | BITCASK_KEEP_TTL));
    bool verify = !plain; /* its value is about to be copied, or its header to be judged */
    bitcask_status status = reader_find(store, op->hash, op->key, verify, &hit);
    if (status == BITCASK_OK) {
        const struct record_shape *shape = &hit.record.shape;
        state->live = !is_gone(store, shape->flags, shape->expires_us) ||
                      !checksum_holds(&hit); /* it says that it is gone: if that can be believed */
        state->version = op->old_version = shape->version;
        if (UNLIKELY(undo_is_wanted(&store->undo, 1)) && !checksum_holds(&hit))
            op->old_version = 0; /* for all we know every snapshot sees it, and is told so */
        state->expires_us = shape->expires_us;
        state->value = segment_record_value(&hit.record);
        op->old = hit.place;
        op->old_size = shape->size;
        return BITCASK_OK;
    }
    if (status == BITCASK_NOT_FOUND)
        return BITCASK_OK;
    if (status != BITCASK_CORRUPT)
        return keydir_fetch_failed(status, error);
    /* Unproven: a plain put or delete goes ahead, what depends on the old record cannot. */
    if (plain) {
        state->live = true; /* for all we know: a delete writes its tombstone */
        return BITCASK_OK;
    }
    status = error_set(error, status,
                       "the key's present record is damaged, so a condition on it "
                       "cannot be judged; put or delete it without one");
    error_at(error, hit.segment->id, hit.place.offset);
    return status;
}

/* OK: write a record. Else the outcome; in a batch NOT_FOUND means skip. */
static bitcask_status judge(const struct write_op *op, const struct key_state *state)
{
    if (!state->live && (op->kind != WRITE_PUT || (op->flags & BITCASK_IF_PRESENT) ||
                         (op->flags & BITCASK_IF_VERSION)))
        return BITCASK_NOT_FOUND;
    if (state->live && (op->flags & BITCASK_IF_ABSENT))
        return BITCASK_EXISTS;
    if ((op->flags & BITCASK_IF_VERSION) && state->version != op->if_version)
        return BITCASK_CONFLICT;
    return BITCASK_OK;
}

static void shape_record(struct write_op *op, const struct key_state *state)
{
    if (op->kind == WRITE_EXPIRE)
        op->value = state->value;
    if (op->kind == WRITE_PUT && (op->flags & BITCASK_KEEP_TTL) && state->live)
        op->expires_us = state->expires_us;
    if (op->kind == WRITE_DELETE) {
        op->value = slice_of(NULL, 0);
        op->expires_us = 0;
        op->record_flags = RECORD_TOMBSTONE;
    } else {
        op->record_flags = op->expires_us != 0 ? RECORD_EXPIRES : 0;
    }
}

/* Conditions, index places and record of one operation. OK: it writes. */
static bitcask_status evaluate(struct group *group, struct write_op *op, bitcask_error *error)
{
    struct key_state state;
    bitcask_status status = find_state(group, op, &state, error);
    if (status == BITCASK_OK)
        status = judge(op, &state);
    if (status != BITCASK_OK)
        return status;
    shape_record(op, &state);
    if (op->old.offset == 0 && op->kind != WRITE_DELETE && !PLANTED(reserved_late)) {
        status = keydir_reserve(group->store->keydir, op->hash, error);
        op->reserved = status == BITCASK_OK;
        if (UNLIKELY(status == BITCASK_LIMIT))
            group->store->quota.exceeded = QUOTA_INDEX;
    }
    return status;
}

/* ---- Append -------------------------------------------------------------------------------- */

static void take_back(struct group *group, struct write_request *request, size_t ops)
{
    publish_unreserve(group->store, request);
    for (size_t i = 0; i < ops; i++) {
        struct write_op *op = &request->ops[i];
        if (op->reserved)
            keydir_unreserve(group->store->keydir, op->hash);
        op->reserved = false;
        op->place = (struct keydir_place){0, 0};
        op->version = 0;
        op->record_flags = 0;
    }
}

/* Ask for the record of an operation's key, or find that there is none: nobody but the writer, who
 * is busy with this batch, puts a key into the index. */
static void look_for_record(struct store *store, struct write_op *op)
{
    uint64_t word;
    bool stash;
    struct keydir_place place;
    bool found = keydir_peek(store->keydir, op->hash, &word, &stash);
    op->absent = !found && (!stash || PLANTED(stash_unseen));
    if (found && keydir_word_place(word, &place))
        segment_prefetch(segments_at(&store->segments, place.segment_slot), place.offset);
}

/* The misses of a batch overlap: while one operation is evaluated, the processor fetches the record
 * of one some way ahead, and the index entry of one twice as far. */
static void look_ahead(struct group *group, const struct write_request *request, size_t i)
{
    struct store *store = group->store;
    if (i + 2 * AHEAD < request->op_count)
        keydir_prefetch_change(store->keydir, request->ops[i + 2 * AHEAD].hash);
    if (i + AHEAD < request->op_count)
        look_for_record(store, &request->ops[i + AHEAD]);
}

static void look_ahead_from(struct group *group, const struct write_request *request)
{
    for (size_t i = 0; i < 2 * AHEAD && i < request->op_count; i++)
        keydir_prefetch_change(group->store->keydir, request->ops[i].hash);
    for (size_t i = 0; i < AHEAD && i < request->op_count; i++)
        request->ops[i].absent = false;
}

/* Evaluate all of a request. *writes counts the records, *size their bytes. */
static bitcask_status evaluate_request(struct group *group, struct write_request *request,
                                       uint64_t *size, uint32_t *writes)
{
    size_t before = group->overlay.count;
    *size = 0;
    *writes = 0;
    if (request->op_count > 1)
        look_ahead_from(group, request);
    for (size_t i = 0; i < request->op_count; i++) {
        struct write_op *op = &request->ops[i];
        if (request->op_count > 1)
            look_ahead(group, request, i);
        op->place = op->old = (struct keydir_place){0, 0};
        op->reserved = false;
        op->version = 0;
        op->record_flags = RECORD_META; /* marks an operation that writes nothing */
        bitcask_status status = evaluate(group, op, request->error);
        if (status == BITCASK_NOT_FOUND && request->batch)
            continue;
        if (status != BITCASK_OK) {
            take_back(group, request, i);
            overlay_pop_to(&group->overlay, before);
            return status;
        }
        *size += record_size(op->record_flags, op->key.size, op->value.size);
        ++*writes;
        if (group->overlay.capacity > 0)
            overlay_push(&group->overlay, op);
    }
    return BITCASK_OK;
}

/* Now that the earlier operations of the request are appended, the place is known. `index` is the
 * operation's own in the overlay. */
static void place_old(struct group *group, struct write_op *op, size_t index)
{
    const struct overlay *overlay = &group->overlay;
    for (uint32_t at = overlay->next[index]; at != 0; at = overlay->next[at - 1]) {
        const struct write_op *before = overlay->ops[at - 1];
        if (before->hash == op->hash && slice_equal(before->key, op->key)) {
            op->old = before->place;
            return;
        }
    }
}

static bitcask_status append_request(struct group *group, struct write_request *request,
                                     uint32_t writes, size_t overlay_from)
{
    struct store *store = group->store;
    for (size_t i = 0; i < request->op_count; i++) {
        struct write_op *op = &request->ops[i];
        if (op->record_flags & RECORD_META)
            continue;
        struct record record = {
            .expires_us = op->expires_us,
            .flags = op->record_flags |
                     (--writes > 0 && !PLANTED(batch_unmarked) ? RECORD_BATCH_MORE : 0),
            .key = op->key,
            .value = op->value,
        };
        if (op->old.offset == PLACE_LATER)
            place_old(group, op, overlay_from);
        overlay_from++;
        bitcask_status status =
            log_append(store, &record, group->buffered, &op->place, request->error);
        if (status != BITCASK_OK)
            return status;
        op->version = record.version;
    }
    return BITCASK_OK;
}

/* ---- The head ------------------------------------------------------------------------------ */

/* All of the group's records are lost or unknown: no request of it has happened, as far as this
 * process can see. */
static void fail_group(struct group *group, const struct write_request *end, bitcask_status status,
                       const bitcask_error *error)
{
    for (struct write_request *request = group->first; request != end; request = request->next) {
        if (request->status != BITCASK_OK)
            continue;
        take_back(group, request, request->op_count);
        request->status = status;
        if (request->error != NULL)
            *request->error = *error;
    }
}

/* Appending failed with `status`: whether what is in the file already stays there is UNKNOWN if it
 * cannot be taken back. */
static bitcask_status take_back_records(struct store *store, const struct log_mark *mark,
                                        bitcask_status status, bitcask_error *error)
{
    if (log_rewind(store, mark))
        return status;
    error_prefix(error, "a part of it is in the log and could not be taken back");
    if (error != NULL)
        error->status = BITCASK_UNKNOWN;
    return BITCASK_UNKNOWN;
}

static void publish_group(const struct group *group, const struct write_request *end)
{
    for (struct write_request *at = group->first; at != end; at = at->next) {
        if (at->status == BITCASK_OK)
            publish_request(group->store, at);
    }
}

/* Bring the records of the requests before `end` into the file, and publish them. */
static void finish(struct group *group, struct write_request *end)
{
    struct store *store = group->store;
    bitcask_error error;
    bitcask_status status = BITCASK_OK;
    if (PLANTED(published_unsynced))
        publish_group(group, end);
    if (group->buffered && (group->marked || group->durable))
        status = store_writable(store, &error);
    if (group->buffered && status == BITCASK_OK)
        status = log_flush(store, group->durable, group->first_version, &error);
    if (status != BITCASK_OK) {
        if (status != BITCASK_UNKNOWN && group->marked)
            status = take_back_records(store, &group->mark, status, &error);
        fail_group(group, end, status, &error);
    }
    if (!PLANTED(published_unsynced))
        publish_group(group, end);
    group->marked = false;
    group->first = end;
    overlay_pop_to(&group->overlay, 0);
}

/* Evaluate one request. A group that is still to be flushed stays in one segment, so that it can be
 * taken back: if this request does not fit there, what is before it is finished first, and it is
 * evaluated again. */
static bitcask_status evaluate_in_segment(struct group *group, struct write_request *request,
                                          uint64_t *size, uint32_t *writes)
{
    size_t overlay_before = group->overlay.count;
    bitcask_status status = evaluate_request(group, request, size, writes);
    if (status != BITCASK_OK || *writes == 0 || !group->buffered || !group->marked ||
        !log_would_rotate(group->store, *size, *writes))
        return status;
    take_back(group, request, request->op_count);
    overlay_pop_to(&group->overlay, overlay_before);
    finish(group, request);
    return evaluate_request(group, request, size, writes);
}

/* Deletes are the way out of a full store: they may use what is kept back for them. */
static bool only_deletes(const struct write_request *request)
{
    for (size_t i = 0; i < request->op_count; i++)
        if (request->ops[i].kind != WRITE_DELETE)
            return false;
    return true;
}

/* Evaluate and append one request; its status says how that went. */
static void run_request(struct group *group, struct write_request *request)
{
    struct store *store = group->store;
    request->quota_rounds = atomic_load_explicit(&store->quota.rounds, memory_order_relaxed);
    uint64_t size;
    uint32_t writes;
    request->status = evaluate_in_segment(group, request, &size, &writes);
    if (request->status != BITCASK_OK || writes == 0)
        return;
    size_t overlay_before = group->overlay.count - (group->overlay.capacity > 0 ? writes : 0);
    bool frees = only_deletes(request);
    bitcask_status status = publish_reserve(store, request, writes);
    if (status == BITCASK_OK)
        status = log_make_room(store, size, writes, group->buffered, !frees, request->error);
    struct log_mark mark;
    if (status == BITCASK_OK) {
        log_get_mark(store, &mark);
        if (!group->marked && group->buffered) /* else nothing is taken back but the request */
            group->mark = mark;
        group->marked = true;
        status = append_request(group, request, writes, overlay_before);
        if (status != BITCASK_OK)
            status = take_back_records(store, &mark, status, request->error);
    }
    if (status != BITCASK_OK) {
        take_back(group, request, request->op_count);
        overlay_pop_to(&group->overlay, overlay_before);
    }
    request->status = status;
}

static uint64_t request_bytes(const struct write_request *request)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < request->op_count; i++)
        bytes += RECORD_HEADER_MAX + request->ops[i].key.size + request->ops[i].value.size;
    return bytes;
}

static void run_group(struct group *group)
{
    struct store *store = group->store;
    if (group->op_count > 1) {
        bitcask_error error;
        bitcask_status status = overlay_init(&group->overlay, group->op_count, &error);
        if (status != BITCASK_OK) {
            fail_group(group, NULL, status, &error);
            return;
        }
    }
    struct epoch_guard guard = epoch_enter(&store->epoch); /* merge may retire what we read */
    group->first_version = atomic_load(&store->writer.last_version) + 1;
    for (struct write_request *at = group->first; at != NULL; at = at->next) {
        run_request(group, at);
        if (UNLIKELY(at->status == BITCASK_LIMIT)) {
            at->exceeded = store->quota.exceeded;
            store->quota.exceeded = QUOTA_NONE;
        }
    }
    finish(group, NULL);
    log_publish(store);
    epoch_exit(guard);
    overlay_release(&group->overlay);
}

/* Cut the first requests, about GROUP_BYTES_MAX of them, off the list. */
static struct write_request *cut_group(struct group *group, struct write_request *list)
{
    uint64_t bytes = 0;
    struct write_request *last = list;
    for (struct write_request *at = list; at != NULL; at = at->next) {
        if (at != list) {
            bytes += request_bytes(at);
            if (bytes > GROUP_BYTES_MAX)
                break;
        }
        group->op_count += at->op_count;
        group->request_count++;
        group->durable =
            group->durable || (at->durable && !(PLANTED(durable_by_first) && at != list));
        group->interval = group->interval || at->interval;
        last = at;
    }
    group->first = list;
    struct write_request *rest = last->next;
    last->next = NULL;
    return rest;
}

/* `mark` stays unset until there is something to take back. */
static void group_begin(struct group *group, struct store *store)
{
    group->store = store;
    group->op_count = 0;
    group->request_count = 0;
    group->durable = group->interval = group->marked = false;
    group->overlay = (struct overlay){0};
}

/* Serve all, group by group; `own`, if it is among them, is the caller's, whom nobody need tell.
 * Returns whom to wake, for write_queue_wake. */
static unsigned serve(struct store *store, struct write_request *list,
                      const struct write_request *own)
{
    unsigned asleep = 0;
    while (list != NULL) {
        struct group group;
        group_begin(&group, store);
        list = cut_group(&group, list);
        group.buffered = group.durable || !store->writer.mapped_writes;
        struct write_request *first = group.first, *next;
        uint64_t began = group.durable ? store->os->clock_boot(store->os) : 0;
        run_group(&group);
        if (group.durable)
            write_queue_note(store, group.request_count, store->os->clock_boot(store->os) - began);
        if (group.interval)
            background_want(store, WORK_SYNC);
        if (UNLIKELY(keydir_wants_retag(store->keydir)))
            background_want(store, WORK_RETAG);
        epoch_poll(&store->epoch);
        for (struct write_request *at = first; at != NULL; at = next) {
            next = at->next;
            if (at != own)
                asleep |= write_queue_finish(at);
        }
    }
    return asleep;
}

/* Serve `list` and leave write_mutex. */
static void serve_and_leave(struct store *store, struct write_request *list,
                            const struct write_request *own)
{
    unsigned asleep = serve(store, list, own);
    write_mutex_unlock(&store->write_mutex);
    if (asleep != 0)
        write_queue_wake(store, asleep);
}

void group_lead(struct store *store, const struct write_request *own)
{
    write_mutex_lock(&store->write_mutex);
    if (own != NULL && atomic_load_explicit(&own->state, memory_order_acquire) == WRITE_DONE) {
        write_mutex_unlock(&store->write_mutex); /* somebody went ahead */
        return;
    }
    if (own != NULL && own->durable)
        write_queue_gather(store);
    serve_and_leave(store, write_queue_take(store), NULL);
}

static bitcask_status carry(struct store *store, struct write_request *request)
{
    request->status = BITCASK_OK;
    request->exceeded = QUOTA_NONE;
    for (size_t i = 0; i < request->op_count; i++)
        request->ops[i].hash = hash_key(&store->secret, request->ops[i].key);
    /* One that waits for the device anyway does better to let a group gather. */
    bool free = !request->durable && write_mutex_trylock(&store->write_mutex);
    if (LIKELY(free) && LIKELY(!write_queue_waits(store))) {
        request->next = NULL; /* as if it had been pushed and taken */
        if (request->op_count > 0)
            keydir_prefetch(store->keydir, request->ops[0].hash);
        serve_and_leave(store, request, request);
    } else {
        bool leads = write_queue_push(store, request);
        if (free)
            serve_and_leave(store, write_queue_take(store), NULL);
        else if (leads)
            group_lead(store, request);
        else
            write_queue_wait(store, request);
    }
    background_after_write(store);
    return request->status;
}

bitcask_status group_write(struct store *store, struct write_request *request)
{
    if (LIKELY(!quota_is_set(&store->quota, store->options.max_index_bytes)))
        return carry(store, request);
    bitcask_error failure = {0}, *error = request->error; /* what is mended is not told */
    request->error = &failure;
    bitcask_status status = carry(store, request);
    while (status == BITCASK_LIMIT && request->exceeded != QUOTA_NONE &&
           quota_make_room(store, request->exceeded, request->quota_rounds))
        status = carry(store, request);
    if (status == BITCASK_LIMIT && request->exceeded != QUOTA_NONE)
        quota_tell(store, request->exceeded);
    request->error = error;
    if (status < 0 && error != NULL)
        *error = failure;
    return status;
}
