/* SPDX-License-Identifier: MIT
 * feed.c: walking the log. */
#include "engine/feed.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "engine/follow.h"

struct bitcask_feed {
    struct store *store;
    uint64_t identity;       /* of the store and its fork, as when the feed was made */
    uint64_t generation;     /* of the follower's index; the log may be another one since */
    struct segment *segment; /* it stands in; pinned; or NULL: before the one behind `last_id` */
    uint64_t last_id;
    uint64_t offset;       /* of the next record in it */
    uint64_t version;      /* of the last record given or passed over */
    bitcask_status failed; /* said once, said for ever */
    bitcask_error failure;
    size_t prefix_size;
    uint8_t prefix[];
};

struct store *feed_store(const bitcask_feed *feed)
{
    return feed->store;
}

/* ---- Positions ------------------------------------------------------------------------------- */

/* Tells stores, and forks of a store, apart. Never 0. A follower may meet another fork. */
static uint64_t identity_of(struct store *store)
{
    write_mutex_lock(&store->write_mutex);
    uint64_t fork = get_u64(store->fork_id) ^ (get_u64(store->fork_id + 8) << 1);
    uint64_t identity = get_u64(store->segments.store_id) ^ fork;
    write_mutex_unlock(&store->write_mutex);
    return NEVER(identity == 0) ? 1 : identity; /* one store in 2^64 */
}

void feed_position(const bitcask_feed *feed, struct feed_position *position)
{
    *position = (struct feed_position){
        .identity = feed->identity,
        .segment = feed->segment != NULL ? feed->segment->id : feed->last_id,
        .offset = feed->segment != NULL ? feed->offset : 0,
        .version = feed->version,
    };
}

/* ---- Saying that it does not go on ----------------------------------------------------------- */

static bitcask_status say_gap(uint64_t version, uint64_t floor, bitcask_error *error)
{
    return error_set(error, BITCASK_GAP,
                     "changes behind version %llu have been merged away (to version %llu): take a "
                     "feed from now, then read all keys",
                     (unsigned long long)version, (unsigned long long)floor);
}

static bitcask_status say_taken_back(uint64_t version, bitcask_error *error)
{
    return error_set(error, BITCASK_DIVERGED,
                     "version %llu, the last one given, is not in the store's history (a crash has "
                     "taken it back, or an older copy stands here): take a feed from now, then "
                     "read all keys",
                     (unsigned long long)version);
}

/* ---- Segments of the log --------------------------------------------------------------------- */

/* The first log segment with an id above `after` that holds something published; pinned; NULL:
 * none. Holding the table's mutex. */
static struct segment *next_log_segment(struct store *store, uint64_t after)
{
    struct segments *table = &store->segments;
    struct log_position published = published_position(&store->published);
    for (size_t i = 0; i < table->count; i++) {
        struct segment *segment = table->by_id[i];
        if (segment->id <= after || segment->kind != SEGMENT_LOG)
            continue;
        if (segment->id > published.segment)
            return NULL;
        segment_pin(segment);
        return segment;
    }
    return NULL;
}

/* How far a segment may be read; *whole: nothing will come behind that. */
static uint64_t limit_of(struct store *store, const struct segment *segment, bool *whole)
{
    struct log_position published = published_position(&store->published);
    uint64_t end = atomic_load_explicit(&segment->end, memory_order_acquire);
    if (segment->map == NULL)
        end = 0;
    *whole = segment->id < published.segment;
    if (segment->id == published.segment && published.end < end && !PLANTED(feed_unpublished))
        return published.end;
    return segment->id <= published.segment || PLANTED(feed_unpublished) ? end : 0;
}

static void leave_segment(bitcask_feed *feed)
{
    if (feed->segment == NULL)
        return;
    feed->last_id = feed->segment->id;
    segment_unpin(feed->segment);
    feed->segment = NULL;
}

/* Go on to the next segment. END: there is none yet. */
static bitcask_status enter_next(bitcask_feed *feed, bitcask_error *error)
{
    struct store *store = feed->store;
    struct segments *table = &store->segments;
    uint64_t after = feed->segment != NULL ? feed->segment->id : feed->last_id;
    /* One look at both: a merge raises the floor when it takes a segment out. */
    pthread_mutex_lock(&table->mutex);
    uint64_t floor = table->log_floor;
    bool gap = floor > feed->version && !PLANTED(feed_gap_unseen);
    struct segment *next = gap ? NULL : next_log_segment(store, after);
    pthread_mutex_unlock(&table->mutex);
    if (gap)
        return say_gap(feed->version, floor, error);
    if (next == NULL)
        return BITCASK_END;
    if (next->map == NULL && atomic_load(&next->version_max) > feed->version) {
        bitcask_status status =
            error_set(error, BITCASK_CORRUPT, "segment %llu: its file is missing",
                      (unsigned long long)next->id);
        error_at(error, next->id, 0);
        segment_unpin(next);
        return status;
    }
    leave_segment(feed);
    feed->segment = next;
    feed->offset = SEGMENT_HEADER_SIZE;
    return BITCASK_OK;
}

