"""`estran node --repository` as a client meets it: every row of the protocol, by curl."""
import http.client
import json
import socket
import struct
import subprocess
import time

import tiny_onnx
from node_support import HEADER, NodeCase, f32, floats
from support import ESTRAN, main


class Rows(NodeCase):
    """Health, metadata, and what is not there."""

    def test_node_and_models(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()), "--load",
                          "add")
        for path in ("/v2", "/v2/"):
            told = self.good(node.curl(path)).json()
            self.assertEqual(told["name"], "estran")
            self.assertRegex(told["version"], r"^\d")
            for extension in ("binary_tensor_data", "classification", "model_repository",
                              "schedule_policy", "model_configuration", "statistics"):
                self.assertIn(extension, told["extensions"])
        self.assertEqual(node.curl("/v2/health/live").json(), {"live": True})
        self.assertEqual(node.curl("/v2/health/ready").json(), {"ready": True})
        self.assertEqual(node.curl("/v2/models").json(), {"models": ["add"]})
        for path in ("/v2/models/add", "/v2/models/add/versions/1"):
            self.assertEqual(node.curl(path).json(), {
                "name": "add", "versions": ["1"], "platform": "onnx_onnxv1",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]})
            self.assertEqual(node.curl(path + "/ready").json(), {"name": "add", "ready": True})
            self.assertEqual(self.good(node.curl(path + "/config")).json()["name"], "add")
            self.assertEqual(node.curl(path + "/stats").json()["model_stats"][0]["version"], "1")
        self.assertEqual(len(node.curl("/v2/models/stats").json()["model_stats"]), 1)
        # in the folder, but not loaded
        answer = node.curl("/v2/models/pair/ready")
        self.assertEqual((answer.status, answer.json()), (503, {"name": "pair", "ready": False}))
        for path in ("", "/config", "/stats"):
            self.bad(node.curl(f"/v2/models/pair{path}"), 503, "'pair' is not ready")
        answer = node.infer("pair", {"inputs": []})
        self.bad(answer, 503, "'pair' is not ready")
        self.assertEqual(answer.headers["retry-after"], "1")
        # nowhere
        for path in ("", "/ready", "/config", "/stats"):
            self.bad(node.curl(f"/v2/models/none{path}"), 404, "'none' is not known")
            self.bad(node.curl(f"/v2/models/add/versions/2{path}"), 404, "no version '2'")
        self.bad(node.infer("none", {"inputs": []}), 404, "'none' is not known")
        self.bad(node.infer("add/versions/x", {"inputs": []}), 404, "no version 'x'")
        self.bad(node.curl("/v2/nothing"), 404, "/v2/nothing")
        answer = node.curl("/v2/models/add/infer")
        self.bad(answer, 405, "GET")
        self.assertEqual(answer.headers["allow"], "POST")
        self.bad(node.curl("/v2/models/add/infer", "-H", "Content-Encoding: gzip", data=b"{}"), 415,
                 "gzip")
        self.end(node)

    def test_not_ready_while_it_loads(self):
        """It is live, answers, and says that it is not ready: 503, so that a probe fails."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = self.repository(large=tiny_onnx.busy(4000, 1))
        process = subprocess.Popen(
            [str(ESTRAN), "node", "--repository", str(folder), "--listen", f"127.0.0.1:{port}",
             "--quiet"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        seen = []
        while process.poll() is None and (200, {"ready": True}) not in seen:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                for path in ("ready", "live"):
                    connection.request("GET", f"/v2/health/{path}")
                    answer = connection.getresponse()
                    seen.append((answer.status, json.loads(answer.read())))
            except ConnectionRefusedError:
                pass  # not even that yet
            connection.close()
        self.assertIn((503, {"ready": False}), seen)
        self.assertEqual([one for one in seen if one not in (
            (503, {"ready": False}), (200, {"ready": True}), (200, {"live": True}))], [])

    def test_the_page_and_the_observation(self):
        node = self.start(self.repository(add=tiny_onnx.add()), "--name", "<edge>", "--carbon", 50)
        self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [1, 2, 3, 4])]}))
        page = self.good(node.curl("/"))
        self.assertTrue(page.headers["content-type"].startswith("text/html"))
        self.assertIn(b"&lt;edge&gt;", page.body)
        self.assertIn(b"add", page.body)
        self.assertNotIn(b"<script", page.body)
        self.assertNotIn(b"http", page.body.replace(b"http-equiv", b""))
        seen = self.good(node.curl("/estran/v1/observe")).json()
        self.assertEqual(seen["node"], "<edge>")
        self.assertEqual(seen["models"][0]["requests"]["ok"], 1)
        self.assertGreater(seen["models"][0]["busy_s"], 0)
        self.assertGreater(seen["models"][0]["energy_j"], 0)
        self.assertGreater(seen["models"][0]["carbon_g"], 0)
        self.assertEqual(seen["energy_source"], "model")
        again = node.curl("/estran/v1/observe").json()
        self.assertEqual(again["epoch"], seen["epoch"])
        self.assertGreater(again["elapsed_s"], seen["elapsed_s"])
        self.end(node)


class Infer(NodeCase):
    def setUp(self):
        super().setUp()
        self.wanted = [2.0, 4.0, 6.0, 8.0, 6.0, 8.0, 10.0, 12.0]

    def test_json(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()))
        for data in ([1, 2, 3, 4, 5, 6, 7, 8], [[1, 2, 3, 4], [5, 6, 7, 8]]):
            for path in ("add", "add/versions/1"):
                answer = self.good(node.infer(path, {"id": "7", "inputs": [f32("x", [2, 4], data)]}))
                self.assertEqual(answer.headers["content-type"], "application/json")
                told = answer.json()
                self.assertEqual((told["model_name"], told["model_version"], told["id"]),
                                 ("add", "1", "7"))
                self.assertEqual(told["outputs"], [{"name": "y", "datatype": "FP32",
                                                    "shape": [2, 4], "data": self.wanted}])
        inputs = [f32("b", [1, 2], [1, 2]), f32("a", [1, 2], [5, 7])]  # in any order
        told = self.good(node.infer("pair", {"inputs": inputs})).json()
        self.assertNotIn("id", told)
        self.assertEqual([(one["name"], one["data"]) for one in told["outputs"]],
                         [("s", [6, 9]), ("d", [4, 5])])
        told = self.good(node.infer("pair", {"inputs": inputs, "outputs": [{"name": "d"}]})).json()
        self.assertEqual([one["name"] for one in told["outputs"]], ["d"])
        told = self.good(node.infer("pair", {"inputs": inputs, "outputs": [
            {"name": "d"}, {"name": "s"}]})).json()
        self.assertEqual([one["name"] for one in told["outputs"]], ["d", "s"])
        self.end(node)

    def test_every_answer_says_what_it_cost(self):
        node = self.start(self.repository(add=tiny_onnx.add()), "--name", "edge-1", "--carbon", 36)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}, b"",
                                      "-H", f"traceparent: {trace}"))
        told = answer.json()["parameters"]
        self.assertEqual((told["estran_node"], told["estran_variant"], told["estran_exit"]),
                         ("edge-1", "add", 1))
        self.assertGreaterEqual(told["estran_queue_us"], 0)
        self.assertGreaterEqual(told["estran_compute_us"], 0)
        self.assertGreater(told["estran_energy_joules"], 0)
        self.assertEqual(told["estran_energy_source"], "model")
        self.assertAlmostEqual(told["estran_gco2e"] / told["estran_energy_joules"], 1e-5, 8)
        self.assertRegex(answer.headers["estran-stages"],
                         r"^edge-1/add;queue=\d+;compute=\d+;joules=[\d.e-]+;grams=[\d.e-]+;"
                         r"source=model$")
        self.assertEqual(answer.headers["traceparent"], trace)
        for wrong in ("00-1", trace[:-1] + "G", trace.replace("-", "_")):
            answer = self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}, b"",
                                          "-H", f"traceparent: {wrong}"))
            self.assertNotIn("traceparent", answer.headers)
        for kind, words in (("json", 'JSON {"application_utilization"'),
                            ("text", "TEXT application_utilization=")):
            answer = node.infer("add", {"inputs": [f32("x", [1, 4], [0] * 4)]}, b"", "-H",
                                f"endpoint-load-metrics-format: {kind}")
            self.assertTrue(answer.headers["endpoint-load-metrics"].startswith(words), answer)
        self.end(node)

    def test_binary(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()))
        eight = struct.pack("<8f", *range(1, 9))
        inputs = [f32("x", [2, 4], binary_data_size=32)]
        for casing in (HEADER, HEADER.lower(), HEADER.upper()):
            head = json.dumps({"inputs": inputs,
                               "parameters": {"binary_data_output": True}}).encode()
            answer = self.good(node.curl("/v2/models/add/infer", "-H", f"{casing}: {len(head)}",
                                         data=head + eight))
            self.assertEqual(answer.headers["content-type"], "application/octet-stream")
            size = int(answer.headers[HEADER.lower()])
            told = json.loads(answer.body[:size])
            self.assertEqual(told["outputs"][0]["parameters"], {"binary_data_size": 32})
            self.assertNotIn("data", told["outputs"][0])
            self.assertEqual(floats(answer.body[size:]), self.wanted)
        # binary in, JSON out, and the other way round
        told = self.good(node.infer("add", {"inputs": inputs}, eight)).json()
        self.assertEqual(told["outputs"][0]["data"], self.wanted)
        answer = self.good(node.infer("add", {
            "inputs": [f32("x", [2, 4], list(range(1, 9)))],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}))
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(floats(answer.body[size:]), self.wanted)
        # one of each, and an output's own wish before the request's
        answer = self.good(node.infer("pair", {
            "inputs": [f32("a", [1, 2], [5, 7]), f32("b", [1, 2], binary_data_size=8)],
            "parameters": {"binary_data_output": True},
            "outputs": [{"name": "s", "parameters": {"binary_data": False}}, {"name": "d"}]},
            struct.pack("<2f", 1, 2)))
        size = int(answer.headers[HEADER.lower()])
        told = json.loads(answer.body[:size])
        self.assertEqual(told["outputs"][0]["data"], [6, 9])
        self.assertEqual(floats(answer.body[size:]), [4, 5])
        self.end(node)

    def test_the_examples_of_the_binary_extension(self):
        """Sizes 19 and 24 as in the extension's text: 3 BYTES elements; 3 INT64 to FP64."""
        node = self.start(self.repository(wide=tiny_onnx.same(tiny_onnx.INT64)))
        three = struct.pack("<3q", 1, -2, 3)
        answer = self.good(node.infer("wide", {
            "inputs": [{"name": "x", "shape": [3], "datatype": "INT64",
                        "parameters": {"binary_data_size": 24}}],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, three))
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(answer.body[size:], three)
        words = b"".join(struct.pack("<I", len(word)) + word for word in (b"ab", b"cde", b"fg"))
        self.assertEqual(len(words), 19)
        self.bad(node.infer("wide", {
            "inputs": [{"name": "x", "shape": [3], "datatype": "BYTES",
                        "parameters": {"binary_data_size": 19}}]}, words), 400, "'x'", "string",
                 "expected i64[3]")
        self.end(node)

    def test_raw(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()))
        answer = self.good(node.curl("/v2/models/add/infer", "-H", f"{HEADER}: 0",
                                     data=struct.pack("<4f", 1, 2, 3, 4)))
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(json.loads(answer.body[:size])["outputs"][0]["shape"], [1, 4])
        self.assertEqual(floats(answer.body[size:]), self.wanted[:4])
        self.bad(node.curl("/v2/models/add/infer", "-H", f"{HEADER}: 0", data=b"\0" * 15), 400, "15",
                 "'x'", "16")
        self.bad(node.curl("/v2/models/pair/infer", "-H", f"{HEADER}: 0", data=b"\0" * 8), 400,
                 "2 inputs")
        self.end(node)

    def test_types(self):
        kinds = [("BOOL", tiny_onnx.BOOL, [True, False, True], "<3?"),
                 ("UINT8", tiny_onnx.UINT8, [0, 7, 255], "<3B"),
                 ("UINT16", tiny_onnx.UINT16, [0, 7, 2**16 - 1], "<3H"),
                 ("UINT32", tiny_onnx.UINT32, [0, 7, 2**32 - 1], "<3I"),
                 ("UINT64", tiny_onnx.UINT64, [0, 7, 2**63 - 1], "<3Q"),
                 ("INT8", tiny_onnx.INT8, [-128, 0, 127], "<3b"),
                 ("INT16", tiny_onnx.INT16, [-2**15, 0, 2**15 - 1], "<3h"),
                 ("INT32", tiny_onnx.INT32, [-2**31, 0, 2**31 - 1], "<3i"),
                 ("INT64", tiny_onnx.INT64, [-2**63, 0, 2**63 - 1], "<3q"),
                 ("FP32", tiny_onnx.FLOAT, [-1.5, 0.1, 3e38], "<3f"),
                 ("FP64", tiny_onnx.DOUBLE, [-1.5, 0.1, 1e300], "<3d")]
        models = {name.lower(): tiny_onnx.same(kind) for name, kind, _, _ in kinds}
        node = self.start(self.repository(fp16=tiny_onnx.same(tiny_onnx.FLOAT16),
                                          bf16=tiny_onnx.same(tiny_onnx.BFLOAT16), **models))
        for name, _, values, packing in kinds:
            tensor = {"name": "x", "shape": [3], "datatype": name}
            told = self.good(node.infer(name.lower(), {"inputs": [{**tensor, "data": values}]}))
            got = told.json()["outputs"][0]
            self.assertEqual(got["datatype"], name)
            if name == "FP32":
                got["data"] = floats(struct.pack("<3f", *got["data"]))
                values = floats(struct.pack("<3f", *values))
            self.assertEqual(got["data"], values)
            packed = struct.pack(packing, *values)
            answer = self.good(node.infer(name.lower(), {
                "inputs": [{**tensor, "parameters": {"binary_data_size": len(packed)}}],
                "parameters": {"binary_data_output": True}}, packed))
            self.assertEqual(answer.body[int(answer.headers[HEADER.lower()]):], packed)
        # as binary only
        for name, packed in (("FP16", struct.pack("<3e", 1, -2, 0.5)),
                             ("BF16", struct.pack("<3H", 0x3f80, 0xc000, 0x3f00))):
            half = {"name": "x", "shape": [3], "datatype": name}
            document = {"inputs": [{**half, "parameters": {"binary_data_size": 6}}],
                        "parameters": {"binary_data_output": True}}
            answer = self.good(node.infer(name.lower(), document, packed))
            self.assertEqual(answer.body[int(answer.headers[HEADER.lower()]):], packed)
            del document["parameters"]
            self.bad(node.infer(name.lower(), document, packed), 400, "'y'", name, "binary only")
            self.bad(node.infer(name.lower(), {"inputs": [{**half, "data": [1, 2, 3]}]}), 400,
                     "inputs[0].data", name)
        self.end(node)

    def test_texts(self):
        """BYTES are read and written (classification answers with them), but no model takes them."""
        node = self.start(self.repository(three=tiny_onnx.same(tiny_onnx.STRING)))
        told = self.good(node.curl("/v2/models/three")).json()
        self.assertEqual(told["inputs"], [{"name": "x", "datatype": "BYTES", "shape": [3]}])
        words = ["ab", "", "d\u00e9j\u00e0 \"vu\""]
        packed = b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in words)
        tensor = {"name": "x", "shape": [3], "datatype": "BYTES"}
        for document, binary in (({"inputs": [{**tensor, "data": words}]}, b""),
                                 ({"inputs": [{**tensor, "parameters": {
                                     "binary_data_size": len(packed)}}]}, packed)):
            self.bad(node.infer("three", document, binary), 501, "'x'", "only tensors of numbers")
        self.bad(node.infer("three", {"inputs": [{**tensor, "parameters": {
            "binary_data_size": len(packed) - 1}}]}, packed[:-1]), 400, "inputs[0]")
        self.bad(node.infer("three", {"inputs": [{**tensor, "data": ["a", 1, "b"]}]}), 400,
                 "inputs[0].data[1]")
        self.end(node)

    def test_classification(self):
        labels = "output { name: 'y' label_filename: 'labels.txt' }"
        node = self.start(self.repository(
            plain=tiny_onnx.softmax(),
            named={"1/model.onnx": tiny_onnx.softmax(), "labels.txt": "a\nb\r\nc\nd",
                   "config.pbtxt": labels + " max_batch_size: 4"},
            whole={"1/model.onnx": tiny_onnx.softmax(), "config.pbtxt": "max_batch_size: 0"}))
        rows = [f32("x", [2, 5], [0, 3, 1, 2, -1, 9, 0, 0, 0, 8])]
        for name, tails in (("plain", ["1", "3", "0", "4"]), ("named", ["1:b", "3:d", "0:a", "4"])):
            told = self.good(node.infer(name, {"inputs": rows, "outputs": [
                {"name": "y", "parameters": {"classification": 2}}]})).json()["outputs"][0]
            self.assertEqual((told["datatype"], told["shape"]), ("BYTES", [2, 2]))
            self.assertEqual([one.split(":", 1)[1] for one in told["data"]], tails)
            best = [float(one.split(":")[0]) for one in told["data"]]
            self.assertAlmostEqual(best[0], 0.6364, 3)
        told = self.good(node.infer("whole", {
            "inputs": [f32("x", [1, 5], [0, 3, 1, 2, -1])],
            "outputs": [{"name": "y", "parameters": {"classification": 9}}]})).json()["outputs"][0]
        self.assertEqual(told["shape"], [5])
        self.assertEqual([one.split(":")[1] for one in told["data"]], ["1", "3", "2", "0", "4"])
        answer = self.good(node.infer("named", {"inputs": rows, "outputs": [
            {"name": "y", "parameters": {"classification": 1, "binary_data": True}}]}))
        size = int(answer.headers[HEADER.lower()])
        elements = answer.body[size:]
        length = struct.unpack_from("<I", elements)[0]
        self.assertTrue(elements[4:4 + length].endswith(b":1:b"))
        self.bad(node.infer("plain", {"inputs": rows, "outputs": [
            {"name": "y", "parameters": {"classification": 0}}]}), 400, "classification")
        self.end(node)

    def test_what_does_not_fit_is_named(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair(),
                                          lookup=tiny_onnx.lookup()))
        one = f32("x", [1, 4], [1, 2, 3, 4])
        cases = [
            ({"inputs": [{**one, "name": "z"}]}, "inputs[0].name: 'z' is no input of model 'add'"),
            ({"inputs": []}, "'x' of model 'add' is missing"),
            ({}, "inputs"),
            ({"inputs": [one, {**one, "name": "z"}]}, "inputs[1].name: 'z'"),
            ({"inputs": [one, one]}, "twice"),
            ({"inputs": [{**one, "datatype": "INT32"}]}, "expected f32[?x4]"),
            ({"inputs": [{**one, "datatype": "FLOAT"}]}, "inputs[0].datatype"),
            ({"inputs": [{**one, "shape": [1, 5], "data": [1, 2, 3, 4, 5]}]}, "got f32[1x5]"),
            ({"inputs": [{**one, "shape": [4]}]}, "got f32[4]"),
            ({"inputs": [{**one, "shape": [2, 4]}]}, "inputs[0].data"),
            ({"inputs": [{**one, "shape": [-1, 4]}]}, "inputs[0].shape[0]"),
            ({"inputs": [{**one, "shape": [0, 4], "data": []}]}, "0 rows must be in 1..8"),
            ({"inputs": [{**one, "shape": [9, 4], "data": [0] * 36}]}, "9 rows must be in 1..8"),
            ({"inputs": [{**one, "data": [[1, 2], [3, 4]]}]}, "inputs[0].data"),
            ({"inputs": [{**one, "data": [1, 2, 3, "4"]}]}, "inputs[0].data[3]"),
            ({"inputs": [{**one, "data": [1, 2, 3, 1e39]}]}, "inputs[0].data[3]"),
            ({"inputs": [one], "outputs": [{"name": "z"}]}, "outputs[0].name: 'z' is no output"),
            ({"inputs": [one], "parameters": {"timeout": -1}}, "parameters.timeout"),
            ({"inputs": [one], "parameters": {"priority": "high"}}, "parameters.priority"),
            ({"inputs": [f32("x", [1, 4], binary_data_size=16)]}, "left behind the JSON"),
            ({"inputs": {}}, "inputs"),
            ([], "map"),
        ]
        for document, words in cases:
            self.bad(node.infer("add", document), 400, words)
        binary = f32("x", [1, 4], binary_data_size=16)
        self.bad(node.infer("add", {"inputs": [binary]}, b"\0" * 15), 400, "binary_data_size")
        self.bad(node.infer("add", {"inputs": [binary]}, b"\0" * 17), 400, "belong to no tensor")
        self.bad(node.infer("add", {"inputs": [f32("x", [1, 4], binary_data_size=12)]}, b"\0" * 12),
                 400, "binary_data_size", "12")
        for text in (b"", b"{", b'{"inputs": [}', b"\xff\xfe", b'{"inputs":[],"inputs":[]}'):
            self.bad(node.curl("/v2/models/add/infer", data=text), 400)
        for size in ("-1", "x", "99999999999999999999", "100"):
            self.bad(node.curl("/v2/models/add/infer", "-H", f"{HEADER}: {size}", data=b"{}"), 400,
                     HEADER)
        many = [f32(f"x{i}", [1], [0]) for i in range(129)]
        self.bad(node.infer("add", {"inputs": many}), 400, "129 tensors")
        self.bad(node.infer("pair", {"inputs": [f32("a", [1, 2], [1, 2]),
                                                f32("b", [2, 2], [1, 2, 3, 4])]}), 400, "'b'")
        # what only running shows
        index = {"name": "x", "shape": [1], "datatype": "INT64"}
        self.bad(node.infer("lookup", {"inputs": [{**index, "data": [9]}]}), 500, "run")
        told = self.good(node.infer("lookup", {"inputs": [{**index, "data": [2]}]})).json()
        self.assertEqual(told["outputs"][0]["data"], [12])
        counts = node.stats("lookup")["inference_stats"]
        self.assertEqual((counts["success"]["count"], counts["fail"]["count"]), (1, 1))
        self.end(node)


