/* SPDX-License-Identifier: MIT
 * slowlog.c: the last slow commands, and latency spikes by event.
 *
 * One mutex for both: they are touched where something was slow already. An entry is one piece of
 * memory; the newest is first in a list. */
#include "slowlog.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "command.h"

enum { WORDS_MAX = 32, WORD_BYTES_MAX = 128, SAMPLES = 160, EVENTS_MAX = 16 };

struct node {
    struct node *older;
    struct slowlog_entry entry;
    char text[]; /* words, address, name */
};

struct event {
    char name[32];
    struct latency_sample samples[SAMPLES]; /* a ring */
    unsigned next;
    uint64_t max_ms;
};

struct slowlog {
    pthread_mutex_t mutex;
    struct node *newest;
    size_t size;
    uint64_t next_id;
    struct event events[EVENTS_MAX];
    size_t event_count;
};

struct slowlog *slowlog_new(void)
{
    struct slowlog *slowlog = calloc(1, sizeof *slowlog);
    if (slowlog != NULL)
        pthread_mutex_init(&slowlog->mutex, NULL);
    return slowlog;
}

static void drop_list(struct node *node)
{
    while (node != NULL) {
        struct node *older = node->older;
        free(node);
        node = older;
    }
}

void slowlog_free(struct slowlog *slowlog)
{
    if (slowlog == NULL)
        return;
    drop_list(slowlog->newest);
    pthread_mutex_destroy(&slowlog->mutex);
    free(slowlog);
}

/* ---- Slow commands -------------------------------------------------------------------------- */

/* What is kept of word `i` of `count`: the rest of a long one, and of many, is told by its size. */
static size_t cut_word(const bitcask_slice *words, size_t count, size_t i,
                       char out[WORD_BYTES_MAX + 40])
{
    if (i == WORDS_MAX - 1 && count > WORDS_MAX)
        return (size_t)snprintf(out, WORD_BYTES_MAX + 40, "... (%zu more arguments)",
                                count - WORDS_MAX + 1);
    size_t size = words[i].size;
    if (size <= WORD_BYTES_MAX) {
        if (size > 0)
            memcpy(out, words[i].data, size);
        return size;
    }
    memcpy(out, words[i].data, WORD_BYTES_MAX);
    return WORD_BYTES_MAX + (size_t)snprintf(out + WORD_BYTES_MAX, 40, "... (%zu more bytes)",
                                             size - WORD_BYTES_MAX);
}

static struct node *make_node(const struct client *client, const bitcask_slice *words, size_t count)
{
    size_t kept = count < WORDS_MAX ? count : WORDS_MAX, size = 0, sizes[WORDS_MAX];
    char word[WORD_BYTES_MAX + 40];
    for (size_t i = 0; i < kept; i++)
        size += sizes[i] = cut_word(words, count, i, word);
    size_t address_size = strlen(client->address) + 1, name_size = strlen(client->name) + 1;
    struct node *node = calloc(1, sizeof *node + size + address_size + name_size);
    if (node == NULL)
        return NULL;
    char *at = node->text;
    node->entry.word_count = kept;
    for (size_t i = 0; i < kept; i++) {
        cut_word(words, count, i, word);
        memcpy(at, word, sizes[i]);
        node->entry.words[i] = bitcask_bytes(at, sizes[i]);
        at += sizes[i];
    }
    node->entry.address = memcpy(at, client->address, address_size);
    node->entry.name = memcpy(at + address_size, client->name, name_size);
    return node;
}

/* Cut the list behind its first `keep`; what was cut is returned. */
static struct node *cut_list(struct slowlog *slowlog, uint64_t keep)
{
    struct node **at = &slowlog->newest;
    uint64_t size = 0;
    while (*at != NULL && size < keep) {
        at = &(*at)->older;
        size++;
    }
    struct node *rest = *at;
    *at = NULL;
    slowlog->size = size;
    return rest;
}

void slowlog_note(struct slowlog *slowlog, const struct client *client,
                  const struct command_call *call, uint64_t us, uint64_t max_entries)
{
    struct node *node = make_node(client, call->words, call->count);
    if (node == NULL)
        return;
    node->entry.us = us;
    node->entry.time_s = (uint64_t)time(NULL);
    pthread_mutex_lock(&slowlog->mutex);
    node->entry.id = slowlog->next_id++;
    node->older = slowlog->newest;
    slowlog->newest = node;
    struct node *old = cut_list(slowlog, max_entries);
    pthread_mutex_unlock(&slowlog->mutex);
    drop_list(old);
}

