"""A node process and curl, for the tests of `estran node --repository`."""
import http.client
import json
import os
import pathlib
import signal
import struct
import subprocess

from support import ESTRAN, Case

HEADER = "Inference-Header-Content-Length"
SANITISED = any(word in str(ESTRAN) for word in ("/asan/", "/tsan/", "/fuzz/"))


class Answer:
    """What curl got: status, headers (lower case), body."""

    def __init__(self, raw):
        head, self.body = raw.split(b"\r\n\r\n", 1)
        while head.startswith(b"HTTP/1.1 100"):
            head, self.body = self.body.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip()
                        for line in lines[1:]}

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]}"


class Node:
    """A node process over a folder of models."""

    scheme = "http"

    def __init__(self, folder, *words, environment=None):
        self.process = subprocess.Popen(
            [str(ESTRAN), "node", "--repository", str(folder), "--listen", "127.0.0.1:0",
             *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"no ready line but '{line}': {self.process.stderr.read()}")
        self.port = int(line.split()[1])

    def curl(self, path, *words, data=None):
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "30", *map(str, words),
             *(["--data-binary", "@-", "-H", "Expect:"] if data is not None else []),
             f"{self.scheme}://localhost:{self.port}{path}"],
            input=data, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"curl {path}: {done.stderr.decode()}")
        return Answer(done.stdout)

    def post(self, path, document, *words):
        return self.curl(path, *words, data=json.dumps(document).encode())

    def infer(self, model, document, binary=b"", *words):
        """binary: what follows the JSON."""
        head = json.dumps(document).encode()
        if binary:
            words = (*words, "-H", f"{HEADER}: {len(head)}")
        return self.curl(f"/v2/models/{model}/infer", *words, data=head + binary)

    def connection(self):
        """A kept connection of Python's own, for many requests."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def look(self):
        """The observation, without starting a program: for polling."""
        connection = self.connection()
        connection.request("GET", "/estran/v1/observe")
        told = json.loads(connection.getresponse().read())
        connection.close()
        return told

    def memory_kb(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        return 0

    def stats(self, model):
        return self.curl(f"/v2/models/{model}/stats").json()["model_stats"][0]

    def states(self):
        """(name, version) -> (state, reason)"""
        index = self.curl("/v2/repository/index", "-X", "POST").json()
        return {(one["name"], one.get("version")): (one["state"], one["reason"]) for one in index}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        code = self.process.wait(timeout=30)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, said


def floats(data):
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def f32(name, shape, data=None, **parameters):
    tensor = {"name": name, "shape": shape, "datatype": "FP32"}
    if data is not None:
        tensor["data"] = data
    if parameters:
        tensor["parameters"] = parameters
    return tensor


class NodeCase(Case):
    def repository(self, **models):
        """models: the bytes of version 1, or {path below the model: bytes or text}."""
        folder = self.folder / "models"
        folder.mkdir(exist_ok=True)
        for name, content in models.items():
            files = content if isinstance(content, dict) else {"1/model.onnx": content}
            for path, data in files.items():
                place = folder / name / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data.encode() if isinstance(data, str) else data)
        return folder

    def start(self, folder, *words, **more):
        node = Node(folder, "--quiet", *words, **more)
        self.addCleanup(node.process.kill)
        return node

    def end(self, node):
        """SIGTERM stops it cleanly; under a sanitiser it would say what it lost."""
        code, said = node.stop()
        self.assertEqual(code, 0, said)
        self.assertEqual(said, "")

    def good(self, answer):
        self.assertEqual(answer.status, 200, answer)
        return answer

    def bad(self, answer, status, *words):
        """An error as JSON that says all of words."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/json")
        for word in words:
            self.assertIn(word, answer.json()["error"])
