/* SPDX-License-Identifier: MIT
 * scrub.c: see scrub.h. */
#include "engine/scrub.h"

#include <stdlib.h>

#include "engine/verify_report.h"
#include "os/wait.h"

static const uint64_t PASS_MIN_US = 60ull * 60 * 1000000;

struct scrub {
    struct store *store;
    pthread_t thread;
    _Atomic bool stop;
};

/* What a pass has come to. */
struct pass {
    struct store *store;
    struct pace pace;
    uint64_t segments, bytes, findings;
};

static int tell_finding(void *context, const bitcask_finding *finding)
{
    struct pass *pass = context;
    struct store *store = pass->store;
    if (finding->note)
        return 0;
    pass->findings++;
    atomic_fetch_add(&store->counters.scrub_findings, 1);
    EVENT(&store->events, BITCASK_LOG_ERROR, "scrub_finding", F_UINT("segment", finding->segment),
          F_TEXT("file", finding->file), F_UINT("offset", finding->offset),
          F_UINT("bytes", finding->bytes), F_TEXT("why", finding->what));
    return 0;
}

/* The first sealed segment with an id above `after`; pinned. NULL if there is none. */
static struct segment *next_sealed(struct store *store, uint64_t after)
{
    struct segments *table = &store->segments;
    struct segment *found = NULL;
    pthread_mutex_lock(&table->mutex);
    for (size_t i = 0; i < table->count && found == NULL; i++) {
        struct segment *segment = table->by_id[i];
        if (segment->id > after && atomic_load(&segment->state) == BITCASK_SEGMENT_SEALED)
            found = segment;
    }
    if (found != NULL)
        segment_pin(found);
    pthread_mutex_unlock(&table->mutex);
    return found;
}

static void scrub_segment(struct pass *pass, struct segment *segment, const _Atomic bool *stop)
{
    struct store *store = pass->store;
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    options.finding = tell_finding;
    options.context = pass;
    struct verify verify = {
        .store = store,
        .options = &options,
        .stop = stop,
        .pace = pass->pace,
    };
    struct verify_segment entry = {
        .segment = segment,
        .state = BITCASK_SEGMENT_SEALED,
        .end = atomic_load(&segment->end),
        .named = true,
    };
    bitcask_error error = {0};
    bitcask_status status = verify_files_of(&verify, &entry, &error);
    pass->pace = verify.pace;
    pass->segments++;
    pass->bytes += verify.result.bytes;
    atomic_fetch_add(&store->counters.scrubbed_bytes, verify.result.bytes);
    if (status < 0)
        EVENT(&store->events, BITCASK_LOG_WARN, "scrub_failed", F_UINT("segment", segment->id),
              F_TEXT("error", error.message));
}

void scrub_pass(struct store *store, const _Atomic bool *stop)
{
    struct pass pass = {
        .store = store,
        .pace = {.rate = {.bytes_per_s = store->options.scrub_bytes_per_s}},
    };
    uint64_t began_us = store->os->clock_boot(store->os);
    struct segment *segment;
    uint64_t at = 0;
    while ((segment = next_sealed(store, at)) != NULL) {
        if (stop == NULL || !atomic_load(stop))
            scrub_segment(&pass, segment, stop);
        at = segment->id;
        segment_unpin(segment);
        if (stop != NULL && atomic_load(stop))
            return;
    }
    if (pass.segments == 0)
        return;
    atomic_fetch_add(&store->counters.scrub_passes, 1);
    atomic_store(&store->counters.last_scrub_us, store->os->clock_real(store->os));
    EVENT(&store->events, BITCASK_LOG_INFO, "scrubbed", F_UINT("segments", pass.segments),
          F_UINT("bytes", pass.bytes), F_UINT("findings", pass.findings),
          F_UINT("duration_us", store->os->clock_boot(store->os) - began_us));
}

/* ---- The thread ------------------------------------------------------------------------------ */

static int is_stopping(void *context)
{
    struct scrub *scrub = context;
    return atomic_load(&scrub->stop);
}

static void *run(void *context)
{
    struct scrub *scrub = context;
    struct os *os = scrub->store->os;
    while (!atomic_load(&scrub->stop)) {
        uint64_t began_us = os->clock_boot(os);
        scrub_pass(scrub->store, &scrub->stop);
        uint64_t took_us = os->clock_boot(os) - began_us;
        if (took_us < PASS_MIN_US)
            (void)!pace_wait(PASS_MIN_US - took_us, is_stopping, scrub);
    }
    return NULL;
}

bitcask_status scrub_start(struct store *store, bitcask_error *error)
{
    if (store->options.scrub_bytes_per_s == 0)
        return BITCASK_OK;
    struct scrub *scrub = calloc(1, sizeof *scrub);
    if (scrub == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for scrubbing");
    scrub->store = store;
    int result = wait_start_thread(&scrub->thread, run, scrub);
    if (result != 0) {
        free(scrub);
        return error_set_os(error, result, "start the scrubbing thread");
    }
    store->scrub = scrub;
    return BITCASK_OK;
}

void scrub_stop(struct store *store)
{
    struct scrub *scrub = store->scrub;
    if (scrub == NULL)
        return;
    atomic_store(&scrub->stop, true);
    pthread_join(scrub->thread, NULL);
    free(scrub);
    store->scrub = NULL;
}
