"""Turn raw folders into prepared sets, once: random-access records and an index. `pipeline.py` calls it.

A prepared set lives in FOLDER/NAME-SPLIT-FINGERPRINT. The fingerprint is of the raw files' names, sizes and times, so
changed raw data is prepared anew beside the old set, and unchanged data never again. TFDS writes into a temporary
folder and renames it at the end: an interrupted preparation leaves nothing that could be mistaken for a prepared set.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow_datasets as tfds

from aot_jax.io import datasets
from aot_jax.io.generated import VERSION, Recipe
from aot_jax.start import cache_folder
from data_pipeline.builders import Davis, FrameBuilder, Generated, OwnVideos, StaticImages, YoutubeVos
from data_pipeline.errors import DataError

_BUILDERS: dict[str, tuple[type[FrameBuilder], str | None]] = {
    "static": (StaticImages, None),
    "videos": (OwnVideos, None),
    "generated": (Generated, None),
}
_BUILDERS |= {f"davis{year % 100}": (Davis, str(year)) for year in (2016, 2017)}
_BUILDERS |= {f"youtube_vos{year % 100}": (YoutubeVos, str(year)) for year in (2018, 2019)}


@dataclass(frozen=True)
class PreparedSet:
    """A set that is ready to be read."""

    name: str
    kind: str  # davis, youtube_vos, static, videos or generated
    split: str
    folder: Path  # of the records: `tfds.builder_from_directory` opens it
    files: tuple[Path, ...]  # ArrayRecord files, in record order
    lengths: tuple[int, ...]  # records in each
    videos: tuple[dict, ...]  # name, group, frames and objects, see `builders.py`
    left_out: tuple[dict, ...]  # file or video, and why


def default_folder() -> Path:
    """Return where prepared sets go when no folder is named: the user's cache, as raw data may be read-only."""
    return cache_folder() / "prepared"


def prepare(
    name: str,
    *,
    split: str = "train",
    root: Path | None = None,
    folder: Path | None = None,
    on_bad_file: str = "stop",
    recipe: Recipe | None = None,
) -> PreparedSet:
    """Open a prepared set; write it first where it does not exist yet, with a progress bar.

    Args:
      name: davis16, davis17, youtube_vos18, youtube_vos19, static, videos or generated.
      split: of the raw set.
      root: raw data; $VOS_DATA, else ./data. Not needed once prepared, if just one prepared set has this name.
      folder: of all prepared sets.
      on_bad_file: "stop" or "skip".
      recipe: of generated videos.

    Raises:
      DataError: unknown name, no raw data, a bad file (named), or too little disk space.
    """
    if name not in _BUILDERS:
        raise DataError(f"unknown dataset {name!r}; use one of {', '.join(sorted(_BUILDERS))}")
    root, folder = root or datasets.data_root(), folder or default_folder()
    arguments: dict = {"on_bad_file": on_bad_file}
    if name == "generated":
        arguments["recipe"] = recipe or Recipe()
        mark, size = _digest([str(VERSION), json.dumps(asdict(arguments["recipe"]))]), 0
    else:
        try:
            arguments["source"] = datasets.find(name, root, split)
        except DataError:
            kept = sorted(folder.glob(f"{name}-{split}-*"))
            kept = [path for path in kept if path.is_dir()]
            if len(kept) != 1:
                raise
            mark, size = kept[0].name.rsplit("-", 1)[1], 0
        else:
            mark, size = _fingerprint(arguments["source"], on_bad_file)
    builder_class, config = _BUILDERS[name]
    builder = builder_class(data_dir=str(folder / f"{name}-{split}-{mark}"), config=config, **arguments)
    if not Path(builder.data_dir).is_dir():
        _write(builder, size)
    prepared = _open(builder, name, split)
    if prepared.left_out:
        print(_total(prepared), file=sys.stderr)
    return prepared


def _total(prepared: PreparedSet) -> str:
    """Say how much of a set was left out when it was prepared."""
    videos = [entry["video"] for entry in prepared.left_out if "video" in entry]
    whole = f", with them {len(videos)} whole video(s): {', '.join(videos)}" if videos else ""
    return (
        f"{prepared.name}: {len(prepared.left_out) - len(videos)} file(s) left out{whole}. "
        f"Why each: delete {prepared.folder} and prepare it anew, or python -m data_pipeline.check"
    )


def _write(builder: FrameBuilder, size: int) -> None:
    target = Path(builder.data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    # TFDS buckets the records in temporary files before it writes them: twice the size, for a while.
    free = shutil.disk_usage(target.parent).free
    if free < 2.1 * size:
        raise DataError(
            f"{target.parent}: {free / 2**30:.1f} GiB free, preparation needs {2.1 * size / 2**30:.1f}; "
            "name another disk with --config.data.prepared"
        )
    with _lock(target.parent / ".lock"):
        if target.is_dir():
            return  # another process wrote it while this one waited
        for stale in target.parent.glob(f"{target.name}.incomplete*"):
            shutil.rmtree(stale)  # of a process that was killed: nobody else writes while this one holds the lock
        tfds.disable_progress_bar()  # ours knows the total
        try:
            # TFDS makes a download folder and speaks of downloading, though nothing comes down.
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
                    f"{target}: preparation failed ({error}); make room, or name another folder "
                    "with --config.data.prepared"
                ) from error
            raise
        finally:
            tfds.enable_progress_bar()


def _open(builder: FrameBuilder, name: str, split: str) -> PreparedSet:
    # Read from the files alone, as anybody's TFDS would: the builder object may be older than they are.
    stored = tfds.builder_from_directory(builder.data_dir)
    info = stored.info.splits[split]
    metadata = stored.info.metadata
    return PreparedSet(
        name=name,
        kind=metadata["kind"],
        split=split,
        folder=Path(builder.data_dir),
        files=tuple(Path(path) for path in info.filepaths),
        lengths=tuple(info.shard_lengths),
        videos=tuple(metadata["videos"]),
        left_out=tuple(metadata["left_out"]),
    )


def _fingerprint(source: datasets.Dataset, on_bad_file: str) -> tuple[str, int]:
    """Return a hash of every file's name, size and time, and the sizes' sum in bytes."""
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
    return hashlib.sha256("\n".join(["1", *lines]).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process of this machine (or shared disk, where it supports locks) prepare at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
