/* SPDX-License-Identifier: MIT
 * json_in_fuzz.c: any bytes as the JSON of a request. What is taken can be walked to its last
 * string; what is written of a string is taken again and is the same string. */
#include "encoding.h"
#include "fuzz/fuzz.h"
#include "json_in.h"

static void check_string(bitcask_slice value)
{
    struct text bytes = {0}, written = {0}, again = {0};
    bitcask_slice reread;
    REQUIRE(json_in_string(value, &bytes));
    REQUIRE(utf8_is_valid(bitcask_bytes(bytes.data, bytes.size)));
    text_string(&written, bitcask_bytes(bytes.data, bytes.size));
    REQUIRE(json_in_is_valid(bitcask_bytes(written.data, written.size), &reread));
    REQUIRE(json_in_string(reread, &again));
    REQUIRE(again.size == bytes.size);
    REQUIRE(bytes.size == 0 || memcmp(again.data, bytes.data, bytes.size) == 0);
    text_release(&bytes);
    text_release(&written);
    text_release(&again);
}

static void check_value(bitcask_slice value, unsigned depth)
{
    bitcask_slice name, member;
    uint64_t number;
    REQUIRE(value.size > 0 && depth <= JSON_DEPTH);
    if (json_in_kind(value) == '"')
        check_string(value);
    json_in_unsigned(value, &number);
    json_in_find(value, "key", &member);
    for (struct json_in_walk walk = json_in_walk(value); json_in_next(&walk, &name, &member);) {
        if (name.size > 0)
            check_string(name);
        check_value(member, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bitcask_slice value;
    struct text text = {0};
    if (size == 0)
        return 0;
    uint8_t *copy = fuzz_copy(data + 1, size - 1);
    if (json_in_is_valid(bitcask_bytes(copy, size - 1), &value))
        check_value(value, 0);
    (void)text_from_base64(&text, bitcask_bytes(copy, size - 1));
    (void)text_from_percent(&text, bitcask_bytes(copy, size - 1), true);
    text_release(&text);
    free(copy);
    return 0;
}
