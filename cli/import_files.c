/* SPDX-License-Identifier: MIT
 * import_files.c: importing a directory tree. Nothing is opened through a symbolic link but the
 * source itself. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"

struct tree {
    struct import *import;
    bool counting;          /* only add up the sizes, for the progress bar */
    uint64_t total, done;   /* bytes */
    bitcask_buffer path;    /* relative to the source */
    bitcask_buffer content; /* of one file */
    bitcask_buffer meta_key;
    struct stat store; /* of the store's directory, which may be in the tree */
};

static bitcask_slice path_of(const struct tree *tree)
{
    return bitcask_bytes(tree->path.data, tree->path.size);
}

/* The path, as it can stand in a message. */
static const char *place_of(const struct tree *tree, char place[96])
{
    printable(place, 96, path_of(tree));
    return place;
}

static int bad_errno(struct tree *tree, const char *what)
{
    char place[96];
    return import_bad(tree->import, CLI_STORE, place_of(tree, place), "%s: %s", what,
                      strerror(errno));
}

/* ---- One entry ----------------------------------------------------------------------------- */

/* Store an entry and its metadata, and take away what an earlier import may have left of another
 * kind. `value` is NULL for a directory. */
static int store_entry(struct tree *tree, enum files_kind kind, unsigned mode,
                       const bitcask_slice *value)
{
    char text[FILES_META_SIZE], place[96];
    place_of(tree, place);
    if (!files_meta_key(&tree->meta_key, path_of(tree)))
        return import_no_memory(tree->import, place);
    struct item meta = {
        .key = bitcask_bytes(tree->meta_key.data, tree->meta_key.size),
        .value = bitcask_bytes(text, files_meta_encode(text, kind, mode)),
    };
    bool plain = kind == FILES_FILE && (mode & FILES_MODE_MASK) == FILES_PLAIN_MODE;
    int exit_code = plain ? import_delete(tree->import, place, meta.key)
                          : import_put(tree->import, place, &meta);
    if (exit_code != CLI_DONE)
        return exit_code;
    struct item item = {.key = path_of(tree)};
    if (value == NULL) {
        exit_code = import_delete(tree->import, place, item.key);
    } else {
        item.value = *value;
        exit_code = import_put(tree->import, place, &item);
    }
    return exit_code == CLI_DONE ? import_entry_done(tree->import, place) : exit_code;
}

/* Read all of an open file; more than a value may hold is left unread. */
static bool read_content(int fd, uint64_t expected, bitcask_buffer *content)
{
    content->size = 0;
    size_t room = expected < BITCASK_MAX_VALUE_SIZE ? (size_t)expected + 1 : 4096;
    for (;;) {
        if (!buffer_reserve(content, content->size == 0 ? room : 4096)) {
            errno = ENOMEM;
            return false;
        }
        ssize_t n =
            read(fd, (char *)content->data + content->size, content->capacity - content->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        content->size += (size_t)n;
        if (content->size > BITCASK_MAX_VALUE_SIZE)
            return true;
    }
}

static int import_file(struct tree *tree, int directory, const char *name)
{
    struct stat info;
    /* NONBLOCK: a FIFO may have taken the place of the file since it was looked at. */
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return bad_errno(tree, "open");
    bool read_ok = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    bool too_large = read_ok && info.st_size > (off_t)BITCASK_MAX_VALUE_SIZE;
    if (read_ok && !too_large)
        read_ok = read_content(fd, (uint64_t)info.st_size, &tree->content);
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    if (!read_ok)
        return bad_errno(tree, "read");
    if (too_large || tree->content.size > BITCASK_MAX_VALUE_SIZE) {
        char place[96], size[CLI_UNIT_SIZE];
        return import_bad(
            tree->import, CLI_STORE, place_of(tree, place),
            "the file has %s, a value at most 1 GiB",
            cli_size_text(size, too_large ? (uint64_t)info.st_size : tree->content.size));
    }
    tree->done += tree->content.size;
    bitcask_slice value = bitcask_bytes(tree->content.data, tree->content.size);
    return store_entry(tree, FILES_FILE, info.st_mode, &value);
}

static int import_link(struct tree *tree, int directory, const char *name)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(directory, name, target, sizeof target);
    if (size < 0 || (size_t)size == sizeof target)
        return bad_errno(tree, "read the link");
    bitcask_slice value = bitcask_bytes(target, (size_t)size);
    return store_entry(tree, FILES_LINK, 0777, &value);
}

/* ---- The walk ------------------------------------------------------------------------------ */

static int import_directory(struct tree *tree, int fd);

