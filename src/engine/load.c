/* SPDX-License-Identifier: MIT
 * load.c: fill the index from hints, shard by shard.
 *
 * The entries of one shard are one run of each hint. They are gathered in a table by their hash,
 * small enough to stay in the processor's cache, where the entries of one key meet and the newest
 * is kept; what is left is the shard. So the cost does not depend on the number of hints, and no
 * order among them is needed. */
#include "engine/load.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/parallel.h"
#include "format/record.h"

enum {
    SAMPLE_ENTRIES = 16 << 10, /* count the keys of at least as many entries */
    SAMPLE_SHIFT_MAX = 6,      /* but of no fewer than a 64th of the hashes */
    THREADS_FROM = 64 << 10,   /* entries for which a second thread is worth starting */
};

/* Where a worker stands in one hint. */
struct cursor {
    const uint8_t *entry, *end;
    const uint8_t *key;
    uint64_t live_records, live_bytes; /* of winners so far */
};

/* The newest entry of a key so far. */
struct winner {
    uint64_t hash, version;
    const uint8_t *key; /* NULL: it stands in the record, as the version does */
    uint32_t input, offset;
    uint32_t size; /* of the record; and LOAD_RECORD_TOMBSTONE */
    uint16_t key_size;
};

struct worker {
    const struct load_input *inputs;
    size_t input_count;
    struct cursor *cursors;
    struct winner *winners;
    size_t winner_count, winner_capacity;
    uint32_t *table;                   /* indices of winners + 1, by their hash; 0: empty */
    size_t table_size;                 /* a power of two, at least twice the winners */
    struct keydir_load_entry *entries; /* winner_capacity of them */
};

static bitcask_status no_memory(bitcask_error *error)
{
    return error_set(error, BITCASK_NO_MEMORY, "out of memory while loading the index");
}

static bool worker_init(struct worker *worker, const struct load_input *inputs, size_t count)
{
    *worker = (struct worker){.inputs = inputs, .input_count = count};
    worker->cursors = calloc(count + 1, sizeof *worker->cursors);
    return worker->cursors != NULL;
}

static void worker_release(struct worker *worker)
{
    free(worker->cursors);
    free(worker->winners);
    free(worker->table);
    free(worker->entries);
}

/* ---- One range of hashes --------------------------------------------------------------------- */

/* Room for `count` entries, all of different keys, and an empty table. */
static bool make_room(struct worker *worker, size_t count)
{
    if (count > worker->winner_capacity || worker->winner_capacity == 0) {
        size_t capacity = worker->winner_capacity == 0 ? 4096 : worker->winner_capacity;
        while (capacity < count)
            capacity *= 2;
        free(worker->winners);
        free(worker->table);
        free(worker->entries);
        worker->winners = malloc(capacity * sizeof *worker->winners);
        worker->table = malloc(2 * capacity * sizeof *worker->table);
        worker->entries = malloc(capacity * sizeof *worker->entries);
        worker->winner_capacity = capacity;
        if (worker->winners == NULL || worker->table == NULL || worker->entries == NULL) {
            worker->winner_capacity = 0;
            return false;
        }
    }
    worker->table_size = 64;
    while (worker->table_size < 2 * count)
        worker->table_size *= 2;
    CHECK(worker->table_size <= 2 * worker->winner_capacity);
    memset(worker->table, 0, worker->table_size * sizeof *worker->table);
    worker->winner_count = 0;
    return true;
}

/* Of two records of one key: does the new one win? Equal versions are the same record, once merged
 * away from where a crash has left it: then one that can be read. */
static bool wins(const struct worker *worker, const struct winner *old, const struct winner *entry)
{
    if (entry->version != old->version && !PLANTED(newest_by_id))
        return entry->version > old->version;
    const struct segment *before = worker->inputs[old->input].segment;
    const struct segment *now = worker->inputs[entry->input].segment;
    bool before_sound = before->map != NULL && !atomic_load(&before->damaged);
    bool now_sound = now->map != NULL && !atomic_load(&now->damaged);
    return before_sound != now_sound ? now_sound : now->id > before->id;
}

