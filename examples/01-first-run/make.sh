#!/bin/sh
# Makes the models, the catalogue and the samples of this example again: half a minute, after
# `make release`. On a machine with the same instructions (oneDNN and ONNX Runtime choose their kernels
# by them) models, thresholds and qualities come out the same, byte by byte: seeds are fixed and one
# thread learns. Times in models/catalogue.yaml are measured, so they differ.
set -eu
cd "$(dirname "$0")/../.."
nets=examples/01-first-run
build=${BUILD:-build/release} # where estran is
out=${OUT:-out/first-run}     # for samples, pages, records
into=${INTO:-$nets}           # for what the scenario reads
estran=$build/estran

"$build/examples/vibration" "$out"
learn="--data $out/train.npy --labels $out/train-labels.npy"
tune="--tune $out/tune.npy --tune-labels $out/tune-labels.npy"
test="--test $out/test.npy --test-labels $out/test-labels.npy"

# A net of 26 thousand parameters learns from 6000 samples.
"$estran" train $nets/large.yaml $learn $test --epochs 15 --threads 1 --output "$out/large.onnx"

# From it: two students, 8-bit integers, early exits, two halves with 64 bytes between. --all: the
# 8-bit model stands in the catalogue also where it is not faster; the plan sees that by itself.
"$estran" compress "$out/large.onnx" $learn $tune $test --task condition --output "$out/models" --all \
    --recipe tiny=distil:student=$nets/tiny.yaml,epochs=15,threads=1 \
    --recipe small=distil:student=$nets/small.yaml,epochs=15,threads=1 \
    --recipe quantise:reduce=yes \
    --recipe exits:epochs=6,threads=1 \
    --recipe bottleneck:distil_epochs=3,epochs=5,trial=1000,threads=1

# The small one answers when it is sure, a large one sees the rest: at least 95 % right, certified on
# samples that nothing has learnt from.
for last in large large-int8; do
    "$estran" calibrate "$out/models/small.onnx" "$out/models/$last.onnx" --data "$out/tune.npy" \
        --labels "$out/tune-labels.npy" --fit-share 0.1 --target 0.95 --task condition \
        --catalogue "$out/models/small+$last.yaml"
done

mkdir -p "$into/models"
cp "$out"/models/*.onnx "$out"/models/*.yaml "$into/models/"
cp "$out/samples.f32" "$out/labels.u8" "$into/"
