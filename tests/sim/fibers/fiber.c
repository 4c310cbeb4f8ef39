/* SPDX-License-Identifier: MIT
 * fiber.c: see fiber.h. */
#include "fiber.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "../random.h"
#include "base/check.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_SIZE = 1 << 20, FIBERS_MAX = 64 };

struct fiber {
    ucontext_t context;
    void *stack;
    void *fake_stack; /* AddressSanitizer's */
    void *(*run)(void *context);
    void *argument;
    const void *waits_for; /* a mutex, a condition, a word, a fiber; NULL: it can run */
    uint64_t until_us;     /* or until then; UINT64_MAX: for ever */
    unsigned number;
    bool done, timed_out;
};

static struct {
    struct fiber_schedule schedule;
    struct fiber *fibers[FIBERS_MAX];
    unsigned count;
    struct fiber *current;
    ucontext_t outside;
    const void *outside_stack;
    size_t outside_size;
    uint64_t random;
    uint32_t preemptions;
    struct fiber_result result;
} all;

/* ---- Switching ------------------------------------------------------------------------------- */

static void leave(void **fake_stack, const void *stack, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void arrive(void *fake_stack, const void **stack, size_t *size)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, stack, size);
#else
    (void)fake_stack, (void)stack, (void)size;
#endif
}

static void switch_to(struct fiber *next)
{
    struct fiber *before = all.current;
    if (next == before)
        return;
    all.current = next;
    all.result.switches++;
    all.result.trace = random_mix(all.result.trace ^ next->number) + all.result.points;
    leave(before->done ? NULL : &before->fake_stack, next->stack, STACK_SIZE);
    swapcontext(&before->context, &next->context);
    arrive(before->fake_stack, NULL, NULL);
}

static void go_outside(void)
{
    struct fiber *before = all.current;
    all.current = NULL;
    leave(before->done ? NULL : &before->fake_stack, all.outside_stack, all.outside_size);
    swapcontext(&before->context, &all.outside);
    abort(); /* nobody comes back */
}

static bool can_run(struct fiber *fiber)
{
    return !fiber->done && !fiber->waits_for;
}

/* Wake those whose time has come. */
static void wake_by_clock(void)
{
    uint64_t now = all.schedule.now_us(all.schedule.context);
    for (unsigned i = 0; i < all.count; i++) {
        struct fiber *fiber = all.fibers[i];
        if (!fiber->done && fiber->waits_for && fiber->until_us <= now) {
            fiber->waits_for = NULL;
            fiber->timed_out = true;
        }
    }
}

/* Nobody can run: let time pass until somebody's deadline. False if nobody has one. */
static bool pass_time(void)
{
    uint64_t first = UINT64_MAX, now = all.schedule.now_us(all.schedule.context);
    for (unsigned i = 0; i < all.count; i++)
        if (!all.fibers[i]->done && all.fibers[i]->until_us < first)
            first = all.fibers[i]->until_us;
    if (first == UINT64_MAX)
        return false;
    if (first > now)
        all.schedule.advance_us(all.schedule.context, first - now);
    return true;
}

/* Some fiber that can run; not `but`, if there is another one. NULL if there is none at all. */
static struct fiber *choose(const struct fiber *but)
{
    wake_by_clock();
    struct fiber *able[FIBERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < all.count; i++)
        if (all.fibers[i] != but && can_run(all.fibers[i]))
            able[count++] = all.fibers[i];
    if (count == 0)
        return NULL;
    return able[random_below(&all.random, count)];
}

/* The current one cannot go on: run another, until it can. */
static void run_others(void)
{
    for (;;) {
        struct fiber *next = choose(NULL);
        if (next) {
            switch_to(next);
            return;
        }
        if (!pass_time()) {
            bool left = false;
            for (unsigned i = 0; i < all.count; i++)
                left |= !all.fibers[i]->done;
            all.result.stuck = left ? "deadlock" : NULL;
            go_outside();
        }
    }
}

uint64_t fiber_steps(void)
{
    return all.result.points;
}

void fiber_yield(void)
{
    if (!all.current)
        return;
    if (++all.result.points > all.schedule.max_points) {
        all.result.stuck = "hang";
        go_outside();
    }
    struct fiber *next = choose(all.current);
    if (next)
        switch_to(next);
}

void fiber_point(void)
{
    if (!all.current)
        return;
    if (all.schedule.budget > 0 && all.preemptions >= all.schedule.budget) {
        all.result.points++;
        return;
    }
    if (!random_chance(&all.random, all.schedule.chance)) {
        all.result.points++;
        return;
    }
    all.preemptions++;
    fiber_yield();
}

/* ---- Fibers ---------------------------------------------------------------------------------- */

static void entry(void)
{
    struct fiber *self = all.current;
    bool first = self->number == 1;
    arrive(NULL, first ? &all.outside_stack : NULL, first ? &all.outside_size : NULL);
    self->run(self->argument);
    self->done = true;
    for (unsigned i = 0; i < all.count; i++)
        if (all.fibers[i]->waits_for == self)
            all.fibers[i]->waits_for = NULL;
    run_others();
    abort(); /* nobody comes back */
}