/* Get the key and the version from the record, if they are not there. False: it cannot be read any
 * more; look-ups will meet that. */
static bool look_at_record(const struct worker *worker, struct winner *entry)
{
    if (entry->key != NULL)
        return true;
    const struct segment *segment = worker->inputs[entry->input].segment;
    const struct load_record record = {entry->hash, entry->offset, entry->size};
    struct record_shape shape;
    if (!load_record_shape(&record, segment, &shape))
        return false;
    entry->version = shape.version;
    entry->key = segment->map + entry->offset + shape.header_size;
    entry->key_size = (uint16_t)shape.key_size;
    return true;
}

static bool same_key(const struct worker *worker, struct winner *a, struct winner *b)
{
    return look_at_record(worker, a) && look_at_record(worker, b) && a->key_size == b->key_size &&
           memcmp(a->key, b->key, a->key_size) == 0;
}

static void add_entry(struct worker *worker, struct winner *entry)
{
    const size_t mask = worker->table_size - 1;
    size_t at = (size_t)entry->hash & mask; /* the shard took the top bits */
    for (;; at = (at + 1) & mask) {
        if (worker->table[at] == 0) {
            worker->winners[worker->winner_count++] = *entry;
            worker->table[at] = (uint32_t)worker->winner_count;
            return;
        }
        struct winner *winner = &worker->winners[worker->table[at] - 1];
        if (UNLIKELY(winner->hash == entry->hash) && same_key(worker, winner, entry)) {
            if (wins(worker, winner, entry))
                *winner = *entry;
            return;
        }
    }
}

/* How many entries from `cursor` on have a hash of at most `last`. */
static size_t count_run(const struct cursor *cursor, uint64_t last)
{
    const uint8_t *entry = cursor->entry;
    while (entry < cursor->end && get_u64(entry) <= last)
        entry += HINT_ENTRY_SIZE;
    return (size_t)(entry - cursor->entry) / HINT_ENTRY_SIZE;
}

static void take_hint(struct worker *worker, uint32_t input, uint64_t last)
{
    struct cursor *cursor = &worker->cursors[input];
    while (cursor->entry < cursor->end && get_u64(cursor->entry) <= last) {
        struct hint_entry entry;
        hint_entry_decode(cursor->entry, &entry);
        uint64_t size = record_size(entry.flags, entry.key_size, entry.value_size);
        struct winner winner = {
            .hash = entry.hash,
            .version = entry.version,
            .key = cursor->key,
            .input = input,
            .offset = entry.offset,
            .size = (uint32_t)size | (entry.flags & RECORD_TOMBSTONE ? LOAD_RECORD_TOMBSTONE : 0),
            .key_size = (uint16_t)entry.key_size,
        };
        add_entry(worker, &winner);
        cursor->entry += HINT_ENTRY_SIZE;
        cursor->key += entry.key_size;
    }
}

static void take_records(struct worker *worker, uint32_t input, uint64_t first, uint64_t last)
{
    struct load_record_range range =
        load_records_between(worker->inputs[input].records, first, last);
    for (const struct load_record *record = range.from; record < range.end; record++) {
        if (record->hash < first || record->hash > last)
            continue;
        struct winner winner = {
            .hash = record->hash,
            .input = input,
            .offset = record->offset,
            .size = record->size,
        };
        add_entry(worker, &winner);
    }
}

/* Take all entries with hashes from `first` (where the cursors stand) to `last` and keep the newest
 * of each key. */
