#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""realfs.py: the store on real file systems that lose power, fail, and fill up.

    realfs.py [--bitcask PROGRAM] [--library FILE] [--cuts N] [--seed S] [--only PART]

Needs root, loop devices, and for the second kind of power cut and the write errors nbdkit and
nbdfuse. What this machine cannot do is skipped, and said. Exit status 1 if anything failed."""

import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import disk  # noqa: E402
import library  # noqa: E402
import limits  # noqa: E402
import power_cut  # noqa: E402
import write_error  # noqa: E402
from power_cut import Failure  # noqa: E402

# (class, file system, share of the cuts)
DEVICES = ((disk.LoopDisk, "ext4", 40), (disk.LoopDisk, "xfs", 20),
           (disk.VolatileDisk, "ext4", 15), (disk.VolatileDisk, "xfs", 15),
           (disk.VolatileDisk, "btrfs", 10))
MANNER = {disk.LoopDisk: "stopped by its shutdown call", disk.VolatileDisk: "write cache lost"}


class Summary:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, name, text, failed=False):
        skipped = text.startswith("skipped")
        self.failed += failed
        self.skipped += skipped
        self.passed += not failed and not skipped
        print("%s: %s%s" % (name, "FAILED: " if failed else "", text), flush=True)


def progress(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


def cuts(arguments, summary):
    for kind, name, share in DEVICES:
        label = "power cuts, %s, %s" % (name, MANNER[kind])
        count = max(3, arguments.cuts * share // 100)
        started = time.monotonic()
        try:
            with kind(name) as device:
                tally = power_cut.campaign(arguments.bitcask, device, count, arguments.seed,
                                           progress)
        except disk.Unsupported as reason:
            summary.line(label, "skipped: %s" % reason)
        except Failure as failure:
            summary.line(label, str(failure), failed=True)
        else:
            progress("")
            summary.line(label, "%d cuts (%s), nothing lost, nothing wrong, %.0f s" % (
                count, ", ".join("%d %s" % (n, m) for m, n in tally.items()),
                time.monotonic() - started))


def errors(arguments, summary):
    columns = ("first sync", "retry", "read", "after remount")
    try:
        for name, who, row in write_error.table(arguments.lib, ("ext4", "xfs", "btrfs")):
            if isinstance(row, dict):
                row = ", ".join("%s: %s" % (c, row[c]) for c in columns)
            summary.line("write error, %s, %s" % (name, who), row)
    except AssertionError as failure:
        summary.line("write error", str(failure), failed=True)


def bounds(arguments, summary):
    try:
        for name, text in limits.run_all(arguments.lib, arguments.bitcask, arguments.seed,
                                         ("tmpfs", "ext4", "xfs")):
            summary.line(name, text)
    except AssertionError as failure:
        summary.line("limits", str(failure), failed=True)


PARTS = {"cuts": cuts, "errors": errors, "limits": bounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bitcask", default="build/bitcask")
    parser.add_argument("--library", default="build/libbitcask.so")
    parser.add_argument("--cuts", type=int, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--only", choices=sorted(PARTS))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("realfs: skipped: mounting file systems needs root")
        return 0
    arguments.bitcask = os.path.abspath(arguments.bitcask)
    arguments.lib = library.Library(os.path.abspath(arguments.library))
    print("seed %d" % arguments.seed, flush=True)
    summary = Summary()
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(arguments, summary)
    print("realfs: %d passed, %d failed, %d skipped"
          % (summary.passed, summary.failed, summary.skipped))
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
