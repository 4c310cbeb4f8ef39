/* SPDX-License-Identifier: MIT
 * keydir_fetch.c: shards that are fetched from an image when they are first needed; and copies of
 * shards, of which such an image is made.
 *
 * A shard that has not been fetched is `absent`: its directory entries point at one shard that
 * stands for all of these. It is empty and its entries say that it has a stash, so that a look-up
 * needs no test for it: it finds nothing in the buckets, goes to the stash, and there
 * (keydir_probe_stash) learns that it has to fetch the shard and begin again. Everything else asks
 * shard_is_absent before it believes in a shard.
 *
 * `fetch_mutex` guards the source and which shards have been fetched; `mutex` is taken inside it to
 * change directory entries. The writer looks a key up before it changes anything of it, so it never
 * meets an absent shard elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "engine/keydir_internal.h"

/* Which shard of the source holds `hash`? Holding fetch_mutex. */
static uint32_t find_source_shard(const struct keydir_source *source, uint64_t hash)
{
    uint32_t low = 0, high = source->shard_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (source->shards[middle].first <= hash)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void free_source(struct keydir *keydir)
{
    struct keydir_source *source = &keydir->source;
    if (source->shards == NULL)
        return;
    keydir_sub_bytes(keydir, source->shard_count * sizeof *source->shards);
    if (source->release != NULL)
        source->release(source->context);
    free(source->shards);
    free(keydir->fetch_words);
    keydir->fetch_words = NULL;
    *source = (struct keydir_source){0};
}

/* ---- Attaching ----------------------------------------------------------------------------- */

/* The deepest shard decides; a directory far larger than the number of shards is refused. */
static bool directory_depth_of(const struct keydir_source *source, uint32_t *depth)
{
    *depth = 0;
    for (uint32_t i = 0; i < source->shard_count; i++) {
        if (source->shards[i].depth > *depth)
            *depth = source->shards[i].depth;
    }
    return *depth <= KEYDIR_DEPTH_MAX &&
           UINT64_C(1) << *depth <= UINT64_C(64) * source->shard_count;
}

static uint32_t words_of(const struct keydir *keydir, const struct keydir_source_shard *shard)
{
    return keydir->bucket_count * KEYDIR_BUCKET_SLOTS + 2 * shard->stash;
}

bitcask_status keydir_attach(struct keydir *keydir, struct keydir_source *source,
                             bitcask_error *error)
{
    CHECK(keydir_count(keydir) == 0 && keydir->source.shards == NULL && source->shard_count > 0);
    uint32_t depth;
    if (source->bucket_count > keydir->options.max_buckets || !directory_depth_of(source, &depth))
        return error_set(error, BITCASK_CORRUPT, "the index image is of an impossible shape");
    uint32_t bucket_count = keydir->bucket_count;
    keydir->bucket_count = source->bucket_count; /* of the shards that are made from now on */
    struct keydir_directory *directory = directory_new(keydir, depth);
    struct keydir_shard *absent = directory != NULL ? shard_new(keydir, 0, 0, 0) : NULL;
    uint32_t most_words = 0;
    uint64_t entries = 0;
    for (uint32_t i = 0; i < source->shard_count; i++) {
        uint32_t words = words_of(keydir, &source->shards[i]);
        most_words = words > most_words ? words : most_words;
        entries += source->shards[i].entries;
    }
    uint64_t *words = absent != NULL ? malloc(most_words * sizeof *words) : NULL;
    if (words == NULL) {
        shard_free(keydir, absent);
        directory_free(keydir, directory);
        keydir->bucket_count = bucket_count;
        return error_set(error, BITCASK_NO_MEMORY, "no memory for the index");
    }
    keydir_free_shards(keydir);
    keydir_lay_out(keydir, source->bucket_count);
    keydir_pool_expect(keydir->pool, shard_size(source->bucket_count) * source->shard_count);
    keydir->source = *source;
    keydir->fetch_words = words;
    *source = (struct keydir_source){0};
    keydir_add_bytes(keydir, keydir->source.shard_count * sizeof *keydir->source.shards);
    absent->absent_from = keydir;
    uint64_t entry = (uint64_t)(uintptr_t)absent | KEYDIR_ENTRY_STASH;
    for (uint64_t i = 0; i < UINT64_C(1) << depth; i++)
        atomic_store_explicit(&directory->entries[i], entry, memory_order_relaxed);
    keydir->absent = absent;
    atomic_store(&keydir->absent_count, keydir->source.shard_count);
    atomic_store(&keydir->count, entries);
    atomic_store_explicit(&keydir->shards, keydir->source.shard_count, memory_order_relaxed);
    atomic_store_explicit(&keydir->directory, directory, memory_order_release);
    return BITCASK_OK;
}

void keydir_detach(struct keydir *keydir)
{
    shard_free(keydir, keydir->absent);
    keydir->absent = NULL;
    free_source(keydir);
}

/* ---- Fetching ------------------------------------------------------------------------------ */

static struct keydir_shard *
shard_of_words(struct keydir *keydir, const struct keydir_source_shard *from, const uint64_t *words)
{
    struct keydir_shard *shard = shard_new(keydir, from->depth, from->tag_depth, from->stash);
    if (shard == NULL)
        return NULL;
    uint32_t slots = shard_slots(shard), used = 0;
    for (uint32_t i = 0; i < slots; i++) {
        atomic_store_explicit(&shard->slots[i], words[i], memory_order_relaxed);
        used += words[i] != 0;
    }
    atomic_store_explicit(&shard->used, used, memory_order_relaxed);
    struct keydir_stash *stash = shard_stash(shard);
    for (uint32_t i = 0; i < from->stash; i++)
        stash_put(stash, &stash->entries[i], words[slots + 2 * i + 1], words[slots + 2 * i]);
    return shard;
}

/* From the records themselves, where the image is no good. */
static bitcask_status rebuild(struct keydir *keydir, const struct keydir_source_shard *from,
                              struct keydir_shard **out)
{
    const struct keydir_source *source = &keydir->source;
    struct keydir_load_entry *entries = NULL;
    size_t count = 0;
    uint64_t behind = hash_behind(from->first, from->depth);
    uint64_t last = behind == UINT64_MAX ? behind : behind - 1;
    bitcask_status status = source->rebuild(source->context, from->first, last, &entries, &count);
    if (status == BITCASK_OK) {
        *out = keydir_shard_from(keydir, from->depth, entries, count);
        status = *out != NULL ? BITCASK_OK : BITCASK_NO_MEMORY;
    }
    free(entries);
    return status;
}

/* Show the shard in the place of the one that stands for it. */
static void show(struct keydir *keydir, uint64_t first, struct keydir_shard *shard)
{
    shard->live = true;
    pthread_mutex_lock(&keydir->mutex);
    directory_set(directory_of(keydir), first, shard);
    if (shard_tag_bits(shard) <= KEYDIR_TAG_BITS_SHORT)
        counter_add(&keydir->short_tags, 1);
    pthread_mutex_unlock(&keydir->mutex);
}

/* Holding fetch_mutex. */
static bitcask_status fetch(struct keydir *keydir, uint32_t index)
{
    const struct keydir_source *source = &keydir->source;
    struct keydir_source_shard *from = &source->shards[index];
    CHECK(!from->fetched);
    struct keydir_shard *shard = NULL;
    bitcask_status status = source->fetch(source->context, index, keydir->fetch_words);
    if (status == BITCASK_OK) {
        shard = shard_of_words(keydir, from, keydir->fetch_words);
        status = shard != NULL ? BITCASK_OK : BITCASK_NO_MEMORY;
    } else if (status != BITCASK_NO_MEMORY && source->rebuild != NULL) {
        status = rebuild(keydir, from, &shard);
    }
    if (status != BITCASK_OK)
        return status == BITCASK_NO_MEMORY ? status : BITCASK_IO;
    from->fetched = true;
    show(keydir, from->first, shard);
    if (atomic_fetch_sub(&keydir->absent_count, 1) == 1) {
        shard_retire(keydir, keydir->absent); /* a reader may be on its way here from it */
        keydir->absent = NULL;
        free_source(keydir);
    }
    return BITCASK_OK;
}

bitcask_status keydir_fetch(struct keydir *keydir, uint64_t hash)
{
    bitcask_status status = BITCASK_OK;
    pthread_mutex_lock(&keydir->fetch_mutex);
    if (shard_is_absent(shard_of(keydir, hash)))
        status = fetch(keydir, find_source_shard(&keydir->source, hash));
    pthread_mutex_unlock(&keydir->fetch_mutex);
    return status;
}

bitcask_status keydir_fetch_some(struct keydir *keydir, uint32_t shards)
{
    bitcask_status status = BITCASK_OK;
    for (uint32_t done = 0; done < shards && status == BITCASK_OK && keydir_has_absent(keydir);) {
        pthread_mutex_lock(&keydir->fetch_mutex);
        uint32_t count = keydir->source.shard_count;
        while (keydir->source.cursor < count &&
               keydir->source.shards[keydir->source.cursor].fetched)
            keydir->source.cursor++;
        if (keydir->source.cursor < count) {
            if (keydir->source.ahead != NULL)
                keydir->source.ahead(keydir->source.context, keydir->source.cursor);
            status = fetch(keydir, keydir->source.cursor);
            done++;
        }
        pthread_mutex_unlock(&keydir->fetch_mutex);
    }
    return status;
}

bitcask_status keydir_fetch_all(struct keydir *keydir, bitcask_error *error)
{
    bitcask_status status = keydir_fetch_some(keydir, UINT32_MAX);
    return status == BITCASK_OK ? BITCASK_OK : keydir_fetch_failed(status, error);
}

bitcask_status keydir_fetch_failed(bitcask_status status, bitcask_error *error)
{
    return error_set(error, status, "a part of the index could not be read or rebuilt; reopen");
}

bool keydir_probe_absent(struct keydir_probe *probe, struct keydir_place *place)
{
    struct keydir *keydir = probe->shard->absent_from;
    bitcask_status status = keydir_fetch(keydir, probe->hash);
    if (status != BITCASK_OK) {
        probe->status = status;
        return false;
    }
    keydir_probe_start(keydir, probe->hash, probe);
    return keydir_probe_next(probe, place);
}

/* ---- What walks over all shards ------------------------------------------------------------ */

uint64_t keydir_range_behind(struct keydir *keydir, const struct keydir_shard *shard, uint64_t hash,
                             struct keydir_source_shard *absent)
{
    if (!shard_is_absent(shard))
        return hash_behind(hash, shard->depth);
    *absent = keydir->source.shards[find_source_shard(&keydir->source, hash)];
    return hash_behind(hash, absent->depth);
}

/* ---- Copies of shards ---------------------------------------------------------------------- */

static bool make_words(struct keydir_copy *copy, size_t words)
{
    if (copy->capacity >= words)
        return true;
    uint64_t *larger = realloc(copy->words, words * sizeof *larger);
    if (larger == NULL)
        return false;
    copy->words = larger;
    copy->capacity = words;
    return true;
}

/* Without the reservations: who makes them writes to the log before they are entries. */
static void copy_words(const struct keydir_shard *shard, const struct keydir_stash *stash,
                       struct keydir_copy *copy)
{
    uint64_t *to = copy->words;
    copy->entries = copy->stash = 0;
    for (uint32_t i = 0; i < shard_slots(shard); i++) {
        uint64_t word = load_slot(&shard->slots[i]);
        *to = word_is_reservation(word) ? 0 : word;
        copy->entries += *to++ != 0;
    }
    for (uint32_t i = 0; stash != NULL && i < counter_load(&stash->end); i++) {
        uint64_t word = load_slot(&stash->entries[i].word);
        if (word == 0 || word_is_reservation(word & ~KEYDIR_ALTERNATE))
            continue;
        *to++ = word;
        *to++ = load_slot(&stash->entries[i].hash);
        copy->stash++;
    }
    copy->entries += copy->stash;
    copy->depth = shard->depth;
    copy->tag_depth = shard->tag_depth;
}

bitcask_status keydir_copy_shard(struct keydir *keydir, uint64_t cursor, struct keydir_copy *copy,
                                 uint64_t *next)
{
    for (;;) {
        bitcask_status status = BITCASK_OK;
        size_t wanted = 0;
        pthread_mutex_lock(&keydir->mutex);
        const struct keydir_shard *shard = shard_of(keydir, cursor);
        const struct keydir_stash *stash = shard_stash(shard);
        bool absent = shard_is_absent(shard);
        if (!absent) {
            wanted = shard_slots(shard) + 2 * (size_t)(stash != NULL ? stash->capacity : 0);
            if (copy->capacity >= wanted) {
                copy_words(shard, stash, copy);
                *next = hash_behind(cursor, shard->depth);
                wanted = 0;
            }
        }
        pthread_mutex_unlock(&keydir->mutex);
        if (absent)
            status = keydir_fetch(keydir, cursor);
        else if (wanted == 0)
            return BITCASK_OK;
        else if (!make_words(copy, wanted))
            status = BITCASK_NO_MEMORY;
        if (status != BITCASK_OK)
            return status;
    }
}
