/* SPDX-License-Identifier: MIT
 * cmd_admin.c: clear, destroy: what deletes everything, and asks first. */
#include "access.h"
#include "remote.h"

enum { ADMIN_YES };

static const struct cli_option admin_options[] = {
    [ADMIN_YES] = {"yes", 'y', CLI_FLAG, NULL, "do not ask"},
    {0},
};

/* ---- clear --------------------------------------------------------------------------------- */

/* A batch must fit into the smallest segment there may be, or hold a single key. */
enum { CLEAR_BATCH_BYTES = 16 << 10, CLEAR_RECORD_BYTES = 64 };

struct clear {
    bitcask *db;
    bitcask_batch *batch;
    bitcask_write_options write;
    uint64_t deleted;
};

static bitcask_status write_batch(struct clear *clear, bitcask_error *error)
{
    size_t count = bitcask_batch_count(clear->batch);
    if (count == 0)
        return BITCASK_OK;
    bitcask_status status = bitcask_write(clear->db, clear->batch, &clear->write, NULL, error);
    if (status == BITCASK_OK)
        clear->deleted += count;
    bitcask_batch_clear(clear->batch);
    return status;
}

static bitcask_status delete_key(struct clear *clear, bitcask_slice key, bitcask_error *error)
{
    size_t bytes =
        bitcask_batch_size(clear->batch) + bitcask_batch_count(clear->batch) * CLEAR_RECORD_BYTES;
    if (bytes + key.size > CLEAR_BATCH_BYTES) {
        bitcask_status status = write_batch(clear, error);
        if (status != BITCASK_OK)
            return status;
    }
    return bitcask_batch_delete(clear->batch, key, error);
}

/* Delete every key that the iterator comes to. A damaged record does not stop the rest: its key
 * cannot be told, so CORRUPT comes back at the end. */
static bitcask_status delete_all(struct clear *clear, bitcask_iterator *iterator,
                                 bitcask_error *error)
{
    bitcask_status status, result = BITCASK_OK;
    bitcask_entry entry;
    bitcask_error corrupt;
    while ((status = bitcask_iterator_next(iterator, &entry, error)) != BITCASK_END) {
        if (status == BITCASK_CORRUPT) {
            corrupt = *error;
            result = status;
            continue;
        }
        if (status == BITCASK_OK)
            status = delete_key(clear, entry.key, error);
        if (status != BITCASK_OK)
            return status;
    }
    status = write_batch(clear, error);
    if (status != BITCASK_OK || result == BITCASK_OK)
        return status;
    *error = corrupt;
    return result;
}

static bitcask_status clear_store(struct clear *clear, bitcask_error *error)
{
    bitcask_iterator *iterator = NULL;
    bitcask_status status = bitcask_batch_new(&clear->batch, error);
    if (status == BITCASK_OK)
        status = bitcask_iterator_new(clear->db, NULL, bitcask_bytes(NULL, 0), BITCASK_KEYS,
                                      &iterator, error);
    if (status == BITCASK_OK)
        status = delete_all(clear, iterator, error);
    bitcask_iterator_free(iterator);
    bitcask_batch_free(clear->batch);
    return status;
}

static void report_cleared(struct cli *cli, uint64_t deleted)
{
    char text[CLI_UNIT_SIZE];
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "deleted", deleted);
        cli_json_end(&json);
    } else {
        cli_remark(cli, "%s keys deleted", cli_count_text(text, deleted));
    }
}

static int clear_and_report(struct cli *cli, bitcask *db)
{
    struct clear clear = {.db = db};
    bitcask_write_options_init(&clear.write);
    if (!cli->sync_given) /* one sync at the end instead of one for each batch */
        clear.write.sync = BITCASK_SYNC_NONE;
    bitcask_error error;
    bitcask_status status = clear_store(&clear, &error);
    if (!cli->sync_given && (status == BITCASK_OK || status == BITCASK_CORRUPT)) {
        bitcask_error sync_error;
        bitcask_status synced = bitcask_sync_now(db, &sync_error);
        if (synced != BITCASK_OK) {
            status = synced;
            error = sync_error;
        }
    }
    report_cleared(cli, clear.deleted);
    return status == BITCASK_OK ? CLI_DONE : cli_fail(cli, status, &error);
}

/* By the server that has the store. */
static int clear_remote(struct cli *cli, struct access *access, uint64_t keys)
{
    const struct remote_reply *reply;
    bitcask_error error;
    bitcask_status status = remote_ask(access->remote, &reply, &error, "FLUSHALL", "SYNC", NULL);
    if (status == BITCASK_OK && !cli->sync_given)
        status = access_sync(access, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    report_cleared(cli, keys);
    return CLI_DONE;
}

static int run_clear(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_CHANGE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    char text[CLI_UNIT_SIZE];
    uint64_t keys = 0;
    bitcask_error error;
    bitcask_status status = access_count(&access, &keys, &error);
    if (status != BITCASK_OK)
        return access_close(&access, cli_fail(cli, status, &error));
    exit_code = cli_confirm(cli, args->options[ADMIN_YES].set, "delete all %s keys of the store %s",
                            cli_count_text(text, keys), cli->directory);
    if (exit_code == CLI_DONE)
        exit_code = access.remote != NULL ? clear_remote(cli, &access, keys)
                                          : clear_and_report(cli, access.db);
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_clear = {
    .name = "clear",
    .summary = "delete all keys (asks first)",
    .details = "The store stays, and the space is given back by the next merge.\n",
    .examples = "bitcask clear --yes\n"
                "bitcask merge --all\n",
    .options = admin_options,
    .run = run_clear,
};

/* ---- destroy ------------------------------------------------------------------------------- */

/* Nobody is asked about a store that is not there, is locked or may not be read. */
static int check_store(struct cli *cli)
{
    bitcask *db;
    cli->options.log_level = BITCASK_LOG_OFF; /* damage is no news to who is about to remove it */
    cli->log_level_given = true;
    bitcask_options options = cli->options;
    options.create = 0;
    options.read_only = 1;
    bitcask_error error;
    bitcask_status status = bitcask_open(cli->directory, &options, &db, &error);
    if (status == BITCASK_NO_STORE)
        return cli_fail_no_store(cli, cli->directory);
    if (status == BITCASK_LOCKED)
        return cli_fail(cli, status, &error);
    return status == BITCASK_OK ? cli_close_store(cli, db, CLI_DONE) : CLI_DONE;
}

static int run_destroy(struct cli *cli, const struct cli_args *args)
{
    int exit_code = check_store(cli);
    if (exit_code == CLI_DONE)
        exit_code = cli_confirm(cli, args->options[ADMIN_YES].set,
                                "remove the store %s and all that is in it", cli->directory);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_error error;
    bitcask_status status = bitcask_destroy(cli->directory, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    if (!cli->json) {
        cli_remark(cli, "%s removed", cli->directory);
        return CLI_DONE;
    }
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "destroyed", cli->directory);
    cli_json_end(&json);
    return CLI_DONE;
}

const struct cli_command cli_command_destroy = {
    .name = "destroy",
    .closes_store = true,
    .summary = "remove the store and its files (asks first)",
    .details = "Files that are not the store's stay, and the directory with them.\n",
    .examples = "bitcask -d ./scratch put a b\n"
                "bitcask -d ./scratch destroy --yes\n",
    .options = admin_options,
    .run = run_destroy,
};
