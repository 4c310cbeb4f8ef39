/* SPDX-License-Identifier: MIT
 * client.c: one connection: its requests out of its bytes, and what becomes of them. */
#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"
#include "gate.h"
#include "keyspace.h"
#include "metrics.h"
#include "output.h"
#include "pubsub.h"
#include "registry.h"
#include "reply.h"
#include "settings.h"

enum {
    MAX_WORDS = 1 << 20,
    MAX_INLINE = 64 << 10,
    MAX_WORDS_BEFORE_AUTH = 10,
    MAX_BULK_BEFORE_AUTH = 16 << 10,
    IN_FIRST = 1 << 10, /* bytes that the beginning of a request gets at first */
};

struct client *client_new(struct server *server, unsigned slot)
{
    return client_new_in(server, NULL, slot);
}

struct client *client_new_in(struct server *server, struct loop *loop, unsigned slot)
{
    struct client *client = calloc(1, sizeof *client);
    struct output *out = malloc(sizeof *out);
    if (client == NULL || out == NULL) {
        free(client);
        free(out);
        return NULL;
    }
    output_init(out, NULL, SIZE_MAX);
    resp_init(&client->parser);
    client->server = server;
    client->loop = loop;
    client->slot = slot;
    client->out = out;
    client->protocol = 2;
    client->flags = CLIENT_LOCAL;
    client->created_us = client->last_us = server_monotonic_us();
    client->now_us = server_wall_us();
    if (server->acl != NULL && acl_default_is_open(server->acl))
        client->user = acl_user_find(server->acl, bitcask_str("default"));
    if (server->registry != NULL)
        client->id = registry_add(server->registry, client);
    return client;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    if (client->server->registry != NULL)
        registry_remove(client->server->registry, client);
    if (client->subscriptions != NULL)
        pubsub_forget(client);
    if (client->transaction != NULL)
        keyspace_forget(client);
    if (client->user != NULL)
        acl_user_release(client->user);
    output_release(client->out);
    resp_release(&client->parser);
    free(client->out);
    free(client->in);
    free(client);
}

bool client_is_subscribed(const struct client *client)
{
    return client->subscriptions != NULL;
}

/* ---- Executing ------------------------------------------------------------------------------- */

static struct resp_limits limits_of(const struct client *client)
{
    if (client->user == NULL)
        return (struct resp_limits){.max_words = MAX_WORDS_BEFORE_AUTH,
                                    .max_bulk = MAX_BULK_BEFORE_AUTH,
                                    .max_inline = MAX_INLINE,
                                    .unauthenticated = true};
    return (struct resp_limits){
        .max_words = MAX_WORDS,
        .max_bulk = setting_number(client->server->settings, SETTING_PROTO_MAX_BULK_LEN),
        .max_inline = MAX_INLINE};
}

/* Requests that came in one piece, gathered for dispatch_pipeline. */
struct pipeline {
    size_t requests, words;
    size_t counts[CLIENT_PIPELINE_REQUESTS];
    bitcask_slice all[CLIENT_PIPELINE_WORDS];
};

static bool must_stop(const struct client *client)
{
    return (client->flags & (CLIENT_CLOSE_AFTER_REPLY | CLIENT_CLOSE_NOW)) != 0 ||
           client->out->broken;
}

/* Commands that are executed one by one need not wait for memory one by one: the keys of all are
 * asked for first. Runs of GET and of SET are looked up together in any case. */
static void prefetch(struct client *client, const struct pipeline *pipeline)
{
    enum { KEY_MAX = 256 }; /* a word as long as that is hardly a key, and costs time to hash */
    bitcask_slice keys[CLIENT_PIPELINE_REQUESTS];
    size_t count = 0;
    const bitcask_slice *words = pipeline->all;
    for (size_t i = 0; i < pipeline->requests; words += pipeline->counts[i++])
        if (pipeline->counts[i] > 1 && words[0].size != 3 && words[1].size <= KEY_MAX)
            keys[count++] = words[1];
    if (count > 1)
        bitcask_prefetch(client->server->store, keys, count);
}

