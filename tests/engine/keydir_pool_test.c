/* SPDX-License-Identifier: MIT
 * keydir_pool_test.c: blocks of their own, then slabs; all of it comes back. */
#include "engine/keydir_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "os/os_mem.h"

enum { SIZE = 16 << 10, LINE = 64, PER_SLAB = (KEYDIR_SLAB_SIZE - LINE) / SIZE, MANY = 400 };

static struct os *os;
static struct keydir_pool *pool;
static uint64_t bytes_before;
static struct block {
    void *memory;
    struct keydir_slab *slab;
} blocks[MANY];

static void begin(size_t plain_max)
{
    struct os_mem_options options = {.seed = 1};
    os = os_mem_new(&options);
    assert_non_null(os);
    bytes_before = os_mem_live_bytes(os);
    pool = keydir_pool_new(os, plain_max);
    assert_non_null(pool);
}

static void end(void)
{
    keydir_pool_drop(pool);
    assert_int_equal(os_mem_live_bytes(os), bytes_before);
    os_mem_free(os);
}

static void take(int from, int to)
{
    for (int i = from; i < to; i++) {
        blocks[i].memory = keydir_pool_take(pool, SIZE, &blocks[i].slab);
        assert_non_null(blocks[i].memory);
        assert_int_equal((uintptr_t)blocks[i].memory % LINE, 0);
        memset(blocks[i].memory, i, SIZE);
    }
}

static void give(int from, int to)
{
    for (int i = from; i < to; i++) {
        for (size_t k = 0; k < SIZE; k += 511)
            assert_int_equal(((unsigned char *)blocks[i].memory)[k], (unsigned char)i);
        keydir_pool_give(pool, blocks[i].memory, SIZE, blocks[i].slab);
    }
}

static uint64_t taken(void)
{
    return os_mem_live_bytes(os) - bytes_before;
}

static void few_blocks_are_of_their_own(void **state)
{
    (void)state;
    begin(4 * SIZE);
    take(0, 4);
    for (int i = 0; i < 4; i++)
        assert_null(blocks[i].slab);
    assert_true(taken() < 5 * SIZE);
    give(0, 4);
    end();
}

static void many_are_cut_out_of_slabs(void **state)
{
    (void)state;
    begin(4 * SIZE);
    take(0, MANY);
    for (int i = 4; i < MANY; i++) {
        assert_non_null(blocks[i].slab);
        assert_int_equal((uintptr_t)blocks[i].slab % KEYDIR_SLAB_SIZE, 0);
    }
    int slabs = (MANY - 4 + PER_SLAB - 1) / PER_SLAB;
    assert_true(taken() < (uint64_t)slabs * KEYDIR_SLAB_SIZE + 5 * SIZE);
    give(0, MANY); /* each still has what was written to it: none overlap */
    end();
}

static void what_is_given_back_is_taken_again(void **state)
{
    (void)state;
    begin(4 * SIZE);
    take(0, MANY);
    uint64_t most = taken();
    for (int round = 0; round < 5; round++) {
        give(2, MANY - 1); /* the first and last keep slabs alive, two are plain */
        take(2, MANY - 1);
        assert_true(taken() <= most);
    }
    give(0, MANY);
    end();
}

static void an_empty_slab_is_given_back_at_once(void **state)
{
    (void)state;
    begin(0);
    take(0, PER_SLAB + 1);
    uint64_t two = taken();
    give(PER_SLAB, PER_SLAB + 1);
    assert_int_equal(two - taken(), KEYDIR_SLAB_SIZE);
    give(0, PER_SLAB);
    assert_true(taken() < SIZE);
    end();
}

static void blocks_of_two_sizes_do_not_share_a_slab(void **state)
{
    (void)state;
    begin(0);
    take(0, 1);
    struct keydir_slab *other;
    void *block = keydir_pool_take(pool, 2 * SIZE, &other);
    assert_non_null(block);
    assert_ptr_not_equal(other, blocks[0].slab);
    keydir_pool_give(pool, block, 2 * SIZE, other);
    give(0, 1);
    end();
}

static void where_there_is_no_slab_a_block_is_of_its_own(void **state)
{
    (void)state;
    begin(0);
    os_mem_fail(os, 1u << OS_CALL_ALLOC, 1, 1, -12);
    take(0, 1);
    assert_null(blocks[0].slab);
    os_mem_fail(os, 1u << OS_CALL_ALLOC, 1, 2, -12);
    struct keydir_slab *slab;
    assert_null(keydir_pool_take(pool, SIZE, &slab));
    give(0, 1);
    end();
}

static void a_large_index_is_in_slabs_from_the_start(void **state)
{
    (void)state;
    begin(4 * SIZE);
    keydir_pool_expect(pool, 7 * SIZE);
    take(0, 1);
    assert_null(blocks[0].slab);
    keydir_pool_expect(pool, 8 * SIZE);
    take(1, 2);
    assert_non_null(blocks[1].slab);
    give(0, 2);
    end();
}

static void blocks_may_outlive_the_keydir(void **state)
{
    (void)state;
    begin(SIZE);
    take(0, 3);
    keydir_pool_drop(pool);
    give(0, 3); /* as the last of them retires */
    assert_int_equal(os_mem_live_bytes(os), bytes_before);
    os_mem_free(os);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_blocks_are_of_their_own),
        cmocka_unit_test(many_are_cut_out_of_slabs),
        cmocka_unit_test(what_is_given_back_is_taken_again),
        cmocka_unit_test(an_empty_slab_is_given_back_at_once),
        cmocka_unit_test(blocks_of_two_sizes_do_not_share_a_slab),
        cmocka_unit_test(where_there_is_no_slab_a_block_is_of_its_own),
        cmocka_unit_test(a_large_index_is_in_slabs_from_the_start),
        cmocka_unit_test(blocks_may_outlive_the_keydir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
