#!/bin/sh
# tools/fuzz.sh SECONDS: builds the fuzz preset and runs every target for SECONDS on its corpus.
# New inputs go to build/fuzz/found, never into the kept corpus; the first crash ends it.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
for source in src/*/*_fuzz.c; do
    module=$(basename "$(dirname "$source")")
    target="${module}_$(basename "$source" .c)"
    mkdir -p "build/fuzz/found/$target"
    echo "fuzz: $target for $seconds s"
    "build/fuzz/src/$module/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="build/fuzz/found/$target-" -print_final_stats=1 \
        "build/fuzz/found/$target" "tests/corpus/$target" >"build/fuzz/$target.log" 2>&1 ||
        { tail -30 "build/fuzz/$target.log"; exit 1; }
    grep -E 'stat::number_of_executed_units|DONE' "build/fuzz/$target.log" | tail -1
done
