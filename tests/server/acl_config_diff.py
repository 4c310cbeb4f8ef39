# SPDX-License-Identifier: MIT
"""acl_config_diff.py BITCASK RECORDED: do ACL and CONFIG answer as redis-server 7.0, byte for byte?

Replays what redis-server said to the lines of REQUESTS, in both protocols.
    acl_config_diff.py --record PORT RECORDED    makes the recording anew, from a fresh redis-server
What must differ is not among the lines: redis-server has selectors, 16 databases, larger values."""

import json
import os
import shlex
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Connection, Server  # pylint: disable=wrong-import-position

REQUESTS = """
config set maxclients x
config set maxclients 0
config set maxclients 4294967296
config set foo 1
config set foo 1 port 7
config set databases 2
config set databases 2 maxclients x
config set port
config set maxclients 10 maxclients 11
config set maxclients 100 maxmemory x
config set maxclients 100 timeout
config set protected-mode maybe
config set notify-keyspace-events q
config set notify-keyspace-events KEA
config get notify*
config set notify-keyspace-events gx$
config get notify-keyspace-events
config set notify-keyspace-events ''
config set slowlog-log-slower-than -5
config set slowlog-log-slower-than -1
config get slowlog-log-slower-than
config set client-output-buffer-limit 'foo 1mb 0 0'
config set client-output-buffer-limit 'normal 1mb 0'
config set client-output-buffer-limit ''
config set client-query-buffer-limit 2mb
config get client-query-buffer-limit
config set client-query-buffer-limit 2m
config get CLIENT-QUERY-*
config set client-query-buffer-limit 1kk
config rewrite
config get timeout tim?out xx
config get nothing
config get
config set
config bar
config
config help
config resetstat
config resetstat x
acl whoami
acl users
acl list
acl cat
acl cat foo
acl genpass 0
acl genpass -1
acl genpass 5000
acl genpass x
acl genpass 1 2
acl load x
acl foo
acl
acl setuser
acl help
acl log
acl log 0
acl log x
acl log reset
acl getuser nobody
acl deluser nobody
acl deluser default
acl deluser nobody default
acl setuser x
acl getuser x
acl setuser x on >p ~a* %R~r* %W~w* &ch* +@read +get -set +config|get +@all -config|set
acl getuser x
acl list
acl setuser x +foo
acl setuser x +@foo
acl setuser x >a <b
acl setuser x #12
acl setuser x !0123456789012345678901234567890123456789012345678901234567890123
acl setuser x foo
acl setuser x '~a b'
acl setuser x resetkeys ~* ~a
acl setuser x resetchannels &* &b
acl setuser x %X~a
acl setuser x %~a
acl setuser x %
acl setuser 'a b' on
acl getuser x
acl dryrun x get foo
acl dryrun x get a1
acl dryrun x get w1
acl dryrun x set w1 v
acl dryrun x set w1 v get
acl dryrun x set r1 v
acl dryrun x rename a1 r1
acl dryrun x rename r1 a1
acl dryrun x mset a1 v w1 v r1 v
acl dryrun x exists w1
acl dryrun x strlen w1
acl dryrun x getdel w1
acl dryrun x incr w1
acl dryrun x append w1 v
acl dryrun x copy r1 w1
acl dryrun x copy w1 r1
acl dryrun x publish foo a
acl dryrun x publish ch1 a
acl dryrun x psubscribe ch*
acl dryrun x psubscribe ch1*
acl dryrun x config set a b
acl dryrun x config get a
acl dryrun nobody get a1
acl dryrun x foo
acl dryrun x get
acl setuser x allcommands -@all +mget allkeys nocommands
acl setuser x nopass >q
acl setuser x resetpass off reset
acl getuser x
auth x y
auth default anything
auth z
config set requirepass secret
config get requirepass
acl getuser default
auth wrong
auth secret
auth default secret
config set requirepass ''
acl getuser default
acl deluser x
acl log reset
"""


def lines():
    return [shlex.split(line) for line in REQUESTS.strip().splitlines()]


def raw_reply(connection):
    """One reply of either protocol, as its bytes."""
    line = connection.file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError(f"closed after {line!r}")
    kind, rest = line[:1], line[1:-2]
    if kind in (b"$", b"=") and rest != b"-1":
        return line + connection.file.read(int(rest) + 2)
    parts = int(rest) if kind in (b"*", b"~", b"%", b">") and rest != b"-1" else 0
    return line + b"".join(raw_reply(connection) for _ in range(parts * (1 + (kind == b"%"))))


def replies(port):
    for protocol in (2, 3):
        with Connection(("127.0.0.1", port)) as connection:
            connection.send("HELLO", protocol)
            raw_reply(connection)
            for words in lines():
                connection.send(*words)
                yield protocol, words, raw_reply(connection).decode("latin-1")


def record(port, path):
    with open(path, "w", encoding="utf-8") as out:
        for protocol, words, reply in replies(port):
            out.write(json.dumps([protocol, words, reply]) + "\n")


def replay(bitcask, path):
    with open(path, encoding="utf-8") as file:
        recorded = [json.loads(line) for line in file]
    different = 0
    with tempfile.TemporaryDirectory(prefix="bitcask-acl-") as directory:
        server = Server(bitcask, directory)
        try:
            got = list(replies(server.port))
        finally:
            code = server.stop()
    for (protocol, words, reply), (_, asked, expected) in zip(got, recorded):
        assert words == asked, "the recording is of other lines: make it anew"
        if reply != expected:
            different += 1
            print(f"RESP{protocol} {' '.join(words)}\n  redis    {expected!r}\n  bitcask  {reply!r}")
    print(f"{len(got)} replies, {different} of them different")
    return 1 if different or len(got) != len(recorded) or code != 0 else 0


if sys.argv[1] == "--record":
    record(int(sys.argv[2]), sys.argv[3])
else:
    sys.exit(replay(*sys.argv[1:3]))