void slowlog_each(struct slowlog *slowlog, size_t count,
                  void (*each)(void *context, const struct slowlog_entry *entry), void *context)
{
    pthread_mutex_lock(&slowlog->mutex);
    for (const struct node *node = slowlog->newest; node != NULL && count > 0; node = node->older) {
        each(context, &node->entry);
        count--;
    }
    pthread_mutex_unlock(&slowlog->mutex);
}

size_t slowlog_size(struct slowlog *slowlog)
{
    pthread_mutex_lock(&slowlog->mutex);
    size_t size = slowlog->size;
    pthread_mutex_unlock(&slowlog->mutex);
    return size;
}

void slowlog_reset(struct slowlog *slowlog)
{
    pthread_mutex_lock(&slowlog->mutex);
    struct node *all = cut_list(slowlog, 0);
    pthread_mutex_unlock(&slowlog->mutex);
    drop_list(all);
}

/* ---- Latency spikes ------------------------------------------------------------------------- */

static struct event *find_event(struct slowlog *slowlog, const char *name)
{
    for (size_t i = 0; i < slowlog->event_count; i++)
        if (strcmp(slowlog->events[i].name, name) == 0)
            return &slowlog->events[i];
    return NULL;
}

static struct event *make_event(struct slowlog *slowlog, const char *name)
{
    if (slowlog->event_count == EVENTS_MAX)
        return NULL;
    struct event *event = &slowlog->events[slowlog->event_count++];
    memset(event, 0, sizeof *event);
    memcpy(event->name, name, strnlen(name, sizeof event->name - 1));
    return event;
}

static struct latency_sample *last_sample(struct event *event)
{
    return &event->samples[(event->next + SAMPLES - 1) % SAMPLES];
}

/* Of one second only the worst is kept. */
void latency_note(struct slowlog *slowlog, const char *name, uint64_t ms, uint64_t time_s)
{
    pthread_mutex_lock(&slowlog->mutex);
    struct event *event = find_event(slowlog, name);
    if (event == NULL)
        event = make_event(slowlog, name);
    if (event != NULL) {
        struct latency_sample *last = last_sample(event);
        if (ms > event->max_ms)
            event->max_ms = ms;
        if (last->time_s == time_s) {
            last->ms = ms > last->ms ? ms : last->ms;
        } else {
            event->samples[event->next] = (struct latency_sample){time_s, ms};
            event->next = (event->next + 1) % SAMPLES;
        }
    }
    pthread_mutex_unlock(&slowlog->mutex);
}

size_t latency_history(struct slowlog *slowlog, const char *name,
                       struct latency_sample samples[SAMPLES])
{
    size_t count = 0;
    pthread_mutex_lock(&slowlog->mutex);
    const struct event *event = find_event(slowlog, name);
    for (unsigned i = 0; event != NULL && i < SAMPLES; i++) {
        const struct latency_sample *sample = &event->samples[(event->next + i) % SAMPLES];
        if (sample->time_s != 0)
            samples[count++] = *sample;
    }
    pthread_mutex_unlock(&slowlog->mutex);
    return count;
}

void latency_each_event(struct slowlog *slowlog,
                        void (*each)(void *context, const char *event,
                                     const struct latency_sample *last, uint64_t max_ms),
                        void *context)
{
    pthread_mutex_lock(&slowlog->mutex);
    for (size_t i = 0; i < slowlog->event_count; i++) {
        struct event *event = &slowlog->events[i];
        each(context, event->name, last_sample(event), event->max_ms);
    }
    pthread_mutex_unlock(&slowlog->mutex);
}

size_t latency_reset(struct slowlog *slowlog, const char *name)
{
    size_t count = 0;
    pthread_mutex_lock(&slowlog->mutex);
    if (name == NULL) {
        count = slowlog->event_count;
        slowlog->event_count = 0;
    } else {
        struct event *event = find_event(slowlog, name);
        if (event != NULL) {
            *event = slowlog->events[--slowlog->event_count];
            count = 1;
        }
    }
    pthread_mutex_unlock(&slowlog->mutex);
    return count;
}
