/* SPDX-License-Identifier: MIT
 * sectors.c: one fault in one sector, for every sector of every file of a sample store.
 *
 * The sample has sealed segments, outputs of merges, tombstones over values in other files,
 * batches, and an active segment; once closed, once killed. Each key of it is read, from the store
 * opened for reading and for writing. A key may be CORRUPT where one of its records lies in the
 * sector, or its loss be told at opening; every other key must be as it was. */
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "base/check.h"
#include "format/names.h"
#include "format/record.h"
#include "format/segment_header.h"
#include "machine.h"
#include "work.h"

static const char SAMPLE[] = "pa pb Pc pd Pe R pf dd pa R M " /* an output; e stays there */
                             "Pg pb R da bcf-b R "            /* tombstones and batches over it */
                             "pd R db S Pf baf-c R "          /* several sealed segments */
                             "pc S ph dg S Pc bab";           /* the active one */

static const char *const ENDS[] = {" O", " K"};

enum { END_COUNT = 2, FILES_MAX = 32, SECTOR_SIZE = 512, FILE_MAX_SIZE = 1 << 17, WAYS_MAX = 4 };

enum file_kind { SEALED, OUTPUT, ACTIVE, HINT, MANIFEST, OTHER, KIND_COUNT };
static const char *const KIND_NAMES[] = {"sealed segment", "merge output", "active segment",
                                         "hint",           "MANIFEST",     "other"};

enum { GARBAGE = SIM_ROT_COUNT, FAULT_COUNT };
static const char *const FAULT_NAMES[] = {"flipped bit", "zeros",      "stale",
                                          "misdirected", "unreadable", "garbage"};
static const unsigned WAYS[] = {4, 1, 2, 2, 1, 2}; /* of each fault that are tried */

_Static_assert((int)KIND_COUNT <= (int)FILE_KINDS && (int)FAULT_COUNT <= (int)FAULT_KINDS,
               "the tally has room");

/* ---- The sample ------------------------------------------------------------------------------ */

struct sample_file {
    char name[48];
    enum file_kind kind;
    uint8_t *bytes;
    size_t size;
};

struct sample {
    char script[sizeof SAMPLE + 8];
    struct sample_file files[FILES_MAX];
    size_t file_count;
    struct sight expected;
};

static int add_file(void *context, const char *name)
{
    struct sample *sample = context;
    if (strcmp(name, NAME_QUARANTINE) == 0)
        return 0;
    CHECK(sample->file_count < FILES_MAX);
    snprintf(sample->files[sample->file_count++].name, sizeof sample->files[0].name, "%.40s", name);
    return 0;
}

static int compare_files(const void *a, const void *b)
{
    return strcmp(((const struct sample_file *)a)->name, ((const struct sample_file *)b)->name);
}

static void make_path(const struct sample_file *file, char path[64])
{
    snprintf(path, 64, STORE_DIRECTORY "/%.40s", file->name);
}

static void read_file(struct machine *machine, struct sample_file *file)
{
    char path[64];
    struct os *os = &machine->os;
    struct os_file *open;
    make_path(file, path);
    file->bytes = malloc(FILE_MAX_SIZE);
    CHECK(file->bytes && os->open(os, path, OS_READ, &open) == 0);
    int64_t got = os->pread(os, open, file->bytes, FILE_MAX_SIZE, 0);
    CHECK(got >= 0 && got < FILE_MAX_SIZE);
    file->size = (size_t)got;
    os->close(os, open);
}

/* The log goes on in the last segment of the log. */
static enum file_kind kind_of(const struct sample_file *file, uint64_t active_id)
{
    uint64_t id = 0;
    struct segment_header header;
    enum name_kind kind = name_parse(file->name, &id);
    if (kind == NAME_HINT)
        return HINT;
    if (strcmp(file->name, NAME_MANIFEST) == 0)
        return MANIFEST;
    if (kind != NAME_DATA || file->size < SEGMENT_HEADER_SIZE ||
        segment_header_decode(slice_of(file->bytes, SEGMENT_HEADER_SIZE), &header) != BITCASK_OK)
        return OTHER;
    return header.kind == SEGMENT_MERGE ? OUTPUT : id == active_id ? ACTIVE : SEALED;
}

static void build(struct machine *machine, const struct sample *sample)
{
    machine_run(machine, sample->script);
    if (sim_disk_dead(machine->disk))
        machine_fail(machine, "the sample crashed");
}

