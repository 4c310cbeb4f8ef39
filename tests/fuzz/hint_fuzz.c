/* SPDX-License-Identifier: MIT
 * hint_fuzz.c: any bytes as a hint file.
 *
 * Whatever stands in it, all that is offered for use lies inside the file: entries and keys after
 * a full check, the places that a search returns without one. */
#include "format/hint.h"
#include "format/record.h"
#include "fuzz/fix.h"

static void use_entries(const struct hint *hint)
{
    const uint8_t *key = hint->keys;
    uint64_t hash_before = 0;
    unsigned sum = 0;
    for (uint64_t i = 0; i < hint->header.entries; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        REQUIRE(entry.hash >= hash_before && entry.key_size >= 1);
        REQUIRE(entry.offset + record_size(entry.flags, entry.key_size, entry.value_size) <=
                hint->header.length);
        REQUIRE(key + entry.key_size <= hint->page_table);
        for (uint16_t at = 0; at < entry.key_size; at++)
            sum += key[at]; /* the sanitizer looks on */
        key += entry.key_size;
        hash_before = entry.hash;
        uint64_t found = hint_lower_bound(hint, entry.hash);
        REQUIRE(found <= i && get_u64(hint->entries + found * HINT_ENTRY_SIZE) == entry.hash);
        REQUIRE(hint->filter.size == 0 || filter_may_have(hint->filter, entry.hash));
    }
    REQUIRE(key == hint->page_table && sum < UINT32_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t *file = fuzz_copy(data + 1, size - 1);
    if ((data[0] & 1) != 0)
        fix_hint(file, size - 1);
    struct hint hint;
    const char *why = NULL;
    bitcask_status status = hint_open(slice_of(file, size - 1), &hint, &why);
    if (status == BITCASK_OK) {
        for (int shift = 0; shift < 64; shift += 7)
            REQUIRE(hint_lower_bound(&hint, UINT64_C(0xfedcba9876543210) >> shift) <=
                    hint.header.entries);
        (void)hint_check(&hint, data[0], size);
        if (hint.filter.size > 0) /* any hash: it looks at bytes of the filter only */
            (void)filter_may_have(hint.filter,
                                  get_u64(hint.file + 24) * UINT64_C(0x9e3779b97f4a7c15));
        if (hint_check_all(&hint, &why) == BITCASK_OK)
            use_entries(&hint);
        else
            REQUIRE(why != NULL);
    } else {
        REQUIRE(status == BITCASK_FORMAT || (status == BITCASK_CORRUPT && why != NULL));
    }
    free(file);
    return 0;
}
