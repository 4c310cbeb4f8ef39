/* SPDX-License-Identifier: MIT
 * remote.c: requests to a server and its replies. */
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_REPLIES = 1 << 20, MAX_DEPTH = 8, READ_SIZE = 64 << 10, MAX_LINE = 1 << 16 };
#define MAX_BULK ((int64_t)BITCASK_MAX_VALUE_SIZE)

struct remote {
    int fd;
    char *in;
    size_t in_size, in_capacity, in_done; /* in_done: bytes that have been looked at */
    struct remote_reply *replies;
    size_t reply_count, reply_capacity;
};

static bitcask_status fail(bitcask_error *error, bitcask_status status, const char *text)
{
    if (error != NULL) {
        memset(error, 0, sizeof *error);
        error->status = status;
        snprintf(error->message, sizeof error->message, "%s", text);
    }
    return status;
}

static bitcask_status fail_errno(bitcask_error *error, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "the server that has the store: %s: %s", what, strerror(errno));
    return fail(error, BITCASK_IO, text);
}

static bitcask_status fail_protocol(bitcask_error *error)
{
    return fail(error, BITCASK_IO, "the server that has the store: a reply that makes no sense");
}

/* ---- Connection ----------------------------------------------------------------------------- */

/* By way of the directory's descriptor: a socket's path has 107 bytes at most. */
static int connect_in(const char *directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" REMOTE_SOCKET_NAME,
             dir);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        close(fd);
        fd = -1;
        errno = saved;
    }
    close(dir);
    return fd;
}

struct remote *remote_open(const char *directory, bitcask_error *error)
{
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL) {
        fail(error, BITCASK_NO_MEMORY, "out of memory");
        return NULL;
    }
    remote->fd = connect_in(directory);
    if (remote->fd < 0) {
        fail_errno(error, REMOTE_SOCKET_NAME);
        free(remote);
        return NULL;
    }
    return remote;
}

void remote_close(struct remote *remote)
{
    if (remote == NULL)
        return;
    close(remote->fd);
    free(remote->in);
    free(remote->replies);
    free(remote);
}

