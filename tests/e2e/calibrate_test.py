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
        self.fails(2, ["takes 512 values"], "calibrate", FOLDER / "models/tiny.onnx", "--data", z,
                   "--labels", y)


if __name__ == "__main__":
    support.main()
