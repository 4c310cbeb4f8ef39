/* SPDX-License-Identifier: MIT
 * words.h: what a command makes of its words: numbers, options, times. */
#ifndef SERVER_WORDS_H
#define SERVER_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "bitcask.h"

struct client;

/* Is it that name, in any case? `name` in capitals. */
bool word_is(bitcask_slice word, const char *name);

/* A number as Redis takes it: decimal, no sign but -, no spaces, no leading zeros, 64 bits. */
bool word_to_integer(bitcask_slice word, int64_t *number);

/* A number with a fraction, as strtold takes it, no spaces around. */
bool word_to_long_double(bitcask_slice word, long double *number);
bool word_to_double(bitcask_slice word, double *number);

/* The same; "value is not an integer or out of range" is replied. */
bool word_integer(struct client *client, bitcask_slice word, int64_t *number);

/* The same for 32 bits: the number of a database. */
bool word_integer_32(struct client *client, bitcask_slice word, int64_t *number);

/* When something expires, out of "EX 10" and the like.
 *   seconds   else milliseconds
 *   absolute  else from the client's now on
 * Replies an error that names `command` if it is no number, or not after 1970 began. */
bool word_expiry(struct client *client, bitcask_slice word, bool seconds, bool absolute,
                 const char *command, uint64_t *expires_us);

/* A value longer than proto-max-bulk-len is refused: returns false, and has replied. */
bool value_size_fits(struct client *client, uint64_t size);

void reply_syntax_error(struct client *client);

/* Of a subcommand that has words it does not know. */
void reply_subcommand_error(struct client *client, const bitcask_slice *words);

/* The lines of a HELP subcommand: those of a command, with its frame. `lines` ends with NULL. */
void reply_help(struct client *client, bitcask_slice command, const char *const *lines);

#endif
