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
        page = (out / "variants.html").read_text()
        for words in ("Quality against latency", "Quality against bytes", "<th>large-fp16</th>"):
            self.assertIn(words, page)
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
        """A scenario includes it where it is, and a plan is found."""
        self.compress("--recipe", "quantise:samples=64", "--all", "--task", "condition")
        scenario = (
            "format: estran-scenario\nversion: 1\nname: made\ninclude: [out/catalogue.yaml]\n"
            "kinds: [{name: box, slowdown: 10, memory_mb: 2}]\n"
            "nodes: [{name: hall, tier: edge, kind: box}]\n"
            "tasks: [{name: condition, input_bytes: 2048, output_bytes: 24}]\n"
            "demand: [{task: condition, at: hall, rate_rps: 20}]\n")
        plan = json.loads(self.ok("plan", self.write("made.yaml", scenario), "--json").stdout)
        self.assertEqual(plan["format"], "estran-plan")
        self.assertIn(plan["routing"][0]["pipeline"], ("large", "large-int8"))

    def scenario_of(self, name):
        """A board and a box, and of the catalogue only what is called name."""
        head, pipelines = (self.folder / "out/catalogue.yaml").read_text().split("pipelines:\n")
        wanted = [p for p in f"\n{pipelines}".split("\n  - ") if f'name: "{name}"' in p]
        self.assertEqual(len(wanted), 1)
        self.write("out/only.yaml", f"{head}pipelines:\n  - {wanted[0]}\n")
        return self.write("scenario.yaml", (
            "format: estran-scenario\nversion: 1\nname: made\ninclude: [out/only.yaml]\n"
            "kinds: [{name: board, slowdown: 20, memory_mb: 0.12}, {name: box, slowdown: 2, memory_mb: 2}]\n"
            "nodes: [{name: sensor, tier: device, kind: board}, {name: hall, tier: edge, kind: box}]\n"
            "links: [{between: [sensor, hall], latency_ms: 2, bandwidth_mbps: 10}]\n"
            "tasks: [{name: condition, input_bytes: 2048, output_bytes: 24, "
            f"samples: {FOLDER / 'samples.f32'}, labels: {FOLDER / 'labels.u8'}}}]\n"
            "demand: [{task: condition, at: sensor, rate_rps: 50}]\n"))

    def check_stages_run(self, variant, pipeline):
        """The catalogue of a variant of several stages: planned, simulated, run by real nodes."""
        self.assertEqual(len(variant["files"]), len(variant["stages"]))
        path = self.scenario_of(pipeline["name"])
        plan = json.loads(self.ok("plan", path, "--json").stdout)
        self.assertEqual(plan["format"], "estran-plan")
        self.ok("simulate", path)
        done = self.ok("run", path, "--duration", "2", "--no-profile", "--output",
                       self.folder / "run", "--json")
        measured = json.loads(done.stdout)["cases"][0]["measured"]
        self.assertGreater(measured["served"], 40)
        self.assertEqual(measured["failed"], 0)
        self.assertLess(abs(measured["quality"] - pipeline["quality"]["value"]), 0.15)

    def test_exits(self):
        recipe = "exits:epochs=12,batch=16,rate=0.003,tune=0.4,cost=1,loss=0.03|0.2,target=0.5"
        found = json.loads(self.compress("--recipe", recipe, "--task", "condition", "--json").stdout)
        whole, exits = found["variants"]
        names = ["large-exits-3pt", "large-exits-20pt", "large-exits-certified"]
        self.assertEqual([p["name"] for p in exits["pipelines"]], names)
        for pipeline in exits["pipelines"]:
            self.assertEqual(pipeline["reach"][0], 1)
            self.assertEqual(pipeline["exit_thresholds"][-1], None)
            self.assertAlmostEqual(pipeline["macs"], sum(
                r * stage["macs"] for r, stage in zip(pipeline["reach"], exits["stages"])), delta=1)
        self.assertEqual(len(exits["report"]["exits"]), len(exits["stages"]))
        self.assertGreater(whole["macs"], exits["report"]["exits"][0]["macs_before"])
        self.check_stages_run(exits, exits["pipelines"][1])

    def test_scores_for_calibrate(self):
        """What the stages answered, as calibrate reads it: the same accuracies come out."""
        test = ("--test", FOLDER / "samples.f32", "--test-labels", FOLDER / "labels.u8")
        recipe = "exits:epochs=1,batch=16,tune=0.4,cost=1"
        found = json.loads(self.compress("--recipe", recipe, *test, "--scores", "--json").stdout)
        whole, exits = found["variants"]
        out = self.folder / "out"
        files = [out / name.replace(".onnx", ".scores.npy") for name in exits["files"]]
        told = json.loads(self.ok("calibrate", *files, "--labels", FOLDER / "labels.u8", "--fit-share",
                                  "0.01", "--costs", ",".join("1" for _ in files), "--json").stdout)
        for stage, measured in zip(told["stages"], exits["stages"]):
            self.assertLess(abs(stage["accuracy"]["value"] - measured["accuracy"]), 0.01)
        self.assertTrue((out / "large.scores.npy").exists())

    def test_bottleneck(self):
        recipe = ("bottleneck:at=features,bytes=32,classifier=joint,distil_epochs=4,epochs=8,batch=16,rate=0.003,"
                  "tune=0.4,loss=0.1")
        found = json.loads(self.compress("--recipe", recipe, "--task", "condition", "--json").stdout)
        neck = found["variants"][1]
        self.assertEqual(neck["stages"][0]["forward_bytes"], 32)
        self.assertEqual(neck["report"]["payload_bytes"], 32)
        self.assertIn("output_bytes: 32\n", (self.folder / "out/catalogue.yaml").read_text())
        self.assertEqual([p["name"] for p in neck["pipelines"]],
                         ["large-bottleneck", "large-bottleneck-tail"])
        self.check_stages_run(neck, neck["pipelines"][0])

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
        self.fails(2, ["missing argument", "MODEL"], "compress", *recipe)
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

    def test_bad_samples(self):
        """Told before the first step, however long it would take."""
        def labels(name, values):
            path = self.folder / f"{name}.u8"
            path.write_bytes(bytes(values))
            return path

        model, data = FOLDER / "models/small.onnx", FOLDER / "samples.f32"
        right = (FOLDER / "labels.u8").read_bytes()
        range_ = labels("range", [9 if i == 7 else y for i, y in enumerate(right)])
        short = self.folder / "short.f32"
        short.write_bytes(data.read_bytes()[:10 * 2048])
        narrow = self.write("narrow.csv", "".join(f"{i},{i % 3},{i % 6}\n" for i in range(200)))
        learn = ("--recipe", "finetune:epochs=10000,batch=16")
        good = ("--data", data, "--labels", FOLDER / "labels.u8")
        told = "label 9 of sample 8, but the model answers with 6 classes (0 to 5)"
        for code, expected, words in [
            (2, [told], (model, "--data", data, "--labels", range_, *learn)),
            (2, [told], (model, *good, "--test", data, "--test-labels", range_, *learn)),
            (2, [told], (model, *good, "--tune", data, "--tune-labels", range_, *learn)),
            (2, ["is ? x 1 x 512", "narrow.csv' are 2"],
             (model, *good, "--test", narrow, "--label-column", "3", *learn)),
            (2, ["class 3 has no sample among the 100", "allow empty classes"],
             (model, "--data", data, "--labels", labels("empty", [0 if y == 3 else y for y in right]),
              *learn)),
            (2, ["10 samples are less than a batch of 16"],
             (model, "--data", short, "--labels", labels("few", right[:10]), "--test", data,
              "--test-labels", FOLDER / "labels.u8", *learn)),
            (2, ["cut in two by --fit-share", "1 sample cannot be cut"],
             (model, *good, "--limit", "1", *learn)),
            (1, ["large-int8.onnx': node", "the model is quantised"],
             (FOLDER / "models/large-int8.onnx", *good, *learn)),
            (1, ["epoch 1, step", "the loss is", "lower rate than 100"],
             (model, *good, "--recipe", "finetune:epochs=9,rate=100,batch=16,weight_decay=1")),
        ]:
            with self.subTest(expected=expected):
                self.fails(code, expected, "compress", *words, "--output", self.folder / "out", "--quiet",
                           *QUICK)
        self.ok("compress", model, "--data", data, "--labels", self.folder / "empty.u8", "--recipe",
                "finetune:epochs=1,batch=16,allow_empty=yes", "--output", self.folder / "out", *QUICK)

    def test_unsupported_operator(self):
        model = support.data("onnx/sklearn_randomforest.onnx")
        x = self.write("x.csv", "".join(f"{i},{i % 3},1,2,{i % 2}\n" for i in range(40)))
        self.fails(1, ["node 'TreeEnsembleClassifier'", "no kind of layer computes this operator"],
                   "compress", model, "--data", x, "--label-column", "5", "--recipe", "prune:macs=0.5",
                   "--output", self.folder / "out", *QUICK)

    def test_help(self):
        text = self.ok("compress", "--list-recipes").stdout
        self.assertIn("quantise: ", text)
        self.assertIn("form=int8|fp16", text)


if __name__ == "__main__":
    support.main()
