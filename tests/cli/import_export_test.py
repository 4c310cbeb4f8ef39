#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# import_export_test.py: import, export and bench of the `bitcask` command.
#
#     tests/cli/import_export_test.py build/bitcask [CLASS[.case]...]
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

import cli_test
from cli_test import Case, Terminal, TIMEOUT_S


class Lines(Case):
    def test_jsonl_comes_back_as_it_was(self):
        lines = ['{"key":"city","value":"Utrecht"}',
                 '{"key":"é\\n","value":"\\u0000\\"\\\\"}',
                 '{"key_b64":"/w==","value_b64":"gIGC"}',
                 '{"key":"t","value":"","expires_at":"2100-01-02T03:04:05.000006Z"}']
        self.bitcask("import", "-", stdin="\n".join(lines).encode())
        self.assertEqual(sorted(json.loads(line)["key"] for line in lines if '"key"' in line),
                         sorted(item["key"] for item in self.items() if "key" in item))
        self.assertEqual(sorted(map(str, map(json.loads, lines))), sorted(map(str, self.items())))

    def items(self, *args):
        return [json.loads(line) for line in self.bitcask("export", *args).out.splitlines()]

    def test_tsv_comes_back_as_it_was(self):
        text = b"a\\tb\t\\n\\r\\\\\n\xff\xfe\t\x00\x01\nk\tv\t2100-01-02T03:04:05.000006Z\n"
        self.bitcask("import", "--format", "tsv", "-", stdin=text)
        out = self.bitcask("export", "--format", "tsv").out
        self.assertEqual(sorted(out.splitlines()), sorted(text.splitlines()))

    def test_every_export_is_a_backup(self):
        self.bitcask("import", "-", stdin=b"".join(
            b'{"key":"k%d","value":"%s"}\n' % (i, b"x" * (i % 500)) for i in range(2000)))
        for name in ("backup.jsonl", "backup.tsv"):
            self.bitcask("-q", "export", "-o", name)
            self.bitcask("-q", "-d", name + ".store", "import", name)
            self.assertEqual(sorted(self.lines("export")),
                             sorted(self.lines("-d", name + ".store", "export")))

    def test_a_failed_export_leaves_no_file(self):
        self.bitcask("put", "a", "b")
        os.mkdir(self.path("out"))
        self.bitcask("export", "-o", "missing/out.jsonl", code=3)
        self.bitcask("-q", "export", "-o", "out/x")
        self.assertEqual(os.listdir(self.path("out")), ["x"])

    def test_the_prefix_chooses(self):
        self.fill(20)
        self.assertEqual(len(self.items("--prefix", "key:1")), 11)

    def test_a_malformed_line_stops_and_all_before_it_is_stored(self):
        text = b"a\t1\nb\t2\n\nbad line\nc\t3\n"
        for batch in ("1", "2", "100"):
            result = self.bitcask("-d", "store" + batch, "import", "--batch", batch, "--format",
                                  "tsv", "-", stdin=text, code=2)
            self.assertIn("-:4: no tab between key and value", result.err)
            self.assertIn("2 before it are stored", result.err)
            self.assertEqual(sorted(self.lines("-d", "store" + batch, "keys")), ["a", "b"])

    def test_skip_bad_goes_on_and_counts(self):
        text = b"a\t1\nbad\nworse\nc\t3\n"
        result = self.run_raw("--json", "import", "--skip-bad", "--format", "tsv", "-", stdin=text)
        self.assertEqual(result.code, 0)
        summary = json.loads(result.out)
        self.assertEqual((summary["imported"], summary["bad"]), (2, 2))
        self.assertIn("-:2: no tab", result.err)
        self.assertIn("-:3: no tab", result.err)
        self.assertEqual(sorted(self.lines("keys")), ["a", "c"])

    def test_seconds_are_no_expiry(self):
        result = self.bitcask("import", "-", code=2,
                              stdin=b'{"key":"a","value":"b","expires_at":1767225600}\n')
        self.assertIn("-:1:", result.err)
        self.assertIn("microseconds", result.err)

    def test_a_line_may_be_longer_than_the_buffer(self):
        value = b"x" * 3000000
        self.bitcask("import", "--format", "tsv", "-", stdin=b"a\t1\nbig\t" + value + b"\nb\t2")
        self.assertEqual(self.bitcask("get", "big").out, value)
        self.assertEqual(self.bitcask("get", "b").out, b"2")

    def test_a_batch_larger_than_a_segment_is_divided(self):
        text = b"".join(b"key:%d\t%s\n" % (i, b"v" * 1000) for i in range(500))
        self.bitcask("--segment-size", "64K", "import", "--batch", "500", "--format", "tsv", "-",
                     stdin=text)
        self.assertEqual(self.lines("count"), ["500"])

    def test_a_missing_source_makes_no_store(self):
        self.bitcask("import", "nothing.tsv", code=3)
        self.bitcask("import", "--format", "xml", "-", code=2)
        self.bitcask("import", "--batch", "0", "-", code=2)
        self.assertFalse(os.path.exists(self.path("data")))


