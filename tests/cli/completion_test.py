# SPDX-License-Identifier: MIT
"""completion_test.py BITCASK COMPLETIONS SHELL...: what the completions of bash and zsh offer.

bash: the function is called as readline calls it, with the line and the cursor. zsh: a shell on a
terminal, whose list of matches is read."""

import os
import pathlib
import pty
import re
import select
import shlex
import subprocess
import sys
import tempfile
import unittest

BITCASK, COMPLETIONS = (pathlib.Path(name).absolute() for name in sys.argv[1:3])
SHELLS = sys.argv[3:]
TIMEOUT_S = 60

CALL = r"""
source "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_CWORD=1 COMP_WORDS=(bitcask "")
_bitcask
((${#COMPREPLY[@]} == 0)) || printf '%s\0' "${COMPREPLY[@]}"
"""


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="bitcask-completion-")
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        (self.dir / "bin").mkdir()
        (self.dir / "bin/bitcask").symlink_to(BITCASK)
        self.env = {"PATH": f"{self.dir}/bin:{os.environ['PATH']}", "HOME": scratch.name,
                    "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        for key in ("city", "user:1", "user:2", "with space", "it's", "new\nline", "$HOME"):
            self.put("data", key)
        self.put("other", "elsewhere")

    def put(self, store, key):
        subprocess.run([BITCASK, "-d", self.dir / store, "put", "--", key, "x"], check=True)


@unittest.skipUnless("bash" in SHELLS, "no bash")
class Bash(Case):
    def offered(self, line):
        run = subprocess.run(["bash", "--norc", "-c", CALL, "-", COMPLETIONS / "bitcask", line],
                             cwd=self.dir, env=self.env, capture_output=True, check=True,
                             timeout=TIMEOUT_S)
        self.assertEqual(run.stderr, b"")
        return sorted(run.stdout.decode().split("\0")[:-1])

    def test_commands_and_their_aliases(self):
        self.assertEqual(self.offered("bitcask pe"), ["persist"])
        self.assertEqual(self.offered("bitcask sc"), ["scan"])
        self.assertEqual(self.offered("bitcask se"), ["serve", "set"])
        self.assertEqual(self.offered("bitcask help dump"), ["dump", "dump-keydir"])

    def test_options_of_the_command_of_all_and_of_the_store(self):
        self.assertEqual(self.offered("bitcask put --if"), ["--if-absent", "--if-version"])
        self.assertEqual(self.offered("bitcask get --verify"), ["--verify-reads"])
        self.assertEqual(self.offered("bitcask --no-verify"), ["--no-verify-reads"])
        self.assertEqual(self.offered("bitcask get --if"), [])

    def test_values_that_an_option_chooses_from(self):
        self.assertEqual(self.offered("bitcask --sync "), ["always", "interval", "none"])
        self.assertEqual(self.offered("bitcask put k v --sync a"), ["always"])
        self.assertEqual(self.offered("bitcask --sync=a"), ["always"])
        self.assertIn("jsonl", self.offered("bitcask import --format j"))
        self.assertIn("riak", self.offered("bitcask import --format r"))
        self.assertEqual(self.offered("bitcask put k v --ttl "), [])

    def test_directories_and_files(self):
        self.assertEqual(self.offered("bitcask -d da"), ["data"])
        self.assertEqual(self.offered("bitcask --dir oth"), ["other"])
        self.assertEqual(self.offered("bitcask dump --file data/MANI"), ["data/MANIFEST"])

    def test_keys_of_the_store(self):
        self.assertEqual(self.offered("bitcask get ci"), ["city"])
        self.assertEqual(self.offered("bitcask delete city ci"), ["city"])
        self.assertEqual(self.offered("bitcask put city ci"), [])
        self.assertEqual(self.offered("bitcask -d other get "), ["elsewhere"])
        self.assertEqual(self.offered("bitcask --dir=other get "), ["elsewhere"])
        self.assertEqual(self.offered("bitcask keys --prefix ci"), ["city"])
        self.assertEqual(self.offered("bitcask keys --prefix=ci"), ["city"])

    def test_only_what_stands_behind_a_colon_is_offered_for_a_key_with_one(self):
        self.assertEqual(self.offered("bitcask get user:"), ["1", "2"])
        self.assertEqual(self.offered("bitcask get us"), ["user:1", "user:2"])

    def test_keys_are_quoted_so_that_the_shell_reads_them_back(self):
        for line, key in (("bitcask get wi", "with space"), ("bitcask get it", "it's"),
                          ("bitcask get ne", "new\nline"), ("bitcask get \\$", "$HOME")):
            offer, = self.offered(line)
            said = subprocess.run(["bash", "-c", f"printf %s {offer}"], capture_output=True,
                                  check=True, text=True)
            self.assertEqual(said.stdout, key)

    def test_inside_quotes_what_would_end_them_is_not_offered(self):
        self.assertEqual(self.offered("bitcask get 'wi"), ["with space"])
        self.assertEqual(self.offered("bitcask get 'user:"), ["user:1", "user:2"])
        self.assertEqual(self.offered("bitcask get 'it"), [])
        self.assertEqual(self.offered('bitcask get "it'), ["it's"])

    def test_a_started_word_is_read_as_the_shell_does(self):
        self.assertEqual(self.offered("bitcask get with\\ s"), ["with\\ space"])

    def test_a_store_that_cannot_be_read_offers_no_keys(self):
        self.assertEqual(self.offered("bitcask -d nowhere get "), [])

    def test_behind_dashes_all_is_operands(self):
        self.put("data", "--odd")
        self.assertEqual(self.offered("bitcask get -- --"), ["--odd"])


@unittest.skipUnless("zsh" in SHELLS, "no zsh")
class Zsh(Case):
    """The list that zsh shows is asked for with a widget of its own, which prints the matches."""

    SETUP = r"""
PROMPT= RPROMPT= unsetopt zle_bracketed_paste prompt_cr prompt_sp 2>/dev/null
fpath=({completions} $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' list-grouped false
compadd() {{
    local -a hits; builtin compadd -O hits "$@" 2>/dev/null
    (( $#hits )) && print -rl -- "<<"${{^hits}}">>" >>{log}
    builtin compadd "$@"
}}
done-listing() {{ zle list-choices; print -r -- "<<>>" >>{log}; BUFFER=; print -r -- LISTED }}
zle -N done-listing; bindkey '^T' done-listing
print READY
"""

    def offered(self, line):
        log = self.dir / "log"
        (self.dir / "setup").write_text(self.SETUP.format(completions=shlex.quote(str(COMPLETIONS)),
                                                          log=shlex.quote(str(log))), encoding="utf-8")
        log.write_text("", encoding="utf-8")
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execvpe("zsh", ["zsh", "-f", "-i"], self.env)
        try:
            os.write(fd, b"source ./setup\n")
            self.read_until(fd, b"READY\r\n")
            os.write(fd, line.encode() + b"\x14")
            self.read_until(fd, b"LISTED")
        finally:
            os.close(fd)
            os.waitpid(pid, 0)
        return sorted(set(re.findall(r"<<(.+?)>>", log.read_text(encoding="utf-8"), re.S)))

    def read_until(self, fd, text):
        seen = b""
        while text not in seen:
            self.assertTrue(select.select([fd], [], [], TIMEOUT_S)[0], seen)
            seen += os.read(fd, 65536)

    def test_commands(self):
        self.assertIn("persist", self.offered("bitcask pe"))

    def test_options_and_their_values(self):
        self.assertIn("--if-absent", self.offered("bitcask put --if"))
        self.assertIn("always", self.offered("bitcask --sync a"))

    def test_keys_of_the_store(self):
        self.assertIn("city", self.offered("bitcask get ci"))
        self.assertIn("user:1", self.offered("bitcask get user:"))
        self.assertIn("elsewhere", self.offered("bitcask -d other get e"))


unittest.main(argv=[sys.argv[0]])
