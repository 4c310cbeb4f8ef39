/* SPDX-License-Identifier: MIT
 * http_route.c: the paths there are. */
#include <string.h>

#include "http_request.h"

/* `command` is what the user's ACL must allow. Of several that fit the first counts. */
static const struct http_route routes[] = {
    {HTTP_GET, "/", 0, "info", http_page},
    {HTTP_GET, "/app.js", 0, "info", http_page_script},
    {HTTP_GET, "/app.css", 0, "info", http_page_style},
    {HTTP_GET, "/icon.svg", 0, "info", http_page_icon},

    {HTTP_GET, "/healthz", HTTP_OPEN, NULL, http_healthz},
    {HTTP_GET, "/readyz", HTTP_OPEN, NULL, http_readyz},
    {HTTP_GET, "/metrics", 0, "info", http_metrics},

    {HTTP_GET, "/v1/openapi.json", 0, NULL, http_openapi},
    {HTTP_GET, "/v1/session", 0, NULL, http_session},
    {HTTP_GET, "/v1/status", 0, "info", http_status},
    {HTTP_GET, "/v1/history", 0, "info", http_history_get},
    {HTTP_GET, "/v1/segments", 0, "info", http_segments},
    {HTTP_GET, "/v1/logs", 0, "slowlog", http_logs},
    {HTTP_GET, "/v1/slow", 0, "slowlog", http_slow},
    {HTTP_GET, "/v1/clients", 0, "client|list", http_clients},
    {HTTP_GET, "/v1/events", 0, "get", http_events},

    {HTTP_GET, "/v1/keys", 0, "scan", http_keys_list},
    {HTTP_GET, "/v1/keys/", HTTP_REST, "get", http_key_get},
    {HTTP_PUT, "/v1/keys/", HTTP_GATE | HTTP_REST | HTTP_WRITES, "set", http_key_put},
    {HTTP_DELETE, "/v1/keys/", HTTP_GATE | HTTP_REST | HTTP_WRITES, "del", http_key_delete},
    {HTTP_PATCH, "/v1/keys/", HTTP_GATE | HTTP_REST | HTTP_WRITES, "pexpireat", http_key_patch},
    {HTTP_POST, "/v1/batch", HTTP_GATE | HTTP_WRITES, NULL, http_batch},

    {HTTP_POST, "/v1/admin/merge", HTTP_WRITES | HTTP_TOKEN, "bc.merge", http_admin_merge},
    {HTTP_POST, "/v1/admin/verify", HTTP_WRITES | HTTP_TOKEN, "bc.verify", http_admin_verify},
    {HTTP_POST, "/v1/admin/backup", HTTP_WRITES | HTTP_TOKEN, "bc.backup", http_admin_backup},
    {HTTP_POST, "/v1/admin/cancel", HTTP_WRITES | HTTP_TOKEN, "bc.merge", http_admin_cancel},

    /* pybitcask's server, and bitcaskpy's */
    {HTTP_POST, "/put", HTTP_GATE | HTTP_WRITES | HTTP_COMPAT, NULL, http_pyb_put},
    {HTTP_POST, "/batch", HTTP_GATE | HTTP_WRITES | HTTP_COMPAT, NULL, http_pyb_batch},
    {HTTP_GET, "/get/", HTTP_REST | HTTP_COMPAT, "get", http_pyb_get},
    {HTTP_DELETE, "/delete/", HTTP_GATE | HTTP_REST | HTTP_WRITES | HTTP_COMPAT, "del",
     http_pyb_delete},
    {HTTP_GET, "/keys", HTTP_COMPAT, "keys", http_pyb_keys},
    {HTTP_POST, "/clear", HTTP_WRITES | HTTP_COMPAT, "flushall", http_pyb_clear},
    {HTTP_GET, "/health", HTTP_OPEN | HTTP_COMPAT, NULL, http_compat_health},
    {HTTP_PUT, "/kv/", HTTP_GATE | HTTP_REST | HTTP_WRITES | HTTP_COMPAT, "set", http_kv_put},
    {HTTP_GET, "/kv/", HTTP_REST | HTTP_COMPAT, "get", http_kv_get},
    {HTTP_DELETE, "/kv/", HTTP_GATE | HTTP_REST | HTTP_WRITES | HTTP_COMPAT, "del", http_kv_delete},
    {HTTP_GET, "/kv", HTTP_COMPAT, "info", http_kv_list},
};

static const char *const method_names[] = {
    [HTTP_GET] = "GET",   [HTTP_HEAD] = "HEAD",     [HTTP_PUT] = "PUT",
    [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH"};

static bool path_fits(const struct http_route *route, const char *path)
{
    size_t size = strlen(route->path);
    if ((route->flags & HTTP_REST) != 0)
        return strncmp(path, route->path, size) == 0 && path[size] != '\0';
    return strcmp(path, route->path) == 0;
}

static void allow(char allowed[64], enum http_method method)
{
    if (allowed[0] != '\0')
        strncat(allowed, ", ", 63 - strlen(allowed));
    strncat(allowed, method_names[method], 63 - strlen(allowed));
    if (method == HTTP_GET)
        strncat(allowed, ", HEAD", 63 - strlen(allowed));
}

const struct http_route *http_route_find(enum http_method method, const char *path,
                                         char allowed[64])
{
    if (method == HTTP_HEAD) /* libmicrohttpd leaves the body out */
        method = HTTP_GET;
    allowed[0] = '\0';
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!path_fits(&routes[i], path))
            continue;
        if (routes[i].method == method)
            return &routes[i];
        allow(allowed, routes[i].method);
    }
    return NULL;
}
