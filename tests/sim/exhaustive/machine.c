/* SPDX-License-Identifier: MIT
 * machine.c: see machine.h. */
#include "machine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/background.h"
#include "engine/log_writer.h"
#include "format/names.h"

enum { VALUE_SIZE = 40, LARGE_VALUE_SIZE = 6000, SECOND_US = 1000000 };

void machine_fail(struct machine *machine, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(machine->what, sizeof machine->what, format, arguments);
    va_end(arguments);
    CHECK(machine->out);
    longjmp(*machine->out, 1);
}

__attribute__((format(printf, 2, 3))) static void tell(struct machine *machine, const char *format,
                                                       ...)
{
    if (!machine->log)
        return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(machine->log, format, arguments);
    va_end(arguments);
    fputc('\n', machine->log);
}

/* ---- Syncs that fail ------------------------------------------------------------------------- */

static struct machine *machine_of(struct os *os)
{
    return (struct machine *)((char *)os - offsetof(struct machine, os));
}

/* The disk fails every sync while its faults are on. */
static bool this_one_fails(struct machine *machine)
{
    if (!machine->armed || ++machine->syncs != machine->setting.failing_sync)
        return false;
    machine->failed_syncs++;
    sim_disk_faults(machine->disk, true);
    return true;
}

static int failing_sync(struct os *os, struct os_file *file)
{
    struct machine *machine = machine_of(os);
    this_one_fails(machine);
    int result = sim_disk_os(machine->disk)->sync(sim_disk_os(machine->disk), file);
    sim_disk_faults(machine->disk, false);
    return result;
}

static int failing_pwrite(struct os *os, struct os_file *file, const void *data, size_t size,
                          uint64_t offset, int flags)
{
    struct machine *machine = machine_of(os);
    if (flags & OS_DSYNC)
        this_one_fails(machine);
    struct os *disk = sim_disk_os(machine->disk);
    int result = disk->pwrite(disk, file, data, size, offset, flags);
    sim_disk_faults(machine->disk, false);
    return result;
}

/* ---- Calls that change nothing --------------------------------------------------------------- */

static void note_clock(struct machine *machine)
{
    uint64_t call = machine_calls(machine);
    CHECK(call < CALLS_MAX || !machine->armed);
    if (machine->armed)
        machine->only_clock[call] = true;
}

static uint64_t noted_clock_real(struct os *os)
{
    struct machine *machine = machine_of(os);
    struct os *disk = sim_disk_os(machine->disk);
    uint64_t now = disk->clock_real(disk);
    note_clock(machine);
    return now;
}

static uint64_t noted_clock_boot(struct os *os)
{
    struct machine *machine = machine_of(os);
    struct os *disk = sim_disk_os(machine->disk);
    uint64_t now = disk->clock_boot(disk);
    note_clock(machine);
    return now;
}

/* ---- The machine ----------------------------------------------------------------------------- */

void machine_init(struct machine *machine, const struct setting *setting, FILE *log)
{
    struct sim_config config = {
        .seed = 1,
        .lenient = setting->lenient,
        .mapped_writes = setting->mapped,
        .writeback = setting->early ? 5000 : 0,
        .sync_error = 100000,
        .sync_manner = setting->sync_manner,
    };
    *machine = (struct machine){.setting = *setting, .log = log};
    machine->disk = sim_disk_new(&config);
    sim_disk_log(machine->disk, log);
    machine->os = *sim_disk_os(machine->disk);
    machine->os.sync = failing_sync;
    machine->os.pwrite = failing_pwrite;
    machine->os.clock_real = machine->os.clock_coarse = noted_clock_real;
    machine->os.clock_boot = noted_clock_boot;
    struct os *os = &machine->os;
    CHECK(os->make_dir(os, STORE_DIRECTORY) == 0 && os->sync_dir(os, ".") == 0);
}

void machine_release(struct machine *machine)
{
    if (machine->store)
        store_abandon(machine->store);
    sim_disk_free(machine->disk);
    bitcask_buffer_free(&machine->buffer);
}

uint64_t machine_calls(const struct machine *machine)
{
    return sim_disk_counts(machine->disk)->calls - machine->calls_before;
}

static bool is_dead(const struct machine *machine)
{
    return sim_disk_dead(machine->disk);
}

static bool refuses_writes(const struct machine *machine)
{
    return machine->store && atomic_load(&machine->store->write_status) != 0;
}

