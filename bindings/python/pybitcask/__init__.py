# SPDX-License-Identifier: MIT
"""The interface of the pybitcask package over libbitcask: its users change nothing but the package.

What differs is said in docs/PYTHON.md; data files of the original are converted by
`bitcask import --format pybitcask`."""

from .bitcask import Bitcask
from .rotation import (CompositeRotation, EntryCountRotation, RotationStrategy, SizeBasedRotation)
from .scheduler import CompactionScheduler

__all__ = ["Bitcask", "RotationStrategy", "SizeBasedRotation", "EntryCountRotation",
           "CompositeRotation", "CompactionScheduler"]
