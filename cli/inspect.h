/* SPDX-License-Identifier: MIT
 * inspect.h: one file of a store, looked at by itself with the codecs of the format, however
 * damaged it is. Nothing is written and no store is opened. One thread. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include "cli.h"
#include "format/hint.h"
#include "format/manifest.h"
#include "format/record.h"
#include "format/segment_header.h"

enum inspect_kind { INSPECT_DATA, INSPECT_HINT, INSPECT_MANIFEST };

struct inspect_file {
    const char *path;
    const char *name; /* the last component of the path */
    enum inspect_kind kind;
    uint64_t id;          /* of the segment, by the file's name; 0: the name does not tell */
    const uint8_t *bytes; /* mapped */
    uint64_t size;
};

/* Map the file and find out what it is, by its name, else by its content.
 * Returns CLI_DONE; or the exit code of what was reported. */
int inspect_open(struct cli *cli, const char *path, struct inspect_file *file);
void inspect_close(struct inspect_file *file);

/* What is known of a data file before its first record is looked at. */
struct inspect_segment {
    struct inspect_file *file;
    struct segment_header header;
    bitcask_status header_status; /* OK, CORRUPT or FORMAT */
    bool listed;                  /* by the MANIFEST in the same directory: `entry` is set */
    struct manifest_segment entry;
    bool length_known; /* to that MANIFEST: `entry.length` is to be believed */
    bool salt_known;   /* from the header, else from the MANIFEST */
    uint64_t id, salt;
};

void inspect_segment(struct inspect_file *file, struct inspect_segment *segment);

enum inspect_piece_kind {
    PIECE_RECORD, /* a good record */
    PIECE_BAD,    /* bytes that are none, up to the next good record or the end */
    PIECE_ZEROS,  /* zeros up to the end of the file: the tail of a log still being written */
    PIECE_END,
};

struct inspect_piece {
    enum inspect_piece_kind kind;
    uint64_t offset, size; /* bytes */
    struct record record;  /* of a RECORD; borrows from the file */
    const char *why;       /* of a BAD: a static phrase */
};

/* The walk over a data file, record by record. */
struct inspect_walk {
    const uint8_t *bytes;
    uint64_t size, salt;
    uint64_t at;
    uint64_t work; /* bytes that searches may still put through the checksum */
};

void inspect_walk_start(struct inspect_walk *walk, const struct inspect_segment *segment);
void inspect_walk_next(struct inspect_walk *walk, struct inspect_piece *piece);

/* "0123abcd..." of a store or fork id. */
void inspect_id_text(char to[2 * STORE_ID_SIZE + 1], const uint8_t id[STORE_ID_SIZE]);

const char *inspect_state_name(enum manifest_state state);

#endif