class Acknowledgements(Case):
    def start(self, *args):
        return subprocess.Popen([cli_test.BITCASK, "import", "--ack", "--format", "tsv", *args, "-"],
                                cwd=self.dir, env=self.env, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def test_each_key_is_printed_while_the_input_stays_open(self):
        for mode in ("none", "interval", "always"):
            process = self.start("--sync", mode)
            for i in range(20):
                process.stdin.write(b"%d\\n\tv\n" % i)
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"%d\\n\n" % i)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            self.assertEqual(self.lines("count"), ["20"])
            self.bitcask("clear", "--yes")

    def test_a_batch_is_acknowledged_as_a_whole(self):
        process = self.start("--batch", "3")
        process.stdin.write(b"a\t1\nb\t2\n")
        process.stdin.flush()
        time.sleep(0.2)  # nothing must come; that it does not cannot be waited for
        os.set_blocking(process.stdout.fileno(), False)
        self.assertIsNone(process.stdout.read())
        os.set_blocking(process.stdout.fileno(), True)
        process.stdin.write(b"c\t3\n")
        process.stdin.flush()
        self.assertEqual([process.stdout.readline() for _ in range(3)], [b"a\n", b"b\n", b"c\n"])
        process.communicate()
        self.assertEqual(process.returncode, 0)

    def test_a_key_that_was_not_stored_is_not_acknowledged(self):
        result = self.bitcask("import", "--ack", "--format", "tsv", "-", stdin=b"a\t1\nbad\nb\t2\n",
                              code=2)
        self.assertEqual(result.out, b"a\n")


