/* SPDX-License-Identifier: MIT
 *
 * bitcask.h: an embeddable log-structured hash store
 *
 * A store is a directory. Every write is appended to a log of segments, an index in memory
 * (about ten bytes a key, whatever the key's length) says where each key's newest record lies,
 * and a read is one look into the index and one into the log.
 *
 * The workflow
 * ------------
 *     #include <bitcask.h>
 *
 *     bitcask *db;
 *     bitcask_error error;
 *     if (bitcask_open("./data", NULL, &db, &error) != BITCASK_OK)
 *         return fprintf(stderr, "%s\n", error.message), 1;
 *
 *     bitcask_put(db, bitcask_str("city"), bitcask_str("Utrecht"), NULL, NULL, &error);
 *
 *     bitcask_buffer value = {0};                       // yours; reused from call to call
 *     if (bitcask_get(db, NULL, bitcask_str("city"), &value, NULL, &error) == BITCASK_OK)
 *         printf("%.*s\n", (int)value.size, (char *)value.data);
 *     bitcask_buffer_free(&value);
 *
 *     bitcask_close(db, &error);
 *
 * Conventions
 * -----------
 * - Every function that can fail returns a bitcask_status: 0 is success, a positive value is an
 *   outcome of a call that worked (BITCASK_NOT_FOUND), a negative value is an error.
 * - The last parameter of such a function is a nullable bitcask_error, filled in only when the
 *   returned status is negative. It is plain memory: there is nothing to free. Calls that do not
 *   fail leave it alone.
 * - Options, statistics and similar structs begin with struct_size. Call their _init function (or
 *   set struct_size to sizeof the struct and zero the rest), so that a program compiled against an
 *   older header goes on working with a newer library. NULL options mean the defaults.
 * - A bitcask_slice borrows; the callee never keeps it after the call returns.
 * - Times are in microseconds since 1970-01-01 UTC where a name ends in _us, durations in
 *   milliseconds where it ends in _ms.
 *
 * Threads
 * -------
 * A bitcask handle may be used by any number of threads at once, and a process may have any number
 * of stores open. Readers never lock and never wait for a writer or a merge (taking a snapshot does
 * wait for the writes at hand). A bitcask_iterator, a bitcask_batch and a bitcask_buffer belong to
 * one thread at a time, a bitcask_snapshot to all. bitcask_close must be the last call on a handle:
 * no other call may be running, and views, iterators and snapshots must be released first. After
 * fork() the child gets BITCASK_FORKED from every call; it must open the store itself (which fails
 * while the parent has it open).
 *
 * Durability
 * ----------
 * What an acknowledged write survives is chosen by the sync mode, for a store and again per write:
 *
 *     mode                     kill -9 of the process      power cut
 *     BITCASK_SYNC_ALWAYS      every acknowledged write    every acknowledged write
 *     BITCASK_SYNC_INTERVAL    every completed write       all up to the last sync, then a prefix
 *     BITCASK_SYNC_NONE        every completed write       a prefix of the write order
 *
 * docs/DURABILITY.md has the invariants behind that table, docs/FORMAT.md every byte on disk.
 *
 * I/O errors on mapped segments
 * -----------------------------
 * Reads go through memory mappings. Where the device cannot deliver a page, the kernel sends
 * SIGBUS to the reading thread; a program that must survive that installs a handler of its own.
 * Writers never depend on it: space is allocated before it is promised, so a full disk is an error
 * and not a signal. A process under RLIMIT_FSIZE should ignore SIGXFSZ to get an error instead.
 */
#ifndef BITCASK_H
#define BITCASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BITCASK_VERSION_MAJOR 0
#define BITCASK_VERSION_MINOR 1
#define BITCASK_VERSION_PATCH 0
#define BITCASK_VERSION_STRING "0.1.0"

/* The version of the format on disk that this library writes; it reads all from 1 to this one. */
#define BITCASK_FORMAT_VERSION 1

#define BITCASK_MAX_KEY_SIZE 65535u              /* bytes; a key has at least 1 */
#define BITCASK_MAX_VALUE_SIZE (1024u << 20)     /* bytes: 1 GiB; a value may be empty */
#define BITCASK_MIN_SEGMENT_SIZE (64ull << 10)   /* bytes */
#define BITCASK_MAX_SEGMENT_SIZE (4096ull << 20) /* bytes: 4 GiB */
#define BITCASK_MAX_SEGMENTS 16383u

#if defined(__GNUC__)
#define BITCASK_API __attribute__((visibility("default")))
#define BITCASK_CHECKED __attribute__((visibility("default"), warn_unused_result))
#else
#define BITCASK_API
#define BITCASK_CHECKED
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Statuses ------------------------------------------------------------------------------ */

/* X(name, value, sentence). Outcomes are positive, errors negative. Values are never reused. */
#define BITCASK_STATUSES(X)                                                       \
    X(OK, 0, "success")                                                           \
    X(NOT_FOUND, 1, "no such key")                                                \
    X(EXISTS, 2, "the key is already there")                                      \
    X(CONFLICT, 3, "the key has another version than the one expected")           \
    X(END, 4, "no more entries")                                                  \
    X(CANCELLED, 5, "stopped at the caller's request")                            \
    X(INVALID, -1, "invalid argument")                                            \
    X(IO, -2, "input/output error")                                               \
    X(CORRUPT, -3, "stored data is damaged")                                      \
    X(NO_SPACE, -4, "no space left")                                              \
    X(NO_MEMORY, -5, "out of memory")                                             \
    X(LOCKED, -6, "the store is open in another process or handle")               \
    X(NO_STORE, -7, "no store here")                                              \
    X(STORE_EXISTS, -8, "a store is already here")                                \
    X(FORMAT, -9, "the store was written in a format this library does not know") \
    X(READ_ONLY, -10, "the store does not accept writes")                         \
    X(UNKNOWN, -11, "a sync failed: whether the write is durable is unknown")     \
    X(LIMIT, -12, "a limit of the store is reached")                              \
    X(FORKED, -13, "the handle was inherited through fork()")                     \
    X(BUSY, -14, "another operation of this kind is running")                     \
    X(GAP, -15, "changes behind the position are gone")                           \
    X(DIVERGED, -16, "the store has another history")

typedef enum bitcask_status {
#define BITCASK_STATUS_MEMBER(name, value, sentence) BITCASK_##name = value,
    BITCASK_STATUSES(BITCASK_STATUS_MEMBER)
#undef BITCASK_STATUS_MEMBER
} bitcask_status;

/* The name of a status ("NOT_FOUND") and its sentence ("no such key"); "UNKNOWN_STATUS" and
 * "unknown status" for other values. Static strings. */
