/* SPDX-License-Identifier: MIT
 * cmd_verify.c: verify, of an open store or of one file by itself. */
#include <stdlib.h>
#include <unistd.h>

#include "access.h"
#include "format/names.h"
#include "inspect.h"
#include "remote_job.h"

enum { VERIFY_FILE, VERIFY_RATE };

static const struct cli_option verify_options[] = {
    [VERIFY_FILE] = {"file", 'f', CLI_TEXT, "FILE",
                     "only this data, hint or MANIFEST file; opens no store"},
    [VERIFY_RATE] = {"rate", 0, CLI_SIZE, "BYTES", "read no more than BYTES a second (10M)"},
    {0},
};

/* ---- What is printed ----------------------------------------------------------------------- */

static void print_finding_json(const bitcask_finding *finding)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "file", finding->file);
    if (finding->segment != 0)
        cli_json_uint(&json, "segment", finding->segment);
    cli_json_uint(&json, "offset", finding->offset);
    cli_json_uint(&json, "bytes", finding->bytes);
    cli_json_text(&json, "what", finding->what);
    if (finding->note)
        cli_json_bool(&json, "note", true);
    if (finding->key.size > 0)
        cli_json_bytes(&json, "key", finding->key);
    cli_json_end(&json);
}

/* "000000001.data: 136 bytes at 4096: bad checksum (key city)" */
static void print_finding(struct cli *cli, const bitcask_finding *finding)
{
    if (cli->json) {
        print_finding_json(finding);
        return;
    }
    if (finding->note) {
        printf("note: %s: %s\n", finding->file, finding->what);
        return;
    }
    printf("%s%s%s: %llu bytes at %llu: %s", cli_style(cli, CLI_RED), finding->file,
           cli_style(cli, CLI_PLAIN), (unsigned long long)finding->bytes,
           (unsigned long long)finding->offset, finding->what);
    if (finding->key.size > 0) {
        fputs(" (key ", stdout);
        cli_print_escaped(stdout, finding->key);
        putchar(')');
    }
    putchar('\n');
}

static int print_totals(struct cli *cli, const bitcask_verify_result *result)
{
    char files[CLI_UNIT_SIZE], records[CLI_UNIT_SIZE], bytes[CLI_UNIT_SIZE];
    char findings[CLI_UNIT_SIZE];
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "files", result->files);
        cli_json_uint(&json, "records", result->records);
        cli_json_uint(&json, "bytes", result->bytes);
        cli_json_uint(&json, "findings", result->findings);
        cli_json_uint(&json, "damaged_bytes", result->damaged_bytes);
        cli_json_uint(&json, "notes", result->notes);
        cli_json_end(&json);
    } else {
        printf("%s file%s, %s records, %s checked: ", cli_count_text(files, result->files),
               result->files == 1 ? "" : "s", cli_count_text(records, result->records),
               cli_size_text(bytes, result->bytes));
        if (result->findings == 0)
            puts("no damage");
        else
            printf("%s finding%s, %s affected\n", cli_count_text(findings, result->findings),
                   result->findings == 1 ? "" : "s", cli_size_text(bytes, result->damaged_bytes));
    }
    return result->findings == 0 ? CLI_DONE : CLI_CORRUPT;
}

/* ---- One file ------------------------------------------------------------------------------ */

struct check {
    struct cli *cli;
    const struct inspect_file *file;
    uint64_t segment; /* 0: the file is none */
    bitcask_verify_result result;
};

static void found(struct check *check, uint64_t offset, uint64_t bytes, const char *what)
{
    bitcask_finding finding = {.file = check->file->name,
                               .segment = check->segment,
                               .offset = offset,
                               .bytes = bytes,
                               .what = what};
    print_finding(check->cli, &finding);
    check->result.findings++;
    check->result.damaged_bytes += bytes;
}

/* The end of what must be good: a bad record below it is damage, one above it is a write that was
 * interrupted, which the next open cuts off. */
static uint64_t find_watermark(const struct inspect_segment *segment)
{
    uint64_t watermark = segment->length_known ? segment->entry.length : 0;
    struct inspect_walk walk;
    struct inspect_piece piece;
    inspect_walk_start(&walk, segment);
    for (inspect_walk_next(&walk, &piece); piece.kind != PIECE_END;
         inspect_walk_next(&walk, &piece)) {
        struct meta_sync sync;
        if (piece.kind != PIECE_RECORD || (piece.record.flags & RECORD_META) == 0)
            continue;
        if (meta_kind_of(piece.record.value) == META_SEAL && piece.offset > watermark)
            watermark = piece.offset;
        if (meta_sync_decode(piece.record.value, &sync) == BITCASK_OK &&
            sync.segment == segment->id && sync.offset > watermark)
            watermark = sync.offset;
    }
    return watermark;
}

