/* SPDX-License-Identifier: MIT
 * golden_store_test.c: whole stores of version 1 are read for ever, and docs/FORMAT.md walks
 * through one of them.
 *
 * tests/golden/v1/ holds three, as the release that fixed version 1 left them on ext4:
 *   store          closed: a merge output, a sealed log segment with batch, tombstones and expiry,
 * both with hints, and the active segment store-small    closed: the one that FORMAT.md shows byte
 * by byte store-unclean  after kill -9 in the middle of a log of two segments They are never
 * written anew for the same version. `golden_store_test write DIR` makes such stores for a new one;
 * what it prints are the rows of the tables below. */
#include "support/api_fixture.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define GOLDEN SOURCE_ROOT "/tests/golden/v1/"
#define FORMAT_PAGE SOURCE_ROOT "/docs/FORMAT.md"
#define YEAR_2100_US 4102444800000000

enum { FILE_ROOM = 1 << 17, PATH_ROOM = 512 };

struct expected {
    const char *key;
    size_t key_size;
    const char *value;
    size_t value_size;
    uint64_t expires_us, version;
};

#define ROW(key, value, expires_us, version)                                \
    {                                                                       \
        key, sizeof(key) - 1, value, sizeof(value) - 1, expires_us, version \
    }

static const struct expected in_store[] = {
    ROW("session", "token", YEAR_2100_US, 1795236473317178),
    ROW("a", "1", 0, 1795236473317181),
    ROW("b", "2", YEAR_2100_US, 1795236473317182),
    ROW("city", "Utrecht", 0, 1795236473173179),
    ROW("empty", "", 0, 1795236473173182),
    ROW("\000\377\012", "\000\001\002\375\376\377", 0, 1795236473173183),
    ROW("twice", "second", 0, 1795236473413178),
};
static const struct expected in_small[] = {
    ROW("session", "token", YEAR_2100_US, 1795236473513180),
};
static const struct expected in_unclean[] = {
    ROW("durable", "1", 0, 1795236473669180),
    ROW("session", "token", YEAR_2100_US, 1795236473669181),
    ROW("city", "Utrecht", 0, 1795236473689178),
    ROW("a", "1", 0, 1795236473741179),
    ROW("b", "2", YEAR_2100_US, 1795236473741180),
};

/* What is in them, and how many records of keys, dead ones too. */
static struct golden {
    const char *name;
    const struct expected *rows;
    size_t count;
    const char *absent[3];
    uint64_t records, segments;
    bool clean;
} goldens[] = {
    {"store", in_store, ARRAY_SIZE(in_store), {"gone", "batched", "expired"}, 13, 3, true},
    {"store-small", in_small, ARRAY_SIZE(in_small), {"city"}, 4, 2, true},
    {"store-unclean", in_unclean, ARRAY_SIZE(in_unclean), {"gone"}, 8, 2, false},
};

/* ---- Files ---------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    char *bytes = malloc(FILE_ROOM);
    assert_non_null(bytes);
    *size = fread(bytes, 1, FILE_ROOM, file);
    assert_true(*size < FILE_ROOM);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        fail_msg("cannot make %s", path);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Call `each` for all files of a directory; their number. */
static size_t for_files(const char *directory, void (*each)(const char *from, const char *to),
                        const char *other)
{
    DIR *dir = opendir(directory);
    if (dir == NULL)
        fail_msg("cannot list %s", directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char from[PATH_ROOM + sizeof entry->d_name], to[sizeof from];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(from, sizeof from, "%s/%s", directory, entry->d_name);
        snprintf(to, sizeof to, "%s/%s", other, entry->d_name);
        each(from, to);
        count++;
    }
    closedir(dir);
    return count;
}

static void copy_file(const char *from, const char *to)
{
    size_t size;
    char *bytes = read_file(from, &size);
    write_file(to, bytes, size);
    free(bytes);
}

static void assert_same_file(const char *from, const char *to)
{
    size_t from_size, to_size;
    char *a = read_file(from, &from_size), *b = read_file(to, &to_size);
    if (from_size != to_size || memcmp(a, b, from_size) != 0)
        fail_msg("%s and %s differ", from, to);
    free(a);
    free(b);
}

static void count_only(const char *from, const char *to)
{
    (void)from;
    (void)to;
}

/* A copy of a golden store, not open yet. */
static struct fixture copy_of(const char *name)
{
    struct fixture f = fixture_new_on_disk();
    char golden[PATH_ROOM];
    snprintf(golden, sizeof golden, GOLDEN "%s", name);
    assert_true(for_files(golden, copy_file, f.directory) > 0);
    return f;
}

