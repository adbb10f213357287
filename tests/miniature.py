"""Miniatures of the official layouts, made of generated video, and an oracle that knows their masks.

Object 9 of `late` appears at its fourth annotated frame; `still` has one frame; sizes are odd. All-frames videos reach
beyond the annotated frames on both sides.
"""

import contextlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.frames import FrameError, read_frame
from aot_jax.io.generated import make_video
from aot_jax.io.masks import binarise, write_mask
from aot_jax.tracker.answer import Answer

IDS = (1, 4, 9)
SIZES = {"late": (33, 47), "plain": (40, 52), "still": (35, 33)}
STEP = 5  # frames between annotated ones in YouTube-VOS
COUNTS = {"late": 6, "plain": 4, "still": 1}  # annotated frames
BEYOND = 2  # frames of an all-frames video after the last annotated one


def video(name: str, step: int = 1, late: bool = False, beyond: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames (t, h, w, 3) and true masks (t, h, w) with ids IDS; with `late`, 9 comes at frame 3 * step."""
    frames = (COUNTS[name] - 1) * step + 1 + beyond
    height, width = SIZES[name]
    seed = [*SIZES].index(name)
    images, masks = make_video(seed=(77, seed), frames=frames, height=height, width=width, objects=3)
    masks = np.array([0, *IDS], np.int32)[masks]
    if late:
        assert (masks[3 * step] == 9).any()
        masks[: 3 * step][masks[: 3 * step] == 9] = 0
    return images, masks


def _save(folder: Path, stem: str, image: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{stem}.jpg", quality=95)


def _list(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


class Miniature:
    """Writes a folder of datasets, and holds the true mask of every frame in it.

    Args:
        root: the folder.
        truth: write the masks of all frames, not only the given ones.
    """

    def __init__(self, root: Path, truth: bool) -> None:
        self.root = root
        self.truth = truth
        self.answers: dict[bytes, np.ndarray] = {}  # by the decoded frame
        self.masks: dict[tuple[str, str], np.ndarray] = {}  # by video and frame

    def _learn(self, folder: Path, name: str, stem: str, mask: np.ndarray) -> None:
        self.answers[read_frame(folder / name / f"{stem}.jpg").tobytes()] = mask
        self.masks[name, stem] = mask

    def relearn(self) -> None:
        """Read the masks of a folder that another process wrote with `youtubevos`, at 6 frames a second."""
        for path in self.root.glob("YouTubeVOS/*/valid/JPEGImages/*/*.jpg"):
            name = path.parent.name
            mask = video(name, STEP, late=name == "late")[1][int(path.stem)]
            with contextlib.suppress(FrameError):  # a test may have damaged the file
                self._learn(path.parents[1], name, path.stem, mask)

    def davis(self, listing: str, names=("late", "plain", "still")) -> "Miniature":
        """Write DAVIS/, where all objects are present from the first frame."""
        base = self.root / "DAVIS"
        for name in names:
            for t, (image, mask) in enumerate(zip(*video(name), strict=True)):
                _save(base / "JPEGImages/480p" / name, f"{t:05d}", image)
                self._learn(base / "JPEGImages/480p", name, f"{t:05d}", mask)
                if t == 0 or self.truth:
                    write_mask(base / "Annotations/480p" / name / f"{t:05d}.png", mask)
        if listing == "2016/val.txt":
            paths = "/JPEGImages/480p/{0}/{1:05d}.jpg /Annotations/480p/{0}/{1:05d}.png"
            _list(base / "ImageSets" / listing, [paths.format(n, t) for n in names for t in range(COUNTS[n])])
        else:
            _list(base / "ImageSets" / listing, list(names))
        return self

    def youtubevos(self, year: int, all_frames: bool) -> "Miniature":
        """Write YouTubeVOS/YEAR/valid, and valid_all_frames. `late` has only frames 5 to 25."""
        base = self.root / "YouTubeVOS" / str(year)
        categories = {1: "dog", 4: "unicycle", 9: "zebra"}
        meta = {}
        for name, count in COUNTS.items():
            images, masks = video(name, STEP, late=name == "late", beyond=BEYOND)
            stems = [f"{t * STEP:05d}" for t in range(count)]
            annotated = stems[1:] if name == "late" else stems
            starts = {1: annotated[0], 4: annotated[0], 9: "00015" if name == "late" else annotated[0]}
            objects = {
                str(i): {"category": categories[i], "frames": [s for s in annotated if s >= starts[i]]} for i in IDS
            }
            meta[name] = {"objects": objects}
            for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
                stem = f"{t:05d}"
                if stem in stems:
                    _save(base / "valid/JPEGImages" / name, stem, image)
                    self._learn(base / "valid/JPEGImages", name, stem, mask)
                if all_frames:
                    _save(base / "valid_all_frames/JPEGImages" / name, stem, image)
                    self._learn(base / "valid_all_frames/JPEGImages", name, stem, mask)
                if stem in annotated and (self.truth or stem in starts.values()):
                    write_mask(base / "valid/Annotations" / name / f"{stem}.png", mask)
        (base / "valid/meta.json").write_text(json.dumps({"videos": meta}))
        return self

    def folder(self) -> "Miniature":
        """Write JPEGImages/ and Annotations/ in the root."""
        for name in COUNTS:
            images, masks = video(name, late=name == "late")
            for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
                _save(self.root / "JPEGImages" / name, f"{t:05d}", image)
                self._learn(self.root / "JPEGImages", name, f"{t:05d}", mask)
                if t == 0 or self.truth or (name == "late" and t == 3):
                    write_mask(self.root / "Annotations" / name / f"{t:05d}.png", mask)
        return self


class Oracle:
    """A tracker that returns the true masks and checks its inputs.

    Args:
        answers: {decoded frame: true mask}.
        binary: answers have one object.
    """

    depth = 1

    def __init__(self, answers: dict[bytes, np.ndarray], binary: bool = False) -> None:
        self.answers = answers
        self.binary = binary
        self.steps = 0
        self.given: list[list[int]] = []  # ids of each given mask, over all videos

    def reset(self) -> None:
        self.known: set[int] = set()

    def submit(self, frame, mask=None):
        return Answer(self.step(frame, mask))

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        self.steps += 1
        true = self.answers[frame.tobytes()]
        true = binarise(true) if self.binary else true
        assert frame.shape == (*true.shape, 3)
        new = set(np.unique(true).tolist()) - {0} - self.known
        if new:
            np.testing.assert_array_equal(mask, np.where(np.isin(true, list(new)), true, 0))
            self.given.append(sorted(new))
        else:
            assert mask is None
        self.known |= new
        return true


def patch_command(monkeypatch, make_tracker) -> None:
    """Make eval.py use another tracker, without a network, on one device, scoring in this process."""
    monkeypatch.setattr("aot_jax.network.FoundNetwork.load", lambda *_: None)
    monkeypatch.setattr("aot_jax.evaluation.benchmark.Tracker", make_tracker)
    monkeypatch.setattr("aot_jax.evaluation.benchmark.copy_to_devices", lambda *_: [None])
    monkeypatch.setattr("aot_jax.evaluation.score.available_cores", lambda: 1)
