/* SPDX-License-Identifier: MIT
 * machine.h: a machine with one store on a simulated disk, on which a script runs.
 *
 * A script is words with blanks between them:
 *
 *     pa      put key a (b, c, ... h); Pa: a value of several sectors; xa: one that expires soon
 *     sa      put key a, durable on return (sync always)
 *     da      delete key a
 *     bcd-e   batch: put c, put d, delete e
 *     R       go on in the next segment; what was full is sealed
 *     M       merge everything; m: merge what is worth it
 *     S       sync
 *     O       close
 *     w       two minutes pass
 *     K C     the process is killed; the power goes
 *     H X     while the store is closed: all hints are lost; the manifest is lost
 *     |       from here on the machine may crash
 *
 * A store that is closed is opened for the next word that needs it open. */
#ifndef EXHAUSTIVE_MACHINE_H
#define EXHAUSTIVE_MACHINE_H

#include <setjmp.h>
#include <stdio.h>

#include "../sim_disk.h"
#include "engine/store.h"
#include "history.h"

#define STORE_DIRECTORY "store"

enum { CALLS_MAX = 1024 };

/* What is varied besides the script. The counts begin behind the script's '|'. */
struct setting {
    bitcask_sync sync;
    bool mapped;  /* appends go by a mapping */
    bool lenient; /* the file system has a journal */
    bool early;   /* dirty sectors may become durable at any time */
    uint64_t seed;
    enum sim_crash crash;
    uint64_t crash_call; /* crash before this call; 0: never */
    uint64_t
        recovery_crash_call; /* and once more, by a power cut, before this one of the recovery */
    uint64_t failing_sync;   /* this sync fails; 0: none */
    uint32_t sync_manner;    /* in this manner: as in struct sim_config */
};

struct machine {
    struct sim_disk *disk;
    struct os os; /* the disk's, but for syncs that fail */
    struct setting setting;
    FILE *log;
    struct store *store; /* NULL while it is closed */
    bool read_only;      /* how it is opened next */
    bitcask_error error;
    struct history history;
    bool armed;     /* behind the '|' */
    bool lossy;     /* what is not durable may be gone when the store is opened */
    uint64_t syncs; /* since it was armed */
    uint64_t failed_syncs;
    bool only_clock[CALLS_MAX]; /* by call since it was armed: it asks for the time */
    uint64_t calls_before;      /* when it was armed */
    uint64_t recovery_calls;    /* of the last opening that followed a crash */
    uint64_t warnings;          /* events since the opening */
    bool expects_damage;        /* else nothing is damaged or missing, whatever has crashed */
    char damage[32];            /* the event that says that something is */
    uint32_t values;            /* numbers given */
    uint64_t max_version;
    bitcask_buffer buffer;
    jmp_buf *out; /* where a failure goes */
    char what[256];
};

void machine_init(struct machine *machine, const struct setting *setting, FILE *log);
void machine_release(struct machine *machine);

/* Run the part of the script before its '|', and then what is behind it, until a crash. */
void machine_run(struct machine *machine, const char *script);

/* Open the store, and hold what it shows against the history. */
void machine_open(struct machine *machine);
/* As machine_open, but whatever comes of it is the caller's; look at nothing. */
bitcask_status machine_try_open(struct machine *machine);
void machine_close(struct machine *machine);
void machine_crash(struct machine *machine, enum sim_crash crash); /* and start again */

/* After a crash: open (crashing once more if the setting says so) and settle the history. */
void machine_recover(struct machine *machine);

/* What holds of a store that was recovered: it verifies, takes writes with new versions, and is the
 * same opened again, without its hints, and without its manifest. */
void machine_examine(struct machine *machine);

/* Look at one key: OK with the number of the value, else as bitcask_get. A value that is none of
 * the key's is 0. */
bitcask_status machine_look(struct machine *machine, unsigned key, uint32_t *value);

uint64_t machine_calls(const struct machine *machine); /* since it was armed */

__attribute__((noreturn, format(printf, 2, 3))) void machine_fail(struct machine *machine,
                                                                  const char *format, ...);

#endif
