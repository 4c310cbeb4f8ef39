/* SPDX-License-Identifier: MIT
 * command_table.c: the table of commands, and looking names up in it. */
#include <pthread.h>
#include <string.h>

#include "cmd.h"

/* clang-format off */
/* A command's place in the flat order is the order of these lines. */
#define ROW(NAME, ARITY, FIRST, LAST, STEP, RUN, SUBCOMMANDS, FLAGS, CATEGORIES, KEY_FLAGS, TIPS, \
            SINCE, SUMMARY)                                                                       \
    {NAME, ARITY, FLAGS, CATEGORIES, FIRST, LAST, STEP, RUN, SUBCOMMANDS, KEY_FLAGS, TIPS, SINCE, \
     SUMMARY, __COUNTER__}
#define OTHER(NAME, ARITY, FIRST, LAST, STEP, FLAGS, CATEGORIES)                              \
    ROW(NAME, ARITY, FIRST, LAST, STEP, cmd_other, NULL, FLAGS, CATEGORIES, "", "", "1.0.0", \
        "Not supported.")
#define END {0}

#include "commands_sub.def"

const struct command command_table[] = {
#include "commands.def"
#include "commands_other.def"
    END,
};

enum { COUNT = __COUNTER__ };
/* clang-format on */

unsigned command_count(void)
{
    return COUNT;
}

/* ---- Looking up ----------------------------------------------------------------------------- */

enum { SLOTS = 1024, NAME_MAX_SIZE = 40 };

static struct {
    pthread_once_t once;
    const struct command *by_index[COUNT];
    const struct command *slots[SLOTS]; /* by hash of the name, the next free one if taken */
} lookup = {.once = PTHREAD_ONCE_INIT};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Of the name's letters, any case. */
static uint32_t hash_of(const char *name, size_t size)
{
    uint32_t hash = (uint32_t)size;
    for (size_t i = 0; i < size; i++)
        hash = hash * 31 + (uint8_t)(name[i] | 0x20);
    return (hash ^ hash >> 10) % SLOTS;
}

static bool is_name(const char *name, bitcask_slice word)
{
    const char *text = word.data;
    for (size_t i = 0; i < word.size; i++)
        if (name[i] == '\0' || lower(text[i]) != name[i])
            return false;
    return name[word.size] == '\0';
}

static void build(void)
{
    for (const struct command *command = command_table; command->name != NULL; command++) {
        lookup.by_index[command->index] = command;
        uint32_t slot = hash_of(command->name, strlen(command->name));
        while (lookup.slots[slot] != NULL)
            slot = (slot + 1) % SLOTS;
        lookup.slots[slot] = command;
        const struct command *sub = command->subcommands;
        for (; sub != NULL && sub->name != NULL; sub++)
            lookup.by_index[sub->index] = sub;
    }
}

const struct command *command_at(unsigned index)
{
    pthread_once(&lookup.once, build);
    return index < COUNT ? lookup.by_index[index] : NULL;
}

const struct command *command_find(bitcask_slice name)
{
    if (name.size == 0 || name.size > NAME_MAX_SIZE)
        return NULL;
    pthread_once(&lookup.once, build);
    uint32_t slot = hash_of(name.data, name.size);
    for (; lookup.slots[slot] != NULL; slot = (slot + 1) % SLOTS)
        if (is_name(lookup.slots[slot]->name, name))
            return lookup.slots[slot];
    return NULL;
}

const struct command *command_find_sub(const struct command *command, bitcask_slice name)
{
    size_t skip = strlen(command->name) + 1;
    const struct command *sub = command->subcommands;
    for (; sub != NULL && sub->name != NULL; sub++)
        if (name.size <= NAME_MAX_SIZE && is_name(sub->name + skip, name))
            return sub;
    return NULL;
}

const struct command *command_resolve(const bitcask_slice *words, size_t count)
{
    const struct command *command = count > 0 ? command_find(words[0]) : NULL;
    if (command == NULL || command->subcommands == NULL || count < 2)
        return command;
    return command_find_sub(command, words[1]);
}
