"""The one error of this package; every module raises it, command lines print it."""


class DataError(Exception):
    """Says which file, record or field is wrong, and what to do about it."""
