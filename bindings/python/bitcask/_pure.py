# SPDX-License-Identifier: MIT
"""The calls that are made often, with ctypes: what _fast.c does where it is not there.

A call in flight is on the list of its reader; _detach, which comes before the store is closed, waits
until the list is empty. List operations are atomic, and a call puts itself on the list before it
looks at the handle: so either _detach sees the call, or the call sees that the store is closed."""

from __future__ import annotations

import ctypes as c
import os
import threading
import weakref
from typing import (Any, Callable, Iterable, Iterator, List, Optional, Tuple, TypeVar, Union,
                    overload)

from . import _abi
from ._abi import Data, lib
from .errors import ClosedError, Status

T = TypeVar("T")
OK, END = int(Status.OK), int(Status.END)


class Reader:
    """What can be read: a store, or a snapshot of it."""

    _handle: Optional[int] = None
    _idle: Optional[threading.Event] = None
    _process: int
    _calls: List[int]  # the threads that are in a call
    _read_options: _abi.ReadOptions
    _alive: "weakref.WeakSet[Entries]"

    def __new__(cls, *_: Any, **__: Any) -> "Reader":
        self = super().__new__(cls)
        self._calls = []
        self._read_options = _abi.ReadOptions(c.sizeof(_abi.ReadOptions))
        self._alive = weakref.WeakSet()
        return self

    # ---- Opening and closing -----------------------------------------------------------------

    def _attach(self, handle: int, snapshot: int) -> None:
        self._read_options.snapshot = snapshot or None
        self._process = os.getpid()
        self._handle = handle

    def _detach(self) -> bool:
        was_open = self._handle is not None
        if self._process != os.getpid():  # the threads that were in a call are not here
            self._handle = None
            return was_open
        if threading.get_ident() in self._calls:
            raise RuntimeError("closed inside a call of its own, by a callback or a signal handler")
        idle = self._idle = threading.Event()
        self._handle = None
        while True:
            idle.clear()
            if not self._calls:
                break
            idle.wait()
        for entries in list(self._alive):
            entries.close()
        return was_open

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(handle, *arguments); the store cannot be closed meanwhile."""
        thread = threading.get_ident()
        try:  # inside, since an interrupt may come behind any call
            self._calls.append(thread)
            handle = self._handle
            if handle is None:
                raise ClosedError()
            return function(handle, *arguments)
        finally:
            self._calls.remove(thread)
            idle = self._idle
            if idle is not None:
                idle.set()

    # ---- Reading -----------------------------------------------------------------------------

    @overload
    def get(self, key: Data) -> Optional[bytes]: ...
    @overload
    def get(self, key: Data, default: T) -> Union[bytes, T]: ...

    def get(self, key: Data, default: Any = None) -> Any:
        """The value of `key` as bytes, or `default`."""
        value = self._run(self._look_up, _abi.to_bytes(key, "key"))
        return default if value is None else value

    def __getitem__(self, key: Data) -> bytes:
        value: Optional[bytes] = self._run(self._look_up, _abi.to_bytes(key, "key"))
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: Data) -> bool:
        meta = _abi.Meta()
        status: int = self._run(lambda db, name: _abi.call(
            lib.bitcask_stat_key, db, c.byref(self._read_options), name, c.byref(meta)),
            _abi.slice_of(_abi.to_bytes(key, "key")))
        return status == OK

    def _look_up(self, handle: int, key: bytes) -> Optional[bytes]:
        view, error = _abi.View(), _abi.Error()
        status = lib.bitcask_get_view(handle, c.byref(self._read_options),
                                      _abi.Slice(key, len(key)), c.byref(view), c.byref(error))
        if status == OK:
            value: bytes = view.value.bytes()
            lib.bitcask_views_release(c.byref(view), 1)
            return value
        if status < 0:
            _abi.raise_error(error)
        return None

    def _get_many(self, keys: Iterable[Data]) -> List[Optional[bytes]]:
        names = [_abi.to_bytes(key, "key") for key in keys]
        count = len(names)
        slices = (_abi.Slice * count)(*map(_abi.slice_of, names))
        views, each = (_abi.View * count)(), (c.c_int * count)()

        def look_up(db: int) -> List[Optional[bytes]]:
            try:
                _abi.call(lib.bitcask_get_many, db, c.byref(self._read_options), slices, count, views,
                          each)
                return [view.value.bytes() if status == OK else None
                        for view, status in zip(views, each)]
            finally:
                lib.bitcask_views_release(views, count)

        values: List[Optional[bytes]] = self._run(look_up)
        return values

    def _entries(self, prefix: Data, what: int) -> "Entries":
        return Entries(self, _abi.to_bytes(prefix, "prefix"), what)


class Entries:
    """An iterator over keys (what 0), values (1) or both (2)."""

    def __init__(self, reader: Reader, prefix: bytes, what: int) -> None:
        self._reader = reader
        self._what = what
        self._lock = threading.Lock()
        self._iterator: Optional[c.c_void_p] = None
        self._done = False
        self._process = os.getpid()
        self._entry = _abi.Entry()
        reader._run(self._open, prefix)

    def _open(self, handle: int, prefix: bytes) -> None:
        iterator = c.c_void_p()
        _abi.call(lib.bitcask_iterator_new, handle, c.byref(self._reader._read_options),
                  _abi.slice_of(prefix), _abi.VALUES if self._what else _abi.KEYS, c.byref(iterator))
        self._iterator = iterator
        self._reader._alive.add(self)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._done:
            raise StopIteration
        if not self._lock.acquire(blocking=False):
            raise ValueError("the iterator is in use by another thread")
        try:
            item = self._reader._run(self._step)
        finally:
            self._lock.release()
        if item is None:
            self._done = True
            self.close()
            raise StopIteration
        return item

    def _step(self, _: int) -> Any:
        entry = self._entry
        if END == _abi.call(lib.bitcask_iterator_next, self._iterator, c.byref(entry)):
            return None
        if self._what == 0:
            return entry.key.bytes()
        if self._what == 1:
            return entry.value.bytes()
        return entry.key.bytes(), entry.value.bytes()

    def close(self) -> None:
        iterator, self._iterator = self._iterator, None
        if iterator is not None and self._process == os.getpid():
            lib.bitcask_iterator_free(iterator)

    def __del__(self) -> None:
        try:
            self._reader._run(lambda _: self.close())
        except (ClosedError, AttributeError):  # closed with the store; or never begun
            pass


class Writer(Reader):
    """What can be written to: a store."""

    _put: Callable[..., int]
    _delete: Callable[..., bool]

    def put(self, key: Data, value: Data, **options: Any) -> int:
        """Store a value; see Store._put for what else it takes."""
        if options:
            return self._put(key, value, **options)
        version = c.c_uint64()
        self._run(self._put_plain, _abi.to_bytes(key, "key"), _abi.to_bytes(value, "value"),
                  c.byref(version))
        return version.value

    def __setitem__(self, key: Data, value: Data) -> None:
        self._run(self._put_plain, _abi.to_bytes(key, "key"), _abi.to_bytes(value, "value"), None)

    def _put_plain(self, handle: int, key: bytes, value: bytes, version: Any) -> None:
        error = _abi.Error()
        if lib.bitcask_put(handle, _abi.Slice(key, len(key)), _abi.Slice(value, len(value)), None,
                           version, c.byref(error)) < 0:
            _abi.raise_error(error)

    def delete(self, key: Data, **options: Any) -> bool:
        """Delete a key: whether it was there; see Store._delete for what else it takes."""
        if options:
            return self._delete(key, **options)
        status: int = self._run(lambda db, name: _abi.call(
            lib.bitcask_delete, db, name, None, None), _abi.slice_of(_abi.to_bytes(key, "key")))
        return status == OK

    def __delitem__(self, key: Data) -> None:
        if not Writer.delete(self, key):
            raise KeyError(key)

    def _write(self, key: Data, value: Data, sync: int, flags: int, expires_us: int,
               if_version: int) -> Optional[int]:
        return self._with_options(lib.bitcask_put, sync, flags, expires_us, if_version,
                                  _abi.slice_of(_abi.to_bytes(key, "key")),
                                  _abi.slice_of(_abi.to_bytes(value, "value")))

    def _remove(self, key: Data, sync: int, flags: int, if_version: int) -> Optional[int]:
        return self._with_options(lib.bitcask_delete, sync, flags, 0, if_version,
                                  _abi.slice_of(_abi.to_bytes(key, "key")))

    def _with_options(self, function: Any, sync: int, flags: int, expires_us: int, if_version: int,
                      *slices: Any) -> Optional[int]:
        options = _abi.WriteOptions(c.sizeof(_abi.WriteOptions), sync, flags, expires_us,
                                    if_version)
        version = c.c_uint64()
        status = self._run(lambda db: _abi.call(function, db, *slices, c.byref(options),
                                                c.byref(version)))
        return version.value if status == OK else None

    def _write_batch(self, writes: List[Tuple[bytes, Optional[bytes], int]], sync: int) -> int:
        version: int = self._run(self._write_together, writes, sync)
        return version

    @staticmethod
    def _write_together(db: int, writes: List[Tuple[bytes, Optional[bytes], int]],
                        sync: int) -> int:
        batch, version, error = c.c_void_p(), c.c_uint64(), _abi.Error()
        _abi.call(lib.bitcask_batch_new, c.byref(batch))
        try:
            told = c.byref(error)
            for key, value, expires_us in writes:
                if value is None:
                    status = lib.bitcask_batch_delete(batch, _abi.slice_of(key), told)
                else:
                    status = lib.bitcask_batch_put(batch, _abi.slice_of(key), _abi.slice_of(value),
                                                   expires_us, told)
                if status < 0:
                    _abi.raise_error(error)
            options = _abi.WriteOptions(c.sizeof(_abi.WriteOptions), sync, 0, 0, 0)
            _abi.call(lib.bitcask_write, db, batch, c.byref(options), c.byref(version))
            return version.value
        finally:
            lib.bitcask_batch_free(batch)
