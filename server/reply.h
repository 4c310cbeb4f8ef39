/* SPDX-License-Identifier: MIT
 * reply.h: replies, in the protocol the client speaks.
 *
 * What RESP2 lacks is written as RESP2 clients expect it: a map as a flat array, a set and a push
 * as an array, a double as a bulk string, a boolean as 0 or 1, null as $-1. A command writes
 * exactly one reply; aggregates announce their length first (reply_array and then as many
 * elements), or are begun with reply_later and ended when the length is known.
 *
 * None of them fails: a client that cannot take more (its output limit, no memory) is marked to be
 * closed, and what is written to it then goes nowhere. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct client;

void reply_ok(struct client *client);                       /* +OK */
void reply_simple(struct client *client, const char *text); /* +TEXT */
/* "-ERR ..." ; the code is part of the text: "WRONGPASS invalid ...", "ERR syntax error". CR and LF
 * in it become spaces. */
__attribute__((format(printf, 2, 3))) void reply_error(struct client *client, const char *format,
                                                       ...);
void reply_integer(struct client *client, int64_t number);
void reply_double(struct client *client, double number);
void reply_bool(struct client *client, bool value);
void reply_null(struct client *client);       /* $-1, in RESP3 _ */
void reply_null_array(struct client *client); /* *-1, in RESP3 _ */
void reply_bulk(struct client *client, bitcask_slice bytes);
void reply_bulk_text(struct client *client, const char *text);
__attribute__((format(printf, 2, 3))) void reply_bulk_format(struct client *client,
                                                             const char *format, ...);
void reply_bulk_integer(struct client *client, int64_t number);
/* Big values are sent from where they lie. Takes the view over, whatever happens. */
void reply_bulk_view(struct client *client, bitcask_view *view);
void reply_verbatim(struct client *client, const char kind[4], bitcask_slice text); /* "txt" */
void reply_array(struct client *client, size_t count);
void reply_map(struct client *client, size_t pairs);
void reply_set(struct client *client, size_t count);
void reply_push(struct client *client, size_t count);

/* An aggregate whose length is not known yet: a mark, then elements, then the end. They nest. */
size_t reply_later(struct client *client);
enum reply_aggregate { REPLY_ARRAY, REPLY_MAP, REPLY_SET };
void reply_end(struct client *client, size_t mark, enum reply_aggregate kind, size_t count);

/* Bytes to stand in front of what was replied since the mark. */
void reply_insert(struct client *client, size_t mark, bitcask_slice bytes);

/* Bytes that are a whole reply already. */
void reply_raw(struct client *client, bitcask_slice bytes);

#endif