BITCASK_API const char *bitcask_status_name(bitcask_status status);
BITCASK_API const char *bitcask_status_text(bitcask_status status);

/* The details of an error. */
typedef struct bitcask_error {
    bitcask_status status;
    int sys_errno;     /* errno of the failed system call, or 0 */
    uint64_t segment;  /* id of the segment it is about, or 0 */
    uint64_t offset;   /* byte offset in that segment, or 0 */
    char message[256]; /* "open './data': segment 7: record at 4096: bad checksum" */
} bitcask_error;

/* ---- Slices and buffers -------------------------------------------------------------------- */

typedef struct bitcask_slice { /* borrows */
    const void *data;
    size_t size;
} bitcask_slice;

typedef struct bitcask_buffer { /* owns; start with all zero */
    void *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
} bitcask_buffer;

/* A slice of the `size` bytes at `data`, and one of a C string, without its NUL. */
static inline bitcask_slice bitcask_bytes(const void *data, size_t size)
{
    bitcask_slice slice = {data, size};
    return slice;
}
static inline bitcask_slice bitcask_str(const char *text)
{
    return bitcask_bytes(text, strlen(text));
}

/* Free the memory of a buffer and zero it. */
BITCASK_API void bitcask_buffer_free(bitcask_buffer *buffer);

/* ---- Options ------------------------------------------------------------------------------- */

typedef struct bitcask bitcask;

typedef enum bitcask_sync {
    BITCASK_SYNC_DEFAULT = 0, /* per write: the store's mode; for the store: INTERVAL */
    BITCASK_SYNC_NONE = 1,
    BITCASK_SYNC_INTERVAL = 2,
    BITCASK_SYNC_ALWAYS = 3,
} bitcask_sync;

typedef enum bitcask_background {
    BITCASK_BACKGROUND_THREAD = 0, /* a thread per store seals, syncs, prepares segments; another
                                      one merges, see bitcask_options.merge */
    BITCASK_BACKGROUND_NONE = 1,   /* no thread: the calls do that work themselves, inline */
} bitcask_background;

/* What goes, in whole segments and without a trace, when a put would pass a limit and neither
 * expired segments nor merges make room. */
typedef enum bitcask_eviction {
    BITCASK_EVICT_NONE = 0,     /* nothing: the put fails with LIMIT */
    BITCASK_EVICT_OLDEST = 1,   /* the keys that were written the longest time ago */
    BITCASK_EVICT_EXPIRING = 2, /* keys that expire, those of the segment whose last key expires
                                   soonest first; never a key that does not expire */
} bitcask_eviction;

typedef enum bitcask_log_level {
    BITCASK_LOG_DEFAULT = 0, /* INFO */
    BITCASK_LOG_DEBUG = 1,
    BITCASK_LOG_INFO = 2,
    BITCASK_LOG_WARN = 3,
    BITCASK_LOG_ERROR = 4,
    BITCASK_LOG_OFF = 5,
} bitcask_log_level;

typedef enum bitcask_field_kind {
    BITCASK_FIELD_UINT = 0,
    BITCASK_FIELD_TEXT = 1,  /* UTF-8 */
    BITCASK_FIELD_BYTES = 2, /* a key */
} bitcask_field_kind;

typedef struct bitcask_log_field {
    const char *name;
    bitcask_field_kind kind;
    uint64_t number;     /* UINT */
    bitcask_slice bytes; /* TEXT, BYTES */
} bitcask_log_field;

/* One event, valid during the callback. Events and their fields are listed in
 * docs/OPERATIONS.md. */
typedef struct bitcask_log_event {
    bitcask_log_level level;
    uint64_t time_us;
    const char *name; /* "rotated", "sealed", "recovered", "cut", "quarantined", "merged", ... */
    const bitcask_log_field *fields;
    size_t field_count;
} bitcask_log_event;

/* Called from any thread, several at once, sometimes with locks of the store held: it must not
 * call back into the same store. */
typedef void (*bitcask_log_fn)(void *context, const bitcask_log_event *event);

/* Memory for the index and other long-lived parts; NULL functions mean malloc and free.
 * alloc returns memory aligned to at least `alignment` (a power of two) or NULL. */
typedef struct bitcask_allocator {
    void *(*alloc)(void *context, size_t size, size_t alignment);
    void (*free)(void *context, void *memory, size_t size);
    void *context;
} bitcask_allocator;

/* What a get of a record that is not in memory reads with it. */
typedef enum bitcask_read_ahead {
    BITCASK_READ_AHEAD_AUTO = 0, /* ON as long as all data takes no more than half of the memory
                                    that there is for it, else OFF */
    BITCASK_READ_AHEAD_ON = 1,   /* 2 MiB and more: a store that fits into memory is there soon, and
                                    its records are found faster; one that does not is the slower */
    BITCASK_READ_AHEAD_OFF = 2,  /* 4 KiB: for single gets, and for data larger than memory */
} bitcask_read_ahead;

typedef struct bitcask_options {
    size_t struct_size;
    int create;          /* make the store if there is none; default 1 */
    int error_if_exists; /* fail with STORE_EXISTS if there is one; default 0 */
    int read_only;       /* change no byte of the store; default 0 */
    int in_memory;       /* keep the files in memory; the directory is only a name; default 0 */
    int verify_reads;    /* check the checksum of each record read; default 1 */
    bitcask_sync sync;   /* default INTERVAL */
    uint64_t sync_interval_ms; /* default 1000 */
    bitcask_background background;
    uint64_t segment_size;        /* bytes; default 256 MiB */
    uint64_t segment_max_records; /* rotate after as many records; 0: no such limit */
    uint64_t expected_keys;       /* size the index for as many from the start; default 0 */

    /* Limits, and what goes to stay below them. */
    uint64_t tombstone_min_age_ms; /* keep tombstones so long, for followers; default 0 */
    uint64_t max_disk_bytes;   /* of data and hint files and bitcask.reserve; at least 1 MiB; 0: no
                                  limit. Segments are an eighth of it at most; puts stop one segment
                                  below, so that merges and deletes always have room */
    uint64_t max_index_bytes;  /* the index does not grow beyond; at least 64 KiB; 0: no limit */
    bitcask_eviction eviction; /* what a put does that would pass one of the two; default NONE */

    bitcask_log_level log_level;
    bitcask_log_fn log;
    void *log_context;
    bitcask_allocator allocator;
    int index_snapshot; /* keep an image of the index, so that opening takes milliseconds whatever
                           the number of keys; default 1. 0: neither write nor use one */
    uint64_t index_snapshot_bytes; /* write one at close when the log has grown by as much (and by a
                                      quarter of the image) since the last; default 16 MiB */

    /* Merges in the background, see bitcask_merge. */
    int merge;                  /* default 1; needs background THREAD, else there are none */
    double merge_trigger;       /* share of dead bytes from which a segment is merged, 0.05 to 0.95;
                                   two thirds of it for the store as a whole; default 0.5 */
    uint64_t merge_bytes_per_s; /* read and written by merges; 0: no limit; default 64 MiB. Not
                                   kept to while the whole store is beyond its trigger or the disk
                                   is nearly full */
    uint64_t merge_delay_ms;    /* after open; default 30 s */
    char merge_window[8];       /* local hours in which to begin, "22-06"; default "": always */
    uint64_t scrub_bytes_per_s; /* read sealed segments again and again at this rate and check them,
                                   in a thread of its own; default 0: do not */

    int follow; /* read beside a process that writes: take no lock, change no byte; what is seen is
                   what was there at the last bitcask_refresh; default 0 */
    bitcask_read_ahead read_ahead; /* default AUTO */
} bitcask_options;

