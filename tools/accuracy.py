#!/usr/bin/env python3
"""tools/accuracy.py [ROW...] [--seeds 1,2,3] [--jobs N] [--folder F] [--record]: trains and compresses
the small net on Fashion-MNIST with `estran train` and `estran compress` alone, once per seed, measures
on the test split, prints the table and writes build/bench/accuracy-ROW.json: an array of {"what",
"value" (mean), "sd", "values" (by seed), "unit", "better", "target"}. What was made already is taken from
the folder (build/accuracy) when the command, the program and its inputs are the same, so that an interrupted run
goes on; what is made is named on the way. Any change of the program makes all of it again, as any may change figures:
keep one build (--program) for a table. --record also copies to bench/results, --markdown prints what is there. All
rows take about an hour of one core per seed."""
import argparse
import array
import concurrent.futures
import gzip
import hashlib
import json
import math
import os
import pathlib
import shutil
import struct
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

# Exits and bottlenecks: thresholds need samples that the net has not learnt from, so it learns without these.
held = 5000
early_files = {part: [f"{part}-images.idx3", f"{part}-labels.idx1"] for part in ("fit", "tune")}
fit_files = ["--data", early_files["fit"][0], "--labels", early_files["fit"][1], *files[4:]]
tune_files = ["--tune", early_files["tune"][0], "--tune-labels", early_files["tune"][1]]
speed_rounds = 9
certified = {"target": 0.915, "delta": 0.1, "splits": 200, "share": 0.2}

recipes = {
    "int8": "quantise:skip=stem",  # of one channel: faster as floats (src/compress/quantising.md)
    "prune": f"prune:macs=0.5,criterion=taylor,multiple=8,rounds=2,epochs=6,rate=0.05,{augment}",
    "distil": f"distil:width=0.5,start=fresh,multiple=4,epochs=12,rate=0.2,alpha=0.9,temperature=4,{augment}",
    "slim": f"slim:widths=0.25|0.5|0.75|1,multiple=4,epochs=8,rate=0.05,weight_decay=2e-3,{augment}",
    # loss: below the 0.005 wanted, as thresholds chosen on 5000 samples lose about 0.0015 more on others
    "exits": f"exits:at=stem-relu|pool1,cost=0.25,epochs=8,loss=0.0015,{augment}",
    "bottleneck": "bottleneck:at=pool1,bytes=98,before=2,classifier=joint,classifier_weight=0.2,distil_epochs=2,"
                  f"epochs=10,rate=0.002,loss=0.005,{augment}",
}


