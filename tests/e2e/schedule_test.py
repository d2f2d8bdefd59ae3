"""estran schedule: documents, pictures, methods, budgets, online, mistakes."""
import json
import re
import xml.dom.minidom

import support
from support import EXAMPLE, ROOT, Case, estran

TASKS = "examples/03-schedule/tasks.yaml"
MACHINES = "examples/03-schedule/machines.yaml"
FAMILY = "examples/03-schedule/family.yaml"


def solve(case, *words):
    done = case.ok("schedule", TASKS, MACHINES, "--json", *words)
    return json.loads(done.stdout)


class Schedule(Case):
    def test_documents_and_pictures(self):
        out, svg = self.folder / "s.json", self.folder / "s.svg"
        curve, html = self.folder / "c.svg", self.folder / "s.html"
        done = self.ok("schedule", TASKS, MACHINES, "--energy-budget", "30%", "--output", out,
                       "--svg", svg, "--curve-svg", curve, "--html", html, "--compare",
                       "--curve", "10")
        for words in ("60 of 60 tasks run", "mean quality", "(30.0 % of all machines busy)",
                      "edf-3", "fifo", "100.0 %"):
            self.assertIn(words, done.stdout)
        document = json.loads(out.read_text())
        self.assertEqual((document["format"], document["version"]), ("estran-schedule", 1))
        self.assertEqual(len(document["tasks"]), 60)
        self.assertAlmostEqual(document["quality"], sum(t["quality"] for t in document["tasks"]))
        self.assertLessEqual(document["used"]["energy_j"], document["budgets"]["energy_j"] * 1.0001)
        for path in (svg, curve, html):
            text = path.read_text().replace("<!doctype html>\n", "")
            xml.dom.minidom.parseString(text)
        self.assertEqual(svg.read_text().count('class="bar'), 60)
        self.assertEqual(curve.read_text().count("<circle"), 10)
        self.assertIn("holds", self.ok("schedule", TASKS, MACHINES, "--check", out).stdout)
        document["tasks"][7]["quality"] += 0.1
        wrong = self.write("wrong.json", json.dumps(document))
        self.fails(1, ["wrong.json", "task 7", "its curve says"], "schedule", TASKS, MACHINES,
                   "--check", wrong)

    def test_methods(self):
        found = {method: solve(self, "--method", method, "--energy-budget", "12.675")
                 for method in ("exact", "fractional", "approx", "edf", "edf-3", "best-fit", "fifo")}
        bound = found["fractional"]["quality"]
        for method, document in found.items():
            self.assertEqual(document["method"], method)
            self.assertLessEqual(document["quality"], bound * 1.000001)
            self.assertGreaterEqual(document["bound"], document["quality"])
        self.assertGreater(found["approx"]["quality"], 1.5 * found["edf-3"]["quality"])
        self.assertGreater(found["approx"]["quality"], 0.999 * bound)
        points = {0, 0.6, 0.9, 1.2, 1.8, 2.4, 3.7, 4.1}
        discrete = solve(self, "--discrete", "--energy-budget", "30%")
        for task in discrete["tasks"]:
            self.assertLess(min(abs(task["work"] - p) for p in points), 1e-6)
        self.assertLessEqual(discrete["quality"], bound)

    def test_budgets(self):
        carbon = solve(self, "--carbon-budget", "30%")
        self.assertLessEqual(carbon["used"]["carbon_gco2e"],
                             carbon["budgets"]["carbon_gco2e"] * 1.0001)
        both = solve(self, "--carbon-budget", "30%", "--energy-budget", "30%", "--price-budget",
                     "4e-7")
        self.assertLess(both["quality"], carbon["quality"])
        self.assertLessEqual(both["used"]["price"], 4e-7 * 1.0001)
        nothing = solve(self, "--energy-budget", "0")
        self.assertEqual([t["machine"] for t in nothing["tasks"]], [None] * 60)
        self.assertAlmostEqual(nothing["quality"], 0.06)

    def test_hours(self):
        """Twice as dirty in the first hour: work waits for the second."""
        machines = self.write("m.yaml", """
format: estran-machines
version: 1
zones: [{name: Z, carbon_gco2e_per_kwh: [200, 100]}]
machines: [{name: m, speed_per_s: 1, busy_w: 100, zone: Z}]
""")
        tasks = self.write("t.csv", "name,deadline_s,curve\n"
                           "early,1000,0:0 500:0.9\nlate,7200,0:0 1000:1.0\n")
        done = self.ok("schedule", tasks, machines, "--json", "--carbon-budget", "5")
        early, late = json.loads(done.stdout)["tasks"]
        self.assertEqual((early["name"], late["name"]), ("early", "late"))
        self.assertGreaterEqual(late["start_s"], 3600)
        self.assertAlmostEqual(late["work"], 1000, places=3)
        self.assertLess(early["start_s"], 3600)

    def test_online(self):
        lines = ["deadline_s,arrival_s,curve"]
        lines += [f"{i * 0.5 + 2},{i * 0.5},0:0.1 1:0.7 3:0.9" for i in range(40)]
        tasks = self.write("t.csv", "\n".join(lines) + "\n")
        done = self.ok("schedule", tasks, MACHINES, "--online", "--energy-budget", "30%")
        self.assertIn("planned 40 times", done.stdout)
        self.assertIn("of what a clairvoyant could have gained", done.stdout)
        self.fails(2, ["--online", "arrives at 0.5 s"], "schedule", tasks, MACHINES)
        done = self.ok("schedule", EXAMPLE, "--online", "--horizon", "2")
        self.assertIn("planned", done.stdout)

    def test_execute(self):
        """One node hosts three models and is told by which to answer, request by request."""
        words = ["schedule", FAMILY, "--online", "--discrete", "--energy-budget", "30%"]
        outcome = self.folder / "measured.jsonl"
        plan = self.folder / "schedule.json"
        done = self.ok(*words, "--horizon", "2", "--execute", outcome, "--output", plan)
        served, arrived = map(int, re.search(r"executed: (\d+) of (\d+) requests answered",
                                             done.stdout).groups())
        tasks = json.loads(plan.read_text())["tasks"]
        self.assertEqual(arrived, len(tasks))
        self.assertEqual(served, sum(task["machine"] is not None for task in tasks))
        told = {name: int(count) for name, count in
                re.findall(r"^(tiny|small|large) +sensor +sensor +(\d+) ", done.stdout, re.M)}
        wanted = {}
        for task in tasks:
            name = {0.8027: "tiny", 0.9107: "small", 0.9575: "large"}[round(task["quality"], 6)]
            wanted[name] = wanted.get(name, 0) + 1
        self.assertEqual(told, wanted)
        self.assertGreaterEqual(len(told), 2)
        self.assertEqual(json.loads(outcome.read_text().splitlines()[0])["format"],
                         "estran-outcome")
        self.fails(2, ["--execute", "--discrete"], "schedule", FAMILY, "--online", "--execute", "x")
        self.fails(2, ["--execute", "--discrete"], "schedule", TASKS, MACHINES, "--execute", "x")
        self.fails(2, ["--horizon=11", "10 s"], *words, "--horizon", "11", "--execute", "x")

    def test_mistakes(self):
        head = "format: estran-machines\nversion: 1\nmachines:\n"
        machines = [("speed_per_s: 0, busy_w: 1", ["speed_per_s", "0"]),
                    ("speed_per_s: 1, busy_w: -1", ["busy_w", "-1"]),
                    ("speed_per_s: 1, busy_w: 1, idle_w: 2", ["idle_w", "at most busy_w=1"]),
                    ("speed_per_s: 1, busy_w: 1, zone: X", ["there is no zone 'X'"]),
                    ("speed_per_s: 1, busy_w: 1, sped: 3", ["sped"])]
        for text, words in machines:
            path = self.write("m.yaml", head + "  - {name: a, " + text + "}\n")
            self.fails(1, ["m.yaml:4", *words], "schedule", TASKS, path)
        tasks = [("deadline_s,curve\n-1,0:0 1:1\n", ["t.csv:2", "deadline_s=-1"]),
                 ("deadline_s,arrival_s,curve\n1,2,0:0 1:1\n", ["t.csv:2", "in the past"]),
                 ("deadline,curve\n1,0:0 1:1\n", ["t.csv:1", "did you mean 'deadline_s'"]),
                 ("deadline_s,curve\n1,0:0 1:1 2:3\n", ["t.csv:2", "not concave", "--hull"]),
                 ("deadline_s,curve\n1,0:0 1;1\n", ["t.csv:2", "work:quality"]),
                 ("deadline_s,curve\n1,0.5:0 1:1\n", ["t.csv:2", "starts at work 0.5"])]
        for text, words in tasks:
            path = self.write("t.csv", text)
            self.fails(1, words, "schedule", path, MACHINES)
        path = self.write("t.csv", "deadline_s,curve\n1,0:0 1:0.5 2:0.4 3:1.9\n")
        done = self.ok("schedule", path, MACHINES, "--hull")
        self.assertIn("2 of 4 points left out", done.stderr)
        for value in ("-1", "x", "nan", "%"):
            self.fails(2, ["--energy-budget", "must be a number >= 0"], "schedule", TASKS,
                       MACHINES, "--energy-budget", value)
        self.fails(2, ["machines are missing"], "schedule", TASKS)
        self.fails(2, ["svg"], "schedule", TASKS, MACHINES, "--method", "fractional", "--svg",
                   self.folder / "x.svg")
        self.assertEqual(estran("schedule", "no-such.yaml", MACHINES).returncode, 1)


if __name__ == "__main__":
    support.main()
