/* SPDX-License-Identifier: MIT
 * cmd_backup.c: backup. */
#include "cli.h"

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

static int run_backup(struct cli *cli, const struct cli_args *args)
{
    const char *directory = args->operands[0];
    bitcask *db;
    int exit_code = cli_open_store(cli, CLI_ALONE, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
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
        exit_code = cli_fail(cli, status, &error);
    else if (cli->json)
        print_result_json(&result);
    else
        print_result(directory, &result);
    if (status == BITCASK_OK && result.damaged_segments > 0)
        cli_remark(cli,
                   "%llu segments are damaged in the store, and so in the backup: see 'bitcask "
                   "verify' and 'bitcask repair'",
                   (unsigned long long)result.damaged_segments);
    exit_code = cli_close_store(cli, db, exit_code);
    if (exit_code == CLI_DONE && args->options[BACKUP_VERIFY].set)
        exit_code = verify_backup(cli, directory, options.bytes_per_s);
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
