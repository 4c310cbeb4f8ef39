/* SPDX-License-Identifier: MIT
 * check.c: the end of a failed CHECK. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "bitcask: %s:%d: check failed: %s\n", file, line, condition);
    abort();
}
