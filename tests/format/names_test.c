/* SPDX-License-Identifier: MIT
 * names_test.c: which names in a directory are a store's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/names.h"

static void names_come_back(void **state)
{
    (void)state;
    static const uint64_t ids[] = {1, 2, 10, 999, 123456789, SEGMENT_ID_MAX};
    char name[NAME_SIZE];
    uint64_t id;
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        name_data(name, ids[i]);
        assert_int_equal(name_parse(name, &id), NAME_DATA);
        assert_int_equal(id, ids[i]);
        name_hint(name, ids[i]);
        assert_int_equal(name_parse(name, &id), NAME_HINT);
        assert_int_equal(id, ids[i]);
        name_hint_tmp(name, ids[i]);
        assert_int_equal(name_parse(name, &id), NAME_HINT_TMP);
        assert_int_equal(id, ids[i]);
    }
}

static void names_are_spelled_so(void **state)
{
    (void)state;
    char name[64];
    name_data(name, 1);
    assert_string_equal(name, "000000001.data");
    name_hint(name, SEGMENT_ID_MAX);
    assert_string_equal(name, "999999999.hint");
    name_hint_tmp(name, 10);
    assert_string_equal(name, "000000010.hint.tmp");
    name_quarantine(name, 7, 4096, 0x1a2b3c4d);
    assert_string_equal(name, "000000007-4096-1a2b3c4d");
    name_quarantine(name, UINT64_MAX, UINT64_MAX, UINT32_MAX);
    assert_string_equal(name, "18446744073709551615-18446744073709551615-ffffffff");
}

/* TRAPS 26: 10 comes after 9. */
static void trap_26_ids_are_numbers(void **state)
{
    (void)state;
    uint64_t nine, ten;
    assert_int_equal(name_parse("000000009.data", &nine), NAME_DATA);
    assert_int_equal(name_parse("000000010.data", &ten), NAME_DATA);
    assert_int_equal(nine, 9);
    assert_int_equal(ten, 10);
}

static void other_names_are_not_ours(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        ".",
        "..",
        "1.data",
        "00000001.data",
        "0000000001.data",
        "000000000.data",
        "000000001",
        "000000001.",
        "000000001.dat",
        "000000001.dataa",
        "000000001.data.tmp2",
        "000000001.data.t",
        "000000001.DATA",
        " 00000001.data",
        "+00000001.data",
        "-00000001.data",
        "0x0000001.data",
        "00000000a.data",
        "../000000001.data",
        "/000000001.data",
        "000000001.data/",
        "000000001-4096-1a2b3c4d",
        "manifest",
        "MANIFEST.tmp2",
        "bitcask.lock2",
        "00000001/.data",
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        uint64_t id = 77;
        assert_int_equal(name_parse(names[i], &id), NAME_OTHER);
        assert_int_equal(id, 77);
    }
}

static void files_of_the_store_itself_are_meta(void **state)
{
    (void)state;
    uint64_t id;
    assert_int_equal(name_parse("MANIFEST", &id), NAME_META);
    assert_int_equal(name_parse("MANIFEST.tmp", &id), NAME_META);
    assert_int_equal(name_parse("bitcask.lock", &id), NAME_META);
    assert_int_equal(name_parse("bitcask.published", &id), NAME_META);
    assert_int_equal(name_parse("quarantine", &id), NAME_META);
    assert_int_equal(name_parse("bitcask.backup", &id), NAME_META);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(names_are_spelled_so),
        cmocka_unit_test(trap_26_ids_are_numbers),
        cmocka_unit_test(other_names_are_not_ours),
        cmocka_unit_test(files_of_the_store_itself_are_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
