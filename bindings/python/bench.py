#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py [CALLS]: what a call costs from Python, beside a call through ctypes that does nothing.

Runs itself twice, with the extension and with ctypes alone (BITCASK_PURE=1), and prints a table:
nanoseconds a call of this thread on the processor, medians of five rounds that are interleaved with
one another. Keys have 16 bytes, values 100, sync is 'interval', CALLS (100000) keys."""

import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
ROUNDS = 5


def measure(calls):
    """Nanoseconds a call, by name."""
    import bitcask  # pylint: disable=import-outside-toplevel
    from bitcask import _abi  # pylint: disable=import-outside-toplevel
    from pybitcask import Bitcask  # pylint: disable=import-outside-toplevel

    keys = [b"key%013d" % i for i in range(calls)]
    texts = [key.decode() for key in keys]
    value = b"v" * 100
    zero = _abi.Buffer()
    nothing, pointer = _abi.lib.bitcask_buffer_free, _abi.c.byref(zero)

    def each(function, *more):
        for key in keys:
            function(key, *more)

    def set_items(store):
        for key in keys:
            store[key] = value

    def many(store):
        for i in range(0, calls, 64):
            store.get_many(keys[i:i + 64])

    def batches(store):
        for i in range(0, calls, 64):
            with store.batch() as batch:
                for key in keys[i:i + 64]:
                    batch.put(key, value)

    def forget(results):  # kept, they would cost more than the calls
        collections.deque(results, maxlen=0)

    def run(store, json_store):
        return {
            "an empty loop": lambda: each(id),
            "a ctypes call that does nothing": lambda: forget(nothing(pointer) for _ in keys),
            "put": lambda: each(store.put, value),
            "store[key] = value": lambda: set_items(store),
            "put with ttl": lambda: forget(store.put(key, value, ttl=3600) for key in keys),
            "put in batches of 64": lambda: batches(store),
            "get": lambda: each(store.get),
            "get, text key": lambda: forget(store.get(text) for text in texts),
            "get, 10 KiB": lambda: forget(store.get(b"large") for _ in keys),
            "get_many of 64": lambda: many(store),
            "key in store": lambda: each(store.__contains__),
            "iterate over items": lambda: forget(store.items()),
            "pybitcask put, a dict": lambda: forget(json_store.put(text, {"n": 1}) for text in texts),
            "pybitcask get, a dict": lambda: forget(json_store.get(text) for text in texts),
        }

    with tempfile.TemporaryDirectory() as directory:
        with bitcask.open(directory + "/a") as store, Bitcask(directory + "/b") as json_store:
            store.put(b"large", b"l" * 10240)
            cases = run(store, json_store)
            times = {name: [] for name in cases}
            for _ in range(ROUNDS):
                for name, case in cases.items():
                    begin = time.thread_time_ns()
                    case()
                    times[name].append((time.thread_time_ns() - begin) / calls)
    return {name: statistics.median(rounds) for name, rounds in times.items()}


def main():
    """The table, or with --one the figures of this process."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    calls = sys.argv[1] if len(sys.argv) > 1 else "100000"
    columns = []
    for pure in "0", "1":
        said = subprocess.run([sys.executable, __file__, "--one", calls], check=True,
                              env={**os.environ, "BITCASK_PURE": pure}, stdout=subprocess.PIPE)
        columns.append(json.loads(said.stdout))
    print(f"{'ns a call':34}{'extension':>12}{'ctypes':>12}")
    for name in columns[0]:
        print(f"{name:34}" + "".join(f"{column[name]:12.0f}" for column in columns))


main()