/* Set struct_size and the defaults. (The _sized functions are for bindings: `size` bytes are set,
 * whatever the library's own struct has. What a C program calls passes its own sizeof.) */
BITCASK_API void bitcask_options_init_sized(bitcask_options *options, size_t size);
static inline void bitcask_options_init(bitcask_options *options)
{
    bitcask_options_init_sized(options, sizeof *options);
}

/* Set one option by its name as the command line and bindings know it: "create", "read-only",
 * "segment-size", "sync", ... Sizes take the suffixes K, M, G (1024-based), durations ms, s, m, h,
 * booleans 1/0, yes/no, true/false, on/off. "sync" also knows the names no-fsync, periodic-fsync
 * and fsync-on-append.
 * Returns OK, or INVALID with a message that names the option and the values it takes. */
BITCASK_CHECKED bitcask_status bitcask_options_set(bitcask_options *options, const char *name,
                                                   const char *value, bitcask_error *error);

/* The options that bitcask_options_set knows, with a sentence each; NULL past the last. */
typedef struct bitcask_option_info {
    const char *name;
    const char *value; /* "BYTES", "thread|none", "YES|NO" */
    const char *help;
} bitcask_option_info;
BITCASK_API const bitcask_option_info *bitcask_option_at(size_t index);

/* ---- Open and close ------------------------------------------------------------------------ */

/* The library's version, BITCASK_VERSION_STRING of its build. */
BITCASK_API const char *bitcask_version(void);

/* Open the store in `directory`, making it if need be.
 *   options  or NULL for the defaults
 *   db       set on OK, else NULL
 * Returns OK; NO_STORE; STORE_EXISTS; LOCKED with the holder's pid in the message; FORMAT;
 * CORRUPT only if nothing at all can be made out; IO; NO_MEMORY; INVALID.
 * Missing or damaged hints and a missing or damaged manifest are rebuilt. Damage in the data is
 * reported as log events and in the statistics, and the rest stays readable.
 * Cost: about 30 ns a key from hints, a scan of what has no good hint. */
BITCASK_CHECKED bitcask_status bitcask_open(const char *directory, const bitcask_options *options,
                                            bitcask **db, bitcask_error *error);

/* Sync and close. The handle is gone whatever is returned; an error says that the last writes may
 * not be durable. NULL is allowed. */
BITCASK_API bitcask_status bitcask_close(bitcask *db, bitcask_error *error);

/* Delete the files of the store in `directory`, and the directory if nothing else is in it.
 * Returns OK; NO_STORE; LOCKED; IO. */
BITCASK_CHECKED bitcask_status bitcask_destroy(const char *directory, bitcask_error *error);

/* ---- Writing ------------------------------------------------------------------------------- */

enum {
    BITCASK_IF_ABSENT = 1,  /* only if the key is not there: else EXISTS */
    BITCASK_IF_VERSION = 2, /* only if its version is if_version: else CONFLICT, or NOT_FOUND */
    BITCASK_IF_PRESENT = 4, /* only if the key is there: else NOT_FOUND */
    BITCASK_KEEP_TTL = 8,   /* an overwritten key keeps its expiry */
};

typedef struct bitcask_write_options {
    size_t struct_size;
    bitcask_sync sync;   /* ALWAYS: durable on return; NONE, INTERVAL: return without waiting */
    unsigned flags;      /* BITCASK_IF_ABSENT and so on */
    uint64_t expires_us; /* 0: never; a time that has passed is allowed: the key is gone, by a
                            clock that may be some milliseconds behind */
    uint64_t if_version;
} bitcask_write_options;

BITCASK_API void bitcask_write_options_init_sized(bitcask_write_options *options, size_t size);
static inline void bitcask_write_options_init(bitcask_write_options *options)
{
    bitcask_write_options_init_sized(options, sizeof *options);
}

/* Store `value` under `key`.
 *   version  or NULL; set on OK to the version given to the record: larger than any before it
 * Returns OK; EXISTS, CONFLICT or NOT_FOUND where a condition of the options failed; INVALID;
 * NO_SPACE; LIMIT at max_disk_bytes or max_index_bytes, if no room could be made; IO; UNKNOWN if a
 * sync failed; READ_ONLY after such a failure that could not be mended. Nothing has changed unless
 * it returns OK or UNKNOWN. Cost: O(size): a memcpy, a checksum and an index store; with ALWAYS a
 * device write. */
BITCASK_CHECKED bitcask_status bitcask_put(bitcask *db, bitcask_slice key, bitcask_slice value,
                                           const bitcask_write_options *options, uint64_t *version,
                                           bitcask_error *error);

/* Delete `key`. Returns OK, or NOT_FOUND (then nothing is written); CONFLICT; errors as put. */
BITCASK_CHECKED bitcask_status bitcask_delete(bitcask *db, bitcask_slice key,
                                              const bitcask_write_options *options,
                                              uint64_t *version, bitcask_error *error);

/* Give `key` a new expiry, options->expires_us (0, or no options: never). The record is written
 * anew, so this costs as much as a put of its value. Returns as put; NOT_FOUND if the key is not
 * there. */
BITCASK_CHECKED bitcask_status bitcask_expire(bitcask *db, bitcask_slice key,
                                              const bitcask_write_options *options,
                                              uint64_t *version, bitcask_error *error);

/* A write batch: all of it or nothing survives a crash. Copies what it is given; LIMIT beyond 1 GiB
 * of keys and values. Adding to it returns OK, INVALID, LIMIT or NO_MEMORY, and on failure leaves
 * it as it was. */
typedef struct bitcask_batch bitcask_batch;

BITCASK_CHECKED bitcask_status bitcask_batch_new(bitcask_batch **batch, bitcask_error *error);
BITCASK_CHECKED bitcask_status bitcask_batch_put(bitcask_batch *batch, bitcask_slice key,
                                                 bitcask_slice value, uint64_t expires_us,
                                                 bitcask_error *error);
