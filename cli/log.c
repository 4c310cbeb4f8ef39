/* SPDX-License-Identifier: MIT
 * log.c: log events of the library as lines on stderr, in one of three formats.
 * Threads: a line is built in memory of the call's own and written with one write(2). */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char *level_name(bitcask_log_level level)
{
    switch (level) {
    case BITCASK_LOG_DEBUG:
        return "debug";
    case BITCASK_LOG_WARN:
        return "warn";
    case BITCASK_LOG_ERROR:
        return "error";
    default:
        return "info";
    }
}

/* Bare where that is unambiguous, else quoted as in JSON. */
static void print_value(FILE *out, const bitcask_log_field *field)
{
    if (field->kind == BITCASK_FIELD_UINT) {
        fprintf(out, "%" PRIu64, field->number);
        return;
    }
    const uint8_t *p = field->bytes.data;
    bool bare = field->bytes.size > 0;
    for (size_t i = 0; i < field->bytes.size && bare; i++)
        bare = p[i] > ' ' && p[i] < 0x7F && p[i] != '"' && p[i] != '=' && p[i] != '\\';
    if (bare) {
        fwrite(p, 1, field->bytes.size, out);
    } else {
        putc('"', out);
        cli_print_escaped(out, field->bytes);
        putc('"', out);
    }
}

static void print_fields(FILE *out, const bitcask_log_event *event)
{
    for (size_t i = 0; i < event->field_count; i++) {
        fprintf(out, " %s=", event->fields[i].name);
        print_value(out, &event->fields[i]);
    }
    putc('\n', out);
}

static void print_json(FILE *out, const bitcask_log_event *event)
{
    struct cli_json json;
    cli_json_begin(&json, out);
    cli_json_time(&json, "time", event->time_us);
    cli_json_text(&json, "level", level_name(event->level));
    cli_json_text(&json, "event", event->name);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (field->kind == BITCASK_FIELD_UINT)
            cli_json_uint(&json, field->name, field->number);
        else
            cli_json_bytes(&json, field->name, field->bytes);
    }
    cli_json_end(&json);
}

static void write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, text, size);
        if (written <= 0) /* a log line that cannot be printed is no reason to stop */
            return;
        text += written;
        size -= (size_t)written;
    }
}

void cli_log(void *context, const bitcask_log_event *event)
{
    struct cli *cli = context;
    char *line = NULL, time[CLI_UNIT_SIZE];
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (out == NULL)
        return;
    if (atomic_load(&cli->progress_line))
        fputs("\r\033[K", out);
    cli_time_text(time, event->time_us);
    switch (cli->log_format) {
    case CLI_LOG_TEXT:
        fprintf(out, "%s %-5s %s", time, level_name(event->level), event->name);
        print_fields(out, event);
        break;
    case CLI_LOG_LOGFMT:
        fprintf(out, "time=%s level=%s event=%s", time, level_name(event->level), event->name);
        print_fields(out, event);
        break;
    case CLI_LOG_JSON:
        print_json(out, event);
        break;
    }
    if (fclose(out) == 0)
        write_all(line, size);
    free(line);
}
