"""The base of the errors that a command prints in one line."""


class ReportedError(ValueError):
    """Input or output that cannot be used; the message names the file, flag or field, its value and the remedy."""
