/* SPDX-License-Identifier: MIT
 * cmd_list.c: keys, scan, count, dump-keydir: what walks over all keys. */
#include <string.h>

#include "feed.h"

/* ---- The walk ------------------------------------------------------------------------------ */

struct walk {
    struct cli *cli;
    uint64_t seen;
    void (*each)(struct walk *walk, const bitcask_entry *entry); /* or NULL: only count */
};

/* Walk over at most `limit` entries. A damaged one is reported, the rest still printed. */
static int walk_entries(struct walk *walk, bitcask_iterator *iterator, uint64_t limit)
{
    int exit_code = CLI_DONE;
    while (walk->seen < limit && !ferror(stdout)) {
        if (cli_interrupted())
            return cli_fail_interrupted(walk->cli);
        bitcask_entry entry;
        bitcask_error error;
        bitcask_status status = bitcask_iterator_next(iterator, &entry, &error);
        if (status == BITCASK_END)
            break;
        if (status != BITCASK_OK) {
            exit_code = cli_fail(walk->cli, status, &error);
            if (status != BITCASK_CORRUPT)
                break;
            continue;
        }
        walk->seen++;
        if (walk->each != NULL)
            walk->each(walk, &entry);
    }
    return exit_code;
}

/* The store as it is now, on a snapshot. */
static int walk_store(struct walk *walk, bitcask *db, const char *prefix, int what, uint64_t limit)
{
    bitcask_iterator *iterator = NULL;
    bitcask_error error;
    bitcask_slice wanted = prefix == NULL ? bitcask_bytes(NULL, 0) : bitcask_str(prefix);
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    bitcask_status status = bitcask_snapshot_new(db, &options.snapshot, &error);
    if (status == BITCASK_OK)
        status = bitcask_iterator_new(db, &options, wanted, what, &iterator, &error);
    int exit_code = status == BITCASK_OK ? walk_entries(walk, iterator, limit)
                                         : cli_fail(walk->cli, status, &error);
    bitcask_iterator_free(iterator);
    bitcask_snapshot_free(options.snapshot);
    return exit_code;
}

static void print_json(const bitcask_entry *entry, bool with_value)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_bytes(&json, "key", entry->key);
    if (with_value)
        cli_json_bytes(&json, "value", entry->value);
    cli_json_uint(&json, "version", entry->meta.version);
    cli_json_uint(&json, "value_size", entry->meta.value_size);
    cli_json_time(&json, "expires_at", entry->meta.expires_us);
    cli_json_end(&json);
}

/* ---- keys, scan ---------------------------------------------------------------------------- */

enum { LIST_PREFIX, LIST_LIMIT };

static const struct cli_option list_options[] = {
    [LIST_PREFIX] = {"prefix", 'p', CLI_TEXT, "PREFIX", "only keys that begin with PREFIX"},
    [LIST_LIMIT] = {"limit", 'n', CLI_UINT, "N", "at most N keys"},
    {0},
};

static void print_key(struct walk *walk, const bitcask_entry *entry)
{
    if (walk->cli->json) {
        print_json(entry, false);
        return;
    }
    cli_print_bytes(walk->cli, entry->key);
    putchar('\n');
}

static void print_pair(struct walk *walk, const bitcask_entry *entry)
{
    if (walk->cli->json) {
        print_json(entry, true);
    } else if (walk->cli->stdout_tty) {
        cli_print_escaped(stdout, entry->key);
        putchar('\t');
        cli_print_escaped(stdout, entry->value);
        putchar('\n');
    } else {
        cli_print_tsv(stdout, entry->key);
        putchar('\t');
        cli_print_tsv(stdout, entry->value);
        putchar('\n');
    }
}

