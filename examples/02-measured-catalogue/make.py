#!/usr/bin/env python3
"""Writes scenario.yaml from published measurements and a real topology.

    python3 make.py DATA > scenario.yaml

DATA is a folder with the files named below (where they come from: README.md). The scenario is
kept in the repository and needs neither this program nor the files. Every figure carries a tag:
measured (in the file as it stands, units changed), derived (computed from measured ones, how is
said) or assumed (ours; change it to what holds for you).
"""
import csv
import json
import math
import pathlib
import re
import sys

if len(sys.argv) != 2:
    sys.exit("usage: make.py DATA > scenario.yaml")
data = pathlib.Path(sys.argv[1])
ARM = data / "mlperf-inference/v3.0_krai_arm_boards.csv"
ACCELERATOR = data / "mlperf-inference/v3.0_closed_nvidia_qualcomm.csv"
TIMM = data / "timm"
SERVERS = {
    "i7-12700h": "benchmark-infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo.csv",
    "rtx3090": "benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv",
    "rtx4090": "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv",
}
TOPOLOGY = data / "topologyzoo/Geant2012.gml"
CARBON = data / "country-carbon/average-intensities.json"

# What is chosen, and what is assumed.
POPS = ["PT", "ES", "FR", "UK", "NL", "BE", "DE", "CH", "IT", "AT", "CZ", "PL"]
ISO3 = {"PT": "PRT", "ES": "ESP", "FR": "FRA", "UK": "GBR", "NL": "NLD", "BE": "BEL",
        "DE": "DEU", "CH": "CHE", "IT": "ITA", "AT": "AUT", "CZ": "CZE", "PL": "POL"}
SITES = {"FR": ("cloud", "rtx3090"), "DE": ("cloud", "rtx4090"), "UK": ("edge", "eb6-aic100"),
         "IT": ("edge", "eb6-aic100"), "ES": ("edge", "i7-12700h"), "CZ": ("edge", "i7-12700h")}
CAMERAS = {"PT": ("firefly-rk3399", "radio"), "UK": ("firefly-rk3399", "wire"),
           "IT": ("vim4", "wire"), "PL": ("firefly-rk3399", "radio"), "NL": ("vim4", "radio")}
ACCESS = {"radio": "latency_ms: 8, bandwidth_mbps: 20, energy_nj_per_bit: 500",
          "wire": "latency_ms: 0.5, bandwidth_mbps: 1000, energy_nj_per_bit: 20"}
BOARDS = {"firefly-rk3399": "firefly-armnn-v22.11-opencl", "vim4": "vim4-armnn-v22.11-opencl"}
# board variant -> (name here, timm architecture with the same parameters, bytes per parameter)
BOARD_VARIANTS = {
    "mobilenet-v3-small_224_1.0_float": ("mobilenet-v3-small-f32", "mobilenetv3_small_100", 4),
    "mobilenet-v3-large_224_1.0_float": ("mobilenet-v3-large-f32", "mobilenetv3_large_100", 4),
    "efficientnet-lite0-quantized": ("efficientnet-lite0-u8", "tf_efficientnet_lite0", 1),
    "efficientnet-lite2-non-quantized": ("efficientnet-lite2-f32", "tf_efficientnet_lite2", 4),
    "efficientnet-lite4-quantized": ("efficientnet-lite4-u8", "tf_efficientnet_lite4", 1),
    "efficientnet-lite4-non-quantized": ("efficientnet-lite4-f32", "tf_efficientnet_lite4", 4),
}
SERVER_VARIANTS = [("mobilenetv3_large_100.ra_in1k", 224), ("vit_small_patch16_224.augreg_in21k_ft_in1k", 224),
                   ("convnext_tiny.in12k_ft_in1k", 224), ("convnext_base.fb_in22k_ft_in1k", 224),
                   ("convnext_large.fb_in22k_ft_in1k", 224)]
TDP_W = {"i7-12700h": 45, "rtx3090": 350, "rtx4090": 450}
BATCH = 64
CORE_NJ_PER_BIT = 10


def gml_blocks(text, what):
    for block in re.findall(r"\b%s \[(.*?)\]" % what, text, re.S):
        yield dict(re.findall(r'(\w+) "?([^"\n]*)"?', block))


