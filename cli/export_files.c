/* SPDX-License-Identifier: MIT
 * export_files.c: a directory tree from keys.
 *
 * The keys come from outside: they must not make anything but what is new below the output
 * directory. Each is opened component by component, never through a symbolic link, and files are
 * only ever made, never overwritten; so the output has to be empty at the start.
 *
 * Directories that the metadata names come first, with the modes they need to be filled; their own
 * modes are set at the very end, the deepest first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"

struct directory {
    char *path; /* relative, ends with a zero byte */
    unsigned mode;
};

struct tree {
    int root;
    struct directory *directories; /* whose mode is still to be set */
    size_t count, capacity;
    bitcask_buffer meta_key, meta;
};

/* ---- Paths --------------------------------------------------------------------------------- */

static int refuse(struct export *export, bitcask_slice key, const char *why)
{
    char shown[96];
    printable(shown, sizeof shown, key);
    export->refused++;
    cli_progress_finish(&export->progress);
    (void)cli_fail_text(export->cli, CLI_STORE, "export: left out '%s': %s", shown, why);
    return CLI_DONE;
}

/* What the output itself lacks (room, permission) ends the export; what is wrong with a key or
 * clashes with another only leaves that key out. */
static int failed_at(struct export *export, bitcask_slice key)
{
    if (errno == EEXIST || errno == ENOTDIR || errno == EISDIR || errno == ELOOP ||
        errno == ENAMETOOLONG || errno == EILSEQ || errno == EINVAL || errno == ENOENT)
        return refuse(export, key, strerror(errno));
    char shown[96];
    printable(shown, sizeof shown, key);
    return cli_fail_errno(export->cli, "export: make '%s' in '%s'", shown, export->output);
}

static int open_component(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (mkdirat(parent, name, 0777) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, flags);
}

/* Open the directory that `path` stands in, making what is not there; *name is its last component
 * (in `room`). Returns the descriptor, or -1 with errno. */
static int open_parent(struct tree *tree, const char *path, char name[NAME_MAX + 1])
{
    int fd = dup(tree->root);
    while (fd >= 0) {
        const char *slash = strchrnul(path, '/');
        size_t size = (size_t)(slash - path);
        if (size > NAME_MAX) {
            close(fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, size);
        name[size] = '\0';
        if (*slash == '\0')
            return fd;
        int next = open_component(fd, name);
        int saved_errno = errno;
        close(fd);
        errno = saved_errno;
        fd = next;
        path = slash + 1;
    }
    return -1;
}

/* ---- Directories --------------------------------------------------------------------------- */

static bool remember_directory(struct tree *tree, char *path, unsigned mode)
{
    if (tree->count == tree->capacity) {
        size_t capacity = tree->capacity == 0 ? 64 : 2 * tree->capacity;
        struct directory *directories = realloc(tree->directories, capacity * sizeof *directories);
        if (directories == NULL)
            return false;
        tree->directories = directories;
        tree->capacity = capacity;
    }
    tree->directories[tree->count++] = (struct directory){path, mode};
    return true;
}

static int make_directory(struct export *export, struct tree *tree, bitcask_slice path,
                          unsigned mode)
{
    char name[NAME_MAX + 1];
    char *text = strndup(path.data, path.size);
    if (text == NULL || !remember_directory(tree, text, mode)) {
        free(text);
        return cli_fail_text(export->cli, CLI_STORE, "export: out of memory");
    }
    int parent = open_parent(tree, text, name);
    int fd = parent < 0 ? -1 : open_component(parent, name);
    int exit_code = fd < 0 ? failed_at(export, path) : CLI_DONE;
    if (parent >= 0)
        close(parent);
    if (fd >= 0)
        close(fd);
    return exit_code;
}

static int export_directory(struct export *export, void *context, const bitcask_entry *entry)
{
    bitcask_slice path;
    enum files_kind kind;
    unsigned mode;
    if (!files_is_meta_key(entry->key, &path))
        return CLI_DONE;
    if (!files_meta_decode(entry->value, &kind, &mode))
        return refuse(export, entry->key, "not the metadata of a file");
    if (kind != FILES_DIRECTORY)
        return CLI_DONE; /* it is looked up with its file */
    const char *why = files_path_check(path);
    if (why != NULL)
        return refuse(export, entry->key, why);
    export->entries++;
    return make_directory(export, context, path, mode);
}

static int deepest_first(const void *a, const void *b)
{
    size_t size_a = strlen(((const struct directory *)a)->path);
    size_t size_b = strlen(((const struct directory *)b)->path);
    return size_a < size_b ? 1 : size_a > size_b ? -1 : 0;
}

/* A path is longer than that of any directory it is in. */
static int set_directory_modes(struct export *export, struct tree *tree)
{
    int exit_code = CLI_DONE;
    if (tree->count > 0)
        qsort(tree->directories, tree->count, sizeof *tree->directories, deepest_first);
    for (size_t i = 0; exit_code == CLI_DONE && i < tree->count; i++) {
        char name[NAME_MAX + 1];
        const struct directory *directory = &tree->directories[i];
        int parent = open_parent(tree, directory->path, name);
        int fd =
            parent < 0 ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fchmod(fd, directory->mode) != 0)
            exit_code = failed_at(export, bitcask_str(directory->path));
        if (fd >= 0)
            close(fd);
        if (parent >= 0)
            close(parent);
    }
    return exit_code;
}

/* ---- Files --------------------------------------------------------------------------------- */

