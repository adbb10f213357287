"""Names of videos, used as file or folder names, and of frames.

Name lists are untrusted input: a name such as `../../.ssh` would be read or written outside of the intended folder.
"""

BESIDE = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")  # folders that systems add


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is hidden, or one that an operating system or a disk station adds."""
    return name.startswith(".") or name in BESIDE


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
