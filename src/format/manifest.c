/* SPDX-License-Identifier: MIT
 * manifest.c: printing and reading the list of a store's segments.
 *
 * Both go through one table of the members, so that what is printed is what is read. */
#include "format/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/checksum.h"
#include "base/json.h"
#include "format/record.h"

/* The manifest begins with HEAD and the format number and ends with TAIL around the checksum of all
 * before TAIL. This stays so in all versions of the format. */
#define HEAD "{\n  \"format\": "
#define TAIL_BEGIN "\"crc32\": \""
#define TAIL_END "\"\n}\n"

enum { TAIL_SIZE = sizeof TAIL_BEGIN - 1 + 8 + sizeof TAIL_END - 1 };

/* A segment ends with its SEAL record, which may stand beyond the size at which it was full. */
#define LENGTH_MAX \
    (BITCASK_MAX_SEGMENT_SIZE + RECORD_HEADER_SIZE + META_SEAL_FIXED + 8 * META_SEAL_INPUTS_MAX)

enum member_type {
    TYPE_U64,
    TYPE_U64_OPTIONAL, /* left out if it is 0 */
    TYPE_BOOL,
    TYPE_STATE,
    TYPE_KIND,
    TYPE_SALT,
    TYPE_U32_HEX,
    TYPE_BYTES
};

struct member {
    const char *name;
    enum member_type type;
    size_t offset; /* in the struct */
    size_t size;   /* bytes, of TYPE_BYTES */
    bool optional; /* a TYPE_U64 that is 0 if it is not there, and not there if it is 0 */
};

#define STORE(name, type, field)                                                          \
    {                                                                                     \
        name, type, offsetof(struct manifest, field), sizeof((struct manifest *)0)->field \
    }
#define SEGMENT(name, type, field)                              \
    {                                                           \
        name, type, offsetof(struct manifest_segment, field), 0 \
    }

/* Behind "format", which comes first, and before "segments". */
static const struct member STORE_MEMBERS[] = {
    STORE("store_id", TYPE_BYTES, store_id),
    STORE("fork_id", TYPE_BYTES, fork_id),
    STORE("seed", TYPE_BYTES, seed),
    STORE("next_id", TYPE_U64, next_id),
    STORE("clean", TYPE_BOOL, clean),
    STORE("version_ceiling", TYPE_U64, version_ceiling),
    {"log_floor", TYPE_U64, offsetof(struct manifest, log_floor), 0, .optional = true},
};

static const struct member SEGMENT_MEMBERS[] = {
    SEGMENT("id", TYPE_U64, id),
    SEGMENT("state", TYPE_STATE, state),
    SEGMENT("kind", TYPE_KIND, merge),
    SEGMENT("damaged", TYPE_BOOL, damaged),
    SEGMENT("salt", TYPE_SALT, salt),
    SEGMENT("length", TYPE_U64, length),
    SEGMENT("durable", TYPE_U64_OPTIONAL, durable),
    SEGMENT("rolling", TYPE_U32_HEX, rolling),
    SEGMENT("records", TYPE_U64, records),
    SEGMENT("tombstones", TYPE_U64, tombstones),
    SEGMENT("version_min", TYPE_U64, version_min),
    SEGMENT("version_max", TYPE_U64, version_max),
    SEGMENT("expires_min", TYPE_U64, expires_min),
    SEGMENT("expires_max", TYPE_U64, expires_max),
    SEGMENT("expiring", TYPE_U64_OPTIONAL, expiring),
    SEGMENT("created_us", TYPE_U64, created_us),
    SEGMENT("sealed_us", TYPE_U64, sealed_us),
    SEGMENT("synced_us", TYPE_U64, synced_us),
};

static const char *const STATE_NAMES[] = {
    [MANIFEST_ACTIVE] = "active", [MANIFEST_SEALING] = "sealing", [MANIFEST_SEALED] = "sealed"};
static const char *const KIND_NAMES[] = {"log", "merge"};

/* Printed only if true, so that readers which do not know it need not; absent: false. */
static const struct member BACKUP_MEMBER = STORE("backup", TYPE_BOOL, backup);

/* ---- Printing -------------------------------------------------------------------------------- */

struct text {
    char *data;
    size_t size;
    size_t capacity;
    bool failed; /* out of memory */
};

