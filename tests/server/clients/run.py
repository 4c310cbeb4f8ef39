#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py BITCASK [NAME...]: a server and the usual clients, unmodified.

Each client has a fresh server on a store of its own. Says for each: ok, FAILED, or skipped and why.
`scripts/setup clients` installs what they need. With --need a skipped client is a failure."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 300
MODULES = os.environ.get("BITCASK_CLIENTS_MODULES", str(HERE / "node_modules"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class Server:
    def __init__(self, command, directory, *more):
        self.directory = directory
        self.port = free_port()
        self.log = open(os.path.join(directory, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [command, "-d", os.path.join(directory, "store"), "serve", "--port", self.port, *more],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        if not any(f"redis-cli -p {self.port}" in line for line in self.process.stdout):
            self.log.seek(0)
            raise RuntimeError(f"the server did not start: {self.log.read()}")
        self.socket = os.path.join(directory, "store", "bitcask.sock")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.read()
        code = self.process.wait(TIMEOUT_S)
        self.log.close()
        return code


def node(script):
    def line(server):
        return ["node", str(HERE / script), server.port, server.socket]
    return line


def python_with_redis():
    """Debian's own python has Debian's packages; the one that runs this may be another."""
    for command in (sys.executable, "/usr/bin/python3"):
        if works(command, "-c", "import redis"):
            return command
    return None


def python(script):
    def line(server):
        return [python_with_redis() or sys.executable, str(HERE / script), server.port, server.socket]
    return line


def hiredis(server):
    program = os.path.join(server.directory, "hiredis_test")
    subprocess.run(["cc", "-o", program, str(HERE / "hiredis_test.c"), "-lhiredis"], check=True)
    return [program, server.port, server.socket]


def works(*line):
    try:
        return subprocess.run(line, capture_output=True, timeout=TIMEOUT_S,
                              check=False).returncode == 0
    except FileNotFoundError:
        return False


def has_node_module(name):
    return shutil.which("node") and os.path.isdir(os.path.join(MODULES, name))


CLIENTS = {  # name: (is it there?, command line, what to install)
    "redis-cli": (lambda: shutil.which("redis-benchmark"), python("redis_cli_test.py"),
                  "redis-tools"),
    "redis-py": (python_with_redis, python("redis_py_test.py"),
                 "python3-redis"),
    "hiredis": (lambda: works("sh", "-c", "echo '#include <hiredis/hiredis.h>' | cc -E -"), hiredis,
                "libhiredis-dev"),
    "ioredis": (lambda: has_node_module("ioredis"), node("ioredis_test.js"), "npm: ioredis"),
    "node-redis": (lambda: has_node_module("redis"), node("node_redis_test.js"), "npm: redis"),
    "redis_exporter": (lambda: shutil.which("prometheus-redis-exporter"),
                       python("exporter_test.py"), "prometheus-redis-exporter"),
}


def try_client(command, name):
    _, line, _ = CLIENTS[name]
    with tempfile.TemporaryDirectory(prefix="bitcask-clients-") as directory:
        server = Server(command, directory, "--http-port", "0")
        try:
            run = subprocess.run(line(server), capture_output=True, text=True, timeout=TIMEOUT_S,
                                 env=os.environ | {"NODE_PATH": MODULES}, check=False)
        finally:
            code = server.stop()
        if run.returncode != 0 or code != 0:
            print(f"FAILED   {name} (the server ended with {code})\n{run.stdout}{run.stderr}")
            return False
    print(f"ok       {name}", flush=True)
    return True


def main():
    words = [word for word in sys.argv[1:] if word != "--need"]
    command, names = words[0], words[1:] or list(CLIENTS)
    good = True
    for name in names:
        there, _, package = CLIENTS[name]
        if there():
            good = try_client(command, name) and good
        else:
            print(f"skipped  {name}: not installed ({package}; scripts/setup clients)", flush=True)
            good = good and "--need" not in sys.argv
    return 0 if good else 1


sys.exit(main())