static bitcask *db_of(struct machine *machine)
{
    return (bitcask *)machine->store;
}

static void check_leaks(struct machine *machine, const char *when)
{
    if (sim_disk_open_handles(machine->disk) != 0 || sim_disk_live_bytes(machine->disk) != 0)
        machine_fail(machine, "%s: %zu files, mappings and locks are left, %" PRIu64 " bytes", when,
                     sim_disk_open_handles(machine->disk), sim_disk_live_bytes(machine->disk));
}

void machine_crash(struct machine *machine, enum sim_crash crash)
{
    machine->lossy |= crash == SIM_POWER_CUT;
    if (!is_dead(machine))
        sim_disk_crash(machine->disk, crash);
    if (machine->store)
        store_abandon(machine->store);
    machine->store = NULL;
    check_leaks(machine, "after a crash");
    sim_disk_restart(machine->disk);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static bitcask_slice key_of(unsigned key, char text[8])
{
    int size = snprintf(text, 8, "key-%c", (char)('a' + key));
    return bitcask_bytes(text, (size_t)size);
}

/* Every byte tells which value of which key it is of. */
static size_t make_value(unsigned key, uint32_t value, size_t size, uint8_t *to)
{
    int head = snprintf((char *)to, LARGE_VALUE_SIZE, "%c%u %zu ", (char)('a' + key), value, size);
    for (size_t i = (size_t)head; i < size; i++)
        to[i] = (uint8_t)(value * 37 + key * 11 + i * 7 + (i >> 8));
    return size;
}

bitcask_status machine_look(struct machine *machine, unsigned key, uint32_t *value)
{
    static uint8_t expected[LARGE_VALUE_SIZE];
    char text[8], head[32] = "", of;
    size_t size;
    *value = 0;
    bitcask_status status = bitcask_get(db_of(machine), NULL, key_of(key, text), &machine->buffer,
                                        NULL, &machine->error);
    if (status != BITCASK_OK)
        return status;
    const bitcask_buffer *buffer = &machine->buffer;
    memcpy(head, buffer->data, buffer->size < sizeof head - 1 ? buffer->size : sizeof head - 1);
    unsigned number;
    if (sscanf(head, "%c%u %zu ", &of, &number, &size) == 3 && of == (char)('a' + key) &&
        size == buffer->size && size <= LARGE_VALUE_SIZE) {
        make_value(key, number, size, expected);
        if (memcmp(expected, buffer->data, size) == 0)
            *value = number;
    }
    return status;
}

static void look_at_all(struct machine *machine, const char *when, struct sight *seen)
{
    *seen = (struct sight){.at_us = sim_disk_now(machine->disk)};
    for (unsigned key = 0; key < KEYS; key++) {
        bitcask_status status = machine_look(machine, key, &seen->values[key]);
        if (status < 0)
            machine_fail(machine, "%s: key %c: %s", when, (char)('a' + key),
                         machine->error.message);
        if (status == BITCASK_OK && seen->values[key] == 0)
            machine_fail(machine, "%s: key %c has a value that was never written to it", when,
                         (char)('a' + key));
    }
}

static void describe(const struct sight *sight, char text[96])
{
    size_t size = 0;
    text[0] = '\0';
    for (unsigned key = 0; key < KEYS; key++)
        if (sight->values[key] != 0)
            size += (size_t)snprintf(text + size, 96 - size, "%c%u ", (char)('a' + key),
                                     sight->values[key]);
}

/* Hold what the store shows against the history. */
static void settle(struct machine *machine, const char *when)
{
    struct history *history = &machine->history;
    struct sight seen, all;
    look_at_all(machine, when, &seen);
    size_t least = machine->lossy ? history->durable : history->count;
    size_t count = history->count;
    history_state(history, seen.at_us, &all);
    if (machine->damage[0] && !machine->expects_damage)
        machine_fail(machine, "%s: the store reports '%s'", when, machine->damage);
    if (!history_settle(history, &seen, least)) {
        char got[96], wanted[96];
        describe(&seen, got);
        describe(&all, wanted);
        machine_fail(machine, "%s: there is %s, which no %zu to %zu atoms explain; all: %s", when,
                     got, least, count, wanted);
    }
    tell(machine, "# %s: %zu of %zu atoms, %zu had to be there", when, history->count, count,
         least);
    machine->lossy = false;
}

/* ---- Opening and closing --------------------------------------------------------------------- */

/* Crashes, and syncs that fail, harm nothing that the store has to report as lost. */
static void note_damage(struct machine *machine, const char *event)
{
    static const char *const events[] = {"damaged", "segment_missing", "corrupt_record",
                                         "live_count_wrong"};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (strcmp(event, events[i]) == 0)
            snprintf(machine->damage, sizeof machine->damage, "%s", event);
}

static void take_event(void *context, const bitcask_log_event *event)
{
    struct machine *machine = context;
    machine->warnings += event->level >= BITCASK_LOG_WARN;
    note_damage(machine, event->name);
    if (!machine->log)
        return;
    fprintf(machine->log, "        (%s", event->name);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (field->kind == BITCASK_FIELD_UINT)
            fprintf(machine->log, " %s=%" PRIu64, field->name, field->number);
        else
            fprintf(machine->log, " %s='%.*s'", field->name, (int)field->bytes.size,
                    (const char *)field->bytes.data);
    }
    fprintf(machine->log, ")\n");
}

