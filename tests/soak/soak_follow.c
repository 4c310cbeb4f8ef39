/* SPDX-License-Identifier: MIT
 * soak_follow.c: a follower, with readers while it refreshes, and change feeds at both ends. */
#include "soak.h"

void soak_open_follower(struct soak *soak)
{
    bitcask_options options;
    bitcask_error error;
    bitcask_options_init(&options);
    options.follow = 1;
    options.segment_size = 4 << 20;
    soak_need(bitcask_open(soak->directory, &options, &soak->follower, &error), &error, "follow");
}

/* BUSY: a snapshot is held, and the index would have to be loaded anew. */
static bool try_refresh(struct soak *soak)
{
    bitcask_error error;
    bitcask_status status = bitcask_refresh(soak->follower, NULL, &error);
    if (status == BITCASK_BUSY)
        return false;
    soak_need(status, &error, "refresh");
    atomic_fetch_add(&soak->refreshes, 1);
    return true;
}

void *soak_refresh(void *context)
{
    struct soak *soak = context;
    uint64_t random = soak->seed ^ 2;
    while (!atomic_load(&soak->stopping)) {
        try_refresh(soak);
        soak_pause(soak, soak_random(&random) % 8 == 0 ? 300 : 10);
    }
    return NULL;
}

/* ---- Reading in the follower ----------------------------------------------------------------- */

static void get_some(struct soak *soak, uint64_t *random, const uint32_t *floors)
{
    bitcask_buffer value = {0};
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t key = (uint32_t)(soak_random(random) % soak->key_count);
        char name[SOAK_KEY_MAX];
        bitcask_error error;
        bitcask_status status =
            bitcask_get(soak->follower, NULL, soak_key_name(name, key), &value, NULL, &error);
        if (status == BITCASK_NOT_FOUND)
            continue;
        soak_need(status, &error, "follower get");
        uint32_t number =
            soak_number_of(bitcask_bytes(value.data, value.size), key, "follower get");
        soak_check_bounds(soak, key, number, floors[key], "follower get");
    }
    bitcask_buffer_free(&value);
}

/* What had been acknowledged when the refresh began must be there after it. */
void *soak_follow(void *context)
{
    struct soak *soak = context;
    uint64_t random = soak->seed ^ 3;
    uint32_t *found = calloc(soak->key_count, sizeof *found);
    if (found == NULL)
        soak_fail("out of memory");
    while (!atomic_load(&soak->stopping)) {
        uint32_t *floors = soak_floors(soak);
        bitcask_snapshot *snapshot;
        bitcask_error error;
        if (try_refresh(soak)) {
            get_some(soak, &random, floors);
            soak_need(bitcask_snapshot_new(soak->follower, &snapshot, &error), &error,
                      "follower snapshot");
            soak_walk(soak, soak->follower, snapshot, found, "follower");
            bitcask_snapshot_free(snapshot);
            for (uint32_t key = 0; key < soak->key_count; key++)
                soak_check_bounds(soak, key, found[key], floors[key], "follower");
        }
        free(floors);
        soak_pause(soak, 200);
    }
    free(found);
    return NULL;
}

/* ---- Change feeds ---------------------------------------------------------------------------- */

void soak_feed_begin(struct soak_feed *feed, struct soak *soak, bitcask *db, const char *who)
{
    bitcask_error error;
    *feed = (struct soak_feed){.soak = soak, .db = db, .who = who};
    feed->seen = calloc(soak->key_count, sizeof *feed->seen);
    if (feed->seen == NULL)
        soak_fail("out of memory");
    soak_need(bitcask_feed_new(db, "now", bitcask_str(""), &feed->feed, &error), &error, who);
}

static void take_change(struct soak_feed *feed, const bitcask_change *change)
{
    uint32_t key = soak_key_of(feed->soak, change->key);
    if (change->meta.version <= feed->version)
        soak_fail("%s: version %llu after %llu", feed->who,
                  (unsigned long long)change->meta.version, (unsigned long long)feed->version);
    feed->version = change->meta.version;
    atomic_fetch_add(&feed->soak->changes, 1);
    if (change->kind != BITCASK_CHANGE_PUT)
        return;
    uint32_t number = soak_number_of(change->value, key, feed->who);
    soak_check_bounds(feed->soak, key, number, feed->seen[key] + 1, feed->who);
    feed->seen[key] = number;
}

/* A merge was faster: what is known of each key is known no longer. */
static void begin_anew(struct soak_feed *feed)
{
    bitcask_error error;
    bitcask_status status;
    bitcask_feed_free(feed->feed);
    /* BUSY: as try_refresh */
    while ((status = bitcask_feed_new(feed->db, "now", bitcask_str(""), &feed->feed, &error)) ==
           BITCASK_BUSY)
        soak_pause(feed->soak, 10);
    soak_need(status, &error, feed->who);
    for (uint32_t key = 0; key < feed->soak->key_count; key++)
        feed->seen[key] = 0;
    atomic_fetch_add(&feed->soak->gaps, 1);
}

static void drain(struct soak_feed *feed)
{
    bitcask_change change;
    bitcask_error error;
    bitcask_status status;
    while ((status = bitcask_feed_next(feed->feed, &change, &error)) == BITCASK_OK)
        take_change(feed, &change);
    if (status == BITCASK_GAP)
        begin_anew(feed);
    else if (status != BITCASK_END)
        soak_need(status, &error, feed->who);
}

void *soak_read_feed(void *context)
{
    struct soak_feed *feed = context;
    while (!atomic_load(&feed->soak->stopping)) {
        drain(feed);
        soak_pause(feed->soak, 10);
    }
    return NULL;
}

/* Nobody writes any more. A key that is there was last put as the feed has it. */
void soak_feed_end(struct soak_feed *feed)
{
    if (feed->db == feed->soak->follower && !try_refresh(feed->soak))
        soak_fail("%s: a last refresh is not possible", feed->who);
    drain(feed);
    for (uint32_t key = 0; key < feed->soak->key_count; key++) {
        uint32_t number = feed->soak->keys[key].number;
        if (number != 0 && feed->seen[key] != 0 && feed->seen[key] != number)
            soak_fail("%s: the last put of key %u is %u; it should be %u", feed->who, key,
                      feed->seen[key], number);
    }
    bitcask_feed_free(feed->feed);
    free(feed->seen);
}
