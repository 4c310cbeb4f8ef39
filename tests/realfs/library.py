# SPDX-License-Identifier: MIT
"""library.py: as much of libbitcask as these tests call, through ctypes."""

import ctypes as c

OK, NOT_FOUND = 0, 1


class Slice(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t)]


class Buffer(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t), ("capacity", c.c_size_t)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("sys_errno", c.c_int), ("segment", c.c_uint64),
                ("offset", c.c_uint64), ("message", c.c_char * 256)]


class Library:
    def __init__(self, path):
        self.lib = c.CDLL(path)
        self.lib.bitcask_status_name.restype = c.c_char_p

    def name(self, status):
        return self.lib.bitcask_status_name(status).decode()

    def open(self, directory, **settings):
        """(status, store or None, message); settings as bitcask_options_set takes them."""
        options = c.create_string_buffer(4096)
        self.lib.bitcask_options_init_sized(options, c.c_size_t(4096))
        error, handle = Error(), c.c_void_p()
        for key, value in settings.items():
            name = key.replace("_", "-").encode()
            status = self.lib.bitcask_options_set(options, name, str(value).encode(),
                                                  c.byref(error))
            assert status == OK, error.message
        status = self.lib.bitcask_open(directory.encode(), options, c.byref(handle),
                                       c.byref(error))
        return status, Store(self.lib, handle) if status == OK else None, error.message.decode()


class Store:
    def __init__(self, lib, handle):
        self.lib, self.handle, self.error = lib, handle, Error()

    @staticmethod
    def slice(text):
        return Slice(c.cast(c.c_char_p(text), c.c_void_p), len(text))

    def put(self, key, value):
        return self.lib.bitcask_put(self.handle, self.slice(key), self.slice(value), None, None,
                                    c.byref(self.error))

    def delete(self, key):
        return self.lib.bitcask_delete(self.handle, self.slice(key), None, None,
                                       c.byref(self.error))

    def get(self, key):
        """(status, value)"""
        buffer = Buffer()
        status = self.lib.bitcask_get(self.handle, None, self.slice(key), c.byref(buffer), None,
                                      c.byref(self.error))
        value = c.string_at(buffer.data, buffer.size) if status == OK else None
        self.lib.bitcask_buffer_free(c.byref(buffer))
        return status, value

    def merge(self):
        return self.lib.bitcask_merge(self.handle, None, None, c.byref(self.error))

    def message(self):
        return self.error.message.decode()

    def close(self):
        return self.lib.bitcask_close(self.handle, c.byref(self.error))
