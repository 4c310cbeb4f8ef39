#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""shell_test.py BITCASK [editing] [CLASS[.case]...]: `bitcask shell`, as a script and on a terminal.
`editing`: it was built with libedit.

On a terminal every step waits for what it is to bring about; nothing depends on time."""

import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test  # the cases' directory and environment, and the terminal

PROMPT = b"bitcask> "
EDITING = "editing" in sys.argv
MOVES = re.compile(rb"\r?\x1b\[[0-9;?]*[A-Za-z]")  # of the cursor, which the editor makes


class Case(cli_test.Case):
    def setUp(self):
        super().setUp()
        self.env["XDG_STATE_HOME"] = self.path("state")
        self.env["HOME"] = self.dir
        self.env["LC_ALL"] = "C.UTF-8"
        # libedit forgets the names of functions that it was given.
        self.write("leaks", b"leak:wcsdup\n")
        self.env["LSAN_OPTIONS"] = f"suppressions={self.path('leaks')}:print_suppressions=0"

    def shell(self, script, *args, code=0):
        """Standard output and standard error of a script."""
        run = self.run_raw("shell", *args, stdin=script.encode())
        self.assertEqual(run.code, code, run.err)
        return run.out.decode(), run.err


class Script(Case):
    def test_commands_are_those_of_the_command_line(self):
        out, err = self.shell("put city Utrecht\nget city\nput b 2 --ttl 1h\nmget city b\ncount\n")
        self.assertEqual((out, err), ("Utrechtcity\tUtrecht\nb\t2\n2\n", ""))
        self.assertEqual(self.bitcask("get", "city").out, b"Utrecht")

    def test_what_is_copied_from_a_manual_may_begin_with_the_programs_name(self):
        self.assertEqual(self.shell("bitcask put a 1\nbitcask get a\n")[0], "1")

    def test_words_are_quoted_as_in_a_posix_shell(self):
        out, _ = self.shell("put 'a b' \"c d\"\nput e\\ f \\x41\nmget 'a b' \"e f\"\n")
        self.assertEqual(out, "a b\tc d\ne f\tA\n")

    def test_an_open_quote_goes_on_in_the_next_line(self):
        self.assertEqual(self.shell("put k 'one\ntwo\n\nthree'\nget k\n")[0], "one\ntwo\n\nthree")

    def test_lines_behind_here_are_the_value_as_they_are(self):
        out, _ = self.shell("put k <<EOF --ttl 1h\n  one 'two\n# three |\nEOF\nget k\n")
        self.assertEqual(out, "  one 'two\n# three |\n")
        self.assertEqual(self.shell("put k <<E\n-\nE\nget k\n")[0], "-\n")

    def test_lines_behind_here_are_the_standard_input_of_any_command(self):
        out, _ = self.shell("import --format tsv <<E\na\t1\nb\t2\nE\n-q import - -f tsv <<E\nc\t3\nE\n"
                            "mget a b c\n")
        self.assertEqual(out, "a\t1\nb\t2\nc\t3\n")

    def test_commands_do_not_eat_the_script(self):
        out, err = self.shell("put k -\nput a 1\nget a\n", "-k", code=3)
        self.assertEqual(out, "1")
        self.assertIn("cannot read the standard input", err)

    def test_comments_and_empty_lines_do_nothing(self):
        self.assertEqual(self.shell("\n# nothing\n   \nput a 1 # one\nget a\n")[0], "1")

    def test_it_ends_at_the_first_line_that_fails_with_its_exit_code(self):
        for line, code in (("get nothing", 1), ("put", 2), ("nonsense", 2), ("a | b", 2),
                           ("-d nowhere get a", 3)):
            out, err = self.shell(f"put a 1\n{line}\nget a\n", code=code)
            self.assertEqual(out, "", line)
            self.assertEqual(err.count("\n"), 1, line)

    def test_keep_going_goes_on_and_tells_of_the_first_failure(self):
        out, err = self.shell("put a 1\nget nothing\nput\nget a\n", "--keep-going", code=1)
        self.assertEqual((out, err.count("\n")), ("1", 2))

    def test_an_open_quote_or_here_at_the_end_is_an_error_and_nothing_is_run(self):
        self.assertIn("inside a quote", self.shell("put a 'b\n", code=2)[1])
        self.assertIn("ends without EOF", self.shell("put a <<EOF\nb\n", code=2)[1])
        self.assertIn("line 2", self.shell("put b 1\nput b \\xzz\n", code=2)[1])
        self.bitcask("get", "a", code=1)

    def test_a_nul_byte_is_refused(self):
        self.assertIn("NUL", self.shell("put a \0\n", code=2)[1])

    def test_exit_leaves(self):
        for word in ("exit", "quit"):
            self.assertEqual(self.shell(f"put a 1\n{word}\nget a\n")[0], "")

    def test_options_of_the_shell_hold_for_all_lines_and_those_of_a_line_for_it_alone(self):
        run = self.bitcask("--json", "shell", stdin=b"put a 1\nget a\n")
        self.assertEqual([json.loads(line)["key"] for line in run.out.splitlines()], ["a", "a"])
        out, _ = self.shell("--json get a\nget a\n")
        self.assertEqual(out.splitlines()[1], "1")

    def test_another_store_and_other_options_are_for_one_line(self):
        out, _ = self.shell("put a here\n-d other put a there\nget a\n-d other get a\n"
                            "put b 2 --sync none\nget b\n")
        self.assertEqual(out, "herethere2")

    def test_commands_that_want_the_store_closed_get_it_so(self):
        out, err = self.shell("put a 1\nrepair\nget a\nbackup copy\nverify\nmerge --all\nget a\n"
                              "destroy --yes\nput a 2\nget a\n")
        self.assertTrue(out.endswith("2"), out)
        self.assertIn("removed", err)

    def test_a_store_that_is_only_read_is_not_locked(self):
        self.bitcask("put", "a", "1")
        shell = subprocess.Popen([cli_test.BITCASK, "shell"], cwd=self.dir, env=self.env,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        shell.stdin.write(b"mget a\n")
        shell.stdin.flush()
        self.assertEqual(shell.stdout.readline(), b"a\t1\n")
        self.assertEqual(self.bitcask("get", "a").out, b"1")
        shell.stdin.write(b"put a 2\nmget a\n")
        shell.stdin.flush()
        self.assertEqual(shell.stdout.readline(), b"a\t2\n")
        self.bitcask("put", "a", "3", code=3)
        shell.communicate()
        self.assertEqual(shell.returncode, 0)

    def test_timing_prints_how_long_each_command_takes(self):
        out, err = self.shell("put a 1\ntiming on\nget a\ntiming\ntiming off\nget a\n")
        self.assertEqual(out, "1timing is on\n1")
        self.assertRegex(err, r"^(time: \S+\n){3}$")
        self.shell("timing maybe\n", code=2)

    def test_help_tells_of_the_shell_and_of_a_command(self):
        out, _ = self.shell("help\nhelp put\n")
        for text in ("timing on|off", "put            store a value", "usage: bitcask put"):
            self.assertIn(text, out)

    def test_a_shell_in_a_shell_is_refused(self):
        self.shell("shell\n", code=2)

    def test_a_script_writes_no_history(self):
        self.shell("put a 1\n")
        self.assertFalse(os.path.exists(self.path("state")))


class OnTerminal(Case):
    def setUp(self):
        super().setUp()
        self.terminal = None

    def tearDown(self):
        if self.terminal is not None:
            os.kill(self.terminal.pid, signal.SIGKILL)
            self.terminal.end()
        super().tearDown()

    def begin(self, *args):
        self.terminal = cli_test.Terminal(self, "shell", *args)
        self.wait(PROMPT)

    def wait(self, text):
        """For `text`; what came is forgotten up to its end and returned."""
        while text not in (seen := MOVES.sub(b"", self.terminal.seen)):
            self.assertTrue(self.terminal.read_some(), seen)
        at = seen.index(text) + len(text)
        self.terminal.seen = seen[at:]
        return seen[:at].replace(b"\r\n", b"\n")

    def do(self, line, answer):
        """Type a line; its echo, `answer`, and the next prompt must come."""
        self.terminal.type(line + b"\r")
        self.wait(answer)
        self.wait(PROMPT)

    def wait_for_the_command(self):
        """Until the terminal is no longer the editor's, for whom Ctrl-C is a key."""
        deadline = time.monotonic() + cli_test.TIMEOUT_S
        while not termios.tcgetattr(self.terminal.fd)[3] & termios.ISIG:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.001)

    def leave(self, keys=b"\x04"):
        self.terminal.type(keys)
        seen, code = self.terminal.end()
        self.terminal = None
        self.assertEqual(code, 0, seen)

    def history(self):
        return pathlib.Path(self.path("state/bitcask/history"))


