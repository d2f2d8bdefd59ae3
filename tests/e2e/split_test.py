"""estran plan --split: the best split, its document, the cut that makes it."""
import json

import support
from support import ROOT, Case

MODEL = ROOT / "examples/01-first-run/models/large.onnx"
SCENARIO = """
format: estran-scenario
version: 1
name: chain
kinds:
  - {name: camera, macs_per_s: 1.0e+9, processors: 1, memory_mb: 0.104, idle_w: 0.5, busy_w: 2}
  - {name: server, macs_per_s: 5.0e+11, processors: 32, memory_mb: 16000, idle_w: 90, busy_w: 400}
nodes:
  - {name: camera, tier: device, kind: camera}
  - {name: mast, tier: network, kind: server, processors: 0}
  - {name: cloud, tier: cloud, kind: server}
links:
  - {between: [camera, mast], latency_ms: 4, bandwidth_mbps: 0.2, energy_nj_per_bit: 100}
  - {between: [mast, cloud], latency_ms: 15, bandwidth_mbps: 10, energy_nj_per_bit: 20}
tasks: [{name: see, input_bytes: 2048, output_bytes: 24}]
segments: [{name: all, memory_bytes: 1, on: [{kind: server, time_ms: 1}]}]
pipelines: [{name: all, task: see, quality: 1, stages: [{segment: all}]}]
demand: [{task: see, at: camera, rate_rps: 1}]
objective: {latency_per_s: 1}
"""


class Split(Case):
    def split(self, *words):
        return self.ok("plan", "--split", MODEL, "--over", "camera,cloud", *words, self.scenario)

    def setUp(self):
        super().setUp()
        self.scenario = self.write("chain.yaml", SCENARIO)

    def test_document_and_cut(self):
        plan = json.loads(self.split("--json").stdout)
        self.assertEqual((plan["format"], plan["quality"]), ("estran-split", "optimal"))
        nodes = [segment["node"] for segment in plan["segments"]]
        self.assertEqual(nodes, ["camera", "cloud"])  # the whole does not fit the camera
        head = plan["segments"][0]
        self.assertLess(head["output_bytes"], 2048)
        self.assertLessEqual(head["memory_bytes"], 104e3)
        for other in plan["alternatives"]:
            self.assertGreaterEqual(other["latency_ms"], plan["latency_ms"] - 1e-9)
        # by hand: time there, the tensor over both links, the rest, the answer back
        bits = 8 * (head["output_bytes"] + 24)
        wanted = (sum(s["time_ms"] for s in plan["segments"]) + 2 * 19
                  + 1e3 * bits * (1 / 0.2e6 + 1 / 10e6))
        self.assertAlmostEqual(plan["latency_ms"], wanted, places=6)
        self.ok("cut", MODEL, "--at", head["to"], "--output", self.folder / "part")
        self.assertTrue((self.folder / "part.seg1.onnx").exists())

    def test_output_is_what_json_prints(self):
        kept = self.folder / "split.json"
        self.split("--output", kept)
        self.assertEqual(kept.read_text(), self.split("--json").stdout)

    def test_exit_saves_time(self):
        plain = json.loads(self.split("--json").stdout)
        early = json.loads(self.split("--json", "--exit", "features=0.9").stdout)
        self.assertLess(early["latency_ms"], plain["latency_ms"])

    def test_rate_that_nothing_sustains(self):
        done = support.estran("plan", "--split", MODEL, "--over", "camera,cloud",
                              "--throughput-min", "1e6", self.scenario)
        self.assertEqual(done.returncode, 3)
        self.assertIn("at most", done.stdout)

    def test_mistakes(self):
        for expected, words in [
            (["no node 'clod'", "'cloud'"], ["--split", MODEL, "--over", "camera,clod"]),
            (["only forwards"], ["--split", MODEL, "--over", "camera,mast"]),
            (["needs --over"], ["--split", MODEL]),
            (["needs --split"], ["--over", "camera"]),
            (["no cut point", "'features'"],
             ["--split", MODEL, "--over", "camera,cloud", "--exit", "feature=0.5"]),
            (["share of 0..1"],
             ["--split", MODEL, "--over", "camera,cloud", "--exit", "features=2"]),
            (["'latency'"],
             ["--split", MODEL, "--over", "camera,cloud", "--objective", "latencyy"]),
        ]:
            with self.subTest(words=words):
                self.fails(2, expected, "plan", *words, self.scenario)


if __name__ == "__main__":
    support.main()
