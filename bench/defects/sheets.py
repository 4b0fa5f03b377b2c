"""Contact sheets: the pictures of a set, and what was planted of each kind, for a person to look at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from defects.pictures import Row

COLUMNS = 16
GAP = 4
GROUND = (200, 205, 215)  # neither white nor black, so that edges and transparency show


def write(rows: list[Row], folder: Path) -> None:
    """One PNG per kind below `folder`, the original of a copy above it; files that cannot be decoded are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    by_name = {row.name: row for row in rows}
    for kind in sorted({row.kind for row in rows}):
        chosen = [row for row in rows if row.kind == kind][: COLUMNS * (8 if not kind else 2)]
        shown = [[by_name[row.parent], row] if row.parent else [row] for row in chosen]
        stacks = [stack for stack in ([_picture(row) for row in own] for own in shown) if None not in stack]
        if stacks:
            _sheet([[one for one in stack if one] for stack in stacks]).save(folder / f"{kind or 'untouched'}.png")


def _picture(row: Row) -> Image.Image | None:
    try:
        return image.to_pil(image.decode(row.content).pixels).convert("RGBA")
    except DecodeError:
        return None


def _sheet(stacks: list[list[Image.Image]]) -> Image.Image:
    wide = max(one.width for stack in stacks for one in stack) + GAP
    tall = max(one.height for stack in stacks for one in stack) + GAP
    deep = max(len(stack) for stack in stacks)
    rows = -(-len(stacks) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * wide, rows * (deep * tall + GAP)), GROUND)
    for number, stack in enumerate(stacks):
        left, top = number % COLUMNS * wide, number // COLUMNS * (deep * tall + GAP)
        for level, one in enumerate(stack):
            sheet.paste(one, (left, top + level * tall), one)
    return sheet