__attribute__((format(printf, 2, 3))) static void print(struct text *text, const char *format, ...)
{
    char piece[64];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    CHECK(size >= 0 && size < (int)sizeof piece);
    if (text->failed)
        return;
    if (text->capacity - text->size < sizeof piece) {
        size_t capacity = text->capacity == 0 ? 4096 : 2 * text->capacity;
        char *data = realloc(text->data, capacity);
        if (data == NULL) {
            text->failed = true;
            return;
        }
        text->data = data;
        text->capacity = capacity;
    }
    memcpy(text->data + text->size, piece, (size_t)size);
    text->size += (size_t)size;
}

static void print_member(struct text *text, const struct member *member, const void *in)
{
    const void *field = (const uint8_t *)in + member->offset;
    print(text, "\"%s\": ", member->name);
    switch (member->type) {
    case TYPE_U64:
    case TYPE_U64_OPTIONAL:
        print(text, "%" PRIu64, *(const uint64_t *)field);
        break;
    case TYPE_BOOL:
        print(text, "%s", *(const bool *)field ? "true" : "false");
        break;
    case TYPE_STATE:
        print(text, "\"%s\"", STATE_NAMES[*(const enum manifest_state *)field]);
        break;
    case TYPE_KIND:
        print(text, "\"%s\"", KIND_NAMES[*(const bool *)field]);
        break;
    case TYPE_SALT:
        print(text, "\"%016" PRIx64 "\"", *(const uint64_t *)field);
        break;
    case TYPE_U32_HEX:
        print(text, "\"%08" PRIx32 "\"", *(const uint32_t *)field);
        break;
    case TYPE_BYTES:
        print(text, "\"");
        for (size_t i = 0; i < member->size; i++)
            print(text, "%02x", ((const uint8_t *)field)[i]);
        print(text, "\"");
        break;
    }
}

/* Is it left out? */
static bool is_absent(const struct member *member, const void *in)
{
    return member->type == TYPE_U64_OPTIONAL &&
           *(const uint64_t *)(const void *)((const uint8_t *)in + member->offset) == 0;
}

static void print_segment(struct text *text, const struct manifest_segment *segment)
{
    print(text, "    {");
    for (size_t i = 0; i < ARRAY_SIZE(SEGMENT_MEMBERS); i++) {
        if (is_absent(&SEGMENT_MEMBERS[i], segment))
            continue;
        print(text, "%s", i > 0 ? ", " : "");
        print_member(text, &SEGMENT_MEMBERS[i], segment);
    }
    print(text, "}");
}

static bool is_left_out(const struct member *member, const void *in)
{
    return member->optional && *(const uint64_t *)((const uint8_t *)in + member->offset) == 0;
}

bitcask_status manifest_encode(const struct manifest *manifest, char **text, size_t *size)
{
    struct text out = {0};
    print(&out, HEAD "%" PRIu32 ",\n", manifest->format);
    for (size_t i = 0; i < ARRAY_SIZE(STORE_MEMBERS); i++) {
        if (is_left_out(&STORE_MEMBERS[i], manifest))
            continue;
        print(&out, "  ");
        print_member(&out, &STORE_MEMBERS[i], manifest);
        print(&out, ",\n");
    }
    if (manifest->backup) {
        print(&out, "  ");
        print_member(&out, &BACKUP_MEMBER, manifest);
        print(&out, ",\n");
    }
    print(&out, "  \"segments\": [\n");
    for (size_t i = 0; i < manifest->segment_count; i++) {
        print_segment(&out, &manifest->segments[i]);
        print(&out, i + 1 < manifest->segment_count ? ",\n" : "\n");
    }
    print(&out, "  ],\n  ");
    print(&out, TAIL_BEGIN "%08" PRIx32 TAIL_END, out.failed ? 0 : checksum(0, out.data, out.size));
    if (out.failed) {
        free(out.data);
        return BITCASK_NO_MEMORY;
    }
    *text = out.data;
    *size = out.size;
    return BITCASK_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static size_t read_word(struct json_reader *json, const char *const *words, size_t count)
{
    slice word = json_read_string(json);
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(word, bitcask_str(words[i])))
            return i;
    }
    json_read_fail(json, "unknown state or kind");
    return 0;
}

