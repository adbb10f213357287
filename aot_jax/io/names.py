"""Names of videos, used as file or folder names, and of frames.

Name lists are untrusted input: a name such as `../../.ssh` would be read or written outside of the intended folder.
"""


def is_plain(name: str) -> bool:
    """Tell whether a name is a single, visible path component."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def video_name(name: str) -> str:
    """Return the name of a video for result folders: `name` if it is plain."""
    return name if is_plain(name) else "video"


class NumberedFrames:
    """Frame names for a video whose frames are only numbered."""

    def label(self, index: int) -> str:
        """Return the name of a frame's mask, without suffix."""
        return f"{index:05d}"

    def index_of(self, label: str) -> int | None:
        """Return the frame number for a mask name; None if it is not a number."""
        return int(label) if label.isascii() and label.isdecimal() and len(label.lstrip("0")) < 10 else None
