"""Helpers of the benchmarks: memory, the machine, tables, JSON, running a command."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from aot_jax.errors import ReportedError
from aot_jax.flags import parse_args
from aot_jax.start.cores import available_cores

LONGEST = 300  # most characters shown of an error


class BenchError(ReportedError):
    """Input that a benchmark cannot use."""


@contextlib.contextmanager
def fresh_compilation() -> Iterator[None]:
    """Disable the persistent compilation cache inside the context, so that compile times are real."""
    name = "jax_enable_compilation_cache"
    before = jax.config.values[name]
    jax.config.update(name, False)
    compilation_cache.reset_cache()  # JAX reads the setting once, at the first compilation
    try:
        yield
    finally:
        jax.config.update(name, before)
        compilation_cache.reset_cache()


def rss() -> float:
    """Return the resident memory of this process in MiB; on systems other than Linux, its peak."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    return peak_rss()


def peak_rss() -> float:
    """Return the peak resident memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def machine() -> dict[str, object]:
    """Return the device, load, versions and date."""
    device = jax.local_devices()[0]
    return {
        "device": device.device_kind if device.platform != "cpu" else _processor(),
        "platform": device.platform,
        "devices": jax.local_device_count(),
        "cores": available_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        "date": time.strftime("%Y-%m-%d"),
    }


def describe_machine() -> str:
    """Return the machine as one line of text."""
    m = machine()
    load = "" if m["load"] is None else f", load {m['load']:.1f} at the start"
    return (
        f"{m['date']}: {m['device']} ({m['platform']}, {m['cores']} cores{load}); "
        f"Python {m['python']}, jax {m['jax']}, flax {m['flax']}"
    )


def _processor() -> str:
    """Return the name of the CPU; on systems other than Linux, what Python knows of it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def format_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a text table; the first column is left-aligned, numbers have three digits, None is a dash."""
    cells = [list(headers)] + [[_cell(x) for x in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    lines = [
        "  ".join(x.ljust(w) if i == 0 else x.rjust(w) for i, (x, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return str(value)


def one_line(error: BaseException) -> str:
    """Return an error as one line of at most `LONGEST` characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]


def numbers(text: str) -> list[int]:
    """Parse "1,5,10" for argparse.

    Raises:
        argparse.ArgumentTypeError: if the text is not a list of positive integers.
    """
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of positive numbers such as 1,5,10")
    return values


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace, list[str]], dict[str, Any]],
    argv: list[str] | None,
) -> int:
    """Run a benchmark's command; returns the exit code, 2 for unusable input.

    Args:
        parser: parser of its flags, whose `prog` is how it is started; `--json FILE` is added.
        measure: takes flags and overrides of config fields, prints results and returns them for JSON. If they have an
            "error", it is printed at the end, and the exit code is 2.
        argv: arguments; None: those of the process.
    """
    parser.add_argument("--json", type=Path, metavar="FILE", help="write device, versions, command and figures there")
    args, overrides = parse_args(parser, argv)
    print(describe_machine(), flush=True)
    try:
        figures = measure(args, overrides)
        if args.json is not None:
            command = shlex.join([*parser.prog.split(), *(sys.argv[1:] if argv is None else argv)])
            args.json.write_text(json.dumps({"machine": machine(), "command": command, **figures}, indent=1) + "\n")
    except (ReportedError, OSError) as error:
        figures = {"error": error}
    if "error" in figures:
        print(f"error: {figures['error']}", file=sys.stderr)
        return 2
    return 0
