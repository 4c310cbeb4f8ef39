# SPDX-License-Identifier: MIT
"""Stores and processes: fork, the end of the interpreter, and its death."""

import os
import signal
import subprocess
import sys
import textwrap
import unittest

import bitcask

from .support import StoreCase

BEGIN = "import bitcask, os, sys, threading\nstore = bitcask.open(sys.argv[1], sync='none')\n"


class Forks(StoreCase):
    def in_child(self, function):
        """Run in a forked child; fails unless it returns and the child ends well."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_the_child_is_refused(self):
        store = self.open()
        store.update({str(i): "x" for i in range(1000)})
        snapshot, iterator = store.snapshot(), store.items()
        next(iterator)

        def child():
            for call in (lambda: store["1"], lambda: store.put("a", b"1"), lambda: store.delete("1"),
                         lambda: "1" in store, store.snapshot, store.sync, lambda: list(store),
                         lambda: [next(iterator) for _ in range(1000)], lambda: snapshot.get("1"),
                         lambda: store.update({"b": "1"}), lambda: store.get_many(["1"])):
                with self.assertRaises(bitcask.ForkedError):
                    call()
            with self.assertRaises(bitcask.LockedError):
                bitcask.open(self.path)
            snapshot.close()
            store.close()
            store.close()

        self.in_child(child)
        self.assertEqual(store["1"], b"x")
        self.assertEqual(snapshot["1"], b"x")
        self.assertEqual(len(list(iterator)), 999)

    def test_a_child_that_forgets_everything_harms_nothing(self):
        said = self.run_python(BEGIN + """
            store.update({str(i): 'x' for i in range(1000)})
            snapshot, iterator = store.snapshot(), store.items()
            next(iterator)
            if os.fork() == 0:
                del snapshot, iterator, store
                sys.exit(0)
            os.wait()
            store['after'] = b'1'
            print(len(list(iterator)), snapshot.get('5'), store['after'])
            """.replace("\n            ", "\n"), self.path)
        self.assertEqual(said, "999 b'x' b'1'\n")
        self.assertEqual(len(self.open()), 1001)

    def test_a_fork_amid_the_calls_of_other_threads(self):
        store = self.open()
        stop = []

        def work():
            while not stop:
                store["a"] = b"1"

        import threading
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            self.in_child(store.close)
        stop.append(True)
        for thread in threads:
            thread.join()
        self.assertEqual(store["a"], b"1")


class Ends(StoreCase):
    def test_an_interpreter_that_ends_closes_its_stores(self):
        self.run_python(BEGIN + "store['a'] = b'1'\nkept = store.items(); next(kept)\n"
                        "snapshot = store.snapshot()\n", self.path)
        store = self.open()
        self.assertEqual(store["a"], b"1")
        self.assertTrue(store.stats()["clean_open"])

    def test_and_while_a_daemon_thread_writes(self):
        self.run_python(BEGIN + textwrap.dedent("""
            store['a'] = b'1'
            begun = threading.Event()
            def write():
                while True:
                    store['n'] = b'x' * 100
                    begun.set()
            threading.Thread(target=write, daemon=True).start()
            begun.wait()
            threading.excepthook = lambda _: None
            """), self.path)
        self.assertEqual(self.open()["a"], b"1")

    def test_a_killed_interpreter_loses_nothing_that_was_acknowledged(self):
        program = BEGIN + textwrap.dedent("""
            for i in range(10**9):
                store[str(i)] = str(i) * 20
                os.write(1, b'%d\\n' % i)
            """)
        with subprocess.Popen([sys.executable, "-c", program, str(self.path)],
                              stdout=subprocess.PIPE) as writer:
            for _ in range(2000):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().splitlines()
        acknowledged = 2000 + len([line for line in rest if line.isdigit()]) - 1
        store = self.open()
        for i in range(acknowledged):
            self.assertEqual(store[str(i)], (str(i) * 20).encode())
        self.assertEqual(store.verify(), [])

    def test_an_interrupt_stops_a_merge(self):
        said = self.run_python(BEGIN.replace("sync='none'", "sync='none', segment_size='64K', "
                                             "merge=False") + textwrap.dedent("""
            import signal
            for _ in range(5):
                store.update({str(i): 'x' * 1000 for i in range(2000)})
            def interrupt(done, total):
                signal.raise_signal(signal.SIGINT)
            try:
                store.merge(all=True, progress=interrupt)
            except KeyboardInterrupt:
                print('interrupted', len(store))
            """), self.path)
        self.assertEqual(said, "interrupted 2000\n")


if __name__ == "__main__":
    unittest.main()