bitcask_status machine_try_open(struct machine *machine)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.read_only = machine->read_only;
    options.sync = machine->setting.sync;
    options.sync_interval_ms = 1;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    options.log = take_event;
    options.log_context = machine;
    machine->warnings = 0;
    bitcask_status status =
        store_open(&machine->os, STORE_DIRECTORY, &options, &machine->store, &machine->error);
    tell(machine, "# open: %s %s", bitcask_status_name(status),
         status < 0 ? machine->error.message : "");
    return status;
}

void machine_open(struct machine *machine)
{
    for (;;) {
        uint64_t failed = machine->failed_syncs;
        bitcask_status status = machine_try_open(machine);
        bool sync_failed = machine->failed_syncs > failed;
        machine->lossy |= sync_failed;
        if (is_dead(machine))
            return;
        if (status == BITCASK_OK && !refuses_writes(machine))
            break;
        if (!sync_failed)
            machine_fail(machine, "open: %s: %s", bitcask_status_name(status),
                         status == BITCASK_OK ? "writes are refused" : machine->error.message);
        if (status == BITCASK_OK)
            machine_crash(machine, SIM_KILL);
        else
            check_leaks(machine, "after an opening that failed");
    }
    settle(machine, "after opening");
}

void machine_close(struct machine *machine)
{
    uint64_t failed = machine->failed_syncs;
    bool refused = refuses_writes(machine);
    struct store *store = machine->store;
    machine->store = NULL;
    bitcask_status status = store_close(store, &machine->error);
    tell(machine, "# close: %s", bitcask_status_name(status));
    bool sync_failed = machine->failed_syncs > failed;
    machine->lossy |= sync_failed && status != BITCASK_OK;
    check_leaks(machine, "after closing");
    if (is_dead(machine))
        return;
    if (status == BITCASK_OK)
        machine->history.durable = machine->history.count;
    else if (!sync_failed && !refused)
        machine_fail(machine, "close: %s", machine->error.message);
}

