#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# cli_test.py: the `bitcask` command as a user meets it, one case per behaviour.
#
#     tests/cli/cli_test.py build/bitcask [CLASS[.case]...]
#
# Every case runs in an empty directory of its own, with that as its current directory, and needs no
# more rights than an ordinary user has. Standard library only.
import base64
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import unittest

BITCASK = ""  # set from the command line
TIMEOUT_S = 60
NO_STORE = "bitcask: no store at ./data (use -d or BITCASK_DIR)\n"

READING = [["get", "k"], ["exists", "k"], ["ttl", "k"], ["mget", "k"], ["keys"], ["scan"],
           ["count"], ["stats"], ["stats", "--segments"], ["verify"], ["dump-keydir"], ["export"]]
CHANGING = [["delete", "k"], ["expire", "k", "1h"], ["persist", "k"], ["merge"],
            ["clear", "--yes"], ["destroy", "--yes"]]


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bitcask-cli-")
        self.dir = self.scratch.name
        self.env = {k: v for k, v in os.environ.items() if k not in ("BITCASK_DIR", "NO_COLOR")}
        self.env["TERM"] = "xterm"

    def tearDown(self):
        self.scratch.cleanup()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def run_raw(self, *args, stdin=b"", env=None):
        done = subprocess.run([BITCASK, *args], input=stdin, capture_output=True, cwd=self.dir,
                              env={**self.env, **(env or {})}, timeout=TIMEOUT_S, check=False)
        return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def bitcask(self, *args, code=0, stdin=b"", env=None):
        """Run the command; check its exit code, and that an error is one line on stderr."""
        result = self.run_raw(*args, stdin=stdin, env=env)
        self.assertEqual(result.code, code, f"{args}: {result.err}")
        if code == 0:
            self.assertNotIn("bitcask:", result.err)
        return result

    def lines(self, *args, **how):
        return self.bitcask(*args, **how).out.decode().splitlines()

    def json(self, *args, **how):
        """The objects that the command prints with --json, one per line."""
        return [json.loads(line) for line in self.bitcask("--json", *args, **how).out.splitlines()]

    def fill(self, count, value="x" * 100):
        """Keys key:0 to key:COUNT-1 in one go."""
        text = "".join(f"key:{i}\t{value}{i}\n" for i in range(count))
        self.bitcask("-q", "import", "--format", "tsv", "-", stdin=text.encode())

    def data_files(self):
        return sorted(n for n in os.listdir(self.path("data")) if n.endswith(".data"))

    def flip(self, name, offset):
        with open(self.path("data", name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x10]))

    def place_of(self, key):
        """File and offset of the record of a key, as dump tells it."""
        for name in self.data_files():
            for line in self.json("dump", "--file", "data/" + name):
                if line.get("key") == key:
                    return name, line["offset"]
        self.fail(f"{key} is in no data file")
        return None


class Terminal:
    """The command on a terminal of its own: what it prints, and typing an answer."""

    def __init__(self, case, *args, env=None):
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(case.dir)
            os.execve(BITCASK, [BITCASK, *args], {**case.env, **(env or {})})
        self.pid = pid
        self.seen = b""

    def read_until(self, text):
        while text not in self.seen:
            if not self.read_some():
                raise AssertionError(f"{text!r} never came: {self.seen!r}")

    def read_some(self):
        if not select.select([self.fd], [], [], TIMEOUT_S)[0]:
            raise AssertionError(f"nothing more came: {self.seen!r}")
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.seen += more
        return bool(more)

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        """Everything printed, newlines as they were, and the exit code."""
        while self.read_some():
            pass
        os.close(self.fd)
        status = os.waitpid(self.pid, 0)[1]
        return self.seen.replace(b"\r\n", b"\n"), os.waitstatus_to_exitcode(status)


