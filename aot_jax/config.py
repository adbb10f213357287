"""Load and list config files; apply overrides, refuse unknown fields."""

import ast
import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from aot_jax.errors import ReportedError

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
    if Path(path).parent.name == "pretrain" and stem in names:  # path of a first stage in earlier versions
        print(f"note: {given} is {stem}:pretrain now", file=sys.stderr)
        return CONFIGS / f"{stem}.py", "pretrain"
    near = difflib.get_close_matches(stem, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"no config at {given}: {hint}configs/ holds {', '.join(names) or 'none'}")


def _get_config(path: Path) -> Any:
    """Run a config file and return its function `get_config`."""
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    assert spec, f"{path} ends in .py"
    assert spec.loader, f"{path} ends in .py"
    module = importlib.util.module_from_spec(spec)
    others = {name for name in sys.modules if name.partition(".")[0] == "configs"}  # the program's own modules
    if not others:  # a config file's `import configs` means a folder above it, else the shipped one
        package = ModuleType("configs")
        folders = (parent / "configs" for parent in path.resolve().parents)
        package.__path__ = [str(next((folder for folder in folders if (folder / "common.py").is_file()), CONFIGS))]
        sys.modules["configs"] = package
    try:
        spec.loader.exec_module(module)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "configs" and name not in others]:
            del sys.modules[name]
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{path} is not a config: it defines no get_config(); configs/aotb.py shows a short one")
    return module.get_config


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
