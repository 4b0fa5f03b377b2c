"""Which images are alike although one is shifted by a pixel, mirrored, or darker: distances for the memorization gate.

The squared distance between images x and r is the least over shifts s of x by at most one pixel in each direction, with
and without a mirror, and over gains g in [0.7, 1 / 0.7]: min |s(x) - g r|^2, the pixels at the border repeated. For given s
the best gain is (s(x) . r) / |r|^2, cut to its range. Products of bytes are whole numbers that float64 holds exactly:
a copy is at distance 0, and the answers depend on no block size.

Eighteen searches of a whole pool would take eighteen times as long as one. So candidates are found first, by the cosine
between small versions of all shifts and of the pool's images; the exact distance is then taken of the candidates alone.
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

#: Candidates beyond the neighbours that are asked for.
CANDIDATES = 16
#: Least gain; the largest is one over it.
DARKEST = 0.7
#: Side of the small versions, in px: three channels of it and one number more have exact products in float32.
SMALL = 9
#: One number more of each small version, so that black images have a direction too.
OFFSET = 16
#: Images whose variants are held at once.
QUERY_ROWS = 256


class Gallery:
    """A pool of images (R, C, S, S) uint8 that others are compared with."""

    def __init__(self, images: torch.Tensor, device: str = "cpu") -> None:
        self.device = device
        self.rows = images.flatten(1)
        self.squares = torch.linalg.vecdot(self.rows.double(), self.rows.double())
        self.small = _small(images).to(device)
        self.scale = _scale(self.small)

    def __len__(self) -> int:
        return len(self.rows)

    def nearest(self, images: torch.Tensor, k: int = 1, *, own: Index | None = None) -> tuple[Index, Array]:
        """The k nearest of the pool (N, k) for images (N, C, S, S) uint8, nearest first, and their squared distances (N, k).

        `own` (N,) are the places of the images in the pool, where they are part of it: an image is not its own
        neighbour. There are fewer than k columns where the pool is smaller.
        """
        kept = min(k, len(self) - (own is not None))
        width = min(k + CANDIDATES, len(self))
        index, squared = np.empty((len(images), kept), dtype=np.int64), np.empty((len(images), kept))
        for part in _parts(len(images), QUERY_ROWS):
            variants = torch.stack(list(_variants(images[part])))
            places = self._candidates(variants, width)
            found = self._least(variants, places).numpy()
            if own is not None:
                found = np.where(places.numpy() == own[part, None], np.inf, found)
            # Of equally near ones the first of the pool comes first.
            order = np.lexsort((places.numpy(), found), axis=1)[:, :kept]
            index[part] = np.take_along_axis(places.numpy(), order, 1)
            squared[part] = np.take_along_axis(found, order, 1)
        return index, squared

    def _candidates(self, variants: torch.Tensor, width: int) -> torch.Tensor:
        """Places (N, K) of the pool that look most like any of the variants (V, N, C, S, S) of N images."""
        small = [_small(each).to(self.device) for each in variants]
        scales = [_scale(each) for each in small]
        best = torch.empty((variants.shape[1], 0), device=self.device)
        places = torch.empty((variants.shape[1], 0), dtype=torch.int64, device=self.device)
        for part in _parts(len(self), BLOCK_NUMBERS // variants.shape[1]):
            table = torch.zeros((variants.shape[1], len(self.small[part])), device=self.device)
            for each, scale in zip(small, scales, strict=True):
                torch.maximum(table, (each @ self.small[part].T).mul_(scale[:, None]), out=table)
            value, place = table.mul_(self.scale[part]).topk(min(width, table.shape[1]), dim=1)
            best, places = torch.cat([best, value], 1), torch.cat([places, place + part.start], 1)
            best, chosen = best.topk(min(width, best.shape[1]), dim=1)
            places = places.gather(1, chosen)
        return places.cpu()

    def _least(self, variants: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Squared distances (N, K) to the candidates at `places` (N, K), the least over variants and gains."""
        found = []
        for part in _parts(
            len(places), max(1, BLOCK_NUMBERS // (self.rows.shape[1] * (places.shape[1] + len(variants))))
        ):
            ours = variants[:, part].flatten(2).transpose(0, 1).double()
            own = self.squares[places[part]][:, None]
            products = ours @ self.rows[places[part]].double().transpose(1, 2)
            gains = torch.where(own > 0, products / own.clamp(min=1), 1).clamp(DARKEST, 1 / DARKEST)
            squares = torch.linalg.vecdot(ours, ours)[:, :, None]
            found.append((squares - 2 * gains * products + gains.square() * own).clamp(min=0).amin(1))
        return torch.cat(found)


def _parts(count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, count, max(step, 1)))


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
