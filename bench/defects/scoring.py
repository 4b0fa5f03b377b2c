"""From what was planted and what was said to figures.

A planted row is found when it carries a reason that fits its kind; of copies, when any member of its group does. Precision is
the share of planted rows among those with the reason: rows that were planted otherwise say nothing of it, and no more do rows
that copies were made of, or look-alikes that a set came with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from defects.audit import Audit
from defects.kinds import MOVED, NEAR
from defects.pictures import Row
from defects.stages import ALIKE, Said

Figures = dict[str, Any]

#: Kinds that are also counted together.
TOGETHER = {"near": ("copy_flattened", *NEAR), "moved": tuple(MOVED)}
_COPIED = {"copy", *TOGETHER["near"], *TOGETHER["moved"]}
#: Kind to the reasons that fit it, where they are not its name.
FITS = {
    "zero_bytes": ("corrupt",), "blurry_15": ("blurry",), "blurry_2": ("blurry",), "noisy_10": ("noisy",), "noisy_20": ("noisy",),
    **dict.fromkeys(_COPIED, ALIKE), "conflict": ("label_conflict",), "flip": ("label_suspect",), "stranger": ("out_of_domain",),
}  # fmt: skip
#: Reasons whose false alarms count against a kind, where they are not all that fit it.
FALSE = {"copy": ("duplicate_exact",), **dict.fromkeys(_COPIED - {"copy"}, ("duplicate_near", "leak"))}
#: Kind to the score that grades it.
GRADED = {"stranger": "distance", "flip": "label", **dict.fromkeys(_COPIED - {"copy"}, "similarity")}


def fits(kind: str) -> tuple[str, ...]:
    """The reasons that a planted row of this kind should get one of."""
    return FITS.get(kind, (kind,))


def untouched(rows: list[Row]) -> set[str]:
    """Names of rows that nothing was planted into and nothing was made of."""
    parents = {row.parent for row in rows if row.parent}
    return {row.name for row in rows if not row.kind and row.name not in parents}


def native(rows: list[Row], said: Said, audit: Audit | None) -> set[str]:
    """Untouched rows whose most similar untouched picture is the same photograph; none where nothing is audited."""
    if audit is None:
        return set()
    plain = {row.name for row in rows if row.name in audit.place}
    best: dict[str, tuple[float, tuple[str, str]]] = {}
    for one, other, similarity in said.pairs:
        if one in plain and other in plain:
            for name in (one, other):
                best[name] = max(best.get(name, (0.0, (one, other))), (similarity, (one, other)))
    same = audit.same(pair for _, pair in best.values())
    return {name for name, is_same in zip(best, same, strict=True) if is_same}


def score(rows: list[Row], said: Said, came_with: set[str]) -> Figures:
    """Everything that is asked of one run: `kinds`, `untouched`, `colours`, `valid` and `counts`."""
    clean = untouched(rows)
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if row.kind and row.kind != "valid":
            kinds.setdefault(row.kind, []).append(row)
    for whole, parts in TOGETHER.items():
        if members := [row for kind in parts for row in kinds.get(kind, [])]:
            kinds[whole] = members
    return {
        "kinds": {kind: _kind(kind, planted, clean, said, came_with) for kind, planted in kinds.items()},
        "untouched": _false_alarms(clean, said, came_with),
        "colours": _colours(rows, clean, said),
        "valid": _valid(rows, said),
        "counts": {"files": len(rows), **said.counts},
        "look_alikes": len(clean & came_with & said.flagged(*ALIKE)),
        "remarks": said.remarks,
    }


def _kind(kind: str, planted: list[Row], clean: set[str], said: Said, came_with: set[str]) -> Figures:
    member = kind if kind not in TOGETHER else TOGETHER[kind][-1]
    reasons = fits(member)
    flagged = said.flagged(*reasons)
    found = {row.name for row in planted if row.name in flagged or row.parent in flagged}
    silent = came_with if set(reasons) & set(ALIKE) else set()
    false = said.flagged(*FALSE.get(member, reasons)) & clean - silent
    details: dict[str, list[int]] = {}
    for row in planted:
        own = details.setdefault(row.detail, [0, 0])
        own[0] += row.name in found
        own[1] += 1
    return {
        "planted": len(planted),
        "recall": len(found) / len(planted),
        "precision": len(found) / (len(found) + len(false)) if found or false else math.nan,
        "ap": _average_precision(planted, clean - silent, said.badness.get(GRADED.get(member, ""), {})),
        "fired": bool(found) and not set(reasons) <= said.not_applied,
        "details": details,
    }


def _average_precision(planted: list[Row], clean: set[str], badness: dict[str, float]) -> float:
    """Of planted against untouched rows; a row without a score comes last. nan where nothing is graded."""
    if not badness or not clean:
        return math.nan
    last = min(badness.values()) - 1
    values = [max(badness.get(row.name, last), badness.get(row.parent, last)) for row in planted]
    others = [badness.get(name, last) for name in sorted(clean)]
    return float(average_precision_score([1] * len(values) + [0] * len(others), values + others))


def _false_alarms(clean: set[str], said: Said, came_with: set[str]) -> Figures:
    """Shares of the untouched rows that were warned of, by reason and in all, and that were quarantined."""
    rows = max(len(clean), 1)
    by_reason, warned = {}, set()
    for reason, action in said.actions.items():
        own = {name: act for name, act in said.reasons.get(reason, {}).items() if name in clean}
        if reason in ALIKE:
            own = {name: act for name, act in own.items() if name not in came_with}
        by_reason[reason] = {
            "action": action,
            "flagged": len(own) / rows,
            "quarantined": sum(act == "quarantine" for act in own.values()) / rows,
        }
        warned |= {name for name, act in own.items() if act in ("warn", "quarantine")}
    return {"rows": len(clean), "any": len(warned) / rows, "reasons": by_reason}


def _colours(rows: list[Row], clean: set[str], said: Said) -> Figures:
    """How many pairs of untouched pictures differ in colour alone, and how many of these were called copies."""
    shown: dict[str, list[str]] = {}
    for row in rows:
        if row.twins and row.name in clean:
            shown.setdefault(row.twins, []).append(row.name)
    pairs = [pair for names in shown.values() for pair in combinations(names, 2)]
    alike = sum(
        bool(({one} | said.groups.get(one, set())) & ({other} | said.groups.get(other, set()))) for one, other in pairs
    )
    return {"pairs": len(pairs), "alike": alike / len(pairs) if pairs else math.nan}


def _valid(rows: list[Row], said: Said) -> Figures:
    planted = [row for row in rows if row.kind == "valid"]
    lost = sorted(
        {
            f"{row.detail} ({reason})"
            for row in planted
            for reason, by_name in said.reasons.items()
            if by_name.get(row.name) == "quarantine"
        }
    )
    warned = sorted({row.detail for row in planted if row.name in said.flagged("wrong_type")})
    return {"planted": len(planted), "lost": lost, "wrong_type": warned}


def merged(runs: list[Figures]) -> Figures:
    """One set of figures of several runs: means; what was lost or said of any of them."""

    def mean(values: Iterable[float]) -> float:
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    names = dict.fromkeys(kind for run in runs for kind in run["kinds"])
    reasons = dict.fromkeys(reason for run in runs for reason in run["untouched"]["reasons"])
    return {
        "kinds": {
            kind: _mean_kind([run["kinds"][kind] for run in runs if kind in run["kinds"]], mean) for kind in names
        },
        "untouched": {
            "rows": mean(run["untouched"]["rows"] for run in runs),
            "any": mean(run["untouched"]["any"] for run in runs),
            "reasons": {
                reason: {
                    "action": next(
                        r["untouched"]["reasons"][reason]["action"] for r in runs if reason in r["untouched"]["reasons"]
                    ),
                    **{
                        key: mean(
                            r["untouched"]["reasons"][reason][key] for r in runs if reason in r["untouched"]["reasons"]
                        )
                        for key in ("flagged", "quarantined")
                    },
                }
                for reason in reasons
            },
        },
        "colours": {key: mean(run["colours"][key] for run in runs) for key in ("pairs", "alike")},
        "valid": {
            "planted": sum(run["valid"]["planted"] for run in runs),
            **{key: sorted({name for run in runs for name in run["valid"][key]}) for key in ("lost", "wrong_type")},
        },
        "counts": [run["counts"] for run in runs],
        "look_alikes": mean(run["look_alikes"] for run in runs),
        "remarks": list(dict.fromkeys(remark for run in runs for remark in run["remarks"])),
    }


def _mean_kind(runs: list[Figures], mean: Any) -> Figures:
    details: dict[str, list[int]] = {}
    for run in runs:
        for name, (found, planted) in run["details"].items():
            own = details.setdefault(name, [0, 0])
            own[0], own[1] = own[0] + found, own[1] + planted
    return {
        **{key: mean(run[key] for run in runs) for key in ("planted", "recall", "precision", "ap")},
        "fired": all(run["fired"] for run in runs),
        "details": details,
    }
