/* SPDX-License-Identifier: MIT
 * _fast_many.c: calls of the extension for many keys at once. */
#include "_fast.h"

#include <stdlib.h>

/* ---- Reading ------------------------------------------------------------------------------- */

struct lookups { /* of one call */
    size_t count;
    struct bytes *names; /* those taken so far; the rest is zero */
    bitcask_slice *keys;
    bitcask_view *views;
    bitcask_status *each;
};

static bool lookups_init(struct lookups *all, size_t count)
{
    size_t room = count > 0 ? count : 1;
    *all = (struct lookups){
        .count = count,
        .names = calloc(room, sizeof *all->names),
        .keys = calloc(room, sizeof *all->keys),
        .views = calloc(room, sizeof *all->views),
        .each = calloc(room, sizeof *all->each),
    };
    if (all->names != NULL && all->keys != NULL && all->views != NULL && all->each != NULL)
        return true;
    PyErr_NoMemory();
    return false;
}

static void lookups_release(struct lookups *all)
{
    for (size_t i = 0; all->names != NULL && i < all->count; i++)
        Py_XDECREF(all->names[i].copy);
    free(all->names);
    free(all->keys);
    free(all->views);
    free(all->each);
}

static bool take_keys(struct lookups *all, PyObject *list)
{
    for (size_t i = 0; i < all->count; i++) {
        if (!bytes_take(PyList_GetItem(list, (Py_ssize_t)i), "key", &all->names[i]))
            return false;
        all->keys[i] = all->names[i].slice;
    }
    return true;
}

static PyObject *list_values(const struct lookups *all)
{
    PyObject *values = PyList_New((Py_ssize_t)all->count);
    for (size_t i = 0; values != NULL && i < all->count; i++) {
        PyObject *value = Py_None;
        if (all->each[i] == BITCASK_OK)
            value = bytes_new(all->views[i].value);
        else
            Py_INCREF(value);
        if (value == NULL || PyList_SetItem(values, (Py_ssize_t)i, value) != 0) {
            Py_DECREF(values);
            return NULL;
        }
    }
    return values;
}

static PyObject *look_up_all(struct reader *self, struct lookups *all)
{
    bitcask *db = reader_enter(self);
    if (db == NULL)
        return NULL;
    bitcask_error error;
    bitcask_status status;
    Py_BEGIN_ALLOW_THREADS status = lib.bitcask_get_many(db, &self->options, all->keys, all->count,
                                                         all->views, all->each, &error);
    Py_END_ALLOW_THREADS PyObject *values = status < 0 ? fail(&error) : list_values(all);
    lib.bitcask_views_release(all->views, all->count);
    reader_leave(self);
    return values;
}

PyObject *reader_get_many(struct reader *self, PyObject *keys)
{
    PyObject *list = PySequence_List(keys); /* of our own: nobody changes it */
    if (list == NULL)
        return NULL;
    struct lookups all;
    PyObject *values = NULL;
    if (lookups_init(&all, (size_t)PyList_Size(list)) && take_keys(&all, list))
        values = look_up_all(self, &all);
    lookups_release(&all);
    Py_DECREF(list);
    return values;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* Add one of the writes to the batch. False with an exception. */
static bool add_write(bitcask_batch *batch, PyObject *write)
{
    PyObject *key_object, *value_object;
    unsigned long long expires_us;
    struct bytes key, value = {.copy = NULL};
    if (!PyArg_ParseTuple(write, "OOK", &key_object, &value_object, &expires_us) ||
        !bytes_take(key_object, "key", &key))
        return false;
    bool taken = value_object == Py_None || bytes_take(value_object, "value", &value);
    bitcask_status status = BITCASK_OK;
    if (taken) {
        bitcask_error error;
        status = value_object == Py_None
                     ? lib.bitcask_batch_delete(batch, key.slice, &error)
                     : lib.bitcask_batch_put(batch, key.slice, value.slice, expires_us, &error);
        if (status < 0)
            fail(&error);
    }
    Py_XDECREF(key.copy);
    Py_XDECREF(value.copy);
    return taken && status == BITCASK_OK;
}

static PyObject *write_all(struct reader *self, const bitcask_batch *batch, int sync)
{
    bitcask *db = reader_enter(self);
    if (db == NULL)
        return NULL;
    bitcask_write_options options = {.struct_size = sizeof options, .sync = (bitcask_sync)sync};
    uint64_t version = 0;
    bitcask_error error;
    bitcask_status status;
    Py_BEGIN_ALLOW_THREADS status = lib.bitcask_write(db, batch, &options, &version, &error);
    Py_END_ALLOW_THREADS PyObject *result =
        status < 0 ? fail(&error) : PyLong_FromUnsignedLongLong(version);
    reader_leave(self);
    return result;
}

PyObject *writer_write_batch(struct reader *self, PyObject *arguments)
{
    PyObject *writes;
    int sync;
    if (!PyArg_ParseTuple(arguments, "O!i", &PyList_Type, &writes, &sync))
        return NULL;
    bitcask_error error;
    bitcask_batch *batch;
    if (lib.bitcask_batch_new(&batch, &error) < 0)
        return fail(&error);
    bool good = true;
    for (Py_ssize_t i = 0; good && i < PyList_Size(writes); i++) {
        PyObject *write = PyList_GetItem(writes, i);
        Py_INCREF(write);
        good = PyTuple_Check(write) && add_write(batch, write);
        Py_DECREF(write);
    }
    if (!good && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "a write is a tuple");
    PyObject *version = good ? write_all(self, batch, sync) : NULL;
    lib.bitcask_batch_free(batch);
    return version;
}
