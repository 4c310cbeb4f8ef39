#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# import_foreign_test.py: importing the directories of other Bitcasks, and export --format cask.
#
#     tests/cli/import_foreign_test.py build/bitcask [CLASS[.case]...]
#
# The fixtures are written byte by byte, with Python's own checksum; see docs/IMPORT.md.
import json
import os
import struct
import sys
import unittest
import zlib

import cli_test
from cli_test import Case

TIME_S = 1700000000


def riak(key, value):
    rest = struct.pack(">IHI", TIME_S, len(key), len(value)) + key + value
    return struct.pack(">I", zlib.crc32(rest)) + rest


def cask(key, value, time=TIME_S):
    size = 0xFFFFFFFF if value is None else len(value)
    rest = struct.pack("<QII", time, len(key), size) + key + (value or b"")
    return struct.pack("<I", zlib.crc32(rest)) + rest


def bitcaskpy(key, value, tombstone=0):
    return (struct.pack(">dIIB", TIME_S + 0.5, len(key), len(value), tombstone) +
            key.encode() + value.encode())


def protobuf(key, value, deleted=False):
    message = b"\x0a" + bytes([len(key)]) + key.encode()
    if not deleted:
        text = json.dumps(value).encode()
        message += b"\x12" + bytes([len(text)]) + text
    message += bytes.fromhex("1880d095ffbc31") + (b"\x20\x01" if deleted else b"")
    return struct.pack(">I", len(message)) + message


def line(key, value, **more):
    record = {"key": key, "value": value, "timestamp": TIME_S * 1000, **more}
    return json.dumps(record).encode() + b"\n"


class Foreign(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("old"))

    def put_file(self, name, *records):
        self.write(os.path.join("old", name), b"".join(records))

    def contents(self, *args):
        """The whole store, as a dictionary of bytes."""
        return dict(line.split(b"\t") for line in
                    self.bitcask(*args, "export", "--format", "tsv").out.splitlines())

    def import_counts(self, form, *args, code=0):
        result = self.bitcask("--json", "import", "--format", form, *args, "old", code=code)
        self.messages = result.err
        return json.loads(result.out)

    def snapshot_of_source(self):
        return {entry.name: (entry.stat().st_mtime_ns, entry.stat().st_size)
                for entry in os.scandir(self.path("old"))}


