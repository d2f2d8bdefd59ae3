"""Mixed load on `estran node` for ESTRAN_SOAK_S seconds (default 15; an hour at night): every request
is answered as it should be, and memory, threads and descriptors stay where they are."""
import json
import os
import pathlib
import random
import struct
import threading
import time
import unittest

import tiny_onnx
from node_support import HEADER, SANITISED, NodeCase, f32
from support import main

SECONDS = float(os.environ.get("ESTRAN_SOAK_S", "15"))


class Soak(NodeCase):
    def ask(self, node, seed, counts, wrong, stop):
        rng = random.Random(seed)
        head = json.dumps({"inputs": [f32("x", [1, 4], binary_data_size=16)],
                           "parameters": {"binary_data_output": True}}).encode()
        kinds = [
            ("add", json.dumps({"inputs": [f32("x", [2, 4], [1] * 8)]}).encode(), {}, {200}),
            ("add", head + struct.pack("<4f", 1, 2, 3, 4), {HEADER: str(len(head))}, {200}),
            ("pair", json.dumps({"inputs": [f32("a", [1, 2], [1, 2]),
                                            f32("b", [1, 2], [3, 4])]}).encode(), {}, {200}),
            ("net", json.dumps({"inputs": [f32("x", [1, 256], [0.5] * 256)],
                                "parameters": {"timeout": 300, "priority": 1}}).encode(), {},
             {200, 504}),
            ("net", json.dumps({"inputs": [f32("x", [3, 256], [0.5] * 768)]}).encode(), {}, {200}),
            ("lookup", b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[9]}]}', {},
             {500}),
            ("add", b'{"inputs":[', {}, {400}),
            ("none", b"{}", {}, {404}),
            # comes and goes
            ("guest", json.dumps({"inputs": [f32("x", [1, 4], [0] * 4)]}).encode(), {}, {200, 503}),
        ]
        connection = node.connection()
        while not stop.is_set():
            model, body, headers, good = rng.choice(kinds)
            try:
                connection.request("POST", f"/v2/models/{model}/infer", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                counts[answer.status] = counts.get(answer.status, 0) + 1
                if answer.status not in good:
                    wrong.append((model, answer.status, text[:200]))
            except OSError as why:
                wrong.append((model, repr(why)))
                return
            if rng.randrange(500) == 0:  # a new connection now and then
                connection.close()
                connection = node.connection()
        connection.close()

    def usage(self, node):
        process = pathlib.Path(f"/proc/{node.process.pid}")
        return (node.memory_kb(), len(list((process / "task").iterdir())),
                len(list((process / "fd").iterdir())))

    def test_mixed_load(self):
        folder = self.repository(add=tiny_onnx.add(), pair=tiny_onnx.pair(),
                                 net=tiny_onnx.busy(256, 8, "batch"), lookup=tiny_onnx.lookup(),
                                 guest=tiny_onnx.add((5,) * 4))
        node = self.start(folder, "--request-log", self.folder / "log.jsonl", "--cache", 1,
                          "--cache-all")
        counts, wrong, stop = [{} for _ in range(4)], [], threading.Event()
        threads = [threading.Thread(target=self.ask, args=(node, i, counts[i], wrong, stop))
                   for i in range(4)]
        for thread in threads:
            thread.start()
        connection = node.connection()
        end = time.monotonic() + SECONDS
        seen = []
        while time.monotonic() < end and not wrong:
            for verb in ("unload", "load"):
                connection.request("POST", f"/v2/repository/models/guest/{verb}", b"{}")
                self.assertEqual(connection.getresponse().read(),
                                 f'{{"name":"guest","{verb}":true}}\n'.encode())
            for path in ("/metrics", "/v2/models/stats", "/"):
                connection.request("GET", path)
                connection.getresponse().read()
            seen.append(self.usage(node))
            time.sleep(0.2)
        stop.set()
        for thread in threads:
            thread.join(20)
        connection.close()
        self.assertEqual(wrong, [])
        total = {}
        for one in counts:
            for status, count in one.items():
                total[status] = total.get(status, 0) + count
        print(f"answers {total}, memory {seen[len(seen) // 3][0]} to {seen[-1][0]} kB")
        for status in (200, 400, 404, 500):
            self.assertGreater(total[status], 0)
        third = seen[len(seen) // 3]
        self.assertLessEqual(seen[-1][1], third[1] + 1, "threads")
        self.assertLessEqual(seen[-1][2], third[2] + 4, "descriptors")
        if not SANITISED:
            self.assertLess(seen[-1][0], third[0] + 3000, [one[0] for one in seen])
        lines = (self.folder / "log.jsonl").read_text().count("\n")
        code, said = node.stop()
        self.assertEqual((code, said), (0, ""))
        after = (self.folder / "log.jsonl").read_text().count("\n")
        known = sum(count for status, count in total.items() if status not in (404, 503))
        self.assertGreaterEqual(after, max(lines, known))


if __name__ == "__main__":
    main()
