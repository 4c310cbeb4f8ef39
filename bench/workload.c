/* SPDX-License-Identifier: MIT
 * workload.c: the loops of the benchmark.
 *
 * Threads: each worker has its own session, numbers and histogram; they share the barrier at the
 * start and the two flags, which they only read while they run. */
#include "workload.h"

#include <pthread.h>
#include <stdlib.h>

#include "clock.h"
#include "histogram.h"
#include "keys.h"
#include "zipf.h"

const char *const bench_workload_names[BENCH_WORKLOADS] = {
    [BENCH_FILL_SEQ] = "fill-seq",
    [BENCH_FILL] = "fill",
    [BENCH_READ_SEQ] = "read-seq",
    [BENCH_READ] = "read",
    [BENCH_READ_ZIPF] = "read-zipf",
    [BENCH_VIEW] = "view",
    [BENCH_READ_MANY] = "read-many",
    [BENCH_MISSING_KEYS] = "missing",
    [BENCH_OVERWRITE_SEQ] = "overwrite-seq",
    [BENCH_OVERWRITE] = "overwrite",
    [BENCH_READ_WHILE_WRITING] = "read-while-writing",
    [BENCH_SCAN] = "scan",
    [BENCH_DELETE_SEQ] = "delete-seq",
    [BENCH_DELETE] = "delete",
};

enum { SHARING_BYTES = 128 }; /* what processors move between them at once, at most */

struct worker { /* aligned: two of them share no cache line */
    _Alignas(SHARING_BYTES) const struct bench_setup *setup;
    enum bench_workload workload;
    pthread_t thread;
    pthread_barrier_t *start;
    const atomic_bool *readers_done; /* ends the writer of READ_WHILE_WRITING; else NULL */
    void *session;
    uint64_t first, count; /* its share of the operations */
    struct bench_permutation order;
    struct bench_random random;
    uint32_t *drawn; /* READ_ZIPF: the numbers, drawn before the clock runs */
    uint8_t *keys;   /* BENCH_MANY keys, of which most workloads use the first */
    uint64_t operations, bytes, unexpected;
    int status;
    uint64_t ended_ns, ended_ticks, processor_ns;
    struct histogram ticks; /* of the calls that were clocked by themselves */
    uint64_t longest_ticks; /* of those between two of them, together */
};

/* ---- Operations ---------------------------------------------------------------------------- */

static inline bitcask_slice key_of(struct worker *worker, size_t place, uint64_t number)
{
    size_t size = worker->setup->key_size;
    uint8_t *key = worker->keys + place * size;
    bench_key(key, size, number);
    return bitcask_bytes(key, size);
}

static inline bitcask_slice value_of(const struct worker *worker, uint64_t number)
{
    return bitcask_bytes(worker->setup->values + bench_value_offset(number),
                         worker->setup->value_size);
}

/* The number of the key that operation `i` is about. */
static inline uint64_t number_of(struct worker *worker, uint64_t i)
{
    const struct bench_setup *setup = worker->setup;
    switch (worker->workload) {
    case BENCH_FILL_SEQ:
    case BENCH_DELETE_SEQ:
        return i;
    case BENCH_READ_SEQ:
    case BENCH_OVERWRITE_SEQ:
        return i < setup->keys ? i : i % setup->keys;
    case BENCH_FILL:
    case BENCH_DELETE:
        return bench_permute(&worker->order, i);
    case BENCH_READ_ZIPF:
        return worker->drawn[i - worker->first];
    case BENCH_MISSING_KEYS: /* of 8 bytes or less; longer ones have a last byte of their own */
        return bench_random_below(&worker->random, setup->keys) +
               (setup->key_size > sizeof(uint64_t) ? 0 : setup->keys);
    default:
        return bench_random_below(&worker->random, setup->keys);
    }
}

static int put_one(struct worker *worker, uint64_t i)
{
    const struct bench_setup *setup = worker->setup;
    uint64_t number = number_of(worker, i);
    worker->operations++;
    worker->bytes += setup->key_size + setup->value_size;
    return setup->engine->put(worker->session, key_of(worker, 0, number),
                              value_of(worker, number + i));
}

static int remove_one(struct worker *worker, uint64_t i)
{
    const struct bench_setup *setup = worker->setup;
    int status = setup->engine->remove(worker->session, key_of(worker, 0, number_of(worker, i)));
    worker->operations++;
    worker->bytes += setup->key_size;
    worker->unexpected += status == BENCH_MISSING;
    return status;
}

