/* SPDX-License-Identifier: MIT
 * acl_file.c: users in a file, a line each: "user NAME on #HASH ~* +@read". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_user.h"
#include "settings_table.h"

enum { MAX_WORDS = 4096 };

static bool parse_line(struct acl_parse *parse, const char *line, bitcask_error *error)
{
    size_t size = strlen(line);
    char *copy = malloc(size + 1);
    const char **words = malloc(MAX_WORDS * sizeof(const char *));
    bitcask_slice *rules = malloc(MAX_WORDS * sizeof *rules);
    bool good = false;
    int count = copy != NULL && words != NULL && rules != NULL
                    ? settings_split(line, copy, words, MAX_WORDS)
                    : 0;
    if (copy == NULL || words == NULL || rules == NULL)
        settings_fail(error, "out of memory");
    else if (count < 0)
        settings_fail(error, "quotes that do not end, or more than %d words", MAX_WORDS);
    else if (count == 0 || words[0][0] == '#')
        good = true;
    else if (count < 2 || strcmp(words[0], "user") != 0)
        settings_fail(error, "should start with user keyword followed by the username");
    else {
        for (int i = 2; i < count; i++)
            rules[i - 2] = bitcask_str(words[i]);
        good = acl_parse_user(parse, bitcask_str(words[1]), rules, (size_t)count - 2, error);
    }
    if (copy != NULL)
        explicit_bzero(copy, size + 1);
    free(copy);
    free(words);
    free(rules);
    return good;
}

bool acl_load_file(struct acl *acl, const char *path, bitcask_error *error)
{
    size_t size;
    mode_t mode;
    char *text = settings_read_whole(path, &size, &mode, error);
    if (text == NULL)
        return false;
    struct acl_parse parse = {0};
    bool good = true;
    unsigned number = 0;
    for (char *line = text, *next; line != NULL && good; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        bitcask_error why;
        if (!parse_line(&parse, line, &why))
            good = settings_fail(error, "%s:%u: %.200s", path, number, why.message);
    }
    explicit_bzero(text, size);
    free(text);
    return acl_parse_finish(acl, &parse, good, error);
}

/* ---- Saving --------------------------------------------------------------------------------- */

struct save {
    FILE *out;
    bool good;
};

static void save_user(void *context, const struct acl_user *user)
{
    struct save *save = context;
    bitcask_buffer line = {0};
    save->good = save->good && acl_describe(user, &line) &&
                 fprintf(save->out, "%s\n", (const char *)line.data) > 0;
    bitcask_buffer_free(&line);
}

bool acl_save_file(struct acl *acl, const char *path, bitcask_error *error)
{
    char *text = NULL;
    size_t size = 0;
    struct save save = {open_memstream(&text, &size), true};
    if (save.out == NULL)
        return settings_fail(error, "out of memory");
    acl_each(acl, save_user, &save);
    bool good = (fclose(save.out) == 0 && save.good) || settings_fail(error, "out of memory");
    good = good && settings_write_whole(path, text, size, 0600, error);
    free(text);
    return good;
}
