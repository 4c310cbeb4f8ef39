# SPDX-License-Identifier: MIT
"""When a data file ends and the next begins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, Dict, List, Optional

SEGMENT_SIZE_MIN, SEGMENT_SIZE_MAX = 64 << 10, 4096 << 20  # bytes; the store's limits


class RotationStrategy(ABC):
    """Decides about a file before each write to it.

    The strategies of this module become options of the store, which rotates by itself. Of a strategy
    of your own the store knows nothing: it is not asked, and the store rotates at 256 MiB."""

    @abstractmethod
    def should_rotate(self, file_size: int, entry_count: int, last_write_time: datetime) -> bool:
        """Whether a file of so many bytes and entries has ended."""

    def store_options(self) -> Dict[str, Any]:
        """The options of bitcask.open() that come nearest."""
        return {}


class SizeBasedRotation(RotationStrategy):
    """Rotate at a size. The store's segments have 64 KiB at least and 4 GiB at most: what is beyond is
    brought to these limits."""

    def __init__(self, max_size_bytes: int) -> None:
        self.max_size_bytes = max_size_bytes

    def should_rotate(self, file_size: int, entry_count: int, last_write_time: datetime) -> bool:
        return file_size >= self.max_size_bytes

    def store_options(self) -> Dict[str, Any]:
        size = min(max(int(self.max_size_bytes), SEGMENT_SIZE_MIN), SEGMENT_SIZE_MAX)
        return {"segment_size": size}


class EntryCountRotation(RotationStrategy):
    """Rotate after a number of entries, deletions among them."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries

    def should_rotate(self, file_size: int, entry_count: int, last_write_time: datetime) -> bool:
        return entry_count >= self.max_entries

    def store_options(self) -> Dict[str, Any]:
        return {"segment_max_records": max(1, int(self.max_entries))}


class CompositeRotation(RotationStrategy):
    """Rotate when one of several wants it: the store takes the smallest of each limit."""

    def __init__(self, strategies: List[RotationStrategy]) -> None:
        self.strategies = strategies

    def should_rotate(self, file_size: int, entry_count: int, last_write_time: datetime) -> bool:
        return any(strategy.should_rotate(file_size, entry_count, last_write_time)
                   for strategy in self.strategies)

    def store_options(self) -> Dict[str, Any]:
        smallest: Dict[str, Any] = {}
        for strategy in self.strategies:
            for name, limit in strategy.store_options().items():
                smallest[name] = min(limit, smallest.get(name, limit))
        return smallest


def store_options(strategy: Optional[Any]) -> Dict[str, Any]:
    """The store's options for a strategy, which may be derived from another RotationStrategy."""
    return strategy.store_options() if isinstance(strategy, RotationStrategy) else {}
