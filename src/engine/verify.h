/* SPDX-License-Identifier: MIT
 * verify.h: read every byte of an open store and say what is wrong with it. */
#ifndef ENGINE_VERIFY_H
#define ENGINE_VERIFY_H

#include "engine/store.h"

/* As bitcask_verify. Checks: the manifest (parses, names what is open), each segment's header, each
 * record up to its end, the figures, that each index entry's record is the key's; each hint, page
 * by page, and that it says what the data says; files that are named and not there. Files in the
 * directory that nobody names are notes.
 * Holds merge_mutex, so that no file goes away under it, for a look at the directory, for what is
 * to be asked of one segment's files, for one shard of the index: not while it reads records. */
bitcask_status verify_run_with(struct store *store, const bitcask_verify_options *options,
                               bitcask_verify_result *result, bitcask_error *error);

/* The same with no options but `finding`. */
bitcask_status verify_run(struct store *store,
                          int (*finding)(void *context, const bitcask_finding *finding),
                          void *context, bitcask_verify_result *result, bitcask_error *error);

#endif
