/* SPDX-License-Identifier: MIT
 * http_history.c: a sample a second of the last ten minutes, so that the dashboard's charts are
 * full when it is opened, and every viewer sees the same.
 *
 * Rates and quantiles are those of the second before the sample: differences of the metrics' sums.
 * Figures that cost a look at each segment's files are taken less often where there are many. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_request.h"
#include "metrics.h"
#include "registry.h"
#include "status.h"

enum { SAMPLES = 600, COSTLY_SEGMENTS = 512, COSTLY_EVERY = 10 };

enum column {
    TIME_MS,
    COMMANDS, /* a second, as all up to BYTES_OUT */
    READS,
    WRITES,
    HTTP,
    BYTES_IN,
    BYTES_OUT,
    LOG_BYTES,
    P50_NS,
    P99_NS,
    P999_NS,
    MAX_NS,
    KEYS,
    LIVE_BYTES,
    DEAD_BYTES,
    DISK_BYTES,
    INDEX_BYTES,
    RSS_BYTES,
    CONNECTIONS,
    MERGE_DONE,
    MERGE_TOTAL,
    SEGMENTS,
    COLUMNS
};

static const char *const column_names[COLUMNS] = {
    [TIME_MS] = "time_ms",
    [COMMANDS] = "commands",
    [READS] = "reads",
    [WRITES] = "writes",
    [HTTP] = "http",
    [BYTES_IN] = "bytes_in",
    [BYTES_OUT] = "bytes_out",
    [LOG_BYTES] = "log_bytes",
    [P50_NS] = "p50_ns",
    [P99_NS] = "p99_ns",
    [P999_NS] = "p999_ns",
    [MAX_NS] = "max_ns",
    [KEYS] = "keys",
    [LIVE_BYTES] = "live_bytes",
    [DEAD_BYTES] = "dead_bytes",
    [DISK_BYTES] = "disk_bytes",
    [INDEX_BYTES] = "index_bytes",
    [RSS_BYTES] = "rss_bytes",
    [CONNECTIONS] = "connections",
    [MERGE_DONE] = "merge_done",
    [MERGE_TOTAL] = "merge_total",
    [SEGMENTS] = "segments",
};

struct sample {
    uint64_t values[COLUMNS];
};

struct http_history {
    struct server *server;
    pthread_mutex_t mutex; /* guards samples and count; the rest is the http thread's */
    struct sample samples[SAMPLES];
    uint64_t count; /* ever taken; the newest is samples[(count - 1) % SAMPLES] */
    uint64_t last_us;
    bitcask_stats stats;
    unsigned stats_age;
    struct sample totals; /* the sums of the last tick, of the columns that are rates */
    struct metrics_histogram latency, before, difference;
};

struct http_history *http_history_new(struct server *server)
{
    struct http_history *history = calloc(1, sizeof *history);
    if (history == NULL)
        return NULL;
    history->server = server;
    pthread_mutex_init(&history->mutex, NULL);
    return history;
}

void http_history_free(struct http_history *history)
{
    if (history == NULL)
        return;
    pthread_mutex_destroy(&history->mutex);
    free(history);
}

static uint64_t since(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now; /* CONFIG RESETSTAT starts at 0 again */
}

static void take_latency(struct http_history *history, struct sample *sample)
{
    struct metrics_histogram *now = &history->latency, *difference = &history->difference;
    metrics_latency(history->server->metrics, METRICS_ALL_COMMANDS, now);
    difference->count = since(now->count, history->before.count);
    difference->max_ns = 0;
    for (unsigned i = 0; i < sizeof now->buckets / sizeof now->buckets[0]; i++) {
        difference->buckets[i] = since(now->buckets[i], history->before.buckets[i]);
        if (difference->buckets[i] > 0)
            difference->max_ns = metrics_bucket_limit_ns(i);
    }
    if (difference->max_ns > now->max_ns)
        difference->max_ns = now->max_ns;
    sample->values[P50_NS] = metrics_quantile_ns(difference, 0.5);
    sample->values[P99_NS] = metrics_quantile_ns(difference, 0.99);
    sample->values[P999_NS] = metrics_quantile_ns(difference, 0.999);
    sample->values[MAX_NS] = difference->max_ns;
    history->before = *now;
}

