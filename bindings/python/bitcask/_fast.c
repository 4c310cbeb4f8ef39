/* SPDX-License-Identifier: MIT
 * _fast.c: the calls of the Python package that are made a million times, as a CPython extension.
 *
 * It does what bitcask/_pure.py does with ctypes, under the same names, at a fifth of the price;
 * what is called now and then stays in Python for both. It is linked with nothing: bind() is given
 * the addresses of the functions that ctypes has found, so that there is one libbitcask in a
 * process, whichever way it was found. Only Python's stable interface is used (abi3, 3.11 on).
 *
 * Locks: every field is guarded by the interpreter's lock, which is given up around each call of
 * the library: a write may wait for a device, a read for a page. A call in flight is counted in its
 * reader, and _detach, which comes before the store is closed, waits until there is none. */
#include "_fast.h"

#include <errno.h>
#include <unistd.h>

/* ---- What the package gives ---------------------------------------------------------------- */

struct fast_library lib;
static PyObject *raise_status; /* raise_status(status, errno, segment, offset, message) */
static PyObject *closed_error; /* the exception for a store that is closed */

static PyObject *fast_bind(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *addresses, *raiser, *closed;
    if (!PyArg_ParseTuple(arguments, "O!OO", &PyDict_Type, &addresses, &raiser, &closed))
        return NULL;
#define BIND(name)                                                                             \
    {                                                                                          \
        PyObject *address = PyDict_GetItemString(addresses, #name);                            \
        if (address == NULL)                                                                   \
            return PyErr_Format(PyExc_KeyError, "no address of " #name);                       \
        void *pointer = PyLong_AsVoidPtr(address);                                             \
        if (pointer == NULL)                                                                   \
            return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, #name " is NULL"); \
        memcpy(&lib.name, &pointer, sizeof pointer);                                           \
    }
    FAST_FUNCTIONS(BIND)
#undef BIND
    Py_INCREF(raiser);
    Py_INCREF(closed);
    raise_status = raiser;
    closed_error = closed;
    Py_RETURN_NONE;
}

/* ---- Readers ------------------------------------------------------------------------------- */

PyObject *fail(const bitcask_error *error)
{
    PyObject *text = PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message),
                                          "backslashreplace");
    if (text == NULL)
        return NULL;
    PyObject *result = PyObject_CallFunction(raise_status, "iiKKN", (int)error->status,
                                             error->sys_errno, (unsigned long long)error->segment,
                                             (unsigned long long)error->offset, text);
    Py_XDECREF(result);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_SystemError, "raise_status did not raise");
    return NULL;
}

bitcask *reader_enter(struct reader *reader)
{
    if (reader->db == NULL) {
        PyErr_SetString(closed_error != NULL ? closed_error : PyExc_ValueError, "it is closed");
        return NULL;
    }
    reader->busy++;
    return reader->db;
}

void reader_leave(struct reader *reader)
{
    if (--reader->busy == 0 && reader->waiting)
        sem_post(&reader->idle);
}

/* ---- Keys and values ----------------------------------------------------------------------- */

static bool bytes_copy(PyObject *object, const char *what, struct bytes *bytes)
{
    if (!PyObject_CheckBuffer(object)) {
        PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__name__");
        if (type != NULL)
            PyErr_Format(PyExc_TypeError, "a %s is bytes or str, not %U", what, type);
        Py_XDECREF(type);
        return false;
    }
    bytes->copy = PyBytes_FromObject(object);
    if (bytes->copy == NULL)
        return false;
    bytes->slice = bitcask_bytes(PyBytes_AsString(bytes->copy), (size_t)PyBytes_Size(bytes->copy));
    return true;
}

bool bytes_take(PyObject *object, const char *what, struct bytes *bytes)
{
    bytes->copy = NULL;
    if (PyBytes_Check(object)) {
        bytes->slice = bitcask_bytes(PyBytes_AsString(object), (size_t)PyBytes_Size(object));
        return true;
    }
    if (PyUnicode_Check(object)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(object, &size);
        bytes->slice = bitcask_bytes(text, text == NULL ? 0 : (size_t)size);
        return text != NULL;
    }
    return bytes_copy(object, what, bytes);
}

