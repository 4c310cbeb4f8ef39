/* SPDX-License-Identifier: MIT
 * reader.c: look-ups. */
#include "engine/reader.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash_inline.h"
#include "base/planted.h"
#include "base/probe.h"
#include "engine/reader_fast.h"
#include "format/record_copy.h"

enum {
    MANY_AT_ONCE = 64,
    TRIES = 4, /* to look many keys up between two batches, before a snapshot is taken */
};

static inline bitcask_status find_in(struct store *store, struct keydir *keydir, uint64_t hash,
                                     slice key, bool verify, struct reader_hit *hit)
{
    struct keydir_probe probe;
    struct keydir_place unproven = {0, 0};
    keydir_probe_start(keydir, hash, &probe);
    while (keydir_probe_next(&probe, &hit->place)) {
        hit->segment = segments_at(&store->segments, hit->place.segment_slot);
        segment_prefetch(hit->segment, hit->place.offset);
        enum segment_proof proof = segment_prove(hit->segment, hit->place.offset, key,
                                                 verify && !PLANTED(read_unchecked), &hit->record);
        if (LIKELY(proof == PROOF_MATCH))
            return BITCASK_OK;
        if (proof == PROOF_UNPROVEN)
            unproven = hit->place;
    }
    if (UNLIKELY(probe.status != BITCASK_OK)) /* what is not known of must not read as not there */
        return probe.status;
    if (LIKELY(unproven.segment_slot == 0))
        return BITCASK_NOT_FOUND;
    hit->place = unproven;
    hit->segment = segments_at(&store->segments, unproven.segment_slot);
    return BITCASK_CORRUPT;
}

bitcask_status reader_find(struct store *store, uint64_t hash, slice key, bool verify,
                           struct reader_hit *hit)
{
    return find_in(store, store->keydir, hash, key, verify, hit);
}

/* Say which record could not be trusted. */
static bitcask_status say_corrupt(struct store *store, const struct reader_hit *hit,
                                  bitcask_error *error)
{
    struct segment_record record;
    const char *why = NULL;
    uint64_t id = hit->segment->id;
    atomic_fetch_add_explicit(&store->counters.corrupt_records, 1, memory_order_relaxed);
    if (segment_read(hit->segment, hit->place.offset, &record, &why) == BITCASK_OK)
        why = "damaged a moment ago";
    error_set(error, BITCASK_CORRUPT, "segment %llu: record at %u: %s; run verify",
              (unsigned long long)id, hit->place.offset, why);
    error_at(error, id, hit->place.offset);
    EVENT(&store->events, BITCASK_LOG_ERROR, "corrupt_record", F_UINT("segment", id),
          F_UINT("offset", hit->place.offset), F_TEXT("why", why));
    return BITCASK_CORRUPT;
}

/* ---- What a reader may see ------------------------------------------------------------------- */

/* Is the record at `place` the key's, and not newer than `version`? Then *hit is set. *status
 * becomes CORRUPT if it cannot be told. */
static bool is_answer(struct store *store, struct keydir_place place, slice key, bool verify,
                      uint64_t version, struct reader_hit *hit, bitcask_status *status)
{
    struct segment *segment = segments_at(&store->segments, place.segment_slot);
    struct segment_record record;
    enum segment_proof proof = segment_prove(segment, place.offset, key, verify, &record);
    bool answers = proof == PROOF_MATCH && record.shape.version <= version;
    if (answers)
        *hit = (struct reader_hit){place, segment, record};
    if (proof == PROOF_UNPROVEN) {
        hit->place = place;
        hit->segment = segment;
        *status = BITCASK_CORRUPT;
    }
    return answers;
}

/* Look the key up as of `version`: in the index, then among the old places. */
static bitcask_status find_at(struct store *store, uint64_t hash, slice key, bool verify,
                              uint64_t version, struct reader_hit *hit)
{
    struct keydir_probe probe;
    struct keydir_place place;
    bitcask_status status = BITCASK_NOT_FOUND;
    keydir_probe_start(store->shown, hash, &probe);
    while (keydir_probe_next(&probe, &place)) {
        if (is_answer(store, place, key, verify, version, hit, &status))
            return BITCASK_OK;
    }
    if (UNLIKELY(probe.status != BITCASK_OK))
        return probe.status;
    struct undo_probe undo;
    undo_probe_start(&store->undo, hash, version, &undo);
    while (undo_probe_next(&undo, &place)) {
        if (is_answer(store, place, key, verify, version, hit, &status))
            return BITCASK_OK;
    }
    return status;
}

