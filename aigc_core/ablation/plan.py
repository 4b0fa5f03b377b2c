"""What a study will do, decided and written down before any of it is done.

The plan names every cell by a digest of all that decides its figures. A plan that was changed by hand, or that no
longer fits the data, the code or the extractor, is not run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from aigc_core.ablation import cells as columns
from aigc_core.ablation.arms import Chooser, questions
from aigc_core.ablation.deciding import CODE, extractor_hash, reference_hash, start_hash
from aigc_core.ablation.family import Family, choose_family
from aigc_core.ablation.measurable import choose_arms, describe
from aigc_core.ablation.pool import Pool, open_pool
from aigc_core.ablation.recipes import Arm, Selection
from aigc_core.ablation.reference import held_out
from aigc_core.ablation.versions import rows_digest
from aigc_core.config import Config, parse
from aigc_core.errors import ConfigError, DataError, NoStudyError
from aigc_core.files import digest, read_json, source_digest, write_json
from aigc_core.models.zoo import families
from aigc_core.paths import Paths
from aigc_core.training.held_out import Unseen, unseen_rows

PRIMARY = "fd"
#: Kinds of arms whose samples also teach a classifier (`cas`), most of what judging costs: others need the distance alone.
TAUGHT = (columns.BASELINE, columns.TREATMENT)


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
    # name, kind, decision, share, rows (copies of each included), rows_touched, recipe; of a cut what it leaves out
    arms: list[dict[str, Any]]
    cells: list[
        dict[str, Any]
    ]  # cell, arm, seed, steps, rate (factor of the learning rate), rows, cas (whether it is measured), training (whatever its steps)
    skipped: list[dict[str, str]]  # arm, why: arms that were asked for and cannot be run
    test_rows: (
        int  # that distances are measured on: at most as many as there are training rows, and evaluate.max_samples
    )
    test_twins: int  # test rows left out because an arm trains on their twin
    unseen_rows: int  # reference rows that stand for images never seen; 0 where the test rows do
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
    unseen: Unseen  # what memorization takes for images that no model saw
    arms: list[Arm]
    selections: dict[tuple[str, int], Selection]  # (arm, seed)


def resolve(config: Config, paths: Paths, family: Family | None = None) -> Layout:
    """Decide every arm and cell from the data as it is. Raises ConfigError, or DataError (NoStudyError where there is
    nothing to measure).

    `family` is that of a frozen plan; else the configuration and the evaluations say which one the study is about.
    """
    family = family or choose_family(config.ablation.model, paths)
    config = _about(config, family)
    pool = open_pool(config, paths)
    settings = config.ablation
    chooser = Chooser(pool, settings, config.augment, config.seed)
    test, twins = held_out(pool, paths, pool.labels.keys())
    start = start_hash(config, paths) if "pretrain" in chooser.names else None
    full_steps = int(getattr(config.train, family.name).steps)
    steps = settings.steps or full_steps
    confirms = settings.confirm > 0 and full_steps > steps
    arms, selections, skipped = choose_arms(chooser, config, confirms)
    arms = [arm for arm in arms if not _repeats(arm, selections, steps)]
    asked = settings.decisions or pool.groups or settings.sweep
    if asked and not any(arm.kind in (columns.TREATMENT, columns.CUT, columns.SIZE) for arm in arms):
        reasons = "; ".join(f"{line['arm']}: {line['why']}" for line in skipped)
        what = (
            "no decision of ablation.decisions and no cut of ablation.sweep"
            if settings.sweep
            else "no decision of ablation.decisions"
        )
        raise NoStudyError(f"{what} can be measured on this data ({reasons})")
    frozen = _settings(config)
    unseen = unseen_rows(pool.curated, paths.verdicts, pool.classes, config.evaluate.max_samples, config.seed)
    code, extractor, reference = source_digest(CODE), extractor_hash(paths), reference_hash(test, pool, unseen)
    plan = Plan(
        model=family.name, steps=steps, samples_seen=steps * config.train.batch_size, primary=PRIMARY,
        smallest_effect=settings.smallest_effect, seeds=list(arms[0].seeds), placebo=settings.placebo,
        confirm_steps=full_steps if confirms else None, family_released=family.released, family_why=family.why,
        decisions=[one.name for one in questions(settings, pool.groups)], sizes=[arm.recipe.share for arm in arms if arm.kind == columns.SIZE],
        arms=[describe(arm, chooser, selections) for arm in arms], cells=[], skipped=skipped,
        test_rows=min(test.num_rows, pool.curated.select("train").num_rows, config.evaluate.max_samples), test_twins=twins, unseen_rows=len(unseen.ids or ()), code=code, extractor=extractor, reference=reference, start=start, settings=frozen,
        dataset={"ingested": pool.ingested.card.version, "curated": pool.curated.card.version},
    )  # fmt: skip
    layout = Layout(plan, pool, test, unseen, arms, selections)
    return replace(layout, plan=replace(plan, cells=_cells(layout, config)))


def _repeats(arm: Arm, selections: dict[tuple[str, int], Selection], steps: int) -> bool:
    """Whether a variation is the study's own training of every seed: equal passes over as many rows are equal steps."""
    if arm.variation is None or not arm.variation.equal_passes:
        return False
    rows = [[selections[name, seed].rows for name in (arm.name, columns.FULL)] for seed in arm.seeds]
    return all(arm.variation.steps(steps, own, full) == steps for own, full in rows)


