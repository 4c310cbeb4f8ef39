/* SPDX-License-Identifier: MIT
 * pubsub.h: channels, patterns, keyspace notifications, monitors.
 *
 * Subscriptions are kept here, under one lock, by channel and by pattern; a message is encoded once
 * for each protocol, counted by reference, and posted to the loops whose clients want it.
 * Publishing with nobody there costs one atomic load. */
#ifndef SERVER_PUBSUB_H
#define SERVER_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>

#include "bitcask.h"

struct client;
struct pubsub;
struct server;

struct pubsub *pubsub_new(void);
void pubsub_free(struct pubsub *pubsub);

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD };
void pubsub_subscribe(struct client *client, enum pubsub_kind kind, bitcask_slice name);
void pubsub_unsubscribe(struct client *client, enum pubsub_kind kind, bitcask_slice name);
void pubsub_unsubscribe_all(struct client *client, enum pubsub_kind kind);
void pubsub_forget(struct client *client); /* on close */

/* Returns how many received it. */
size_t pubsub_publish(struct server *server, enum pubsub_kind kind, bitcask_slice channel,
                      bitcask_slice message);

/* How many channels, patterns or shard channels the client listens to. */
size_t pubsub_count_of(const struct client *client, enum pubsub_kind kind);

/* How many listen to a channel; how many patterns there are. */
size_t pubsub_listeners(struct pubsub *pubsub, enum pubsub_kind kind, bitcask_slice name);
size_t pubsub_patterns(struct pubsub *pubsub);
size_t pubsub_channels(struct pubsub *pubsub);
/* The names that have listeners, under the lock. */
void pubsub_each(struct pubsub *pubsub, enum pubsub_kind kind,
                 void (*each)(void *context, bitcask_slice name), void *context);

/* Keyspace notifications: kinds as letters of notify-keyspace-events ('g', '$', 'x', 'n', ...). */
void pubsub_notify(struct server *server, char kind, const char *event, bitcask_slice key);

/* Glob matching as Redis has it ("h[ae]llo*", \ escapes), iterative: at most pattern times text. */
bool glob_match(bitcask_slice pattern, bitcask_slice text, bool ignore_case);

#endif
