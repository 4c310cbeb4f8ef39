/* SPDX-License-Identifier: MIT
 * json.c: a small strict reader of JSON. */
#include "base/json.h"

#include "base/check.h"

void json_read_fail(struct json_reader *json, const char *why)
{
    if (json->why == NULL)
        json->why = why;
}

void json_read_open(struct json_reader *json, slice text)
{
    memset(json, 0, sizeof *json);
    json->at = text.data;
    json->end = json->at + text.size;
}

static void skip_space(struct json_reader *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

/* The next byte that is no space; 0 at the end and after a fault. */
static char peek(struct json_reader *json)
{
    if (json->why != NULL)
        return 0;
    skip_space(json);
    return json->at < json->end ? *json->at : 0;
}

static bool take(struct json_reader *json, char wanted, const char *why)
{
    if (peek(json) != wanted) {
        json_read_fail(json, why);
        return false;
    }
    json->at++;
    return true;
}

static bool take_word(struct json_reader *json, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size) != 0)
        return false;
    json->at += size;
    return true;
}

bool json_read_close(struct json_reader *json)
{
    if (json->why == NULL && json->depth > 0)
        json_read_fail(json, "ends too early");
    if (json->why == NULL) {
        skip_space(json);
        if (json->at < json->end)
            json_read_fail(json, "something behind the end");
    }
    return json->why == NULL;
}

/* ---- Objects and arrays ---------------------------------------------------------------------- */

static void enter(struct json_reader *json, char bracket, const char *why)
{
    if (!take(json, bracket, why))
        return;
    if (json->depth == JSON_DEPTH_MAX) {
        json_read_fail(json, "nested too deep");
        return;
    }
    json->started[json->depth++] = false;
}

/* Step over the comma to the next part of what is open, or over `bracket` to its end. */
static bool next_part(struct json_reader *json, char bracket)
{
    if (json->why != NULL)
        return false;
    CHECK(json->depth > 0);
    bool *started = &json->started[json->depth - 1];
    if (peek(json) == bracket) {
        json->at++;
        json->depth--;
        return false;
    }
    if (*started && !take(json, ',', "expected a comma or an end"))
        return false;
    *started = true;
    return true;
}

void json_read_object(struct json_reader *json)
{
    enter(json, '{', "expected an object");
}

bool json_read_member(struct json_reader *json, slice *name)
{
    if (!next_part(json, '}'))
        return false;
    *name = json_read_string(json);
    return take(json, ':', "expected a colon");
}

void json_read_array(struct json_reader *json)
{
    enter(json, '[', "expected an array");
}

bool json_read_element(struct json_reader *json)
{
    return next_part(json, ']');
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hex_digit(char c)
{
    return hex_digit(c) >= 0 || (c >= 'A' && c <= 'F');
}

uint64_t json_read_u64(struct json_reader *json)
{
    if (!is_digit(peek(json))) {
        json_read_fail(json, "expected a number");
        return 0;
    }
    const char *first = json->at;
    uint64_t number = 0;
    for (; json->at < json->end && is_digit(*json->at); json->at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*json->at - '0'), &number)) {
            json_read_fail(json, "number too large");
            return 0;
        }
    }
    if (*first == '0' && json->at > first + 1)
        json_read_fail(json, "number with a leading zero");
    if (json->at < json->end && (*json->at == '.' || *json->at == 'e' || *json->at == 'E'))
        json_read_fail(json, "expected an integer");
    return json->why == NULL ? number : 0;
}

bool json_read_bool(struct json_reader *json)
{
    char first = peek(json);
    if (first == 't' && take_word(json, "true"))
        return true;
    if (first != 'f' || !take_word(json, "false"))
        json_read_fail(json, "expected true or false");
    return false;
}

/* Past the backslash: the size of what follows it; 0 if that is no escape. */
static size_t escape_size(const char *at, const char *end)
{
    if (at == end)
        return 0;
    if (*at != 'u')
        return memchr("\"\\/bfnrt", *at, 8) != NULL ? 1 : 0;
    if (end - at < 5)
        return 0;
    for (int i = 1; i < 5; i++) {
        if (!is_hex_digit(at[i]))
            return 0;
    }
    return 5;
}

slice json_read_string(struct json_reader *json)
{
    if (!take(json, '"', "expected a string"))
        return slice_of("", 0);
    const char *first = json->at;
    for (const char *at = first; at < json->end; at++) {
        if (*at == '"') {
            json->at = at + 1;
            return slice_of(first, (size_t)(at - first));
        }
        size_t escape = *at == '\\' ? escape_size(at + 1, json->end) : 0;
        if ((unsigned char)*at < 0x20 || (*at == '\\' && escape == 0)) {
            json_read_fail(json, "bad character in a string");
            return slice_of("", 0);
        }
        at += escape;
    }
    json_read_fail(json, "ends inside a string");
    return slice_of("", 0);
}

void json_read_hex(struct json_reader *json, uint8_t *to, size_t size)
{
    slice text = json_read_string(json);
    const char *digits = text.data;
    if (text.size != 2 * size) {
        json_read_fail(json, "wrong number of hexadecimal digits");
        return;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0) {
            json_read_fail(json, "not a hexadecimal digit");
            return;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
}

/* ---- Skipping -------------------------------------------------------------------------------- */

static void skip_digits(struct json_reader *json)
{
    if (json->at == json->end || !is_digit(*json->at))
        json_read_fail(json, "expected a digit");
    while (json->at < json->end && is_digit(*json->at))
        json->at++;
}

static void skip_number(struct json_reader *json)
{
    if (*json->at == '-')
        json->at++;
    const char *first = json->at;
    skip_digits(json);
    if (json->at > first + 1 && *first == '0')
        json_read_fail(json, "number with a leading zero");
    if (json->at < json->end && *json->at == '.') {
        json->at++;
        skip_digits(json);
    }
    if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        skip_digits(json);
    }
}

void json_read_skip(struct json_reader *json)
{
    char first = peek(json);
    slice name;
    switch (first) {
    case '{':
        json_read_object(json);
        while (json_read_member(json, &name))
            json_read_skip(json);
        break;
    case '[':
        json_read_array(json);
        while (json_read_element(json))
            json_read_skip(json);
        break;
    case '"':
        (void)json_read_string(json);
        break;
    case 't':
    case 'f':
        (void)json_read_bool(json);
        break;
    case 'n':
        if (!take_word(json, "null"))
            json_read_fail(json, "expected null");
        break;
    default:
        if (first == '-' || is_digit(first))
            skip_number(json);
        else
            json_read_fail(json, "expected a value");
    }
}
