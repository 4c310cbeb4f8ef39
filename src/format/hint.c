/* SPDX-License-Identifier: MIT
 * hint.c: laying out, checking and searching the hint of a segment. */
#include "format/hint.h"

#include "base/check.h"
#include "base/checksum.h"
#include "base/planted.h"
#include "format/record.h"
#include "format/segment_header.h"

/* Magic, format and checksum stay where they are in all versions of the format. */
enum {
    AT_MAGIC = 0,
    AT_FORMAT = 8,
    AT_ROLLING = 12,
    AT_STORE_ID = 16,
    AT_SEGMENT_ID = 32,
    AT_SALT = 40,
    AT_LENGTH = 48,
    AT_ENTRIES = 56,
    AT_KEYS_SIZE = 64,
    AT_RECORDS = 72,
    AT_TOMBSTONES = 80,
    AT_VERSION_MIN = 88,
    AT_VERSION_MAX = 96,
    AT_EXPIRES_MIN = 104,
    AT_EXPIRES_MAX = 112,
    AT_SECTIONS_SIZE = 120,
    AT_CHECKSUM = 124,
};

enum { PAGE_SUM_SIZE = 4, SECTION_HEADER_SIZE = 8 };

static const uint8_t MAGIC[8] = {'b', 'i', 't', 'h', 'i', 'n', 't', '\n'};
static const uint8_t TRAILER_MAGIC[4] = {'t', 'n', 'i', 'h'};

_Static_assert(AT_STORE_ID + STORE_ID_SIZE == AT_SEGMENT_ID, "the store id fills its place");
_Static_assert(AT_CHECKSUM + 4 == HINT_HEADER_SIZE, "the checksum comes last");

static uint64_t area_size(const struct hint_header *header)
{
    return header->entries * HINT_ENTRY_SIZE + header->keys_size;
}

static uint64_t page_count(const struct hint_header *header)
{
    return (area_size(header) + HINT_PAGE - 1) / HINT_PAGE;
}

uint64_t hint_file_size(const struct hint_header *header)
{
    return HINT_HEADER_SIZE + area_size(header) + page_count(header) * PAGE_SUM_SIZE +
           header->sections_size + HINT_TRAILER_SIZE;
}

/* ---- Writing --------------------------------------------------------------------------------- */

void hint_header_encode(uint8_t to[HINT_HEADER_SIZE], const struct hint_header *header)
{
    memcpy(to + AT_MAGIC, MAGIC, sizeof MAGIC);
    put_u32(to + AT_FORMAT, header->format);
    put_u32(to + AT_ROLLING, header->rolling);
    memcpy(to + AT_STORE_ID, header->store_id, STORE_ID_SIZE);
    put_u64(to + AT_SEGMENT_ID, header->segment_id);
    put_u64(to + AT_SALT, header->salt);
    put_u64(to + AT_LENGTH, header->length);
    put_u64(to + AT_ENTRIES, header->entries);
    put_u64(to + AT_KEYS_SIZE, header->keys_size);
    put_u64(to + AT_RECORDS, header->records);
    put_u64(to + AT_TOMBSTONES, header->tombstones);
    put_u64(to + AT_VERSION_MIN, header->version_min);
    put_u64(to + AT_VERSION_MAX, header->version_max);
    put_u64(to + AT_EXPIRES_MIN, header->expires_min);
    put_u64(to + AT_EXPIRES_MAX, header->expires_max);
    put_u32(to + AT_SECTIONS_SIZE, header->sections_size);
    put_u32(to + AT_CHECKSUM, checksum(0, to, AT_CHECKSUM));
}

void hint_entry_encode(uint8_t to[HINT_ENTRY_SIZE], const struct hint_entry *entry)
{
    put_u64(to, entry->hash);
    put_u64(to + 8, entry->version);
    put_u32(to + 16, entry->offset);
    put_u32(to + 20, entry->value_size);
    put_u16(to + 24, entry->key_size);
    put_u16(to + 26, entry->flags);
}

/* The checksum of the page at `from` of an area of `size` bytes. */
static uint32_t page_sum(const uint8_t *area, uint64_t size, uint64_t from)
{
    uint64_t left = size - from;
    return checksum(0, area + from, left < HINT_PAGE ? (size_t)left : HINT_PAGE);
}

