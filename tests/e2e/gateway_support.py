"""Gateways, nodes with routes, a link that can be cut, and a client that counts each request once."""
import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import tiny_onnx
from node_support import HEADER, SANITISED, Answer, f32
from support import ESTRAN, Case

WIDTH = 4
FIGURES = {"quality": 0.9, "energy_j": 0.01, "carbon_gco2e": 1e-6}


class Process:
    """One estran process that says 'ready PORT'; killed, it can start again on the same port.
    prefix: what starts it, words of a command; talk: warnings go to stderr, which end() gives."""

    def __init__(self, *words, prefix=(), talk=False, environment=None):
        self.words = [str(word) for word in words]
        self.prefix, self.talk = [*map(str, prefix)], talk
        self.environment = {**os.environ, **(environment or {})}
        self.process, self.port = None, 0

    def start(self):
        words = [word.replace("127.0.0.1:0", f"127.0.0.1:{self.port}") for word in self.words]
        words += [] if self.talk else ["--quiet"]
        self.process = subprocess.Popen([*self.prefix, str(ESTRAN), *words], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=self.environment)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(f"{words}: no ready line but '{line}': {self.process.stderr.read()}")
        self.port = int(line.split()[1])
        return self

    def end(self, how=signal.SIGTERM):
        if self.process is None:
            return ""
        self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process = None
        if how == signal.SIGTERM and (code != 0 or "ERROR" in said):
            raise AssertionError(f"{self.words[0]} ended with {code}: {said}")
        return said

    def kill(self):
        self.end(signal.SIGKILL)

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def json(self, method, path, document=None):
        body = None if document is None else json.dumps(document)
        status, text, _ = self.call(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {text[:300]}")
        return json.loads(text)

    def curl(self, path, *words, data=None):
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", "30", *map(str, words),
             *(["--data-binary", "@-", "-H", "Expect:"] if data is not None else []),
             f"{self.url()}{path}"], input=data, capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"curl {path}: {done.stderr.decode()}")
        return Answer(done.stdout)


class Link:
    """A TCP proxy: passes bytes on, late when told to, or not at all."""

    def __init__(self, port):
        self.to, self.delay_s, self.cut = port, 0.0, False
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()
        self.ready.wait(10)

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                if self.delay_s > 0:
                    await asyncio.sleep(self.delay_s)
                while self.cut:
                    await asyncio.sleep(0.02)  # as a cable that is out: nothing comes, nothing ends
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def accept(self, reader, writer):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer))


class Load:
    """Open loop: requests are sent when they are due, each with an id of its own; what each came to is
    noted once. ends: (due, took, outcome) by request."""

    def __init__(self, port, task, rate, seconds, **parameters):
        self.port, self.task, self.rate, self.seconds = port, task, rate, seconds
        self.parameters = parameters
        self.ends, self.twice, self.wrong = {}, 0, []
        self.thread = threading.Thread(target=lambda: asyncio.run(self.drive()))

    def start(self):
        self.start_s = time.monotonic()
        self.thread.start()
        return self

    def join(self):
        self.thread.join(self.seconds + 90)
        assert not self.thread.is_alive(), "the load does not end"
        return self

    def body(self, number):
        values = [float(number % 3), 1.0, 2.0, 0.5]  # no class is certain
        head = json.dumps({
            "id": str(number), "inputs": [f32("x", [1, WIDTH], binary_data_size=4 * WIDTH)],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
            "parameters": self.parameters}).encode()
        return head, struct.pack(f"<{WIDTH}f", *values), values

    async def exchange(self, number, idle):
        """Status, headers, body; connections are kept and used again."""
        head, tensor, _ = self.body(number)
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"POST /v2/models/{self.task}/infer HTTP/1.1\r\nHost: x\r\n"
                         f"{HEADER}: {len(head)}\r\nContent-Length: {len(head) + len(tensor)}\r\n\r\n"
                         .encode() + head + tensor)
            raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            lines = raw.decode().split("\r\n")
            headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip()
                       for line in lines[1:] if ":" in line}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            idle.append((reader, writer))
        return int(lines[0].split()[1]), headers, body

    def outcome(self, number, status, headers, body):
        if status != 200:
            return f"error {status}"
        size = int(headers[HEADER.lower()])
        told = json.loads(body[:size])
        if told.get("id") != str(number) or len(body) - size != 4 * WIDTH:
            self.wrong.append((number, told))
        return "partial" if "estran-partial" in headers else "answered"

    async def one(self, number, due_s, idle):
        try:
            what = self.outcome(number, *await self.exchange(number, idle))
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as why:
            what = f"broken {type(why).__name__}"
        if number in self.ends:
            self.twice += 1
        self.ends[number] = (due_s, time.monotonic() - self.start_s - due_s, what)

    async def drive(self):
        tasks, idle = [], []
        for number in range(int(self.rate * self.seconds)):
            due_s = number / self.rate
            wait_s = self.start_s + due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            tasks.append(asyncio.ensure_future(self.one(number, due_s, idle)))
        await asyncio.gather(*tasks)
        for _, writer in idle:
            writer.close()

    # what became of them

    def sent(self):
        return int(self.rate * self.seconds)

    def count(self, kind):
        return sum(end[2].startswith(kind) for end in self.ends.values())

    def failures(self, since_s=0.0):
        return sorted((due, what) for due, _, what in self.ends.values()
                      if due >= since_s and not what.startswith(("answered", "partial")))

    def last_failure_s(self, since_s):
        """Seconds from since_s until the last request that failed was due; 0: none did."""
        bad = self.failures(since_s)
        return bad[-1][0] - since_s if bad else 0.0

    def latency_s(self, share):
        took = sorted(end[1] for end in self.ends.values() if end[2] in ("answered", "partial"))
        return took[min(int(share * len(took)), len(took) - 1)]


