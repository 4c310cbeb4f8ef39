/* SPDX-License-Identifier: MIT
 * cmd_info.c: INFO: what the server says of itself, in redis-server's sections and fields as far as
 * they have a meaning here, and a section of our own. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "client.h"
#include "cmd.h"
#include "jobs.h"
#include "keyspace.h"
#include "metrics.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "session.h"
#include "settings.h"
#include "words.h"

struct info { /* what the sections are made of */
    FILE *out;
    struct client *client;
    struct server *server;
    bitcask_stats stats;
};

static uint64_t metric(const struct info *info, enum metric id)
{
    return metrics_sum(info->server->metrics, id);
}

/* ---- Sections ------------------------------------------------------------------------------- */

static void server_section(struct info *info)
{
    struct utsname system = {0};
    uname(&system);
    uint64_t up_s = (server_wall_us() - info->server->started_us) / 1000000;
    fprintf(info->out,
            "redis_version:%s\r\nbitcask_version:%s\r\nredis_git_sha1:00000000\r\n"
            "redis_git_dirty:0\r\nredis_build_id:0\r\nredis_mode:standalone\r\nos:%s %s %s\r\n"
            "arch_bits:%zu\r\nmultiplexing_api:epoll\r\natomicvar_api:c11-builtin\r\n"
            "gcc_version:%d.%d.%d\r\nprocess_id:%d\r\nprocess_supervised:no\r\nrun_id:%s\r\n"
            "tcp_port:%" PRIu64 "\r\nserver_time_usec:%" PRIu64 "\r\nuptime_in_seconds:%" PRIu64
            "\r\nuptime_in_days:%" PRIu64 "\r\nhz:10\r\nconfigured_hz:10\r\nlru_clock:0\r\n"
            "io_threads:%u\r\nio_threads_active:1\r\n",
            SESSION_REDIS_VERSION, bitcask_version(), system.sysname, system.release,
            system.machine, sizeof(void *) * 8, __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__,
            (int)getpid(), info->server->run_id,
            setting_number(info->server->settings, SETTING_PORT), server_wall_us(), up_s,
            up_s / 86400, info->server->loop_count);
}

struct client_sums {
    uint64_t pubsub, biggest_in, biggest_out;
};

static void add_client(void *context, const struct client_info *client)
{
    struct client_sums *sums = context;
    sums->pubsub += client->subscriptions + client->patterns > 0;
    sums->biggest_in = client->in_bytes > sums->biggest_in ? client->in_bytes : sums->biggest_in;
    sums->biggest_out =
        client->out_bytes > sums->biggest_out ? client->out_bytes : sums->biggest_out;
}

static void clients_section(struct info *info)
{
    struct client_sums sums = {0};
    registry_each(info->server->registry, add_client, &sums);
    fprintf(info->out,
            "connected_clients:%zu\r\ncluster_connections:0\r\nmaxclients:%" PRIu64
            "\r\nclient_recent_max_input_buffer:%" PRIu64
            "\r\nclient_recent_max_output_buffer:%" PRIu64
            "\r\nblocked_clients:0\r\ntracking_clients:0\r\npubsub_clients:%" PRIu64
            "\r\nclients_in_timeout_table:0\r\n",
            registry_count(info->server->registry),
            setting_number(info->server->settings, SETTING_MAXCLIENTS), sums.biggest_in,
            sums.biggest_out, sums.pubsub);
}

/* Of the whole process, in bytes. */
static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void human(char text[32], uint64_t bytes)
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 2 < sizeof units) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, 32, "%" PRIu64 "B", bytes);
    else
        snprintf(text, 32, "%.2f%c", value, units[unit]);
}

