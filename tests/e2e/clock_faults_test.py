"""The wall clock is set forward and back under load: nothing that is measured, due or paced goes by it.
Programs see it through a library that is loaded before (tests/support/clock_shim.c), since the clock of
the machine belongs to everybody. A timer of the kernel on the wall clock would not be caught so: there
is none."""
import json
import mmap
import os
import pathlib
import struct
import threading
import time
from unittest import mock

import controller_test
import gateway_support
import tiny_onnx
from gateway_support import GatewayCase, Load, Process, rate
from node_support import HEADER, SANITISED, f32
from support import SCRATCH, main

HOUR_S = 3600
STEPS_S = (HOUR_S, -HOUR_S, 10 * 365 * 24 * HOUR_S, -40 * 365 * 24 * HOUR_S, 0.5, -0.5, 0)
SHIM = pathlib.Path(os.environ.get("ESTRAN_CLOCK_SHIM", SCRATCH / "tests/libtests_clock_shim.so"))


class WallClock:
    """What preloaded programs take for the time, from now on."""

    def __init__(self, case):
        if not SHIM.exists():
            case.skipTest(f"{SHIM} is not built")
        self.offset_s = 0
        path = case.folder / "clock"
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), 8)
        case.addCleanup(self.bytes.close)
        asan = os.environ.get("ASAN_OPTIONS", "")
        patch = mock.patch.dict(os.environ, {
            "LD_PRELOAD": str(SHIM), "ESTRAN_CLOCK_FILE": str(path),
            "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0".lstrip(":")})
        patch.start()
        case.addCleanup(patch.stop)

    def set(self, offset_s):
        self.offset_s = offset_s
        self.bytes[:] = struct.pack("<q", int(offset_s * 1e9))

    def now_s(self):
        return time.time() + self.offset_s


class OfNodes(GatewayCase):
    def setUp(self):
        super().setUp()
        self.clock = WallClock(self)

    def launch(self, process):
        process.environment = dict(os.environ)  # with the clock
        return super().launch(process)

    def test_a_node(self):
        log = self.folder / "log.jsonl"
        node = self.launch(Process("node", "--repository", self.models, "--name", "n1", "--listen",
                                   "127.0.0.1:0", "--carbon", "100", "--request-log", log))

        def look():
            return node.json("GET", "/estran/v1/observe")
        seen = [(time.monotonic(), look())]
        load = Load(node.port, "add", rate(300), 0.5 * len(STEPS_S) + 1, timeout=5_000_000).start()
        for step_s in STEPS_S:
            time.sleep(0.5)
            stats = node.json("GET", "/v2/models/add/stats")["model_stats"][0]
            self.assertLess(abs(stats["last_inference"] / 1e3 - self.clock.now_s()), 3)
            self.clock.set(step_s)
            seen.append((time.monotonic(), look()))
        load.join()
        self.once_each(load)
        self.assertEqual(load.failures(), [])
        self.assertLess(load.latency_s(1), 5)
        for (before_s, before), (after_s, after) in zip(seen, seen[1:]):
            passed_s = after["elapsed_s"] - before["elapsed_s"]
            self.assertLess(abs(passed_s - (after_s - before_s)), 0.3)
            self.assertEqual(before["epoch"], after["epoch"])
            for key, most in (("busy_s", passed_s), ("energy_j", 1e3 * passed_s)):
                self.assertLessEqual(before[key], after[key])
                self.assertLess(after[key] - before[key], most)
            for one, other in zip(before["models"], after["models"]):
                self.assertLessEqual(one["carbon_g"], other["carbon_g"])
        node.end()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(len(lines), load.sent())
        for line in lines:
            self.assertTrue(0 <= line["compute_ms"] <= line["total_ms"] < 5000, line)
        days = {round(line["time_s"] - time.time(), -4) for line in lines}
        self.assertGreaterEqual(len(days), 3, days)  # lines are dated by the clock as it was
        self.say(f"{load.sent()} requests over {len(STEPS_S)} steps of the clock, all answered, slowest "
                 f"{load.latency_s(1) * 1e3:.0f} ms")

    def test_a_deadline_passes_whatever_the_clock_says(self):
        """The replica is busy; the clock is set back: late is late all the same."""
        rows, width = 64, 1024
        place = self.models / "slow" / "1"
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(tiny_onnx.busy(width, 60, rows))
        node = self.launch(Process("node", "--repository", self.models, "--listen", "127.0.0.1:0"))
        size = 4 * rows * width

        def ask(**parameters):
            head = json.dumps({"inputs": [f32("x", [rows, width], binary_data_size=size)],
                               "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
                               "parameters": parameters}).encode()
            start = time.monotonic()
            status = node.call("POST", "/v2/models/slow/infer", head + bytes(size),
                               {HEADER: str(len(head))})[0]
            return status, time.monotonic() - start
        ends = []
        crowd = [threading.Thread(target=lambda: ends.append(ask()[0])) for _ in range(4)]
        for thread in crowd:
            thread.start()
        while node.json("GET", "/estran/v1/observe")["waiting"] == 0:
            time.sleep(0.01)
        self.clock.set(-HOUR_S)
        status, took_s = ask(timeout=20000)
        self.clock.set(HOUR_S)
        for thread in crowd:
            thread.join(60)
        self.assertEqual(ends, [200] * 4)
        self.assertIn(status, (200, 504))  # a quick machine is in time
        self.assertLess(took_s, 1 if not SANITISED else 10)
        node.end()

    def test_deadlines_through_a_gateway(self):
        """estran_slo_ms becomes the time left at the nodes: nothing is late, nothing sent again."""
        one, two = self.nodes(2)
        gateway = self.gateway()
        self.follow(gateway, {"n1": one.url(), "n2": two.url()},
                    [("look", gateway_support.options((0.5, "n1/add"), (0.5, "n2/add")))])
        before = gateway.json("GET", "/estran/v1/observe")
        load = Load(gateway.port, "look", rate(200), 0.5 * len(STEPS_S) + 1,
                    estran_slo_ms=5000).start()
        for step_s in STEPS_S:
            time.sleep(0.5)
            self.clock.set(step_s)
        load.join()
        self.once_each(load, gateway)
        self.assertEqual(load.failures(), [])
        self.assertEqual(load.count("partial"), 0)
        after = gateway.json("GET", "/estran/v1/observe")
        self.assertEqual(before["epoch_s"], after["epoch_s"])
        self.assertLess(abs(after["up_s"] - before["up_s"] - load.seconds), 5)
        told = after["classes"][0]
        self.assertEqual(told["retried"], 0)
        self.assertLess(told["latency_s_sum"] / told["answered"], 0.5)
        self.say(f"{load.sent()} requests over {len(STEPS_S)} steps of the clock, all answered; "
                 f"{told['hedged']} sent twice")


