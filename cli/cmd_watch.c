/* SPDX-License-Identifier: MIT
 * cmd_watch.c: watch: the change feed. */
#include <string.h>

#include "feed.h"

enum { WATCH_PREFIX, WATCH_FROM, WATCH_POSITION_FILE, WATCH_COUNT, WATCH_INTERVAL };

enum { INTERVAL_DEFAULT_US = 200 * 1000 };

static const uint64_t INTERVAL_MAX_US = 60 * 60 * 1000000ull;

static const struct cli_option watch_options[] = {
    [WATCH_PREFIX] = {"prefix", 'p', CLI_TEXT, "PREFIX", "only keys that begin with PREFIX"},
    [WATCH_FROM] = {"from", 0, CLI_TEXT, "POSITION",
                    "begin at start, oldest, now (the default) or a position printed before"},
    [WATCH_POSITION_FILE] = {"position-file", 0, CLI_TEXT, "FILE",
                             "go on from the position in FILE, and keep it there"},
    [WATCH_COUNT] = {"count", 'n', CLI_UINT, "N", "stop after N changes"},
    [WATCH_INTERVAL] = {"interval", 0, CLI_DURATION, "DURATION",
                        "look at least as often; default 200ms"},
    {0},
};

static bool print_change(struct cli_feed *feed, const bitcask_change *change)
{
    char position[BITCASK_POSITION_SIZE];
    struct cli_json json;
    bitcask_feed_position(feed->feed, position);
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "kind", change->kind == BITCASK_CHANGE_PUT ? "put" : "delete");
    cli_json_bytes(&json, "key", change->key);
    if (change->kind == BITCASK_CHANGE_PUT) {
        cli_json_bytes(&json, "value", change->value);
        cli_json_time(&json, "expires_at", change->meta.expires_us);
    }
    cli_json_uint(&json, "version", change->meta.version);
    cli_json_bool(&json, "more", change->more != 0);
    cli_json_text(&json, "position", position);
    cli_json_end(&json);
    return true;
}

/* Where to begin: the file's position if there is one, else --from, else now. */
static int find_start(struct cli *cli, const struct cli_args *args,
                      char text[BITCASK_POSITION_SIZE])
{
    const struct cli_value *from = &args->options[WATCH_FROM];
    const char *file = args->options[WATCH_POSITION_FILE].text;
    text[0] = '\0';
    if (file != NULL) {
        int exit_code = cli_feed_read_position(cli, file, text);
        if (exit_code != CLI_DONE)
            return exit_code;
    }
    const char *start = from->set ? from->text : "now";
    if (text[0] == '\0' && strlen(start) >= BITCASK_POSITION_SIZE)
        return cli_fail_usage(cli, "'%.80s...' is no position", start);
    if (text[0] == '\0')
        snprintf(text, BITCASK_POSITION_SIZE, "%s", start);
    return CLI_DONE;
}

static int run_watch(struct cli *cli, const struct cli_args *args)
{
    const struct cli_value *interval = &args->options[WATCH_INTERVAL];
    const struct cli_value *count = &args->options[WATCH_COUNT];
    const char *prefix = args->options[WATCH_PREFIX].text;
    struct cli_feed feed = {
        .cli = cli,
        .interval_us = interval->set ? interval->number : INTERVAL_DEFAULT_US,
        .limit = count->set ? count->number : UINT64_MAX,
        .position_file = args->options[WATCH_POSITION_FILE].text,
        .show = print_change,
    };
    if (feed.interval_us == 0 || feed.interval_us > INTERVAL_MAX_US)
        return cli_fail_usage(cli, "--interval is from 1us to 1h");
    char from[BITCASK_POSITION_SIZE];
    int exit_code = find_start(cli, args, from);
    if (exit_code == CLI_DONE)
        exit_code = cli_open_store(cli, CLI_FOLLOW, &feed.db);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_error error;
    bitcask_slice wanted = prefix == NULL ? bitcask_bytes(NULL, 0) : bitcask_str(prefix);
    bitcask_status status = bitcask_feed_new(feed.db, from, wanted, &feed.feed, &error);
    exit_code = status == BITCASK_OK ? cli_feed_run(&feed) : cli_fail(cli, status, &error);
    bitcask_feed_free(feed.feed);
    return cli_close_store(cli, feed.db, exit_code);
}

const struct cli_command cli_command_watch = {
    .name = "watch",
    .summary = "print changes as they land, one JSON object a line",
    .details =
        "Beside the process that writes the store, or where none does. Each change comes once,\n"
        "in order: kind (put or delete), key, value, expires_at, version, more (the next one is\n"
        "of the same batch), position. With --position-file it goes on where it stopped, after\n"
        "any crash: no change is lost, the last ones may come twice. A key that expires is no\n"
        "change. Ends with 0 on SIGINT and SIGTERM.\n"
        "If merges have taken the log away behind the position (GAP), or a crash has taken\n"
        "changes back (DIVERGED): begin anew with --from now, and read all keys beside it.\n",
    .examples = "bitcask watch --from oldest --count 1\n"
                "bitcask watch --from oldest --count 1 --position-file ./position\n"
                "timeout --preserve-status 1 bitcask watch --prefix user:\n",
    .options = watch_options,
    .run = run_watch,
};
