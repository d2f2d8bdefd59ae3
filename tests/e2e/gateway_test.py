"""`estran gateway` in front of real nodes: the protocol as a client meets it, TLS and tokens on every
hop, and its request log, replayed."""
import json
import re
import struct
import subprocess
import unittest

import support
from gateway_support import FIGURES, WIDTH, GatewayCase, Process, options
from node_support import HEADER, Answer, f32, floats
from support import ROOT, main

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Protocol(GatewayCase):
    def setUp(self):
        super().setUp()
        self.one, self.two = self.nodes(2)
        self.urls = {"n1": self.one.url(), "n2": self.two.url()}
        for node in (self.one, self.two):
            node.json("PUT", "/estran/v1/peers", {"peers": [
                {"name": name, "url": url} for name, url in self.urls.items()]})
        self.gate = self.gateway("--body-max", "1", "--request-log", self.folder / "log.jsonl")
        self.follow(self.gate, self.urls, [
            ("look", options((1, "n1/add"))),
            ("chain", options((1, "n1/soft, n2/add"))),
            ("cascade", options((1, "n1/soft;exit=0.9, n2/add;input=request")))])

    def infer(self, task, document, *words, binary=b""):
        head = json.dumps(document).encode()
        if binary:
            words = (*words, "-H", f"{HEADER}: {len(head)}")
        return self.gate.curl(f"/v2/models/{task}/infer", *words, data=head + binary)

    def good(self, answer):
        self.assertEqual(answer.status, 200, answer)
        return answer

    def bad(self, answer, status, words):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertIn(words, answer.json()["error"])

    def test_json_flat_and_nested(self):
        for data in ([1, 2, 3, 4], [[1, 2, 3, 4]]):
            told = self.good(self.infer("look", {"id": "7", "inputs": [
                f32("x", [1, WIDTH], data)]})).json()
            self.assertEqual(told["model_name"], "look")
            self.assertEqual(told["id"], "7")
            self.assertEqual(told["outputs"], [{"name": "y", "datatype": "FP32", "shape": [1, 4],
                                                "data": [2, 4, 6, 8]}])
            self.assertEqual(told["parameters"]["estran_node"], "n1")
            self.assertEqual(told["parameters"]["estran_variant"], "add")
            self.assertGreater(told["parameters"]["estran_energy_joules"], 0)

    def test_binary_in_and_out(self):
        answer = self.good(self.infer(
            "look", {"inputs": [f32("x", [1, 4], binary_data_size=16)],
                     "outputs": [{"name": "sum", "parameters": {"binary_data": True}}]},
            binary=struct.pack("<4f", 1, 2, 3, 4)))
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(floats(answer.body[size:]), [2, 4, 6, 8])
        self.assertEqual(json.loads(answer.body[:size])["outputs"][0]["name"], "sum")

    def test_raw_request(self):
        answer = self.good(self.gate.curl("/v2/models/look/infer", "-H", f"{HEADER}: 0",
                                          data=struct.pack("<4f", 1, 2, 3, 4)))
        size = int(answer.headers[HEADER.lower()])
        self.assertEqual(floats(answer.body[size:]), [2, 4, 6, 8])

    def test_stages_and_exits(self):
        told = self.good(self.infer("chain", {"inputs": [f32("x", [1, 4], [0, 0, 0, 0])]}))
        self.assertEqual(told.json()["outputs"][0]["data"], [1.25, 2.25, 3.25, 4.25])
        self.assertRegex(told.headers["estran-stages"], r"^n1/soft;queue=.*, n2/add;queue=.*")
        sure = self.good(self.infer("cascade", {"inputs": [f32("x", [1, 4], [9, 0, 0, 0])]}))
        self.assertEqual(sure.json()["parameters"]["estran_exit"], 1)
        unsure = self.good(self.infer("cascade", {"inputs": [f32("x", [1, 4], [1, 0, 0, 0])]}))
        self.assertEqual(unsure.json()["parameters"]["estran_exit"], 2)
        self.assertEqual(unsure.json()["outputs"][0]["data"], [2, 2, 3, 4])

    def test_what_does_not_fit(self):
        good = f32("x", [1, 4], [1, 2, 3, 4])
        self.bad(self.infer("smell", {"inputs": [good]}), 404, "task 'smell' is not known")
        self.bad(self.infer("look", {"inputs": [dict(good, shape=[1, 3])]}), 400, "inputs[0]")
        self.bad(self.infer("look", {"inputs": [dict(good, datatype="FP33")]}), 400, "FP33")
        self.bad(self.infer("look", {"inputs": [good], "parameters": {"estran_slo_ms": "x"}}), 400,
                 "estran_slo_ms")
        self.bad(self.infer("look", {"inputs": [good], "outputs": [{"name": "a"}, {"name": "b"}]}),
                 400, "one answer")
        self.bad(self.gate.curl("/v2/models/look/infer", data=b'{"inputs":'), 400, ":1:")
        self.bad(self.gate.curl("/v2/models/look/infer", data=b"x" * (1 << 20 | 1)), 413, "")
        self.assertEqual(self.gate.curl("/v2/models/look/infer").status, 405)
        self.bad(self.gate.curl("/v2/models/look/infer", "-H", f"{HEADER}: 99", data=b"{}"), 400,
                 HEADER)

    def test_metadata_metrics_page_trace(self):
        told = self.gate.curl("/v2/models/look").json()
        port = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
        self.assertEqual(told, {"name": "look", "platform": "estran_task", "inputs": [port],
                                "outputs": [dict(port, name="y")]})
        answer = self.good(self.infer("chain", {"inputs": [f32("x", [1, 4], [0, 0, 0, 0])]},
                                      "-H", f"traceparent: {TRACE}"))
        self.assertEqual(answer.headers.get("traceparent"), TRACE)
        metrics = self.gate.curl("/metrics").body.decode()
        self.assertIn('estran_inference_requests_total{model="chain",variant="add",node="n2",exit="2",'
                      'outcome="answered"} 1\n', metrics)
        for line in metrics.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{.*\})? [0-9.e+-]+)$")
        self.assertIn("n1/soft, n2/add", self.gate.curl("/").body.decode())

    def test_requests_are_logged(self):
        for _ in range(5):
            self.good(self.infer("chain", {"inputs": [f32("x", [1, 4], [0, 0, 0, 0])]},
                                 "-H", f"traceparent: {TRACE}"))
        self.gate.end()
        rows = [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]
        self.assertEqual(len(rows), 5)
        for row in rows:
            self.assertEqual((row["class"], row["outcome"], row["model"], row["node"]),
                             ("chain at n1", "answered", "add", "n2"))
            self.assertEqual(row["traceparent"], TRACE)
            self.assertGreater(row["energy_j"], 0)


