/* SPDX-License-Identifier: MIT
 * cmd_top.c: top: a server's figures on the terminal. */
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote.h"
#include "top.h"

enum { TOP_ONCE, TOP_INTERVAL };

static const struct cli_option top_options[] = {
    [TOP_ONCE] = {"once", '1', CLI_FLAG, NULL, "print one page as plain text and end"},
    [TOP_INTERVAL] = {"interval", 'i', CLI_DURATION, "DURATION",
                      "time between two looks (default 1s)"},
    {0},
};

#define INTERVAL_DEFAULT_US UINT64_C(1000000)
#define INTERVAL_MIN_US UINT64_C(50000)
#define INTERVAL_MAX_US UINT64_C(60000000)

/* ---- Asking --------------------------------------------------------------------------------- */

static bitcask_status ask_json(struct remote *remote, const char *what, json_t **json,
                               bitcask_error *error)
{
    const struct remote_reply *reply;
    bitcask_status status = remote_ask(remote, &reply, error, "BC.STATUS", what, NULL);
    if (status != BITCASK_OK)
        return status;
    *json = reply->kind == REMOTE_BYTES ? json_loadb(reply->bytes.data, reply->bytes.size, 0, NULL)
                                        : NULL;
    if (*json != NULL)
        return BITCASK_OK;
    memset(error, 0, sizeof *error);
    error->status = BITCASK_IO;
    snprintf(error->message, sizeof error->message, "BC.STATUS %s: a reply that makes no sense",
             what);
    return BITCASK_IO;
}

static bitcask_status take_sample(struct remote *remote, struct top_sample *sample,
                                  bitcask_error *error)
{
    *sample = (struct top_sample){.time_us = cli_monotonic_us()};
    bitcask_status status = ask_json(remote, "status", &sample->status, error);
    if (status == BITCASK_OK)
        status = ask_json(remote, "segments", &sample->segments, error);
    if (status == BITCASK_OK)
        status = ask_json(remote, "slow", &sample->slow, error);
    if (status == BITCASK_OK)
        status = ask_json(remote, "logs", &sample->log, error);
    if (status != BITCASK_OK)
        top_sample_release(sample);
    return status;
}

/* ---- One page ------------------------------------------------------------------------------- */

static void wait_us(uint64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&time, NULL);
}

/* With --json what the server said, an object for each part. */
static void print_json(const struct top_sample *sample)
{
    const struct {
        const char *name;
        json_t *json;
    } parts[] = {{"status", sample->status},
                 {"segments", sample->segments},
                 {"slow", sample->slow},
                 {"log", sample->log}};
    json_t *whole = json_object();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        json_object_set(whole, parts[i].name, parts[i].json);
    json_dumpf(whole, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(whole);
}

static int print_once(struct cli *cli, struct remote *remote, uint64_t interval_us)
{
    enum { WIDTH = 120, HEIGHT = 60 };
    struct top_sample before, now;
    bitcask_error error;
    bitcask_status status = take_sample(remote, &before, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    wait_us(interval_us);
    status = take_sample(remote, &now, &error);
    if (status == BITCASK_OK && cli->json)
        print_json(&now);
    else if (status == BITCASK_OK)
        top_print(stdout, &now, &before, WIDTH, HEIGHT);
    top_sample_release(&before);
    top_sample_release(&now);
    return status == BITCASK_OK ? CLI_DONE : cli_fail(cli, status, &error);
}

/* ---- The terminal --------------------------------------------------------------------------- */

static void draw(const struct top_sample *now, const struct top_sample *before, bool paused)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return;
    int height = LINES > 1 ? LINES - 1 : 1;
    top_print(out, now, before, (size_t)(COLS > 20 ? COLS : 20), (size_t)height);
    if (fclose(out) != 0)
        return;
    erase();
    int row = 0;
    for (char *line = text, *next; line != NULL && *line != '\0' && row < height; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        bool title = row == 0 || (line[0] >= 'A' && line[0] <= 'Z');
        if (title)
            attron(A_BOLD);
        mvaddnstr(row++, 0, line, COLS);
        attroff(A_BOLD);
    }
    mvaddnstr(LINES - 1, 0,
              paused ? "paused   space: go on   q: quit" : "space: pause   + -: interval   q: quit",
              COLS);
    refresh();
    free(text);
}

/* Returns false to end. */
static bool take_key(int key, bool *paused, uint64_t *interval_us)
{
    switch (key) {
    case 'q':
    case 'Q':
    case 27:
        return false;
    case ' ':
        *paused = !*paused;
        break;
    case '+':
        if (*interval_us / 2 >= INTERVAL_MIN_US)
            *interval_us /= 2;
        break;
    case '-':
        if (*interval_us * 2 <= INTERVAL_MAX_US)
            *interval_us *= 2;
        break;
    default:
        break;
    }
    return true;
}

static int show(struct cli *cli, struct remote *remote, uint64_t interval_us)
{
    struct top_sample before = {0}, now = {0};
    bitcask_error error;
    bitcask_status status = BITCASK_OK;
    bool paused = false, going = true;
    if (newterm(NULL, stdout, stdin) == NULL)
        return cli_fail_text(cli, CLI_STORE,
                             "this terminal is not known (TERM); 'bitcask top --once' prints text");
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    while (going) {
        if (!paused) {
            top_sample_release(&before);
            before = now;
            status = take_sample(remote, &now, &error);
            if (status != BITCASK_OK)
                break;
        }
        draw(&now, before.status != NULL ? &before : NULL, paused);
        timeout((int)(interval_us / 1000));
        going = take_key(getch(), &paused, &interval_us);
    }
    endwin();
    top_sample_release(&before);
    top_sample_release(&now);
    return status == BITCASK_OK ? CLI_DONE : cli_fail(cli, status, &error);
}

static int run_top(struct cli *cli, const struct cli_args *args)
{
    uint64_t interval_us =
        args->options[TOP_INTERVAL].set ? args->options[TOP_INTERVAL].number : INTERVAL_DEFAULT_US;
    if (interval_us < INTERVAL_MIN_US || interval_us > INTERVAL_MAX_US)
        return cli_fail_usage(cli, "--interval is from 50ms to 60s");
    bool once = args->options[TOP_ONCE].set || cli->json;
    if (!once && (!cli->stdin_tty || !cli->stdout_tty))
        return cli_fail_usage(cli, "this is no terminal: 'bitcask top --once' prints text");
    bitcask_error error;
    struct remote *remote = remote_open(cli->directory, &error);
    if (remote == NULL)
        return cli_fail_text(cli, CLI_STORE,
                             "no server has the store %s open ('bitcask serve' starts one)",
                             cli->directory);
    int exit_code = once ? print_once(cli, remote, interval_us) : show(cli, remote, interval_us);
    remote_close(remote);
    return exit_code;
}

const struct cli_command cli_command_top = {
    .name = "top",
    .summary = "show what a server does, live",
    .details =
        "The server's figures once a second: commands and their latency, keys, memory, disk,\n"
        "segments with what is live and dead in them, slow requests, the log. It asks the\n"
        "server that has the store open ('bitcask serve'), through its Unix socket.\n"
        "Keys: space holds the page, + and - change the interval, q ends.\n",
    .examples = "bitcask top\n"
                "bitcask top --once\n"
                "bitcask --json top --interval 100ms\n",
    .options = top_options,
    .run = run_top,
};
