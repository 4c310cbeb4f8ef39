/* SPDX-License-Identifier: MIT
 * shell_complete.c: what a word of the shell may be completed to. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "shell.h"

enum { LOOK_FOR_US = 200 * 1000, WORD_SIZE = 256 };

struct completion {
    struct cli_session *session;
    struct shell_offers *offers;
    const char *begin; /* the word at the cursor, as far as it is typed */
};

/* ---- Collecting ---------------------------------------------------------------------------- */

/* False when there is no room for more. */
static bool offer(struct completion *completion, const char *word)
{
    struct shell_offers *offers = completion->offers;
    if (strncmp(word, completion->begin, strlen(completion->begin)) != 0)
        return true;
    if (offers->count == SHELL_OFFERS_MAX) {
        offers->more = true;
        return false;
    }
    char *copy = strdup(word);
    if (copy != NULL)
        offers->word[offers->count++] = copy;
    return copy != NULL;
}

static int by_name(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

static void sort_offers(struct shell_offers *offers)
{
    qsort(offers->word, offers->count, sizeof(offers->word[0]), by_name);
    size_t kept = 0;
    for (size_t i = 0; i < offers->count; i++) {
        if (kept > 0 && strcmp(offers->word[kept - 1], offers->word[i]) == 0)
            free(offers->word[i]);
        else
            offers->word[kept++] = offers->word[i];
    }
    offers->count = kept;
}

size_t shell_offers_common(const struct shell_offers *offers)
{
    if (offers->count == 0)
        return 0;
    /* They are sorted: what the first and the last have in common, all have. */
    const char *first = offers->word[0], *last = offers->word[offers->count - 1];
    size_t size = 0;
    while (first[size] != '\0' && first[size] == last[size])
        size++;
    while (size > offers->typed && ((unsigned char)first[size] & 0xC0) == 0x80)
        size--; /* not inside a character */
    return size;
}

void shell_offers_free(struct shell_offers *offers)
{
    for (size_t i = 0; i < offers->count; i++)
        free(offers->word[i]);
    offers->count = 0;
}

/* ---- The sources --------------------------------------------------------------------------- */

static void offer_commands(struct completion *completion)
{
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        offer(completion, (*c)->name);
        if ((*c)->alias != NULL)
            offer(completion, (*c)->alias);
    }
    for (const char *const *word = shell_words; *word != NULL; word++)
        offer(completion, *word);
}

static void offer_option(struct completion *completion, const char *dashes, const char *name)
{
    char word[WORD_SIZE];
    snprintf(word, sizeof(word), "%s%s", dashes, name);
    offer(completion, word);
}

static void offer_options(struct completion *completion, const struct cli_command *command)
{
    const struct cli_option *option = command == NULL ? NULL : command->options;
    for (; option != NULL && option->name != NULL; option++)
        offer_option(completion, "--", option->name);
    for (option = cli_global_options; option->name != NULL; option++)
        offer_option(completion, "--", option->name);
    const bitcask_option_info *info;
    for (size_t i = 0; (info = bitcask_option_at(i)) != NULL; i++) {
        if (!cli_option_is_offered(info))
            continue;
        offer_option(completion, "--", info->name);
        if (cli_option_is_switch(info))
            offer_option(completion, "--no-", info->name);
    }
}

/* "thread|none". */
static void offer_choices(struct completion *completion, const char *choices)
{
    while (*choices != '\0') {
        char word[WORD_SIZE];
        size_t size = strcspn(choices, "|");
        snprintf(word, sizeof(word), "%.*s", (int)size, choices);
        offer(completion, word);
        choices += size + (choices[size] == '|');
    }
}

