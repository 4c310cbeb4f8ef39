/* SPDX-License-Identifier: MIT
 * os_mem_tree.c: the memory os: directories, names, and when a file's bytes may go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "os/os_mem_internal.h"

/* ---- Nodes ----------------------------------------------------------------------------------- */

struct mem_node *mem_node_new(struct mem_disk *disk, bool directory)
{
    struct mem_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->directory = directory;
    node->next = disk->nodes;
    if (node->next)
        node->next->previous = node;
    disk->nodes = node;
    return node;
}

/* Take a node out of the disk and free it. Its names must be gone. */
static void node_free(struct mem_disk *disk, struct mem_node *node)
{
    if (node->previous)
        node->previous->next = node->next;
    else
        disk->nodes = node->next;
    if (node->next)
        node->next->previous = node->previous;
    mem_content_release(&node->content);
    free(node);
}

/* Free what nothing counts any more. */
static void node_reap(struct mem_disk *disk, struct mem_node *node)
{
    if (node->links > 0 || node->users > 0)
        return;
    disk->used -= node->content.visible.size;
    mem_image_release(&node->content.visible);
    if (node->durable_links > 0)
        return;
    while (node->entries) { /* only names that a crash would have brought back */
        struct mem_entry *entry = node->entries;
        node->entries = entry->next;
        struct mem_node *visible = entry->visible;
        struct mem_node *durable = entry->durable;
        free(entry);
        if (visible)
            visible->links--;
        if (durable)
            durable->durable_links--;
        if (visible)
            node_reap(disk, visible);
        if (durable && durable != visible)
            node_reap(disk, durable);
    }
    node_free(disk, node);
}

void mem_node_use(struct mem_node *node)
{
    node->users++;
}

void mem_node_unuse(struct mem_disk *disk, struct mem_node *node)
{
    node->users--;
    node_reap(disk, node);
}

