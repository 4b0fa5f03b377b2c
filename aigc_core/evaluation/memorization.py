"""Is it a copy? Three questions to generated images, each asked of real images too, and one verdict.

A model may be near to its training images because it copies them, or because all its samples are smooth or typical:
then it is as near to real images that it never saw. So every question is asked twice: of the training images, and of
held-out images, which the model could not copy. Only what is raised for the training images alone counts.

- Copy rate: the share of samples whose distance to the nearest training image, relative to how far that one is from the
  training images around it, is within the closest 1 % of held-out images.
- Closest: the share of samples that are nearer to a training image, by the same measure, than any held-out image is. Few
  copies among many honest samples raise it first.
- Preference: how many times as often a training image as a held-out image is the nearest real image of a sample, per
  image of each. Without memory it is 1.

Two further figures decide nothing, because smooth samples change them as copies do: C_T (Meehan, Chaudhuri & Dasgupta 2020,
section 3), a Mann-Whitney z of distances to training images in cells, below 0 where samples are nearer than held-out
images; and AuthPct (Alaa et al. 2022, section 3.3), the share of samples that are farther from their nearest training
image than that one is from the others.

A held-out image that is itself a copy of a training image is no image never seen: it is left out and counted. Equal
held-out images count once, because one image many times says no more of images never seen than once, and would hide copies.

An image of one colour, or nearly, holds nothing that could be copied, and blurred samples of any model are near to it: such
images are left out on both sides and counted.

Distances of the three questions see through shifts of a pixel, mirrors and gains (alike.py); C_T, AuthPct and the
distances among training images are plain.

Legend: T = different training images, N = samples, H = different held-out images, C = channels, S = side in px, K = cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.errors import TooFewImagesError
from aigc_core.evaluation.cells import assign, find_centres
from aigc_core.evaluation.copying import Limits, in_words, remarks
from aigc_core.evaluation.exchange import at_most, c_t, chosen_by_chance
from aigc_core.evaluation.neighbours import Array, Index, nearest_rows
from aigc_core.evaluation.originals import PLAIN, Answers, Pool, contrast_of, first_of_equal

__all__ = ["MIN_IMAGES", "STORED", "Answers", "Limits", "Memorization", "Witness"]

#: The figures that are stored among a model's metrics.
STORED = (
    "copy_rate", "copy_rate_real", "copy_rate_unseen", "closest", "closest_unseen", "preference", "c_t", "c_t_unseen", "auth_pct",
    "auth_pct_real", "auth_gap",
)  # fmt: skip
#: What the copy rate of held-out images is set to.
CALIBRATED = 0.01
#: The share of held-out images by which it is told how typical samples are.
WIDE = 0.05
#: Each cell needs about this many held-out images to tell anything; there are fewer cells where there are fewer.
ROWS_PER_CELL = 40
#: With fewer images on either side not even a few copies among them could be told from chance.
MIN_IMAGES = 50


@dataclass(frozen=True)
class Memorization:
    """The verdict: its reasons as sentences, what else there is to say, the figures, and what is known of each sample."""

    passed: bool
    reasons: list[str]
    remarks: list[str]
    figures: dict[str, float]
    answers: Answers

    def closest(self, count: int) -> Index:
        """The samples that are nearest to a training image for where it lies, nearest first."""
        return np.lexsort((self.answers.distance, self.answers.ratio))[:count]


class _Cells:
    """Rows (M, D) in cells, and others that samples are ranked with by their distance to these: for C_T."""

    def __init__(self, rows: torch.Tensor, others: torch.Tensor, centres: torch.Tensor, device: str) -> None:
        self.rows, self.centres, self.device = rows, centres, device
        self.cell = assign(rows, centres, device)
        self.others = self._place(others)

    def _place(self, rows: torch.Tensor) -> tuple[Index, Array]:
        """The cell of each of the rows (N, D), and its squared distance to the nearest of the pool in the same cell."""
        cell = assign(rows, self.centres, self.device)
        found = np.full(len(rows), np.inf)
        for number in np.unique(cell):
            ours, theirs = np.flatnonzero(cell == number), np.flatnonzero(self.cell == number)
            if len(theirs):
                pool = self.rows[torch.from_numpy(theirs)]
                found[ours] = nearest_rows(rows[torch.from_numpy(ours)], pool, device=self.device)[1][:, 0]
        return cell, found

    def c_t(self, rows: torch.Tensor) -> float:
        """C_T of the rows (N, D) against the others."""
        cells, distances = zip(self._place(rows), self.others, strict=True)
        return c_t(np.concatenate(cells), np.concatenate(distances), len(rows))


class Witness:
    """The training images of a model and held-out ones, ready to judge any samples.

    `train` (R, C, S, S) and `held_out` (H, C, S, S) are uint8; the held-out ones should be like the training images in all
    but that the model never saw them. Those at distance 0 from a training image (the same one mirrored, moved or darkened)
    are left out: one of them would be as close as any copy, and hide all. Equal images count once on both sides: a repeated
    training image has no distance to its twin, and its copies would look authentic. Images of one colour are left out on both
    sides. Raises TooFewImagesError where there are too few to judge by.
    """

    def __init__(
        self, train: torch.Tensor, held_out: torch.Tensor, limits: Limits, seed: int, device: str = "cpu"
    ) -> None:
        self.limits = limits
        contrast, contrast_held = contrast_of(train), contrast_of(held_out)
        least = PLAIN * float(contrast.median()) if len(train) else 0.0
        self.seen = Pool(train, device, which=contrast >= least)
        self.train_plain = int((contrast < least).sum())
        held_out = held_out[contrast_held >= least]
        left_out = {"held_out_plain": len(contrast_held) - len(held_out)}
        different = np.sort(first_of_equal(held_out.flatten(1)))
        left_out["held_out_repeated"] = len(held_out) - len(different)
        held_out = held_out[torch.from_numpy(different)]
        _enough(len(held_out), left_out, len(self.seen))
        answers = self.seen.ask(held_out)
        independent = answers.distance > 0
        left_out["held_out_copies"] = len(held_out) - int(independent.sum())
        held_out = held_out[torch.from_numpy(independent)]
        _enough(len(held_out), left_out, len(self.seen))
        self.left_out = left_out
        rows, held = self.seen.rows, held_out.flatten(1)
        self.unseen = Pool(held_out, device, rows)
        self.real = np.sort(answers.only(independent).ratio)
        self.threshold = float(self.real[int(CALIBRATED * (len(self.real) - 1))])
        self.authentic_real = float(self.seen.authentic(held).mean())
        cells = max(1, min(limits.cells, len(held) // ROWS_PER_CELL, len(rows) // ROWS_PER_CELL))
        self.centres = find_centres(rows, cells, seed)
        chosen = np.random.default_rng(seed).permutation(len(rows))[: len(held)]
        self.cells = _Cells(rows, held, self.centres, device)
        self.cells_unseen = _Cells(held, rows[torch.from_numpy(chosen)], self.centres, device)

    def ask(self, images: torch.Tensor) -> Answers:
        """Place images (N, C, S, S) uint8 among the training images."""
        return self.seen.ask(images)

    def judge(self, samples: torch.Tensor) -> Memorization:
        """The verdict on samples (N, C, S, S) uint8. Raises TooFewImagesError for fewer than 50."""
        if len(samples) < MIN_IMAGES:
            raise TooFewImagesError(
                f"{len(samples)} samples are too few to judge memorization by, at least {MIN_IMAGES} are needed: raise "
                "evaluate.max_samples, or add test rows"
            )
        seen, unseen = self.ask(samples), self.unseen.ask(samples)
        counts = {"n": len(samples), "held_out": len(self.real), "train_plain": self.train_plain, **self.left_out}
        figures = {name: float(count) for name, count in counts.items()}
        counted = _counted(samples.flatten(1), seen)
        figures |= self._copies(*(one.only(counted) for one in (seen, unseen))) | self._preference(seen, unseen)
        figures |= self._published(samples.flatten(1))
        reasons = in_words(figures, self.limits)
        return Memorization(not reasons, reasons, remarks(figures, reasons, self.limits), figures, seen)

    def _copies(self, seen: Answers, unseen: Answers) -> dict[str, float]:
        """Copy rate and closest: against held-out images by their order, and beside the same with images never seen."""
        n, real, near = len(seen.ratio), len(self.real), int((self.real <= self.threshold).sum())
        close, close_unseen = (int((each.ratio <= self.threshold).sum()) for each in (seen, unseen))
        first, first_unseen = (int((each.ratio < self.real[0]).sum()) for each in (seen, unseen))
        # So many times as many training images there are, and as many times as many samples near to one by chance.
        larger = len(self.seen) / len(self.unseen)
        typical = self._typical(unseen, larger)
        weight = round(n * typical)
        return {
            "copy_rate": close / n, "copy_rate_real": near / real, "copy_rate_unseen": min(1.0, close_unseen * larger / n),
            "copy_threshold": self.threshold, "copy_over_unseen": (close + 0.5) / (close_unseen + 0.5) / larger,
            # Of the closest of all images, this few or fewer are held out where both come from one distribution.
            "copy_rate_p": at_most(near - 1, close + near - 1, real, real + weight), "typical": typical,
            "closest": first / n, "closest_unseen": min(1.0, first_unseen * larger / n),
            "closest_over_unseen": (first + 0.5) / (first_unseen + 0.5) / larger,
            "closest_p": at_most(0, first, real, real + weight),
        }  # fmt: skip

    def _typical(self, unseen: Answers, larger: float) -> float:
        """How many times as often as a held-out image a sample is near to a real image that the model never saw; at least 1.

        Smooth and typical samples are; as many more of them come to lie near a training image without being copies. It is
        measured at the closest 5 % of held-out images, where more samples are, and by its lower end.
        """
        wide = self.real[int(WIDE * (len(self.real) - 1))]
        near = float((unseen.ratio <= wide).sum())
        return max(1.0, (near - 2 * math.sqrt(near)) * larger / (WIDE * len(unseen.ratio)))

    def _preference(self, seen: Answers, unseen: Answers) -> dict[str, float]:
        """Whose images are the nearest ones, and the chance of that where the model knows none of the real images."""
        rows = [len(self.seen), len(self.unseen)]
        ours = (seen.distance < unseen.distance) + (seen.distance == unseen.distance) / 2
        chosen = np.concatenate([
            np.bincount(answers.nearest, share, int(pool.places.max()) + 1)[pool.places]
            for pool, answers, share in ((self.seen, seen, ours), (self.unseen, unseen, 1 - ours))
        ])  # fmt: skip
        found = float(ours.sum())
        odds = (found + 0.5) / (len(ours) - found + 0.5)
        return {
            "preference": odds * rows[1] / rows[0],
            "preference_p": chosen_by_chance(chosen, rows[0]),
        }

    def _published(self, rows: torch.Tensor) -> dict[str, float]:
        """C_T, also with the roles exchanged, and AuthPct: figures without a limit."""
        mine, real = float(self.seen.authentic(rows).mean()), self.authentic_real
        return {
            "c_t": self.cells.c_t(rows), "c_t_unseen": self.cells_unseen.c_t(rows),
            "auth_pct": mine, "auth_pct_real": real, "auth_gap": mine - real,
        }  # fmt: skip


#: Why held-out images were left out, in words; by the figures that count them.
LEFT_OUT = {
    "held_out_copies": "are copies of training images",
    "held_out_repeated": "are equal to another one",
    "held_out_plain": "are of one colour, or nearly",
}


def _enough(held_out: int, left_out: Mapping[str, int], training: int) -> None:
    """Raises TooFewImagesError where these are too few different held-out and training images; `left_out` of the former were left out."""
    if held_out < MIN_IMAGES or training < 2:
        more = "".join(f", {left_out[name]} more {why}" for name, why in LEFT_OUT.items() if left_out.get(name))
        raise TooFewImagesError(
            f"memorization cannot be judged with {held_out} different held-out images{more}{',' if more else ''} and {training} different training "
            f"images: at least {MIN_IMAGES} and 2 are needed, so add data or raise split.test"
        )


def _counted(rows: torch.Tensor, seen: Answers) -> npt.NDArray[np.bool_]:
    """Which samples (N, D) count: equal ones once, because they are no further draw, but every exact copy of a training image."""
    counted: npt.NDArray[np.bool_] = seen.distance == 0
    counted[first_of_equal(rows)] = True
    return counted
