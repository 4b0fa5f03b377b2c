"""Samples against held-out real images, with every number beside what real data gets.

Everything that does not depend on the model (which rows, how many, in how many dimensions, the floors, the real
classifier) is computed once, in a Yardstick, so that two models are held to the same one.

Legend: N = images, C = channels, S = side in px, K = classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation import classes as by_class
from aigc_core.evaluation import metrics as m
from aigc_core.evaluation.classifier import Classifier
from aigc_core.evaluation.features import Extractor
from aigc_core.evaluation.floors import real_floor
from aigc_core.evaluation.intervals import share_interval
from aigc_core.evaluation.memorization import STORED, Limits, Memorization, Witness
from aigc_core.evaluation.panel import Panel, Reading

#: (labels (N,) int64, seed) to uint8 pixels (N, C, S, S).
Sampler = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Real:
    """The real images of a comparison: uint8 pixels (N, C, S, S), int64 labels (N,) indices into `classes`.

    `seen` are the positions of the training rows that the model learnt from; None is all of them. Only memorization
    is judged by these alone. `decoys` (H, C, S, S) stand for images never seen in the questions about memorization, where the
    test images are not of the same origin as the training images; None is the test images, and `decoys_why` says where others
    would have been better.
    """

    classes: list[str]
    train_pixels: torch.Tensor
    train_labels: torch.Tensor
    test_pixels: torch.Tensor
    test_labels: torch.Tensor
    train_ids: list[str] = field(default_factory=list)
    seen: torch.Tensor | None = None
    decoys: torch.Tensor | None = None
    decoys_why: str = ""


@dataclass(frozen=True)
class Setting:
    """How to compare; see config.Evaluate. Without `limits` memorization is not judged, with no groups no interval is given."""

    neighbours: int
    floor_draws: int
    max_samples: int
    seed: int
    device: str = "cpu"
    jackknife_groups: int = 20
    limits: Limits | None = None


@dataclass(frozen=True)
class Judgement:
    """What one model got: flat metrics, one line per class, and the samples (N, C, S, S) with their labels (N,).

    `worst` names, by metric, the class that is served worst beside what real images of it get.
    """

    metrics: dict[str, float]
    per_class: list[dict[str, float | str]]
    samples: torch.Tensor
    labels: torch.Tensor
    worst: dict[str, str]
    memorization: Memorization | None = None


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
        self.panel = Panel(
            self.test_features, self.test_labels.numpy(), setting.neighbours, setting.seed, setting.device
        )
        train = extractor.features(real.train_pixels, self.dimensions)
        self.floor = real_floor(
            self.panel, train, real.train_labels.numpy(), draws=setting.floor_draws, seed=setting.seed
        )
        if self.conditional:
            self.taught = self._fit(real.train_pixels, real.train_labels)
            self.cas_real = _right(self.taught, real.test_pixels, real.test_labels)
            self.agreement_real = self._agreement(self.test_pixels, self.test_labels)
        self.witness = self._witness()

    @property
    def conditional(self) -> bool:
        """Whether there are classes to tell apart; with one, or without labels, nothing says what an image is of."""
        return len(self.real.classes) > 1

    @property
    def reference_hash(self) -> str:
        """Hex sha256 of the test images and labels that everything is compared with, in order."""
        whole = hashlib.sha256(repr(tuple(self.test_pixels.shape)).encode())
        whole.update(self.test_pixels.numpy().tobytes())
        whole.update("\n".join(self.real.classes[index] for index in self.test_labels.tolist()).encode())
        return whole.hexdigest()

    @property
    def seen(self) -> torch.Tensor:
        """Positions (T,) of the training rows that the model learnt from."""
        return torch.arange(len(self.real.train_labels)) if self.real.seen is None else self.real.seen

    @property
    def decoys(self) -> torch.Tensor:
        """Images (H, C, S, S) that no model has seen, for the questions about memorization."""
        return self.test_pixels if self.real.decoys is None else self.real.decoys

    def _witness(self) -> Witness | None:
        limits = self.setting.limits
        if limits is None:
            return None
        return Witness(self.real.train_pixels[self.seen], self.decoys, limits, self.setting.seed, self.setting.device)

    def _accuracies(self, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Train the extractor's kind of classifier on these images, test it on all real test rows: right or wrong."""
        return _right(self._fit(pixels, labels), self.real.test_pixels, self.real.test_labels)

    def _fit(self, pixels: torch.Tensor, labels: torch.Tensor) -> Classifier:
        setting = self.setting
        return self.extractor.recipe.fit(pixels, labels, len(self.real.classes), setting.seed, setting.device)

    def _agreement(self, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Whether the extractor sees the class that each image is meant to show.

        Where it knows no classes, a classifier says so that learnt from the real training images.
        """
        if not self.extractor.classes:
            return _right(self.taught, pixels, labels)
        return self.extractor.right(pixels, labels, self.real.classes)

    def judge(self, sampler: Sampler, *, cas: bool = True) -> Judgement:
        """Hold a sampler to this yardstick; without `cas` no classifier is trained on its samples.

        What is measured in features, and memorization, use n samples with the labels of the test rows; `cas` uses as
        many samples as there are training rows, with their labels (Ravuri & Vinyals 2019), from another seed. With fewer
        than two classes there is neither `cas` nor `agreement`, and no class is the worst.
        """
        samples = sampler(self.test_labels, self.setting.seed + 1)
        features = self.extractor.features(samples, self.dimensions)
        reading = self.panel.read(features, self.panel.labels)
        named, lines, worst = self._by_label(sampler if cas else None, samples, reading)
        memorization = self.witness.judge(samples) if self.witness else None
        metrics = {
            **self._on_features(reading, features),
            **named,
            **_remembered(memorization),
            m.FD_DIMENSIONS: self.dimensions,
            m.N: self.n,
        }
        return Judgement(metrics, lines, samples, self.test_labels, worst, memorization)

    def _on_features(self, reading: Reading, features: m.Array) -> dict[str, float]:
        """Every value with its interval and what real images get; the distance also as a multiple of its floor."""
        floor, found = self.floor, dict[str, float]()
        groups = self.setting.jackknife_groups
        intervals = self.panel.intervals(reading, features, self.panel.labels, groups) if groups else {}
        for name, value in reading.values.items():
            found |= {name: self._told(name, value), m.real(name): 1.0 if name in m.CLIPPED else floor.values[name]}
            if name in intervals:
                ends = [self._told(name, end) for end in intervals[name]]
                found[m.low(name)], found[m.high(name)] = m.within_range(name, ends[0], ends[1])
        over = found[m.FD] / max(floor.fd, 1e-12)
        return found | {m.FD_FLOOR: floor.fd, m.FD_FLOOR_STD: floor.fd_std, m.FD_OVER_FLOOR: over}

    def _told(self, name: str, value: float) -> float:
        """A value as it is told: the clipped ones as shares of good images, by what real images have."""
        if name not in m.CLIPPED:
            return value
        return self.panel.share_of_good(name, value, self.floor.values[name], self.n)

    def _by_label(
        self, sampler: Sampler | None, samples: torch.Tensor, reading: Reading
    ) -> tuple[dict[str, float], list[by_class.Line], dict[str, str]]:
        """What labels are needed for: metrics, a line per class, and the class that is served worst by metric."""
        chosen, whole = self.test_labels.numpy(), self.real.test_labels.numpy()
        table: dict[str, by_class.Columns] = {m.COVERAGE: (chosen, reading.covered, self.floor.covered)}
        if not self.conditional:
            return {}, by_class.lines(self.real.classes, whole, table), {}
        shares: dict[str, float] = {}
        if sampler is not None:
            right = self._accuracies(sampler(self.real.train_labels, self.setting.seed + 2), self.real.train_labels)
            table[m.CAS] = (whole, right, self.cas_real)
            shares |= _share(m.CAS, right, self.cas_real)
            shares[m.CAS_CHANCE] = float(np.bincount(whole).max() / len(whole))
        agreement = self._agreement(samples, self.test_labels)
        table[m.AGREEMENT] = (chosen, agreement, self.agreement_real)
        lines = by_class.lines(self.real.classes, whole, table)
        worst, gaps = by_class.worst(lines)
        gaps |= by_class.worst_by_chance(self.real.classes, lines, table, self.setting.seed)
        shares |= _share(m.AGREEMENT, agreement, self.agreement_real)
        return {**shares, **gaps}, lines, worst


def _share(name: str, found: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """A share of images with its interval, and the same share of real images."""
    value = float(found.mean())
    low, high = share_interval(value, len(found))
    return {name: value, m.real(name): float(real.mean()), m.low(name): low, m.high(name): high}


def _remembered(memorization: Memorization | None) -> dict[str, float]:
    """The gate's figures under their names in metrics.json."""
    if memorization is None:
        return {}
    return {name: memorization.figures[name] for name in STORED} | {m.MEMORIZATION_PASSED: float(memorization.passed)}


def _choose(rows: int, n: int, seed: int) -> torch.Tensor:
    """n of `rows` positions, seeded, in order."""
    return torch.from_numpy(np.sort(np.random.default_rng(seed).choice(rows, size=n, replace=False)))


def _right(model: Classifier, pixels: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Whether each image (N, C, S, S) is given its label (N,)."""
    right: np.ndarray = (model.logits(pixels).argmax(1) == labels).numpy()
    return right


def _check(real: Real) -> None:
    for name, labels in (("train", real.train_labels), ("test", real.test_labels)):
        if len(labels) == 0:
            raise DataError(
                f"no {name} image of the classes {', '.join(real.classes) or 'without label'} is left to compare with"
            )
