"""estran pareto: front, plans, picture, mistakes, no feasible plan."""
import json
import xml.dom.minidom

import support
from support import EXAMPLE, Case, estran


class Pareto(Case):
    def test_front_plans_and_picture(self):
        front, svg, plans = self.folder / "f.json", self.folder / "f.svg", self.folder / "plans"
        done = self.ok("pareto", EXAMPLE, "--output", front, "--svg", svg, "--plans", plans)
        self.assertIn("exact front of", done.stdout)
        document = json.loads(front.read_text())
        self.assertEqual((document["format"], document["version"]), ("estran-front", 1))
        self.assertEqual(document["quality"], "optimal")
        values = [point["values"] for point in document["points"]]
        self.assertEqual(values, sorted(values))
        for a in values:
            for b in values:
                self.assertFalse(a != b and all(x <= y for x, y in zip(a, b)), "dominated")
        self.assertEqual(len(list(plans.iterdir())), len(values))
        for path in plans.iterdir():
            self.assertIn("holds", self.ok("check", path, EXAMPLE).stdout)
        xml.dom.minidom.parse(str(svg))
        self.assertEqual(svg.read_text().count("<circle"), len(values))
        printed = self.ok("pareto", EXAMPLE, "--json").stdout
        self.assertEqual(json.loads(printed), document)

    def test_approx_has_a_bound(self):
        done = self.ok("pareto", EXAMPLE, "--method", "approx", "--json", "--points", "5",
                       "--objectives", "latency,quality")
        document = json.loads(done.stdout)
        self.assertGreaterEqual(document["hypervolume_bound"], document["hypervolume"])
        self.assertGreater(len(document["cuts"]), 2)

    def test_mistakes(self):
        for words, objectives in [(["'latancy'", "'latency'"], "latancy,energy"),
                                  (["is one"], "latency"), (["given twice"], "energy,energy"),
                                  (["more than three"], "latency,energy,quality,carbon"),
                                  (["unknown word ''"], "latency,")]:
            done = estran("pareto", EXAMPLE, "--objectives", objectives)
            self.assertEqual(done.returncode, 2, objectives)
            for word in words:
                self.assertIn(word, done.stderr)
        self.assertEqual(estran("pareto", EXAMPLE, "--method", "exakt").returncode, 2)
        self.assertEqual(estran("pareto", EXAMPLE, "--points", "1").returncode, 2)

    def test_infeasible(self):
        text = support.example(samples=False).replace("deadline_ms: 80", "deadline_ms: 0.5")
        path = self.write("late.yaml", text)
        for method in ("exact", "approx"):
            done = estran("pareto", path, "--method", method)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("infeasible", done.stdout)
            self.assertIn("deadline", done.stdout)


if __name__ == "__main__":
    support.main()
