"""Track objects through a video of your own: their masks in one frame, and out come their masks in every frame.

python track.py --help
"""

from aot_jax.commands import run_track

if __name__ == "__main__":
    run_track()
