# SPDX-License-Identifier: MIT
"""The parts of the benchmark. Each is a function of one run: it makes stores of all engines, has them do a
step each in turn, and records what they answer. The names of workloads are the worker's (bench/workload.h)."""

import sys

import peers

ORDINARY = {"key": 16, "value": 100}
NOT_A_STORE = {"empty", "bare"}
SETTLING = 3  # seconds, for what engines do by themselves behind a fill
MEMORY_TOUCHED = 4 << 30  # bytes, at most, before a step that writes


class Stores:
    """One store of each engine, with the same tuning, that do the same steps."""

    def __init__(self, lab, part, run, names=None, **tuning):
        self.lab, self.part, self.run, self.tuning = lab, part, run, tuning
        names = lab.engines if names is None else [n for n in names if n in lab.engines]
        turn = run % max(1, len(names))  # another one begins each run
        self.names = names[turn:] + names[:turn]
        self.workers = {}

    def __enter__(self):
        for name in self.names:
            self.workers[name] = self.lab.worker(name, **self.tuning)
        self.tell("open")
        return self

    def __exit__(self, *_):
        for worker in self.workers.values():
            worker.remove()

    def tell(self, line, record=None, only=None, **facts):
        """All, or `only` those, do a line in turn; `record` is the name under which it is kept."""
        answers = {}
        for name in [n for n in self.workers if only is None or n in only]:
            if line.startswith(("run fill", "run overwrite", "grow")):
                peers.touch_memory(self.bytes_written())
            try:
                answers[name] = self.workers[name].tell(line)
            except peers.Failed as failure:
                if "unsupported" not in str(failure):
                    print(failure, file=sys.stderr)
                    self.drop(name)
                continue
            if record:
                self.lab.record(self.part, record, name, self.run, self.tuning | facts, answers[name])
            if answers[name].get("cut") and f"seconds={self.lab.limit}" in line:
                self.drop(name)
        return answers

    def bytes_written(self):
        """What a fill needs of the page cache and the heap, about."""
        record = self.tuning.get("key", 16) + self.tuning.get("value", 100) + 60
        return min(self.tuning["keys"] * record, MEMORY_TOUCHED)

    def drop(self, name):
        self.workers.pop(name).remove()

    def step(self, workload, record=None, only=None, **arguments):
        """A workload, which ends at the time limit at the latest."""
        arguments.setdefault("seconds", self.lab.limit)
        words = " ".join(f"{k}={v}" for k, v in arguments.items() if v is not None)
        facts = {"threads": 1} | {k: v for k, v in arguments.items() if k in ("threads", "batch", "durable")}
        return self.tell(f"run {workload} {words}", record=record or workload, only=only, **facts)


def operations_of(lab, keys):
    """How many reads or overwrites: enough to be timed, and no more."""
    return min(max(keys, lab.operations), 2 * lab.operations)


def kv(lab, run):
    """Keys of 16 bytes, values of 100"""
    for keys in lab.sizes:
        tuning = {"keys": keys} | ORDINARY
        for workload, batch in (("fill-seq", None), ("fill", 100), ("fill", 1000)):
            with Stores(lab, "kv", run, **tuning) as stores:
                stores.step(workload, record=f"batch-{batch}" if batch else None, batch=batch)
        with Stores(lab, "kv", run, **tuning) as stores:
            operations = operations_of(lab, keys)
            stores.step("fill")
            for workload in ("read", "view", "missing", "read-many", "read-zipf"):
                stores.step(workload, operations=operations)
            for workload in ("scan", "scan-again"):
                stores.step("scan", record=workload)
            stores.step("overwrite", operations=operations)
            stores.step("delete", seconds=10 if keys > 1_000_000 else lab.limit)


def threads(lab, run):
    """Two threads"""
    for keys in lab.sizes:
        with Stores(lab, "threads", run, keys=keys, threads=3, **ORDINARY) as stores:
            stores.step("fill")
            for count in lab.threads:
                for workload in ("read", "view", "missing"):
                    stores.step(workload, threads=count, operations=operations_of(lab, keys) * count)
            for count in lab.threads:
                stores.step("overwrite", threads=count, operations=operations_of(lab, keys))
            beside = [name for name in stores.workers if name not in NOT_A_STORE] + ["empty"]
            stores.step("read-while-writing", threads=1, operations=operations_of(lab, keys), only=beside)


def durable(lab, run):
    """Every write on disk before it returns"""
    stores_only = [name for name in lab.engines if name not in NOT_A_STORE | {"bitcask-unverified"}]
    for count in (1, 2, 16, 64) if not lab.quick else (1, 16):
        with Stores(lab, "durable", run, names=stores_only, keys=1_000_000, threads=count + 1, durable=1,
                    **ORDINARY) as stores:
            stores.step("fill", threads=count, seconds=1 if lab.quick else 2)
    with Stores(lab, "durable", run, names=["bitcask"], keys=1_000_000, **ORDINARY) as stores:
        stores.step("fill", record="fill-before")
        stores.step("overwrite", record="after-100mb", durable=1, threads=1, seconds=1 if lab.quick else 2)


def large(lab, run):
    """Large values"""
    for value, keys in ((10_000, 50_000), (100_000, 5_000), (1_000_000, 500)):
        with Stores(lab, "large", run, keys=keys, key=16, value=value) as stores:
            stores.step("fill")
            stores.step("read", operations=2 * keys)
            stores.step("view", operations=2 * keys)
            stores.tell(f"rest seconds={SETTLING}")
            stores.step("read", record="read-settled", operations=2 * keys)


