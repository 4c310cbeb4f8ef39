/* SPDX-License-Identifier: MIT
 * worker.c: one engine in a process of its own, which does what it is told line by line.
 *
 *     worker ENGINE DIRECTORY [keys=N] [value=BYTES] [key=BYTES] [threads=N] [durable=1] [seed=N]
 *     worker --list
 *
 * Lines of standard input, each answered by one line of JSON on standard output:
 *     open                       open_ms, open_processor_ms (of all its threads)
 *     run WORKLOAD [threads=N] [operations=N] [batch=N] [durable=1] [seconds=S]
 *     grow                       a fill whose anonymous memory per key is sampled on the way
 *     paced rate=N seconds=S [compact=1]
 *     rest seconds=S             nothing: what the engine does by itself goes on; rested_seconds
 *     compact                    take out what is dead
 *     memory, disk, evict        of this process, of the directory, from the page cache
 *     close                      close_ms
 * The end of the input ends it, without a close. bench/run has several of them take turns, stops
 * those whose turn it is not, and kills some. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clock.h"
#include "keys.h"
#include "paced.h"
#include "process.h"
#include "workload.h"

struct worker {
    const struct bench_engine *engine;
    const char *directory;
    struct bench_tuning tuning;
    struct bench_setup setup;
    uint64_t empty_bytes; /* anonymous memory before the store was opened */
    bool is_open;
};

/* ---- Words --------------------------------------------------------------------------------- */

/* The number after `name=` in a line or a word; `otherwise` if it is not there. */
static double number_in(const char *line, const char *name, double otherwise)
{
    size_t size = strlen(name);
    for (const char *at = line; (at = strstr(at, name)) != NULL; at += size)
        if ((at == line || at[-1] == ' ') && at[size] == '=')
            return strtod(at + size + 1, NULL);
    return otherwise;
}

static void fail(const char *what)
{
    printf("{\"error\":\"%s\"}\n", what);
}

/* ---- A time limit -------------------------------------------------------------------------- */

struct limit {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool over;
    double seconds;
    atomic_bool reached;
};

static void *wait_for_limit(void *context)
{
    struct limit *limit = context;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)limit->seconds;
    pthread_mutex_lock(&limit->mutex);
    while (!limit->over && pthread_cond_timedwait(&limit->ended, &limit->mutex, &end) == 0)
        ;
    if (!limit->over)
        atomic_store(&limit->reached, true);
    pthread_mutex_unlock(&limit->mutex);
    return NULL;
}

static void limit_begin(struct limit *limit, double seconds)
{
    pthread_condattr_t monotonic;
    memset(limit, 0, sizeof *limit);
    limit->seconds = seconds;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&limit->ended, &monotonic);
    pthread_mutex_init(&limit->mutex, NULL);
    if (pthread_create(&limit->thread, NULL, wait_for_limit, limit) != 0)
        abort();
}

static void limit_end(struct limit *limit)
{
    pthread_mutex_lock(&limit->mutex);
    limit->over = true;
    pthread_cond_signal(&limit->ended);
    pthread_mutex_unlock(&limit->mutex);
    pthread_join(limit->thread, NULL);
}

/* ---- What it is told ----------------------------------------------------------------------- */

static void do_open(struct worker *worker)
{
    worker->empty_bytes = process_anonymous_bytes();
    uint64_t begin = bench_now_ns(), used = bench_used_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (worker->engine->open(worker->directory, &worker->tuning, &worker->setup.store) !=
        BENCH_OK) {
        fail("open");
        return;
    }
    uint64_t end = bench_now_ns();
    worker->is_open = true;
    used = bench_used_ns(CLOCK_PROCESS_CPUTIME_ID) - used;
    printf("{\"open_ms\":%.3f,\"open_processor_ms\":%.3f}\n", (double)(end - begin) / 1e6,
           (double)used / 1e6);
}

static void do_close(struct worker *worker)
{
    uint64_t begin = bench_now_ns();
    int status = worker->engine->close(worker->setup.store);
    worker->is_open = false;
    if (status != BENCH_OK)
        fail("close");
    else
        printf("{\"close_ms\":%.3f}\n", (double)(bench_now_ns() - begin) / 1e6);
}