int fiber_start(struct fiber **fiber, void *(*run)(void *), void *context)
{
    if (all.count == FIBERS_MAX)
        return EAGAIN;
    struct fiber *new = calloc(1, sizeof *new);
    CHECK(new);
    new->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(new->stack != MAP_FAILED &&getcontext(&new->context) == 0);
    new->context.uc_stack.ss_sp = new->stack;
    new->context.uc_stack.ss_size = STACK_SIZE;
    new->run = run;
    new->argument = context;
    new->until_us = UINT64_MAX;
    new->number = all.count + 1;
    makecontext(&new->context, entry, 0);
    all.fibers[all.count++] = new;
    *fiber = new;
    fiber_point();
    return 0;
}

/* Wait for something until it lets go or time is up. */
static void wait_on(const void *what, uint64_t until_us)
{
    struct fiber *self = all.current;
    self->waits_for = what;
    self->until_us = until_us;
    self->timed_out = false;
    run_others();
    self->until_us = UINT64_MAX;
}

int fiber_join(struct fiber *fiber)
{
    while (!fiber->done)
        wait_on(fiber, UINT64_MAX);
    return 0;
}

struct fiber_result fibers_run(const struct fiber_schedule *schedule, void *(*root)(void *),
                               void *context)
{
    memset(&all, 0, sizeof all);
    all.schedule = *schedule;
    all.random = schedule->seed;
    struct fiber *first;
    int started = fiber_start(&first, root, context);
    CHECK(started == 0);
    all.current = first;
    void *fake_stack = NULL;
    leave(&fake_stack, first->stack, STACK_SIZE);
    swapcontext(&all.outside, &first->context);
    arrive(fake_stack, NULL, NULL);
    for (unsigned i = 0; i < all.count; i++) {
        munmap(all.fibers[i]->stack, STACK_SIZE);
        free(all.fibers[i]);
    }
    return all.result;
}

/* ---- Locks and conditions -------------------------------------------------------------------- */

static const struct fiber outside_fiber; /* holds what is locked outside of fibers */

static const struct fiber *self_or_outside(void)
{
    return all.current ? all.current : &outside_fiber;
}

int fiber_mutex_lock(struct fiber_mutex *mutex)
{
    fiber_point();
    while (mutex->owner) {
        CHECK(mutex->owner != all.current && all.current);
        wait_on(mutex, UINT64_MAX);
    }
    mutex->owner = self_or_outside();
    return 0;
}

int fiber_mutex_trylock(struct fiber_mutex *mutex)
{
    fiber_point();
    if (mutex->owner)
        return EBUSY;
    mutex->owner = self_or_outside();
    return 0;
}

static void let_go(const void *what)
{
    for (unsigned i = 0; i < all.count; i++)
        if (all.fibers[i]->waits_for == what)
            all.fibers[i]->waits_for = NULL;
}

int fiber_mutex_unlock(struct fiber_mutex *mutex)
{
    CHECK(mutex->owner == self_or_outside());
    mutex->owner = NULL;
    let_go(mutex);
    fiber_point();
    return 0;
}

static int wait_cond(struct fiber_cond *cond, struct fiber_mutex *mutex, uint64_t until_us)
{
    CHECK(all.current && mutex->owner == all.current);
    mutex->owner = NULL; /* no point between this and the wait: they are one step */
    let_go(mutex);
    wait_on(cond, until_us);
    bool timed_out = all.current->timed_out;
    fiber_mutex_lock(mutex);
    return timed_out ? ETIMEDOUT : 0;
}

int fiber_cond_wait(struct fiber_cond *cond, struct fiber_mutex *mutex)
{
    return wait_cond(cond, mutex, UINT64_MAX);
}

int fiber_cond_timedwait(struct fiber_cond *cond, struct fiber_mutex *mutex,
                         const struct timespec *until)
{
    return wait_cond(cond, mutex,
                     (uint64_t)until->tv_sec * 1000000 + (uint64_t)until->tv_nsec / 1000);
}

int fiber_cond_broadcast(struct fiber_cond *cond)
{
    let_go(cond);
    fiber_point();
    return 0;
}

int fiber_cond_signal(struct fiber_cond *cond)
{
    struct fiber *waiting[FIBERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < all.count; i++)
        if (all.fibers[i]->waits_for == cond)
            waiting[count++] = all.fibers[i];
    if (count > 0)
        waiting[random_below(&all.random, count)]->waits_for = NULL;
    fiber_point();
    return 0;
}

long fiber_syscall(long number, ...)
{
    va_list arguments;
    if (number != SYS_futex)
        return -1;
    va_start(arguments, number);
    const uint32_t *word = va_arg(arguments, const uint32_t *);
    int what = va_arg(arguments, int);
    uint32_t value = va_arg(arguments, uint32_t);
    va_end(arguments);
    if (what == FUTEX_WAKE_PRIVATE) {
        let_go(word);
        fiber_point();
    } else if (all.current && *(const volatile uint32_t *)word == value) {
        wait_on(word, UINT64_MAX); /* no point between this and the look: they are one step */
    }
    return 0;
}

int fiber_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    uint64_t us = all.schedule.now_us(all.schedule.context);
    *now = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    return 0;
}