static void memory_section(struct info *info)
{
    struct mallinfo2 heap = mallinfo2();
    uint64_t used = heap.uordblks + heap.hblkhd, resident = resident_bytes();
    uint64_t limit = setting_number(info->server->settings, SETTING_MAXMEMORY);
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    char used_text[32], resident_text[32], peak_text[32], total_text[32], limit_text[32];
    uint64_t peak = (uint64_t)usage.ru_maxrss * 1024;
    human(used_text, used);
    human(resident_text, resident);
    human(peak_text, peak);
    human(total_text, total);
    human(limit_text, limit);
    fprintf(info->out,
            "used_memory:%" PRIu64 "\r\nused_memory_human:%s\r\nused_memory_rss:%" PRIu64
            "\r\nused_memory_rss_human:%s\r\nused_memory_peak:%" PRIu64
            "\r\nused_memory_peak_human:%s\r\nused_memory_dataset:0\r\n"
            "total_system_memory:%" PRIu64 "\r\ntotal_system_memory_human:%s\r\n"
            "maxmemory:%" PRIu64 "\r\nmaxmemory_human:%s\r\nmaxmemory_policy:%s\r\n"
            "allocator_allocated:%zu\r\nallocator_active:%zu\r\nmem_fragmentation_ratio:%.2f\r\n"
            "mem_allocator:libc\r\nactive_defrag_running:0\r\nlazyfree_pending_objects:0\r\n",
            used, used_text, resident, resident_text, peak, peak_text, total, total_text, limit,
            limit_text, setting_text(info->server->settings, SETTING_MAXMEMORY_POLICY),
            heap.uordblks, heap.arena, used > 0 ? (double)resident / (double)used : 1.0);
}

static void persistence_section(struct info *info)
{
    struct job_report merge, backup;
    jobs_report(info->server->jobs, JOB_MERGE, &merge);
    jobs_report(info->server->jobs, JOB_BACKUP, &backup);
    bool merging = merge.running || info->stats.merge_state == BITCASK_MERGE_RUNNING;
    fprintf(
        info->out,
        "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:%" PRIu64
        "\r\nrdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%" PRIu64
        "\r\nrdb_last_bgsave_status:%s\r\naof_enabled:1\r\naof_rewrite_in_progress:%d\r\n"
        "aof_rewrite_scheduled:0\r\naof_last_bgrewrite_status:%s\r\naof_last_write_status:%s\r\n"
        "aof_current_size:%" PRIu64 "\r\n",
        keyspace_changes(info->server->keyspace), backup.running,
        jobs_last_save_s(info->server->jobs), backup.status < 0 ? "err" : "ok", merging,
        info->stats.merge_last_error < 0 || merge.status < 0 ? "err" : "ok",
        info->stats.read_only ? "err" : "ok", info->stats.disk_bytes);
}

static void stats_section(struct info *info)
{
    struct pubsub *pubsub = info->server->pubsub;
    fprintf(
        info->out,
        "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64
        "\r\ninstantaneous_ops_per_sec:%" PRIu64 "\r\ntotal_net_input_bytes:%" PRIu64
        "\r\ntotal_net_output_bytes:%" PRIu64 "\r\nrejected_connections:%" PRIu64
        "\r\nsync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\nexpired_keys:%" PRIu64
        "\r\nevicted_keys:%" PRIu64 "\r\nevicted_clients:0\r\nkeyspace_hits:%" PRIu64
        "\r\nkeyspace_misses:%" PRIu64 "\r\npubsub_channels:%zu\r\npubsub_patterns:%zu\r\n"
        "latest_fork_usec:0\r\ntotal_forks:0\r\nunexpected_error_replies:0\r\n"
        "total_error_replies:%" PRIu64 "\r\nacl_access_denied_auth:%" PRIu64
        "\r\nacl_access_denied_cmd:%" PRIu64 "\r\nclient_output_buffer_limit_disconnections:"
        "%" PRIu64 "\r\nclient_idle_disconnections:%" PRIu64 "\r\nprotocol_errors:%" PRIu64
        "\r\npublished_messages:%" PRIu64 "\r\npipelined_commands:%" PRIu64 "\r\ncommits:%" PRIu64
        "\r\ncommitted_writes:%" PRIu64 "\r\nhttp_requests:%" PRIu64 "\r\n",
        metric(info, METRIC_CONNECTIONS), metric(info, METRIC_COMMANDS),
        metrics_rate(info->server->metrics, server_monotonic_us()), metric(info, METRIC_BYTES_IN),
        metric(info, METRIC_BYTES_OUT), metric(info, METRIC_REJECTED_CONNECTIONS),
        metric(info, METRIC_EXPIRED_KEYS), info->stats.evicted_keys,
        metric(info, METRIC_KEYSPACE_HITS), metric(info, METRIC_KEYSPACE_MISSES),
        pubsub_channels(pubsub), pubsub_patterns(pubsub), metric(info, METRIC_ERRORS),
        metric(info, METRIC_AUTH_FAILURES), metric(info, METRIC_ACL_DENIED),
        metric(info, METRIC_OUTPUT_LIMIT_CLOSES), metric(info, METRIC_IDLE_CLOSES),
        metric(info, METRIC_PROTOCOL_ERRORS), metric(info, METRIC_PUBLISHED),
        metric(info, METRIC_PIPELINED), metric(info, METRIC_COMMITS),
        metric(info, METRIC_COMMIT_WRITES), metric(info, METRIC_HTTP_REQUESTS));
}

