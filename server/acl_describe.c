/* SPDX-License-Identifier: MIT
 * acl_describe.c: a user as the words that would make it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_user.h"

/* Append, and a NUL behind that is not counted. */
static bool append(bitcask_buffer *text, const void *data, size_t size)
{
    if (text->capacity - text->size < size + 1) {
        size_t capacity = (text->size + size + 1) * 2;
        void *grown = realloc(text->data, capacity);
        if (grown == NULL)
            return false;
        text->data = grown;
        text->capacity = capacity;
    }
    char *end = (char *)text->data + text->size;
    memcpy(end, data, size);
    end[size] = '\0';
    text->size += size;
    return true;
}

/* A word, with a space in front of it unless it is the first. */
static bool append_word(bitcask_buffer *text, const char *start, const char *word, size_t size)
{
    return (text->size == 0 || append(text, " ", 1)) && append(text, start, strlen(start)) &&
           append(text, word, size);
}

static bool append_text(bitcask_buffer *text, const char *word)
{
    return append_word(text, "", word, strlen(word));
}

static bool describe_passwords(const struct acl_user *user, bitcask_buffer *text, const char *sign)
{
    for (size_t i = 0; i < user->hash_count; i++) {
        char digits[2 * ACL_HASH_SIZE + 1];
        for (size_t j = 0; j < ACL_HASH_SIZE; j++)
            snprintf(digits + 2 * j, 3, "%02x", user->hashes[i].bytes[j]);
        if (!append_word(text, sign, digits, sizeof digits - 1))
            return false;
    }
    return true;
}

static bool describe_commands(const struct acl_user *user, bitcask_buffer *text)
{
    bool good = append_text(text, user->all_commands ? "+@all" : "-@all");
    for (size_t i = 0; i < user->rule_count && good; i++)
        good = append_text(text, user->rules[i]);
    return good;
}

static bool describe_patterns(const struct acl_patterns *patterns, bool keys, bitcask_buffer *text)
{
    bool good = !patterns->all || append_text(text, keys ? "~*" : "&*");
    for (size_t i = 0; i < patterns->count && good; i++) {
        const struct acl_pattern *pattern = &patterns->list[i];
        const char *start = !keys                          ? "&"
                            : pattern->access == ACL_READ  ? "%R~"
                            : pattern->access == ACL_WRITE ? "%W~"
                                                           : "~";
        good = append_word(text, start, pattern->text, pattern->size);
    }
    return good;
}

bool acl_describe_part(const struct acl_user *user, enum acl_part part, bitcask_buffer *text)
{
    switch (part) {
    case ACL_FLAGS:
        return append_text(text, user->on ? "on" : "off") &&
               (!user->nopass || append_text(text, "nopass")) &&
               (user->sanitize == ACL_UNSAID ||
                append_text(text, user->sanitize == ACL_SANITIZE ? "sanitize-payload"
                                                                 : "skip-sanitize-payload"));
    case ACL_PASSWORDS:
        return describe_passwords(user, text, "");
    case ACL_COMMANDS:
        return describe_commands(user, text);
    case ACL_KEYS:
        return describe_patterns(&user->keys, true, text);
    case ACL_CHANNELS:
        return describe_patterns(&user->channels, false, text);
    }
    return false;
}

bool acl_describe(const struct acl_user *user, bitcask_buffer *line)
{
    return append_text(line, "user") && append_text(line, user->name) &&
           acl_describe_part(user, ACL_FLAGS, line) && describe_passwords(user, line, "#") &&
           acl_describe_part(user, ACL_KEYS, line) &&
           (user->channels.all || append_text(line, "resetchannels")) &&
           acl_describe_part(user, ACL_CHANNELS, line) &&
           acl_describe_part(user, ACL_COMMANDS, line);
}
