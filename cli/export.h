/* SPDX-License-Identifier: MIT
 * export.h: what the sources of the command export share. */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "cli.h"
#include "formats.h"

struct export
{
    struct cli *cli;
    bitcask *db;
    bitcask_snapshot *snapshot; /* what is exported */
    const char *output;         /* NULL: the standard output */
    bitcask_slice prefix;
    uint64_t file_size; /* cask: bytes at which a new file is begun */
    struct cli_progress progress;
    uint64_t entries, bytes;
    uint64_t damaged; /* entries that could not be read */
    uint64_t refused; /* keys that could not be made files */
};

/* Called for each entry. Returns CLI_DONE to go on, or reports and returns what to stop with. */
typedef int export_fn(struct export *export, void *context, const bitcask_entry *entry);

/* Walk the keys with a prefix. Damaged entries are reported and counted, and passed over. */
int export_walk(struct export *export, bitcask_slice prefix, int what, export_fn *each,
                void *context);

/* Open export->output as a directory, made if need be; it must be empty. */
int export_open_directory(struct export *export, int *directory);

/* Make the tree of files below export->output. */
int export_files(struct export *export);

/* Make cask.N and cask.N.hint in export->output. */
int export_cask(struct export *export);

#endif
