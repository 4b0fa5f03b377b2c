"""Where a fine-tuning starts from, and what of it may change.

`begin` gives a new trainer the weights of a finished model and holds some of them still; `settle` makes plain weights
of them again, which is what is saved. A weight that is held is a buffer of its layer: no optimizer and no
`requires_grad_` reaches it, it goes into checkpoints under its name, and a resumed training holds it again.

- `full`: every weight is trained.
- `freeze_discriminator` (FreezeD, Mo et al. 2020): the lower layers of the discriminator are held.
- `scale_shift` (Noguchi & Harada 2019): every layer of the generator keeps its weights up to one factor per output
  unit; the factors, the biases, the scales and shifts of norms and the label tables are trained, at `scale_shift_rate`
  times the learning rate: they are few and begin at 1, where a weight begins at a hundredth, and an optimizer moves all
  numbers alike. The generator is what samples are made with: the GAN's generator, the VAE's decoder, the flow's
  velocity. What only training needs (the discriminator, the encoder) is trained in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from aigc_core.errors import ConfigError, DataError
from aigc_core.models.blocks import GenerativeModel, LabelEmbedding
from aigc_core.models.zoo import SampleModel
from aigc_core.training.trainer import Trainer

#: The part of each family's model that samples are made with; what is averaged is beside it under the same name.
GENERATOR = {"gan": "generator", "vae": "decoder", "flow": "velocity"}
#: How much a model of other rows left unexplained: it is learnt anew, from where every training begins.
OF_THE_ROWS = ("decoder.log_spread",)
#: With less in common than this the two networks are not the same ones.
LEAST_SHARE = 0.5
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
NORMS = (nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Start:
    """What a training begins with: the tensors of a finished model and the names of its classes."""

    tensors: Mapping[str, torch.Tensor]
    classes: tuple[str, ...]
    mode: str = "full"
    frozen_layers: int = 0  # of the discriminator, from the image upwards; for freeze_discriminator
    scale_shift_rate: float = 1.0  # multiple of the learning rate; for scale_shift

    @classmethod
    def of(cls, model: SampleModel, **how: Any) -> Start:
        """A finished model as a start; `how` are mode, frozen_layers and scale_shift_rate."""
        return cls(model.networks.state_dict(), model.spec.classes, **how)

    def identity(self) -> dict[str, Any]:
        """What tells two starts apart, for the digest of a training."""
        sums = {name: float(tensor.double().sum()) for name, tensor in self.tensors.items()}
        return {"sums": sums, "classes": self.classes, **self.how}

    @property
    def how(self) -> dict[str, Any]:
        """The mode, and of its settings those that it goes by."""
        own = {"freeze_discriminator": ("frozen_layers",), "scale_shift": ("scale_shift_rate",)}.get(self.mode, ())
        return {"mode": self.mode, **{name: getattr(self, name) for name in own}}


def begin(trainer: Trainer, start: Start) -> dict[str, Any]:
    """Carry the tensors over, restart the average at them, and hold still what the mode says.

    Everything of equal name and shape is carried, of the label tables the rows of classes that both models know by
    name. Returns what the model's card says of it. Raises DataError where the networks are others, ConfigError for a
    mode that the family does not know.
    """
    own, tables = trainer.model.state_dict(), trainer.model.label_tensors()
    carried, rows = _fitting(trainer.model, start)
    whole, fits = (sum(own[name].numel() for name in names if name not in tables) for names in (own, carried))
    if fits < LEAST_SHARE * whole:
        raise DataError(
            f"of {whole:,} numbers only {fits:,} of the pre-trained model fit the one that is to be fine-tuned: pre-train "
            "with the same networks"
        )
    trainer.start_from(carried)
    _HOLD[start.mode](trainer, start)
    left = [name for name in tables | set(own) | set(start.tensors) if name not in carried]
    return {**start.how, "classes_carried": rows, "not_carried": sorted(left)}


def settle(trainer: Trainer) -> None:
    """Multiply the factors of `scale_shift` into the weights, in every network; nothing else changes."""
    for network in trainer.state().values():
        for module in list(network.modules()):
            if isinstance(module, WEIGHTED) and any(isinstance(part, UnitScale) for part in module.modules()):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def _fitting(model: GenerativeModel, start: Start) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors that the model can take over, by name, and the classes whose label rows are among them."""
    tables, classes = model.label_tensors(), model.spec.classes
    shared = [name for name in classes if name in start.classes]
    ours = [classes.index(name) for name in shared]
    theirs = [start.classes.index(name) for name in shared]
    found: dict[str, torch.Tensor] = {}
    for name, own in model.state_dict().items():
        given = start.tensors.get(name)
        if given is None or name in OF_THE_ROWS:
            continue
        if name not in tables:
            if given.shape == own.shape:
                found[name] = given
        elif shared and own.dim() == given.dim() == 2 and own.shape[1] == given.shape[1]:
            found[name] = own.clone()
            found[name][ours] = given[theirs].to(own)
    return found, shared if set(found) & tables else []


