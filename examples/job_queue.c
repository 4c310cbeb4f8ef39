/* SPDX-License-Identifier: MIT
 * job_queue.c: jobs that several workers share, each done once, by conditional puts.
 *
 *     submit   put IF_ABSENT: sending a job twice makes one job
 *     claim    put IF_VERSION of the state that the worker has seen: of two, one gets CONFLICT
 *     finish   put IF_VERSION of the claim: a worker that was given up for dead, and whose job
 *              another one has taken over, is refused
 *
 * No lock is held between these steps, by anyone: the version of the key is the lock.
 *
 * Prints:
 *     submitted 100 jobs, 100 again were there already
 *     3 workers did 100 jobs, none twice
 *     a worker that slept too long: the key has another version than the one expected
 */
#include <bitcask.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { JOBS = 100, WORKERS = 3 };

static atomic_int runs[JOBS]; /* how often each job was run */

static bitcask_slice job_key(char key[32], int job)
{
    return bitcask_bytes(key, (size_t)snprintf(key, 32, "job/%06d", job));
}

/* Put `state` if the job's version is still `seen` (0: if there is no such job). */
static bitcask_status move(bitcask *db, int job, const char *state, uint64_t seen,
                           uint64_t *version, bitcask_error *error)
{
    char key[32];
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = seen == 0 ? BITCASK_IF_ABSENT : BITCASK_IF_VERSION;
    options.if_version = seen;
    return bitcask_put(db, job_key(key, job), bitcask_str(state), &options, version, error);
}

/* Is the job in this state? Then its version is set. */
static bitcask_status look(bitcask *db, int job, const char *state, int *is, uint64_t *version,
                           bitcask_error *error)
{
    char key[32];
    bitcask_buffer value = {0};
    bitcask_meta meta = {0};
    bitcask_status status = bitcask_get(db, NULL, job_key(key, job), &value, &meta, error);
    *is = status == BITCASK_OK && value.size == strlen(state) &&
          memcmp(value.data, state, value.size) == 0;
    *version = meta.version;
    bitcask_buffer_free(&value);
    return status < 0 ? status : BITCASK_OK;
}

static void *work(void *context)
{
    bitcask *db = context; /* one handle serves all threads */
    bitcask_error error;
    bitcask_status status = BITCASK_OK;
    for (int job = 0; status >= 0 && job < JOBS; job++) {
        uint64_t seen, claim;
        int waiting;
        status = look(db, job, "waiting", &waiting, &seen, &error);
        if (status < 0 || !waiting)
            continue;
        status = move(db, job, "running", seen, &claim, &error);
        if (status != BITCASK_OK)
            continue;                    /* CONFLICT: another worker was faster */
        atomic_fetch_add(&runs[job], 1); /* the work itself */
        status = move(db, job, "done", claim, NULL, &error);
    }
    if (status < 0)
        fprintf(stderr, "worker: %s\n", error.message);
    return NULL;
}

static bitcask_status submit(bitcask *db, bitcask_error *error)
{
    int made = 0, there = 0;
    for (int i = 0; i < 2 * JOBS; i++) {
        bitcask_status status = move(db, i % JOBS, "waiting", 0, NULL, error);
        if (status < 0)
            return status;
        made += status == BITCASK_OK;
        there += status == BITCASK_EXISTS;
    }
    printf("submitted %d jobs, %d again were there already\n", made, there);
    return BITCASK_OK;
}

/* A worker claims a job and falls asleep. Its claim's version is the proof that the job is still
 * its own; "running" for longer than jobs take is what tells the others to take it over. */
static bitcask_status oversleep(bitcask *db, bitcask_error *error)
{
    uint64_t mine, theirs;
    bitcask_status status = move(db, JOBS, "running", 0, &mine, error);
    if (status == BITCASK_OK)
        status = move(db, JOBS, "running", mine, &theirs, error); /* somebody takes over */
    if (status == BITCASK_OK)
        status = move(db, JOBS, "done", mine, NULL, error); /* the sleeper wakes up */
    printf("a worker that slept too long: %s\n", bitcask_status_text(status));
    return status < 0 ? status : BITCASK_OK;
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "./job-data";
    bitcask *db;
    bitcask_error error;
    bitcask_status status = bitcask_destroy(directory, &error); /* of the run before */
    if (status == BITCASK_OK || status == BITCASK_NO_STORE)
        status = bitcask_open(directory, NULL, &db, &error);
    if (status != BITCASK_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    status = submit(db, &error);
    pthread_t threads[WORKERS];
    int started = 0, done = 0, twice = 0;
    while (started < WORKERS && pthread_create(&threads[started], NULL, work, db) == 0)
        started++;
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < JOBS; i++) {
        done += runs[i] >= 1;
        twice += runs[i] > 1;
    }
    printf("%d workers did %d jobs, %s twice\n", started, done, twice == 0 ? "none" : "some");
    if (status == BITCASK_OK)
        status = oversleep(db, &error);
    if (status < 0)
        fprintf(stderr, "%s\n", error.message);
    return (bitcask_close(db, NULL) != BITCASK_OK) | (status != BITCASK_OK);
}
