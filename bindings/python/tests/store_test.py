# SPDX-License-Identifier: MIT
"""Stores, one thread: what is stored is there, what is not is told, what is wrong is an exception."""

import datetime
import gc
import json
import pathlib
import pickle
import time
import unittest
import weakref
from unittest import mock

import bitcask

from .support import StoreCase

NOT_UTF8 = b"\xff\x00\xfe key"


class Values(StoreCase):
    def test_a_value_is_there(self):
        store = self.open()
        store["city"] = b"Utrecht"
        self.assertEqual(store["city"], b"Utrecht")
        self.assertEqual(store[b"city"], b"Utrecht")
        self.assertEqual(store.get("city"), b"Utrecht")
        self.assertIn("city", store)
        self.assertEqual(self.reopened(store)["city"], b"Utrecht")

    def test_what_is_not_there_is_told(self):
        store = self.open()
        self.assertIsNone(store.get("no"))
        self.assertEqual(store.get("no", 7), 7)
        self.assertEqual(store.get("no", default=b"x"), b"x")
        self.assertNotIn("no", store)
        self.assertFalse(store.delete("no"))
        self.assertIsNone(store.meta("no"))
        self.assertIsNone(store.get_item("no"))
        with self.assertRaises(KeyError) as caught:
            store["no"]  # pylint: disable=pointless-statement
        self.assertEqual(caught.exception.args, ("no",))
        with self.assertRaises(KeyError):
            del store["no"]
        with self.assertRaises(KeyError):
            store.ttl("no")

    def test_deletes(self):
        store = self.open()
        store["a"] = store["b"] = "1"
        self.assertTrue(store.delete("a"))
        del store["b"]
        self.assertEqual(list(store), [])
        self.assertEqual(list(self.reopened(store)), [])

    def test_any_bytes_are_keys_and_values(self):
        store = self.open()
        every = bytes(range(256))
        for key in NOT_UTF8, every, b"k" * 65535, "schlüssel".encode(), b"\0":
            store[key] = key
            self.assertEqual(store[key], key)
        store["leer"] = b""
        self.assertEqual(store["leer"], b"")
        self.assertEqual(dict(store.items())["schlüssel".encode()], "schlüssel".encode())

    def test_text_is_utf8_and_comes_back_as_bytes(self):
        store = self.open()
        store["ключ"] = "значение"
        self.assertEqual(store["ключ".encode()], "значение".encode())
        with self.assertRaises(UnicodeEncodeError):
            store["\ud800"] = b""

    def test_buffers_are_taken_as_they_are(self):
        store = self.open()
        store[bytearray(b"k")] = memoryview(bytearray(b"xyzxyz"))[::3]
        self.assertEqual(store[memoryview(b"k")], b"xx")

    def test_other_types_are_refused(self):
        store = self.open()
        for bad in 1, None, 1.5, ["a"], object():
            for call in (lambda: store.put(bad, b""), lambda: store.put(b"k", bad),
                         lambda: store.get(bad), lambda: store[bad], lambda: bad in store,
                         lambda: store.delete(bad), lambda: store.put("k", bad, ttl=5),
                         lambda: store.put_if_absent(bad, b""), lambda: store.get_many([bad]),
                         lambda: store.batch().put("k", bad), lambda: store.keys(bad)):
                with self.assertRaisesRegex(TypeError, "bytes or str, not|is not|None|object"):
                    call()
        for call in (lambda: store.put(), lambda: store.put("a"), lambda: store.put("a", "b", "c"),
                     lambda: store.put("a", "b", nonsense=1), lambda: store.get(),
                     lambda: store.get("a", 1, 2), lambda: store.get("a", nonsense=2)):
            with self.assertRaises(TypeError):
                call()
        self.assertEqual(list(store), [])

    def test_keys_of_wrong_size_are_refused(self):
        store = self.open()
        for key in b"", b"k" * 65536:
            for call in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: key in store,
                         lambda: store.delete(key), lambda: store.get_many([key])):
                with self.assertRaises(bitcask.InvalidError) as caught:
                    call()
                self.assertIsInstance(caught.exception, ValueError)
                self.assertEqual(caught.exception.status, bitcask.Status.INVALID)

    def test_a_huge_value(self):
        store = self.open()
        value = bytes(range(256)) * (32 << 12)  # 32 MiB
        store["huge"] = value
        self.assertEqual(store["huge"], value)
        self.assertEqual(store.meta("huge").size, len(value))
        self.assertEqual(self.reopened(store)["huge"], value)

    def test_a_value_beyond_the_limit_is_refused(self):
        store = self.open()
        with self.assertRaises(bitcask.InvalidError):
            store.put("k", bytes((1 << 30) + 1))

    def test_versions_rise(self):
        store = self.open()
        first = store.put("a", b"1")
        second = store.put("b", b"1")
        self.assertLess(first, second)
        self.assertEqual(store.meta("b").version, second)
        self.assertEqual(store.get_item("a"), (b"1", first, None))


