/* SPDX-License-Identifier: MIT
 * merge_latency.c: what merges in the background do to the latency of puts and gets at full load.
 *
 * One thread overwrites random keys, one gets random keys, both as fast as they can. Rounds with
 * merges (as many as the trigger of 20% asks for, without a limit) and rounds without (paused)
 * alternate in one store, so that whatever else the machine does falls on both alike. Each
 * operation is timed by itself. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bitcask.h"
#include "histogram.h"

enum { MODES = 2, WITHOUT = 0, WITH = 1, KEY_SIZE = 16, VALUE_SIZE_MAX = 1 << 20 };

static const char *const mode_names[MODES] = {"without", "with"};

struct bench {
    bitcask *db;
    uint64_t keys, rounds, round_ms;
    size_t value_size;
    atomic_int mode; /* of the round; -1: between rounds, nothing is counted */
    atomic_bool stop;
    struct histogram puts[MODES], gets[MODES];
    uint64_t merge_us[MODES]; /* in which a merge was running */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void check(bitcask_status status, const bitcask_error *error)
{
    if (status < 0) {
        fprintf(stderr, "merge-latency: %s\n", error->message);
        exit(1);
    }
}

static bitcask_slice key_of(char key[KEY_SIZE + 1], uint64_t number)
{
    snprintf(key, KEY_SIZE + 1, "%016" PRIx64, number * 0x9e3779b97f4a7c15u);
    return bitcask_bytes(key, KEY_SIZE);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void put(struct bench *bench, uint64_t number)
{
    static const char value[VALUE_SIZE_MAX];
    char key[KEY_SIZE + 1];
    bitcask_error error;
    check(bitcask_put(bench->db, key_of(key, number), bitcask_bytes(value, bench->value_size), NULL,
                      NULL, &error),
          &error);
}

static void note(struct bench *bench, struct histogram *histograms, uint64_t before, int mode)
{
    uint64_t ns = now_ns() - before;
    if (mode >= 0 && atomic_load_explicit(&bench->mode, memory_order_relaxed) == mode)
        histogram_add(&histograms[mode], ns);
}

static void *write_keys(void *context)
{
    struct bench *bench = context;
    uint64_t random = 1;
    while (!atomic_load_explicit(&bench->stop, memory_order_relaxed)) {
        uint64_t number = next_random(&random) % bench->keys;
        int mode = atomic_load_explicit(&bench->mode, memory_order_relaxed);
        uint64_t before = now_ns();
        put(bench, number);
        note(bench, bench->puts, before, mode);
    }
    return NULL;
}

static void *read_keys(void *context)
{
    struct bench *bench = context;
    uint64_t random = 2;
    bitcask_buffer value = {0};
    while (!atomic_load_explicit(&bench->stop, memory_order_relaxed)) {
        char key[KEY_SIZE + 1];
        bitcask_slice name = key_of(key, next_random(&random) % bench->keys);
        bitcask_error error;
        int mode = atomic_load_explicit(&bench->mode, memory_order_relaxed);
        uint64_t before = now_ns();
        check(bitcask_get(bench->db, NULL, name, &value, NULL, &error), &error);
        note(bench, bench->gets, before, mode);
    }
    bitcask_buffer_free(&value);
    return NULL;
}

static uint64_t merge_us(struct bench *bench)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(bench->db, &stats);
    return stats.merge_us;
}

static void sleep_ms(uint64_t ms)
{
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000},
        NULL);
}

static void run_rounds(struct bench *bench)
{
    bitcask_error error;
    for (uint64_t round = 0; round < 2 * bench->rounds; round++) {
        int mode = (int)(round % MODES);
        check(mode == WITH ? bitcask_merge_resume(bench->db, &error)
                           : bitcask_merge_pause(bench->db, &error),
              &error);
        sleep_ms(200); /* a job that was under way is at its next gate now */
        uint64_t merged = merge_us(bench);
        atomic_store(&bench->mode, mode);
        sleep_ms(bench->round_ms);
        atomic_store(&bench->mode, -1);
        bench->merge_us[mode] += merge_us(bench) - merged;
    }
}

