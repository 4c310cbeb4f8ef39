/* SPDX-License-Identifier: MIT
 * checksum_test.c: every way of computing the checksum gives what the definition gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"

/* By the definition, bit by bit. */
static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* `size` bytes that end where the allocation ends, so that a read beyond is seen. */
static uint8_t *make_noise(size_t size)
{
    uint8_t *data = malloc(size > 0 ? size : 1);
    uint64_t state = 0x9e3779b97f4a7c15 + size;
    assert_non_null(data);
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(state >> 56);
    }
    return data;
}

static void known_values(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 255, sizeof ones);
    assert_int_equal(checksum(0, "", 0), 0);
    assert_int_equal(checksum(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(checksum_portable(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(checksum(0, zeros, sizeof zeros), 0x190a55ad);
    assert_int_equal(checksum(0, ones, sizeof ones), 0xff6cab0b);
}

static void portable_is_the_definition(void **state)
{
    (void)state;
    for (size_t size = 0; size < 300; size++) {
        uint8_t *data = make_noise(size);
        assert_int_equal(checksum_portable(0x12345678, data, size),
                         by_definition(0x12345678, data, size));
        free(data);
    }
}

/* Exact allocations: the address sanitizer sees a byte read too far on either side. */
static void all_sizes_agree(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 2000; size++) {
        uint8_t *data = make_noise(size);
        assert_int_equal(checksum(0, data, size), checksum_portable(0, data, size));
        assert_int_equal(checksum(0xdeadbeef, data, size),
                         checksum_portable(0xdeadbeef, data, size));
        free(data);
    }
}

static void all_alignments_agree(void **state)
{
    (void)state;
    uint8_t *data = make_noise(2100);
    for (size_t from = 1; from < 64; from++) {
        for (size_t size = from % 7; size < 2000; size += 13)
            assert_int_equal(checksum(7, data + from, size),
                             checksum_portable(7, data + from, size));
    }
    free(data);
}

/* TRAPS 20: sizes around multiples of the chunk. */
static void trap_20_sizes_around_chunks_agree(void **state)
{
    (void)state;
    for (size_t chunk = 4096; chunk <= 1 << 20; chunk *= 4) {
        for (size_t size = chunk - 1; size <= chunk + 1; size++) {
            uint8_t *data = make_noise(size);
            assert_int_equal(checksum(0, data, size), checksum_portable(0, data, size));
            free(data);
        }
    }
}

static void checksums_of_two_pieces_combine(void **state)
{
    (void)state;
    enum { SIZE = 700 };
    uint8_t *data = make_noise(SIZE);
    uint32_t whole = checksum(0, data, SIZE);
    for (size_t cut = 0; cut <= SIZE; cut++) {
        uint32_t before = checksum(0, data, cut), behind = checksum(0, data + cut, SIZE - cut);
        assert_int_equal(checksum_combine(before, behind, SIZE - cut), whole);
    }
    free(data);
}

static void pieces_give_the_whole(void **state)
{
    (void)state;
    enum { SIZE = 700 };
    uint8_t *data = make_noise(SIZE);
    uint32_t whole = checksum(0, data, SIZE);
    for (size_t cut = 0; cut <= SIZE; cut++)
        assert_int_equal(checksum(checksum(0, data, cut), data + cut, SIZE - cut), whole);
    free(data);
}

static void words_are_sixteen_bytes_in_front(void **state)
{
    (void)state;
    const uint64_t first = 0x0123456789abcdef, second = 0xfedcba9876543210;
    uint8_t words[16];
    put_u64(words, first);
    put_u64(words + 8, second);
    for (size_t size = 0; size <= 2000; size++) {
        uint8_t *data = make_noise(size);
        assert_int_equal(checksum_words(first, second, data, size),
                         checksum_portable(checksum_portable(0, words, 16), data, size));
        free(data);
    }
}

static void *first_call(void *data)
{
    return (void *)(uintptr_t)checksum(0, data, 100);
}

/* What the processor can do is looked up by whoever comes first. */
static void first_calls_of_several_threads_agree(void **state)
{
    (void)state;
    uint8_t *data = make_noise(100);
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, first_call, data), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_int_equal((uintptr_t)result, checksum_portable(0, data, 100));
    }
    free(data);
}

/* The ways that this processor has, one after the other; a processor with none is content. */
static int use_clmul(void **state)
{
    (void)state;
    checksum_use(CHECKSUM_CLMUL);
    return 0;
}

static int use_portable(void **state)
{
    (void)state;
    assert_int_equal(checksum_use(CHECKSUM_PORTABLE), CHECKSUM_PORTABLE);
    return 0;
}

static int use_best(void **state)
{
    (void)state;
    checksum_use(CHECKSUM_WIDE);
    return 0;
}

#define LIMITED(test, way) cmocka_unit_test_setup_teardown(test, way, use_best)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_calls_of_several_threads_agree), /* first: nothing is known yet */
        cmocka_unit_test(known_values),
        cmocka_unit_test(portable_is_the_definition),
        cmocka_unit_test(all_sizes_agree),
        cmocka_unit_test(all_alignments_agree),
        cmocka_unit_test(trap_20_sizes_around_chunks_agree),
        cmocka_unit_test(pieces_give_the_whole),
        cmocka_unit_test(checksums_of_two_pieces_combine),
        cmocka_unit_test(words_are_sixteen_bytes_in_front),
        LIMITED(all_sizes_agree, use_clmul),
        LIMITED(trap_20_sizes_around_chunks_agree, use_clmul),
        LIMITED(words_are_sixteen_bytes_in_front, use_clmul),
        LIMITED(known_values, use_portable),
        LIMITED(words_are_sixteen_bytes_in_front, use_portable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
