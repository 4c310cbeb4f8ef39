# SPDX-License-Identifier: MIT
"""The class of the pybitcask package, over libbitcask."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import bitcask as store_module

from .config import config
from .rotation import RotationStrategy, store_options
from .scheduler import CompactionScheduler

logger = logging.getLogger(__name__)

ORIGINAL_FILE = re.compile(r"data_\d+\.db")
COMPACT_BYTES_MIN = 1 << 20  # with less than this nothing is worth compacting,
COMPACT_SINGLE_FILE_BYTES_MIN = 10 << 20  # and with less than this not if it is in one file


class OriginalFilesError(store_module.FormatError):
    """The directory holds data files of the original pybitcask, which are to be imported first."""


def refuse_original_files(directory: Path) -> None:
    """Data that this package does not read must not look like an empty store."""
    if not directory.is_dir():
        return
    names = sorted(entry.name for entry in directory.iterdir() if ORIGINAL_FILE.fullmatch(entry.name))
    if not names:
        return
    if (directory / "MANIFEST").exists():
        logger.warning("%s: %s and other files of the original pybitcask are not read; the store "
                       "beside them is", directory, names[0])
        return
    raise OriginalFilesError(
        store_module.Status.FORMAT,
        f"'{directory}' holds data of the original pybitcask ({names[0]}), in another format; import "
        f"it into a new directory: bitcask -d NEW import --format pybitcask '{directory}'")


class Bitcask:
    """Keys are text, values whatever JSON can hold.

    directory          where the data is, made if need be; None: that of the configuration
    debug_mode         accepted for the sake of its callers: data files have one format here, and
                       `bitcask dump` shows it
    rotation_strategy  when a data file ends, see pybitcask.rotation; None: at 256 MiB

    Any number of threads may use it; a directory can be open once. Deletes are durable when they
    return, writes within a second (with a power cut), at once as far as the process alone dies."""

    def __init__(self, directory: Any = None, debug_mode: Optional[bool] = None,
                 rotation_strategy: Optional[RotationStrategy] = None) -> None:
        self.data_dir = config.get_data_dir(directory)
        self.debug_mode = debug_mode if debug_mode is not None else config.get_debug_mode()
        self.rotation_strategy = rotation_strategy
        self._scheduler: Optional[CompactionScheduler] = None
        self._scheduler_lock = threading.Lock()
        self._compaction_lock = threading.Lock()
        refuse_original_files(self.data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._store = store_module.open(self.data_dir, **store_options(rotation_strategy))

    # ---- Keys and values ---------------------------------------------------------------------

    def put(self, key: str, value: Any) -> None:
        """Store a value. TypeError if JSON cannot hold it; then nothing is written."""
        self._store.put(name_of(key), json.dumps(value))

    def get(self, key: str) -> Any:
        """The value, None if the key is not there."""
        text = self._store.get(name_of(key))
        return None if text is None else json.loads(text)

    def delete(self, key: str) -> bool:
        """Delete a key, durably. Returns whether it was there."""
        return self._store.delete(name_of(key), sync="always")

    def list_keys(self) -> List[str]:
        """All keys, in no particular order."""
        return [key.decode("utf-8", "surrogateescape") for key in self._store.keys()]

    def keys(self) -> List[str]:
        """All keys, in no particular order."""
        return self.list_keys()

    def batch_write(self, data: Dict[str, Any]) -> None:
        """Store all of a dict: all of it or nothing, to readers and after a crash."""
        with self._store.batch() as batch:
            for key, value in data.items():
                batch.put(name_of(key), json.dumps(value))

    def clear(self) -> None:
        """Delete everything, and give the space back."""
        self._store.clear()
        with self._compaction_lock:
            self._store.merge(all=True)

    # ---- Closing -----------------------------------------------------------------------------

    def close(self) -> None:
        """Stop compaction and close. Further calls do nothing; all others raise ClosedError."""
        self.stop_auto_compaction()
        self._store.close()

    def __enter__(self) -> "Bitcask":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- Compaction --------------------------------------------------------------------------

    def get_compaction_stats(self) -> Dict[str, Any]:
        """What there is to gain. The figures are exact, whatever their names say."""
        segments = files_of(self._store)
        total = sum(segment.size_bytes for segment in segments)
        live = sum(segment.live_bytes for segment in segments)
        dead = sum(segment.dead_bytes for segment in segments)
        return {
            "total_files": len(segments),
            "total_size": total,
            "live_keys": len(self._store),
            "estimated_live_size": live,
            "estimated_dead_ratio": dead / total if total > 0 else 0.0,
        }

    def should_compact(self, threshold_ratio: float = 0.3) -> bool:
        """Whether at least this share of the data is dead, and there is enough of it: 1 MiB, or 10 MiB
        if it is in one file."""
        return worth_compacting(self.get_compaction_stats(), threshold_ratio)

    def compact(self, threshold_ratio: float = 0.3, force: bool = False) -> Dict[str, Any]:
        """Write what is alive to new files, and remove the old ones; readers and writers go on.

        force  also if should_compact() says no

        Returns {"performed": False, "reason": ...} or what was done. RuntimeError if it fails: then
        nothing is lost."""
        with self._compaction_lock:
            initial = self.get_compaction_stats()
            if not force and not worth_compacting(initial, threshold_ratio):
                return {"performed": False, "reason": "threshold_not_met", "initial_stats": initial}
            begin = time.monotonic()
            before = self._data_files()
            try:
                done = self._store.merge(all=True)
            except store_module.ClosedError:
                raise
            except store_module.BitcaskError as error:
                raise RuntimeError(f"Compaction failed: {error}") from error
            removed = sorted(str(path) for path in before - self._data_files())
            final = self.get_compaction_stats()
            saved = initial["total_size"] - final["total_size"]
            return {
                "performed": True,
                "duration_seconds": time.monotonic() - begin,
                "records_written": done["records_copied"],
                "bytes_written": done["output_bytes"],
                "files_removed": len(removed),
                "removed_files": removed,
                "initial_stats": initial,
                "final_stats": final,
                "space_saved_bytes": saved,
                "space_saved_ratio": saved / initial["total_size"] if initial["total_size"] else 0,
            }

    def _data_files(self) -> "set[Path]":
        return set(self.data_dir.glob("*.data"))

    # ---- Compaction from time to time --------------------------------------------------------

    def start_auto_compaction(
            self, interval_seconds: float = 300.0, threshold_ratio: float = 0.3,
            on_compaction_complete: Optional[Callable[[Dict[str, Any]], None]] = None
    ) -> CompactionScheduler:
        """Look every so often whether to compact, in a daemon thread. Returns the scheduler; the one
        that runs, unchanged, if there is one.

        on_compaction_complete  called in that thread with what compact() returns, if it did compact

        The store merges by itself, too, where at least half is dead, without holding anybody up."""
        with self._scheduler_lock:
            if self._scheduler is None or not self._scheduler.is_running:
                self._scheduler = CompactionScheduler(self, interval_seconds, threshold_ratio,
                                                      on_compaction_complete)
                self._scheduler.start()
            return self._scheduler

    def stop_auto_compaction(self, timeout: Optional[float] = None) -> bool:
        """Stop that, and wait for a compaction at hand, at most `timeout` seconds. Returns whether it
        has stopped."""
        with self._scheduler_lock:
            scheduler = self._scheduler
        return scheduler.stop(timeout) if scheduler is not None else True

    @property
    def auto_compaction_running(self) -> bool:
        """Whether the scheduler runs."""
        scheduler = self._scheduler
        return scheduler is not None and scheduler.is_running

    # ---- The file that is written to ---------------------------------------------------------

    @property
    def active_file_id(self) -> int:
        """Rises with every rotation."""
        highest = int(self._store.stats()["max_segment_id"])
        files = files_of(self._store)
        active = active_of(files)
        if active is not None:
            return active.id
        if highest <= 1 and not files:
            return 1  # a new store makes its first file by itself, and may be at it just now
        return highest + 1  # it is made by the next write

    @property
    def active_file_path(self) -> Path:
        """The file itself; the first write makes it."""
        return self.data_dir / f"{self.active_file_id:09}.data"

    @property
    def active_file_entry_count(self) -> int:
        """Its entries, dead ones among them."""
        active = active_of(files_of(self._store))
        return 0 if active is None else active.records


def name_of(key: str) -> bytes:
    """A key as the store has it. Keys of a store that other programs write to may be no text: they are
    listed with surrogates (PEP 383), and found by them."""
    if not isinstance(key, str):
        raise TypeError(f"a key is a str, not {type(key).__name__}")
    return key.encode("utf-8", "surrogateescape")


def files_of(store: store_module.Store) -> List[store_module.Segment]:
    """The data files, without the next one to be written to, which the store makes ahead of time."""
    segments = store.segments()
    active = [segment for segment in segments if segment.state == "active"]
    return [segment for segment in segments if segment not in active[1:]]


def active_of(files: List[store_module.Segment]) -> Optional[store_module.Segment]:
    """The one that is written to, if there is one."""
    return next((file for file in files if file.state == "active"), None)


def worth_compacting(stats: Dict[str, Any], threshold_ratio: float) -> bool:
    """What should_compact() says of these figures."""
    total = stats["total_size"]
    if total < COMPACT_BYTES_MIN:
        return False
    if stats["total_files"] < 2 and total < COMPACT_SINGLE_FILE_BYTES_MIN:
        return False
    return bool(stats["estimated_dead_ratio"] >= threshold_ratio)
