"""Mixed load for ESTRAN_SOAK_S seconds (60; an hour at night) on a node with models that come and go, and
beside it on a gateway with five nodes that a controller re-arranges every second: every request is
answered as it should be; memory, threads and descriptors of each process stay where they are."""
import json
import os
import pathlib
import random
import statistics
import struct
import threading
import time

import controller_test
import tiny_onnx
from controller_test import SAMPLES
from gateway_support import Process
from node_support import HEADER, SANITISED, f32
from support import main

SECONDS = float(os.environ.get("ESTRAN_SOAK_S", "15" if SANITISED else "60"))
SAMPLE_S = 0.5
# How much more a process may hold in the last third than in the middle one: the C library's heap and
# ONNX Runtime's differ by so much from one load of a model to the next. A leak of 100 bytes a request
# is more after a minute.
TOLERANCE_KB = 3072


def as_json(*inputs, **more):
    return json.dumps({"inputs": [*inputs], **more}).encode()


def node_kinds():
    """(model, body, headers, good statuses)"""
    head = as_json(f32("x", [1, 4], binary_data_size=16), parameters={"binary_data_output": True})
    return [
        ("add", as_json(f32("x", [2, 4], [1] * 8)), {}, {200}),
        ("add", head + struct.pack("<4f", 1, 2, 3, 4), {HEADER: str(len(head))}, {200}),
        ("pair", as_json(f32("a", [1, 2], [1, 2]), f32("b", [1, 2], [3, 4])), {}, {200}),
        ("net", as_json(f32("x", [1, 256], [0.5] * 256), parameters={"timeout": 300, "priority": 1}),
         {}, {200, 504}),
        ("net", as_json(f32("x", [3, 256], [0.5] * 768)), {}, {200}),
        ("lookup", b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[9]}]}', {}, {500}),
        ("add", b'{"inputs":[', {}, {400}),
        ("none", b"{}", {}, {404}),
        ("guest", as_json(f32("x", [1, 4], [0] * 4)), {}, {200, 503}),  # comes and goes
    ]


def gateway_kinds():
    shape = {"name": "signal", "shape": [1, 1, 512], "datatype": "FP32"}
    binary = {**shape, "parameters": {"binary_data_size": 2048}}
    kinds = []
    for i in range(6):
        record = SAMPLES[i * 2048:(i + 1) * 2048]
        wish = [{}, {"estran_slo_ms": 4000}, {"estran_min_accuracy": 0.5}][i % 3]
        head = as_json(binary, id=str(i), parameters={**wish, "binary_data_output": True})
        kinds.append(("condition", head + record, {HEADER: str(len(head))}, {200}))
    numbers = [round(value, 4) for value in struct.unpack("<512f", SAMPLES[:2048])]
    return kinds + [
        ("condition", as_json({**shape, "data": numbers}), {}, {200}),
        ("condition", b'{"inputs":[', {}, {400}),
        ("condition", as_json(shape), {}, {400}),
        ("none", b"{}", {}, {404}),
    ]


