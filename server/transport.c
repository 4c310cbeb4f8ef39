/* SPDX-License-Identifier: MIT
 * transport.c: plain sockets. */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_read(struct transport *transport, void *data, size_t size)
{
    ssize_t count;
    do
        count = recv(transport->fd, data, size, 0);
    while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

static ssize_t plain_write(struct transport *transport, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(void *)(size_t)parts,
                             .msg_iovlen = (size_t)count};
    ssize_t sent;
    do
        sent = count == 1 ? send(transport->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                          : sendmsg(transport->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static void plain_close(struct transport *transport)
{
    close(transport->fd);
    free(transport);
}

struct transport *transport_plain_new(int fd)
{
    static const struct transport_ops ops = {plain_read, plain_write, plain_close};
    struct transport *transport = malloc(sizeof *transport);
    if (transport == NULL) {
        close(fd);
        return NULL;
    }
    *transport = (struct transport){.ops = &ops, .fd = fd};
    return transport;
}
