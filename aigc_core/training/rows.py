"""The rows of a training where a step can take them by index: on the device where they fit, else where they were read to."""

from __future__ import annotations

import torch

from aigc_core.data.loader import ImageSet
from aigc_core.models.zoo import to_unit
from aigc_core.training import processes
from aigc_core.training.chance import mix, row_keys
from aigc_core.training.trainer import Batch, Losses, Trainer

#: Share of a card's free memory that the images may take; the networks need the rest.
SHARE = 0.5


class Rows:
    """Bytes, labels and keys of all rows; images that do not fit on the device stay on the host, where the loader may
    have mapped them to a file."""

    def __init__(self, data: ImageSet, device: torch.device, limit: int | None = None) -> None:
        """`limit` is the most bytes of images that may go to the device; none: half of what is free there."""
        self.device = device
        self.labels, self.keys = data.labels.to(device), row_keys(data.ids).to(device)
        most = _room(device) if limit is None else limit
        fits = most is None or data.pixels.numel() * data.pixels.element_size() <= most
        self.pixels = data.pixels.to(device) if fits else data.pixels

    def batch(self, index: torch.Tensor) -> Batch:
        """This process's part of the rows at `index` (B,) int64, which lies on the host."""
        part = processes.part(len(index))
        here = index[part].to(self.device)
        pixels = self.pixels.index_select(0, here.to(self.pixels.device))  # four times as fast as pixels[index]
        return Batch(to_unit(pixels.to(self.device)), self.labels[here], self.keys[here], part.start)


def take_step(trainer: Trainer, rows: Rows, index: torch.Tensor, seed: int, step: int) -> Losses:
    """Step number `step` (from 0) on the rows at `index`, with the chance of (seed, step)."""
    noise = torch.Generator().manual_seed(mix(seed, step, 1))
    batch = rows.batch(index)
    with processes.drawing(len(batch.labels)):
        return trainer.step(batch, noise, step)


def _room(device: torch.device) -> int | None:
    """Bytes that images may take on a card; none: the host, where they are already."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * SHARE)