/* The figures that a SEAL record states must be those of the records in front of it. */
static void check_seal(struct check *check, const struct inspect_piece *piece, uint64_t records)
{
    struct meta_seal seal;
    if (meta_kind_of(piece->record.value) != META_SEAL)
        return;
    if (meta_seal_decode(piece->record.value, &seal) != BITCASK_OK)
        found(check, piece->offset, piece->size, "the SEAL record is malformed");
    else if (seal.length != piece->offset)
        found(check, piece->offset, piece->size, "the SEAL record states another length");
    else if (seal.records != records)
        found(check, piece->offset, piece->size,
              "the SEAL record states another number of records");
}

static void check_records(struct check *check, const struct inspect_segment *segment)
{
    uint64_t watermark = find_watermark(segment), records = 0;
    struct inspect_walk walk;
    struct inspect_piece piece;
    inspect_walk_start(&walk, segment);
    for (inspect_walk_next(&walk, &piece); piece.kind != PIECE_END;
         inspect_walk_next(&walk, &piece)) {
        bool below = piece.offset < watermark;
        if (piece.kind == PIECE_RECORD && (piece.record.flags & RECORD_META) == 0)
            records++;
        else if (piece.kind == PIECE_RECORD)
            check_seal(check, &piece, records);
        else if (piece.kind == PIECE_BAD && below)
            found(check, piece.offset, piece.size, piece.why);
        else if (piece.kind == PIECE_BAD && !segment->length_known)
            cli_remark(check->cli,
                       "%s: %llu bytes at %llu are no record: a write that was interrupted, which "
                       "the next open cuts off",
                       check->file->name, (unsigned long long)piece.size,
                       (unsigned long long)piece.offset);
        else if (piece.kind == PIECE_ZEROS && below)
            found(check, piece.offset, watermark - piece.offset, "zeros inside the log");
    }
    if (segment->file->size < watermark)
        found(check, segment->file->size, watermark - segment->file->size,
              "the file is shorter than what was written to it");
    check->result.records = records;
}

static void check_data(struct check *check, struct inspect_file *file)
{
    struct inspect_segment segment;
    inspect_segment(file, &segment);
    check->segment = segment.id;
    if (segment.header_status == BITCASK_FORMAT) {
        found(check, 0, file->size, "written in a format newer than this program knows");
        return;
    }
    if (segment.header_status != BITCASK_OK)
        found(check, 0, file->size < SEGMENT_HEADER_SIZE ? file->size : SEGMENT_HEADER_SIZE,
              "the segment's header is damaged");
    else if (file->id != 0 && file->id != segment.header.segment_id)
        found(check, 0, SEGMENT_HEADER_SIZE, "the segment's header has another number");
    if (segment.salt_known)
        check_records(check, &segment);
    else
        found(check, 0, file->size,
              "its records cannot be checked: no MANIFEST beside it knows this segment");
}

static void check_hint(struct check *check, const struct inspect_file *file)
{
    struct hint hint;
    const char *why = "damaged";
    bitcask_status status = hint_open(slice_of(file->bytes, file->size), &hint, &why);
    if (status == BITCASK_FORMAT) {
        found(check, 0, file->size, "written in a format newer than this program knows");
        return;
    }
    if (status == BITCASK_OK) {
        check->segment = hint.header.segment_id;
        check->result.records = hint.header.entries;
        status = hint_check_all(&hint, &why);
    }
    if (status != BITCASK_OK)
        found(check, 0, file->size, why);
    else if (file->id != 0 && file->id != hint.header.segment_id)
        found(check, 0, HINT_HEADER_SIZE, "it is the hint of another segment");
}

static void check_listed_files(struct check *check, const struct manifest *manifest)
{
    int directory = (int)(check->file->name - check->file->path);
    for (size_t i = 0; i < manifest->segment_count; i++) {
        const struct manifest_segment *segment = &manifest->segments[i];
        char name[NAME_SIZE], path[4096];
        name_data(name, segment->id);
        int size = snprintf(path, sizeof(path), "%.*s%s", directory, check->file->path, name);
        check->segment = segment->id;
        if (size > 0 && (size_t)size < sizeof(path) && access(path, F_OK) != 0)
            found(check, 0, segment->length, "the manifest names a segment whose file is missing");
    }
    check->segment = 0;
}