class EachLayout(Foreign):
    def check(self, form, expected, **counts):
        before = self.snapshot_of_source()
        got = self.import_counts(form)
        for name, count in counts.items():
            self.assertEqual(got[name], count, name)
        self.assertEqual(got["keys"], len(expected))
        self.assertEqual(self.contents(), expected)
        self.assertEqual(self.snapshot_of_source(), before)

    def test_riak(self):
        self.put_file("10.bitcask.data", riak(b"a", b"newest"), riak(b"b", b"bitcask_tombstone"),
                      riak(b"c", b"bitcask_tombstone2\0\0\0\1"), riak(b"d", b""))
        self.put_file("9.bitcask.data", riak(b"a", b"older"), riak(b"b", b"gone"),
                      riak(b"c", b"gone"), riak(b"e", b"5"))
        self.put_file("9.bitcask.hint", b"anything: never read")
        self.check("riak", {b"a": b"newest", b"d": b"", b"e": b"5"}, files=2, records=8, puts=6,
                   deletes=2, damaged=0, torn=0, oldest="2023-11-14T22:13:20.000000Z")

    def test_cask(self):
        self.put_file("cask.2", cask(b"a", b"old"), cask(b"b", b"gone"), cask(b"c", b"3"))
        self.put_file("cask.10", cask(b"a", b"new"), cask(b"b", None))
        self.put_file("cask.2.hint", b"never read")
        self.check("cask", {b"a": b"new", b"c": b"3"}, files=2, records=5, puts=4, deletes=1)

    def test_bitcaskpy(self):
        self.put_file("segment_9.log", bitcaskpy("é", "old"), bitcaskpy("b", "gone"))
        self.put_file("segment_10.log", bitcaskpy("é", "€uro"), bitcaskpy("b", "", 1))
        self.put_file("segment_10.hint", b"{}")
        self.put_file("segment_10.index", b"{}")
        self.check("bitcaskpy", {"é".encode(): "€uro".encode()}, files=2, records=4, deletes=1)

    def test_pybitcask(self):
        self.put_file("data_1.db", b"\x01", protobuf("a", "old"), protobuf("b", [1, 2]),
                      line("c", {"x": None}))
        self.put_file("data_2.db", b"\x02", line("a", "new"), line("b", None, deleted=True),
                      protobuf("d", 1.5))
        self.check("pybitcask", {b"a": b'"new"', b"c": b'{"x": null}', b"d": b"1.5"}, files=2,
                   records=6, puts=5, deletes=1)

    def test_pybitcask_strings_as_text(self):
        self.put_file("data_1.db", b"\x01", protobuf("a", "é\""), protobuf("b", [1]))
        self.import_counts("pybitcask", "--value", "text")
        self.assertEqual(self.contents(), {b"a": "é\"".encode(), b"b": b"[1]"})

    def test_riak_keys(self):
        self.put_file("1.bitcask.data", riak(b"\x02\0\1bkey", b"1"), riak(b"\x03\0\1t\0\1bk/y", b"2"),
                      riak(b"other", b"3"))
        self.import_counts("riak", "--riak-keys", "decoded")
        self.assertEqual(self.contents(), {b"b/key": b"1", b"t/b/k%2Fy": b"2", b"other": b"3"})

    def test_riak_files_that_await_deletion_are_passed_over(self):
        self.put_file("1.bitcask.data", riak(b"a", b"stale"))
        self.put_file("2.bitcask.data", riak(b"b", b"stale too"))
        self.put_file("3.bitcask.data", riak(b"c", b"fresh"))
        os.chmod(self.path("old", "1.bitcask.data"), 0o4644)
        os.chmod(self.path("old", "2.bitcask.data"), 0o645)
        counts = self.import_counts("riak")
        self.assertEqual((counts["pending_deletion"], counts["files"]), (2, 1))
        self.assertEqual(self.contents(), {b"c": b"fresh"})

    def test_deletes_reach_what_the_store_had(self):
        self.bitcask("put", "a", "mine")
        self.bitcask("put", "z", "mine")
        self.put_file("cask.1", cask(b"a", None))
        self.import_counts("cask")
        self.assertEqual(self.contents(), {b"z": b"mine"})


