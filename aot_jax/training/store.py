"""A run's checkpoints: saved in the background, pruned by age, restored.

    RUN/checkpoints/STEP/state    orbax: step, parameters, optimizer, average, counters
    RUN/checkpoints/STEP/config   JSON

A checkpoint that a killed process left unfinished has another name and is never restored.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from aot_jax.checkpoint import CheckpointError
from aot_jax.settings import differences, fields_for
from aot_jax.training.state import TrainState


class Store:
    """Context manager of a run's checkpoints; leaving it waits for the last save."""

    def __init__(self, run: Path, config: ConfigDict) -> None:
        train = config.train
        self._config = json.loads(config.to_json_best_effort())
        self._folder = run / "checkpoints"
        options = ocp.CheckpointManagerOptions(
            max_to_keep=train.keep_checkpoints, keep_period=train.keep_every or None, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(self._folder.absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """Return the step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Save in the background; device arrays are copied before this returns. All processes call it, 0 writes."""
        step = int(state.step)
        if step == self.latest:
            return
        if jax.process_count() > 1:
            state = jax.device_get(state)  # orbax rejects arrays that are replicated across processes
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), config=ocp.args.JsonSave(self._config))
        self._guarded(lambda: self._manager.save(step, args=items))

    def wait(self) -> None:
        """Wait until everything is on disk."""
        self._guarded(self._manager.wait_until_finished)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (OSError, ValueError) as error:  # tensorstore reports a full disk as a ValueError
            logging.getLogger("asyncio").disabled = True  # it would repeat the reason for every tensor
            reason = str(error).splitlines()[0]
            raise CheckpointError(
                f"cannot save to {self._folder}: {reason}. Earlier checkpoints are intact: free some space and give "
                "the same command to continue from the newest"
            ) from error

    def restore(self, like: TrainState, allow_change: bool = False) -> TrainState:
        """Read the newest complete checkpoint.

        Args:
            like: a state of the same shapes, or shapes alone.
            allow_change: take it even if the run had another config.

        Raises:
            CheckpointError: if the configs differ, listing how, or no checkpoint can be read.
        """
        step = self.latest
        try:
            saved = self._manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))["config"]
            old, new = (fields_for(config, "training") for config in (saved, self._config))
            different = [] if allow_change else differences(old, new)
            if different:
                raise CheckpointError(
                    f"{self._folder} holds a run with another config:\n  "
                    + "\n  ".join(different)
                    + "\ngive the old values, another --config.name or --config.train.output, or --allow_config_change"
                )
            target = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
            saved = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
            return jax.device_put(saved["state"])
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {self._folder / str(step)} cannot be read: {error}. If it is damaged, move it out of "
                f"{self._folder} to go on from the one before"
            ) from error

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            self._guarded(self._manager.close)
        except CheckpointError:
            if kind is None:  # else show the first error
                raise
