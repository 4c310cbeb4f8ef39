/* SPDX-License-Identifier: MIT
 * cmd_dump.c: dump one file of a store as lines to read, or as JSON. */
#include <inttypes.h>

#include "inspect.h"

enum { DUMP_FILE, DUMP_VALUES };

static const struct cli_option dump_options[] = {
    [DUMP_FILE] = {"file", 'f', CLI_TEXT, "FILE", "the data, hint or MANIFEST file"},
    [DUMP_VALUES] = {"values", 0, CLI_FLAG, NULL, "print values, not only their sizes"},
    {0},
};

/* ---- Records ------------------------------------------------------------------------------- */

static const char *record_type(const struct record *record)
{
    if (record->flags & RECORD_META) {
        enum meta_kind kind = meta_kind_of(record->value);
        return kind == META_SYNC      ? "sync"
               : kind == META_SEAL    ? "seal"
               : kind == META_FOLLOWS ? "follows"
                                      : "meta";
    }
    return record->flags & RECORD_TOMBSTONE ? "delete" : "put";
}

static void record_json(const struct inspect_piece *piece, bool values)
{
    const struct record *record = &piece->record;
    struct meta_sync sync;
    struct meta_seal seal;
    uint64_t follows;
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "type", record_type(record));
    cli_json_uint(&json, "offset", piece->offset);
    cli_json_uint(&json, "size", piece->size);
    cli_json_uint(&json, "version", record->version);
    if ((record->flags & RECORD_META) == 0) {
        cli_json_time(&json, "expires_at", record->expires_us);
        cli_json_bool(&json, "batch_more", record->flags & RECORD_BATCH_MORE);
        cli_json_bytes(&json, "key", record->key);
        cli_json_uint(&json, "value_size", record->value.size);
        if (values && (record->flags & RECORD_TOMBSTONE) == 0)
            cli_json_bytes(&json, "value", record->value);
    } else if (meta_sync_decode(record->value, &sync) == BITCASK_OK) {
        cli_json_uint(&json, "synced_segment", sync.segment);
        cli_json_uint(&json, "synced_offset", sync.offset);
    } else if (meta_seal_decode(record->value, &seal) == BITCASK_OK) {
        cli_json_uint(&json, "length", seal.length);
        cli_json_uint(&json, "records", seal.records);
        cli_json_uint(&json, "tombstones", seal.tombstones);
        cli_json_uint(&json, "version_min", seal.version_min);
        cli_json_uint(&json, "version_max", seal.version_max);
        cli_json_uint(&json, "inputs", seal.input_count);
    } else if (meta_follows_decode(record->value, &follows) == BITCASK_OK) {
        cli_json_uint(&json, "follows_segment", follows);
    }
    cli_json_end(&json);
}

static void print_meta(const struct record *record)
{
    struct meta_sync sync;
    struct meta_seal seal;
    uint64_t follows;
    if (meta_sync_decode(record->value, &sync) == BITCASK_OK)
        printf("segment %" PRIu64 " durable up to %" PRIu64, sync.segment, sync.offset);
    else if (meta_seal_decode(record->value, &seal) == BITCASK_OK)
        printf("length %" PRIu64 ", %" PRIu64 " records, %" PRIu64 " tombstones, versions %" PRIu64
               " to %" PRIu64 ", replaces %" PRIu32 " segments",
               seal.length, seal.records, seal.tombstones, seal.version_min, seal.version_max,
               seal.input_count);
    else if (meta_follows_decode(record->value, &follows) == BITCASK_OK)
        printf("the log went on here from segment %" PRIu64, follows);
    else
        printf("malformed");
}

static void record_text(const struct inspect_piece *piece, bool values)
{
    const struct record *record = &piece->record;
    char expires[CLI_UNIT_SIZE];
    printf("%10" PRIu64 " %10" PRIu64 "  %-6s  %-19" PRIu64 " ", piece->offset, piece->size,
           record_type(record), record->version);
    if (record->flags & RECORD_META) {
        print_meta(record);
    } else {
        cli_print_escaped(stdout, record->key);
        if (record->flags & RECORD_EXPIRES)
            printf("  expires %s", cli_time_text(expires, record->expires_us));
        if (record->flags & RECORD_BATCH_MORE)
            printf("  (batch goes on)");
        if (values && (record->flags & RECORD_TOMBSTONE) == 0) {
            fputs(" = ", stdout);
            cli_print_escaped(stdout, record->value);
        } else if ((record->flags & RECORD_TOMBSTONE) == 0) {
            printf("  %zu bytes", record->value.size);
        }
    }
    putchar('\n');
}

