"""State of a video in the browser: objects, given and tracked masks, and the status of each frame.

OUTPUT/masks/FRAME.png   palette PNGs of all frames with a mask, as written by `track.py`
OUTPUT/given/FRAME.png   masks drawn or loaded
OUTPUT/browser.json      object names, status of each frame, and the token of the page's address
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aot_jax.browser.frames import Frames
from aot_jax.browser.record import Record
from aot_jax.io.files import atomic_write
from aot_jax.io.masks import object_ids, read_mask, write_mask
from aot_jax.io.sources import Source
from aot_jax.preprocess import resize_nearest
from aot_jax.runs import RunError
from aot_jax.video.results import DRAWN, mask_path

NOTHING, TRACKED, GIVEN, CORRECTED, LOST = range(5)  # status of a frame, also used by timeline.js
MOST_OBJECTS = 255  # most objects; the page uses one byte per pixel, 0 for background
MOST_ID = 65535  # largest id of a mask file
SAVE_EVERY = 2.0  # shortest time between writes of browser.json while tracking, in seconds


class SessionError(RunError):
    """A request of the page cannot be fulfilled; the message is shown there."""


class Session:
    """State of the page. All methods may be called from any thread.

    Args:
        source: the video.
        folder: results folder; it exists.
        settings: settings of the run, as for `Record`.

    Attributes: `names` of the objects by id, 1 .. MOST_ID, in the order of the page's list; `status` of each frame;
    `say` is called with each message for the page, a JSON object with a field "type".
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        settings: Callable[[str], Mapping[str, Any]] = lambda digest: {"prompts": digest},
    ) -> None:
        self.source, self.folder = source, folder
        self.say: Callable[[dict[str, Any]], None] = lambda _: None
        self.record = Record(source, folder, settings)
        self.frames = Frames(source)
        self.lock = threading.RLock()
        self.token, self.names, kept = self._read() or (secrets.token_urlsafe(24), {}, b"")
        self.status = bytearray(self.frames.count)
        for index in range(min(len(kept), len(self.status))):
            self.status[index] = kept[index] if kept[index] <= LOST else NOTHING
        self._take_up_files()
        self._saved = 0.0
        self.save()

    def _read(self) -> tuple[str, dict[int, str], bytes] | None:
        """Read token, names and status from browser.json; None if it is missing or damaged."""
        try:
            saved = json.loads((self.folder / "browser.json").read_text("utf-8"))
            names = {int(item["id"]): str(item["name"]) for item in saved["objects"]}
            if not saved["token"] or not all(0 < id_ <= MOST_ID for id_ in names):
                return None
            return str(saved["token"]), names, base64.b64decode(saved["status"])
        except (OSError, LookupError, TypeError, ValueError):
            return None

    def _take_up_files(self) -> None:
        """Update the status of frames from mask files that another command or a killed server left."""
        masks, given = (
            {self.source.index_of(path.stem) for path in (self.folder / name).glob("*.png")}
            for name in ("masks", DRAWN)
        )
        for index, kind in enumerate(self.status):
            found = GIVEN if index in given else TRACKED if index in masks else NOTHING
            if found == NOTHING or kind in (NOTHING, TRACKED):
                self.status[index] = found
        if not self.names:
            first = next((i for i, kind in enumerate(self.status) if kind), None)
            if first is not None:
                self.add_ids(np.unique(self.labels(first)).tolist())

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return the page's list of objects, as JSON."""
        with self.lock:
            return [{"id": id_, "name": name} for id_, name in self.names.items()]

    def save(self, now: bool = True) -> None:
        """Write browser.json; with `now` False, at most every `SAVE_EVERY` seconds."""
        with self.lock:
            if not now and time.monotonic() - self._saved < SAVE_EVERY:
                return
            self._saved = time.monotonic()
            content = {
                "token": self.token,
                "objects": self.objects,
                "status": base64.b64encode(self.status).decode(),
            }
            with atomic_write(self.folder / "browser.json") as temporary:
                temporary.touch(mode=0o600)  # it holds the token
                temporary.write_text(json.dumps(content), "utf-8")

    def mask_path(self, index: int) -> Path:
        """Return the path of a frame's mask."""
        return mask_path(self.folder, self.source, index)

    def given_path(self, index: int) -> Path:
        """Return the path of a frame's given mask."""
        return self.folder / DRAWN / f"{self.source.label(index)}.png"

    def check(self, index: int) -> int:
        """Return the frame number if the frame exists.

        Raises:
            SessionError: there is no such frame.
        """
        if not 0 <= index < len(self.status):
            raise SessionError(f"there is no frame {index}: {self.source.name} has {len(self.status)}, from 0")
        return index

    def labels(self, index: int) -> np.ndarray:
        """Return the mask of a frame, (h, w) int32 ids; zeros if it has none."""
        for path in (self.given_path(index), self.mask_path(index)):
            if path.exists():
                labels = read_mask(path)
                # A command with --output_height may have begun the run.
                return labels if labels.shape == self.source.size else resize_nearest(labels, self.source.size)
        return np.zeros(self.source.size, np.int32)

    def places(self, index: int) -> np.ndarray:
        """Return the mask of a frame for the page: (h, w) uint8 positions in the object list, from 1; 0 background."""
        labels = self.labels(index)
        with self.lock:
            self.add_ids(object_ids(labels))
            ids = np.array([0, *self.names])
        table = np.zeros(MOST_ID + 1, np.uint8)
        table[ids] = np.arange(len(ids))
        return table[labels]

    def to_ids(self, places: np.ndarray) -> np.ndarray:
        """Convert a mask of the page, (h, w) positions in the object list, to ids (h, w) int32.

        Raises:
            SessionError: a position is not in the list.
        """
        with self.lock:
            ids = np.array([0, *self.names], np.int32)
        if places.max(initial=0) >= len(ids):
            raise SessionError("a mask with an object that is not in the list; reload the page")
        return ids[places]

    def give(self, index: int, labels: np.ndarray) -> None:
        """Store a given mask (h, w) of ids for a frame; an empty mask removes the frame's masks."""
        with self.lock:
            before = self.status[self.check(index)]
            known = before != NOTHING and np.array_equal(self.labels(index), labels)
            if known and labels.any():  # as when a command's mask is given again, to go on with its run
                if before in (TRACKED, LOST):
                    write_mask(self.given_path(index), labels)
                    self.record.given_changed()
                    self.mark(index, GIVEN)
                    self.save()
                return
            self.record.drop()
            if labels.any():
                write_mask(self.given_path(index), labels)
                write_mask(self.mask_path(index), labels)
                was_tracked = before in (TRACKED, LOST, CORRECTED)
                self.mark(index, CORRECTED if was_tracked else GIVEN)
            else:
                self.given_path(index).unlink(missing_ok=True)
                self.mask_path(index).unlink(missing_ok=True)
                self.mark(index, NOTHING)
            self.save()

    def track(self, index: int, labels: np.ndarray, lost: bool) -> None:
        """Store a tracked mask (h, w) of ids for a frame; `lost` tells whether an object is missing in it."""
        write_mask(self.mask_path(index), labels)
        with self.lock:
            self.status[index] = LOST if lost else TRACKED
            self.save(now=False)

    def mark(self, index: int, status: int) -> None:
        """Set the status of a frame and send it to the page."""
        self.status[index] = status
        self.say({"type": "frame", "index": index, "status": status})

    def notice(self, text: str, level: str = "error") -> None:
        """Show a text on the page; `level` is "error" or "info"."""
        self.say({"type": "notice", "level": level, "text": text})

    def given(self) -> list[int]:
        """Return the numbers of frames with a given mask, ascending."""
        return [i for i, kind in enumerate(self.status) if kind in (GIVEN, CORRECTED)]

    def set_count(self, count: int) -> None:
        """Set the true number of frames, once known."""
        with self.lock:
            if count != len(self.status):
                self.status = self.status[:count] + bytearray(max(0, count - len(self.status)))
                self.say({"type": "count", "count": count})
                self.say({"type": "status", "status": list(self.status)})

    def add_ids(self, ids: Sequence[int]) -> None:
        """Add ids to the object list if they are not in it.

        Raises:
            SessionError: there are more than `MOST_OBJECTS`, or an id is out of range.
        """
        if wrong := [i for i in ids if not 0 <= i <= MOST_ID]:
            raise SessionError(f"an object has the id {wrong[0]}, and mask files hold 1 to {MOST_ID}: renumber it")
        with self.lock:
            new = {i: "" for i in ids if i and i not in self.names}
            if len(self.names) + len(new) > MOST_OBJECTS:
                raise SessionError(f"more than {MOST_OBJECTS} objects, which is what the page draws; use track.py")
            if new:
                self.names |= new
                self.say({"type": "objects", "objects": self.objects})

    def rename(self, id_: int, name: str) -> None:
        """Name an object."""
        with self.lock:
            if id_ in self.names:
                self.names[id_] = name.strip()[:60]
            self.save()

    def remove(self, id_: int) -> None:
        """Remove an object from the list and from every mask.

        Raises:
            SessionError: there is no such object.
        """
        with self.lock:
            if id_ not in self.names:
                raise SessionError(f"there is no object {id_}")
            self.record.drop()
            del self.names[id_]
            masked = [index for index, kind in enumerate(self.status) if kind != NOTHING]
            paths = [path(index) for index in masked for path in (self.given_path, self.mask_path)]
            for path in filter(Path.exists, paths):
                labels = read_mask(path)
                if (labels == id_).any():
                    labels = np.where(labels == id_, 0, labels)
                    if labels.any() or path.parent.name == "masks":
                        write_mask(path, labels)
                    else:
                        path.unlink()
            for index in self.given():
                if not self.given_path(index).exists():
                    self.status[index] = TRACKED
            self.save()
        self.say({"type": "objects", "objects": self.objects})
        self.say({"type": "status", "status": list(self.status)})
