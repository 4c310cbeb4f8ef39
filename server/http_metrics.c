/* SPDX-License-Identifier: MIT
 * http_metrics.c: GET /metrics: everything that can be counted, as Prometheus reads it (text format
 * 0.0.4). docs/HTTP.md lists the names; tests hold the list and `promtool check metrics` against
 * it. */
#include <dirent.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "command.h"
#include "http_request.h"
#include "metrics.h"
#include "registry.h"
#include "status.h"

enum kind { COUNTER, GAUGE };

struct figure {
    const char *name;
    enum kind kind;
    const char *help;
    size_t offset; /* of a uint64_t in bitcask_stats */
    double scale;
};

#define FIGURE(name, kind, member, scale, help)                             \
    {                                                                       \
        "bitcask_" name, kind, help, offsetof(bitcask_stats, member), scale \
    }

static const struct figure figures[] = {
    FIGURE("keys", GAUGE, keys, 1, "Keys in the index, expired ones not yet merged away included."),
    FIGURE("segments", GAUGE, segments, 1, "Segments of the store."),
    FIGURE("live_bytes", GAUGE, live_bytes, 1, "Bytes of records that the index points to."),
    FIGURE("dead_bytes", GAUGE, dead_bytes, 1, "Bytes of all other records."),
    FIGURE("disk_bytes", GAUGE, disk_bytes, 1, "Bytes of disk that data and hint files use."),
    FIGURE("disk_limit_bytes", GAUGE, max_disk_bytes, 1, "The limit of disk space; 0: none."),
    FIGURE("index_bytes", GAUGE, index_bytes, 1, "Memory of the index."),
    FIGURE("index_limit_bytes", GAUGE, max_index_bytes, 1, "The limit of index memory; 0: none."),
    FIGURE("puts_total", COUNTER, puts, 1, "Keys written since open."),
    FIGURE("gets_total", COUNTER, gets, 1, "Keys looked up and found since open."),
    FIGURE("misses_total", COUNTER, misses, 1, "Keys looked up and not found since open."),
    FIGURE("deletes_total", COUNTER, deletes, 1, "Keys deleted since open."),
    FIGURE("log_written_bytes_total", COUNTER, bytes_written, 1,
           "Bytes appended to the log since open."),
    FIGURE("syncs_total", COUNTER, syncs, 1, "Syncs of the log since open."),
    FIGURE("sync_failures_total", COUNTER, sync_failures, 1, "Syncs that failed since open."),
    FIGURE("rotations_total", COUNTER, rotations, 1, "Segments begun since open."),
    FIGURE("seals_total", COUNTER, seals, 1, "Segments sealed since open."),
    FIGURE("merges_total", COUNTER, merges, 1, "Merges finished since open."),
    FIGURE("merge_seconds_total", COUNTER, merge_us, 1e-6, "Time that merges took since open."),
    FIGURE("merge_written_bytes_total", COUNTER, merge_bytes_written, 1,
           "Bytes written by merges since open."),
    FIGURE("merge_reclaimed_bytes_total", COUNTER, merge_bytes_reclaimed, 1,
           "Disk space that merges gave back since open."),
    FIGURE("merge_waited_seconds_total", COUNTER, merge_waited_us, 1e-6,
           "Time that merges waited for their rate limit, or paused."),
    FIGURE("merge_input_bytes", GAUGE, merge_total_bytes, 1,
           "Bytes of the inputs of the merge that runs."),
    FIGURE("merge_input_done_bytes", GAUGE, merge_done_bytes, 1,
           "Of these, how many have been read."),
    FIGURE("expired_segments_dropped_total", COUNTER, expired_segments_dropped, 1,
           "Segments that went unread since open, for all in them had expired."),
    FIGURE("evicted_keys_total", COUNTER, evicted_keys, 1, "Keys evicted since open."),
    FIGURE("evicted_bytes_total", COUNTER, evicted_bytes, 1, "Bytes evicted since open."),
    FIGURE("pinned_segments", GAUGE, pinned_segments, 1,
           "Segments merged away and held by readers."),
    FIGURE("pinned_bytes", GAUGE, pinned_bytes, 1, "Disk space of these."),
    FIGURE("quarantined_bytes", GAUGE, quarantined_bytes, 1,
           "Bytes that this open moved to quarantine."),
    FIGURE("corrupt_records", GAUGE, corrupt_records, 1,
           "Damaged records met by this open and since."),
    FIGURE("missing_segments", GAUGE, missing_segments, 1,
           "Segments that the manifest names and whose files are not there."),
    FIGURE("recovery_seconds", GAUGE, recovery_us, 1e-6, "How long opening the store took."),
    FIGURE("snapshots", GAUGE, snapshots, 1, "Snapshots alive."),
    FIGURE("oldest_snapshot_seconds", GAUGE, oldest_snapshot_us, 1e-6, "Age of the oldest one."),
    FIGURE("undo_bytes", GAUGE, undo_bytes, 1, "Memory that snapshots cost."),
    FIGURE("scrubbed_bytes_total", COUNTER, scrubbed_bytes, 1, "Bytes scrubbed since open."),
    FIGURE("scrub_passes_total", COUNTER, scrub_passes, 1, "Scrubs of the whole store since open."),
    FIGURE("scrub_findings_total", COUNTER, scrub_findings, 1, "Damage that scrubs found."),
    FIGURE("last_scrub_timestamp_seconds", GAUGE, last_scrub_us, 1e-6,
           "When the last scrub ended; 0: never."),
};

