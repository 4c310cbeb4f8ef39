/* SPDX-License-Identifier: MIT
 * parallel.c: a few threads that share a counter. */
#include "engine/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct share {
    _Atomic size_t next;
    size_t count;
    void (*run)(void *context, size_t index);
    void *context;
};

unsigned parallel_threads(unsigned wanted)
{
    if (wanted == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = processors > 0 ? (unsigned)processors : 1;
    }
    return wanted < PARALLEL_THREADS_MAX ? wanted : PARALLEL_THREADS_MAX;
}

static void *work(void *argument)
{
    struct share *share = argument;
    for (;;) {
        size_t index = atomic_fetch_add(&share->next, 1);
        if (index >= share->count)
            return NULL;
        share->run(share->context, index);
    }
}

void parallel_each(unsigned threads, size_t count, void (*run)(void *context, size_t index),
                   void *context)
{
    struct share share = {.count = count, .run = run, .context = context};
    pthread_t helpers[PARALLEL_THREADS_MAX];
    unsigned started = 0;
    if (threads > PARALLEL_THREADS_MAX)
        threads = PARALLEL_THREADS_MAX;
    if (threads > count)
        threads = (unsigned)count;
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* what the thread does itself comes to it: a page that cannot be read,
                                for which the program may have a handler */
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started + 1 < threads && pthread_create(&helpers[started], NULL, work, &share) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(&share);
    for (unsigned i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
}
