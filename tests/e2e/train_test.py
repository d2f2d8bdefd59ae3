"""estran train, end to end: nets and models learn, stop, go on; the file runs elsewhere; mistakes."""
import json
import math
import random
import signal
import struct
import subprocess

import support


class Train(support.Case):
    def waves(self, name, count=600, steps=32, seed=1):
        """Slow and fast waves in noise, raw values around 50: two classes."""
        draw = random.Random(seed)
        x, y = [], []
        for i in range(count):
            phase, step = draw.uniform(0, 6.28), (0.3, 0.9)[i % 2]
            x += [50 + 10 * (math.sin(phase + step * t) + 0.2 * draw.gauss(0, 1))
                  for t in range(steps)]
            y.append(i % 2)
        samples, labels = self.folder / f"{name}.f32", self.folder / f"{name}.u8"
        samples.write_bytes(struct.pack(f"<{len(x)}f", *x))
        labels.write_bytes(bytes(y))
        return samples, labels

    def setUp(self):
        super().setUp()
        self.data, self.labels = self.waves("train")
        self.test, self.test_labels = self.waves("test", 400, seed=2)
        self.net = self.write("net.yaml", "input: [1, 32]\nlayers:\n"
                              "  - conv: {units: 8, kernel: 5, stride: 2}\n  - batch-norm\n  - relu\n"
                              "  - global-pool\n  - dense: {units: 2}\n")

    def words(self, net=None, out="m.onnx"):
        return ["train", net or self.net, "--data", self.data, "--labels", self.labels, "--test",
                self.test, "--test-labels", self.test_labels, "--output", self.folder / out,
                "--threads", "1", "--epochs", "4", "--batch", "32"]

    def train(self, *more, net=None, out="m.onnx"):
        self.ok(*self.words(net, out), "--quiet", *more)
        return json.loads((self.folder / out).with_suffix(".json").read_text())

    def test_learns_and_the_file_runs_elsewhere(self):
        done = self.ok(*self.words(), "--json", "--augment", "shift=2,noise=0.5", "--svg",
                       self.folder / "m.svg")
        record = json.loads(done.stdout)
        self.assertEqual(record, json.loads((self.folder / "m.json").read_text()))
        self.assertEqual((record["format"], record["version"]), ("estran-training", 1))
        self.assertEqual([e["epoch"] for e in record["epochs"]], [1, 2, 3, 4])
        self.assertEqual((record["data"]["learned"], record["data"]["held"]), (540, 60))
        self.assertTrue(record["net"]["input_scaled"])
        self.assertGreater(record["test"]["accuracy"], 0.95)
        self.assertGreater(record["energy"]["energy_j"], 0)
        self.assertIn("epoch 4: rate", done.stderr)
        self.assertIn("<svg", (self.folder / "m.svg").read_text())
        self.assertIn("Epoch by epoch", (self.folder / "m.html").read_text())
        self.assertFalse((self.folder / "m.onnx.checkpoint").exists())
        # ONNX Runtime on raw values says the same
        stage = json.loads(self.ok("calibrate", self.folder / "m.onnx", "--data", self.test,
                                   "--labels", self.test_labels, "--json", "--fit-share",
                                   "0.01").stdout)["stages"][0]
        self.assertAlmostEqual(stage["accuracy"]["value"], record["test"]["accuracy"], delta=0.01)

    def test_same_seed_same_file(self):
        self.train("--seed", "3", out="a.onnx")
        self.train("--seed", "3", out="b.onnx")
        self.train("--seed", "4", out="c.onnx")
        a, b, c = ((self.folder / f"{n}.onnx").read_bytes() for n in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_plain_backend(self):
        self.assertGreater(self.train("--backend", "plain")["test"]["accuracy"], 0.95)

    def test_fine_tunes_a_model(self):
        first = self.train("--epochs", "1", "--lr", "0.01")
        second = self.train("--epochs", "3", "--lr", "0.02", net=self.folder / "m.onnx",
                            out="n.onnx")
        self.assertFalse(second["net"]["input_scaled"])
        self.assertLess(second["test"]["loss"], first["test"]["loss"])

    def test_autoencoder_takes_and_gives_raw_values(self):
        net = self.write("ae.yaml", "{net: autoencoder, input: [32], units: 24, blocks: 1}")
        record = self.train("--loss", "squares", "--optimiser", "adam", "--epochs", "12", net=net)
        losses = [e["loss"] for e in record["epochs"]]
        self.assertLess(losses[-1], 0.6 * losses[0])
        self.assertLess(losses[-1], 1)  # in variances of the data, though values lie around 50
        self.assertIsNone(record["epochs"][0]["accuracy"])

    def test_interrupted_and_resumed(self):
        """Ctrl-C in the middle leaves a checkpoint; the end is the same as without."""
        many = ["--epochs", "40", "--optimiser", "adam", "--average", "0.9"]
        self.train(*many, out="whole.onnx")
        words = [str(w) for w in self.words(out="cut.onnx")] + many
        started = subprocess.Popen([str(support.ESTRAN), *words], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)
        for line in started.stderr:
            if "epoch 3:" in line:
                started.send_signal(signal.SIGINT)
                break
        rest = started.stderr.read()
        started.stderr.close()
        if started.wait() == 0:
            self.skipTest("it was faster than the interrupt")
        self.assertEqual(started.returncode, 1)
        self.assertIn("--resume goes on from", rest)
        self.assertTrue((self.folder / "cut.onnx.checkpoint").exists())
        self.assertFalse((self.folder / "cut.onnx").exists())
        self.train(*many, "--resume", out="cut.onnx")
        self.assertEqual((self.folder / "cut.onnx").read_bytes(),
                         (self.folder / "whole.onnx").read_bytes())

    def test_mistakes(self):
        words = self.words()
        self.fails(2, ["give samples with --data"], "train", self.net)
        self.fails(2, ["--output", "FILE.onnx"], "train", self.net, "--data", self.data)
        self.fails(1, ["epoch 1, step", "lower rate than 1e+06"], *words, "--lr", "1000000",
                   "--quiet", "--no-scale")
        self.fails(2, ["'sideways' is none of flip"], *words, "--augment", "flip,sideways")
        self.fails(2, ["'shift=x' must be shift=number"], *words, "--augment", "shift=x")
        self.fails(2, ["less than a batch of 1000"], *words, "--batch", "1000", "--quiet")
        self.fails(1, ["m.onnx.checkpoint", "cannot open"], *words, "--resume", "--quiet")
        other = self.write("other.yaml", "{net: cnn}")
        self.fails(2, ["32 values", "1 x 28 x 28"], *self.words(other), "--quiet")
        odd = self.write("odd.yaml", "{input: [1, 32], layers: [flatten, {dense: {units: 3}}]}")
        self.fails(2, ["class 2 has no sample"], *self.words(odd), "--quiet")

    def test_bad_samples(self):
        """Each told by file, sample and value, before any time is spent."""
        def npy(name, kind, shape, values):
            head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
            head += " " * (-(len(head) + 11) % 64) + "\n"
            path = self.folder / name
            path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() +
                             struct.pack(f"<{len(values)}{kind[1] if kind[1] != 'u' else 'B'}", *values))
            return path

        def labels(name, values):
            path = self.folder / f"{name}.u8"
            path.write_bytes(bytes(values))
            return path

        x = [float(i % 7) for i in range(20 * 32)]
        data = npy("x.npy", "<f4", (20, 1, 32), x)
        odd = npy("odd.npy", "<f4", (20, 1, 16), x[:320])
        nan = npy("nan.npy", "<f4", (20, 1, 32), x[:70] + [math.nan] + x[71:])
        right = labels("right", [i % 2 for i in range(20)])
        junk = self.write("junk.npy", "no samples")
        quantised = support.ROOT / "examples/01-first-run/models/large-int8.onnx"
        alien = support.ROOT / "examples/01-first-run/models/large-bottleneck-2.onnx"
        for expected, words in [
            ((1, "nan.npy': value 7 of sample 3 is nan"), (nan, right)),
            ((2, "odd.npy' has samples of 16 values, net 'net' takes 1 x 32"), (odd, right)),
            ((2, "label 5 of sample 4, but net 'net' has 2 classes (0 to 1)"),
             (data, labels("range", [5 if i == 3 else i % 2 for i in range(20)]))),
            ((2, "class 1 has no sample among the 18"), (data, labels("empty", [0] * 20))),
            ((1, "short.u8' has 19 labels for the 20 samples"), (data, labels("short", [0] * 19))),
            ((2, "20 samples are less than a batch of 64"), (data, right, "--validation", "0")),
            ((2, "--validation 0.01 of", "leaves part 2 of 20 samples empty"),
             (data, right, "--validation", "0.01")),
            ((2, "--validation 0.1 of", "1 sample cannot be cut into 2 parts"),
             (data, right, "--limit", "1")),
            ((1, "junk.npy", "NPY"), (junk, right)),
            ((2, "has no labels: give --labels"), (data, None)),
        ]:
            with self.subTest(expected=expected):
                words = [str(w) for w in words]
                given = ["--data", words[0]] + (["--labels", words[1]] if words[1] != "None" else [])
                self.fails(expected[0], expected[1:], "train", self.net, *given, *words[2:],
                           "--output", self.folder / "m.onnx", "--quiet")
                self.assertFalse((self.folder / "m.onnx").exists())
        allowed = ["train", self.net, "--data", data, "--labels", self.folder / "empty.u8", "--batch",
                   "8", "--epochs", "1", "--allow-empty", "--output", self.folder / "m.onnx"]
        self.ok(*allowed, "--quiet")
        whole = npy("whole.npy", "<f4", (20, 1, 512), [float(i % 7) for i in range(20 * 512)])
        given = ("--data", whole, "--labels", right, "--output", self.folder / "n.onnx")
        self.fails(1, ["large-int8.onnx': node", "the model is quantised"], "train", quantised, *given)
        self.fails(1, ["large-bottleneck-2.onnx': input 'neck-payload.bytes' is UINT8", "expected FLOAT"], "train", alien, *given)

    def test_unsupported_operator(self):
        model = support.data("onnx/sklearn_randomforest.onnx")
        self.fails(1, ["sklearn_randomforest.onnx': node 'TreeEnsembleClassifier'",
                       "no kind of layer computes this operator"], "train", model, "--data", self.data,
                   "--labels", self.labels, "--output", self.folder / "n.onnx")

    def test_real_images(self):
        """LeNet for an epoch on a tenth of Fashion-MNIST: above 75 %."""
        folder = "fashion-mnist"
        net = self.write("lenet.yaml", "net: lenet")
        self.ok("train", net, "--data", support.data(f"{folder}/train60k-images-idx3-ubyte.gz"),
                "--labels", support.data(f"{folder}/train60k-labels-idx1-ubyte.gz"), "--test",
                support.data(f"{folder}/test5k-images-idx3-ubyte.gz"), "--test-labels",
                support.data(f"{folder}/test5k-labels-idx1-ubyte.gz"), "--limit", "6000",
                "--epochs", "1", "--batch", "32", "--optimiser", "adam", "--threads", "1", "--output",
                self.folder / "l.onnx", "--quiet")
        record = json.loads((self.folder / "l.json").read_text())
        self.assertGreater(record["test"]["accuracy"], 0.75)


support.main()
