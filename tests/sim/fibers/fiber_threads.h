/* SPDX-License-Identifier: MIT
 * fiber_threads.h: included before everything else when the library is compiled for the fibers: its
 * locks, conditions, threads and atomic accesses are then those of fiber.h. Nothing in the library
 * knows. */
#ifndef FIBERS_FIBER_THREADS_H
#define FIBERS_FIBER_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "fiber.h"

#define pthread_t struct fiber *
#define pthread_create(thread, attributes, run, context) fiber_start(thread, run, context)
#define pthread_join(thread, result) fiber_join(thread)

#define pthread_mutex_t struct fiber_mutex
#undef PTHREAD_MUTEX_INITIALIZER
#define PTHREAD_MUTEX_INITIALIZER \
    {                             \
        0                         \
    }
#define pthread_mutex_init(mutex, attributes) fiber_mutex_init(mutex)
#define pthread_mutex_destroy(mutex) ((void)(mutex))
#define pthread_mutex_lock(mutex) fiber_mutex_lock(mutex)
#define pthread_mutex_trylock(mutex) fiber_mutex_trylock(mutex)
#define pthread_mutex_unlock(mutex) fiber_mutex_unlock(mutex)

#define pthread_cond_t struct fiber_cond
#define pthread_cond_init(cond, attributes) fiber_cond_init(cond, attributes)
#define pthread_cond_destroy(cond) ((void)(cond))
#define pthread_cond_wait(cond, mutex) fiber_cond_wait(cond, mutex)
#define pthread_cond_timedwait(cond, mutex, until) fiber_cond_timedwait(cond, mutex, until)
#define pthread_cond_signal(cond) fiber_cond_signal(cond)
#define pthread_cond_broadcast(cond) fiber_cond_broadcast(cond)

/* Futexes only. No membarrier: fibers are one thread, which cannot own a line of an epoch for each
 * of them. */
#define syscall(...) fiber_syscall(__VA_ARGS__)

#define clock_gettime(clock, now) fiber_clock_gettime(clock, now)
#define sched_yield() fiber_yield()
#define __builtin_ia32_pause() fiber_yield()
#define sysconf(name) 3L /* processors: the same everywhere */

#ifdef __clang__
#define FIBER_LOAD(p, order) __c11_atomic_load(p, order)
#define FIBER_STORE(p, v, order) __c11_atomic_store(p, v, order)
#define FIBER_EXCHANGE(p, v, order) __c11_atomic_exchange(p, v, order)
#define FIBER_FETCH(what, p, v, order) __c11_atomic_fetch_##what(p, v, order)
#define FIBER_CAS(p, e, v, weak)                                                            \
    (weak ? __c11_atomic_compare_exchange_weak(p, e, v, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) \
          : __c11_atomic_compare_exchange_strong(p, e, v, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#else
#define FIBER_LOAD(p, order) __atomic_load_n(p, order)
#define FIBER_STORE(p, v, order) __atomic_store_n(p, v, order)
#define FIBER_EXCHANGE(p, v, order) __atomic_exchange_n(p, v, order)
#define FIBER_FETCH(what, p, v, order) __atomic_fetch_##what(p, v, order)
#define FIBER_CAS(p, e, v, weak) \
    __atomic_compare_exchange_n(p, e, v, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#endif

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit

#define atomic_load_explicit(p, order) (fiber_point(), FIBER_LOAD(p, order))
#define atomic_load(p) atomic_load_explicit(p, __ATOMIC_SEQ_CST)
#define atomic_store_explicit(p, v, order) (fiber_point(), FIBER_STORE(p, v, order))
#define atomic_store(p, v) atomic_store_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_exchange_explicit(p, v, order) (fiber_point(), FIBER_EXCHANGE(p, v, order))
#define atomic_exchange(p, v) atomic_exchange_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_add_explicit(p, v, order) (fiber_point(), FIBER_FETCH(add, p, v, order))
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_sub_explicit(p, v, order) (fiber_point(), FIBER_FETCH(sub, p, v, order))
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_or_explicit(p, v, order) (fiber_point(), FIBER_FETCH(or, p, v, order))
#define atomic_fetch_or(p, v) atomic_fetch_or_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_fetch_and_explicit(p, v, order) (fiber_point(), FIBER_FETCH(and, p, v, order))
#define atomic_fetch_and(p, v) atomic_fetch_and_explicit(p, v, __ATOMIC_SEQ_CST)
#define atomic_compare_exchange_strong(p, e, v) (fiber_point(), FIBER_CAS(p, e, v, false))
#define atomic_compare_exchange_strong_explicit(p, e, v, success, failure) \
    atomic_compare_exchange_strong(p, e, v)
#define atomic_compare_exchange_weak(p, e, v) (fiber_point(), FIBER_CAS(p, e, v, true))
#define atomic_compare_exchange_weak_explicit(p, e, v, success, failure) \
    atomic_compare_exchange_weak(p, e, v)

#endif