/* Look the key up as of now: a batch that is being published is not to be seen (X5). Why this is
 * enough: undo.c. */
static bitcask_status find_now(struct store *store, uint64_t hash, slice key, bool verify,
                               struct reader_hit *hit)
{
    const struct undo *undo = &store->undo;
    for (;;) {
        uint64_t batches = undo_batches(undo);
        bitcask_status status = find_in(store, store->shown, hash, key, verify, hit);
        uint64_t floor = undo_floor(undo);
        bool hidden = status != BITCASK_OK || hit->record.shape.version >= floor;
        if (LIKELY(floor == UINT64_MAX || !hidden)) {
            if (LIKELY(undo_batches(undo) == batches) || PLANTED(batch_unnoticed))
                return status;
            continue; /* a batch has ended meanwhile: we may have seen some of its steps */
        }
        status = find_at(store, hash, key, verify, floor - 1, hit);
        if (undo_floor(undo) == floor ||
            PLANTED(floor_read_once)) /* else its entries may have gone before we looked */
            return status;
    }
}

/* Look up as the options say, and judge expiry. Inside an epoch. */
static bitcask_status find_live(struct store *store, uint64_t hash, slice key,
                                const struct reader_options *options, struct reader_hit *hit,
                                bitcask_error *error)
{
    const struct bitcask_snapshot *snapshot = options->snapshot;
    bitcask_status status =
        LIKELY(snapshot == NULL)
            ? find_now(store, hash, key, options->verify, hit)
            : find_at(store, hash, key, options->verify, snapshot->version, hit);
    if (UNLIKELY(status == BITCASK_CORRUPT))
        return say_corrupt(store, hit, error);
    if (UNLIKELY(status < 0))
        return keydir_fetch_failed(status, error);
    if (status == BITCASK_OK && UNLIKELY(hit->record.shape.flags & RECORD_EXPIRES)) {
        uint64_t now = snapshot != NULL ? snapshot->clock_us : store->os->clock_coarse(store->os);
        if (record_is_gone(hit->record.shape.flags, hit->record.shape.expires_us, now))
            status = BITCASK_NOT_FOUND;
    }
    return status;
}

/* ---- One key --------------------------------------------------------------------------------- */

static void count_read(struct epoch_guard guard, bitcask_status status)
{
    epoch_count(guard, status == BITCASK_OK ? &guard.stripe->gets : &guard.stripe->misses, 1);
}

static void fill_meta(bitcask_meta *meta, const struct record_shape *shape)
{
    *meta = (bitcask_meta){shape->version, shape->expires_us, shape->value_size};
}

static bool copy_value(bitcask_buffer *buffer, slice value)
{
    if (UNLIKELY(buffer->capacity < value.size || buffer->data == NULL)) {
        size_t capacity = value.size < 64 ? 64 : value.size + value.size / 2;
        void *data = malloc(capacity);
        if (data == NULL)
            return false;
        free(buffer->data);
        buffer->data = data;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data, value.data, value.size);
    buffer->size = value.size;
    return true;
}

/* Give out what has been found; inside the epoch. */
static inline bitcask_status take_copy(const struct reader_hit *hit, bitcask_buffer *value,
                                       bitcask_meta *meta, bitcask_error *error)
{
    if (meta != NULL)
        fill_meta(meta, &hit->record.shape);
    slice stored = segment_record_value(&hit->record);
    if (LIKELY(copy_value(value, stored)))
        return BITCASK_OK;
    return error_set(error, BITCASK_NO_MEMORY, "out of memory for a value of %zu bytes",
                     stored.size);
}

