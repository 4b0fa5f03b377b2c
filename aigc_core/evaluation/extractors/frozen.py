"""Two instruments that learn nothing: fixed random convolutions, and principal components of pixels.

They are alarms: an untrained network and plain pixels rank models wrongly often enough that neither decides alone, but
where they contradict the domain extractor by much, somebody should look. Only where no network that learnt from the data puts
known damages in order do the two together judge (fixed.py). What they take from the reference rows is a frame (mean,
principal axes, one scale), so that their numbers have a scale and few dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load, save

from aigc_core.errors import DataError
from aigc_core.evaluation.batches import batch_images, in_batches
from aigc_core.evaluation.extractors.base import Entry, Features, Place, instruments, to_colour
from aigc_core.evaluation.statistics import principal_axes
from aigc_core.files import atomic_file, sha256_file

RANDOM_CONV, PIXEL_PCA = "random_conv", "pixel_pca"
#: The convolutions' weights are drawn from this seed in every project.
WEIGHT_SEED = 20_240_229
WIDTHS = (32, 64, 128)
#: Axes that are kept; a comparison of n images uses n / 10 of them at most.
KEPT = 64
#: Pixels are averaged down to this side first, so that the covariance stays small (px).
PIXEL_SIDE = 16
#: Rows that are summed or projected at once; another number would move last digits, and with them the frame's hash.
SUMMED = 512

Raw = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Framed:
    """A fixed function of pixels, read in the principal axes of the reference rows, divided by their spread."""

    raw: Raw  # uint8 (n, C, S, S) to (n, F)
    mean: torch.Tensor  # (F,) float64
    axes: torch.Tensor  # (F, D) float64, orthonormal columns by falling variance of the reference
    scale: float  # root mean square of the centred reference features along the axes
    hash: str = ""

    @property
    def dimensions(self) -> int:
        """D."""
        return self.axes.shape[1]

    def features(self, pixels: torch.Tensor, dimensions: int | None = None) -> Features:
        """Features (N, d) float64 of uint8 pixels. Raises DataError for another image size than the reference's."""
        columns = self.axes[:, : dimensions or self.dimensions]

        def embed(batch: torch.Tensor) -> torch.Tensor:
            found = in_batches(batch, self.raw, batch_images(batch.shape[-1]), "cpu").double()
            if found.shape[1] != len(self.mean):
                raise DataError(
                    f"the frame was fitted on images with {len(self.mean)} numbers and these have {found.shape[1]}: "
                    "run `aigc extractor` on this data"
                )
            return (found - self.mean) @ columns / self.scale

        found: Features = in_batches(pixels, embed, SUMMED, "cpu").numpy()
        return found


def random_convolutions(seed: int = WEIGHT_SEED) -> Raw:
    """Three convolutions with fixed random weights; mean and spread of every channel of every layer: F = 448."""
    chance = torch.Generator().manual_seed(seed)
    layers, before = [], 3
    for width in WIDTHS:
        # Drawn in He's spread, so that the signal neither dies nor grows on its way.
        layers.append(torch.randn((width, before, 3, 3), generator=chance) * (2 / (9 * before)) ** 0.5)
        before = width

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        found = to_colour(pixels).float() / 127.5 - 1
        parts = []
        for index, weight in enumerate(layers):
            found = F.relu(F.conv2d(found, weight, stride=2 if index else 1, padding=1))
            parts += [found.mean((2, 3)), found.std((2, 3), correction=0)]
        return torch.cat(parts, 1)

    return embed


def small_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels in [0, 1], averaged down to at most 16 px a side, as one row per image."""
    side = min(PIXEL_SIDE, pixels.shape[-1])
    return F.adaptive_avg_pool2d(pixels.float() / 255, side).flatten(1)


RAW: dict[str, Callable[[], Raw]] = {RANDOM_CONV: random_convolutions, PIXEL_PCA: lambda: small_pixels}


def fit_frame(name: str, reference: torch.Tensor) -> Framed:
    """Fit the frame of `name` on uint8 reference pixels (N, C, S, S), in one pass per moment and bounded memory."""
    raw = RAW[name]()
    parts = [reference[start : start + SUMMED] for start in range(0, len(reference), SUMMED)]
    mean = torch.stack([raw(part).double().sum(0) for part in parts]).sum(0) / len(reference)
    spread = torch.zeros((len(mean), len(mean)), dtype=torch.float64)
    for part in parts:
        centred = raw(part).double() - mean
        spread += centred.T @ centred
    values, axes = principal_axes(spread / max(len(reference) - 1, 1))
    scale = float(values[:KEPT].clamp(min=0).mean().sqrt())
    return Framed(raw, mean, axes[:, :KEPT].contiguous(), max(scale, 1e-12))


def save_frame(frame: Framed, name: str, folder: Path) -> str:
    """Write `folder`/name.safetensors; returns the hash."""
    with atomic_file(folder / f"{name}.safetensors") as scratch:
        scratch.write_bytes(save(frame_tensors(frame)))
    return sha256_file(folder / f"{name}.safetensors")


def frame_tensors(frame: Framed) -> dict[str, torch.Tensor]:
    """What a frame is stored as: its numbers, and a probe that stands for its function."""
    scale = torch.tensor(frame.scale, dtype=torch.float64)
    return {"mean": frame.mean, "axes": frame.axes, "scale": scale, "probe": _probe(frame.raw)}


def frame_of(name: str, tensors: Mapping[str, torch.Tensor]) -> Framed:
    """The frame of `name` from what `frame_tensors` gave. Raises DataError where its function has become another one."""
    raw = RAW[name]()
    if "probe" not in tensors or not torch.equal(tensors["probe"], _probe(raw)):
        raise DataError(f"the frame was fitted with another version of {name}: run `aigc extractor` again")
    return Framed(raw, tensors["mean"], tensors["axes"], float(tensors["scale"]))


def _probe(raw: Raw) -> torch.Tensor:
    """What the function makes of one fixed picture: puts the function itself, not only its frame, into the hash."""
    ramp = (torch.arange(3 * 16 * 16) * 7 % 256).to(torch.uint8).reshape(1, 3, 16, 16)
    # Rounded, because the last bits of a convolution differ between processors and the hash should not.
    return raw(ramp).mul(256).round().to(torch.int32)


def open_frame(name: str, place: Place) -> Framed:
    """Read a fitted frame. Raises DataError where the extractor stage has not written it."""
    path = place.folder / f"{name}.safetensors"
    if not path.exists():
        raise DataError(f"{place.folder.name}/{path.name} is missing: run `aigc extractor` first")
    return replace(frame_of(name, load(path.read_bytes())), hash=sha256_file(path))


instruments.register(RANDOM_CONV)(Entry(lambda place: open_frame(RANDOM_CONV, place)))
instruments.register(PIXEL_PCA)(Entry(lambda place: open_frame(PIXEL_PCA, place)))
