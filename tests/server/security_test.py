# SPDX-License-Identifier: MIT
"""security_test.py BITCASK: who may do what, and what is told to nobody."""

import os
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import TIMEOUT_S, Connection, Server, free_port  # pylint: disable=wrong-import-position

BITCASK = os.path.abspath(sys.argv[1])
SECRETS = ("topsecret", "othersecret", "thirdsecret", "wrongsecret")


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="bitcask-security-")
        self.addCleanup(self.scratch.cleanup)
        self.dir = self.scratch.name

    def serve(self, *options, **more):
        server = Server(BITCASK, self.dir, *options, **more)
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(server.process.stderr.close)
        self.addCleanup(server.stop)
        return server

    def running(self, *options, **more):
        server = self.serve(*options, **more)
        self.assertTrue(server.started(), server.said)
        return server


class Exposure(Case):
    def test_another_address_without_a_password_is_refused(self):
        for bind in ("0.0.0.0", "*", "127.0.0.1 0.0.0.0", "::"):
            server = self.serve("--bind", bind)
            self.assertFalse(server.started(), bind)
            self.assertNotEqual(server.code, 0)
            self.assertIn("password", server.error)

    def test_with_a_password_or_told_so_it_is_served(self):
        self.running("--bind", "0.0.0.0", config="requirepass topsecret\n").stop()
        self.running("--bind", "0.0.0.0", "--protected-mode", "no").stop()

    def test_sockets_and_files_are_the_owners(self):
        path = os.path.join(self.dir, "more.sock")
        server = self.running("--unixsocket", path)
        for name in (path, server.socket):
            self.assertEqual(stat.S_IMODE(os.stat(name).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(server.log_path).st_mode), 0o600)

    def test_a_password_on_the_command_line_is_refused(self):
        server = self.serve("--requirepass", "topsecret")
        self.assertFalse(server.started())
        self.assertNotIn("topsecret", server.error)


