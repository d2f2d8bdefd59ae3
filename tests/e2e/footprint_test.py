"""estran footprint: cases, equal quality, sources, series, hardware, outcomes, learning, mistakes."""
import json
import xml.dom.minidom

import support
from support import EXAMPLE, ROOT, Case, data, estran

CATALOGUE = "examples/02-measured-catalogue/scenario.yaml"


class Footprint(Case):
    def document(self, *words):
        return json.loads(self.ok("footprint", *words, "--json").stdout)

    def cases(self, *words):
        return {case["label"]: case for case in self.document(*words)["cases"]}

    def test_energy_follows_from_the_outcome(self):
        """Joules of the outcome by hand: PUE of tiers times the nodes', plus the links'."""
        plan, outcome = self.folder / "p.json", self.folder / "o.jsonl"
        self.ok("plan", EXAMPLE, "--output", plan)
        self.ok("simulate", EXAMPLE, "--plan", plan, "--output", outcome)
        factors = {"hall": 1.25, "cloud": 2.0}
        joules, grams, grids = 0.0, 0.0, {}
        rows = [json.loads(line) for line in outcome.read_text().splitlines()]
        for row in rows[1:]:
            if row["what"] != "node":
                continue
            name = rows[0]["nodes"][row["node"]]
            own = (row["idle_j"] + row["dynamic_j"]) * factors.get(name, 1)
            grids[name] = 344 if name == "cloud" else 56
            joules, grams = joules + own, grams + own * grids[name] / 3.6e6
        served, links = rows[-1]["served"], rows[-1]["energy_network_j"]
        mean = sum(grids.values()) / len(grids)
        case = self.cases("--scenario", EXAMPLE, outcome, "--pue", "edge=1.25", "--pue",
                          "cloud=2")["plan"]
        self.assertEqual(case["served"], served)
        self.assertAlmostEqual(case["energy_j"]["value"] / ((joules + links) / served), 1, 9)
        wanted = (grams + links * mean / 3.6e6) / served
        self.assertAlmostEqual(case["gwp_gco2e"]["value"] / wanted, 1, 9)
        parts = sum(case[f"gwp_{part}_gco2e"]["value"] for part in ("dynamic", "idle", "embodied"))
        self.assertAlmostEqual(parts / wanted, 1, 9)
        self.assertAlmostEqual(case["year_energy_kwh"]["value"] /
                               ((joules + links) / 3.6e6 * 8760 * 300), 1, 9)

    def test_least_energy_at_equal_quality(self):
        """Solved for energy: what the report says is saved against both baselines, and the front."""
        for scenario in (EXAMPLE, CATALOGUE):
            page = self.folder / "f.html"
            document = self.document(scenario, "--minimise", "energy", "--html", page)
            cases = {case["label"]: case for case in document["cases"]}
            for base in ("device", "cloud"):
                least, only = cases[f"least energy >= {base}"], cases[f"{base} only"]
                self.assertAlmostEqual(least["served"] / only["served"], 1, 9)
                self.assertGreaterEqual(least["quality"], only["quality"] - 1e-6)
                self.assertLessEqual(least["energy_j"]["value"],
                                     only["energy_j"]["value"] * (1 + 1e-6))
            self.assertEqual(len(document["savings"]), 2)
            for saving in document["savings"]:
                difference = (cases[saving["than"]]["energy_j"]["value"] -
                              cases[saving["of"]]["energy_j"]["value"])
                self.assertAlmostEqual(saving["saved_j"], difference, 12)
            text = page.read_text()
            xml.dom.minidom.parseString(text)
            self.assertGreater(text.count("<circle"), 6, "the front is drawn")
            drawn = text.count('class="case"')
            self.assertEqual(drawn + text.count("outside: cloud only"), 4, "and the cases by it")
            for words in ("energy by place and cause", "CO2e by place and cause"):
                self.assertIn(words, text)
            self.assertIn("less energy (", text)
            self.assertNotIn("\ufffd", text)
        saved = {s["than"]: s["saved_j"] for s in document["savings"]}
        self.assertGreater(saved["device only"], 0.04)
        self.assertGreater(saved["cloud only"], 0.01)

    def test_least_carbon(self):
        energy = self.cases(CATALOGUE, "--minimise", "energy")
        carbon = self.cases(CATALOGUE, "--minimise", "carbon")
        for base in ("device", "cloud"):
            self.assertLessEqual(carbon[f"least CO2e >= {base}"]["gwp_gco2e"]["value"],
                                 1.02 * energy[f"least energy >= {base}"]["gwp_gco2e"]["value"])

    def test_large_growth_is_told_as_a_multiple(self):
        told = self.ok("footprint", EXAMPLE, "--minimise", "energy").stdout
        document = self.document(EXAMPLE, "--minimise", "energy")
        growth = document["savings"][1]["growth_energy"]
        self.assertGreater(growth, 100)
        self.assertIn(f"its saving of energy is gone at {1 + growth:.0f} times the demand", told)
        self.assertIn("60000 of 132000", self.ok("footprint", CATALOGUE).stdout)

    def test_rebound_is_where_totals_meet(self):
        document = self.document(CATALOGUE, "--minimise", "energy")
        cases = {case["label"]: case for case in document["cases"]}
        for saving in document["savings"]:
            of, than = cases[saving["of"]], cases[saving["than"]]
            # no idle joules in this scenario: demand and energy grow alike
            self.assertAlmostEqual(of["year_energy_kwh"]["value"] * (1 + saving["growth_energy"]) /
                                   than["year_energy_kwh"]["value"], 1, 9)
        done = self.ok("footprint", CATALOGUE, "--minimise", "energy", "--growth", "10")
        self.assertIn("years at 10 % a year", done.stdout)

    def test_sources_and_boundary_stand_beside(self):
        done = self.ok("footprint", CATALOGUE, "--grid", "ecologits")
        for words in ("not counted: embodied, end of life", "grid: ecologits 2025", "[found]",
                      "[from memory]"):
            self.assertIn(words, done.stdout)
        case = self.cases(CATALOGUE, "--grid", "codecarbon")["plan"]
        self.assertIsNone(case["water_l"]["value"], "not known is never 0")
        low, value, high = (case["gwp_gco2e"][key] for key in ("low", "value", "high"))
        self.assertTrue(low < value < high)
        self.fails(2, ["'ecologits' has no factor 'grid/ZAF/gwp'", "these have"], "footprint",
                   CATALOGUE, "--grid", "ecologits", "--zone", "de=ZAF")
        self.fails(2, ["no carbon_zone", "--zone sensor-1=ZONE"], "footprint", EXAMPLE, "--grid",
                   "ecologits")
        self.fails(2, ["codecarbon"], "footprint", EXAMPLE, "--grid", "codecarbn")
        self.ok("footprint", EXAMPLE, "--grid", "ecologits", "--zone", "FRA", "--zone", "cloud=DE")

    def test_user_factors(self):
        table = self.write("mine.yaml", "format: estran-factors\nversion: 1\nfactors:\n"
                           "  - {name: grid/FRA/gwp, value: 10, unit: gCO2e/kWh, source: mine,\n"
                           "     year: 2026, scope: test}\n")
        one = self.cases(EXAMPLE, "--grid", "mine", "--zone", "FRA", "--factors", table)
        two = self.cases(EXAMPLE, "--grid", "codecarbon", "--zone", "FRA")
        self.assertAlmostEqual(two["cloud only"]["gwp_gco2e"]["value"] /
                               one["cloud only"]["gwp_gco2e"]["value"], 5.6, 9)
        table.write_text(table.read_text().replace("value: 10", "value: ten"))
        self.fails(1, ["mine.yaml:4:", "value"], "footprint", EXAMPLE, "--factors", table)

    def test_series_by_zone(self):
        """A grid that is clean in the first half of the run and dirty in the second."""
        series = self.write("ci.csv", "time_s,g\n0,100\n6,500\n12,500\n")
        flat = self.write("flat.csv", "time_s,g\n0,100\n6,100\n12,100\n")
        words = (EXAMPLE, "--zone", "X", "--series")
        varying = self.cases(*words, f"X={series}")["cloud only"]["gwp_gco2e"]["value"]
        constant = self.cases(*words, f"X={flat}")["cloud only"]["gwp_gco2e"]["value"]
        self.assertAlmostEqual(varying / constant, 3, 1)
        self.fails(2, ["known for 18 s", "asked for"], "footprint", *words, f"X={series}",
                   "--from", "1")
        self.fails(2, ["has no --series"], "footprint", *words, f"X={series}", "--zone", "hall=Y")
        real = data("carbon-electricitymaps/DE-LU_2023.csv.gz")
        self.ok("footprint", *words, f"X={real}", "--column",
                "Carbon Intensity gCO\u2082eq/kWh (LCA)", "--from", "4000")

    def test_series_in_the_scenario(self):
        """simulate and footprint follow the same grid: its second half is five times as dirty."""
        self.write("ci.csv", "time_s,g\n0,100\n6,500\n")
        text = support.example(samples=False)
        text += "\nevents: {nodes: [{at: cloud, carbon: {file: ci.csv, column: g}}]}\n"
        path = self.write("s.yaml", text)
        plain = self.write("p.yaml", text.replace("events:", "#"))
        ratio = (self.cases(path)["cloud only"]["gwp_gco2e"]["value"] /
                 self.cases(plain)["cloud only"]["gwp_gco2e"]["value"])
        self.assertAlmostEqual(ratio, 300 / 344, 2)

    def test_hardware(self):
        words = (EXAMPLE, "--hardware", "board=sensor-board", "--hardware", "server=server")
        self.fails(2, ["kind 'box' has no --hardware"], "footprint", *words)
        words += ("--hardware", "box=desktop")
        whole = self.cases(*words)["cloud only"]["gwp_embodied_gco2e"]["value"]
        # one server of 3660 kg over 35040 h, for 12 s
        self.assertAlmostEqual(whole / (3660e3 * 12 / (35040 * 3600) / 1080), 1, 9)
        busy = self.cases(*words, "--allocate", "busy")["cloud only"]
        self.assertLess(busy["gwp_embodied_gco2e"]["value"], whole)
        self.assertIn("embodied", self.document(*words)["boundary"])
        self.fails(2, ["hardware/abacus/gwp"], "footprint", EXAMPLE, "--hardware", "abacus")

    def test_two_outcomes(self):
        paths = []
        for method in ("cloud-only", "device-only"):
            plan, outcome = self.folder / f"{method}.json", self.folder / f"{method}.jsonl"
            self.ok("plan", EXAMPLE, "--method", method, "--output", plan)
            self.ok("simulate", EXAMPLE, "--plan", plan, "--output", outcome, "--expected")
            paths.append(outcome)
        document = self.document("--scenario", EXAMPLE, *paths)
        self.assertEqual(len(document["cases"]), 2)
        self.assertEqual(len(document["savings"]), 1)
        predicted = self.cases(EXAMPLE)
        self.assertAlmostEqual(document["cases"][0]["energy_j"]["value"] /
                               predicted["cloud only"]["energy_j"]["value"], 1, 9)
        self.fails(2, ["--scenario"], "footprint", paths[0])

    def test_picture_and_mistakes(self):
        svg = self.folder / "f.svg"
        self.ok("footprint", EXAMPLE, "--svg", svg)
        xml.dom.minidom.parse(str(svg))
        self.assertIn("cloud only", svg.read_text())
        self.fails(2, ["usage: estran footprint"], "footprint")
        self.fails(2, ["must be >= 1"], "footprint", EXAMPLE, "--pue", "cloud=0.5")
        self.fails(2, ["pue/aws2"], "footprint", EXAMPLE, "--pue", "cloud=aws2")
        self.fails(2, ["expected ZONE=FILE"], "footprint", EXAMPLE, "--series", "x.csv")

    def test_federated(self):
        done = self.ok("footprint", "--federated")
        self.assertIn("from memory, not measured", done.stderr)
        self.assertIn("consensus takes less energy than centralised when", done.stdout)
        path = self.write("l.yaml", "format: estran-learning\nversion: 1\ndevices: 10\nactive: 10\n"
                          "server_round_j: 1000\ndevice_round_j: 200\npue: 1.5\naggregation: 0.1\n"
                          "rounds_central: 20\nrounds_federated: 30\nmodel_bits: 1e5\n"
                          "data_bits: 1e9\nuploads: 2\nuplink_bit_per_j: 1e4\n"
                          "downlink_bit_per_j: 1e4\n")
        document = json.loads(self.ok("footprint", "--federated", path, "--json").stdout)
        schemes = {scheme["name"]: scheme for scheme in document["schemes"]}
        self.assertAlmostEqual(schemes["centralised"]["total_j"], 1.5 * 20 * 1000 + 2e9 / 1e4)
        self.assertAlmostEqual(schemes["federated"]["total_j"],
                               1.5 * 0.1 * 30 * 1000 + 30 * 10 * 200 + 30 * 10 * 1e5 * 2.5 / 1e4)
        self.assertAlmostEqual(schemes["federated"]["break_even_uplink_bit_per_j"],
                               (2e9 - 30 * 10 * 1e5 * 2.5) / (4500 + 60000 - 30000), 3)
        self.assertEqual(schemes["federated"]["cheaper"], "below")
        path.write_text(path.read_text().replace("active: 10", "active: 11"))
        self.fails(2, ["active=11 must be <= devices=10"], "footprint", "--federated", path)
        path.write_text(path.read_text().replace("pue", "puh"))
        self.fails(1, ["puh", "pue"], "footprint", "--federated", path)


if __name__ == "__main__":
    support.main()
