"""One pass over encoded images: every row is measured, and looked at through what was learnt of the reference rows.

A worker process imports this file, so it needs numpy, Pillow and pyarrow alone, and a lens is small enough to travel with
every chunk of rows.

Legend: N = images, S = side in px, C = channels, D = numbers of a description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aigc_core.modalities import image
from aigc_core.quality import domain
from aigc_core.quality.descriptors import Descriptor
from aigc_core.quality.fingerprints import LEAST_STD
from aigc_core.quality.planes import over_black
from aigc_core.quality.scan import Chunk, Scanned, scan

Array = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]  # (N, S, S, C)
#: Learned checks see images of at most this side in px: what shows a class or a stranger shows there, and time is bounded.
SIDE = 32
#: Descriptions are stored in 16 bits: this many standard deviations are far inside their range.
MOST = 50


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
        """Look at images (N, S, S, C), N >= 1; `wanted` (N,) says which are described. What is flat is not: it shows
        nothing that a label could be right of."""
        which = wanted & (images.std(axis=(1, 2, 3)) > LEAST_STD)
        described = np.empty((0, self.descriptor.dimensions), np.float16)
        if which.any():
            scaled = (self.descriptor(images[which]) - self.centre) / self.spread
            described = np.clip(scaled, -MOST, MOST).astype(np.float16)
        return Seen(self.view.distances(domain.statistics(images)), which, described)


@dataclass(frozen=True)
class Sight:
    """Of one chunk: its facts and small pictures, the ids of its decodable rows, and what was seen of them."""

    scanned: Scanned
    ids: list[str]
    seen: Seen | None  # null where no row can be decoded, or nothing is learnt


@dataclass(frozen=True)
class Look:
    """The work on one chunk: measure every row, and look at it where there is a lens."""

    lens: Lens | None
    size: int  # side in px that learned checks see
    channels: int

    def __call__(self, piece: tuple[Chunk, Sequence[bool]]) -> Sight:
        """`piece` is a chunk, and which of its rows are to be described."""
        chunk, wanted = piece
        if self.lens is None:
            return Sight(scan(chunk), [], None)
        places: list[int] = []
        images: list[image.Pixels] = []

        def show(place: int, pixels: image.Pixels) -> None:
            places.append(place)
            images.append(image.fit(pixels, self.size, self.channels))

        scanned = scan(chunk, show)
        if not places:
            return Sight(scanned, [], None)
        seen = self.lens(shown(np.stack(images)), np.array([wanted[place] for place in places], np.bool_))
        return Sight(scanned, [chunk.ids[place] for place in places], seen)


def shown(images: Images) -> Images:
    """Images (N, S, S, C) as they look over black, alpha itself kept: colour that shows little says little."""
    if images.shape[3] != 4:
        return images
    return np.concatenate([over_black(images[..., :3], images[..., 3:]), images[..., 3:]], axis=3)
