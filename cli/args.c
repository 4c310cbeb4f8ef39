/* SPDX-License-Identifier: MIT
 * args.c: the command line. help.c makes the help texts from the same tables.
 *
 * Options stand before or behind the command's name; those of a command only behind it. Store
 * options are the library's own table (bitcask_option_at), so a new one appears here by itself. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum {
    GLOBAL_DIR,
    GLOBAL_JSON,
    GLOBAL_QUIET,
    GLOBAL_LOG_FORMAT,
    GLOBAL_TRACE,
    GLOBAL_HELP,
    GLOBAL_VERSION,
    GLOBAL_COUNT
};

const struct cli_option cli_global_options[] = {
    [GLOBAL_DIR] = {"dir", 'd', CLI_TEXT, "DIR", "the store; else $BITCASK_DIR, else ./data"},
    [GLOBAL_JSON] = {"json", 0, CLI_FLAG, NULL, "print JSON, one object per line"},
    [GLOBAL_QUIET] = {"quiet", 'q', CLI_FLAG, NULL, "no progress, no remarks"},
    [GLOBAL_LOG_FORMAT] = {"log-format", 0, CLI_TEXT, "text|logfmt|json",
                           "how log events are printed on stderr"},
    [GLOBAL_TRACE] = {"trace", 0, CLI_FLAG, NULL,
                      "tell of each operation with its duration on stderr (--log-level debug)"},
    [GLOBAL_HELP] = {"help", 'h', CLI_FLAG, NULL, "explain the command"},
    [GLOBAL_VERSION] = {"version", 0, CLI_FLAG, NULL, "print the version"},
    {0},
};

struct parser {
    struct cli *cli;
    struct cli_args *args;
    const struct cli_command *command; /* NULL until its name has been met */
    char *command_word;
    struct cli_value globals[GLOBAL_COUNT];
    char **next, **end; /* the words not yet looked at */
};

/* ---- Values -------------------------------------------------------------------------------- */

static bool parse_value(enum cli_kind kind, const char *text, struct cli_value *value)
{
    switch (kind) {
    case CLI_FLAG:
    case CLI_TEXT:
        return true;
    case CLI_UINT:
        return cli_parse_uint(text, &value->number);
    case CLI_SIZE:
        return cli_parse_size(text, &value->number);
    case CLI_DURATION:
        return cli_parse_duration(text, &value->number);
    case CLI_SHARE:
        return cli_parse_share(text, &value->share);
    }
    return false;
}

static const char *kind_text(enum cli_kind kind)
{
    static const char *const texts[] = {[CLI_FLAG] = "nothing",
                                        [CLI_TEXT] = "text",
                                        [CLI_UINT] = "a number",
                                        [CLI_SIZE] = "a size (4096, 64K, 1.5M, 2G)",
                                        [CLI_DURATION] = "a duration (90s, 5m, 1h30m)",
                                        [CLI_SHARE] = "a share (40%, 0.4)"};
    return texts[kind];
}

/* ---- Options ------------------------------------------------------------------------------- */

/* An option's declaration and the place of its value. */
struct found {
    const struct cli_option *option;
    struct cli_value *value;
};

/* Look in one table, by letter if there is one, else by name. */
static bool find_in(const struct cli_option *options, struct cli_value *values, char letter,
                    const char *name, size_t size, struct found *found)
{
    if (options == NULL)
        return false;
    for (size_t i = 0; options[i].name != NULL; i++) {
        if (letter != 0 ? options[i].letter != letter
                        : strlen(options[i].name) != size || memcmp(options[i].name, name, size))
            continue;
        *found = (struct found){&options[i], &values[i]};
        return true;
    }
    return false;
}

/* A command's own options come before the global ones. */
static bool find_option(struct parser *parser, char letter, const char *name, size_t size,
                        struct found *found)
{
    const struct cli_option *own = parser->command == NULL ? NULL : parser->command->options;
    return find_in(own, parser->args->options, letter, name, size, found) ||
           find_in(cli_global_options, parser->globals, letter, name, size, found);
}

static int set_option(struct parser *parser, const struct found *found, const char *text)
{
    const struct cli_option *option = found->option;
    *found->value = (struct cli_value){.set = true, .text = text};
    if (!parse_value(option->kind, text, found->value))
        return cli_fail_usage(parser->cli, "option --%s: '%s' is not %s", option->name, text,
                              kind_text(option->kind));
    return CLI_DONE;
}

bool cli_option_is_switch(const bitcask_option_info *info)
{
    return strcmp(info->value, "YES|NO") == 0;
}

bool cli_option_is_offered(const bitcask_option_info *info)
{
    return strcmp(info->name, "create") != 0;
}

