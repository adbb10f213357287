"""Convert raw folders once into prepared sets: random-access records and an index.

Without TensorFlow or TFDS the images stay where they are: see `scan.py`.

A prepared set lives in FOLDER/NAME-SPLIT-FINGERPRINT. The fingerprint hashes the raw files' names, sizes and times:
changed raw data is prepared again, into a new folder. TFDS writes to a temporary folder and renames it at the end, so
an interrupted preparation leaves no half-written set.
"""

import contextlib
import hashlib
import io
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from aot_jax.io import datasets
from aot_jax.io.datasets import DataError
from aot_jax.io.generated import VERSION, Recipe
from aot_jax.start.cache import cache_folder
from aot_jax.start.quiet_tensorflow import load_tensorflow
from data_pipeline.records import PreparedSet
from data_pipeline.scan import scan
from data_pipeline.walk import check_on_bad_file

# Class in `builders.py`, which needs TFDS, and its builder config, by data set.
_BUILDERS: dict[str, tuple[str, str | None]] = {
    "static": ("StaticImages", None),
    "videos": ("OwnVideos", None),
    "generated": ("Generated", None),
}
_BUILDERS |= {f"davis{year % 100}": ("Davis", str(year)) for year in (2016, 2017)}
_BUILDERS |= {f"youtube_vos{year % 100}": ("YoutubeVos", str(year)) for year in (2018, 2019)}


def default_folder() -> Path:
    """Return the default folder of prepared sets: in the user's cache, since raw data may be read-only."""
    return cache_folder() / "prepared"


def prepare(
    name: str,
    *,
    split: str = "train",
    root: Path | None = None,
    folder: Path | None = None,
    on_bad_file: str = "stop",
    recipe: Recipe | None = None,
    raw: bool | None = None,
) -> PreparedSet:
    """Open a prepared set; if it does not exist yet, write it, with a progress bar.

    Args:
      name: davis16, davis17, youtube_vos18, youtube_vos19, static, videos or generated.
      split: split of the raw set.
      root: folder of the raw data; None: $VOS_DATA, else ./data. Not needed if exactly one prepared set has this name.
      folder: folder of all prepared sets; None: `default_folder()`.
      on_bad_file: "stop" or "skip".
      recipe: recipe of generated videos.
      raw: leave images where they are (`scan.py`); None: only if records cannot be written and read.

    Raises:
      DataError: unknown name, no raw data, a bad file (named), or too little disk space.
    """
    if name not in _BUILDERS:
        raise DataError(f"unknown dataset {name!r}; use one of {', '.join(sorted(_BUILDERS))}")
    check_on_bad_file(on_bad_file)
    root, folder = root or datasets.data_root(), folder or default_folder()
    raw = not records_installed() if raw is None else raw
    what: datasets.Dataset | Recipe | None = None
    size = 0
    if name == "generated":
        what = recipe or Recipe()
        mark = _digest([str(VERSION), json.dumps(asdict(what))])
    else:
        try:
            what = datasets.find(name, root, split)
        except DataError:
            kept = [path for path in sorted(folder.glob(f"{name}-{split}-*")) if path.is_dir()]
            if len(kept) != 1 or raw:
                raise
            mark = kept[0].name.rsplit("-", 1)[1]
        else:
            mark, size = _fingerprint(what, on_bad_file)
    target = folder / f"{name}-{split}-{mark}"
    if raw and what:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # one process at a time prepares
            prepared = scan(name, what, folder / f"raw-{target.name}", on_bad_file)
    else:
        builder = _builder(name, what, data_dir=str(target), on_bad_file=on_bad_file)
        if not Path(builder.data_dir).is_dir():
            _write(builder, size)
        prepared = _open(builder, name, split)
    if prepared.left_out:
        print(_total(prepared), file=sys.stderr)
    return prepared


def records_installed() -> bool:
    """Tell whether the libraries that write and read records are installed."""
    try:
        load_tensorflow()
        import array_record
        import tensorflow_datasets
    except ImportError:
        return False
    return bool(array_record and tensorflow_datasets)


def _builder(name: str, what: Any, **kwargs: Any) -> Any:
    """Make the TFDS builder of a set."""
    from data_pipeline import builders

    class_name, config = _BUILDERS[name]
    return getattr(builders, class_name)(source=what, config=config, **kwargs)


def _total(prepared: PreparedSet) -> str:
    """Describe in one line what preparation left out of a set."""
    videos = [entry["video"] for entry in prepared.left_out if "video" in entry]
    whole = f", with them {len(videos)} whole video(s): {', '.join(videos)}" if videos else ""
    return (
        f"{prepared.name}: {len(prepared.left_out) - len(videos)} file(s) left out{whole}. "
        f"python -m data_pipeline.check RAW_FOLDER tells why; to prepare it anew, delete {prepared.folder}"
    )


def _write(builder: Any, size: int) -> None:
    import tensorflow_datasets as tfds

    target = Path(builder.data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    # TFDS first writes the records to temporary files: twice the size, for a while.
    free = shutil.disk_usage(target.parent).free
    if free < 2.1 * size:
        raise DataError(
            f"{target.parent}: {free / 2**30:.1f} GiB free, preparation needs {2.1 * size / 2**30:.1f}; "
            "name another disk with --config.data.prepared"
        )
    with FileLock(target.parent / ".lock"):
        if target.is_dir():
            return  # another process wrote it while this one waited
        for stale in target.parent.glob(f"{target.name}.incomplete*"):
            shutil.rmtree(stale)  # left by a killed process; no other process writes under this lock
        tfds.disable_progress_bar()  # `Walk` shows one with the total
        try:
            # TFDS makes a download folder and reports a download, though nothing is downloaded.
            with tempfile.TemporaryDirectory() as nothing, contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(file_format="array_record", download_dir=nothing)
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, DataError):
                    raise cause from None
                cause = cause.__cause__ or cause.__context__
            if isinstance(error, OSError):
                raise DataError(
                    f"{target}: preparation failed ({error}); free some space, or name another folder "
                    "with --config.data.prepared"
                ) from error
            raise
        finally:
            tfds.enable_progress_bar()


def _open(builder: Any, name: str, split: str) -> PreparedSet:
    import tensorflow_datasets as tfds

    # Read the metadata from the files: the builder object may be older than they are.
    stored = tfds.builder_from_directory(builder.data_dir)
    info = stored.info.splits[split]
    metadata = stored.info.metadata
    return PreparedSet(
        name=name,
        kind=metadata["kind"],
        folder=Path(builder.data_dir),
        files=tuple(Path(path) for path in info.filepaths),
        lengths=tuple(info.shard_lengths),
        videos=tuple(metadata["videos"]),
        left_out=tuple(metadata["left_out"]),
    )


def _fingerprint(source: datasets.Dataset, on_bad_file: str) -> tuple[str, int]:
    """Return a hash of every file's name, size and time, and the total size in bytes."""
    lines, total = [on_bad_file, source.kind, source.split], 0
    for video in source.videos:
        for pair in video.frames:
            for path in (pair.image, pair.mask):
                if path is None:
                    lines.append(f"{video.name}/{pair.name} -")
                else:
                    stat = path.stat()
                    total += stat.st_size
                    lines.append(f"{path.relative_to(source.root)} {stat.st_size} {stat.st_mtime_ns}")
    return _digest(lines), total


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(["2", *lines]).encode()).hexdigest()[:12]
