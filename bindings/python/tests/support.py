# SPDX-License-Identifier: MIT
"""What the tests share."""

import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

import bitcask

SOURCE = pathlib.Path(os.environ["BITCASK_SOURCE"])


class StoreCase(unittest.TestCase):
    """A test with a directory of its own, and a store in it once open() is called."""

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)
        self.path = self.directory / "store"

    def open(self, **options):
        options.setdefault("sync", "none")
        store = bitcask.open(self.path, **options)
        self.addCleanup(store.close)
        return store

    def reopened(self, store, **options):
        store.close()
        return self.open(**options)

    def run_python(self, text, *arguments, status=0):
        """What a program prints, in another interpreter."""
        said = subprocess.run([sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(said.returncode, status, said.stderr)
        return said.stdout