class Conditions(StoreCase):
    def test_if_absent(self):
        store = self.open()
        self.assertTrue(store.put_if_absent("a", b"1"))
        self.assertIsNone(store.put_if_absent("a", b"2"))
        self.assertEqual(store["a"], b"1")

    def test_if_present(self):
        store = self.open()
        self.assertIsNone(store.put_if_present("a", b"1"))
        store["a"] = b"1"
        self.assertTrue(store.put_if_present("a", b"2"))
        self.assertEqual(store["a"], b"2")

    def test_if_version(self):
        store = self.open()
        version = store.put("a", b"1")
        self.assertIsNone(store.put_if_version("a", b"2", version + 1))
        self.assertIsNone(store.put_if_version("b", b"2", version))
        self.assertGreater(store.put_if_version("a", b"2", version), version)
        self.assertIsNone(store.put_if_version("a", b"3", version))
        self.assertFalse(store.delete("a", if_version=version))
        self.assertTrue(store.delete("a", if_version=store.meta("a").version))

    def test_sync_of_one_write(self):
        store = self.open(sync="none")
        before = store.stats()["syncs"]
        store.put("a", b"1", sync="always")
        self.assertGreater(store.stats()["syncs"], before)
        with self.assertRaises(ValueError):
            store.put("a", b"1", sync="sometimes")


class Expiry(StoreCase):
    def test_what_has_expired_is_gone(self):
        store = self.open()
        store.put("past", b"x", expires=1)
        store.put("gone", b"x", ttl=-1)
        store.put("epoch", b"x", expires=0)
        self.assertEqual(list(store), [])
        self.assertIsNone(store.get("past"))
        self.assertNotIn("gone", store)

    def test_time_to_live(self):
        store = self.open()
        at = time.time() + 3600
        store.put("a", b"x", ttl=3600)
        store.put("b", b"x", ttl=datetime.timedelta(hours=1))
        store.put("c", b"x", expires=at)
        for key in "abc":
            self.assertAlmostEqual(store.ttl(key), 3600, delta=600)
        self.assertAlmostEqual(store.meta("c").expires, at, delta=0.001)
        self.assertAlmostEqual(store.get_item("c").expires, at, delta=0.001)

    def test_it_is_kept_changed_and_taken_away(self):
        store = self.open()
        store.put("a", b"1", ttl=3600)
        store.put("a", b"2", keep_ttl=True)
        self.assertIsNotNone(store.ttl("a"))
        self.assertTrue(store.expire("a", 7200))
        self.assertGreater(store.ttl("a"), 3700)
        self.assertTrue(store.expire("a"))
        self.assertIsNone(store.ttl("a"))
        self.assertFalse(store.expire("no", 5))
        store.put("a", b"3", ttl=5)
        store.put("a", b"4")
        self.assertIsNone(store.ttl("a"))

    def test_what_is_no_time_is_refused(self):
        store = self.open()
        for bad in "5", float("nan"), float("inf"), True, [], 2 + 1j:
            with self.assertRaises(TypeError):
                store.put("a", b"x", ttl=bad)
        with self.assertRaises(TypeError):
            store.put("a", b"x", ttl=1, expires=1)