static __attribute__((noinline)) bitcask_status get_any(struct store *store, slice key,
                                                        const struct reader_options *options,
                                                        bitcask_buffer *value, bitcask_meta *meta,
                                                        bitcask_error *error)
{
    struct reader_hit hit;
    uint64_t hash = hash_key(&store->secret, key);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = find_live(store, hash, key, options, &hit, error);
    if (status == BITCASK_OK)
        status = take_copy(&hit, value, meta, error);
    count_read(guard, status);
    epoch_exit(guard);
    return status;
}

bitcask_status reader_stat(struct store *store, slice key, const struct reader_options *options,
                           bitcask_meta *meta, bitcask_error *error)
{
    struct reader_hit hit;
    uint64_t hash = hash_key(&store->secret, key);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = find_live(store, hash, key, options, &hit, error);
    if (status == BITCASK_OK && meta != NULL)
        fill_meta(meta, &hit.record.shape);
    count_read(guard, status);
    epoch_exit(guard);
    return status;
}

static inline void fill_view(bitcask_view *view, const struct reader_hit *hit, void *pin)
{
    view->value = segment_record_value(&hit->record);
    view->pin = pin;
    fill_meta(&view->meta, &hit->record.shape);
}

static __attribute__((noinline)) bitcask_status view_any(struct store *store, slice key,
                                                         const struct reader_options *options,
                                                         bitcask_view *view, bitcask_error *error)
{
    struct reader_hit hit;
    *view = (bitcask_view){0};
    uint64_t hash = hash_key(&store->secret, key);
    struct epoch_guard guard = epoch_enter(&store->epoch);
    bitcask_status status = find_live(store, hash, key, options, &hit, error);
    if (status == BITCASK_OK) {
        segment_pin(hit.segment);
        fill_view(view, &hit, segments_view_pinned(hit.segment));
    }
    count_read(guard, status);
    epoch_exit(guard);
    return status;
}

/* ---- Many keys ------------------------------------------------------------------------------- */

/* The buckets of all keys, then the records: the misses overlap. */
static void prefetch_all(struct store *store, const slice *keys, size_t many, uint64_t *hashes)
{
    for (size_t i = 0; i < many; i++) {
        hashes[i] = hash_key_inline(&store->secret, keys[i]);
        keydir_prefetch(store->shown, hashes[i]);
    }
    for (size_t i = 0; i < many; i++)
        reader_prefetch(store, store->shown, hashes[i]);
}

/* What a look-up of many has besides its keys. */
struct many {
    const struct reader_options *options;
    bitcask_error *error; /* of the first that fails */
    bitcask_status first; /* failure; or OK */
    unsigned line;        /* of the thread in epochs; owned if below EPOCH_OWNED */
    struct segment_pins pins;
};

static void take_view_pinned(struct many *many, const struct reader_hit *hit, bitcask_view *view)
{
    segment_pin_gather(&many->pins, hit->segment);
    fill_view(view, hit, segments_view_pinned(hit->segment));
}

/* The thread's count of views of a segment found in the index; NULL: pin it. Of one that owns its
 * line. */
static inline _Atomic uint32_t *count_of(struct store *store, unsigned line,
                                         const struct reader_hit *hit)
{
    struct view_pins *views = &store->segments.views;
    uint32_t slot = hit->place.segment_slot;
    _Atomic uint32_t *count = view_count(views, line, slot);
    return LIKELY(count != NULL) ? count : view_count_make(views, line, slot);
}

static inline void take_view(struct store *store, struct many *many, const struct reader_hit *hit,
                             bitcask_view *view)
{
    _Atomic uint32_t *count = NULL;
    if (LIKELY(many->line < EPOCH_OWNED))
        count = count_of(store, many->line, hit);
    if (UNLIKELY(count == NULL)) {
        take_view_pinned(many, hit, view);
        return;
    }
    view_count_take(count);
    fill_view(view, hit, segments_view_counted(hit->segment));
}

static __attribute__((noinline)) void fill_view_any(struct store *store, uint64_t hash, slice key,
                                                    struct many *many, bitcask_view *view,
                                                    bitcask_status *each)
{
    struct reader_hit hit;
    bitcask_error *error = many->first == BITCASK_OK ? many->error : NULL;
    *each = find_live(store, hash, key, many->options, &hit, error);
    if (*each == BITCASK_OK)
        take_view_pinned(many, &hit, view);
    else if (*each < 0 && many->first == BITCASK_OK)
        many->first = *each;
}

