# SPDX-License-Identifier: MIT
"""Engines in processes of their own (bench/worker) that take turns: whose turn it is not is stopped, so that
no thread of its background is in another's time."""

import json
import mmap
import os
import pathlib
import shutil
import signal
import subprocess


class Failed(Exception):
    """A worker has said that something went wrong, or has died."""


class Worker:
    def __init__(self, program, engine, directory, **arguments):
        self.engine, self.directory = engine, pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.words = [str(program), engine, str(directory)] + [f"{k}={v}" for k, v in arguments.items()]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stopped = False

    def tell(self, line, rest=True):
        """What it answers. rest: it is stopped afterwards until it is told the next."""
        if self.stopped:
            self.process.send_signal(signal.SIGCONT)
            self.stopped = False
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise Failed(f"{self.engine}: {line}: the process ended with {self.process.wait()}")
        if rest:
            self.process.send_signal(signal.SIGSTOP)
            self.stopped = True
        answer = json.loads(answer)
        if "error" in answer:
            raise Failed(f"{self.engine}: {line}: {answer['error']}")
        return answer

    def end(self):
        """As by kill -9: what is to be closed is told so."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def begin_anew(self):
        self.end()
        self.start()

    def remove(self):
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)


def touch_memory(size):
    """Use so many bytes and give them back. A virtual machine may have given its free memory to its host, and
    gets it back page by page at a tenth of the speed: whoever measures first would pay for all."""
    size = max(size, 1 << 20)
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def engines(program):
    """The names of those that the program was built with."""
    return subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True).stdout.split()


def load_average():
    return round(os.getloadavg()[0], 2)