/* A number printed as hexadecimal digits. */
static uint64_t read_hex(struct json_reader *json, size_t size)
{
    uint8_t bytes[8];
    uint64_t number = 0;
    json_read_hex(json, bytes, size);
    if (json->why != NULL)
        return 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void read_value(struct json_reader *json, const struct member *member, void *in)
{
    void *field = (uint8_t *)in + member->offset;
    switch (member->type) {
    case TYPE_U64:
    case TYPE_U64_OPTIONAL:
        *(uint64_t *)field = json_read_u64(json);
        break;
    case TYPE_BOOL:
        *(bool *)field = json_read_bool(json);
        break;
    case TYPE_STATE:
        *(enum manifest_state *)field =
            (enum manifest_state)read_word(json, STATE_NAMES, ARRAY_SIZE(STATE_NAMES));
        break;
    case TYPE_KIND:
        *(bool *)field = read_word(json, KIND_NAMES, ARRAY_SIZE(KIND_NAMES)) == 1;
        break;
    case TYPE_SALT:
        *(uint64_t *)field = read_hex(json, 8);
        break;
    case TYPE_U32_HEX:
        *(uint32_t *)field = (uint32_t)read_hex(json, 4);
        break;
    case TYPE_BYTES:
        json_read_hex(json, field, member->size);
        break;
    }
}

/* Note in `seen` that the member of this number was met. */
static void note(struct json_reader *json, uint32_t *seen, size_t number)
{
    if ((*seen & UINT32_C(1) << number) != 0)
        json_read_fail(json, "a member twice");
    *seen |= UINT32_C(1) << number;
}

/* Read the value of the member `name` if `members` has it; false if not. */
static bool read_member(struct json_reader *json, const struct member *members, size_t count,
                        slice name, uint32_t *seen, void *in)
{
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal(name, bitcask_str(members[i].name)))
            continue;
        note(json, seen, i);
        read_value(json, &members[i], in);
        return true;
    }
    return false;
}

static void check_segment(struct json_reader *json, const struct manifest_segment *segment,
                          uint64_t id_before)
{
    if (segment->id <= id_before || segment->id > SEGMENT_ID_MAX)
        json_read_fail(json, "segment id out of order or range");
    if (segment->length > LENGTH_MAX || segment->durable > LENGTH_MAX)
        json_read_fail(json, "segment length out of range");
    if (segment->tombstones > segment->records)
        json_read_fail(json, "more tombstones than records");
    else if (segment->expiring > segment->records - segment->tombstones)
        json_read_fail(json, "more expiring records than records");
    if (segment->version_min > segment->version_max || segment->version_max > VERSION_MAX ||
        segment->expires_min > segment->expires_max)
        json_read_fail(json, "version or expiry range out of order");
}

/* The members that must be there, a bit each. */
static uint32_t required_members(void)
{
    uint32_t required = 0;
    for (size_t i = 0; i < ARRAY_SIZE(SEGMENT_MEMBERS); i++) {
        if (SEGMENT_MEMBERS[i].type != TYPE_U64_OPTIONAL)
            required |= UINT32_C(1) << i;
    }
    return required;
}

static void read_segment(struct json_reader *json, struct manifest_segment *segment,
                         uint64_t id_before)
{
    uint32_t seen = 0;
    json_read_object(json);
    for (slice name; json_read_member(json, &name);) {
        if (!read_member(json, SEGMENT_MEMBERS, ARRAY_SIZE(SEGMENT_MEMBERS), name, &seen, segment))
            json_read_skip(json);
    }
    if ((seen & required_members()) != required_members())
        json_read_fail(json, "segment without one of its members");
    check_segment(json, segment, id_before);
}

static bitcask_status read_segments(struct json_reader *json, struct manifest *manifest)
{
    size_t capacity = 0;
    uint64_t id_before = 0;
    json_read_array(json);
    while (json_read_element(json)) {
        if (manifest->segment_count == BITCASK_MAX_SEGMENTS) {
            json_read_fail(json, "too many segments");
            break;
        }
        if (manifest->segment_count == capacity) {
            capacity = capacity == 0 ? 16 : 2 * capacity;
            void *grown = realloc(manifest->segments, capacity * sizeof *manifest->segments);
            if (grown == NULL)
                return BITCASK_NO_MEMORY;
            manifest->segments = grown;
        }
        struct manifest_segment *segment = &manifest->segments[manifest->segment_count++];
        memset(segment, 0, sizeof *segment);
        read_segment(json, segment, id_before);
        id_before = segment->id;
    }
    return BITCASK_OK;
}