class Damage(Foreign):
    def test_a_torn_file_is_read_up_to_the_tear_and_the_next_goes_on(self):
        whole = cask(b"a", b"1")
        self.put_file("cask.1", whole, cask(b"b", b"2")[:-1])
        self.put_file("cask.2", cask(b"c", b"3"))
        counts = self.import_counts("cask", code=4)
        self.assertEqual((counts["torn"], counts["damaged"], counts["records"]), (1, 0, 2))
        self.assertIn(f"old/cask.1: torn at {len(whole)}: ", self.messages)
        self.assertIn("the last 21 bytes are not read", self.messages)
        self.assertEqual(self.contents(), {b"a": b"1", b"c": b"3"})

    def test_a_bad_checksum_costs_its_record(self):
        bad = bytearray(cask(b"b", b"2"))
        bad[-1] ^= 1
        self.put_file("cask.1", cask(b"a", b"1"), bad, cask(b"c", b"3"))
        counts = self.import_counts("cask", code=4)
        self.assertEqual((counts["torn"], counts["damaged"], counts["records"]), (0, 1, 2))
        self.assertIn("damaged at 22: bad checksum: 22 bytes passed over", self.messages)
        self.assertEqual(self.contents(), {b"a": b"1", b"c": b"3"})

    def test_much_damage_is_counted_not_printed(self):
        bad = bytearray(cask(b"b", b"2"))
        bad[-1] ^= 1
        self.put_file("cask.1", bytes(bad) * 1000)
        self.assertEqual(self.import_counts("cask", code=4)["damaged"], 1000)
        self.assertLess(self.messages.count("\n"), 20)

    def test_pybitcask_goes_on_behind_a_torn_line(self):
        self.put_file("data_1.db", b"\x02", line("a", "1")[:-9], line("b", "2"))
        counts = self.import_counts("pybitcask", code=4)
        self.assertEqual((counts["torn"], counts["damaged"]), (0, 1))
        self.assertEqual(self.contents(), {b"b": b'"2"'})

    def test_a_record_larger_than_the_pieces_that_are_read(self):
        value = bytes(range(256)) * 12000
        self.put_file("cask.1", cask(b"a", b"1"), cask(b"big", value), cask(b"b", b"2"))
        self.import_counts("cask")
        self.assertEqual(self.bitcask("get", "big").out, value)
        self.assertEqual(self.lines("count"), ["3"])

    def test_pybitcask_searches_through_more_than_a_piece(self):
        start = b"\x02" + line("a", "1")
        self.put_file("data_1.db", start, b"\0" * 3000000, line("b", "2"))
        self.import_counts("pybitcask", code=4)
        self.assertIn(f"damaged at {len(start)}: not a record: 3000000 bytes", self.messages)
        self.assertEqual(self.contents(), {b"a": b'"1"', b"b": b'"2"'})
        self.put_file("data_1.db", start, b"\0" * 3000000)
        self.import_counts("pybitcask", code=4)
        self.assertIn(f"torn at {len(start)}: ", self.messages)
        self.assertIn("the last 3000000 bytes", self.messages)

    def test_keys_that_no_store_can_hold_are_left_out(self):
        self.put_file("cask.1", cask(b"", b"1"), cask(b"x" * 65536, b"2"), cask(b"b", b"3"),
                      cask(b"", None))
        counts = self.import_counts("cask", code=3)
        self.assertEqual((counts["refused"], counts["puts"], counts["deletes"]), (3, 1, 0))
        self.assertIn("the key is empty", self.messages)
        self.assertEqual(self.contents(), {b"b": b"3"})


class Truncations(Foreign):
    """One import of a directory with a file for each length that a fixture can be cut to."""

    def check(self, form, name, start, records, slack=0):
        whole = b"".join(records)
        ends = [len(start) + len(b"".join(records[:i])) for i in range(len(records) + 1)]
        torn = found = 0
        for size in range(len(start), len(start) + len(whole)):
            self.put_file(name % size, (start + whole)[:size])
            found += sum(end <= size + slack for end in ends[1:])
            torn += size not in ends and size + slack not in ends[1:]
        counts = self.import_counts(form, code=4)
        self.assertEqual((counts["torn"], counts["records"], counts["damaged"]), (torn, found, 0))

    def test_riak(self):
        self.check("riak", "%d.bitcask.data", b"",
                   [riak(b"a", b"1"), riak(b"b", b""), riak(b"a", b"bitcask_tombstone"),
                    riak(b"c", b"x" * 300)])

    def test_cask(self):
        self.check("cask", "cask.%d", b"",
                   [cask(b"a", b"1"), cask(b"b", b""), cask(b"a", None), cask(b"c", b"x" * 300)])

    def test_bitcaskpy(self):
        self.check("bitcaskpy", "segment_%d.log", b"",
                   [bitcaskpy("é", "€uro"), bitcaskpy("b", ""), bitcaskpy("é", "", 1),
                    bitcaskpy("c", "x" * 300)])

    def test_pybitcask(self):
        self.check("pybitcask", "data_%d.db", b"\x01",
                   [protobuf("a", "x"), protobuf("b", {"k": [1, None]}), protobuf("a", None, True)])

    def test_pybitcask_json(self):
        self.check("pybitcask", "data_%d.db", b"\x02",
                   [line("a", "x"), line("b", {"key": "k", "value": 1}), line("a", None,
                                                                              deleted=True)],
                   slack=1)


