/* SPDX-License-Identifier: MIT
 * dispatch.c: may a command run, here and now? Then run it.
 *
 * The order of the questions is redis-server's: does it exist, has it the right number of words, is
 * the client authenticated, may its user, does a subscription allow it, is it queued. What is
 * refused is counted as rejected and lets EXEC fail.
 *
 * In a pipeline the end of one command is the beginning of the next, so that each costs one look at
 * the clock. */
#include "dispatch.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "cmd.h"
#include "gate.h"
#include "keyspace.h"
#include "metrics.h"
#include "output.h"
#include "registry.h"
#include "reply.h"
#include "settings.h"
#include "slowlog.h"
#include "transaction.h"

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool command_takes(const struct command *command, size_t count)
{
    return command->arity >= 0 ? count == (size_t)command->arity : count >= (size_t)-command->arity;
}

/* ---- Refusing ------------------------------------------------------------------------------- */

void dispatch_reject(struct client *client, const struct command *command, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (command != NULL && command->run == cmd_exec) {
        transaction_drop_queue(client);
        transaction_unwatch(client);
        reply_error(client, "EXECABORT Transaction discarded because of: %s",
                    strncmp(text, "ERR ", 4) == 0 ? text + 4 : text);
    } else {
        if (client->flags & CLIENT_MULTI)
            client->flags |= CLIENT_DIRTY_EXEC;
        reply_error(client, "%s", text);
    }
    metrics_add(client->server->metrics, client->slot, METRIC_ERRORS, 1);
    if (command != NULL)
        metrics_command(client->server->metrics, client->slot, command->index, 0, METRICS_REJECTED);
}

/* At most 128 bytes, up to a NUL, as redis-server prints them. */
static int shown(bitcask_slice word, size_t most)
{
    return (int)strnlen(word.data, word.size < most ? word.size : most);
}

static void reject_unknown(struct client *client, const bitcask_slice *words, size_t count)
{
    enum { SHOWN = 128 };
    char given[SHOWN + 16] = "";
    size_t used = 0;
    for (size_t i = 1; i < count && used < SHOWN; i++)
        used += (size_t)snprintf(given + used, sizeof given - used, "'%.*s' ",
                                 shown(words[i], SHOWN - used), (const char *)words[i].data);
    dispatch_reject(client, NULL, "ERR unknown command '%.*s', with args beginning with: %s",
                    shown(words[0], SHOWN), (const char *)words[0].data, given);
}

static void reject_unknown_sub(struct client *client, const struct command *command,
                               bitcask_slice word)
{
    char name[48];
    size_t i = 0;
    for (; command->name[i] != '\0' && i < sizeof name - 1; i++)
        name[i] = (char)toupper((unsigned char)command->name[i]);
    name[i] = '\0';
    dispatch_reject(client, NULL, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(word, 128),
                    (const char *)word.data, name);
}

static void reject_other(struct client *client, const struct command *command)
{
    const char *why = "this server has no part of Redis that it belongs to";
    if (command->categories & CATEGORY_SCRIPTING)
        why = "this server runs no scripts";
    else if (command->first_key != 0 || (command->flags & (COMMAND_READONLY | COMMAND_WRITE)) != 0)
        why = "this server stores strings only";
    dispatch_reject(client, command, "ERR command '%s' is not supported: %s", command->name, why);
}

/* What ACL LOG and the error text have of an answer. */
static const struct {
    const char *reason, *text;
} refusals[] = {
    [ACL_NO_COMMAND] = {"command", NULL},
    [ACL_NO_KEY] = {"key", "NOPERM this user has no permissions to access one of the keys used as "
                           "arguments"},
    [ACL_NO_CHANNEL] = {"channel", "NOPERM this user has no permissions to access one of the "
                                   "channels used as arguments"},
};

bool dispatch_is_allowed(struct client *client, const struct command_call *call)
{
    size_t which = 0;
    enum acl_answer answer = acl_check(client->user, call, &which);
    if (answer == ACL_ALLOWED)
        return true;
    const char *name = call->command->name;
    bitcask_slice object = answer == ACL_NO_COMMAND ? bitcask_str(name) : call->words[which];
    if (answer == ACL_NO_COMMAND)
        dispatch_reject(client, call->command,
                        "NOPERM this user has no permissions to run the '%s' command", name);
    else
        dispatch_reject(client, call->command, "%s", refusals[answer].text);
    acl_note_refusal(client, refusals[answer].reason, object,
                     bitcask_str(acl_user_name(client->user)));
    metrics_add(client->server->metrics, client->slot, METRIC_ACL_DENIED, 1);
    return false;
}

/* ---- Asking --------------------------------------------------------------------------------- */

