/* SPDX-License-Identifier: MIT
 * report.c: see report.h. */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

void totals_add(struct totals *totals, const struct outcome *outcome)
{
    const struct sim_counts *counts = &outcome->counts;
    totals->runs++;
    totals->operations += outcome->operations;
    for (int i = 0; i < STEP_KINDS; i++)
        totals->of_kind[i] += outcome->of_kind[i];
    totals->recoveries += outcome->recoveries;
    totals->calls += counts->calls;
    totals->simulated_us += outcome->simulated_us;
    for (int i = 0; i < SIM_CRASH_COUNT; i++)
        totals->crashes[i] += counts->crashes[i];
    totals->errors += counts->errors;
    totals->full += counts->full;
    totals->sync_errors += counts->sync_errors;
    totals->sync_dir_errors += counts->sync_dir_errors;
    totals->alloc_errors += counts->alloc_errors;
    totals->sectors_old += counts->sectors_old;
    totals->sectors_damaged += counts->sectors_damaged;
    totals->writebacks += counts->writebacks;
    totals->evictions += counts->evictions;
    totals->names_lost += counts->names_lost;
    totals->lost_writes += counts->lost_writes;
    totals->misdirected_writes += counts->misdirected_writes;
    for (int i = 0; i < SIM_ROT_COUNT; i++)
        totals->rot[i] += counts->rot[i];
    totals->keys_corrupt += outcome->keys_corrupt;
    totals->keys_told += outcome->keys_told;
    totals->keys_untold += outcome->keys_untold;
}

void report_line(const struct totals *t, double seconds, unsigned failures, const char *end)
{
    uint64_t faults = t->errors + t->full + t->sync_errors + t->sync_dir_errors + t->alloc_errors +
                      t->lost_writes + t->misdirected_writes;
    for (int i = 0; i < SIM_ROT_COUNT; i++)
        faults += t->rot[i];
    printf("%.0f s: %" PRIu64 " runs, %" PRIu64 " operations, %" PRIu64 " crashes, %" PRIu64
           " recoveries, %" PRIu64 " faults, %u failures%s",
           seconds, t->runs, t->operations, t->crashes[SIM_KILL] + t->crashes[SIM_POWER_CUT],
           t->recoveries, faults, failures, end);
    fflush(stdout);
}

/* ---- The page -------------------------------------------------------------------------------- */

struct row {
    const char *what;
    uint64_t count;
};

static void write_table(FILE *to, const char *title, const struct row *rows, size_t count)
{
    fprintf(to, "\n### %s\n\n| what | how many |\n|---|---:|\n", title);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "| %s | %" PRIu64 " |\n", rows[i].what, rows[i].count);
}

#define WRITE_TABLE(to, title, rows) write_table(to, title, rows, sizeof(rows) / sizeof((rows)[0]))

static void write_faults(FILE *to, const struct totals *t)
{
    const struct row crashes[] = {
        {"kills of the process", t->crashes[SIM_KILL]},
        {"power cuts", t->crashes[SIM_POWER_CUT]},
        {"sectors that a power cut left as they were", t->sectors_old},
        {"sectors torn, zeroed, with garbage or an old block", t->sectors_damaged},
        {"names lost", t->names_lost},
    };
    const struct row faults[] = {
        {"calls failed with EIO, or ENOSPC by chance", t->errors},
        {"calls failed on a full disk", t->full},
        {"failed syncs of files", t->sync_errors},
        {"failed syncs of directories", t->sync_dir_errors},
        {"failed allocations of memory", t->alloc_errors},
        {"sectors written back early", t->writebacks},
        {"clean sectors that came back from the medium as something else", t->evictions},
    };
    const struct row damage[] = {
        {"writes acknowledged and lost", t->lost_writes},
        {"writes acknowledged and put elsewhere", t->misdirected_writes},
        {"bits flipped at rest", t->rot[SIM_FLIP]},
        {"sectors zeroed at rest", t->rot[SIM_ZERO]},
        {"sectors with an old block's bytes", t->rot[SIM_STALE]},
        {"sectors with another one's bytes", t->rot[SIM_MISDIRECTED]},
        {"sectors unreadable", t->rot[SIM_UNREADABLE]},
        {"keys that read as CORRUPT after it", t->keys_corrupt},
        {"keys lost, and told", t->keys_told},
        {"keys lost that no store could tell (docs/DURABILITY.md)", t->keys_untold},
    };
    WRITE_TABLE(to, "Crashes", crashes);
    WRITE_TABLE(to, "Faults while running", faults);
    WRITE_TABLE(to, "Damage", damage);
}

static void write_page(FILE *to, const struct totals *t, const struct circumstances *how)
{
    char date[32];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&now));
    fprintf(to,
            "\nWritten by the campaign itself (`--report`); docs/TESTING.md says what it does.\n\n"
            "- date: %s\n- commit: %s\n- command: `%s`\n- on: %u processors, %.0f seconds\n"
            "- **failures: %u**\n",
            date, how->commit, how->command, how->jobs, how->seconds, how->failures);
    const struct row rows[] = {
        {"runs (each done twice, with equal traces)", t->runs},
        {"operations", t->operations},
        {"calls of the disk", t->calls},
        {"hours on the stores' clocks", t->simulated_us / 3600000000u},
        {"recoveries", t->recoveries},
    };
    WRITE_TABLE(to, "Runs", rows);
    struct row kinds[STEP_KINDS];
    for (int i = 0; i < STEP_KINDS; i++)
        kinds[i] = (struct row){OPERATIONS[i].name, t->of_kind[i]};
    WRITE_TABLE(to, "Operations", kinds);
    write_faults(to, t);
}

static const char BEGIN[] = "<!-- simulator: begin -->\n", END[] = "<!-- simulator: end -->\n";

/* The text of a file; "" if it is not there. Free it. */
static char *read_all(const char *path)
{
    size_t size = 0, capacity = 4096;
    char *text = malloc(capacity);
    CHECK(text);
    FILE *from = fopen(path, "r");
    for (size_t got = 1; from && got > 0; size += got) {
        if (size + 1 == capacity)
            text = realloc(text, capacity *= 2);
        CHECK(text);
        got = fread(text + size, 1, capacity - size - 1, from);
    }
    if (from)
        fclose(from);
    text[size] = '\0';
    return text;
}

bool report_page(const struct totals *totals, const struct circumstances *how, const char *path)
{
    char *old = read_all(path);
    const char *begin = strstr(old, BEGIN);
    const char *end = begin ? strstr(begin, END) : NULL;
    size_t before = end ? (size_t)(begin - old) : strlen(old);
    FILE *to = fopen(path, "w");
    if (to) {
        fprintf(to, "%.*s%s%s", (int)before, old, before > 0 && !end ? "\n" : "", BEGIN);
        write_page(to, totals, how);
        fprintf(to, "%s%s", END, end ? end + sizeof END - 1 : "");
    }
    free(old);
    return to && fclose(to) == 0;
}
