"""Cosine similarity of the identities of a bank (paper, Fig. 8)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from aot_jax.figures.page import make_page
from aot_jax.typing import Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bank_similarity(params: Params) -> np.ndarray:
    """Compute the cosine similarity between the identification vectors of a network.

    An identity's vector is the embedding of a patch that its object fills: the sum of its sub-identities.

    Args:
        params: parameters of the network, with `identity_bank/kernel` (side, side, M + 1, c).

    Returns:
        (M, M) float64 in -1 .. 1, without background.
    """
    kernel = np.asarray(params["identity_bank"]["kernel"], np.float64)
    vectors = kernel.sum(axis=(0, 1))[1:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def draw_bank(similarities: Mapping[str, np.ndarray]) -> "Figure":
    """Draw matrices of similarities (M, M) side by side, each under its name; darker is more similar."""
    figure, panels = make_page(1, len(similarities), 3.2, 3.2)
    low = min(0.0, *(float(similarity.min()) for similarity in similarities.values()))
    for axes, (name, similarity) in zip(panels[0], similarities.items(), strict=True):
        count = len(similarity)
        picture = axes.imshow(similarity, cmap="Blues", vmin=low, vmax=1.0)
        ticks = np.arange(0, count, max(1, count // 10))
        axes.set_xticks(ticks, ticks + 1)
        axes.set_yticks(ticks, ticks + 1)
        axes.set_title(f"{name}, M = {count}")
        axes.set_xlabel("identity")
    panels[0][0].set_ylabel("identity")
    figure.colorbar(picture, ax=list(panels[0]), label="cosine similarity", shrink=0.8)
    return figure
