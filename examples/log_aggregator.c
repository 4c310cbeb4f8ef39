/* SPDX-License-Identifier: MIT
 * log_aggregator.c: lines of logs from many hosts, taken in by batches, found again by time.
 *
 * The key begins with the time as text, so a range of time is a prefix: "2026-11-21T09:4" is ten
 * minutes, "2026-11-21" a day.
 *
 *     2026-11-21T09:41:07 web1 000003   ->  GET /cart 500
 *
 * What that costs: a prefix is a filter over the whole index, not a place in it. It is right for a
 * question asked now and then; who asks all the time keeps a key per minute that lists the lines.
 * Lines come in no order, so the few that match are sorted here.
 *
 * Prints:
 *     600 lines in 6 batches
 *     2026-11-21T09:41:07 web2 000067  GET /cart 500
 *     2026-11-21T09:41:27 web1 000087  GET /cart 500
 *     2026-11-21T09:41:47 web3 000107  GET /cart 500
 *     60 lines from 09:41:00 to 09:41:59, 3 with a 500
 */
#include <bitcask.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINES = 600, BATCH_LINES = 100, FOUND_MAX = 100 };

/* A line as if it came from a socket: ten minutes from 09:40 on, one a second. */
static void next_line(int number, char key[64], char text[64])
{
    snprintf(key, 64, "2026-11-21T09:%02d:%02d web%d %06d", 40 + number / 60, number % 60,
             number % 3 + 1, number);
    snprintf(text, 64, "GET /%s", number % 20 == 7 ? "cart 500" : "index 200");
}

static bitcask_status take_in(bitcask *db, bitcask_error *error)
{
    bitcask_batch *batch;
    bitcask_status status = bitcask_batch_new(&batch, error);
    if (status != BITCASK_OK)
        return status;
    int batches = 0;
    for (int i = 0; status == BITCASK_OK && i < LINES; i++) {
        char key[64], text[64];
        next_line(i, key, text);
        status = bitcask_batch_put(batch, bitcask_str(key), bitcask_str(text), 0, error);
        if (status != BITCASK_OK || (i + 1) % BATCH_LINES != 0)
            continue;
        /* All of a batch or nothing of it is there after a crash: tell the senders of these lines
         * that they are taken in only now. With sync ALWAYS that would survive a power cut. */
        status = bitcask_write(db, batch, NULL, NULL, error);
        bitcask_batch_clear(batch);
        batches++;
    }
    bitcask_batch_free(batch);
    if (status == BITCASK_OK)
        printf("%d lines in %d batches\n", LINES, batches);
    return status;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bitcask_status find_errors(bitcask *db, const char *time, bitcask_error *error)
{
    static char found[FOUND_MAX][160];
    size_t lines = 0, count = 0;
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status =
        bitcask_iterator_new(db, NULL, bitcask_str(time), BITCASK_VALUES, &iterator, error);
    if (status != BITCASK_OK)
        return status;
    /* Key and value of an entry are valid until the next step. */
    while ((status = bitcask_iterator_next(iterator, &entry, error)) == BITCASK_OK) {
        const char *text = entry.value.data;
        size_t size = entry.value.size;
        lines++;
        if (count < FOUND_MAX && size >= 3 && memcmp(text + size - 3, "500", 3) == 0)
            snprintf(found[count++], sizeof found[0], "%.*s  %.*s", (int)entry.key.size,
                     (const char *)entry.key.data, (int)size, text);
    }
    bitcask_iterator_free(iterator);
    if (status != BITCASK_END)
        return status;
    qsort(found, count, sizeof found[0], by_text);
    for (size_t i = 0; i < count; i++)
        printf("%s\n", found[i]);
    printf("%zu lines from 09:41:00 to 09:41:59, %zu with a 500\n", lines, count);
    return BITCASK_OK;
}

int main(int argc, char **argv)
{
    bitcask *db;
    bitcask_error error;
    bitcask_status status = bitcask_open(argc > 1 ? argv[1] : "./log-data", NULL, &db, &error);
    if (status == BITCASK_OK)
        status = take_in(db, &error);
    if (status == BITCASK_OK)
        status = find_errors(db, "2026-11-21T09:41:", &error);
    if (status != BITCASK_OK)
        fprintf(stderr, "%s\n", error.message);
    return (bitcask_close(db, NULL) != BITCASK_OK) | (status != BITCASK_OK);
}
