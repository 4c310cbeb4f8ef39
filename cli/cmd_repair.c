/* SPDX-License-Identifier: MIT
 * cmd_repair.c: repair, salvage. */
#include "cli.h"

/* ---- Repair -------------------------------------------------------------------------------- */

enum { REPAIR_DRY_RUN };

static const struct cli_option repair_options[] = {
    [REPAIR_DRY_RUN] = {"dry-run", 'n', CLI_FLAG, NULL, "change nothing, only tell"},
    {0},
};

/* The context of all callbacks: log events want the struct cli. */
struct repair {
    struct cli *cli;
    struct cli_progress bar;
};

static void print_loss_json(const bitcask_loss *loss)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "file", loss->file);
    cli_json_uint(&json, "segment", loss->segment);
    cli_json_uint(&json, "offset", loss->offset);
    cli_json_uint(&json, "bytes", loss->bytes);
    cli_json_text(&json, "what", loss->what);
    if (loss->key.size > 0) {
        cli_json_bytes(&json, "key", loss->key);
        cli_json_bool(&json, "key_certain", loss->key_certain != 0);
        cli_json_uint(&json, "version", loss->version);
        cli_json_uint(&json, "older_version", loss->older_version);
    }
    cli_json_end(&json);
}

/* "city: the value is gone, and an older one shows (000000002.data, 136 bytes at 4096)" */
static int on_loss(void *context, const bitcask_loss *loss)
{
    struct repair *repair = context;
    struct cli *cli = repair->cli;
    cli_progress_finish(&repair->bar);
    if (cli->json) {
        print_loss_json(loss);
        return 0;
    }
    fputs(cli_style(cli, CLI_RED), stdout);
    if (loss->key.size > 0)
        cli_print_escaped(stdout, loss->key);
    else
        fputs("unknown keys", stdout);
    printf("%s: %s (%s, %llu bytes at %llu%s)\n", cli_style(cli, CLI_PLAIN), loss->what, loss->file,
           (unsigned long long)loss->bytes, (unsigned long long)loss->offset,
           loss->key.size > 0 && !loss->key_certain ? "; the key is as the damaged bytes have it"
                                                    : "");
    return 0;
}

static int on_progress(void *context, uint64_t done_bytes, uint64_t total_bytes)
{
    struct repair *repair = context;
    repair->bar.total = total_bytes;
    cli_progress_update(&repair->bar, done_bytes);
    return cli_interrupted();
}

static void on_event(void *context, const bitcask_log_event *event)
{
    struct repair *repair = context;
    cli_log(repair->cli, event);
}

static void print_repair_json(const bitcask_repair_result *result, bool dry_run)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_bool(&json, "dry_run", dry_run);
    cli_json_uint(&json, "segments", result->segments);
    cli_json_uint(&json, "missing_segments", result->missing_segments);
    cli_json_uint(&json, "hints", result->hints);
    cli_json_uint(&json, "records_kept", result->records_kept);
    cli_json_uint(&json, "deletions_kept", result->deletions_kept);
    cli_json_uint(&json, "losses", result->losses);
    cli_json_uint(&json, "bytes_lost", result->bytes_lost);
    cli_json_uint(&json, "quarantined_files", result->quarantined_files);
    cli_json_end(&json);
}

static void print_repair(const bitcask_repair_result *result, bool dry_run)
{
    char losses[CLI_UNIT_SIZE], kept[CLI_UNIT_SIZE], bytes[CLI_UNIT_SIZE];
    if (result->segments + result->missing_segments + result->hints == 0) {
        puts("nothing to repair");
        return;
    }
    printf("%s: %llu damaged segment%s rewritten, %llu missing forgotten, %llu hint%s made anew\n",
           dry_run ? "would repair" : "repaired", (unsigned long long)result->segments,
           result->segments == 1 ? "" : "s", (unsigned long long)result->missing_segments,
           (unsigned long long)result->hints, result->hints == 1 ? "" : "s");
    printf("%s records and %llu damaged deletions kept; %s loss%s, %s unreadable\n",
           cli_count_text(kept, result->records_kept), (unsigned long long)result->deletions_kept,
           cli_count_text(losses, result->losses), result->losses == 1 ? "" : "es",
           cli_size_text(bytes, result->bytes_lost));
    if (result->quarantined_files > 0)
        printf("the originals are in quarantine/ (%llu files)\n",
               (unsigned long long)result->quarantined_files);
}

static int run_repair(struct cli *cli, const struct cli_args *args)
{
    struct repair repair = {.cli = cli};
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    options.dry_run = args->options[REPAIR_DRY_RUN].set;
    options.loss = on_loss;
    options.progress = on_progress;
    options.log = on_event;
    options.log_level = cli->log_level_given ? cli->options.log_level : BITCASK_LOG_ERROR;
    options.context = &repair;
    bitcask_repair_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    cli_progress_start(&repair.bar, cli, "examining", "B", 0);
    bitcask_status status = bitcask_repair(cli->directory, &options, &result, &error);
    cli_progress_finish(&repair.bar);
    if (status == BITCASK_NO_STORE)
        return cli_fail_no_store(cli, cli->directory);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    if (cli->json)
        print_repair_json(&result, options.dry_run);
    else
        print_repair(&result, options.dry_run);
    return result.losses > 0 ? CLI_CORRUPT : CLI_DONE;
}

