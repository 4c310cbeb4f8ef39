#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# http_test.py: the HTTP side of `bitcask serve`: REST, events, metrics, and who may do what.
#
#     tests/server/http_test.py build/bitcask [CLASS[.case]...]
#
# Nothing here waits for a time to pass but where a server is to cut somebody off; timeouts only end
# a test that has failed.
import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

BITCASK = ""  # set from the command line
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIMEOUT_S = int(os.environ.get("PATIENCE", "120"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Server:
    """A server of its own, on a store in a temporary directory."""

    def __init__(self, settings=None, segment_size="1M"):
        settings = settings or {}
        self.home = tempfile.TemporaryDirectory()
        self.directory = os.path.join(self.home.name, "store")
        os.mkdir(os.path.join(self.home.name, "backups"))
        for _ in range(10):  # somebody else may take the port between the look and its use
            self.port = free_port()
            self.start({"segment-size": segment_size, **settings})
            if self.is_up():
                return
        raise AssertionError("the server did not start: " + self.log())

    def start(self, settings):
        config = os.path.join(self.home.name, "bitcask.conf")  # passwords are not for command lines
        with open(config, "w") as file:
            for name, value in {"backup-dir": os.path.join(self.home.name, "backups"), **settings}.items():
                file.write(f'{name} "{value}"\n')
        self.output = open(os.path.join(self.home.name, "log"), "w+")
        self.process = subprocess.Popen(
            [BITCASK, "-d", self.directory, "serve", "--port", "0", "--http-port", str(self.port),
             "--config", config], stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT)

    def log(self):
        with open(os.path.join(self.home.name, "log")) as file:
            return file.read()

    def is_up(self):
        while self.process.poll() is None:
            try:
                return self.ask("GET", "/healthz").status == 200
            except OSError:
                continue
        return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(TIMEOUT_S)
        log = self.log()
        self.output.close()
        self.home.cleanup()
        assert code == 0, (code, log)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def ask(self, method, path, body=None, headers=None, user=None):
        headers = dict(headers or {})
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def put(self, key, value, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("PUT", "/v1/keys/" + quote(key), value, names)

    def value(self, key):
        return self.get("/v1/keys/" + quote(key)).body

    def raw(self, data, pieces=1):
        """What comes back for these bytes, up to the end of the connection or of the first reply."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as client:
            step = max(1, len(data) // pieces)
            try:
                for i in range(0, len(data), step):
                    client.sendall(data[i:i + step])
            except (BrokenPipeError, ConnectionResetError):
                pass
            got = b""
            try:
                while b"\r\n\r\n" not in got:
                    piece = client.recv(65536)
                    if not piece:
                        break
                    got += piece
            except ConnectionResetError:
                pass
            return got


def quote(key):
    return urllib.parse.quote_from_bytes(key if isinstance(key, bytes) else key.encode(), safe="")


class WithServer(unittest.TestCase):
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.settings)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()


# ---- Keys ------------------------------------------------------------------------------------------

class Keys(WithServer):
    def test_any_bytes_are_a_key(self):
        for key in (b"plain", b"a/b/c", b"../../etc/passwd", b"%", b"a%00b", b"\0", b"\xff\xfe\0x",
                    b"?q=1#f", b" ", b"+", "\u00fc\u20ac\U0001f600".encode(), b"k" * 65535):
            with self.subTest(key=key[:20]):
                value = b"value of " + key[:100]
                reply = self.server.put(key, value)
                self.assertEqual(reply.status, 204, reply.body)
                got = self.server.get("/v1/keys/" + quote(key))
                self.assertEqual((got.status, got.body), (200, value))
                self.assertEqual(got.headers["ETag"], reply.headers["ETag"])
                self.assertEqual(got.headers["Content-Type"], "application/octet-stream")

    def test_slashes_in_a_path_are_part_of_the_key(self):
        self.server.put("x/../y", b"1")
        self.assertEqual(self.server.get("/v1/keys/x/../y").body, b"1")
        self.assertEqual(self.server.get("/v1/keys/y").status, 404)

    def test_what_is_no_key_is_refused(self):
        self.assertEqual(self.server.get("/v1/keys/").status, 404)
        self.assertEqual(self.server.get("/v1/keys/" + "k" * 65536).status, 400)
        for path in ("/v1/keys/%", "/v1/keys/%4", "/v1/keys/%zz", "/v1/keys/a%g0"):
            self.assertEqual(self.server.get(path).status, 400, path)

    def test_values_of_any_size_come_back(self):
        for size in (0, 1, 4095, 65537, 3 << 20):
            value = os.urandom(size)
            self.assertEqual(self.server.put("sized", value).status, 204)
            self.assertEqual(self.server.value("sized"), value)
        head = self.server.ask("HEAD", "/v1/keys/sized")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]),
                         (200, b"", str(3 << 20)))

    def test_versions_make_writes_conditional(self):
        server = self.server
        first = server.put("c", b"1").headers["ETag"]
        second = server.put("c", b"2", If_Match=first)
        self.assertEqual(second.status, 204)
        self.assertEqual(server.put("c", b"3", If_Match=first).status, 412)
        self.assertEqual(server.put("c", b"3", If_None_Match="*").status, 412)
        self.assertEqual(server.put("c-absent", b"3", If_Match="*").status, 412)
        self.assertEqual(server.put("c-absent", b"3", If_Match=first).status, 412)
        self.assertEqual(server.put("c-new", b"3", If_None_Match="*").status, 204)
        self.assertEqual(server.put("c", b"3", If_Match="*").status, 204)
        self.assertEqual(server.put("c", b"3", If_Match="nonsense").status, 400)
        self.assertEqual(server.put("c", b"3", If_Match='"1", "2"').status, 400)
        tag = server.get("/v1/keys/c").headers["ETag"]
        self.assertEqual(server.get("/v1/keys/c", headers={"If-None-Match": tag}).status, 304)
        self.assertEqual(server.get("/v1/keys/c", headers={"If-None-Match": first}).status, 200)
        self.assertEqual(server.ask("DELETE", "/v1/keys/c", None, {"If-Match": first}).status, 412)
        self.assertEqual(server.value("c"), b"3")
        self.assertEqual(server.ask("DELETE", "/v1/keys/c", None, {"If-Match": tag}).status, 204)
        self.assertEqual(server.ask("DELETE", "/v1/keys/c").status, 404)

    def test_expiries_are_kept_changed_and_taken_away(self):
        server = self.server
        self.assertEqual(server.put("t", b"1", Bitcask_TTL="1h").status, 204)
        left = float(server.get("/v1/keys/t").headers["Bitcask-TTL"])
        self.assertTrue(3000 < left <= 3600, left)
        server.put("t", b"2", Bitcask_TTL="keep")
        self.assertIn("Bitcask-TTL", server.get("/v1/keys/t").headers)
        server.put("t", b"3")
        self.assertNotIn("Bitcask-TTL", server.get("/v1/keys/t").headers)
        self.assertEqual(server.ask("PATCH", "/v1/keys/t?ttl=10m").status, 204)
        self.assertTrue(float(server.get("/v1/keys/t").headers["Bitcask-TTL"]) <= 600)
        self.assertEqual(server.ask("PATCH", "/v1/keys/t", None, {"Bitcask-TTL": "none"}).status, 204)
        self.assertNotIn("Bitcask-TTL", server.get("/v1/keys/t").headers)
        self.assertEqual(server.value("t"), b"3")
        self.assertEqual(server.ask("PATCH", "/v1/keys/t").status, 400)
        self.assertEqual(server.ask("PATCH", "/v1/keys/no", None, {"Bitcask-TTL": "5"}).status, 404)
        for bad in ("0", "-1", "x", "1y", "inf", "1e9", "", "99999999999999999999"):
            self.assertEqual(server.put("t", b"4", Bitcask_TTL=bad).status, 400, bad)
        self.assertEqual(server.value("t"), b"3")


class Lists(WithServer):
    def all_keys(self, parameters=""):
        keys, cursor, pages = [], "0", 0
        while cursor is not None:
            page = self.server.get(f"/v1/keys?cursor={cursor}{parameters}").json()
            keys += [entry["key"] for entry in page["keys"] if "key" in entry]
            cursor = page["cursor"]
            pages += 1
        return keys, pages

    def test_pages_give_every_key_once(self):
        ops = [{"op": "put", "key": f"list:{i}", "value": "v" * (i % 7)} for i in range(6000)]
        reply = self.server.ask("POST", "/v1/batch", json.dumps({"ops": ops}))
        self.assertEqual((reply.status, reply.json()["count"]), (200, 6000))
        keys, pages = self.all_keys("&limit=10")
        self.assertEqual(sorted(keys), sorted(f"list:{i}" for i in range(6000)))
        self.assertGreater(pages, 1)
        keys, _ = self.all_keys("&prefix=list:59")
        self.assertEqual(sorted(keys), sorted(f"list:{i}" for i in range(6000)
                                              if str(i).startswith("59")))
        keys, _ = self.all_keys("&match=*:12?")
        self.assertEqual(sorted(keys), sorted(f"list:12{i}" for i in range(10)))
        self.assertEqual(self.all_keys("&prefix=none")[0], [])

    def test_a_list_tells_of_each_key(self):
        self.server.put(b"\xff\0", b"\xfe", Bitcask_TTL="1h")
        page = self.server.get("/v1/keys?prefix=%FF%00&values=1&limit=1000").json()
        while not page["keys"]:
            page = self.server.get("/v1/keys?prefix=%FF%00&values=1&cursor=" + page["cursor"]).json()
        entry = page["keys"][0]
        self.assertEqual((entry["key_b64"], entry["size"], entry["value_b64"]), ("/wA=", 1, "/g=="))
        self.assertGreater(entry["expires_us"], 0)

    def test_bad_arguments_do_no_harm(self):
        for query in ("cursor=x", "cursor=-1", "cursor=99999999999999999999999", "limit=0",
                      "limit=-5", "limit=1e9", "prefix=%", "prefix=%zz", "match=" + "*a" * 5000):
            self.assertEqual(self.server.get("/v1/keys?" + query).status, 200, query[:40])


# ---- Batches ---------------------------------------------------------------------------------------

class Batches(WithServer):
    def batch(self, value):
        body = value if isinstance(value, (str, bytes)) else json.dumps(value)
        return self.server.ask("POST", "/v1/batch", body)

    def test_writes_are_all_or_none(self):
        self.server.put("gone", b"1")
        reply = self.batch({"ops": [{"op": "put", "key": "a", "value": "1"},
                                    {"op": "put", "key_b64": "/w==", "value_b64": "AAH/"},
                                    {"op": "put", "key": "ttl", "value": "", "ttl_ms": 60000},
                                    {"op": "delete", "key": "gone"}]})
        self.assertEqual((reply.status, reply.json()["count"]), (200, 4))
        self.assertEqual(self.server.value(b"\xff"), b"\0\x01\xff")
        self.assertEqual(self.server.get("/v1/keys/gone").status, 404)
        self.assertIn("Bitcask-TTL", self.server.get("/v1/keys/ttl").headers)
        for wrong in ({"op": "put", "key": "b"}, {"op": "put", "value": "x"}, {"op": "x", "key": "b"},
                      {"op": "put", "key": "", "value": "x"}, {"op": "delete", "key_b64": "***"},
                      {"op": "put", "key": "b", "key_b64": "Yg==", "value": "x"}, {}, [], "put", None,
                      {"op": "put", "key": "b", "value": 5}, {"op": "put", "key": "k" * 65536, "value": ""},
                      {"op": "put", "key": "b", "value": "x", "ttl_ms": -1},
                      {"op": "put", "key": "b", "value": "x", "ttl_ms": 0}):
            reply = self.batch({"ops": [{"op": "put", "key": "never", "value": "1"}, wrong]})
            self.assertEqual(reply.status, 400, wrong)
        self.assertEqual(self.server.get("/v1/keys/never").status, 404)

    def test_reads_are_of_one_moment(self):
        self.server.put("r1", b"1")
        self.server.put("r2", b"\xff")
        results = self.batch({"get": ["r1", {"key": "r2"}, "r3"]}).json()["results"]
        self.assertEqual([r["found"] for r in results], [True, True, False])
        self.assertEqual((results[0]["value"], results[1]["value_b64"]), ("1", "/w=="))
        self.assertEqual(self.batch({"get": ["k"] * 10001}).status, 400)

    def test_broken_json_is_refused(self):
        for text in ("", "{", "[]", "null", "{}", '{"ops":1}', '{"ops":[}', '{"ops":[]} x', '{"get":{}}',
                     '{"ops":[{"op":"put","key":"\\ud800","value":"x"}]}', "[" * 100000, b"\xff",
                     '{"a":' * 70 + "1" + "}" * 70, '{"ops":[01]}', "{'ops':[]}", '{"ops":[],}',
                     '{"ops":["\x01"]}', '{"ops":[tru]}', '{"ops":[1e]}', '{"ops":[-]}', '{"ops":["\\x"]}'):
            self.assertEqual(self.batch(text).status, 400, text[:40])
        self.assertEqual(self.batch('{"ops":[]}').status, 200)


# ---- The interfaces of others ------------------------------------------------------------------------

class Compatibility(WithServer):
    def test_pybitcask(self):
        ask = self.server.ask
        for value in ("text", 17, 1.5, True, None, [1, {"x": [2]}], {"a": "\u00e4"}):
            self.assertEqual(ask("POST", "/put", json.dumps({"key": "k/1", "value": value})).json(),
                             {"status": "success", "key": "k/1"})
            self.assertEqual(self.server.get("/get/k%2F1").json(),
                             {"key": "k/1", "value": value, "found": True})
        self.assertEqual(ask("POST", "/batch", json.dumps({"data": {"a": 1, "b": [2]}})).json(),
                         {"status": "success", "count": 2})
        self.assertEqual(self.server.get("/get/none").json(),
                         {"key": "none", "value": None, "found": False})
        keys = self.server.get("/keys").json()
        self.assertEqual((sorted(keys["keys"]), keys["count"]), (["a", "b", "k/1"], 3))
        self.assertEqual(ask("DELETE", "/delete/a").json(), {"key": "a", "deleted": True})
        self.assertEqual(ask("DELETE", "/delete/a").json(), {"key": "a", "deleted": False})
        root = self.server.get("/").json()
        self.assertEqual((root["status"], root["mode"], root["keys_count"]), ("running", "normal", 2))
        self.assertEqual(self.server.get("/health").json()["status"], "healthy")
        self.assertEqual(ask("POST", "/put", "{}").status, 422)
        self.assertIn("detail", ask("POST", "/put", '{"key":1,"value":1}').json())
        self.assertEqual(ask("POST", "/clear").json()["status"], "success")
        self.assertEqual(self.server.get("/keys").json(), {"keys": [], "count": 0})

    def test_bitcaskpy(self):
        ask = self.server.ask
        reply = ask("PUT", "/kv/name", '{"value": "Ada"}', {"x-request-id": "r-17"})
        self.assertEqual(reply.json(), {"status": "success",
                                        "message": "Key 'name' stored successfully"})
        self.assertEqual(reply.headers["request-id"], "r-17")
        self.assertEqual(self.server.get("/kv/name").json(),
                         {"key": "name", "value": "Ada", "found": True})
        self.assertEqual(self.server.value("name"), b"Ada")
        self.assertEqual(ask("DELETE", "/kv/name").json(),
                         {"status": "success", "message": "Key 'name' deleted successfully"})
        self.assertEqual(self.server.get("/kv/name").json(),
                         {"key": "name", "value": None, "found": False})
        self.assertEqual(ask("PUT", "/kv/name", '{"value": 1}').status, 422)
        made_up = self.server.get("/kv/name", headers={"x-request-id": "a b"}).headers["request-id"]
        self.assertRegex(made_up, "^[0-9a-f]{32}$")

    def test_all_keys_of_more_than_a_chunk(self):
        data = {f"key-{i:06d}": i for i in range(8000)}
        self.server.ask("POST", "/batch", json.dumps({"data": data}))
        keys = self.server.get("/keys").json()
        self.assertEqual(sorted(key for key in keys["keys"] if key.startswith("key-")), sorted(data))
        self.assertEqual(keys["count"], len(keys["keys"]))
        self.assertEqual(self.server.ask("POST", "/clear").status, 200)
        self.assertEqual(self.server.get("/keys").json()["count"], 0)


# ---- Events ------------------------------------------------------------------------------------------

class Stream:
    def __init__(self, server, path, headers=None, user=None):
        headers = dict(headers or {})
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        self.connection = server.connect()
        self.connection.request("GET", path, None, headers)
        self.response = self.connection.getresponse()

    def event(self):
        """The next event that is no comment: (id, name, data)."""
        fields = {}
        while True:
            line = self.response.readline()
            if not line:
                return None
            line = line.rstrip(b"\n").decode()
            if line == "" and "data" in fields:
                return fields.get("id"), fields["event"], json.loads(fields["data"])
            if ": " in line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                fields[name] = value

    def close(self):
        self.connection.close()


class Events(WithServer):
    def test_changes_arrive_and_can_be_resumed(self):
        stream = Stream(self.server, "/v1/events?prefix=e:")
        self.assertEqual(stream.response.headers["Content-Type"], "text/event-stream")
        self.server.put("other", b"x")
        self.server.put("e:1", b"one")
        position, name, data = stream.event()
        self.assertEqual((name, data["key"], data["value"], data["size"]), ("put", "e:1", "one", 3))
        self.server.put(b"e:\xff", b"\xff", Bitcask_TTL="1h")
        self.server.ask("DELETE", "/v1/keys/e:1")
        _, name, data = stream.event()
        self.assertEqual((data["key_b64"], data["value_b64"]), ("ZTr/", "/w=="))
        self.assertGreater(data["expires_us"], 0)
        self.assertEqual(stream.event()[1:2], ("delete",))
        stream.close()
        self.server.put("e:2", b"two")
        again = Stream(self.server, "/v1/events?prefix=e:&values=0", {"Last-Event-ID": position})
        self.assertEqual([again.event()[2].get("key_b64"), again.event()[2].get("key"),
                          again.event()[2].get("key")], ["ZTr/", "e:1", "e:2"])
        again.close()

    def test_what_is_no_position_is_refused(self):
        for start in ("nonsense", "b1-0-0-0-0-0", "x" * 5000, "%00"):
            self.assertIn(self.server.get("/v1/events?from=" + start).status, (400, 410), start[:20])

    def test_streams_are_limited_and_given_back(self):
        streams = [Stream(self.server, "/v1/events") for _ in range(64)]
        self.assertEqual({stream.response.status for stream in streams}, {200})
        self.assertEqual(self.server.get("/v1/events").status, 503)
        for stream in streams:
            stream.close()
        while self.server.get("/v1/status").json()["streams"] > 0:
            self.server.put("wake", b"x")  # a stream sees its end when it has something to send

    def test_a_server_that_stops_ends_its_streams(self):
        server = Server()
        stream = Stream(server, "/v1/events")
        ended = []
        reader = threading.Thread(target=lambda: ended.append(stream.event()))
        reader.start()
        server.stop()
        reader.join(TIMEOUT_S)
        self.assertEqual(ended, [None])


# ---- Figures -----------------------------------------------------------------------------------------

class Figures(WithServer):
    def documented(self):
        with open(os.path.join(ROOT, "docs", "HTTP.md")) as file:
            return set(re.findall(r"^\| `((?:bitcask|process)_[a-z_]+)`", file.read(), re.M))

    def test_metrics_are_well_formed_and_documented(self):
        self.server.put("m", b"1")
        self.server.value("m")
        reply = self.server.get("/metrics")
        self.assertTrue(reply.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        kinds, samples = {}, {}
        for line in reply.body.decode().splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, kinds)
                kinds[name] = kind
            elif not line.startswith("# HELP "):
                match = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="[^"]*"(,le="[^"]+")?\})? ([-+0-9.einf]+)', line)
                self.assertTrue(match, line)
                samples.setdefault(match[1], []).append((match[2], float(match[4])))
        self.assertEqual(self.documented(), set(kinds))
        self.assertEqual(samples["bitcask_keys"], [(None, 1.0)])
        buckets = [(label, value) for label, value in samples["bitcask_command_duration_seconds_bucket"]
                   if 'command="set"' in label]
        self.assertEqual([v for _, v in buckets], sorted(v for _, v in buckets))
        self.assertIn('le="+Inf"', buckets[-1][0])
        self.assertEqual(buckets[-1][1], 1.0)

    def test_status_history_and_segments_agree(self):
        for i in range(2000):
            self.server.put(f"f{i % 500}", b"x" * 1000)
        status = self.server.get("/v1/status").json()
        segments = self.server.get("/v1/segments").json()["segments"]
        self.assertGreaterEqual(status["store"]["puts"], 2000)
        self.assertEqual(sum(s["live_records"] for s in segments), status["store"]["keys"])
        self.assertEqual([s["id"] for s in segments], sorted(s["id"] for s in segments))
        self.assertEqual(segments[-1]["state"] == "active" or any(s["state"] == "active" for s in segments),
                         True)
        history = self.server.get("/v1/history").json()
        while history["count"] < 2:
            history = self.server.get("/v1/history").json()
        self.assertEqual({len(row) for row in history["rows"]}, {len(history["columns"])})
        newer = self.server.get(f"/v1/history?after={history['count']}").json()
        self.assertEqual(len(newer["rows"]), newer["count"] - history["count"])
        self.assertEqual(self.server.get("/v1/logs").json()["last"] > 0, True)
        self.assertIn("requests", self.server.get("/v1/slow").json())
        self.assertIn("clients", self.server.get("/v1/clients").json())

    def test_grafana_asks_for_what_there_is(self):
        documented = self.documented()
        for name in ("bitcask.json", "alerts.yml"):
            with open(os.path.join(ROOT, "grafana", name)) as file:
                asked = set(re.findall(r"\b(?:bitcask|process)_[a-z_]+", file.read()))
            asked = {re.sub("_(bucket|count|sum)$", "", metric) for metric in asked}
            self.assertGreater(len(asked), 5)
            self.assertEqual(asked - documented - {"bitcask_build_info"}, set(), name)

    def test_probes(self):
        self.assertEqual(self.server.get("/healthz").body, b"ok\n")
        self.assertEqual(self.server.get("/readyz").body, b"ready\n")

    def test_the_page_and_its_parts(self):
        page = self.server.get("/", headers={"Accept": "text/html"})
        self.assertIn("text/html", page.headers["Content-Type"])
        self.assertIn("default-src 'none'", page.headers["Content-Security-Policy"])
        for path in ("/app.js", "/app.css", "/icon.svg", "/v1/openapi.json"):
            reply = self.server.get(path)
            self.assertEqual(reply.status, 200, path)
            tag = reply.headers["ETag"]
            self.assertEqual(reply.headers.get_all("Cache-Control"), ["no-cache"])
            self.assertEqual(self.server.get(path, headers={"If-None-Match": tag}).status, 304)

    def test_openapi_names_every_path(self):
        described = self.server.get("/v1/openapi.json").json()["paths"]
        with open(os.path.join(ROOT, "server", "http_route.c")) as file:
            routes = re.findall(r'\{HTTP_([A-Z]+), "([^"]+)", ([^,]*),', file.read())
        for method, path, flags in routes:
            if path in ("/", "/app.js", "/app.css", "/icon.svg"):
                continue
            path += "{key}" if "HTTP_REST" in flags else ""
            self.assertIn(method.lower(), described.get(path, {}), path)


# ---- Who may do what -----------------------------------------------------------------------------------

class Access(WithServer):
    settings = {"http-hosts": "db.example other.example"}

    def status(self, method="GET", path="/v1/status", **headers):
        return self.server.ask(method, path, b"x" if method in ("PUT", "POST") else None,
                               {name.replace("_", "-"): value for name, value in headers.items()}).status

    def token(self):
        return self.server.get("/v1/session").json()["token"]

    def test_a_foreign_host_is_refused(self):
        for host in ("evil.example", "evil.example:6381", "127.0.0.1.evil.example", "localhost.evil.example",
                     "xlocalhost", "[::1", "2130706433.evil", "db.example.evil", "a" * 300):
            self.assertEqual(self.status(Host=host), 421, host)
        for host in ("127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:99", "localhost.", "[::1]:6381",
                     "192.168.1.7", "db.example", "DB.EXAMPLE:6381", "other.example", "x.localhost"):
            self.assertEqual(self.status(Host=host), 200, host)

    def test_other_sites_pages_are_refused(self):
        own = f"127.0.0.1:{self.server.port}"
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost",
                       f"http://{own}.evil.example", "", "file://"):
            for method, path in (("PUT", "/v1/keys/csrf"), ("POST", "/v1/batch"), ("GET", "/v1/status")):
                self.assertEqual(self.status(method, path, Origin=origin), 403, origin)
        self.assertEqual(self.status("PUT", "/v1/keys/csrf", Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(self.status("PUT", "/v1/keys/csrf", Sec_Fetch_Site="same-site"), 403)
        self.assertEqual(self.status("POST", "/v1/batch", Sec_Fetch_Site="cross-site",
                                     Sec_Fetch_Mode="navigate"), 403)
        self.assertEqual(self.status("GET", "/v1/status", Sec_Fetch_Site="cross-site"), 403)
        self.assertEqual(self.status("GET", "/v1/status", Sec_Fetch_Site="cross-site",
                                     Sec_Fetch_Mode="navigate"), 200)
        self.assertEqual(self.server.get("/v1/keys/csrf").status, 404)
        reply = self.server.ask("OPTIONS", "/v1/keys/csrf", None, {"Origin": "http://evil.example"})
        self.assertEqual(reply.status, 405)
        self.assertNotIn("Access-Control-Allow-Origin", reply.headers)

    def test_changes_from_the_page_carry_its_token(self):
        own = f"http://127.0.0.1:{self.server.port}"
        put = lambda **headers: self.status("PUT", "/v1/keys/t", Origin=own, **headers)
        self.assertEqual(put(), 403)
        for wrong in ("", "x", "0" * 64, self.token()[:-1], self.token() + "0"):
            self.assertEqual(put(X_CSRF_Token=wrong), 403)
        self.assertEqual(put(X_CSRF_Token=self.token()), 204)
        self.assertEqual(self.status("PUT", "/v1/keys/t"), 204)  # no browser: nothing to forge

    def test_administration_needs_the_token_and_reports(self):
        self.assertEqual(self.status("POST", "/v1/admin/merge"), 403)
        token = {"X-CSRF-Token": self.token()}
        for job, body in (("verify", "{}"), ("backup", '{"name": "one"}'), ("merge", '{"all": true}')):
            reply = self.server.ask("POST", "/v1/admin/" + job, body, token)
            self.assertEqual(reply.status, 202, reply.body)
            report = {"finished_us": 0}
            while report["finished_us"] == 0:
                report = self.server.get("/v1/status").json()["jobs"][job]
            self.assertEqual((report["runs"], report["failed"]), (1, False), report)
        self.assertTrue(os.path.exists(os.path.join(self.server.home.name, "backups", "one", "MANIFEST")))
        for name in ("../x", "a/b", ".hidden", "", "-x", "a\0b", "x" * 101, "\u00e4"):
            reply = self.server.ask("POST", "/v1/admin/backup", json.dumps({"name": name}), token)
            self.assertEqual(reply.status, 400, name)
        self.assertEqual(self.server.ask("POST", "/v1/admin/cancel", "", token).status, 204)

    def test_nothing_stored_runs_as_a_page(self):
        self.server.put("page", b"<script>alert(1)</script>")
        headers = self.server.get("/v1/keys/page").headers
        self.assertEqual(headers["Content-Type"], "application/octet-stream")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("sandbox", headers["Content-Security-Policy"])

    def test_methods_and_paths_that_are_not_there(self):
        self.assertEqual(self.status("GET", "/../../etc/passwd"), 404)
        self.assertEqual(self.status("GET", "/%2e%2e/%2e%2e/etc/passwd"), 404)
        self.assertEqual(self.status("GET", "/app.js/../../x"), 404)
        reply = self.server.ask("POST", "/v1/keys/a", b"x")
        self.assertEqual((reply.status, reply.headers["Allow"]), (405, "GET, HEAD, PUT, DELETE, PATCH"))
        self.assertEqual(self.status("BREW", "/v1/keys/a"), 405)


class Passwords(unittest.TestCase):
    def test_a_password_is_asked_for(self):
        server = Server({"requirepass": "s3cret:x", "auth-failures-per-minute": 0})
        try:
            for path in ("/", "/v1/status", "/metrics", "/v1/keys/a", "/app.js", "/v1/events", "/get/a"):
                reply = server.get(path)
                self.assertEqual(reply.status, 401, path)
                self.assertIn("Basic", reply.headers["WWW-Authenticate"])
            for user in ("default:wrong", "default:", ":", "nobody:s3cret:x", "s3cret:x", "default:s3cret"):
                self.assertEqual(server.get("/v1/status", user=user).status, 401, user)
            for bad in ("Basic", "Basic !!!", "Bearer x", "Basic " + "A" * 100000, ""):
                self.assertEqual(server.get("/v1/status", headers={"Authorization": bad}).status, 401)
            for user in ("default:s3cret:x", ":s3cret:x"):
                self.assertEqual(server.get("/v1/status", user=user).status, 200)
            self.assertEqual(server.get("/healthz").status, 200)
            self.assertEqual(server.get("/readyz").status, 200)
            self.assertNotIn("s3cret", server.log())
        finally:
            server.stop()

    def test_who_guesses_too_often_is_not_heard(self):
        server = Server({"requirepass": "right", "auth-failures-per-minute": 5})
        try:
            for _ in range(10):
                self.assertEqual(server.get("/v1/status", user="default:wrong").status, 401)
            self.assertEqual(server.get("/v1/status", user="default:right").status, 401)
        finally:
            server.stop()

    def test_users_see_what_the_acl_lets_them(self):
        with tempfile.NamedTemporaryFile("w", suffix=".acl") as acl:
            acl.write("user default off\n"
                      "user reader on >pw ~a:* resetchannels -@all +@read +info\n"
                      "user writer on >pw ~a:* %R~b:* resetchannels -@all +@read +@write\n"
                      "user admin on >pw ~* &* +@all\n")
            acl.flush()
            server = Server({"aclfile": acl.name})
        try:
            put = lambda user, key: server.ask("PUT", "/v1/keys/" + key, b"1", user=user).status
            get = lambda user, key: server.get("/v1/keys/" + key, user=user).status
            self.assertEqual(server.get("/v1/status").status, 401)
            self.assertEqual((put("admin:pw", "a:1"), put("admin:pw", "b:1")), (204, 204))
            self.assertEqual((get("reader:pw", "a:1"), get("reader:pw", "b:1")), (200, 403))
            self.assertEqual((put("reader:pw", "a:1"), put("writer:pw", "a:2"), put("writer:pw", "b:1")),
                             (403, 204, 403))
            self.assertEqual((get("writer:pw", "b:1"), get("writer:pw", "c")), (200, 403))
            batch = json.dumps({"ops": [{"op": "put", "key": "a:3", "value": "1"},
                                        {"op": "put", "key": "b:3", "value": "1"}]})
            self.assertEqual(server.ask("POST", "/v1/batch", batch, user="writer:pw").status, 403)
            self.assertEqual(get("admin:pw", "a:3"), 404)
            self.assertEqual(server.ask("POST", "/v1/batch", '{"get": ["b:1"]}', user="reader:pw").status, 403)
            found = server.get("/v1/keys", user="writer:pw").json()["keys"]
            self.assertEqual(sorted(entry["key"] for entry in found), ["a:1", "a:2", "b:1"])
            self.assertEqual(server.get("/get/b:1", user="reader:pw").status, 403)
            self.assertEqual(server.ask("POST", "/put", '{"key": "b:9", "value": 1}', user="writer:pw").status, 403)
            stream = Stream(server, "/v1/events?from=oldest", user="reader:pw")
            self.assertEqual([stream.event()[2]["key"], stream.event()[2]["key"]], ["a:1", "a:2"])
            stream.close()
            session = server.get("/v1/session", user="reader:pw").json()
            self.assertEqual((session["user"], session["may"]["read"], session["may"]["write"],
                              session["may"]["merge"]), ("reader", True, False, False))
            token = {"X-CSRF-Token": session["token"]}
            self.assertEqual(server.ask("POST", "/v1/admin/merge", "{}", token, "reader:pw").status, 403)
            self.assertEqual(server.ask("POST", "/v1/admin/merge", "{}", token, "admin:pw").status, 403)
        finally:
            server.stop()


# ---- A device that does not give back what was written ---------------------------------------------------

class Unreadable(unittest.TestCase):
    def setUp(self):
        self.server = Server({"merge": "no"}, segment_size="64K")
        for i in range(40):
            self.server.put(f"u{i}", b"x" * 4000)
        first = self.server.get("/v1/segments").json()["segments"][0]
        while first["state"] != "sealed":
            first = self.server.get("/v1/segments").json()["segments"][0]
        os.truncate(os.path.join(self.server.directory, "%09d.data" % first["id"]), 4096)

    def tearDown(self):
        self.assertEqual(self.server.value("u39"), b"x" * 4000)
        self.server.stop()

    def test_a_page_that_cannot_be_read_is_an_error_of_the_request(self):
        self.assertEqual(self.server.get("/v1/keys/u10").status, 500)
        self.assertEqual(self.server.get("/get/u11").status, 500)
        results = self.server.ask("POST", "/v1/batch", '{"get": ["u12", "u39"]}')
        self.assertIn("error", results.json()["results"][0] if results.status == 200 else results.json())
        self.server.get("/v1/keys?values=1")

    def job(self, name):
        token = {"X-CSRF-Token": self.server.get("/v1/session").json()["token"]}
        self.assertEqual(self.server.ask("POST", "/v1/admin/" + name, '{"all": true}', token).status, 202)
        report = {"finished_us": 0}
        while report["finished_us"] == 0:
            report = self.server.get("/v1/status").json()["jobs"][name]
        self.assertTrue(report["failed"], report)

    def test_nor_is_it_the_end_of_a_verification(self):
        self.job("verify")

    def test_nor_of_a_merge(self):
        self.job("merge")


# ---- Beside the Redis side -----------------------------------------------------------------------------

class Together(WithServer):
    def setUp(self):
        self.redis = socket.socket(socket.AF_UNIX)
        self.redis.settimeout(TIMEOUT_S)
        self.redis.connect(os.path.join(self.server.directory, "bitcask.sock"))

    def tearDown(self):
        self.redis.close()

    def line(self):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.redis.recv(1)
        return line[:-2].decode()

    def send(self, text):
        words = text.split(" ")
        self.redis.sendall(b"*%d\r\n" % len(words) +
                           b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words))

    def command(self, text):
        self.send(text)
        return self.line()

    def test_each_sees_what_the_other_writes(self):
        self.assertEqual(self.command("SET both one EX 100"), "+OK")
        self.assertEqual(self.server.value("both"), b"one")
        self.server.put("both", b"two")
        self.assertEqual((self.command("GET both"), self.line()), ("$3", "two"))
        self.assertEqual(self.command("TTL both"), ":-1")

    def test_a_watched_key_that_http_writes_ends_the_transaction(self):
        self.server.put("watched", b"1")
        self.assertEqual(self.command("WATCH watched"), "+OK")
        self.server.put("watched", b"2")
        self.assertEqual(self.command("MULTI"), "+OK")
        self.assertEqual(self.command("SET watched 3"), "+QUEUED")
        self.assertEqual(self.command("EXEC"), "*-1")
        self.assertEqual(self.server.value("watched"), b"2")

    def test_writes_are_notified(self):
        self.assertEqual(self.command("CONFIG SET notify-keyspace-events KEA"), "+OK")
        self.send("SUBSCRIBE __keyspace@0__:told")
        for _ in range(6):  # *3, $9, subscribe, $.., the channel, :1
            self.line()
        self.server.put("told", b"1")
        self.assertEqual([self.line() for _ in range(7)][-1], "set")
        self.server.ask("DELETE", "/v1/keys/told")
        self.assertEqual([self.line() for _ in range(7)][-1], "del")

    def test_a_pause_of_writes_is_kept(self):
        self.assertEqual(self.command("CLIENT PAUSE 1000000 WRITE"), "+OK")
        reply = self.server.put("paused", b"1")
        self.assertEqual((reply.status, reply.headers["Retry-After"]), (503, "1"))
        self.assertEqual(self.server.get("/v1/keys/paused").status, 404)
        self.assertEqual(self.command("CLIENT UNPAUSE"), "+OK")
        self.assertEqual(self.server.put("paused", b"1").status, 204)

    def test_writes_are_as_durable_as_the_setting_says(self):
        syncs = lambda: self.server.get("/v1/status").json()["store"]["syncs"]
        self.assertEqual(self.command("CONFIG SET appendfsync always"), "+OK")
        before = syncs()
        for i in range(50):
            self.server.put(f"durable{i}", b"1")
        self.assertGreaterEqual(syncs() - before, 50)
        self.assertEqual(self.command("CONFIG SET appendfsync everysec"), "+OK")


# ---- Hostile input -------------------------------------------------------------------------------------

class Hostile(WithServer):
    def tearDown(self):
        self.assertEqual(self.server.get("/healthz").status, 200)

    def line(self, data, **more):
        return self.server.raw(data, **more).split(b"\r\n")[0]

    def test_floods_of_headers(self):
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 200000 + b"\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
                     b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n"):
            answer = self.line(data)
            self.assertTrue(answer == b"" or re.match(rb"HTTP/1\.[01] 4", answer), answer)

    def test_bodies_that_cannot_be(self):
        head = b"PUT /v1/keys/h HTTP/1.1\r\nHost: localhost\r\n"
        for lines, wanted in ((b"Content-Length: 10000000000\r\n", b" 413 "),
                              (b"Content-Length: 67108865\r\n", b" 413 "),
                              (b"Content-Length: -5\r\n", b" 4"),
                              (b"Content-Length: 99999999999999999999999\r\n", b" 4"),
                              (b"Content-Length: 5x\r\n", b" 4"),
                              (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b" 400 "),
                              (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b" 4")):
            answer = self.line(head + lines + b"\r\n")
            self.assertTrue(answer == b"" or wanted in answer, (lines, answer))
        answer = self.line(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        self.assertIn(b" 413 ", answer)
        self.assertEqual(self.server.get("/v1/keys/h").status, 404)

    def test_a_request_may_come_byte_by_byte(self):
        data = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertIn(b" 200 ", self.line(data, pieces=len(data)))

    def test_two_hosts_and_no_host(self):
        self.assertIn(b" 421 ", self.line(b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"))
        answer = self.line(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        self.assertIn(b" 400 ", answer)


class Crowd(WithServer):
    """A server of its own, which may hang up on others until it has seen that these are gone."""

    def test_many_connections_at_once(self):
        clients = [socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S)
                   for _ in range(600)]
        for client in clients:
            client.close()
        self.assertTrue(self.server.is_up())


class Room(WithServer):
    def test_none_is_refused_while_a_thread_has_room(self):
        """Given out in turns, all that stay would be the same thread's, and those be too many."""
        held = []
        for _ in range(200):
            held.append(self.server.connect())
            held[-1].request("GET", "/healthz")
            self.assertEqual(held[-1].getresponse().read(), b"ok\n")
            self.assertEqual(self.server.ask("GET", "/healthz", headers={"Connection": "close"}).status, 200)
        for connection in held:
            connection.close()


class Slow(WithServer):
    """Nothing here needs an answer: whoever has a second may be cut off first on a slow machine."""
    settings = {"http-timeout": 1}

    def line(self, data):
        return self.server.raw(data).split(b"\r\n")[0]

    def test_what_is_no_http(self):
        for data in (b"*1\r\n$4\r\nPING\r\n", b"PING\r\n\r\n", b"\0" * 5000, b"\x16\x03\x01\x02\x00" * 50,
                     b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 3 + b"GARBAGE\r\n\r\n"):
            answer = self.line(data)
            self.assertTrue(answer == b"" or re.match(rb"HTTP/1\.[01] [45]", answer), answer)

    def test_who_does_not_finish_a_request_is_cut_off(self):
        for start in (b"", b"GET /healthz HTTP/1.1\r\nHost: local",
                      b"PUT /v1/keys/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"):
            with socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S) as client:
                client.sendall(start)
                try:
                    self.assertEqual(client.recv(100), b"")
                except ConnectionResetError:
                    pass

    def test_a_drip_does_not_keep_a_connection(self):
        with socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
            client.settimeout(0.2)
            for _ in range(100 * TIMEOUT_S):
                try:
                    client.sendall(b"X: y\r\n")
                    if client.recv(100) == b"":
                        return
                except socket.timeout:
                    continue
                except OSError:
                    return
            self.fail("still connected")


def main():
    global BITCASK
    BITCASK = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)


if __name__ == "__main__":
    main()