/* ---- The short ways ------------------------------------------------------------------------- */

#if CHECKSUM_INLINE
static inline bool is_copied_on_the_way(size_t value_size, bool verify)
{
    return verify && value_size >= RECORD_COPY_MIN && !PLANTED(read_unchecked);
}

/* Is a record of some length sound? A large value is copied into `value`, which has room, on the
 * way; if it is not sound, nothing is left in there. (No pointer to the hit: it is in registers.)
 */
static __attribute__((noinline)) bool is_sound_long(const uint8_t *record, uint64_t size,
                                                    uint64_t salt, uint64_t offset,
                                                    size_t value_size, bitcask_buffer *value)
{
    if (!is_copied_on_the_way(value_size, true))
        return record_checksum_ok(record, size, salt, offset);
    value->size = 0;
    return record_copy_value(value->data, record, size, value_size, salt, offset);
}

/* A value that is not for the short way of copying. */
static __attribute__((noinline)) void copy_other(bitcask_buffer *value, slice stored, bool verified)
{
    if (!is_copied_on_the_way(stored.size, verified))
        memcpy(value->data, stored.data, stored.size);
}

#define FAST(name) name##_narrow
#define FAST_TARGET CHECKSUM_TARGET
#define FAST_CHECKSUM checksum_words_inline
#define FAST_COPY copy_short
#define FAST_LEAVE() ((void)0)
#include "engine/reader_fast_ways.h"
#undef FAST
#undef FAST_TARGET
#undef FAST_CHECKSUM
#undef FAST_COPY
#undef FAST_LEAVE

#define FAST(name) name##_wide
#define FAST_TARGET CHECKSUM_WIDE_TARGET
#define FAST_CHECKSUM checksum_words_wide
#define FAST_COPY copy_short_wide
#define FAST_LEAVE() _mm256_zeroupper()
#include "engine/reader_fast_ways.h"
#undef FAST
#undef FAST_TARGET
#undef FAST_CHECKSUM
#undef FAST_COPY
#undef FAST_LEAVE

#endif

bitcask_status reader_get_plain(struct store *store, slice key, bitcask_buffer *value,
                                bitcask_meta *meta, bitcask_error *error)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    if (LIKELY(way == CHECKSUM_WIDE))
        return get_wide(store, key, value, meta, error);
    if (LIKELY(way == CHECKSUM_CLMUL))
        return get_narrow(store, key, value, meta, error);
#endif
    struct reader_options options = {store->options.verify_reads, NULL};
    return get_any(store, key, &options, value, meta, error);
}

bitcask_status reader_get(struct store *store, slice key, const struct reader_options *options,
                          bitcask_buffer *value, bitcask_meta *meta, bitcask_error *error)
{
    return get_any(store, key, options, value, meta, error);
}

bitcask_status reader_view_plain(struct store *store, slice key, bitcask_view *view,
                                 bitcask_error *error)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    if (LIKELY(way == CHECKSUM_WIDE))
        return view_wide(store, key, view, error);
    if (LIKELY(way == CHECKSUM_CLMUL))
        return view_narrow(store, key, view, error);
#endif
    struct reader_options options = {store->options.verify_reads, NULL};
    return view_any(store, key, &options, view, error);
}

bitcask_status reader_view(struct store *store, slice key, const struct reader_options *options,
                           bitcask_view *view, bitcask_error *error)
{
    return view_any(store, key, options, view, error);
}

static void find_all(struct store *store, const slice *keys, const uint64_t *hashes, size_t count,
                     struct many *many, bitcask_view *views, bitcask_status *each)
{
#if CHECKSUM_INLINE
    int way = atomic_load_explicit(&checksum_way_in_use, memory_order_relaxed);
    way = many->options->snapshot == NULL ? way : 0;
    if (LIKELY(way == CHECKSUM_WIDE)) {
        views_wide(store, keys, hashes, count, many, views, each);
        return;
    }
    if (LIKELY(way == CHECKSUM_CLMUL)) {
        views_narrow(store, keys, hashes, count, many, views, each);
        return;
    }
#endif
    for (size_t i = 0; i < count; i++)
        fill_view_any(store, hashes[i], keys[i], many, &views[i], &each[i]);
}

