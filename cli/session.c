/* SPDX-License-Identifier: MIT
 * session.c: the store that the commands of a shell share. */
#include "session.h"

#include <string.h>

/* Options differ only in what the line itself has set: it began as a copy of the shell's, with the
 * bytes between the members. */
static bool wants_the_same(const struct cli *line, const struct cli *shell)
{
    return strcmp(line->directory, shell->directory) == 0 &&
           line->sync_given == shell->sync_given &&
           line->background_given == shell->background_given &&
           line->log_level_given == shell->log_level_given &&
           memcmp((const void *)&line->options, (const void *)&shell->options, /* bytes */
                  sizeof(line->options)) == 0;
}

static bitcask_options options_of(struct cli_session *session, bool write, bool create)
{
    struct cli *cli = session->cli;
    bitcask_options options = cli->options;
    options.create = create;
    options.read_only |= !write;
    if (!cli->sync_given)
        options.sync = BITCASK_SYNC_ALWAYS;
    if (!cli->log_level_given)
        options.log_level = BITCASK_LOG_WARN;
    options.log = cli_log;
    options.log_context = cli;
    return options;
}

static int open_session(struct cli_session *session, enum cli_mode mode)
{
    bool write = mode == CLI_CHANGE || mode == CLI_CREATE;
    bitcask_options options = options_of(session, write, mode == CLI_CREATE);
    bitcask_error error;
    bitcask_status status = bitcask_open(session->cli->directory, &options, &session->db, &error);
    session->writable = status == BITCASK_OK && write;
    if (status == BITCASK_NO_STORE)
        return cli_fail_no_store(session->cli, session->cli->directory);
    if (status == BITCASK_LOCKED && !write)
        return CLI_DONE; /* cli_open_store knows how to read beside a writer */
    return status == BITCASK_OK ? CLI_DONE : cli_fail(session->cli, status, &error);
}

int cli_session_open(struct cli *cli, enum cli_mode mode, bitcask **db)
{
    struct cli_session *session = cli->session;
    *db = NULL;
    bool read = mode == CLI_READ || mode == CLI_ALONE;
    bool shared = read || mode == CLI_CHANGE || mode == CLI_CREATE;
    if (!shared || !wants_the_same(cli, session->cli))
        return cli_session_close(session);
    int exit_code = CLI_DONE;
    if (session->db != NULL && !read && !session->writable)
        exit_code = cli_session_close(session);
    if (exit_code == CLI_DONE && session->db == NULL)
        exit_code = open_session(session, mode);
    *db = session->db;
    return exit_code;
}

bool cli_session_owns(const struct cli *cli, const bitcask *db)
{
    return cli->session != NULL && cli->session->db == db;
}

int cli_session_close(struct cli_session *session)
{
    if (session->db == NULL)
        return CLI_DONE;
    bitcask_error error;
    bitcask_status status = bitcask_close(session->db, &error);
    session->db = NULL;
    return status < 0 ? cli_fail(session->cli, status, &error) : CLI_DONE;
}

bitcask *cli_session_peek(struct cli_session *session)
{
    if (session->db != NULL)
        return session->db;
    bitcask_options options = options_of(session, false, false);
    options.log_level = BITCASK_LOG_OFF;
    session->writable = false;
    if (bitcask_open(session->cli->directory, &options, &session->db, NULL) != BITCASK_OK)
        session->db = NULL;
    return session->db;
}