def split(folder):
    """Training samples but the last `held`, and these, as files."""
    for kind, head, what in (("images", 16, 0), ("labels", 8, 1)):
        path = next(data.glob(f"train60k-{kind}-*.gz"))
        with gzip.open(path) as file:
            raw = file.read()
        count = struct.unpack(">I", raw[4:8])[0]
        size = (len(raw) - head) // count
        for part, first, last in (("fit", 0, count - held), ("tune", count - held, count)):
            (folder / early_files[part][what]).write_bytes(
                raw[:4] + struct.pack(">I", last - first) + raw[8:head] + raw[head + first * size:head + last * size])


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
            begun = self.folder / f"{name}.begun"
            going = begun.exists() and begun.read_text() == mark and (self.folder / f"{name}.onnx.checkpoint").exists()
            begun.write_text(mark)
            done = subprocess.run([self.program, *words, *(["--resume"] if going else []), "--quiet"], text=True,
                                  cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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

    def train_early(self, seed):
        name = f"early-{seed}"
        spec = self.folder / "cnn-1.yaml"
        spec.write_text(net % "1" + "\n")
        words = ["train", spec.name, *fit_files, *training, "--threads", "1", "--no-energy", "--seed", seed,
                 "--output", f"{name}.onnx"]
        record = self.run(name, words, [spec], f"{name}.json")
        return {"accuracy": record["test"]["accuracy"], "macs": record["net"]["macs"],
                "model": self.folder / f"{name}.onnx"}

    def compress(self, row, seed, model):
        name = f"{row}-{seed}"
        samples = [*fit_files, *tune_files, "--scores"] if row in early_rows else files
        words = ["compress", model.name, *samples, "--recipe", recipes[row], "--seed", seed, "--no-energy",
                 "--time", "2", "--output", name]
        record = self.run(name, words, [model], f"{name}/variants.json")
        return record["variants"]  # the first is the model itself

    def speed(self, seed, model, variants):
        """The variants, and how many times faster the second is, by images at once: the least times of many
        short measurements in turn, as those were not interrupted."""
        files = [model, self.folder / f"int8-{seed}" / variants[1]["files"][0]]
        result = self.folder / f"int8-speed-{seed}.json"
        mark = hashlib.sha256(b"\0".join([self.digest.encode(), *[file.read_bytes() for file in files]])).hexdigest()
        if result.exists() and json.loads(result.read_text())["mark"] == mark:
            return {"variants": variants, **json.loads(result.read_text())}
        words = [self.program, "profile", *files, "--batch-max", "16", "--budget", "1", "--no-cuts", "--no-energy",
                 "--json", "--quiet"]
        least = {}
        for _ in range(speed_rounds):
            told = json.loads(subprocess.run([str(w) for w in words], check=True, text=True,
                                             stdout=subprocess.PIPE).stdout)
            for i, profile in enumerate(told):
                for batch in profile["batches"]:
                    key = (i, batch["batch"])
                    least[key] = min(least.get(key, math.inf), batch["latency_ms_min"])
        found = {"mark": mark, "times": {str(n): least[0, n] / least[1, n] for n in (1, 16)}}
        result.write_text(json.dumps(found))
        return {"variants": variants, **found}

    def certify(self, seed, variant):
        """Thresholds for the exits of a variant certified on a part of the test samples, split by split: how
        many were found, and in how many all test samples together say that the target is missed."""
        name = f"certificates-{seed}"
        folder = self.folder / f"exits-{seed}"
        result = self.folder / f"{name}.json"
        sheets = [folder / file.replace(".onnx", ".scores.npy") for file in variant["files"]]
        mark = hashlib.sha256(b"\0".join([json.dumps(certified).encode(), *[s.read_bytes() for s in sheets]])).hexdigest()
        if result.exists() and json.loads(result.read_text())["mark"] == mark:
            return json.loads(result.read_text())
        with self.talk:
            print(f"  {name}: estran calibrate, {certified['splits']} times", file=sys.stderr, flush=True)
        scores = [read_scores(sheet) for sheet in sheets]
        labels = read_labels(len(scores[0]))
        costs = ",".join(str(stage["macs"]) for stage in variant["stages"])
        found = {"mark": mark, "found": 0, "broken": 0, "macs": []}
        for number in range(1, certified["splits"] + 1):
            words = [self.program, "calibrate", *sheets, "--labels", files[7], "--costs", costs, "--target",
                     certified["target"], "--delta", certified["delta"], "--fit-share", 1 - certified["share"],
                     "--seed", number, "--json", "--quiet"] + (["--limit", self.limit] if self.limit else [])
            told = json.loads(subprocess.run([str(w) for w in words], check=True, text=True,
                                             stdout=subprocess.PIPE).stdout)
            if told["certified"] is None:
                continue
            temperatures = [stage["temperature"] for stage in told["stages"]]
            right = leave(scores, temperatures, told["certified"]["thresholds"], labels)
            found["found"] += 1
            found["broken"] += right < certified["target"]
            found["macs"].append(told["certified"]["cost"])
        result.write_text(json.dumps(found))
        return found


def read_scores(path):
    raw = path.read_bytes()
    start = 10 + struct.unpack("<H", raw[8:10])[0]
    count, classes = eval(raw[10:start], {})["shape"]  # NPY's header is a Python dict
    values = array.array("f", raw[start:])
    return [values[i * classes:(i + 1) * classes] for i in range(count)]


def read_labels(count):
    with gzip.open(files[7]) as file:
        return file.read()[8:8 + count]


def leave(scores, temperatures, thresholds, labels):
    """Accuracy when each sample is answered where its largest probability reaches the threshold."""
    right = 0
    for i, label in enumerate(labels):
        for k, stage in enumerate(scores):
            z = stage[i]
            top = max(z)
            last = k + 1 == len(scores)
            if last or thresholds[k] is not None and \
                    1 / sum(math.exp((v - top) / temperatures[k]) for v in z) >= thresholds[k]:
                right += z.index(top) == label
                break
    return right / len(labels)


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


def row_int8(base, alone, made):
    before = percent([b["accuracy"] for b in base])
    after = [accuracy_of(m["variants"][1]) for m in made]
    sizes = [[v["file_bytes"] for v in m["variants"]] for m in made]
    return [line("int8: accuracy before", before, "%", "higher"),
            line("int8: accuracy after", after, "%", "higher"),
            line("int8: points lost", [b - a for a, b in zip(after, before)], "points", "lower", 0.5),
            line("int8: share of bytes", [after / before for before, after in sizes], "ratio", "lower", 0.30),
            line("int8: times faster, one thread", [m["times"]["1"] for m in made], "times", "higher", 2),
            line("int8: times faster, one thread, 16 images at once", [m["times"]["16"] for m in made], "times",
                 "higher", 2)]


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
                 "higher", max(sd, spread(taught)[1]) if len(made) > 1 else None),
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
                  line(f"slim {width}: share of the time of one request",
                       [1 / v[1 + i]["speed_ratio"]["value"] for v in made], "ratio", "lower")]
    return lines


