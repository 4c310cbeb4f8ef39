/* SPDX-License-Identifier: MIT
 * import.c: the command import: items into write batches, acknowledgements out. */
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_foreign.h"

enum {
    OPT_FORMAT,
    OPT_BATCH,
    OPT_ACK,
    OPT_SKIP_BAD,
    OPT_DRY_RUN,
    OPT_RIAK_KEYS,
    OPT_VALUE,
};

enum {
    FOREIGN_BATCH = 1000, /* entries, unless --batch says otherwise */
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
    return access_batch_size(&import->batch) + RECORD_OVERHEAD * access_batch_count(&import->batch);
}

int import_flush(struct import *import, const char *place)
{
    bitcask_error error;
    if (access_batch_count(&import->batch) > 0 && !import->dry_run) {
        bitcask_status status = access_batch_write(&import->batch, &error);
        if (status != BITCASK_OK)
            return store_failed(import, status, &error, place);
    }
    access_batch_clear(&import->batch);
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
    /* The store is open so; of a server it is asked for each. */
    options.sync = import->cli->sync_given ? import->cli->options.sync : BITCASK_SYNC_INTERVAL;
    bitcask_status status = import->dry_run ? BITCASK_OK
                                            : access_put(&import->access, item->key, item->value,
                                                         &options, NULL, &error);
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
        access_batch_put(&import->batch, item->key, item->value, item->expires_us, &error);
    if (status != BITCASK_OK)
        return store_failed(import, status, &error, place);
    import->bytes += item->key.size + item->value.size;
    note_ack(import, item->key);
    return CLI_DONE;
}

int import_delete(struct import *import, const char *place, bitcask_slice key)
{
    bitcask_error error;
    bitcask_status status = access_batch_delete(&import->batch, key, &error);
    return status == BITCASK_OK ? CLI_DONE : store_failed(import, status, &error, place);
}

int import_entry_done(struct import *import, const char *place)
{
    import->pending++;
    if (cli_interrupted())
        return cli_fail_interrupted(import->cli);
    bool full = import->pending >= import->batch_entries ||
                batch_room_used(import) >= import->batch_bytes / 2;
    return full ? import_flush(import, place) : CLI_DONE;
}

/* ---- The source ---------------------------------------------------------------------------- */

uint64_t import_key_count(const struct import *import)
{
    uint64_t keys;
    bitcask_error error;
    return access_count(&import->access, &keys, &error) == BITCASK_OK ? keys : 0;
}

static bool is_directory(const char *source)
{
    struct stat info;
    return strcmp(source, "-") != 0 && stat(source, &info) == 0 && S_ISDIR(info.st_mode);
}

/* By the looks of the source. */
static const char *guess_format(const char *source)
{
    if (is_directory(source))
        return "files";
    size_t size = strlen(source);
    return size > 4 && strcmp(source + size - 4, ".tsv") == 0 ? "tsv" : "jsonl";
}

/* The same, and by the names of the files in it. */
static int detect_format(struct cli *cli, const char *source, const char **format)
{
    const struct foreign_layout *found[2];
    size_t count = strcmp(source, "-") == 0 ? 0 : import_foreign_detect(source, found, 2);
    if (count > 1)
        return cli_fail_usage(cli, "import: '%s' has %s and %s: say which by --format", source,
                              found[0]->shown, found[1]->shown);
    *format = count == 1 ? found[0]->name : guess_format(source);
    return CLI_DONE;
}

static int choose_format(struct cli *cli, const struct cli_args *args, const char *source,
                         const char **format)
{
    const struct foreign_layout *found;
    *format = args->options[OPT_FORMAT].text;
    if (args->options[OPT_FORMAT].set && strcmp(*format, "auto") == 0)
        return detect_format(cli, source, format);
    if (!args->options[OPT_FORMAT].set) {
        *format = guess_format(source);
        if (strcmp(*format, "files") == 0 && import_foreign_detect(source, &found, 1) > 0)
            cli_remark(cli, "'%s' has %s: --format %s would import the keys in them", source,
                       found->shown, found->name);
    }
    if (strcmp(*format, "jsonl") != 0 && strcmp(*format, "tsv") != 0 &&
        strcmp(*format, "files") != 0 && foreign_layout_named(*format) == NULL)
        return cli_fail_usage(cli,
                              "--format: '%s' is none of jsonl, tsv, files, riak, pybitcask, "
                              "bitcaskpy, cask, auto",
                              *format);
    return CLI_DONE;
}

