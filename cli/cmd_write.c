/* SPDX-License-Identifier: MIT
 * cmd_write.c: put, delete, expire, persist. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access.h"

static void print_version(struct cli *cli, bitcask_slice key, uint64_t version, uint64_t expires_us)
{
    if (!cli->json)
        return;
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_bytes(&json, "key", key);
    cli_json_uint(&json, "version", version);
    cli_json_time(&json, "expires_at", expires_us);
    cli_json_end(&json);
}

/* ---- put ----------------------------------------------------------------------------------- */

enum { PUT_TTL, PUT_FILE, PUT_IF_ABSENT, PUT_IF_VERSION, PUT_KEEP_TTL };

static const struct cli_option put_options[] = {
    [PUT_TTL] = {"ttl", 0, CLI_DURATION, "DURATION", "expire after DURATION: 90s, 5m, 1h, 30d"},
    [PUT_FILE] = {"file", 'f', CLI_TEXT, "FILE", "take the value from FILE"},
    [PUT_IF_ABSENT] = {"if-absent", 0, CLI_FLAG, NULL,
                       "only if the key is not there (else exit 1)"},
    [PUT_IF_VERSION] = {"if-version", 0, CLI_UINT, "VERSION",
                        "only if the key has this version (see get --meta; else exit 1)"},
    [PUT_KEEP_TTL] = {"keep-ttl", 0, CLI_FLAG, NULL, "an overwritten key keeps its time to live"},
    {0},
};

/* Read a whole descriptor, at most what a value may hold. `name` is for messages. */
static int read_all(struct cli *cli, int fd, const char *name, bitcask_buffer *value)
{
    for (;;) {
        if (value->size == value->capacity) {
            size_t capacity = value->capacity == 0 ? 64 << 10 : value->capacity * 2;
            void *grown = realloc(value->data, capacity);
            if (grown == NULL)
                return cli_fail(cli, BITCASK_NO_MEMORY, NULL);
            value->data = grown;
            value->capacity = capacity;
        }
        ssize_t got =
            cli_read(fd, (char *)value->data + value->size, value->capacity - value->size);
        if (cli_interrupted())
            return cli_fail_interrupted(cli);
        if (got < 0)
            return cli_fail_errno(cli, "cannot read %s", name);
        if (got == 0)
            return CLI_DONE;
        value->size += (size_t)got;
        if (value->size > BITCASK_MAX_VALUE_SIZE)
            return cli_fail_text(cli, CLI_STORE, "%s: larger than a value may be (1 GiB)", name);
    }
}

static int read_file(struct cli *cli, const char *name, bitcask_buffer *value)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail_errno(cli, "cannot open %s", name);
    int exit_code = read_all(cli, fd, name, value);
    close(fd);
    return exit_code;
}

/* The value, wherever it is to come from; `owned` keeps what had to be read. */
static int take_value(struct cli *cli, const struct cli_args *args, bitcask_buffer *owned,
                      bitcask_slice *value)
{
    bool from_file = args->options[PUT_FILE].set;
    if (from_file != (args->operand_count == 1))
        return cli_fail_usage(cli, "put takes one value: bitcask put %s", cli_command_put.usage);
    int exit_code = CLI_DONE;
    if (from_file)
        exit_code = read_file(cli, args->options[PUT_FILE].text, owned);
    else if (strcmp(args->operands[1], "-") == 0)
        exit_code = read_all(cli, STDIN_FILENO, "the standard input", owned);
    else
        *value = bitcask_str(args->operands[1]);
    if (from_file || strcmp(args->operands[1], "-") == 0)
        *value = bitcask_bytes(owned->data, owned->size);
    return exit_code;
}

