/* SPDX-License-Identifier: MIT
 * top.c: the figures of a server as lines of text. */
#include "top.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void top_sample_release(struct top_sample *sample)
{
    json_decref(sample->status);
    json_decref(sample->segments);
    json_decref(sample->slow);
    json_decref(sample->log);
    *sample = (struct top_sample){0};
}

/* ---- Lines ---------------------------------------------------------------------------------- */

enum { LABEL_WIDTH = 11, MAX_LINE = 1024 };

struct page {
    FILE *out;
    size_t width, height, lines;
};

/* One line, cut at the page's width; nothing when the page is full. ASCII as it is, all else
 * escaped, so that a byte is a column. */
static void put_line(struct page *page, const char *text)
{
    if (page->lines == page->height)
        return;
    char *clean = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&clean, &size);
    if (memory == NULL)
        return;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p >= ' ' && *p < 0x7F)
            fputc(*p, memory);
        else
            fprintf(memory, "\\x%02x", *p);
    }
    if (fclose(memory) == 0)
        fprintf(page->out, "%.*s\n", (int)(size < page->width ? size : page->width), clean);
    free(clean);
    page->lines++;
}

__attribute__((format(printf, 2, 3))) static void line(struct page *page, const char *format, ...)
{
    char text[MAX_LINE];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    put_line(page, text);
}

/* ---- Figures -------------------------------------------------------------------------------- */

/* "store.keys" of an object; 0 where there is no such number. */
static double figure(const json_t *object, const char *path)
{
    char name[64];
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, name);
    }
    double number = json_number_value(json_object_get(object, path));
    return number >= 0 ? number : 0;
}

static uint64_t count_of(const json_t *object, const char *path)
{
    double number = figure(object, path);
    return number < 1e18 ? (uint64_t)number : 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* How much a counter has grown in a second. */
static double rate(const struct top_sample *now, const struct top_sample *before, const char *path)
{
    if (before == NULL || now->time_us <= before->time_us)
        return 0;
    double grown = figure(now->status, path) - figure(before->status, path);
    return grown > 0 ? grown * 1e6 / (double)(now->time_us - before->time_us) : 0;
}

static const char *rate_text(char to[CLI_UNIT_SIZE], const struct top_sample *now,
                             const struct top_sample *before, const char *path)
{
    return cli_count_text(to, (uint64_t)(rate(now, before, path) + 0.5));
}

static const char *size_text(char to[CLI_UNIT_SIZE], const struct top_sample *now, const char *path)
{
    return cli_size_text(to, count_of(now->status, path));
}

/* "840ns", "12.3us", "4.5ms", "1.2s". */
static const char *ns_text(char to[CLI_UNIT_SIZE], const struct top_sample *now, const char *path)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double number = figure(now->status, path);
    size_t unit = 0;
    for (; number >= 1000 && unit < 3; unit++)
        number /= 1000;
    snprintf(to, CLI_UNIT_SIZE, unit == 0 || number >= 100 ? "%.0f%s" : "%.1f%s", number,
             units[unit]);
    return to;
}

/* ---- The parts of the page ------------------------------------------------------------------ */

static void print_server(struct page *page, const struct top_sample *now)
{
    const json_t *status = now->status;
    uint64_t started_us = count_of(status, "started_us"), now_us = count_of(status, "now_us");
    char up[CLI_UNIT_SIZE];
    line(page, "bitcask %s   %s   pid %" PRIu64 "   port %" PRIu64 "   %" PRIu64 " threads   up %s",
         text_of(status, "version"), text_of(status, "directory"), count_of(status, "pid"),
         count_of(status, "port"), count_of(status, "threads"),
         cli_duration_text(up, now_us > started_us ? now_us - started_us : 0));
}

