/* SPDX-License-Identifier: MIT
 * merge_sim.c: a store in figures, merged by the real plan. */
#include "merge_sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/merge_plan.h"
#include "engine/merge_policy.h"

const char *const merge_sim_names[MERGE_SIM_WORKLOADS] = {
    [MERGE_SIM_UNIFORM] = "uniform",    [MERGE_SIM_ZIPFIAN] = "zipfian",
    [MERGE_SIM_APPEND] = "append-only", [MERGE_SIM_DELETES] = "delete-heavy",
    [MERGE_SIM_TTL] = "ttl-only",       [MERGE_SIM_ALTERNATING] = "alternating",
};

enum { RECORD_BYTES = 1000, TOMBSTONE_BYTES = 50, NOWHERE = UINT32_MAX };

struct sim_record {
    uint32_t key;
    bool tombstone;
};

struct sim_segment { /* size 0: free */
    struct sim_record *records;
    uint32_t count, capacity;
    uint32_t live;
    uint64_t bytes, keep_bytes; /* keep: live ones and all tombstones */
    uint64_t version_min;
};

struct sim_key {
    uint32_t segment, index; /* of its live record; NOWHERE */
    uint32_t copies;         /* records with a value on disk, live or dead */
};

struct sim {
    const struct merge_sim_setup *setup;
    struct sim_key *keys;
    uint32_t key_capacity, next_key;
    struct sim_segment *segments; /* in no order; the active one is `active` */
    uint32_t segment_count, segment_capacity, active;
    uint64_t version, random, writes;
    uint64_t live_records, log_bytes, merge_bytes, disk_bytes;
    double *zipf; /* cumulative shares by rank */
    bool measuring, failed;
    double space_sum;
    uint64_t space_samples;
    struct merge_sim_result result;
};

