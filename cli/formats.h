/* SPDX-License-Identifier: MIT
 * formats.h: the formats of import and export, as pure functions over bytes.
 *
 * jsonl  One JSON object a line: {"key": ..., "value": ..., "expires_at": ...}. "key_b64" and
 *        "value_b64" (RFC 4648, padded) stand for bytes that are not UTF-8. "expires_at" may be
 *        missing, null or 0 (never), a number (microseconds since 1970), or a string (RFC 3339, or
 *        the number in digits). A member "version" is ignored; any other is an error, so that a
 *        misspelt one is not lost.
 * tsv    KEY TAB VALUE [TAB EXPIRES_AT], with the escapes \t \n \r \\ \0 and \xHH. A carriage
 *        return in front of the newline is dropped: one that belongs to the value is written \r.
 * files  A directory tree. The key of a file is its path relative to the tree, its value the
 *        content; of a symbolic link the value is its target. What else is to be known of the
 *        entry PATH stands under "/.meta/PATH", which no relative path can be:
 *            "file 0755"   a file whose mode is not 0644
 *            "link 0777"   a symbolic link
 *            "dir 0755"    a directory
 *        Of the mode the permissions and the sticky bit are kept; owners, times and hard links
 *        are not.
 *
 * The line formats skip blank lines. What export writes, import reads back byte for byte.
 * Bytes from outside: no input meets an assertion. Threads: safe, one decoder per thread. */
#ifndef CLI_FORMATS_H
#define CLI_FORMATS_H

#include <stdbool.h>
#include <stdio.h>

#include "bitcask.h"

/* One key and what belongs to it. */
struct item {
    bitcask_slice key, value;
    uint64_t expires_us; /* 0: never */
};

/* ---- Lines --------------------------------------------------------------------------------- */

enum line_result {
    LINE_ITEM,  /* an item */
    LINE_BLANK, /* nothing but white space */
    LINE_BAD,   /* malformed: see why */
    LINE_NO_MEMORY,
};

struct line_decoder {
    char why[192];             /* set with LINE_BAD: printable, lower case, no full stop */
    bitcask_buffer key, value; /* of the last item, where it had to be decoded */
    void *tree;                /* of the last JSON line */
};

/* Decode one line, without its newline. Start with a zeroed decoder.
 *   line  untrusted bytes; borrowed for as long as the item is used
 *   item  set with LINE_ITEM: key and value within the limits of a store; valid until the next
 *         call with this decoder */
typedef enum line_result line_decode_fn(struct line_decoder *decoder, bitcask_slice line,
                                        struct item *item);
line_decode_fn jsonl_decode, tsv_decode;

void line_decoder_release(struct line_decoder *decoder);

/* Print one line with its newline; a failure is left to ferror(out). */
typedef void line_encode_fn(FILE *out, const struct item *item);
line_encode_fn jsonl_encode, tsv_encode;

/* What an encoder prints for the largest item is shorter: so much must a reader take. */
#define LINE_MAX_SIZE (6ull * BITCASK_MAX_VALUE_SIZE + 6ull * BITCASK_MAX_KEY_SIZE + 4096)

/* ---- Files --------------------------------------------------------------------------------- */

#define FILES_META_PREFIX "/.meta/"

enum files_kind { FILES_FILE, FILES_LINK, FILES_DIRECTORY };

enum { FILES_META_SIZE = 16, FILES_MODE_MASK = 01777, FILES_PLAIN_MODE = 0644 };

/* "dir 0755" into `to`; returns its size. */
size_t files_meta_encode(char to[FILES_META_SIZE], enum files_kind kind, unsigned mode);

/* False if `text` is no such thing. */
bool files_meta_decode(bitcask_slice text, enum files_kind *kind, unsigned *mode);

/* The key of the metadata of `path` into `to` (which is emptied first). False: out of memory. */
bool files_meta_key(bitcask_buffer *to, bitcask_slice path);

/* If `key` is one of metadata, set *path to what it is about. */
bool files_is_meta_key(bitcask_slice key, bitcask_slice *path);

/* NULL if `path` may be made below a directory: relative, no component empty, "." or "..", no zero
 * byte. Else what is wrong. (Links on the way are for the one who opens it to refuse.) */
const char *files_path_check(bitcask_slice path);

/* ---- Parts of them ------------------------------------------------------------------------- */

/* Make room for `more` bytes behind those in use; at least doubles. False: out of memory. */
bool buffer_reserve(bitcask_buffer *buffer, size_t more);

/* Read a time: RFC 3339 or digits (microseconds since 1970). Anything below 10^14, in 1973, is
 * refused: somebody meant seconds or milliseconds. Returns NULL, or what is wrong. */
const char *expiry_parse(bitcask_slice text, uint64_t *expires_us);
const char *expiry_check(uint64_t expires_us);

/* NULL, or what is wrong with the sizes of `item`. */
const char *item_check(const struct item *item);

/* `bytes` for a message: what is not printable ASCII becomes '?', what is too long is cut. */
void printable(char *to, size_t size, bitcask_slice bytes);

/* Set decoder->why, made printable. Returns LINE_BAD. */
__attribute__((format(printf, 2, 3))) enum line_result line_bad(struct line_decoder *decoder,
                                                                const char *format, ...);

#endif
