"""Which rows the page shows as pictures: groups of copies, and the worst rows of each reason that only warns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aigc_core.report.review import twin_of, worst_first

Facts = dict[str, Any]
GROUPS_SHOWN = 12
MEMBERS_SHOWN = 6  # beside the survivor
WARNED_SHOWN = 8  # per reason
#: Reasons that the groups show already.
GROUPED = ("duplicate_exact", "duplicate_near", "leak")


def groups(verdicts: pa.Table) -> tuple[list[Facts], int]:
    """The largest groups of copies, each with the surviving row's id and its members' verdicts; and how many there are."""
    own = verdicts.filter(pc.is_valid(verdicts["cluster"]))
    sizes = own.group_by("cluster").aggregate([("id", "count_distinct")])
    sizes = sizes.sort_by([("id_count_distinct", "descending"), ("cluster", "ascending")])
    condemned = verdicts.filter(pc.equal(verdicts["action"], "quarantine"))["id"]
    shown = []
    for line in sizes.slice(0, GROUPS_SHOWN).to_pylist():
        members = own.filter(pc.equal(own["cluster"], line["cluster"])).to_pylist()
        others = [member for member in members if member["id"] != line["cluster"]]
        total = len({member["id"] for member in others})
        if total:
            # The best of a group of blanks is still a blank.
            stays = not pc.any(pc.equal(condemned, line["cluster"])).as_py()
            shown.append(
                {"survivor": line["cluster"], "stays": stays, "members": others[:MEMBERS_SHOWN], "total": total}
            )
    return shown, sizes.num_rows


def warned(verdicts: pa.Table, reasons: Mapping[str, str]) -> list[Facts]:
    """Per reason that warns: its meaning, how many kept rows it has, and the verdicts of the worst of them."""
    gone = verdicts.filter(pc.equal(verdicts["action"], "quarantine"))["id"].combine_chunks()
    kept = pc.invert(pc.is_in(verdicts["id"], value_set=gone))
    warnings = verdicts.filter(pc.and_(pc.equal(verdicts["action"], "warn"), kept))
    found = []
    for reason, meaning in reasons.items():
        total = pc.sum(pc.equal(warnings["reason"], reason)).as_py() or 0
        if total and not (reason in GROUPED and _has_groups(warnings, reason)):
            lines = worst_first(warnings, reason, WARNED_SHOWN)
            found.append({"reason": reason, "meaning": meaning, "total": total, "lines": lines})
    return found


def _has_groups(verdicts: pa.Table, reason: str) -> bool:
    own = verdicts.filter(pc.equal(verdicts["reason"], reason))
    return bool(own["cluster"].null_count < own.num_rows)


def wanted(shown: list[Facts], warnings: list[Facts]) -> set[str]:
    """Ids of all rows that need a picture."""
    lines = [line for group in warnings for line in group["lines"]]
    ids = {line["id"] for line in lines} | {twin for line in lines if (twin := twin_of(line))}
    for group in shown:
        ids |= {group["survivor"], *(member["id"] for member in group["members"])}
    return ids


def drawn(
    shown: list[Facts],
    warnings: list[Facts],
    tile: Callable[[Facts], Facts | None],
    beside: Callable[[str], Facts | None],
) -> tuple[list[Facts], list[Facts]]:
    """Both lists with tiles in the place of verdicts; what the version does not know of is left out."""
    pictured = []
    for group in shown:
        survivor = beside(group["survivor"])
        members = [{**found, "reason": line["reason"]} for line in group["members"] if (found := tile(line))]
        if survivor and members:
            pictured.append({**group, "survivor": survivor, "members": members})
    sheets = [{**group, "tiles": [t for line in group["lines"] if (t := tile(line))]} for group in warnings]
    return pictured, sheets
