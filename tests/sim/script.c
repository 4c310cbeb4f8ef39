/* SPDX-License-Identifier: MIT
 * script.c: plans as text.
 *
 *     plan seed=2713 sync=always keys=4 stores=1
 *     disk mapped=1 writeback=2000 sync_error=6400
 *     180 batch key=0,-2,2 size=139 sync=always
 *     181 merge amount=4 crash=cut at=17 again=2
 *
 * Lines that begin with # and empty ones are skipped. */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "operations.h"

enum field_kind { FIELD_BOOL, FIELD_U32, FIELD_U64, FIELD_I64, FIELD_NAME };

struct field {
    const char *name;
    size_t offset;
    enum field_kind kind;
    const char *const *names; /* of a FIELD_NAME, a uint32_t; ends with NULL */
};

static const char *const SYNCS[] = {"default", "none", "interval", "always", NULL};
static const char *const CRASHES[] = {"kill", "cut", NULL};
static const char *const INDEXES[] = {"usual", "always", "never", NULL};
static const char *const DAMAGES[] = {"none", "rot", "lies", NULL};

#define PLAN(field) offsetof(struct plan, field)
#define DISK(field) offsetof(struct plan, disk.field)
#define STEP(field) offsetof(struct step, field)

static const struct field PLAN_FIELDS[] = {
    {"seed", PLAN(seed), FIELD_U64, NULL},
    {"sync", PLAN(sync), FIELD_NAME, SYNCS},
    {"interval_ms", PLAN(sync_interval_ms), FIELD_U64, NULL},
    {"max_records", PLAN(segment_max_records), FIELD_U64, NULL},
    {"keys", PLAN(keys), FIELD_U32, NULL},
    {"stores", PLAN(stores), FIELD_U32, NULL},
    {"index", PLAN(index), FIELD_NAME, INDEXES},
    {"damage", PLAN(damage), FIELD_NAME, DAMAGES},
    {"lies_from", PLAN(lies_from), FIELD_U32, NULL},
    {0},
};

static const struct field DISK_FIELDS[] = {
    {"seed", DISK(seed), FIELD_U64, NULL},
    {"lenient", DISK(lenient), FIELD_BOOL, NULL},
    {"mapped", DISK(mapped_writes), FIELD_BOOL, NULL},
    {"sync_forgets", DISK(sync_forgets), FIELD_BOOL, NULL},
    {"capacity", DISK(capacity), FIELD_U64, NULL},
    {"writeback", DISK(writeback), FIELD_U32, NULL},
    {"eviction", DISK(eviction), FIELD_U32, NULL},
    {"read_error", DISK(read_error), FIELD_U32, NULL},
    {"write_error", DISK(write_error), FIELD_U32, NULL},
    {"space_error", DISK(space_error), FIELD_U32, NULL},
    {"sync_error", DISK(sync_error), FIELD_U32, NULL},
    {"sync_dir_error", DISK(sync_dir_error), FIELD_U32, NULL},
    {"alloc_error", DISK(alloc_error), FIELD_U32, NULL},
    {"lost_write", DISK(lost_write), FIELD_U32, NULL},
    {"misdirected_write", DISK(misdirected_write), FIELD_U32, NULL},
    {0},
};

static const struct field STEP_FIELDS[] = {
    {"store", STEP(store), FIELD_U32, NULL},
    {"size", STEP(value_size), FIELD_U32, NULL},
    {"sync", STEP(sync), FIELD_NAME, SYNCS},
    {"flags", STEP(flags), FIELD_U32, NULL},
    {"ttl", STEP(ttl_us), FIELD_U64, NULL},
    {"amount", STEP(amount), FIELD_I64, NULL},
    {"crash", STEP(crash), FIELD_NAME, CRASHES},
    {"at", STEP(crash_calls), FIELD_U32, NULL},
    {"again", STEP(recovery_crashes), FIELD_U32, NULL},
    {0},
};

/* ---- Writing --------------------------------------------------------------------------------- */

