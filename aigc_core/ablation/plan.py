"""What a study will do, decided and written down before any of it is done.

The plan names every cell by a digest of all that decides its figures. A plan that was changed by hand, or that no
longer fits the data, the code or the extractor, is not run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from aigc_core.ablation import cells as columns
from aigc_core.ablation.advice import nothing_to_measure
from aigc_core.ablation.arms import Arm, Chooser, Recipe, Selection, arms_of
from aigc_core.ablation.family import Family, choose_family
from aigc_core.ablation.pool import Pool, open_pool
from aigc_core.ablation.reference import held_out
from aigc_core.ablation.versions import rows_digest
from aigc_core.config import Config, parse
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import digest, read_json, sha256_file, write_json
from aigc_core.models.zoo import families
from aigc_core.paths import Paths

PRIMARY = "fd"
#: Rooms whose code decides a cell's figures; a change in them makes new cells.
CODE = (
    "models",
    "training",
    "evaluation",
    "data",
    "modalities",
    "augment",
    "ablation/versions.py",
    "ablation/worker.py",
)
#: Fewer rows of a class than this teach a class-conditional model nothing of it.
LEAST_CLASS_ROWS = 2


@dataclass(frozen=True)
class Plan:
    """A frozen study; plan.json. `arms`, `cells` and `skipped` are lists of plain mappings."""

    model: str
    steps: int
    samples_seen: int  # steps x batch size: the same for every arm, whatever its number of rows
    primary: str
    smallest_effect: float  # relative change of the distance
    seeds: list[int]
    placebo: float  # share of the rows that the placebo leaves out
    confirm_steps: int | None  # of the arms at the full budget; None where there are none
    family_released: bool  # False where an evaluation says that another family, or none, is released
    family_why: str
    decisions: list[str]
    sizes: list[float]
    arms: list[dict[str, Any]]  # name, kind, decision, share, rows (copies of each included), rows_touched, recipe
    cells: list[dict[str, Any]]  # cell, arm, seed, rows
    skipped: list[dict[str, str]]  # arm, why: arms that were asked for and cannot be run
    test_rows: int
    test_twins: int  # test rows left out because an arm trains on their twin
    code: str
    extractor: str
    reference: str
    start: str | None  # hash of the pre-trained weights, where an arm starts from them
    dataset: dict[str, str]  # version of `ingested` and `curated`
    settings: dict[str, Any]  # the sections of params.yaml that decide a figure

    @property
    def digest(self) -> str:
        """Hex sha256 of everything above."""
        return digest(asdict(self))

    @property
    def config(self) -> Config:
        """The settings as the pipeline takes them. Raises ConfigError where this version knows other ones."""
        try:
            return parse(self.settings)
        except ConfigError as error:
            raise ConfigError(
                f"the plan {self.digest[:12]} was frozen by another version of aigc ({error}): plan again with "
                "`aigc ablate --plan-only`"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """As plan.json holds it."""
        return {**asdict(self), "digest": self.digest}

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan. Raises ConfigError where it is missing, no plan, or was edited after it was frozen."""
        try:
            facts = read_json(path)
            stated = facts.pop("digest")
            plan = cls(**facts)
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist: `aigc ablate --plan-only` writes a plan") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(f"{path} is not a plan: `aigc ablate --plan-only` writes one") from None
        if plan.digest != stated:
            raise ConfigError(
                f"{path} was changed after it was frozen (its content hashes to {plan.digest[:12]}, it says "
                f"{stated[:12]}): a plan is not edited; change `ablation` in params.yaml and plan again"
            )
        return plan


@dataclass(frozen=True)
class Layout:
    """A plan with what its arms are made of: needed to run it, not to read it."""

    plan: Plan
    pool: Pool
    test: pa.Table
    arms: list[Arm]
    selections: dict[tuple[str, int], Selection]  # (arm, seed)


