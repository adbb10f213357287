"""Recognise masks with soft edges (antialiasing, lossy compression) and snap them to flat colours; find dithered masks.

A flat colour has interior pixels, whose eight neighbours have the same colour. Any other pixel is a blend if it lies
between two flat colours both in the image and in colour space, and noise if it lies at such an edge and nearly has one
of these colours. Small objects of a hard mask have no interior, but their pixels are neither blends nor noise.

A colour is coded as one number, 65536 r + 256 g + b, negative if transparent. Distances between colours are those of
the channel that differs most, in levels of 0..255.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np


@dataclass(frozen=True)
class Limits:
    """Limits of distances between colours."""

    near: int  # largest difference between a flat colour and its noise
    apart: int  # smallest difference between two flat colours whose blends can be recognised
    off_line: int  # largest distance of a blend from the line between the two colours it blends


CLEAN = Limits(4, 24, 8)  # limits for antialiasing without noise: flat colours are far apart, unlike consecutive ids
NOISY = Limits(32, 64, 24)  # limits for lossy compression
SAME = 12  # largest distance between two flat colours that count as one
RARE = 0.02  # largest share of noise far from its flat colour, relative to that colour's pixels
FEW, FEW_NOISY = 3, 12  # fewest colours at soft edges: with at least half as many blends as noise pixels; with fewer
FEWEST_PIXELS = 8  # fewest pixels of soft edges
EXPLAINED = 0.8  # smallest share of non-interior pixels that must be blends or noise
LEAST_FLAT = 0.3  # smallest share of interior pixels
MOST_FLAT = 64  # most flat colours of a soft mask
MOST_MIXED = 0.25  # largest share of blocks of 2x2 pixels with three colours or more, among those with two or more
FEWEST_MIXED = 16  # fewest blocks with three colours or more in a dithered mask
FEW_VALUES = 3  # most values of a mask whose blocks seldom hold three
MOST_EDGES = 0.5  # largest share of blocks with two values or more, of all blocks of a mask of few values
MOST_SPECKS = 0.02  # largest share of specks, relative to the pixels of all values but the most frequent
FEWEST_SPECKS, FEWEST_OF_ONE = 64, 8  # fewest specks of a dithered mask: in total, and on average for each value
REACH = 2  # largest distance in pixels from a blend to the colours it blends
RING = 8  # largest distance in pixels from an edge to its noise, the size of a JPEG block


def flat_colours(codes: np.ndarray, lossy: bool = False) -> dict[int, int]:
    """Return {flat colour: interior pixels} of a mask (h, w) int32 with soft edges; empty if its edges are hard.

    A mask from a `lossy` file may have soft edges of only a few colours.
    """
    inside = np.zeros(codes.shape, bool)  # pixels equal to all eight neighbours
    inside[1:-1, 1:-1] = _equal_pixels(codes) == 9
    if inside.mean() < LEAST_FLAT:
        return {}
    values, counts = np.unique(codes[inside], return_counts=True)
    values, counts = values[values >= 0], counts[values >= 0]
    edge = ~np.isin(codes, values) & (codes >= 0)  # pixels of colours that have no interior
    if edge.sum() < FEWEST_PIXELS:
        return {}
    ys, xs = np.nonzero(edge)
    margin = RING + 1
    box = np.s_[max(0, ys.min() - margin) : ys.max() + margin, max(0, xs.min() - margin) : xs.max() + margin]
    for limits in (CLEAN, NOISY):
        flat = _merge(values, counts, limits.near)
        plausible = 2 <= len(flat) <= MOST_FLAT and (
            _are_apart(flat, limits.apart) if limits is CLEAN else _are_noise(values, counts, flat)
        )
        if plausible and _explains(flat, codes[box], edge[box], limits, lossy):
            return flat
    return {}


def _explains(flat: dict[int, int], codes: np.ndarray, edge: np.ndarray, limits: Limits, lossy: bool) -> bool:
    """Tell whether the pixels in `edge` (h, w) bool are blends or noise of the flat colours around them."""
    colours = _channels(codes[edge])
    centres = _channels(np.array(list(flat), np.int32))
    beside = [_dilate(_close(codes, centre, limits.near // 4), REACH) for centre in centres]
    near = np.stack([there[edge] for there in beside])  # (flat colours, edge pixels): within REACH of the colour
    around = np.stack([_dilate(there, RING - REACH)[edge] for there in beside])  # within RING of it
    distance = np.abs(colours[None] - centres[:, None]).max(-1)
    noise = (around.sum(0) >= 2) & ((distance <= limits.near) & around).any(0)
    blend = np.zeros(len(colours), bool)
    for a, b in combinations(range(len(centres)), 2):
        line = centres[b] - centres[a]
        if np.abs(line).max() >= limits.apart:
            share = (colours - centres[a]) @ line / (line @ line)
            off = np.abs(colours - centres[a] - share[:, None] * line).max(-1)
            blend |= near[a] & near[b] & (share > 0.03) & (share < 0.97) & (off <= limits.off_line)
    different = np.unique(codes[edge]).size
    least = FEW if lossy or (blend & ~noise).sum() >= noise.sum() / 2 else FEW_NOISY
    return bool(different >= least and (blend | noise).mean() >= EXPLAINED)


def is_dithered(codes: np.ndarray, counts: Mapping[int, int], runs: np.ndarray) -> bool:
    """Tell whether a mask's values change from pixel to pixel, as in dithered masks, noise or pictures.

    Where objects of a mask meet, blocks of 2x2 pixels hold two values, and seldom three. Specks, pixels unlike all
    their eight neighbours, are rare, unless each is an object of its own.

    Args:
        codes: values (h, w).
        counts: {value: pixels}.
        runs: lengths of the runs of equal pixels, row by row: without runs of one pixel, there is nothing to look for.
    """
    if (runs == 1).sum() < FEWEST_MIXED:
        return False
    specks = codes[1:-1, 1:-1][_equal_pixels(codes) == 1]
    if specks.size >= max(FEWEST_SPECKS, FEWEST_OF_ONE * np.unique(specks).size) and (
        specks.size > MOST_SPECKS * (codes.size - max(counts.values()))
    ):
        return True
    corners = codes[:-1, :-1], codes[:-1, 1:], codes[1:, :-1], codes[1:, 1:]
    edge = np.logical_or.reduce([corner != corners[0] for corner in corners[1:]])
    if len(counts) <= FEW_VALUES:
        return bool(edge.sum() >= FEWEST_SPECKS and edge.mean() > MOST_EDGES)
    blocks = np.sort([corner[edge] for corner in corners], axis=0)
    mixed = (blocks[1:] != blocks[:-1]).sum(0) >= 2
    return bool(mixed.sum() >= FEWEST_MIXED and mixed.mean() > MOST_MIXED)


def snap(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Replace every pixel of a soft mask by the nearest flat colour within `REACH` pixels, else by the nearest of all.

    Args:
        codes: (h, w) int32.
        flat: the flat colours of the whole set.

    Returns:
        (h, w) int32.
    """
    found, index = np.unique(codes, return_inverse=True)
    index = index.reshape(codes.shape)
    distances = _distances(found, flat)
    result = nearest(found, flat)[index]
    sure = (distances.min(1) <= NOISY.near // 4)[index] | (codes < 0)
    best = np.full(codes.shape, np.inf)
    for number, code in enumerate(flat) if not sure.all() else ():
        off = distances[:, number][index]
        better = ~sure & _dilate(sure & (result == code), REACH) & (off < best)
        best[better] = off[better]
        result[better] = code
    return result


def nearest(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Return the nearest flat colour of each colour (n,), regardless of position; negative values stay."""
    return np.where(codes < 0, codes, np.array(flat, np.int32)[_distances(codes, flat).argmin(1)])


def merge_flat(flat: Mapping[int, int], exact: set[int]) -> dict[int, int]:
    """Merge flat colours {colour: pixels} that differ by noise: into a near one of `exact`, else the most frequent."""
    merged = _merge(np.array(list(flat), np.int32), np.array(list(flat.values()), np.int64), SAME)
    if not exact:
        return merged
    near = sorted(exact)
    snapped: dict[int, int] = {}
    for code, count in merged.items():
        distances = _distances(np.array([code]), near)[0]
        code = near[distances.argmin()] if distances.min() <= NOISY.near else code
        snapped[code] = snapped.get(code, 0) + count
    return snapped


def _merge(values: np.ndarray, counts: np.ndarray, near: int) -> dict[int, int]:
    """Merge colours (n,) with their pixel counts (n,) into more frequent ones at a distance of at most `near`."""
    merged: dict[int, int] = {}
    channels = _channels(values)
    kept: list[np.ndarray] = []
    for i in np.argsort(-counts, kind="stable").tolist():
        for code, centre in zip(merged, kept, strict=True):
            if np.abs(channels[i] - centre).max() <= near:
                merged[code] += int(counts[i])
                break
        else:
            if len(kept) > MOST_FLAT:
                break
            merged[int(values[i])] = int(counts[i])
            kept.append(channels[i])
    return merged


def _equal_pixels(codes: np.ndarray) -> np.ndarray:
    """Count the pixels of each block of 3x3 that equal its middle one, itself included: (h - 2, w - 2) uint8."""
    middle = codes[1:-1, 1:-1]
    equal = np.zeros(middle.shape, np.uint8)
    for dy, dx in np.ndindex(3, 3):
        equal += codes[dy : dy + middle.shape[0], dx : dx + middle.shape[1]] == middle
    return equal


def _dilate(there: np.ndarray, reach: int) -> np.ndarray:
    """Dilate a mask (h, w) bool by a square of 2 `reach` + 1 pixels."""
    return cv2.dilate(there.view(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).view(bool)


def _close(codes: np.ndarray, centre: np.ndarray, limit: int) -> np.ndarray:
    """Return (h, w) bool: pixels at a distance of at most `limit` from a colour (3,)."""
    close = codes >= 0
    for shift, value in zip((16, 8, 0), centre.tolist(), strict=True):
        close &= np.abs((codes >> shift & 255) - value) <= limit
    return close


def _channels(codes: np.ndarray) -> np.ndarray:
    """Return the channels (n, 3) float64 of colours (n,)."""
    return np.stack([codes >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.float64)


def _are_noise(values: np.ndarray, counts: np.ndarray, flat: dict[int, int]) -> bool:
    """Tell whether every colour with an interior is close to its nearest flat colour, or rare."""
    distances = _distances(values, list(flat))
    share = counts / np.array(list(flat.values()))[distances.argmin(1)]
    return not ((distances.min(1) > SAME) & (share > RARE)).any()


def _are_apart(flat: dict[int, int], apart: int) -> bool:
    """Tell whether flat colours have distances of at least `apart`."""
    codes = np.array(list(flat), np.int32)
    distances = _distances(codes, codes.tolist())
    np.fill_diagonal(distances, np.inf)
    return bool(distances.min() >= apart)


def _distances(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Return the distances (n, flat) between two lists of colours."""
    return np.abs(_channels(codes)[:, None] - _channels(np.array(flat, np.int32))[None]).max(-1)
