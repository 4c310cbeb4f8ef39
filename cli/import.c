/* SPDX-License-Identifier: MIT
 * import.c: the command import: items into write batches, acknowledgements out. */
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_FORMAT, OPT_BATCH, OPT_ACK, OPT_SKIP_BAD };

enum {
    BATCH_BYTES_MAX = 32 << 20,
    RECORD_OVERHEAD = 32, /* of a record in the log, generously */
};

/* ---- Messages ------------------------------------------------------------------------------ */

static int store_failed(struct import *import, bitcask_status status, bitcask_error *error,
                        const char *place)
{
    cli_progress_finish(&import->progress);
    bitcask_error full = *error;
    snprintf(full.message, sizeof full.message, "import: %.80s: %.160s", place, error->message);
    return cli_fail(import->cli, status, &full);
}

int import_no_memory(struct import *import, const char *place)
{
    cli_progress_finish(&import->progress);
    return cli_fail_text(import->cli, CLI_STORE, "import: %s: out of memory", place);
}

int import_bad(struct import *import, int exit_code, const char *place, const char *format, ...)
{
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    cli_progress_finish(&import->progress);
    if (import->skip_bad) {
        import->bad++;
        (void)cli_fail_text(import->cli, exit_code, "import: %s: %s: skipped", place, why);
        return CLI_DONE;
    }
    int flushed = import_flush(import, place);
    if (flushed != CLI_DONE)
        return flushed;
    return cli_fail_text(import->cli, exit_code,
                         "import: %s: %s (%" PRIu64 " before it are stored; --skip-bad goes on)",
                         place, why, import->entries);
}

/* ---- Acknowledgements ---------------------------------------------------------------------- */

/* One write(2) for all of them, past stdio: what has been written there survives kill -9, and what
 * is not yet acknowledged is not yet there. */
static int print_acks(struct import *import)
{
    if (import->acks == NULL)
        return CLI_DONE;
    if (fflush(import->acks) != 0)
        return import_no_memory(import, import->source);
    size_t size = (size_t)ftell(import->acks);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(STDOUT_FILENO, import->ack_text + done, size - done);
        if (n < 0 && errno != EINTR)
            return cli_fail_errno(import->cli, "import: print the acknowledgements");
        done += n > 0 ? (size_t)n : 0;
    }
    rewind(import->acks);
    return CLI_DONE;
}

static void note_ack(struct import *import, bitcask_slice key)
{
    if (import->acks == NULL)
        return;
    cli_print_tsv(import->acks, key);
    putc('\n', import->acks);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static size_t batch_room_used(const struct import *import)
{
    return bitcask_batch_size(import->batch) + RECORD_OVERHEAD * bitcask_batch_count(import->batch);
}

int import_flush(struct import *import, const char *place)
{
    bitcask_error error;
    if (bitcask_batch_count(import->batch) > 0) {
        bitcask_status status = bitcask_write(import->db, import->batch, NULL, NULL, &error);
        if (status != BITCASK_OK)
            return store_failed(import, status, &error, place);
    }
    bitcask_batch_clear(import->batch);
    import->entries += import->pending;
    import->pending = 0;
    return print_acks(import);
}

int import_put_now(struct import *import, const char *place, const struct item *item)
{
    int exit_code = import_flush(import, place);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_error error;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = item->expires_us;
    bitcask_status status = bitcask_put(import->db, item->key, item->value, &options, NULL, &error);
    if (status != BITCASK_OK)
        return store_failed(import, status, &error, place);
    import->bytes += item->key.size + item->value.size;
    note_ack(import, item->key);
    return print_acks(import);
}

int import_put(struct import *import, const char *place, const struct item *item)
{
    if (item->key.size + item->value.size > import->batch_bytes / 2)
        return import_put_now(import, place, item);
    bitcask_error error;
    bitcask_status status =
        bitcask_batch_put(import->batch, item->key, item->value, item->expires_us, &error);
    if (status != BITCASK_OK)
        return store_failed(import, status, &error, place);
    import->bytes += item->key.size + item->value.size;
    note_ack(import, item->key);
    return CLI_DONE;
}

int import_delete(struct import *import, const char *place, bitcask_slice key)
{
    bitcask_error error;
    bitcask_status status = bitcask_batch_delete(import->batch, key, &error);
    return status == BITCASK_OK ? CLI_DONE : store_failed(import, status, &error, place);
}

int import_entry_done(struct import *import, const char *place)
{
    import->pending++;
    bool full = import->pending >= import->batch_entries ||
                batch_room_used(import) >= import->batch_bytes / 2;
    return full ? import_flush(import, place) : CLI_DONE;
}

/* ---- The command --------------------------------------------------------------------------- */

/* By name, else by the looks of the source. */
static const char *format_of(const struct cli_args *args, const char *source)
{
    if (args->options[OPT_FORMAT].set)
        return args->options[OPT_FORMAT].text;
    struct stat info;
    if (strcmp(source, "-") != 0 && stat(source, &info) == 0 && S_ISDIR(info.st_mode))
        return "files";
    size_t size = strlen(source);
    return size > 4 && strcmp(source + size - 4, ".tsv") == 0 ? "tsv" : "jsonl";
}

static void report(struct import *import, uint64_t started_us)
{
    uint64_t us = cli_monotonic_us() - started_us;
    if (import->cli->json && import->acks == NULL) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "imported", import->entries);
        cli_json_uint(&json, "bytes", import->bytes);
        cli_json_uint(&json, "bad", import->bad);
        cli_json_uint(&json, "passed_over", import->passed_over);
        cli_json_uint(&json, "duration_us", us);
        cli_json_end(&json);
        return;
    }
    char count[CLI_UNIT_SIZE], size[CLI_UNIT_SIZE], time[CLI_UNIT_SIZE], rate[CLI_UNIT_SIZE];
    double seconds = us > 0 ? (double)us / 1e6 : 1e-6;
    cli_remark(import->cli, "imported %s entries, %s in %s (%s/s)",
               cli_count_text(count, import->entries), cli_size_text(size, import->bytes),
               cli_duration_text(time, us),
               cli_size_text(rate, (uint64_t)((double)import->bytes / seconds)));
    if (import->bad > 0)
        cli_remark(import->cli, "skipped %s bad entries", cli_count_text(count, import->bad));
}