static int run_list(struct cli *cli, const struct cli_args *args, int what,
                    void (*each)(struct walk *walk, const bitcask_entry *entry))
{
    bitcask *db;
    int exit_code = cli_open_store(cli, CLI_READ, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    struct walk walk = {.cli = cli, .each = each};
    const struct cli_value *limit = &args->options[LIST_LIMIT];
    exit_code = walk_store(&walk, db, args->options[LIST_PREFIX].text, what,
                           limit->set ? limit->number : UINT64_MAX);
    return cli_close_store(cli, db, exit_code);
}

/* ---- keys ---------------------------------------------------------------------------------- */

enum { KEYS_NULL = LIST_LIMIT + 1, KEYS_FOLLOW, KEYS_INTERVAL };

static const struct cli_option keys_options[] = {
    [LIST_PREFIX] = {"prefix", 'p', CLI_TEXT, "PREFIX", "only keys that begin with PREFIX"},
    [LIST_LIMIT] = {"limit", 'n', CLI_UINT, "N", "at most N keys"},
    [KEYS_NULL] = {"null", '0', CLI_FLAG, NULL,
                   "end each key with a NUL byte, unchanged (for xargs -0)"},
    [KEYS_FOLLOW] = {"follow", 'f', CLI_FLAG, NULL, "then go on with the keys that are put"},
    [KEYS_INTERVAL] = {"interval", 0, CLI_DURATION, "DURATION",
                       "with --follow: look at least as often; default 200ms"},
    {0},
};

static void print_key_and_nul(struct walk *walk, const bitcask_entry *entry)
{
    (void)walk;
    fwrite(entry->key.data, 1, entry->key.size, stdout);
    putchar('\0');
}

static bool print_put(struct cli_feed *feed, const bitcask_change *change)
{
    struct walk *walk = feed->context;
    if (change->kind != BITCASK_CHANGE_PUT)
        return false;
    walk->each(walk, &(bitcask_entry){.key = change->key, .meta = change->meta});
    return true;
}

/* The feed first: what is put while the keys are read comes twice rather than not. */
static int follow_keys(struct cli *cli, const struct cli_args *args,
                       void (*each)(struct walk *walk, const bitcask_entry *entry))
{
    const struct cli_value *interval = &args->options[KEYS_INTERVAL];
    const struct cli_value *limit = &args->options[LIST_LIMIT];
    const char *prefix = args->options[LIST_PREFIX].text;
    struct walk walk = {.cli = cli, .each = each};
    struct cli_feed feed = {
        .cli = cli,
        .interval_us = interval->set ? interval->number : 200 * 1000,
        .limit = limit->set ? limit->number : UINT64_MAX,
        .show = print_put,
        .context = &walk,
    };
    int exit_code = cli_open_store(cli, CLI_FOLLOW, &feed.db);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_error error;
    bitcask_slice wanted = prefix == NULL ? bitcask_bytes(NULL, 0) : bitcask_str(prefix);
    bitcask_status status = bitcask_feed_new(feed.db, "now", wanted, &feed.feed, &error);
    if (status != BITCASK_OK)
        exit_code = cli_fail(cli, status, &error);
    if (exit_code == CLI_DONE)
        exit_code = walk_store(&walk, feed.db, prefix, BITCASK_KEYS, feed.limit);
    if (limit->set)
        feed.limit -= walk.seen;
    if (exit_code == CLI_DONE && feed.limit > 0)
        exit_code = cli_feed_run(&feed);
    bitcask_feed_free(feed.feed);
    return cli_close_store(cli, feed.db, exit_code);
}

static int run_keys(struct cli *cli, const struct cli_args *args)
{
    bool end_with_nul = args->options[KEYS_NULL].set && !cli->json;
    void (*each)(struct walk *, const bitcask_entry *) =
        end_with_nul ? print_key_and_nul : print_key;
    if (args->options[KEYS_FOLLOW].set)
        return follow_keys(cli, args, each);
    if (args->options[KEYS_INTERVAL].set)
        return cli_fail_usage(cli, "--interval is for --follow");
    return run_list(cli, args, BITCASK_KEYS, each);
}

const struct cli_command cli_command_keys = {
    .name = "keys",
    .alias = "list",
    .summary = "print the keys",
    .details = "One a line, in no particular order, as they are; on a terminal control bytes are\n"
               "escaped. Keys that may hold newlines are safe to read with --null or --json.\n"
               "With --follow it goes on with each key that is put, again and again if it is put\n"
               "again; `bitcask watch` tells of deletes and values too.\n",
    .examples = "bitcask keys\n"
                "bitcask keys --prefix user: --limit 10\n"
                "bitcask --json keys | head -n 1\n"
                "bitcask keys --null --prefix user: | xargs -0 bitcask delete\n"
                "timeout --preserve-status 1 bitcask keys --follow\n",
    .options = keys_options,
    .run = run_keys,
};

static int run_scan(struct cli *cli, const struct cli_args *args)
{
    return run_list(cli, args, BITCASK_VALUES, print_pair);
}

const struct cli_command cli_command_scan = {
    .name = "scan",
    .summary = "print the keys with their values",
    .details =
        "One line a key: KEY TAB VALUE, with \\t \\n \\r \\\\ for the bytes that would break it;\n"
        "in no particular order.\n",
    .examples = "bitcask scan --prefix user:\n"
                "bitcask --json scan --limit 2\n",
    .options = list_options,
    .run = run_scan,
};

/* ---- count --------------------------------------------------------------------------------- */

enum { COUNT_PREFIX, COUNT_FAST };

static const struct cli_option count_options[] = {
    [COUNT_PREFIX] = {"prefix", 'p', CLI_TEXT, "PREFIX", "only keys that begin with PREFIX"},
    [COUNT_FAST] = {"fast", 0, CLI_FLAG, NULL,
                    "the index's own number, expired keys not yet merged away included"},
    {0},
};

static int run_count(struct cli *cli, const struct cli_args *args)
{
    if (args->options[COUNT_FAST].set && args->options[COUNT_PREFIX].set)
        return cli_fail_usage(cli, "--fast and --prefix exclude each other");
    bitcask *db;
    int exit_code = cli_open_store(cli, CLI_READ, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    struct walk walk = {.cli = cli};
    if (args->options[COUNT_FAST].set) {
        bitcask_stats stats = {.struct_size = sizeof(stats)};
        bitcask_get_stats(db, &stats);
        walk.seen = stats.keys;
    } else {
        exit_code =
            walk_store(&walk, db, args->options[COUNT_PREFIX].text, BITCASK_KEYS, UINT64_MAX);
    }
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "count", walk.seen);
        cli_json_end(&json);
    } else {
        printf("%llu\n", (unsigned long long)walk.seen);
    }
    return cli_close_store(cli, db, exit_code);
}

