/* SPDX-License-Identifier: MIT
 * filter_test.c: a filter never says no to what it holds, and seldom yes to what it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "format/filter.h"

/* Hash number `i` of a stream: splitmix64, a bijection, so all differ. */
static uint64_t hash_at(uint64_t stream, uint64_t i)
{
    uint64_t z = (stream << 40) + i + 1;
    z *= UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A filter over the first `count` hashes of `stream`; the caller frees. */
static uint8_t *filter_of(uint64_t stream, uint64_t count)
{
    uint64_t size = filter_size(count);
    uint8_t *filter = calloc(1, size);
    assert_non_null(filter);
    for (uint64_t i = 0; i < count; i++)
        filter_add(filter, size, hash_at(stream, i));
    return filter;
}

static void sizes_are_whole_blocks_of_ten_bits_a_key(void **state)
{
    (void)state;
    assert_int_equal(filter_size(0), 0);
    assert_int_equal(filter_size(1), 64);
    assert_int_equal(filter_size(51), 64);
    assert_int_equal(filter_size(52), 128);
    assert_int_equal(filter_size(1000000), 1250048);
    for (uint64_t keys = 1; keys < 100000; keys += 97) {
        assert_true(filter_size_ok(filter_size(keys)));
        assert_true(8 * filter_size(keys) >= FILTER_BITS_PER_KEY * keys);
        assert_true(8 * filter_size(keys) < FILTER_BITS_PER_KEY * keys + 512);
    }
    assert_false(filter_size_ok(0));
    assert_false(filter_size_ok(63));
    assert_false(filter_size_ok(UINT64_MAX / 64 * 64));
}

/* Whatever the number of keys, around blocks that are just full too. */
static void what_was_added_is_always_there(void **state)
{
    (void)state;
    for (uint64_t count = 1; count <= 100000; count = count < 210 ? count + 1 : count * 3 / 2) {
        uint8_t *filter = filter_of(count, count);
        for (uint64_t i = 0; i < count; i++)
            assert_true(filter_may_have(slice_of(filter, filter_size(count)), hash_at(count, i)));
        free(filter);
    }
}

static void hashes_at_the_ends_are_there_and_stay_inside(void **state)
{
    (void)state;
    static const uint64_t hashes[] = {0,         1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX - 1,
                                      UINT64_MAX};
    for (uint64_t keys = 1; keys < 1000; keys += 51) {
        uint64_t size = filter_size(keys);
        uint8_t *filter = calloc(1, size); /* exactly so large: the sanitizer looks on */
        assert_non_null(filter);
        for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
            filter_add(filter, size, hashes[i]);
            assert_true(filter_may_have(slice_of(filter, size), hashes[i]));
        }
        free(filter);
    }
}

/* At 10 bits a key: about 1 in 100, fewer in small filters, whose last block is emptier. */
static void strangers_are_let_in_seldom(void **state)
{
    (void)state;
    enum { STRANGERS = 200000 };
    for (uint64_t count = 1; count <= 100000; count *= 10) {
        uint8_t *filter = filter_of(1, count);
        uint64_t let_in = 0;
        for (uint64_t i = 0; i < STRANGERS; i++)
            let_in += filter_may_have(slice_of(filter, filter_size(count)), hash_at(2, i));
        assert_true(let_in < STRANGERS * 11 / 1000);
        if (count >= 1000)
            assert_true(let_in > STRANGERS * 7 / 1000); /* else the bits are not what they should */
        free(filter);
    }
}

static void an_empty_filter_has_nothing(void **state)
{
    (void)state;
    uint8_t filter[2 * FILTER_BLOCK_SIZE] = {0};
    for (uint64_t i = 0; i < 1000; i++)
        assert_false(filter_may_have(slice_of(filter, sizeof filter), hash_at(3, i)));
}

/* FORMAT.md's arithmetic, done anew: block, then six pieces of nine bits. */
static void bits_are_where_the_page_says(void **state)
{
    (void)state;
    enum { BLOCKS = 7 };
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t filter[BLOCKS * FILTER_BLOCK_SIZE] = {0}, expected[sizeof filter] = {0};
        const uint64_t hash = hash_at(4, i);
        filter_add(filter, sizeof filter, hash);
        const uint64_t block = (uint64_t)((unsigned __int128)(hash >> 32) * BLOCKS >> 32);
        const uint64_t product = hash * UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned piece = 0; piece < 6; piece++) {
            unsigned bit = (unsigned)(product >> (55 - 9 * piece)) % 512;
            expected[block * 64 + bit / 8] |= (uint8_t)(1u << bit % 8);
        }
        assert_memory_equal(filter, expected, sizeof filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_whole_blocks_of_ten_bits_a_key),
        cmocka_unit_test(what_was_added_is_always_there),
        cmocka_unit_test(hashes_at_the_ends_are_there_and_stay_inside),
        cmocka_unit_test(strangers_are_let_in_seldom),
        cmocka_unit_test(an_empty_filter_has_nothing),
        cmocka_unit_test(bits_are_where_the_page_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
