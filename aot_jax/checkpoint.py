"""Checkpoints of parameters: a folder written by orbax, or one .safetensors file in float16. Nothing is unpickled.

DIR/params/         orbax, the parameters
DIR/model.json      config, and where the weights came from
RUN/checkpoints/N/  state of a training run after N updates, whose averaged weights are read (aot_jax/training/store.py)
FILE.safetensors    parameters, in float16 where `half` allows it; metadata: config, and their source
FILE.sha256         checksum of that file, checked if present
"""

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from aot_jax.errors import ReportedError
from aot_jax.io.files import atomic_write, write_text
from aot_jax.typing import Params

logging.getLogger("absl").setLevel(logging.WARNING)  # otherwise orbax logs every file

SUFFIX = ".safetensors"
STATE_CONFIG = "config/metadata"  # file in a training run's checkpoint that holds the config, as JSON
KEPT = ("name", "seed", "model", "memory", "inference")  # config sections stored in a .safetensors file
HALF_ERROR = 1e-3  # largest relative error (L2) of an array in float16; rounding alone gives 3e-4
MAX_NAMES = 5  # largest number of parameter names listed in one error


class CheckpointError(ReportedError):
    """A checkpoint that cannot be written, read, or used with a config."""


def find_params(path: str | Path) -> Path:
    """Return the checkpoint at `path`: the file or folder itself, or a training run's final, best or newest weights.

    Raises:
        CheckpointError: if there is none.
    """
    path = Path(path)
    if path.suffix == SUFFIX and path.is_file():
        return path
    for folder in (path, path / "weights", path / "best"):
        if (folder / "model.json").is_file():
            return folder
    # orbax gives a checkpoint that is still being written a longer name, which is not a number.
    steps = sorted(int(folder.name) for folder in path.glob("checkpoints/*") if folder.name.isdecimal())
    for folder in (path, *(path / "checkpoints" / str(step) for step in reversed(steps))):
        if folder.name.isdecimal() and (folder / STATE_CONFIG).is_file():
            return folder
    raise CheckpointError(
        f"no checkpoint at {path}: neither it nor its folders weights/ and best/, which a training run writes, "
        "hold params/ and model.json, and its checkpoints/ holds none that is complete; name a .safetensors file, "
        "or a folder that train.py or python -m aot_jax.convert wrote"
    )


