/* SPDX-License-Identifier: MIT
 * metrics.c: counts and latencies.
 *
 * Buckets: below 32 ns one a nanosecond, then 32 for each power of two, so a bucket is at most 1/32
 * of its values wide; the last one takes all from 2^36 ns (69 s) on. A command's histogram is made
 * at its first call. Nothing is ever set back, since only a cell's own thread may write it: a reset
 * notes the sums of that moment, and they are subtracted from then on. They are read before the
 * cells are, which only grow: so no difference is ever below zero. */
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const error_names[] = {
    "ERR",     "EXECABORT", "MISCONF",   "NOAUTH",   "NOPERM", "NOPROTO",   "NOSCRIPT",
    "NOTBUSY", "OOM",       "WRONGPASS", "CONFLICT", "EXISTS", "NOT_FOUND", "OTHER",
};
enum { ERRORS = sizeof error_names / sizeof *error_names };
enum { BUCKETS = 1024, SUB_BITS = 5, SUBS = 1 << SUB_BITS };

typedef _Atomic uint64_t counter;

struct histogram {
    counter count, sum_ns, max_ns;
    counter buckets[BUCKETS];
};

struct command_cells {
    counter calls, failed, rejected, ns;
    _Atomic(struct histogram *) histogram;
};

struct set { /* one thread's, or the sums at the last reset */
    _Alignas(64) counter counters[METRIC_COUNT];
    counter errors[ERRORS];
    struct histogram all;
    struct command_cells *commands;
};

struct metrics {
    unsigned slots, commands;
    pthread_mutex_t reset;                /* one at a time */
    counter rate_us, rate_commands, rate; /* the last time metrics_rate looked */
    struct set *sets; /* `slots` of the threads, then the one of the last reset */
};

/* Acquire, for the order of base and cells; a plain load where it matters. */
static uint64_t load(const counter *cell)
{
    return atomic_load_explicit(cell, memory_order_acquire);
}

static void store(counter *cell, uint64_t value)
{
    atomic_store_explicit(cell, value, memory_order_release);
}

static void add(counter *cell, uint64_t count)
{
    store(cell, load(cell) + count);
}

struct metrics *metrics_new(unsigned slots, unsigned commands)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL)
        return NULL;
    pthread_mutex_init(&metrics->reset, NULL);
    metrics->slots = slots;
    metrics->commands = commands;
    metrics->sets = aligned_alloc(64, (slots + 1) * sizeof *metrics->sets);
    if (metrics->sets == NULL) {
        metrics->slots = 0;
        metrics_free(metrics);
        return NULL;
    }
    memset(metrics->sets, 0, (slots + 1) * sizeof *metrics->sets);
    for (unsigned i = 0; i <= slots; i++) {
        metrics->sets[i].commands =
            calloc(commands > 0 ? commands : 1, sizeof(struct command_cells));
        if (metrics->sets[i].commands == NULL) {
            metrics_free(metrics);
            return NULL;
        }
    }
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (unsigned i = 0; metrics->sets != NULL && i <= metrics->slots; i++) {
        struct command_cells *commands = metrics->sets[i].commands;
        for (unsigned j = 0; commands != NULL && j < metrics->commands; j++)
            free(atomic_load(&commands[j].histogram));
        free(commands);
    }
    pthread_mutex_destroy(&metrics->reset);
    free(metrics->sets);
    free(metrics);
}

/* ---- Counting ------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < SUBS)
        return (unsigned)ns;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(ns);
    unsigned shift = exponent - SUB_BITS;
    unsigned bucket = (shift + 1) * SUBS + (unsigned)(ns >> shift & (SUBS - 1));
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

uint64_t metrics_bucket_limit_ns(unsigned bucket)
{
    if (bucket < SUBS)
        return bucket;
    if (bucket >= BUCKETS - 1)
        return UINT64_MAX;
    unsigned shift = bucket / SUBS - 1;
    return (((uint64_t)SUBS + bucket % SUBS + 1) << shift) - 1;
}

static void note(struct histogram *histogram, uint64_t ns, uint64_t count)
{
    add(&histogram->buckets[bucket_of(ns)], count);
    add(&histogram->count, count);
    add(&histogram->sum_ns, ns * count);
    if (ns > load(&histogram->max_ns))
        store(&histogram->max_ns, ns);
}

/* Made at the first call; without memory the command goes without one. */
static struct histogram *histogram_of(struct command_cells *cells)
{
    struct histogram *histogram = atomic_load_explicit(&cells->histogram, memory_order_relaxed);
    if (histogram == NULL) {
        histogram = calloc(1, sizeof *histogram);
        atomic_store_explicit(&cells->histogram, histogram, memory_order_release);
    }
    return histogram;
}

