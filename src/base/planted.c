/* SPDX-License-Identifier: MIT
 * planted.c: which mistake this process makes. Only in a build with -Dplanted=true. */
#include "base/planted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum planted_bug planted_bug;

static const char *const NAMES[] = {"",
#define PLANTED_NAME(name, source, sentence) #name,
                                    PLANTED_BUGS(PLANTED_NAME)
#undef PLANTED_NAME
};

__attribute__((constructor)) static void choose(void)
{
    const char *wanted = getenv("BITCASK_PLANTED");
    if (wanted == NULL || wanted[0] == '\0')
        return;
    for (unsigned i = 1; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(wanted, NAMES[i]) == 0)
            planted_bug = (enum planted_bug)i;
    if (planted_bug == PLANTED_NOTHING) {
        fprintf(stderr, "BITCASK_PLANTED=%s: no such bug\n", wanted);
        exit(99);
    }
}
