/* SPDX-License-Identifier: MIT
 * sigbus.c: a page of the store that the device cannot deliver is an error of one call. */
#include "sigbus.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static _Thread_local volatile unsigned met;
static uintptr_t page_size;

unsigned sigbus_count(void)
{
    return met;
}

/* Was it a read? Where that cannot be told it is taken for a write. */
static bool was_read(const ucontext_t *context)
{
#if defined __x86_64__
    enum { WRITE_FAULT = 2 }; /* of the processor's error code */
    return (context->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT) == 0;
#else
    (void)context;
    return false;
#endif
}

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    void *page = (void *)((uintptr_t)info->si_addr & ~(page_size - 1));
    if (info->si_code == BUS_ADRERR && was_read(context) &&
        mmap(page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
        if (met++ == 0)
            say("bitcask: input/output error while reading the store: what lies there is answered "
                "with errors (a failing disk, or a file cut short; see the system's log)\n");
        errno = saved_errno;
        return;
    }
    say("bitcask: input/output error while writing to the store: ending\n");
    signal(number, SIG_DFL);
    raise(number);
}

void sigbus_survive(void)
{
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
