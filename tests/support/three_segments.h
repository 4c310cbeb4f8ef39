/* SPDX-License-Identifier: MIT
 * three_segments.h: a small store with something of everything, for tests of what is done to its
 * files. */
#ifndef SUPPORT_THREE_SEGMENTS_H
#define SUPPORT_THREE_SEGMENTS_H

#include "support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/record.h"
#include "format/segment_header.h"

#define SEGMENT_1 "000000001.data"
#define SEGMENT_2 "000000002.data"
#define SEGMENT_3 "000000003.data"
#define HINT_1 "000000001.hint"
#define HINT_2 "000000002.hint"

static inline size_t record_bytes(const char *key, size_t value_size)
{
    return RECORD_HEADER_SIZE + strlen(key) + value_size;
}

/* Two sealed segments and an active one, closed:
 *   1  a = 1, b = 1, gone = x      2  b = 2, c = 1, -gone      3  c = 2, d = 1 */
static inline void make_three(struct fixture *f)
{
    fixture_init(f);
    open_store(f);
    put(f, "a", "a1");
    put(f, "b", "b1");
    put(f, "gone", "x");
    rotate(f);
    put(f, "b", "b2");
    put(f, "c", "c1");
    delete_key(f, "gone");
    rotate(f);
    put(f, "c", "c2");
    put(f, "d", "d1");
    close_store(f);
}

static inline void check_three(struct fixture *f)
{
    check_value(f, "a", "a1");
    check_value(f, "b", "b2");
    check_value(f, "c", "c2");
    check_value(f, "d", "d1");
    check_missing(f, "gone");
}

/* Where these bytes stand in a file. */
static inline size_t find_text(struct fixture *f, const char *name, const char *text)
{
    size_t size;
    unsigned char *data = read_whole(f, name, &size);
    unsigned char *at = memmem(data, size, text, strlen(text));
    if (at == NULL)
        fail_msg("no '%s' in %s", text, name);
    size_t offset = (size_t)(at - data);
    free(data);
    return offset;
}

/* Whatever has happened to a file, no key may have a value that it should not have. */
static inline void check_nothing_wrong(struct fixture *f, const char *d)
{
    static const char *const keys[] = {"a", "b", "c", "d", "gone"};
    const char *const values[] = {"a1", "b2", "c2", d, NULL};
    for (size_t i = 0; i < 5; i++) {
        bitcask_buffer value = {0};
        bitcask_status status = read_key(f, keys[i], &value);
        if (status == BITCASK_OK &&
            (values[i] == NULL || value.size != 2 || memcmp(value.data, values[i], 2) != 0))
            fail_msg("'%s' is '%.*s'", keys[i], (int)value.size, (char *)value.data);
        bitcask_buffer_free(&value);
    }
}

static inline char **data_names(struct fixture *f, size_t *count)
{
    char **names = list_files(f, NULL, count);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (strstr(names[i], ".data") != NULL)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    *count = kept;
    return names;
}

static inline void remove_hints(struct fixture *f)
{
    size_t count;
    char **names = list_files(f, NULL, &count);
    for (size_t i = 0; i < count; i++) {
        if (strstr(names[i], ".hint") != NULL)
            delete_file(f, names[i]);
    }
    free_list(names, count);
}

#endif
