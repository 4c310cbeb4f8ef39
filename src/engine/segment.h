/* SPDX-License-Identifier: MIT
 * segment.h: one segment: its file, its mapping, its figures, and who holds it.
 *
 * Life of a log segment: ACTIVE (appended to, or prepared to be next) -> SEALING (full; the
 * background syncs it, writes its SEAL record and hint) -> SEALED (never changes again) -> retired
 * (a merge has moved its live records elsewhere and unlinked it) -> released, when the last reader
 * and the last pin have left. Merge outputs begin SEALED.
 *
 * Pins: `pins` counts the table's own hold and one for each iterator and some views. A reader
 * inside an epoch that found a place may pin its segment; after that it needs no epoch. The last to
 * let go unmaps. The slot number is not used again before that. Most views are counted apart, with
 * all those of the segment relying on the table's hold (engine/view_pins.h).
 *
 * Threads: immutable after segment_new are os, table, id, slot, kind, salt, map, map_size, copied.
 * Atomics may be read by anyone. `file` belongs to the writer while ACTIVE, to the sealer while
 * SEALING. */
#ifndef ENGINE_SEGMENT_H
#define ENGINE_SEGMENT_H

#include <stdatomic.h>

#include "base/error.h"
#include "engine/epoch.h"
#include "engine/keydir.h"
#include "format/manifest.h"
#include "format/record.h"
#include "format/segment_header.h"
#include "os/os.h"

struct segments;

/* What a touched page brings along, engine/read_ahead.h. */
enum segment_reads {
    SEGMENT_READS_LOG, /* the log's affair while it is filled */
    SEGMENT_READS_SINGLE,
    SEGMENT_READS_WIDE,
};

/* Exact figures of all records of a segment below some length: what hint, SEAL and manifest say. */
struct segment_figures {
    uint64_t records, tombstones;
    uint64_t version_min, version_max; /* 0, 0 if there are no records */
    uint64_t expires_min, expires_max; /* 0, 0 if none expires */
    uint64_t expiring;                 /* records that expire; 0 as well if it is not known */
    uint32_t rolling;
};

struct segment {
    /* What look-ups read, on a line that changes seldom. */
    _Alignas(64) const uint8_t *map; /* NULL if the file is missing */
    size_t map_size;
    uint64_t salt;
    _Atomic uint64_t readable; /* bytes of the mapping that may be touched */
    _Atomic uint64_t suspect;  /* records at or above this offset were in a sync that failed and
                                  could not be copied away: reads fail. UINT64_MAX: none */
    uint64_t id;
    struct segments *table;
    uint32_t slot;
    enum segment_kind kind;

    _Alignas(64) _Atomic uint32_t pins;
    _Atomic uint32_t retired;
    struct os *os;
    struct epoch_item retirement;
    struct segment *next_dead; /* in the table's list */
    uint64_t created_us;
    bool copied;          /* `map` is memory of ours, with what has been read from `file` */
    uint8_t *writable;    /* the same bytes for writing while ACTIVE: `map` itself, or, in a segment
                             that was reopened, a second mapping; else NULL */
    bool remapped;        /* `writable` is a second mapping, even if at the same address */
    struct os_file *file; /* open while ACTIVE or SEALING, or copied, else NULL */

    _Atomic uint32_t state;       /* enum bitcask_segment_state */
    _Atomic uint32_t sync_failed; /* a sync of it failed: never sync it again, rescue */
    bool tail_left; /* sealed, but bytes that are no part of it stand behind its end: rescue.h */
    _Atomic bool large_pages; /* asked for, engine/log_pages.h */
    /* Pages in between have been asked for as small ones, and from `unsettled` on the cache may
     * have large ones yet, 0: no; engine/log_pages.h. */
    _Atomic uint64_t small_from, small_to, unsettled;
    _Atomic uint32_t reads;     /* enum segment_reads: what it has been given */
    _Atomic uint64_t populated; /* of the active one: pages below are faulted in */
    _Atomic uint64_t synced;    /* everything below is durable */
    _Atomic uint64_t sealed_us, synced_us;
    _Atomic uint32_t damaged;     /* some record fails its checksum: no merge input */
    _Atomic uint32_t merging;     /* an input of the merge that runs: to be shown, nothing else */
    _Atomic uint32_t has_hint;    /* a verified hint is on disk */
    _Atomic uint64_t hint_length; /* what the hint on disk covers, as far as is known; 0: none */

