"""A disk runs full under load: what could not be written is said, every request is answered, and what is
written goes on when there is room again."""
import base64
import json
import re
import signal
import time

import controller_test
import tiny_onnx
from disk_support import LimitDisk, SmallDisk, small_disk
from gateway_support import GatewayCase, Load, Process, options, rate
from node_support import f32
from support import main

FULL = "(No space left on device|File too large)"


def until(what, seconds=30):
    """How long it took."""
    start = time.monotonic()
    while not what():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - start


def metric(process, name):
    found = re.search(rf"^{name}(?:{{.*}})? ([0-9.e+-]+)$", process.call("GET", "/metrics")[1].decode(),
                      re.M)
    return float(found[1])


class OfNodes(GatewayCase):
    def logging(self, disk):
        return self.launch(Process("node", "--repository", self.models, "--name", "n1", "--listen",
                                   "127.0.0.1:0", "--request-log", disk.place / "log.jsonl",
                                   prefix=disk.prefix, talk=True))

    def fill_the_log(self, disk):
        node = self.logging(disk)
        load = Load(node.port, "add", rate(300), 4).start()
        time.sleep(1)
        disk.fill(node)
        until(lambda: metric(node, "estran_request_log_dropped_total") > 0)
        time.sleep(0.8)
        disk.free(node)
        freed_s = time.time()
        load.join()
        self.once_each(load)
        self.assertEqual(load.failures(), [])
        self.assertIn(b"could not write", node.call("GET", "/")[1])
        time.sleep(0.5)  # what waits is written
        dropped = metric(node, "estran_request_log_dropped_total")
        said = node.end()
        lines = [json.loads(line) for line in disk.path("log.jsonl").read_text().splitlines()]
        self.assertEqual(len(lines) + dropped, load.sent())
        self.assertEqual({line["outcome"] for line in lines}, {"ok"})
        self.assertRegex(said, rf"lines are dropped: {FULL}\n")
        self.assertRegex(said, rf"lines are written again, {dropped:.0f} were dropped\n")
        again = min(line["time_s"] for line in lines if line["time_s"] > freed_s)
        self.say(f"{load.sent()} requests, all answered, {dropped:.0f} lines lost; written again "
                 f"{again - freed_s:.2f} s after there was room")
        self.assertLess(again - freed_s, 5)

    def test_the_request_log(self):
        self.fill_the_log(small_disk(self))

    def test_the_request_log_with_limited_files(self):
        self.fill_the_log(LimitDisk(self.folder, ""))

    def test_a_model_that_the_disk_cut_short(self):
        """It does not load, and says so; the one before goes on; given by the request it needs no disk."""
        disk = small_disk(self)
        small = isinstance(disk, SmallDisk)
        place = disk.path("models/add/1")
        place.mkdir(parents=True)
        whole = tiny_onnx.busy(64, 8)
        (place / "model.onnx").write_bytes(tiny_onnx.add())
        node = self.launch(Process("node", "--repository", disk.place / "models", "--listen",
                                   "127.0.0.1:0", prefix=disk.prefix))
        load = Load(node.port, "add", rate(300), 3).start()
        if small:
            disk.fill()
            with self.assertRaises(OSError):
                with open(place / "model.onnx", "wb", buffering=0) as file:
                    if file.write(whole) < len(whole):
                        raise OSError("cut short")
        else:
            (place / "model.onnx").write_bytes(whole[:4096])
        status, text, _ = node.call("POST", "/v2/repository/models/add/load", "{}")
        self.assertEqual(status, 400, text)
        self.assertIn("add", json.loads(text)["error"])
        index = node.json("POST", "/v2/repository/index")
        self.assertEqual([(one["state"], one["reason"][:11]) for one in index],
                         [("READY", "load failed")])
        given = {"parameters": {"config": "{}", "file:1/model.onnx":
                                base64.b64encode(tiny_onnx.add()).decode()}}
        node.json("POST", "/v2/repository/models/given/load", given)
        node.json("POST", "/v2/models/given/infer", {"inputs": [f32("x", [1, 4], [0] * 4)]})
        if small:
            disk.free()
        (place / "model.onnx").write_bytes(tiny_onnx.add())
        node.json("POST", "/v2/repository/models/add/load", {})
        load.join()
        self.once_each(load)
        self.assertEqual(load.failures(), [])
        index = node.json("POST", "/v2/repository/index")
        self.assertEqual({(one["state"], one["reason"]) for one in index}, {("READY", "")})
        node.end()


