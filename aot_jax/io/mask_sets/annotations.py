"""Read files of annotation tools as drawings: COCO and labelme JSON, YOLO text files of polygons or boxes."""

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from aot_jax.io.mask_sets.coco import coco_drawings, segment_drawing, video_drawings
from aot_jax.io.mask_sets.drawings import MAX_SHAPES, NO_OBJECT, Drawing, Shape, stated_size
from aot_jax.io.mask_sets.shapes import fill
from aot_jax.io.mask_sets.stored import CLEAR, MaskError, read_image
from aot_jax.io.names import Frames
from aot_jax.typing import Size

MAX_BYTES = 2**28  # largest file read, in bytes
MAX_CLASSES = 100_000  # most characters read from a list of classes
SIDES = 64  # number of sides of the polygon that approximates a circle


def read_drawings(paths: Sequence[Path], frames: Frames | None, notes: list[str]) -> list[Drawing]:
    """Read the shapes that annotation tools wrote for a video.

    Args:
        paths: .json and .txt files, in order.
        frames: frames of the video, to select its images in files about several; None: take all.
        notes: list to which a line is added for each thing left out.

    Raises:
        MaskError: a file cannot be read, or its format is unknown.
    """
    drawings: list[Drawing] = []
    texts = [path for path in paths if path.suffix.lower() == ".txt"]
    for path in paths:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise MaskError(f"{path}: is larger than {MAX_BYTES} bytes; give a file of this video alone")
            data = path.read_bytes()
            if path in texts:
                drawings.append(_yolo(data.decode("utf-8-sig"), path, len(texts) > 1))
            else:  # JSON may be in UTF-16 too
                drawings += _from_json(json.loads(data), path, frames, notes)
        except FileNotFoundError:
            raise MaskError(f"{path}: no such file; check the path") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, MaskError):
                raise
            remedy = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "export it again"
            reason = f"{type(error).__name__}: {error}"
            raise MaskError(f"{path}: cannot be read as annotations ({reason}); {remedy}") from None
    if sum(len(drawing.shapes) for drawing in drawings) > MAX_SHAPES:
        raise MaskError(f"{paths[0]}: holds more than {MAX_SHAPES} shapes; give a file of this video alone")
    return drawings


def _from_json(data: Any, path: Path, frames: Frames | None, notes: list[str]) -> list[Drawing]:
    if isinstance(data, dict) and "annotations" in data and "images" in data:
        return coco_drawings(data, path, frames, notes)
    if isinstance(data, dict) and "annotations" in data and "videos" in data:
        return video_drawings(data, path, frames)
    if isinstance(data, list) and data and isinstance(data[0], dict) and "segmentation" in data[0]:
        return [segment_drawing(data, path)]
    if isinstance(data, dict) and "shapes" in data:
        return [_labelme(data, path, notes)]
    raise MaskError(f"{path}: is neither COCO's JSON (images, annotations) nor labelme's (shapes); export it as COCO")


def _labelme(data: Mapping[str, Any], path: Path, notes: list[str]) -> Drawing:
    """Read a labelme file: shapes with one group id are one object, others one each; labels match across frames."""
    shapes: list[Shape] = []
    seen: Counter[str] = Counter()  # shapes with each label and no group
    skipped: Counter[str] = Counter()
    for item in data["shapes"]:
        kind, label, group = item.get("shape_type") or "polygon", str(item["label"]), item.get("group_id")
        points = np.array(item["points"], np.float64).reshape(-1, 2)
        if kind == "mask":
            draw = partial(_paste, str(item["mask"]), points, str(path))
        elif (polygon := _polygon(kind, points)) is not None:
            draw = partial(fill, [polygon])
        else:
            skipped[kind] += 1
            continue
        seen[label] += group is None
        part = f"#{group}" if group is not None else seen[label]
        key = label if label in NO_OBJECT else f"{label} {part}"
        shapes.append(Shape(key, label, draw))
    if skipped:
        notes.append(
            f"{path}: shapes without area are left out: {', '.join(f'{n} {kind}' for kind, n in skipped.items())}"
        )
    image = str(data.get("imagePath") or path.name).replace("\\", "/")
    size = stated_size(data.get("imageHeight"), data.get("imageWidth"))
    return Drawing(str(path), Path(image).stem, tuple(shapes), size)


