/* SPDX-License-Identifier: MIT
 * import_foreign.c: reading the data files of another Bitcask, in pieces, into the store. */
#include "import_foreign.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 20,
    NAME_SIZE = 64,    /* of a data file */
    REPORTED_MAX = 10, /* damaged places of a file that get a line of their own */
};

/* ---- The directory ------------------------------------------------------------------------- */

static void data_name(const struct foreign_layout *layout, uint64_t number, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s%" PRIu64 "%s", layout->prefix, number, layout->suffix);
}

static bool add_file(struct foreign_source *source, uint64_t number, uint64_t size)
{
    if (source->count == source->capacity) {
        size_t capacity = source->capacity == 0 ? 32 : 2 * source->capacity;
        struct foreign_file *files = realloc(source->files, capacity * sizeof *files);
        if (files == NULL)
            return false;
        source->files = files;
        source->capacity = capacity;
    }
    source->files[source->count++] = (struct foreign_file){number, size};
    source->size += size;
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = ((const struct foreign_file *)a)->number;
    uint64_t right = ((const struct foreign_file *)b)->number;
    return left < right ? -1 : left > right;
}

static int list_entry(struct import *import, struct foreign_source *source, const char *name)
{
    uint64_t number;
    struct stat info;
    switch (foreign_name_parse(source->layout, name, &number)) {
    case FOREIGN_NAME_OTHER:
        return CLI_DONE;
    case FOREIGN_NAME_STRANGE:
        cli_remark(import->cli, "passed over '%s': not a number that %s gives to a file", name,
                   source->layout->name);
        import->passed_over++;
        return CLI_DONE;
    case FOREIGN_NAME_DATA:
        break;
    }
    if (fstatat(source->directory, name, &info, 0) != 0)
        return cli_fail_errno(import->cli, "import: %s/%s", import->source, name);
    if (!S_ISREG(info.st_mode))
        return cli_fail_text(import->cli, CLI_STORE, "import: %s/%s: not a regular file",
                             import->source, name);
    if (info.st_mode & source->layout->pending_mode) {
        cli_remark(import->cli, "passed over '%s': merged and awaiting deletion", name);
        source->pending++;
        return CLI_DONE;
    }
    return add_file(source, number, (uint64_t)info.st_size) ? CLI_DONE
                                                            : import_no_memory(import, name);
}

static int list_files(struct import *import, struct foreign_source *source)
{
    int exit_code = CLI_DONE;
    struct dirent *entry;
    DIR *directory = opendir(import->source);
    if (directory == NULL)
        return cli_fail_errno(import->cli, "import: open '%s'", import->source);
    source->directory = fcntl(dirfd(directory), F_DUPFD_CLOEXEC, 0);
    while (errno = 0, exit_code == CLI_DONE && (entry = readdir(directory)) != NULL)
        exit_code = list_entry(import, source, entry->d_name);
    if (exit_code == CLI_DONE && (errno != 0 || source->directory < 0))
        exit_code = cli_fail_errno(import->cli, "import: read '%s'", import->source);
    closedir(directory);
    if (source->count > 0)
        qsort(source->files, source->count, sizeof *source->files, compare_numbers);
    return exit_code;
}

size_t import_foreign_detect(const char *path, const struct foreign_layout **found, size_t room)
{
    size_t count = 0;
    struct dirent *entry;
    DIR *directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        for (const struct foreign_layout *layout = foreign_layouts; layout->name; layout++) {
            uint64_t number;
            size_t known = 0;
            while (known < count && found[known] != layout)
                known++;
            if (known == count && count < room &&
                foreign_name_parse(layout, entry->d_name, &number) == FOREIGN_NAME_DATA)
                found[count++] = layout;
        }
    if (directory != NULL)
        closedir(directory);
    return count;
}

/* None of its files is there: what is it, then? */
static int fail_empty(struct import *import, const struct foreign_layout *layout)
{
    const struct foreign_layout *found;
    if (import_foreign_detect(import->source, &found, 1) > 0)
        return cli_fail_usage(import->cli, "import: no %s in '%s', but %s: want --format %s?",
                              layout->shown, import->source, found->shown, found->name);
    bool riak = strcmp(layout->name, "riak") == 0;
    return cli_fail_usage(import->cli, "import: no %s in '%s'%s", layout->shown, import->source,
                          riak ? " (Riak has a directory for each partition: name one of them)"
                               : "");
}

