/* SPDX-License-Identifier: MIT
 * progress.c: a progress bar on a terminal, plain lines elsewhere. Always on stderr. */
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

enum {
    REDRAW_US = 100 * 1000,
    PLAIN_LINE_US = 5 * 1000 * 1000,
    BAR_WIDTH_MAX = 30,
    LINE_SIZE = 256,
};

void cli_progress_start(struct cli_progress *progress, struct cli *cli, const char *what,
                        const char *unit, uint64_t total)
{
    uint64_t now = cli_monotonic_us();
    *progress = (struct cli_progress){
        .cli = cli, .what = what, .unit = unit, .total = total, .started_us = now, .shown_us = now};
}

static const char *amount_text(const struct cli_progress *progress, char to[CLI_UNIT_SIZE],
                               uint64_t amount)
{
    return strcmp(progress->unit, "B") == 0 ? cli_size_text(to, amount)
                                            : cli_count_text(to, amount);
}

/* "1.5 MiB of 3.0 MiB, 12.0 MiB/s, 2.5s left" */
static int print_figures(const struct cli_progress *progress, char *to, size_t size)
{
    char done[CLI_UNIT_SIZE], total[CLI_UNIT_SIZE], rate[CLI_UNIT_SIZE], left[CLI_UNIT_SIZE];
    bool bytes = strcmp(progress->unit, "B") == 0;
    double seconds = (double)(progress->shown_us - progress->started_us) / 1e6;
    double per_second = seconds > 0 ? (double)progress->done / seconds : 0;
    int used = snprintf(to, size, "%s", amount_text(progress, done, progress->done));
    if (progress->total > 0)
        used += snprintf(to + used, size - (size_t)used, " of %s",
                         amount_text(progress, total, progress->total));
    used +=
        snprintf(to + used, size - (size_t)used, "%s%s, %s/s", bytes ? "" : " ",
                 bytes ? "" : progress->unit, amount_text(progress, rate, (uint64_t)per_second));
    if (per_second > 0 && progress->total > progress->done) {
        double left_us = (double)(progress->total - progress->done) / per_second * 1e6;
        if (left_us < 1e15)
            used += snprintf(to + used, size - (size_t)used, ", %s left",
                             cli_duration_text(left, (uint64_t)left_us));
    }
    return used;
}

static void draw_bar(struct cli_progress *progress)
{
    struct winsize window;
    int columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
    char figures[LINE_SIZE], bar[BAR_WIDTH_MAX + 16] = "", line[2 * LINE_SIZE];
    int used = print_figures(progress, figures, sizeof(figures));
    int room = columns - 1 - used - (int)strlen(progress->what) - 12;
    if (progress->total > 0 && room >= 8) {
        int width = room < BAR_WIDTH_MAX ? room : BAR_WIDTH_MAX;
        double share = (double)progress->done / (double)progress->total;
        share = share > 1 ? 1 : share;
        int filled = (int)(share * width);
        char cells[BAR_WIDTH_MAX + 1];
        memset(cells, '.', (size_t)width);
        memset(cells, '#', (size_t)filled);
        cells[width] = '\0';
        snprintf(bar, sizeof(bar), "[%s] %3.0f%% ", cells, share * 100);
    }
    int size = snprintf(line, sizeof(line), "%s %s%s", progress->what, bar, figures);
    if (size >= columns) /* a line that wraps could not be erased */
        line[columns - 1] = '\0';
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    atomic_store(&progress->cli->progress_line, true);
}

static void print_line(struct cli_progress *progress)
{
    char figures[LINE_SIZE];
    print_figures(progress, figures, sizeof(figures));
    fprintf(stderr, "%s: %s\n", progress->what, figures);
}

void cli_progress_update(struct cli_progress *progress, uint64_t done)
{
    progress->done = done;
    if (progress->cli->quiet)
        return;
    uint64_t now = cli_monotonic_us();
    bool bar = progress->cli->stderr_tty;
    if (now - progress->shown_us < (bar ? REDRAW_US : PLAIN_LINE_US))
        return;
    progress->shown_us = now;
    progress->shown = true;
    if (bar)
        draw_bar(progress);
    else
        print_line(progress);
}

void cli_progress_finish(struct cli_progress *progress)
{
    if (!progress->shown)
        return;
    progress->shown = false;
    if (progress->cli->stderr_tty) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        atomic_store(&progress->cli->progress_line, false);
        return;
    }
    progress->shown_us = cli_monotonic_us();
    print_line(progress);
}
