"""`aigc quality review`: contact sheets for people, and the way back of what they decided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from aigc_core.config import Config
from aigc_core.data.store import Version, natural
from aigc_core.errors import DataError
from aigc_core.files import atomic_folder
from aigc_core.paths import Paths
from aigc_core.quality import decisions
from aigc_core.quality.reasons import REASONS
from aigc_core.records import StageResult
from aigc_core.report import review as sheets
from aigc_core.report.facts import require
from aigc_core.stages.parts.tiles import Tiles

Row = dict[str, Any]
CONSEQUENCES = {
    "quarantine": "These images are in quarantine.",
    "warn": "This reason alone takes no image out of the data set.",
    "inform": "This reason alone takes no image out of the data set.",
}


def review(config: Config, paths: Paths, limit: int) -> StageResult:  # noqa: ARG001  (stages share one signature)
    """Write .work/review: a page per reason with at most `limit` images, and index.html that leads to them."""
    verdicts = pq.read_table(require(paths.verdicts / "part-0.parquet", "curate"))
    version = Version.open(paths.ingested)
    meanings = {**REASONS, **decisions.BY_HAND}
    totals = Counter(verdicts["reason"].to_pylist())
    chosen = {reason: sheets.worst_first(verdicts, reason, limit) for reason in sorted(totals, key=_order)}
    shown = {line["id"] for lines in chosen.values() for line in lines}
    twins = {twin for lines in chosen.values() for line in lines if (twin := sheets.twin_of(line))}
    tiles = Tiles.read(paths, version, verdicts, shown | twins)
    decided = {decision.id: decision for decision in decisions.read(paths.decisions)}
    index = []
    with atomic_folder(paths.review) as scratch:
        for reason, lines in chosen.items():
            actions = sorted({line["action"] for line in lines})
            page = {"reason": reason, "meaning": meanings.get(reason, ""), "total": totals[reason],
                    "classes": _classes(version), "tiles": [_card(tile, decided.get(tile["id"])) for tile in map(tiles.tile, lines) if tile],
                    "consequence": CONSEQUENCES[actions[0]] if len(actions) == 1 else ""}  # fmt: skip
            (scratch / f"{reason}.html").write_text(sheets.sheet(page))
            index.append({**page, "actions": actions})
        (scratch / "index.html").write_text(sheets.index({"reasons": index, "read": version.rows.num_rows}))
    place = (paths.review / "index.html").relative_to(paths.root)
    return StageResult(f"{len(chosen)} contact sheets, {len(shown):,} images: open {place}", {"reasons": len(chosen)})


def take(config: Config, paths: Paths, file: Path) -> StageResult:  # noqa: ARG001  (stages share one signature)
    """Check every line of `file` and put its decisions into data/decisions.csv, where the newer one wins.

    Raises DataError for the first wrong line; then nothing is written.
    """
    if not file.is_file():
        raise DataError(f"{file} is not a file: download decisions.csv from a page of `aigc quality review`")
    version = Version.open(paths.ingested)
    new = decisions.resolve(decisions.read(file), version.rows, _classes(version))
    if not new:
        raise DataError(f"{file.name} holds no decision: choose keep, drop or relabel on a page first")
    everything = decisions.merge(decisions.read(paths.decisions), new)
    decisions.write(paths.decisions, everything)
    told = ", ".join(f"{count} {name}" for name, count in sorted(Counter(d.decision for d in new).items()))
    return StageResult(
        f"took {told}; {paths.decisions.relative_to(paths.root)} now holds {len(everything)}: `dvc repro` honours them",
        {"decisions": len(everything)},
    )


def _order(reason: str) -> tuple[int, str]:
    """Reasons in the order of checking, people's own last."""
    known = list(REASONS)
    return (known.index(reason) if reason in known else len(known), reason)


def _classes(version: Version) -> list[str]:
    return sorted({label for label in version.rows["label"].unique().to_pylist() if label is not None}, key=natural)


def _card(tile: Row, decision: decisions.Decision | None) -> Row:
    """A tile with the form's fields, filled with what was decided before."""
    return {
        **tile,
        "decision": decision.decision if decision else "",
        "note": decision.note if decision else "",
        "new_label": (decision.label if decision else "") or tile["predicted"],
    }
