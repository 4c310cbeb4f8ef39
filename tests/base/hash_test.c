/* SPDX-License-Identifier: MIT
 * hash_test.c: the hash is the one of docs/FORMAT.md; a store depends on it for ever. The vectors
 * themselves are compared with that page in format/golden_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash_inline.h"

static struct hash_secret make_secret(uint8_t first)
{
    uint8_t seed[HASH_SEED_SIZE];
    struct hash_secret secret;
    for (int i = 0; i < HASH_SEED_SIZE; i++)
        seed[i] = (uint8_t)(first + i);
    hash_secret_init(&secret, seed);
    return secret;
}

static void secrets_of_equal_seeds_are_equal(void **state)
{
    (void)state;
    struct hash_secret a = make_secret(0), b = make_secret(0), c = make_secret(1);
    assert_memory_equal(a.bytes, b.bytes, HASH_SECRET_SIZE);
    assert_memory_not_equal(a.bytes, c.bytes, HASH_SECRET_SIZE);
}

static void secret_words_differ(void **state)
{
    (void)state;
    struct hash_secret secret = make_secret(0);
    for (int i = 0; i < HASH_SECRET_SIZE; i += 8) {
        for (int j = 0; j < i; j += 8)
            assert_true(get_u64(secret.bytes + i) != get_u64(secret.bytes + j));
    }
}

/* Every length class of XXH3, the edges of each. */
static void hash_depends_on_every_byte_and_the_secret(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 1025, 65535};
    static uint8_t key[65535];
    struct hash_secret secret = make_secret(0), other = make_secret(1);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t size = sizes[i];
        uint64_t hash = hash_key(&secret, slice_of(key, size));
        assert_true(hash != hash_key(&other, slice_of(key, size)));
        for (size_t at = 0; at<size; at += size> 1024 ? 911 : 1) {
            key[at] ^= 1;
            assert_true(hash != hash_key(&secret, slice_of(key, size)));
            key[at] ^= 1;
        }
        assert_true(hash == hash_key(&secret, slice_of(key, size)));
    }
}

static void hash_does_not_depend_on_alignment(void **state)
{
    (void)state;
    uint8_t room[400];
    struct hash_secret secret = make_secret(9);
    for (size_t size = 1; size < 300; size++) {
        memset(room, (int)size, sizeof room);
        assert_true(hash_key(&secret, slice_of(room, size)) ==
                    hash_key(&secret, slice_of(room + size % 63 + 1, size)));
    }
}

static void the_inline_hash_is_the_same(void **state)
{
    (void)state;
    uint8_t key[64];
    struct hash_secret secret = make_secret(3);
    for (size_t size = 1; size <= sizeof key; size++) {
        memset(key, (int)(size * 37), sizeof key);
        assert_true(hash_key_inline(&secret, slice_of(key, size)) ==
                    hash_key(&secret, slice_of(key, size)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_equal_seeds_are_equal),
        cmocka_unit_test(secret_words_differ),
        cmocka_unit_test(hash_depends_on_every_byte_and_the_secret),
        cmocka_unit_test(hash_does_not_depend_on_alignment),
        cmocka_unit_test(the_inline_hash_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
