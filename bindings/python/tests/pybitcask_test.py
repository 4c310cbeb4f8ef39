# SPDX-License-Identifier: MIT
"""pybitcask: the interface and the behaviour of the package of that name."""

import inspect
import pathlib
import tempfile
import threading
import unittest

import bitcask
import pybitcask.bitcask
import pybitcask.config
import pybitcask.rotation
from pybitcask import (Bitcask, CompactionScheduler, CompositeRotation, EntryCountRotation,
                       RotationStrategy, SizeBasedRotation)

STATS = {"total_files", "total_size", "live_keys", "estimated_live_size", "estimated_dead_ratio"}


class Case(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name) / "data" / "base"

    def open(self, **options):
        db = Bitcask(str(self.directory), **options)
        self.addCleanup(db.close)
        return db


class Interface(unittest.TestCase):
    def test_signatures(self):
        def names(function):
            return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
        none = inspect.Parameter.empty
        self.assertEqual(names(Bitcask), [("directory", None), ("debug_mode", None),
                                          ("rotation_strategy", None)])
        self.assertEqual(names(Bitcask.put)[1:], [("key", none), ("value", none)])
        self.assertEqual(names(Bitcask.get)[1:], [("key", none)])
        self.assertEqual(names(Bitcask.delete)[1:], [("key", none)])
        self.assertEqual(names(Bitcask.batch_write)[1:], [("data", none)])
        self.assertEqual(names(Bitcask.should_compact)[1:], [("threshold_ratio", 0.3)])
        self.assertEqual(names(Bitcask.compact)[1:], [("threshold_ratio", 0.3), ("force", False)])
        self.assertEqual(names(Bitcask.start_auto_compaction)[1:],
                         [("interval_seconds", 300.0), ("threshold_ratio", 0.3),
                          ("on_compaction_complete", None)])
        self.assertEqual(names(Bitcask.stop_auto_compaction)[1:], [("timeout", None)])
        self.assertEqual(names(SizeBasedRotation), [("max_size_bytes", none)])
        self.assertEqual(names(EntryCountRotation), [("max_entries", none)])
        self.assertEqual(names(CompactionScheduler),
                         [("bitcask", none), ("interval_seconds", 300.0), ("threshold_ratio", 0.3),
                          ("on_compaction_complete", None)])

    def test_modules(self):
        self.assertIs(pybitcask.bitcask.Bitcask, Bitcask)
        self.assertIs(pybitcask.rotation.SizeBasedRotation, SizeBasedRotation)
        self.assertTrue(hasattr(pybitcask.config.config, "get_data_dir"))