    /* What the writer changes with each record. */
    _Alignas(64) _Atomic uint64_t end; /* of the records: grows while ACTIVE, then the logical
                                          length */
    _Atomic uint64_t hint_bytes; /* size of its hint; before it has one, what that will take */

    /* Of all records; exact once sealed (from the hint build), kept up by the writer before. */
    _Atomic uint64_t records, tombstones; /* what figures will say, readable by anyone */
    _Atomic uint64_t version_min, version_max;

    /* Of the records that the index points to. */
    _Atomic uint64_t live_records, live_bytes;

    struct segment_figures figures;
};

/* How sure are we that the record at a place is this key's? */
enum segment_proof {
    PROOF_MATCH,    /* it is */
    PROOF_OTHER,    /* it is a valid record of another key */
    PROOF_UNPROVEN, /* it cannot be told: damaged, missing or suspect */
};

/* A record looked at in place. */
struct segment_record {
    struct record_shape shape;
    const uint8_t *bytes; /* of the record, in the mapping */
};

static inline slice segment_record_key(const struct segment_record *record)
{
    return slice_of(record->bytes + record->shape.header_size, record->shape.key_size);
}

static inline slice segment_record_value(const struct segment_record *record)
{
    return slice_of(record->bytes + record->shape.header_size + record->shape.key_size,
                    record->shape.value_size);
}

/* Decide whether the record at `offset` is `key`'s; `verify`: check the checksum of a match too.
 * Inside an epoch or with a pin. `record` is set on MATCH and OTHER. */
#ifdef SEGMENT_PROVE_APART /* a test puts a step in front of it */
enum segment_proof segment_prove(const struct segment *segment, uint32_t offset, slice key,
                                 bool verify, struct segment_record *record);
#else
static inline enum segment_proof segment_prove(const struct segment *segment, uint32_t offset,
                                               slice key, bool verify,
                                               struct segment_record *record);
#endif

/* Read the record at `offset` whatever its key, checking its checksum: OK, CORRUPT with *why. */
static inline bitcask_status segment_read(const struct segment *segment, uint64_t offset,
                                          struct segment_record *record, const char **why);

/* Ask for the first lines of a record at once, so that its key and value are not waited for after
 * its header. A prefetch cannot fault; arithmetic on integers, because there may be no map. */
static inline void segment_prefetch(const struct segment *segment, uint32_t offset)
{
    uintptr_t record = (uintptr_t)segment->map + offset;
    for (unsigned line = 0; line < 3; line++)
        PREFETCH(record + line * 64);
}

static inline uint64_t segment_dead_bytes(const struct segment *segment)
{
    uint64_t end = atomic_load_explicit(&segment->end, memory_order_relaxed);
    uint64_t live = atomic_load_explicit(&segment->live_bytes, memory_order_relaxed);
    uint64_t used = end > SEGMENT_HEADER_SIZE ? end - SEGMENT_HEADER_SIZE : 0;
    return used > live ? used - live : 0;
}

static inline void segment_add_live(struct segment *segment, uint64_t records, uint64_t bytes)
{
    atomic_fetch_add_explicit(&segment->live_records, records, memory_order_relaxed);
    atomic_fetch_add_explicit(&segment->live_bytes, bytes, memory_order_relaxed);
}

static inline void segment_drop_live(struct segment *segment, uint64_t records, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&segment->live_records, records, memory_order_relaxed);
    atomic_fetch_sub_explicit(&segment->live_bytes, bytes, memory_order_relaxed);
}

/* Count one record of a key. */
void segment_figures_add(struct segment_figures *figures, const struct record_shape *shape);

/* Take over exact figures (from a hint, a scan or the manifest). Takes the table's mutex, which
 * guards `figures`. */
void segment_set_figures(struct segment *segment, const struct segment_figures *figures);

/* The head's, for a record that it has just appended: nobody else counts in a segment that is not
 * published to its end. */
