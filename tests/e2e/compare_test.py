"""estran compare and simulate --policy: figures, bytes, bad policies, pictures."""
import json
import sys
import xml.dom.minidom

import support
from support import EXAMPLE, ROOT, Case, estran

# A policy in a few lines: hosts what its mode says.
PROGRAM = """
import json, sys, time
mode = sys.argv[1]
hello = json.loads(sys.stdin.readline())
assert hello["format"] == "estran-policy" and hello["version"] == 1
items = hello["items"]
for line in sys.stdin:
    asked = json.loads(line)
    slot = asked["slot"]
    if slot > 0:
        assert len(asked["requests"]) == len(hello["types"])
        assert len(asked["hosted"]) == len(items)
    hosted = [item["copies"] if item["pinned"] else 0 for item in items]
    if mode == "over":
        hosted = [1000000 for item in items]
    if mode == "dead" and slot == 3:
        sys.exit(7)
    if mode == "late" and slot == 2:
        time.sleep(1.5)
    answer = json.dumps({"slot": slot, "hosted": hosted})
    if mode == "nan" and slot == 1:
        answer = '{"slot": 1, "hosted": [NaN]}'
    if mode == "short" and slot == 1:
        answer = '{"slot": 1, "hosted": [1]}'
    if mode == "changes":
        answer = json.dumps({"slot": slot, "changes": []})
    print(answer, flush=True)
"""


class Compare(Case):
    def policy(self, mode):
        path = self.write("policy.py", PROGRAM)
        return f"process:{sys.executable} {path} {mode}"

    def test_example_with_pictures_and_same_bytes(self):
        html, svg, out = self.folder / "c.html", self.folder / "c.svg", self.folder / "c.json"
        words = ["compare", EXAMPLE, "--policies", "infida,cloud-only,random,replan,olag",
                 "--replications", "3", "--seed", "5"]
        done = self.ok(*words, "--html", html, "--svg", svg, "--output", out, "--threads", "1")
        self.assertIn("infida", done.stdout)
        self.assertIn("3 replications", done.stdout)
        xml.dom.minidom.parse(str(svg))
        page = html.read_text()
        self.assertEqual(page.count("<svg"), 2)
        self.assertNotIn("nan", page)
        xml.dom.minidom.parseString(page.replace("<!DOCTYPE html>\n", ""))
        again = self.ok(*words, "--json", "--threads", "2").stdout
        self.assertEqual(again, out.read_text(), "bytes depend on the number of threads")
        document = json.loads(again)
        self.assertEqual(document["format"], "estran-comparison")
        first = document["policies"][0]["measures"]
        self.assertEqual(first["cost_per_request"]["difference"], 0)
        for row in document["policies"]:
            for name, figure in row["measures"].items():
                if figure["mean"] is not None:
                    difference = figure["mean"] - first[name]["mean"] if first[name]["mean"] is not None else 0
                    if figure["difference"] is not None:
                        self.assertAlmostEqual(figure["difference"], difference, delta=1e-9 * (1 + abs(figure["mean"])))

    def test_rec_1_reaches_what_is_asked(self):
        fixed = json.loads(self.ok("compare", "idn-rec-1", "--slots", "120", "--json",
                                   "--policies", "infida,static-greedy").stdout)
        slide = json.loads(self.ok("compare", "idn-rec-1", "--slots", "240", "--shift", "60", "--json",
                                   "--policies", "infida,static-greedy").stdout)

        def gain(document, policy, name="gain_per_request"):
            return document["policies"][policy]["measures"][name]["mean"]
        fraction = "fraction_gain_per_request"
        self.assertGreaterEqual(gain(fixed, 0, fraction), 0.99 * gain(fixed, 1))
        self.assertGreaterEqual(gain(slide, 0, fraction), 1.10 * gain(slide, 1))
        self.assertGreaterEqual(gain(slide, 0), 0.95 * gain(slide, 0, fraction))
        self.assertLessEqual(gain(slide, 0, "moved_bytes_per_slot"), 25e9)
        for document in (fixed, slide):
            row = document["policies"][0]
            self.assertLessEqual(row["psi_regret"], row["psi_regret_bound"])
            self.assertEqual(row["faults"]["over_budget"], 0)

    def test_a_process_is_a_policy(self):
        cloud = json.loads(self.ok("compare", EXAMPLE, "--json", "--policies", "cloud-only").stdout)
        for mode in ("plain", "changes"):
            own = json.loads(self.ok("compare", EXAMPLE, "--json", "--policies", self.policy(mode)).stdout)
            self.assertGreater(own["policies"][0]["measures"]["cost_per_request"]["mean"], 0)
            self.assertEqual(len(own["slots"]), len(cloud["slots"]))

    def test_bad_answers_are_errors_or_counted(self):
        for mode, words, kind in [("over", ["slot 0", "over their memory"], "over_copies"),
                                  ("dead", ["slot 3", "ended with status 7"], "bad_answers"),
                                  ("nan", ["slot 1", "answer:1:"], "bad_answers"),
                                  ("short", ["slot 1", "one per item, not 1"], "bad_answers"),
                                  ("late", ["slot 2", "is late"], "bad_answers")]:
            policy = self.policy(mode)
            patience = ["--late", "0.5"] if mode == "late" else []
            done = estran("compare", EXAMPLE, "--policies", policy, *patience)
            self.assertNotEqual(done.returncode, 0, mode)
            for word in words:
                self.assertIn(word, done.stderr, mode)
            done = self.ok("compare", EXAMPLE, "--policies", policy, "--on-bad", "clip", "--json", *patience)
            faults = json.loads(done.stdout)["policies"][0]["faults"]
            self.assertGreater(faults[kind], 0, mode)
            self.assertIn(words[0], faults["first"] if mode == "over" else words[0])

    def test_simulate_follows_a_policy(self):
        out = self.folder / "o.jsonl"
        self.ok("simulate", EXAMPLE, "--policy", "infida", "--output", out, "--replications", "2")
        header = json.loads(out.read_text().splitlines()[0])
        self.assertEqual(header["label"], "infida")
        same = self.ok("simulate", EXAMPLE, "--policy", "infida", "--json", "--replications", "2",
                       "--threads", "2").stdout
        self.assertEqual(same, out.read_text())
        self.fails(2, ["static-greedy", "all demand"], "simulate", EXAMPLE, "--policy", "static-greedy")

    def test_mistakes(self):
        self.fails(2, ["'infidda'", "'infida'"], "compare", EXAMPLE, "--policies", "infidda")
        self.fails(2, ["'steps'", "'step'"], "compare", EXAMPLE, "--policies", "infida:steps=3")
        self.fails(2, ["step=-1", "number from"], "compare", EXAMPLE, "--policies", "infida:step=-1")
        self.fails(2, ["empty name"], "compare", EXAMPLE, "--policies", "infida,,olag")
        self.fails(2, ["needs a command"], "compare", EXAMPLE, "--policies", "process")
        self.fails(1, ["replan", "idn-rec-1"], "compare", "idn-rec-1", "--policies", "replan")

    def test_template_in_the_reference_is_the_code(self):
        page = (ROOT / "docs/reference/policy.md").read_text()
        code = page.split("```c\n", 1)[1].split("```", 1)[0]
        self.assertLess(len(code.splitlines()), 60)
        self.assertEqual(code, (ROOT / "src/online/hottest.c").read_text())


if __name__ == "__main__":
    support.main()
