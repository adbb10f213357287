"""Index the frames of a video file by its packets' time stamps and key frames, without decoding."""

from bisect import bisect
from operator import itemgetter
from pathlib import Path

import av

from aot_jax.io.video_stream import open_video, video_stream


def packet_index(path: str | Path) -> list[tuple[int, int]] | None:
    """Return (time stamp, time stamp to seek to) of every frame, in display order; seeking leads to its key frame.

    None if this is unknown: time stamps are missing or not unique, or the file is broken.
    """
    stamps: list[int] = []
    keys: list[tuple[int, int]] = []
    try:
        with open_video(path) as container:
            # Containers that FFmpeg seeks in by presentation time; in the others it does by decoding time.
            shown = not {"mov", "matroska"}.isdisjoint(container.format.name.split(","))
            for packet in container.demux(video_stream(container)):
                if packet.size == 0:
                    continue
                if packet.pts is None or packet.is_corrupt or packet.is_discard:
                    return None
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append((packet.pts, packet.pts if shown or packet.dts is None else packet.dts))
    except av.FFmpegError:
        return None
    stamps.sort()
    keys.sort()
    if not keys or keys[0][0] != stamps[0] or len(set(stamps)) != len(stamps):
        return None
    return [(stamp, keys[bisect(keys, stamp, key=itemgetter(0)) - 1][1]) for stamp in stamps]
