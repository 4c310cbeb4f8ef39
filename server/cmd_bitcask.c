/* SPDX-License-Identifier: MIT
 * cmd_bitcask.c: what Redis has not: BC.STATS BC.JOBS BC.MERGE BC.BACKUP BC.VERIFY BC.SNAPSHOT.
 *
 * Merge, backup and verify run beside the loops (jobs.h): the answer says that they have begun,
 * BC.JOBS how they go on. */
#include <stdio.h>
#include <string.h>

#include "acl.h"
#include "client.h"
#include "cmd.h"
#include "jobs.h"
#include "keyspace.h"
#include "reply.h"
#include "settings.h"
#include "snapshots.h"
#include "words.h"

void cmd_bc_stats(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_buffer json = {0};
    bitcask_error error = {0};
    bitcask_status status = bitcask_stats_json(client->server->store, &json, &error);
    if (status == BITCASK_OK)
        reply_bulk(client, bitcask_bytes(json.data, json.size));
    else
        keyspace_reply_error(client, status, &error);
    bitcask_buffer_free(&json);
}

/* ---- Jobs ----------------------------------------------------------------------------------- */

static void start(struct client *client, enum job_kind kind, const char *directory, bool all)
{
    bitcask_error error = {0};
    bitcask_status status = jobs_start(client->server, kind, directory, all, &error);
    char text[64];
    snprintf(text, sizeof text, "Background %s started", job_name(kind));
    if (status == BITCASK_OK)
        reply_simple(client, text);
    else
        reply_error(client, "ERR %s", error.message);
}

void cmd_bc_merge(struct client *client, const struct command_call *call)
{
    bool all = call->count == 2 && word_is(call->words[1], "ALL");
    if (call->count > 2 || (call->count == 2 && !all))
        reply_syntax_error(client);
    else
        start(client, JOB_MERGE, NULL, all);
}

void cmd_bc_verify(struct client *client, const struct command_call *call)
{
    if (call->count > 1)
        reply_syntax_error(client);
    else
        start(client, JOB_VERIFY, NULL, false);
}

/* A plain name, without a way out of the directory. */
static bool is_file_name(bitcask_slice name)
{
    const char *text = name.data;
    for (size_t i = 0; i < name.size; i++)
        if (text[i] <= ' ' || text[i] == '/' || text[i] == '\\' || text[i] > '~')
            return false;
    return name.size >= 1 && name.size <= 128 && text[0] != '.';
}

/* Below backup-dir: who may send commands shall not write anywhere on the machine. The owner of the
 * store, who may, names a path. Replies if there is none. */
static bool make_backup_path(struct client *client, bitcask_slice name, char *path, size_t size)
{
    const char *directory = setting_text(client->server->settings, SETTING_BACKUP_DIR);
    const char *text = name.data;
    bool of_owner = acl_user_is_owner(client->user) && name.size > 0 && name.size < size &&
                    text[0] == '/' && memchr(text, 0, name.size) == NULL;
    if (of_owner)
        snprintf(path, size, "%.*s", (int)name.size, text);
    else if (directory[0] == '\0')
        reply_error(client, "ERR no backup-dir is set: backups go into directories of it");
    else if (!is_file_name(name))
        reply_error(client, "ERR a backup's name has up to 128 printable characters, no spaces and "
                            "slashes, and does not begin with a dot");
    else
        snprintf(path, size, "%s/%.*s", directory, (int)name.size, text);
    return of_owner || (directory[0] != '\0' && is_file_name(name));
}

void cmd_bc_backup(struct client *client, const struct command_call *call)
{
    char path[4096];
    if (make_backup_path(client, call->words[1], path, sizeof path))
        start(client, JOB_BACKUP, path, false);
}

