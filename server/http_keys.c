/* SPDX-License-Identifier: MIT
 * http_keys.c: /v1/keys: one key's value as the body; and lists of keys.
 *
 * ETag is the version of the record. If-Match and If-None-Match make writes conditional;
 * Bitcask-TTL (or ?ttl=) gives an expiry. Values are sent from where they lie. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "http_request.h"
#include "metrics.h"
#include "pubsub.h"
#include "settings.h"

enum {
    LIST_DEFAULT = 100,
    LIST_MAX = 1000,
    LIST_VALUE_MAX = 1024,    /* bytes of a value that a list shows */
    LIST_WORK_US = 100 * 1000 /* a page of a list that finds little ends after as much */
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t http_note_command(struct http_request *request, const char *name, uint64_t started_ns,
                           bitcask_status status)
{
    const struct command *command = command_find(bitcask_str(name));
    uint64_t now = clock_ns();
    if (command != NULL && started_ns != 0)
        metrics_command(request->server->metrics, request->worker->slot, command->index,
                        now - started_ns, status < 0 ? METRICS_FAILED : METRICS_OK);
    return now;
}

/* ---- Headers -----------------------------------------------------------------------------------
 */

static void add_meta_headers(struct http_request *request, const bitcask_meta *meta)
{
    char text[64];
    snprintf(text, sizeof text, "\"%" PRIu64 "\"", meta->version);
    http_add_header(request, "ETag", text);
    if (meta->expires_us == 0)
        return;
    uint64_t now_us = server_wall_us();
    uint64_t left_us = meta->expires_us > now_us ? meta->expires_us - now_us : 0;
    snprintf(text, sizeof text, "%" PRIu64 ".%03" PRIu64, left_us / 1000000, left_us / 1000 % 1000);
    http_add_header(request, "Bitcask-TTL", text);
}

/* "VERSION" with its quotes, as ETag has it. */
static bool parse_tag(const char *tag, uint64_t *version)
{
    size_t size = strlen(tag);
    if (size < 3 || size > 22 || tag[0] != '"' || tag[size - 1] != '"' ||
        strspn(tag + 1, "0123456789") != size - 2)
        return false;
    *version = strtoull(tag + 1, NULL, 10);
    return true;
}

/* The conditions and the expiry of a write; false if they make no sense, then it is replied. */
static bool write_options(struct http_request *request, bitcask_write_options *options,
                          bool *has_ttl)
{
    const char *match = http_header(request, "If-Match");
    const char *none_match = http_header(request, "If-None-Match");
    const char *ttl = http_header(request, "Bitcask-TTL");
    bitcask_slice argument = http_argument(request, "ttl");
    http_write_options(request, options);
    if (match != NULL && strcmp(match, "*") == 0) {
        options->flags |= BITCASK_IF_PRESENT;
    } else if (match != NULL && parse_tag(match, &options->if_version)) {
        options->flags |= BITCASK_IF_VERSION;
    } else if (match != NULL) {
        http_reply_error(request, 400, "If-Match takes * or one ETag of this server");
        return false;
    }
    if (none_match != NULL && strcmp(none_match, "*") == 0 && match == NULL) {
        options->flags |= BITCASK_IF_ABSENT;
    } else if (none_match != NULL) {
        http_reply_error(request, 400, "If-None-Match takes * here, and not beside If-Match");
        return false;
    }
    if (ttl == NULL && argument.data != NULL)
        ttl = argument.data;
    *has_ttl = ttl != NULL;
    uint64_t ms = 0;
    if (ttl != NULL && strcmp(ttl, "none") != 0 && strcmp(ttl, "keep") != 0) {
        if (!http_parse_duration_ms(ttl, &ms) || ms == 0) {
            http_reply_error(request, 400,
                             "Bitcask-TTL takes seconds, 500ms, 10m, 2h, 7d, none or keep");
            return false;
        }
        options->expires_us = server_wall_us() + ms * 1000;
    }
    if (ttl != NULL && strcmp(ttl, "keep") == 0)
        options->flags |= BITCASK_KEEP_TTL;
    return true;
}

void http_write_options(struct http_request *request, bitcask_write_options *options)
{
    bitcask_write_options_init(options);
    options->sync = (bitcask_sync)setting_number(request->server->settings, SETTING_APPENDFSYNC);
}

/* ---- One key -----------------------------------------------------------------------------------
 */

bool http_key_is_good(struct http_request *request, bitcask_slice key)
{
    if (key.size > 0 && key.size <= BITCASK_MAX_KEY_SIZE)
        return true;
    http_reply_error(request, 400, "a key has 1 to %u bytes", BITCASK_MAX_KEY_SIZE);
    return false;
}

