/* SPDX-License-Identifier: MIT
 * network_stubs.h: stand-ins for what the network calls, so that it can be tested by itself.
 *
 * Their dispatch knows: ECHO WORD (a bulk string), COUNT WORDS... (how many), PUSH N (N bytes of
 * 'x'), AUTH (the client becomes a user), QUIT, WRITE (as a write in `always` mode), and answers
 * anything else with an error. What was called is kept in `stubs`. */
#ifndef NETWORK_STUBS_H
#define NETWORK_STUBS_H

#include <stdbool.h>
#include <stddef.h>

#include "client.h"

struct stubs {
    size_t dispatched; /* requests */
    size_t pipelines;  /* calls of dispatch_pipeline */
    size_t commits, protocol_errors;
    bool open; /* the default user needs no password */
    bool commit_fails;
    size_t max_bulk;
};
extern struct stubs stubs;

/* A server of stand-ins, good for one slot; and its end. */
struct server *stub_server(void);
void stub_server_free(struct server *server);

#endif
