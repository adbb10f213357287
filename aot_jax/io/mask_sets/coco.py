"""Read COCO and YouTube-VIS JSON as drawings: polygons and run lengths of the frames of a video."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aot_jax.io.mask_sets.drawings import Drawing, Shape, stated_size
from aot_jax.io.mask_sets.shapes import decode_runs, fill
from aot_jax.io.mask_sets.stored import MaskError
from aot_jax.io.names import Frames
from aot_jax.typing import Size


def coco_drawings(data: Mapping[str, Any], path: Path, frames: Frames | None, notes: list[str]) -> list[Drawing]:
    """Return the annotated images of a COCO file, in its order: those named like frames of the video, if any; else all.

    Annotations with the same `track_id` (a field, or in `attributes`) are one object. Without it, each annotation of a
    single image is an object; across several images each category is one object, if no image has it twice.

    Raises:
        MaskError: there are several images without `track_id`, and one has two annotations of a category.
        LookupError, TypeError, ValueError: not a COCO file.
    """
    images, names = {str(image["id"]): image for image in data["images"]}, _category_names(data)
    found: dict[str, list[Mapping[str, Any]]] = {}  # image id -> its annotations; some tools write numbers as texts
    for annotation in data["annotations"]:
        if str(annotation["image_id"]) in images and (annotation.get("segmentation") or annotation.get("bbox")):
            found.setdefault(str(annotation["image_id"]), []).append(annotation)
    chosen = _of_video([number for number in images if number in found], images, frames)
    if len(chosen) < len(found):
        notes.append(f"{path}: {len(found) - len(chosen)} of its {len(found)} annotated images are no frames, not used")
    every = [annotation for number in chosen for annotation in found[number]]
    tracked = bool(every) and all(isinstance(_track(annotation), int | str) for annotation in every)
    by_category = len(chosen) > 1 and not tracked
    if by_category:
        for number in chosen:
            twice = Counter(annotation.get("category_id") for annotation in found[number]).most_common(1)[0]
            if twice[1] > 1:
                raise MaskError(
                    f"{path}: which object is which from image to image is not said (no track_id), and image "
                    f"{images[number].get('file_name')} has {twice[1]} of category {names.get(twice[0], twice[0])}; "
                    "give a file of one image"
                )
    drawings = []
    for number in chosen:
        image = images[number]
        shapes: list[Shape] = []
        for annotation in found[number]:
            name = names.get(annotation.get("category_id"), "object")
            name += "" if annotation.get("segmentation") else " (a box)"
            track = _track(annotation) if tracked else None
            key = f"track {track}" if tracked else f"category {name}" if by_category else f"annotation {len(shapes)}"
            stated = track if isinstance(track, int) else None
            shapes.append(Shape(key, name, partial(_draw, _outline(annotation)), stated))
        file = str(image.get("file_name", number))
        size = stated_size(image.get("height"), image.get("width"))
        drawings.append(Drawing(f"{path}: {file}", Path(file.replace("\\", "/")).stem, tuple(shapes), size))
    return drawings


def video_drawings(data: Mapping[str, Any], path: Path, frames: Frames | None) -> list[Drawing]:
    """Return the frames of a YouTube-VIS file: each annotation is an object, with a segmentation or null per frame.

    Raises:
        MaskError: it does not hold exactly one video, or exactly one of this name.
        LookupError, TypeError, ValueError: not a YouTube-VIS file.
    """
    videos = data["videos"]
    if len(videos) > 1 and frames is not None:
        videos = [v for v in videos if frames.name in (v.get("name"), Path(v["file_names"][0]).parent.name)]
    if len(videos) != 1:
        raise MaskError(
            f"{path}: holds {len(data['videos'])} videos, and not one of this name; give a file of this one"
        )
    video = videos[0]
    names = _category_names(data)
    objects = [annotation for annotation in data["annotations"] if annotation["video_id"] == video["id"]]
    drawings = []
    for t, file in enumerate(video["file_names"]):
        shapes = tuple(
            Shape(f"{n}", names.get(item.get("category_id"), "object"), partial(_draw, item["segmentations"][t]))
            for n, item in enumerate(objects)
            if item["segmentations"][t]
        )
        if shapes:
            size = (int(video["height"]), int(video["width"]))
            drawings.append(Drawing(f"{path}: {file}", Path(file).stem, shapes, size))
    return drawings


def _category_names(data: Mapping[str, Any]) -> dict[Any, str]:
    return {category["id"]: str(category.get("name", category["id"])) for category in data.get("categories", ())}


def _of_video(numbers: list[Any], images: Mapping[Any, Mapping[str, Any]], frames: Frames | None) -> list[Any]:
    """Return the ids of the images that are frames of the video: in its folder, else by name; else all."""
    if frames is None:
        return numbers
    files = {number: Path(str(images[number].get("file_name", "")).replace("\\", "/")) for number in numbers}
    named = [number for number in numbers if frames.index_of(files[number].stem) is not None]
    of_folder = [number for number in named if files[number].parent.name == frames.name]
    return of_folder or named or numbers


def segment_drawing(items: list[Mapping[str, Any]], path: Path) -> Drawing:
    """Return a list of segments, as written by automatic mask generators, as the objects of one frame.

    Raises:
        MaskError: they are of several images.
        LookupError, TypeError, ValueError: not such a list.
    """
    images = {str(item.get("image_id")) for item in items}
    if len(images) > 1:
        raise MaskError(
            f"{path}: is a list of segments of {len(images)} images (image_id), without their names; give those of one "
            "image, or a file with images and annotations"
        )
    size = items[0]["segmentation"]["size"]
    shapes = [Shape(f"{n}", "segment", partial(_draw, item["segmentation"])) for n, item in enumerate(items)]
    return Drawing(str(path), path.stem, tuple(shapes), (int(size[0]), int(size[1])))


def _outline(annotation: Mapping[str, Any]) -> Any:
    """Return an annotation's segmentation, or its box as a polygon."""
    if annotation.get("segmentation"):
        return annotation["segmentation"]
    x, y, w, h = annotation["bbox"]
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def _track(annotation: Mapping[str, Any]) -> Any:
    """Return the `track_id` of an annotation; None if it has none."""
    attributes = annotation.get("attributes")
    return annotation.get("track_id", attributes.get("track_id") if isinstance(attributes, dict) else None)


def _draw(segmentation: Any, size: Size) -> np.ndarray:
    """Draw run lengths or polygons: (h, w) bool. Raises ValueError if it is neither."""
    if isinstance(segmentation, dict):
        if list(segmentation.get("size", size)) != list(size):
            raise ValueError(f"its size is {segmentation.get('size')}, its image's {list(size)}")
        return decode_runs(segmentation.get("counts", ""), size)
    try:
        polygons = [np.array(polygon, np.float64) for polygon in segmentation]
    except (TypeError, ValueError):
        raise ValueError("it is neither polygons nor run lengths") from None
    if any(not polygon.ndim or polygon.size % 2 for polygon in polygons):
        raise ValueError("a polygon is a list of numbers x, y, x, y, ..., and a segmentation a list of polygons")
    return fill([polygon.reshape(-1, 2) for polygon in polygons], size)
