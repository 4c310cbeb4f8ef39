# SPDX-License-Identifier: MIT
"""examples_test.py SOURCE PROGRAM...: each example prints what its first comment says it does.

Each is run three times in an empty directory: without an argument, when it chooses the name of its
store; once more, with what the first run has left; and on a directory that cannot be made, when it
says why on the standard error and fails. Its source includes nothing of the project but bitcask.h."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, PROGRAMS = sys.argv[1], [os.path.abspath(program) for program in sys.argv[2:]]
TIMEOUT_S = 120


def source_of(program):
    name = os.path.basename(program).removeprefix("example-").replace("-", "_")
    with open(os.path.join(SOURCE, "examples", name + ".c"), encoding="utf-8") as file:
        return file.read()


def promised(source):
    """The lines below "Prints:" in the first comment."""
    comment = source[:source.index("*/")]
    lines = comment[comment.index(" * Prints:\n"):].splitlines()[1:]
    return [line.removeprefix(" *     ") for line in lines if line.startswith(" *     ")]


def run(program, directory, *arguments):
    return subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True,
                          timeout=TIMEOUT_S, check=False)


class Examples(unittest.TestCase):
    def test_every_source_is_built(self):
        sources = {name.removesuffix(".c").replace("_", "-")
                   for name in os.listdir(os.path.join(SOURCE, "examples")) if name.endswith(".c")}
        self.assertEqual(sources, {os.path.basename(p).removeprefix("example-") for p in PROGRAMS})

    def test_each_prints_what_it_says(self):
        for program in PROGRAMS:
            lines = promised(source_of(program))
            self.assertTrue(lines, program)
            with tempfile.TemporaryDirectory(prefix="bitcask-example-") as directory:
                for time in ("first", "second"):
                    with self.subTest(program=os.path.basename(program), time=time):
                        done = run(program, directory)
                        self.assertEqual(done.stderr, "")
                        self.assertEqual(done.stdout.splitlines(), lines)
                        self.assertEqual(done.returncode, 0)

    def test_each_says_what_went_wrong(self):
        for program in PROGRAMS:
            with self.subTest(program=os.path.basename(program)), \
                    tempfile.TemporaryDirectory(prefix="bitcask-example-") as directory:
                done = run(program, directory, "no/such/place")
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("no/such/place", done.stderr)
                self.assertEqual(done.stdout, "")

    def test_each_includes_the_public_header_only(self):
        for program in PROGRAMS:
            includes = re.findall(r'^#include (.*)$', source_of(program), re.M)
            self.assertIn("<bitcask.h>", includes, program)
            self.assertFalse([name for name in includes if name.startswith('"')], program)


unittest.main(argv=[sys.argv[0]])
