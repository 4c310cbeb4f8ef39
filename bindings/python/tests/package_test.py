# SPDX-License-Identifier: MIT
"""pip makes a package of the folder that works on its own, without network."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from .support import SOURCE

TOOLS = ("pip", "setuptools", "wheel")
PROGRAM = """
import bitcask, pybitcask, pathlib, sys
here = pathlib.Path(bitcask.__file__).parent
assert str(here).startswith(sys.argv[1]), here
assert (here / "libbitcask.so.0").exists() and (here / "py.typed").exists()
with pybitcask.Bitcask(sys.argv[2]) as db:
    db.put("city", "Utrecht")
    print(db.get("city"), bitcask.EXTENSION)
"""


class Package(unittest.TestCase):
    @unittest.skipUnless(all(importlib.util.find_spec(tool) for tool in TOOLS),
                         f"one of {TOOLS} is not there")
    def test_it_is_installed_from_the_folder(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            shutil.copytree(SOURCE / "bindings", directory / "bindings",
                            ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
            shutil.copytree(SOURCE / "include", directory / "include")
            shutil.copy(SOURCE / "meson.build", directory)  # else it is no source tree
            made = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-index",
                 "--no-deps", "--disable-pip-version-check", "--target", directory / "site",
                 directory / "bindings" / "python"], stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(made.returncode, 0, made.stdout)
            environment = {key: value for key, value in os.environ.items()
                           if not key.startswith("BITCASK_") and key != "PYTHONPATH"}
            said = subprocess.run(
                [sys.executable, "-c", PROGRAM, directory / "site", directory / "data"],
                env={**environment, "PYTHONPATH": str(directory / "site")}, cwd=directory,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertIn(said.stdout, ("Utrecht True\n", "Utrecht False\n"))


if __name__ == "__main__":
    unittest.main()
