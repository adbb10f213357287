"""Iterate over the frames of a data set to be stored, and record what is kept and what is left out, with the reason."""

import io
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image
from tqdm import tqdm

from aot_jax.io.datasets import DataError, Dataset, Video
from aot_jax.io.generated import Recipe, make_videos
from data_pipeline.frames import EncodedFrame, ReadResult, count_pixels, encode_ids, read_videos


class Walk:
    """Yields (video name, encoded frame) for all frames that can be stored, with a progress bar.

    Args:
      what: the files, or the recipe of procedural videos.
      on_bad_file: "stop" raises at the first bad file; "skip" leaves it out, prints a line and adds it to `left_out`.

    Attributes:
      found: the index for sampling, JSON-compatible: `kind` of the set, which selects the largest gap between sampled
        frames; `videos`, each with its frames in order and their pixels per id; and `left_out`, files and videos with
        the reason. Complete once all frames have been yielded.

    Raises:
      DataError: a bad file (named), or no frame with a mask.
    """

    def __init__(self, what: Dataset | Recipe, on_bad_file: str) -> None:
        check_on_bad_file(on_bad_file)
        self._what, self._on_bad_file = what, on_bad_file
        self._videos: list[dict] = []
        self._left_out: list[dict[str, str]] = []
        kind = what.kind if isinstance(what, Dataset) else "generated"
        self.found = {"kind": kind, "videos": self._videos, "left_out": self._left_out}

    def __iter__(self) -> Iterator[tuple[str, EncodedFrame]]:
        videos: Iterator[tuple[str, Iterator[EncodedFrame | None]]]
        if isinstance(self._what, Recipe):
            what, total = "generated videos", self._what.videos * self._what.frames
            videos = _draw(self._what)
        else:
            what, total = str(self._what.root), sum(len(video.frames) for video in self._what.videos)
            videos = ((v.name, self._checked(v, frames)) for v, frames in read_videos(self._what, _tell))
        with tqdm(total=total, desc=f"prepare {what}", unit="frame", mininterval=0.5, dynamic_ncols=True) as bar:
            for name, frames in videos:
                names, objects = [], []
                for frame in frames:
                    bar.update()
                    if frame is not None:
                        names.append(frame.name)
                        objects.append({str(k): v for k, v in frame.objects.items()})
                        yield name, frame
                if names:
                    self._videos.append({"name": name, "frames": names, "objects": objects})
                elif self.found["kind"] != "static":  # a still image is one file, already reported
                    why = f"{name}: no frame of this video has an image and a mask that can be used"
                    self._leave_out("video", name, why)
        if not self._videos:
            raise DataError(f"{what}: no frame with a mask found; try: python -m data_pipeline.check {what}")

    def _checked(self, video: Video, frames: Iterator[ReadResult]) -> Iterator[EncodedFrame | None]:
        """Yield a video's frames; None for one that is not stored."""
        for pair, frame in zip(video.frames, frames, strict=True):
            if not isinstance(frame, DataError):
                yield frame
                continue
            if self._on_bad_file == "stop":
                raise DataError(f"{frame}. To leave bad files out: --config.data.on_bad_file=skip") from frame
            self._leave_out("file", f"{video.name}/{pair.name}", str(frame))
            yield None

    def _leave_out(self, what: str, name: str, why: str) -> None:
        tqdm.write(f"left out: {why}", file=sys.stderr)
        self._left_out.append({what: name, "why": why})


def check_on_bad_file(value: str) -> None:
    """Raise DataError unless `value` is "stop" or "skip"."""
    if value not in ("stop", "skip"):
        raise DataError(f"on_bad_file is {value!r}; use 'stop' or 'skip'")


def _tell(note: str) -> None:
    tqdm.write(f"note: {note}", file=sys.stderr)


def _draw(recipe: Recipe) -> Iterator[tuple[str, Iterator[EncodedFrame]]]:
    """Yield the name and encoded frames of each procedural video."""
    for index, (images, masks) in enumerate(make_videos(recipe)):
        yield f"{recipe.seed}-{index:04d}", _encode(images, masks)


def _encode(images: np.ndarray, masks: np.ndarray) -> Iterator[EncodedFrame]:
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        jpeg = io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=95)
        yield EncodedFrame(f"{t:05d}", jpeg.getvalue(), encode_ids(mask, f"{t:05d}"), count_pixels(mask))
