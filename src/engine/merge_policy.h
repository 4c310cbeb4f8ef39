/* SPDX-License-Identifier: MIT
 * merge_policy.h: what the scheduler wishes of merge_plan, from the one figure that users set.
 *
 * With trigger t a segment is merged once a share t of it is dead. Under uniform overwriting the
 * segments' shares lie between 0 and t, so the store's own share is lower: -ln(1-t)/t - 1 dead per
 * live byte, 39% at t = 0.5, at a write amplification of 1/t. Other loads can leave every segment
 * just below its trigger. So the store as a whole has one too, two thirds of t: at t = 0.5 space
 * amplification stays at 1.5, and the uniform load never reaches it. */
#ifndef ENGINE_MERGE_POLICY_H
#define ENGINE_MERGE_POLICY_H

#include "engine/merge_plan.h"

/* With less than this share of the disk free, or of what puts may use, it is nearly full: small
 * jobs, what frees most per byte written. */
#define MERGE_SCARCE_FREE_SHARE 0.02
/* Then segments with this share of dead bytes are worth it too. */
#define MERGE_SCARCE_MIN_DEAD 0.125

static inline double merge_policy_store_trigger(double trigger)
{
    return trigger * 2 / 3;
}

/* The wish of the scheduler, with all the room there is. */
static inline struct merge_wish merge_policy_wish(double trigger, uint64_t output_bytes,
                                                  uint64_t output_records)
{
    return (struct merge_wish){
        .min_dead = trigger,
        .min_dead_store = merge_policy_store_trigger(trigger),
        .join = MERGE_JOIN_DOUBLING,
        .output_bytes = output_bytes,
        .output_records = output_records,
        .room_bytes = UINT64_MAX,
    };
}

#endif
