"""Draw the masks that each LSTT layer's attention maps carry from memory to a frame (paper, Fig. 9).

The network runs as usual; each attention is then evaluated again with the same queries, keys and parameters, but with
masks as values.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from aot_jax import propagate
from aot_jax.figures.page import FigureError, hide_axes, make_page, show_frame
from aot_jax.io.masks import DAVIS_PALETTE, object_ids
from aot_jax.memory import EMPTY, Memory
from aot_jax.models.aot import AOT
from aot_jax.models.attention import LongTermAttention, split_heads
from aot_jax.models.local_attention import ShortTermAttention
from aot_jax.network import Model
from aot_jax.ops.patches import embed_patches
from aot_jax.preprocess import normalise, resize_cubic, resize_nearest
from aot_jax.tracker.objects import Slots, split_groups
from aot_jax.tracker.options import make_options
from aot_jax.tracker.stream import Stream, StreamState
from aot_jax.typing import Array, Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours of the palette at full brightness; the brightness of a cell shows the share of the attention.
COLOURS = DAVIS_PALETTE[1:] / DAVIS_PALETTE[1:].max(axis=1, keepdims=True).astype(np.float32)


class Call(NamedTuple):
    """Inputs and output of one call of an attention module in the network."""

    term: str  # "long" or "short"
    q: Array  # (b, n, h, w, d)
    keys: Array  # (b, n, k, h, w, d)
    values: Array  # (b, n, k, h, w, d)
    valid: Array | None  # (b, k)
    module: Any  # the attention module
    params: Params  # its parameters
    output: Array  # (b, h, w, c), after the module's projection, if any


class Carried(NamedTuple):
    """Masks that one layer's attentions carry to a frame; the shares of M + 1 identities sum to 1 in each cell."""

    long: np.ndarray  # (g, h, w, M + 1) float32 at 16x, mean over heads
    short: np.ndarray | None  # the same; None for a network without short-term attention


class Maps(NamedTuple):
    """Contents of Fig. 9 for one frame t."""

    layers: list[Carried]
    frames: dict[int, np.ndarray]  # (h, w, 3) uint8 of frames 0, t - 1 and t
    labels: dict[int, np.ndarray]  # (h, w) int32 slots of these frames, the last as predicted
    memory_frames: list[int]  # indices of the frames in long-term memory


def carry(call: Call, values: Array, with_relative: bool = False) -> Array:
    """Apply the attention map of a call to other values.

    Args:
        call: call from `record`.
        values: (b, n, k, h, w, e).
        with_relative: add the relative-position values, as the network does; they do not come from memory.

    Returns:
        (b, n, h, w, e).
    """
    changes = {"project": False} | ({} if call.term == "long" or with_relative else {"relative_values": False})
    attention = call.module.clone(**changes)
    y = attention.apply({"params": call.params}, call.q, call.keys, values, call.valid)
    return split_heads(y, call.q.shape[1])