static void assert_untouched(const struct fixture *f, const char *name)
{
    char golden[PATH_ROOM];
    snprintf(golden, sizeof golden, GOLDEN "%s", name);
    size_t count = for_files(golden, assert_same_file, f->directory);
    assert_int_equal(for_files(f->directory, count_only, ""), count);
}

/* ---- Writing them: once for each version of the format -------------------------------------- */

static struct fixture begin(const char *root, const char *name)
{
    struct fixture f = fixture_new();
    f.options.in_memory = 0;
    f.options.segment_size = BITCASK_MIN_SEGMENT_SIZE;
    assert_true(snprintf(f.directory, sizeof f.directory, "%s/%s", root, name) <
                (int)sizeof f.directory);
    return f;
}

static void put_bytes(struct fixture *f, bitcask_slice key, bitcask_slice value)
{
    assert_done(bitcask_put(f->db, key, value, NULL, NULL, &error));
}

static void write_batch(struct fixture *f)
{
    bitcask_batch *batch;
    assert_done(bitcask_batch_new(&batch, &error));
    assert_done(bitcask_batch_put(batch, str("a"), str("1"), 0, &error));
    assert_done(bitcask_batch_put(batch, str("b"), str("2"), YEAR_2100_US, &error));
    assert_done(bitcask_batch_delete(batch, str("batched"), &error));
    assert_done(bitcask_write(f->db, batch, NULL, NULL, &error));
    bitcask_batch_free(batch);
}

static void write_store(const char *root)
{
    struct fixture f = begin(root, "store");
    fixture_open(&f);
    put(&f, "city", "Amsterdam");
    put(&f, "city", "Utrecht");
    put(&f, "gone", "soon");
    put(&f, "batched", "soon");
    put(&f, "empty", "");
    put_bytes(&f, bitcask_bytes("\0\xff\n", 3), bitcask_bytes("\0\1\2\xfd\xfe\xff", 6));
    merge_all(&f);
    assert_status(OK, put_with(&f, "session", "token", 0, 0, YEAR_2100_US));
    assert_status(OK, put_with(&f, "expired", "long ago", 0, 0, 1));
    assert_done(delete_key(&f, "gone"));
    write_batch(&f);
    put(&f, "twice", "first");
    fixture_close(&f);
    f.options.segment_max_records = 1; /* each of these begins a new segment */
    fixture_open(&f);
    put(&f, "twice", "second");
    fixture_close(&f);
}

static void write_small(const char *root)
{
    struct fixture f = begin(root, "store-small");
    f.options.segment_max_records = 3;
    fixture_open(&f);
    put(&f, "city", "Delft");
    put(&f, "city", "Utrecht");
    assert_status(OK, put_with(&f, "session", "token", 0, 0, YEAR_2100_US));
    assert_done(delete_key(&f, "city"));
    fixture_close(&f);
}

/* By a process of its own, which kills itself. */
static void write_unclean(const char *root)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct fixture f = begin(root, "store-unclean");
        f.options.segment_max_records = 4;
        fixture_open(&f);
        put(&f, "city", "Amsterdam");
        put(&f, "gone", "soon");
        assert_done(bitcask_sync_now(f.db, &error));
        put(&f, "durable", "1");
        assert_status(OK, put_with(&f, "session", "token", 0, 0, YEAR_2100_US));
        put(&f, "city", "Utrecht");
        assert_done(delete_key(&f, "gone"));
        write_batch(&f);
        raise(SIGKILL);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how));
}

static void print_bytes(const void *data, size_t size)
{
    const unsigned char *p = data;
    putchar('"');
    for (size_t i = 0; i < size; i++)
        printf(p[i] >= ' ' && p[i] < 127 ? "%c" : "\\%03o", p[i]);
    putchar('"');
}

static void print_rows(const char *root, const char *name)
{
    struct fixture f = begin(root, name);
    f.options.read_only = 1;
    fixture_open(&f);
    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_done(bitcask_iterator_new(f.db, NULL, str(""), BITCASK_VALUES, &iterator, &error));
    printf("%s\n", name);
    while (bitcask_iterator_next(iterator, &entry, &error) == BITCASK_OK) {
        printf("    ROW(");
        print_bytes(entry.key.data, entry.key.size);
        printf(", ");
        print_bytes(entry.value.data, entry.value.size);
        printf(", %s, %llu),\n", entry.meta.expires_us == 0 ? "0" : "YEAR_2100_US",
               (unsigned long long)entry.meta.version);
    }
    bitcask_iterator_free(iterator);
    fixture_close(&f);
}

static void write_golden_stores(void **state)
{
    const char *root = *state;
    write_store(root);
    write_small(root);
    write_unclean(root);
    print_rows(root, "store");
    print_rows(root, "store-small");
    print_rows(root, "store-unclean");
}

