/* SPDX-License-Identifier: MIT
 * command_fuzz.c: the command: its line, its numbers, and the files that dump and import look at.
 *
 * The first byte chooses what the rest is:
 *   0  a command line, its words ended by zero bytes. It is parsed, not run, help apart.
 *   1  a text: a number, a size, a duration, a share, a time.
 *   2  a file for dump. The second byte: bits 0 and 1 its name, 2 good checksums, 3 --json,
 *      4 --values.
 *   3  a file for import into a store in memory. The second byte: bit 0 tsv, 1 --skip-bad, 2
 * --json, 3 batches, 4 --dry-run.
 *
 * Whatever comes: an exit code of the documented ones; on stderr whole lines, one if the command
 * line is wrong; with --json each line of output is a JSON object, without it is UTF-8 that moves
 * no terminal. */
#include <jansson.h>
#include <string.h>
#include <unistd.h>

/* Only the table of commands is wanted of it. */
int command_main(int argc, char **argv);
#define main command_main
#include "../../cli/main.c"
#undef main

#include "fuzz/fix.h"
#include "server/encoding.h"

enum { WORDS_MAX = 64, LINE_WORDS_MAX = 16, FILE_SIZE_MAX = 64 << 10 };

/* ---- What is printed ------------------------------------------------------------------------- */

struct output {
    FILE *was, *stream;
    char *text;
    size_t size;
};

static void capture(struct output *output, FILE **stream)
{
    *output = (struct output){.was = *stream};
    output->stream = open_memstream(&output->text, &output->size);
    REQUIRE(output->stream != NULL);
    *stream = output->stream;
}

static void end_capture(struct output *output, FILE **stream)
{
    *stream = output->was;
    REQUIRE(fclose(output->stream) == 0);
}

static struct output out, err;

static void begin(struct cli *cli)
{
    *cli = (struct cli){.directory = "store"};
    bitcask_options_init(&cli->options);
    capture(&out, &stdout);
    capture(&err, &stderr);
}

static void check_text(const char *text, size_t size)
{
    REQUIRE(utf8_is_valid(bitcask_bytes(text, size)));
    for (size_t i = 0; i < size; i++)
        REQUIRE(((unsigned char)text[i] >= ' ' && text[i] != 0x7f) || text[i] == '\n');
}

