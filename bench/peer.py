"""Time the authors' PyTorch code, in the same order of steps as this project; `authors.py` opens it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from aot_jax.typing import Size
from bench.authors import opened
from bench.rulers import Rulers
from bench.video import RULER_EVERY

HELP = "the authors' PyTorch code to time beside: an unpacked wheel of deaotpy, its installed package, or a checkout"
PARTS = ("encode and propagate", "decode", "memorize")  # timed parts of a frame


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
    """Track a video with the authors' code; returns the seconds of each frame and of its parts, and how it ran.

    Args:
        path: path of the code, see `authors.find_code`.
        config: our config.
        depth: LSTT layers to run.
        images: (1, h, w, 3) float32, normalised, at the network's input size; the reference first.
        mask: (h, w) ids 1 .. n of the reference at that size.
        output: size of the labels.
        rulers: measured between frames.
        warm_up: frames after the reference that are left out.

    Raises:
        BenchError: if the code or PyTorch is missing, or the code fails.
    """
    parts: list[list[float]] = []
    with opened(path, config, depth, "eval", config.memory.gap, short_term_mem_skip=1) as peer:
        torch, engine = peer.torch, peer.engine
        engine.eval()
        frames = [peer.tensor(image.transpose(0, 3, 1, 2)) for image in images]
        labels = peer.tensor(mask[None, None].astype(np.float32))
        with torch.no_grad():
            engine.add_reference_frame(frames[0], labels, obj_nums=[int(mask.max())], frame_step=0)
            for t, frame in enumerate(frames[1:]):
                if t % RULER_EVERY == 0:
                    rulers.measure()
                ticks = [peer.now()]
                engine.match_propogate_one_frame(frame)  # the authors' spelling
                ticks.append(peer.now())
                logits = engine.decode_current_logits(output)
                labels = torch.softmax(logits, dim=1).argmax(dim=1, keepdim=True).float()
                ticks.append(peer.now())
                labels = torch.nn.functional.interpolate(labels, size=engine.input_size_2d, mode="nearest")
                engine.update_memory(labels)
                ticks.append(peer.now())
                if t >= warm_up:
                    parts.append(np.diff(ticks).tolist())
    medians = np.median(parts, axis=0).tolist()
    return peer.how | {"seconds": [sum(frame) for frame in parts], "parts": dict(zip(PARTS, medians, strict=True))}


def time_training(
    path: Path,
    config: ConfigDict,
    batches: Sequence[dict[str, np.ndarray]],
    rulers: Rulers,
    warm_up: int,
) -> dict[str, Any]:
    """Make one update for each batch with the authors' code; returns the seconds of each, and how it ran.

    An update is the loss of clips with true masks in memory, its gradient, clipping and AdamW, as in their trainer.
    On the CPU identities keep their order, since their code shuffles them only on a GPU.

    Args:
        path: path of the code, see `authors.find_code`.
        config: our config.
        batches: images (b, t, h, w, 3) float32, normalised, masks (b, t, h, w), objects (b,).
        rulers: measured between updates.
        warm_up: first updates that are left out.

    Raises:
        BenchError: if the code or PyTorch is missing, or the code fails.
    """
    seconds = []
    with opened(path, config, config.model.depth, "train", config.memory.train_gap) as peer:
        torch, engine = peer.torch, peer.engine
        engine.train()
        trained = [p for p in engine.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=config.train.learning_rate, weight_decay=config.train.weight_decay)
        for step, batch in enumerate(batches):
            rulers.measure()
            # Frames of all clips one after the other: (t b, c, h, w).
            images, masks = (x.swapaxes(0, 1).reshape(-1, *x.shape[2:]) for x in (batch["images"], batch["masks"]))
            images = peer.tensor(images.transpose(0, 3, 1, 2))
            masks = peer.tensor(masks[:, None].astype(np.float32))
            clips = len(batch["objects"])
            start = peer.now()
            engine.restart_engine(clips, peer.device.type == "cuda")
            optimizer.zero_grad(set_to_none=True)
            loss = engine(images, masks, clips, obj_nums=batch["objects"].tolist(), step=step, use_prev_pred=False)[0]
            loss.mean().backward()
            torch.nn.utils.clip_grad_norm_(trained, config.train.clip_norm)
            optimizer.step()
            if step >= warm_up:
                seconds.append(peer.now() - start)
    return peer.how | {"seconds": seconds}


def describe(peer: dict[str, Any], what: str, ours: float, rulers: Rulers) -> str:
    """Return lines that compare the peer's median time of a `what` with ours, in seconds."""
    seconds = float(np.median(peer["seconds"]))
    parts = "".join(f", {name} {1e3 * part:.4g}" for name, part in peer.get("parts", {}).items())
    return (
        f"the authors' code: {1e3 * seconds:.4g} ms a {what}{parts} ({rulers.units(seconds):.3g} units); torch "
        f"{peer['torch']}, {peer['device']}, {peer['threads']} threads, float32; local attention: "
        f"{peer['local_attention']}\nthis project is {seconds / ours:.2f} times as fast as the authors' code"
    )
