"""Which names of videos may become names of folders.

Lists come from strangers: a name such as `../../.ssh` would be read, or written, outside of the folder meant.
"""


def is_plain(name: str) -> bool:
    """Tell whether a name is that of one folder or file, not hidden, inside of any folder that it is joined to."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")
