# SPDX-License-Identifier: MIT
"""exporter_test.py PORT SOCKET: the server watched by prometheus-redis-exporter."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

PORT = sys.argv[1]
TIMEOUT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url):
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as page:
                return page.read().decode()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


own = free_port()
exporter = subprocess.Popen(["prometheus-redis-exporter", "-redis.addr", f"redis://127.0.0.1:{PORT}",
                             "-web.listen-address", f"127.0.0.1:{own}"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    text = fetch(f"http://127.0.0.1:{own}/metrics")
    for line in ("redis_up 1", "redis_connected_clients ", "redis_commands_processed_total ",
                 'redis_db_keys{db="db0"} '):
        assert line in text, f"{line!r} is not among the exporter's metrics:\n{text[:2000]}"
finally:
    exporter.terminate()
    exporter.wait(TIMEOUT_S)
