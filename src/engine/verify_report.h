/* SPDX-License-Identifier: MIT
 * verify_report.h: what the parts of verify share: the view of the store and the findings. */
#ifndef ENGINE_VERIFY_REPORT_H
#define ENGINE_VERIFY_REPORT_H

#include "engine/pace.h"
#include "engine/store.h"

/* A segment as it was when verify began. */
struct verify_segment {
    struct segment *segment; /* pinned */
    uint32_t state;
    uint64_t end; /* every record below is whole and final */
    bool named;   /* whatever manifest is on disk now must name it */
};

struct verify {
    struct store *store;
    const bitcask_verify_options *options;
    const _Atomic bool *stop; /* or NULL: someone else wants it to end */
    bitcask_verify_result result;
    struct pace pace;
    uint64_t unpaced_bytes; /* read, and not yet waited for */
    uint64_t done_bytes, total_bytes;
    struct verify_segment *segments; /* by ascending id */
    size_t count;
    uint64_t next_id; /* files from this id on are newer than `segments` */
};

/* Where a finding is. `file` and what `key` borrows are used during the call only. */
struct verify_place {
    const char *file;
    uint64_t segment, offset, bytes;
    slice key;
};

/* Count a finding and tell it. Returns OK, or CANCELLED if the caller has had enough. */
__attribute__((format(printf, 3, 4))) bitcask_status
verify_report(struct verify *verify, const struct verify_place *place, const char *format, ...);

/* The same for what is no damage. */
bitcask_status verify_note(struct verify *verify, const struct verify_place *place,
                           const char *what);

/* Account for bytes that were read; wait so that the chosen rate is kept, and tell of the progress
 * (`counts`: they are of the data files). Not while holding a lock. OK or CANCELLED. */
bitcask_status verify_pace(struct verify *verify, uint64_t bytes, bool counts);

/* Check the files of one segment. Takes merge_mutex now and then. Returns OK, also with findings;
 * CANCELLED, NO_MEMORY, IO. */
bitcask_status verify_files_of(struct verify *verify, const struct verify_segment *entry,
                               bitcask_error *error);

/* Check each entry of the index. Returns likewise. */
bitcask_status verify_index(struct verify *verify, bitcask_error *error);

/* Check the index snapshot, if there is one. Returns likewise. */
bitcask_status verify_image(struct verify *verify, bitcask_error *error);

#endif