static void print_work(struct page *page, const struct top_sample *now,
                       const struct top_sample *before)
{
    char a[CLI_UNIT_SIZE], b[CLI_UNIT_SIZE], c[CLI_UNIT_SIZE], d[CLI_UNIT_SIZE], e[CLI_UNIT_SIZE];
    double hits = rate(now, before, "keyspace_hits"), misses = rate(now, before, "keyspace_misses");
    line(page, "%-*s%s/s   hits %.0f%%   errors %s/s   clients %s of %s", LABEL_WIDTH, "commands",
         rate_text(a, now, before, "commands"),
         hits + misses > 0 ? 100 * hits / (hits + misses) : 100.0,
         rate_text(b, now, before, "errors"),
         cli_count_text(c, count_of(now->status, "connections")),
         cli_count_text(d, count_of(now->status, "max_connections")));
    line(page, "%-*sp50 %s   p90 %s   p99 %s   p99.9 %s   max %s   (since the start)", LABEL_WIDTH,
         "latency", ns_text(a, now, "latency_ns.p50"), ns_text(b, now, "latency_ns.p90"),
         ns_text(c, now, "latency_ns.p99"), ns_text(d, now, "latency_ns.p999"),
         ns_text(e, now, "latency_ns.max"));
    line(page, "%-*sputs %s/s   deletes %s/s   gets %s/s   %s/s written   syncs %s/s", LABEL_WIDTH,
         "store", rate_text(a, now, before, "store.puts"),
         rate_text(b, now, before, "store.deletes"), rate_text(c, now, before, "store.gets"),
         cli_size_text(d, (uint64_t)rate(now, before, "store.bytes_written")),
         rate_text(e, now, before, "store.syncs"));
}

static void print_room(struct page *page, const struct top_sample *now)
{
    char a[CLI_UNIT_SIZE], b[CLI_UNIT_SIZE], c[CLI_UNIT_SIZE], d[CLI_UNIT_SIZE];
    uint64_t keys = count_of(now->status, "store.keys");
    line(page, "%-*s%s   index %s (%.1f bytes a key)   resident %s", LABEL_WIDTH, "keys",
         cli_count_text(a, keys), size_text(b, now, "store.index_bytes"),
         keys == 0 ? 0 : figure(now->status, "store.index_bytes") / (double)keys,
         size_text(c, now, "resident_bytes"));
    line(page, "%-*s%s   live %s   dead %s   free %s", LABEL_WIDTH, "disk",
         size_text(a, now, "store.disk_bytes"), size_text(b, now, "store.live_bytes"),
         size_text(c, now, "store.dead_bytes"), size_text(d, now, "disk_free_bytes"));
    uint64_t done = count_of(now->status, "store.merge_done_bytes");
    uint64_t total = count_of(now->status, "store.merge_total_bytes");
    const char *state = text_of(now->status, "merge_state");
    if (strcmp(state, "running") == 0 && total > 0)
        line(page, "%-*s%" PRIu64 "%% of %s   %s merges   %s given back", LABEL_WIDTH, "merge",
             done * 100 / total, cli_size_text(a, total),
             cli_count_text(b, count_of(now->status, "store.merges")),
             size_text(c, now, "store.merge_bytes_reclaimed"));
    else
        line(page, "%-*s%s   %s merges   %s given back", LABEL_WIDTH, "merge", state,
             cli_count_text(b, count_of(now->status, "store.merges")),
             size_text(c, now, "store.merge_bytes_reclaimed"));
}

static void print_jobs(struct page *page, const struct top_sample *now)
{
    const char *name;
    json_t *job;
    json_object_foreach(json_object_get(now->status, "jobs"), name, job)
    {
        uint64_t done = count_of(job, "done"), total = count_of(job, "total");
        if (json_is_true(json_object_get(job, "running")))
            line(page, "%-*s%s: %" PRIu64 "%%", LABEL_WIDTH, "job", name,
                 total > 0 ? done * 100 / total : 0);
        else if (json_is_true(json_object_get(job, "failed")))
            line(page, "%-*s%s: %s", LABEL_WIDTH, "job", name, text_of(job, "result"));
    }
}

/* '#' live, '-' dead; as long as the segment is large. */
static void print_segment(struct page *page, const json_t *segment, double largest)
{
    enum { BEFORE_BAR = 38 };
    char bar[MAX_LINE / 2], size[CLI_UNIT_SIZE];
    double live = figure(segment, "live"), dead = figure(segment, "dead"), all = live + dead;
    size_t columns = page->width > BEFORE_BAR + 10 ? page->width - BEFORE_BAR : 10;
    if (columns > sizeof bar - 1)
        columns = sizeof bar - 1;
    size_t marks = largest > 0 ? (size_t)(all / largest * (double)columns + 0.5) : 0;
    marks = marks < columns ? marks : columns;
    size_t of_live = all > 0 ? (size_t)(live / all * (double)marks + 0.5) : 0;
    of_live = of_live < marks ? of_live : marks;
    memset(bar, '#', of_live);
    memset(bar + of_live, '-', marks - of_live);
    bar[marks] = '\0';
    line(page, "%8" PRIu64 " %-8s%10s %3.0f%% live %s", count_of(segment, "id"),
         json_is_true(json_object_get(segment, "merging"))   ? "merging"
         : json_is_true(json_object_get(segment, "damaged")) ? "damaged"
                                                             : text_of(segment, "state"),
         cli_size_text(size, (uint64_t)all), all > 0 ? 100 * live / all : 100.0, bar);
}

