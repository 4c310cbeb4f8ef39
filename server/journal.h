/* SPDX-License-Identifier: MIT
 * journal.h: the server's own log.
 *
 * Lines as text, logfmt or JSON, to stdout or a file that HUP opens anew; the last 256 are kept in
 * memory for the dashboard. What a pipe or terminal does not take at once is lost, and counted in a
 * line `log_lines_lost` once it does: a log must not hold the server up. The store's events
 * (bitcask_options.log) come here too. Secrets never do: no command's arguments, no password. Any
 * thread. */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct journal;

enum journal_format { JOURNAL_TEXT, JOURNAL_LOGFMT, JOURNAL_JSON };

/* `path` NULL or "": stdout. */
struct journal *journal_open(const char *path, enum journal_format format, bitcask_log_level level,
                             bitcask_error *error);
void journal_close(struct journal *journal);
bool journal_reopen(struct journal *journal, bitcask_error *error);
void journal_set_level(struct journal *journal, bitcask_log_level level);

/* journal_note(journal, BITCASK_LOG_INFO, "listening", "address", text, NULL): an event's name and
 * pairs of names and texts, ended by NULL. */
void journal_note(struct journal *journal, bitcask_log_level level, const char *event, ...)
    __attribute__((sentinel));

/* For bitcask_options.log; the context is the journal. */
void journal_store_event(void *context, const bitcask_log_event *event);

/* The newest lines kept, oldest first, each as a JSON object; for the dashboard. Lines have
 * numbers; only those above `after` are given. Returns the highest number. */
uint64_t journal_recent(struct journal *journal, uint64_t after,
                        void (*each)(void *context, uint64_t number, const char *json),
                        void *context);

#endif
