"""What the bench of the detectors works on: pictures, the files that are made of them, and how each set writes them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from aigc_core.modalities import image

Pixels = image.Pixels


class SettingsError(ValueError):
    """What is asked for cannot be done with this set; says why, and what to change."""


@dataclass(frozen=True)
class Picture:
    """One original: pixels (H, W, C) and its class, null in a set without classes.

    `content` are the bytes of the set's own file, where it came as one. `twins` names what the picture shows, for sets in
    which pictures that show the same differ in colour alone.
    """

    pixels: Pixels
    label: str | None
    content: bytes | None = None
    ending: str = "png"
    twins: str = ""


@dataclass(frozen=True)
class Row:
    """One file of a run. `kind` is empty where nothing was planted; `parent` names the row that it is a copy of."""

    name: str  # path below the folder that is read
    content: bytes
    label: str | None
    kind: str = ""
    detail: str = ""  # which variant of the kind
    parent: str = ""
    twins: str = ""


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a Pillow image in the format `kind`."""
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png(pixels: Pixels, style: str = "png") -> bytes:
    """A PNG in the style of a set: `png`, or `palette` and `1-bit` where the pixels allow it."""
    if style == "palette":
        return palette_png(pixels) or _fast(pixels)
    if style == "1-bit":
        return one_bit(pixels, "PNG") or _fast(pixels)
    return _fast(pixels)


def _fast(pixels: Pixels) -> bytes:
    return saved(image.to_pil(pixels), "PNG", compress_level=1)


def palette_png(pixels: Pixels) -> bytes | None:
    """A PNG with a palette, with transparency where the pixels have alpha; null for more than 256 colours."""
    height, width, channels = pixels.shape
    colours, places = np.unique(pixels.reshape(-1, channels), axis=0, return_inverse=True)
    if len(colours) > 256:
        return None
    picture = Image.frombytes("P", (width, height), places.astype(np.uint8).tobytes())
    picture.putpalette(np.repeat(colours, 3, axis=1).tobytes() if channels == 1 else colours[:, :3].tobytes())
    options = {"transparency": colours[:, 3].tobytes()} if channels == 4 else {}
    return saved(picture, "PNG", **options)


def one_bit(pixels: Pixels, kind: str) -> bytes | None:
    """One bit per pixel; null where a grey picture has other values than black and white."""
    if pixels.shape[2] != 1 or not np.isin(pixels, (0, 255)).all():
        return None
    return saved(Image.fromarray(pixels[..., 0]).convert("1", dither=Image.Dither.NONE), kind)


def as_bytes(values: np.ndarray) -> Pixels:
    """Numbers on the scale of 0 to 255, rounded and cut to it."""
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """Bicubic scaling, as picture editors do it."""
    return from_pil(image.to_pil(pixels).resize((width, height), Image.Resampling.BICUBIC))


def from_pil(picture: Image.Image) -> Pixels:
    """Pixels (H, W, C) of a Pillow image."""
    values = np.asarray(picture, np.uint8)
    return values[..., None] if values.ndim == 2 else values


def flattened(pixels: Pixels, ground: int) -> Pixels:
    """Pictures with alpha laid on a ground of one grey; others as they are."""
    if pixels.shape[2] != 4:
        return pixels
    alpha = pixels[..., 3:].astype(float) / 255
    return as_bytes(pixels[..., :3] * alpha + ground * (1 - alpha))


def split_alpha(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """The channels that have a brightness, and the alpha channel (H, W, 1 or 0)."""
    return (pixels[..., :3], pixels[..., 3:]) if pixels.shape[2] == 4 else (pixels, pixels[..., :0])


def of_luma(pixels: Pixels, channels: int) -> Pixels:
    """Grey pixels with the given number of channels, opaque where there is alpha."""
    return image.with_channels(pixels, channels)
