/* SPDX-License-Identifier: MIT
 * server.h: what `bitcask serve` is made of, and what all its threads share.
 *
 *     network   loop       N threads of epoll; each owns its connections from accept to close
 *               transport  TCP, Unix socket, TLS: read and writev of bytes
 *               resp       bytes -> commands, incremental, nothing copied
 *               client     one connection: input, output, who it is, what it has asked for
 *               reply      replies in RESP2 or RESP3 into the client's output
 *     commands  command    the table: name, arity, flags, keys, ACL categories, function
 *               dispatch   may it run, here and now? then run it; runs of GET and SET in one go
 *               keyspace   what commands see of the store: get, set, compare-and-set, expiry,
 *                          a transaction's own writes, notifications, watched keys
 *               cmd_*      the commands, by family
 *     shared    gate       nobody else executes while a transaction does
 *               registry   all clients, for those who must find another one; mail between loops
 *               pubsub     channels and patterns
 *               settings   redis.conf and CONFIG
 *               acl        users, passwords, what they may do
 *               journal    the server's own log
 *               metrics    counts and latencies, one set per thread
 *               http       metrics, health, REST, events, the dashboard (http/ and web/)
 *
 * A command's way: the loop's thread reads what has come, resp cuts it into commands, dispatch runs
 * them one after the other under the thread's own gate, replies gather in the clients' outputs.
 * When all that was readable has been executed, keyspace_commit makes the writes durable once, if
 * the mode asks for it, and only then outputs are written to their sockets. So one pass of a loop
 * is one group commit, however many clients and commands it served.
 *
 * The server sees the store through bitcask.h only. Nothing here is global: tests make servers
 * without sockets, feed clients with bytes and look at their outputs. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct acl;
struct client;
struct commit;
struct gate;
struct http;
struct jobs;
struct journal;
struct keyspace;
struct loop;
struct metrics;
struct pubsub;
struct registry;
struct settings;
struct slowlog;

enum { SERVER_MAX_THREADS = 64 };

struct server {
    bitcask *store;
    const char *directory; /* of the store */
    struct settings *settings;
    struct acl *acl;
    struct journal *journal;
    struct gate *gate;
    struct commit *commit; /* shared syncs of `always` mode; NULL: none are shared */
    struct registry *registry;
    struct pubsub *pubsub;
    struct slowlog *slowlog;
    struct metrics *metrics;
    struct keyspace *keyspace; /* counts of changes, batches at hand: keyspace_new */
    struct jobs *jobs;         /* merge, backup, verify, flush beside the loops: jobs_new */
    struct http *http;         /* or NULL */
    struct loop **loops;
    unsigned loop_count;
    uint64_t started_us;             /* wall clock */
    char run_id[41];                 /* 40 hex digits, new at each start */
    atomic_bool stopping;            /* no new connections; replies go out, then loops end */
    _Atomic uint64_t pause_until_us; /* CLIENT PAUSE, by the monotonic clock; 0: none */
    atomic_bool pause_all;           /* reads too */
};

/* The server's clocks: wall time since 1970, and monotonic, both in microseconds. A loop takes them
 * once per pass (struct loop.now_us); commands use that. */
uint64_t server_wall_us(void);
uint64_t server_monotonic_us(void);

#endif