static void print_row(const char *operation, int mode, const struct histogram *h)
{
    printf("%-4s %-8s %12" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %12" PRIu64 "\n",
           operation, mode_names[mode], h->total, histogram_quantile(h, 0.5),
           histogram_quantile(h, 0.99), histogram_quantile(h, 0.999), h->max);
}

static void print_ratio(const char *operation, const struct histogram *h)
{
    static const double shares[] = {0.5, 0.99, 0.999};
    printf("%-4s %-21s", operation, "with / without");
    for (unsigned i = 0; i < 3; i++) {
        double base = (double)histogram_quantile(&h[WITHOUT], shares[i]);
        printf(" %9.2f", base > 0 ? (double)histogram_quantile(&h[WITH], shares[i]) / base : 0);
    }
    printf(" %12.2f\n", (double)h[WITH].max / (double)h[WITHOUT].max);
}

static void print(struct bench *bench)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(bench->db, &stats);
    printf("%-4s %-8s %12s %9s %9s %9s %12s   (ns)\n", "", "merges", "operations", "p50", "p99",
           "p99.9", "max");
    for (int mode = 0; mode < MODES; mode++)
        print_row("put", mode, &bench->puts[mode]);
    print_ratio("put", bench->puts);
    for (int mode = 0; mode < MODES; mode++)
        print_row("get", mode, &bench->gets[mode]);
    print_ratio("get", bench->gets);
    printf("%" PRIu64
           " jobs; running for %.0f%% of the rounds with merges; %.0f MB written by them, "
           "%.0f MB reclaimed\n",
           stats.merges,
           (double)bench->merge_us[WITH] / 10.0 / (double)(bench->rounds * bench->round_ms),
           (double)stats.merge_bytes_written / 1e6, (double)stats.merge_bytes_reclaimed / 1e6);
}

static uint64_t argument(int argc, char **argv, int index, uint64_t otherwise)
{
    return argc > index ? strtoull(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    char directory[] = "merge-latency-XXXXXX";
    bitcask_error error;
    bitcask_options options;
    bench.keys = argument(argc, argv, 1, 1000000);
    bench.value_size = argument(argc, argv, 2, 200) % VALUE_SIZE_MAX;
    bench.rounds = argument(argc, argv, 3, 5);
    bench.round_ms = argument(argc, argv, 4, 2000);
    if (bench.keys == 0 || bench.rounds == 0 || mkdtemp(directory) == NULL) {
        fprintf(stderr, "usage: merge-latency [KEYS [VALUE_SIZE [ROUNDS [ROUND_MS]]]]\n");
        return 2;
    }
    bitcask_options_init(&options);
    options.merge_delay_ms = 0;
    options.merge_trigger = 0.2;
    options.merge_bytes_per_s = 0;
    options.segment_size = 64 << 20;
    check(bitcask_open(directory, &options, &bench.db, &error), &error);
    check(bitcask_merge_pause(bench.db, &error), &error);
    for (uint64_t i = 0; i < bench.keys; i++)
        put(&bench, i);
    for (uint64_t i = 0, random = 3; i < bench.keys / 2; i++)
        put(&bench, next_random(&random) % bench.keys);

    pthread_t writer, reader;
    atomic_store(&bench.mode, -1);
    if (pthread_create(&writer, NULL, write_keys, &bench) != 0 ||
        pthread_create(&reader, NULL, read_keys, &bench) != 0)
        abort();
    run_rounds(&bench);
    atomic_store(&bench.stop, true);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    print(&bench);
    check(bitcask_close(bench.db, &error), &error);
    check(bitcask_destroy(directory, &error), &error);
    return 0;
}