static int get_one(struct worker *worker, uint64_t i)
{
    const struct bench_setup *setup = worker->setup;
    bitcask_slice value;
    bitcask_slice key = key_of(worker, 0, number_of(worker, i));
    int status = worker->workload == BENCH_VIEW
                     ? setup->engine->view(worker->session, key, &value.size)
                     : setup->engine->get(worker->session, key, &value);
    worker->operations++;
    if (status == BENCH_OK) {
        worker->bytes += setup->key_size + value.size;
        worker->unexpected +=
            worker->workload == BENCH_MISSING_KEYS || value.size != setup->value_size;
    } else if (status == BENCH_MISSING) {
        worker->unexpected += worker->workload != BENCH_MISSING_KEYS;
    }
    return status;
}

static int get_some(struct worker *worker, uint64_t count)
{
    const struct bench_setup *setup = worker->setup;
    bitcask_slice keys[BENCH_MANY];
    size_t found = 0, bytes = 0;
    for (size_t k = 0; k < count; k++)
        keys[k] = key_of(worker, k, number_of(worker, k));
    int status = setup->engine->get_many(worker->session, keys, count, &found, &bytes);
    worker->operations += count;
    worker->bytes += count * setup->key_size + bytes;
    worker->unexpected += count - found;
    return status;
}

/* `count` puts or deletes in one batch. */
static int write_some(struct worker *worker, uint64_t i, uint64_t count)
{
    const struct bench_setup *setup = worker->setup;
    const struct bench_engine *engine = setup->engine;
    bool removing = bench_is_delete(worker->workload);
    int status = BENCH_OK;
    for (uint64_t k = i; k < i + count && status == BENCH_OK; k++) {
        uint64_t number = number_of(worker, k);
        bitcask_slice key = key_of(worker, 0, number);
        status = removing ? engine->batch_remove(worker->session, key)
                          : engine->batch_put(worker->session, key, value_of(worker, number + k));
    }
    worker->operations += count;
    worker->bytes += count * (setup->key_size + (removing ? 0 : setup->value_size));
    return status == BENCH_OK ? engine->batch_write(worker->session) : status;
}

/* ---- Workers ------------------------------------------------------------------------------- */

static int run_step(struct worker *worker, uint64_t i, uint64_t count)
{
    switch (worker->workload) {
    case BENCH_READ_MANY:
        return worker->setup->engine->get_many == NULL ? get_one(worker, i)
                                                       : get_some(worker, count);
    case BENCH_READ_SEQ:
    case BENCH_READ:
    case BENCH_READ_ZIPF:
    case BENCH_VIEW:
    case BENCH_MISSING_KEYS:
    case BENCH_READ_WHILE_WRITING:
        return get_one(worker, i);
    default:
        if (worker->setup->batch > 1)
            return write_some(worker, i, count);
        return bench_is_delete(worker->workload) ? remove_one(worker, i) : put_one(worker, i);
    }
}

static bool is_read(enum bench_workload workload)
{
    return workload == BENCH_READ_SEQ || workload == BENCH_READ || workload == BENCH_READ_MANY ||
           workload == BENCH_READ_ZIPF || workload == BENCH_VIEW ||
           workload == BENCH_MISSING_KEYS || workload == BENCH_READ_WHILE_WRITING;
}

/* How many operations go into one call. */
static uint64_t step_of(const struct worker *worker)
{
    const struct bench_setup *setup = worker->setup;
    if (worker->workload == BENCH_READ_MANY)
        return setup->engine->get_many == NULL                 ? 1
               : setup->batch > 1 && setup->batch < BENCH_MANY ? setup->batch
                                                               : BENCH_MANY;
    return is_read(worker->workload) ? 1 : setup->batch;
}

/* One call of how many is clocked by itself. Reading the clock makes the processor wait for all
 * that is under way (on virtual machines at least), so that the misses of one call never overlap
 * with the next one's, which without a clock they do. */
static uint64_t calls_per_clock(const struct worker *worker, uint64_t step)
{
    enum { CALLS = 64 };
    return step > 1 || worker->setup->durable ? 1 : CALLS;
}

static uint64_t ticks_since(uint64_t last, uint64_t now)
{
    return now > last ? now - last : 0;
}

