/* SPDX-License-Identifier: MIT
 * store_fuzz.c: a whole directory: a small valid store, with anything done to its files.
 *
 * The first byte says what is done in the end (bits 1 and 2: open, repair, back up into it,
 * salvage), and with bit 0 that the input is a forger: it may change many bytes, and the checksums
 * are made good again. Then come edits of five bytes: what, which file, where (two), with what.
 *
 * Whatever comes: no crash, nothing left open, bounded time. From one who only damages, and does
 * not forge: no value that was never written; opened again a sound store is the same; what was
 * repaired verifies clean. */
#include <errno.h>

#include "bitcask.h"
#include "engine/backup.h"
#include "engine/index_image.h"
#include "engine/log_writer.h"
#include "engine/merge.h"
#include "engine/repair.h"
#include "engine/salvage.h"
#include "engine/seal.h"
#include "engine/store.h"
#include "engine/verify.h"
#include "format/names.h"
#include "fuzz/fix.h"
#include "os/os_mem.h"

#define VICTIM "store"
#define OTHER "other"

enum {
    FILES_MAX = 24,
    FILE_MAX = 32 << 10, /* bytes: more is not needed to say anything */
    EDIT_SIZE = 5,
    EDITS_MAX = 32,
    EDITS_HONEST_MAX = 8,
    KEYS = 12,
    WRITES_PER_KEY = 3,
};

enum purpose { OPEN_IT, REPAIR_IT, BACK_UP_INTO_IT, SALVAGE_IT };

struct file {
    char name[64];
    uint8_t *bytes;
    size_t size;
};

struct files {
    struct file items[FILES_MAX];
    size_t count;
};

static struct files pristine; /* the store, closed */
static struct files backup;   /* a backup of an earlier state of it */

/* ---- The valid store ------------------------------------------------------------------------- */

static struct os *new_disk(void)
{
    struct os *os = os_mem_new(&(struct os_mem_options){.seed = 7});
    REQUIRE(os != NULL);
    return os;
}

static bitcask_status open_at(struct os *os, const char *directory, bool read_only,
                              struct store **store)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.background = BITCASK_BACKGROUND_NONE;
    options.sync = BITCASK_SYNC_NONE;
    options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    options.read_only = read_only;
    bitcask_error error;
    return store_open(os, directory, &options, store, &error);
}

static void key_name(char name[16], int key)
{
    snprintf(name, 16, "key%02d", key);
}

/* The value that write number `serial` of a key gives it; no two are the same. */
static void put(struct store *store, int key, int serial)
{
    char name[16], value[40];
    key_name(name, key);
    snprintf(value, sizeof value, "%s=%d", name, serial);
    REQUIRE(bitcask_put((bitcask *)store, bitcask_str(name), bitcask_str(value), NULL, NULL,
                        NULL) == BITCASK_OK);
}

static void rotate(struct store *store)
{
    write_mutex_lock(&store->write_mutex);
    REQUIRE(log_rotate(store, NULL) == BITCASK_OK);
    write_mutex_unlock(&store->write_mutex);
    REQUIRE(seal_waiting(store, NULL) == BITCASK_OK);
}

static bitcask_status merge_all(struct store *store)
{
    bitcask_merge_options options;
    bitcask_merge_options_init(&options);
    options.all = 1;
    return bitcask_merge((bitcask *)store, &options, NULL, NULL);
}

static bitcask_status back_up(struct store *store, const char *directory)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    return backup_run(store, store->os, directory, &options, NULL, NULL);
}

/* The first, third... key, so that segments overlap; some are deleted. */
static void fill(struct store *store)
{
    for (int key = 0; key < KEYS; key++)
        put(store, key, 0);
    REQUIRE(merge_all(store) == BITCASK_OK);
    for (int key = 0; key < KEYS; key += 2)
        put(store, key, 1);
    rotate(store);
    REQUIRE(back_up(store, OTHER) == BITCASK_OK);
    for (int key = 0; key < KEYS; key += 3)
        put(store, key, 2);
    char name[16];
    key_name(name, 5);
    REQUIRE(bitcask_delete((bitcask *)store, bitcask_str(name), NULL, NULL, NULL) == BITCASK_OK);
    REQUIRE(index_image_write(store, NULL, NULL) == BITCASK_OK);
    key_name(name, 7);
    REQUIRE(bitcask_delete((bitcask *)store, bitcask_str(name), NULL, NULL, NULL) == BITCASK_OK);
}

