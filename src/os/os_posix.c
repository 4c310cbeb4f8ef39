/* SPDX-License-Identifier: MIT
 * os_posix.c: struct os over Linux. The only file that calls the system for I/O, time, randomness.
 *
 * Explicit offsets everywhere. Transfers are completed and EINTR is retried, except where a retry
 * could turn a lost write into a success: a failed fdatasync or fsync is reported, never repeated.
 *
 * Two things are global here because fork() is: the list of held locks and the fork guard. Lock
 * order: fork_mutex is the only lock, held across fork() as well, so that a child always finds both
 * whole. */
#include "os/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/planted.h"
#include "os/memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

struct os_file {
    int fd;
};

/* ---- Files ---------------------------------------------------------------------------------- */

/* A FIFO, socket, device or directory in a file's place: the header promises -EINVAL. */
static int refuse_irregular(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -errno;
    return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

static int open_descriptor(const char *path, int flags)
{
    /* O_NONBLOCK: a FIFO must not hang the open; regular files do not care. */
    int mode = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    mode |= flags & OS_WRITE ? O_RDWR : O_RDONLY;
    mode |= flags & OS_CREATE ? O_CREAT | O_EXCL : 0;
    for (;;) {
        int fd = open(path, mode, 0600);
        if (fd >= 0)
            return fd;
        if (errno == EISDIR || errno == ENXIO) /* a directory for writing; a socket */
            return -EINVAL;
        if (errno != EINTR)
            return -errno;
    }
}

static int posix_open(struct os *os, const char *path, int flags, struct os_file **file)
{
    (void)os;
    CHECK(flags & (OS_READ | OS_WRITE));
    CHECK(!(flags & OS_CREATE) || flags & OS_WRITE);
    struct os_file *opened = malloc(sizeof(*opened));
    if (!opened)
        return -ENOMEM;
    int fd = open_descriptor(path, flags);
    int result = fd < 0 ? fd : refuse_irregular(fd);
    if (result != 0) {
        if (fd >= 0)
            close(fd);
        free(opened);
        return result;
    }
    opened->fd = fd;
    *file = opened;
    return 0;
}

static int posix_close(struct os *os, struct os_file *file)
{
    (void)os;
    int fd = file->fd;
    free(file);
    return close(fd) == 0 ? 0 : -errno; /* Linux frees the descriptor even on EINTR */
}

static int64_t posix_pread(struct os *os, struct os_file *file, void *data, size_t size,
                           uint64_t offset)
{
    (void)os;
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

/* Write all of `size` bytes with the RWF_ flags `rwf`. */
static int write_fully(int fd, const void *data, size_t size, uint64_t offset, int rwf)
{
    const char *from = data;
    while (size > 0) {
        ssize_t n;
        if (rwf) {
            struct iovec vector = {(void *)(uintptr_t)from, size};
            n = pwritev2(fd, &vector, 1, (off_t)offset, rwf);
        } else {
            n = pwrite(fd, from, size, (off_t)offset);
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO; /* no file system does this; looping on it would be worse */
        from += n;
        offset += (uint64_t)n;
        size -= PLANTED(short_write_taken) ? size : (size_t)n;
    }
    return 0;
}

static int posix_pwrite(struct os *os, struct os_file *file, const void *data, size_t size,
                        uint64_t offset, int flags)
{
    (void)os;
    if (flags & OS_DSYNC && size > 0) {
        int result = write_fully(file->fd, data, size, offset, RWF_DSYNC);
        if (result != -EOPNOTSUPP && result != -ENOSYS)
            return result;
    }
    int result = write_fully(file->fd, data, size, offset, 0);
    if (result == 0 && flags & OS_DSYNC && fdatasync(file->fd) != 0)
        result = -errno;
    return result;
}

/* For file systems without fallocate: ftruncate would promise no space, so zeros are written, only
 * behind the end. The kernel places them there (RWF_APPEND), so that a write by another thread that
 * grows the file meanwhile is never overwritten; the file may then end up longer than asked. */
static int allocate_by_zeros(int fd, uint64_t end)
{
    static const char zeros[64 << 10];
    for (;;) {
        struct stat st;
        if (fstat(fd, &st) != 0)
            return -errno;
        uint64_t have = (uint64_t)st.st_size;
        if (have >= end)
            return 0;
        size_t size = end - have < sizeof(zeros) ? (size_t)(end - have) : sizeof(zeros);
        int result = write_fully(fd, zeros, size, 0, RWF_APPEND);
        if (result != 0)
            return result;
    }
}

static int posix_allocate(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)os;
    uint64_t end;
    if (__builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
        return -EFBIG;
    if (size == 0)
        return 0;
    while (fallocate(file->fd, 0, (off_t)offset, (off_t)size) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return allocate_by_zeros(file->fd, end);
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int posix_truncate(struct os *os, struct os_file *file, uint64_t size)
{
    (void)os;
    while (ftruncate(file->fd, (off_t)size) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int posix_sync(struct os *os, struct os_file *file)
{
    (void)os;
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

static int posix_drop_cache(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)os;
    return -posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

static int posix_will_need(struct os *os, struct os_file *file, uint64_t offset, uint64_t size)
{
    (void)os;
    return -posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

static void stat_convert(const struct stat *st, struct os_stat *stat)
{
    *stat = (struct os_stat){
        .size = (uint64_t)st->st_size,
        .allocated = (uint64_t)st->st_blocks * 512,
        .regular = S_ISREG(st->st_mode),
        .directory = S_ISDIR(st->st_mode),
    };
}

static int posix_stat_file(struct os *os, struct os_file *file, struct os_stat *stat)
{
    (void)os;
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return -errno;
    stat_convert(&st, stat);
    return 0;
}

/* ---- Mappings ------------------------------------------------------------------------------- */

static void posix_unmap(struct os *os, void *memory, size_t size)
{
    (void)os;
    CHECK(munmap(memory, size) == 0);
}

static int posix_map(struct os *os, struct os_file *file, size_t size, bool writable, void **memory)
{
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *mapped = mmap(NULL, size, protection, MAP_SHARED, file->fd, 0);
    if (mapped == MAP_FAILED)
        return -errno;
    if (madvise(mapped, size, MADV_DONTFORK) != 0) {
        int result = -errno;
        posix_unmap(os, mapped, size);
        return result;
    }
    *memory = mapped;
    return 0;
}

static int posix_advise(struct os *os, void *memory, size_t size, enum os_advice advice)
{
    (void)os;
    static const int of_advice[] = {
        [OS_ADVISE_RANDOM] = MADV_RANDOM,           [OS_ADVISE_SEQUENTIAL] = MADV_SEQUENTIAL,
        [OS_ADVISE_NORMAL] = MADV_NORMAL,           [OS_ADVISE_WILLNEED] = MADV_WILLNEED,
        [OS_ADVISE_POPULATE] = MADV_POPULATE_WRITE, [OS_ADVISE_DROP] = MADV_DONTNEED,
        [OS_ADVISE_HUGE] = MADV_HUGEPAGE,           [OS_ADVISE_SMALL] = MADV_NOHUGEPAGE,
        [OS_ADVISE_EVICT] = MADV_PAGEOUT,
    };
    CHECK(advice >= OS_ADVISE_RANDOM && advice <= OS_ADVISE_EVICT);
    size_t into_page = (uintptr_t)memory % OS_PAGE; /* the kernel wants whole pages */
    return madvise((char *)memory - into_page, size + into_page, of_advice[advice]) == 0 ? 0
                                                                                         : -errno;
}

/* ---- Directories and names ------------------------------------------------------------------ */

static int posix_make_dir(struct os *os, const char *path)
{
    (void)os;
    return mkdir(path, 0700) == 0 ? 0 : -errno;
}

static int posix_remove_dir(struct os *os, const char *path)
{
    (void)os;
    return rmdir(path) == 0 ? 0 : -errno;
}

static int posix_list(struct os *os, const char *path, int (*each)(void *context, const char *name),
                      void *context)
{
    (void)os;
    DIR *directory = opendir(path); /* close-on-exec */
    if (!directory)
        return -errno;
    int result = 0;
    while (result == 0) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = each(context, entry->d_name);
    }
    closedir(directory);
    return result;
}

static int posix_stat(struct os *os, const char *path, struct os_stat *stat)
{
    (void)os;
    struct stat st;
    if (lstat(path, &st) != 0)
        return -errno;
    stat_convert(&st, stat);
    return 0;
}

static int posix_rename(struct os *os, const char *from, const char *to)
{
    (void)os;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int posix_link(struct os *os, const char *from, const char *to)
{
    (void)os;
    return link(from, to) == 0 ? 0 : -errno;
}

static int posix_unlink(struct os *os, const char *path)
{
    (void)os;
    return unlink(path) == 0 ? 0 : -errno;
}

static int open_directory(const char *path)
{
    for (;;) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno != EINTR)
            return -errno;
    }
}

static int posix_sync_dir(struct os *os, const char *path)
{
    (void)os;
    int fd = open_directory(path);
    if (fd < 0)
        return fd;
    int result = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return result;
}

/* Known file systems. mapped_writes only where stores into space that fallocate has promised have
 * been shown not to need more:
 * - ext2/3/4: blocks are assigned once, in place.
 * - tmpfs: fallocate takes the pages themselves.
 * - xfs: in place as well, for files that nobody has reflinked since they were written. A reflinked
 *   copy of an *active* segment (cp --reflink) makes the next store into it copy-on-write, which a
 *   full disk answers with SIGBUS. docs/OPERATIONS.md says to copy with `bitcask backup`.
 * - btrfs died of SIGBUS in tests; overlayfs, NFS and FUSE hide what is underneath. */
static const struct known_file_system {
    uint64_t magic;
    bool mapped_writes, sync_tells_all;
    const char *name;
} known_file_systems[] = {
    {0xEF53, true, true, "ext4"},
    {0x01021994, true, true, "tmpfs"},
    {0x58465342, true, true, "xfs"},
    {0x9123683E, false, true, "btrfs"},
    {0x794C7630, false, false, "overlayfs"},
    {0x6969, false, false, "nfs"},
    {0x65735546, false, false, "fuse"},
    {0x2FC12FC1, false, false, "zfs"},
};

/* From 4.17 on a write error that no sync has reported is reported to a file opened later, too
 * ("errseq: Always report a writeback error once"). */
static bool kernel_tells_all(void)
{
    struct utsname names;
    unsigned major = 0, minor = 0;
    if (uname(&names) != 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2)
        return false;
    return major > 4 || (major == 4 && minor >= 17);
}

static const struct known_file_system *find_file_system(uint32_t magic)
{
    for (size_t i = 0; i < sizeof(known_file_systems) / sizeof(known_file_systems[0]); i++)
        if (known_file_systems[i].magic == magic)
            return &known_file_systems[i];
    return NULL;
}

static int posix_traits(struct os *os, const char *path, struct os_traits *traits)
{
    (void)os;
    struct statfs st;
    while (statfs(path, &st) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    uint32_t magic = (uint32_t)st.f_type;
    *traits = (struct os_traits){0};
    snprintf(traits->name, sizeof(traits->name), "0x%x", magic);
    const struct known_file_system *known = find_file_system(magic);
    if (known != NULL) {
        traits->mapped_writes = known->mapped_writes;
        traits->sync_tells_all = known->sync_tells_all && kernel_tells_all();
        snprintf(traits->name, sizeof(traits->name), "%s", known->name);
    }
    return 0;
}

/* Of known file systems: holes, and what has been allocated and not written, are no data; what is
 * in the page cache only is. */
static int posix_zeros_from(struct os *os, struct os_file *file, uint64_t *offset)
{
    (void)os;
    enum { EXTENTS_MAX = 1024 };
    struct stat st;
    struct statfs system;
    if (fstat(file->fd, &st) != 0 || fstatfs(file->fd, &system) != 0)
        return -errno;
    *offset = (uint64_t)st.st_size;
    const struct known_file_system *known = find_file_system((uint32_t)system.f_type);
    off_t end = 0;
    for (int i = 0; known != NULL && known->mapped_writes && i < EXTENTS_MAX; i++) {
        off_t data = lseek(file->fd, end, SEEK_DATA);
        if (data < 0 && errno == ENXIO) { /* none behind `end` */
            *offset = (uint64_t)end;
            return 0;
        }
        end = data < 0 ? -1 : lseek(file->fd, data, SEEK_HOLE);
        if (end < 0)
            return 0;
    }
    return 0;
}

static int posix_free_space(struct os *os, const char *path, uint64_t *bytes)
{
    (void)os;
    struct statvfs st;
    while (statvfs(path, &st) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    *bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

static int posix_disk_size(struct os *os, const char *path, uint64_t *bytes)
{
    (void)os;
    struct statvfs st;
    while (statvfs(path, &st) != 0) {
        if (errno != EINTR)
            return -errno;
    }
    *bytes = (uint64_t)st.f_blocks * st.f_frsize;
    return 0;
}

/* ---- Locks and fork() ----------------------------------------------------------------------- */

/* flock belongs to the open file description, and a forked child shares that: its copy would keep
 * the directory locked after the parent has died. So the child closes its copies of all held locks
 * in the first moment of its life. (_Fork() and raw clone() run no handlers and are not covered.)
 */
struct os_lock {
    struct os_lock *next;
    int fd; /* -1 in a child: its parent's */
};

static pthread_mutex_t fork_mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct os_lock *held_locks;
static unsigned char *guard_page;

static void fork_prepare(void)
{
    pthread_mutex_lock(&fork_mutex);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&fork_mutex);
}

static void fork_child(void)
{
    for (struct os_lock *lock = held_locks; lock; lock = lock->next) {
        close(lock->fd); /* not LOCK_UN, which would unlock the parent's */
        lock->fd = -1;
    }
    held_locks = NULL;
    pthread_mutex_unlock(&fork_mutex);
}

static int fork_handlers_error;

static void fork_handlers_install(void)
{
    fork_handlers_error = -pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static int fork_handlers(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fork_handlers_install);
    return fork_handlers_error;
}

/* An open and locked descriptor of the directory, or -errno. */
static int lock_directory(const char *path, bool exclusive)
{
    int fd = open_directory(path);
    if (fd < 0)
        return fd;
    while (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno != EINTR) {
            int result = -errno;
            close(fd);
            return result;
        }
    }
    return fd;
}

static int posix_lock(struct os *os, const char *path, bool exclusive, struct os_lock **lock)
{
    (void)os;
    int result = fork_handlers();
    if (result != 0)
        return result;
    struct os_lock *held = malloc(sizeof(*held));
    if (!held)
        return -ENOMEM;
    /* A fork between the open and the list would leak the descriptor: hold it off. */
    pthread_mutex_lock(&fork_mutex);
    held->fd = lock_directory(path, exclusive);
    if (held->fd >= 0) {
        held->next = held_locks;
        held_locks = held;
    }
    pthread_mutex_unlock(&fork_mutex);
    if (held->fd < 0) {
        result = held->fd;
        free(held);
        return result;
    }
    *lock = held;
    return 0;
}

static void posix_unlock(struct os *os, struct os_lock *lock)
{
    (void)os;
    pthread_mutex_lock(&fork_mutex);
    if (lock->fd >= 0) {
        struct os_lock **link = &held_locks;
        while (*link != lock)
            link = &(*link)->next;
        *link = lock->next;
        close(lock->fd);
    }
    pthread_mutex_unlock(&fork_mutex);
    free(lock);
}

static unsigned char *guard_page_new(void)
{
    void *page = mmap(NULL, OS_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, OS_PAGE, MADV_WIPEONFORK) != 0) {
        munmap(page, OS_PAGE);
        return NULL;
    }
    *(unsigned char *)page = 1;
    return page;
}

/* One page per process. A child that opens a store of its own gets a page of its own; the one it
 * inherited stays for the handles it inherited, and reads 0. */
static const volatile unsigned char *posix_fork_guard(struct os *os)
{
    (void)os;
    if (fork_handlers() != 0)
        return NULL;
    pthread_mutex_lock(&fork_mutex);
    if (!guard_page || *guard_page == 0)
        guard_page = guard_page_new();
    const volatile unsigned char *guard = guard_page;
    pthread_mutex_unlock(&fork_mutex);
    return guard;
}

/* ---- Clocks, randomness, memory, facts ------------------------------------------------------ */

static uint64_t clock_us(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t posix_clock_real(struct os *os)
{
    (void)os;
    return clock_us(CLOCK_REALTIME);
}

static uint64_t posix_clock_coarse(struct os *os)
{
    (void)os;
    return clock_us(CLOCK_REALTIME_COARSE);
}

static uint64_t posix_clock_boot(struct os *os)
{
    (void)os;
    return clock_us(CLOCK_BOOTTIME);
}

static int32_t posix_utc_offset_s(struct os *os, uint64_t real_us)
{
    (void)os;
    time_t seconds = (time_t)(real_us / 1000000);
    struct tm local;
    return localtime_r(&seconds, &local) != NULL ? (int32_t)local.tm_gmtoff : 0;
}

static int posix_random(struct os *os, void *data, size_t size)
{
    (void)os;
    size_t done = 0;
    while (done < size) {
        ssize_t n = getrandom((char *)data + done, size - done, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static void *posix_alloc(struct os *os, size_t size, size_t alignment)
{
    (void)os;
    CHECK(alignment && (alignment & (alignment - 1)) == 0);
    if (alignment <= _Alignof(max_align_t))
        return malloc(size);
    if (size > SIZE_MAX - alignment)
        return NULL;
    return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void posix_free(struct os *os, void *memory, size_t size)
{
    (void)os;
    (void)size;
    free(memory);
}

static int posix_available_memory(struct os *os, uint64_t *bytes)
{
    (void)os;
    return memory_available("", bytes);
}

static uint64_t posix_process_id(struct os *os)
{
    (void)os;
    return (uint64_t)getpid();
}

static void posix_host_name(struct os *os, char *name, size_t size)
{
    (void)os;
    if (size == 0)
        return;
    if (gethostname(name, size) != 0 && errno != ENAMETOOLONG)
        name[0] = '\0';
    name[size - 1] = '\0'; /* a cut name need not be ended */
}

struct os *os_posix(void)
{
    static struct os posix = {
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwrite = posix_pwrite,
        .allocate = posix_allocate,
        .truncate = posix_truncate,
        .sync = posix_sync,
        .drop_cache = posix_drop_cache,
        .zeros_from = posix_zeros_from,
        .will_need = posix_will_need,
        .stat_file = posix_stat_file,
        .map = posix_map,
        .unmap = posix_unmap,
        .advise = posix_advise,
        .make_dir = posix_make_dir,
        .remove_dir = posix_remove_dir,
        .list = posix_list,
        .stat = posix_stat,
        .rename = posix_rename,
        .link = posix_link,
        .unlink = posix_unlink,
        .sync_dir = posix_sync_dir,
        .traits = posix_traits,
        .free_space = posix_free_space,
        .disk_size = posix_disk_size,
        .lock = posix_lock,
        .unlock = posix_unlock,
        .clock_real = posix_clock_real,
        .clock_coarse = posix_clock_coarse,
        .clock_boot = posix_clock_boot,
        .utc_offset_s = posix_utc_offset_s,
        .random = posix_random,
        .alloc = posix_alloc,
        .free = posix_free,
        .available_memory = posix_available_memory,
        .process_id = posix_process_id,
        .host_name = posix_host_name,
        .fork_guard = posix_fork_guard,
    };
    return &posix;
}