static uint64_t next_random(struct sim *sim)
{
    uint64_t x = sim->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t random_below(struct sim *sim, uint32_t limit)
{
    return (uint32_t)((next_random(sim) >> 32) * limit >> 32);
}

/* ---- Segments ------------------------------------------------------------------------------- */

static uint32_t segment_new(struct sim *sim)
{
    uint32_t i = 0;
    while (i < sim->segment_count && sim->segments[i].records != NULL)
        i++;
    if (i == sim->segment_capacity) {
        uint32_t capacity = sim->segment_capacity * 2 + 64;
        struct sim_segment *segments = realloc(sim->segments, capacity * sizeof *segments);
        sim->failed |= segments == NULL;
        if (segments == NULL)
            return 0;
        sim->segments = segments;
        sim->segment_capacity = capacity;
    }
    if (i == sim->segment_count)
        sim->segment_count++;
    sim->segments[i] = (struct sim_segment){.version_min = sim->version + 1, .capacity = 64};
    sim->segments[i].records = malloc(64 * sizeof(struct sim_record));
    sim->failed |= sim->segments[i].records == NULL;
    return i;
}

static void segment_free(struct sim *sim, uint32_t number)
{
    sim->disk_bytes -= sim->segments[number].bytes;
    free(sim->segments[number].records);
    sim->segments[number] = (struct sim_segment){0};
}

static uint64_t size_of(bool tombstone)
{
    return tombstone ? TOMBSTONE_BYTES : RECORD_BYTES;
}

/* Append a record and, unless it is a tombstone, point its key at it. */
static void append(struct sim *sim, uint32_t number, uint32_t key, bool tombstone)
{
    struct sim_segment *segment = &sim->segments[number];
    if (segment->count == segment->capacity) {
        uint32_t capacity = segment->capacity * 2;
        void *records = realloc(segment->records, capacity * sizeof(struct sim_record));
        sim->failed |= records == NULL;
        if (records == NULL)
            return;
        segment->records = records;
        segment->capacity = capacity;
    }
    segment->records[segment->count] = (struct sim_record){key, tombstone};
    if (!tombstone) {
        sim->keys[key].segment = number;
        sim->keys[key].index = segment->count;
        sim->keys[key].copies++;
        segment->live++;
    }
    segment->count++;
    segment->bytes += size_of(tombstone);
    segment->keep_bytes += size_of(tombstone);
    sim->disk_bytes += size_of(tombstone);
}

/* The key's record is dead now. */
static void kill(struct sim *sim, uint32_t key)
{
    struct sim_segment *segment = &sim->segments[sim->keys[key].segment];
    segment->live--;
    segment->keep_bytes -= RECORD_BYTES;
    sim->keys[key].segment = NOWHERE;
    sim->live_records--;
}

/* ---- Merging -------------------------------------------------------------------------------- */

struct sim_job {
    struct merge_candidate *candidates;
    bool *chosen;
    size_t count;
};

/* A tombstone has to stay while a record of its key that it hides is in another segment: the copies
 * of the inputs have been taken off by now. */
static bool is_needed(const struct sim *sim, uint32_t key)
{
    uint32_t newer = sim->keys[key].segment != NOWHERE; /* put again since */
    return sim->keys[key].copies > newer;
}

static void forget_copies(struct sim *sim, const struct sim_segment *input, uint32_t number)
{
    for (uint32_t i = 0; i < input->count; i++) {
        const struct sim_key *key = &sim->keys[input->records[i].key];
        if (!input->records[i].tombstone && (key->segment != number || key->index != i))
            sim->keys[input->records[i].key].copies--;
    }
}

static void carry_out(struct sim *sim, const struct sim_job *job)
{
    uint64_t limit = (uint64_t)sim->setup->segment_records * RECORD_BYTES;
    uint32_t output = NOWHERE;
    uint64_t version_min = UINT64_MAX, before = sim->disk_bytes;
    for (size_t c = 0; c < job->count; c++)
        if (job->chosen[c])
            forget_copies(sim, &sim->segments[job->candidates[c].id],
                          (uint32_t)job->candidates[c].id);
    for (size_t c = 0; c < job->count && !sim->failed; c++) {
        if (!job->chosen[c])
            continue;
        uint32_t number = (uint32_t)job->candidates[c].id;
        uint32_t count = sim->segments[number].count;
        if (job->candidates[c].version_min < version_min)
            version_min = job->candidates[c].version_min;
        for (uint32_t i = 0; i < count && !sim->failed; i++) {
            struct sim_record record = sim->segments[number].records[i];
            const struct sim_key *key = &sim->keys[record.key];
            bool keep = record.tombstone ? is_needed(sim, record.key)
                                         : key->segment == number && key->index == i;
            if (!keep)
                continue;
            if (output == NOWHERE || sim->segments[output].bytes + RECORD_BYTES > limit)
                output = segment_new(sim);
            if (!record.tombstone)
                sim->keys[record.key].copies--; /* the one in the input */
            append(sim, output, record.key, record.tombstone);
            sim->segments[output].version_min = version_min;
            sim->merge_bytes += size_of(record.tombstone);
        }
    }
    double peak = (double)sim->disk_bytes / ((double)sim->live_records * RECORD_BYTES);
    if (sim->measuring && peak > sim->result.space_peak && sim->disk_bytes > before)
        sim->result.space_peak = peak;
    for (size_t c = 0; c < job->count; c++)
        if (job->chosen[c])
            segment_free(sim, (uint32_t)job->candidates[c].id);
    sim->result.jobs += sim->measuring;
}

/* As an assessment does it: tombstones that could go if the segment were merged alone are not
 * kept. Only where that may make a difference. */
static uint64_t kept_by(struct sim *sim, uint32_t number)
{
    struct sim_segment *segment = &sim->segments[number];
    uint64_t live_bytes = (uint64_t)segment->live * RECORD_BYTES;
    if (segment->keep_bytes == live_bytes ||
        (double)live_bytes > (1 - sim->setup->trigger) * (double)segment->bytes)
        return segment->keep_bytes;
    uint64_t keep = live_bytes;
    for (uint32_t i = 0; i < segment->count; i++)
        if (segment->records[i].tombstone && is_needed(sim, segment->records[i].key))
            keep += TOMBSTONE_BYTES;
    return keep;
}

/* Plan one job. Returns how many inputs it has. */
static size_t plan(struct sim *sim, struct sim_job *job)
{
    uint64_t output_bytes = (uint64_t)sim->setup->segment_records * RECORD_BYTES;
    job->count = 0;
    for (uint32_t i = 0; i < sim->segment_count; i++)
        if (i != sim->active && sim->segments[i].records != NULL)
            job->candidates[job->count++] = (struct merge_candidate){
                .id = i,
                .size_bytes = sim->segments[i].bytes,
                .keep_bytes = kept_by(sim, i),
                .records = sim->segments[i].live,
                .version_min = sim->segments[i].version_min,
                .eligible = true,
            };
    qsort(job->candidates, job->count, sizeof *job->candidates, merge_candidate_order);
    struct merge_wish wish = merge_policy_wish(sim->setup->trigger, output_bytes, 0);
    wish.other_bytes = sim->segments[sim->active].bytes;
    return merge_plan(job->candidates, job->count, &wish, job->chosen);
}

static void merge(struct sim *sim)
{
    struct sim_job job = {
        .candidates = malloc((sim->segment_count + 1) * sizeof *job.candidates),
        .chosen = malloc(sim->segment_count + 1),
    };
    sim->failed |= job.candidates == NULL || job.chosen == NULL;
    unsigned rounds = 0;
    while (!sim->failed && plan(sim, &job) > 0) {
        carry_out(sim, &job);
        if (++rounds > 2 * sim->segment_count + 16) { /* it does not come to rest */
            sim->result.restless = true;
            break;
        }
        void *candidates =
            realloc(job.candidates, (sim->segment_count + 1) * sizeof *job.candidates);
        void *chosen = realloc(job.chosen, sim->segment_count + 1);
        job.candidates = candidates != NULL ? candidates : job.candidates;
        job.chosen = chosen != NULL ? chosen : job.chosen;
        sim->failed |= candidates == NULL || chosen == NULL;
    }
    free(job.candidates);
    free(job.chosen);
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void note_space(struct sim *sim)
{
    if (!sim->measuring || sim->live_records == 0)
        return;
    double space = (double)sim->disk_bytes / ((double)sim->live_records * RECORD_BYTES);
    sim->space_sum += space;
    sim->space_samples++;
    if (space > sim->result.space_max)
        sim->result.space_max = space;
    if (space > sim->result.space_peak)
        sim->result.space_peak = space;
}

static void log_record(struct sim *sim, uint32_t key, bool tombstone)
{
    append(sim, sim->active, key, tombstone);
    sim->version++;
    sim->live_records += !tombstone;
    sim->log_bytes += size_of(tombstone);
    if (sim->segments[sim->active].bytes + RECORD_BYTES >
        (uint64_t)sim->setup->segment_records * RECORD_BYTES) {
        note_space(sim);
        sim->active = segment_new(sim);
        if (!sim->failed)
            merge(sim);
    }
}

static void put(struct sim *sim, uint32_t key)
{
    if (sim->keys[key].segment != NOWHERE)
        kill(sim, key);
    log_record(sim, key, false);
}

static uint32_t zipf_key(struct sim *sim)
{
    double share = (double)(next_random(sim) >> 11) / (double)(1ull << 53);
    uint32_t low = 0, high = sim->setup->keys - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sim->zipf[middle] < share)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void write_once(struct sim *sim)
{
    uint32_t keys = sim->setup->keys, key;
    uint64_t phase = sim->writes / (keys / 2 + 1);
    switch (sim->setup->workload) {
    case MERGE_SIM_ZIPFIAN:
        put(sim, zipf_key(sim));
        break;
    case MERGE_SIM_APPEND:
        put(sim, sim->next_key++);
        break;
    case MERGE_SIM_DELETES:
        key = random_below(sim, keys);
        if (sim->keys[key].segment != NOWHERE && next_random(sim) % 2 == 0) {
            kill(sim, key);
            log_record(sim, key, true);
        } else {
            put(sim, key);
        }
        break;
    case MERGE_SIM_TTL:
        kill(sim, sim->next_key - keys); /* expires just now */
        put(sim, sim->next_key++);
        break;
    case MERGE_SIM_ALTERNATING:
        put(sim, random_below(sim, phase % 2 == 0 ? keys : keys / 10));
        break;
    default:
        put(sim, random_below(sim, keys));
        break;
    }
    sim->writes++;
}

/* ---- A run ---------------------------------------------------------------------------------- */

static bool begin(struct sim *sim)
{
    const struct merge_sim_setup *setup = sim->setup;
    bool grows = setup->workload == MERGE_SIM_APPEND || setup->workload == MERGE_SIM_TTL;
    sim->key_capacity = setup->keys + (grows ? setup->keys * setup->turnover : 0);
    sim->keys = calloc(sim->key_capacity, sizeof *sim->keys);
    if (sim->keys == NULL)
        return false;
    for (uint32_t key = 0; key < sim->key_capacity; key++)
        sim->keys[key].segment = NOWHERE;
    if (setup->workload == MERGE_SIM_ZIPFIAN) {
        double sum = 0;
        sim->zipf = malloc(setup->keys * sizeof *sim->zipf);
        if (sim->zipf == NULL)
            return false;
        for (uint32_t rank = 0; rank < setup->keys; rank++)
            sim->zipf[rank] = sum += 1 / pow(rank + 1, 0.99);
        for (uint32_t rank = 0; rank < setup->keys; rank++)
            sim->zipf[rank] /= sum;
    }
    sim->active = segment_new(sim);
    for (uint32_t key = 0; key < setup->keys && !sim->failed; key++)
        put(sim, key);
    sim->next_key = setup->keys;
    return !sim->failed;
}

bool merge_sim_run(const struct merge_sim_setup *setup, struct merge_sim_result *result)
{
    struct sim sim = {.setup = setup, .random = setup->seed};
    bool ok = begin(&sim);
    uint64_t writes = (uint64_t)setup->keys * setup->turnover;
    for (uint64_t i = 0; i < writes && ok && !sim.failed; i++) {
        if (i == writes / 2) {
            sim.measuring = true;
            sim.log_bytes = sim.merge_bytes = 0;
        }
        write_once(&sim);
    }
    for (uint32_t i = 0; i < sim.segment_count; i++)
        free(sim.segments[i].records);
    free(sim.segments);
    free(sim.keys);
    free(sim.zipf);
    *result = sim.result;
    if (sim.log_bytes > 0)
        result->write_amplification =
            (double)(sim.log_bytes + sim.merge_bytes) / (double)sim.log_bytes;
    if (sim.space_samples > 0)
        result->space_mean = sim.space_sum / (double)sim.space_samples;
    return ok && !sim.failed;
}