class Replay(GatewayCase):
    """What clients asked a gateway for, played again by the simulator."""

    def test_simulate_replays_the_log(self):
        folder = self.folder / "example"
        for name in ("small", "large"):
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1/model.onnx").write_bytes(
                (ROOT / f"examples/01-first-run/models/{name}.onnx").read_bytes())
        node = self.launch(Process("node", "--repository", folder, "--name", "hall", "--listen",
                                   "127.0.0.1:0"))
        log = self.folder / "log.jsonl"
        gate = self.gateway("--request-log", log, "--entry", "sensor-2")
        document = self.routes({"hall": node.url()}, [("condition", options((1, "hall/large")))])
        document["classes"] = [dict(document["classes"][0], entry=f"sensor-{i}") for i in (1, 2, 3)]
        document["tasks"] = []
        gate.json("PUT", "/estran/v1/routes", document)
        sample = (ROOT / "examples/01-first-run/samples.f32").read_bytes()[:2048]
        head = json.dumps({"inputs": [{"name": "input", "shape": [1, 1, 512], "datatype": "FP32",
                                       "parameters": {"binary_data_size": 2048}}],
                           "parameters": {"estran_entry": "sensor-3"}}).encode()
        for _ in range(7):
            self.assertEqual(gate.call("POST", "/v2/models/condition/infer", head + sample,
                                       {HEADER: str(len(head))})[0], 200)
        gate.end()
        text = support.example(samples=False)
        demand = (f"demand:\n  - {{task: condition, at: sensor-3, arrivals: trace, "
                  f"trace: {{file: {log}, format: requests}}}}\n")
        text = re.sub(r"demand:\n(  - .*\n)+", demand, text)
        told = self.ok("simulate", "--mode", "event", "--json", self.write("again.yaml", text)).stdout
        total = {}
        for line in told.splitlines():
            row = json.loads(line)
            if "arrived" in row:
                total[row.get("kind", row.get("type", ""))] = row["arrived"]
        self.assertIn(7, total.values(), told[:2000])