class Values(Case):
    def test_what_json_can_hold(self):
        db = self.open()
        values = {"text": "wörld", "dict": {"nested": [1, {"a": None}]}, "number": 123, "real": 1.5,
                  "list": [1, 2, 3], "yes": True, "none": None, "empty": ""}
        for key, value in values.items():
            self.assertIsNone(db.put(key, value))
            self.assertEqual(db.get(key), value)
        db.close()
        db = self.open()
        for key, value in values.items():
            self.assertEqual(db.get(key), value)
        self.assertEqual(set(db.list_keys()), set(values))
        self.assertEqual(set(db.keys()), set(values))

    def test_overwriting(self):
        db = self.open()
        db.put("a", "1")
        db.put("a", {"b": 2})
        self.assertEqual(db.get("a"), {"b": 2})

    def test_missing_keys(self):
        db = self.open()
        self.assertIsNone(db.get("no"))
        self.assertIs(db.delete("no"), False)

    def test_deleting(self):
        db = self.open()
        db.put("a", "1")
        self.assertIs(db.delete("a"), True)
        self.assertIsNone(db.get("a"))
        self.assertIs(db.delete("a"), False)
        db.close()
        self.assertEqual(self.open().list_keys(), [])

    def test_what_json_cannot_hold_is_refused(self):
        db = self.open()
        db.put("a", 1)
        with self.assertRaises(TypeError):
            db.put("a", object())
        with self.assertRaises(TypeError):
            db.batch_write({"b": 2, "c": object()})
        self.assertEqual((db.get("a"), db.get("b")), (1, None))

    def test_keys_are_text(self):
        db = self.open()
        for call in (lambda: db.put(b"a", 1), lambda: db.get(5), lambda: db.delete(None)):
            with self.assertRaises(TypeError):
                call()
        db.put("ключ", 1)
        self.assertEqual(db.keys(), ["ключ"])

    def test_keys_of_others_that_are_no_text_are_found(self):
        self.directory.mkdir(parents=True)
        with bitcask.open(self.directory) as store:
            store[b"\xff\xfe"] = "1"
        db = self.open()
        (key,) = db.list_keys()
        self.assertEqual(db.get(key), 1)
        self.assertTrue(db.delete(key))

    def test_batches(self):
        db = self.open()
        self.assertIsNone(db.batch_write({"a": 1, "b": [2]}))
        self.assertEqual((db.get("a"), db.get("b")), (1, [2]))
        db.batch_write({})

    def test_clearing(self):
        db = self.open()
        db.batch_write({str(i): i for i in range(1000)})
        db.clear()
        self.assertEqual((db.list_keys(), db.get("5")), ([], None))
        self.assertEqual(db.get_compaction_stats()["estimated_live_size"], 0)
        db.put("a", 1)
        db.close()
        self.assertEqual(self.open().list_keys(), ["a"])

    def test_debug_mode_changes_nothing_that_can_be_seen(self):
        db = self.open(debug_mode=True)
        self.assertTrue(db.debug_mode)
        db.put("a", {"b": 1})
        db.close()
        self.assertEqual(self.open(debug_mode=False).get("a"), {"b": 1})

    def test_closing(self):
        db = self.open()
        db.close()
        db.close()
        for call in (lambda: db.put("a", 1), lambda: db.get("a"), db.list_keys, db.clear, db.compact):
            with self.assertRaises(bitcask.ClosedError):
                call()
        with Bitcask(self.directory) as db:
            db.put("a", 1)
        self.assertEqual(self.open().get("a"), 1)

    def test_threads(self):
        db = self.open()

        def work(number):
            for i in range(100):
                db.put(f"{number}-{i}", i)
                self.assertEqual(db.get(f"{number}-{i}"), i)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(db.keys()), 400)


class Rotation(Case):
    def test_by_entries(self):
        db = self.open(rotation_strategy=EntryCountRotation(max_entries=5))
        first = db.active_file_id
        for i in range(6):
            db.put(f"key{i}", i)
        self.assertGreater(db.active_file_id, first)
        self.assertTrue(db.active_file_path.exists())
        self.assertEqual(db.active_file_entry_count, 1)
        self.assertEqual([db.get(f"key{i}") for i in range(6)], list(range(6)))

    def test_by_entries_with_batches(self):
        db = self.open(rotation_strategy=EntryCountRotation(max_entries=3))
        first = db.active_file_id
        db.batch_write({f"key{i}": i for i in range(5)})
        db.put("more", 1)
        self.assertGreater(db.active_file_id, first)
        self.assertEqual(db.get("key4"), 4)

    def test_by_size(self):
        db = self.open(rotation_strategy=SizeBasedRotation(max_size_bytes=64 << 10))
        first = db.active_file_id
        for i in range(20):
            db.put(f"key{i}", "x" * 10000)
        self.assertGreater(db.active_file_id, first)
        self.assertEqual(db.get("key0"), "x" * 10000)

    def test_none_without_a_strategy(self):
        db = self.open()
        first = db.active_file_id
        for i in range(100):
            db.put(f"key{i}", "x" * 1000)
        self.assertEqual(db.active_file_id, first)
        self.assertEqual(db.get_compaction_stats()["total_files"], 1)

    def test_files_are_read_without_the_strategy(self):
        db = self.open(rotation_strategy=EntryCountRotation(3))
        db.batch_write({str(i): i for i in range(10)})
        db.close()
        db = self.open()
        self.assertEqual([db.get(str(i)) for i in range(10)], list(range(10)))

    def test_strategies_are_asked_as_they_were(self):
        size, count = SizeBasedRotation(100), EntryCountRotation(5)
        both = CompositeRotation([size, count])
        for strategy, files in ((size, [(99, 9, False), (100, 0, True)]),
                                (count, [(999, 4, False), (0, 5, True)]),
                                (both, [(99, 4, False), (100, 4, True), (99, 5, True)])):
            for file_size, entries, wanted in files:
                self.assertIs(strategy.should_rotate(file_size, entries, None), wanted)

    def test_what_the_store_makes_of_them(self):
        options = pybitcask.rotation.store_options
        self.assertEqual(options(SizeBasedRotation(100)), {"segment_size": 64 << 10})
        self.assertEqual(options(SizeBasedRotation(1 << 40)), {"segment_size": 4096 << 20})
        self.assertEqual(options(SizeBasedRotation(1 << 20)), {"segment_size": 1 << 20})
        self.assertEqual(options(EntryCountRotation(7)), {"segment_max_records": 7})
        self.assertEqual(options(CompositeRotation([EntryCountRotation(7), EntryCountRotation(5),
                                                    SizeBasedRotation(1 << 20)])),
                         {"segment_max_records": 5, "segment_size": 1 << 20})

        class Own(RotationStrategy):
            def should_rotate(self, file_size, entry_count, last_write_time):
                return True
        self.assertEqual(options(Own()), {})
        self.assertEqual(options(None), {})
        self.open(rotation_strategy=Own()).put("a", 1)


