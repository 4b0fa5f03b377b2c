"""Pixel art: creatures that are composed of random symmetric parts, few colours, hard alpha. A class is a body plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion

from defects.pictures import Picture, Pixels

BODIES = ("round", "tall", "wide", "stacked", "bell", "long")
HEADS = ("top", "side", "none")
LIMBS = ("none", "two", "four", "fins", "wings", "many")
#: Plans that look unlike each other stand first; further ones are other combinations of parts.
FIRST = (
    ("tall", "top", "two"), ("wide", "side", "four"), ("round", "none", "wings"), ("long", "none", "fins"),
    ("stacked", "none", "many"), ("bell", "none", "none"), ("round", "top", "fins"), ("wide", "none", "many"),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What all creatures of one class have in common."""

    body: str
    head: str
    limbs: str

    @property
    def name(self) -> str:
        """Name of the class."""
        return f"{self.body}-{self.head}-{self.limbs}"


def plans(count: int) -> list[Plan]:
    """`count` different body plans."""
    rest = [parts for parts in product(BODIES, HEADS, LIMBS) if parts not in FIRST]
    order = np.random.default_rng(7).permutation(len(rest))
    return [Plan(*parts) for parts in [*FIRST, *(rest[n] for n in order)][:count]]


class _Canvas:
    """A mask of w x h px whose left half is drawn and mirrored; coordinates run from the middle, upwards is smaller."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.mask = np.zeros((height, width), bool)

    def _add(self, draw: str, points: list[tuple[float, float]], both: bool) -> np.ndarray:
        picture = Image.new("1", (self.width, self.height))
        middle = (self.width - 1) / 2
        for side in (1, -1) if both else (1,):
            shape = [(middle + side * x, y) for x, y in points]
            if draw == "ellipse":
                (x0, y0), (x1, y1) = shape
                shape = [(min(x0, x1), y0), (max(x0, x1), y1)]
            getattr(ImageDraw.Draw(picture), draw)(shape, fill=1)
        part = np.asarray(picture, bool)
        self.mask |= part
        return part

    def ellipse(self, x: float, y: float, rx: float, ry: float, both: bool = True) -> np.ndarray:
        """An ellipse around (x, y), and its mirror image; its mask."""
        return self._add("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], both)

    def polygon(self, points: list[tuple[float, float]], both: bool = True) -> np.ndarray:
        """A polygon, and its mirror image; its mask."""
        return self._add("polygon", points, both)


def _body(canvas: _Canvas, plan: Plan, w: float, h: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw body and head; parts that may be coloured apart."""
    floor = canvas.height - 2
    low = floor - (0.22 * h if plan.limbs in ("two", "four", "many") else 0.03 * h)
    parts = []
    if plan.body == "round":
        ry = h * rng.uniform(0.27, 0.36)
        parts.append(canvas.ellipse(0, low - ry, w * rng.uniform(0.28, 0.38), ry))
    elif plan.body == "tall":
        ry = h * rng.uniform(0.3, 0.36)
        parts.append(canvas.ellipse(0, low - ry, w * rng.uniform(0.16, 0.24), ry))
        shoulder = w * rng.uniform(0.15, 0.3)
        parts.append(canvas.polygon([(0, low - 2 * ry), (shoulder, low - 1.7 * ry), (shoulder * 0.5, low), (0, low)]))
    elif plan.body == "wide":
        ry = h * rng.uniform(0.18, 0.24)
        parts.append(canvas.ellipse(0, low - ry, w * rng.uniform(0.4, 0.47), ry))
    elif plan.body == "stacked":
        y, radius = low, h * rng.uniform(0.15, 0.2)
        for _ in range(int(rng.integers(3, 5))):
            parts.append(canvas.ellipse(0, y - radius, w / h * radius * rng.uniform(1.2, 1.7), radius))
            y, radius = y - 1.4 * radius, radius * rng.uniform(0.75, 0.9)
    elif plan.body == "bell":
        top, rim = low - h * rng.uniform(0.6, 0.8), w * rng.uniform(0.3, 0.44)
        neck = rim * rng.uniform(0.4, 0.8)
        parts.append(canvas.ellipse(0, top + neck, neck, neck))
        parts.append(canvas.polygon([(0, top + neck), (neck, top + neck), (rim, low), (0, low)]))
        for x in np.linspace(0, rim, int(rng.integers(2, 5))):
            canvas.polygon([(x, low - 2), (x + rim * 0.25, low - 2), (x + rim * 0.12, min(low + h * 0.12, floor))])
    else:  # long: a body that winds upwards
        turns, swing = rng.uniform(0.6, 1.3), w * rng.uniform(0.12, 0.25)
        for t in np.linspace(0, 1, 14):
            x = swing * np.sin(2 * np.pi * turns * t)
            size = h * (0.07 + 0.07 * t)
            parts.append(canvas.ellipse(x, low - size - t * h * 0.62, size * 1.1, size, both=False))
    top = float(np.argmax(canvas.mask.any(axis=1)))
    if plan.head != "none":
        radius = h * rng.uniform(0.14, 0.22)
        x = 0.0 if plan.head == "top" else w * rng.uniform(0.3, 0.38)
        y = top - radius * rng.uniform(0.2, 0.6) if plan.head == "top" else top - radius * rng.uniform(-0.3, 0.5)
        parts.append(
            canvas.ellipse(x, max(y, radius + 1), radius * rng.uniform(0.9, 1.4), radius, both=plan.head == "top")
        )
    return parts


