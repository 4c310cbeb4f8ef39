/* SPDX-License-Identifier: MIT
 * acl_failures.h: how often somebody at an address has given a wrong password in this minute.
 *
 * A fixed table: an address has one place, by its hash. Two that meet there count together, which
 * costs the one an unearned refusal until the minute is over. */
#ifndef SERVER_ACL_FAILURES_H
#define SERVER_ACL_FAILURES_H

#include <pthread.h>
#include <stdint.h>

enum { ACL_FAILURE_PLACES = 4096 };

struct acl_failures {
    pthread_mutex_t mutex;
    struct acl_failure {
        uint64_t minute;
        uint64_t count;
    } places[ACL_FAILURE_PLACES];
};

void acl_failures_init(struct acl_failures *failures);
void acl_failures_release(struct acl_failures *failures);

/* `address` with or without a port: "127.0.0.1:4711", "[::1]:4711". */
uint64_t acl_failures_count(struct acl_failures *failures, const char *address, uint64_t now_us);
void acl_failures_note(struct acl_failures *failures, const char *address, uint64_t now_us);

#endif