class Compaction(Case):
    def fill(self, db, rounds=3):
        for _ in range(rounds):
            db.batch_write({f"key{i}": "x" * 1000 for i in range(1000)})

    def test_figures(self):
        db = self.open()
        stats = db.get_compaction_stats()
        self.assertEqual(set(stats), STATS)
        self.assertEqual((stats["live_keys"], stats["estimated_dead_ratio"]), (0, 0))
        self.fill(db)
        stats = db.get_compaction_stats()
        self.assertEqual(stats["live_keys"], 1000)
        self.assertGreater(stats["total_size"], 3000000)
        self.assertAlmostEqual(stats["estimated_dead_ratio"], 2 / 3, delta=0.02)
        self.assertAlmostEqual(stats["estimated_live_size"], 1036000, delta=10000)

    def test_little_is_not_worth_it(self):
        db = self.open()
        self.assertFalse(db.should_compact())
        for _ in range(5):
            db.put("a", 1)
        self.assertFalse(db.should_compact(0.0))
        said = db.compact()
        self.assertEqual((said["performed"], said["reason"]), (False, "threshold_not_met"))
        self.assertEqual(set(said["initial_stats"]), STATS)

    def test_several_files_are_worth_it(self):
        db = self.open(rotation_strategy=SizeBasedRotation(1 << 20))
        self.fill(db)
        self.assertTrue(db.should_compact())
        self.assertFalse(db.should_compact(0.9))
        self.assertFalse(db.compact(threshold_ratio=0.9)["performed"])
        before = db.get_compaction_stats()
        said = db.compact()
        self.assertTrue(said["performed"])
        self.assertEqual(said["initial_stats"], before)
        self.assertEqual(said["records_written"], 1000)
        self.assertGreater(said["bytes_written"], 1000000)
        self.assertEqual(said["files_removed"], len(said["removed_files"]))
        self.assertGreater(said["files_removed"], 0)
        self.assertFalse(any(pathlib.Path(name).exists() for name in said["removed_files"]))
        self.assertEqual(said["space_saved_bytes"],
                         before["total_size"] - said["final_stats"]["total_size"])
        self.assertGreater(said["space_saved_ratio"], 0.5)
        self.assertGreaterEqual(said["duration_seconds"], 0)
        self.assertEqual(said["final_stats"]["estimated_dead_ratio"], 0)
        self.assertEqual(db.get("key7"), "x" * 1000)

    def test_by_force(self):
        db = self.open()
        db.put("a", 1)
        db.put("a", 2)
        self.assertTrue(db.compact(force=True)["performed"])
        self.assertEqual(db.get("a"), 2)

    def test_what_fails_is_a_runtime_error(self):
        db = self.open()
        db.put("a", 1)

        def merge(**_):
            raise bitcask.NoSpaceError(bitcask.Status.NO_SPACE, "it needs more room")
        db._store.merge = merge
        with self.assertRaisesRegex(RuntimeError, "Compaction failed: it needs more room"):
            db.compact(force=True)
        self.assertEqual(db.get("a"), 1)


