# SPDX-License-Identifier: MIT
"""power_cut.py: power cuts under a running writer, on real file systems.

The writer and the questions are those of tests/crash/kill9.py; here the file system is stopped while
the writer runs, and only then the writer is killed. In mode `always` all that was acknowledged must
be there after the next mount; in the other modes a prefix of what was written, without holes. Counted
is what was acknowledged before the cut began: ext4 answers a sync that is under way while it is shut
down with success (the conversion of the extent fails, and nobody is told), and no power cut does
that."""

import os
import random
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))

import kill9  # noqa: E402

CUTS_PER_STORE = 5


class Cut(kill9.Damage):
    """Some of what was not synced may be gone: nobody knows from where on."""

    def __init__(self):
        super().__init__("power cut")
        self.offset = 0


def one_cut(store, device, random_, mode, seed):
    batch = random_.choice((1, 1, 7, 100))
    goal = random_.choice((1, 20, 200, 2000))
    if mode == "always":
        goal = min(goal, 200)
    writer = kill9.Writer(store, random_, mode, batch, random_.choice((0, 2 * goal + 1000)))

    def cut_and_kill():
        device.cut(seed)
        writer.process.send_signal(signal.SIGKILL)

    acknowledged = writer.run_until_killed(goal, random_.choice((0, 0.002, 0.02)), cut_and_kill)
    device.power_on()
    before = store.export() if os.path.exists(store.directory) else {}
    p = kill9.check_contents(store, writer.writes, before)
    kill9.check_end(store, writer.writes, p, mode, batch, acknowledged, Cut())
    if before or os.path.exists(store.directory):
        kill9.recover(store, random_)
        kill9.require(store.export() == before, "the store changed when it was recovered")
        store.run("verify")
    store.contents = before
    return acknowledged


def campaign(program, device, cuts, seed, report=lambda line: None):
    """Returns how many cuts there were by mode. Raises kill9.Failure."""
    store = None
    tally = dict.fromkeys(kill9.MODES, 0)
    for index in range(cuts):
        random_ = random.Random("%d/%s/%d" % (seed, device.kind, index))
        if store is None or index % CUTS_PER_STORE == 0:
            directory = os.path.join(device.path, "store")
            shutil.rmtree(directory, ignore_errors=True)
            store = kill9.Store(program, directory, random_)
            store.options = ["--segment-size", random_.choice(("64K", "256K", "1M"))]
            store.large_segments = False
            # The store is there and empty, durably: a cut while one is made is another matter.
            store.run("put", "--sync", "always", *store.options, "first", "x:0:")
            store.contents = {"first": "x:0:"}
        mode = kill9.MODES[index % 3]
        try:
            acknowledged = one_cut(store, device, random_, mode, seed + index)
        except kill9.Failure as failure:
            raise kill9.Failure("%s, cut %d, seed %d: %s"
                                % (device.kind, index, seed, failure)) from None
        tally[mode] += 1
        report("%s: cut %d of %d, %s, %d acknowledged" % (device.kind, index + 1, cuts, mode,
                                                           acknowledged))
    return tally


Failure = kill9.Failure