PyObject *bytes_new(bitcask_slice slice)
{
    return PyBytes_FromStringAndSize(slice.data, (Py_ssize_t)slice.size);
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* A new reference; NULL without an exception if the key is not there. */
static PyObject *reader_look_up(struct reader *self, PyObject *key)
{
    struct bytes name;
    if (!bytes_take(key, "key", &name))
        return NULL;
    bitcask *db = reader_enter(self);
    if (db == NULL) {
        Py_XDECREF(name.copy);
        return NULL;
    }
    bitcask_view view;
    bitcask_error error;
    bitcask_status status;
    const bitcask_read_options *options = self->options.snapshot == NULL ? NULL : &self->options;
    Py_BEGIN_ALLOW_THREADS status = lib.bitcask_get_view(db, options, name.slice, &view, &error);
    Py_END_ALLOW_THREADS PyObject *value = NULL;
    if (status == BITCASK_OK) {
        value = bytes_new(view.value);
        lib.bitcask_views_release(&view, 1);
    } else if (status < 0) {
        fail(&error);
    }
    reader_leave(self);
    Py_XDECREF(name.copy);
    return value;
}

static PyObject *reader_get(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                            PyObject *names)
{
    PyObject *other = count == 2 ? arguments[1] : Py_None;
    if (names != NULL && count == 1 && PyTuple_Size(names) == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "default") == 0) {
        other = arguments[1];
    } else if (count < 1 || count > 2 || (names != NULL && PyTuple_Size(names) > 0)) {
        PyErr_SetString(PyExc_TypeError, "it is get(key, default=None)");
        return NULL;
    }
    PyObject *value = reader_look_up(self, arguments[0]);
    if (value != NULL || PyErr_Occurred())
        return value;
    Py_INCREF(other);
    return other;
}

static PyObject *reader_subscript(struct reader *self, PyObject *key)
{
    PyObject *value = reader_look_up(self, key);
    if (value == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, key);
    return value;
}

static int reader_contains(struct reader *self, PyObject *key)
{
    struct bytes name;
    if (!bytes_take(key, "key", &name))
        return -1;
    bitcask *db = reader_enter(self);
    if (db == NULL) {
        Py_XDECREF(name.copy);
        return -1;
    }
    bitcask_meta meta;
    bitcask_error error;
    bitcask_status status;
    Py_BEGIN_ALLOW_THREADS status =
        lib.bitcask_stat_key(db, &self->options, name.slice, &meta, &error);
    Py_END_ALLOW_THREADS if (status < 0) fail(&error);
    reader_leave(self);
    Py_XDECREF(name.copy);
    return status < 0 ? -1 : status == BITCASK_OK;
}

/* ---- Iteration ----------------------------------------------------------------------------- */

static PyTypeObject *entries_type;

static void entries_unlink(struct entries *self)
{
    struct reader *reader = self->reader;
    if (self->previous != NULL)
        self->previous->next = self->next;
    else if (reader->entries == self)
        reader->entries = self->next;
    if (self->next != NULL)
        self->next->previous = self->previous;
    self->next = self->previous = NULL;
}

