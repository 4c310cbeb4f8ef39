/* SPDX-License-Identifier: MIT
 * reply.c: replies, in the protocol the client speaks. */
#include "reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "metrics.h"
#include "output.h"
#include "sigbus.h"

enum {
    HEADER_MAX = 32, /* bytes of a type's letter, a number and CR LF */
    TEXT_MAX = 1024, /* bytes of an error, or of a short formatted text */
};

/* The output, or NULL if this reply is not wanted. */
static struct output *wanted(const struct client *client)
{
    return client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP) ? NULL : client->out;
}

static void append(struct client *client, const void *data, size_t size)
{
    struct output *out = wanted(client);
    if (out != NULL)
        output_append(out, data, size);
}

#define APPEND_TEXT(client, text) append(client, text, sizeof(text) - 1)

/* "%llu" of `number` at `to`, without a NUL. Returns its length. */
static size_t print_unsigned(char *to, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < count; i++)
        to[i] = digits[count - 1 - i];
    return count;
}

static size_t print_signed(char *to, int64_t number)
{
    if (number >= 0)
        return print_unsigned(to, (uint64_t)number);
    to[0] = '-';
    return 1 + print_unsigned(to + 1, (uint64_t)0 - (uint64_t)number);
}

/* "*3\r\n" at `to`, which has room for HEADER_MAX bytes. */
static size_t print_header(char *to, char type, uint64_t count)
{
    to[0] = type;
    size_t size = 1 + print_unsigned(to + 1, count);
    to[size] = '\r';
    to[size + 1] = '\n';
    return size + 2;
}

static void append_header(struct client *client, char type, uint64_t count)
{
    struct output *out = wanted(client);
    char *to = out == NULL ? NULL : output_room(out, HEADER_MAX);
    if (to != NULL)
        out->size += print_header(to, type, count);
}

/* ---- Simple types ---------------------------------------------------------------------------- */

void reply_ok(struct client *client)
{
    APPEND_TEXT(client, "+OK\r\n");
}

void reply_simple(struct client *client, const char *text)
{
    APPEND_TEXT(client, "+");
    append(client, text, strlen(text));
    APPEND_TEXT(client, "\r\n");
}

void reply_error(struct client *client, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\r' || text[i] == '\n')
            text[i] = ' ';
    client->error_replies++;
    if (client->server != NULL)
        metrics_error(client->server->metrics, client->slot, text);
    APPEND_TEXT(client, "-");
    append(client, text, size);
    APPEND_TEXT(client, "\r\n");
}

void reply_integer(struct client *client, int64_t number)
{
    struct output *out = wanted(client);
    char *to = out == NULL ? NULL : output_room(out, HEADER_MAX);
    if (to == NULL)
        return;
    to[0] = ':';
    size_t size = 1 + print_signed(to + 1, number);
    to[size] = '\r';
    to[size + 1] = '\n';
    out->size += size + 2;
}

void reply_double(struct client *client, double number)
{
    char text[64];
    if (isinf(number))
        snprintf(text, sizeof text, number > 0 ? "inf" : "-inf");
    else if (isnan(number))
        snprintf(text, sizeof text, "nan");
    else
        snprintf(text, sizeof text, "%.17g", number);
    if (client->protocol == 2) {
        reply_bulk_text(client, text);
        return;
    }
    APPEND_TEXT(client, ",");
    append(client, text, strlen(text));
    APPEND_TEXT(client, "\r\n");
}

void reply_bool(struct client *client, bool value)
{
    if (client->protocol == 2)
        reply_integer(client, value);
    else
        append(client, value ? "#t\r\n" : "#f\r\n", 4);
}

void reply_null(struct client *client)
{
    if (client->protocol == 2)
        APPEND_TEXT(client, "$-1\r\n");
    else
        APPEND_TEXT(client, "_\r\n");
}

void reply_null_array(struct client *client)
{
    if (client->protocol == 2)
        APPEND_TEXT(client, "*-1\r\n");
    else
        APPEND_TEXT(client, "_\r\n");
}

