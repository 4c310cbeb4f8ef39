/* SPDX-License-Identifier: MIT
 * interrupt.c: Ctrl-C stops a command of the shell, not the shell. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "cli.h"

static volatile sig_atomic_t interrupted;

/* The second one ends the program: the command at hand does not listen. A store survives that. */
static void on_interrupt(int signal_number)
{
    if (interrupted)
        signal(signal_number, SIG_DFL);
    interrupted = 1;
}

void cli_catch_interrupts(void)
{
    /* No SA_RESTART: what waits for input is to come back. */
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

ssize_t cli_read(int fd, void *to, size_t size)
{
    /* The signal comes in while poll waits and at no other time, so that none is missed. */
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    ssize_t got = -1;
    struct pollfd input = {.fd = fd, .events = POLLIN};
    do {
        errno = EINTR;
        if (interrupted)
            break;
        got = ppoll(&input, 1, NULL, &before) < 0 ? -1 : read(fd, to, size);
    } while (got < 0 && errno == EINTR);
    int read_errno = got < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = read_errno;
    return got;
}
