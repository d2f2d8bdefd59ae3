"""estran plan: the MPS file, planning from a running plan, explanations."""
import json
import re
import shutil
import subprocess
import unittest

import support
from support import ROOT, Case

EXAMPLES = ["examples/01-first-run/scenario.yaml", "examples/02-measured-catalogue/scenario.yaml"]


class Plan(Case):
    def plan(self, example, *words):
        return json.loads(self.ok("plan", "--json", "--gap", "1e-7", *words, ROOT / example).stdout)

    def path(self, name):
        return self.write(name, "")

    @unittest.skipUnless(shutil.which("cbc"), "the program cbc is not installed")
    def test_cbc_finds_the_same_optimum(self):
        for example in EXAMPLES:
            with self.subTest(example=example):
                file = self.path("problem.mps")
                plan = self.plan(example, "--write-mps", file)
                told = subprocess.run(["cbc", str(file), "ratioGap", "1e-7", "solve", "quit"],
                                      text=True, capture_output=True, timeout=100).stdout
                found = re.search(r"^Objective value:\s*([-0-9.e+]+)", told, re.MULTILINE)
                self.assertIsNotNone(found, told)
                self.assertAlmostEqual(float(found[1]) / plan["objective_per_s"], 1, delta=1e-6)

    def test_running_plan_stays_when_moving_is_dear(self):
        old = self.path("old.json")
        self.ok("plan", "--method", "edge-only", "--output", old, ROOT / EXAMPLES[0])
        free = self.plan(EXAMPLES[0], "--warm-start", old)
        dear = self.plan(EXAMPLES[0], "--warm-start", old, "--move-price", "1000")
        self.assertGreater(free["moves"]["count"], 0)
        self.assertEqual(free["moves"]["cost_per_s"], 0)
        self.assertNotIn("moves", dear)
        self.assertGreater(dear["objective_per_s"], free["objective_per_s"])
        new = self.path("new.json")
        new.write_text(json.dumps(free))
        self.ok("check", new, ROOT / EXAMPLES[0])

    def test_explanation_covers_every_routing(self):
        plan = self.plan(EXAMPLES[1], "--explain")
        self.assertEqual(len(plan["explain"]["reasons"]), len(plan["routing"]) + len(plan["refused"]))
        self.assertTrue(any(limit["price_per_s"] for limit in plan["explain"]["limits"]))

    def test_price_needs_a_plan(self):
        self.fails(2, "--move-price needs --warm-start PLAN", "plan", "--move-price", "1",
                   ROOT / EXAMPLES[0])


if __name__ == "__main__":
    support.main()