void metrics_add(struct metrics *metrics, unsigned slot, enum metric metric, uint64_t count)
{
    add(&metrics->sets[slot].counters[metric], count);
}

void metrics_commands(struct metrics *metrics, unsigned slot, unsigned command, uint64_t ns,
                      uint64_t count)
{
    struct set *set = &metrics->sets[slot];
    struct command_cells *cells = &set->commands[command];
    add(&set->counters[METRIC_COMMANDS], count);
    add(&cells->calls, count);
    add(&cells->ns, ns * count);
    note(&set->all, ns, count);
    struct histogram *histogram = histogram_of(cells);
    if (histogram != NULL)
        note(histogram, ns, count);
}

void metrics_command(struct metrics *metrics, unsigned slot, unsigned command, uint64_t ns,
                     enum metrics_outcome outcome)
{
    struct command_cells *cells = &metrics->sets[slot].commands[command];
    if (outcome == METRICS_REJECTED) {
        add(&cells->rejected, 1);
        return;
    }
    metrics_commands(metrics, slot, command, ns, 1);
    if (outcome == METRICS_FAILED)
        add(&cells->failed, 1);
}

void metrics_error(struct metrics *metrics, unsigned slot, const char *text)
{
    size_t size = strcspn(text, " ");
    unsigned code = 0;
    while (code < ERRORS - 1 &&
           (strlen(error_names[code]) != size || memcmp(error_names[code], text, size) != 0))
        code++;
    add(&metrics->sets[slot].errors[code], 1);
}

const char *metrics_error_name(unsigned code)
{
    return code < ERRORS ? error_names[code] : NULL;
}

/* ---- Sums ----------------------------------------------------------------------------------- */

static uint64_t sum_cells(const struct metrics *metrics, const counter *of_first, size_t stride)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < metrics->slots; i++)
        sum += load((const counter *)(const void *)((uintptr_t)of_first + i * stride));
    return sum;
}

static uint64_t all_time(const struct metrics *metrics, enum metric metric)
{
    return sum_cells(metrics, &metrics->sets[0].counters[metric], sizeof(struct set));
}

uint64_t metrics_sum(const struct metrics *metrics, enum metric metric)
{
    uint64_t base = load(&metrics->sets[metrics->slots].counters[metric]);
    return all_time(metrics, metric) - base;
}

static uint64_t all_errors(const struct metrics *metrics, unsigned code)
{
    return sum_cells(metrics, &metrics->sets[0].errors[code], sizeof(struct set));
}

uint64_t metrics_errors(const struct metrics *metrics, unsigned code)
{
    uint64_t base = load(&metrics->sets[metrics->slots].errors[code]);
    return all_errors(metrics, code) - base;
}

uint64_t metrics_rate(struct metrics *metrics, uint64_t now_us)
{
    uint64_t passed_us = now_us - load(&metrics->rate_us);
    uint64_t commands = all_time(metrics, METRIC_COMMANDS);
    if (passed_us >= 100000) {
        uint64_t more = commands - load(&metrics->rate_commands);
        store(&metrics->rate, load(&metrics->rate_us) == 0 ? 0 : more * 1000000 / passed_us);
        store(&metrics->rate_us, now_us);
        store(&metrics->rate_commands, commands);
    }
    return load(&metrics->rate);
}

static struct metrics_calls calls_of(const struct command_cells *cells)
{
    return (struct metrics_calls){load(&cells->calls), load(&cells->failed), load(&cells->rejected),
                                  load(&cells->ns)};
}

