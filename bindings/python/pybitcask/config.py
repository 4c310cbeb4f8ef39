# SPDX-License-Identifier: MIT
"""Defaults of a user: ~/.config/pybitcask/config.json with `data_dir` and `debug_mode`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Dict, Optional

logger = logging.getLogger(__name__)


class BitcaskConfig:
    """Reads the file when it is first asked, and writes it only when something is set."""

    def __init__(self) -> None:
        self._data: Optional[Dict[str, Any]] = None

    @property
    def default_data_dir(self) -> Path:
        """Where data is kept if nothing else is said."""
        return Path("/var/lib/pybitcask")

    @property
    def config_dir(self) -> Path:
        """The directory of the file."""
        return Path.home() / ".config" / "pybitcask"

    @property
    def config_file(self) -> Path:
        """The file."""
        return self.config_dir / "config.json"

    @property
    def config_data(self) -> Dict[str, Any]:
        """What the file says, or the defaults."""
        if self._data is None:
            self._data = {"data_dir": str(self.default_data_dir), "debug_mode": False}
            try:
                said = json.loads(self.config_file.read_text(encoding="utf-8"))
                self._data.update(said if isinstance(said, dict) else {})
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:
                logger.warning("%s is not read: %s", self.config_file, error)
        return self._data

    def get_data_dir(self, override_dir: Any = None) -> Path:
        """`override_dir`, or that of the configuration."""
        return Path(override_dir if override_dir else self.config_data["data_dir"])

    def get_debug_mode(self) -> bool:
        """Whether debug mode is the default."""
        return bool(self.config_data["debug_mode"])

    def set_data_dir(self, data_dir: str) -> None:
        """Change the default directory, for later too."""
        self._set("data_dir", data_dir)

    def set_debug_mode(self, debug_mode: bool) -> None:
        """Change the default mode, for later too."""
        self._set("debug_mode", debug_mode)

    def _set(self, name: str, value: Any) -> None:
        self.config_data[name] = value
        self.config_dir.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(json.dumps(self.config_data, indent=2), encoding="utf-8")


config = BitcaskConfig()
