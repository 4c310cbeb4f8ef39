/* SPDX-License-Identifier: MIT
 * keydir_steps.c: a split in small steps, so that no single put pays for all of it.
 *
 * One shard at a time. The writer takes a step with each reservation, wherever its key belongs:
 * memory for one half; for the other; some buckets copied to both halves, each slot to the same
 * place of one of them; some buckets of the halves put in order. The shard itself stays as it is,
 * in full use, and nobody but the writer knows of the halves.
 *
 * So what was copied may have changed by the last step, at the hands of the writer or of a merge.
 * Nobody keeps account of that: the slots as they were copied are kept, and the last step compares
 * them with what they are, holding the mutex, takes out of the halves what has gone and puts in
 * what has come. Then the halves are what a split at one blow would have made, and they are shown.
 * There are few steps to puts in other shards, so there is little to mend.
 *
 * Shards with a stash, and those that must be tagged anew, are split at one blow (keydir_split), as
 * is one that fills up while another is being split. What cannot be brought to its end is dropped.
 */
#include <string.h>

#include "base/planted.h"
#include "engine/keydir_internal.h"

enum {
    STEP_BUCKETS = 8,
    STEPS_BEFORE = 2, /* the halves' memory */
};

/* ---- Begin and end ---- */

static size_t copied_size(const struct keydir *keydir)
{
    return keydir->options.max_buckets * KEYDIR_BUCKET_SLOTS * sizeof(uint64_t);
}

void keydir_steps_free(struct keydir *keydir)
{
    if (keydir->steps.copied == NULL)
        return;
    keydir_sub_bytes(keydir, copied_size(keydir));
    keydir->os->free(keydir->os, keydir->steps.copied, copied_size(keydir));
    keydir->steps.copied = NULL;
}

static bool has_memory(struct keydir *keydir)
{
    if (keydir->steps.copied != NULL)
        return true;
    keydir->steps.copied = keydir->os->alloc(keydir->os, copied_size(keydir), 64);
    if (keydir->steps.copied == NULL)
        return false;
    keydir_add_bytes(keydir, copied_size(keydir));
    return true;
}

static bool begin(struct keydir *keydir, struct keydir_shard *shard, uint64_t hash)
{
    /* Until its end both halves are there beside the shard. */
    uint64_t growth = 2 * shard_size(shard->bucket_count) + copied_size(keydir);
    if (shard_stash(shard) != NULL || shard_tag_bits(shard) <= KEYDIR_TAG_BITS_MIN ||
        keydir_is_at_limit(keydir, shard, growth) || !keydir_can_split(keydir, shard, hash) ||
        !has_memory(keydir))
        return false;
    uint64_t *copied = keydir->steps.copied;
    keydir->steps = (struct keydir_steps){.hash = hash, .copied = copied};
    keydir->splitting = shard;
    return true;
}

bool keydir_split_later(struct keydir *keydir, struct keydir_shard *shard, uint64_t hash)
{
    if (shard_entries(shard) > keydir->split_at + shard_slots(shard) / 64)
        return false;
    return keydir->splitting != NULL || begin(keydir, shard, hash);
}

void keydir_split_abandon(struct keydir *keydir)
{
    struct keydir_steps *steps = &keydir->steps;
    for (unsigned side = 0; side < 2; side++) {
        shard_free(keydir, steps->half[side]);
        steps->half[side] = NULL;
    }
    keydir->splitting = NULL;
}

/* ---- Copying ---- */

static void copy_buckets(struct keydir *keydir, uint32_t first, uint32_t end)
{
    struct keydir_steps *steps = &keydir->steps;
    const struct keydir_shard *old = keydir->splitting;
    uint32_t used[2] = {0, 0};
    for (uint32_t i = first * KEYDIR_BUCKET_SLOTS; i < end * KEYDIR_BUCKET_SLOTS; i++) {
        uint64_t word = load_slot(&old->slots[i]);
        unsigned side = word_side(old, word);
        steps->copied[i] = word;
        store_slot(&steps->half[side]->slots[i], word);
        store_slot(&steps->half[side ^ 1]->slots[i], 0);
        used[side] += word != 0;
    }
    steps->used[0] += used[0];
    steps->used[1] += used[1];
}

/* ---- Mending ---- */

static _Atomic uint64_t *find_in_bucket(struct keydir_shard *shard, uint32_t bucket, uint64_t word)
{
    return bucket_find(&shard->slots[bucket * KEYDIR_BUCKET_SLOTS], word);
}

/* Take out what was copied from slot `i`; it may have been brought home. */
static void take_out(struct keydir_shard *half, uint32_t i, uint64_t word)
{
    uint32_t bucket = i / KEYDIR_BUCKET_SLOTS;
    uint32_t other = keydir_other(word_tag(word), bucket, half->bucket_count);
    _Atomic uint64_t *slot = find_in_bucket(half, bucket, word);
    if (slot == NULL && (word & KEYDIR_ALTERNATE) != 0)
        slot = find_in_bucket(half, other, word ^ KEYDIR_ALTERNATE);
    CHECK(slot != NULL);
    store_slot(slot, 0);
}

/* Put in what is in slot `i` now. False if both its buckets are full. */
static bool put_in(struct keydir_shard *half, uint32_t i, uint64_t word)
{
    uint32_t bucket = i / KEYDIR_BUCKET_SLOTS;
    uint32_t other = keydir_other(word_tag(word), bucket, half->bucket_count);
    _Atomic uint64_t *slot = find_in_bucket(half, bucket, 0);
    if (slot == NULL && other != bucket) {
        slot = find_in_bucket(half, other, 0);
        word ^= KEYDIR_ALTERNATE;
    }
    if (slot == NULL)
        return false;
    store_slot(slot, word);
    return true;
}

