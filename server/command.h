/* SPDX-License-Identifier: MIT
 * command.h: the table of commands.
 *
 * One entry a command, as redis-server 7.0's COMMAND shows it: name, arity (with the name;
 * negative: at least), flags, where the keys stand, ACL categories, and for COMMAND DOCS a summary.
 * dispatch decides by the entry whether it may run and how; the function does the work and writes
 * one reply. */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct client;
struct server;

enum command_flags {
    COMMAND_WRITE = 1 << 0,
    COMMAND_READONLY = 1 << 1,
    COMMAND_DENYOOM = 1 << 2, /* may make the store larger */
    COMMAND_ADMIN = 1 << 3,
    COMMAND_PUBSUB = 1 << 4,
    COMMAND_NOSCRIPT = 1 << 5,
    COMMAND_FAST = 1 << 6,
    COMMAND_LOADING = 1 << 7,
    COMMAND_STALE = 1 << 8,
    COMMAND_NO_AUTH = 1 << 9, /* before authentication: AUTH HELLO QUIT RESET */
    COMMAND_NO_MULTI = 1 << 10,
    COMMAND_ALONE = 1 << 11, /* needs the gate for itself (gate.h) */
    COMMAND_NO_MONITOR = 1 << 12,
    COMMAND_SECRET = 1 << 13, /* its arguments are shown to nobody: AUTH, HELLO, CONFIG, ACL */
    COMMAND_MAY_BLOCK = 1 << 14,
    COMMAND_OTHER_TYPE = 1 << 15, /* of lists, hashes, ...: says that it is not supported */
    COMMAND_NO_SLOWLOG = 1 << 16,
    COMMAND_ALLOW_BUSY = 1 << 17,
    COMMAND_NO_ASYNC_LOADING = 1 << 18,
    COMMAND_IN_SUBSCRIPTION = 1 << 19, /* a subscriber in RESP2 may use it */
};

enum command_category { /* bits; the ACL's @names in the same order, acl.c */
                        CATEGORY_KEYSPACE = 1 << 0,
                        CATEGORY_READ = 1 << 1,
                        CATEGORY_WRITE = 1 << 2,
                        CATEGORY_STRING = 1 << 3,
                        CATEGORY_BITMAP = 1 << 4,
                        CATEGORY_PUBSUB = 1 << 5,
                        CATEGORY_ADMIN = 1 << 6,
                        CATEGORY_FAST = 1 << 7,
                        CATEGORY_SLOW = 1 << 8,
                        CATEGORY_BLOCKING = 1 << 9,
                        CATEGORY_DANGEROUS = 1 << 10,
                        CATEGORY_CONNECTION = 1 << 11,
                        CATEGORY_TRANSACTION = 1 << 12,
                        CATEGORY_SCRIPTING = 1 << 13,
};

struct command_call {
    const struct command *command;
    const bitcask_slice *words; /* words[0] is the name as it was given */
    size_t count;
};

typedef void command_fn(struct client *client, const struct command_call *call);

struct command {
    const char *name; /* lower case; of a subcommand "config|get" */
    int arity;
    unsigned flags;
    unsigned categories;
    int first_key, last_key, key_step; /* words; 0: none. last_key -1: to the end */
    command_fn *run;
    const struct command *subcommands; /* ended by one without a name; NULL: none */
    const char *key_flags; /* as COMMAND INFO has them: "RW access; OW update", one for each key
                              specification; "": no keys */
    const char *tips;      /* "nondeterministic_output ..." */
    const char *since;     /* "1.0.0" */
    const char *summary;
    unsigned index; /* of the table, flat, subcommands included: metrics count by it */
};

/* All commands, by name; ended by one without a name. */
extern const struct command command_table[];

/* By name, any case. NULL: unknown. Of a command with subcommands the second word may choose one:
 * command_resolve. Cost: one hash and one comparison. */
const struct command *command_find(bitcask_slice name);
const struct command *command_resolve(const bitcask_slice *words, size_t count);

/* The subcommand of that name, any case; NULL: there is none. */
const struct command *command_find_sub(const struct command *command, bitcask_slice name);

/* How many there are, subcommands included: indexes run from 0 to that. */
unsigned command_count(void);
const struct command *command_at(unsigned index);

/* ---- dispatch ------------------------------------------------------------------------------ */

/* Execute one request of `client`, inside its thread's gate: unknown names, arity, authentication,
 * ACL, the restrictions of subscribers and of MULTI, pause, then the command; and count it, time
 * it, show it to monitors, note it if it was slow. Exactly one reply is written (none to a client
 * that wants none). */
void dispatch(struct client *client, const bitcask_slice *words, size_t count);

/* The same for requests that came in one piece: runs of plain GET are looked up together
 * (bitcask_get_many), runs of plain SET are written as one batch (bitcask_write), with replies as
 * if one by one. `counts[i]` words each, one behind the other in `words`.
 * Ends where one closes the client. Whoever calls holds back what CLIENT PAUSE holds back. */
void dispatch_pipeline(struct client *client, const bitcask_slice *words, const size_t *counts,
                       size_t requests);

#endif