BITCASK_CHECKED bitcask_status bitcask_batch_delete(bitcask_batch *batch, bitcask_slice key,
                                                    bitcask_error *error);
BITCASK_API size_t bitcask_batch_count(const bitcask_batch *batch);
BITCASK_API size_t bitcask_batch_size(const bitcask_batch *batch); /* bytes of keys and values */
BITCASK_API void bitcask_batch_clear(bitcask_batch *batch);
BITCASK_API void bitcask_batch_free(bitcask_batch *batch);

/* Apply a batch in its order. Deletes of absent keys are skipped. options->flags must be 0. Readers
 * see all of it or nothing (an iteration without a snapshot excepted).
 *   version  or NULL; set on OK to that of the batch's last record (0 if it wrote none) */
BITCASK_CHECKED bitcask_status bitcask_write(bitcask *db, const bitcask_batch *batch,
                                             const bitcask_write_options *options,
                                             uint64_t *version, bitcask_error *error);

/* Make every write that has returned durable. Returns OK; UNKNOWN or READ_ONLY if that failed. */
BITCASK_CHECKED bitcask_status bitcask_sync_now(bitcask *db, bitcask_error *error);

/* ---- Reading ------------------------------------------------------------------------------- */

typedef struct bitcask_meta {
    uint64_t version;
    uint64_t expires_us; /* 0: never */
    uint64_t value_size; /* bytes */
} bitcask_meta;

typedef enum bitcask_verify_reads {
    BITCASK_VERIFY_DEFAULT = 0, /* as the store's verify_reads */
    BITCASK_VERIFY_YES = 1,
    BITCASK_VERIFY_NO = 2,
} bitcask_verify_reads;

typedef struct bitcask_snapshot bitcask_snapshot;

typedef struct bitcask_read_options {
    size_t struct_size;
    bitcask_verify_reads verify;
    bitcask_snapshot *snapshot; /* read the store as it was then; NULL: as it is now */
} bitcask_read_options;

BITCASK_API void bitcask_read_options_init_sized(bitcask_read_options *options, size_t size);
static inline void bitcask_read_options_init(bitcask_read_options *options)
{
    bitcask_read_options_init_sized(options, sizeof *options);
}

/* The store as it is now, to be read as often as one likes while writers and merges go on: put it
 * into the read options of get, get_view, get_many, stat_key and iterators. What was put, deleted
 * or has expired since is not seen; expiry is judged by the time when the snapshot was taken.
 * Iterating over a snapshot is the way to read all of a store.
 *
 * Making one waits for the group of writes at hand, some microseconds; with a durable group for its
 * device write. Nobody waits for a snapshot. Its version is the highest that it sees: that of the
 * last write before it. It is freed from any thread, NULL is allowed; an iterator keeps its
 * snapshot until it is freed itself. All are to be freed before bitcask_close.
 *
 * Cost: nothing for what does not change; about 90 bytes of memory for
 * each key that is overwritten or deleted while the snapshot lives, once however often; and disk
 * space: a segment that was merged away is held back as long as such a key's old record lies in it.
 * Freeing costs about 100 ns for each of these keys.
 *
 * Returns OK or NO_MEMORY. A write that finds no memory to keep an old record fails with NO_MEMORY
 * and has changed nothing. */
BITCASK_CHECKED bitcask_status bitcask_snapshot_new(bitcask *db, bitcask_snapshot **snapshot,
                                                    bitcask_error *error);
BITCASK_API uint64_t bitcask_snapshot_version(const bitcask_snapshot *snapshot);
BITCASK_API void bitcask_snapshot_free(bitcask_snapshot *snapshot);

/* Copy the value of `key` into `value`, growing it if need be.
 *   meta  or NULL; set on OK
 * Returns OK; NOT_FOUND; CORRUPT if the record that would answer is damaged; NO_MEMORY. */
BITCASK_CHECKED bitcask_status bitcask_get(bitcask *db, const bitcask_read_options *options,
                                           bitcask_slice key, bitcask_buffer *value,
                                           bitcask_meta *meta, bitcask_error *error);

/* What is known of `key` without copying its value. Returns as get. */
BITCASK_CHECKED bitcask_status bitcask_stat_key(bitcask *db, const bitcask_read_options *options,
                                                bitcask_slice key, bitcask_meta *meta,
                                                bitcask_error *error);

/* A value in place: `value` points into the segment and stays valid, unchanged, until the view is
 * released, by any thread, whatever is written, deleted or merged meanwhile. A view held for long
 * delays only the return of the space of its own segment. */
typedef struct bitcask_view {
    bitcask_slice value;
    bitcask_meta meta;
    void *pin;
} bitcask_view;

/* Look at the value of `key` in place. Returns as get; `view` is to be released on OK only
 * (releasing a zeroed one does nothing). */
BITCASK_CHECKED bitcask_status bitcask_get_view(bitcask *db, const bitcask_read_options *options,
                                                bitcask_slice key, bitcask_view *view,
                                                bitcask_error *error);

/* Views of `count` keys at once, faster than one by one: the cache misses overlap.
 *   views  set for each key found, zeroed for the others
 *   each   the status of each key: OK, NOT_FOUND or CORRUPT
 * Each batch is seen whole or not at all, by all of the keys together. Should batches keep coming
 * while it looks, it takes a snapshot for the call.
 * Returns OK if every status is OK or NOT_FOUND, else the first error. Release the views in any
 * case. */
BITCASK_CHECKED bitcask_status bitcask_get_many(bitcask *db, const bitcask_read_options *options,
                                                const bitcask_slice *keys, size_t count,
                                                bitcask_view *views, bitcask_status *each,
                                                bitcask_error *error);

/* Ask the processor for the memory that looking these keys up will touch, so that the calls which
 * follow (puts with conditions, expire, single gets) do not wait for it one by one. A hint: nothing
 * is looked up, counted or returned; keys that cannot be are passed over. Worth it from a few keys
 * on, up to some hundred, in a store that is larger than the processor's caches. */
BITCASK_API void bitcask_prefetch(bitcask *db, const bitcask_slice *keys, size_t count);

/* Release views and zero them. */
BITCASK_API void bitcask_views_release(bitcask_view *views, size_t count);

/* Iteration in no particular order. With a snapshot every key that it sees is met exactly once, as
 * it was. Without one, a key that is live throughout is seen exactly once, whatever is written and
 * merged meanwhile; a key written or deleted meanwhile is seen or not, and of a batch maybe a part.
 */
typedef struct bitcask_iterator bitcask_iterator;

