"""Segment the videos of a benchmark split; score the masks, or pack them for the benchmark's server.

python eval.py --help
"""

from aot_jax.commands import run_eval

if __name__ == "__main__":
    run_eval()
