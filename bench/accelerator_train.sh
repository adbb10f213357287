#!/usr/bin/env bash
# Trains the weights that ship further on one accelerator: bench/accelerator_train.sh OUT DATA [flags of train.py]
# LIMIT: seconds until it is stopped (480). EVERY: seconds between copies of the averaged weights to OUT/NUMBER, each in
# float16 and in pieces of at most 15 MiB; the copy before is removed (60). PYTHON names another interpreter. See
# bench/README.md.
set -eu
mkdir -p "$1"
out=$(realpath "$1") data=$(realpath "$2") limit=${LIMIT:-480} python=${PYTHON:-python} copy=0 code=0
shift 2
cd "$(dirname "$(realpath "$0")")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

keep() {
  weights=$scratch/$copy/weights.safetensors
  mkdir -p "$scratch/$copy"
  JAX_PLATFORMS=cpu "$python" -m aot_jax.weights export "$scratch"/runs/* --output "$weights" \
    --data "as configs/shipped.py" --licence "as docs/weights.md" || return 0 # there is no checkpoint yet
  split -b 15M -d "$weights" "$weights." && rm "$weights"
  mv "$scratch/$copy" "$out/$((copy += 1))"
  rm -rf "${out:?}/$((copy - 1))"
  cp "$scratch"/runs/*/figures.jsonl "$out"
}

timeout -k 60 "$limit" "$python" train.py --config configs/shipped.py:longer --config.data.root="$data" \
  --config.init_from=aot_jax/weights/aost.safetensors --config.train.output="$scratch/runs" \
  --config.train.batch_size=16 --config.data.crop=177 --config.data.short_edge=176 "$@" > "$out/log.txt" 2>&1 &
training=$!
until timeout "${EVERY:-60}" tail --pid="$training" -f /dev/null; do
  keep >> "$out/log.txt" 2>&1
done
wait "$training" || code=$?
keep >> "$out/log.txt" 2>&1
tail -n 3 "$out/log.txt"
[ "$code" != 124 ] || { code=0 && echo "stopped after $limit s"; }
exit "$code"