static bool take_range(struct worker *worker, uint64_t first, uint64_t last)
{
    size_t total = 0;
    for (size_t i = 0; i < worker->input_count; i++) {
        const struct load_records *records = worker->inputs[i].records;
        if (records == NULL) {
            total += count_run(&worker->cursors[i], last);
        } else {
            struct load_record_range range = load_records_between(records, first, last);
            total += (size_t)(range.end - range.from);
        }
    }
    if (!make_room(worker, total))
        return false;
    for (size_t i = 0; i < worker->input_count; i++) {
        if (worker->inputs[i].records == NULL)
            take_hint(worker, (uint32_t)i, last);
        else
            take_records(worker, (uint32_t)i, first, last);
    }
    return true;
}

/* The winners that are keys, in worker->entries, counted as live in their segments. A tombstone
 * that wins leaves no entry. Returns how many there are. */
static size_t collect_live(struct worker *worker)
{
    size_t count = 0;
    for (size_t i = 0; i < worker->winner_count; i++) {
        const struct winner *winner = &worker->winners[i];
        if (winner->size & LOAD_RECORD_TOMBSTONE)
            continue;
        struct cursor *cursor = &worker->cursors[winner->input];
        cursor->live_records++;
        cursor->live_bytes += winner->size;
        worker->entries[count++] = (struct keydir_load_entry){
            .hash = winner->hash,
            .place = {worker->inputs[winner->input].segment->slot, winner->offset},
        };
    }
    return count;
}

/* ---- The number of keys ---------------------------------------------------------------------- */

static uint64_t count_entries(const struct load_input *inputs, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += inputs[i].records != NULL ? inputs[i].records->count
                                           : inputs[i].hint.hint.header.entries;
    return total;
}

static void cursor_init(struct cursor *cursor, const struct hint *hint, uint64_t from,
                        uint64_t key_offset)
{
    if (hint->header.entries == 0)
        return;
    cursor->entry = hint->entries + from * HINT_ENTRY_SIZE;
    cursor->end = hint->entries + hint->header.entries * HINT_ENTRY_SIZE;
    cursor->key = hint->keys + key_offset;
}

/* About how many keys there are: exactly so among the lowest hashes. */
static bitcask_status estimate_keys(const struct load_input *inputs, size_t count, uint64_t total,
                                    uint64_t *keys, bitcask_error *error)
{
    unsigned shift = 0;
    while (shift < SAMPLE_SHIFT_MAX && total >> (shift + 1) >= SAMPLE_ENTRIES)
        shift++;
    struct worker worker;
    bool ok = worker_init(&worker, inputs, count);
    for (size_t i = 0; ok && i < count; i++)
        cursor_init(&worker.cursors[i], &inputs[i].hint.hint, 0, 0);
    ok = ok && take_range(&worker, 0, UINT64_MAX >> shift);
    *keys = ok ? (uint64_t)collect_live(&worker) << shift : 0;
    worker_release(&worker);
    return ok ? BITCASK_OK : no_memory(error);
}

/* ---- All ranges ------------------------------------------------------------------------------ */

/* A part of the shards, for one worker. */
struct part {
    uint32_t first_shard, end_shard;
    uint64_t *from;        /* for each input: its first entry in this part */
    uint64_t *keys_before; /* and the bytes of the keys of the entries since the part before */
    bitcask_status status;
    bitcask_error error;
};

struct load {
    struct keydir *keydir;
    const struct load_input *inputs;
    size_t input_count;
    unsigned shard_bits;
    struct part *parts;
    size_t part_count;
};

static uint64_t first_hash(const struct load *load, uint32_t shard)
{
    return load->shard_bits == 0 ? 0 : (uint64_t)shard << (64 - load->shard_bits);
}

static uint64_t last_hash(const struct load *load, uint32_t shard)
{
    return load->shard_bits == 0 ? UINT64_MAX
                                 : first_hash(load, shard) + (UINT64_MAX >> load->shard_bits);
}

