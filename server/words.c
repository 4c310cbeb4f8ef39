/* SPDX-License-Identifier: MIT
 * words.c: what a command makes of its words. */
#include "words.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client.h"
#include "reply.h"
#include "settings.h"

bool word_is(bitcask_slice word, const char *name)
{
    return strlen(name) == word.size && strncasecmp(word.data, name, word.size) == 0;
}

bool word_to_integer(bitcask_slice word, int64_t *number)
{
    const char *at = word.data, *end = at + word.size;
    bool negative = word.size > 0 && *at == '-';
    at += negative;
    if (at == end || end - at > 19 || (*at == '0' && (negative || end - at > 1)))
        return false;
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        value = value * 10 + (uint64_t)(*at - '0'); /* 19 digits fit */
    }
    if (value > limit)
        return false;
    *number = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool word_to_long_double(bitcask_slice word, long double *number)
{
    char text[5 * 1024], *end;
    if (word.size == 0 || word.size >= sizeof text)
        return false;
    memcpy(text, word.data, word.size);
    text[word.size] = '\0';
    errno = 0;
    *number = strtold(text, &end);
    bool out_of_range = errno == ERANGE && (isinf(*number) || *number == 0);
    return !isspace((unsigned char)text[0]) && (size_t)(end - text) == word.size && !out_of_range &&
           !isnan(*number);
}

bool word_to_double(bitcask_slice word, double *number)
{
    long double value;
    if (!word_to_long_double(word, &value))
        return false;
    *number = (double)value;
    return true;
}

bool word_integer(struct client *client, bitcask_slice word, int64_t *number)
{
    if (word_to_integer(word, number))
        return true;
    reply_error(client, "ERR value is not an integer or out of range");
    return false;
}

bool word_integer_32(struct client *client, bitcask_slice word, int64_t *number)
{
    if (!word_integer(client, word, number))
        return false;
    if (*number >= INT32_MIN && *number <= INT32_MAX)
        return true;
    reply_error(client, "ERR value is out of range, value must between %d and %d", INT32_MIN,
                INT32_MAX);
    return false;
}

bool word_expiry(struct client *client, bitcask_slice word, bool seconds, bool absolute,
                 const char *command, uint64_t *expires_us)
{
    int64_t ms, now_ms = (int64_t)(client->now_us / 1000);
    if (!word_integer(client, word, &ms))
        return false;
    bool good = ms > 0 && !(seconds && ms > INT64_MAX / 1000);
    if (good && seconds)
        ms *= 1000;
    if (good && !absolute) {
        good = ms <= INT64_MAX - now_ms;
        ms += good ? now_ms : 0;
    }
    if (!good) {
        reply_error(client, "ERR invalid expire time in '%s' command", command);
        return false;
    }
    /* The store counts microseconds: what lies beyond its end of time expires then. */
    *expires_us = (uint64_t)(ms > INT64_MAX / 1000 ? INT64_MAX : ms * 1000);
    return true;
}

bool value_size_fits(struct client *client, uint64_t size)
{
    uint64_t limit = setting_number(client->server->settings, SETTING_PROTO_MAX_BULK_LEN);
    if (size <= limit && size <= BITCASK_MAX_VALUE_SIZE)
        return true;
    reply_error(client, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

void reply_syntax_error(struct client *client)
{
    reply_error(client, "ERR syntax error");
}

static size_t to_capitals(bitcask_slice word, char *to, size_t capacity)
{
    size_t size = word.size < capacity - 1 ? word.size : capacity - 1;
    for (size_t i = 0; i < size; i++)
        to[i] = (char)toupper(((const unsigned char *)word.data)[i]);
    to[size] = '\0';
    return size;
}

void reply_subcommand_error(struct client *client, const bitcask_slice *words)
{
    char name[32];
    to_capitals(words[0], name, sizeof name);
    reply_error(client,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                (int)strnlen(words[1].data, words[1].size < 128 ? words[1].size : 128),
                (const char *)words[1].data, name);
}

void reply_help(struct client *client, bitcask_slice command, const char *const *lines)
{
    char name[32];
    size_t count = 0;
    to_capitals(command, name, sizeof name);
    while (lines[count] != NULL)
        count++;
    reply_array(client, count + 3);
    char first[96];
    snprintf(first, sizeof first,
             "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_simple(client, first);
    for (size_t i = 0; i < count; i++)
        reply_simple(client, lines[i]);
    reply_simple(client, "HELP");
    reply_simple(client, "    Prints this help.");
}
