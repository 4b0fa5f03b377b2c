"""TIFF with samples that are not 8 unsigned bits: Pillow unpacks the bytes, and numpy reads the numbers in them.

Pillow knows some of these layouts, keeps the upper bytes of others and refuses the rest. The same file written as grey
of 8 bits, each row as wide as it has bytes, gives the bytes of every row whatever the layout and the compression is.

Legend: H, W = height, width in px; S = samples per pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DecodeError
from aigc_core.modalities.decoding import tiff as tags
from aigc_core.modalities.decoding.canonical import OPAQUE, Pixels, multiplied_back
from aigc_core.modalities.decoding.depth import Known, eight_bits
from aigc_core.modalities.decoding.tiff import Tiff

Values = npt.NDArray[Any]

MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2
#: Of the compressions of TIFF those that pack bytes, whatever the bytes mean: none, LZW, deflate, PackBits, LZMA, Zstandard.
OF_BYTES = frozenset({1, 5, 8, 32946, 32773, 34925, 50000})
KINDS = {1: "u", 2: "i", 3: "f"}
#: Bits per sample for which numpy has a type, by kind.
WHOLE = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
#: A packed depth: values lie bit after bit.
PACKED = range(2, 16)
DIFFERENCES, FLOAT_DIFFERENCES = 2, 3
ASSOCIATED, UNASSOCIATED = 1, 2


@dataclass(frozen=True)
class Layout:
    """How the samples of a TIFF file lie."""

    width: int  # px
    height: int  # px
    bits: int
    samples: int
    kind: str  # u, i or f
    photometric: int
    extra: tuple[int, ...]  # what the samples beyond the colours are
    predictor: int
    separate: bool  # one plane after the other

    @property
    def colours(self) -> int:
        """Samples that are colour or grey."""
        return 3 if self.photometric == RGB else 1

    @property
    def bytes(self) -> int:
        """Bytes of all samples."""
        return self.width * self.height * self.samples * self.bits // 8

    @property
    def name(self) -> str:
        """How notes call it: Pillow's mode, where it has one."""
        grey = {("u", 16): "I;16", ("u", 32): "I", ("i", 32): "I", ("f", 32): "F"}.get((self.kind, self.bits))
        if self.samples == 1 and grey:
            return grey
        return f"{'L' if self.samples < 3 else 'RGB'}{'A' if self.alpha else ''};{self.bits}"

    @property
    def alpha(self) -> bool:
        """Whether the sample after the colours is alpha; of colour with four samples that is taken for granted."""
        undeclared = not self.extra and self.photometric == RGB
        kind = self.extra[0] if self.extra else UNASSOCIATED if undeclared else 0
        return self.samples > self.colours and kind in (ASSOCIATED, UNASSOCIATED, 999)


def layout_of(tiff: Tiff) -> Layout | None:
    """The layout of a file that is read here; None for one that is left to Pillow: 8 bits and fewer, print colours, fax, JPEG."""
    bits = set(tiff.numbers(tags.BITS)) or {1}
    kinds = {KINDS.get(int(value), "") for value in tiff.numbers(tags.SAMPLE_FORMAT)} or {"u"}
    photometric = tiff.whole(tags.PHOTOMETRIC, MIN_IS_WHITE)
    if len(bits) != 1 or len(kinds) != 1 or photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
        return None
    depth, kind = int(bits.pop()), kinds.pop()
    if depth not in WHOLE.get(kind, ()) and not (kind == "u" and depth in PACKED):
        return None
    samples = tiff.whole(tags.SAMPLES, 1)
    if kind == "u" and depth <= 8 and not _unknown_to_pillow(depth, samples, photometric):
        return None
    if tiff.whole(tags.COMPRESSION, 1) not in OF_BYTES or not 1 <= samples <= 1 << 10:
        return None
    extra = tuple(int(value) for value in tiff.numbers(tags.EXTRA_SAMPLES))
    separate = tiff.whole(tags.PLANAR, 1) == 2 and samples > 1
    width, height = tiff.whole(tags.WIDTH, 0), tiff.whole(tags.HEIGHT, 0)
    if width < 1 or height < 1:
        return None
    return Layout(width, height, depth, samples, kind, photometric, extra, tiff.whole(tags.PREDICTOR, 1), separate)


def _unknown_to_pillow(bits: int, samples: int, photometric: int) -> bool:
    if bits == 8:
        return photometric != RGB and samples > 2
    return bits not in (1, 2, 4) or samples > 1


