/* SPDX-License-Identifier: MIT
 * settings_table.c: every setting of the server, with its default and what bitcask.conf says of it.
 */
#include "settings_table.h"

#include <strings.h>

#define ANY INT64_MAX

static const struct setting_choice appendfsync_choices[] = {
    {"everysec", BITCASK_SYNC_INTERVAL}, {"always", BITCASK_SYNC_ALWAYS}, {"no", BITCASK_SYNC_NONE},
    {"interval", BITCASK_SYNC_INTERVAL}, {"none", BITCASK_SYNC_NONE},     {NULL, 0},
};
static const struct setting_choice loglevel_choices[] = {
    {"debug", BITCASK_LOG_DEBUG},  {"notice", BITCASK_LOG_INFO}, {"verbose", BITCASK_LOG_INFO},
    {"warning", BITCASK_LOG_WARN}, {"info", BITCASK_LOG_INFO},   {"warn", BITCASK_LOG_WARN},
    {"error", BITCASK_LOG_ERROR},  {"nothing", BITCASK_LOG_OFF}, {NULL, 0},
};
static const struct setting_choice log_format_choices[] = {
    {"text", 0}, {"logfmt", 1}, {"json", 2}, {NULL, 0}};
static const struct setting_choice auth_clients_choices[] = {
    {"no", SETTINGS_AUTH_NO},
    {"yes", SETTINGS_AUTH_YES},
    {"optional", SETTINGS_AUTH_OPTIONAL},
    {NULL, 0},
};
static const struct setting_choice supervised_choices[] = {
    {"no", SETTINGS_SUPERVISED_NO},
    {"systemd", SETTINGS_SUPERVISED_SYSTEMD},
    {"auto", SETTINGS_SUPERVISED_AUTO},
    {NULL, 0},
};
static const struct setting_choice noeviction_choices[] = {{"noeviction", 0}, {NULL, 0}};
static const struct setting_choice yes_choices[] = {{"yes", 1}, {NULL, 0}};
static const struct setting_choice no_choices[] = {{"no", 0}, {NULL, 0}};

#define TEXT SETTING_IS_TEXT, 0, 0, NULL
#define NUMBER(min, max) SETTING_IS_NUMBER, min, max, NULL
#define BYTES(min, max) SETTING_IS_BYTES, min, max, NULL
#define YES_NO SETTING_IS_YES_NO, 0, 1, NULL
#define CHOICE(choices) SETTING_IS_CHOICE, 0, 0, choices