/* ---- Strings --------------------------------------------------------------------------------- */

void reply_bulk(struct client *client, bitcask_slice bytes)
{
    struct output *out = wanted(client);
    char *to = out == NULL ? NULL : output_room(out, HEADER_MAX + bytes.size);
    if (to == NULL)
        return;
    size_t size = print_header(to, '$', bytes.size);
    if (bytes.size > 0)
        memcpy(to + size, bytes.data, bytes.size);
    size += bytes.size;
    to[size] = '\r';
    to[size + 1] = '\n';
    out->size += size + 2;
}

void reply_bulk_text(struct client *client, const char *text)
{
    reply_bulk(client, bitcask_str(text));
}

void reply_bulk_format(struct client *client, const char *format, ...)
{
    char short_text[TEXT_MAX];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(short_text, sizeof short_text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof short_text) {
        reply_bulk(client, bitcask_bytes(short_text, (size_t)length));
    } else if (length > 0) {
        char *text = malloc((size_t)length + 1);
        if (text != NULL) {
            vsnprintf(text, (size_t)length + 1, format, again);
            reply_bulk(client, bitcask_bytes(text, (size_t)length));
            free(text);
        } else {
            client->out->broken = true;
        }
    }
    va_end(again);
}

void reply_bulk_integer(struct client *client, int64_t number)
{
    char text[24];
    reply_bulk(client, bitcask_bytes(text, print_signed(text, number)));
}

void reply_bulk_view(struct client *client, bitcask_view *view)
{
    struct output *out = wanted(client);
    if (out == NULL || view->value.size < OUTPUT_VIEW_MIN) {
        unsigned lost = sigbus_count();
        reply_bulk(client, view->value);
        if (sigbus_count() != lost) /* the page went after the value was checked: it is not sent */
            client->flags |= CLIENT_CLOSE_NOW;
        bitcask_views_release(view, 1);
        return;
    }
    append_header(client, '$', view->value.size);
    output_append_view(out, view);
    output_append(out, "\r\n", 2);
    *view = (bitcask_view){0};
}

void reply_verbatim(struct client *client, const char kind[4], bitcask_slice text)
{
    if (client->protocol == 2) {
        reply_bulk(client, text);
        return;
    }
    append_header(client, '=', text.size + 4);
    append(client, kind, 3);
    APPEND_TEXT(client, ":");
    append(client, text.data, text.size);
    APPEND_TEXT(client, "\r\n");
}

/* ---- Aggregates ------------------------------------------------------------------------------ */

void reply_array(struct client *client, size_t count)
{
    append_header(client, '*', count);
}

void reply_map(struct client *client, size_t pairs)
{
    if (client->protocol == 2)
        append_header(client, '*', pairs * 2);
    else
        append_header(client, '%', pairs);
}

void reply_set(struct client *client, size_t count)
{
    append_header(client, client->protocol == 2 ? '*' : '~', count);
}

void reply_push(struct client *client, size_t count)
{
    append_header(client, client->protocol == 2 ? '*' : '>', count);
}

size_t reply_later(struct client *client)
{
    return client->out->size;
}

void reply_end(struct client *client, size_t mark, enum reply_aggregate kind, size_t count)
{
    struct output *out = wanted(client);
    if (out == NULL || out->broken)
        return;
    char header[HEADER_MAX], type = '*';
    if (kind == REPLY_MAP && client->protocol == 2)
        count *= 2;
    else if (kind == REPLY_MAP)
        type = '%';
    else if (kind == REPLY_SET && client->protocol != 2)
        type = '~';
    output_insert(out, mark, header, print_header(header, type, count));
}

void reply_insert(struct client *client, size_t mark, bitcask_slice bytes)
{
    struct output *out = wanted(client);
    if (out != NULL && !out->broken)
        output_insert(out, mark, bytes.data, bytes.size);
}

void reply_raw(struct client *client, bitcask_slice bytes)
{
    append(client, bytes.data, bytes.size);
}
