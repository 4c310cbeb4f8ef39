/* SPDX-License-Identifier: MIT
 * soak_writer.c: writes to its own keys, and reads them: exactly what it wrote must be there. */
#include <string.h>

#include "soak.h"

enum { BATCH_MAX = 12, TTL_MAX_MS = 4000, CLOCK_SLACK_US = 20 * 1000 };

static uint32_t own_key(struct soak_writer *writer)
{
    uint32_t share = writer->soak->key_count / SOAK_WRITERS;
    uint64_t random = soak_random(&writer->random);
    /* Half of the work on a sixteenth of the keys. */
    uint32_t bound = random >> 63 ? share : share / 16 + 1;
    return (uint32_t)(random % bound) * SOAK_WRITERS + writer->index;
}

/* Is the key there? The clock decides about those that expire: 1, 0, or -1 for "about to go". */
static int lives(const struct soak_key *key, uint64_t now_us)
{
    if (key->number == 0)
        return 0;
    if (key->expires_us == 0 || now_us + CLOCK_SLACK_US < key->expires_us)
        return 1;
    return now_us > key->expires_us + CLOCK_SLACK_US ? 0 : -1;
}

static uint32_t begin(struct soak_key *key)
{
    return atomic_fetch_add(&key->begun, 1) + 1;
}

static void end(struct soak_key *key, uint32_t write, uint32_t number, uint64_t expires_us,
                uint64_t version)
{
    key->number = number;
    key->expires_us = expires_us;
    if (version != 0) {
        if (version <= key->version)
            soak_fail("a version went back: %llu after %llu", (unsigned long long)version,
                      (unsigned long long)key->version);
        key->version = version;
    }
    atomic_store(&key->ended, write);
}

static void put(struct soak_writer *writer, uint64_t expires_us)
{
    struct soak *soak = writer->soak;
    uint32_t number = own_key(writer);
    struct soak_key *key = &soak->keys[number];
    char name[SOAK_KEY_MAX];
    uint8_t value[SOAK_VALUE_MAX];
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = expires_us;
    if (soak_random(&writer->random) % 512 == 0)
        options.sync = BITCASK_SYNC_ALWAYS;
    bitcask_error error;
    uint64_t version;
    uint32_t write = begin(key);
    size_t size = soak_value(value, number, write);
    soak_need(bitcask_put(soak->db, soak_key_name(name, number), bitcask_bytes(value, size),
                          &options, &version, &error),
              &error, "put");
    end(key, write, write, expires_us, version);
    atomic_fetch_add(&soak->writes, 1);
}

static void delete (struct soak_writer *writer)
{
    struct soak *soak = writer->soak;
    uint32_t number = own_key(writer);
    struct soak_key *key = &soak->keys[number];
    char name[SOAK_KEY_MAX];
    bitcask_error error;
    uint64_t version = 0;
    uint64_t before = soak_now_us();
    uint32_t write = begin(key);
    bitcask_status status =
        bitcask_delete(soak->db, soak_key_name(name, number), NULL, &version, &error);
    if (status == BITCASK_NOT_FOUND) {
        if (lives(key, before) == 1 && lives(key, soak_now_us()) == 1)
            soak_fail("delete: key %u is not there; it has write %u", number, key->number);
    } else {
        soak_need(status, &error, "delete");
        if (lives(key, before) == 0)
            soak_fail("delete: key %u was there, and should not have been", number);
    }
    end(key, write, 0, 0, status == BITCASK_OK ? version : 0);
    atomic_fetch_add(&soak->writes, 1);
}

static void write_batch(struct soak_writer *writer, bitcask_batch *batch)
{
    struct soak *soak = writer->soak;
    uint32_t count = 2 + (uint32_t)(soak_random(&writer->random) % (BATCH_MAX - 1));
    uint32_t numbers[BATCH_MAX], writes[BATCH_MAX], values[BATCH_MAX];
    bitcask_error error;
    bitcask_batch_clear(batch);
    for (uint32_t i = 0; i < count; i++) {
        char name[SOAK_KEY_MAX];
        uint8_t value[SOAK_VALUE_MAX];
        numbers[i] = own_key(writer);
        writes[i] = begin(&soak->keys[numbers[i]]);
        bool deletes = soak_random(&writer->random) % 8 == 0;
        values[i] = deletes ? 0 : writes[i];
        bitcask_slice slice = soak_key_name(name, numbers[i]);
        bitcask_status status =
            deletes
                ? bitcask_batch_delete(batch, slice, &error)
                : bitcask_batch_put(batch, slice,
                                    bitcask_bytes(value, soak_value(value, numbers[i], writes[i])),
                                    0, &error);
        soak_need(status, &error, "batch");
    }
    uint64_t version;
    soak_need(bitcask_write(soak->db, batch, NULL, &version, &error), &error, "write a batch");
    for (uint32_t i = 0; i < count; i++) /* in order: the last write of a key twice in it counts */
        end(&soak->keys[numbers[i]], writes[i], values[i], 0, 0);
    atomic_fetch_add(&soak->batches, 1);
    atomic_fetch_add(&soak->writes, count);
}

/* A put on condition that the key is as the model has it must succeed, one with a wrong version
 * must not. */
