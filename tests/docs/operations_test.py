# SPDX-License-Identifier: MIT
"""operations_test.py SOURCE BITCASK: docs/OPERATIONS.md lists what there is, and nothing else: the log
events of the source with their levels and fields, and the fields of the statistics with their types.
And `dump`, which the pages send their readers to, has words for everything in the golden stores."""

import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, BITCASK = pathlib.Path(sys.argv[1]), sys.argv[2]
FUNCTION = re.compile(r"^\w[\w *]*?(\w+)\([^;]*?\)\n\{", re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = re.compile(r'"([^"]*)"')


def table(heading):
    """The rows of the one table whose first heading cell is `heading`."""
    lines = (SOURCE / "docs/OPERATIONS.md").read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[begin + 2:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names(cell):
    return set(re.findall(r"`(\w+)`", cell))


# ---- Events ------------------------------------------------------------------------------------------


def arguments(text, at):
    """What stands between the parenthesis at `at` and its partner."""
    depth = 0
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[at + 1:end]
    raise ValueError("a parenthesis is not closed")


def event_names(expression, text, position):
    """The literals of a name; if it is a parameter, those that the function is called with."""
    literals = STRING.findall(expression)
    if literals:
        return literals
    function = [m.group(1) for m in FUNCTION.finditer(text) if m.start() < position][-1]
    return [STRING.search(arguments(text, m.end() - 1)).group(1)
            for m in re.finditer(rf"^ +{function}\(", text, re.M)]


def events_of_source():
    """{name: (levels, fields of every place it is told from, one set each)}"""
    found = collections.defaultdict(lambda: (set(), []))
    for path in sorted(SOURCE.glob("src/*/*.c")):
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        for match in re.finditer(r"\bEVENT\(", text):
            inside = arguments(text, match.end() - 1)
            _, level, rest = (part.strip() for part in inside.split(",", 2))
            name, fields = re.split(r",\s*(?=F_)", rest, maxsplit=1)
            for event in event_names(name, text, match.start()):
                levels, places = found[event]
                levels.add(level.removeprefix("BITCASK_LOG_").lower())
                places.append(set(re.findall(r'F_(?:UINT|TEXT|KEY)\("(\w+)"', fields)))
    return found


class Events(unittest.TestCase):
    def setUp(self):
        self.source = events_of_source()
        self.page = {name: row for row in table("event") for name in names(row[0])}

    def test_every_event_is_listed_and_every_listed_one_is_told(self):
        self.assertGreater(len(self.source), 20)
        self.assertEqual(sorted(self.source), sorted(self.page))

    def test_levels_are_as_listed(self):
        for name, (levels, _) in self.source.items():
            self.assertEqual(levels, {self.page[name][1]}, name)

    def test_fields_are_as_listed(self):
        for name, (_, places) in self.source.items():
            optional = names("".join(re.findall(r"\(.*?\)", self.page[name][2])))
            always = names(self.page[name][2]) - optional
            self.assertTrue(places[0], f"{name}: no fields found")
            self.assertEqual(set.intersection(*places), always, name)
            self.assertEqual(set.union(*places), always | optional, name)

    def test_what_the_page_speaks_of_is_an_event_or_a_field(self):
        text = (SOURCE / "docs/OPERATIONS.md").read_text(encoding="utf-8")
        body = text[text.index("## When something is wrong"):text.index("## Log events")]
        known = set(self.source) | {row[0].strip("`") for row in table("field")}
        for word in set(re.findall(r"`([a-z]+_[a-z_]+)`", body)):
            self.assertIn(word, known)


class Dump(unittest.TestCase):
    def test_golden_files_are_printed_in_words(self):
        files = [path for path in (SOURCE / "tests/golden").glob("*/*/*") if path.is_file()]
        self.assertGreater(len(files), 10)
        for path in files:
            run = subprocess.run([BITCASK, "dump", "--values", "--file", path], text=True,
                                 capture_output=True, check=False)
            self.assertEqual(run.returncode, 0, f"{path}: {run.stdout}{run.stderr}")
            self.assertNotIn("malformed", run.stdout, path)


# ---- Statistics --------------------------------------------------------------------------------------

NUMBER, DECIMAL, TIME = r"\d+", r"\d+\.\d{3}", r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"|null'
TYPES = {
    "count": NUMBER, "bytes": NUMBER, "microseconds": NUMBER, "version": NUMBER, "ratio": DECIMAL,
    "boolean": "true|false", "time": TIME, "text": '"[a-z]+"', "status": '"[A-Z_]+"',
}


class Statistics(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="bitcask-operations-")
        self.addCleanup(scratch.cleanup)
        self.store = scratch.name + "/store"
        lines = "".join(f"key{i}\t{'v' * 1000}\n" for i in range(200))
        self.run_bitcask("import", "--format", "tsv", "-", "--segment-size", "64K", given=lines)
        self.run_bitcask("delete", "key1")

    def run_bitcask(self, *words, given=""):
        return subprocess.run([BITCASK, "-q", "--json", "-d", self.store, *words], input=given,
                              capture_output=True, text=True, check=True).stdout

    def compare(self, text, heading):
        listed = {row[0].strip("`"): row[1] for row in table(heading)}
        self.assertEqual(list(json.loads(text).keys() - listed.keys()), [], "not in the page")
        self.assertEqual(list(listed.keys() - json.loads(text).keys()), [], "only in the page")
        for name, kind in listed.items():
            self.assertRegex(text, rf'"{name}":(?:{TYPES[kind]})[,}}]', f"{name} is no {kind}")

    def test_fields_of_the_store_are_as_listed(self):
        self.compare(self.run_bitcask("stats"), "field")

    def test_fields_of_a_segment_are_as_listed(self):
        lines = self.run_bitcask("stats", "--segments").splitlines()
        self.assertGreater(len(lines), 2)
        for line in lines:
            self.compare(line, "segment field")

    def test_numbers_mean_what_the_page_says(self):
        stats = json.loads(self.run_bitcask("stats"))
        segments = [json.loads(s) for s in self.run_bitcask("stats", "--segments").splitlines()]
        self.assertEqual(stats["keys"], 199)
        self.assertEqual(stats["segments"], len(segments))
        for sum_of in ("live_bytes", "dead_bytes"):
            self.assertEqual(stats[sum_of], sum(segment[sum_of] for segment in segments))
        self.assertEqual(sum(segment["live_records"] for segment in segments), stats["keys"])
        self.assertEqual(sum(segment["records"] for segment in segments), 201)
        self.assertEqual(sum(segment["tombstones"] for segment in segments), 1)
        self.assertEqual(segments[-1]["version_max"], stats["last_version"])
        self.assertTrue(stats["clean_open"] and stats["read_only"])


unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
