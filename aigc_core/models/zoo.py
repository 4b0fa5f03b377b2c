"""The families by name, and finished models on disk.

A model folder holds model.safetensors (all networks), model.json (spec and provenance), curve.csv and samples.png.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aigc_core.errors import DataError, TrainingError
from aigc_core.files import atomic_file, read_json, sha256_file, write_json
from aigc_core.models.blocks import GenerativeModel
from aigc_core.models.flow import Flow
from aigc_core.models.gan import Gan
from aigc_core.models.spec import ModelSpec
from aigc_core.models.vae import Vae
from aigc_core.registry import Registry

families: Registry[Callable[[ModelSpec], GenerativeModel]] = Registry("model family")
families.register("flow")(Flow)
families.register("gan")(Gan)
families.register("vae")(Vae)

WEIGHTS, CARD = "model.safetensors", "model.json"


def build(spec: ModelSpec, seed: int) -> GenerativeModel:
    """A new network whose initial weights depend on the seed alone; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return families[spec.family](spec)


@dataclass(frozen=True)
class SampleModel:
    """A finished model: its spec, its card (model.json) and networks in evaluation mode."""

    spec: ModelSpec
    card: dict[str, Any]
    networks: GenerativeModel

    def sample(self, labels: torch.Tensor, seed: int, batch_size: int = 512) -> torch.Tensor:
        """(N,) labels to images (N, C, S, S), uint8 on the CPU. The same for every `batch_size`."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((len(labels), self.networks.noise_size), generator=generator)
        return render(self.networks, noise, labels, batch_size)


@torch.no_grad()
def render(networks: GenerativeModel, noise: torch.Tensor, labels: torch.Tensor, batch_size: int = 512) -> torch.Tensor:
    """(N, noise_size) noise and (N,) labels to bytes (N, C, S, S) on the CPU, `batch_size` at a time."""
    weight = next(networks.parameters())
    parts = []
    for start in range(0, len(labels), batch_size):
        stop = start + batch_size
        images = networks.generate(noise[start:stop].to(weight), labels[start:stop].to(weight.device))
        parts.append(to_bytes(images).cpu())
    if not parts:
        spec = networks.spec
        return torch.zeros((0, spec.channels, spec.size, spec.size), dtype=torch.uint8)
    return torch.cat(parts)


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] to uint8 in [0, 255]."""
    return (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 in [0, 255] to float32 in [-1, 1]."""
    return torch.div(pixels, 127.5).sub_(1)


def save_model(folder: Path, networks: GenerativeModel, facts: dict[str, Any]) -> dict[str, Any]:
    """Write weights and card into `folder`; `facts` join the spec. Returns the card.

    Raises TrainingError where the disk is full."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in networks.state_dict().items()}
    try:
        with atomic_file(folder / WEIGHTS) as scratch:
            save_file(tensors, scratch)
    except SafetensorError as error:  # no OSError, whatever went wrong underneath
        raise TrainingError(f"{WEIGHTS} cannot be written ({error}): make room and run it again") from error
    card = {**networks.spec.to_json(), **facts, "weights_sha256": sha256_file(folder / WEIGHTS)}
    write_json(folder / CARD, card)
    return card


def load_model(folder: Path, device: str = "cpu") -> SampleModel:
    """Read a model folder. Raises DataError when it is absent or its weights are not those of its card."""
    if not (folder / CARD).exists() or not (folder / WEIGHTS).exists():
        raise DataError(f"{folder}: there is no trained model yet; run `dvc repro` first")
    card = read_json(folder / CARD)
    if sha256_file(folder / WEIGHTS) != card["weights_sha256"]:
        raise DataError(f"{folder}: the weights are not those that model.json names; run the stage that made it again")
    spec = ModelSpec.from_json(card)
    networks = build(spec, seed=0)
    networks.load_state_dict(load_file(folder / WEIGHTS))
    # Double precision: products of another batch height round differently, and here that never reaches a byte.
    return SampleModel(spec, card, networks.to(device).double().eval())
