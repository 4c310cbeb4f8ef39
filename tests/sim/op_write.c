/* SPDX-License-Identifier: MIT
 * op_write.c: operations that write. */
#include <inttypes.h>

#include "base/check.h"
#include "run.h"

/* ---- What has come of a write ---------------------------------------------------------------- */

static uint64_t expiry_of(struct run *run, const struct step *step)
{
    uint64_t now = sim_disk_now(run->disk);
    return step->ttl_us == 0 ? 0 : step->ttl_us == 1 ? now - 1000 : now + step->ttl_us;
}

static bitcask_sync sync_of(struct run *run, const struct step *step)
{
    return step->sync == BITCASK_SYNC_DEFAULT ? run->at->store->options.sync
                                              : (bitcask_sync)step->sync;
}

static void check_version(struct run *run, const char *what, uint64_t version)
{
    struct model *model = &run->at->model;
    if (version <= model->max_version && !run->at->stale)
        fail(run, "%s: version %" PRIu64 " after version %" PRIu64 " [L1]", what, version,
             model->max_version);
    model->writes[model->write_count - 1].version = version;
}

static void take_outcome(struct run *run, const char *what, bitcask_status status,
                         bitcask_sync sync, uint64_t version, bool vague)
{
    struct model *model = &run->at->model;
    struct model_atom *atom = &model->atoms[model->atom_count - 1];
    bool writes = atom->count > 0;
    tell(run, "%s: %s version %" PRIu64 " %s", what, bitcask_status_name(status), version,
         status < 0 ? run->error.message : "");
    sim_disk_note(run->disk, (uint64_t)(int64_t)status ^ version);
    if (sim_disk_dead(run->disk) || status == BITCASK_UNKNOWN) {
        model_end(model, MODEL_UNKNOWN);
        return;
    }
    expect_reason(run, what, status);
    if (status != BITCASK_OK) {
        model_end(model, MODEL_NOTHING);
        return;
    }
    if (writes && !vague)
        check_version(run, what, version);
    note_version(run, version);
    atom->at_us = sim_disk_boot(run->disk);
    atom->interval = sync == BITCASK_SYNC_INTERVAL;
    model_end(model, MODEL_DONE);
    run->wrote |= writes;
    if (writes && sync == BITCASK_SYNC_ALWAYS)
        advance_durable(run, model->atom_count);
}

/* ---- One key --------------------------------------------------------------------------------- */

/* What a write of one key gives, by the state of the key: 1 there, 0 not there. */
static bitcask_status expected_status(const struct step *step, int lives, bool version_fits)
{
    bool conditional = step->kind == STEP_CONDITION;
    if (step->kind == STEP_DELETE || step->kind == STEP_EXPIRE)
        return lives ? BITCASK_OK : BITCASK_NOT_FOUND;
    if (!conditional || step->flags == BITCASK_KEEP_TTL)
        return BITCASK_OK;
    if (step->flags == BITCASK_IF_ABSENT)
        return lives ? BITCASK_EXISTS : BITCASK_OK;
    if (!lives)
        return BITCASK_NOT_FOUND;
    return step->flags == BITCASK_IF_PRESENT || version_fits ? BITCASK_OK : BITCASK_CONFLICT;
}

static int state_of(const struct model_write *write, uint64_t from_us, uint64_t to_us)
{
    return write && write->vague ? -1 : model_lives(write, from_us, to_us);
}

static void check_outcome(struct run *run, const char *what, const struct step *step,
                          bitcask_status status, int lives, bool version_fits, bool vague)
{
    if (status < 0 || sim_disk_dead(run->disk) || vague)
        return;
    for (int there = 0; there < 2; there++)
        if (lives != !there && status == expected_status(step, there, version_fits))
            return;
    fail(run, "%s of key %u gave %s; the key is %s [W1]", what, step->keys[0],
         bitcask_status_name(status),
         lives == 1   ? "there"
         : lives == 0 ? "not there"
                      : "?");
}

