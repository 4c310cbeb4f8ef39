/* SPDX-License-Identifier: MIT
 * settings_table.h: the table of settings, and the way from a text to a value by it. */
#ifndef SERVER_SETTINGS_TABLE_H
#define SERVER_SETTINGS_TABLE_H

#include <pthread.h>
#include <sys/types.h>

#include "settings.h"

enum setting_kind {
    SETTING_IS_TEXT,
    SETTING_IS_NUMBER,
    SETTING_IS_BYTES, /* "512mb": Redis's units, k is 1000 and kb 1024 */
    SETTING_IS_YES_NO,
    SETTING_IS_CHOICE,
    SETTING_IS_MODE,   /* of a file, octal */
    SETTING_IS_LIMITS, /* client-output-buffer-limit */
    SETTING_IS_LETTERS /* notify-keyspace-events */
};

struct setting_choice { /* of those of one number the first is printed; ended by one without name */
    const char *name;
    uint64_t number;
};

struct setting {
    struct setting_info info;
    const char *alias; /* or NULL */
    enum setting_kind kind;
    int64_t min, max;
    const struct setting_choice *choices;
};

extern const struct setting settings_table[SETTING_COUNT];

/* The setting of that name or alias, any case; SETTING_COUNT if there is none. */
enum setting_id setting_find(const char *name);

/* Is this an option of the store that the file may set? */
bool setting_is_of_store(const char *name);

/* What `value` means for a setting whose text is `old`: its number and its text, which the caller
 * frees. Returns false with Redis's words for what is wrong in `why`. */
enum { SETTING_WHY_SIZE = 200 };
bool setting_parse(const struct setting *setting, const char *value, const char *old,
                   uint64_t *number, char **text, char why[SETTING_WHY_SIZE]);

enum { SETTINGS_MAX_STORE_OPTIONS = 64 };

struct store_option { /* one that was given: for CONFIG GET and REWRITE */
    const char *name;
    char *value;
};

/* Numbers and texts are read without the mutex; who changes them holds it. */
struct settings {
    _Atomic uint64_t numbers[SETTING_COUNT];
    _Atomic(const char *) texts[SETTING_COUNT];
    pthread_mutex_t mutex;
    char **kept; /* all texts there ever were, each once */
    size_t kept_count;
    bitcask_options store; /* and what was given of it; both fixed after the start */
    struct store_option store_options[SETTINGS_MAX_STORE_OPTIONS];
    size_t store_option_count;
    char *path; /* of the file, absolute; NULL: none */
};

/* Of a class, by a client-output-buffer-limit as printed. */
struct output_limit setting_output_limit(const char *text, enum output_class class);

/* "message", false. */
__attribute__((format(printf, 2, 3))) bool settings_fail(bitcask_error *error, const char *format,
                                                         ...);

/* A regular file of at most 1 MiB, without zero bytes, as a text; NULL with an error. */
char *settings_read_whole(const char *path, size_t *size, mode_t *mode, bitcask_error *error);

/* Replace a file: temporary file, sync, rename, sync of the directory. */
bool settings_write_whole(const char *path, const char *text, size_t size, mode_t mode,
                          bitcask_error *error);

/* A line's words, as redis.conf and redis-cli quote them: "..." with \n \r \t \b \a \xHH, '...'
 * with \'. Returns how many, written one behind the other into `to` (as large as the line, plus
 * one), each ended by a NUL; -1 for quotes out of balance or too many words. */
int settings_split(const char *line, char *to, const char **words, int max_words);

#endif
