"""Track objects through a video of your own: give their masks in one frame, get their masks in every frame.

python track.py --help
"""

from aot_jax.commands import run_track

if __name__ == "__main__":
    run_track()
