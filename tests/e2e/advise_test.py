"""estran advise: what suffices and what it saves, totals, real models, mistakes."""
import csv
import json

import support
from support import Case, data

# Facts from the authors' tables of "Small is sufficient", github.com/tsb4/small-is-sufficient.
TRANSLATION = """id,Utility,nParams,downloads
google-t5/t5-11b,32.1,11000000000.0,1648300
google-t5/t5-3b,31.8,2851599360,708100
google-t5/t5-large,32.0,737668608,1028285
google-t5/t5-small,26.7,60506880,5685735
google-t5/t5-base,30.9,222903936,3670686
"""


class Advise(Case):
    def advise(self, *words):
        return json.loads(self.ok("advise", *words, "--json").stdout)

    def test_published(self):
        path = self.write("translation.csv", TRANSLATION)
        done = self.ok("advise", path)
        for words in ("google-t5/t5-base", "91.3 %", "not measured"):
            self.assertIn(words, done.stdout)
        for margin, percent in ((1, 83.4), (2, 83.4), (5, 91.3), (10, 91.3)):
            got = self.advise(path, "--margin", margin)["tasks"][0]
            self.assertAlmostEqual(100 * got["saving"], percent, delta=0.1)
        self.assertAlmostEqual(100 * self.advise(path, "--exponent", "0.7")["saving"], 75.3,
                               delta=0.1)

    def test_tasks_and_shares(self):
        path = self.write("m.csv", "task,model,utility,size,popularity\n"
                          "a,large,100,10,1\na,small,99,1,1\n"
                          "elo,large,1200,10,1\nelo,small,1150,5,1\n")
        got = self.advise(path)
        # a: 11 -> 2; elo at 5 % of 1200: 15 -> 10
        self.assertAlmostEqual(got["tasks"][0]["saving"], 1 - 2 / 11)
        self.assertAlmostEqual(got["tasks"][1]["saving"], 1 - 10 / 15)
        self.assertAlmostEqual(got["saving"], 1 - 12 / 26)
        got = self.advise(path, "--absolute", "elo=40", "--share", "a=75", "--share", "elo=25")
        self.assertEqual(got["tasks"][1]["saving"], 0)
        self.assertEqual(got["tasks"][1]["margin_points"], 40)
        self.assertAlmostEqual(got["saving"], 0.75 * (1 - 2 / 11))
        self.fails(2, ["task 'elo' has none"], "advise", path, "--share", "a=75")
        self.fails(2, ["expected TASK=NUMBER"], "advise", path, "--absolute", "elo")

    def test_real_models(self):
        """ImageNet accuracies of timm, each model as popular as another."""
        source = data("timm/results-imagenet.csv")
        lines = ["model,utility,size,popularity"]
        with source.open(newline="") as file:
            for row in csv.DictReader(file):
                size = float(row["param_count"].replace(",", "")) * 1e6
                lines.append(f"\"{row['model']}\",{row['top1']},{size:.0f},1")
        path = self.write("timm.csv", "\n".join(lines) + "\n")
        last = 0
        for margin in (0, 1, 2, 5, 10):
            task = self.advise(path, "--margin", margin)["tasks"][0]
            self.assertGreaterEqual(task["saving"], last)
            self.assertGreaterEqual(task["sufficient"]["utility"],
                                    (1 - margin / 100) * task["best"]["utility"] - 1e-9)
            last = task["saving"]
        self.assertGreater(last, 0.5)

    def test_mistakes(self):
        path = self.write("m.csv", "utility,size\n1,2\n")
        self.fails(1, ["m.csv:1:", "popularity"], "advise", path)
        path.write_text("utility,size,popularity\n1,big,2\n")
        self.fails(1, ["m.csv:2:", "'big' is not a number"], "advise", path)
        path.write_text("utility,size,popularity\n1,0,2\n1,5,1\n")
        self.assertIn("left out for want of a size: 1", self.ok("advise", path).stderr)
        path.write_text("utility,size,popularity\n1,5,0\n")
        self.fails(2, ["m.csv", "expected > 0"], "advise", path)
        self.fails(1, ["nothing.csv"], "advise", self.folder / "nothing.csv")


if __name__ == "__main__":
    support.main()
