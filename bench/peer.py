"""Time the authors' PyTorch code, if a checkout of it is at hand, in the order in which this project works.

Only its public entry points are used (`configs.default`, `networks.models.build_vos_model`,
`networks.engines.build_engine`), as its own evaluation and training call them; its weights are drawn, in float32.
"""

import contextlib
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from aot_jax.typing import Size
from bench.measure import Rulers

PACKAGES = ("configs", "networks", "utils", "dataloaders")  # top-level names of the checkout; some are ours, too
NEVER = 9999  # its gap for "the reference only"
# Its name of each config.
NAMES = {
    "aotl_r50": "r50_aotl",
    "aotl_swinb": "swinb_aotl",
    "aotv2l_r50": "r50_aotv2l",
    "aotv2l_swinb": "swinb_aotv2l",
    "aost_r50": "r50_aost",
    "aost_swinb": "swinb_aost",
    "aost_shared": "aost_share",
}
PARTS = ("encode and propagate", "decode", "memorize")  # of a frame


class PeerError(ValueError):
    """A checkout that cannot be used, or no PyTorch to run it with."""


def time_tracking(
    path: Path,
    config: ConfigDict,
    depth: int,
    images: Sequence[np.ndarray],
    mask: np.ndarray,
    output: Size,
    rulers: Rulers,
    warm_up: int,
) -> dict[str, Any]:
    """Track a clip with the authors' code; returns the seconds of each frame, and of its parts, and how it ran.

    Args:
        path: the checkout.
        config: ours.
        depth: LSTT layers to run.
        images: (1, h, w, 3) float32, normalised, at the network's input size; the reference first.
        mask: (h, w) ids 1 .. n of the reference at that size.
        output: size of the labels.
        rulers: measured between frames.
        warm_up: frames after the reference that do not count.

    Raises:
        PeerError: if the checkout, or PyTorch, cannot be used.
    """
    torch = import_torch()
    with started(path):
        model, peer = build_model(path, config, depth, torch)
        device = next(iter(model.parameters())).device
        gap = config.memory.gap or NEVER
        engine = build_engine(path, peer, model, "eval", gap, short_term_mem_skip=1)
        engine.eval()
        frames = [to_tensor(torch, image.transpose(0, 3, 1, 2), device) for image in images]
        labels = to_tensor(torch, mask[None, None].astype(np.float32), device)
        parts: list[list[float]] = []
        with torch.no_grad():
            engine.add_reference_frame(frames[0], labels, obj_nums=[int(mask.max())], frame_step=0)
            for t, frame in enumerate(frames[1:]):
                if t % 3 == 0:
                    rulers.measure()
                ticks = [_now(torch)]
                engine.match_propogate_one_frame(frame)  # the authors' spelling
                ticks.append(_now(torch))
                logits = engine.decode_current_logits(output)
                labels = torch.softmax(logits, dim=1).argmax(dim=1, keepdim=True).float()
                ticks.append(_now(torch))
                labels = torch.nn.functional.interpolate(labels, size=engine.input_size_2d, mode="nearest")
                engine.update_memory(labels)
                ticks.append(_now(torch))
                if t >= warm_up:
                    parts.append(np.diff(ticks).tolist())
    seconds = [sum(frame) for frame in parts]
    return how(torch, model, device) | {
        "seconds": seconds,
        "parts": dict(zip(PARTS, np.median(parts, axis=0).tolist(), strict=True)),
    }


def time_training(
    path: Path,
    config: ConfigDict,
    batches: Sequence[dict[str, np.ndarray]],
    rulers: Rulers,
    warm_up: int,
) -> dict[str, Any]:
    """Make an update for each batch with the authors' code; returns the seconds of each, and how it ran.

    An update is the loss of a clip with true masks in memory, its gradient, clipping and AdamW, as in their trainer.
    On the CPU identities keep their order, since their code shuffles them on a GPU only.

    Args:
        path: the checkout.
        config: ours.
        batches: images (b, t, h, w, 3) float32, normalised, masks (b, t, h, w), objects (b,).
        rulers: measured between updates.
        warm_up: updates that do not count.

    Raises:
        PeerError: if the checkout, or PyTorch, cannot be used.
    """
    torch = import_torch()
    seconds = []
    with started(path):
        model, peer = build_model(path, config, config.model.depth, torch)
        device = next(iter(model.parameters())).device
        engine = build_engine(path, peer, model, "train", config.memory.train_gap or NEVER)
        engine.train()
        trained = [p for p in engine.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=config.train.learning_rate, weight_decay=config.train.weight_decay)
        for step, batch in enumerate(batches):
            rulers.measure()
            # Frames of all clips one after the other: (t b, c, h, w).
            images = to_tensor(torch, _frames_first(batch["images"]).transpose(0, 3, 1, 2), device)
            masks = to_tensor(torch, _frames_first(batch["masks"])[:, None].astype(np.float32), device)
            clips = len(batch["objects"])
            start = _now(torch)
            engine.restart_engine(clips, device.type == "cuda")
            optimizer.zero_grad(set_to_none=True)
            loss = engine(images, masks, clips, obj_nums=batch["objects"].tolist(), step=step, use_prev_pred=False)[0]
            loss.mean().backward()
            torch.nn.utils.clip_grad_norm_(trained, config.train.clip_norm)
            optimizer.step()
            if step >= warm_up:
                seconds.append(_now(torch) - start)
    return how(torch, model, device) | {"seconds": seconds}


