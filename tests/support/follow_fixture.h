/* SPDX-License-Identifier: MIT
 * follow_fixture.h: a writer (store_fixture.h) and a follower on one disk in memory.
 *
 * The writer dies by abandon(&w): its files stay as they are, and so does the follower. */
#ifndef SUPPORT_FOLLOW_FIXTURE_H
#define SUPPORT_FOLLOW_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

#include "engine/follow.h"
#include "engine/merge.h"
#include "format/names.h"

#define assert_status_of(error, expected, call)                                   \
    do {                                                                          \
        bitcask_status got_ = (call);                                             \
        if (got_ != BITCASK_##expected)                                           \
            fail_msg("%s gave %s (%s), not %s", #call, bitcask_status_name(got_), \
                     got_ < 0 ? (error).message : "", #expected);                 \
    } while (0)

/* A follower has a fixture of its own on the writer's disk, for the verbs that read. */
static inline void follower_init(struct fixture *follower, const struct fixture *writer)
{
    *follower = (struct fixture){.os = writer->os, .options = writer->options};
    follower->options.follow = 1;
    follower->options.log_context = follower;
}

static inline bitcask_status try_follow(struct fixture *follower, const struct fixture *writer)
{
    follower_init(follower, writer);
    return try_open(follower);
}

static inline void start_follower(struct fixture *follower, const struct fixture *writer)
{
    assert_status_of(follower->error, OK, try_follow(follower, writer));
}

static inline void stop_follower(struct fixture *follower)
{
    assert_status_of(follower->error, OK, bitcask_close(follower->db, &follower->error));
    follower->store = NULL;
    follower->db = NULL;
}

static inline uint64_t refresh(struct fixture *follower)
{
    uint64_t changes;
    assert_status_of(follower->error, OK,
                     bitcask_refresh(follower->db, &changes, &follower->error));
    return changes;
}

static inline uint64_t reloads_of(struct fixture *follower)
{
    return follow_look(follower->store).reloads;
}

static inline bitcask_status try_merge(struct fixture *writer, int all)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = all;
    return bitcask_merge(writer->db, &options, NULL, &writer->error);
}

static inline void merge_everything(struct fixture *writer)
{
    assert_status_of(writer->error, OK, try_merge(writer, 1));
}

static inline void merge_wasteful(struct fixture *writer)
{
    assert_status_of(writer->error, OK, try_merge(writer, 0));
}

/* Both show the same keys and values. */
static inline void check_equal(struct fixture *follower, struct fixture *writer)
{
    char *ours = dump_store(follower), *theirs = dump_store(writer);
    if (strcmp(ours, theirs) != 0)
        fail_msg("the follower has\n%sthe writer\n%s", ours, theirs);
    free(ours);
    free(theirs);
}

static inline void check_level(struct fixture *follower, struct fixture *writer)
{
    refresh(follower);
    check_equal(follower, writer);
}

#endif