class OfGateways(GatewayCase):
    def test_the_routes_that_it_keeps(self):
        """It follows what it cannot keep; killed, it comes back with what it kept last."""
        disk = small_disk(self)
        one, two = self.nodes(2)
        urls = {"n1": one.url(), "n2": two.url()}
        gateway = self.launch(Process("gateway", "--listen", "127.0.0.1:0", "--routes",
                                      disk.place / "routes.json", prefix=disk.prefix, talk=True))

        def observe():
            return gateway.json("GET", "/estran/v1/observe")

        def kept():
            return json.loads(disk.path("routes.json").read_text())["generation"]

        first, second, third = (self.routes(urls, [("look", options((1, way)))])
                                for way in ("n1/add", "n2/add", "n1/add"))
        self.assertTrue(gateway.json("PUT", "/estran/v1/routes", first)["kept"])
        load = Load(gateway.port, "look", rate(200), 4).start()
        time.sleep(1)
        disk.fill(gateway)
        told = gateway.json("PUT", "/estran/v1/routes", second)
        self.assertFalse(told["kept"])
        self.assertRegex(told["warning"], FULL)
        self.assertEqual((observe()["generation"], observe()["kept"], kept()), (2, False, 1))
        self.assertEqual(metric(gateway, "estran_routes_kept"), 0)
        self.assertIn(b"cannot be written", gateway.call("GET", "/")[1])
        time.sleep(1)
        disk.free(gateway)
        again_s = until(lambda: observe()["kept"])
        self.assertEqual((kept(), metric(gateway, "estran_routes_kept")), (2, 1))
        self.assertEqual([path.name for path in disk.path("").iterdir()], ["routes.json"])
        load.join()
        self.once_each(load, gateway)
        self.assertEqual(load.failures(), [])
        served = two.json("GET", "/v2/models/add/stats")["model_stats"][0]["inference_count"]
        self.assertGreater(served, 0.3 * load.sent())
        self.say(f"{load.sent()} requests, all answered; kept {again_s:.2f} s after there was room")
        disk.fill(gateway)
        self.assertFalse(gateway.json("PUT", "/estran/v1/routes", third)["kept"])
        said = gateway.end(signal.SIGKILL)
        self.assertRegex(said, f"routes are not kept: .*{FULL}")
        self.assertIn("routes are kept again, generation=2\n", said)
        gateway.start()
        self.assertEqual(observe()["generation"], 2)
        gateway.json("PUT", "/estran/v1/routes", third)
        if isinstance(disk, SmallDisk):
            self.assertEqual((observe()["generation"], kept()), (3, 2))
            disk.free()
        until(lambda: observe()["kept"])
        self.assertEqual(kept(), 3)
        gateway.end()


class OfControllers(controller_test.ClusterCase):
    def test_its_state(self):
        """It cannot decide without writing that down: routes stay, requests are answered; then it goes on."""
        disk = small_disk(self, "2m")
        self.state = disk.place / "state.db"
        controller = Process("controller", self.scenario_file, "--cluster", self.cluster, "--state",
                             self.state, "--policy", "random:every=1", "--probe", "0.2", "--listen",
                             "127.0.0.1:0", prefix=disk.prefix, talk=True)
        self.addCleanup(controller.kill)
        controller.start()

        def generation():
            return self.gateway.get("/estran/v1/observe")["generation"]

        def trouble():
            return controller.json("GET", "/estran/v1/status")["trouble"] or ""

        self.wait(lambda: generation() > 1)
        load = self.load()
        time.sleep(0.5)
        disk.fill(controller)
        self.wait(lambda: re.search("no room left|File too large|disk I/O", trouble()))
        page = controller.call("GET", "/")[1].decode()
        self.assertIn("state.db", page)
        held = generation()
        time.sleep(2.5)
        self.assertEqual(generation(), held)
        disk.free(controller)
        freed_s = time.monotonic()
        self.wait(lambda: generation() > held)
        again_s = time.monotonic() - freed_s
        self.wait(lambda: trouble() == "")
        time.sleep(1)
        counts = load.end()
        said = controller.end()
        self.assertEqual(list(counts), ["answered"], load.errors[:3])
        self.assertRegex(said, "controller state '.*': ")
        print(f"test_its_state: {load.sent} requests, all answered; plans change again {again_s:.2f} s "
              f"after there was room", flush=True)
        words = [*disk.prefix, str(controller_test.ESTRAN), "controller", str(self.scenario_file),
                 "--cluster", str(self.cluster), "--state", str(self.state), "--policy",
                 "random:every=1", "--replay"]
        done = controller_test.subprocess.run(words, capture_output=True, text=True, check=False,
                                              timeout=120)
        self.assertRegex(done.stdout, r"^[0-9]+ slots, 0 decided otherwise", done.stderr)


if __name__ == "__main__":
    main()