static void print_result(const struct bench_result *result, bool cut)
{
    double operations = (double)(result->operations > 0 ? result->operations : 1);
    printf(
        "{\"operations\":%" PRIu64 ",\"seconds\":%.6f,\"ns\":%.2f,\"processor_ns\":%.2f,"
        "\"mb_per_s\":%.2f,"
        "\"p50_ns\":%" PRIu64 ",\"p90_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64 ",\"p999_ns\":%" PRIu64
        ",\"p9999_ns\":%" PRIu64 ",\"max_ns\":%" PRIu64 ",\"writer_operations\":%" PRIu64
        ",\"writer_processor_seconds\":%.6f,\"unexpected\":%" PRIu64 ",\"cut\":%s}\n",
        result->operations, result->seconds, result->seconds * 1e9 / operations,
        result->processor_seconds * 1e9 / operations, (double)result->bytes / 1e6 / result->seconds,
        result->p50_ns, result->p90_ns, result->p99_ns, result->p999_ns, result->p9999_ns,
        result->max_ns, result->writer_operations, result->writer_processor_seconds,
        result->unexpected, cut ? "true" : "false");
}

static void do_run(struct worker *worker, const char *line)
{
    char name[64];
    struct bench_setup setup = worker->setup;
    struct bench_result result;
    struct limit limit;
    unsigned workload = 0;
    if (sscanf(line, "run %63s", name) != 1)
        name[0] = '\0';
    while (workload < BENCH_WORKLOADS && strcmp(name, bench_workload_names[workload]) != 0)
        workload++;
    setup.threads = (unsigned)number_in(line, "threads", 1);
    setup.operations = (uint64_t)number_in(line, "operations", 0);
    setup.batch = (uint64_t)number_in(line, "batch", 1);
    setup.durable = number_in(line, "durable", 0) != 0;
    setup.seed = (uint64_t)number_in(line, "seed", (double)setup.seed);
    if (workload == BENCH_WORKLOADS || setup.threads < 1 || setup.threads > BENCH_THREADS_MAX) {
        fail("no such workload");
        return;
    }
    if (workload == BENCH_VIEW && setup.engine->view == NULL) {
        fail("unsupported");
        return;
    }
    limit_begin(&limit, number_in(line, "seconds", 3600));
    setup.stop = &limit.reached;
    bool ran = bench_run(&setup, (enum bench_workload)workload, &result);
    limit_end(&limit);
    if (!ran || result.status < 0)
        fail(ran ? "the engine failed" : "out of memory");
    else
        print_result(&result, atomic_load(&limit.reached));
}

/* What of the store is in memory that only it has; of that its index, if the engine can tell. */
static uint64_t index_bytes(const struct worker *worker)
{
    const struct bench_engine *engine = worker->engine;
    return engine->index_bytes != NULL ? engine->index_bytes(worker->setup.store) : 0;
}

/* A fill in random order, in parts that grow by a twentieth; memory per key after each. */
static void do_grow(struct worker *worker)
{
    const struct bench_engine *engine = worker->engine;
    const struct bench_setup *setup = &worker->setup;
    struct bench_permutation order;
    uint8_t key[64] = {0};
    double sum = 0, index_sum = 0, most = 0, last = 0;
    uint64_t samples = 0, next = 10000;
    int status = BENCH_OK;
    void *session = engine->session_new(setup->store);
    bench_permutation_init(&order, setup->keys, setup->seed);
    for (uint64_t i = 0; i < setup->keys && status >= 0; i++) {
        uint64_t number = bench_permute(&order, i);
        bench_key(key, setup->key_size, number);
        status = engine->put(
            session, bitcask_bytes(key, setup->key_size),
            bitcask_bytes(setup->values + bench_value_offset(number + i), setup->value_size));
        if (i + 1 < next && i + 1 < setup->keys)
            continue;
        last = (double)(process_anonymous_bytes() - worker->empty_bytes) / (double)(i + 1);
        if (i + 1 >= setup->keys / 16) { /* before that, what is constant counts for too much */
            most = last > most ? last : most;
            sum += last;
            index_sum += (double)index_bytes(worker) / (double)(i + 1);
            samples++;
        }
        next += next / 20;
    }
    engine->session_free(session);
    if (status < 0)
        fail("the engine failed");
    else
        printf("{\"mean_bytes_per_key\":%.2f,\"max_bytes_per_key\":%.2f,"
               "\"end_bytes_per_key\":%.2f,\"index_mean_bytes_per_key\":%.2f,\"samples\":%" PRIu64
               "}\n",
               sum / (double)samples, most, last, index_sum / (double)samples, samples);
}

