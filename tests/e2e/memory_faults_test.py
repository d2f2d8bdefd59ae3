"""Memory runs out while `estran node` is under load: for a model that is to be loaded, for a request, in
a control group. What does not fit is refused, with a reason; all else is answered."""
import collections
import contextlib
import http.client
import json
import os
import pathlib
import resource
import struct
import time
import unittest

import tiny_onnx
from gateway_support import GatewayCase, Load, Process, rate
from node_support import HEADER, SANITISED, f32
from support import main

WIDTH = 6000  # 144 MB of weights
LARGE = 12 << 20  # values; 48 MB


@unittest.skipIf(SANITISED, "sanitisers take memory of their own")
class Memory(GatewayCase):
    def repository(self):
        folder = super().repository()
        for name, content in (("large", tiny_onnx.busy(WIDTH, 1)),
                              ("copy", tiny_onnx.same(tiny_onnx.FLOAT, [1, "width"]))):
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.onnx").write_bytes(content)
        return folder

    def node(self, *words):
        return self.launch(Process("node", "--repository", self.models, "--load", "add", "--load",
                                   "copy", "--listen", "127.0.0.1:0", *words))

    def give_room(self, node, megabytes):
        """So much more than it has now."""
        status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
        mapped = int(status.split("VmSize:")[1].split()[0]) * 1024
        limit = resource.RLIM_INFINITY if megabytes is None else mapped + int(megabytes * 2**20)
        resource.prlimit(node.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def try_large(self, node):
        return node.call("POST", "/v2/repository/models/large/load", "{}")

    def refused(self, node, *words):
        status, text, headers = self.try_large(node)
        self.assertEqual(status, 503, text)
        self.assertEqual(headers["Retry-After"], "1")
        for word in ("large", *words):
            self.assertIn(word, json.loads(text)["error"])
        states = {one["name"]: (one["state"], one["reason"])
                  for one in node.json("POST", "/v2/repository/index")}
        self.assertEqual(states["add"], ("READY", ""))
        self.assertEqual(states["large"][0], "UNAVAILABLE")
        self.assertIn("load failed", states["large"][1])

    def test_a_model_that_does_not_fit(self):
        node = self.node()
        load = Load(node.port, "add", rate(300), 3).start()
        self.give_room(node, 100)
        self.refused(node, "144 MB", "288 MB")
        self.give_room(node, None)
        start = time.monotonic()
        self.assertEqual(self.try_large(node)[0], 200)
        there_s = time.monotonic() - start
        load.join()
        self.once_each(load)
        self.assertEqual(load.failures(), [])
        self.say(f"{load.sent()} requests, all answered; loaded {there_s:.2f} s after there was room")
        node.json("POST", "/v2/repository/models/large/unload", {})
        # Enough to try, perhaps too little to end: then the library refuses, and all else goes on.
        self.give_room(node, 290)
        status, text, _ = self.try_large(node)
        self.assertIn(status, (200, 503), text)
        node.json("POST", "/v2/models/add/infer", {"inputs": [f32("x", [1, 4], [0] * 4)]})
        node.end()

    def copy(self, node, values):
        """Status, and the values that came back or the error."""
        head = json.dumps({"inputs": [f32("x", [1, len(values) // 4], binary_data_size=len(values))],
                           "parameters": {"binary_data_output": True}}).encode()
        status, answer, headers = node.call("POST", "/v2/models/copy/infer", head + values,
                                            {HEADER: str(len(head))})
        return status, answer[int(headers[HEADER]):] if status == 200 else answer

    def test_requests_that_do_not_fit(self):
        """48 MB of tensor need as much again for the answer: refused or cut, the node goes on."""
        node = self.node()
        load = Load(node.port, "add", rate(300), 3).start()

        def ask():
            try:
                return self.copy(node, bytes(4 * LARGE))[0]
            except OSError:
                return "broken"
        self.give_room(node, 20)
        ends = [ask()]
        self.give_room(node, 70)
        ends.append(ask())
        self.give_room(node, None)
        self.assertEqual(ask(), 200)
        load.join()
        self.once_each(load)
        self.assertEqual(load.failures(), [])
        self.assertLessEqual(set(ends), {503, "broken"}, ends)
        self.say(f"{load.sent()} requests, all answered; those without room: {ends}")
        node.end()

    def test_nothing_fits(self):
        """Not a page more: whatever a request needs may fail, in the library too. None ends the node, and
        none is answered with what was not computed."""
        ends = collections.Counter()
        for room in (0, 0.2, 0.7, 1, 2):
            node = self.node()
            load = Load(node.port, "add", rate(300), 1).start()
            self.give_room(node, room)
            for count in (1000, LARGE, 20000, 1 << 20) * 2:
                values = struct.pack("<f", room + 1) * count
                try:
                    status, answer = self.copy(node, values)
                except (OSError, http.client.HTTPException):
                    ends["broken"] += 1
                    continue
                ends[status] += 1
                self.assertIn(status, (200, 503), answer[:300])
                if status == 200:
                    self.assertEqual(answer, values)
            load.join()
            self.assertEqual(load.wrong, [])
            self.assertEqual(load.twice, 0)
            self.give_room(node, None)
            node.json("POST", "/v2/models/add/infer", {"inputs": [f32("x", [1, 4], [0] * 4)]})
            node.end()
        self.say(f"large ones: {dict(ends)}")

    @contextlib.contextmanager
    def group(self, limit_mb):
        """A control group of version 1 or 2 with that limit; skips where none can be made."""
        first = pathlib.Path("/sys/fs/cgroup/memory")
        second = pathlib.Path("/sys/fs/cgroup")
        for base, name in ((first, "memory.limit_in_bytes"), (second, "memory.max")):
            place = base / f"estran-test-{os.getpid()}"
            try:
                place.mkdir()
            except OSError:
                continue
            try:
                (place / name).write_text(str(limit_mb << 20))
                yield place
                return
            except OSError:
                continue
            finally:
                with contextlib.suppress(OSError):
                    place.rmdir()
        self.skipTest("no control group can be made here")

    def test_a_model_that_the_kernel_would_end_the_node_for(self):
        with self.group(200) as place:
            node = self.node()
            (place / "cgroup.procs").write_text(str(node.process.pid))
            load = Load(node.port, "add", rate(300), 2).start()
            self.refused(node, "no room in memory")
            load.join()
            self.once_each(load)
            self.assertEqual(load.failures(), [])
            self.say(f"{load.sent()} requests, all answered")
            node.end()


if __name__ == "__main__":
    main()
