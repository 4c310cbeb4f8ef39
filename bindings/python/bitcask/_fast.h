/* SPDX-License-Identifier: MIT
 * _fast.h: what the files of the extension share; _fast.c says what it is and how it locks. */
#ifndef BITCASK_FAST_H
#define BITCASK_FAST_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>

#include <bitcask.h>
#include <semaphore.h>
#include <stdbool.h>

/* The functions of the library that are used; bind() is given their addresses. */
#define FAST_FUNCTIONS(X)    \
    X(bitcask_put)           \
    X(bitcask_delete)        \
    X(bitcask_get_view)      \
    X(bitcask_get_many)      \
    X(bitcask_stat_key)      \
    X(bitcask_views_release) \
    X(bitcask_batch_new)     \
    X(bitcask_batch_put)     \
    X(bitcask_batch_delete)  \
    X(bitcask_batch_free)    \
    X(bitcask_write)         \
    X(bitcask_iterator_new)  \
    X(bitcask_iterator_next) \
    X(bitcask_iterator_free)

struct fast_library {
#define FAST_MEMBER(name) __typeof__(&name) name;
    FAST_FUNCTIONS(FAST_MEMBER)
#undef FAST_MEMBER
};
extern struct fast_library lib;

struct entries;

struct run { /* of _run, on the stack of the thread that it runs in */
    unsigned long thread;
    struct run *next;
};

struct reader {                /* a store, or a snapshot of it */
    PyObject_HEAD bitcask *db; /* NULL: closed */
    pid_t process;
    bitcask_read_options options;
    unsigned busy; /* calls in flight */
    bool waiting;  /* _detach waits for `idle` */
    sem_t idle;
    struct run *runs;
    struct entries *entries; /* alive */
};

struct entries { /* an iterator */
    PyObject_HEAD struct reader *reader;
    bitcask_iterator *iterator; /* NULL: done or closed */
    int what;
    bool running; /* in a thread */
    bool done;
    struct entries *next, *previous;
};

/* Raise what `error` says. Returns NULL. */
PyObject *fail(const bitcask_error *error);

/* Every call of the library stands between these two: NULL with an exception if it is closed, else
 * the handle, which is valid until reader_leave. Both with the interpreter's lock. */
bitcask *reader_enter(struct reader *reader);
void reader_leave(struct reader *reader);

struct bytes { /* of an argument: unchanging while the interpreter's lock is given up */
    bitcask_slice slice;
    PyObject *copy; /* or NULL; a bytearray may be written to by another thread */
};

/* Take a key or value, `what` it is called in a TypeError. False with an exception. What it has is
 * given back by Py_XDECREF of `copy`, and valid as long as `object` is. */
bool bytes_take(PyObject *object, const char *what, struct bytes *bytes);
PyObject *bytes_new(bitcask_slice slice);

/* _get_many(keys) -> a list of values, None for keys that are not there */
PyObject *reader_get_many(struct reader *self, PyObject *keys);

/* _write_batch(writes, sync) -> the version of the last. writes: a list of (key, value,
 * expires_us), the value of a delete None */
PyObject *writer_write_batch(struct reader *self, PyObject *arguments);

#endif
