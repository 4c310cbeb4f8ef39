/* SPDX-License-Identifier: MIT
 * api.h: what the public functions share. They check arguments, read options, and call the engine.
 *
 * A `bitcask` is the engine's `struct store` under another name. */
#ifndef API_API_H
#define API_API_H

#include "engine/group.h"
#include "engine/reader.h"
#include "engine/store.h"

static inline struct store *api_store(bitcask *db)
{
    return (struct store *)db;
}

/* ---- Checks: OK, or INVALID (FORKED) with a message that names the limit --------------------- */

/* Is there a handle, and is this the process that opened it? */
bitcask_status api_check_store(const bitcask *db, bitcask_error *error);

/* What a follower leaves to the writer ("verify"): what it looks at changes under it. */
bitcask_status api_check_not_following(const bitcask *db, const char *what, bitcask_error *error);

/* The same as api_check_store for something that belongs to a handle. */
bitcask_status api_check_process(const struct store *store, bitcask_error *error);

bitcask_status api_check_key(slice key, bitcask_error *error);
bitcask_status api_check_store_and_key(const bitcask *db, slice key, bitcask_error *error);
bitcask_status api_check_value(slice value, bitcask_error *error);

/* INVALID: "NAME is NULL". */
bitcask_status api_missing(const char *name, bitcask_error *error);

/* ---- Options -------------------------------------------------------------------------------- */

/* Read a struct that begins with struct_size into `full`, which holds the defaults. One of an older
 * header is shorter: the defaults stand for the rest. One of a newer header is longer: what this
 * library does not know must be zero there. `given` may be NULL. */
bitcask_status api_read_struct(void *full, size_t full_size, const void *given, const char *name,
                               bitcask_error *error);

/* Give a result of ours to a struct of the caller's size, of which struct_size is kept. */
void api_write_struct(void *given, const void *full, size_t full_size);

/* Defaults applied, bounds checked. */
bitcask_status api_read_options(const bitcask_options *given, bitcask_options *full,
                                bitcask_error *error);
bitcask_status api_read_write_options(const bitcask_write_options *given,
                                      bitcask_write_options *full, bitcask_error *error);

bitcask_status api_read_read_options(const struct store *store, const bitcask_read_options *given,
                                     struct reader_options *full, bitcask_error *error);

/* ---- The seam of a store (seam.c) ------------------------------------------------------------ */

/* The os that a store with these options runs on: the real one, one in memory, or either with the
 * caller's allocator. NULL if there is no memory. */
struct os *api_os_new(const bitcask_options *options);
void api_os_free(struct os *os);

/* The os that reaches the disk, for what a store in memory is copied to. */
struct os *api_os_disk(struct os *os);

/* ---- Writing --------------------------------------------------------------------------------- */

/* The mode of a write that asks for `sync`. Of the three, `none` asks for nothing, `interval` for a
 * sync within the store's interval, `always` waits until it is durable. */
static inline bitcask_sync api_sync_mode(const struct store *store, bitcask_sync sync)
{
    return sync == BITCASK_SYNC_DEFAULT ? store->options.sync : sync;
}

#endif
