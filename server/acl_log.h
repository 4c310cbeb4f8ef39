/* SPDX-License-Identifier: MIT
 * acl_log.h: the last refusals (ACL LOG). The same again within a minute is counted, not added. */
#ifndef SERVER_ACL_LOG_H
#define SERVER_ACL_LOG_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

enum { ACL_LOG_ENTRIES = 128, ACL_LOG_OBJECT_SIZE = 64 };

struct acl_log_entry {
    uint64_t count, time_us;
    const char *reason;                   /* "command", "key", "channel", "auth"; static */
    const char *context;                  /* "toplevel", "multi"; static */
    char object[ACL_LOG_OBJECT_SIZE + 1]; /* the command, key or channel; cut off there */
    size_t object_size;
    char user[65];
    uint64_t client_id;
    char address[64];
};

struct acl_log {
    pthread_mutex_t mutex;
    size_t count;
    struct acl_log_entry entries[ACL_LOG_ENTRIES]; /* newest first */
};

void acl_log_init(struct acl_log *log);
void acl_log_release(struct acl_log *log);
void acl_log_add(struct acl_log *log, const struct acl_log_entry *entry);
/* At most `count`, newest first; copies. Returns how many. */
size_t acl_log_copy(struct acl_log *log, struct acl_log_entry *entries, size_t count);
void acl_log_reset(struct acl_log *log);

#endif
