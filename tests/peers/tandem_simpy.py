"""A tandem of nodes in SimPy 2 (Debian's python3-simpy), for comparison: tandem_simpy.py FILE, with
the numbers that src/simulate/event_peers_test.c writes. Prints end clock, mean latency, wall
seconds, 0. A link is shared evenly by the transfers on it, written here once more without virtual
time: at every arrival and departure each transfer gets its share of what passed."""
import sys
import time

from SimPy.Simulation import Process, Resource, Simulation, hold, passivate, release, request


class Link(Process):
    def __init__(self, sim, bandwidth_bps):
        Process.__init__(self, sim=sim)
        self.bandwidth_bps = bandwidth_bps
        self.left = {}  # transfer -> bits left
        self.since = 0.0

    def catch_up(self):
        if self.left:
            got = (self.sim.now() - self.since) * self.bandwidth_bps / len(self.left)
            for key in self.left:
                self.left[key] -= got
        self.since = self.sim.now()

    def carry(self, transfer, bits):
        self.catch_up()
        self.left[transfer] = bits
        self.sim.reactivate(self)

    def run(self):
        while True:
            if not self.left:
                yield passivate, self
            else:
                least = max(min(self.left.values()), 0)
                yield hold, self, least * len(self.left) / self.bandwidth_bps
            self.catch_up()
            for key in [k for k, bits in self.left.items() if bits <= 1e-3]:
                del self.left[key]
                self.sim.reactivate(key)


class Request(Process):
    def run(self, way, bits, latency_s, service_s, ends):
        start = self.sim.now()
        for link, server in way:
            if bits > 0:
                link.carry(self, bits)
                yield passivate, self
            yield hold, self, latency_s
            yield request, self, server
            yield hold, self, service_s
            yield release, self, server
        ends.append((self.sim.now(), self.sim.now() - start))


def main():
    words = open(sys.argv[1]).read().split()
    nodes, service_s, size = int(words[0]), float(words[1]), float(words[2])
    bandwidth_bps, latency_s, count = float(words[3]), float(words[4]), int(words[7])
    sim = Simulation()
    sim.initialize()
    way = [(Link(sim, bandwidth_bps), Resource(capacity=1, sim=sim)) for _ in range(nodes)]
    for link, _ in way:
        sim.activate(link, link.run())
    ends = []
    for word in words[8 : 8 + count]:
        entity = Request(sim=sim)
        entity_run = entity.run(way, 8 * size, latency_s, service_s, ends)
        sim.activate(entity, entity_run, at=float(word))
    start = time.monotonic()
    sim.simulate(until=1e12)
    mean_s = sum(latency for _, latency in ends) / len(ends)
    print(f"{max(end for end, _ in ends):.9f} {mean_s:.12f} {time.monotonic() - start:.6f} 0")


main()