/* Over the header and all between the area and the trailer. */
static uint32_t trailer_sum(const uint8_t *file, const uint8_t *page_table, const uint8_t *trailer)
{
    return checksum(checksum(0, file, HINT_HEADER_SIZE), page_table,
                    (size_t)(trailer - page_table));
}

uint32_t hint_filter_section_size(uint64_t entries)
{
    uint64_t size = entries == 0 ? 0 : SECTION_HEADER_SIZE + filter_size(entries);
    CHECK(size <= UINT32_MAX); /* a segment has room for 195 million records at most */
    return (uint32_t)size;
}

static void fill_filter(uint8_t *section, const uint8_t *entries, uint64_t count)
{
    const uint64_t size = filter_size(count);
    uint8_t *filter = section + SECTION_HEADER_SIZE;
    put_u32(section, HINT_SECTION_FILTER);
    put_u32(section + 4, (uint32_t)size);
    memset(filter, 0, size);
    for (uint64_t i = 0; i < count; i++)
        filter_add(filter, size, get_u64(entries + i * HINT_ENTRY_SIZE));
}

void hint_finish(uint8_t *to, const struct hint_header *header)
{
    CHECK(header->sections_size == 0 ||
          header->sections_size == hint_filter_section_size(header->entries));
    const uint64_t size = area_size(header);
    const uint8_t *area = to + HINT_HEADER_SIZE;
    uint8_t *page_table = to + HINT_HEADER_SIZE + size;
    uint8_t *at = page_table;
    for (uint64_t from = 0; from < size; from += HINT_PAGE, at += PAGE_SUM_SIZE)
        put_u32(at, page_sum(area, size, from));
    if (header->sections_size > 0)
        fill_filter(at, area, header->entries);
    at += header->sections_size;
    put_u32(at, trailer_sum(to, page_table, at));
    memcpy(at + 4, TRAILER_MAGIC, sizeof TRAILER_MAGIC);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bitcask_status corrupt(const char **why, const char *phrase)
{
    if (why != NULL)
        *why = phrase;
    return BITCASK_CORRUPT;
}

static void header_decode(const uint8_t *from, struct hint_header *header)
{
    header->format = get_u32(from + AT_FORMAT);
    header->rolling = get_u32(from + AT_ROLLING);
    memcpy(header->store_id, from + AT_STORE_ID, STORE_ID_SIZE);
    header->segment_id = get_u64(from + AT_SEGMENT_ID);
    header->salt = get_u64(from + AT_SALT);
    header->length = get_u64(from + AT_LENGTH);
    header->entries = get_u64(from + AT_ENTRIES);
    header->keys_size = get_u64(from + AT_KEYS_SIZE);
    header->records = get_u64(from + AT_RECORDS);
    header->tombstones = get_u64(from + AT_TOMBSTONES);
    header->version_min = get_u64(from + AT_VERSION_MIN);
    header->version_max = get_u64(from + AT_VERSION_MAX);
    header->expires_min = get_u64(from + AT_EXPIRES_MIN);
    header->expires_max = get_u64(from + AT_EXPIRES_MAX);
    header->sections_size = get_u32(from + AT_SECTIONS_SIZE);
}

/* What is wrong with a header taken by itself; NULL if nothing is. With these bounds, no sum of
 * its sizes overflows. */
static const char *header_fault(const struct hint_header *header)
{
    if (header->format == 0 || header->segment_id == 0 || header->segment_id > SEGMENT_ID_MAX)
        return "header out of range";
    if (header->length < SEGMENT_HEADER_SIZE || header->length > BITCASK_MAX_SEGMENT_SIZE)
        return "segment length out of range";
    const uint64_t room = header->length - SEGMENT_HEADER_SIZE;
    if (header->records > room / (RECORD_HEADER_SIZE + 1) || header->tombstones > header->records ||
        header->entries > header->records)
        return "more records than fit";
    if (header->keys_size > room || header->keys_size < header->entries)
        return "size of the keys out of range";
    if (header->version_min > header->version_max || header->version_max > VERSION_MAX ||
        header->expires_min > header->expires_max)
        return "range out of order";
    return NULL;
}

/* Take in the sections, which follow each other and end where their area ends. What is wrong with
 * them; NULL if nothing is. */
static const char *read_sections(struct hint *hint)
{
    const uint8_t *at = hint->sections.data;
    size_t left = hint->sections.size;
    hint->filter = slice_of(NULL, 0);
    while (left > 0) {
        if (left < SECTION_HEADER_SIZE || get_u32(at + 4) > left - SECTION_HEADER_SIZE)
            return "section out of bounds";
        size_t size = get_u32(at + 4);
        if (get_u32(at) == HINT_SECTION_FILTER) {
            if (!filter_size_ok(size) || hint->filter.size > 0)
                return "filter of an impossible size, or two of them";
            hint->filter = slice_of(at + SECTION_HEADER_SIZE, size);
        }
        at += SECTION_HEADER_SIZE + size;
        left -= SECTION_HEADER_SIZE + size;
    }
    return NULL;
}

bitcask_status hint_open(slice file, struct hint *hint, const char **why)
{
    const uint8_t *from = file.data;
    if (file.size < HINT_HEADER_SIZE + HINT_TRAILER_SIZE)
        return corrupt(why, "shorter than a header and a trailer");
    if (memcmp(from + AT_MAGIC, MAGIC, sizeof MAGIC) != 0)
        return corrupt(why, "not a hint file");
    if (get_u32(from + AT_CHECKSUM) != checksum(0, from, AT_CHECKSUM))
        return corrupt(why, "bad checksum of the header");
    struct hint_header *header = &hint->header;
    header_decode(from, header);
    if (header->format > FORMAT_VERSION)
        return BITCASK_FORMAT;
    const char *fault = header_fault(header);
    if (fault != NULL)
        return corrupt(why, fault);
    if (file.size != hint_file_size(header))
        return corrupt(why, "size differs from what the header says");
    hint->file = from;
    hint->file_size = file.size;
    hint->entries = from + HINT_HEADER_SIZE;
    hint->keys = hint->entries + header->entries * HINT_ENTRY_SIZE;
    hint->page_table = hint->keys + header->keys_size;
    hint->sections =
        slice_of(hint->page_table + page_count(header) * PAGE_SUM_SIZE, header->sections_size);
    const uint8_t *trailer = from + file.size - HINT_TRAILER_SIZE;
    if (memcmp(trailer + 4, TRAILER_MAGIC, sizeof TRAILER_MAGIC) != 0 ||
        get_u32(trailer) != trailer_sum(from, hint->page_table, trailer))
        return corrupt(why, "bad checksum of the trailer");
    fault = read_sections(hint);
    return fault == NULL ? BITCASK_OK : corrupt(why, fault);
}

/* ---- Checking -------------------------------------------------------------------------------- */

bool hint_check(const struct hint *hint, uint64_t from, uint64_t size)
{
    const uint64_t area = area_size(&hint->header);
    if (from > area || size > area - from)
        return false;
    if (size == 0 || PLANTED(hint_unchecked))
        return true;
    const uint64_t last = (from + size - 1) / HINT_PAGE;
    for (uint64_t page = from / HINT_PAGE; page <= last; page++) {
        if (get_u32(hint->page_table + page * PAGE_SUM_SIZE) !=
            page_sum(hint->entries, area, page * HINT_PAGE))
            return false;
    }
    return true;
}

static uint64_t entry_record_size(const struct hint_entry *entry)
{
    return record_size(entry->flags, entry->key_size, entry->value_size);
}

/* What is wrong with an entry taken by itself; NULL if nothing is. */
static const char *entry_fault(const struct hint_header *header, const struct hint_entry *entry)
{
    if ((entry->flags & ~(RECORD_TOMBSTONE | RECORD_EXPIRES)) != 0)
        return "entry with unknown flags";
    if (entry->key_size == 0 || entry->value_size > BITCASK_MAX_VALUE_SIZE ||
        ((entry->flags & RECORD_TOMBSTONE) != 0 &&
         (entry->value_size > 0 || (entry->flags & RECORD_EXPIRES) != 0)))
        return "entry of an impossible record";
    if (entry->version < header->version_min || entry->version > header->version_max)
        return "entry with a version out of range";
    if (entry->offset < SEGMENT_HEADER_SIZE || entry->offset > header->length ||
        entry_record_size(entry) > header->length - entry->offset)
        return "entry beyond the segment";
    return NULL;
}

/* The walk of hint_check_all: the entry before, and the first of its run of equal hashes. */
struct walk {
    struct hint_entry before;
    uint64_t run;      /* index of the first entry with the hash of the one before */
    uint64_t run_keys; /* where the keys of that run begin */
    uint64_t keys;     /* where the next key begins */
    uint64_t bytes;    /* of the records so far */
    uint64_t tombstones;
};

/* More different keys with one 64-bit hash are not looked through: a bound on what a hostile file
 * can cost. */
enum { RUN_MAX = 64 };

/* True if one of the entries from walk->run to `index` has the same key as `index`, `key`. */
static bool key_is_in_run(const struct hint *hint, const struct walk *walk, uint64_t index,
                          slice key)
{
    uint64_t at = walk->run_keys;
    for (uint64_t i = walk->run; i < index && i - walk->run < RUN_MAX; i++) {
        struct hint_entry entry;
        hint_entry_decode(hint->entries + i * HINT_ENTRY_SIZE, &entry);
        if (slice_equal(key, slice_of(hint->keys + at, entry.key_size)))
            return true;
        at += entry.key_size;
    }
    return false;
}

static const char *walk_step(const struct hint *hint, struct walk *walk, uint64_t index)
{
    struct hint_entry entry;
    hint_entry_decode(hint->entries + index * HINT_ENTRY_SIZE, &entry);
    const char *fault = entry_fault(&hint->header, &entry);
    if (fault != NULL)
        return fault;
    if (entry.key_size > hint->header.keys_size - walk->keys)
        return "keys longer than their area";
    if (index > 0 && (entry.hash < walk->before.hash ||
                      (entry.hash == walk->before.hash && entry.offset <= walk->before.offset)))
        return "entries out of order";
    if (index == 0 || entry.hash != walk->before.hash) {
        walk->run = index;
        walk->run_keys = walk->keys;
    } else if (key_is_in_run(hint, walk, index,
                             slice_of(hint->keys + walk->keys, entry.key_size))) {
        return "two entries of one key";
    }
    if (hint->filter.size > 0 && !filter_may_have(hint->filter, entry.hash))
        return "filter without one of the keys"; /* it would have the judge drop a tombstone */
    walk->keys += entry.key_size;
    walk->bytes += entry_record_size(&entry);
    walk->tombstones += (entry.flags & RECORD_TOMBSTONE) != 0;
    walk->before = entry;
    return NULL;
}

bitcask_status hint_check_all(const struct hint *hint, const char **why)
{
    const struct hint_header *header = &hint->header;
    if (!hint_check(hint, 0, area_size(header)))
        return corrupt(why, "bad checksum of a page");
    struct walk walk = {0};
    for (uint64_t i = 0; i < header->entries; i++) {
        const char *fault = walk_step(hint, &walk, i);
        if (fault != NULL)
            return corrupt(why, fault);
    }
    if (walk.keys != header->keys_size)
        return corrupt(why, "keys shorter than their area");
    if (walk.bytes > header->length - SEGMENT_HEADER_SIZE)
        return corrupt(why, "records that overlap");
    if (walk.tombstones > header->tombstones)
        return corrupt(why, "more tombstones than the header says");
    return BITCASK_OK;
}

/* ---- Searching ------------------------------------------------------------------------------- */

/* Hashes are evenly spread, so a guess by interpolation is off by about the square root of the
 * distance. Where they are not (a damaged page), halving ends the search. */
enum { GUESSES_MAX = 16 };

uint64_t hint_lower_bound(const struct hint *hint, uint64_t hash)
{
    uint64_t low = 0, high = hint->header.entries; /* the answer is in [low, high] */
    uint64_t low_hash = 0, high_hash = UINT64_MAX; /* low_hash <= hash <= high_hash */
    for (int guesses = 0; low < high; guesses++) {
        uint64_t middle = low + (high - low) / 2;
        if (guesses < GUESSES_MAX && low_hash < high_hash) {
            unsigned __int128 share = (unsigned __int128)(hash - low_hash) * (high - low);
            middle = low + (uint64_t)(share / (high_hash - low_hash));
            middle = middle < high ? middle : high - 1;
        }
        uint64_t found = get_u64(hint->entries + middle * HINT_ENTRY_SIZE);
        if (found < hash) {
            low = middle + 1;
            low_hash = found;
        } else {
            high = middle;
            high_hash = found;
        }
    }
    return low;
}