const struct cli_command cli_command_repair = {
    .name = "repair",
    .closes_store = true,
    .summary = "make a damaged store whole, and say what is lost",
    .details =
        "Keeps every record that can be read, rebuilds hints and manifest, and takes damaged or\n"
        "missing segments out of the store. Prints one line for each key whose newest value is\n"
        "gone: it shows the value before it, or nothing. The damaged files are kept in\n"
        "quarantine/. Can be interrupted and run again. Exit code 4 if anything is lost.\n"
        "\n"
        "Make a copy of the store first if the disk is failing (ddrescue), and repair the copy.\n"
        "A key that is lost may be in a backup: bitcask -d BACKUP get KEY.\n",
    .examples = "bitcask repair --dry-run\n"
                "bitcask repair\n",
    .options = repair_options,
    .run = run_repair,
};

/* ---- Salvage ------------------------------------------------------------------------------- */

enum { SALVAGE_INTO };

static const struct cli_option salvage_options[] = {
    [SALVAGE_INTO] = {"into", 0, CLI_TEXT, "DIRECTORY", "where the new store is made"},
    {0},
};

static int on_file(void *context, const bitcask_salvage_file *file)
{
    struct cli *cli = context;
    char records[CLI_UNIT_SIZE], bytes[CLI_UNIT_SIZE];
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "file", file->path);
        cli_json_uint(&json, "size", file->size);
        cli_json_uint(&json, "segment", file->segment);
        cli_json_uint(&json, "records", file->records);
        cli_json_uint(&json, "deletions", file->deletions);
        cli_json_uint(&json, "bytes_lost", file->bytes_lost);
        cli_json_text(&json, "what", file->what);
        cli_json_end(&json);
        return 0;
    }
    printf("%s: %s records, %s unreadable%s%s\n", file->path,
           cli_count_text(records, file->records), cli_size_text(bytes, file->bytes_lost),
           file->what[0] != '\0' ? ": " : "", file->what);
    return 0;
}

static void print_salvage(struct cli *cli, const bitcask_salvage_result *result, uint64_t keys)
{
    char records[CLI_UNIT_SIZE], key_count[CLI_UNIT_SIZE], bytes[CLI_UNIT_SIZE];
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "files", result->files);
        cli_json_uint(&json, "files_used", result->files_used);
        cli_json_uint(&json, "records", result->records);
        cli_json_uint(&json, "deletions", result->deletions);
        cli_json_uint(&json, "bytes_lost", result->bytes_lost);
        cli_json_uint(&json, "keys", keys);
        cli_json_end(&json);
        return;
    }
    printf("%llu of %llu files, %s records, %s unreadable: %s keys\n",
           (unsigned long long)result->files_used, (unsigned long long)result->files,
           cli_count_text(records, result->records), cli_size_text(bytes, result->bytes_lost),
           cli_count_text(key_count, keys));
}

static int run_salvage(struct cli *cli, const struct cli_args *args)
{
    if (!args->options[SALVAGE_INTO].set)
        return cli_fail_usage(cli, "salvage: --into DIRECTORY says where the new store is made");
    const char *directory = args->options[SALVAGE_INTO].text;
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    options.file = on_file;
    options.context = cli;
    bitcask_salvage_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    bitcask_status status =
        bitcask_salvage((const char *const *)args->operands, args->operand_count, directory,
                        &options, &result, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    bitcask *db;
    int exit_code = cli_open_store_at(cli, directory, CLI_CHANGE, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_stats stats = {.struct_size = sizeof(stats)};
    bitcask_get_stats(db, &stats);
    print_salvage(cli, &result, stats.keys);
    exit_code = result.bytes_lost > 0 ? CLI_CORRUPT : CLI_DONE;
    return cli_close_store(cli, db, exit_code);
}

const struct cli_command cli_command_salvage = {
    .name = "salvage",
    .closes_store = true,
    .summary = "make a new store out of loose data files",
    .usage = "FILE... --into DIRECTORY",
    .details =
        "For files that no store goes with any more: from a broken disk, under any name, of one\n"
        "store or several, with damaged headers and records. Every record that can be read is\n"
        "taken; of each key the newest version counts, deletions too. The files are only read.\n"
        "A .hint beside its .data helps if the header is damaged. Exit code 4 if a part of a\n"
        "file could not be read.\n",
    .examples = "bitcask salvage ./data/000000001.data --into ./salvaged\n"
                "bitcask -d ./salvaged count\n",
    .options = salvage_options,
    .operands_min = 1,
    .operands_max = CLI_ANY,
    .run = run_salvage,
};
