/* SPDX-License-Identifier: MIT
 * transport.h: bytes from and to a socket, plain or under TLS. Never waits. */
#ifndef SERVER_TRANSPORT_H
#define SERVER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "bitcask.h"

struct settings;
struct tls; /* certificate, key and rules of a server; transport_tls.c */
struct transport;

struct transport_ops {
    /* Returns how many bytes have come; 0: the peer has ended; -EAGAIN: none now; -errno. */
    ssize_t (*read)(struct transport *transport, void *data, size_t size);
    /* Returns how many bytes were taken; -EAGAIN: none now; -errno. */
    ssize_t (*write)(struct transport *transport, const struct iovec *parts, int count);
    void (*close)(struct transport *transport); /* and free it */
};

struct transport {
    const struct transport_ops *ops;
    int fd;
    bool wants_write; /* a read that said EAGAIN waits for the socket to take bytes (TLS) */
    bool has_more;    /* bytes are at hand that no poll will tell of (TLS) */
};

/* A connection on a socket that does not block; takes `fd` over, also on failure. Returns NULL for
 * want of memory. */
struct transport *transport_plain_new(int fd);

/* ---- TLS: transport_tls.c ------------------------------------------------------------------ */

/* By the tls-* settings. Returns NULL with an error that names the file. */
struct tls *tls_new(const struct settings *settings, bitcask_error *error);
void tls_free(struct tls *tls);

/* As transport_plain_new; the handshake takes place in the first reads. */
struct transport *transport_tls_new(struct tls *tls, int fd);

#endif
