# SPDX-License-Identifier: MIT
"""bitcask.h for ctypes: the structs and functions that this package uses.

tests/abi_test.py compares it with the header: a struct that begins with struct_size may have grown
at its end since, all others must be the same."""

from __future__ import annotations

import ctypes as c
from typing import Any, Dict, List, NoReturn, Tuple, Union

from . import _library
from .errors import raise_status

lib = _library.load()

u64 = c.c_uint64

Data = Union[bytes, str, bytearray, memoryview]
"""A key or value to be written or looked up: bytes as they are, or text, which is stored as UTF-8."""


class Slice(c.Structure):
    _fields_ = [("data", c.c_char_p), ("size", c.c_size_t)]  # holds on to the bytes object


class OutSlice(c.Structure):  # a slice that the library fills in
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t)]

    def bytes(self) -> bytes:
        return c.string_at(self.data, self.size) if self.size else b""


class Buffer(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t), ("capacity", c.c_size_t)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("sys_errno", c.c_int), ("segment", u64), ("offset", u64),
                ("message", c.c_char * 256)]


class WriteOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("sync", c.c_int), ("flags", c.c_uint),
                ("expires_us", u64), ("if_version", u64)]


class ReadOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("verify", c.c_int), ("snapshot", c.c_void_p)]


class Meta(c.Structure):
    _fields_ = [("version", u64), ("expires_us", u64), ("value_size", u64)]


class View(c.Structure):
    _fields_ = [("value", OutSlice), ("meta", Meta), ("pin", c.c_void_p)]


class Entry(c.Structure):
    _fields_ = [("key", OutSlice), ("value", OutSlice), ("meta", Meta)]


class MergeProgress(c.Structure):
    _fields_ = [("done_bytes", u64), ("total_bytes", u64), ("written_bytes", u64)]


PROGRESS = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p)


class MergeOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("all", c.c_int), ("min_dead", c.c_double),
                ("progress", PROGRESS), ("context", c.c_void_p), ("bytes_per_s", u64)]


class MergeResult(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("inputs", u64), ("outputs", u64),
                ("input_bytes", u64), ("output_bytes", u64), ("records_copied", u64),
                ("records_dropped", u64), ("tombstones_kept", u64), ("tombstones_dropped", u64),
                ("duration_us", u64)]


class BackupProgress(c.Structure):
    _fields_ = [("done_bytes", u64), ("total_bytes", u64), ("copied_bytes", u64)]


class BackupOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("bytes_per_s", u64), ("copy", c.c_int),
                ("progress", PROGRESS), ("context", c.c_void_p)]


class BackupResult(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("segments", u64), ("linked", u64), ("copied", u64),
                ("reused", u64), ("removed", u64), ("copied_bytes", u64),
                ("damaged_segments", u64), ("last_version", u64), ("duration_us", u64)]


class Finding(c.Structure):
    _fields_ = [("file", c.c_char_p), ("segment", u64), ("offset", u64), ("bytes", u64),
                ("what", c.c_char_p), ("key", OutSlice), ("note", c.c_int)]


class VerifyProgress(c.Structure):
    _fields_ = [("done_bytes", u64), ("total_bytes", u64)]


class VerifyOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("bytes_per_s", u64), ("finding", PROGRESS),
                ("progress", PROGRESS), ("context", c.c_void_p)]


class VerifyResult(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("files", u64), ("records", u64), ("bytes", u64),
                ("findings", u64), ("damaged_bytes", u64), ("notes", u64)]


class SegmentInfo(c.Structure):
    _fields_ = [("id", u64), ("state", c.c_int), ("from_merge", c.c_int), ("has_hint", c.c_int),
                ("damaged", c.c_int), ("created_us", u64), ("sealed_us", u64), ("synced_us", u64),
                ("size_bytes", u64), ("records", u64), ("tombstones", u64), ("live_records", u64),
                ("live_bytes", u64), ("dead_bytes", u64), ("version_min", u64),
                ("version_max", u64), ("merging", c.c_int)]


class OptionInfo(c.Structure):
    _fields_ = [("name", c.c_char_p), ("value", c.c_char_p), ("help", c.c_char_p)]


# The names of the header, for tests/abi_test.py.
STRUCTS = {
    "bitcask_slice": Slice, "bitcask_buffer": Buffer, "bitcask_error": Error,
    "bitcask_write_options": WriteOptions, "bitcask_read_options": ReadOptions,
    "bitcask_meta": Meta, "bitcask_view": View, "bitcask_entry": Entry,
    "bitcask_merge_progress": MergeProgress, "bitcask_merge_options": MergeOptions,
    "bitcask_merge_result": MergeResult, "bitcask_backup_progress": BackupProgress,
    "bitcask_backup_options": BackupOptions, "bitcask_backup_result": BackupResult,
    "bitcask_finding": Finding, "bitcask_verify_progress": VerifyProgress,
    "bitcask_verify_options": VerifyOptions, "bitcask_verify_result": VerifyResult,
    "bitcask_segment_info": SegmentInfo, "bitcask_option_info": OptionInfo,
}

