# SPDX-License-Identifier: MIT
"""Batches: writes that are done together."""

from __future__ import annotations

import ctypes as c
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from . import _abi
from ._abi import Data, lib

if TYPE_CHECKING:
    from .store import Seconds, Store


class Batch:
    """Gathers writes, and does them at the end of a `with` block, or with write(). What is given is
    copied. Threads may share one. At most 1 GiB of keys and values."""

    def __init__(self, store: "Store", sync: int) -> None:
        self._store = store
        self._sync = sync
        self._writes: List[Tuple[bytes, Optional[bytes], int]] = []  # the value of a delete is None

    def put(self, key: Data, value: Data, *, ttl: Optional["Seconds"] = None,
            expires: Optional[float] = None) -> None:
        """Store a value, see Store.put."""
        from .store import expiry_us  # pylint: disable=import-outside-toplevel

        at = expiry_us(ttl, expires) if ttl is not None or expires is not None else 0
        self._writes.append((_abi.to_bytes(key, "key"), _abi.to_bytes(value, "value"), at))

    def delete(self, key: Data) -> None:
        """Delete a key; one that is not there is skipped."""
        self._writes.append((_abi.to_bytes(key, "key"), None, 0))

    def __setitem__(self, key: Data, value: Data) -> None:
        self.put(key, value)

    def __delitem__(self, key: Data) -> None:
        self.delete(key)

    def __len__(self) -> int:
        return len(self._writes)

    def clear(self) -> None:
        """Forget what was gathered."""
        self._writes = []

    def write(self) -> int:
        """Do what was gathered, in its order, all or nothing, and forget it. Returns the version of
        the last record, 0 if there was none. If it raises, nothing was done and nothing is forgotten;
        UnknownError excepted, where all of it is there, maybe not durably."""
        writes = self._writes
        version: int = self._store._run(self._write, writes) if writes else 0
        self._writes = self._writes[len(writes):]
        return version

    def _write(self, db: int, writes: List[Tuple[bytes, Optional[bytes], int]]) -> int:
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
            options = _abi.WriteOptions(c.sizeof(_abi.WriteOptions), self._sync, 0, 0, 0)
            _abi.call(lib.bitcask_write, db, batch, c.byref(options), c.byref(version))
            return version.value
        finally:
            lib.bitcask_batch_free(batch)

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.write()