class Files(Case):
    def make_tree(self):
        os.makedirs(self.path("tree/empty/deeper"))
        os.makedirs(self.path("tree/sub"))
        for name, content, mode in (("plain", b"text\n", 0o644), ("empty_file", b"", 0o644),
                                    ("script", b"#!/bin/sh\n", 0o755), ("secret", b"\0\xff", 0o600),
                                    ("sub/read_only", b"r", 0o444), ("sub/new\nline", b"n", 0o644),
                                    ("sub/\xff".encode("latin-1"), b"l", 0o640)):
            path = os.path.join(os.fsencode(self.path("tree")), os.fsencode(name))
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode)
        os.symlink("plain", self.path("tree/link"))
        os.symlink("/nowhere/at/all", self.path("tree/sub/dangling"))
        os.symlink("sub", self.path("tree/link_to_directory"))
        os.chmod(self.path("tree/sub"), 0o555)
        os.chmod(self.path("tree/empty"), 0o711)

    def tearDown(self):
        subprocess.run(["chmod", "-R", "u+rwX", self.dir], check=False, stderr=subprocess.DEVNULL)
        super().tearDown()

    def shape(self, root):
        """Everything about a tree that is to be kept."""
        found = {}
        for directory, names, files in os.walk(os.fsencode(self.path(root))):
            for name in names + files:
                path = os.path.join(directory, name)
                info = os.lstat(path)
                kind = stat.S_IFMT(info.st_mode)
                content = b""
                if kind == stat.S_IFLNK:
                    content = os.readlink(path)
                elif kind == stat.S_IFREG:
                    with open(path, "rb") as file:
                        content = file.read()
                found[os.path.relpath(path, os.fsencode(self.path(root)))] = \
                    (kind, stat.S_IMODE(info.st_mode), content)
        return found

    def test_a_tree_comes_back_as_it_was(self):
        self.make_tree()
        self.bitcask("import", "--format", "files", "tree")
        self.bitcask("export", "--format", "files", "-o", "out")
        self.assertEqual(self.shape("out"), self.shape("tree"))
        done = subprocess.run(["diff", "-r", "--no-dereference", "tree", "out"], cwd=self.dir,
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))

    def test_content_is_read_by_its_path(self):
        self.make_tree()
        self.bitcask("import", "tree")
        self.assertEqual(self.bitcask("get", "plain").out, b"text\n")
        self.assertEqual(self.bitcask("get", "sub/dangling").out, b"/nowhere/at/all")
        self.assertEqual(self.bitcask("get", "/.meta/script").out, b"file 0755")
        self.bitcask("get", "/.meta/plain", code=1)

    def test_an_entry_that_changed_its_kind_comes_back_as_the_new_one(self):
        os.makedirs(self.path("one/c"))
        os.makedirs(self.path("two/a"))
        self.write("one/a", b"was a file")
        os.symlink("a", self.path("one/b"))
        self.write("two/b", b"was a link")
        self.write("two/c", b"was a directory")
        self.bitcask("import", "one")
        self.bitcask("import", "two")
        self.bitcask("export", "--format", "files", "-o", "out")
        self.assertEqual(self.shape("out"), self.shape("two"))

    def test_a_deleted_key_is_a_file_less(self):
        self.make_tree()
        self.bitcask("import", "tree")
        self.bitcask("delete", "script", "link")
        self.bitcask("export", "--format", "files", "-o", "out")
        self.assertEqual(set(self.shape("tree")) - set(self.shape("out")), {b"script", b"link"})

    def test_the_prefix_chooses_a_subtree(self):
        self.make_tree()
        self.bitcask("import", "tree")
        self.bitcask("export", "--format", "files", "--prefix", "sub/", "-o", "out")
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["sub"])
        self.assertEqual(len(os.listdir(self.path("out/sub"))), 4)

    def test_nothing_is_made_outside_the_output(self):
        os.mkdir(self.path("outside"))
        keys = ["../escape", "/absolute", "a/../../escape", "a//b", "./x", "trailing/", "a\0b"]
        lines = [json.dumps({"key": key, "value": "evil"}) for key in keys]
        lines += [json.dumps(item) for item in (
            {"key": "door", "value": self.path("outside")},
            {"key": "/.meta/door", "value": "link 0777"},
            {"key": "door/evil", "value": "evil"},
            {"key": "/.meta/../evil", "value": "dir 0755"},
            {"key": "good/file", "value": "good"})]
        self.bitcask("-q", "import", "-", stdin="\n".join(lines).encode())
        result = self.run_raw("export", "--format", "files", "-o", "out")
        self.assertEqual(result.code, 3)
        self.assertEqual(os.listdir(self.path("outside")), [])
        self.assertEqual(sorted(os.listdir(self.dir)), ["data", "out", "outside"])
        self.assertEqual(self.read("out/good/file"), b"good")
        for why in ("..", "absolute", "empty component", "zero byte"):
            self.assertIn(why, result.err)

    def test_a_key_too_long_for_a_name_is_left_out(self):
        self.bitcask("put", "n" * 256, "v")
        self.bitcask("put", "short", "v")
        result = self.run_raw("export", "--format", "files", "-o", "out")
        self.assertEqual(result.code, 3)
        self.assertIn("too long", result.err)
        self.assertEqual(os.listdir(self.path("out")), ["short"])

    def test_an_output_that_is_not_empty_is_refused(self):
        self.bitcask("put", "a", "new")
        os.mkdir(self.path("out"))
        self.write("out/a", b"old")
        self.bitcask("export", "--format", "files", "-o", "out", code=2)
        self.assertEqual(self.read("out/a"), b"old")

    def test_what_is_no_file_is_passed_over_and_named(self):
        os.mkdir(self.path("tree"))
        self.write("tree/file", b"x")
        os.mkfifo(self.path("tree/fifo"))
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path("tree/socket"))
        result = self.bitcask("import", "tree")
        server.close()
        self.assertIn("passed over fifo: a FIFO", result.err)
        self.assertIn("passed over socket: a socket", result.err)
        self.assertEqual(self.lines("keys"), ["file"])

    def test_a_file_over_1_gib_is_refused(self):
        os.mkdir(self.path("tree"))
        self.write("tree/a_small", b"x")
        with open(self.path("tree/b_large"), "wb") as file:
            file.truncate((1 << 30) + 1)
        result = self.bitcask("import", "tree", code=3)
        self.assertIn("b_large: the file has 1.0 GiB, a value at most 1 GiB", result.err)
        result = self.run_raw("import", "--skip-bad", "tree")
        self.assertEqual(result.code, 0)
        self.assertEqual(self.lines("keys"), ["a_small"])

    def test_the_store_itself_is_passed_over(self):
        self.write("file", b"x")
        result = self.bitcask("import", ".")
        self.assertIn("passed over ./data, the store itself", result.err)
        self.assertEqual(self.lines("keys"), ["file"])

    def test_a_directory_is_taken_from_nowhere_else(self):
        self.bitcask("import", "--format", "files", "-", code=2)
        self.bitcask("put", "a", "b")
        self.bitcask("export", "--format", "files", code=2)


