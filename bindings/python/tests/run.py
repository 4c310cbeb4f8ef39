# SPDX-License-Identifier: MIT
"""run.py SOURCE LIBRARY [EXTENSION [TEST...]]: the tests of the package, as it is with this library,
and with this extension or (none, or -) with ctypes alone."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def main():
    source, library = map(pathlib.Path, sys.argv[1:3])
    extension = sys.argv[3] if len(sys.argv) > 3 and sys.argv[3] != "-" else None
    chosen = sys.argv[4:]
    here = source / "bindings" / "python"
    with tempfile.TemporaryDirectory() as directory:
        stage = pathlib.Path(directory)
        for package in "bitcask", "pybitcask", "tests":
            shutil.copytree(here / package, stage / package,
                            ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.so.0"))
        if extension is not None:
            shutil.copy(extension, stage / "bitcask" / "_fast.abi3.so")
        environment = {**os.environ, "BITCASK_LIBRARY": str(library.resolve()),
                       "BITCASK_SOURCE": str(source.resolve()), "PYTHONPATH": directory,
                       "BITCASK_EXPECT": "extension" if extension else "ctypes"}
        environment.pop("BITCASK_PURE", None)
        names = chosen or ["discover", "-s", "tests", "-p", "*_test.py", "-t", "."]
        return subprocess.run([sys.executable, "-X", "dev", "-W", "error::ResourceWarning",
                               "-m", "unittest", *names], cwd=directory, env=environment,
                              check=False).returncode


sys.exit(main())
