# SPDX-License-Identifier: MIT
"""Stores: opening, writing, upkeep."""

from __future__ import annotations

import atexit
import ctypes as c
import datetime
import itertools
import json
import math
import os
import threading
import time
import warnings
import weakref
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from . import _abi
from ._abi import Data, lib
from ._core import Reader, Writer
from ._reads import Reads
from .batch import Batch
from .errors import CancelledError, ClosedError, ForkedError, Status

Seconds = Union[int, float, datetime.timedelta]
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Progress = Callable[[int, int], Any]
"""progress(done bytes, total bytes): something true stops the operation with CancelledError."""

_open_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


class Finding(NamedTuple):
    """Damage that verify() has found."""

    file: str
    segment: int
    offset: int
    size: int
    what: str
    key: bytes
    """Of the damaged record, empty if it cannot be told."""
    note: bool
    """No damage: litter that the next open for writing takes away."""


class Segment(NamedTuple):
    """A data file of a store."""

    id: int
    state: str
    """'active', 'sealing', 'sealed', or 'missing': its file is not there."""
    size_bytes: int
    records: int
    live_records: int
    live_bytes: int
    dead_bytes: int
    tombstones: int
    from_merge: bool
    has_hint: bool
    damaged: bool


def as_seconds(duration: Seconds) -> float:
    """A duration that a caller gave."""
    number = duration.total_seconds() if isinstance(duration, datetime.timedelta) else duration
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise TypeError(f"a time is a number of seconds or a timedelta, not {duration!r}")
    return float(number)


def expiry_us(ttl: Optional[Seconds], expires: Optional[float]) -> int:
    """What the library wants to know of a time to live or an expiry; 0: never."""
    if ttl is not None and expires is not None:
        raise TypeError("it is ttl or expires, not both")
    if ttl is None and expires is None:
        return 0
    at = time.time() + as_seconds(ttl) if ttl is not None else as_seconds(expires or 0)
    return max(1, int(at * 1e6))  # what has passed is allowed; 0 would mean never


def sync_mode(sync: Optional[str]) -> int:
    """The library's number of a sync mode; None: the store's own."""
    if sync is None:
        return 0
    if sync not in _abi.SYNC:
        raise ValueError(f"sync is 'none', 'interval' or 'always', not {sync!r}")
    return _abi.SYNC[sync]


