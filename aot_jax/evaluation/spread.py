"""Spread the videos of a split over hosts, and a network over this host's devices."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from aot_jax.evaluation import splits
from aot_jax.network import Model


def share(sequences: Sequence[splits.Sequence], host: int, hosts: int) -> list[splits.Sequence]:
    """Return one host's videos, in the split's order: the longest goes first, to the host with the fewest frames."""
    load = [0] * hosts
    own = set()
    for sequence in sorted(sequences, key=lambda sequence: (-len(sequence.frames), sequence.name)):
        least = load.index(min(load))
        load[least] += len(sequence.frames)
        if least == host:
            own.add(sequence.name)
    return [sequence for sequence in sequences if sequence.name in own]


def on_devices(model: Model, videos: int, devices: int | None = None) -> list[Model]:
    """Copy a network to this host's devices, or to as many as there are videos.

    Args:
        model: the network.
        videos: that this host runs over.
        devices: at most so many; None: all.
    """
    chosen = jax.local_devices()[: max(1, min(videos, devices or videos))]
    return [Model(model.module, jax.device_put(model.params, device), model.config) for device in chosen]


def any_failed(failed: bool) -> bool:
    """Tell whether some host has failed. All hosts call this and wait for each other."""
    if jax.process_count() == 1:
        return failed
    return bool(multihost_utils.process_allgather(np.array(failed)).any())
