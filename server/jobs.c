/* SPDX-License-Identifier: MIT
 * jobs.c: long work beside the loops.
 *
 * Each kind has a place with its own thread and figures. Progress is written by the job's thread
 * and read by anybody, hence atomics; what is told at the end is under the mutex. */
#include "jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flush.h"
#include "journal.h"
#include "server.h"
#include "settings.h"

struct job {
    struct server *server;
    struct jobs *jobs;
    enum job_kind kind;
    pthread_t thread;
    bool has_thread; /* to be joined */
    char *directory;
    bool all;
    uint64_t version; /* of FLUSH: up to which */
    _Atomic uint64_t done, total;
    char figures[sizeof((struct job_report){0}.figures)]; /* of the job's thread until it ends */
    struct job_report report; /* under the mutex; without done and total */
};

struct jobs {
    pthread_mutex_t mutex;
    struct job jobs[JOB_KINDS];
    atomic_bool stopping;
    _Atomic uint64_t last_save_s;
};

const char *job_name(enum job_kind kind)
{
    static const char *const names[] = {"merge", "backup", "verify", "flush"};
    return names[kind];
}

struct jobs *jobs_new(void)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (jobs == NULL)
        return NULL;
    pthread_mutex_init(&jobs->mutex, NULL);
    for (int i = 0; i < JOB_KINDS; i++) {
        jobs->jobs[i].jobs = jobs;
        jobs->jobs[i].kind = (enum job_kind)i;
    }
    jobs->last_save_s = (uint64_t)time(NULL);
    return jobs;
}

static void join(struct job *job)
{
    if (job->has_thread)
        pthread_join(job->thread, NULL);
    job->has_thread = false;
    free(job->directory);
    job->directory = NULL;
}

void jobs_stop(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    jobs->stopping = true;
    for (int i = 0; i < JOB_KINDS; i++)
        join(&jobs->jobs[i]);
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    jobs_stop(jobs);
    pthread_mutex_destroy(&jobs->mutex);
    free(jobs);
}

uint64_t jobs_last_save_s(const struct jobs *jobs)
{
    return jobs->last_save_s;
}

void jobs_saved(struct jobs *jobs)
{
    jobs->last_save_s = (uint64_t)time(NULL);
}

/* ---- The work ------------------------------------------------------------------------------- */

static int note(struct job *job, uint64_t done, uint64_t total)
{
    job->done = done;
    job->total = total;
    return job->jobs->stopping;
}

static int merge_progress(void *context, const bitcask_merge_progress *progress)
{
    return note(context, progress->done_bytes, progress->total_bytes);
}

static bitcask_status merge(struct job *job, char *text, size_t size, bitcask_error *error)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = job->all;
    options.progress = merge_progress;
    options.context = job;
    bitcask_merge_result result = {.struct_size = sizeof result};
    bitcask_status status = bitcask_merge(job->server->store, &options, &result, error);
    snprintf(text, size, "%llu segments became %llu, %llu bytes became %llu",
             (unsigned long long)result.inputs, (unsigned long long)result.outputs,
             (unsigned long long)result.input_bytes, (unsigned long long)result.output_bytes);
    snprintf(job->figures, sizeof job->figures,
             "{\"inputs\":%llu,\"outputs\":%llu,\"input_bytes\":%llu,\"output_bytes\":%llu,"
             "\"records_copied\":%llu,\"records_dropped\":%llu,\"tombstones_kept\":%llu,"
             "\"tombstones_dropped\":%llu,\"duration_us\":%llu}",
             (unsigned long long)result.inputs, (unsigned long long)result.outputs,
             (unsigned long long)result.input_bytes, (unsigned long long)result.output_bytes,
             (unsigned long long)result.records_copied, (unsigned long long)result.records_dropped,
             (unsigned long long)result.tombstones_kept,
             (unsigned long long)result.tombstones_dropped, (unsigned long long)result.duration_us);
    return status;
}

static int backup_progress(void *context, const bitcask_backup_progress *progress)
{
    return note(context, progress->done_bytes, progress->total_bytes);
}

static bitcask_status backup(struct job *job, char *text, size_t size, bitcask_error *error)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    options.progress = backup_progress;
    options.context = job;
    bitcask_backup_result result = {.struct_size = sizeof result};
    bitcask_status status =
        bitcask_backup(job->server->store, job->directory, &options, &result, error);
    snprintf(text, size, "%s: %llu segments, %llu linked, %llu bytes copied", job->directory,
             (unsigned long long)result.segments, (unsigned long long)result.linked,
             (unsigned long long)result.copied_bytes);
    snprintf(job->figures, sizeof job->figures,
             "{\"segments\":%llu,\"linked\":%llu,\"copied\":%llu,\"reused\":%llu,\"removed\":%llu,"
             "\"copied_bytes\":%llu,\"damaged_segments\":%llu,\"last_version\":%llu,"
             "\"duration_us\":%llu}",
             (unsigned long long)result.segments, (unsigned long long)result.linked,
             (unsigned long long)result.copied, (unsigned long long)result.reused,
             (unsigned long long)result.removed, (unsigned long long)result.copied_bytes,
             (unsigned long long)result.damaged_segments, (unsigned long long)result.last_version,
             (unsigned long long)result.duration_us);
    if (status == BITCASK_OK)
        jobs_saved(job->jobs);
    return status;
}

