/* SPDX-License-Identifier: MIT
 * op_follow.c: a follower beside the store (engine/follow.h): opened, refreshed, let go. Nobody
 * writes meanwhile, so after a refresh that succeeds it answers as the store does (F2): the model
 * of the one is that of the other. It dies with the machine, as the store does. */
#include "run.h"

static bitcask_status open_follower(struct run *run)
{
    struct side *side = run->at;
    bitcask_options options;
    bitcask_options_init(&options);
    options.follow = 1;
    options.background = BITCASK_BACKGROUND_NONE;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    return store_open(sim_disk_os(run->disk), side->directory, &options, &side->follower,
                      &run->error);
}

/* Does the store tell how far its log is published? If not, records that a failed write has left
 * may show (F1). And behind a failed sync the file may hold less than the store's memory. */
static bool is_told(struct run *run)
{
    const struct published *published = &run->at->store->published;
    bool tells = !published->started || published->words != NULL || published->file != NULL;
    return tells && !is_read_only(run) && !run->at->suspect &&
           sim_disk_counts(run->disk)->sync_errors == 0;
}

void release_follower(struct run *run)
{
    struct side *side = run->at;
    struct store *follower = side->follower;
    side->follower = NULL;
    if (!follower)
        return;
    if (sim_disk_dead(run->disk))
        store_abandon(follower);
    else if (store_close(follower, &run->error) != BITCASK_OK)
        fail(run, "a follower cannot be closed: %s", run->error.message);
}

void op_follow(struct run *run, const struct step *step)
{
    struct side *side = run->at;
    bool opens = !side->follower;
    bitcask_status status =
        opens ? open_follower(run) : bitcask_refresh((bitcask *)side->follower, NULL, &run->error);
    sim_disk_note(run->disk, (uint64_t)(int64_t)status);
    tell(run, "%s: %s %s", opens ? "follow" : "refresh", bitcask_status_name(status),
         status < 0 ? run->error.message : "");
    expect_reason(run, "follow [F3]", status);
    if (status == BITCASK_OK && !sim_disk_dead(run->disk) && is_told(run)) {
        bitcask *db = side->db;
        side->db = (bitcask *)side->follower;
        check_all(run, "in a follower [F2]");
        side->db = db;
    }
    if (step->amount % 8 == 0)
        release_follower(run);
}
