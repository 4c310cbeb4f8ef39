/* SPDX-License-Identifier: MIT
 * cmd_slowlog.c: what was slow: SLOWLOG, LATENCY. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "metrics.h"
#include "reply.h"
#include "slowlog.h"
#include "words.h"

/* ---- SLOWLOG -------------------------------------------------------------------------------- */

struct slow_list {
    struct client *client;
    size_t count;
};

static void reply_slow(void *context, const struct slowlog_entry *entry)
{
    struct slow_list *list = context;
    struct client *client = list->client;
    reply_array(client, 6);
    reply_integer(client, (int64_t)entry->id);
    reply_integer(client, (int64_t)entry->time_s);
    reply_integer(client, (int64_t)entry->us);
    reply_array(client, entry->word_count);
    for (size_t i = 0; i < entry->word_count; i++)
        reply_bulk(client, entry->words[i]);
    reply_bulk_text(client, entry->address);
    reply_bulk_text(client, entry->name);
    list->count++;
}

void cmd_slowlog_get(struct client *client, const struct command_call *call)
{
    int64_t count = 10;
    if (call->count > 3) {
        reply_subcommand_error(client, call->words);
        return;
    }
    if (call->count == 3 && (!word_to_integer(call->words[2], &count) || count < -1)) {
        reply_error(client, "ERR count should be greater than or equal to -1");
        return;
    }
    struct slow_list list = {client, 0};
    size_t mark = reply_later(client);
    slowlog_each(client->server->slowlog, count < 0 ? SIZE_MAX : (size_t)count, reply_slow, &list);
    reply_end(client, mark, REPLY_ARRAY, list.count);
}

void cmd_slowlog_len(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_integer(client, (int64_t)slowlog_size(client->server->slowlog));
}

void cmd_slowlog_reset(struct client *client, const struct command_call *call)
{
    (void)call;
    slowlog_reset(client->server->slowlog);
    reply_ok(client);
}

void cmd_slowlog_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    The newest entries (10, -1: all): number, time, microseconds, words, client's address",
        "    and name.",
        "LEN",
        "    How many entries there are.",
        "RESET",
        "    Forget them.",
        NULL};
    reply_help(client, call->words[0], lines);
}

/* ---- LATENCY -------------------------------------------------------------------------------- */

void cmd_latency_history(struct client *client, const struct command_call *call)
{
    char event[32];
    struct latency_sample samples[160];
    snprintf(event, sizeof event, "%.*s",
             (int)(call->words[2].size < sizeof event ? call->words[2].size : sizeof event - 1),
             (const char *)call->words[2].data);
    size_t count = latency_history(client->server->slowlog, event, samples);
    reply_array(client, count);
    for (size_t i = 0; i < count; i++) {
        reply_array(client, 2);
        reply_integer(client, (int64_t)samples[i].time_s);
        reply_integer(client, (int64_t)samples[i].ms);
    }
}

static void reply_latest(void *context, const char *event, const struct latency_sample *last,
                         uint64_t max_ms)
{
    struct slow_list *list = context;
    reply_array(list->client, 4);
    reply_bulk_text(list->client, event);
    reply_integer(list->client, (int64_t)last->time_s);
    reply_integer(list->client, (int64_t)last->ms);
    reply_integer(list->client, (int64_t)max_ms);
    list->count++;
}

void cmd_latency_latest(struct client *client, const struct command_call *call)
{
    (void)call;
    struct slow_list list = {client, 0};
    size_t mark = reply_later(client);
    latency_each_event(client->server->slowlog, reply_latest, &list);
    reply_end(client, mark, REPLY_ARRAY, list.count);
}

void cmd_latency_reset(struct client *client, const struct command_call *call)
{
    size_t count = 0;
    if (call->count == 2)
        count = latency_reset(client->server->slowlog, NULL);
    for (size_t i = 2; i < call->count; i++) {
        char event[32];
        snprintf(event, sizeof event, "%.*s",
                 (int)(call->words[i].size < sizeof event ? call->words[i].size : sizeof event - 1),
                 (const char *)call->words[i].data);
        count += latency_reset(client->server->slowlog, event);
    }
    reply_integer(client, (int64_t)count);
}

struct doctor {
    char text[4096];
    size_t size;
};

static void tell_event(void *context, const char *event, const struct latency_sample *last,
                       uint64_t max_ms)
{
    struct doctor *doctor = context;
    int size = snprintf(doctor->text + doctor->size, sizeof doctor->text - doctor->size,
                        "%s: the last one took %llu ms, the worst %llu ms.\n", event,
                        (unsigned long long)last->ms, (unsigned long long)max_ms);
    if (size > 0 && (size_t)size < sizeof doctor->text - doctor->size)
        doctor->size += (size_t)size;
}

