"""Known defects, planted into the rows of a set: any row may be hit, those that thresholds are fitted on included.

Damage replaces the row that it was made of, as it does in users' folders; copies and strangers stand beside the set's own rows.
No original serves two kinds. Equal seeds plant the same.
"""

from __future__ import annotations

import numpy as np

from defects import files
from defects.kinds import COPIES, DAMAGE, KINDS, LABELLED, MOVED, Draw
from defects.pictures import Picture, Row, SettingsError, png

#: Of each valid odd file, in every set.
VALID_EACH = 2


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

    `rate` is the share of `pictures` that each kind gets; `style` says how the set writes its files. Raises SettingsError
    where the kinds together need more originals than there are.
    """
    count = max(1, round(rate * len(pictures)))
    wanted = needed(kinds, len(pictures), rate)
    if wanted > len(pictures):
        raise SettingsError(
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
        rows.append(
            Row(name, row.content, row.label, row.kind, row.detail, names[original] if original is not None else "")
        )
    return sorted(rows, key=lambda row: row.name)


def _path(label: str | None, ending: str, number: int) -> str:
    """Where a file lies: below the folder of its class, or flat."""
    file = ending if "." in ending else f"{number:06d}.{ending}"
    return f"{label}/{file}" if label is not None else file