/* Which command is it? NULL: it was refused. */
static const struct command *find(struct client *client, const bitcask_slice *words, size_t count)
{
    const struct command *command = command_find(words[0]);
    if (command == NULL) {
        reject_unknown(client, words, count);
        return NULL;
    }
    if (command->subcommands != NULL && count >= 2) {
        const struct command *sub = command_find_sub(command, words[1]);
        if (sub == NULL) {
            reject_unknown_sub(client, command, words[1]);
            return NULL;
        }
        command = sub;
    }
    if (command_takes(command, count))
        return command;
    dispatch_reject(client, command, "ERR wrong number of arguments for '%s' command",
                    command->name);
    return NULL;
}

/* The newest of what is known of its user; one that is gone takes its connections with it. */
static bool renew_user(struct client *client)
{
    if (client->user == NULL)
        return true;
    client->user = acl_user_renew(client->server->acl, client->user);
    if (client->user == NULL)
        client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    return client->user != NULL;
}

static bool may_run(struct client *client, const struct command_call *call)
{
    const struct command *command = call->command;
    if (!renew_user(client) || (client->user == NULL && (command->flags & COMMAND_NO_AUTH) == 0)) {
        dispatch_reject(client, command, "NOAUTH Authentication required.");
        return false;
    }
    if (client->user != NULL && !dispatch_is_allowed(client, call))
        return false;
    if (command->flags & COMMAND_OTHER_TYPE) {
        reject_other(client, command);
        return false;
    }
    if (client->protocol == 2 && (command->flags & COMMAND_IN_SUBSCRIPTION) == 0 &&
        client_is_subscribed(client)) {
        dispatch_reject(client, command,
                        "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / "
                        "QUIT / RESET are allowed in this context",
                        command->name);
        return false;
    }
    if ((client->flags & CLIENT_MULTI) && (command->flags & COMMAND_NO_MULTI)) {
        dispatch_reject(client, command, "ERR Command not allowed inside a transaction");
        return false;
    }
    return true;
}

/* ---- Running -------------------------------------------------------------------------------- */

static const bitcask_slice redacted = {"(redacted)", 10};

enum { SHOWN_MAX = 64 << 10 }; /* bytes of a word that MONITOR shows */

static size_t shown_size(bitcask_slice word)
{
    return word.size < SHOWN_MAX ? word.size : SHOWN_MAX;
}

/* Append a word as MONITOR shows it: in quotes, what is not printable escaped. */
static size_t quote(char *to, bitcask_slice word)
{
    const unsigned char *bytes = word.data;
    char *at = to;
    *at++ = '"';
    for (size_t i = 0; i < shown_size(word); i++) {
        const char *plain = "\n\r\t\a\b\\\"", *letters = "nrtab\\\"";
        const char *special = bytes[i] == '\0' ? NULL : strchr(plain, bytes[i]);
        if (special != NULL) {
            *at++ = '\\';
            *at++ = letters[special - plain];
        } else if (isprint(bytes[i])) {
            *at++ = (char)bytes[i];
        } else {
            at += sprintf(at, "\\x%02x", bytes[i]);
        }
    }
    *at++ = '"';
    return (size_t)(at - to);
}

static void show_to_monitors(struct client *client, const struct command_call *call)
{
    size_t size = 128 + sizeof client->address;
    for (size_t i = 0; i < call->count; i++)
        size += 4 * shown_size(call->words[i]) + 16;
    char *line = malloc(size);
    if (line == NULL)
        return;
    uint64_t now_us = server_wall_us();
    size_t used =
        (size_t)sprintf(line, "+%llu.%06llu [0 %s]", (unsigned long long)(now_us / 1000000),
                        (unsigned long long)(now_us % 1000000), client->address);
    bool secret = (call->command->flags & COMMAND_SECRET) != 0;
    for (size_t i = 0; i < call->count; i++) {
        line[used++] = ' ';
        used += quote(line + used, secret && i > 0 ? redacted : call->words[i]);
    }
    memcpy(line + used, "\r\n", 2);
    registry_post_monitors(client->server, bitcask_bytes(line, used + 2));
    free(line);
}

/* Does SLOWLOG or LATENCY want to know of it? */
static bool is_slow(const struct server *server, uint64_t ns)
{
    const struct settings *settings = server->settings;
    int64_t limit_us = (int64_t)setting_number(settings, SETTING_SLOWLOG_LOG_SLOWER_THAN);
    uint64_t threshold_ms = setting_number(settings, SETTING_LATENCY_MONITOR_THRESHOLD);
    return (limit_us >= 0 && ns / 1000 >= (uint64_t)limit_us) ||
           (threshold_ms > 0 && ns / 1000000 >= threshold_ms);
}

