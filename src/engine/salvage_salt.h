/* SPDX-License-Identifier: MIT
 * salvage_salt.h: the salt of a segment that has lost its header, from its records.
 *
 * A record's checksum is crc32(salt, offset, rest of the record). The crc's state has 32 bits, so
 * whatever the 64-bit salt is, there is a salt below 2^32 that leads to the same state, and with it
 * to the same checksums: all that is needed. For a record whose bytes are right the state can be
 * computed backwards from its checksum field to where the salt has been; a second record that
 * validates with it proves that the first one was right.
 * Pure; threads: safe. */
#ifndef ENGINE_SALVAGE_SALT_H
#define ENGINE_SALVAGE_SALT_H

#include "format/record.h"

/* The salt with which the record of `size` bytes at `record`, standing at `offset`, has the
 * checksum that its field says. The upper half is 0. */
uint64_t salt_of_record(const uint8_t *record, uint64_t size, uint64_t offset);

/* Find the salt of a segment file whose bytes these are: two records one behind the other that
 * agree on it. False if there are no such two. Cost: up to one checksum for each byte that looks
 * like a record. */
bool salt_find(slice file, uint64_t *salt);

#endif
