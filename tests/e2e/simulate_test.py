"""estran simulate: event mode from a document to an outcome, and demand from files."""
import json

import support
from support import EXAMPLE, ROOT, Case, data

CITY = """
format: estran-scenario
version: 1
name: city
slots: {length_s: 60, count: 10}
nodes:
  - {name: d, tier: device, processors: 0}
  - {name: g, tier: edge, memory_mb: 10, macs_per_s: 1.0e8, processors: 4, idle_w: 3, busy_w: 9}
links: [{between: [d, g], latency_ms: 2, bandwidth_mbps: 100, energy_nj_per_bit: 50}]
tasks: [{name: t, input_bytes: 5000, output_bytes: 100, deadline_ms: 100}]
segments: [{name: s, memory_mb: 1, work_macs: 1000000}]
pipelines: [{name: p, task: t, quality: 0.9, stages: [{segment: s}]}]
"""
PLAIN = "demand: [{task: t, at: d, rate_rps: 20}]\n"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


class Simulate(Case):
    def outcome(self, scenario, *words):
        return lines(self.ok("simulate", "--mode", "event", "--json", *words, scenario).stdout)

    def test_same_bytes_whatever_the_threads(self):
        words = ["simulate", "--mode", "event", "--json", "--replications", "5", ROOT / EXAMPLE]
        one = self.ok(*words, "--threads", "1").stdout
        self.assertEqual(one, self.ok(*words, "--threads", "4").stdout)
        self.assertEqual(one, self.ok(*words).stdout)
        self.assertNotEqual(one, self.ok(*words, "--seed", "9").stdout)

    def test_intervals_stand_in_document_and_table(self):
        found = self.outcome(ROOT / EXAMPLE, "--replications", "6")
        intervals = {line["measure"]: line for line in found if line.get("what") == "interval"}
        for measure in ["latency_s_p99", "quality_mean", "energy_total_j", "carbon_g", "refused",
                        "model_bytes_loaded"]:
            self.assertEqual(intervals[measure]["replications"], 6)
            self.assertIsNotNone(intervals[measure]["ci95"])
        told = self.ok("simulate", "--mode", "event", "--replications", "6", ROOT / EXAMPLE).stdout
        self.assertIn("6 replications", told)
        self.assertRegex(told, r"latency_s_p99 +0\.0\d+ +\S+")

    def test_arrivals_are_those_of_slot_mode(self):
        slot = lines(self.ok("simulate", "--json", ROOT / EXAMPLE).stdout)
        event = self.outcome(ROOT / EXAMPLE)
        cells = [[(line["slot"], line["class"], line["arrived"]) for line in mode
                  if line.get("what") == "cell"] for mode in (slot, event)]
        self.assertEqual(cells[0], cells[1])

    def test_what_befalls_nodes_is_counted(self):
        scenario = self.write("city.yaml", CITY + PLAIN + """
events:
  nodes: [{at: g, queue_max: 2, failure_mean_s: 60, repair_mean_s: 10, service: exponential}]
  links: [{between: [d, g], failure_mean_s: 100, repair_mean_s: 5}]
""")
        found = self.outcome(scenario, "--replications", "4")
        total = found[-1]
        self.assertGreater(total["failed"], 0)
        self.assertTrue(any(line.get("died") for line in found))
        self.assertEqual(total["arrived"], sum(total[fate] for fate in
                                               ["served", "refused", "failed", "in_flight"]))

    def test_published_demand_and_grid(self):
        trace = data("azure-llm-2023/AzureLLMInferenceTrace_conv.csv.gz")
        grid = data("carbon-electricitymaps/DE-LU_2023.csv.gz")
        scenario = self.write("city.yaml", CITY.replace("count: 10", "count: 60") + f"""
demand: [{{task: t, at: d, arrivals: trace, trace: {{file: {trace}, format: azure-llm}}}}]
events:
  nodes:
    - {{at: g, carbon: {{file: {grid}, column: "Carbon Intensity gCO₂eq/kWh (direct)", from_s: 1800}}}}
""")
        total = self.outcome(scenario)[-1]
        self.assertEqual(total["arrived"], 19366)
        # 1800 s at the first hour's 140.51 g/kWh, 1800 s at the second's 140.44, 3 W.
        self.assertAlmostEqual(total["carbon_idle_g"],
                               3 * 1800 * (140.51 + 140.44) / 3.6e6, delta=1e-9)

    def test_demand_that_changes(self):
        traffic = data("traffic-matrices/abilene-5min-first.csv.gz")
        scenario = self.write("city.yaml", CITY + f"""
demand:
  - task: t
    at: d
    rate_rps: 50
    profile:
      - {{kind: series, file: {traffic}, column: "ATLAng->CHINng"}}
      - {{kind: flash, start_s: 300, factor: 5, half_life_s: 30}}
""")
        cells = {line["slot"]: line["arrived"] for line in self.outcome(scenario)
                 if line.get("what") == "slot"}
        self.assertGreater(cells[5], 2.5 * cells[4])
        self.assertLess(cells[9], 1.5 * cells[4])

    def test_mistakes(self):
        trace = self.write("trace.csv", "timestamp_s,class\n1,t at d\n2,x at d\n")
        demand = "demand: [{task: t, at: d, arrivals: trace, trace: {file: trace.csv}}]\n"
        scenario = self.write("city.yaml", CITY + demand)
        self.fails(1, ["trace.csv:3: class 'x at d' is not in the scenario"],
                   "simulate", "--mode", "event", scenario)
        trace.write_text("timestamp_s,class\n2,t\n1,t\n")
        self.fails(1, ["trace.csv:3: out of order"], "simulate", scenario)
        trace.write_text("timestamp_s,class\n-2,t\n")
        self.fails(1, ["trace.csv:2: timestamp_s=-2 must be"], "simulate", scenario)
        trace.unlink()
        self.fails(1, ["trace.csv"], "simulate", scenario)
        scenario.write_text(CITY + PLAIN + "events: {nodes: [{at: g, que_max: 3}]}\n")
        self.fails(1, ["que_max", "queue_max"], "simulate", scenario)
        self.fails(2, ["--replications needs --mode event"], "simulate", "--replications", "3",
                   ROOT / EXAMPLE)
        self.fails(2, ["--expected needs --mode slot"], "simulate", "--expected", "--mode", "event",
                   ROOT / EXAMPLE)


if __name__ == "__main__":
    support.main()