static void sample_make(struct sample *sample, unsigned end)
{
    struct setting setting = {.sync = BITCASK_SYNC_NONE, .mapped = true};
    struct machine machine;
    jmp_buf out;
    snprintf(sample->script, sizeof sample->script, "%s%s", SAMPLE, ENDS[end]);
    machine_init(&machine, &setting, NULL);
    machine.out = &out;
    CHECK(setjmp(out) == 0);
    build(&machine, sample);
    CHECK(machine.os.list(&machine.os, STORE_DIRECTORY, add_file, sample) == 0);
    qsort(sample->files, sample->file_count, sizeof sample->files[0], compare_files);
    uint64_t active_id = 0, id;
    for (size_t i = 0; i < sample->file_count; i++) {
        read_file(&machine, &sample->files[i]);
        struct segment_header header;
        const struct sample_file *file = &sample->files[i];
        if (name_parse(file->name, &id) == NAME_DATA &&
            segment_header_decode(slice_of(file->bytes, SEGMENT_HEADER_SIZE), &header) ==
                BITCASK_OK &&
            header.kind == SEGMENT_LOG && file->size > SEGMENT_HEADER_SIZE &&
            file->bytes[SEGMENT_HEADER_SIZE + 4] != 0)
            active_id = id;
    }
    for (size_t i = 0; i < sample->file_count; i++)
        sample->files[i].kind = kind_of(&sample->files[i], active_id);
    history_state(&machine.history, sim_disk_now(machine.disk), &sample->expected);
    machine_release(&machine);
}

static void sample_release(struct sample *sample)
{
    for (size_t i = 0; i < sample->file_count; i++)
        free(sample->files[i].bytes);
}

/* The keys, as bits, that have a record, old or new, in the sector of a data file. */
static uint32_t keys_in(const struct sample_file *file, size_t sector)
{
    uint32_t keys = 0;
    struct record_shape shape;
    size_t from = sector * SECTOR_SIZE, to = from + SECTOR_SIZE;
    if (file->kind > ACTIVE)
        return 0;
    for (size_t at = SEGMENT_HEADER_SIZE; at < file->size; at += shape.size) {
        if (record_parse(slice_of(file->bytes + at, file->size - at), &shape, NULL) != BITCASK_OK)
            break;
        if (shape.key_size > 0 && at < to && at + shape.size > from)
            keys |= 1u << (file->bytes[at + shape.header_size + shape.key_size - 1] - 'a');
    }
    return keys;
}

/* ---- One fault ------------------------------------------------------------------------------- */

struct fault {
    const struct sample *sample;
    size_t file, sector;
    unsigned kind, way;
    bool read_only;
    uint32_t keys; /* that it may harm */
};

/* Under the cache, while nothing is open. */
static void strike(struct machine *machine, const struct fault *fault)
{
    char path[64];
    const struct sample_file *file = &fault->sample->files[fault->file];
    make_path(file, path);
    sim_disk_reseed(machine->disk, fault->sector * WAYS_MAX + fault->way);
    uint8_t garbage[SECTOR_SIZE];
    uint64_t random = fault->sector * WAYS_MAX + fault->way;
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (uint8_t)random_next(&random);
    struct os *os = &machine->os;
    struct os_file *open;
    size_t at = fault->sector * SECTOR_SIZE;
    size_t size = file->size - at < sizeof garbage ? file->size - at : sizeof garbage;
    CHECK(os->open(os, path, OS_READ | OS_WRITE, &open) == 0);
    if (fault->kind == GARBAGE)
        CHECK(os->pwrite(os, open, garbage, size, at, 0) == 0);
    CHECK(os->sync(os, open) == 0); /* so that the sector is on the medium */
    os->close(os, open);
    if (fault->kind != GARBAGE)
        CHECK(sim_disk_rot_sector(machine->disk, path, fault->sector, (enum sim_rot)fault->kind));
}

/* What became of each key, as if verify were never run. */
static void classify(struct machine *machine, const struct fault *fault, bitcask_status opened,
                     enum key_class classes[KEYS])
{
    const struct sight *expected = &fault->sample->expected;
    uint64_t told = machine->warnings;
    for (unsigned key = 0; key < KEYS; key++) {
        uint32_t value = 0;
        bool harmed = fault->keys >> key & 1;
        bitcask_status status = opened == BITCASK_OK ? machine_look(machine, key, &value) : opened;
        if (status < 0)
            classes[key] = harmed ? KEY_DETECTED : KEY_UNAVAILABLE;
        else if (status == BITCASK_OK && value == 0)
            classes[key] = KEY_WRONG; /* never written to it: no warning excuses that */
        else if (value == expected->values[key])
            classes[key] = KEY_CORRECT;
        else if (told > 0)
            classes[key] = harmed ? KEY_DETECTED : KEY_COLLATERAL;
        else
            classes[key] = value == 0 ? KEY_LOST : KEY_WRONG;
    }
}

/* Nobody has told of it yet: perhaps verify does. */
static void ask_verify(struct machine *machine, enum key_class classes[KEYS])
{
    bool silent = false;
    for (unsigned key = 0; key < KEYS; key++)
        silent |= classes[key] == KEY_LOST || classes[key] == KEY_WRONG;
    if (!silent || bitcask_verify((bitcask *)machine->store, NULL, NULL, NULL) != BITCASK_CORRUPT)
        return;
    for (unsigned key = 0; key < KEYS; key++)
        if (classes[key] == KEY_LOST || classes[key] == KEY_WRONG)
            classes[key] = KEY_TOLD_LATER;
}

