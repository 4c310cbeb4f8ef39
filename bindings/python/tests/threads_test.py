# SPDX-License-Identifier: MIT
"""Stores used by several threads at once, closing among them."""

import threading
import unittest

import bitcask

from .support import StoreCase

THREADS = 4


def together(*functions):
    """Run each in a thread of its own; raises what one of them has raised."""
    failures = []
    gate = threading.Barrier(len(functions))

    def run(function):
        try:
            gate.wait()
            function()
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Threads(StoreCase):
    def test_writers_and_readers(self):
        store = self.open(segment_size="64K")

        def work(number):
            for i in range(500):
                key = f"{number}-{i}"
                store[key] = key * 10
                self.assertEqual(store[key], (key * 10).encode())
                if i % 3 == 0:
                    self.assertTrue(store.delete(key))
                    self.assertIsNone(store.get(key))
                if i % 100 == 0:
                    for found, value in store.items(prefix=f"{number}-"):
                        self.assertEqual(value, found * 10)

        together(*[lambda n=n: work(n) for n in range(THREADS)], lambda: store.merge(all=True))
        self.assertEqual(len(list(store)), THREADS * 333)

    def test_only_one_of_many_writes_if_absent(self):
        store = self.open()
        won = []
        together(*[lambda n=n: [won.append((i, n)) for i in range(200)
                                if store.put_if_absent(str(i), str(n))] for n in range(THREADS)])
        self.assertEqual(sorted(i for i, _ in won), list(range(200)))
        for i, n in won:
            self.assertEqual(store[str(i)], str(n).encode())

    def test_a_counter_by_versions(self):
        store = self.open()
        store["n"] = b"0"

        def count():
            for _ in range(100):
                while True:
                    item = store.get_item("n")
                    if store.put_if_version("n", str(int(item.value) + 1), item.version):
                        break

        together(*[count] * THREADS)
        self.assertEqual(store["n"], str(100 * THREADS).encode())

    def test_batches_are_seen_whole(self):
        store = self.open()
        store.update({"a": "0", "b": "0"})
        done = threading.Event()

        def write():
            for i in range(300):
                store.update({"a": str(i), "b": str(i)})
            done.set()

        def read():
            while not done.is_set():
                self.assertEqual(len(set(store.get_many(["a", "b"]))), 1)
                with store.snapshot() as snapshot:
                    self.assertEqual(snapshot["a"], snapshot["b"])

        together(write, read, read)

    def test_a_batch_is_filled_and_written_by_many(self):
        store = self.open()
        batch = store.batch()

        def work(number):
            for i in range(300):
                batch.put(f"{number}-{i}", str(i))
                if i % 50 == 0:
                    batch.write()

        together(*[lambda n=n: work(n) for n in range(THREADS)])
        batch.write()
        self.assertEqual(len(store), THREADS * 300)
        self.assertEqual(store.stats()["puts"], THREADS * 300)

    def test_an_iterator_of_one_thread_is_refused_to_another_or_shared_well(self):
        store = self.open()
        store.update({str(i): "x" * 50 for i in range(3000)})
        iterator, met = store.items(), []

        def take():
            while True:
                try:
                    met.append(next(iterator)[0])
                except StopIteration:
                    return
                except ValueError as refused:
                    self.assertIn("another thread", str(refused))

        together(*[take] * THREADS)
        self.assertEqual(len(met), 3000)
        self.assertEqual(len(set(met)), 3000)

    def test_a_bytearray_that_changes_meanwhile_damages_nothing(self):
        store = self.open()
        value = bytearray(b"a" * 100000)
        done = threading.Event()

        def change():
            i = 0
            while not done.is_set():
                i = (i + 7919) % len(value)
                value[i] ^= 3

        def write():
            for i in range(200):
                store[str(i % 5)] = value
            done.set()

        together(change, write)
        self.assertEqual(store.verify(), [])


class ClosingMeanwhile(StoreCase):
    def closes_while(self, work):
        """`work` runs in threads until the store is closed under it."""
        for _ in range(10):
            store = bitcask.open(self.path, sync="none", segment_size="64K")
            store.update({str(i): "x" * 100 for i in range(300)})
            begun = threading.Semaphore(0)

            def run():
                begun.release()
                with self.assertRaises(bitcask.ClosedError):
                    while True:
                        work(store)

            def close():
                for _ in range(THREADS):
                    begun.acquire()
                store.close()

            together(*[run] * THREADS, close)
            self.assertTrue(store.closed)

    def test_reads(self):
        self.closes_while(lambda store: (store.get("5"), "7" in store, store.get_many(["1", "2"])))

    def test_writes(self):
        self.closes_while(lambda store: (store.put("5", b"x"), store.put("6", b"y", ttl=9),
                                         store.delete("5"), store.update({"8": "9"})))

    def test_iterators(self):
        self.closes_while(lambda store: (list(store.items()), next(store.keys()),
                                         next(store.values())))

    def test_snapshots(self):
        def work(store):
            with store.snapshot() as snapshot:
                list(snapshot)
                snapshot.get("4")
            store.snapshot().keys()
        self.closes_while(work)

    def test_merges(self):
        def work(store):
            try:
                store.merge(all=True)
            except bitcask.BusyError:
                store.verify()
        self.closes_while(work)

    def test_closing_in_many_threads(self):
        store = self.open()
        together(*[store.close] * THREADS)
        self.assertTrue(store.closed)


if __name__ == "__main__":
    unittest.main()
