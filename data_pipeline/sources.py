"""Former place and names of `aot_jax.io.datasets`, for programs that import them."""

from aot_jax.io.datasets import Dataset as Source
from aot_jax.io.datasets import FramePair as Frame
from aot_jax.io.datasets import Video, davis, find, own_videos, static, youtube_vos
from aot_jax.io.datasets import data_root as default_root

__all__ = ["Frame", "Source", "Video", "davis", "default_root", "find", "own_videos", "static", "youtube_vos"]
