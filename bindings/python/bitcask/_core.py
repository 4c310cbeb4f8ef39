# SPDX-License-Identifier: MIT
"""Which of the two is used for the calls that are made often: the extension where it has been built,
else ctypes. BITCASK_PURE=1 takes ctypes in any case."""

from __future__ import annotations

import os

from . import _abi
from .errors import ClosedError, raise_status

if os.environ.get("BITCASK_PURE", "0") not in ("", "0"):
    fast = None
else:
    try:
        from . import _fast as fast  # type: ignore[attr-defined, no-redef]
    except ImportError:
        fast = None

if fast is None:
    from ._pure import Reader, Writer
else:
    fast.bind({name: _abi.address_of(name) for name in fast.functions()}, raise_status, ClosedError)
    Reader, Writer = fast.Reader, fast.Writer  # type: ignore[misc]

__all__ = ["Reader", "Writer", "fast"]
