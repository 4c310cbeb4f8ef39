/* SPDX-License-Identifier: MIT
 * server_fixture.h: a whole server without sockets, on a store in memory. */
#ifndef SERVER_FIXTURE_H
#define SERVER_FIXTURE_H

#include "client.h"
#include "server.h"

/* One that executes with up to `threads` threads. Aborts if it cannot be made: tests need one. */
struct server *fixture_server(unsigned threads);
/* On a store that may not grow beyond so many bytes; 0: no limit. */
struct server *fixture_server_limited(unsigned threads, uint64_t max_disk_bytes);
void fixture_server_free(struct server *server);

/* Change a setting, as CONFIG SET does it. */
void fixture_set(struct server *server, const char *name, const char *value);

/* Feed `request` and give all that the client is sent for it, as a text until the next call for any
 * client. */
const char *fixture_ask(struct client *client, const char *request);

/* The same with words in a string, one space between them: "SET a 1". */
const char *fixture_command(struct client *client, const char *words);

#endif