static void replication_section(struct info *info)
{
    fprintf(info->out,
            "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\n"
            "master_replid:%s\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n"
            "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n"
            "repl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n",
            info->server->run_id);
}

static void cpu_section(struct info *info)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    fprintf(info->out, "used_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n",
            (long)usage.ru_stime.tv_sec, (long)usage.ru_stime.tv_usec, (long)usage.ru_utime.tv_sec,
            (long)usage.ru_utime.tv_usec);
    fputs("used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n", info->out);
}

static void nothing(struct info *info)
{
    (void)info;
}

static void commandstats_section(struct info *info)
{
    for (unsigned i = 0; i < command_count(); i++) {
        struct metrics_calls calls = metrics_of_command(info->server->metrics, i);
        if (calls.calls + calls.rejected == 0)
            continue;
        double us = (double)calls.ns / 1000;
        fprintf(info->out,
                "cmdstat_%s:calls=%" PRIu64 ",usec=%.0f,usec_per_call=%.2f,rejected_calls=%" PRIu64
                ",failed_calls=%" PRIu64 "\r\n",
                command_at(i)->name, calls.calls, us,
                calls.calls > 0 ? us / (double)calls.calls : 0.0, calls.rejected, calls.failed);
    }
}

static void latencystats_section(struct info *info)
{
    struct metrics_histogram *histogram = malloc(sizeof *histogram);
    for (unsigned i = 0; histogram != NULL && i < command_count(); i++) {
        metrics_latency(info->server->metrics, (int)i, histogram);
        if (histogram->count == 0)
            continue;
        fprintf(info->out, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n",
                command_at(i)->name, (double)metrics_quantile_ns(histogram, 0.5) / 1000,
                (double)metrics_quantile_ns(histogram, 0.99) / 1000,
                (double)metrics_quantile_ns(histogram, 0.999) / 1000);
    }
    free(histogram);
}

static void errorstats_section(struct info *info)
{
    for (unsigned i = 0; metrics_error_name(i) != NULL; i++) {
        uint64_t count = metrics_errors(info->server->metrics, i);
        if (count > 0)
            fprintf(info->out, "errorstat_%s:count=%" PRIu64 "\r\n", metrics_error_name(i), count);
    }
}

static void cluster_section(struct info *info)
{
    fputs("cluster_enabled:0\r\n", info->out);
}

/* How many keys expire is not counted. */
static void keyspace_section(struct info *info)
{
    if (info->stats.keys > 0)
        fprintf(info->out, "db0:keys=%" PRIu64 ",expires=0,avg_ttl=0\r\n", info->stats.keys);
}

