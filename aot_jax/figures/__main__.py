"""Draw the paper's pictures from a checkpoint, as PNG and SVG.

python -m aot_jax.figures bank --checkpoint runs/quickstart
python -m aot_jax.figures attention my_video --mask first.png --frame 10 --checkpoint checkpoints/aost_r50
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aot_jax.figures import speed
from aot_jax.figures.attention import carried_masks, draw_maps
from aot_jax.figures.bank import bank_similarity, draw_bank
from aot_jax.figures.page import FigureError, save_page
from aot_jax.figures.strips import choose_times, draw_strips, read_frames, read_results, track_labels
from aot_jax.figures.video import load_video
from aot_jax.flags import add_network_flags, parse_args
from aot_jax.network import Model, NetworkChoice, find_network
from aot_jax.start import reports_errors, run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEVERAL = "; several are drawn side by side"


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.figures",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m aot_jax.figures bank --checkpoint runs/quickstart. "
        "Every figure has a --help of its own. Needs pip install -r requirements-figures.txt",
    )
    figures = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")

    def add(name: str, what: str, example: str) -> argparse.ArgumentParser:
        command = figures.add_parser(
            name,
            help=what,
            description=f"Draw {what}, as PNG and SVG.",
            epilog=f"example: python -m aot_jax.figures {name} {example}",
        )
        output = "name of the files, without .png and .svg (default: %(default)s)"
        command.add_argument("--output", type=Path, default=Path("figures", name), metavar="FILE", help=output)
        return command

    bank = add("bank", "cosine similarity of the identities of a bank (Fig. 8)", "--checkpoint runs/quickstart")
    add_network_flags(bank, "+", SEVERAL)
    maps = add(
        "attention",
        "masks that each layer's attentions carry from memory to a frame (Fig. 9)",
        "my_video --mask first.png --frame 10 --checkpoint checkpoints/aost_r50",
    )
    _add_video_flags(maps)
    maps.add_argument("--frame", type=int, default=10, metavar="N", help="frame to look at, from 1 (default: 10)")
    maps.add_argument("--depth", type=int, metavar="N", help="LSTT layers to run (default: all)")
    maps.add_argument("--gap", type=int, metavar="N", help="frames between memory frames, 0: the first alone")
    strips = add(
        "strips",
        "frames of a video with the masks of each depth, or of folders of masks (Fig. 6)",
        "my_video --mask first.png --times 0 20 40 --depth 1 3 --checkpoint checkpoints/aost_r50",
    )
    _add_video_flags(strips)
    strips.add_argument("--times", type=int, nargs="+", default=[], metavar="N", help="frames to show, from 0")
    strips.add_argument("--depth", type=int, nargs="+", metavar="N", help="a row for each of these depths")
    masks = "a row for each folder of masks named like the frames, under a title (default: the folder's name)"
    strips.add_argument("--masks", nargs="+", default=[], metavar="[TITLE=]DIR", help=masks)
    plot = add("speed", "speed against accuracy (Fig. 1)", "results/davis17/*/scores.json --split davis17")
    files = "scores.json of eval.py, or files like bench/results.json, which is read where none is given"
    plot.add_argument("files", nargs="*", type=Path, metavar="FILE", help=files)
    plot.add_argument("--split", help="split of eval.py whose figures are drawn (default: that of the first)")
    return parser


def _add_video_flags(parser: argparse.ArgumentParser) -> None:
    video = "a video, a folder of images or a glob (default: a generated one)"
    parser.add_argument("video", nargs="*", metavar="VIDEO", help=video)
    parser.add_argument("--mask", metavar="PNG", help="mask of the objects in the first frame")
    add_network_flags(parser)


def load_network(args: argparse.Namespace, overrides: Sequence[str], checkpoint: str | None) -> Model:
    """Load the network that the flags name."""
    network = find_network(NetworkChoice(args.config, checkpoint, args.random_weights, tuple(overrides)))
    print(network)
    return network.load()


def draw_bank_of(args: argparse.Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw the banks of one or several checkpoints."""
    similarities = {}
    for checkpoint in args.checkpoint or [None]:
        model = load_network(args, overrides, checkpoint)
        name = str(checkpoint) if len(args.checkpoint or []) > 1 else model.config.name
        similarities[name] = bank_similarity(model.params)
    return draw_bank(similarities)


def draw_attention(args: argparse.Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw the masks that attention carries to one frame."""
    if args.frame < 1:
        raise FigureError(f"--frame is {args.frame}: attention reads a memory, which frame 1 is the first to have")
    if args.gap is not None and args.gap < 0:
        raise FigureError(f"--gap is {args.gap}: it is a number of frames, or 0 for the first frame alone")
    video = load_video(args.video, args.mask)
    model = load_network(args, overrides, args.checkpoint)
    return draw_maps(carried_masks(model, video.frames(args.frame + 1), video.mask, args.depth, args.gap))


def draw_strips_of(args: argparse.Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw strips of folders of masks, and of a network at each depth."""
    video = load_video(args.video, args.mask)
    times = choose_times(args.times, video.count)
    frames = read_frames(video, times)
    rows = {title: read_results(folder, video, times) for title, folder in titled(args.masks)}
    if args.checkpoint or args.config or args.random_weights or not rows:
        model = load_network(args, overrides, args.checkpoint)
        for depth in args.depth or [model.config.model.depth]:
            rows[f"{model.config.name}, L' = {depth}"] = track_labels(model, video, times, depth)
    return draw_strips(frames, times, rows)


def titled(folders: Sequence[str]) -> list[tuple[str, str]]:
    """Split each TITLE=DIR into title and folder; without a title, the folder's name is the title.

    Raises:
        FigureError: if two rows have the same title.
    """
    rows = []
    for given in folders:
        title, _, folder = ("", "", given) if Path(given).is_dir() else given.rpartition("=")
        rows.append((title or Path(folder).name, folder))
    twice = [title for title, count in Counter(title for title, _ in rows).items() if count > 1]
    if twice:
        raise FigureError(f"--masks: {twice[0]} is the title of two rows; write TITLE=DIR to tell them apart")
    return rows


def draw_speed_of(args: argparse.Namespace, overrides: Sequence[str]) -> "Figure":
    """Draw speed against accuracy; `overrides` are not used."""
    split, points = speed.choose_split(speed.read_points(args.files or [speed.DEFAULT_FILE]), args.split)
    if not any(point.measured for point in points):
        print(f"note: no measured figures of {split}: only published ones are drawn", file=sys.stderr)
    return speed.draw_speed(split, points)


DRAW = {"bank": draw_bank_of, "attention": draw_attention, "strips": draw_strips_of, "speed": draw_speed_of}


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    for path in save_page(DRAW[args.figure](args, overrides), args.output):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    run(main)