/* ---- Reading them --------------------------------------------------------------------------- */

static void check_row(struct fixture *f, const struct expected *row)
{
    bitcask_buffer value = {0};
    bitcask_meta meta;
    assert_done(
        bitcask_get(f->db, NULL, bitcask_bytes(row->key, row->key_size), &value, &meta, &error));
    assert_int_equal(value.size, row->value_size);
    assert_memory_equal(value.data, row->value, row->value_size);
    assert_int_equal(meta.version, row->version);
    assert_int_equal(meta.expires_us, row->expires_us);
    bitcask_buffer_free(&value);
}

static uint64_t records_of(struct fixture *f, size_t segments)
{
    bitcask_segment_info infos[4];
    assert_int_equal(bitcask_get_segments(f->db, infos, ARRAY_SIZE(infos), sizeof infos[0]),
                     segments);
    uint64_t records = 0;
    for (size_t i = 0; i < segments; i++)
        records += infos[i].records;
    return records;
}

static void check_golden(struct fixture *f, const struct golden *golden)
{
    for (size_t i = 0; i < golden->count; i++)
        check_row(f, &golden->rows[i]);
    bitcask_iterator *iterator;
    bitcask_entry entry;
    assert_done(bitcask_iterator_new(f->db, NULL, str(""), BITCASK_VALUES, &iterator, &error));
    for (size_t i = 0; i < golden->count; i++)
        assert_done(bitcask_iterator_next(iterator, &entry, &error));
    assert_status(END, bitcask_iterator_next(iterator, &entry, &error));
    bitcask_iterator_free(iterator);
    for (size_t i = 0; i < ARRAY_SIZE(golden->absent) && golden->absent[i] != NULL; i++)
        assert_absent(f, golden->absent[i]);
    bitcask_verify_result result = {.struct_size = sizeof result};
    assert_done(bitcask_verify(f->db, NULL, &result, &error));
    assert_int_equal(result.findings, 0);
    assert_int_equal(records_of(f, golden->segments), golden->records);
    bitcask_stats stats = stats_of(f);
    assert_int_equal(stats.corrupt_records, 0);
    assert_int_equal(stats.quarantined_bytes, 0);
}

static void a_golden_store_reads_as_written(void **state)
{
    const struct golden *golden = *state;
    struct fixture f = copy_of(golden->name);
    fixture_open(&f);
    check_golden(&f, golden);
    assert_int_equal(stats_of(&f).clean_open, golden->clean);
    fixture_close(&f);
    fixture_open(&f); /* what this library made of it */
    check_golden(&f, golden);
    assert_int_equal(stats_of(&f).clean_open, 1);
    fixture_end(&f);
}

static void a_read_only_open_of_a_golden_store_changes_no_byte(void **state)
{
    const struct golden *golden = *state;
    struct fixture f = copy_of(golden->name);
    f.options.read_only = 1;
    fixture_open(&f);
    check_golden(&f, golden);
    fixture_close(&f);
    assert_untouched(&f, golden->name);
    fixture_end(&f);
}

static void a_golden_store_is_written_to_and_merged(void **state)
{
    const struct golden *golden = *state;
    struct fixture f = copy_of(golden->name);
    fixture_open(&f);
    uint64_t highest = stats_of(&f).last_version;
    assert_true(put(&f, "new", "1") > highest);
    assert_done(delete_key(&f, "new"));
    merge_all(&f);
    for (size_t i = 0; i < golden->count; i++)
        check_row(&f, &golden->rows[i]);
    fixture_close(&f);
    fixture_open(&f);
    for (size_t i = 0; i < golden->count; i++)
        check_row(&f, &golden->rows[i]);
    fixture_end(&f);
}

static void a_golden_store_without_hints_and_manifest_is_the_same(void **state)
{
    const struct golden *golden = *state;
    struct fixture f = copy_of(golden->name);
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/MANIFEST", f.directory);
    assert_int_equal(unlink(path), 0);
    for (int id = 1; id < 5; id++) {
        snprintf(path, sizeof path, "%s/%09d.hint", f.directory, id);
        unlink(path);
    }
    fixture_open(&f);
    check_golden(&f, golden);
    fixture_end(&f);
}

/* ---- A newer format ------------------------------------------------------------------------- */

static void change_manifest_to_format_2(const struct fixture *f)
{
    char path[PATH_ROOM], sum[16];
    snprintf(path, sizeof path, "%s/MANIFEST", f->directory);
    size_t size;
    char *text = read_file(path, &size);
    char *at = strstr(text, "\"format\": 1,"), *tail = strstr(text, "\"crc32\": \"");
    assert_true(at != NULL && tail != NULL);
    at[10] = '2';
    snprintf(sum, sizeof sum, "%08x", checksum(0, text, (size_t)(tail - text)));
    memcpy(tail + 10, sum, 8);
    write_file(path, text, size);
    free(text);
}