def _cells(layout: Layout, config: Config) -> list[dict[str, Any]]:
    """Every cell of the arms, named by a digest of all that decides its figures."""
    plan, deciding = layout.plan, _deciding(layout.plan)
    planned, taught = [], set()
    for arm in layout.arms:
        rate = arm.variation.rate if arm.variation else 1.0
        for seed in arm.seeds:
            selection = layout.selections[arm.name, seed]
            rows = rows_digest(layout.pool, selection, seed, config.augment, config.seed)
            training = digest([*deciding, rows, seed, plan.start if selection.start else None, rate])
            steps = _steps(layout, arm, seed)
            line = {
                "arm": arm.name,
                "seed": seed,
                "steps": steps,
                "rate": rate,
                "rows": selection.rows,
                "training": training,
            }
            planned.append(line)
            taught |= {(training, steps)} if arm.kind in TAUGHT else set()
    for line in planned:  # what two arms share is one cell
        line["cas"] = (line["training"], line["steps"]) in taught
        line["cell"] = digest([line["training"], line["steps"], line["cas"]])
    return planned


def _steps(layout: Layout, arm: Arm, seed: int) -> int:
    """Training steps of one cell."""
    plan = layout.plan
    if arm.kind == columns.CONFIRMATION:
        assert plan.confirm_steps is not None, arm  # noqa: S101  (there are such arms only where there is such a budget)
        return plan.confirm_steps
    if arm.variation is None:
        return plan.steps
    rows, full = (layout.selections[name, seed].rows for name in (arm.name, columns.FULL))
    return arm.variation.steps(plan.steps, rows, full)


def _deciding(plan: Plan) -> list[Any]:
    """What decides the figures of all cells alike; the full budget is not part of it, each cell names its own steps."""
    train = {**plan.settings["train"]}
    train[plan.model] = {name: value for name, value in train[plan.model].items() if name != "steps"}
    settings = [train, plan.settings["evaluate"], plan.settings["seed"]]
    return [plan.model, settings, plan.code, plan.extractor, plan.reference]


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


def _settings(config: Config) -> dict[str, Any]:
    """The parameters that decide figures; what only decides how they are shown or how fast they come is left out."""
    ablation = config.ablation.model_dump(exclude={"parallel", "enabled", "planning_spread"})
    others = set(families) - {config.ablation.model}
    shown = {"dataset", "log_every", "grid_every", "checkpoint_every", "keep_checkpoints", "max_loss"}
    train = config.train.model_dump(exclude=shown | others)
    # The order in which a sweep cuts rows follows from the rules; of all else they decide, the versions of the data tell.
    rules = {"quality": config.quality.model_dump()} if config.ablation.sweep else {}
    return rules | {
        "seed": config.seed, "train": train, "evaluate": config.evaluate.model_dump(), "ablation": ablation,
        "augment": config.augment.model_dump(),
    }  # fmt: skip
