"""Raw folders in every layout, generated once, and a small `config.data` for them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aot_jax.io.generated import make_video
from configs.common import get_config

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def save_mask(path, ids):
    """Write ids as a palette PNG, as the datasets do."""
    image = Image.new("P", ids.shape[::-1])
    image.putdata(ids.reshape(-1).tolist())
    image.putpalette([(7 * k) % 256 for k in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def save_video(images, masks, image_folder, mask_folder, step=1):
    image_folder.mkdir(parents=True, exist_ok=True)
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(image_folder / f"{t * step:05d}.jpg", quality=92)
        save_mask(mask_folder / f"{t * step:05d}.png", mask)


@pytest.fixture(scope="session")
def drawn():
    """Four videos: (images, masks), 12 frames of 96 x 128."""
    return [make_video((5, k), 12, 96, 128, objects=1 + k) for k in range(4)]


@pytest.fixture(scope="session")
def raw(tmp_path_factory, drawn):
    """A folder that holds DAVIS/, YouTubeVOS/2019/train/, Static/ and Videos/."""
    root = tmp_path_factory.mktemp("raw")
    davis, youtube = root / "DAVIS", root / "YouTubeVOS" / "2019" / "train"
    meta = {}
    for k, (images, masks) in enumerate(drawn):
        name = f"clip{k}"
        save_video(images, masks, davis / "JPEGImages" / "480p" / name, davis / "Annotations" / "480p" / name)
        save_video(images, masks, youtube / "JPEGImages" / name, youtube / "Annotations" / name, step=5)
        frames = [f"{5 * t:05d}" for t in range(len(images))]
        meta[name] = {"objects": {str(o): {"category": "thing", "frames": frames} for o in range(1, k + 2)}}
        for t in (0, 6):
            (root / "Static" / "JPEGImages" / "drawn").mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[t]).save(root / "Static" / "JPEGImages" / "drawn" / f"{name}_{t}.jpg")
            save_mask(root / "Static" / "Annotations" / "drawn" / f"{name}_{t}.png", masks[t])
        own = root / "Videos"
        save_video(images, masks, own / "JPEGImages" / name, own / "Annotations" / name)
        (own / "Annotations" / name / "00003.png").unlink()
    youtube.joinpath("meta.json").write_text(json.dumps({"videos": meta}))
    for year in ("2016", "2017"):
        (davis / "ImageSets" / year).mkdir(parents=True)
    (davis / "ImageSets" / "2017" / "train.txt").write_text("clip0\nclip1\nclip2\nclip3\n")
    (davis / "ImageSets" / "2016" / "val.txt").write_text(
        "/JPEGImages/480p/clip0/00000.jpg /Annotations/480p/clip0/00000.png\n"
    )
    return root


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="session")
def make_config(raw, prepared):
    """Return config.data for the generated sets, with clips of 3 frames of 64 pixels; `fields` override."""

    def make(**fields):
        data = get_config().data
        small = {"root": str(raw), "prepared": str(prepared), "datasets": (("davis17", 1),), "frames": 3, "crop": 64}
        small |= {"short_edge": 80, "min_object_pixels": 10, "min_reference_pixels": 20, "workers": 2}
        data.update({**small, **fields})
        return data

    return make


@pytest.fixture
def real():
    """Return the folder of real data beside the repository."""
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    return REAL


@pytest.fixture
def grid():
    """Return an image (200, 240, 3) uint8 whose first two channels are the row and the column."""
    rows, columns = np.mgrid[0:200, 0:240]
    return np.stack([rows, columns, np.full_like(rows, 77)], -1).astype(np.uint8)