static const char *merge_state(bitcask_merge_state state)
{
    static const char *const names[] = {"off", "idle", "waiting", "running", "paused"};
    return (size_t)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static void bitcask_section(struct info *info)
{
    const bitcask_stats *stats = &info->stats;
    fprintf(info->out,
            "directory:%s\r\nkeys:%" PRIu64 "\r\nsegments:%" PRIu64 "\r\nlive_bytes:%" PRIu64
            "\r\ndead_bytes:%" PRIu64 "\r\ndisk_bytes:%" PRIu64 "\r\nindex_bytes:%" PRIu64
            "\r\nindex_bytes_per_key:%.2f\r\n",
            info->server->directory, stats->keys, stats->segments, stats->live_bytes,
            stats->dead_bytes, stats->disk_bytes, stats->index_bytes,
            stats->keys > 0 ? (double)stats->index_bytes / (double)stats->keys : 0.0);
    fprintf(info->out,
            "puts:%" PRIu64 "\r\ngets:%" PRIu64 "\r\nmisses:%" PRIu64 "\r\ndeletes:%" PRIu64
            "\r\nbytes_written:%" PRIu64 "\r\nsyncs:%" PRIu64 "\r\nsync_failures:%" PRIu64
            "\r\nmerges:%" PRIu64 "\r\nmerge_state:%s\r\nmerge_bytes_written:%" PRIu64
            "\r\nmerge_bytes_reclaimed:%" PRIu64 "\r\n",
            stats->puts, stats->gets, stats->misses, stats->deletes, stats->bytes_written,
            stats->syncs, stats->sync_failures, stats->merges, merge_state(stats->merge_state),
            stats->merge_bytes_written, stats->merge_bytes_reclaimed);
    fprintf(info->out,
            "recovery_us:%" PRIu64 "\r\nclean_open:%d\r\ncorrupt_records:%" PRIu64
            "\r\nmissing_segments:%" PRIu64 "\r\nquarantined_bytes:%" PRIu64
            "\r\nread_only:%d\r\nsnapshots:%" PRIu64 "\r\nlast_version:%" PRIu64 "\r\n",
            stats->recovery_us, stats->clean_open, stats->corrupt_records, stats->missing_segments,
            stats->quarantined_bytes, stats->read_only, stats->snapshots, stats->last_version);
}

/* ---- Choosing ------------------------------------------------------------------------------- */

enum { BY_DEFAULT = 1, IN_ALL = 2 };

static const struct section {
    const char *name, *title; /* as a word; as a headline */
    unsigned when;
    void (*print)(struct info *info);
} sections[] = {
    {"SERVER", "Server", BY_DEFAULT | IN_ALL, server_section},
    {"CLIENTS", "Clients", BY_DEFAULT | IN_ALL, clients_section},
    {"MEMORY", "Memory", BY_DEFAULT | IN_ALL, memory_section},
    {"PERSISTENCE", "Persistence", BY_DEFAULT | IN_ALL, persistence_section},
    {"STATS", "Stats", BY_DEFAULT | IN_ALL, stats_section},
    {"REPLICATION", "Replication", BY_DEFAULT | IN_ALL, replication_section},
    {"CPU", "CPU", BY_DEFAULT | IN_ALL, cpu_section},
    {"MODULES", "Modules", BY_DEFAULT | IN_ALL, nothing},
    {"COMMANDSTATS", "Commandstats", IN_ALL, commandstats_section},
    {"ERRORSTATS", "Errorstats", BY_DEFAULT | IN_ALL, errorstats_section},
    {"LATENCYSTATS", "Latencystats", IN_ALL, latencystats_section},
    {"CLUSTER", "Cluster", BY_DEFAULT | IN_ALL, cluster_section},
    {"KEYSPACE", "Keyspace", BY_DEFAULT | IN_ALL, keyspace_section},
    {"BITCASK", "Bitcask", BY_DEFAULT | IN_ALL, bitcask_section},
};

static bool is_chosen(const struct section *section, const struct command_call *call)
{
    if (call->count == 1)
        return (section->when & BY_DEFAULT) != 0;
    for (size_t i = 1; i < call->count; i++) {
        bitcask_slice word = call->words[i];
        if (word_is(word, section->name) ||
            ((section->when & IN_ALL) && (word_is(word, "ALL") || word_is(word, "EVERYTHING"))) ||
            ((section->when & BY_DEFAULT) && word_is(word, "DEFAULT")))
            return true;
    }
    return false;
}

void cmd_info(struct client *client, const struct command_call *call)
{
    char *text = NULL;
    size_t size = 0, printed = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        reply_error(client, "OOM out of memory");
        return;
    }
    struct info info = {.out = out, .client = client, .server = client->server};
    info.stats.struct_size = sizeof info.stats;
    bitcask_get_stats(client->server->store, &info.stats);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (!is_chosen(&sections[i], call))
            continue;
        fprintf(out, "%s# %s\r\n", printed++ > 0 ? "\r\n" : "", sections[i].title);
        sections[i].print(&info);
    }
    fclose(out);
    reply_verbatim(client, "txt", bitcask_bytes(text, size));
    free(text);
}
