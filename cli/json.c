/* SPDX-License-Identifier: MIT
 * json.c: printing JSON, UTF-8 and base64. */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

/* The ranges are those of the Unicode standard, table 3-7: no overlong forms, no surrogates. */
size_t cli_utf8_sequence(const uint8_t *p, size_t size)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    uint8_t low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool cli_is_utf8(bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size;) {
        size_t length = cli_utf8_sequence(p + i, bytes.size - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

static const char *short_escape(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

void cli_print_json_string(FILE *out, bitcask_slice text)
{
    const uint8_t *p = text.data;
    putc('"', out);
    size_t plain = 0; /* start of the bytes not yet printed */
    for (size_t i = 0; i < text.size;) {
        size_t length = cli_utf8_sequence(p + i, text.size - i);
        if (length > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7F) {
            i += length;
            continue;
        }
        if (i > plain)
            fwrite(p + plain, 1, i - plain, out);
        if (length == 0)
            fputs("\\ufffd", out);
        else if (short_escape(p[i]) != NULL)
            fputs(short_escape(p[i]), out);
        else
            fprintf(out, "\\u%04x", p[i]);
        plain = ++i;
    }
    if (text.size > plain)
        fwrite(p + plain, 1, text.size - plain, out);
    putc('"', out);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cli_print_base64(FILE *out, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t left = bytes.size; left > 0;) {
        size_t take = left < 3 ? left : 3;
        uint32_t group = (uint32_t)p[0] << 16 | (take > 1 ? (uint32_t)p[1] << 8 : 0) |
                         (take > 2 ? (uint32_t)p[2] : 0);
        char text[4] = {base64_digits[group >> 18], base64_digits[group >> 12 & 63],
                        take > 1 ? base64_digits[group >> 6 & 63] : '=',
                        take > 2 ? base64_digits[group & 63] : '='};
        fwrite(text, 1, sizeof(text), out);
        p += take;
        left -= take;
    }
}

static int base64_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);
    return at == NULL ? -1 : (int)(at - base64_digits);
}

bool cli_decode_base64(bitcask_slice text, void *to, size_t *size)
{
    const char *p = text.data;
    uint8_t *out = to;
    if (text.size % 4 != 0)
        return false;
    *size = 0;
    for (size_t i = 0; i < text.size; i += 4) {
        bool last = i + 4 == text.size;
        int pad = last && p[i + 3] == '=' ? (p[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t group = 0;
        for (int k = 0; k < 4; k++) {
            int value = k >= 4 - pad ? 0 : base64_value(p[i + (size_t)k]);
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        /* Bits that the padding cuts off must be zero: one text for the same bytes. */
        if (pad > 0 && (group & ((1u << (8 * pad)) - 1)) != 0)
            return false;
        for (int k = 0; k < 3 - pad; k++)
            out[(*size)++] = (uint8_t)(group >> (16 - 8 * k));
    }
    return true;
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
    if (cli_is_utf8(bytes)) {
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