struct compaction {
    struct worker *worker;
    atomic_bool done;
    uint64_t bytes, began_ns, ended_ns;
    int status;
};

static void *run_compaction(void *context)
{
    struct compaction *compaction = context;
    struct worker *worker = compaction->worker;
    compaction->began_ns = bench_now_ns();
    compaction->status = worker->engine->compact(worker->setup.store, &compaction->bytes);
    compaction->ended_ns = bench_now_ns();
    atomic_store(&compaction->done, true);
    return NULL;
}

static void print_compaction(const struct compaction *compaction)
{
    double seconds = (double)(compaction->ended_ns - compaction->began_ns) / 1e9;
    printf("\"compact_seconds\":%.3f,\"compact_mb_per_s\":%.1f", seconds,
           (double)compaction->bytes / 1e6 / seconds);
}

static void do_compact(struct worker *worker)
{
    struct compaction compaction = {.worker = worker};
    if (worker->engine->compact == NULL) {
        fail("unsupported");
        return;
    }
    run_compaction(&compaction);
    if (compaction.status != BENCH_OK) {
        fail("compact");
        return;
    }
    putchar('{');
    print_compaction(&compaction);
    puts("}");
}

static void print_quantiles(const char *name, const struct histogram *histogram)
{
    static const double shares[] = {0,    0.1,   0.25,  0.5,    0.75,   0.9,    0.95,
                                    0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999};
    printf("\"%s\":[", name);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++)
        printf("[%g,%" PRIu64 "],", shares[i] * 100, histogram_quantile(histogram, shares[i]));
    printf("[100,%" PRIu64 "]],", histogram->max);
}

static void print_paced(const struct paced_result *result, const struct compaction *compaction)
{
    const struct paced_slow *slow = &result->slow_puts;
    putchar('{');
    print_quantiles("put_ns", &result->puts_ns);
    print_quantiles("get_ns", &result->gets_ns);
    print_quantiles("put_call_ns", &result->calls_ns);
    printf("\"slow_puts\":{\"calls\":%" PRIu64 ",\"preempted\":%" PRIu64 ",\"waited\":%" PRIu64
           ",\"faulted\":%" PRIu64 ",\"other\":%" PRIu64 "},",
           slow->calls, slow->preempted, slow->waited, slow->faulted, slow->other);
    if (compaction != NULL) {
        print_compaction(compaction);
        putchar(',');
    }
    printf("\"operations\":%" PRIu64 ",\"unexpected\":%" PRIu64 ",\"seconds\":%.3f}\n",
           result->operations, result->unexpected, result->seconds);
}

static void do_paced(struct worker *worker, const char *line)
{
    struct compaction compaction = {.worker = worker};
    bool beside = number_in(line, "compact", 0) != 0;
    struct paced_setup setup = {
        .bench = &worker->setup,
        .rate = (uint64_t)number_in(line, "rate", 100000),
        .seconds = number_in(line, "seconds", 5),
        .stop = beside ? &compaction.done : NULL,
    };
    struct paced_result *result = malloc(sizeof *result);
    pthread_t thread;
    if (beside && worker->engine->compact == NULL) {
        fail("unsupported");
        free(result);
        return;
    }
    if (beside && pthread_create(&thread, NULL, run_compaction, &compaction) != 0)
        abort();
    bool ran = result != NULL && paced_run(&setup, result);
    if (beside)
        pthread_join(thread, NULL);
    if (!ran || result->status < 0 || compaction.status != BENCH_OK)
        fail("the engine failed");
    else
        print_paced(result, beside ? &compaction : NULL);
    free(result);
}

static void do_rest(const char *line)
{
    double seconds = number_in(line, "seconds", 1), whole = floor(seconds);
    struct timespec left = {(time_t)whole, (long)((seconds - whole) * 1e9)};
    while (nanosleep(&left, &left) != 0)
        ;
    printf("{\"rested_seconds\":%.3f}\n", seconds);
}

