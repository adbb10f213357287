"""Soft edges of masks: pixels that antialiasing or lossy compression blended, found and snapped to a flat colour.

A flat colour has an interior: a pixel whose eight neighbours have it too. A pixel without one is a blend if it lies
between two different flat colours on the picture and in colour alike, and is noise if it lies at such an edge and is
nearly one of them. Small objects of a hard mask have no interior either, but are neither.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Limits:
    """Differences of a channel."""

    near: int  # largest between a flat colour and its noise
    apart: int  # smallest between two flat colours whose blends can be told
    off_line: int  # largest between a blend and the line between two colours


DRAWN = Limits(4, 24, 8)  # antialiased, no noise: all flat colours are far apart, unlike ids that are counted up
NOISY = Limits(32, 64, 24)  # compressed with loss
SAME = 12  # largest difference of a channel between flat colours that are one
RARE = 0.02  # largest share of a flat colour's pixels that noise far from it has
FEW, FEW_NOISY = 3, 12  # fewest different values at soft edges: where blends outnumber noise, and otherwise
FEWEST_PIXELS = 8  # of soft edges
EXPLAINED = 0.8  # least share of pixels without interior that are blends or noise
LEAST_FLAT = 0.3  # share of pixels inside flat colours
MOST_FLAT = 64  # flat colours of a soft mask
REACH = 2  # pixels from a blend to what it blends
RING = 8  # pixels from an edge to the noise that a JPEG's blocks spread


def flat_colours(codes: np.ndarray) -> dict[int, int]:
    """Return the flat colours of a mask with soft edges, with the pixels of their interiors; empty: its edges are hard.

    Args:
        codes: (h, w) int32 colours, negative where transparent.
    """
    inside = _interior(codes)
    if inside.mean() < LEAST_FLAT:
        return {}
    values, counts = np.unique(codes[inside], return_counts=True)
    values, counts = values[values >= 0], counts[values >= 0]
    thin = ~np.isin(codes, values) & (codes >= 0)
    if thin.sum() < FEWEST_PIXELS:
        return {}
    ys, xs = np.nonzero(thin)
    margin = RING + 1
    box = np.s_[max(0, ys.min() - margin) : ys.max() + margin, max(0, xs.min() - margin) : xs.max() + margin]
    for limits in (DRAWN, NOISY):
        flat = _merge(values, counts, limits.near)
        plausible = 2 <= len(flat) <= MOST_FLAT and (
            _are_apart(flat, limits.apart) if limits is DRAWN else _are_noise(values, counts, flat)
        )
        if plausible and _blends(codes[box], thin[box], flat, limits):
            return flat
    return {}


def _blends(codes: np.ndarray, thin: np.ndarray, flat: dict[int, int], limits: Limits) -> bool:
    """Tell whether pixels without interior are blends of flat colours beside them, or noise of these."""
    colours = _channels(codes[thin])
    centres = _channels(np.array(list(flat), np.int32))
    beside = [_spread(_close(codes, centre, limits.near // 4), REACH) for centre in centres]
    near = np.stack([there[thin] for there in beside])
    around = np.stack([_spread(there, RING - REACH)[thin] for there in beside])
    distance = np.abs(colours[None] - centres[:, None]).max(-1)
    noise = (around.sum(0) >= 2) & ((distance <= limits.near) & around).any(0)
    blend = np.zeros(len(colours), bool)
    for a, b in _pairs(len(centres)):
        line = centres[b] - centres[a]
        if np.abs(line).max() >= limits.apart:
            share = (colours - centres[a]) @ line / (line @ line)
            off = np.abs(colours - centres[a] - share[:, None] * line).max(-1)
            blend |= near[a] & near[b] & (share > 0.03) & (share < 0.97) & (off <= limits.off_line)
    different = np.unique(codes[thin]).size
    least = FEW if (blend & ~noise).sum() >= noise.sum() / 2 else FEW_NOISY
    return bool(different >= least and (blend | noise).mean() >= EXPLAINED)


def snap(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Give every pixel of a soft mask the nearest flat colour that is there or beside it.

    Args:
        codes: (h, w) int32 colours, negative where transparent.
        flat: the flat colours of the whole set.
    """
    found, index = np.unique(codes, return_inverse=True)
    index = index.reshape(codes.shape)
    distances = _distances(found, flat)
    result = nearest(found, flat)[index]
    sure = (distances.min(1) <= NOISY.near // 4)[index] | (codes < 0)
    best = np.full(codes.shape, np.inf)
    for number, code in enumerate(flat) if not sure.all() else ():
        there = _spread(sure & (result == code), REACH)
        off = distances[:, number][index]
        better = ~sure & there & (off < best)
        best[better] = off[better]
        result[better] = code
    return result


def nearest(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Return the nearest flat colour of each colour (n,), wherever it is; negative ones stay."""
    return np.where(codes < 0, codes, np.array(flat, np.int32)[_distances(codes, flat).argmin(1)])


def merge_flat(flat: Mapping[int, int], exact: set[int]) -> dict[int, int]:
    """Take colours that differ by noise alone for one: that of `exact` which is near, else the one with most pixels."""
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


def _interior(codes: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels that equal all of their eight neighbours."""
    inside = np.zeros(codes.shape, bool)
    if min(codes.shape) >= 3:
        middle = codes[1:-1, 1:-1]
        same = np.ones(middle.shape, bool)
        height, width = codes.shape
        for dy in range(3):
            for dx in range(3):
                same &= codes[dy : height - 2 + dy, dx : width - 2 + dx] == middle
        inside[1:-1, 1:-1] = same
    return inside


def _spread(there: np.ndarray, reach: int) -> np.ndarray:
    """Return (h, w) bool: pixels within `reach` of one that is there."""
    for _ in range(reach):
        for axis in (0, 1):
            wider = there.copy()
            ahead, behind = (np.s_[1:], np.s_[:-1])
            if axis:
                wider[:, ahead] |= there[:, behind]
                wider[:, behind] |= there[:, ahead]
            else:
                wider[ahead] |= there[behind]
                wider[behind] |= there[ahead]
            there = wider
    return there


def _close(codes: np.ndarray, centre: np.ndarray, limit: int) -> np.ndarray:
    close = codes >= 0
    for shift, value in zip((16, 8, 0), centre.tolist(), strict=True):
        close &= np.abs((codes >> shift & 255) - value) <= limit
    return close


def _channels(codes: np.ndarray) -> np.ndarray:
    """Return (n, 3) float channels of colours (n,)."""
    return np.stack([codes >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.float64)


def _are_noise(values: np.ndarray, counts: np.ndarray, flat: dict[int, int]) -> bool:
    """Tell whether values that count as noise of a flat colour are next to it, or rare."""
    distances = _distances(values, list(flat))
    share = counts / np.array(list(flat.values()))[distances.argmin(1)]
    return not ((distances.min(1) > SAME) & (share > RARE)).any()


def _are_apart(flat: dict[int, int], apart: int) -> bool:
    codes = np.array(list(flat), np.int32)
    distances = _distances(codes, codes.tolist())
    np.fill_diagonal(distances, np.inf)
    return bool(distances.min() >= apart)


def _distances(codes: np.ndarray, flat: list[int]) -> np.ndarray:
    """Return (n, flat) largest differences of a channel."""
    return np.abs(_channels(codes)[:, None] - _channels(np.array(flat, np.int32))[None]).max(-1)


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((a, b) for a in range(count) for b in range(a + 1, count))