static PyObject *reader_entries(struct reader *self, PyObject *arguments)
{
    PyObject *prefix;
    int what;
    struct bytes name;
    if (!PyArg_ParseTuple(arguments, "Oi", &prefix, &what) || !bytes_take(prefix, "prefix", &name))
        return NULL;
    bitcask *db = reader_enter(self);
    struct entries *new = db == NULL ? NULL : PyObject_GC_New(struct entries, entries_type);
    bitcask_error error;
    bitcask_status status = BITCASK_NO_MEMORY;
    if (new != NULL) {
        bitcask_iterator *iterator = NULL;
        Py_BEGIN_ALLOW_THREADS status = lib.bitcask_iterator_new(
            db, &self->options, name.slice, what == 0 ? 0 : 1, &iterator, &error);
        Py_END_ALLOW_THREADS Py_INCREF((PyObject *)self);
        new->reader = self;
        new->iterator = iterator;
        new->what = what;
        new->running = false;
        new->done = false;
        new->previous = NULL;
        new->next = self->entries;
        if (new->next != NULL)
            new->next->previous = new;
        self->entries = new;
        PyObject_GC_Track(new);
        if (status < 0) {
            fail(&error);
            Py_DECREF(new);
            new = NULL;
        }
    }
    if (db != NULL)
        reader_leave(self);
    Py_XDECREF(name.copy);
    return (PyObject *)new;
}

static void entries_close(struct entries *self)
{
    bitcask_iterator *iterator = self->iterator;
    self->iterator = NULL;
    /* A forked child has only a picture of it, and of the locks. */
    if (iterator == NULL || self->reader->process != getpid())
        return;
    Py_BEGIN_ALLOW_THREADS lib.bitcask_iterator_free(iterator);
    Py_END_ALLOW_THREADS
}

static PyObject *entry_new(const bitcask_entry *entry, int what)
{
    if (what == 0)
        return bytes_new(entry->key);
    if (what == 1)
        return bytes_new(entry->value);
    return Py_BuildValue("(NN)", bytes_new(entry->key), bytes_new(entry->value));
}

static PyObject *entries_next(struct entries *self)
{
    if (self->done)
        return NULL;
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "the iterator is in use by another thread");
        return NULL;
    }
    struct reader *reader = self->reader;
    if (reader_enter(reader) == NULL)
        return NULL;
    bitcask_entry entry;
    bitcask_error error;
    bitcask_status status;
    self->running = true;
    Py_BEGIN_ALLOW_THREADS status = lib.bitcask_iterator_next(self->iterator, &entry, &error);
    Py_END_ALLOW_THREADS PyObject *item = NULL;
    if (status == BITCASK_OK) {
        item = entry_new(&entry, self->what);
    } else if (status == BITCASK_END) {
        self->done = true;
        entries_close(self);
    } else {
        fail(&error);
    }
    self->running = false;
    reader_leave(reader);
    return item;
}

static PyObject *entries_iter(PyObject *self)
{
    Py_INCREF(self);
    return self;
}

static int entries_traverse(struct entries *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT((PyObject *)self->reader);
    return 0;
}

