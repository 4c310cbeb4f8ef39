/* SPDX-License-Identifier: MIT
 * follow.c: opening a follower, and bringing it up to date. */
#include "engine/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "engine/follow_internal.h"
#include "engine/manifest_file.h"
#include "engine/read_ahead.h"
#include "format/names.h"

/* The writer may replace the manifest while we open what it names; but not for ever between each
 * reading and the next look. */
enum { ROUNDS_MAX = 64, LEVEL_ROUNDS_MAX = 4 };

/* ---- What the manifest says ------------------------------------------------------------------ */

const struct manifest_segment *follow_entry(const struct follow *follow, uint64_t id)
{
    const struct manifest *manifest = &follow->manifest;
    size_t low = 0, high = manifest->segment_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (manifest->segments[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < manifest->segment_count && manifest->segments[low].id == id;
    return found ? &manifest->segments[low] : NULL;
}

struct segment *follow_segment(struct store *store, uint64_t id)
{
    struct segments *table = &store->segments;
    pthread_mutex_lock(&table->mutex);
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->by_id[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < table->count && table->by_id[low]->id == id;
    struct segment *segment = found ? table->by_id[low] : NULL;
    pthread_mutex_unlock(&table->mutex);
    return segment;
}

bool follow_is_vouched(const struct follow *follow, const struct manifest_segment *entry)
{
    return (entry->state == MANIFEST_SEALED || follow->manifest.clean) &&
           entry->length >= SEGMENT_HEADER_SIZE;
}

bool follow_is_published(const struct follow *follow, uint64_t id)
{
    return !follow->has_position || id <= follow->position.segment;
}

/* ---- A look at the directory ----------------------------------------------------------------- */

static bitcask_status say_diverged(struct store *store, bitcask_error *error)
{
    return error_set(error, BITCASK_DIVERGED, "another store stands in '%s' now; open it anew",
                     store->segments.directory);
}

static bitcask_status say_damaged(const char *why, bitcask_error *error)
{
    return error_set(error, BITCASK_CORRUPT,
                     "%s is damaged (%s): open the store for writing to mend it", NAME_MANIFEST,
                     why);
}

/* Take a manifest whose text is another one than that at hand. */
static bitcask_status take_manifest(struct store *store, char *text, size_t size,
                                    bitcask_error *error)
{
    struct follow *follow = store->follow;
    struct segments *table = &store->segments;
    struct manifest manifest;
    const char *why = "";
    bitcask_status status = manifest_file_parse(slice_of(text, size), &manifest, &why, error);
    if (status == BITCASK_CORRUPT)
        return say_damaged(why, error);
    if (status != BITCASK_OK)
        return status;
    bool first = !follow->has_manifest;
    if (!first && memcmp(manifest.store_id, table->store_id, STORE_ID_SIZE) != 0) {
        manifest_release(&manifest);
        return say_diverged(store, error);
    }
    if (!first && memcmp(manifest.fork_id, store->fork_id, STORE_ID_SIZE) != 0)
        follow->gap = "the store has another fork id";
    if (first) {
        memcpy(table->store_id, manifest.store_id, STORE_ID_SIZE);
        memcpy(table->seed, manifest.seed, SEED_SIZE);
        hash_secret_init(&store->secret, manifest.seed);
    }
    memcpy(store->fork_id, manifest.fork_id, STORE_ID_SIZE);
    atomic_store(&store->version_ceiling, manifest.version_ceiling);
    store->opened_clean = manifest.clean;
    manifest_release(&follow->manifest);
    free(follow->text);
    follow->manifest = manifest;
    follow->has_manifest = true;
    follow->text = text;
    follow->text_size = size;
    follow->adopted = false;
    return BITCASK_OK;
}

/* Read the manifest, and then how far the log is published: so all that the manifest was written
 * upon is published below that position. *changed: it is another manifest. */
static bitcask_status look(struct store *store, bool *changed, bitcask_error *error)
{
    struct follow *follow = store->follow;
    char *text = NULL;
    size_t size = 0;
    const char *why = "";
    bitcask_status status = manifest_file_text(&store->segments, &text, &size, &why, error);
    if (status == BITCASK_NOT_FOUND)
        return error_set(error, BITCASK_NO_STORE, "no store here: there is no %s", NAME_MANIFEST);
    if (status == BITCASK_CORRUPT)
        return say_damaged(why, error);
    if (status != BITCASK_OK)
        return status;
    *changed =
        !follow->has_manifest || size != follow->text_size || memcmp(text, follow->text, size) != 0;
    if (*changed)
        status = take_manifest(store, text, size, error);
    if (!*changed || status != BITCASK_OK)
        free(text);
    if (status != BITCASK_OK)
        return status;
    follow->told_before = follow->has_position ? follow->position.segment : 0;
    status = published_read(&store->segments, &follow->position, &follow->capacity, error);
    follow->has_position = status == BITCASK_OK;
    return status == BITCASK_NOT_FOUND ? BITCASK_OK : status;
}

/* ---- Catching up ----------------------------------------------------------------------------- */

static bitcask_status load(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    const char *why = follow->gap;
    bitcask_status status = follow_load(store, error);
    if (status != BITCASK_OK)
        return status;
    follow->gap = NULL;
    if (why != NULL) {
        follow->applied++;
        atomic_fetch_add(&follow->reloads, 1);
        EVENT(&store->events, BITCASK_LOG_INFO, "reloaded", F_TEXT("why", why),
              F_UINT("keys", keydir_count(store->keydir)));
    }
    return BITCASK_OK;
}

/* One look, and what follows from it. END: look again. */
static bitcask_status catch_up_once(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    bool changed = false;
    bitcask_status status = look(store, &changed, error);
    if (status == BITCASK_OK && follow->manifest.log_floor > follow->version &&
        store->keydir != NULL && !PLANTED(follow_gap_unseen))
        follow->gap = "log segments have been merged away before they were read";
    if (status == BITCASK_OK && (store->keydir == NULL || follow->gap != NULL))
        status = load(store, error);
    else if (status == BITCASK_OK)
        status = follow_adopt(store, error);
    if (status == BITCASK_OK && follow->gap == NULL)
        status = follow_log(store, error);
    if (status == BITCASK_OK && follow->gap == NULL)
        status = follow_exchange(store, error);
    if (status == BITCASK_OK && follow->gap != NULL)
        return BITCASK_END;
    if (status == BITCASK_OK && follow_is_level(store))
        status = follow_sweep(store, error);
    return status;
}

static bitcask_status catch_up(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    unsigned level_rounds = 0;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        const char *text = follow->text;
        uint64_t told = log_position_word(follow->position);
        bitcask_status status = catch_up_once(store, error);
        if (status == BITCASK_END)
            continue;
        if (status != BITCASK_OK || follow_is_level(store))
            return status;
        /* The manifest at hand is older than the position; or what a power cut has left of the log
         * is less than the position says, and there is nobody yet to say so. */
        bool same = text == follow->text && told == log_position_word(follow->position);
        level_rounds = same ? level_rounds + 1 : 0;
        if (level_rounds == LEVEL_ROUNDS_MAX)
            return BITCASK_OK;
    }
    return error_set(error, BITCASK_BUSY,
                     "the store's segments change faster than they can be opened%s%s; try again",
                     follow->gap != NULL ? ": " : "", follow->gap != NULL ? follow->gap : "");
}

static bitcask_status refresh(struct store *store, bitcask_error *error)
{
    struct follow *follow = store->follow;
    follow->applied = 0;
    bitcask_status status = catch_up(store, error);
    follow_show(store);
    atomic_store(&store->writer.last_version, follow->version);
    atomic_fetch_add(&follow->records, follow->applied);
    return status;
}

bitcask_status follow_refresh(struct store *store, uint64_t *changes, bitcask_error *error)
{
    struct follow *follow = store->follow;
    write_mutex_lock(&store->write_mutex);
    bitcask_status status = refresh(store, error);
    if (changes != NULL)
        *changes = follow->applied;
    atomic_fetch_add(&follow->refreshes, 1);
    if (keydir_wants_retag(store->keydir)) {
        struct epoch_guard guard = epoch_enter(&store->epoch);
        (void)!keydir_retag(store->keydir, UINT64_MAX);
        epoch_exit(guard);
    }
    write_mutex_unlock(&store->write_mutex);
    epoch_poll(&store->epoch);
    read_ahead_look(store, false);
    if (status != BITCASK_OK)
        error_prefix(error, "refresh '%s'", store->segments.directory);
    else
        EVENT(&store->events, BITCASK_LOG_DEBUG, "refreshed", F_UINT("records", follow->applied));
    return status;
}

bitcask_status follow_open(struct store *store, bitcask_error *error)
{
    struct follow *follow = calloc(1, sizeof *follow);
    if (follow == NULL)
        return error_set(error, BITCASK_NO_MEMORY, "out of memory for a follower");
    store->follow = follow;
    write_mutex_lock(&store->write_mutex);
    bitcask_status status = refresh(store, error);
    write_mutex_unlock(&store->write_mutex);
    return status;
}

void follow_release(struct store *store)
{
    struct follow *follow = store->follow;
    if (follow == NULL)
        return;
    for (size_t i = 0; i < follow->departed_count; i++)
        segment_unpin(follow->departed[i]);
    free(follow->departed);
    free(follow->held);
    manifest_release(&follow->manifest);
    free(follow->text);
    free(follow);
    store->follow = NULL;
}

/* ---- Figures --------------------------------------------------------------------------------- */

static uint64_t lag_of(struct store *store)
{
    struct segments *table = &store->segments;
    struct log_position read = published_position(&store->published), told;
    uint64_t capacity, lag = 0;
    if (published_read(table, &told, &capacity, NULL) != BITCASK_OK || told.segment < read.segment)
        return 0;
    if (told.segment == read.segment)
        return told.end > read.end ? told.end - read.end : 0;
    char name[NAME_SIZE], path[OS_PATH_MAX];
    for (uint64_t id = read.segment; id != 0 && id < told.segment; id++) {
        struct os_stat stat;
        name_data(name, id);
        segments_path(table, path, name);
        if (table->os->stat(table->os, path, &stat) == 0)
            lag += stat.size;
    }
    return lag + told.end - (lag > read.end ? read.end : 0);
}

struct follow_figures follow_look(struct store *store)
{
    const struct follow *follow = store->follow;
    if (follow == NULL)
        return (struct follow_figures){0};
    return (struct follow_figures){
        .refreshes = atomic_load(&follow->refreshes),
        .reloads = atomic_load(&follow->reloads),
        .records = atomic_load(&follow->records),
        .lag_bytes = lag_of(store),
    };
}

uint64_t follow_generation(const struct store *store)
{
    return store->follow == NULL ? 0 : atomic_load(&store->follow->generation);
}
