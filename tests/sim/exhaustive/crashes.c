/* SPDX-License-Identifier: MIT
 * crashes.c: a crash before every call of the operating system, in short scripts and in all
 * sequences of up to three operations. */
#include <string.h>

#include "../random.h"
#include "base/check.h"
#include "machine.h"
#include "work.h"

static const char *const SCRIPTS[] = {
    /* the first writes of a new store */
    "| pa pb pa O",
    /* overwriting, deleting */
    "pa pb | pa db pc da pb",
    /* a closed segment is appended to again */
    "pa pb O | pa db O pc",
    /* from one segment to the next */
    "pa pb R pa | R pc R db O",
    /* a merge with a tombstone over a value in another segment */
    "pa pb pc R pa db R | M pd",
    /* a merge that keeps nothing */
    "pa R pa R da | M S O",
    /* batches */
    "| babc bac-b S bh-ac",
    /* batches that have been merged, and merged again */
    "pa R babc R b-ab | M pc M",
    /* durable writes between others */
    "pe | sa pb pa sb db pc sc",
    /* large values */
    "Pa Pb | Pa pc R Pb M Pa",
    /* an expired record that hides an older value */
    "pa pb R xa R w | M pb O",
    /* the same over several merges */
    "pa xa R xb pa R w | m R da M",
    /* opening after a power cut, and going on */
    "pa S pb R pc pd C | pa O",
    /* opening after a kill, over several segments */
    "pa R pb S pc R Pd pe K | pb M",
    /* opening without a manifest */
    "pa R pb M R pc db R O X | pd M",
    /* opening without hints */
    "pa R pb db R pc O H | pb O",
    /* syncs of several segments */
    "pa R pb | S pc R S pd R pe S",
    /* tombstones over segments that are merged one after the other */
    "pa R da R pb R | m O M pa",
    /* a store that was cut, merged, and cut again */
    "pa S pb C pb R pc C | M pd S",
    /* recovery of a lost manifest after a power cut in a merge's neighbourhood */
    "pa pb R pa R M pc S pd K X | sa O",
};

static const struct {
    bitcask_sync sync;
    bool mapped;
} MODES[] = {
    {BITCASK_SYNC_NONE, true},   {BITCASK_SYNC_NONE, false},   {BITCASK_SYNC_INTERVAL, true},
    {BITCASK_SYNC_ALWAYS, true}, {BITCASK_SYNC_ALWAYS, false},
};

enum { SYNCS_MAX = 64 };

enum {
    SCRIPT_COUNT = sizeof SCRIPTS / sizeof SCRIPTS[0],
    MODE_COUNT = sizeof MODES / sizeof MODES[0],
    DAMAGES = 20,      /* outcomes of a power cut; number 0 is a kill */
    SYNC_VARIANTS = 4, /* no sync fails; one does, in one of three manners */
    EXAMINE_EVERY = 5, /* cases whose outcome is looked at from all sides */
};

static uint64_t seed_of(uint64_t damage, uint64_t variant)
{
    return damage * SYNC_VARIANTS + variant + 1;
}

/* Whatever became of the script: what must hold now. */
static void end_case(struct machine *machine, bool examine)
{
    if (sim_disk_dead(machine->disk)) {
        machine_recover(machine);
    } else {
        machine->armed = false;
        sim_disk_arm(machine->disk, SIM_KILL, 0);
        if (machine->store)
            machine_close(machine);
        machine_open(machine);
    }
    if (examine)
        machine_examine(machine);
    machine_close(machine);
}

/* What the part that may crash is like if it does not, with a sync that fails or without. */
struct shape {
    uint64_t calls, syncs, recovery_calls;
    bool only_clock[CALLS_MAX];
};

static void do_case(struct work *work, const char *name, const char *script,
                    const struct setting *setting, bool examine, struct shape *shape)
{
    static struct machine machine; /* not on the stack: longjmp would spoil it */
    static const char *running;
    jmp_buf out;
    running = name;
    machine_init(&machine, setting, work->log);
    machine.out = &out;
    if (setjmp(out) != 0) {
        work_failed(work, running, machine.what);
        return; /* what the store holds is lost */
    }
    machine_run(&machine, script);
    if (shape) {
        shape->calls = machine_calls(&machine);
        shape->syncs = machine.syncs;
        memcpy(shape->only_clock, machine.only_clock, sizeof shape->only_clock);
    }
    end_case(&machine, examine);
    if (shape)
        shape->recovery_calls = machine.recovery_calls;
    atomic_fetch_add(&work->tally->calls, sim_disk_counts(machine.disk)->calls);
    for (int crash = 0; crash < SIM_CRASH_COUNT; crash++)
        atomic_fetch_add(&work->tally->crashes, sim_disk_counts(machine.disk)->crashes[crash]);
    machine_release(&machine);
}

