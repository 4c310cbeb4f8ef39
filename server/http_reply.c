/* SPDX-License-Identifier: MIT
 * http_reply.c: what a request brings, and replies to it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_request.h"

/* ---- What came ------------------------------------------------------------------------------- */

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

bitcask_slice http_argument(struct http_request *request, const char *name)
{
    const bitcask_slice none = {0};
    const char *raw = MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
    if (raw == NULL ||
        request->argument_count == sizeof request->arguments / sizeof request->arguments[0])
        return none;
    struct text *decoded = &request->arguments[request->argument_count];
    /* libmicrohttpd has made spaces of '+' already */
    if (!text_from_percent(decoded, bitcask_str(raw), false) || !text_reserve(decoded, 1)) {
        text_release(decoded);
        return none;
    }
    request->argument_count++;
    decoded->data[decoded->size] = '\0';
    return bitcask_bytes(decoded->data, decoded->size);
}

uint64_t http_argument_number(struct http_request *request, const char *name, uint64_t otherwise,
                              uint64_t max)
{
    bitcask_slice text = http_argument(request, name);
    const char *digits = text.data;
    if (text.size == 0 || text.size > 20 || strspn(digits, "0123456789") != text.size)
        return otherwise;
    uint64_t number = strtoull(digits, NULL, 10);
    return number < max ? number : max;
}

bool http_parse_duration_ms(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
    if (*text < '0' || *text > '9') /* strtod would take inf, nan, signs and spaces */
        return false;
    size_t digits = strspn(text, "0123456789.");
    char *end;
    double number = strtod(text, &end);
    if (end != text + digits)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0 && number * units[i].ms < 1e15) {
            *ms = (uint64_t)(number * units[i].ms);
            return true;
        }
    return false;
}

/* ---- Replies --------------------------------------------------------------------------------- */

void http_add_header(struct http_request *request, const char *name, const char *value)
{
    if (request->response != NULL)
        MHD_add_response_header(request->response, name, value);
}

/* What every reply has. Stored bytes must never run as a page of ours, whatever they are. */
static void add_common_headers(struct http_request *request)
{
    http_add_header(request, "X-Content-Type-Options", "nosniff");
    http_add_header(request, "Referrer-Policy", "no-referrer");
    http_add_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    http_add_header(request, "Cache-Control", "no-store");
    http_add_header(request, "request-id", request->id);
}

void http_reply_response(struct http_request *request, unsigned status,
                         struct MHD_Response *response)
{
    if (request->response != NULL)
        MHD_destroy_response(request->response);
    request->response = response;
    request->status = status;
    request->reply_size = 0;
    add_common_headers(request);
}

void http_reply(struct http_request *request, unsigned status, const char *type, struct text *text)
{
    struct MHD_Response *response = NULL;
    if (!text->failed)
        response = MHD_create_response_from_buffer(text->size, text->data, MHD_RESPMEM_MUST_FREE);
    size_t size = text->size;
    if (response == NULL)
        text_release(text);
    *text = (struct text){0};
    http_reply_response(request, response == NULL ? 500 : status, response);
    request->reply_size = size;
    http_add_header(request, "Content-Type", type);
    http_add_header(request, "Content-Security-Policy", "default-src 'none'; sandbox");
}

void http_reply_json(struct http_request *request, unsigned status, struct text *json)
{
    text_add_c(json, "\n");
    http_reply(request, status, "application/json", json);
}

void http_reply_static(struct http_request *request, const char *type, bitcask_slice bytes)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        bytes.size, (void *)(uintptr_t)bytes.data, MHD_RESPMEM_PERSISTENT);
    http_reply_response(request, 200, response);
    request->reply_size = bytes.size;
    http_add_header(request, "Content-Type", type);
}

void http_reply_empty(struct http_request *request, unsigned status)
{
    http_reply_response(request, status,
                        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

void http_reply_error(struct http_request *request, unsigned status, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    bool compat = request->route != NULL && (request->route->flags & HTTP_COMPAT) != 0;
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, compat ? "detail" : "error");
    text_string_c(&json, message);
    if (!compat) {
        text_member(&json, "status");
        text_unsigned(&json, status);
    }
    text_close(&json, '}');
    http_reply_json(request, status, &json);
}

static unsigned http_status_of(bitcask_status status)
{
    switch (status) {
    case BITCASK_NOT_FOUND:
        return 404;
    case BITCASK_EXISTS:
    case BITCASK_CONFLICT:
        return 412;
    case BITCASK_BUSY:
        return 409;
    case BITCASK_INVALID:
        return 400;
    case BITCASK_GAP:
    case BITCASK_DIVERGED:
        return 410;
    case BITCASK_NO_SPACE:
    case BITCASK_LIMIT:
        return 507;
    case BITCASK_READ_ONLY:
    case BITCASK_NO_MEMORY:
        return 503;
    default:
        return 500;
    }
}

void http_reply_status(struct http_request *request, bitcask_status status,
                       const bitcask_error *error)
{
    const char *message = status < 0 && error != NULL && error->message[0] != '\0'
                              ? error->message
                              : bitcask_status_text(status);
    http_reply_error(request, http_status_of(status), "%s", message);
}