def options(*pairs):
    """(share, route) or (share, route, latency_ms)."""
    return [{"share": share, "route": route, "latency_ms": rest[0] if rest else 5, **FIGURES}
            for share, route, *rest in pairs]


class GatewayCase(Case):
    """Nodes n1 .. of the same models, and a gateway that is told routes."""

    def repository(self):
        folder = self.folder / "models"
        for name, content in {"add": tiny_onnx.add(), "soft": tiny_onnx.softmax(WIDTH),
                              "busy": tiny_onnx.busy(WIDTH, 4)}.items():
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.onnx").write_bytes(content)
        return folder

    def launch(self, process):
        self.addCleanup(process.kill)
        return process.start()

    def setUp(self):
        super().setUp()
        self.models = self.repository()
        self.generation = 0

    def nodes(self, count, *words):
        return [self.launch(Process("node", "--repository", self.models, "--name", f"n{i + 1}",
                                    "--listen", "127.0.0.1:0", *words)) for i in range(count)]

    def gateway(self, *words):
        return self.launch(Process("gateway", "--listen", "127.0.0.1:0", "--routes",
                                   self.folder / "routes.json", *words))

    def routes(self, urls, classes):
        """urls: by name of node; classes: (task, options)."""
        self.generation += 1
        ports = [{"name": name, "datatype": "FP32", "shape": [-1, WIDTH]} for name in "xy"]
        return {"format": "estran-routes", "version": 1, "generation": self.generation,
                "plan": "test", "peers": [{"name": name, "url": url} for name, url in urls.items()],
                "tasks": [{"name": task, "inputs": ports[:1], "outputs": ports[1:]}
                          for task, _ in classes],
                "classes": [{"task": task, "entry": "n1", "options": ways}
                            for task, ways in classes]}

    def follow(self, gateway, urls, classes):
        return gateway.json("PUT", "/estran/v1/routes", self.routes(urls, classes))

    def once_each(self, load, gateway=None):
        """Every request that was sent ended once, with its own answer; the gateway says the same."""
        self.assertEqual(len(load.ends), load.sent())
        self.assertEqual(load.twice, 0)
        self.assertEqual(load.wrong, [])
        if gateway is None:
            return
        told = gateway.json("GET", "/estran/v1/observe")["classes"][0]
        ends = {key: told[key] for key in ("answered", "partial", "refused", "wrong", "failed")}
        self.assertEqual(told["arrived"], sum(ends.values()), told)
        self.assertEqual(told["arrived"], load.sent())
        self.assertEqual(ends["answered"], load.count("answered"), told)
        self.assertEqual(ends["partial"], load.count("partial"), told)

    def say(self, what):
        print(f"{self._testMethodName}: {what}", flush=True)


def rate(full):
    """Requests per second that this build can be asked for."""
    return full // 4 if SANITISED else full