class Batches(StoreCase):
    def test_all_of_it_is_done(self):
        store = self.open()
        store["old"] = b"x"
        with store.batch() as batch:
            batch["a"] = b"1"
            batch.put("b", b"2", ttl=3600)
            del batch["old"]
            batch.delete("never")
            self.assertEqual(len(batch), 4)
            self.assertNotIn("a", store)
        self.assertEqual(dict(store.items()), {b"a": b"1", b"b": b"2"})
        self.assertIsNotNone(store.ttl("b"))
        self.assertEqual(len(batch), 0)

    def test_nothing_is_done_when_the_block_fails(self):
        store = self.open()
        with self.assertRaises(ZeroDivisionError):
            with store.batch() as batch:
                batch.put("a", b"1")
                1 / 0  # pylint: disable=pointless-statement
        self.assertEqual(list(store), [])

    def test_nothing_is_done_when_one_key_is_wrong(self):
        store = self.open()
        batch = store.batch()
        batch.put("a", b"1")
        batch.put("", b"2")
        with self.assertRaises(bitcask.InvalidError):
            batch.write()
        self.assertEqual(list(store), [])
        self.assertEqual(len(batch), 2)

    def test_they_are_used_again(self):
        store = self.open()
        batch = store.batch(sync="always")
        self.assertEqual(batch.write(), 0)
        batch.put("a", b"1")
        first = batch.write()
        batch.put("a", b"2")
        self.assertGreater(batch.write(), first)
        batch.put("a", b"3")
        batch.clear()
        self.assertEqual(batch.write(), 0)
        self.assertEqual(store["a"], b"2")

    def test_update_and_clear(self):
        store = self.open()
        store.update({f"k{i}": str(i) for i in range(12345)})
        self.assertEqual(len(store), 12345)
        store.clear()
        self.assertEqual(len(store), 0)
        self.assertEqual(list(self.reopened(store)), [])


class Iteration(StoreCase):
    def test_everything_is_met_once(self):
        store = self.open()
        wanted = {b"k%d" % i: b"v%d" % i for i in range(3000)}
        store.update(wanted)
        pairs = list(store.items())
        self.assertEqual(len(pairs), 3000)
        self.assertEqual(dict(pairs), wanted)
        self.assertEqual(sorted(store.keys()), sorted(wanted))
        self.assertEqual(sorted(store.values()), sorted(wanted.values()))
        self.assertEqual(len(store), 3000)

    def test_prefixes(self):
        store = self.open()
        store.update({"a1": "1", "a2": "2", "b1": "3"})
        self.assertEqual(sorted(store.keys("a")), [b"a1", b"a2"])
        self.assertEqual(dict(store.items(prefix=b"b")), {b"b1": b"3"})
        self.assertEqual(list(store.values("c")), [])

    def test_it_may_be_left_at_any_moment(self):
        store = self.open()
        store.update({str(i): "x" for i in range(1000)})
        for _ in store.items():
            break
        iterator = store.keys()
        next(iterator)
        del iterator
        finished = store.keys("999")
        self.assertEqual(list(finished), [b"999"])
        with self.assertRaises(StopIteration):
            next(finished)

    def test_writing_meanwhile(self):
        store = self.open()
        store.update({str(i): "x" for i in range(2000)})
        seen = set()
        for key in store:
            seen.add(key)
            store[key] = b"y"
        self.assertEqual(len(seen), 2000)

    def test_a_cycle_through_the_store_is_collected(self):
        store = bitcask.open(self.path)
        store["a"] = b"1"
        store.iterator = store.keys()
        gone = weakref.ref(store)
        store.close()
        del store
        gc.collect()
        self.assertIsNone(gone())

    def test_get_many(self):
        store = self.open()
        store.update({"a": "1", "b": "2"})
        self.assertEqual(store.get_many(["b", "no", b"a", "b"]), [b"2", None, b"1", b"2"])
        self.assertEqual(store.get_many([]), [])
        self.assertEqual(store.get_many(str(i) for i in range(300)), [None] * 300)


class Snapshots(StoreCase):
    def test_they_show_the_past(self):
        store = self.open()
        store.update({"a": "old", "b": "old"})
        with store.snapshot() as snapshot:
            store["a"] = "new"
            del store["b"]
            store["c"] = "new"
            self.assertEqual(snapshot["a"], b"old")
            self.assertEqual(snapshot.get("b"), b"old")
            self.assertIsNone(snapshot.get("c"))
            self.assertNotIn("c", snapshot)
            self.assertIn("b", snapshot)
            self.assertEqual(dict(snapshot.items()), {b"a": b"old", b"b": b"old"})
            self.assertEqual(snapshot.get_many(["a", "c"]), [b"old", None])
            self.assertEqual(snapshot.get_item("a").value, b"old")
            self.assertLess(snapshot.version, store.meta("c").version)
            store.merge(all=True)
            self.assertEqual(snapshot["b"], b"old")
            self.assertEqual(store.stats()["snapshots"], 1)
        self.assertEqual(store.stats()["snapshots"], 0)
        with self.assertRaises(bitcask.ClosedError):
            snapshot.get("a")

    def test_they_cannot_be_written_to(self):
        snapshot = self.open().snapshot()
        self.assertFalse(hasattr(snapshot, "put"))
        with self.assertRaises(TypeError):
            snapshot["a"] = b"1"

    def test_closing_one_twice_leaves_others_alone(self):
        store = self.open()
        for _ in range(20):
            first = store.snapshot()
            first.close()
            second = store.snapshot()  # likely at the same address
            first.close()
            del first
            self.assertEqual(store.stats()["snapshots"], 1)
            second.close()

    def test_one_that_is_forgotten_is_freed(self):
        store = self.open()
        store.snapshot()
        self.assertEqual(store.stats()["snapshots"], 0)


