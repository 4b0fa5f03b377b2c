"""Samples against held-out real images, with every number beside what real data gets.

Everything that does not depend on the model (which rows, how many, in how many dimensions, the floors, the real
classifier) is computed once, in a Yardstick, so that two models are held to the same one.

Legend: N = images, C = channels, S = side in px, K = classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.features import Extractor
from aigc_core.evaluation.floors import Floor, real_floor

#: (labels (N,) int64, seed) to uint8 pixels (N, C, S, S).
Sampler = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Real:
    """The real images of a comparison: uint8 pixels (N, C, S, S), int64 labels (N,) indices into `classes`."""

    classes: list[str]
    train_pixels: torch.Tensor
    train_labels: torch.Tensor
    test_pixels: torch.Tensor
    test_labels: torch.Tensor


@dataclass(frozen=True)
class Setting:
    """How to compare; see config.Evaluate."""

    neighbours: int
    floor_draws: int
    max_samples: int
    seed: int
    device: str = "cpu"


@dataclass(frozen=True)
class Judgement:
    """What one model got: flat metrics, one line per class, and the samples (N, C, S, S) with their labels (N,)."""

    metrics: dict[str, float]
    per_class: list[dict[str, float | str]]
    samples: torch.Tensor
    labels: torch.Tensor


class Yardstick:
    """Test rows, floors and the real classifier, ready to hold any sampler to."""

    def __init__(self, extractor: Extractor, real: Real, setting: Setting) -> None:
        _check(real)
        self.extractor, self.real, self.setting = extractor, real, setting
        self.n = min(len(real.test_labels), len(real.train_labels), setting.max_samples)
        self.dimensions = m.usable_dimensions(self.n, extractor.dimensions)
        chosen = _choose(len(real.test_labels), self.n, setting.seed)
        self.test_pixels, self.test_labels = real.test_pixels[chosen], real.test_labels[chosen]
        self.test_features = extractor.features(self.test_pixels, self.dimensions)
        self.radii = m.neighbour_radii(self.test_features, setting.neighbours)
        self.floor = self._floor()
        self.cas_real = self._accuracies(real.train_pixels, real.train_labels)
        self.agreement_real = self._agreement(self.test_pixels, self.test_labels)

    @property
    def reference_hash(self) -> str:
        """Hex sha256 of the test images and labels that everything is compared with, in order."""
        whole = hashlib.sha256(repr(tuple(self.test_pixels.shape)).encode())
        whole.update(self.test_pixels.numpy().tobytes())
        whole.update("\n".join(self.real.classes[index] for index in self.test_labels.tolist()).encode())
        return whole.hexdigest()

    def _floor(self) -> Floor:
        train = self.extractor.features(self.real.train_pixels, self.dimensions)
        return real_floor(
            train, self.test_features, self.real.train_labels.numpy(), self.test_labels.numpy(), neighbours=self.setting.neighbours, radii=self.radii,
            draws=self.setting.floor_draws, seed=self.setting.seed,
        )  # fmt: skip

    def _accuracies(self, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Train the extractor's kind of classifier on these images, test it on all real test rows: right or wrong."""
        recipe, setting = self.extractor.recipe, self.setting
        model = recipe.fit(pixels, labels, len(self.real.classes), setting.seed, setting.device)
        right: np.ndarray = (model.logits(self.real.test_pixels).argmax(1) == self.real.test_labels).numpy()
        return right

    def _agreement(self, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Whether the extractor sees the class that each image is meant to show."""
        wanted = [self.real.classes[index] for index in labels.tolist()]
        return np.array([seen == want for seen, want in zip(self.extractor.predict(pixels), wanted, strict=True)])

    def judge(self, sampler: Sampler) -> Judgement:
        """Hold a sampler to this yardstick.

        Density, coverage and the distance use n samples with the labels of the test rows; `cas` uses as many
        samples as there are training rows, with their labels (Ravuri & Vinyals 2019), from another seed.
        """
        samples = sampler(self.test_labels, self.setting.seed + 1)
        lessons = sampler(self.real.train_labels, self.setting.seed + 2)
        features = self.extractor.features(samples, self.dimensions)
        distance = m.frechet_distance(self.test_features, features)
        support = m.density_coverage(self.test_features, features, self.setting.neighbours, self.radii)
        right = self._accuracies(lessons, self.real.train_labels)
        metrics = self._metrics(distance, support, float(right.mean()))
        agreement = self._agreement(samples, self.test_labels)
        return Judgement(metrics, self._per_class(support, right, agreement), samples, self.test_labels)

    def _metrics(self, distance: float, support: m.Support, cas: float) -> dict[str, float]:
        floor = self.floor
        return {
            m.FD: distance,
            m.FD_FLOOR: floor.fd,
            m.FD_FLOOR_STD: floor.fd_std,
            m.FD_OVER_FLOOR: distance / max(floor.fd, 1e-12),
            m.FD_REAL: floor.fd,
            m.FD_DIMENSIONS: self.dimensions,
            m.COVERAGE: support.coverage,
            m.COVERAGE_REAL: floor.coverage,
            m.DENSITY: support.density,
            m.DENSITY_REAL: floor.density,
            m.CAS: cas,
            m.CAS_REAL: float(self.cas_real.mean()),
            m.N: self.n,
        }

    def _per_class(self, support: m.Support, right: np.ndarray, agreement: np.ndarray) -> list[dict[str, float | str]]:
        """One line per class with test rows: how much of it is covered, learnt from samples, and recognised."""
        lines: list[dict[str, float | str]] = []
        chosen, whole = self.test_labels.numpy(), self.real.test_labels.numpy()
        for index, name in enumerate(self.real.classes):
            if not (chosen == index).any():
                continue
            lines.append(
                {
                    "label": name,
                    "test_rows": int((whole == index).sum()),
                    m.COVERAGE: float(support.covered[chosen == index].mean()),
                    m.CAS: float(right[whole == index].mean()),
                    m.CAS_REAL: float(self.cas_real[whole == index].mean()),
                    "agreement": float(agreement[chosen == index].mean()),
                    "agreement_real": float(self.agreement_real[chosen == index].mean()),
                }
            )
        return lines


def _choose(rows: int, n: int, seed: int) -> torch.Tensor:
    """n of `rows` positions, seeded, in order."""
    return torch.from_numpy(np.sort(np.random.default_rng(seed).choice(rows, size=n, replace=False)))


def _check(real: Real) -> None:
    for name, labels in (("train", real.train_labels), ("test", real.test_labels)):
        if len(labels) == 0:
            raise DataError(f"no {name} image of the classes {', '.join(real.classes)} is left to compare with")
