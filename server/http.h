/* SPDX-License-Identifier: MIT
 * http.h: the HTTP side: metrics, health, REST, events, the dashboard.
 *
 * libmicrohttpd with threads of its own, on its own port, under the same access rules. Handlers
 * execute data commands as the Redis side does: with a gate slot of their own (server->loop_count
 * and up to HTTP_THREADS beyond). */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>

#include "bitcask.h"

struct http;
struct server;

enum { HTTP_THREADS = 2 };

/* Listen as the settings say (http-port 0: returns true with *http NULL). */
bool http_start(struct server *server, struct http **http, bitcask_error *error);
unsigned http_port(const struct http *http); /* the real one, where the setting was "any" */
void http_stop(struct http *http);

#endif