static int enter_directory(struct tree *tree, int directory, const char *name)
{
    struct stat info;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        int exit_code = tree->counting ? CLI_DONE : bad_errno(tree, "open");
        if (fd >= 0)
            close(fd);
        return exit_code;
    }
    if (info.st_dev == tree->store.st_dev && info.st_ino == tree->store.st_ino) {
        if (!tree->counting) {
            cli_remark(tree->import->cli, "passed over %s, the store itself",
                       tree->import->cli->directory);
            tree->import->passed_over++;
        }
        close(fd);
        return CLI_DONE;
    }
    int exit_code =
        tree->counting ? CLI_DONE : store_entry(tree, FILES_DIRECTORY, info.st_mode, NULL);
    if (exit_code != CLI_DONE) {
        close(fd);
        return exit_code;
    }
    return import_directory(tree, fd);
}

static int pass_over(struct tree *tree, const char *what)
{
    char place[96];
    cli_progress_finish(&tree->import->progress);
    cli_remark(tree->import->cli, "passed over %s: %s", place_of(tree, place), what);
    tree->import->passed_over++;
    return CLI_DONE;
}

static const char *special_kind(mode_t mode)
{
    return S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* The entry `name` of the directory, whose path is in tree->path. */
static int import_entry(struct tree *tree, int directory, const char *name)
{
    struct stat info;
    if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return tree->counting ? CLI_DONE : bad_errno(tree, "look at");
    if (S_ISDIR(info.st_mode))
        return enter_directory(tree, directory, name);
    if (tree->counting) {
        tree->total += S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
        return CLI_DONE;
    }
    if (S_ISREG(info.st_mode))
        return import_file(tree, directory, name);
    if (S_ISLNK(info.st_mode))
        return import_link(tree, directory, name);
    return pass_over(tree, special_kind(info.st_mode));
}

struct names {
    char **names;
    size_t count, capacity;
};

static void release_names(struct names *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
}

static bool add_name(struct names *list, const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 32 : 2 * list->capacity;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (names == NULL)
            return false;
        list->names = names;
        list->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return false;
    list->names[list->count++] = copy;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names, sorted: the same tree is stored in the same order each time. False: errno. */
static bool list_names(DIR *directory, struct names *list)
{
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(directory)) != NULL)
        if (!add_name(list, entry->d_name)) {
            errno = ENOMEM;
            return false;
        }
    if (errno != 0)
        return false;
    if (list->count > 0)
        qsort(list->names, list->count, sizeof *list->names, compare_names);
    return true;
}

static bool enter_path(struct tree *tree, const char *name)
{
    size_t size = strlen(name);
    if (!buffer_reserve(&tree->path, size + 1))
        return false;
    if (tree->path.size > 0)
        ((char *)tree->path.data)[tree->path.size++] = '/';
    memcpy((char *)tree->path.data + tree->path.size, name, size);
    tree->path.size += size;
    return true;
}

static int import_named(struct tree *tree, int directory, const char *name)
{
    size_t size = tree->path.size;
    if (!enter_path(tree, name))
        return import_no_memory(tree->import, name);
    int exit_code;
    if (tree->path.size > BITCASK_MAX_KEY_SIZE - sizeof FILES_META_PREFIX)
        exit_code = tree->counting ? CLI_DONE
                                   : import_bad(tree->import, CLI_STORE, tree->import->source,
                                                "a path is too long for a key");
    else
        exit_code = import_entry(tree, directory, name);
    tree->path.size = size;
    if (!tree->counting)
        cli_progress_update(&tree->import->progress, tree->done);
    return exit_code;
}

/* All below the open directory `fd`, which is closed. Recursion ends at the latest where the
 * process may open no more files. */
static int import_directory(struct tree *tree, int fd)
{
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        close(fd);
        return bad_errno(tree, "open");
    }
    struct names list = {0};
    int exit_code = CLI_DONE;
    if (!list_names(directory, &list))
        exit_code = tree->counting ? CLI_DONE : bad_errno(tree, "list");
    for (size_t i = 0; exit_code == CLI_DONE && i < list.count; i++)
        exit_code = import_named(tree, dirfd(directory), list.names[i]);
    release_names(&list);
    closedir(directory);
    return exit_code;
}

static int walk(struct tree *tree, bool counting)
{
    tree->counting = counting;
    int fd = open(tree->import->source, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0)
        return cli_fail_errno(tree->import->cli, "import: open '%s'", tree->import->source);
    return import_directory(tree, fd);
}

int import_files(struct import *import)
{
    struct tree tree = {.import = import};
    int exit_code = CLI_DONE;
    if (!import->dry_run && stat(import->cli->directory, &tree.store) != 0)
        return cli_fail_errno(import->cli, "import: %s", import->cli->directory);
    if (!import->cli->quiet)
        exit_code = walk(&tree, true);
    cli_progress_start(&import->progress, import->cli, "importing", "B", tree.total);
    if (exit_code == CLI_DONE)
        exit_code = walk(&tree, false);
    bitcask_buffer_free(&tree.path);
    bitcask_buffer_free(&tree.content);
    bitcask_buffer_free(&tree.meta_key);
    return exit_code;
}