struct listing {
    struct os *os;
    const char *directory;
    struct files *files;
};

static int take_file(void *context, const char *name)
{
    const struct listing *listing = context;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", listing->directory, name);
    int64_t size = os_mem_read_file(listing->os, path, NULL, 0);
    if (size < 0 || size > FILE_MAX || strcmp(name, NAME_LOCK) == 0)
        return 0;
    REQUIRE(listing->files->count < FILES_MAX);
    struct file *file = &listing->files->items[listing->files->count++];
    snprintf(file->name, sizeof file->name, "%s", name);
    file->size = (size_t)size;
    file->bytes = malloc(file->size + 1);
    REQUIRE(file->bytes != NULL);
    return os_mem_read_file(listing->os, path, file->bytes, file->size) == size ? 0 : -EIO;
}

static void list_directory(struct os *os, const char *directory, struct files *files)
{
    struct listing listing = {os, directory, files};
    REQUIRE(os->list(os, directory, take_file, &listing) == 0);
}

static void make_pristine(void)
{
    struct os *os = new_disk();
    struct store *store;
    REQUIRE(open_at(os, VICTIM, false, &store) == BITCASK_OK);
    fill(store);
    REQUIRE(store_close(store, NULL) == BITCASK_OK);
    list_directory(os, VICTIM, &pristine);
    list_directory(os, OTHER, &backup);
    os_mem_free(os);
}

/* ---- Edits ----------------------------------------------------------------------------------- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name), end = strlen(suffix);
    return size >= end && strcmp(name + size - end, suffix) == 0;
}

static void fix(struct file *file)
{
    if (has_suffix(file->name, ".data"))
        fix_segment(file->bytes, file->size);
    else if (has_suffix(file->name, ".hint"))
        fix_hint(file->bytes, file->size);
    else if (strcmp(file->name, NAME_MANIFEST) == 0)
        fix_manifest(file->bytes, file->size);
    else if (strcmp(file->name, NAME_IMAGE) == 0)
        fix_index_image(file->bytes, file->size);
}

static void damage(struct files *files, struct file *file, unsigned what, size_t at, uint8_t with)
{
    const struct file *other = &files->items[with % files->count];
    switch (what) {
    case 0:
        if (at < file->size)
            file->bytes[at] ^= with;
        break;
    case 1:
        file->size = at;
        break;
    case 2:
        file->name[0] = '\0'; /* not there */
        break;
    case 3: {
        size_t room = FILE_MAX - file->size, more = (size_t)with * 16;
        more = more < room ? more : room;
        memset(file->bytes + file->size, with & 1 ? with : 0, more);
        file->size += more;
        break;
    }
    default:
        memmove(file->bytes, other->bytes, other->size);
        file->size = other->size;
    }
}

static void forge(struct file *file, unsigned what, size_t at, uint8_t with)
{
    static const uint64_t numbers[] = {
        0, 1, 127, 65535, UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX,
    };
    size_t room = file->size - at, run = with < room ? with : room;
    if (what == 5 && room >= 8)
        put_u64(file->bytes + at, numbers[with % 8]);
    else if (what == 6)
        memmove(file->bytes + at / 2, file->bytes + at, run);
    else if (what == 7 && at < file->size)
        file->bytes[at] = with;
}

static void edit(struct files *files, const uint8_t *edits, size_t size, bool forger)
{
    size_t count = size / EDIT_SIZE, most = forger ? EDITS_MAX : EDITS_HONEST_MAX;
    for (size_t i = 0; i < count && i < most; i++, edits += EDIT_SIZE) {
        struct file *file = &files->items[edits[1] % files->count];
        size_t at = get_u16(edits + 2) % (file->size + 1);
        unsigned what = edits[0] % (forger ? 8 : 5);
        if (what < 5)
            damage(files, file, what, at, edits[4]);
        else
            forge(file, what, at, edits[4]);
    }
    for (size_t i = 0; forger && i < files->count; i++)
        fix(&files->items[i]);
}

