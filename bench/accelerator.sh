#!/usr/bin/env bash
# Runs all measurements on one accelerator in under five minutes: bench/accelerator.sh OUT [--peer PATH] [--seconds N]
# PYTHON names another interpreter. `--tiny` rehearses it on a CPU. See bench/README.md.
set -eu
root=$(dirname "$(realpath "$0")")/..
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m bench.accelerator "$@"
