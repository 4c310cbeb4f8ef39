# SPDX-License-Identifier: MIT
"""Compaction from time to time, in a daemon thread."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

if TYPE_CHECKING:
    from .bitcask import Bitcask

logger = logging.getLogger(__name__)

Result = Dict[str, Any]


class CompactionScheduler:
    """Looks every `interval_seconds` whether the store should be compacted, and does it.

    on_compaction_complete  is called in the scheduler's thread, with what compact() has returned
    """

    def __init__(self, bitcask: "Bitcask", interval_seconds: float = 300.0,
                 threshold_ratio: float = 0.3,
                 on_compaction_complete: Optional[Callable[[Result], None]] = None) -> None:
        self._bitcask = bitcask
        self._on_compaction_complete = on_compaction_complete
        self.interval_seconds = interval_seconds
        self.threshold_ratio = threshold_ratio
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._stop = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether its thread is there."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def interval_seconds(self) -> float:
        """How long it waits between two looks."""
        return self._interval_seconds

    @interval_seconds.setter
    def interval_seconds(self, value: float) -> None:
        if not value > 0:
            raise ValueError("interval_seconds must be positive")
        self._interval_seconds = value

    @property
    def threshold_ratio(self) -> float:
        """The share of dead data from which it compacts."""
        return self._threshold_ratio

    @threshold_ratio.setter
    def threshold_ratio(self, value: float) -> None:
        if not 0.0 <= value <= 1.0:
            raise ValueError("threshold_ratio must be between 0.0 and 1.0")
        self._threshold_ratio = value

    def start(self) -> None:
        """Begin; does nothing if it runs."""
        with self._lock:
            if self.is_running:
                logger.warning("the compaction scheduler runs already")
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,), daemon=True,
                                            name="BitcaskCompactionScheduler")
            self._thread.start()

    def stop(self, timeout: Optional[float] = None) -> bool:
        """Stop, and wait for the compaction at hand, at most `timeout` seconds. Returns whether it has
        stopped."""
        with self._lock:
            thread = self._thread
            self._stop.set()
            if thread is None or thread is threading.current_thread():
                return True
            thread.join(timeout)
            if thread.is_alive():
                logger.warning("the compaction scheduler did not stop in time")
                return False
            self._thread = None
            return True

    def trigger_compaction(self, force: bool = False) -> Optional[Result]:
        """Look now, or compact in any case. Returns what compact() has, None if it was not called or
        has failed."""
        try:
            if not force and not self._bitcask.should_compact(self.threshold_ratio):
                return None
            result = self._bitcask.compact(threshold_ratio=self.threshold_ratio, force=force)
        except Exception as error:  # the thread goes on, and tries again
            logger.error("scheduled compaction: %s", error)
            return None
        if result["performed"] and self._on_compaction_complete is not None:
            try:
                self._on_compaction_complete(result)
            except Exception as error:
                logger.error("on_compaction_complete: %s", error)
        return result

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self.interval_seconds):
            self.trigger_compaction()
