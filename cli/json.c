/* SPDX-License-Identifier: MIT
 * json.c: printing JSON and base64. */
#include <inttypes.h>

#include "cli.h"
#include "server/encoding.h"

void cli_print_json_string(FILE *out, bitcask_slice text)
{
    const uint8_t *p = text.data;
    putc('"', out);
    size_t plain = 0; /* start of the bytes not yet printed */
    for (size_t i = 0; i < text.size;) {
        char room[JSON_ESCAPE_SIZE];
        size_t length = utf8_sequence(p + i, text.size - i);
        const char *escape = length == 0 ? "\\ufffd" : length == 1 ? json_escape(p[i], room) : NULL;
        if (escape == NULL) {
            i += length;
            continue;
        }
        if (i > plain)
            fwrite(p + plain, 1, i - plain, out);
        fputs(escape, out);
        plain = ++i;
    }
    if (text.size > plain)
        fwrite(p + plain, 1, text.size - plain, out);
    putc('"', out);
}

void cli_print_base64(FILE *out, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t take, left = bytes.size; left > 0; p += take, left -= take) {
        char text[4096];
        take = left < sizeof text / 4 * 3 ? left : sizeof text / 4 * 3;
        base64_encode(text, bitcask_bytes(p, take));
        fwrite(text, 1, base64_size(take), out);
    }
}

void cli_json_begin(struct cli_json *json, FILE *out)
{
    json->out = out;
    json->comma = false;
    putc('{', out);
}

void cli_json_end(struct cli_json *json)
{
    fputs("}\n", json->out);
}

static void member(struct cli_json *json, const char *name, const char *suffix)
{
    fprintf(json->out, "%s\"%s%s\":", json->comma ? "," : "", name, suffix);
    json->comma = true;
}

void cli_json_uint(struct cli_json *json, const char *name, uint64_t number)
{
    member(json, name, "");
    fprintf(json->out, "%" PRIu64, number);
}

void cli_json_number(struct cli_json *json, const char *name, double number)
{
    member(json, name, "");
    fprintf(json->out, "%.6g", number);
}

void cli_json_bool(struct cli_json *json, const char *name, bool value)
{
    member(json, name, "");
    fputs(value ? "true" : "false", json->out);
}

void cli_json_null(struct cli_json *json, const char *name)
{
    member(json, name, "");
    fputs("null", json->out);
}

void cli_json_text(struct cli_json *json, const char *name, const char *text)
{
    member(json, name, "");
    cli_print_json_string(json->out, bitcask_str(text));
}

void cli_json_bytes(struct cli_json *json, const char *name, bitcask_slice bytes)
{
    if (utf8_is_valid(bytes)) {
        member(json, name, "");
        cli_print_json_string(json->out, bytes);
        return;
    }
    member(json, name, "_b64");
    putc('"', json->out);
    cli_print_base64(json->out, bytes);
    putc('"', json->out);
}

void cli_json_time(struct cli_json *json, const char *name, uint64_t us)
{
    char text[CLI_UNIT_SIZE];
    if (us == 0)
        cli_json_null(json, name);
    else
        cli_json_text(json, name, cli_time_text(text, us));
}
