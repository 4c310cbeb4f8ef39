/* SPDX-License-Identifier: MIT
 * workload.c: run a plan and hold what the store shows against the model. */
#include "workload.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/store.h"
#include "random.h"

#define DIRECTORY "store"

enum { VALUE_SIZE_MAX = 300000, VALUES_PER_STEP = 8, KEY_SIZE_MAX = 400 };

static const uint64_t REAP_MARGIN_US = 60 * 1000000ull;

struct run {
    const struct plan *plan;
    FILE *log;
    struct outcome *outcome;
    struct sim_disk *disk;
    struct store *store; /* NULL while it is closed; `db` is the same */
    bitcask *db;
    bitcask_error error;
    struct model model;
    struct sim_counts before; /* at the start of the step */
    uint64_t opened_errors;   /* errors of the disk before the opening */
    unsigned findings;        /* of a verify */
    bool stale;             /* rot may have put an older, whole manifest in the place of the last */
    bool suspect;           /* the log's end is lost, and the store knows it */
    bool may_lose;          /* what is not durable may be gone at the next opening */
    int64_t clock_steps_us; /* since the opening; merges trust the clock if they come to 0 */
    uint64_t warnings;      /* since the opening */
    bitcask_view view;
    uint8_t *view_copy;
    bitcask_buffer buffer;
    uint8_t *value;
    jmp_buf out;
};

__attribute__((noreturn, format(printf, 2, 3))) static void fail(struct run *run, const char *form,
                                                                 ...)
{
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(run->outcome->what, sizeof run->outcome->what, form, arguments);
    va_end(arguments);
    run->outcome->failed = true;
    longjmp(run->out, 1);
}

__attribute__((format(printf, 2, 3))) static void tell(struct run *run, const char *form, ...)
{
    if (!run->log)
        return;
    va_list arguments;
    va_start(arguments, form);
    fprintf(run->log, "    ");
    vfprintf(run->log, form, arguments);
    fprintf(run->log, "\n");
    va_end(arguments);
}

/* ---- Keys and values ------------------------------------------------------------------------- */

static bitcask_slice make_key(uint32_t key, char text[KEY_SIZE_MAX])
{
    int size = snprintf(text, KEY_SIZE_MAX, "key%u", key);
    if (key % 5 == 4) {
        memset(text + size, 'k', 300);
        size += 300;
    }
    return bitcask_bytes(text, (size_t)size);
}

/* A value tells whose it is, and every byte of it is known. */
static bitcask_slice make_value(struct run *run, uint32_t key, uint32_t value, uint32_t size)
{
    CHECK(size <= VALUE_SIZE_MAX);
    int head = snprintf((char *)run->value, VALUE_SIZE_MAX, "v%u k%u s%u:", value, key, size);
    for (uint32_t i = (uint32_t)head; i < size; i++)
        run->value[i] = (uint8_t)(value * 31 + i * 7 + (i >> 8));
    return bitcask_bytes(run->value, (uint32_t)head < size ? size : (size_t)head);
}

/* The number of a value, or 0 if it is none of this key's. */
static uint32_t value_number(struct run *run, uint32_t key, const void *data, size_t size)
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

/* ---- Reasons --------------------------------------------------------------------------------- */

static bool is_read_only(struct run *run)
{
    return run->store && atomic_load(&run->store->write_status) != 0;
}

/* Has the disk done anything in this step that explains an error? */
static bool is_explained(struct run *run)
{
    const struct sim_counts *now = sim_disk_counts(run->disk);
    return now->errors > run->before.errors || now->sync_errors > run->before.sync_errors ||
           now->sync_dir_errors > run->before.sync_dir_errors ||
           now->alloc_errors > run->before.alloc_errors || is_read_only(run);
}

static uint64_t errors_of(struct run *run)
{
    const struct sim_counts *counts = sim_disk_counts(run->disk);
    return counts->errors + counts->sync_errors + counts->sync_dir_errors + counts->alloc_errors;
}

