# SPDX-License-Identifier: MIT
"""The statuses of the library, and an exception for each that is an error."""

from __future__ import annotations

import enum
from typing import Any, Dict, NoReturn, Tuple, Type


class Status(enum.IntEnum):
    """What a call of the library can return: 0 is success, positive an outcome, negative an error."""

    OK = 0
    NOT_FOUND = 1
    EXISTS = 2
    CONFLICT = 3
    END = 4
    CANCELLED = 5
    INVALID = -1
    IO = -2
    CORRUPT = -3
    NO_SPACE = -4
    NO_MEMORY = -5
    LOCKED = -6
    NO_STORE = -7
    STORE_EXISTS = -8
    FORMAT = -9
    READ_ONLY = -10
    UNKNOWN = -11
    LIMIT = -12
    FORKED = -13
    BUSY = -14


class BitcaskError(Exception):
    """An error of a store.

    status   a Status, or a plain int if this package does not know it
    message  what went wrong, where
    errno    of the system call that failed, or 0
    segment  the id of the segment it is about, or 0
    offset   the byte in that segment, or 0
    """

    def __init__(self, status: int, message: str, errno: int = 0, segment: int = 0,
                 offset: int = 0) -> None:
        super().__init__(message)
        try:
            self.status: int = Status(status)
        except ValueError:  # of a newer library
            self.status = status
        self.message = message
        self.errno = errno
        self.segment = segment
        self.offset = offset

    def __reduce__(self) -> Tuple[Any, ...]:  # so that it passes between processes
        return type(self), (int(self.status), self.message, self.errno, self.segment, self.offset)


class InvalidError(BitcaskError, ValueError):
    """An argument or option that cannot be."""


class InputOutputError(BitcaskError):
    """A system call failed; `errno` says how."""


class CorruptError(BitcaskError):
    """Stored data is damaged."""


class NoSpaceError(BitcaskError):
    """The disk is full, or a quota is used up."""


class NoMemoryError(BitcaskError, MemoryError):
    """There is no memory."""


class LockedError(BitcaskError):
    """The store is open already, in another process or handle."""


class NoStoreError(BitcaskError):
    """There is no store."""


class StoreExistsError(BitcaskError):
    """There is a store already."""


class FormatError(BitcaskError):
    """A newer release has written the store."""


class ReadOnlyError(BitcaskError):
    """The store takes no writes: opened so, or after a failure that could not be mended."""


class UnknownError(BitcaskError):
    """A sync failed: whether the write is durable is unknown."""


class LimitError(BitcaskError):
    """A limit of the store is reached."""


class ForkedError(BitcaskError):
    """The store was opened before a fork: this process must open it itself."""


class BusyError(BitcaskError):
    """Another operation of this kind runs."""


class CancelledError(BitcaskError):
    """Stopped at the caller's request."""


class ClosedError(InvalidError):
    """The store or snapshot is closed."""

    def __init__(self, message: str = "it is closed", *_: object) -> None:
        super().__init__(Status.INVALID, message)

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.message,)


ERRORS: Dict[int, Type[BitcaskError]] = {
    Status.INVALID: InvalidError,
    Status.IO: InputOutputError,
    Status.CORRUPT: CorruptError,
    Status.NO_SPACE: NoSpaceError,
    Status.NO_MEMORY: NoMemoryError,
    Status.LOCKED: LockedError,
    Status.NO_STORE: NoStoreError,
    Status.STORE_EXISTS: StoreExistsError,
    Status.FORMAT: FormatError,
    Status.READ_ONLY: ReadOnlyError,
    Status.UNKNOWN: UnknownError,
    Status.LIMIT: LimitError,
    Status.FORKED: ForkedError,
    Status.BUSY: BusyError,
    Status.CANCELLED: CancelledError,
}


def raise_status(status: int, errno: int, segment: int, offset: int, message: str) -> NoReturn:
    """Raise what stands for `status`."""
    raise ERRORS.get(status, BitcaskError)(status, message, errno, segment, offset)
