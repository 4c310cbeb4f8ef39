/* SPDX-License-Identifier: MIT
 * keys_in_memory.c: what an index costs that holds the keys: the classical one of a Bitcask.
 *
 *     keys-in-memory KEYS KEY_SIZE     prints bytes of memory per key
 *
 * A table of chains, as many heads as keys, and per key one entry from malloc: key, file, size,
 * offset and time of its value. Counted is what malloc has given out, with its own overhead. It is
 * the simplest such table that is fair: filled to one key a head, no slack from growing. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct entry {
    struct entry *next;
    uint64_t offset;
    uint32_t file;
    uint32_t value_size;
    uint32_t time_s;
    uint16_t key_size;
    unsigned char key[];
};

int main(int argc, char **argv)
{
    uint64_t keys = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
    size_t key_size = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (keys == 0 || keys > UINT32_MAX || key_size < 8 || key_size > UINT16_MAX) {
        fprintf(stderr, "usage: keys-in-memory KEYS KEY_SIZE (of at least 8)\n");
        return 2;
    }
    struct mallinfo2 before = mallinfo2();
    struct entry **heads = calloc(keys, sizeof *heads);
    for (uint64_t i = 0; heads != NULL && i < keys; i++) {
        struct entry *entry = malloc(sizeof *entry + key_size);
        if (entry == NULL)
            return fprintf(stderr, "keys-in-memory: out of memory\n"), 1;
        *entry = (struct entry){.offset = i, .key_size = (uint16_t)key_size};
        memset(entry->key, 0, key_size);
        memcpy(entry->key, &i, sizeof i);
        struct entry **head = &heads[XXH3_64bits(entry->key, key_size) % keys];
        entry->next = *head;
        *head = entry;
    }
    struct mallinfo2 after = mallinfo2();
    uint64_t bytes = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    printf("%.2f\n", (double)bytes / (double)keys);
    return 0; /* the table is left to the end of the process */
}
