/* SPDX-License-Identifier: MIT
 * format_tsv.c: lines of KEY TAB VALUE [TAB EXPIRES_AT]. */
#include "cli.h"
#include "formats.h"
#include "server/encoding.h"

/* The byte that the escape at `in`, behind its backslash, stands for; -1 if there is no such
 * escape. *used: how many characters it has. */
static int unescape_one(bitcask_slice in, size_t *used)
{
    const char *p = in.data;
    *used = 1;
    if (in.size == 0)
        return -1;
    switch (p[0]) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case '\\':
        return '\\';
    case '0':
        return 0;
    case 'x':
        *used = 3;
        if (in.size < 3 || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
            return -1;
        return hex_digit(p[1]) << 4 | hex_digit(p[2]);
    default:
        return -1;
    }
}

/* Undo the escapes of `field`, into `room` if there are any. `column` is that of its first byte. */
static enum line_result unescape(struct line_decoder *decoder, bitcask_slice field, size_t column,
                                 bitcask_buffer *room, bitcask_slice *out)
{
    const char *in = field.data;
    const char *slash = field.size > 0 ? memchr(in, '\\', field.size) : NULL;
    *out = field;
    if (slash == NULL)
        return LINE_ITEM;
    room->size = 0;
    if (!buffer_reserve(room, field.size))
        return LINE_NO_MEMORY;
    char *to = room->data;
    size_t at = 0;
    while (slash != NULL) {
        size_t plain = (size_t)(slash - in) - at;
        memcpy(to + room->size, in + at, plain);
        room->size += plain;
        at += plain + 1;
        size_t used;
        int byte = unescape_one(bitcask_bytes(in + at, field.size - at), &used);
        if (byte < 0)
            return line_bad(decoder,
                            "unknown escape at column %zu: \\t \\n \\r \\\\ \\0 and \\xHH "
                            "are known",
                            column + at);
        to[room->size++] = (char)byte;
        at += used;
        slash = memchr(in + at, '\\', field.size - at);
    }
    memcpy(to + room->size, in + at, field.size - at);
    room->size += field.size - at;
    *out = bitcask_bytes(room->data, room->size);
    return LINE_ITEM;
}

static enum line_result decode_fields(struct line_decoder *decoder, bitcask_slice line, size_t tab,
                                      struct item *item)
{
    const char *data = line.data;
    size_t value_at = tab + 1;
    size_t value_size = line.size - value_at;
    const char *second = value_size > 0 ? memchr(data + value_at, '\t', value_size) : NULL;
    item->expires_us = 0;
    if (second != NULL) {
        size_t expiry_at = (size_t)(second - data) + 1;
        value_size = expiry_at - 1 - value_at;
        bitcask_slice text = bitcask_bytes(data + expiry_at, line.size - expiry_at);
        const char *why = expiry_parse(text, &item->expires_us);
        char shown[24];
        printable(shown, sizeof shown, text);
        if (why != NULL)
            return line_bad(decoder, "the third column '%s' %s (a tab in a value is written \\t)",
                            shown, why);
    }
    enum line_result result =
        unescape(decoder, bitcask_bytes(data, tab), 1, &decoder->key, &item->key);
    if (result != LINE_ITEM)
        return result;
    return unescape(decoder, bitcask_bytes(data + value_at, value_size), value_at + 1,
                    &decoder->value, &item->value);
}

enum line_result tsv_decode(struct line_decoder *decoder, bitcask_slice line, struct item *item)
{
    const char *data = line.data;
    if (line.size > 0 && data[line.size - 1] == '\r')
        line.size--;
    if (line.size == 0)
        return LINE_BLANK;
    const char *tab = memchr(data, '\t', line.size);
    if (tab == NULL)
        return line_bad(decoder, "no tab between key and value");
    enum line_result result = decode_fields(decoder, line, (size_t)(tab - data), item);
    if (result != LINE_ITEM)
        return result;
    const char *why = item_check(item);
    return why == NULL ? LINE_ITEM : line_bad(decoder, "%s", why);
}

void tsv_encode(FILE *out, const struct item *item)
{
    cli_print_tsv(out, item->key);
    putc('\t', out);
    cli_print_tsv(out, item->value);
    if (item->expires_us != 0) {
        char text[CLI_UNIT_SIZE];
        fprintf(out, "\t%s", cli_time_text(text, item->expires_us));
    }
    putc('\n', out);
}