static bitcask_status write_key(struct run *run, const struct step *step, uint32_t value,
                                const bitcask_write_options *options, uint64_t *version)
{
    char text[KEY_SIZE_MAX];
    bitcask *db = run->at->db;
    bitcask_slice name = make_key(step->keys[0], text);
    if (step->kind == STEP_DELETE)
        return bitcask_delete(db, name, options, version, &run->error);
    if (step->kind == STEP_EXPIRE)
        return bitcask_expire(db, name, options, version, &run->error);
    bitcask_slice bytes = make_value(run, step->keys[0], value, step->value_size);
    return bitcask_put(db, name, bytes, options, version, &run->error);
}

void op_write(struct run *run, const struct step *step)
{
    struct model *model = &run->at->model;
    const char *what = OPERATIONS[step->kind].name;
    uint32_t key = step->keys[0];
    if (step->kind == STEP_CONDITION) /* its version is learned by looking */
        check_key(run, "before a condition", key);
    if (sim_disk_dead(run->disk))
        return;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = (bitcask_sync)step->sync;
    options.expires_us = step->kind == STEP_DELETE ? 0 : expiry_of(run, step);
    const struct model_write *now = model_now(model, key);
    struct model_write old = now ? *now : (struct model_write){0};
    uint64_t from_us = sim_disk_now(run->disk), version = 0;
    bool version_fits = step->amount % 2 == 0;
    if (step->kind == STEP_CONDITION) {
        options.flags = step->flags;
        options.if_version = step->flags != BITCASK_IF_VERSION ? 0 : old.version + !version_fits;
    }
    uint32_t value = step->number * VALUES_PER_STEP + 1;
    model_begin(model);
    bitcask_status status = write_key(run, step, value, &options, &version);
    int lives = state_of(now ? &old : NULL, from_us, sim_disk_now(run->disk));
    bool keeps = step->kind == STEP_CONDITION && step->flags == BITCASK_KEEP_TTL && lives != 0;
    struct model_write *write = model_add(model, key,
                                          step->kind == STEP_DELETE   ? 0
                                          : step->kind == STEP_EXPIRE ? old.value
                                                                      : value,
                                          keeps ? old.expires_us : options.expires_us);
    write->vague = lives == -1 && (keeps || old.vague || sim_disk_dead(run->disk));
    check_outcome(run, what, step, status, lives, version_fits, old.vague);
    take_outcome(run, what, status, sync_of(run, step), version, false);
    if (!sim_disk_dead(run->disk))
        check_key(run, what, key);
}

/* ---- Batches --------------------------------------------------------------------------------- */

/* Fill in the batch, and the atom. True if what it does depends on the moment. */
static bool fill_batch(struct run *run, const struct step *step, bitcask_batch *batch)
{
    struct model *model = &run->at->model;
    char text[KEY_SIZE_MAX];
    uint64_t now = sim_disk_now(run->disk);
    bool vague = false;
    for (uint32_t i = 0; i < step->key_count; i++) {
        uint32_t key = step->keys[i], value = step->number * VALUES_PER_STEP + 1 + i;
        bitcask_slice name = make_key(key, text);
        if (step->deletes >> i & 1) {
            const struct model_write *old = model_now(model, key);
            int lives = state_of(old, now, now + 100);
            CHECK(bitcask_batch_delete(batch, name, &run->error) == BITCASK_OK);
            if (lives != 0)
                model_add(model, key, 0, 0)->vague = lives == -1;
            vague |= lives == -1;
        } else {
            uint64_t expires_us = i % 2 == 0 ? expiry_of(run, step) : 0;
            bitcask_slice bytes = make_value(run, key, value, 24 + step->value_size / (i + 1));
            CHECK(bitcask_batch_put(batch, name, bytes, expires_us, &run->error) == BITCASK_OK);
            model_add(model, key, value, expires_us);
        }
    }
    return vague;
}

void op_batch(struct run *run, const struct step *step)
{
    bitcask_batch *batch;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = (bitcask_sync)step->sync;
    uint64_t version = 0;
    CHECK(bitcask_batch_new(&batch, &run->error) == BITCASK_OK);
    model_begin(&run->at->model);
    bool vague = fill_batch(run, step, batch);
    bitcask_status status = bitcask_write(run->at->db, batch, &options, &version, &run->error);
    bitcask_batch_free(batch);
    take_outcome(run, "batch", status, sync_of(run, step), version, vague);
    for (uint32_t i = 0; i < step->key_count && !sim_disk_dead(run->disk); i++)
        check_key(run, "batch", step->keys[i]);
}
