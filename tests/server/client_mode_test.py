# SPDX-License-Identifier: MIT
"""client_mode_test.py BITCASK: the command on a store that a server has open.

The same lines are run on two stores, one of them behind a server: exit codes and all that is printed
must be the same, but for versions and times."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import TIMEOUT_S, Server  # pylint: disable=wrong-import-position

BITCASK = os.path.abspath(sys.argv[1])


def without_versions(text):
    text = re.sub(rb"\b1[0-9]{15}\b", b"VERSION", text)
    text = re.sub(rb"20[0-9]{2}-[0-9T:. -]+Z?", b"TIME", text)
    return re.sub(rb'"(duration_us|disk_bytes_[a-z]+|ttl_ms)":[0-9]+', rb'"\1":N', text)


class Case(unittest.TestCase):
    OPTIONS = ()
    CONFIG = None

    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bitcask-client-")
        self.addCleanup(self.scratch.cleanup)
        os.mkdir(os.path.join(self.scratch.name, "served"))
        self.server = Server(BITCASK, os.path.join(self.scratch.name, "served"), *self.OPTIONS,
                             config=self.CONFIG)
        self.assertTrue(self.server.started(), self.server.said)
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.process.stderr.close)
        self.addCleanup(self.server.stop)
        self.alone = os.path.join(self.scratch.name, "alone")

    def run_on(self, store, *words, given=b""):
        env = {k: v for k, v in os.environ.items() if k != "BITCASK_DIR"}
        run = subprocess.run([BITCASK, "-d", store, *words], input=given, capture_output=True,
                             cwd=self.scratch.name, env=env, timeout=TIMEOUT_S, check=False)
        return run.returncode, run.stdout, run.stderr

    def same(self, *words, given=b""):
        """Run the line on both stores; returns what the server's said."""
        mine = self.run_on(self.alone, *words, given=given)
        served = self.run_on(self.server.store, *words, given=given)
        self.assertEqual(tuple(map(without_versions, served[1:])),
                         tuple(map(without_versions, mine[1:])), words)
        self.assertEqual(served[0], mine[0], (words, served, mine))
        return served


class SingleKeys(Case):
    def test_put_get_delete(self):
        self.assertEqual(self.same("put", "city", "Utrecht")[0], 0)
        self.assertEqual(self.same("get", "city")[1], b"Utrecht")
        self.same("--json", "put", "city", "Delft")
        self.same("--json", "get", "city")
        self.same("get", "city", "--meta")
        self.same("--json", "get", "city", "--meta")
        self.assertEqual(self.same("get", "missing")[0], 1)
        self.same("--json", "get", "missing")
        self.assertEqual(self.same("exists", "city", "missing")[1], b"yes\nno\n")
        self.same("--json", "exists", "city", "missing")
        self.assertEqual(self.same("mget", "city", "missing")[0], 1)
        self.same("--json", "mget", "city", "missing")
        self.assertEqual(self.same("delete", "city", "missing")[0], 1)
        self.same("--json", "delete", "city")

    def test_any_bytes_of_any_size(self):
        value = bytes(range(256)) * 20000  # 5 MB
        self.same("put", "large", "-", given=value)
        self.assertEqual(self.same("get", "large")[1], value)
        self.same("put", "empty", "")
        self.assertEqual(self.same("get", "empty")[:2], (0, b""))
        self.same("put", "", "value")  # refused alike

    def test_conditions(self):
        self.same("put", "lock", "me", "--if-absent")
        self.assertEqual(self.same("put", "lock", "you", "--if-absent")[0], 1)
        self.assertEqual(self.same("put", "lock", "you", "--if-version", "7")[0], 1)
        self.assertEqual(self.same("put", "nobody", "x", "--if-version", "7")[0], 1)
        for store in (self.alone, self.server.store):
            _, said, _ = self.run_on(store, "--json", "put", "lock", "v1")
            version = json.loads(said)["version"]
            code, said, _ = self.run_on(store, "--json", "put", "lock", "v2", "--if-version",
                                        str(version))
            self.assertEqual(code, 0)
            _, meta, _ = self.run_on(store, "--json", "get", "lock", "--meta")
            self.assertEqual(json.loads(meta)["version"], json.loads(said)["version"])
            self.assertGreater(json.loads(meta)["version"], version)

    def test_expiry(self):
        self.same("put", "session", "token", "--ttl", "1d")
        self.same("--json", "ttl", "session")
        self.assertEqual(self.same("persist", "session")[0], 0)
        self.assertEqual(self.same("ttl", "session")[1], b"never\n")
        self.same("expire", "session", "2d")
        self.same("--json", "put", "session", "other", "--keep-ttl")
        self.assertRegex(self.run_on(self.server.store, "ttl", "session")[1], rb"^1d23h|^2d00h")
        self.assertEqual(self.same("expire", "missing", "1h")[0], 1)
        self.assertEqual(self.same("persist", "missing")[0], 1)
        self.same("put", "gone", "x", "--ttl", "1us")
        self.assertEqual(self.same("get", "gone")[0], 1)

    def test_what_the_server_wrote_is_read_and_the_other_way_round(self):
        with self.server.connect() as redis:
            redis("SET", "a", "by redis")
            self.assertEqual(self.run_on(self.server.store, "get", "a")[1], b"by redis")
            self.run_on(self.server.store, "put", "b", "by the command")
            self.assertEqual(redis("GET", "b"), b"by the command")


