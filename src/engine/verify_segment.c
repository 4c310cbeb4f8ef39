/* SPDX-License-Identifier: MIT
 * verify_segment.c: are the files of one segment what they should be? */
#include <errno.h>
#include <stdlib.h>

#include "engine/hint_file.h"
#include "engine/scan.h"
#include "engine/verify_report.h"
#include "format/names.h"

enum { SEAL_SIZE_MAX = RECORD_HEADER_SIZE + META_SEAL_FIXED + 8 * META_SEAL_INPUTS_MAX };

/* A segment at hand. */
struct check {
    struct verify *verify;
    const struct verify_segment *entry;
    struct segment *segment;
    char data_name[NAME_SIZE], hint_name[NAME_SIZE];
    uint64_t readable;              /* of its bytes below the end */
    struct segment_figures figures; /* of the good records */
    bool whole;                     /* all of them are good */
};

static struct verify_place in_data(const struct check *check, uint64_t offset, uint64_t bytes)
{
    return (struct verify_place){
        .file = check->data_name,
        .segment = check->segment->id,
        .offset = offset,
        .bytes = bytes,
    };
}

static struct verify_place in_hint(const struct check *check, uint64_t offset, uint64_t bytes)
{
    struct verify_place place = in_data(check, offset, bytes);
    place.file = check->hint_name;
    return place;
}

/* ---- Header and records -------------------------------------------------------------------- */

static bitcask_status check_header(struct check *check)
{
    const struct segment *segment = check->segment;
    const struct segments *table = segment->table;
    struct verify_place place = in_data(check, 0, SEGMENT_HEADER_SIZE);
    struct segment_header header;
    bitcask_status status = BITCASK_CORRUPT;
    if (check->readable >= SEGMENT_HEADER_SIZE)
        status = segment_header_decode(slice_of(segment->map, SEGMENT_HEADER_SIZE), &header);
    if (status == BITCASK_FORMAT)
        return verify_report(check->verify, &place,
                             "the segment is of format %u, this library reads up to %d",
                             header.format, FORMAT_VERSION);
    if (status != BITCASK_OK)
        return verify_report(check->verify, &place, "the header is damaged");
    if (header.segment_id != segment->id || header.kind != segment->kind ||
        header.salt != segment->salt ||
        memcmp(header.store_id, table->store_id, STORE_ID_SIZE) != 0 ||
        memcmp(header.seed, table->seed, SEED_SIZE) != 0)
        return verify_report(check->verify, &place, "the header is another segment's");
    return BITCASK_OK;
}

static void note_expiry(struct segment_figures *figures, uint64_t expires_us)
{
    figures->expiring++;
    if (figures->expires_max == 0 || expires_us < figures->expires_min)
        figures->expires_min = expires_us;
    if (expires_us > figures->expires_max)
        figures->expires_max = expires_us;
}

static void note_key_record(struct segment_figures *figures, const struct record_shape *shape)
{
    figures->records++;
    figures->tombstones += (shape->flags & RECORD_TOMBSTONE) != 0;
    if (figures->version_min == 0 || shape->version < figures->version_min)
        figures->version_min = shape->version;
    if (shape->version > figures->version_max)
        figures->version_max = shape->version;
    if (shape->flags & RECORD_EXPIRES)
        note_expiry(figures, shape->expires_us);
}

static int note_record(void *context, uint64_t offset, const uint8_t *bytes,
                       const struct record_shape *shape)
{
    struct check *check = context;
    struct segment_figures *figures = &check->figures;
    (void)offset;
    check->verify->result.records++;
    figures->rolling = rolling_checksum(figures->rolling, bytes);
    if (!(shape->flags & RECORD_META))
        note_key_record(figures, shape);
    return verify_pace(check->verify, shape->size, true) != BITCASK_OK;
}

/* The key of a damaged record, if a good hint has it: the first that lies in the hole. */
static slice key_in_hole(const struct hint *hint, const struct scan_hole *hole)
{
    uint64_t key_at = 0;
    for (uint64_t i = 0; i < hint->header.entries; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        if (entry.offset >= hole->offset && entry.offset < hole->end)
            return slice_of(hint->keys + key_at, entry.key_size);
        key_at += entry.key_size;
    }
    return slice_of(NULL, 0);
}

/* Merges leave a damaged segment alone. */
static void mark_damaged(struct check *check, const struct scan_hole *hole)
{
    struct store *store = check->verify->store;
    if (check->entry->state != BITCASK_SEGMENT_SEALED ||
        atomic_exchange(&check->segment->damaged, 1) != 0)
        return;
    atomic_fetch_add(&store->counters.corrupt_records, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "damaged", F_UINT("segment", check->segment->id),
          F_UINT("offset", hole->offset), F_TEXT("why", hole->why));
}