static bool log_sync_failed(struct run *run)
{
    return sim_disk_counts(run->disk)->log_sync_errors > run->before.log_sync_errors;
}

/* Errors, and writes refused: the tail of the log may be what could not be saved elsewhere. */
static void note_suspect(struct run *run)
{
    if (!is_read_only(run) || !is_explained(run))
        return;
    run->suspect = true;
    run->may_lose |= log_sync_failed(run);
}

static void begin_step(struct run *run)
{
    run->before = *sim_disk_counts(run->disk);
    memset(&run->error, 0, sizeof run->error);
}

/* An error that nothing explains is a failure. */
static void expect_reason(struct run *run, const char *what, bitcask_status status)
{
    if (status < 0 && !sim_disk_dead(run->disk) && !is_explained(run))
        fail(run, "%s: %s without a reason: %s", what, bitcask_status_name(status),
             run->error.message);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bitcask_status look(struct run *run, uint32_t key, struct model_seen *seen)
{
    char text[KEY_SIZE_MAX];
    bitcask_meta meta = {0};
    *seen = (struct model_seen){.from_us = sim_disk_now(run->disk)};
    bitcask_status status =
        bitcask_get(run->db, NULL, make_key(key, text), &run->buffer, &meta, &run->error);
    seen->to_us = sim_disk_now(run->disk);
    sim_disk_note(run->disk, (uint64_t)(int64_t)status ^ meta.version);
    if (status != BITCASK_OK)
        return status;
    seen->present = true;
    seen->version = meta.version;
    seen->expires_us = meta.expires_us;
    seen->value = value_number(run, key, run->buffer.data, run->buffer.size);
    if (seen->value == 0)
        fail(run, "key %u has a value that was never written: '%.40s' (%zu bytes)", key,
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

static void misfit(struct run *run, const char *when, uint32_t key, const struct model_seen *seen)
{
    char expected[120];
    describe(model_now(&run->model, key), expected, sizeof expected);
    if (seen->present)
        fail(run, "%s: key %u is value %u, version %" PRIu64 ", expires %" PRIu64 "; not %s", when,
             key, seen->value, seen->version, seen->expires_us, expected);
    fail(run, "%s: key %u is not there (the clock says %" PRIu64 "); it should be: %s", when, key,
         seen->to_us, expected);
}

static void note_version(struct run *run, uint64_t version)
{
    if (version > run->model.max_version)
        run->model.max_version = version;
}

static void check_key(struct run *run, const char *when, uint32_t key)
{
    struct model_seen seen;
    bitcask_status status = look(run, key, &seen);
    if (sim_disk_dead(run->disk))
        return;
    note_suspect(run);
    if (status == BITCASK_CORRUPT && run->suspect && !model_is_durable(&run->model, key))
        return;
    if (status < 0)
        fail(run, "%s: key %u: %s", when, key, run->error.message);
    struct model_write *write = model_now(&run->model, key);
    if (!model_fits(write, &seen))
        misfit(run, when, key, &seen);
    if (write && seen.present)
        write->version = seen.version;
    note_version(run, seen.version);
}

static void check_all(struct run *run, const char *when)
{
    for (uint32_t key = 0; key < run->plan->keys && !sim_disk_dead(run->disk); key++)
        check_key(run, when, key);
}

/* ---- Opening and ends ------------------------------------------------------------------------ */

static void take_event(void *context, const bitcask_log_event *event)
{
    struct run *run = context;
    run->warnings += event->level >= BITCASK_LOG_WARN;
    if (!run->log)
        return;
    fprintf(run->log, "        (%s", event->name);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (field->kind == BITCASK_FIELD_UINT)
            fprintf(run->log, " %s=%" PRIu64, field->name, field->number);
        else
            fprintf(run->log, " %s='%.*s'", field->name, (int)field->bytes.size,
                    (const char *)field->bytes.data);
    }
    fprintf(run->log, ")\n");
}

static void check_leaks(struct run *run, const char *when)
{
    if (sim_disk_open_handles(run->disk) != 0)
        fail(run, "%s: %zu files, mappings and locks are left", when,
             sim_disk_open_handles(run->disk));
    if (sim_disk_live_bytes(run->disk) != 0)
        fail(run, "%s: %" PRIu64 " bytes of memory are left", when, sim_disk_live_bytes(run->disk));
}

static void release_view(struct run *run)
{
    bool intact = !run->view.pin || run->suspect || sim_disk_counts(run->disk)->sync_errors > 0 ||
                  memcmp(run->view_copy, run->view.value.data, run->view.value.size) == 0;
    bitcask_views_release(&run->view, 1);
    free(run->view_copy);
    run->view_copy = NULL;
    if (!intact)
        fail(run, "the bytes of a view have changed");
}

static void abandon(struct run *run)
{
    release_view(run);
    if (run->store)
        store_abandon(run->store);
    run->store = NULL;
    run->db = NULL;
    check_leaks(run, "after a crash");
    sim_disk_restart(run->disk);
}

static bitcask_status try_open(struct run *run)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = run->plan->sync;
    options.sync_interval_ms = run->plan->sync_interval_ms;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    options.segment_max_records = run->plan->segment_max_records;
    options.log = take_event;
    options.log_context = run;
    run->warnings = 0;
    run->opened_errors = errors_of(run);
    run->clock_steps_us = 0;
    run->suspect = false;
    bitcask_status status =
        store_open(sim_disk_os(run->disk), DIRECTORY, &options, &run->store, &run->error);
    run->db = (bitcask *)run->store;
    sim_disk_note(run->disk, (uint64_t)(int64_t)status);
    tell(run, "open: %s %s", bitcask_status_name(status),
         status == BITCASK_OK ? "" : run->error.message);
    return status;
}

/* Open as often as it takes: it may crash, and fail as long as there is a reason. In the end
 * nothing fails any more. */
static void open_again(struct run *run, const struct step *step)
{
    enum { TRIES = 6 };
    for (unsigned attempt = 0;; attempt++) {
        sim_disk_faults(run->disk, attempt < TRIES / 2);
        if (step && attempt < step->recovery_crashes)
            sim_disk_arm(run->disk, step->crash, 1 + random_mix(step->number * 8 + attempt) % 100);
        begin_step(run);
        bitcask_status status = try_open(run);
        sim_disk_arm(run->disk, SIM_KILL, 0);
        run->may_lose |= log_sync_failed(run);
        if (sim_disk_dead(run->disk)) {
            run->may_lose |= step->crash == SIM_POWER_CUT;
            abandon(run);
            continue;
        }
        if (status == BITCASK_OK && (!is_read_only(run) || attempt < TRIES))
            break;
        if (status != BITCASK_OK)
            check_leaks(run, "after an opening that failed");
        if (!is_explained(run) || attempt > TRIES)
            fail(run, "open: %s without a reason: %s", bitcask_status_name(status),
                 run->error.message);
    }
}

static void resolve(struct run *run)
{
    struct model_seen seen[MODEL_KEYS] = {{0}};
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        bitcask_status status = look(run, key, &seen[key]);
        if (status < 0)
            fail(run, "after opening: key %u: %s", key, run->error.message);
        note_version(run, seen[key].version);
    }
    size_t least = run->may_lose ? run->model.durable : run->model.atom_count;
    size_t all = run->model.atom_count;
    if (!model_resolve(&run->model, seen, least)) {
        for (uint32_t key = 0; key < MODEL_KEYS; key++)
            if (!model_fits(model_now(&run->model, key), &seen[key])) {
                char what[80];
                snprintf(what, sizeof what, "no history of %zu to %zu atoms fits; of all of them",
                         least, all);
                misfit(run, what, key, &seen[key]);
            }
        fail(run, "no history of %zu to %zu atoms fits", least, all);
    }
    tell(run, "%zu of %zu atoms are there, %zu had to be", run->model.atom_count, all, least);
    if (is_read_only(run)) /* it could not write down what it recovered */
        run->model.durable = run->may_lose ? least : run->model.atom_count;
    else
        run->may_lose = false;
    if (run->model.durable > run->model.atom_count)
        run->model.durable = run->model.atom_count;
}

