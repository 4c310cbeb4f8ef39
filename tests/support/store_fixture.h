/* SPDX-License-Identifier: MIT
 * store_fixture.h: a store on a disk in memory that tests write to, crash, kill, damage and open
 * again.
 *
 *     struct fixture f;
 *     fixture_init(&f);
 *     open_store(&f);
 *     put(&f, "city", "Utrecht");
 *     crash(&f);
 *     open_store(&f);
 *     check_missing(&f, "city");
 *     fixture_release(&f);
 *
 * The handle is both the engine's and the public one. Nothing runs in the background; every write
 * that is not followed by sync_store can be lost in a crash, none in a kill. All verbs fail the
 * test when what they do fails. */
#ifndef SUPPORT_STORE_FIXTURE_H
#define SUPPORT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bitcask.h"
#include "engine/store.h"
#include "os/os_mem.h"

enum { FIXTURE_EVENTS_MAX = 512, FIXTURE_FIELDS_MAX = 6 };

struct fixture_event {
    char name[32];
    bitcask_log_level level;
    struct {
        char name[24];
        uint64_t number;
    } fields[FIXTURE_FIELDS_MAX];
    size_t field_count;
};

struct fixture {
    struct os *os;
    bitcask_options options;
    struct store *store;                             /* NULL while it is closed */
    bitcask *db;                                     /* the same */
    bitcask_error error;                             /* of the last call that failed */
    struct fixture_event events[FIXTURE_EVENTS_MAX]; /* since the last opening */
    size_t event_count;
};

#define STORE_DIRECTORY "store"

void fixture_init(struct fixture *f);
void fixture_release(struct fixture *f);

/* ---- The store ------------------------------------------------------------------------------ */

void open_store(struct fixture *f);
bitcask_status try_open(struct fixture *f); /* f->store is set on OK */
void close_store(struct fixture *f);
void crash(struct fixture *f);   /* power cut: only what was synced is left */
void kill_9(struct fixture *f);  /* what was written stays */
void abandon(struct fixture *f); /* throw the handle away, files as they are; for a disk in error */

void put(struct fixture *f, const char *key, const char *value);
void put_sized(struct fixture *f, const char *key, char fill, size_t size);
void put_durably(struct fixture *f, const char *key, const char *value);
void delete_key(struct fixture *f, const char *key);
/* key0=PREFIXkey0, ..., one batch, all or nothing */
void put_batch(struct fixture *f, const char *prefix, int count);
void put_numbered(struct fixture *f, const char *prefix, int from, int to, const char *value);
void sync_store(struct fixture *f);
void rotate(struct fixture *f); /* the next write goes to a new segment; this one is sealed */

void check_value(struct fixture *f, const char *key, const char *value);
void check_missing(struct fixture *f, const char *key);
void check_corrupt(struct fixture *f, const char *key);
bitcask_status read_key(struct fixture *f, const char *key, bitcask_buffer *value);

/* All keys and values in a fixed order, as text: to be compared and freed. Damaged entries do not
 * show. */
char *dump_store(struct fixture *f);

uint64_t live_bytes(struct fixture *f);

/* ---- Events of the last opening and since --------------------------------------------------- */

size_t count_events(const struct fixture *f, const char *name);
/* The number in a field of the first event of this name; fails if there is none. */
uint64_t event_number(const struct fixture *f, const char *name, const char *field);

/* ---- Files, named inside the store's directory. Change them while the store is closed. ------ */

bool has_file(struct fixture *f, const char *name);
size_t file_size(struct fixture *f, const char *name);
unsigned char *read_whole(struct fixture *f, const char *name, size_t *size); /* to be freed */
void write_whole(struct fixture *f, const char *name, const void *data, size_t size);
void flip_byte(struct fixture *f, const char *name, size_t offset);
struct segment_header;
/* Decode the header of a data file, change it, encode it with a good checksum. */
void change_header(struct fixture *f, const char *name,
                   void (*change)(struct segment_header *header));
void truncate_file(struct fixture *f, const char *name, size_t size);
void delete_file(struct fixture *f, const char *name);
/* Names in the directory (or in `below`, a directory in it), sorted; count, and free each and all.
 */
char **list_files(struct fixture *f, const char *below, size_t *count);
void free_list(char **names, size_t count);

/* The same disk again and again: a copy of all files of the store. */
struct disk_image;
struct disk_image *save_disk(struct fixture *f);
void restore_disk(struct fixture *f, const struct disk_image *image); /* a new, whole disk */
void free_disk(struct disk_image *image);

#endif
