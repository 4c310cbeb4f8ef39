/* SPDX-License-Identifier: MIT
 * cmd_number.c: values that are numbers: INCR DECR INCRBY DECRBY INCRBYFLOAT. Atomic by comparing
 * versions: many clients may count at once. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "words.h"

enum { NUMBER_MAX = 5 * 1024 }; /* bytes of a printed long double */

struct sum {
    int64_t more;
    long double more_float;
    const char *problem; /* NULL: none */
    char text[NUMBER_MAX];
    size_t size;
    int64_t result;
};

/* ---- Integers ------------------------------------------------------------------------------- */

static enum keyspace_change add_integer(void *context, const bitcask_view *old,
                                        bitcask_slice *result, struct keyspace_write *write)
{
    struct sum *sum = context;
    int64_t value = 0;
    sum->problem = NULL;
    if (old->value.data != NULL && !word_to_integer(old->value, &value))
        sum->problem = "ERR value is not an integer or out of range";
    else if (__builtin_add_overflow(value, sum->more, &sum->result))
        sum->problem = "ERR increment or decrement would overflow";
    if (sum->problem != NULL)
        return KEYSPACE_LEAVE;
    sum->size = (size_t)snprintf(sum->text, sizeof sum->text, "%lld", (long long)sum->result);
    *result = bitcask_bytes(sum->text, sum->size);
    write->event = "incrby";
    return KEYSPACE_WRITE;
}

static void add(struct client *client, bitcask_slice key, int64_t more)
{
    struct sum sum;
    sum.more = more;
    sum.problem = NULL;
    if (keyspace_update(client, key, add_integer, &sum) != BITCASK_OK)
        return;
    if (sum.problem != NULL)
        reply_error(client, "%s", sum.problem);
    else
        reply_integer(client, sum.result);
}

void cmd_incr(struct client *client, const struct command_call *call)
{
    add(client, call->words[1], 1);
}

void cmd_decr(struct client *client, const struct command_call *call)
{
    add(client, call->words[1], -1);
}

void cmd_incrby(struct client *client, const struct command_call *call)
{
    int64_t more;
    if (word_integer(client, call->words[2], &more))
        add(client, call->words[1], more);
}

void cmd_decrby(struct client *client, const struct command_call *call)
{
    int64_t less;
    if (!word_integer(client, call->words[2], &less))
        return;
    if (less == INT64_MIN)
        reply_error(client, "ERR decrement would overflow");
    else
        add(client, call->words[1], -less);
}

/* ---- Fractions ------------------------------------------------------------------------------ */

/* 17 digits behind the point, without the zeros at the end: how INCRBYFLOAT shows numbers. */
static size_t print_float(char text[NUMBER_MAX], long double number)
{
    int size = snprintf(text, NUMBER_MAX, "%.17Lf", number);
    if (size < 0 || size >= NUMBER_MAX)
        return 0;
    if (strchr(text, '.') != NULL) {
        while (text[size - 1] == '0')
            size--;
        if (text[size - 1] == '.')
            size--;
    }
    if (size == 2 && memcmp(text, "-0", 2) == 0) {
        text[0] = '0';
        size = 1;
    }
    return (size_t)size;
}

static enum keyspace_change add_float(void *context, const bitcask_view *old, bitcask_slice *result,
                                      struct keyspace_write *write)
{
    struct sum *sum = context;
    long double value = 0;
    sum->problem = NULL;
    if (old->value.data != NULL && !word_to_long_double(old->value, &value))
        sum->problem = "ERR value is not a valid float";
    else if (isnan(value + sum->more_float) || isinf(value + sum->more_float))
        sum->problem = "ERR increment would produce NaN or Infinity";
    if (sum->problem != NULL)
        return KEYSPACE_LEAVE;
    sum->size = print_float(sum->text, value + sum->more_float);
    *result = bitcask_bytes(sum->text, sum->size);
    write->event = "incrbyfloat";
    return KEYSPACE_WRITE;
}

void cmd_incrbyfloat(struct client *client, const struct command_call *call)
{
    struct sum sum;
    sum.problem = NULL;
    if (!word_to_long_double(call->words[2], &sum.more_float)) {
        reply_error(client, "ERR value is not a valid float");
        return;
    }
    if (keyspace_update(client, call->words[1], add_float, &sum) != BITCASK_OK)
        return;
    if (sum.problem != NULL)
        reply_error(client, "%s", sum.problem);
    else
        reply_bulk(client, bitcask_bytes(sum.text, sum.size));
}