def save_params(
    path: str | Path,
    params: Params,
    config: ConfigDict,
    source: dict[str, Any] | None = None,
    replace: bool = False,
) -> None:
    """Write parameters to the folder `path`, through a temporary folder.

    Args:
        path: a folder that does not exist yet, or an empty one.
        params: nested dicts of arrays.
        config: config of the network.
        source: where the weights came from, stored in model.json.
        replace: replace a checkpoint at `path`.

    Raises:
        CheckpointError: if the folder is not empty (without `replace`) or cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and not replace and (not path.is_dir() or any(path.iterdir())):
        raise CheckpointError(f"{path} exists already: choose another folder, or delete it first")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        # Only this process writes, even in a run of several processes.
        process = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"params{process}"
        )
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            checkpointer.save(temporary / "params", jax.device_get(params))
        description = {"config": json.loads(config.to_json_best_effort()), "source": source}
        (temporary / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        replaced = temporary / "replaced"
        if path.exists():
            path.rename(replaced)
        try:
            temporary.rename(path)
        except OSError:
            if replaced.exists():
                replaced.rename(path)
            raise
        shutil.rmtree(path / "replaced", ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {path}: {error}; free some space, or name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_description(path: Path) -> dict[str, Any]:
    """Read a checkpoint's description, a dict: `config` of its network, and `source`, the origin of the weights.

    Raises:
        CheckpointError: if it is not readable.
    """
    state = (path / STATE_CONFIG).is_file()
    file = path if path.suffix == SUFFIX else path / (STATE_CONFIG if state else "model.json")
    try:
        if file == path:
            with safe_open(path, "numpy") as opened:
                stored = opened.metadata()
            description = {"config": json.loads(stored.pop("config")), "source": stored}
        else:
            description = json.loads(file.read_text(encoding="utf-8"))
            if state:
                description = {"config": description, "source": {"step": int(path.name)}}
        if not isinstance(description["config"]["model"], dict):
            raise TypeError("its config has no model")
        if not isinstance(description["config"].get("name"), str | None):
            raise TypeError("its config has no name")
        return description
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{file} is not readable: {error!r}; copy the checkpoint again, or name another"
        ) from error


def read_params(path: Path, target: Params) -> Params:
    """Read parameters as float32.

    Args:
        path: as `find_params` returns it.
        target: tree of arrays or shapes, as the network has them.

    Raises:
        CheckpointError: if the checkpoint is damaged or has other shapes.
    """
    if path.suffix == SUFFIX:
        return _read_file(path, target)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), target)
    path = path.absolute()
    try:
        if (path / STATE_CONFIG).is_file():
            return _read_average(path, target)
        with ocp.StandardCheckpointer() as checkpointer:
            # Check shapes first: orbax fails midway through a tensor of another shape.
            _check_shapes(path, checkpointer.metadata(path / "params").item_metadata.tree, target)
            return checkpointer.restore(path / "params", target)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"the checkpoint {path} cannot be read: {error}; copy it again, or name another"
        ) from error


def _read_average(path: Path, target: Params) -> Params:
    handlers = ocp.CompositeCheckpointHandler(state=ocp.PyTreeCheckpointHandler(), config=ocp.JsonCheckpointHandler())
    with ocp.Checkpointer(handlers) as checkpointer:
        _check_shapes(path, checkpointer.metadata(path).item_metadata.state.tree["ema"], target)
        item = {"ema": target}
        wanted = ocp.args.PyTreeRestore(
            item, restore_args=ocp.checkpoint_utils.construct_restore_args(item), partial_restore=True
        )
        return checkpointer.restore(path, args=ocp.args.Composite(state=wanted)).state["ema"]


def _read_file(path: Path, target: Params) -> Params:
    data, checksum = path.read_bytes(), path.with_suffix(".sha256")
    try:
        wanted = checksum.read_text(encoding="utf-8").split()[0] if checksum.exists() else ""
        if wanted and hashlib.sha256(data).hexdigest() != wanted:
            raise CheckpointError(f"{path} is damaged: its SHA-256 is not that of {checksum.name}; copy it again")
        stored = load(data)
    except CheckpointError:
        raise
    except (OSError, SafetensorError, ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}; copy it again, or name another") from error
    stored = unflatten_dict(stored, sep="/")
    _check_shapes(path, stored, target)
    return jax.tree.map(lambda leaf, array: jax.device_put(array.astype(leaf.dtype)), target, stored)


def write_file(path: str | Path, params: Params, config: ConfigDict, source: Mapping[str, str]) -> None:
    """Write parameters to a .safetensors file, in float16 where `half` allows it, and its SHA-256 beside it.

    Args:
        path: the file; an existing one is replaced.
        params: nested dicts of arrays.
        config: config of the network; only the sections in `KEPT` are stored, no paths.
        source: origin of the weights (data, licence ...), stored in the file's metadata.

    Raises:
        OSError: if it cannot be written.
    """
    path = Path(path)
    arrays = {name: half(np.asarray(x)) for name, x in flatten_dict(params, sep="/").items()}
    kept = {name: value for name, value in json.loads(config.to_json_best_effort()).items() if name in KEPT}
    data = save(arrays, {"config": json.dumps(kept), **source})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
    write_text(path.with_suffix(".sha256"), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")


def half(x: np.ndarray) -> np.ndarray:
    """Round an array to float16 if the relative error is at most HALF_ERROR; vectors, such as variances, are unchanged.

    Example:
        >>> half(np.ones((2, 2))).dtype, half(np.full((2, 2), 1e-7)).dtype, half(np.full((2, 2), 1e5)).dtype
        (dtype('float16'), dtype('float64'), dtype('float64'))
    """
    with np.errstate(over="ignore"):
        rounded = x.astype(np.float16)
    error = np.linalg.norm(rounded.astype(np.float64) - x)
    return rounded if x.ndim > 1 and error <= HALF_ERROR * np.linalg.norm(x) else x


def _check_shapes(path: Path, stored: dict[str, Any], target: Params) -> None:
    have, want = flatten_dict(stored, sep="/"), flatten_dict(target, sep="/")
    wrong = [name for name in want if name not in have or tuple(have[name].shape) != want[name].shape]
    if wrong:
        more = f" and {len(wrong) - MAX_NAMES} more" if len(wrong) > MAX_NAMES else ""
        raise CheckpointError(
            f"the checkpoint {path} lacks, or has in another shape: {', '.join(wrong[:MAX_NAMES])}{more}; "
            "it was written by another version: convert or train it again; or its copy is not whole: copy it again"
        )