class Sources(Foreign):
    def test_an_empty_directory_is_an_error_and_makes_no_store(self):
        for form in ("riak", "pybitcask", "bitcaskpy", "cask"):
            self.bitcask("import", "--format", form, "old", code=2)
            self.bitcask("import", "--format", form, "missing", code=3)
            self.bitcask("import", "--format", form, "-", code=2)
        self.write("file", b"x")
        self.bitcask("import", "--format", "cask", "file", code=3)
        self.assertFalse(os.path.exists(self.path("data")))

    def test_the_wrong_format_is_told_the_right_one(self):
        self.put_file("data_1.db", b"\x01")
        result = self.bitcask("import", "--format", "riak", "old", code=2)
        self.assertIn("but data_N.db: want --format pybitcask?", result.err)
        self.assertIn("--format pybitcask would", self.bitcask("import", "old").err)

    def test_auto_takes_what_is_there(self):
        self.put_file("cask.1", cask(b"a", b"1"))
        self.bitcask("import", "--format", "auto", "old")
        self.assertEqual(self.contents(), {b"a": b"1"})
        self.put_file("segment_1.log", bitcaskpy("a", "1"))
        result = self.bitcask("import", "--format", "auto", "old", code=2)
        self.assertIn("cask.N", result.err)
        self.assertIn("segment_N.log", result.err)
        self.write("lines.tsv", b"b\t2\n")
        self.bitcask("import", "--format", "auto", "lines.tsv")
        self.assertEqual(self.contents(), {b"a": b"1", b"b": b"2"})

    def test_names_that_are_nearly_right_are_mentioned(self):
        self.put_file("data_1.db", b"\x02", line("a", 1))
        self.put_file("data_01.db", b"\x02", line("b", 1))
        self.assertEqual(self.import_counts("pybitcask")["passed_over"], 1)
        self.assertIn("data_01.db", self.messages)

    def test_a_lock_is_warned_of(self):
        self.put_file("cask.1", cask(b"a", b"1"))
        self.put_file("bitcask.lock", b"4711")
        self.assertIn("bitcask.lock", self.bitcask("import", "--format", "cask", "old").err)

    def test_what_is_no_regular_file_is_not_opened(self):
        os.mkfifo(self.path("old", "cask.1"))
        self.assertIn("not a regular file", self.bitcask("import", "--format", "cask", "old",
                                                         code=3).err)

    def test_the_store_may_not_be_in_the_source(self):
        self.put_file("cask.1", cask(b"a", b"1"))
        for store in ("old", "old/new", "old/new/deeper", "./old/"):
            result = self.bitcask("-d", store, "import", "--format", "cask", "old", code=2)
            self.assertIn("only read", result.err)
        self.assertEqual(os.listdir(self.path("old")), ["cask.1"])
        self.bitcask("-d", "old.new", "import", "--format", "cask", "old")

    def test_a_dry_run_stores_nothing(self):
        self.put_file("cask.1", cask(b"a", b"1"), cask(b"b", b"x" * 100000), cask(b"a", None))
        counts = self.import_counts("cask", "--dry-run")
        self.assertEqual((counts["puts"], counts["deletes"], counts["keys"]), (2, 1, None))
        self.put_file("cask.2", b"torn")
        self.import_counts("cask", "-n", code=4)
        self.write("a.tsv", b"k\tv\n")
        self.bitcask("import", "--dry-run", "a.tsv")
        self.bitcask("import", "--dry-run", "old")
        self.assertFalse(os.path.exists(self.path("data")))
        self.bitcask("put", "mine", "1")
        self.import_counts("cask", "--dry-run", code=4)
        self.assertEqual(self.contents(), {b"mine": b"1"})

    def test_options_of_other_formats_are_refused(self):
        self.put_file("cask.1", cask(b"a", b"1"))
        for options in (["--riak-keys", "raw"], ["--value", "json"], ["--value", "xml"],
                        ["--dry-run", "--ack"]):
            self.bitcask("import", "--format", "cask", *options, "old", code=2)

    def test_an_import_can_be_done_again(self):
        self.put_file("cask.1", *(cask(b"key%d" % (i % 50), b"%d" % i) for i in range(5000)))
        for batch in ("1", "7", "1000000"):
            self.bitcask("import", "--format", "cask", "--batch", batch, "old")
            self.assertEqual(self.contents(), {b"key%d" % i: b"%d" % (4950 + i) for i in range(50)})


