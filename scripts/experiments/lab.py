# SPDX-License-Identifier: MIT
"""lab.py: what the experiments share: the programs, a place to work in, one line of JSON per measurement."""

import json
import os
import pathlib
import platform
import shutil
import subprocess


class Lab:
    """`scale` shrinks the numbers of keys: 1 is the size of docs/EXPERIMENTS.md."""

    def __init__(self, build, work, scale):
        self.bitcask = os.path.join(build, "bitcask")
        self.keys_in_memory = os.path.join(build, "bench", "keys-in-memory")
        self.store = os.path.join(work, "store")
        self.work = work
        self.scale = scale
        self.rounds = 3 if scale >= 0.1 else 1  # of what is compared
        self.rows = []

    def size(self, keys, least=1000):
        return max(least, int(keys * self.scale))

    def note(self, experiment, **figures):
        self.rows.append({"experiment": experiment} | figures)

    def of(self, experiment):
        return [row for row in self.rows if row["experiment"] == experiment]

    def json(self, *arguments):
        """The lines that a command prints with --json. What it says on stderr is shown if it fails."""
        done = subprocess.run([self.bitcask, "--json", *map(str, arguments)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"bitcask {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def remove(self):
        shutil.rmtree(self.store, ignore_errors=True)

    def bench(self, keys, *workloads, key_size=16, value_size=100, options=()):
        """Fill a new store, which is kept, and run workloads on it."""
        self.remove()
        return self.json("--no-merge", "bench", "-n", keys, "--key-size", key_size, "--value-size", value_size,
                         "--dir", self.store, "--keep", *options, *workloads)

    def stats(self, *options):
        return self.json("-d", self.store, "--read-only", *options, "stats")[0]

    def files(self, pattern):
        return sorted(pathlib.Path(self.store).glob(pattern))

    def opened_ms(self, *options):
        """What the library says that opening took, in another process; nothing is written."""
        done = subprocess.run([self.bitcask, "-d", self.store, "--read-only", *options, "--log-level", "info",
                               "--log-format", "json", "exists", "no such key"],
                              capture_output=True, text=True, check=False)
        for line in done.stderr.splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event.get("event") == "recovered":
                    return event["duration_us"] / 1000
        raise RuntimeError(f"the store was not opened: {done.stderr}")


def first(path, field):
    """The value of a line `field : value` of a file of /proc."""
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field):
                return line.split(":", 1)[1].strip()
    return "unknown"


def filesystem(directory):
    """The type of the file system that holds a directory: of the longest mount point above it."""
    best, kind = "", "unknown"
    real = os.path.realpath(directory)
    with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            point, found = line.split()[1:3]
            if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
                best, kind = point, found
    return kind


def machine(directory):
    return {"processor": first("/proc/cpuinfo", "model name"), "processors": os.cpu_count(),
            "memory_gib": round(int(first("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)),
            "virtual": "hypervisor" in first("/proc/cpuinfo", "flags"), "kernel": platform.release().split("-")[0],
            "filesystem": filesystem(directory)}
