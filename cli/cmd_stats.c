/* SPDX-License-Identifier: MIT
 * cmd_stats.c: stats, of the store and of its segments. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { STATS_SEGMENTS };

static const struct cli_option stats_options[] = {
    [STATS_SEGMENTS] = {"segments", 0, CLI_FLAG, NULL, "a table of the segments"},
    {0},
};

/* ---- The store ----------------------------------------------------------------------------- */

static void print_count(const char *name, uint64_t count)
{
    char text[CLI_UNIT_SIZE];
    printf("%-14s %s\n", name, cli_count_text(text, count));
}

static void print_size(const char *name, uint64_t bytes)
{
    char text[CLI_UNIT_SIZE];
    printf("%-14s %s\n", name, cli_size_text(text, bytes));
}

/* Lines that only a store in trouble has. */
static void print_trouble(struct cli *cli, const bitcask_stats *stats)
{
    const struct {
        const char *name;
        uint64_t count;
    } troubles[] = {
        {"damaged", stats->corrupt_records},
        {"missing", stats->missing_segments},
        {"quarantined", stats->quarantined_bytes},
    };
    static const char *const units[] = {"records", "segments", "bytes"};
    for (size_t i = 0; i < 3; i++) {
        char text[CLI_UNIT_SIZE];
        if (troubles[i].count > 0)
            printf("%s%-14s %s %s%s\n", cli_style(cli, CLI_RED), troubles[i].name,
                   cli_count_text(text, troubles[i].count), units[i], cli_style(cli, CLI_PLAIN));
    }
}

static void print_stats(struct cli *cli, const bitcask_stats *stats)
{
    char text[CLI_UNIT_SIZE];
    uint64_t data = stats->live_bytes + stats->dead_bytes;
    print_count("keys", stats->keys);
    print_count("segments", stats->segments);
    print_size("live data", stats->live_bytes);
    printf("%-14s %s (%.0f%%)\n", "dead data", cli_size_text(text, stats->dead_bytes),
           data == 0 ? 0.0 : 100.0 * (double)stats->dead_bytes / (double)data);
    print_size("on disk", stats->disk_bytes);
    printf("%-14s %s (%.1f bytes a key)\n", "index memory", cli_size_text(text, stats->index_bytes),
           stats->keys == 0 ? 0.0 : (double)stats->index_bytes / (double)stats->keys);
    printf("%-14s %llu\n", "last version", (unsigned long long)stats->last_version);
    printf("%-14s %s, after %s\n", "opened in", cli_duration_text(text, stats->recovery_us),
           stats->clean_open ? "a clean close" : "an unclean stop");
    if (stats->snapshots > 0)
        printf("%-14s %llu, the oldest taken %s ago; %llu old records kept\n", "snapshots",
               (unsigned long long)stats->snapshots,
               cli_duration_text(text, stats->oldest_snapshot_us),
               (unsigned long long)stats->undo_entries);
    static const char *const origins[] = {"new", "from hints", "from its snapshot"};
    if (stats->index_origin < 3)
        printf("%-14s %s\n", "index", origins[stats->index_origin]);
    print_trouble(cli, stats);
}

