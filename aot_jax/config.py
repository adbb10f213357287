"""Load a config file, apply overrides, refuse unknown fields; build the network that it describes."""

import argparse
import ast
import difflib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict
from ml_collections.config_dict import FieldReference

from aot_jax.models.aot import AOT
from aot_jax.models.encoders import ENCODERS
from aot_jax.models.lstt import BLOCKS
from aot_jax.ops.local_attention import FORMS
from aot_jax.preprocess import inference_size

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class ConfigError(ValueError):
    """A config, or an override of one of its fields, that cannot be used."""


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ConfigDict:
    """Load a config.

    Args:
        path: a config file such as `configs/aost_r50.py`; a bare name (`aost_r50`) means one of `configs/`.
        overrides: strings `field=value`, as in `model.depth=2`.

    Raises:
        ConfigError: if the file or a field does not exist, or a value does not fit its field.

    Example:
        >>> config = load_config("aost", ["model.depth=2", "data.root=/data/vos"])
        >>> config.model.encoder, config.model.depth, config.data.root
        ('mobilenet_v2', 2, '/data/vos')
        >>> load_config("aost", ["model.dept=2"])
        Traceback (most recent call last):
        aot_jax.config.ConfigError: the config has no field 'model.dept'; near names: model.depth, ...
    """
    path = _find(path)
    parents = path.resolve().parents
    root = str(next((p for p in parents if (p / "configs" / "common.py").is_file()), parents[1]))
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    assert spec, f"{path} ends in .py"
    assert spec.loader, f"{path} ends in .py"
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, root)  # variants import `configs.common`
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(root)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{path} is not a config: it defines no get_config(); configs/aotb.py shows a short one")
    config = module.get_config()
    for override in overrides:
        name, separator, value = override.partition("=")
        if not separator:
            raise ConfigError(f"override {override!r} has no value; write {name}=VALUE")
        _set(config, name, value)
    check_model(config.model)
    return config.lock()


def config_names() -> list[str]:
    """List the configs of `configs/`, by name. Those of the paper have a first stage in `configs/pretrain/`."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem not in ("__init__", "common"))


def _find(path: str | Path) -> Path:
    given = Path(path)
    for candidate in (given, Path("configs") / f"{path}.py", CONFIGS / f"{path}.py", CONFIGS.parent / given):
        if candidate.suffix == ".py" and candidate.is_file():
            return candidate
    names = config_names()
    near = difflib.get_close_matches(given.stem, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"no config at {path}: {hint}configs/ holds {', '.join(names) or 'none'}")


def fields(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Flatten a config into dotted names.

    Example:
        >>> fields(ConfigDict({"model": {"depth": 3}, "seed": 0}))
        {'model.depth': 3, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for name in config:
        value = config.get_ref(name).get() if isinstance(config.get(name), FieldReference) else config[name]
        flat |= fields(value, f"{prefix}{name}.") if isinstance(value, ConfigDict) else {f"{prefix}{name}": value}
    return flat


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
    value = ast.literal_eval(text)
    if kind is tuple and not isinstance(value, list | tuple):
        value = (value,)
    if kind in (tuple, list):
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(text)
    return value


def check_model(model: ConfigDict) -> None:
    """Raise ConfigError for a field of `config.model` with a value that no network has."""
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
    if model.share_blocks and not model.scalable:
        raise ConfigError("model.share_blocks needs model.scalable=True; set both, or neither")


def check_crop(config: ConfigDict) -> None:
    """Raise ConfigError unless the network takes clips of the size that `config.data` makes."""
    crop, aligned = config.data.crop, config.model.align_corners
    near, _ = inference_size(crop, crop, align_corners=aligned)
    if crop != near:
        raise ConfigError(
            f"data.crop is {crop}, but with model.align_corners={aligned} the network takes "
            f"{'16 n + 1' if aligned else '16 n'} pixels, such as {near}"
        )


def make_model(config: ConfigDict, dtype: str | None = None) -> AOT:
    """Build the network of a config, with arithmetic in `dtype` (default: `config.inference.dtype`).

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


def add_config_flags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--config FILE` to a command; `parse_args` below also takes `--config.FIELD=VALUE`."""
    parser.add_argument(
        "--config",
        default=default,
        metavar="FILE",
        help="config of network, data and training: a Python file, which is run, or a name that python -m "
        "aot_jax.configs lists (default: %(default)s); --config.FIELD=VALUE overrides one of its fields, as in "
        "--config.model.depth=2",
    )


def parse_args(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line, taking `--config.FIELD=VALUE` (or `--config.FIELD VALUE`) apart as overrides."""
    argv = list(sys.argv[1:] if argv is None else argv)
    rest, overrides = [], []
    while argv:
        argument = argv.pop(0)
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        name = argument.removeprefix("--config.")
        if "=" not in name:
            if not argv:
                parser.error(f"{argument} has no value")
            name = f"{name}={argv.pop(0)}"
        overrides.append(name)
    return parser.parse_args(rest), overrides