def record(run: Callable[[], Any]) -> tuple[Any, list[list[Call]]]:
    """Run the network; returns its result and the attention calls of each LSTT layer, in order."""
    layers: list[list[Call]] = []

    def listen(next_call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        output = next_call(*args, **kwargs)
        terms = {LongTermAttention: "long", ShortTermAttention: "short"}
        if type(context.module) in terms and context.method_name == "__call__":
            if type(context.module) is LongTermAttention:  # the first attention of a layer
                layers.append([])
            params = dict(context.module.variables.get("params", {}))
            q, keys, values, valid = args
            layers[-1].append(Call(terms[type(context.module)], q, keys, values, valid, context.module, params, output))
        return output

    with nn.intercept_methods(listen):
        result = run()
    return result, layers


def patch_shares(masks: Array, identities: int, align_corners: bool) -> Array:
    """Return the share of each id 0 .. M in each patch of the identity bank: (..., h, w) to (..., h', w', M + 1)."""
    size = 17 if align_corners else 16
    count = jnp.broadcast_to(jnp.eye(identities + 1), (size, size, identities + 1, identities + 1))
    area = embed_patches(masks.reshape(-1, *masks.shape[-2:]), count)
    shares = area / area.sum(axis=-1, keepdims=True)
    return shares.reshape(*masks.shape[:-2], *shares.shape[1:])


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def _carried(
    model: AOT, params: Params, memory: Memory, image: Array, long: Array, short: Array, depth: int
) -> list[list[Array]]:
    """Run one frame; returns the carried masks (g, h, w, M + 1) of each layer and attention."""
    _, layers = record(lambda: propagate.step(model, params, memory, image, depth=depth))

    def shares(call: Call) -> Array:
        masks = long if call.term == "long" else short
        heads = jnp.broadcast_to(masks[:, None], (*masks.shape[:1], call.q.shape[1], *masks.shape[1:]))
        return carry(call, heads.astype(jnp.float32)).mean(axis=1)

    return [[shares(call) for call in layer] for layer in layers]


def carried_masks(
    model: Model, frames: Iterable[np.ndarray], mask: np.ndarray, depth: int | None = None, gap: int | None = None
) -> Maps:
    """Track objects up to the last of `frames` and compute the masks that attention carries to it.

    Args:
        model: network and parameters, from `load_model`.
        frames: (h, w, 3) uint8 each; two or more.
        mask: (h, w) ids in the first frame.
        depth: LSTT layers to run; None: all.
        gap: frames between additions to long-term memory; 0: first frame only; None: the config's.

    Raises:
        FigureError: for fewer than two frames, or a mask without objects.
        TrackError: for a depth that the network does not have.
    """
    frames = iter(frames)
    previous, current = next(frames, None), next(frames, None)
    if previous is None or current is None:
        raise FigureError("attention is looked at from the second frame on: give two frames or more")
    slots = Slots(model.config.model.identities).take(object_ids(mask))
    if not slots.of:
        raise FigureError("the first mask has no object, every pixel is 0: give the objects ids above 0")
    (stream,) = make_options(model, depth, gap).open_streams(model, (mask.shape[0], mask.shape[1]))
    short_frames = model.config.model.short_term_frames
    shown = {0: previous}
    labels = {0: slots.from_ids(mask)}
    state = stream.begin(previous, labels[0], slots.groups)
    t = 1
    for following in frames:
        state, found = stream.advance(state, current, slots.used())
        labels[t] = np.asarray(found)
        held = {0, *_stored(state), *range(t - short_frames, t + 1)}
        labels = {i: x for i, x in labels.items() if i in held}
        previous, current, t = current, following, t + 1
    stored, recent = _stored(state), [t - 1 - i for i in range(short_frames)]
    image = normalise(resize_cubic(jnp.asarray(current), stream.view.size))[None]
    long, short = (_remembered(indices, labels, stream, slots.groups) for indices in (stored, recent))
    layers = _carried(model.module, model.params, state.memory, image, long, short, stream.depth)
    labels[t] = np.asarray(stream.advance(state, current, slots.used())[1])
    carried = [Carried(np.asarray(layer[0]), np.asarray(layer[1]) if recent else None) for layer in layers]
    shown |= {t - 1: previous, t: current}
    return Maps(carried, shown, {i: labels[i] for i in shown}, sorted(i for i in stored if i != EMPTY))


def _stored(state: StreamState) -> list[int]:
    """Return the index of the frame in each long-term slot; `EMPTY` for an empty slot."""
    return np.asarray(state.memory.long_frame).tolist()


def _remembered(indices: Sequence[int], labels: Mapping[int, np.ndarray], stream: Stream, groups: int) -> Array:
    """Stack the masks of frames in memory, (g, k, h, w, M + 1) at 16x; an empty slot counts as background."""
    config = stream.model.config.model
    empty = np.zeros(stream.view.output, np.int32)
    masks = [
        split_groups(resize_nearest(jnp.asarray(labels.get(i, empty)), stream.view.size), groups, config.identities)
        for i in indices
    ]
    if not masks:
        return jnp.zeros(())
    return patch_shares(jnp.stack(masks, axis=1), config.identities, config.align_corners)


def colour(shares: np.ndarray) -> np.ndarray:
    """Convert shares (g, h, w, M + 1) to colours (h, w, 3) float32 in 0 .. 1; background is black.

    The brightness of a colour is its object's share of the attention.
    """
    objects = np.concatenate(list(shares[..., 1:]), axis=-1)  # in the order of slots
    palette = COLOURS[np.arange(objects.shape[-1]) % len(COLOURS)]
    return np.clip(objects @ palette, 0, 1)


def draw_maps(maps: Maps) -> "Figure":
    """Draw frames with their masks, and below the masks that short- and long-term attention carry in each layer."""
    depth, t = len(maps.layers), max(maps.frames)
    height, width = maps.frames[t].shape[:2]
    terms = [("short", "short-term"), ("long", "long-term")]
    terms = [(term, title) for term, title in terms if getattr(maps.layers[0], term) is not None]
    figure, panels = make_page(1 + len(terms), max(len(maps.frames), depth), 3.0, 0.35 + 3.0 * height / width)
    for row in panels:
        for axes in row:
            hide_axes(axes)
            axes.set_facecolor("none")
    titles = {0: "frame 0, reference", t: f"frame {t}, predicted"}
    for axes, (index, frame) in zip(panels[0], sorted(maps.frames.items()), strict=False):
        show_frame(axes, frame, maps.labels[index])
        axes.set_title(titles.get(index, f"frame {index}"))
    for row, (term, title) in zip(panels[1:], terms, strict=True):
        for number, (axes, layer) in enumerate(zip(row, maps.layers, strict=False), start=1):
            # Without interpolation: the maps have no finer detail than cells.
            extent = (0, width, height, 0)
            axes.imshow(colour(getattr(layer, term)), extent=extent, interpolation="nearest")
            axes.set_title(f"{title}, l = {number}")
    stored = ", ".join(map(str, maps.memory_frames))
    panels[-1][0].set_xlabel(f"long-term memory: frame{'s' if ',' in stored else ''} {stored}")
    return figure
