/* SPDX-License-Identifier: MIT
 * op_copy.c: the store as it was: snapshots, and backups. What either shows is held against a copy
 * of the model (struct moment) that was made when it was taken. */
#include <inttypes.h>
#include <string.h>

#include "engine/backup.h"
#include "run.h"

static void take_moment(struct run *run, struct moment *moment)
{
    moment->valid = true;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        const struct model_write *write = model_now(&run->at->model, key);
        moment->has[key] = write != NULL;
        moment->writes[key] = write ? *write : (struct model_write){0};
    }
}

static const struct model_write *write_at(const struct moment *moment, uint32_t key)
{
    return moment->has[key] ? &moment->writes[key] : NULL;
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

void release_snapshot(struct side *side)
{
    bitcask_snapshot_free(side->snapshot);
    side->snapshot = NULL;
    side->snapshot_of.valid = false;
}

/* A record that only a snapshot needs goes with the end of a log whose sync has failed. */
static bool may_be_corrupt(struct run *run)
{
    return run->at->suspect || sim_disk_counts(run->disk)->sync_errors > 0;
}

static void check_in_snapshot(struct run *run, const bitcask_read_options *options, uint32_t key)
{
    struct moment *moment = &run->at->snapshot_of;
    char name[KEY_SIZE_MAX];
    bitcask_meta meta = {0};
    bitcask_status status =
        bitcask_get(run->at->db, options, make_key(key, name), &run->buffer, &meta, &run->error);
    sim_disk_note(run->disk, (uint64_t)(int64_t)status ^ meta.version);
    if (sim_disk_dead(run->disk) || (status == BITCASK_CORRUPT && may_be_corrupt(run)))
        return;
    if (is_passing(status) && is_explained(run))
        return;
    if (status < 0)
        fail(run, "snapshot: key %u: %s [X6]", key, run->error.message);
    struct model_seen seen = {.from_us = moment->from_us, .to_us = moment->to_us};
    if (status == BITCASK_OK) {
        seen.present = true;
        seen.version = meta.version;
        seen.expires_us = meta.expires_us;
        seen.value = value_number(run, key, run->buffer.data, run->buffer.size);
    }
    if (!model_fits(write_at(moment, key), &seen))
        fail(run,
             "snapshot: key %u is value %u, version %" PRIu64 ", not value %u, version %" PRIu64
             " [X6]",
             key, seen.value, seen.version, moment->writes[key].value, moment->writes[key].version);
}

/* Every key that it sees is met exactly once. */
static void iterate_snapshot(struct run *run, const bitcask_read_options *options)
{
    const struct moment *moment = &run->at->snapshot_of;
    unsigned times[MODEL_KEYS] = {0};
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status = bitcask_iterator_new(run->at->db, options, bitcask_bytes(NULL, 0),
                                                 BITCASK_KEYS, &iterator, &run->error);
    expect_reason(run, "iterate a snapshot", status);
    if (status != BITCASK_OK)
        return;
    bool corrupt = false;
    while ((status = bitcask_iterator_next(iterator, &entry, &run->error)) != BITCASK_END) {
        corrupt |= status == BITCASK_CORRUPT && may_be_corrupt(run);
        if (status == BITCASK_CORRUPT && corrupt)
            continue;
        if (is_passing(status) && is_explained(run)) {
            bitcask_iterator_free(iterator);
            return;
        }
        if (status != BITCASK_OK)
            fail(run, "iterating a snapshot: %s", run->error.message);
        uint32_t key = key_number(entry.key);
        if (key == MODEL_KEYS || times[key]++ > 0)
            fail(run, "a snapshot's iteration gave key %u again, or no key [X6]", key);
    }
    bitcask_iterator_free(iterator);
    for (uint32_t key = 0; key < run->plan->keys && !corrupt; key++) {
        const struct model_write *write = write_at(moment, key);
        int lives = write && write->vague ? -1 : model_lives(write, moment->from_us, moment->to_us);
        if (lives != -1 && times[key] != (unsigned)lives)
            fail(run, "a snapshot's iteration met key %u %u times [X6]", key, times[key]);
    }
}

static void check_snapshot(struct run *run)
{
    if (!run->at->snapshot)
        return;
    bitcask_read_options options;
    bitcask_read_options_init(&options);
    options.snapshot = run->at->snapshot;
    for (uint32_t key = 0; key < run->plan->keys; key++)
        check_in_snapshot(run, &options, key);
    iterate_snapshot(run, &options);
}

/* Look at the one that is held, and take another. */
void op_snapshot(struct run *run, const struct step *step)
{
    struct side *side = run->at;
    check_snapshot(run);
    if (step->amount % 3 == 0)
        return;
    release_snapshot(side);
    side->snapshot_of.from_us = sim_disk_now(run->disk);
    bitcask_status status = bitcask_snapshot_new(side->db, &side->snapshot, &run->error);
    side->snapshot_of.to_us = sim_disk_now(run->disk);
    expect_reason(run, "snapshot", status);
    if (status != BITCASK_OK) {
        side->snapshot = NULL;
        return;
    }
    take_moment(run, &side->snapshot_of);
    if (!sim_disk_dead(run->disk) && !side->suspect)
        check_snapshot(run);
}

/* ---- Backups --------------------------------------------------------------------------------- */

static bitcask_status open_backup(struct run *run, struct side *copy)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.read_only = 1;
    bitcask_status status = store_open(sim_disk_os(run->disk), run->at->backup_directory, &options,
                                       &copy->store, &run->error);
    copy->db = (bitcask *)copy->store;
    return status;
}

