#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""commands_test BITCASK: commands that need a whole server and more than one connection: messages,
notifications, MONITOR, CLIENT, jobs, what INFO and SLOWLOG tell."""

import os
import sys
import tempfile
import threading
import unittest

from serve_process import ReplyError, Server, encode, wait_until

BITCASK = None


class WithServer(unittest.TestCase):
    OPTIONS = ()

    def setUp(self):
        self.server = Server(BITCASK, *self.OPTIONS).start()
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.__exit__, None)
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()

    def connect(self):
        client = self.server.connect()
        self.clients.append(client)
        return client

    def all_of(self, client, request, *expected):
        for words, reply in zip(request, expected):
            self.assertEqual(client.do(*words), reply)


class Messages(WithServer):
    def test_a_message_goes_to_channels_and_patterns_and_is_counted(self):
        listener, sender = self.connect(), self.connect()
        self.assertEqual(listener.do("SUBSCRIBE", "news"), [b"subscribe", b"news", 1])
        self.assertEqual(listener.do("PSUBSCRIBE", "n*"), [b"psubscribe", b"n*", 2])
        self.assertEqual(sender.do("PUBLISH", "news", "hello"), 2)
        self.assertEqual(listener.reply(), [b"message", b"news", b"hello"])
        self.assertEqual(listener.reply(), [b"pmessage", b"n*", b"news", b"hello"])
        self.assertEqual(sender.do("PUBLISH", "other", "x"), 0)
        self.assertEqual(sender.do("PUBSUB", "CHANNELS"), [b"news"])
        self.assertEqual(sender.do("PUBSUB", "NUMSUB", "news", "x"), [b"news", 1, b"x", 0])
        self.assertEqual(sender.do("PUBSUB", "NUMPAT"), 1)
        self.assertEqual(listener.do("UNSUBSCRIBE"), [b"unsubscribe", b"news", 1])
        self.assertEqual(listener.do("PUNSUBSCRIBE"), [b"punsubscribe", b"n*", 0])
        self.assertEqual(sender.do("PUBLISH", "news", "hello"), 0)
        self.assertEqual(listener.do("GET", "x"), None)

    def test_messages_are_pushes_in_resp3_where_all_commands_go_on(self):
        listener, sender = self.connect(), self.connect()
        listener.do("HELLO", 3)
        listener.send(encode("SUBSCRIBE", "news"))
        self.assertEqual(listener.line(), b">3")
        listener.buffer = b">3\r\n" + listener.buffer
        self.assertEqual(listener.reply(), [b"subscribe", b"news", 1])
        self.assertEqual(listener.do("SET", "a", "1"), "OK")
        self.assertEqual(sender.do("PUBLISH", "news", "x"), 1)
        self.assertEqual(listener.line(), b">3")

    def test_a_client_that_goes_is_forgotten(self):
        listener, sender = self.connect(), self.connect()
        listener.do("SUBSCRIBE", "news")
        self.assertEqual(sender.do("PUBLISH", "news", "x"), 1)
        listener.close()
        wait_until(lambda: sender.do("PUBLISH", "news", "x") == 0, "the listener is still there")
        self.assertEqual(sender.do("PUBSUB", "CHANNELS"), [])

    def test_shard_channels_are_apart(self):
        listener, sender = self.connect(), self.connect()
        self.assertEqual(listener.do("SSUBSCRIBE", "s"), [b"ssubscribe", b"s", 1])
        self.assertEqual(sender.do("PUBLISH", "s", "x"), 0)
        self.assertEqual(sender.do("SPUBLISH", "s", "y"), 1)
        self.assertEqual(listener.reply(), [b"smessage", b"s", b"y"])
        self.assertEqual(sender.do("PUBSUB", "SHARDCHANNELS"), [b"s"])

    def test_messages_to_many_come_in_order(self):
        listeners = [self.connect() for _ in range(20)]
        sender = self.connect()
        for listener in listeners:
            listener.do("SUBSCRIBE", "c")
        for i in range(100):
            self.assertEqual(sender.do("PUBLISH", "c", i), 20)
        for listener in listeners:
            for i in range(100):
                self.assertEqual(listener.reply(), [b"message", b"c", str(i).encode()])


class Notifications(WithServer):
    def events(self, letters, *requests):
        """The events of the requests, up to a last one that all must tell."""
        listener, writer = self.connect(), self.connect()
        self.assertEqual(writer.do("CONFIG", "SET", "notify-keyspace-events", letters), "OK")
        listener.do("PSUBSCRIBE", "__key*__:*")
        for words in requests:
            writer.do(*words)
        writer.do("PUBLISH", "__keyend__:", "")
        told = []
        while True:
            _, _, channel, message = listener.reply()
            if channel == b"__keyend__:":
                return told
            told.append((channel.split(b":", 1)[1].decode(), message.decode()))

    def test_each_change_is_told_by_its_event(self):
        told = self.events(
            "EA", ("SET", "a", "1"), ("SET", "a", "1", "EX", "1000"), ("INCR", "a"), ("APPEND", "a", "0"),
            ("SETRANGE", "a", "0", "5"), ("SETBIT", "a", "0", "0"), ("INCRBYFLOAT", "a", "1"),
            ("EXPIRE", "a", "1000"), ("PERSIST", "a"), ("RENAME", "a", "b"), ("COPY", "b", "c"),
            ("GETDEL", "c"), ("GETSET", "b", "1"), ("GETEX", "b", "EX", "1000"), ("EXPIRE", "b", "-1"),
            ("MSET", "x", "1", "y", "2"), ("DEL", "x", "y", "nokey"), ("SETNX", "z", "1"),
            ("SETNX", "z", "1"), ("SETEX", "z", "1000", "v"), ("GET", "z"))
        self.assertEqual([event for event, _ in told], [
            "set", "set", "expire", "incrby", "append", "setrange", "setbit", "incrbyfloat", "expire",
            "persist", "rename_to", "rename_from", "copy_to", "del", "set", "expire", "del", "set",
            "set", "del", "del", "set", "set", "expire"])
        self.assertEqual(told[10:12], [("rename_to", "b"), ("rename_from", "a")])

    def test_kinds_choose(self):
        requests = [("SET", "a", "1"), ("DEL", "a"), ("GET", "a")]
        self.assertEqual(self.events("K$", *requests), [("a", "set")])
        self.assertEqual(self.events("Eg", *requests), [("del", "a")])
        self.assertEqual(self.events("Em", *requests), [("keymiss", "a")])
        self.assertEqual(self.events("En", *requests), [("new", "a")])
        self.assertEqual(self.events("", *requests), [])
        self.assertEqual(self.events("A", *requests), [])

    def test_a_transaction_tells_when_it_is_written(self):
        told = self.events("E$g", ("MULTI",), ("SET", "a", "1"), ("INCR", "a"), ("DEL", "a"), ("EXEC",))
        self.assertEqual(told, [("set", "a"), ("incrby", "a"), ("del", "a")])
        self.assertEqual(self.events("E$g", ("MULTI",), ("SET", "a", "1"), ("DISCARD",)), [])


class Monitor(WithServer):
    def test_commands_are_shown_and_secrets_are_not(self):
        watcher, other = self.connect(), self.connect()
        self.assertEqual(watcher.do("MONITOR"), "OK")
        other.do("SET", "a", 'quote" \n\x00')
        other.do("AUTH", "default", "secret")
        other.do("CONFIG", "SET", "maxmemory", "0")
        other.do("PING")
        self.assertRegex(watcher.reply(), r'^\d+\.\d{6} \[0 .*\] "SET" "a" "quote\\" \\n\\x00"$')
        self.assertRegex(watcher.reply(), r'"AUTH" "\(redacted\)" "\(redacted\)"$')
        self.assertRegex(watcher.reply(), r'"PING"$')  # what is for administrators is not shown


class Client(WithServer):
    def test_list_tells_of_all_and_kill_closes_one(self):
        one, two = self.connect(), self.connect()
        one.do("CLIENT", "SETNAME", "one")
        two.do("CLIENT", "SETNAME", "two")
        two.do("MULTI")
        two.do("SET", "a", "1")

        def listed():
            lines = one.do("CLIENT", "LIST").decode().splitlines()
            return {line.split(" name=")[1].split()[0]:
                    dict(word.split("=", 1) for word in line.split()) for line in lines}

        # What is shown of others is as of the end of a pass of their loops.
        wait_until(lambda: listed()["two"]["multi"] == "1", "the queued command is not listed")
        fields = listed()
        self.assertEqual(set(fields), {"one", "two"})
        self.assertEqual(fields["one"]["cmd"], "client|list")
        self.assertEqual(fields["one"]["multi"], "-1")
        self.assertEqual(one.do("CLIENT", "KILL", "ID", fields["two"]["id"]), 1)
        self.assertEqual(two.until_closed(), b"")
        wait_until(lambda: len(one.do("CLIENT", "LIST").splitlines()) == 1, "it is still listed")
        self.assertEqual(one.do("GET", "a"), None)

    def test_replies_are_off_until_they_are_on(self):
        client = self.connect()
        client.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "a", "1") +
                    encode("MULTI") + encode("GET", "a") + encode("EXEC") + encode("NOSUCH") +
                    encode("SCAN", "0") + encode("KEYS", "*") +
                    encode("CLIENT", "REPLY", "ON") + encode("GET", "a"))
        self.assertEqual(client.reply(), "OK")
        self.assertEqual(client.reply(), b"1")

    def test_a_pause_of_writes_holds_writes_only(self):
        one, two = self.connect(), self.connect()
        self.assertEqual(one.do("CLIENT", "PAUSE", "1000000", "WRITE"), "OK")
        two.send(encode("GET", "a") + encode("SET", "a", "1") + encode("GET", "a"))
        self.assertEqual(two.reply(), None)
        self.assertEqual(one.do("DBSIZE"), 0)
        self.assertEqual(one.do("CLIENT", "UNPAUSE"), "OK")
        self.assertEqual(two.reply(), "OK")
        self.assertEqual(two.reply(), b"1")

    def test_reset_brings_a_connection_back_to_its_beginning(self):
        client = self.connect()
        client.do("HELLO", 3)
        client.do("CLIENT", "SETNAME", "x")
        client.do("SUBSCRIBE", "c")
        client.do("MULTI")
        self.assertEqual(client.do("RESET"), "RESET")
        self.assertEqual(client.do("CLIENT", "GETNAME"), None)
        self.assertEqual(client.do("GET", "nokey"), None)
        self.assertIsInstance(client.do("EXEC"), ReplyError)


class Pipeline(WithServer):
    def test_all_may_be_sent_before_a_reply_is_read(self):
        client = self.connect()
        one = b"".join(encode("SET", f"k{i}", "x" * 5000) + encode("PING") for i in range(50))
        for _ in range(40):  # 10 MB: more than sockets hold
            client.send(one)
        for _ in range(40 * 50):
            self.assertEqual(client.reply(), "OK")
            self.assertEqual(client.reply(), "PONG")


class Crash(unittest.TestCase):
    def test_after_kill_9_a_transaction_is_there_as_a_whole_or_not_at_all(self):
        for mode in ("always", "everysec", "no"):
            with self.subTest(mode=mode), tempfile.TemporaryDirectory(prefix="bc", dir="/tmp") as base:
                directory = os.path.join(base, "s")
                server = Server(BITCASK, "--appendfsync", mode, directory=directory).start()
                with server.connect() as client:
                    done = self.count_up(client, server)
                server.process.wait()
                server.process.stdout.close()
                with Server(BITCASK, directory=directory) as again, again.connect() as client:
                    left, right = client.do("MGET", "left", "right")
                    self.assertEqual(left, right)
                    self.assertGreaterEqual(int(left), done)  # the process died, not the machine

    def count_up(self, client, server):
        """Transactions one behind the other, without waiting, and the end in the midst of them. Gives
        how many were answered."""
        one = encode("MULTI") + encode("INCR", "left") + encode("SET", "big", "x" * 5000) + \
            encode("INCR", "right") + encode("EXEC")

        def send():
            try:
                client.send(one * 400)
            except OSError:
                pass  # the server has died, as it shall

        sender = threading.Thread(target=send)
        sender.start()
        self.addCleanup(sender.join)
        done = 0
        try:
            while True:
                for _ in range(4):
                    client.reply()
                done = client.reply()[0]
                if done == 100:
                    server.process.kill()
        except (EOFError, ConnectionError):
            return done


class Telling(WithServer):
    OPTIONS = ("--slowlog-log-slower-than", "0")

    def info(self, client, *sections):
        return dict(line.split(":", 1) for line in client.do("INFO", *sections).decode().split("\r\n")
                    if ":" in line)

    def test_info_has_its_sections_and_true_figures(self):
        client = self.connect()
        client.do("MSET", "a", "1", "b", "2")
        client.do("GET", "a")
        client.do("GET", "nokey")
        client.do("GET")
        text = client.do("INFO").decode()
        titles = [line[2:] for line in text.split("\r\n") if line.startswith("# ")]
        self.assertEqual(titles, ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication",
                                  "CPU", "Modules", "Errorstats", "Cluster", "Keyspace", "Bitcask"])
        info = self.info(client)
        self.assertEqual(info["db0"], "keys=2,expires=0,avg_ttl=0")
        self.assertEqual(info["keyspace_hits"], "1")
        self.assertEqual(info["keyspace_misses"], "1")
        self.assertEqual(info["rdb_changes_since_last_save"], "2")
        self.assertEqual(info["errorstat_ERR"], "count=1")
        self.assertEqual(info["keys"], "2")
        self.assertEqual(info["connected_clients"], "1")
        self.assertGreater(int(info["used_memory_rss"]), 0)
        everything = self.info(client, "everything")
        self.assertTrue(everything["cmdstat_get"].startswith("calls=2,"))
        self.assertIn("rejected_calls=1,failed_calls=0", everything["cmdstat_get"])
        self.assertIn("p50=", everything["latency_percentiles_usec_get"])
        self.assertEqual(self.info(client, "nosuchsection"), {})
        self.assertEqual(set(self.info(client, "keyspace", "cluster")), {"db0", "cluster_enabled"})
        self.assertEqual(client.do("CONFIG", "RESETSTAT"), "OK")
        self.assertEqual(self.info(client)["keyspace_hits"], "0")

    def test_slow_commands_are_kept_without_secrets(self):
        client = self.connect()
        client.do("SLOWLOG", "RESET")
        client.do("SET", "key", "x" * 200)
        client.do("MGET", *[f"k{i}" for i in range(40)])
        client.do("AUTH", "default", "secret")
        entries = client.do("SLOWLOG", "GET", "-1")
        words = {entry[3][0]: entry[3] for entry in entries}
        self.assertEqual(words[b"SET"][2], b"x" * 128 + b"... (72 more bytes)")
        self.assertEqual(len(words[b"MGET"]), 32)
        self.assertEqual(words[b"MGET"][31], b"... (10 more arguments)")
        self.assertEqual(words[b"AUTH"], [b"AUTH", b"(redacted)"])
        self.assertEqual([entry[0] for entry in entries],
                         sorted((entry[0] for entry in entries), reverse=True))
        client.do("CONFIG", "SET", "slowlog-max-len", "2")
        client.do("PING")
        self.assertEqual(client.do("SLOWLOG", "LEN"), 2)

    def test_latency_histogram_counts_calls(self):
        client = self.connect()
        for _ in range(10):
            client.do("GET", "a")
        reply = client.do("LATENCY", "HISTOGRAM", "get", "set")
        self.assertEqual(reply[0], b"get")
        self.assertEqual(reply[1][:2], [b"calls", 10])
        counts = reply[1][3][1::2]
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(counts[-1], 10)
        self.assertEqual(len(reply), 2)


class Jobs(WithServer):
    def setUp(self):
        own = tempfile.TemporaryDirectory(prefix="bc", dir="/tmp")
        self.addCleanup(own.cleanup)
        self.backups = own.name
        self.OPTIONS = ("--backup-dir", self.backups)
        super().setUp()

    def job(self, client, name):
        reply = client.do("BC.JOBS")
        fields = dict(zip(reply[::2], reply[1::2]))[name]
        return dict(zip(fields[::2], fields[1::2]))

    def finished(self, client, name):
        wait_until(lambda: self.job(client, name)[b"running"] == 0, f"{name} does not end")
        return self.job(client, name)

    def test_merge_and_verify_run_beside_the_loops(self):
        client = self.connect()
        for i in range(200):
            client.do("SET", f"k{i % 10}", "x" * 1000)
        self.assertEqual(client.do("BC.MERGE", "ALL"), "Background merge started")
        merge = self.finished(client, b"merge")
        self.assertEqual((merge[b"runs"], merge[b"status"]), (1, b"OK"))
        self.assertEqual(client.do("BC.VERIFY"), "Background verify started")
        self.assertIn(b"0 findings", self.finished(client, b"verify")[b"result"])
        self.assertIsInstance(client.do("BC.MERGE", "SOME"), ReplyError)

    def test_a_backup_goes_below_backup_dir_only(self):
        with Server(BITCASK, *self.OPTIONS, tcp=True) as server, \
                server.connect(tcp=True) as client:  # not the owner, who comes by the Unix socket
            self.backs_up_below_the_directory(client)

    def backs_up_below_the_directory(self, client):
        client.do("SET", "a", "1")
        for name in ("../x", "/tmp/x", ".hidden", "a/b", "", "a b"):
            self.assertIsInstance(client.do("BC.BACKUP", name), ReplyError)
        self.assertEqual(client.do("BC.BACKUP", "monday"), "Background backup started")
        self.assertEqual(self.finished(client, b"backup")[b"status"], b"OK")
        self.assertTrue(os.path.exists(os.path.join(self.backups, "monday", "MANIFEST")))
        self.assertEqual(client.do("BGSAVE"), "Background saving started")
        self.finished(client, b"backup")
        self.assertTrue(os.path.exists(os.path.join(self.backups, "latest", "MANIFEST")))

    def test_without_a_backup_dir_there_are_no_backups(self):
        with Server(BITCASK) as server, server.connect() as client:
            self.assertIn("no backup-dir", str(client.do("BC.BACKUP", "x")))
            self.assertEqual(client.do("BGSAVE"), "Background saving started")

    def test_flushall_async_spares_what_comes_behind_it(self):
        client = self.connect()
        client.do("MSET", *[word for i in range(1000) for word in (f"k{i}", "v")])
        client.send(encode("FLUSHALL", "ASYNC") + encode("SET", "k5", "new"))
        self.assertEqual(client.reply(), "OK")
        self.assertEqual(client.reply(), "OK")
        self.finished(client, b"flush")
        self.assertEqual(client.do("DBSIZE"), 1)
        self.assertEqual(client.do("GET", "k5"), b"new")

    def test_a_snapshot_keeps_what_was(self):
        client = self.connect()
        client.do("SET", "a", "1")
        self.assertEqual(client.do("BC.SNAPSHOT", "CREATE", "s"), "OK")
        client.do("SET", "a", "2")
        client.do("SET", "b", "1")
        self.assertEqual(client.do("BC.SNAPSHOT", "GET", "s", "a"), b"1")
        self.assertEqual(client.do("BC.SNAPSHOT", "GET", "s", "b"), None)
        self.assertIsInstance(client.do("BC.SNAPSHOT", "CREATE", "s"), ReplyError)
        self.assertEqual(client.do("BC.SNAPSHOT", "LIST")[0], b"s")
        self.assertEqual(client.do("BC.SNAPSHOT", "DROP", "s"), 1)
        self.assertEqual(client.do("BC.SNAPSHOT", "DROP", "s"), 0)
        self.assertIsInstance(client.do("BC.SNAPSHOT", "GET", "s", "a"), ReplyError)
        self.assertEqual(client.do("BC.SNAPSHOT", "CREATE", "left"), "OK")  # the server ends with it

    def test_save_is_a_sync(self):
        client = self.connect()
        before = client.do("LASTSAVE")
        client.do("SET", "a", "1")
        self.assertEqual(client.do("SAVE"), "OK")
        self.assertGreaterEqual(client.do("LASTSAVE"), before)

    def test_shutdown_ends_the_server_cleanly(self):
        client = self.connect()
        client.do("SET", "a", "1")
        client.send(encode("SHUTDOWN", "NOSAVE"))
        self.assertEqual(client.until_closed(), b"")
        self.assertEqual(self.server.process.wait(), 0)


if __name__ == "__main__":
    BITCASK = sys.argv.pop(1)
    unittest.main()
