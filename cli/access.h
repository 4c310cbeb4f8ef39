/* SPDX-License-Identifier: MIT
 * access.h: a store, whoever has it: opened by the command itself, or reached through the server
 * that has it open (remote.h).
 *
 * The functions are those of bitcask.h that the commands for single keys need, with the same
 * results; so is what the commands print. Writes are on disk when they return, unless --sync says
 * otherwise, in either case. */
#ifndef CLI_ACCESS_H
#define CLI_ACCESS_H

#include "cli.h"

struct remote;

struct access {
    struct cli *cli;
    bitcask *db;           /* NULL: through the server */
    struct remote *remote; /* NULL: the store is open here */
};

/* As cli_open_store; the server first. */
int access_open(struct cli *cli, enum cli_mode mode, struct access *access);
int access_close(struct access *access, int exit_code);

bitcask_status access_put(struct access *access, bitcask_slice key, bitcask_slice value,
                          const bitcask_write_options *options, uint64_t *version,
                          bitcask_error *error);
bitcask_status access_delete(struct access *access, bitcask_slice key,
                             const bitcask_write_options *options, bitcask_error *error);
bitcask_status access_expire(struct access *access, bitcask_slice key,
                             const bitcask_write_options *options, uint64_t *version,
                             bitcask_error *error);
bitcask_status access_sync(struct access *access, bitcask_error *error);
bitcask_status access_stat(struct access *access, bitcask_slice key, bitcask_meta *meta,
                           bitcask_error *error);
/* The view is valid until the next call, and released by access_release. */
bitcask_status access_get(struct access *access, bitcask_slice key, bitcask_view *view,
                          bitcask_error *error);
void access_release(struct access *access, bitcask_view *view);

bitcask_status access_count(const struct access *access, uint64_t *keys, bitcask_error *error);

/* Is this a key at all? As the store says it: the server has words of Redis's. */
bitcask_status access_check_key(bitcask_slice key, bitcask_error *error);

#endif