struct metrics_calls metrics_of_command(const struct metrics *metrics, unsigned command)
{
    struct metrics_calls base = calls_of(&metrics->sets[metrics->slots].commands[command]);
    struct metrics_calls sum = {0};
    for (unsigned i = 0; i < metrics->slots; i++) {
        struct metrics_calls one = calls_of(&metrics->sets[i].commands[command]);
        sum.calls += one.calls;
        sum.failed += one.failed;
        sum.rejected += one.rejected;
        sum.ns += one.ns;
    }
    return (struct metrics_calls){sum.calls - base.calls, sum.failed - base.failed,
                                  sum.rejected - base.rejected, sum.ns - base.ns};
}

static const struct histogram *histogram_at(const struct metrics *metrics, unsigned slot,
                                            int command)
{
    const struct set *set = &metrics->sets[slot];
    if (command == METRICS_ALL_COMMANDS)
        return &set->all;
    return atomic_load_explicit(&set->commands[command].histogram, memory_order_acquire);
}

static void add_histogram(const struct histogram *histogram, struct metrics_histogram *sum)
{
    if (histogram == NULL)
        return;
    for (unsigned i = 0; i < BUCKETS; i++)
        sum->buckets[i] += load(&histogram->buckets[i]);
    sum->count += load(&histogram->count);
    sum->sum_ns += load(&histogram->sum_ns);
    if (load(&histogram->max_ns) > sum->max_ns)
        sum->max_ns = load(&histogram->max_ns);
}

static void all_time_latency(const struct metrics *metrics, int command,
                             struct metrics_histogram *sum)
{
    memset(sum, 0, sizeof *sum);
    for (unsigned i = 0; i < metrics->slots; i++)
        add_histogram(histogram_at(metrics, i, command), sum);
}

/* After a reset the highest is not known exactly any more: that of the highest bucket in use. */
static void subtract_base(struct metrics_histogram *sum, const struct metrics_histogram *base)
{
    unsigned highest = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        sum->buckets[i] -= base->buckets[i];
        if (sum->buckets[i] > 0)
            highest = i;
    }
    sum->count -= base->count;
    sum->sum_ns -= base->sum_ns;
    uint64_t limit = sum->count > 0 ? metrics_bucket_limit_ns(highest) : 0;
    if (limit < sum->max_ns)
        sum->max_ns = limit;
}

void metrics_latency(const struct metrics *metrics, int command, struct metrics_histogram *sum)
{
    struct metrics_histogram base = {0};
    add_histogram(histogram_at(metrics, metrics->slots, command), &base);
    all_time_latency(metrics, command, sum);
    subtract_base(sum, &base);
}

uint64_t metrics_quantile_ns(const struct metrics_histogram *histogram, double quantile)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += histogram->buckets[i];
    if (total == 0)
        return 0;
    uint64_t wanted = (uint64_t)(quantile * (double)total + 0.5), seen = 0;
    if (wanted < 1)
        wanted = 1;
    if (wanted > total)
        wanted = total;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted) {
            uint64_t limit = metrics_bucket_limit_ns(i);
            return limit < histogram->max_ns ? limit : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

static void copy_histogram(struct histogram *to, const struct metrics_histogram *from)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        store(&to->buckets[i], from->buckets[i]);
    store(&to->count, from->count);
    store(&to->sum_ns, from->sum_ns);
}

void metrics_reset(struct metrics *metrics)
{
    struct set *base = &metrics->sets[metrics->slots];
    struct metrics_histogram sum;
    pthread_mutex_lock(&metrics->reset);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        store(&base->counters[i], all_time(metrics, (enum metric)i));
    for (unsigned i = 0; i < ERRORS; i++)
        store(&base->errors[i], all_errors(metrics, i));
    all_time_latency(metrics, METRICS_ALL_COMMANDS, &sum);
    copy_histogram(&base->all, &sum);
    for (unsigned i = 0; i < metrics->commands; i++) {
        struct command_cells *cells = &base->commands[i];
        struct metrics_calls calls = metrics_of_command(metrics, i);
        add(&cells->calls, calls.calls);
        add(&cells->failed, calls.failed);
        add(&cells->rejected, calls.rejected);
        add(&cells->ns, calls.ns);
        all_time_latency(metrics, (int)i, &sum);
        struct histogram *histogram = sum.count > 0 ? histogram_of(cells) : NULL;
        if (histogram != NULL)
            copy_histogram(histogram, &sum);
    }
    pthread_mutex_unlock(&metrics->reset);
}
