"""Real images that samples may be copies of, with what is measured of how near a sample lies to them.

Legend: R = images given, T = different ones, N = samples, C = channels, S = side in px, D = C S^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from aigc_core.evaluation.alike import Gallery
from aigc_core.evaluation.neighbours import Array, Index, nearest_rows

#: How far an image is from its surroundings is the distance to this neighbour, so that a few near twins do not hide copies of it.
NEIGHBOUR = 5
#: Where more twins than that lie around it, half the distance to this one counts.
FAR_NEIGHBOUR = 20
#: An image whose pixels vary by less than this share of what is usual among the training images is one of one colour, or nearly.
PLAIN = 0.1
#: So many images at a time have their variation measured.
BLOCK = 1024


@dataclass(frozen=True)
class Answers:
    """What is known of each of N images: all relative to the training images."""

    nearest: Index  # the nearest training image, as a row of what was given
    distance: Array  # to it, root mean square over the pixels, 0 to 255
    ratio: Array  # the same distance over how far that image is from its surroundings; 0 is a copy

    def only(self, which: npt.NDArray[np.bool_]) -> Answers:
        """Those of some of the images."""
        return Answers(self.nearest[which], self.distance[which], self.ratio[which])


class Pool:
    """Real images that samples may be near to, each once, with how far each is from the training images around it.

    `training` are the rows (T, D) that say how far that is; None where this pool is made of them. Images that are not
    among `which` (R,) are left out.
    """

    def __init__(
        self, images: torch.Tensor, device: str, training: torch.Tensor | None = None, which: torch.Tensor | None = None
    ) -> None:
        rows = images.flatten(1)
        self.places, self.device = first_of_equal(rows), device
        if which is not None:
            self.places = self.places[which.numpy()[self.places]]
        self.rows = rows[torch.from_numpy(self.places)]
        self.gallery = Gallery(self.rows.view(-1, *images.shape[1:]), device)
        self.around, self.itself = (self.rows, 1) if training is None else (training, 0)
        self._gaps = np.full((len(self.rows), 2), np.nan)

    def __len__(self) -> int:
        return len(self.rows)

    def ask(self, images: torch.Tensor) -> Answers:
        """Place images (N, C, S, S) uint8 among these."""
        nearest, squared = self.gallery.nearest(images)
        distance = np.sqrt(squared)
        ratio = distance / np.maximum(self.gaps(nearest)[:, 1], np.finfo(np.float64).tiny)
        return Answers(self.places[nearest], distance / np.sqrt(self.rows.shape[1]), ratio)

    def gaps(self, wanted: Index) -> Array:
        """Distances (N, 2) of these images to the nearest training image, and to those around; each is measured once."""
        missing = np.unique(wanted[np.isnan(self._gaps[wanted, 0])])
        if len(missing):
            far = min(FAR_NEIGHBOUR, len(self.around) - self.itself)
            # Training images differ from each other, so that the nearest of all is the image itself.
            rows = self.rows[torch.from_numpy(missing)]
            found = nearest_rows(rows, self.around, far + self.itself, device=self.device)[1][:, self.itself :]
            distance = np.sqrt(found)
            around = np.maximum(distance[:, min(NEIGHBOUR, far) - 1], distance[:, far - 1] / 2)
            self._gaps[missing] = np.stack([distance[:, 0], around], 1)
        return self._gaps[wanted]

    def authentic(self, rows: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Which of the rows (N, D) are farther from the nearest of these than that one is from the others."""
        index, squared = nearest_rows(rows, self.rows, device=self.device)
        found: npt.NDArray[np.bool_] = np.sqrt(squared[:, 0]) > self.gaps(index[:, 0])[:, 0]
        return found


def first_of_equal(rows: torch.Tensor) -> Index:
    """The place of the first of each of the different rows (N, D) uint8, in the order of their values."""
    return np.unique(rows.numpy(), axis=0, return_index=True)[1].astype(np.int64)


def contrast_of(images: torch.Tensor) -> torch.Tensor:
    """How far the pixels of each image (N, C, S, S) uint8 lie from the mean of their channel: root mean square, (N,)."""
    blocks = [block.flatten(2).float().var(2, correction=0).mean(1).sqrt() for block in torch.split(images, BLOCK)]
    return torch.cat(blocks) if len(images) else torch.empty(0)
