/* SPDX-License-Identifier: MIT
 * format_jsonl.c: lines of {"key": ..., "value": ..., "expires_at": ...}. */
#include <jansson.h>

#include "cli.h"
#include "formats.h"
#include "server/encoding.h"

/* The bytes under `name` or `name_b64`, whichever is there. */
static enum line_result take_bytes(struct line_decoder *decoder, const json_t *object,
                                   const char *name, const char *name_b64, bitcask_buffer *room,
                                   bitcask_slice *out)
{
    const json_t *text = json_object_get(object, name);
    const json_t *coded = json_object_get(object, name_b64);
    if ((text == NULL) == (coded == NULL))
        return line_bad(decoder,
                        text == NULL ? "no \"%s\" and no \"%s\"" : "both \"%s\" and \"%s\"", name,
                        name_b64);
    const json_t *string = text != NULL ? text : coded;
    if (!json_is_string(string))
        return line_bad(decoder, "\"%s\" is not a string", text != NULL ? name : name_b64);
    *out = bitcask_bytes(json_string_value(string), json_string_length(string));
    if (text != NULL)
        return LINE_ITEM;
    room->size = 0;
    if (!buffer_reserve(room, out->size))
        return LINE_NO_MEMORY;
    if (!base64_decode(*out, room->data, &room->size))
        return line_bad(decoder, "\"%s\" is not padded base64", name_b64);
    *out = bitcask_bytes(room->data, room->size);
    return LINE_ITEM;
}

static enum line_result take_expiry(struct line_decoder *decoder, const json_t *object,
                                    uint64_t *expires_us)
{
    const json_t *value = json_object_get(object, "expires_at");
    const char *why = NULL;
    *expires_us = 0;
    if (value == NULL || json_is_null(value))
        return LINE_ITEM;
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        *expires_us = number < 0 ? 1 : (uint64_t)number;
        why = number == 0 ? NULL : expiry_check(*expires_us);
    } else if (json_is_string(value)) {
        why = expiry_parse(bitcask_bytes(json_string_value(value), json_string_length(value)),
                           expires_us);
    } else {
        why = "is neither an integer nor a string";
    }
    return why == NULL ? LINE_ITEM : line_bad(decoder, "\"expires_at\" %s", why);
}

static enum line_result check_members(struct line_decoder *decoder, json_t *object)
{
    static const char *const known[] = {"key",       "key_b64",    "value",
                                        "value_b64", "expires_at", "version"};
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const char *name = json_object_iter_key(at);
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(known[i], name) != 0)
            i++;
        if (i == sizeof known / sizeof known[0])
            return line_bad(decoder, "unknown member \"%.40s\"", name);
    }
    return LINE_ITEM;
}

static bool is_blank(bitcask_slice line)
{
    const char *p = line.data;
    for (size_t i = 0; i < line.size; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
            return false;
    return true;
}

static enum line_result decode_object(struct line_decoder *decoder, json_t *object,
                                      struct item *item)
{
    enum line_result result = check_members(decoder, object);
    if (result == LINE_ITEM)
        result = take_bytes(decoder, object, "key", "key_b64", &decoder->key, &item->key);
    if (result == LINE_ITEM)
        result = take_bytes(decoder, object, "value", "value_b64", &decoder->value, &item->value);
    if (result == LINE_ITEM)
        result = take_expiry(decoder, object, &item->expires_us);
    const char *why = result == LINE_ITEM ? item_check(item) : NULL;
    return why == NULL ? result : line_bad(decoder, "%s", why);
}

enum line_result jsonl_decode(struct line_decoder *decoder, bitcask_slice line, struct item *item)
{
    json_decref(decoder->tree);
    decoder->tree = NULL;
    if (is_blank(line))
        return LINE_BLANK;
    json_error_t error;
    json_t *tree = json_loadb(line.data, line.size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (tree == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return LINE_NO_MEMORY;
        return line_bad(decoder, "column %d: %.120s", error.column, error.text);
    }
    decoder->tree = tree;
    return json_is_object(tree) ? decode_object(decoder, tree, item)
                                : line_bad(decoder, "not a JSON object");
}

void line_decoder_release(struct line_decoder *decoder)
{
    json_decref(decoder->tree);
    decoder->tree = NULL;
    bitcask_buffer_free(&decoder->key);
    bitcask_buffer_free(&decoder->value);
}

void jsonl_encode(FILE *out, const struct item *item)
{
    struct cli_json json;
    cli_json_begin(&json, out);
    cli_json_bytes(&json, "key", item->key);
    cli_json_bytes(&json, "value", item->value);
    if (item->expires_us != 0)
        cli_json_time(&json, "expires_at", item->expires_us);
    cli_json_end(&json);
}