static int verify_progress(void *context, const bitcask_verify_progress *progress)
{
    return note(context, progress->done_bytes, progress->total_bytes);
}

static bitcask_status verify(struct job *job, char *text, size_t size, bitcask_error *error)
{
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.progress = verify_progress;
    options.context = job;
    bitcask_verify_result result = {.struct_size = sizeof result};
    bitcask_status status = bitcask_verify(job->server->store, &options, &result, error);
    snprintf(text, size, "%llu records in %llu files, %llu findings, %llu damaged bytes",
             (unsigned long long)result.records, (unsigned long long)result.files,
             (unsigned long long)result.findings, (unsigned long long)result.damaged_bytes);
    snprintf(job->figures, sizeof job->figures,
             "{\"files\":%llu,\"records\":%llu,\"bytes\":%llu,\"findings\":%llu,"
             "\"damaged_bytes\":%llu}",
             (unsigned long long)result.files, (unsigned long long)result.records,
             (unsigned long long)result.bytes, (unsigned long long)result.findings,
             (unsigned long long)result.damaged_bytes);
    return status;
}

static bool flush_step(void *context, uint64_t done)
{
    struct job *job = context;
    return !note(job, done, job->total);
}

static bitcask_status flush(struct job *job, char *text, size_t size, bitcask_error *error)
{
    uint64_t done, mode = setting_number(job->server->settings, SETTING_APPENDFSYNC);
    bitcask_sync sync = mode == BITCASK_SYNC_NONE ? BITCASK_SYNC_NONE : BITCASK_SYNC_INTERVAL;
    job->total = bitcask_count(job->server->store);
    bitcask_status status =
        flush_all(job->server->store, job->version, sync, flush_step, job, &done, error);
    snprintf(text, size, "%llu keys deleted", (unsigned long long)done);
    return status;
}

/* ---- Its thread ----------------------------------------------------------------------------- */

static void *run(void *context)
{
    static bitcask_status (*const work[])(struct job *, char *, size_t,
                                          bitcask_error *) = {merge, backup, verify, flush};
    struct job *job = context;
    bitcask_error error = {0};
    char text[320] = "";
    bitcask_status status = work[job->kind](job, text, sizeof text, &error);
    /* A merge or verification that found something has a result as well. */
    if (status < 0 && !(status == BITCASK_CORRUPT && job->kind == JOB_VERIFY))
        snprintf(text, sizeof text, "%s", error.message);
    pthread_mutex_lock(&job->jobs->mutex);
    job->report.running = false;
    job->report.status = status;
    job->report.finished_us = server_wall_us();
    memcpy(job->report.result, text, sizeof job->report.result);
    memcpy(job->report.figures, job->figures, sizeof job->figures);
    pthread_mutex_unlock(&job->jobs->mutex);
    journal_note(job->server->journal, status < 0 ? BITCASK_LOG_ERROR : BITCASK_LOG_INFO,
                 "job finished", "job", job_name(job->kind), "status", bitcask_status_name(status),
                 "result", text, NULL);
    return NULL;
}

/* Signals are for the main thread. */
static bitcask_status start(struct job *job, bool has_memory, bitcask_error *error)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGBUS); /* sigbus.h */
    sigdelset(&all, SIGSEGV);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    job->has_thread = has_memory && pthread_create(&job->thread, NULL, run, job) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (job->has_thread)
        return BITCASK_OK;
    snprintf(error->message, sizeof error->message, "no memory for a thread");
    return error->status = BITCASK_NO_MEMORY;
}

bitcask_status jobs_start(struct server *server, enum job_kind kind, const char *directory,
                          bool all, bitcask_error *error)
{
    struct jobs *jobs = server->jobs;
    struct job *job = &jobs->jobs[kind];
    bitcask_error ignored;
    error = error == NULL ? &ignored : error;
    pthread_mutex_lock(&jobs->mutex);
    bool refused = job->report.running || atomic_load(&jobs->stopping);
    if (!refused) { /* the place is ours from here on */
        job->report.running = true;
        job->report.runs++;
        job->report.started_us = server_wall_us();
    }
    pthread_mutex_unlock(&jobs->mutex);
    if (refused) {
        snprintf(error->message, sizeof error->message, "a %s is in progress already",
                 job_name(kind));
        return error->status = BITCASK_BUSY;
    }
    join(job); /* the thread of the last one, which has ended or is about to */
    job->server = server;
    job->all = all;
    job->done = job->total = 0;
    memset(job->figures, 0, sizeof job->figures);
    job->directory = directory == NULL ? NULL : strdup(directory);
    /* FLUSH: what is written once this has returned stays, whenever the thread begins. */
    bitcask_status status = BITCASK_OK;
    if (kind == JOB_FLUSH)
        status = flush_begin(server->store, &job->version, error);
    /* One that ends at once says so when its thread has been noted: whoever comes next joins it. */
    pthread_mutex_lock(&jobs->mutex);
    if (status == BITCASK_OK)
        status = start(job, directory == NULL || job->directory != NULL, error);
    if (status != BITCASK_OK)
        job->report.running = false;
    pthread_mutex_unlock(&jobs->mutex);
    return status;
}

void jobs_report(struct jobs *jobs, enum job_kind kind, struct job_report *report)
{
    struct job *job = &jobs->jobs[kind];
    pthread_mutex_lock(&jobs->mutex);
    *report = job->report;
    pthread_mutex_unlock(&jobs->mutex);
    report->done = job->done;
    report->total = job->total;
}
