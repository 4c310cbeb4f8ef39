/* SPDX-License-Identifier: MIT
 * model.c: see model.h. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { BATCHES_MAX = 10 }; /* unknown ones that are tried in all combinations */

/* ---- The history ----------------------------------------------------------------------------- */

void model_free(struct model *model)
{
    free(model->writes);
    free(model->atoms);
    free(model->failed);
    *model = (struct model){0};
}

void model_begin(struct model *model)
{
    if (model->atom_count == model->atom_capacity) {
        model->atom_capacity = model->atom_capacity * 2 + 64;
        model->atoms = realloc(model->atoms, model->atom_capacity * sizeof *model->atoms);
        CHECK(model->atoms);
    }
    model->atoms[model->atom_count++] = (struct model_atom){.first = model->write_count};
}

struct model_write *model_add(struct model *model, uint32_t key, uint32_t value,
                              uint64_t expires_us)
{
    CHECK(model->atom_count > 0 && key < MODEL_KEYS);
    if (model->write_count == model->write_capacity) {
        model->write_capacity = model->write_capacity * 2 + 64;
        model->writes = realloc(model->writes, model->write_capacity * sizeof *model->writes);
        CHECK(model->writes);
    }
    struct model_write *write = &model->writes[model->write_count++];
    *write = (struct model_write){.key = key, .value = value, .expires_us = expires_us};
    model->atoms[model->atom_count - 1].count++;
    return write;
}

static void note_failed(struct model *model, const struct model_write *write, size_t atom_count)
{
    if (model->failed_count == model->failed_capacity) {
        model->failed_capacity = model->failed_capacity * 2 + 64;
        model->failed = realloc(model->failed, model->failed_capacity * sizeof *model->failed);
        CHECK(model->failed);
    }
    model->failed[model->failed_count++] =
        (struct model_failed){write->key, write->value, atom_count};
}

bool model_has_failed(const struct model *model, uint32_t key, uint32_t value, size_t since)
{
    for (size_t i = 0; i < model->failed_count; i++) {
        const struct model_failed *failed = &model->failed[i];
        if (failed->key == key && failed->value == value && failed->atom_count >= since)
            return true;
    }
    return false;
}

void model_end(struct model *model, enum model_outcome outcome)
{
    struct model_atom *atom = &model->atoms[model->atom_count - 1];
    atom->unknown = outcome == MODEL_UNKNOWN;
    if (outcome == MODEL_NOTHING || atom->count == 0) {
        for (size_t i = 0; i < atom->count; i++)
            note_failed(model, &model->writes[atom->first + i], model->atom_count);
        model->write_count = atom->first;
        model->atom_count--;
    }
}

struct model_write *model_now(const struct model *model, uint32_t key)
{
    for (size_t a = model->atom_count; a-- > 0;) {
        const struct model_atom *atom = &model->atoms[a];
        for (size_t i = atom->unknown ? 0 : atom->count; i-- > 0;)
            if (model->writes[atom->first + i].key == key)
                return &model->writes[atom->first + i];
    }
    return NULL;
}

bool model_is_durable(const struct model *model, uint32_t key)
{
    const struct model_write *write = model_now(model, key);
    return !write || model->durable == model->atom_count ||
           (size_t)(write - model->writes) < model->atoms[model->durable].first;
}

bool model_knows(const struct model *model, uint32_t key, uint32_t value)
{
    for (size_t i = 0; i < model->write_count; i++)
        if (model->writes[i].key == key && model->writes[i].value == value)
            return true;
    return false;
}

/* ---- What a reader may see ------------------------------------------------------------------- */

int model_lives(const struct model_write *write, uint64_t from_us, uint64_t to_us)
{
    if (!write || write->value == 0)
        return 0;
    if (write->expires_us == 0)
        return 1;
    if (from_us > write->expires_us)
        return 0;
    return to_us < write->expires_us && !write->reapable ? 1 : -1;
}

bool model_fits(const struct model_write *write, const struct model_seen *seen)
{
    if (write && write->vague)
        return true;
    int lives = model_lives(write, seen->from_us, seen->to_us);
    if (!seen->present)
        return lives != 1 || write->evictable;
    return lives != 0 && write->value == seen->value && write->expires_us == seen->expires_us &&
           (write->version == 0 || write->version == seen->version);
}

void model_reap(struct model *model, uint64_t now_us)
{
    for (size_t i = 0; i < model->write_count; i++) {
        struct model_write *write = &model->writes[i];
        write->reapable |= write->expires_us != 0 && now_us >= write->expires_us;
    }
}

/* ---- Eviction -------------------------------------------------------------------------------- */

void model_evict(struct model *model)
{
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        struct model_write *write = model_now(model, key);
        if (write)
            write->evictable = write->value != 0;
    }
}