static bool shows(struct run *run, struct side *copy, const struct moment *moment)
{
    struct side *at = run->at;
    bool fits = moment->valid;
    run->at = copy;
    for (uint32_t key = 0; key < run->plan->keys && fits; key++) {
        struct model_seen seen;
        bitcask_status status = look(run, key, &seen);
        fits = status >= 0 && model_fits(write_at(moment, key), &seen);
    }
    run->at = at;
    return fits;
}

/* It opens and is the store of the last backup that was done, or of one that was begun since. */
void check_backup(struct run *run)
{
    struct side copy = {.store = NULL}, *side = run->at;
    unsigned begun = side->backups_begun_count;
    if ((!side->backup_of.valid && begun == 0) || begun > BACKUPS_BEGUN_MAX)
        return;
    bool faults = sim_disk_faults(run->disk, false);
    sim_disk_fail_alloc(run->disk, 0);
    sim_disk_arm(run->disk, SIM_KILL, 0);
    bitcask_status status = open_backup(run, &copy);
    if (status != BITCASK_OK && begun == 0)
        fail(run, "backup: open: %s [B1]", run->error.message);
    bool fits = status != BITCASK_OK || shows(run, &copy, &side->backup_of);
    for (unsigned i = 0; i < begun && !fits; i++)
        fits = shows(run, &copy, &side->backups_begun[i]);
    if (!fits)
        fail(run, "backup: it is not as the store was at any of %u moments [B1]", begun + 1);
    if (status == BITCASK_OK && store_close(copy.store, &run->error) != BITCASK_OK)
        fail(run, "backup: close: %s", run->error.message);
    sim_disk_faults(run->disk, faults);
}

void op_backup(struct run *run, const struct step *step)
{
    struct side *side = run->at;
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.copy = step->amount % 2;
    struct moment now;
    take_moment(run, &now);
    if (side->backups_begun_count < BACKUPS_BEGUN_MAX)
        side->backups_begun[side->backups_begun_count] = now;
    if (side->backups_begun_count <= BACKUPS_BEGUN_MAX)
        side->backups_begun_count++;
    bitcask_backup_result result = {.struct_size = sizeof result};
    bitcask_status status = backup_run(side->store, sim_disk_os(run->disk), side->backup_directory,
                                       &options, &result, &run->error);
    tell(run, "backup: %s, %" PRIu64 " linked, %" PRIu64 " copied, %" PRIu64 " reused %s",
         bitcask_status_name(status), result.linked, result.copied, result.reused,
         status < 0 ? run->error.message : "");
    expect_reason(run, "backup", status);
    if (status == BITCASK_OK && !sim_disk_dead(run->disk)) {
        side->backup_of = now;
        side->backups_begun_count = 0;
        check_backup(run);
    }
}
