# SPDX-License-Identifier: MIT
"""redis_py_test.py PORT SOCKET: the server with redis-py, as anybody would use it."""

import sys
import threading

import redis

PORT, SOCKET = int(sys.argv[1]), sys.argv[2]


def refused(call, *words):
    try:
        call(*words)
    except redis.ResponseError as error:
        return str(error)
    raise AssertionError(f"{words} was not refused")


def strings(client):
    assert client.set("city", "Utrecht")
    assert client.get("city") == b"Utrecht"
    assert client.get("missing") is None
    assert client.set("city", "x", nx=True) is None
    assert client.set("city", "Delft", get=True, ex=100) == b"Utrecht"
    assert 0 < client.ttl("city") <= 100
    assert client.persist("city") == 1 and client.ttl("city") == -1
    raw = bytes(range(256))
    client.set(raw, raw)
    assert client.get(raw) == raw
    assert client.incr("n", 5) == 5 and client.decr("n") == 4
    assert client.incrbyfloat("f", "0.1") == 0.1
    assert client.setrange("range", 3, b"x") == 4 and client.getrange("range", 0, -1) == b"\0\0\0x"
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    client.mset({f"m:{i}": i for i in range(100)})
    assert client.mget("m:1", "missing", "m:2") == [b"1", None, b"2"]
    assert client.delete("m:1", "missing") == 1
    assert client.getdel("m:2") == b"2" and client.exists("m:2") == 0
    assert client.type("city") == b"string" and client.strlen("city") == 5


def scans(client):
    assert len(set(client.scan_iter(match="m:*", count=7))) == 98
    assert len(client.keys("m:*")) == 98
    assert client.dbsize() >= 98


def transactions(client):
    with client.pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
        assert all(pipe.execute())
    with client.pipeline() as pipe:
        pipe.watch("a")
        client.set("a", 7)
        pipe.multi()
        pipe.incr("a")
        try:
            pipe.execute()
            raise AssertionError("WATCH saw nothing")
        except redis.WatchError:
            pass

    def add(pipe):
        value = int(pipe.get("sum") or 0)
        pipe.multi()
        pipe.set("sum", value + 1)

    threads = [threading.Thread(target=lambda: [client.transaction(add, "sum") for _ in range(20)])
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("sum") == b"80"


def messages(client):
    pubsub = client.pubsub(ignore_subscribe_messages=False)
    pubsub.psubscribe("ne*")
    assert pubsub.get_message(timeout=10)["type"] == "psubscribe"
    assert client.publish("news", "hello") == 1
    message = pubsub.get_message(timeout=10)
    assert message["type"] == "pmessage" and message["data"] == b"hello"
    pubsub.close()


def administration(client):
    assert client.ping() and client.info()["redis_version"]
    assert client.config_get("maxclients")["maxclients"]
    assert client.config_set("timeout", 0)
    assert client.client_setname("tester") and client.client_getname() in (b"tester", "tester")
    assert any(entry["name"] == "tester" for entry in client.client_list())
    assert client.command_count() > 100
    assert client.acl_whoami() in (b"default", "default")
    assert client.acl_setuser("py", enabled=True, passwords=["+secret"], keys=["py:*"],
                              commands=["+@read", "+set"])
    assert client.acl_getuser("py")["commands"]
    limited = redis.Redis(port=PORT, username="py", password="secret")
    assert limited.set("py:1", 1)
    assert "no permissions" in refused(limited.set, "other", 1)
    assert "no permissions" in refused(limited.flushall)
    limited.close()
    assert client.acl_deluser("py") == 1
    assert client.slowlog_len() >= 0 and client.time()[0] > 0
    assert "unknown command" in refused(client.execute_command, "NOSUCH")
    assert "not supported" in refused(client.lpush, "list", 1)


def main():
    client = redis.Redis(port=PORT)
    for part in (strings, scans, transactions, messages, administration):
        part(client)
    with redis.Redis(unix_socket_path=SOCKET, decode_responses=True) as local:
        assert local.get("city") == "Delft"


main()
