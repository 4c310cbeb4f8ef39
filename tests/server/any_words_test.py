# SPDX-License-Identifier: MIT
"""any_words_test SERVER_PIPE [SEED [REQUESTS]]: every command with any words at all: each request has
one well-formed reply, and the server goes on. Under sanitizers this finds what nobody thought of.

    any_words_test --threads BITCASK [SEED [REQUESTS]]
        the same from six connections at once to a `bitcask serve` with four threads: for
        ThreadSanitizer

A failure prints the seed and the request; the same seed makes the same requests."""

import os
import random
import re
import socket
import sys
import threading

from redis_diff import HERE, Connection, begin, replies_to, to_pipe
from serve_process import PATIENCE, Server

WORDS = [b"", b"a", b"b", b"*", b"0", b"1", b"-1", b"2", b"10", b"100", b"9223372036854775807",
         b"-9223372036854775808", b"18446744073709551615", b"99999999999999999999", b"1e400", b"nan",
         b"inf", b"0.1", b" 1", b"x" * 100, b"\x00", b"\xff\xfe", b"\r\n", b"%s%n", b"..", b"../a",
         b"NX", b"XX", b"GET", b"EX", b"PX", b"KEEPTTL", b"PERSIST", b"MATCH", b"COUNT", b"TYPE",
         b"STRING", b"REPLACE", b"DB", b"IDX", b"LEN", b"MINMATCHLEN", b"WITHMATCHLEN", b"BIT", b"BYTE",
         b"ID", b"ADDR", b"SKIPME", b"no", b"yes", b"FILTERBY", b"ACLCAT", b"PATTERN", b"AUTH",
         b"SETNAME", b"default", b"SYNC", b"ASYNC", b"ON", b"SAMPLES", b"get", b"set", b"config|get",
         b"everything", b"NO", b"ONE", b"[a-", b"\\", b"*" * 50, b"ALL", b"lib-name"]
# They end the server, the connection or its replies, wait, or are answered by other tests.
LEFT_OUT = {"shutdown", "quit", "debug", "client|kill", "client|reply", "client|pause", "monitor",
            "acl|setuser", "acl|deluser", "acl|load", "config|set", "config|rewrite", "bc.backup"}
# As many replies as channels there are: one is enough.
UNSUBSCRIBE = {"unsubscribe", "punsubscribe", "sunsubscribe"}


def commands():
    names = []
    for table in ("commands.def", "commands_sub.def", "commands_other.def"):
        with open(os.path.join(HERE, "..", "..", "server", table), encoding="utf-8") as rows:
            names += re.findall(r'\b(?:ROW|OTHER)\("([^"]+)", (-?\d+)', rows.read())
    return [(name, int(arity)) for name, arity in names if name not in LEFT_OUT]


def make(r, known):
    name, arity = r.choice(known)
    words = [part.encode() for part in name.split("|")]
    if r.random() < 0.03:
        words = [r.choice(WORDS) or b"x"]
    wanted = abs(arity) + r.choice([0, 0, 0, 0, 1, 2, 3, -1]) if arity < 0 or r.random() < 0.1 else arity
    if name in UNSUBSCRIBE:
        wanted = 2
    return words + [r.choice(WORDS) for _ in range(max(0, wanted - len(words)))]


def main(program, seed="1", requests="20000"):
    r, known, ours = random.Random(seed), commands(), to_pipe(program)
    words, queues = [], False
    try:
        for i in range(int(requests)):
            if i % 50 == 0:
                begin(ours, r.choice([2, 3]))
                queues = False
            words = make(r, known)
            name = words[0].lower()
            if name.endswith(b"subscribe") and queues:
                continue  # one reply to each channel, in the middle of EXEC's
            ours.send(words)
            reply = ours.reply()
            assert reply[:1] in b"+-:$*_%~>=,#(", reply
            if reply[:1] not in b"+-":
                for _ in range(replies_to(words) - 1):
                    ours.reply()
            queues = (queues or (name == b"multi" and reply == b"+OK\r\n")) and \
                name not in (b"exec", b"discard", b"reset")
            # A subscriber in RESP2 may do little: most requests are to be answered otherwise.
            if name in (b"subscribe", b"psubscribe", b"ssubscribe"):
                begin(ours, r.choice([2, 3]))
    except (EOFError, AssertionError, BrokenPipeError, ValueError) as problem:
        print(f"seed {seed}, request {i}: {words!r}: {problem!r}")
        return 1
    ours.ask([b"RESET"])
    assert ours.ask([b"PING"]) == b"+PONG\r\n"
    ours.close()
    return 0


# ---- Many at once ---------------------------------------------------------------------------------

def send_many(server, seed, requests, problems):
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PATIENCE)
    link.connect(os.path.join(server.directory, "bitcask.sock"))
    ours = Connection(link.sendall, lambda: link.recv(1 << 16), link.close)
    r, known, words = random.Random(seed), commands(), []
    try:
        for i in range(requests):
            if i % 100 == 0:
                ours.ask([b"RESET"])
            words = make(r, known)
            if words[0].lower().endswith(b"subscribe"):
                continue  # messages of the others would come between the replies
            reply = ours.ask(words)
            assert reply[:1] in b"+-:$*_%~=,#(", reply
    except Exception as problem:  # pylint: disable=broad-except
        problems.append(f"seed {seed}, request {i}: {words!r}: {problem!r}")
    ours.close()


def many(bitcask, seed="1", requests="1500"):
    problems = []
    with Server(bitcask, "--io-threads", "4") as server:
        senders = [threading.Thread(target=send_many, args=(server, f"{seed}.{i}", int(requests),
                                                            problems)) for i in range(6)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(many(*sys.argv[2:]) if sys.argv[1] == "--threads" else main(*sys.argv[1:]))
