/* SPDX-License-Identifier: MIT
 * status.c: the server as it is now, as JSON. */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "jobs.h"
#include "journal.h"
#include "metrics.h"
#include "registry.h"
#include "server.h"
#include "settings.h"
#include "slowlog.h"

uint64_t status_resident_bytes(void)
{
    unsigned long long size, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    int found = fscanf(file, "%llu %llu", &size, &resident);
    fclose(file);
    return found == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* ---- Figures -------------------------------------------------------------------------------- */

static const char *merge_state_name(bitcask_merge_state state)
{
    static const char *const names[] = {[BITCASK_MERGE_OFF] = "off",
                                        [BITCASK_MERGE_IDLE] = "idle",
                                        [BITCASK_MERGE_WAITING] = "waiting",
                                        [BITCASK_MERGE_RUNNING] = "running",
                                        [BITCASK_MERGE_PAUSED] = "paused"};
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

static void add_jobs(struct text *json, struct server *server)
{
    text_member(json, "jobs");
    text_open(json, '{');
    for (int kind = 0; kind < JOB_KINDS; kind++) {
        struct job_report report = {0};
        jobs_report(server->jobs, (enum job_kind)kind, &report);
        text_member(json, job_name((enum job_kind)kind));
        text_open(json, '{');
        text_member_bool(json, "running", report.running);
        text_member_unsigned(json, "runs", report.runs);
        text_member_unsigned(json, "started_us", report.started_us);
        text_member_unsigned(json, "finished_us", report.finished_us);
        text_member_unsigned(json, "done", report.done);
        text_member_unsigned(json, "total", report.total);
        text_member_bool(json, "failed", report.status < 0);
        text_member_string(json, "result", report.result);
        text_close(json, '}');
    }
    text_close(json, '}');
}

static void add_store(struct text *json, struct server *server)
{
    bitcask_buffer stats = {0};
    bitcask_error error;
    text_member(json, "store");
    if (bitcask_stats_json(server->store, &stats, &error) == BITCASK_OK)
        text_add(json, bitcask_bytes(stats.data, stats.size));
    else
        text_null(json);
    bitcask_buffer_free(&stats);
}

static void add_disk(struct text *json, struct server *server)
{
    struct statvfs disk;
    if (statvfs(server->directory, &disk) != 0)
        return;
    text_member_unsigned(json, "disk_free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize);
    text_member_unsigned(json, "disk_size_bytes", (uint64_t)disk.f_blocks * disk.f_frsize);
}

/* The commands' latency since the start (or CONFIG RESETSTAT); the history has it by the second. */
static void add_latency(struct text *json, const struct server *server)
{
    struct metrics_histogram all;
    metrics_latency(server->metrics, METRICS_ALL_COMMANDS, &all);
    text_member(json, "latency_ns");
    text_open(json, '{');
    text_member_unsigned(json, "count", all.count);
    text_member_unsigned(json, "p50", metrics_quantile_ns(&all, 0.5));
    text_member_unsigned(json, "p90", metrics_quantile_ns(&all, 0.9));
    text_member_unsigned(json, "p99", metrics_quantile_ns(&all, 0.99));
    text_member_unsigned(json, "p999", metrics_quantile_ns(&all, 0.999));
    text_member_unsigned(json, "max", all.max_ns);
    text_close(json, '}');
}

void status_add(struct text *json, struct server *server)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(server->store, &stats);
    text_member_string(json, "version", bitcask_version());
    text_member_string(json, "run_id", server->run_id);
    text_member_unsigned(json, "pid", (uint64_t)getpid());
    text_member_string(json, "directory", server->directory);
    text_member_unsigned(json, "started_us", server->started_us);
    text_member_unsigned(json, "now_us", server_wall_us());
    text_member_unsigned(json, "threads", server->loop_count);
    text_member_unsigned(json, "port", setting_number(server->settings, SETTING_PORT));
    text_member_unsigned(json, "resident_bytes", status_resident_bytes());
    add_disk(json, server);
    text_member_unsigned(json, "connections", registry_count(server->registry));
    text_member_unsigned(json, "max_connections",
                         setting_number(server->settings, SETTING_MAXCLIENTS));
    text_member_unsigned(json, "commands", metrics_sum(server->metrics, METRIC_COMMANDS));
    text_member_unsigned(json, "keyspace_hits", metrics_sum(server->metrics, METRIC_KEYSPACE_HITS));
    text_member_unsigned(json, "keyspace_misses",
                         metrics_sum(server->metrics, METRIC_KEYSPACE_MISSES));
    text_member_unsigned(json, "errors", metrics_sum(server->metrics, METRIC_ERRORS));
    text_member_string(json, "merge_state", merge_state_name(stats.merge_state));
    add_latency(json, server);
    add_jobs(json, server);
    add_store(json, server);
}

/* ---- Segments ------------------------------------------------------------------------------- */

static void add_segment(struct text *json, const bitcask_segment_info *info)
{
    static const char *const states[] = {"active", "sealing", "sealed", "missing"};
    text_open(json, '{');
    text_member_unsigned(json, "id", info->id);
    text_member_string(json, "state", states[info->state & 3]);
    text_member_bool(json, "from_merge", info->from_merge != 0);
    text_member_bool(json, "merging", info->merging != 0);
    text_member_bool(json, "damaged", info->damaged != 0);
    text_member_bool(json, "has_hint", info->has_hint != 0);
    text_member_unsigned(json, "created_us", info->created_us);
    text_member_unsigned(json, "size", info->size_bytes);
    text_member_unsigned(json, "live", info->live_bytes);
    text_member_unsigned(json, "dead", info->dead_bytes);
    text_member_unsigned(json, "records", info->records);
    text_member_unsigned(json, "tombstones", info->tombstones);
    text_member_unsigned(json, "live_records", info->live_records);
    text_close(json, '}');
}

bool status_add_segments(struct text *json, struct server *server)
{
    bitcask *store = server->store;
    size_t capacity = bitcask_get_segments(store, NULL, 0, sizeof(bitcask_segment_info)) + 16;
    bitcask_segment_info *infos = calloc(capacity, sizeof *infos);
    if (infos == NULL)
        return false;
    size_t count = bitcask_get_segments(store, infos, capacity, sizeof *infos);
    count = count < capacity ? count : capacity;
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(store, &stats);
    text_open(json, '{');
    text_member_string(json, "merge_state", merge_state_name(stats.merge_state));
    text_member_unsigned(json, "merge_done_bytes", stats.merge_done_bytes);
    text_member_unsigned(json, "merge_total_bytes", stats.merge_total_bytes);
    text_member_unsigned(json, "merges", stats.merges);
    text_member(json, "segments");
    text_open(json, '[');
    for (size_t i = 0; i < count; i++)
        add_segment(json, &infos[i]);
    text_close(json, ']');
    text_close(json, '}');
    free(infos);
    return true;
}

/* ---- Log and slow requests ------------------------------------------------------------------ */

static void add_log(void *context, uint64_t number, const char *line)
{
    struct text *json = context;
    text_open(json, '{');
    text_member_unsigned(json, "n", number);
    text_member(json, "event");
    text_add_c(json, line);
    text_close(json, '}');
}

void status_add_logs(struct text *json, struct server *server, uint64_t after)
{
    text_open(json, '{');
    text_member(json, "lines");
    text_open(json, '[');
    uint64_t last = journal_recent(server->journal, after, add_log, json);
    text_close(json, ']');
    text_member_unsigned(json, "last", last);
    text_close(json, '}');
}

static void add_slow(void *context, const struct slowlog_entry *entry)
{
    struct text *json = context;
    text_open(json, '{');
    text_member_unsigned(json, "id", entry->id);
    text_member_unsigned(json, "time_s", entry->time_s);
    text_member_unsigned(json, "us", entry->us);
    text_member_string(json, "address", entry->address);
    text_member_string(json, "name", entry->name);
    text_member(json, "words");
    text_open(json, '[');
    for (size_t i = 0; i < entry->word_count; i++)
        text_string(json, entry->words[i]);
    text_close(json, ']');
    text_close(json, '}');
}

void status_add_slow(struct text *json, struct server *server)
{
    text_open(json, '{');
    text_member(json, "slower_than_us");
    int64_t limit = (int64_t)setting_number(server->settings, SETTING_SLOWLOG_LOG_SLOWER_THAN);
    text_number(json, (double)limit); /* -1: none are noted */
    text_member(json, "requests");
    text_open(json, '[');
    slowlog_each(server->slowlog, 64, add_slow, json);
    text_close(json, ']');
    text_close(json, '}');
}
