/* SPDX-License-Identifier: MIT
 * remote.h: the server that has a store open, through its Unix socket in the store's directory.
 *
 * One connection, one request after the other, waiting for each reply: RESP2. Replies are bytes
 * from outside: sizes are checked before they are believed. One thread. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

#define REMOTE_SOCKET_NAME "bitcask.sock"

struct remote;

enum remote_kind { REMOTE_TEXT, REMOTE_NUMBER, REMOTE_BYTES, REMOTE_NULL, REMOTE_LIST };

struct remote_reply {
    enum remote_kind kind;
    int64_t number;      /* NUMBER */
    bitcask_slice bytes; /* TEXT, BYTES; valid until the next call */
    size_t count;        /* LIST: of the elements that follow it, with theirs */
};

/* Connect to the server of the store in `directory`. NULL with an error: nobody listens there. */
struct remote *remote_open(const char *directory, bitcask_error *error);
void remote_close(struct remote *remote); /* NULL is allowed */

/* Send one request and read its reply: the elements of a list in a row behind it, depth first.
 *   replies  valid until the next call
 * Returns OK; the status that an error reply stands for, with its text; or IO with an error. */
bitcask_status remote_call(struct remote *remote, const bitcask_slice *words, size_t count,
                           const struct remote_reply **replies, bitcask_error *error);

/* The same with a C string for each word, ended by NULL. */
__attribute__((sentinel)) bitcask_status
remote_ask(struct remote *remote, const struct remote_reply **replies, bitcask_error *error, ...);

#endif
