/* SPDX-License-Identifier: MIT
 * salvage.h: a new store out of loose data files.
 *
 * The files may be of several stores, under any name, with damaged headers, without manifest or
 * hints. Every record that can be read is copied, with its version, to merge outputs of a new
 * store; opening that store then lets the newest version of each key win, deletions included.
 *
 * A record's checksum covers the salt of its segment, which stands in the header. Where that is
 * damaged the hint beside the file tells the salt; else it is computed: a crc has 32 bits of state,
 * so all that the salt does to a record is to set the state at its first byte, and one record whose
 * checksum is known to be right gives that state away (engine/salvage_salt.h). */
#ifndef ENGINE_SALVAGE_H
#define ENGINE_SALVAGE_H

#include "engine/store.h"

/* As bitcask_salvage. */
bitcask_status salvage_run(struct os *os, const char *const *files, size_t count,
                           const char *directory, const bitcask_salvage_options *options,
                           bitcask_salvage_result *result, bitcask_error *error);

#endif