static int print_stats_json(struct cli *cli, bitcask *db)
{
    bitcask_buffer json = {0};
    bitcask_error error;
    bitcask_status status = bitcask_stats_json(db, &json, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    fwrite(json.data, 1, json.size, stdout);
    putchar('\n');
    bitcask_buffer_free(&json);
    return CLI_DONE;
}

/* ---- Segments ------------------------------------------------------------------------------ */

static const char *state_name(bitcask_segment_state state)
{
    static const char *const names[] = {[BITCASK_SEGMENT_ACTIVE] = "active",
                                        [BITCASK_SEGMENT_SEALING] = "sealing",
                                        [BITCASK_SEGMENT_SEALED] = "sealed",
                                        [BITCASK_SEGMENT_MISSING] = "missing"};
    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void print_segment_json(const bitcask_segment_info *info)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_uint(&json, "id", info->id);
    cli_json_text(&json, "state", state_name(info->state));
    cli_json_time(&json, "created", info->created_us);
    cli_json_time(&json, "sealed", info->sealed_us);
    cli_json_time(&json, "synced", info->synced_us);
    cli_json_uint(&json, "size_bytes", info->size_bytes);
    cli_json_uint(&json, "records", info->records);
    cli_json_uint(&json, "tombstones", info->tombstones);
    cli_json_uint(&json, "live_records", info->live_records);
    cli_json_uint(&json, "live_bytes", info->live_bytes);
    cli_json_uint(&json, "dead_bytes", info->dead_bytes);
    cli_json_uint(&json, "version_min", info->version_min);
    cli_json_uint(&json, "version_max", info->version_max);
    cli_json_bool(&json, "from_merge", info->from_merge);
    cli_json_bool(&json, "has_hint", info->has_hint);
    cli_json_bool(&json, "damaged", info->damaged);
    cli_json_end(&json);
}

/* "2026-11-21 03:29:50", or "-". */
static const char *table_time(char to[CLI_UNIT_SIZE], uint64_t us)
{
    if (us == 0)
        return "-";
    cli_time_text(to, us);
    to[10] = ' ';
    to[19] = '\0';
    return to;
}

static void print_segment(struct cli *cli, const bitcask_segment_info *info)
{
    char created[CLI_UNIT_SIZE], sealed[CLI_UNIT_SIZE], synced[CLI_UNIT_SIZE];
    char size[CLI_UNIT_SIZE], live[CLI_UNIT_SIZE], dead[CLI_UNIT_SIZE];
    bool bad = info->damaged || info->state == BITCASK_SEGMENT_MISSING;
    printf("%s%9llu  %-8s %-19s  %-19s  %-19s  %10llu  %10s  %10s  %10s  %s%s%s%s\n",
           bad ? cli_style(cli, CLI_RED) : "", (unsigned long long)info->id,
           state_name(info->state), table_time(created, info->created_us),
           table_time(sealed, info->sealed_us), table_time(synced, info->synced_us),
           (unsigned long long)info->records, cli_size_text(size, info->size_bytes),
           cli_size_text(live, info->live_bytes), cli_size_text(dead, info->dead_bytes),
           info->from_merge ? "merge " : "", info->has_hint ? "hint " : "",
           info->damaged ? "damaged" : "", bad ? cli_style(cli, CLI_PLAIN) : "");
}

static int print_segments(struct cli *cli, bitcask *db)
{
    size_t capacity = bitcask_get_segments(db, NULL, 0, sizeof(bitcask_segment_info));
    bitcask_segment_info *infos = calloc(capacity + 1, sizeof(*infos));
    if (infos == NULL)
        return cli_fail(cli, BITCASK_NO_MEMORY, NULL);
    size_t count = bitcask_get_segments(db, infos, capacity, sizeof(*infos));
    count = count < capacity ? count : capacity;
    if (!cli->json)
        printf("%s%9s  %-8s %-19s  %-19s  %-19s  %10s  %10s  %10s  %10s  %s%s\n",
               cli_style(cli, CLI_BOLD), "id", "state", "created (UTC)", "sealed", "last synced",
               "records", "size", "live", "dead", "notes", cli_style(cli, CLI_PLAIN));
    for (size_t i = 0; i < count; i++) {
        if (cli->json)
            print_segment_json(&infos[i]);
        else
            print_segment(cli, &infos[i]);
    }
    free(infos);
    return CLI_DONE;
}

static int run_stats(struct cli *cli, const struct cli_args *args)
{
    bitcask *db;
    int exit_code = cli_open_store(cli, CLI_READ, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (args->options[STATS_SEGMENTS].set) {
        exit_code = print_segments(cli, db);
    } else if (cli->json) {
        exit_code = print_stats_json(cli, db);
    } else {
        bitcask_stats stats = {.struct_size = sizeof(stats)};
        bitcask_get_stats(db, &stats);
        print_stats(cli, &stats);
    }
    return cli_close_store(cli, db, exit_code);
}

const struct cli_command cli_command_stats = {
    .name = "stats",
    .summary = "print figures of the store or of its segments",
    .details =
        "With --json an object of all statistics, or with --segments one for each segment.\n",
    .examples = "bitcask stats\n"
                "bitcask stats --segments\n"
                "bitcask --json stats\n",
    .options = stats_options,
    .run = run_stats,
};
