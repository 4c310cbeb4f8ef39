#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill9.py: kill -9 of real writing processes, and imitations of a power cut.

Each round starts `bitcask import --ack`, feeds it with lines, kills it with SIGKILL after some
acknowledgements, may damage what was not synced (cut off or zeroed at a random place, as a power
cut would leave it), opens the store again and looks at everything in it. Some rounds also kill a
running merge, or the recovery itself. A store lives for a few rounds.

Every write has a number, n, and its value says so: "KEY:n:PATTERN". Since a store that has lost
its tail holds exactly what was written up to some number p, the highest number found tells p, and
then every key must have the value that it had after write p: nothing missing, nothing wrong,
nothing risen from the dead. And:
    killed only              p >= the last acknowledged write, in every mode
    damaged, mode always     p >= the last acknowledged write
    damaged, other modes     p is the last write before the damage
    written in batches       p is the end of a batch
A read-only open, the recovering open and an open after that must agree. What was cut must have
been reported as a log event at the right place, and kept in quarantine/.

    kill9.py [--bitcask PROGRAM] [--rounds N] [--seed S] [--from ROUND] [--scratch DIR]
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import store_files

ROUNDS_PER_STORE = 4
MODES = ("none", "interval", "always")
DAMAGES = (None, None, "cut", "zero", "hole")


class Failure(Exception):
    pass


