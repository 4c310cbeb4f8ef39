/* SPDX-License-Identifier: MIT
 * http_status.c: the server as it is now, for the dashboard and for probes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "http_request.h"
#include "jobs.h"
#include "journal.h"
#include "metrics.h"
#include "registry.h"
#include "settings.h"
#include "slowlog.h"

static void add_unsigned(struct text *json, const char *name, uint64_t number)
{
    text_member(json, name);
    text_unsigned(json, number);
}

static void add_string(struct text *json, const char *name, const char *text)
{
    text_member(json, name);
    text_string_c(json, text);
}

static void add_bool(struct text *json, const char *name, bool value)
{
    text_member(json, name);
    text_bool(json, value);
}

/* ---- Probes ------------------------------------------------------------------------------------
 */

/* The process lives and answers. */
void http_healthz(struct http_request *request)
{
    struct text text = {0};
    text_add_c(&text, "ok\n");
    http_reply(request, 200, "text/plain; charset=utf-8", &text);
}

/* It is to be sent requests: the store takes writes, and nobody has asked it to stop. */
void http_readyz(struct http_request *request)
{
    struct text text = {0};
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(request->server->store, &stats);
    bool stops = atomic_load(&request->server->stopping);
    text_add_c(&text, stops ? "stopping\n" : stats.read_only ? "read-only\n" : "ready\n");
    http_reply(request, stops || stats.read_only ? 503 : 200, "text/plain; charset=utf-8", &text);
}

/* ---- What the page needs to begin
 * ---------------------------------------------------------------- */

/* Who one is, the token for changes, and what one may do. */
void http_session(struct http_request *request)
{
    static const struct {
        const char *name, *command;
    } abilities[] = {{"status", "info"},        {"list", "scan"},        {"read", "get"},
                     {"write", "set"},          {"delete", "del"},       {"merge", "bc.merge"},
                     {"verify", "bc.verify"},   {"backup", "bc.backup"}, {"logs", "slowlog"},
                     {"clients", "client|list"}};
    struct text json = {0};
    char token[65];
    http_token(request->http, request->user, token);
    text_open(&json, '{');
    add_string(&json, "user", acl_user_name(request->user));
    add_string(&json, "token", token);
    add_string(&json, "version", bitcask_version());
    add_bool(&json, "backup_dir",
             setting_text(request->server->settings, SETTING_BACKUP_DIR)[0] != '\0');
    text_member(&json, "may");
    text_open(&json, '{');
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
        add_bool(&json, abilities[i].name,
                 http_user_may(request->user, abilities[i].command, (bitcask_slice){0}));
    text_close(&json, '}');
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

/* ---- Figures -----------------------------------------------------------------------------------
 */

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
        add_bool(json, "running", report.running);
        add_unsigned(json, "runs", report.runs);
        add_unsigned(json, "started_us", report.started_us);
        add_unsigned(json, "finished_us", report.finished_us);
        add_unsigned(json, "done", report.done);
        add_unsigned(json, "total", report.total);
        add_bool(json, "failed", report.status < 0);
        add_string(json, "result", report.result);
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
    add_unsigned(json, "disk_free_bytes", (uint64_t)disk.f_bavail * disk.f_frsize);
    add_unsigned(json, "disk_size_bytes", (uint64_t)disk.f_blocks * disk.f_frsize);
}

/* The commands' latency since the start (or CONFIG RESETSTAT); the history has it by the second. */
static void add_latency(struct text *json, const struct server *server)
{
    struct metrics_histogram all;
    metrics_latency(server->metrics, METRICS_ALL_COMMANDS, &all);
    text_member(json, "latency_ns");
    text_open(json, '{');
    add_unsigned(json, "count", all.count);
    add_unsigned(json, "p50", metrics_quantile_ns(&all, 0.5));
    add_unsigned(json, "p90", metrics_quantile_ns(&all, 0.9));
    add_unsigned(json, "p99", metrics_quantile_ns(&all, 0.99));
    add_unsigned(json, "p999", metrics_quantile_ns(&all, 0.999));
    add_unsigned(json, "max", all.max_ns);
    text_close(json, '}');
}

