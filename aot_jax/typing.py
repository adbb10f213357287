"""Array aliases and the axis letters that docstrings across the package use.

====== =====================================================================================
letter axis
====== =====================================================================================
b      batch; while tracking, the groups of ten objects, which the tracker calls g
t      time
h w    height, width of a grid, whose stride is stated: 4x, 8x, 16x
c      channels
n      heads of an attention
d      channels of a head
o      offsets of a local window, row by row from the top left
m      identities of the bank with background first (11 in the paper's setting)
l      LSTT layer
k      long-term memory frames
====== =====================================================================================
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

    Array = jax.Array
    ArrayLike = jax.Array | np.ndarray
else:  # tools that need no network start without JAX
    Array = ArrayLike = Any
Params = dict[str, Any]  # nested dicts of arrays, as Flax's "params" collection
Size = tuple[int, int]  # height, width in pixels or cells

VOID = 255  # label of ignored pixels, in masks of up to 8 bits