/* The calls before the one that is to be clocked are over. Returns the time. */
static uint64_t end_unclocked(struct worker *worker, uint64_t last)
{
    uint64_t now = bench_now_ticks(), ticks = ticks_since(last, now);
    worker->longest_ticks = ticks > worker->longest_ticks ? ticks : worker->longest_ticks;
    return now;
}

static void run_steps(struct worker *worker)
{
    uint64_t step = step_of(worker), every = calls_per_clock(worker, step), wait = every;
    uint64_t end = worker->first + worker->count;
    bool writer = worker->readers_done != NULL;
    uint64_t last = bench_now_ticks();
    for (uint64_t i = worker->first; i < end; i += step) {
        if (atomic_load_explicit(worker->setup->stop, memory_order_relaxed) ||
            (writer && atomic_load_explicit(worker->readers_done, memory_order_relaxed)))
            break;
        bool clocked = --wait == 0;
        if (clocked && every > 1)
            last = end_unclocked(worker, last);
        int status = run_step(worker, i, step < end - i ? step : end - i);
        if (status < 0) {
            worker->status = status;
            break;
        }
        if (!clocked)
            continue;
        uint64_t now = bench_now_ticks();
        histogram_add(&worker->ticks, ticks_since(last, now));
        last = now;
        wait = every;
    }
    if (wait < every)
        (void)end_unclocked(worker, last);
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    pthread_barrier_wait(worker->start);
    uint64_t processor_ns = bench_used_ns(CLOCK_THREAD_CPUTIME_ID);
    if (worker->workload == BENCH_SCAN)
        worker->status = worker->setup->engine->scan(worker->session, worker->setup->stop,
                                                     &worker->operations, &worker->bytes);
    else
        run_steps(worker);
    worker->processor_ns = bench_used_ns(CLOCK_THREAD_CPUTIME_ID) - processor_ns;
    worker->ended_ticks = bench_now_ticks();
    worker->ended_ns = bench_now_ns();
    return NULL;
}

/* ---- A run --------------------------------------------------------------------------------- */

struct run {
    const struct bench_setup *setup;
    enum bench_workload workload;
    unsigned workers; /* the last one writes in READ_WHILE_WRITING */
    struct worker *worker;
    pthread_barrier_t start;
    atomic_bool readers_done;
    uint64_t started_ns, started_ticks;
};

static bool draw_numbers(struct worker *worker)
{
    struct bench_zipf zipf;
    worker->drawn = malloc(worker->count * sizeof *worker->drawn + 1);
    if (worker->drawn == NULL)
        return false;
    bench_zipf_init(&zipf, worker->setup->keys);
    for (uint64_t i = 0; i < worker->count; i++)
        worker->drawn[i] =
            (uint32_t)bench_permute(&worker->order, bench_zipf_next(&zipf, &worker->random));
    return true;
}

static bool init_worker(struct run *run, unsigned index, unsigned sharing, uint64_t total)
{
    const struct bench_setup *setup = run->setup;
    struct worker *worker = &run->worker[index];
    bool writer = index >= sharing;
    worker->setup = setup;
    worker->workload = writer ? BENCH_OVERWRITE : run->workload;
    worker->start = &run->start;
    worker->readers_done = writer ? &run->readers_done : NULL;
    worker->first = writer ? 0 : total / sharing * index;
    worker->count = writer                 ? UINT64_MAX / 2
                    : index == sharing - 1 ? total - worker->first
                                           : total / sharing;
    bench_permutation_init(&worker->order, setup->keys, setup->seed);
    bench_random_init(&worker->random, setup->seed * 1000 + run->workload * 300 + index);
    size_t keys_size = (BENCH_MANY * setup->key_size + SHARING_BYTES - 1) & -(size_t)SHARING_BYTES;
    worker->keys = aligned_alloc(SHARING_BYTES, keys_size);
    if (worker->keys != NULL)
        memset(worker->keys, 0, keys_size);
    if (worker->keys != NULL && run->workload == BENCH_MISSING_KEYS && setup->key_size > 8)
        worker->keys[setup->key_size - 1] = 1;
    worker->session = setup->engine->session_new(setup->store);
    if (worker->keys == NULL || worker->session == NULL)
        return false;
    if (setup->durable && setup->engine->make_durable != NULL &&
        setup->engine->make_durable(worker->session) != BENCH_OK)
        return false;
    return run->workload != BENCH_READ_ZIPF || draw_numbers(worker);
}

