"""`estran bench-serve` against `estran node`: figures add up, errors are told."""
import json
import re
import struct

import tiny_onnx
from node_test import NodeCase
from support import estran, main


class BenchServe(NodeCase):
    def setUp(self):
        super().setUp()
        self.node = self.start(self.repository(add=tiny_onnx.add(), busy=tiny_onnx.busy(64, 4)))
        self.url = f"http://127.0.0.1:{self.node.port}"

    def tearDown(self):
        self.end(self.node)

    def load(self, *words):
        """Whatever the verdict is: few queries prove nothing."""
        done = estran("bench-serve", self.url, "--quiet", "--warm-up", "0.1", *words)
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.assertEqual(done.stderr, "")
        return done

    def document(self, *words):
        done = self.load("--json", *words)
        told = json.loads(done.stdout)
        if "trials" not in told:
            self.assertEqual(done.returncode, {"VALID": 0, "INVALID": 3}[told["result"]])
        self.assertEqual((told["format"], told["version"]), ("estran-load", 1))
        self.assertEqual(told["queries"], told["answered"] + told["failed"])
        return told

    def test_scenarios(self):
        for words, samples in [(["SingleStream"], 1), (["MultiStream", "--batch", "4"], 8),
                               (["Server", "--rate", "1000"], 1), (["Offline", "--batch", "8"], 8)]:
            with self.subTest(words=words):
                told = self.document("--model", "add", "--duration", "0.3", "--queries", "50",
                                     "--scenario", *words)
                self.assertEqual(told["scenario"], words[0])
                self.assertGreaterEqual(told["queries"], 50)
                self.assertEqual(told["failed"], 0, told)
                self.assertEqual(told["samples"], samples * told["queries"])
                self.assertTrue(told["satisfied"]["duration"] and told["satisfied"]["queries"])
                latency = told["latency_ms"]
                steps = [latency[key] for key in ("min", "p50", "p90", "p99", "p99.9", "max")]
                self.assertEqual(steps, sorted(steps))
                self.assertGreater(steps[0], 0)

    def test_text_has_loadgens_keys(self):
        told = self.load("--model", "add", "--rate", "2000", "--duration", "0.5", "--queries", "500").stdout
        for line in (r"^SUT name : http://127.0.0.1:\d+ add$", r"^Scenario : Server$",
                     r"^Mode     : PerformanceOnly$", r"^Scheduled samples per second : [\d.]+$",
                     r"^Result is : (VALID|INVALID)$", r"^  Min queries satisfied : Yes$",
                     r"^Mean latency \(ns\)               : \d+$", r"^Failed queries                  : 0$"):
            self.assertIsNotNone(re.search(line, told, re.M), f"no {line} in {told}")

    def test_same_seed_same_schedule(self):
        words = ("--model", "add", "--rate", "300", "--duration", "0.3", "--queries", "1")
        counts = [self.document(*words, "--seed", seed)["queries"] for seed in (5, 5, 6)]
        self.assertEqual(counts[0], counts[1])

    def test_samples_of_a_file(self):
        path = self.folder / "samples.f32"
        path.write_bytes(struct.pack("<12f", *range(12)))
        told = self.document("--model", "add", "--input", path, "--scenario", "SingleStream",
                             "--queries", "20", "--duration", "0", "--parameter", "who=me")
        self.assertEqual((told["inputs"], told["input_bytes"], told["queries"]), (3, 16, 20))

    def test_find_rate(self):
        told = self.document("--model", "busy", "--find-rate", "--rate", "50", "--target", "50",
                             "--duration", "0.4", "--queries", "1", "--precision", "1",
                             "--timeout", "1")
        good = [trial["rate_rps"] for trial in told["trials"] if trial["good"]]
        self.assertEqual(told["highest_rate_rps"], max(good))
        self.assertEqual(told["rate_rps"], max(good))

    def test_the_exit_status_tells_the_verdict(self):
        words = ("--model", "add", "--duration", "0.2", "--rate", "2000")
        for more, code, verdict in ((("--scenario", "Offline", "--queries", "20"), 0, "VALID"),
                                    (("--target", "0.001", "--queries", "500"), 3, "INVALID"),
                                    (("--target", "1000", "--queries", "1", "--duration", "0"), 3,
                                     "INVALID")):  # too few to be sure
            done = self.load(*words, *more)
            self.assertIn(f"\nResult is : {verdict}\n", done.stdout)
            self.assertEqual(done.returncode, code, more)

    def test_mistakes(self):
        self.fails(2, ["--model NAME is needed"], "bench-serve", self.url)
        self.fails(1, ["status 404"], "bench-serve", self.url, "--model", "absent")
        self.fails(2, ["'nowhere' must be http://HOST:PORT"], "bench-serve", "nowhere", "--model", "x")
        self.fails(2, ["bytes are no multiple of the 16"], "bench-serve", self.url, "--model", "add",
                   "--input", self.write("odd.f32", "odd"))


if __name__ == "__main__":
    main()