static bool send_all(struct remote *remote, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t sent = send(remote->fd, p, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        p += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_request(struct remote *remote, const bitcask_slice *words, size_t count)
{
    char head[40];
    int size = snprintf(head, sizeof head, "*%zu\r\n", count);
    bool good = send_all(remote, head, (size_t)size);
    for (size_t i = 0; i < count && good; i++) {
        size = snprintf(head, sizeof head, "$%zu\r\n", words[i].size);
        good = send_all(remote, head, (size_t)size) &&
               send_all(remote, words[i].data, words[i].size) && send_all(remote, "\r\n", 2);
    }
    return good;
}

/* ---- Replies -------------------------------------------------------------------------------- */

/* Read until there are `wanted` bytes beyond those looked at. */
static bitcask_status fill(struct remote *remote, size_t wanted, bitcask_error *error)
{
    size_t end = remote->in_done + wanted;
    while (remote->in_size < end) {
        size_t room = end - remote->in_size > READ_SIZE ? end - remote->in_size : READ_SIZE;
        if (remote->in_capacity - remote->in_size < room) {
            size_t capacity = remote->in_size + room + remote->in_capacity / 2;
            char *grown = realloc(remote->in, capacity);
            if (grown == NULL)
                return fail(error, BITCASK_NO_MEMORY, "out of memory");
            remote->in = grown;
            remote->in_capacity = capacity;
        }
        ssize_t got = recv(remote->fd, remote->in + remote->in_size, room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(error, "read");
        if (got == 0)
            return fail(error, BITCASK_IO, "the server that has the store closed the connection");
        remote->in_size += (size_t)got;
    }
    return BITCASK_OK;
}

/* One line without its end: where it begins in `in`, and its size. */
static bitcask_status read_line(struct remote *remote, size_t *at, size_t *size,
                                bitcask_error *error)
{
    size_t scanned = 0;
    for (;;) {
        const char *start = remote->in + remote->in_done;
        size_t left = remote->in_size - remote->in_done;
        const char *end = left > scanned ? memchr(start + scanned, '\n', left - scanned) : NULL;
        if (end != NULL) {
            *at = remote->in_done;
            *size = (size_t)(end - start);
            if (*size < 2 || start[*size - 1] != '\r')
                return fail_protocol(error);
            remote->in_done += *size + 1;
            *size -= 1;
            return BITCASK_OK;
        }
        scanned = left;
        if (left > MAX_LINE)
            return fail_protocol(error);
        bitcask_status status = fill(remote, left + 1, error);
        if (status != BITCASK_OK)
            return status;
    }
}

static bool parse_number(const char *text, size_t size, int64_t *number)
{
    bool negative = size > 0 && text[0] == '-';
    size_t i = negative;
    if (i == size || size - i > 19)
        return false;
    uint64_t value = 0;
    for (; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > INT64_MAX)
        return false;
    *number = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

static struct remote_reply *add_reply(struct remote *remote)
{
    if (remote->reply_count == remote->reply_capacity) {
        size_t capacity = remote->reply_capacity == 0 ? 16 : remote->reply_capacity * 2;
        struct remote_reply *grown = realloc(remote->replies, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        remote->replies = grown;
        remote->reply_capacity = capacity;
    }
    struct remote_reply *reply = &remote->replies[remote->reply_count++];
    *reply = (struct remote_reply){.kind = REMOTE_NULL};
    return reply;
}

/* An error reply's first word is its code; those of ours are the names of statuses. */
static bitcask_status error_reply(const char *text, size_t size, bitcask_error *error)
{
    static const struct {
        const char *code;
        bitcask_status status;
    } codes[] = {
        {"NOT_FOUND", BITCASK_NOT_FOUND}, {"EXISTS", BITCASK_EXISTS},
        {"CONFLICT", BITCASK_CONFLICT},   {"OOM", BITCASK_LIMIT},
        {"MISCONF", BITCASK_READ_ONLY},   {"BUSY", BITCASK_BUSY},
        {"CORRUPT", BITCASK_CORRUPT},     {"INVALID", BITCASK_INVALID},
    };
    bitcask_status status = BITCASK_IO;
    size_t code = 0;
    while (code < size && text[code] != ' ')
        code++;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strlen(codes[i].code) == code && memcmp(codes[i].code, text, code) == 0)
            status = codes[i].status;
    bool known = status != BITCASK_IO || (code == 3 && memcmp(text, "ERR", 3) == 0);
    size_t rest = known && code < size ? code + 1 : 0;
    char message[200];
    snprintf(message, sizeof message, "%.*s", (int)(size - rest > 199 ? 199 : size - rest),
             text + rest);
    return fail(error, status, message);
}

static bitcask_status read_reply(struct remote *remote, unsigned depth, bitcask_error *error);

static bitcask_status read_bulk(struct remote *remote, struct remote_reply *reply, int64_t size,
                                bitcask_error *error)
{
    size_t index = (size_t)(reply - remote->replies);
    if (size == -1)
        return BITCASK_OK;
    if (size < 0 || size > MAX_BULK)
        return fail_protocol(error);
    bitcask_status status = fill(remote, (size_t)size + 2, error);
    if (status != BITCASK_OK)
        return status;
    /* As an offset for now: `in` may move. */
    remote->replies[index].kind = REMOTE_BYTES;
    remote->replies[index].bytes = bitcask_bytes(NULL, (size_t)size);
    remote->replies[index].number = (int64_t)remote->in_done;
    remote->in_done += (size_t)size + 2;
    return BITCASK_OK;
}

static bitcask_status read_list(struct remote *remote, size_t index, int64_t count, unsigned depth,
                                bitcask_error *error)
{
    if (count == -1)
        return BITCASK_OK;
    if (count < 0 || count > MAX_REPLIES || depth >= MAX_DEPTH)
        return fail_protocol(error);
    remote->replies[index].kind = REMOTE_LIST;
    remote->replies[index].count = (size_t)count;
    bitcask_status status = BITCASK_OK;
    for (int64_t i = 0; i < count && status == BITCASK_OK; i++)
        status = read_reply(remote, depth + 1, error);
    return status;
}

static bitcask_status read_reply(struct remote *remote, unsigned depth, bitcask_error *error)
{
    size_t at, size, index = remote->reply_count;
    bitcask_status status = read_line(remote, &at, &size, error);
    if (status != BITCASK_OK)
        return status;
    if (size == 0)
        return fail_protocol(error);
    char kind = remote->in[at++];
    size--;
    if (kind == '-')
        return error_reply(remote->in + at, size, error);
    struct remote_reply *reply = index < MAX_REPLIES ? add_reply(remote) : NULL;
    if (reply == NULL)
        return fail(error, BITCASK_NO_MEMORY, "out of memory");
    if (kind == '+') {
        reply->kind = REMOTE_TEXT;
        reply->bytes = bitcask_bytes(NULL, size);
        reply->number = (int64_t)at;
        return BITCASK_OK;
    }
    int64_t number;
    if (!parse_number(remote->in + at, size, &number))
        return fail_protocol(error);
    if (kind == '$')
        return read_bulk(remote, reply, number, error);
    if (kind == '*')
        return read_list(remote, index, number, depth, error);
    if (kind != ':')
        return fail_protocol(error);
    reply->kind = REMOTE_NUMBER;
    reply->number = number;
    return BITCASK_OK;
}

bitcask_status remote_call(struct remote *remote, const bitcask_slice *words, size_t count,
                           const struct remote_reply **replies, bitcask_error *error)
{
    remote->in_size = remote->in_done = remote->reply_count = 0;
    if (!send_request(remote, words, count))
        return fail_errno(error, "write");
    bitcask_status status = read_reply(remote, 0, error);
    for (size_t i = 0; i < remote->reply_count; i++) {
        struct remote_reply *reply = &remote->replies[i];
        if (reply->kind == REMOTE_BYTES || reply->kind == REMOTE_TEXT)
            reply->bytes.data = remote->in + reply->number;
    }
    *replies = remote->replies;
    return status;
}

bitcask_status remote_ask(struct remote *remote, const struct remote_reply **replies,
                          bitcask_error *error, ...)
{
    enum { MAX_WORDS = 16 };
    bitcask_slice words[MAX_WORDS];
    size_t count = 0;
    va_list list;
    va_start(list, error);
    for (const char *word; count < MAX_WORDS && (word = va_arg(list, const char *)) != NULL;)
        words[count++] = bitcask_str(word);
    va_end(list);
    return remote_call(remote, words, count, replies, error);
}