class Configured(NodeCase):
    def test_configuration_and_statistics(self):
        config = """
            max_batch_size: 4
            input [ { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } } ]
            dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 50 }
            instance_group [ { count: 2 } ]
            model_warmup [ { name: "w" batch_size: 2
                             inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ]
                                                       zero_data: true } } } ]
            parameters { key: "estran_quality" value { string_value: "0.9" } }"""
        node = self.start(self.repository(
            add={"1/model.onnx": tiny_onnx.add(), "config.pbtxt": config}))
        told = self.good(node.curl("/v2/models/add/config")).json()
        self.assertEqual((told["max_batch_size"], told["platform"]), (4, "onnx_onnxv1"))
        self.assertEqual(told["input"], [{"name": "x", "data_type": "TYPE_FP32", "dims": [2, 2],
                                          "reshape": {"shape": [4]}}])
        self.assertEqual(told["output"], [{"name": "y", "data_type": "TYPE_FP32", "dims": [4]}])
        self.assertEqual(told["instance_group"][0]["count"], 2)
        self.assertEqual(told["dynamic_batching"]["preferred_batch_size"], [2, 4])
        self.assertEqual(told["model_warmup"][0]["name"], "w")
        # the client sees the shape of the configuration
        self.assertEqual(node.curl("/v2/models/add").json()["inputs"][0]["shape"], [-1, 2, 2])
        answer = self.good(node.infer("add", {
            "inputs": [f32("x", [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])]}))
        self.assertEqual(answer.json()["outputs"][0]["data"], [2, 4, 6, 8, 6, 8, 10, 12])
        self.bad(node.infer("add", {"inputs": [f32("x", [2, 4], [0] * 8)]}), 400, "'x'", "[?x2x2]")
        self.bad(node.infer("add", {"inputs": [f32("x", [5, 2, 2], [0] * 20)]}), 400,
                 "5 rows must be in 1..4")
        told = node.stats("add")
        self.assertEqual((told["inference_count"], told["execution_count"]), (2, 1))
        self.assertEqual(told["inference_stats"]["success"]["count"], 1)
        self.assertEqual(told["inference_stats"]["fail"]["count"], 2)
        self.assertEqual([one["batch_size"] for one in told["batch_stats"]], [2])
        self.assertLess(abs(told["last_inference"] / 1000 - time.time()), 60)
        for key in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
                    "cache_hit", "cache_miss"):
            self.assertEqual(sorted(told["inference_stats"][key]), ["count", "ns"])
        self.assertEqual(told["memory_usage"][0]["type"], "CPU")
        self.end(node)

    def test_the_response_cache(self):
        node = self.start(self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair()), "--cache", 1,
                          "--cache-all")
        first = f32("x", [1, 4], [1, 2, 3, 4])
        for _ in range(3):
            answer = self.good(node.infer("add", {"inputs": [first]}))
            self.assertEqual(answer.json()["outputs"][0]["data"], [2, 4, 6, 8])
        self.good(node.infer("add", {"inputs": [f32("x", [1, 4], [1, 2, 3, 5])]}))
        told = node.stats("add")
        self.assertEqual(told["inference_stats"]["cache_hit"]["count"], 2)
        self.assertEqual(told["inference_stats"]["cache_miss"]["count"], 2)
        self.assertEqual(told["inference_stats"]["success"]["count"], 4)
        self.assertEqual(told["execution_count"], 2)
        # a new version of the model does not answer from the old one's
        (self.folder / "models/add/1/model.onnx").write_bytes(tiny_onnx.add((5, 5, 5, 5)))
        self.good(node.curl("/v2/repository/models/add/load", "-X", "POST"))
        answer = self.good(node.infer("add", {"inputs": [first]}))
        self.assertEqual(answer.json()["outputs"][0]["data"], [6, 7, 8, 9])
        self.end(node)


