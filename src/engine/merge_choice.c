/* SPDX-License-Identifier: MIT
 * merge_choice.c: the inputs of one merge job. */
#include "engine/merge_choice.h"

#include <stdlib.h>

#include "base/check.h"
#include "engine/merge_policy.h"
#include "engine/store.h"

enum {
    /* Disk space that a job takes besides what it keeps: headers, SEAL record, manifest. */
    ROOM_FIXED = 16 << 10,
    ROOM_PER_SEGMENT = 512,
};

bitcask_status merge_choice_init(struct merge_choice *choice, const struct merge_look *look,
                                 bitcask_error *error)
{
    *choice = (struct merge_choice){
        .candidates = calloc(look->count + 1, sizeof *choice->candidates),
        .chosen = calloc(look->count + 1, sizeof *choice->chosen),
        .inputs = calloc(look->count + 1, sizeof(struct segment *)),
    };
    if (choice->candidates == NULL || choice->chosen == NULL || choice->inputs == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for planning a merge");
    return BITCASK_OK;
}

void merge_choice_release(struct merge_choice *choice)
{
    free(choice->candidates);
    free(choice->chosen);
    free(choice->inputs);
    *choice = (struct merge_choice){0};
}

void merge_choice_add(struct merge_choice *choice, const struct segment *segment,
                      uint64_t keep_bytes)
{
    choice->candidates[choice->candidate_count++] = (struct merge_candidate){
        .id = segment->id,
        .size_bytes = merge_look_size(segment),
        .keep_bytes = keep_bytes,
        .records = atomic_load(&segment->live_records) + atomic_load(&segment->tombstones),
        .version_min = atomic_load(&segment->version_min),
        .eligible = merge_look_can_be_input(segment),
    };
}

static uint64_t fixed_room(size_t segments)
{
    return ROOM_FIXED + ROOM_PER_SEGMENT * (uint64_t)segments;
}

bitcask_status merge_choice_room(struct store *store, size_t segments, struct merge_room *room,
                                 bitcask_error *error)
{
    struct os *os = store->os;
    const char *directory = store->segments.directory;
    uint64_t size;
    *room = (struct merge_room){0};
    int result = os->free_space(os, directory, &room->free_bytes);
    if (result != 0)
        return error_set_os(error, result, "ask for the free disk space");
    if (os->disk_size(os, directory, &size) != 0)
        size = 0; /* then it is not known to be nearly full */
    uint64_t below_limit = quota_room(store);
    room->limited = below_limit < room->free_bytes;
    if (room->limited)
        room->free_bytes = below_limit;
    uint64_t fixed = fixed_room(segments);
    room->room_bytes = room->free_bytes > fixed ? room->free_bytes - fixed : 0;
    room->scarce = room->limited
                       ? quota_is_scarce(store)
                       : (double)room->free_bytes < MERGE_SCARCE_FREE_SHARE * (double)size;
    return BITCASK_OK;
}

/* The plan is empty: say NO_SPACE if it would not be, were there more room. */
static bitcask_status explain_room(struct merge_choice *choice, struct merge_wish wish,
                                   const struct merge_room *room, size_t segments,
                                   bitcask_error *error)
{
    wish.room_bytes = UINT64_MAX;
    if (merge_plan(choice->candidates, choice->candidate_count, &wish, choice->chosen) == 0)
        return BITCASK_OK;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < choice->candidate_count; i++)
        if (choice->chosen[i] && choice->candidates[i].keep_bytes < least)
            least = choice->candidates[i].keep_bytes;
    if (room->limited)
        return error_set(error, BITCASK_LIMIT,
                         "a merge needs %llu bytes of disk space, max-disk-bytes leaves %llu",
                         (unsigned long long)(least + fixed_room(segments)),
                         (unsigned long long)room->free_bytes);
    return error_set(
        error, BITCASK_NO_SPACE, "a merge needs %llu bytes of disk space, %llu are free",
        (unsigned long long)(least + fixed_room(segments)), (unsigned long long)room->free_bytes);
}

bitcask_status merge_choice_make(struct merge_choice *choice, struct merge_look *look,
                                 const struct merge_wish *wanted, bitcask_error *error)
{
    struct merge_wish wish = *wanted;
    struct merge_room room;
    bitcask_status status = merge_choice_room(look->store, look->count, &room, error);
    if (status != BITCASK_OK)
        return status;
    wish.room_bytes = room.room_bytes;
    wish.scarce |= room.scarce;
    qsort(choice->candidates, choice->candidate_count, sizeof *choice->candidates,
          merge_candidate_order);
    if (merge_plan(choice->candidates, choice->candidate_count, &wish, choice->chosen) == 0)
        return explain_room(choice, wish, &room, look->count, error);
    for (size_t i = 0; i < choice->candidate_count; i++)
        if (choice->chosen[i]) {
            merge_judge_add_input(&look->judge, choice->candidates[i].id);
            choice->keep_bytes += choice->candidates[i].keep_bytes;
            choice->size_bytes += choice->candidates[i].size_bytes;
        }
    for (size_t i = 0; i < look->count; i++)
        if (look->judge.segments[i].input)
            choice->inputs[choice->count++] = look->all[i];
    return BITCASK_OK;
}