static void print_gap(struct cli *cli, const struct inspect_piece *piece)
{
    bool bad = piece->kind == PIECE_BAD;
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "type", bad ? "damaged" : "zeros");
        cli_json_uint(&json, "offset", piece->offset);
        cli_json_uint(&json, "size", piece->size);
        if (bad)
            cli_json_text(&json, "what", piece->why);
        cli_json_end(&json);
        return;
    }
    printf("%s%10" PRIu64 " %10" PRIu64 "  %s%s%s\n", bad ? cli_style(cli, CLI_RED) : "",
           piece->offset, piece->size, bad ? "no record: " : "zeros: room for more records",
           bad ? piece->why : "", bad ? cli_style(cli, CLI_PLAIN) : "");
}

static int dump_records(struct cli *cli, const struct inspect_segment *segment, bool values)
{
    int exit_code = segment->header_status == BITCASK_OK ? CLI_DONE : CLI_CORRUPT;
    struct inspect_walk walk;
    struct inspect_piece piece;
    inspect_walk_start(&walk, segment);
    if (!cli->json)
        printf("%s%10s %10s  %-6s  %-19s %s%s\n", cli_style(cli, CLI_BOLD), "offset", "bytes",
               "type", "version", "key", cli_style(cli, CLI_PLAIN));
    for (inspect_walk_next(&walk, &piece); piece.kind != PIECE_END && !ferror(stdout);
         inspect_walk_next(&walk, &piece)) {
        if (piece.kind != PIECE_RECORD)
            print_gap(cli, &piece);
        else if (cli->json)
            record_json(&piece, values);
        else
            record_text(&piece, values);
        if (piece.kind == PIECE_BAD)
            exit_code = CLI_CORRUPT;
    }
    return exit_code;
}

static void print_segment_header(struct cli *cli, const struct segment_header *header)
{
    char store[2 * STORE_ID_SIZE + 1], salt[17], created[CLI_UNIT_SIZE];
    const char *kind = header->kind == SEGMENT_MERGE ? "merge" : "log";
    inspect_id_text(store, header->store_id);
    snprintf(salt, sizeof(salt), "%016" PRIx64, header->salt); /* as a number JSON would round it */
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "type", "segment");
        cli_json_uint(&json, "id", header->segment_id);
        cli_json_uint(&json, "format", header->format);
        cli_json_text(&json, "kind", kind);
        cli_json_text(&json, "store", store);
        cli_json_text(&json, "salt", salt);
        cli_json_time(&json, "created", header->created_us);
        cli_json_end(&json);
        return;
    }
    printf("segment %" PRIu64 ", %s, format %" PRIu32 ", store %s, salt %s, created %s\n",
           header->segment_id, kind, header->format, store, salt,
           cli_time_text(created, header->created_us));
}

static int dump_data(struct cli *cli, struct inspect_file *file, bool values)
{
    struct inspect_segment segment;
    inspect_segment(file, &segment);
    if (segment.header_status == BITCASK_FORMAT)
        return cli_fail_text(cli, CLI_STORE, "%s: format %u; this program knows up to %d",
                             file->path, segment.header.format, BITCASK_FORMAT_VERSION);
    if (segment.header_status == BITCASK_OK)
        print_segment_header(cli, &segment.header);
    else
        cli_fail_text(cli, CLI_CORRUPT, "%s: the segment's header is damaged", file->path);
    if (!segment.salt_known)
        return cli_fail_text(
            cli, CLI_CORRUPT,
            "%s: its records cannot be read: no MANIFEST beside it knows this segment", file->path);
    return dump_records(cli, &segment, values);
}

/* ---- Hints --------------------------------------------------------------------------------- */

static void hint_entry_json(const struct hint_entry *entry, slice key)
{
    char hash[17];
    snprintf(hash, sizeof(hash), "%016" PRIx64, entry->hash);
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "type", "entry");
    cli_json_text(&json, "hash", hash);
    cli_json_uint(&json, "version", entry->version);
    cli_json_uint(&json, "offset", entry->offset);
    cli_json_uint(&json, "value_size", entry->value_size);
    cli_json_bool(&json, "deleted", entry->flags & RECORD_TOMBSTONE);
    cli_json_bool(&json, "expires", entry->flags & RECORD_EXPIRES);
    cli_json_bytes(&json, "key", key);
    cli_json_end(&json);
}

