/* SPDX-License-Identifier: MIT
 * failures.h: do something again and again; at each time another call of the disk, or another
 * allocation, fails. Each program is linked with --wrap for the functions below (meson.build).
 *
 * Whatever fails: no wrong value, then or after opening again; nothing is changed by what was
 * refused; what was open is closed. The model of a key is the list of its states so far: the last
 * is what is read, and once the log's last sync or the close has failed, after opening again, any
 * that it ever had. */
#ifndef SUPPORT_FAILURES_H
#define SUPPORT_FAILURES_H

#include "support/write_fixture.h"

#include <stdatomic.h>

#include "engine/index_image.h"
#include "format/names.h"

/* ---- The heap ------------------------------------------------------------------------------- */

/* Calls are counted while `counting`; call `nth` fails, and with `for_good` all behind it. Threads
 * cannot be started while `no_threads`: which call comes first would be chance; nor once as many
 * have been as `threads_left` says (below 0: any number). */
static struct {
    _Atomic bool counting, no_threads;
    _Atomic uint64_t calls;
    uint64_t nth; /* 0: none */
    bool for_good;
    _Atomic int threads_left;
} heap = {.threads_left = -1};

static inline bool heap_fails(void)
{
    if (!atomic_load(&heap.counting))
        return false;
    uint64_t call = atomic_fetch_add(&heap.calls, 1) + 1;
    return heap.nth != 0 && (call == heap.nth || (heap.for_good && call > heap.nth));
}

#define WRAP_HEAP(name, parameters, arguments)                \
    void *__real_##name parameters;                           \
    void *__wrap_##name parameters;                           \
    void *__wrap_##name parameters                            \
    {                                                         \
        return heap_fails() ? NULL : __real_##name arguments; \
    }
WRAP_HEAP(malloc, (size_t size), (size))
WRAP_HEAP(calloc, (size_t count, size_t size), (count, size))
WRAP_HEAP(realloc, (void *memory, size_t size), (memory, size))
WRAP_HEAP(aligned_alloc, (size_t alignment, size_t size), (alignment, size))
#undef WRAP_HEAP

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *argument), void *argument)
{
    if (atomic_load(&heap.no_threads) || atomic_load(&heap.threads_left) == 0)
        return EAGAIN;
    if (atomic_load(&heap.threads_left) > 0)
        atomic_fetch_sub(&heap.threads_left, 1);
    return __real_pthread_create(thread, attributes, run, argument);
}

/* ---- What fails ------------------------------------------------------------------------------ */

enum failure {
    CALL_ONCE,
    CALLS_FROM,
    FULL_FROM,
    MEMORY_ONCE,
    MEMORY_FROM,
    PAGES_ONCE, /* what comes from os->alloc */
    FAILURE_COUNT,
};

static const char *const failure_names[] = {
    "call %llu fails",       "all calls from %llu on fail",       "no space from call %llu on",
    "allocation %llu fails", "all allocations from %llu on fail", "allocation %llu of pages fails"};

static const uint32_t SPACE_CALLS = 1u << OS_CALL_PWRITE | 1u << OS_CALL_ALLOCATE |
                                    1u << OS_CALL_RENAME | 1u << OS_CALL_LINK |
                                    1u << OS_CALL_MAKE_DIR;
static const uint32_t NO_MEMORY_CALLS = (1u << OS_CALL_COUNT) - 1 - (1u << OS_CALL_ALLOC);

static inline bool is_memory(enum failure failure)
{
    return failure == MEMORY_ONCE || failure == MEMORY_FROM || failure == PAGES_ONCE;
}

static inline uint32_t kinds_of(enum failure failure)
{
    return failure == FULL_FROM    ? SPACE_CALLS
           : failure == PAGES_ONCE ? 1u << OS_CALL_ALLOC
                                   : NO_MEMORY_CALLS;
}

/* ---- The model ------------------------------------------------------------------------------- */

enum { STATES_MAX = 12 };

struct model_key {
    const char *name;
    const char *states[STATES_MAX]; /* values; NULL: absent */
    size_t count;
    size_t sure; /* any from here on may be read; 0: from the first */
};

struct run {
    struct fixture *f;
    const char *scenario;
    enum failure failure;
    uint64_t nth;
    uint64_t calls_before;
    bool lossy; /* what was acknowledged, and is not durable, may be gone after opening again */
    struct model_key keys[16];
    size_t key_count;
};

#define fail_run(r, format, ...)                                                                  \
    do {                                                                                          \
        char what_[80];                                                                           \
        snprintf(what_, sizeof what_, failure_names[(r)->failure], (unsigned long long)(r)->nth); \
        fail_msg("%s, %s: " format, (r)->scenario, what_, __VA_ARGS__);                           \
    } while (0)

