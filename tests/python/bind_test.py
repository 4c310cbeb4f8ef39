# SPDX-License-Identifier: MIT
"""bind_test.py LIBRARY: a binding of libbitcask in plain ctypes, and a run through it. Kept under 150
lines: what does not fit makes the API hard to bind."""

import ctypes as c
import sys
import tempfile
import time

lib = c.CDLL(sys.argv[1])
lib.bitcask_status_name.restype = c.c_char_p
OK, NOT_FOUND, EXISTS, CONFLICT, END = range(5)
INVALID, LOCKED, NO_STORE, READ_ONLY = -1, -6, -7, -10
IF_ABSENT, IF_VERSION, VALUES = 1, 2, 1


class Slice(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t)]

    def bytes(self):
        return c.string_at(self.data, self.size)


class Buffer(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t), ("capacity", c.c_size_t)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("sys_errno", c.c_int), ("segment", c.c_uint64),
                ("offset", c.c_uint64), ("message", c.c_char * 256)]


class WriteOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("sync", c.c_int), ("flags", c.c_uint),
                ("expires_us", c.c_uint64), ("if_version", c.c_uint64)]


class Meta(c.Structure):
    _fields_ = [("version", c.c_uint64), ("expires_us", c.c_uint64), ("value_size", c.c_uint64)]


class Entry(c.Structure):
    _fields_ = [("key", Slice), ("value", Slice), ("meta", Meta)]


class BitcaskError(Exception):
    def __init__(self, status, error):
        super().__init__(f"{lib.bitcask_status_name(status).decode()}: {error.message.decode()}")
        self.status = status


def slice_of(data):  # the bytes object must outlive the call; its caller holds it
    return Slice(c.cast(c.c_char_p(data), c.c_void_p), len(data))


def call(function, *arguments):
    error = Error()
    status = function(*arguments, c.byref(error))
    if status < 0:
        raise BitcaskError(status, error)
    return status


class Store:
    def __init__(self, directory, **options):
        storage = c.create_string_buffer(512)  # larger than the struct: the library knows its own
        lib.bitcask_options_init_sized(storage, c.c_size_t(512))
        for name, value in options.items():
            call(lib.bitcask_options_set, storage, name.encode(), str(value).encode())
        self.db = c.c_void_p()
        call(lib.bitcask_open, directory.encode(), storage, c.byref(self.db))

    def close(self):
        db, self.db = self.db, None
        call(lib.bitcask_close, db)

    def put(self, key, value, flags=0, expires_us=0, if_version=0):
        options = WriteOptions(c.sizeof(WriteOptions), 0, flags, expires_us, if_version)
        version = c.c_uint64()
        return call(lib.bitcask_put, self.db, slice_of(key), slice_of(value), c.byref(options),
                    c.byref(version)), version.value

    def get(self, key):
        value, meta = Buffer(), Meta()
        status = call(lib.bitcask_get, self.db, None, slice_of(key), c.byref(value), c.byref(meta))
        data = c.string_at(value.data, value.size) if status == OK else None
        lib.bitcask_buffer_free(c.byref(value))
        return data

    def delete(self, key):
        return call(lib.bitcask_delete, self.db, slice_of(key), None, None)

    def write(self, puts, deletes):
        batch = c.c_void_p()
        call(lib.bitcask_batch_new, c.byref(batch))
        for key, value in puts.items():
            call(lib.bitcask_batch_put, batch, slice_of(key), slice_of(value), c.c_uint64(0))
        for key in deletes:
            call(lib.bitcask_batch_delete, batch, slice_of(key))
        call(lib.bitcask_write, self.db, batch, None, None)
        lib.bitcask_batch_free(batch)

    def items(self, prefix=b""):
        iterator, entry = c.c_void_p(), Entry()
        call(lib.bitcask_iterator_new, self.db, None, slice_of(prefix), VALUES, c.byref(iterator))
        while call(lib.bitcask_iterator_next, iterator, c.byref(entry)) != END:
            yield entry.key.bytes(), entry.value.bytes()
        lib.bitcask_iterator_free(iterator)


def expect(status, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except BitcaskError as error:
        assert error.status == status, error
        return str(error)
    raise AssertionError(f"{function} worked")


with tempfile.TemporaryDirectory() as directory:
    path = directory + "/store"
    assert "no store" in expect(NO_STORE, Store, path, create="no")
    assert "sync" in expect(INVALID, Store, path, sync="sometimes")
    store = Store(path, sync="none", segment_size="64K")
    assert "in use by process" in expect(LOCKED, Store, path)

    status, first = store.put(b"city", b"Utrecht")
    assert status == OK and store.get(b"city") == b"Utrecht" and store.get(b"town") is None
    assert store.put(b"city", b"Delft", flags=IF_ABSENT)[0] == EXISTS
    assert store.put(b"city", b"Delft", flags=IF_VERSION, if_version=first + 1)[0] == CONFLICT
    status, second = store.put(b"city", b"Delft\0\xff", flags=IF_VERSION, if_version=first)
    assert status == OK and second > first and store.get(b"city") == b"Delft\0\xff"
    assert store.delete(b"city") == OK and store.delete(b"city") == NOT_FOUND
    assert "65535" in expect(INVALID, store.put, b"k" * 65536, b"")

    store.put(b"past", b"x", expires_us=1)
    store.put(b"future", b"x", expires_us=int((time.time() + 3600) * 1e6))
    assert store.get(b"past") is None and store.get(b"future") == b"x"

    store.write({b"a%d" % i: b"value %d" % i for i in range(5000)}, [b"future"])
    store.write({b"b": b""}, [b"a%d" % i for i in range(0, 5000, 2)])
    wanted = {b"a%d" % i: b"value %d" % i for i in range(1, 5000, 2)}
    seen = list(store.items(b"a"))
    assert len(seen) == len(wanted) and dict(seen) == wanted
    store.close()

    store = Store(path, read_only="yes")
    assert dict(store.items()) == {**wanted, b"b": b""}
    assert "reading only" in expect(READ_ONLY, store.put, b"c", b"")
    store.close()
