/* SPDX-License-Identifier: MIT
 * hint.h: the hint of a segment: its keys with the places of their newest records, sorted by hash.
 * Format: docs/FORMAT.md, section 5.
 *
 *     header      128 bytes
 *     entries     28 bytes each, by ascending (hash, offset)
 *     keys        of the entries, in the same order, nothing between them
 *     page table  one crc32 for each 4-KiB page of the two areas above (the last one shorter)
 *     sections    optional: {u32 kind, u32 size, bytes}; skipped if unknown. Kind 1 is a filter
 * over the hashes of all entries (format/filter.h) trailer     crc32 over header, page table and
 * sections; then the magic "tnih"
 *
 * So the whole file is covered, a reader of one entry checks one page, and a hint that does not
 * belong to its segment (store, id, salt, length, rolling checksum) is told by its header.
 * A hint is a cache: whatever is wrong with it, the segment is scanned instead.
 * Pure functions over bytes; threads: safe. */
#ifndef FORMAT_HINT_H
#define FORMAT_HINT_H

#include "format/filter.h"
#include "format/format.h"

enum { HINT_HEADER_SIZE = 128, HINT_ENTRY_SIZE = 28, HINT_PAGE = 4096, HINT_TRAILER_SIZE = 8 };

struct hint_header {
    uint32_t format;
    uint8_t store_id[STORE_ID_SIZE];
    uint64_t segment_id;
    uint64_t salt;
    uint64_t length;     /* the segment's bytes that the hint covers, header included, SEAL not */
    uint64_t entries;    /* one for each key, tombstones included */
    uint64_t keys_size;  /* bytes of the keys area */
    uint64_t records;    /* of keys in the segment, superseded ones and tombstones included */
    uint64_t tombstones; /* records */
    uint64_t version_min, version_max; /* of all records; 0, 0 if there are none */
    uint64_t expires_min, expires_max; /* of all records that expire; 0, 0 if none does */
    uint32_t rolling;       /* rolling checksum of the records' checksums, see record.h */
    uint32_t sections_size; /* bytes */
};

struct hint_entry {
    uint64_t hash;
    uint64_t version;
    uint32_t offset;     /* of the record in the segment */
    uint32_t value_size; /* as stored */
    uint16_t key_size;
    uint16_t flags; /* of the record, without BATCH_MORE */
};

/* Bytes of a whole hint file. */
uint64_t hint_file_size(const struct hint_header *header);

void hint_header_encode(uint8_t to[HINT_HEADER_SIZE], const struct hint_header *header);
void hint_entry_encode(uint8_t to[HINT_ENTRY_SIZE], const struct hint_entry *entry);

static inline void hint_entry_decode(const uint8_t *from, struct hint_entry *entry)
{
    entry->hash = get_u64(from);
    entry->version = get_u64(from + 8);
    entry->offset = get_u32(from + 16);
    entry->value_size = get_u32(from + 20);
    entry->key_size = get_u16(from + 24);
    entry->flags = get_u16(from + 26);
}

/* What a key adds to a hint file, about: its entry, its bits in the filter, its page sum. */
static inline uint64_t hint_bytes_of(uint64_t key_size)
{
    return HINT_ENTRY_SIZE + 2 + key_size;
}

enum hint_section_kind { HINT_SECTION_FILTER = 1 };

/* What header->sections_size is to be for a hint of so many entries with a filter. */
uint32_t hint_filter_section_size(uint64_t entries);

/* Lay out a hint file in `to` (hint_file_size bytes): header, entries and keys must have been
 * written in place by the caller; this computes page table, filter and trailer. sections_size is 0,
 * for a hint without a filter, or hint_filter_section_size. */
void hint_finish(uint8_t *to, const struct hint_header *header);

/* An opened hint: borrows the file's bytes. */
struct hint {
    struct hint_header header;
    const uint8_t *file;
    uint64_t file_size;
    const uint8_t *entries;
    const uint8_t *keys;
    const uint8_t *page_table;
    slice sections;
    slice filter; /* over the hashes of all entries; empty if the hint has none */
};

/* Check size, header, trailer, page table and sections, not yet the pages. Returns OK; CORRUPT with
 * *why (if not NULL) a static phrase; FORMAT for a newer format. */
bitcask_status hint_open(slice file, struct hint *hint, const char **why);

/* Check the pages that hold [from, from + size) of the entries-and-keys area (offset 0 is the first
 * entry). True if they are good. Cost: the checksum of those pages. */
bool hint_check(const struct hint *hint, uint64_t from, uint64_t size);

/* Check every page, the order of the hashes, every entry's bounds (offset and record size inside
 * the segment's `length`, flags known, key size at least 1), that the keys area has just the
 * entries' key sizes, and that the filter has every hash. Returns OK, or CORRUPT with *why. Cost:
 * O(file). */
bitcask_status hint_check_all(const struct hint *hint, const char **why);

/* The index of the first entry with a hash >= `hash`, by interpolation, entries unchecked: the
 * caller checks the page of what it uses. hint->header.entries if there is none. */
uint64_t hint_lower_bound(const struct hint *hint, uint64_t hash);

#endif
