# SPDX-License-Identifier: MIT
"""serve_process: a `bitcask serve` for a test, and plain sockets that speak RESP to it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE = int(os.environ.get("PATIENCE", "120"))  # seconds for what must happen, however slow the machine


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """with Server(bitcask, "--appendfsync", "always") as server: ... It has a store of its own,
    listens on its Unix socket, and on TCP if told so (tcp=True)."""

    def __init__(self, bitcask, *options, tcp=False, directory=None, config=None):
        self.bitcask, self.options, self.tcp = bitcask, options, tcp
        self.own = directory is None
        self.base = tempfile.mkdtemp(prefix="bc", dir="/tmp") if self.own else None
        self.directory = directory or os.path.join(self.base, "s")
        self.config = config
        self.process = None
        self.port = 0

    def start(self):
        for _ in range(20):  # another process may take the free port before the server does
            self.port = free_port() if self.tcp else 0
            command = [self.bitcask, "serve", "-d", self.directory, "--port", str(self.port),
                       "--http-port", "0", *self.options]
            if self.config:
                command += ["--config", self.config]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True,
                                            env={**os.environ, "NOTIFY_SOCKET": ""})
            self.said = []
            for line in self.process.stdout:
                self.said.append(line.rstrip("\n"))
                if line.startswith("ready:"):
                    return self
            if "in use" not in "".join(self.said):
                break
        raise AssertionError("the server did not start: " + "\n".join(self.said))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.said += rest.splitlines()
        return self.process.returncode

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            code = self.stop()
            if kind is None:
                assert code == 0, (code, self.said[-20:])
        if self.own:
            shutil.rmtree(self.base)

    def connect(self, tcp=False):
        return Connection(self, tcp)

    def memory_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        if isinstance(word, (str, int)):
            word = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class ReplyError(Exception):
    pass


class Connection:
    def __init__(self, server, tcp=False):
        if tcp:
            self.socket = socket.create_connection(("127.0.0.1", server.port))
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(os.path.join(server.directory, "bitcask.sock"))
        self.socket.settimeout(PATIENCE)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def bytes(self, size):
        parts, have = [self.buffer], len(self.buffer)
        while have < size:
            data = self.socket.recv(min(1 << 20, max(size - have, 1)))
            if not data:
                raise EOFError
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[size:]
        return whole[:size]

    def reply(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.bytes(int(rest) + 2)[:-2]
        if kind in b"*>~":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        if kind == b"_":
            return None
        raise AssertionError(line)

    def do(self, *words):
        self.send(encode(*words))
        return self.reply()

    def until_closed(self):
        """All that still comes; a reset is an end too."""
        data = self.buffer
        try:
            while True:
                more = self.socket.recv(1 << 16)
                if not more:
                    return data
                data += more
        except ConnectionError:
            return data


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)