static void hint_entry_text(const struct hint_entry *entry, slice key)
{
    printf("%016" PRIx64 "  %10" PRIu32 "  %-18" PRIu64 " %10" PRIu32 "  %-7s ", entry->hash,
           entry->offset, entry->version, entry->value_size,
           entry->flags & RECORD_TOMBSTONE ? "deleted"
           : entry->flags & RECORD_EXPIRES ? "expires"
                                           : "");
    cli_print_escaped(stdout, key);
    putchar('\n');
}

static void print_hint_header(struct cli *cli, const struct hint_header *header)
{
    char store[2 * STORE_ID_SIZE + 1];
    inspect_id_text(store, header->store_id);
    if (!cli->json) {
        printf("hint of segment %" PRIu64 ", format %" PRIu32 ", store %s, covers %" PRIu64
               " bytes: %" PRIu64 " keys of %" PRIu64 " records, versions %" PRIu64 " to %" PRIu64
               "\n%s%-16s  %10s  %-18s %10s  %-7s %s%s\n",
               header->segment_id, header->format, store, header->length, header->entries,
               header->records, header->version_min, header->version_max, cli_style(cli, CLI_BOLD),
               "hash", "offset", "version", "value size", "", "key", cli_style(cli, CLI_PLAIN));
        return;
    }
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "type", "hint");
    cli_json_uint(&json, "segment", header->segment_id);
    cli_json_uint(&json, "format", header->format);
    cli_json_text(&json, "store", store);
    cli_json_uint(&json, "length", header->length);
    cli_json_uint(&json, "entries", header->entries);
    cli_json_uint(&json, "records", header->records);
    cli_json_uint(&json, "tombstones", header->tombstones);
    cli_json_uint(&json, "version_min", header->version_min);
    cli_json_uint(&json, "version_max", header->version_max);
    cli_json_end(&json);
}

/* A hint is read only when all of it is good: its keys are found by summing up their sizes. */
static int dump_hint(struct cli *cli, const struct inspect_file *file)
{
    struct hint hint;
    const char *why = "damaged";
    bitcask_status status = hint_open(slice_of(file->bytes, file->size), &hint, &why);
    if (status == BITCASK_FORMAT)
        return cli_fail_text(cli, CLI_STORE, "%s: format %u; this program knows up to %d",
                             file->path, hint.header.format, BITCASK_FORMAT_VERSION);
    if (status == BITCASK_OK)
        status = hint_check_all(&hint, &why);
    if (status != BITCASK_OK)
        return cli_fail_text(cli, CLI_CORRUPT, "%s: %s", file->path, why);
    print_hint_header(cli, &hint.header);
    const uint8_t *key = hint.keys;
    for (uint64_t i = 0; i < hint.header.entries && !ferror(stdout); i++) {
        struct hint_entry entry;
        hint_entry_decode(hint.entries + i * HINT_ENTRY_SIZE, &entry);
        if (cli->json)
            hint_entry_json(&entry, slice_of(key, entry.key_size));
        else
            hint_entry_text(&entry, slice_of(key, entry.key_size));
        key += entry.key_size;
    }
    return CLI_DONE;
}

/* ---- The manifest -------------------------------------------------------------------------- */

static void manifest_segment_json(const struct manifest_segment *segment)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "type", "segment");
    cli_json_uint(&json, "id", segment->id);
    cli_json_text(&json, "state", inspect_state_name(segment->state));
    cli_json_bool(&json, "merge", segment->merge);
    cli_json_bool(&json, "damaged", segment->damaged);
    cli_json_uint(&json, "length", segment->length);
    cli_json_uint(&json, "records", segment->records);
    cli_json_uint(&json, "tombstones", segment->tombstones);
    cli_json_uint(&json, "version_min", segment->version_min);
    cli_json_uint(&json, "version_max", segment->version_max);
    cli_json_time(&json, "created", segment->created_us);
    cli_json_time(&json, "sealed", segment->sealed_us);
    cli_json_time(&json, "synced", segment->synced_us);
    cli_json_end(&json);
}

