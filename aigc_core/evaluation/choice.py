"""Which extractor may judge: learnt from labels where looks tell them, else from views, else not learnt; the first that passes the test.

Legend: N = images, C = channels, S = side in px.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation.distances import dimensions_or_none
from aigc_core.evaluation.extractors.base import Images
from aigc_core.evaluation.features import (
    MIN_PER_CLASS,
    Extractor,
    Recipe,
    fixed_extractor,
    labels_suffice,
    rare_classes,
    train_extractor,
)
from aigc_core.evaluation.fitness import Fitness, Trial
from aigc_core.evaluation.fixed import Fixed
from aigc_core.records import labels_told

Learn = Literal["auto", "labels", "views"]
#: With fewer images to try a classifier on, its accuracy is no reason to learn from anything else than labels.
LEAST_TRIED = 50


@dataclass(frozen=True)
class Rows(Images):
    """Images of one split, whose labels (N,) are indices into `classes`, which is empty without labels."""

    classes: list[str]


@dataclass(frozen=True)
class Told:
    """How well a classifier names images that it did not learn from, and what naming the commonest class every time comes to."""

    accuracy: float
    chance: float
    rows: int

    @property
    def by_looks(self) -> bool:
        """Whether looks tell the labels; not doubted where there are too few images to say."""
        return self.rows < LEAST_TRIED or labels_told(self.accuracy, self.chance)


@dataclass(frozen=True)
class Choice:
    """The extractor that judges, what every candidate made of the known damages, and what the labels are worth.

    `fixed` is what learns nothing, fitted on the same reference rows whether it judges or not. `fitness` is empty where there are
    too few images, and `told` None where nothing learnt from the labels.
    """

    extractor: Extractor
    fixed: Fixed
    learn: Learn
    fitness: dict[str, Fitness]
    told: Told | None

    def facts(self) -> dict[str, Any]:
        """The choice as JSON."""
        return {
            "learn": self.learn,
            "learnt_from": self.extractor.learnt_from,
            "labels": None if self.told is None else {**asdict(self.told), "by_looks": self.told.by_looks},
            "tried": {name: fitness.facts() for name, fitness in self.fitness.items()},
        }


def choose(
    reference: Rows, held: Rows, recipe: Recipe, learn: Learn, *, seed: int, device: str, told: str | None = None
) -> Choice:
    """Learn from the reference rows, and try on rows that were not learnt from; `told` names progress bars.

    The first way that is fit judges; where none is, the one that puts most pairs in order. Raises DataError for too few
    images or equal ones, and ConfigError where labels are asked for that cannot be learnt.
    """
    _refuse_empty_or_equal(reference.pixels)
    if learn == "views" and recipe.perturb > 0:
        raise ConfigError(_no_adversary(recipe, "extractor.learn = 'views'"))
    fixed, known, found, fitness = Fixed.fit(reference.pixels), None, dict[str, Extractor](), dict[str, Fitness]()
    trial: Trial | None = None
    for way in _ways(reference, learn):
        if way == "views" and recipe.perturb > 0 and known is not None:
            raise ConfigError(_no_adversary(recipe, _by_chance(known)))
        extractor = _learn(way, reference, fixed, recipe, seed, device, told)
        if way == "labels":
            known = _told(extractor, held)
            if learn == "auto" and not known.by_looks:
                continue
        found[way] = extractor
        if dimensions_or_none(len(held.labels) // 2, extractor.dimensions) is None:
            break
        # Labels are learnt first or not at all, so that what is known of them is the same for all that is tried.
        trial = trial or Trial(held.pixels, held.labels.numpy(), seed, by_class=known is not None and known.by_looks)
        fitness[way] = trial.judge(extractor)
        if fitness[way].fit or (way == "labels" and recipe.perturb > 0):
            break
    best = max(found, key=lambda way: fitness[way].share if way in fitness else 0.0)
    return Choice(found[best], fixed, learn, fitness, known)


def _ways(reference: Rows, learn: Learn) -> list[str]:
    suffice = bool(reference.classes) and labels_suffice(reference.labels, reference.classes)
    if learn == "labels" and not suffice:
        few = len(rare_classes(reference.labels, reference.classes))
        there = (
            f"of {len(reference.classes)} classes in the reference split {few} have fewer than {MIN_PER_CLASS} images, and at least two, "
            "with half of the images, have to be learnt"
            if len(reference.classes) > 1
            else "no image has a label, so that there are no two classes to tell apart"
            if not reference.classes
            else f"all labels are {reference.classes[0]!r}, so that there are no two classes to tell apart"
        )
        raise ConfigError(f"params.yaml: extractor.learn = 'labels', but {there}: set it to auto, or give more labels")
    if learn != "auto":
        return [learn]
    return ["labels", "views", "nothing"] if suffice else ["views", "nothing"]


def _learn(
    way: str, reference: Rows, fixed: Fixed, recipe: Recipe, seed: int, device: str, told: str | None
) -> Extractor:
    if way == "nothing":
        return fixed_extractor(fixed, reference.pixels, recipe)
    classes = reference.classes if way == "labels" else []
    return train_extractor(reference.pixels, reference.labels, classes, recipe, seed=seed, device=device, told=told)


def _told(extractor: Extractor, held: Rows) -> Told:
    share = float(np.bincount(held.labels.numpy(), minlength=1).max() / max(len(held.labels), 1))
    if len(held.labels) == 0:
        return Told(0.0, share, 0)
    return Told(float(extractor.right(held.pixels, held.labels, held.classes).mean()), share, len(held.labels))


def _refuse_empty_or_equal(pixels: torch.Tensor) -> None:
    """Raise DataError where images (N, C, S, S) are none, or one image many times: features have no spread then, and no scale."""
    if len(pixels) == 0:
        raise DataError(
            "the reference split holds no image that can be read, so that nothing can be measured by it (equal images are in one split, so that "
            "few different ones can leave another empty): add images that differ, or raise split.reference"
        )
    if len(pixels) > 1 and bool((pixels == pixels[:1]).all()):
        raise DataError(
            f"the {len(pixels):,} reference images are all equal, so that nothing can be measured by them: give the source images that differ"
        )


def _by_chance(known: Told) -> str:
    return (
        f"looks hardly tell the labels (a classifier names {known.accuracy:.1%} rightly, always naming the commonest class "
        f"{known.chance:.1%})"
    )


def _no_adversary(recipe: Recipe, why: str) -> str:
    return (
        f"params.yaml: extractor.perturb = {recipe.perturb:g}, but {why}, and an extractor that learns from views cannot be trained "
        "adversarially: set it to 0, or extractor.learn to labels"
    )