def _limbs(canvas: _Canvas, plan: Plan, w: float, h: float, rng: np.random.Generator) -> None:
    floor, wide = canvas.height - 2, w * 0.5
    rows, columns = np.nonzero(canvas.mask)
    reach, middle = float(columns.max() - columns.min()) / 2, float(rows.mean())
    thick = max(1.2, h * rng.uniform(0.04, 0.08))
    if plan.limbs in ("two", "four", "many"):
        pairs = {"two": 1, "four": 2, "many": 4}[plan.limbs]
        for x in np.linspace(0.3, 0.8, pairs) if pairs > 1 else [0.45]:
            foot = x * reach * rng.uniform(0.9, 1.2) + (reach * 0.4 if plan.limbs == "many" else 0)
            canvas.polygon(
                [(x * reach - thick, middle), (x * reach + thick, middle), (foot + thick, floor), (foot - thick, floor)]
            )
    if plan.limbs == "two":  # and arms
        hand = (reach + w * rng.uniform(0.05, 0.2), middle + h * rng.uniform(-0.3, 0.15))
        canvas.polygon(
            [(reach * 0.5, middle - thick), hand, (hand[0], hand[1] + 2 * thick), (reach * 0.5, middle + thick)]
        )
    if plan.limbs == "wings":
        tip = (wide, middle - h * rng.uniform(0.1, 0.45))
        low = (wide * rng.uniform(0.7, 1), middle + h * rng.uniform(0.05, 0.25))
        canvas.polygon([(reach * 0.4, middle - thick), tip, low, (reach * 0.4, middle + 2 * thick)])
    if plan.limbs == "fins":
        for y in rng.uniform(0.2, 0.9, int(rng.integers(2, 4))):
            at = rows.min() + y * (rows.max() - rows.min())
            canvas.polygon(
                [
                    (reach * 0.3, at - thick),
                    (reach + w * rng.uniform(0.05, 0.18), at + h * rng.uniform(-0.12, 0.1)),
                    (reach * 0.3, at + thick),
                ]
            )


def _extras(canvas: _Canvas, w: float, h: float, rng: np.random.Generator) -> None:
    """Ears, horns or antennae on top; a tail to one side, which is all that is not symmetric."""
    rows, columns = np.nonzero(canvas.mask)
    top = rows.min()
    at = columns[rows <= top + h * 0.1]
    middle, x = (canvas.width - 1) / 2, float(at.max() - at.min()) / 2 + 1
    shift, tall = float(at.mean()) - middle, h * rng.uniform(0.08, 0.25)
    kind, one_sided = rng.integers(4), abs(shift) > 3
    if kind == 1:
        canvas.polygon(
            [(shift + x * 0.2, top + 2), (shift + x * rng.uniform(0.6, 1.6), top - tall), (shift + x, top + 3)],
            not one_sided,
        )
    elif kind == 2:
        canvas.ellipse(shift + x * 0.8, top, max(1.5, tall * 0.5), max(1.5, tall * 0.6), not one_sided)
    elif kind == 3:
        tip = shift + x * rng.uniform(0.3, 1.5)
        canvas.polygon(
            [(shift + 1, top + 1), (tip, top - tall), (tip + 1, top - tall), (shift + 2, top + 1)], not one_sided
        )
        canvas.ellipse(tip, top - tall, 1.2, 1.2, not one_sided)
    if rng.random() < 0.5:
        side, base = float(rng.choice([-1, 1])), canvas.height - 2 - h * rng.uniform(0.12, 0.35)
        end = (side * w * rng.uniform(0.35, 0.49), base - h * rng.uniform(-0.05, 0.45))
        thick = max(1.2, h * rng.uniform(0.03, 0.08))
        canvas.polygon(
            [
                (0, base - thick),
                (side * w * 0.3, base - thick),
                end,
                (end[0], end[1] + 2 * thick),
                (side * w * 0.2, base + thick),
            ],
            False,
        )


