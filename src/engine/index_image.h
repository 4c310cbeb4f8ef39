/* SPDX-License-Identifier: MIT
 * index_image.h: the image of the index on disk: writing it, opening it, and what it is good for.
 *
 * An image makes opening a store independent of the number of its keys: shards are fetched from it
 * when they are first looked at (engine/keydir.h), and only what was written to the log behind it
 * is read. It is a cache: without it, or if anything about it is wrong, the index is loaded from
 * the hints as if it were not there. Format: docs/FORMAT.md, section 9. Invariants I1 to I5.
 *
 * What an image says
 * ------------------
 * Shards are copied one by one while writers go on, so it is the index at no one moment. `from`
 * is the position of the log before the first was copied, `length` the one behind the last, both
 * taken between two groups of writes; a copied entry is as new as `from` at least, and points below
 * `length`. Applying the records in [from, length) to it, each if its version is higher than that
 * of the record its key has, gives the index at `length` exactly: what had already been copied is
 * met again and changes nothing. The live figures are those at `length`, so they are not touched by
 * that; they are by the records behind `length`, which are applied in the same way.
 *
 * When it is good
 * ---------------
 * It was synced when the log was durable up to `length`, and names every segment it points into. It
 * is refused unless each of these is there, with the same salt, at least as long, undamaged, and
 * the rolling checksum of its records up to `length` leads to the one that the manifest has (or
 * recovery has found). So a merge that replaces one of them ends its use, and so does a cut below
 * `length`. */
#ifndef ENGINE_INDEX_IMAGE_H
#define ENGINE_INDEX_IMAGE_H

#include "engine/store.h"
#include "format/index_image.h"

/* ---- Writing (index_image_write.c) ---------------------------------------------------------- */

/* Is it time to write one? By how much of the log an opening now would have to go through:
 * at close that and a quarter of the image's size; while open, sixteen times as much. */
bool index_image_is_due(struct store *store, bool closing);

/* Write one, and replace the one before: temporary file, sync, rename, directory sync. Takes
 * merge_mutex for as long, or gives up at once if it is held; then write_mutex, twice, for as long
 * as it takes to note positions.
 *   go_on   called between parts of some MiB, no lock held but merge_mutex; false: give up. Or NULL
 * Returns OK; CANCELLED if it gave up; LIMIT if the store is in no state to have one (a damaged or
 * missing segment); NO_MEMORY, NO_SPACE, IO... The image before is still there then. */
bitcask_status index_image_write(struct store *store, bool (*go_on)(struct store *store),
                                 bitcask_error *error);

/* ---- Opening (index_image.c) ---------------------------------------------------------------- */

/* An opened image: header and tables checked, shards not. */
struct index_image {
    struct os *os;
    struct os_file *file;
    uint64_t file_size;
    struct image_header header;
    uint8_t *tables;   /* malloc'd, header.segment_count of struct image_segment and so on */
    uint64_t *offsets; /* of each shard */
    uint64_t ahead_to; /* the system has been told that all below will be read */
    uint8_t *bytes;    /* of one shard */
    struct store *store;

    struct image_place_limit *limits; /* by the slot numbers of the image; NULL until mapped */
};

/* What a slot number of the image is here. */
struct image_place_limit {
    uint32_t slot;   /* 0: no such segment */
    uint64_t length; /* offsets are below */
};

/* Open the file: header and tables. *image is malloc'd, for index_image_close. Returns OK;
 * NOT_FOUND; CORRUPT with *why, or CONFLICT if it is of another store; NO_MEMORY. Cost: O(shards).
 */
bitcask_status index_image_open(struct store *store, struct index_image **image, const char **why);
void index_image_close(struct index_image *image); /* NULL allowed */

/* Read shard `index` and check it; its bytes are in image->bytes. OK, CORRUPT or IO. */
bitcask_status index_image_read(struct index_image *image, uint32_t index);

/* Give the image to the (new, empty) keydir, which closes it in the end: also on failure. `limits`
 * have been set. OK, CORRUPT or NO_MEMORY. */
bitcask_status index_image_attach(struct index_image *image, bitcask_error *error);

/* ---- The log behind it (index_replay.c) ----------------------------------------------------- */

/* What an opening knows of a segment. */
struct replay_segment {
    struct segment *segment;
    const struct hint_file *hint; /* of all of it; NULL: one is made of what is behind */
    bool covered;                 /* the image names it: */
    struct image_segment image;
};

/* Bring the attached keydir and the live figures (set from the image before) up to the ends of the
 * segments. Returns OK; CORRUPT with *why if the image cannot be used: the keydir is then to be
 * thrown away; NO_MEMORY. *records: how many were applied, the newest of each key in a segment. */
bitcask_status index_replay(struct store *store, const struct replay_segment *segments,
                            size_t count, uint64_t *records, const char **why);

#endif
