/* SPDX-License-Identifier: MIT
 * feed.c: printing the changes of a store as they land: looking, waiting, ending in order. */
#include "feed.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MIN_US = 1000, KEEP_EVERY = 256 /* changes between two positions kept */ };

static volatile sig_atomic_t stopped;

static void on_stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* Not restarting what they interrupt: the wait is to end. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop};
    stopped = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* noticed at the next line, so that the position can be kept */
}

/* ---- The position file ----------------------------------------------------------------------- */

int cli_feed_read_position(struct cli *cli, const char *file, char text[BITCASK_POSITION_SIZE])
{
    text[0] = '\0';
    FILE *in = fopen(file, "re");
    if (in == NULL && errno == ENOENT)
        return CLI_DONE;
    if (in == NULL)
        return cli_fail_errno(cli, "cannot open %s", file);
    bool got = fgets(text, BITCASK_POSITION_SIZE, in) != NULL;
    bool failed = ferror(in) != 0;
    fclose(in);
    if (failed)
        return cli_fail_errno(cli, "cannot read %s", file);
    text[strcspn(text, "\n")] = '\0';
    if (got && text[0] != '\0')
        return CLI_DONE;
    return cli_fail_text(cli, CLI_STORE,
                         "%s holds no position; remove it, and say with --from where to begin",
                         file);
}

/* Replaced as a whole, or what is read after a kill would be a half. */
static int keep_position(struct cli_feed *feed)
{
    if (feed->position_file == NULL)
        return CLI_DONE;
    char position[BITCASK_POSITION_SIZE];
    bitcask_feed_position(feed->feed, position);
    char *temporary;
    if (asprintf(&temporary, "%s.tmp", feed->position_file) < 0)
        return cli_fail(feed->cli, BITCASK_NO_MEMORY, NULL);
    FILE *out = fopen(temporary, "we");
    bool written = out != NULL && fprintf(out, "%s\n", position) > 0;
    if (out != NULL && fclose(out) != 0)
        written = false;
    if (written)
        written = rename(temporary, feed->position_file) == 0;
    free(temporary);
    return written ? CLI_DONE : cli_fail_errno(feed->cli, "cannot write %s", feed->position_file);
}

/* ---- Looking and waiting --------------------------------------------------------------------- */

/* Bring out what is printed, and only then keep the position. */
static int settle(struct cli_feed *feed)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return CLI_STORE; /* main says why */
    return keep_position(feed);
}

static int fail_feed(struct cli_feed *feed, bitcask_status status, const bitcask_error *error)
{
    settle(feed);
    return cli_fail(feed->cli, status, error);
}

/* Show what there is now. *shown counts up. */
static int show_all(struct cli_feed *feed, uint64_t *shown)
{
    uint64_t unkept = 0;
    while (*shown < feed->limit && !stopped) {
        bitcask_change change;
        bitcask_error error;
        bitcask_status status = bitcask_feed_next(feed->feed, &change, &error);
        if (status == BITCASK_END)
            break;
        if (status != BITCASK_OK)
            return fail_feed(feed, status, &error);
        if (feed->show(feed, &change))
            ++*shown;
        if (++unkept % KEEP_EVERY == 0 && !change.more) {
            int exit_code = settle(feed);
            if (exit_code != CLI_DONE)
                return exit_code;
        }
    }
    return unkept % KEEP_EVERY != 0 ? settle(feed) : CLI_DONE;
}

static void wait_us(uint64_t us)
{
    if (!stopped) /* a signal between here and there costs one interval */
        poll(NULL, 0, us < 1000 ? 1 : (int)(us / 1000));
}

int cli_feed_run(struct cli_feed *feed)
{
    catch_signals();
    uint64_t shown = 0, wait = WAIT_MIN_US;
    int exit_code = settle(feed);
    while (exit_code == CLI_DONE && !stopped) {
        uint64_t before = shown;
        exit_code = show_all(feed, &shown);
        if (exit_code != CLI_DONE || shown >= feed->limit || stopped)
            break;
        wait = shown != before ? WAIT_MIN_US : wait * 2;
        wait = wait < feed->interval_us ? wait : feed->interval_us;
        wait_us(wait);
        uint64_t changes;
        bitcask_error error;
        bitcask_status status = bitcask_refresh(feed->db, &changes, &error);
        if (status != BITCASK_OK && status != BITCASK_BUSY)
            exit_code = fail_feed(feed, status, &error);
        if (status == BITCASK_OK && changes > 0)
            wait = WAIT_MIN_US;
    }
    bool broken_pipe = exit_code == CLI_STORE && ferror(stdout) && errno == EPIPE;
    signal(SIGTERM, SIG_DFL); /* a shell goes on */
    signal(SIGPIPE, SIG_DFL);
    if (broken_pipe)
        raise(SIGPIPE); /* as other tools end */
    return exit_code;
}