static void warn_of_lock(struct import *import, const struct foreign_source *source)
{
    const char *lock = source->layout->lock;
    if (lock != NULL && faccessat(source->directory, lock, F_OK, 0) == 0)
        cli_remark(import->cli,
                   "'%s' has a lock, %s: if a program has it open, what that writes from now on "
                   "may be missed",
                   import->source, lock);
}

/* Would the store be made in the directory that is only to be read? */
static bool is_inside(const char *path, const char *directory)
{
    char real[PATH_MAX], outer[PATH_MAX], part[PATH_MAX];
    if (realpath(directory, outer) == NULL || strlen(path) >= sizeof part - 2)
        return false;
    snprintf(part, sizeof part, "%s%s", path[0] == '/' ? "" : "./", path);
    while (realpath(part, real) == NULL) { /* it may not be there yet */
        char *slash = strrchr(part, '/');
        if (slash == NULL || slash == part)
            return false;
        *slash = '\0';
    }
    size_t size = strlen(outer);
    return strncmp(real, outer, size) == 0 && (real[size] == '/' || real[size] == '\0');
}

int import_foreign_open(struct import *import, struct foreign_source *source)
{
    source->directory = -1;
    if (!import->dry_run && is_inside(import->cli->directory, import->source))
        return cli_fail_usage(import->cli,
                              "import: the store '%s' is in '%s', which is only read: name another "
                              "with -d",
                              import->cli->directory, import->source);
    int exit_code = list_files(import, source);
    if (exit_code == CLI_DONE && source->count == 0 && source->pending == 0)
        exit_code = fail_empty(import, source->layout);
    if (exit_code == CLI_DONE)
        warn_of_lock(import, source);
    return exit_code;
}

void import_foreign_close(struct foreign_source *source)
{
    free(source->files);
    foreign_decoder_release(&source->decoder);
    if (source->directory >= 0)
        close(source->directory);
}

/* ---- Reading a file in pieces -------------------------------------------------------------- */

struct reader {
    char name[NAME_SIZE], place[256];
    int fd;
    uint64_t offset; /* of the next record */
    uint64_t size;   /* of the file when it was opened, or less */
    uint64_t damaged;
    bitcask_buffer buffer;
    size_t start; /* of the next record in the buffer */
};

static size_t buffered(const struct reader *reader)
{
    return reader->buffer.size - reader->start;
}

enum fill_result { FILLED, FILL_ERROR, FILL_NO_MEMORY };

/* Have at least `wanted` bytes from the next record on, or all that are left. */
static enum fill_result fill(struct reader *reader, uint64_t wanted)
{
    bitcask_buffer *buffer = &reader->buffer;
    buffer->size -= reader->start;
    if (buffer->size > 0)
        memmove(buffer->data, (char *)buffer->data + reader->start, buffer->size);
    reader->start = 0;
    wanted = wanted < READ_SIZE ? READ_SIZE : wanted;
    if (wanted > buffer->size && !buffer_reserve(buffer, (size_t)(wanted - buffer->size)))
        return FILL_NO_MEMORY;
    while (buffer->size < wanted && reader->offset + buffer->size < reader->size) {
        uint64_t left = reader->size - reader->offset - buffer->size;
        size_t room = (size_t)(wanted - buffer->size);
        ssize_t n =
            pread(reader->fd, (char *)buffer->data + buffer->size,
                  left < room ? (size_t)left : room, (off_t)(reader->offset + buffer->size));
        if (n < 0 && errno != EINTR)
            return FILL_ERROR;
        if (n == 0) /* it has become shorter */
            reader->size = reader->offset + buffer->size;
        buffer->size += n > 0 ? (size_t)n : 0;
    }
    return FILLED;
}

static int read_on(struct import *import, struct reader *reader, uint64_t wanted)
{
    switch (fill(reader, wanted)) {
    case FILL_ERROR:
        cli_progress_finish(&import->progress);
        return cli_fail_errno(import->cli, "import: read '%s' at %" PRIu64, reader->place,
                              reader->offset);
    case FILL_NO_MEMORY:
        return import_no_memory(import, reader->place);
    default:
        return CLI_DONE;
    }
}

