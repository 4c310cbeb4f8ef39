/* SPDX-License-Identifier: MIT
 * write_mutex.pml: a mutex that belongs to a thread (engine/write_mutex.h).
 *
 * Two writers come by way of the owner where they can, and by the mutex underneath where they
 * cannot; each time the mutex is taken that way its holder may become the owner. A third thread only
 * takes the mutex. Stores of a writer's short way wait in a buffer of its processor, and reach memory
 * whenever they like, in order, or when somebody makes all threads pass a barrier. All others are of
 * locked instructions and behind a system call, so they reach memory at once.
 *
 *     spin -a write_mutex.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * With one of these defined, something must be found:
 *     NO_BARRIER    who dismisses an owner does not make it pass a barrier
 *     NO_WAIT       nor wait until it is out
 *     NO_RECHECK    the owner does not look again behind its mark
 *     NO_DISMISS    the mutex underneath is taken to be enough
 *     ONE_MARK      both writers mark the same line */
#define WRITERS 2
#define NOBODY 2
#define ROUNDS 3
#define BUFFER 2

byte owner = NOBODY;
bit locked = 0;      /* the mutex underneath */
bit marked[WRITERS]; /* in memory */
byte inside = 0;     /* threads in the critical section */

/* The store buffer of each writer: marks on their way to memory. */
chan buffer[WRITERS] = [BUFFER] of { bit };

#ifdef ONE_MARK
#define LINE(w) 0
#else
#define LINE(w) (w)
#endif

/* Processors bring stores to memory at any time. */
active [WRITERS] proctype drain()
{
    byte w = _pid;
    bit value;
end:
    do
    :: atomic { buffer[w]?value -> marked[LINE(w)] = value }
    od
}

inline flush(w)
{
    do
    :: buffer[w]?value -> marked[LINE(w)] = value
    :: empty(buffer[w]) -> break
    od
}

/* A barrier that all threads pass. */
inline barrier()
{
    bit value;
    byte f;
    atomic {
        for (f : 0 .. WRITERS - 1) {
            flush(f)
        }
    }
}

/* Holding the mutex underneath, as thread `me`. */
inline dismiss(me)
{
    byte was = owner;
    if
    :: was != NOBODY && was != me ->
       owner = NOBODY;
#ifndef NO_BARRIER
       barrier();
#endif
#ifndef NO_WAIT
       marked[LINE(was)] == 0
#endif
    :: else
    fi
}

inline critical()
{
    inside++;
    assert(inside == 1);
    inside--
}

inline by_mutex(me, may_own)
{
    atomic { locked == 0 -> locked = 1 };
    /* A locked instruction: what this thread has stored is in memory. */
    if
    :: me < WRITERS -> empty(buffer[me])
    :: else
    fi;
#ifndef NO_DISMISS
    dismiss(me);
#endif
    critical();
    if
    :: may_own && owner == NOBODY -> owner = me
    :: true
    fi;
    locked = 0
}

proctype writer(byte me)
{
    byte round;
    for (round : 1 .. ROUNDS) {
        if
        :: owner == me ->
           buffer[me]!1; /* the mark */
#ifdef NO_RECHECK
           critical();
           buffer[me]!0
#else
           if
           :: owner == me -> critical(); buffer[me]!0
           :: else -> buffer[me]!0; by_mutex(me, true)
           fi
#endif
        :: else -> by_mutex(me, true)
        fi
    }
}

proctype other()
{
    byte round;
    for (round : 1 .. 2) {
        by_mutex(NOBODY, false)
    }
}

init
{
    atomic {
        run writer(0);
        run writer(1);
        run other()
    }
}
