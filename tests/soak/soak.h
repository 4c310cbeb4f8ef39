/* SPDX-License-Identifier: MIT
 * soak.h: a store under mixed load for a long time, held against a model all the while.
 *
 * Each key belongs to one writer, which therefore knows exactly what a read must give. Everybody
 * else knows bounds: writes of a key are numbered, what a reader finds is no older than the last
 * write that had been acknowledged when it began, and no newer than the last one begun when it
 * ended. A value says its key and number and is a pattern of both, so that any wrong byte shows.
 *
 *   soak_model.c     what is known of each key
 *   soak_writer.c    puts, deletes, batches, expiring keys, conditions, and reads of the own keys
 *   soak_visitor.c   snapshots, iterations, backups, merges: others who look at all keys
 *   soak_follow.c    a follower and its readers, change feeds
 *   soak.c           options, the threads, the resources that must stay flat, the report
 *
 * A wrong answer is printed with all that is known of its key, and ends the run with abort. */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include <bitcask.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { SOAK_WRITERS = 4, SOAK_KEY_MAX = 32, SOAK_VALUE_MAX = 4096 };

/* One key. Written by its owner alone. */
struct soak_key {
    _Atomic uint32_t begun; /* number of the last write that may have taken effect */
    _Atomic uint32_t ended; /* and of the last one that returned */
    /* The owner's: */
    uint32_t number; /* of the value that is there; 0: none */
    uint64_t expires_us;
    uint64_t version;
};

struct soak {
    const char *directory, *backup_directory;
    uint64_t seconds, seed;
    uint32_t key_count;
    bitcask *db, *follower;
    struct soak_key *keys;
    _Atomic bool stopping;

    _Atomic uint64_t writes, reads, batches, conflicts, expired, snapshots, iterations, backups,
        merges, refreshes, changes, gaps;
};

void soak_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Ends the run unless the call succeeded. */
void soak_need(bitcask_status status, const bitcask_error *error, const char *what);

static inline uint64_t soak_random(uint64_t *state)
{
    uint64_t n = *state += 0x9E3779B97F4A7C15u;
    n = (n ^ n >> 30) * 0xBF58476D1CE4E5B9u;
    n = (n ^ n >> 27) * 0x94D049BB133111EBu;
    return n ^ n >> 31;
}

/* ---- The model ----------------------------------------------------------------------------- */

uint64_t soak_now_us(void); /* the wall clock */

bitcask_slice soak_key_name(char text[SOAK_KEY_MAX], uint32_t key);

/* The number of a key's name; fails if it is none. */
uint32_t soak_key_of(const struct soak *soak, bitcask_slice name);

/* Make the value of write `number` of `key`; the number decides its size. */
size_t soak_value(uint8_t value[SOAK_VALUE_MAX], uint32_t key, uint32_t number);

/* The number in a value, every byte of which is checked. `who` is for the message. */
uint32_t soak_number_of(bitcask_slice value, uint32_t key, const char *who);

/* For readers that own nothing: bounds of what they may find. floor is taken before the look, the
 * ceiling after it. Fails if `number` (0: not found) is out of them. A key that is not there has
 * been deleted or has expired: then there is no lower bound. */
static inline uint32_t soak_floor(struct soak *soak, uint32_t key)
{
    return atomic_load(&soak->keys[key].ended);
}
void soak_check_bounds(struct soak *soak, uint32_t key, uint32_t number, uint32_t floor,
                       const char *who);

/* ---- The threads --------------------------------------------------------------------------- */

struct soak_writer {
    struct soak *soak;
    uint32_t index;
    uint64_t random;
};
void *soak_write(void *writer);

/* Look at the keys of all writers once they have ended: exactly what they left. */
void soak_check_all(struct soak *soak, bitcask *db, const char *who);

void *soak_take_snapshots(void *soak);
void *soak_make_backups(void *soak);
void *soak_merge(void *soak);

/* A second handle, which follows the first as another process would. */
void soak_open_follower(struct soak *soak);
void *soak_refresh(void *soak);
void *soak_follow(void *soak);

struct soak_feed {
    struct soak *soak;
    bitcask *db;
    bitcask_feed *feed;
    uint32_t *seen; /* of each key, the last put; 0: none yet */
    uint64_t version;
    const char *who;
};
void soak_feed_begin(struct soak_feed *feed, struct soak *soak, bitcask *db, const char *who);
void *soak_read_feed(void *feed);
void soak_feed_end(struct soak_feed *feed); /* when nobody writes any more */

/* What had been acknowledged of each key; malloc'd. */
uint32_t *soak_floors(struct soak *soak);

/* Walk all keys, each at most once, and note its write in `found` (0: not met). */
void soak_walk(struct soak *soak, bitcask *db, bitcask_snapshot *snapshot, uint32_t *found,
               const char *who);

/* Sleep, but not beyond the end of the run. */
void soak_pause(struct soak *soak, uint64_t ms);

#endif
