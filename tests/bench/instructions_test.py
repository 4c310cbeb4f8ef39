#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""instructions_test.py SCRIPT PROGRAM: the budget of instructions: what is judged, and what is written. Counting
itself is in scripts/check; here every operation is run once, without callgrind."""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
del sys.argv[1:]
sys.path.insert(0, str(SCRIPT.parent))
sys.dont_write_bytecode = True
import instructions  # noqa: E402


def judged(counted, budget):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        above = instructions.judge(counted, budget)
    return above, said.getvalue()


class Judging(unittest.TestCase):
    def test_three_per_cent_more_are_let_pass_and_four_are_not(self):
        self.assertEqual(judged({"get": 102.9}, {"get": 100})[0], [])
        self.assertEqual(judged({"get": 104}, {"get": 100})[0], ["get"])

    def test_an_operation_without_a_budget_is_above_it(self):
        self.assertEqual(judged({"get": 1}, {})[0], ["get"])

    def test_a_gain_is_told_and_let_pass(self):
        above, said = judged({"get": 90}, {"get": 100})
        self.assertEqual(above, [])
        self.assertIn("UPDATE=1", said)


class Budget(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = pathlib.Path(directory.name) / "budget.txt"

    def test_what_is_written_is_read(self):
        instructions.write_budget(self.path, {"get": 678.25, "recovery": 481.0}, "gcc 12, avx2")
        self.assertEqual(instructions.read_budget(self.path), ({"get": 678.2, "recovery": 481.0}, "gcc 12, avx2"))

    def test_an_update_keeps_the_remarks(self):
        self.path.write_text("# Remark.\n# counted with: gcc 11\nget 5\n", encoding="ascii")
        instructions.write_budget(self.path, {"get": 6}, "gcc 12")
        text = self.path.read_text(encoding="ascii")
        self.assertTrue(text.startswith("# Remark.\n# counted with: gcc 12\n"))
        self.assertEqual(text.count("counted with"), 1)

    def test_the_budget_of_the_project_names_every_operation(self):
        budget, made = instructions.read_budget(SCRIPT.parent / "budget.txt")
        self.assertEqual(set(budget), {*instructions.ON_EMPTY, *instructions.ON_FULL, "recovery"})
        self.assertRegex(made, r"^(gcc|clang) \d+, ")


class Program(unittest.TestCase):
    def test_every_operation_does_what_it_expects(self):
        for name in instructions.ON_EMPTY + instructions.ON_FULL + ["nothing", "open"]:
            with tempfile.TemporaryDirectory() as store:
                if name not in instructions.ON_EMPTY:
                    subprocess.run([PROGRAM, "make", store, "2000"], check=True)
                subprocess.run([PROGRAM, name, store, "2000"], check=True)

    def test_gets_of_an_empty_store_are_an_error(self):
        with tempfile.TemporaryDirectory() as store:
            done = subprocess.run([PROGRAM, "get", store, "10"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("get", done.stderr)


if __name__ == "__main__":
    unittest.main()
