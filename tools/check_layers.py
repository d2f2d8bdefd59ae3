#!/usr/bin/env python3
"""Check src/layers.txt: a file includes only its own module and modules on earlier lines,
and another module only through its face header, module/module.h (base is open); tests and
benchmarks also the headers in an earlier module's testing/ folder."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
rank = {}
for number, line in enumerate((root / "layers.txt").read_text().splitlines()):
    for module in line.split("#")[0].split():
        rank[module] = number
bad = 0
for path in sorted(root.rglob("*.[ch]")):
    here = path.relative_to(root).parts[0]
    tests = re.search(r"_(test|bench)\.c$|/testing/", path.as_posix())
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^/"]+)/([^"]+)"', line)
        if not found or found[1] == here:
            continue
        there, header = found.groups()
        why = ""
        if there not in rank or here not in rank:
            why = "module missing from layers.txt"
        elif rank[there] >= rank[here]:
            why = f"{here} may not use {there}"
        elif there != "base" and header != f"{there}.h" and not (
                tests and header.startswith("testing/")):
            why = f"use {there}/{there}.h"
        if why:
            print(f"{path}:{number}: {why}")
            bad = 1
sys.exit(bad)
