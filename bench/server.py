#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""server.py BITCASK REDIS-RATE [options]: `bitcask serve` beside redis-server, on this machine, with
redis-benchmark: 50 connections, values of 100 bytes, a million random keys.

The two servers run at the same time and are measured by turns, ROUNDS times; what is printed are
medians, their ratio, and what the server's process had of the processors for each request, which
other load on the machine disturbs least. Latency at a fixed rate is by redis_rate.c, without coordinated omission.
Resident memory is ten seconds after the same keys were written to both: all of it, and what is not
pages of files; and for comparison all of ours at the last reply."""

import argparse
import csv
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time


REST_S = 10


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, base, command):
        self.name, self.port = name, free_port()
        directory = os.path.join(base, name.replace(" ", "-"))
        os.mkdir(directory)
        self.log = open(os.path.join(directory, "log"), "w")
        words = [word.format(port=self.port, dir=directory) for word in command]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=self.log)
        self.wait()

    def wait(self):
        for _ in range(600):
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(100).startswith(b"+PONG"):
                        return
            except ConnectionError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"{self.name} did not start: see {self.log.name}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def processor_s(self):
        """What the process has had of processors."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident bytes: all, and those that are not pages of files."""
        figures = {}
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                name, _, rest = line.partition(":")
                if name in ("VmRSS", "RssAnon"):
                    figures[name] = int(rest.split()[0]) * 1024
        return figures["VmRSS"], figures["RssAnon"]


def redis(base, name, *options):
    return Server(name, base, ["redis-server", "--port", "{port}", "--dir", "{dir}", "--save", "",
                               *options])


def ours(bitcask, base, name, *options):
    return Server(name, base, [bitcask, "serve", "-d", "{dir}/store", "--port", "{port}",
                               "--http-port", "0", *options])


def benchmark(server, test, pipeline, requests):
    """Requests per second by redis-benchmark, and microseconds of processor for each."""
    before = server.processor_s()
    done = subprocess.run(["redis-benchmark", "-p", str(server.port), "-c", "50", "-d", "100", "-r",
                           "1000000", "-P", str(pipeline), "-n", str(requests), "-t", test,
                           "--csv"], capture_output=True, text=True, check=True)
    rows = [row for row in csv.reader(io.StringIO(done.stdout)) if row and row[0] != "test"]
    return float(rows[-1][1]), (server.processor_s() - before) / requests * 1e6


def compare(report, servers, test, pipeline, requests, rounds, target):
    """Our requests per second against the other's."""
    figures = [[], []]
    for number in range(rounds):
        for i in ((0, 1), (1, 0))[number % 2]:
            figures[i].append(benchmark(servers[i], test, pipeline, requests))
    theirs, mine = (statistics.median(each[0] for each in side) for side in figures)
    costs = [statistics.median(each[1] for each in side) for side in figures]
    report.row(servers, f"{test.upper()}, pipeline {pipeline}", f"{theirs:,.0f}/s", f"{mine:,.0f}/s",
               mine / theirs, target, mine / theirs >= (target or 0), figures, costs)


