# SPDX-License-Identifier: MIT
"""manual_test.py SOURCE BUILD BITCASK: the manual pages are well-formed and say all there is: every
command with its options and examples, every option of the store, every function of the header."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

SOURCE, PAGES, BITCASK = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "docs", sys.argv[3]


def rendered(page):
    """As it is read, without bold face, the words of broken lines joined."""
    if shutil.which("mandoc"):
        run = subprocess.run(["mandoc", "-Tascii", "-Owidth=1000", PAGES / page], check=True,
                             capture_output=True, text=True)
    else:
        run = subprocess.run(["man", "-l", PAGES / page], check=True, capture_output=True, text=True,
                             env={"MANWIDTH": "1000", "PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    return " ".join(re.sub(r".\x08", "", run.stdout).split())


def functions_of_header():
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/bitcask.h").read_text(encoding="utf-8"),
                  flags=re.S)
    return set(re.findall(r"^(?:BITCASK_(?:API|CHECKED)|static inline) [^;{]*?\b(bitcask_\w+)\(",
                          text, re.M))


class Lint(unittest.TestCase):
    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not there")
    def test_no_page_has_a_warning(self):
        pages = [p for p in PAGES.glob("*.[13]") if not p.read_text(encoding="utf-8").startswith(".so")]
        self.assertGreater(len(pages), 30)
        run = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], check=False,
                             capture_output=True, text=True)
        self.assertEqual((run.returncode, run.stdout), (0, ""))


class Command(unittest.TestCase):
    def setUp(self):
        run = subprocess.run([BITCASK, "--json", "help"], check=True, capture_output=True, text=True)
        self.rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.page = rendered("bitcask.1")

    def test_every_command_is_there_with_what_its_help_says(self):
        commands = [row for row in self.rows if "command" in row]
        self.assertGreater(len(commands), 20)
        for row in commands:
            for text in (row["usage"], row["summary"][1:], row["details"], *row["examples"].splitlines()):
                self.assertIn(" ".join(text.split()), self.page, row["command"])

    def test_every_option_is_there_with_what_its_help_says(self):
        options = [row for row in self.rows if "option" in row]
        self.assertGreater(len(options), 40)
        for row in options:
            name = ("--[no-]" if row["kind"] == "switch" else "--") + row["option"]
            value = " " + row["value"] if row["value"] else ""
            self.assertIn(f"{name}{value} {row['help']}.", self.page)

    def test_exit_codes_and_variables_are_there(self):
        for row in self.rows:
            if "exit" in row:
                self.assertIn(f"{row['exit']} {row['help']}.", self.page)
            if "variable" in row:
                self.assertIn(f"{row['variable']} {row['help']}.", self.page)


class Library(unittest.TestCase):
    def test_every_function_has_a_page_and_no_page_is_without_function(self):
        names = {path.stem for path in PAGES.glob("*.3")}
        self.assertEqual(names, functions_of_header() | {"bitcask"})

    def test_the_first_page_names_them_all(self):
        page = rendered("bitcask.3")
        for name in functions_of_header():
            self.assertIn(f"{name}(3)", page)

    def test_a_page_shows_prototype_text_and_types(self):
        page = rendered("bitcask_backup.3")
        for text in ("bitcask_backup(bitcask *db, const char *directory,", "Make `directory` a copy",
                     "typedef struct bitcask_backup_options {", "RETURN VALUES Returns OK; CANCELLED"):
            self.assertIn(text, page)


unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
