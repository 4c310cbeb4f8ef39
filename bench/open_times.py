#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""open_times.py BITCASK DIRECTORY [KEYS:SEGMENTS ...]: how long `bitcask get` takes on stores of as many
keys (16 bytes, values of 100) and about as many segments, with the index snapshot and without; both in
turn, the medians of nine calls, the files in the page cache. DIRECTORY is made and removed."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

RECORD_BYTES, ROUNDS = 136, 9


def recovered_us(stderr):
    """What the library says that opening took."""
    for line in stderr.splitlines():
        event = json.loads(line)
        if event["event"] == "recovered":
            return event["index"], event["duration_us"]
    raise ValueError("the store was not opened")


def get(bitcask, store, snapshot):
    """One call: its wall time, and of that the opening, in milliseconds."""
    begin = time.monotonic()
    done = subprocess.run([bitcask, "-d", store, f"--index-snapshot={snapshot}", "--log-level", "info",
                           "--log-format", "json", "get", "hello"], capture_output=True, text=True, check=True)
    wall = (time.monotonic() - begin) * 1000
    index, opened = recovered_us(done.stderr)
    assert (index == "snapshot") == (snapshot == "yes"), index
    return wall, opened / 1000


def measure(bitcask, store, keys, segments):
    size = max(64 << 10, keys * RECORD_BYTES // segments + (4 << 10))
    subprocess.run([bitcask, "bench", "-n", str(keys), "--segment-size", str(size), "--dir", store, "--keep",
                    "fill"], check=True, capture_output=True)
    subprocess.run([bitcask, "-d", store, "put", "hello", "world"], check=True)
    times = {"yes": [], "no": []}
    for _ in range(ROUNDS):
        for snapshot in times:
            times[snapshot].append(get(bitcask, store, snapshot))
    count = len(list(pathlib.Path(store).glob("*.data")))
    row = [f"{keys:,}", str(count)]
    for snapshot in times:
        walls, opens = zip(*times[snapshot])
        row += [f"{statistics.median(walls):.1f}", f"{statistics.median(opens):.2f}"]
    print("| " + " | ".join(row) + " |", flush=True)
    shutil.rmtree(store)


def main():
    bitcask, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    directory.mkdir()
    print("| keys | segments | get, ms | of it open | get without, ms | of it open |\n|---|---|---|---|---|---|")
    shapes = sys.argv[3:] or ["1000000:4", "3000000:4", "10000000:4", "3000000:40", "3000000:400"]
    for shape in shapes:
        keys, segments = map(int, shape.split(":"))
        measure(bitcask, str(directory / "store"), keys, segments)
    directory.rmdir()


main()
