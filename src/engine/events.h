/* SPDX-License-Identifier: MIT
 * events.h: telling the embedder what happens. The library prints nothing.
 *
 *     if (events_on(&store->events, BITCASK_LOG_INFO))
 *         EVENT(&store->events, BITCASK_LOG_INFO, "sealed", F_UINT("segment", id),
 *               F_UINT("bytes", size));
 *
 * Event names and fields are listed in docs/OPERATIONS.md. */
#ifndef ENGINE_EVENTS_H
#define ENGINE_EVENTS_H

#include "base/bytes.h"
#include "os/os.h"

struct events {
    struct os *os;
    bitcask_log_level level; /* never DEFAULT */
    bitcask_log_fn log;
    void *context;
};

static inline bool events_on(const struct events *events, bitcask_log_level level)
{
    return __builtin_expect(events->log != NULL && level >= events->level, 0);
}

/* When something began whose event has a duration: 0, and no look at the clock, if nobody listens.
 */
static inline uint64_t events_begin(const struct events *events, bitcask_log_level level)
{
    return events_on(events, level) ? events->os->clock_boot(events->os) : 0;
}

/* How long ago that was, in microseconds. */
static inline uint64_t events_since(const struct events *events, uint64_t began)
{
    return events->os->clock_boot(events->os) - began;
}

void events_emit(const struct events *events, bitcask_log_level level, const char *name,
                 const bitcask_log_field *fields, size_t count);

#define F_UINT(field, value)                                           \
    (bitcask_log_field)                                                \
    {                                                                  \
        .name = (field), .kind = BITCASK_FIELD_UINT, .number = (value) \
    }
#define F_TEXT(field, text)                                                     \
    (bitcask_log_field)                                                         \
    {                                                                           \
        .name = (field), .kind = BITCASK_FIELD_TEXT, .bytes = bitcask_str(text) \
    }
#define F_KEY(field, slice_)                                            \
    (bitcask_log_field)                                                 \
    {                                                                   \
        .name = (field), .kind = BITCASK_FIELD_BYTES, .bytes = (slice_) \
    }

#define EVENT(events, level, name, ...)                                               \
    do {                                                                              \
        if (events_on(events, level)) {                                               \
            const bitcask_log_field event_fields[] = {__VA_ARGS__};                   \
            events_emit(events, level, name, event_fields, ARRAY_SIZE(event_fields)); \
        }                                                                             \
    } while (0)

#endif
