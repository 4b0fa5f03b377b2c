"""Which arms can be run on this data, which rows they have, and why the others cannot be run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from aigc_core.ablation import cells
from aigc_core.ablation.advice import nothing_to_measure
from aigc_core.ablation.arms import Chooser, arms_of, questions
from aigc_core.ablation.recipes import Arm, Recipe, Selection
from aigc_core.config import Config
from aigc_core.errors import ConfigError, DataError, NoStudyError

#: Fewer rows of a class than this teach a class-conditional model nothing of it.
LEAST_CLASS_ROWS = 2
#: Kinds of arms that say something beside the arm without the same decision, and nothing where that is not run.
DEPENDENT = (cells.RANDOM_CONTROL, *cells.LATER)


def choose_arms(
    chooser: Chooser, config: Config, confirm: bool
) -> tuple[list[Arm], dict[tuple[str, int], Selection], list[dict[str, str]]]:
    """Arms that can be run with their rows by (arm, seed), and why the others cannot.

    `confirm` says whether there are arms at the full budget. Raises NoStudyError where one is missing that every study needs.
    """
    arms: list[Arm] = []
    selections: dict[tuple[str, int], Selection] = {}
    skipped: list[dict[str, str]] = []
    wanted = arms_of(config.ablation, config.seed, confirm, chooser.pool.groups)
    _check_names(wanted)
    for arm in wanted:
        gone = {line["arm"] for line in skipped}
        needed = arm.members or ([arm.decision] if arm.kind in DEPENDENT else [])
        lacking = [f"without_{name}" for name in needed if f"without_{name}" in gone] or _uncut(arm, gone)
        if lacking:
            if arm.kind not in cells.LATER:
                skipped.append({"arm": arm.name, "why": f"{lacking[0]} is not run, and nothing else needs it"})
            continue
        try:
            found = {(arm.name, seed): chooser.select(arm.recipe, seed) for seed in arm.seeds}
            _check_rows(arm, found, chooser, config)
        except DataError as error:
            if arm.kind in (cells.BASELINE, cells.PLACEBO, cells.POSITIVE_CONTROL):
                raise NoStudyError(f"there is no study without the arm {arm.name}, and {error}") from None
            skipped.append({"arm": arm.name, "why": str(error)})
            continue
        arms.append(arm)
        selections |= found
    cut = {arm.decision for arm in arms if arm.kind == cells.CUT}
    # A baseline without any cut would be trained for nothing.
    arms = [arm for arm in arms if arm.kind != cells.UNCUT or arm.decision in cut]
    return arms, selections, skipped


def _uncut(arm: Arm, gone: set[str]) -> list[str]:
    """The arms that a cut or its random control is nothing without, of those that are not run."""
    if arm.kind not in (cells.CUT, cells.RANDOM_CUT):
        return []
    needed = [f"uncut_{arm.decision}", *([arm.name.removeprefix("random_")] if arm.recipe.by_chance else [])]
    return [name for name in needed if name in gone]


def _check_names(arms: list[Arm]) -> None:
    """Raise ConfigError where a user's decision is called like a group of rows or a pair of decisions."""
    twice = [name for name, count in Counter(arm.name for arm in arms).items() if count > 1]
    if twice:
        raise ConfigError(f"ablation: two arms would be called {twice[0]}: give the decision of your own another name")


def _check_rows(arm: Arm, found: dict[tuple[str, int], Selection], chooser: Chooser, config: Config) -> None:
    """Raise DataError for an arm that would measure nothing, or cannot be trained."""
    changes = arm.kind in (cells.TREATMENT, cells.RANDOM_CONTROL, cells.PLACEBO, cells.POSITIVE_CONTROL)
    if changes and all(selection == chooser.select(Recipe(), seed) for (_, seed), selection in found.items()):
        raise DataError(_idle(arm, chooser))
    if arm.members:
        _check_pair(arm, found, chooser)
    batch = config.train.batch_size
    for selection in found.values():
        if selection.rows < batch:
            raise DataError(
                f"{selection.rows} training rows are fewer than one batch of {batch}: take a larger share or lower "
                "train.batch_size"
            )
        counts, labels = dict.fromkeys(chooser.pool.classes, 0), chooser.labels(selection)
        for identity in selection.ids:
            counts[labels[identity]] += 1
        label, least = min(counts.items(), key=lambda item: item[1])
        if least < LEAST_CLASS_ROWS:
            raise DataError(
                f"class {label!r} would have {least} training row{'' if least == 1 else 's'}, fewer than {LEAST_CLASS_ROWS}: "
                f"{_more_of_a_class(arm)}"
            )


