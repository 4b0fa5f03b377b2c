"""Which images are alike although one is shifted by a pixel, mirrored, or darker: distances for the memorization gate.

The squared distance between images x and r is the least over shifts s of x by at most one pixel in each direction, with
and without a mirror, and over gains g in [0.7, 1 / 0.7]: min |s(x) - g r|^2, the pixels at the border repeated. For given s
the best gain is (s(x) . r) / |r|^2, cut to its range. The distances that are given are exact: products of bytes are whole
numbers that float64 holds, and a copy is at distance 0, as is one whose grey levels are the same multiple.

Eighteen searches of a whole pool would take eighteen times as long as one. So candidates are found first, by the cosine
between small versions of all shifts and of the pool's images; the exact distance is then taken of the candidates alone: in float32
to find the nearest one and its best variant, and of that one exactly.
Small versions are whole numbers too, few enough for exact products in float32. Both sides of every comparison are
searched this way.

Legend: N = images asked about, R = images of the pool, C = channels, S = side in px, D = C S S, d = numbers of a small
version, K = candidates, V = 18 variants of an image: nine shifts, with and without a mirror.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from aigc_core.evaluation.neighbours import BLOCK_NUMBERS, Array, Index

#: Images of the pool that are looked at closely for each image.
CANDIDATES = 9
#: Least gain; the largest is one over it.
DARKEST = 0.7
#: Side of the small versions, in px: three channels of it and one number more have exact products in float32.
SMALL = 9
#: One number more of each small version, so that black images have a direction too.
OFFSET = 16
#: A gain is rounded: what is left of a squared distance below this share of the image's own squares is none.
ROUNDING = 16 * float(np.finfo(np.float64).eps)
#: Images whose variants are held at once.
QUERY_ROWS = 256


class Gallery:
    """A pool of images (R, C, S, S) uint8 that others are compared with."""

    def __init__(self, images: torch.Tensor, device: str = "cpu") -> None:
        self.device = device
        self.rows = images.flatten(1)
        self.squares = torch.empty(len(self.rows), dtype=torch.float64)
        for part in _parts(len(self.rows), BLOCK_NUMBERS // self.rows.shape[1]):
            block = self.rows[part].double()
            self.squares[part] = torch.linalg.vecdot(block, block)
        self.small = _small(images).to(device)
        self.scale = _scale(self.small)

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, images: torch.Tensor) -> tuple[Index, Array]:
        """The nearest of the pool (N,) for images (N, C, S, S) uint8, and its squared distance (N,)."""
        index, squared = np.empty(len(images), dtype=np.int64), np.empty(len(images))
        for part in _parts(len(images), QUERY_ROWS):
            variants = torch.stack(list(_variants(images[part])))
            places = self._candidates(variants)
            found, best = self._least(variants, places)
            # Of equally near ones the first of the pool is taken.
            chosen = torch.from_numpy(np.lexsort((places.numpy(), found.numpy()), axis=1)[:, :1])
            nearest, best = places.gather(1, chosen)[:, 0], best.gather(1, chosen)[:, 0]
            index[part], squared[part] = nearest.numpy(), self._exact(variants, best, nearest).numpy()
        return index, squared

    def _candidates(self, variants: torch.Tensor) -> torch.Tensor:
        """Places (N, K) of the pool that look most like any of the variants (V, N, C, S, S) of N images."""
        small = [_small(each).to(self.device) for each in variants]
        scales = [_scale(each) for each in small]
        best = torch.empty((variants.shape[1], 0), device=self.device)
        places = torch.empty((variants.shape[1], 0), dtype=torch.int64, device=self.device)
        for part in _parts(len(self), BLOCK_NUMBERS // variants.shape[1]):
            table = torch.zeros((variants.shape[1], len(self.small[part])), device=self.device)
            for each, scale in zip(small, scales, strict=True):
                torch.maximum(table, (each @ self.small[part].T).mul_(scale[:, None]), out=table)
            value, place = table.mul_(self.scale[part]).topk(min(CANDIDATES, table.shape[1]), dim=1)
            best, places = torch.cat([best, value], 1), torch.cat([places, place + part.start], 1)
            best, chosen = best.topk(min(CANDIDATES, best.shape[1]), dim=1)
            places = places.gather(1, chosen)
        return places.cpu()

    def _least(self, variants: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared distances (N, K) to the candidates at `places` (N, K), the least over variants and gains, and the variants.

        In float32, to choose by.
        """
        found = []
        for part in _parts(len(places), BLOCK_NUMBERS // (self.rows.shape[1] * (places.shape[1] + len(variants)))):
            ours = variants[:, part].flatten(2).transpose(0, 1).float()
            products = ours @ self.rows[places[part]].float().transpose(1, 2)
            squares = torch.linalg.vecdot(ours, ours)[:, :, None]
            found.append(_at_best_gain(squares, products, self.squares[places[part]][:, None].float()).min(1))
        return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])

    def _exact(self, variants: torch.Tensor, best: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Squared distances (N,) float64 of the variants `best` (N,) of N images to the pool's images at `places` (N,)."""
        ours = variants[best, torch.arange(len(best))].flatten(1).double()
        products, squares = (torch.linalg.vecdot(ours, other) for other in (self.rows[places].double(), ours))
        found = _at_best_gain(squares, products, self.squares[places])
        return torch.where(found > ROUNDING * squares, found, 0.0)


def _at_best_gain(ours: torch.Tensor, products: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Least squared distances over gains of the second images, from squared lengths and products."""
    gains = torch.where(theirs > 0, products / theirs.clamp(min=1), 1).clamp(DARKEST, 1 / DARKEST)
    return (ours - 2 * gains * products + gains.square() * theirs).clamp(min=0)


def _parts(count: int, step: int) -> Iterator[slice]:
    step = max(step, 1)
    return (slice(start, start + step) for start in range(0, count, step))


def _variants(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """The V images (N, C, S, S) that are mirrored or not and moved by at most a pixel, the border repeated."""
    side = images.shape[-1]
    wide = functional.pad(images.float(), (1, 1, 1, 1), mode="replicate").to(torch.uint8)
    for each in (wide, wide.flip(3)):
        for down in range(3):
            for right in range(3):
                yield each[..., down : down + side, right : right + side]


def _small(images: torch.Tensor) -> torch.Tensor:
    """Small versions (N, d) float32 of images (N, C, S, S) uint8, whole numbers; d is at most 258."""
    blocks = []
    for part in _parts(len(images), QUERY_ROWS):
        block = images[part].float()
        if images.shape[-1] > SMALL:
            block = functional.interpolate(block, size=(SMALL, SMALL), mode="area").round()
        blocks.append(functional.pad(block.flatten(1), (0, 1), value=OFFSET))
    return torch.cat(blocks)


def _scale(small: torch.Tensor) -> torch.Tensor:
    """One over the length of each small version (N,)."""
    scale: torch.Tensor = torch.linalg.vecdot(small, small).rsqrt()
    return scale