def resolve(config: Config, paths: Paths, family: Family | None = None) -> Layout:
    """Decide every arm and cell from the data as it is. Raises ConfigError or DataError where nothing can be measured.

    `family` is that of a frozen plan; else the configuration and the evaluations say which one the study is about.
    """
    family = family or choose_family(config.ablation.model, paths)
    config = _about(config, family)
    pool = open_pool(config, paths)
    settings = config.ablation
    chooser = Chooser(pool, settings, config.augment, config.seed)
    test, twins = held_out(pool, paths, pool.labels.keys())
    start = _start_hash(config, paths) if "pretrain" in chooser.names else None
    arms, selections, skipped = _choose(chooser, config)
    if settings.decisions and not any(arm.kind == columns.TREATMENT for arm in arms):
        reasons = "; ".join(f"{line['arm']}: {line['why']}" for line in skipped)
        raise DataError(f"no decision of ablation.decisions can be measured on this data ({reasons})")
    train = config.train
    whole = int(getattr(train, family.name).steps)
    steps = settings.steps or whole
    frozen = _settings(config)
    code, extractor, reference = code_digest(), _extractor_hash(paths), _reference_hash(test, pool)
    deciding = {name: frozen[name] for name in ("train", "evaluate", "seed")}
    fixed = [family.name, steps, deciding, code, extractor, reference]
    planned = []
    for arm in arms:
        for seed in arm.seeds:
            selection = selections[arm.name, seed]
            rows = rows_digest(pool, selection, seed, config.augment, config.seed)
            cell = digest([*fixed, rows, seed, start if selection.start else None])
            planned.append({"cell": cell, "arm": arm.name, "seed": seed, "steps": steps, "rows": selection.rows})
    plan = Plan(
        model=family.name, steps=steps, samples_seen=steps * train.batch_size, primary=PRIMARY,
        smallest_effect=settings.smallest_effect, seeds=list(arms[0].seeds), placebo=settings.placebo, confirm_steps=None,
        family_released=family.released, family_why=family.why,
        decisions=chooser.names, sizes=[arm.recipe.share for arm in arms if arm.kind == columns.SIZE],
        arms=[_describe(arm, chooser, selections) for arm in arms], cells=planned, skipped=skipped,
        test_rows=test.num_rows, test_twins=twins, code=code, extractor=extractor, reference=reference, start=start, settings=frozen,
        dataset={"ingested": pool.ingested.card.version, "curated": pool.curated.card.version},
    )  # fmt: skip
    return Layout(plan, pool, test, arms, selections)


def _about(config: Config, family: Family) -> Config:
    """The configuration with the family by its name, as a frozen plan has it."""
    values = config.model_dump()
    values["ablation"]["model"] = family.name
    # Validated anew: a default 10 of a float is 10 before and 10.0 after it was read from a plan: equal, but not as JSON.
    return Config.model_validate(values)


def check_unchanged(plan: Plan, paths: Paths) -> Layout:
    """The layout of a frozen plan. Raises DataError where data, code or extractor are no longer those of the plan.

    An evaluation that came later does not change which family the plan is about.
    """
    layout = resolve(plan.config, paths, Family(plan.model, plan.family_released, plan.family_why))
    if layout.plan.digest != plan.digest:
        now, then = asdict(layout.plan), asdict(plan)
        names = [name for name in then if now[name] != then[name] and name not in ("arms", "cells")]
        what = ", ".join(names) or "training rows"
        raise DataError(
            f"the plan {plan.digest[:12]} no longer fits what is here (changed since: {what}): plan again with "
            "`aigc ablate --plan-only`; cells that are still valid are used again"
        )
    return layout