static bitcask_status read_record(const struct segment *segment, uint64_t offset, uint64_t limit,
                                  struct segment_record *record, bitcask_error *error)
{
    const char *why = NULL;
    slice in = slice_of(segment->map + offset, limit - offset);
    bitcask_status status = record_parse(in, &record->shape, &why);
    record->bytes = in.data;
    if (status == BITCASK_OK &&
        record_checksum_ok(record->bytes, record->shape.size, segment->salt, offset))
        return BITCASK_OK;
    error_set(error, BITCASK_CORRUPT, "segment %llu: record at %llu: %s; run verify",
              (unsigned long long)segment->id, (unsigned long long)offset,
              status == BITCASK_OK ? "bad checksum"
              : why != NULL        ? why
                                   : "no record there");
    error_at(error, segment->id, offset);
    return BITCASK_CORRUPT;
}

/* ---- Finding the position -------------------------------------------------------------------- */

/* Is there, at `offset`, the record that follows one of this version, or the end? */
static bool stands_behind(struct store *store, const struct segment *segment, uint64_t offset,
                          uint64_t version)
{
    bool whole;
    uint64_t limit = limit_of(store, segment, &whole);
    struct segment_record record;
    if (offset < SEGMENT_HEADER_SIZE || offset > limit)
        return false;
    if (offset == limit)
        return atomic_load(&segment->version_max) <= version;
    return read_record(segment, offset, limit, &record, NULL) == BITCASK_OK &&
           ((record.shape.flags & RECORD_META) != 0 || record.shape.version > version);
}

/* Look for the record of exactly this version in a segment. *offset: behind it. */
static bool find_version(struct store *store, const struct segment *segment, uint64_t version,
                         uint64_t *offset)
{
    bool whole;
    uint64_t limit = limit_of(store, segment, &whole);
    if (version < atomic_load(&segment->version_min) ||
        version > atomic_load(&segment->version_max))
        return false;
    struct segment_record record;
    for (uint64_t at = SEGMENT_HEADER_SIZE;
         at < limit && read_record(segment, at, limit, &record, NULL) == BITCASK_OK;
         at += record.shape.size) {
        *offset = at + record.shape.size;
        if (!(record.shape.flags & RECORD_META) && record.shape.version == version)
            return true;
    }
    return false;
}

/* Stand behind the record of feed->version, wherever it is now. Those up to the floor are gone, or
 * will be passed over. */
static bool seek_version(bitcask_feed *feed)
{
    struct store *store = feed->store;
    struct segments *table = &store->segments;
    leave_segment(feed);
    feed->last_id = 0;
    for (;;) {
        pthread_mutex_lock(&table->mutex);
        bool gone = feed->version <= table->log_floor;
        struct segment *segment = gone ? NULL : next_log_segment(store, feed->last_id);
        pthread_mutex_unlock(&table->mutex);
        if (segment == NULL)
            return gone || feed->version == 0;
        leave_segment(feed);
        feed->segment = segment;
        if (find_version(store, segment, feed->version, &feed->offset))
            return true;
        leave_segment(feed);
    }
}

/* Where the feed stands, is that still where its version is? If not, go there. */
static bitcask_status settle(bitcask_feed *feed, const struct feed_position *position,
                             bitcask_error *error)
{
    struct store *store = feed->store;
    struct segments *table = &store->segments;
    feed->generation = follow_generation(store);
    feed->version = position->version;
    leave_segment(feed);
    pthread_mutex_lock(&table->mutex);
    uint64_t floor = table->log_floor;
    bool gap = floor > feed->version && !PLANTED(feed_gap_unseen);
    struct segment *segment =
        gap || position->segment == 0 ? NULL : next_log_segment(store, position->segment - 1);
    pthread_mutex_unlock(&table->mutex);
    feed->segment = segment;
    if (gap)
        return say_gap(feed->version, floor, error);
    if (segment != NULL && segment->id == position->segment &&
        stands_behind(store, segment, position->offset, position->version)) {
        feed->offset = position->offset;
        return BITCASK_OK;
    }
    return seek_version(feed) || PLANTED(feed_cut_unseen) ? BITCASK_OK
                                                          : say_taken_back(feed->version, error);
}

/* The end of what is published: all later records, and no others, have higher versions. */
static void position_now(struct store *store, struct feed_position *position)
{
    struct segments *table = &store->segments;
    position->identity = identity_of(store);
    write_mutex_lock(&store->write_mutex); /* so that nothing is appended and not yet published */
    struct log_position published = published_position(&store->published);
    pthread_mutex_lock(&table->mutex);
    uint64_t version = table->log_floor;
    for (size_t i = 0; i < table->count; i++) {
        uint64_t last = atomic_load(&table->by_id[i]->version_max);
        if (table->by_id[i]->kind == SEGMENT_LOG && last > version)
            version = last;
    }
    pthread_mutex_unlock(&table->mutex);
    write_mutex_unlock(&store->write_mutex);
    *position =
        (struct feed_position){position->identity, published.segment, published.end, version};
}