void model_settle(struct model *model, uint32_t key, const struct model_seen *seen)
{
    struct model_write *write = model_now(model, key);
    if (!write || !write->evictable)
        return;
    write->evictable = false;
    if (seen->present)
        return;
    if (write->vague || model_lives(write, seen->from_us, seen->to_us) != 1) {
        write->vague = true; /* expired or evicted? A clock set back would tell */
        return;
    }
    write->value = 0;
    write->expires_us = 0;
    write->version = 0;
}

/* ---- After a crash --------------------------------------------------------------------------- */

/* A history that may be the one: the first `count` atoms, of unknown batches those in `batches`. */
struct guess {
    const struct model *model;
    size_t count;
    size_t unknown[BATCHES_MAX]; /* atoms */
    unsigned unknown_count;
    uint32_t batches;
};

static bool guess_has_batch(const struct guess *guess, size_t atom)
{
    for (unsigned i = 0; i < guess->unknown_count; i++)
        if (guess->unknown[i] == atom)
            return guess->batches >> i & 1;
    return false;
}

/* Does the history explain what was seen of the key? *by: the atom that does, or SIZE_MAX. */
static bool explains(const struct guess *guess, uint32_t key, const struct model_seen *seen,
                     size_t *by)
{
    const struct model *model = guess->model;
    for (size_t a = guess->count; a-- > 0;) {
        const struct model_atom *atom = &model->atoms[a];
        const struct model_write *write = NULL;
        for (size_t i = atom->count; i-- > 0 && !write;)
            if (model->writes[atom->first + i].key == key)
                write = &model->writes[atom->first + i];
        if (!write || (atom->unknown && atom->count > 1 && !guess_has_batch(guess, a)))
            continue;
        *by = a;
        if (model_fits(write, seen))
            return true;
        if (!atom->unknown || atom->count > 1)
            return false;
    }
    *by = SIZE_MAX;
    return model_fits(NULL, seen);
}

static bool explains_all(const struct guess *guess, const struct model_seen seen[MODEL_KEYS],
                         size_t by[MODEL_KEYS])
{
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        if (!explains(guess, key, &seen[key], &by[key]))
            return false;
    return true;
}

/* The newest unknown batches; older ones did not happen, for all that anybody will try. */
static void find_batches(struct guess *guess)
{
    guess->unknown_count = 0;
    for (size_t a = guess->count; a-- > 0 && guess->unknown_count < BATCHES_MAX;)
        if (guess->model->atoms[a].unknown && guess->model->atoms[a].count > 1)
            guess->unknown[guess->unknown_count++] = a;
}

static bool ever_expires(const struct model *model, uint32_t key)
{
    for (size_t i = 0; i < model->write_count; i++)
        if (model->writes[i].key == key && model->writes[i].expires_us != 0)
            return true;
    return false;
}

static void forget(struct model *model, const struct model_atom *atom)
{
    for (size_t i = 0; i < atom->count; i++)
        note_failed(model, &model->writes[atom->first + i], 0);
}

/* Keep the atoms that the guess has, and what the store showed of their writes. */
static void adopt(struct model *model, const struct guess *guess,
                  const struct model_seen seen[MODEL_KEYS], const size_t by[MODEL_KEYS], bool lossy)
{
    size_t atoms = 0, writes = 0;
    for (size_t a = 0; a < guess->count; a++) {
        struct model_atom atom = model->atoms[a];
        bool happened = !atom.unknown || guess_has_batch(guess, a);
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            happened |= by[key] == a;
        if (!happened) {
            forget(model, &atom);
            continue;
        }
        memmove(&model->writes[writes], &model->writes[atom.first],
                atom.count * sizeof *model->writes);
        model->atoms[atoms++] = (struct model_atom){.first = writes, .count = atom.count};
        writes += atom.count;
    }
    for (size_t a = guess->count; a < model->atom_count; a++)
        forget(model, &model->atoms[a]);
    model->atom_count = atoms;
    model->write_count = writes;
    model->durable = atoms;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        struct model_write *write = model_now(model, key);
        if (write && seen[key].present)
            write->version = seen[key].version;
        /* Expired, deleted, or lost and never to be seen again? A clock set back would tell. */
        if (write && lossy && !seen[key].present && ever_expires(model, key))
            write->vague = true;
        model_settle(model, key, &seen[key]);
    }
}

bool model_resolve(struct model *model, const struct model_seen seen[MODEL_KEYS], size_t least)
{
    struct guess guess = {.model = model};
    bool lossy = least < model->atom_count;
    for (size_t a = 0; a < model->atom_count; a++)
        lossy |= model->atoms[a].unknown;
    for (guess.count = model->atom_count;; guess.count--) {
        find_batches(&guess);
        for (guess.batches = 0; guess.batches >> guess.unknown_count == 0; guess.batches++) {
            size_t by[MODEL_KEYS];
            if (!explains_all(&guess, seen, by))
                continue;
            adopt(model, &guess, seen, by, lossy);
            return true;
        }
        if (guess.count <= least)
            return false;
    }
}
