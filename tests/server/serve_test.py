#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""serve_test BITCASK: `bitcask serve` as a process: its start and end, connections, limits, and
those who mean it ill on the RESP port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from serve_process import PATIENCE, Connection, ReplyError, Server, encode, free_port, wait_until

BITCASK = None


class StartAndEnd(unittest.TestCase):
    def test_the_ready_line_is_the_last_and_says_how_to_reach_it(self):
        with Server(BITCASK, tcp=True) as server:
            self.assertIn(f" PID: {server.process.pid}", server.said)
            self.assertEqual(server.said[-1], f"ready: redis-cli -p {server.port}")
            with server.connect(tcp=True) as client:
                self.assertEqual(client.do("PING"), "PONG")

    def test_term_ends_it_cleanly_and_nothing_is_lost(self):
        with Server(BITCASK) as server:
            with server.connect() as client:
                client.send(b"".join(encode("SET", f"k{i}", "v") for i in range(1000)))
                for _ in range(1000):
                    self.assertEqual(client.reply(), "OK")
                self.assertEqual(server.stop(), 0)
                self.assertEqual(client.until_closed(), b"")
            self.assertFalse(os.path.exists(os.path.join(server.directory, "bitcask.sock")))
            with Server(BITCASK, directory=server.directory) as again:
                with again.connect() as client:
                    self.assertEqual(client.do("DBSIZE"), 1000)

    def test_hup_opens_the_log_anew(self):
        with tempfile.TemporaryDirectory() as base:
            log = os.path.join(base, "log")
            with Server(BITCASK, "--logfile", log) as server:
                os.rename(log, log + ".old")
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda: os.path.exists(log), "the log was not opened anew")

    def test_a_store_in_use_is_refused(self):
        with Server(BITCASK) as server:
            other = subprocess.run([BITCASK, "serve", "-d", server.directory, "--port", "0",
                                    "--http-port", "0"], capture_output=True, text=True,
                                   timeout=PATIENCE)
            self.assertEqual(other.returncode, 3, other.stderr)
            self.assertIn(str(server.process.pid), other.stderr)
            with server.connect() as client:
                self.assertEqual(client.do("PING"), "PONG")

    def test_the_socket_of_a_killed_server_is_replaced_and_a_file_is_not(self):
        with Server(BITCASK) as server:
            server.stop(signal.SIGKILL)
            path = os.path.join(server.directory, "bitcask.sock")
            self.assertTrue(os.path.exists(path))
            with Server(BITCASK, directory=server.directory) as again, again.connect() as client:
                self.assertEqual(client.do("PING"), "PONG")
            with open(path, "w") as file:
                file.write("mine")
            refused = subprocess.run([BITCASK, "serve", "-d", server.directory, "--port", "0",
                                      "--http-port", "0"], capture_output=True, text=True,
                                     timeout=PATIENCE)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("no socket", refused.stderr)
            with open(path) as file:
                self.assertEqual(file.read(), "mine")

    def refused(self, *options):
        with tempfile.TemporaryDirectory() as base:
            done = subprocess.run([BITCASK, "serve", "-d", os.path.join(base, "s"), "--port",
                                   str(free_port()), "--http-port", "0", *options],
                                  capture_output=True, text=True, timeout=PATIENCE)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr

    def test_without_a_password_it_does_not_listen_to_others(self):
        self.assertIn("requirepass", self.refused("--bind", "*"))
        self.assertIn("requirepass", self.refused("--bind", "127.0.0.1 0.0.0.0"))
        with Server(BITCASK, "--bind", "*", "--protected-mode", "no", tcp=True) as server:
            with server.connect(tcp=True) as client:
                self.assertEqual(client.do("PING"), "PONG")

    def test_a_password_in_the_command_line_is_refused(self):
        said = self.refused("--requirepass", "hunter2")
        self.assertIn("--config", said)
        self.assertNotIn("hunter2", said)

    def test_settings_that_make_no_sense_are_refused(self):
        self.assertIn("port", self.refused("--port", "70000"))
        self.assertIn("no-such-thing", self.refused("--no-such-thing", "1"))

    def test_the_printed_configuration_is_one(self):
        with tempfile.TemporaryDirectory() as base:
            path = os.path.join(base, "bitcask.conf")
            with open(path, "w") as file:
                subprocess.run([BITCASK, "serve", "--print-config"], stdout=file, check=True)
            with Server(BITCASK, config=path) as server, server.connect() as client:
                self.assertEqual(client.do("PING"), "PONG")