def distance_km(a, b):
    """Great circle by the haversine formula, mean radius 6371.0088 km."""
    (la, lo), (lb, lp) = [[math.radians(x) for x in p] for p in (a, b)]
    h = math.sin((lb - la) / 2) ** 2 + math.cos(la) * math.cos(lb) * math.sin((lp - lo) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(h))


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


text = TOPOLOGY.read_text()
pops = {n["label"]: n for n in gml_blocks(text, "node")}
label_of = {n["id"]: n["label"] for n in pops.values()}
position = {p: (float(pops[p]["Latitude"]), float(pops[p]["Longitude"])) for p in POPS}
carbon = json.loads(CARBON.read_text())
arm = {(r["system"], r["model"]): r for r in rows(ARM)}
accelerator = next(r for r in rows(ACCELERATOR) if r["system"].startswith("eb6-qaic")
                   and (r["model"], r["scenario"]) == ("resnet50", "SingleStream"))
servers = {kind: {(r["model"], int(r["infer_img_size"])): r for r in rows(TIMM / name)}
           for kind, name in SERVERS.items()}
accuracy = {(r["model"], int(r["img_size"])): float(r["top1"])
            for r in rows(TIMM / "results-imagenet.csv")}
parameters = {m: float(r["param_count"]) for (m, _), r in servers["rtx3090"].items()}


def grams(pop):
    return carbon[ISO3[pop]]["emissions_intensity_gco2_per_kwh"]


def top1(row):
    return float(re.match(r"accuracy=([\d.]+)%", row["accuracy"])[1])


print("""\
# Written by make.py from published measurements; sources and licences: README.md.
# Tags: measured (as published, units changed), derived (from measured ones), assumed (ours).
format: estran-scenario
version: 1
name: measured-catalogue
description: >-
  Image classification over 12 sites of GEANT (2012): cameras with small boards, four edge sites,
  two clouds with one GPU each, 12 published variants.
seed: 1
slots: {length_s: 60, count: 10}
kinds:""")
for board, system in BOARDS.items():
    watts = max(float(arm[system, v]["mean_watts"]) for v in BOARD_VARIANTS)
    print(f"  # {system}: busy_w derived (largest mean of the variants below); memory assumed;")
    print("  # idle_w 0, as no idle power is published: energy_mj holds all that the board drew")
    print(f"  - {{name: {board}, memory_mb: 64, idle_w: 0, busy_w: {watts:.4g}}}")
print(f"  # {accelerator['system']}: busy_w measured (its one variant); memory assumed")
print(f"  - {{name: eb6-aic100, memory_mb: 8000, idle_w: 0, busy_w: "
      f"{float(accelerator['mean_watts']):.4g}}}")
print("  # busy_w: thermal design power (data sheet), all of it counted while busy; idle_w 0 as above;")
print("  # memory_mb of the i7: assumed")
for kind in SERVERS:
    gpu = kind.startswith("rtx")
    if gpu:
        print(f"  # {BATCH} processors: a batch of {BATCH} runs at once (see segments); memory_mb: of the card")
    memory = 24000 if gpu else 8000
    print(f"  - {{name: {kind}, processors: {BATCH if gpu else 1}, memory_mb: {memory}, "
          f"idle_w: 0, busy_w: {TDP_W[kind]}}}")

print("""\
nodes: # positions: measured (topology); grams per kWh: measured (country mean of 2024)""")
for pop in POPS:
    tier, kind = SITES.get(pop, ("network", None))
    what = f"kind: {kind}" if kind else "processors: 0"
    latitude, longitude = position[pop]
    print(f"  - {{name: {pop.lower()}, tier: {tier}, {what}, carbon_zone: {pop}, "
          f"carbon_gco2e_per_kwh: {grams(pop)},\n"
          f"     latitude_deg: {latitude}, longitude_deg: {longitude}}}")
for pop, (kind, _) in CAMERAS.items():
    print(f"  - {{name: camera-{pop.lower()}, tier: device, kind: {kind}, carbon_zone: {pop}, "
          f"carbon_gco2e_per_kwh: {grams(pop)}}}")

print(f"""\
links:
  # latency derived: great circle over 2e5 km/s; bandwidth measured where the topology says it,
  # else assumed 10 Gbit/s; energy assumed {CORE_NJ_PER_BIT} nJ/bit""")
