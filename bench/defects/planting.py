"""Known defects, planted into the rows of a set: any row may be hit, those that thresholds are fitted on included.

Damage replaces the row that it was made of, as it does in users' folders; copies and strangers stand beside the set's own rows.
No original serves two kinds. Equal seeds plant the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from aigc_core.modalities import image, provenance
from defects import files
from defects.pictures import Picture, Pixels, Row, as_bytes, flattened, of_luma, png, resized, saved, split_alpha

#: Sides up to this many px are blurred by the sigma that is named; larger ones in proportion.
BLUR_SIDE = 64
#: Of each valid odd file, in every set.
VALID_EACH = 2

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
    return resized(pixels, round(width * float(way)) if wide else width, height if wide else round(height * float(way))), way


def _blank(pixels: Pixels, rng: Draw, number: int) -> Made:
    ways = ("one colour", "all transparent", "a picture under full transparency") if pixels.shape[2] == 4 else ("one colour",)
    way = _pick(number, *ways)
    blank = np.empty_like(pixels)
    blank[:] = (0, 255, *rng.integers(0, 256, 2))[number % 4] if pixels.shape[2] == 1 else _one_colour(rng, number)[: pixels.shape[2]]
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
NEAR: dict[str, Maker] = {"near_shift": _shifted, "near_jpeg": _jpeg, "near_bright": _brighter, "near_resize": _rescaled}
MOVED: dict[str, Maker] = {"moved_flip": _flip, "moved_rotate": _rotate, "moved_crop": _crop}
COPIES: dict[str, Maker] = {"copy": _copy, "copy_flattened": _flattened, **NEAR, **MOVED, "conflict": _copy}
KINDS = (*DAMAGE, *COPIES, "stranger", "flip")
#: Kinds that need classes.
LABELLED = ("conflict", "flip")


def kinds_of(pictures: list[Picture], moved: bool) -> list[str]:
    """The kinds that can be planted into a set."""
    classes = {picture.label for picture in pictures}
    channels = {picture.pixels.shape[2] for picture in pictures}
    left_out = set(() if moved else MOVED)
    if len(classes) < 2:
        left_out |= set(LABELLED)
    if channels != {4}:
        left_out |= {"copy_flattened"}
    if channels == {1} and all(np.isin(picture.pixels, (0, 255)).all() for picture in pictures):
        left_out |= {"low_information"}
    return [kind for kind in KINDS if kind not in left_out]


def needed(kinds: list[str], count: int, rate: float) -> int:
    """How many originals are hit or copied when `count` of each kind but strangers are planted, with the valid odd files."""
    return sum(kind != "stranger" for kind in kinds) * max(1, round(count * rate)) + VALID_EACH * len(files.VALID)


def plant(pictures: list[Picture], strangers: list[Picture], kinds: list[str], rate: float, style: str, seed: int) -> list[Row]:  # fmt: skip
    """The files of one run, in an order and with names that tell nothing of what was planted.

    `rate` is the share of `pictures` that each kind gets; `style` says how the set writes its files. Raises ValueError
    where the kinds together need more originals than there are.
    """
    count = max(1, round(rate * len(pictures)))
    wanted = needed(kinds, len(pictures), rate)
    if wanted > len(pictures):
        raise ValueError(
            f"{len(kinds)} kinds at {rate:.1%} each need {wanted:,} originals of {len(pictures):,}: "
            "lower --rate, or plant each kind alone (--kinds alone)"
        )
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(pictures)).tolist()
    labels = sorted({picture.label for picture in pictures if picture.label is not None})
    drafts: list[tuple[Row, int | None]] = []  # with the place of the original that a copy was made of
    touched: set[int] = set()
    for kind in (kind for kind in KINDS if kind in kinds):
        if kind == "stranger":
            own = [_stranger(p, labels, style, rng) for p in strangers[:count]]
            drafts += [(row, None) for row in own]
            continue
        for number in range(count):
            place = order.pop()
            drafts.append(_planted(kind, pictures[place], place, number, labels, style, rng))
            if kind in DAMAGE or kind == "flip":
                touched.add(place)
    for number, name in enumerate(list(files.VALID) * VALID_EACH):
        place = order.pop()
        touched.add(place)
        drafts.append((_valid(name, pictures[place], number), None))
    return _named(pictures, drafts, touched, style, rng)


def _planted(kind: str, picture: Picture, place: int, number: int, labels: list[str], style: str, rng: Draw) -> tuple[Row, int | None]:  # fmt: skip
    if kind == "flip":
        content, ending = _file(picture, style)
        return Row(ending, content, _other(labels, picture.label, rng), kind), None
    made, way = (DAMAGE | COPIES)[kind](picture.pixels, rng, number)
    content, ending = made if isinstance(made, tuple) else (png(np.ascontiguousarray(made), style), "png")
    label = _other(labels, picture.label, rng) if kind == "conflict" else picture.label
    return Row(ending, content, label, kind, way), place if kind in COPIES else None


def _file(picture: Picture, style: str) -> tuple[bytes, str]:
    """The file of an untouched picture."""
    return (picture.content, picture.ending) if picture.content is not None else (png(picture.pixels, style), "png")


def _stranger(picture: Picture, labels: list[str], style: str, rng: Draw) -> Row:
    label = labels[rng.integers(len(labels))] if labels else None
    return Row("png", png(picture.pixels, style), label, "stranger", picture.label or "")


def _valid(name: str, picture: Picture, number: int) -> Row:
    make, odd_name = files.VALID[name]
    content, ending = make(picture.pixels)
    return Row(f"{odd_name.format(number)}.{ending}" if odd_name else ending, content, picture.label, "valid", name)


def _other(labels: list[str], label: str | None, rng: Draw) -> str:
    return [name for name in labels if name != label][rng.integers(len(labels) - 1)]


def _named(pictures: list[Picture], drafts: list[tuple[Row, int | None]], touched: set[int], style: str, rng: Draw) -> list[Row]:  # fmt: skip
    """Untouched rows and drafts in a random order, numbered in it; drafts hold their ending or whole name so far."""
    numbers = iter(rng.permutation(len(pictures) - len(touched) + len(drafts)).tolist())
    names: dict[int, str] = {}
    rows = []
    for place, picture in enumerate(pictures):
        if place not in touched:
            content, ending = _file(picture, style)
            names[place] = _path(picture.label, ending, next(numbers))
            rows.append(Row(names[place], content, picture.label, twins=picture.twins))
    for row, original in drafts:
        name = _path(row.label, row.name, next(numbers))
        rows.append(Row(name, row.content, row.label, row.kind, row.detail, names[original] if original is not None else ""))
    return sorted(rows, key=lambda row: row.name)


def _path(label: str | None, ending: str, number: int) -> str:
    """Where a file lies: below the folder of its class, or flat."""
    file = ending if "." in ending else f"{number:06d}.{ending}"
    return f"{label}/{file}" if label is not None else file


def summary(rows: list[Row]) -> Iterator[tuple[str, int]]:
    """Kinds and how many rows were planted of each."""
    for kind in (*KINDS, "valid"):
        if found := sum(row.kind == kind for row in rows):
            yield kind, found