def import_torch() -> ModuleType:
    """Return PyTorch.

    Raises:
        PeerError: if it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise PeerError(f"--peer needs PyTorch ({error}): pip install torch torchvision") from None


@contextlib.contextmanager
def started(path: Path) -> Iterator[None]:
    """Import from a checkout while the context lasts: its packages take the place of ours of the same names.

    Raises:
        PeerError: if `path` does not look like a checkout; it names what is missing.
    """
    for part in ("configs/default.py", "networks/models/__init__.py", "networks/engines/__init__.py"):
        if not (path / part).is_file():
            raise PeerError(f"{path} is not a checkout of the authors' aot-benchmark: it has no {part}")

    def take_out() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in PACKAGES}

    own, places = take_out(), sys.path[:]
    # Ours are hidden altogether: a package with an __init__.py wins over one without, wherever they stand.
    sys.path[:] = [str(path.resolve()), *(p for p in places if not Path(p, "configs", "common.py").is_file())]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = places
        take_out()
        sys.modules.update(own)


def build_model(path: Path, config: ConfigDict, depth: int, torch: ModuleType) -> tuple[Any, Any]:
    """Build the authors' network of a config; returns it and its configuration. Inside `started`.

    Raises:
        PeerError: if the checkout does not have it.
    """
    name = NAMES.get(config.name, config.name)
    if not (path / "configs" / "models" / f"{name}.py").is_file():
        raise PeerError(f"{path} has no configs/models/{name}.py, its network for {config.name}: is it another branch?")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        peer = importlib.import_module("configs.default").DefaultEngineConfig("bench", name)
        peer.MODEL_LSTT_NUM = depth
        model = importlib.import_module("networks.models").build_vos_model(peer.MODEL_VOS, peer)
        return model.to(device), peer
    except Exception as error:  # whatever its code, or what it needs, raises
        raise PeerError(f"{path}: its network {name} does not start: {type(error).__name__}: {error}") from error


def build_engine(path: Path, peer: Any, model: Any, phase: str, gap: int, **options: Any) -> Any:
    """Build the authors' engine around a network. Inside `started`.

    Raises:
        PeerError: if that fails.
    """
    options = {"aot_model": model, "gpu_id": 0, "long_term_mem_gap": gap, **options}
    try:
        return importlib.import_module("networks.engines").build_engine(peer.MODEL_ENGINE, phase=phase, **options)
    except Exception as error:
        raise PeerError(f"{path}: its engine does not start: {type(error).__name__}: {error}") from error


def how(torch: ModuleType, model: Any, device: Any) -> dict[str, object]:
    """Return what the authors' code ran with."""
    extension = any(hasattr(module, "correlation_sampler") for module in model.modules())
    return {
        "torch": torch.__version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "local_attention": "its CUDA extension" if extension else "the unfold fallback, without its CUDA extension",
    }


def describe(peer: dict[str, Any], what: str, own: float, rulers: Rulers) -> str:
    """Return a line on the peer's median time of a `what`, beside our `own`, both in seconds."""
    seconds = float(np.median(peer["seconds"]))
    parts = "".join(f", {name} {rulers.units(part):.3g}" for name, part in peer.get("parts", {}).items())
    return (
        f"peer: {1e3 * seconds:.4g} ms, {rulers.units(seconds):.3g} units a {what}{parts}; torch {peer['torch']}, "
        f"{peer['device']}, {peer['threads']} threads, float32; local attention: {peer['local_attention']}\n"
        f"this project takes {own / seconds:.2f} of the peer's time"
    )


def to_tensor(torch: ModuleType, x: np.ndarray, device: Any) -> Any:
    """Copy an array to PyTorch's device."""
    return torch.from_numpy(np.ascontiguousarray(x)).to(device)


def _frames_first(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])


def _now(torch: ModuleType) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
