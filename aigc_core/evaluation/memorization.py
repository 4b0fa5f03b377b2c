"""Is it a copy? Three questions to generated images, each asked to held-out real images too, and one verdict.

- C_T (Meehan, Chaudhuri & Dasgupta 2020, section 3): are samples nearer to training images than held-out ones are,
  cell by cell? A Mann-Whitney z; below 0 is nearer.
- AuthPct (Alaa et al. 2022, section 3.3): the share of images that are farther from their nearest training image than
  that one is from the other training images; held against the same share of held-out images.
- Copy rate: the share of images whose distance to the nearest training image, relative to that image's own distance to
  the other training images, is within the closest 1 % of held-out images. Real images get 1 % by construction.

All in pixel space. Given the training images, samples that come from the same distribution as the held-out ones could
change places with them: that gives each question an exact or permuted p-value. A figure outside its limit counts only
where chance explains it with less than a third of `alpha`, so that honest samples fail at most `alpha` of the time.

Legend: T = different training images, N = images asked about, H = held-out images, D = pixels, K = cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation.cells import assign, find_centres
from aigc_core.evaluation.exchange import at_most, permuted_c_t
from aigc_core.evaluation.neighbours import Array, Index, nearest_rows

#: What the copy rate of held-out images is set to.
CALIBRATED = 0.01
#: Each cell needs about this many held-out images to tell anything; there are fewer cells where there are fewer.
ROWS_PER_CELL = 40
#: With fewer images on either side not even a few copies among them could be told from chance.
MIN_IMAGES = 50
QUESTIONS = 3


@dataclass(frozen=True)
class Limits:
    """See config.Memorization."""

    alpha: float
    max_copy_rate: float
    min_c_t: float
    min_auth_gap: float
    cells: int
    permutations: int


@dataclass(frozen=True)
class Answers:
    """What is known of each of N images: all relative to the training images."""

    cell: Index
    in_cell: Array  # squared distance to the nearest training image of the same cell
    nearest: Index  # the nearest training image, as a row of what was given
    distance: Array  # to it, root mean square over the pixels, 0 to 255
    ratio: Array  # the same distance over that image's own distance to the other training images; 0 is a copy

    @property
    def authentic(self) -> npt.NDArray[np.bool_]:
        """Farther from the nearest training image than that one is from the others."""
        return self.ratio > 1


@dataclass(frozen=True)
class Memorization:
    """The verdict: its reasons as sentences, the figures behind it, and what is known of each sample."""

    passed: bool
    reasons: list[str]
    figures: dict[str, float]
    answers: Answers

    def closest(self, count: int) -> Index:
        """The samples that are nearest to a training image for where it lies, nearest first."""
        return np.lexsort((self.answers.distance, self.answers.ratio))[:count]


class Witness:
    """The training images of a model and held-out ones, ready to judge any samples.

    `train` (R, D) and `held_out` (H, D) are uint8. Equal training images count once: a repeated image has no distance
    to its twin, and its copies would look authentic. Raises DataError where there are too few to judge by.
    """

    def __init__(
        self, train: torch.Tensor, held_out: torch.Tensor, limits: Limits, seed: int, device: str = "cpu"
    ) -> None:
        self.limits, self.seed, self.device = limits, seed, device
        unique, first = np.unique(train.numpy(), axis=0, return_index=True)
        self.train, self.rows = torch.from_numpy(unique), first.astype(np.int64)
        if len(held_out) < MIN_IMAGES or len(unique) < 2:
            raise DataError(
                f"memorization cannot be judged with {len(held_out)} held-out and {len(unique)} different training "
                f"images: at least {MIN_IMAGES} and 2 are needed, so add data or raise split.test"
            )
        cells = max(1, min(limits.cells, len(held_out) // ROWS_PER_CELL, len(unique) // ROWS_PER_CELL))
        self.centres = find_centres(self.train, cells, seed)
        self.train_cell = assign(self.train, self.centres, device)
        self.gaps = np.full(len(unique), np.nan)
        self.held_out_images = held_out
        self.held_out = self.ask(held_out)

    def ask(self, images: torch.Tensor) -> Answers:
        """Place images (N, D) uint8 among the training images."""
        index, squared = nearest_rows(images, self.train, device=self.device)
        nearest, distance = index[:, 0], squared[:, 0]
        self._measure_gaps(np.unique(nearest))
        cell = assign(images, self.centres, self.device)
        rms = np.sqrt(distance / images.shape[1])
        return Answers(
            cell, self._in_cell(images, cell), self.rows[nearest], rms, np.sqrt(distance) / self.gaps[nearest]
        )

    def _measure_gaps(self, wanted: Index) -> None:
        """Distance from each wanted training image to the nearest other one, once."""
        missing = wanted[np.isnan(self.gaps[wanted])]
        if len(missing):
            # The rows differ from each other, so of the two nearest one is the image itself.
            squared = nearest_rows(self.train[torch.from_numpy(missing)], self.train, 2, device=self.device)[1]
            self.gaps[missing] = np.sqrt(squared[:, 1])

    def _in_cell(self, images: torch.Tensor, cell: Index) -> Array:
        found = np.full(len(images), np.inf)
        for number in np.unique(cell):
            ours, theirs = np.flatnonzero(cell == number), np.flatnonzero(self.train_cell == number)
            if len(theirs):
                pool = self.train[torch.from_numpy(theirs)]
                found[ours] = nearest_rows(images[torch.from_numpy(ours)], pool, device=self.device)[1][:, 0]
        return found

    def judge(self, samples: torch.Tensor) -> Memorization:
        """The verdict on samples (N, D) uint8. Raises DataError for fewer than 50."""
        if len(samples) < MIN_IMAGES:
            raise DataError(
                f"{len(samples)} samples are too few to judge memorization by, at least {MIN_IMAGES} are needed: raise "
                "evaluate.max_samples, or add test rows"
            )
        answers = self.ask(samples)
        figures = {"n": float(len(samples)), "held_out": float(len(self.held_out.ratio))}
        figures |= self._c_t(answers) | self._authenticity(answers) | self._copies(answers)
        figures |= self._nearest_of_all(answers, samples)
        reasons, failed = in_words(figures, self.limits)
        return Memorization(not failed, reasons, figures, answers)

    def _nearest_of_all(self, answers: Answers, samples: torch.Tensor) -> dict[str, float]:
        """Share of samples whose nearest real image is a training image, and what it would be if none were preferred.

        Smooth samples are near to every real image, copies to training images alone. A figure to read C_T by, without a
        limit: every model that learnt from few images prefers those a little.
        """
        pixels = samples.shape[1]
        held_out = np.sqrt(nearest_rows(samples, self.held_out_images, device=self.device)[1][:, 0] / pixels)
        share = float((answers.distance < held_out).mean() + (answers.distance == held_out).mean() / 2)
        return {
            "train_share": share,
            "train_share_expected": len(self.train) / (len(self.train) + len(self.held_out_images)),
        }

    def _c_t(self, answers: Answers) -> dict[str, float]:
        cell = np.concatenate([answers.cell, self.held_out.cell])
        distance = np.concatenate([answers.in_cell, self.held_out.in_cell])
        value, chance = permuted_c_t(cell, distance, len(answers.cell), self.limits.permutations, self.seed)
        return {"c_t": value, "c_t_p": chance}

    def _authenticity(self, answers: Answers) -> dict[str, float]:
        ours, theirs = answers.authentic, self.held_out.authentic
        copies = len(ours) - int(ours.sum())
        either = copies + len(theirs) - int(theirs.sum())
        # Fisher's exact test: of all that are not authentic, this few or fewer are held out.
        chance = at_most(either - copies, either, len(theirs), len(ours) + len(theirs))
        mine, real = float(ours.mean()), float(theirs.mean())
        return {"auth_pct": mine, "auth_pct_real": real, "auth_gap": mine - real, "auth_gap_p": chance}

    def _copies(self, answers: Answers) -> dict[str, float]:
        held_out = np.sort(self.held_out.ratio)
        place = int(CALIBRATED * (len(held_out) - 1))
        threshold = held_out[place]
        close = int((answers.ratio <= threshold).sum())
        near = int((held_out <= threshold).sum())
        # A precedence test: among the closest of all, this few or fewer are held out.
        chance = at_most(near - 1, close + near - 1, len(held_out), len(held_out) + len(answers.ratio))
        return {
            "copy_rate": close / len(answers.ratio), "copy_rate_real": near / len(held_out),
            "copy_threshold": float(threshold), "copy_rate_p": chance,
        }  # fmt: skip


def in_words(figures: dict[str, float], limits: Limits) -> tuple[list[str], bool]:
    """Sentences for a person, and whether any figure is outside its limit by more than chance."""
    level = limits.alpha / QUESTIONS
    copied = figures["copy_rate"] > limits.max_copy_rate and figures["copy_rate_p"] < level
    nearer = figures["c_t"] < limits.min_c_t and figures["c_t_p"] < level
    unauthentic = figures["auth_gap"] < limits.min_auth_gap and figures["auth_gap_p"] < level
    reasons = []
    if copied:
        reasons.append(
            f"{figures['copy_rate']:.1%} of the samples are as close to a training image as the closest "
            f"{figures['copy_rate_real']:.1%} of held-out real images (limit {limits.max_copy_rate:.1%})"
        )
    if unauthentic:
        reasons.append(
            f"{figures['auth_pct']:.1%} of the samples are farther from their nearest training image than that one is from the "
            f"others, of held-out real images {figures['auth_pct_real']:.1%}: the gap {figures['auth_gap']:+.3f} is "
            f"below {limits.min_auth_gap:+.3f}"
        )
    if nearer:
        sentence = f"samples lie nearer to training images than held-out real images do: C_T {figures['c_t']:.1f} is below {limits.min_c_t:.1f}"
        if not copied:
            sentence += (
                "; the copy rate is not raised, so samples smoother than real ones may be the cause, and not copies: "
                f"{figures['train_share']:.0%} of them have a training image as their nearest real image, and "
                f"{figures['train_share_expected']:.0%} would if none were preferred"
            )
        reasons.append(sentence)
    return reasons, bool(reasons)