def _choose(
    chooser: Chooser, config: Config
) -> tuple[list[Arm], dict[tuple[str, int], Selection], list[dict[str, str]]]:
    """Arms that can be run with their rows, and why the others cannot."""
    arms: list[Arm] = []
    selections: dict[tuple[str, int], Selection] = {}
    skipped: list[dict[str, str]] = []
    for arm in arms_of(config.ablation, config.seed):
        if arm.kind == columns.RANDOM_CONTROL and f"without_{arm.decision}" in {line["arm"] for line in skipped}:
            skipped.append({"arm": arm.name, "why": f"without_{arm.decision} is not run, and nothing else needs it"})
            continue
        try:
            found = {(arm.name, seed): chooser.select(arm.recipe, seed) for seed in arm.seeds}
            _check_rows(arm, found, chooser, config)
        except DataError as error:
            if arm.kind in (columns.BASELINE, columns.PLACEBO, columns.POSITIVE_CONTROL):
                raise  # without these there is no study
            skipped.append({"arm": arm.name, "why": str(error)})
            continue
        arms.append(arm)
        selections |= found
    return arms, selections, skipped


def _check_rows(arm: Arm, found: dict[tuple[str, int], Selection], chooser: Chooser, config: Config) -> None:
    """Raise DataError for an arm that would measure nothing, or cannot be trained."""
    changes = arm.kind in (columns.TREATMENT, columns.RANDOM_CONTROL, columns.POSITIVE_CONTROL)
    if changes and all(selection == chooser.select(Recipe(), seed) for (_, seed), selection in found.items()):
        raise DataError(_idle(arm, chooser))
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
                "take a larger share, or bring in images of this class"
            )


def _idle(arm: Arm, chooser: Chooser) -> str:
    """Why an arm has the very rows of the full recipe."""
    if arm.kind == columns.RANDOM_CONTROL:
        return f"{arm.decision} changes labels, not the number of rows, so that chance has nothing to remove"
    if arm.decision is None:
        return f"{arm.name} plants no row into this few: raise ablation.blanks"
    return nothing_to_measure(arm.decision, chooser)


def _describe(arm: Arm, chooser: Chooser, selections: dict[tuple[str, int], Selection]) -> dict[str, Any]:
    """The arm for plan.json; counts are those of its first seed (all seeds agree but for rounding).

    `rows` is what a cell is trained on; `rows_touched` is what the decision changes before a seed draws its share.
    """
    selection = selections[arm.name, arm.seeds[0]]
    changed, full = (chooser.select(recipe, arm.seeds[0], whole=True) for recipe in (arm.recipe, Recipe()))
    return {
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


def _settings(config: Config) -> dict[str, Any]:
    """The parameters that decide figures; what only decides how they are shown or how fast they come is left out."""
    ablation = config.ablation.model_dump(exclude={"parallel", "enabled", "planning_spread"})
    others = set(families) - {config.ablation.model}
    shown = {"dataset", "log_every", "grid_every", "checkpoint_every", "keep_checkpoints", "max_loss"}
    train = config.train.model_dump(exclude=shown | others)
    return {
        "seed": config.seed, "train": train, "evaluate": config.evaluate.model_dump(), "ablation": ablation,
        "augment": config.augment.model_dump(),
    }  # fmt: skip


def code_digest() -> str:
    """Hex sha256 over the source of the rooms that decide a figure."""
    root = Path(__file__).parents[1]
    places = [root / name for name in CODE]
    files = sorted(file for place in places for file in ([place] if place.is_file() else place.rglob("*.py")))
    return digest({str(file.relative_to(root)): sha256_file(file) for file in files})


def _extractor_hash(paths: Paths) -> str:
    card = paths.extractor / "extractor.json"
    if not card.exists():
        raise DataError("there is no feature extractor yet: run `aigc extractor` first")
    return str(read_json(card)["hash"])


def _start_hash(config: Config, paths: Paths) -> str:
    card = paths.pretrained(config.ablation.model) / "model.json"
    if not card.exists():
        raise DataError(
            f"the decision `pretrain` needs pre-trained weights: run `aigc pretrain {config.ablation.model}` first"
        )
    return str(read_json(card)["weights_sha256"])


def _reference_hash(test: pa.Table, pool: Pool) -> str:
    """Of the real rows that cells are held to: test rows, and the curated training rows, from which the floors come."""
    tables = (test, pool.curated.select("train").sort_by("id"))
    return digest([[table[name].to_pylist() for name in ("id", "content_hash", "label")] for table in tables])
