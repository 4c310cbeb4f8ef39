/* SPDX-License-Identifier: MIT
 * journal.c: lines of the server's log.
 * Threads: a line is built on the caller's stack; the mutex is held to write it (one write(2)) and
 * to keep it. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KEPT_LINES = 256, LINE_SIZE = 2048, MAX_FIELDS = 24 };

struct journal {
    enum journal_format format;
    _Atomic int level;
    pthread_mutex_t mutex; /* guards what follows */
    int fd;
    char *path;             /* NULL: standard output */
    uint64_t lost;          /* lines that would have had to wait, since the last that did not */
    uint64_t count;         /* lines ever; the newest has this number */
    char *kept[KEPT_LINES]; /* as JSON; line n at n modulo their number */
};

/* ---- Building a line ------------------------------------------------------------------------ */

struct line { /* what does not fit is cut off */
    char text[LINE_SIZE];
    size_t size;
};

/* Room for the end of a line that was cut: quote, brace, newline. */
enum { LINE_END = 8 };

static bool line_has_room(const struct line *line, size_t size)
{
    return line->size + size + LINE_END <= LINE_SIZE;
}

static void add_text(struct line *line, const char *text)
{
    size_t size = strlen(text);
    if (!line_has_room(line, size))
        return;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void add_end(struct line *line, const char *text) /* always fits */
{
    size_t size = strlen(text);
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void add_number(struct line *line, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    add_text(line, text);
}

/* The length of the UTF-8 sequence at the start; 0: it is none. No surrogates, no overlong forms.
 */
static size_t utf8_sequence(const unsigned char *p, size_t size)
{
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return length;
}

/* Bytes inside quotes, as JSON and logfmt want them; what is not UTF-8 becomes U+FFFD. */
static void add_escaped(struct line *line, bitcask_slice bytes)
{
    const unsigned char *p = bytes.data, *end = p + bytes.size;
    while (p < end) {
        char text[16];
        size_t length = utf8_sequence(p, (size_t)(end - p));
        if (length == 0)
            snprintf(text, sizeof text, "\\ufffd");
        else if (length > 1)
            snprintf(text, sizeof text, "%.*s", (int)length, (const char *)p);
        else if (*p == '"' || *p == '\\')
            snprintf(text, sizeof text, "\\%c", *p);
        else if (*p < ' ' || *p == 0x7F)
            snprintf(text, sizeof text, "\\u%04x", *p);
        else
            snprintf(text, sizeof text, "%c", *p);
        if (!line_has_room(line, strlen(text)))
            return;
        add_text(line, text);
        p += length == 0 ? 1 : length;
    }
}

static void add_quoted(struct line *line, bitcask_slice bytes)
{
    if (!line_has_room(line, 2))
        return;
    add_text(line, "\"");
    add_escaped(line, bytes);
    add_end(line,
            "\""); /* within the room kept for the end, once: the next one asks for it again */
}

/* Bare where that is unambiguous. */
static void add_value(struct line *line, const bitcask_log_field *field)
{
    if (field->kind == BITCASK_FIELD_UINT) {
        add_number(line, field->number);
        return;
    }
    const unsigned char *p = field->bytes.data;
    bool bare = field->bytes.size > 0;
    for (size_t i = 0; i < field->bytes.size && bare; i++)
        bare = p[i] > ' ' && p[i] < 0x7F && p[i] != '"' && p[i] != '=' && p[i] != '\\';
    if (bare && line_has_room(line, field->bytes.size)) {
        memcpy(line->text + line->size, p, field->bytes.size);
        line->size += field->bytes.size;
    } else {
        add_quoted(line, field->bytes);
    }
}

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

static void time_text(char text[40], uint64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t size = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + size, 40 - size, ".%06uZ", (unsigned)(us % 1000000));
}

static void make_json(struct line *line, const bitcask_log_event *event, const char *time)
{
    add_text(line, "{\"time\":\"");
    add_text(line, time);
    add_text(line, "\",\"level\":\"");
    add_text(line, level_name(event->level));
    add_text(line, "\",\"event\":");
    add_quoted(line, bitcask_str(event->name));
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (!line_has_room(line, strlen(field->name) + 32))
            break; /* a number or an empty text fits: the line stays valid JSON */
        add_text(line, ",\"");
        add_text(line, field->name);
        add_text(line, "\":");
        if (field->kind == BITCASK_FIELD_UINT)
            add_number(line, field->number);
        else
            add_quoted(line, field->bytes);
    }
    add_end(line, "}");
}

static void make_plain(struct line *line, const bitcask_log_event *event, const char *time,
                       enum journal_format format)
{
    char start[128];
    if (format == JOURNAL_LOGFMT)
        snprintf(start, sizeof start, "time=%s level=%s event=%.60s", time,
                 level_name(event->level), event->name);
    else
        snprintf(start, sizeof start, "%s %-5s %.60s", time, level_name(event->level), event->name);
    add_text(line, start);
    for (size_t i = 0; i < event->field_count; i++) {
        const bitcask_log_field *field = &event->fields[i];
        if (!line_has_room(line, strlen(field->name) + 32))
            break;
        add_text(line, " ");
        add_text(line, field->name);
        add_text(line, "=");
        add_value(line, field);
    }
}

/* ---- The journal ---------------------------------------------------------------------------- */

static bool fail(bitcask_error *error, const char *path)
{
    if (error != NULL) {
        memset(error, 0, sizeof *error);
        error->status = BITCASK_IO;
        error->sys_errno = errno;
        snprintf(error->message, sizeof error->message, "logfile %.150s: %s", path,
                 strerror(errno));
    }
    return false;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
}