static void recover(struct run *run, const struct step *step)
{
    run->outcome->recoveries++;
    open_again(run, step);
    resolve(run);
    sim_disk_faults(run->disk, true);
}

static void end_in_crash(struct run *run, const struct step *step, enum sim_crash crash)
{
    /* A failed sync that the crash left no time to make good loses as much as a power cut. */
    run->may_lose |= crash == SIM_POWER_CUT || log_sync_failed(run);
    if (!sim_disk_dead(run->disk))
        sim_disk_crash(run->disk, crash);
    abandon(run);
    recover(run, step);
}

static void close_store(struct run *run)
{
    release_view(run);
    struct store *store = run->store;
    bool was_read_only = is_read_only(run);
    bitcask_status status = store_close(store, &run->error);
    run->store = NULL;
    run->db = NULL;
    tell(run, "close: %s %s", bitcask_status_name(status),
         status == BITCASK_OK ? "" : run->error.message);
    check_leaks(run, "after closing");
    if (sim_disk_dead(run->disk))
        return;
    if (status == BITCASK_OK)
        run->model.durable = run->model.atom_count;
    else if (!was_read_only)
        expect_reason(run, "close", status);
    run->may_lose |= status != BITCASK_OK && log_sync_failed(run);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static uint64_t expiry_of(struct run *run, const struct step *step)
{
    uint64_t now = sim_disk_now(run->disk);
    return step->ttl_us == 0 ? 0 : step->ttl_us == 1 ? now - 1000 : now + step->ttl_us;
}

static void take_outcome(struct run *run, const char *what, bitcask_status status,
                         bitcask_sync sync, uint64_t version, bool vague)
{
    struct model *model = &run->model;
    bool writes = model->atoms[model->atom_count - 1].count > 0;
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
    if (writes && !vague) {
        if (version <= model->max_version && !run->stale)
            fail(run, "%s: version %" PRIu64 " after version %" PRIu64, what, version,
                 model->max_version);
        model->writes[model->write_count - 1].version = version;
    }
    note_version(run, version);
    model_end(model, MODEL_DONE);
    if (writes && sync == BITCASK_SYNC_ALWAYS)
        model->durable = model->atom_count;
}

static bitcask_sync sync_of(const struct run *run, const struct step *step)
{
    return step->sync == BITCASK_SYNC_DEFAULT ? run->plan->sync : step->sync;
}

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
    fail(run, "%s of key %u gave %s; the key is %s", what, step->keys[0],
         bitcask_status_name(status),
         lives == 1   ? "there"
         : lives == 0 ? "not there"
                      : "?");
}