enum { BITCASK_KEYS = 0, BITCASK_VALUES = 1 };

typedef struct bitcask_entry {
    bitcask_slice key;
    bitcask_slice value; /* empty with BITCASK_KEYS */
    bitcask_meta meta;
} bitcask_entry;

/* Begin an iteration.
 *   prefix  of the keys wanted; empty for all. The whole index is walked in any case.
 *   what    BITCASK_KEYS or BITCASK_VALUES */
BITCASK_CHECKED bitcask_status bitcask_iterator_new(bitcask *db,
                                                    const bitcask_read_options *options,
                                                    bitcask_slice prefix, int what,
                                                    bitcask_iterator **iterator,
                                                    bitcask_error *error);

/* Step to the next entry; its key and value are valid until the next call on this iterator.
 * Returns OK; END; CORRUPT for an entry that is damaged (the next call goes on behind it). */
BITCASK_CHECKED bitcask_status bitcask_iterator_next(bitcask_iterator *iterator,
                                                     bitcask_entry *entry, bitcask_error *error);

/* A place between two steps, and going on from such a place in another iterator, later (even after
 * reopening: keys live throughout are then seen at least once). 0 is the start, UINT64_MAX the end;
 * the unit of progress is the hash space: cursor / 2^64 of the walk is done. Keys are walked in
 * batches of up to 2,048; a cursor taken inside a batch stands for the batch's begin, so that going
 * on from it shows the batch's first keys again. A walk whose cursor is never asked for and that
 * was not put to a place goes faster: its batches grow, up to a million keys and 16 MiB. */
BITCASK_API uint64_t bitcask_iterator_cursor(bitcask_iterator *iterator);
BITCASK_API void bitcask_iterator_seek_cursor(bitcask_iterator *iterator, uint64_t cursor);

/* The cursor of the batch that the entry given last belongs to: what takes a batch apart into
 * smaller steps can tell where it ends. Without an entry: where the walk stands. */
BITCASK_API uint64_t bitcask_iterator_batch_cursor(bitcask_iterator *iterator);
BITCASK_API void bitcask_iterator_free(bitcask_iterator *iterator);

/* ---- Merge --------------------------------------------------------------------------------- */

/* With background THREAD a thread of the store's own merges what is worth it (bitcask_options.merge
 * and what follows it): segments with a large share of dead bytes, the worst ones of a store that
 * wastes too much as a whole, what has expired, tombstones that hide nothing any more; small
 * segments are joined. It looks when a segment has been filled, and once a minute; at rest it does
 * nothing. */

/* Pause merges in the background, or let them go on. A job that is paused for more than a minute,
 * or is in the way of a bitcask_merge or bitcask_verify, is given up and begun anew later.
 * Return OK. */
BITCASK_CHECKED bitcask_status bitcask_merge_pause(bitcask *db, bitcask_error *error);
BITCASK_CHECKED bitcask_status bitcask_merge_resume(bitcask *db, bitcask_error *error);

/* Cancel the merge that runs, whoever began it: bitcask_merge then returns CANCELLED; the
 * background tries again after a minute. Does not wait for it. Returns OK, also if none runs. */
BITCASK_CHECKED bitcask_status bitcask_merge_cancel(bitcask *db, bitcask_error *error);

/* Change options.merge_bytes_per_s, for the merge that runs too. Returns OK. */
BITCASK_CHECKED bitcask_status bitcask_merge_set_rate(bitcask *db, uint64_t bytes_per_s,
                                                      bitcask_error *error);

typedef struct bitcask_merge_progress {
    uint64_t done_bytes;  /* of the inputs */
    uint64_t total_bytes; /* of the inputs */
    uint64_t written_bytes;
} bitcask_merge_progress;

typedef struct bitcask_merge_options {
    size_t struct_size;
    int all;         /* every segment, the active one too (it is rotated first) */
    double min_dead; /* segments with at least this share of dead bytes; default 0.4 */
    int (*progress)(void *context, const bitcask_merge_progress *progress); /* nonzero: cancel */
    void *context;
    uint64_t bytes_per_s; /* 0: as merge_bytes_per_s of the store, or no limit if it has no thread;
                             UINT64_MAX: no limit */
} bitcask_merge_options;

BITCASK_API void bitcask_merge_options_init_sized(bitcask_merge_options *options, size_t size);
static inline void bitcask_merge_options_init(bitcask_merge_options *options)
{
    bitcask_merge_options_init_sized(options, sizeof *options);
}

typedef struct bitcask_merge_result {
    size_t struct_size; /* set it first, else nothing is filled in; `result` may be NULL */
    uint64_t inputs;    /* segments merged away */
    uint64_t outputs;   /* segments written */
    uint64_t input_bytes, output_bytes;
    uint64_t records_copied, records_dropped;
    uint64_t tombstones_kept, tombstones_dropped;
    uint64_t duration_us;
} bitcask_merge_result;

/* Reclaim the space of dead records now, while readers and writers go on. A job of the background
 * that is under way is waited for, without its limit.
 * Returns OK (also when there was nothing to do); CANCELLED; BUSY if another call merges; NO_SPACE,
 * saying how much room it needs; CORRUPT if an input is damaged (it is left alone, the others are
 * merged); IO. Whatever it returns, nothing is lost. */
BITCASK_CHECKED bitcask_status bitcask_merge(bitcask *db, const bitcask_merge_options *options,
                                             bitcask_merge_result *result, bitcask_error *error);

/* ---- Backup -------------------------------------------------------------------------------- */

typedef struct bitcask_backup_progress {
    uint64_t done_bytes;   /* of the store's data: linked, copied, or there already */
    uint64_t total_bytes;  /* of the store's data */
    uint64_t copied_bytes; /* written to the backup so far */
} bitcask_backup_progress;

typedef struct bitcask_backup_options {
    size_t struct_size;
    uint64_t bytes_per_s; /* copy no faster; 0: as fast as it goes. Links cost nothing */
    int copy;             /* share no file with the store: copy where a link would do */
    int (*progress)(void *context, const bitcask_backup_progress *progress); /* nonzero: cancel */
    void *context;
} bitcask_backup_options;

BITCASK_API void bitcask_backup_options_init_sized(bitcask_backup_options *options, size_t size);
static inline void bitcask_backup_options_init(bitcask_backup_options *options)
{
    bitcask_backup_options_init_sized(options, sizeof *options);
}

typedef struct bitcask_backup_result {
    size_t struct_size; /* set it first, else nothing is filled in; `result` may be NULL */
    uint64_t segments;  /* in the backup: */
    uint64_t linked;    /* sharing the store's file */
    uint64_t copied;
    uint64_t reused;       /* there already, from the backup before */
    uint64_t removed;      /* of the backup before, no longer needed */
    uint64_t copied_bytes; /* written, hints included */
    uint64_t
        damaged_segments;  /* known to be damaged or missing in the store, and so in the backup */
    uint64_t last_version; /* no record of the backup has a higher version */
    uint64_t duration_us;
} bitcask_backup_result;

