/* SPDX-License-Identifier: MIT
 * flush.c: deleting all keys.
 *
 * One by one, each only if it still has the version that was met and that is not newer than the
 * beginning. So it is as if all had gone at that moment, for everybody who writes meanwhile; those
 * who read see the keys go one after the other. */
#include "flush.h"

bitcask_status flush_begin(bitcask *store, uint64_t *version, bitcask_error *error)
{
    bitcask_snapshot *snapshot;
    bitcask_status status = bitcask_snapshot_new(store, &snapshot, error);
    if (status == BITCASK_OK)
        *version = bitcask_snapshot_version(snapshot);
    bitcask_snapshot_free(snapshot);
    return status;
}

static bitcask_status delete_entry(bitcask *store, const bitcask_entry *entry, bitcask_sync sync,
                                   bitcask_error *error)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = sync;
    options.flags = BITCASK_IF_VERSION;
    options.if_version = entry->meta.version;
    return bitcask_delete(store, entry->key, &options, NULL, error);
}

bitcask_status flush_all(bitcask *store, uint64_t version, bitcask_sync sync,
                         bool (*step)(void *context, uint64_t done), void *context, uint64_t *done,
                         bitcask_error *error)
{
    bitcask_iterator *iterator = NULL;
    *done = 0;
    bitcask_status status =
        bitcask_iterator_new(store, NULL, bitcask_bytes(NULL, 0), BITCASK_KEYS, &iterator, error);
    while (status == BITCASK_OK) {
        bitcask_entry entry;
        status = bitcask_iterator_next(iterator, &entry, error);
        if (status == BITCASK_CORRUPT) { /* its key cannot be told */
            status = BITCASK_OK;
            continue;
        }
        if (status != BITCASK_OK || entry.meta.version > version)
            continue;
        status = delete_entry(store, &entry, sync, error);
        *done += status == BITCASK_OK;
        if (status >= 0)
            status =
                *done % FLUSH_STEP != 0 || step(context, *done) ? BITCASK_OK : BITCASK_CANCELLED;
    }
    bitcask_iterator_free(iterator);
    return status == BITCASK_END ? BITCASK_OK : status;
}
