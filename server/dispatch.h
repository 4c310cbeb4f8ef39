/* SPDX-License-Identifier: MIT
 * dispatch.h: what commands that execute commands need of dispatch.c: EXEC, COMMAND GETKEYS. */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include <stdbool.h>

#include "command.h"

/* Is this number of words right for the command? */
bool command_takes(const struct command *command, size_t count);

/* May the client's user run it? Replies NOPERM if not. */
bool dispatch_is_allowed(struct client *client, const struct command_call *call);

/* Run a command that may run, count it, time it, show it to monitors. */
void dispatch_run(struct client *client, const struct command_call *call);

/* Reply an error for a command that is not run; a transaction that is being queued fails. */
__attribute__((format(printf, 3, 4))) void
dispatch_reject(struct client *client, const struct command *command, const char *format, ...);

#endif
