/* SPDX-License-Identifier: MIT
 * soak_visitor.c: those who look at all keys while the writers go on. */
#include <time.h>

#include "soak.h"

void soak_pause(struct soak *soak, uint64_t ms)
{
    for (uint64_t slept = 0; slept < ms && !atomic_load(&soak->stopping); slept += 10)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

uint32_t *soak_floors(struct soak *soak)
{
    uint32_t *floors = malloc(soak->key_count * sizeof *floors);
    if (floors == NULL)
        soak_fail("out of memory");
    for (uint32_t key = 0; key < soak->key_count; key++)
        floors[key] = soak_floor(soak, key);
    return floors;
}

void soak_walk(struct soak *soak, bitcask *db, bitcask_snapshot *snapshot, uint32_t *found,
               const char *who)
{
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_iterator *iterator;
    bitcask_error error;
    soak_need(
        bitcask_iterator_new(db, &options, bitcask_str(""), BITCASK_VALUES, &iterator, &error),
        &error, who);
    for (uint32_t key = 0; key < soak->key_count; key++)
        found[key] = 0;
    bitcask_entry entry;
    bitcask_status status;
    while ((status = bitcask_iterator_next(iterator, &entry, &error)) == BITCASK_OK) {
        uint32_t key = soak_key_of(soak, entry.key);
        if (found[key] != 0)
            soak_fail("%s: key %u is met twice", who, key);
        found[key] = soak_number_of(entry.value, key, who);
    }
    if (status != BITCASK_END)
        soak_need(status, &error, who);
    bitcask_iterator_free(iterator);
    atomic_fetch_add(&soak->iterations, 1);
}

/* ---- Snapshots ----------------------------------------------------------------------------- */

/* Does a look-up in the snapshot agree with the walk? */
static void check_key(struct soak *soak, bitcask_snapshot *snapshot, uint32_t key, uint32_t found,
                      bitcask_buffer *value)
{
    char name[SOAK_KEY_MAX];
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = snapshot;
    bitcask_error error;
    bitcask_status status =
        bitcask_get(soak->db, &options, soak_key_name(name, key), value, NULL, &error);
    uint32_t number = 0;
    if (status == BITCASK_OK)
        number = soak_number_of(bitcask_bytes(value->data, value->size), key, "snapshot get");
    else if (status != BITCASK_NOT_FOUND)
        soak_need(status, &error, "snapshot get");
    if (number != found)
        soak_fail("snapshot at %llu: key %u has write %u, and had %u",
                  (unsigned long long)bitcask_snapshot_version(snapshot), key, number, found);
}

static void visit_snapshot(struct soak *soak, uint64_t *random, uint32_t *first, uint32_t *second)
{
    bitcask_snapshot *snapshot;
    bitcask_error error;
    uint32_t *floors = soak_floors(soak);
    soak_need(bitcask_snapshot_new(soak->db, &snapshot, &error), &error, "snapshot");
    soak_walk(soak, soak->db, snapshot, first, "snapshot");
    for (uint32_t key = 0; key < soak->key_count; key++)
        soak_check_bounds(soak, key, first[key], floors[key], "snapshot");
    soak_pause(soak, soak_random(random) % 3000);
    bitcask_buffer value = {0};
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t key = (uint32_t)(soak_random(random) % soak->key_count);
        check_key(soak, snapshot, key, first[key], &value);
    }
    soak_walk(soak, soak->db, snapshot, second, "snapshot again");
    for (uint32_t key = 0; key < soak->key_count; key++)
        if (first[key] != second[key])
            soak_fail("snapshot: key %u had write %u, and has %u now", key, first[key],
                      second[key]);
    bitcask_buffer_free(&value);
    bitcask_snapshot_free(snapshot);
    free(floors);
    atomic_fetch_add(&soak->snapshots, 1);
}

void *soak_take_snapshots(void *context)
{
    struct soak *soak = context;
    uint64_t random = soak->seed ^ 1;
    uint32_t *first = calloc(soak->key_count, sizeof *first);
    uint32_t *second = calloc(soak->key_count, sizeof *second);
    if (first == NULL || second == NULL)
        soak_fail("out of memory");
    while (!atomic_load(&soak->stopping)) {
        visit_snapshot(soak, &random, first, second);
        soak_pause(soak, 1000);
    }
    free(first);
    free(second);
    return NULL;
}

/* ---- Backups ------------------------------------------------------------------------------- */

static void visit_backup(struct soak *soak, uint32_t *found)
{
    bitcask_error error;
    uint32_t *floors = soak_floors(soak);
    soak_need(bitcask_backup(soak->db, soak->backup_directory, NULL, NULL, &error), &error,
              "backup");
    bitcask_options options;
    bitcask_options_init(&options);
    options.read_only = 1; /* so that the next one is an increment of it */
    bitcask *copy;
    soak_need(bitcask_open(soak->backup_directory, &options, &copy, &error), &error,
              "open the backup");
    soak_walk(soak, copy, NULL, found, "backup");
    for (uint32_t key = 0; key < soak->key_count; key++)
        soak_check_bounds(soak, key, found[key], floors[key], "backup");
    soak_need(bitcask_close(copy, &error), &error, "close the backup");
    free(floors);
    atomic_fetch_add(&soak->backups, 1);
}

void *soak_make_backups(void *context)
{
    struct soak *soak = context;
    uint32_t *found = calloc(soak->key_count, sizeof *found);
    if (found == NULL)
        soak_fail("out of memory");
    while (!atomic_load(&soak->stopping)) {
        visit_backup(soak, found);
        soak_pause(soak, 20 * 1000);
    }
    free(found);
    return NULL;
}

/* ---- Merges -------------------------------------------------------------------------------- */

/* The scheduler merges by itself; now and then somebody asks for all of it. */
void *soak_merge(void *context)
{
    struct soak *soak = context;
    while (!atomic_load(&soak->stopping)) {
        soak_pause(soak, 60 * 1000);
        bitcask_merge_options options;
        bitcask_merge_options_init(&options);
        options.all = 1;
        bitcask_error error;
        bitcask_status status = bitcask_merge(soak->db, &options, NULL, &error);
        if (status != BITCASK_BUSY) /* the scheduler is at it */
            soak_need(status, &error, "merge");
        atomic_fetch_add(&soak->merges, 1);
    }
    return NULL;
}