def compare_latency(report, rate_client, servers, rate, seconds, rounds):
    figures = [[], []]
    for number in range(rounds):
        for i in ((0, 1), (1, 0))[number % 2]:
            done = subprocess.run([rate_client, str(servers[i].port), str(rate), str(seconds)],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                print(f"{servers[i].name}: {done.stderr.strip()}", file=sys.stderr)
                continue
            figures[i].append(json.loads(done.stdout))
    for what in ("p50_us", "p99_us", "p999_us"):
        both = [[each[what] for each in side] for side in figures]
        if not both[0] or not both[1]:
            return
        theirs, mine = (statistics.median(side) for side in both)
        report.row(servers, f"{what[:-3]} at {rate:,}/s", f"{theirs:,.0f} us", f"{mine:,.0f} us",
                   mine / theirs, "<= 1" if what == "p99_us" else None, mine <= theirs, both)


def fill(servers, keys):
    """The same keys into both, pipelined."""
    links = [socket.create_connection(("127.0.0.1", server.port)) for server in servers]
    value = b"v" * 100
    for start in range(0, keys, 10000):
        count = min(10000, keys - start)
        data = b"".join(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%s\r\n" % (i, value)
                        for i in range(start, start + count))
        for link in links:
            link.sendall(data)
        for link in links:
            left = count * 5
            while left > 0:
                left -= len(link.recv(1 << 16))
    for link in links:
        link.close()


def compare_memory(report, servers, keys):
    fill(servers, keys)
    at_once = servers[1].memory()[0]
    time.sleep(REST_S)
    (theirs, _), (mine, mine_anonymous) = servers[0].memory(), servers[1].memory()
    for what, size in (("without pages of files", mine_anonymous), ("all of it", mine),
                       ("all of it, at the last reply", at_once)):
        report.row(servers, f"resident memory, {keys:,} keys, {what}", f"{theirs / 1e6:,.0f} MB",
                   f"{size / 1e6:,.0f} MB", size / theirs, "<= 0.2", size <= theirs / 5, None)


class Report:
    def __init__(self, path):
        self.path, self.rows = path, []
        print(f"{'':44} {'redis-server':>16} {'bitcask serve':>16} {'ratio':>7}  us processor  target")

    def row(self, servers, what, theirs, mine, ratio, target, met, figures, costs=None):
        met = "" if target is None else "met" if met else "NOT MET"
        target = "" if target is None else f">= {target}" if not isinstance(target, str) else target
        spent = f"{costs[0]:5.2f} {costs[1]:5.2f}" if costs else " " * 11
        print(f"{servers[0].name + ': ' + what:44} {theirs:>16} {mine:>16} {ratio:7.2f}  {spent}  "
              f"{target} {met}", flush=True)
        self.rows.append({"against": servers[0].name, "what": what, "redis": theirs,
                          "bitcask": mine, "ratio": round(ratio, 3), "target": target, "met": met,
                          "figures": figures, "processor_us": costs})
        if self.path:
            with open(self.path, "w") as file:
                json.dump(self.rows, file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bitcask")
    parser.add_argument("rate_client")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of requests")
    parser.add_argument("--keys", type=int, default=10_000_000, help="for memory; 0: leave it out")
    parser.add_argument("--only", default="memory,everysec,always,latency,throughput")
    parser.add_argument("--pipelines", default="1,16,64")
    parser.add_argument("--out", help="the figures as JSON")
    parser.add_argument("--directory", help="for the stores; else a temporary one")
    parser.add_argument("--alone", action="store_true",
                        help="as if nothing else ran: everything under SCHED_RR (needs root)")
    options = parser.parse_args()
    if options.alone:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # children inherit it
    base = tempfile.mkdtemp(prefix="bench-server", dir=options.directory)
    report, only = Report(options.out), options.only.split(",")
    pipelines = [int(word) for word in options.pipelines.split(",")]

    def sizes(*requests):
        """Of the pipelines asked for."""
        return [pair for pair in requests if pair[0] in pipelines]

    def count(requests):
        return max(int(requests * options.scale), 1000)

    try:
        if "throughput" in only or "latency" in only:
            pair = [redis(base, "no persistence", "--appendonly", "no"),
                    ours(options.bitcask, base, "interval")]
            for pipeline, requests in sizes((1, 100000), (16, 800000), (64, 1600000)):
                for test in ("set", "get", "incr", "mset") if "throughput" in only else ():
                    compare(report, pair, test, pipeline,
                            count(requests // (5 if test == "mset" else 1)), options.rounds,
                            1.0 if pipeline == 1 else None)
            if "latency" in only:
                compare_latency(report, options.rate_client, pair, 50000,
                                max(10 * options.scale, 1), options.rounds)
            for server in pair:
                server.stop()
        if "everysec" in only:
            pair = [redis(base, "everysec", "--appendonly", "yes", "--appendfsync", "everysec"),
                    ours(options.bitcask, base, "interval 2", "--appendfsync", "everysec")]
            for pipeline, requests in sizes((16, 800000), (64, 1600000)):
                compare(report, pair, "set", pipeline, count(requests), options.rounds, 1.5)
            for server in pair:
                server.stop()
        if "always" in only:
            pair = [redis(base, "always", "--appendonly", "yes", "--appendfsync", "always"),
                    ours(options.bitcask, base, "ours always", "--appendfsync", "always")]
            for pipeline, requests in sizes((1, 20000), (16, 200000), (64, 600000)):
                compare(report, pair, "set", pipeline, count(requests), options.rounds, 2.0)
            for server in pair:
                server.stop()
        if "memory" in only and options.keys > 0:
            pair = [redis(base, "memory", "--appendonly", "no"),
                    ours(options.bitcask, base, "memory ours")]
            compare_memory(report, pair, options.keys)
            for server in pair:
                server.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
