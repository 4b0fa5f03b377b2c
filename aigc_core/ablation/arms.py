"""Which training rows every arm of a study has: selections among rows that exist, never a code path in the trainer.

The full recipe is what the pipeline trains on with every listed decision on. `without_X` is the same without X
(a decision, a group of rows, or a pair `A_and_B` of decisions); `random_X` has as many rows as X's removal leaves, but chance chose them; `placebo` is the full recipe without a few rows
that chance chose once, the same for every seed; `blanks_2` is the full recipe with blank images planted; `size_0.32` a
class-stratified share. `uncut_R` is the full recipe with the rows that the rule of reason R alone takes out, `cut_R_0.02` the
same without the worst 2 % of its rows by R's measure, `random_cut_R_0.02` without as many that chance chose. `full_budget` and
`full_budget_without_X` are `full` and `without_X` trained for as many steps as the released model; `third_rate` and
`third_rate_without_X` are trained by another training recipe (variations.py). Chance is keyed by (seed, purpose, row id): removing a row changes no other row's fate, and sizes are
nested.
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

from aigc_core.ablation import cells, sweep
from aigc_core.ablation.cells import FULL, FULL_BUDGET
from aigc_core.ablation.pool import Pool
from aigc_core.ablation.recipes import Arm, Recipe, Selection
from aigc_core.ablation.variations import VARIATIONS, Variation
from aigc_core.config import Ablation, Augment, OwnDecision
from aigc_core.data.splits import unit_hash
from aigc_core.errors import DataError

HALF = "half_the_data"
AUGMENT = "augment"
PRETRAIN = "pretrain"
#: Decisions without which rows have the label that they came with: a person's corrections are part of them.
CORRECTS = frozenset({"curate", "fix_labels"})
#: What a decision of this name removes: rows quarantined for nothing but these reasons. `curate` is all reasons.
REASONS = {
    "deduplicate": frozenset({"duplicate_exact", "duplicate_near"}),
    "fix_labels": frozenset({"label_conflict", "label_suspect"}),
}
SEEDS_APART = 1_000_000


def name_of(decision: str | OwnDecision) -> str:
    """The decision's name."""
    return decision if isinstance(decision, str) else decision.name


def _operations(decision: str | OwnDecision) -> list[str]:
    """Operations of the augmentation that a decision of the user's own is about."""
    return [] if isinstance(decision, str) else [str(one) for one in decision.augment or ()]


@dataclass(frozen=True)
class Question:
    """What an arm is run for: the full recipe without something."""

    name: str
    recipe: Recipe
    members: tuple[str, ...] = ()  # the two decisions of a pair
    by_rows: bool = False  # it takes away or brings in rows, so that chance can do the same to others


def questions(settings: Ablation, groups: Iterable[str] = ()) -> list[Question]:
    """Every decision, every group of rows, and where `combinations` asks for them all pairs of decisions."""
    found = []
    for decision in settings.decisions:
        name = name_of(decision)
        by_rows = name not in (HALF, AUGMENT, PRETRAIN) and not _operations(decision)
        found.append(Question(name, _without(name), by_rows=by_rows))
    found += [Question(name, _without(name), by_rows=True) for name in groups]
    if settings.combinations:
        pairs = combinations([name_of(decision) for decision in settings.decisions], 2)
        found += [Question("_and_".join(pair), _without(*pair), pair) for pair in pairs]
    return found


def _without(*decisions: str) -> Recipe:
    off = tuple(name for name in decisions if name != HALF)
    return Recipe(off=off, share=0.5 if HALF in decisions else 1.0)


