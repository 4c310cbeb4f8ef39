/* SPDX-License-Identifier: MIT
 * help.c: what the tables of commands and options say, for people and (with --json) for programs.
 * The manual page, the completions and the shell's own help are made from the latter, so that they
 * cannot say anything else. */
#include <string.h>

#include "cli.h"

/* What the exit codes mean, by code. */
static const char *const exits[] = {
    [CLI_DONE] = "done",         [CLI_NOT_FOUND] = "not found",      [CLI_USAGE] = "usage",
    [CLI_STORE] = "store error", [CLI_CORRUPT] = "corruption found", NULL};

static const struct {
    const char *name, *help;
} variables[] = {
    {"BITCASK_DIR", "the store, where no option --dir names one"},
    {"NO_COLOR", "if not empty: no colours on a terminal"},
};

/* ---- For people ---------------------------------------------------------------------------- */

enum { HELP_COLUMN = 34, HELP_WIDTH = 64 };

/* `left`, then the help beside it, wrapped between words. */
static void print_entry(const char *left, const char *help)
{
    int indent = HELP_COLUMN - (int)strlen(left);
    fputs(left, stdout);
    if (indent < 2) {
        putchar('\n');
        indent = HELP_COLUMN;
    }
    size_t size;
    while ((size = strlen(help)) > HELP_WIDTH) {
        size = HELP_WIDTH;
        while (size > 0 && help[size] != ' ')
            size--;
        if (size == 0)
            break;
        printf("%*s%.*s\n", indent, "", (int)size, help);
        indent = HELP_COLUMN;
        help += size + 1;
    }
    printf("%*s%s\n", indent, "", help);
}

static void print_options(const struct cli_option *option)
{
    for (; option->name != NULL; option++) {
        char left[96], letter[8] = "    ";
        if (option->letter != 0)
            snprintf(letter, sizeof(letter), "-%c, ", option->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, option->name,
                 option->value == NULL ? "" : " ", option->value == NULL ? "" : option->value);
        print_entry(left, option->help);
    }
}

static void print_store_options(void)
{
    const bitcask_option_info *info;
    for (size_t i = 0; (info = bitcask_option_at(i)) != NULL; i++) {
        if (!cli_option_is_offered(info))
            continue;
        char left[96];
        if (cli_option_is_switch(info))
            snprintf(left, sizeof(left), "      --[no-]%s", info->name);
        else
            snprintf(left, sizeof(left), "      --%s %s", info->name, info->value);
        print_entry(left, info->help);
    }
}

static void print_program_help(void)
{
    printf("bitcask %s: a log-structured hash store\n\n"
           "usage: bitcask [-d DIR] [--json] COMMAND ...\n"
           "       bitcask put city Utrecht\n"
           "       bitcask get city\n\ncommands:\n",
           bitcask_version());
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++) {
        char left[96];
        snprintf(left, sizeof(left), "  %s%s%s", (*c)->name, (*c)->alias == NULL ? "" : ", ",
                 (*c)->alias == NULL ? "" : (*c)->alias);
        printf("%-18s%s\n", left, (*c)->summary);
    }
    puts("\noptions of all commands:");
    print_options(cli_global_options);
    puts("\noptions of the store:");
    print_store_options();
    fputs("\nexit codes:", stdout);
    for (size_t i = 0; exits[i] != NULL; i++)
        printf("%s %zu %s", i == 0 ? "" : ",", i, exits[i]);
    puts("\n\n`bitcask help COMMAND` explains a command and shows an example.");
}

static void print_examples(const char *lines)
{
    puts("\nexamples:");
    while (*lines != '\0') {
        size_t size = strcspn(lines, "\n");
        printf("  $ %.*s\n", (int)size, lines);
        lines += size + (lines[size] == '\n');
    }
}

void cli_print_help(const struct cli_command *command)
{
    if (command == NULL) {
        print_program_help();
        return;
    }
    printf("usage: bitcask %s%s%s%s\n\n%s\n", command->name,
           command->options == NULL ? "" : " [OPTIONS]", command->usage == NULL ? "" : " ",
           command->usage == NULL ? "" : command->usage, command->summary);
    if (command->alias != NULL)
        printf("also called: %s\n", command->alias);
    if (command->details != NULL)
        printf("\n%s", command->details);
    if (command->options != NULL) {
        puts("\noptions:");
        print_options(command->options);
    }
    if (command->examples != NULL)
        print_examples(command->examples);
    puts("\nOptions of all commands and of the store: bitcask help");
}

/* ---- For programs -------------------------------------------------------------------------- */

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static const char *kind_name(enum cli_kind kind)
{
    static const char *const names[] = {
        [CLI_FLAG] = "flag", [CLI_TEXT] = "text",         [CLI_UINT] = "number",
        [CLI_SIZE] = "size", [CLI_DURATION] = "duration", [CLI_SHARE] = "share"};
    return names[kind];
}

/* `of`: a command's name, or "all". */
static void describe_options(const char *of, const struct cli_option *option)
{
    for (; option != NULL && option->name != NULL; option++) {
        char letter[2] = {option->letter, '\0'};
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "option", option->name);
        cli_json_text(&json, "of", of);
        cli_json_text(&json, "letter", letter);
        cli_json_text(&json, "kind", kind_name(option->kind));
        cli_json_text(&json, "value", or_empty(option->value));
        cli_json_text(&json, "help", option->help);
        cli_json_end(&json);
    }
}

static void describe_store_options(void)
{
    const bitcask_option_info *info;
    for (size_t i = 0; (info = bitcask_option_at(i)) != NULL; i++) {
        if (!cli_option_is_offered(info))
            continue;
        bool is_switch = cli_option_is_switch(info);
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "option", info->name);
        cli_json_text(&json, "of", "store");
        cli_json_text(&json, "letter", "");
        cli_json_text(&json, "kind", is_switch ? "switch" : "text");
        cli_json_text(&json, "value", is_switch ? "" : info->value);
        cli_json_text(&json, "help", info->help);
        cli_json_end(&json);
    }
}

static void describe_command(const struct cli_command *command)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "command", command->name);
    if (command->alias != NULL)
        cli_json_text(&json, "alias", command->alias);
    cli_json_text(&json, "usage", or_empty(command->usage));
    cli_json_text(&json, "summary", command->summary);
    cli_json_text(&json, "details", or_empty(command->details));
    cli_json_text(&json, "examples", or_empty(command->examples));
    cli_json_end(&json);
}

static void describe_surroundings(void)
{
    for (size_t i = 0; exits[i] != NULL; i++) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_uint(&json, "exit", i);
        cli_json_text(&json, "help", exits[i]);
        cli_json_end(&json);
    }
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_text(&json, "variable", variables[i].name);
        cli_json_text(&json, "help", variables[i].help);
        cli_json_end(&json);
    }
}

void cli_describe(const struct cli_command *only)
{
    for (const struct cli_command *const *c = cli_commands; *c != NULL; c++)
        if (only == NULL || *c == only) {
            describe_command(*c);
            describe_options((*c)->name, (*c)->options);
        }
    if (only != NULL)
        return;
    describe_options("all", cli_global_options);
    describe_store_options();
    describe_surroundings();
}