def pixels_of(tiff: Tiff, layout: Layout, grey: Callable[[bytes], Pixels]) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels (H, W, 1, 3 or 4) of a file with this layout, and notes.

    `grey` decodes a file to pixels (H, W, 1). Raises DecodeError for a number of samples that is no picture.
    """
    colours, notes = _colours(layout)
    planes = [_numbers(grey(content), tiff, layout) for content in _as_bytes(tiff, layout)]
    values = np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0]
    alpha = layout.alpha
    values = values[..., : colours + alpha]
    scaled: tuple[str, ...] = ()
    pixels: Pixels = values
    if values.dtype != np.uint8:
        pixels, scaled = eight_bits(values, _known(tiff, layout), alpha=alpha)
    if layout.photometric == MIN_IS_WHITE:
        pixels[..., :colours] = OPAQUE - pixels[..., :colours]
    if alpha and colours == 1:
        pixels = pixels[..., [0, 0, 0, 1]]
    if alpha and layout.extra[:1] == (ASSOCIATED,):
        pixels = multiplied_back(pixels)
    return pixels, notes + scaled


def _colours(layout: Layout) -> tuple[int, tuple[str, ...]]:
    """Samples that become colour, and a note where that was guessed or others are left out."""
    left = layout.samples - layout.colours - layout.alpha
    if left < 0:
        raise DecodeError(f"a TIFF of colour with {layout.samples} samples per pixel")
    if layout.colours == 1 and layout.samples == 3 and not layout.alpha:
        return 3, ("3 samples of grey read as RGB",)
    if left > 1:
        raise DecodeError(
            f"a TIFF with {layout.samples} samples per pixel: write the 1, 3 or 4 that are the picture into a file of their own"
        )
    return layout.colours, (f"samples beyond the colours left out: {left}",) if left else ()


def _known(tiff: Tiff, layout: Layout) -> Known:
    """What the file says of its values; the tags of the brightest and darkest sample are honoured where all values lie between."""
    for low, high in ((tags.S_MIN_SAMPLE, tags.S_MAX_SAMPLE), (tags.MIN_SAMPLE, tags.MAX_SAMPLE)):
        white, black = tiff.numbers(high), tiff.numbers(low) or (0.0,)
        # A darkest sample above 0 is what one image happens to hold, below 0 it is where the scale begins.
        if white and max(white) > min(0.0, *black):
            return Known(layout.name, layout.bits, white=float(max(white)), black=min(0.0, *map(float, black)))
    if layout.kind == "u" and layout.bits < 16:
        return Known(layout.name, layout.bits, white=2.0**layout.bits - 1)
    return Known(layout.name, layout.bits, signed=layout.kind == "i")


def _as_bytes(tiff: Tiff, layout: Layout) -> Iterator[bytes]:
    """The file as grey of 8 bits, once for each plane."""
    across = (1 if layout.separate else layout.samples) * layout.bits
    tile = tiff.whole(tags.TILE_WIDTH, 0)
    width = -(-layout.width // tile) * tile if tile else layout.width  # of tiles the last one too is whole
    changes = {tags.WIDTH: [-(-width * across // 8)], tags.BITS: [8], tags.SAMPLES: [1], tags.PHOTOMETRIC: [1]}
    if tile * across % 8:
        raise DecodeError(f"a TIFF with tiles of {tile * across} bits per row")
    if tile:
        changes[tags.TILE_WIDTH] = [tile * across // 8]
    dropped = {tags.PREDICTOR, tags.SAMPLE_FORMAT, tags.EXTRA_SAMPLES, tags.PLANAR}
    for plane in range(layout.samples if layout.separate else 1):
        for tag in (tags.STRIP_OFFSETS, tags.STRIP_COUNTS, tags.TILE_OFFSETS, tags.TILE_COUNTS):
            if layout.separate and (places := tiff.numbers(tag)):
                each = len(places) // layout.samples
                changes[tag] = [int(place) for place in places[plane * each : (plane + 1) * each]]
        yield tags.written(tiff, changes, tags.OF_PIXELS - dropped)


def _numbers(rows: Pixels, tiff: Tiff, layout: Layout) -> Values:
    """Values (H, W, S) in the machine's order of bytes rows (H, bytes per row, 1); S is 1 for a plane alone."""
    samples = 1 if layout.separate else layout.samples
    rows = rows[..., 0]
    if layout.bits not in WHOLE[layout.kind]:
        bits = np.unpackbits(rows, axis=1)[:, : layout.width * samples * layout.bits]
        powers = 1 << np.arange(layout.bits - 1, -1, -1, dtype=np.uint16)
        return (bits.reshape(layout.height, layout.width, samples, layout.bits) @ powers).astype(np.uint16)
    kind = np.dtype(f"{tiff.order}{layout.kind}{layout.bits // 8}")
    step = (tiff.whole(tags.TILE_WIDTH, 0) or layout.width) * samples * kind.itemsize
    pieces = [np.ascontiguousarray(rows[:, left : left + step]) for left in range(0, rows.shape[1], step)]
    parts = [_undone(piece, kind, samples, layout) for piece in pieces]
    values = (np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0])[:, : layout.width]
    return values.astype(kind.newbyteorder("="), copy=False)


def _undone(rows: Pixels, kind: np.dtype[Any], samples: int, layout: Layout) -> Values:
    """Values (H, W, S) of bytes (H, bytes), without the predictor of TIFF 6.0 (section 14) and of Adobe's note 3 on floats."""
    if layout.predictor == FLOAT_DIFFERENCES and layout.kind == "f":
        apart = rows.reshape(len(rows), -1, samples).cumsum(axis=1, dtype=np.uint8)
        # Bytes of equal weight lie together, the highest first.
        by_weight = apart.reshape(len(rows), kind.itemsize, -1).swapaxes(1, 2)
        values: Values = np.ascontiguousarray(by_weight).view(kind.newbyteorder(">"))
        return values.reshape(len(rows), -1, samples)
    values = rows.view(kind).reshape(len(rows), -1, samples)
    if layout.predictor == DIFFERENCES:
        unsigned = np.dtype(f"u{kind.itemsize}")
        native = values.astype(kind.newbyteorder("=")).view(unsigned)
        values = native.cumsum(axis=1, dtype=unsigned).view(kind.newbyteorder("="))
    return values
