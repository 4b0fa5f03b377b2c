"""What an arm of a study is: how it departs from the full recipe, and the training rows that follow from that."""

from __future__ import annotations

from dataclasses import dataclass

from aigc_core.ablation.variations import Variation


@dataclass(frozen=True)
class Recipe:
    """How an arm departs from the full recipe."""

    off: tuple[str, ...] = ()  # decisions that are switched off
    random: str | None = None  # the decision whose removal is replaced by chance
    share: float = 1.0  # of the rows, class by class
    placebo: float = 0.0  # share of the rows of every class that is left out, the same rows for every seed
    blanks: float = 0.0  # planted rows, as a share of the training rows
    swept: str | None = None  # the reason whose own rows are in, whatever its rule does
    cut: float = 0.0  # share of these rows that is left out, the worst by the reason's measure
    by_chance: bool = False  # as many rows as the cut leaves out, but others in every seed


@dataclass(frozen=True)
class Arm:
    """One column of the study: trained once per seed."""

    name: str
    kind: str  # one of cells.KINDS
    decision: str | None
    recipe: Recipe
    seeds: tuple[int, ...]
    members: tuple[str, ...] = ()  # the two decisions of a pair
    variation: Variation | None = None  # the training recipe; None is the study's own


@dataclass(frozen=True)
class Selection:
    """The training rows of one arm and seed, by id."""

    ids: tuple[str, ...]
    copies: int = 0  # augmented rows beside each of them
    blanks: tuple[
        str, ...
    ] = ()  # ids of the rows beside which blanks are planted, as many as the row has copies and one
    start: bool = False  # from the pre-trained weights
    still: tuple[str, ...] = ()  # operations of the augmentation that the copies are made without
    uncorrected: tuple[
        str, ...
    ] = ()  # ids of the rows with the label that they came with, whatever a person said since

    @property
    def rows(self) -> int:
        """Training rows in all."""
        return (len(self.ids) + len(self.blanks)) * (1 + self.copies)