static const bitcask_option_info *find_store_option(const char *name, size_t size)
{
    const bitcask_option_info *info;
    for (size_t i = 0; (info = bitcask_option_at(i)) != NULL; i++)
        if (cli_option_is_offered(info) && strlen(info->name) == size &&
            memcmp(info->name, name, size) == 0)
            return info;
    return NULL;
}

static int set_store_option(struct parser *parser, const bitcask_option_info *info,
                            const char *value)
{
    struct cli *cli = parser->cli;
    bitcask_error error;
    bitcask_status status = bitcask_options_set(&cli->options, info->name, value, &error);
    if (status != BITCASK_OK)
        return cli_fail_usage(cli, "%s", error.message);
    cli->sync_given |= strcmp(info->name, "sync") == 0;
    cli->background_given |= strcmp(info->name, "background") == 0;
    cli->log_level_given |= strcmp(info->name, "log-level") == 0;
    return CLI_DONE;
}

static int take_value(struct parser *parser, const char *name, const char *placeholder,
                      const char **text)
{
    if (parser->next == parser->end)
        return cli_fail_usage(parser->cli, "option %s needs a value: %s", name, placeholder);
    *text = *parser->next++;
    return CLI_DONE;
}

/* "--sync=none", "--sync none", "--read-only", "--no-verify-reads". */
static int parse_store_option(struct parser *parser, const char *word, const char *name,
                              size_t size, const char *value)
{
    const bitcask_option_info *info = find_store_option(name, size);
    if (info == NULL && size > 3 && memcmp(name, "no-", 3) == 0 && value == NULL) {
        info = find_store_option(name + 3, size - 3);
        if (info != NULL && cli_option_is_switch(info))
            return set_store_option(parser, info, "no");
        info = NULL;
    }
    if (info == NULL && parser->command == NULL)
        return cli_fail_usage(
            parser->cli, "unknown option %s (options of a command stand behind its name)", word);
    if (info == NULL)
        return cli_fail_usage(parser->cli, "unknown option %s (see bitcask help %s)", word,
                              parser->command->name);
    if (value == NULL && cli_option_is_switch(info))
        value = "yes";
    if (value == NULL && take_value(parser, word, info->value, &value) != CLI_DONE)
        return CLI_USAGE;
    return set_store_option(parser, info, value);
}

/* For a command that looks at options itself. */
static int keep_option(struct parser *parser, char *word, bool has_value)
{
    struct cli_args *args = parser->args;
    args->operands[args->operand_count++] = word;
    if (!has_value && parser->next < parser->end)
        args->operands[args->operand_count++] = *parser->next++;
    return CLI_DONE;
}

static int parse_long(struct parser *parser, char *word)
{
    const char *name = word + 2, *value = strchr(name, '=');
    size_t size = value == NULL ? strlen(name) : (size_t)(value++ - name);
    struct found found;
    if (!find_option(parser, 0, name, size, &found) && parser->command != NULL &&
        parser->command->other_options)
        return keep_option(parser, word, value != NULL);
    if (!find_option(parser, 0, name, size, &found))
        return parse_store_option(parser, word, name, size, value);
    if (found.option->kind == CLI_FLAG && value != NULL)
        return cli_fail_usage(parser->cli, "option --%s takes no value", found.option->name);
    if (found.option->kind != CLI_FLAG && value == NULL &&
        take_value(parser, word, found.option->value, &value) != CLI_DONE)
        return CLI_USAGE;
    return set_option(parser, &found, value);
}

/* "-q", "-d DIR", "-dDIR", "-qd DIR". */
static int parse_letters(struct parser *parser, const char *word)
{
    for (const char *p = word + 1; *p != '\0'; p++) {
        struct found found;
        if (!find_option(parser, *p, NULL, 0, &found))
            return cli_fail_usage(parser->cli, "unknown option %s%s", word,
                                  parser->command == NULL ? " (see bitcask help)"
                                                          : " (behind -- it is an operand)");
        const char *text = p[1] != '\0' ? p + 1 : NULL;
        if (found.option->kind == CLI_FLAG) {
            found.value->set = true;
            continue;
        }
        if (text == NULL && take_value(parser, word, found.option->value, &text) != CLI_DONE)
            return CLI_USAGE;
        return set_option(parser, &found, text);
    }
    return CLI_DONE;
}

/* ---- The whole line ------------------------------------------------------------------------ */

/* One letter more, less or other, or two swapped. */
static bool is_mistyped(const char *typed, const char *name)
{
    while (*typed != '\0' && *typed == *name)
        typed++, name++;
    size_t left = strlen(typed), wanted = strlen(name);
    if (left + 1 == wanted)
        return strcmp(typed, name + 1) == 0;
    if (left == wanted + 1)
        return strcmp(typed + 1, name) == 0;
    if (left != wanted || left == 0)
        return false;
    return strcmp(typed + 1, name + 1) == 0 ||
           (typed[0] == name[1] && typed[1] == name[0] && strcmp(typed + 2, name + 2) == 0);
}