for edge in gml_blocks(text, "edge"):
    a, b = label_of[edge["source"]], label_of[edge["target"]]
    if a not in position or b not in position:
        continue
    speed = edge.get("LinkSpeedRaw")
    mbps = float(speed) / 1e6 if speed else 10000
    milliseconds = distance_km(position[a], position[b]) / 2e5 * 1e3
    tag = "measured" if speed else "assumed"
    print(f"  - {{between: [{a.lower()}, {b.lower()}], latency_ms: {milliseconds:.3f}, "
          f"bandwidth_mbps: {mbps:g}, energy_nj_per_bit: {CORE_NJ_PER_BIT}}} # bandwidth {tag}")
print("  # access by radio or wire: assumed")
for pop, (_, access) in CAMERAS.items():
    print(f"  - {{between: [camera-{pop.lower()}, {pop.lower()}], {ACCESS[access]}}} # {access}")

print("""\
tasks: # a JPEG of 60 kB, an answer of 100 bytes, deadlines and least qualities: assumed
  - {name: triage, input_bytes: 60000, output_bytes: 100, deadline_ms: 45, quality_min: 0.7}
  - {name: identify, input_bytes: 60000, output_bytes: 100, deadline_ms: 250, quality_min: 0.8}
segments:
  # memory derived: parameters (timm) times bytes each. hosting_cost_per_s: assumed
  # boards: time_ms measured (mean of SingleStream); energy_mj derived: mean wall watts x time""")
quality = {}
for variant, (name, architecture, width) in BOARD_VARIANTS.items():
    print(f"  - name: {name}\n    memory_mb: {parameters[architecture] * width:.4g}\n"
          "    hosting_cost_per_s: 0.01\n    on:")
    for board, system in BOARDS.items():
        row = arm[system, variant]
        seconds = float(row["mean_ns"]) * 1e-9
        print(f"      - {{kind: {board}, time_ms: {seconds * 1e3:.3f}, "
              f"energy_mj: {seconds * float(row['mean_watts']) * 1e3:.2f}}}")
        quality[name] = min(quality.get(name, 1), top1(row) / 100)
seconds = float(accelerator["mean_ns"]) * 1e-9
print(f"""\
  - name: resnet50-aic100
    memory_mb: {parameters["resnet50"]:.4g}
    hosting_cost_per_s: 0.01
    on:
      - {{kind: eb6-aic100, time_ms: {seconds * 1e3:.3f}, \
energy_mj: {seconds * float(accelerator["mean_watts"]) * 1e3:.2f}}}""")
quality["resnet50-aic100"] = top1(accelerator) / 100
print(f"""\
  # i7-12700h: time_ms measured (batch 1, fp32). rtx: derived, {BATCH} / published samples per s,
  # taking batches of {BATCH} to be as efficient as the published 384 to 1024. Energy follows from watts""")
for model, size in SERVER_VARIANTS:
    architecture = model.split(".")[0]
    print(f"  - name: {architecture}\n    variant: {model}\n"
          f"    memory_mb: {parameters[architecture] * 4:.4g}\n    hosting_cost_per_s: 0.01\n    on:")
    for kind in SERVERS:
        row = servers[kind].get((architecture, size))
        if row is None:
            continue
        if kind.startswith("rtx"):
            milliseconds = BATCH / float(row["infer_samples_per_sec"]) * 1e3
        else:
            milliseconds = float(row["infer_step_time"])
        print(f"      - {{kind: {kind}, time_ms: {milliseconds:.3f}}}")
    quality[architecture] = accuracy[model, size] / 100

print("pipelines: # quality: measured, top-1 on the 50000 ImageNet validation images")
for task in ("triage", "identify"):
    for name, value in quality.items():
        print(f"  - {{name: {task}-{name}, task: {task}, quality: {value:.5g}, "
              f"stages: [{{segment: {name}}}]}}")
print("""\
demand: # assumed
  - {task: triage, at: {tier: device}, rate_rps: 40}
  - {task: identify, at: {tier: device}, rate_rps: 4}
# In seconds of waiting, assumed: a wrong answer is as bad as 0.3 s, a joule as 20 ms, a gram of CO2e
# as 500 s (so a joule at 350 g/kWh costs another 49 ms), a refused request as 2 s.
objective: {latency_per_s: 1, quality: 0.3, energy_per_j: 0.02, carbon_per_g: 500, refusal_cost: 2}""")
