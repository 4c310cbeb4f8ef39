/* SPDX-License-Identifier: MIT
 * acl_rules.c: what ACL SETUSER's words do to a user, and the words that a user is described by. */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "acl_user.h"
#include "command.h"

static const char no_memory[] = "out of memory";

/* ---- Categories ----------------------------------------------------------------------------- */

/* By bit: those of enum command_category, and behind them those of commands for other types, which
 * there are not: known, and empty. */
static const char *const category_names[] = {
    "keyspace", "read",      "write",    "string",    "bitmap",      "pubsub",      "admin",
    "fast",     "slow",      "blocking", "dangerous", "connection",  "transaction", "scripting",
    "set",      "sortedset", "list",     "hash",      "hyperloglog", "geo",         "stream",
};

const char *acl_category_name(unsigned bit)
{
    return bit < sizeof category_names / sizeof category_names[0] ? category_names[bit] : NULL;
}

static bool is_word(bitcask_slice text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

unsigned acl_category(bitcask_slice name)
{
    for (unsigned bit = 0; acl_category_name(bit) != NULL; bit++)
        if (is_word(name, category_names[bit]))
            return 1u << bit;
    return 0;
}

/* ---- A user --------------------------------------------------------------------------------- */

struct acl_user *acl_user_new(const char *name)
{
    struct acl_user *user = calloc(1, sizeof *user);
    if (user == NULL)
        return NULL;
    atomic_init(&user->references, 1);
    user->name = strdup(name);
    user->allowed = calloc(1, command_count() / 8 + 1);
    if (user->name == NULL || user->allowed == NULL) {
        acl_user_release(user);
        return NULL;
    }
    return user;
}

static void free_patterns(struct acl_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++)
        free(patterns->list[i].text);
    free(patterns->list);
    *patterns = (struct acl_patterns){0};
}

static void free_rules(struct acl_user *user)
{
    for (size_t i = 0; i < user->rule_count; i++)
        free(user->rules[i]);
    free(user->rules);
    user->rules = NULL;
    user->rule_count = 0;
}

void acl_user_release(struct acl_user *user)
{
    if (user == NULL || atomic_fetch_sub(&user->references, 1) > 1)
        return;
    free_patterns(&user->keys);
    free_patterns(&user->channels);
    free_rules(user);
    free(user->hashes);
    free(user->allowed);
    free(user->name);
    free(user);
}

const char *acl_user_name(const struct acl_user *user)
{
    return user->name;
}

static bool add_pattern(struct acl_patterns *patterns, unsigned access, bitcask_slice text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        struct acl_pattern *old = &patterns->list[i];
        if (old->size == text.size && memcmp(old->text, text.data, text.size) == 0) {
            old->access |= access;
            return true;
        }
    }
    struct acl_pattern *list =
        realloc(patterns->list, (patterns->count + 1) * sizeof *patterns->list);
    if (list == NULL)
        return false;
    patterns->list = list;
    char *copy = malloc(text.size + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    list[patterns->count++] = (struct acl_pattern){access, text.size, copy};
    return true;
}

static bool copy_patterns(struct acl_patterns *to, const struct acl_patterns *from)
{
    to->all = from->all;
    for (size_t i = 0; i < from->count; i++) {
        const struct acl_pattern *pattern = &from->list[i];
        if (!add_pattern(to, pattern->access, bitcask_bytes(pattern->text, pattern->size)))
            return false;
    }
    return true;
}

static bool add_rule(struct acl_user *user, const char *rule)
{
    char **rules = realloc(user->rules, (user->rule_count + 1) * sizeof *rules);
    if (rules == NULL)
        return false;
    user->rules = rules;
    rules[user->rule_count] = strdup(rule);
    return rules[user->rule_count] != NULL && ++user->rule_count > 0;
}

struct acl_user *acl_user_copy(const struct acl_user *user)
{
    struct acl_user *copy = acl_user_new(user->name);
    if (copy == NULL)
        return NULL;
    copy->on = user->on;
    copy->nopass = user->nopass;
    copy->sanitize = user->sanitize;
    copy->all_commands = user->all_commands;
    memcpy(copy->allowed, user->allowed, command_count() / 8 + 1);
    bool good =
        copy_patterns(&copy->keys, &user->keys) && copy_patterns(&copy->channels, &user->channels);
    for (size_t i = 0; i < user->rule_count && good; i++)
        good = add_rule(copy, user->rules[i]);
    copy->hashes = malloc((user->hash_count + 1) * sizeof *copy->hashes);
    if (copy->hashes != NULL && user->hash_count > 0)
        memcpy(copy->hashes, user->hashes, user->hash_count * sizeof *copy->hashes);
    copy->hash_count = copy->hashes != NULL ? user->hash_count : 0;
    if (!good || copy->hashes == NULL) {
        acl_user_release(copy);
        return NULL;
    }
    return copy;
}

/* ---- Passwords ------------------------------------------------------------------------------ */

void acl_hash_of(bitcask_slice password, struct acl_hash *hash)
{
    SHA256(password.data, password.size, hash->bytes);
}