static bitcask_status report_holes(struct check *check, const struct scan_result *scan)
{
    struct segment *segment = check->segment;
    struct hint_file hint;
    bool hinted =
        hint_file_open(segment, check->entry->end, false, true, &hint, NULL) == BITCASK_OK;
    bitcask_status status = BITCASK_OK;
    for (size_t i = 0; i < scan->hole_count && status == BITCASK_OK; i++) {
        const struct scan_hole *hole = &scan->holes[i];
        struct verify_place place = in_data(check, hole->offset, hole->end - hole->offset);
        if (hinted)
            place.key = key_in_hole(&hint.hint, hole);
        mark_damaged(check, hole);
        status = verify_report(check->verify, &place, "%s", hole->why);
    }
    if (hinted)
        hint_file_close(segment->os, &hint);
    return status;
}

static bool figures_equal(const struct segment_figures *a, const struct segment_figures *b)
{
    return a->records == b->records && a->tombstones == b->tombstones &&
           a->version_min == b->version_min && a->version_max == b->version_max &&
           a->expires_min == b->expires_min && a->expires_max == b->expires_max &&
           a->rolling == b->rolling;
}

static bitcask_status check_records(struct check *check, bitcask_error *error)
{
    const struct segment *segment = check->segment;
    uint64_t end = check->entry->end;
    struct scan_result scan;
    struct scan_options options = {
        .salt = segment->salt,
        .segment_id = segment->id,
        .version_limit = VERSION_MAX,
        .vouched = check->readable,
    };
    bitcask_status status = scan_segment(slice_of(segment->map, (size_t)check->readable), &options,
                                         note_record, check, &scan);
    if (status == BITCASK_NO_MEMORY)
        error_set(error, status, "out of memory for verifying");
    check->whole = status == BITCASK_OK && scan.hole_count == 0 && check->readable == end;
    if (status == BITCASK_OK && scan.hole_count > 0)
        status = report_holes(check, &scan);
    scan_release(&scan);
    if (status == BITCASK_OK && check->readable < end) {
        struct verify_place place = in_data(check, check->readable, end - check->readable);
        status = verify_report(check->verify, &place, "the file is shorter than the manifest says");
    }
    if (status == BITCASK_OK && check->whole && check->entry->state == BITCASK_SEGMENT_SEALED &&
        (!figures_equal(&check->figures, &segment->figures) ||
         (segment->figures.expiring != 0 &&
          segment->figures.expiring != check->figures.expiring))) {
        struct verify_place place = in_data(check, 0, 0);
        status = verify_report(check->verify, &place,
                               "the manifest's figures are not those of the records");
    }
    return status;
}

/* ---- SEAL record --------------------------------------------------------------------------- */

/* Read the file from `offset` on, at most `capacity` bytes. -errno or the bytes read. */
static int64_t read_tail(struct check *check, uint8_t *bytes, size_t capacity, uint64_t *file_size)
{
    struct os *os = check->segment->os;
    char path[OS_PATH_MAX];
    struct os_file *file;
    struct os_stat stat;
    segments_path(check->segment->table, path, check->data_name);
    int result = os->open(os, path, OS_READ, &file);
    if (result != 0)
        return result;
    int64_t got = os->stat_file(os, file, &stat);
    if (got == 0) {
        *file_size = stat.size;
        got = os->pread(os, file, bytes, capacity, check->entry->end);
    }
    os->close(os, file);
    return got;
}

/* A SEAL record with a flipped bit still has one of these marks. */
static bool looks_like_seal(const uint8_t *bytes, uint64_t size)
{
    if (size < RECORD_HEADER_SIZE + META_SEAL_FIXED)
        return false;
    bool framed = get_u16(bytes + 12) == 0 && get_u16(bytes + 14) == RECORD_META;
    return framed || get_u64(bytes + RECORD_HEADER_SIZE) == META_SEAL;
}

static const char *seal_fault(const struct check *check, slice in)
{
    struct record record;
    struct record_shape shape;
    struct meta_seal seal;
    if (record_decode(in, check->segment->salt, check->entry->end, &record, &shape, NULL) !=
            BITCASK_OK ||
        !(record.flags & RECORD_META) || meta_kind_of(record.value) != META_SEAL ||
        meta_seal_decode(record.value, &seal) != BITCASK_OK)
        return "the seal record is damaged";
    struct segment_figures figures = {
        .records = seal.records,
        .tombstones = seal.tombstones,
        .version_min = seal.version_min,
        .version_max = seal.version_max,
        .expires_min = seal.expires_min,
        .expires_max = seal.expires_max,
        .rolling = seal.rolling,
    };
    if (seal.length != check->entry->end ||
        (check->whole && !figures_equal(&figures, &check->figures)))
        return "the seal record's figures are not those of the records";
    return NULL;
}

