"""Find the data sets in a folder by their published layouts."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from aot_jax.io.datasets.folders import davis, own_videos, static
from aot_jax.io.datasets.listing import DataError, Dataset
from aot_jax.io.datasets.meta_json import youtube_vos
from aot_jax.io.images import IMAGE_SUFFIXES, JPEG_OR_PNG, open_image


def detect(root: Path, kind: str | None = None) -> Iterator[tuple[str, str, Dataset]]:
    """Find every known layout in a folder; yields (title, name in config.data.datasets, data set).

    Args:
        root: the folder, or one that holds DAVIS/, YouTubeVOS/ or Static/.
        kind: "static" or "videos": contents of a bare JPEGImages/, Annotations/ pair; None: judged by its files.

    Raises:
        DataError: nothing is found.
    """
    found = False
    for home in (root / "DAVIS", root):
        for listing in sorted((home / "ImageSets").glob("*/*.txt")):
            year, split = listing.parent.name, listing.stem
            if year in ("2016", "2017"):
                found = True
                name = f"davis{year[2:]}" + ("" if split == "train" else f":{split}")
                yield f"DAVIS {year}, split {split}", name, davis(home, int(year), split)
        if found:
            break
    metas = {path for pattern in ("", "*/", "*/*/", "*/*/*/") for path in root.glob(f"{pattern}meta.json")}
    for meta in sorted(metas):
        if (meta.parent / "JPEGImages").is_dir():
            found = True
            edition = 2018 if "2018" in meta.parts else 2019
            split = meta.parent.name if meta.parent.name in ("valid", "test") else "train"
            name = f"youtube_vos{edition % 100}" + ("" if split == "train" else f":{split}")
            yield f"YouTube-VOS {edition} {split}", name, youtube_vos(meta.parent, edition, split)
    if (root / "Static" / "JPEGImages").is_dir():
        found = True
        yield "still images", "static", static(root)
    if not found and (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir():
        found = True
        kind = kind or ("videos" if _look_like_videos(root) else "static")
        yield ("own videos", kind, own_videos(root)) if kind == "videos" else ("still images", kind, static(root))
    if not found:
        raise DataError(
            f"{root}: no data found; expected JPEGImages/VIDEO/*.jpg with Annotations/VIDEO/*.png, a DAVIS folder with "
            "ImageSets/, or a YouTube-VOS folder with meta.json"
        )


def _look_like_videos(root: Path) -> bool:
    """Tell videos from sets of images: a video's images have one size and names that end in a digit."""
    for folder in sorted(path for path in (root / "JPEGImages").iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if any(not path.stem[-1:].isdigit() for path in files):
            return False
        sizes = set()
        for path in files[:: max(1, len(files) // 8)]:
            with contextlib.suppress(DataError), open_image(path, JPEG_OR_PNG, DataError) as (image, _):
                sizes.add(image.size)
        if len(sizes) > 1:
            return False
    return True
