/* SPDX-License-Identifier: MIT
 * import_lines.c: importing a stream of lines. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"

enum { READ_SIZE = 256 << 10 };

struct line_reader {
    int fd;
    bool at_end;
    bitcask_buffer buffer;
    size_t start;   /* of the next line */
    size_t scanned; /* no newline between start and here */
    uint64_t number, bytes;
};

enum read_result { READ_LINE, READ_END, READ_ERROR, READ_NO_MEMORY, READ_TOO_LONG };

static enum read_result read_more(struct line_reader *reader)
{
    bitcask_buffer *buffer = &reader->buffer;
    if (reader->start > 0) {
        buffer->size -= reader->start;
        memmove(buffer->data, (char *)buffer->data + reader->start, buffer->size);
        reader->start = 0;
    }
    reader->scanned = buffer->size;
    if (buffer->size > LINE_MAX_SIZE)
        return READ_TOO_LONG;
    if (!buffer_reserve(buffer, READ_SIZE))
        return READ_NO_MEMORY;
    ssize_t n =
        cli_read(reader->fd, (char *)buffer->data + buffer->size, buffer->capacity - buffer->size);
    if (n < 0)
        return READ_ERROR;
    buffer->size += (size_t)n;
    reader->at_end = n == 0;
    return READ_LINE;
}

/* The next line, without its newline; valid until the next call. Lines are handed out as soon as
 * they are there: whoever writes into a pipe can wait for the acknowledgement of each. */
static enum read_result read_line(struct line_reader *reader, bitcask_slice *line)
{
    bitcask_buffer *buffer = &reader->buffer;
    const char *newline = NULL;
    while (!reader->at_end) {
        size_t left = buffer->size - reader->scanned;
        if (left > 0) /* else there may be no buffer yet */
            newline = memchr((const char *)buffer->data + reader->scanned, '\n', left);
        if (newline != NULL)
            break;
        enum read_result result = read_more(reader);
        if (result != READ_LINE)
            return result;
    }
    const char *begin = (const char *)buffer->data + reader->start;
    size_t size = newline != NULL ? (size_t)(newline - begin) : buffer->size - reader->start;
    if (newline == NULL && size == 0)
        return READ_END;
    *line = bitcask_bytes(begin, size);
    reader->start += size + (newline != NULL);
    reader->scanned = reader->start;
    reader->bytes += size + (newline != NULL);
    reader->number++;
    return READ_LINE;
}

static int import_line(struct import *import, struct line_decoder *decoder, line_decode_fn *decode,
                       bitcask_slice line, const char *place)
{
    struct item item;
    switch (decode(decoder, line, &item)) {
    case LINE_BLANK:
        return CLI_DONE;
    case LINE_NO_MEMORY:
        return import_no_memory(import, place);
    case LINE_BAD:
        return import_bad(import, CLI_USAGE, place, "%s", decoder->why);
    case LINE_ITEM:
        break;
    }
    int exit_code = import->batch_entries == 1 ? import_put_now(import, place, &item)
                                               : import_put(import, place, &item);
    return exit_code == CLI_DONE ? import_entry_done(import, place) : exit_code;
}

static int stop_reading(struct import *import, enum read_result result, const char *place)
{
    cli_progress_finish(&import->progress);
    switch (result) {
    case READ_ERROR:
        if (cli_interrupted())
            return cli_fail_interrupted(import->cli);
        return cli_fail_errno(import->cli, "import: read '%s'", import->source);
    case READ_NO_MEMORY:
        return import_no_memory(import, place);
    case READ_TOO_LONG:
        return cli_fail_text(import->cli, CLI_USAGE, "import: %s: longer than any item can be",
                             place);
    default:
        return CLI_DONE;
    }
}

static int import_stream(struct import *import, struct line_reader *reader, line_decode_fn *decode)
{
    struct line_decoder decoder = {.tree = NULL};
    char place[128];
    int exit_code = CLI_DONE;
    while (exit_code == CLI_DONE) {
        bitcask_slice line = {NULL, 0};
        enum read_result result = read_line(reader, &line);
        snprintf(place, sizeof place, "%.90s:%" PRIu64, import->source,
                 reader->number + (result != READ_LINE));
        if (result != READ_LINE) {
            exit_code = stop_reading(import, result, place);
            break;
        }
        exit_code = import_line(import, &decoder, decode, line, place);
        cli_progress_update(&import->progress, reader->bytes);
    }
    line_decoder_release(&decoder);
    return exit_code;
}

int import_lines(struct import *import, line_decode_fn *decode)
{
    struct line_reader reader = {.fd = STDIN_FILENO};
    bool standard = strcmp(import->source, "-") == 0;
    if (!standard)
        reader.fd = open(import->source, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (reader.fd < 0 || fstat(reader.fd, &info) != 0)
        return cli_fail_errno(import->cli, "import: open '%s'", import->source);
    uint64_t total = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    cli_progress_start(&import->progress, import->cli, "importing", "B", total);
    int exit_code = import_stream(import, &reader, decode);
    bitcask_buffer_free(&reader.buffer);
    if (!standard)
        close(reader.fd);
    return exit_code;
}
