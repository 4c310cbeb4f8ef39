/* SPDX-License-Identifier: MIT
 * session.h: the store that the commands of a shell share.
 *
 * A session opens the store when the first command needs it and keeps it open for those that
 * follow: read-only until a command writes, for writing from then on. A command that asks for
 * something else (another directory, other options, a store that is to be closed) gets the store
 * for itself; the session closes it first and opens it again when it is next needed. One thread. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli.h"

struct cli_session {
    struct cli *cli; /* the shell's: its directory and options are those of the store */
    bitcask *db;     /* NULL: not open */
    bool writable;
};

/* As cli_open_store. Sets *db to the session's store if `cli`, which is that of one line, wants the
 * same store with the same options; else *db is NULL and the session is closed. */
int cli_session_open(struct cli *cli, enum cli_mode mode, bitcask **db);

/* Is `db` the session's store, so that it is not to be closed? */
bool cli_session_owns(const struct cli *cli, const bitcask *db);

/* Close the store. Returns CLI_DONE, or reports what went wrong. */
int cli_session_close(struct cli_session *session);

/* The store, to look at it, if it is open or can be opened; else NULL. Says nothing. */
bitcask *cli_session_peek(struct cli_session *session);

#endif
