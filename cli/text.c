/* SPDX-License-Identifier: MIT
 * text.c: bytes as text for people and for tab-separated lines. */
#include "cli.h"
#include "server/encoding.h"

/* Print up to the first special byte, and return how much that is. */
static size_t print_until(FILE *out, const uint8_t *p, size_t size, bool (*special)(uint8_t))
{
    size_t plain = 0;
    while (plain < size && !special(p[plain]))
        plain++;
    if (plain > 0)
        fwrite(p, 1, plain, out);
    return plain;
}

static const char *letter_escape(uint8_t c)
{
    switch (c) {
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\t':
        return "\\t";
    case '\r':
        return "\\r";
    default:
        return NULL;
    }
}

static bool special_in_tsv(uint8_t c)
{
    return letter_escape(c) != NULL;
}

void cli_print_tsv(FILE *out, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        i += print_until(out, p + i, bytes.size - i, special_in_tsv);
        if (i < bytes.size)
            fputs(letter_escape(p[i]), out);
    }
}

static bool special_on_terminal(uint8_t c)
{
    return c < 0x20 || c == 0x7F || c == '\\';
}

static bool special_in_binary(uint8_t c)
{
    return special_on_terminal(c) || c >= 0x80;
}

/* U+0080 to U+009F are control characters too, though valid UTF-8: C2 80 to C2 9F. */
static bool has_c1_controls(bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i + 1 < bytes.size; i++)
        if (p[i] == 0xC2 && p[i + 1] < 0xA0)
            return true;
    return false;
}

void cli_print_escaped(FILE *out, bitcask_slice bytes)
{
    const uint8_t *p = bytes.data;
    bool text = utf8_is_valid(bytes) && !has_c1_controls(bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        i +=
            print_until(out, p + i, bytes.size - i, text ? special_on_terminal : special_in_binary);
        if (i >= bytes.size)
            break;
        if (letter_escape(p[i]) != NULL)
            fputs(letter_escape(p[i]), out);
        else
            fprintf(out, "\\x%02x", p[i]);
    }
}

void cli_print_bytes(struct cli *cli, bitcask_slice bytes)
{
    if (cli->stdout_tty)
        cli_print_escaped(stdout, bytes);
    else if (bytes.size > 0)
        fwrite(bytes.data, 1, bytes.size, stdout);
}
