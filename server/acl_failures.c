/* SPDX-License-Identifier: MIT
 * acl_failures.c: wrong passwords, by address and minute. */
#include "acl_failures.h"

#include <string.h>

#define US_PER_MINUTE UINT64_C(60000000)

void acl_failures_init(struct acl_failures *failures)
{
    memset(failures, 0, sizeof *failures);
    pthread_mutex_init(&failures->mutex, NULL);
}

void acl_failures_release(struct acl_failures *failures)
{
    pthread_mutex_destroy(&failures->mutex);
}

/* FNV-1a of what stands before the last ':'; of the whole if there is none. */
static struct acl_failure *place_of(struct acl_failures *failures, const char *address)
{
    const char *end = strrchr(address, ':');
    size_t size = end != NULL ? (size_t)(end - address) : strlen(address);
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)address[i]) * UINT64_C(1099511628211);
    return &failures->places[(hash ^ hash >> 32) % ACL_FAILURE_PLACES];
}

uint64_t acl_failures_count(struct acl_failures *failures, const char *address, uint64_t now_us)
{
    pthread_mutex_lock(&failures->mutex);
    const struct acl_failure *place = place_of(failures, address);
    uint64_t count = place->minute == now_us / US_PER_MINUTE ? place->count : 0;
    pthread_mutex_unlock(&failures->mutex);
    return count;
}

void acl_failures_note(struct acl_failures *failures, const char *address, uint64_t now_us)
{
    pthread_mutex_lock(&failures->mutex);
    struct acl_failure *place = place_of(failures, address);
    if (place->minute != now_us / US_PER_MINUTE)
        *place = (struct acl_failure){now_us / US_PER_MINUTE, 0};
    place->count++;
    pthread_mutex_unlock(&failures->mutex);
}