static const struct {
    enum metric metric;
    const char *name, *help;
} counters[] = {
    {METRIC_CONNECTIONS, "bitcask_connections_total", "Connections accepted."},
    {METRIC_REJECTED_CONNECTIONS, "bitcask_rejected_connections_total",
     "Connections refused at maxclients."},
    {METRIC_BYTES_IN, "bitcask_received_bytes_total", "Bytes read from clients."},
    {METRIC_BYTES_OUT, "bitcask_sent_bytes_total", "Bytes written to clients."},
    {METRIC_KEYSPACE_HITS, "bitcask_keyspace_hits_total", "Commands that found their key."},
    {METRIC_KEYSPACE_MISSES, "bitcask_keyspace_misses_total", "Commands that did not."},
    {METRIC_EXPIRED_KEYS, "bitcask_expired_keys_total", "Keys that were found expired."},
    {METRIC_ERRORS, "bitcask_error_replies_total", "Error replies."},
    {METRIC_PROTOCOL_ERRORS, "bitcask_protocol_errors_total",
     "Connections closed because of what they sent."},
    {METRIC_AUTH_FAILURES, "bitcask_auth_failures_total", "Wrong passwords."},
    {METRIC_ACL_DENIED, "bitcask_acl_denied_total", "Commands that the ACL refused."},
    {METRIC_PUBLISHED, "bitcask_published_messages_total", "Messages published."},
    {METRIC_COMMITS, "bitcask_commits_total", "Group commits of sync mode always."},
    {METRIC_COMMIT_WRITES, "bitcask_commit_writes_total", "Writes made durable by these."},
    {METRIC_OUTPUT_LIMIT_CLOSES, "bitcask_output_limit_closes_total",
     "Clients closed because they did not read."},
    {METRIC_IDLE_CLOSES, "bitcask_idle_closes_total", "Clients closed because they were idle."},
    {METRIC_HTTP_REQUESTS, "bitcask_http_requests_total", "HTTP requests."},
    {METRIC_PIPELINED, "bitcask_pipelined_commands_total", "Commands executed together."},
};

/* ---- Writing them ------------------------------------------------------------------------------
 */

static void head(struct text *text, const char *name, const char *type, const char *help)
{
    text_format(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct text *text, const char *name, enum kind kind, const char *help, double value)
{
    head(text, name, kind == COUNTER ? "counter" : "gauge", help);
    text_format(text, "%s %.17g\n", name, value);
}

static void store_figures(struct text *text, const bitcask_stats *stats)
{
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        uint64_t number;
        memcpy(&number, (const char *)stats + figures[i].offset, sizeof number);
        one(text, figures[i].name, figures[i].kind, figures[i].help,
            (double)number * figures[i].scale);
    }
    one(text, "bitcask_merge_running", GAUGE, "1 while a merge runs.",
        stats->merge_state == BITCASK_MERGE_RUNNING);
    one(text, "bitcask_merge_failed", GAUGE, "1 if the last background merge failed.",
        stats->merge_last_error < 0);
    one(text, "bitcask_clean_open", GAUGE, "1 if the last close was clean.",
        stats->clean_open != 0);
    one(text, "bitcask_read_only", GAUGE, "1 if writes are refused.", stats->read_only != 0);
}

static void server_figures(struct text *text, const struct server *server)
{
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        one(text, counters[i].name, COUNTER, counters[i].help,
            (double)metrics_sum(server->metrics, counters[i].metric));
    one(text, "bitcask_connections", GAUGE, "Clients connected by the Redis protocol.",
        (double)registry_count(server->registry));
    head(text, "bitcask_build_info", "gauge", "1, with the version.");
    text_format(text, "bitcask_build_info{version=\"%s\"} 1\n", bitcask_version());
}

static uint64_t open_descriptors(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count < 3 ? 0 : count - 3; /* ".", "..", and the directory's own */
}

