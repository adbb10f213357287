"""List mask files given as files, folders or globs."""

from collections.abc import Sequence
from pathlib import Path

from aot_jax.io.files import expand
from aot_jax.io.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from aot_jax.io.mask_sets.stored import MaskError
from aot_jax.io.names import is_hidden
from aot_jax.io.series import natural

LOSSLESS = (".png", ".tif", ".tiff", ".bmp", ".gif", ".webp")  # suffixes of lossless images
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
KINDS = (LOSSLESS, (".npy", ".npz"), (".json",), (".txt",), IMAGE_SUFFIXES)  # kinds of masks by priority in a folder
# Stems of text files that lie beside masks and hold none.
NO_MASKS = ("classes", "readme", "notes", "train", "val", "test", "labels", "labelmap", "progress")
HOLDERS = ("segmentationobject", "annotations", "masks", "labels", "matte")  # names of mask folders; case is ignored


def list_masks(given: Sequence[str | Path]) -> list[Path]:
    """List mask files, sorted by name.

    Raises:
        MaskError: there is no mask, or a folder cannot be read.
    """
    found: list[Path] = []
    for item in given:
        path = Path(item)
        try:
            inside = _inside(path) if path.is_dir() else expand(path)
        except OSError as error:
            raise MaskError(f"{path}: cannot be read ({error.strerror or error})") from None
        if not inside:
            raise MaskError(f"{path}: holds no mask; give a mask, or a folder of masks named by frame")
        for path in inside:
            _check_kind(path)
        found += inside
    return sorted(found, key=lambda path: (natural(path.stem), path.name, str(path)))


def _check_kind(path: Path) -> None:
    """Raise MaskError if a file is a video or an archive, by its name."""
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        raise MaskError(f"{path}: is an archive; unpack it, and give the folder")
    if suffix in VIDEO_SUFFIXES and suffix not in (".gif", ".apng"):
        raise MaskError(
            f"{path}: is a video; masks are images: write its frames with ffmpeg -i {path.name} masks/%05d.png"
        )


def _inside(folder: Path) -> list[Path]:
    """List the masks of a folder, else those of its subfolders."""
    there = [path for path in folder.iterdir() if not is_hidden(path.name)]
    files = [path for path in there if path.is_file()]
    stems: dict[str, set[str]] = {}
    for path in files:
        stems.setdefault(path.suffix.lower(), set()).add(path.stem)
    images = set().union(*(stems.get(suffix, set()) for suffix in IMAGE_SUFFIXES))
    if stems.get(".json", set()) & images:  # annotations of the images next to them
        return [path for path in files if path.suffix.lower() == ".json"]
    for kinds in KINDS:
        others = NO_MASKS if kinds[0] in (".json", ".txt") else ()
        found = [path for path in files if path.suffix.lower() in kinds and path.stem.lower() not in others]
        if found:
            return found
    folders = [path for path in there if path.is_dir()]
    for name in HOLDERS:
        for path in folders:
            if path.name.lower() == name:
                return _inside(path)
    if len(folders) == 1:
        return _inside(folders[0])
    inside = [[path for path in sub.iterdir() if path.suffix.lower() in LOSSLESS] for sub in sorted(folders)]
    return [path for paths in inside for path in paths] if all(inside) else []  # a folder for each object, or frame
