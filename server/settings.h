/* SPDX-License-Identifier: MIT
 * settings.h: redis.conf and CONFIG.
 *
 * One table of settings: name, kind, default, range, whether it may be changed while the server
 * runs, and a sentence that bitcask.conf prints above it. Values of the running server are read by
 * other threads without a lock (numbers are atomic; texts are immutable copies). Set from, in this
 * order: defaults, the file (`name value` a line, quotes as redis.conf has them, `include`), the
 * command line (--name value), CONFIG SET (several at once: all or none). CONFIG REWRITE writes the
 * file anew, keeping its comments and order, by a temporary file, fsync and rename. */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bitcask.h"

struct settings;

/* Letters of notify-keyspace-events; bit i of its number is letter i ('A' stands for the first
 * nine). */
#define SETTINGS_NOTIFY_LETTERS "g$lshzxetdKEmn"

/* loglevel's numbers are those of bitcask_log_level (verbose: INFO as well), appendfsync's those of
 * bitcask_sync. */
enum { SETTINGS_AUTH_NO, SETTINGS_AUTH_YES, SETTINGS_AUTH_OPTIONAL }; /* tls-auth-clients */
enum { SETTINGS_SUPERVISED_NO, SETTINGS_SUPERVISED_SYSTEMD, SETTINGS_SUPERVISED_AUTO };

enum setting_id { /* settings_table[] in settings_table.c has one entry each, in this order */
                  SETTING_DIR,
                  SETTING_BIND,
                  SETTING_PORT,
                  SETTING_UNIXSOCKET,
                  SETTING_UNIXSOCKETPERM,
                  SETTING_HTTP_PORT,
                  SETTING_HTTP_BIND,
                  SETTING_HTTP_HOSTS,
                  SETTING_HTTP_TIMEOUT,
                  SETTING_TLS_PORT,
                  SETTING_TLS_CERT_FILE,
                  SETTING_TLS_KEY_FILE,
                  SETTING_TLS_CA_CERT_FILE,
                  SETTING_TLS_AUTH_CLIENTS,
                  SETTING_IO_THREADS,
                  SETTING_BUSY_POLL,
                  SETTING_PROTECTED_MODE,
                  SETTING_REQUIREPASS,
                  SETTING_ACLFILE,
                  SETTING_MAXCLIENTS,
                  SETTING_TIMEOUT,
                  SETTING_TCP_KEEPALIVE,
                  SETTING_TCP_BACKLOG,
                  SETTING_PROTO_MAX_BULK_LEN,
                  SETTING_CLIENT_QUERY_BUFFER_LIMIT,
                  SETTING_CLIENT_OUTPUT_BUFFER_LIMIT,
                  SETTING_APPENDFSYNC, /* always, everysec, no: the store's sync mode; also "sync"
                                        */
                  SETTING_LOGLEVEL,
                  SETTING_LOGFILE,
                  SETTING_LOG_FORMAT,
                  SETTING_SLOWLOG_LOG_SLOWER_THAN,
                  SETTING_SLOWLOG_MAX_LEN,
                  SETTING_LATENCY_MONITOR_THRESHOLD,
                  SETTING_NOTIFY_KEYSPACE_EVENTS,
                  SETTING_DATABASES,
                  SETTING_SAVE,
                  SETTING_APPENDONLY,
                  SETTING_MAXMEMORY,
                  SETTING_MAXMEMORY_POLICY,
                  SETTING_MAPPED_PAGES_MAX,
                  SETTING_SUPERVISED,
                  SETTING_PIDFILE,
                  SETTING_DAEMONIZE,
                  SETTING_AUTH_FAILURES_PER_MINUTE,
                  SETTING_BACKUP_DIR,
                  SETTING_COUNT,
};

/* Bytes, seconds, 0 or 1, an enum's value; -1 is UINT64_MAX. client-output-buffer-limit: bytes, of
 * class normal. 0 for a text. */
uint64_t setting_number(const struct settings *settings, enum setting_id id);
/* As CONFIG GET shows it; valid for as long as the settings (old texts are kept until then). */
const char *setting_text(const struct settings *settings, enum setting_id id);
/* client-output-buffer-limit of one class: how many bytes may wait for a client, and how many for
 * longer than so many seconds; 0: no limit. */
struct output_limit {
    uint64_t hard, soft, soft_s;
};
enum output_class { OUTPUT_NORMAL, OUTPUT_PUBSUB };
struct output_limit settings_output_limit(const struct settings *settings, enum output_class class);

/* What there is to be set: for --help and bitcask.conf. NULL past the last. */
struct setting_info {
    const char *name;
    const char *value;    /* "PORT", "yes|no" */
    const char *fallback; /* the default */
    const char *help;     /* sentences */
    bool changeable;      /* by CONFIG SET */
};
const struct setting_info *settings_at(size_t index);

/* Settings with the defaults, or NULL for want of memory; and the options of the store that they
 * and the file's own store options ("segment-size", "merge-trigger": any name of
 * bitcask_options_set) make up. */
struct settings *settings_new(void);
void settings_free(struct settings *settings);
const bitcask_options *settings_store_options(const struct settings *settings);
const char *settings_path(const struct settings *settings); /* of the file read, absolute; or "" */

/* All of these return false with a sentence in error->message: "line 7: port: 70000 is not between
 * 0 and 65535". */
bool settings_read_file(struct settings *settings, const char *path, bitcask_error *error);
bool settings_set(struct settings *settings, const char *name, const char *value,
                  bitcask_error *error); /* before the start: anything */
/* CONFIG SET: `count` pairs of name and value, all or none; the message is Redis's. `changed` has a
 * bit for each setting that now has another value. */
bool settings_change(struct settings *settings, const bitcask_slice *pairs, size_t count,
                     uint64_t *changed, bitcask_error *error);
/* CONFIG REWRITE. The message is without Redis's words before it. */
bool settings_rewrite(struct settings *settings, bitcask_error *error);

/* Each setting whose name matches one of the globs, as CONFIG GET shows it: once. */
void settings_each(const struct settings *settings, const bitcask_slice *globs, size_t count,
                   void (*each)(void *context, const char *name, const char *value), void *context);

/* All of them with their sentences and defaults: bitcask.conf. */
void settings_print_file(FILE *out);

#endif