const struct cli_command cli_command_count = {
    .name = "count",
    .summary = "count the keys",
    .details = "Looks at every key, so that expired ones are not counted; --fast does not.\n",
    .examples = "bitcask count\n"
                "bitcask count --prefix user:\n",
    .options = count_options,
    .run = run_count,
};

/* ---- dump-keydir --------------------------------------------------------------------------- */

static void print_keydir_entry(struct walk *walk, const bitcask_entry *entry)
{
    if (walk->cli->json) {
        print_json(entry, false);
        return;
    }
    char expires[CLI_UNIT_SIZE];
    printf("%-18llu %12llu  %-27s  ", (unsigned long long)entry->meta.version,
           (unsigned long long)entry->meta.value_size,
           entry->meta.expires_us == 0 ? "never" : cli_time_text(expires, entry->meta.expires_us));
    cli_print_escaped(stdout, entry->key);
    putchar('\n');
}

static void print_index_figures(struct cli *cli, const bitcask_stats *stats)
{
    double per_key = stats->keys == 0 ? 0 : (double)stats->index_bytes / (double)stats->keys;
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "index_keys", stats->keys);
        cli_json_uint(&json, "index_bytes", stats->index_bytes);
        cli_json_number(&json, "index_bytes_per_key", per_key);
        cli_json_end(&json);
        return;
    }
    char keys[CLI_UNIT_SIZE], bytes[CLI_UNIT_SIZE];
    printf("index: %s keys, %s, %.1f bytes a key\n", cli_count_text(keys, stats->keys),
           cli_size_text(bytes, stats->index_bytes), per_key);
}

static int run_dump_keydir(struct cli *cli, const struct cli_args *args)
{
    bitcask *db;
    int exit_code = cli_open_store(cli, CLI_READ, &db);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (!cli->json)
        printf("%s%-18s %12s  %-27s  %s%s\n", cli_style(cli, CLI_BOLD), "version", "value bytes",
               "expires", "key", cli_style(cli, CLI_PLAIN));
    struct walk walk = {.cli = cli, .each = print_keydir_entry};
    const struct cli_value *limit = &args->options[LIST_LIMIT];
    exit_code = walk_store(&walk, db, args->options[LIST_PREFIX].text, BITCASK_KEYS,
                           limit->set ? limit->number : UINT64_MAX);
    bitcask_stats stats = {.struct_size = sizeof(stats)};
    bitcask_get_stats(db, &stats);
    print_index_figures(cli, &stats);
    return cli_close_store(cli, db, exit_code);
}

const struct cli_command cli_command_dump_keydir = {
    .name = "dump-keydir",
    .summary = "print what the index knows of each key, and its memory",
    .details =
        "Keys are escaped: \\n, \\t, \\\\, \\xNN. The last line has the figures of the index.\n",
    .examples = "bitcask dump-keydir --prefix user:\n"
                "bitcask --json dump-keydir | tail -n 1\n",
    .options = list_options,
    .run = run_dump_keydir,
};
