/* SPDX-License-Identifier: MIT
 * top.h: the figures of a server as lines of text. Pure: no terminal, no connection. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <jansson.h>
#include <stdio.h>

#include "cli.h"

/* What a server says of itself at one moment (BC.STATUS), as JSON; any may be NULL. */
struct top_sample {
    uint64_t time_us; /* monotonic, of ours */
    json_t *status, *segments, *slow, *log;
};

void top_sample_release(struct top_sample *sample);

/* Print at most `height` lines of at most `width` columns. Rates are those between the two samples;
 * without `before` there are none. What is printed has no control bytes but newlines, whatever the
 * server says. */
void top_print(FILE *out, const struct top_sample *now, const struct top_sample *before,
               size_t width, size_t height);

#endif
