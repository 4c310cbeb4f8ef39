#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# follow_test.py: `bitcask watch`, `keys --follow`, and reading beside a process that writes.
#
#     tests/cli/follow_test.py build/bitcask [CLASS[.case]...]
#
# The writer is `bitcask import --ack`: a line that it has acknowledged is in the store, whatever
# happens to the writer next. Nothing here waits for a time to pass; the timeout only ends a test
# that has failed.
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

BITCASK = ""  # set from the command line
TIMEOUT_S = 120
READING = (["get", "k"], ["exists", "k"], ["ttl", "k"], ["mget", "k"], ["keys"], ["scan"], ["count"],
           ["stats"], ["dump-keydir"], ["export"])


class Process:
    """A running command whose lines are read one by one."""

    def __init__(self, *words, cwd, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen([BITCASK, *words], stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, cwd=cwd)
        self.rest = b""
        self.lines = []

    def line(self):
        """The next line, or None at the end."""
        while not self.lines:
            ready, _, _ = select.select([self.process.stdout], [], [], TIMEOUT_S)
            if not ready:
                self.process.kill()
                raise AssertionError("no line within %d s; stderr: %s" %
                                     (TIMEOUT_S, self.process.stderr.read()))
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return None
            *self.lines, self.rest = (self.rest + chunk).split(b"\n")
        return self.lines.pop(0)

    def change(self):
        line = self.line()
        return None if line is None else json.loads(line)

    def end(self, signal_number=None):
        """The exit code, once all of its output is read."""
        if signal_number is not None:
            self.process.send_signal(signal_number)
        while self.line() is not None:
            pass
        self.err = self.process.stderr.read().decode()
        self.close()
        return self.process.wait(TIMEOUT_S)

    def close(self):
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                pass  # what was not written yet has no reader


class Writer(Process):
    def __init__(self, cwd, *options):
        super().__init__("-d", "data", "import", "--ack", "--format", "jsonl", "--sync", "none", *options,
                         "-", cwd=cwd, stdin=subprocess.PIPE)

    def send(self, pairs):
        for key, value in pairs:
            self.process.stdin.write(json.dumps({"key": key, "value": value}).encode() + b"\n")
        self.process.stdin.flush()

    def put(self, key, value):
        self.send([(key, value)])
        acknowledged = self.line()
        if acknowledged != key.encode():
            raise AssertionError("put %s: %s" % (key, acknowledged))

    def finish(self):
        self.process.stdin.close()
        return self.end()


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bitcask-follow-")
        self.dir = self.scratch.name
        self.running = []

    def tearDown(self):
        for process in self.running:
            if process.process.poll() is None:
                process.process.kill()
                process.process.wait()
            process.close()
        self.scratch.cleanup()

    def keep(self, process):
        self.running.append(process)
        return process

    def writer(self, *options):
        return self.keep(Writer(self.dir, *options))

    def start(self, *words):
        return self.keep(Process("-d", "data", *words, cwd=self.dir))

    def bitcask(self, *words, code=0):
        done = subprocess.run([BITCASK, "-d", "data", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, cwd=self.dir, timeout=TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, code, (words, done.stderr))
        self.err = done.stderr.decode()
        return done.stdout.decode()

    def export(self):
        items = [json.loads(line) for line in self.bitcask("export").splitlines()]
        contents = {item["key"]: item["value"] for item in items}
        self.assertEqual(len(contents), len(items))
        return contents


class BesideAWriter(Case):
    def test_reading_commands_see_what_was_acknowledged(self):
        writer = self.writer()
        for n in range(5):
            writer.put("k", "value %d" % n)
            self.assertEqual(self.bitcask("get", "k"), "value %d" % n)
            self.assertEqual(self.err, "")
        for words in READING:
            self.bitcask(*words)
        self.assertEqual(self.bitcask("count"), "1\n")
        self.bitcask("put", "k", "other", code=3)
        self.assertIn("in use", self.err)
        self.assertEqual(writer.finish(), 0)

    def test_they_go_on_over_segments(self):
        writer = self.writer("--segment-max-records", "3")
        for n in range(20):
            writer.put("key %d" % (n % 7), "value %d" % n)
        self.assertEqual(self.export(), {"key %d" % (n % 7): "value %d" % n for n in range(13, 20)})
        self.assertEqual(writer.finish(), 0)


class Watch(Case):
    def test_changes_come_as_they_land(self):
        self.bitcask("put", "first", "1")
        watch = self.start("watch", "--from", "start", "--interval", "1ms")
        self.assertEqual(watch.change()["key"], "first")
        writer = self.writer()
        writer.put("k", "v")
        change = watch.change()
        self.assertEqual((change["kind"], change["key"], change["value"]), ("put", "k", "v"))
        self.assertEqual(writer.finish(), 0)
        self.bitcask("delete", "k")
        change = watch.change()
        self.assertEqual((change["kind"], change["key"]), ("delete", "k"))
        self.assertNotIn("value", change)
        self.assertEqual(watch.end(signal.SIGINT), 0)

    def test_it_ends_in_order(self):
        self.bitcask("put", "first", "1")
        for number in (signal.SIGINT, signal.SIGTERM):
            watch = self.start("watch", "--from", "start")
            self.assertEqual(watch.change()["key"], "first")  # so the handlers are in place
            self.assertEqual(watch.end(number), 0)

    def test_it_ends_with_its_reader(self):
        self.bitcask("put", "first", "1")
        watch = self.start("watch", "--from", "start", "--interval", "1ms")
        self.assertEqual(watch.change()["key"], "first")
        watch.process.stdout.close()
        self.bitcask("put", "second", "1")
        self.assertEqual(watch.process.wait(TIMEOUT_S), -signal.SIGPIPE)

    def test_a_prefix_and_a_count(self):
        writer = self.writer()
        for key in ("a1", "b1", "a2", "b2", "a3"):
            writer.put(key, "v")
        watch = self.start("watch", "--from", "start", "--prefix", "a", "--count", "2")
        self.assertEqual([watch.change()["key"] for _ in range(2)], ["a1", "a2"])
        self.assertEqual(watch.end(), 0)
        self.assertEqual(writer.finish(), 0)

    def test_it_goes_on_from_its_position_file(self):
        keys = ["key %d" % n for n in range(10)]
        for key in keys:
            self.bitcask("put", key, "v")
        seen = []
        for count in (3, 1, 6):
            watch = self.start("watch", "--from", "start", "--position-file", "position", "--count",
                               str(count))
            seen += [watch.change()["key"] for _ in range(count)]
            self.assertEqual(watch.end(), 0)
        self.assertEqual(seen, keys)

    def test_a_printed_position_is_one_to_begin_at(self):
        for key in ("a", "b"):
            self.bitcask("put", key, "v")
        watch = self.start("watch", "--from", "start", "--count", "1")
        position = watch.change()["position"]
        watch.end()
        watch = self.start("watch", "--from", position, "--count", "1")
        self.assertEqual(watch.change()["key"], "b")
        watch.end()

    def test_what_is_no_position_is_refused(self):
        self.bitcask("put", "k", "v")
        watch = self.start("watch", "--from", "nowhere")
        self.assertNotEqual(watch.end(), 0)
        self.assertIn("is no position", watch.err)
        with open(os.path.join(self.dir, "position"), "w", encoding="utf-8"):
            pass
        watch = self.start("watch", "--position-file", "position")
        self.assertNotEqual(watch.end(), 0)
        self.assertIn("holds no position", watch.err)

    def test_what_a_merge_has_taken_is_told(self):
        self.bitcask("put", "k", "1")
        self.bitcask("put", "k", "2")
        self.bitcask("merge", "--all")
        watch = self.start("watch", "--from", "start", "--count", "1")
        self.assertEqual(watch.end(), 3)
        self.assertIn("merged away", watch.err)
        self.bitcask("put", "k", "3")
        watch = self.start("watch", "--from", "oldest", "--count", "1")
        self.assertEqual(watch.change()["value"], "3")
        self.assertEqual(watch.end(), 0)


class KeysFollow(Case):
    def test_what_is_there_and_then_what_is_put(self):
        self.bitcask("put", "first", "1")
        keys = self.start("keys", "--follow", "--interval", "1ms")
        self.assertEqual(keys.line(), b"first")
        writer = self.writer()
        for key in ("a", "b", "a"):
            writer.put(key, "v")
        self.assertEqual([keys.line() for _ in range(3)], [b"a", b"b", b"a"])
        self.assertEqual(keys.end(signal.SIGTERM), 0)
        self.assertEqual(writer.finish(), 0)

    def test_interval_is_for_follow(self):
        self.bitcask("put", "first", "1")
        self.bitcask("keys", "--interval", "1ms", code=2)


class Killed(Case):
    """kill -9 of one writer after the other, under the eyes of one `watch`."""

    ROUNDS = 6
    SEED = 20260701

    def collect(self, watch, changes):
        while True:
            change = watch.change()
            if change is None or change["key"] == "end":
                return
            changes.append(change)

    def test_each_change_comes_once_and_none_is_lost(self):
        random_ = random.Random(self.SEED)
        self.bitcask("put", "begin", "0")
        watch = self.start("watch", "--from", "start", "--interval", "1ms", "--position-file", "position")
        changes, acknowledged, number = [], [], 0
        collector = threading.Thread(target=self.collect, args=(watch, changes))
        collector.start()
        for _ in range(self.ROUNDS):
            writer = self.writer("--segment-max-records", str(random_.choice((7, 50, 100000))))
            pairs = []
            for _ in range(random_.randrange(50, 400)):
                number += 1
                pairs.append(("key %d" % random_.randrange(30), "value %d" % number))
            writer.send(pairs)
            wanted = random_.randrange(1, len(pairs))
            for i in range(wanted):
                self.assertEqual(writer.line().decode(), pairs[i][0])
            acknowledged += pairs[:wanted]
            beside = self.export()  # a follower of its own, while the writer writes
            for key, value in dict(pairs[:wanted]).items():
                self.assertGreaterEqual(int(beside[key].split()[1]), int(value.split()[1]))
            writer.process.kill()
            writer.end()
        if random_.random() < 0.5:
            self.bitcask("delete", "key 1")
        self.bitcask("put", "end", "0")
        collector.join(TIMEOUT_S)
        self.assertFalse(collector.is_alive())
        self.assertEqual(watch.end(signal.SIGTERM), 0, watch.process)
        self.check(changes, acknowledged)

    def check(self, changes, acknowledged):
        versions = [change["version"] for change in changes]
        self.assertEqual(versions, sorted(set(versions)))
        given = [(c["key"], c["value"]) for c in changes if c["kind"] == "put"]
        self.assertEqual(len(given), len(set(given)))
        at = 0
        for pair in acknowledged:  # in their order, none missing
            at = given.index(pair, at) + 1
        contents = {"end": "0"}
        for change in changes:
            if change["kind"] == "put":
                contents[change["key"]] = change["value"]
            else:
                contents.pop(change["key"])
        self.assertEqual(contents, self.export())


if __name__ == "__main__":
    BITCASK = os.path.abspath(sys.argv[1])
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
