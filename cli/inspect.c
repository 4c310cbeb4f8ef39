/* SPDX-License-Identifier: MIT
 * inspect.c: one file of a store, looked at by itself. */
#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/names.h"

/* ---- The file ------------------------------------------------------------------------------ */

/* Map a regular file; an empty one has no bytes. Returns 0, or -1 with errno. */
static int map_file(const char *path, const uint8_t **bytes, uint64_t *size)
{
    struct stat stat;
    *bytes = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (fd < 0)
        return -1;
    int result = fstat(fd, &stat);
    if (result == 0 && !S_ISREG(stat.st_mode)) {
        errno = S_ISDIR(stat.st_mode) ? EISDIR : EINVAL;
        result = -1;
    }
    if (result == 0 && stat.st_size > 0) {
        void *map = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            result = -1;
        } else {
            *bytes = map;
            *size = (uint64_t)stat.st_size;
        }
    }
    int map_errno = errno;
    close(fd);
    errno = map_errno;
    return result;
}

static void unmap_file(const uint8_t *bytes, uint64_t size)
{
    if (bytes != NULL)
        munmap((void *)(uintptr_t)bytes, (size_t)size);
}

/* A file whose name says nothing (a copy, something from quarantine) is told by its content. */
static bool kind_by_content(struct inspect_file *file)
{
    slice bytes = slice_of(file->bytes, file->size);
    struct segment_header header;
    struct hint hint;
    struct manifest manifest;
    if (segment_header_decode(bytes, &header) != BITCASK_CORRUPT) {
        file->kind = INSPECT_DATA;
        return true;
    }
    if (hint_open(bytes, &hint, NULL) != BITCASK_CORRUPT) {
        file->kind = INSPECT_HINT;
        return true;
    }
    bitcask_status status = manifest_decode(bytes, &manifest, NULL);
    if (status == BITCASK_OK)
        manifest_release(&manifest);
    file->kind = INSPECT_MANIFEST;
    return status == BITCASK_OK || status == BITCASK_FORMAT;
}

static bool find_kind(struct inspect_file *file)
{
    switch (name_parse(file->name, &file->id)) {
    case NAME_DATA:
        file->kind = INSPECT_DATA;
        return true;
    case NAME_HINT:
    case NAME_HINT_TMP:
    case NAME_DATA_TMP:
        file->kind = INSPECT_HINT;
        return true;
    default:
        file->id = 0;
        file->kind = INSPECT_MANIFEST;
        return strcmp(file->name, NAME_MANIFEST) == 0 ||
               strcmp(file->name, NAME_MANIFEST_TMP) == 0 || kind_by_content(file);
    }
}

int inspect_open(struct cli *cli, const char *path, struct inspect_file *file)
{
    const char *slash = strrchr(path, '/');
    *file = (struct inspect_file){.path = path, .name = slash == NULL ? path : slash + 1};
    if (map_file(path, &file->bytes, &file->size) != 0)
        return cli_fail_errno(cli, "cannot open %s", path);
    if (find_kind(file))
        return CLI_DONE;
    inspect_close(file);
    return cli_fail_text(cli, CLI_USAGE,
                         "%s: neither a segment nor a hint nor a manifest of a store", path);
}

void inspect_close(struct inspect_file *file)
{
    unmap_file(file->bytes, file->size);
    file->bytes = NULL;
}

/* ---- Segments ------------------------------------------------------------------------------ */

/* What the MANIFEST beside the file says of segment `id`. */
static bool find_in_manifest(const char *path, uint64_t id, struct inspect_segment *segment)
{
    const char *slash = strrchr(path, '/');
    char beside[4096];
    int size = snprintf(beside, sizeof(beside), "%.*s" NAME_MANIFEST,
                        slash == NULL ? 0 : (int)(slash - path + 1), path);
    const uint8_t *bytes;
    uint64_t file_size;
    struct manifest manifest;
    if (size < 0 || (size_t)size >= sizeof(beside) || map_file(beside, &bytes, &file_size) != 0)
        return false;
    if (manifest_decode(slice_of(bytes, file_size), &manifest, NULL) == BITCASK_OK) {
        for (size_t i = 0; i < manifest.segment_count && !segment->listed; i++) {
            if (manifest.segments[i].id != id)
                continue;
            segment->listed = true;
            segment->entry = manifest.segments[i];
            segment->length_known = manifest.clean || segment->entry.state == MANIFEST_SEALED;
        }
        manifest_release(&manifest);
    }
    unmap_file(bytes, file_size);
    return segment->listed;
}

