"""Mask files: read strictly into arrays of object ids, written as palette PNGs with the DAVIS colours.

A mask is an array of ids: 0 background, 255 void where the source has it, anything else an object.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.files import atomic_write
from aot_jax.io.frames import PNG, decode_image

MAX_GREY_LEVELS = 64  # of an 8-bit grey mask without palette; more are taken for antialiasing or a picture
MAX_COLOURS = 255  # of an RGB mask, besides black
MAX_IDS = 4096  # of a 16-bit mask; a depth map or a picture has more
_RGB_WEIGHTS = np.array([1 << 16, 1 << 8, 1], np.int32)  # (r, g, b) as one number, in ascending order of colours
_ANTIALIASED = (
    "export the mask without antialiasing or lossy compression (resize with nearest neighbour), or, if these are ids, "
    "save it as a palette PNG"
)


class MaskError(ValueError):
    """Says which mask cannot be used, why, and what to do."""


def _davis_palette() -> np.ndarray:
    """Compute the PASCAL VOC colours: bits 0, 1, 2 of an id go to the top bit of R, G, B, bits 3, 4, 5 below, ..."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


DAVIS_PALETTE = _davis_palette()  # (256, 3) uint8


def read_mask(
    path: str | Path, size: tuple[int, int] | None = None, numbering: dict[int, int] | None = None
) -> np.ndarray:
    """Read a PNG as object ids.

    - palette: the indices. 255 stays 255 (void).
    - grey of up to 8 bits: the sample values; but 0 and 255 alone are a drawn black-and-white mask and become 0 and 1.
    - 16-bit grey: the sample values.
    - RGB: grey if r = g = b everywhere; ids if every colour is in `DAVIS_PALETTE`; else the distinct colours are
      numbered 1, 2, ... in ascending order of (r, g, b), black being 0. That numbering holds for this one file, unless
      `numbering` carries it from file to file.
    - an alpha channel is ignored, unless the shape is in it alone.

    Args:
        path: the PNG.
        size: (height, width) that it must have; None takes any.
        numbering: ids of the colours 65536 r + 256 g + b met in the other RGB masks of a video; a colour keeps its id,
            and new ones are added.

    Returns:
        (h, w) int32, ids >= 0.

    Raises:
        MaskError: missing, not a PNG, broken, too large, of another size, or not a mask of ids (antialiased edges, a
            picture). Nothing else is raised, whatever the file holds.

    Example:
        >>> Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save("drawn.png")
        >>> read_mask("drawn.png")  # black and white
        array([[0, 1],
               [1, 0]], dtype=int32)
        >>> read_mask("drawn.png", size=(480, 854))
        Traceback (most recent call last):
        aot_jax.io.masks.MaskError: drawn.png: the mask is 2x2, but 854x480 (width x height) is needed; ...
    """
    image, head = decode_image(path, PNG, MaskError)
    if size is not None and (image.height, image.width) != tuple(size):
        raise MaskError(
            f"{path}: the mask is {image.width}x{image.height}, but {size[1]}x{size[0]} (width x height) is needed; "
            "resize it with nearest neighbour or give the mask that belongs to this image"
        )
    values = mask_values(image, head, path)
    if values.ndim == 3:
        return _ids_from_colours(values, path, {} if numbering is None else numbering)
    if image.mode not in ("P", "1") and is_binary_0_255(values):
        return (values == 255).astype(np.int32)
    return values


def mask_values(image: Image.Image, head: bytes, path: str | Path) -> np.ndarray:
    """Return the values that a mask's PNG stores, whatever they mean; refuse what cannot be ids.

    Called here, and by `data_pipeline.masks`, which has conventions of its own for 255 and takes no colours.

    Args:
        image: decoded.
        head: the file's first bytes.
        path: its name, for errors.

    Returns:
        (h, w) int32, those of 0 and 255 as they are; or colours (h, w, 3) uint8 that are not all grey.

    Raises:
        MaskError: as `read_mask`.
    """
    bits, colour_type = head[24], head[25]  # of the PNG's IHDR: Pillow does not tell
    if bits == 16 and colour_type != 0:
        raise MaskError(f"{path}: 16-bit colour or alpha is not read; save ids as palette or 16-bit grey PNG")
    pixels = np.asarray(image)
    if image.mode in ("P", "1"):
        return pixels.astype(np.int32)
    if image.mode in ("I", "I;16"):
        return _values_of_16_bits(pixels.astype(np.int32), path)
    if image.mode in ("LA", "RGBA"):
        pixels = _without_alpha(pixels, path)
    elif image.mode not in ("L", "RGB"):
        raise MaskError(f"{path}: images of mode {image.mode} are not read as masks; save it as a palette PNG")
    if pixels.ndim == 2:
        return _values_of_grey(pixels, bits, path)
    if (pixels == pixels[..., :1]).all():
        return _values_of_grey(pixels[..., 0], 8, path)
    return pixels