static int put_value(struct cli *cli, const struct cli_args *args, bitcask_slice value)
{
    bitcask_slice key = bitcask_str(args->operands[0]);
    bitcask_write_options write;
    bitcask_write_options_init(&write);
    if (args->options[PUT_TTL].set)
        write.expires_us = cli_now_us() + args->options[PUT_TTL].number;
    write.flags |= args->options[PUT_IF_ABSENT].set ? BITCASK_IF_ABSENT : 0;
    write.flags |= args->options[PUT_KEEP_TTL].set ? BITCASK_KEEP_TTL : 0;
    write.flags |= args->options[PUT_IF_VERSION].set ? BITCASK_IF_VERSION : 0;
    write.if_version = args->options[PUT_IF_VERSION].number;

    struct access access;
    int exit_code = access_open(cli, CLI_CREATE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    uint64_t version;
    bitcask_meta meta = {.expires_us = write.expires_us};
    bitcask_error error;
    bitcask_status status = access_put(&access, key, value, &write, &version, &error);
    if (status == BITCASK_OK && cli->json && args->options[PUT_KEEP_TTL].set)
        status = access_stat(&access, key, &meta, &error);
    if (status == BITCASK_OK)
        print_version(cli, key, version, meta.expires_us);
    else
        exit_code = cli_fail_key(cli, status, &error, key);
    return access_close(&access, exit_code);
}

static int run_put(struct cli *cli, const struct cli_args *args)
{
    if (args->options[PUT_TTL].set && args->options[PUT_KEEP_TTL].set)
        return cli_fail_usage(cli, "--ttl and --keep-ttl exclude each other");
    if (args->options[PUT_IF_ABSENT].set && args->options[PUT_IF_VERSION].set)
        return cli_fail_usage(cli, "--if-absent and --if-version exclude each other");
    bitcask_buffer owned = {0};
    bitcask_slice value = {0};
    int exit_code = take_value(cli, args, &owned, &value);
    if (exit_code == CLI_DONE)
        exit_code = put_value(cli, args, value);
    free(owned.data);
    return exit_code;
}

const struct cli_command cli_command_put = {
    .name = "put",
    .alias = "set",
    .summary = "store a value under a key",
    .usage = "KEY (VALUE | - | --file FILE)",
    .details = "Makes the store if there is none. The value is on disk when the command ends\n"
               "(--sync always). With - the value is what stands on the standard input.\n"
               "Exit code 1 if --if-absent or --if-version is not met.\n",
    .examples = "bitcask put city Utrecht\n"
                "bitcask put session:7 open --ttl 90s\n"
                "printf 'two\\nlines' | bitcask put note -\n"
                "bitcask put hosts --file /etc/hosts\n"
                "bitcask put lock:7 me --if-absent\n",
    .options = put_options,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_put,
};

/* ---- delete -------------------------------------------------------------------------------- */

static int delete_key(struct cli *cli, struct access *access, const bitcask_write_options *write,
                      bitcask_slice key)
{
    bitcask_error error;
    bitcask_status status = access_delete(access, key, write, &error);
    if (status < 0 || (status != BITCASK_OK && !cli->json))
        return cli_fail_key(cli, status, &error, key);
    if (cli->json) {
        struct cli_json json;
        cli_json_begin(&json, stdout);
        cli_json_bytes(&json, "key", key);
        cli_json_bool(&json, "deleted", status == BITCASK_OK);
        cli_json_end(&json);
    }
    return status == BITCASK_OK ? CLI_DONE : CLI_NOT_FOUND;
}

static int run_delete(struct cli *cli, const struct cli_args *args)
{
    struct access access;
    int exit_code = access_open(cli, CLI_CHANGE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_write_options write;
    bitcask_write_options_init(&write);
    /* Many keys share one sync at the end: nothing is acknowledged before the command ends. */
    bool sync_at_end = args->operand_count > 1 && !cli->sync_given;
    if (sync_at_end)
        write.sync = BITCASK_SYNC_NONE;
    for (size_t i = 0; i < args->operand_count && exit_code <= CLI_NOT_FOUND; i++) {
        int one = delete_key(cli, &access, &write, bitcask_str(args->operands[i]));
        exit_code = one > exit_code ? one : exit_code;
    }
    bitcask_error error;
    bitcask_status status = sync_at_end ? access_sync(&access, &error) : BITCASK_OK;
    if (status < 0 && exit_code <= CLI_NOT_FOUND)
        exit_code = cli_fail(cli, status, &error);
    return access_close(&access, exit_code);
}

const struct cli_command cli_command_delete = {
    .name = "delete",
    .summary = "delete keys",
    .usage = "KEY...",
    .details = "Exit code 1 if any of the keys was not there; the others are deleted.\n",
    .examples = "bitcask delete city\n"
                "bitcask delete user:1 user:2\n",
    .operands_min = 1,
    .operands_max = CLI_ANY,
    .run = run_delete,
};

/* ---- expire, persist ----------------------------------------------------------------------- */

static int set_expiry(struct cli *cli, bitcask_slice key, uint64_t expires_us)
{
    struct access access;
    int exit_code = access_open(cli, CLI_CHANGE, &access);
    if (exit_code != CLI_DONE)
        return exit_code;
    bitcask_write_options write;
    bitcask_write_options_init(&write);
    write.expires_us = expires_us;
    uint64_t version;
    bitcask_error error;
    bitcask_status status = access_expire(&access, key, &write, &version, &error);
    if (status == BITCASK_OK)
        print_version(cli, key, version, expires_us);
    else
        exit_code = cli_fail_key(cli, status, &error, key);
    return access_close(&access, exit_code);
}

static int run_expire(struct cli *cli, const struct cli_args *args)
{
    uint64_t ttl_us;
    if (!cli_parse_duration(args->operands[1], &ttl_us))
        return cli_fail_usage(cli, "'%s' is not a duration (90s, 5m, 1h30m)", args->operands[1]);
    return set_expiry(cli, bitcask_str(args->operands[0]), cli_now_us() + ttl_us);
}

const struct cli_command cli_command_expire = {
    .name = "expire",
    .summary = "give a key a time to live",
    .usage = "KEY DURATION",
    .details =
        "After DURATION (90s, 5m, 1h30m, 30d; a bare number is in seconds) the key is gone.\n"
        "The record is written anew, so this costs as much as a put of the value.\n",
    .examples = "bitcask expire city 1h\n"
                "bitcask ttl city\n",
    .operands_min = 2,
    .operands_max = 2,
    .run = run_expire,
};

static int run_persist(struct cli *cli, const struct cli_args *args)
{
    return set_expiry(cli, bitcask_str(args->operands[0]), 0);
}

const struct cli_command cli_command_persist = {
    .name = "persist",
    .summary = "take a key's time to live away",
    .usage = "KEY",
    .examples = "bitcask put city Utrecht --ttl 1h\n"
                "bitcask persist city\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_persist,
};
