"""The kinds of planted defects: what each makes of the pixels of a picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from aigc_core.modalities import image, provenance
from defects import files
from defects.pictures import Pixels, as_bytes, flattened, of_luma, resized, saved, split_alpha

#: Sides up to this many px are blurred by the sigma that is named; larger ones in proportion.
BLUR_SIDE = 64
Draw = np.random.Generator
#: Pixels or bytes with their ending, and which variant of the kind it is.
Made = tuple[Pixels | tuple[bytes, str], str]
Maker = Callable[[Pixels, Draw, int], Made]


def _pick(number: int, *names: str) -> str:
    """The variants in turn: every one occurs."""
    return names[number % len(names)]


def _corrupt(pixels: Pixels, rng: Draw, number: int) -> Made:
    whole = image.encode_png(pixels)
    way = _pick(number, "cut", "cut", "header alone", "web page")
    if way == "cut":
        return (whole[: int(len(whole) * rng.uniform(0.3, 0.8))], "png"), way
    if way == "header alone":
        return (whole[: int(rng.integers(8, 33))], "png"), way
    return (b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>\n", "png"), way


def _wrong_type(pixels: Pixels, _: Draw, number: int) -> Made:
    way = _pick(number, "PNG named .jpg", "WebP named .png", "TIFF named .png", "PNG named .gif", "GIF named .png")
    kind, ending = way.split(" named .")
    if kind == "GIF":
        return (saved(image.to_pil(flattened(pixels, 255)), "GIF"), ending), way
    return (saved(image.to_pil(pixels), kind.upper(), **({"lossless": True} if kind == "WebP" else {})), ending), way


def _too_small(pixels: Pixels, rng: Draw, _: int) -> Made:
    side = int(rng.integers(2, 8))
    height, width = pixels.shape[:2]
    other = round(side * max(height, width) / min(height, width))
    return resized(pixels, *((side, other) if width <= height else (other, side))), ""


def _odd_size(pixels: Pixels, _: Draw, number: int) -> Made:
    way = _pick(number, "a third", "three times", "four times")
    factor = {"a third": 1 / 3, "three times": 3, "four times": 4}[way]
    return resized(pixels, *(max(8, round(factor * side)) for side in pixels.shape[1::-1])), way


def _odd_aspect(pixels: Pixels, _: Draw, number: int) -> Made:
    """The longer side stretched: the shorter one would come nearer to a square first."""
    way = _pick(number, "2.5", "3", "5")
    height, width = pixels.shape[:2]
    wide = width > height or (width == height and number % 2 == 0)
    return resized(
        pixels, round(width * float(way)) if wide else width, height if wide else round(height * float(way))
    ), way


def _blank(pixels: Pixels, rng: Draw, number: int) -> Made:
    ways = (
        ("one colour", "all transparent", "a picture under full transparency")
        if pixels.shape[2] == 4
        else ("one colour",)
    )
    way = _pick(number, *ways)
    blank = np.empty_like(pixels)
    blank[:] = (
        (0, 255, *rng.integers(0, 256, 2))[number % 4]
        if pixels.shape[2] == 1
        else _one_colour(rng, number)[: pixels.shape[2]]
    )
    if way == "a picture under full transparency":
        blank[..., :3] = pixels[..., :3]
    if way != "one colour":
        blank[..., 3] = 0
    return blank, way


def _one_colour(rng: Draw, number: int) -> np.ndarray:
    colour = ([0, 0, 0], [255, 255, 255], rng.integers(0, 256, 3), rng.integers(0, 256, 3))[number % 4]
    return np.array([*colour, 255], np.uint8)


def _on_colours(change: Callable[[np.ndarray], np.ndarray]) -> Maker:
    """A change of brightness: alpha stays, and so does what is not seen."""

    def apply(pixels: Pixels, _: Draw, __: int) -> Made:
        colours, alpha = split_alpha(pixels)
        changed = as_bytes(change(colours.astype(float)))
        if alpha.size:
            changed = np.where(alpha > 0, changed, colours)
        return np.concatenate([changed, alpha], axis=2), ""

    return apply


def _low_information(pixels: Pixels, _: Draw, __: int) -> Made:
    """Two grey levels where it shows anything."""
    luma = image.with_channels(flattened(pixels, 128), 1).astype(int)
    shown = pixels[..., 3:] > 0 if pixels.shape[2] == 4 else np.ones_like(luma, bool)
    levels = as_bytes((luma > np.median(luma[shown] if shown.any() else luma)) * 200.0 + 20)
    colours = of_luma(levels, pixels.shape[2])
    if pixels.shape[2] == 4:
        colours = np.concatenate([np.where(shown, colours[..., :3], pixels[..., :3]), pixels[..., 3:]], axis=2)
    return colours, ""


def _blurred(sigma: float) -> Maker:
    def apply(pixels: Pixels, _: Draw, __: int) -> Made:
        wide = sigma * max(1.0, min(pixels.shape[:2]) / BLUR_SIDE)
        if pixels.shape[2] < 4:
            return as_bytes(gaussian_filter(pixels.astype(float), (wide, wide, 0))), ""
        alpha = gaussian_filter(pixels[..., 3:].astype(float), (wide, wide, 0))
        seen = gaussian_filter(pixels[..., :3] * (pixels[..., 3:] / 255.0), (wide, wide, 0))
        return as_bytes(np.concatenate([255 * seen / np.maximum(alpha, 1e-3), alpha], axis=2)), ""

    return apply


def _noisy(deviation: float) -> Maker:
    def apply(pixels: Pixels, rng: Draw, _: int) -> Made:
        colours, alpha = split_alpha(pixels)
        noisy = as_bytes(colours + rng.normal(0, 255 * deviation, colours.shape))
        if alpha.size:
            noisy = np.where(alpha > 0, noisy, colours)
        return np.concatenate([noisy, alpha], axis=2), ""

    return apply


def _copy(pixels: Pixels, _: Draw, number: int) -> Made:
    content, ending, way = files.copy(pixels, number)
    return (content, ending), way


def _flattened(pixels: Pixels, _: Draw, number: int) -> Made:
    way = _pick(number, "on white", "on black", "on grey")
    return flattened(pixels, {"on white": 255, "on black": 0, "on grey": 128}[way]), way


def _shifted(pixels: Pixels, _: Draw, number: int) -> Made:
    way = _pick(number, "down", "right", "up", "left")
    dy, dx = {"down": (1, 0), "right": (0, 1), "up": (-1, 0), "left": (0, -1)}[way]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = pixels.shape[:2]
    return padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width], way


def _jpeg(pixels: Pixels, _: Draw, __: int) -> Made:
    return (saved(image.to_pil(flattened(pixels, 255)), "JPEG", quality=40), "jpg"), ""


def _brighter(pixels: Pixels, rng: Draw, number: int) -> Made:
    up = _on_colours(lambda values: values * 1.1)(pixels, rng, number)[0]
    down = _on_colours(lambda values: values * 0.9)(pixels, rng, number)[0]
    # Black and white alone do not change when made brighter: that would be an exact copy.
    return (up, "up") if number % 2 and not np.array_equal(up, pixels) else (down, "down")


def _rescaled(pixels: Pixels, _: Draw, number: int) -> Made:
    height, width = pixels.shape[:2]
    small = resized(pixels, round(0.9 * width), round(0.9 * height))
    return (resized(small, width, height), "and back") if number % 2 else (small, "left small")


def _flip(pixels: Pixels, _: Draw, number: int) -> Made:
    way = _pick(number, "left to right", "left to right", "upside down")
    return (pixels[:, ::-1] if way == "left to right" else pixels[::-1]), way


def _rotate(pixels: Pixels, _: Draw, number: int) -> Made:
    turns = 1 + number % 3
    return np.rot90(pixels, turns), f"{90 * turns} degrees"


def _crop(pixels: Pixels, rng: Draw, number: int) -> Made:
    height, width = pixels.shape[:2]
    rows, columns = round(0.9 * height), round(0.9 * width)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    cut = pixels[top : top + rows, left : left + columns]
    return (resized(cut, width, height), "and enlarged") if number % 2 else (cut, "left small")


def _generated(pixels: Pixels, _: Draw, __: int) -> Made:
    content = provenance.embed(
        pixels, family="gan", model_sha256="0" * 64, dataset_version="0" * 16, seed=0, label="", index=0
    )
    return (content, "png"), ""


#: Damage: it replaces the row that it was made of.
DAMAGE: dict[str, Maker] = {
    "corrupt": _corrupt, "zero_bytes": lambda *_: ((b"", "png"), ""), "wrong_type": _wrong_type, "too_small": _too_small,
    "odd_size": _odd_size, "odd_aspect": _odd_aspect, "blank": _blank,
    "dark": _on_colours(lambda values: values * 0.3), "bright": _on_colours(lambda values: 255 - (255 - values) * 0.3),
    "low_information": _low_information, "blurry_15": _blurred(1.5), "blurry_2": _blurred(2),
    "noisy_10": _noisy(0.1), "noisy_20": _noisy(0.2), "generated": _generated,
}  # fmt: skip
#: Copies: they stand beside the row that they were made of.
NEAR: dict[str, Maker] = {
    "near_shift": _shifted,
    "near_jpeg": _jpeg,
    "near_bright": _brighter,
    "near_resize": _rescaled,
}
MOVED: dict[str, Maker] = {"moved_flip": _flip, "moved_rotate": _rotate, "moved_crop": _crop}
COPIES: dict[str, Maker] = {"copy": _copy, "copy_flattened": _flattened, **NEAR, **MOVED, "conflict": _copy}
KINDS = (*DAMAGE, *COPIES, "stranger", "flip")
#: Kinds that need classes.
LABELLED = ("conflict", "flip")
