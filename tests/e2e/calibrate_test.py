"""estran calibrate, end to end: a cascade of real models, files of scores, mistakes."""
import json
import math
import random

import support

FOLDER = support.ROOT / "examples/01-first-run"


class Calibrate(support.Case):
    def cascade(self, *more):
        models = [FOLDER / "models" / f"{name}.onnx" for name in ("tiny", "small", "large")]
        return self.ok("calibrate", *models, "--data", FOLDER / "samples.f32", "--labels",
                       FOLDER / "labels.u8", *more)

    def test_cascade_of_the_example(self):
        svg = self.folder / "r.svg"
        out = self.folder / "c.json"
        done = self.cascade("--json", "--target", "0.8", "--svg", svg, "--output", out)
        found = json.loads(done.stdout)
        self.assertEqual(json.loads(out.read_text()), found)
        self.assertEqual((found["format"], found["cost_unit"]), ("estran-calibration", "MACs"))
        self.assertEqual([s["name"] for s in found["stages"]],
                         ["tiny.onnx", "small.onnx", "large.onnx"])
        curve = [(p["cost"], p["accuracy"]) for p in found["curve"]]
        self.assertEqual(curve, sorted(curve))
        self.assertEqual(len({a for _, a in curve}), len(curve))
        self.assertGreaterEqual(found["certified"]["accuracy"], 0.8)
        self.assertIn("<svg", svg.read_text())
        self.assertEqual(self.cascade("--json", "--target", "0.8").stdout, done.stdout)
        self.assertIn("certified: stop at confidence", self.cascade("--target", "0.8").stdout)
        costs = json.loads(self.cascade("--json", "--costs", "1,2,3").stdout)
        self.assertEqual([s["cost"] for s in costs["stages"]], [1, 2, 3])

    def test_catalogue_of_a_cascade(self):
        """Included beside the segments of its models it is planned; thresholds are of raw confidence."""
        part = self.folder / "cascade.yaml"
        self.cascade("--target", "0.8", "--catalogue", part, "--task", "condition", "--fit-share", "0.2")
        text = part.read_text()
        self.assertIn('name: "tiny+small+large"', text)
        self.assertEqual(text.count("exit_threshold"), 2)
        found = json.loads(self.cascade("--target", "0.8", "--catalogue", part, "--task", "condition",
                                        "--fit-share", "0.2", "--json").stdout)
        self.assertEqual(found["thresholds_of"], "given")
        for threshold in found["certified"]["thresholds"]:
            self.assertIn(f"exit_threshold: {threshold}", text)
        lines = ["format: estran-scenario", "version: 1", "include: [cascade.yaml]",
                 "nodes: [{name: box, tier: edge, memory_mb: 1, macs_per_s: 1.0e9}]",
                 "tasks: [{name: condition, input_bytes: 2048, output_bytes: 24}]", "segments:",
                 *(f"  - {{name: {name}, memory_mb: 0.1, work_macs: 1000}}"
                   for name in ("tiny", "small", "large")),
                 "demand: [{task: condition, at: box, rate_rps: 1}]"]
        plan = json.loads(self.ok("plan", self.write("s.yaml", "\n".join(lines)), "--json").stdout)
        self.assertEqual(plan["routing"][0]["pipeline"], "tiny+small+large")
        self.assertNotEqual(found["certified"]["thresholds"], json.loads(self.cascade(
            "--target", "0.8", "--fit-share", "0.2", "--json").stdout)["certified"]["thresholds"])

    def test_catalogue_mistakes(self):
        models = [FOLDER / "models" / f"{name}.onnx" for name in ("tiny", "large")]
        given = ("--data", FOLDER / "samples.f32", "--labels", FOLDER / "labels.u8", "--catalogue",
                 self.folder / "c.yaml")
        task = ("--task", "t")
        target = ("--target", "0.8")
        self.fails(2, ["--catalogue needs --target"], "calibrate", *models, *given, *task)
        self.fails(2, ["--catalogue needs --task"], "calibrate", *models, *given, *target)
        self.fails(2, ["at least two models"], "calibrate", models[0], *given, *target, *task)
        self.fails(2, ["nodes stop by nothing else"], "calibrate", *models, *given, *target, *task,
                   "--confidence", "entropy")
        z, y = self.scores(1, count=50)
        self.fails(2, ["is not called .onnx"], "calibrate", z, z, "--labels", y, *given[4:], *target,
                   *task)
        done = support.estran("calibrate", *models, *given, "--target", "0.9999", *task)
        self.assertEqual(done.returncode, 1)
        self.assertIn("c.yaml' is not written: no thresholds can be certified for 99.99 %", done.stderr)
        self.assertFalse((self.folder / "c.yaml").exists())

    def scores(self, factor, count=4000, classes=4):
        """Scores that are factor times too sure, and labels drawn from the true ones."""
        draw = random.Random(1)
        rows, labels = [], []
        for _ in range(count):
            z = [1.5 * draw.gauss(0, 1) for _ in range(classes)]
            labels.append(draw.choices(range(classes), [math.exp(v) for v in z])[0])
            rows.append(",".join(f"{factor * v:.6f}" for v in z))
        return (self.write("z.csv", "\n".join(rows) + "\n"),
                self.write("y.csv", "\n".join(map(str, labels)) + "\n"))

    def test_temperature_of_scores(self):
        z, y = self.scores(2.5)
        stage = json.loads(self.ok("calibrate", z, "--labels", y, "--json").stdout)["stages"][0]
        self.assertAlmostEqual(stage["temperature"], 2.5, delta=0.25)
        self.assertLess(stage["ece"]["value"], stage["ece_chance_high"])
        self.assertGreater(stage["ece_before"], 3 * stage["ece"]["value"])

    def test_stream(self):
        """Two stages; the stream is of the same kind, then one on which both are less sure."""
        draw = random.Random(3)

        def drawn(count, spread):
            files = {0: [], 1: []}
            labels = []
            for _ in range(count):
                z = [spread * draw.gauss(0, 1) for _ in range(4)]
                labels.append(draw.choices(range(4), [math.exp(v) for v in z])[0])
                files[1].append(",".join(f"{v:.6f}" for v in z))
                files[0].append(",".join(f"{0.8 * v + 0.3 * draw.gauss(0, 1):.6f}" for v in z))
            return files, labels

        files, labels = drawn(4000, 3)
        known = [self.write(f"k{i}.csv", "\n".join(files[i]) + "\n") for i in (0, 1)]
        y = self.write("y.csv", "\n".join(map(str, labels)) + "\n")
        for spread, drifts in ((3, False), (1.2, True)):
            files, truth = drawn(3000, spread)
            streams = []
            for i in (0, 1):
                streams += ["--stream", self.write(f"s{i}.csv", "\n".join(files[i]) + "\n")]
            found = json.loads(self.ok("calibrate", *known, "--labels", y, *streams, "--json",
                                       "--ask", "0.3").stdout)
            self.assertEqual(found["stream_count"], 3000)
            for k, stage in enumerate(found["stages"]):
                rows = [[float(v) for v in row.split(",")] for row in files[k]]
                right = sum(r.index(max(r)) == t for r, t in zip(rows, truth)) / len(truth)
                seen = stage["stream"]
                self.assertEqual(seen["alarm_at"] is not None, drifts, (spread, k))
                if not drifts:
                    self.assertLess(seen["by_confidence"]["low"] - 0.02, right)
                    self.assertGreater(seen["by_confidence"]["high"] + 0.02, right)
                    self.assertLess(seen["by_threshold"]["low"] - 0.02, right)
                    self.assertGreater(seen["by_threshold"]["high"] + 0.02, right)
                if k == 0:
                    other = [[float(v) for v in row.split(",")] for row in files[1]]
                    differ = sum(a.index(max(a)) != b.index(max(b))
                                 for a, b in zip(rows, other)) / len(rows)
                    self.assertLess(seen["disagreement"]["low"], differ)
                    self.assertGreater(seen["disagreement"]["high"], differ)
                    if not drifts:  # the stronger model's error is that of the labelled samples
                        self.assertLess(seen["by_asking"]["low"], right)
                        self.assertGreater(seen["by_asking"]["high"], right)
        words = self.ok("calibrate", *known, "--labels", y, *streams).stdout
        self.assertIn("ALARM at sample", words)
        self.fails(2, ["--stream is given 1 times, must be 2"], "calibrate", *known, "--labels", y,
                   *streams[:2])

    def test_stream_of_models(self):
        """The stream of the example is of the same kind as its labelled samples: the same ones."""
        values = (FOLDER / "samples.f32").read_bytes()
        count = len((FOLDER / "labels.u8").read_bytes())
        head = (f"{{'descr': '<f4', 'fortran_order': False, "
                f"'shape': ({count}, {len(values) // 4 // count}), }}")
        head += " " * (-(len(head) + 11) % 64) + "\n"
        stream = self.folder / "stream.npy"
        stream.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") +
                           head.encode() + values)
        found = json.loads(self.cascade("--json", "--stream", stream).stdout)
        for stage in found["stages"]:
            self.assertIsNone(stage["stream"]["alarm_at"])
            self.assertAlmostEqual(stage["stream"]["by_threshold"]["value"],
                                   stage["accuracy"]["value"], delta=0.06)

    def test_resnet8(self):
        done = self.ok("calibrate", support.data("onnx/mlperf_tiny_resnet8_cifar10.onnx"), "--data",
                       support.data("cifar10/test_1000.bin.gz"), "--json", "--fit-share", "0.01")
        stage = json.loads(done.stdout)["stages"][0]
        self.assertAlmostEqual(stage["accuracy"]["value"], 0.751, delta=0.01)
        self.assertTrue(stage["probabilities"])

    def test_mistakes(self):
        z, y = self.scores(1, count=30)
        short = self.write("short.csv", "0\n1\n")
        wild = self.write("wild.csv", "7\n" * 30)
        self.fails(2, ["scores need --labels"], "calibrate", z)
        self.fails(1, ["2 samples", "30"], "calibrate", z, "--labels", short)
        self.fails(2, ["label 7 of sample 1", "4 classes"], "calibrate", z, "--labels", wild)
        self.fails(2, ["models need --data"], "calibrate", FOLDER / "models/tiny.onnx")
        self.fails(2, ["--costs"], "calibrate", z, z, "--labels", y, "--costs", "1")
        self.fails(2, ["is ? x 1 x 512", "are 4"], "calibrate", FOLDER / "models/tiny.onnx", "--data", z,
                   "--labels", y)


if __name__ == "__main__":
    support.main()
