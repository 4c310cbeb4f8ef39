# SPDX-License-Identifier: MIT
"""serving.py: a server of a test's own, and a connection to it that knows nothing but bytes."""

import os
import signal
import socket
import subprocess

TIMEOUT_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`bitcask serve` on the store DIRECTORY/store, with its log in DIRECTORY/log."""

    def __init__(self, bitcask, directory, *options, config=None, port=None, http=0):
        self.bitcask, self.directory = bitcask, directory
        self.store = os.path.join(directory, "store")
        self.log_path = os.path.join(directory, "log")
        self.socket = os.path.join(self.store, "bitcask.sock")
        self.port = free_port() if port is None else port
        line = [bitcask, "-d", self.store, "serve"]
        if config is not None:
            self.config = os.path.join(directory, "bitcask.conf")
            with open(self.config, "w", encoding="utf-8") as file:
                file.write(config)
            line += ["--config", self.config]
        line += ["--port", str(self.port), "--http-port", str(http), "--logfile", self.log_path,
                 *options]
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.said = ""
        for text in self.process.stdout:
            self.said += text
            if text.startswith("ready"):
                return
        _, self.error = self.process.communicate(timeout=TIMEOUT_S)
        self.code = self.process.returncode

    def started(self):
        return "ready" in self.said

    def log(self):
        with open(self.log_path, encoding="utf-8") as file:
            return file.read()

    def connect(self, path=None):
        return Connection(path if path is not None else ("127.0.0.1", self.port))

    def stop(self, how=signal.SIGTERM):
        """Ends it; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            _, self.error = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode


class ReplyError(Exception):
    pass


class Connection:
    def __init__(self, address, wrap=None):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(address)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(out)

    def line(self):
        text = self.file.readline()
        if not text.endswith(b"\r\n"):
            raise EOFError(f"closed after {text!r}")
        return text[:-2]

    def reply(self):
        """One reply of RESP2; an error as a ReplyError in the place of a value."""
        text = self.line()
        kind, rest = text[:1], text[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            return data[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise ValueError(f"no reply: {text!r}")

    def __call__(self, *words):
        self.send(*words)
        reply = self.reply()
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def error(self, *words):
        """The text of the error that the request is answered with."""
        self.send(*words)
        reply = self.reply()
        assert isinstance(reply, ReplyError), f"{words} was answered with {reply!r}"
        return str(reply)
