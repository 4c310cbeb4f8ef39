/* SPDX-License-Identifier: MIT
 * planted_list.h: the mistakes of planted.h: X(name, source, sentence).
 *
 * `source` says where the mistake comes from: the invariant of docs/DURABILITY.md that it breaks,
 * and what has taught it: "trap n", a mistake that a store of this kind has been shipped with;
 * "draft n", a hole in an early draft of this one; "fault", what devices and kernels do. */
#ifndef BASE_PLANTED_LIST_H
#define BASE_PLANTED_LIST_H

/* clang-format off */
#define PLANTED_BUGS(X) \
    /* ---- the log and its files ---- */ \
    X(unnamed_segment,       "L3, draft 3",  "a segment takes records before the manifest names it") \
    X(segment_dir_unsynced,  "L3, trap 28",  "the name of a new segment is not synced") \
    X(ids_reused,            "L2, trap 16",  "the next id is that of the manifest, whatever files there are") \
    X(version_from_clock,    "L1, trap 8",   "a version is the clock's time, also when that stands still") \
    X(versions_restart,      "L1, draft 18", "after an unclean stop versions start above those found, not above the ceiling") \
    X(ceiling_not_raised,    "L1, draft 18", "versions are given above the ceiling that is on disk") \
    X(put_not_rotated,       "trap 33",      "a record that does not fit into the segment is not kept for the next one") \
    X(appended_behind_cut,   "L5, draft 5",  "a segment that was cut is appended to again, over what stood behind the cut") \
    X(rewind_keeps_bytes,    "L6, draft 5",  "what a failed append has written stays behind the end") \
    X(still_clean,           "L5",           "appending to a segment again leaves a manifest that says the store is closed") \
    X(old_hint_believed,     "R7, trap 19",  "the hint of a segment that is appended to again still counts") \
    X(short_write_taken,     "trap 27",      "a write that the kernel cut short passes for a whole one") \
    X(reserve_kept,          "trap 22",      "a full disk refuses deletes, although space was kept for them") \
    X(descriptor_leaks,      "trap 13",      "the file of a sealed segment stays open") \
    /* ---- writes ---- */ \
    X(group_unaware,         "W1, draft 9",  "a request does not see those before it in its group") \
    X(group_newest_first,    "W1",           "a group is served in the order of its stack") \
    X(reserved_late,         "W2, draft 15", "index memory is asked for when the record is in the log already") \
    X(batch_unmarked,        "W3, draft 17", "the records of a batch do not say that more will follow") \
    X(published_unsynced,    "W4, draft 10", "a write is visible before the sync it waits for") \
    X(durable_by_first,      "W4",           "a group is as durable as its first request wants") \
    X(lost_race,             "W5, trap 4",   "a write whose key a merge has moved meanwhile is not published") \
    X(dead_not_counted,      "trap 12",      "what is replaced stays in the figures of its segment") \
    /* ---- durability ---- */ \
    X(sync_ignored,          "D2, fault",    "the result of a sync of the log is ignored") \
    X(sync_retried,          "D2, fault",    "a failed sync of the log is tried again") \
    X(sync_last_only,        "D1, draft 8",  "only the last segment of the log is synced") \
    X(write_through_always,  "D1, draft 8",  "a group goes by one synced write although what is before it is not durable") \
    X(rescue_unsynced,       "D2, draft 20", "the saved tail of a failed segment is not synced") \
    X(suspect_served,        "D2, draft 20", "what a failed sync may have lost is served from the cache") \
    X(manifest_unsynced,     "D3, fault",    "the manifest is renamed before its bytes are synced") \
    X(manifest_dir_unsynced, "D3, trap 28",  "the renaming of the manifest is not synced") \
    X(failed_tail_left, "D8", "what a failed sync has left behind the end of a segment stays there") \
    X(damaged_version,       "R2",           "a damaged record is believed its version") \
    X(durable_untold,        "R2",           "a manifest does not tell what of the open segments is durable") \
    X(watermark_ahead,       "R2",           "a SYNC record vouches for bytes that have not been synced") \
    /* ---- recovery ---- */ \
    X(tail_unsynced,         "R1, fault",    "recovery serves a tail that it has not synced") \
    X(cache_believed,        "R1, draft 20", "recovery reads the tail from the page cache") \
    X(length_trusted,        "trap 17",      "the sizes in a header are believed before the checksum, and beyond the end") \
    X(checksum_skipped,      "trap 17",      "recovery takes records without looking at their checksums") \
    X(sync_unmarked,         "R1, fault",    "a sync that goes wrong is not noted beforehand for a recovery") \
    X(recovery_unmarked,     "R1, fault",    "nor are those of recovery itself") \
    X(length_believed,       "R1",           "recovery believes a file's length that a failed sync may have lost") \
    X(zeros_are_damage,      "trap 18",      "zeros behind the log are taken for damaged records") \
    X(damage_ends_log,       "R2",           "a damaged record below the watermark ends the log") \
    X(hole_skipped,          "R2",           "the log goes on behind a hole above the watermark") \
    X(cut_in_one_segment,    "R3",           "the log goes on in the segments behind the one that was cut") \
    X(torn_batch_kept,       "R3, draft 6",  "a batch without its end is kept") \
    X(batch_cut_inside,      "R3, draft 6",  "a batch with a hole is cut at the hole, not at its begin") \
    X(cut_not_kept,          "R4",           "what is cut off is not copied to quarantine") \
    X(quarantine_unsynced,   "R4, trap 28",  "the name of a file in quarantine is not synced") \
    X(tidied_unsynced,       "D6, draft 4",  "recovery removes what a manifest does not name that may not be durable") \
    X(cut_when_clean, "D8", "recovery cuts files only when the manifest says that there is nothing to do") \
    X(sealing_clean,         "D9",           "a segment is given to the sealer while the manifest says clean") \
    X(short_file_taken,      "R6",           "a sealed file that is shorter than it was is no damage") \
    X(short_hint_taken,      "R7, trap 19",  "a hint of a part of the segment is taken for one of the whole") \
    X(hint_unchecked,        "R7, trap 19",  "the checksums of a hint's pages are not looked at") \
    X(newest_by_id,          "R5, trap 4",   "of two records of a key the one in the higher segment wins") \
    X(header_needed,         "draft 22",     "a segment with a bad header is given up") \
    X(manifest_needed, "R9, fault", "a manifest in a bad sector keeps the store from opening") \
    X(inputs_rebuilt,        "M6, draft 7",  "a lost manifest is rebuilt with the inputs of finished merges") \
    X(lock_shared,           "draft 23",     "a writer's lock keeps nobody out") \
    X(fork_unnoticed,        "draft 23",     "a child of fork() may use the store of its parent") \
    /* ---- merge ---- */ \
    X(merges_unsealed,       "M1, trap 15",  "a segment that is not sealed is merged") \
    X(merge_unchecked,       "M1, trap 17",  "a merge copies records without looking at their checksums") \
    X(merged_before_sync,    "M2, draft 1",  "a record is judged dead because of one that is not durable") \
    X(output_unsynced,       "M2, trap 22",  "the outputs of a merge are not synced") \
    X(tombstone_dropped,     "M3, trap 1",   "a merge drops every tombstone") \
    X(tombstone_kept,        "M3, trap 2",   "a merge keeps every tombstone") \
    X(expired_dropped,       "M3, draft 2",  "a merge drops an expired record that hides an older value") \
    X(clock_trusted,         "M3, draft 19", "a merge reaps by a clock that has been set") \
    X(inputs_dropped,        "M5, trap 22",  "a merge goes on although the manifest could not be written") \
    X(seal_without_inputs,   "M6, draft 7",  "a merge that keeps nothing leaves no word of its inputs") \
    X(batch_flag_copied,     "W3",           "a merge copies the mark of a batch whose rest stays behind") \
    /* ---- readers and the index ---- */ \
    X(no_grace,              "X1, draft 13", "a merged segment is unmapped under its readers") \
    X(grace_unmeasured,      "X1, draft 13", "a grace period is over at once") \
    X(grace_unfenced,        "X1, draft 13", "readers pass no barrier before they are counted") \
    X(views_unmeasured,      "X1, trap 9",   "a merged segment is unmapped behind the grace period, views or not") \
    X(views_measured_early,  "X1, draft 13", "views of a merged segment are summed before readers have left") \
    X(last_view_unnoticed,   "X1, trap 10",  "a merged segment stays when its last view is released") \
    X(pin_leaks,             "trap 10",      "an iterator does not let go of its segments") \
    X(iterator_unpinned,     "X1, trap 9",   "an iterator does not hold its segments") \
    X(damage_not_found,      "X2, draft 14", "a record whose key is damaged reads as another key's") \
    X(key_by_tag,            "X2, trap 32",  "a matching tag is taken for the key") \
    X(read_unchecked,        "X2, trap 17",  "a read does not look at the checksum") \
    X(expired_listed,        "trap 34",      "an iteration shows expired keys") \
    X(move_unlocked,         "X3, draft 12", "a merge moves an entry while its shard is being split") \
    X(scan_unsequenced,      "X3",           "an iteration does not notice that entries moved meanwhile") \
    X(half_batch_shows,      "X5, draft 17", "a batch shows record by record while it is being published") \
    X(many_one_by_one,       "X5, draft 17", "a look-up of many keys does not notice a batch in between") \
    X(floor_read_once,       "X5",           "a reader believes in an old place's absence although the batch is over") \
    X(batch_unnoticed,       "X5",           "a look-up does not notice that a batch has ended meanwhile") \
    X(undone_late,           "X4",           "an old place is kept only when the index has changed") \
    X(old_place_unpinned,    "X4, trap 9",   "the segment of an old place is not held") \
    X(not_handed_down,       "X4",           "freeing a snapshot forgets what older ones need") \
    X(walked_twice,          "X6",           "a walk over a snapshot shows a key from index and overlay") \
    X(reaped_under_snapshot, "X7",           "a merge reaps what a snapshot sees as alive") \
    X(end_inside_batch,      "R3, draft 6",  "a sync notes an end in the middle of a batch") \
    X(stash_forgotten,       "X3",           "a split loses what was in the stash") \
    X(stash_unseen,          "X3",           "a batch takes a key for new that is in the stash, or in a shard still to be fetched") \
    X(split_unmended,        "X3",           "a split in steps shows the entries as they were when they were copied") \
    /* ---- what goes as a whole ---- */ \
    X(buried_bare,           "M7, draft 2",  "what an evicted or expired segment hid is not judged") \
    X(buried_indexed,        "M7, X1",       "the index keeps what a segment took along") \
    X(buried_early,          "M7",           "a segment goes although a record of it has not expired") \
    X(evicted_unseen,        "X4",           "a snapshot loses what is evicted under it") \
    X(filter_lies,           "M3, trap 1",   "a filter says no to a key that the segment has") \
    X(tombstone_young,       "draft 24",     "a tombstone goes before its least age") \
    X(limit_unheeded,        "quota",        "puts go on beyond max_disk_bytes") \
    X(index_limit_unheeded,  "quota",        "the index grows beyond max_index_bytes") \
    X(newest_evicted,        "quota",        "eviction takes the youngest keys first") \
    /* ---- followers and feeds ---- */ \
    X(published_early,       "F1, draft 10", "the position is told before the group is durable") \
    X(follow_unpublished,    "F1",           "a follower reads all that is in the file") \
    X(follow_half_batch,     "F4, X5",       "a follower applies a batch record by record") \
    X(follow_merge_unseen,   "F2, trap 9",   "a follower does not move entries to the outputs of a merge") \
    X(follow_gap_unseen,     "F4, draft 24", "a follower passes over log segments that went before it read them") \
    X(follow_cut_unseen,     "F2",           "a follower keeps what a recovery has cut off") \
    X(follow_maps_unsealed,  "F5",           "a follower maps segments that may still be cut") \
    X(follow_unswept,        "F2, trap 12",  "entries of merged segments that have no copy stay") \
    X(follow_shown_early,    "F6",           "readers of a follower look into an index that is still being loaded") \
    X(follow_behind,         "F2",           "a follower takes a new segment for one that was merged away") \
    X(follow_empty_end,      "F2",           "the log is said to end in a segment in which nothing is yet") \
    X(feed_unpublished,      "F1, C1",       "a feed gives what is appended and not published") \
    X(feed_gap_unseen,       "C2, draft 24", "a feed goes on behind log segments that were merged away") \
    X(feed_cut_unseen,       "C2",           "a feed resumes behind a change that a crash has taken back") \
    X(feed_twice,            "C1",           "a feed gives what a rescue has copied again") \
    /* ---- a write alone: these stay last, see PLANTED_ELSEWHERE ---- */ \
    X(alone_unproved,        "X1, trap 1",   "a write alone takes the record that has its key's tag for its key's") \
    X(alone_unkept,          "X4",           "a write alone keeps no old place for a snapshot") \
    X(alone_counted,         "S1, L6",       "a write alone that is taken back stays counted in")
/* clang-format on */

#endif