static void measure(struct work *work, const char *script, struct setting setting,
                    uint64_t failing_sync, struct shape *shape)
{
    struct work quiet = *work;
    quiet.log = NULL;
    setting.crash_call = setting.recovery_crash_call = 0;
    setting.failing_sync = failing_sync;
    do_case(&quiet, "measuring", script, &setting, false, shape);
}

/* Before a call that only asks for the time, the power leaves what it leaves before the next one.
 */
static bool is_worth_it(const struct shape *shape, const struct setting *setting)
{
    uint64_t call = setting->crash_call;
    return call <= shape->calls + 1 &&
           (setting->crash == SIM_KILL || call > shape->calls || !shape->only_clock[call]);
}

/* ---- Scripts --------------------------------------------------------------------------------- */

static void set_damage(struct setting *setting, uint64_t damage, uint64_t variant, uint64_t call)
{
    setting->crash = damage == 0 ? SIM_KILL : SIM_POWER_CUT;
    setting->lenient = damage % 2;
    setting->early = damage / 2 % 2;
    setting->seed = seed_of(damage, variant);
    setting->crash_call = call;
    setting->recovery_crash_call =
        damage % 4 == 3 ? 1 + random_mix(setting->seed * 1000 + call) % 90 : 0;
}

static void crash_script(struct work *work, unsigned script, unsigned mode, unsigned variant)
{
    char begin[NAME_BEGIN_SIZE], name[NAME_MAX_SIZE];
    snprintf(begin, sizeof begin, "scripts:%u.%u.%u.", script, mode, variant);
    if (work_skips(work, begin))
        return;
    struct setting setting = {
        .sync = MODES[mode].sync, .mapped = MODES[mode].mapped, .seed = 1, .sync_manner = variant};
    static struct shape shapes[SYNCS_MAX + 1]; /* by the sync that fails */
    measure(work, SCRIPTS[script], setting, 0, &shapes[0]);
    uint64_t syncs = shapes[0].syncs, calls = shapes[0].calls;
    CHECK(syncs <= SYNCS_MAX);
    for (uint64_t s = 1; variant > 0 && s <= syncs; s++) {
        measure(work, SCRIPTS[script], setting, s, &shapes[s]);
        calls = shapes[s].calls > calls ? shapes[s].calls : calls;
    }
    for (uint64_t call = 1; call <= calls + 1; call++)
        for (uint64_t damage = 0; damage <= DAMAGES; damage++) {
            /* Over the damages, each sync has its turn with each call. */
            uint64_t failing = variant > 0 && syncs > 0 ? 1 + (call + damage) % syncs : 0;
            set_damage(&setting, damage, variant, call);
            setting.failing_sync = failing;
            snprintf(name, sizeof name, "%s%u.%u", begin, (unsigned)call, (unsigned)damage);
            if (is_worth_it(&shapes[failing], &setting) && work_takes(work, name))
                do_case(work, name, SCRIPTS[script], &setting, (call + damage) % EXAMINE_EVERY == 0,
                        NULL);
        }
}

void crash_scripts(struct work *work)
{
    for (unsigned script = 0; script < SCRIPT_COUNT; script++)
        for (unsigned mode = 0; mode < MODE_COUNT; mode++)
            for (unsigned variant = 0; variant < SYNC_VARIANTS; variant++)
                crash_script(work, script, mode, variant);
}

/* ---- Sequences ------------------------------------------------------------------------------- */

/* put, delete, batch, rotate, merge, sync, reopen; behind a store that has some of each. */
static const char *const OPERATIONS[] = {"pa", "da", "bbc-a", "R", "M", "S", "O"};
static const char BEFORE[] = "pa pb R pa bcd-b S pe |";

enum {
    OPERATION_COUNT = sizeof OPERATIONS / sizeof OPERATIONS[0],
    SEQUENCE_MAX = 3,
    SEQUENCE_MODES = 2, /* none and mapped; always and written */
    SEQUENCE_DAMAGES = 3,
};

