/* SPDX-License-Identifier: MIT
 * export_cask.c: the plain layout: cask.N, and a hint beside each.
 *
 *     cask.N       crc32 4, time 8, key size 4, value size 4, key, value    (foreign_cask.c)
 *     cask.N.hint  time 8, key size 4, value size 4, position of the value 8, key
 *
 * All integers are little-endian; the time is in seconds and that of the export, as a store keeps
 * no time of writing. A hint has no checksum in this layout. The layout has no expiry either: keys
 * that have one are written without, and counted.
 *
 * The directory is new or empty. A file stands under its name only when it is whole and synced, its
 * hint after it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "export.h"

enum { HEADER_SIZE = 20, HINT_HEADER_SIZE = 24, NAME_SIZE = 48, BUFFER_SIZE = 1 << 20 };

struct cask {
    int directory;
    uint64_t number; /* of the open file */
    uint64_t position;
    uint64_t time_s;
    uint64_t expiries; /* keys that have lost theirs */
    FILE *data, *hint; /* NULL: none open */
};

static void part_name(const struct cask *cask, const char *suffix, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "cask.%" PRIu64 "%s", cask->number, suffix);
}

static int failed(struct export *export, const struct cask *cask)
{
    return cli_fail_errno(export->cli, "export: write cask.%" PRIu64 " in '%s'", cask->number,
                          export->output);
}

static FILE *make_part(const struct cask *cask, const char *suffix)
{
    char name[NAME_SIZE];
    part_name(cask, suffix, name);
    int fd = openat(cask->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && file == NULL)
        close(fd);
    if (file != NULL)
        (void)setvbuf(file, NULL, _IOFBF, BUFFER_SIZE);
    return file;
}

/* Sync and close. False: errno. */
static bool finish_part(FILE **file)
{
    FILE *part = *file;
    *file = NULL;
    bool synced = fflush(part) == 0 && fsync(fileno(part)) == 0;
    int saved_errno = errno;
    bool closed = fclose(part) == 0;
    if (!synced)
        errno = saved_errno;
    return synced && closed;
}

static bool publish(const struct cask *cask, const char *partial, const char *suffix)
{
    char from[NAME_SIZE], to[NAME_SIZE];
    part_name(cask, partial, from);
    part_name(cask, suffix, to);
    return renameat(cask->directory, from, cask->directory, to) == 0;
}

static int finish_file(struct export *export, struct cask *cask)
{
    if (cask->data == NULL)
        return CLI_DONE;
    bool data = finish_part(&cask->data), hint = finish_part(&cask->hint);
    if (!data || !hint || !publish(cask, ".partial", "") ||
        !publish(cask, ".hint.partial", ".hint") || fsync(cask->directory) != 0)
        return failed(export, cask);
    return CLI_DONE;
}

static int begin_file(struct export *export, struct cask *cask)
{
    cask->number++;
    cask->position = 0;
    cask->data = make_part(cask, ".partial");
    cask->hint = cask->data == NULL ? NULL : make_part(cask, ".hint.partial");
    return cask->hint != NULL ? CLI_DONE : failed(export, cask);
}

static bool put_bytes(FILE *file, const void *bytes, size_t size)
{
    return size == 0 || fwrite(bytes, size, 1, file) == 1;
}

static bool put_record(struct cask *cask, const bitcask_entry *entry)
{
    uint8_t header[HEADER_SIZE], hint[HINT_HEADER_SIZE];
    slice key = entry->key, value = entry->value;
    put_u64(header + 4, cask->time_s);
    put_u32(header + 12, (uint32_t)key.size);
    put_u32(header + 16, (uint32_t)value.size);
    uint32_t crc = checksum(0, header + 4, sizeof header - 4);
    put_u32(header, checksum(checksum(crc, key.data, key.size), value.data, value.size));
    memcpy(hint, header + 4, 16);
    put_u64(hint + 16, cask->position + sizeof header + key.size);
    cask->position += sizeof header + key.size + value.size;
    return put_bytes(cask->data, header, sizeof header) &&
           put_bytes(cask->data, key.data, key.size) &&
           put_bytes(cask->data, value.data, value.size) &&
           put_bytes(cask->hint, hint, sizeof hint) && put_bytes(cask->hint, key.data, key.size);
}

static int export_entry(struct export *export, void *context, const bitcask_entry *entry)
{
    struct cask *cask = context;
    uint64_t size = HEADER_SIZE + entry->key.size + entry->value.size;
    int exit_code = CLI_DONE;
    if (cask->data != NULL && cask->position + size > export->file_size)
        exit_code = finish_file(export, cask);
    if (exit_code == CLI_DONE && cask->data == NULL)
        exit_code = begin_file(export, cask);
    if (exit_code != CLI_DONE)
        return exit_code;
    if (!put_record(cask, entry))
        return failed(export, cask);
    cask->expiries += entry->meta.expires_us != 0;
    export->entries++;
    export->bytes += entry->key.size + entry->value.size;
    cli_progress_update(&export->progress, export->entries);
    return CLI_DONE;
}

/* What was not finished must not be taken for a part of the export. */
static void drop_unfinished(struct cask *cask)
{
    char name[NAME_SIZE];
    if (cask->data != NULL)
        fclose(cask->data);
    if (cask->hint != NULL)
        fclose(cask->hint);
    part_name(cask, ".partial", name);
    (void)unlinkat(cask->directory, name, 0);
    part_name(cask, ".hint.partial", name);
    (void)unlinkat(cask->directory, name, 0);
}

int export_cask(struct export *export)
{
    struct cask cask = {.directory = -1, .time_s = cli_now_us() / 1000000};
    int exit_code = export_open_directory(export, &cask.directory);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = export_walk(export, export->prefix, BITCASK_VALUES, export_entry, &cask);
    if (exit_code == CLI_DONE &&
        export->entries == 0) /* an empty store is a file without records */
        exit_code = begin_file(export, &cask);
    if (exit_code == CLI_DONE)
        exit_code = finish_file(export, &cask);
    if (exit_code != CLI_DONE)
        drop_unfinished(&cask);
    close(cask.directory);
    if (exit_code == CLI_DONE && cask.expiries > 0) {
        cli_progress_finish(&export->progress);
        cli_remark(export->cli,
                   "%" PRIu64 " keys have lost their expiry, for which this layout has no place",
                   cask.expiries);
    }
    return exit_code;
}