def row_exits(base, alone, made):
    before = percent([b["accuracy"] for b in base])
    pipelines = [v[1]["pipelines"][0] for v in made]
    stages = [v[1]["stages"] for v in made]
    after = [accuracy_of(p) for p in pipelines]
    lines = [line("exits: accuracy of the full net", before, "%", "higher"),
             line("exits: accuracy with exits", after, "%", "higher"),
             line("exits: points lost", [b - a for a, b in zip(after, before)], "points", "lower", 0.5),
             line("exits: the full net's MACs over the mean of a request's",
                  [b["macs"] / p["macs"] for b, p in zip(base, pipelines)], "times", "higher", 2.5),
             line("exits: the full net's median time over the mean of a request's",
                  [v[0]["latency_ms_p50"] / p["latency_ms"] for v, p in zip(made, pipelines)], "times", "higher")]
    for k in range(len(stages[0])):
        lines.append(line(f"exits: accuracy of exit {k + 1} alone", [100 * s[k]["accuracy"] for s in stages], "%",
                          "higher"))
    return lines + [line(f"exits: requests that come to stage {k + 1}", [100 * p["reach"][k] for p in pipelines], "%",
                         "lower") for k in range(1, len(stages[0]))]


def row_bottleneck(base, alone, made):
    before = percent([b["accuracy"] for b in base])
    early = [v[1]["pipelines"][0] for v in made]
    tail = [accuracy_of(v[1]["pipelines"][-1]) for v in made]
    return [line("bottleneck: accuracy of the full net", before, "%", "higher"),
            line("bottleneck: accuracy", tail, "%", "higher"),
            line("bottleneck: points lost", [b - a for a, b in zip(tail, before)], "points", "lower", 1.0),
            line("bottleneck: bytes that cross", [v[1]["stages"][0]["forward_bytes"] for v in made], "bytes", "lower", 98),
            line("bottleneck: MACs before the cut, of the full net's",
                 [100 * v[1]["stages"][0]["macs"] / b["macs"] for v, b in zip(made, base)], "%", "lower"),
            line("bottleneck: accuracy of the early classifier alone", [100 * v[1]["stages"][0]["accuracy"] for v in made],
                 "%", "higher"),
            line("bottleneck: answered at the device", [100 * (1 - p["reach"][1]) for p in early], "%", "higher"),
            line("bottleneck: points lost then", [b - accuracy_of(p) for b, p in zip(before, early)], "points", "lower")]


def row_certificates(base, alone, made):
    splits = certified["splits"]
    return [line(f"certificates: found for {100 * certified['target']:g} %, of {splits}", [m["found"] for m in made],
                 "splits", "higher"),
            line(f"certificates: broken, of {splits}", [m["broken"] for m in made], "splits", "lower",
                 certified["delta"] * splits),
            line("certificates: the full net's MACs over the mean of a request's",
                 [b["macs"] / (sum(m["macs"]) / len(m["macs"])) for b, m in zip(base, made)], "times", "higher")]


rows = {"cnn": ([], row_cnn), "int8": ([], row_int8), "prune": ([], row_prune), "distil": (["0.5"], row_distil),
        "slim": (widths, row_slim), "exits": ([], row_exits), "bottleneck": ([], row_bottleneck), "certificates": ([], row_certificates)}
early_rows = ("exits", "bottleneck", "certificates")  # from a net that learnt without the last samples


