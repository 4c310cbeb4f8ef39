/* SPDX-License-Identifier: MIT
 * remote_job.c: a job of a server, watched from outside. */
#include "remote_job.h"

#include <string.h>
#include <time.h>

struct report { /* of a job, as BC.JOBS has it; bytes are the reply's */
    bool found, running;
    uint64_t runs, done, total;
    bitcask_slice status, result, figures;
};

static bool is_text(const struct remote_reply *reply, const char *text)
{
    return (reply->kind == REMOTE_BYTES || reply->kind == REMOTE_TEXT) &&
           reply->bytes.size == strlen(text) &&
           memcmp(reply->bytes.data, text, reply->bytes.size) == 0;
}

static void take_member(struct report *report, const struct remote_reply *name,
                        const struct remote_reply *value)
{
    uint64_t number = value->kind == REMOTE_NUMBER ? (uint64_t)value->number : 0;
    bitcask_slice bytes = value->kind == REMOTE_BYTES ? value->bytes : bitcask_str("");
    if (is_text(name, "running"))
        report->running = number != 0;
    else if (is_text(name, "runs"))
        report->runs = number;
    else if (is_text(name, "done"))
        report->done = number;
    else if (is_text(name, "total"))
        report->total = number;
    else if (is_text(name, "status"))
        report->status = bytes;
    else if (is_text(name, "result"))
        report->result = bytes;
    else if (is_text(name, "figures"))
        report->figures = bytes;
}

/* A list of names and lists of names and values. */
static bitcask_status ask_report(struct remote *remote, const char *kind, struct report *report,
                                 bitcask_error *error)
{
    const struct remote_reply *reply;
    *report = (struct report){.found = false};
    bitcask_status status = remote_ask(remote, &reply, error, "BC.JOBS", NULL);
    if (status != BITCASK_OK)
        return status;
    size_t jobs = reply->kind == REMOTE_LIST ? reply->count / 2 : 0;
    const struct remote_reply *at = reply + 1;
    for (size_t i = 0; i < jobs && at[1].kind == REMOTE_LIST; i++) {
        const struct remote_reply *member = at + 2, *end = member + at[1].count;
        report->found = report->found || is_text(at, kind);
        for (; is_text(at, kind) && member + 1 < end; member += 2)
            take_member(report, member, member + 1);
        at = end;
    }
    if (report->found)
        return BITCASK_OK;
    memset(error, 0, sizeof *error);
    error->status = BITCASK_IO;
    snprintf(error->message, sizeof error->message,
             "the server that has the store is of another version");
    return BITCASK_IO;
}

static void wait_some(unsigned turn)
{
    const long ms = turn < 4 ? 10L << turn : 200; /* short jobs end soon */
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Until the job of `runs` has ended. */
static bitcask_status wait_for(struct remote *remote, const char *kind, uint64_t runs,
                               struct cli_progress *bar, struct report *report,
                               bitcask_error *error)
{
    for (unsigned turn = 0;; turn++) {
        bitcask_status status = ask_report(remote, kind, report, error);
        if (status != BITCASK_OK)
            return status;
        if (!report->running || report->runs != runs)
            return BITCASK_OK;
        bar->total = report->total;
        cli_progress_update(bar, report->done);
        if (cli_interrupted())
            return BITCASK_CANCELLED;
        wait_some(turn);
    }
}

static int finish(struct cli *cli, const struct report *report, json_t **figures)
{
    const struct remote_reply status = {.kind = REMOTE_BYTES, .bytes = report->status};
    bool corrupt = is_text(&status, "CORRUPT");
    *figures = json_loadb(report->figures.size > 0 ? report->figures.data : "{}",
                          report->figures.size > 0 ? report->figures.size : 2, 0, NULL);
    if (*figures != NULL && (is_text(&status, "OK") || corrupt))
        return CLI_DONE; /* a verification that found damage has its figures */
    json_decref(*figures);
    *figures = NULL;
    return cli_fail_text(cli, corrupt ? CLI_CORRUPT : CLI_STORE, "%.*s",
                         report->result.size > 400 ? 400 : (int)report->result.size,
                         (const char *)report->result.data);
}

int remote_job(struct cli *cli, struct remote *remote, const bitcask_slice *words, size_t count,
               const char *kind, const char *what, json_t **figures)
{
    struct report report;
    struct cli_progress bar;
    bitcask_error error;
    const struct remote_reply *reply;
    *figures = NULL;
    bitcask_status status = ask_report(remote, kind, &report, &error);
    uint64_t runs = report.runs + 1;
    if (status == BITCASK_OK)
        status = remote_call(remote, words, count, &reply, &error);
    if (status != BITCASK_OK)
        return cli_fail(cli, status, &error);
    cli_progress_start(&bar, cli, what, "B", 0);
    status = wait_for(remote, kind, runs, &bar, &report, &error);
    cli_progress_finish(&bar);
    if (status == BITCASK_CANCELLED) {
        cli_remark(cli, "the server goes on with it");
        return cli_fail_interrupted(cli);
    }
    return status == BITCASK_OK ? finish(cli, &report, figures) : cli_fail(cli, status, &error);
}

uint64_t remote_figure(const json_t *figures, const char *name)
{
    json_int_t number = json_integer_value(json_object_get(figures, name));
    return number > 0 ? (uint64_t)number : 0;
}
