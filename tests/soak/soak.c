/* SPDX-License-Identifier: MIT
 * soak.c: options, the threads, and the resources that must stay flat. */
#include <dirent.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "soak.h"

enum { SAMPLES_MAX = 100000 };

/* What is used at one moment. */
struct sample {
    uint64_t disk_bytes, live_bytes, resident_bytes, index_bytes;
    unsigned descriptors, mappings;
};

static uint64_t resident_anonymous_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib << 10;
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory != NULL && readdir(directory) != NULL)
        count++;
    if (directory != NULL)
        closedir(directory);
    return count;
}

static unsigned count_mappings(void)
{
    unsigned count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        count += strstr(line, ".data") != NULL;
    if (file != NULL)
        fclose(file);
    return count;
}

static struct sample take_sample(struct soak *soak)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(soak->db, &stats);
    return (struct sample){
        .disk_bytes = stats.disk_bytes,
        .live_bytes = stats.live_bytes,
        .resident_bytes = resident_anonymous_bytes(),
        .index_bytes = stats.index_bytes,
        .descriptors = count_descriptors(),
        .mappings = count_mappings(),
    };
}

static void print_line(struct soak *soak, uint64_t second, const struct sample *s)
{
    printf("%6llu s: %10llu writes %10llu reads %5llu snapshots %4llu backups | "
           "disk %5.1f MiB, live %5.1f, memory %5.1f, %u descriptors, %u mappings\n",
           (unsigned long long)second, (unsigned long long)atomic_load(&soak->writes),
           (unsigned long long)atomic_load(&soak->reads),
           (unsigned long long)atomic_load(&soak->snapshots),
           (unsigned long long)atomic_load(&soak->backups), (double)s->disk_bytes / 1048576,
           (double)s->live_bytes / 1048576, (double)s->resident_bytes / 1048576, s->descriptors,
           s->mappings);
    fflush(stdout);
}

/* The highest of each in a part of the run. */
static struct sample highest(const struct sample *samples, size_t from, size_t to)
{
    struct sample high = {0};
    for (size_t i = from; i < to; i++) {
        const struct sample *s = &samples[i];
        high.disk_bytes = s->disk_bytes > high.disk_bytes ? s->disk_bytes : high.disk_bytes;
        high.live_bytes = s->live_bytes > high.live_bytes ? s->live_bytes : high.live_bytes;
        high.resident_bytes =
            s->resident_bytes > high.resident_bytes ? s->resident_bytes : high.resident_bytes;
        high.descriptors = s->descriptors > high.descriptors ? s->descriptors : high.descriptors;
        high.mappings = s->mappings > high.mappings ? s->mappings : high.mappings;
    }
    return high;
}

/* Compare the second and the last quarter: what grows for ever has grown in between. */
static void check_flat(const struct sample *samples, size_t count)
{
    if (count < 40) {
        printf("soak: too short to tell whether anything grows\n");
        return;
    }
    struct sample before = highest(samples, count / 4, count / 2);
    struct sample after = highest(samples, count - count / 4, count);
    printf("highest in the second and in the last quarter: disk %.1f and %.1f MiB, memory %.1f and "
           "%.1f MiB, descriptors %u and %u, mappings %u and %u\n",
           (double)before.disk_bytes / 1048576, (double)after.disk_bytes / 1048576,
           (double)before.resident_bytes / 1048576, (double)after.resident_bytes / 1048576,
           before.descriptors, after.descriptors, before.mappings, after.mappings);
    if (after.disk_bytes > before.disk_bytes * 3 / 2 ||
        after.descriptors > before.descriptors + 8 ||
        after.resident_bytes > before.resident_bytes * 5 / 4 + (4 << 20) ||
        after.mappings > before.mappings * 3 / 2 + 8)
        soak_fail("something grows");
}

/* `fresh`: the model knows nothing of a store that is there already. */
static void open_store(struct soak *soak, bool fresh)
{
    bitcask_options options;
    bitcask_error error;
    bitcask_options_init(&options);
    options.error_if_exists = fresh;
    options.segment_size = 4 << 20; /* many segments, many merges */
    options.sync_interval_ms = 200;
    soak_need(bitcask_options_set(&options, "merge-delay", "0s", &error), &error, "merge-delay");
    soak_need(bitcask_open(soak->directory, &options, &soak->db, &error), &error, "open");
}

static void *(*const VISITORS[])(void *) = {soak_take_snapshots, soak_make_backups, soak_merge,
                                            soak_refresh, soak_follow};
enum { VISITORS_COUNT = sizeof VISITORS / sizeof VISITORS[0], FEEDS = 2 };

