"""Save and load a network's parameters: an orbax checkpoint with a small JSON beside it. Nothing is ever unpickled.

DIR/params/      orbax, the parameters
DIR/model.json   config, and where the weights came from
"""

import functools
import json
import logging
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from aot_jax.config import fields, load_config, make_model
from aot_jax.models.aot import AOT
from aot_jax.propagate import init_params, param_shapes
from aot_jax.typing import Params

logging.getLogger("absl").setLevel(logging.WARNING)  # orbax tells of every file otherwise

# Fields of config.model that do not change what the parameters mean.
FREE_FIELDS = {"bank_gain", "shortcut_gain", "locality", "drop_path", "encoder_drop_path", "local_attention"}
MAX_NAMES = 5  # of parameters that one error lists


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read, or used with a config."""


@dataclass(frozen=True)
class Model:
    """A network with its parameters, as `load_model` returns it."""

    module: AOT
    params: Params
    config: ConfigDict

    @functools.cached_property
    def checksum(self) -> str:
        """Return a checksum of the parameters, by which a saved state knows its network."""
        crc = 0
        for leaf in jax.tree.leaves(self.params):
            crc = zlib.crc32(np.asarray(leaf).tobytes(), crc)
        return f"{crc:08x}"


def default_path(config: ConfigDict) -> Path:
    """Return where the checkpoint of a config is written, and looked for first, when nothing else is said."""
    return Path("checkpoints") / config.name


def default_checkpoint(config: ConfigDict) -> Path:
    """Return the checkpoint of a config to use when none is named: the default one, else that of a training run.

    Raises:
        CheckpointError: if there is neither; it says how to get one.
    """
    run = Path(config.train.output) / config.name
    for path in (default_path(config), run):
        try:
            return find_params(path)
        except CheckpointError:
            continue
    raise CheckpointError(
        f"no checkpoint at {default_path(config)} or {run}. Train one (python train.py --config "
        f"configs/{config.name}.py), convert the authors' (python -m aot_jax.convert FILE.pth --config "
        f"configs/{config.name}.py), name another with --checkpoint, or try things out with --random_weights"
    )


def find_params(path: str | Path) -> Path:
    """Return the folder of parameters that `path` names: itself, or a training run's final or else best weights.

    Raises:
        CheckpointError: if there are none.
    """
    path = Path(path)
    for folder in (path, path / "weights", path / "best"):
        if (folder / "model.json").is_file():
            return folder
    raise CheckpointError(
        f"no checkpoint at {path}: neither it nor its folders weights/ and best/, which a training run writes, "
        "hold params/ and model.json; name a folder that train.py or python -m aot_jax.convert wrote"
    )


def save_params(
    path: str | Path,
    params: Params,
    config: ConfigDict,
    source: dict[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Write parameters to the folder `path`, whole or not at all.

    Args:
        path: a folder that does not exist yet, or an empty one.
        params: nested dicts of arrays.
        config: of the network.
        source: where the weights came from, kept in the JSON.
        replace: take the place of a checkpoint that is there already.

    Raises:
        CheckpointError: if the folder holds something, or cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and not replace and (not path.is_dir() or any(path.iterdir())):
        raise CheckpointError(f"{path} exists already: choose another folder, or delete it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}; make room, or name another folder"
        ) from error
    try:
        # This process alone writes, whether or not there are others.
        own = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"params{own}"
        )
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            checkpointer.save(temporary / "params", jax.device_get(params))
        description = {"config": json.loads(config.to_json_best_effort()), "source": source}
        (temporary / "model.json").write_text(json.dumps(description, indent=2) + "\n")
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            path.rename(temporary / "replaced")
        temporary.rename(path)
        shutil.rmtree(path / "replaced", ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}; make room, or name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_params(path: str | Path, config: ConfigDict) -> Params:
    """Read the parameters of a config's network.

    Raises:
        CheckpointError: if there is no checkpoint at `path`, it cannot be read, or it belongs to another network.
    """
    path = find_params(path).absolute()
    try:
        description = json.loads((path / "model.json").read_text())
        saved = dict(description["config"]["model"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path / 'model.json'} is not readable: {error!r}; copy the checkpoint again, or name another"
        ) from error
    own = {name: value for name, value in fields(config.model).items() if name not in FREE_FIELDS}
    different = [
        f"  model.{name}: {saved.get(name)!r} in the checkpoint, {value!r} in the config"
        for name, value in own.items()
        if saved.get(name) != value
    ]
    if different:
        raise CheckpointError(
            f"{path} holds weights of {description['config'].get('name')}, another network than {config.name}:\n"
            + "\n".join(different)
            + "\nuse the config that fits it, or another checkpoint"
        )
    target = param_shapes(make_model(config))
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), target)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            # Compared first, since orbax breaks off in the middle of reading a tensor of another shape.
            _check_shapes(path, checkpointer.metadata(path / "params").item_metadata.tree, target)
            return checkpointer.restore(path / "params", target)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read: {error}; copy it again, or name another"
        ) from error


def _check_shapes(path: Path, stored: dict[str, Any], target: Params) -> None:
    have, want = flatten_dict(stored, sep="/"), flatten_dict(target, sep="/")
    wrong = [name for name in want if name not in have or tuple(have[name].shape) != want[name].shape]
    if wrong:
        more = f" and {len(wrong) - MAX_NAMES} more" if len(wrong) > MAX_NAMES else ""
        raise CheckpointError(
            f"the checkpoint {path} lacks, or has in another shape: {', '.join(wrong[:MAX_NAMES])}{more}; "
            "it was written by another version, or its copy is not whole: convert or train it again"
        )


def load_model(
    config: ConfigDict | str | Path,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> Model:
    """Build a network and load its parameters, or draw them.

    Args:
        config: a config, a config file or the name of one in `configs/`.
        checkpoint: folder of a checkpoint; None draws parameters from `seed`.
        seed: of drawn parameters.
        dtype: of the arithmetic, float32 or bfloat16; None: `config.inference.dtype`.

    Raises:
        ConfigError: for a config that names no network.
        CheckpointError: for a checkpoint that is missing, unreadable or of another network.

    Example:
        >>> from aot_jax import load_model
        >>> model = load_model("quickstart")  # random weights
        >>> model.config.model.depth, model.params["identity_bank"]["kernel"].shape
        (3, (16, 16, 6, 96))
        >>> load_model("aost_r50", "checkpoints/nothing")
        Traceback (most recent call last):
        aot_jax.checkpoint.CheckpointError: no checkpoint at checkpoints/nothing: ...
    """
    if not isinstance(config, ConfigDict):
        config = load_config(config)
    module = make_model(config, dtype)
    params = init_params(module, seed) if checkpoint is None else load_params(checkpoint, config)
    return Model(module, params, config)