/* Make `directory` a copy of the store as it is at one moment of this call, while readers, writers
 * and merges go on: every write that returned before the call, and a prefix of those that run
 * meanwhile. The copy is a store of its own; restoring is opening it (or a copy of it).
 *   directory  is made if it is not there; may hold an earlier backup of the same store that has
 *              never been opened for writing: then only what is new is brought, and what is no
 *              longer needed goes
 * Sealed segments, which never change, are hard links where `directory` is on the same file system.
 * Stopped at any moment, it leaves the backup of before, or one that cannot be opened and that the
 * next call completes. Works on read-only stores too, and copies damaged records as they are.
 * Returns OK; CANCELLED; STORE_EXISTS if something else is in the directory, with what to do;
 * LOCKED if a process has the backup open; NO_SPACE; IO; UNKNOWN if a sync of the store failed.
 * Threads: any number at once, into different directories. Cost: a sync of the log; a link for each
 * new sealed segment; a copy of the segment that is being written. */
BITCASK_CHECKED bitcask_status bitcask_backup(bitcask *db, const char *directory,
                                              const bitcask_backup_options *options,
                                              bitcask_backup_result *result, bitcask_error *error);

/* ---- Repair -------------------------------------------------------------------------------- */

/* Something that a damaged store no longer has. Valid during the callback. */
typedef struct bitcask_loss {
    const char *file; /* name inside the directory */
    uint64_t segment;
    uint64_t offset, bytes; /* where it was */
    const char *what;       /* a sentence */
    bitcask_slice key;      /* of the record, if it can be told; else empty */
    int key_certain;        /* from an undamaged hint; else as the damaged bytes have it */
    uint64_t version;       /* of the record; 0: not known */
    uint64_t older_version; /* of the older value that now shows; 0: the key is gone */
} bitcask_loss;

typedef struct bitcask_repair_options {
    size_t struct_size;
    int dry_run;                                          /* change nothing, only tell */
    int (*loss)(void *context, const bitcask_loss *loss); /* or NULL; nonzero: stop */
    int (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes); /* of examining */
    bitcask_log_level log_level;
    bitcask_log_fn log; /* events of opening the store, with `context` */
    void *context;
} bitcask_repair_options;

BITCASK_API void bitcask_repair_options_init_sized(bitcask_repair_options *options, size_t size);
static inline void bitcask_repair_options_init(bitcask_repair_options *options)
{
    bitcask_repair_options_init_sized(options, sizeof *options);
}

typedef struct bitcask_repair_result {
    size_t struct_size;        /* set it first; `result` may be NULL */
    uint64_t segments;         /* rewritten without what was damaged in them */
    uint64_t missing_segments; /* forgotten: their files are not there */
    uint64_t hints;            /* made anew */
    uint64_t records_kept;     /* of the segments rewritten, dead ones and deletions included */
    uint64_t deletions_kept;   /* damaged, and known from the hint */
    uint64_t losses;           /* told */
    uint64_t bytes_lost;       /* damaged or missing, what was dead in them included */
    uint64_t quarantined_files;
} bitcask_repair_result;

/* Make a damaged store whole: afterwards it verifies clean, no key answers CORRUPT, and merges take
 * all of it. What is readable is kept, with its versions; what is not is told, by key where the key
 * is known, once and for all: the keys show an older value, or nothing. The damaged files are kept
 * in quarantine/. Stopped at any moment and run again it ends with the same contents. A sound store
 * is left as it is.
 * The store must not be open. A dry run opens it for reading.
 * Returns OK, with or without losses; CANCELLED by a callback, before anything is changed;
 * NO_STORE; LOCKED; FORMAT; NO_SPACE: it needs room for what it keeps of one segment; IO; CORRUPT
 * if nothing at all can be made out. Cost: all data is read; the damaged segments are written anew.
 */
BITCASK_CHECKED bitcask_status bitcask_repair(const char *directory,
                                              const bitcask_repair_options *options,
                                              bitcask_repair_result *result, bitcask_error *error);

/* ---- Salvage ------------------------------------------------------------------------------- */

/* One of the files, when it has been read. Valid during the callback. */
typedef struct bitcask_salvage_file {
    const char *path;
    uint64_t size;               /* bytes */
    uint64_t segment;            /* as its header says, or 0 */
    uint64_t records, deletions; /* taken, dead ones included; deletions: of those */
    uint64_t bytes_lost;         /* that are no good record */
    const char *what;            /* what was the matter with it; "" if nothing was */
} bitcask_salvage_file;

typedef struct bitcask_salvage_options {
    size_t struct_size;
    int (*file)(void *context, const bitcask_salvage_file *file); /* or NULL; nonzero: stop */
    void *context;
} bitcask_salvage_options;

BITCASK_API void bitcask_salvage_options_init_sized(bitcask_salvage_options *options, size_t size);
static inline void bitcask_salvage_options_init(bitcask_salvage_options *options)
{
    bitcask_salvage_options_init_sized(options, sizeof *options);
}

typedef struct bitcask_salvage_result {
    size_t struct_size;          /* set it first; `result` may be NULL */
    uint64_t files, files_used;  /* files_used: of which at least one record was taken */
    uint64_t records, deletions; /* taken; of a key that is there several times the newest counts */
    uint64_t bytes_lost;
} bitcask_salvage_result;

/* Make a new store in `directory` out of loose data files: of one store or several, under any name,
 * with damaged headers and records, without manifest and hints (a hint beside its data file, of the
 * same name, helps). Of each key the newest version counts, deletions too; expiries are kept. The
 * files are only read.
 *   directory  is made; may hold an empty store
 * Returns OK; STORE_EXISTS; CANCELLED, NO_SPACE, IO: then the new store is empty.
 * Cost: all files are read twice, and written once; nothing grows with the number of keys. */
BITCASK_CHECKED bitcask_status bitcask_salvage(const char *const *files, size_t count,
                                               const char *directory,
                                               const bitcask_salvage_options *options,
                                               bitcask_salvage_result *result,
                                               bitcask_error *error);

/* ---- Following ----------------------------------------------------------------------------- */

