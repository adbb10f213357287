"""Networks: build from a config, initialise or load parameters, find config and checkpoint."""

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from aot_jax.checkpoint import CheckpointError, find_params, read_description, read_params
from aot_jax.config import CONFIGS, ConfigError, check_model, fields, load_config, override
from aot_jax.io.names import is_plain
from aot_jax.models.aot import AOT
from aot_jax.settings import differences, fields_for
from aot_jax.typing import Array, Params
from aot_jax.weights import SHIPPED

DEFAULT_CONFIG = "configs/aost_r50.py"
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class Model:
    """A network with its parameters, as `load_model` returns it."""

    module: AOT
    params: Params
    config: ConfigDict

    @functools.cached_property
    def checksum(self) -> str:
        """Return the CRC-32 of the parameters; a tracker's saved state must have the same."""
        crc = 0
        for leaf in jax.tree.leaves(self.params):
            crc = zlib.crc32(np.asarray(leaf).tobytes(), crc)
        return f"{crc:08x}"


@dataclass(frozen=True)
class NetworkChoice:
    """The user's choice of a network; `find_network` fills in the fields that are None."""

    config: str | None = None  # file or name
    checkpoint: str | None = None  # folder, run or .safetensors file
    random_weights: bool = False
    overrides: tuple[str, ...] = ()  # overrides of config fields, each "field=value"


@dataclass(frozen=True)
class FoundNetwork:
    """The config and checkpoint of the network to run; `str()` says which, and how they were found."""

    config: ConfigDict
    checkpoint: Path | None  # None: random weights
    why: str  # how they were found

    def load(self, dtype: str | None = None) -> Model:
        """Build the network and load its parameters; see `load_model`."""
        return load_model(self.config, self.checkpoint, self.config.seed, dtype)

    def __str__(self) -> str:
        return f"network: {self.config.name}, {self.checkpoint or 'random weights'} ({self.why})"


def depths_of(config: ConfigDict) -> list[int]:
    """Return the depths (numbers of LSTT layers) that a config's network can run at, ascending."""
    full = config.model.depth
    return list(range(1, full + 1)) if config.model.scalable else [full]


def make_model(config: ConfigDict, dtype: str | None = None) -> AOT:
    """Build the network of a config, computing in `dtype` (default: `config.inference.dtype`).

    Raises:
        ConfigError: for an invalid field or dtype.

    Example:
        >>> model = make_model(load_config("aost"), "bfloat16")
        >>> model.depth(2), model.depth(None)
        (2, 3)
    """
    check_model(config.model)
    dtype = dtype or config.inference.dtype
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}; it is one of {', '.join(DTYPES)}")
    return AOT(config=FrozenConfigDict(config.model), dtype=DTYPES[dtype])


def init_params(model: AOT, seed: int = 0) -> Params:
    """Initialise a network's parameters at random."""
    # Runs once: on the CPU, optimising these hundreds of random draws takes far longer than executing them.
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True} if cpu else None
    return jax.jit(model.init, compiler_options=options)(jax.random.key(seed), *_example(model))["params"]


@functools.lru_cache(maxsize=32)
def param_shapes(model: AOT) -> Params:
    """Return the shapes and types of a network's parameters, without computing any."""
    return jax.eval_shape(model.init, jax.random.key(0), *_example(model))["params"]


def _example(model: AOT) -> tuple[Array, Array]:
    side = 33 if model.config.align_corners else 32
    return jnp.zeros((1, side, side, 3)), jnp.zeros((1, side, side), jnp.int32)


def load_params(path: str | Path, config: ConfigDict) -> Params:
    """Read the float32 parameters of a config's network from a checkpoint.

    Raises:
        CheckpointError: if there is no checkpoint at `path`, it cannot be read, or it belongs to another network.
    """
    path = find_params(path)
    saved = read_description(path)["config"]
    theirs, ours = (fields_for(one, "weights") for one in (saved, config))
    # An older checkpoint may lack fields; then only shapes are checked.
    if different := differences({name: theirs.get(name, value) for name, value in ours.items()}, ours):
        raise CheckpointError(
            f"{path} holds weights of {saved.get('name')}, another network than {config.name}:\n  "
            + "\n  ".join(different)
            + "\nuse the config that fits it, or another checkpoint"
        )
    return read_params(path, param_shapes(make_model(config)))