static void put_if(struct soak_writer *writer)
{
    struct soak *soak = writer->soak;
    uint32_t number = own_key(writer);
    struct soak_key *key = &soak->keys[number];
    uint64_t before = soak_now_us();
    if (lives(key, before) != 1 || lives(key, before + 1000000) != 1)
        return;
    char name[SOAK_KEY_MAX];
    uint8_t value[SOAK_VALUE_MAX];
    bitcask_slice slice = soak_key_name(name, number);
    bitcask_meta meta;
    bitcask_error error;
    soak_need(bitcask_stat_key(soak->db, NULL, slice, &meta, &error), &error, "stat");
    bool wrong = soak_random(&writer->random) % 4 == 0;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = BITCASK_IF_VERSION;
    options.if_version = wrong ? meta.version - 1 : meta.version;
    uint32_t write = begin(key);
    uint64_t version;
    bitcask_status status =
        bitcask_put(soak->db, slice, bitcask_bytes(value, soak_value(value, number, write)),
                    &options, &version, &error);
    if (wrong ? status != BITCASK_CONFLICT : status != BITCASK_OK)
        soak_fail("key %u: a put %s its version gives %s", number, wrong ? "against" : "with",
                  bitcask_status_name(status));
    if (!wrong) /* else nothing has ended: what is there is as old as before */
        end(key, write, write, 0, version);
    atomic_fetch_add(&soak->conflicts, wrong);
    atomic_fetch_add(&soak->writes, 1);
}

static void check_own(struct soak *soak, bitcask *db, uint32_t number, bitcask_buffer *value,
                      const char *who)
{
    const struct soak_key *key = &soak->keys[number];
    char name[SOAK_KEY_MAX];
    bitcask_error error;
    uint64_t before = soak_now_us();
    bitcask_status status = bitcask_get(db, NULL, soak_key_name(name, number), value, NULL, &error);
    uint64_t after = soak_now_us();
    if (status == BITCASK_NOT_FOUND) {
        if (lives(key, after) == 1)
            soak_fail("%s: key %u is not there; it should have write %u", who, number, key->number);
        atomic_fetch_add(&soak->expired, key->number != 0);
        return;
    }
    soak_need(status, &error, who);
    uint32_t found = soak_number_of(bitcask_bytes(value->data, value->size), number, who);
    if (found != key->number)
        soak_fail("%s: key %u has write %u; it should have %u", who, number, found, key->number);
    if (lives(key, before) == 0)
        soak_fail("%s: key %u is there, and should have expired", who, number);
}

static void read_own(struct soak_writer *writer, bitcask_buffer *value)
{
    check_own(writer->soak, writer->soak->db, own_key(writer), value, "get");
    atomic_fetch_add(&writer->soak->reads, 1);
}

/* Keys of others, several at once. */
static void read_others(struct soak_writer *writer)
{
    enum { MANY = 16 };
    struct soak *soak = writer->soak;
    char names[MANY][SOAK_KEY_MAX];
    bitcask_slice slices[MANY];
    uint32_t numbers[MANY], floors[MANY];
    bitcask_view views[MANY];
    bitcask_status each[MANY];
    bitcask_error error;
    for (unsigned i = 0; i < MANY; i++) {
        numbers[i] = (uint32_t)(soak_random(&writer->random) % soak->key_count);
        slices[i] = soak_key_name(names[i], numbers[i]);
        floors[i] = soak_floor(soak, numbers[i]);
    }
    soak_need(bitcask_get_many(soak->db, NULL, slices, MANY, views, each, &error), &error,
              "get many");
    for (unsigned i = 0; i < MANY; i++)
        if (each[i] == BITCASK_OK)
            soak_check_bounds(soak, numbers[i],
                              soak_number_of(views[i].value, numbers[i], "get many"), floors[i],
                              "get many");
    bitcask_views_release(views, MANY);
    atomic_fetch_add(&soak->reads, MANY);
}

void *soak_write(void *context)
{
    struct soak_writer *writer = context;
    struct soak *soak = writer->soak;
    bitcask_buffer value = {0};
    bitcask_batch *batch;
    bitcask_error error;
    soak_need(bitcask_batch_new(&batch, &error), &error, "batch");
    while (!atomic_load(&soak->stopping)) {
        uint64_t dice = soak_random(&writer->random) % 100;
        if (dice < 40)
            put(writer, 0);
        else if (dice < 48)
            put(writer, soak_now_us() + soak_random(&writer->random) % TTL_MAX_MS * 1000);
        else if (dice < 56)
            delete (writer);
        else if (dice < 60)
            write_batch(writer, batch);
        else if (dice < 63)
            put_if(writer);
        else if (dice < 97)
            read_own(writer, &value);
        else
            read_others(writer);
    }
    bitcask_batch_free(batch);
    bitcask_buffer_free(&value);
    return NULL;
}

void soak_check_all(struct soak *soak, bitcask *db, const char *who)
{
    bitcask_buffer value = {0};
    for (uint32_t key = 0; key < soak->key_count; key++)
        check_own(soak, db, key, &value, who);
    bitcask_buffer_free(&value);
}
