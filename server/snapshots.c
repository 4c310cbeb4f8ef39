/* SPDX-License-Identifier: MIT
 * snapshots.c: views of the store as of one moment, by name. */
#include "snapshots.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

struct named {
    char name[SNAPSHOT_NAME_MAX + 1];
    bitcask_snapshot *snapshot;
    uint64_t created_us;
};

struct snapshots {
    pthread_mutex_t mutex; /* also around look-ups: none is freed while it is read */
    struct named all[SNAPSHOTS_MAX];
    size_t count;
};

struct snapshots *snapshots_new(void)
{
    struct snapshots *snapshots = calloc(1, sizeof *snapshots);
    if (snapshots != NULL)
        pthread_mutex_init(&snapshots->mutex, NULL);
    return snapshots;
}

void snapshots_free(struct snapshots *snapshots)
{
    if (snapshots == NULL)
        return;
    for (size_t i = 0; i < snapshots->count; i++)
        bitcask_snapshot_free(snapshots->all[i].snapshot);
    pthread_mutex_destroy(&snapshots->mutex);
    free(snapshots);
}

static struct named *find(struct snapshots *snapshots, bitcask_slice name)
{
    for (size_t i = 0; i < snapshots->count; i++)
        if (strlen(snapshots->all[i].name) == name.size &&
            memcmp(snapshots->all[i].name, name.data, name.size) == 0)
            return &snapshots->all[i];
    return NULL;
}

static bool is_name(bitcask_slice name)
{
    const char *text = name.data;
    for (size_t i = 0; i < name.size; i++)
        if (text[i] < '!' || text[i] > '~')
            return false;
    return name.size >= 1 && name.size <= SNAPSHOT_NAME_MAX;
}

static bitcask_status fail(bitcask_error *error, bitcask_status status, const char *message)
{
    error->status = status;
    snprintf(error->message, sizeof error->message, "%s", message);
    return status;
}

static bitcask_status create(struct snapshots *snapshots, bitcask *store, bitcask_slice name,
                             bitcask_error *error)
{
    if (find(snapshots, name) != NULL)
        return BITCASK_EXISTS;
    if (snapshots->count == SNAPSHOTS_MAX)
        return fail(error, BITCASK_LIMIT, "there are 16 snapshots: drop one");
    struct named *named = &snapshots->all[snapshots->count];
    bitcask_status status = bitcask_snapshot_new(store, &named->snapshot, error);
    if (status != BITCASK_OK)
        return status;
    memcpy(named->name, name.data, name.size);
    named->name[name.size] = '\0';
    named->created_us = server_wall_us();
    snapshots->count++;
    return BITCASK_OK;
}

bitcask_status snapshots_create(struct snapshots *snapshots, bitcask *store, bitcask_slice name,
                                bitcask_error *error)
{
    if (!is_name(name))
        return fail(error, BITCASK_INVALID,
                    "a snapshot's name has 1 to 64 printable characters and no spaces");
    pthread_mutex_lock(&snapshots->mutex);
    bitcask_status status = create(snapshots, store, name, error);
    pthread_mutex_unlock(&snapshots->mutex);
    return status;
}

bool snapshots_drop(struct snapshots *snapshots, bitcask_slice name)
{
    pthread_mutex_lock(&snapshots->mutex);
    struct named *named = find(snapshots, name);
    if (named != NULL) {
        bitcask_snapshot_free(named->snapshot);
        *named = snapshots->all[--snapshots->count];
    }
    pthread_mutex_unlock(&snapshots->mutex);
    return named != NULL;
}

bitcask_status snapshots_get(struct snapshots *snapshots, bitcask *store, bitcask_slice name,
                             bitcask_slice key, bitcask_view *view, bitcask_error *error)
{
    pthread_mutex_lock(&snapshots->mutex);
    const struct named *named = find(snapshots, name);
    bitcask_status status = BITCASK_END;
    if (named != NULL) {
        bitcask_read_options options;
        bitcask_read_options_init(&options);
        options.snapshot = named->snapshot;
        status = bitcask_get_view(store, &options, key, view, error);
    }
    pthread_mutex_unlock(&snapshots->mutex);
    return status;
}

void snapshots_each(struct snapshots *snapshots,
                    void (*each)(void *context, const char *name, uint64_t version,
                                 uint64_t created_us),
                    void *context)
{
    pthread_mutex_lock(&snapshots->mutex);
    for (size_t i = 0; i < snapshots->count; i++)
        each(context, snapshots->all[i].name, bitcask_snapshot_version(snapshots->all[i].snapshot),
             snapshots->all[i].created_us);
    pthread_mutex_unlock(&snapshots->mutex);
}
