/* SPDX-License-Identifier: MIT
 * format_files.c: keys and metadata of directory trees. */
#include "formats.h"

enum { META_PREFIX_SIZE = sizeof(FILES_META_PREFIX) - 1 };

static const char *const kind_names[] = {
    [FILES_FILE] = "file",
    [FILES_LINK] = "link",
    [FILES_DIRECTORY] = "dir",
};

size_t files_meta_encode(char to[FILES_META_SIZE], enum files_kind kind, unsigned mode)
{
    return (size_t)snprintf(to, FILES_META_SIZE, "%s %04o", kind_names[kind],
                            mode & FILES_MODE_MASK);
}

bool files_meta_decode(bitcask_slice text, enum files_kind *kind, unsigned *mode)
{
    const char *p = text.data;
    for (size_t i = 0; i < sizeof kind_names / sizeof kind_names[0]; i++) {
        size_t name_size = strlen(kind_names[i]);
        if (text.size != name_size + 5 || memcmp(p, kind_names[i], name_size) != 0 ||
            p[name_size] != ' ')
            continue;
        *kind = (enum files_kind)i;
        *mode = 0;
        for (size_t k = name_size + 1; k < text.size; k++) {
            if (p[k] < '0' || p[k] > '7')
                return false;
            *mode = *mode << 3 | (unsigned)(p[k] - '0');
        }
        return (*mode & ~(unsigned)FILES_MODE_MASK) == 0;
    }
    return false;
}

bool files_meta_key(bitcask_buffer *to, bitcask_slice path)
{
    to->size = 0;
    if (path.size > SIZE_MAX - META_PREFIX_SIZE ||
        !buffer_reserve(to, META_PREFIX_SIZE + path.size))
        return false;
    memcpy(to->data, FILES_META_PREFIX, META_PREFIX_SIZE);
    if (path.size > 0)
        memcpy((char *)to->data + META_PREFIX_SIZE, path.data, path.size);
    to->size = META_PREFIX_SIZE + path.size;
    return true;
}

bool files_is_meta_key(bitcask_slice key, bitcask_slice *path)
{
    if (key.size < META_PREFIX_SIZE || memcmp(key.data, FILES_META_PREFIX, META_PREFIX_SIZE) != 0)
        return false;
    *path = bitcask_bytes((const char *)key.data + META_PREFIX_SIZE, key.size - META_PREFIX_SIZE);
    return true;
}

const char *files_path_check(bitcask_slice path)
{
    const char *p = path.data;
    if (path.size == 0)
        return "the path is empty";
    if (memchr(p, '\0', path.size) != NULL)
        return "the path has a zero byte";
    if (p[0] == '/')
        return "the path is absolute";
    for (size_t start = 0; start <= path.size;) {
        const char *slash = start < path.size ? memchr(p + start, '/', path.size - start) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - p) : path.size;
        size_t size = end - start;
        if (size == 0)
            return "the path has an empty component";
        if (p[start] == '.' && (size == 1 || (size == 2 && p[start + 1] == '.')))
            return "the path has a component '.' or '..'";
        start = end + 1;
    }
    return NULL;
}
