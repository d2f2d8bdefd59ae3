"""estran compress, end to end: variants of a real model with their catalogue, mistakes."""
import json

import support

FOLDER = support.ROOT / "examples/01-first-run"
QUICK = ("--time", "0.05", "--no-energy")


class Compress(support.Case):
    def compress(self, *more):
        return self.ok("compress", FOLDER / "models/large.onnx", "--data", FOLDER / "samples.f32",
                       "--labels", FOLDER / "labels.u8", "--output", self.folder / "out", *QUICK,
                       *more)

    def test_variants_of_the_example(self):
        done = self.compress("--recipe", "quantise:samples=64", "--recipe", "quantise:form=fp16",
                             "--all", "--task", "condition", "--json")
        found = json.loads(done.stdout)
        out = self.folder / "out"
        self.assertEqual(json.loads((out / "variants.json").read_text()), found)
        self.assertEqual((found["format"], found["task"], found["kind"]),
                         ("estran-variants", "condition", "host"))
        names = [v["name"] for v in found["variants"]]
        self.assertEqual(names, ["large", "large-int8", "large-fp16"])
        whole, int8, fp16 = found["variants"]
        for variant in found["variants"]:
            self.assertTrue((out / variant["files"][0]).exists())
            self.assertEqual((out / variant["files"][0]).stat().st_size, variant["file_bytes"])
            quality = variant["quality"]
            self.assertTrue(quality["low"] <= quality["value"] <= quality["high"])
            self.assertGreater(variant["latency_ms_p50"], 0)
            self.assertIsNone(variant["energy"])
            self.assertTrue(variant["offered"])
        self.assertLess(int8["file_bytes"], 0.35 * whole["file_bytes"])
        self.assertLess(fp16["file_bytes"], 0.55 * whole["file_bytes"])
        self.assertGreater(int8["agreement"], 0.95)
        self.assertGreater(fp16["agreement"], 0.99)
        self.assertLess(abs(int8["quality"]["value"] - whole["quality"]["value"]), 0.03)
        self.assertIn("samples=64", int8["recipe"])
        layers = int8["report"]["layers"]
        self.assertTrue(any(layer["form"] == "int8" for layer in layers))
        for layer in layers:
            self.assertIn("scale" if layer["form"] == "int8" and "low" in layer else "op", layer)

        # the same again, from what it told; the models are the same bytes
        before = (out / "large-int8.onnx").read_bytes()
        recipes = self.write("r.yaml", "format: estran-recipes\nversion: 1\nrecipes:\n"
                             f"  - \"{int8['recipe']}\"\n")
        self.compress("--recipes", recipes)
        self.assertEqual((out / "large-int8.onnx").read_bytes(), before)

    def test_catalogue_makes_a_scenario(self):
        """The fragment in a scenario: it is one, and a plan is found."""
        self.compress("--recipe", "quantise:samples=64", "--all", "--task", "condition")
        out = self.folder / "out"
        scenario = (
            "format: estran-scenario\nversion: 1\nname: made\n"
            "kinds: [{name: box, slowdown: 10, memory_mb: 2}]\n"
            "nodes: [{name: hall, tier: edge, kind: box}]\n"
            "tasks: [{name: condition, input_bytes: 2048, output_bytes: 24}]\n"
            + (out / "catalogue.yaml").read_text() +
            "demand: [{task: condition, at: hall, rate_rps: 20}]\n")
        path = out / "scenario.yaml"
        path.write_text(scenario)
        plan = json.loads(self.ok("plan", path, "--json").stdout)
        self.assertEqual(plan["format"], "estran-plan")

    def test_offered_only_where_faster(self):
        """fp16 weights are never slower on purpose, so only int8 has to prove itself."""
        found = json.loads(self.compress("--recipe", "quantise:samples=64", "--json").stdout)
        int8 = found["variants"][1]
        text = (self.folder / "out/catalogue.yaml").read_text()
        if int8["offered"]:
            self.assertGreater(int8["speed_ratio"]["low"], 1)
            self.assertIn('name: "large-int8"', text)
        else:
            self.assertLessEqual(int8["speed_ratio"]["low"], 1)
            self.assertIn("not faster here", int8["why_not"])
            self.assertNotIn('name: "large-int8"', text)
            self.assertIn("# large-int8 is left out", text)

    def test_unlabelled(self):
        done = self.ok("compress", FOLDER / "models/small.onnx", "--data", FOLDER / "samples.f32",
                       "--labels", FOLDER / "labels.u8", "--unlabelled", "--output",
                       self.folder / "out", "--recipe", "quantise:samples=32", "--json", *QUICK)
        variant = json.loads(done.stdout)["variants"][1]
        self.assertNotIn("quality", variant)
        self.assertGreater(variant["agreement"], 0.8)
        self.assertIn("no pipelines", (self.folder / "out/catalogue.yaml").read_text())

    def test_real_model(self):
        model = support.data("onnx/mlperf_tiny_resnet8_cifar10.onnx")
        done = self.ok("compress", model, "--data", support.data("cifar10/train_5000.bin.gz"),
                       "--test", support.data("cifar10/test_1000.bin.gz"), "--recipe", "quantise",
                       "--output", self.folder / "out", "--json", "--time", "0.3", "--idle-w", "5",
                       "--busy-w", "20")
        whole, int8 = json.loads(done.stdout)["variants"]
        self.assertEqual(whole["quality"]["value"], 0.751)
        self.assertGreaterEqual(int8["quality"]["value"], 0.746)
        self.assertLess(int8["file_bytes"], 0.30 * whole["file_bytes"])

    def test_mistakes(self):
        model = FOLDER / "models/large.onnx"
        data = FOLDER / "samples.f32"
        labels = FOLDER / "labels.u8"
        good = (model, "--data", data, "--labels", labels, "--output", self.folder / "out", *QUICK)
        recipe = ("--recipe", "quantise")
        self.fails(2, ["nothing to make: give --recipe"], "compress", *good)
        self.fails(2, ["give samples with --data"], "compress", model, *recipe)
        self.fails(2, ["did you mean 'quantise'"], "compress", *good, "--recipe", "quantize")
        self.fails(2, ["did you mean 'method'"], "compress", *good, "--recipe",
                   "quantise:methd=mse")
        self.fails(2, ["takes one MODEL"], "compress", *recipe)
        self.fails(2, ["has no labels: give --labels"], "compress", model, "--data",
                   self.write("x.csv", "1,2\n3,4\n"), *recipe)
        self.fails(2, ["100000 samples to calibrate with, but only"], "compress", *good,
                   "--recipe", "quantise:samples=100000")
        x = self.write("w.csv", "".join(f"{i},{i % 3},{i % 2}\n" for i in range(40)))
        self.fails(2, ["input '", "samples of '"], "compress", model, "--data", x,
                   "--label-column", "3", "--recipe", "quantise:samples=4", "--output",
                   self.folder / "out")
        bad = self.folder / "bad.u8"
        bad.write_bytes(bytes(200 if i % 7 == 0 else 1 for i in range(len(labels.read_bytes()))))
        self.fails(2, ["label 200 of sample", "classes"], "compress", model, "--data", data,
                   "--labels", bad, "--output", self.folder / "out", "--recipe",
                   "quantise:samples=50", *QUICK)
        self.fails(2, ["--mean has 2 numbers, --factor 3"], "compress", *good, *recipe, "--mean",
                   "1,2", "--factor", "1,2,3")

    def test_help(self):
        text = self.ok("compress", "--list-recipes").stdout
        self.assertIn("quantise: ", text)
        self.assertIn("form=int8|fp16", text)


if __name__ == "__main__":
    support.main()
