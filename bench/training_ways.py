"""The ways to train that bench/training.py compares: the same networks and losses, other loops around them.

A way is a function (steps) -> images per second of the last `steps` steps; what comes before warms it up.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

from aigc_core.config import Config, parse
from aigc_core.data.loader import ImageSet
from aigc_core.models.gan import Gan
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import build, to_unit
from aigc_core.tracking import Tracker
from aigc_core.training import steps as families
from aigc_core.training.loop import Schedule, fit
from aigc_core.training.session import spec_of

WORKERS = 2
WARM = 20  # steps before the clock starts
BATCH = {"gan": 64, "vae": 128}

Step = Callable[[torch.Tensor, torch.Tensor], None]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def settings(family: str) -> Config:
    """A DCGAN of 16 channels without gradient penalty, or the VAE of params.yaml with its MLP at 28 px."""
    networks: dict[str, Any] = {
        "gan": {"latent": 100, "conv_width": 16, "architecture": "dcgan"},
        "vae": {"architecture": "mlp"},
    }
    gan = {"conv_r1": 0.0, "mlp_r1": 0.0, "learning_rate": 0.0002, "beta1": 0.5, "beta2": 0.999}
    return parse({"train": {"batch_size": BATCH[family], "network": networks[family], "gan": gan}})


def network(family: str, data: ImageSet) -> nn.Module:
    """The networks that all ways train, freshly drawn."""
    return build(spec_of(settings(family), family, {"size": 28, "channels": 1}, data.classes), seed=0)


# -- ours ------------------------------------------------------------------------------------------------------


class Clock(Tracker):
    """Notes when the loop says that it has taken so many steps."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:  # noqa: ARG002
        """Look at the clock."""
        self.marks.append((step, time.perf_counter()))


def ours(family: str, data: ImageSet, steps: int) -> float:
    """The loop of the product, with its guard, curve and progress."""
    config, clock = settings(family), Clock()
    spec = spec_of(config, family, {"size": 28, "channels": 1}, data.classes)
    trainer = families.build(spec, config.train, torch.device("cpu"), seed=0)
    never = WARM + steps + 1
    schedule = Schedule(WARM + steps, BATCH[family], WARM, never, never, seed=0)
    fit(trainer, data, schedule, clock, Path("no-checkpoint"), lambda _: None, quiet=False)
    (first, began), (last, ended) = clock.marks[0], clock.marks[-1]
    return BATCH[family] * (last - first) / (ended - began)


# -- steps by hand ---------------------------------------------------------------------------------------------


def vae_loss(model: Vae, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The bound with a Gaussian of one spread, as one writes it; images in [-1, 1]."""
    mean, log_variance = model.encoder(images, labels)
    decoded = model.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean), labels)
    log_spread = model.decoder.bounded_log_spread()
    residual = (images - decoded) * torch.exp(-log_spread)
    nll = (0.5 * residual.square() + log_spread + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1).mean()
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return nll + kl


def plain_vae(data: ImageSet, *, fused: bool) -> Step:
    """A VAE's step; `fused` is the one trick that there is."""
    model = network("vae", data)
    assert isinstance(model, Vae)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=fused or None)

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        vae_loss(model, images, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def stock_gan(data: ImageSet) -> Step:
    """The step of the classic DCGAN example: binary cross-entropy, one pass of the generator, gradients everywhere."""
    model = network("gan", data)
    assert isinstance(model, Gan)
    adams = [
        torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999)) for net in (model.generator, model.discriminator)
    ]

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        ones, zeros = torch.ones(len(images)), torch.zeros(len(images))
        fakes = model.generator(torch.randn(len(images), model.spec.latent), labels)
        model.discriminator.zero_grad()
        F.binary_cross_entropy_with_logits(model.discriminator(images, labels), ones).backward()
        F.binary_cross_entropy_with_logits(model.discriminator(fakes.detach(), labels), zeros).backward()
        adams[1].step()
        model.generator.zero_grad()
        F.binary_cross_entropy_with_logits(model.discriminator(fakes, labels), ones).backward()
        adams[0].step()

    return step