def option_text(value: Any) -> str:
    """The value of an option as bitcask_options_set reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.timedelta):
        return f"{round(value.total_seconds() * 1000)}ms"
    return str(value)


class Store(Reads, Writer):
    """An open store. Any number of threads may use it; `with` closes it.

    It is used like a dict whose keys and values are bytes: store[key], store[key] = value,
    del store[key], key in store, iteration over keys. str is taken for bytes everywhere, as UTF-8.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = os.fsdecode(path)
        # By a number of their own: an address comes again. Who takes one out frees it.
        self._snapshots: Dict[int, Tuple[int, "weakref.ref[Snapshot]"]] = {}
        self._snapshot_numbers = itertools.count()
        self._closing = threading.RLock()
        self._process_id = os.getpid()
        self._db: Optional[int] = None
        storage = c.create_string_buffer(_abi.OPTIONS_SIZE)
        lib.bitcask_options_init_sized(storage, _abi.OPTIONS_SIZE)
        for name, value in options.items():
            if value is not None:
                _abi.call(lib.bitcask_options_set, storage, name.encode(),
                          option_text(value).encode())
        db = c.c_void_p()
        _abi.call(lib.bitcask_open, os.fsencode(path), storage, c.byref(db))
        self._db = db.value
        self._attach(db.value or 0, 0)
        _open_stores.add(self)

    # ---- Closing -----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._db is None

    def close(self) -> None:
        """Sync and close; waits for calls of other threads. Snapshots and iterators end with it.
        Further calls do nothing. An error says that the last writes may not be durable.

        In a process that was forked it only forgets the store, which is the parent's."""
        if self._process_id != os.getpid():
            self._detach()
            self._db = None
            return
        with self._closing:
            self._detach()
            db, self._db = self._db, None
            if db is None:
                return
            while self._snapshots:
                _, (pointer, reference) = self._snapshots.popitem()
                snapshot = reference()
                if snapshot is not None:
                    snapshot._detach()
                lib.bitcask_snapshot_free(pointer)
            _abi.call(lib.bitcask_close, db)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_db", None) is None:
            return
        if self._process_id == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
        self.close()

    def __repr__(self) -> str:
        return f"<bitcask.Store {self.path!r}{' (closed)' if self._db is None else ''}>"

    # ---- Writing -----------------------------------------------------------------------------

    # put(key, value) and delete(key) are the core's; with more they come here.

    def _put(self, key: Data, value: Data, *, ttl: Optional[Seconds] = None,
             expires: Optional[float] = None, keep_ttl: bool = False,
             sync: Optional[str] = None) -> int:
        """put(key, value, ttl=seconds, expires=time, keep_ttl=False, sync=None) -> the version.

        ttl       seconds, or a timedelta, that the key lives; expires: until when (as time.time())
        keep_ttl  the key keeps the expiry that it has
        sync      'always': durable on return; 'none', 'interval': without waiting; None: as the
                  store was opened"""
        flags = _abi.KEEP_TTL if keep_ttl else 0
        version = self._write(key, value, sync_mode(sync), flags, expiry_us(ttl, expires), 0)
        return version or 0  # there is one: nothing was asked that could be refused

    def _delete(self, key: Data, *, if_version: Optional[int] = None,
                sync: Optional[str] = None) -> bool:
        """delete(key, if_version=None, sync=None) -> whether it was there (and had that version)."""
        flags = 0 if if_version is None else _abi.IF_VERSION
        return self._remove(key, sync_mode(sync), flags, if_version or 0) is not None

    def put_if_absent(self, key: Data, value: Data, *, ttl: Optional[Seconds] = None,
                      expires: Optional[float] = None, sync: Optional[str] = None) -> Optional[int]:
        """Store a value if the key is not there. Returns the version, or None if it is."""
        return self._write(
            key, value, sync_mode(sync), _abi.IF_ABSENT, expiry_us(ttl, expires), 0)

    def put_if_present(self, key: Data, value: Data, *, ttl: Optional[Seconds] = None,
                       expires: Optional[float] = None, keep_ttl: bool = False,
                       sync: Optional[str] = None) -> Optional[int]:
        """Store a value if the key is there. Returns the version, or None if it is not."""
        flags = _abi.IF_PRESENT | (_abi.KEEP_TTL if keep_ttl else 0)
        return self._write(
            key, value, sync_mode(sync), flags, expiry_us(ttl, expires), 0)

    def put_if_version(self, key: Data, value: Data, version: int, *,
                       ttl: Optional[Seconds] = None, expires: Optional[float] = None,
                       keep_ttl: bool = False, sync: Optional[str] = None) -> Optional[int]:
        """Store a value if the key has `version` (of get_item, meta or put). Returns the new version,
        or None if it has another or is not there."""
        flags = _abi.IF_VERSION | (_abi.KEEP_TTL if keep_ttl else 0)
        return self._write(
            key, value, sync_mode(sync), flags, expiry_us(ttl, expires), version)

    def expire(self, key: Data, ttl: Optional[Seconds] = None, *, expires: Optional[float] = None,
               sync: Optional[str] = None) -> bool:
        """Give a key a new time to live; with neither ttl nor expires: for ever. Returns whether the
        key was there. The record is written anew."""
        name = _abi.slice_of(_abi.to_bytes(key, "key"))
        options = _abi.WriteOptions(c.sizeof(_abi.WriteOptions), sync_mode(sync), 0,
                                    expiry_us(ttl, expires), 0)
        status: int = self._run(lambda db: _abi.call(
            lib.bitcask_expire, db, name, c.byref(options), None))
        return status == Status.OK

    def ttl(self, key: Data) -> Optional[float]:
        """Seconds that a key has to live; None if it lives for ever. KeyError if it is not there."""
        meta = self.meta(key)
        if meta is None:
            raise KeyError(key)
        return None if meta.expires is None else max(0.0, meta.expires - time.time())

    def batch(self, *, sync: Optional[str] = None) -> Batch:
        """Writes that are done together: all of them survive a crash, or none, and readers see all or
        none.

            with store.batch() as batch:
                batch.put("a", "1")
                batch.delete("b")

        They are done at the end of the block, and not at all if it ends with an exception."""
        return Batch(self, sync_mode(sync))

    def update(self, items: Mapping[Any, Any], *, sync: Optional[str] = None) -> None:
        """Store all of a dict, as one batch."""
        with self.batch(sync=sync) as batch:
            for key, value in items.items():
                batch.put(key, value)

    def clear(self) -> None:
        """Delete every key that is there now: in batches, each of them atomic."""
        names: List[bytes] = []
        for key in self.keys():
            names.append(key)
            if len(names) == 10000:
                self._delete_all(names)
                names = []
        self._delete_all(names)

    def _delete_all(self, names: List[bytes]) -> None:
        with self.batch() as batch:
            for name in names:
                batch.delete(name)

    def sync(self) -> None:
        """Make every write that has returned durable."""
        self._run(lambda db: _abi.call(lib.bitcask_sync_now, db))

    # ---- Reading as of one moment ------------------------------------------------------------

    def snapshot(self) -> "Snapshot":
        """The store as it is now, to be read while writers go on; `with` closes it."""
        return self._run(self._snapshot)  # type: ignore[no-any-return]

    def _snapshot(self, db: int) -> "Snapshot":
        pointer = c.c_void_p()
        _abi.call(lib.bitcask_snapshot_new, db, c.byref(pointer))
        number = next(self._snapshot_numbers)
        snapshot = Snapshot(self, db, pointer.value or 0, number)
        self._snapshots[number] = pointer.value or 0, weakref.ref(snapshot)
        return snapshot

    # ---- Upkeep ------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many keys the index has: expired ones that are not merged away yet are among them."""
        return int(self.stats()["keys"])

    def __bool__(self) -> bool:  # else an empty store were false
        return True

    def stats(self) -> Dict[str, Any]:
        """Figures of the store; docs/OPERATIONS.md says what each means."""
        buffer = _abi.Buffer()

        def read(db: int) -> bytes:
            try:
                _abi.call(lib.bitcask_stats_json, db, c.byref(buffer))
                return c.string_at(buffer.data, buffer.size)
            finally:
                lib.bitcask_buffer_free(c.byref(buffer))

        figures: Dict[str, Any] = json.loads(self._run(read))
        return figures

    def segments(self) -> List[Segment]:
        """The data files, by ascending id."""

        def look(db: int) -> List[Segment]:
            capacity = 64
            while True:
                infos = (_abi.SegmentInfo * capacity)()
                count = lib.bitcask_get_segments(db, infos, capacity, c.sizeof(_abi.SegmentInfo))
                if count <= capacity:
                    return [segment_of(info) for info in infos[:count]]
                capacity = count + 64  # there may be more by then

        segments: List[Segment] = self._run(look)
        return segments

    def merge(self, *, all: bool = False,  # pylint: disable=redefined-builtin
              min_dead: float = 0.4, bytes_per_s: int = 0,
              progress: Optional[Progress] = None) -> Dict[str, int]:
        """Reclaim the space of dead records now: of segments with at least `min_dead` of them, or of
        all. Readers and writers go on. Returns what was done, in figures."""
        watch = _Watch(progress, _abi.MergeProgress)
        options = _abi.MergeOptions(c.sizeof(_abi.MergeOptions), int(all), min_dead, watch.function,
                                    None, bytes_per_s)
        result = _abi.MergeResult(c.sizeof(_abi.MergeResult))
        watch.finish(self._run(lambda db: watch.call(
            lib.bitcask_merge, db, c.byref(options), c.byref(result))))
        return figures_of(result)

    def pause_merges(self) -> None:
        """Pause merges in the background."""
        self._run(lambda db: _abi.call(lib.bitcask_merge_pause, db))

    def resume_merges(self) -> None:
        """Let them go on."""
        self._run(lambda db: _abi.call(lib.bitcask_merge_resume, db))

    def backup(self, directory: Path, *, bytes_per_s: int = 0, copy: bool = False,
               progress: Optional[Progress] = None) -> Dict[str, int]:
        """Make `directory` a copy of the store as it is now, while it is in use; an earlier backup of
        the same store is brought up to date. Returns what was done, in figures."""
        watch = _Watch(progress, _abi.BackupProgress)
        options = _abi.BackupOptions(c.sizeof(_abi.BackupOptions), bytes_per_s, int(copy),
                                     watch.function, None)
        result = _abi.BackupResult(c.sizeof(_abi.BackupResult))
        watch.finish(self._run(lambda db: watch.call(
            lib.bitcask_backup, db, os.fsencode(directory), c.byref(options), c.byref(result))))
        return figures_of(result)

    def verify(self, *, bytes_per_s: int = 0,
               progress: Optional[Progress] = None) -> List[Finding]:
        """Read and check everything, while the store is in use. Returns what is damaged."""
        findings: List[Finding] = []
        watch = _Watch(progress, _abi.VerifyProgress)

        def found(_: Any, pointer: int) -> int:
            told = _abi.Finding.from_address(pointer)
            findings.append(Finding(os.fsdecode(told.file), told.segment, told.offset, told.bytes,
                                    told.what.decode(), told.key.bytes(), bool(told.note)))
            return 0

        tell = _abi.PROGRESS(found)
        options = _abi.VerifyOptions(c.sizeof(_abi.VerifyOptions), bytes_per_s, tell,
                                     watch.function, None)
        result = _abi.VerifyResult(c.sizeof(_abi.VerifyResult))
        watch.finish(self._run(lambda db: watch.call(
            lib.bitcask_verify, db, c.byref(options), c.byref(result), corrupt_is_fine=True)))
        return findings


