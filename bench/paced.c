/* SPDX-License-Identifier: MIT
 * paced.c: latency at a fixed rate. */
#include "paced.h"

#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "keys.h"

struct pace {
    const struct paced_setup *setup;
    struct paced_result *result;
    void *session;
    struct bench_random random;
    struct rusage usage; /* at the end of the last slow call, or the begin */
    uint8_t key[BITCASK_MAX_KEY_SIZE];
};

/* Which of the causes: a look at the thread's counters since the last slow call. What happened in
 * between in quick calls is taken for this one's, and is little. */
static void explain(struct pace *pace, struct paced_slow *slow)
{
    struct rusage now;
    getrusage(RUSAGE_THREAD, &now);
    slow->calls++;
    if (now.ru_nivcsw > pace->usage.ru_nivcsw)
        slow->preempted++;
    else if (now.ru_nvcsw > pace->usage.ru_nvcsw)
        slow->waited++;
    else if (now.ru_minflt + now.ru_majflt > pace->usage.ru_minflt + pace->usage.ru_majflt)
        slow->faulted++;
    else
        slow->other++;
    pace->usage = now;
}

static int step(struct pace *pace, uint64_t i, uint64_t due_ns)
{
    const struct bench_setup *bench = pace->setup->bench;
    struct paced_result *result = pace->result;
    uint64_t number = bench_random_below(&pace->random, bench->keys);
    bench_key(pace->key, bench->key_size, number);
    bitcask_slice key = bitcask_bytes(pace->key, bench->key_size), value;
    bool putting = i % 2 == 0;
    int status;
    uint64_t begin_ns = bench_now_ns();
    if (putting) {
        value = bitcask_bytes(bench->values + bench_value_offset(number + i), bench->value_size);
        status = bench->engine->put(pace->session, key, value);
    } else {
        status = bench->engine->get(pace->session, key, &value);
    }
    uint64_t end_ns = bench_now_ns();
    histogram_add(putting ? &result->puts_ns : &result->gets_ns, end_ns - due_ns);
    if (putting)
        histogram_add(&result->calls_ns, end_ns - begin_ns);
    if (putting && end_ns - begin_ns > PACED_SLOW_NS)
        explain(pace, &result->slow_puts);
    result->unexpected += status == BENCH_MISSING;
    result->operations++;
    return status;
}

static void run(struct pace *pace)
{
    const struct paced_setup *setup = pace->setup;
    double interval_ns = 1e9 / (double)setup->rate;
    uint64_t count = (uint64_t)(setup->seconds * (double)setup->rate);
    uint64_t start_ns = bench_now_ns();
    getrusage(RUSAGE_THREAD, &pace->usage);
    for (uint64_t i = 0; i < count && pace->result->status >= 0; i++) {
        uint64_t due_ns = start_ns + (uint64_t)((double)i * interval_ns);
        if (setup->stop != NULL && atomic_load_explicit(setup->stop, memory_order_relaxed))
            break;
        while (bench_now_ns() < due_ns)
            ;
        int status = step(pace, i, due_ns);
        if (status < 0)
            pace->result->status = status;
    }
    pace->result->seconds = (double)(bench_now_ns() - start_ns) / 1e9;
}

bool paced_run(const struct paced_setup *setup, struct paced_result *result)
{
    const struct bench_engine *engine = setup->bench->engine;
    struct pace pace = {.setup = setup, .result = result};
    memset(result, 0, sizeof *result);
    pace.session = engine->session_new(setup->bench->store);
    if (pace.session == NULL)
        return false;
    bench_random_init(&pace.random, setup->bench->seed + 77);
    run(&pace);
    engine->session_free(pace.session);
    return true;
}