static uint64_t field_get(const struct field *field, const void *base)
{
    const char *at = (const char *)base + field->offset;
    switch (field->kind) {
    case FIELD_BOOL:
        return *(const bool *)at;
    case FIELD_U32:
    case FIELD_NAME:
        return *(const uint32_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

static void write_fields(const struct field *fields, const void *base, FILE *to)
{
    for (const struct field *field = fields; field->name; field++) {
        uint64_t value = field_get(field, base);
        if (value == 0)
            continue;
        if (field->kind == FIELD_NAME)
            fprintf(to, " %s=%s", field->name, field->names[value]);
        else if (field->kind == FIELD_I64)
            fprintf(to, " %s=%" PRId64, field->name, (int64_t)value);
        else
            fprintf(to, " %s=%" PRIu64, field->name, value);
    }
    fprintf(to, "\n");
}

static void write_step(const struct step *step, FILE *to)
{
    const struct operation *operation = &OPERATIONS[step->kind];
    fprintf(to, "%u %s", step->number, operation->name);
    unsigned keys =
        operation->uses & USES_KEYS ? step->key_count : (operation->uses & USES_KEY) != 0;
    for (unsigned i = 0; i < keys; i++)
        fprintf(to, "%s%s%u", i == 0 ? " key=" : ",", step->deletes >> i & 1 ? "-" : "",
                step->keys[i]);
    write_fields(STEP_FIELDS, step, to);
}

void plan_write(const struct plan *plan, FILE *to)
{
    fprintf(to, "plan");
    write_fields(PLAN_FIELDS, plan, to);
    fprintf(to, "disk");
    write_fields(DISK_FIELDS, plan, to);
    for (size_t i = 0; i < plan->step_count; i++)
        write_step(&plan->steps[i], to);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool field_set(const struct field *field, void *base, const char *text)
{
    char *at = (char *)base + field->offset, *end = NULL;
    uint64_t value =
        field->kind == FIELD_I64 ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (field->kind == FIELD_NAME) {
        for (value = 0; field->names[value] && strcmp(field->names[value], text) != 0;)
            value++;
        if (!field->names[value])
            return false;
    } else if (end == text || *end != '\0') {
        return false;
    }
    if (field->kind == FIELD_BOOL)
        *(bool *)at = value != 0;
    else if (field->kind == FIELD_U32 || field->kind == FIELD_NAME)
        *(uint32_t *)at = (uint32_t)value;
    else
        *(uint64_t *)at = value;
    return true;
}

static bool read_keys(struct step *step, const char *text)
{
    while (step->key_count < STEP_KEYS_MAX) {
        char *end;
        if (*text == '-')
            step->deletes |= 1u << step->key_count;
        text += *text == '-';
        step->keys[step->key_count++] = (uint32_t)strtoul(text, &end, 10);
        if (end == text)
            return false;
        if (*end == '\0')
            return true;
        text = end + 1;
    }
    return false;
}

/* The words left of a line: NAME=VALUE. `step`: if it is one, it has keys too. */
static bool read_fields(const struct field *fields, void *base, struct step *step, char **state)
{
    for (char *word; (word = strtok_r(NULL, " \n", state)) != NULL;) {
        char *value = strchr(word, '=');
        if (!value)
            return false;
        *value++ = '\0';
        if (step && strcmp(word, "key") == 0) {
            if (!read_keys(step, value))
                return false;
            continue;
        }
        const struct field *field = fields;
        while (field->name && strcmp(field->name, word) != 0)
            field++;
        if (!field->name || !field_set(field, base, value))
            return false;
    }
    return true;
}

static bool read_step(struct plan *plan, const char *number, char **state)
{
    const char *name = strtok_r(NULL, " \n", state);
    if (!name || plan->step_count == PLAN_STEPS_MAX)
        return false;
    int kind = 0;
    while (kind < STEP_KINDS && strcmp(OPERATIONS[kind].name, name) != 0)
        kind++;
    struct step *step = &plan->steps[plan->step_count++];
    char *end;
    *step = (struct step){.kind = (enum step_kind)kind};
    step->number = (uint32_t)strtoul(number, &end, 10);
    if (kind == STEP_KINDS || *end != '\0' || !read_fields(STEP_FIELDS, step, step, state))
        return false;
    bool fits = step->store < plan->stores && step->value_size <= VALUE_SIZE_MAX;
    for (uint32_t i = 0; i < step->key_count; i++)
        fits &= step->keys[i] < plan->keys;
    return fits;
}

static bool read_line(struct plan *plan, char *line)
{
    char *state;
    const char *word = strtok_r(line, " \n", &state);
    if (!word || word[0] == '#')
        return true;
    if (strcmp(word, "plan") == 0)
        return read_fields(PLAN_FIELDS, plan, NULL, &state);
    if (strcmp(word, "disk") == 0)
        return read_fields(DISK_FIELDS, plan, NULL, &state);
    return read_step(plan, word, &state);
}

bool plan_read(struct plan *plan, FILE *from, char *what, size_t what_size)
{
    char line[1024], copy[sizeof line];
    memset(plan, 0, sizeof *plan);
    for (unsigned number = 1; fgets(line, sizeof line, from); number++) {
        memcpy(copy, line, sizeof line);
        if (!read_line(plan, line)) {
            snprintf(what, what_size, "line %u: %.200s", number, copy);
            return false;
        }
    }
    if (plan->keys == 0 || plan->keys > MODEL_KEYS || plan->stores == 0 ||
        plan->stores > STORES_MAX) {
        snprintf(what, what_size, "keys and stores are missing or too many");
        return false;
    }
    return true;
}
