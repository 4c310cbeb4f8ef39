/* SPDX-License-Identifier: MIT
 * access.c: the functions for single keys, on a store of our own or through a server. */
#include "access.h"

#include <inttypes.h>
#include <string.h>

#include "remote.h"
#include "session.h"

/* For a key or two, megabytes around each are not worth reading. */
static void read_singly(struct cli *cli, enum cli_mode mode)
{
    bool few = mode == CLI_READ || mode == CLI_CREATE || mode == CLI_CHANGE;
    if (few && cli->session == NULL && cli->options.read_ahead == BITCASK_READ_AHEAD_AUTO)
        cli->options.read_ahead = BITCASK_READ_AHEAD_OFF;
}

int access_open(struct cli *cli, enum cli_mode mode, struct access *access)
{
    read_singly(cli, mode);
    *access = (struct access){.cli = cli};
    /* A shell that has the store open has its lock: there is no server. */
    if (cli->session == NULL || cli->session->db == NULL)
        access->remote = remote_open(cli->directory, NULL);
    return access->remote != NULL ? CLI_DONE : cli_open_store(cli, mode, &access->db);
}

int access_close(struct access *access, int exit_code)
{
    if (access->remote == NULL && access->db == NULL)
        return exit_code;
    if (access->remote == NULL)
        return cli_close_store(access->cli, access->db, exit_code);
    remote_close(access->remote);
    return exit_code;
}

/* ---- Through the server --------------------------------------------------------------------- */

enum { MAX_WORDS = 12, NUMBER_SIZE = 24 };

struct request {
    bitcask_slice words[MAX_WORDS];
    char numbers[4][NUMBER_SIZE];
    size_t count, number_count;
};

static void add(struct request *request, bitcask_slice word)
{
    request->words[request->count++] = word;
}

static void add_number(struct request *request, const char *name, uint64_t number)
{
    char *text = request->numbers[request->number_count++];
    snprintf(text, NUMBER_SIZE, "%" PRIu64, number);
    add(request, bitcask_str(name));
    add(request, bitcask_str(text));
}

bitcask_status access_check_key(bitcask_slice key, bitcask_error *error)
{
    if (key.size > 0 && key.size <= BITCASK_MAX_KEY_SIZE)
        return BITCASK_OK;
    memset(error, 0, sizeof *error);
    error->status = BITCASK_INVALID;
    if (key.size == 0)
        snprintf(error->message, sizeof error->message, "the key is empty");
    else
        snprintf(error->message, sizeof error->message, "the key has %zu bytes; at most %u",
                 key.size, BITCASK_MAX_KEY_SIZE);
    return BITCASK_INVALID;
}

static bitcask_status odd_reply(bitcask_error *error)
{
    memset(error, 0, sizeof *error);
    error->status = BITCASK_IO;
    snprintf(error->message, sizeof error->message,
             "the server that has the store is of another version");
    return BITCASK_IO;
}

static bitcask_status ask_version(struct access *access, const struct request *request,
                                  uint64_t *version, bitcask_error *error)
{
    const struct remote_reply *reply;
    bitcask_status status =
        remote_call(access->remote, request->words, request->count, &reply, error);
    if (status != BITCASK_OK)
        return status;
    if (reply->kind != REMOTE_NUMBER)
        return odd_reply(error);
    if (version != NULL)
        *version = (uint64_t)reply->number;
    return BITCASK_OK;
}

static bitcask_status sync_remote(struct access *access, bitcask_error *error)
{
    const struct remote_reply *reply;
    return remote_ask(access->remote, &reply, error, "BC.SYNC", NULL);
}

/* What --sync always (the command's default) and a write of its own ask for. */
static bitcask_status sync_as_asked(struct access *access, const bitcask_write_options *options,
                                    bitcask_error *error)
{
    const struct cli *cli = access->cli;
    bitcask_sync sync = options != NULL && options->sync != BITCASK_SYNC_DEFAULT ? options->sync
                        : cli->sync_given                                        ? cli->options.sync
                                          : BITCASK_SYNC_ALWAYS;
    return sync == BITCASK_SYNC_ALWAYS ? sync_remote(access, error) : BITCASK_OK;
}

static bitcask_status put_remote(struct access *access, bitcask_slice key, bitcask_slice value,
                                 const bitcask_write_options *options, uint64_t *version,
                                 bitcask_error *error)
{
    struct request request = {.count = 0};
    bitcask_status status = access_check_key(key, error);
    if (status != BITCASK_OK)
        return status;
    add(&request, bitcask_str("BC.PUT"));
    add(&request, key);
    add(&request, value);
    if ((options->flags & BITCASK_IF_ABSENT) != 0)
        add(&request, bitcask_str("IFABSENT"));
    if ((options->flags & BITCASK_IF_VERSION) != 0)
        add_number(&request, "IFVERSION", options->if_version);
    if ((options->flags & BITCASK_KEEP_TTL) != 0)
        add(&request, bitcask_str("KEEPTTL"));
    if (options->expires_us != 0)
        add_number(&request, "EXPIRESUS", options->expires_us);
    return ask_version(access, &request, version, error);
}