static void reply_job(struct client *client, enum job_kind kind)
{
    struct job_report report;
    jobs_report(client->server->jobs, kind, &report);
    reply_bulk_text(client, job_name(kind));
    reply_map(client, 9);
    reply_bulk_text(client, "running");
    reply_integer(client, report.running);
    reply_bulk_text(client, "runs");
    reply_integer(client, (int64_t)report.runs);
    reply_bulk_text(client, "started_ms");
    reply_integer(client, (int64_t)(report.started_us / 1000));
    reply_bulk_text(client, "finished_ms");
    reply_integer(client, (int64_t)(report.finished_us / 1000));
    reply_bulk_text(client, "done");
    reply_integer(client, (int64_t)report.done);
    reply_bulk_text(client, "total");
    reply_integer(client, (int64_t)report.total);
    reply_bulk_text(client, "status");
    reply_bulk_text(client, bitcask_status_name(report.status));
    reply_bulk_text(client, "result");
    reply_bulk_text(client, report.result);
    reply_bulk_text(client, "figures");
    reply_bulk_text(client, report.figures);
}

void cmd_bc_jobs(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_map(client, JOB_KINDS);
    for (int i = 0; i < JOB_KINDS; i++)
        reply_job(client, (enum job_kind)i);
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

void cmd_bc_snapshot_create(struct client *client, const struct command_call *call)
{
    bitcask_error error = {0};
    struct snapshots *snapshots = keyspace_snapshots(client->server->keyspace);
    bitcask_status status =
        snapshots_create(snapshots, client->server->store, call->words[2], &error);
    if (status == BITCASK_OK)
        reply_ok(client);
    else if (status == BITCASK_EXISTS)
        reply_error(client, "ERR there is a snapshot of that name");
    else
        keyspace_reply_error(client, status, &error);
}

void cmd_bc_snapshot_drop(struct client *client, const struct command_call *call)
{
    struct snapshots *snapshots = keyspace_snapshots(client->server->keyspace);
    reply_integer(client, snapshots_drop(snapshots, call->words[2]));
}

void cmd_bc_snapshot_get(struct client *client, const struct command_call *call)
{
    bitcask_error error = {0};
    bitcask_view view = {0};
    bitcask_slice key = call->words[3];
    if (key.size == 0 || key.size > BITCASK_MAX_KEY_SIZE) {
        reply_null(client);
        return;
    }
    bitcask_status status =
        snapshots_get(keyspace_snapshots(client->server->keyspace), client->server->store,
                      call->words[2], key, &view, &error);
    /* Copied: the reply may wait longer than the snapshot lives. */
    if (status == BITCASK_OK)
        reply_bulk(client, view.value);
    else if (status == BITCASK_NOT_FOUND)
        reply_null(client);
    else if (status == BITCASK_END)
        reply_error(client, "ERR there is no snapshot of that name");
    else
        keyspace_reply_error(client, status, &error);
    keyspace_release(&view);
}

struct snapshot_list {
    struct client *client;
    size_t count;
};

static void reply_snapshot(void *context, const char *name, uint64_t version, uint64_t created_us)
{
    struct snapshot_list *list = context;
    reply_bulk_text(list->client, name);
    reply_map(list->client, 2);
    reply_bulk_text(list->client, "version");
    reply_integer(list->client, (int64_t)version);
    reply_bulk_text(list->client, "created_ms");
    reply_integer(list->client, (int64_t)(created_us / 1000));
    list->count++;
}

void cmd_bc_snapshot_list(struct client *client, const struct command_call *call)
{
    (void)call;
    struct snapshot_list list = {client, 0};
    size_t mark = reply_later(client);
    snapshots_each(keyspace_snapshots(client->server->keyspace), reply_snapshot, &list);
    reply_end(client, mark, REPLY_MAP, list.count);
}

void cmd_bc_snapshot_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {"CREATE <name>",
                                        "    Keep the store as it is now, to be read later.",
                                        "DROP <name>",
                                        "    Forget it: its memory and disk space come back.",
                                        "GET <name> <key>",
                                        "    The value that a key had.",
                                        "LIST",
                                        "    The snapshots, with version and time.",
                                        NULL};
    reply_help(client, call->words[0], lines);
}