def require(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


Write = collections.namedtuple("Write", "number key value")


def make_value(random_, key, number):
    size = random_.choice((0, 10, 100, 100, 300, 300, 1000, 5000, random_.randrange(60000)))
    unit = "%d.%s-" % (number, key)
    return "%s:%d:%s" % (key, number, (unit * (size // len(unit) + 1))[:size])


def number_of(value):
    match = re.match(r"[^:]*:(\d+):", value)
    require(match, "a value that nobody wrote:", repr(value[:80]))
    return int(match.group(1))


class Store:
    """A store directory, what must be in it, and the command that works on it."""

    def __init__(self, program, directory, random_):
        self.program, self.directory = program, directory
        self.contents = {}  # key: value, all durable
        self.number = 0
        self.keys = ["key-%04d" % i for i in range(random_.choice((1, 20, 400, 3000)))]
        segment_size = random_.choice(("64K", "256K", "1M", "16M"))
        self.options = ["--segment-size", segment_size]
        self.large_segments = segment_size == "16M"  # import writes no batch early

    def command(self, *words):
        return [self.program, "-d", self.directory, "--log-format", "json", "--log-level", "info",
                "--quiet", *words]

    def run(self, *words, expect=(0,)):
        done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=120, check=False)
        require(done.returncode in expect, "bitcask", *words, "returned", done.returncode,
                done.stderr.decode(errors="replace")[-1000:])
        return done

    def export(self):
        """All of the contents, through a read-only open; keys must be unique."""
        contents = {}
        for line in self.run("export").stdout.splitlines():
            item = json.loads(line)
            require(item["key"] not in contents, "the export has", item["key"], "twice")
            contents[item["key"]] = item["value"]
        return contents


def log_events(stderr):
    events = []
    for line in stderr.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            pass  # a message that is no event
    return [e for e in events if isinstance(e, dict) and "event" in e]


def durable_end(store):
    """Where the log ended before the writer started: the last process had closed it."""
    records = log_records(store) if os.path.exists(store.directory) else []
    return (records[-1].segment, records[-1].end) if records else (0, 0)


# ---- Writing, until killed -----------------------------------------------------------------------


class Writer:
    """`bitcask import --ack`, fed by a thread of its own."""

    def __init__(self, store, random_, mode, batch, ahead):
        """`ahead`: so many lines are ready from the start, to be written at full speed: then the
        kill meets the writer at work, and not waiting for its input."""
        self.random, self.store = random_, store
        self.writes = []
        self.durable = durable_end(store)
        self.format = random_.choice(("jsonl", "tsv"))
        self.prepared = [self.next_line() for _ in range(ahead)]
        words = ["import", "--ack", "--format", self.format, "--batch", str(batch), "--sync", mode,
                 "--sync-interval", random_.choice(("5ms", "50ms", "1s")), *store.options, "-"]
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(store.command(*words), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.stderr)
        self.feeder = threading.Thread(target=self.feed, daemon=True)

    def line(self, write):
        if self.format == "tsv":
            return "%s\t%s\n" % (write.key, write.value)
        return json.dumps({"key": write.key, "value": write.value}) + "\n"

    def next_line(self):
        self.store.number += 1
        key = self.random.choice(self.store.keys)
        write = Write(self.store.number, key, make_value(self.random, key, self.store.number))
        self.writes.append(write)  # before it can possibly be stored
        return self.line(write).encode()

    def feed(self):
        try:
            for line in self.prepared:
                self.process.stdin.write(line)
            while True:
                self.process.stdin.write(self.next_line())
                if self.random.random() < 0.01:
                    self.process.stdin.flush()
        except OSError:
            pass  # the reader is dead

    def run_until_killed(self, acknowledgements, delay_s, kill=None):
        """Returns how many writes were acknowledged before the kill began, or with the plain kill
        at all. `kill`, if given, does the killing; the writer may meet its end before that."""
        self.feeder.start()
        count = 0
        rest = b""
        killed = False
        counted = None
        while True:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                break
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()  # a line that was not finished is no acknowledgement
            for line in lines:
                require(line.decode() == self.writes[count].key, "acknowledgement", count, "is of",
                        line, "and not of", self.writes[count].key)
                count += 1
            if count >= acknowledgements and not killed:
                time.sleep(delay_s)
                if kill:
                    counted = count
                    kill()
                else:
                    self.process.send_signal(signal.SIGKILL)
                killed = True
        returned = self.process.wait()
        self.feeder.join()
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.stdout.close()
        self.stderr.seek(0)
        message = self.stderr.read().decode(errors="replace")
        self.stderr.close()
        require(killed if kill else returned == -signal.SIGKILL, "the writer ended by itself:", returned,
                message[-1000:])
        return count if counted is None else counted


# ---- Damage as by a power cut --------------------------------------------------------------------


class Damage:
    """What was done to the files, and what must be left."""

    def __init__(self, kind):
        self.kind = kind
        self.segment = self.offset = None  # of the first byte that changed
        self.first_lost = None             # the first record that is no longer whole
        self.last_whole = 0                # number of the last write before it
        self.followed = False              # by a record that is whole

    def __str__(self):
        if self.offset is None:
            return "no damage"
        return "%s at %d:%d" % (self.kind, self.segment, self.offset)


def log_records(store):
    records = []
    for segment in store_files.unsealed_logs(store.directory):
        records += store_files.read_records(store.directory, segment)
    return records


def number_in(record):
    try:
        return number_of(record.value.decode())
    except (Failure, UnicodeDecodeError):
        return 0  # torn by the kill


def places(records, floor, mode, acknowledged_number):
    """(segment, from, to): where a byte may have been lost. `floor`: all before it is durable."""
    floor = max(floor, store_files.durable_floor(records))
    if mode == "always":
        for record in records:
            if not record.is_meta and 0 < number_in(record) <= acknowledged_number:
                floor = max(floor, (record.segment, record.end))
    found = []
    for segment in sorted({r.segment for r in records}):
        mine = [r for r in records if r.segment == segment]
        begin = floor[1] if segment == floor[0] else store_files.HEADER_SIZE
        if segment >= floor[0] and begin < mine[-1].end:
            found.append((segment, begin, mine[-1].end))
    return found


def make_damage(store, random_, kind, mode, writer, acknowledged):
    damage = Damage(kind)
    records = log_records(store) if kind else []
    last = writer.writes[acknowledged - 1].number if acknowledged else 0
    possible = places(records, writer.durable, mode, last)
    if not possible:
        return damage
    segment, begin, end = random_.choice((possible[-1], random_.choice(possible)))
    at = random_.randrange(begin, end)
    if random_.random() < 0.5 and at // 512 * 512 >= begin:
        at = at // 512 * 512  # sectors
    elif random_.random() < 0.6:  # between two records: the hardest place to tell from an end
        at = random_.choice([r.offset for r in records
                             if r.segment == segment and r.offset >= begin] or [at])
    with open(store_files.data_path(store.directory, segment), "r+b") as file:
        before = file.read()
        if kind == "cut":
            after = before[:at]
            file.truncate(at)
        else:
            to = len(before) if kind == "zero" else min(end, at + random_.choice((1, 512, 4096)))
            after = before[:at] + bytes(to - at) + before[to:]
            file.seek(at)
            file.write(bytes(to - at))
    changed = [i for i in range(at, end) if i >= len(after) or after[i] != before[i]]
    if not changed:
        return damage
    damage.segment, damage.offset = segment, changed[0]
    writes = [r for r in records if number_in(r) > 0]
    if writes:  # what came before stands in sealed segments
        damage.last_whole = number_in(writes[0]) - 1
    for record in records:
        if (record.segment, record.end) <= (damage.segment, damage.offset):
            if not record.is_meta:
                damage.last_whole = max(damage.last_whole, number_in(record))
        elif damage.first_lost is None:
            damage.first_lost = record
        elif record.segment > segment or record.offset > changed[-1]:
            damage.followed = True
    return damage


# ---- What must be left ---------------------------------------------------------------------------


def check_contents(store, writes, got):
    """Returns p, the number of the last write that is there; all must be as it was then."""
    numbers = {w.number: w for w in writes}
    p = 0
    for key, value in got.items():
        number = number_of(value)
        if number in numbers:
            require(numbers[number].key == key, key, "has the value of write", number)
            p = max(p, number)
    wanted = dict(store.contents)
    for write in writes:
        if write.number <= p:
            wanted[write.key] = write.value
    for key in sorted(set(wanted) | set(got)):
        require(key in got, key, "is missing; the last write there is", p)
        require(key in wanted, key, "should not be there; the last write there is", p)
        require(got[key] == wanted[key], key, "has", repr(got[key][:60]), "and not",
                repr(wanted[key][:60]), "; the last write there is", p)
    return p


def check_end(store, writes, p, mode, batch, acknowledged, damage):
    first = writes[0].number
    count = p - first + 1 if p else 0
    if damage.offset is None or mode == "always":
        require(count >= acknowledged, "acknowledged", acknowledged, "writes, there are", count)
    if batch > 1 and store.large_segments:
        require(count % batch == 0, "half a batch:", count, "writes are there, batches of", batch)
    if damage.first_lost is not None and batch == 1:
        left = damage.last_whole if damage.last_whole >= first else 0
        # A lost seal is no lost write: what follows may stay, or go.
        require(p == left or (damage.first_lost.is_seal and p > left),
                "of the writes before the damage", left, "is the last, found was", p)


def check_report(store, damage, events):
    """The recovering open must have said what it cut, where, and kept it."""
    lost = damage.first_lost
    if lost is None or lost.is_seal:
        return
    cuts = [e for e in events if e["event"] == "cut"]
    if damage.offset == lost.offset and not damage.followed:
        return  # between two records, and nothing behind: that is how a log ends
    require(any((e["segment"], e["offset"]) <= (lost.segment, lost.offset) or
                e["segment"] > lost.segment and damage.offset == lost.offset for e in cuts),
            "no event tells of the cut at", lost.segment, lost.offset, "but", cuts)
    if damage.kind == "hole":
        require(os.listdir(os.path.join(store.directory, "quarantine")), "nothing in quarantine/")


def recover(store, random_):
    """Open for writing, sometimes killed while at it; returns the log events of all that."""
    events = []
    absent = ("delete", "no-such-key")
    while random_.random() < 0.3:
        process = subprocess.Popen(store.command(*absent), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        time.sleep(random_.random() * 0.02)
        process.kill()
        events += log_events(process.communicate()[1])
    events += log_events(store.run(*absent, expect=(1,)).stderr)
    return events


def check_store(store, random_, writes, mode, batch, acknowledged, damage):
    before = store.export()
    p = check_contents(store, writes, before)
    check_end(store, writes, p, mode, batch, acknowledged, damage)
    events = recover(store, random_)
    require(store.export() == before, "the store changed when it was recovered")
    store.run("verify")
    check_report(store, damage, events)
    store.contents = before
    return p


# ---- Rounds --------------------------------------------------------------------------------------


def kill_merge(store, random_):
    process = subprocess.Popen(store.command("merge", "--all", *store.options),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(random_.random() * random_.choice((0.01, 0.05, 0.2)))
    process.kill()
    process.wait()
    require(store.export() == store.contents, "a killed merge changed the store")
    if random_.random() < 0.5:
        store.run("merge", "--all", *store.options)
        require(store.export() == store.contents, "a merge changed the store")


def delete_some(store, random_):
    keys = random_.sample(sorted(store.contents), min(len(store.contents), 20))
    if keys:
        store.run("delete", *keys)
        for key in keys:
            del store.contents[key]


def run_round(store, random_, index, scratch):
    mode = MODES[index % 3]
    damage_kind = DAMAGES[index // 3 % len(DAMAGES)]
    batch = random_.choice((1, 1, 1, 7, 100))
    goal = random_.choice((1, 50, 500, 3000, random_.randrange(1, 6000)))
    if mode == "always":
        goal = min(goal, 600)
    writer = Writer(store, random_, mode, batch, random_.choice((0, 2 * goal + 1000)))
    acknowledged = writer.run_until_killed(goal, random_.choice((0, 0.001, 0.02)))
    damage = make_damage(store, random_, damage_kind, mode, writer, acknowledged)
    shutil.rmtree(os.path.join(scratch, "before"), ignore_errors=True)
    shutil.copytree(store.directory, os.path.join(scratch, "before"))
    p = check_store(store, random_, writer.writes, mode, batch, acknowledged, damage)
    if random_.random() < 0.4:
        delete_some(store, random_)
    if random_.random() < 0.4:
        kill_merge(store, random_)
    return "%-8s batch %-3d %5d acknowledged, %5d there, %s" % (
        mode, batch, acknowledged, p - writer.writes[0].number + 1 if p else 0, damage)


def replay_command(arguments, index):
    first = index // ROUNDS_PER_STORE * ROUNDS_PER_STORE
    return "%s --bitcask %s --seed %d --from %d --rounds %d" % (
        sys.argv[0], arguments.bitcask, arguments.seed, first, index - first + 1)


def run(arguments, scratch):
    store = None
    tally = collections.Counter()
    started = time.monotonic()
    for index in range(arguments.first, arguments.first + arguments.rounds):
        random_ = random.Random("%d/%d" % (arguments.seed, index))
        if store is None or index % ROUNDS_PER_STORE == 0:
            shutil.rmtree(os.path.join(scratch, "store"), ignore_errors=True)
            store = Store(arguments.bitcask, os.path.join(scratch, "store"), random_)
        try:
            line = run_round(store, random_, index, scratch)
        except (Failure, subprocess.TimeoutExpired) as failure:
            print("round %d FAILED: %s" % (index, failure))
            print("the store before it was opened again: %s/before, now: %s/store"
                  % (scratch, scratch))
            print("seed %d; replay: %s" % (arguments.seed, replay_command(arguments, index)))
            return 1
        tally[MODES[index % 3]] += 1
        tally["damaged"] += "no damage" not in line
        print("round %3d: %s" % (index, line), flush=True)
    print("%d rounds (%s; %d with damage), seed %d, %.0f s: nothing lost, nothing wrong"
          % (arguments.rounds, ", ".join("%d %s" % (tally[m], m) for m in MODES),
             tally["damaged"], arguments.seed, time.monotonic() - started))
    return 0


def main():
    parser = argparse.ArgumentParser(description="kill -9 of real writing processes")
    parser.add_argument("--bitcask", default="build/bitcask", help="the program")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--from", dest="first", type=int, default=0, help="number of the first round")
    parser.add_argument("--scratch", help="directory for the stores (default: a temporary one)")
    arguments = parser.parse_args()
    arguments.bitcask = os.path.abspath(arguments.bitcask)
    if arguments.first % ROUNDS_PER_STORE != 0:
        parser.error("--from must be a multiple of %d" % ROUNDS_PER_STORE)
    scratch = arguments.scratch or tempfile.mkdtemp(prefix="bitcask-kill9-")
    os.makedirs(scratch, exist_ok=True)
    print("seed %d" % arguments.seed, flush=True)
    result = run(arguments, scratch)
    if result == 0 and not arguments.scratch:
        shutil.rmtree(scratch)
    return result


if __name__ == "__main__":
    sys.exit(main())
