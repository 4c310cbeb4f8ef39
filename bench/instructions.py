#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""instructions.py PROGRAM BUDGET [--update]: instructions per operation, against a budget.

    PROGRAM   bench/instructions of a release build
    BUDGET    bench/budget.txt: lines of an operation and its instructions, and the compiler they are of
    --update  write BUDGET from what was counted now: `make bench-instructions UPDATE=1`; the commit that
              raises a figure says why

Instructions are counted by callgrind, so that a busy machine changes nothing. Fails if an operation takes over
3% more than its budget. Where there is no valgrind, or another compiler than the budget's, or processors that
valgrind shows otherwise, it says so and judges nothing."""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

KEYS, RECOVERED, TOLERANCE = 30_000, 200_000, 0.03
ROUNDS = 3  # of stores with hash seeds of their own; the median counts
ON_EMPTY = ["put", "batch"]
ON_FULL = ["get", "view", "get_many", "missing", "scan", "overwrite", "delete"]


def count(program, operation, store, keys):
    """Instructions of the whole process, all its threads."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, operation,
                           str(store), str(keys)], capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"instructions: {operation}: {done.stderr}")
    return int(found.group(1))


def make_store(program, directory, keys):
    subprocess.run([program, "make", str(directory), str(keys)], check=True)
    return directory


def measure(program, scratch):
    """operation -> instructions of one, or of a key for recovery."""
    def fresh(name, keys):
        copy = scratch / f"{name}-copy"
        shutil.rmtree(copy, ignore_errors=True)
        if keys is None:
            copy.mkdir()
        else:
            shutil.copytree(scratch / str(keys), copy)
        return copy

    for keys in (KEYS, RECOVERED):
        make_store(program, scratch / str(keys), keys)
    opening = {keys: count(program, "open", fresh("open", keys), keys) for keys in (KEYS, RECOVERED)}
    before = {keys: count(program, "nothing", fresh("nothing", keys), KEYS) for keys in (None, KEYS)}
    counted = {name: (count(program, name, fresh(name, None), KEYS) - before[None]) / KEYS for name in ON_EMPTY}
    counted |= {name: (count(program, name, fresh(name, KEYS), KEYS) - before[KEYS]) / KEYS for name in ON_FULL}
    counted["recovery"] = (opening[RECOVERED] - opening[KEYS]) / (RECOVERED - KEYS)
    return counted


def conditions(program):
    """What the counts depend on: the compiler, and which of the checksums the processor can."""
    compiler = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True, text=True, check=True).stdout
    name = re.search(r"(GCC|clang)[^\n]*? (\d+)\.\d+", compiler)
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    wide = all(re.search(rf"\b{flag}\b", flags) for flag in ("avx2", "pclmulqdq", "bmi2"))
    return f"{name.group(1).lower()} {name.group(2)}, {'avx2' if wide else 'no avx2'}" if name else "unknown"


def read_budget(path):
    budget, made = {}, ""
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else []:
        if line.startswith("# counted with: "):
            made = line.split(": ", 1)[1]
        elif line and not line.startswith("#"):
            name, number = line.split()
            budget[name] = float(number)
    return budget, made


def write_budget(path, counted, made):
    head = path.read_text(encoding="ascii").split("# counted with:")[0] if path.exists() else ""
    lines = [f"{name:<10}{number:8.1f}" for name, number in counted.items()]
    path.write_text(f"{head}# counted with: {made}\n" + "\n".join(lines) + "\n", encoding="ascii")


def judge(counted, budget):
    """Print the table; what is above its budget."""
    print(f"{'operation':<12}{'instructions':>14}{'budget':>10}{'change':>9}")
    above = []
    for name, number in counted.items():
        allowed = budget.get(name)
        change = (number - allowed) / allowed if allowed else 0
        print(f"{name:<12}{number:14.1f}{allowed or 0:10.1f}{100 * change:8.1f}%")
        if allowed is None or change > TOLERANCE:
            above.append(name)
        elif change < -TOLERANCE:
            print(f"  fewer than the budget has: take the gain in with `make bench-instructions UPDATE=1`")
    return above


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("program")
    parser.add_argument("budget", type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions: not judged: there is no valgrind (scripts/setup dev installs it)")
        return 0
    budget, made = read_budget(options.budget)
    here = conditions(options.program)
    if not options.update and here != made:
        print(f"instructions: not judged: the budget is of {made}, here is {here}")
        return 0
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="instructions-") as scratch:
            rounds.append(measure(options.program, pathlib.Path(scratch)))
    counted = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    above = judge(counted, budget)
    if options.update:
        write_budget(options.budget, counted, here)
        return 0
    for name in above:
        print(f"instructions: {name} takes more than its budget and 3%. Where that is right, say why in the commit"
              " and run `make bench-instructions UPDATE=1`")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
