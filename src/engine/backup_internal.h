/* SPDX-License-Identifier: MIT
 * backup_internal.h: what the parts of a backup share.
 *
 *     backup.c         the course; SOURCE at one moment
 *     backup_dest.c    DEST: may it be written to, what is there already, what has to go
 *     backup_files.c   one segment: link, copy, hint */
#ifndef ENGINE_BACKUP_INTERNAL_H
#define ENGINE_BACKUP_INTERNAL_H

#include "engine/backup.h"
#include "engine/hint_file.h"
#include "engine/inventory.h"
#include "engine/pace.h"
#include "format/manifest.h"

/* A segment of the look; the manifest's entry of the same index says what DEST will call it. */
struct backup_item {
    struct segment *segment; /* pinned */
    bool sealed;             /* in the look: its hint, if any, is of all of it */
    bool fixed;              /* and in the durable manifest: B3 */
    bool done;
    bool late_hint;        /* to be brought when the manifest is written; see backup_files.c */
    struct hint_file hint; /* built for what has none; memory NULL: none */
};

struct backup {
    struct store *store;
    const bitcask_backup_options *options;
    struct segments dest; /* only os and directory: for paths and the manifest */
    struct os_lock *lock;
    struct inventory there; /* the files of DEST before */
    struct manifest before; /* of DEST; nothing if has_before is false */
    bool has_before;
    struct manifest after;
    struct backup_item *items; /* one for each segment of `after` */
    struct pace pace;
    uint8_t *buffer; /* PACE_CHUNK_MAX bytes */
    uint64_t done_bytes, total_bytes;
    bitcask_backup_result result;
};

/* Make DEST if need be, lock it, and see whether a backup of this store may go there; with no
 * manifest there, mark it unfinished. Returns OK; STORE_EXISTS with what to do instead; LOCKED;
 * FORMAT, CORRUPT, NO_SPACE, IO, NO_MEMORY. */
bitcask_status backup_dest_open(struct backup *backup, const char *directory, bitcask_error *error);
void backup_dest_close(struct backup *backup);

/* Sync DEST's directory, write its manifest, and only then remove what it does not name. */
bitcask_status backup_dest_finish(struct backup *backup, bitcask_error *error);

/* Does DEST's manifest of before name this id; and with the same bytes? */
bool backup_dest_names(const struct backup *backup, uint64_t id);
bool backup_dest_has(const struct backup *backup, const struct manifest_segment *entry);

/* Bring segment `i` of the look to DEST: with `links_only`, if that takes no copying. */
bitcask_status backup_segment(struct backup *backup, size_t i, bool links_only,
                              bitcask_error *error);

/* Bring the hints that had to wait for the manifest; what cannot be is made when DEST is opened. */
void backup_late_hints(struct backup *backup);

/* Replace a file of DEST by `bytes`: temporary file, sync, rename. */
bitcask_status backup_put_file(struct backup *backup, const char *name, const char *temporary,
                               slice bytes, bitcask_error *error);

/* Count `bytes` as done and tell of it. CANCELLED if the caller has had enough. */
bitcask_status backup_progress(struct backup *backup, uint64_t bytes);

#endif
