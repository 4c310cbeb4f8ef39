/* SPDX-License-Identifier: MIT
 * export.c: the command export: the contents of a store as lines or as files. */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_FORMAT, OPT_PREFIX, OPT_OUTPUT, OPT_FILE_SIZE };

/* ---- The walk ------------------------------------------------------------------------------ */

static void report_damage(struct export *export, const bitcask_error *error)
{
    export->damaged++;
    cli_progress_finish(&export->progress);
    bitcask_error full = *error;
    snprintf(full.message, sizeof full.message, "export: passed over an entry: %.220s",
             error->message);
    (void)cli_fail(export->cli, BITCASK_CORRUPT, &full);
}

static int walk(struct export *export, bitcask_iterator *iterator, export_fn *each, void *context)
{
    for (;;) {
        bitcask_entry entry;
        bitcask_error error;
        bitcask_status status = bitcask_iterator_next(iterator, &entry, &error);
        if (status == BITCASK_END)
            return CLI_DONE;
        if (status == BITCASK_CORRUPT) {
            report_damage(export, &error);
            continue;
        }
        if (status != BITCASK_OK)
            return cli_fail(export->cli, status, &error);
        int exit_code = each(export, context, &entry);
        if (exit_code != CLI_DONE)
            return exit_code;
    }
}

int export_walk(struct export *export, bitcask_slice prefix, int what, export_fn *each,
                void *context)
{
    bitcask_error error;
    bitcask_iterator *iterator;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = export->snapshot;
    bitcask_status status =
        bitcask_iterator_new(export->db, &options, prefix, what, &iterator, &error);
    if (status != BITCASK_OK)
        return cli_fail(export->cli, status, &error);
    int exit_code = walk(export, iterator, each, context);
    bitcask_iterator_free(iterator);
    return exit_code;
}

/* ---- Lines --------------------------------------------------------------------------------- */

struct line_sink {
    FILE *out;
    line_encode_fn *encode;
};

static int export_line(struct export *export, void *context, const bitcask_entry *entry)
{
    struct line_sink *sink = context;
    struct item item = {entry->key, entry->value, entry->meta.expires_us};
    sink->encode(sink->out, &item);
    if (ferror(sink->out))
        return cli_fail_errno(export->cli, "export: write '%s'",
                              export->output != NULL ? export->output : "-");
    export->entries++;
    export->bytes += entry->key.size + entry->value.size;
    cli_progress_update(&export->progress, export->entries);
    return cli_interrupted() ? cli_fail_interrupted(export->cli) : CLI_DONE;
}

/* An export that stands under its name is whole: it is written beside it and renamed. Devices and
 * pipes are written as they are. */
static char *temporary_name(const char *output)
{
    struct stat info;
    char *name = NULL;
    if (lstat(output, &info) == 0 && !S_ISREG(info.st_mode))
        name = strdup(output);
    else if (asprintf(&name, "%s.partial", output) < 0)
        name = NULL;
    return name;
}

static int finish_file(struct export *export, FILE *out, const char *name, int exit_code)
{
    bool temporary = strcmp(name, export->output) != 0;
    bool ok = fflush(out) == 0 && (!temporary || fsync(fileno(out)) == 0);
    ok = fclose(out) == 0 && ok;
    if (exit_code == CLI_DONE && !ok)
        exit_code = cli_fail_errno(export->cli, "export: write '%s'", name);
    if (exit_code == CLI_DONE && temporary && rename(name, export->output) != 0)
        exit_code = cli_fail_errno(export->cli, "export: rename '%s'", name);
    if (exit_code != CLI_DONE && temporary)
        (void)unlink(name);
    return exit_code;
}

static int export_lines(struct export *export, line_encode_fn *encode)
{
    struct line_sink sink = {stdout, encode};
    if (export->output == NULL)
        return export_walk(export, export->prefix, BITCASK_VALUES, export_line, &sink);
    char *name = temporary_name(export->output);
    int fd = name == NULL ? -1 : open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    sink.out = fd < 0 ? NULL : fdopen(fd, "w");
    if (sink.out == NULL) {
        int exit_code = cli_fail_errno(export->cli, "export: make '%s'", export->output);
        if (fd >= 0)
            close(fd);
        free(name);
        return exit_code;
    }
    int exit_code = export_walk(export, export->prefix, BITCASK_VALUES, export_line, &sink);
    exit_code = finish_file(export, sink.out, name, exit_code);
    free(name);
    return exit_code;
}

/* ---- The command --------------------------------------------------------------------------- */

static uint64_t key_count(bitcask *db)
{
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(db, &stats);
    return stats.keys;
}

