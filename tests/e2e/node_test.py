"""`estran node --repository` as a client meets it: every row of the protocol, by curl."""
import json
import pathlib
import signal
import struct
import subprocess
import unittest

import tiny_onnx
from support import ESTRAN, Case, main

HEADER = "Inference-Header-Content-Length"


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


class Node:
    """A node process over a folder of models."""

    def __init__(self, folder, *words):
        self.process = subprocess.Popen(
            [str(ESTRAN), "node", "--repository", str(folder), "--listen", "127.0.0.1:0",
             "--quiet", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"no ready line but '{line}': {self.process.stderr.read()}")
        self.port = int(line.split()[1])

    def curl(self, path, *words, data=None):
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "20", *map(str, words),
             *(["--data-binary", "@-"] if data is not None else []),
             f"http://127.0.0.1:{self.port}{path}"],
            input=data, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"curl {path}: {done.stderr.decode()}")
        return Answer(done.stdout)

    def post(self, path, document, *words):
        return self.curl(path, *words, data=json.dumps(document).encode())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return code, said


def floats(data):
    return list(struct.unpack(f"<{len(data) // 4}f", data))


class NodeCase(Case):
    def repository(self, **models):
        folder = self.folder / "models"
        for name, content in models.items():
            version = folder / name / "1"
            version.mkdir(parents=True)
            (version / "model.onnx").write_bytes(content)
        return folder

    def start(self, folder, *words):
        node = Node(folder, *words)
        self.addCleanup(node.process.kill)
        return node

    def end(self, node):
        """SIGTERM stops it cleanly; under a sanitiser it would say what it lost."""
        code, said = node.stop()
        self.assertEqual(code, 0, said)
        self.assertEqual(said, "")


class Health(NodeCase):
    def test_node_and_models(self):
        node = self.start(self.repository(add=tiny_onnx.add()))
        for path in ("/v2", "/v2/"):
            told = node.curl(path).json()
            self.assertEqual(told["name"], "estran")
            self.assertIn("binary_tensor_data", told["extensions"])
        self.assertEqual(node.curl("/v2/health/live").json(), {"live": True})
        self.assertEqual(node.curl("/v2/health/ready").json(), {"ready": True})
        self.assertEqual(node.curl("/v2/models").json(), {"models": ["add"]})
        for path in ("/v2/models/add", "/v2/models/add/versions/1"):
            self.assertEqual(node.curl(path).json(), {
                "name": "add", "versions": ["1"], "platform": "onnx_onnxv1",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]})
            self.assertEqual(node.curl(path + "/ready").json(), {"name": "add", "ready": True})
        self.end(node)


class Infer(NodeCase):
    def test_json_and_binary(self):
        node = self.start(self.repository(add=tiny_onnx.add()))
        x = {"name": "x", "shape": [2, 4], "datatype": "FP32"}
        wanted = [2.0, 4.0, 6.0, 8.0, 6.0, 8.0, 10.0, 12.0]
        for data in ([1, 2, 3, 4, 5, 6, 7, 8], [[1, 2, 3, 4], [5, 6, 7, 8]]):
            answer = node.post("/v2/models/add/infer", {"id": "7", "inputs": [{**x, "data": data}]})
            self.assertEqual(answer.status, 200, answer.body)
            told = answer.json()
            self.assertEqual((told["model_name"], told["model_version"], told["id"]),
                             ("add", "1", "7"))
            self.assertEqual(told["outputs"][0]["data"], wanted)
            self.assertEqual(told["outputs"][0]["shape"], [2, 4])
        head = json.dumps({"inputs": [{**x, "parameters": {"binary_data_size": 32}}],
                           "parameters": {"binary_data_output": True}}).encode()
        answer = node.curl("/v2/models/add/infer", "-H", f"{HEADER}: {len(head)}",
                           data=head + struct.pack("<8f", 1, 2, 3, 4, 5, 6, 7, 8))
        self.assertEqual(answer.status, 200, answer.body)
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(floats(answer.body[size:]), wanted)
        self.end(node)


if __name__ == "__main__":
    main()