/* Write a copy of the files, after the edits. */
static void lay_out(struct os *os, const char *directory, const struct files *from,
                    const uint8_t *edits, size_t size, bool forger)
{
    struct files files = *from;
    for (size_t i = 0; i < files.count; i++) {
        uint8_t *bytes = malloc(FILE_MAX);
        REQUIRE(bytes != NULL);
        memcpy(bytes, files.items[i].bytes, files.items[i].size);
        files.items[i].bytes = bytes;
    }
    edit(&files, edits, size, forger);
    REQUIRE(os->make_dir(os, directory) == 0);
    for (size_t i = 0; i < files.count; i++) {
        const struct file *file = &files.items[i];
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, file->name);
        if (file->name[0] != '\0')
            REQUIRE(os_mem_write_file(os, path, file->bytes, file->size) == 0);
        free(file->bytes);
    }
}

/* ---- What must hold -------------------------------------------------------------------------- */

/* Was it ever written, as fill does? */
static bool is_known(slice key, slice value)
{
    for (int number = 0; number < KEYS; number++) {
        char name[16], text[40];
        key_name(name, number);
        if (!slice_equal(key, bitcask_str(name)))
            continue;
        for (int serial = 0; serial < WRITES_PER_KEY; serial++) {
            snprintf(text, sizeof text, "%s=%d", name, serial);
            if (number % (serial + 1) == 0 && slice_equal(value, bitcask_str(text)))
                return true;
        }
    }
    return slice_equal(key, bitcask_str("new")) && slice_equal(value, bitcask_str("value"));
}

/* All contents as one number, whatever the order; damaged entries do not count. */
static uint64_t walk(struct store *store, bool honest)
{
    bitcask_iterator *iterator;
    bitcask_entry entry;
    bitcask_status status;
    uint64_t sum = 0;
    REQUIRE(bitcask_iterator_new((bitcask *)store, NULL, bitcask_str(""), BITCASK_VALUES, &iterator,
                                 NULL) == BITCASK_OK);
    while ((status = bitcask_iterator_next(iterator, &entry, NULL)) != BITCASK_END) {
        REQUIRE(status == BITCASK_OK || status == BITCASK_CORRUPT);
        if (status == BITCASK_CORRUPT)
            continue;
        REQUIRE(!honest || is_known(entry.key, entry.value));
        uint32_t crc = checksum(0, entry.key.data, entry.key.size);
        sum += checksum(crc, entry.value.data, entry.value.size) + (UINT64_C(1) << 32);
    }
    bitcask_iterator_free(iterator);
    return sum;
}

static void read_all(struct store *store, bool honest)
{
    bitcask_buffer value = {0};
    for (int number = 0; number < KEYS; number++) {
        char name[16];
        key_name(name, number);
        bitcask_status status =
            bitcask_get((bitcask *)store, NULL, bitcask_str(name), &value, NULL, NULL);
        REQUIRE(status == BITCASK_OK || status == BITCASK_NOT_FOUND || status == BITCASK_CORRUPT);
        REQUIRE(!honest || status != BITCASK_OK ||
                is_known(bitcask_str(name), slice_of(value.data, value.size)));
    }
    bitcask_buffer_free(&value);
}

static int print_finding(void *context, const bitcask_finding *finding)
{
    (void)context;
    if (!finding->note)
        fprintf(stderr, "verify: %s at %llu: %s\n", finding->file,
                (unsigned long long)finding->offset, finding->what);
    return 0;
}

/* Whether it is clean. */
static bool verify(struct store *store, bool must_be_clean)
{
    bitcask_status status =
        verify_run(store, must_be_clean ? print_finding : NULL, NULL, NULL, NULL);
    REQUIRE(status == BITCASK_OK || (status == BITCASK_CORRUPT && !must_be_clean));
    return status == BITCASK_OK;
}

/* What is wrong with the files is never called anything else. */
static bool opens(struct os *os, const char *directory, bool read_only, struct store **store)
{
    bitcask_status status = open_at(os, directory, read_only, store);
    REQUIRE(status == BITCASK_OK || status == BITCASK_CORRUPT || status == BITCASK_FORMAT ||
            status == BITCASK_NO_STORE || status == BITCASK_LIMIT);
    return status == BITCASK_OK;
}

