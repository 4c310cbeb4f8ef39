/* SPDX-License-Identifier: MIT
 * cmd_server.c: the server itself: TIME SAVE ROLE WAIT DEBUG MEMORY SHUTDOWN, and what stands in
 * for scripts, modules, replication and clusters, of which there are none. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "cmd.h"
#include "gate.h"
#include "jobs.h"
#include "keyspace.h"
#include "reply.h"
#include "settings.h"
#include "words.h"

void cmd_other(struct client *client, const struct command_call *call)
{
    reply_error(client, "ERR command '%s' is not supported", call->command->name);
}

void cmd_time(struct client *client, const struct command_call *call)
{
    (void)call;
    uint64_t now_us = server_wall_us();
    reply_array(client, 2);
    reply_bulk_integer(client, (int64_t)(now_us / 1000000));
    reply_bulk_integer(client, (int64_t)(now_us % 1000000));
}

void cmd_lolwut(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_verbatim(client, "txt", bitcask_str("bitcask ver. " BITCASK_VERSION_STRING "\n"));
}

/* ---- Making durable ------------------------------------------------------------------------- */

void cmd_save(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_error error = {0};
    bitcask_status status = bitcask_sync_now(client->server->store, &error);
    if (status != BITCASK_OK) {
        keyspace_reply_error(client, status, &error);
        return;
    }
    jobs_saved(client->server->jobs);
    reply_ok(client);
}

/* With a backup-dir a backup, into its directory "latest"; else a sync, which is soon done. */
void cmd_bgsave(struct client *client, const struct command_call *call)
{
    bitcask_error error = {0};
    bitcask_status status;
    const char *directory = setting_text(client->server->settings, SETTING_BACKUP_DIR);
    if (call->count > 2 || (call->count == 2 && !word_is(call->words[1], "SCHEDULE"))) {
        reply_syntax_error(client);
        return;
    }
    if (directory != NULL && directory[0] != '\0') {
        char path[4096];
        snprintf(path, sizeof path, "%s/latest", directory);
        status = jobs_start(client->server, JOB_BACKUP, path, false, &error);
    } else {
        status = bitcask_sync_now(client->server->store, &error);
        if (status == BITCASK_OK)
            jobs_saved(client->server->jobs);
    }
    if (status == BITCASK_BUSY)
        reply_error(client, "ERR Background save already in progress");
    else if (status != BITCASK_OK)
        keyspace_reply_error(client, status, &error);
    else
        reply_simple(client, "Background saving started");
}

void cmd_bgrewriteaof(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_error error = {0};
    bitcask_status status = jobs_start(client->server, JOB_MERGE, NULL, false, &error);
    if (status == BITCASK_BUSY)
        reply_error(client, "ERR Background append only file rewriting already in progress");
    else if (status != BITCASK_OK)
        keyspace_reply_error(client, status, &error);
    else
        reply_simple(client, "Background append only file rewriting started");
}

void cmd_lastsave(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_integer(client, (int64_t)jobs_last_save_s(client->server->jobs));
}

/* As TERM does it: requests are finished, the store is synced. No reply, as in redis-server. */
void cmd_shutdown(struct client *client, const struct command_call *call)
{
    for (size_t i = 1; i < call->count; i++) {
        if (word_is(call->words[i], "ABORT")) {
            reply_error(client, "ERR No shutdown in progress.");
            return;
        }
        if (!word_is(call->words[i], "NOSAVE") && !word_is(call->words[i], "SAVE") &&
            !word_is(call->words[i], "NOW") && !word_is(call->words[i], "FORCE")) {
            reply_syntax_error(client);
            return;
        }
    }
    client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    kill(getpid(), SIGTERM);
}

/* ---- Replication, clusters: none ------------------------------------------------------------ */

void cmd_role(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_array(client, 3);
    reply_bulk_text(client, "master");
    reply_integer(client, 0);
    reply_array(client, 0);
}

void cmd_replicaof(struct client *client, const struct command_call *call)
{
    if (word_is(call->words[1], "NO") && word_is(call->words[2], "ONE"))
        reply_ok(client);
    else
        reply_error(client, "ERR replication is not supported");
}

void cmd_slaveof(struct client *client, const struct command_call *call)
{
    cmd_replicaof(client, call);
}

/* There is nobody to wait for. */
void cmd_wait(struct client *client, const struct command_call *call)
{
    int64_t replicas, timeout;
    if (!word_integer(client, call->words[1], &replicas))
        return;
    if (!word_to_integer(call->words[2], &timeout))
        reply_error(client, "ERR timeout is not an integer or out of range");
    else if (timeout < 0)
        reply_error(client, "ERR timeout is negative");
    else
        reply_integer(client, 0);
}

void cmd_cluster(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_error(client, "ERR This instance has cluster support disabled");
}

void cmd_readonly(struct client *client, const struct command_call *call)
{
    cmd_cluster(client, call);
}

void cmd_readwrite(struct client *client, const struct command_call *call)
{
    cmd_cluster(client, call);
}

void cmd_asking(struct client *client, const struct command_call *call)
{
    cmd_cluster(client, call);
}

/* ---- Scripts, functions, modules: none ------------------------------------------------------ */

static bool is_flush_mode(const struct command_call *call)
{
    return call->count == 2 || (call->count == 3 && (word_is(call->words[2], "SYNC") ||
                                                     word_is(call->words[2], "ASYNC")));
}