class _Watch:
    """The progress callback of a long call: lets the caller stop it, and an interrupt as well."""

    def __init__(self, progress: Optional[Progress], kind: Any) -> None:
        self._progress = progress
        self._kind = kind
        self._raised: Optional[BaseException] = None
        self.function = _abi.PROGRESS(self._step)

    def _step(self, _: Any, pointer: int) -> int:
        try:
            if self._progress is None:
                return 0  # an interrupt has been raised on the way here
            at = self._kind.from_address(pointer)
            return 1 if self._progress(at.done_bytes, at.total_bytes) else 0
        except BaseException as raised:  # ctypes would only print it
            self._raised = raised
            return 1

    def call(self, function: Any, *arguments: Any, corrupt_is_fine: bool = False) -> int:
        """As _abi.call, with what the callback has raised."""
        error = _abi.Error()
        status: int = function(*arguments, c.byref(error))
        if self._raised is not None:
            raise self._raised
        if status < 0 and not (corrupt_is_fine and status == Status.CORRUPT):
            _abi.raise_error(error)
        return status

    @staticmethod
    def finish(status: int) -> None:
        """Raise CancelledError if the callback has asked for it."""
        if status == Status.CANCELLED:
            raise CancelledError(status, "stopped by the progress callback")


def figures_of(result: c.Structure) -> Dict[str, int]:
    """The fields of a result struct."""
    return {field[0]: getattr(result, field[0]) for field in result._fields_[1:]}