/* Execute what has been gathered. False: nothing more is to be executed now. */
static bool run_gathered(struct client *client, struct pipeline *pipeline)
{
    if (pipeline->requests == 1) {
        dispatch(client, pipeline->all, pipeline->counts[0]);
    } else if (pipeline->requests > 1) {
        prefetch(client, pipeline);
        dispatch_pipeline(client, pipeline->all, pipeline->counts, pipeline->requests);
    }
    pipeline->requests = pipeline->words = 0;
    client->of_loop.held = output_pending(client->out) >= CLIENT_OUTPUT_PAUSE;
    return !client->of_loop.held && !must_stop(client);
}

static bool has_room(const struct pipeline *pipeline, size_t words)
{
    return pipeline->requests < CLIENT_PIPELINE_REQUESTS &&
           words <= CLIENT_PIPELINE_WORDS - pipeline->words;
}

/* Must the next request not be parsed before this one has been executed? Who is not a user yet may
 * become one; CLIENT may pause the server. */
static bool changes_what_follows(const struct client *client, bitcask_slice name)
{
    return client->user == NULL || (name.size == 6 && (*(const char *)name.data | 0x20) == 'c');
}

/* Put the parser's request behind the others. Returns as run_gathered. */
static bool gather(struct client *client, struct pipeline *pipeline)
{
    const struct resp_parser *parser = &client->parser;
    if (parser->word_count > CLIENT_PIPELINE_WORDS) {
        dispatch(client, parser->words, parser->word_count);
        return run_gathered(client, pipeline);
    }
    for (size_t i = 0; i < parser->word_count; i++)
        pipeline->all[pipeline->words++] = parser->words[i];
    pipeline->counts[pipeline->requests++] = parser->word_count;
    return !changes_what_follows(client, parser->words[0]) || run_gathered(client, pipeline);
}

static bool word_is(bitcask_slice word, const char *text)
{
    return word.size == strlen(text) && strncasecmp(word.data, text, word.size) == 0;
}

/* A browser that a web page has made talk to this port, with commands in what it posts. */
static bool is_http(const struct resp_parser *parser)
{
    const bitcask_slice *words = parser->words;
    return parser->is_inline && (word_is(words[0], "post") || word_is(words[0], "host:") ||
                                 (parser->word_count == 3 && words[2].size > 5 &&
                                  strncasecmp(words[2].data, "HTTP/", 5) == 0));
}

static bool is_paused(const struct client *client)
{
    uint64_t until_us = atomic_load_explicit(&client->server->pause_until_us, memory_order_relaxed);
    return until_us != 0 && server_monotonic_us() < until_us;
}

/* CLIENT PAUSE: may this request run? */
static bool is_let_through(const struct client *client, const struct resp_parser *request)
{
    if (!is_paused(client))
        return true;
    if (atomic_load(&client->server->pause_all))
        return false;
    const struct command *command = command_resolve(request->words, request->word_count);
    return command == NULL || !(command->flags & (COMMAND_WRITE | COMMAND_ALONE));
}

/* The same of the line that begins at `data`. A line is unquoted where it stands, which must not
 * happen before it can run: so a copy is looked at. */
static bool line_is_let_through(const struct client *client, const struct resp_limits *limits,
                                const char *data, size_t size)
{
    const char *end = memchr(data, '\n', size);
    if (end == NULL || !is_paused(client))
        return true;
    size_t line_size = (size_t)(end - data) + 1;
    char *line = malloc(line_size);
    if (line == NULL)
        return false;
    memcpy(line, data, line_size);
    struct resp_parser parser;
    resp_init(&parser);
    bool let_through = resp_parse(&parser, limits, line, line_size) != RESP_REQUEST ||
                       is_let_through(client, &parser);
    resp_release(&parser);
    free(line);
    return let_through;
}

