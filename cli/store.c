/* SPDX-License-Identifier: MIT
 * store.c: opening and closing a store for a command. */
#include "session.h"

/* What the command decides, unless the command line has decided already. */
static bitcask_options options_for(struct cli *cli, enum cli_mode mode)
{
    bitcask_options options = cli->options;
    options.create = mode == CLI_CREATE || mode == CLI_BULK;
    if (mode == CLI_READ || mode == CLI_ALONE)
        options.read_only = 1;
    if (mode == CLI_FOLLOW)
        options.follow = 1;
    if (!cli->sync_given)
        options.sync = mode == CLI_BULK ? BITCASK_SYNC_INTERVAL : BITCASK_SYNC_ALWAYS;
    if (!cli->background_given)
        options.background = mode == CLI_BULK ? BITCASK_BACKGROUND_THREAD : BITCASK_BACKGROUND_NONE;
    if (!cli->log_level_given)
        options.log_level = BITCASK_LOG_WARN;
    options.log = cli_log;
    options.log_context = cli;
    return options;
}

int cli_open_store_at(struct cli *cli, const char *directory, enum cli_mode mode, bitcask **db)
{
    bitcask_options options = options_for(cli, mode);
    bitcask_error error;
    bitcask_status status = bitcask_open(directory, &options, db, &error);
    if (status == BITCASK_LOCKED && mode == CLI_READ) {
        options.follow = 1;
        status = bitcask_open(directory, &options, db, &error);
        if (status == BITCASK_OK && cli->stderr_tty)
            cli_remark(cli, "another process has the store open: read beside it");
    }
    if (status == BITCASK_NO_STORE)
        return cli_fail_no_store(cli, directory);
    return status == BITCASK_OK ? CLI_DONE : cli_fail(cli, status, &error);
}

int cli_open_store(struct cli *cli, enum cli_mode mode, bitcask **db)
{
    *db = NULL;
    int exit_code = cli->session == NULL ? CLI_DONE : cli_session_open(cli, mode, db);
    if (exit_code != CLI_DONE || *db != NULL)
        return exit_code;
    return cli_open_store_at(cli, cli->directory, mode, db);
}

int cli_close_store(struct cli *cli, bitcask *db, int exit_code)
{
    if (cli_session_owns(cli, db))
        return exit_code;
    bitcask_error error;
    bitcask_status status = bitcask_close(db, &error);
    if (status < 0 && exit_code == CLI_DONE)
        return cli_fail(cli, status, &error);
    return exit_code;
}