def load_model(
    config: ConfigDict | str | Path | None = None,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> Model:
    """Build a network and load or initialise its parameters; without arguments, the network that ships.

    Args:
        config: a config, a config file or the name of one in `configs/`; None: the checkpoint's own.
        checkpoint: a folder or a .safetensors file; None: random parameters, or, without a config, the weights that
            ship.
        seed: seed of random parameters.
        dtype: dtype of the computation, float32 or bfloat16; None: `config.inference.dtype`.

    Raises:
        ConfigError: for an invalid config.
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
    if config is None:
        if checkpoint is None and not SHIPPED.is_file():
            raise CheckpointError(f"no weights ship with this version ({SHIPPED}): name a config or a checkpoint")
        checkpoint = find_params(checkpoint or SHIPPED)
        config = config_of(checkpoint)
    elif not isinstance(config, ConfigDict):
        config = load_config(config)
    module = make_model(config, dtype)
    params = init_params(module, seed) if checkpoint is None else load_params(checkpoint, config)
    return Model(module, params, config)


def default_path(config: ConfigDict) -> Path:
    """Return the default folder of a config's checkpoint."""
    return Path("checkpoints") / config.name


def find_network(choice: NetworkChoice, default: str = DEFAULT_CONFIG) -> FoundNetwork:
    """Find the config and checkpoint to run: from a checkpoint its config, from a config its checkpoint.

    If neither is given, take a checkpoint in a default folder of the config `default`, else the weights that ship.

    Raises:
        ConfigError, CheckpointError: if there is none; the message says what to do.
    """
    if choice.checkpoint:
        checkpoint = find_params(choice.checkpoint)
        if choice.config:
            found = FoundNetwork(load_config(choice.config, choice.overrides), checkpoint, "--config and --checkpoint")
        else:
            found = FoundNetwork(config_of(checkpoint, choice.overrides), checkpoint, "--checkpoint")
        return replace(found, checkpoint=None, why="--random_weights") if choice.random_weights else found
    config = load_config(choice.config or default, choice.overrides)
    if choice.random_weights:
        return FoundNetwork(config, None, "--random_weights")
    places = (default_path(config), Path(config.train.output) / config.name)
    for place in places:
        try:
            return FoundNetwork(config, find_params(place), f"found at {place}, the place of its config")
        except CheckpointError:
            continue
    nothing = f"no checkpoint at {places[0]} or {places[1]}"
    if not choice.config and SHIPPED.is_file():
        return FoundNetwork(config_of(SHIPPED, choice.overrides), SHIPPED, f"it ships; {nothing}")
    given = choice.config or default
    raise CheckpointError(
        f"{nothing}{'' if choice.config else ', and no weights ship with this version'}. Train one (python train.py "
        f"--config {given}), convert the authors' (python -m aot_jax.convert FILE.pth --config {given}), name another "
        "with --checkpoint, or try things out with --random_weights"
    )


def config_of(checkpoint: Path, overrides: Sequence[str] = ()) -> ConfigDict:
    """Return the config of a checkpoint's network.

    The stored config is read as data: its name selects one of this project's configs and is never run as a file.

    Raises:
        CheckpointError: if its description is not readable.
        ConfigError: if a stored value is invalid.
    """
    saved = read_description(checkpoint)["config"]
    name = saved["name"] if is_plain(saved.get("name") or "") else "unnamed"
    file = CONFIGS / f"{name}.py"
    config = load_config(file if file.is_file() else CONFIGS / "common.py")
    try:
        theirs = fields_for(saved, "network")
        stored = [
            f"{field}={theirs[field]}"
            for field, value in fields(config).items()
            if field in theirs and theirs[field] != value
        ]
        return override(config, [f"name={name}", *stored, *overrides])
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            f"{checkpoint}: its config is not readable: {error!r}; copy the checkpoint again, or name its --config"
        ) from error
