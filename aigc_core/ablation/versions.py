"""Arms as dataset versions: overlays with cards and lineage under .work/, over content that exists once.

What an arm adds (augmented copies, planted blanks) has content of its own beside the overlay or in a store that
all arms share; everything else is named by id.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aigc_core.ablation.pool import Pool
from aigc_core.ablation.recipes import Arm, Selection
from aigc_core.augment.offline import describe, policy
from aigc_core.config import Augment, Config
from aigc_core.data.splits import unit_hash
from aigc_core.data.store import ContentWriter, fill_version
from aigc_core.files import atomic_folder, digest
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, row_id


def rows_digest(pool: Pool, selection: Selection, seed: int, augment: Augment, augment_seed: int) -> str:
    """Hex sha256 of what a trainer would see: ids, pixels, labels, and what is derived from them.

    `seed` is the cell's: it enters where blanks are planted, whose grey levels it draws.
    """
    whole = hashlib.sha256()
    uncorrected = set(selection.uncorrected)
    for identity in selection.ids:
        label = pool.given[identity] if identity in uncorrected else pool.labels[identity]
        whole.update(f"{identity}\t{pool.hashes[identity]}\t{label}\n".encode())
    if selection.copies:
        whole.update(digest([_without(augment, selection).model_dump(), augment_seed, selection.copies]).encode())
    if selection.blanks:
        whole.update(digest([seed, list(selection.blanks)]).encode())
    return whole.hexdigest()


def _without(augment: Augment, selection: Selection) -> Augment:
    """The augmentation of an arm: the configured one without the operations that the arm leaves out."""
    return augment.model_copy(update=dict.fromkeys(selection.still, 0.0))


class ArmWriter:
    """Writes arms of one study; what several arms share is written once. `code` is the plan's."""

    def __init__(self, pool: Pool, paths: Paths, config: Config, code: str) -> None:
        self.pool, self.paths, self.augment, self.seed, self.code = pool, paths, config.augment, config.seed, code
        self.folder = paths.work / "ablation" / "arms"

    def write(self, arm: Arm, selection: Selection, seed: int) -> Path:
        """The version of one arm and seed; one that exists already is left as it is."""
        what = rows_digest(self.pool, selection, seed, self.augment, self.seed)
        target = self.folder / digest([what, arm.name, self.pool.ingested.card.version, self.code])[:16]
        if (target / "card.json").exists():
            return target
        rows = self.pool.rows(selection.ids, selection.uncorrected)
        content = [os.path.relpath(self.paths.content, target)]
        copies: list[dict[str, Any]] = []
        if selection.copies:
            content.append(os.path.relpath(self._augmented(selection), target))
            own = _without(self.augment, selection)
            copies = [_copy(row, number, own) for row in rows.to_pylist() for number in range(selection.copies)]
        with atomic_folder(target) as scratch:
            blanks = self._plant(scratch, rows, selection, seed)
            fill_version(
                scratch,
                pa.concat_tables([rows, *(pa.Table.from_pylist(part, ROW_SCHEMA) for part in (copies, blanks))]),
                operation=f"ablation: {arm.name}",
                parameters={"off": list(arm.recipe.off), "random": arm.recipe.random, "share": arm.recipe.share,
                            "blanks": arm.recipe.blanks, "seed": seed, "copies": selection.copies,
                            "augment": _without(self.augment, selection).model_dump() if selection.copies else None},
                parent=self.pool.ingested,
                content=[*content, *(["content"] if blanks else [])],
                image=self.pool.curated.card.image,
            )  # fmt: skip
        return target

    def _augmented(self, selection: Selection) -> Path:
        """The folder with the augmented copies of these rows, made once: the draw of a row is that of `augment`."""
        own = _without(self.augment, selection)
        key = digest([own.model_dump(), self.seed, selection.copies, sorted(selection.ids), self.code])[:16]
        target = self.folder.parent / "augmented" / key
        if target.exists():
            return target
        apply = policy(own, self.seed)
        sources = {row["id"]: row["source"] for row in self.pool.rows(selection.ids).to_pylist()}
        with ContentWriter(target) as writer:
            for identity, content in self.pool.ingested.contents(sources.keys()):
                pixels = image.decode(content or b"").pixels
                for number in range(selection.copies):
                    made = image.encode_png(apply(pixels, identity, number))
                    writer.add(row_id(f"{sources[identity]}#augment-{number}"), made)
        return target

    def _plant(self, folder: Path, rows: pa.Table, selection: Selection, seed: int) -> list[dict[str, Any]]:
        """Blank rows beside those that the selection names, with their content in `folder`/content."""
        if not selection.blanks:
            return []
        wanted, made = set(selection.blanks), list[dict[str, Any]]()
        size, channels = (int(self.pool.curated.card.image[name]) for name in ("size", "channels"))
        with ContentWriter(folder / "content") as writer:
            for row in rows.to_pylist():
                for number in range(1 + selection.copies if row["id"] in wanted else 0):
                    source = f"{row['source']}#blank-{seed}-{number}"
                    level = int(256 * unit_hash(f"{seed}:blank:{row['id']}:{number}"))
                    pixels = np.full((size, size, channels), level, dtype=np.uint8)
                    made.append({
                        **row, "id": row_id(source), "content_hash": image.content_hash(pixels), "source": source,
                        "parent": row["id"], "op": f"blank({level})", "note": None,
                    })  # fmt: skip
                    writer.add(made[-1]["id"], image.encode_png(pixels))
        return made


def _copy(row: dict[str, Any], number: int, augment: Augment) -> dict[str, Any]:
    """The overlay row of an augmented copy; named as the stage `augment` names it."""
    source = f"{row['source']}#augment-{number}"
    return {
        **row, "id": row_id(source), "content_hash": None, "source": source, "parent": row["id"],
        "op": describe(augment, number), "note": None,
    }  # fmt: skip
