/* SPDX-License-Identifier: MIT
 * settings.c: the values of all settings, and changing them while others read. */
#include "settings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pubsub.h"
#include "settings_table.h"

bool settings_fail(bitcask_error *error, const char *format, ...)
{
    if (error == NULL)
        return false;
    memset(error, 0, sizeof *error);
    error->status = BITCASK_INVALID;
    va_list list;
    va_start(list, format);
    vsnprintf(error->message, sizeof error->message, format, list);
    va_end(list);
    return false;
}

/* The text among those kept; takes `text` over. NULL for want of memory. */
static const char *keep(struct settings *settings, char *text)
{
    for (size_t i = 0; i < settings->kept_count; i++)
        if (strcmp(settings->kept[i], text) == 0) {
            free(text);
            return settings->kept[i];
        }
    char **kept = realloc(settings->kept, (settings->kept_count + 1) * sizeof *kept);
    if (kept == NULL) {
        free(text);
        return NULL;
    }
    settings->kept = kept;
    kept[settings->kept_count++] = text;
    return text;
}

/* What `value` comes to for `id`, without setting it. */
struct staged {
    enum setting_id id;
    uint64_t number;
    const char *text;
};

static bool stage(struct settings *settings, enum setting_id id, const char *value,
                  struct staged *staged, char why[SETTING_WHY_SIZE])
{
    char *text;
    const char *old = atomic_load(&settings->texts[id]);
    staged->id = id;
    if (!setting_parse(&settings_table[id], value, old, &staged->number, &text, why))
        return false;
    staged->text = keep(settings, text);
    if (staged->text == NULL)
        snprintf(why, SETTING_WHY_SIZE, "out of memory");
    return staged->text != NULL;
}

/* Returns whether it was another value before. */
static bool apply(struct settings *settings, const struct staged *staged)
{
    const char *old = atomic_load(&settings->texts[staged->id]);
    atomic_store(&settings->numbers[staged->id], staged->number);
    atomic_store(&settings->texts[staged->id], staged->text);
    return old != staged->text; /* equal texts are kept once */
}

struct settings *settings_new(void)
{
    struct settings *settings = calloc(1, sizeof *settings);
    if (settings == NULL)
        return NULL;
    pthread_mutex_init(&settings->mutex, NULL);
    bitcask_options_init(&settings->store);
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        struct staged staged;
        char why[SETTING_WHY_SIZE];
        if (!stage(settings, id, settings_table[id].info.fallback, &staged, why)) {
            settings_free(settings); /* no memory: the test reads the table with some */
            return NULL;
        }
        apply(settings, &staged);
    }
    return settings;
}

void settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    for (size_t i = 0; i < settings->kept_count; i++) {
        explicit_bzero(settings->kept[i], strlen(settings->kept[i])); /* a password, maybe */
        free(settings->kept[i]);
    }
    for (size_t i = 0; i < settings->store_option_count; i++)
        free(settings->store_options[i].value);
    free(settings->kept);
    free(settings->path);
    pthread_mutex_destroy(&settings->mutex);
    free(settings);
}

uint64_t setting_number(const struct settings *settings, enum setting_id id)
{
    return atomic_load_explicit(&settings->numbers[id], memory_order_relaxed);
}

const char *setting_text(const struct settings *settings, enum setting_id id)
{
    return atomic_load_explicit(&settings->texts[id], memory_order_acquire);
}

struct output_limit settings_output_limit(const struct settings *settings, enum output_class class)
{
    const char *text = setting_text(settings, SETTING_CLIENT_OUTPUT_BUFFER_LIMIT);
    return setting_output_limit(text, class);
}

const bitcask_options *settings_store_options(const struct settings *settings)
{
    return &settings->store;
}

const char *settings_path(const struct settings *settings)
{
    return settings->path != NULL ? settings->path : "";
}

/* ---- Before the start ----------------------------------------------------------------------- */

bool setting_is_of_store(const char *name)
{
    /* What the server decides upon itself. */
    static const char *const ours[] = {"create",    "error-if-exists", "sync",
                                       "log-level", "follow",          "background"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(ours[i], name) == 0)
            return false;
    for (size_t i = 0; bitcask_option_at(i) != NULL; i++)
        if (strcasecmp(bitcask_option_at(i)->name, name) == 0)
            return true;
    return false;
}

static bool remember_store_option(struct settings *settings, const char *name, const char *value)
{
    struct store_option *option = settings->store_options;
    struct store_option *end = option + settings->store_option_count;
    while (option < end && strcasecmp(option->name, name) != 0)
        option++;
    if (option == settings->store_options + SETTINGS_MAX_STORE_OPTIONS)
        return false;
    char *copy = strdup(value);
    if (copy == NULL)
        return false;
    if (option == end) {
        settings->store_option_count++;
        for (size_t i = 0; bitcask_option_at(i) != NULL; i++)
            if (strcasecmp(bitcask_option_at(i)->name, name) == 0)
                option->name = bitcask_option_at(i)->name;
    }
    free(option->value);
    option->value = copy;
    return true;
}

