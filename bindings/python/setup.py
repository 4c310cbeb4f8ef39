# SPDX-License-Identifier: MIT
"""The two parts of the package that are not Python: the library, and the extension.

libbitcask.so is copied into the package from BITCASK_LIBRARY, or from ../../build, or is built from
the source tree with meson; without any of these the one that the system has is used. The extension
needs a compiler, Python 3.11 or later with its headers, and bitcask.h; where it cannot be built, the
package works with ctypes alone."""

import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent  # the source tree, if this is one
NAME = "libbitcask.so.0"


def in_tree():
    return (TREE / "include" / "bitcask.h").is_file() and (TREE / "meson.build").is_file()


def built_library(scratch):
    """The path of a library to take along, or None."""
    named = os.environ.get("BITCASK_LIBRARY")
    if named:
        return pathlib.Path(named)
    if not in_tree():
        return None
    ready = TREE / "build" / "libbitcask.so"
    if ready.exists():
        return ready
    if not (shutil.which("meson") and shutil.which("ninja")):
        print(f"bitcask: {ready} is not there ('make' builds it), and neither is meson to build one: "
              "the package will need a libbitcask.so of the system")
        return None
    where = scratch.resolve() / "libbitcask"
    subprocess.run(["meson", "setup", str(where), str(TREE), "--buildtype=release", "-Dtests=false"],
                   check=True)
    subprocess.run(["ninja", "-C", str(where), "libbitcask.so.0.1.0"], check=True)
    return where / "libbitcask.so.0.1.0"


class BuildWithLibrary(build_py):
    """build_py, and the library."""

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return  # found in the source tree
        library = built_library(pathlib.Path(self.get_finalized_command("build").build_temp))
        if library is not None:
            shutil.copyfile(library, pathlib.Path(self.build_lib) / "bitcask" / NAME)


def include_directories():
    if in_tree():
        return [str(TREE / "include")]
    said = subprocess.run(["pkg-config", "--cflags-only-I", "bitcask"], check=False,
                          stdout=subprocess.PIPE, text=True) if shutil.which("pkg-config") else None
    return [flag[2:] for flag in said.stdout.split()] if said is not None else []


extensions = []
if sys.version_info >= (3, 11):
    extensions.append(Extension("bitcask._fast", ["bitcask/_fast.c", "bitcask/_fast_many.c"],
                                depends=["bitcask/_fast.h"], optional=True,
                                include_dirs=include_directories(), py_limited_api=True,
                                extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden"]))

setup(ext_modules=extensions, cmdclass={"build_py": BuildWithLibrary},
      options={"bdist_wheel": {"py_limited_api": "cp311"}} if extensions else {})
