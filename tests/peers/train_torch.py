"""train_torch.py NET THREADS BATCH STEPS: images per second that PyTorch trains the benchmark's net
with, on one batch in memory: forward, cross entropy, backward, SGD with Nesterov momentum. One thread
counts processor seconds, more count the clock."""
import sys
import time

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, channels, units):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, units, 3, padding=1, bias=False),
                                   nn.BatchNorm2d(units), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(units, units, 3, padding=1, bias=False),
                                    nn.BatchNorm2d(units))

    def forward(self, x):
        x = self.first(x)
        return torch.relu(x + self.second(x))


def make(name):
    if name == "LeNet":
        return nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                             nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10))
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                         Residual(16, 16), nn.MaxPool2d(2), Residual(16, 40), nn.MaxPool2d(2),
                         Residual(40, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main():
    name, threads, batch, steps = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    net = make(name)
    sgd = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, nesterov=True)
    loss = nn.CrossEntropyLoss()
    x = torch.randn(batch, 1, 28, 28)
    y = torch.randint(0, 10, (batch,))

    def run(count):
        for _ in range(count):
            sgd.zero_grad(set_to_none=True)
            loss(net(x), y).backward()
            sgd.step()

    run(5)
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    run(steps)
    print(batch * steps / (clock() - start))


main()
