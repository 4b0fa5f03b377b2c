"""Chance that is keyed by what it is for, never by a position: nothing has to be remembered to go on or to leave a row out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch


def mix(seed: int, number: int, purpose: int) -> int:
    """A 63-bit seed for one purpose; odd multipliers of splitmix64 keep neighbouring numbers apart."""
    return (seed * 0x9E3779B97F4A7C15 + number * 0xBF58476D1CE4E5B9 + purpose * 0x94D049BB133111EB) % (2**63)


class Batches:
    """Row indices by step: every epoch is a permutation keyed by (seed, epoch); its incomplete last batch is dropped.

    Where not all rows are learnt from, `places` (rows,) int64 are those that are.
    """

    def __init__(self, rows: int, size: int, seed: int, places: torch.Tensor | None = None) -> None:
        self.rows, self.size, self.seed, self.places = rows, size, seed, places
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def at(self, step: int) -> torch.Tensor:
        """Indices (size,) int64 of the batch of step number `step`, the first being 0."""
        epoch, place = divmod(step, self.rows // self.size)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(mix(self.seed, epoch, 2)))
            if self.places is not None:
                self._order = self.places[self._order]
        return self._order[place * self.size : (place + 1) * self.size]


def row_keys(ids: Sequence[str]) -> torch.Tensor:
    """One int64 per row id, (N,): the row's part in every draw that is made for it."""
    hashes = (hashlib.sha256(identity.encode()).digest() for identity in ids)
    return torch.tensor([int.from_bytes(digest[:8], "big", signed=True) for digest in hashes], dtype=torch.int64)


def uniforms(keys: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """`count` numbers in [0, 1) for each of the keys (N,) int64: float32 (N, count), on their device.

    A counter-based generator (splitmix64, Steele et al. 2014, figure 17): what a key gets depends on it and the seed
    alone, whatever stands beside it.
    """
    lanes = torch.arange(1, count + 1, device=keys.device)
    state = _scrambled(keys[:, None] + _signed(seed)) + lanes * _signed(0x9E3779B97F4A7C15)
    return _shifted(_scrambled(state), 40).float() / 2**24


def _scrambled(state: torch.Tensor) -> torch.Tensor:
    state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
    return state ^ _shifted(state, 31)


def _shifted(state: torch.Tensor, bits: int) -> torch.Tensor:
    """A shift to the right that fills with zeros; torch's own repeats the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """The int64 with the lowest 64 bits of `number`."""
    return (number + 2**63) % 2**64 - 2**63
