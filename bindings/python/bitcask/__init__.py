# SPDX-License-Identifier: MIT
"""bitcask: a key-value store in a directory.

    import bitcask

    with bitcask.open("./data") as store:
        store["city"] = "Utrecht"
        store["city"]                          # b'Utrecht'
        store.put("session", b"x", ttl=3600)
        for key, value in store.items(prefix="s"):
            ...

Keys and values are bytes; str is taken as UTF-8. Errors are exceptions (BitcaskError and what is
derived from it), a key that is not there is None, False or KeyError, as with dict.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from . import _abi
from ._abi import Data, lib as _lib
from ._core import fast as _fast
from ._reads import Item, Meta
from .batch import Batch
from .errors import (BitcaskError, BusyError, CancelledError, ClosedError, CorruptError, ForkedError,
                     FormatError, InputOutputError, InvalidError, LimitError, LockedError,
                     NoMemoryError, NoSpaceError, NoStoreError, ReadOnlyError, Status,
                     StoreExistsError, UnknownError)
from .store import Finding, Path, Seconds, Segment, Snapshot, Store

__version__ = "0.1.0"

__all__ = [
    "open", "destroy", "library_version", "options", "EXTENSION",
    "Store", "Snapshot", "Batch", "Item", "Meta", "Finding", "Segment", "Status", "Data", "Path", "Seconds",
    "BitcaskError", "BusyError", "CancelledError", "ClosedError", "CorruptError", "ForkedError",
    "FormatError", "InputOutputError", "InvalidError", "LimitError", "LockedError", "NoMemoryError",
    "NoSpaceError", "NoStoreError", "ReadOnlyError", "StoreExistsError", "UnknownError",
]

EXTENSION: bool = _fast is not None
"""Whether the calls that are made often go through the C extension, and not through ctypes."""


def open(path: Path, *, create: Optional[bool] = None,  # pylint: disable=redefined-builtin
         error_if_exists: Optional[bool] = None, read_only: Optional[bool] = None,
         in_memory: Optional[bool] = None, sync: Optional[str] = None,
         sync_interval: Any = None, segment_size: Any = None, expected_keys: Optional[int] = None,
         merge: Optional[bool] = None, **more: Any) -> Store:
    """Open the store in the directory `path`, making it if need be.

    create           make it if there is none (True)
    error_if_exists  StoreExistsError if there is one
    read_only        change no byte of it
    in_memory        keep the files in memory; `path` is only a name
    sync             when writes are durable: 'none', 'interval' (the default) or 'always'
    sync_interval    the longest that 'interval' leaves a write unsynced: '500ms', or a timedelta
    segment_size     bytes, or '64M'
    expected_keys    size the index for as many from the start
    merge            merge in the background (True)
    more             every option of the library by its name, see options()

    Raises NoStoreError, StoreExistsError, LockedError, FormatError, CorruptError, InvalidError and
    so on. A store is open once: in one process, with one handle."""
    return Store(path, create=create, error_if_exists=error_if_exists, read_only=read_only,
                 in_memory=in_memory, sync=sync, sync_interval=sync_interval,
                 segment_size=segment_size, expected_keys=expected_keys, merge=merge, **more)


def destroy(path: Path) -> None:
    """Delete the files of the store in `path`, and the directory if nothing else is in it."""
    import os  # pylint: disable=import-outside-toplevel

    _abi.call(_lib.bitcask_destroy, os.fsencode(path))


def library_version() -> str:
    """The version of libbitcask."""
    version: bytes = _lib.bitcask_version()
    return version.decode()


def options() -> Dict[str, str]:
    """The options of the library that open() takes, with a sentence each."""
    known: Dict[str, str] = {}
    while True:
        info = _lib.bitcask_option_at(len(known))
        if not info:
            return known
        known[info.contents.name.decode().replace("-", "_")] = info.contents.help.decode()
