"""Find the frame of each mask by its file name, and its object if each file shows one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from aot_jax.io.mask_sets.numbers import PADDED, number_in, varying_number, varying_numbers
from aot_jax.io.mask_sets.stored import MaskError, Stored, read_image
from aot_jax.io.names import Frames, listed

MOST_FRAMES = 10**6  # largest plausible frame number; dates in names are larger
MASK_WORDS = re.compile(r"(?i)[ _.-]*(?<![a-z])(masks?|seg|segmentation|labels?|gt|annotations?)(?![a-z])[ _.-]*")


@dataclass(frozen=True)
class Entry:
    """A mask: a file, or a part of one."""

    name: str  # name for messages
    stem: str  # possible name of its frame
    load: Callable[[], Stored]
    id: int | None = None  # id of its object, if each object has its own mask
    folder: str = ""  # name of its folder, if masks are in several folders

    @classmethod
    def of_file(cls, path: Path, load: Callable[[], Stored] | None = None) -> "Entry":
        """Return the mask of a whole file, by default an image."""
        return cls(str(path), path.stem, load or partial(read_image, path))


@dataclass(frozen=True)
class Placed:
    """Masks with their frames."""

    entries: dict[int, list[Entry]]  # by frame number; several if each shows one object
    notes: tuple[str, ...] = ()


def place(entries: Sequence[Entry], frames: Frames, frame: int | None, is_single: Callable[[Entry], bool]) -> Placed:
    """Find the frame of each mask file.

    A mask belongs to the frame of the same name, else to the frame with the number in its name (noted as a guess). Else
    a single mask, or masks of one object each, belong to the first frame.

    Args:
        entries: the masks, in order.
        frames: frames of the video.
        frame: number of the frame that they belong to, whatever their names; None: by name.
        is_single: tells whether a file shows one object in black and white.

    Raises:
        MaskError: one of several masks fits no frame, or two fit the same.
    """
    if frame is not None:
        return _on_one_frame(entries, frame, is_single, frames, asked=True)
    entries, notes = _split_objects(entries, frames)
    exact = [_frame_of_name(entry, frames) for entry in entries]
    found = [index for index in exact if index is not None]
    if len(found) == len(entries):
        found, more = _from_zero(entries, found, frames)
        return _by_frame(entries, found, notes + more)
    if len(entries) == 1:
        return _place_single(entries[0], frames)
    numbers = varying_number([entry.stem for entry in entries])
    shared = _shared_frame(entries, frames)
    single = all(map(is_single, entries))
    if numbers is not None and (not single or (shared is None and _are_frame_numbers(entries, frames))):
        found = _indices_of_numbers(entries, numbers, frames)
        guess = f"{entries[0].name}: put on frame {found[0]} by its number, and the others likewise (the first is 0)"
        found, more = _from_zero(entries, found, frames)
        return _by_frame(entries, found, notes + (more or [guess]))
    if not found and single:
        return _on_one_frame(entries, shared or 0, is_single, frames)
    raise _unnamed(entries[exact.index(None)], frames)


def _place_single(entry: Entry, frames: Frames) -> Placed:
    """Put a single mask on the frame with the number in its name, if that is certain; else on the first frame."""
    found = number_in(entry.stem, frames.name)
    if found is None:
        return Placed({0: [entry]})
    index = _plausible(_index_of_number(found[0], frames), frames) if found[1] else None
    if index is not None:
        note = f"{entry.name}: put on frame {index} by its number (the first is 0); --mask_frame N puts it on another"
        return Placed({index: [entry]}, (note,))
    why = f"no frame has its number, {found[0]}: " if found[1] else ""
    return Placed({0: [entry]}, (f"{entry.name}: {why}put on the first frame, 0; --mask_frame N puts it on another",))


def _on_one_frame(
    entries: Sequence[Entry], index: int, is_single: Callable[[Entry], bool], frames: Frames, asked: bool = False
) -> Placed:
    """Put all masks on one frame; several must show one object each."""
    if len(entries) == 1:
        return Placed({index: [entries[0]]})
    named = [_frame_of_name(entry, frames) for entry in entries] if asked else []
    are_frames = all(i is not None and entry.stem == frames.label(i) for i, entry in zip(named, entries, strict=False))
    if asked and (are_frames or not all(map(is_single, entries))):
        raise MaskError(f"--mask_frame goes with one mask, but {len(entries)} are given: name each by its frame")
    numbers = varying_number([entry.stem for entry in entries])
    ids = numbers if numbers and min(numbers) > 0 and max(numbers) < 255 else list(range(1, len(entries) + 1))
    order = listed([f"{Path(entry.name).name} is {i}" for i, entry in zip(ids, entries, strict=True)])
    note = f"{len(entries)} masks are taken for one object each, on frame {index}, the last on top: {order}"
    return Placed({index: [replace(entry, id=i) for i, entry in zip(ids, entries, strict=True)]}, (note,))


def _frame_of_name(entry: Entry, frames: Frames) -> int | None:
    """Return the frame with the name of a mask, ignoring words such as "mask"; None if there is none."""
    index = frames.index_of(entry.stem)
    if index is None:
        stripped = MASK_WORDS.sub("", entry.stem)
        if stripped != entry.stem and _is_specific(stripped, frames):
            index = frames.index_of(stripped)
    return _plausible(index, frames)


def _is_specific(stem: str, frames: Frames) -> bool:
    """Tell whether part of a name identifies a frame; in a video file, a short number may match one by chance."""
    return hasattr(frames, "paths") or len(stem) >= PADDED


def _from_zero(entries: Sequence[Entry], found: list[int], frames: Frames) -> tuple[list[int], list[str]]:
    """Shift numbers 1 .. n to start from 0 if there are n frames; note numbers not padded as in `Frames.label`."""
    count = frame_count(frames) if min(found) == 1 else None
    if count and max(found) == count:
        found = [index - 1 for index in found]
        return found, [f"{entries[0].name}: masks are numbered from 1 to {count}: this one is put on frame {found[0]}"]
    odd = [(entry, i) for entry, i in zip(entries, found, strict=True) if entry.stem != frames.label(i)]
    odd = [(entry, i) for entry, i in odd if frames.index_of(entry.stem) == i and entry.stem.isdecimal()]
    if odd and odd[0][1]:
        entry, index = odd[0]
        return found, [f"{entry.name}: put on frame {index} by its number (the first is 0)"]
    return found, []


def _by_frame(entries: Sequence[Entry], found: Sequence[int], notes: Sequence[str]) -> Placed:
    """Put each mask on the frame found for it; raise MaskError if two are for the same object or frame."""
    placed: dict[int, list[Entry]] = {}
    for entry, index in zip(entries, found, strict=True):
        here = placed.setdefault(index, [])
        if here and entry.id in (None, *(other.id for other in here)):
            raise MaskError(f"{here[0].name} and {entry.name} are both for frame {index}; remove one of them")
        here.append(entry)
    return Placed(dict(sorted(placed.items())), tuple(notes))


def _split_objects(entries: Sequence[Entry], frames: Frames) -> tuple[list[Entry], list[str]]:
    """Find frame and object of each mask if each object has its own masks; else return the masks unchanged.

    The folder names the one and the file the other, or a file name has both numbers, as in 00012_3.png.
    """
    pairs = [(entry.folder, entry.stem) for entry in entries]
    if not all(folder for folder, _ in pairs):
        columns = varying_numbers([entry.stem for entry in entries])
        if len(columns) != 2:
            return list(entries), []
        pairs = list(zip(*columns, strict=True))
    for turned in (False, True):
        objects, stems = zip(*(pair[::-1] if turned else pair for pair in pairs), strict=True)
        if all(frames.index_of(stem) is not None and _is_specific(stem, frames) for stem in stems):
            numbers = [int(found.group()) if (found := re.search("[0-9]+", name)) else 0 for name in objects]
            names = sorted(set(objects))
            if 0 in numbers or len(set(numbers)) < len(names):
                numbers = [names.index(name) + 1 for name in objects]
            note = f"{entries[0].name}: a mask for each object: this is object {numbers[0]} in frame {stems[0]}"
            split = zip(entries, stems, numbers, strict=True)
            return [replace(entry, stem=stem, id=number) for entry, stem, number in split], [note]
    return list(entries), []


def _are_frame_numbers(entries: Sequence[Entry], frames: Frames) -> bool:
    found = [number_in(entry.stem, frames.name) for entry in entries]
    return all(number is not None and number[1] for number in found)


def _shared_frame(entries: Sequence[Entry], frames: Frames) -> int | None:
    """Return the frame whose number all names hold, as in 00012_cat and 00012_dog; None if there is none."""
    found = {number_in(entry.stem, frames.name) for entry in entries}
    number = found.pop()
    if found or number is None or not number[1]:
        return None
    return _plausible(_index_of_number(number[0], frames), frames)


def _indices_of_numbers(entries: Sequence[Entry], numbers: list[int], frames: Frames) -> list[int]:
    """Return the frame of each number.

    Raises:
        MaskError: a number fits no frame, and the numbers do not run from 1 to the number of frames.
    """
    found = [_index_of_number(number, frames) for number in numbers]
    indices = [index for index in found if index is not None]
    if len(indices) == len(found):
        return indices
    if (min(numbers), max(numbers)) == (1, frames.expected):
        return numbers
    raise _unnamed(entries[found.index(None)], frames)


def _index_of_number(number: int, frames: Frames) -> int | None:
    """Return the frame with this number in its image name, if image names have numbers; else the number itself."""
    paths = getattr(frames, "paths", None)
    if paths is None or len(paths) < 2:
        return number
    numbers = varying_number([path.stem for path in paths])
    if numbers is None or len(numbers) != len(paths):
        return number
    return numbers.index(number) if number in numbers else None


def _unnamed(entry: Entry, frames: Frames) -> MaskError:
    return MaskError(
        f"{entry.name}: of several masks each is named like its frame, as in {frames.label(0)}.png, or shows one "
        "object in black and white; rename this one, or leave it out"
    )


def _plausible(index: int | None, frames: Frames) -> int | None:
    """Return a frame number; None if it is impossible, even if the stated number of frames is wrong."""
    if index is None or index > MOST_FRAMES:
        return None
    far = frames.expected is not None and index > 2 * frames.expected + 100
    return None if far and index >= (frame_count(frames) or 0) else index


def frame_count(frames: Frames | None) -> int | None:
    """Return the number of frames, None if unknown; a video file's are counted, since its header may be wrong."""
    counted: Callable[[], int] | None = getattr(frames, "count_frames", None)
    if counted:
        return counted()
    return frames.expected if frames else None