/* Behind the records of a sealed segment stands its SEAL record, or nothing if there was no space
 * for it, or what recovery has cut off. A merge output always has one. */
static bitcask_status check_seal(struct check *check, bitcask_error *error)
{
    uint64_t end = check->entry->end, file_size = 0;
    uint8_t *bytes = malloc(SEAL_SIZE_MAX);
    if (bytes == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for verifying");
    int64_t got = read_tail(check, bytes, SEAL_SIZE_MAX, &file_size);
    bitcask_status status = BITCASK_OK;
    const char *fault = NULL;
    if (got < 0)
        status = error_set_os(error, (int)got, "read %s", check->data_name);
    else if (check->segment->kind == SEGMENT_MERGE ||
             (file_size == end + RECORD_HEADER_SIZE + META_SEAL_FIXED &&
              looks_like_seal(bytes, (uint64_t)got)))
        fault = seal_fault(check, slice_of(bytes, (size_t)got));
    free(bytes);
    if (fault != NULL) {
        struct verify_place place = in_data(check, end, file_size > end ? file_size - end : 0);
        status = verify_report(check->verify, &place, "%s", fault);
    }
    return status;
}

/* ---- Hint ---------------------------------------------------------------------------------- */

/* The whole hint file in malloc'd memory; 0, or -errno. */
static int read_hint(struct check *check, uint8_t **bytes, size_t *size)
{
    struct os *os = check->segment->os;
    char path[OS_PATH_MAX];
    struct os_file *file;
    struct os_stat stat;
    segments_path(check->segment->table, path, check->hint_name);
    int result = os->open(os, path, OS_READ, &file);
    if (result != 0)
        return result;
    result = os->stat_file(os, file, &stat);
    if (result == 0 && stat.size > 2 * BITCASK_MAX_SEGMENT_SIZE)
        result = -EFBIG;
    *bytes = result == 0 ? malloc((size_t)stat.size + 1) : NULL;
    if (result == 0 && *bytes == NULL)
        result = -ENOMEM;
    int64_t got = result == 0 ? os->pread(os, file, *bytes, (size_t)stat.size, 0) : 0;
    if (got < 0)
        result = (int)got;
    if (result != 0)
        free(*bytes);
    *size = (size_t)got;
    os->close(os, file);
    return result;
}

/* The range in which two files differ; false if they do not. */
static bool find_difference(slice a, slice b, uint64_t *from, uint64_t *to)
{
    const uint8_t *x = a.data, *y = b.data;
    size_t shorter = a.size < b.size ? a.size : b.size;
    size_t first = 0, last = shorter;
    while (first < shorter && x[first] == y[first])
        first++;
    while (last > first && x[last - 1] == y[last - 1])
        last--;
    *from = first;
    *to = a.size != b.size ? a.size : last;
    return first < shorter || a.size != b.size;
}

/* A hint with other sections than ours, of a release with fewer or more: is all the rest the same?
 */
static bool same_but_for_sections(slice file, const struct hint *built)
{
    struct hint hint;
    if (hint_open(file, &hint, NULL) != BITCASK_OK || hint_check_all(&hint, NULL) != BITCASK_OK ||
        hint.sections.size == built->sections.size)
        return false;
    struct hint_header header = built->header;
    uint8_t expected[HINT_HEADER_SIZE];
    header.sections_size = hint.header.sections_size;
    hint_header_encode(expected, &header);
    return memcmp(hint.file, expected, sizeof expected) == 0 &&
           memcmp(hint.entries, built->entries,
                  (size_t)((const uint8_t *)built->sections.data - built->entries)) == 0;
}

/* The hint of a whole sealed segment is a function of its data: build it and compare. */
static bitcask_status compare_hint(struct check *check, slice file, bitcask_error *error)
{
    struct hint_file built;
    struct segment_figures figures;
    struct hint covered;
    uint64_t length = check->entry->end;
    /* Where recovery did not take it (has_hint), one that covers less is stale, not bad: it is of a
     * close after which the segment was appended to. */
    if (atomic_load(&check->segment->has_hint) == 0 &&
        hint_open(file, &covered, NULL) == BITCASK_OK && covered.header.length < length)
        length = covered.header.length;
    bitcask_status status = hint_file_build(check->segment, &check->verify->store->secret, length,
                                            &built, &figures, error);
    if (status != BITCASK_OK)
        return status == BITCASK_CORRUPT ? BITCASK_OK : status;
    uint64_t from, to;
    if (find_difference(file, slice_of(built.memory, built.size), &from, &to) &&
        !same_but_for_sections(file, &built.hint)) {
        const char *why = "it does not say what the data says";
        struct hint hint;
        if (hint_open(file, &hint, &why) == BITCASK_OK)
            (void)!hint_check_all(&hint, &why);
        struct verify_place place = in_hint(check, from, to > from ? to - from : 0);
        status = verify_report(check->verify, &place, "the hint is no good: %s", why);
    }
    hint_file_close(check->segment->os, &built);
    return status;
}

/* Where the data is damaged, or still grows, the hint can only be checked in itself. */
static bitcask_status check_hint_alone(struct check *check, uint64_t size, bitcask_error *error)
{
    struct hint_file hint;
    const char *why = NULL;
    bitcask_status status =
        hint_file_open(check->segment, check->entry->end, false, true, &hint, &why);
    if (status == BITCASK_OK) {
        hint_file_close(check->segment->os, &hint);
        return BITCASK_OK;
    }
    if (status == BITCASK_NO_MEMORY)
        return error_set(error, status, "out of memory for verifying");
    if (atomic_load(&check->segment->state) != check->entry->state)
        return BITCASK_OK; /* it has just been sealed, with a hint that covers more */
    struct verify_place place = in_hint(check, 0, size);
    return verify_report(check->verify, &place, "the hint is no good: %s", why);
}

static bitcask_status check_hint(struct check *check, bitcask_error *error)
{
    uint8_t *bytes;
    size_t size;
    bool sealed = check->entry->state == BITCASK_SEGMENT_SEALED;
    int result = read_hint(check, &bytes, &size);
    if (result == -ENOENT) {
        if (!sealed || atomic_load(&check->segment->has_hint) == 0)
            return BITCASK_OK; /* a cache */
        struct verify_place place = in_hint(check, 0, 0);
        return verify_report(check->verify, &place, "the hint is not there");
    }
    if (result != 0)
        return error_set_os(error, result, "read %s", check->hint_name);
    check->verify->result.files++;
    check->verify->result.bytes += size;
    bitcask_status status = sealed && check->whole
                                ? compare_hint(check, slice_of(bytes, size), error)
                                : check_hint_alone(check, size, error);
    free(bytes);
    return status;
}

/* ---- The segment --------------------------------------------------------------------------- */

/* What can be asked only while no merge removes the files. */
static bitcask_status check_files(struct check *check, bitcask_error *error)
{
    struct store *store = check->verify->store;
    bitcask_status status = BITCASK_OK;
    merge_gate_enter_quietly(store);
    if (atomic_load(&check->segment->retired) == 0) {
        if (check->entry->state == BITCASK_SEGMENT_SEALED)
            status = check_seal(check, error);
        if (status == BITCASK_OK)
            status = check_hint(check, error);
    }
    merge_gate_leave(store);
    return status;
}

/* Is the data file there, and how long? BITCASK_END: there is nothing more to check. */
static bitcask_status find_data(struct check *check, uint64_t *size, bitcask_error *error)
{
    struct segment *segment = check->segment;
    struct store *store = check->verify->store;
    char path[OS_PATH_MAX];
    struct os_stat stat = {0};
    segments_path(segment->table, path, check->data_name);
    merge_gate_enter_quietly(store);
    bool retired = atomic_load(&segment->retired) != 0;
    int result = retired ? 0 : segment->os->stat(segment->os, path, &stat);
    merge_gate_leave(store);
    if (retired)
        return BITCASK_END;
    if (segment->map == NULL || result == -ENOENT) {
        struct verify_place place = in_data(check, 0, check->entry->end);
        bitcask_status status = BITCASK_OK;
        if (check->entry->named)
            status = verify_report(check->verify, &place, "the file is not there");
        return status == BITCASK_OK ? BITCASK_END : status;
    }
    if (result != 0)
        return error_set_os(error, result, "look at %s", check->data_name);
    *size = stat.size;
    return BITCASK_OK;
}

bitcask_status verify_files_of(struct verify *verify, const struct verify_segment *entry,
                               bitcask_error *error)
{
    struct segment *segment = entry->segment;
    struct check check = {.verify = verify, .entry = entry, .segment = segment};
    uint64_t size = 0;
    name_data(check.data_name, segment->id);
    name_hint(check.hint_name, segment->id);
    bitcask_status status = find_data(&check, &size, error);
    if (status != BITCASK_OK)
        return status == BITCASK_END ? BITCASK_OK : status;
    uint64_t readable = atomic_load(&segment->readable);
    if (readable > size)
        readable = size;
    check.readable = readable < entry->end ? readable : entry->end;
    verify->result.files++;
    verify->result.bytes += check.readable;

    status = check_header(&check);
    if (status == BITCASK_OK)
        status = check_records(&check, error);
    return status == BITCASK_OK ? check_files(&check, error) : status;
}