void http_status(struct http_request *request)
{
    struct server *server = request->server;
    struct text json = {0};
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(server->store, &stats);
    text_open(&json, '{');
    add_string(&json, "version", bitcask_version());
    add_string(&json, "run_id", server->run_id);
    add_unsigned(&json, "pid", (uint64_t)getpid());
    add_string(&json, "directory", server->directory);
    add_unsigned(&json, "started_us", server->started_us);
    add_unsigned(&json, "now_us", server_wall_us());
    add_unsigned(&json, "threads", server->loop_count);
    add_unsigned(&json, "port", setting_number(server->settings, SETTING_PORT));
    add_unsigned(&json, "resident_bytes", http_resident_bytes());
    add_disk(&json, server);
    add_unsigned(&json, "connections", registry_count(server->registry));
    add_unsigned(&json, "max_connections", setting_number(server->settings, SETTING_MAXCLIENTS));
    add_unsigned(&json, "streams", atomic_load(&request->http->stream_count));
    add_unsigned(&json, "commands", metrics_sum(server->metrics, METRIC_COMMANDS));
    add_unsigned(&json, "keyspace_hits", metrics_sum(server->metrics, METRIC_KEYSPACE_HITS));
    add_unsigned(&json, "keyspace_misses", metrics_sum(server->metrics, METRIC_KEYSPACE_MISSES));
    add_unsigned(&json, "errors", metrics_sum(server->metrics, METRIC_ERRORS));
    add_string(&json, "merge_state", merge_state_name(stats.merge_state));
    add_latency(&json, server);
    add_jobs(&json, server);
    add_store(&json, server);
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

/* ---- Segments ----------------------------------------------------------------------------------
 */

static void add_segment(struct text *json, const bitcask_segment_info *info)
{
    static const char *const states[] = {"active", "sealing", "sealed", "missing"};
    text_open(json, '{');
    add_unsigned(json, "id", info->id);
    add_string(json, "state", states[info->state & 3]);
    add_bool(json, "from_merge", info->from_merge != 0);
    add_bool(json, "merging", info->merging != 0);
    add_bool(json, "damaged", info->damaged != 0);
    add_bool(json, "has_hint", info->has_hint != 0);
    add_unsigned(json, "created_us", info->created_us);
    add_unsigned(json, "size", info->size_bytes);
    add_unsigned(json, "live", info->live_bytes);
    add_unsigned(json, "dead", info->dead_bytes);
    add_unsigned(json, "records", info->records);
    add_unsigned(json, "tombstones", info->tombstones);
    add_unsigned(json, "live_records", info->live_records);
    text_close(json, '}');
}

void http_segments(struct http_request *request)
{
    bitcask *store = request->server->store;
    size_t capacity = bitcask_get_segments(store, NULL, 0, sizeof(bitcask_segment_info)) + 16;
    bitcask_segment_info *infos = calloc(capacity, sizeof *infos);
    if (infos == NULL) {
        http_reply_status(request, BITCASK_NO_MEMORY, NULL);
        return;
    }
    size_t count = bitcask_get_segments(store, infos, capacity, sizeof *infos);
    count = count < capacity ? count : capacity;
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(store, &stats);
    struct text json = {0};
    text_open(&json, '{');
    add_string(&json, "merge_state", merge_state_name(stats.merge_state));
    add_unsigned(&json, "merge_done_bytes", stats.merge_done_bytes);
    add_unsigned(&json, "merge_total_bytes", stats.merge_total_bytes);
    add_unsigned(&json, "merges", stats.merges);
    text_member(&json, "segments");
    text_open(&json, '[');
    for (size_t i = 0; i < count; i++)
        add_segment(&json, &infos[i]);
    text_close(&json, ']');
    text_close(&json, '}');
    free(infos);
    http_reply_json(request, 200, &json);
}

/* ---- Logs, slow requests, clients
 * ---------------------------------------------------------------- */

static void add_log(void *context, uint64_t number, const char *line)
{
    struct text *json = context;
    text_open(json, '{');
    add_unsigned(json, "n", number);
    text_member(json, "event");
    text_add_c(json, line);
    text_close(json, '}');
}

void http_logs(struct http_request *request)
{
    struct text json = {0};
    uint64_t after = http_argument_number(request, "after", 0, UINT64_MAX);
    text_open(&json, '{');
    text_member(&json, "lines");
    text_open(&json, '[');
    uint64_t last = journal_recent(request->server->journal, after, add_log, &json);
    text_close(&json, ']');
    add_unsigned(&json, "last", last);
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

static void add_slow(void *context, const struct slowlog_entry *entry)
{
    struct text *json = context;
    text_open(json, '{');
    add_unsigned(json, "id", entry->id);
    add_unsigned(json, "time_s", entry->time_s);
    add_unsigned(json, "us", entry->us);
    add_string(json, "address", entry->address);
    add_string(json, "name", entry->name);
    text_member(json, "words");
    text_open(json, '[');
    for (size_t i = 0; i < entry->word_count; i++)
        text_string(json, entry->words[i]);
    text_close(json, ']');
    text_close(json, '}');
}

void http_slow(struct http_request *request)
{
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "slower_than_us");
    int64_t limit =
        (int64_t)setting_number(request->server->settings, SETTING_SLOWLOG_LOG_SLOWER_THAN);
    text_number(&json, (double)limit); /* -1: none are noted */
    text_member(&json, "requests");
    text_open(&json, '[');
    slowlog_each(request->server->slowlog, 64, add_slow, &json);
    text_close(&json, ']');
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

static void add_client(void *context, const struct client_info *info)
{
    struct text *json = context;
    text_open(json, '{');
    add_unsigned(json, "id", info->id);
    add_string(json, "address", info->address);
    add_string(json, "name", info->name);
    add_string(json, "user", info->user);
    add_string(json, "library", info->library);
    add_string(json, "command", info->last_command);
    add_unsigned(json, "protocol", (uint64_t)info->protocol);
    add_unsigned(json, "age_s", info->age_s);
    add_unsigned(json, "idle_s", info->idle_s);
    add_unsigned(json, "out_bytes", info->out_bytes);
    text_close(json, '}');
}

void http_clients(struct http_request *request)
{
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "clients");
    text_open(&json, '[');
    registry_each(request->server->registry, add_client, &json);
    text_close(&json, ']');
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}