class WholeStore(Case):
    def fill(self):
        for i in range(20):
            self.same("put", f"k:{i}", "v" * 100)

    def test_reading_beside_the_server(self):
        self.fill()
        for line in (("count",), ("count", "--prefix", "k:1"), ("--json", "count")):
            self.same(*line)
        listed = [sorted(self.run_on(store, "keys")[1].split())
                  for store in (self.alone, self.server.store)]
        self.assertEqual(*listed)
        self.assertEqual(len(listed[0]), 20)
        self.assertIn(b"keys", self.run_on(self.server.store, "stats")[1])

    def test_merge(self):
        self.fill()
        self.fill()
        results = []
        for store in (self.alone, self.server.store):
            code, said, error = self.run_on(store, "--json", "merge", "--all")
            self.assertEqual(code, 0, error)
            results.append(json.loads(said))
        self.assertEqual(list(results[0]), list(results[1]))
        self.assertEqual(results[1]["records_copied"], 20)
        self.assertIn(b"nothing to merge", self.same("merge")[1])
        self.assertEqual(self.run_on(self.server.store, "merge", "--rate", "1M")[0], 2)
        self.assertEqual(self.same("get", "k:7")[1], b"v" * 100)

    def test_backup_and_verify(self):
        self.fill()
        code, said, error = self.run_on(self.server.store, "--json", "backup", "copy", "--verify")
        self.assertEqual(code, 0, error)
        self.assertGreaterEqual(json.loads(said)["segments"], 1)
        self.assertEqual(self.run_on(os.path.join(self.scratch.name, "copy"), "count")[1], b"20\n")
        code, said, error = self.run_on(self.server.store, "--json", "verify")
        self.assertEqual(code, 0, error)
        self.assertEqual(json.loads(said)["findings"], 0)

    def test_clear(self):
        self.fill()
        self.assertEqual(self.run_on(self.server.store, "clear")[0], 2)  # nobody to ask
        self.assertEqual(self.same("--json", "clear", "--yes")[:2], (0, b'{"deleted":20}\n'))
        self.assertEqual(self.same("count")[1], b"0\n")

    def test_import(self):
        lines = b"".join(b"i:%d\tvalue %d\n" % (i, i) for i in range(1000))
        for batch in ("1", "64"):
            self.assertEqual(self.same("-q", "import", "--format", "tsv", "--batch", batch, "-",
                                       given=lines)[0], 0)
        self.assertEqual(self.same("count")[1], b"1000\n")
        self.assertEqual(self.same("get", "i:999")[1], b"value 999")
        self.same("-q", "import", "--ack", "--format", "tsv", "-", given=b"a\t1\nb\t2\n")
        large = b"large\t" + b"x" * (20 << 20) + b"\n"
        self.assertEqual(self.same("-q", "import", "--format", "tsv", "-", given=large)[0], 0)
        self.same("-q", "import", "-", given=b'{"key":"e","value":"","expires_at":2000000000000000}')
        self.same("--json", "ttl", "e")
        self.assertEqual(self.same("-q", "import", "-", given=b"nonsense\n")[0], 2)

    def test_what_needs_the_store_for_itself_is_refused(self):
        code, _, error = self.run_on(self.server.store, "destroy", "--yes")
        self.assertEqual(code, 3)
        self.assertIn(b"the store is in use by process", error)