static void refuse_bytes(struct client *client)
{
    metrics_add(client->server->metrics, client->slot, METRIC_PROTOCOL_ERRORS, 1);
    client->flags &= ~(unsigned)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    reply_error(client, "ERR %s", client->parser.error);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

/* Look for the next request at `data` and gather it. Returns the bytes dealt with; 0: stop here. */
static size_t take_request(struct client *client, struct pipeline *pipeline,
                           const struct resp_limits *limits, char *data, size_t size, bool *going)
{
    enum resp_result result = resp_parse(&client->parser, limits, data, size);
    if (result == RESP_MORE)
        return 0;
    if (result == RESP_EMPTY)
        return client->parser.consumed;
    if (result == RESP_BAD) {
        if (run_gathered(client, pipeline))
            refuse_bytes(client);
        return 0;
    }
    if (is_http(&client->parser)) {
        client->flags |= CLIENT_CLOSE_NOW;
        return 0;
    }
    if ((!has_room(pipeline, client->parser.word_count) && !run_gathered(client, pipeline)) ||
        (!client->parser.is_inline && !is_let_through(client, &client->parser))) {
        client->of_loop.held = !must_stop(client);
        return 0; /* it is parsed again the next time */
    }
    *going = gather(client, pipeline);
    return client->parser.consumed;
}

size_t client_execute(struct client *client, char *data, size_t size)
{
    struct pipeline pipeline;
    pipeline.requests = pipeline.words = 0;
    struct resp_limits limits = limits_of(client);
    size_t at = 0;
    bool going = true, stays = false;
    client->of_loop.held = false;
    while (going && at < size) {
        if (data[at] != '*' && (!run_gathered(client, &pipeline) ||
                                !line_is_let_through(client, &limits, data + at, size - at))) {
            stays = true;
            break;
        }
        if (limits.unauthenticated && client->user != NULL)
            limits = limits_of(client);
        size_t taken = take_request(client, &pipeline, &limits, data + at, size - at, &going);
        at += taken;
        if (taken == 0) {
            stays = client->of_loop.held;
            break;
        }
    }
    run_gathered(client, &pipeline);
    if (must_stop(client))
        return size;
    client->of_loop.held = at < size && (client->of_loop.held || stays || !going);
    return at;
}

/* ---- Input ----------------------------------------------------------------------------------- */

/* Room for `capacity` bytes. */
static bool grow_input(struct client *client, size_t capacity)
{
    if (capacity <= client->in_capacity)
        return true;
    char *in = realloc(client->in, capacity);
    if (in == NULL)
        return false;
    client->in = in;
    client->in_capacity = capacity;
    return true;
}

char *client_input_room(struct client *client, size_t *size)
{
    /* A word that is announced gets its memory as it comes: twice what has come, up to its size. */
    size_t more = client->in_size < CLIENT_READ_SIZE ? CLIENT_READ_SIZE : client->in_size;
    size_t wanted = client->parser.wanted;
    if (wanted > client->in_size && wanted - client->in_size < more)
        more = wanted - client->in_size < IN_FIRST ? IN_FIRST : wanted - client->in_size;
    if (client->in_capacity - client->in_size < IN_FIRST &&
        !grow_input(client, client->in_size + more))
        return NULL;
    *size = client->in_capacity - client->in_size;
    return client->in + client->in_size;
}

bool client_keep(struct client *client, const char *data, size_t size)
{
    size_t needed = client->in_size + size;
    if (needed > client->in_capacity && !grow_input(client, needed < IN_FIRST ? IN_FIRST : needed))
        return false;
    if (size > 0)
        memcpy(client->in + client->in_size, data, size);
    client->in_size = needed;
    return true;
}

void client_execute_input(struct client *client)
{
    size_t done = client_execute(client, client->in, client->in_size);
    client->in_size -= done;
    if (client->in_size == 0) {
        free(client->in);
        client->in = NULL;
        client->in_capacity = 0;
    } else if (done > 0) {
        memmove(client->in, client->in + done, client->in_size);
    }
}

void client_take_back(struct client *client, const bitcask_error *error)
{
    output_cut(client->out, client->out_mark);
    client->flags &= ~(unsigned)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    reply_error(client, "ERR the write may not be durable: %s", error->message);
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
}

void client_feed(struct client *client, const void *data, size_t size)
{
    struct server *server = client->server;
    bitcask_error error = {0};
    if (must_stop(client))
        return;
    if (!client_keep(client, data, size)) {
        client->flags |= CLIENT_CLOSE_NOW;
        return;
    }
    do {
        client->out_mark = client->out->size;
        client->now_us = server_wall_us();
        gate_enter(server->gate, client->slot);
        size_t before = client->in_size;
        client_execute_input(client);
        gate_leave(server->gate, client->slot);
        if (client->flags & CLIENT_WROTE &&
            keyspace_commit(server, client->slot, &error) != BITCASK_OK)
            client_take_back(client, &error);
        client->flags &= ~(unsigned)CLIENT_WROTE;
        if (before == client->in_size)
            break;
    } while (client->of_loop.held && client->in_size > 0 && !must_stop(client));
}
