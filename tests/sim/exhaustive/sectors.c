/* SPDX-License-Identifier: MIT
 * sectors.c */
#include "work.h"
void damage_sectors(struct work *work)
{
    (void)work;
}
void sectors_print(const struct tally *tally)
{
    (void)tally;
}