void cmd_function_flush(struct client *client, const struct command_call *call)
{
    if (is_flush_mode(call))
        reply_ok(client);
    else
        reply_error(client, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
}

void cmd_function_list(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_array(client, 0);
}

void cmd_function_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {"FLUSH [ASYNC|SYNC]",
                                        "    Nothing: there are no functions.", "LIST",
                                        "    An empty list.", NULL};
    reply_help(client, call->words[0], lines);
}

void cmd_script_flush(struct client *client, const struct command_call *call)
{
    if (is_flush_mode(call))
        reply_ok(client);
    else
        reply_error(client, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
}

void cmd_script_exists(struct client *client, const struct command_call *call)
{
    reply_array(client, call->count - 2);
    for (size_t i = 2; i < call->count; i++)
        reply_integer(client, 0);
}

void cmd_script_kill(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_error(client, "NOTBUSY No scripts in execution right now.");
}

void cmd_script_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {"EXISTS <sha1> [<sha1> ...]",
                                        "    0 for each: there are no scripts.",
                                        "FLUSH [ASYNC|SYNC]",
                                        "    Nothing: there are no scripts.",
                                        "KILL",
                                        "    An error: no script runs.",
                                        NULL};
    reply_help(client, call->words[0], lines);
}

void cmd_module_list(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_array(client, 0);
}

/* ---- DEBUG ---------------------------------------------------------------------------------- */

/* Others go on meanwhile, but for the clients of this thread. */
static void sleep_a_while(struct client *client, double seconds)
{
    uint64_t until_us = server_monotonic_us() + (uint64_t)(seconds * 1e6);
    gate_leave(client->server->gate, client->slot);
    while (server_monotonic_us() < until_us && !client->server->stopping) {
        uint64_t left_us = until_us - server_monotonic_us();
        usleep((useconds_t)(left_us < 10000 ? left_us : 10000));
    }
    gate_enter(client->server->gate, client->slot);
}

void cmd_debug(struct client *client, const struct command_call *call)
{
    double seconds;
    if (word_is(call->words[1], "SLEEP") && call->count == 3) {
        if (!word_to_double(call->words[2], &seconds) || seconds < 0 || seconds > 1e9) {
            reply_error(client, "ERR value is not a valid float");
            return;
        }
        if (!keyspace_in_batch(client)) /* EXEC is alone: all would wait */
            sleep_a_while(client, seconds);
        reply_ok(client);
    } else if (word_is(call->words[1], "JMAP") ||
               (word_is(call->words[1], "SET-ACTIVE-EXPIRE") && call->count == 3)) {
        reply_ok(client);
    } else if (word_is(call->words[1], "HELP") && call->count == 2) {
        static const char *const lines[] = {"JMAP",
                                            "    Nothing, as ever.",
                                            "SET-ACTIVE-EXPIRE <0|1>",
                                            "    Nothing: expired keys go by merges.",
                                            "SLEEP <seconds>",
                                            "    Let this connection wait.",
                                            NULL};
        reply_help(client, call->words[0], lines);
    } else {
        reply_subcommand_error(client, call->words);
    }
}

/* ---- MEMORY --------------------------------------------------------------------------------- */

void cmd_memory_doctor(struct client *client, const struct command_call *call)
{
    (void)call;
    reply_verbatim(client, "txt",
                   bitcask_str("The index takes about ten bytes a key, whatever its length: see "
                               "INFO bitcask. Values are on disk.\n"));
}

void cmd_memory_malloc_stats(struct client *client, const struct command_call *call)
{
    (void)call;
    struct mallinfo2 info = mallinfo2();
    char text[256];
    int size =
        snprintf(text, sizeof text, "arena %zu\nin use %zu\nfree %zu\nmapped %zu in %zu pieces\n",
                 info.arena, info.uordblks, info.fordblks, info.hblkhd, info.hblks);
    reply_verbatim(client, "txt", bitcask_bytes(text, (size_t)size));
}

void cmd_memory_purge(struct client *client, const struct command_call *call)
{
    (void)call;
    malloc_trim(0);
    reply_ok(client);
}

void cmd_memory_stats(struct client *client, const struct command_call *call)
{
    (void)call;
    bitcask_stats stats = {.struct_size = sizeof stats};
    bitcask_get_stats(client->server->store, &stats);
    struct mallinfo2 info = mallinfo2();
    reply_map(client, 6);
    reply_bulk_text(client, "total.allocated");
    reply_integer(client, (int64_t)(info.uordblks + info.hblkhd));
    reply_bulk_text(client, "keys.count");
    reply_integer(client, (int64_t)stats.keys);
    reply_bulk_text(client, "keys.bytes-per-key");
    reply_integer(client, stats.keys > 0 ? (int64_t)(stats.index_bytes / stats.keys) : 0);
    reply_bulk_text(client, "index.bytes");
    reply_integer(client, (int64_t)stats.index_bytes);
    reply_bulk_text(client, "dataset.bytes");
    reply_integer(client, (int64_t)stats.live_bytes);
    reply_bulk_text(client, "disk.bytes");
    reply_integer(client, (int64_t)stats.disk_bytes);
}

void cmd_memory_help(struct client *client, const struct command_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Memory, in words.",
        "MALLOC-STATS",
        "    The allocator's figures.",
        "PURGE",
        "    Give free memory back.",
        "STATS",
        "    Memory, in numbers.",
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes of its record on disk and of its share of the index.",
        NULL};
    reply_help(client, call->words[0], lines);
}
