# SPDX-License-Identifier: MIT
"""The tables and pictures of what bench/run has measured.

A figure is the median of the runs. What the benchmark itself costs, the empty engine's figure of the same
step in the same run, is taken off before anything is compared; a ratio is made of the two figures of one
run, and given as the median of the runs with the lowest and the highest."""

import collections
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import tempfile

OURS, UNVERIFIED = "bitcask", "bitcask-unverified"
NO_PEERS = {OURS, UNVERIFIED, "empty", "bare"}
ORDER = ["bitcask", "bitcask-unverified", "kyoto", "tkrzw", "lmdb", "leveldb", "rocksdb", "wiredtiger", "bdb",
         "sqlite", "bare", "empty"]
MILLION = 1_000_000


def machine():
    def first(path, name):
        with open(path, encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "unknown")

    return {"processor": first("/proc/cpuinfo", "model name"), "processors": os.cpu_count(),
            "memory_gib": round(int(first("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)),
            "virtual": "hypervisor" in first("/proc/cpuinfo", "flags"), "kernel": platform.release().split("-")[0]}


class Results:
    """What was measured: facts -> engine -> run -> answer; of a step repeated in a run, all answers."""

    def __init__(self, lines, clock):
        self.clock = "processor_ns" if clock == "processor" else "ns"
        self.lines = lines
        self.machines = [line for line in lines if line["part"] == "machine"]
        self.steps = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
        for line in lines:
            if line["part"] != "machine":
                self.steps[self.key(line)][line["engine"]][line["run"]].append(line)

    @staticmethod
    def key(line):
        return (line["part"], line["workload"], line.get("keys"), line.get("value"), line.get("threads", 1))

    def values(self, part, workload, engine, keys, value=100, threads=1, name=None):
        """run -> the figure `name` (default: nanoseconds by the clock wanted)."""
        runs = self.steps.get((part, workload, keys, value, threads), {}).get(engine, {})
        name = name or self.clock
        return {run: statistics.median(answer[name] for answer in answers)
                for run, answers in runs.items() if all(name in a and not unusable(a) for a in answers)}

    def net(self, part, workload, engine, keys, value=100, threads=1):
        """run -> nanoseconds less those of the benchmark itself."""
        mine = self.values(part, workload, engine, keys, value, threads)
        empty = self.values(part, workload, "empty", keys, value, threads)
        if workload.startswith("scan"):
            empty = {}
        return {run: max(ns - empty.get(run, 0), 0.1) for run, ns in mine.items()}

    def engines(self, part):
        found = {engine for key, by in self.steps.items() if key[0] == part for engine in by}
        return [name for name in ORDER if name in found]

    def shapes(self, part):
        """(keys, value, threads) that were measured."""
        return sorted({key[2:] for key in self.steps if key[0] == part}, key=lambda s: tuple(x or 0 for x in s))

    def sizes(self, part):
        return sorted({shape[0] for shape in self.shapes(part)})


def unusable(answer):
    """A fill that the time limit ended has made another store than the others'."""
    return bool(answer.get("cut")) and answer["part"] not in ("durable",) and answer["workload"] not in ("delete",)


def median(by_run):
    return statistics.median(by_run.values()) if by_run else None


def best_peer(candidates):
    """Of engine -> run -> ns, the one with the lowest median."""
    there = {name: by for name, by in candidates.items() if by}
    return min(there, key=lambda name: median(there[name])) if there else None


def ratios(theirs, ours):
    return [theirs[run] / ours[run] for run in ours if run in theirs]


def spread(values, digits=2):
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(heading, rows):
    lines = ["| " + " | ".join(heading) + " |", "|" + "|".join([":--"] + ["--:"] * (len(heading) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def size_name(keys):
    return f"{keys // MILLION} M" if keys % MILLION == 0 else f"{keys // 1000} k" if keys % 1000 == 0 else str(keys)


# ---- Floors and goals ------------------------------------------------------------------------------

# Row, part, our engine, our workload, the peers' workloads, {keys: (floor, goal)}; other sizes have none.
BOTH = MILLION, 10 * MILLION
COMPARED = [
    ("fill sequential", "kv", OURS, "fill-seq", ["fill-seq"], dict.fromkeys(BOTH, (1.8, 2.5))),
    ("fill random", "kv", OURS, "fill", ["fill"], dict.fromkeys(BOTH, (1.8, 2.5))),
    ("batches of 100", "kv", OURS, "batch-100", ["batch-100"], {}),
    ("batches of 1,000", "kv", OURS, "batch-1000", ["batch-1000"], dict.fromkeys(BOTH, (1.5, 3))),
    ("overwrite", "kv", OURS, "overwrite", ["overwrite"], {MILLION: (2, 3), 10 * MILLION: (1.5, 2.2)}),
    ("delete random", "kv", OURS, "delete", ["delete"], {MILLION: (2, 3), 10 * MILLION: (1.5, 2.2)}),
    ("read random, copied, verified", "kv", OURS, "read", ["read"], {MILLION: (1.8, 3), 10 * MILLION: (1.8, 2.3)}),
    ("read zipfian", "kv", OURS, "read-zipf", ["read-zipf"], {}),
    ("view, verified", "kv", OURS, "view", ["view"], {10 * MILLION: (1.8, 2.2)}),
    ("view, unverified", "kv", UNVERIFIED, "view", ["view"], {10 * MILLION: (2.5, 3)}),
    ("get_many of 64 against a single read", "kv", OURS, "read-many", ["read", "view"], dict.fromkeys(BOTH, (5, 7))),
    ("read missing", "kv", OURS, "missing", ["missing"], {MILLION: (1.8, 2.3), 10 * MILLION: (1.3, 1.5)}),
    ("scan of everything", "kv", OURS, "scan", ["scan"], dict.fromkeys(BOTH, (0.8, 1.1))),
    ("scan of everything, again", "kv", OURS, "scan-again", ["scan-again"], dict.fromkeys(BOTH, (0.8, 1.1))),
]


def mark(value, floor, goal, less_is_better=False):
    if floor is None:
        return ""
    reached = (lambda x: value <= x) if less_is_better else (lambda x: value >= x)
    return "goal" if reached(goal) else "floor" if reached(floor) else "**below**"


def goal_row(name, ratio, versus, ours, limits, unit=""):
    floor, goal = limits or (None, None)
    text = [f"{ratio}", f"{floor}{unit}" if floor is not None else "", f"{goal}{unit}" if goal is not None else ""]
    return [name, versus, ours] + text


def compared_rows(results):
    sizes = sorted(set(results.sizes("kv")) | {keys for keys in results.sizes("growth") if keys >= MILLION})
    for name, kv, engine, workload, against, limits in COMPARED:
        for keys in sizes:  # the growth curve has some of the steps too
            part = kv if results.net(kv, workload, engine, keys) else "growth"
            ours = results.net(part, workload, engine, keys)
            peers = {(peer, w): results.net(part, w, peer, keys) for peer in results.engines(part)
                     if peer not in NO_PEERS for w in against}
            best = best_peer(peers)
            if not ours or best is None or not ratios(peers[best], ours):
                continue
            found = ratios(peers[best], ours)
            yield (goal_row(f"{name}, {size_name(keys)}", spread(found), f"{best[0]} {median(peers[best]):.0f} ns",
                            f"{median(ours):.0f} ns", limits.get(keys))
                   + [mark(statistics.median(found), *limits.get(keys, (None, None)))])


def scaling_rows(results):
    for keys in results.sizes("threads"):
        def scaling(engine, workload="read", keys=keys):  # by the wall clock: processor time scales always
            one, two = (results.values("threads", workload, engine, keys, threads=n, name="ns") for n in (1, 2))
            return {run: one[run] / two[run] for run in one if run in two}

        ours, bare = scaling(OURS), scaling("bare")
        found = [ours[run] / bare[run] for run in ours if run in bare]
        if found:
            yield (goal_row(f"read random, 2 threads, {size_name(keys)}: our scaling of the bare loads'",
                            spread(found), f"bare x{median(bare):.2f}", f"x{median(ours):.2f}", (0.93, 1.0))
                   + [mark(statistics.median(found), 0.93, 1.0)])


def beside_rows(results):
    limits = {10 * MILLION: (1.5, 2.5)}
    for keys in results.sizes("threads"):
        step = results.steps.get(("threads", "read-while-writing", keys, 100, 1), {})

        def of_writer(engine, step=step):
            time = "seconds" if results.clock == "ns" else "writer_processor_seconds"
            return {run: a[0][time] * 1e9 / max(a[0]["writer_operations"], 1)
                    for run, a in step.get(engine, {}).items() if time in a[0]}

        for role, figures in (("reader", lambda e, k=keys: results.values("threads", "read-while-writing", e, k)),
                              ("writer", of_writer)):
            peers = {e: figures(e) for e in results.engines("threads") if e not in NO_PEERS}
            best, ours = best_peer(peers), figures(OURS)
            found = ratios(peers[best], ours) if best and ours else []
            if found:
                yield (goal_row(f"read while writing, {role}, {size_name(keys)}", spread(found),
                                f"{best} {median(peers[best]):.0f} ns", f"{median(ours):.0f} ns", limits.get(keys))
                       + [mark(statistics.median(found), *limits.get(keys, (None, None)))])


def durable_rows(results):
    limits = {1: (1.2, 1.4), 16: (2, 4)}
    shapes = sorted({key[4] for key in results.steps if key[:2] == ("durable", "fill")})
    rows = [(f"every write synced, {n} thread{'s' * (n > 1)}", "fill", n, limits.get(n)) for n in shapes]
    rows.append(("every write synced, 1 thread, after 100 MB of unsynced fill", "after-100mb", 1, limits[1]))
    for name, workload, count, limit in rows:
        def figures(engine, workload, count=count):
            return results.values("durable", workload, engine, MILLION, threads=count, name="ns")

        peers = {e: figures(e, "fill") for e in results.engines("durable") if e not in NO_PEERS}
        best, ours = best_peer(peers), figures(OURS, workload)
        found = ratios(peers[best], ours) if best and ours else []
        if found:
            yield (goal_row(name, spread(found), f"{best} {1e6 / median(peers[best]):.1f} k/s",
                            f"{1e6 / median(ours):.1f} k/s", limit) + [mark(statistics.median(found), *(limit or (None, None)))])


def settled(workload):
    """The name of a step that each engine had some seconds of rest before."""
    return workload.replace("-settled", ", three seconds later")


def large_rows(results):
    for keys, value, _ in results.shapes("large"):
        for workload in ("fill", "read", "view", "read-settled"):
            limit = (1.0, 1.2) if value == 100_000 and workload in ("fill", "read") else None
            figures = {e: results.values("large", workload, e, keys, value) for e in results.engines("large")}
            peers = {e: by for e, by in figures.items() if e not in NO_PEERS}
            best, ours = best_peer(peers), figures.get(OURS)
            found = ratios(peers[best], ours) if best and ours else []
            if found:
                per_s = [value / median(by) * 1000 for by in (peers[best], ours)]
                yield (goal_row(f"values of {value // 1000} KB, {settled(workload)}", spread(found), f"{best} {per_s[0]:.0f} MB/s",
                                f"{per_s[1]:.0f} MB/s", limit) + [mark(statistics.median(found), *(limit or (None, None)))])


def memcpy_rows(results):
    for keys, value, _ in results.shapes("large"):
        for workload in ("fill", "read") if value == 100_000 else ():
            bare, ours = (results.values("large", workload, e, keys, value) for e in ("bare", OURS))
            found = ratios(bare, ours)
            if found:
                yield ([f"values of {value // 1000} KB, {workload}, of a bare copy's speed",
                        f"bare {value / median(bare) * 1000:.0f} MB/s", f"{value / median(ours) * 1000:.0f} MB/s",
                        spread(found), "", "0.8", mark(statistics.median(found), 0, 0.8).replace("floor", "")])


def tail_rows(results):
    """p99.9 of puts by their p50; the goal is a maximum below a millisecond."""
    def row(name, p50, p999, most):
        found = [p999[run] / p50[run] for run in p50]
        worst = max(most.values()) / 1e6
        low = statistics.median(found) <= 10
        return [name, "", f"p50 {median(p50):.0f} ns, max {worst:.2f} ms", spread(found, 1), "10", "max 1 ms",
                "**below**" if not low else "goal" if worst < 1 else "floor"]

    for workload in ("fill", "overwrite"):
        for keys in results.sizes("kv"):
            quantiles = [results.values("kv", workload, OURS, keys, name=f"{q}_ns") for q in ("p50", "p999", "max")]
            if quantiles[0]:
                yield row(f"p99.9 of put by its p50: {workload}, {size_name(keys)}", *quantiles)
    for keys in results.sizes("merge"):
        runs = results.steps.get(("merge", "beside", keys, 100, 1), {}).get(OURS, {})
        calls = {run: dict(map(tuple, a[0]["put_call_ns"])) for run, a in runs.items()}
        if calls:
            yield row(f"p99.9 of put by its p50: beside a merge, {size_name(keys)}",
                      *({run: c[q] for run, c in calls.items()} for q in (50, 99.9, 100)))


def pybitcask_rows(results):
    for keys, value, _ in results.shapes("pybitcask"):
        for workload in ("fill-seq", "read-seq", "read", "read-seq-settled", "batch-100", "delete-seq"):
            limit = (1.0, 1.5) if keys == 100_000 and "settled" not in workload else None
            peers = {e: results.net("pybitcask", workload, e, keys, value) for e in results.engines("pybitcask")
                     if e not in NO_PEERS}
            best, ours = best_peer(peers), results.net("pybitcask", workload, OURS, keys, value)
            found = ratios(peers[best], ours) if best and ours else []
            if found:
                yield (goal_row(f"pybitcask's: {size_name(keys)} of {value} bytes, {settled(workload)}", spread(found),
                                f"{best} {median(peers[best]):.0f} ns", f"{median(ours):.0f} ns", limit)
                       + [mark(statistics.median(found), *(limit or (None, None)))])


def plain_row(name, by_run, unit, limit, peers=None, digits=1):
    values = list(by_run.values())
    versus = "; ".join(f"{e} {median(v):.{digits}f}" for e, v in (peers or {}).items() if any(v.values()))
    floor, goal = limit or (None, None)
    return ([name, versus, f"{spread(values, digits)} {unit}", "", f"{floor} {unit}" if limit else "",
             f"{goal} {unit}" if limit else "", mark(statistics.median(values), floor, goal, less_is_better=True)])


def lost(results, workload, engine, keys):
    """What is to be said of an engine that did not find its keys after a kill."""
    after = results.steps.get(("reopen", "read-after-kill", keys, 100, 1), {}).get(engine, {})
    missed = [a["unexpected"] for answers in after.values() for a in answers if "unexpected" in a]
    return " (keys lost)" if workload == "open-killed" and any(missed) else ""


def plain_rows(results):
    """What is compared with a number, less being better."""
    def rows(part, workload, field, name, unit, limits, scale=1, digits=1):
        for keys in results.sizes(part):
            def figures(engine, keys=keys):
                found = results.values(part, workload, engine, keys, name=field)
                return {run: value / (scale if scale != "keys" else keys) for run, value in found.items()}

            if figures(OURS):
                peers = {e + lost(results, workload, e, keys): figures(e) for e in results.engines(part)
                         if e not in NO_PEERS}
                yield plain_row(f"{name}, {size_name(keys)}", figures(OURS), unit, limits.get(keys), peers, digits)

    ten = 10 * MILLION
    for name, clock in (("open_ms", "wall"), ("open_processor_ms", "processor time of all threads")):
        yield from rows("reopen", "open-clean", name, f"reopen after a clean close, {clock}", "ms", {ten: (150, 30)})
        yield from rows("reopen", "open-killed", name, f"reopen after kill -9, {clock}", "ms", {ten: (500, 300)})
    yield from rows("memory", "grow", "index_mean_bytes_per_key", "index memory per key, over growth", "B", {ten: (14, 12)})
    yield from rows("memory", "grow", "mean_bytes_per_key", "anonymous memory of the process per key, over growth", "B", {})
    for step, how in (("memory-at-rest", "after a clean close (ours: mapped from the image of the index)"),
                      ("memory-after-kill", "after kill -9 (ours: loaded from hints)")):
        yield from rows("reopen", step, "index_bytes", f"index memory per key, reopened {how}", "B", {ten: (11, 9.5)},
                        scale="keys")
        yield from rows("reopen", step, "anonymous_bytes", f"anonymous memory of the process per key, reopened {how}",
                        "B", {}, scale="keys")
    yield from rows("disk", "space", "data_bytes", "disk per record of 116 bytes, merged, data", "B",
                    {MILLION: (140, 137), ten: (140, 137)}, scale="keys")
    yield from rows("disk", "space", "data_and_hints_bytes", "disk per record of 116 bytes, merged, with hints", "B",
                    {MILLION: (185, 168), ten: (185, 168)}, scale="keys")


def cold_rows(results):
    for keys in results.sizes("cold"):
        limit = (1.0, 1.3) if keys >= 10 * MILLION else None  # smaller files come into the cache by reading ahead
        figures = {e: results.values("cold", "read", e, keys, name="ns") for e in results.engines("cold")}
        peers = {e: by for e, by in figures.items() if e not in NO_PEERS}
        best, ours = best_peer(peers), figures.get(OURS)
        found = ratios(peers[best], ours) if best and ours else []
        if found:
            yield (goal_row(f"cold page cache, read random, {size_name(keys)}", spread(found),
                            f"{best} {1e6 / median(peers[best]):.1f} k/s", f"{1e6 / median(ours):.1f} k/s", limit)
                   + [mark(statistics.median(found), *(limit or (None, None)))])


def growth_rows(results):
    sizes = [keys for keys in results.sizes("growth") if keys >= MILLION]
    for workload in ("fill", "read", "missing", "read-many", "overwrite", "scan", "delete"):
        small, large = (results.net("growth", workload, OURS, keys) for keys in (MILLION, max(sizes, default=0)))
        found = [large[run] / small[run] for run in large if run in small]
        if found and max(sizes) > MILLION:
            yield [f"growth: {workload}, {size_name(max(sizes))} of 1 M", f"1 M {median(small):.0f} ns",
                   f"{median(large):.0f} ns", spread(found), "2", "", mark(statistics.median(found), 2, 1, True)]


def goals(results):
    rows = []
    for make in (compared_rows, scaling_rows, beside_rows, durable_rows, large_rows, memcpy_rows, cold_rows, plain_rows,
                 tail_rows, growth_rows, pybitcask_rows):
        rows += make(results)
    return table(["", "best peer", "ours", "ratio (lowest-highest)", "floor", "goal", "reached"], rows)


# ---- All figures -----------------------------------------------------------------------------------

def figures_table(results, part, workloads, keys, value=100, threads=1):
    rows = []
    for engine in results.engines(part):
        cells = []
        for workload in workloads:
            by = results.values(part, workload, engine, keys, value, threads)
            cells.append(f"{median(by):.0f}" if by else "-")
        if any(cell != "-" for cell in cells):
            rows.append([engine] + cells)
    return table(["ns per operation"] + list(workloads), rows) if rows else ""


def latency_table(results):
    text = []
    for keys, value, _ in results.shapes("latency"):
        for what in ("put_ns", "get_ns"):
            rows = []
            for engine in results.engines("latency"):
                runs = results.steps.get(("latency", "paced", keys, value, 1), {}).get(engine, {})
                quantiles = [dict(map(tuple, a[0][what])) for a in runs.values()]
                if quantiles:
                    rows.append([engine] + [f"{statistics.median(q[p] for q in quantiles) / 1000:.1f}"
                                            for p in (50, 90, 99, 99.9, 99.99, 100)])
            if rows:
                name = "puts" if what == "put_ns" else "gets"
                text.append(f"{size_name(keys)} keys, {name}:\n")
                text.append(table(["us", "p50", "p90", "p99", "p99.9", "p99.99", "max"], rows))
    return "\n".join(text)


def slow_table(results):
    rows = []
    for key, by in sorted(results.steps.items(), key=str):
        if key[0] not in ("latency", "merge") or not key[1].startswith(("paced", "beside", "without")):
            continue
        for engine in [e for e in ORDER if e in by]:
            for run, answers in sorted(by[engine].items()):
                a, slow = answers[0], answers[0]["slow_puts"]
                calls = dict(map(tuple, a["put_call_ns"]))
                rows.append([f"{engine}, {key[1]}, {size_name(key[2])}, run {run + 1}", f"{calls[50]}", f"{calls[99.9]}",
                             f"{calls[100] / 1000:.0f}", str(slow["calls"])]
                            + [str(slow[k]) for k in ("preempted", "waited", "faulted", "other")]
                            + [f"{a['compact_mb_per_s']:.0f}" if "compact_mb_per_s" in a else ""])
    return table(["puts at a fixed rate", "p50, ns", "p99.9, ns", "max, us", "above 200 us", "preempted", "waited",
                  "faulted", "other", "merge MB/s"], rows) if rows else ""


def merge_table(results):
    rows = [[f"merge of {size_name(keys)} keys, half of them overwritten, alone", spread(list(by.values()), 0)]
            for keys in results.sizes("merge")
            if (by := results.values("merge", "alone", OURS, keys, name="compact_mb_per_s"))]
    return table(["", "MB/s read and written"], rows) if rows else ""


KV = ["fill-seq", "fill", "batch-100", "batch-1000", "overwrite", "delete", "read", "view", "read-zipf", "missing",
      "read-many", "scan"]
GROWTH = ["fill", "read", "missing", "read-many", "overwrite", "scan", "delete"]


def all_figures(results):
    text = []
    for keys in results.sizes("kv"):
        text += [f"### {size_name(keys)} keys of 16 bytes, values of 100\n", figures_table(results, "kv", KV, keys)]
    for keys, value, count in results.shapes("threads"):
        text += [f"### {size_name(keys)} keys, {count} thread{'s' * (count > 1)} (time by operations of all threads)\n",
                 figures_table(results, "threads", ["fill", "read", "view", "missing", "overwrite", "read-while-writing"], keys,
                               value, count)]
    for keys in results.sizes("growth"):
        text += [f"### Growth: {size_name(keys)} keys\n", figures_table(results, "growth", GROWTH, keys)]
    for title, body in (("Latency at a fixed rate", latency_table(results)), ("Slow puts", slow_table(results)),
                        ("Merging", merge_table(results))):
        if body:
            text += [f"### {title}\n", body]
    return "\n".join(text)


# ---- Pictures --------------------------------------------------------------------------------------

def write_tsv(path, rows):
    path.write_text("\n".join("\t".join(str(cell) for cell in row) for row in rows) + "\n", encoding="ascii")


def plot_data(results, directory):
    """Tab-separated files for bench/plots.gp; their names say what they show."""
    for keys in results.sizes("kv"):
        for workload in KV:
            rows = []
            for engine in results.engines("kv"):
                by = results.net("kv", workload, engine, keys) if engine != "empty" else {}
                if by and engine != "bare":
                    rates = [1000 / ns for ns in by.values()]
                    rows.append([engine, statistics.median(rates), min(rates), max(rates)])
            if rows:
                write_tsv(directory / f"bar-{workload}-{size_name(keys).replace(' ', '')}.tsv", rows)
    for workload in GROWTH:
        engines = [e for e in results.engines("growth") if e not in ("empty", "bare", UNVERIFIED)]
        rows = [["keys"] + engines]
        for keys in results.sizes("growth"):
            rows.append([keys] + [median(results.net("growth", workload, e, keys)) or "nan" for e in engines])
        if len(rows) > 1:
            write_tsv(directory / f"growth-{workload}.tsv", rows)
    for keys, value, _ in results.shapes("latency"):
        for what in ("put", "get"):
            columns = {}
            for engine in [e for e in results.engines("latency") if e not in ("bare", UNVERIFIED)]:
                runs = results.steps.get(("latency", "paced", keys, value, 1), {}).get(engine, {})
                if runs:
                    columns[engine] = [statistics.median(a[0][f"{what}_ns"][i][1] for a in runs.values()) / 1000
                                       for i in range(14)]
                    shares = [pair[0] for pair in next(iter(runs.values()))[0][f"{what}_ns"]]
            if columns:
                write_tsv(directory / f"latency-{what}.tsv", [["share"] + list(columns)] + [
                    [shares[i] if shares[i] < 100 else 99.9999] + [c[i] for c in columns.values()] for i in range(14)])


TERMINALS = {"svg": "svg size 720,400 background '#ffffff' font 'sans,12'", "png": "pngcairo size 720,400 font 'sans,10'"}


def plot(results, out, endings=("svg", "png")):
    if shutil.which("gnuplot") is None:
        return
    script = pathlib.Path(__file__).parent / "plots.gp"
    with tempfile.TemporaryDirectory() as data:
        plot_data(results, pathlib.Path(data))
        for path in sorted(pathlib.Path(data).glob("*.tsv")):
            for ending in endings:
                terminal = TERMINALS[ending]
                columns = len(path.read_text(encoding="ascii").splitlines()[0].split("\t"))
                subprocess.run(["gnuplot", "-e", f"set terminal {terminal}; data='{path}'; columns={columns}; "
                                f"name='{path.stem}'; "
                                f"set output '{out / path.stem}.{ending}'", script], check=True)


# ---- The whole -------------------------------------------------------------------------------------

def heading(results, clock):
    text = []
    for m in results.machines:
        text.append(f"- {m['time']}, commit {m['commit']}, {m['runs']} run{'s' * (m['runs'] > 1)}, {m['keys']} keys{', ' * bool(m.get('only'))}{m.get('only', '')}; {m['processor']}, {m['processors']} processors"
                    f"{' (virtual)' if m['virtual'] else ''}, {m['memory_gib']} GiB, Linux {m['kernel']}; load average at"
                    f" the begin {m['load']}.")
    clocks = {"wall": "Times are by the wall clock.",
              "processor": "Times of operations are the processor's, of the threads that did them."}
    return "\n".join(text + ["", clocks[clock]]) + "\n"


BEGIN, END = "<!-- measured: written by bench/run -->", "<!-- end of measured -->"


def write_page(results, summary, clock, docs):
    """Into docs/PERFORMANCE.md, between its two marks; the pictures beside it."""
    page, pictures = docs / "PERFORMANCE.md", docs / "performance"
    pictures.mkdir(exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    plot(results, pictures, endings=("svg",))
    shown = "\n".join(f"![{path.stem}](performance/{path.name})" for path in sorted(pictures.glob("*.svg")))
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    middle = "\n".join([BEGIN, "", heading(results, clock), "### Against floors and goals\n", summary, all_figures(results),
                        "### Pictures\n", shown, "", ""])
    page.write_text(before + middle + END + rest.split(END)[1], encoding="utf-8")
    with open(pictures / "results.jsonl", "w", encoding="utf-8") as file:
        file.write("\n".join(json.dumps(line) for line in results.lines) + "\n")


def write(out, clock, docs=None):
    with open(out / "results.jsonl", encoding="utf-8") as file:
        results = Results([json.loads(line) for line in file], clock)
    summary = goals(results)
    page = "\n".join(["# What was measured\n", heading(results, clock), "## Against floors and goals\n", summary,
                      "## All figures\n", all_figures(results)])
    (out / "report.md").write_text(page + "\n", encoding="utf-8")
    plot(results, out)
    if docs:
        write_page(results, summary, clock, docs)
    print(heading(results, clock))
    print(summary)
    print(f"all figures: {out}/report.md")
