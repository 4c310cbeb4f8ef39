/* SPDX-License-Identifier: MIT
 * foreign.c: the layouts of other Bitcasks, and what their decoders share. */
#include "foreign.h"

#include <string.h>

const struct foreign_layout foreign_layouts[] = {
    {
        .name = "riak",
        .prefix = "",
        .suffix = ".bitcask.data",
        .shown = "N.bitcask.data",
        .lock = "bitcask.write.lock",
        .pending_mode = 04001,
        .decode = foreign_riak_decode,
    },
    {
        .name = "pybitcask",
        .prefix = "data_",
        .suffix = ".db",
        .shown = "data_N.db",
        .decode = foreign_pybitcask_decode,
    },
    {
        .name = "bitcaskpy",
        .prefix = "segment_",
        .suffix = ".log",
        .shown = "segment_N.log",
        .decode = foreign_bitcaskpy_decode,
    },
    {
        .name = "cask",
        .prefix = "cask.",
        .suffix = "",
        .shown = "cask.N",
        .lock = "bitcask.lock",
        .decode = foreign_cask_decode,
    },
    {0},
};

const struct foreign_layout *foreign_layout_named(const char *name)
{
    for (const struct foreign_layout *layout = foreign_layouts; layout->name != NULL; layout++)
        if (strcmp(layout->name, name) == 0)
            return layout;
    return NULL;
}

/* False if `digits` is no number of 64 bits without leading zeros. */
static bool parse_number(const char *digits, size_t size, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < size; i++)
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(digits[i] - '0'), number))
            return false;
    return size == 1 || digits[0] != '0';
}

enum foreign_name foreign_name_parse(const struct foreign_layout *layout, const char *name,
                                     uint64_t *number)
{
    size_t prefix = strlen(layout->prefix);
    if (strncmp(name, layout->prefix, prefix) != 0)
        return FOREIGN_NAME_OTHER;
    const char *digits = name + prefix;
    size_t size = strspn(digits, "0123456789");
    if (size == 0 || strcmp(digits + size, layout->suffix) != 0)
        return FOREIGN_NAME_OTHER;
    return parse_number(digits, size, number) ? FOREIGN_NAME_DATA : FOREIGN_NAME_STRANGE;
}

void foreign_decoder_release(struct foreign_decoder *decoder)
{
    bitcask_buffer_free(&decoder->key);
    bitcask_buffer_free(&decoder->value);
}

enum foreign_result foreign_more(struct foreign_record *record, uint64_t size)
{
    record->size = size;
    return FOREIGN_MORE;
}

enum foreign_result foreign_damaged(struct foreign_record *record, uint64_t size, const char *why)
{
    record->size = size;
    record->behind = 0;
    record->why = why;
    return FOREIGN_DAMAGED;
}

enum foreign_result foreign_torn(struct foreign_record *record, const char *why)
{
    record->size = record->behind = 0;
    record->why = why;
    return FOREIGN_TORN;
}

enum foreign_result foreign_need(const struct foreign_input *input, uint64_t size,
                                 struct foreign_record *record)
{
    if (size > input->left)
        return foreign_torn(record, "the file ends inside a record, or its sizes are wrong");
    if (size > FOREIGN_RECORD_MAX)
        return foreign_damaged(record, size, "a record larger than a value of 1 GiB");
    if (size > input->bytes.size)
        return foreign_more(record, size);
    record->size = size;
    return FOREIGN_RECORD;
}

bool foreign_is_zero(bitcask_slice bytes, size_t size)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < size && i < bytes.size; i++)
        if (p[i] != 0)
            return false;
    return true;
}

uint64_t foreign_time_us(uint64_t time)
{
    const uint64_t limit = 100000000000; /* as seconds: the year 5138; as milliseconds: 1973 */
    if (time < limit)
        return time * 1000000;
    if (time < limit * 1000)
        return time * 1000;
    return time < limit * 1000000 ? time : time / 1000;
}
