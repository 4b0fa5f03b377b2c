"""How well a model does on training rows that it does not learn from, and which of its states did best.

The rows are put aside by a hash of their ids: of the training rows, so that the test rows stay unseen. The best state is
kept in memory and in every checkpoint, and at the end it is the model.

Legend: n = rows put aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch

from aigc_core.data.loader import ImageSet
from aigc_core.data.splits import unit_hash
from aigc_core.errors import DataError
from aigc_core.evaluation.distances import FrechetDistance
from aigc_core.evaluation.extractors.frozen import RANDOM_CONV, fit_frame
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.bound import importance_bound
from aigc_core.models.flow import Flow
from aigc_core.models.likelihoods import binarise
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import render, to_unit
from aigc_core.registry import Registry
from aigc_core.training import losses, processes
from aigc_core.training.chance import mix, row_keys

#: Fewer rows than this say nothing of a model.
LEAST_ROWS = 16
#: Rows per dimension of the Frechet distance: few, because it ranks states of one model on the same rows.
ROWS_PER_DIMENSION = 4
#: Images that a GAN is judged by, about; and rows that a loss is measured on at once.
SAMPLES, TOGETHER = 1000, 512
#: Images that the features' frame is fitted on, at most.
FRAMED = 5000

#: A state to its value; lower is better.
Measure = Callable[[GenerativeModel], float]
#: Rows put aside, pixels that are learnt from, and a seed, to (name of the value, measure).
measures: Registry[Callable[[ImageSet, torch.Tensor, int], tuple[str, Measure]]] = Registry("measure of validation")


def put_aside(ids: list[str], share: float, origins: Mapping[str, str]) -> torch.Tensor:
    """Which rows (N,) bool are put aside: those whose id, or whose original's, hashes below `share`.

    `origins` names the row that a row was made from, so that no copy of what is put aside is learnt from.
    """
    return torch.tensor([unit_hash(f"validation:{origins.get(identity, identity)}") < share for identity in ids])


class Validation:
    """A measure on rows put aside, every so many steps; what it said, and the best state so far."""

    def __init__(
        self,
        family: str,
        data: ImageSet,
        *,
        every: int,
        share: float,
        patience: int | None,
        seed: int,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        """Raises DataError where fewer than 16 rows would be put aside."""
        origins = origins or {}
        aside = put_aside(data.ids, share, origins)
        originals = torch.tensor([identity not in origins for identity in data.ids])
        held = data.subset((aside & originals).nonzero().flatten())
        if len(held) < LEAST_ROWS:
            raise DataError(
                f"train.validation_share = {share:g} puts {len(held)} of {len(data)} training rows aside, and a "
                f"validation needs {LEAST_ROWS}: raise it, add rows, or set train.validate_every to 0"
            )
        self.learnt = (~aside).nonzero().flatten()  # (N - n,) places of the rows that are learnt from
        self.every, self.patience, self.rows = every, patience, len(held)
        self.name, self._measure = measures[family](held, data.pixels[self.learnt[:FRAMED]], seed)
        self.points: list[dict[str, float]] = []
        self.best: dict[str, Any] | None = None  # step, value, and the tensors of the model

    def look(self, model: GenerativeModel, step: int) -> dict[str, float]:
        """Measure the model after `step` steps, and keep it where it is the best so far."""
        value = processes.from_first(lambda: self._measure(model))
        self.points.append({"step": step, self.name: value})
        if self.best is None or value < self.best["value"]:
            tensors = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
            self.best = {"step": step, "value": value, "tensors": tensors}
        return {self.name: value}

    @property
    def exhausted(self) -> bool:
        """Whether so many validations as `patience` says went by without a better one."""
        if self.patience is None or self.best is None:
            return False
        since = [point for point in self.points if point["step"] > self.best["step"]]
        return len(since) >= self.patience

    def restore(self, model: GenerativeModel) -> None:
        """Make `model` the best state that was seen."""
        if self.best is not None:
            model.load_state_dict(self.best["tensors"])

    def state(self) -> dict[str, Any]:
        """Tensors and plain numbers for a checkpoint."""
        return {"points": self.points, "best": self.best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`."""
        self.points, self.best = list(state["points"]), state["best"]


@measures.register("vae")
def bound_measure(held: ImageSet, _learnt: torch.Tensor, seed: int) -> tuple[str, Measure]:
    """-log p(x | y) in nats per image, bounded by one code per image; the codes are the same at every step."""
    images, keys = to_unit(held.pixels), row_keys(held.ids)
    binary = binarise(images, torch.Generator().manual_seed(mix(seed, 0, 6)))

    def measure(model: GenerativeModel) -> float:
        device = next(model.parameters()).device
        chosen = binary if model.spec.likelihood == "bernoulli" else images
        found = importance_bound(cast(Vae, model), chosen.to(device), held.labels.to(device), keys, 1, seed)
        return float(-found.double().mean())

    return "validation_loss", measure


@measures.register("flow")
def velocity_measure(held: ImageSet, _learnt: torch.Tensor, seed: int) -> tuple[str, Measure]:
    """The error of the averaged velocity with labels, at the same points at every step."""
    images, chance = to_unit(held.pixels), torch.Generator().manual_seed(mix(seed, 0, 6))
    start, times = torch.randn(images.shape, generator=chance), torch.rand(len(images), generator=chance)
    points, told = torch.lerp(start, images, times[:, None, None, None]), torch.ones(len(images), dtype=torch.bool)

    @torch.no_grad()
    def measure(model: GenerativeModel) -> float:
        device, total = next(model.parameters()).device, 0.0
        for at in range(0, len(images), TOGETHER):
            part = slice(at, at + TOGETHER)
            given = (tensor[part].to(device) for tensor in (points, times, held.labels, told))
            predicted = cast(Flow, model).velocity(*given).cpu()
            total += float(losses.velocity_error(predicted, start[part], images[part])) * len(predicted)
        return total / len(images)

    return "validation_loss", measure


@measures.register("gan")
def distance_measure(held: ImageSet, learnt: torch.Tensor, seed: int) -> tuple[str, Measure]:
    """Frechet distance of samples to the rows put aside, in random convolutions (evaluation/extractors/frozen.py)."""
    frame = fit_frame(RANDOM_CONV, learnt)
    dimensions = min(frame.dimensions, len(held) // ROWS_PER_DIMENSION)
    distance = FrechetDistance(frame.features(held.pixels, dimensions))
    labels = held.labels.repeat(math.ceil(SAMPLES / len(held)))

    def measure(model: GenerativeModel) -> float:
        noise = torch.randn((len(labels), model.noise_size), generator=torch.Generator().manual_seed(mix(seed, 0, 6)))
        features = frame.features(render(model, noise, labels), dimensions)
        return distance(features, least=ROWS_PER_DIMENSION)

    return "validation_fd", measure