static int fail_unknown_command(struct parser *parser, const char *word)
{
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++)
        if (is_mistyped(word, (*c)->name))
            return cli_fail_usage(parser->cli, "unknown command '%s' (did you mean '%s'?)", word,
                                  (*c)->name);
    return cli_fail_usage(parser->cli, "unknown command '%s' (see bitcask help)", word);
}

const struct cli_command *cli_find_command(const char *name)
{
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0 ||
            ((*c)->alias != NULL && strcmp((*c)->alias, name) == 0))
            return *c;
    return NULL;
}

static int parse_word(struct parser *parser, char *word)
{
    struct cli_args *args = parser->args;
    if (parser->command == NULL) {
        parser->command = cli_find_command(word);
        parser->command_word = word;
        return parser->command == NULL ? fail_unknown_command(parser, word) : CLI_DONE;
    }
    args->operands[args->operand_count++] = word;
    return CLI_DONE;
}

static int parse_words(struct parser *parser)
{
    bool only_operands = false;
    while (parser->next < parser->end) {
        char *word = *parser->next++;
        int exit_code;
        if (only_operands || word[0] != '-' || word[1] == '\0')
            exit_code = parse_word(parser, word);
        else if (strcmp(word, "--") == 0)
            exit_code = CLI_DONE, only_operands = true;
        else if (word[1] == '-')
            exit_code = parse_long(parser, word);
        else
            exit_code = parse_letters(parser, word);
        if (exit_code != CLI_DONE)
            return exit_code;
        parser->cli->json |= parser->globals[GLOBAL_JSON].set; /* errors behind it are JSON */
    }
    return CLI_DONE;
}

static int apply_globals(struct parser *parser)
{
    static const char *const formats[] = {
        [CLI_LOG_TEXT] = "text", [CLI_LOG_LOGFMT] = "logfmt", [CLI_LOG_JSON] = "json"};
    struct cli *cli = parser->cli;
    const struct cli_value *given = parser->globals;
    cli->quiet |= given[GLOBAL_QUIET].set;
    cli->color = cli->color && !cli->json;
    if (given[GLOBAL_TRACE].set) {
        cli->options.log_level = BITCASK_LOG_DEBUG;
        cli->log_level_given = true;
    }
    if (given[GLOBAL_DIR].set)
        cli->directory = given[GLOBAL_DIR].text;
    cli->directory_given |= given[GLOBAL_DIR].set;
    if (cli->directory[0] == '\0')
        return cli_fail_usage(cli, "option --dir: the name of the directory is empty");
    if (!given[GLOBAL_LOG_FORMAT].set)
        return CLI_DONE;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (strcmp(given[GLOBAL_LOG_FORMAT].text, formats[i]) == 0) {
            cli->log_format = (enum cli_log_format)i;
            return CLI_DONE;
        }
    return cli_fail_usage(cli, "option --log-format: '%s' is not one of text, logfmt, json",
                          given[GLOBAL_LOG_FORMAT].text);
}

static int check_operands(struct parser *parser)
{
    const struct cli_command *command = parser->command;
    size_t count = parser->args->operand_count;
    const char *usage = command->usage == NULL ? "" : command->usage;
    if (count < command->operands_min)
        return cli_fail_usage(parser->cli, "%s needs more: bitcask %s %s", command->name,
                              command->name, usage);
    if (count > command->operands_max)
        return cli_fail_usage(parser->cli, "'%s' is too much: bitcask %s %s",
                              parser->args->operands[command->operands_max], command->name, usage);
    return CLI_DONE;
}

int cli_parse(struct cli *cli, int argc, char **argv, const struct cli_command **command,
              struct cli_args *args)
{
    /* Operands move to the front of argv: they never outrun the words still to be read. */
    struct parser parser = {.cli = cli, .args = args, .next = argv + 1, .end = argv + argc};
    if (argc < 1)
        parser.next = parser.end = argv;
    *args = (struct cli_args){.operands = parser.next};
    int exit_code = parse_words(&parser);
    if (exit_code == CLI_DONE)
        exit_code = apply_globals(&parser);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (parser.globals[GLOBAL_HELP].set) {
        *command = &cli_command_help;
        args->operand_count = parser.command != NULL;
        if (parser.command != NULL)
            args->operands[0] = parser.command_word;
        return CLI_DONE;
    }
    if (parser.globals[GLOBAL_VERSION].set) {
        *command = &cli_command_version;
        return CLI_DONE;
    }
    if (parser.command == NULL)
        return cli_fail_usage(cli, "no command given (see bitcask help)");
    *command = parser.command;
    return check_operands(&parser);
}
