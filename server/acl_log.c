/* SPDX-License-Identifier: MIT
 * acl_log.c: the last refusals. */
#include "acl_log.h"

#include <stdbool.h>
#include <string.h>

#define SAME_WITHIN_US UINT64_C(60000000)

void acl_log_init(struct acl_log *log)
{
    memset(log, 0, sizeof *log);
    pthread_mutex_init(&log->mutex, NULL);
}

void acl_log_release(struct acl_log *log)
{
    pthread_mutex_destroy(&log->mutex);
}

static bool same(const struct acl_log_entry *a, const struct acl_log_entry *b)
{
    return strcmp(a->reason, b->reason) == 0 && strcmp(a->context, b->context) == 0 &&
           strcmp(a->user, b->user) == 0 && a->object_size == b->object_size &&
           memcmp(a->object, b->object, a->object_size) == 0 &&
           b->time_us - a->time_us < SAME_WITHIN_US;
}

void acl_log_add(struct acl_log *log, const struct acl_log_entry *entry)
{
    pthread_mutex_lock(&log->mutex);
    struct acl_log_entry newest = *entry;
    size_t place = 0;
    while (place < log->count && !same(&log->entries[place], entry))
        place++;
    newest.count = place < log->count ? log->entries[place].count + 1 : 1;
    if (place == log->count) {
        if (log->count < ACL_LOG_ENTRIES)
            log->count++;
        place = log->count - 1;
    }
    memmove(&log->entries[1], &log->entries[0], place * sizeof newest);
    log->entries[0] = newest;
    pthread_mutex_unlock(&log->mutex);
}

size_t acl_log_copy(struct acl_log *log, struct acl_log_entry *entries, size_t count)
{
    pthread_mutex_lock(&log->mutex);
    if (count > log->count)
        count = log->count;
    memcpy(entries, log->entries, count * sizeof *entries);
    pthread_mutex_unlock(&log->mutex);
    return count;
}

void acl_log_reset(struct acl_log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->count = 0;
    pthread_mutex_unlock(&log->mutex);
}
