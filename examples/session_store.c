/* SPDX-License-Identifier: MIT
 * session_store.c: sessions of a web site that end by themselves after thirty minutes.
 *
 * The expiry is a point in time and part of the record: it survives a restart, needs no timer, and
 * costs nothing to pass. What has expired is not found from then on (the store's clock is exact to
 * some milliseconds); its space comes back with a merge, or at once when a whole segment has
 * expired.
 *
 * Prints:
 *     anna: user=1 cart=3, ends in 30 minutes
 *     anna after a click: user=1 cart=3, ends in 60 minutes
 *     anna after a change: user=1 cart=4, ends in 60 minutes
 *     boris after half an hour: no session
 *     clara after logging out: no session
 */
#include <bitcask.h>
#include <stdio.h>
#include <time.h>

#define MINUTE_US 60000000ull

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A real token is 16 bytes of getrandom(), not a name. */
static bitcask_status begin(bitcask *db, const char *token, const char *data, uint64_t expires_us,
                            bitcask_error *error)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = expires_us;
    return bitcask_put(db, bitcask_str(token), bitcask_str(data), &options, NULL, error);
}

/* The user has clicked: the session lives on. Nothing else of it changes. */
static bitcask_status touch(bitcask *db, const char *token, uint64_t expires_us,
                            bitcask_error *error)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.expires_us = expires_us;
    return bitcask_expire(db, bitcask_str(token), &options, NULL, error);
}

/* Other data, the same end. IF_PRESENT: a session that has ended meanwhile does not come back. */
static bitcask_status change(bitcask *db, const char *token, const char *data, bitcask_error *error)
{
    bitcask_write_options options;
    bitcask_write_options_init(&options);
    options.flags = BITCASK_KEEP_TTL | BITCASK_IF_PRESENT;
    return bitcask_put(db, bitcask_str(token), bitcask_str(data), &options, NULL, error);
}

static bitcask_status show(bitcask *db, const char *token, const char *when, uint64_t now,
                           bitcask_error *error)
{
    bitcask_buffer value = {0};
    bitcask_meta meta;
    bitcask_status status = bitcask_get(db, NULL, bitcask_str(token), &value, &meta, error);
    if (status == BITCASK_OK)
        printf("%s%s: %.*s, ends in %d minutes\n", token, when, (int)value.size,
               (const char *)value.data, (int)((meta.expires_us - now) / MINUTE_US));
    else if (status == BITCASK_NOT_FOUND) /* an outcome, not an error */
        printf("%s%s: no session\n", token, when);
    bitcask_buffer_free(&value);
    return status < 0 ? status : BITCASK_OK;
}

static bitcask_status day(bitcask *db, bitcask_error *error)
{
    uint64_t now = now_us();
    bitcask_status status = begin(db, "anna", "user=1 cart=3", now + 30 * MINUTE_US, error);
    if (status == BITCASK_OK)
        status = show(db, "anna", "", now, error);
    if (status == BITCASK_OK)
        status = touch(db, "anna", now + 60 * MINUTE_US, error);
    if (status == BITCASK_OK)
        status = show(db, "anna", " after a click", now, error);
    if (status == BITCASK_OK)
        status = change(db, "anna", "user=1 cart=4", error);
    if (status == BITCASK_OK)
        status = show(db, "anna", " after a change", now, error);
    if (status == BITCASK_OK) /* so as not to wait: as if he had come an hour ago */
        status = begin(db, "boris", "user=2", now - 30 * MINUTE_US, error);
    if (status == BITCASK_OK)
        status = show(db, "boris", " after half an hour", now, error);
    if (status == BITCASK_OK)
        status = begin(db, "clara", "user=3", now + 30 * MINUTE_US, error);
    if (status == BITCASK_OK) /* NOT_FOUND would be as good: then it has ended by itself */
        status = bitcask_delete(db, bitcask_str("clara"), NULL, NULL, error);
    if (status >= 0)
        status = show(db, "clara", " after logging out", now, error);
    return status;
}

int main(int argc, char **argv)
{
    bitcask *db;
    bitcask_error error;
    bitcask_status status = bitcask_open(argc > 1 ? argv[1] : "./session-data", NULL, &db, &error);
    if (status == BITCASK_OK)
        status = day(db, &error);
    if (status < 0)
        fprintf(stderr, "%s\n", error.message);
    return (bitcask_close(db, NULL) != BITCASK_OK) | (status != BITCASK_OK);
}
