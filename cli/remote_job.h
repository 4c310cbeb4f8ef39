/* SPDX-License-Identifier: MIT
 * remote_job.h: merges, backups and verifications that a server does, watched from outside. */
#ifndef CLI_REMOTE_JOB_H
#define CLI_REMOTE_JOB_H

#include <jansson.h>

#include "cli.h"
#include "remote.h"

/* Start a job by a request ("BC.MERGE", "ALL") and wait for its end, with a progress bar.
 *   kind     its name among BC.JOBS: "merge"
 *   what     of the bar: "merging"
 *   figures  set to its result in figures, to be given back by json_decref; not on an error
 * Returns CLI_DONE, or reports what went wrong. Interrupted, it leaves the job to the server. */
int remote_job(struct cli *cli, struct remote *remote, const bitcask_slice *words, size_t count,
               const char *kind, const char *what, json_t **figures);

/* A figure of the result, or 0. */
uint64_t remote_figure(const json_t *figures, const char *name);

#endif
