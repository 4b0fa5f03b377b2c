"""What is seen of each image once the reference rows are known: how strange it is, and a description for its label.

A worker process imports this file, so it needs numpy and Pillow alone, and a lens is small enough to travel with every
chunk of rows.

Legend: N = images, S = side in px, C = channels, D = numbers of a description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.quality import domain
from aigc_core.quality.descriptors import Descriptor
from aigc_core.quality.scan import Chunk

Array = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]  # (N, S, S, C)
#: Descriptions are stored in 16 bits: this many standard deviations are far inside their range.
MOST = 50
#: An image whose values vary less (standard deviation, grey levels) shows nothing that a label could be right of.
FLAT = 2.55


@dataclass(frozen=True)
class Seen:
    """Distances (N,) of N images, and descriptions (M, D) float16 of the M of them that `which` (N,) says, in their order."""

    distances: Array
    which: npt.NDArray[np.bool_]
    described: npt.NDArray[np.float16]


@dataclass(frozen=True)
class Lens:
    """Fitted on the reference rows: the view of pixel statistics, the filters, and their mean and spread (D,) there."""

    view: domain.View
    descriptor: Descriptor
    centre: Array
    spread: Array

    def __call__(self, images: Images, wanted: npt.NDArray[np.bool_]) -> Seen:
        """Look at images (N, S, S, C), N >= 1; `wanted` (N,) says which are described, if they are not flat."""
        which = wanted & (images.std(axis=(1, 2, 3)) > FLAT)
        described = np.empty((0, self.descriptor.dimensions), np.float16)
        if which.any():
            scaled = (self.descriptor(images[which]) - self.centre) / self.spread
            described = np.clip(scaled, -MOST, MOST).astype(np.float16)
        return Seen(self.view.distances(domain.statistics(images)), which, described)


@dataclass(frozen=True)
class Sight:
    """What a worker sends back of a chunk: the ids of its decodable rows, what was seen of them, their fitted pixels."""

    ids: list[str]
    seen: Seen | None  # null where no row can be decoded
    images: Images | None  # null unless they are asked for


@dataclass(frozen=True)
class Look:
    """The work on one chunk: fit every image to (size, size, channels) and look at it. `images` sends the pixels back."""

    lens: Lens
    size: int
    channels: int
    images: bool

    def __call__(self, piece: tuple[Chunk, Sequence[bool]]) -> Sight:
        """`piece` is a chunk, and which of its rows are to be described."""
        chunk, wanted = piece
        places, images = fitted(chunk, self.size, self.channels)
        if not places:
            return Sight([], None, None)
        pixels = np.stack(images)
        seen = self.lens(pixels, np.array([wanted[place] for place in places], np.bool_))
        return Sight([chunk.ids[place] for place in places], seen, pixels if self.images else None)


def fitted(chunk: Chunk, size: int, channels: int) -> tuple[list[int], list[image.Pixels]]:
    """Places of a chunk's decodable rows, and their images (size, size, channels); measure has written down why others are not."""
    places, images = [], []
    with image.quiet():
        for place, content in enumerate(chunk.contents):
            try:
                images.append(image.fit(image.decode_quietly(content or b"").pixels, size, channels))
            except DecodeError:
                continue
            places.append(place)
    return places, images