/* The newest `room` of them. */
static void print_segments(struct page *page, const struct top_sample *now, size_t room)
{
    const json_t *segments = json_object_get(now->segments, "segments");
    size_t count = json_array_size(segments);
    if (count == 0 || room < 2)
        return;
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *segment = json_array_get(segments, i);
        double all = figure(segment, "live") + figure(segment, "dead");
        largest = all > largest ? all : largest;
    }
    size_t shown = count < room - 1 ? count : room - 1;
    line(page, "SEGMENTS (%zu%s; # live, - dead)", count, shown < count ? ", the newest" : "");
    for (size_t i = 0; i < shown; i++)
        print_segment(page, json_array_get(segments, count - 1 - i), largest);
}

static void print_slow(struct page *page, const struct top_sample *now, size_t room)
{
    const json_t *requests = json_object_get(now->slow, "requests");
    size_t count = json_array_size(requests);
    if (count == 0 || room < 2)
        return;
    line(page, "SLOW REQUESTS");
    for (size_t i = 0; i < count && i < room - 1; i++) {
        const json_t *request = json_array_get(requests, i);
        const json_t *words = json_object_get(request, "words");
        char text[200] = "", took[CLI_UNIT_SIZE], when[CLI_UNIT_SIZE];
        for (size_t w = 0; w < json_array_size(words); w++) {
            const char *word = json_string_value(json_array_get(words, w));
            size_t size = strlen(text);
            snprintf(text + size, sizeof text - size, " %s", word != NULL ? word : "");
        }
        cli_time_text(when, count_of(request, "time_s") * 1000000);
        line(page, "  %.8s %8s %s%s", when + 11, cli_duration_text(took, count_of(request, "us")),
             text_of(request, "address"), text);
    }
}

/* The newest lines, the newest last: each as "event name=value ...". */
static void print_log(struct page *page, const struct top_sample *now, size_t room)
{
    const json_t *lines = json_object_get(now->log, "lines");
    size_t count = json_array_size(lines);
    if (count == 0 || room < 2)
        return;
    line(page, "LOG");
    size_t shown = count < room - 1 ? count : room - 1;
    for (size_t i = count - shown; i < count; i++) {
        const json_t *event = json_object_get(json_array_get(lines, i), "event");
        const char *time = text_of(event, "time"), *name;
        char text[MAX_LINE] = "";
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)event, name, value)
        {
            size_t size = strlen(text);
            if (strcmp(name, "time") == 0 || strcmp(name, "level") == 0 ||
                strcmp(name, "event") == 0)
                continue;
            if (json_is_integer(value))
                snprintf(text + size, sizeof text - size, " %s=%" JSON_INTEGER_FORMAT, name,
                         json_integer_value(value));
            else if (json_is_string(value))
                snprintf(text + size, sizeof text - size, " %s=%s", name, json_string_value(value));
        }
        line(page, "  %.8s %-5s %s%s", strlen(time) > 19 ? time + 11 : "", text_of(event, "level"),
             text_of(event, "event"), text);
    }
}

void top_print(FILE *out, const struct top_sample *now, const struct top_sample *before,
               size_t width, size_t height)
{
    struct page page = {.out = out, .width = width, .height = height};
    print_server(&page, now);
    print_work(&page, now, before);
    print_room(&page, now);
    print_jobs(&page, now);
    /* Half of what is left for the segments; slow requests and log share the rest. */
    size_t left = page.height - page.lines;
    put_line(&page, "");
    print_segments(&page, now, left / 2);
    left = page.height - page.lines;
    if (left > 2)
        print_slow(&page, now, left / 2);
    left = page.height - page.lines;
    print_log(&page, now, left);
}
