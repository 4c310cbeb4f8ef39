/* SPDX-License-Identifier: MIT
 * formats.c: what the formats of import and export share. */
#include "formats.h"

#include <stdarg.h>
#include <stdlib.h>

#include "cli.h"

bool buffer_reserve(bitcask_buffer *buffer, size_t more)
{
    if (more <= buffer->capacity - buffer->size)
        return true;
    if (more > SIZE_MAX / 2 - buffer->size || buffer->capacity > SIZE_MAX / 2)
        return false;
    size_t capacity = buffer->capacity < 128 ? 128 : 2 * buffer->capacity;
    if (capacity < buffer->size + more)
        capacity = buffer->size + more;
    void *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

static const uint64_t EXPIRY_LOWEST_US = 100000000000000; /* 1973-03-03 */

const char *expiry_check(uint64_t expires_us)
{
    return expires_us >= EXPIRY_LOWEST_US
               ? NULL
               : "is before 1973: want microseconds since 1970, not seconds or milliseconds";
}

const char *expiry_parse(bitcask_slice text, uint64_t *expires_us)
{
    char copy[CLI_UNIT_SIZE];
    if (text.size < sizeof copy) {
        if (text.size > 0)
            memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
        if (strlen(copy) == text.size &&
            (cli_parse_uint(copy, expires_us) || cli_parse_time(copy, expires_us)))
            return expiry_check(*expires_us);
    }
    return "is no time: want 2030-01-02T03:04:05Z or microseconds since 1970";
}

const char *item_check(const struct item *item)
{
    if (item->key.size == 0)
        return "the key is empty";
    if (item->key.size > BITCASK_MAX_KEY_SIZE)
        return "the key is longer than 65535 bytes";
    if (item->value.size > BITCASK_MAX_VALUE_SIZE)
        return "the value is larger than 1 GiB";
    return NULL;
}

void printable(char *to, size_t size, bitcask_slice bytes)
{
    const char *from = bytes.data;
    size_t n = bytes.size < size - 1 ? bytes.size : size - 1;
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
    to[n] = '\0';
    if (n < bytes.size && n >= 3)
        memcpy(to + n - 3, "...", 3);
}

enum line_result line_bad(struct line_decoder *decoder, const char *format, ...)
{
    char text[sizeof decoder->why];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printable(decoder->why, sizeof decoder->why, bitcask_str(text));
    return LINE_BAD;
}
