# SPDX-License-Identifier: MIT
"""parts.py: the experiments. Each is a function that measures and notes rows, and a table of them; its
docstring is what docs/EXPERIMENTS.md says of it, the first line its title."""

import os
import statistics
import subprocess
import time


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def in_turn(lab, cases, measure):
    """The median of lab.rounds measurements of each case, taken in turn, so that a busy machine is as
    unfair to the one as to the other."""
    results = {case: [] for case in cases}
    for _ in range(lab.rounds):
        for case in cases:
            results[case].append(measure(case))
    return {case: statistics.median(values) for case, values in results.items()}


# ---- Memory ---------------------------------------------------------------------------------------

def memory(lab):
    """Ten million small keys: memory of the index

    16-byte keys with 16-byte values, put in random order into an index that was not told how many to
    expect. *While filling*: as it has grown by then; a sawtooth, for shards of 16 KiB fill up and split
    at about the same time. *Reopened*: laid out for the keys that there are."""
    for part in (16, 8, 6, 4, 3, 2, 1.5, 1):
        keys = lab.size(10_000_000 / part)
        filled = lab.bench(keys, "fill", value_size=16)[0]
        opened = lab.stats("--no-index-snapshot")
        lab.note("memory", keys=keys, growing_bytes=filled["index_bytes_per_key"],
                 reopened_bytes=opened["index_bytes"] / opened["keys"], index_mib=opened["index_bytes"] / (1 << 20),
                 puts_per_s=filled["operations_per_s"])


def memory_table(rows):
    return table(["keys", "while filling, bytes a key", "reopened, bytes a key", "reopened, MiB"],
                 [[f"{r['keys']:,}", f"{r['growing_bytes']:.1f}", f"{r['reopened_bytes']:.1f}", f"{r['index_mib']:.1f}"]
                  for r in rows])


def key_length(lab):
    """Memory per key, against keeping the keys in memory

    The same number of keys of different lengths. The other table is the classical one of a Bitcask:
    chains, an entry with the key and the place of its value (`bench/keys_in_memory.c`); what malloc
    gave out for it is counted. The hint, on disk, does hold the keys: 28 bytes and the key, and its
    filter."""
    keys = lab.size(1_000_000)
    for size in (8, 16, 32, 64, 128, 256):
        filled = lab.bench(keys, "fill", key_size=size, value_size=16)[0]
        hints = sum(path.stat().st_size for path in lab.files("*.hint"))
        other = subprocess.run([lab.keys_in_memory, str(keys), str(size)], capture_output=True, text=True, check=True)
        lab.note("key_length", key_size=size, keys=keys, index_bytes=filled["index_bytes_per_key"],
                 with_keys_bytes=float(other.stdout), hint_bytes=hints / keys)


def key_length_table(rows):
    return table(["key, bytes", "index, bytes a key", "table with keys, bytes a key", "ratio", "hint on disk, bytes a key"],
                 [[r["key_size"], f"{r['index_bytes']:.1f}", f"{r['with_keys_bytes']:.1f}",
                   f"{r['with_keys_bytes'] / r['index_bytes']:.1f}", f"{r['hint_bytes']:.1f}"] for r in rows])


# ---- Opening --------------------------------------------------------------------------------------

def open_four_ways(lab):
    """Milliseconds to open lab.store: from the index snapshot, from hints, with every other hint missing, with
    none. Read-only, so that nothing is written; the hints are hidden and come back."""
    def hide(paths):
        for path in paths:
            path.rename(path.with_suffix(".hidden"))

    def measure(way):
        hints = lab.files("*.hint")
        hidden = {"mixed": hints[::2], "scan": hints}.get(way, [])
        hide(hidden)
        took = lab.opened_ms() if way == "snapshot" else lab.opened_ms("--no-index-snapshot")
        for path in hidden:
            path.with_suffix(".hidden").rename(path)
        return took

    return in_turn(lab, ("snapshot", "hints", "mixed", "scan"), measure)