/* A handle opened with options.follow reads a store that another process of this machine writes. It
 * shows the store as it was at its last refresh; views, iterators and snapshots work as always, and
 * readers go on during a refresh. What the writer's own readers cannot see yet (an `always` write
 * that is not durable, half a batch) does not show. Writes, merge and verify are refused.
 * The writer knows nothing of its followers and never waits for one. After a crash of the machine,
 * what a follower has shown of unsynced writes may be gone, as for any reader.
 *
 * Bring a follower up to date.
 *   changes  or NULL; set to how many records of the log were applied, one more if the index was
 *            loaded anew; 0: there was nothing new
 * Returns OK; BUSY if the index must be loaded anew, because a merge has taken what was not yet
 * read, and snapshots are held that this would disturb: free them and refresh again; NO_STORE if
 * the store has been destroyed and DIVERGED if another one stands there: close the handle; CORRUPT;
 * IO; NO_MEMORY. Whatever it returns, the handle goes on answering, as of what it has taken in; the
 * next refresh tries the rest again. INVALID if the handle does not follow.
 * Cost: some system calls and a look at the manifest; a look-up and a checksum a record; for a
 * merge, a look-up for each key that it has moved, and for a segment that was sealed, for each key
 * in it; loaded anew, as an open. Memory: what is read of segments that are not sealed is copied.
 * Threads: any, one at a time. */
BITCASK_CHECKED bitcask_status bitcask_refresh(bitcask *db, uint64_t *changes,
                                               bitcask_error *error);

/* ---- Change feed --------------------------------------------------------------------------- */

/* The changes of a store, each exactly once, in the order of their versions, from some position on.
 * It reads the log itself, in the writing process or in a follower, so it costs the writer nothing;
 * and it can be resumed from a position later, by another process, after restarts and crashes, as
 * long as no merge has taken the log away behind it.
 *
 *     bitcask_feed *feed;
 *     bitcask_change change;
 *     if (bitcask_feed_new(db, "now", bitcask_str("user:"), &feed, &error) == BITCASK_OK) {
 *         ... to begin with all keys: read them now, with an iterator ...
 *         for (;;) {
 *             while (bitcask_feed_next(feed, &change, &error) == BITCASK_OK)
 *                 ... change.key, change.value; then keep bitcask_feed_position ...
 *             ... END: wait a little; in a follower bitcask_refresh ...
 *         }
 *     }
 *
 * A feed from "now" taken before the keys are read misses nothing: what changes in between comes in
 * both, with the same version. GAP and DIVERGED mean: begin anew in that way.
 * Expiry is no change: a key that expires stays in the log as it was put; see meta.expires_us. */
typedef struct bitcask_feed bitcask_feed;

typedef enum bitcask_change_kind {
    BITCASK_CHANGE_PUT = 1, /* also of a new expiry */
    BITCASK_CHANGE_DELETE = 2,
} bitcask_change_kind;

typedef struct bitcask_change {
    bitcask_change_kind kind;
    int more; /* the next change belongs to the same batch */
    bitcask_slice key;
    bitcask_slice value; /* of PUT */
    bitcask_meta meta;
} bitcask_change;

enum { BITCASK_POSITION_SIZE = 80 }; /* bytes of a position as text, its end included */

/*   from    a position that bitcask_feed_position has given, of this store; or
 *           "start"   all changes since the store was made: GAP if merges have taken some away
 *           "oldest"  the oldest change that is still in the log
 *           "now"     what comes after this call
 *   prefix  of the keys wanted; empty for all
 * A follower is refreshed first.
 * Returns OK; GAP if changes behind the position have been merged away; DIVERGED if the position is
 * not of this store, or of changes that a crash has taken back; INVALID if `from` is no position;
 * errors as bitcask_refresh. Cost: none to speak of; where the segment of the position has been
 * rewritten, a walk over a part of the log. Free it before the store is closed. */
BITCASK_CHECKED bitcask_status bitcask_feed_new(bitcask *db, const char *from, bitcask_slice prefix,
                                                bitcask_feed **feed, bitcask_error *error);

/* Step to the next change; its key and value are valid until the next call on this feed.
 * Returns OK; END if there is none now (call again later, in a follower after a refresh); GAP,
 * DIVERGED or CORRUPT (a record of the log is damaged: verify, repair, begin anew) if the feed
 * cannot go on: then every further call returns the same. */
BITCASK_CHECKED bitcask_status bitcask_feed_next(bitcask_feed *feed, bitcask_change *change,
                                                 bitcask_error *error);

/* The position behind the last change given, for bitcask_feed_new: text without spaces. To redo a
 * batch as a whole after a crash, keep it only where `more` is 0. */
BITCASK_API void bitcask_feed_position(const bitcask_feed *feed, char text[BITCASK_POSITION_SIZE]);

BITCASK_API void bitcask_feed_free(bitcask_feed *feed); /* NULL is allowed */

/* ---- Looking at a store -------------------------------------------------------------------- */

/* What an opening made the index from. */
typedef enum bitcask_index_origin {
    BITCASK_INDEX_NEW = 0,      /* there was no store yet */
    BITCASK_INDEX_HINTS = 1,    /* the hints of all segments */
    BITCASK_INDEX_SNAPSHOT = 2, /* its snapshot, and the log behind that */
} bitcask_index_origin;

/* Of merges in the background. */
typedef enum bitcask_merge_state {
    BITCASK_MERGE_OFF = 0,
    BITCASK_MERGE_IDLE = 1,    /* nothing to do */
    BITCASK_MERGE_WAITING = 2, /* for the delay after open, the window, or after a failure */
    BITCASK_MERGE_RUNNING = 3, /* or a bitcask_merge runs */
    BITCASK_MERGE_PAUSED = 4,
} bitcask_merge_state;