bool acl_user_has_password(const struct acl_user *user, const struct acl_hash *hash)
{
    int found = 0;
    for (size_t i = 0; i < user->hash_count; i++) /* all of them, whichever it is */
        found |= CRYPTO_memcmp(user->hashes[i].bytes, hash->bytes, ACL_HASH_SIZE) == 0;
    return found != 0;
}

static const char *add_hash(struct acl_user *user, const struct acl_hash *hash)
{
    user->nopass = false;
    if (acl_user_has_password(user, hash))
        return NULL;
    struct acl_hash *hashes = realloc(user->hashes, (user->hash_count + 1) * sizeof *hashes);
    if (hashes == NULL)
        return no_memory;
    user->hashes = hashes;
    hashes[user->hash_count++] = *hash;
    return NULL;
}

static const char *remove_hash(struct acl_user *user, const struct acl_hash *hash)
{
    for (size_t i = 0; i < user->hash_count; i++) {
        if (memcmp(user->hashes[i].bytes, hash->bytes, ACL_HASH_SIZE) != 0)
            continue;
        memmove(&user->hashes[i], &user->hashes[i + 1], (user->hash_count - i - 1) * sizeof *hash);
        user->hash_count--;
        return NULL;
    }
    return "The password you are trying to remove from the user does not exist";
}

/* 64 lower-case digits. */
static bool read_hash(bitcask_slice text, struct acl_hash *hash)
{
    static const char digits[] = "0123456789abcdef";
    const char *p = text.data;
    if (text.size != (size_t)2 * ACL_HASH_SIZE)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = p[i] == '\0' ? NULL : strchr(digits, p[i]);
        if (digit == NULL)
            return false;
        unsigned value = (unsigned)(digit - digits);
        hash->bytes[i / 2] = (unsigned char)(i % 2 == 0 ? value << 4 : hash->bytes[i / 2] | value);
    }
    return true;
}

static const char *apply_password(struct acl_user *user, char sign, bitcask_slice text)
{
    struct acl_hash hash;
    if (sign == '>' || sign == '<')
        acl_hash_of(text, &hash);
    else if (!read_hash(text, &hash))
        return "The password hash must be exactly 64 characters and contain only lowercase "
               "hexadecimal characters";
    return sign == '>' || sign == '#' ? add_hash(user, &hash) : remove_hash(user, &hash);
}

/* ---- Commands ------------------------------------------------------------------------------- */

static void allow(struct acl_user *user, const struct command *command, bool allowed)
{
    unsigned char bit = (unsigned char)(1u << command->index % 8);
    if (allowed)
        user->allowed[command->index / 8] |= bit;
    else
        user->allowed[command->index / 8] &= (unsigned char)~bit;
}

/* Each command of the categories, and each subcommand; all of them for 0. */
static void allow_category(struct acl_user *user, unsigned categories, bool allowed)
{
    for (const struct command *c = command_table; c->name != NULL; c++) {
        if (categories == 0 || (c->categories & categories) != 0)
            allow(user, c, allowed);
        for (const struct command *s = c->subcommands; s != NULL && s->name != NULL; s++)
            if (categories == 0 || (s->categories & categories) != 0)
                allow(user, s, allowed);
    }
}

static void allow_command(struct acl_user *user, const struct command *command, bool allowed)
{
    allow(user, command, allowed);
    for (const struct command *s = command->subcommands; s != NULL && s->name != NULL; s++)
        allow(user, s, allowed);
}

/* "config", "config|get"; NULL: there is none such. */
static const struct command *find_rule_command(bitcask_slice name)
{
    const char *bar = memchr(name.data, '|', name.size);
    if (bar == NULL)
        return command_find(name);
    size_t size = (size_t)(bar - (const char *)name.data);
    const struct command *command = command_find(bitcask_bytes(name.data, size));
    bitcask_slice rest = bitcask_bytes(bar + 1, name.size - size - 1);
    for (const struct command *s = command == NULL ? NULL : command->subcommands;
         s != NULL && s->name != NULL; s++) {
        const char *second = strchr(s->name, '|'); /* "config|get", or "get" */
        if (is_word(rest, second != NULL ? second + 1 : s->name))
            return s;
    }
    return NULL;
}

/* A rule is forgotten when a later one is about the same, or about the whole command. */
static void forget_rules(struct acl_user *user, const char *subject)
{
    size_t size = strlen(subject), kept = 0;
    for (size_t i = 0; i < user->rule_count; i++) {
        const char *old = user->rules[i] + 1;
        if (strncmp(old, subject, size) == 0 && (old[size] == '\0' || old[size] == '|'))
            free(user->rules[i]);
        else
            user->rules[kept++] = user->rules[i];
    }
    user->rule_count = kept;
}

static void set_all_commands(struct acl_user *user, bool allowed)
{
    allow_category(user, 0, allowed);
    user->all_commands = allowed;
    free_rules(user);
}

