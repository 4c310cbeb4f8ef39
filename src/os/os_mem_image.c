/* SPDX-License-Identifier: MIT
 * os_mem_image.c: a file's bytes in memory: as the program sees them, as they are durable, and as
 * the cache believes them to be written.
 *
 * Small files live on the heap. What is large, or mapped, gets address space of its own with room
 * to grow in place: only pages that are touched take memory.
 *
 * Durability is exact to the byte, which is harsher than any disk: nothing becomes durable because
 * a neighbour did. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "os/os_mem_internal.h"

enum { HEAP_SIZE_MIN = 256, HEAP_SIZE_MAX = 64 << 10, RESERVE_SIZE_MIN = 16 << 20 };

/* ---- Memory ---------------------------------------------------------------------------------- */

static void *reserve_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (madvise(memory, size, MADV_DONTFORK) != 0) {
        munmap(memory, size);
        return NULL;
    }
    return memory;
}

static struct mem_bytes *bytes_new(size_t size, bool stable)
{
    struct mem_bytes *bytes = malloc(sizeof(*bytes));
    if (!bytes)
        return NULL;
    *bytes = (struct mem_bytes){.references = 1};
    bytes->reserved = stable || size > HEAP_SIZE_MAX;
    if (bytes->reserved) {
        size_t pages_size = (size + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
        bytes->capacity = size <= RESERVE_SIZE_MIN / 4 ? RESERVE_SIZE_MIN : 4 * pages_size;
        bytes->data = reserve_memory(bytes->capacity);
    } else {
        bytes->capacity = HEAP_SIZE_MIN;
        while (bytes->capacity < size)
            bytes->capacity *= 2;
        bytes->data = calloc(1, bytes->capacity);
    }
    if (!bytes->data) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

struct mem_bytes *mem_bytes_share(struct mem_bytes *bytes)
{
    bytes->references++;
    return bytes;
}

void mem_bytes_release(struct mem_bytes *bytes)
{
    if (!bytes || --bytes->references > 0)
        return;
    if (bytes->reserved)
        munmap(bytes->data, bytes->capacity);
    else
        free(bytes->data);
    free(bytes);
}

/* Zero [begin, end); whole pages of reserved memory are given back. */
static void bytes_zero(struct mem_bytes *bytes, size_t begin, size_t end)
{
    size_t page = (begin + OS_PAGE - 1) & ~(size_t)(OS_PAGE - 1);
    size_t page_end = end == bytes->capacity ? end : end & ~(size_t)(OS_PAGE - 1);
    if (bytes->reserved && page < page_end &&
        madvise(bytes->data + page, page_end - page, MADV_DONTNEED) == 0) {
        memset(bytes->data + begin, 0, page - begin);
        begin = page_end;
    }
    memset(bytes->data + begin, 0, end - begin);
}

/* Other threads may store into mapped bytes while a sync copies them, as they may while a disk
 * writes the page: such a byte is caught or not, and that is no race to report. Words are read
 * through a volatile pointer, so that neither loop becomes a call of memcpy, which is watched. */
typedef uint64_t __attribute__((may_alias)) word;

__attribute__((no_sanitize("thread"))) static void
copy_racing(unsigned char *to, const unsigned char *from, size_t begin, size_t end)
{
    size_t i = begin;
    while (i < end) {
        if (i % sizeof(word) == 0 && end - i >= sizeof(word)) {
            *(word *)(void *)(to + i) = *(const volatile word *)(const void *)(from + i);
            i += sizeof(word);
        } else {
            to[i] = *(const volatile unsigned char *)(from + i);
            i++;
        }
    }
}

/* Make durable what differs from what the cache takes for written (which may be the same bytes);
 * returns the end of the last such byte. */
__attribute__((no_sanitize("thread"))) static size_t copy_changed(unsigned char *durable,
                                                                  unsigned char *settled,
                                                                  const unsigned char *visible,
                                                                  size_t size)
{
    size_t end = 0;
    size_t i = 0;
    while (i < size) {
        if (i % sizeof(word) == 0 && size - i >= sizeof(word) &&
            *(const volatile word *)(const void *)(visible + i) ==
                *(const word *)(const void *)(settled + i)) {
            i += sizeof(word);
            continue;
        }
        unsigned char byte = *(const volatile unsigned char *)(visible + i);
        if (byte != settled[i]) {
            settled[i] = durable[i] = byte;
            end = i + 1;
        }
        i++;
    }
    return end;
}

/* ---- Images ---------------------------------------------------------------------------------- */

int mem_image_reserve(struct mem_image *image, size_t size, bool stable)
{
    struct mem_bytes *old = image->bytes;
    if (old ? old->capacity >= size && (old->reserved || !stable) : size == 0 && !stable)
        return 0;
    if (old && old->references > 1)
        return -ENOMEM; /* mapped: must not move */
    struct mem_bytes *bytes = bytes_new(size > image->size ? size : image->size, stable);
    if (!bytes)
        return -ENOMEM;
    if (old)
        memcpy(bytes->data, old->data, image->size);
    mem_bytes_release(old);
    image->bytes = bytes;
    return 0;
}

void mem_image_resize(struct mem_image *image, size_t size)
{
    CHECK(size == 0 || (image->bytes && size <= image->bytes->capacity));
    if (size < image->size)
        bytes_zero(image->bytes, size, image->size);
    image->size = size;
}

/* Copy [begin, end), for which there is room; grows the image to `end` at least. */
static void image_write(struct mem_image *to, const struct mem_image *from, size_t begin,
                        size_t end)
{
    if (begin >= end)
        return;
    if (end > to->size)
        mem_image_resize(to, end);
    copy_racing(to->bytes->data, from->bytes->data, begin, end);
}

int mem_image_copy(struct mem_image *to, const struct mem_image *from)
{
    int result = mem_image_reserve(to, from->size, false);
    if (result != 0)
        return result;
    mem_image_resize(to, from->size);
    image_write(to, from, 0, from->size);
    return 0;
}

void mem_image_release(struct mem_image *image)
{
    mem_bytes_release(image->bytes);
    *image = (struct mem_image){0};
}

/* ---- Content --------------------------------------------------------------------------------- */

void mem_content_dirty(struct mem_content *content, size_t begin, size_t end)
{
    if (begin >= end)
        return;
    if (content->dirty_begin >= content->dirty_end) {
        content->dirty_begin = begin;
        content->dirty_end = end;
        return;
    }
    content->dirty_begin = begin < content->dirty_begin ? begin : content->dirty_begin;
    content->dirty_end = end > content->dirty_end ? end : content->dirty_end;
}

static void content_clean(struct mem_content *content)
{
    content->dirty_begin = content->dirty_end = 0;
    content->stores = content->writable_maps > 0;
}

/* Room in the images that a sync writes to. */
static int reserve_synced(struct mem_content *content, size_t size)
{
    int result = mem_image_reserve(&content->durable, size, false);
    if (result == 0 && content->sync_failed)
        result = mem_image_reserve(&content->settled, size, false);
    return result;
}

int mem_content_sync(struct mem_content *content)
{
    size_t size = content->visible.size;
    int result = reserve_synced(content, size);
    if (result != 0)
        return result;
    struct mem_image *settled = content->sync_failed ? &content->settled : &content->durable;
    if (settled->size != size) {
        mem_image_resize(settled, size);
        mem_image_resize(&content->durable, size);
    }
    size_t end = content->dirty_end < size ? content->dirty_end : size;
    if (content->dirty_begin < end) {
        image_write(settled, &content->visible, content->dirty_begin, end);
        image_write(&content->durable, &content->visible, content->dirty_begin, end);
    }
    if (content->stores && size > 0) {
        end = copy_changed(content->durable.bytes->data, settled->bytes->data,
                           content->visible.bytes->data, size);
        if (end > content->durable.size)
            mem_image_resize(&content->durable, end);
    }
    content_clean(content);
    return 0;
}

int mem_content_sync_range(struct mem_content *content, size_t begin, size_t end)
{
    if (begin >= end)
        return 0;
    int result = reserve_synced(content, end);
    if (result != 0)
        return result;
    image_write(&content->durable, &content->visible, begin, end);
    if (content->sync_failed)
        image_write(&content->settled, &content->visible, begin, end);
    return 0;
}

int mem_content_lose(struct mem_content *content)
{
    int result = mem_image_copy(&content->settled, &content->visible);
    if (result != 0)
        return result;
    content->sync_failed = true;
    content_clean(content);
    return 0;
}

int mem_content_lose_range(struct mem_content *content, size_t begin, size_t end)
{
    if (begin >= end)
        return 0;
    int result = 0;
    if (!content->sync_failed)
        result = mem_image_copy(&content->settled, &content->durable);
    if (result == 0)
        result = mem_image_reserve(&content->settled, end, false);
    if (result != 0)
        return result;
    content->sync_failed = true;
    image_write(&content->settled, &content->visible, begin, end);
    return 0;
}

int mem_content_evict(struct mem_content *content)
{
    struct mem_image *visible = &content->visible;
    if (!content->sync_failed || visible->size == 0 || visible->bytes->references > 1)
        return 0; /* nothing differs; or the mapping keeps the pages */
    int result = reserve_synced(content, visible->size);
    if (result != 0)
        return result;
    unsigned char *seen = visible->bytes->data;
    unsigned char *settled = content->settled.bytes->data;
    const unsigned char *durable = content->durable.bytes->data;
    for (size_t i = 0; i < visible->size; i++) {
        bool dirty = i >= content->dirty_begin && i < content->dirty_end;
        if (!dirty && seen[i] == settled[i])
            seen[i] = settled[i] = durable[i];
    }
    return 0;
}

int mem_content_revert(struct mem_content *content)
{
    struct mem_image fresh = {0};
    int result = mem_image_copy(&fresh, &content->durable);
    if (result != 0)
        return result;
    struct mem_image durable = content->durable;
    mem_image_release(&content->visible);
    mem_image_release(&content->settled);
    *content = (struct mem_content){.visible = fresh, .durable = durable};
    return 0;
}

int mem_content_detach(struct mem_content *content)
{
    content->writable_maps = 0;
    if (!content->visible.bytes || content->visible.bytes->references == 1)
        return 0;
    struct mem_image fresh = {0};
    int result = mem_image_copy(&fresh, &content->visible);
    if (result != 0)
        return result;
    mem_image_release(&content->visible);
    content->visible = fresh;
    return 0;
}

void mem_content_release(struct mem_content *content)
{
    mem_image_release(&content->visible);
    mem_image_release(&content->durable);
    mem_image_release(&content->settled);
    *content = (struct mem_content){0};
}
