/* SPDX-License-Identifier: MIT
 * cmd_merge.c: merge. */
#include "access.h"
#include "remote_job.h"

enum { MERGE_ALL, MERGE_MIN_DEAD, MERGE_RATE, MERGE_VERBOSE };

static const struct cli_option merge_options[] = {
    [MERGE_ALL] = {"all", 'a', CLI_FLAG, NULL, "every segment, the one being written too"},
    [MERGE_MIN_DEAD] = {"min-dead", 0, CLI_SHARE, "SHARE",
                        "segments with at least this share of dead bytes (default 40%)"},
    [MERGE_RATE] = {"rate", 0, CLI_SIZE, "BYTES",
                    "read and write no more than BYTES a second (default: no limit)"},
    [MERGE_VERBOSE] = {"verbose", 'v', CLI_FLAG, NULL, "print what is done as log events"},
    {0},
};

static int on_progress(void *context, const bitcask_merge_progress *progress)
{
    struct cli_progress *bar = context;
    bar->total = progress->total_bytes;
    cli_progress_update(bar, progress->done_bytes);
    return cli_interrupted();
}

/* The size of a store. disk_bytes alone would mislead: while a store is open it counts the room
 * that is allocated ahead and given back at close. */
struct size {
    uint64_t data; /* bytes of records, live and dead */
    uint64_t disk; /* bytes that its files take up */
};

static struct size size_of(bitcask *db)
{
    bitcask_stats stats = {.struct_size = sizeof(stats)};
    bitcask_get_stats(db, &stats);
    return (struct size){stats.live_bytes + stats.dead_bytes, stats.disk_bytes};
}

static void print_result_json(const bitcask_merge_result *result, struct size before,
                              struct size after)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_uint(&json, "inputs", result->inputs);
    cli_json_uint(&json, "outputs", result->outputs);
    cli_json_uint(&json, "input_bytes", result->input_bytes);
    cli_json_uint(&json, "output_bytes", result->output_bytes);
    cli_json_uint(&json, "records_copied", result->records_copied);
    cli_json_uint(&json, "records_dropped", result->records_dropped);
    cli_json_uint(&json, "tombstones_kept", result->tombstones_kept);
    cli_json_uint(&json, "tombstones_dropped", result->tombstones_dropped);
    cli_json_uint(&json, "duration_us", result->duration_us);
    cli_json_uint(&json, "data_bytes_before", before.data);
    cli_json_uint(&json, "data_bytes_after", after.data);
    cli_json_uint(&json, "disk_bytes_before", before.disk);
    cli_json_uint(&json, "disk_bytes_after", after.disk);
    cli_json_end(&json);
}

static void print_result(const bitcask_merge_result *result, struct size before, struct size after)
{
    char a[CLI_UNIT_SIZE], b[CLI_UNIT_SIZE], c[CLI_UNIT_SIZE];
    if (result->inputs == 0) {
        puts("nothing to merge: no segment has so many dead bytes");
        return;
    }
    printf("merged %llu segment%s into %llu in %s: %s -> %s\n", (unsigned long long)result->inputs,
           result->inputs == 1 ? "" : "s", (unsigned long long)result->outputs,
           cli_duration_text(a, result->duration_us), cli_size_text(b, result->input_bytes),
           cli_size_text(c, result->output_bytes));
    printf("%s records copied, %s dropped", cli_count_text(a, result->records_copied),
           cli_count_text(b, result->records_dropped));
    printf("; %s tombstones kept, %s dropped\n", cli_count_text(a, result->tombstones_kept),
           cli_count_text(b, result->tombstones_dropped));
    printf("the store's data: %s -> %s\n", cli_size_text(a, before.data),
           cli_size_text(b, after.data));
}

