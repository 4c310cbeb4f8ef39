/* SPDX-License-Identifier: MIT
 * look.c: what the stores show, held against the model. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "run.h"

/* ---- Keys and values ------------------------------------------------------------------------- */

bitcask_slice make_key(uint32_t key, char text[KEY_SIZE_MAX])
{
    int size = snprintf(text, KEY_SIZE_MAX, "key%u", key);
    if (key % 5 == 4) {
        memset(text + size, 'k', 300);
        size += 300;
    }
    return bitcask_bytes(text, (size_t)size);
}

uint32_t key_number(bitcask_slice key)
{
    unsigned number = MODEL_KEYS;
    char text[KEY_SIZE_MAX] = "", same[KEY_SIZE_MAX];
    if (key.size >= sizeof text)
        return MODEL_KEYS;
    memcpy(text, key.data, key.size);
    if (sscanf(text, "key%u", &number) != 1 || number >= MODEL_KEYS)
        return MODEL_KEYS;
    bitcask_slice expected = make_key(number, same);
    bool fits = expected.size == key.size && memcmp(same, text, key.size) == 0;
    return fits ? number : MODEL_KEYS;
}

bitcask_slice make_value(struct run *run, uint32_t key, uint32_t value, uint32_t size)
{
    CHECK(size <= VALUE_SIZE_MAX);
    int head = snprintf((char *)run->value, VALUE_SIZE_MAX, "v%u k%u s%u:", value, key, size);
    for (uint32_t i = (uint32_t)head; i < size; i++)
        run->value[i] = (uint8_t)(value * 31 + i * 7 + (i >> 8));
    return bitcask_bytes(run->value, (uint32_t)head < size ? size : (size_t)head);
}

uint32_t value_number(struct run *run, uint32_t key, const void *data, size_t size)
{
    unsigned value, of, length;
    char head[64] = "";
    memcpy(head, data, size < sizeof head - 1 ? size : sizeof head - 1);
    if (sscanf(head, "v%u k%u s%u:", &value, &of, &length) != 3 || of != key ||
        length > VALUE_SIZE_MAX)
        return 0;
    bitcask_slice expected = make_value(run, key, value, length);
    return expected.size == size && memcmp(expected.data, data, size) == 0 ? value : 0;
}

/* ---- Looking --------------------------------------------------------------------------------- */

bitcask_status look(struct run *run, uint32_t key, struct model_seen *seen)
{
    char text[KEY_SIZE_MAX];
    bitcask_meta meta = {0};
    *seen = (struct model_seen){.from_us = sim_disk_now(run->disk)};
    uint64_t errors = errors_of(run);
    bitcask_status status =
        bitcask_get(run->at->db, NULL, make_key(key, text), &run->buffer, &meta, &run->error);
    if (is_passing(status) && errors_of(run) > errors && !sim_disk_dead(run->disk)) {
        /* The part of the index that it needs could not be fetched: the next time it can. */
        bool faults = sim_disk_faults(run->disk, false);
        sim_disk_fail_alloc(run->disk, 0);
        status =
            bitcask_get(run->at->db, NULL, make_key(key, text), &run->buffer, &meta, &run->error);
        sim_disk_faults(run->disk, faults);
    }
    seen->to_us = sim_disk_now(run->disk);
    sim_disk_note(run->disk, (uint64_t)(int64_t)status ^ meta.version);
    if (status != BITCASK_OK)
        return status;
    seen->present = true;
    seen->version = meta.version;
    seen->expires_us = meta.expires_us;
    seen->value = value_number(run, key, run->buffer.data, run->buffer.size);
    if (seen->value == 0)
        fail(run, "key %u has a value that was never written: '%.40s' (%zu bytes) [X2]", key,
             (const char *)run->buffer.data, run->buffer.size);
    return status;
}

static void describe(const struct model_write *write, char *text, size_t size)
{
    if (!write || write->value == 0)
        snprintf(text, size, write ? "deleted" : "never written");
    else
        snprintf(text, size, "value %u, version %" PRIu64 ", expires %" PRIu64, write->value,
                 write->version, write->expires_us);
}