def arms_of(settings: Ablation, seed: int, confirm: bool = False, groups: Iterable[str] = ()) -> list[Arm]:
    """Every arm that the settings ask for, in the order in which they are run: the controls come early.

    `confirm` adds the arms at the full budget. They and the variations come last: which of them are run follows from the
    others. `groups` are the names of groups of rows.
    """
    first = seed * SEEDS_APART
    seeds = tuple(range(first, first + settings.seeds))
    asked = questions(settings, groups)
    arms = [
        Arm(FULL, cells.BASELINE, None, Recipe(), seeds),
        Arm("placebo", cells.PLACEBO, None, Recipe(placebo=settings.placebo), seeds),
        Arm(f"blanks_{100 * settings.blanks:g}", cells.POSITIVE_CONTROL, None, Recipe(blanks=settings.blanks), seeds),
    ]
    for one in asked:
        arms.append(Arm(f"without_{one.name}", cells.TREATMENT, one.name, one.recipe, seeds, one.members))
        if one.by_rows:
            arms.append(Arm(f"random_{one.name}", cells.RANDOM_CONTROL, one.name, Recipe(random=one.name), seeds))
    arms += _sweeps(settings, seeds)
    arms += [Arm(f"size_{share:g}", cells.SIZE, None, Recipe(share=share), seeds) for share in sorted(settings.sizes)]
    if confirm and asked:
        few = seeds[: settings.confirm]
        arms.append(Arm(FULL_BUDGET, cells.CONFIRMATION, None, Recipe(), few))
        arms += [
            Arm(f"{FULL_BUDGET}_without_{one.name}", cells.CONFIRMATION, one.name, one.recipe, few) for one in asked
        ]
    return arms + [arm for one in VARIATIONS for arm in _varied(one, asked, seeds[: settings.variations])]


def _varied(variation: Variation, asked: list[Question], seeds: tuple[int, ...]) -> list[Arm]:
    """The arms of one variation; none without seeds or questions."""
    if not seeds or not asked:
        return []
    base = (
        []
        if variation.base is None
        else [Arm(variation.base, cells.VARIATION, None, Recipe(), seeds, variation=variation)]
    )
    return base + [
        Arm(variation.without(one.name), cells.VARIATION, one.name, one.recipe, seeds, variation=variation)
        for one in asked
    ]


def _sweeps(settings: Ablation, seeds: tuple[int, ...]) -> list[Arm]:
    """Per reason its baseline, then every cut with its random control."""
    arms = []
    for reason, shares in settings.sweep.items():
        arms.append(Arm(f"uncut_{reason}", cells.UNCUT, reason, Recipe(swept=reason), seeds))
        for share in sorted(shares):
            chance = Recipe(swept=reason, cut=share, by_chance=True)
            arms.append(Arm(f"cut_{reason}_{share:g}", cells.CUT, reason, replace(chance, by_chance=False), seeds))
            arms.append(Arm(f"random_cut_{reason}_{share:g}", cells.RANDOM_CUT, reason, chance, seeds))
    return arms