/* [VALUE or its size, version, expiry]; the value's bytes, if they are there, go into *value. */
static bitcask_status read_meta(const struct remote_reply *reply, bitcask_meta *meta,
                                bitcask_slice *value, bitcask_error *error)
{
    if (reply->kind == REMOTE_NULL)
        return BITCASK_NOT_FOUND;
    bool sized = reply->kind == REMOTE_LIST && reply->count == 3;
    if (!sized || reply[1].kind != (value != NULL ? REMOTE_BYTES : REMOTE_NUMBER) ||
        reply[2].kind != REMOTE_NUMBER || reply[3].kind != REMOTE_NUMBER)
        return odd_reply(error);
    memset(meta, 0, sizeof *meta);
    meta->value_size = value != NULL ? reply[1].bytes.size : (size_t)reply[1].number;
    meta->version = (uint64_t)reply[2].number;
    meta->expires_us = (uint64_t)reply[3].number;
    if (value != NULL)
        *value = reply[1].bytes;
    return BITCASK_OK;
}

static bitcask_status ask_meta(struct access *access, const char *command, bitcask_slice key,
                               bitcask_meta *meta, bitcask_slice *value, bitcask_error *error)
{
    const bitcask_slice words[] = {bitcask_str(command), key};
    const struct remote_reply *reply;
    bitcask_status status = remote_call(access->remote, words, 2, &reply, error);
    return status != BITCASK_OK ? status : read_meta(reply, meta, value, error);
}

/* ---- Either way ----------------------------------------------------------------------------- */

bitcask_status access_put(struct access *access, bitcask_slice key, bitcask_slice value,
                          const bitcask_write_options *options, uint64_t *version,
                          bitcask_error *error)
{
    if (access->remote == NULL)
        return bitcask_put(access->db, key, value, options, version, error);
    bitcask_status status = put_remote(access, key, value, options, version, error);
    return status != BITCASK_OK ? status : sync_as_asked(access, options, error);
}

bitcask_status access_delete(struct access *access, bitcask_slice key,
                             const bitcask_write_options *options, bitcask_error *error)
{
    if (access->remote == NULL)
        return bitcask_delete(access->db, key, options, NULL, error);
    const bitcask_slice words[] = {bitcask_str("DEL"), key};
    const struct remote_reply *reply;
    bitcask_status status = remote_call(access->remote, words, 2, &reply, error);
    if (status != BITCASK_OK)
        return status;
    if (reply->kind != REMOTE_NUMBER)
        return odd_reply(error);
    if (reply->number == 0)
        return BITCASK_NOT_FOUND;
    return sync_as_asked(access, options, error);
}

bitcask_status access_expire(struct access *access, bitcask_slice key,
                             const bitcask_write_options *options, uint64_t *version,
                             bitcask_error *error)
{
    if (access->remote == NULL)
        return bitcask_expire(access->db, key, options, version, error);
    struct request request = {.count = 0};
    add(&request, bitcask_str("BC.EXPIRE"));
    add(&request, key);
    add_number(&request, "EXPIRESUS", options->expires_us);
    bitcask_status status = ask_version(access, &request, version, error);
    return status != BITCASK_OK ? status : sync_as_asked(access, options, error);
}

bitcask_status access_sync(struct access *access, bitcask_error *error)
{
    return access->remote != NULL ? sync_remote(access, error)
                                  : bitcask_sync_now(access->db, error);
}

bitcask_status access_stat(struct access *access, bitcask_slice key, bitcask_meta *meta,
                           bitcask_error *error)
{
    if (access->remote == NULL)
        return bitcask_stat_key(access->db, NULL, key, meta, error);
    return ask_meta(access, "BC.STAT", key, meta, NULL, error);
}

/* The server has gone, or sends no value of that size (client-output-buffer-limit): read beside it,
 * or what it has left. */
static bool read_beside(struct access *access)
{
    remote_close(access->remote);
    access->remote = NULL;
    return cli_open_store(access->cli, CLI_READ, &access->db) == CLI_DONE;
}

bitcask_status access_get(struct access *access, bitcask_slice key, bitcask_view *view,
                          bitcask_error *error)
{
    if (access->remote != NULL) {
        memset(view, 0, sizeof *view);
        bitcask_status status = ask_meta(access, "BC.GET", key, &view->meta, &view->value, error);
        if (status != BITCASK_IO || !read_beside(access))
            return status;
    }
    return bitcask_get_view(access->db, NULL, key, view, error);
}

void access_release(struct access *access, bitcask_view *view)
{
    if (access->remote == NULL)
        bitcask_views_release(view, 1);
}

bitcask_status access_count(const struct access *access, uint64_t *keys, bitcask_error *error)
{
    *keys = 0;
    if (access->remote == NULL) {
        bitcask_stats stats = {.struct_size = sizeof(stats)};
        bitcask_get_stats(access->db, &stats);
        *keys = stats.keys;
        return BITCASK_OK;
    }
    const struct remote_reply *reply;
    bitcask_status status = remote_ask(access->remote, &reply, error, "DBSIZE", NULL);
    if (status == BITCASK_OK && reply->kind == REMOTE_NUMBER)
        *keys = (uint64_t)reply->number;
    return status;
}
