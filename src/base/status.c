/* SPDX-License-Identifier: MIT
 * status.c: names and sentences of the statuses, from the table in bitcask.h. */
#include "bitcask.h"

const char *bitcask_status_name(bitcask_status status)
{
    switch (status) {
#define CASE(name, value, sentence) \
    case BITCASK_##name:            \
        return #name;
        BITCASK_STATUSES(CASE)
#undef CASE
    }
    return "UNKNOWN_STATUS";
}

const char *bitcask_status_text(bitcask_status status)
{
    switch (status) {
#define CASE(name, value, sentence) \
    case BITCASK_##name:            \
        return sentence;
        BITCASK_STATUSES(CASE)
#undef CASE
    }
    return "unknown status";
}