class Terminal(OnTerminal):
    def test_an_error_does_not_end_it(self):
        self.begin()
        self.do(b"get nothing", b"no store at ./data")
        self.do(b"put a 1", b"\n")
        self.do(b"get nothing", b"no such key: nothing")
        self.do(b"get a", b"\n1\r\n")
        self.leave()

    def test_exit_leaves(self):
        self.begin()
        self.leave(b"exit\r")

    def test_values_of_several_lines(self):
        self.begin()
        self.terminal.type(b"put a 'one\r")
        self.wait(b"'> ")
        self.do(b"two'", b"\n")
        self.do(b"get a", b"\none\r\ntwo\r\n")
        self.terminal.type(b"put b <<EOF\r")
        self.wait(b"> ")
        self.terminal.type(b"  three\r")
        self.wait(b"> ")
        self.do(b"EOF", b"\n")
        self.do(b"get b", b"\n  three\r\n")
        self.leave()

    def test_interrupt_takes_the_line_back(self):
        self.begin()
        self.terminal.type(b"put a 'half\r")
        self.wait(b"'> ")
        self.terminal.type(b"\x03")
        self.wait(PROMPT)
        self.terminal.type(b"put b half")
        self.wait(b"half")
        self.terminal.type(b"\x03")
        self.wait(PROMPT)
        self.do(b"count", b"no store")
        self.leave()


