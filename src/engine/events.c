/* SPDX-License-Identifier: MIT
 * events.c: telling the embedder what happens. */
#include "engine/events.h"

void events_emit(const struct events *events, bitcask_log_level level, const char *name,
                 const bitcask_log_field *fields, size_t count)
{
    const bitcask_log_event event = {
        .level = level,
        .time_us = events->os->clock_real(events->os),
        .name = name,
        .fields = fields,
        .field_count = count,
    };
    events->log(events->context, &event);
}
