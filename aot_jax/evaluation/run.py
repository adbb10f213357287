"""Run trackers over the videos of a split, one tracker a device."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from aot_jax.evaluation import splits
from aot_jax.evaluation.journal import Journal
from aot_jax.evaluation.segment import StepTracker, segment
from aot_jax.evaluation.timing import Timing
from aot_jax.io.files import clear_remains
from aot_jax.io.mask_writer import MaskWriter


def run_split(
    trackers: Sequence[StepTracker],
    split: splits.Split,
    output: Path,
    journal: Journal | None = None,
    sequences: Sequence[splits.Sequence] | None = None,
    progress: bool = True,
    title: str = "",
) -> dict[str, Timing]:
    """Segment every video of a split and write palette PNGs to `output`/[split.folder/]VIDEO/FRAME.png.

    Each tracker takes the next video when it is done with one, in a thread of its own.

    Args:
        trackers: one a device.
        split: what to run over.
        output: folder for the masks.
        journal: knows the videos that are finished already, and learns of those that this run finishes.
        sequences: videos of the split that are run over here; None: all.
        progress: draw a bar on a terminal.
        title: of the bar; empty: the split's name.

    Returns:
        {video: timing} of `sequences`.

    Raises:
        FrameError, MaskError: for a file that cannot be used.
        TrackError: for a mask or frame that does not fit, naming the file.
        OSError: for a mask that cannot be written.
        In each case, videos that are finished stay.
    """
    sequences = split.sequences if sequences is None else sequences
    timings = {}
    if journal is not None:
        timings = {s.name: timing for s in sequences if (timing := journal.finished(s)) is not None}
    left = [sequence for sequence in sequences if sequence.name not in timings]
    if len(trackers) > 1:  # the longest first, so that all devices end at about the same time
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

    def work(tracker: StepTracker) -> None:
        with MaskWriter() as writer:
            while todo and not stop.is_set():
                try:
                    sequence = todo.popleft()
                except IndexError:  # another thread took the last one
                    return
                folder = output / split.folder / sequence.name
                clear_remains(folder)
                timing = segment(tracker, sequence, folder, writer, split.binary, tick, stop)
                if timing is None:
                    return
                if journal is not None:
                    journal.finish(sequence, timing)
                with lock:
                    timings[sequence.name] = timing
                    bar.set_postfix_str(f"{sequence.name} {timing.fps:.2f} fps")

    with bar, ThreadPoolExecutor(len(trackers), thread_name_prefix="tracker") as pool:
        try:
            for future in as_completed([pool.submit(work, tracker) for tracker in trackers]):
                future.result()
        finally:  # an error, or Ctrl-C: the others leave their videos after the current frame
            stop.set()
    return {sequence.name: timings[sequence.name] for sequence in sequences}
