"""Read object masks strictly and keep their compressed bytes; used by preparation and by `check`.

TensorFlow's PNG decoder turns a palette into colours and so loses the ids. A palette PNG therefore becomes a grey PNG
here by rewriting its header: colour type 3 -> 0 and no palette. The compressed pixels are the same bytes.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from aot_jax.io.frames import JPEG_OR_PNG, PNG, decode_image, explain_errors, open_image
from aot_jax.io.masks import MaskError, mask_values
from aot_jax.typing import VOID
from data_pipeline.errors import DataError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_mask(data: bytes, name: str) -> tuple[np.ndarray, bytes]:
    """Decode one mask file.

    Args:
      data: bytes of the file.
      name: what to call it in an error.

    Returns:
      ids (h, w) uint8, 0 background, and the bytes of an 8-bit grey PNG that holds the same ids.

    Raises:
      DataError: not a PNG, coloured, antialiased, too large, or ids above 255.
    """
    image, head = decode_image(name, PNG, DataError, data)
    try:
        values = mask_values(image, head, name)
    except MaskError as error:
        raise DataError(str(error)) from None
    if values.ndim == 3:
        raise DataError(
            f"{name}: a mask must hold object ids (palette or grey PNG), this one holds {image.mode} colours; "
            "save it as a palette PNG"
        )
    if values.max() > VOID:
        raise DataError(
            f"{name}: ids from {values.min()} to {values.max()}; training takes 0 .. 254, and 255 for void: "
            "renumber them"
        )
    ids = values.astype(np.uint8)
    if image.mode in ("P", "L") and data[24] == 8:
        return ids, grey_png(data)
    buffer = io.BytesIO()
    Image.fromarray(ids).save(buffer, "PNG")
    return ids, buffer.getvalue()


def grey_png(data: bytes) -> bytes:
    """Declare an 8-bit palette or grey PNG as grey; its compressed pixels stay the same bytes."""
    pieces, at = [_SIGNATURE], len(_SIGNATURE)
    while at + 8 <= len(data):
        size, tag = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        at += 12 + size
        if tag == b"IHDR":
            body = body[:9] + b"\0" + body[10:]
        if tag in (b"IHDR", b"IDAT", b"IEND"):
            pieces.append(struct.pack(">I4s", len(body), tag) + body + struct.pack(">I", zlib.crc32(tag + body)))
    return b"".join(pieces)


def count_pixels(ids: np.ndarray) -> dict[int, int]:
    """Count the pixels of every id but background; 255 is counted like the others."""
    counts = np.bincount(ids.reshape(-1), minlength=256)
    return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if i}


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) of an encoded frame after decoding it, so that a cut or broken file is found now.

    Raises:
      DataError: the file cannot be decoded, or is of a kind TensorFlow does not decode.
    """
    with explain_errors(name, DataError):
        image, _ = open_image(io.BytesIO(data), name, JPEG_OR_PNG, DataError)
        width, height = image.size
        image.draft("RGB", (max(1, width // 8), max(1, height // 8)))  # reads all bytes, skips most of the work
        image.load()
    if image.mode == "CMYK":
        raise DataError(f"{name}: a CMYK image; save it as an RGB JPEG or PNG")
    return height, width
