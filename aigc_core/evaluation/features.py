"""The frozen domain extractor: a small network's penultimate layer, or fixed features, scaled, rotated to principal axes, and hashed.

The network learns to tell the labels apart; without labels, or with one class, it learns to give two views of one
image the same features (evaluation/invariance.py).

Features are divided by their root mean square over the reference rows, so that distances have a scale, and then
expressed in the principal axes of the reference features. With all D axes the rotation changes no distance; where
there are too few images for D dimensions the first d axes are taken, the same for everything that is compared.

Legend: N = images, C = channels, S = side in px, D = all feature dimensions, d <= D = those in use.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save

from aigc_core.config.evaluation import Extractor as Section
from aigc_core.errors import ConfigError, DataError
from aigc_core.evaluation.classifier import Classifier, default_steps, fit_classifier
from aigc_core.evaluation.fixed import Fixed
from aigc_core.evaluation.invariance import fit_invariant
from aigc_core.evaluation.statistics import principal_axes
from aigc_core.files import atomic_file, read_json, sha256_file, write_json

WEIGHTS = "extractor.safetensors"
CARD = "extractor.json"
#: Fewer reference images than this teach nothing without labels.
MIN_UNLABELLED = 32
#: A class with fewer reference images than this is learnt by heart, and its features say nothing of other images.
MIN_PER_CLASS = 5

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained; stored with the extractor, so that `cas` is measured with the same one."""

    dimensions: int
    steps: int | None  # null: as many as the side asks for
    batch_size: int
    learning_rate: float
    perturb: float = 0.0
    perturb_steps: int = 1

    @classmethod
    def of(cls, section: Section) -> Recipe:
        """As the section `extractor` of params.yaml says."""
        return cls(**section.model_dump(exclude={"learn"}))

    def steps_at(self, size: int) -> int:
        """The number of steps for images of this side (px)."""
        return self.steps or default_steps(size)

    def fit(
        self,
        pixels: torch.Tensor,
        labels: torch.Tensor,
        n_classes: int,
        seed: int,
        device: str,
        told: str | None = None,
    ) -> Classifier:
        """A classifier of uint8 pixels (N, C, S, S) and labels (N,); `told` names a progress bar."""
        return fit_classifier(
            pixels, labels, n_classes, dimensions=self.dimensions, steps=self.steps_at(pixels.shape[-1]),
            batch_size=self.batch_size, learning_rate=self.learning_rate, seed=seed, device=device, perturb=self.perturb,
            perturb_steps=self.perturb_steps, told=told,
        )  # fmt: skip

    def stored(self) -> dict[str, Any]:
        """What the card says: adversarial training only where there was some, so that other cards stay as they were."""
        return {name: value for name, value in vars(self).items() if self.perturb > 0 or not name.startswith("perturb")}


@dataclass
class Extractor:
    """A frozen network, or fixed features, and the frame in which they are read; `classes` is empty where none were learnt."""

    model: Classifier | Fixed
    recipe: Recipe
    size: int
    channels: int
    classes: list[str]
    scale: float  # root mean square of the reference features
    axes: torch.Tensor  # (F, D) float64, orthonormal, by falling variance of the reference; F is D for a network
    hash: str = ""  # sha256 of the weights file, known once saved

    @property
    def dimensions(self) -> int:
        """D."""
        return self.axes.shape[1]

    def features(self, pixels: torch.Tensor, dimensions: int | None = None) -> Features:
        """Features (N, d) float64 of uint8 pixels (N, C, S, S); d is D unless told.

        Raises DataError where the pixels do not have the size and channels that the extractor learnt.
        """
        if tuple(pixels.shape[1:]) != (self.channels, self.size, self.size):
            raise DataError(
                f"the extractor knows {self.channels} x {self.size} x {self.size} images and was given "
                f"{' x '.join(str(side) for side in pixels.shape[1:])}: run `aigc extractor` on this data"
            )
        raw = self.model.features(pixels).double() / self.scale
        rotated: Features = (raw @ self.axes[:, : dimensions or self.dimensions]).numpy()
        return rotated

    @property
    def learnt_from(self) -> str:
        """`labels`, `views`, or `nothing`."""
        if isinstance(self.model, Fixed):
            return "nothing"
        return "labels" if self.classes else "views"

    def predict(self, pixels: torch.Tensor) -> list[str]:
        """Class name of each image. Raises DataError where the extractor learnt without labels."""
        if not self.classes or isinstance(self.model, Fixed):
            raise DataError(
                "the extractor learnt without labels and cannot name a class: give the source labels of at least two "
                "classes (class sub-folders or metadata.csv) and run `aigc extractor` again"
            )
        return [self.classes[index] for index in self.model.logits(pixels).argmax(1).tolist()]

    def right(self, pixels: torch.Tensor, labels: torch.Tensor, classes: list[str]) -> npt.NDArray[np.bool_]:
        """Whether each image is named as its label (N,), an index into `classes`, says. Raises DataError as `predict` does."""
        found: npt.NDArray[np.bool_] = np.array(self.predict(pixels)) == np.array(classes)[labels.numpy()]
        return found


def rare_classes(labels: torch.Tensor, classes: list[str]) -> dict[str, int]:
    """The classes that have too few of the rows `labels` (N,) to be learnt, with how many they have."""
    counts = Counter(labels.tolist())
    return {name: counts[index] for index, name in enumerate(classes) if counts[index] < MIN_PER_CLASS}