class Bench(Case):
    def test_each_workload_prints_one_object(self):
        workloads = ["fill", "fill-seq", "read", "read-seq", "read-many", "missing", "overwrite",
                     "overwrite-seq", "read-while-writing", "scan", "delete", "fill", "delete-seq"]
        results = self.json("bench", "--keys", "300", "--threads", "2", "--batch", "7", *workloads)
        self.assertEqual([r["workload"] for r in results], workloads)
        for result in results:
            self.assertEqual(result["operations"], 300)
            self.assertGreater(result["operations_per_s"], 0)
            self.assertLessEqual(result["p50_ns"], result["p99_ns"])
            self.assertLessEqual(result["p999_ns"], result["max_ns"])
        self.assertGreater(results[0]["index_bytes_per_key"], 0)
        self.assertEqual(os.listdir(self.dir), [])

    def test_sync_mode_and_sizes_are_reported(self):
        result = self.json("bench", "--keys", "20", "--sync", "always", "--key-size", "4",
                           "--value-size", "0", "fill")[0]
        self.assertEqual((result["sync"], result["key_size"], result["value_size"]),
                         ("always", 4, 0))

    def test_a_table_is_printed(self):
        lines = self.lines("bench", "--keys", "100")
        self.assertEqual([line.split()[0] for line in lines[2:4]], ["fill", "read"])

    def test_no_other_store_is_touched(self):
        self.bitcask("put", "a", "b")
        self.bitcask("bench", "--keys", "10", "--dir", "data", "fill", code=3)
        self.bitcask("bench", "--keys", "10", "fill")
        self.assertEqual(self.lines("keys"), ["a"])
        self.assertEqual(os.listdir(self.dir), ["data"])

    def test_its_store_can_be_kept(self):
        self.bitcask("bench", "--keys", "10", "--dir", "kept", "--keep", "fill")
        self.assertEqual(self.lines("-d", "kept", "count"), ["10"])

    def test_an_interrupt_leaves_nothing_behind(self):
        process = subprocess.Popen([cli_test.BITCASK, "bench", "--keys", "100000000", "fill"],
                                   cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while not any(os.path.exists(self.path(d, "MANIFEST")) for d in os.listdir(self.dir)):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_S), 3)
        self.assertEqual(os.listdir(self.dir), [])

    def test_nonsense_is_refused(self):
        for args in (["--keys", "0"], ["--key-size", "3"], ["--threads", "0"], ["--batch", "0"],
                     ["--key-size", "4", "--keys", "3000000000"], ["no-such-workload"]):
            self.bitcask("bench", *args, code=2)
        self.assertEqual(os.listdir(self.dir), [])


class OnATerminal(Case):
    def test_import_shows_a_bar(self):
        with open(self.path("big.tsv"), "wb") as file:
            for i in range(300000):
                file.write(b"key:%d\t%s\n" % (i, b"v" * 100))
        out, code = Terminal(self, "import", "--sync", "always", "--batch", "100",
                             "big.tsv").end()
        self.assertEqual(code, 0)
        self.assertIn(b"importing", out)
        self.assertIn(b"left", out)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: import_export_test.py BITCASK [CLASS[.case]...]")
    cli_test.BITCASK = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)


if __name__ == "__main__":
    main()
