"""The figures that need a network: from flags to a page."""

from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aot_jax.figures.attention import carried_masks
from aot_jax.figures.bank import bank_similarity, draw_bank
from aot_jax.figures.clip import open_clip
from aot_jax.figures.maps import draw_maps
from aot_jax.figures.page import FigureError
from aot_jax.figures.strips import choose_times, draw_strips, read_frames, read_masks, track_clip
from aot_jax.network import Model, NetworkChoice, find_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def load_network(args: Namespace, overrides: Sequence[str], checkpoint: str | None) -> Model:
    """Load the network that the flags name."""
    network = find_network(NetworkChoice(args.config, checkpoint, args.random_weights, tuple(overrides)))
    print(network)
    return network.load()


def draw_bank_of(args: Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw the banks of one or several checkpoints."""
    similarities = {}
    for checkpoint in args.checkpoint or [None]:
        model = load_network(args, overrides, checkpoint)
        name = str(checkpoint) if len(args.checkpoint or []) > 1 else model.config.name
        similarities[name] = bank_similarity(model.params)
    return draw_bank(similarities)


def draw_attention(args: Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw what attentions carry to one frame."""
    if args.frame < 1:
        raise FigureError(f"--frame is {args.frame}: attention reads a memory, which frame 1 is the first to have")
    if args.gap is not None and args.gap < 0:
        raise FigureError(f"--gap is {args.gap}: it is a number of frames, or 0 for the first frame alone")
    clip = open_clip(args.video, args.mask)
    model = load_network(args, overrides, args.checkpoint)
    return draw_maps(carried_masks(model, clip.frames(args.frame + 1), clip.mask, args.depth, args.gap))


def draw_strips_of(args: Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw strips of folders of masks, and of a network at each depth."""
    clip = open_clip(args.video, args.mask)
    times = choose_times(args.times, clip.count)
    frames = read_frames(clip, times)
    rows = {title: read_masks(folder, clip, times) for title, folder in titled(args.masks)}
    if args.checkpoint or args.config or args.random_weights or not rows:
        model = load_network(args, overrides, args.checkpoint)
        for depth in args.depth or [model.config.model.depth]:
            rows[f"{model.config.name}, L' = {depth}"] = track_clip(model, clip, times, depth)
    return draw_strips(frames, times, rows)


def titled(folders: Sequence[str]) -> list[tuple[str, str]]:
    """Split TITLE=DIR into both; without a title, the folder's name is its title.

    Raises:
        FigureError: for two rows of one title.
    """
    rows = []
    for given in folders:
        title, _, folder = ("", "", given) if Path(given).is_dir() else given.rpartition("=")
        rows.append((title or Path(folder).name, folder))
    twice = [title for title, count in Counter(title for title, _ in rows).items() if count > 1]
    if twice:
        raise FigureError(f"--masks: {twice[0]} is the title of two rows; write TITLE=DIR to tell them apart")
    return rows


DRAW = {"bank": draw_bank_of, "attention": draw_attention, "strips": draw_strips_of}
