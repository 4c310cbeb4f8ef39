/* SPDX-License-Identifier: MIT
 * sync_mark.c: see sync_mark.h. */
#include "engine/sync_mark.h"

#include "base/bytes.h"
#include "base/planted.h"
#include "engine/segments.h"
#include "format/names.h"
#include "format/published.h"

/* ---- A process that writes ----------------------------------------------------------------- */

static void note(struct sync_mark *mark, uint64_t value)
{
    _Atomic uint64_t *word = atomic_load_explicit(&mark->word, memory_order_acquire);
    uint64_t bytes;
    put_u64(&bytes, PLANTED(sync_unmarked) ? PUBLISHED_SYNC_NONE : value);
    if (word != NULL && !atomic_load(&mark->failed))
        atomic_store(word, bytes);
}

void sync_mark_start(struct sync_mark *mark, _Atomic uint64_t *word)
{
    atomic_store(&mark->word, word);
    note(mark, PUBLISHED_SYNC_NONE);
}

void sync_mark_stop(struct sync_mark *mark)
{
    atomic_store(&mark->word, NULL);
}

void sync_mark_begin(struct sync_mark *mark, uint64_t segment_id)
{
    note(mark, published_sync_of(segment_id));
}

void sync_mark_end(struct sync_mark *mark, int result)
{
    note(mark, result == 0 ? PUBLISHED_SYNC_NONE : PUBLISHED_SYNC_UNKNOWN);
    if (result != 0)
        atomic_store(&mark->failed, true);
}

/* ---- Recovery ------------------------------------------------------------------------------ */

static struct sync_doubt doubt_of(uint64_t word)
{
    if (word == PUBLISHED_SYNC_NONE)
        return (struct sync_doubt){.segment = 0};
    uint64_t segment = published_sync_segment(word);
    return (struct sync_doubt){.all = segment == 0, .segment = segment};
}

/* Nothing is known from now on. Where that cannot be written there must be no file. */
static bool forget(struct os *os, const char *path, struct os_file *file)
{
    static const uint8_t unknown[8];
    return os->pwrite(os, file, unknown, sizeof unknown, PUBLISHED_AT_SYNC, 0) == 0 ||
           os->unlink(os, path) == 0;
}

struct sync_doubt sync_mark_read(struct segments *table, bool take)
{
    const struct sync_doubt all = {.all = true};
    struct os *os = table->os;
    struct os_traits traits;
    char path[OS_PATH_MAX];
    struct os_file *file;
    segments_path(table, path, NAME_PUBLISHED);
    if (os->traits(os, table->directory, &traits) != 0 ||
        os->open(os, path, take ? OS_READ | OS_WRITE : OS_READ, &file) != 0)
        return all;
    uint8_t bytes[PUBLISHED_SIZE];
    uint64_t capacity;
    struct sync_doubt doubt = all;
    bool good = os->pread(os, file, bytes, sizeof bytes, 0) == (int64_t)sizeof bytes &&
                published_check(slice_of(bytes, sizeof bytes), table->store_id, &capacity);
    /* Only where files are mapped has anything been noted. */
    if (good && traits.mapped_writes && traits.sync_tells_all)
        doubt = doubt_of(get_u64(bytes + PUBLISHED_AT_SYNC));
    if (!good || !published_decode_position(bytes + PUBLISHED_AT_POSITION, &doubt.published))
        doubt.published = (struct log_position){0, 0};
    if (take && !PLANTED(recovery_unmarked) && !forget(os, path, file))
        doubt.all = true;
    os->close(os, file);
    return doubt;
}