typedef struct bitcask_stats {
    size_t struct_size;
    uint64_t keys; /* in the index, expired ones not yet merged away included */
    uint64_t segments;
    uint64_t live_bytes;                  /* of records that the index points to */
    uint64_t dead_bytes;                  /* of all other records */
    uint64_t disk_bytes;                  /* allocated or used by data and hint files */
    uint64_t index_bytes;                 /* memory of the index */
    uint64_t puts, gets, misses, deletes; /* since open; gets: keys found, misses: not found */
    uint64_t bytes_written;               /* to the log since open */
    uint64_t syncs, sync_failures;
    uint64_t merges, merge_us, merge_bytes_written;
    uint64_t rotations, seals;
    uint64_t expired_segments_dropped; /* since open: went as a whole, without being read */
    uint64_t filter_lookups;           /* since open: filters of hints asked by merges */
    uint64_t filter_spared;            /* of those: that said no, and spared a search of the hint */
    uint64_t evicted_keys, evicted_bytes;     /* since open, to stay below a limit of the options */
    uint64_t max_disk_bytes, max_index_bytes; /* the limits; 0: none */
    uint64_t quota_bytes;                     /* what counts against max_disk_bytes; 0 without it */
    uint64_t pinned_segments;   /* merged away, held by views, iterators or snapshots */
    uint64_t quarantined_bytes; /* by this open */
    uint64_t corrupt_records;   /* met by this open and since */
    uint64_t missing_segments;
    uint64_t recovery_us;  /* how long open took */
    uint64_t last_version; /* the highest of a record on disk */
    uint64_t max_segment_id;
    int clean_open;                  /* the last close was clean */
    int read_only;                   /* writes are refused */
    uint64_t snapshots;              /* alive */
    uint64_t oldest_snapshot_us;     /* its age; 0 if there is none */
    uint64_t undo_entries;           /* old places of keys, kept for snapshots */
    uint64_t undo_bytes;             /* memory for them */
    uint64_t index_origin;           /* bitcask_index_origin */
    uint64_t index_snapshot_bytes;   /* of keydir.snapshot, if the next open can use it; else 0 */
    uint64_t index_snapshot_time_us; /* when it was made */
    uint64_t index_snapshots;        /* made since open */
    bitcask_merge_state merge_state;
    bitcask_status merge_last_error;              /* of the last background job */
    uint64_t merge_done_bytes, merge_total_bytes; /* of the inputs of the merge that runs */
    uint64_t merge_bytes_reclaimed;               /* since open */
    uint64_t merge_bytes_per_s;                   /* the limit; 0: none */
    uint64_t merge_waited_us;                     /* for the limit, or paused; since open */
    uint64_t merge_next_us; /* when the background looks again at the latest; 0: not known */
    uint64_t pinned_bytes;  /* of pinned_segments: disk space that views and iterators hold */
    uint64_t scrubbed_bytes, scrub_passes, scrub_findings; /* since open */
    uint64_t last_scrub_us;                                /* when a pass ended; 0: none has */

    uint64_t refreshes;         /* of a follower, since open */
    uint64_t reloads;           /* refreshes that had to load the index anew */
    uint64_t refreshed_records; /* of the log, applied by refreshes */
    uint64_t follow_lag_bytes;  /* of the log, written and not yet seen by this follower */
} bitcask_stats;

/* Fill in `stats`; set its struct_size first, else nothing is filled in. Cost: a look at each
 * segment's two files. */
BITCASK_API void bitcask_get_stats(bitcask *db, bitcask_stats *stats);

/* How many keys the index holds, as bitcask_stats.keys: expired ones not yet merged away included.
 * 0 without a store. Cost: one load. */
BITCASK_API uint64_t bitcask_count(bitcask *db);

typedef enum bitcask_segment_state {
    BITCASK_SEGMENT_ACTIVE = 0,
    BITCASK_SEGMENT_SEALING = 1,
    BITCASK_SEGMENT_SEALED = 2,
    BITCASK_SEGMENT_MISSING = 3, /* named by the manifest, its file is not there */
} bitcask_segment_state;

typedef struct bitcask_segment_info {
    uint64_t id;
    bitcask_segment_state state;
    int from_merge; /* an output of a merge */
    int has_hint;
    int damaged;                               /* holds records that fail their checksum */
    uint64_t created_us, sealed_us, synced_us; /* 0: not yet */
    uint64_t size_bytes;
    uint64_t records, tombstones;
    uint64_t live_records, live_bytes, dead_bytes;
    uint64_t version_min, version_max;
    int merging; /* an input of the merge that runs: it goes when that is done */
} bitcask_segment_info;

/* Describe up to `capacity` segments, by ascending id. Returns how many there are.
 * `info_size` is sizeof(bitcask_segment_info). */
BITCASK_API size_t bitcask_get_segments(bitcask *db, bitcask_segment_info *infos, size_t capacity,
                                        size_t info_size);

/* Statistics as one JSON object; field names are a contract, listed in docs/OPERATIONS.md. */
BITCASK_CHECKED bitcask_status bitcask_stats_json(bitcask *db, bitcask_buffer *json,
                                                  bitcask_error *error);

/* Let go of the pages of the store's files that this process has touched. They then no longer count
 * as its memory (RSS), which else grows up to the size of the files; they stay in the system's page
 * cache, unsynced writes included, and views stay valid: what is read next is mapped again. For
 * whoever has a limit of resident memory, or looks at it; `bitcask serve` calls it by itself
 * (mapped-pages-max).
 * Returns OK; NO_MEMORY. Threads: any; readers and writers go on.
 * Cost: about 30 us for each MiB that was mapped, most of it spread over later reads. */
BITCASK_CHECKED bitcask_status bitcask_trim(bitcask *db, bitcask_error *error);

/* One finding of bitcask_verify. */
typedef struct bitcask_finding {
    const char *file;  /* name inside the directory */
    uint64_t segment;  /* or 0 */
    uint64_t offset;   /* where the damage begins */
    uint64_t bytes;    /* how much is affected */
    const char *what;  /* a sentence */
    bitcask_slice key; /* of the damaged record, if it can be told; else empty */
    int note;          /* no damage: litter that the next open for writing takes away */
} bitcask_finding;

typedef struct bitcask_verify_progress {
    uint64_t done_bytes;  /* of the data files */
    uint64_t total_bytes; /* of the data files, when it began */
} bitcask_verify_progress;

typedef struct bitcask_verify_options {
    size_t struct_size;
    uint64_t bytes_per_s; /* read no faster; 0: as fast as it goes */
    int (*finding)(void *context, const bitcask_finding *finding); /* or NULL; nonzero: stop */
    int (*progress)(void *context, const bitcask_verify_progress *progress); /* the same */
    void *context;
} bitcask_verify_options;

BITCASK_API void bitcask_verify_options_init_sized(bitcask_verify_options *options, size_t size);
static inline void bitcask_verify_options_init(bitcask_verify_options *options)
{
    bitcask_verify_options_init_sized(options, sizeof *options);
}

typedef struct bitcask_verify_result {
    size_t struct_size;             /* set it first; `result` may be NULL */
    uint64_t files, records, bytes; /* looked at */
    uint64_t findings;
    uint64_t damaged_bytes;
    uint64_t notes; /* findings that are no damage, not counted in `findings` */
} bitcask_verify_result;

/* Read every record, hint and the manifest of an open store and check them, while readers, writers
 * and merges go on; a merge waits for as long as the end of one segment is looked at.
 *   options  or NULL; its `finding` is called for each, in this thread
 * Returns OK; CORRUPT if there was any finding but notes; CANCELLED; IO.
 * Cost: all data is read, at the chosen rate; the index and the hints are checked on the way. */
BITCASK_CHECKED bitcask_status bitcask_verify(bitcask *db, const bitcask_verify_options *options,
                                              bitcask_verify_result *result, bitcask_error *error);

#ifdef __cplusplus
}
#endif
#endif
