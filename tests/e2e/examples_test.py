"""The examples, as their pages tell a stranger to use them."""
import json
import os
import re
import shutil
import subprocess

import support
from support import ESTRAN, ROOT, SCRATCH, Case

FIRST = ROOT / "examples/01-first-run"
SANITISED = any(word in str(ESTRAN) for word in ("/asan/", "/tsan/", "/fuzz/"))


class FirstRun(Case):
    def test_requests_are_drawn_again(self):
        subprocess.run([SCRATCH / "examples/vibration", self.folder], check=True)
        for name in ("samples.f32", "labels.u8"):
            self.assertEqual((self.folder / name).read_bytes(), (FIRST / name).read_bytes(), name)

    def qualities(self, folder):
        text = "".join(path.read_text() for path in sorted(folder.glob("*.yaml")))
        names = re.findall(r'^  - (?:\{name: |name: )"([^"]+)"(?:, task: .*?|\n    task: .*\n    )quality: ([0-9.]+)',
                           text, re.M)
        return {name: float(value) for name, value in names}

    @support.unittest.skipIf(SANITISED, "trains for minutes under a sanitiser")
    def test_the_family_is_made_again(self):
        """make.sh works as it stands; what comes out is as good as what is kept."""
        subprocess.run(["sh", FIRST / "make.sh"], check=True, capture_output=True, timeout=250,
                       env={**os.environ, "BUILD": str(SCRATCH), "OUT": str(self.folder / "out"),
                            "INTO": str(self.folder / "into")})
        kept = {path.name: path.stat().st_size for path in (FIRST / "models").glob("*.onnx")}
        made = {path.name: path.stat().st_size for path in (self.folder / "into/models").glob("*.onnx")}
        self.assertEqual(set(made), set(kept))
        for name, size in kept.items():
            self.assertAlmostEqual(made[name], size, delta=0.02 * size)
        kept, made = self.qualities(FIRST / "models"), self.qualities(self.folder / "into/models")
        self.assertEqual(set(made), set(kept))
        self.assertEqual(len(kept), 8)
        for name, quality in kept.items():
            self.assertAlmostEqual(made[name], quality, delta=0.02, msg=name)

    def test_the_plan_mixes(self):
        """What the quickstart shows: small models at the sensors, a larger one behind them."""
        plan = json.loads(self.ok("plan", FIRST / "scenario.yaml", "--json").stdout)
        for routing in plan["routing"]:
            self.assertTrue(routing["pipeline"].startswith("small+large"), routing)
            self.assertEqual(routing["nodes"][1], "hall")


class Compress(Case):
    @support.unittest.skipIf(SANITISED, "trains for minutes under a sanitiser")
    def test_commands_of_the_page(self):
        """Pasted one after the other, as they stand, into a folder that looks like this one."""
        for folder in ("01-first-run", "03-compress"):
            shutil.copytree(ROOT / "examples" / folder, self.folder / "examples" / folder)
        (self.folder / "build").mkdir()
        (self.folder / "build/release").symlink_to(SCRATCH)
        page = (ROOT / "examples/03-compress/README.md").read_text()
        blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S)
        self.assertGreaterEqual(len(blocks), 6)
        done = subprocess.run(["sh", "-eu"], input="".join(blocks), cwd=self.folder, text=True,
                              capture_output=True, check=False, timeout=250)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("certified: stop at confidence", done.stdout)
        plans = [json.loads(self.ok("plan", f"examples/03-compress/{name}.yaml", "--json",
                                    cwd=self.folder).stdout) for name in ("before", "after")]
        self.assertLess(plans[1]["objective_per_s"], 0.9 * plans[0]["objective_per_s"])
        for name in ("before", "after"):
            told = json.loads(self.ok("report", f"out/mine/{name}", "--json", cwd=self.folder).stdout)
            measured = told["cases"][0]["measured"]
            self.assertEqual(measured["failed"], 0)
            self.assertGreater(measured["quality"], 0.85)
        # what the page shows is what comes out, but for figures
        variants = json.loads((self.folder / "out/mine/variants/variants.json").read_text())["variants"]
        for variant in variants:
            self.assertRegex(page, rf"\n{variant['name']} +9[0-9]\.")


if __name__ == "__main__":
    support.main()