/* Keep it; what is secret without its words. */
static void note_slow(struct client *client, const struct command_call *call, uint64_t ns)
{
    struct server *server = client->server;
    int64_t limit_us = (int64_t)setting_number(server->settings, SETTING_SLOWLOG_LOG_SLOWER_THAN);
    uint64_t us = ns / 1000;
    if (limit_us >= 0 && us >= (uint64_t)limit_us &&
        (call->command->flags & COMMAND_NO_SLOWLOG) == 0) {
        bitcask_slice name_only[2] = {call->words[0], redacted};
        struct command_call hidden = {call->command, name_only, call->count > 1 ? 2 : 1};
        bool secret = (call->command->flags & COMMAND_SECRET) != 0;
        slowlog_note(server->slowlog, client, secret ? &hidden : call, us,
                     setting_number(server->settings, SETTING_SLOWLOG_MAX_LEN));
    }
    uint64_t threshold = setting_number(server->settings, SETTING_LATENCY_MONITOR_THRESHOLD);
    if (threshold > 0 && us / 1000 >= threshold)
        latency_note(server->slowlog,
                     call->command->flags & COMMAND_FAST ? "fast-command" : "command", us / 1000,
                     server_wall_us() / 1000000);
}

static void note_call(struct client *client, const struct command_call *call, uint64_t ns,
                      bool failed)
{
    struct server *server = client->server;
    metrics_command(server->metrics, client->slot, call->command->index, ns,
                    failed ? METRICS_FAILED : METRICS_OK);
    if (failed)
        metrics_add(server->metrics, client->slot, METRIC_ERRORS, 1);
    if (is_slow(server, ns))
        note_slow(client, call, ns);
    client->last_command = call->command;
}

/* Returns when it ended. */
static uint64_t run_from(struct client *client, const struct command_call *call, uint64_t began_ns)
{
    uint64_t errors = client->error_replies;
    call->command->run(client, call);
    uint64_t ended_ns = now_ns();
    note_call(client, call, ended_ns - began_ns, client->error_replies != errors);
    if (registry_has_monitors(client->server->registry) &&
        (call->command->flags & (COMMAND_NO_MONITOR | COMMAND_ADMIN)) == 0)
        show_to_monitors(client, call);
    return ended_ns;
}

void dispatch_run(struct client *client, const struct command_call *call)
{
    run_from(client, call, now_ns());
}

/* Those that are never queued: they steer the transaction itself. */
static bool is_queued(const struct client *client, const struct command *command)
{
    static command_fn *const never[] = {cmd_exec,  cmd_discard, cmd_multi,
                                        cmd_watch, cmd_quit,    cmd_reset};
    if ((client->flags & CLIENT_MULTI) == 0)
        return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (command->run == never[i])
            return false;
    return true;
}

static void queue(struct client *client, const struct command_call *call)
{
    uint64_t limit = setting_number(client->server->settings, SETTING_CLIENT_QUERY_BUFFER_LIMIT);
    const struct transaction *transaction = client->transaction;
    if (transaction != NULL && transaction->queued_bytes > limit)
        dispatch_reject(client, call->command, "ERR the transaction is too large");
    else if (!transaction_queue(client, call))
        dispatch_reject(client, call->command, "OOM out of memory");
    else
        reply_simple(client, "QUEUED");
}

/* CLIENT REPLY SKIP is of the command behind it. */
static void step_reply_mode(struct client *client)
{
    client->flags &= ~(unsigned)CLIENT_REPLY_SKIP;
    if (client->flags & CLIENT_REPLY_SKIP_NEXT)
        client->flags ^= CLIENT_REPLY_SKIP_NEXT | CLIENT_REPLY_SKIP;
}

static uint64_t execute(struct client *client, const bitcask_slice *words, size_t count,
                        uint64_t began_ns)
{
    const struct command *command = find(client, words, count);
    struct command_call call = {command, words, count};
    if (command != NULL && may_run(client, &call)) {
        struct gate *gate = client->server->gate;
        if (is_queued(client, command)) {
            queue(client, &call);
        } else if (command->flags & COMMAND_ALONE) {
            gate_become_alone(gate, client->slot);
            began_ns = run_from(client, &call, began_ns);
            gate_end_alone(gate, client->slot);
        } else {
            began_ns = run_from(client, &call, began_ns);
        }
    }
    step_reply_mode(client);
    return began_ns;
}

void dispatch(struct client *client, const bitcask_slice *words, size_t count)
{
    execute(client, words, count, now_ns());
}

/* ---- Pipelines ------------------------------------------------------------------------------ */

enum {
    RUN_MAX = 64,
    RUN_VALUE_MAX = 16 << 10, /* bytes; values in a batch are copied once more */
};

/* Is this a plain GET or SET that may run as a part of a run? `name` is how the first one is
 * spelled: clients do not change that. */
