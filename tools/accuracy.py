#!/usr/bin/env python3
"""tools/accuracy.py [ROW...] [--seeds 1,2,3] [--jobs N] [--folder F] [--record]: trains and compresses
the small net on Fashion-MNIST with `estran train` and `estran compress` alone, once per seed, measures
on the test split, prints the table and writes build/bench/accuracy-ROW.json: an array of {"what",
"value" (mean), "sd", "values" (by seed), "unit", "better", "target"}. What was made already is taken from
the folder (build/accuracy) when the command, the program and its inputs are the same, so that an interrupted run
goes on. --record also copies to bench/results. All rows take about two hours of one core per seed."""
import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import threading

root = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root / "tools"))
import bench  # noqa: E402

data = pathlib.Path(os.environ.get("ESTRAN_DATA", root / ".." / "shared" / "data")).resolve() / "fashion-mnist"
files = ["--data", data / "train60k-images-idx3-ubyte.gz", "--labels", data / "train60k-labels-idx1-ubyte.gz",
         "--test", data / "test5k-images-idx3-ubyte.gz", "--test-labels", data / "test5k-labels-idx1-ubyte.gz"]
net = "{net: cnn, input: [1, 28, 28], classes: 10, width: %s}"
widths = ["0.25", "0.5", "0.75"]

# How a net is trained alone; the same for a student and for each width, which are compared with it.
training = ["--epochs", "12", "--batch", "128", "--lr", "0.2", "--weight-decay", "5e-4", "--augment", "flip",
            "--validation", "0"]
augment = "flip=yes,threads=1,batch=128"

recipes = {
    "prune": f"prune:macs=0.5,criterion=taylor,multiple=8,rounds=2,epochs=6,rate=0.05,{augment}",
    "distil": f"distil:width=0.5,start=fresh,multiple=4,epochs=12,rate=0.2,alpha=0.9,temperature=4,{augment}",
    "slim": f"slim:widths=0.25|0.5|0.75|1,multiple=4,epochs=8,rate=0.05,weight_decay=2e-3,{augment}",
}


