/* SPDX-License-Identifier: MIT
 * serve.h: a server from start to end: `bitcask serve`. */
#ifndef SERVER_SERVE_H
#define SERVER_SERVE_H

#include <stdbool.h>
#include <stdio.h>

#include "bitcask.h"
#include "settings.h"

struct listener;
struct server;

/* Open the store that the settings name, listen, say so on `ready` (with its last line: how to
 * reach the server), and serve until SIGTERM or SIGINT; SIGHUP opens the log anew. Then requests at
 * hand are finished, the store is synced and closed. ready  or NULL; `json`: one object on one line
 * Returns OK; or what failed at the start, or at closing the store. To be called once, by the main
 * thread, before there are other threads. */
bitcask_status serve(struct settings *settings, FILE *ready, bool json, bitcask_error *error);

/* The two halves of it, without signals: for tests. The settings stay the caller's. */
bitcask_status server_start(struct settings *settings, struct server **server,
                            bitcask_error *error);
bitcask_status server_stop(struct server *server, bitcask_error *error);
/* The first socket of that kind, or NULL. */
const struct listener *server_listener(const struct server *server, int kind);

#endif