class PutAndGet(Case):
    def test_a_value_is_read_back(self):
        put = self.bitcask("put", "city", "Utrecht")
        self.assertEqual((put.out, put.err), (b"", ""))
        self.assertEqual(self.bitcask("get", "city").out, b"Utrecht")

    def test_set_is_put(self):
        self.bitcask("set", "a", "1")
        self.assertEqual(self.bitcask("get", "a").out, b"1")

    def test_a_value_comes_from_standard_input(self):
        value = bytes(range(256)) * 1000
        self.bitcask("put", "a", "-", stdin=value)
        self.assertEqual(self.bitcask("get", "a").out, value)

    def test_a_value_comes_from_a_file(self):
        self.write("value", b"\0\xff\n")
        self.bitcask("put", "a", "--file", "value")
        self.assertEqual(self.bitcask("get", "a").out, b"\0\xff\n")

    def test_a_value_may_be_empty(self):
        self.bitcask("put", "a", "")
        self.bitcask("put", "b", "-")
        self.assertEqual(self.bitcask("get", "a").out, b"")
        self.assertEqual(self.bitcask("get", "b").out, b"")

    def test_a_missing_file_is_an_error_and_makes_no_store(self):
        result = self.bitcask("put", "a", "--file", "nothing", code=3)
        self.assertEqual(result.err, "bitcask: cannot open nothing: No such file or directory\n")
        self.assertFalse(os.path.exists(self.path("data")))

    def test_a_value_goes_to_a_file(self):
        self.bitcask("put", "a", "-", stdin=b"\0x")
        self.assertEqual(self.bitcask("get", "a", "-o", "out").out, b"")
        self.assertEqual(self.read("out"), b"\0x")

    def test_output_dash_is_standard_output(self):
        self.bitcask("put", "a", "1")
        self.assertEqual(self.bitcask("get", "a", "-o", "-").out, b"1")

    def test_a_missing_key_leaves_the_output_file_alone(self):
        self.bitcask("put", "a", "1")
        self.write("out", b"before")
        self.bitcask("get", "b", "-o", "out", code=1)
        self.assertEqual(self.read("out"), b"before")

    def test_a_missing_key_is_exit_code_1(self):
        self.bitcask("put", "a", "1")
        result = self.bitcask("get", "b", code=1)
        self.assertEqual((result.out, result.err), (b"", "bitcask: no such key: b\n"))

    def test_quiet_says_nothing_of_a_missing_key(self):
        self.bitcask("put", "a", "1")
        self.assertEqual(self.bitcask("-q", "get", "b", code=1).err, "")

    def test_keys_are_bytes(self):
        key = b"\xff\xfe key"
        self.bitcask("put", key, "1")
        self.assertEqual(self.bitcask("get", key).out, b"1")
        self.assertEqual(self.bitcask("keys").out, key + b"\n")

    def test_a_key_may_begin_with_a_dash_behind_two_dashes(self):
        self.bitcask("put", "--", "-key", "-value")
        self.assertEqual(self.bitcask("get", "--", "-key").out, b"-value")

    def test_meta_tells_version_size_and_expiry(self):
        version = self.json("put", "a", "12345")[0]["version"]
        text = self.bitcask("get", "a", "--meta").out.decode()
        self.assertRegex(text, rf"version +{version}\n")
        self.assertRegex(text, r"value size +5\n")
        self.assertRegex(text, r"expires +never\n")

    def test_json_has_value_version_and_expiry(self):
        version = self.json("put", "a", "1")[0]["version"]
        self.assertEqual(self.json("get", "a"), [{"key": "a", "value": "1", "version": version,
                                                  "value_size": 1, "expires_at": None}])
        self.assertEqual(self.json("get", "a", "--meta"),
                         [{"key": "a", "version": version, "value_size": 1, "expires_at": None}])

    def test_json_has_base64_for_what_is_no_text(self):
        self.bitcask("put", b"\xff", "-", stdin=b"\x80\0")
        entry = self.json("get", b"\xff")[0]
        self.assertEqual(base64.b64decode(entry["key_b64"]), b"\xff")
        self.assertEqual(base64.b64decode(entry["value_b64"]), b"\x80\0")
        self.assertNotIn("key", entry)

    def test_if_absent_stores_once(self):
        self.bitcask("put", "a", "1", "--if-absent")
        result = self.bitcask("put", "a", "2", "--if-absent", code=1)
        self.assertEqual(result.err, "bitcask: the key is already there: a\n")
        self.assertEqual(self.bitcask("get", "a").out, b"1")

    def test_if_version_stores_over_that_version_only(self):
        version = str(self.json("put", "a", "1")[0]["version"])
        self.bitcask("put", "a", "2", "--if-version", version)
        self.bitcask("put", "a", "3", "--if-version", version, code=1)
        self.assertEqual(self.bitcask("get", "a").out, b"2")

    def test_an_empty_key_is_usage(self):
        self.bitcask("put", "a", "1")
        self.bitcask("put", "", "1", code=2)