/* Look up keys[0..count), at most MANY_AT_ONCE; the views are cleared. */
static bitcask_status fill_views(struct store *store, const slice *keys, size_t count,
                                 const struct reader_options *options, bitcask_view *views,
                                 bitcask_status *each, bitcask_error *error)
{
    struct many many = {.options = options, .error = error};
    uint64_t hashes[MANY_AT_ONCE];
    struct epoch_guard guard = epoch_enter(&store->epoch);
    many.line = epoch_thread_number - 1;
    prefetch_all(store, keys, count, hashes);
    find_all(store, keys, hashes, count, &many, views, each);
    segment_pins_take(&many.pins);
    epoch_exit(guard);
    return many.first;
}

/* ---- Many keys at one moment ---------------------------------------------------------------- */

/* What a call for many keys has to find unchanged behind it. */
struct moment {
    uint64_t batches, floor;
    const struct keydir *shown;
};

static struct moment moment_of(const struct store *store)
{
    uint64_t batches = undo_batches(&store->undo);
    return (struct moment){batches, undo_floor(&store->undo), store->shown};
}

/* Has no batch begun or ended since, in the same index? Then all look-ups since have seen the same
 * batches. */
static bool is_still(const struct store *store, struct moment moment)
{
    return undo_floor(&store->undo) == moment.floor &&
           undo_batches(&store->undo) == moment.batches && store->shown == moment.shown;
}

void reader_prefetch_keys(struct store *store, const slice *keys, size_t count)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    for (size_t done = 0; done < count; done += MANY_AT_ONCE) {
        uint64_t hashes[MANY_AT_ONCE];
        size_t many = count - done < MANY_AT_ONCE ? count - done : MANY_AT_ONCE;
        prefetch_all(store, keys + done, many, hashes);
    }
    epoch_exit(guard);
}

static void count_reads(struct store *store, const bitcask_status *each, size_t count)
{
    struct epoch_guard guard = epoch_enter(&store->epoch);
    uint64_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += each[i] == BITCASK_OK;
    epoch_count(guard, &guard.stripe->gets, found);
    epoch_count(guard, &guard.stripe->misses, count - found);
    epoch_exit(guard);
}

/* BITCASK_END: a batch has begun or ended meanwhile, and no view is held. */
static bitcask_status try_views(struct store *store, const slice *keys, size_t count,
                                const struct reader_options *options, bitcask_view *views,
                                bitcask_status *each, bitcask_error *error)
{
    struct moment moment = moment_of(store);
    bool atomic = options->snapshot != NULL || count == 1 || PLANTED(many_one_by_one);
    bitcask_status first = BITCASK_OK;
    for (size_t done = 0; done < count; done += MANY_AT_ONCE) {
        size_t many = count - done < MANY_AT_ONCE ? count - done : MANY_AT_ONCE;
        bitcask_status status = fill_views(store, keys + done, many, options, views + done,
                                           each + done, first == BITCASK_OK ? error : NULL);
        if (first == BITCASK_OK)
            first = status;
        if (UNLIKELY(!atomic && !is_still(store, moment))) {
            for (size_t i = 0; i < done + many; i++) {
                if (views[i].pin != NULL)
                    segments_drop_view(views[i].pin);
                memset(&views[i], 0, sizeof views[0]);
            }
            return BITCASK_END;
        }
    }
    count_reads(store, each, count);
    return first;
}

bitcask_status reader_views(struct store *store, const slice *keys, size_t count,
                            const struct reader_options *options, bitcask_view *views,
                            bitcask_status *each, bitcask_error *error)
{
    for (int try = 0; try < TRIES; try++) {
        bitcask_status status = try_views(store, keys, count, options, views, each, error);
        if (LIKELY(status != BITCASK_END))
            return status;
    }
    struct bitcask_snapshot snapshot;
    struct reader_options as_of = {options->verify, &snapshot};
    snapshot_take(store, &snapshot);
    bitcask_status status = try_views(store, keys, count, &as_of, views, each, error);
    snapshot_drop(&snapshot);
    return status;
}