class Maker:
    """Runs estran, unless the same was made before."""

    def __init__(self, program, folder, limit):
        self.program, self.folder, self.limit = program, folder, limit
        self.digest = hashlib.sha256(program.read_bytes()).hexdigest()[:16]
        self.talk = threading.Lock()

    def run(self, name, words, inputs, result):
        words = [str(word) for word in words] + (["--limit", str(self.limit)] if self.limit else [])
        texts = [path.read_bytes() for path in inputs]
        mark = hashlib.sha256(b"\0".join([self.digest.encode(), " ".join(words).encode(), *texts])).hexdigest()
        stamp = self.folder / f"{name}.stamp"
        made = self.folder / result
        if not (stamp.exists() and made.exists() and stamp.read_text() == mark):
            with self.talk:
                print(f"  {name}: estran {words[0]}", file=sys.stderr, flush=True)
            done = subprocess.run([self.program, *words, "--quiet"], cwd=self.folder, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if done.returncode != 0:
                raise SystemExit(f"{name}: estran {' '.join(words)}\n{done.stderr}")
            stamp.write_text(mark)
        return json.loads(made.read_text())

    def train(self, seed, width="1"):
        name = f"cnn-{width}-{seed}"
        spec = self.folder / f"cnn-{width}.yaml"
        spec.write_text(net % width + "\n")
        words = ["train", spec.name, *files, *training, "--threads", "1", "--no-energy", "--seed", seed,
                 "--output", f"{name}.onnx"]
        record = self.run(name, words, [spec], f"{name}.json")
        return {"accuracy": record["test"]["accuracy"], "macs": record["net"]["macs"],
                "params": record["net"]["params"], "model": self.folder / f"{name}.onnx"}

    def compress(self, row, seed, model):
        name = f"{row}-{seed}"
        words = ["compress", model.name, *files, "--recipe", recipes[row], "--seed", seed, "--no-energy",
                 "--time", "2", "--output", name]
        record = self.run(name, words, [model], f"{name}/variants.json")
        return record["variants"]  # the first is the model itself


def spread(values):
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def line(what, values, unit, better, target=None):
    mean, sd = spread(values)
    return {"what": what, "value": mean, "sd": sd, "values": values, "unit": unit, "better": better,
            "target": target}


def percent(values):
    return [100 * v for v in values]


def accuracy_of(variant):
    return 100 * variant["quality"]["value"]


# Each row: what it needs trained alone, and the table from the results, seed by seed.
def row_cnn(base, alone, made):
    return [line("cnn: accuracy", percent([b["accuracy"] for b in base]), "%", "higher", 92.5),
            line("cnn: parameters", [b["params"] for b in base], "values", "lower", 100e3)]


def row_prune(base, alone, made):
    before = percent([b["accuracy"] for b in base])
    after = [accuracy_of(v[1]) for v in made]
    return [line("prune: accuracy before", before, "%", "higher"),
            line("prune: accuracy after", after, "%", "higher"),
            line("prune: points lost", [b - a for a, b in zip(after, before)], "points", "lower", 0.7),
            line("prune: share of MACs", [v[1]["report"]["after"]["macs"] / v[1]["report"]["before"]["macs"]
                                          for v in made], "ratio", "lower", 0.5),
            line("prune: share of parameters", [v[1]["report"]["after"]["params"] / v[1]["report"]["before"]["params"]
                                                for v in made], "ratio", "lower"),
            line("prune: share of the time of one request", [1 / v[1]["speed_ratio"]["value"] for v in made],
                 "ratio", "lower")]


def row_distil(base, alone, made):
    plain = percent([a["0.5"]["accuracy"] for a in alone])
    taught = [accuracy_of(v[1]) for v in made]
    sd = spread(plain)[1]
    return [line("distil: teacher", percent([b["accuracy"] for b in base]), "%", "higher"),
            line("distil: student alone", plain, "%", "higher"),
            line("distil: student taught", taught, "%", "higher"),
            line("distil: points won; target: the larger sd", [t - p for t, p in zip(taught, plain)], "points",
                 "higher", max(sd, spread(taught)[1])),
            line("distil: student's share of MACs", [v[1]["report"]["after"]["macs"] / v[1]["report"]["before"]["macs"]
                                                     for v in made], "ratio", "lower", 0.26)]


def row_slim(base, alone, made):
    lines = []
    for i, width in enumerate(widths + ["1"]):
        apart = percent([b["accuracy"] if width == "1" else a[width]["accuracy"] for a, b in zip(alone, base)])
        here = [accuracy_of(v[1 + i]) for v in made]
        lines += [line(f"slim {width}: trained alone", apart, "%", "higher"),
                  line(f"slim {width}: slimmable", here, "%", "higher"),
                  line(f"slim {width}: points below alone", [a - h for a, h in zip(apart, here)], "points", "lower", 1.0),
                  line(f"slim {width}: MACs", [v[1 + i]["report"]["after"]["macs"] for v in made], "MACs", "lower"),
                  line(f"slim {width}: time of one request", [v[1 + i]["latency_ms_p50"] for v in made], "ms", "lower")]
    return lines


rows = {"cnn": ([], row_cnn), "prune": ([], row_prune), "distil": (["0.5"], row_distil), "slim": (widths, row_slim)}


def make(maker, wanted, seeds, jobs):
    """Results by row and seed. Whatever waits for nothing runs first; jobs at a time."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        base = {s: pool.submit(maker.train, s) for s in seeds}
        alone = {(s, w): pool.submit(maker.train, s, w) for s in seeds
                 for w in sorted({w for row in wanted for w in rows[row][0]})}
        made = {(s, row): pool.submit(maker.compress, row, s, base[s].result()["model"])
                for s in seeds for row in wanted if row in recipes}
        apart = [{w: f.result() for (s2, w), f in alone.items() if s2 == s} for s in seeds]
        return {row: rows[row][1]([base[s].result() for s in seeds], apart,
                                  [made[s, row].result() for s in seeds if row in recipes]) for row in wanted}


def show(table):
    for row in table:
        target = "" if row["target"] is None else f"target {row['target']:.4g}"
        print(f"  {row['what']:<44} {row['value']:12.5g} ± {row['sd']:<8.3g} {row['unit']:<7} {target:<15} {bench.judge(row)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=" ".join(rows) + "; all when none is named")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time, one thread each")
    parser.add_argument("--folder", type=pathlib.Path, default=root / "build" / "accuracy")
    parser.add_argument("--program", type=pathlib.Path, default=bench.build / "estran")
    parser.add_argument("--limit", type=int, default=0, help="samples of each file, to try the script itself")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    if not data.exists():
        sys.exit(f"skipped: real data not found at {data} (set ESTRAN_DATA)")
    wanted = chosen.rows or list(rows)
    if unknown := [row for row in wanted if row not in rows]:
        sys.exit(f"no row '{unknown[0]}'; there are {', '.join(rows)}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(chosen.program, chosen.folder, chosen.limit)
    results = make(maker, wanted, chosen.seeds.split(","), chosen.jobs)
    bench.out.mkdir(parents=True, exist_ok=True)
    for row, table in results.items():
        print(f"{row}, Fashion-MNIST, {len(chosen.seeds.split(','))} seeds: mean ± sd")
        show(table)
        for name, what in ((f"accuracy-{row}.json", table), (f"accuracy-{row}.meta.json", bench.machine_and_commit())):
            (bench.out / name).write_text(json.dumps(what, indent=2) + "\n")
            if chosen.record:
                shutil.copy(bench.out / name, root / "bench" / "results" / name)


if __name__ == "__main__":
    main()
