/* SPDX-License-Identifier: MIT
 * cmd_lcs.c: LCS: the longest common subsequence of two values, by the usual table, from whose last
 * corner the way back is walked. Time and memory are the product of the lengths; the table may take
 * proto-max-bulk-len bytes. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "cmd.h"
#include "keyspace.h"
#include "reply.h"
#include "settings.h"
#include "words.h"

struct lcs {
    bool want_length, want_places, want_lengths;
    int64_t min_length;
    bitcask_slice a, b;
    uint32_t *table; /* (a.size + 1) * (b.size + 1) lengths */
};

static uint32_t *cell(const struct lcs *lcs, size_t i, size_t j)
{
    return &lcs->table[i * (lcs->b.size + 1) + j];
}

static void fill_table(struct lcs *lcs)
{
    const char *a = lcs->a.data, *b = lcs->b.data;
    for (size_t i = 1; i <= lcs->a.size; i++) {
        for (size_t j = 1; j <= lcs->b.size; j++) {
            uint32_t up = *cell(lcs, i - 1, j), left = *cell(lcs, i, j - 1);
            if (a[i - 1] == b[j - 1])
                *cell(lcs, i, j) = *cell(lcs, i - 1, j - 1) + 1;
            else
                *cell(lcs, i, j) = up > left ? up : left;
        }
    }
}

/* ---- Replies -------------------------------------------------------------------------------- */

static void reply_pair(struct client *client, size_t from, size_t size)
{
    reply_array(client, 2);
    reply_integer(client, (int64_t)from);
    reply_integer(client, (int64_t)(from + size - 1));
}

/* A run of common bytes, if it is long enough. Returns how many were replied. */
static size_t reply_run(struct client *client, const struct lcs *lcs, size_t a, size_t b,
                        size_t size)
{
    if (size == 0 || (lcs->min_length > 0 && (int64_t)size < lcs->min_length))
        return 0;
    reply_array(client, lcs->want_lengths ? 3 : 2);
    reply_pair(client, a, size);
    reply_pair(client, b, size);
    if (lcs->want_lengths)
        reply_integer(client, (int64_t)size);
    return 1;
}

/* Walk back from the last corner: the common bytes go to `common`, runs of them are replied, the
 * last one first. */
static size_t walk_back(struct client *client, const struct lcs *lcs, char *common)
{
    const char *a = lcs->a.data, *b = lcs->b.data;
    size_t i = lcs->a.size, j = lcs->b.size, left = *cell(lcs, i, j), run = 0, runs = 0;
    while (i > 0 && j > 0) {
        if (a[i - 1] == b[j - 1]) {
            common[--left] = a[i - 1];
            i--;
            j--;
            run++;
            continue;
        }
        if (lcs->want_places)
            runs += reply_run(client, lcs, i, j, run);
        run = 0;
        if (*cell(lcs, i - 1, j) > *cell(lcs, i, j - 1))
            i--;
        else
            j--;
    }
    if (lcs->want_places)
        runs += reply_run(client, lcs, i, j, run);
    return runs;
}

static void reply_lcs(struct client *client, const struct lcs *lcs)
{
    uint32_t length = *cell(lcs, lcs->a.size, lcs->b.size);
    if (lcs->want_length) {
        reply_integer(client, length);
        return;
    }
    char *common = malloc((size_t)length + 1);
    if (common == NULL) {
        reply_error(client, "OOM out of memory");
        return;
    }
    if (lcs->want_places) {
        reply_map(client, 2);
        reply_bulk_text(client, "matches");
        size_t mark = reply_later(client);
        size_t runs = walk_back(client, lcs, common);
        reply_end(client, mark, REPLY_ARRAY, runs);
        reply_bulk_text(client, "len");
        reply_integer(client, length);
    } else {
        walk_back(client, lcs, common);
        reply_bulk(client, bitcask_bytes(common, length));
    }
    free(common);
}

/* ---- The command ---------------------------------------------------------------------------- */

static bool read_words(struct client *client, const struct command_call *call, struct lcs *lcs)
{
    for (size_t i = 3; i < call->count; i++) {
        if (word_is(call->words[i], "IDX")) {
            lcs->want_places = true;
        } else if (word_is(call->words[i], "LEN")) {
            lcs->want_length = true;
        } else if (word_is(call->words[i], "WITHMATCHLEN")) {
            lcs->want_lengths = true;
        } else if (word_is(call->words[i], "MINMATCHLEN") && i + 1 < call->count) {
            if (!word_integer(client, call->words[++i], &lcs->min_length))
                return false;
            if (lcs->min_length < 0)
                lcs->min_length = 0;
        } else {
            reply_syntax_error(client);
            return false;
        }
    }
    if (!lcs->want_places || !lcs->want_length)
        return true;
    reply_error(client, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

static bool make_table(struct client *client, struct lcs *lcs)
{
    uint64_t limit = setting_number(client->server->settings, SETTING_PROTO_MAX_BULK_LEN);
    uint64_t rows = lcs->a.size + 1, columns = lcs->b.size + 1;
    if (rows > limit / sizeof *lcs->table / columns) {
        reply_error(client, "ERR Insufficient memory, transient memory for LCS exceeds "
                            "proto-max-bulk-len");
        return false;
    }
    lcs->table = calloc(rows * columns, sizeof *lcs->table);
    if (lcs->table == NULL)
        reply_error(client, "ERR Insufficient memory, failed allocating transient memory for LCS");
    return lcs->table != NULL;
}

void cmd_lcs(struct client *client, const struct command_call *call)
{
    struct lcs lcs = {0};
    bitcask_view views[2];
    bitcask_status each[2];
    if (keyspace_get_many(client, call->words + 1, 2, views, each) != BITCASK_OK)
        return;
    lcs.a = each[0] == BITCASK_OK ? views[0].value : bitcask_str("");
    lcs.b = each[1] == BITCASK_OK ? views[1].value : bitcask_str("");
    if (read_words(client, call, &lcs) && make_table(client, &lcs)) {
        fill_table(&lcs);
        reply_lcs(client, &lcs);
    }
    free(lcs.table);
    keyspace_release(&views[0]);
    keyspace_release(&views[1]);
}