@unittest.skipUnless(EDITING, "built without libedit")
class Editing(OnTerminal):
    def test_interrupt_stops_a_long_command_and_not_the_shell(self):
        self.fill(200)
        self.begin()
        # It reads what is typed, and will not end by itself.
        self.terminal.type(b"import --format tsv -\r")
        self.wait(b"\n")
        self.wait_for_the_command()
        self.terminal.type(b"\x03")
        self.wait(b"interrupted")
        self.wait(PROMPT)
        self.do(b"count", b"20")
        self.leave()

    def test_commands_options_and_keys_are_completed(self):
        self.bitcask("put", "a long key", "found")
        self.begin()
        self.terminal.type(b"pers\t")
        self.wait(b"persist ")
        self.terminal.type(b"\x15get a\t")
        self.wait(b"\\ long\\ key ")
        self.do(b"", b"found")
        self.terminal.type(b"get 'a\t")
        self.wait(b"long key' ")
        self.do(b"", b"found")
        self.terminal.type(b"put k v --if-a\t")
        self.wait(b"--if-absent ")
        self.terminal.type(b"\x15put k v --sync al\t")
        self.wait(b"always ")
        self.terminal.type(b"\x15")
        self.leave()

    def test_several_ways_to_complete_are_listed(self):
        self.bitcask("put", "user:1", "x")
        self.bitcask("put", "user:2", "y")
        self.begin()
        self.terminal.type(b"get u\t")
        self.wait(b"user:")
        self.terminal.type(b"\t")
        self.assertIn(b"user:1  user:2", self.wait(b"user:2"))
        self.terminal.type(b"2")
        self.do(b"", b"y\r\n")
        self.leave()

    def test_history_is_kept_from_shell_to_shell_and_for_nobody_else(self):
        self.begin()
        self.do(b"put a secret", b"\n")
        self.leave()
        self.assertIn("secret", self.history().read_text(encoding="utf-8"))
        self.assertEqual(stat.S_IMODE(self.history().stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.history().parent.stat().st_mode), 0o700)
        self.begin()
        self.do(b"get a", b"secret\r\n")
        self.terminal.type(b"\x10\x10")
        self.wait(b"put a secret")
        self.do(b"", b"\n")
        self.leave()

    def test_shells_side_by_side_keep_each_others_history(self):
        self.begin()
        first = self.terminal
        self.do(b"put a 1", b"\n")
        self.begin()
        self.do(b"get mine", b"\n")
        self.leave()
        self.terminal = first
        self.do(b"get yours", b"\n")
        self.leave()
        lines = self.history().read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(lines), 4, lines)  # and the heading

    def test_no_history_writes_none(self):
        self.begin("--no-history")
        self.do(b"put a secret", b"\n")
        self.leave()
        self.assertFalse(os.path.exists(self.path("state")))


if __name__ == "__main__":
    cli_test.BITCASK = os.path.abspath(sys.argv.pop(1))
    if EDITING:
        sys.argv.remove("editing")
    unittest.main(verbosity=1)
