"""Real images damaged in known ways, as samples: what the metrics are tried on. Imported by the other benches."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from aigc_core.config import Config, load
from aigc_core.data.loader import load_images
from aigc_core.data.store import Version
from aigc_core.evaluation.compare import Sampler
from aigc_core.evaluation.opinions import Images
from aigc_core.paths import Paths
from aigc_core.stages.ingest import ingest

ROOT = Path(__file__).resolve().parents[1]
#: Rows: reference for the extractor, training, test, and the pool that plays the generator.
SIZES = {"digits": (300, 400, 400, 697), "mnist": (2000, 4000, 2000, 8000)}


@dataclass(frozen=True)
class World:
    """Real images in four parts that share no row, all by class number."""

    classes: list[str]
    parts: dict[str, Images]


def load_world(data: str, folder: Path) -> World:
    """Ingest a data set without planted defects and cut it at random, by a fixed seed, into the four parts."""
    config = load(ROOT / "params.yaml")
    source = {"kind": "digits", "path": "data/raw", "limit": None}
    if data == "mnist":
        source = {"kind": "idx", "path": str(ROOT.parent / "shared/data/mnist"), "limit": sum(SIZES[data])}
    clean = dict.fromkeys(type(config.digits.plant).model_fields, 0.0)
    raw = config.model_dump() | {"source": source, "digits": {"plant": clean}}
    paths = Paths(folder)
    print(ingest(Config.model_validate(raw), paths).summary)
    version = Version.open(paths.ingested)
    image, classes = version.card.image, version.card.classes
    found = [
        load_images(version, split, size=image["size"], channels=image["channels"], classes=classes)
        for split in ("reference", "train", "test")
    ]
    pixels, labels = (torch.cat([getattr(part, name) for part in found]) for name in ("pixels", "labels"))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    cuts = (np.cumsum((0, *SIZES[data])) / sum(SIZES[data]) * len(order)).astype(int)
    parts = {
        name: Images(pixels[order[start:stop]], labels[order[start:stop]])
        for name, start, stop in zip(("reference", "train", "test", "pool"), cuts[:-1], cuts[1:], strict=True)
    }
    return World(classes, parts)


@dataclass(frozen=True)
class Batch:
    """Undamaged images (N, C, S, S) uint8 of the wanted labels (N,), and what a failure may draw from."""

    images: torch.Tensor
    labels: torch.Tensor
    chance: np.random.Generator
    world: World


#: A batch to the images (N, C, S, S) that are handed out in its place.
Failure = Callable[[Batch], torch.Tensor]


def from_pool(part: Images, labels: torch.Tensor, chance: np.random.Generator) -> torch.Tensor:
    """Images of a part with the wanted labels; without replacement as far as a class reaches."""
    own, wanted = part.labels.numpy(), labels.numpy()
    places = np.empty(len(wanted), dtype=np.int64)
    for index in np.unique(wanted):
        pool, where = np.flatnonzero(own == index), np.flatnonzero(wanted == index)
        rounds = [chance.permutation(pool) for _ in range(-(-len(where) // len(pool)))]
        places[where] = np.concatenate(rounds)[: len(where)]
    return part.pixels[torch.from_numpy(places)]


def some(count: int, share: float, chance: np.random.Generator) -> torch.Tensor:
    """A random choice of a share of positions."""
    return torch.from_numpy(np.sort(chance.permutation(count)[: round(share * count)]))


def drop_classes(batch: Batch) -> torch.Tensor:
    """Asked for one of the last three classes it gives another."""
    kept = len(batch.world.classes) - 3
    lost = (batch.labels >= kept).nonzero().flatten()
    images = batch.images.clone()
    images[lost] = from_pool(
        batch.world.parts["pool"], torch.from_numpy(batch.chance.integers(0, kept, len(lost))), batch.chance
    )
    return images


def blanks(batch: Batch) -> torch.Tensor:
    images = batch.images.clone()
    images[some(len(images), 0.1, batch.chance)] = 0
    return images


def swap_labels(batch: Batch) -> torch.Tensor:
    chosen, images = some(len(batch.images), 0.2, batch.chance), batch.images.clone()
    other = (
        batch.labels[chosen] + torch.from_numpy(batch.chance.integers(1, len(batch.world.classes), len(chosen)))
    ) % len(batch.world.classes)
    images[chosen] = from_pool(batch.world.parts["pool"], other, batch.chance)
    return images


def blur(batch: Batch) -> torch.Tensor:
    """A Gaussian of a sixteenth of the side."""
    sigma = batch.images.shape[-1] / 16
    reach = max(1, round(3 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    channels = batch.images.shape[1]
    padded = F.pad(batch.images.float(), (reach,) * 4, mode="reflect")
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels).round().clamp(0, 255).to(torch.uint8)


def noise(batch: Batch) -> torch.Tensor:
    """Standard deviation 20 of 255."""
    added = torch.from_numpy(batch.chance.normal(0, 20, tuple(batch.images.shape))).float()
    return (batch.images.float() + added).round().clamp(0, 255).to(torch.uint8)


def copies(share: float) -> Failure:
    def damage(batch: Batch) -> torch.Tensor:
        chosen, images = some(len(batch.images), share, batch.chance), batch.images.clone()
        images[chosen] = from_pool(batch.world.parts["train"], batch.labels[chosen], batch.chance)
        return images

    return damage


def collapse(batch: Batch) -> torch.Tensor:
    """Eight images per class, over and over."""
    images = batch.images.clone()
    for index in torch.unique(batch.labels).tolist():
        own = (batch.labels == index).nonzero().flatten()
        images[own] = images[own[torch.from_numpy(batch.chance.integers(0, min(8, len(own)), len(own)))]]
    return images


def wrong_resize(batch: Batch) -> torch.Tensor:
    """Down to three quarters by nearest neighbour and up again: what another resizing in preprocessing does."""
    side = batch.images.shape[-1]
    small = F.interpolate(batch.images.float(), size=round(side * 0.75), mode="nearest")
    return F.interpolate(small, size=side, mode="bilinear").round().clamp(0, 255).to(torch.uint8)


def jpeg(batch: Batch) -> torch.Tensor:
    """Quality 30."""
    found = []
    for picture in batch.images.permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(buffer, "JPEG", quality=30)
        read = np.array(Image.open(buffer))
        found.append(read[..., None] if read.ndim == 2 else read)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


FAILURES: dict[str, Failure] = {
    "3 classes dropped": drop_classes,
    "10 % blanks": blanks,
    "20 % labels swapped": swap_labels,
    "blur": blur,
    "noise": noise,
    "20 % copies": copies(0.2),
    "all copies": copies(1.0),
    "collapse inside classes": collapse,
    "wrong resize": wrong_resize,
    "JPEG": jpeg,
}


def sampler_of(world: World, failure: Failure | None, draw: int) -> Sampler:
    """Real images of the pool, damaged; the draw and the yardstick's seed decide which."""

    def sample(labels: torch.Tensor, seed: int) -> torch.Tensor:
        chance = np.random.default_rng([draw, seed])
        images = from_pool(world.parts["pool"], labels, chance)
        return images if failure is None else failure(Batch(images, labels, chance, world))

    return sample
