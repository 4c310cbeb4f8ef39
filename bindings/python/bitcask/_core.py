# SPDX-License-Identifier: MIT
"""Which of the two is used for the calls that are made often: the extension where it has been built,
else ctypes. BITCASK_PURE=1 takes ctypes in any case."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _abi
from .errors import ClosedError, raise_status

fast: Any = None
if os.environ.get("BITCASK_PURE", "0") in ("", "0"):
    try:
        from . import _fast as fast  # type: ignore[attr-defined]
    except ImportError:
        pass

if TYPE_CHECKING or fast is None:
    from ._pure import Reader, Writer
else:
    fast.bind({name: _abi.address_of(name) for name in fast.functions()}, raise_status, ClosedError)
    Reader, Writer = fast.Reader, fast.Writer

__all__ = ["Reader", "Writer", "fast"]
