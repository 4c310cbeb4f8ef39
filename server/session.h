/* SPDX-License-Identifier: MIT
 * session.h: what connection commands share. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <stdbool.h>

#include "bitcask.h"

struct client;

/* The redis-server whose commands and error texts these are. */
#define SESSION_REDIS_VERSION "7.0.15"

/* Name the connection: CLIENT SETNAME, HELLO SETNAME. Replies if the name is not allowed. */
bool session_set_name(struct client *client, bitcask_slice name);

#endif
