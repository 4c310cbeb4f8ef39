/* SPDX-License-Identifier: MIT
 * names.h: the names of a store's files. Format: docs/FORMAT.md, section 1. */
#ifndef FORMAT_NAMES_H
#define FORMAT_NAMES_H

#include "format/format.h"

#define NAME_MANIFEST "MANIFEST"
#define NAME_MANIFEST_TMP "MANIFEST.tmp"
#define NAME_LOCK "bitcask.lock"
#define NAME_RESERVE "bitcask.reserve"
#define NAME_PUBLISHED "bitcask.published"
#define NAME_QUARANTINE "quarantine"
#define NAME_UNFINISHED "bitcask.backup" /* a first backup is being made here */
#define NAME_IMAGE "keydir.snapshot"
#define NAME_IMAGE_TMP "keydir.snapshot.tmp"

enum { NAME_SIZE = 32 }; /* room for any name of a segment's file */

enum name_kind {
    NAME_OTHER = 0, /* not ours */
    NAME_DATA,      /* 000000001.data */
    NAME_HINT,      /* 000000001.hint */
    NAME_HINT_TMP,  /* 000000001.hint.tmp */
    NAME_DATA_TMP,  /* 000000001.data.tmp */
    NAME_META,      /* any other of the names above */
};

void name_data(char to[NAME_SIZE], uint64_t id);
void name_hint(char to[NAME_SIZE], uint64_t id);
void name_hint_tmp(char to[NAME_SIZE], uint64_t id);
void name_data_tmp(char to[NAME_SIZE], uint64_t id);

/* What a directory entry is; *id is set for DATA, HINT and their TMP (1..999999999, exactly
 * nine digits). */
enum name_kind name_parse(const char *name, uint64_t *id);

/* "000000007-4096-1a2b3c4d": segment, offset and checksum of what recovery cut off. */
void name_quarantine(char to[64], uint64_t id, uint64_t offset, uint32_t crc);

#endif
