"""Use raw files as they are, where records cannot be written: every file is checked and its objects counted, once.

The counts are kept in FOLDER/NAME-SPLIT-FINGERPRINT.json beside the prepared sets; the fingerprint is of the files'
names, sizes and times, so that changed files are counted anew. Procedural videos are drawn into a folder of that name.
"""

import json
from pathlib import Path

from aot_jax.io.whole import whole
from data_pipeline import sources
from data_pipeline.frames import Recipe, generate_videos, read_video, walk
from data_pipeline.records import PreparedSet


def scan(name: str, split: str, what: sources.Source | Recipe, target: Path, on_bad_file: str) -> PreparedSet:
    """Open a set of raw files; count its objects first where that is not done yet. Nobody else may do so meanwhile.

    Args:
      name: of the set.
      split: of the set.
      what: the files, or the procedural videos.
      target: name of the index, without its ending, or of the folder that procedural videos are drawn into.
      on_bad_file: "stop" or "skip".

    Raises:
      DataError: a bad file (named), or nothing to train on.
    """
    kind, index = name if isinstance(what, Recipe) else what.kind, target.with_name(f"{target.name}.json")
    if not index.is_file():
        listed: list[dict] = []
        left_out: list[dict[str, str]] = []
        if isinstance(what, Recipe):
            videos = ((name, kind, frames) for name, frames in generate_videos(what))
            for video, frame in walk(videos, what.videos * what.frames, "generated videos", listed):
                for part, ending, data in (("JPEGImages", "jpg", frame.image), ("Annotations", "png", frame.mask)):
                    path = target / part / video / f"{frame.name}.{ending}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
        else:
            total = sum(len(video.frames) for video in what.videos)
            files = ((v.name, v.group, read_video(v, kind, on_bad_file, left_out)) for v in what.videos)
            for _ in walk(files, total, what.root, listed):
                pass
        with whole(index) as temporary:
            temporary.write_text(json.dumps({"kind": kind, "videos": listed, "left_out": left_out}))
    held = json.loads(index.read_text())
    source = sources.own_videos(target) if isinstance(what, Recipe) else what
    places = {(video.name, frame.name): frame for video in source.videos for frame in video.frames}
    found = [places[video["name"], frame] for video in held["videos"] for frame in video["frames"]]
    return PreparedSet(
        name=name,
        kind=kind,
        split=split,
        folder=source.root,
        files=(),
        lengths=(),
        videos=tuple(held["videos"]),
        left_out=tuple(held["left_out"]),
        raw=tuple((frame.image, frame.mask) for frame in found if frame.image and frame.mask),
    )