class AutoCompaction(Case):
    def test_starting_and_stopping(self):
        db = self.open()
        self.assertFalse(db.auto_compaction_running)
        scheduler = db.start_auto_compaction(interval_seconds=60.0)
        self.assertIsInstance(scheduler, CompactionScheduler)
        self.assertTrue(db.auto_compaction_running)
        self.assertIs(db.start_auto_compaction(interval_seconds=5), scheduler)
        self.assertIs(db.stop_auto_compaction(timeout=None), True)
        self.assertFalse(db.auto_compaction_running)
        self.assertIs(db.stop_auto_compaction(), True)
        db.start_auto_compaction()
        self.assertTrue(db.auto_compaction_running)
        db.close()
        self.assertFalse(db.auto_compaction_running)

    def test_it_compacts_and_tells(self):
        db = self.open(rotation_strategy=SizeBasedRotation(1 << 20))
        for _ in range(3):
            db.batch_write({f"key{i}": "x" * 1000 for i in range(1000)})
        told, results = threading.Event(), []

        def complete(result):
            results.append((result, threading.current_thread().daemon))
            told.set()
        db.start_auto_compaction(interval_seconds=0.01, on_compaction_complete=complete)
        self.assertTrue(told.wait(120))
        db.stop_auto_compaction()
        self.assertEqual(len(results), 1)
        self.assertTrue(results[0][0]["performed"] and results[0][1])
        self.assertEqual(db.get("key7"), "x" * 1000)

    def test_a_callback_that_fails_does_not_stop_it(self):
        db = self.open()
        db.put("a", 1)
        scheduler = db.start_auto_compaction(
            on_compaction_complete=lambda result: 1 / 0)
        with self.assertLogs("pybitcask.scheduler", "ERROR"):
            self.assertTrue(scheduler.trigger_compaction(force=True)["performed"])
        self.assertTrue(db.auto_compaction_running)
        self.assertIsNone(scheduler.trigger_compaction())

    def test_its_properties(self):
        scheduler = self.open().start_auto_compaction(10.0, 0.5)
        self.assertEqual((scheduler.interval_seconds, scheduler.threshold_ratio), (10.0, 0.5))
        scheduler.interval_seconds, scheduler.threshold_ratio = 20.0, 0.7
        self.assertEqual((scheduler.interval_seconds, scheduler.threshold_ratio), (20.0, 0.7))
        for bad in 0, -1:
            with self.assertRaises(ValueError):
                scheduler.interval_seconds = bad
        for bad in -0.1, 1.1:
            with self.assertRaises(ValueError):
                scheduler.threshold_ratio = bad

    def test_closing_from_its_callback(self):
        db = self.open()
        db.put("a", 1)
        closed = threading.Event()

        def complete(_):
            db.close()
            closed.set()
        scheduler = CompactionScheduler(db, 0.01, 0.0, complete)
        db._scheduler = scheduler
        db.should_compact = lambda _: True
        db.compact = lambda **_: Bitcask.compact(db, force=True)
        scheduler.start()
        self.assertTrue(closed.wait(120))
        scheduler.stop()


class OriginalFiles(Case):
    def test_they_are_not_taken_for_an_empty_store(self):
        self.directory.mkdir(parents=True)
        (self.directory / "data_1.db").write_bytes(b"\x02")
        with self.assertRaisesRegex(bitcask.FormatError, "data_1.db.*import --format pybitcask"):
            Bitcask(str(self.directory))
        self.assertEqual([path.name for path in self.directory.iterdir()], ["data_1.db"])

    def test_beside_a_store_they_are_told_of(self):
        self.open().close()
        (self.directory / "data_12.db").write_bytes(b"\x02")
        with self.assertLogs("pybitcask.bitcask", "WARNING"):
            self.open().put("a", 1)


class Configuration(unittest.TestCase):
    def test_it_is_read_and_written(self):
        class Own(pybitcask.config.BitcaskConfig):
            home = None

            @property
            def config_dir(self):
                return pathlib.Path(self.home) / "deep"
        with tempfile.TemporaryDirectory() as Own.home:
            self.assertEqual(Own().get_data_dir(), pathlib.Path("/var/lib/pybitcask"))
            self.assertEqual(Own().get_data_dir("x"), pathlib.Path("x"))
            Own().set_debug_mode(True)
            Own().set_data_dir("/elsewhere")
            self.assertTrue(Own().get_debug_mode())
            self.assertEqual(Own().get_data_dir(), pathlib.Path("/elsewhere"))
            (pathlib.Path(Own.home) / "deep" / "config.json").write_text("{", encoding="utf-8")
            with self.assertLogs("pybitcask.config", "WARNING"):
                self.assertFalse(Own().get_debug_mode())


if __name__ == "__main__":
    unittest.main()