static void process_figures(struct text *text, const struct server *server)
{
    struct rusage usage = {0};
    struct rlimit limit = {0};
    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    one(text, "process_cpu_seconds_total", COUNTER, "User and system time used.",
        (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    one(text, "process_resident_memory_bytes", GAUGE,
        "Resident memory, mapped segments in the page cache included.",
        (double)status_resident_bytes());
    one(text, "process_open_fds", GAUGE, "Open descriptors.", (double)open_descriptors());
    one(text, "process_max_fds", GAUGE, "How many there may be.", (double)limit.rlim_cur);
    one(text, "process_start_time_seconds", GAUGE, "When the server started.",
        (double)server->started_us / 1e6);
}

/* ---- Commands ----------------------------------------------------------------------------------
 */

/* Upper bounds of the buckets, in ns and as text. The metrics' own buckets are 3% wide: one that
 * straddles a bound counts as above it. */
static const struct {
    uint64_t ns;
    const char *le;
} bounds[] = {
    {1000, "1e-06"},     {2500, "2.5e-06"},   {5000, "5e-06"},     {10000, "1e-05"},
    {25000, "2.5e-05"},  {50000, "5e-05"},    {100000, "0.0001"},  {250000, "0.00025"},
    {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},
    {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},
    {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"},
    {5000000000, "5"},   {10000000000, "10"},
};

typedef void command_visit(struct text *text, const struct metrics *metrics, const char *name,
                           unsigned index);

static void each_command(struct text *text, const struct metrics *metrics, command_visit *visit)
{
    for (const struct command *c = command_table; c->name != NULL; c++) {
        visit(text, metrics, c->name, c->index);
        for (const struct command *s = c->subcommands; s != NULL && s->name != NULL; s++) {
            char name[80];
            snprintf(name, sizeof name, "%s|%s", c->name, s->name);
            visit(text, metrics, name, s->index);
        }
    }
}

static void latency(struct text *text, const struct metrics *metrics, const char *name,
                    unsigned index)
{
    static const char metric[] = "bitcask_command_duration_seconds";
    struct metrics_histogram histogram;
    if (metrics_of_command(metrics, index).calls == 0)
        return;
    metrics_latency(metrics, (int)index, &histogram);
    uint64_t below = 0, total = 0;
    unsigned bucket = 0, buckets = sizeof histogram.buckets / sizeof histogram.buckets[0];
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        for (; bucket < buckets && metrics_bucket_limit_ns(bucket) <= bounds[i].ns; bucket++)
            below += histogram.buckets[bucket];
        text_format(text, "%s_bucket{command=\"%s\",le=\"%s\"} %" PRIu64 "\n", metric, name,
                    bounds[i].le, below);
    }
    for (unsigned i = 0; i < buckets; i++) /* what the +Inf bucket has must be what _count has */
        total += histogram.buckets[i];
    text_format(text, "%s_bucket{command=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", metric, name, total);
    text_format(text, "%s_sum{command=\"%s\"} %.17g\n", metric, name,
                (double)histogram.sum_ns / 1e9);
    text_format(text, "%s_count{command=\"%s\"} %" PRIu64 "\n", metric, name, total);
}

static void failures(struct text *text, const struct metrics *metrics, const char *name,
                     unsigned index)
{
    struct metrics_calls calls = metrics_of_command(metrics, index);
    if (calls.failed > 0)
        text_format(text, "bitcask_commands_failed_total{command=\"%s\"} %" PRIu64 "\n", name,
                    calls.failed);
}

static void rejections(struct text *text, const struct metrics *metrics, const char *name,
                       unsigned index)
{
    struct metrics_calls calls = metrics_of_command(metrics, index);
    if (calls.rejected > 0)
        text_format(text, "bitcask_commands_rejected_total{command=\"%s\"} %" PRIu64 "\n", name,
                    calls.rejected);
}

static void command_figures(struct text *text, const struct metrics *metrics)
{
    head(text, "bitcask_command_duration_seconds", "histogram",
         "Commands by how long they took, for those that were called.");
    each_command(text, metrics, latency);
    head(text, "bitcask_commands_failed_total", "counter", "Commands that failed while running.");
    each_command(text, metrics, failures);
    head(text, "bitcask_commands_rejected_total", "counter",
         "Commands that were refused before they ran.");
    each_command(text, metrics, rejections);
}

void http_metrics(struct http_request *request)
{
    struct text text = {0};
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(request->server->store, &stats);
    store_figures(&text, &stats);
    server_figures(&text, request->server);
    process_figures(&text, request->server);
    command_figures(&text, request->server->metrics);
    http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
}