static void change_segment_to_format_2(const struct fixture *f, const char *name)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    size_t size;
    char *bytes = read_file(path, &size);
    put_u32((uint8_t *)bytes + 8, 2);
    put_u32((uint8_t *)bytes + 124, checksum(0, bytes, 124));
    write_file(path, bytes, size);
    free(bytes);
}

static void assert_refused_with_both_versions(struct fixture *f)
{
    for (int read_only = 0; read_only < 2; read_only++) {
        f->options.read_only = read_only;
        assert_status(FORMAT, bitcask_open(f->directory, &f->options, &f->db, &error));
        assert_message("format 2");
        assert_message("up to 1");
    }
}

static void a_manifest_of_format_2_is_refused_with_both_versions(void **state)
{
    (void)state;
    struct fixture f = copy_of("store-small");
    change_manifest_to_format_2(&f);
    size_t files = for_files(f.directory, count_only, "");
    assert_refused_with_both_versions(&f);
    assert_int_equal(for_files(f.directory, count_only, ""), files);
    fixture_end(&f);
}

static void a_segment_of_format_2_is_refused_with_both_versions(void **state)
{
    (void)state;
    struct fixture f = copy_of("store-small");
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/MANIFEST", f.directory);
    assert_int_equal(unlink(path), 0);
    change_segment_to_format_2(&f, "000000002.data");
    size_t files = for_files(f.directory, count_only, "");
    assert_refused_with_both_versions(&f);
    assert_int_equal(for_files(f.directory, count_only, ""), files);
    fixture_end(&f);
}

/* ---- The page ------------------------------------------------------------------------------- */

static const char *find_block(const char *page, const char *name)
{
    char fence[64];
    snprintf(fence, sizeof fence, "\n```store %s\n", name);
    const char *found = strstr(page, fence);
    if (found == NULL)
        fail_msg("docs/FORMAT.md has no block '%s'", name);
    return found + strlen(fence);
}

/* Lines of "OFFSET  byte byte ...  remark" show the file `name` from `first` to its end. */
static void assert_page_shows(const char *page, const char *name, size_t first)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, GOLDEN "store-small/%s", name);
    size_t size, at = first;
    char *bytes = read_file(path, &size);
    for (const char *line = find_block(page, name); strncmp(line, "```", 3) != 0;) {
        char *p;
        assert_int_equal(strtoul(line, &p, 16), at);
        assert_memory_equal(p, "  ", 2);
        p += 2;
        for (unsigned byte; sscanf(p, "%2x", &byte) == 1; p += 3) {
            if (at >= size || byte != (unsigned char)bytes[at])
                fail_msg("docs/FORMAT.md: %s: byte %zx is not %02x", name, at, byte);
            at++;
            if (p[2] != ' ' || p[3] == ' ')
                break;
        }
        line = strchr(line, '\n') + 1;
    }
    assert_int_equal(at, size);
    free(bytes);
}

static void format_page_walks_through_the_small_store(void **state)
{
    (void)state;
    size_t page_size, size;
    char *page = read_file(FORMAT_PAGE, &page_size);
    char *manifest = read_file(GOLDEN "store-small/MANIFEST", &size);
    const char *shown = find_block(page, "MANIFEST");
    assert_memory_equal(shown, manifest, size);
    assert_memory_equal(shown + size, "```", 3);
    assert_page_shows(page, "000000001.data", 0);
    assert_page_shows(page, "000000001.hint", 0);
    assert_page_shows(page, "000000002.data", 128);
    free(manifest);
    free(page);
}

#define FOR_EACH_STORE(test)                                                                    \
    cmocka_unit_test_prestate(test, &goldens[0]), cmocka_unit_test_prestate(test, &goldens[1]), \
        cmocka_unit_test_prestate(test, &goldens[2])

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "write") == 0) {
        const struct CMUnitTest write[] = {cmocka_unit_test_prestate(write_golden_stores, argv[2])};
        return cmocka_run_group_tests(write, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        FOR_EACH_STORE(a_golden_store_reads_as_written),
        FOR_EACH_STORE(a_read_only_open_of_a_golden_store_changes_no_byte),
        FOR_EACH_STORE(a_golden_store_is_written_to_and_merged),
        FOR_EACH_STORE(a_golden_store_without_hints_and_manifest_is_the_same),
        cmocka_unit_test(a_manifest_of_format_2_is_refused_with_both_versions),
        cmocka_unit_test(a_segment_of_format_2_is_refused_with_both_versions),
        cmocka_unit_test(format_page_walks_through_the_small_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
