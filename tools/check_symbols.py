#!/usr/bin/env python3
"""check_symbols.py LIBRARY...: two modules must not define the same global symbol; the linker would
silently take one of them for both."""
import collections
import pathlib
import subprocess
import sys

owners = collections.defaultdict(set)
for library in sys.argv[1:]:
    listing = subprocess.run(["nm", "-g", "--defined-only", library], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "TDBRC":
            owners[words[2]].add(pathlib.Path(library).name)
bad = {symbol: names for symbol, names in owners.items()
       if len(names) > 1 and not symbol.startswith(("__odr", "__asan", "__gcov", "__llvm"))}
for symbol, names in sorted(bad.items()):
    print(f"{symbol}: defined in {', '.join(sorted(names))}")
sys.exit(1 if bad or not owners else 0)