static int report(struct export *export, uint64_t started_us)
{
    char count[CLI_UNIT_SIZE], size[CLI_UNIT_SIZE], time[CLI_UNIT_SIZE];
    if (export->output != NULL)
        cli_remark(export->cli, "exported %s entries, %s in %s",
                   cli_count_text(count, export->entries), cli_size_text(size, export->bytes),
                   cli_duration_text(time, cli_monotonic_us() - started_us));
    if (export->damaged > 0)
        return cli_fail_text(export->cli, CLI_CORRUPT,
                             "export: %" PRIu64 " damaged entries are missing (see bitcask verify)",
                             export->damaged);
    if (export->refused > 0)
        return cli_fail_text(export->cli, CLI_STORE,
                             "export: %" PRIu64 " keys are missing (--format jsonl takes any key)",
                             export->refused);
    return CLI_DONE;
}

static int write_output(struct export *export, const char *format)
{
    uint64_t started_us = cli_monotonic_us();
    cli_progress_start(&export->progress, export->cli, "exporting", "keys",
                       export->prefix.size == 0 ? key_count(export->db) : 0);
    if (export->output == NULL && export->cli->stdout_tty)
        export->cli->quiet = true; /* the lines themselves show the progress */
    int exit_code = strcmp(format, "files") == 0  ? export_files(export)
                    : strcmp(format, "cask") == 0 ? export_cask(export)
                    : strcmp(format, "tsv") == 0  ? export_lines(export, tsv_encode)
                                                  : export_lines(export, jsonl_encode);
    cli_progress_finish(&export->progress);
    return exit_code == CLI_DONE ? report(export, started_us) : exit_code;
}

static int run_export(struct cli *cli, const struct cli_args *args)
{
    struct export export = {.cli = cli, .prefix = bitcask_str("")};
    const char *format = "jsonl";
    if (args->options[OPT_OUTPUT].set)
        export.output = args->options[OPT_OUTPUT].text;
    if (args->operand_count == 1) {
        if (export.output != NULL)
            return cli_fail_usage(cli, "export: the output is given twice");
        export.output = args->operands[0];
    }
    if (export.output != NULL && strcmp(export.output, "-") == 0)
        export.output = NULL;
    size_t size = export.output == NULL ? 0 : strlen(export.output);
    if (args->options[OPT_FORMAT].set)
        format = args->options[OPT_FORMAT].text;
    else if (size > 4 && strcmp(export.output + size - 4, ".tsv") == 0)
        format = "tsv";
    bool directory = strcmp(format, "files") == 0 || strcmp(format, "cask") == 0;
    if (strcmp(format, "jsonl") != 0 && strcmp(format, "tsv") != 0 && !directory)
        return cli_fail_usage(cli, "--format: '%s' is none of jsonl, tsv, files, cask", format);
    if (directory && export.output == NULL)
        return cli_fail_usage(cli, "--format %s needs a directory to make: -o DIR", format);
    if (args->options[OPT_FILE_SIZE].set && strcmp(format, "cask") != 0)
        return cli_fail_usage(cli, "--file-size is for --format cask");
    export.file_size =
        args->options[OPT_FILE_SIZE].set ? args->options[OPT_FILE_SIZE].number : UINT64_C(1) << 30;
    if (args->options[OPT_PREFIX].set)
        export.prefix = bitcask_str(args->options[OPT_PREFIX].text);
    int exit_code = cli_open_store(cli, CLI_READ, &export.db);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_error error;
    bitcask_status status = bitcask_snapshot_new(export.db, &export.snapshot, &error);
    exit_code =
        status == BITCASK_OK ? write_output(&export, format) : cli_fail(cli, status, &error);
    bitcask_snapshot_free(export.snapshot);
    return cli_close_store(cli, export.db, exit_code);
}

static const struct cli_option options[] = {
    [OPT_FORMAT] = {"format", 'f', CLI_TEXT, "FORMAT",
                    "jsonl, tsv, files or cask (default: tsv for *.tsv, else jsonl)"},
    [OPT_PREFIX] = {"prefix", 'p', CLI_TEXT, "PREFIX", "only the keys that begin with PREFIX"},
    [OPT_OUTPUT] = {"output", 'o', CLI_TEXT, "FILE|DIR",
                    "write there; for files and cask a directory, new or empty"},
    [OPT_FILE_SIZE] = {"file-size", 0, CLI_SIZE, "SIZE",
                       "cask: begin a new file before one gets larger (default: 1G); a larger "
                       "record has a file of its own"},
    {0},
};

const struct cli_command cli_command_export = {
    .name = "export",
    .summary = "print all keys and values, or make files of them",
    .usage = "[-o FILE | DIR]",
    .details =
        "The formats are those of import, which reads back what export writes. The order is\n"
        "that of the index: none in particular. With --format files each key becomes a file\n"
        "below DIR; nothing is ever made outside DIR, and keys that are no relative path are\n"
        "reported and left out. With --format cask DIR gets cask.1, cask.2 ... with their hints\n"
        "(docs/IMPORT.md); a time to live is lost in them, and counted.\n",
    .examples = "bitcask export -o backup.jsonl\n",
    .options = options,
    .operands_max = 1,
    .run = run_export,
};
