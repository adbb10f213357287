"""The memory maps of a process, of which Linux allows a limited number."""

import gc
from pathlib import Path

import jax

MAPS = Path("/proc/self/maps")  # a line for each memory map of this process; on Linux alone
LIMIT = Path("/proc/sys/vm/max_map_count")  # file with the largest number of maps, usually 65,530


def free_programs(share: float = 0.5) -> bool:
    """Free JAX's compiled programs if this process has more than `share` of the memory maps that Linux allows.

    On the CPU a compiled program holds hundreds to thousands of maps (the programs for one video size: about 2,000),
    and a process that reaches the limit crashes. Programs that are needed again come from the compilation cache.

    Returns:
        whether they were freed; False where the number of maps is not known.
    """
    try:
        count, limit = MAPS.read_bytes().count(b"\n"), int(LIMIT.read_bytes())
    except OSError:
        return False
    if count <= share * limit:
        return False
    jax.clear_caches()
    gc.collect()
    return True
