# SPDX-License-Identifier: MIT
"""readme_test.py SOURCE BUILD: what README.md shows works as shown.

The C example, extracted, is compiled by the line below it against the library as it is installed, and
run. The lines of the tour through the command are run one after another in an empty directory on a
terminal; where the README shows what a command prints, it prints that."""

import os
import pty
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
TIMEOUT_S = 120


def readme():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as page:
        return page.read()


def section(title):
    return re.search(rf"^## {title}\n(.*?)^## ", readme(), re.M | re.S).group(1)


def indented(text):
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


def find(root, name):
    return next(d for d, _, files in os.walk(root) if name in files)


class Readme(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bitcask-readme-")
        self.dir = self.scratch.name
        self.addCleanup(self.scratch.cleanup)

    def succeed(self, line, **environment):
        run = subprocess.run(["bash", "-c", line], cwd=self.dir, env=os.environ | environment,
                             capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        self.assertEqual(run.returncode, 0, f"{line}\n{run.stdout}{run.stderr}")
        return run.stdout

    def on_terminal(self, line):
        """The exit code of a line and what it wrote to its standard output, which is a terminal."""
        master, slave = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "BITCASK_DIR"}
        environment |= {"PATH": f"{BUILD}:{os.environ['PATH']}", "NO_COLOR": "1"}
        run = subprocess.Popen(["bash", "-c", line], cwd=self.dir, stdin=subprocess.DEVNULL,
                               stdout=slave, stderr=subprocess.PIPE, env=environment)
        os.close(slave)
        said = b""
        while True:
            try:
                said += os.read(master, 65536)
            except OSError:  # the other side is closed
                break
        os.close(master)
        with run.stderr as errors:
            complaint = errors.read().decode()
        self.assertEqual(run.wait(TIMEOUT_S), 0, f"{line}: {complaint}")
        return said.decode().replace("\r\n", "\n")

    def test_the_c_example_compiles_as_shown_and_runs(self):
        text = section("In C")
        program = re.search(r"^```c\n(.*?)^```", text, re.M | re.S).group(1)
        lines = indented(text[text.rindex("```"):])
        self.assertEqual(len(lines), 1, "one line that compiles it")
        with open(os.path.join(self.dir, "example.c"), "w", encoding="utf-8") as file:
            file.write(program)
        root = os.path.join(self.dir, "installed")
        self.succeed(f"meson install -C '{BUILD}' --no-rebuild --destdir '{root}'")
        self.succeed(lines[0] + " -Wall -Wextra -Werror", PKG_CONFIG_SYSROOT_DIR=root,
                     PKG_CONFIG_PATH=find(root, "bitcask.pc"))
        said = self.succeed("./a.out", LD_LIBRARY_PATH=find(root, "libbitcask.so.0"))
        self.assertEqual(said, "Utrecht\n")
        said = self.succeed("./a.out", LD_LIBRARY_PATH=find(root, "libbitcask.so.0"))
        self.assertEqual(said, "Utrecht\n", "when the store is there already")

    def test_the_tour_runs_as_shown(self):
        steps = []
        for line in indented(section("On the command line")):
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
        self.assertGreater(len(steps), 5)
        shown = 0
        for line, output in steps:
            said = self.on_terminal(line)
            if output:
                self.assertEqual(said.splitlines(), output, line)
                shown += 1
        self.assertGreater(shown, 1)

    def test_the_links_lead_somewhere(self):
        pages = [os.path.relpath(os.path.join(directory, name), SOURCE)
                 for directory, _, names in os.walk(f"{SOURCE}/docs") for name in names if name.endswith(".md")]
        self.assertGreater(len(pages), 5)
        for page in ["README.md"] + pages:
            with open(os.path.join(SOURCE, page), encoding="utf-8") as text:
                links = re.findall(r"\]\(([^)#]+)[^)]*\)", text.read())
            for link in links:
                if "://" not in link:
                    target = os.path.join(SOURCE, os.path.dirname(page), link)
                    self.assertTrue(os.path.exists(target), f"{page}: {link}")


unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