/* Bits set for the buckets that differ from what was copied. */
static void find_changed(const struct keydir *keydir, uint64_t changed[KEYDIR_BUCKETS_MAX / 64])
{
    const struct keydir_shard *old = keydir->splitting;
    memset(changed, 0, KEYDIR_BUCKETS_MAX / 8);
    for (uint32_t bucket = 0; bucket < old->bucket_count; bucket++) {
        uint64_t differ = 0;
        for (uint32_t i = bucket * KEYDIR_BUCKET_SLOTS; i < (bucket + 1) * KEYDIR_BUCKET_SLOTS; i++)
            differ |= load_slot(&old->slots[i]) ^ keydir->steps.copied[i];
        changed[bucket / 64] |= (uint64_t)(differ != 0) << bucket % 64;
    }
}

/* One of the two for a bucket: take out of the halves what has gone from its slots, or put in what
 * has come. */
static bool mend_bucket(struct keydir *keydir, uint32_t bucket, bool putting)
{
    struct keydir_steps *steps = &keydir->steps;
    const struct keydir_shard *old = keydir->splitting;
    for (uint32_t i = bucket * KEYDIR_BUCKET_SLOTS; i < (bucket + 1) * KEYDIR_BUCKET_SLOTS; i++) {
        uint64_t before = steps->copied[i], now = load_slot(&old->slots[i]);
        uint64_t word = putting ? now : before;
        if (before == now || word == 0)
            continue;
        unsigned side = word_side(old, word);
        if (!putting)
            take_out(steps->half[side], i, word);
        else if (!put_in(steps->half[side], i, word))
            return false;
        steps->used[side] += putting ? 1 : UINT32_MAX;
    }
    return true;
}

/* False if something that has come finds no room. Mutex held. */
static bool mend(struct keydir *keydir)
{
    uint64_t changed[KEYDIR_BUCKETS_MAX / 64];
    find_changed(keydir, changed);
    bool right = true;
    for (unsigned putting = 0; putting < 2; putting++)
        for (unsigned i = 0; i < KEYDIR_BUCKETS_MAX / 64; i++)
            for (uint64_t left = changed[i]; left != 0 && right; left &= left - 1)
                right = mend_bucket(keydir, i * 64 + (unsigned)__builtin_ctzll(left), putting);
    return right;
}

/* Does any slot differ from what was copied? Mutex held, and the writer is here: nobody else stores
 * to them, so that they may be compared like any memory. */
static bool has_changed(const struct keydir *keydir)
{
    const struct keydir_shard *old = keydir->splitting;
    const void *now = (const void *)(uintptr_t)old->slots;
    return memcmp(now, keydir->steps.copied, shard_slots(old) * sizeof(uint64_t)) != 0 &&
           !PLANTED(split_unmended);
}

/* Show the halves. False, and nothing has changed, if they cannot be made right. */
static bool show(struct keydir *keydir)
{
    struct keydir_steps *steps = &keydir->steps;
    struct keydir_shard *old = keydir->splitting;
    struct keydir_children halves = {.shard = {steps->half[0], steps->half[1]}, .count = 2};
    if (shard_stash(old) != NULL)
        return false; /* it has come to that meanwhile */
    uint32_t depth = directory_of(keydir)->depth;
    if (old->depth == depth) {
        halves.directory = directory_new(keydir, depth + 1);
        if (halves.directory == NULL)
            return false;
    }
    pthread_mutex_lock(&keydir->mutex);
    bool right = !has_changed(keydir) || mend(keydir);
    if (right) {
        keydir->splitting = NULL;
        for (unsigned side = 0; side < 2; side++) {
            counter_add(&steps->half[side]->used, (int)steps->used[side]);
            steps->half[side] = NULL;
        }
        keydir_publish(keydir, steps->hash, old, &halves);
    }
    pthread_mutex_unlock(&keydir->mutex);
    if (!right)
        directory_free(keydir, halves.directory);
    return right;
}

/* ---- Steps ---- */

/* False if the split can go no further. */
static bool take_step(struct keydir *keydir)
{
    struct keydir_steps *steps = &keydir->steps;
    const struct keydir_shard *old = keydir->splitting;
    uint32_t step = steps->next++;
    if (step < STEPS_BEFORE) {
        steps->half[step] = shard_new_raw(keydir, old->depth + 1, old->tag_depth);
        return steps->half[step] != NULL;
    }
    uint32_t each = (old->bucket_count + STEP_BUCKETS - 1) / STEP_BUCKETS;
    uint32_t first = (step - STEPS_BEFORE) % each * STEP_BUCKETS;
    uint32_t end = first + STEP_BUCKETS;
    end = end < old->bucket_count ? end : old->bucket_count;
    switch ((step - STEPS_BEFORE) / each) {
    case 0:
        copy_buckets(keydir, first, end);
        return true;
    case 1:
        shard_bring_home(steps->half[0], first, end);
        shard_bring_home(steps->half[1], first, end);
        return true;
    default:
        return show(keydir);
    }
}

void keydir_split_step(struct keydir *keydir)
{
    CHECK(keydir->splitting != NULL);
    if (!take_step(keydir))
        keydir_split_abandon(keydir);
}

bool keydir_split_finish(struct keydir *keydir)
{
    CHECK(keydir->splitting != NULL);
    while (keydir->splitting != NULL)
        if (!take_step(keydir)) {
            keydir_split_abandon(keydir);
            return false;
        }
    return true;
}
