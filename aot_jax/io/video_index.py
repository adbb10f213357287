"""Index the frames of a video file by its packets' time stamps and key frames, without decoding."""

from pathlib import Path

import av

from aot_jax.io.video_stream import open_video, video_stream


def packet_index(path: str | Path) -> list[tuple[int, int]] | None:
    """Return (time stamp, time stamp of the key frame to decode from) of every frame, in display order.

    None if that is unknown: time stamps are missing or not unique, or the file is broken.
    """
    stamps: list[int] = []
    keys: list[int] = []
    try:
        with open_video(path) as container:
            for packet in container.demux(video_stream(container)):
                if packet.size == 0:
                    continue
                if packet.pts is None or packet.is_corrupt or packet.is_discard:
                    return None
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
    except av.FFmpegError:
        return None
    stamps.sort()
    keys.sort()
    if not keys or keys[0] != stamps[0] or len(set(stamps)) != len(stamps):
        return None
    index, key = [], 0
    for stamp in stamps:
        while key + 1 < len(keys) and keys[key + 1] <= stamp:
            key += 1
        index.append((stamp, keys[key]))
    return index
