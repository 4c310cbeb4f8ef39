/* SPDX-License-Identifier: MIT
 * merge_output.h: the segments that a merge job writes.
 *
 * Records are framed anew for their new place, gathered in a buffer and written with pwrite. An
 * output that is full gets its SEAL record, is cut to its length and synced, and gets its hint. The
 * last one's SEAL record carries the list of the job's inputs and the number of outputs: if
 * MANIFEST is lost, that is what says that the outputs count and the inputs do not. So it is
 * written only when all other outputs, and the log, are durable.
 *
 * Until the caller publishes them the outputs are in nobody's sight. */
#ifndef ENGINE_MERGE_OUTPUT_H
#define ENGINE_MERGE_OUTPUT_H

#include "engine/store.h"

struct merge_output {
    struct store *store;
    const uint64_t *inputs; /* ids, for the last SEAL record; borrowed */
    size_t input_count;
    uint64_t expected_bytes; /* still to come, for allocating ahead; a guess */

    struct segment **segments; /* sealed ones, and behind them the open one */
    size_t count, capacity;
    bool open;              /* the last of them is still being written */
    uint64_t limit;         /* its records end at or below */
    uint64_t end;           /* where its next record goes */
    uint64_t records;       /* in it */
    uint64_t written_bytes; /* in all of them, as files */

    uint8_t *buffer;
    size_t buffered;
    uint64_t buffer_offset; /* where it goes */
    uint64_t unsynced;      /* bytes written to the open output since its last sync */
};

/* Returns OK or NO_MEMORY. */
bitcask_status merge_output_init(struct merge_output *output, struct store *store,
                                 const uint64_t *inputs, size_t input_count,
                                 uint64_t expected_bytes, bitcask_error *error);

/* Append `record` with its version, flags, expiry, key and value; *place says where it will be.
 * Returns OK; NO_SPACE, IO, LIMIT, NO_MEMORY: then only merge_output_release may follow. */
bitcask_status merge_output_add(struct merge_output *output, const struct record *record,
                                struct keydir_place *place, bitcask_error *error);

/* Seal the last output; with none, and `even_empty`, make an empty one for the sake of its SEAL
 * record. All outputs are durable on OK. A hint that has no space is left out: it is a cache. */
bitcask_status merge_output_finish(struct merge_output *output, bool even_empty,
                                   bitcask_error *error);

/* Write the hints that there was no space for; best effort. */
void merge_output_retry_hints(struct merge_output *output);

enum merge_output_fate {
    MERGE_OUTPUT_KEEP,   /* they are published: the table has them */
    MERGE_OUTPUT_FORGET, /* the manifest on disk may name them: leave the files alone */
    MERGE_OUTPUT_DELETE,
};
void merge_output_release(struct merge_output *output, enum merge_output_fate fate);

#endif
