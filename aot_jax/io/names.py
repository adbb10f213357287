"""Check names of videos that are used as file or folder names.

Name lists are untrusted input: a name such as `../../.ssh` would be read or written outside of the intended folder.
"""


def is_plain(name: str) -> bool:
    """Tell whether a name is a single, visible path component."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")