void cmd_latency_doctor(struct client *client, const struct command_call *call)
{
    (void)call;
    struct doctor doctor = {.size = 0};
    latency_each_event(client->server->slowlog, tell_event, &doctor);
    bitcask_slice text = bitcask_bytes(doctor.text, doctor.size);
    if (doctor.size == 0)
        text = bitcask_str("Nothing was slower than latency-monitor-threshold (0: not watched).\n");
    reply_verbatim(client, "txt", text);
}

/* A line for each sample, as long as it took. */
void cmd_latency_graph(struct client *client, const struct command_call *call)
{
    enum { WIDTH = 60, LINE = 128 };
    char event[32], *text;
    struct latency_sample samples[160];
    snprintf(event, sizeof event, "%.*s",
             (int)(call->words[2].size < sizeof event ? call->words[2].size : sizeof event - 1),
             (const char *)call->words[2].data);
    size_t count = latency_history(client->server->slowlog, event, samples), size = 0;
    if (count == 0) {
        reply_error(client, "ERR No samples available for event '%s'", event);
        return;
    }
    uint64_t most = 1;
    for (size_t i = 0; i < count; i++)
        most = samples[i].ms > most ? samples[i].ms : most;
    text = malloc(count * LINE);
    if (text == NULL) {
        reply_error(client, "OOM out of memory");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        static const char bar[WIDTH + 1] =
            "############################################################";
        size += (size_t)snprintf(
            text + size, LINE, "%llu %8llu ms %.*s\n", (unsigned long long)samples[i].time_s,
            (unsigned long long)samples[i].ms, (int)(samples[i].ms * WIDTH / most), bar);
    }
    reply_verbatim(client, "txt", bitcask_bytes(text, size));
    free(text);
}

/* Calls by powers of two of microseconds, adding up. */
static void reply_histogram(struct client *client, const struct command *command,
                            const struct metrics_histogram *histogram)
{
    reply_bulk_text(client, command->name);
    reply_map(client, 2);
    reply_bulk_text(client, "calls");
    reply_integer(client, (int64_t)histogram->count);
    reply_bulk_text(client, "histogram_usec");
    size_t mark = reply_later(client), pairs = 0;
    uint64_t limit_us = 1, seen = 0, told = 0;
    for (unsigned i = 0; i < 1024; i++) {
        while (metrics_bucket_limit_ns(i) >= limit_us * 1000 && limit_us < UINT64_C(1) << 40) {
            if (seen > told) {
                reply_integer(client, (int64_t)limit_us);
                reply_integer(client, (int64_t)seen);
                told = seen;
                pairs++;
            }
            limit_us *= 2;
        }
        seen += histogram->buckets[i];
    }
    if (seen > told) {
        reply_integer(client, (int64_t)limit_us);
        reply_integer(client, (int64_t)seen);
        pairs++;
    }
    reply_end(client, mark, REPLY_MAP, pairs);
}

static size_t reply_if_called(struct client *client, const struct command *command,
                              struct metrics_histogram *histogram)
{
    metrics_latency(client->server->metrics, (int)command->index, histogram);
    if (histogram->count == 0)
        return 0;
    reply_histogram(client, command, histogram);
    return 1;
}

void cmd_latency_histogram(struct client *client, const struct command_call *call)
{
    struct metrics_histogram *histogram = malloc(sizeof *histogram);
    if (histogram == NULL) {
        reply_error(client, "OOM out of memory");
        return;
    }
    size_t mark = reply_later(client), count = 0;
    for (unsigned i = 0; call->count == 2 && i < command_count(); i++)
        count += reply_if_called(client, command_at(i), histogram);
    for (size_t i = 2; i < call->count; i++) {
        const struct command *command = command_find(call->words[i]);
        if (command == NULL)
            continue;
        count += reply_if_called(client, command, histogram);
        const struct command *sub = command->subcommands;
        for (; sub != NULL && sub->name != NULL; sub++)
            count += reply_if_called(client, sub, histogram);
    }
    reply_end(client, mark, REPLY_MAP, count);
    free(histogram);
}

void cmd_latency_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {"DOCTOR",
                                        "    What was slow, in words.",
                                        "GRAPH <event>",
                                        "    The samples of an event as bars.",
                                        "HISTORY <event>",
                                        "    The samples of an event: time, milliseconds.",
                                        "HISTOGRAM [<command> ...]",
                                        "    How long the commands took, by powers of two.",
                                        "LATEST",
                                        "    The last sample of each event, and the worst.",
                                        "RESET [<event> ...]",
                                        "    Forget samples.",
                                        NULL};
    reply_help(client, call->words[0], lines);
}