def _polygon(kind: str, points: np.ndarray) -> np.ndarray | None:
    """Return the corners (n, 2) x, y of a shape; None if it has no area."""
    if kind in ("polygon", "rectangle", "rotation") and len(points) > 2:  # X-AnyLabeling stores four corners
        return points
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if kind == "circle" and len(points) == 2:
        radius, angles = np.hypot(*(points[1] - points[0])), np.arange(SIDES) * 2 * math.pi / SIDES
        return points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], -1)
    return None


def _paste(encoded: str, points: np.ndarray, name: str, size: Size) -> np.ndarray:
    """Place a labelme mask, a PNG in base64, with its upper left corner at its first point: (h, w) bool."""
    part = read_image(name, base64.b64decode(encoded)).values
    x, y = (int(value) for value in points.min(0))
    inside = np.zeros(size, bool)
    if min(x, y) < 0 or not (x + part.shape[1] <= size[1] and y + part.shape[0] <= size[0]):
        raise ValueError("it reaches beyond the image")
    inside[y : y + part.shape[0], x : x + part.shape[1]] = (part != 0) & (part != CLEAR)
    return inside


def _yolo(text: str, path: Path, several: bool) -> Drawing:
    """Read lines of a class and a polygon or box, in fractions of width and height.

    A class is one object if data.yaml in this folder or its parent names it "object N", as exports of this project do,
    or if there are `several` files. In a single file every line is an object.
    """
    names = _class_names(path)
    shapes = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            label, values = int(words[0]), np.array(words[1:], np.float64)
        except ValueError:
            label, values = -1, np.zeros(0)
        if label < 0 or values.size < 4 or not ((values >= -0.01) & (values <= 1.01)).all():
            raise MaskError(
                f"{path}: line {number} is no YOLO annotation, the number of a class and corners x y between 0 and 1; "
                "export it again"
            )
        outlined = values.size >= 6
        if outlined:
            polygon = values[: values.size // 2 * 2].reshape(-1, 2)  # an odd last number is a confidence
        else:
            x, y, w, h = values[:4]
            polygon = np.array([x, y]) + np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
        class_name = names.get(label, f"class {label}")
        known = int(class_name[7:]) if re.fullmatch("object [0-9]{1,9}", class_name) else None
        key = f"class {label}" if known or several else f"line {number}"
        name = class_name + ("" if outlined else " (a box)")
        shapes.append(Shape(key, name, partial(_fill_scaled, polygon), known))
    return Drawing(str(path), path.stem, tuple(shapes))


def _class_names(path: Path) -> dict[int, str]:
    """Return the names of classes in data.yaml, beside the labels or in the folder above, or in classes.txt."""
    folder = path.absolute().parent
    for file in (folder / "data.yaml", folder.parent / "data.yaml", folder / "classes.txt"):
        try:
            text = file.read_text(encoding="utf-8-sig")[:MAX_CLASSES]
            names = yaml.safe_load(text)["names"] if file.suffix == ".yaml" else text.splitlines()
            numbered = names.items() if isinstance(names, dict) else enumerate(names)
            return {int(i): str(name).strip() for i, name in numbered}
        except (OSError, ValueError, LookupError, TypeError, RecursionError, yaml.YAMLError):
            continue
    return {}


def _fill_scaled(polygon: np.ndarray, size: Size) -> np.ndarray:
    """Fill a polygon given in fractions of width and height."""
    return fill([polygon * np.array(size[::-1])], size)
