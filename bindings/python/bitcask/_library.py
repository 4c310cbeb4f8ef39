# SPDX-License-Identifier: MIT
"""Finding libbitcask.so.

In this order: what BITCASK_LIBRARY names; the copy in this package; the build directories of the
source tree that this package lies in; what the system's loader finds. Nothing else is tried where
BITCASK_LIBRARY is set, so that a wrong path is an error and not another library."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import pathlib
from typing import Iterator, List

VARIABLE = "BITCASK_LIBRARY"
NAME = "libbitcask.so.0"
HERE = pathlib.Path(__file__).resolve().parent


def candidates() -> Iterator[str]:
    """Paths and names worth a try, the best first."""
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    for name in (NAME, "libbitcask.so"):
        if (HERE / name).exists():
            yield str(HERE / name)
    if len(HERE.parents) > 2 and (HERE.parents[2] / "include" / "bitcask.h").exists():
        for build in ("build", "build-release"):
            path = HERE.parents[2] / build / "libbitcask.so"
            if path.exists():
                yield str(path)
    yield NAME
    found = ctypes.util.find_library("bitcask")
    if found:
        yield found


def load() -> ctypes.CDLL:
    """The library. Raises ImportError with what was tried, and what to do."""
    tried: List[str] = []
    for path in candidates():
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"  {path}: {error}")
    raise ImportError("libbitcask.so is not found:\n" + "\n".join(tried) +
                      f"\nInstall it ('make install'), or set {VARIABLE} to its path.")
