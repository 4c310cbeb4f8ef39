/* SPDX-License-Identifier: MIT
 * import.h: the writing half of import, shared by its sources: lines, directory trees, the logs of
 * other Bitcasks. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "access_batch.h"
#include "cli.h"
#include "formats.h"

struct import {
    struct cli *cli;
    struct access access; /* of a dry run: to nothing */
    bool dry_run;
    const char *source;
    bool skip_bad;
    uint64_t batch_entries; /* entries to a write batch */
    size_t batch_bytes;     /* a batch of more is written early */
    struct access_batch batch;
    uint64_t pending; /* entries in the batch */
    FILE *acks;       /* the batch's keys as lines of tsv, in `ack_text`; NULL: no --ack */
    char *ack_text;
    size_t ack_size;
    struct cli_progress progress;
    uint64_t entries, bytes; /* acknowledged */
    uint64_t bad, passed_over;
};

/* All return CLI_DONE to go on, or report what is wrong and return the exit code to stop with.
 *   place  a line of the source, or a file: for messages */

/* Store one item with the batch: it is acknowledged when that is. What is too large to be copied
 * goes at once, behind the batch so far; import_put_now does so with any item. */
int import_put(struct import *import, const char *place, const struct item *item);
int import_put_now(struct import *import, const char *place, const struct item *item);
int import_delete(struct import *import, const char *place, bitcask_slice key);

/* An entry (a line, a file) is complete: write the batch if it is full. */
int import_entry_done(struct import *import, const char *place);

/* Write what is in the batch. */
int import_flush(struct import *import, const char *place);

/* A malformed entry: with --skip-bad it is reported and counted, else what came before it is
 * written and the import stops with `exit_code`. */
__attribute__((format(printf, 4, 5))) int import_bad(struct import *import, int exit_code,
                                                     const char *place, const char *format, ...);

int import_no_memory(struct import *import, const char *place);

/* Keys in the store. */
uint64_t import_key_count(const struct import *import);

/* The sources. */
int import_lines(struct import *import, line_decode_fn *decode);
int import_files(struct import *import);

#endif