class Closing(StoreCase):
    def test_nothing_works_afterwards(self):
        store = self.open()
        store["a"] = b"1"
        snapshot, iterator, batch = store.snapshot(), store.items(), store.batch()
        of_snapshot = snapshot.keys()
        batch.put("b", b"2")
        store.close()
        self.assertTrue(store.closed)
        for call in (lambda: store["a"], lambda: store.get("a"), lambda: store.put("a", b""),
                     lambda: store.put("a", b"", ttl=4), lambda: store.delete("a"),
                     lambda: "a" in store, lambda: len(store), lambda: next(iterator),
                     lambda: store.keys(), lambda: snapshot["a"], lambda: next(of_snapshot),
                     lambda: snapshot.items(), store.snapshot, batch.write, store.stats, store.merge,
                     store.sync, store.verify, store.segments, lambda: store.backup("x"),
                     lambda: store.get_many(["a"]), lambda: store.meta("a"),
                     lambda: store.expire("a"), lambda: store.__setitem__("a", b"")):
            with self.assertRaises(bitcask.ClosedError) as caught:
                call()
            self.assertIsInstance(caught.exception, ValueError)
        store.close()
        snapshot.close()
        self.assertIn("closed", repr(store))

    def test_a_with_block_closes(self):
        with bitcask.open(self.path) as store:
            store["a"] = b"1"
        self.assertTrue(store.closed)
        self.assertEqual(self.open()["a"], b"1")

    def test_a_forgotten_store_is_closed_with_a_warning(self):
        store = bitcask.open(self.path)
        store["a"] = b"1"
        with self.assertWarnsRegex(ResourceWarning, "unclosed"):
            del store
        self.assertEqual(self.open()["a"], b"1")

    def test_it_cannot_be_closed_by_its_own_callback(self):
        store = self.open(segment_size="64K", merge=False)
        for _ in range(3):
            store.update({str(i): "x" * 1000 for i in range(1000)})
        with self.assertRaisesRegex(RuntimeError, "inside a call of its own"):
            store.merge(all=True, progress=lambda done, total: store.close())
        self.assertEqual(store["5"], b"x" * 1000)

    def test_they_are_not_pickled(self):
        store = self.open()
        for what in store, store.snapshot():
            with self.assertRaisesRegex(TypeError, "cannot be pickled"):
                pickle.dumps(what)


