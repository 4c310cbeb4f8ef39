/* SPDX-License-Identifier: MIT
 * write_alone.h: a put or delete that nobody stands in the way of.
 *
 * Most writes come when no other one is on its way, want no condition judged and no sync waited
 * for, and fit into room that is there already. For them the steps of a group (engine/group.h) come
 * down to: look the key up, encode the record where it goes while its predecessor's bytes are on
 * their way from memory, see whether that is the same key's, show the new one. Nothing can fail
 * between the first byte written and the end. Whatever is not as simple goes by way of a group, as
 * if nothing had been tried.
 *
 * What such a write waits for is its bucket and then the old record. What comes behind these is
 * kept short and without locked instructions, so that the processor begins with the next write
 * meanwhile (engine/write_mutex.h, keydir_has_movers).
 *
 * Invariants as for a group: W1 (the queue is empty, and write_mutex held), W2 (the index has a
 * place before the record is in the log), W5, L1, L6, F1. */
#ifndef ENGINE_WRITE_ALONE_H
#define ENGINE_WRITE_ALONE_H

#include "engine/group.h"
#include "engine/keydir_direct.h"
#include "engine/store.h"

/* A put or a delete: write_alone_ways.h has them, alone_do_put and alone_do_delete, as a part of
 * the caller, so that it is one function from the check of the arguments on. Here is what they
 * leave to others. */

/* As alone_do_put and alone_do_delete, for who is not the owner of write_mutex. */
bool alone_put_by_mutex(struct store *store, slice key, slice value,
                        const bitcask_write_options *options, uint64_t *version);
bool alone_delete_by_mutex(struct store *store, slice key, const bitcask_write_options *options,
                           uint64_t *version);

/* Where the key's present record is. */
struct alone_present {
    struct keydir_spot spot;
    struct keydir_place place;
    struct segment *segment;
    uint64_t size;
};

/* Encode a record of any size, its flags 0 or TOMBSTONE, and give its checksum. */
uint32_t alone_encode_any(uint8_t *to, const struct record *record, uint64_t salt, uint64_t offset);

/* The record of `size` that has been encoded at the end of the log, and counted in, is not to be
 * (L6). `before` is of log_count_plain. Returns false. */
bool alone_take_back(struct store *store, uint64_t before, bool removes, size_t key_size,
                     uint64_t size);

/* While a merge moves entries, the one that is to be changed too, maybe: point it to `place`, or
 * take it out, and count the old record dead. */
void alone_change_beside_movers(struct store *store, enum write_kind kind, uint64_t hash, slice key,
                                uint64_t version, struct keydir_place place,
                                struct alone_present *old);

#endif
