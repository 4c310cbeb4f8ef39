/* SPDX-License-Identifier: MIT
 * processor.c: see processor.h. */
#include "os/processor.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STEPS_BACK = 5, NICE_MOST = 19 };

int processor_now(void)
{
    return sched_getcpu();
}

bool processor_let_others_first(void)
{
    id_t thread = (id_t)syscall(SYS_gettid); /* Linux: of the thread alone */
    int nice = getpriority(PRIO_PROCESS, thread) + STEPS_BACK;
    return setpriority(PRIO_PROCESS, thread, nice < NICE_MOST ? nice : NICE_MOST) == 0;
}

void processor_keep_off(int number)
{
    cpu_set_t allowed, others, now;
    if (number < 0 || number >= CPU_SETSIZE || sched_getcpu() != number ||
        sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    others = allowed;
    CPU_CLR(number, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0)
        return;
    /* It has moved, and may go where it likes again, unless somebody else has decided since. */
    if (sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &others))
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
}
