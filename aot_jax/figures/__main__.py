"""Draw the paper's pictures from a checkpoint, as PNG and SVG.

python -m aot_jax.figures bank --checkpoint runs/quickstart
python -m aot_jax.figures attention my_video --mask first.png --frame 10 --checkpoint checkpoints/aost_r50
"""

import argparse
import sys
from pathlib import Path

from aot_jax.figures import networks, speed
from aot_jax.figures.page import FigureError, save_page
from aot_jax.flags import add_network_flags, parse_args
from aot_jax.video.command import ERRORS

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
        own = figures.add_parser(
            name,
            help=what,
            description=f"Draw {what}, as PNG and SVG.",
            epilog=f"example: python -m aot_jax.figures {name} {example}",
        )
        default = f"figures/{name}"
        own.add_argument(
            "--output",
            type=Path,
            default=Path(default),
            metavar="FILE",
            help=f"name of the files, without .png and .svg (default: {default})",
        )
        return own

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
    strips.add_argument(
        "--masks",
        nargs="+",
        default=[],
        metavar="[TITLE=]DIR",
        help="a row for each folder of masks named like the frames, under a title (default: the folder's name)",
    )
    plot = add("speed", "speed against accuracy (Fig. 1)", "results/davis17/*/scores.json --split davis17")
    plot.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="scores.json of eval.py, or files like bench/results.json, which is read where none is given",
    )
    plot.add_argument("--split", help="of eval.py, whose figures are drawn (default: that of the first)")
    return parser


def _add_video_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "video", nargs="*", metavar="VIDEO", help="a video, a folder of images or a glob (default: a generated one)"
    )
    parser.add_argument("--mask", metavar="PNG", help="mask of the objects in the first frame")
    add_network_flags(parser)


def draw(args: argparse.Namespace, overrides: list[str]) -> list[Path]:
    """Draw what the flags say; returns the files written."""
    if args.figure in networks.DRAW:
        return save_page(networks.DRAW[args.figure](args, overrides), args.output)
    split, points = speed.choose_split(speed.read_points(args.files or [speed.DEFAULT_FILE]), args.split)
    if not any(point.measured for point in points):
        print(f"note: no measured figures of {split}: only published ones are drawn", file=sys.stderr)
    return save_page(speed.draw_speed(split, points), args.output)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    try:
        for path in draw(args, overrides):
            print(f"wrote {path}")
    except (FigureError, *ERRORS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
