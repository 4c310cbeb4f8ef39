/* SPDX-License-Identifier: MIT
 * sim_tree.c: directories and names: as they are seen, as they are durable, and what lies between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_internal.h"

/* ---- Inodes ---------------------------------------------------------------------------------- */

struct inode *inode_new(struct sim_disk *disk, bool directory)
{
    struct inode *inode = calloc(1, sizeof *inode);
    CHECK(inode);
    inode->number = ++disk->next_number;
    inode->directory = directory;
    if (!directory)
        inode->region = region_new();
    if (disk->inode_count == disk->inode_capacity) {
        disk->inode_capacity = disk->inode_capacity * 2 + 64;
        disk->inodes = realloc(disk->inodes, disk->inode_capacity * sizeof(struct inode *));
        CHECK(disk->inodes);
    }
    disk->inodes[disk->inode_count++] = inode;
    return inode;
}

static void inode_free(struct inode *inode)
{
    if (inode->region)
        region_release(inode->region);
    image_free(&inode->settled);
    image_free(&inode->medium);
    free(inode->unreadable);
    free(inode->seen.entries);
    free(inode->durable.entries);
    free(inode);
}

/* ---- Tables of names ------------------------------------------------------------------------- */

static struct entry *table_find(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->entries[i].name, name) == 0)
            return &table->entries[i];
    return NULL;
}

/* `inode` NULL: the name goes. */
static void table_set(struct table *table, const char *name, struct inode *inode)
{
    struct entry *entry = table_find(table, name);
    if (!inode) {
        if (entry)
            *entry = table->entries[--table->count];
        return;
    }
    if (!entry) {
        if (table->count == table->capacity) {
            table->capacity = table->capacity * 2 + 8;
            table->entries = realloc(table->entries, table->capacity * sizeof *table->entries);
            CHECK(table->entries);
        }
        entry = &table->entries[table->count++];
        memset(entry->name, 0, sizeof entry->name);
        strcpy(entry->name, name);
    }
    entry->inode = inode;
}

static void table_copy(struct table *to, const struct table *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        table_set(to, from->entries[i].name, from->entries[i].inode);
}

bool directory_empty(const struct inode *directory)
{
    return directory->seen.count == 0;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static int next_name(const char **path, char name[SIM_NAME_MAX])
{
    for (;;) {
        *path += strspn(*path, "/");
        size_t size = strcspn(*path, "/");
        if (size >= SIM_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, *path, size);
        name[size] = '\0';
        *path += size;
        if (strcmp(name, ".") != 0)
            return 0;
    }
}

int tree_find(struct sim_disk *disk, const char *path, struct place *place)
{
    *place = (struct place){.inode = disk->root};
    for (;;) {
        char name[SIM_NAME_MAX];
        int result = next_name(&path, name);
        if (result != 0 || name[0] == '\0')
            return result;
        if (!place->inode)
            return -ENOENT;
        if (!place->inode->directory)
            return -ENOTDIR;
        place->parent = place->inode;
        memcpy(place->name, name, sizeof name);
        const struct entry *entry = table_find(&place->parent->seen, name);
        place->inode = entry ? entry->inode : NULL;
    }
}

int tree_find_existing(struct sim_disk *disk, const char *path, struct place *place)
{
    int result = tree_find(disk, path, place);
    return result == 0 && !place->inode ? -ENOENT : result;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static void see_change(const struct name_change *change)
{
    const struct entry *old = table_find(&change->directory->seen, change->name);
    if (change->inode)
        change->inode->links++;
    if (old)
        old->inode->links--;
    table_set(&change->directory->seen, change->name, change->inode);
}

void tree_change(struct sim_disk *disk, const struct name_change *changes, unsigned count)
{
    if (disk->pending_count == disk->pending_capacity) {
        disk->pending_capacity = disk->pending_capacity * 2 + 32;
        disk->pending = realloc(disk->pending, disk->pending_capacity * sizeof *disk->pending);
        CHECK(disk->pending);
    }
    struct name_operation *operation = &disk->pending[disk->pending_count++];
    *operation = (struct name_operation){.count = count};
    for (unsigned i = 0; i < count; i++) {
        operation->changes[i] = changes[i];
        see_change(&changes[i]);
    }
}

static void make_durable(const struct name_operation *operation)
{
    for (unsigned i = 0; i < operation->count; i++) {
        const struct name_change *change = &operation->changes[i];
        table_set(&change->directory->durable, change->name, change->inode);
    }
}

static bool touches(const struct name_operation *operation, const struct inode *directory)
{
    for (unsigned i = 0; i < operation->count; i++)
        if (!directory || operation->changes[i].directory == directory)
            return true;
    return false;
}

void tree_sync(struct sim_disk *disk, const struct inode *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (touches(&disk->pending[i], directory))
            make_durable(&disk->pending[i]);
        else
            disk->pending[kept++] = disk->pending[i];
    }
    disk->pending_count = kept;
}

/* ---- Crash and garbage ----------------------------------------------------------------------- */

static void count_links(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++)
        disk->inodes[i]->links = 0;
    for (size_t i = 0; i < disk->inode_count; i++) {
        const struct table *table = &disk->inodes[i]->seen;
        for (size_t k = 0; k < table->count; k++)
            table->entries[k].inode->links++;
    }
}

void tree_power_cut(struct sim_disk *disk)
{
    /* All, none, or a coin for each: which is which decides the run as a whole. */
    uint64_t eighths = random_below(&disk->random, 9);
    size_t prefix = (size_t)random_below(&disk->random, disk->pending_count + 1);
    for (size_t i = 0; i < disk->pending_count; i++) {
        bool survives =
            disk->config.lenient ? i < prefix : random_below(&disk->random, 8) < eighths;
        if (survives)
            make_durable(&disk->pending[i]);
        else
            disk->counts.names_lost++;
    }
    disk->pending_count = 0;
    for (size_t i = 0; i < disk->inode_count; i++)
        table_copy(&disk->inodes[i]->seen, &disk->inodes[i]->durable);
    count_links(disk);
}

static void reach(struct inode *inode);

static void reach_all(const struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        reach(table->entries[i].inode);
}

static void reach(struct inode *inode)
{
    if (inode->reached)
        return;
    inode->reached = true;
    reach_all(&inode->seen);
    reach_all(&inode->durable);
}

void tree_collect(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++)
        disk->inodes[i]->reached = false;
    reach(disk->root);
    for (size_t i = 0; i < disk->inode_count; i++)
        if (disk->inodes[i]->handles > 0)
            reach(disk->inodes[i]);
    for (size_t i = 0; i < disk->pending_count; i++)
        for (unsigned k = 0; k < disk->pending[i].count; k++) {
            struct name_change *change = &disk->pending[i].changes[k];
            reach(change->directory);
            if (change->inode)
                reach(change->inode);
        }
    size_t kept = 0;
    for (size_t i = 0; i < disk->inode_count; i++) {
        struct inode *inode = disk->inodes[i];
        if (inode->reached) {
            disk->inodes[kept++] = inode;
            continue;
        }
        media_bury(disk, inode);
        inode_free(inode);
    }
    disk->inode_count = kept;
}

void tree_free(struct sim_disk *disk)
{
    for (size_t i = 0; i < disk->inode_count; i++)
        inode_free(disk->inodes[i]);
    free(disk->inodes);
    free(disk->pending);
}
