"""Read what a mask file stores: ids, grey levels, palette indices or colours, whose meaning is not yet decided."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from aot_jax.errors import ReportedError
from aot_jax.io.images import JPEG_START, MASKS, PNG, Kinds, decode_image
from aot_jax.typing import VOID, Size

CLEAR = -1  # value of transparent pixels
FEW_ALPHAS = 4  # most values of an alpha channel without soft edges, such as that of layers of several opacities
WHITE_16 = 65535  # white in 16-bit samples
GREY_16 = 257  # ratio of 16-bit and 8-bit samples of the same grey
FEW_LEVELS, MAX_IDS = 8, 4096  # most values, or the largest, of 16-bit ids beside 65535; grey levels exceed both
BLACK, WHITE = 0, 0xFFFFFF
_CODE = np.array([1 << 16, 1 << 8, 1], np.int32)  # weights that turn (r, g, b) into one number
_GREY = 0x010101  # factor that turns a grey level into its colour


class MaskError(ReportedError):
    """A mask cannot be used; the message says which, why, and what to do."""


def _davis_palette() -> np.ndarray:
    """Compute the PASCAL VOC colours: bits 0, 1, 2 of an id go to the top bit of R, G, B, bits 3, 4, 5 below, ..."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((ids >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


DAVIS_PALETTE = _davis_palette()  # (256, 3) uint8

# Type of the values: "ids" have no colours; "drawn" are ids of shapes, whose edges are never soft; "grey" has 8 bits.
Kind = Literal["ids", "drawn", "grey", "palette", "colour"]


@dataclass(frozen=True)
class Stored:
    """The values of one mask."""

    values: np.ndarray  # (h, w) int32, `CLEAR` where transparent; of kind "colour": 65536 r + 256 g + b
    kind: Kind
    palette: np.ndarray | None = None  # (n,) int32 colours by index; only for kind "palette"
    soft: bool = False  # alpha has values between transparent and opaque
    lossy: bool = False  # from a JPEG
    hidden: bool = False  # all pixels are transparent; `values` holds what lies below
    cut: bool = False  # probabilities were cut at 0.5

    @property
    def size(self) -> Size:
        """Return (h, w)."""
        return self.values.shape[0], self.values.shape[1]

    def colours(self) -> np.ndarray:
        """Return the colour (h, w) int32 of each pixel, `CLEAR` where transparent."""
        if self.kind == "colour":
            return self.values
        return np.where(self.values == CLEAR, CLEAR, self.colour_of(np.maximum(self.values, 0)))

    def colour_of(self, values: np.ndarray) -> np.ndarray:
        """Return the displayed colours of values >= 0."""
        if self.kind == "palette" and self.palette is not None:
            return self.palette[np.minimum(values, self.palette.size - 1)]
        return values if self.kind == "colour" else values * _GREY


def read_image(path: str | Path, data: bytes | None = None, kinds: Kinds = MASKS) -> Stored:
    """Read the raw values of an image file.

    Args:
        path: PNG, TIFF, BMP, GIF, WebP or JPEG.
        data: content of the file, if already read.
        kinds: accepted formats.

    Raises:
        MaskError: the file cannot be read, or cannot be a mask (16-bit colour, CMYK, fractions).
    """
    return stored_values(*decode_image(path, kinds, MaskError, data), path)