class Errors(StoreCase):
    def test_opening(self):
        with self.assertRaises(bitcask.NoStoreError):
            self.open(create=False)
        with self.assertRaises(bitcask.NoStoreError):
            self.open(read_only=True)
        store = self.open()
        with self.assertRaisesRegex(bitcask.LockedError, "in use by process") as caught:
            self.open()
        self.assertEqual(caught.exception.status, bitcask.Status.LOCKED)
        store.close()
        with self.assertRaises(bitcask.StoreExistsError):
            self.open(error_if_exists=True)
        for name, value in (("sync", "sometimes"), ("segment_size", 5), ("nonsense", 1),
                            ("merge_window", "25-26")):
            with self.assertRaisesRegex(bitcask.InvalidError, name.replace("_", ".")):
                self.open(**{name: value})
        with self.assertRaises(bitcask.InputOutputError) as caught:
            bitcask.open("/proc/nothing/here")
        self.assertNotEqual(caught.exception.errno, 0)

    def test_options_of_all_kinds(self):
        store = self.open(sync="interval", sync_interval=datetime.timedelta(milliseconds=250),
                          segment_size="1M", merge=False, merge_trigger=0.7, expected_keys=1000,
                          background="none", log_level="warn")
        self.assertEqual(store.stats()["merge_state"], "off")
        self.assertIn("segment_size", bitcask.options())

    def test_reading_only(self):
        self.open().close()
        store = self.open(read_only=True)
        with self.assertRaises(bitcask.ReadOnlyError):
            store["a"] = b"1"

    def test_they_pass_between_processes(self):
        with self.assertRaises(bitcask.NoStoreError) as caught:
            self.open(create=False)
        copy = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((type(copy), str(copy), copy.status),
                         (bitcask.NoStoreError, str(caught.exception), bitcask.Status.NO_STORE))
        self.assertIsInstance(pickle.loads(pickle.dumps(bitcask.ClosedError())),
                              bitcask.ClosedError)

    def test_damage_is_told(self):
        store = self.open(segment_size="64K")
        store.update({f"key {i}": str(i) * 500 for i in range(100)})
        store.close()
        data = sorted(self.path.glob("*.data"))[0]
        content = bytearray(data.read_bytes())
        place = content.index(b"key 7") + 20
        content[place] ^= 0xff
        data.write_bytes(content)
        store = self.open(index_snapshot=False)
        with self.assertRaises(bitcask.CorruptError) as caught:
            store["key 7"]  # pylint: disable=pointless-statement
        self.assertNotEqual(caught.exception.segment, 0)
        findings = store.verify()
        self.assertTrue(any(finding.file == data.name and not finding.note for finding in findings))
        iterator, met, damaged = store.items(), 0, 0
        while True:
            try:
                next(iterator)
                met += 1
            except bitcask.CorruptError:
                damaged += 1
            except StopIteration:
                break
        self.assertEqual((met, damaged), (99, 1))

    def test_destroy(self):
        self.open().close()
        bitcask.destroy(self.path)
        self.assertFalse(self.path.exists())
        with self.assertRaises(bitcask.NoStoreError):
            bitcask.destroy(self.path)


class Upkeep(StoreCase):
    def fill(self, store):
        for _ in range(3):
            store.update({f"key {i}": "x" * 100 for i in range(5000)})

    def test_merge(self):
        store = self.open(segment_size="64K", merge=False)
        self.fill(store)
        before = store.stats()
        seen = []
        done = store.merge(all=True, progress=lambda *at: seen.append(at))
        self.assertGreater(done["records_dropped"], 5000)
        self.assertLess(store.stats()["dead_bytes"], before["dead_bytes"])
        self.assertTrue(seen)
        self.assertEqual(len(store), 5000)
        self.assertTrue(any(segment.from_merge for segment in store.segments()))
        store.pause_merges()
        store.resume_merges()

    def test_a_callback_stops_it(self):
        store = self.open(segment_size="64K", merge=False)
        self.fill(store)
        with self.assertRaises(bitcask.CancelledError):
            store.merge(all=True, progress=lambda done, total: True)
        with self.assertRaises(ZeroDivisionError):
            store.merge(all=True, progress=lambda done, total: 1 / 0)
        self.assertEqual(len(store), 5000)

    def test_segments_and_stats(self):
        store = self.open(segment_size="64K", merge=False)
        self.fill(store)
        segments = store.segments()
        self.assertGreater(len(segments), 2)
        self.assertEqual([s.id for s in segments], sorted(s.id for s in segments))
        self.assertEqual({s.state for s in segments} - {"active", "sealing", "sealed"}, set())
        self.assertEqual(sum(s.live_records for s in segments), 5000)
        with mock.patch("json.loads", lambda text: json.JSONDecoder(
                object_pairs_hook=list).decode(text.decode())):
            names = [name for name, _ in store.stats()]
        self.assertEqual(len(names), len(set(names)), "each of them once")
        stats = store.stats()
        self.assertEqual(stats["keys"], 5000)
        self.assertEqual(stats["live_bytes"], sum(s.live_bytes for s in segments))

    def test_backup(self):
        store = self.open()
        self.fill(store)
        done = store.backup(self.directory / "copy", copy=True)
        self.assertGreater(done["segments"], 0)
        store["later"] = b"x"
        with bitcask.open(self.directory / "copy") as copy:
            self.assertEqual(len(copy), 5000)
            self.assertNotIn("later", copy)
        self.assertEqual(store.verify(), [])

    def test_a_store_is_true_though_empty(self):
        self.assertTrue(self.open())

    def test_in_memory(self):
        store = bitcask.open("memory", in_memory=True)
        self.addCleanup(store.close)
        store["a"] = b"1"
        store.sync()
        self.assertEqual(store["a"], b"1")
        self.assertFalse(pathlib.Path("memory").exists())


if __name__ == "__main__":
    unittest.main()