int mem_node_resize(struct mem_disk *disk, struct mem_node *node, uint64_t size)
{
    struct mem_image *visible = &node->content.visible;
    if (size > (uint64_t)1 << MEM_SIZE_MAX_LOG2)
        return -EFBIG;
    if (size > visible->size) {
        uint64_t more = size - visible->size;
        uint64_t capacity = disk->options.capacity;
        if (capacity > 0 && (disk->used > capacity || more > capacity - disk->used))
            return -ENOSPC;
        int result = mem_image_reserve(visible, size, false);
        if (result != 0)
            return result;
    }
    mem_content_dirty(&node->content, size, visible->size); /* what is cut off, if anything */
    disk->used += size - visible->size;
    mem_image_resize(visible, size);
    return 0;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static struct mem_entry *entry_find(const struct mem_node *directory, const char *name)
{
    struct mem_entry *entry = directory->entries;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

/* The next component of *path into `name`, which becomes "" at the end. "." is skipped. */
static int next_name(const char **path, char name[OS_NAME_MAX])
{
    for (;;) {
        *path += strspn(*path, "/");
        size_t size = strcspn(*path, "/");
        if (size >= OS_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, *path, size);
        name[size] = '\0';
        *path += size;
        if (strcmp(name, ".") != 0)
            return 0;
    }
}

int mem_find(struct mem_disk *disk, const char *path, struct mem_place *place)
{
    if (path[0] == '\0')
        return -ENOENT;
    if (strlen(path) >= OS_PATH_MAX)
        return -ENAMETOOLONG;
    *place = (struct mem_place){.node = disk->root};
    for (;;) {
        char name[OS_NAME_MAX];
        int result = next_name(&path, name);
        if (result != 0 || name[0] == '\0')
            return result;
        if (!place->node)
            return -ENOENT;
        if (!place->node->directory)
            return -ENOTDIR;
        place->parent = place->node;
        memcpy(place->name, name, sizeof(name));
        const struct mem_entry *entry = entry_find(place->parent, name);
        place->node = entry ? entry->visible : NULL;
    }
}

int mem_find_existing(struct mem_disk *disk, const char *path, struct mem_place *place)
{
    int result = mem_find(disk, path, place);
    return result == 0 && !place->node ? -ENOENT : result;
}

static void entry_prune(struct mem_node *directory, struct mem_entry *entry)
{
    if (entry->visible || entry->durable)
        return;
    struct mem_entry **link = &directory->entries;
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    free(entry);
}

/* Both setters count the new node before the old one can go: they may be the same. */
static void entry_set_visible(struct mem_disk *disk, struct mem_entry *entry, struct mem_node *node)
{
    struct mem_node *old = entry->visible;
    if (node)
        node->links++;
    entry->visible = node;
    if (old) {
        old->links--;
        node_reap(disk, old);
    }
}

static void entry_set_durable(struct mem_disk *disk, struct mem_entry *entry)
{
    struct mem_node *old = entry->durable;
    if (entry->visible)
        entry->visible->durable_links++;
    entry->durable = entry->visible;
    if (old) {
        old->durable_links--;
        node_reap(disk, old);
    }
}

int mem_entry_set(struct mem_disk *disk, struct mem_node *directory, const char *name,
                  struct mem_node *node)
{
    struct mem_entry *entry = entry_find(directory, name);
    if (!entry) {
        size_t size = strlen(name) + 1;
        entry = calloc(1, sizeof(*entry) + size);
        if (!entry)
            return -ENOMEM;
        memcpy(entry->name, name, size);
        entry->next = directory->entries;
        directory->entries = entry;
    }
    entry_set_visible(disk, entry, node);
    entry_prune(directory, entry);
    return 0;
}

void mem_entry_make_durable(struct mem_disk *disk, struct mem_node *directory, const char *name)
{
    struct mem_entry *entry = entry_find(directory, name);
    entry_set_durable(disk, entry);
    entry_prune(directory, entry);
}

bool mem_directory_empty(const struct mem_node *directory)
{
    const struct mem_entry *entry = directory->entries;
    while (entry && !entry->visible)
        entry = entry->next;
    return !entry;
}

bool mem_directory_contains(const struct mem_node *directory, const struct mem_node *node)
{
    if (directory == node)
        return true;
    for (const struct mem_entry *entry = directory->entries; entry; entry = entry->next) {
        if (entry->visible && mem_directory_contains(entry->visible, node))
            return true;
    }
    return false;
}

void mem_directory_sync(struct mem_disk *disk, struct mem_node *directory)
{
    struct mem_entry *next;
    for (struct mem_entry *entry = directory->entries; entry; entry = next) {
        next = entry->next;
        entry_set_durable(disk, entry);
        entry_prune(directory, entry);
    }
}

/* ---- Crash and end --------------------------------------------------------------------------- */

/* Only counts: nothing is freed while the caller walks the nodes. */
static void directory_revert(struct mem_node *directory)
{
    struct mem_entry *next;
    for (struct mem_entry *entry = directory->entries; entry; entry = next) {
        next = entry->next;
        if (entry->visible)
            entry->visible->links--;
        entry->visible = entry->durable;
        if (entry->visible)
            entry->visible->links++;
        entry_prune(directory, entry);
    }
}

/* Freeing a directory may free any other node: start again behind each. */
static void reap_all(struct mem_disk *disk)
{
    struct mem_node *node = disk->nodes;
    while (node) {
        bool gone = node->links == 0 && node->durable_links == 0 && node->users == 0;
        struct mem_node *next = node->next;
        node_reap(disk, node);
        node = gone ? disk->nodes : next;
    }
}

void mem_tree_revert(struct mem_disk *disk)
{
    disk->used = 0;
    for (struct mem_node *node = disk->nodes; node; node = node->next) {
        directory_revert(node);
        CHECK(mem_content_revert(&node->content) == 0);
        disk->used += node->content.visible.size;
    }
    reap_all(disk);
}

void mem_tree_detach(struct mem_disk *disk)
{
    for (struct mem_node *node = disk->nodes; node; node = node->next)
        CHECK(mem_content_detach(&node->content) == 0);
    reap_all(disk);
}

void mem_tree_release(struct mem_disk *disk)
{
    while (disk->nodes) {
        struct mem_node *node = disk->nodes;
        while (node->entries) {
            struct mem_entry *entry = node->entries;
            node->entries = entry->next;
            free(entry);
        }
        node_free(disk, node);
    }
}