static void entries_dealloc(struct entries *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    struct reader *reader = self->reader;
    entries_unlink(self);
    /* Freeing gives the interpreter's lock up: the store must not be closed meanwhile. */
    if (self->iterator != NULL) {
        reader->busy++;
        entries_close(self);
        reader_leave(reader);
    }
    Py_DECREF(reader);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- Opening and closing ------------------------------------------------------------------- */

static PyObject *reader_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    (void)arguments, (void)names;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct reader *self = (struct reader *)alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->options = (bitcask_read_options){.struct_size = sizeof self->options};
    if (sem_init(&self->idle, 0, 0) != 0) {
        Py_DECREF(self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return (PyObject *)self;
}

static void reader_dealloc(struct reader *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    sem_destroy(&self->idle);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *reader_attach(struct reader *self, PyObject *arguments)
{
    PyObject *db, *snapshot;
    if (!PyArg_ParseTuple(arguments, "OO", &db, &snapshot))
        return NULL;
    void *pointer = PyLong_AsVoidPtr(db);
    self->options.snapshot = PyLong_AsVoidPtr(snapshot);
    if (PyErr_Occurred())
        return NULL;
    self->waiting = false;
    self->process = getpid();
    self->db = pointer;
    Py_RETURN_NONE;
}

static bool is_running_here(const struct reader *self)
{
    unsigned long here = PyThread_get_thread_ident();
    for (const struct run *run = self->runs; run != NULL; run = run->next) {
        if (run->thread == here)
            return true;
    }
    return false;
}

static void wait_until_idle(struct reader *self)
{
    self->waiting = true;
    while (self->busy > 0) {
        Py_BEGIN_ALLOW_THREADS while (sem_wait(&self->idle) != 0 && errno == EINTR);
        Py_END_ALLOW_THREADS
    }
}

/* Until no call is in flight and no iterator is left; one may be freed by another thread, too. */
static void drain(struct reader *self)
{
    wait_until_idle(self);
    while (self->entries != NULL) {
        struct entries *first = self->entries;
        entries_unlink(first);
        entries_close(first);
        wait_until_idle(self);
    }
}

/* _detach() -> whether it was open. No call is in flight afterwards, none begins, and the iterators
 * are freed. In a forked child, which has not the threads to wait for, they are left alone. */
static PyObject *reader_detach(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (self->db == NULL)
        Py_RETURN_FALSE;
    if (self->process != getpid()) {
        self->db = NULL;
        Py_RETURN_TRUE;
    }
    if (is_running_here(self)) {
        PyErr_SetString(PyExc_RuntimeError, "closed inside a call of its own, by a callback or a "
                                            "signal handler");
        return NULL;
    }
    self->db = NULL;
    drain(self);
    Py_RETURN_TRUE;
}

/* _run(function, *arguments): what function(handle, *arguments) returns; the store cannot be closed
 * meanwhile. For all that is not done here. */
static PyObject *reader_run(struct reader *self, PyObject *arguments)
{
    Py_ssize_t count = PyTuple_Size(arguments);
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "it is _run(function, *arguments)");
        return NULL;
    }
    bitcask *db = reader_enter(self);
    if (db == NULL)
        return NULL;
    struct run run = {.thread = PyThread_get_thread_ident(), .next = self->runs};
    self->runs = &run;
    PyObject *handle = PyLong_FromVoidPtr(db), *with_handle = PyTuple_New(count), *result = NULL;
    if (handle != NULL && with_handle != NULL) {
        for (Py_ssize_t i = 1; i < count; i++) {
            PyObject *argument = PyTuple_GetItem(arguments, i);
            Py_INCREF(argument);
            PyTuple_SetItem(with_handle, i, argument);
        }
        PyTuple_SetItem(with_handle, 0, handle);
        handle = NULL;
        result = PyObject_CallObject(PyTuple_GetItem(arguments, 0), with_handle);
    }
    Py_XDECREF(handle);
    Py_XDECREF(with_handle);
    struct run **link = &self->runs; /* other threads' may have come before it */
    while (*link != &run)
        link = &(*link)->next;
    *link = run.next;
    reader_leave(self);
    return result;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* One write, `value` NULL: a delete. Returns its status, or an error with an exception set. */
static bitcask_status reader_write(struct reader *self, PyObject *key, PyObject *value,
                                   const bitcask_write_options *options, uint64_t *version)
{
    struct bytes name, content = {.copy = NULL};
    if (!bytes_take(key, "key", &name))
        return BITCASK_INVALID;
    if (value != NULL && !bytes_take(value, "value", &content)) {
        Py_XDECREF(name.copy);
        return BITCASK_INVALID;
    }
    bitcask_status status = BITCASK_INVALID;
    bitcask *db = reader_enter(self);
    if (db != NULL) {
        bitcask_error error;
        Py_BEGIN_ALLOW_THREADS status =
            value != NULL ? lib.bitcask_put(db, name.slice, content.slice, options, version, &error)
                          : lib.bitcask_delete(db, name.slice, options, version, &error);
        Py_END_ALLOW_THREADS if (status < 0) fail(&error);
        reader_leave(self);
    }
    Py_XDECREF(name.copy);
    Py_XDECREF(content.copy);
    return status;
}

/* The call as Python has it: self.NAME(*arguments, **names). */
static PyObject *call_python(PyObject *self, const char *name, PyObject *const *arguments,
                             Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    PyObject *method = PyObject_GetAttrString(self, name), *tuple = PyTuple_New(count),
             *dict = PyDict_New(), *result = NULL;
    bool good = method != NULL && tuple != NULL && dict != NULL;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        Py_INCREF(arguments[i]);
        PyTuple_SetItem(tuple, i, arguments[i]);
    }
    for (Py_ssize_t i = 0; good && i < named; i++)
        good = PyDict_SetItem(dict, PyTuple_GetItem(names, i), arguments[count + i]) == 0;
    if (good)
        result = PyObject_Call(method, tuple, dict);
    Py_XDECREF(method);
    Py_XDECREF(tuple);
    Py_XDECREF(dict);
    return result;
}

static PyObject *writer_put(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                            PyObject *names)
{
    if (count != 2 || names != NULL)
        return call_python((PyObject *)self, "_put", arguments, count, names);
    uint64_t version;
    if (reader_write(self, arguments[0], arguments[1], NULL, &version) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(version);
}

static PyObject *writer_delete(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *names)
{
    if (count != 1 || names != NULL)
        return call_python((PyObject *)self, "_delete", arguments, count, names);
    bitcask_status status = reader_write(self, arguments[0], NULL, NULL, NULL);
    return status < 0 ? NULL : PyBool_FromLong(status == BITCASK_OK);
}

/* The version, or None where a condition was not met or there is nothing to delete. */
static PyObject *written(bitcask_status status, uint64_t version)
{
    if (status < 0)
        return NULL;
    if (status == BITCASK_OK)
        return PyLong_FromUnsignedLongLong(version);
    Py_RETURN_NONE;
}

/* _write(key, value, sync, flags, expires_us, if_version) */
static PyObject *writer_write(struct reader *self, PyObject *arguments)
{
    PyObject *key, *value;
    int sync;
    unsigned flags;
    unsigned long long expires_us, if_version;
    if (!PyArg_ParseTuple(arguments, "OOiIKK", &key, &value, &sync, &flags, &expires_us,
                          &if_version))
        return NULL;
    bitcask_write_options options = {.struct_size = sizeof options,
                                     .sync = (bitcask_sync)sync,
                                     .flags = flags,
                                     .expires_us = expires_us,
                                     .if_version = if_version};
    uint64_t version = 0;
    bitcask_status status = reader_write(self, key, value, &options, &version);
    return written(status, version);
}

/* _remove(key, sync, flags, if_version) */
static PyObject *writer_remove(struct reader *self, PyObject *arguments)
{
    PyObject *key;
    int sync;
    unsigned flags;
    unsigned long long if_version;
    if (!PyArg_ParseTuple(arguments, "OiIK", &key, &sync, &flags, &if_version))
        return NULL;
    bitcask_write_options options = {.struct_size = sizeof options,
                                     .sync = (bitcask_sync)sync,
                                     .flags = flags,
                                     .if_version = if_version};
    uint64_t version = 0;
    bitcask_status status = reader_write(self, key, NULL, &options, &version);
    return written(status, version);
}

static int writer_set(struct reader *self, PyObject *key, PyObject *value)
{
    bitcask_status status = reader_write(self, key, value, NULL, NULL);
    if (status == BITCASK_NOT_FOUND)
        PyErr_SetObject(PyExc_KeyError, key);
    return status == BITCASK_OK ? 0 : -1;
}

/* ---- The module ---------------------------------------------------------------------------- */

/* By way of void *, since CPython wants one type for functions of several. */
#define METHOD(name, function, flags, doc)                            \
    {                                                                 \
        name, (PyCFunction)(void (*)(void))(function), (flags), (doc) \
    }

static PyMethodDef reader_methods[] = {
    METHOD("get", reader_get, METH_FASTCALL | METH_KEYWORDS,
           "get($self, key, default=None)\n--\n\nThe value of `key` as bytes, or `default`."),
    METHOD("_attach", reader_attach, METH_VARARGS, NULL),
    METHOD("_detach", reader_detach, METH_NOARGS, NULL),
    METHOD("_run", reader_run, METH_VARARGS, NULL),
    METHOD("_entries", reader_entries, METH_VARARGS, NULL),
    METHOD("_get_many", reader_get_many, METH_O, NULL),
    {NULL, NULL, 0, NULL},
};

static char reader_doc[] = "What can be read: a store, or a snapshot of it.";
static PyType_Slot reader_slots[] = {
    {Py_tp_doc, reader_doc},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, reader_methods},
    {Py_mp_subscript, reader_subscript},
    {Py_sq_contains, reader_contains},
    {0, NULL},
};
static PyType_Spec reader_spec = {.name = "bitcask._fast.Reader",
                                  .basicsize = sizeof(struct reader),
                                  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                                  .slots = reader_slots};

static PyMethodDef writer_methods[] = {
    METHOD("put", writer_put, METH_FASTCALL | METH_KEYWORDS,
           "Store a value; see Store._put for what else it takes."),
    METHOD("delete", writer_delete, METH_FASTCALL | METH_KEYWORDS,
           "Delete a key: whether it was there; see Store._delete for what else it takes."),
    METHOD("_write", writer_write, METH_VARARGS, NULL),
    METHOD("_remove", writer_remove, METH_VARARGS, NULL),
    METHOD("_write_batch", writer_write_batch, METH_VARARGS, NULL),
    {NULL, NULL, 0, NULL},
};

static char writer_doc[] = "What can be written to: a store.";
static PyType_Slot writer_slots[] = {
    {Py_tp_doc, writer_doc},           {Py_tp_dealloc, reader_dealloc},
    {Py_tp_methods, writer_methods},   {Py_mp_subscript, reader_subscript},
    {Py_mp_ass_subscript, writer_set}, {0, NULL},
};
static PyType_Spec writer_spec = {.name = "bitcask._fast.Writer",
                                  .basicsize = sizeof(struct reader),
                                  .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                                  .slots = writer_slots};

static PyType_Slot entries_slots[] = {
    {Py_tp_dealloc, entries_dealloc},
    {Py_tp_traverse, entries_traverse},
    {Py_tp_iter, entries_iter},
    {Py_tp_iternext, entries_next},
    {0, NULL},
};
static PyType_Spec entries_spec = {.name = "bitcask._fast.Entries",
                                   .basicsize = sizeof(struct entries),
                                   .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
                                            Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   .slots = entries_slots};

static PyObject *fast_functions(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
#define NAME(name) #name,
    static const char *const names[] = {FAST_FUNCTIONS(NAME)};
#undef NAME
    size_t count = sizeof names / sizeof names[0];
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (name == NULL || PyList_SetItem(list, (Py_ssize_t)i, name) != 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static PyMethodDef functions[] = {
    {"functions", fast_functions, METH_NOARGS, "The functions that bind() wants to know."},
    {"bind", fast_bind, METH_VARARGS, "bind(addresses, raise_status, closed_error), once"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT, "bitcask._fast", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fast(void);
PyMODINIT_FUNC PyInit__fast(void)
{
    PyObject *module = PyModule_Create(&module_def);
    PyObject *reader = PyType_FromSpec(&reader_spec);
    PyObject *bases = reader == NULL ? NULL : PyTuple_Pack(1, reader);
    PyObject *writer = bases == NULL ? NULL : PyType_FromSpecWithBases(&writer_spec, bases);
    PyObject *entries = PyType_FromSpec(&entries_spec);
    Py_XDECREF(bases);
    if (module == NULL || writer == NULL || entries == NULL ||
        PyModule_AddObjectRef(module, "Reader", reader) != 0 ||
        PyModule_AddObjectRef(module, "Writer", writer) != 0) {
        Py_XDECREF(module);
        return NULL;
    }
    entries_type = (PyTypeObject *)entries;
    return module;
}