def labels_suffice(labels: torch.Tensor, classes: list[str]) -> bool:
    """Whether at least two classes, with at least half of the rows (N,), have rows enough to be learnt."""
    rare = rare_classes(labels, classes)
    return len(classes) - len(rare) >= 2 and 2 * sum(rare.values()) <= len(labels)


def train_extractor(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    classes: list[str],
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    told: str | None = None,
) -> Extractor:
    """Learn an extractor from the reference rows: uint8 pixels (N, C, S, S), labels (N,) indices into `classes`.

    Where `labels_suffice` says no it learns from views of the images instead, and knows no class. `told` names a
    progress bar. Raises DataError where there are too few images for that, and ConfigError where it should be trained
    adversarially.
    """
    recipe = replace(recipe, steps=recipe.steps_at(pixels.shape[-1]))  # `cas` has to be measured with as many
    if classes and labels_suffice(labels, classes):
        model, known = recipe.fit(pixels, labels, len(classes), seed, device, told), classes
    else:
        model, known = _from_views(pixels, recipe, seed, device, told), []
    return _in_frame(model.cpu(), pixels, known, recipe)


def fixed_extractor(fixed: Fixed, pixels: torch.Tensor, recipe: Recipe) -> Extractor:
    """Features that are not learnt, in the frame of the reference rows that `fixed` was fitted on: uint8 pixels (N, C, S, S)."""
    return _in_frame(fixed, pixels, [], replace(recipe, steps=recipe.steps_at(pixels.shape[-1])))


def _in_frame(model: Classifier | Fixed, pixels: torch.Tensor, known: list[str], recipe: Recipe) -> Extractor:
    raw = model.features(pixels).double()
    scale, centred = float(raw.square().mean().sqrt()), raw - raw.mean(0)
    _, axes = principal_axes(centred.T @ centred / max(len(raw) - 1, 1))
    return Extractor(
        model, recipe, pixels.shape[-1], pixels.shape[1], known, scale, axes[:, : recipe.dimensions].contiguous()
    )


def _from_views(pixels: torch.Tensor, recipe: Recipe, seed: int, device: str, told: str | None) -> Classifier:
    if len(pixels) < MIN_UNLABELLED:
        raise DataError(
            f"the reference split holds {len(pixels)} images without two classes of at least {MIN_PER_CLASS} to tell apart, "
            f"and learning from images alone needs at least {MIN_UNLABELLED}: add images, raise split.reference, or give labels "
            "(class sub-folders or metadata.csv)"
        )
    if recipe.perturb > 0:
        raise ConfigError(
            f"params.yaml: extractor.perturb = {recipe.perturb:g}, but there are no two classes whose labels a change "
            "could be against: set it to 0"
        )
    return fit_invariant(
        pixels, dimensions=recipe.dimensions, steps=recipe.steps_at(pixels.shape[-1]),
        batch_size=recipe.batch_size, learning_rate=recipe.learning_rate, seed=seed, device=device, told=told,
    )  # fmt: skip


def save_extractor(extractor: Extractor, folder: Path, facts: dict[str, Any] | None = None) -> str:
    """Write weights and card into an existing folder; returns the hash. `facts` are stored beside, unread."""
    tensors = {f"model.{name}": value.contiguous() for name, value in extractor.model.state_dict().items()}
    tensors["scale"] = torch.tensor(extractor.scale, dtype=torch.float64)
    tensors["axes"] = extractor.axes.contiguous()
    with atomic_file(folder / WEIGHTS) as scratch:
        scratch.write_bytes(save(tensors))
    extractor.hash = sha256_file(folder / WEIGHTS)
    card = {
        "hash": extractor.hash,
        "size": extractor.size,
        "channels": extractor.channels,
        "classes": extractor.classes,
        "learnt_from": extractor.learnt_from,
        "dimensions": extractor.dimensions,
        "scale": extractor.scale,
        "recipe": extractor.recipe.stored(),
        **(facts or {}),
    }
    write_json(folder / CARD, card)
    return extractor.hash


def load_extractor(folder: Path, device: str = "cpu") -> Extractor:
    """Read an extractor. Raises DataError where it is missing or its weights are not the ones its card names."""
    if not (folder / CARD).exists() or not (folder / WEIGHTS).exists():
        raise DataError(f"{folder.name}: there is no feature extractor yet; run `aigc extractor` first")
    card = read_json(folder / CARD)
    found = sha256_file(folder / WEIGHTS)
    if found != card["hash"]:
        raise DataError(
            f"{folder.name}: the weights hash to {found[:12]} and the card says {card['hash'][:12]}, so numbers would "
            "not compare; run `aigc extractor` again"
        )
    tensors = load((folder / WEIGHTS).read_bytes())
    recipe = Recipe(**card["recipe"])
    own = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    model = Fixed.of(own) if card["learnt_from"] == "nothing" else _network(card, recipe, own, device)
    scale = float(tensors["scale"])
    return Extractor(model, recipe, card["size"], card["channels"], card["classes"], scale, tensors["axes"], found)


def _network(card: dict[str, Any], recipe: Recipe, tensors: dict[str, torch.Tensor], device: str) -> Classifier:
    model = Classifier(card["size"], card["channels"], max(len(card["classes"]), 1), recipe.dimensions)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False).to(device)


__all__ = ["Extractor", "Features", "Recipe", "load_extractor", "save_extractor", "train_extractor"]
