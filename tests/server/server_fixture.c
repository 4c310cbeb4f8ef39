/* SPDX-License-Identifier: MIT
 * server_fixture.c: a whole server without sockets, on a store in memory. */
#include "server_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "command.h"
#include "gate.h"
#include "jobs.h"
#include "journal.h"
#include "keyspace.h"
#include "metrics.h"
#include "output.h"
#include "pubsub.h"
#include "registry.h"
#include "settings.h"
#include "slowlog.h"

static bitcask_buffer answer;

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "fixture: no %s\n", what);
    abort();
}

struct server *fixture_server(unsigned threads)
{
    return fixture_server_limited(threads, 0);
}

struct server *fixture_server_limited(unsigned threads, uint64_t max_disk_bytes)
{
    struct server *server = calloc(1, sizeof *server);
    bitcask_error error = {0};
    bitcask_options options;
    need(server != NULL, "memory");
    bitcask_options_init(&options);
    options.in_memory = 1;
    options.segment_size = 1 << 20;
    options.max_disk_bytes = max_disk_bytes;
    if (max_disk_bytes != 0) /* what is full stays so: nobody makes room meanwhile */
        options.background = BITCASK_BACKGROUND_NONE;
    need(bitcask_open("fixture", &options, &server->store, &error) == BITCASK_OK, error.message);
    server->directory = "fixture";
    server->settings = settings_new();
    server->acl = acl_new();
    server->journal = journal_open("/dev/null", JOURNAL_TEXT, BITCASK_LOG_OFF, &error);
    server->gate = gate_new(threads);
    server->registry = registry_new();
    server->pubsub = pubsub_new();
    server->slowlog = slowlog_new();
    server->metrics = metrics_new(threads, command_count());
    server->keyspace = keyspace_new(threads);
    server->jobs = jobs_new();
    need(server->settings && server->acl && server->journal && server->gate && server->registry &&
             server->pubsub && server->slowlog && server->metrics && server->keyspace &&
             server->jobs,
         "parts");
    server->loop_count = threads;
    server->started_us = server_wall_us();
    memset(server->run_id, 'a', 40);
    return server;
}

void fixture_server_free(struct server *server)
{
    jobs_free(server->jobs);
    keyspace_free(server->keyspace);
    metrics_free(server->metrics);
    slowlog_free(server->slowlog);
    pubsub_free(server->pubsub);
    registry_free(server->registry);
    gate_free(server->gate);
    acl_free(server->acl);
    settings_free(server->settings);
    bitcask_error error = {0};
    need(bitcask_close(server->store, &error) == BITCASK_OK, error.message);
    journal_close(server->journal);
    free(server);
    bitcask_buffer_free(&answer);
}

void fixture_set(struct server *server, const char *name, const char *value)
{
    bitcask_error error = {0};
    bitcask_slice pair[] = {bitcask_str(name), bitcask_str(value)};
    need(settings_change(server->settings, pair, 2, NULL, &error), error.message);
}

const char *fixture_ask(struct client *client, const char *request)
{
    static char *text; /* of the last call; freed by the next, or never */
    client_feed(client, request, strlen(request));
    need(output_take(client->out, &answer) == BITCASK_OK, "memory");
    free(text);
    text = malloc(answer.size + 1);
    need(text != NULL, "memory");
    memcpy(text, answer.data, answer.size);
    text[answer.size] = '\0';
    return text;
}

const char *fixture_command(struct client *client, const char *words)
{
    char line[4096];
    snprintf(line, sizeof line, "%s\r\n", words);
    return fixture_ask(client, line);
}
