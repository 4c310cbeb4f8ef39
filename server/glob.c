/* SPDX-License-Identifier: MIT
 * glob.c: glob matching as Redis has it: ? * [abc] [^a] [a-z] and \ before any of them.
 *
 * A star is tried at one place, and only the last star is ever gone back to: what an earlier one
 * could still give up, the last one can take. So the time is at most pattern times text, where the
 * usual recursion takes for ever with "a*a*a*a*b". */
#include <ctype.h>

#include "pubsub.h"

struct glob {
    const unsigned char *pattern, *pattern_end;
    bool ignore_case;
};

static int fold(const struct glob *glob, int c)
{
    return glob->ignore_case ? tolower(c) : c;
}

/* Does `c` belong to the class that begins behind '['? Sets *end behind its ']' (or the pattern's
 * end: a class that is not closed ends there). */
static bool class_has(const struct glob *glob, const unsigned char *at, int c,
                      const unsigned char **end)
{
    bool negated = at < glob->pattern_end && *at == '^', found = false;
    if (negated)
        at++;
    for (; at < glob->pattern_end && *at != ']'; at++) {
        if (*at == '\\' && at + 1 < glob->pattern_end) {
            at++;
            found |= *at == c;
        } else if (glob->pattern_end - at >= 3 && at[1] == '-') {
            int low = fold(glob, at[0]), high = fold(glob, at[2]), folded = fold(glob, c);
            found |=
                low <= high ? (low <= folded && folded <= high) : (high <= folded && folded <= low);
            at += 2;
        } else {
            found |= fold(glob, *at) == fold(glob, c);
        }
    }
    *end = at < glob->pattern_end ? at + 1 : at;
    return found != negated;
}

/* Does one element of the pattern, no star, match `c`? Sets *next behind it. */
static bool element_matches(const struct glob *glob, const unsigned char *at, int c,
                            const unsigned char **next)
{
    if (*at == '[')
        return class_has(glob, at + 1, c, next);
    if (*at == '\\' && at + 1 < glob->pattern_end)
        at++;
    else if (*at == '?') {
        *next = at + 1;
        return true;
    }
    *next = at + 1;
    return fold(glob, *at) == fold(glob, c);
}

bool glob_match(bitcask_slice pattern, bitcask_slice text, bool ignore_case)
{
    const unsigned char *at = pattern.size > 0 ? pattern.data : (const void *)"";
    const unsigned char *c = text.size > 0 ? text.data : (const void *)"", *end = c + text.size;
    struct glob glob = {at, at + pattern.size, ignore_case};
    const unsigned char *star = NULL, *star_text = NULL; /* behind the last star; what it ends at */
    while (c < end) {
        const unsigned char *next;
        if (at < glob.pattern_end && *at == '*') {
            star = ++at;
            star_text = c;
        } else if (at < glob.pattern_end && element_matches(&glob, at, *c, &next)) {
            at = next;
            c++;
        } else if (star != NULL) {
            at = star;
            c = ++star_text;
        } else {
            return false;
        }
    }
    while (at < glob.pattern_end && *at == '*')
        at++;
    return at == glob.pattern_end;
}