static void check_manifest(struct check *check, const struct inspect_file *file)
{
    struct manifest manifest;
    const char *why = "damaged";
    bitcask_status status = manifest_decode(slice_of(file->bytes, file->size), &manifest, &why);
    if (status == BITCASK_OK) {
        check->result.records = manifest.segment_count;
        check_listed_files(check, &manifest);
        manifest_release(&manifest);
        return;
    }
    found(check, 0, file->size,
          status == BITCASK_FORMAT ? "written in a format newer than this program knows" : why);
}

static int verify_file(struct cli *cli, const char *path)
{
    struct inspect_file file;
    int exit_code = inspect_open(cli, path, &file);
    if (exit_code != CLI_DONE)
        return exit_code;
    struct check check = {.cli = cli, .file = &file, .result = {.files = 1, .bytes = file.size}};
    switch (file.kind) {
    case INSPECT_DATA:
        check_data(&check, &file);
        break;
    case INSPECT_HINT:
        check_hint(&check, &file);
        break;
    case INSPECT_MANIFEST:
        check_manifest(&check, &file);
        break;
    }
    exit_code = print_totals(cli, &check.result);
    inspect_close(&file);
    return exit_code;
}

/* ---- The store ----------------------------------------------------------------------------- */

struct walk {
    struct cli *cli;
    struct cli_progress bar;
};

static int on_finding(void *context, const bitcask_finding *finding)
{
    struct walk *walk = context;
    cli_progress_finish(&walk->bar);
    print_finding(walk->cli, finding);
    return 0;
}

static int on_progress(void *context, const bitcask_verify_progress *progress)
{
    struct walk *walk = context;
    walk->bar.total = progress->total_bytes;
    cli_progress_update(&walk->bar, progress->done_bytes);
    return cli_interrupted();
}

static int verify_here(struct cli *cli, bitcask *db, uint64_t bytes_per_s)
{
    bitcask_verify_result result = {.struct_size = sizeof(result)};
    bitcask_error error;
    struct walk walk = {.cli = cli};
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.bytes_per_s = bytes_per_s;
    options.finding = on_finding;
    options.progress = on_progress;
    options.context = &walk;
    cli_progress_start(&walk.bar, cli, "verifying", "B", 0);
    bitcask_status status = bitcask_verify(db, &options, &result, &error);
    cli_progress_finish(&walk.bar);
    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        return cli_fail(cli, status, &error);
    return print_totals(cli, &result);
}

/* The server that has the store tells how much it found; what, is in its log. */
static int verify_remote(struct cli *cli, struct remote *remote)
{
    const bitcask_slice word = bitcask_str("BC.VERIFY");
    json_t *figures;
    int exit_code = remote_job(cli, remote, &word, 1, "verify", "verifying", &figures);
    if (exit_code != CLI_DONE)
        return exit_code;
    const bitcask_verify_result result = {
        .files = remote_figure(figures, "files"),
        .bytes = remote_figure(figures, "bytes"),
        .records = remote_figure(figures, "records"),
        .findings = remote_figure(figures, "findings"),
        .damaged_bytes = remote_figure(figures, "damaged_bytes"),
    };
    json_decref(figures);
    if (result.findings > 0)
        cli_remark(cli, "each finding is in the server's log");
    return print_totals(cli, &result);
}

static int verify_store(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_ALONE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (access.remote == NULL)
        exit_code = verify_here(cli, access.db, args->options[VERIFY_RATE].number);
    else if (args->options[VERIFY_RATE].set)
        exit_code = cli_fail_usage(cli, "a server has the store open and does the verifying: it "
                                        "takes no --rate");
    else
        exit_code = verify_remote(cli, access.remote);
    return access_close(&access, exit_code);
}

static int run_verify(struct cli *cli, const struct cli_args *args)
{
    if (args->options[VERIFY_FILE].set)
        return verify_file(cli, args->options[VERIFY_FILE].text);
    return verify_store(cli, args);
}

const struct cli_command cli_command_verify = {
    .name = "verify",
    .summary = "check every record, hint and the manifest",
    .details = "Prints what is wrong, where, and how much is affected, one finding a line, and\n"
               "totals. Exit code 4 if there is any finding. A note is no damage: a file that the\n"
               "next open for writing takes away. Changes nothing.\n",
    .examples = "bitcask verify\n"
                "bitcask verify --rate 100M\n"
                "bitcask verify --file ./data/MANIFEST\n"
                "bitcask --json verify --file ./data/000000001.data\n",
    .options = verify_options,
    .run = run_verify,
};