static void look_at(struct os *os, const char *directory, bool honest)
{
    struct store *store;
    if (!opens(os, directory, true, &store))
        return;
    walk(store, honest);
    read_all(store, honest);
    verify(store, false);
    REQUIRE(store_close(store, NULL) == BITCASK_OK);
}

/* Written to, merged, closed and opened again it is the same. (Where a record is damaged, what of
 * it its hint or the index snapshot still told may be gone with them: the key, or that it has one.)
 */
static void use(struct os *os, bool honest, bool verifies)
{
    struct store *store;
    if (!opens(os, VICTIM, false, &store)) {
        REQUIRE(!verifies);
        return;
    }
    bool sound = verify(store, verifies);
    walk(store, honest);
    bitcask_status put_status =
        bitcask_put((bitcask *)store, bitcask_str("new"), bitcask_str("value"), NULL, NULL, NULL);
    REQUIRE(put_status == BITCASK_OK || !honest);
    (void)!merge_all(store);
    read_all(store, honest);
    uint64_t sum = walk(store, honest);
    bitcask_status closed = store_close(store, NULL);
    REQUIRE(closed == BITCASK_OK || !honest);
    bool again = opens(os, VICTIM, false, &store);
    REQUIRE(again || !honest);
    if (again) {
        REQUIRE(walk(store, honest) == sum || !honest || !sound);
        store_abandon(store);
    }
}

static void repair(struct os *os, bool honest)
{
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    bitcask_status status = repair_run(os, VICTIM, &options, NULL, NULL);
    REQUIRE(status == BITCASK_OK || status == BITCASK_CORRUPT || status == BITCASK_NO_STORE ||
            !honest);
    use(os, honest, honest && status == BITCASK_OK);
}

/* Here it is the destination that is damaged. The store itself takes no harm. */
static void back_up_into(struct os *os, bool honest)
{
    struct store *store;
    REQUIRE(open_at(os, VICTIM, false, &store) == BITCASK_OK);
    uint64_t before = walk(store, true);
    (void)!back_up(store, OTHER);
    verify(store, true);
    REQUIRE(walk(store, true) == before);
    REQUIRE(store_close(store, NULL) == BITCASK_OK);
    look_at(os, OTHER, honest);
}

static void salvage(struct os *os, const struct files *files, bool honest)
{
    const char *paths[FILES_MAX];
    static char names[FILES_MAX][128];
    size_t count = 0;
    for (size_t i = 0; i < files->count; i++) {
        snprintf(names[count], sizeof names[count], VICTIM "/%s", files->items[i].name);
        if (has_suffix(files->items[i].name, ".data") &&
            os_mem_read_file(os, names[count], NULL, 0) >= 0) {
            paths[count] = names[count];
            count++;
        }
    }
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    bitcask_status status = salvage_run(os, paths, count, OTHER, &options, NULL, NULL);
    REQUIRE(status == BITCASK_OK || !honest);
    look_at(os, OTHER, honest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (pristine.count == 0)
        make_pristine();
    if (size < 1)
        return 0;
    bool honest = (data[0] & 1) == 0;
    enum purpose purpose = (enum purpose)(data[0] >> 1 & 3);
    const uint8_t *edits = data + 1;
    struct os *os = new_disk();
    bool into = purpose == BACK_UP_INTO_IT;
    lay_out(os, VICTIM, &pristine, edits, into ? 0 : size - 1, !honest && !into);
    if (into)
        lay_out(os, OTHER, &backup, edits, size - 1, !honest);
    if (purpose == OPEN_IT) {
        look_at(os, VICTIM, honest);
        use(os, honest, false);
    } else if (purpose == REPAIR_IT) {
        repair(os, honest);
    } else if (into) {
        back_up_into(os, honest);
    } else {
        salvage(os, &pristine, honest);
    }
    REQUIRE(os_mem_open_files(os) == 0 && os_mem_live_maps(os) == 0);
    REQUIRE(os_mem_live_bytes(os) == 0);
    os_mem_free(os);
    return 0;
}
