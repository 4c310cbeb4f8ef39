/* SPDX-License-Identifier: MIT
 * seam.c: which os a store runs on. */
#include <stdlib.h>

#include "api/api.h"
#include "os/os_mem.h"

/* An os of a store's own: a copy of the real one or of one in memory, which both keep what they
 * need behind `context`, so that functions can be exchanged in the copy. */
struct own_os {
    struct os os;   /* first: what the store is given */
    struct os *mem; /* or NULL */
    bitcask_allocator allocator;
};

static void *own_alloc(struct os *os, size_t size, size_t alignment)
{
    const struct own_os *own = (struct own_os *)os;
    return own->allocator.alloc(own->allocator.context, size, alignment);
}

static void own_free(struct os *os, void *memory, size_t size)
{
    const struct own_os *own = (struct own_os *)os;
    if (memory != NULL)
        own->allocator.free(own->allocator.context, memory, size);
}

/* A disk in memory is inherited through fork() like any memory; its store must not be used. */
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
    if (options->in_memory) {
        own->mem = os_mem_new(&(struct os_mem_options){.real_clock = true});
        if (own->mem == NULL) {
            free(own);
            return NULL;
        }
    }
    own->os = options->in_memory ? *own->mem : *os_posix();
    own->os.fork_guard = real_fork_guard;
    own->allocator = options->allocator;
    if (options->allocator.alloc != NULL) {
        own->os.alloc = own_alloc;
        own->os.free = own_free;
    }
    return &own->os;
}

void api_os_free(struct os *os)
{
    if (os == os_posix())
        return;
    struct own_os *own = (struct own_os *)os;
    if (own->mem != NULL)
        os_mem_free(own->mem);
    free(own);
}

struct os *api_os_disk(struct os *os)
{
    if (os == os_posix())
        return os;
    const struct own_os *own = (struct own_os *)os;
    return own->mem != NULL ? os_posix() : os;
}
