/* SPDX-License-Identifier: MIT
 * cmd_read.c: get, exists, ttl, mget. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"

/* ---- get ----------------------------------------------------------------------------------- */

enum { GET_OUTPUT, GET_META };

static const struct cli_option get_options[] = {
    [GET_OUTPUT] = {"output", 'o', CLI_TEXT, "FILE", "write the value to FILE"},
    [GET_META] = {"meta", 0, CLI_FLAG, NULL, "print version, size and expiry, not the value"},
    {0},
};

static void print_meta_json(struct cli_json *json, const bitcask_meta *meta)
{
    cli_json_uint(json, "version", meta->version);
    cli_json_uint(json, "value_size", meta->value_size);
    cli_json_time(json, "expires_at", meta->expires_us);
}

static void print_entry_json(bitcask_slice key, const bitcask_slice *value,
                             const bitcask_meta *meta)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_bytes(&json, "key", key);
    if (value != NULL)
        cli_json_bytes(&json, "value", *value);
    print_meta_json(&json, meta);
    cli_json_end(&json);
}

static int print_meta(struct cli *cli, struct access *access, bitcask_slice key)
{
    bitcask_meta meta;
    bitcask_error error;
    bitcask_status status = access_stat(access, key, &meta, &error);
    if (status != BITCASK_OK)
        return cli_fail_key(cli, status, &error, key);
    if (cli->json) {
        print_entry_json(key, NULL, &meta);
        return CLI_DONE;
    }
    char time[CLI_UNIT_SIZE];
    printf("version     %llu\n", (unsigned long long)meta.version);
    printf("value size  %llu\n", (unsigned long long)meta.value_size);
    printf("expires     %s\n",
           meta.expires_us == 0 ? "never" : cli_time_text(time, meta.expires_us));
    return CLI_DONE;
}

static int write_file(struct cli *cli, const char *name, bitcask_slice value)
{
    FILE *out = fopen(name, "we");
    if (out == NULL)
        return cli_fail_errno(cli, "cannot open %s", name);
    bool written = value.size == 0 || fwrite(value.data, 1, value.size, out) == value.size;
    int write_errno = errno;
    if (fclose(out) != 0 && written) {
        written = false;
        write_errno = errno;
    }
    errno = write_errno;
    return written ? CLI_DONE : cli_fail_errno(cli, "cannot write %s", name);
}

/* Raw bytes; on a terminal a newline behind them, so that the prompt stands on its own line. */
static void print_raw(struct cli *cli, bitcask_slice value)
{
    if (value.size > 0)
        fwrite(value.data, 1, value.size, stdout);
    if (cli->stdout_tty && (value.size == 0 || ((const char *)value.data)[value.size - 1] != '\n'))
        putchar('\n');
}

static int print_value(struct cli *cli, struct access *access, bitcask_slice key,
                       const char *output)
{
    bitcask_view view;
    bitcask_error error;
    bitcask_status status = access_get(access, key, &view, &error);
    if (status != BITCASK_OK)
        return cli_fail_key(cli, status, &error, key);
    int exit_code = CLI_DONE;
    if (output != NULL)
        exit_code = write_file(cli, output, view.value);
    if (cli->json)
        print_entry_json(key, output == NULL ? &view.value : NULL, &view.meta);
    else if (output == NULL)
        print_raw(cli, view.value);
    access_release(access, &view);
    return exit_code;
}