static void offer_files(struct completion *completion)
{
    char pattern[PATH_MAX];
    glob_t found;
    if (completion->begin[strcspn(completion->begin, "*?[\\")] != '\0')
        return;
    snprintf(pattern, sizeof(pattern), "%s*", completion->begin);
    if (glob(pattern, GLOB_MARK, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc && offer(completion, found.gl_pathv[i]);)
        i++;
    globfree(&found);
}

/* The walk goes over all keys, as the index knows no order: by the clock, not to the end. */
static void offer_keys(struct completion *completion)
{
    bitcask *db = cli_session_peek(completion->session);
    bitcask_iterator *iterator = NULL;
    bitcask_slice all = {NULL, 0};
    if (db == NULL ||
        bitcask_iterator_new(db, NULL, all, BITCASK_KEYS, &iterator, NULL) != BITCASK_OK)
        return;
    uint64_t until_us = cli_monotonic_us() + LOOK_FOR_US;
    size_t size = strlen(completion->begin);
    bitcask_entry entry;
    bitcask_status status;
    while ((status = bitcask_iterator_next(iterator, &entry, NULL)) == BITCASK_OK) {
        const char *key = entry.key.data;
        if (entry.key.size >= size && memcmp(key, completion->begin, size) == 0 &&
            memchr(key, '\0', entry.key.size) == NULL) {
            char *word = strndup(key, entry.key.size);
            bool room = word != NULL && offer(completion, word);
            free(word);
            if (!room)
                break;
        }
        if (cli_monotonic_us() > until_us) {
            completion->offers->more = true;
            break;
        }
    }
    bitcask_iterator_free(iterator);
}

/* ---- What is wanted there ------------------------------------------------------------------ */

static bool is_any(const char *word, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* What a value or an operand is called in the help says what it is. */
static void offer_what(struct completion *completion, const char *what)
{
    static const char *const files[] = {"FILE", "DIR", "DIRECTORY", "SOURCE", "FILE|DIR", NULL};
    static const char *const keys[] = {"KEY", "PREFIX", NULL};
    if (is_any(what, keys))
        offer_keys(completion);
    else if (is_any(what, files))
        offer_files(completion);
    else if (strcmp(what, "COMMAND") == 0)
        offer_commands(completion);
    else if (strchr(what, '|') != NULL && what[0] >= 'a')
        offer_choices(completion, what);
}

/* What the option's value is called; NULL for flags and what is no option. */
static const char *value_of(const char *word, const struct cli_command *command)
{
    const struct cli_option *const tables[] = {command == NULL ? NULL : command->options,
                                               cli_global_options};
    if (word[0] != '-' || word[1] == '\0' || strchr(word, '=') != NULL)
        return NULL;
    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (word[1] == '-' ? strcmp(word + 2, o->name) == 0
                               : word[1] == o->letter && word[2] == '\0')
                return o->value;
    const bitcask_option_info *info;
    for (size_t i = 0; word[1] == '-' && (info = bitcask_option_at(i)) != NULL; i++)
        if (strcmp(word + 2, info->name) == 0)
            return cli_option_is_switch(info) ? NULL : info->value;
    return NULL;
}

/* The name of operand `place` in a usage: the first word in capitals, the second, ...; one that may
 * be repeated stands for all that follow. */
static void operand_of(const struct cli_command *command, size_t place, char to[WORD_SIZE])
{
    const char *p = command->usage == NULL ? "" : command->usage;
    to[0] = '\0';
    for (size_t i = 0; *p != '\0' && *p != '-'; i++) {
        p += strcspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
        size_t size = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        bool repeats = strncmp(p + size, "...", 3) == 0;
        if (size > 0 && (i == place || repeats)) {
            snprintf(to, WORD_SIZE, "%.*s", (int)size, p);
            return;
        }
        p += size;
    }
}

static void complete_word(struct completion *completion, const struct cli_words *words, size_t last)
{
    const struct cli_command *command = NULL;
    const char *value = NULL;
    bool named = false, only_operands = false;
    size_t operands = 0;
    for (size_t i = 0; i < last; i++) {
        const char *word = words->word[i];
        if (value != NULL) {
            value = NULL;
        } else if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            value = value_of(word, command);
        } else if (!named) {
            named = !(i == 0 && strcmp(word, "bitcask") == 0);
            command = cli_find_command(word);
        } else {
            operands++;
        }
    }
    char what[WORD_SIZE];
    if (value != NULL) {
        offer_what(completion, value);
    } else if (!only_operands && completion->begin[0] == '-') {
        offer_options(completion, command);
    } else if (!named) {
        offer_commands(completion);
    } else if (command != NULL) {
        operand_of(command, operands, what);
        offer_what(completion, what);
    }
}

void shell_complete(struct cli_session *session, const char *text, struct shell_offers *offers)
{
    *offers = (struct shell_offers){0};
    struct cli_words words;
    offers->quote = cli_words_split(&words, text);
    bool at_word =
        words.in_word || offers->quote == CLI_WORDS_SINGLE || offers->quote == CLI_WORDS_DOUBLE;
    if (offers->quote <= CLI_WORDS_DOUBLE && words.here == NULL) {
        size_t last = at_word && words.count > 0 ? words.count - 1 : words.count;
        struct completion completion = {.session = session,
                                        .offers = offers,
                                        .begin = last < words.count ? words.word[last] : ""};
        offers->typed = strlen(completion.begin);
        complete_word(&completion, &words, last);
    }
    cli_words_free(&words);
    sort_offers(offers);
}
