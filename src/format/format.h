/* SPDX-License-Identifier: MIT
 * format.h: the constants of the format on disk that several codecs share.
 * Every byte is explained in docs/FORMAT.md. All integers are little-endian. */
#ifndef FORMAT_FORMAT_H
#define FORMAT_FORMAT_H

#include "base/bytes.h"

enum {
    FORMAT_VERSION = BITCASK_FORMAT_VERSION,
    STORE_ID_SIZE = 16,
    SEED_SIZE = 32, /* of the store's hash; see base/hash.h */
};

#define SEGMENT_ID_MAX 999999999ull /* nine digits in a file name */

/* The largest version: the top bit stays free. */
#define VERSION_MAX ((UINT64_C(1) << 63) - 1)

#endif