static int read_source(struct import *import, const char *format)
{
    uint64_t started_us = cli_monotonic_us();
    int exit_code = strcmp(format, "files") == 0 ? import_files(import)
                    : strcmp(format, "tsv") == 0 ? import_lines(import, tsv_decode)
                                                 : import_lines(import, jsonl_decode);
    if (exit_code == CLI_DONE)
        exit_code = import_flush(import, import->source);
    cli_progress_finish(&import->progress);
    if (exit_code == CLI_DONE)
        report(import, started_us);
    return exit_code;
}

static int run_import(struct cli *cli, const struct cli_args *args)
{
    struct import import = {.cli = cli, .source = args->operands[0], .batch_entries = 1};
    const char *format = format_of(args, import.source);
    if (strcmp(format, "jsonl") != 0 && strcmp(format, "tsv") != 0 && strcmp(format, "files") != 0)
        return cli_fail_usage(cli, "--format: '%s' is none of jsonl, tsv, files", format);
    if (strcmp(format, "files") == 0 && strcmp(import.source, "-") == 0)
        return cli_fail_usage(cli, "--format files reads a directory, not the standard input");
    if (strcmp(import.source, "-") != 0 && access(import.source, R_OK) != 0)
        return cli_fail_errno(cli, "import: %s", import.source);
    if (args->options[OPT_BATCH].set)
        import.batch_entries = args->options[OPT_BATCH].number;
    if (import.batch_entries == 0)
        return cli_fail_usage(cli, "--batch: at least 1");
    import.skip_bad = args->options[OPT_SKIP_BAD].set;
    import.batch_bytes = cli->options.segment_size / 2 < BATCH_BYTES_MAX
                             ? (size_t)cli->options.segment_size / 2 : BATCH_BYTES_MAX;
    int exit_code = cli_open_store(cli, CLI_BULK, &import.db);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (args->options[OPT_ACK].set)
        import.acks = open_memstream(&import.ack_text, &import.ack_size);
    if ((args->options[OPT_ACK].set && import.acks == NULL) ||
        bitcask_batch_new(&import.batch, NULL) != BITCASK_OK)
        exit_code = import_no_memory(&import, import.source);
    else
        exit_code = read_source(&import, format);
    bitcask_batch_free(import.batch);
    if (import.acks != NULL)
        fclose(import.acks);
    free(import.ack_text);
    return cli_close_store(cli, import.db, exit_code);
}

static const struct cli_option options[] = {
    [OPT_FORMAT] = {"format", 'f', CLI_TEXT, "FORMAT",
                    "jsonl, tsv or files (default: files for a directory, tsv for *.tsv, else "
                    "jsonl)"},
    [OPT_BATCH] = {"batch", 0, CLI_UINT, "N", "write N entries at a time, all or none of them"},
    [OPT_ACK] = {"ack", 0, CLI_FLAG, NULL, "print each key once its write is acknowledged"},
    [OPT_SKIP_BAD] = {"skip-bad", 0, CLI_FLAG, NULL,
                      "report and count malformed entries instead of stopping"},
    {0},
};

const struct cli_command cli_command_import = {
    .name = "import",
    .summary = "store what a file, a directory tree or the standard input holds",
    .usage = "SOURCE | -",
    .details =
        "jsonl  {\"key\":\"k\",\"value\":\"v\",\"expires_at\":\"2030-01-02T03:04:05Z\"} a line;\n"
        "       key_b64 and value_b64 for bytes that are not UTF-8; expires_at may also be\n"
        "       microseconds since 1970\n"
        "tsv    KEY tab VALUE [tab EXPIRES_AT]; escapes \\t \\n \\r \\\\ \\0 \\xHH\n"
        "files  a directory: relative path to content; modes, symbolic links and empty\n"
        "       directories are kept under /.meta/PATH\n"
        "\n"
        "A malformed entry stops the import with its place and exit code 2; all before it is\n"
        "stored. Writes are synced every second (--sync interval) unless --sync says otherwise.\n",
    .examples = "printf 'city\\tUtrecht\\n' | bitcask import --format tsv -\n",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_import,
};