class Expiry(Case):
    def test_a_key_past_its_time_is_gone_for_every_command(self):
        self.bitcask("put", "a", "1", "--ttl", "1us")
        self.bitcask("put", "b", "2")
        self.bitcask("get", "a", code=1)
        self.bitcask("ttl", "a", code=1)
        self.bitcask("-q", "exists", "a", code=1)
        self.bitcask("expire", "a", "1h", code=1)
        self.bitcask("delete", "a", code=1)
        self.assertEqual(self.lines("keys"), ["b"])
        self.assertEqual(self.lines("count"), ["1"])
        self.assertEqual(self.lines("scan"), ["b\t2"])

    def test_ttl_tells_what_is_left(self):
        self.bitcask("put", "a", "1", "--ttl", "1d")
        self.assertRegex(self.lines("ttl", "a")[0], r"^23h59m$|^1d00h$")
        left = self.json("ttl", "a")[0]
        self.assertTrue(86_300_000 < left["ttl_ms"] <= 86_400_000)
        self.assertRegex(left["expires_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")

    def test_ttl_of_a_key_that_stays_is_never(self):
        self.bitcask("put", "a", "1")
        self.assertEqual(self.lines("ttl", "a"), ["never"])
        self.assertEqual(self.json("ttl", "a"), [{"key": "a", "ttl_ms": None,
                                                  "expires_at": None}])

    def test_expire_and_persist_change_it(self):
        self.bitcask("put", "a", "1")
        self.bitcask("expire", "a", "1h")
        self.assertNotEqual(self.lines("ttl", "a"), ["never"])
        self.bitcask("persist", "a")
        self.assertEqual(self.lines("ttl", "a"), ["never"])
        self.assertEqual(self.bitcask("get", "a").out, b"1")

    def test_a_put_takes_the_time_to_live_away_unless_told_to_keep_it(self):
        self.bitcask("put", "a", "1", "--ttl", "1h")
        self.bitcask("put", "a", "2", "--keep-ttl")
        self.assertNotEqual(self.lines("ttl", "a"), ["never"])
        self.bitcask("put", "a", "3")
        self.assertEqual(self.lines("ttl", "a"), ["never"])

    def test_missing_keys_are_exit_code_1(self):
        self.bitcask("put", "a", "1")
        self.bitcask("ttl", "b", code=1)
        self.bitcask("expire", "b", "1h", code=1)
        self.bitcask("persist", "b", code=1)


class ManyKeys(Case):
    def setUp(self):
        super().setUp()
        for key, value in (("user:1", "Ada"), ("user:2", "Grace"), ("city", "Utrecht")):
            self.bitcask("put", key, value)

    def test_keys_are_listed(self):
        self.assertEqual(sorted(self.lines("keys")), ["city", "user:1", "user:2"])
        self.assertEqual(sorted(self.lines("list")), ["city", "user:1", "user:2"])

    def test_a_prefix_selects(self):
        self.assertEqual(sorted(self.lines("keys", "--prefix", "user:")), ["user:1", "user:2"])
        self.assertEqual(self.lines("count", "--prefix", "user:"), ["2"])
        self.assertEqual(self.lines("scan", "--prefix", "ci"), ["city\tUtrecht"])
        self.assertEqual(self.lines("keys", "--prefix", "none"), [])

    def test_a_limit_stops(self):
        self.assertEqual(len(self.lines("keys", "--limit", "2")), 2)
        self.assertEqual(len(self.lines("scan", "--limit", "0")), 0)

    def test_scan_escapes_what_would_break_its_lines(self):
        self.bitcask("put", "a\tb", "c\nd\\e")
        self.assertEqual(self.lines("scan", "--prefix", "a"), ["a\\tb\tc\\nd\\\\e"])

    def test_json_lists_one_object_per_line(self):
        self.assertEqual({e["key"] for e in self.json("keys")}, {"city", "user:1", "user:2"})
        self.assertEqual({e["key"]: e["value"] for e in self.json("scan")},
                         {"city": "Utrecht", "user:1": "Ada", "user:2": "Grace"})
        self.assertEqual(self.json("count"), [{"count": 3}])

    def test_mget_prints_what_is_there_in_the_order_asked(self):
        result = self.bitcask("mget", "user:2", "nobody", "city", code=1)
        self.assertEqual(result.out, b"user:2\tGrace\ncity\tUtrecht\n")
        self.assertEqual(result.err, "bitcask: no such key: nobody\n")

    def test_mget_json_has_null_for_what_is_not_there(self):
        found = self.json("mget", "user:2", "nobody", code=1)
        self.assertEqual([(e["key"], e["value"]) for e in found],
                         [("user:2", "Grace"), ("nobody", None)])

    def test_mget_takes_more_keys_than_it_asks_for_at_once(self):
        self.fill(200, "v")
        wanted = [f"key:{i}" for i in range(200)]
        self.assertEqual(self.lines("mget", *wanted), [f"key:{i}\tv{i}" for i in range(200)])

    def test_exists_answers_for_each_key(self):
        self.assertEqual(self.lines("exists", "city", "user:1"), ["yes", "yes"])
        self.assertEqual(self.lines("exists", "city", "nobody", code=1), ["yes", "no"])
        self.assertEqual(self.bitcask("-q", "exists", "city").out, b"")
        self.assertEqual(self.json("exists", "nobody", code=1),
                         [{"key": "nobody", "exists": False}])

    def test_delete_takes_several_keys(self):
        self.bitcask("delete", "user:1", "user:2")
        self.assertEqual(self.lines("keys"), ["city"])

    def test_delete_of_a_missing_key_still_deletes_the_others(self):
        result = self.bitcask("delete", "nobody", "user:1", code=1)
        self.assertEqual(result.err, "bitcask: no such key: nobody\n")
        self.bitcask("get", "user:1", code=1)

    def test_delete_json_tells_each(self):
        self.assertEqual(self.json("delete", "city", "nobody", code=1),
                         [{"key": "city", "deleted": True}, {"key": "nobody", "deleted": False}])

    def test_dump_keydir_lists_what_the_index_knows(self):
        version = self.json("get", "city", "--meta")[0]["version"]
        text = self.bitcask("dump-keydir").out.decode()
        self.assertRegex(text, rf"(?m)^{version} +7  never +city$")
        self.assertRegex(text, r"index: 3 keys, .* bytes a key\n$")
        *entries, figures = self.json("dump-keydir")
        self.assertEqual({e["key"] for e in entries}, {"city", "user:1", "user:2"})
        self.assertEqual(figures["index_keys"], 3)
        self.assertGreater(figures["index_bytes"], 0)


class NoStore(Case):
    def test_no_command_but_put_and_import_makes_a_store(self):
        for command in READING + CHANGING:
            with self.subTest(command=command):
                result = self.bitcask(*command, code=3)
                self.assertEqual((result.out, result.err), (b"", NO_STORE))
                self.assertEqual(os.listdir(self.dir), [])

    def test_an_empty_directory_is_no_store_and_stays_empty(self):
        os.mkdir(self.path("data"))
        for command in READING + CHANGING:
            with self.subTest(command=command):
                self.assertEqual(self.bitcask(*command, code=3).err, NO_STORE)
                self.assertEqual(os.listdir(self.path("data")), [])

    def test_json_errors_are_objects(self):
        result = self.bitcask("--json", "get", "k", code=3)
        self.assertEqual(json.loads(result.err),
                         {"error": "NO_STORE", "exit": 3,
                          "message": "no store at ./data (use -d or BITCASK_DIR)"})


class WhichStore(Case):
    def test_the_option_names_it(self):
        self.bitcask("-d", "one", "put", "a", "1")
        self.bitcask("put", "--dir=two", "a", "2")
        self.assertEqual(sorted(os.listdir(self.dir)), ["one", "two"])
        self.assertEqual(self.bitcask("get", "a", "-d", "one").out, b"1")
        self.assertEqual(self.bitcask("-dtwo", "get", "a").out, b"2")

    def test_the_environment_names_it(self):
        env = {"BITCASK_DIR": self.path("elsewhere")}
        self.bitcask("put", "a", "1", env=env)
        self.assertEqual(os.listdir(self.dir), ["elsewhere"])
        self.assertEqual(self.bitcask("get", "a", env=env).out, b"1")

    def test_the_option_beats_the_environment(self):
        self.bitcask("-d", "one", "put", "a", "1", env={"BITCASK_DIR": "two"})
        self.assertEqual(os.listdir(self.dir), ["one"])

    def test_an_empty_environment_is_none(self):
        self.bitcask("put", "a", "1", env={"BITCASK_DIR": ""})
        self.assertEqual(os.listdir(self.dir), ["data"])


class Usage(Case):
    WRONG = [
        [], ["nonsense"], ["get"], ["get", "a", "b"], ["put", "a"], ["put", "a", "b", "c"],
        ["put", "a", "b", "--file", "f"], ["put"], ["get", "a", "--nonsense"], ["get", "a", "-x"],
        ["--ttl", "1s", "put", "a", "b"], ["put", "a", "b", "--ttl"],
        ["put", "a", "b", "--ttl", "soon"], ["put", "a", "b", "--ttl", "-1s"],
        ["put", "a", "b", "--ttl="], ["put", "a", "b", "--if-absent=yes"],
        ["put", "a", "b", "--ttl", "1s", "--keep-ttl"],
        ["put", "a", "b", "--if-absent", "--if-version", "1"],
        ["put", "a", "b", "--if-version", "x"], ["get", "a", "-o", "f", "--meta"],
        ["expire", "a"], ["expire", "a", "never"], ["keys", "extra"], ["keys", "--limit", "-1"],
        ["keys", "--limit", "1.5"], ["count", "--fast", "--prefix", "a"],
        ["merge", "--min-dead", "140%"], ["merge", "--min-dead", "some"], ["dump"], ["help", "no"],
        ["-d"], ["-d", "", "keys"], ["--sync", "sometimes", "keys"], ["--sync"],
        ["--segment-size", "1", "keys"], ["--segment-size", "huge", "keys"],
        ["--log-level", "loud", "keys"], ["--log-format", "xml", "keys"], ["--no-sync", "keys"],
        ["--create", "keys"], ["clear"], ["version", "extra"],
    ]

    def test_a_wrong_command_line_is_exit_code_2_and_one_line(self):
        for command in self.WRONG:
            if command == ["clear"]:
                continue  # without a store that is another error: see Everything
            with self.subTest(command=command):
                result = self.bitcask(*command, code=2)
                self.assertEqual(result.out, b"")
                self.assertRegex(result.err, r"^bitcask: [^\n]+\n$")
                self.assertEqual(os.listdir(self.dir), [])

    def test_a_mistyped_command_is_guessed(self):
        self.assertEqual(self.bitcask("pt", code=2).err,
                         "bitcask: unknown command 'pt' (did you mean 'put'?)\n")
        self.assertIn("'delete'", self.bitcask("deleet", code=2).err)

    def test_too_few_operands_show_the_usage(self):
        self.assertEqual(self.bitcask("get", code=2).err,
                         "bitcask: get needs more: bitcask get KEY\n")

    def test_an_option_that_takes_a_unit_says_which(self):
        self.assertEqual(self.bitcask("put", "a", "b", "--ttl", "9x", code=2).err,
                         "bitcask: option --ttl: '9x' is not a duration (90s, 5m, 1h30m)\n")


class Help(Case):
    def commands(self):
        return [c["command"] for c in self.json("help") if "command" in c]

    def test_help_names_every_command_and_store_option(self):
        text = self.bitcask("help").out.decode()
        self.assertEqual(self.bitcask("--help").out.decode(), text)
        self.assertEqual(self.bitcask("-h").out.decode(), text)
        for word in self.commands() + ["--segment-size", "--segment-max-records", "--sync ",
                                       "--sync-interval", "verify-reads", "read-only",
                                       "--log-level", "--log-format", "exit codes"]:
            self.assertIn(word, text)

    def test_lines_fit_a_terminal(self):
        for command in [[]] + [[c] for c in self.commands()]:
            for line in self.lines("help", *command):
                self.assertLessEqual(len(line), 100, line)

    def test_each_command_explains_itself_with_an_example(self):
        for command in self.commands():
            with self.subTest(command=command):
                text = self.bitcask(command, "--help").out.decode()
                self.assertEqual(self.bitcask("help", command).out.decode(), text)
                self.assertTrue(text.startswith(f"usage: bitcask {command}"), text)
                self.assertRegex(text, r"\n  \$ .*bitcask")

    def test_each_example_runs_as_printed(self):
        os.mkdir(self.path("bin"))
        os.symlink(BITCASK, self.path("bin", "bitcask"))
        self.env["PATH"] = self.path("bin") + ":" + self.env["PATH"]
        for command in self.commands():
            if command in ("serve", "top"):  # a server is needed: tests/server
                continue
            text = self.bitcask(command, "--help").out.decode()
            with self.subTest(command=command), tempfile.TemporaryDirectory() as place:
                for key, value in (("city", "Utrecht"), ("user:1", "Ada"), ("user:2", "Grace")):
                    self.bitcask("-d", place + "/data", "put", key, value)
                for line in re.findall(r"(?m)^  \$ (.*)$", text):
                    done = subprocess.run(["sh", "-e", "-c", line], cwd=place, env=self.env,
                                          capture_output=True, timeout=TIMEOUT_S, check=False)
                    self.assertEqual(done.returncode, 0, f"{line}: {done.stderr.decode()}")

    def test_aliases_have_help(self):
        self.assertIn("also called: set", self.bitcask("set", "--help").out.decode())

    def test_version(self):
        text = self.bitcask("--version").out.decode()
        self.assertRegex(text, r"^bitcask \d+\.\d+\.\d+ \(store format 1\)\n$")
        self.assertEqual(self.bitcask("version").out.decode(), text)
        self.assertEqual(self.json("version")[0]["format"], 1)


class StoreOptions(Case):
    def test_sync_has_its_modes_and_aliases(self):
        for mode in ("none", "interval", "always", "no-fsync", "periodic-fsync",
                     "fsync-on-append"):
            self.bitcask("--sync", mode, "put", "mode", mode)
            self.assertEqual(self.bitcask("get", "mode").out.decode(), mode)

    def test_segments_rotate_by_number_of_records(self):
        text = "".join(f"{i}\tv\n" for i in range(100)).encode()
        self.bitcask("-q", "--segment-max-records", "10", "import", "--format", "tsv", "-",
                     stdin=text)
        self.assertGreaterEqual(len(self.json("stats", "--segments")), 10)
        self.assertEqual(self.lines("count"), ["100"])

    def test_segments_rotate_by_size(self):
        text = "".join(f"{i}\t{'v' * 1000}\n" for i in range(200)).encode()
        self.bitcask("-q", "--segment-size=64K", "import", "--format", "tsv", "-", stdin=text)
        self.assertGreaterEqual(len(self.json("stats", "--segments")), 3)
        self.assertEqual(self.lines("count"), ["200"])

    def test_read_only_refuses_a_write(self):
        self.bitcask("put", "a", "1")
        result = self.bitcask("--read-only", "put", "a", "2", code=3)
        self.assertRegex(result.err, r"^bitcask: [^\n]+\n$")
        self.assertEqual(self.bitcask("get", "a").out, b"1")

    def test_reads_may_go_unverified(self):
        self.bitcask("put", "a", "1")
        self.assertEqual(self.bitcask("--no-verify-reads", "get", "a").out, b"1")
        self.assertEqual(self.bitcask("--verify-reads=no", "get", "a").out, b"1")


class Logs(Case):
    def test_nothing_is_logged_unless_asked(self):
        self.assertEqual(self.bitcask("put", "a", "1").err, "")

    def test_json_events_are_objects(self):
        err = self.bitcask("--log-level", "debug", "--log-format", "json", "put", "a", "1").err
        events = [json.loads(line) for line in err.splitlines()]
        self.assertIn("put", [e["event"] for e in events])
        for event in events:
            self.assertIn(event["level"], ("debug", "info", "warn", "error"))
            self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT.*Z$")

    def test_logfmt_events_are_pairs(self):
        err = self.bitcask("--log-level=debug", "--log-format=logfmt", "put", "a b", "1").err
        for line in err.splitlines():
            self.assertRegex(line, r'^time=\S+ level=\w+ event=\S+( \w+=("[^"]*"|\S*))*$')
        self.assertRegex(err, r'event=put .*"a b"')

    def test_trace_tells_of_each_operation_with_its_duration(self):
        self.assertRegex(self.run_raw("--trace", "put", "k", "v").err,
                         r"debug put key=k bytes=1 version=\d+ status=OK duration_us=\d+\n")
        self.assertRegex(self.run_raw("--trace", "get", "k").err,
                         r"debug get key=k status=OK duration_us=\d+\n")

    def test_text_events_begin_with_time_and_level(self):
        err = self.bitcask("--log-level=debug", "put", "a", "1").err
        self.assertRegex(err, r"(?m)^\d{4}-\S+Z debug put( |$)")


class Stats(Case):
    def test_figures_are_readable(self):
        self.bitcask("put", "a", "1")
        self.bitcask("put", "a", "2")
        text = self.bitcask("stats").out.decode()
        self.assertRegex(text, r"(?m)^keys +1$")
        self.assertRegex(text, r"(?m)^opened in +\S+, after a clean close$")
        self.assertNotIn("damaged", text)

    def test_json_is_one_object(self):
        self.bitcask("put", "a", "1")
        (stats,) = self.json("stats")
        self.assertEqual(stats["keys"], 1)
        self.assertGreater(stats["live_bytes"], 0)

    def test_segments_are_a_table(self):
        self.bitcask("put", "a", "1")
        lines = self.lines("stats", "--segments")
        self.assertRegex(lines[0], r"^ +id +state +created")
        self.assertRegex(lines[1], r"^ +1 +(active|sealed) +20\d\d-")
        info = self.json("stats", "--segments")[0]
        self.assertEqual((info["id"], info["live_records"]), (1, 1))
        self.assertRegex(info["created"], r"^20\d\d-.*Z$")


class Merge(Case):
    def test_dead_records_are_reclaimed(self):
        for _ in range(3):
            self.fill(500)
        before = self.json("stats")[0]
        (result,) = self.json("merge", "--all")
        after = self.json("stats")[0]
        self.assertGreater(before["dead_bytes"], 2 * before["live_bytes"] * 0.9)
        self.assertLess(after["dead_bytes"], after["live_bytes"] * 0.05 + 4096)
        self.assertLess(result["output_bytes"], result["input_bytes"])
        self.assertLess(result["data_bytes_after"], result["data_bytes_before"] / 2)
        self.assertEqual(self.lines("count"), ["500"])

    def test_it_says_what_it_did(self):
        self.fill(100)
        self.fill(100)
        text = self.bitcask("merge", "--all").out.decode()
        self.assertRegex(text, r"^merged \d+ segments? into \d+ in ")
        self.assertRegex(text, r"(?m)^the store's data: \S+ \S+ -> \S+ \S+$")

    def test_a_store_merged_down_to_nothing_opens_again(self):
        self.bitcask("put", "a", "1")
        self.bitcask("delete", "a")
        self.bitcask("merge", "--all")
        self.assertEqual(self.lines("count"), ["0"])
        self.bitcask("put", "b", "2")
        self.assertEqual(self.lines("keys"), ["b"])

    def test_nothing_to_merge_is_no_error(self):
        self.bitcask("put", "a", "1")
        self.assertIn("nothing to merge", self.bitcask("merge").out.decode())

    def test_verbose_prints_events(self):
        self.fill(100)
        self.fill(100)
        self.assertIn("merged", self.run_raw("merge", "--all", "--verbose").err)


class Everything(Case):
    """clear and destroy."""

    def setUp(self):
        super().setUp()
        self.bitcask("put", "a", "1")
        self.bitcask("put", "b", "2")

    def test_without_a_terminal_both_refuse(self):
        for command in ("clear", "destroy"):
            result = self.bitcask(command, code=2)
            self.assertIn("--yes", result.err)
            self.assertEqual(self.lines("count"), ["2"])

    def test_clear_deletes_all_keys(self):
        self.bitcask("clear", "--yes")
        self.assertEqual(self.lines("count"), ["0"])
        self.bitcask("put", "c", "3")
        self.assertEqual(self.lines("keys"), ["c"])

    def test_clear_deletes_more_keys_than_one_batch_holds(self):
        self.fill(3000)
        self.assertEqual(self.json("clear", "--yes"), [{"deleted": 3002}])
        self.assertEqual(self.lines("count"), ["0"])

    def test_destroy_removes_the_store(self):
        self.bitcask("destroy", "--yes")
        self.assertFalse(os.path.exists(self.path("data")))
        self.assertEqual(self.bitcask("get", "a", code=3).err, NO_STORE)

    def test_destroy_keeps_files_of_others(self):
        self.write("data/notes.txt", b"mine")
        self.bitcask("destroy", "--yes")
        self.assertEqual(os.listdir(self.path("data")), ["notes.txt"])

    def test_on_a_terminal_both_ask_and_no_is_no(self):
        for command in ("clear", "destroy"):
            terminal = Terminal(self, command)
            terminal.read_until(b"? [y/N] ")
            terminal.type(b"n\n")
            out, code = terminal.end()
            self.assertEqual(code, 1)
            self.assertIn(b"nothing done", out)
            self.assertEqual(self.lines("count"), ["2"])

    def test_on_a_terminal_yes_goes_on(self):
        terminal = Terminal(self, "clear")
        terminal.read_until(b"delete all 2 keys of the store ./data? [y/N] ")
        terminal.type(b"y\n")
        self.assertEqual(terminal.end()[1], 0)
        self.assertEqual(self.lines("count"), ["0"])

    def test_a_store_in_use_is_refused_with_the_pid_that_holds_it(self):
        terminal = Terminal(self, "clear")  # waits for its answer with the store open
        terminal.read_until(b"? [y/N] ")
        result = self.bitcask("put", "a", "3", code=3)
        self.assertIn(str(terminal.pid), result.err)
        terminal.type(b"n\n")
        terminal.end()
        self.assertEqual(self.bitcask("get", "a").out, b"1")


class OnATerminal(Case):
    def on_terminal(self, *args, env=None):
        out, code = Terminal(self, *args, env=env).end()
        self.assertEqual(code, 0, out)
        return out

    def test_a_value_gets_a_newline(self):
        self.bitcask("put", "a", "1")
        self.bitcask("put", "b", "2\n")
        self.assertEqual(self.on_terminal("get", "a"), b"1\n")
        self.assertEqual(self.on_terminal("get", "b"), b"2\n")

    def test_control_bytes_in_keys_are_escaped(self):
        self.bitcask("put", b"a\x1b[31m\n", "\x07")
        self.assertEqual(self.on_terminal("keys"), b"a\\x1b[31m\\n\n")
        self.assertEqual(self.on_terminal("scan"), b"a\\x1b[31m\\n\t\\x07\n")

    def test_colour_ends_with_no_color_and_with_json(self):
        self.bitcask("put", "a", "1")
        self.assertIn(b"\x1b[1m", self.on_terminal("stats", "--segments"))
        self.assertNotIn(b"\x1b", self.on_terminal("stats", "--segments", env={"NO_COLOR": "1"}))
        self.assertNotIn(b"\x1b", self.on_terminal("--json", "stats", "--segments"))

    def test_no_colour_in_a_pipe(self):
        self.bitcask("put", "a", "1")
        self.assertNotIn(b"\x1b", self.bitcask("stats", "--segments").out)


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.fill(50)

    def test_a_good_store_has_no_findings(self):
        self.assertIn("no damage", self.bitcask("verify").out.decode())
        total = self.json("verify")[-1]
        self.assertEqual(total["findings"], 0)
        self.assertGreaterEqual(total["records"], 50)

    def test_a_flipped_bit_is_found_and_placed(self):
        name, offset = self.place_of("key:7")
        self.flip(name, offset + 40)
        result = self.run_raw("verify")
        self.assertEqual(result.code, 4, result.err)
        self.assertIn(name, result.out.decode())
        *findings, total = self.json("verify", code=4)
        self.assertGreaterEqual(total["findings"], 1)
        self.assertTrue(any(f["file"] == name and f["offset"] <= offset < f["offset"] + f["bytes"]
                            for f in findings), findings)
        self.assertEqual(self.run_raw("get", "key:7").code, 4)
        self.assertEqual(self.bitcask("get", "key:8").out, b"x" * 100 + b"8")

    def test_one_file_is_checked_without_opening_the_store(self):
        for name in os.listdir(self.path("data")):
            if name.endswith((".data", ".hint")) or name == "MANIFEST":
                with self.subTest(name=name):
                    out = self.bitcask("verify", "--file", "data/" + name).out.decode()
                    self.assertIn("no damage", out)

    def test_a_flipped_bit_in_one_file_is_found(self):
        name, offset = self.place_of("key:7")
        self.flip(name, offset + 40)
        *findings, total = self.json("verify", "--file", "data/" + name, code=4)
        self.assertEqual([f["offset"] for f in findings], [offset])
        self.assertEqual(total["damaged_bytes"], findings[0]["bytes"])

    def test_records_behind_a_damaged_header_are_still_checked(self):
        name = self.place_of("key:7")[0]
        self.flip(name, 20)
        *findings, total = self.json("verify", "--file", "data/" + name, code=4)
        self.assertEqual([f["offset"] for f in findings], [0])
        self.assertGreaterEqual(total["records"], 50)

    def test_a_file_cut_short_is_found(self):
        name, offset = self.place_of("key:7")
        os.truncate(self.path("data", name), offset)
        findings = self.json("verify", "--file", "data/" + name, code=4)[:-1]
        self.assertEqual(findings[-1]["offset"], offset)
        self.assertIn("shorter", findings[-1]["what"])

    def test_a_damaged_manifest_is_found(self):
        self.flip("MANIFEST", 30)
        self.bitcask("verify", "--file", "data/MANIFEST", code=4)

    def test_a_segment_without_its_file_is_found_in_the_manifest(self):
        name = self.data_files()[0]
        os.rename(self.path("data", name), self.path("kept"))
        finding = self.json("verify", "--file", "data/MANIFEST", code=4)[0]
        self.assertIn("missing", finding["what"])

    def test_a_file_that_is_not_a_stores_is_usage(self):
        self.write("other", b"hello")
        self.bitcask("verify", "--file", "other", code=2)
        self.bitcask("verify", "--file", "nothing", code=3)


class Dump(Case):
    def test_records_are_listed(self):
        version = self.json("put", "a\nb", "12345", "--ttl", "1h")[0]["version"]
        self.bitcask("delete", "a\nb")
        name = self.data_files()[0]
        text = self.bitcask("dump", "--file", "data/" + name).out.decode()
        self.assertRegex(text, rf"(?m)^ +128 +\d+  put +{version} +a\\nb  expires .*  5 bytes$")
        self.assertRegex(text, r"(?m)  delete +\d+ +a\\nb$")

    def test_json_has_values_when_asked(self):
        self.bitcask("put", "a", "12345")
        name = self.data_files()[0]
        header, *records = self.json("dump", "--values", "--file", "data/" + name)
        self.assertEqual((header["type"], header["kind"]), ("segment", "log"))
        put = [r for r in records if r["type"] == "put"][0]
        self.assertEqual((put["key"], put["value"], put["offset"]), ("a", "12345", 128))

    def test_a_damaged_record_is_shown_and_the_rest_goes_on(self):
        for key in ("a", "b", "c"):
            self.bitcask("put", key, "1")
        name, offset = self.place_of("b")
        self.flip(name, offset + 12)
        lines = self.json("dump", "--file", "data/" + name, code=4)
        self.assertEqual([l.get("offset") for l in lines if l["type"] == "damaged"], [offset])
        self.assertEqual([l["key"] for l in lines if l["type"] == "put"], ["a", "c"])

    def test_a_hint_lists_its_entries(self):
        text = "".join(f"{i}\tv\n" for i in range(30)).encode()
        self.bitcask("-q", "--segment-max-records", "10", "import", "--format", "tsv", "-",
                     stdin=text)
        hints = [n for n in sorted(os.listdir(self.path("data"))) if n.endswith(".hint")]
        self.assertTrue(hints)
        header, *entries = self.json("dump", "--file", "data/" + hints[0])
        self.assertEqual((header["type"], header["entries"]), ("hint", len(entries)))
        self.assertLessEqual({e["key"] for e in entries}, {str(i) for i in range(30)})
        self.bitcask("dump", "--file", "data/" + hints[0])

    def test_the_manifest_lists_its_segments(self):
        self.bitcask("put", "a", "1")
        manifest, *segments = self.json("dump", "--file", "data/MANIFEST")
        self.assertEqual((manifest["type"], manifest["clean"]), ("manifest", True))
        self.assertEqual(manifest["segments"], len(segments))
        self.assertIn("closed in order", self.bitcask("dump", "--file", "data/MANIFEST").out.decode())


class Surroundings(Case):
    """Signals, pipes and full disks."""

    def test_a_reader_that_stops_ends_the_command_quietly(self):
        self.fill(3000)
        # Python ignores SIGPIPE; the command must not inherit that.
        process = subprocess.Popen([BITCASK, "scan"], cwd=self.dir, env=self.env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   restore_signals=False)
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGPIPE)
        self.assertEqual(err, b"")

    def test_an_io_error_on_a_mapping_is_one_line(self):
        process = subprocess.Popen([BITCASK, "put", "a", "-"], cwd=self.dir, env=self.env,
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"x" * (1 << 20))  # more than the pipe holds: it has started to read
        process.stdin.flush()
        process.send_signal(signal.SIGBUS)
        err = process.stderr.read().decode()
        self.assertEqual(process.wait(TIMEOUT_S), 3)
        self.assertRegex(err, r"^bitcask: input/output error while reading the store[^\n]*\n$")
        process.stdin.close()
        process.stderr.close()

    def test_output_that_cannot_be_written_is_an_error(self):
        self.bitcask("put", "a", "1")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BITCASK, "get", "a"], cwd=self.dir, env=self.env, stdout=full,
                                  stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stderr.decode(),
                         "bitcask: cannot write the output: No space left on device\n")

    def test_closed_descriptors_are_not_reused_for_the_store(self):
        self.bitcask("put", "a", "1")
        done = subprocess.run(["sh", "-c", '"$0" get a >&- 2>&-; echo $?', BITCASK], cwd=self.dir,
                              env=self.env, capture_output=True, timeout=TIMEOUT_S, check=False)
        self.assertEqual(done.stdout, b"3\n")
        self.bitcask("verify")

    def test_a_lost_manifest_is_no_loss(self):
        self.fill(10)
        os.unlink(self.path("data", "MANIFEST"))
        self.assertEqual(self.run_raw("get", "key:3").out, b"x" * 100 + b"3")

    def test_a_killed_writer_leaves_what_it_acknowledged_and_no_findings(self):
        self.bitcask("put", "a", "1")
        process = subprocess.Popen([BITCASK, "import", "--ack", "--format", "tsv", "-"],
                                   cwd=self.dir, env=self.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"b\t2\nc\t3\n")
        process.stdin.flush()
        acknowledged = [process.stdout.readline() for _ in range(2)]
        process.kill()
        process.communicate()
        self.assertEqual(acknowledged, [b"b\n", b"c\n"])
        for name in ("000000001.data", "MANIFEST"):
            self.bitcask("verify", "--file", "data/" + name)
        self.assertEqual(self.lines("mget", "a", "b", "c"), ["a\t1", "b\t2", "c\t3"])
        self.bitcask("verify")


