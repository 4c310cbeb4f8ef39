/* SPDX-License-Identifier: MIT
 * registry.h: all clients, for those who must find another one; and mail between loops.
 *
 * What is shown of a client is what it had at the end of its loop's last pass. Mail is posted to
 * the loop that owns the client and delivered at its next pass; for a client that has gone
 * meanwhile it is dropped. A client without a loop gets it at once.
 *
 * Names and the like change rarely and are copied under the registry's lock (registry_update: who
 * changes them calls it); figures change in every pass and are plain atomic stores
 * (registry_note). */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct client;
struct registry;
struct server;

struct registry *registry_new(void);
void registry_free(struct registry *registry);

/* Gives its id; 0 for want of memory. */
uint64_t registry_add(struct registry *registry, struct client *client);
void registry_remove(struct registry *registry, struct client *client);
/* After a change of its name, user, library, addresses or loop. */
void registry_update(struct registry *registry, const struct client *client);
/* Its figures, by the thread it belongs to. */
void registry_note(const struct client *client);
size_t registry_count(const struct registry *registry);
/* The client of that id, if there is one: to be touched by the thread it belongs to only. */
struct client *registry_find(struct registry *registry, uint64_t id);

struct client_info {
    uint64_t id;
    char name[65], address[64], own_address[64], user[65], library[65], library_version[33];
    char last_command[40];
    unsigned flags;
    int protocol;
    uint64_t age_s, idle_s, in_bytes, in_free, out_bytes, out_blocks, subscriptions, patterns,
        queued; /* queued: commands in MULTI */
    int fd;
    unsigned slot;
};
/* The text of CLIENT LIST's line is made of it. Called under the registry's lock, by ascending id.
 */
void registry_each(struct registry *registry,
                   void (*each)(void *context, const struct client_info *info), void *context);

enum mail_kind {
    MAIL_BYTES,
    MAIL_KILL,
    MAIL_WAKE,
    MAIL_CLIENT, /* a new connection, to the loop that is to have it: loop.c's own */
};
/* Bytes are in both protocols' encoding. Returns false if there is no such client. */
bool registry_post(struct server *server, uint64_t client_id, enum mail_kind kind,
                   bitcask_slice resp2, bitcask_slice resp3);
/* The same bytes to many, copied once. Returns how many of them there are. */
size_t registry_post_many(struct server *server, const uint64_t *client_ids, size_t count,
                          bitcask_slice resp2, bitcask_slice resp3);
/* To all loops' monitors; costs one atomic load if there is none. */
void registry_post_monitors(struct server *server, bitcask_slice line);
bool registry_has_monitors(const struct registry *registry); /* one atomic load */

/* ---- Mail, for loops ----------------------------------------------------------------------- */

struct mail_body { /* counted by reference */
    _Atomic unsigned references;
    bitcask_slice resp2, resp3;
};

struct mail {
    struct mail *next;
    enum mail_kind kind;
    uint64_t client_id;
    struct mail_body *body; /* of BYTES */
    struct client *client;  /* of CLIENT */
};

/* What the mail says, to the client, by its own thread. */
void mail_deliver(const struct mail *mail, struct client *client);
void mail_free(struct mail *mail);

#endif
