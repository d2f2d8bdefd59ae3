"""`estran node --repository` under load, with hostile clients, and while models change."""
import base64
import json
import random
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import unittest

import tiny_onnx
from node_support import HEADER, SANITISED, Node, NodeCase, f32
from support import main

BUSY = (1024, 60, 64)  # a run takes about 0.1 to 0.3 s


def busy_body(rows=BUSY[2]):
    size = rows * BUSY[0] * 4
    head = json.dumps({"inputs": [f32("x", [rows, BUSY[0]], binary_data_size=size)],
                       "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    return head, head + b"\0" * size


class Crowd:
    """Threads that send one request each; statuses in the order of ending."""

    def __init__(self):
        self.threads, self.ends, self.lock = [], [], threading.Lock()

    def send(self, node, path, body, headers):
        def work():
            connection = node.connection()
            start = time.monotonic()
            try:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                end = (answer.status, time.monotonic() - start, text, dict(answer.getheaders()))
            except OSError as why:
                end = (0, time.monotonic() - start, repr(why).encode(), {})
            finally:
                connection.close()
            with self.lock:
                self.ends.append(end)
        thread = threading.Thread(target=work)
        self.threads.append(thread)
        thread.start()

    def join(self):
        for thread in self.threads:
            thread.join(60)
        return self.ends


def until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what}")
        time.sleep(0.02)


class Load(NodeCase):
    def busy(self, *words):
        node = self.start(self.repository(busy=tiny_onnx.busy(*BUSY), add=tiny_onnx.add()), *words)
        head, body = busy_body()
        return node, body, {HEADER: str(len(head))}

    def test_a_full_queue_refuses_at_once(self):
        node, body, headers = self.busy("--queue-max", 2)
        crowd = Crowd()
        for _ in range(8):
            crowd.send(node, "/v2/models/busy/infer", body, headers)
        ends = crowd.join()
        statuses = sorted(end[0] for end in ends)
        self.assertEqual(set(statuses), {200, 503})
        self.assertGreaterEqual(statuses.count(503), 3)
        slowest = max(end[1] for end in ends if end[0] == 200)
        for status, took, text, more in ends:
            if status == 503:
                self.assertEqual(more["Retry-After"], "1")
                self.assertIn("full", json.loads(text)["error"])
                self.assertLess(took, slowest)
        told = node.stats("busy")["inference_stats"]
        self.assertEqual(told["success"]["count"] + told["fail"]["count"], 8)
        self.end(node)

    def test_a_deadline_is_answered_while_the_replica_is_busy(self):
        node, body, headers = self.busy()
        crowd = Crowd()
        for _ in range(3):
            crowd.send(node, "/v2/models/busy/infer", body, headers)
        until(lambda: node.look()["waiting"] > 0 or node.look()["busy_s"] > 0, "the model is busy")
        runs = node.stats("busy")["execution_count"]
        size = BUSY[2] * BUSY[0] * 4
        late = {"inputs": [f32("x", [BUSY[2], BUSY[0]], binary_data_size=size)],
                "parameters": {"timeout": 20000}}
        start = time.monotonic()
        answer = node.infer("busy", late, b"\0" * size)
        took = time.monotonic() - start
        if answer.status == 200:  # it was quick enough: the machine is fast
            self.assertGreater(node.stats("busy")["execution_count"], runs)
        else:
            self.bad(answer, 504, "timeout")
            self.assertLess(took, 1.0)
        crowd.join()
        told = node.stats("busy")
        self.assertEqual(told["execution_count"], 3 + (answer.status == 200))
        self.end(node)

    def test_priority(self):
        config = """max_batch_size: 64 dynamic_batching {
            priority_levels: 2 default_priority_level: 2 preferred_batch_size: [ 64 ] }"""
        node = self.start(self.repository(busy={
            "1/model.onnx": tiny_onnx.busy(BUSY[0], 4 * BUSY[1], "batch"), "config.pbtxt": config}))
        crowd = Crowd()
        for sent, priority in enumerate((2, 2, 2, 1)):
            size = BUSY[2] * BUSY[0] * 4
            head = json.dumps({"id": str(priority), "inputs": [
                f32("x", [BUSY[2], BUSY[0]], binary_data_size=size)],
                "parameters": {"priority": priority}, "outputs": [
                {"name": "y", "parameters": {"binary_data": True}}]}).encode()
            crowd.send(node, "/v2/models/busy/infer", head + b"\0" * size, {HEADER: str(len(head))})
            until(lambda: sum(node.look()["models"][0][key]
                              for key in ("running", "waiting", "runs")) > sent, "it has come")
        ends = crowd.join()
        self.assertEqual([end[0] for end in ends], [200] * 4)
        ids = [b'"id":"1"' in end[2] for end in ends]
        self.assertLess(ids.index(True), 3, "the one of high priority came last and ended last")
        self.end(node)

    def test_stopping_answers_what_is_under_way(self):
        node, body, headers = self.busy()
        crowd = Crowd()
        for _ in range(3):
            crowd.send(node, "/v2/models/busy/infer", body, headers)
        until(lambda: sum(node.look()["models"][1][key]
                          for key in ("running", "waiting", "runs")) > 2, "all have come")
        code, said = node.stop()
        self.assertEqual((code, said), (0, ""))
        self.assertEqual([end[0] for end in crowd.join()], [200] * 3)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", node.port), 1).close()

    def test_stopping_without_grace(self):
        node, body, headers = self.busy("--grace", 0)
        crowd = Crowd()
        for _ in range(4):
            crowd.send(node, "/v2/models/busy/infer", body, headers)
        until(lambda: node.look()["waiting"] > 1, "some wait")
        code, said = node.stop()
        self.assertEqual((code, said), (0, ""))
        for end in crowd.join():
            self.assertIn(end[0], (0, 200, 503))


class Repository(NodeCase):
    def addend(self, node, path="add"):
        answer = node.infer(path, {"inputs": [f32("x", [1, 4], [0] * 4)]})
        return answer.json()["outputs"][0]["data"][0] if answer.status == 200 else answer.status

    def load(self, node, name, document=None):
        return node.post(f"/v2/repository/models/{name}/load", document or {})

    def test_versions_and_policies(self):
        three = {f"{i}/model.onnx": tiny_onnx.add((i,) * 4) for i in (1, 2, 10)}
        node = self.start(self.repository(
            latest=three, every={**three, "config.pbtxt": "version_policy { all { } }"},
            two={**three, "config.json": '{"version_policy":{"latest":{"num_versions":2}}}'},
            named={**three, "config.yaml": "version_policy: {specific: {versions: [1, 2]}}"},
            other={"3/net.onnx": tiny_onnx.add((7,) * 4), "01/model.onnx": b"",
                   "config.pbtxt": "default_model_filename: 'net.onnx'"}))
        (self.folder / "models/plain.onnx").write_bytes(tiny_onnx.add((9,) * 4))
        for name, versions, latest in (("latest", ["10"], 10), ("every", ["1", "2", "10"], 10),
                                       ("two", ["2", "10"], 10), ("named", ["1", "2"], 2),
                                       ("other", ["3"], 7)):
            self.assertEqual(node.curl(f"/v2/models/{name}").json()["versions"], versions)
            self.assertEqual(self.addend(node, name), latest)
        self.assertEqual(self.addend(node, "every/versions/2"), 2)
        self.assertEqual(self.addend(node, "latest/versions/1"), 404)
        self.good(self.load(node, "plain"))
        self.assertEqual(self.addend(node, "plain"), 9)
        states = node.states()
        self.assertEqual(states[("plain", "1")], ("READY", ""))
        self.assertEqual(len([key for key in states if key[0] == "every"]), 3)
        self.end(node)

    def test_load_and_unload(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()), "--load",
                          "add")
        self.assertEqual(node.states(), {("add", "1"): ("READY", ""),
                                         ("pair", None): ("UNAVAILABLE", "not loaded")})
        only = node.post("/v2/repository/index", {"ready": True}).json()
        self.assertEqual([one["name"] for one in only], ["add"])
        self.bad(node.post("/v2/repository/index", {"ready": "yes"}), 400, "ready")
        self.assertEqual(self.good(self.load(node, "pair")).json(), {"name": "pair", "load": True})
        self.assertEqual(node.states()[("pair", "1")], ("READY", ""))
        answer = node.post("/v2/repository/models/add/unload",
                           {"parameters": {"unload_dependents": True}})
        self.assertEqual(self.good(answer).json(), {"name": "add", "unload": True})
        until(lambda: node.states()[("add", "1")] == ("UNAVAILABLE", "unloaded"), "unloaded")
        self.assertEqual(self.addend(node), 503)
        self.assertEqual(node.curl("/v2/models/add/ready").status, 503)
        self.good(self.load(node, "add"))
        self.assertEqual(self.addend(node), 1)
        self.bad(self.load(node, "none"), 400, "'none'")
        self.bad(self.load(node, "..%2Fmodels"), 400, "no model")
        self.bad(node.post("/v2/repository/models/none/unload", {}), 400, "'none'")
        self.assertNotIn(("none", None), node.states())
        # a model that was put there meanwhile
        self.repository(late=tiny_onnx.add((3,) * 4))
        self.good(self.load(node, "late"))
        self.assertEqual(self.addend(node, "late"), 3)
        self.end(node)

    def test_a_failed_load_leaves_the_old_one_and_says_why(self):
        node = self.start(self.repository(add=tiny_onnx.add(),
                                          bad={"1/model.onnx": b"no model"}))
        states = node.states()
        self.assertEqual(states[("bad", "1")][0], "UNAVAILABLE")
        self.assertIn("load failed", states[("bad", "1")][1])
        self.assertEqual(self.addend(node, "bad"), 503)
        place = self.folder / "models/add"
        (place / "1/model.onnx").write_bytes(b"broken")
        answer = self.load(node, "add")
        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.addend(node), 1)
        self.assertEqual(node.states()[("add", "1")][0], "READY")
        self.assertIn("load failed", node.states()[("add", "1")][1])
        (place / "1/model.onnx").write_bytes(tiny_onnx.add((4,) * 4))
        for config, words in (("max_batch_sise: 1", "did you mean 'max_batch_size'"),
                              ("name: 'other'", "other"),
                              ("input { name: 'z' }", "'z' is not one of the model"),
                              ("input { name: 'x' dims: [ 5 ] } max_batch_size: 2", "dims[1]=5"),
                              ("input { name: 'x' data_type: TYPE_INT8 }", "TYPE_INT8"),
                              ("version_policy { specific { versions: 9 } }", "no version"),
                              ("output { name: 'y' label_filename: 'none.txt' }", "none.txt"),
                              ("model_warmup { inputs { key: 'z' value { zero_data: true } } }",
                               "has no input 'x'")):
            (place / "config.pbtxt").write_text(config)
            answer = self.load(node, "add")
            self.assertGreaterEqual(answer.status, 400)
            self.assertIn(words, answer.json()["error"])
            self.assertEqual(self.addend(node), 1)
        (place / "config.pbtxt").unlink()
        self.good(self.load(node, "add"))
        self.assertEqual(self.addend(node), 4)
        self.assertEqual(node.states()[("add", "1")], ("READY", ""))
        node.process.send_signal(signal.SIGTERM)
        code, said = node.wait()
        self.assertEqual(code, 0, said)

    def test_files_and_configuration_in_the_request(self):
        node = self.start(self.repository(add=tiny_onnx.add()))
        one = base64.b64encode(tiny_onnx.add((30,) * 4)).decode()
        two = base64.b64encode(tiny_onnx.add((40,) * 4)).decode()
        config = {"max_batch_size": 2, "version_policy": {"all": {}}}
        self.good(self.load(node, "add", {"parameters": {
            "config": json.dumps(config), "file:3/model.onnx": one, "file:4/model.onnx": two}}))
        self.assertEqual(node.curl("/v2/models/add").json()["versions"], ["3", "4"])
        self.assertEqual(self.addend(node), 40)
        self.assertEqual(self.addend(node, "add/versions/3"), 30)
        self.assertEqual(node.curl("/v2/models/add/config").json()["max_batch_size"], 2)
        self.good(self.load(node, "new", {"parameters": {  # one that is in no folder
            "config": "{}", "file:1/model.onnx": one}}))
        self.assertEqual(self.addend(node, "new"), 30)
        self.good(self.load(node, "add", {"parameters": {"config": '{"max_batch_size": 3}'}}))
        self.assertEqual(self.addend(node), 1)  # the folder's file again
        self.assertEqual(node.curl("/v2/models/add/config").json()["max_batch_size"], 3)
        for parameters, words in (
                ({"file:1/model.onnx": one}, "config"),
                ({"config": "{", "file:1/model.onnx": one}, "config.json"),
                ({"config": "{}", "file:1/model.onnx": "!!"}, "base64"),
                ({"config": "{}", "file:1/labels.txt": one}, "file:VERSION/model.onnx"),
                ({"config": "{}", "file:x/model.onnx": one}, "file:VERSION/model.onnx"),
                ({"config": 5}, "config"),
                ({"config": "{}", "file:1/model.onnx": base64.b64encode(b"no").decode()}, "load")):
            answer = self.load(node, "add", {"parameters": parameters})
            self.assertEqual(answer.status, 400, answer)
            if words != "load":
                self.assertIn(words, answer.json()["error"])
            self.assertEqual(self.addend(node), 1)
        code, said = node.stop()
        self.assertEqual(code, 0, said)

    def test_requests_meet_no_gap_while_a_model_is_replaced(self):
        node = self.start(self.repository(add=tiny_onnx.add((0,) * 4)))
        seen, wrong, stop = set(), [], threading.Event()
        body = json.dumps({"inputs": [f32("x", [1, 4], [0] * 4)]})

        def ask():
            connection = node.connection()
            while not stop.is_set():
                connection.request("POST", "/v2/models/add/infer", body)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status == 200:
                    seen.add(json.loads(text)["outputs"][0]["data"][0])
                else:
                    wrong.append((answer.status, text))
            connection.close()
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for value in range(1, 13):
            (self.folder / "models/add/1/model.onnx").write_bytes(tiny_onnx.add((value,) * 4))
            self.good(self.load(node, "add"))
            until(lambda: value in seen, f"answers of load {value}")
        stop.set()
        for thread in threads:
            thread.join(20)
        self.assertEqual(wrong, [])
        self.assertEqual(seen, set(float(value) for value in range(13)))
        self.end(node)

    @unittest.skipIf(SANITISED, "sanitisers keep freed memory")
    def test_memory_comes_back_after_unload(self):
        node = self.start(self.repository(large=tiny_onnx.busy(3072, 1), add=tiny_onnx.add()),
                          "--load", "add")
        self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}))
        size = 3072 * 3072 * 4 // 1024
        after = []
        before = node.memory_kb()
        for _ in range(8):
            self.good(self.load(node, "large"))
            self.good(node.infer("large", {"inputs": [f32("x", [1, 3072], [0] * 3072)]}))
            self.assertGreater(node.memory_kb(), before + size * 9 // 10)
            self.good(node.post("/v2/repository/models/large/unload", {}))
            until(lambda: node.states()[("large", "1")][1] == "unloaded", "unloaded")
            after.append(node.memory_kb())
        self.assertLess(after[0], before + size // 3)
        self.assertLess(after[-1], after[3] + 2048, after)  # pages of the heap come and go
        self.end(node)


class Hostile(NodeCase):
    """Sockets by hand: whatever comes, the node answers rightly and goes on."""

    def setUp(self):
        super().setUp()
        self.node = self.start(self.repository(add=tiny_onnx.add()), "--body-max", 1)
        self.body = json.dumps({"inputs": [f32("x", [1, 4], [0] * 4)]}).encode()
        self.head = (b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\nContent-Length: "
                     + str(len(self.body)).encode() + b"\r\n")

    def tearDown(self):
        self.good(self.node.curl("/v2/models/add/infer", data=self.body))
        self.end(self.node)

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.node.port), 10)
        self.addCleanup(connection.close)
        return connection

    def read(self, connection):
        """All until the server closes, or nothing comes for a while."""
        data = b""
        connection.settimeout(2)
        try:
            while True:
                more = connection.recv(65536)
                if not more:
                    return data
                data += more
                if b"}" in data[-3:]:
                    connection.settimeout(0.2)
        except (socket.timeout, ConnectionResetError):
            return data

    def test_oversize(self):
        answer = self.node.curl("/v2/models/add/infer", data=b"0" * (2 << 20))
        self.bad(answer, 413, "1048576")
        connection = self.connect()
        connection.sendall(self.head.replace(str(len(self.body)).encode(), b"9" * 15)
                           + b"Expect: 100-continue\r\n\r\n")
        self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 413"))
        connection = self.connect()
        connection.sendall(b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                connection.sendall(b"10000\r\n" + b"0" * 65536 + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 413"))
        long = self.node.curl("/v2/models/" + "a" * 5000)
        self.assertEqual(long.status, 414)
        self.assertEqual(self.node.curl("/v2", "-H", "X-A: " + "a" * 20000).status, 431)

    def test_chunks_and_pieces(self):
        connection = self.connect()
        connection.sendall(b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in self.body:
            connection.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 200"))
        connection = self.connect()
        for byte in self.head + b"\r\n" + self.body:
            connection.sendall(bytes([byte]))
        self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 200"))

    def test_half_closed_and_aborted(self):
        connection = self.connect()
        connection.sendall(self.head + b"\r\n" + self.body)
        connection.shutdown(socket.SHUT_WR)
        self.assertIn(b'"outputs"', self.read(connection))
        for cut in (10, len(self.head), len(self.head) + 5):
            connection = self.connect()
            connection.sendall((self.head + b"\r\n" + self.body)[:cut])
            if cut % 2 == 0:  # with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        for _ in range(20):  # gone before the answer
            connection = self.connect()
            connection.sendall(self.head + b"\r\n" + self.body)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def test_garbage(self):
        rng = random.Random(1)
        for size in (1, 10, 100, 5000, 100000):
            connection = self.connect()
            try:
                connection.sendall(bytes(rng.randrange(256) for _ in range(size)) + b"\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            self.assertFalse(self.read(connection).startswith(b"HTTP/1.1 200"))
        # a good request with garbage behind it on the same connection
        connection = self.connect()
        connection.sendall(self.head + b"\r\n" + self.body + b"\x00\xff garbage\r\n\r\n")
        data = self.read(connection)
        self.assertTrue(data.startswith(b"HTTP/1.1 200"))
        self.assertEqual(data.count(b"HTTP/1.1 200"), 1)
        # several at once are answered in order
        connection = self.connect()
        connection.sendall((self.head + b"\r\n" + self.body) * 5)
        time.sleep(0.2)
        self.assertEqual(self.read(connection).count(b"HTTP/1.1 200"), 5)

    def test_two_readings_of_where_a_body_ends(self):
        for extra in (b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"):
            connection = self.connect()
            connection.sendall(self.head + extra + b"\r\n" + self.body)
            self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 400"))
        connection = self.connect()
        connection.sendall(b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\n"
                           b"Content-Length: -5\r\n\r\n")
        self.assertTrue(self.read(connection).startswith(b"HTTP/1.1 400"))

    def test_malformed_heads(self):
        """The right status, whatever the body: the HTTP library answers these itself."""
        rest = b"Host: a\r\n\r\n"
        for head, status in ((b"GET /v2\r\n" + rest, 400), (b"GET /v2 XTTP/1.1\r\n" + rest, 400),
                             (b"GET /v2 HTTP/2.0\r\n" + rest, 505),
                             (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
                             (b"GET /v2 HTTP/1.1\r\nHost a\r\n\r\n", 400),
                             (b"GET /v2 HTTP/1.1\r\n folded\r\n" + rest, 400),
                             (self.head.replace(str(len(self.body)).encode(), b"abc") + b"\r\n", 400),
                             (self.head.replace(str(len(self.body)).encode(), b"9" * 30) + b"\r\n",
                              413),
                             (b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                             (b"GET /v2 HTTP/1.1\r\nX: " + b"a" * 200000 + b"\r\n" + rest, 431),
                             (b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n" + rest, 414),
                             (b"BREW /v2 HTTP/1.1\r\n" + rest, 405), (b"GET\r\n\r\n", None)):
            connection = self.connect()
            try:
                connection.sendall(head)
            except OSError:
                pass  # it does not wait for the rest
            told = self.read(connection)
            if status is None or len(head) > 100000:  # a reset may overtake the answer
                self.assertIn(told[:12], (b"", b"HTTP/1.1 %d" % (status or 0)), head[:60])
            else:
                self.assertEqual(told[:12], b"HTTP/1.1 %d" % status, head[:60])

    def test_mutated_requests(self):
        """Bytes of good bodies changed at random: answered, 200 or 400, never anything else."""
        rng = random.Random(2)
        head = json.dumps({"inputs": [f32("x", [1, 4], binary_data_size=16)],
                           "parameters": {"binary_data_output": True}}).encode()
        connection = self.node.connection()
        seen = set()
        for turn in range(300):
            body = bytearray(head + b"\0" * 16 if turn % 2 else self.body)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(body))
                body[at:at + rng.randrange(2)] = bytes([rng.randrange(256)])
            headers = {HEADER: str(len(head))} if turn % 2 else {}
            connection.request("POST", "/v2/models/add/infer", bytes(body), headers)
            answer = connection.getresponse()
            answer.read()
            seen.add(answer.status)
        connection.close()
        self.assertEqual(seen - {200, 400}, set())

    @unittest.skipIf(SANITISED, "sanitisers keep freed memory")
    def test_memory_stays_flat(self):
        connection = self.node.connection()

        def ask(count):
            for turn in range(count):
                body = self.body if turn % 3 else b"{"
                connection.request("POST", "/v2/models/add/infer", body)
                connection.getresponse().read()
        ask(500)
        before = self.node.memory_kb()
        ask(4000)
        connection.close()
        self.assertLess(self.node.memory_kb(), before + 1024)


class FullDisk(NodeCase):
    def test_a_full_disk_costs_lines_of_the_log_and_no_requests(self):
        node = self.start(self.repository(add=tiny_onnx.add()), "--request-log", "/dev/full")
        one = {"inputs": [f32("x", [1, 4], [0] * 4)]}
        self.good(node.infer("add", one))

        def dropped():
            text = node.curl("/metrics").body.decode()
            return int(text.split("\nestran_request_log_dropped_total ")[1].split("\n")[0])
        until(lambda: dropped() == 1, "the line is dropped and counted")
        self.good(node.infer("add", one))
        self.end(node)


class SlowClients(NodeCase):
    def test_a_drip_does_not_hold_the_node(self):
        """A hundred heads that never end: others are served meanwhile. (They are ended after 20 s,
        which the tests of the HTTP module watch with a shorter limit.)"""
        node = self.start(self.repository(add=tiny_onnx.add()))
        drips = []
        for _ in range(100):
            drip = socket.create_connection(("127.0.0.1", node.port), 5)
            drip.sendall(b"POST /v2/models/add/infer HTTP/1.1\r\nX: ")
            drips.append(drip)
        for turn in range(5):
            for drip in drips:
                drip.sendall(b"a")
            start = time.monotonic()
            self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}))
            self.assertLess(time.monotonic() - start, 5, turn)
        for drip in drips:
            drip.close()
        self.end(node)

    def test_one_that_does_not_read(self):
        node = self.start(self.repository(add=tiny_onnx.add()))
        body = json.dumps({"inputs": [f32("x", [1, 4], [0] * 4)]}).encode()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", node.port))
        deaf.setblocking(False)
        request = (b"POST /v2/models/add/infer HTTP/1.1\r\nHost: a\r\nContent-Length: "
                   + str(len(body)).encode() + b"\r\n\r\n" + body)
        try:
            for _ in range(5000):
                deaf.send(request)
        except BlockingIOError:
            pass
        self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}))
        deaf.close()
        self.end(node)


class Secrets(NodeCase):
    def test_tokens(self):
        tokens = self.write("tokens", "# who may what\nclient client-token-0123\n\n"
                                      "controller  controller-token-01\nnode node-token-01234567\n")
        node = self.start(self.repository(add=tiny_onnx.add()), "--tokens", tokens)
        document = {"inputs": [f32("x", [1, 4], [0] * 4)]}

        def bearer(token):
            return ("-H", f"Authorization: Bearer {token}")
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/add/ready"):
            self.good(node.curl(path))  # probes have no token
        for path in ("/v2", "/v2/models", "/v2/models/add", "/metrics", "/",
                     "/v2/models/add/config"):
            answer = node.curl(path)
            self.bad(answer, 401, "bearer token")
            self.assertEqual(answer.headers["www-authenticate"], "Bearer")
            self.bad(node.curl(path, *bearer("client-token-0124")), 401, "not known")
            self.good(node.curl(path, *bearer("client-token-0123")))
        self.bad(node.infer("add", document), 401)
        for token in ("client-token-0123", "node-token-01234567", "controller-token-01"):
            self.good(node.infer("add", document, b"", *bearer(token)))
        load = "/v2/repository/models/add/load"
        self.bad(node.curl(load, "-X", "POST"), 401)
        for token in ("client-token-0123", "node-token-01234567"):
            self.bad(node.curl(load, "-X", "POST", *bearer(token)), 403, "role")
            self.bad(node.curl("/estran/v1/observe", *bearer(token)), 403)
        self.good(node.curl(load, "-X", "POST", *bearer("controller-token-01")))
        self.good(node.curl("/estran/v1/observe", *bearer("controller-token-01")))
        self.end(node)
        for text, words in (("client short", "16"), ("owner token-0123456789", "role 'owner'"),
                            ("client", "ROLE TOKEN"), ("# none\n", "no token")):
            tokens.write_text(text)
            self.fails(2 if "short" in text else 1, [words], "node", "--repository",
                       self.folder / "models", "--tokens", tokens, "--listen", "127.0.0.1:0")

    def test_tls_and_mutual_tls(self):
        authority = self.certificate("authority")
        server = self.certificate("server", authority)
        client = self.certificate("client", authority)
        stranger = self.certificate("stranger")
        folder = self.repository(add=tiny_onnx.add())
        words = ["--tls-cert", f"{server}.pem", "--tls-key", f"{server}.key"]
        document = {"inputs": [f32("x", [1, 4], [0] * 4)]}
        trust = ["--cacert", f"{authority}.pem"]
        node = self.start(folder, *words)
        node.scheme = "https"
        self.good(node.infer("add", document, b"", *trust))
        with self.assertRaises(AssertionError):  # curl does not trust a stranger
            node.curl("/v2", "--cacert", f"{stranger}.pem")
        with self.assertRaises(AssertionError):
            node.curl("/v2", *trust, "--tls-max", "1.1")
        with self.assertRaises(ssl.SSLError):  # noise in the place of a handshake
            context = ssl.create_default_context(cafile=f"{authority}.pem")
            noise = socket.create_connection(("127.0.0.1", node.port), 5)
            noise.sendall(b"\x16\x03\x01 noise noise noise")
            try:
                context.wrap_socket(noise, server_hostname="localhost")
            except (ConnectionResetError, OSError) as why:
                raise ssl.SSLError(str(why)) from why
            finally:
                noise.close()
        self.good(node.infer("add", document, b"", *trust))
        self.end(node)
        node = self.start(folder, *words, "--tls-client-ca", f"{authority}.pem")
        node.scheme = "https"
        shown = ["--cert", f"{client}.pem", "--key", f"{client}.key"]
        self.good(node.infer("add", document, b"", *trust, *shown))
        self.bad(node.infer("add", document, b"", *trust), 403, "certificate")
        self.bad(node.curl("/v2", *trust, "--cert", f"{stranger}.pem", "--key", f"{stranger}.key"),
                 403, "certificate")
        self.end(node)

    def test_what_cannot_be_served_is_said_in_one_line(self):
        folder = self.repository(add=tiny_onnx.add())
        node = self.start(folder)
        for words, expected in (
                (("--repository", self.folder / "none"), "none"),
                (("--repository", folder, "--listen", "127.0.0.1"), "--listen"),
                (("--repository", folder, "--listen", "localhost:0"), "localhost"),
                (("--repository", folder, "--listen", f"127.0.0.1:{node.port}"), "cannot listen"),
                (("--repository", folder, "--listen", "127.0.0.1:0", "--tls-cert", folder), "tls"),
                (("--repository", folder, "--request-log", folder), "request log")):
            done = subprocess.run([str(node.process.args[0]), "node", *map(str, words)],
                                  capture_output=True, text=True, timeout=30, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertIn(expected.lower(), done.stderr.lower())
        self.end(node)


if __name__ == "__main__":
    main()