struct journal *journal_open(const char *path, enum journal_format format, bitcask_log_level level,
                             bitcask_error *error)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL) {
        fail(error, "");
        return NULL;
    }
    pthread_mutex_init(&journal->mutex, NULL);
    journal->format = format;
    journal->fd = STDOUT_FILENO;
    atomic_store(&journal->level, level == BITCASK_LOG_DEFAULT ? BITCASK_LOG_INFO : (int)level);
    if (path == NULL || path[0] == '\0')
        return journal;
    journal->path = strdup(path);
    journal->fd = journal->path == NULL ? -1 : open_file(path);
    if (journal->fd < 0) {
        fail(error, path);
        journal_close(journal);
        return NULL;
    }
    return journal;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->path != NULL && journal->fd >= 0)
        close(journal->fd);
    for (size_t i = 0; i < KEPT_LINES; i++)
        free(journal->kept[i]);
    free(journal->path);
    pthread_mutex_destroy(&journal->mutex);
    free(journal);
}

bool journal_reopen(struct journal *journal, bitcask_error *error)
{
    if (journal->path == NULL)
        return true;
    int fd = open_file(journal->path);
    if (fd < 0) /* the old one is kept */
        return fail(error, journal->path);
    pthread_mutex_lock(&journal->mutex);
    int old = journal->fd;
    journal->fd = fd;
    pthread_mutex_unlock(&journal->mutex);
    close(old);
    return true;
}

void journal_set_level(struct journal *journal, bitcask_log_level level)
{
    atomic_store(&journal->level, level == BITCASK_LOG_DEFAULT ? BITCASK_LOG_INFO : (int)level);
}

/* Would a line keep the server waiting? That is so of a pipe or terminal that nobody reads: it
 * takes at least PIPE_BUF bytes, more than a line has, where poll says so. */
static bool would_wait(int fd)
{
    _Static_assert(LINE_SIZE <= PIPE_BUF, "a line goes into a pipe as a whole or not at all");
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    return poll(&ready, 1, 0) == 0;
}

static void write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) /* a line that cannot be written is no reason to stop */
            return;
        text += written;
        size -= (size_t)written;
    }
}

static void make_line(struct line *line, const bitcask_log_event *event, enum journal_format format)
{
    char time[40];
    time_text(time, event->time_us);
    if (format == JOURNAL_JSON)
        make_json(line, event, time);
    else
        make_plain(line, event, time, format);
}

/* Before the first line that somebody reads again. Holding the mutex. */
static void tell_of_lost(struct journal *journal, uint64_t time_us)
{
    const bitcask_log_field lines = {
        .name = "lines", .kind = BITCASK_FIELD_UINT, .number = journal->lost};
    const bitcask_log_event event = {.level = BITCASK_LOG_WARN,
                                     .time_us = time_us,
                                     .name = "log_lines_lost",
                                     .fields = &lines,
                                     .field_count = 1};
    struct line line = {.size = 0};
    make_line(&line, &event, journal->format);
    add_end(&line, "\n");
    write_all(journal->fd, line.text, line.size);
    journal->lost = 0;
}

static void emit(struct journal *journal, const bitcask_log_event *event)
{
    struct line json = {.size = 0}, plain = {.size = 0}, *line = &json;
    make_line(&json, event, JOURNAL_JSON);
    if (journal->format != JOURNAL_JSON) {
        make_line(&plain, event, journal->format);
        line = &plain;
    }
    char *copy = strndup(json.text, json.size);
    add_end(line, "\n");
    pthread_mutex_lock(&journal->mutex);
    if (journal->lost > 0 && !would_wait(journal->fd))
        tell_of_lost(journal, event->time_us);
    if (would_wait(journal->fd))
        journal->lost++;
    else
        write_all(journal->fd, line->text, line->size);
    char **kept = &journal->kept[++journal->count % KEPT_LINES];
    free(*kept);
    *kept = copy;
    pthread_mutex_unlock(&journal->mutex);
}

void journal_store_event(void *context, const bitcask_log_event *event)
{
    struct journal *journal = context;
    if ((int)event->level >= atomic_load_explicit(&journal->level, memory_order_relaxed))
        emit(journal, event);
}

void journal_note(struct journal *journal, bitcask_log_level level, const char *event, ...)
{
    if (journal == NULL || (int)level < atomic_load(&journal->level))
        return;
    bitcask_log_field fields[MAX_FIELDS];
    size_t count = 0;
    va_list list;
    va_start(list, event);
    for (const char *name; count < MAX_FIELDS && (name = va_arg(list, const char *)) != NULL;) {
        const char *text = va_arg(list, const char *);
        fields[count++] = (bitcask_log_field){.name = name,
                                              .kind = BITCASK_FIELD_TEXT,
                                              .bytes = bitcask_str(text != NULL ? text : "")};
    }
    va_end(list);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const bitcask_log_event whole = {
        .level = level,
        .time_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
        .name = event,
        .fields = fields,
        .field_count = count,
    };
    emit(journal, &whole);
}

uint64_t journal_recent(struct journal *journal, uint64_t after,
                        void (*each)(void *context, uint64_t number, const char *json),
                        void *context)
{
    pthread_mutex_lock(&journal->mutex);
    uint64_t last = journal->count, first = last > KEPT_LINES ? last - KEPT_LINES + 1 : 1;
    for (uint64_t n = after + 1 > first ? after + 1 : first; n <= last; n++)
        if (journal->kept[n % KEPT_LINES] != NULL)
            each(context, n, journal->kept[n % KEPT_LINES]);
    pthread_mutex_unlock(&journal->mutex);
    return last;
}
