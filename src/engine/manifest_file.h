/* SPDX-License-Identifier: MIT
 * manifest_file.h: the manifest on disk: read it, replace it. */
#ifndef ENGINE_MANIFEST_FILE_H
#define ENGINE_MANIFEST_FILE_H

#include "engine/segments.h"
#include "format/manifest.h"

enum { MANIFEST_FILE_MAX = 64 << 20 }; /* bytes */

/* Read and parse. Returns OK (release with manifest_release); NOT_FOUND if there is none; CORRUPT
 * (*why may be NULL); FORMAT with a message that names both versions; IO; NO_MEMORY. */
bitcask_status manifest_file_read(struct segments *table, struct manifest *manifest,
                                  const char **why, bitcask_error *error);

/* The same in two steps: its bytes, malloc'd; and what they say. *why is a static string, set on
 * CORRUPT only. */
bitcask_status manifest_file_text(struct segments *table, char **text, size_t *size,
                                  const char **why, bitcask_error *error);
bitcask_status manifest_file_parse(slice text, struct manifest *manifest, const char **why,
                                   bitcask_error *error);

/* Replace it: temporary file, sync, rename, directory sync. On failure the one on disk is the old
 * or the new one. */
bitcask_status manifest_file_write(struct segments *table, const struct manifest *manifest,
                                   bitcask_error *error);

#endif