class Metrics(NodeCase):
    def scrape(self, node):
        """family -> [(labels, value)]; checks the format on the way."""
        answer = self.good(node.curl("/metrics"))
        self.assertEqual(answer.headers["content-type"],
                         "text/plain; version=0.0.4; charset=utf-8")
        text = answer.body.decode()
        self.assertTrue(text.endswith("\n"))
        kinds, samples, current = {}, {}, None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                current = line.split()[2]
                self.assertNotIn(current, kinds, "one HELP per family")
                kinds[current] = None
            elif line.startswith("# TYPE "):
                self.assertEqual(line.split()[2], current)
                kinds[current] = line.split()[3]
            else:
                self.assertRegex(line, r'^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-z]+="[^"]*",?)+\})? '
                                       r'([\d.e+-]+|NaN|[+-]Inf)$')
                name = line.split("{")[0].split()[0]
                base = name
                if kinds.get(current) == "histogram":
                    base = name.rsplit("_", 1)[0]
                self.assertEqual(base, current, line)
                self.assertIsNotNone(kinds[current])
                samples.setdefault(name, []).append((line.split(" ")[0], float(line.split()[-1])))
        for name, kind in kinds.items():
            if kind == "counter" and not name.startswith("nv_"):
                self.assertTrue(name.endswith("_total"), name)
        return samples

    def test_counters_add_up(self):
        node = self.start(self.repository(add=tiny_onnx.add()), "--carbon", 100)
        before = self.scrape(node)
        for _ in range(3):
            self.good(node.infer("add", {"inputs": [f32("x", [2, 4], [0] * 8)]}))
        self.bad(node.infer("add", {"inputs": []}), 400)
        after = self.scrape(node)
        self.assertNotIn("nv_inference_count", after)
        ends = {label.split('outcome="')[1].split('"')[0]: value
                for label, value in after["estran_inference_requests_total"]}
        self.assertEqual((ends["ok"], ends["wrong"], ends["failed"]), (3, 1, 0))
        self.assertEqual(after["estran_inference_duration_seconds_count"][0][1], 4)
        self.assertEqual(after["estran_inference_duration_seconds_bucket"][-1][1], 4)
        self.assertEqual(after["estran_queue_duration_seconds_count"][0][1], 3)
        self.assertEqual(after["estran_batch_rows_total"][0][1], 6)
        joules = after["estran_energy_joules_total"][0]
        self.assertIn('source="model"', joules[0])
        self.assertGreater(joules[1], before["estran_energy_joules_total"][0][1])
        grams = after["estran_carbon_grams_total"][0][1]
        self.assertAlmostEqual(grams / joules[1] * 3.6e6, 100, 6)
        self.assertGreater(after["process_resident_memory_bytes"][0][1], 1e6)
        self.end(node)

    def test_other_names_behind_a_switch(self):
        node = self.start(self.repository(add=tiny_onnx.add()), "--metrics-nv")
        self.good(node.infer("add", {"inputs": [f32("x", [2, 4], [0] * 8)]}))
        told = self.scrape(node)
        self.assertEqual(told["nv_inference_request_success"][0],
                         ('nv_inference_request_success{model="add",version="1"}', 1))
        self.assertEqual(told["nv_inference_count"][0][1], 2)
        self.assertEqual(told["nv_inference_exec_count"][0][1], 1)
        reasons = [label.split('reason="')[1].split('"')[0]
                   for label, _ in told["nv_inference_request_failure"]]
        self.assertEqual(reasons, ["REJECTED", "CANCELED", "BACKEND", "OTHER"])
        for name in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
            self.assertIn(f"nv_inference_{name}_duration_us", told)
        for name in ("nv_inference_pending_request_count", "nv_cache_num_hits_per_model",
                     "nv_cpu_memory_total_bytes", "nv_cpu_utilization"):
            self.assertIn(name, told)
        self.end(node)


