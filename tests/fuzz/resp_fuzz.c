/* SPDX-License-Identifier: MIT
 * resp_fuzz.c: the parser of the Redis protocol's requests, for libFuzzer.
 *
 * The first byte chooses the limits (bit 0: before authentication), the second the length of the
 * pieces. The same bytes are given in one piece and in many, each time in a buffer of just their
 * size: the requests must be the same, each word must lie within what is consumed, and nothing may
 * be beyond the limits. */
#include "fuzz.h"
#include "resp.h"

static const struct resp_limits all_limits[2] = {
    {.max_words = 1000, .max_bulk = 100000, .max_inline = 64 << 10},
    {.max_words = 10, .max_bulk = 16 << 10, .max_inline = 64 << 10, .unauthenticated = true},
};

/* What the bytes said: a hash of all words and how it ended. */
struct outcome {
    uint64_t hash;
    size_t requests, consumed;
    bool bad;
};

static void mix(struct outcome *outcome, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    outcome->hash = (outcome->hash ^ size) * 1099511628211u;
    for (size_t i = 0; i < size; i++)
        outcome->hash = (outcome->hash ^ bytes[i]) * 1099511628211u;
}

static void take_request(struct outcome *outcome, const struct resp_parser *parser,
                         const struct resp_limits *limits, const char *data, size_t size)
{
    REQUIRE(parser->word_count > 0 && parser->word_count <= limits->max_words);
    outcome->requests++;
    for (size_t i = 0; i < parser->word_count; i++) {
        bitcask_slice word = parser->words[i];
        const char *start = word.data;
        REQUIRE(word.size <= (parser->is_inline ? limits->max_inline : limits->max_bulk));
        REQUIRE(start >= data && word.size <= (size_t)(data + size - start));
        mix(outcome, start, word.size);
    }
}

static struct outcome parse(const struct resp_limits *limits, const uint8_t *data, size_t size,
                            size_t step)
{
    struct outcome outcome = {.hash = 14695981039346656037u};
    struct resp_parser parser;
    resp_init(&parser);
    for (size_t have = 0; have < size && !outcome.bad;) {
        have = size - have < step ? size : have + step;
        for (enum resp_result result = RESP_EMPTY;
             result != RESP_MORE && !outcome.bad && outcome.consumed < have;) {
            size_t left = have - outcome.consumed;
            uint8_t *copy = fuzz_copy(data + outcome.consumed, left);
            result = resp_parse(&parser, limits, (char *)copy, left);
            if (result == RESP_REQUEST)
                take_request(&outcome, &parser, limits, (char *)copy, left);
            if (result == RESP_REQUEST || result == RESP_EMPTY) {
                REQUIRE(parser.consumed > 0 && parser.consumed <= left);
                outcome.consumed += parser.consumed;
            }
            if (result == RESP_BAD) {
                REQUIRE(strncmp(parser.error, "Protocol error: ", 16) == 0);
                outcome.bad = true;
            }
            free(copy);
        }
    }
    resp_release(&parser);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    const struct resp_limits *limits = &all_limits[data[0] & 1];
    size_t step = (size_t)data[1] % 17 + 1;
    struct outcome whole = parse(limits, data + 2, size - 2, size);
    struct outcome pieces = parse(limits, data + 2, size - 2, step);
    REQUIRE(whole.hash == pieces.hash && whole.requests == pieces.requests);
    REQUIRE(whole.consumed == pieces.consumed && whole.bad == pieces.bad);
    return 0;
}
