"""The encoded image in one cell of a table, in whatever type people keep it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import re
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from aigc_core.data.sources.base import MAX_BYTES
from aigc_core.data.sources.kinds import START_BYTES, may_be_plugins, pillow_formats
from aigc_core.data.sources.tables import kinds
from aigc_core.modalities import image
from aigc_core.modalities.decoding.foreign import IMAGES

#: How a cell holds its image: as bytes, as base64 text, as numbers, or in a list of one.
Form = Literal["bytes", "text", "numbers", "list"]

#: Numbers of channels that a picture may have.
CHANNELS = (1, 3, 4)
#: Beginnings of the usual images that are so long that pixels hardly begin so.
_SURE = tuple(beginning for beginning, _ in IMAGES if len(beginning) > 2)
_DATA_URI = re.compile(r"data:[\w/+.-]*(;[\w=.-]+)*;base64,", re.IGNORECASE)
_TEXT = re.compile(rb"data:|[A-Za-z0-9+/_=\s-]+$", re.IGNORECASE)


def form_of(kind: pa.DataType) -> Form:
    """How cells of a type hold images, as far as the type says it: bytes may still be base64."""
    if kinds.is_list(kind):
        return "numbers" if pa.types.is_integer(kinds.innermost(kind)) else "list"
    return "text" if kinds.is_text(kind) else "bytes"


def read_cell(cell: pa.Array) -> tuple[bytes, Form]:
    """The encoded image in an array of length 1, and how it was held.

    Raises OSError, with the reason, where the cell holds none.
    """
    cell = kinds.plain(cell)
    if cell.null_count or pa.types.is_null(cell.type):
        raise OSError("null in the image column")
    if pa.types.is_struct(cell.type):
        return _of_struct(cell)
    if kinds.is_list(cell.type):
        return _of_list(cell)
    held = cell[0].as_py()
    if isinstance(held, str):
        return _from_text(held), "text"
    _check_size(len(held))
    if _TEXT.match(held[:64]):  # some formats of images are text as well
        with contextlib.suppress(OSError):
            return _from_text(held.decode(errors="replace")), "text"
    return held, "bytes"


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise OSError(f"{size:,} bytes are more than {MAX_BYTES:,}")


def _of_struct(cell: pa.Array) -> tuple[bytes, Form]:
    place = cell.type.get_field_index("bytes")
    inner = None if place < 0 else cell.field(place)
    if inner is not None and not inner.null_count:
        return read_cell(inner)
    place = cell.type.get_field_index("path")
    path = None if place < 0 else cell.field(place)[0].as_py()
    if path:
        raise OSError(f"the cell names a file by its path instead of holding its bytes: {str(path)[:80]!r}")
    raise OSError("null in the image column")


def _of_list(cell: pa.Array) -> tuple[bytes, Form]:
    if pa.types.is_integer(kinds.innermost(cell.type)):
        return _from_numbers(cell), "numbers"
    values = kinds.plain(cell.flatten())
    if len(values) != 1:
        raise OSError(f"the cell holds a list of {len(values)} images, and a row is one")
    return read_cell(values)[0], "list"


def _from_text(text: str) -> bytes:
    """What base64 text or a data URI encodes."""
    _check_size(len(text) * 3 // 4)
    shown = repr(text[:60]) + ("..." if len(text) > 60 else "")
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        raise OSError(f"the cell names an address instead of holding an image, and nothing is fetched: {shown}")
    body = "".join(_DATA_URI.sub("", text, count=1).split()).rstrip("=")
    try:
        content = base64.b64decode(body.replace("-", "+").replace("_", "/") + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not _is_image(content):
        raise OSError(f"the cell holds text that is no image in base64, such as the path of a file: {shown}")
    return content


def _is_image(content: bytes) -> bool:
    """Whether bytes begin as an image and, where their first ones may be pixels as well, have a header that Pillow reads.

    Whether the rest is whole shows when it is decoded.
    """
    start = content[:START_BYTES]
    if content.startswith(_SURE) or may_be_plugins(start):
        return True
    try:
        with image.quiet(), Image.open(io.BytesIO(content), formats=pillow_formats(start)):
            return True
    except Exception:  # Pillow's readers raise many kinds for foreign bytes, and find absurd sizes in pixels
        return False


def _from_numbers(cell: pa.Array) -> bytes:
    """Encoded bytes that were listed, or pixels as PNG."""
    values, shape = _array(cell)
    if len(shape) == 1:
        content = values.tobytes()
        if not _is_image(content):
            raise OSError(f"the cell is a list of {len(values):,} numbers: neither an encoded image nor rows of pixels")
        return content
    return png(values.reshape(shape))


def _array(cell: pa.Array) -> tuple[image.Pixels, tuple[int, ...]]:
    """Flat uint8 values of nested lists, and their shape. Raises OSError where they are ragged or no bytes."""
    shape = []
    while kinds.is_list(cell.type):
        lengths = pc.unique(pc.list_value_length(cell)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise OSError("the cell is a list of lists of different lengths, or of none")
        shape.append(lengths[0])
        cell = kinds.plain(cell.flatten())
    if cell.null_count:
        raise OSError("null among the pixels")
    return as_bytes(cell.to_numpy(zero_copy_only=False)), tuple(shape)


def as_bytes(values: Any) -> image.Pixels:
    """Whole numbers as uint8. Raises OSError where they do not fit."""
    if values.dtype != np.uint8 and values.size and (values.min() < 0 or values.max() > 255):
        raise OSError(f"pixels from {values.min()} to {values.max()} are no bytes: scale them to 0 to 255")
    return np.asarray(values, np.uint8)


def png(pixels: image.Pixels) -> bytes:
    """Pixels (H, W), (H, W, C) or (C, H, W) as PNG; the first is taken for C only where the last cannot be.

    Raises OSError for any other shape.
    """
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif pixels.ndim == 3 and shape[2] not in CHANNELS and shape[0] in CHANNELS:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS:
        raise OSError(f"pixels of the shape {' x '.join(map(str, shape))} are no height x width [x 1, 3 or 4 channels]")
    return image.encode_png(np.ascontiguousarray(pixels))
