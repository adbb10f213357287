"""The authors' PyTorch code: find it, import it beside ours, build its engine.

Their code is a wheel (`pip download --no-deps deaotpy`, then unpack it) or a checkout of their repository. Only its
public entry points are used (`configs.default`, `networks.models.build_vos_model`, `networks.engines.build_engine`), as
its own evaluation and training call them; weights are random, in float32. It needs a CUDA extension,
`spatial_correlation_sampler`; if that is not installed, `stand_in` replaces it, and the results say so.
"""

import contextlib
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from bench.measure import BenchError, one_line

SAMPLER = "spatial_correlation_sampler"
PACKAGES = ("aot", "configs", "networks", "utils", "dataloaders", SAMPLER)  # top-level, some shared with ours
ENTRIES = ("configs/default.py", "networks/models/__init__.py", "networks/engines/__init__.py")
NEVER = 9999  # gap that means "the reference only" in their code
# Names of our configs in their code, where they differ.
NAMES = {
    "aotl_r50": "r50_aotl",
    "aotl_swinb": "swinb_aotl",
    "aotv2l_r50": "r50_aotv2l",
    "aotv2l_swinb": "swinb_aotv2l",
    "aost_r50": "r50_aost",
    "aost_swinb": "swinb_aost",
    "aost_shared": "aost_share",
    "deaotl_r50": "r50_deaotl",
    "deaotl_swinb": "swinb_deaotl",
}


class Peer(NamedTuple):
    """The authors' engine around one of their networks, ready to run."""

    engine: Any
    device: Any
    torch: ModuleType
    how: dict[str, object]  # version, device, threads and form of local attention

    def tensor(self, x: np.ndarray) -> Any:
        """Copy an array to the device."""
        return self.torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def now(self) -> float:
        """Return the time after all queued work has finished."""
        if self.torch.cuda.is_available():
            self.torch.cuda.synchronize()
        return time.perf_counter()


@contextlib.contextmanager
def opened(path: Path, config: ConfigDict, depth: int, phase: str, gap: int, **options: Any) -> Iterator[Peer]:
    """Build the authors' engine for one of our configs; inside the context their packages can be imported.

    Raises:
        BenchError: if the code or PyTorch is missing, or, in one line, for any error of the code, also in the context.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise BenchError(f"--peer needs PyTorch ({error}): pip install torch torchvision") from None
    root, prefix = find_code(path)
    name = NAMES.get(config.name, config.name)
    if not (root / prefix.replace(".", "/") / "configs" / "models" / f"{name}.py").is_file():
        raise BenchError(
            f"{path} has no configs/models/{name}.py, its network for {config.name}: is it another branch?"
        )
    try:
        with importable(root, prefix, torch) as (load, stands_in):
            peer = load("configs.default").DefaultEngineConfig("bench", name)
            peer.MODEL_LSTT_NUM = depth
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            model = load("networks.models").build_vos_model(peer.MODEL_VOS, peer).to(device)
            options = {"aot_model": model, "gpu_id": 0, "long_term_mem_gap": gap or NEVER, **options}
            engine = load("networks.engines").build_engine(peer.MODEL_ENGINE, phase=phase, **options)
            samples = any(hasattr(module, "correlation_sampler") for module in model.modules())
            extension = f"bench/authors.py's stand-in for {SAMPLER}" if stands_in else "its CUDA extension"
            how = {
                "torch": torch.__version__,
                "device": str(device),
                "threads": torch.get_num_threads(),
                "local_attention": extension if samples else "its own fallback",
            }
            yield Peer(engine, device, torch, how)
    except BenchError:
        raise
    except Exception as error:  # their code and its dependencies may raise anything
        raise BenchError(f"{path}: the authors' {name} fails: {one_line(error)}") from error


def find_code(path: Path) -> tuple[Path, str]:
    """Return the folder to import the authors' code from, and the prefix of its packages' names.

    Args:
        path: a checkout, a folder that holds the package `aot` (an unpacked wheel), that package, or the name under
            which it is installed.

    Raises:
        BenchError: if it is none of these.
    """
    if not path.exists() and str(path).isidentifier() and (spec := importlib.util.find_spec(str(path))) is not None:
        path = Path(spec.origin or ".").parent
    roots = {path: "", path / "aot": "aot."}
    if path.name == "aot":
        roots = {path: "aot."}
    for folder, prefix in roots.items():
        if all((folder / entry).is_file() for entry in ENTRIES):
            return (folder.parent if prefix else folder), prefix
    missing = next(entry for entry in ENTRIES if not (path / entry).is_file())
    raise BenchError(f"{path} is not the authors' code, neither a checkout nor an unpacked wheel: it has no {missing}")


@contextlib.contextmanager
def importable(root: Path, prefix: str, torch: ModuleType) -> Iterator[tuple[Callable[[str], Any], bool]]:
    """Make the authors' packages importable inside the context, instead of ours of the same names.

    Yields:
        A function that imports one of their modules, and whether `stand_in` replaces the CUDA extension.
    """

    def take_out() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in PACKAGES}

    stands_in = importlib.util.find_spec(SAMPLER) is None
    ours, places = take_out(), sys.path[:]
    # Remove our packages from the path: one with an __init__.py wins over one without, whatever the order of the path.
    # The wheel imports some of its own modules without the prefix, as the checkout does.
    theirs = [str(root.resolve()), *([str((root / prefix[:-1]).resolve())] if prefix else [])]
    sys.path[:] = [*theirs, *(p for p in places if not Path(p, "configs", "common.py").is_file())]
    if stands_in:
        sys.modules[SAMPLER] = stand_in(torch)
    importlib.invalidate_caches()
    try:
        yield (lambda name: importlib.import_module(prefix + name)), stands_in
    finally:
        sys.path[:] = places
        take_out()
        sys.modules.update(ours)


def stand_in(torch: ModuleType) -> ModuleType:
    """Make a module like the CUDA extension: each cell's dot products with a window of another feature map."""

    class SpatialCorrelationSampler(torch.nn.Module):
        def __init__(self, patch_size: int, dilation_patch: int = 1, **_: Any) -> None:
            super().__init__()
            self.side, self.dilation = patch_size, dilation_patch

        def forward(self, x: Any, y: Any) -> Any:
            batch, channels, height, width = x.shape
            padding = self.side // 2 * self.dilation
            y = torch.nn.functional.unfold(y, self.side, dilation=self.dilation, padding=padding)
            y = y.view(batch, channels, self.side, self.side, height, width)
            return (x[:, :, None, None] * y).sum(dim=1)

    module = ModuleType(SAMPLER)
    module.SpatialCorrelationSampler = SpatialCorrelationSampler
    return module
