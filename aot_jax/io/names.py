"""Names of videos, used as file or folder names, and of frames.

Name lists are untrusted input: a name such as `../../.ssh` would be read or written outside of the intended folder.
"""

from collections.abc import Sequence
from typing import Protocol

from aot_jax.typing import Size

ADDED = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")  # folders that systems add


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden, or one that an operating system or a disk station adds."""
    return name.startswith(".") or name in ADDED


def is_plain(name: str) -> bool:
    """Tell whether a name is a single, visible path component."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def video_name(name: str) -> str:
    """Return the name of a video for result folders: `name` if it is plain."""
    return name if is_plain(name) else "video"


def listed(items: Sequence[object], most: int = 8) -> str:
    """Join items for a message: the first `most`, and how many more there are."""
    return ", ".join(map(str, items[:most])) + (f" and {len(items) - most} more" if len(items) > most else "")


class Frames(Protocol):
    """The names of a video's frames; image files also have `paths`."""

    name: str  # name of the video, for result folders
    size: Size  # (h, w) of its frames
    expected: int | None  # number of frames, known or stated by the file (which may be wrong)

    def label(self, index: int) -> str:
        """Return the name of a frame's mask, without suffix."""

    def index_of(self, label: str) -> int | None:
        """Return the frame number for a mask name; None if it fits no frame."""


class NumberedFrames:
    """Frame names for a video whose frames are only numbered."""

    def label(self, index: int) -> str:
        """Return the name of a frame's mask, without suffix."""
        return f"{index:05d}"

    def index_of(self, label: str) -> int | None:
        """Return the frame number for a mask name; None if it is not a number."""
        return int(label) if label.isascii() and label.isdecimal() and len(label.lstrip("0")) < 10 else None