def bare_gan(data: ImageSet) -> Step:
    """The step of the product by hand: fused Adam, channels last, the discriminator frozen in the generator's pass, EMA."""
    model, average = (network("gan", data).to(memory_format=torch.channels_last) for _ in range(2))  # type: ignore[call-overload]
    assert isinstance(model, Gan)
    assert isinstance(average, Gan)
    one, two = model.generator, model.discriminator
    adams = [torch.optim.Adam(net.parameters(), 2e-4, betas=(0.5, 0.999), fused=True) for net in (one, two)]
    mine, theirs = list(average.generator.parameters()), list(one.parameters())

    def step(images: torch.Tensor, labels: torch.Tensor) -> None:
        fakes = one(torch.randn(len(images), model.spec.latent), labels)
        adams[1].zero_grad()
        loss = F.softplus(-two(images, labels)).mean() + F.softplus(two(fakes.detach(), labels)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        adams[1].step()
        two.requires_grad_(False)
        adams[0].zero_grad()
        F.softplus(-two(fakes, labels)).mean().backward()
        adams[0].step()
        two.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(mine, theirs, 0.001)

    return step


# -- where batches come from -----------------------------------------------------------------------------------


def resident(data: ImageSet, batch: int) -> Batches:
    """Batches by index from one tensor of bytes."""
    while True:
        order = torch.randperm(len(data))
        for start in range(0, len(data) - batch + 1, batch):
            index = order[start : start + batch]
            yield to_unit(data.pixels.index_select(0, index)), data.labels[index]


def transformed(folder: Path, batch: int) -> Batches:
    """Batches as most examples make them: every image through two transforms, in workers that live on."""
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    rows = datasets.MNIST(str(folder), train=True, download=False, transform=change)
    stock = DataLoader(rows, batch, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True)
    while True:
        yield from stock


def tensors(data: ImageSet, batch: int) -> Batches:
    """Batches from a DataLoader over float tensors that were made once: nothing is decoded or transformed."""
    loader = DataLoader(TensorDataset(to_unit(data.pixels), data.labels), batch, shuffle=True, drop_last=True)
    while True:
        yield from loader


def timed(step: Step, batches: Batches, batch: int) -> Callable[[int], float]:
    """The way that takes `step` on what `batches` gives."""

    def way(steps: int) -> float:
        for _ in range(WARM):
            step(*next(batches))
        began = time.perf_counter()
        for _ in range(steps):
            step(*next(batches))
        return batch * steps / (time.perf_counter() - began)

    return way


# -- pythae ----------------------------------------------------------------------------------------------------


def pythae(data: ImageSet, folder: Path) -> Callable[[int], float] | None:
    """pythae's trainer around the same VAE and loss, with its own data set and defaults; none where it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import BaseAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
        from pythae.trainers.training_callbacks import TrainingCallback
    except ImportError:
        return None
    logging.disable(logging.INFO)

    class Same(nn.Module):
        """What its trainer asks of a model."""

        model_name, model_config = "VAE", BaseAEConfig(input_dim=(1, 28, 28), latent_dim=64)

        def __init__(self) -> None:
            super().__init__()
            self.inner = network("vae", data)

        def forward(self, inputs: Any, **_: object) -> Any:
            """The loss of its rows."""
            return ModelOutput(loss=vae_loss(self.inner, inputs["data"], inputs["labels"].long()))

        def update(self) -> None:
            """Called after every epoch."""

    class Marks(TrainingCallback):
        """When each step ended."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_step_end(self, *_: object, **__: object) -> None:
            """Look at the clock."""
            self.times.append(time.perf_counter())

    def way(steps: int) -> float:
        rows, marks = BATCH["vae"] * (WARM + steps), Marks()
        config = BaseTrainerConfig(
            output_dir=str(folder / "pythae"),
            per_device_train_batch_size=BATCH["vae"],
            learning_rate=1e-3,
            no_cuda=True,
        )
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            rows_of = BaseDataset(to_unit(data.pixels[:rows]), data.labels[:rows])
            trainer = BaseTrainer(Same(), rows_of, training_config=config, callbacks=[marks])
            trainer.prepare_training()
            trainer.train_step(1)
        return BATCH["vae"] * steps / (marks.times[-1] - marks.times[WARM - 1])

    return way