class Top(Case):
    def test_one_page_as_text(self):
        self.run_on(self.server.store, "put", "a", "b")
        code, said, error = self.run_on(self.server.store, "top", "--once", "--interval", "50ms")
        self.assertEqual(code, 0, error)
        for part in (b"bitcask 0.1.0", b"commands ", b"latency ", b"SEGMENTS (1", b"keys ",
                     b"clients 1 of"):
            self.assertIn(part, said)

    def test_json(self):
        self.run_on(self.server.store, "put", "a", "b")
        code, said, error = self.run_on(self.server.store, "--json", "top", "--interval", "50ms")
        self.assertEqual(code, 0, error)
        whole = json.loads(said)
        self.assertEqual(whole["status"]["pid"], self.server.process.pid)
        self.assertEqual(len(whole["segments"]["segments"]), 1)

    def test_on_a_terminal(self):
        self.run_on(self.server.store, "put", "a", "b")
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        top = subprocess.Popen([BITCASK, "-d", self.server.store, "top", "--interval", "50ms"],
                               stdin=slave, stdout=slave, stderr=slave,
                               env=os.environ | {"TERM": "xterm"})
        os.close(slave)
        said = b""
        try:
            while b"SEGMENTS" not in said:
                said += os.read(master, 65536)
            for key in (b" ", b"x", b"+", b"-", b" ", b"q"):
                os.write(master, key)
            while os.read(master, 65536):
                pass
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(master)
        self.assertEqual(top.wait(TIMEOUT_S), 0)
        self.assertIn(b"bitcask 0.1.0", said)

    def test_without_a_terminal_it_says_what_to_do(self):
        code, _, error = self.run_on(self.server.store, "top")
        self.assertEqual(code, 2)
        self.assertIn(b"--once", error)

    def test_without_a_server(self):
        code, _, error = self.run_on(self.alone, "top", "--once")
        self.assertEqual(code, 3)
        self.assertIn(b"no server has the store", error)


class Password(Case):
    """Whoever may open the socket in the store's directory may read its files: no password."""

    CONFIG = "requirepass secret\n"

    def test_the_owner_needs_none(self):
        self.same("put", "city", "Utrecht")
        self.assertEqual(self.same("get", "city")[1], b"Utrecht")
        with self.server.connect() as redis:
            self.assertEqual(redis.error("GET", "city"), "NOAUTH Authentication required.")


class SmallOutput(Case):
    OPTIONS = ("--client-output-buffer-limit", "normal 1mb 0 0")

    def test_a_value_that_the_server_does_not_send_is_read_beside_it(self):
        value = b"x" * (5 << 20)
        self.same("put", "large", "-", given=value)
        self.same("put", "small", "y")
        self.assertEqual(self.same("get", "large")[1], value)
        self.assertEqual(self.same("--json", "mget", "large", "small")[0], 0)


class ServerGone(Case):
    def test_the_socket_of_a_dead_server_is_passed_over(self):
        self.run_on(self.server.store, "put", "a", "1")
        self.server.stop(signal.SIGKILL)
        self.assertTrue(os.path.exists(self.server.socket))
        self.assertEqual(self.run_on(self.server.store, "get", "a")[1], b"1")
        self.assertEqual(self.run_on(self.server.store, "put", "a", "2")[0], 0)

    def test_after_a_clean_end_there_is_no_socket(self):
        self.run_on(self.server.store, "put", "a", "1")
        self.assertEqual(self.server.stop(), 0)
        self.assertFalse(os.path.exists(self.server.socket))
        self.assertEqual(self.run_on(self.server.store, "get", "a")[1], b"1")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