def main():
    global BITCASK
    if len(sys.argv) < 2:
        sys.exit("usage: cli_test.py BITCASK [CLASS[.case]...]")
    BITCASK = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)



class Backup(Case):
    def test_a_backup_is_a_store_and_is_brought_up_to_date(self):
        self.fill(50)
        first = self.json("backup", "copy")[0]
        self.assertEqual(first["segments"], 1)
        self.bitcask("put", "later", "1")
        self.assertEqual(self.json("-d", "copy", "count")[0]["count"], 50)
        self.bitcask("backup", "copy", "--verify", "--rate", "1G")
        self.assertEqual(self.bitcask("-d", "copy", "get", "later").out, b"1")

    def test_a_restored_backup_goes_on(self):
        self.fill(10)
        self.bitcask("merge", "--all")
        self.bitcask("backup", "copy")
        self.bitcask("-d", "copy", "put", "key:0", "other")
        self.assertEqual(self.bitcask("-d", "copy", "get", "key:0").out, b"other")
        self.assertNotEqual(self.bitcask("get", "key:0").out, b"other")
        result = self.bitcask("backup", "copy", code=3)
        self.assertIn("opened for writing", result.err)
        self.bitcask("verify")

    def test_another_store_is_not_overwritten(self):
        self.fill(3)
        self.bitcask("-d", "other", "put", "k", "v")
        self.assertIn("choose another directory", self.bitcask("backup", "other", code=3).err)
        self.assertEqual(self.bitcask("-d", "other", "get", "k").out, b"v")

    def test_linked_segments_share_their_file_and_copies_do_not(self):
        self.fill(20)
        self.bitcask("merge", "--all")
        name = self.data_files()[0]
        self.bitcask("backup", "linked")
        self.bitcask("backup", "--copy", "copied")
        self.assertTrue(os.path.samefile(self.path("data", name), self.path("linked", name)))
        self.assertFalse(os.path.samefile(self.path("data", name), self.path("copied", name)))