/* One of two words. */
static int choose_word(struct cli *cli, const struct cli_value *value, const char *option,
                       const char *no, const char *yes, bool *chosen)
{
    *chosen = value->set && strcmp(value->text, yes) == 0;
    if (!value->set || *chosen || strcmp(value->text, no) == 0)
        return CLI_DONE;
    return cli_fail_usage(cli, "%s: '%s' is neither %s nor %s", option, value->text, no, yes);
}

/* ---- The command --------------------------------------------------------------------------- */

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
    cli_remark(import->cli, "%s %s entries, %s in %s (%s/s)",
               import->dry_run ? "read (and did not store)" : "imported",
               cli_count_text(count, import->entries), cli_size_text(size, import->bytes),
               cli_duration_text(time, us),
               cli_size_text(rate, (uint64_t)((double)import->bytes / seconds)));
    if (import->bad > 0)
        cli_remark(import->cli, "skipped %s bad entries", cli_count_text(count, import->bad));
}

static int read_source(struct import *import, const char *format, struct foreign_source *foreign)
{
    uint64_t started_us = cli_monotonic_us();
    int exit_code = foreign->layout != NULL        ? import_foreign(import, foreign)
                    : strcmp(format, "files") == 0 ? import_files(import)
                    : strcmp(format, "tsv") == 0   ? import_lines(import, tsv_decode)
                                                   : import_lines(import, jsonl_decode);
    if (exit_code == CLI_DONE)
        exit_code = import_flush(import, import->source);
    cli_progress_finish(&import->progress);
    if (exit_code == CLI_DONE && foreign->layout != NULL)
        exit_code = import_foreign_report(import, foreign, started_us);
    else if (exit_code == CLI_DONE)
        report(import, started_us);
    return exit_code;
}

/* With the store open, or for a dry run. */
static int import_into(struct import *import, const char *format, struct foreign_source *foreign,
                       bool ack)
{
    int exit_code;
    import->batch_bytes = import->cli->options.segment_size / 2 < BATCH_BYTES_MAX
                              ? (size_t)import->cli->options.segment_size / 2 : BATCH_BYTES_MAX;
    if (ack)
        import->acks = open_memstream(&import->ack_text, &import->ack_size);
    if ((ack && import->acks == NULL) ||
        access_batch_init(&import->batch, &import->access, NULL) != BITCASK_OK)
        exit_code = import_no_memory(import, import->source);
    else
        exit_code = read_source(import, format, foreign);
    access_batch_release(&import->batch);
    if (import->acks != NULL)
        fclose(import->acks);
    free(import->ack_text);
    return exit_code;
}

/* What may be wrong before a store is made. */
static int check_options(struct import *import, const struct cli_args *args, const char *format,
                         struct foreign_source *foreign)
{
    struct cli *cli = import->cli;
    bool standard = strcmp(import->source, "-") == 0;
    int exit_code = choose_word(cli, &args->options[OPT_RIAK_KEYS], "--riak-keys", "raw", "decoded",
                                &foreign->decoder.decoded_keys);
    if (exit_code == CLI_DONE)
        exit_code = choose_word(cli, &args->options[OPT_VALUE], "--value", "json", "text",
                                &foreign->decoder.text_values);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (args->options[OPT_RIAK_KEYS].set && strcmp(format, "riak") != 0)
        return cli_fail_usage(cli, "--riak-keys is for --format riak");
    if (args->options[OPT_VALUE].set && strcmp(format, "pybitcask") != 0)
        return cli_fail_usage(cli, "--value is for --format pybitcask");
    if (args->options[OPT_DRY_RUN].set && args->options[OPT_ACK].set)
        return cli_fail_usage(cli, "--dry-run acknowledges nothing: leave out --ack");
    if (standard && (foreign->layout != NULL || strcmp(format, "files") == 0))
        return cli_fail_usage(cli, "--format %s reads a directory, not the standard input", format);
    if (import->batch_entries == 0)
        return cli_fail_usage(cli, "--batch: at least 1");
    if (!standard && access(import->source, R_OK) != 0)
        return cli_fail_errno(cli, "import: %s", import->source);
    return CLI_DONE;
}

