/* SPDX-License-Identifier: MIT
 * hint_file.h: making, writing and opening the hint of a segment.
 *
 * A hint is built by walking the segment's records, sorting them by hash, and keeping the newest
 * of each key. The image in memory is the file, byte for byte, so a segment without a good hint is
 * loaded through the same code as one with: from an image built a moment ago. */
#ifndef ENGINE_HINT_FILE_H
#define ENGINE_HINT_FILE_H

#include "base/hash.h"
#include "engine/segments.h"
#include "format/hint.h"

/* An opened hint: mapped from its file or built in memory. */
struct hint_file {
    struct hint hint; /* borrows `memory` */
    void *memory;
    size_t size;
    bool mapped;
};

/* Collects the records of one segment in the order they stand. */
struct hint_builder {
    struct os *os;
    const struct hash_secret *secret;
    struct hint_build_entry *entries;
    size_t count, capacity;
    struct segment_figures figures;
    uint64_t rolled; /* records that figures.rolling has run over */
};

/* What is not here is read from the record when the hint is laid out, beside its key. */
struct hint_build_entry {
    uint64_t hash;
    uint64_t version; /* of a damaged record not what it says itself */
    uint32_t offset;
    uint16_t key_size;
    uint16_t flags;
};
_Static_assert(sizeof(struct hint_build_entry) == 24, "two million of them for a full segment");

void hint_builder_init(struct hint_builder *builder, struct os *os,
                       const struct hash_secret *secret);
void hint_builder_release(struct hint_builder *builder);

/* Make room for as many records at once, if there is memory; it grows as needed anyway. */
void hint_builder_reserve(struct hint_builder *builder, size_t records);

/* Note the record at `offset` (META ones count for the rolling checksum only, SEAL not at all).
 * `bytes` is the whole record as it stands in the segment. Returns OK or NO_MEMORY. */
bitcask_status hint_builder_add(struct hint_builder *builder, const struct record_shape *shape,
                                const uint8_t *bytes, uint64_t offset);

/* The same for a record whose checksum fails, but whose key can be told: it is in the index then,
 * so that looking it up finds the damage. It does not count for the rolling checksum. */
bitcask_status hint_builder_add_damaged(struct hint_builder *builder,
                                        const struct record_shape *shape, const uint8_t *bytes,
                                        uint64_t offset);

/* Lay out the hint of `segment` for [0, length) in memory. Keys are read from the segment's map.
 * The builder can be released then. Returns OK or NO_MEMORY.
 * Cost: about 100 ns a key; twice the builder's memory meanwhile. */
bitcask_status hint_builder_finish(struct hint_builder *builder, const struct segment *segment,
                                   uint64_t length, struct hint_file *file, bitcask_error *error);

/* Build from the segment's map, which holds good records from the header to `length` (a bad one
 * ends in CORRUPT: scan it instead, engine/scan.h). */
bitcask_status hint_file_build(struct segment *segment, const struct hash_secret *secret,
                               uint64_t length, struct hint_file *file,
                               struct segment_figures *figures, bitcask_error *error);

/* The same of the records in [from, length) only; *figures, set before, go on over them. */
bitcask_status hint_file_build_from(struct segment *segment, const struct hash_secret *secret,
                                    uint64_t from, uint64_t length, struct hint_file *file,
                                    struct segment_figures *figures, bitcask_error *error);

/* Write the image: temporary file, sync, rename, directory sync; sets segment->has_hint. */
bitcask_status hint_file_write(struct segment *segment, const struct hint_file *file,
                               bitcask_error *error);

/* Open and check the hint of `segment` from disk: header, table and trailer, that it belongs to
 * this store, segment, salt and figures, covers at most `length` (*covers says how much), and with
 * `whole` every page and entry. CORRUPT with *why (nullable) if it is no good or not there.
 * Where the segment's rolling checksum is known (check_rolling), it must agree. */
bitcask_status hint_file_open(struct segment *segment, uint64_t length, bool check_rolling,
                              bool whole, struct hint_file *file, const char **why);

/* The salt that a hint on disk with a good header and trailer, of this store and id, says its
 * segment has; for a segment whose own header is damaged. */
bool hint_file_salt(struct segment *segment, uint64_t *salt);

void hint_file_close(struct os *os, struct hint_file *file);

/* Look up a key in an opened hint: the entry of its newest record there. Hashes decide; two keys
 * with one hash are told apart by the keys area. Checks the pages it uses.
 * Returns OK; NOT_FOUND; CORRUPT if a page it needs is bad. */
bitcask_status hint_file_find(const struct hint_file *file, uint64_t hash, slice key,
                              struct hint_entry *entry);

#endif