static inline struct model_key *model_of(struct run *r, const char *name)
{
    for (size_t i = 0; i < r->key_count; i++) {
        if (strcmp(r->keys[i].name, name) == 0)
            return &r->keys[i];
    }
    struct model_key *key = &r->keys[r->key_count++];
    *key = (struct model_key){.name = name, .states = {NULL}, .count = 1};
    return key;
}

/* A write of `value` (NULL: a deletion) has returned `status`. */
static inline void wrote(struct run *r, const char *name, const char *value, bitcask_status status)
{
    struct model_key *key = model_of(r, name);
    if (status != BITCASK_OK && status != BITCASK_UNKNOWN)
        return;
    assert_true(key->count < STATES_MAX);
    key->states[key->count++] = value;
    if (status == BITCASK_OK)
        key->sure = key->count - 1;
}

/* A read has returned this. Errors are none of the model's. */
static inline void check_read(struct run *r, const char *name, bitcask_status status, slice value)
{
    const struct model_key *key = model_of(r, name);
    if (status < 0)
        return;
    for (size_t i = key->sure; i < key->count; i++) {
        const char *state = key->states[i];
        if (state == NULL ? status == BITCASK_NOT_FOUND
                          : status == BITCASK_OK && value.size == strlen(state) &&
                                memcmp(value.data, state, value.size) == 0)
            return;
    }
    fail_run(r, "'%s' is %s '%.*s', not '%s'", name, bitcask_status_name(status), (int)value.size,
             value.size > 0 ? (const char *)value.data : "",
             key->states[key->count - 1] != NULL ? key->states[key->count - 1] : "(absent)");
}

static inline void check_get(struct run *r, const char *name, bool must_answer)
{
    bitcask_buffer value = {0};
    bitcask_status status = read_key(r->f, name, &value);
    if (status < 0 && must_answer)
        fail_run(r, "'%s' is %s: %s", name, bitcask_status_name(status), r->f->error.message);
    check_read(r, name, status, slice_of(value.data, value.size));
    bitcask_buffer_free(&value);
}

static inline void check_all(struct run *r, bool must_answer)
{
    for (size_t i = 0; i < r->key_count; i++)
        check_get(r, r->keys[i].name, must_answer);
}

/* ---- Contents -------------------------------------------------------------------------------- */

static inline void put_known(struct run *r, const char *key, const char *value)
{
    put(r->f, key, value);
    wrote(r, key, value, BITCASK_OK);
}

static inline void delete_known(struct run *r, const char *key)
{
    delete_key(r->f, key);
    wrote(r, key, NULL, BITCASK_OK);
}

/* A merge output, two sealed segments, an active one; dead records, deletions, a batch. */
static inline void fill(struct run *r)
{
    struct fixture *f = r->f;
    put_known(r, "merged", "m1");
    put_known(r, "both", "old");
    put_known(r, "gone", "x");
    delete_known(r, "gone");
    assert_status(f, OK, merge_all(f));
    put_known(r, "sealed", "s1");
    put_known(r, "both", "new");
    rotate(f);
    put_batch(f, "batch", 2);
    wrote(r, "batch0", "batch0", BITCASK_OK);
    wrote(r, "batch1", "batch1", BITCASK_OK);
    rotate(f);
    put_known(r, "active", "a1");
    put_known(r, "dropped", "x");
    delete_known(r, "dropped");
    sync_store(f);
}

static inline void fill_and_close(struct run *r)
{
    fill(r);
    close_store(r->f);
}

static inline void fill_and_close_with_image(struct run *r)
{
    fill(r);
    assert_status(r->f, OK, index_image_write(r->f->store, NULL, &r->f->error));
    close_store(r->f);
    assert_true(has_file(r->f, NAME_IMAGE));
}

/* ---- One run --------------------------------------------------------------------------------- */

/* prepare: the store of `f`, which is open, gets contents; leaves it open or closed. act: what is
 * done while something fails; it may leave the store open or closed, and says by `lossy` when a
 * close has failed. after: on a disk that works again, before the store is opened; or NULL. */
struct scenario {
    const char *name;
    void (*prepare)(struct run *r);
    void (*act)(struct run *r);
    void (*after)(struct run *r);
    bool destroys; /* there may be no store any more */
};

static inline uint64_t failing_calls(struct run *r)
{
    if (r->failure == MEMORY_ONCE || r->failure == MEMORY_FROM)
        return atomic_load(&heap.calls);
    return os_mem_calls(r->f->os, kinds_of(r->failure)) - r->calls_before;
}

static inline void begin_failing(struct run *r)
{
    bool for_good = r->failure == CALLS_FROM || r->failure == FULL_FROM;
    r->calls_before = 0;
    r->calls_before = failing_calls(r);
    if (r->failure == MEMORY_ONCE || r->failure == MEMORY_FROM) {
        heap.nth = r->nth;
        heap.for_good = r->failure == MEMORY_FROM;
        r->calls_before = 0;
        atomic_store(&heap.calls, 0);
        atomic_store(&heap.counting, true);
    } else {
        os_mem_fail(r->f->os, kinds_of(r->failure), r->nth, for_good ? UINT64_MAX : 1,
                    r->failure == FULL_FROM ? -ENOSPC : -EIO);
    }
}