static int run_import(struct cli *cli, const struct cli_args *args)
{
    struct import import = {.cli = cli, .source = args->operands[0], .batch_entries = 1};
    struct foreign_source foreign = {.directory = -1};
    const char *format;
    int exit_code = choose_format(cli, args, import.source, &format);
    if (exit_code != CLI_DONE)
        return exit_code;
    foreign.layout = foreign_layout_named(format);
    if (args->options[OPT_BATCH].set)
        import.batch_entries = args->options[OPT_BATCH].number;
    else if (foreign.layout != NULL)
        import.batch_entries = FOREIGN_BATCH;
    import.skip_bad = args->options[OPT_SKIP_BAD].set;
    import.dry_run = args->options[OPT_DRY_RUN].set;
    exit_code = check_options(&import, args, format, &foreign);
    if (exit_code == CLI_DONE && foreign.layout != NULL)
        exit_code = import_foreign_open(&import, &foreign);
    if (exit_code == CLI_DONE && !import.dry_run)
        exit_code = access_open(cli, CLI_BULK, &import.access);
    if (exit_code == CLI_DONE)
        exit_code = import_into(&import, format, &foreign, args->options[OPT_ACK].set);
    import_foreign_close(&foreign);
    bool open = import.access.db != NULL || import.access.remote != NULL;
    return open ? access_close(&import.access, exit_code) : exit_code;
}

static const struct cli_option options[] = {
    [OPT_FORMAT] = {"format", 'f', CLI_TEXT, "FORMAT",
                    "jsonl, tsv, files, riak, pybitcask, bitcaskpy, cask or auto (default: files "
                    "for a directory, tsv for *.tsv, else jsonl; auto: also by the files in it)"},
    [OPT_BATCH] = {"batch", 0, CLI_UINT, "N",
                   "write N entries at a time, all or none of them (default: 1; 1000 for the logs "
                   "of others)"},
    [OPT_ACK] = {"ack", 0, CLI_FLAG, NULL, "print each key once its write is acknowledged"},
    [OPT_SKIP_BAD] = {"skip-bad", 0, CLI_FLAG, NULL,
                      "report and count malformed entries instead of stopping"},
    [OPT_DRY_RUN] = {"dry-run", 'n', CLI_FLAG, NULL,
                     "read and check everything, store nothing, make no store"},
    [OPT_RIAK_KEYS] = {"riak-keys", 0, CLI_TEXT, "raw|decoded",
                       "riak: keys as the bytes they are (default), or as BUCKET/KEY and "
                       "TYPE/BUCKET/KEY"},
    [OPT_VALUE] = {"value", 0, CLI_TEXT, "json|text",
                   "pybitcask: values as the JSON they are (default), or JSON strings as their "
                   "text"},
    {0},
};

const struct cli_command cli_command_import = {
    .name = "import",
    .summary = "store what a file, a directory tree or another Bitcask holds",
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
        "stored. Writes are synced every second (--sync interval) unless --sync says otherwise.\n"
        "\n"
        "The directory of another Bitcask, which is only read (docs/IMPORT.md):\n"
        "riak       N.bitcask.data of Riak 2.x, of one partition; values are Riak's objects as\n"
        "           they are\n"
        "pybitcask  data_N.db, protobuf and JSON\n"
        "bitcaskpy  segment_N.log\n"
        "cask       cask.N, the plain layout that export --format cask writes\n"
        "Files in the order of their numbers; the last record of a key counts, a tombstone "
        "deletes\n"
        "the key, here too. A record with a bad checksum is passed over, a torn file is read up "
        "to\n"
        "the tear; both are reported with their place and counted, and the exit code is 4.\n",
    .examples =
        "printf 'city\\tUtrecht\\n' | bitcask import --format tsv -\n"
        "bitcask export --format cask plain && bitcask -d other import --format cask plain\n",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_import,
};