static void run(struct soak *soak)
{
    pthread_t threads[SOAK_WRITERS + VISITORS_COUNT + FEEDS];
    struct soak_feed feeds[FEEDS];
    struct soak_writer writers[SOAK_WRITERS];
    struct sample *samples = calloc(SAMPLES_MAX, sizeof *samples);
    size_t count = 0;
    for (uint32_t i = 0; i < SOAK_WRITERS; i++) {
        writers[i] = (struct soak_writer){.soak = soak, .index = i, .random = soak->seed + i};
        pthread_create(&threads[i], NULL, soak_write, &writers[i]);
    }
    for (unsigned i = 0; i < VISITORS_COUNT; i++)
        pthread_create(&threads[SOAK_WRITERS + i], NULL, VISITORS[i], soak);
    soak_feed_begin(&feeds[0], soak, soak->db, "feed");
    soak_feed_begin(&feeds[1], soak, soak->follower, "follower's feed");
    for (unsigned i = 0; i < FEEDS; i++)
        pthread_create(&threads[SOAK_WRITERS + VISITORS_COUNT + i], NULL, soak_read_feed,
                       &feeds[i]);
    uint64_t end = soak_now_us() + soak->seconds * 1000000, start = soak_now_us();
    while (soak_now_us() < end) {
        soak_pause(soak, 1000);
        struct sample sample = take_sample(soak);
        if (count < SAMPLES_MAX)
            samples[count++] = sample;
        if (count % 10 == 0)
            print_line(soak, (soak_now_us() - start) / 1000000, &sample);
    }
    atomic_store(&soak->stopping, true);
    for (unsigned i = 0; i < SOAK_WRITERS + VISITORS_COUNT + FEEDS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < FEEDS; i++)
        soak_feed_end(&feeds[i]);
    check_flat(samples, count);
    free(samples);
}

static int print_finding(void *context, const bitcask_finding *finding)
{
    (void)context;
    fprintf(stderr, "%s at %llu: %s\n", finding->file, (unsigned long long)finding->offset,
            finding->what);
    return 0;
}

static void finish(struct soak *soak)
{
    bitcask_error error;
    soak_check_all(soak, soak->db, "at the end");
    soak_check_all(soak, soak->follower, "the follower at the end");
    bitcask_stats followed = {.struct_size = sizeof followed};
    bitcask_get_stats(soak->follower, &followed);
    soak_need(bitcask_close(soak->follower, &error), &error, "close the follower");
    soak_need(bitcask_close(soak->db, &error), &error, "close");
    open_store(soak, false);
    soak_check_all(soak, soak->db, "reopened");
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.finding = print_finding;
    soak_need(bitcask_verify(soak->db, &options, NULL, &error), &error, "verify");
    soak_need(bitcask_close(soak->db, &error), &error, "close");
    printf(
        "soak: %llu refreshes (%llu records, %llu times anew), %llu changes from two feeds (%llu "
        "gaps)\n",
        (unsigned long long)atomic_load(&soak->refreshes),
        (unsigned long long)followed.refreshed_records, (unsigned long long)followed.reloads,
        (unsigned long long)atomic_load(&soak->changes),
        (unsigned long long)atomic_load(&soak->gaps));
    printf("soak: %llu s, %llu writes (%llu batches, %llu refused conditions), %llu reads, "
           "%llu snapshots, %llu walks, %llu backups: no difference\n",
           (unsigned long long)soak->seconds, (unsigned long long)atomic_load(&soak->writes),
           (unsigned long long)atomic_load(&soak->batches),
           (unsigned long long)atomic_load(&soak->conflicts),
           (unsigned long long)atomic_load(&soak->reads),
           (unsigned long long)atomic_load(&soak->snapshots),
           (unsigned long long)atomic_load(&soak->iterations),
           (unsigned long long)atomic_load(&soak->backups));
}

static void usage(void)
{
    fprintf(stderr, "usage: soak [--seconds N] [--keys N] [--seed N] DIRECTORY\n"
                    "Runs a store in DIRECTORY/store under mixed load and checks every answer.\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"seed", required_argument, NULL, 'r'},
                                            {0}};
    struct soak soak = {.seconds = 1800, .key_count = 40000, .seed = (uint64_t)soak_now_us()};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            usage();
        uint64_t number = strtoull(optarg, NULL, 10);
        if (option == 's')
            soak.seconds = number;
        else if (option == 'k')
            soak.key_count = (uint32_t)(number + SOAK_WRITERS - 1) / SOAK_WRITERS * SOAK_WRITERS;
        else
            soak.seed = number;
    }
    if (optind + 1 != argc || soak.key_count == 0)
        usage();
    static char store[4096], backup[4096];
    snprintf(store, sizeof store, "%s/store", argv[optind]);
    snprintf(backup, sizeof backup, "%s/backup", argv[optind]);
    soak.directory = store;
    soak.backup_directory = backup;
    soak.keys = calloc(soak.key_count, sizeof *soak.keys);
    if (soak.keys == NULL)
        soak_fail("out of memory");
    printf("seed %llu, %u keys\n", (unsigned long long)soak.seed, soak.key_count);
    open_store(&soak, true);
    soak_open_follower(&soak);
    run(&soak);
    finish(&soak);
    free(soak.keys);
    return 0;
}
