/* SPDX-License-Identifier: MIT
 * foreign_pybitcask.c: records of pybitcask, data_N.db.
 *
 * Byte 0 is 01 or 02, for the kind of record the file was begun with; a directory that was opened
 * in the other mode has both kinds in one file, so each record is told by its first byte.
 *
 *     Protobuf: the size of the message in four bytes, big-endian, and the message of proto3:
 *         1 key string, 2 value bytes (JSON), 3 timestamp int64 (ms), 4 deleted bool.
 *     JSON: {"key": ..., "value": ..., "timestamp": ...} and a newline; "deleted": true besides is
 *         a tombstone. A message that began with '{' would have 2 GiB.
 *
 * There is no checksum, and a process that was killed leaves a torn record behind which the next
 * one appends. So a record has to be well-formed to its last bit, its value included; behind one
 * that is not, the next that is is searched for. JSON text and UTF-8 have no zero byte and
 * no unescaped quotes in strings: what looks like the start of a record inside one is none. */
#include <string.h>

#include "cli.h"
#include "foreign.h"
#include "server/encoding.h"

enum { SIZE_SIZE = 4, TAG_KEY = 0x0A, TAG_VALUE = 0x12, TAG_TIME = 0x18, TAG_DELETED = 0x20 };

static const char JSON_START[] = "{\"key\":";
enum { START_MAX = sizeof JSON_START - 1 }; /* what a search must see to know a start */

static const char NOT_A_RECORD[] = "not a record";

/* What a record says, before it is made one of a store's. */
struct fields {
    bitcask_slice key;  /* text, or a JSON string */
    bitcask_slice json; /* the value */
    bool has_key, deleted;
    uint64_t time_ms;
};

static uint64_t time_of(uint64_t time_ms)
{
    return time_ms <= UINT64_MAX / 1000 ? time_ms * 1000 : 0;
}

/* The value as it is to be stored. */
static enum foreign_result take_value(struct foreign_decoder *decoder, const struct fields *fields,
                                      struct foreign_record *record)
{
    record->deleted = fields->deleted;
    record->time_us = time_of(fields->time_ms);
    record->value = fields->deleted ? bitcask_str("") : fields->json;
    if (!fields->deleted && decoder->text_values && *(const char *)fields->json.data == '"')
        return foreign_json_text(fields->json, &decoder->value, &record->value);
    return FOREIGN_RECORD;
}

/* ---- Protobuf ------------------------------------------------------------------------------ */

struct message {
    const uint8_t *at, *end;
};

static bool take_varint(struct message *message, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; shift < 64 && message->at < message->end; shift += 7) {
        uint8_t byte = *message->at++;
        if (shift == 63 && byte > 1)
            return false;
        *number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* The field `tag`, if it is the next. False only if it is there and malformed. */
static bool take_number(struct message *message, uint8_t tag, uint64_t *number)
{
    *number = 0;
    if (message->at == message->end || *message->at != tag)
        return true;
    message->at++;
    return take_varint(message, number);
}

static bool take_bytes(struct message *message, uint8_t tag, bitcask_slice *bytes)
{
    uint64_t size;
    *bytes = bitcask_str("");
    if (message->at == message->end || *message->at != tag)
        return true;
    message->at++;
    if (!take_varint(message, &size) || size > (uint64_t)(message->end - message->at))
        return false;
    *bytes = bitcask_bytes(message->at, (size_t)size);
    message->at += size;
    return true;
}

/* The fields stand in the order of their numbers, as the library of protobuf writes them. */
static bool parse_message(bitcask_slice bytes, struct fields *fields)
{
    const uint8_t *start = bytes.data;
    struct message message = {start, start + bytes.size};
    uint64_t deleted;
    bitcask_slice json;
    if (!take_bytes(&message, TAG_KEY, &fields->key) ||
        !take_bytes(&message, TAG_VALUE, &fields->json) ||
        !take_number(&message, TAG_TIME, &fields->time_ms) ||
        !take_number(&message, TAG_DELETED, &deleted) || message.at != message.end || deleted > 1)
        return false;
    fields->deleted = deleted == 1;
    if (!utf8_is_valid(fields->key))
        return false;
    return fields->deleted ||
           (fields->json.size > 0 && foreign_json_scan(fields->json, &json) == fields->json.size &&
            json.size == fields->json.size);
}

static enum foreign_result decode_protobuf(struct foreign_decoder *decoder,
                                           const struct foreign_input *input,
                                           struct foreign_record *record)
{
    const uint8_t *p = input->bytes.data;
    struct fields fields = {0};
    enum foreign_result result = foreign_need(input, SIZE_SIZE, record);
    if (result == FOREIGN_RECORD)
        result = foreign_need(input, SIZE_SIZE + (uint64_t)foreign_be32(p), record);
    if (result == FOREIGN_DAMAGED)
        return foreign_torn(record, NOT_A_RECORD); /* such a size is not to be followed */
    if (result != FOREIGN_RECORD)
        return result;
    if (!parse_message(bitcask_bytes(p + SIZE_SIZE, record->size - SIZE_SIZE), &fields))
        return foreign_torn(record, NOT_A_RECORD);
    record->key = fields.key;
    return take_value(decoder, &fields, record);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static bool is_named(bitcask_slice name, const char *text)
{
    return name.size == strlen(text) + 2 &&
           memcmp((const char *)name.data + 1, text, name.size - 2) == 0;
}

static uint64_t digits_of(bitcask_slice json)
{
    const char *p = json.data;
    uint64_t number = 0;
    for (size_t i = 0; i < json.size; i++)
        if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(p[i] - '0'), &number))
            return 0;
    return number;
}

