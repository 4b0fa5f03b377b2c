"""Hashes beside imagehash, and the search for near ones: time, memory, recall. Run by quality.py."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import numpy as np
from real_data import pictures

from aigc_core.modalities import image
from aigc_core.quality.hashing import near_pairs, perceptual_hashes
from aigc_core.quality.planes import planes_of
from aigc_core.quality.thumbnails import thumbnails


def hashing(args: argparse.Namespace) -> None:
    import imagehash

    decoded = [image.decode(content).pixels for _, content in pictures(args.data, args.count)]
    ratios = []
    for _ in range(args.rounds):
        begin = time.perf_counter()
        theirs = [imagehash.phash(image.to_pil(pixels)) for pixels in decoded]
        middle = time.perf_counter()
        ours = []
        for shape in sorted({pixels.shape for pixels in decoded}):
            same = [pixels for pixels in decoded if pixels.shape == shape]
            for top in range(0, len(same), 256):
                ours.append(perceptual_hashes(thumbnails(planes_of(np.stack(same[top : top + 256])).luma)))
        end = time.perf_counter()
        ratios.append((middle - begin) / (end - middle))
        print(
            f"imagehash {len(decoded) / (middle - begin):,.0f}/s, aigc {len(decoded) / (end - middle):,.0f}/s, one process each"
        )
    print(f"aigc / imagehash.phash: median {statistics.median(ratios):.1f}")
    order = [
        place for shape in sorted({p.shape for p in decoded}) for place, p in enumerate(decoded) if p.shape == shape
    ]
    foreign = np.array(
        [int("".join("1" if bit else "0" for bit in theirs[place].hash.ravel()), 2) for place in order], np.uint64
    )
    apart = np.bitwise_count(foreign ^ np.concatenate(ours))
    print(
        f"bits that differ from imagehash's: mean {apart.mean():.2f} of 64, 95th percentile {np.percentile(apart, 95):.0f}"
    )
    for distance in args.distances:
        seconds, peak, count = _apart(_search, args.hashes, distance)
        print(f"{args.hashes:,} hashes within {distance} bits: {seconds:.1f} s, peak {peak:.2f} GiB, {count:,} pairs")
        found, true = _recall(args.recall, distance)
        print(
            f"  recall against brute force on {args.recall:,}: {found / max(true, 1):.6f} ({found:,} of {true:,} pairs)"
        )


def some_hashes(count: int) -> np.ndarray:
    """Random hashes, a tenth of them copies of others with one to six bits changed."""
    draw = np.random.default_rng(1)
    hashes = draw.integers(0, 2**64, count, dtype=np.uint64)
    tenth = count // 10
    changed = hashes[:tenth].copy()
    for number in range(6):
        flip = draw.random(tenth) < (6 - number) / 6
        changed[flip] ^= np.uint64(1) << draw.integers(0, 64, flip.sum(), dtype=np.uint64)
    hashes[-tenth:] = changed
    return hashes


def _search(count: int, distance: int) -> tuple[float, int]:
    hashes = some_hashes(count)
    begin = time.perf_counter()
    pairs = near_pairs(hashes, distance)
    return time.perf_counter() - begin, len(pairs)


def _recall(count: int, distance: int) -> tuple[int, int]:
    hashes = some_hashes(count)
    found = set(map(tuple, near_pairs(hashes, distance).tolist()))
    true = set()
    for top in range(0, count, 512):
        left, right = np.nonzero(np.bitwise_count(hashes[top : top + 512, None] ^ hashes[None]) <= distance)
        keep = left + top < right
        true |= set(zip((left[keep] + top).tolist(), right[keep].tolist(), strict=True))
    assert found <= true, "a pair that is further apart than was asked"
    return len(found & true), len(true)


def _apart(function: Callable[..., tuple[float, int]], *arguments: Any) -> tuple[float, float, int]:
    """(seconds, peak GiB, count) of a function in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_with_peak, (function, arguments))


def _with_peak(function: Callable[..., tuple[float, int]], arguments: tuple[Any, ...]) -> tuple[float, float, int]:
    seconds, count = function(*arguments)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, count