class Passwords(Case):
    CONFIG = "requirepass topsecret\n"

    def test_nothing_without_a_password(self):
        with self.running(config=self.CONFIG).connect() as redis:
            for line in (("GET", "a"), ("SET", "a", "b"), ("CONFIG", "GET", "*"), ("INFO",),
                         ("SUBSCRIBE", "a"), ("MULTI",), ("MONITOR",), ("BC.STATS",), ("ACL", "LIST")):
                self.assertEqual(redis.error(*line), "NOAUTH Authentication required.", line)
            self.assertEqual(
                redis.error("AUTH", "wrongsecret"),
                "WRONGPASS invalid username-password pair or user is disabled.")
            self.assertEqual(redis("AUTH", "topsecret"), "OK")
            self.assertEqual(redis("SET", "a", "b"), "OK")

    def test_small_limits_before_the_password(self):
        server = self.running(config=self.CONFIG)
        with server.connect() as redis:
            redis.socket.sendall(b"*11\r\n")
            self.assertIn("unauthenticated multibulk length", str(redis.reply()))
            with self.assertRaises(EOFError):
                redis.reply()
        with server.connect() as redis:
            redis.socket.sendall(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n")
            self.assertIn("unauthenticated bulk length", str(redis.reply()))
            with self.assertRaises(EOFError):
                redis.reply()

    def test_guessing_is_slowed_down(self):
        server = self.running("--auth-failures-per-minute", "5", config=self.CONFIG)
        # A minute may end in between: then it takes another round. The right password is refused
        # only while the limit holds.
        tries = 0
        for _ in range(3):
            with server.connect() as redis:
                for _ in range(6):
                    redis.error("AUTH", "wrongsecret")
                    tries += 1
                redis.send("AUTH", "topsecret")
                if redis.reply() != "OK":
                    break
        else:
            self.fail("the right password was taken after six wrong ones, three times")
        with server.connect() as redis:
            for _ in range(50):
                redis.error("AUTH", "wrongsecret")
                tries += 1
        self.assertLess(server.log().count("auth-failed"), tries, "these fill the log")
        self.assertIn("auth-locked-out", server.log())
        with server.connect(server.socket) as owner:
            self.assertEqual(owner("PING"), "PONG")

    def test_changing_the_password(self):
        server = self.running(config=self.CONFIG)
        with server.connect() as redis:
            redis("AUTH", "topsecret")
            self.assertEqual(redis("CONFIG", "SET", "requirepass", "othersecret"), "OK")
            self.assertEqual(redis("PING"), "PONG")
        with server.connect() as redis:
            self.assertIn("WRONGPASS", redis.error("AUTH", "topsecret"))
            self.assertEqual(redis("AUTH", "othersecret"), "OK")
            redis("CONFIG", "SET", "requirepass", "")
        with server.connect() as redis:
            self.assertEqual(redis("PING"), "PONG")


class Secrets(Case):
    def test_no_secret_is_told(self):
        server = self.running("--loglevel", "debug", "--slowlog-log-slower-than", "0",
                              config="requirepass topsecret\n")
        with server.connect() as watcher, server.connect() as redis:
            watcher("AUTH", "topsecret")
            watcher("MONITOR")
            redis.error("AUTH", "wrongsecret")
            redis.error("AUTH", "nobody", "wrongsecret")
            redis("AUTH", "default", "topsecret")
            redis("HELLO", "2", "AUTH", "default", "topsecret")
            redis("ACL", "SETUSER", "ann", "on", ">thirdsecret", "~*", "+@all")
            redis("CONFIG", "SET", "requirepass", "othersecret")
            redis.error("CONFIG", "SET", "requirepass", "thirdsecret", "port", "1")
            redis.error("ACL", "SETUSER", "ann", ">thirdsecret", "nonsense")
            redis("MULTI")
            redis("AUTH", "ann", "thirdsecret")
            redis("EXEC")
            redis("SET", "end", "of it")
            seen = ""
            while "of it" not in seen:
                seen += watcher.line().decode() + "\n"
            told = [seen, str(redis("SLOWLOG", "GET", "100")), str(redis("ACL", "LOG")),
                    str(redis("CLIENT", "LIST")), str(redis("INFO", "everything")), server.log(),
                    server.said]
        with open(f"/proc/{server.process.pid}/cmdline", encoding="utf-8") as line:
            told.append(line.read())
        self.assertEqual(server.stop(), 0)
        told.append(server.error)
        for i, text in enumerate(told):
            for secret in SECRETS:
                self.assertNotIn(secret, text, f"part {i}")


class Users(Case):
    def test_what_a_user_may_do(self):
        server = self.running()
        with server.connect() as admin, server.connect() as ann:
            admin("ACL", "SETUSER", "ann", "on", ">x", "~a:*", "%R~shared:*", "+@read", "+set",
                  "+incr", "&news", "+publish", "+config|get", "+multi", "+exec")
            admin("SET", "shared:1", "1")
            ann("AUTH", "ann", "x")
            self.assertEqual(ann("SET", "a:1", "1"), "OK")
            self.assertEqual(ann("GET", "shared:1"), b"1")
            for line in (("SET", "shared:1", "2"), ("GET", "other"), ("MGET", "a:1", "other")):
                self.assertEqual(ann.error(*line),
                                 "NOPERM this user has no permissions to access one of the keys "
                                 "used as arguments", line)
            self.assertRegex(ann.error("DEL", "a:1"), "NOPERM .*'del'")
            self.assertRegex(ann.error("CONFIG", "SET", "timeout", "1"), "NOPERM .*'config|set'")
            self.assertRegex(ann.error("FLUSHALL"), "NOPERM")
            self.assertRegex(ann.error("BC.PUT", "a:1", "x"), "NOPERM")
            self.assertEqual(ann("PUBLISH", "news", "x"), 0)
            self.assertRegex(ann.error("PUBLISH", "other", "x"), "NOPERM .*channels")
            self.assertEqual(ann("CONFIG", "GET", "databases"), [b"databases", b"1"])
            reasons = [dict(zip(entry[::2], entry[1::2]))[b"reason"]
                       for entry in admin("ACL", "LOG")]
            self.assertIn(b"key", reasons)
            self.assertIn(b"command", reasons)
            self.assertIn(b"channel", reasons)

    def test_keys_of_several_changes_at_once_are_judged_too(self):
        server = self.running()
        with server.connect() as admin, server.connect() as ann:
            admin("ACL", "SETUSER", "ann", "on", ">x", "~a:*", "+@write")
            ann("AUTH", "ann", "x")
            self.assertEqual(ann("BC.WRITE", "PUT", "a:1", "v", "0", "DEL", "a:2"), "OK")
            self.assertRegex(ann.error("BC.WRITE", "PUT", "a:3", "v", "0", "PUT", "b", "v", "0"),
                             "NOPERM")
            self.assertRegex(ann.error("BC.WRITE", "PUT", "a:3", "v", "0", "DEL", "b"), "NOPERM")
            for line in (("PUT",), ("PUT", "a:3", "v"), ("PUT", "a:3", "v", "-1"), ("DEL",),
                         ("SET", "a:3", "v", "0"), ("PUT", "a:3", "v", "0", "x")):
                self.assertEqual(ann.error("BC.WRITE", *line).split()[0], "ERR", line)
            self.assertEqual(admin("KEYS", "*"), [b"a:1"])

    def test_rules_change_for_those_who_are_connected(self):
        server = self.running()
        with server.connect() as admin, server.connect() as ann:
            admin("ACL", "SETUSER", "ann", "on", ">x", "~*", "+@all")
            ann("AUTH", "ann", "x")
            ann("SET", "a", "1")
            admin("ACL", "SETUSER", "ann", "-set")
            self.assertRegex(ann.error("SET", "a", "2"), "NOPERM")
            ann("MULTI")
            self.assertEqual(ann("GET", "a"), "QUEUED")
            admin("ACL", "SETUSER", "ann", "-get")
            ann.send("EXEC")
            self.assertIn("NOPERM", str(ann.reply()))
            self.assertEqual(admin("ACL", "DELUSER", "ann"), 1)
            ann.send("PING")
            with self.assertRaises((EOFError, ConnectionError)):
                self.assertIn("NOAUTH", str(ann.reply()))
                ann.reply()

    def test_users_are_saved_and_loaded(self):
        path = os.path.join(self.dir, "users.acl")
        with open(path, "w", encoding="utf-8") as file:
            file.write("user ann on >thirdsecret ~* +@all\nuser default off\n")
        server = self.running("--aclfile", path)
        with server.connect() as redis:
            self.assertIn("NOAUTH", redis.error("PING"))
            redis("AUTH", "ann", "thirdsecret")
            redis("ACL", "SETUSER", "bob", "on", ">othersecret", "~b", "+get")
            self.assertEqual(redis("ACL", "SAVE"), "OK")
            redis("ACL", "SETUSER", "bob", "reset")
            self.assertEqual(redis("ACL", "LOAD"), "OK")
            self.assertIn(b"~b", dict(zip(*[iter(redis("ACL", "GETUSER", "bob"))] * 2))[b"keys"])
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("user bob on #", text)
        for secret in SECRETS:
            self.assertNotIn(secret, text)
        server.stop()
        again = self.running("--aclfile", path)
        with again.connect() as redis:
            self.assertEqual(redis("AUTH", "bob", "othersecret"), "OK")


class Settings(Case):
    def test_rewrite_keeps_what_was_written(self):
        server = self.running(config="# mine\nmaxclients 100\n\n# the end\n")
        with server.connect() as redis:
            redis("CONFIG", "SET", "maxclients", "50", "slowlog-max-len", "7")
            self.assertEqual(redis("CONFIG", "REWRITE"), "OK")
            self.assertIn("CONFIG SET failed", redis.error("CONFIG", "SET", "timeout", "1",
                                                           "maxclients", "x"))
            self.assertEqual(redis("CONFIG", "GET", "timeout"), [b"timeout", b"0"])
        with open(server.config, encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.startswith("# mine\nmaxclients 50\n\n# the end\n"), text)
        self.assertIn("slowlog-max-len 7\n", text)
        server.stop()
        again = Server(BITCASK, self.dir, config=text)
        self.addCleanup(again.process.stdout.close)
        self.addCleanup(again.process.stderr.close)
        self.addCleanup(again.stop)
        with again.connect() as redis:
            self.assertEqual(redis("CONFIG", "GET", "maxclients"), [b"maxclients", b"50"])

    def test_the_file_that_explains_is_the_one_that_is_printed(self):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "..", "..", "server", "bitcask.conf"), encoding="utf-8") as file:
            kept = file.read()
        run = subprocess.run([BITCASK, "serve", "--print-config"], capture_output=True, text=True,
                             timeout=TIMEOUT_S, check=True)
        self.assertEqual(run.stdout, kept,
                         "bitcask serve --print-config > server/bitcask.conf")
        server = self.running(config=kept)
        with server.connect() as redis:
            self.assertEqual(redis("CONFIG", "GET", "maxclients"), [b"maxclients", b"10000"])

    def test_hup_opens_the_log_anew(self):
        server = self.running()
        os.rename(server.log_path, server.log_path + ".1")
        server.process.send_signal(signal.SIGHUP)
        with server.connect() as redis:
            while not os.path.exists(server.log_path):
                redis("PING")
            redis("CONFIG", "SET", "timeout", "100")
        server.stop()
        self.assertIn("timeout", server.log())