static void take_totals(struct http_history *history, struct sample *totals)
{
    const struct metrics *metrics = history->server->metrics;
    *totals = (struct sample){.values = {
                                  [COMMANDS] = history->latency.count,
                                  [READS] = history->stats.gets + history->stats.misses,
                                  [WRITES] = history->stats.puts + history->stats.deletes,
                                  [HTTP] = metrics_sum(metrics, METRIC_HTTP_REQUESTS),
                                  [BYTES_IN] = metrics_sum(metrics, METRIC_BYTES_IN),
                                  [BYTES_OUT] = metrics_sum(metrics, METRIC_BYTES_OUT),
                                  [LOG_BYTES] = history->stats.bytes_written,
                              }};
}

static void take_gauges(struct http_history *history, struct sample *sample)
{
    const bitcask_stats *stats = &history->stats;
    sample->values[TIME_MS] = server_wall_us() / 1000;
    sample->values[KEYS] = bitcask_count(history->server->store);
    sample->values[LIVE_BYTES] = stats->live_bytes;
    sample->values[DEAD_BYTES] = stats->dead_bytes;
    sample->values[DISK_BYTES] = stats->disk_bytes;
    sample->values[INDEX_BYTES] = stats->index_bytes;
    sample->values[RSS_BYTES] = status_resident_bytes();
    sample->values[CONNECTIONS] = registry_count(history->server->registry);
    sample->values[MERGE_DONE] = stats->merge_done_bytes;
    sample->values[MERGE_TOTAL] = stats->merge_total_bytes;
    sample->values[SEGMENTS] = stats->segments;
}

void http_history_tick(struct http_history *history, uint64_t now_us)
{
    struct sample sample = {0}, totals;
    if (history->stats_age == 0 || history->stats.segments <= COSTLY_SEGMENTS) {
        history->stats.struct_size = sizeof history->stats;
        bitcask_get_stats(history->server->store, &history->stats);
    }
    history->stats_age = (history->stats_age + 1) % COSTLY_EVERY;
    take_latency(history, &sample);
    take_totals(history, &totals);
    take_gauges(history, &sample);
    bool first = history->last_us == 0;
    double seconds = (double)(now_us - history->last_us) / 1e6;
    for (int i = COMMANDS; !first && i <= LOG_BYTES; i++)
        sample.values[i] =
            (uint64_t)((double)since(totals.values[i], history->totals.values[i]) / seconds + 0.5);
    history->totals = totals;
    history->last_us = now_us;
    if (first)
        return;
    pthread_mutex_lock(&history->mutex);
    history->samples[history->count++ % SAMPLES] = sample;
    pthread_mutex_unlock(&history->mutex);
}

/* GET /v1/history?after=N: samples behind the N-th ever taken, a row each. */
void http_history_get(struct http_request *request)
{
    struct http_history *history = request->http->history;
    uint64_t after = http_argument_number(request, "after", 0, UINT64_MAX);
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "interval_ms");
    text_unsigned(&json, 1000);
    text_member(&json, "columns");
    text_open(&json, '[');
    for (int i = 0; i < COLUMNS; i++)
        text_string_c(&json, column_names[i]);
    text_close(&json, ']');
    text_member(&json, "rows");
    text_open(&json, '[');
    pthread_mutex_lock(&history->mutex);
    uint64_t oldest = history->count > SAMPLES ? history->count - SAMPLES : 0;
    if (after > history->count) /* of a server before this one */
        after = 0;
    for (uint64_t n = after > oldest ? after : oldest; n < history->count; n++) {
        text_open(&json, '[');
        for (int i = 0; i < COLUMNS; i++)
            text_unsigned(&json, history->samples[n % SAMPLES].values[i]);
        text_close(&json, ']');
    }
    uint64_t count = history->count;
    pthread_mutex_unlock(&history->mutex);
    text_close(&json, ']');
    text_member(&json, "count");
    text_unsigned(&json, count);
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}
