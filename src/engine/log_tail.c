/* SPDX-License-Identifier: MIT
 * log_tail.c: watermarks from the last segment to the first, then the cut from the first on. */
#include "engine/log_tail.h"

#include "base/planted.h"

/* What later segments say is durable: all segments below `segment`, and that one below `offset`. */
struct vouching {
    uint64_t segment, offset;
};

static void vouch(struct vouching *vouching, uint64_t segment, uint64_t offset)
{
    if (segment > vouching->segment) {
        *vouching = (struct vouching){segment, offset};
    } else if (segment == vouching->segment && offset > vouching->offset) {
        vouching->offset = offset;
    }
}

static void find_watermarks(struct log_tail_segment *segments, size_t count)
{
    struct vouching vouching = {0, 0};
    for (size_t i = count; i-- > 0;) {
        struct log_tail_segment *segment = &segments[i];
        const struct scan_result *scan = segment->scan;
        segment->watermark = scan == NULL ? UINT64_MAX : scan->watermark;
        if (segment->id < vouching.segment)
            segment->watermark = UINT64_MAX;
        else if (segment->id == vouching.segment && vouching.offset > segment->watermark)
            segment->watermark = vouching.offset;
        if (scan == NULL || scan->watermark > SEGMENT_HEADER_SIZE)
            vouch(&vouching, segment->id, 0);
        if (scan != NULL)
            vouch(&vouching, scan->sync_segment, scan->sync_offset);
    }
}

/* Does the first record say that the log before it was longer than what is left of it? */
static bool follows_a_gap(const struct log_tail_segment *segments, size_t index)
{
    const struct scan_result *scan = segments[index].scan;
    if (!scan->continues)
        return false;
    for (size_t i = index; i-- > 0;) {
        const struct log_tail_segment *before = &segments[i];
        if (before->id == scan->continues_segment)
            return before->watermark != UINT64_MAX &&
                   before->last_version < scan->continues_version;
    }
    return false; /* sealed and merged away: it was durable */
}

/* Does the segment that the log goes on in say that this one was no longer than what is left of it,
 * `left`? Then what is behind its end is no part of the log: a SEAL that was not written to its
 * end.
 */
static bool next_follows(const struct log_tail_segment *segments, size_t count, size_t index,
                         const struct log_tail_segment *left)
{
    for (size_t i = index + 1; i < count; i++) {
        const struct scan_result *scan = segments[i].scan;
        if (scan != NULL && scan->continues)
            return scan->continues_segment == left->id &&
                   scan->continues_version == left->last_version;
    }
    return false;
}

static void cut_at(struct log_tail_segment *segment, uint64_t end, uint64_t records_kept,
                   uint64_t last_version, const char *why)
{
    segment->end = end;
    segment->last_version = last_version;
    segment->cut_records = segment->scan->records - records_kept;
    segment->cut = why;
}

/* Is this hole behind all that the segment has held, as the one that the log goes on in says? */
static bool is_behind(const struct log_tail_segment *segments, size_t count, size_t index,
                      const struct scan_hole *hole)
{
    struct log_tail_segment ended = {.id = segments[index].id, .last_version = hole->cut_version};
    return segments[index].scan->end <= hole->offset && hole->cut == hole->offset &&
           next_follows(segments, count, index, &ended);
}

/* End the segment at its first hole that reaches above the watermark. */
static void find_end(struct log_tail_segment *segments, size_t count, size_t index)
{
    struct log_tail_segment *segment = &segments[index];
    const struct scan_result *scan = segment->scan;
    segment->end = scan->end;
    segment->last_version = scan->last_version;
    for (size_t i = 0; i < scan->hole_count && !PLANTED(hole_skipped); i++) {
        const struct scan_hole *hole = &scan->holes[i];
        if (hole->offset >= segment->watermark || is_behind(segments, count, index, hole) ||
            PLANTED(damage_ends_log)) {
            cut_at(segment, hole->cut, hole->cut_records, hole->cut_version, hole->why);
            return;
        }
        if (hole->end > segment->watermark) { /* damaged below, torn above */
            cut_at(segment, segment->watermark, hole->cut_records, hole->cut_version, hole->why);
            return;
        }
        if (hole->end > segment->end) /* damage up to the end */
            segment->end = hole->end;
    }
}

void log_tail_decide(struct log_tail_segment *segments, size_t count)
{
    find_watermarks(segments, count);
    const char *cut = NULL;
    for (size_t i = 0; i < count; i++) {
        struct log_tail_segment *segment = &segments[i];
        segment->cut = NULL;
        segment->cut_records = 0;
        segment->end = 0;
        segment->last_version = 0;
        if (segment->scan == NULL)
            continue;
        if (cut == NULL && follows_a_gap(segments, i))
            cut = "the end of the log before it is missing";
        if (cut != NULL) {
            cut_at(segment, SEGMENT_HEADER_SIZE, 0, 0, cut);
            continue;
        }
        find_end(segments, count, i);
        if (segment->cut != NULL && !next_follows(segments, count, i, segment) &&
            !PLANTED(cut_in_one_segment))
            cut = "it stands behind a hole of the log";
    }
}
