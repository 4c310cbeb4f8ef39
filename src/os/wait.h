/* SPDX-License-Identifier: MIT
 * wait.h: condition variables that wait by a clock nobody can set; words to sleep on. */
#ifndef OS_WAIT_H
#define OS_WAIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

void wait_init(pthread_cond_t *cond);

/* Wait, holding `mutex`, until signalled or for `us` microseconds (UINT64_MAX: for ever). May
 * return early. */
void wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t us);

/* Sleep as long as *word is `value`, until wait_wake. May return early: look again. */
void wait_while(_Atomic uint32_t *word, uint32_t value);

/* Wake all that sleep on the word, which the caller has changed: one call, however many. */
void wait_wake(_Atomic uint32_t *word);

/* Sleep for `us` microseconds, whatever signals come. */
void wait_sleep(uint64_t us);

/* Start a thread that blocks all signals. Returns 0 or -errno. */
int wait_start_thread(pthread_t *thread, void *(*run)(void *), void *context);

#endif
