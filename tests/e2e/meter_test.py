"""estran meter: figures with their source, on folders that stand for machines and on this one."""
import json
import os
import signal
import subprocess
import threading
import time

import support
from support import ESTRAN, ROOT, Case


class Burner:
    """Turns a counter of microjoules, in place: the meter keeps the file open."""

    def __init__(self, path, watts):
        self.path, self.watts = path, watts
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.burn)

    def burn(self):
        start = time.monotonic()
        with open(self.path, "r+") as file:
            while not self.stop.wait(0.005):
                file.seek(0)
                file.write(f"{int((time.monotonic() - start) * self.watts * 1e6) + 10**9}\n")
                file.flush()

    def __enter__(self):
        self.thread.start()
        time.sleep(0.05)

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Meter(Case):
    def tree(self, files):
        for name, words in files.items():
            path = self.folder / "machine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{words}\n")
        return self.folder / "machine"

    def package(self, energy_uj=0):
        zone = "sys/class/powercap/intel-rapl"
        return self.tree({
            f"{zone}:0/name": "package-0", f"{zone}:0/energy_uj": energy_uj,
            f"{zone}:0/max_energy_range_uj": 262143328850,
            f"{zone}:0:0/name": "core", f"{zone}:0:0/energy_uj": 0,
            f"{zone}-mmio:0/name": "package-0", f"{zone}-mmio:0/energy_uj": 0,
        })

    def lines(self, *words):
        done = self.ok("meter", "--json", "--nvml", "", *words)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_without_counters(self):
        root = self.tree({"proc/stat": "cpu  10 0 0 90 0 0 0 0\ncpu0 10 0 0 90 0 0 0 0"})
        header, *samples, total = self.lines("--root", root, "--duration", "0.4", "--interval", "0.2")
        self.assertEqual((header["format"], header["version"]), ("estran-meter", 1))
        self.assertEqual(len(samples), 2)
        for line in [*samples, total]:
            self.assertEqual((line["source"], line["method"]), ("model", "model"))
            self.assertGreater(line["energy_j"], 0)
            self.assertGreater(line["energy_j_low"], 0)
            self.assertLess(line["energy_j_low"], line["energy_j"])
        self.assertIn("not declared", header["boundary"])
        self.assertTrue(any("powercap" in one["what"] for one in header["rejected"]))

    def test_declared_model(self):
        root = self.tree({"proc/stat": "cpu  10 0 0 90 0 0 0 0"})
        *_, total = self.lines("--root", root, "--duration", "0.3", "--idle-w", "5", "--busy-w", "9")
        self.assertAlmostEqual(total["power_w"], 5, delta=2.1)  # the first tick is not known
        self.fails(2, ["busy_w=2 must be > 0 and >= idle_w=5"], "meter", "--idle-w", "5", "--busy-w", "2")

    def test_counter(self):
        root = self.package()
        counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
        with Burner(counter, watts=20):
            header, *_, total = self.lines("--root", root, "--duration", "0.8")
        self.assertEqual((total["source"], total["method"]), ("rapl", "counter"))
        self.assertAlmostEqual(total["power_w"], 20, delta=2)
        counted = [one["name"] for one in header["channels"] if one["counted"]]
        self.assertEqual(counted, ["package-0"])
        self.assertTrue(any("again" in one["why"] for one in header["rejected"]))

    def test_explain(self):
        told = self.ok("meter", "--explain", "--root", self.package(), "--nvml", "").stdout
        for words in ["package-0/core", "inside the package", "intel-rapl-mmio:0", "rejected",
                      "total: processor packages; without memory"]:
            self.assertIn(words, told)

    def test_share_of_a_process(self):
        """Joules of a process and the rest make the whole; this is on the real machine."""
        burner = subprocess.Popen(["sh", "-c", "while :; do :; done"])
        try:
            *_, total = self.lines("--model-only", "--duration", "0.8", "--idle-w", "2", "--busy-w", "10",
                                   "--process", burner.pid, "--interval", "0.4")
        finally:
            burner.kill()
            burner.wait()
        part = total["processes"][0]["energy_j"]
        self.assertGreater(part, 0)
        self.assertAlmostEqual(part + total["residue_j"], total["energy_j"], delta=1e-9 * total["energy_j"])
        self.fails(1, ["--process 2147483646", "there is no process"], "meter", "--process", "2147483646")
        self.fails(2, ["--process", "'x' must be a whole number"], "meter", "--process", "x")

    def test_profile_tells_its_source(self):
        """One of n processors busy: (busy - idle) / n watts, as long as a request takes; loose, for loaded machines."""
        model = ROOT / "examples/01-first-run/models/large.onnx"
        base = ["profile", model, "--no-cuts", "--batch-max", "1", "--json"]
        entry = json.loads(self.ok(*base, "--budget", "4", "--idle-w", "10", "--busy-w", "30").stdout)[0]
        energy = entry["energy"]
        if energy["source"] == "model":
            expected = 20 / os.cpu_count() * entry["latency_ms_p50"] / 1e3
            self.assertGreater(energy["energy_j"], expected / 3)
            self.assertLess(energy["energy_j"], expected * 3)
            self.assertEqual(energy["boundary"], "what the declared model covers")
        self.assertLess(energy["energy_j_low"], energy["energy_j"])
        self.assertGreater(energy["energy_j_high"], energy["energy_j"])
        entry = json.loads(self.ok(*base, "--budget", "0.2", "--no-energy").stdout)[0]
        self.assertEqual((entry["energy"], entry["energy_note"]), (None, "not asked for"))

    def test_run_keeps_what_counters_say(self):
        """Nodes' joules by the machine's counters stand beside those that the scenario declares."""
        root = self.package()
        (root / "proc").symlink_to("/proc")
        with Burner(root / "sys/class/powercap/intel-rapl:0/energy_uj", watts=40):
            self.ok("run", support.EXAMPLE, "--duration", "2", "--no-baselines", "--no-profile", "--output",
                    self.folder / "out", env={**os.environ, "ESTRAN_METER_ROOT": str(root)})
        text = (self.folder / "out/plan.measured.jsonl").read_text()
        nodes = [line for line in map(json.loads, text.splitlines()) if line.get("what") == "node"]
        measured = [line for line in nodes if "measured_j" in line]
        self.assertTrue(measured)
        self.assertEqual({line["measured_source"] for line in measured}, {"rapl"})
        # all nodes together used at most what the machine did
        self.assertLess(sum(line["measured_j"] for line in measured), 40 * 2.5)

    def test_stops_at_interrupt(self):
        meter = subprocess.Popen([str(ESTRAN), "meter", "--model-only"], cwd=ROOT, text=True,
                                 stdout=subprocess.PIPE)
        meter.stdout.readline()  # a figure came
        meter.send_signal(signal.SIGINT)
        rest = meter.communicate(timeout=20)[0]
        self.assertEqual(meter.returncode, 0)
        self.assertIn("total  ", rest)
        self.assertIn("source: model", rest)


if __name__ == "__main__":
    support.main()
