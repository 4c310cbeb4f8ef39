/* SPDX-License-Identifier: MIT
 * start.c: the ten-line start: open, put, get, close.
 *
 * Prints:
 *     Utrecht
 */
#include <bitcask.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    bitcask *db;
    bitcask_error error;
    bitcask_buffer value = {0}; /* ours; get grows it, and it can be used again for the next get */
    if (bitcask_open(argc > 1 ? argv[1] : "./start-data", NULL, &db, &error) != BITCASK_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    if (bitcask_put(db, bitcask_str("city"), bitcask_str("Utrecht"), NULL, NULL, &error) ==
            BITCASK_OK &&
        bitcask_get(db, NULL, bitcask_str("city"), &value, NULL, &error) == BITCASK_OK)
        printf("%.*s\n", (int)value.size, (const char *)value.data);
    else
        fprintf(stderr, "%s\n", error.message);
    bitcask_buffer_free(&value);
    return bitcask_close(db, NULL) != BITCASK_OK; /* close syncs: an error there counts */
}
