"""Join the processes of a run on many hosts."""

import argparse
import os

import jax


def add_distributed_flags(parser: argparse.ArgumentParser) -> None:
    """Add --distributed and the flags for clusters that JAX does not recognise."""
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="join other processes; under Slurm, Open MPI or Kubernetes the rest is found out, and under Slurm with "
        "several tasks even this flag is not needed",
    )
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0, where it is not found out")
    parser.add_argument("--processes", type=int, metavar="N", help="number of processes")
    parser.add_argument("--process", type=int, metavar="I", help="number of this one, from 0")


def initialise(args: argparse.Namespace) -> None:
    """Connect to the other processes if there are any."""
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    if args.distributed or args.coordinator or slurm:
        jax.distributed.initialize(args.coordinator, args.processes, args.process)
