/* SPDX-License-Identifier: MIT
 * http_status.c: the server as it is now, for the dashboard and for probes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "http_request.h"
#include "jobs.h"
#include "journal.h"
#include "metrics.h"
#include "registry.h"
#include "settings.h"
#include "slowlog.h"
#include "status.h"

/* ---- Probes ------------------------------------------------------------------------------------
 */

/* The process lives and answers. */
void http_healthz(struct http_request *request)
{
    struct text text = {0};
    text_add_c(&text, "ok\n");
    http_reply(request, 200, "text/plain; charset=utf-8", &text);
}

/* It is to be sent requests: the store takes writes, and nobody has asked it to stop. */
void http_readyz(struct http_request *request)
{
    struct text text = {0};
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(request->server->store, &stats);
    bool stops = atomic_load(&request->server->stopping);
    text_add_c(&text, stops ? "stopping\n" : stats.read_only ? "read-only\n" : "ready\n");
    http_reply(request, stops || stats.read_only ? 503 : 200, "text/plain; charset=utf-8", &text);
}

/* ---- What the page needs to begin
 * ---------------------------------------------------------------- */

/* Who one is, the token for changes, and what one may do. */
void http_session(struct http_request *request)
{
    static const struct {
        const char *name, *command;
    } abilities[] = {{"status", "info"},        {"list", "scan"},        {"read", "get"},
                     {"write", "set"},          {"delete", "del"},       {"merge", "bc.merge"},
                     {"verify", "bc.verify"},   {"backup", "bc.backup"}, {"logs", "slowlog"},
                     {"clients", "client|list"}};
    struct text json = {0};
    char token[65];
    http_token(request->http, request->user, token);
    text_open(&json, '{');
    text_member_string(&json, "user", acl_user_name(request->user));
    text_member_string(&json, "token", token);
    text_member_string(&json, "version", bitcask_version());
    text_member_bool(&json, "backup_dir",
                     setting_text(request->server->settings, SETTING_BACKUP_DIR)[0] != '\0');
    text_member(&json, "may");
    text_open(&json, '{');
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
        text_member_bool(&json, abilities[i].name,
                         http_user_may(request->user, abilities[i].command, (bitcask_slice){0}));
    text_close(&json, '}');
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

/* ---- Figures -----------------------------------------------------------------------------------
 */

void http_status(struct http_request *request)
{
    struct text json = {0};
    text_open(&json, '{');
    status_add(&json, request->server);
    text_member_unsigned(&json, "streams", atomic_load(&request->http->stream_count));
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}

void http_segments(struct http_request *request)
{
    struct text json = {0};
    if (status_add_segments(&json, request->server))
        http_reply_json(request, 200, &json);
    else
        http_reply_status(request, BITCASK_NO_MEMORY, NULL);
}

/* ---- Logs, slow requests, clients
 * ---------------------------------------------------------------- */

void http_logs(struct http_request *request)
{
    struct text json = {0};
    uint64_t after = http_argument_number(request, "after", 0, UINT64_MAX);
    status_add_logs(&json, request->server, after);
    http_reply_json(request, 200, &json);
}

void http_slow(struct http_request *request)
{
    struct text json = {0};
    status_add_slow(&json, request->server);
    http_reply_json(request, 200, &json);
}

static void add_client(void *context, const struct client_info *info)
{
    struct text *json = context;
    text_open(json, '{');
    text_member_unsigned(json, "id", info->id);
    text_member_string(json, "address", info->address);
    text_member_string(json, "name", info->name);
    text_member_string(json, "user", info->user);
    text_member_string(json, "library", info->library);
    text_member_string(json, "command", info->last_command);
    text_member_unsigned(json, "protocol", (uint64_t)info->protocol);
    text_member_unsigned(json, "age_s", info->age_s);
    text_member_unsigned(json, "idle_s", info->idle_s);
    text_member_unsigned(json, "out_bytes", info->out_bytes);
    text_close(json, '}');
}

void http_clients(struct http_request *request)
{
    struct text json = {0};
    text_open(&json, '{');
    text_member(&json, "clients");
    text_open(&json, '[');
    registry_each(request->server->registry, add_client, &json);
    text_close(&json, ']');
    text_close(&json, '}');
    http_reply_json(request, 200, &json);
}