static bool is_of_run(const struct client *client, const struct command *command, const char *name,
                      const bitcask_slice *words, size_t count)
{
    bool is_set = command->run == cmd_set;
    struct command_call call = {command, words, count};
    size_t which;
    return count == (is_set ? 3 : 2) && words[0].size == 3 && memcmp(words[0].data, name, 3) == 0 &&
           words[1].size >= 1 && words[1].size <= BITCASK_MAX_KEY_SIZE &&
           (!is_set || words[2].size <= RUN_VALUE_MAX) &&
           acl_check(client->user, &call, &which) == ACL_ALLOWED;
}

/* May commands of this client be run several at once? */
static bool can_run_many(struct client *client)
{
    const unsigned special = CLIENT_MULTI | CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP |
                             CLIENT_REPLY_SKIP_NEXT | CLIENT_CLOSE_AFTER_REPLY;
    return client->user != NULL && (client->flags & special) == 0 &&
           !(client->protocol == 2 && client_is_subscribed(client)) &&
           !registry_has_monitors(client->server->registry);
}

/* How many requests from here on are the same plain GET or SET; 0: this one is another. */
static size_t length_of_run(struct client *client, const bitcask_slice *words, const size_t *counts,
                            size_t requests, const struct command **command)
{
    if (words[0].size != 3 || (*command = command_find(words[0])) == NULL ||
        ((*command)->run != cmd_get && (*command)->run != cmd_set))
        return 0;
    size_t length = 0;
    const char *name = words[0].data;
    while (length < requests && length < RUN_MAX &&
           is_of_run(client, *command, name, words, counts[length])) {
        words += counts[length];
        length++;
    }
    return length;
}

static bool run_gets(struct client *client, const bitcask_slice *words, size_t length)
{
    bitcask_slice keys[RUN_MAX];
    bitcask_view views[RUN_MAX];
    bitcask_status each[RUN_MAX];
    size_t filled = 0;
    do /* a run has at least one */
        keys[filled] = words[2 * filled + 1];
    while (++filled < length);
    uint64_t errors = client->error_replies;
    bool good = keyspace_get_many(client, keys, length, views, each) == BITCASK_OK;
    for (size_t i = 0; i < length && good; i++) {
        if (each[i] == BITCASK_OK)
            keyspace_reply(client, &views[i]);
        else
            reply_null(client);
    }
    return client->error_replies == errors;
}

static bool run_sets(struct client *client, const bitcask_slice *words, size_t length)
{
    bitcask_slice pairs[2 * RUN_MAX];
    size_t filled = 0;
    do { /* a run has at least one */
        pairs[2 * filled] = words[3 * filled + 1];
        pairs[2 * filled + 1] = words[3 * filled + 2];
    } while (++filled < length);
    uint64_t errors = client->error_replies;
    if (keyspace_set_many(client, pairs, length) == BITCASK_OK)
        for (size_t i = 0; i < length; i++)
            reply_ok(client);
    return client->error_replies == errors;
}

/* Execute a run as one. If it fails as a whole, one damaged value or a full disk, nothing has been
 * written, its one error is taken back, and the commands run one by one: each has its own answer.
 */
static bool run_many(struct client *client, const struct command *command,
                     const bitcask_slice *words, size_t length, uint64_t *began_ns)
{
    uint64_t errors = client->error_replies;
    size_t mark = reply_later(client);
    bool good =
        command->run == cmd_get ? run_gets(client, words, length) : run_sets(client, words, length);
    if (!good) {
        output_cut(client->out, mark);
        client->error_replies = errors;
        return false;
    }
    uint64_t ended_ns = now_ns(), each_ns = (ended_ns - *began_ns) / length;
    size_t words_each = command->run == cmd_get ? 2 : 3;
    metrics_commands(client->server->metrics, client->slot, command->index, each_ns, length);
    client->last_command = command;
    bool slow = is_slow(client->server, each_ns);
    for (size_t i = 0; i < length && slow; i++) {
        struct command_call call = {command, words + i * words_each, words_each};
        note_slow(client, &call, each_ns);
    }
    metrics_add(client->server->metrics, client->slot, METRIC_PIPELINED, length);
    *began_ns = ended_ns;
    return true;
}

void dispatch_pipeline(struct client *client, const bitcask_slice *words, const size_t *counts,
                       size_t requests)
{
    uint64_t began_ns = now_ns();
    for (size_t i = 0; i < requests && (client->flags & CLIENT_CLOSE_AFTER_REPLY) == 0;) {
        const struct command *command;
        size_t length = 0;
        if (can_run_many(client) && renew_user(client))
            length = length_of_run(client, words, counts + i, requests - i, &command);
        if (length < 2 || !run_many(client, command, words, length, &began_ns)) {
            length = length > 0 ? length : 1;
            for (size_t j = 0; j < length; j++) {
                began_ns = execute(client, words, counts[i + j], began_ns);
                words += counts[i + j];
            }
        } else {
            words += length * counts[i];
        }
        i += length;
    }
}
