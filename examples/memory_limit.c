/* SPDX-License-Identifier: MIT
 * memory_limit.c: a cache that keeps its index below a limit by deleting what is oldest.
 *
 * The index is the only memory that grows with the number of keys (bitcask_stats.index_bytes): 9 to
 * 12 bytes a key, and at most 18 in the moment when all of its parts have just been doubled. It
 * does not shrink when keys go, but fills the room they leave before it grows again. So a limit to
 * its bytes is kept by keeping below an eighteenth as many keys.
 *
 * The store can do it by itself, whole segments at a time: options max_index_bytes and eviction.
 * This is for those who want a rule of their own.
 *
 * Age is the version: microseconds since 1970 of the last write of the key, strictly increasing.
 *
 * Prints:
 *     wrote 60000 keys
 *     the index stayed below 393216 bytes: yes
 *     the newest key is there: yes
 *     the oldest key is there: no
 */
#include <bitcask.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    INDEX_LIMIT = 384 << 10, /* bytes */
    MAX_KEYS = INDEX_LIMIT / 18,
    WRITES = 60000,
    LOOK_EVERY = 100, /* writes; statistics cost a look at each file, so not after every put */
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Walk all keys. With `versions`: note the version of each, at most `*count`; set how many there
 * were. Without: delete those not younger than `limit`. */
static bitcask_status walk(bitcask *db, uint64_t *versions, size_t *count, uint64_t limit,
                           bitcask_error *error)
{
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_write_options only_if_old;
    bitcask_write_options_init(&only_if_old);
    only_if_old.flags = BITCASK_IF_VERSION; /* a key that is written meanwhile is no longer old */
    size_t capacity = versions != NULL ? *count : 0, seen = 0;
    bitcask_status status =
        bitcask_iterator_new(db, NULL, bitcask_str(""), BITCASK_KEYS, &iterator, error);
    if (status != BITCASK_OK)
        return status;
    while ((status = bitcask_iterator_next(iterator, &entry, error)) == BITCASK_OK) {
        if (versions != NULL) {
            if (seen < capacity)
                versions[seen++] = entry.meta.version;
        } else if (entry.meta.version <= limit) {
            only_if_old.if_version = entry.meta.version;
            status = bitcask_delete(db, entry.key, &only_if_old, NULL, error);
            if (status < 0)
                break;
        }
    }
    bitcask_iterator_free(iterator);
    if (versions != NULL)
        *count = seen;
    return status == BITCASK_END ? BITCASK_OK : status;
}

/* Delete the oldest quarter of the keys. */
static bitcask_status evict(bitcask *db, uint64_t keys, bitcask_error *error)
{
    size_t count = keys;
    uint64_t *versions = malloc((count + 1) * sizeof *versions);
    if (versions == NULL) {
        snprintf(error->message, sizeof error->message, "out of memory");
        return error->status = BITCASK_NO_MEMORY;
    }
    bitcask_status status = walk(db, versions, &count, 0, error);
    qsort(versions, count, sizeof *versions, by_value);
    if (status == BITCASK_OK && count > 0)
        status = walk(db, NULL, NULL, versions[count / 4], error);
    free(versions);
    return status;
}

static bitcask_status put_number(bitcask *db, int number, bitcask_error *error)
{
    char key[32];
    snprintf(key, sizeof key, "picture %d", number);
    return bitcask_put(db, bitcask_str(key), bitcask_str("pixels"), NULL, NULL, error);
}

static const char *is_there(bitcask *db, int number)
{
    char key[32];
    snprintf(key, sizeof key, "picture %d", number);
    return bitcask_stat_key(db, NULL, bitcask_str(key), NULL, NULL) == BITCASK_OK ? "yes" : "no";
}

int main(int argc, char **argv)
{
    bitcask *db;
    bitcask_error error;
    bitcask_stats stats = {.struct_size = sizeof stats};
    uint64_t highest = 0;
    bitcask_status status = bitcask_open(argc > 1 ? argv[1] : "./memory-data", NULL, &db, &error);
    for (int i = 0; status == BITCASK_OK && i < WRITES; i++) {
        status = put_number(db, i, &error);
        if (status != BITCASK_OK || i % LOOK_EVERY != 0)
            continue;
        bitcask_get_stats(db, &stats);
        highest = stats.index_bytes > highest ? stats.index_bytes : highest;
        if (stats.keys + LOOK_EVERY > MAX_KEYS)
            status = evict(db, stats.keys, &error);
    }
    if (status == BITCASK_OK)
        printf("wrote %d keys\nthe index stayed below %d bytes: %s\n"
               "the newest key is there: %s\nthe oldest key is there: %s\n",
               WRITES, INDEX_LIMIT, highest < INDEX_LIMIT ? "yes" : "no", is_there(db, WRITES - 1),
               is_there(db, 0));
    else
        fprintf(stderr, "%s\n", error.message);
    return (bitcask_close(db, NULL) != BITCASK_OK) | (status != BITCASK_OK);
}
