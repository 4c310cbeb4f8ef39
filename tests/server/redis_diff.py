# SPDX-License-Identifier: MIT
"""redis_diff.py SERVER_PIPE [RECORDED]: are the replies those of redis-server 7.0, byte for byte?

Without more options it replays what is recorded: requests, and what redis-server said to them. It
needs no redis-server. A reply may differ only as Judge.same says, with the reason.

    redis_diff.py SERVER_PIPE --live HOST:PORT [--seed N] [--sessions N]
        makes up new requests and sends them to both; the redis-server is flushed
    redis_diff.py --record HOST:PORT RECORDED
        makes the recording anew

SERVER_PIPE is the test program that is a server on its standard input and output."""

import json
import os
import random
import re
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


# ---- Speaking -------------------------------------------------------------------------------------

class Connection:
    """Bytes to a server, and whole replies from it."""

    def __init__(self, write, read, close):
        self.write, self.read, self.close = write, read, close
        self.buffer = b""
        self.skips = False

    def more(self):
        data = self.read()
        if not data:
            raise EOFError(f"the connection ended; what is left: {self.buffer!r}")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, size):
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def reply(self):
        """One reply, as the bytes it is made of."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        raw = line + b"\r\n"
        if kind in b"$=" and int(rest) >= 0:
            return raw + self.exactly(int(rest) + 2)
        if kind in b"*~>%" and int(rest) >= 0:
            count = int(rest) * (2 if kind == b"%" else 1)
            return raw + b"".join(self.reply() for _ in range(count))
        return raw

    def send(self, words):
        self.write(b"*%d\r\n" % len(words) +
                   b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def ask(self, words):
        self.send(words)
        count = 0 if self.skips else replies_to(words)
        self.skips = [word.lower() for word in words] == [b"client", b"reply", b"skip"]
        return b"".join(self.reply() for _ in range(count))


def replies_to(words):
    name = words[0].lower()
    if name in (b"subscribe", b"psubscribe", b"ssubscribe", b"unsubscribe", b"punsubscribe",
                b"sunsubscribe"):
        return max(1, len(words) - 1)
    if name == b"client" and len(words) == 3 and words[1].lower() == b"reply" and \
            words[2].lower() in (b"off", b"skip"):
        return 0
    return 1


def to_redis(address):
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)))
    return Connection(sock.sendall, lambda: sock.recv(1 << 16), sock.close)


def to_pipe(program):
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def write(data):
        child.stdin.write(data)
        child.stdin.flush()

    def close():
        child.stdin.close()
        child.stdout.close()
        if child.wait() != 0:
            sys.exit(f"{program} ended with {child.returncode}")

    return Connection(write, lambda: os.read(child.stdout.fileno(), 1 << 16), close)


def begin(connection, protocol):
    connection.ask([b"RESET"])
    if protocol == 3:
        connection.ask([b"HELLO", b"3"])
    connection.ask([b"FLUSHALL"])
    connection.ask([b"LATENCY", b"RESET"])


# ---- Making up requests ---------------------------------------------------------------------------

KEYS = ["a", "b", "c", "k:1", "k:2", "missing", "num", "big key with spaces", "bin\x00\xff"]
INTEGERS = ["0", "1", "-1", "2", "7", "10", "100", "-0", "+1", "01", " 1", "1 ", "", "x", "1.5",
            "9223372036854775807", "-9223372036854775808", "9223372036854775808",
            "-9223372036854775809", "18446744073709551616", "99999999999999999999", "1e3"]
SMALL = ["0", "1", "2", "3", "5", "-1", "-2", "-5", "100", "-100", "4294967296", "x"]
FLOATS = ["0", "1", "-1", "0.1", "0.2", "-0.3", "1e10", "1.5e300", "-1e-20", "3.0e3", "inf", "-inf",
          "nan", "1e5000", "x", "", " 1", "1 ", "0x10", "5.", ".5", "123456789.123456789"]
VALUES = ["", "v", "hello", "0", "1", "-1", "10", "41", "9223372036854775807",
          "-9223372036854775808", "1.5", "3.0e3", "x" * 44, "x" * 45, "ohmytext", "mynewtext",
          "\x00\x01\xff", "foobar", "abc" * 30, "10000", "9999", " 5"]
OPTIONS = ["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT", "PERSIST", "GT", "LT", "ex",
           "nx", "bogus", "REPLACE", "DB", "BIT", "BYTE", "LEN", "IDX", "MINMATCHLEN",
           "WITHMATCHLEN"]
# Of a time that counts from now on what was recorded once is no use: only those that are refused.
RELATIVE = ["0", "-1", "9223372036854775807", "x", ""]
# Far ahead, or refused: a key that has just expired is counted by DBSIZE for a while, by both.
ABSOLUTE = {"EXAT": ["4102444800", "99999999999", "0", "-1", "x"],
            "PXAT": ["4102444800000", "99999999999999", "0", "-1", "x"],
            "EXPIREAT": ["4102444800", "99999999999", "0", "-1", "1", "x"],
            "PEXPIREAT": ["4102444800000", "99999999999999", "0", "-1", "1", "x"]}
PATTERNS = ["*", "a*", "?", "[abc]", "k:*", "[^a]", "*\\*", "k:[1-2]", "*****b", "[", "[z-a]", "\\a"]


def key(r):
    return r.choice(KEYS)


def one_of(r, *makers):
    return r.choice(makers)()


def random_set(r):
    words = ["SET", key(r), r.choice(VALUES)]
    for _ in range(r.choice([0, 0, 1, 1, 2, 3])):
        option = r.choice(OPTIONS[:8] + ["bogus"])
        words.append(option)
        if option in ("EX", "PX", "EXAT", "PXAT") and r.random() < 0.9:
            words.append(r.choice(ABSOLUTE.get(option, RELATIVE)))
    return words


def random_getex(r):
    words = ["GETEX", key(r)]
    for _ in range(r.choice([0, 1, 1, 2])):
        option = r.choice(["EX", "PX", "EXAT", "PXAT", "PERSIST", "persist", "bogus"])
        words.append(option)
        if option in ("EX", "PX", "EXAT", "PXAT") and r.random() < 0.9:
            words.append(r.choice(ABSOLUTE.get(option, RELATIVE)))
    return words


def random_expire(r):
    name = r.choice(["EXPIREAT", "PEXPIREAT", "EXPIRE", "PEXPIRE"])
    words = [name, key(r), r.choice(ABSOLUTE.get(name, RELATIVE))]
    for _ in range(r.choice([0, 0, 1, 2])):
        words.append(r.choice(["NX", "XX", "GT", "LT", "gt", "bogus"]))
    return words


def random_lcs(r):
    words = ["LCS", key(r), key(r)]
    for _ in range(r.choice([0, 1, 2, 3])):
        option = r.choice(["LEN", "IDX", "MINMATCHLEN", "WITHMATCHLEN", "idx", "bogus"])
        words.append(option)
        if option == "MINMATCHLEN" and r.random() < 0.9:
            words.append(r.choice(SMALL))
    return words


def random_bitcount(r):
    words = ["BITCOUNT", key(r)]
    words += [r.choice(SMALL) for _ in range(r.choice([0, 1, 2, 2, 2]))]
    if len(words) == 4 and r.random() < 0.7:
        words.append(r.choice(["BIT", "BYTE", "bit", "byte", "x"]))
    return words


def random_copy(r):
    words = ["COPY", key(r), key(r)]
    for _ in range(r.choice([0, 0, 1, 2])):
        words += r.choice([["REPLACE"], ["DB", "0"], ["DB"], ["DB", "x"], ["bogus"]])
    return words


def request(r):
    """One request, of those that look at keys."""
    return one_of(
        r,
        lambda: random_set(r), lambda: random_set(r), lambda: random_getex(r),
        lambda: random_expire(r), lambda: random_lcs(r), lambda: random_bitcount(r),
        lambda: random_copy(r),
        lambda: ["GET", key(r)],
        lambda: ["SETNX", key(r), r.choice(VALUES)],
        lambda: [r.choice(["SETEX", "PSETEX"]), key(r), r.choice(RELATIVE), r.choice(VALUES)],
        lambda: ["GETSET", key(r), r.choice(VALUES)],
        lambda: ["GETDEL", key(r)],
        lambda: ["MGET"] + [key(r) for _ in range(r.randrange(1, 5))],
        lambda: [r.choice(["MSET", "MSETNX"])] +
                [w for _ in range(r.randrange(1, 4)) for w in (key(r), r.choice(VALUES))] +
                (["odd"] if r.random() < 0.1 else []),
        lambda: ["APPEND", key(r), r.choice(VALUES)],
        lambda: ["STRLEN", key(r)],
        lambda: [r.choice(["GETRANGE", "SUBSTR"]), key(r), r.choice(SMALL), r.choice(SMALL)],
        lambda: ["SETRANGE", key(r), r.choice(SMALL[:5] + ["-1", "x", "536870912"]),
                 r.choice(VALUES)],
        lambda: ["SETBIT", key(r), r.choice(SMALL + ["77"]), r.choice(["0", "1", "2", "-1", "x"])],
        lambda: ["GETBIT", key(r), r.choice(SMALL + ["77"])],
        lambda: [r.choice(["INCR", "DECR"]), r.choice([key(r), "num"])],
        lambda: [r.choice(["INCRBY", "DECRBY"]), r.choice([key(r), "num"]), r.choice(INTEGERS)],
        lambda: ["INCRBYFLOAT", r.choice([key(r), "num"]), r.choice(FLOATS)],
        lambda: [r.choice(["DEL", "UNLINK", "EXISTS", "TOUCH"])] +
                [key(r) for _ in range(r.randrange(1, 4))],
        lambda: ["TYPE", key(r)],
        lambda: [r.choice(["TTL", "PTTL"]), "never"],
        lambda: [r.choice(["EXPIRETIME", "PEXPIRETIME"]), key(r)],
        lambda: ["PERSIST", key(r)],
        lambda: [r.choice(["RENAME", "RENAMENX"]), key(r), key(r)],
        lambda: ["KEYS", r.choice(PATTERNS)],
        lambda: ["DBSIZE"],
        lambda: ["OBJECT", r.choice(["ENCODING", "REFCOUNT"]), "missing"],
        lambda: ["SCAN", "0", "COUNT", "1000"] +
                r.choice([[], ["MATCH", r.choice(PATTERNS)], ["TYPE", r.choice(["string", "list"])],
                          ["COUNT", r.choice(["0", "-1", "x", "100"])], ["bogus"]]),
    )


def transaction(r):
    words = [["MULTI"]] + [request(r) for _ in range(r.randrange(0, 6))]
    if r.random() < 0.5:
        words.insert(0, ["WATCH", key(r), key(r)])
    if r.random() < 0.2:
        words.append(["WATCH", "a"])
    words.append([r.choice(["EXEC", "EXEC", "EXEC", "DISCARD"])])
    return words


def random_session(r):
    steps = []
    for _ in range(r.randrange(10, 25)):
        if r.random() < 0.12:
            steps += transaction(r)
        else:
            steps.append(request(r))
    return {"protocol": r.choice([2, 3]), "requests": steps}


# ---- By hand --------------------------------------------------------------------------------------

# Not sent with made-up words: they stop, block, or change the server.
DANGEROUS = {"shutdown", "debug", "monitor", "replicaof", "slaveof", "psync", "sync", "failover",
             "cluster", "save", "bgsave", "bgrewriteaof", "client|kill", "client|pause",
             "client|reply", "config|rewrite", "config|set", "acl|load", "acl|save", "acl|setuser",
             "acl|deluser", "module|load", "module|loadex", "wait", "config|resetstat", "quit",
             "reset", "multi", "exec", "discard", "acl|log", "hello", "function|restore",
             "subscribe", "psubscribe", "ssubscribe", "memory|purge"}


def arities(table):
    """Each command with one word too few and one too many, as far as its arity says so."""
    steps = []
    for name, arity in table:
        if name in DANGEROUS or name == "command":
            continue
        words = name.split("|")
        least = abs(arity)
        for count in sorted({len(words), least - 1} | ({least + 1} if arity > 0 else set())):
            if count >= len(words) and (count < least or (arity > 0 and count > least)):
                steps.append(words + ["1"] * (count - len(words)))
        steps.append([words[0].upper()] + words[1:] + ["1"] * 60
                     if arity > 0 else [words[0].title(), "nosuchsub" if len(words) > 1 else "1"]
                     if len(words) > 1 else [words[0]] + [])
    return [step for step in steps if step]


BY_HAND = """
SET a hello | GET a | APPEND a " world" | STRLEN a | GETRANGE a 0 -1 | GETRANGE a -5 -1 | GETRANGE a 3 1
GETRANGE a -1 -5 | GETRANGE a 0 9223372036854775807 | SUBSTR a 1 2 | SETRANGE a 6 Redis | GET a
SETRANGE fresh 3 x | GET fresh | SETRANGE none 3 "" | EXISTS none | SETRANGE a 536870912 x | SETRANGE a -1 x
SET n 10 | INCR n | INCRBY n 9223372036854775807 | DECRBY n 9223372036854775807 | DECRBY n -9223372036854775808
SET n 9223372036854775807 | INCR n | SET n -9223372036854775808 | DECR n | SET n " 1" | INCR n | SET n 1x | INCR n
INCRBYFLOAT f 10.5 | INCRBYFLOAT f 0.1 | INCRBYFLOAT f -5 | SET f 5.0e3 | INCRBYFLOAT f 2.0e2 | INCRBYFLOAT f 1e400
SET f 3.0 | INCRBYFLOAT f 1.000000000000000005 | INCRBYFLOAT f 1.1 | INCRBYFLOAT f -4.1 | SET f abc | INCRBYFLOAT f 1
INCRBYFLOAT g inf | INCRBYFLOAT g 1e4000 | INCRBYFLOAT g -0 | GET g | SET g 0.1 | INCRBYFLOAT g 0.2
SET k v EX 0 | SET k v EX -1 | SET k v EX x | SET k v EX 9223372036854775807 | SET k v PX 9223372036854775807
SET k v EX 9223372036854776 | SET k v EXAT 0 | SET k v EX | SET k v NX XX | SET k v EX 10 PX 10 | SET k v KEEPTTL EX 5
SET k v EX 10 KEEPTTL | SET k v GET | SET k w GET | SET k x NX GET | SET k y XX GET | SET j z XX GET | SET j z NX GET
SET k v PXAT 4102444800000 | PEXPIRETIME k | EXPIRETIME k | SET k w KEEPTTL | PEXPIRETIME k | SET k v | PEXPIRETIME k
PEXPIREAT beyond 1 | SET beyond v PXAT 9223372036854775807 | PEXPIRETIME beyond | EXPIRETIME beyond | PERSIST beyond
SETEX k 0 v | SETEX k 0 v | SETEX k -1 v | SETEX k x v | PSETEX k 0 v | SETEX k 9223372036854775807 v
GETEX k PXAT 4102444800500 | EXPIRETIME k | PEXPIRETIME k | GETEX k PERSIST | PEXPIRETIME k | GETEX k EX | GETEX k EX 0
GETEX k PERSIST EX 10 | GETEX k EXAT 1 | GET k | GETEX missing EX 10 | GETEX missing EX x | GETEX k PX 10 EX 10
EXPIREAT k 4102444800 | SET k v | EXPIREAT k 4102444800 | EXPIREAT k 4102444801 NX | EXPIREAT k 4102444801 GT
EXPIREAT k 4102444801 GT | EXPIREAT k 4102444800 LT | EXPIREAT k 4102444800 LT | EXPIREAT k 4102444800 XX | PERSIST k | PERSIST k
EXPIREAT k 1 GT | EXPIREAT k 4102444800 XX | EXPIREAT k 4102444800 LT | EXPIRE k 10 NX XX | EXPIRE k 10 GT LT | EXPIRE k 10 FOO
EXPIRE k 9223372036854775807 | EXPIRE k -9223372036854775808 | PEXPIRE k 9223372036854775807 | EXPIRE k x | EXPIRE nokey x
PEXPIREAT k 1 | GET k | SET k v | EXPIRE k 0 | EXISTS k | SET k v | EXPIRE k -5 | EXISTS k | TTL k | PTTL k | EXPIRETIME k
SETBIT b 7 1 | SETBIT b 7 0 | GET b | SETBIT b 100 1 | STRLEN b | GETBIT b 100 | GETBIT b 99999 | SETBIT b 4294967296 1 | SETBIT b -1 1
SETBIT b 0 2 | SETBIT b x 1 | SETBIT b 1 x | GETBIT b -1 | GETBIT b x | SET b foobar | BITCOUNT b | BITCOUNT b 0 0
BITCOUNT b 1 1 | BITCOUNT b 0 0 BYTE | BITCOUNT b 5 30 BIT | BITCOUNT b 5 30 bit | BITCOUNT b -3 -1 | BITCOUNT b -1 -3
BITCOUNT b 0 | BITCOUNT b 0 1 FOO | BITCOUNT b 0 1 BIT x | BITCOUNT b x 1 | BITCOUNT none | BITCOUNT none 0 -1 BIT | BITCOUNT b 0 100000 BIT
SET s1 ohmytext | SET s2 mynewtext | LCS s1 s2 | LCS s1 s2 LEN | LCS s1 s2 IDX | LCS s1 s2 IDX WITHMATCHLEN
LCS s1 s2 IDX MINMATCHLEN 4 | LCS s1 s2 IDX MINMATCHLEN 4 WITHMATCHLEN | LCS s1 s2 LEN IDX | LCS s1 none | LCS none none IDX
LCS s1 s2 MINMATCHLEN | LCS s1 s2 MINMATCHLEN x | LCS s1 s2 MINMATCHLEN -3 IDX | LCS s1 s2 FOO | LCS s1 s1 IDX | LCS s1
RENAME nokey x | SET a 1 | RENAME a a | RENAME a b | GET b | RENAMENX b b | SET c 2 | RENAMENX b c | RENAMENX b d | RENAMENX nokey z
SET e v PXAT 4102444800000 | RENAME e e2 | PEXPIRETIME e2 | COPY e2 e3 | PEXPIRETIME e3 | COPY e2 e3 | COPY e2 e3 REPLACE
COPY e2 e2 | COPY nokey z | COPY e2 e4 DB 0 | COPY e2 e4 DB x | COPY e2 e4 DB | COPY e2 e4 FOO | COPY nokey nokey
OBJECT ENCODING nokey | SET o 12345 | OBJECT ENCODING o | OBJECT REFCOUNT o | SET o 100 | OBJECT REFCOUNT o | SET o hello | OBJECT ENCODING o
SET o xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | OBJECT ENCODING o | OBJECT REFCOUNT o | OBJECT FREQ o | OBJECT FREQ nokey
OBJECT IDLETIME nokey | OBJECT REFCOUNT nokey | OBJECT FOO o | OBJECT ENCODING | OBJECT
MSET a 1 b 2 a 3 | MGET a b nokey a | MSETNX a 1 z 2 | EXISTS z | MSETNX y 1 z 2 | MGET y z | MSET a | MSET a 1 b | MSETNX a 1 b
GETSET gs 1 | GETSET gs 2 | GETDEL gs | GETDEL gs | SETNX sn 1 | SETNX sn 2 | GET sn | DEL sn sn nokey | UNLINK nokey
EXISTS a a nokey a | TOUCH a b nokey | TYPE a | TYPE nokey | DBSIZE | RANDOMKEY x | DBSIZE x
FLUSHALL FOO | FLUSHALL ASYNC FOO | FLUSHDB ASYNC | FLUSHDB SYNC | DBSIZE | RANDOMKEY | KEYS * | SCAN 0 | FLUSHALL SYNC
SCAN x | SCAN -1 | SCAN 0 COUNT 0 | SCAN 0 COUNT -1 | SCAN 0 COUNT x | SCAN 0 MATCH | SCAN 0 FOO bar | SCAN 99999999999999999999 | SCAN "" | SCAN " 0"
SET one 1 | SCAN 0 | SCAN 0 MATCH o* | SCAN 0 MATCH x* | SCAN 0 TYPE string | SCAN 0 TYPE STRING | SCAN 0 TYPE list | SCAN 0 COUNT 10 MATCH * TYPE string
KEYS o?e | KEYS [o]ne | KEYS [^o]ne | KEYS o\\\\ne | KEYS on[a-f] | KEYS on[f-a] | KEYS one* | KEYS "" | KEYS ** | KEYS o*n*e
PING | PING hi | PING a b | ECHO hi | ECHO | SELECT 0 | SELECT 1 | SELECT -1 | SELECT x | SELECT 99999999999 | SELECT
HELLO 1 | HELLO 4 | HELLO x | HELLO 2 FOO | HELLO 2 AUTH | HELLO 2 AUTH nobody nothing | HELLO 2 SETNAME "a b" | HELLO 2 SETNAME
AUTH x | AUTH default x | AUTH nobody x | AUTH a b c | AUTH default "" | AUTH
CLIENT GETNAME | CLIENT SETNAME me | CLIENT GETNAME | CLIENT SETNAME "" | CLIENT GETNAME | CLIENT SETNAME "a b" | CLIENT SETNAME "a\\nb" | CLIENT GETNAME
CLIENT REPLY FOO | CLIENT NO-EVICT ON | CLIENT NO-EVICT OFF | CLIENT NO-EVICT FOO | CLIENT UNPAUSE | CLIENT PAUSE x | CLIENT PAUSE -1 | CLIENT PAUSE 0 FOO
CLIENT KILL 1.2.3.4:5 | CLIENT KILL ID 99999999 | CLIENT KILL ID x | CLIENT KILL ID 0 | CLIENT KILL ADDR 1.2.3.4:5 | CLIENT KILL FOO bar | CLIENT KILL SKIPME maybe
CLIENT KILL TYPE foo | CLIENT KILL USER nobody | CLIENT KILL ID 1 ADDR | CLIENT LIST TYPE foo | CLIENT LIST FOO | CLIENT LIST ID x | CLIENT LIST ID 99999999 | CLIENT FOO | CLIENT
CLIENT REPLY SKIP | SET skipped 1 | GET skipped | CLIENT REPLY ON
MULTI | MULTI | EXEC | EXEC | DISCARD | MULTI | DISCARD | WATCH a | MULTI | WATCH b | SET a 1 | EXEC | UNWATCH | MULTI | FOO | SET a 2 | EXEC | GET a
MULTI | GET | EXEC | MULTI | INCR a | SET s x | INCR s | GET s | EXEC | MULTI | EXEC | MULTI | PING | ECHO x | SELECT 0 | SELECT 5 | EXEC
MULTI | SET q 1 | GET q | DEL q | GET q | DBSIZE | EXISTS q | INCR q | APPEND q 0 | STRLEN q | GETSET q z | GETDEL q | MSETNX q 1 r 2 | RENAME r r2 | EXEC
MULTI | SET t v PXAT 4102444800000 | PEXPIRETIME t | COPY t u | PEXPIRETIME u | PERSIST t | PEXPIRETIME t | GETEX u PERSIST | PEXPIRETIME u | KEYS t* | EXEC
MULTI | FLUSHALL | DBSIZE | SET new 1 | DBSIZE | EXEC | DBSIZE | WATCH new | SET new 2 | MULTI | GET new | EXEC | WATCH new | UNWATCH | SET new 3 | MULTI | EXEC
MULTI | RESET | EXEC | PING | MULTI | EXEC x | DISCARD | WATCH | UNWATCH x | MULTI x
SUBSCRIBE ch | PING | PING hi | GET a | SUBSCRIBE ch ch2 | PSUBSCRIBE p* | UNSUBSCRIBE ch | PUNSUBSCRIBE p* | UNSUBSCRIBE ch2 | GET a | UNSUBSCRIBE | PUNSUBSCRIBE | UNSUBSCRIBE nothere
SSUBSCRIBE sh | SUNSUBSCRIBE sh | SUNSUBSCRIBE | PUBLISH ch hi | SPUBLISH sh hi | PUBSUB CHANNELS | PUBSUB NUMSUB | PUBSUB NUMSUB a b | PUBSUB NUMPAT | PUBSUB SHARDCHANNELS | PUBSUB SHARDNUMSUB x | PUBSUB FOO | PUBSUB CHANNELS a b
RESET | CLIENT SETNAME x | RESET | CLIENT GETNAME | COMMAND COUNT x | COMMAND GETKEYS | COMMAND GETKEYS GET | COMMAND GETKEYS GET a | COMMAND GETKEYS MSET a 1 b 2 | COMMAND GETKEYS PING | COMMAND GETKEYS NOPE x | COMMAND GETKEYS RENAME a b
COMMAND GETKEYSANDFLAGS SET a b | COMMAND GETKEYSANDFLAGS COPY a b | COMMAND GETKEYSANDFLAGS MGET a b c | COMMAND GETKEYSANDFLAGS RENAME a b | COMMAND GETKEYSANDFLAGS LCS a b | COMMAND GETKEYSANDFLAGS DEL a b
COMMAND INFO nope | COMMAND INFO nope get | COMMAND LIST FILTERBY FOO x | COMMAND LIST FOO | COMMAND LIST FILTERBY PATTERN xyz* | COMMAND LIST FILTERBY MODULE x | COMMAND LIST FILTERBY ACLCAT nope | COMMAND FOO | COMMAND DOCS nope
COMMAND LIST FILTERBY PATTERN mset* | COMMAND LIST FILTERBY PATTERN pttl
TIME x | LASTSAVE x | ROLE | ROLE x | WAIT 0 0 | WAIT x 0 | WAIT 0 x | WAIT 0 -1 | READONLY | READWRITE | ASKING | CLUSTER INFO | REPLICAOF NO ONE | SLAVEOF no one
SCRIPT FLUSH | SCRIPT FLUSH FOO | SCRIPT FLUSH SYNC | SCRIPT EXISTS a b | SCRIPT KILL | SCRIPT FOO | FUNCTION FLUSH | FUNCTION FLUSH FOO | FUNCTION LIST | FUNCTION FOO | MODULE LIST
SLOWLOG LEN x | SLOWLOG GET x | SLOWLOG GET -2 | SLOWLOG RESET | SLOWLOG FOO | LATENCY HISTORY nope | LATENCY LATEST | LATENCY RESET | LATENCY RESET nope | LATENCY GRAPH nope | LATENCY FOO | LATENCY HISTOGRAM nope
MEMORY USAGE nokey | MEMORY USAGE a SAMPLES | MEMORY USAGE nokey SAMPLES 5 | MEMORY FOO | BGSAVE FOO | LOLWUT x
NOSUCH | nosuch a b c | NOSUCH "a\\r\\nb" | "" | "with space" x | GET a b c | get | SeT | CONFIG FOO | ACL FOO
"""


def split(line):
    """Words, with quotes and \\n, \\r, \\\\ in them."""
    words = []
    for quoted, plain in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line):
        word = plain if plain else quoted
        words.append(word.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\"))
    return words


def by_hand():
    for line in BY_HAND.strip().splitlines():
        steps = [split(part) for part in line.split(" | ")]
        for protocol in (2, 3):
            yield {"protocol": protocol, "requests": [step for step in steps if step]}


def command_infos(names):
    """COMMAND INFO of each command that both have."""
    for protocol in (2, 3):
        yield {"protocol": protocol, "requests": [["COMMAND", "INFO", name] for name in names]}


# ---- Comparing ------------------------------------------------------------------------------------

def sorted_elements(reply):
    """An array of bulk strings, in order: KEYS and SCAN give them in the order of their tables."""
    return tuple(sorted(re.findall(rb"\$\d+\r\n(.*?)\r\n", reply, re.S))), reply.count(b"\r\n")


def without_notes(reply):
    return re.sub(rb"\$5\r\nnotes\r\n\$\d+\r\n[^\r]*\r\n", b"", reply)


def name_of(words):
    return " ".join(word.lower() for word in words[:2]) if words else ""


# What is about the server itself: only the kind of reply is compared, and recorded.
FIGURES = (r"(client (list|info)|info|slowlog get|memory \w+|lastsave|time|lolwut|debug"
           r"|latency (doctor|histogram)).*")
# What redis-server says of a key that expires later than the store can tell.
BEYOND = {"pexpiretime beyond": (2 ** 63 - 1) // 1000,
          "expiretime beyond": ((2 ** 63 - 1) // 1000 + 500) // 1000}


class Judge:
    def __init__(self):
        self.differences, self.allowed, self.compared = [], {}, 0

    def allow(self, why):
        self.allowed[why] = self.allowed.get(why, 0) + 1

    def same(self, words, theirs, ours, queued):
        if theirs == ours:
            return True
        first, two = words[0].lower(), name_of(words)
        if b"is not supported" in ours and theirs[:1] in (b"-", b"*", b":", b"$", b"+", b"_", b"%",
                                                         b"~"):
            self.allow("other types, scripts and replication are not supported, and say so")
            return True
        if first in ("keys", "scan") and sorted_elements(theirs) == sorted_elements(ours):
            self.allow("keys come in the order of the store")
            return True
        if first == "exec" and any(w[0].lower() == "object" for w in queued) and \
                self.any_encoding(theirs) == self.any_encoding(ours):
            self.allow("the encoding follows from the value alone, not from how it came about")
            return True
        if first == "exec" and any(w[0].lower() in ("keys", "scan") for w in queued) and \
                sorted_elements(theirs) == sorted_elements(ours):
            self.allow("keys come in the order of the store")
            return True
        if two == "command" and theirs[:1] == ours[:1]:
            self.allow("there are fewer commands")
            return True
        if two == "command info" and self.same_info(theirs, ours):
            return True
        if two in ("object encoding", "object refcount"):
            self.allow("the encoding follows from the value alone, not from how it came about")
            return ours[:1] == theirs[:1]
        for names, why in ((r"command count|command list", "there are fewer commands"),
                           (FIGURES, "figures of the server itself"),
                           (r"\w+ help", "help texts are ours"),
                           (r"acl \w+", "texts of ACL are tested on their own")):
            if re.fullmatch(names, two) and ours[:1] == theirs[:1]:
                self.allow(why)
                return True
        if first == "hello" and b"proto" in theirs and re.sub(rb":\d+", b":", theirs) == \
                re.sub(rb":\d+", b":", ours):
            self.allow("a connection's number")
            return True
        if b"the empty key is not supported" in ours:
            self.allow("the store has no empty key")
            return True
        if two in BEYOND and ours == b":%d\r\n" % BEYOND[two]:
            self.allow("the store's time ends in the year 294247: later expiries are that")
            return True
        return False

    @staticmethod
    def any_encoding(reply):
        return re.sub(rb"\$3\r\nraw|\$6\r\nembstr|\$3\r\nint|:2147483647\r|:[12]\r", b"?", reply)

    def same_info(self, theirs, ours):
        """Notes on keys are theirs; of containers the subcommands come in our order, and there are
        fewer: what stands before them is compared."""
        if b"notes" in theirs:
            parts = [re.sub(rb"[*%]\d+", b"", text) for text in (without_notes(theirs), ours)]
            self.allow("COMMAND INFO has no notes")
            return parts[0] == parts[1]
        if b"|" in theirs:
            self.allow("fewer subcommands, in another order")
            return theirs.split(b"|")[0][:40] == ours.split(b"|")[0][:40]
        return False

    def session(self, session, ours):
        queued = []
        begin(ours, session["protocol"])
        for words, theirs in zip(session["requests"], session["replies"]):
            mine = ours.ask([word.encode("latin1") for word in words])
            theirs = theirs.encode("latin1")
            self.compared += 1
            if not self.same(words, theirs, mine, queued):
                self.differences.append((session, words, theirs, mine))
            queued = [] if words[0].lower() in ("exec", "discard", "multi") else queued + [words]


def ask_redis(session, redis):
    begin(redis, session["protocol"])
    session["replies"] = [redis.ask([word.encode("latin1") for word in words]).decode("latin1")
                          for words in session["requests"]]
    return session


def without_figures(session):
    session["replies"] = [reply[:1] if re.fullmatch(FIGURES, name_of(words)) and reply[:1] != "-"
                          else reply for words, reply in
                          zip(session["requests"], session["replies"])]
    return session


# ---- The program ----------------------------------------------------------------------------------

def all_sessions(redis, seed, count):
    """What is recorded: by hand, arities, COMMAND INFO, and made-up sessions."""
    yield from by_hand()
    table = []
    with open(os.path.join(HERE, "..", "..", "server", "commands.def"), encoding="utf-8") as rows:
        table += re.findall(r'ROW\("([a-z|_-]+)", (-?\d+),', rows.read())
    with open(os.path.join(HERE, "..", "..", "server", "commands_sub.def"),
              encoding="utf-8") as rows:
        table += re.findall(r'ROW\("([a-z|_-]+)", (-?\d+),', rows.read())
    table = [(name, int(arity)) for name, arity in table if name != "client|setinfo"]
    yield {"protocol": 2, "requests": arities(table)}
    yield {"protocol": 3, "requests": arities(table)}
    yield from command_infos([name for name, _ in table if "|" not in name])
    for i in range(count):
        yield random_session(random.Random(f"{seed}.{i}"))


def report(judge, verbose):
    for session, words, theirs, ours in judge.differences[:40 if verbose else 10]:
        at = len(os.path.commonprefix([theirs, ours]))
        start = max(0, at - 60)
        print(f"RESP{session['protocol']} {words!r}, from byte {at} on:\n  redis-server "
              f"{theirs[start:at + 120]!r}\n  ours         {ours[start:at + 120]!r}")
    for why, count in sorted(judge.allowed.items()):
        print(f"{count:6} allowed: {why}")
    print(f"{judge.compared} replies compared, {len(judge.differences)} differ")


def main(arguments):
    if "--record" in arguments:
        address, path = arguments[arguments.index("--record") + 1:][:2]
        redis = to_redis(address)
        with open(path, "w", encoding="utf-8") as out:
            for session in all_sessions(redis, "recorded", 150):
                out.write(json.dumps(without_figures(ask_redis(session, redis)), ensure_ascii=True,
                                     separators=(",", ":")) + "\n")
        return 0
    judge, ours = Judge(), to_pipe(arguments[1])
    if "--live" in arguments:
        redis = to_redis(arguments[arguments.index("--live") + 1])
        seed = arguments[arguments.index("--seed") + 1] if "--seed" in arguments else "1"
        count = int(arguments[arguments.index("--sessions") + 1]) if "--sessions" in arguments \
            else 300
        for session in all_sessions(redis, seed, count):
            judge.session(ask_redis(session, redis), ours)
    else:
        path = arguments[2] if len(arguments) > 2 else \
            os.path.join(HERE, "recorded", "redis-7.0.jsonl")
        with open(path, encoding="utf-8") as recorded:
            for line in recorded:
                judge.session(json.loads(line), ours)
    ours.close()
    report(judge, "--live" in arguments)
    return 1 if judge.differences or judge.compared == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
