# SPDX-License-Identifier: MIT
"""bitcask/_abi.py says the same as bitcask.h."""

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import bitcask
from bitcask import _abi, errors

from .support import SOURCE

HEADER = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/bitcask.h").read_text(), flags=re.S)
COMPILER = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")


def layout_of_header():
    """{struct: size} and {(struct, member): (offset, size)}, as the compiler has them."""
    lines = []
    for name, struct in _abi.STRUCTS.items():
        lines.append(f'printf("{name} - %zu 0\\n", sizeof({name}));')
        for field in struct._fields_:
            lines.append(f'printf("{name} {field[0]} %zu %zu\\n", offsetof({name}, {field[0]}),'
                         f' sizeof((({name} *)0)->{field[0]}));')
    with tempfile.TemporaryDirectory() as directory:
        with open(f"{directory}/layout.c", "w", encoding="utf-8") as out:
            out.write("#include <stdio.h>\n#include <bitcask.h>\nint main(void)\n{\n" +
                      "\n".join(lines) + "\nreturn 0;\n}\n")
        subprocess.run([COMPILER, "-I", SOURCE / "include", "-o", f"{directory}/layout",
                        f"{directory}/layout.c"], check=True)
        said = subprocess.run([f"{directory}/layout"], check=True, stdout=subprocess.PIPE, text=True)
    sizes, members = {}, {}
    for line in said.stdout.splitlines():
        name, member, first, second = line.split()
        if member == "-":
            sizes[name] = int(first)
        else:
            members[name, member] = int(first), int(second)
    return sizes, members


class Layout(unittest.TestCase):
    @unittest.skipIf(COMPILER is None, "no compiler")
    def test_structs_are_those_of_the_header(self):
        sizes, members = layout_of_header()
        self.assertGreater(len(members), 50)
        for name, struct in _abi.STRUCTS.items():
            may_grow = struct._fields_[0][0] == "struct_size" or name == "bitcask_segment_info"
            size = ctypes.sizeof(struct)
            if may_grow:
                self.assertLessEqual(size, sizes[name], name)
            else:
                self.assertEqual(size, sizes[name], name)
            for field, *_ in struct._fields_:
                here = getattr(struct, field)
                self.assertEqual((here.offset, here.size), members[name, field], f"{name}.{field}")

    def test_options_have_room(self):
        storage = ctypes.create_string_buffer(_abi.OPTIONS_SIZE)
        _abi.lib.bitcask_options_init_sized(storage, _abi.OPTIONS_SIZE)
        self.assertEqual(storage.raw[-1024:], bytes(1024))

    def test_signatures_have_as_many_parameters_as_the_header(self):
        for name, (_, arguments) in _abi.SIGNATURES.items():
            found = re.search(rf"\b{name}\(([^)]*)\);", HEADER)
            self.assertIsNotNone(found, name)
            text = found.group(1).strip()
            self.assertEqual(0 if text == "void" else text.count(",") + 1, len(arguments), name)


class Constants(unittest.TestCase):
    def test_statuses_are_those_of_the_header(self):
        found = {name: int(value) for name, value in re.findall(r"X\((\w+), (-?\d+), ", HEADER)}
        self.assertGreater(len(found), 15)
        for status in errors.Status:
            self.assertEqual(found[status.name], status.value)
        for name, value in found.items():  # the library's own word
            self.assertEqual(_abi.lib.bitcask_status_name(value).decode(), name)

    def test_every_error_has_an_exception(self):
        wanted = {status for status in errors.Status if status < 0} | {errors.Status.CANCELLED}
        self.assertEqual(set(errors.ERRORS), wanted)

    def test_an_error_of_a_newer_library_is_a_bitcask_error(self):
        with self.assertRaisesRegex(bitcask.BitcaskError, "what it says") as caught:
            errors.raise_status(-99, 0, 0, 0, "what it says")
        self.assertEqual(caught.exception.status, -99)

    def test_flags_modes_and_states_are_those_of_the_header(self):
        def value(name):
            return int(re.search(rf"\b{name}\s*=\s*(\d+)", HEADER).group(1))
        for name in "IF_ABSENT", "IF_VERSION", "IF_PRESENT", "KEEP_TTL", "KEYS", "VALUES":
            self.assertEqual(getattr(_abi, name), value(f"BITCASK_{name}"), name)
        for name, number in _abi.SYNC.items():
            self.assertEqual(number, value(f"BITCASK_SYNC_{name.upper()}"), name)
        for number, name in enumerate(_abi.SEGMENT_STATES):
            self.assertEqual(number, value(f"BITCASK_SEGMENT_{name.upper()}"), name)

    def test_versions_agree(self):
        self.assertEqual(bitcask.library_version(), bitcask.__version__)
        project = (SOURCE / "bindings/python/pyproject.toml").read_text()
        self.assertIn(f'version = "{bitcask.__version__}"', project)

    def test_it_is_the_extension_or_ctypes_that_is_tested(self):
        self.assertEqual(bitcask.EXTENSION, os.environ["BITCASK_EXPECT"] == "extension")


class Finding(unittest.TestCase):
    def test_a_library_that_is_not_there_is_told(self):
        from bitcask import _library
        wanted = os.environ["BITCASK_LIBRARY"]
        self.addCleanup(os.environ.__setitem__, "BITCASK_LIBRARY", wanted)
        os.environ["BITCASK_LIBRARY"] = "/nowhere/libbitcask.so"
        with self.assertRaisesRegex(ImportError, "/nowhere/libbitcask.so.*BITCASK_LIBRARY"
                                    .replace(".*", "(?s:.*)")):
            _library.load()
