/* SPDX-License-Identifier: MIT
 * foreign.h: the logs of other Bitcasks, as pure functions over bytes.
 *
 * A store of another Bitcask is a directory of numbered data files. Read in the order of their
 * numbers, each from its start, they are one log: of the records of a key the last one counts.
 * A layout is a name ("riak"), the names of its files, and a decoder for one record:
 *
 *     struct foreign_decoder decoder = {0};
 *     struct foreign_input input = {bytes of the file from `offset` on, offset, left};
 *     struct foreign_record record;
 *     switch (layout->decode(&decoder, &input, &record)) {
 *     case FOREIGN_RECORD: ... record.key, record.value ... offset += record.size;
 *     case FOREIGN_MORE:   ... call again with at least record.size bytes ...
 *
 * What each layout looks like, byte by byte, and what is decided where it leaves something open:
 * docs/IMPORT.md. Hint and index files are never read: the log is the truth.
 *
 * Bytes from outside: no input meets an assertion, and no size is believed before it is checked
 * against what is left of the file. Memory: one record, at most FOREIGN_RECORD_MAX bytes. Threads:
 * safe, one decoder per thread. */
#ifndef CLI_FOREIGN_H
#define CLI_FOREIGN_H

#include <stdbool.h>

#include "bitcask.h"

enum { FOREIGN_HEADER_MAX = 32 };

/* A record of more bytes than this cannot become an item of a store; it is passed over unread. */
#define FOREIGN_RECORD_MAX \
    ((uint64_t)BITCASK_MAX_VALUE_SIZE + 6 * BITCASK_MAX_KEY_SIZE + FOREIGN_HEADER_MAX)

enum foreign_result {
    FOREIGN_RECORD,  /* a record of record->size bytes */
    FOREIGN_NOTHING, /* record->size bytes that are none, and rightly so */
    FOREIGN_MORE,    /* at least record->size bytes are needed: more than were given, not more than
                        are left */
    FOREIGN_DAMAGED, /* the next record->size bytes are passed over: see record->why */
    FOREIGN_TORN,    /* nothing from here on can be read: see record->why */
    FOREIGN_NO_MEMORY,
};

struct foreign_record {
    bitcask_slice key, value; /* valid until the next call; the sizes are the file's, unlimited */
    bool deleted;             /* a tombstone; `value` is empty */
    uint64_t time_us;         /* when it was written, since 1970; 0: not known */
    uint64_t size;            /* bytes of the file; 0 only for what is torn or began before */
    uint64_t behind;          /* DAMAGED, TORN: it began so many bytes before this place */
    const char *why;          /* lower case, no full stop; static */
};

struct foreign_input {
    bitcask_slice bytes; /* untrusted; borrowed for the call and as long as the record is used */
    uint64_t offset;     /* of the first of them in the file */
    uint64_t left;       /* bytes of the file from there on: bytes.size or more */
};

/* Start with a zeroed one, with the options wanted; the same decoder may read any number of files.
 */
struct foreign_decoder {
    bool decoded_keys;         /* riak: TYPE/BUCKET/KEY instead of the key's bytes */
    bool text_values;          /* pybitcask: a JSON string's text instead of the JSON */
    bool searching;            /* pybitcask: for the next record behind what was lost, */
    uint64_t lost_at;          /* from this offset on, */
    const char *why;           /* for this reason */
    bitcask_buffer key, value; /* of the last record, where they had to be decoded */
};

void foreign_decoder_release(struct foreign_decoder *decoder);

/* Decode what stands at the start of `input`, which is not empty. */
typedef enum foreign_result foreign_decode_fn(struct foreign_decoder *decoder,
                                              const struct foreign_input *input,
                                              struct foreign_record *record);
foreign_decode_fn foreign_riak_decode, foreign_pybitcask_decode, foreign_bitcaskpy_decode,
    foreign_cask_decode;

/* ---- Layouts ------------------------------------------------------------------------------- */

struct foreign_layout {
    const char *name;            /* "riak": the value of --format */
    const char *prefix, *suffix; /* of a data file's name, around its number */
    const char *shown;           /* "N.bitcask.data" */
    const char *lock;            /* a file that is there while the store is open; NULL: none */
    unsigned pending_mode;       /* a data file with any of these mode bits awaits deletion */
    foreign_decode_fn *decode;
};

/* All of them, ended by one without a name. */
extern const struct foreign_layout foreign_layouts[];

/* NULL if there is none of that name. */
const struct foreign_layout *foreign_layout_named(const char *name);

enum foreign_name {
    FOREIGN_NAME_OTHER,  /* not a data file */
    FOREIGN_NAME_DATA,   /* *number is set */
    FOREIGN_NAME_STRANGE /* nearly one: the number has leading zeros or is too large */
};

enum foreign_name foreign_name_parse(const struct foreign_layout *layout, const char *name,
                                     uint64_t *number);

/* ---- Parts of the decoders ----------------------------------------------------------------- */

/* What a decoder says. Each returns its result. */
enum foreign_result foreign_more(struct foreign_record *record, uint64_t size);
enum foreign_result foreign_damaged(struct foreign_record *record, uint64_t size, const char *why);
enum foreign_result foreign_torn(struct foreign_record *record, const char *why);

/* A record said to be of `size` bytes: FOREIGN_RECORD if all of them are there. TORN if the file
 * ends before; DAMAGED if it is too large to be kept. */
enum foreign_result foreign_need(const struct foreign_input *input, uint64_t size,
                                 struct foreign_record *record);

/* Are the first `size` bytes, all that are given, zeros? That is what a power cut leaves behind. */
bool foreign_is_zero(bitcask_slice bytes, size_t size);

/* A time whose unit nobody wrote down: seconds, milliseconds, microseconds or nanoseconds since
 * 1970, told by the magnitude (a time between 1973 and 5138 has one reading only). */
uint64_t foreign_time_us(uint64_t time);

/* Scan one JSON value at the start of `text`, spaces in front of it included. Returns the bytes up
 * to its end, 0 if it is none or ends too early. As Python's json module prints it: NaN, Infinity
 * and -Infinity are numbers. Strings are checked for form, UTF-8 and escapes. Never recurses.
 *   value  set to the value without the spaces */
size_t foreign_json_scan(bitcask_slice text, bitcask_slice *value);

/* The text of a JSON string that was scanned, quotes included.
 *   text  set to its bytes; in `room` if there were escapes to decode, else where they are
 * Returns FOREIGN_RECORD; FOREIGN_DAMAGED if it holds half of a surrogate pair, which no UTF-8 can
 * say; FOREIGN_NO_MEMORY. */
enum foreign_result foreign_json_text(bitcask_slice string, bitcask_buffer *room,
                                      bitcask_slice *text);

static inline uint16_t foreign_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t foreign_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t foreign_be64(const uint8_t *p)
{
    return (uint64_t)foreign_be32(p) << 32 | foreign_be32(p + 4);
}

#endif
