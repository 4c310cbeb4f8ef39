/* SPDX-License-Identifier: MIT
 * fiber.h: threads of the store as fibers that a seed schedules.
 *
 * All run on one thread of the system, one at a time. A switch may happen wherever fiber_point is
 * called: at each call of the simulated disk, each operation on a lock and each atomic access of
 * the engine (fiber_threads.h). Whether it does, and who is next, the seed decides: at random, or
 * with a small number of preemptions in all, since most faults need few of them. A fiber that waits
 * for a lock or a condition does not run; when none can, the clock goes on to the next deadline.
 *
 * The memory model is sequential consistency: what only a weaker one shows is for ThreadSanitizer.
 */
#ifndef FIBERS_FIBER_H
#define FIBERS_FIBER_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct fiber;

struct fiber_mutex {
    const struct fiber *owner;
};

struct fiber_cond {
    char waited_on;
};

struct fiber_schedule {
    uint64_t seed;
    uint32_t chance;                   /* of a switch at a point, per 100,000 */
    uint32_t budget;                   /* so many preemptions in all; 0: no end */
    uint64_t max_points;               /* more is a hang */
    uint64_t (*now_us)(void *context); /* the clock that deadlines are judged by */
    void (*advance_us)(void *context, uint64_t us);
    void *context;
};

struct fiber_result {
    uint64_t points, switches, trace;
    const char *stuck; /* NULL; or "deadlock", "hang" */
};

/* Run `root` as the first fiber, and all that it starts, to their ends. After a deadlock or a hang
 * the fibers are left where they are. */
struct fiber_result fibers_run(const struct fiber_schedule *schedule, void *(*root)(void *),
                               void *context);

void fiber_point(void);     /* here another one may run; nothing outside of fibers */
void fiber_yield(void);     /* here another one does, if any can */
uint64_t fiber_steps(void); /* points so far: a logical clock */

int fiber_start(struct fiber **fiber, void *(*run)(void *), void *context);
int fiber_join(struct fiber *fiber);

static inline int fiber_mutex_init(struct fiber_mutex *mutex)
{
    mutex->owner = NULL;
    return 0;
}

static inline int fiber_cond_init(struct fiber_cond *cond, const void *attributes)
{
    (void)attributes;
    cond->waited_on = 0;
    return 0;
}

int fiber_mutex_lock(struct fiber_mutex *mutex);
int fiber_mutex_trylock(struct fiber_mutex *mutex);
int fiber_mutex_unlock(struct fiber_mutex *mutex);
int fiber_cond_wait(struct fiber_cond *cond, struct fiber_mutex *mutex);
int fiber_cond_timedwait(struct fiber_cond *cond, struct fiber_mutex *mutex,
                         const struct timespec *until);
int fiber_cond_signal(struct fiber_cond *cond);
int fiber_cond_broadcast(struct fiber_cond *cond);

/* syscall: SYS_futex with a word, FUTEX_WAIT or FUTEX_WAKE (all), and a value; else -1. */
long fiber_syscall(long number, ...);
int fiber_clock_gettime(clockid_t clock, struct timespec *now);

#endif