void misfit(struct run *run, const char *when, uint32_t key, const struct model_seen *seen)
{
    char expected[120];
    describe(model_now(&run->at->model, key), expected, sizeof expected);
    if (seen->present)
        fail(run, "%s: key %u is value %u, version %" PRIu64 ", expires %" PRIu64 "; not %s", when,
             key, seen->value, seen->version, seen->expires_us, expected);
    fail(run, "%s: key %u is not there (the clock says %" PRIu64 "); it should be: %s", when, key,
         seen->to_us, expected);
}

void note_version(struct run *run, uint64_t version)
{
    if (version > run->at->model.max_version)
        run->at->model.max_version = version;
}

void check_key(struct run *run, const char *when, uint32_t key)
{
    struct model *model = &run->at->model;
    struct model_seen seen;
    bitcask_status status = look(run, key, &seen);
    if (sim_disk_dead(run->disk))
        return;
    note_suspect(run);
    if (status == BITCASK_CORRUPT && run->at->suspect && !model_is_durable(model, key))
        return;
    if (status < 0)
        fail(run, "%s: key %u: %s", when, key, run->error.message);
    struct model_write *write = model_now(model, key);
    if (!model_fits(write, &seen))
        misfit(run, when, key, &seen);
    if (write && seen.present)
        write->version = seen.version;
    note_version(run, seen.version);
}

void check_all(struct run *run, const char *when)
{
    for (uint32_t key = 0; key < run->plan->keys && !sim_disk_dead(run->disk); key++)
        check_key(run, when, key);
}

/* ---- Leaks ----------------------------------------------------------------------------------- */

static bool any_open(const struct run *run)
{
    for (uint32_t i = 0; i < run->plan->stores; i++)
        if (run->sides[i].store)
            return true;
    return false;
}

void check_leaks(struct run *run, const char *when)
{
    if (any_open(run))
        return;
    if (sim_disk_open_handles(run->disk) != 0)
        fail(run, "%s: %zu files, mappings and locks are left", when,
             sim_disk_open_handles(run->disk));
    if (sim_disk_live_bytes(run->disk) != 0)
        fail(run, "%s: %" PRIu64 " bytes of memory are left", when, sim_disk_live_bytes(run->disk));
}

void release_view(struct run *run)
{
    struct side *side = run->at;
    bool intact = !side->view.pin || side->suspect || sim_disk_counts(run->disk)->sync_errors > 0 ||
                  memcmp(side->view_copy, side->view.value.data, side->view.value.size) == 0;
    bitcask_views_release(&side->view, 1);
    free(side->view_copy);
    side->view_copy = NULL;
    if (!intact)
        fail(run, "the bytes of a view have changed [X1]");
}

void release_holds(struct run *run)
{
    release_snapshot(run->at);
    release_follower(run);
    release_view(run);
}

/* ---- After opening --------------------------------------------------------------------------- */

void resolve(struct run *run)
{
    struct side *side = run->at;
    struct model *model = &side->model;
    struct model_seen seen[MODEL_KEYS] = {{0}};
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        bitcask_status status = look(run, key, &seen[key]);
        if (status < 0)
            fail(run, "after opening: key %u: %s", key, run->error.message);
        note_version(run, seen[key].version);
    }
    size_t least = side->may_lose ? model->durable : model->atom_count;
    size_t all = model->atom_count;
    if (!model_resolve(model, seen, least)) {
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            if (!model_fits(model_now(model, key), &seen[key])) {
                char what[100];
                snprintf(what, sizeof what,
                         "no history of %zu to %zu atoms fits [R1, R3]; of all of them", least,
                         all);
                misfit(run, what, key, &seen[key]);
            }
        fail(run, "no history of %zu to %zu atoms fits [R1, R3, W3]", least, all);
    }
    tell(run, "%zu of %zu atoms are there, %zu had to be", model->atom_count, all, least);
    if (is_read_only(run)) /* it could not write down what it recovered */
        model->durable = side->may_lose ? least : model->atom_count;
    else
        side->may_lose = false;
    if (model->durable > model->atom_count)
        model->durable = model->atom_count;
    model->vouched = model->durable;
}