def _nothing(trainer: Trainer, start: Start) -> None:
    """Mode full."""
    del trainer, start


def _hold_discriminator(trainer: Trainer, start: Start) -> None:
    discriminator = getattr(trainer.model, "discriminator", None)
    family, count = trainer.model.spec.family, start.frozen_layers
    if discriminator is None:
        raise ConfigError(
            f"params.yaml: finetune.mode freezes the discriminator, which the {family} does not have: give it another, "
            "for example `mode: {gan: freeze_discriminator}`"
        )
    layers = [module for module in discriminator.modules() if isinstance(module, WEIGHTED + NORMS)]
    places = [place for place, module in enumerate(layers) if isinstance(module, WEIGHTED)]
    if count >= len(places):
        raise ConfigError(
            f"params.yaml: finetune.frozen_layers = {count}, but the discriminator has {len(places)} layers, of which the "
            "last is always trained: lower it"
        )
    gone = [weight for module in layers[: places[count]] for weight in _hold(module)]
    _exchange(trainer, dict.fromkeys(gone))


def _hold_generator(trainer: Trainer, start: Start) -> None:
    name = GENERATOR[trainer.model.spec.family]
    average = getattr(trainer.model, name)
    exchanged: dict[torch.Tensor, torch.Tensor | None] = {}
    trained: set[torch.Tensor] = set()
    for network in dict.fromkeys([average, trainer.state().get(name, average)]):
        for module in list(network.modules()):
            if isinstance(module, WEIGHTED):
                weight = module.weight
                _hold(module, "weight")
                scale = UnitScale(module, weight)
                parametrize.register_parametrization(module, "weight", scale)
                exchanged[weight] = scale.scale
            if isinstance(module, (*WEIGHTED, *NORMS, LabelEmbedding)):
                trained |= set(module.parameters(recurse=False))
    trained |= {scale for scale in exchanged.values() if scale is not None}
    _exchange(trainer, exchanged)
    _hasten(trainer, trained, start.scale_shift_rate)


#: How each mode holds weights.
_HOLD = {"full": _nothing, "freeze_discriminator": _hold_discriminator, "scale_shift": _hold_generator}


class UnitScale(nn.Module):
    """A weight that is held, times one trained factor per output unit of its layer."""

    def __init__(self, layer: nn.Module, weight: torch.Tensor) -> None:
        super().__init__()
        shape = [1] * weight.dim()
        place = 1 if isinstance(layer, TRANSPOSED) else 0
        shape[place] = weight.shape[place]
        self.scale = nn.Parameter(weight.new_ones(shape), requires_grad=weight.requires_grad)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as the layer uses it, of the same shape."""
        return weight * self.scale


def _hold(module: nn.Module, only: str | None = None) -> list[torch.Tensor]:
    """Turn the parameters of a layer, or one of them, into buffers; returns the parameters that are gone."""
    gone: list[torch.Tensor] = []
    for owner in list(module.modules()):
        for name, weight in list(owner.named_parameters(recurse=False)):
            if only is None or (owner is module and name == only):
                delattr(owner, name)
                owner.register_buffer(name, weight.detach())
                gone.append(weight)
    return gone


def _hasten(trainer: Trainer, chosen: set[torch.Tensor], factor: float) -> None:
    """Let optimizers move these parameters at `factor` times the learning rate."""
    for optimizer in trainer.optimizers.values():
        for group in list(optimizer.param_groups):
            swift = [weight for weight in group["params"] if weight in chosen]
            group["params"] = [weight for weight in group["params"] if weight not in chosen]
            if swift:
                optimizer.add_param_group({**group, "params": swift, "lr": factor * group["lr"]})
            if not group["params"]:
                optimizer.param_groups.remove(group)


def _exchange(trainer: Trainer, exchanged: Mapping[torch.Tensor, torch.Tensor | None]) -> None:
    """Put into every optimizer what stands in a held weight's place, or nothing."""
    for optimizer in trainer.optimizers.values():
        for group in optimizer.param_groups:
            now = [exchanged.get(weight, weight) for weight in group["params"]]
            group["params"] = [weight for weight in now if weight is not None]