static void write_one(struct run *run, const struct step *step, const char *what)
{
    char text[KEY_SIZE_MAX];
    uint32_t key = step->keys[0];
    bitcask_slice name = make_key(key, text);
    if (step->kind == STEP_CONDITION) /* its version is learned by looking */
        check_key(run, "before a condition", key);
    if (sim_disk_dead(run->disk))
        return;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = step->sync;
    options.expires_us = step->kind == STEP_DELETE ? 0 : expiry_of(run, step);
    const struct model_write *now = model_now(&run->model, key);
    struct model_write old = now ? *now : (struct model_write){0};
    uint64_t from_us = sim_disk_now(run->disk), version = 0;
    bool version_fits = step->amount % 2 == 0;
    if (step->kind == STEP_CONDITION) {
        options.flags = step->flags;
        options.if_version = step->flags != BITCASK_IF_VERSION ? 0 : old.version + !version_fits;
    }
    uint32_t value = step->number * VALUES_PER_STEP + 1;
    bitcask_slice bytes = make_value(run, key, value, step->value_size);
    model_begin(&run->model);
    bitcask_status status =
        step->kind == STEP_DELETE ? bitcask_delete(run->db, name, &options, &version, &run->error)
        : step->kind == STEP_EXPIRE
            ? bitcask_expire(run->db, name, &options, &version, &run->error)
            : bitcask_put(run->db, name, bytes, &options, &version, &run->error);
    int lives = state_of(now ? &old : NULL, from_us, sim_disk_now(run->disk));
    bool keeps = step->kind == STEP_CONDITION && step->flags == BITCASK_KEEP_TTL && lives != 0;
    struct model_write *write = model_add(&run->model, key,
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

static void write_batch(struct run *run, const struct step *step)
{
    char text[KEY_SIZE_MAX];
    bitcask_batch *batch;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.sync = step->sync;
    uint64_t now = sim_disk_now(run->disk), version = 0;
    bool vague = false;
    CHECK(bitcask_batch_new(&batch, &run->error) == BITCASK_OK);
    model_begin(&run->model);
    for (uint32_t i = 0; i < step->key_count; i++) {
        uint32_t key = step->keys[i], value = step->number * VALUES_PER_STEP + 1 + i;
        bitcask_slice name = make_key(key, text);
        if (step->deletes >> i & 1) {
            const struct model_write *old = model_now(&run->model, key);
            int lives = state_of(old, now, now + 100);
            CHECK(bitcask_batch_delete(batch, name, &run->error) == BITCASK_OK);
            if (lives != 0)
                model_add(&run->model, key, 0, 0)->vague = lives == -1;
            vague |= lives == -1;
        } else {
            uint64_t expires_us = i % 2 == 0 ? expiry_of(run, step) : 0;
            bitcask_slice bytes = make_value(run, key, value, 24 + step->value_size / (i + 1));
            CHECK(bitcask_batch_put(batch, name, bytes, expires_us, &run->error) == BITCASK_OK);
            model_add(&run->model, key, value, expires_us);
        }
    }
    bitcask_status status = bitcask_write(run->db, batch, &options, &version, &run->error);
    bitcask_batch_free(batch);
    take_outcome(run, "batch", status, sync_of(run, step), version, vague);
    for (uint32_t i = 0; i < step->key_count && !sim_disk_dead(run->disk); i++)
        check_key(run, "batch", step->keys[i]);
}

/* ---- Other steps ----------------------------------------------------------------------------- */

static void iterate(struct run *run)
{
    unsigned times[MODEL_KEYS] = {0};
    bitcask_iterator *iterator;
    bitcask_status status = bitcask_iterator_new(run->db, NULL, bitcask_bytes(NULL, 0),
                                                 BITCASK_VALUES, &iterator, &run->error);
    expect_reason(run, "iterate", status);
    if (status != BITCASK_OK)
        return;
    uint64_t from_us = sim_disk_now(run->disk);
    bitcask_entry entry;
    while ((status = bitcask_iterator_next(iterator, &entry, &run->error)) != BITCASK_END) {
        if (sim_disk_dead(run->disk))
            break;
        if (status == BITCASK_CORRUPT && run->suspect)
            continue;
        unsigned key = MODEL_KEYS;
        char text[KEY_SIZE_MAX] = "";
        if (status == BITCASK_OK && entry.key.size < sizeof text) {
            memcpy(text, entry.key.data, entry.key.size);
            sscanf(text, "key%u", &key);
        }
        if (key >= MODEL_KEYS)
            fail(run, "an iteration gave %s, key '%.20s'", bitcask_status_name(status), text);
        struct model_seen seen = {
            .present = true,
            .value = value_number(run, key, entry.value.data, entry.value.size),
            .version = entry.meta.version,
            .expires_us = entry.meta.expires_us,
            .from_us = from_us,
            .to_us = sim_disk_now(run->disk),
        };
        if (!model_fits(model_now(&run->model, key), &seen) || times[key]++ > 0)
            misfit(run, times[key] > 1 ? "iterating, again" : "iterating", key, &seen);
    }
    bitcask_iterator_free(iterator);
    for (uint32_t key = 0; key < run->plan->keys && !run->suspect; key++) {
        struct model_seen seen = {.from_us = from_us, .to_us = sim_disk_now(run->disk)};
        if (times[key] == 0 && !sim_disk_dead(run->disk) &&
            !model_fits(model_now(&run->model, key), &seen))
            misfit(run, "iterating", key, &seen);
    }
}

static void merge(struct run *run, const struct step *step)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = step->amount % 2 == 0;
    options.min_dead = (double)(step->amount % 10) / 20;
    bitcask_merge_result result = {.struct_size = sizeof result};
    bitcask_status status = bitcask_merge(run->db, &options, &result, &run->error);
    tell(run, "merge: %s, %" PRIu64 " to %" PRIu64 " %s", bitcask_status_name(status),
         result.inputs, result.outputs, status < 0 ? run->error.message : "");
    if (run->clock_steps_us == 0 && sim_disk_now(run->disk) > REAP_MARGIN_US)
        model_reap(&run->model, sim_disk_now(run->disk) - REAP_MARGIN_US);
    expect_reason(run, "merge", status);
    check_all(run, "after a merge");
}

/* Files that a call which failed has left behind, named by the manifest or not, are no damage. */
static int note_finding(void *context, const bitcask_finding *finding)
{
    struct run *run = context;
    tell(run, "finding: %s at %" PRIu64 " (%" PRIu64 " bytes) %s", finding->file, finding->offset,
         finding->bytes, finding->what);
    bool litter = strcmp(finding->what, "belongs to no segment of the store") == 0 ||
                  strcmp(finding->what, "does not name a segment that is open") == 0;
    run->findings += !(litter && errors_of(run) > run->opened_errors);
    return 0;
}

static void verify(struct run *run)
{
    run->findings = 0;
    bitcask_status status = bitcask_verify(run->db, note_finding, run, NULL, &run->error);
    tell(run, "verify: %s %s", bitcask_status_name(status), status < 0 ? run->error.message : "");
    if (!run->suspect && (status != BITCASK_CORRUPT || run->findings > 0))
        expect_reason(run, "verify", status);
}

static void sync_now(struct run *run)
{
    bitcask_status status = bitcask_sync_now(run->db, &run->error);
    tell(run, "sync: %s %s", bitcask_status_name(status), status < 0 ? run->error.message : "");
    expect_reason(run, "sync", status);
    if (status == BITCASK_OK && !sim_disk_dead(run->disk))
        run->model.durable = run->model.atom_count;
}

static void hold_view(struct run *run, const struct step *step)
{
    char text[KEY_SIZE_MAX];
    release_view(run);
    bitcask_status status =
        bitcask_get_view(run->db, NULL, make_key(step->keys[0], text), &run->view, &run->error);
    if (status == BITCASK_OK) {
        run->view_copy = malloc(run->view.value.size + 1);
        CHECK(run->view_copy);
        memcpy(run->view_copy, run->view.value.data, run->view.value.size);
    }
}

static void do_step(struct run *run, const struct step *step)
{
    switch (step->kind) {
    case STEP_GET:
        check_key(run, "get", step->keys[0]);
        break;
    case STEP_PUT:
        write_one(run, step, "put");
        break;
    case STEP_DELETE:
        write_one(run, step, "delete");
        break;
    case STEP_EXPIRE:
        write_one(run, step, "expire");
        break;
    case STEP_CONDITION:
        write_one(run, step, "put on condition");
        break;
    case STEP_BATCH:
        write_batch(run, step);
        break;
    case STEP_ITERATE:
        iterate(run);
        break;
    case STEP_MERGE:
        merge(run, step);
        break;
    case STEP_VERIFY:
        verify(run);
        break;
    case STEP_SYNC:
        sync_now(run);
        break;
    case STEP_REOPEN:
        close_store(run);
        break;
    case STEP_KILL:
        sim_disk_crash(run->disk, SIM_KILL);
        break;
    case STEP_POWER_CUT:
        sim_disk_crash(run->disk, SIM_POWER_CUT);
        break;
    case STEP_WAIT:
        sim_disk_advance(run->disk, (uint64_t)step->amount);
        break;
    case STEP_CLOCK:
        sim_disk_step_clock(run->disk, step->amount);
        run->clock_steps_us += step->amount;
        break;
    case STEP_ALLOC:
        sim_disk_fail_alloc(run->disk, 1 + (uint64_t)step->amount % 20);
        break;
    case STEP_VIEW:
        hold_view(run, step);
        break;
    case STEP_KINDS:
        break;
    }
}

static void run_step(struct run *run, const struct step *step)
{
    sim_disk_reseed(run->disk, step->number);
    begin_step(run);
    if (step->armed)
        sim_disk_arm(run->disk, step->crash, step->crash_calls);
    do_step(run, step);
    sim_disk_arm(run->disk, SIM_KILL, 0);
    run->outcome->operations++;
    if (sim_disk_dead(run->disk)) {
        enum sim_crash crash = step->kind == STEP_KILL        ? SIM_KILL
                               : step->kind == STEP_POWER_CUT ? SIM_POWER_CUT
                                                              : step->crash;
        end_in_crash(run, step, crash);
    } else if (!run->store) {
        recover(run, step);
    } else if (is_read_only(run)) {
        note_suspect(run);
        if (step->number % 4 == 0) {
            begin_step(run);
            close_store(run);
            recover(run, step);
        }
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static void open_for_certain(struct run *run)
{
    sim_disk_faults(run->disk, false);
    begin_step(run);
    bitcask_status status = try_open(run);
    if (status != BITCASK_OK)
        fail(run, "open: %s: %s", bitcask_status_name(status), run->error.message);
}

/* Close, open, and all is as it was; twice, without a fault. */
static void finish(struct run *run)
{
    sim_disk_fail_alloc(run->disk, 0);
    sim_disk_faults(run->disk, false);
    begin_step(run);
    for (int i = 0; i < 2; i++) {
        close_store(run);
        open_for_certain(run);
        resolve(run);
    }
    check_all(run, "at the end");
    iterate(run);
    bitcask_status status = bitcask_verify(run->db, NULL, NULL, NULL, &run->error);
    if (status != BITCASK_OK)
        fail(run, "verify at the end: %s", run->error.message);
    status = store_close(run->store, &run->error);
    run->store = NULL;
    run->db = NULL;
    if (status != BITCASK_OK)
        fail(run, "close at the end: %s", run->error.message);
    check_leaks(run, "at the end");
}

/* Look at each key of a store with rot: it is as it was, or CORRUPT, or it is lost (gone, or an
 * older value shows), which somebody must tell. Returns how many are lost. */
static unsigned look_at_rot(struct run *run, const char *where, bool good[MODEL_KEYS])
{
    unsigned lost = 0;
    for (uint32_t key = 0; key < run->plan->keys; key++) {
        struct model_seen seen;
        bitcask_status status = look(run, key, &seen);
        if (status == BITCASK_CORRUPT)
            continue;
        if (status < 0)
            fail(run, "rot in %s: key %u: %s", where, key, run->error.message);
        good[key] = model_fits(model_now(&run->model, key), &seen);
        if (!good[key])
            lost++;
    }
    return lost;
}

static bool is_empty(struct run *run)
{
    uint64_t now = sim_disk_now(run->disk);
    for (uint32_t key = 0; key < MODEL_KEYS; key++)
        if (model_lives(model_now(&run->model, key), now, now) == 1)
            return false;
    return true;
}

static void write_anew(struct run *run)
{
    for (uint32_t key = 0; key < run->plan->keys; key++) {
        struct step step = {
            .kind = STEP_PUT, .number = PLAN_STEPS_MAX + key, .keys = {key}, .value_size = 100};
        write_one(run, &step, "put after rot");
    }
}

static void rot(struct run *run)
{
    sim_disk_reseed(run->disk, PLAN_STEPS_MAX);
    uint64_t random = random_mix(run->plan->seed ^ PLAN_STEPS_MAX);
    unsigned times = 1 + (unsigned)(random_next(&random) % 3 == 0);
    char where[300] = "", one[128];
    bool unreadable = false;
    for (unsigned i = 0; i < times; i++) {
        enum sim_rot kind = (enum sim_rot)(random_next(&random) % SIM_ROT_COUNT);
        unreadable |= kind == SIM_UNREADABLE;
        run->stale |= kind == SIM_STALE;
        sim_disk_rot(run->disk, DIRECTORY, kind, one, sizeof one);
        snprintf(where + strlen(where), sizeof where - strlen(where), " %s(%d)", one, kind);
    }
    tell(run, "rot in%s", where);
    begin_step(run);
    bitcask_status status = try_open(run);
    if (status == BITCASK_IO && unreadable)
        return;
    /* Without the manifest, and with no good header in a data file, there is nothing to go by. */
    if (status == BITCASK_CORRUPT && (is_empty(run) || (times > 1 && strstr(where, "MANIFEST"))))
        return;
    if (status != BITCASK_OK)
        fail(run, "rot in%s: open: %s", where, run->error.message);
    uint64_t warnings = run->warnings;
    bool good[MODEL_KEYS] = {false};
    unsigned lost = look_at_rot(run, where, good);
    status = bitcask_verify(run->db, NULL, NULL, NULL, &run->error);
    if (lost > 0 && warnings == 0 && status != BITCASK_CORRUPT)
        fail(run, "rot in%s: %u keys are lost, and nobody tells", where, lost);
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    status = bitcask_merge(run->db, &options, NULL, &run->error);
    if (status != BITCASK_OK && status != BITCASK_CORRUPT && !unreadable)
        fail(run, "rot in%s: merge: %s", where, run->error.message);
    bool still[MODEL_KEYS] = {false};
    look_at_rot(run, where, still);
    for (uint32_t key = 0; key < run->plan->keys; key++)
        if (good[key] && !still[key])
            fail(run, "rot in%s: key %u was good before a merge", where, key);
    write_anew(run);
    check_all(run, "after rot");
    status = store_close(run->store, &run->error);
    run->store = NULL;
    run->db = NULL;
    if (status != BITCASK_OK)
        fail(run, "rot in%s: close: %s", where, run->error.message);
    open_for_certain(run);
    check_all(run, "reopened after rot");
    store_abandon(run->store);
    run->store = NULL;
}

static void run_steps(struct run *run)
{
    struct os *os = sim_disk_os(run->disk);
    CHECK(os->make_dir(os, DIRECTORY) == 0 && os->sync_dir(os, ".") == 0);
    recover(run, NULL);
    for (size_t i = 0; i < run->plan->step_count; i++) {
        if (run->log)
            fprintf(run->log, "%u:\n", run->plan->steps[i].number);
        run_step(run, &run->plan->steps[i]);
        if (i % 16 == 0)
            check_all(run, "now and then");
    }
    finish(run);
    if (run->plan->rot)
        rot(run);
}

void plan_run(const struct plan *plan, FILE *log, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    struct run *run = calloc(1, sizeof *run);
    CHECK(run);
    run->plan = plan;
    run->log = log;
    run->outcome = outcome;
    run->value = malloc(VALUE_SIZE_MAX);
    CHECK(run->value);
    run->disk = sim_disk_new(&plan->disk);
    sim_disk_log(run->disk, log);
    if (setjmp(run->out) == 0) {
        run_steps(run);
        outcome->trace = sim_disk_trace(run->disk);
    }
    outcome->counts = *sim_disk_counts(run->disk);
    if (outcome->failed)
        return; /* what the store holds is lost */
    sim_disk_free(run->disk);
    model_free(&run->model);
    bitcask_buffer_free(&run->buffer);
    free(run->value);
    free(run);
}
