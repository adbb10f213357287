"""Track objects through a video of your own: give their masks in one frame, get their masks in every frame.

python track.py clip.mp4 --mask first_frame.png
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from tqdm import tqdm

from aot_jax.flags import above_zero, add_inference_flags, add_network_flags, at_least, network_choice, parse_args
from aot_jax.runs import RunError
from aot_jax.start import reports_errors
from aot_jax.video.exports import EXPORTS
from aot_jax.video.options import PageOptions, TrackOptions
from aot_jax.video.run import explain, track_video


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python track.py clip.mp4 --mask first_frame.png --checkpoint checkpoints/aost_r50 --depth 2",
    )
    video = "a video (mp4, mov, webm, ...), a folder of images, a glob, or images"
    parser.add_argument("video", nargs="+", metavar="VIDEO", help=video)
    what = parser.add_argument_group("what to track")
    mask = "masks of the objects: images, .npy, COCO, labelme or YOLO files, or a folder, named by frame"
    what.add_argument("--mask", dest="masks", nargs="+", default=[], metavar="MASK", help=mask)
    box = "a filled box as a mask, in pixels; may be repeated"
    what.add_argument("--box", dest="boxes", action="append", default=[], metavar="X0,Y0,X1,Y1", help=box)
    what.add_argument(
        "--mask_frame", type=at_least(0), metavar="N", help="frame of the mask or boxes, from 0 (default: the first)"
    )
    empty = "leave frames before the first mask empty"
    what.add_argument("--no_backward", dest="backward", action="store_false", help=empty)
    how = parser.add_argument_group("network")
    add_network_flags(how)
    add_inference_flags(how)
    how.add_argument("--target_fps", type=above_zero, metavar="N", help="frames a second to reach, by reducing depth")
    memory = "most frames in memory; 0: no limit (default: 50)"
    how.add_argument("--max_frames", type=at_least(0), default=50, metavar="N", help=memory)
    out = parser.add_argument_group("results")
    out.add_argument("--output", metavar="DIR", help="results folder (default: results/track/<name of VIDEO>)")
    out.add_argument(
        "--output_height", type=at_least(1), metavar="PIXELS", help="height of the masks (default: the frames')"
    )
    also = "write this format too; may be repeated"
    out.add_argument("--export", dest="exports", action="append", default=[], choices=sorted(EXPORTS), help=also)
    out.add_argument("--no_overlay", dest="overlay", action="store_false", help="write no overlay.mp4")
    out.add_argument("--fps", type=above_zero, metavar="N", help="frames a second of a folder of images (default: 24)")
    out.add_argument("--resume", action="store_true", help="continue the run in the output folder")
    out.add_argument("--overwrite", action="store_true", help="start again in an output folder that holds results")
    points = "frames between saved states, from which a run resumes (default: 100)"
    out.add_argument("--save_every", type=at_least(1), default=100, metavar="N", help=points)
    out.add_argument("--quiet", action="store_true", help="show no progress bar")
    page = parser.add_argument_group("browser")
    page.add_argument("--browser", action="store_true", help="draw, watch and correct in a web page")
    page.add_argument(
        "--host", default=PageOptions.host, help="address to listen on (default: %(default)s, this machine only)"
    )
    page.add_argument(
        "--port",
        type=at_least(0),
        default=PageOptions.port,
        metavar="N",
        help="port to listen on (default: %(default)s)",
    )
    return parser


def read_options(args: argparse.Namespace, overrides: Sequence[str]) -> TrackOptions:
    """Build the options from the flags and the overrides of config fields."""
    values = vars(args) | {"network": network_choice(args, overrides)}
    return TrackOptions(**{field.name: values[field.name] for field in fields(TrackOptions)})


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used, 130 if it was stopped."""
    args, overrides = parse_args(make_parser(), argv)
    said: set[str] = set()

    def warn(message: str) -> None:
        if message not in said:
            said.add(message)
            tqdm.write(f"warning: {message}", file=sys.stderr)

    try:
        options = read_options(args, overrides)
        if args.browser:
            from aot_jax.browser.command import open_page

            open_page(options, PageOptions(args.host, args.port), warn)
            return 0
        output = track_video(options, warn)
    except OSError as error:
        raise RunError(explain(error)) from error
    except KeyboardInterrupt:
        output = None
    if output is None:
        again = "with --resume in place of --overwrite" if args.overwrite else "and --resume"
        print(f"stopped: finished masks are kept; continue with the same command {again}", file=sys.stderr)
        return 130
    print(f"masks: {output / 'masks'}" + (f"\noverlay: {output / 'overlay.mp4'}" if args.overlay else ""))
    return 0