static int merge_here(struct cli *cli, bitcask *db, const struct cli_args *args)
{
    int exit_code = CLI_DONE;
    struct cli_progress bar;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = args->options[MERGE_ALL].set;
    if (args->options[MERGE_MIN_DEAD].set)
        options.min_dead = args->options[MERGE_MIN_DEAD].share;
    options.bytes_per_s = args->options[MERGE_RATE].set ? args->options[MERGE_RATE].number : 0;
    options.progress = on_progress;
    options.context = &bar;

    struct size before = size_of(db);
    bitcask_merge_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    cli_progress_start(&bar, cli, "merging", "B", 0);
    bitcask_status status = bitcask_merge(db, &options, &result, &error);
    cli_progress_finish(&bar);
    if (status != BITCASK_OK)
        exit_code = cli_fail(cli, status, &error);
    else if (cli->json)
        print_result_json(&result, before, size_of(db));
    else
        print_result(&result, before, size_of(db));
    return exit_code;
}

/* ---- By the server that has the store ------------------------------------------------------- */

static struct size size_of_remote(struct remote *remote)
{
    const struct remote_reply *reply;
    bitcask_error error;
    struct size size = {0};
    if (remote_ask(remote, &reply, &error, "BC.STATS", NULL) != BITCASK_OK ||
        reply->kind != REMOTE_BYTES)
        return size;
    json_t *stats = json_loadb(reply->bytes.data, reply->bytes.size, 0, NULL);
    size.data = remote_figure(stats, "live_bytes") + remote_figure(stats, "dead_bytes");
    size.disk = remote_figure(stats, "disk_bytes");
    json_decref(stats);
    return size;
}

static int merge_remote(struct cli *cli, struct remote *remote, const struct cli_args *args)
{
    if (args->options[MERGE_MIN_DEAD].set || args->options[MERGE_RATE].set)
        return cli_fail_usage(cli, "a server has the store open: it merges with its own min-dead "
                                   "and rate; --all is possible");
    const bitcask_slice words[] = {bitcask_str("BC.MERGE"), bitcask_str("ALL")};
    struct size before = size_of_remote(remote);
    json_t *figures;
    int exit_code = remote_job(cli, remote, words, args->options[MERGE_ALL].set ? 2 : 1, "merge",
                               "merging", &figures);
    if (exit_code != CLI_DONE)
        return exit_code;
    const bitcask_merge_result result = {
        .inputs = remote_figure(figures, "inputs"),
        .outputs = remote_figure(figures, "outputs"),
        .input_bytes = remote_figure(figures, "input_bytes"),
        .output_bytes = remote_figure(figures, "output_bytes"),
        .records_copied = remote_figure(figures, "records_copied"),
        .records_dropped = remote_figure(figures, "records_dropped"),
        .tombstones_kept = remote_figure(figures, "tombstones_kept"),
        .tombstones_dropped = remote_figure(figures, "tombstones_dropped"),
        .duration_us = remote_figure(figures, "duration_us"),
    };
    json_decref(figures);
    if (cli->json)
        print_result_json(&result, before, size_of_remote(remote));
    else
        print_result(&result, before, size_of_remote(remote));
    return CLI_DONE;
}

static int run_merge(struct cli *cli, const struct cli_args *args)
{
    if (args->options[MERGE_VERBOSE].set && !cli->log_level_given) {
        cli->options.log_level = BITCASK_LOG_INFO;
        cli->log_level_given = true;
    }
    struct access access;
    int exit_code = access_open(cli, CLI_CHANGE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = access.remote != NULL ? merge_remote(cli, access.remote, args)
                                      : merge_here(cli, access.db, args);
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_merge = {
    .name = "merge",
    .summary = "reclaim the space of overwritten, deleted and expired records",
    .details = "Copies what is live out of segments with enough dead bytes and removes them.\n"
               "Stopping it at any moment loses nothing.\n",
    .examples = "bitcask merge\n"
                "bitcask merge --min-dead 20%\n"
                "bitcask merge --rate 10M\n"
                "bitcask merge --all --verbose\n",
    .options = merge_options,
    .run = run_merge,
};