def make(maker, wanted, seeds, jobs):
    """Results by row and seed. Whatever waits for nothing runs first; jobs at a time."""
    early = [row for row in wanted if row in early_rows]
    whole = [row for row in wanted if row not in early_rows]
    if early:
        split(maker.folder)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        base = {(s, False): pool.submit(maker.train, s) for s in seeds if whole}
        base |= {(s, True): pool.submit(maker.train_early, s) for s in seeds if early}
        alone = {(s, w): pool.submit(maker.train, s, w) for s in seeds
                 for w in sorted({w for row in wanted for w in rows[row][0]})}
        made = {(s, row): pool.submit(maker.compress, row, s, base[s, row in early_rows].result()["model"])
                for s in seeds for row in recipes if row in wanted or (row == "exits" and "certificates" in wanted)}
        for s in seeds if "int8" in wanted else []:
            variants = made[s, "int8"].result()
            made[s, "int8"] = pool.submit(maker.speed, s, base[s, False].result()["model"], variants)
        made |= {(s, "certificates"): pool.submit(maker.certify, s, made[s, "exits"].result()[1])
                 for s in seeds if "certificates" in wanted}
        apart = [{w: f.result() for (s2, w), f in alone.items() if s2 == s} for s in seeds]
        return {row: rows[row][1]([base[s, row in early_rows].result() for s in seeds], apart,
                                  [made[s, row].result() for s in seeds if (s, row) in made]) for row in wanted}


def show(table):
    width = max(len(row["what"]) for row in table)
    for row in table:
        target = "" if row["target"] is None else f"target {row['target']:.4g}"
        print(f"  {row['what']:<{width}} {row['value']:12.5g} ± {row['sd']:<8.3g} {row['unit']:<7} {target:<15} {bench.judge(row)}")


def markdown():
    """What was recorded, for docs/reference/compress.md: all that has a target."""
    digits = {"%": 2, "points": 2, "ratio": 3, "times": 2}
    print("| on the test split | mean ± sd | seeds | wanted | |\n|---|---|---|---|---|")
    for row in rows:
        path = root / "bench" / "results" / f"accuracy-{row}.json"
        for told in json.loads(path.read_text()) if path.exists() else []:
            if told["target"] is not None:
                sign = "≤" if told["better"] == "lower" else "≥"
                places = digits.get(told["unit"], 0)
                number = f"{told['value']:.{places}f}" + (f" ± {told['sd']:.{places}f}" if told["sd"] > 0 else "")
                unit = told["unit"] if told["unit"] not in ("ratio", "values") else ""
                print(f"| {told['what'].split(';')[0]} | {number} {unit} | {len(told['values'])} | {sign} "
                      f"{round(told['target'], 3):.6g} | {bench.judge(told).lower()} |".replace("  ", " "))


def about(row, maker):
    """Where figures come from: machine, commit that the program was built from, its digest, the recipe."""
    meta = bench.machine_and_commit(maker.program.parent) | {"program": maker.digest}
    step = "exits" if row == "certificates" else row
    meta["made"] = f"{step}: {recipes[step]}" if step in recipes else " ".join(["train", *training])
    return meta | {"times": "ratios, both measured in turn beside other work on the machine"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=" ".join(rows) + "; all when none is named")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time, one thread each")
    parser.add_argument("--folder", type=pathlib.Path, default=root / "build" / "accuracy")
    parser.add_argument("--program", type=pathlib.Path, default=bench.build / "estran")
    parser.add_argument("--limit", type=int, default=0, help="samples of each file, to try the script itself")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="only print what was recorded, as a table")
    chosen = parser.parse_args()
    if chosen.markdown:
        return markdown()
    if not data.exists():
        sys.exit(f"skipped: real data not found at {data} (set ESTRAN_DATA)")
    wanted = chosen.rows or list(rows)
    if unknown := [row for row in wanted if row not in rows]:
        sys.exit(f"no row '{unknown[0]}'; there are {', '.join(rows)}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    maker = Maker(chosen.program.resolve(), chosen.folder, chosen.limit)
    results = make(maker, wanted, chosen.seeds.split(","), chosen.jobs)
    bench.out.mkdir(parents=True, exist_ok=True)
    for row, table in results.items():
        print(f"{row}, Fashion-MNIST, {len(chosen.seeds.split(','))} seeds: mean ± sd")
        show(table)
        for name, what in ((f"accuracy-{row}.json", table), (f"accuracy-{row}.meta.json", about(row, maker))):
            (bench.out / name).write_text(json.dumps(what, indent=2) + "\n")
            if chosen.record:
                shutil.copy(bench.out / name, root / "bench" / "results" / name)


if __name__ == "__main__":
    main()
