#!/usr/bin/env python3
"""tools/bench.py NAME|all [--record]: builds the release, runs the benchmark programs of NAME
(src/NAME/*_bench.c), prints a table and writes build/bench/NAME.json, an array of
{"what", "value", "unit", "better", "target"}; machine and commit go to build/bench/NAME.meta.json.
--record also copies both to bench/results."""
import json
import pathlib
import platform
import shutil
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
build = root / "build" / "release"
out = root / "build" / "bench"


def cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def run(*command, folder=root):
    return subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


def programs():
    found = {}
    for path in sorted((root / "src").glob("*/*_bench.c")):
        found.setdefault(path.parent.name, []).append(f"{path.parent.name}_{path.stem}")
    return found


def judge(row):
    if row.get("target") is None or row["value"] is None:
        return ""
    good = row["value"] <= row["target"] if row["better"] == "lower" else row["value"] >= row["target"]
    return "ok" if good else "MISSED"


def machine_and_commit(folder=root):
    return {
        "machine": f"{platform.system()} {platform.machine()}, {cpu()}",
        "commit": run("git", "rev-parse", "--short", "HEAD", folder=folder).strip()
        + ("+changes" if run("git", "status", "--porcelain", "-uno", folder=folder).strip() else ""),
        "build": "release",
    }


def bench(name, targets, record):
    run("cmake", "--build", str(build), "--target", *targets)
    rows = []
    for target in targets:
        rows += json.loads(run(str(build / "src" / name / target)))
    out.mkdir(parents=True, exist_ok=True)
    meta = machine_and_commit()
    (out / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
    (out / f"{name}.meta.json").write_text(json.dumps(meta, indent=2) + "\n")
    print(f"{name}  ({meta['machine']}, {meta['commit']})")
    width = max((len(row["what"]) for row in rows), default=0)
    for row in rows:
        target = "" if row.get("target") is None else f"target {row['target']:g}"
        value = "none" if row["value"] is None else f"{row['value']:.5g}"  # infinite
        print(f"  {row['what']:<{width}}  {value:>12} {row['unit']:<10} {target:<16}{judge(row)}")
    if record:
        kept = root / "bench" / "results"
        kept.mkdir(parents=True, exist_ok=True)
        for suffix in ("json", "meta.json"):
            shutil.copy(out / f"{name}.{suffix}", kept / f"{name}.{suffix}")


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    wanted = words[0] if words else "all"
    known = programs()
    if wanted != "all" and wanted not in known:
        sys.exit(f"bench: no benchmark '{wanted}'; there are: {', '.join(known)}")
    run("cmake", "--preset", "release", "-DBUILD_TESTING=OFF")
    for name in known if wanted == "all" else [wanted]:
        bench(name, known[name], "--record" in sys.argv)


if __name__ == "__main__":
    main()
