/* SPDX-License-Identifier: MIT
 * seam.c: which os a store runs on. */
#include <stdlib.h>

#include "api/api.h"
#include "base/check.h"
#include "os/os_mem.h"

/* What an os of a store's own consists of; its os->context points here. The real os and the one in
 * memory leave their context unused. */
struct own_os {
    struct os copy; /* of the real one, with the caller's allocator */
    struct os *mem; /* or one in memory, else NULL */
    bitcask_allocator allocator;
};

static void *own_alloc(struct os *os, size_t size, size_t alignment)
{
    const struct own_os *own = os->context;
    return own->allocator.alloc(own->allocator.context, size, alignment);
}

static void own_free(struct os *os, void *memory, size_t size)
{
    const struct own_os *own = os->context;
    if (memory != NULL)
        own->allocator.free(own->allocator.context, memory, size);
}

/* An os in memory is inherited through fork() like any memory; its handle must not be used. */
static const volatile unsigned char *real_fork_guard(struct os *os)
{
    (void)os;
    return os_posix()->fork_guard(os_posix());
}

struct os *api_os_new(const bitcask_options *options)
{
    if (!options->in_memory && options->allocator.alloc == NULL)
        return os_posix();
    struct own_os *own = calloc(1, sizeof *own);
    if (own == NULL)
        return NULL;
    own->allocator = options->allocator;
    own->copy = *os_posix();
    struct os *os = &own->copy;
    if (options->in_memory) {
        own->mem = os_mem_new(&(struct os_mem_options){.real_clock = true});
        if (own->mem == NULL) {
            free(own);
            return NULL;
        }
        os = own->mem;
        os->fork_guard = real_fork_guard;
    }
    CHECK(os->context == NULL);
    os->context = own;
    if (options->allocator.alloc != NULL) {
        os->alloc = own_alloc;
        os->free = own_free;
    }
    return os;
}

void api_os_free(struct os *os)
{
    if (os == os_posix())
        return;
    struct own_os *own = os->context;
    if (own->mem != NULL)
        os_mem_free(own->mem);
    free(own);
}