def segment_of(info: _abi.SegmentInfo) -> Segment:
    """What the library says of a segment."""
    known = info.state < len(_abi.SEGMENT_STATES)
    return Segment(info.id, _abi.SEGMENT_STATES[info.state] if known else str(info.state),
                   info.size_bytes, info.records, info.live_records, info.live_bytes,
                   info.dead_bytes, info.tombstones, bool(info.from_merge), bool(info.has_hint),
                   bool(info.damaged))


class Snapshot(Reads, Reader):
    """A store as it was when the snapshot was taken. Any number of threads may use it.

    Holds back disk space of what is overwritten or deleted while it lives: close it."""

    def __init__(self, store: Store, db: int, pointer: int, number: int) -> None:
        self._store = store
        self._snapshot_pointer = pointer
        self._number = number
        self.version: int = lib.bitcask_snapshot_version(pointer)
        """That of the last write before it."""
        self._attach(db, pointer)

    def close(self) -> None:
        """Give it up; its iterators end with it. Further calls do nothing."""
        self._detach()
        try:
            self._store._run(self._free)
        except (ClosedError, ForkedError):  # it went with its store
            pass

    def _free(self, _: int) -> None:
        if self._store._process_id != os.getpid():
            return  # the parent's
        taken = self._store._snapshots.pop(self._number, None)
        if taken is not None:
            lib.bitcask_snapshot_free(taken[0])

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_number"):
            self.close()


def _close_all() -> None:
    """At the end of the interpreter; stores that are open are closed as they should be."""
    for store in list(_open_stores):
        try:
            store.close()
        except Exception as error:  # pylint: disable=broad-except
            warnings.warn(f"{store!r} was not closed well: {error}", ResourceWarning)


atexit.register(_close_all)
