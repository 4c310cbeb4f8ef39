/* SPDX-License-Identifier: MIT
 * resp.h: the Redis protocol's requests, out of bytes as they come.
 *
 * A request is an array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") or an inline command (a
 * line of words, with quotes as redis-cli has them). The parser is fed a buffer that only ever
 * grows at its end, remembers how far it came, and never looks at a byte of a bulk string; the
 * words of a request point into that buffer. Specification:
 * https://redis.io/docs/reference/protocol-spec/ and the behaviour of redis-server 7.0, whose error
 * texts it has. In one thing it is stricter: a bulk string must be followed by CR and LF, where
 * redis-server skips two bytes whatever they are.
 *
 * Pure: no I/O, no memory but the array of words. */
#ifndef SERVER_RESP_H
#define SERVER_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitcask.h"

struct resp_limits {
    size_t max_words;     /* of a request: 1,048,576; 10 before authentication */
    size_t max_bulk;      /* bytes of a word: proto-max-bulk-len; 16,384 before authentication */
    size_t max_inline;    /* bytes of a line: 65,536 */
    bool unauthenticated; /* what is too large is told as such */
};

enum resp_result {
    RESP_MORE,    /* the request is not there yet as a whole */
    RESP_REQUEST, /* parser->words[0 .. word_count) */
    RESP_EMPTY,   /* an empty line or array: nothing to do */
    RESP_BAD,     /* parser->error: "Protocol error: ..."; the connection is to be closed */
};

struct resp_parser {
    bitcask_slice *words; /* into the buffer, valid until it is moved or cut. Of a request that is
                             not whole yet `data` is an offset, for the buffer may move */
    size_t word_count, word_capacity;
    size_t consumed;    /* bytes of the buffer up to the end of this request */
    const char *error;  /* static, or error_text */
    bool is_inline;     /* the request was a line of words */
    size_t wanted;      /* after MORE: bytes that the buffer must have for the word at hand */
    size_t scanned;     /* bytes dealt with of a request that is not whole yet */
    int64_t words_left; /* 0: at the start of a request */
    int64_t bulk_left;  /* size of the word at hand; -1: its length is to be read */
    char error_text[48];
};

void resp_init(struct resp_parser *parser);
void resp_release(struct resp_parser *parser);

/* Look for the next request in `size` bytes at `data`, the rest of the input behind what has been
 * consumed. After REQUEST and EMPTY the caller drops `consumed` bytes before the next call.
 *   data  of an inline request the words are unquoted where they stand: it is written to
 * After BAD the parser is of no more use. Cost: O(words), and of a line its length, each byte once.
 */
enum resp_result resp_parse(struct resp_parser *parser, const struct resp_limits *limits,
                            char *data, size_t size);

/* A glance at the request that begins at `data`: its second word, a key mostly, if it is an array
 * and that word is there as a whole. Nothing is promised where it returns false. */
bool resp_peek_key(const char *data, size_t size, bitcask_slice *key);

#endif