class Asker(threading.Thread):
    """Asks again and again; statuses are counted, what is not as it should be is kept."""

    def __init__(self, process, kinds, seed, pause_s=0.0):
        super().__init__()
        self.process, self.kinds, self.pause_s = process, kinds, pause_s
        self.rng = random.Random(seed)
        self.counts, self.wrong, self.stopped = {}, [], threading.Event()

    def run(self):
        connection = None
        while not self.stopped.is_set():
            if connection is None or self.rng.randrange(500) == 0:  # a new one now and then
                if connection is not None:
                    connection.close()
                connection = controller_test.http.client.HTTPConnection(
                    "127.0.0.1", self.process.port, timeout=30)
            model, body, headers, good = self.rng.choice(self.kinds)
            try:
                connection.request("POST", f"/v2/models/{model}/infer", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except OSError as why:
                self.wrong.append((model, repr(why)))
                return
            self.counts[answer.status] = self.counts.get(answer.status, 0) + 1
            if answer.status not in good:
                self.wrong.append((model, answer.status, text[:200]))
            if self.pause_s > 0:
                time.sleep(self.pause_s)
        connection.close()


class Watch:
    """Memory, threads and descriptors of a process as time goes. hosts: models that may come and go,
    each with a thread."""

    def __init__(self, name, process, hosts=1):
        self.name, self.pid, self.hosts, self.seen = name, process.process.pid, hosts, []

    def look(self):
        place = pathlib.Path(f"/proc/{self.pid}")
        resident = int((place / "statm").read_text().split()[1]) * 4
        self.seen.append((resident, len(list((place / "task").iterdir())),
                          len(list((place / "fd").iterdir()))))

    def thirds(self, which):
        """Medians of the middle and the last third."""
        values = [one[which] for one in self.seen]
        third = len(values) // 3
        return statistics.median(values[third:2 * third]), statistics.median(values[2 * third:])

    def curve(self):
        step = max(1, len(self.seen) // 12)
        return " ".join(f"{one[0] / 1024:.1f}" for one in self.seen[::step])

    def complaints(self):
        memory, threads, files = (self.thirds(which) for which in range(3))
        found = []
        if not SANITISED and memory[1] > memory[0] + TOLERANCE_KB:
            found.append(f"{self.name}: memory {memory[0]:.0f} to {memory[1]:.0f} kB: {self.curve()}")
        if threads[1] > threads[0] + self.hosts:
            found.append(f"{self.name}: threads {threads}")
        if files[1] > files[0] + 3 + self.hosts:
            found.append(f"{self.name}: descriptors {files}")
        return found


class Soak(controller_test.ClusterCase):
    def start_node(self):
        folder = self.folder / "mixed"
        for name, content in {"add": tiny_onnx.add(), "pair": tiny_onnx.pair(),
                              "net": tiny_onnx.busy(256, 8, "batch"), "lookup": tiny_onnx.lookup(),
                              "guest": tiny_onnx.add((5,) * 4)}.items():
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.onnx").write_bytes(content)
        node = Process("node", "--repository", folder, "--listen", "127.0.0.1:0", "--request-log",
                       self.folder / "log.jsonl", "--cache", 1, "--cache-all")
        self.addCleanup(node.kill)
        return node.start()

    def disturb(self, node, controller):
        """What people, scrapers and controllers ask meanwhile."""
        for verb in ("unload", "load"):
            self.assertEqual(node.json("POST", f"/v2/repository/models/guest/{verb}", {}),
                             {"name": "guest", verb: True})
        for path in ("/metrics", "/v2/models/stats", "/"):
            self.assertEqual(node.call("GET", path)[0], 200)
        for path in ("/metrics", "/"):
            self.gateway.get(path)
            controller.get(path)

    def test_mixed_load(self):
        node = self.start_node()
        controller = self.controller("random:every=1")
        self.wait(lambda: self.gateway.get("/estran/v1/observe")["generation"] > 1)
        askers = [Asker(node, node_kinds(), seed) for seed in range(3)]
        askers += [Asker(self.gateway, gateway_kinds(), 10 + seed, 0.002) for seed in range(2)]
        watches = [Watch("node", node), Watch("gateway", self.gateway), Watch("controller", controller),
                   *(Watch(name, one, len(controller_test.MODELS))
                     for name, one in self.nodes.items())]
        for asker in askers:
            asker.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not any(asker.wrong for asker in askers):
            self.disturb(node, controller)
            for watch in watches:
                watch.look()
            time.sleep(SAMPLE_S)
        for asker in askers:
            asker.stopped.set()
        for asker in askers:
            asker.join(30)
        self.assertEqual([wrong for asker in askers for wrong in asker.wrong], [])
        told = self.gateway.get("/estran/v1/observe")
        for watch in watches:
            print(f"{watch.name}: MB {watch.curve()}", flush=True)
        self.check_counts(node, askers, told)
        self.assertEqual([text for watch in watches for text in watch.complaints()], [])
        for process in (controller, self.gateway):
            process.end(controller_test.signal.SIGTERM)

    def check_counts(self, node, askers, told):
        totals = []
        for group in (askers[:3], askers[3:]):
            total = {}
            for asker in group:
                for status, count in asker.counts.items():
                    total[status] = total.get(status, 0) + count
            totals.append(total)
        print(f"answers of the node {totals[0]}, of the gateway {totals[1]}, "
              f"{told['generation']} plans followed", flush=True)
        for status in (200, 400, 404, 500):
            self.assertGreater(totals[0][status], 0)
        self.assertEqual(set(totals[1]), {200, 400, 404})
        ended = {"answered": 0, "partial": 0, "refused": 0, "wrong": 0, "failed": 0}
        for one in told["classes"]:
            self.assertEqual(one["arrived"], sum(one[key] for key in ended))
            for key in ended:
                ended[key] += one[key]
        self.assertEqual(ended["answered"] + ended["partial"], totals[1][200])
        self.assertEqual((ended["failed"], ended["refused"]), (0, 0))
        node.end()
        lines = (self.folder / "log.jsonl").read_text().count("\n")
        known = sum(count for status, count in totals[0].items() if status not in (404, 503))
        self.assertGreaterEqual(lines, known)


if __name__ == "__main__":
    main()