static void take_member(struct fields *fields, bitcask_slice name, bitcask_slice value)
{
    if (is_named(name, "key")) {
        fields->key = value;
        fields->has_key = *(const char *)value.data == '"';
    } else if (is_named(name, "value")) {
        fields->json = value;
    } else if (is_named(name, "timestamp")) {
        fields->time_ms = digits_of(value);
    } else if (is_named(name, "deleted")) {
        fields->deleted = *(const char *)value.data == 't';
    }
}

/* `object` is well-formed: its members one by one. */
static void take_members(bitcask_slice object, struct fields *fields)
{
    const char *at = (const char *)object.data + 1, *end = at + object.size - 1;
    bitcask_slice name, value;
    for (;;) {
        size_t size = foreign_json_scan(bitcask_bytes(at, (size_t)(end - at)), &name);
        if (size == 0)
            return; /* the end of an empty object */
        at = memchr(at + size, ':', (size_t)(end - at) - size);
        if (at == NULL)
            return;
        at++;
        size = foreign_json_scan(bitcask_bytes(at, (size_t)(end - at)), &value);
        if (size == 0)
            return;
        take_member(fields, name, value);
        at = memchr(at + size, ',', (size_t)(end - at) - size);
        if (at == NULL)
            return;
        at++;
    }
}

static bool parse_line(bitcask_slice line, struct fields *fields)
{
    bitcask_slice object;
    size_t size = foreign_json_scan(line, &object);
    if (size == 0)
        return false;
    const char *p = line.data;
    for (; size < line.size; size++)
        if (p[size] != '\r' && p[size] != ' ')
            return false;
    if (*(const char *)object.data != '{')
        return false;
    take_members(object, fields);
    return fields->has_key && (fields->deleted || fields->json.size > 0);
}

static enum foreign_result decode_json(struct foreign_decoder *decoder,
                                       const struct foreign_input *input,
                                       struct foreign_record *record)
{
    size_t have = input->bytes.size;
    const char *p = input->bytes.data, *newline = memchr(p, '\n', have);
    struct fields fields = {0};
    if (newline == NULL && have < input->left && have <= FOREIGN_RECORD_MAX)
        return foreign_more(record, 2 * have < input->left ? 2 * have : input->left);
    size_t size = newline == NULL ? have : (size_t)(newline - p);
    if (!parse_line(bitcask_bytes(p, size), &fields))
        return foreign_torn(record, NOT_A_RECORD);
    record->size = size + (newline != NULL);
    enum foreign_result result = foreign_json_text(fields.key, &decoder->key, &record->key);
    return result == FOREIGN_RECORD ? take_value(decoder, &fields, record) : result;
}

/* ---- One or the other ---------------------------------------------------------------------- */