def write_mask(path: str | Path, mask: np.ndarray, palette: np.ndarray = DAVIS_PALETTE) -> None:
    """Write ids as a palette PNG; with ids above 255, as a 16-bit grey PNG.

    A reader never meets half a file: it is written beside its place and then moved there. Missing folders are made.

    Args:
        path: ends in `.png`.
        mask: (h, w) integers or booleans, 0 <= id <= 65535.
        palette: (n, 3) uint8 colours, n <= 256; not used for ids above 255.

    Raises:
        MaskError: the array is not such a mask, or the name no PNG.
        OSError: it cannot be written; the error names the file.

    Example:
        >>> write_mask("out/00000.png", np.array([[0, 1], [7, 7]]))
        >>> read_mask("out/00000.png").tolist()
        [[0, 1], [7, 7]]
    """
    path, mask = Path(path), np.asarray(mask)
    if path.suffix.lower() != ".png":
        raise MaskError(f"{path}: masks are written as PNG; give a name that ends in .png")
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "biu":
        raise MaskError(f"{path}: a mask is an integer array (h, w), not {mask.dtype} of shape {mask.shape}")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > 65535:
        raise MaskError(f"{path}: id {low if low < 0 else high} does not fit in 0..65535; renumber the ids")
    if high > 255:
        image = Image.fromarray(mask.astype(np.uint16))
    else:
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def binarise(mask: np.ndarray) -> np.ndarray:
    """Merge all objects into one: ids above 0 become 1. Returns int32 of the same shape.

    Example:
        >>> binarise([0, 5, 2])
        array([0, 1, 1], dtype=int32)
    """
    return (np.asarray(mask) > 0).astype(np.int32)


def is_binary_0_255(values: np.ndarray) -> bool:
    """Tell whether 0 and 255 are the only values and 255 is among them."""
    white = np.asarray(values) == 255
    return bool(white.any() and (white | (np.asarray(values) == 0)).all())


def _values_of_grey(values: np.ndarray, bits: int, path: str | Path) -> np.ndarray:
    """Take 8-bit grey values (h, w), as Pillow gives them for samples of `bits` bits, for ids; refuse blends."""
    if is_binary_0_255(values):
        return values.astype(np.int32)
    if bits in (2, 4):  # Pillow stretches small samples to 0..255; the ids are what is stored
        return values.astype(np.int32) // (255 // (2**bits - 1))
    pixels_of = np.bincount(values.ravel(), minlength=256)
    levels = np.flatnonzero(pixels_of)
    if levels.size > MAX_GREY_LEVELS:
        raise MaskError(
            f"{path}: {levels.size} grey levels are more than the {MAX_GREY_LEVELS} that a mask without palette may "
            f"have: it looks antialiased, or is a picture; {_ANTIALIASED}"
        )
    # Edges between black and white pass through bright grey, on few pixels. As ids, white would be void.
    between = levels[(levels > 0) & (levels < 255)]
    if pixels_of[0] and between.size and between[-1] >= 128 and pixels_of[between].sum() < pixels_of[255]:
        raise MaskError(
            f"{path}: a black-and-white mask with {between.size} grey levels between (up to {between[-1]}) looks "
            f"antialiased; {_ANTIALIASED}"
        )
    return values.astype(np.int32)


def _values_of_16_bits(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Take 16-bit grey values (h, w) for ids; refuse pictures."""
    count = np.count_nonzero(np.bincount(values.ravel()))
    if count > MAX_IDS:
        raise MaskError(f"{path}: {count} different values are more than {MAX_IDS} ids: a picture? {_ANTIALIASED}")
    return values


def _ids_from_colours(pixels: np.ndarray, path: str | Path, numbering: dict[int, int]) -> np.ndarray:
    """Turn colours (h, w, 3) into ids: by the DAVIS palette if it has them all, else numbered in ascending order."""
    codes = pixels.astype(np.int32) @ _RGB_WEIGHTS
    colours, index = np.unique(codes, return_inverse=True)
    palette = {int(code): i for i, code in enumerate(DAVIS_PALETTE.astype(np.int32) @ _RGB_WEIGHTS)}
    in_palette = all(int(colour) in palette for colour in colours)
    if not in_palette and np.count_nonzero(colours) > MAX_COLOURS:
        raise MaskError(
            f"{path}: {colours.size} colours are more than {MAX_COLOURS} objects: it looks antialiased, or is a "
            f"picture; {_ANTIALIASED}"
        )
    numbering.setdefault(0, 0)
    for colour in colours.tolist():
        if colour not in numbering:
            taken = set(numbering.values())
            own = palette[colour] if in_palette else 0
            numbering[colour] = own if own and own not in taken else min(set(range(1, len(taken) + 1)) - taken)
    return np.array([numbering[colour] for colour in colours.tolist()], np.int32)[index].reshape(codes.shape)


def _without_alpha(pixels: np.ndarray, path: str | Path) -> np.ndarray:
    """Drop the last channel of (h, w, 2 or 4), unless the others are constant while it is not."""
    colour, alpha = pixels[..., :-1], pixels[..., -1]
    if (colour == colour[0, 0]).all() and (alpha != alpha[0, 0]).any():
        raise MaskError(
            f"{path}: the shape is in the alpha channel, the colour is {colour[0, 0].tolist()} everywhere; "
            "flatten the image onto a black background"
        )
    return colour[..., 0] if colour.shape[-1] == 1 else colour
