"""The command line: help, errors, documents, determinism."""
import json
import os
import re
import shutil
import subprocess

import support
from support import EXAMPLE, ESTRAN, ROOT, Case, data, estran


# Of their own, beside those that the example includes.
PIPELINES = """
pipelines:
  - name: own
    task: condition
    quality: 0.95
    stages: [{segment: small, exit_threshold: 0.9}, {segment: large, reach: 0.5, input: request}]
"""


def verbs():
    return re.findall(r"^  ([a-z-]+) +[a-z]", estran("--help").stdout, re.M)


class Help(Case):
    def test_every_verb_matches_its_reference(self):
        names = [name for name in verbs() if name != "estran"]
        self.assertGreaterEqual(len(names), 9)
        for name in names:
            kept = (ROOT / "docs/reference/cli" / f"{name}.txt").read_text()
            for flag in ("-h", "--help"):
                done = self.ok(name, flag)
                self.assertEqual(done.stdout, kept, f"{name}: run tests/update and review")
            self.assertEqual(self.ok("help", name).stdout, kept)

    def test_no_words_is_usage(self):
        done = estran()
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage: estran VERB", done.stdout)


class Mistakes(Case):
    def test_command_line(self):
        for code, expected, words in [
            (2, ["unknown verb 'plam'", "'plan'"], ["plam"]),
            (2, ["unknown option --time-limt", "--time-limit"], ["plan", "--time-limt", "3", EXAMPLE]),
            (2, ["--time-limit: '3x' is not a number"], ["plan", "--time-limit", "3x", EXAMPLE]),
            (2, ["--time-limit: -1 must be between"], ["plan", "--time-limit=-1", EXAMPLE]),
            (2, ["--method: unknown word 'exactt'", "'exact'"], ["plan", "--method", "exactt", EXAMPLE]),
            (2, ["--seed: '1.5' is not a whole number"], ["plan", "--seed", "1.5", EXAMPLE]),
            (2, ["--time-limit needs a value"], ["plan", EXAMPLE, "--time-limit"]),
            (2, ["--json takes no value"], ["plan", "--json=yes", EXAMPLE]),
            (2, ["unexpected argument"], ["plan", EXAMPLE, EXAMPLE]),
            (2, ["missing argument", "PLAN SCENARIO"], ["check", EXAMPLE]),
            (2, ["unknown option -x"], ["plan", "-x", EXAMPLE]),
            (2, ["must be ADDRESS:PORT"], ["node", "--listen", "nowhere"]),
            (2, ["--dim: 'batch=0' must be NAME=VALUE"], ["profile", "--dim", "batch=0", "x.onnx"]),
        ]:
            with self.subTest(words=words):
                self.fails(code, expected, *words)

    def test_missing_files(self):
        for words in [["plan", "none.yaml"], ["simulate", "none.yaml"], ["run", "none.yaml"],
                      ["cut", "none.onnx"], ["profile", "none.onnx"], ["import", "none.gml"],
                      ["report", "none"]]:
            with self.subTest(words=words):
                self.fails(1, ["none", "No such file"], *words)

    def test_bad_scenarios(self):
        good = support.example() + PIPELINES
        for change, expected in [
            (("deadline_ms: 80", "deadline_ms: -80"), ["tasks[0].deadline_ms", "-80"]),
            (("tier: edge", "tier: egde"), ["nodes[3].tier", "egde", "edge"]),
            (("rate_rps: 40", "rate_rps: 0"), ["demand[0].rate_rps"]),
            (("idle_w: 0.05", "idle_w: .nan"), ["kinds[0]", ".nan is not a finite number"]),
            (("pipelines:", "pipelinse:"), ["pipelinse", "pipelines"]),
            (("reach: 0.5", "reach: 1.5"), ["reach", "1.5"]),
            (("name: hall, tier", "name: sensor-1, tier"), ["sensor-1"]),
            (("  - {between: [hall, cloud]", "  - {between: [hall, clod]"), ["clod", "cloud"]),
        ]:
            with self.subTest(change=change):
                self.assertIn(change[0], good)
                path = self.write("bad.yaml", good.replace(change[0], change[1], 1))
                done = self.fails(1, expected, "plan", path, "--output", self.folder / "plan.json")
                self.assertRegex(done.stderr, r"bad\.yaml:\d+:\d+: ")
                self.assertEqual(sorted(os.listdir(self.folder)), ["bad.yaml"])

    def test_truncated_scenario_never_crashes(self):
        good = support.example() + PIPELINES
        for size in range(0, len(good), len(good) // 40):
            path = self.write("cut.yaml", good[:size])
            done = estran("plan", path, "--time-limit", "1")
            self.assertIn(done.returncode, (0, 1, 3), done.stderr)

    def test_not_a_model(self):
        path = self.write("not.onnx", "this is no model")
        for verb in ("cut", "profile"):
            self.fails(1, ["not.onnx"], verb, path)

    def test_unwritable_output(self):
        self.fails(1, ["plan.json"], "plan", EXAMPLE, "--output", self.folder / "no" / "plan.json")


class Infeasible(Case):
    def test_exit_3_and_the_reason(self):
        text = support.example(samples=False).replace("deadline_ms: 80", "deadline_ms: 0.5")
        path = self.write("late.yaml", text)
        done = estran("plan", path)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("infeasible", done.stdout)
        self.assertIn("deadline", done.stdout)


class Documents(Case):
    def test_same_seed_same_bytes(self):
        texts = []
        for i in range(2):
            plan, outcome = self.folder / f"p{i}.json", self.folder / f"o{i}.jsonl"
            self.ok("plan", EXAMPLE, "--output", plan)
            self.ok("simulate", EXAMPLE, "--plan", plan, "--seed", "5", "--output", outcome)
            texts.append((plan.read_bytes(), outcome.read_bytes()))
        self.assertEqual(texts[0], texts[1])
        other = self.folder / "o2.jsonl"
        self.ok("simulate", EXAMPLE, "--plan", plan, "--seed", "6", "--output", other)
        self.assertNotEqual(other.read_bytes(), texts[0][1])

    def test_check_accepts_the_plan_and_refuses_changed_ones(self):
        plan = self.folder / "plan.json"
        self.ok("plan", EXAMPLE, "--output", plan)
        self.assertIn("holds", self.ok("check", plan, EXAMPLE).stdout)
        document = json.loads(plan.read_text())
        document["objective_per_s"] *= 0.9
        bad = self.write("bad.json", json.dumps(document))
        done = estran("check", bad, EXAMPLE, "--json")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertTrue(json.loads(done.stdout)["violations"])
        document["routing"][0]["share"] *= 0.5
        self.fails(1, ["bad.json:1:", "share"], "check", self.write("bad.json", json.dumps(document)), EXAMPLE)

    def test_json_on_stdout_is_only_json(self):
        for words in (["plan", EXAMPLE, "--json"], ["cut", "--json", "examples/01-first-run/models/large.onnx"]):
            json.loads(self.ok(*words).stdout)
        lines = self.ok("simulate", EXAMPLE, "--json").stdout.splitlines()
        self.assertEqual(json.loads(lines[0])["format"], "estran-outcome")
        for line in lines:
            json.loads(line)

    def test_measured_catalogue_example(self):
        path = "examples/02-measured-catalogue/scenario.yaml"
        plan = self.folder / "plan.json"
        self.ok("plan", path, "--output", plan)
        self.ok("check", plan, path)
        self.ok("simulate", path, "--plan", plan)


class Models(Case):
    MODEL = "examples/01-first-run/models/large.onnx"

    def test_cut_writes_segments(self):
        listing = json.loads(self.ok("cut", self.MODEL, "--json").stdout)
        self.assertIn("features", [cut["tensor"] for cut in listing["cuts"]])
        self.ok("cut", self.MODEL, "--at", "features", "--output", self.folder / "large")
        self.assertEqual(sorted(os.listdir(self.folder)), ["large.seg0.onnx", "large.seg1.onnx"])
        self.fails(2, ["feature", "features"], "cut", self.MODEL, "--at", "feature")

    def test_profile_writes_an_entry(self):
        out = self.folder / "catalogue.json"
        self.ok("profile", self.MODEL, "--output", out, "--budget", "0.5", "--batch-max", "2")
        entry = json.loads(out.read_text())[0]
        self.assertEqual(entry["format"], "estran-profile")
        self.assertEqual(entry["variant"], "large")

    def test_nothing_outside_the_output(self):
        """An empty HOME and TMPDIR stay empty, and no socket is made."""
        home = self.folder / "home"
        home.mkdir()
        env = {key: value for key, value in os.environ.items() if key != "CI"}
        env.update(HOME=str(home), TMPDIR=str(home), XDG_CACHE_HOME=str(home / "cache"))
        command = [str(ESTRAN), "profile", self.MODEL, "--budget", "1", "--quiet"]
        trace = self.folder / "trace"
        tool = shutil.which("strace")
        works = tool and subprocess.run([tool, "-o", os.devnull, "true"], check=False,
                                        capture_output=True).returncode == 0
        if works and "asan" not in str(ESTRAN) and "tsan" not in str(ESTRAN):
            command = [tool, "-f", "-e", "trace=network", "-o", str(trace)] + command
        done = subprocess.run(command, cwd=ROOT, env=env, text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(home.rglob("*")), [])
        if trace.exists():
            self.assertNotRegex(trace.read_text(), r"socket\(|connect\(|sendto\(")
        else:
            print("note: strace does not work here; only files were checked")


class Import(Case):
    def test_topology_becomes_a_scenario_part(self):
        folder = data("topologyzoo")
        out = self.folder / "network.yaml"
        self.ok("import", folder / "Abilene.graphml", "--output", out)
        text = out.read_text()
        self.assertEqual(text.count("tier: network"), 11)
        self.assertEqual(text.count("latency_ms"), 14)


if __name__ == "__main__":
    support.main()