class Export(Foreign):
    ITEMS = [{"key": "plain", "value": "text"}, {"key": "empty", "value": ""},
             {"key_b64": "AAEC/w==", "value_b64": "//79AA=="}]

    def test_what_export_writes_import_reads_back(self):
        self.bitcask("import", "-", stdin="\n".join(map(json.dumps, self.ITEMS)).encode())
        self.fill(1000)
        self.bitcask("export", "--format", "cask", "-o", "out")
        self.bitcask("-d", "again", "import", "--format", "cask", "out")
        self.assertEqual(sorted(self.lines("export")), sorted(self.lines("-d", "again", "export")))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["cask.1", "cask.1.hint"])

    def test_the_files_are_as_the_page_says(self):
        self.bitcask("put", "key", "value")
        self.bitcask("export", "--format", "cask", "out")
        data, hint = self.read("out/cask.1"), self.read("out/cask.1.hint")
        time = struct.unpack_from("<Q", data, 4)[0]
        self.assertEqual(data, cask(b"key", b"value", time))
        self.assertEqual(hint, struct.pack("<QIIQ", time, 3, 5, 23) + b"key")
        self.assertEqual(data[23:], b"value")

    def test_each_hint_points_at_its_value(self):
        self.fill(300)
        self.bitcask("export", "--format", "cask", "out")
        data, hint, at, values = self.read("out/cask.1"), self.read("out/cask.1.hint"), 0, {}
        while at < len(hint):
            _, key_size, value_size, position = struct.unpack_from("<QIIQ", hint, at)
            key = hint[at + 24:at + 24 + key_size]
            values[key] = data[position:position + value_size]
            at += 24 + key_size
        self.assertEqual(values, self.contents())

    def test_files_are_of_the_size_that_is_asked_for(self):
        self.fill(100)
        self.bitcask("put", "big", "x" * 6000)
        self.bitcask("export", "--format", "cask", "--file-size", "4K", "out")
        sizes = [os.path.getsize(self.path("out", name)) for name in os.listdir(self.path("out"))
                 if not name.endswith(".hint")]
        self.assertGreater(len(sizes), 3)
        self.assertEqual([size for size in sizes if size > 4096], [20 + 3 + 6000])
        self.bitcask("-d", "again", "import", "--format", "cask", "out")
        self.assertEqual(self.contents("-d", "again"), self.contents())

    def test_a_lost_expiry_is_told(self):
        self.bitcask("put", "--ttl", "1h", "a", "1")
        self.bitcask("put", "b", "2")
        self.assertIn("1 keys have lost their expiry",
                      self.bitcask("export", "--format", "cask", "out").err)
        self.bitcask("-d", "again", "import", "--format", "cask", "out")
        self.assertEqual(self.contents("-d", "again"), {b"a": b"1", b"b": b"2"})

    def test_an_empty_store_comes_back_empty(self):
        self.bitcask("put", "a", "1")
        self.bitcask("delete", "a")
        self.bitcask("export", "--format", "cask", "out")
        self.bitcask("-d", "again", "import", "--format", "cask", "out")
        self.assertEqual(self.contents("-d", "again"), {})

    def test_only_a_new_or_empty_directory_is_filled(self):
        self.bitcask("put", "a", "1")
        self.bitcask("export", "--format", "cask", code=2)
        self.write("old/mine", b"x")
        self.bitcask("export", "--format", "cask", "old", code=2)
        self.assertEqual(os.listdir(self.path("old")), ["mine"])


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: import_foreign_test.py BITCASK [CLASS[.case]...]")
    cli_test.BITCASK = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)


if __name__ == "__main__":
    main()