/* Find where a part begins in each hint, and how many key bytes lie in the part. */
static void measure_part(void *context, size_t index)
{
    struct load *load = context;
    struct part *part = &load->parts[index];
    for (size_t i = 0; i < load->input_count; i++) {
        const struct hint *hint = &load->inputs[i].hint.hint; /* without entries, if it is none */
        part->from[i] = hint_lower_bound(hint, first_hash(load, part->first_shard));
        part->keys_before[i] = 0;
        if (index == 0)
            continue;
        const struct part *before = &load->parts[index - 1];
        uint64_t from = hint_lower_bound(hint, first_hash(load, before->first_shard));
        for (uint64_t e = from; e < part->from[i]; e++)
            part->keys_before[i] += get_u16(hint->entries + e * HINT_ENTRY_SIZE + 24);
    }
}

static bitcask_status fill_shards(struct load *load, struct part *part, struct worker *worker)
{
    for (uint32_t shard = part->first_shard; shard < part->end_shard; shard++) {
        if (!take_range(worker, first_hash(load, shard), last_hash(load, shard)))
            return no_memory(&part->error);
        size_t live = collect_live(worker);
        bitcask_status status =
            keydir_load_shard(load->keydir, shard, worker->entries, live, &part->error);
        if (status != BITCASK_OK)
            return status;
    }
    return BITCASK_OK;
}

static void fill_part(void *context, size_t index)
{
    struct load *load = context;
    struct part *part = &load->parts[index];
    struct worker worker;
    if (!worker_init(&worker, load->inputs, load->input_count)) {
        part->status = no_memory(&part->error);
        return;
    }
    for (size_t i = 0; i < load->input_count; i++)
        cursor_init(&worker.cursors[i], &load->inputs[i].hint.hint, part->from[i],
                    part->keys_before[i]);
    part->status = fill_shards(load, part, &worker);
    for (size_t i = 0; i < load->input_count; i++)
        segment_add_live(load->inputs[i].segment, worker.cursors[i].live_records,
                         worker.cursors[i].live_bytes);
    worker_release(&worker);
}

static bool make_parts(struct load *load, unsigned threads, uint32_t shards)
{
    load->part_count = shards < threads ? shards : threads;
    load->parts = calloc(load->part_count, sizeof *load->parts);
    if (load->parts == NULL)
        return false;
    for (size_t i = 0; i < load->part_count; i++) {
        struct part *part = &load->parts[i];
        part->first_shard = (uint32_t)(i * shards / load->part_count);
        part->end_shard = (uint32_t)((i + 1) * shards / load->part_count);
        part->from = calloc(2 * load->input_count + 1, sizeof *part->from);
        if (part->from == NULL)
            return false;
        part->keys_before = part->from + load->input_count;
    }
    return true;
}

static void free_parts(struct load *load)
{
    for (size_t i = 0; load->parts != NULL && i < load->part_count; i++)
        free(load->parts[i].from);
    free(load->parts);
}

static bitcask_status fill(struct load *load, unsigned threads, bitcask_error *error)
{
    uint32_t shards = keydir_load_shards(load->keydir);
    while (UINT64_C(1) << load->shard_bits < shards)
        load->shard_bits++;
    CHECK(UINT64_C(1) << load->shard_bits == shards);
    if (!make_parts(load, threads, shards))
        return no_memory(error);
    parallel_each(threads, load->part_count, measure_part, load);
    for (size_t p = 1; p < load->part_count; p++) {
        for (size_t i = 0; i < load->input_count; i++)
            load->parts[p].keys_before[i] += load->parts[p - 1].keys_before[i];
    }
    parallel_each(threads, load->part_count, fill_part, load);
    for (size_t p = 0; p < load->part_count; p++) {
        if (load->parts[p].status != BITCASK_OK) {
            if (error != NULL)
                *error = load->parts[p].error;
            return load->parts[p].status;
        }
    }
    return BITCASK_OK;
}

