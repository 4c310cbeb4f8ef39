/* SPDX-License-Identifier: MIT
 * op_read.c: operations that read. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "run.h"

void op_get(struct run *run, const struct step *step)
{
    check_key(run, "get", step->keys[0]);
}

/* ---- Several at once ------------------------------------------------------------------------- */

static void check_view(struct run *run, uint32_t key, bitcask_status status,
                       const bitcask_view *view, uint64_t from_us)
{
    struct model *model = &run->at->model;
    if (status == BITCASK_CORRUPT && run->at->suspect && !model_is_durable(model, key))
        return;
    if (is_passing(status) && is_explained(run))
        return;
    if (status < 0)
        fail(run, "get of many: key %u: %s", key, bitcask_status_name(status));
    struct model_seen seen = {.from_us = from_us, .to_us = sim_disk_now(run->disk)};
    if (status == BITCASK_OK) {
        seen.present = true;
        seen.version = view->meta.version;
        seen.expires_us = view->meta.expires_us;
        seen.value = value_number(run, key, view->value.data, view->value.size);
    }
    if (!model_fits(model_now(model, key), &seen))
        misfit(run, "get of many", key, &seen);
}

void op_many(struct run *run, const struct step *step)
{
    char texts[STEP_KEYS_MAX][KEY_SIZE_MAX];
    bitcask_slice names[STEP_KEYS_MAX];
    bitcask_view views[STEP_KEYS_MAX] = {{{0}}};
    bitcask_status each[STEP_KEYS_MAX];
    for (uint32_t i = 0; i < step->key_count; i++)
        names[i] = make_key(step->keys[i], texts[i]);
    uint64_t from_us = sim_disk_now(run->disk);
    bitcask_status status =
        bitcask_get_many(run->at->db, NULL, names, step->key_count, views, each, &run->error);
    sim_disk_note(run->disk, (uint64_t)(int64_t)status);
    note_suspect(run);
    for (uint32_t i = 0; i < step->key_count && !sim_disk_dead(run->disk); i++)
        check_view(run, step->keys[i], each[i], &views[i], from_us);
    bitcask_views_release(views, step->key_count);
}

/* ---- Iteration ------------------------------------------------------------------------------- */

static void check_entry(struct run *run, const bitcask_entry *entry, uint64_t from_us,
                        unsigned times[MODEL_KEYS])
{
    uint32_t key = key_number(entry->key);
    if (key == MODEL_KEYS)
        fail(run, "an iteration gave the key '%.*s' [X3]",
             entry->key.size < 40 ? (int)entry->key.size : 40, (const char *)entry->key.data);
    struct model_seen seen = {
        .present = true,
        .value = value_number(run, key, entry->value.data, entry->value.size),
        .version = entry->meta.version,
        .expires_us = entry->meta.expires_us,
        .from_us = from_us,
        .to_us = sim_disk_now(run->disk),
    };
    if (!model_fits(model_now(&run->at->model, key), &seen) || times[key]++ > 0)
        misfit(run, times[key] > 1 ? "iterating, again [X3]" : "iterating", key, &seen);
}

void op_iterate(struct run *run, const struct step *step)
{
    (void)step;
    unsigned times[MODEL_KEYS] = {0};
    bitcask_iterator *iterator;
    bitcask_status status = bitcask_iterator_new(run->at->db, NULL, bitcask_bytes(NULL, 0),
                                                 BITCASK_VALUES, &iterator, &run->error);
    expect_reason(run, "iterate", status);
    if (status != BITCASK_OK)
        return;
    uint64_t from_us = sim_disk_now(run->disk);
    bitcask_entry entry;
    while ((status = bitcask_iterator_next(iterator, &entry, &run->error)) != BITCASK_END) {
        if (sim_disk_dead(run->disk))
            break;
        if (status == BITCASK_CORRUPT && run->at->suspect)
            continue;
        if (is_passing(status) && is_explained(run)) {
            bitcask_iterator_free(iterator);
            return;
        }
        if (status != BITCASK_OK)
            fail(run, "an iteration gave %s: %s", bitcask_status_name(status), run->error.message);
        check_entry(run, &entry, from_us, times);
    }
    bitcask_iterator_free(iterator);
    for (uint32_t key = 0; key < run->plan->keys && !run->at->suspect; key++) {
        struct model_seen seen = {.from_us = from_us, .to_us = sim_disk_now(run->disk)};
        if (times[key] == 0 && !sim_disk_dead(run->disk) &&
            !model_fits(model_now(&run->at->model, key), &seen))
            misfit(run, "iterating [X3]", key, &seen);
    }
}

/* ---- Views and verify ------------------------------------------------------------------------ */

void op_view(struct run *run, const struct step *step)
{
    struct side *side = run->at;
    char text[KEY_SIZE_MAX];
    release_view(run);
    bitcask_status status =
        bitcask_get_view(side->db, NULL, make_key(step->keys[0], text), &side->view, &run->error);
    if (status == BITCASK_OK) {
        side->view_copy = malloc(side->view.value.size + 1);
        CHECK(side->view_copy);
        memcpy(side->view_copy, side->view.value.data, side->view.value.size);
    }
}

/* Files that a call which failed has left behind, named by the manifest or not, are no damage. */
static int note_finding(void *context, const bitcask_finding *finding)
{
    struct run *run = context;
    tell(run, "finding: %s at %llu (%llu bytes) %s", finding->file,
         (unsigned long long)finding->offset, (unsigned long long)finding->bytes, finding->what);
    bool litter =
        finding->note || strcmp(finding->what, "does not name a segment that is open") == 0;
    run->findings += !(litter && errors_of(run) > run->at->opened_errors);
    return 0;
}

void op_verify(struct run *run, const struct step *step)
{
    (void)step;
    run->findings = 0;
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.finding = note_finding;
    options.context = run;
    bitcask_status status = bitcask_verify(run->at->db, &options, NULL, &run->error);
    tell(run, "verify: %s %s", bitcask_status_name(status), status < 0 ? run->error.message : "");
    if (!run->at->suspect && (status != BITCASK_CORRUPT || run->findings > 0))
        expect_reason(run, "verify", status);
}
