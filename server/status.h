/* SPDX-License-Identifier: MIT
 * status.h: the server as it is now, as JSON: what the dashboard and `bitcask top` show. */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct server;

/* Members of an object that is open: what the server is, counts, latency, jobs, the store's
 * statistics. */
void status_add(struct text *json, struct server *server);

/* Whole objects. */
bool status_add_segments(struct text *json, struct server *server); /* false: out of memory */
void status_add_logs(struct text *json, struct server *server, uint64_t after);
void status_add_slow(struct text *json, struct server *server);

uint64_t status_resident_bytes(void); /* of this process */

#endif