/* CLIENT PAUSE holds writes back on the Redis side; here they are to come again. */
bool http_write_is_paused(struct http_request *request)
{
    uint64_t until_us = atomic_load(&request->server->pause_until_us);
    if (until_us == 0 || server_monotonic_us() >= until_us)
        return false;
    http_reply_error(request, 503, "writes are paused (CLIENT PAUSE)");
    http_add_header(request, "Retry-After", "1");
    return true;
}

static void release_view(void *context)
{
    bitcask_views_release(context, 1);
    free(context);
}

/* May a cached copy be used? If-None-Match may list several tags. */
static bool is_cached(const struct http_request *request, const bitcask_meta *meta)
{
    const char *tags = http_header(request, "If-None-Match");
    char tag[32];
    snprintf(tag, sizeof tag, "\"%" PRIu64 "\"", meta->version);
    return tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, tag) != NULL);
}

void http_key_get(struct http_request *request)
{
    bitcask_slice key = http_rest(request);
    bitcask_error error = {0};
    if (!http_key_is_good(request, key))
        return;
    bitcask_view *view = calloc(1, sizeof *view);
    if (view == NULL) {
        http_reply_status(request, BITCASK_NO_MEMORY, NULL);
        return;
    }
    uint64_t started_ns = clock_ns();
    bitcask_status status = bitcask_get_view(request->server->store, NULL, key, view, &error);
    http_note_command(request, "get", started_ns, status);
    metrics_add(request->server->metrics, request->worker->slot,
                status == BITCASK_OK ? METRIC_KEYSPACE_HITS : METRIC_KEYSPACE_MISSES, 1);
    if (status != BITCASK_OK) {
        free(view);
        http_reply_status(request, status, &error);
        return;
    }
    bitcask_meta meta = view->meta;
    struct MHD_Response *response = NULL;
    bool cached = is_cached(request, &meta);
    if (cached) {
        release_view(view);
        http_reply_empty(request, 304);
    } else {
        response = MHD_create_response_from_buffer_with_free_callback_cls(
            view->value.size, (void *)(uintptr_t)view->value.data, release_view, view);
        if (response == NULL)
            release_view(view);
        http_reply_response(request, 200, response);
        request->reply_size = meta.value_size;
        http_add_header(request, "Content-Type", "application/octet-stream");
        http_add_header(request, "Content-Security-Policy", "default-src 'none'; sandbox");
    }
    add_meta_headers(request, &meta);
}

void http_key_put(struct http_request *request)
{
    bitcask_slice key = http_rest(request);
    bitcask_write_options options;
    bitcask_error error = {0};
    bitcask_meta meta = {0};
    bool has_ttl;
    if (!http_key_is_good(request, key) || !write_options(request, &options, &has_ttl) ||
        http_write_is_paused(request))
        return;
    uint64_t started_ns = clock_ns();
    bitcask_status status = bitcask_put(request->server->store, key, http_body(request), &options,
                                        &meta.version, &error);
    http_note_command(request, "set", started_ns, status);
    if (status == BITCASK_NOT_FOUND)
        status = BITCASK_CONFLICT; /* If-Match, and nothing there: the condition failed */
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return;
    }
    pubsub_notify(request->server, '$', "set", key);
    meta.expires_us = options.expires_us;
    http_reply_empty(request, 204);
    add_meta_headers(request, &meta);
}

void http_key_delete(struct http_request *request)
{
    bitcask_slice key = http_rest(request);
    bitcask_write_options options;
    bitcask_error error = {0};
    bool has_ttl;
    if (!http_key_is_good(request, key) || !write_options(request, &options, &has_ttl) ||
        http_write_is_paused(request))
        return;
    uint64_t started_ns = clock_ns();
    bitcask_status status = bitcask_delete(request->server->store, key, &options, NULL, &error);
    http_note_command(request, "del", started_ns, status);
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return;
    }
    pubsub_notify(request->server, 'g', "del", key);
    http_reply_empty(request, 204);
}

/* A new expiry for the value as it is. */
void http_key_patch(struct http_request *request)
{
    bitcask_slice key = http_rest(request);
    bitcask_write_options options;
    bitcask_error error = {0};
    bitcask_meta meta = {0};
    bool has_ttl;
    if (!http_key_is_good(request, key) || !write_options(request, &options, &has_ttl) ||
        http_write_is_paused(request))
        return;
    if (!has_ttl || (options.flags & BITCASK_KEEP_TTL) != 0) {
        http_reply_error(request, 400, "PATCH takes the new expiry in Bitcask-TTL; none for ever");
        return;
    }
    options.flags &= BITCASK_IF_VERSION;
    uint64_t started_ns = clock_ns();
    bitcask_status status =
        bitcask_expire(request->server->store, key, &options, &meta.version, &error);
    http_note_command(request, "pexpireat", started_ns, status);
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return;
    }
    pubsub_notify(request->server, 'g', options.expires_us == 0 ? "persist" : "expire", key);
    meta.expires_us = options.expires_us;
    http_reply_empty(request, 204);
    add_meta_headers(request, &meta);
}

