/* SPDX-License-Identifier: MIT
 * import_foreign.h: importing the directory of another Bitcask.
 *
 *     struct foreign_source source = {.layout = layout};
 *     int exit_code = import_foreign_open(import, &source);   before the store is made
 *     ... open the store ...
 *     exit_code = import_foreign(import, &source);
 *     import_flush(import, ...);
 *     exit_code = import_foreign_report(import, &source, started_us);
 *     import_foreign_close(&source);
 *
 * The directory is only read. Damage never ends the import: it is reported with file and offset,
 * counted, and told again by the exit code. */
#ifndef CLI_IMPORT_FOREIGN_H
#define CLI_IMPORT_FOREIGN_H

#include "foreign.h"
#include "import.h"

struct foreign_file {
    uint64_t number, size;
};

struct foreign_source {
    const struct foreign_layout *layout;
    struct foreign_decoder decoder; /* set its options before */
    int directory;
    struct foreign_file *files; /* in the order of their numbers */
    size_t count, capacity;
    uint64_t size, done; /* bytes of all files */
    uint64_t files_read, records, puts, deletes;
    uint64_t refused; /* records that no store can hold */
    uint64_t damaged; /* places passed over */
    uint64_t torn;    /* files that could not be read to their end */
    uint64_t pending; /* files that awaited deletion */
    uint64_t oldest_us, newest_us;
};

/* Look into the directory import->source: list its data files, warn of a lock and of names that
 * are nearly right. Fails if there is none of the layout. */
int import_foreign_open(struct import *import, struct foreign_source *source);
int import_foreign(struct import *import, struct foreign_source *source);

/* Print what was done. Returns CLI_DONE; CLI_CORRUPT if there was damage; CLI_STORE if a record was
 * refused. */
int import_foreign_report(struct import *import, struct foreign_source *source,
                          uint64_t started_us);

void import_foreign_close(struct foreign_source *source);

/* The layouts of which `directory` has data files, at most `room` of them; 0 if it has none or
 * cannot be read. */
size_t import_foreign_detect(const char *directory, const struct foreign_layout **found,
                             size_t room);

#endif
