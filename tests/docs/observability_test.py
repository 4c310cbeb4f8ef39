# SPDX-License-Identifier: MIT
"""observability_test.py SOURCE LIBRARY: docs/OBSERVABILITY.md lists the probes that the library has,
each with as many arguments."""

import pathlib
import re
import subprocess
import sys
import unittest

PAGE, LIBRARY = pathlib.Path(sys.argv[1]) / "docs/OBSERVABILITY.md", sys.argv[2]


class Probes(unittest.TestCase):
    def test_the_page_lists_those_of_the_library(self):
        text = PAGE.read_text(encoding="utf-8")
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", text[text.index("## Probes"):], re.M)
        listed = {name: len(re.sub(r"\(.*\)", "", what).split(", ")) for name, what in rows}
        notes = subprocess.run(["readelf", "-n", LIBRARY], check=True, capture_output=True,
                               text=True).stdout
        found = re.findall(r"Provider: bitcask\s+Name: (\w+)\s+.*?Arguments: ([^\n]*)", notes, re.S)
        self.assertEqual({name: len(what.split()) for name, what in found}, listed)


unittest.main(argv=[sys.argv[0]])
