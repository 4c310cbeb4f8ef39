/* SPDX-License-Identifier: MIT
 * merge_window.h: the hours of the day in which the scheduler may begin a job. */
#ifndef ENGINE_MERGE_WINDOW_H
#define ENGINE_MERGE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct merge_window {           /* 0, 0: always */
    uint8_t from_hour, to_hour; /* local; 0 to 24, to_hour not included; may go over midnight */
};

/* Read "HH-HH", or "" for always. False if it is neither, or holds no hour at all. */
bool merge_window_parse(const char *text, struct merge_window *window);

/* How long until the window is open; 0: it is. `local_us`: local time, since any midnight. */
uint64_t merge_window_wait_us(const struct merge_window *window, uint64_t local_us);

#endif
