# SPDX-License-Identifier: MIT
"""experiments_test.py SOURCE BUILD: the experiments run in small, and the committed page is theirs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
RUN = os.path.join(SOURCE, "scripts/experiments/run")
NAMES = {"memory", "key_length", "opening_keys", "opening_segments", "scan_large", "footprint", "syncing"}


def rows(directory):
    with open(os.path.join(directory, "experiments/results.jsonl"), encoding="ascii") as file:
        return [json.loads(line) for line in file]


class Experiments(unittest.TestCase):
    def test_all_run_in_small_and_make_the_page(self):
        with tempfile.TemporaryDirectory(prefix="bitcask-experiments-") as scratch:
            docs = os.path.join(scratch, "docs")
            subprocess.run([RUN, BUILD, os.path.join(scratch, "work"), docs, "--scale", "0.0005"], check=True,
                           stderr=subprocess.DEVNULL)
            self.assertFalse(os.path.exists(os.path.join(scratch, "work")), "the stores are removed")
            found = rows(docs)
            self.assertEqual({row["experiment"] for row in found}, NAMES | {"machine"})
            for row in found:
                for name, value in row.items():
                    if isinstance(value, float) and name != "index_mib":
                        self.assertGreater(value, 0, row)
            with open(os.path.join(docs, "EXPERIMENTS.md"), encoding="utf-8") as page:
                text = page.read()
            self.assertEqual(text.count("\n## "), len(NAMES))
            if shutil.which("gnuplot"):
                self.assertEqual(text.count("!["), len(NAMES) - 1, "all have a plot but scan_large")

    def test_the_committed_page_has_the_committed_results(self):
        docs = os.path.join(SOURCE, "docs")
        found = rows(docs)
        self.assertEqual({row["experiment"] for row in found}, NAMES | {"machine"})
        with open(os.path.join(docs, "EXPERIMENTS.md"), encoding="utf-8") as page:
            text = page.read()
        for row in found:
            if row["experiment"] in ("memory", "opening_keys"):
                self.assertIn(f"| {row['keys']:,} |", text)
        for name in NAMES - {"scan_large"}:
            for ending in ("svg", "png"):
                self.assertTrue(os.path.exists(f"{docs}/experiments/{name}.{ending}"), f"{name}.{ending}")


unittest.main(argv=[sys.argv[0]])
