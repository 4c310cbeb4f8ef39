/* SPDX-License-Identifier: MIT
 * cmd_backup.c: backup. */
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "remote_job.h"

enum { BACKUP_RATE, BACKUP_COPY, BACKUP_VERIFY };

static const struct cli_option backup_options[] = {
    [BACKUP_RATE] = {"rate", 0, CLI_SIZE, "BYTES", "copy no more than BYTES a second (10M)"},
    [BACKUP_COPY] = {"copy", 0, CLI_FLAG, NULL, "share no file with the store: copy, do not link"},
    [BACKUP_VERIFY] = {"verify", 0, CLI_FLAG, NULL, "then open the backup and check all of it"},
    {0},
};

static int on_progress(void *context, const bitcask_backup_progress *progress)
{
    struct cli_progress *bar = context;
    bar->total = progress->total_bytes;
    cli_progress_update(bar, progress->done_bytes);
    return cli_interrupted();
}

static void print_result_json(const bitcask_backup_result *result)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_uint(&json, "segments", result->segments);
    cli_json_uint(&json, "linked", result->linked);
    cli_json_uint(&json, "copied", result->copied);
    cli_json_uint(&json, "reused", result->reused);
    cli_json_uint(&json, "removed", result->removed);
    cli_json_uint(&json, "copied_bytes", result->copied_bytes);
    cli_json_uint(&json, "damaged_segments", result->damaged_segments);
    cli_json_uint(&json, "last_version", result->last_version);
    cli_json_uint(&json, "duration_us", result->duration_us);
    cli_json_end(&json);
}

static void print_result(const char *directory, const bitcask_backup_result *result)
{
    char bytes[CLI_UNIT_SIZE], time[CLI_UNIT_SIZE];
    printf("%s: %llu segment%s: %llu linked, %llu copied, %llu there already, %llu removed; %s "
           "written in %s\n",
           directory, (unsigned long long)result->segments, result->segments == 1 ? "" : "s",
           (unsigned long long)result->linked, (unsigned long long)result->copied,
           (unsigned long long)result->reused, (unsigned long long)result->removed,
           cli_size_text(bytes, result->copied_bytes),
           cli_duration_text(time, result->duration_us));
}

/* Check the backup as the store that it is. */
static int verify_backup(struct cli *cli, const char *directory, uint64_t bytes_per_s)
{
    bitcask *db;
    int exit_code = cli_open_store_at(cli, directory, CLI_ALONE, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.bytes_per_s = bytes_per_s;
    bitcask_verify_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    bitcask_status status = bitcask_verify(db, &options, &result, &error);
    if (status == BITCASK_CORRUPT)
        exit_code =
            cli_fail_text(cli, CLI_CORRUPT, "the backup is damaged: %s; see 'bitcask -d %s verify'",
                          error.message, directory);
    else if (status != BITCASK_OK)
        exit_code = cli_fail(cli, status, &error);
    else
        cli_remark(cli, "verified: %llu records, no damage", (unsigned long long)result.records);
    return cli_close_store(cli, db, exit_code);
}

static void report(struct cli *cli, const char *directory, const bitcask_backup_result *result)
{
    if (cli->json)
        print_result_json(result);
    else
        print_result(directory, result);
    if (result->damaged_segments > 0)
        cli_remark(cli,
                   "%llu segments are damaged in the store, and so in the backup: see 'bitcask "
                   "verify' and 'bitcask repair'",
                   (unsigned long long)result->damaged_segments);
}

static int backup_here(struct cli *cli, bitcask *db, const struct cli_args *args)
{
    const char *directory = args->operands[0];
    struct cli_progress bar;
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.bytes_per_s = args->options[BACKUP_RATE].number;
    options.copy = args->options[BACKUP_COPY].set;
    options.progress = on_progress;
    options.context = &bar;
    bitcask_backup_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    cli_progress_start(&bar, cli, "backing up", "B", 0);
    bitcask_status status = bitcask_backup(db, directory, &options, &result, &error);
    cli_progress_finish(&bar);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    report(cli, directory, &result);
    return CLI_DONE;
}

/* The server that has the store writes it: to a path that does not depend on where it stands. */
static int backup_remote(struct cli *cli, struct remote *remote, const struct cli_args *args)
{
    const char *directory = args->operands[0];
    if (args->options[BACKUP_RATE].set || args->options[BACKUP_COPY].set)
        return cli_fail_usage(cli, "a server has the store open and makes the backup: it takes "
                                   "neither --rate nor --copy");
    char path[4096];
    char *here = directory[0] == '/' ? NULL : realpath(".", NULL);
    int size = directory[0] == '/'
                   ? snprintf(path, sizeof path, "%s", directory)
                   : snprintf(path, sizeof path, "%s/%s", here != NULL ? here : "", directory);
    bool good = size > 0 && (size_t)size < sizeof path && (directory[0] == '/' || here != NULL);
    free(here);
    if (!good)
        return cli_fail_text(cli, CLI_STORE, "%s: the path is too long", directory);
    const bitcask_slice words[] = {bitcask_str("BC.BACKUP"), bitcask_str(path)};
    json_t *figures;
    int exit_code = remote_job(cli, remote, words, 2, "backup", "backing up", &figures);
    if (exit_code != CLI_DONE)
        return exit_code;
    const bitcask_backup_result result = {
        .segments = remote_figure(figures, "segments"),
        .linked = remote_figure(figures, "linked"),
        .copied = remote_figure(figures, "copied"),
        .reused = remote_figure(figures, "reused"),
        .removed = remote_figure(figures, "removed"),
        .copied_bytes = remote_figure(figures, "copied_bytes"),
        .damaged_segments = remote_figure(figures, "damaged_segments"),
        .last_version = remote_figure(figures, "last_version"),
        .duration_us = remote_figure(figures, "duration_us"),
    };
    json_decref(figures);
    report(cli, directory, &result);
    return CLI_DONE;
}

static int run_backup(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_ALONE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = access.remote != NULL ? backup_remote(cli, access.remote, args)
                                      : backup_here(cli, access.db, args);
    exit_code = access_close(&access, exit_code);
    if (exit_code == CLI_DONE && args->options[BACKUP_VERIFY].set)
        exit_code = verify_backup(cli, args->operands[0], args->options[BACKUP_RATE].number);
    return exit_code;
}

const struct cli_command cli_command_backup = {
    .name = "backup",
    .summary = "make a consistent copy of the store, or bring one up to date",
    .usage = "DIRECTORY",
    .details =
        "DIRECTORY becomes a store like this one. Sealed segments never change, so on one file\n"
        "system they are hard links and take neither time nor space; elsewhere they are copied.\n"
        "Run again with the same DIRECTORY, it brings only what is new. Interrupted, it leaves\n"
        "the backup of before, or one that cannot be opened and that the next run completes.\n"
        "\n"
        "To restore, copy the backup to its place (cp -a --reflink=never) and open it. A backup\n"
        "that has been opened for writing is a store of its own: it is not brought up to date\n"
        "any more. A program that has the store open for writing makes the backup itself\n"
        "(bitcask_backup).\n",
    .examples = "bitcask backup ./backup\n"
                "bitcask backup ./backup --rate 50M --verify\n"
                "bitcask -d ./backup count\n",
    .options = backup_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_backup,
};