/* ---- Records ------------------------------------------------------------------------------- */

static int store_record(struct import *import, struct foreign_source *source,
                        const struct reader *reader, const struct foreign_record *record)
{
    struct item item = {.key = record->key, .value = record->value};
    const char *why = item_check(&item);
    source->records++;
    if (why != NULL) {
        cli_progress_finish(&import->progress);
        source->refused++;
        (void)cli_fail_text(import->cli, CLI_STORE,
                            "import: %s: the record at %" PRIu64 " is left out: %s", reader->place,
                            reader->offset, why);
        return CLI_DONE;
    }
    if (record->time_us > 0 && (record->time_us < source->oldest_us || source->oldest_us == 0))
        source->oldest_us = record->time_us;
    if (record->time_us > source->newest_us)
        source->newest_us = record->time_us;
    source->puts += !record->deleted;
    source->deletes += record->deleted;
    int exit_code = record->deleted ? import_delete(import, reader->place, item.key)
                                    : import_put(import, reader->place, &item);
    return exit_code == CLI_DONE ? import_entry_done(import, reader->place) : exit_code;
}

static void note_damage(struct import *import, struct foreign_source *source, struct reader *reader,
                        const struct foreign_record *record)
{
    source->damaged++;
    if (reader->damaged++ >= REPORTED_MAX)
        return;
    cli_progress_finish(&import->progress);
    (void)cli_fail_text(
        import->cli, CLI_CORRUPT,
        "import: %s: damaged at %" PRIu64 ": %s: %" PRIu64 " bytes passed over%s", reader->place,
        reader->offset - record->behind, record->why, record->behind + record->size,
        reader->damaged == REPORTED_MAX ? " (more of this file is only counted)" : "");
}

static void note_torn(struct import *import, struct foreign_source *source,
                      const struct reader *reader, const struct foreign_record *record)
{
    source->torn++;
    cli_progress_finish(&import->progress);
    (void)cli_fail_text(import->cli, CLI_CORRUPT,
                        "import: %s: torn at %" PRIu64 ": %s: the last %" PRIu64
                        " bytes are not read",
                        reader->place, reader->offset - record->behind, record->why,
                        reader->size - reader->offset + record->behind);
}

/* Step over what was decoded; a torn file is stepped over whole. */
static void step(struct import *import, struct foreign_source *source, struct reader *reader,
                 uint64_t size)
{
    uint64_t in_buffer = size < buffered(reader) ? size : buffered(reader);
    reader->start += (size_t)in_buffer;
    reader->offset += size;
    source->done += size;
    cli_progress_update(&import->progress, source->done);
}

static int import_next(struct import *import, struct foreign_source *source, struct reader *reader)
{
    struct foreign_record record = {0};
    struct foreign_input input = {
        .bytes = bitcask_bytes((char *)reader->buffer.data + reader->start, buffered(reader)),
        .offset = reader->offset,
        .left = reader->size - reader->offset};
    if (input.bytes.size == 0)
        return read_on(import, reader, 1);
    int exit_code = CLI_DONE;
    switch (source->layout->decode(&source->decoder, &input, &record)) {
    case FOREIGN_MORE:
        return read_on(import, reader, record.size);
    case FOREIGN_NO_MEMORY:
        return import_no_memory(import, reader->place);
    case FOREIGN_RECORD:
        exit_code = store_record(import, source, reader, &record);
        break;
    case FOREIGN_DAMAGED:
        note_damage(import, source, reader, &record);
        break;
    case FOREIGN_TORN:
        note_torn(import, source, reader, &record);
        record.size = input.left;
        break;
    case FOREIGN_NOTHING:
        break;
    }
    step(import, source, reader, record.size);
    return exit_code;
}

/* ---- Files --------------------------------------------------------------------------------- */