# Constants of the header, by their names without the prefix.
SYNC = {"none": 1, "interval": 2, "always": 3}
IF_ABSENT, IF_VERSION, IF_PRESENT, KEEP_TTL = 1, 2, 4, 8
KEYS, VALUES = 0, 1
SEGMENT_STATES = ("active", "sealing", "sealed", "missing")

# More than bitcask_options will ever have; the library fills in what it knows.
OPTIONS_SIZE = 4096

POINTER = c.c_void_p
SIGNATURES: Dict[str, Tuple[Any, List[Any]]] = {
    "bitcask_version": (c.c_char_p, []),
    "bitcask_status_name": (c.c_char_p, [c.c_int]),
    "bitcask_buffer_free": (None, [POINTER]),
    "bitcask_options_init_sized": (None, [POINTER, c.c_size_t]),
    "bitcask_options_set": (c.c_int, [POINTER, c.c_char_p, c.c_char_p, POINTER]),
    "bitcask_option_at": (c.POINTER(OptionInfo), [c.c_size_t]),
    "bitcask_open": (c.c_int, [c.c_char_p, POINTER, POINTER, POINTER]),
    "bitcask_close": (c.c_int, [POINTER, POINTER]),
    "bitcask_destroy": (c.c_int, [c.c_char_p, POINTER]),
    "bitcask_put": (c.c_int, [POINTER, Slice, Slice, POINTER, POINTER, POINTER]),
    "bitcask_delete": (c.c_int, [POINTER, Slice, POINTER, POINTER, POINTER]),
    "bitcask_expire": (c.c_int, [POINTER, Slice, POINTER, POINTER, POINTER]),
    "bitcask_batch_new": (c.c_int, [POINTER, POINTER]),
    "bitcask_batch_put": (c.c_int, [POINTER, Slice, Slice, u64, POINTER]),
    "bitcask_batch_delete": (c.c_int, [POINTER, Slice, POINTER]),
    "bitcask_batch_count": (c.c_size_t, [POINTER]),
    "bitcask_batch_clear": (None, [POINTER]),
    "bitcask_batch_free": (None, [POINTER]),
    "bitcask_write": (c.c_int, [POINTER, POINTER, POINTER, POINTER, POINTER]),
    "bitcask_sync_now": (c.c_int, [POINTER, POINTER]),
    "bitcask_snapshot_new": (c.c_int, [POINTER, POINTER, POINTER]),
    "bitcask_snapshot_version": (u64, [POINTER]),
    "bitcask_snapshot_free": (None, [POINTER]),
    "bitcask_get_view": (c.c_int, [POINTER, POINTER, Slice, POINTER, POINTER]),
    "bitcask_get_many": (c.c_int, [POINTER, POINTER, POINTER, c.c_size_t, POINTER, POINTER,
                                   POINTER]),
    "bitcask_stat_key": (c.c_int, [POINTER, POINTER, Slice, POINTER, POINTER]),
    "bitcask_views_release": (None, [POINTER, c.c_size_t]),
    "bitcask_iterator_new": (c.c_int, [POINTER, POINTER, Slice, c.c_int, POINTER, POINTER]),
    "bitcask_iterator_next": (c.c_int, [POINTER, POINTER, POINTER]),
    "bitcask_iterator_free": (None, [POINTER]),
    "bitcask_merge": (c.c_int, [POINTER, POINTER, POINTER, POINTER]),
    "bitcask_merge_pause": (c.c_int, [POINTER, POINTER]),
    "bitcask_merge_resume": (c.c_int, [POINTER, POINTER]),
    "bitcask_backup": (c.c_int, [POINTER, c.c_char_p, POINTER, POINTER, POINTER]),
    "bitcask_verify": (c.c_int, [POINTER, POINTER, POINTER, POINTER]),
    "bitcask_get_segments": (c.c_size_t, [POINTER, POINTER, c.c_size_t, c.c_size_t]),
    "bitcask_stats_json": (c.c_int, [POINTER, POINTER, POINTER]),
}

for _name, (_result, _arguments) in SIGNATURES.items():
    _function = getattr(lib, _name)
    _function.restype = _result
    _function.argtypes = _arguments


def address_of(name: str) -> int:
    """Where a function of the library is, for the extension."""
    return c.cast(getattr(lib, name), c.c_void_p).value or 0


def raise_error(error: Error) -> NoReturn:
    """Raise what `error` says."""
    raise_status(error.status, error.sys_errno, error.segment, error.offset,
                 error.message.decode("utf-8", "backslashreplace"))


def call(function: Any, *arguments: Any) -> int:
    """Call a function whose last parameter is the error. Returns its status, not negative."""
    error = Error()
    status: int = function(*arguments, c.byref(error))
    if status < 0:
        raise_error(error)
    return status


def slice_of(data: bytes) -> Slice:
    """What the library is given of `data`, which it keeps alive."""
    return Slice(data, len(data))


def to_bytes(data: Any, what: str) -> bytes:
    """What the store is given: bytes as they are, text as UTF-8, a copy of any other buffer."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a {what} is bytes or str, not {type(data).__name__}") from None
    return view.tobytes()
