"""Start of a command: prepare the process, run its `main`, report errors of the machine in one line.

Importing it loads neither JAX nor the rest of the package.
"""

import contextlib
import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn, ParamSpec

from aot_jax.errors import ReportedError
from aot_jax.start.cache import keep_compiled
from aot_jax.start.huge_pages import use_huge_pages
from aot_jax.start.trouble import machine_trouble

P = ParamSpec("P")


def prepare_process() -> None:
    """Set up this process, before JAX is imported; may restart Python, see `use_huge_pages`."""
    use_huge_pages()
    keep_compiled()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
        # While modules load, Ctrl-C just ends the process, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command's `main` and exit with its return value."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal's encoding lacks
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with reports_trouble():
        code = main()
    sys.exit(code)


def reports_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Decorate a command's `main`: a `ReportedError` or OSError becomes one line and exit code 2."""

    @functools.wraps(main)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except BrokenPipeError:  # the reader of the output has ended, as in `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its exit
            return 1
        except (ReportedError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return reporting


@contextlib.contextmanager
def reports_trouble() -> Iterator[None]:
    """Turn an error of the machine (see `machine_trouble`) into one line and exit code 2."""
    try:
        yield
    except Exception as error:
        remedy = machine_trouble(error)
        if remedy is None:
            raise
        print(f"error: {remedy}", file=sys.stderr)
        sys.exit(2)