class Secured(GatewayCase):
    """TLS with certificates of both sides, and tokens by role, on both hops."""

    def curl(self, process, method, path, *words, data=None):
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "30", "-X", method, "--cacert",
             f"{self.authority}.pem", "--cert", f"{self.mine}.pem", "--key", f"{self.mine}.key",
             *words, *(["--data-binary", "@-"] if data is not None else []),
             f"https://127.0.0.1:{process.port}{path}"],
            input=data, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return Answer(done.stdout)

    def test_both_hops(self):
        self.authority = self.certificate("authority")
        self.mine = self.certificate("client", self.authority)
        server = self.certificate("server", self.authority)
        tokens = self.write("tokens", "client client-token-0123\nnode node-token-012345\n"
                                      "gateway gateway-token-0123\ncontroller control-token-0123\n")
        shown = {role: self.write(f"{role}.token", f"{token}\n") for role, token in
                 (("node", "node-token-012345"), ("gateway", "gateway-token-0123"))}
        serving = ["--tls-cert", f"{server}.pem", "--tls-key", f"{server}.key", "--tls-client-ca",
                   f"{self.authority}.pem", "--tokens", tokens, "--peer-ca", f"{self.authority}.pem",
                   "--peer-cert", f"{self.mine}.pem", "--peer-key", f"{self.mine}.key"]
        one, two = self.nodes(2, *serving, "--peer-token", shown["node"])
        gate = self.gateway(*serving, "--peer-token", shown["gateway"])
        urls = {name: f"https://127.0.0.1:{node.port}" for name, node in (("n1", one), ("n2", two))}
        control = ("-H", "Authorization: Bearer control-token-0123")
        client = ("-H", "Authorization: Bearer client-token-0123")
        peers = json.dumps({"peers": [{"name": "n2", "url": urls["n2"]}]}).encode()
        self.assertEqual(self.curl(one, "PUT", "/estran/v1/peers", *client, data=peers).status, 403)
        self.assertEqual(self.curl(one, "PUT", "/estran/v1/peers", *control, data=peers).status, 200)
        routes = json.dumps(self.routes(urls, [("look", options((1, "n1/soft, n2/add")))])).encode()
        put = "/estran/v1/routes"
        self.assertEqual(self.curl(gate, "PUT", put, data=routes).status, 401)
        self.assertEqual(self.curl(gate, "PUT", put, *client, data=routes).status, 403)
        self.assertEqual(self.curl(gate, "PUT", put, *control, data=routes).status, 200)
        ask = json.dumps({"inputs": [f32("x", [1, 4], [0, 0, 0, 0])]}).encode()
        path = "/v2/models/look/infer"
        self.assertEqual(self.curl(gate, "POST", path, data=ask).status, 401)
        answer = self.curl(gate, "POST", path, *client, data=ask)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json()["outputs"][0]["data"], [1.25, 2.25, 3.25, 4.25])
        self.assertEqual(self.curl(one, "POST", "/v2/models/soft/infer", *client, "-H",
                                   "Estran-Route: n1/soft, n2/add", data=ask).status, 403)
        self.assertNotIn(b"token", self.curl(gate, "GET", put, *control).body)
        # Without a certificate nobody gets a word.
        bare = subprocess.run(["curl", "-sS", "--cacert", f"{self.authority}.pem", "--max-time", "20",
                               f"https://127.0.0.1:{gate.port}/v2/health/live"], capture_output=True,
                              check=False, timeout=60)
        self.assertNotEqual((bare.returncode, bare.stdout), (0, b'{"live":true}'))


if __name__ == "__main__":
    main()