static void manifest_segment_text(const struct manifest_segment *segment)
{
    char created[CLI_UNIT_SIZE];
    printf("%9" PRIu64 "  %-8s %12" PRIu64 " %10" PRIu64 " %10" PRIu64 "  %-27s  %s%s\n",
           segment->id, inspect_state_name(segment->state), segment->length, segment->records,
           segment->tombstones, cli_time_text(created, segment->created_us),
           segment->merge ? "merge " : "", segment->damaged ? "damaged" : "");
}

static void print_manifest(struct cli *cli, const struct manifest *manifest)
{
    char store[2 * STORE_ID_SIZE + 1], fork[2 * STORE_ID_SIZE + 1];
    inspect_id_text(store, manifest->store_id);
    inspect_id_text(fork, manifest->fork_id);
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "type", "manifest");
        cli_json_uint(&json, "format", manifest->format);
        cli_json_text(&json, "store", store);
        cli_json_text(&json, "fork", fork);
        cli_json_uint(&json, "next_id", manifest->next_id);
        cli_json_uint(&json, "version_ceiling", manifest->version_ceiling);
        cli_json_bool(&json, "clean", manifest->clean);
        cli_json_uint(&json, "segments", manifest->segment_count);
        cli_json_end(&json);
    } else {
        printf("manifest, format %" PRIu32 ", store %s, fork %s\n"
               "next segment %" PRIu64 ", versions up to %" PRIu64 ", %s\n"
               "%s%9s  %-8s %12s %10s %10s  %-27s  %s%s\n",
               manifest->format, store, fork, manifest->next_id, manifest->version_ceiling,
               manifest->clean ? "closed in order" : "not closed in order (or open now)",
               cli_style(cli, CLI_BOLD), "id", "state", "length", "records", "tombstones",
               "created", "notes", cli_style(cli, CLI_PLAIN));
    }
    for (size_t i = 0; i < manifest->segment_count; i++) {
        if (cli->json)
            manifest_segment_json(&manifest->segments[i]);
        else
            manifest_segment_text(&manifest->segments[i]);
    }
}

static int dump_manifest(struct cli *cli, const struct inspect_file *file)
{
    struct manifest manifest;
    const char *why = "damaged";
    bitcask_status status = manifest_decode(slice_of(file->bytes, file->size), &manifest, &why);
    if (status == BITCASK_FORMAT)
        return cli_fail_text(cli, CLI_STORE, "%s: format %u; this program knows up to %d",
                             file->path, manifest.format, BITCASK_FORMAT_VERSION);
    if (status != BITCASK_OK)
        return cli_fail_text(cli, CLI_CORRUPT, "%s: %s", file->path, why);
    print_manifest(cli, &manifest);
    manifest_release(&manifest);
    return CLI_DONE;
}

/* ---- The command --------------------------------------------------------------------------- */

static int run_dump(struct cli *cli, const struct cli_args *args)
{
    if (!args->options[DUMP_FILE].set)
        return cli_fail_usage(cli, "dump needs a file: bitcask dump --file FILE");
    struct inspect_file file;
    int exit_code = inspect_open(cli, args->options[DUMP_FILE].text, &file);
    if (exit_code != CLI_DONE)
        return exit_code;
    switch (file.kind) {
    case INSPECT_DATA:
        exit_code = dump_data(cli, &file, args->options[DUMP_VALUES].set);
        break;
    case INSPECT_HINT:
        exit_code = dump_hint(cli, &file);
        break;
    case INSPECT_MANIFEST:
        exit_code = dump_manifest(cli, &file);
        break;
    }
    inspect_close(&file);
    return exit_code;
}

const struct cli_command cli_command_dump = {
    .name = "dump",
    .summary = "print what is in a data, hint or MANIFEST file",
    .usage = "--file FILE",
    .details = "Opens no store: good for a file that is damaged, or of a store in use. Keys and\n"
               "values are escaped: \\n, \\t, \\\\, \\xNN. Exit code 4 if there is damage.\n",
    .examples = "bitcask dump --file ./data/000000001.data\n"
                "bitcask dump --file ./data/MANIFEST\n"
                "bitcask --json dump --values --file ./data/000000001.data | head -n 3\n",
    .options = dump_options,
    .run = run_dump,
};