/* clang-format off */
const struct setting settings_table[SETTING_COUNT] = {
[SETTING_DIR] = {{"dir", "DIR", "./data",
    "The directory of the store. It is made if it is not there.", false}, NULL, TEXT},
[SETTING_BIND] = {{"bind", "ADDRESS...", "127.0.0.1 -::1",
    "Addresses to listen on. A \"-\" in front: no error if the machine has no such address; \"*\" is "
    "every IPv4 address, \"::*\" every IPv6 address; \"\" is none, the Unix socket alone.", false}, NULL, TEXT},
[SETTING_PORT] = {{"port", "PORT", "6380",
    "TCP port of the Redis protocol; 0: none.", false}, NULL, NUMBER(0, 65535)},
[SETTING_UNIXSOCKET] = {{"unixsocket", "PATH", "",
    "A Unix socket besides the one that is always there, bitcask.sock in the store's directory.", false},
    NULL, TEXT},
[SETTING_UNIXSOCKETPERM] = {{"unixsocketperm", "MODE", "600",
    "Who may connect to it.", false}, NULL, SETTING_IS_MODE, 0, 0777, NULL},
[SETTING_HTTP_PORT] = {{"http-port", "PORT", "6381",
    "TCP port of HTTP: dashboard, /metrics, /healthz, REST; 0: none.", false}, NULL, NUMBER(0, 65535)},
[SETTING_HTTP_BIND] = {{"http-bind", "ADDRESS", "",
    "The addresses HTTP listens on; \"\": those of bind.", false}, NULL, TEXT},
[SETTING_HTTP_HOSTS] = {{"http-hosts", "NAME...", "",
    "Names, beside localhost and addresses, by which HTTP may be asked for: against pages of others that "
    "have their own name lead here.", true}, NULL, TEXT},
[SETTING_HTTP_TIMEOUT] = {{"http-timeout", "SECONDS", "30",
    "HTTP connections are closed whose request has not come, or that have been idle, for as long.", true},
    NULL, NUMBER(1, 3600)},
[SETTING_TLS_PORT] = {{"tls-port", "PORT", "0",
    "TCP port of the Redis protocol under TLS; 0: none. With \"port 0\" it is the only one.", false}, NULL,
    NUMBER(0, 65535)},
[SETTING_TLS_CERT_FILE] = {{"tls-cert-file", "FILE", "",
    "The server's certificate, with the chain behind it, in PEM.", false}, NULL, TEXT},
[SETTING_TLS_KEY_FILE] = {{"tls-key-file", "FILE", "", "Its private key, in PEM.", false}, NULL, TEXT},
[SETTING_TLS_CA_CERT_FILE] = {{"tls-ca-cert-file", "FILE", "",
    "Certificates that clients' certificates must lead to, in PEM.", false}, NULL, TEXT},
[SETTING_TLS_AUTH_CLIENTS] = {{"tls-auth-clients", "yes|no|optional", "yes",
    "Must a client show a certificate? yes needs tls-ca-cert-file.", false}, NULL,
    CHOICE(auth_clients_choices)},
[SETTING_IO_THREADS] = {{"io-threads", "N", "0",
    "Threads that serve connections; 0: one for each processor but one, which the kernel's part of the work "
    "and merges have.", false}, NULL, NUMBER(0, 64)},
[SETTING_BUSY_POLL] = {{"busy-poll", "MICROSECONDS", "20",
    "A thread that has just had requests looks for more for so long before it sleeps, which saves clients "
    "the time that waking it takes; where that finds nothing it is done ever more rarely. Under many requests "
    "it sleeps for 30 us between two looks instead, with nobody waking it. 0: neither.", true},
    NULL, NUMBER(0, 1000)},
[SETTING_PROTECTED_MODE] = {{"protected-mode", "yes|no", "yes",
    "Do not start with another address than the machine's own and no password, nor answer others then.",
    true}, NULL, YES_NO},
[SETTING_REQUIREPASS] = {{"requirepass", "PASSWORD", "",
    "The password of the user \"default\"; \"\": none. For more users see aclfile.", true}, NULL, TEXT},
[SETTING_ACLFILE] = {{"aclfile", "FILE", "",
    "Users and what they may do, a line each: \"user NAME on >PASSWORD ~* +@read\". ACL SAVE writes it, "
    "with passwords as SHA-256.", false}, NULL, TEXT},
[SETTING_MAXCLIENTS] = {{"maxclients", "N", "10000",
    "Connections at once; further ones get an error and are closed.", true}, NULL, NUMBER(1, UINT32_MAX)},
[SETTING_TIMEOUT] = {{"timeout", "SECONDS", "0",
    "Close a connection that has said nothing for so long; 0: never.", true}, NULL, NUMBER(0, INT32_MAX)},
[SETTING_TCP_KEEPALIVE] = {{"tcp-keepalive", "SECONDS", "300",
    "Ask a silent peer so often whether it is still there; 0: do not.", true}, NULL, NUMBER(0, INT32_MAX)},
[SETTING_TCP_BACKLOG] = {{"tcp-backlog", "N", "511",
    "Connections that may wait to be accepted.", false}, NULL, NUMBER(1, INT32_MAX)},
[SETTING_PROTO_MAX_BULK_LEN] = {{"proto-max-bulk-len", "BYTES", "536870912",
    "The longest word of a request.", true}, NULL, BYTES(1 << 20, BITCASK_MAX_VALUE_SIZE)},
[SETTING_CLIENT_QUERY_BUFFER_LIMIT] = {{"client-query-buffer-limit", "BYTES", "1073741824",
    "The longest request; a connection that sends more is closed.", true}, NULL, BYTES(1 << 20, ANY)},
[SETTING_CLIENT_OUTPUT_BUFFER_LIMIT] = {{"client-output-buffer-limit", "CLASS HARD SOFT SECONDS",
    "normal 268435456 0 0 slave 0 0 0 pubsub 33554432 0 0",
    "What may wait to be sent to a client of a class (normal, pubsub) before it is closed: HARD bytes, "
    "or SOFT bytes for longer than SECONDS. 0: no limit. There are no clients of the class slave.", true}, NULL, SETTING_IS_LIMITS, 0, 0, NULL},
[SETTING_APPENDFSYNC] = {{"appendfsync", "always|everysec|no", "everysec",
    "What an acknowledged write has behind it. always: it is on the disk, also after a power cut. "
    "everysec: it survives the death of the process; a power cut costs the last second at most, and "
    "leaves no holes. no: the same without the second. (docs/DURABILITY.md)", true}, "sync",
    CHOICE(appendfsync_choices)},
[SETTING_LOGLEVEL] = {{"loglevel", "debug|verbose|notice|warning|error|nothing", "notice",
    "From which level on events are logged.", true}, NULL, CHOICE(loglevel_choices)},
[SETTING_LOGFILE] = {{"logfile", "FILE", "",
    "Where to; \"\": standard output. SIGHUP opens it anew.", false}, NULL, TEXT},
[SETTING_LOG_FORMAT] = {{"log-format", "text|logfmt|json", "text",
    "How a line of the log is written.", false}, NULL, CHOICE(log_format_choices)},
[SETTING_SLOWLOG_LOG_SLOWER_THAN] = {{"slowlog-log-slower-than", "MICROSECONDS", "10000",
    "Commands that took longer are kept for SLOWLOG; 0: all, -1: none.", true}, NULL, NUMBER(-1, ANY)},
[SETTING_SLOWLOG_MAX_LEN] = {{"slowlog-max-len", "N", "128",
    "How many of them.", true}, NULL, NUMBER(0, 1 << 20)},
[SETTING_LATENCY_MONITOR_THRESHOLD] = {{"latency-monitor-threshold", "MILLISECONDS", "0",
    "Events that took as long are kept for LATENCY; 0: none.", true}, NULL, NUMBER(0, ANY)},
[SETTING_NOTIFY_KEYSPACE_EVENTS] = {{"notify-keyspace-events", "LETTERS", "",
    "What is published of changes: K by key, E by event; g DEL and the like, $ strings, n new keys, "
    "m misses (x is understood, but keys that expire make no events), A for \"g$lshzxetd\". \"\": nothing.", true}, NULL, SETTING_IS_LETTERS, 0, 0, NULL},
[SETTING_DATABASES] = {{"databases", "1", "1",
    "There is one.", false}, NULL, NUMBER(1, 1)},
[SETTING_SAVE] = {{"save", "SECONDS CHANGES...", "",
    "Understood and not needed: every write goes to the log at once. BGSAVE makes a backup.", true}, NULL, TEXT},
[SETTING_APPENDONLY] = {{"appendonly", "yes", "yes",
    "The store is a log.", true}, NULL, CHOICE(yes_choices)},
[SETTING_MAXMEMORY] = {{"maxmemory", "0", "0",
    "Values are not in memory, so there is nothing to limit; the index has max-index-bytes, the disk "
    "max-disk-bytes.", true}, NULL, BYTES(0, 0)},
[SETTING_MAXMEMORY_POLICY] = {{"maxmemory-policy", "noeviction", "noeviction",
    "See eviction.", true}, NULL, CHOICE(noeviction_choices)},
[SETTING_MAPPED_PAGES_MAX] = {{"mapped-pages-max", "BYTES", "67108864",
    "Pages of the store's files count as the server's resident memory once they are touched. When they are "
    "more than this, the server lets go of them: they stay in the page cache. 0: never.", true}, NULL,
    BYTES(0, ANY)},
[SETTING_SUPERVISED] = {{"supervised", "no|systemd|auto", "auto",
    "Tell systemd when the server is ready and when it stops (where it asks, with auto).", false}, NULL,
    CHOICE(supervised_choices)},
[SETTING_PIDFILE] = {{"pidfile", "FILE", "",
    "A file for the number of the process, removed at the end.", false}, NULL, TEXT},
[SETTING_DAEMONIZE] = {{"daemonize", "no", "no",
    "The server stays in the foreground: systemd, a container or \"&\" put it into the background.", false},
    NULL, CHOICE(no_choices)},
[SETTING_AUTH_FAILURES_PER_MINUTE] = {{"auth-failures-per-minute", "N", "60",
    "Wrong passwords from one address in a minute before further ones are not looked at; 0: no limit.",
    true}, NULL, NUMBER(0, INT32_MAX)},
[SETTING_BACKUP_DIR] = {{"backup-dir", "DIR", "",
    "Where BGSAVE, BC.BACKUP and the dashboard put backups; \"\": beside the store, DIR.backups.", false},
    NULL, TEXT},
};
/* clang-format on */

const struct setting_info *settings_at(size_t index)
{
    return index < SETTING_COUNT ? &settings_table[index].info : NULL;
}

enum setting_id setting_find(const char *name)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting *setting = &settings_table[id];
        if (strcasecmp(setting->info.name, name) == 0 ||
            (setting->alias != NULL && strcasecmp(setting->alias, name) == 0))
            return (enum setting_id)id;
    }
    return SETTING_COUNT;
}
