"""The CPU cores that a process may use."""

import os


def available_cores() -> int:
    """Return the number of cores that this process may use: those of its affinity mask, as Slurm and taskset set it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