class Connections(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(BITCASK, "--io-threads", "3", tcp=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None)

    def test_a_thousand_at_once(self):
        clients = [self.server.connect(tcp=i % 2 == 0) for i in range(1000)]
        for i, client in enumerate(clients):
            client.send(encode("SET", f"thousand{i}", i))
        for client in clients:
            self.assertEqual(client.reply(), "OK")
        for i, client in enumerate(clients):
            client.send(encode("GET", f"thousand{i}"))
        for i, client in enumerate(clients):
            self.assertEqual(client.reply(), str(i).encode())
        for client in clients:
            client.close()

    def test_one_byte_at_a_time(self):
        with self.server.connect(tcp=True) as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in encode("SET", "slow", "value") + b"GET slow\r\n":
                client.send(bytes([byte]))
            self.assertEqual(client.reply(), "OK")
            self.assertEqual(client.reply(), b"value")

    def test_a_large_value_goes_and_comes(self):
        value = os.urandom(20 << 20)
        with self.server.connect() as client:
            self.assertEqual(client.do("SET", "large", value), "OK")
            client.send(encode("GET", "large") * 3 + encode("STRLEN", "large"))
            for _ in range(3):
                self.assertEqual(client.reply(), value)
            self.assertEqual(client.reply(), len(value))
            self.assertEqual(client.do("DEL", "large"), 1)

    def test_a_long_pipeline_is_answered_in_order(self):
        with self.server.connect(tcp=True) as client:
            words = [encode("ECHO", str(i)) for i in range(50000)]
            sender = threading.Thread(target=client.send, args=(b"".join(words),))
            sender.start()
            for i in range(50000):
                self.assertEqual(client.reply(), str(i).encode())
            sender.join()

    def test_messages_cross_threads(self):
        subscribers = [self.server.connect() for _ in range(12)]
        for client in subscribers:
            self.assertEqual(client.do("SUBSCRIBE", "news"), [b"subscribe", b"news", 1])
        with self.server.connect() as speaker:
            self.assertEqual(speaker.do("PUBLISH", "news", "hello"), 12)
        for client in subscribers:
            self.assertEqual(client.reply(), [b"message", b"news", b"hello"])
            client.close()

    def test_a_connection_is_killed_from_another(self):
        victims = [self.server.connect() for _ in range(6)]
        with self.server.connect() as killer:
            for victim in victims:
                number = victim.do("CLIENT", "ID")
                self.assertEqual(killer.do("CLIENT", "KILL", "ID", number), 1)
                self.assertEqual(victim.until_closed(), b"")

    def test_monitors_see_the_commands_of_all_threads(self):
        with self.server.connect() as monitor:
            self.assertEqual(monitor.do("MONITOR"), "OK")
            others = [self.server.connect() for _ in range(6)]
            for i, client in enumerate(others):
                client.do("GET", f"seen{i}")
            seen = ""
            while not all(f'"seen{i}"' in seen for i in range(6)):
                seen += monitor.line().decode()
            for client in others:
                client.close()

    def test_quit_is_answered_and_then_it_is_over(self):
        with self.server.connect() as client:
            client.send(b"QUIT\r\nPING\r\n")
            self.assertEqual(client.until_closed(), b"+OK\r\n")

    def test_transactions_of_many_threads_are_one_at_a_time(self):
        def transfer():
            with self.server.connect() as client:
                for _ in range(200):
                    client.send(b"".join([encode("MULTI"), encode("INCR", "left"),
                                          encode("DECR", "right"), encode("EXEC")]))
                    for _ in range(3):
                        client.reply()
                    left, right = client.reply()
                    if left != -right:
                        wrong.append((left, right))

        wrong = []
        threads = [threading.Thread(target=transfer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        with self.server.connect() as client:
            self.assertEqual(client.do("GET", "left"), b"1600")


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(BITCASK, "--io-threads", "2", tcp=True).start()

    @classmethod
    def tearDownClass(cls):
        with cls.server.connect() as client:  # it has survived
            assert client.do("PING") == "PONG"
        cls.server.__exit__(None)

    def answer(self, data):
        with self.server.connect(tcp=True) as client:
            client.send(data)
            return client.until_closed()

    def test_bad_protocol_gets_an_error_and_a_closed_connection(self):
        count = b"-ERR Protocol error: invalid multibulk length\r\n"
        length = b"-ERR Protocol error: invalid bulk length\r\n"
        for data, expected in [
                (b"*2147483648\r\n", count),
                (b"*1048577\r\n", count),
                (b"*99999999999999999999999\r\n", count),
                (b"*007\r\n", count),
                (b"*+1\r\n", count),
                (b"*x\r\n", count),
                (b"*\r\n", count),
                (b"*1\r\n$-1\r\n", length),
                (b"*1\r\n$-2147483649\r\n", length),
                (b"*1\r\n$536870913\r\n", length),
                (b"*1\r\n$9223372036854775807\r\n", length),
                (b"*1\r\n$18446744073709551616\r\n", length),
                (b"*1\r\n$04\r\nPING\r\n", length),
                (b"*1\r\n$\r\n", length),
                (b"*1\r\n*1\r\n$4\r\nPING\r\n",
                 b"-ERR Protocol error: expected '$', got '*'\r\n"),
                (b"*1\r\n\r\n", b"-ERR Protocol error: expected '$', got ' '\r\n"),
                (b"*1\r\n$4\r\nPINGxx", b"-ERR Protocol error: expected CRLF behind a bulk "
                                        b"string\r\n"),
                (b'SET a "b\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
                (b"a" * 70000, b"-ERR Protocol error: too big inline request\r\n"),
                (b"*" + b"1" * 70000, b"-ERR Protocol error: too big mbulk count string\r\n"),
                (b"*1\r\n$" + b"1" * 70000,
                 b"-ERR Protocol error: too big bulk count string\r\n"),
        ]:
            with self.subTest(data=data[:40]):
                self.assertEqual(self.answer(data), expected)

    def test_deep_nesting_is_no_request(self):
        self.assertEqual(self.answer(b"*1\r\n" * 100000),
                         b"-ERR Protocol error: expected '$', got '*'\r\n")

    def test_unknown_commands_get_an_error_and_the_connection_stays(self):
        with self.server.connect() as client:
            self.assertIsInstance(client.do("NOSUCH", "a" * 300), ReplyError)
            self.assertIsInstance(client.do("", ""), ReplyError)
            self.assertIsInstance(client.do(b"\xff\x00\r\n"), ReplyError)
            self.assertIsInstance(client.do("GET"), ReplyError)
            self.assertEqual(client.do("PING"), "PONG")

    def test_http_is_hung_up_on(self):
        for request in [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nFLUSHALL\n",
                        b"Host: a\r\nFLUSHALL\r\n"]:
            self.assertEqual(self.answer(request), b"")

    def test_announced_memory_is_not_taken_before_it_comes(self):
        before = self.server.memory_bytes()
        clients = [self.server.connect(tcp=True) for _ in range(50)]
        for client in clients:
            client.send(b"*2\r\n$3\r\nGET\r\n$536870912\r\nabc")
        for client in clients[:10]:
            client.send(b"x" * 1000)
        with self.server.connect() as other:
            self.assertEqual(other.do("PING"), "PONG")
        self.assertLess(self.server.memory_bytes() - before, 64 << 20)
        for client in clients:
            client.close()

    def test_who_does_not_read_costs_no_memory(self):
        with self.server.connect() as client:
            client.do("SET", "page", "x" * 10000)
        before = self.server.memory_bytes()
        deaf = []
        for _ in range(10):
            client = self.server.connect(tcp=True)
            client.socket.setblocking(False)
            deaf.append(client)
        requests = encode("GET", "page") * 1000
        for _ in range(30):  # three gigabytes are asked for, and not read
            for client in deaf:
                try:
                    client.socket.send(requests)
                except BlockingIOError:
                    pass
        with self.server.connect() as other:
            for _ in range(100):
                self.assertEqual(other.do("PING"), "PONG")
        # A tenth: a sanitizer keeps what is freed for a while.
        self.assertLess(self.server.memory_bytes() - before, 300 << 20)
        for client in deaf:
            client.close()

    def test_a_subscriber_that_does_not_read_is_cut_off(self):
        with Server(BITCASK) as server, server.connect() as speaker:
            self.assertEqual(speaker.do("CONFIG", "SET", "client-output-buffer-limit",
                                        "pubsub 1mb 0 0"), "OK")
            deaf = server.connect()
            deaf.do("SUBSCRIBE", "c")
            message = "m" * 100000
            wait_until(lambda: speaker.do("PUBLISH", "c", message) == 0, "it is never cut off")
            deaf.until_closed()
            self.assertEqual(speaker.do("PING"), "PONG")

    def test_a_subscriber_that_reads_too_slowly_is_cut_off_after_a_while(self):
        with Server(BITCASK) as server, server.connect() as speaker:
            self.assertEqual(speaker.do("CONFIG", "SET", "client-output-buffer-limit",
                                        "pubsub 0 2mb 1"), "OK")
            deaf, slow = server.connect(), server.connect()
            deaf.do("SUBSCRIBE", "c")
            slow.do("SUBSCRIBE", "little")
            message = "m" * 100000
            for _ in range(100):
                speaker.do("PUBLISH", "c", message)
            wait_until(lambda: speaker.do("PUBLISH", "c", "?") == 0, "it is never cut off")
            deaf.until_closed()
            # Who is below the limit may wait for as long as it likes.
            self.assertEqual(speaker.do("PUBLISH", "little", "!"), 1)
            self.assertEqual(speaker.do("PING"), "PONG")
            slow.close()

    def test_before_authentication_little_is_allowed(self):
        with tempfile.TemporaryDirectory() as base:
            config = os.path.join(base, "c")
            with open(config, "w") as file:
                file.write("requirepass secret\n")
            with Server(BITCASK, tcp=True, config=config) as server:
                for data, expected in [
                        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
                        (b"*1\r\n$16385\r\n",
                         b"-ERR Protocol error: unauthenticated bulk length\r\n")]:
                    with server.connect(tcp=True) as client:
                        client.send(data)
                        self.assertEqual(client.until_closed(), expected)
                with server.connect(tcp=True) as client:
                    client.send(encode("GET", "a") + encode("AUTH", "secret") +
                                encode("SET", "a", "b" * 20000) + encode("STRLEN", "a"))
                    self.assertIn("NOAUTH", str(client.reply()))
                    self.assertEqual([client.reply() for _ in range(3)], ["OK", "OK", 20000])

    def test_connections_beyond_the_limit_are_told_so(self):
        with Server(BITCASK, "--maxclients", "5") as server:
            clients = [server.connect() for _ in range(5)]
            for client in clients:
                self.assertEqual(client.do("PING"), "PONG")
            with server.connect() as one_more:
                self.assertEqual(one_more.until_closed(),
                                 b"-ERR max number of clients reached\r\n")
            clients[0].close()

            def gets_in():
                with server.connect() as again:
                    again.send(encode("PING"))
                    try:
                        return again.line() == b"+PONG"
                    except (EOFError, ConnectionError):
                        return False

            wait_until(gets_in, "the place of a closed connection is not free again")

    def test_idle_connections_are_closed_where_that_is_asked_for(self):
        with Server(BITCASK, "--timeout", "1") as server, server.connect() as client:
            self.assertEqual(client.do("PING"), "PONG")
            self.assertEqual(client.until_closed(), b"")

    def test_a_request_longer_than_the_limit_is_cut_off(self):
        with Server(BITCASK, "--client-query-buffer-limit", "1mb") as server:
            with server.connect() as client:
                try:
                    client.send(b"*2\r\n$3\r\nGET\r\n$3000000\r\n" + b"x" * 2500000)
                except ConnectionError:
                    pass
                self.assertEqual(client.until_closed(), b"")


class Unreadable(unittest.TestCase):
    def test_a_page_that_cannot_be_read_is_an_error_of_the_call(self):
        with Server(BITCASK, "--segment-size", "64K", "--merge", "no", "--logfile",
                    "/dev/null") as server:
            keys = [f"key{i}" for i in range(2000)]
            with server.connect() as client:
                client.send(b"".join(encode("SET", key, key * 20) for key in keys))
                for _ in keys:
                    self.assertEqual(client.reply(), "OK")
            first = sorted(name for name in os.listdir(server.directory)
                           if name.endswith(".data"))[0]
            os.truncate(os.path.join(server.directory, first), 8192)
            lost = 0
            with server.connect() as client:
                for key in keys:
                    reply = client.do("GET", key)
                    lost += isinstance(reply, ReplyError)
                    if not isinstance(reply, ReplyError):
                        self.assertEqual(reply, (key * 20).encode())
                client.send(b"".join(encode("GET", key) for key in keys))
                again = sum(isinstance(client.reply(), ReplyError) for _ in keys)
                self.assertEqual(client.do("SET", "new", "value"), "OK")
                self.assertEqual(client.do("GET", "new"), b"value")
            self.assertGreater(lost, 0)
            self.assertLess(lost, len(keys) // 2)
            self.assertEqual(again, lost)
            server.process.kill()
            server.process.communicate()


class Killed(unittest.TestCase):
    """kill -9 under load from many connections: what was acknowledged is there."""

    def run_load(self, mode, rounds):
        with tempfile.TemporaryDirectory(prefix="bc", dir="/tmp") as base:
            directory = os.path.join(base, "s")
            acknowledged = {}
            for round_number in range(rounds):
                server = Server(BITCASK, "--appendfsync", mode, "--io-threads", "2",
                                directory=directory).start()
                self.check(server, acknowledged)
                threads = [threading.Thread(target=self.write, args=(server, acknowledged, i))
                           for i in range(16)]
                for thread in threads:
                    thread.start()
                wanted = len(acknowledged) + 16 + 400
                wait_until(lambda: len(acknowledged) >= wanted, "nothing is written")
                server.process.kill()
                for thread in threads:
                    thread.join()
                server.process.communicate()
            with Server(BITCASK, directory=directory) as server:
                self.check(server, acknowledged)

    def write(self, server, acknowledged, number):
        """Pipelines of eight writes; a key is never written twice."""
        try:
            with server.connect() as client:
                for i in range(10 ** 9):
                    keys = [f"{os.getpid()}-{id(client)}-{number}-{i}-{j}" for j in range(8)]
                    client.send(b"".join(encode("SET", key, key * 3) for key in keys))
                    for key in keys:
                        if client.reply() != "OK":
                            return
                        acknowledged[key] = key * 3
        except (EOFError, ConnectionError):
            pass

    def check(self, server, acknowledged):
        with server.connect() as client:
            keys = list(acknowledged)
            for start in range(0, len(keys), 500):
                some = keys[start:start + 500]
                values = client.do("MGET", *some)
                for key, value in zip(some, values):
                    self.assertEqual(value, acknowledged[key].encode(), key)

    def test_in_always_mode(self):
        self.run_load("always", 3)

    def test_in_interval_mode(self):
        self.run_load("everysec", 3)


if __name__ == "__main__":
    BITCASK = os.path.abspath(sys.argv.pop(1))
    unittest.main()
