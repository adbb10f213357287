"""Load and list config files; apply overrides, refuse unknown fields and invalid values."""

import ast
import difflib
import inspect
import runpy
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from aot_jax.errors import ReportedError
from aot_jax.models.aot import BLOCKS
from aot_jax.models.encoders import ENCODERS
from aot_jax.ops.local_attention import FORMS
from aot_jax.preprocess import inference_size

_HERE = Path(__file__).resolve().parent
# Folder of the configs: inside an installed package, beside the package in the repository.
CONFIGS = _HERE / "configs" / "files" if (_HERE / "configs" / "files").is_dir() else _HERE.parent / "configs"


class ConfigError(ReportedError):
    """A config or an override that cannot be used."""


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ConfigDict:
    """Load a config.

    Args:
        path: a config file such as `configs/aost_r50.py`; a bare name (`aost_r50`) means one of `configs/`. Either
            may end in a stage, the argument of `get_config`: `configs/aost_r50.py:pretrain`.
        overrides: strings `field=value`, as in `model.depth=2`.

    Raises:
        ConfigError: if the file, its stage or a field does not exist, or a value does not fit its field.

    Example:
        >>> config = load_config("aost", ["model.depth=2", "data.root=/data/vos"])
        >>> config.model.encoder, config.model.depth, config.data.root
        ('mobilenet_v2', 2, '/data/vos')
        >>> load_config("aost", ["model.dept=2"])
        Traceback (most recent call last):
        aot_jax.config.ConfigError: the config has no field 'model.dept'; near names: model.depth, ...
    """
    path, stage = _find(str(path))
    get_config = _get_config(path)
    if stage and not inspect.signature(get_config).parameters:
        raise ConfigError(f"{path} has one stage: its get_config() takes no argument; leave :{stage} out")
    try:
        config = get_config(stage) if stage else get_config()
    except ValueError as error:  # unknown stage
        raise ConfigError(f"{path}: {error}") from None
    return override(config, overrides).lock()


def config_names() -> list[str]:
    """List the names of the configs in `configs/`."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem not in ("__init__", "common"))


def has_stages(name: str) -> bool:
    """Tell whether a config has a first stage of training, `NAME:pretrain`."""
    return bool(inspect.signature(_get_config(_find(name)[0])).parameters)


def _find(given: str) -> tuple[Path, str]:
    """Return the file and the stage that `given` names; the stage is empty where it names none."""
    path, _, stage = given.rpartition(":") if ":" in given and not Path(given).is_file() else (given, "", "")
    # "configs/NAME.py" means the shipped file, whatever the working directory.
    shipped = CONFIGS / Path(path).name if Path(path).parent == Path("configs") else CONFIGS.parent / path
    for file in (Path(path), Path("configs") / f"{path}.py", CONFIGS / f"{path}.py", shipped):
        if file.suffix == ".py" and file.is_file():
            return file, stage
    stem, names = Path(path).stem, config_names()
    near = difflib.get_close_matches(stem, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"no config at {given}: {hint}configs/ holds {', '.join(names) or 'none'}")


def _get_config(path: Path) -> Any:
    """Run a config file and return its function `get_config`."""
    get_config = runpy.run_path(str(path)).get("get_config")
    if get_config is None:
        raise ConfigError(f"{path} is not a config: it defines no get_config(); configs/aotb.py shows a short one")
    return get_config


def override(config: ConfigDict, overrides: Iterable[str]) -> ConfigDict:
    """Set fields of a config from strings `field=value`, parsed to the field's type; returns the config.

    Raises:
        ConfigError: if a field does not exist, or a value does not fit it.
    """
    for text in overrides:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"override {text!r} has no value; write {name}=VALUE")
        _set(config, name, value)
    return config


def fields(config: ConfigDict) -> dict[str, Any]:
    """Flatten a config into dotted names.

    Example:
        >>> fields(ConfigDict({"model": {"depth": 3}, "seed": 0}))
        {'model.depth': 3, 'seed': 0}
    """
    flat: dict[str, Any] = flatten_dict(config.to_dict(), sep=".")
    return flat


def check_model(model: ConfigDict) -> None:
    """Raise ConfigError if a field of `config.model` has an invalid value."""
    choices: dict[str, Collection[str]] = {"encoder": ENCODERS, "block": BLOCKS, "local_attention": FORMS}
    for name, allowed in choices.items():
        if model[name] not in allowed:
            raise ConfigError(f"model.{name} is {model[name]!r}; it is one of {', '.join(allowed)}")
    if model.window < 1 or model.window % 2 == 0:
        raise ConfigError(f"model.window is {model.window}; it is odd and at least 1")
    if not 0 <= model.short_term_frames <= 3:
        raise ConfigError(f"model.short_term_frames is {model.short_term_frames}; it is 0 .. 3")
    for name in ("depth", "identities"):
        if model[name] < 1:
            raise ConfigError(f"model.{name} is {model[name]}; it is at least 1")
    if model.channels % (2 * model.heads) or model.channels % 32:
        raise ConfigError(
            f"model.channels is {model.channels}; it is a multiple of 32 and of 2 * model.heads, {2 * model.heads}"
        )
    for name, value in (("heads", 1), ("scalable", False)):
        if model.block == "gpm" and model[name] != value:
            raise ConfigError(f"model.{name} is {model[name]}, but block gpm goes with {value} alone")
    if model.share_blocks and not model.scalable:
        raise ConfigError(
            "model.share_blocks=True needs model.scalable=True: set that too, or model.share_blocks=False"
        )


def check_crop(config: ConfigDict) -> None:
    """Raise ConfigError unless `data.crop` is an input size of the network."""
    crop, aligned = config.data.crop, config.model.align_corners
    near, _ = inference_size(crop, crop, align_corners=aligned)
    if crop != near:
        raise ConfigError(
            f"data.crop is {crop}, but with model.align_corners={aligned} the network takes "
            f"{'16 n + 1' if aligned else '16 n'} pixels, such as {near}"
        )


def _set(config: ConfigDict, name: str, text: str) -> None:
    known = fields(config)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
        last = name.rpartition(".")[2]
        near += [field for field in known if field.rpartition(".")[2] == last and field not in near]
        hint = f"; near names: {', '.join(near)}" if near else f"; the fields are {', '.join(known)}"
        raise ConfigError(f"the config has no field {name!r}{hint}")
    *parents, leaf = name.split(".")
    holder = config
    for parent in parents:
        holder = holder[parent]
    old = known[name]
    kind = holder.get_type(leaf)
    try:
        holder[leaf] = _parse(text, kind, old)
    except (ValueError, SyntaxError, TypeError):
        raise ConfigError(f"{name}={text!r} does not fit: the field takes {kind.__name__}, as in {old!r}") from None


def _parse(text: str, kind: type, old: Any) -> Any:
    if kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "1", "yes", "on"):
            return True
        if text.lower() in ("false", "0", "no", "off"):
            return False
        raise ValueError(text)
    if kind is float:
        return float(text)
    try:
        value = ast.literal_eval(text)
    except ValueError:  # a single name needs no quotes in a tuple of names
        if kind is not tuple or not old or not isinstance(old[0], str) or not text.isidentifier():
            raise
        value = text
    if kind is tuple and not isinstance(value, list | tuple):
        value = (value,)
    if kind in (tuple, list):
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(text)
    return value
