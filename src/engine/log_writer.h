/* SPDX-License-Identifier: MIT
 * log_writer.h: the end of the log: space, appends, rotation, sync.
 *
 * All functions but log_sync_background: the holder of write_mutex. Two ways into the same file:
 *   mapped   memcpy into allocated pages of the mapping, faulted in ahead in steps; for `none` and
 *            `interval` writes on file systems that keep the promise of allocation
 *   pwrite   for large values, for other file systems, and for groups that must be durable at once,
 *            which are gathered in `buffer` and written with one RWF_DSYNC where all before them is
 *            synced, else followed by fdatasync. Mapped stores with a sync each would rewrite a
 *            whole page-cache folio every time. */
#ifndef ENGINE_LOG_WRITER_H
#define ENGINE_LOG_WRITER_H

#include "engine/store.h"
#include "format/names.h"

/* Put aside for deletes: a put leaves as much allocated space behind it. */
enum { LOG_DELETE_RESERVE = 16 << 10 };

/* Bytes kept behind the records for the SEAL record. */
enum { LOG_SEAL_ROOM = 256 };

bitcask_status log_writer_init(struct store *store, bitcask_error *error);
void log_writer_release(struct store *store);

/* Make room for `size` bytes of `records` records in one segment, rotating and allocating as need
 * be, marking the store dirty before the first append, and write a SYNC record if one is due.
 * `buffered`: they go by pwrite, see log_flush. `reserve`: leave LOG_DELETE_RESERVE behind.
 * Versions of `records` new records are covered by the durable ceiling on return.
 * Returns OK; NO_SPACE; LIMIT; IO... nothing is appended then. */
bitcask_status log_make_room(struct store *store, uint64_t size, uint32_t records, bool buffered,
                             bool reserve, bitcask_error *error);

/* Append one record in the room made; sets its version (the next one) unless it is not 0, and
 * *place. Fails only in the pwrite way. */
bitcask_status log_append(struct store *store, struct record *record, bool buffered,
                          struct keydir_place *place, bitcask_error *error);

/* Bring buffered records into the file; with `durable` they, and all before them, are durable on
 * OK. UNKNOWN if a sync failed (the suspect tail has then been dealt with, engine/rescue.h; what
 * has this version or a higher one is given up). */
bitcask_status log_flush(struct store *store, bool durable, uint64_t unpublished_version,
                         bitcask_error *error);

/* Would log_make_room rotate (or start) for as much? */
bool log_would_rotate(const struct store *store, uint64_t size, uint32_t records);

/* Take back what was appended since the mark, which was taken behind log_make_room. Only before it
 * is published. What may have reached the file is zeroed: a stale record must never validate.
 * Returns false if that failed: the store then refuses writes, and what was appended may or may not
 * be there after reopening. */
struct log_mark {
    struct segment *segment;
    uint64_t end;
    size_t buffer_size;
    struct segment_figures figures;
};
void log_get_mark(struct store *store, struct log_mark *mark);
bool log_rewind(struct store *store, const struct log_mark *mark);

/* Bring the buffer into the file, not yet durable: part of log_flush. `flags`: enum os_write_flags.
 */
bitcask_status log_spill(struct store *store, int flags, bitcask_error *error);

/* Tell that all that is appended is published: followers may see it. What a failed sync has put in
 * doubt they may not. */
void log_publish(struct store *store);

/* Make everything appended so far durable, holding write_mutex, all of it published; or from
 * another thread, without. */
bitcask_status log_sync(struct store *store, bitcask_error *error);
bitcask_status log_sync_background(struct store *store, bitcask_error *error);

/* Sync one segment up to its end. Holding sync_mutex. UNKNOWN if it fails, or has failed before. */
bitcask_status log_sync_segment(struct store *store, struct segment *segment, bitcask_error *error);

/* Close the active segment's file for appending: it becomes SEALING, and the next write goes to a
 * new one. Nothing if there is no active segment or it has no records. */
bitcask_status log_rotate(struct store *store, bitcask_error *error);

/* Go on in a fresh segment and leave the active one as it is: for rescue. */
bitcask_status log_switch(struct store *store, bitcask_error *error);

/* Sync the log segments with ids above `after`. Holding sync_mutex. */
bitcask_status log_sync_after(struct store *store, uint64_t after, bitcask_error *error);

/* Make the segment that comes next, if there is none yet. Also called by the background. */
bitcask_status log_prepare_next(struct store *store, uint64_t capacity, bitcask_error *error);

/* Sync, and record the clean length: what close does. */
bitcask_status log_close(struct store *store, bitcask_error *error);

/* The version ceiling of a manifest that is saved from now on. Any thread. */
uint64_t log_new_ceiling(struct store *store);

/* Raise the durable version ceiling if `version` is near it. */
bitcask_status log_raise_ceiling(struct store *store, uint64_t version, bitcask_error *error);

#endif
