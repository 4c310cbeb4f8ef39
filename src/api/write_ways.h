/* SPDX-License-Identifier: MIT
 * write_ways.h: bitcask_put and bitcask_delete for one way of computing checksums, of which
 * write.c has defined the words that engine/write_alone_ways.h asks for. No guard; the words are
 * undefined behind it. */
#include "engine/write_alone_ways.h"

WAY_TARGET SELDOM bitcask_status WAY(put)(bitcask *db, slice key, slice value,
                                          const bitcask_write_options *options, uint64_t *version,
                                          bitcask_error *error)
{
    uint64_t given;
    if (UNLIKELY(!is_plain(db, key)) ||
        UNLIKELY(!WAY(alone_do_put)(api_store(db), key, value, options, &given)))
        return put_any(db, key, value, options, version, error);
    if (version != NULL)
        *version = given;
    PROBE4(put, key.size, value.size, given, BITCASK_OK);
    return BITCASK_OK;
}

WAY_TARGET SELDOM bitcask_status WAY(delete)(bitcask *db, slice key,
                                             const bitcask_write_options *options,
                                             uint64_t *version, bitcask_error *error)
{
    uint64_t given;
    if (UNLIKELY(!is_plain(db, key)) ||
        UNLIKELY(!WAY(alone_do_delete)(api_store(db), key, options, &given)))
        return delete_any(db, key, options, version, error);
    bitcask_status status = LIKELY(given != 0) ? BITCASK_OK : BITCASK_NOT_FOUND;
    if (version != NULL && given != 0)
        *version = given;
    PROBE4(delete, key.size, 0, given, status);
    return status;
}

#undef WAY
#undef WAY_TARGET
#undef WAY_ENCODE
#undef WAY_MATCHES
#undef WAY_EMPTY
#undef WAY_LEAVE