class OfControllers(controller_test.ClusterCase):
    def scenario(self):
        self.clock = WallClock(self)  # the first thing that setUp asks for; then it starts processes
        return super().scenario()

    def test_slots_keep_their_pace(self):
        """Set forward and back while it runs, and while it is dead."""
        controller = self.controller("random:every=1")

        def slots():
            return controller.get("/estran/v1/status")["totals"]["slots"]
        self.wait(lambda: slots() > 0)
        load = self.load()
        start_s, first = time.monotonic(), slots()
        for step_s in STEPS_S:
            self.clock.set(step_s)
            time.sleep(1)
        paced = (slots() - first) / (time.monotonic() - start_s)
        # A slot that is cut, since somebody came or went, is shorter; it may not stall or race.
        self.assertTrue(0.4 < paced < 2, paced)
        pause_s = []
        for step_s in (-HOUR_S, 24 * HOUR_S, 0):
            controller.kill()
            self.clock.set(step_s)
            controller.start()
            back_s, before = time.monotonic(), slots()
            self.wait(lambda: slots() > before)
            pause_s.append(time.monotonic() - back_s)
        counts = load.end()
        controller.end(controller_test.signal.SIGTERM)
        self.assertEqual(list(counts), ["answered"], load.errors[:3])
        self.assertLess(max(pause_s), 5 if not SANITISED else 30)
        done = self.ok("controller", self.scenario_file, "--cluster", self.cluster, "--state",
                       self.state, "--policy", "random:every=1", "--replay")
        self.assertRegex(done.stdout, r"^[0-9]+ slots, 0 decided otherwise")
        print(f"test_slots_keep_their_pace: {load.sent} requests, all answered; {paced:.2f} slots of 1 s "
              f"per second; the next slot {max(pause_s):.1f} s after a start with another clock",
              flush=True)


if __name__ == "__main__":
    main()