/* Read all behind "format". */
static bitcask_status read_store(struct json_reader *json, struct manifest *manifest)
{
    enum {
        SEGMENTS = ARRAY_SIZE(STORE_MEMBERS),
        FORMAT,
        CHECKSUM,
        MEMBERS, /* that must be there */
        BACKUP = MEMBERS,
    };
    uint32_t seen = UINT32_C(1) << FORMAT;
    for (slice name; json_read_member(json, &name);) {
        if (read_member(json, STORE_MEMBERS, ARRAY_SIZE(STORE_MEMBERS), name, &seen, manifest))
            continue;
        if (slice_equal(name, bitcask_str("segments"))) {
            note(json, &seen, SEGMENTS);
            bitcask_status status = json->why == NULL ? read_segments(json, manifest) : BITCASK_OK;
            if (status != BITCASK_OK)
                return status;
        } else if (slice_equal(name, bitcask_str("backup"))) {
            note(json, &seen, BACKUP);
            read_value(json, &BACKUP_MEMBER, manifest);
        } else {
            if (slice_equal(name, bitcask_str("format")))
                note(json, &seen, FORMAT);
            if (slice_equal(name, bitcask_str("crc32")))
                note(json, &seen, CHECKSUM);
            json_read_skip(json);
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(STORE_MEMBERS); i++)
        seen |= (uint32_t)STORE_MEMBERS[i].optional << i;
    if ((seen & ((UINT32_C(1) << MEMBERS) - 1)) != (UINT32_C(1) << MEMBERS) - 1)
        json_read_fail(json, "a member is missing");
    if (manifest->version_ceiling > VERSION_MAX || manifest->log_floor > VERSION_MAX)
        json_read_fail(json, "version ceiling out of range");
    if (manifest->next_id == 0 || manifest->next_id > SEGMENT_ID_MAX + 1 ||
        (manifest->segment_count > 0 &&
         manifest->segments[manifest->segment_count - 1].id >= manifest->next_id))
        json_read_fail(json, "next id out of range");
    return json_read_close(json) ? BITCASK_OK : BITCASK_CORRUPT;
}

/* What is wrong with checksum and ends; NULL if nothing is. */
static const char *envelope_fault(slice text)
{
    const size_t head_size = sizeof HEAD - 1;
    const char *from = text.data;
    char tail[TAIL_SIZE + 1];
    if (text.size < head_size + TAIL_SIZE)
        return "too short";
    const size_t before = text.size - TAIL_SIZE;
    snprintf(tail, sizeof tail, TAIL_BEGIN "%08" PRIx32 TAIL_END, checksum(0, from, before));
    if (memcmp(from + before, tail, TAIL_SIZE) != 0)
        return "bad checksum";
    if (memcmp(from, HEAD, head_size) != 0)
        return "no format number where it should be";
    return NULL;
}

bitcask_status manifest_decode(slice text, struct manifest *manifest, const char **why)
{
    const char *unused;
    const char **fault = why != NULL ? why : &unused;
    memset(manifest, 0, sizeof *manifest);
    *fault = envelope_fault(text);
    if (*fault != NULL)
        return BITCASK_CORRUPT;
    struct json_reader json;
    slice name;
    json_read_open(&json, text);
    json_read_object(&json);
    (void)json_read_member(&json, &name); /* "format", as HEAD has it */
    uint64_t format = json_read_u64(&json);
    if (json.why != NULL || format == 0 || format > UINT32_MAX) {
        *fault = "format number out of range";
        return BITCASK_CORRUPT;
    }
    manifest->format = (uint32_t)format;
    if (format > FORMAT_VERSION)
        return BITCASK_FORMAT;
    bitcask_status status = read_store(&json, manifest);
    if (status == BITCASK_OK)
        return BITCASK_OK;
    *fault = json.why;
    manifest_release(manifest);
    return status;
}

uint64_t manifest_log_floor(const struct manifest *manifest)
{
    uint64_t floor = manifest->log_floor;
    for (size_t i = 0; floor == 0 && i < manifest->segment_count; i++) {
        if (manifest->segments[i].merge)
            floor = manifest->version_ceiling;
    }
    return floor;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->segments);
    manifest->segments = NULL;
    manifest->segment_count = 0;
}
