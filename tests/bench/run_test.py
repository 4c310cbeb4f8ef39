#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run_test.py RUN WORKER: the benchmark in small, from outside: what it measures, says and cleans up.

No figure is judged but those that do not depend on time."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUN, WORKER = sys.argv[1], sys.argv.pop()
sys.argv.pop()
ENGINES = "empty,bare,bitcask,bitcask-unverified"
sys.path.insert(0, str(pathlib.Path(RUN).parent))
sys.dont_write_bytecode = True
import peers  # noqa: E402
import report  # noqa: E402


def run(*words):
    return subprocess.run([sys.executable, RUN, WORKER, *words], capture_output=True, text=True, check=False)


class Directory(unittest.TestCase):
    def setUp(self):
        self.kept = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.kept.name)
        self.addCleanup(self.kept.cleanup)

    def lines(self):
        text = (self.out / "results.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


class Run(Directory):
    def test_measures_all_parts_and_leaves_no_store(self):
        done = run(str(self.out), "--engines", ENGINES, "--keys", "2000", "--growth", "1k,2k", "--runs", "1",
                   "--rate", "20000", "--operations", "5000", "--only", "kv,threads,latency,reopen,memory,disk,cold,merge,growth")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("not as expected", done.stderr)
        lines = self.lines()
        self.assertEqual({line["part"] for line in lines},
                         {"machine", "kv", "threads", "latency", "reopen", "memory", "disk", "cold", "merge", "growth"})
        ours = {line["workload"] for line in lines if line["part"] == "kv" and line["engine"] == "bitcask"}
        self.assertLessEqual({"fill", "fill-seq", "batch-1000", "read", "view", "missing", "scan", "delete"}, ours)
        self.assertTrue(all(line.get("unexpected", 0) == 0 for line in lines if line.get("engine") == "bitcask"))
        self.assertEqual([path for path in self.out.iterdir() if path.is_dir()], [])
        self.assertIn("reopen after kill -9", done.stdout)

    def test_disk_is_counted_after_the_merge(self):
        run(str(self.out), "--engines", "bitcask", "--keys", "5000", "--runs", "1", "--operations", "5000", "--only", "disk")
        space = [line for line in self.lines() if line.get("workload") == "space"][0]
        record = space["data_bytes"] / 5000
        self.assertGreaterEqual(record, 136)  # 20 of header, 16 of key, 100 of value
        self.assertLess(record, 140)

    def test_refuses_parts_and_engines_that_there_are_not(self):
        for words in (["--only", "nonsense"], ["--engines", "empty,nonsense"]):
            done = run(str(self.out), *words)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("nonsense", done.stderr)


class Worker(Directory):
    def test_what_was_filled_is_there_after_a_kill(self):
        worker = peers.Worker(WORKER, "bitcask", self.out / "store", keys=3000)
        self.addCleanup(worker.remove)
        worker.tell("open")
        worker.tell("run fill")
        worker.begin_anew()
        worker.tell("open")
        self.assertEqual(worker.tell("run read operations=5000")["unexpected"], 0)

    def test_a_time_limit_cuts_a_run(self):
        worker = peers.Worker(WORKER, "empty", self.out / "store", keys=3000)
        self.addCleanup(worker.remove)
        worker.tell("open")
        self.assertTrue(worker.tell("run read operations=1000000000000 seconds=1")["cut"])

    def test_what_is_not_known_is_an_error(self):
        worker = peers.Worker(WORKER, "empty", self.out / "store")
        self.addCleanup(worker.remove)
        for line in ("run read", "run nonsense", "nonsense"):
            with self.assertRaises(peers.Failed):
                worker.tell(line)
        worker.tell("open")
        with self.assertRaises(peers.Failed):
            worker.tell("run nonsense")
        self.assertEqual(worker.tell("rest seconds=0.01"), {"rested_seconds": 0.01})


def step(engine, run_number, ns, workload="fill", **facts):
    return {"part": "kv", "workload": workload, "engine": engine, "run": run_number, "keys": 1_000_000, "value": 100,
            "ns": ns, "processor_ns": ns, "cut": False} | facts


class Report(unittest.TestCase):
    def row(self, lines, name="fill random, 1 M"):
        rows = report.goals(report.Results(lines, "wall")).splitlines()
        return next((row for row in rows if row.startswith(f"| {name} |")), None)

    def test_ratio_is_net_of_the_benchmark_itself(self):
        row = self.row([step("empty", 0, 50), step("bitcask", 0, 150), step("kyoto", 0, 350)])
        self.assertIn("3.00 (3.00-3.00)", row)
        self.assertIn("goal", row)

    def test_the_best_peer_is_the_one_with_the_best_median(self):
        lines = [step("bitcask", run, 100) for run in range(3)]
        lines += [step("kyoto", run, ns) for run, ns in enumerate((100, 300, 300))]
        lines += [step("tkrzw", run, 190) for run in range(3)]
        row = self.row(lines)
        self.assertIn("tkrzw", row)
        self.assertIn("1.90 (1.90-1.90)", row)
        self.assertIn("floor", row)

    def test_ratios_are_made_within_a_run(self):
        lines = [step("bitcask", 0, 100), step("bitcask", 1, 200), step("kyoto", 0, 100), step("kyoto", 1, 200)]
        row = self.row(lines)
        self.assertIn("1.00 (1.00-1.00)", row)
        self.assertIn("below", row)

    def test_a_read_behind_a_rest_is_a_row_without_a_floor(self):
        lines = [step(engine, 0, ns, workload=workload, part="large", keys=5000, value=100_000)
                 for workload in ("read", "read-settled") for engine, ns in (("bitcask", 10_000), ("lmdb", 9_000))]
        self.assertIn("below", self.row(lines, "values of 100 KB, read"))
        row = self.row(lines, "values of 100 KB, read, three seconds later")
        self.assertIn("0.90 (0.90-0.90)", row)
        self.assertNotIn("below", row)

    def test_a_fill_that_was_cut_does_not_count(self):
        self.assertIsNone(self.row([step("bitcask", 0, 100), step("sqlite", 0, 50, cut=True)]))


if __name__ == "__main__":
    unittest.main()