def _tones(hue: float, rng: np.random.Generator) -> np.ndarray:
    """Shadow, middle and light (3, 3) of one colour, in [0, 255]."""
    strong, value = rng.uniform(0.05, 0.85), rng.uniform(0.5, 0.98)
    tones = []
    for shift, darker, stronger in ((-0.04, 0.62, 1.15), (0, 0.85, 1), (0.03, 1.05, 0.7)):
        wheel = np.clip(np.abs((hue + shift + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
        tones.append(255 * min(1, value * darker) * (1 - min(1, strong * stronger) * (1 - wheel)))
    return np.round(tones)


def _painted(canvas: _Canvas, parts: list[np.ndarray], rng: np.random.Generator) -> Pixels:
    """Colours with light from above, an outline, markings and eyes."""
    mask = canvas.mask
    height, width = mask.shape
    main = _tones(rng.random(), rng)
    second = _tones(rng.random(), rng)
    middle = (width - 1) / 2
    rows, columns = np.mgrid[:height, :width]
    across = np.abs(columns - middle)
    light = np.zeros((height, width))
    for part in [*parts, mask]:  # each part is shaded by itself
        where = np.argwhere(part)
        if len(where):
            (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
            own = (rows - top) / max(bottom - top, 1) * 0.8 + (columns - left) / max(right - left, 1) * 0.3
            light[part & (light == 0)] = own[part & (light == 0)]
    tone = np.digitize(light, [0.32, 0.72])
    colour = main[2 - tone]
    style = rng.integers(5)
    if style == 0:
        marked = (rows // int(rng.integers(2, 5)) + int(rng.integers(2))) % 2 == 0
    elif style == 1:
        marked = across < width * rng.uniform(0.06, 0.16)
    elif style == 2:
        marked = np.zeros_like(mask)
        for _ in range(int(rng.integers(2, 7))):
            y, x, size = rng.uniform(0, height), rng.uniform(0, width / 2), rng.uniform(1, 0.1 * height)
            marked |= (rows - y) ** 2 + (across - x) ** 2 < size**2
    elif style == 3:
        marked = rows > height * rng.uniform(0.5, 0.85)
    else:
        marked = parts[int(rng.integers(len(parts)))]
    colour = np.where(marked[..., None], second[2 - tone], colour)
    edge = mask & ~binary_erosion(mask, border_value=0)
    inner = np.zeros_like(mask)
    for part in parts[1:]:
        inner |= part & ~binary_erosion(part)
    colour = np.where((inner & ~edge)[..., None], colour * 0.7, colour)
    colour = np.where(edge[..., None], np.minimum(main[0], second[0]) * rng.uniform(0.15, 0.45), colour)
    _eyes(colour, mask, parts[-1], rng)
    alpha = np.where(mask, 255, 0)[..., None]
    return np.concatenate([np.clip(np.round(colour / 4) * 4, 0, 252) * mask[..., None], alpha], axis=2).astype(np.uint8)


def _eyes(colour: np.ndarray, mask: np.ndarray, face: np.ndarray, rng: np.random.Generator) -> None:
    where = np.argwhere(face & binary_erosion(mask))
    if not len(where):
        return
    (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
    y = int(top + (bottom - top) * rng.uniform(0.25, 0.5))
    apart = max(1, round((right - left) * rng.uniform(0.15, 0.3)))
    white, dark = rng.random() < 0.6, [20, 20, 28] if rng.random() < 0.7 else [200, 40, 40]
    for side in (-1, 1):
        x = (left + right + 1) // 2 + side * apart
        if 0 < y < len(mask) - 1 and 0 <= x < mask.shape[1] and mask[y, x]:
            colour[y, x] = dark
            colour[y - 1, x] = [248, 248, 248] if white else dark


def sprite(plan: Plan, width: int, height: int, rng: np.random.Generator) -> Pixels:
    """One creature, RGBA (height, width, 4), of a random size, standing at the bottom or floating."""
    share = rng.uniform(0.5, 1.0)
    w, h = (max(18, round(side * share * rng.uniform(0.88, 1))) for side in (width - 2, height - 2))
    canvas = _Canvas(min(w, width), min(h, height))
    parts = _body(canvas, plan, w, h, rng)
    _limbs(canvas, plan, w, h, rng)
    _extras(canvas, w, h, rng)
    if rng.random() < 0.3:
        canvas.mask = binary_dilation(canvas.mask)
    inside = _painted(canvas, parts, rng)
    whole = np.zeros((height, width, 4), np.uint8)
    rows, columns = inside.shape[:2]
    left = (width - columns) // 2 + int(rng.integers(-2, 3))
    left = min(max(left, 0), width - columns)
    top = int(rng.integers(max(height - rows - 6, 0), height - rows + 1))
    whole[top : top + rows, left : left + columns] = inside
    return whole


def sprites(width: int, height: int, classes: int, counts: list[int], seed: int) -> Iterator[Picture]:
    """Pictures of creatures; `counts` are the numbers of rows of each class."""
    for number, (plan, count) in enumerate(zip(plans(classes), counts, strict=True)):
        rng = np.random.default_rng([seed, number])
        for _ in range(count):
            yield Picture(sprite(plan, width, height, rng), plan.name)
