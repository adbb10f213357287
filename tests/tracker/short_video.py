"""A short video of random frames, off the network's grid of 33 x 49."""

import tiny

SIZE = (30, 50)
FRAMES = tiny.frames(9, *SIZE)


def begin(tracker, ids, count=1):
    """Track the first `count` frames from a mask with these ids."""
    tracker.reset()
    tracker.step(FRAMES[0], tiny.mask(*SIZE, ids))
    for frame in FRAMES[1:count]:
        tracker.step(frame)
