/* SPDX-License-Identifier: MIT
 * redis_rate.c: latency at a fixed rate, for servers of the Redis protocol.
 *
 *     redis-rate PORT RATE SECONDS [CONNECTIONS [KEYS]]
 *
 * Every 1/RATE seconds a request is due, on the next connection in turn, whatever has become of
 * those before: SET of 100 bytes and GET by turns, random keys. Latency counts from when a request
 * was due, not from when it could be sent, so a server that stalls is charged for all requests that
 * fell due meanwhile (no coordinated omission). Prints one line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1000, WAITING = 1 << 16, VALUE_SIZE = 100, BUFFER = 1 << 16 };

struct connection {
    int fd;
    uint64_t *due_ns; /* of the requests without an answer, a ring */
    uint64_t first, last;
    char out[BUFFER];
    size_t out_size;
    size_t skip; /* bytes of a bulk string still to come */
    char line[64];
    size_t line_size;
};

static struct connection connections[CONNECTIONS_MAX];
static uint64_t *latencies_ns;
static size_t answered, errors;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void connect_one(struct connection *connection, unsigned port, int epoll_fd)
{
    const int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    connection->due_ns = malloc(WAITING * sizeof *connection->due_ns);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection->due_ns == NULL ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl");
}

/* ---- Requests and answers -------------------------------------------------------------------- */

static void add_request(struct connection *connection, uint64_t number, uint64_t keys,
                        uint64_t due_ns)
{
    static const char value[VALUE_SIZE + 1] = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"
                                              "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
    if (connection->last - connection->first == WAITING ||
        sizeof connection->out - connection->out_size < 256) {
        fprintf(stderr, "the server is so far behind that it cannot be measured\n");
        exit(1);
    }
    char key[32];
    snprintf(key, sizeof key, "key:%012" PRIu64, next_random() % keys % 1000000000000u);
    connection->out_size += (size_t)snprintf(
        connection->out + connection->out_size, sizeof connection->out - connection->out_size,
        number % 2 == 0 ? "*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$100\r\n%s\r\n"
                        : "*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n",
        key, value);
    connection->due_ns[connection->last++ % WAITING] = due_ns;
}

static void flush(struct connection *connection)
{
    ssize_t sent = connection->out_size == 0
                       ? 0
                       : send(connection->fd, connection->out, connection->out_size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        die("send");
    if (sent > 0) {
        connection->out_size -= (size_t)sent;
        memmove(connection->out, connection->out + sent, connection->out_size);
    }
}

static void take_answer(struct connection *connection, uint64_t at_ns)
{
    latencies_ns[answered++] = at_ns - connection->due_ns[connection->first++ % WAITING];
}

static void take_bytes(struct connection *connection, const char *data, size_t size, uint64_t at_ns)
{
    for (size_t i = 0; i < size;) {
        if (connection->skip > 0) {
            size_t part = connection->skip < size - i ? connection->skip : size - i;
            connection->skip -= part;
            i += part;
            if (connection->skip == 0)
                take_answer(connection, at_ns);
            continue;
        }
        char c = data[i++];
        if (c != '\n') {
            if (connection->line_size < sizeof connection->line - 1)
                connection->line[connection->line_size++] = c;
            continue;
        }
        connection->line[connection->line_size] = '\0';
        connection->line_size = 0;
        errors += connection->line[0] == '-';
        if (connection->line[0] == '$' && connection->line[1] != '-')
            connection->skip = strtoul(connection->line + 1, NULL, 10) + 2;
        else
            take_answer(connection, at_ns);
    }
}

static void receive(struct connection *connection)
{
    char data[BUFFER];
    ssize_t count = recv(connection->fd, data, sizeof data, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN))
        die("recv");
    if (count > 0)
        take_bytes(connection, data, (size_t)count, now_ns());
}

/* ---- The run --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static double quantile_us(double quantile)
{
    size_t at = (size_t)(quantile * (double)answered);
    return (double)latencies_ns[at < answered ? at : answered - 1] / 1000;
}

static void run(int epoll_fd, uint64_t total, double rate, unsigned count, uint64_t keys)
{
    uint64_t start_ns = now_ns(), asked = 0;
    while (answered < total) {
        uint64_t now = now_ns(), sent_to = asked;
        while (asked < total && start_ns + (uint64_t)((double)asked * 1e9 / rate) <= now) {
            add_request(&connections[asked % count], asked, keys,
                        start_ns + (uint64_t)((double)asked * 1e9 / rate));
            asked++;
        }
        for (uint64_t i = sent_to; i < asked && i < sent_to + count; i++)
            flush(&connections[i % count]);
        struct epoll_event events[64];
        int got = epoll_wait(epoll_fd, events, 64, asked < total ? 0 : 100);
        for (int i = 0; i < got; i++) {
            receive(events[i].data.ptr);
            flush(events[i].data.ptr);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: redis-rate PORT RATE SECONDS [CONNECTIONS [KEYS]]\n");
        return 2;
    }
    double rate = strtod(argv[2], NULL), seconds = strtod(argv[3], NULL);
    unsigned count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 50;
    uint64_t keys = argc > 5 ? strtoull(argv[5], NULL, 10) : 1000000;
    uint64_t total = (uint64_t)(rate * seconds);
    if (total == 0 || count == 0 || count > CONNECTIONS_MAX || keys == 0)
        return 2;
    latencies_ns = malloc(total * sizeof *latencies_ns);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (latencies_ns == NULL || epoll_fd < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < count; i++)
        connect_one(&connections[i], (unsigned)strtoul(argv[1], NULL, 10), epoll_fd);
    run(epoll_fd, total, rate, count, keys);
    qsort(latencies_ns, answered, sizeof *latencies_ns, compare);
    printf("{\"rate\":%.0f,\"requests\":%zu,\"errors\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"max_us\":%.1f}\n",
           rate, answered, errors, quantile_us(0.5), quantile_us(0.99), quantile_us(0.999),
           (double)latencies_ns[answered - 1] / 1000);
    return 0;
}