static enum foreign_result decode_either(struct foreign_decoder *decoder,
                                         const struct foreign_input *input,
                                         struct foreign_record *record)
{
    *record = (struct foreign_record){0};
    enum foreign_result result = *(const char *)input->bytes.data == '{'
                                     ? decode_json(decoder, input, record)
                                     : decode_protobuf(decoder, input, record);
    return result == FOREIGN_DAMAGED
               ? foreign_damaged(record, record->size, "text with half of a surrogate pair")
               : result;
}

static bool may_start(const uint8_t *p, size_t size)
{
    if (size >= START_MAX && memcmp(p, JSON_START, START_MAX) == 0)
        return true;
    return size > SIZE_SIZE && p[0] == 0 && p[SIZE_SIZE] == TAG_KEY;
}

/* The size of a piece of the input that can be searched: all of it, or up to where a start might be
 * cut in two. */
static size_t searchable(const struct foreign_input *input)
{
    size_t have = input->bytes.size;
    if (have == input->left)
        return have;
    return have < START_MAX ? 0 : have - START_MAX + 1;
}

static enum foreign_result end_search(struct foreign_decoder *decoder,
                                      const struct foreign_input *input, enum foreign_result result,
                                      uint64_t size, struct foreign_record *record)
{
    *record = (struct foreign_record){
        .size = size, .behind = input->offset - decoder->lost_at, .why = decoder->why};
    decoder->searching = false;
    return result;
}

static enum foreign_result search_on(struct foreign_decoder *decoder, size_t size,
                                     struct foreign_record *record)
{
    *record = (struct foreign_record){.size = size};
    decoder->searching = true;
    return FOREIGN_NOTHING;
}

/* What may start at `at`, decoded. A line that ends with the file and not with a newline may be a
 * part of the value of a torn one: in a search it is none. */
static enum foreign_result try_at(struct foreign_decoder *decoder,
                                  const struct foreign_input *input, size_t at,
                                  struct foreign_record *record)
{
    const char *p = (const char *)input->bytes.data + at;
    struct foreign_input rest = {bitcask_bytes(p, input->bytes.size - at), input->offset + at,
                                 input->left - at};
    enum foreign_result result = decode_either(decoder, &rest, record);
    bool line = result == FOREIGN_RECORD && p[0] == '{';
    return line && p[record->size - 1] != '\n' ? foreign_torn(record, NOT_A_RECORD) : result;
}

/* Pass over what is no record up to the next that is one. However many calls it takes, only the
 * last says what was lost. */
static enum foreign_result search(struct foreign_decoder *decoder,
                                  const struct foreign_input *input, struct foreign_record *record)
{
    const uint8_t *p = input->bytes.data;
    size_t have = input->bytes.size, end = searchable(input);
    if (end == 0)
        return foreign_more(record, START_MAX < input->left ? START_MAX : input->left);
    for (size_t at = decoder->searching ? 0 : 1; at < end; at++) {
        if (!may_start(p + at, have - at))
            continue;
        enum foreign_result result = try_at(decoder, input, at, record);
        if (result == FOREIGN_MORE && at > 0)
            return search_on(decoder, at, record); /* what is before it need not be kept */
        if (result == FOREIGN_MORE || result == FOREIGN_NO_MEMORY)
            return result;
        if (result == FOREIGN_RECORD)
            return end_search(decoder, input, FOREIGN_DAMAGED, at, record);
    }
    return have == input->left ? end_search(decoder, input, FOREIGN_TORN, 0, record)
                               : search_on(decoder, end, record);
}

enum foreign_result foreign_pybitcask_decode(struct foreign_decoder *decoder,
                                             const struct foreign_input *input,
                                             struct foreign_record *record)
{
    const uint8_t *p = input->bytes.data;
    if (input->offset == 0) {
        decoder->searching = false;
        record->size = 1;
        return p[0] == 1 || p[0] == 2
                   ? FOREIGN_NOTHING
                   : foreign_torn(record, "the file does not begin with 01 or 02");
    }
    if (decoder->searching)
        return search(decoder, input, record);
    enum foreign_result result = decode_either(decoder, input, record);
    if (result != FOREIGN_TORN)
        return result;
    decoder->lost_at = input->offset;
    decoder->why = record->why;
    return search(decoder, input, record);
}