static int run_get(struct cli *cli, const struct cli_args *args)
{
    const char *output = args->options[GET_OUTPUT].text;
    if (output != NULL && args->options[GET_META].set)
        return cli_fail_usage(cli, "--output and --meta exclude each other");
    if (output != NULL && strcmp(output, "-") == 0)
        output = NULL;
    struct access access;
    int exit_code = access_open(cli, CLI_READ, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_slice key = bitcask_str(args->operands[0]);
    exit_code = args->options[GET_META].set ? print_meta(cli, &access, key)
                                            : print_value(cli, &access, key, output);
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_get = {
    .name = "get",
    .summary = "print the value of a key",
    .usage = "KEY",
    .details = "Prints the bytes of the value as they are; on a terminal a newline behind them.\n"
               "Exit code 1 if the key is not there.\n",
    .examples = "bitcask get city\n"
                "bitcask get city -o city.txt\n"
                "bitcask get city --meta\n"
                "bitcask --json get city\n",
    .options = get_options,
    .operands_min = 1,
    .operands_max = 1,
    .run = run_get,
};

/* ---- exists -------------------------------------------------------------------------------- */

static int run_exists(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_READ, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    for (size_t i = 0; i < args->operand_count && exit_code <= CLI_NOT_FOUND; i++) {
        bitcask_slice key = bitcask_str(args->operands[i]);
        bitcask_meta meta;
        bitcask_error error;
        bitcask_status status = access_stat(&access, key, &meta, &error);
        if (status < 0) {
            exit_code = cli_fail_key(cli, status, &error, key);
        } else if (cli->json) {
            struct cli_json json;
            cli_json_begin(&json, stdout);
            cli_json_bytes(&json, "key", key);
            cli_json_bool(&json, "exists", status == BITCASK_OK);
            cli_json_end(&json);
        } else if (!cli->quiet) {
            puts(status == BITCASK_OK ? "yes" : "no");
        }
        if (status == BITCASK_NOT_FOUND)
            exit_code = CLI_NOT_FOUND;
    }
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_exists = {
    .name = "exists",
    .summary = "tell whether keys are there",
    .usage = "KEY...",
    .details = "Prints yes or no for each key (nothing with --quiet).\n"
               "Exit code 0 if all are there, 1 if any is not.\n",
    .examples = "bitcask exists city\n"
                "bitcask -q exists city && echo there\n",
    .operands_min = 1,
    .operands_max = CLI_ANY,
    .run = run_exists,
};

/* ---- ttl ----------------------------------------------------------------------------------- */

static void print_ttl(struct cli *cli, bitcask_slice key, const bitcask_meta *meta)
{
    uint64_t now_us = cli_now_us();
    uint64_t left_us = meta->expires_us > now_us ? meta->expires_us - now_us : 0;
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_bytes(&json, "key", key);
        if (meta->expires_us == 0)
            cli_json_null(&json, "ttl_ms");
        else
            cli_json_uint(&json, "ttl_ms", left_us / 1000);
        cli_json_time(&json, "expires_at", meta->expires_us);
        cli_json_end(&json);
        return;
    }
    char text[CLI_UNIT_SIZE];
    puts(meta->expires_us == 0 ? "never" : cli_duration_text(text, left_us));
}

static int run_ttl(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_READ, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_slice key = bitcask_str(args->operands[0]);
    bitcask_meta meta;
    bitcask_error error;
    bitcask_status status = access_stat(&access, key, &meta, &error);
    if (status == BITCASK_OK)
        print_ttl(cli, key, &meta);
    else
        exit_code = cli_fail_key(cli, status, &error, key);
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_ttl = {
    .name = "ttl",
    .summary = "print how long a key has to live",
    .usage = "KEY",
    .details = "Prints a duration (89.5s, 1h02m) or \"never\"; --json has it in milliseconds.\n"
               "Exit code 1 if the key is not there.\n",
    .examples = "bitcask put city Utrecht --ttl 90s\n"
                "bitcask ttl city\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_ttl,
};

/* ---- mget ---------------------------------------------------------------------------------- */

static int print_found(struct cli *cli, bitcask_slice key, const bitcask_view *view,
                       bitcask_status status)
{
    if (status == BITCASK_OK && cli->json) {
        print_entry_json(key, &view->value, &view->meta);
    } else if (status == BITCASK_OK) {
        cli_print_tsv(stdout, key);
        putchar('\t');
        cli_print_tsv(stdout, view->value);
        putchar('\n');
    } else if (status == BITCASK_NOT_FOUND && cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_bytes(&json, "key", key);
        cli_json_null(&json, "value");
        cli_json_end(&json);
        return CLI_NOT_FOUND;
    } else {
        return cli_fail_key(cli, status, NULL, key);
    }
    return CLI_DONE;
}

enum { MGET_AT_ONCE = 64 };

/* Up to MGET_AT_ONCE keys. */
static int mget_some(struct cli *cli, bitcask *db, char **words, size_t count)
{
    bitcask_slice keys[MGET_AT_ONCE];
    bitcask_view views[MGET_AT_ONCE] = {0};
    bitcask_status each[MGET_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        keys[i] = bitcask_str(words[i]);
        each[i] = BITCASK_NOT_FOUND;
    }
    bitcask_error error;
    int exit_code = CLI_DONE;
    bitcask_status status = bitcask_get_many(db, NULL, keys, count, views, each, &error);
    if (status < 0 && status != BITCASK_CORRUPT) {
        exit_code = cli_fail(cli, status, &error);
    } else {
        for (size_t i = 0; i < count; i++) {
            int one = print_found(cli, keys[i], &views[i], each[i]);
            exit_code = one > exit_code ? one : exit_code;
        }
    }
    bitcask_views_release(views, count);
    return exit_code;
}

static int mget_remote(struct cli *cli, struct access *access, const struct cli_args *args)
{
    int exit_code = CLI_DONE;
    for (size_t i = 0; i < args->operand_count; i++) {
        bitcask_slice key = bitcask_str(args->operands[i]);
        bitcask_view view;
        bitcask_error error;
        bitcask_status status = access_get(access, key, &view, &error);
        if (status < 0)
            return cli_fail(cli, status, &error);
        int one = print_found(cli, key, &view, status);
        exit_code = one > exit_code ? one : exit_code;
        if (status == BITCASK_OK)
            access_release(access, &view);
    }
    return exit_code;
}

static int run_mget(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_READ, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (access.remote != NULL)
        return access_close(&access, mget_remote(cli, &access, args));
    for (size_t i = 0; i < args->operand_count; i += MGET_AT_ONCE) {
        size_t left = args->operand_count - i;
        int some = mget_some(cli, access.db, args->operands + i,
                             left < MGET_AT_ONCE ? left : MGET_AT_ONCE);
        exit_code = some > exit_code ? some : exit_code;
    }
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_mget = {
    .name = "mget",
    .summary = "print several keys with their values",
    .usage = "KEY...",
    .details =
        "One line a key: KEY TAB VALUE, with \\t \\n \\r \\\\ for the bytes that would break it.\n"
        "Exit code 1 if any key is not there; the others are printed.\n",
    .examples = "bitcask mget user:1 user:2\n"
                "bitcask --json mget user:1 user:2\n",
    .operands_min = 1,
    .operands_max = CLI_ANY,
    .run = run_mget,
};