/* ---- Lists -------------------------------------------------------------------------------------
 */

struct list {
    struct http_request *request;
    bitcask_slice prefix, match;
    bool values;
    uint64_t limit, count;
    struct text json;
};

static void list_entry(struct list *list, const bitcask_entry *entry)
{
    struct text *json = &list->json;
    text_open(json, '{');
    text_bytes(json, "key", entry->key);
    text_member(json, "size");
    text_unsigned(json, entry->meta.value_size);
    text_member(json, "version");
    text_unsigned(json, entry->meta.version);
    if (entry->meta.expires_us != 0) {
        text_member(json, "expires_us");
        text_unsigned(json, entry->meta.expires_us);
    }
    if (list->values && entry->value.size <= LIST_VALUE_MAX)
        text_bytes(json, "value", entry->value);
    text_close(json, '}');
    list->count++;
}

static bool is_wanted(const struct list *list, bitcask_slice key)
{
    return key.size >= list->prefix.size &&
           (list->prefix.size == 0 ||
            memcmp(key.data, list->prefix.data, list->prefix.size) == 0) &&
           (list->match.size == 0 || glob_match(list->match, key, false)) &&
           acl_check_key(list->request->user, key, false);
}

/* Walk on from *cursor until the page is full or the time is up, to the end of a batch (a shard of
 * the index, up to 2,048 keys): cursors stand only there. *cursor UINT64_MAX: it is done. */
static bitcask_status walk(struct list *list, bitcask_iterator *iterator, uint64_t *cursor,
                           bitcask_error *error)
{
    uint64_t end_us = server_monotonic_us() + LIST_WORK_US;
    bool enough = false;
    bitcask_iterator_seek_cursor(iterator, *cursor);
    for (unsigned steps = 1;; steps++) {
        bitcask_entry entry;
        bitcask_status status = bitcask_iterator_next(iterator, &entry, error);
        if (status == BITCASK_END)
            *cursor = UINT64_MAX;
        if (status != BITCASK_OK && status != BITCASK_CORRUPT)
            return status;
        if (status == BITCASK_OK && is_wanted(list, entry.key))
            list_entry(list, &entry);
        enough |= list->count >= list->limit || (steps % 64 == 0 && server_monotonic_us() > end_us);
        *cursor = bitcask_iterator_cursor(iterator);
        if (enough && *cursor != bitcask_iterator_batch_cursor(iterator))
            return BITCASK_OK;
    }
}

static void end_list(struct list *list, uint64_t cursor)
{
    struct text *json = &list->json;
    char text[32]; /* as text: numbers above 2^53 would lose digits in most readers */
    snprintf(text, sizeof text, "%" PRIu64, cursor);
    text_close(json, ']');
    text_member(json, "cursor");
    if (cursor == UINT64_MAX)
        text_null(json);
    else
        text_string_c(json, text);
    text_member(json, "progress");
    text_number(json, cursor == UINT64_MAX ? 1.0 : (double)cursor / 18446744073709551616.0);
    text_member(json, "total");
    text_unsigned(json, bitcask_count(list->request->server->store));
    text_close(json, '}');
    http_reply_json(list->request, 200, json);
}

void http_keys_list(struct http_request *request)
{
    bitcask_error error = {0};
    struct list list = {.request = request,
                        .prefix = http_argument(request, "prefix"),
                        .match = http_argument(request, "match")};
    uint64_t cursor = http_argument_number(request, "cursor", 0, UINT64_MAX);
    list.limit = http_argument_number(request, "limit", LIST_DEFAULT, LIST_MAX);
    list.values = http_argument_number(request, "values", 0, 1) == 1;
    bitcask_iterator *iterator = NULL;
    bitcask_status status =
        bitcask_iterator_new(request->server->store, NULL, bitcask_str(""),
                             list.values ? BITCASK_VALUES : BITCASK_KEYS, &iterator, &error);
    if (status == BITCASK_OK) {
        text_open(&list.json, '{');
        text_member(&list.json, "keys");
        text_open(&list.json, '[');
        status = cursor == UINT64_MAX ? BITCASK_END : walk(&list, iterator, &cursor, &error);
        bitcask_iterator_free(iterator);
    }
    if (status >= 0) {
        end_list(&list, cursor);
        return;
    }
    text_release(&list.json);
    http_reply_status(request, status, &error);
}