static inline void segment_add_live_appended(struct segment *segment, uint64_t bytes)
{
    uint64_t records = atomic_load_explicit(&segment->live_records, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&segment->live_bytes, memory_order_relaxed);
    atomic_store_explicit(&segment->live_records, records + 1, memory_order_relaxed);
    atomic_store_explicit(&segment->live_bytes, before + bytes, memory_order_relaxed);
}

/* The same when a record dies and nobody else counts in its segment: it is the active one, at which
 * merges do not look, or no entries are being moved (keydir_has_movers). */
static inline void segment_drop_live_alone(struct segment *segment, uint64_t bytes)
{
    uint64_t records = atomic_load_explicit(&segment->live_records, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&segment->live_bytes, memory_order_relaxed);
    atomic_store_explicit(&segment->live_records, records - 1, memory_order_relaxed);
    atomic_store_explicit(&segment->live_bytes, before - bytes, memory_order_relaxed);
}

/* Inside an epoch, or holding a pin. */
static inline void segment_pin(struct segment *segment)
{
    CHECK(atomic_fetch_add_explicit(&segment->pins, 1, memory_order_relaxed) > 0);
}

/* Any thread; the last one frees it. */
void segment_unpin_last(struct segment *segment);
static inline void segment_unpin(struct segment *segment)
{
    uint32_t before = atomic_fetch_sub_explicit(&segment->pins, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (UNLIKELY(before == 1))
        segment_unpin_last(segment);
}

/* Pins and unpins of many views: those of a segment are gathered, for each costs a locked
 * instruction. Start with {0}; what is gathered takes effect with segment_pins_take (inside the
 * epoch) or segment_pins_drop. */
enum { SEGMENT_PINS = 8 };
struct segment_pins {
    struct segment *segments[SEGMENT_PINS];
    uint32_t counts[SEGMENT_PINS];
};
void segment_pins_take(struct segment_pins *pins);
void segment_pins_drop(struct segment_pins *pins);
void segment_pin_gather(struct segment_pins *pins, struct segment *segment);
void segment_unpin_gather(struct segment_pins *pins, struct segment *segment);

/* What the manifest says of it. Holding the table's mutex. */
void segment_describe(const struct segment *segment, struct manifest_segment *entry);

/* ---- inline ---- */

/* The bytes from `offset` to the end of what may be touched; empty if there is nothing. */
static inline slice segment_readable_from(const struct segment *segment, uint64_t offset)
{
    uint64_t readable = atomic_load_explicit(&segment->readable, memory_order_acquire);
    if (UNLIKELY(segment->map == NULL || offset >= readable ||
                 offset >= atomic_load_explicit(&segment->suspect, memory_order_relaxed)))
        return slice_of(NULL, 0);
    return slice_of(segment->map + offset, readable - offset);
}

/* segment_prove and segment_read for any record. */
enum segment_proof segment_prove_any(const struct segment *segment, uint32_t offset, slice key,
                                     bool verify, struct segment_record *record);
bitcask_status segment_read_any(const struct segment *segment, uint64_t offset,
                                struct segment_record *record, const char **why);

#ifndef SEGMENT_PROVE_APART
static inline enum segment_proof segment_prove(const struct segment *segment, uint32_t offset,
                                               slice key, bool verify,
                                               struct segment_record *record)
{
    slice in = segment_readable_from(segment, offset);
    record->bytes = in.data;
    if (LIKELY(record_parse_plain(in, &record->shape)) &&
        LIKELY(slice_equal(segment_record_key(record), key)) &&
        (!verify || LIKELY(record_checksum_ok(in.data, record->shape.size, segment->salt, offset))))
        return PROOF_MATCH;
    return segment_prove_any(segment, offset, key, verify, record);
}
#endif

static inline bitcask_status segment_read(const struct segment *segment, uint64_t offset,
                                          struct segment_record *record, const char **why)
{
    slice in = segment_readable_from(segment, offset);
    record->bytes = in.data;
    if (LIKELY(record_parse_plain(in, &record->shape)) &&
        LIKELY(record_checksum_ok(in.data, record->shape.size, segment->salt, offset)))
        return BITCASK_OK;
    return segment_read_any(segment, offset, record, why);
}

#endif
