# SPDX-License-Identifier: MIT
"""What README.md and the other pages show of Python works as shown."""

import re
import subprocess
import sys
import tempfile
import unittest

from .support import SOURCE


class Examples(unittest.TestCase):
    def test_they_run(self):
        shown = 0
        for page in "README.md", "docs/PYTHON.md", "bindings/python/README.md":
            text = (SOURCE / page).read_text(encoding="utf-8")
            for program in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
                with tempfile.TemporaryDirectory() as directory:
                    said = subprocess.run([sys.executable, "-c", program], cwd=directory, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
                self.assertEqual(said.returncode, 0, f"{page}:\n{program}{said.stderr}")
                shown += 1
        self.assertGreaterEqual(shown, 4)


if __name__ == "__main__":
    unittest.main()
