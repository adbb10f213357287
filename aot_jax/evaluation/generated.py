"""The held-out set that needs no data: procedural videos, written once as a DAVIS tree.

20 videos of 20 frames, one to five objects (three on average), two of them alike in a quarter of the videos. Their
seed, and so every shape, texture and path, differs from those of training (`config.data.generated.seed`).
"""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from aot_jax.io.masks import write_mask
from aot_jax.start import cache_folder
from data_pipeline.generate import make_video, plan_video

SEED = 1_000_003
VIDEOS = 20
FRAMES = 20
SIZE = (160, 208)
OBJECTS = (1, 5)
LOOKALIKES = 0.25


def held_out_folder(folder: Path | None = None) -> Path:
    """Return a DAVIS tree of the held-out videos, made in `folder` (default: the cache) unless it is there."""
    folder = folder or cache_folder() / f"generated-{SEED}-{VIDEOS}x{FRAMES}-{SIZE[0]}x{SIZE[1]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        names = [f"{index:02d}" for index in range(VIDEOS)]
        for index, name in enumerate(names):
            plan = plan_video(SEED, index, OBJECTS, LOOKALIKES)
            images, masks = make_video(frames=FRAMES, height=SIZE[0], width=SIZE[1], **asdict(plan))
            frames = temporary / "JPEGImages" / "480p" / name
            frames.mkdir(parents=True)
            for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
                Image.fromarray(image).save(frames / f"{t:05d}.jpg", quality=95)
                write_mask(temporary / "Annotations" / "480p" / name / f"{t:05d}.png", mask)
        listing = temporary / "ImageSets" / "2017" / "val.txt"
        listing.parent.mkdir(parents=True)
        listing.write_text("\n".join(names) + "\n")
        try:
            temporary.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
