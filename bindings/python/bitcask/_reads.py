# SPDX-License-Identifier: MIT
"""What stores and snapshots have in common: reading."""

from __future__ import annotations

import ctypes as c
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from . import _abi
from ._abi import Data, lib
from .errors import Status

class Meta(NamedTuple):
    """What is known of a key beside its value."""

    version: int
    """Rises with every write of the store."""
    expires: Optional[float]
    """When, in seconds since 1970; None: never."""
    size: int
    """Of the value, in bytes."""


class Item(NamedTuple):
    """A value with what is known of it."""

    value: bytes
    version: int
    expires: Optional[float]


def seconds(expires_us: int) -> Optional[float]:
    """A time of the library as Python has it."""
    return expires_us / 1e6 if expires_us else None


class Reads:
    """Look-ups and iteration. Keys and values come back as bytes."""

    _run: Any
    _entries: Any
    _get_many: Any
    _snapshot_pointer = 0

    def _options(self) -> Any:
        options = _abi.ReadOptions(c.sizeof(_abi.ReadOptions))
        options.snapshot = self._snapshot_pointer or None
        return c.byref(options)

    def meta(self, key: Data) -> Optional[Meta]:
        """The version, expiry and size of a key, without its value; None if it is not there."""
        name, meta = _abi.slice_of(_abi.to_bytes(key, "key")), _abi.Meta()
        status = self._run(lambda db: _abi.call(lib.bitcask_stat_key, db, self._options(), name,
                                                c.byref(meta)))
        if status != Status.OK:
            return None
        return Meta(meta.version, seconds(meta.expires_us), meta.value_size)

    def get_item(self, key: Data) -> Optional[Item]:
        """A value with its version, for put_if_version; None if the key is not there."""
        name, view = _abi.slice_of(_abi.to_bytes(key, "key")), _abi.View()

        def look_up(db: int) -> Optional[Item]:
            if Status.OK != _abi.call(lib.bitcask_get_view, db, self._options(), name,
                                      c.byref(view)):
                return None
            try:
                return Item(view.value.bytes(), view.meta.version, seconds(view.meta.expires_us))
            finally:
                lib.bitcask_views_release(c.byref(view), 1)

        found: Optional[Item] = self._run(look_up)
        return found

    def get_many(self, keys: Iterable[Data]) -> List[Optional[bytes]]:
        """The values of many keys at once, None for those that are not there: as of one moment with
        regard to batches, and faster than one by one where the data is not in the processor's caches.
        """
        values: List[Optional[bytes]] = self._get_many(keys)
        return values

    def keys(self, prefix: Data = b"") -> Iterator[bytes]:
        """The keys, in no particular order; those with a prefix cost a walk over all."""
        return self._entries(prefix, 0)  # type: ignore[no-any-return]

    def values(self, prefix: Data = b"") -> Iterator[bytes]:
        """The values, of keys with `prefix`."""
        return self._entries(prefix, 1)  # type: ignore[no-any-return]

    def items(self, prefix: Data = b"") -> Iterator[Tuple[bytes, bytes]]:
        """Pairs of key and value, of keys with `prefix`.

        Of a store: what is there throughout is met exactly once; what is written meanwhile maybe.
        Of a snapshot: exactly what was there. A damaged value raises CorruptError, and next() goes on
        behind it."""
        return self._entries(prefix, 2)  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[bytes]:
        return self.keys()

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: it is open in this process")
