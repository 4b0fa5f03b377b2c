"""The one small classifier of all evaluation: the extractor is one, and so is every classifier behind `cas`.

Legend: N = images, C = channels, S = side in px, D = feature dimensions, K = classes. Pixels are uint8 in [0, 255].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import nn

from aigc_core.errors import ConfigError
from aigc_core.evaluation.batches import batch_images, in_batches
from aigc_core.models.perturb import pgd

#: Up to this side the network is an MLP, above it a small convolutional one (px).
MLP_SIDE = 16
MLP_WIDTH = 256
CONV_WIDTHS = (24, 48, 96)
POOLED = 2
#: The first convolution brings any side to about this many px: a step then costs about the same for every side, and
#: from 2,000 images of CIFAR-10 or MNIST nothing is lost to a first layer at full resolution (docs/log.md, 2026-11-30).
STEM_SIDE = 16
#: Steps of training where params.yaml leaves them to the side. Measured on 2,000 images each of CIFAR-10 and MNIST.
MLP_STEPS, CONV_STEPS = 800, 400
#: Noise in the classifier's own training, standard deviation on the scale [-1, 1]. On digits .3 raised the accuracy
#: on unseen images from .955 to .975, and shifting 8 px images by one lowered it to .945.
NOISE_STD = 0.3
#: Images are shifted by up to this share of the side, which is nothing below 16 px.
SHIFT_SHARE = 1 / 16


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises ConfigError for a device that this machine lacks."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("params.yaml: train.device = 'cuda' and no CUDA device is usable here: take auto or cpu")
    return torch.device(name)


class Classifier(nn.Module):
    """Pixels to D features to K logits. Layers act on one image alone (GroupNorm or none): a batch changes nothing."""

    def __init__(self, size: int, channels: int, n_classes: int, dimensions: int) -> None:
        super().__init__()
        self.body = _mlp(size, channels) if size <= MLP_SIDE else _convolutions(size, channels)
        self.channels_last = size > MLP_SIDE  # convolutions of few channels are a quarter quicker so
        if self.channels_last:
            self.to(memory_format=self.layout)
        width = MLP_WIDTH if size <= MLP_SIDE else CONV_WIDTHS[-1] * POOLED**2
        self.penultimate = nn.Linear(width, dimensions)
        self.head = nn.Linear(dimensions, n_classes)

    @property
    def layout(self) -> torch.memory_format:
        """The order of an image's numbers in memory; no attribute, because one could not be sent to another process for certain:
        it is pickled by the name of whichever module happens to hold it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of images (N, C, S, S) float in [-1, 1]; the penultimate layer before its nonlinearity."""
        features: torch.Tensor = self.penultimate(self.body(images.contiguous(memory_format=self.layout)))
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of images (N, C, S, S) float in [-1, 1]."""
        logits: torch.Tensor = self.head(F.silu(self.embed(images)))
        return logits

    def features(self, pixels: torch.Tensor, batch_size: int | None = None) -> torch.Tensor:
        """Features (N, D) float32 on the CPU, of uint8 pixels (N, C, S, S)."""
        return self._over(pixels, self.embed, batch_size)

    def logits(self, pixels: torch.Tensor, batch_size: int | None = None) -> torch.Tensor:
        """Logits (N, K) float32 on the CPU, of uint8 pixels (N, C, S, S)."""
        return self._over(pixels, self, batch_size)

    def _over(
        self, pixels: torch.Tensor, call: Callable[[torch.Tensor], torch.Tensor], batch_size: int | None
    ) -> torch.Tensor:
        step = batch_size or batch_images(pixels.shape[-1])
        return in_batches(pixels, lambda batch: call(to_float(batch)), step, self.head.weight.device)


def _mlp(size: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * size * size, MLP_WIDTH),
        nn.SiLU(),
        nn.Linear(MLP_WIDTH, MLP_WIDTH),
        nn.SiLU(),
    )


def _convolutions(size: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before, stride = channels, max(2, round(size / STEM_SIDE))
    kernel, padding = 2 * stride, stride // 2
    for width in CONV_WIDTHS:
        layers += [nn.Conv2d(before, width, kernel, stride, padding), nn.GroupNorm(8, width), nn.SiLU()]
        before, kernel, stride, padding = width, 3, 2, 1
    # Averaged down to a fixed grid, so that the network takes any side and still knows where things are.
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(POOLED), nn.Flatten())


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return pixels.float() / 127.5 - 1


def fit_classifier(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int,
    *,
    dimensions: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str = "cpu",
    perturb: float = 0.0,
    perturb_steps: int = 1,
    told: str | None = None,
) -> Classifier:
    """Train a classifier on uint8 pixels (N, C, S, S) and int64 labels (N,) in [0, K).

    AdamW with a cosine schedule to zero, cross-entropy. Images receive Gaussian noise and, from 16 px, a shift of up
    to a sixteenth of the side, because a few hundred images would otherwise be learnt by heart. All chance comes
    from one CPU generator seeded with `seed`: on a CPU the same call gives the same weights.

    `perturb` above 0 trains adversarially (Madry et al. 2018, section 2): every batch is first changed against the network
    as it is by `perturb_steps` steps within that radius, on the scale [-1, 1]; one step is the fast gradient sign method.
    `told` names the work in a progress bar; null shows none.
    """
    place = pick_device(device)
    with seeded(seed):
        model = Classifier(pixels.shape[-1], pixels.shape[1], n_classes, dimensions).to(place)
    chance = torch.Generator().manual_seed(seed)
    images, targets = pixels.to(place), labels.to(place)

    def loss() -> torch.Tensor:
        index = torch.randint(len(labels), (min(batch_size, len(labels)),), generator=chance).to(place)
        batch, truth = _augmented(to_float(images[index]), chance), targets[index]
        if perturb > 0:  # noise has left [-1, 1] already
            batch = pgd(batch, partial(label_loss, model, truth), perturb, perturb_steps, bounds=None)
        return label_loss(model, truth, batch)

    descend(model.parameters(), loss, steps, learning_rate, told)
    return model.eval().requires_grad_(False)


def label_loss(model: Classifier, labels: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of images (N, C, S, S) float in [-1, 1] with labels (N,)."""
    return F.cross_entropy(model(images), labels)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Weights made inside are drawn from `seed` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def default_steps(size: int) -> int:
    """Steps of training for images of this side (px), where nobody asked for another number."""
    return MLP_STEPS if size <= MLP_SIDE else CONV_STEPS


def descend(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[], torch.Tensor],
    steps: int,
    learning_rate: float,
    told: str | None = None,
) -> None:
    """AdamW with a cosine schedule to zero; every step asks for the loss of a fresh batch. `told` names a progress bar."""
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.01)
    for step in track(range(steps), told or "", transient=True, disable=told is None):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _augmented(images: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """A shift per image (edges repeated), and noise per pixel."""
    count, _, size, _ = images.shape
    reach = int(size * SHIFT_SHARE)
    if reach:
        offsets = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=chance) + torch.arange(size)
        rows, columns = offsets.to(images.device)
        padded = F.pad(images, (reach, reach, reach, reach), mode="replicate").permute(0, 2, 3, 1)
        which = torch.arange(count, device=images.device)[:, None, None]
        images = padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images + NOISE_STD * torch.randn(images.shape, generator=chance).to(images.device)
