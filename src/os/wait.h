/* SPDX-License-Identifier: MIT
 * wait.h: condition variables that wait by a clock nobody can set. */
#ifndef OS_WAIT_H
#define OS_WAIT_H

#include <pthread.h>
#include <stdint.h>

void wait_init(pthread_cond_t *cond);

/* Wait, holding `mutex`, until signalled or for `us` microseconds (UINT64_MAX: for ever). May
 * return early. */
void wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t us);

/* Start a thread that blocks all signals. Returns 0 or -errno. */
int wait_start_thread(pthread_t *thread, void *(*run)(void *), void *context);

#endif