void machine_recover(struct machine *machine)
{
    machine->armed = false;
    sim_disk_arm(machine->disk, SIM_KILL, 0);
    machine_crash(machine, machine->setting.crash);
    if (machine->setting.recovery_crash_call > 0) {
        sim_disk_arm(machine->disk, SIM_POWER_CUT, machine->setting.recovery_crash_call);
        bitcask_status status = machine_try_open(machine);
        sim_disk_arm(machine->disk, SIM_KILL, 0);
        if (!is_dead(machine) && status != BITCASK_OK)
            machine_fail(machine, "recovery: %s", machine->error.message);
        machine_crash(machine, SIM_POWER_CUT);
    }
    uint64_t before = machine_calls(machine);
    machine_open(machine);
    machine->recovery_calls = machine_calls(machine) - before;
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void take_outcome(struct machine *machine, const struct history_atom *atom,
                         bitcask_status status, bool durable)
{
    struct history *history = &machine->history;
    if (status < 0 && status != BITCASK_UNKNOWN && !is_dead(machine) && machine->failed_syncs == 0)
        machine_fail(machine, "a write fails without a reason: %s", machine->error.message);
    bool unknown = status == BITCASK_UNKNOWN || is_dead(machine);
    if ((status != BITCASK_OK && !unknown) || atom->count == 0)
        return;
    CHECK(history->count < HISTORY_MAX);
    history->atoms[history->count] = *atom;
    history->atoms[history->count++].unknown = unknown;
    if (durable && !unknown)
        history->durable = history->count;
}

static void note_version(struct machine *machine, bitcask_status status, uint64_t version)
{
    if (status != BITCASK_OK || version == 0)
        return;
    if (version <= machine->max_version)
        machine_fail(machine, "version %" PRIu64 " is not above %" PRIu64, version,
                     machine->max_version);
    machine->max_version = version;
}

static bool will_be_durable(const struct machine *machine, bitcask_sync sync)
{
    return sync == BITCASK_SYNC_ALWAYS ||
           (sync == BITCASK_SYNC_DEFAULT && machine->setting.sync == BITCASK_SYNC_ALWAYS);
}

static void write_one(struct machine *machine, char kind, unsigned key)
{
    static uint8_t bytes[LARGE_VALUE_SIZE];
    char text[8];
    uint64_t version = 0;
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    struct history_atom atom = {.count = 1};
    struct history_write *write = &atom.writes[0];
    write->key = key;
    bitcask_status status;
    if (kind == 's')
        options.sync = BITCASK_SYNC_ALWAYS;
    if (kind == 'd') {
        status =
            bitcask_delete(db_of(machine), key_of(key, text), &options, &version, &machine->error);
    } else {
        write->value = ++machine->values;
        if (kind == 'x')
            write->expires_us = options.expires_us = sim_disk_now(machine->disk) + SECOND_US;
        size_t size =
            make_value(key, write->value, kind == 'P' ? LARGE_VALUE_SIZE : VALUE_SIZE, bytes);
        status = bitcask_put(db_of(machine), key_of(key, text), bitcask_bytes(bytes, size),
                             &options, &version, &machine->error);
    }
    note_version(machine, status, version);
    take_outcome(machine, &atom, status, will_be_durable(machine, options.sync));
}

static void write_batch(struct machine *machine, const char *word)
{
    uint8_t bytes[VALUE_SIZE];
    char text[8];
    uint64_t version = 0;
    bitcask_batch *batch;
    struct history_atom atom = {0};
    struct sight before;
    history_state(&machine->history, sim_disk_now(machine->disk), &before);
    CHECK(bitcask_batch_new(&batch, NULL) == BITCASK_OK);
    for (const char *at = word; *at >= 'a' || *at == '-'; at++) {
        bool deletes = *at == '-';
        at += deletes;
        struct history_write *write = &atom.writes[atom.count];
        *write = (struct history_write){.key = (unsigned)(*at - 'a')};
        bitcask_slice key = key_of(write->key, text);
        bitcask_status added;
        if (deletes) {
            added = bitcask_batch_delete(batch, key, NULL);
        } else {
            write->value = ++machine->values;
            size_t size = make_value(write->key, write->value, VALUE_SIZE, bytes);
            added = bitcask_batch_put(batch, key, bitcask_bytes(bytes, size), 0, NULL);
        }
        CHECK(added == BITCASK_OK);
        if (!deletes || before.values[write->key] != 0) /* else it writes nothing */
            atom.count++;
    }
    bitcask_status status = bitcask_write(db_of(machine), batch, NULL, &version, &machine->error);
    bitcask_batch_free(batch);
    note_version(machine, status, version);
    take_outcome(machine, &atom, status, will_be_durable(machine, BITCASK_SYNC_DEFAULT));
}

static void expect_reason(struct machine *machine, const char *what, bitcask_status status,
                          uint64_t failed_before)
{
    tell(machine, "# %s: %s", what, bitcask_status_name(status));
    if (status < 0 && !is_dead(machine) && machine->failed_syncs == failed_before &&
        !refuses_writes(machine))
        machine_fail(machine, "%s fails without a reason: %s", what, machine->error.message);
}

static void rotate(struct machine *machine)
{
    struct store *store = machine->store;
    uint64_t failed = machine->failed_syncs;
    write_mutex_lock(&store->write_mutex);
    bitcask_status status = log_rotate(store, &machine->error);
    write_mutex_unlock(&store->write_mutex);
    background_inline(store);
    expect_reason(machine, "rotate", status, failed);
}

static void merge(struct machine *machine, bool all)
{
    uint64_t failed = machine->failed_syncs;
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = all;
    bitcask_status status = bitcask_merge(db_of(machine), &options, NULL, &machine->error);
    expect_reason(machine, "merge", status, failed);
}

static void sync_now(struct machine *machine)
{
    uint64_t failed = machine->failed_syncs;
    bitcask_status status = bitcask_sync_now(db_of(machine), &machine->error);
    expect_reason(machine, "sync", status, failed);
    if (status == BITCASK_OK && !is_dead(machine))
        machine->history.durable = machine->history.count;
}

static int unlink_hint(void *context, const char *name)
{
    struct machine *machine = context;
    struct os *os = &machine->os;
    uint64_t id;
    char path[64];
    if (name_parse(name, &id) != NAME_HINT)
        return 0;
    snprintf(path, sizeof path, STORE_DIRECTORY "/%.32s", name);
    return os->unlink(os, path);
}

static void lose_hints(struct machine *machine)
{
    struct os *os = &machine->os;
    CHECK(os->list(os, STORE_DIRECTORY, unlink_hint, machine) == 0 || is_dead(machine));
    CHECK(os->sync_dir(os, STORE_DIRECTORY) == 0 || is_dead(machine));
}

static void lose_manifest(struct machine *machine)
{
    struct os *os = &machine->os;
    CHECK(os->unlink(os, STORE_DIRECTORY "/" NAME_MANIFEST) == 0 || is_dead(machine));
    CHECK(os->sync_dir(os, STORE_DIRECTORY) == 0 || is_dead(machine));
}

static void arm(struct machine *machine)
{
    machine->armed = true;
    machine->calls_before = sim_disk_counts(machine->disk)->calls;
    sim_disk_reseed(machine->disk, machine->setting.seed);
    sim_disk_arm(machine->disk, machine->setting.crash, machine->setting.crash_call);
}

static void do_word(struct machine *machine, const char *word)
{
    uint64_t failed = machine->failed_syncs;
    bool closed = *word == '|' || *word == 'w' || *word == 'H' || *word == 'X';
    if (!closed && !machine->store)
        machine_open(machine);
    if (is_dead(machine))
        return;
    switch (*word) {
    case '|':
        arm(machine);
        break;
    case 'b':
        write_batch(machine, word + 1);
        break;
    case 'R':
        rotate(machine);
        break;
    case 'M':
    case 'm':
        merge(machine, *word == 'M');
        break;
    case 'S':
        sync_now(machine);
        break;
    case 'O':
        machine_close(machine);
        break;
    case 'w':
        sim_disk_advance(machine->disk, 120 * SECOND_US);
        break;
    case 'K':
    case 'C':
        machine_crash(machine, *word == 'K' ? SIM_KILL : SIM_POWER_CUT);
        break;
    case 'H':
        lose_hints(machine);
        break;
    case 'X':
        lose_manifest(machine);
        break;
    default:
        CHECK(strchr("pPxsd", *word) && word[1] >= 'a' && word[1] < 'a' + KEYS);
        write_one(machine, *word, (unsigned)(word[1] - 'a'));
        break;
    }
    /* A failed sync that nobody has made good: what was not durable may be gone. */
    if (machine->failed_syncs > failed && (is_dead(machine) || refuses_writes(machine)))
        machine->lossy = true;
}

void machine_run(struct machine *machine, const char *script)
{
    for (const char *word = script; *word; word += strcspn(word, " ")) {
        word += strspn(word, " ");
        if (!*word || is_dead(machine))
            break;
        tell(machine, "%.*s:", (int)strcspn(word, " "), word);
        sim_disk_advance(machine->disk, 2000);
        do_word(machine, word);
    }
}

/* ---- Examining ------------------------------------------------------------------------------- */

void machine_examine(struct machine *machine)
{
    bitcask_status status = bitcask_verify(db_of(machine), NULL, NULL, &machine->error);
    if (status != BITCASK_OK)
        machine_fail(machine, "verify: %s", machine->error.message);
    write_one(machine, 's', KEYS - 1);
    machine_close(machine);
    lose_hints(machine);
    machine_open(machine);
    machine_close(machine);
    lose_manifest(machine);
    machine_open(machine);
    merge(machine, true);
    settle(machine, "merged");
    machine_close(machine);
    machine_open(machine);
}
