/* SPDX-License-Identifier: MIT
 * slowlog.h: the last slow commands (SLOWLOG, dashboard) and latency spikes by event (LATENCY). */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct client;
struct command_call;
struct slowlog;

struct slowlog_entry {
    uint64_t id, time_s, us;
    size_t word_count; /* at most 32, each cut to 128 bytes as Redis does it */
    bitcask_slice words[32];
    const char *address, *name;
};

struct slowlog *slowlog_new(void);
void slowlog_free(struct slowlog *slowlog);
void slowlog_note(struct slowlog *slowlog, const struct client *client,
                  const struct command_call *call, uint64_t us, uint64_t max_entries);
/* Newest first, at most `count`; valid during the callback. */
void slowlog_each(struct slowlog *slowlog, size_t count,
                  void (*each)(void *context, const struct slowlog_entry *entry), void *context);
size_t slowlog_size(struct slowlog *slowlog);
void slowlog_reset(struct slowlog *slowlog);

/* LATENCY: the last 160 samples of each event ("command", "fsync", "merge"). */
void latency_note(struct slowlog *slowlog, const char *event, uint64_t ms, uint64_t time_s);
struct latency_sample {
    uint64_t time_s, ms;
};
size_t latency_history(struct slowlog *slowlog, const char *event,
                       struct latency_sample samples[160]);
void latency_each_event(struct slowlog *slowlog,
                        void (*each)(void *context, const char *event,
                                     const struct latency_sample *last, uint64_t max_ms),
                        void *context);
size_t latency_reset(struct slowlog *slowlog, const char *event); /* NULL: all */

#endif
