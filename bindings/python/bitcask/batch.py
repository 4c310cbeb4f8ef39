# SPDX-License-Identifier: MIT
"""Batches: writes that are done together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from . import _abi
from ._abi import Data

if TYPE_CHECKING:
    from .store import Seconds, Store


class Batch:
    """Gathers writes, and does them at the end of a `with` block, or with write(). What is given is
    copied. Threads may share one. At most 1 GiB of keys and values."""

    def __init__(self, store: "Store", sync: int) -> None:
        self._store = store
        self._sync = sync
        self._lock = threading.Lock()
        self._writes: List[Tuple[bytes, Optional[bytes], int]] = []  # the value of a delete is None

    def put(self, key: Data, value: Data, *, ttl: Optional["Seconds"] = None,
            expires: Optional[float] = None) -> None:
        """Store a value, see Store.put."""
        from .store import expiry_us  # pylint: disable=import-outside-toplevel

        at = expiry_us(ttl, expires) if ttl is not None or expires is not None else 0
        self._add(_abi.to_bytes(key, "key"), _abi.to_bytes(value, "value"), at)

    def delete(self, key: Data) -> None:
        """Delete a key; one that is not there is skipped."""
        self._add(_abi.to_bytes(key, "key"), None, 0)

    def _add(self, key: bytes, value: Optional[bytes], expires_us: int) -> None:
        with self._lock:
            self._writes.append((key, value, expires_us))

    def __setitem__(self, key: Data, value: Data) -> None:
        self.put(key, value)

    def __delitem__(self, key: Data) -> None:
        self.delete(key)

    def __len__(self) -> int:
        return len(self._writes)

    def clear(self) -> None:
        """Forget what was gathered."""
        with self._lock:
            self._writes.clear()

    def write(self) -> int:
        """Do what was gathered, in its order, all or nothing, and forget it. Returns the version of
        the last record, 0 if there was none. If it raises, nothing was done and nothing is forgotten;
        UnknownError excepted, where all of it is there, maybe not durably."""
        with self._lock:
            if not self._writes:
                return 0
            version: int = self._store._write_batch(self._writes, self._sync)
            self._writes.clear()
            return version

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.write()