bitcask_status load_keydir_into(struct store *store, struct keydir *keydir,
                                struct load_input *inputs, size_t count, unsigned threads,
                                uint64_t *last_version, bitcask_error *error)
{
    *last_version = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t version = inputs[i].records != NULL ? atomic_load(&inputs[i].segment->version_max)
                                                     : inputs[i].hint.hint.header.version_max;
        *last_version = version > *last_version ? version : *last_version;
    }
    uint64_t total = count_entries(inputs, count), keys;
    bitcask_status status = estimate_keys(inputs, count, total, &keys, error);
    if (status != BITCASK_OK)
        return status;
    if (keys < store->options.expected_keys)
        keys = store->options.expected_keys;
    status = keydir_load_begin(keydir, keys, error);
    if (status != BITCASK_OK)
        return status;
    threads = total < THREADS_FROM ? 1 : parallel_threads(threads);
    struct load load = {.keydir = keydir, .inputs = inputs, .input_count = count};
    status = fill(&load, threads, error);
    free_parts(&load);
    if (status == BITCASK_OK)
        status = keydir_load_end(keydir, error);
    return status;
}

bitcask_status load_keydir(struct store *store, struct load_input *inputs, size_t count,
                           unsigned threads, uint64_t *last_version, bitcask_error *error)
{
    return load_keydir_into(store, store->keydir, inputs, count, threads, last_version, error);
}

/* ---- One range of an open store -------------------------------------------------------------- */

/* A hint of all of the segment: the one on disk, or one made now. */
static bitcask_status get_hint(struct store *store, struct segment *segment, struct hint_file *hint)
{
    struct segment_figures figures;
    uint64_t end = atomic_load(&segment->end);
    if (atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED) {
        bitcask_status status = hint_file_open(segment, end, true, true, hint, NULL);
        if (status == BITCASK_OK && hint->hint.header.length == end)
            return BITCASK_OK;
        if (status == BITCASK_OK)
            hint_file_close(segment->os, hint);
        if (status == BITCASK_NO_MEMORY)
            return status;
    }
    return hint_file_build(segment, &store->secret, end, hint, &figures, NULL);
}

/* Stand at the first entry of the range: no table says where its key is. */
static void cursor_seek(struct cursor *cursor, const struct hint *hint, uint64_t first)
{
    cursor_init(cursor, hint, 0, 0);
    while (cursor->entry < cursor->end && get_u64(cursor->entry) < first) {
        cursor->key += get_u16(cursor->entry + 24);
        cursor->entry += HINT_ENTRY_SIZE;
    }
}

static bitcask_status collect_range(const struct load_input *inputs, size_t input_count,
                                    uint64_t first, uint64_t last,
                                    struct keydir_load_entry **entries, size_t *count)
{
    struct worker worker;
    bool ok = worker_init(&worker, inputs, input_count);
    for (size_t i = 0; ok && i < input_count; i++)
        cursor_seek(&worker.cursors[i], &inputs[i].hint.hint, first);
    ok = ok && take_range(&worker, first, last);
    if (ok) {
        *count = collect_live(&worker);
        *entries = worker.entries;
        worker.entries = NULL;
    }
    worker_release(&worker);
    return ok ? BITCASK_OK : BITCASK_NO_MEMORY;
}

bitcask_status load_range(struct store *store, uint64_t first, uint64_t last,
                          struct keydir_load_entry **entries, size_t *count)
{
    *entries = NULL;
    *count = 0;
    size_t segment_count, opened = 0;
    struct segment **all = segments_pin_all(&store->segments, &segment_count);
    struct load_input *inputs = calloc(segment_count + 1, sizeof *inputs);
    bitcask_status status = all == NULL || inputs == NULL ? BITCASK_NO_MEMORY : BITCASK_OK;
    for (size_t i = 0; i < segment_count && status == BITCASK_OK; i++) {
        inputs[i].segment = all[i];
        status = get_hint(store, all[i], &inputs[i].hint);
        opened = i + 1;
    }
    if (status == BITCASK_OK)
        status = collect_range(inputs, segment_count, first, last, entries, count);
    for (size_t i = 0; i < opened; i++)
        hint_file_close(store->os, &inputs[i].hint);
    free(inputs);
    segments_unpin_all(all, segment_count);
    return status;
}