/* Whether the call has come. */
static inline bool end_failing(struct run *r)
{
    atomic_store(&heap.counting, false);
    bool came = failing_calls(r) >= r->nth;
    os_mem_fail(r->f->os, 0, 0, 1, -EIO);
    return came;
}

/* Close or throw away; nothing of it is left. */
static inline void end_store(struct run *r)
{
    struct fixture *f = r->f;
    if (f->store != NULL) {
        struct store *store = f->store;
        f->store = NULL;
        f->db = NULL;
        r->lossy |= store_close(store, &f->error) != BITCASK_OK;
    }
    if (os_mem_open_files(f->os) != 0 || os_mem_live_maps(f->os) != 0 ||
        os_mem_live_bytes(f->os) != 0)
        fail_run(r, "left open: %llu files, %llu mappings, %llu bytes",
                 (unsigned long long)os_mem_open_files(f->os),
                 (unsigned long long)os_mem_live_maps(f->os),
                 (unsigned long long)os_mem_live_bytes(f->os));
}

static inline int no_damage(void *context, const bitcask_finding *finding)
{
    struct run *r = context;
    if (!finding->note)
        fail_run(r, "verify: %s at %llu: %s", finding->file, (unsigned long long)finding->offset,
                 finding->what);
    return 0;
}

/* Open again, on a disk that works. */
static inline void check_reopened(struct run *r, bool may_be_gone)
{
    struct fixture *f = r->f;
    bitcask_status status = try_open(f);
    if (status == BITCASK_NO_STORE && may_be_gone)
        return;
    if (status != BITCASK_OK)
        fail_run(r, "open: %s", f->error.message);
    for (size_t i = 0; r->lossy && i < r->key_count; i++)
        r->keys[i].sure = 0;
    check_all(r, true);
    if (verify_run(f->store, no_damage, r, NULL, &f->error) != BITCASK_OK)
        fail_run(r, "verify: %s", f->error.message);
    put(f, "afterwards", "writable");
    check_value(f, "afterwards", "writable");
    end_store(r);
}

/* A new store, open. Nobody listens to the events of every other run. */
static inline void run_init(struct run *r, struct fixture *f)
{
    fixture_init(f);
    if (r->nth % 2 == 0)
        f->options.log = NULL;
    r->f = f;
    open_store(f);
}

/* Whether the failing call came. */
static inline bool run_once(struct run *r, const void *what)
{
    static struct fixture f;
    const struct scenario *scenario = what;
    run_init(r, &f);
    scenario->prepare(r);
    atomic_store(&heap.no_threads, true);
    begin_failing(r);
    scenario->act(r);
    bool came = end_failing(r);
    atomic_store(&heap.no_threads, false);
    if (f.store != NULL)
        check_all(r, false);
    end_store(r);
    if (scenario->after != NULL)
        scenario->after(r);
    check_reopened(r, scenario->destroys);
    fixture_release(&f);
    return came;
}

/* Every call, in each manner. `once` does one run, and says whether the failing call came: the last
 * one, in which nothing failed, must have done all. */
static inline void for_each_failure(const char *name, bool (*once)(struct run *r, const void *what),
                                    const void *what)
{
    for (int failure = 0; failure < FAILURE_COUNT; failure++) {
        bool came = true;
        uint64_t last = 0;
        bool all = failure == CALL_ONCE || failure == MEMORY_ONCE || failure == PAGES_ONCE;
        uint64_t stride = all ? 1 : 3;
        for (uint64_t nth = 1; came; nth += stride) {
            struct run r = {.scenario = name, .failure = (enum failure)failure, .nth = nth};
            came = once(&r, what);
            last = nth;
        }
        if (getenv("BITCASK_TEST_LONG") != NULL) {
            print_message("%s: up to where ", name);
            print_message(failure_names[failure], (unsigned long long)last);
            print_message("\n");
        }
    }
}

static inline void run_scenarios(const struct scenario *scenarios, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for_each_failure(scenarios[i].name, run_once, &scenarios[i]);
}

/* In the middle of something a failure is allowed to show, but only what fails now. */
static inline void allowed(struct run *r, bitcask_status status)
{
    bool memory = is_memory(r->failure);
    bool came = failing_calls(r) >= r->nth;
    if (status < 0 && !came)
        fail_run(r, "%s (%s), and nothing has failed", bitcask_status_name(status),
                 r->f->error.message);
    if (memory && (status == BITCASK_CORRUPT || status == BITCASK_FORMAT))
        fail_run(r, "want of memory was taken for damage: %s", r->f->error.message);
}

#endif