class Repair(Case):
    def damage(self, key):
        name, offset = self.place_of(key)
        self.flip(name, offset + 25)

    def test_a_sound_store_needs_none(self):
        self.fill(3)
        self.assertEqual(self.bitcask("repair").out, b"nothing to repair\n")

    def test_what_is_lost_is_told_and_the_rest_is_kept(self):
        self.fill(20)
        self.damage("key:7")
        self.bitcask("verify", code=4)
        dry = self.json("repair", "--dry-run", code=4)
        self.assertEqual([loss["key"] for loss in dry[:-1]], ["key:7"])
        self.bitcask("verify", code=4)
        told = self.json("repair", code=4)
        self.assertEqual(told[:-1], dry[:-1])
        self.assertEqual(told[-1]["quarantined_files"], 2)
        self.bitcask("verify")
        self.bitcask("get", "key:7", code=1)
        self.assertEqual(self.json("count")[0]["count"], 19)
        self.bitcask("repair")

    def test_salvage_makes_a_store_of_loose_files(self):
        self.fill(20)
        self.bitcask("delete", "key:3")
        os.rename(self.path("data", self.data_files()[0]), self.path("loose"))
        with open(self.path("loose"), "r+b") as file:
            file.write(b"\0" * 128)
        *files, total = self.json("salvage", "loose", "--into", "new")
        self.assertIn("computed", files[0]["what"])
        self.assertEqual(total["keys"], 19)
        self.bitcask("-d", "new", "verify")
        self.bitcask("-d", "new", "get", "key:3", code=1)
        self.bitcask("salvage", "loose", code=2)
        self.bitcask("salvage", "loose", "--into", "new", code=3)


if __name__ == "__main__":
    main()
