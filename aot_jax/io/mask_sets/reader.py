"""Read the masks of a video as one set, deciding from all of them what each value means."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from aot_jax.io.mask_sets.annotations import read_drawings
from aot_jax.io.mask_sets.arrays import array_entries, stack_entries
from aot_jax.io.mask_sets.drawings import drawing_entries
from aot_jax.io.mask_sets.files import list_masks
from aot_jax.io.mask_sets.meaning import Meaning, are_ids, decide
from aot_jax.io.mask_sets.names import Entry, place
from aot_jax.io.mask_sets.stored import MaskError, Stored, check_size
from aot_jax.io.mask_sets.survey import DAVIS_CODES, NOT_A_MASK, Survey, survey_mask
from aot_jax.io.names import Frames
from aot_jax.typing import Size

Given = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


class Masks(Mapping[str, np.ndarray]):
    """The masks of a video, decoded on access: get them from `read_masks`, which explains the arguments.

    `masks[frame]` is an array (h, w) int32 of ids, 0 background. A frame is its name without suffix, its path or its
    number (without frames: the mask's number). `masks.get(frame)` is None for a frame without a mask. Names are in the
    order of the video.

    Args:
        entries: the masks of each frame by its name; several if each shows one object.

    Attributes:
        ids: ids of all objects, ascending.
        notes: guesses and oddities, one line each.
        void: id of void pixels in the files, 255; None if there are none.
        colours: {65536 r + 256 g + b: id} of masks with colours.
    """

    def __init__(
        self,
        entries: Mapping[str, Sequence[Entry]],
        frames: Frames | None = None,
        size: Size | None = None,
        void: int = 0,
        like: "Masks | None" = None,
        keep_going: bool = False,
        notes: Iterable[str] = (),  # read at the end: loading may add some
    ) -> None:
        self._entries, self._frames, self._size, self._id_of_void = entries, frames, size, void
        self._surveys: dict[str, Survey] = {}  # by name of the entry, as are the errors
        self._bad: dict[str, MaskError] = {}
        every = [entry for several in entries.values() for entry in several]
        for entry in every:
            try:
                stored = self._load(entry)
                self._surveys[entry.name] = survey_mask(stored, entry.name)
            except MaskError as error:
                if not keep_going:
                    raise
                self._bad[entry.name] = error
        self._refuse_soft_among_ids(keep_going)
        surveys = list(self._surveys.values())
        try:
            self._meaning = decide(surveys, like.colours if like else None) if surveys else Meaning({}, False)
        except MaskError as error:
            raise MaskError(f"{self._name_of_set()}: {error}") from None
        ids = {entry.id for entry in every if entry.id}
        if any(entry.id is None for entry in every):
            ids |= set(self._meaning.table.values()) - {0, self._meaning.void}
        self.ids: tuple[int, ...] = tuple(sorted(ids))
        self.notes: tuple[str, ...] = (*notes, *(f"{self._name_of_set()}: {note}" for note in self._meaning.notes))
        self.void = self._meaning.void
        self.colours: Mapping[int, int] = self._meaning.colours
        empty = [name for name, survey in self._surveys.items() if self.void and survey.holds_white_alone()]
        if empty:
            self.notes += (f"{empty[0]}: holds 255 alone, which is void beside the ids of the other masks",)

    def __getitem__(self, frame: str | Path | int) -> np.ndarray:
        name = self._name(frame)
        entries = self._entries[name]
        if len(entries) == 1 and entries[0].id is None:
            return self._ids(entries[0])
        labels: np.ndarray | None = None
        for entry in entries:
            ids = self._ids(entry)
            if labels is None:
                labels = np.zeros_like(ids)
            if ids.shape != labels.shape:
                raise MaskError(f"{entry.name}: has another size than {entries[0].name}; masks of one frame have one")
            objects = (ids != 0) & (ids != self.void)
            labels[objects] = ids[objects] if entry.id is None else entry.id
        return cast(np.ndarray, labels)

    def __contains__(self, frame: object) -> bool:
        try:
            return self._name(cast(str, frame)) in self._entries
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def are_certain(self, merged: bool = False) -> bool:
        """Tell whether more masks cannot change what these mean: all have DAVIS colours, none holds 255 alone.

        With `merged`, void and all objects count as one, as in DAVIS 2016, and grey masks of 0 and 255 are certain too.
        """
        return all(
            merged and survey.kind == "grey"
            if survey.holds_white_alone()
            else survey.kind == "palette" and all(DAVIS_CODES.get(code) == i for i, code in survey.colours.items())
            for survey in self._surveys.values()
        )

    def file_of(self, frame: str | Path | int) -> str:
        """Return the name of a frame's mask for messages: its file, or the first of several."""
        return self._entries[self._name(frame)][0].name

    def _refuse_soft_among_ids(self, keep_going: bool) -> None:
        """Refuse masks with soft edges if the other masks hold ids."""
        soft = [name for name, survey in self._surveys.items() if survey.flat]
        if soft and are_ids([survey for survey in self._surveys.values() if not survey.flat]):
            for name in soft:
                self._bad[name] = MaskError(
                    f"{name}: its edges are soft, unlike those of the other masks: it {NOT_A_MASK}"
                )
                del self._surveys[name]
            if not keep_going:
                raise self._bad[soft[0]]

    def _name(self, frame: str | Path | int) -> str:
        if isinstance(frame, Path):
            return frame.stem
        if not isinstance(frame, str):
            try:
                return self._frames.label(frame) if self._frames else list(self._entries)[frame]
            except IndexError:
                raise KeyError(frame) from None
        return frame

    def _ids(self, entry: Entry) -> np.ndarray:
        if entry.name in self._bad:
            raise self._bad[entry.name]
        ids = self._meaning.ids(self._load(entry), self._surveys[entry.name], entry.name)
        if self.void is None or self._id_of_void == self.void:
            return ids
        return np.where(ids == self.void, self._id_of_void, ids)

    def _load(self, entry: Entry) -> Stored:
        stored = entry.load()
        check_size(stored.size, self._size, entry.name)
        return stored

    def _name_of_set(self) -> str:
        """Return the name of the set for messages: its only file, or its folder."""
        names = [Path(entry.name) for several in self._entries.values() for entry in several]
        return str(names[0] if len(names) == 1 else names[0].parent)


def read_masks(
    given: Given,
    frames: "str | Path | Sequence[str | Path] | Frames | None" = None,
    *,
    size: Size | None = None,
    frame: int | None = None,
    void: int = 0,
    like: Masks | None = None,
    keep_going: bool = False,
) -> Masks:
    """Read the masks of a video as one set: the same value or colour is the same object in all of them.

    - numbers (palette indices, grey levels, 16-bit ids) are ids, 0 is background; 0 and white alone are one object, 1;
      255 together with other ids of up to 8 bits is void;
    - colours are ids if all are in `DAVIS_PALETTE`; else they are numbered 1, 2, ... in the order in which they appear;
      black, or transparent, or what surrounds the objects, is background;
    - soft edges are snapped to the nearest flat colour.

    Guesses are listed in `notes`. All files are read once to decide this, and decoded again on access, so that memory
    does not grow with the length of the video.

    Args:
        given: a mask file, several, a folder, a glob; or {frame name: file}.
        frames: a folder of frames, a list of them (`list_frames`), or a video: masks are placed by their names, a
            single one on the first frame. None: the keys are the names of the masks.
        size: (h, w) that all masks must have; None: that of the frames, if given.
        frame: number of the frame of a single mask, whatever its name.
        void: id given to void pixels: 0 for tracking, 255 for scoring.
        like: other masks of the same video; their colours keep their ids.
        keep_going: raise the error of a bad file on access instead of now.

    Raises:
        MaskError: a file is missing, broken, a picture, of another size, or fits no frame.
        FrameError: the frames cannot be read.

    Example:
        >>> from aot_jax.io.masks import write_mask
        >>> write_mask("masks/00000.png", np.array([[0, 1], [2, 255]]))
        >>> masks = read_masks("masks")
        >>> masks.ids, masks["00000"].tolist(), masks.get("00001")
        ((1, 2), [[0, 1], [2, 0]], None)
    """
    if isinstance(given, Mapping):
        named = {str(name): [Entry.of_file(Path(path))] for name, path in given.items()}
        return Masks(named, _open(frames), size, void, like, keep_going)
    video = _open(frames)
    size = size or (video.size if video else None)
    notes: list[str] = []
    entries = _entries(list_masks([given] if isinstance(given, str | Path) else list(given)), video, size, notes)
    if video is None:
        by_stem = {entry.stem: entry for entry in entries}
        for entry in entries:
            if by_stem[entry.stem] is not entry:
                other = by_stem[entry.stem].name
                raise MaskError(f"{entry.name} and {other} would be one mask twice; remove one, or give the frames too")
        return Masks({stem: [entry] for stem, entry in by_stem.items()}, None, size, void, like, keep_going, notes)
    placed = place(entries, video, frame, _shows_one)
    by_name = {video.label(index): several for index, several in placed.entries.items()}
    notes += placed.notes
    return Masks(by_name, video, size, void, like, keep_going, notes)


def _entries(paths: Sequence[Path], frames: Frames | None, size: Size | None, notes: list[str]) -> list[Entry]:
    """Return the masks in all files; a file may hold masks of several frames."""
    drawn = [path for path in paths if path.suffix.lower() in (".json", ".txt")]
    entries = drawing_entries(read_drawings(drawn, frames, notes), size, notes)
    folder = paths[0].parent
    # Folder names are objects or frames if there are several folders, or one binary/ID, as `--export binary` writes.
    named = len({path.parent for path in paths}) > 1 or (folder.name.isdecimal() and folder.parent.name == "binary")
    for path in paths:
        if path.suffix.lower() in (".npy", ".npz"):
            entries += array_entries(path, frames, size, notes)
        elif path not in drawn and (len(paths) == 1 or path.suffix.lower() in (".tif", ".tiff")):
            entries += stack_entries(path, frames, notes)
        elif path not in drawn:
            entries.append(replace(Entry.of_file(path), folder=path.parent.name if named else ""))
    if not entries:
        raise MaskError(f"{paths[0]}: holds no annotated image; draw the objects to track")
    return entries


def _open(frames: "str | Path | Sequence[str | Path] | Frames | None") -> Frames | None:
    if frames is None or hasattr(frames, "index_of"):
        return cast("Frames | None", frames)
    from aot_jax.io.sources import open_source  # imports PyAV, which most callers do not need

    return open_source([frames] if isinstance(frames, str | Path) else frames)


def _shows_one(entry: Entry) -> bool:
    """Tell whether a mask shows one object in black and white."""
    try:
        survey = survey_mask(entry.load(), entry.name)
    except MaskError:
        return False
    meaning = decide([survey])
    return set(meaning.table.values()) <= {0, 1} and meaning.void is None