static void check_json(const char *line, size_t size)
{
    json_error_t error;
    json_t *tree = json_loadb(line, size, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    REQUIRE(json_is_object(tree));
    json_decref(tree);
}

static void check_lines(const struct output *output, bool json)
{
    REQUIRE(output->size == 0 || output->text[output->size - 1] == '\n');
    for (size_t at = 0; json && at < output->size;) {
        size_t end =
            (size_t)((char *)memchr(output->text + at, '\n', output->size - at) - output->text);
        check_json(output->text + at, end - at);
        at = end + 1;
    }
}

static void end(void)
{
    end_capture(&out, &stdout);
    end_capture(&err, &stderr);
}

static void forget(void)
{
    free(out.text);
    free(err.text);
}

/* ---- Command lines --------------------------------------------------------------------------- */

static void check_value(enum cli_kind kind, const struct cli_value *value)
{
    if (!value->set)
        return;
    REQUIRE((kind == CLI_FLAG) == (value->text == NULL));
    REQUIRE(kind != CLI_SHARE || (value->share >= 0 && value->share <= 1));
    REQUIRE(kind != CLI_DURATION || value->number <= UINT64_C(1) << 61);
}

static void check_parsed(const struct cli_command *command, const struct cli_args *args,
                         char *const *words, int count)
{
    REQUIRE(cli_find_command(command->name) == command);
    REQUIRE(args->operand_count <= (size_t)count);
    REQUIRE(args->operand_count >= command->operands_min &&
            args->operand_count <= command->operands_max);
    for (size_t i = 0; i < args->operand_count; i++)
        REQUIRE(args->operands[i] >= words[0] && args->operands[i] <= words[count - 1]);
    for (size_t i = 0; command->options != NULL && command->options[i].name != NULL; i++)
        check_value(command->options[i].kind, &args->options[i]);
}

static void try_line(const uint8_t *data, size_t size)
{
    /* One block, so that an operand can be told to be a word of the line. */
    char *text = malloc(sizeof "bitcask" + size + 1);
    char *words[WORDS_MAX + 1], *moved[WORDS_MAX + 1];
    REQUIRE(text != NULL);
    memcpy(text, "bitcask", sizeof "bitcask");
    memcpy(text + sizeof "bitcask", data, size);
    text[sizeof "bitcask" + size] = '\0';
    int count = 0;
    for (char *at = text; count < WORDS_MAX && at < text + sizeof "bitcask" + size;
         at += strlen(at) + 1)
        words[count++] = at;
    memcpy(moved, words, sizeof words);
    moved[count] = NULL;

    struct cli cli;
    struct cli_args args;
    const struct cli_command *command = NULL;
    begin(&cli);
    int exit_code = cli_parse(&cli, count, moved, &command, &args);
    int help_code = CLI_DONE;
    if (exit_code == CLI_DONE && command == &cli_command_help)
        help_code = command->run(&cli, &args);
    end();
    REQUIRE(exit_code == CLI_DONE || exit_code == CLI_USAGE);
    REQUIRE((exit_code == CLI_DONE && help_code == CLI_DONE) == (err.size == 0));
    check_lines(&err, cli.json);
    REQUIRE(err.size == 0 || memchr(err.text, '\n', err.size) == err.text + err.size - 1);
    if (exit_code == CLI_DONE)
        check_parsed(command, &args, words, count);
    forget();
    free(text);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static void try_units(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), shown[CLI_UNIT_SIZE];
    uint64_t number, again;
    double share;
    REQUIRE(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (cli_parse_uint(text, &number)) {
        snprintf(shown, sizeof shown, "%ju", (uintmax_t)number);
        REQUIRE(cli_parse_uint(shown, &again) && again == number);
        REQUIRE(strlen(cli_count_text(shown, number)) < CLI_UNIT_SIZE);
    }
    if (cli_parse_size(text, &number)) {
        snprintf(shown, sizeof shown, "%ju", (uintmax_t)number);
        REQUIRE(cli_parse_size(shown, &again) && again == number);
        REQUIRE(strlen(cli_size_text(shown, number)) < CLI_UNIT_SIZE);
    }
    if (cli_parse_duration(text, &number)) {
        REQUIRE(number <= UINT64_C(1) << 61);
        snprintf(shown, sizeof shown, "%juus", (uintmax_t)number);
        REQUIRE(cli_parse_duration(shown, &again) && again == number);
        REQUIRE(strlen(cli_duration_text(shown, number)) < CLI_UNIT_SIZE);
    }
    if (cli_parse_share(text, &share))
        REQUIRE(share >= 0 && share <= 1);
    if (cli_parse_time(text, &number))
        REQUIRE(cli_parse_time(cli_time_text(shown, number), &again) && again == number);
    free(text);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static char directory[] = "/tmp/bitcask-fuzz-XXXXXX";
static const char *const names[] = {"000000007.data", "000000007.hint", "MANIFEST", "something"};

static void remove_directory(void)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static void write_file(char path[64], const char *name, const uint8_t *data, size_t size)
{
    static bool made;
    if (!made) {
        REQUIRE(mkdtemp(directory) != NULL && atexit(remove_directory) == 0);
        made = true;
    }
    snprintf(path, 64, "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

struct line {
    char *words[LINE_WORDS_MAX];
    int count;
};

static void add(struct line *line, const char *word)
{
    REQUIRE(line->count < LINE_WORDS_MAX);
    line->words[line->count] = strdup(word);
    REQUIRE(line->words[line->count++] != NULL);
}

static int run(struct cli *cli, struct line *line)
{
    char *words[LINE_WORDS_MAX];
    struct cli_args args;
    const struct cli_command *command;
    memcpy(words, line->words, sizeof words); /* the parser moves them */
    REQUIRE(cli_parse(cli, line->count, words, &command, &args) == CLI_DONE);
    int exit_code = command->run(cli, &args);
    for (int i = 0; i < line->count; i++)
        free(line->words[i]);
    return exit_code;
}

static void fix(unsigned name, uint8_t *file, size_t size)
{
    if (name == 0)
        fix_segment(file, size);
    else if (name == 1)
        fix_hint(file, size);
    else if (name == 2)
        fix_manifest(file, size);
}

static void try_dump(unsigned how, const uint8_t *data, size_t size)
{
    char path[64];
    uint8_t *file = fuzz_copy(data, size);
    if (how & 4)
        fix(how & 3, file, size);
    write_file(path, names[how & 3], file, size);
    free(file);
    struct line line = {.count = 0};
    add(&line, "bitcask");
    add(&line, "dump");
    add(&line, "--file");
    add(&line, path);
    if (how & 8)
        add(&line, "--json");
    if (how & 16)
        add(&line, "--values");
    struct cli cli;
    begin(&cli);
    int exit_code = run(&cli, &line);
    end();
    unlink(path);
    REQUIRE(exit_code == CLI_DONE || exit_code == CLI_CORRUPT || exit_code == CLI_STORE ||
            ((how & 3) == 3 && exit_code == CLI_USAGE));
    REQUIRE(exit_code != CLI_DONE || (out.size > 0 && err.size == 0));
    check_lines(&out, cli.json);
    check_lines(&err, cli.json);
    check_text(out.text, out.size);
    forget();
}

static void try_import(unsigned how, const uint8_t *data, size_t size)
{
    char path[64];
    write_file(path, names[3], data, size);
    const char *const always[] = {
        "bitcask", "import", "--in-memory", "--background=none", "--segment-size=64K", "--format"};
    struct line line = {.count = 0};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        add(&line, always[i]);
    add(&line, how & 1 ? "tsv" : "jsonl");
    add(&line, path);
    if (how & 2)
        add(&line, "--skip-bad");
    if (how & 4)
        add(&line, "--json");
    if (how & 8)
        add(&line, "--batch=3");
    if (how & 16)
        add(&line, "--dry-run");
    struct cli cli;
    begin(&cli);
    int exit_code = run(&cli, &line);
    end();
    unlink(path);
    REQUIRE(exit_code == CLI_DONE || (exit_code == CLI_USAGE && (how & 2) == 0));
    REQUIRE(exit_code == CLI_DONE || err.size > 0);
    check_lines(&out, cli.json);
    check_text(out.text, out.size);
    check_text(err.text, err.size);
    forget();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > FILE_SIZE_MAX)
        return 0;
    unsigned mode = data[0] % 4;
    if (mode == 0)
        try_line(data + 1, size - 1);
    else if (mode == 1)
        try_units(data + 1, size - 1);
    else if (size > 1 && mode == 2)
        try_dump(data[1], data + 2, size - 2);
    else if (size > 1)
        try_import(data[1], data + 2, size - 2);
    return 0;
}
