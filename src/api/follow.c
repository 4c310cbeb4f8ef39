/* SPDX-License-Identifier: MIT
 * follow.c: the public functions of followers and change feeds. */
#include "engine/follow.h"

#include "api/api.h"
#include "engine/feed.h"

bitcask_status bitcask_refresh(bitcask *db, uint64_t *changes, bitcask_error *error)
{
    if (changes != NULL)
        *changes = 0;
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && !api_store(db)->options.follow)
        status = error_set(error, BITCASK_INVALID,
                           "the store was not opened to follow: it is always up to date");
    return status == BITCASK_OK ? follow_refresh(api_store(db), changes, error) : status;
}

bitcask_status bitcask_feed_new(bitcask *db, const char *from, bitcask_slice prefix,
                                bitcask_feed **feed, bitcask_error *error)
{
    if (feed == NULL || from == NULL)
        return api_missing(feed == NULL ? "feed" : "the position", error);
    *feed = NULL;
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && prefix.size > 0)
        status = api_check_key(prefix, error);
    if (status == BITCASK_OK && api_store(db)->options.follow)
        status = follow_refresh(api_store(db), NULL, error);
    return status == BITCASK_OK ? feed_new(api_store(db), from, prefix, feed, error) : status;
}

bitcask_status bitcask_feed_next(bitcask_feed *feed, bitcask_change *change, bitcask_error *error)
{
    if (feed == NULL || change == NULL)
        return api_missing(feed == NULL ? "feed" : "change", error);
    bitcask_status status = api_check_process(feed_store(feed), error);
    return status == BITCASK_OK ? feed_next(feed, change, error) : status;
}

void bitcask_feed_position(const bitcask_feed *feed, char text[BITCASK_POSITION_SIZE])
{
    struct feed_position position = {0};
    if (text == NULL)
        return;
    if (feed != NULL)
        feed_position(feed, &position);
    feed_position_print(&position, text);
}

void bitcask_feed_free(bitcask_feed *feed)
{
    if (feed != NULL)
        feed_free(feed);
}