static bool set_store_option(struct settings *settings, const char *name, const char *value,
                             bitcask_error *error)
{
    bitcask_error why;
    if (bitcask_options_set(&settings->store, name, value, &why) != BITCASK_OK)
        return settings_fail(error, "%s", why.message);
    if (!remember_store_option(settings, name, value))
        return settings_fail(error, "%s: out of memory", name);
    return true;
}

bool settings_set(struct settings *settings, const char *name, const char *value,
                  bitcask_error *error)
{
    enum setting_id id = setting_find(name);
    struct staged staged;
    char why[SETTING_WHY_SIZE];
    if (id == SETTING_COUNT && setting_is_of_store(name))
        return set_store_option(settings, name, value, error);
    if (id == SETTING_COUNT && strcasecmp(name, "user") == 0)
        return settings_fail(error, "user: users are kept in a file of their own: aclfile FILE");
    if (id == SETTING_COUNT)
        return settings_fail(error, "%s: no such setting; bitcask.conf has them all", name);
    pthread_mutex_lock(&settings->mutex);
    bool good = stage(settings, id, value, &staged, why);
    if (good)
        apply(settings, &staged);
    if (good && id == SETTING_APPENDFSYNC)
        settings->store.sync = (bitcask_sync)staged.number;
    pthread_mutex_unlock(&settings->mutex);
    return good || settings_fail(error, "%s: %s", settings_table[id].info.name, why);
}

/* ---- While the server runs ------------------------------------------------------------------ */

enum { MAX_CHANGES = SETTING_COUNT }; /* of one CONFIG SET: none may be there twice */

/* A slice as a C string on the heap; NULL for want of memory or if it has a NUL inside. */
static char *as_text(bitcask_slice slice)
{
    char *text = memchr(slice.data, 0, slice.size) == NULL ? malloc(slice.size + 1) : NULL;
    if (text != NULL) {
        memcpy(text, slice.data, slice.size);
        text[slice.size] = '\0';
    }
    return text;
}

static bool fail_unknown(bitcask_error *error, bitcask_slice name)
{
    return settings_fail(error, "Unknown option or number of arguments for CONFIG SET - '%.*s'",
                         name.size > 128 ? 128 : (int)name.size, (const char *)name.data);
}

static bool fail_about(bitcask_error *error, bitcask_slice name, const char *why)
{
    return settings_fail(error, "CONFIG SET failed (possibly related to argument '%.*s') - %s",
                         name.size > 64 ? 64 : (int)name.size, (const char *)name.data, why);
}

/* Which settings are to be changed. An unknown name anywhere comes before all other complaints. */
static bool find_changes(const bitcask_slice *pairs, size_t count, enum setting_id *ids,
                         bitcask_error *error)
{
    const char *why = NULL;
    size_t about = 0, known = 0;
    for (size_t i = 0; i < count; i++) {
        char *name = as_text(pairs[2 * i]);
        enum setting_id id = name == NULL ? SETTING_COUNT : setting_find(name);
        bool fixed = name != NULL && id == SETTING_COUNT && setting_is_of_store(name);
        free(name);
        if (id == SETTING_COUNT && !fixed)
            return fail_unknown(error, pairs[2 * i]);
        const char *complaint = NULL;
        if (fixed || !settings_table[id].info.changeable)
            complaint = "can't set immutable config";
        for (size_t j = 0; complaint == NULL && j < known; j++)
            if (ids[j] == id)
                complaint = "duplicate parameter";
        if (complaint == NULL)
            ids[known++] = id; /* each at most once, so there is room */
        else if (why == NULL)
            why = complaint, about = i;
    }
    return why == NULL || fail_about(error, pairs[2 * about], why);
}

bool settings_change(struct settings *settings, const bitcask_slice *pairs, size_t count,
                     uint64_t *changed, bitcask_error *error)
{
    enum setting_id ids[MAX_CHANGES];
    struct staged staged[MAX_CHANGES];
    *changed = 0;
    if (!find_changes(pairs, count, ids, error))
        return false;
    pthread_mutex_lock(&settings->mutex);
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        char why[SETTING_WHY_SIZE] = "argument must have no zero byte";
        char *value = as_text(pairs[2 * i + 1]);
        good = value != NULL && stage(settings, ids[i], value, &staged[i], why);
        if (!good)
            fail_about(error, pairs[2 * i], why);
        free(value);
    }
    for (size_t i = 0; i < count && good; i++)
        if (apply(settings, &staged[i]))
            *changed |= UINT64_C(1) << ids[i];
    pthread_mutex_unlock(&settings->mutex);
    return good;
}
_Static_assert(SETTING_COUNT <= 64, "settings_change has a bit for each");

static bool matches(const bitcask_slice *globs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (glob_match(globs[i], bitcask_str(name), true))
            return true;
    return false;
}

void settings_each(const struct settings *settings, const bitcask_slice *globs, size_t count,
                   void (*each)(void *context, const char *name, const char *value), void *context)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const char *name = settings_table[id].info.name;
        if (matches(globs, count, name))
            each(context, name, setting_text(settings, id));
    }
    for (size_t i = 0; i < settings->store_option_count; i++) {
        const struct store_option *option = &settings->store_options[i];
        if (matches(globs, count, option->name))
            each(context, option->name, option->value);
    }
}