@dataclass
class Chooser:
    """Selects the rows of arms among those of a pool."""

    pool: Pool
    settings: Ablation
    augment: Augment  # what is done where augmentation is on
    seed: int = 0  # of the configuration: it draws what is the same for all seeds of a study
    _kept: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    _cuts: dict[tuple[str, float], sweep.Cut] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The decisions that the full recipe has on."""
        return [name_of(decision) for decision in self.settings.decisions]

    def select(self, recipe: Recipe, seed: int, *, whole: bool = False) -> Selection:
        """The rows of a recipe that one seed draws, or with `whole` all of them. Raises DataError where a class would have none."""
        ids = self._ids(recipe, seed)
        drawn = 1.0 if whole else self.settings.subsample
        shares = (1 - recipe.placebo, f"{self.seed}:placebo"), (drawn, f"{seed}:draw"), (recipe.share, f"{seed}:size")
        for share, key in shares:
            if share < 1:
                ids = self._share(ids, share, key)
        copies = self.augment.copies if self._augments() and AUGMENT not in recipe.off else 0
        planted = _lowest(ids, f"{seed}:blanks", round(recipe.blanks * len(ids)))
        start = PRETRAIN in self.names and PRETRAIN not in recipe.off
        old = self.pool.given.keys() & set(ids) if CORRECTS & set(recipe.off) else ()
        return Selection(
            ids, copies, tuple(sorted(planted)), start, self._still(recipe.off) if copies else (), tuple(sorted(old))
        )

    def _ids(self, recipe: Recipe, seed: int) -> tuple[str, ...]:
        """The rows of a recipe before a seed draws its share."""
        if recipe.random:
            return self._at_random(recipe.random, seed)
        if recipe.swept is None:
            return self.kept(recipe.off)
        rows = self.uncut(recipe.swept)
        if not recipe.cut:
            return rows
        gone = self.cut_of(recipe).ids
        if recipe.by_chance:
            gone = sweep.at_random(rows, len(gone), f"{seed}:cut:{recipe.swept}")
        return tuple(identity for identity in rows if identity not in gone)

    def uncut(self, reason: str) -> tuple[str, ...]:
        """Ids, in order, of the full recipe and of the rows that are in quarantine for this reason alone: a sweep's baseline."""
        own = frozenset({reason})
        return tuple(one for one in self.pool.labels if self.pool.reasons.get(one, frozenset()) <= own)

    def cut_of(self, recipe: Recipe) -> sweep.Cut:
        """What a cut leaves out. Raises DataError where the rows cannot be cut there."""
        key = (str(recipe.swept), recipe.cut)
        if key not in self._cuts:
            self._cuts[key] = sweep.cut(self.pool.orders[key[0]], self.uncut(key[0]), recipe.cut)
        return self._cuts[key]

    def _augments(self) -> bool:
        """Whether the full recipe has augmented copies: a decision about them is listed."""
        return AUGMENT in self.names or any(_operations(decision) for decision in self.settings.decisions)

    def _still(self, off: tuple[str, ...]) -> tuple[str, ...]:
        """Operations that are switched off, as far as the configured augmentation has them at all."""
        asked = {
            one for decision in self.settings.decisions if name_of(decision) in off for one in _operations(decision)
        }
        return tuple(sorted(one for one in asked if getattr(self.augment, one)))

    def kept(self, off: tuple[str, ...]) -> tuple[str, ...]:
        """Ids, in order, that stay when these decisions are off."""
        if off not in self._kept:
            self._kept[off] = tuple(self._filtered(off))
        return self._kept[off]

    def random_change(self, name: str) -> tuple[tuple[str, ...], int]:
        """The rows among which chance decides in the random control of a decision, and how many it takes away."""
        off, full = self.kept((name,)), self.kept(())
        wider = off if len(off) >= len(full) else full
        return wider, abs(len(off) - len(full))

    def _at_random(self, name: str, seed: int) -> tuple[str, ...]:
        wider, count = self.random_change(name)
        gone = _lowest(wider, f"{seed}:random:{name}", count)
        return tuple(identity for identity in wider if identity not in gone)

    def _filtered(self, off: tuple[str, ...]) -> Iterable[str]:
        forgiven: set[str] = set()
        taken: set[str] = set()
        for decision in self.settings.decisions:
            name = name_of(decision)
            if name not in off:
                continue
            if isinstance(decision, OwnDecision):
                forgiven |= set(decision.reasons or ())
                taken |= self.pool.own.get(name, frozenset())
            elif name == "curate":
                forgiven |= self.pool.all_reasons
            else:
                forgiven |= REASONS.get(name, frozenset())
        for name in off:
            taken |= self.pool.groups.get(name, frozenset())
        known = set(self.pool.classes)
        if CORRECTS & set(off):  # a label that no class of the curated rows has teaches nothing
            taken |= {identity for identity, label in self.pool.given.items() if label not in known}
        for identity in self.pool.labels:
            if identity not in taken and self.pool.reasons.get(identity, frozenset()) <= forgiven:
                yield identity

    def labels(self, selection: Selection) -> Mapping[str, str]:
        """Id to class, as the rows of a selection have it."""
        return ChainMap({one: str(self.pool.given[one]) for one in selection.uncorrected}, self.pool.labels)

    def _share(self, ids: tuple[str, ...], share: float, key: str) -> tuple[str, ...]:
        """The same share of every class, the lowest hashes first: a smaller share is part of a larger one."""
        classes: dict[str, list[str]] = defaultdict(list)
        for identity in ids:
            classes[self.pool.labels[identity]].append(identity)
        chosen: set[str] = set()
        for label, members in classes.items():
            count = round(share * len(members))
            if count == 0:
                raise DataError(
                    f"{share:g} of the {len(members)} rows of class {label!r} is no row: take a larger share"
                )
            chosen |= _lowest(members, key, count)
        return tuple(identity for identity in ids if identity in chosen)


def _lowest(ids: Iterable[str], key: str, count: int) -> set[str]:
    """The `count` ids with the lowest hashes of (key, id)."""
    return set(sorted(ids, key=lambda identity: unit_hash(f"{key}:{identity}"))[:count]) if count else set()