static uint64_t operations_of(const struct bench_setup *setup, enum bench_workload workload)
{
    bool fixed = bench_is_fill(workload) || bench_is_delete(workload) || setup->operations == 0;
    return fixed ? setup->keys : setup->operations;
}

/* Start all at the same moment and wait for all; the writer stops when the readers have ended. */
static bool run_threads(struct run *run)
{
    unsigned made = 0;
    if (pthread_barrier_init(&run->start, NULL, run->workers + 1) != 0)
        return false;
    while (made < run->workers &&
           pthread_create(&run->worker[made].thread, NULL, run_worker, &run->worker[made]) == 0)
        made++;
    if (made < run->workers)
        abort(); /* those made wait at the barrier for ever: there is no way back */
    run->started_ns = bench_now_ns();
    run->started_ticks = bench_now_ticks();
    pthread_barrier_wait(&run->start);
    for (unsigned i = 0; i < run->workers; i++) {
        if (run->worker[i].readers_done != NULL)
            atomic_store(&run->readers_done, true);
        pthread_join(run->worker[i].thread, NULL);
    }
    pthread_barrier_destroy(&run->start);
    return true;
}

static void sum_up(const struct run *run, struct bench_result *result)
{
    struct histogram *all = &run->worker[0].ticks;
    uint64_t longest = 0;
    uint64_t ended_ns = run->started_ns + 1, ended_ticks = run->started_ticks + 1;
    *result = (struct bench_result){.status = 0};
    for (unsigned i = 0; i < run->workers; i++) {
        const struct worker *worker = &run->worker[i];
        if (result->status == 0)
            result->status = worker->status;
        if (worker->readers_done != NULL) {
            result->writer_operations = worker->operations;
            result->writer_processor_seconds = (double)worker->processor_ns / 1e9;
            continue;
        }
        if (i > 0)
            histogram_merge(all, &worker->ticks);
        longest = worker->longest_ticks > longest ? worker->longest_ticks : longest;
        result->operations += worker->operations;
        result->bytes += worker->bytes;
        result->processor_seconds += (double)worker->processor_ns / 1e9;
        result->unexpected += worker->unexpected;
        if (worker->ended_ns > ended_ns) {
            ended_ns = worker->ended_ns;
            ended_ticks = worker->ended_ticks;
        }
    }
    double elapsed_ns = (double)(ended_ns - run->started_ns);
    double tick_ns = elapsed_ns / (double)(ended_ticks - run->started_ticks);
    result->seconds = elapsed_ns / 1e9;
    result->p50_ns = (uint64_t)((double)histogram_quantile(all, 0.50) * tick_ns);
    result->p90_ns = (uint64_t)((double)histogram_quantile(all, 0.90) * tick_ns);
    result->p99_ns = (uint64_t)((double)histogram_quantile(all, 0.99) * tick_ns);
    result->p999_ns = (uint64_t)((double)histogram_quantile(all, 0.999) * tick_ns);
    result->p9999_ns = (uint64_t)((double)histogram_quantile(all, 0.9999) * tick_ns);
    longest = all->max > longest ? all->max : longest;
    result->max_ns = (uint64_t)((double)longest * tick_ns);
}

bool bench_run(const struct bench_setup *setup, enum bench_workload workload,
               struct bench_result *result)
{
    struct run run = {.setup = setup, .workload = workload};
    if ((workload == BENCH_VIEW && setup->engine->view == NULL) ||
        (workload == BENCH_READ_ZIPF && setup->keys > UINT32_MAX))
        return false;
    bool beside_writer = workload == BENCH_READ_WHILE_WRITING;
    unsigned sharing = workload == BENCH_SCAN ? 1 : setup->threads;
    run.workers = sharing + beside_writer;
    run.worker = aligned_alloc(SHARING_BYTES, run.workers * sizeof *run.worker);
    bool ok = run.worker != NULL;
    if (ok)
        memset(run.worker, 0, run.workers * sizeof *run.worker);
    for (unsigned i = 0; ok && i < run.workers; i++)
        ok = init_worker(&run, i, sharing, operations_of(setup, workload));
    ok = ok && run_threads(&run);
    if (ok)
        sum_up(&run, result);
    for (unsigned i = 0; run.worker != NULL && i < run.workers; i++) {
        if (run.worker[i].session != NULL)
            setup->engine->session_free(run.worker[i].session);
        free(run.worker[i].keys);
        free(run.worker[i].drawn);
    }
    free(run.worker);
    return ok;
}
