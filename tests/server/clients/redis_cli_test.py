# SPDX-License-Identifier: MIT
"""redis_cli_test.py PORT SOCKET: the server with redis-cli in all its modes, and redis-benchmark."""

import os
import re
import subprocess
import sys
import tempfile
import time

PORT, SOCKET = sys.argv[1:3]
TIMEOUT_S = 120


def cli(*words, given=None, good=True):
    run = subprocess.run(["redis-cli", "-p", PORT, *words], input=given, capture_output=True,
                         text=True, timeout=TIMEOUT_S, check=False)
    assert not good or run.returncode == 0, (words, run.stdout, run.stderr)
    return run.stdout if good else run.stdout + run.stderr


def said(text, *expected):
    for part in expected:
        assert re.search(part, text), f"{part!r} is not in {text!r}"


def stopped(*words, seconds=1.5):
    """What a mode that does not end by itself has printed when it is interrupted."""
    with tempfile.TemporaryFile("w+") as out:
        run = subprocess.Popen(["redis-cli", "-p", PORT, *words], stdout=out,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + TIMEOUT_S
        while os.fstat(out.fileno()).st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(seconds if seconds < 1 else 0.2)
        run.terminate()
        run.wait(TIMEOUT_S)
        out.seek(0)
        return out.read()


def plain():
    said(cli("set", "city", "Utrecht"), "OK")
    said(cli("get", "city"), "Utrecht")
    said(cli("-3", "get", "city"), "Utrecht")
    said(cli("--no-raw", "get", "city"), '"Utrecht"')
    said(cli("--no-raw", "get", "missing"), r"\(nil\)")
    said(cli("--csv", "mget", "city", "missing"), '"Utrecht",NULL')
    said(cli("--json", "-3", "config", "get", "databases"), '{"databases":"1"}')
    said(cli("-x", "set", "given", given="by stdin"), "OK")
    said(cli("-r", "3", "-i", "0.01", "incr", "count"), "1\n2\n3")
    said(cli("-e", "nosuch", good=False), "unknown command")
    said(cli(given="set a 1\nget a\nmulti\nincr a\nexec\n"), "OK\n1\nOK\nQUEUED\n2")
    said(cli("-n", "0", "ping"), "PONG")
    said(cli("-n", "1", "ping", good=False), "out of range|PONG")
    said(cli("help", "set", good=False), ".")
    local = subprocess.run(["redis-cli", "-s", SOCKET, "get", "city"], capture_output=True,
                           text=True, timeout=TIMEOUT_S, check=True)
    said(local.stdout, "Utrecht")


def pipe():
    commands = "".join(f"*3\r\n$3\r\nSET\r\n${len(f'k:{i}')}\r\nk:{i}\r\n$1\r\nv\r\n"
                       for i in range(5000))
    said(cli("--pipe", given=commands), "errors: 0, replies: 5000")


def scans():
    assert len(cli("--scan", "--pattern", "k:*").split()) == 5000
    said(cli("--scan", "--pattern", "city"), "city")
    said(cli("--bigkeys"), "Sampled [0-9]+ keys", "Biggest +string")
    said(cli("--memkeys"), "Sampled [0-9]+ keys")


def endless():
    said(stopped("--stat"), "keys", "clients")
    said(stopped("--latency", "--raw"), r"[0-9]")
    said(stopped("-i", "0.2", "--latency-history", "--raw"), ".")
    said(stopped("subscribe", "news"), "subscribe", "news")
    said(stopped("psubscribe", "n*"), "psubscribe")
    said(stopped("monitor"), "OK")


def latency():
    said(cli("--intrinsic-latency", "1"), "Max latency")


def benchmark():
    run = subprocess.run(["redis-benchmark", "-p", PORT, "-n", "2000", "-c", "20", "-P", "4", "-r",
                          "1000", "-q", "-t", "ping,set,get,incr,mset"],
                         capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    said(run.stdout, "SET: .*requests per second", "MSET .*requests per second")
    assert "error" not in run.stderr.lower().replace("warning", ""), run.stderr


for part in (plain, pipe, scans, endless, latency, benchmark):
    part()
