"""A 64-bit perceptual hash for many images at once, and all pairs of hashes within a few bits.

The signs of the 8x8 lowest-frequency DCT coefficients of a 32x32 luma image against their median (Zauner 2010,
section 3.2.1): brightness and compression change few bits of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from aigc_core.quality.thumbnails import SIDE, Lumas

KEPT = 8
BITS = KEPT * KEPT
#: Candidates that are compared at once.
BLOCK = 1 << 22

Hashes = npt.NDArray[np.uint64]
Pairs = npt.NDArray[np.int64]  # (M, 2), left < right

# The cosines in whole multiples of 2^-12: products and sums of integers below 2^53 are exact in float64, so no bit depends
# on the processor, and a blank image's coefficients are exactly 0.
_ANGLE = np.pi * (2 * np.arange(SIDE)[None] + 1) * np.arange(KEPT)[:, None] / (2 * SIDE)
_COSINES = np.round(np.cos(_ANGLE) * np.where(np.arange(KEPT) == 0, np.sqrt(0.5), 1.0)[:, None] * 4096)


def perceptual_hashes(thumbnails: Lumas) -> Hashes:
    """Hashes (N,) of luma thumbnails (N, 32, 32) in 0..255."""
    count = len(thumbnails)
    rows = thumbnails.reshape(-1, SIDE).astype(np.float64) @ _COSINES.T  # (N * 32, 8)
    columns = np.ascontiguousarray(rows.reshape(count, SIDE, KEPT).swapaxes(1, 2)).reshape(-1, SIDE) @ _COSINES.T
    low = columns.reshape(count, KEPT, KEPT).swapaxes(1, 2).reshape(count, BITS)
    middle = np.partition(low, (BITS // 2 - 1, BITS // 2), axis=1)[:, BITS // 2 - 1 : BITS // 2 + 1]
    bits = 2 * low > middle.sum(axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def near_pairs(hashes: Hashes, max_distance: int) -> Pairs:
    """All index pairs (i < j), sorted, whose hashes differ in at most `max_distance` bits. Exact.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012): of `max_distance` + 1 bands of bits at least one is equal in
    both hashes of such a pair, so only hashes that share a band are compared, and each pair only in the first band that
    it shares. Memory is a block of candidates and the pairs that are found; equal hashes make all their pairs, so pass
    distinct ones where there are many.
    """
    edges = [round(BITS * band / (max_distance + 1)) for band in range(max_distance + 2)]
    masks = [np.uint64(((1 << (high - low)) - 1) << low) for low, high in pairwise(edges)]
    found = []
    for number, mask in enumerate(masks):
        order = np.argsort(hashes & mask, kind="stable")
        own = hashes[order]
        for left, right in _in_buckets(own & mask):
            different = own[left] ^ own[right]
            near = np.bitwise_count(different) <= max_distance
            left, right, different = left[near], right[near], different[near]
            for earlier in masks[:number]:  # already found there
                fresh = different & earlier != 0
                left, right, different = left[fresh], right[fresh], different[fresh]
            found.append(np.sort(np.stack([order[left], order[right]], axis=1), axis=1))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _in_buckets(keys: Hashes) -> Iterator[tuple[Pairs, Pairs]]:
    """Places (left, right), left < right, of equal values in sorted `keys`, in blocks of bounded size."""
    if len(keys) < 2:
        return
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.append(starts[1:], len(keys))
    # How many places behind each one lie in its bucket: each is a run of candidates.
    behind = np.repeat(ends, ends - starts) - np.arange(len(keys)) - 1
    total = np.cumsum(behind)
    first = 0
    while first < len(keys):
        done = total[first - 1] if first else 0
        last = max(int(np.searchsorted(total, done + BLOCK, side="right")), first + 1)
        runs = behind[first:last]
        left = np.repeat(np.arange(first, last), runs)
        begin = np.repeat(np.cumsum(runs) - runs, runs)
        yield left, left + 1 + np.arange(len(left)) - begin
        first = last
