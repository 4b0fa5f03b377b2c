"""Trainings that fail more often without a decision, or with it: a conclusion of its own, beside that of the survivors."""

from __future__ import annotations

from dataclasses import dataclass

from aigc_core.ablation import statistics as s

UNTRAINABLE = "cannot be trained without it"
LESS_WITHOUT, LESS_WITH = "trains less reliably without it", "trains less reliably with it"
#: One failure alone is never a conclusion.
LEAST = 2


@dataclass(frozen=True)
class Failures:
    """Failed trainings without a decision, and with it in all other arms of the study."""

    without: int
    of_without: int
    with_it: int
    of_with: int
    level: float = s.ALPHA  # at which either side is tested, corrected for the decisions that were asked about

    @property
    def verdict(self) -> str | None:
        """Which side fails more often than chance spreads failures (Fisher's exact test, Bonferroni); None for neither."""
        sides = ((self.without, self.of_without), (self.with_it, self.of_with))
        if 0 in (self.of_without, self.of_with):
            return None
        if self.without >= LEAST and s.more_failures(*sides[0], *sides[1]) < self.level:
            return UNTRAINABLE if self.without == self.of_without else LESS_WITHOUT
        if self.with_it >= LEAST and s.more_failures(*sides[1], *sides[0]) < self.level:
            return LESS_WITH
        return None

    def words(self) -> str:
        """`3 of 5 trainings without it failed, and 0 of 25 with it`."""
        return f"{self.without} of {self.of_without} trainings without it failed, and {self.with_it} of {self.of_with} with it"
