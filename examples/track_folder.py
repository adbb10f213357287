"""Track objects through a folder of images: python examples/track_folder.py FRAMES MASK OUT [CHECKPOINT]."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for a checkout that is not installed

from aot_jax import Tracker, load_model, read_masks
from aot_jax.io.frames import list_frames, read_frame
from aot_jax.io.masks import write_mask


def main(folder: str, mask: str, out: str, checkpoint: str | None = None) -> None:
    """Write a mask for every image of a folder.

    Args:
        folder: folder of images, tracked in the order of their names.
        mask: mask of the first image, or a folder of masks named by image.
        out: output folder.
        checkpoint: weights; None: those that ship.
    """
    tracker = Tracker(load_model(checkpoint=checkpoint))
    frames = list_frames(folder)
    masks = read_masks(mask, frames)
    for path in frames:
        labels = tracker.step(read_frame(path), masks.get(path))
        write_mask(Path(out, f"{path.stem}.png"), labels)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
