/* SPDX-License-Identifier: MIT
 * cmd_bits.c: values as bits: SETBIT GETBIT BITCOUNT. Bit 0 is the highest of the first byte.
 * SETBIT writes the value anew as a whole. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "settings.h"
#include "words.h"

static bool bit_offset(struct client *client, bitcask_slice word, uint64_t *offset)
{
    int64_t number;
    uint64_t limit = setting_number(client->server->settings, SETTING_PROTO_MAX_BULK_LEN);
    if (word_to_integer(word, &number) && number >= 0 && (uint64_t)number >> 3 < limit &&
        (uint64_t)number >> 3 < BITCASK_MAX_VALUE_SIZE) {
        *offset = (uint64_t)number;
        return true;
    }
    reply_error(client, "ERR bit offset is not an integer or out of range");
    return false;
}

void cmd_getbit(struct client *client, const struct command_call *call)
{
    uint64_t offset;
    if (!bit_offset(client, call->words[2], &offset))
        return;
    bitcask_view view;
    bitcask_status status = keyspace_get(client, call->words[1], &view);
    if (status < 0)
        return;
    const uint8_t *bytes = view.value.data;
    bool there = offset >> 3 < view.value.size;
    reply_integer(client, there ? bytes[offset >> 3] >> (7 - (offset & 7)) & 1 : 0);
    keyspace_release(&view);
}

/* ---- SETBIT --------------------------------------------------------------------------------- */

struct bit {
    uint64_t offset;
    bool set, was_set, no_memory;
    uint8_t *bytes; /* of the new value */
};

static enum keyspace_change change_bit(void *context, const bitcask_view *old,
                                       bitcask_slice *result, struct keyspace_write *write)
{
    struct bit *bit = context;
    size_t at = bit->offset >> 3;
    size_t size = at >= old->value.size ? at + 1 : old->value.size;
    uint8_t mask = (uint8_t)(0x80 >> (bit->offset & 7));
    free(bit->bytes);
    bit->bytes = calloc(1, size);
    if (bit->bytes == NULL) {
        bit->no_memory = true;
        return KEYSPACE_LEAVE;
    }
    if (old->value.size > 0)
        memcpy(bit->bytes, old->value.data, old->value.size);
    bit->was_set = (bit->bytes[at] & mask) != 0;
    bit->bytes[at] = (uint8_t)(bit->set ? bit->bytes[at] | mask : bit->bytes[at] & ~mask);
    *result = bitcask_bytes(bit->bytes, size);
    write->event = "setbit";
    return KEYSPACE_WRITE;
}

void cmd_setbit(struct client *client, const struct command_call *call)
{
    struct bit bit = {0};
    int64_t value;
    if (!bit_offset(client, call->words[2], &bit.offset))
        return;
    if (!word_to_integer(call->words[3], &value) || (value & ~INT64_C(1)) != 0) {
        reply_error(client, "ERR bit is not an integer or out of range");
        return;
    }
    bit.set = value == 1;
    bitcask_status status = keyspace_update(client, call->words[1], change_bit, &bit);
    if (status == BITCASK_OK && bit.no_memory)
        reply_error(client, "OOM out of memory");
    else if (status == BITCASK_OK)
        reply_integer(client, bit.was_set);
    free(bit.bytes);
}

/* ---- BITCOUNT ------------------------------------------------------------------------------- */

/* A range of bits or bytes; from the end where negative. */
struct range {
    int64_t start, end; /* inclusive */
    bool given, of_bits;
};

static bool is_backwards(const struct range *range)
{
    return range->start < 0 && range->end < 0 && range->start > range->end;
}

static bool read_range(struct client *client, const struct command_call *call, struct range *range)
{
    if (call->count == 2)
        return true;
    if (call->count != 4 && call->count != 5) {
        reply_syntax_error(client);
        return false;
    }
    range->given = true;
    if (!word_integer(client, call->words[2], &range->start) ||
        !word_integer(client, call->words[3], &range->end))
        return false;
    if (call->count == 5 && !is_backwards(range)) { /* then nobody looks at the unit */
        range->of_bits = word_is(call->words[4], "BIT");
        if (!range->of_bits && !word_is(call->words[4], "BYTE")) {
            reply_syntax_error(client);
            return false;
        }
    }
    return true;
}

static int64_t count_bytes(const uint8_t *bytes, size_t size)
{
    int64_t count = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        count += __builtin_popcountll(word);
    }
    for (; i < size; i++)
        count += __builtin_popcount(bytes[i]);
    return count;
}

/* Of bits [start, end], both inside the value. */
static int64_t count_bits(const uint8_t *bytes, uint64_t start, uint64_t end)
{
    uint8_t first_mask = (uint8_t)(0xFF >> (start & 7));
    uint8_t last_mask = (uint8_t)(0xFF << (7 - (end & 7)));
    uint64_t first = start >> 3, last = end >> 3;
    if (first == last)
        return __builtin_popcount(bytes[first] & first_mask & last_mask);
    return __builtin_popcount(bytes[first] & first_mask) +
           count_bytes(bytes + first + 1, last - first - 1) +
           __builtin_popcount(bytes[last] & last_mask);
}

static int64_t count_range(bitcask_slice value, const struct range *range)
{
    int64_t total = (int64_t)value.size * (range->of_bits ? 8 : 1);
    int64_t start = range->given ? range->start : 0, end = range->given ? range->end : total - 1;
    if (range->given && is_backwards(range))
        return 0;
    if (start < 0)
        start = start + total > 0 ? start + total : 0;
    if (end < 0)
        end = end + total > 0 ? end + total : 0;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return 0;
    if (range->of_bits)
        return count_bits(value.data, (uint64_t)start, (uint64_t)end);
    return count_bytes((const uint8_t *)value.data + start, (size_t)(end - start + 1));
}

void cmd_bitcount(struct client *client, const struct command_call *call)
{
    struct range range = {0};
    bitcask_view view;
    bitcask_status status = keyspace_get(client, call->words[1], &view);
    if (status == BITCASK_NOT_FOUND)
        reply_integer(client, 0);
    else if (status == BITCASK_OK && read_range(client, call, &range))
        reply_integer(client, count_range(view.value, &range));
    keyspace_release(&view);
}