def opening_keys(lab):
    """Restart time against the number of keys

    16-byte keys, 100-byte values, four segments and a rest, closed cleanly, files in the page cache. *Snapshot*: the image of
    the index; *hints*: all of them; *mixed*: every other one is missing, its segment is scanned; *scan*: none is
    there. Medians of three, taken in turn."""
    for part in (10, 3, 1):
        keys = lab.size(10_000_000 / part)
        lab.bench(keys, "fill", options=("--segment-size", max(64 << 10, keys * 136 // 4)))
        lab.note("opening_keys", keys=keys, segments=len(lab.files("*.data")), **open_four_ways(lab))


def opening_table(rows, first, field):
    return table([first, "snapshot, ms", "hints, ms", "mixed, ms", "scan, ms", "scan / hints"],
                 [[f"{r[field]:,}", f"{r['snapshot']:.1f}", f"{r['hints']:.0f}", f"{r['mixed']:.0f}", f"{r['scan']:.0f}",
                   f"{r['scan'] / r['hints']:.1f}"] for r in rows])


def opening_keys_table(rows):
    return opening_table(rows, "keys", "keys")


def opening_segments(lab):
    """Restart time against the number of segments

    As above, with the same keys in more and more segments."""
    keys = lab.size(2_000_000)
    for segments in (4, 16, 64, 256):
        lab.bench(keys, "fill", options=("--segment-size", max(64 << 10, keys * 136 // segments)))
        lab.note("opening_segments", keys=keys, segments=len(lab.files("*.data")), **open_four_ways(lab))


def opening_segments_table(rows):
    return opening_table(rows, "segments", "segments")


def scan_large(lab):
    """Scan against hints where values are large

    What hints spare depends on the values: a hint is as long for a value of 10 KB as for one of 10 bytes. The
    same data, 500 MB, in fewer and fewer records."""
    for value in (100, 1000, 10_000):
        keys = lab.size(500_000_000 / (value + 36), least=100)
        lab.bench(keys, "fill", value_size=value, options=("--segment-size", "128M"))
        lab.note("scan_large", value_size=value, keys=keys, **open_four_ways(lab))


def scan_large_table(rows):
    return opening_table(rows, "value, bytes", "value_size")


# ---- Disk -----------------------------------------------------------------------------------------

def footprint(lab):
    """Disk space before and after a merge, and the merge's throughput

    Filled, then a share overwritten in order, `merge --all` without a limit to its rate. *Before* and *after* are all files
    of data and hints, as allocated; throughput is of what the merge reads and writes together."""
    keys = lab.size(2_000_000)
    for overwritten in (1 / 3, 1, 3):
        options = ("--operations", int(keys * overwritten), "--segment-size", "64M")
        lab.bench(keys, "fill", "overwrite-seq", options=options)
        before = lab.stats()
        merged = lab.json("-d", lab.store, "merge", "--all")[-1]
        after = lab.stats()
        lab.note("footprint", dead_percent=100 * before["dead_bytes"] / (before["live_bytes"] + before["dead_bytes"]),
                 live_mib=before["live_bytes"] / (1 << 20), before_mib=before["disk_bytes"] / (1 << 20),
                 after_mib=after["disk_bytes"] / (1 << 20), seconds=merged["duration_us"] / 1e6,
                 mib_per_s=(merged["input_bytes"] + merged["output_bytes"]) / (1 << 20) / (merged["duration_us"] / 1e6))


def footprint_table(rows):
    return table(["dead", "live data, MiB", "before, MiB", "after, MiB", "merge, s", "read and written, MiB/s"],
                 [[f"{r['dead_percent']:.0f}%", f"{r['live_mib']:.0f}", f"{r['before_mib']:.0f}", f"{r['after_mib']:.0f}",
                   f"{r['seconds']:.1f}", f"{r['mib_per_s']:.0f}"] for r in rows])


# ---- Syncing --------------------------------------------------------------------------------------

def bare_syncs_per_s(lab):
    with open(os.path.join(lab.work, "bare"), "wb", buffering=0) as file:
        began, count = time.monotonic(), lab.size(500, least=50)
        for _ in range(count):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
        return count / (time.monotonic() - began)


def syncing(lab):
    """Throughput of the sync modes

    Puts of 16-byte keys and 100-byte values by 1, 4 and 16 threads, medians of three, taken in turn. With `always` each
    put is on the device before it returns; threads that put at once share a sync, so more threads make
    more puts. The figures of `none` and `interval` are of memory and processor, those of `always` of the device. *Bare device*: 4 KiB appended to
    a file and fdatasync, one thread, in the same turns. Where the processors are busy with other work, a thread that has
    waited for the device then waits for its processor, and a single one suffers most from that."""
    cases = [(mode, threads) for threads in (1, 4, 16) for mode in ("none", "interval", "always")]

    def measure(case):
        mode, threads = case
        if mode == "bare":
            return bare_syncs_per_s(lab)
        keys = lab.size(1000 * threads if mode == "always" else 500_000, least=200)
        return lab.bench(keys, "fill", options=("--sync", mode, "-t", threads))[0]["operations_per_s"]

    cases.append(("bare", 1))
    for (mode, threads), rate in in_turn(lab, cases, measure).items():
        lab.note("syncing", mode=mode, threads=threads, puts_per_s=rate)


def syncing_table(rows):
    rate = {(r["mode"], r["threads"]): r["puts_per_s"] for r in rows}
    bare = rate["bare", 1]
    return table(["threads", "none, puts/s", "interval, puts/s", "always, puts/s", "bare device, syncs/s", "always / bare"],
                 [[t] + [f"{rate[m, t]:,.0f}" for m in ("none", "interval", "always")] +
                  [f"{bare:,.0f}", f"{rate['always', t] / bare:.1f}"] for t in (1, 4, 16)])


ALL = (memory, key_length, opening_keys, opening_segments, scan_large, footprint, syncing)
TABLES = {"memory": memory_table, "key_length": key_length_table, "opening_keys": opening_keys_table,
          "opening_segments": opening_segments_table, "scan_large": scan_large_table, "footprint": footprint_table,
          "syncing": syncing_table}