static void do_line(struct worker *worker, const char *line)
{
    bool needs_store = strcmp(line, "open") != 0 && strcmp(line, "evict") != 0 &&
                       strcmp(line, "disk") != 0 && strcmp(line, "memory") != 0;
    if (needs_store != worker->is_open && (needs_store || strcmp(line, "open") == 0)) {
        fail(needs_store ? "not open" : "open already");
    } else if (strcmp(line, "open") == 0) {
        do_open(worker);
    } else if (strcmp(line, "close") == 0) {
        do_close(worker);
    } else if (strcmp(line, "grow") == 0) {
        do_grow(worker);
    } else if (strcmp(line, "compact") == 0) {
        do_compact(worker);
    } else if (strcmp(line, "memory") == 0) {
        printf("{\"anonymous_bytes\":%" PRIu64 ",\"index_bytes\":%" PRIu64 "}\n",
               process_anonymous_bytes() - worker->empty_bytes, index_bytes(worker));
    } else if (strcmp(line, "disk") == 0) {
        struct process_space space = process_space_of(worker->directory);
        printf("{\"allocated_bytes\":%" PRIu64 ",\"length_bytes\":%" PRIu64 "}\n",
               space.allocated_bytes, space.length_bytes);
    } else if (strcmp(line, "evict") == 0) {
        printf("{\"evicted\":%s}\n", process_evict(worker->directory) ? "true" : "false");
    } else if (strncmp(line, "run ", 4) == 0) {
        do_run(worker, line);
    } else if (strncmp(line, "paced", 5) == 0) {
        do_paced(worker, line);
    } else if (strncmp(line, "rest", 4) == 0) {
        do_rest(line);
    } else {
        fail("what?");
    }
}

/* ---- The process --------------------------------------------------------------------------- */

static const struct bench_engine *engine_named(const char *name)
{
    size_t i = 0;
    while (bench_engines[i] != NULL && strcmp(bench_engines[i]->name, name) != 0)
        i++;
    return bench_engines[i];
}

static bool make_values(struct bench_setup *setup)
{
    size_t words = (BENCH_VALUE_POOL_SIZE + setup->value_size) / 8 + 1;
    uint64_t *values = malloc(8 * words);
    struct bench_random random;
    if (values == NULL)
        return false;
    bench_random_init(&random, setup->seed);
    for (size_t i = 0; i < words; i++)
        values[i] = bench_random_next(&random);
    setup->values = (uint8_t *)values;
    return true;
}

static void read_arguments(struct worker *worker, char **words)
{
    struct bench_setup *setup = &worker->setup;
    *setup = (struct bench_setup){.engine = worker->engine,
                                  .keys = 1000000,
                                  .key_size = 16,
                                  .value_size = 100,
                                  .threads = 1,
                                  .batch = 1,
                                  .seed = 1};
    worker->tuning.threads = 1;
    for (; *words != NULL; words++) {
        setup->keys = (uint64_t)number_in(*words, "keys", (double)setup->keys);
        setup->key_size = (size_t)number_in(*words, "key", (double)setup->key_size);
        setup->value_size = (size_t)number_in(*words, "value", (double)setup->value_size);
        setup->seed = (uint64_t)number_in(*words, "seed", (double)setup->seed);
        worker->tuning.threads =
            (unsigned)number_in(*words, "threads", (double)worker->tuning.threads);
        worker->tuning.durable = number_in(*words, "durable", worker->tuning.durable) != 0;
    }
    worker->tuning.keys = setup->keys;
    worker->tuning.value_size = setup->value_size;
}

int main(int count, char **words)
{
    struct worker worker = {0};
    char line[1024];
    if (count == 2 && strcmp(words[1], "--list") == 0) {
        for (size_t i = 0; bench_engines[i] != NULL; i++)
            puts(bench_engines[i]->name);
        return 0;
    }
    if (count < 3 || (worker.engine = engine_named(words[1])) == NULL) {
        fprintf(stderr, "usage: worker ENGINE DIRECTORY [NAME=VALUE...]; worker --list\n");
        return 2;
    }
    worker.directory = words[2];
    read_arguments(&worker, words + 3);
    if (!make_values(&worker.setup))
        return 1;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* else a stopped one would outlive bench/run */
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        do_line(&worker, line);
    }
    _exit(0); /* as a kill would: what is to be closed is closed by a line */
}