/* The sequence of this number; false if there is none. */
static bool make_sequence(unsigned number, char script[64])
{
    snprintf(script, 64, "%s", BEFORE);
    unsigned length = 1, count = OPERATION_COUNT;
    while (number >= count) {
        number -= count;
        count *= OPERATION_COUNT;
        if (++length > SEQUENCE_MAX)
            return false;
    }
    for (; length > 0; length--, number /= OPERATION_COUNT) {
        strcat(script, " ");
        strcat(script, OPERATIONS[number % OPERATION_COUNT]);
    }
    return true;
}

static void crash_sequence(struct work *work, unsigned sequence, const char *script, unsigned mode,
                           bool lenient)
{
    char begin[NAME_BEGIN_SIZE], name[NAME_MAX_SIZE];
    snprintf(begin, sizeof begin, "sequences:%u.%u.%u.", sequence, mode, lenient);
    if (work_skips(work, begin))
        return;
    struct setting setting = {
        .sync = mode == 0 ? BITCASK_SYNC_NONE : BITCASK_SYNC_ALWAYS,
        .mapped = mode == 0,
        .lenient = lenient,
        .seed = 1,
    };
    static struct shape shape;
    measure(work, script, setting, 0, &shape);
    for (uint64_t call = 1; call <= shape.calls + 1; call++)
        for (unsigned damage = 0; damage <= SEQUENCE_DAMAGES; damage++) {
            setting.crash = damage == 0 ? SIM_KILL : SIM_POWER_CUT;
            setting.crash_call = call;
            setting.seed = damage + 1;
            snprintf(name, sizeof name, "%s%u.%u", begin, (unsigned)call, damage);
            if (is_worth_it(&shape, &setting) && work_takes(work, name))
                do_case(work, name, script, &setting, damage == 1, NULL);
        }
}

void crash_sequences(struct work *work)
{
    char script[64];
    for (unsigned sequence = 0; make_sequence(sequence, script); sequence++)
        for (unsigned mode = 0; mode < SEQUENCE_MODES; mode++)
            for (unsigned lenient = 0; lenient < 2; lenient++)
                crash_sequence(work, sequence, script, mode, lenient);
}

/* ---- Recoveries ------------------------------------------------------------------------------ */

static const char *const RECOVERED[] = {
    /* a merge by a process that writes nothing else: the manifest says clean */
    "pa R pb R da R O | M",
    /* a log over several segments, and a merge of what was recovered */
    "pa S pb pc R pd K | pe R pf",
    /* a manifest to be rebuilt */
    "pa pb R pa R M pc S pd K X | pe",
};

enum { RECOVERED_COUNT = sizeof RECOVERED / sizeof RECOVERED[0], RECOVERY_DAMAGES = 2 };

static void crash_recovery(struct work *work, unsigned script, unsigned mode, enum sim_crash crash)
{
    static struct shape shape;
    char begin[NAME_BEGIN_SIZE], name[NAME_MAX_SIZE];
    snprintf(begin, sizeof begin, "recoveries:%u.%u.%u.", script, mode, crash);
    if (work_skips(work, begin))
        return;
    struct setting setting = {
        .sync = mode == 0 ? BITCASK_SYNC_NONE : BITCASK_SYNC_ALWAYS,
        .mapped = mode == 0,
        .lenient = mode == 1,
        .seed = 1,
        .crash = crash,
    };
    measure(work, RECOVERED[script], setting, 0, &shape);
    uint64_t calls = shape.calls;
    for (setting.crash_call = 1; setting.crash_call <= calls; setting.crash_call++) {
        struct work quiet = *work;
        quiet.log = NULL;
        setting.seed = 1;
        setting.recovery_crash_call = 0;
        do_case(&quiet, "measuring", RECOVERED[script], &setting, false, &shape);
        uint64_t recovery_calls = shape.recovery_calls;
        for (uint64_t call = 1; call <= recovery_calls; call++)
            for (unsigned damage = 0; damage < RECOVERY_DAMAGES; damage++) {
                setting.recovery_crash_call = call;
                setting.seed = damage + 1;
                snprintf(name, sizeof name, "%s%u.%u.%u", begin, (unsigned)setting.crash_call,
                         (unsigned)call, damage);
                if (work_takes(work, name))
                    do_case(work, name, RECOVERED[script], &setting, call % EXAMINE_EVERY == 0,
                            NULL);
            }
    }
}

void crash_recoveries(struct work *work)
{
    for (unsigned script = 0; script < RECOVERED_COUNT; script++)
        for (unsigned mode = 0; mode < SEQUENCE_MODES; mode++)
            for (int crash = 0; crash < SIM_CRASH_COUNT; crash++)
                crash_recovery(work, script, mode, (enum sim_crash)crash);
}
