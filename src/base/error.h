/* SPDX-License-Identifier: MIT
 * error.h: filling in a bitcask_error. `error` may be NULL everywhere.
 *
 * The layer that finds the fault sets it; each layer above adds one clause in front:
 *     open './data': segment 7: record at 4096: bad checksum
 * Messages are lower case, without a full stop, and say what to do where that is known. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "bitcask.h"

/* Set status and message; the other fields to 0. Returns `status`. */
__attribute__((format(printf, 3, 4))) bitcask_status
error_set(bitcask_error *error, bitcask_status status, const char *format, ...);

/* The same for a failed system call: `negative_errno` is -errno as struct os returns it. The
 * status follows from it (ENOSPC, EDQUOT: NO_SPACE; ENOMEM: NO_MEMORY; else IO); the message gets
 * ": " and strerror behind it. Returns the status. */
__attribute__((format(printf, 3, 4))) bitcask_status
error_set_os(bitcask_error *error, int negative_errno, const char *format, ...);

/* Set the place. */
void error_at(bitcask_error *error, uint64_t segment, uint64_t offset);

/* Put "CLAUSE: " in front of the message. */
__attribute__((format(printf, 2, 3))) void error_prefix(bitcask_error *error, const char *format,
                                                        ...);

#endif