void inspect_segment(struct inspect_file *file, struct inspect_segment *segment)
{
    *segment = (struct inspect_segment){.file = file, .id = file->id};
    segment->header_status =
        segment_header_decode(slice_of(file->bytes, file->size), &segment->header);
    bool good = segment->header_status == BITCASK_OK;
    if (segment->id == 0 && good)
        segment->id = segment->header.segment_id;
    find_in_manifest(file->path, segment->id, segment);
    if (segment->listed && good && segment->entry.salt != segment->header.salt) {
        segment->listed = false; /* a copy beside the manifest of another store */
        segment->length_known = false;
    }
    segment->salt_known = good || segment->listed;
    segment->salt = good ? segment->header.salt : segment->entry.salt;
}

void inspect_walk_start(struct inspect_walk *walk, const struct inspect_segment *segment)
{
    uint64_t size = segment->file->size;
    *walk = (struct inspect_walk){.bytes = segment->file->bytes,
                                  .size = size,
                                  .salt = segment->salt,
                                  .at = SEGMENT_HEADER_SIZE < size ? SEGMENT_HEADER_SIZE : size,
                                  .work = 4 * size + (64 << 20)};
}

static bitcask_status decode_at(const struct inspect_walk *walk, uint64_t offset,
                                struct inspect_piece *piece)
{
    struct record_shape shape;
    bitcask_status status = record_decode(slice_of(walk->bytes + offset, walk->size - offset),
                                          walk->salt, offset, &piece->record, &shape, &piece->why);
    piece->offset = offset;
    piece->size = status == BITCASK_OK ? shape.size : 0;
    return status;
}

static uint64_t skip_zeros(const struct inspect_walk *walk, uint64_t from)
{
    while (from < walk->size && walk->bytes[from] == 0)
        from++;
    return from;
}

/* The offset of the next good record behind `from`, or the end. Lengths in damaged bytes could make
 * this quadratic: the bytes put through the checksum are limited. */
static uint64_t find_record(struct inspect_walk *walk, uint64_t from)
{
    for (uint64_t at = from; at < walk->size; at++) {
        struct record_shape shape;
        slice rest = slice_of(walk->bytes + at, walk->size - at);
        bitcask_status status = record_parse(rest, &shape, NULL);
        if (status == BITCASK_END) {
            /* Checksum and version may be zero, the key size behind them is not: a record begins at
             * most 12 bytes before the first byte that is not zero. */
            uint64_t behind = skip_zeros(walk, at);
            if (behind == walk->size)
                return behind;
            at = behind - 13;
            continue;
        }
        if (status != BITCASK_OK)
            continue;
        if (shape.size > walk->work)
            return walk->size;
        walk->work -= shape.size;
        if (record_checksum_ok(walk->bytes + at, shape.size, walk->salt, at))
            return at;
    }
    return walk->size;
}

void inspect_walk_next(struct inspect_walk *walk, struct inspect_piece *piece)
{
    *piece = (struct inspect_piece){.kind = PIECE_END, .offset = walk->at};
    if (walk->at >= walk->size)
        return;
    bitcask_status status = decode_at(walk, walk->at, piece);
    if (status == BITCASK_OK) {
        piece->kind = PIECE_RECORD;
    } else if (status == BITCASK_END && skip_zeros(walk, walk->at) == walk->size) {
        piece->kind = PIECE_ZEROS;
        piece->size = walk->size - walk->at;
    } else {
        piece->kind = PIECE_BAD;
        piece->size = find_record(walk, walk->at + 1) - walk->at;
        if (status == BITCASK_END)
            piece->why = "zeros inside the log";
    }
    walk->at += piece->size;
}

/* ---- Names --------------------------------------------------------------------------------- */

void inspect_id_text(char to[2 * STORE_ID_SIZE + 1], const uint8_t id[STORE_ID_SIZE])
{
    for (size_t i = 0; i < STORE_ID_SIZE; i++)
        snprintf(to + 2 * i, 3, "%02x", id[i]);
}

const char *inspect_state_name(enum manifest_state state)
{
    static const char *const names[] = {
        [MANIFEST_ACTIVE] = "active", [MANIFEST_SEALING] = "sealing", [MANIFEST_SEALED] = "sealed"};
    return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}