static void check(struct machine *machine, const struct fault *fault,
                  const enum key_class classes[KEYS])
{
    static const char *const names[] = {
        "correct",       "detected",       "collateral", "told by verify only",
        "silently lost", "silently wrong", "unavailable"};
    /* Above the watermark of a log that was not closed nobody can tell damage from a torn write. */
    bool may_cut = fault->sample->files[fault->file].kind == ACTIVE &&
                   fault->sample->script[strlen(fault->sample->script) - 1] == 'K';
    for (unsigned key = 0; key < KEYS; key++)
        if (classes[key] >= KEY_TOLD_LATER || (classes[key] == KEY_COLLATERAL && !may_cut))
            machine_fail(machine, "%s of %s in sector %zu: key %c is %s", FAULT_NAMES[fault->kind],
                         fault->sample->files[fault->file].name, fault->sector, (char)('a' + key),
                         names[classes[key]]);
}

/* The store goes on: a merge harms nothing more, and what is written anew stays. */
static void go_on(struct machine *machine, const enum key_class classes[KEYS],
                  const struct sight *expected)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    bitcask_status status =
        bitcask_merge((bitcask *)machine->store, &options, NULL, &machine->error);
    if (status != BITCASK_OK && status != BITCASK_CORRUPT)
        machine_fail(machine, "merge: %s", machine->error.message);
    for (unsigned key = 0; key < KEYS; key++) {
        uint32_t value;
        if (classes[key] == KEY_CORRECT &&
            (machine_look(machine, key, &value) < 0 || value != expected->values[key]))
            machine_fail(machine, "key %c was good before a merge", (char)('a' + key));
    }
    machine->history = (struct history){0};
    machine_run(machine, "pa pb pc pd pe pf pg ph O");
    machine_open(machine);
}

static void do_fault(struct work *work, const char *name, const struct fault *fault)
{
    static struct machine machine; /* not on the stack: longjmp would spoil it */
    static const char *running;
    jmp_buf out;
    const struct sample_file *file = &fault->sample->files[fault->file];
    struct setting setting = {.sync = BITCASK_SYNC_NONE, .mapped = true};
    running = name;
    machine_init(&machine, &setting, work->log);
    machine.out = &out;
    if (setjmp(out) != 0) {
        work_failed(work, running, machine.what);
        return;
    }
    build(&machine, fault->sample);
    machine.expects_damage = true;
    strike(&machine, fault);
    machine.read_only = fault->read_only;
    bitcask_status opened = machine_try_open(&machine);
    enum key_class classes[KEYS];
    classify(&machine, fault, opened, classes);
    if (opened == BITCASK_OK)
        ask_verify(&machine, classes);
    for (unsigned key = 0; key < KEYS; key++)
        atomic_fetch_add(&work->tally->keys[file->kind][fault->kind][classes[key]], 1);
    check(&machine, fault, classes);
    if (opened == BITCASK_OK && !fault->read_only)
        go_on(&machine, classes, &fault->sample->expected);
    atomic_fetch_add(&work->tally->calls, sim_disk_counts(machine.disk)->calls);
    machine_release(&machine);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void damage_sector(struct work *work, unsigned end, struct fault *fault)
{
    char name[NAME_MAX_SIZE];
    for (fault->kind = 0; fault->kind < FAULT_COUNT; fault->kind++)
        for (fault->way = 0; fault->way < WAYS[fault->kind]; fault->way++)
            for (unsigned writable = 0; writable < 2; writable++) {
                fault->read_only = writable == 0;
                snprintf(name, sizeof name, "sectors:%u.%u.%u.%u.%u.%u", end, (unsigned)fault->file,
                         (unsigned)fault->sector, fault->kind, fault->way, writable);
                if (work_takes(work, name))
                    do_fault(work, name, fault);
            }
}

void damage_sectors(struct work *work)
{
    for (unsigned end = 0; end < END_COUNT; end++) {
        struct sample sample = {0};
        sample_make(&sample, end);
        for (size_t file = 0; file < sample.file_count; file++)
            for (size_t sector = 0; sector * SECTOR_SIZE < sample.files[file].size; sector++) {
                struct fault fault = {
                    .sample = &sample,
                    .file = file,
                    .sector = sector,
                    .keys = keys_in(&sample.files[file], sector),
                };
                damage_sector(work, end, &fault);
            }
        sample_release(&sample);
    }
}

void sectors_print(const struct tally *tally)
{
    static const char *const classes[] = {"correct", "detected", "cut too",    "verify",
                                          "lost",    "wrong",    "unavailable"};
    printf("%-16s %-12s", "keys, by file", "and fault");
    for (unsigned c = 0; c < KEY_CLASSES; c++)
        printf(" %11s", classes[c]);
    printf("\n");
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned fault = 0; fault < FAULT_COUNT; fault++) {
            uint64_t all = 0;
            for (unsigned c = 0; c < KEY_CLASSES; c++)
                all += tally->keys[kind][fault][c];
            if (all == 0)
                continue;
            printf("%-16s %-12s", KIND_NAMES[kind], FAULT_NAMES[fault]);
            for (unsigned c = 0; c < KEY_CLASSES; c++)
                printf(" %11llu", (unsigned long long)tally->keys[kind][fault][c]);
            printf("\n");
        }
}