static const char *apply_command(struct acl_user *user, bitcask_slice rule)
{
    enum { MAX_RULE = 100 };
    const char *text = rule.data;
    bool allowed = text[0] == '+', category = rule.size > 1 && text[1] == '@';
    bitcask_slice subject = bitcask_bytes(text + 1 + category, rule.size - 1 - category);
    if (category && is_word(subject, "all")) {
        set_all_commands(user, allowed);
        return NULL;
    }
    unsigned bits = category ? acl_category(subject) : 0;
    const struct command *command = category ? NULL : find_rule_command(subject);
    if ((bits == 0 && command == NULL) || rule.size >= MAX_RULE)
        return "Unknown command or category name in ACL";
    char copy[MAX_RULE];
    for (size_t i = 0; i < rule.size; i++)
        copy[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    copy[rule.size] = '\0';
    forget_rules(user, copy + 1);
    if (!add_rule(user, copy))
        return no_memory;
    if (category)
        allow_category(user, bits, allowed);
    else
        allow_command(user, command, allowed);
    return NULL;
}

/* ---- Keys and channels ---------------------------------------------------------------------- */

/* ~PATTERN, %R~PATTERN, %RW~PATTERN. */
static const char *apply_keys(struct acl_user *user, bitcask_slice rule)
{
    const char *p = rule.data, *end = p + rule.size;
    unsigned access = ACL_READ | ACL_WRITE;
    if (*p == '%') {
        for (access = 0, p++; p < end && *p != '~'; p++) {
            if (*p == 'R' || *p == 'r')
                access |= ACL_READ;
            else if (*p == 'W' || *p == 'w')
                access |= ACL_WRITE;
            else
                return "Syntax error";
        }
        if (p == end || access == 0)
            return "Syntax error";
    }
    p++; /* the tilde */
    if (user->keys.all)
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
               "not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    if (memchr(p, ' ', (size_t)(end - p)) != NULL || memchr(p, 0, (size_t)(end - p)) != NULL)
        return "Syntax error";
    if (end - p == 1 && *p == '*' && access == (ACL_READ | ACL_WRITE)) {
        free_patterns(&user->keys);
        user->keys.all = true;
        return NULL;
    }
    return add_pattern(&user->keys, access, bitcask_bytes(p, (size_t)(end - p))) ? NULL : no_memory;
}

static const char *apply_channel(struct acl_user *user, bitcask_slice pattern)
{
    if (user->channels.all)
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
               "does not have any effect. Try 'resetchannels' to start with an empty list of "
               "channels";
    if (memchr(pattern.data, ' ', pattern.size) != NULL ||
        memchr(pattern.data, 0, pattern.size) != NULL)
        return "Syntax error";
    if (is_word(pattern, "*")) {
        free_patterns(&user->channels);
        user->channels.all = true;
        return NULL;
    }
    return add_pattern(&user->channels, 0, pattern) ? NULL : no_memory;
}

/* ---- Any rule ------------------------------------------------------------------------------- */

static void reset(struct acl_user *user)
{
    user->on = user->nopass = false;
    user->sanitize = ACL_SANITIZE;
    user->hash_count = 0;
    free_patterns(&user->keys);
    free_patterns(&user->channels);
    set_all_commands(user, false);
}

static bool apply_word(struct acl_user *user, bitcask_slice rule)
{
    if (is_word(rule, "on") || is_word(rule, "off")) {
        user->on = rule.size == 2;
    } else if (is_word(rule, "nopass")) {
        user->nopass = true;
        user->hash_count = 0;
    } else if (is_word(rule, "resetpass")) {
        user->nopass = false;
        user->hash_count = 0;
    } else if (is_word(rule, "allkeys") || is_word(rule, "resetkeys")) {
        free_patterns(&user->keys);
        user->keys.all = is_word(rule, "allkeys");
    } else if (is_word(rule, "allchannels") || is_word(rule, "resetchannels")) {
        free_patterns(&user->channels);
        user->channels.all = is_word(rule, "allchannels");
    } else if (is_word(rule, "allcommands") || is_word(rule, "nocommands")) {
        set_all_commands(user, is_word(rule, "allcommands"));
    } else if (is_word(rule, "reset")) {
        reset(user);
    } else if (is_word(rule, "sanitize-payload") || is_word(rule, "skip-sanitize-payload")) {
        /* Of RESTORE, which there is not. */
        user->sanitize = is_word(rule, "sanitize-payload") ? ACL_SANITIZE : ACL_SKIP_SANITIZE;
    } else {
        return false;
    }
    return true;
}

const char *acl_user_apply(struct acl_user *user, bitcask_slice rule)
{
    if (rule.size == 0)
        return "Syntax error";
    const char *text = rule.data;
    switch (text[0]) {
    case '>':
    case '<':
    case '#':
    case '!':
        return apply_password(user, text[0], bitcask_bytes(text + 1, rule.size - 1));
    case '+':
    case '-':
        return apply_command(user, rule);
    case '~':
    case '%':
        return apply_keys(user, rule);
    case '&':
        return apply_channel(user, bitcask_bytes(text + 1, rule.size - 1));
    case '(':
        return "Selectors are not supported";
    default:
        return apply_word(user, rule) ? NULL : "Syntax error";
    }
}