def stored_values(image: Image.Image, head: bytes, path: str | Path) -> Stored:
    """Return the raw values of a decoded image; `head` are the first bytes of its file, `path` its name for messages.

    Raises:
        MaskError: it cannot be a mask.
    """
    bits = 8
    if head.startswith(tuple(PNG)):  # Pillow does not expose the bit depth
        bits, colour_type = head[24], head[25]
        if bits == 16 and colour_type != 0:
            raise MaskError(f"{path}: 16-bit colour or alpha is not read; save ids as palette or 16-bit grey PNG")
    if image.mode in ("P", "PA"):
        return _from_palette(image)
    if image.mode == "1" or image.mode.startswith(("I", "F")):
        return stored_numbers(np.asarray(image), path)
    if image.has_transparency_data and image.mode in ("L", "LA", "RGB"):
        image = image.convert("RGBA")
    if image.mode not in ("L", "RGB", "RGBA"):
        raise MaskError(f"{path}: images of mode {image.mode} are not read as masks; save it as a palette PNG")
    pixels = np.asarray(image)
    alpha = pixels[..., 3] if image.mode == "RGBA" else None
    if pixels.ndim == 3:
        pixels = pixels[..., :3]
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
    grey = pixels.ndim == 2
    values = pixels.astype(np.int32) if grey else pixels.astype(np.int32) @ _CODE
    if grey and bits in (2, 4):  # Pillow scales such samples to 0..255; the ids are the stored values
        values //= 255 // (2**bits - 1)
        return Stored(values if alpha is None else _cleared(values, _transparent(alpha)[0]), "ids")
    if alpha is None:
        return Stored(values, "grey" if grey else "colour", lossy=head.startswith(JPEG_START))
    clear, soft = _transparent(alpha)
    return Stored(_cleared(values, clear), "grey" if grey else "colour", soft=soft, hidden=bool(clear.all()))


def stored_numbers(array: np.ndarray, path: str | Path) -> Stored:
    """Return an array (h, w) of numbers as ids, probabilities cut at 0.5, and 16-bit grey levels as 8-bit ones.

    Raises:
        MaskError: it holds other fractions, or numbers that are no ids.
    """
    values, cut = np.asarray(array), False
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise MaskError(f"{path}: holds NaN or infinity; masks are integers or booleans")
        if (values != np.round(values)).any():
            if values.min() < 0 or values.max() > 1:
                raise MaskError(f"{path}: holds fractions; masks are integers, or probabilities between 0 and 1")
            values, cut = values >= 0.5, True
    if values.size and (values.min() < 0 or values.max() > 2**31 - 1):
        raise MaskError(f"{path}: holds ids from {values.min()} to {values.max()}; they are from 0 to 2^31 - 1")
    values = values.astype(np.int32)
    if values.max(initial=0) == WHITE_16:
        levels = np.unique(values)
        others = levels[(levels > 0) & (levels < WHITE_16)]
        if others.size and ((others % GREY_16 == 0).all() or (others.size > FEW_LEVELS and others[-1] > MAX_IDS)):
            return Stored((values + GREY_16 // 2) // GREY_16, "grey")
    return Stored(values, "ids", cut=cut)


def check_size(found: Size, size: Size | None, name: str | Path) -> None:
    """Check that the size (h, w) of a mask is the one wanted; None accepts any.

    Raises:
        MaskError: it has another size; the message states both.
    """
    if size is not None and found != tuple(size):
        (h, w), (height, width) = found, size
        remedy = "resize it with nearest neighbour or give the mask that belongs to this image"
        if (w, h) == (height, width):
            remedy = "it lies on its side: turn it as viewers show the frames, or draw it on upright frames"
        raise MaskError(f"{name}: the mask is {w}x{h}, but {width}x{height} (width x height) is needed; {remedy}")


def _from_palette(image: Image.Image) -> Stored:
    """Return the palette indices of an image, with or without alpha."""
    codes = np.array(image.getpalette("RGB") or [0, 0, 0], np.int32).reshape(-1, 3) @ _CODE
    pixels = np.asarray(image)
    values = (pixels[..., 0] if image.mode == "PA" else pixels).astype(np.int32)
    alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
    kind: Kind = "palette"
    if values.max(initial=0) == VOID and codes.size > VOID:
        used = np.unique(values)
        kind = "grey" if (codes[used] == used * _GREY).all() else kind  # a grey image with a palette
    return Stored(values if alpha is None else _cleared(values, _transparent(alpha)[0]), kind, codes)


def _transparent(alpha: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return which pixels (h, w) are transparent, and whether that cuts soft edges at half."""
    levels = np.unique(alpha)
    if levels[0] == 0 and levels.size <= FEW_ALPHAS:
        return alpha == 0, False
    clear = alpha < (int(levels[-1]) + 1) // 2
    return clear, bool(clear.any())


def _cleared(values: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Set transparent pixels to `CLEAR`, unless all are: see `Stored.hidden`."""
    return values if clear.all() else np.where(clear, np.int32(CLEAR), values)
