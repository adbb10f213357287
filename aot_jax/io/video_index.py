"""Where the frames of a video file are: time stamps and key frames of its packets, without decoding any."""

from pathlib import Path

import av

from aot_jax.io.video_stream import open_video, video_stream


def packet_index(path: str | Path) -> list[tuple[int, int]] | None:
    """Return (its time stamp, that of the key frame to decode from) of every frame, in order; nothing is decoded.

    None where packets do not tell: stamps missing or doubled.
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