class Tls(Case):
    def setUp(self):
        super().setUp()
        self.certificate = os.path.join(self.dir, "cert.pem")
        self.key = os.path.join(self.dir, "key.pem")
        made = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out",
             self.certificate], capture_output=True, timeout=TIMEOUT_S, check=False)
        if made.returncode != 0:
            self.skipTest("no openssl to make a certificate with")
        self.tls_port = free_port()

    def start(self, *more):
        return self.running("--tls-port", str(self.tls_port), "--tls-cert-file", self.certificate,
                            "--tls-key-file", self.key, *more)

    def connect(self, own=False):
        context = ssl.create_default_context(cafile=self.certificate)
        if own:
            context.load_cert_chain(self.certificate, self.key)
        return Connection(("127.0.0.1", self.tls_port),
                          lambda plain: context.wrap_socket(plain, server_hostname="localhost"))

    def test_large_and_many_requests(self):
        self.start("--tls-auth-clients", "no")
        value = os.urandom(3 << 20)
        with self.connect() as redis:
            self.assertEqual(redis("SET", "large", value), "OK")
            self.assertEqual(redis("GET", "large"), value)
            for i in range(2000):
                redis.send("SET", f"k:{i}", i)
            for _ in range(2000):
                self.assertEqual(redis.reply(), "OK")
            redis.send("MGET", *[f"k:{i}" for i in range(2000)])
            self.assertEqual(redis.reply()[1999], b"1999")

    def test_a_certificate_is_asked_for(self):
        self.start("--tls-auth-clients", "yes", "--tls-ca-cert-file", self.certificate)
        with self.connect(own=True) as redis:
            self.assertEqual(redis("PING"), "PONG")
        with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
            with self.connect() as redis:
                redis("PING")

    def test_plain_text_on_the_port_of_tls(self):
        server = self.start("--tls-auth-clients", "no")
        with Connection(("127.0.0.1", self.tls_port)) as plain:
            plain.send("PING")
            with self.assertRaises((EOFError, ConnectionError)):
                while True:
                    plain.line()
        with server.connect() as redis:
            self.assertEqual(redis("PING"), "PONG")

    def test_a_missing_key_is_named(self):
        server = self.serve("--tls-port", str(self.tls_port), "--tls-cert-file", self.certificate,
                            "--tls-key-file", "/nowhere.pem", "--tls-auth-clients", "no")
        self.assertFalse(server.started())
        self.assertIn("/nowhere.pem", server.error)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
