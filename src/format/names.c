/* SPDX-License-Identifier: MIT
 * names.c: the names of a store's files. */
#include "format/names.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"

enum { ID_DIGITS = 9 };

static void print_name(char to[NAME_SIZE], uint64_t id, const char *suffix)
{
    CHECK(id >= 1 && id <= SEGMENT_ID_MAX);
    snprintf(to, NAME_SIZE, "%09" PRIu64 "%s", id, suffix);
}

void name_data(char to[NAME_SIZE], uint64_t id)
{
    print_name(to, id, ".data");
}

void name_hint(char to[NAME_SIZE], uint64_t id)
{
    print_name(to, id, ".hint");
}

void name_hint_tmp(char to[NAME_SIZE], uint64_t id)
{
    print_name(to, id, ".hint.tmp");
}

void name_data_tmp(char to[NAME_SIZE], uint64_t id)
{
    print_name(to, id, ".data.tmp");
}

static enum name_kind kind_of_suffix(const char *suffix)
{
    if (strcmp(suffix, ".data") == 0)
        return NAME_DATA;
    if (strcmp(suffix, ".hint") == 0)
        return NAME_HINT;
    if (strcmp(suffix, ".hint.tmp") == 0)
        return NAME_HINT_TMP;
    if (strcmp(suffix, ".data.tmp") == 0)
        return NAME_DATA_TMP;
    return NAME_OTHER;
}

enum name_kind name_parse(const char *name, uint64_t *id)
{
    static const char *const meta[] = {NAME_MANIFEST,   NAME_MANIFEST_TMP, NAME_LOCK,
                                       NAME_RESERVE,    NAME_PUBLISHED,    NAME_QUARANTINE,
                                       NAME_UNFINISHED, NAME_IMAGE,        NAME_IMAGE_TMP};
    for (size_t i = 0; i < ARRAY_SIZE(meta); i++) {
        if (strcmp(name, meta[i]) == 0)
            return NAME_META;
    }
    uint64_t number = 0;
    for (int i = 0; i < ID_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9')
            return NAME_OTHER;
        number = number * 10 + (uint64_t)(name[i] - '0');
    }
    enum name_kind kind = kind_of_suffix(name + ID_DIGITS);
    if (number == 0 || kind == NAME_OTHER)
        return NAME_OTHER;
    *id = number;
    return kind;
}

void name_quarantine(char to[64], uint64_t id, uint64_t offset, uint32_t crc)
{
    snprintf(to, 64, "%09" PRIu64 "-%" PRIu64 "-%08" PRIx32, id, offset, crc);
}