class RequestLog(NodeCase):
    SCENARIO = """
format: estran-scenario
version: 1
name: replay
network:
  nodes: [{name: here, tier: edge, kind: k, processors: 1, memory_bytes: 1e9, power: {idle_w: 1}}]
  links: []
"""

    def test_lines_are_a_trace(self):
        log = self.folder / "requests.jsonl"
        node = self.start(self.repository(add=tiny_onnx.add(), lookup=tiny_onnx.lookup()),
                          "--request-log", log)
        one = f32("x", [1, 4], [0] * 4)
        self.good(node.infer("add", {"id": "a", "inputs": [one]}))
        self.good(node.infer("add", {"inputs": [one], "parameters": {"estran_class": "detect"}}))
        self.bad(node.infer("lookup", {"inputs": [
            {"name": "x", "shape": [1], "datatype": "INT64", "data": [9]}]}), 500)
        self.bad(node.infer("add", {"inputs": []}), 400)
        self.end(node)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual([(line["class"], line["model"], line["outcome"]) for line in lines],
                         [("add", "add", "ok"), ("detect", "add", "ok"),
                          ("lookup", "lookup", "failed"), ("add", "add", "wrong")])
        self.assertEqual(lines[0]["id"], "a")
        self.assertEqual(sorted(line["time_s"] for line in lines),
                         [line["time_s"] for line in lines])
        self.assertLess(abs(lines[0]["time_s"] - time.time()), 60)
        self.assertGreater(lines[0]["energy_j"], 0)
        self.assertGreaterEqual(lines[0]["total_ms"], lines[0]["compute_ms"])


if __name__ == "__main__":
    main()