def pybitcask(lab, run):
    """The table of pybitcask"""
    for keys in (1_000, 10_000, 100_000):
        for value in (100, 1_000, 10_000):
            for _ in range(1 if keys > 10_000 else 3):
                tuning = {"keys": keys, "key": 16, "value": value, "names": no_probe(lab)}
                with Stores(lab, "pybitcask", run, **tuning) as stores:
                    stores.step("fill-seq")
                    for workload in ("read-seq", "read"):
                        stores.step(workload)
                    if keys == 100_000 and value == 10_000:
                        stores.tell(f"rest seconds={SETTLING}")
                        stores.step("read-seq", record="read-seq-settled")
                    stores.step("delete-seq")
                with Stores(lab, "pybitcask", run, **tuning) as stores:
                    stores.step("fill-seq", record="batch-100", batch=100)


def reopen(lab, run):
    """Opening again"""
    names = [name for name in lab.engines if name not in NOT_A_STORE | {"bitcask-unverified"}]
    for keys in lab.sizes:
        with Stores(lab, "reopen", run, names=names, keys=keys, **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            stores.tell("close", record="close")
            for worker in stores.workers.values():
                worker.begin_anew()
            stores.tell("open", record="open-clean")
            stores.tell("memory", record="memory-at-rest")
            stores.step("read", record="read-after", operations=100_000)
        with Stores(lab, "reopen", run, names=names, keys=keys, **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            for worker in stores.workers.values():
                worker.begin_anew()
            stores.tell("open", record="open-killed")
            stores.tell("memory", record="memory-after-kill")
            stores.step("read", record="read-after-kill", operations=100_000)


def memory(lab, run):
    """Memory of a key"""
    names = [name for name in lab.engines if name not in NOT_A_STORE | {"bitcask-unverified"}]
    for keys in lab.sizes:
        for name in names:  # one after the other: each has the machine's memory for itself
            with Stores(lab, "memory", run, names=[name], keys=keys, **ORDINARY) as stores:
                stores.tell("grow", record="grow")


def allocated(path):
    return path.stat().st_blocks * 512


def disk(lab, run):
    """Space of a record"""
    names = [name for name in lab.engines if name not in NOT_A_STORE | {"bitcask-unverified"}]
    for keys in lab.sizes:
        with Stores(lab, "disk", run, names=names, keys=keys, **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            stores.step("overwrite", record="overwrite-before", operations=keys // 2)
            stores.tell("compact", record="compact")
            stores.tell("close")
            for name, answer in stores.tell("disk").items():
                files = list(stores.workers[name].directory.rglob("*"))
                data = sum(allocated(f) for f in files if f.suffix == ".data" or name != "bitcask")
                hints = sum(allocated(f) for f in files if f.suffix == ".hint")
                lab.record("disk", "space", name, run, stores.tuning,
                           answer | {"data_bytes": data, "data_and_hints_bytes": data + hints})


def cold(lab, run):
    """The page cache cold"""
    names = [name for name in lab.engines if name not in NOT_A_STORE | {"bitcask-unverified"}]
    for keys in lab.sizes:
        with Stores(lab, "cold", run, names=names, keys=keys, **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            stores.tell("close")
            for name in list(stores.workers):
                stores.workers[name].begin_anew()
                stores.tell("evict", only=[name])
                stores.tell("open", only=[name], record="open-cold")
                stores.step("read", only=[name], record="read", operations=20_000)


def merge(lab, run):
    """Merging"""
    for keys in lab.sizes:
        with Stores(lab, "merge", run, names=["bitcask"], keys=keys, **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            stores.step("overwrite", record="overwrite-before", operations=keys // 2)
            stores.tell("compact", record="alone")
            stores.tell(f"paced rate={lab.rate} seconds=5", record="without")
            stores.step("overwrite", record="overwrite-before", operations=keys // 2)
            stores.tell(f"paced rate={lab.rate} seconds=60 compact=1", record="beside")


def latency(lab, run):
    """Latency at a fixed rate"""
    for keys in lab.sizes[:1]:
        with Stores(lab, "latency", run, keys=keys, threads=1, names=no_probe(lab), **ORDINARY) as stores:
            stores.step("fill", record="fill-before")
            stores.tell(f"paced rate={lab.rate} seconds={2 if lab.quick else 5}", record="paced", rate=lab.rate)


def growth(lab, run):
    """From ten thousand keys on"""
    for keys in lab.growth:
        names = [n for n in lab.engines if n not in lab.small_only] if keys <= 10_000_000 else ["empty", "bitcask"]
        with Stores(lab, "growth", run, names=names, keys=keys, **ORDINARY) as stores:
            seconds = 600 if keys > 10_000_000 else lab.limit
            stores.step("fill", seconds=seconds)
            for workload in ("read", "missing", "read-many", "overwrite"):
                stores.step(workload, operations=operations_of(lab, keys))
            stores.step("scan", seconds=seconds)
            stores.step("delete", seconds=10 if keys > 1_000_000 else lab.limit)


def no_probe(lab):
    return [name for name in lab.engines if name != "bare"]


ALL = [kv, threads, durable, latency, large, pybitcask, reopen, memory, disk, cold, merge, growth]