static bool write_all(int fd, bitcask_slice content)
{
    const char *p = content.data;
    for (size_t done = 0; done < content.size;) {
        ssize_t n = write(fd, p + done, content.size - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool make_file(int parent, const char *name, bitcask_slice content, unsigned mode)
{
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, content) && fchmod(fd, mode) == 0;
    int saved_errno = errno;
    ok = close(fd) == 0 && ok;
    if (!ok)
        errno = saved_errno;
    return ok;
}

static bool make_link(int parent, const char *name, bitcask_slice target)
{
    char text[PATH_MAX];
    if (target.size == 0 || target.size >= sizeof text ||
        memchr(target.data, '\0', target.size) != NULL) {
        errno = EINVAL;
        return false;
    }
    memcpy(text, target.data, target.size);
    text[target.size] = '\0';
    return symlinkat(text, parent, name) == 0;
}

/* The metadata of a file, or what holds where there is none. */
static int look_up_meta(struct export *export, struct tree *tree, bitcask_slice path,
                        enum files_kind *kind, unsigned *mode)
{
    bitcask_error error;
    *kind = FILES_FILE;
    *mode = FILES_PLAIN_MODE;
    if (!files_meta_key(&tree->meta_key, path))
        return cli_fail_text(export->cli, CLI_STORE, "export: out of memory");
    bitcask_slice key = bitcask_bytes(tree->meta_key.data, tree->meta_key.size);
    if (key.size > BITCASK_MAX_KEY_SIZE)
        return CLI_DONE;
    bitcask_status status = bitcask_get(export->db, NULL, key, &tree->meta, NULL, &error);
    if (status == BITCASK_NOT_FOUND)
        return CLI_DONE;
    if (status != BITCASK_OK)
        return cli_fail_key(export->cli, status, &error, key);
    if (!files_meta_decode(bitcask_bytes(tree->meta.data, tree->meta.size), kind, mode))
        *kind = FILES_FILE, *mode = FILES_PLAIN_MODE;
    return CLI_DONE;
}

static int export_file(struct export *export, void *context, const bitcask_entry *entry)
{
    struct tree *tree = context;
    bitcask_slice meta_of;
    if (files_is_meta_key(entry->key, &meta_of))
        return CLI_DONE;
    const char *why = files_path_check(entry->key);
    if (why != NULL)
        return refuse(export, entry->key, why);
    enum files_kind kind;
    unsigned mode;
    int exit_code = look_up_meta(export, tree, entry->key, &kind, &mode);
    if (exit_code != CLI_DONE)
        return exit_code;
    char name[NAME_MAX + 1];
    char *path = strndup(entry->key.data, entry->key.size);
    if (path == NULL)
        return cli_fail_text(export->cli, CLI_STORE, "export: out of memory");
    int parent = open_parent(tree, path, name);
    free(path);
    bool ok = parent >= 0 && (kind == FILES_LINK ? make_link(parent, name, entry->value)
                                                 : make_file(parent, name, entry->value, mode));
    exit_code = ok ? CLI_DONE : failed_at(export, entry->key);
    if (parent >= 0)
        close(parent);
    export->entries += ok;
    export->bytes += entry->value.size;
    cli_progress_update(&export->progress, export->entries);
    return exit_code;
}

/* ---- The tree ------------------------------------------------------------------------------ */

static bool is_empty(DIR *directory)
{
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return false;
    return true;
}

int export_open_directory(struct export *export, int *root)
{
    if (mkdir(export->output, 0777) != 0 && errno != EEXIST)
        return cli_fail_errno(export->cli, "export: make '%s'", export->output);
    DIR *directory = opendir(export->output);
    if (directory == NULL)
        return cli_fail_errno(export->cli, "export: open '%s'", export->output);
    bool empty = is_empty(directory);
    *root = empty ? fcntl(dirfd(directory), F_DUPFD_CLOEXEC, 0) : -1;
    closedir(directory);
    if (!empty)
        return cli_fail_text(export->cli, CLI_USAGE,
                             "export: '%s' is not empty (name a directory that is new or empty)",
                             export->output);
    return *root >= 0 ? CLI_DONE : cli_fail_errno(export->cli, "export: '%s'", export->output);
}

/* Directories, then files and links. */
static int fill_tree(struct export *export, struct tree *tree)
{
    bitcask_buffer prefix = {0};
    if (!files_meta_key(&prefix, export->prefix))
        return cli_fail_text(export->cli, CLI_STORE, "export: out of memory");
    int exit_code = export_walk(export, bitcask_bytes(prefix.data, prefix.size), BITCASK_VALUES,
                                export_directory, tree);
    bitcask_buffer_free(&prefix);
    if (exit_code != CLI_DONE)
        return exit_code;
    return export_walk(export, export->prefix, BITCASK_VALUES, export_file, tree);
}

int export_files(struct export *export)
{
    struct tree tree = {.root = -1};
    int exit_code = export_open_directory(export, &tree.root);
    if (exit_code != CLI_DONE)
        return exit_code;
    exit_code = fill_tree(export, &tree);
    int modes = set_directory_modes(export, &tree);
    for (size_t i = 0; i < tree.count; i++)
        free(tree.directories[i].path);
    free(tree.directories);
    bitcask_buffer_free(&tree.meta_key);
    bitcask_buffer_free(&tree.meta);
    close(tree.root);
    return exit_code != CLI_DONE ? exit_code : modes;
}
