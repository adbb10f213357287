"""Copy training data with smaller images, to fit a limit on what can be copied to an accelerator.

    python -m bench.shrink_data OUT DATA/static_240 DATA/davis_train_288 DATA/videos_240 --short_side 176 --mib 50

Each folder becomes OUT/NAME in the same layout: masks are PNG of the same ids, images JPEG of the highest quality with
which everything fits.
"""

import argparse
import functools
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

import cv2
import numpy as np
from PIL import Image

from aot_jax.io.frames import read_frame
from aot_jax.start import reports_errors
from aot_jax.start import run as run_main
from bench.measure import BenchError

QUALITIES = range(30, 96, 5)  # of JPEG, lowest and highest that are tried
SAMPLE = 200  # images by which a quality is judged first


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.shrink_data",
        description="Copy training data with smaller images, within a limit of bytes.",
        epilog="example: python -m bench.shrink_data small DATA/static_240 DATA/davis_train_288 --mib 50",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder")
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="with JPEGImages/ and Annotations/")
    parser.add_argument("--short_side", type=int, default=176, metavar="N", help="pixels (default: %(default)s)")
    parser.add_argument("--mib", type=float, default=50, metavar="N", help="size in all (default: %(default)s)")
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args = make_parser().parse_args(argv)
    if args.out.exists():
        raise BenchError(f"{args.out} exists already: name a new folder")
    copies = {
        path: args.out / folder.name / path.relative_to(folder)
        for folder in args.folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    images = [path for path, target in copies.items() if "JPEGImages" in target.parts]
    if not images:
        raise BenchError(f"{args.folders[0]} has no file in JPEGImages/: name folders of training data")
    for target in copies.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        left = args.mib * 2**20
        for path in copies.keys() - set(images):
            data = shrink_mask(path, args.short_side) if path.suffix == ".png" else path.read_bytes()
            left -= copies[path].write_bytes(data)
        sample = images[:: -(-len(images) // SAMPLE)]
        for quality in reversed(QUALITIES):
            shrink = functools.partial(shrink_image, short_side=args.short_side, quality=quality)
            if sum(map(len, pool.map(shrink, sample))) > left * len(sample) / len(images):
                continue
            made = zip(images, pool.map(shrink, images), strict=True)
            if sum(copies[path].write_bytes(data) for path, data in made) <= left:
                print(f"{args.out}: {len(images)} images, JPEG quality {quality}")
                return 0
    raise BenchError(
        f"--mib {args.mib:g} is too little for {len(images)} images: lower --short_side, or name fewer folders"
    )


def smaller(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the size with this short side; a smaller image keeps its own."""
    share = min(1, short_side / min(width, height))
    return round(width * share), round(height * share)


def shrink_mask(path: Path, short_side: int) -> bytes:
    """Return a smaller mask as PNG, without the colours of higher ids than it holds."""
    buffer = io.BytesIO()
    with Image.open(path) as mask:
        small = mask.resize(smaller(*mask.size, short_side), Image.Resampling.NEAREST)
        if small.mode == "P":
            small.putpalette((small.getpalette() or [])[: 3 * (int(np.max(small)) + 1)])
        small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def shrink_image(path: Path, short_side: int, quality: int) -> bytes:
    """Return a smaller image as JPEG."""
    image, buffer = read_frame(path), io.BytesIO()
    size = smaller(image.shape[1], image.shape[0], short_side)
    Image.fromarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)).save(
        buffer, "JPEG", quality=quality, optimize=True
    )
    return buffer.getvalue()


if __name__ == "__main__":
    run_main(main)