static bitcask_status read_from(struct store *store, const char *from,
                                struct feed_position *position, bitcask_error *error)
{
    uint64_t identity = identity_of(store);
    *position = (struct feed_position){.identity = identity};
    if (strcmp(from, "start") == 0)
        return BITCASK_OK;
    if (strcmp(from, "oldest") == 0) {
        pthread_mutex_lock(&store->segments.mutex);
        position->version = store->segments.log_floor;
        pthread_mutex_unlock(&store->segments.mutex);
        return BITCASK_OK;
    }
    if (strcmp(from, "now") == 0) {
        position_now(store, position);
        return BITCASK_OK;
    }
    if (!feed_position_parse(from, position))
        return error_set(error, BITCASK_INVALID,
                         "'%.80s' is no position: it is one that a feed has given, start, oldest "
                         "or now",
                         from);
    if (position->identity == identity)
        return BITCASK_OK;
    return error_set(error, BITCASK_DIVERGED,
                     "the position is of another store, or of another fork of this one");
}

bitcask_status feed_new(struct store *store, const char *from, slice prefix, bitcask_feed **out,
                        bitcask_error *error)
{
    *out = NULL;
    bitcask_feed *feed = calloc(1, sizeof *feed + prefix.size);
    if (feed == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a feed");
    feed->store = store;
    feed->prefix_size = prefix.size;
    if (prefix.size > 0)
        memcpy(feed->prefix, prefix.data, prefix.size);
    struct feed_position position;
    bitcask_status status = read_from(store, from, &position, error);
    feed->identity = position.identity;
    if (status == BITCASK_OK)
        status = settle(feed, &position, error);
    if (status != BITCASK_OK) {
        feed_free(feed);
        return status;
    }
    *out = feed;
    return BITCASK_OK;
}

void feed_free(bitcask_feed *feed)
{
    leave_segment(feed);
    free(feed);
}

/* ---- The next change ------------------------------------------------------------------------- */

static bool is_wanted(const bitcask_feed *feed, const struct segment_record *record)
{
    if ((record->shape.flags & RECORD_META) != 0 ||
        (record->shape.version <= feed->version && !PLANTED(feed_twice)))
        return false;
    slice key = segment_record_key(record);
    return key.size >= feed->prefix_size &&
           (feed->prefix_size == 0 || memcmp(key.data, feed->prefix, feed->prefix_size) == 0);
}

/* Does another change that is wanted follow in the same batch? */
static bool more_of_batch(const bitcask_feed *feed, uint64_t offset, uint64_t limit, uint32_t flags)
{
    struct segment_record record;
    while ((flags & RECORD_BATCH_MORE) && offset < limit &&
           read_record(feed->segment, offset, limit, &record, NULL) == BITCASK_OK) {
        if (is_wanted(feed, &record))
            return true;
        flags = record.shape.flags;
        offset += record.shape.size;
    }
    return false;
}

static void fill_change(const bitcask_feed *feed, const struct segment_record *record,
                        uint64_t limit, bitcask_change *change)
{
    const struct record_shape *shape = &record->shape;
    bool deletes = (shape->flags & RECORD_TOMBSTONE) != 0;
    *change = (bitcask_change){
        .kind = deletes ? BITCASK_CHANGE_DELETE : BITCASK_CHANGE_PUT,
        .more = more_of_batch(feed, feed->offset, limit, shape->flags),
        .key = segment_record_key(record),
        .value = segment_record_value(record),
        .meta = {shape->version, shape->expires_us, shape->value_size},
    };
}

static bitcask_status step(bitcask_feed *feed, bitcask_change *change, bitcask_error *error)
{
    struct store *store = feed->store;
    if (feed->generation != follow_generation(store)) {
        struct feed_position position;
        feed_position(feed, &position);
        if (identity_of(store) != feed->identity)
            return error_set(error, BITCASK_DIVERGED, "the store has become another fork");
        bitcask_status status = settle(feed, &position, error);
        if (status != BITCASK_OK)
            return status;
    }
    for (;;) {
        bool whole = true;
        uint64_t limit = feed->segment == NULL ? 0 : limit_of(store, feed->segment, &whole);
        if (feed->segment == NULL || feed->offset >= limit) {
            bitcask_status status = whole ? enter_next(feed, error) : BITCASK_END;
            if (status != BITCASK_OK)
                return status;
            continue;
        }
        struct segment_record record;
        bitcask_status status = read_record(feed->segment, feed->offset, limit, &record, error);
        if (status != BITCASK_OK)
            return status;
        bool wanted = is_wanted(feed, &record);
        feed->offset += record.shape.size;
        if (!(record.shape.flags & RECORD_META) && record.shape.version > feed->version)
            feed->version = record.shape.version;
        if (!wanted)
            continue;
        fill_change(feed, &record, limit, change);
        return BITCASK_OK;
    }
}

bitcask_status feed_next(bitcask_feed *feed, bitcask_change *change, bitcask_error *error)
{
    if (feed->failed != BITCASK_OK) {
        if (error != NULL)
            *error = feed->failure;
        return feed->failed;
    }
    bitcask_status status = step(feed, change, &feed->failure);
    if (status < 0) {
        feed->failed = status;
        if (error != NULL)
            *error = feed->failure;
    }
    return status;
}
