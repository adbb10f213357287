"""Run trackers over the videos of a split, on all devices, and record which videos are finished."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import jax
from tqdm import tqdm

from aot_jax.evaluation.segment import segment
from aot_jax.evaluation.splits import Split, SplitVideo
from aot_jax.evaluation.timing import Timing
from aot_jax.io.mask_writer import MaskWriter
from aot_jax.network import Model
from aot_jax.runs import RunError, read_json, write_json
from aot_jax.start.compiled import free_programs
from aot_jax.tracker.batch import FrameTracker

PATIENCE = 60.0  # longest wait for files of other hosts to appear on a shared disk, in seconds


class FinishedVideos:
    """Record of finished videos: OUTPUT/.run/videos/VIDEO.json, written when all masks of a video are on disk.

    Args:
        output: results folder.
        masks: folder with a folder of masks for each video.
    """

    PATTERN = ".run/videos/*.json"  # relative to the results folder

    def __init__(self, output: Path, masks: Path) -> None:
        self._folder = (output / self.PATTERN).parent
        self._masks = masks

    def get(self, sequence: SplitVideo) -> Timing | None:
        """Return the timing of a video if it is finished and all its masks exist, else None."""
        try:
            record = read_json(self._folder / f"{sequence.name}.json")
            timing = Timing(**record | {"warnings": tuple(record["warnings"])})
        except (RunError, TypeError, KeyError):
            return None
        folder = self._masks / sequence.name
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        complete = all(f"{frame.stem}.png" in there for frame in sequence.frames)
        return timing if complete and timing.all_frames == len(sequence.frames) else None

    def add(self, sequence: SplitVideo, timing: Timing) -> None:
        """Record a video as finished; its masks must be on disk."""
        write_json(self._folder / f"{sequence.name}.json", asdict(timing))

    def wait_for(self, sequences: Iterable[SplitVideo]) -> dict[str, Timing]:
        """Return the timings of all videos, waiting for those of other hosts.

        Raises:
            RunError: a video is still missing after `PATIENCE`.
        """
        timings, until = {}, time.monotonic() + PATIENCE
        for sequence in sequences:
            while (timing := self.get(sequence)) is None:
                if time.monotonic() > until:
                    raise RunError(
                        f"{self._masks / sequence.name}: another host should have written its masks; "
                        "give a folder that all hosts share with --output"
                    )
                time.sleep(0.2)
            timings[sequence.name] = timing
        return timings


def run_split(
    trackers: Sequence[Sequence[FrameTracker]],
    split: Split,
    output: Path,
    finished: FinishedVideos | None = None,
    sequences: Sequence[SplitVideo] | None = None,
    progress: bool = True,
    title: str = "",
) -> dict[str, Timing]:
    """Segment every video of a split and write palette PNGs to `output`/[split.folder/]VIDEO/FRAME.png.

    Each device has its own thread and takes the next videos from a queue. After an error no new video starts;
    those under way are finished.

    Args:
        trackers: for each device the trackers of the videos that run on it at once.
        split: split to evaluate.
        output: results folder.
        finished: record of finished videos, which are skipped; new ones are added.
        sequences: videos of the split to segment; None: all.
        progress: show a progress bar on a terminal.
        title: title of the bar; empty: the split's name.

    Returns:
        {video: timing} of `sequences`.

    Raises:
        FrameError, MaskError: a file cannot be used.
        TrackError: a mask or frame does not fit; the message names the file.
        OSError: a mask cannot be written.
        In each case, finished videos stay.
    """
    sequences = split.sequences if sequences is None else sequences
    timings = {}
    if finished is not None:
        timings = {s.name: timing for s in sequences if (timing := finished.get(s)) is not None}
    left = [sequence for sequence in sequences if sequence.name not in timings]
    if sum(map(len, trackers)) > 1:  # longest first, so that all trackers finish at about the same time
        left.sort(key=lambda sequence: -len(sequence.frames))
    todo = deque(left)
    stop, lock = threading.Event(), threading.Lock()
    bar = tqdm(
        total=sum(len(sequence.frames) for sequence in sequences),
        initial=sum(timing.all_frames for timing in timings.values()),
        unit="frame",
        desc=title or split.name,
        disable=None if progress else True,
    )

    def tick() -> None:
        with lock:
            bar.update()

    def work(group: Sequence[FrameTracker]) -> None:
        with MaskWriter() as writer:
            for sequence, timing in segment(group, todo, output / split.folder, writer, split.binary, tick, stop):
                if finished is not None:
                    finished.add(sequence, timing)
                with lock:
                    timings[sequence.name] = timing
                    bar.set_postfix_str(f"{sequence.name} {timing.fps:.2f} fps")
                free_programs()

    errors = []
    with bar, ThreadPoolExecutor(len(trackers), thread_name_prefix="tracker") as pool:
        try:
            for future in as_completed([pool.submit(work, group) for group in trackers]):
                if isinstance(error := future.exception(), Exception):
                    errors.append(error)
                    todo.clear()
                elif error is not None:
                    raise error
        finally:  # on Ctrl-C, other threads stop after their current frame
            stop.set()
    if errors:
        raise errors[0]
    return {sequence.name: timings[sequence.name] for sequence in sequences}


def share_videos(sequences: Sequence[SplitVideo], host: int, hosts: int) -> list[SplitVideo]:
    """Return one host's share of videos, in order; longest first, each goes to the host with the fewest frames."""
    load = [0] * hosts
    chosen = set()
    for sequence in sorted(sequences, key=lambda sequence: (-len(sequence.frames), sequence.name)):
        least = load.index(min(load))
        load[least] += len(sequence.frames)
        if least == host:
            chosen.add(sequence.name)
    return [sequence for sequence in sequences if sequence.name in chosen]


def copy_to_devices(model: Model, videos: int, devices: int | None = None) -> list[Model]:
    """Copy a network to the devices of this host, at most one per video.

    Args:
        model: the network.
        videos: number of videos of this host.
        devices: most devices to use; None: all.
    """
    chosen = jax.local_devices()[: max(1, min(videos, devices or videos))]
    return [Model(model.module, jax.device_put(model.params, device), model.config) for device in chosen]