static int import_file(struct import *import, struct foreign_source *source, struct reader *reader,
                       uint64_t number)
{
    struct stat info;
    data_name(source->layout, number, reader->name);
    snprintf(reader->place, sizeof reader->place, "%.180s/%s", import->source, reader->name);
    reader->fd = openat(source->directory, reader->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (reader->fd < 0 || fstat(reader->fd, &info) != 0) {
        int exit_code =
            import_bad(import, CLI_STORE, reader->place, "cannot be opened: %s", strerror(errno));
        if (reader->fd >= 0)
            close(reader->fd);
        return exit_code;
    }
    int exit_code = CLI_DONE;
    reader->offset = reader->damaged = 0;
    reader->start = reader->buffer.size = 0;
    reader->size = (uint64_t)info.st_size;
    while (exit_code == CLI_DONE && reader->offset < reader->size)
        exit_code = import_next(import, source, reader);
    source->files_read++;
    close(reader->fd);
    return exit_code;
}

int import_foreign(struct import *import, struct foreign_source *source)
{
    struct reader reader = {.fd = -1};
    int exit_code = CLI_DONE;
    cli_progress_start(&import->progress, import->cli, "importing", "B", source->size);
    for (size_t i = 0; exit_code == CLI_DONE && i < source->count; i++)
        exit_code = import_file(import, source, &reader, source->files[i].number);
    bitcask_buffer_free(&reader.buffer);
    return exit_code;
}

/* ---- The report ---------------------------------------------------------------------------- */

static void report_json(const struct import *import, const struct foreign_source *source,
                        uint64_t us)
{
    struct cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "format", source->layout->name);
    cli_json_bool(&json, "dry_run", import->dry_run);
    cli_json_uint(&json, "files", source->files_read);
    cli_json_uint(&json, "records", source->records);
    cli_json_uint(&json, "puts", source->puts);
    cli_json_uint(&json, "deletes", source->deletes);
    cli_json_uint(&json, "refused", source->refused);
    cli_json_uint(&json, "damaged", source->damaged);
    cli_json_uint(&json, "torn", source->torn);
    cli_json_uint(&json, "pending_deletion", source->pending);
    cli_json_uint(&json, "passed_over", import->passed_over);
    cli_json_uint(&json, "bad", import->bad);
    cli_json_uint(&json, "bytes", import->bytes);
    cli_json_time(&json, "oldest", source->oldest_us);
    cli_json_time(&json, "newest", source->newest_us);
    if (import->dry_run)
        cli_json_null(&json, "keys");
    else
        cli_json_uint(&json, "keys", import_key_count(import));
    cli_json_uint(&json, "duration_us", us);
    cli_json_end(&json);
}

static void report_text(const struct import *import, const struct foreign_source *source,
                        uint64_t us)
{
    char files[CLI_UNIT_SIZE], records[CLI_UNIT_SIZE], puts[CLI_UNIT_SIZE], deletes[CLI_UNIT_SIZE],
        time[CLI_UNIT_SIZE], size[CLI_UNIT_SIZE], newest[CLI_UNIT_SIZE];
    cli_remark(import->cli, "%s %s %s of %s: %s records (%s puts, %s deletes), %s in %s",
               import->dry_run ? "read" : "imported", cli_count_text(files, source->files_read),
               source->files_read == 1 ? "file" : "files", source->layout->name,
               cli_count_text(records, source->records), cli_count_text(puts, source->puts),
               cli_count_text(deletes, source->deletes), cli_size_text(size, import->bytes),
               cli_duration_text(time, us));
    if (source->newest_us > 0)
        cli_remark(import->cli, "the oldest record is of %s, the newest of %s",
                   cli_time_text(time, source->oldest_us),
                   cli_time_text(newest, source->newest_us));
    if (import->dry_run)
        cli_remark(import->cli, "a dry run: nothing is stored");
    else
        cli_remark(import->cli, "the store has %s keys now",
                   cli_count_text(records, import_key_count(import)));
}

int import_foreign_report(struct import *import, struct foreign_source *source, uint64_t started_us)
{
    uint64_t us = cli_monotonic_us() - started_us;
    if (import->cli->json && import->acks == NULL)
        report_json(import, source, us);
    else
        report_text(import, source, us);
    const char *kept = import->dry_run ? "can be stored" : "is stored";
    if (source->damaged > 0 || source->torn > 0)
        return cli_fail_text(import->cli, CLI_CORRUPT,
                             "import: %" PRIu64 " damaged places, %" PRIu64
                             " torn files; what could be read %s",
                             source->damaged, source->torn, kept);
    if (source->refused > 0)
        return cli_fail_text(import->cli, CLI_STORE,
                             "import: %" PRIu64 " records are left out; all else %s",
                             source->refused, kept);
    return CLI_DONE;
}