def _more_of_a_class(arm: Arm) -> str:
    """What helps where an arm would leave a class without rows."""
    if arm.kind != cells.TREATMENT or arm.recipe.share < 1:
        return "take a larger share, or bring in images of this class"
    return (
        "a model that is told classes cannot be without one; leave out a part of the class, or set `ablation.groups: label`, which leaves out "
        "half of each"
    )


def _check_pair(arm: Arm, found: dict[tuple[str, int], Selection], chooser: Chooser) -> None:
    """Raise DataError for a pair of decisions of which one does nothing beyond the other."""
    for one in questions(chooser.settings):
        if one.name in arm.members and all(
            selection == chooser.select(one.recipe, seed) for (_, seed), selection in found.items()
        ):
            other = next(name for name in arm.members if name != one.name)
            raise DataError(f"without {one.name} there is nothing left that {other} changes")


def _idle(arm: Arm, chooser: Chooser) -> str:
    """Why an arm has the very rows of the full recipe."""
    if arm.kind == cells.RANDOM_CONTROL:
        return f"{arm.decision} changes labels, not the number of rows, so that chance has nothing to remove"
    if arm.kind == cells.PLACEBO:
        return "the placebo leaves out no row of classes this small: raise ablation.placebo"
    if arm.decision in chooser.pool.groups:
        return f"none of the rows of {arm.decision} is in the full recipe"
    if arm.decision is None:
        return f"{arm.name} plants no row into this few: raise ablation.blanks"
    return nothing_to_measure(arm.decision, chooser)


def describe(arm: Arm, chooser: Chooser, selections: dict[tuple[str, int], Selection]) -> dict[str, Any]:
    """The arm for plan.json; counts are those of its first seed (all seeds agree but for rounding).

    `rows` is what a cell is trained on; `rows_touched` is what the decision changes before a seed draws its share.
    """
    selection = selections[arm.name, arm.seeds[0]]
    changed, full = (chooser.select(recipe, arm.seeds[0], whole=True) for recipe in (arm.recipe, Recipe()))
    own: dict[str, Any] = {"cut": chooser.cut_of(arm.recipe).facts()} if arm.kind == cells.CUT else {}
    if arm.kind == cells.TREATMENT and arm.decision in chooser.pool.added:
        own = {"since": chooser.pool.added[arm.decision].facts()}
    return own | {
        "name": arm.name, "kind": arm.kind, "decision": arm.decision, "share": arm.recipe.share,
        "rows": selection.rows, "copies": selection.copies, "rows_touched": touched(changed, full),
        "recipe": {**asdict(arm.recipe), "off": list(arm.recipe.off)},
    }  # fmt: skip


def touched(selection: Selection, full: Selection) -> int:
    """Rows, derived ones included, that are in one of the two and not in the other."""
    mine, theirs = set(selection.ids), set(full.ids)
    ids = len(mine - theirs) * (1 + selection.copies) + len(theirs - mine) * (1 + full.copies)
    changed = selection.copies if selection.still != full.still else 0  # copies of the same rows, made otherwise
    copies = len(mine & theirs) * max(changed, abs(selection.copies - full.copies))
    labels = len(theirs.intersection(selection.uncorrected)) * (1 + min(selection.copies, full.copies))
    return ids + copies + labels + len(selection.blanks) * (1 + selection.copies)
