"""Pairs of rows that look alike: candidates by fingerprint, confirmed on their small pictures. Nothing is judged here.

Equal pixels are found by their hash. For the rest a 64-bit hash is not enough on small images (moving a digit by one pixel
changes a fifth of its bits): see fingerprints.py for what finds candidates and alignment.py for what confirms them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aigc_core.quality.alignment import similarity
from aigc_core.quality.fingerprints import (
    DIMENSIONS,
    EITHER,
    SPREAD,
    Fingerprints,
    Kinds,
    Small,
    fingerprints,
    is_native,
    unpadded,
)
from aigc_core.quality.neighbours import ROWS, neighbours
from aigc_core.quality.thumbnails import Lumas, thumbnails
from aigc_core.quality.transforms import SAME, Transform, chosen
from aigc_core.quality.workers import threaded_map
from aigc_core.records import PAIR_SCHEMA

#: Pairs below this similarity are not stored; a threshold above it needs no image again.
FLOOR = 0.9
#: Candidates per row and transform.
MOST = 8
#: Least cosine of fingerprints of candidates: floating figures are centred and come closer than other pictures.
LEAST_FLOATING = 0.96
LEAST = 0.6
#: A picture that varies less (standard deviation of the luma in [0, 1]) looks like every other such picture.
FLAT = 0.01
#: Pictures that are looked at together: what is in between stays in the cache.
TOGETHER = 128

Places = npt.NDArray[np.int64]
Advance = Callable[[int], None]


class _Pictures:
    """The small pictures of the rows that are compared, read block by block."""

    def __init__(self, small: Small, rows: Places, heights: Places, widths: Places) -> None:
        self.small, self.rows = small, rows
        native = is_native(heights, widths)
        #: Size (px) of what a canvas holds, by row; 0 for a thumbnail.
        self.sizes = np.where(native[:, None], np.stack([heights, widths], axis=1), 0)

    def groups(self, *places: Places) -> Iterator[tuple[Places, list[tuple[int, int]]]]:
        """Where in `places` (each (M,)) the pictures have the same sizes, with these sizes."""
        keys = np.concatenate([self.sizes[place] for place in places], axis=1)
        kinds, own = np.unique(keys, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds.tolist()):
            yield np.flatnonzero(own.ravel() == number), [(kind[i], kind[i + 1]) for i in range(0, len(kind), 2)]

    def take(self, places: Places, size: tuple[int, int]) -> Lumas:
        """Pictures (M, H, W) of places that have one size."""
        return unpadded(self.small.canvases[self.rows[places]], *size)


def find_pairs(facts: pa.Table, small: Small, kinds: Sequence[str], advance: Advance, workers: int = 1) -> pa.Table:
    """Pairs (PAIR_SCHEMA, by a and b) with a similarity of at least FLOOR.

    `facts` are rows by id with id, content_hash, std, width and height; row i is row i of `small`. `kinds` names the
    transforms (flip, rotate, crop) that are tried beside the picture itself. Of rows with equal pixels the first is
    compared with others, and each further one makes a pair of similarity 1 with it. `advance` is told how many rows are
    done, `len(chosen(kinds))` times the rows in the end. `workers` is the number of threads: nearly all of the time numpy
    computes without Python's lock. Memory: 400 bytes a row beside `small`.
    """
    first, copies = _by_content(facts["content_hash"])
    std = facts["std"].to_numpy()[first]
    rows = first[np.nan_to_num(std) >= FLAT]
    heights, widths = (facts[side].fill_null(0).to_numpy()[rows].astype(np.int64) for side in ("height", "width"))
    pictures = _Pictures(small, rows, heights, widths)
    names = [transform.name for transform in chosen(kinds)]
    found = [_Found(*copies, np.ones(len(copies[0])), np.zeros(len(copies[0]), np.int64))]
    for number, transform in enumerate(chosen(kinds)):
        for left, right, score in _similar(pictures, transform, advance, workers):
            a, b = np.sort([rows[left], rows[right]], axis=0)
            found.append(_Found(a, b, score, np.full(len(a), number)))
    best = _best(_Found(*(np.concatenate(column) for column in zip(*found, strict=True))))
    text = facts["id"].combine_chunks()
    transforms = pa.array(names).take(pa.array(best.transform))
    return pa.table([text.take(best.a), text.take(best.b), best.similarity, transforms], schema=PAIR_SCHEMA)


class _Found(NamedTuple):
    """Pairs of rows, a < b, their similarity, and the number of the transform."""

    a: npt.NDArray[Any]
    b: npt.NDArray[Any]
    similarity: npt.NDArray[Any]
    transform: npt.NDArray[Any]


def _best(found: _Found) -> _Found:
    """Each pair once, with its most similar transform, sorted."""
    order = np.lexsort((found.transform, -found.similarity, found.b, found.a))
    a, b = found.a[order], found.b[order]
    first = np.ones(len(a), np.bool_)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return _Found(*(column[order][first] for column in found))


def _by_content(hashes: pa.ChunkedArray) -> tuple[Places, tuple[Places, Places]]:
    """The first row of each content; then, for each further one, the first and itself. Undecodable rows are in neither."""
    codes = hashes.combine_chunks().dictionary_encode().indices
    places = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    own = codes.drop_null().to_numpy()
    _, first = np.unique(own, return_index=True)  # codes are numbered as they first occur
    further = np.ones(len(own), np.bool_)
    further[first] = False
    return places[first], (places[first][own[further]], places[further])


def _similar(
    pictures: _Pictures, transform: Transform, advance: Advance, workers: int
) -> Iterator[tuple[Places, Places, npt.NDArray[np.float64]]]:
    """Places (left, right) where the transformed left picture looks like the right one, with their similarity."""
    for figure, least in ((True, LEAST_FLOATING), (False, LEAST)):
        members, known, _ = _seen(pictures, SAME, figure)
        asking, queries, fresh = _seen(pictures, transform, figure)
        if not len(members):
            advance(int(fresh.sum()))
            continue
        if transform.undone:  # each pair once: only with those that lie behind
            own, most = np.searchsorted(members, asking, side="right") - 1, MOST
        else:
            own, most = np.full(len(asking), -1), MOST + 1
        blocks = range(0, len(asking), ROWS)
        search = partial(_block, pictures, transform, (asking, queries, own), (members, known), (least, most))
        for top, found in zip(blocks, threaded_map(search, blocks, workers), strict=True):
            yield found
            advance(int(fresh[top : top + ROWS].sum()))


def _block(
    pictures: _Pictures,
    transform: Transform,
    queries: tuple[Places, Fingerprints, Places],
    known: tuple[Places, Fingerprints],
    bounds: tuple[float, int],
    top: int,
) -> tuple[Places, Places, npt.NDArray[np.float64]]:
    """`_similar` for the ROWS queries (places, fingerprints, own places among the known) from `top` on."""
    (asking, vectors, own), (members, others) = queries, known
    left, right = neighbours(vectors, own, others, *bounds, top)
    left, right = asking[left], members[right]
    different = left != right
    left, right = left[different], right[different]
    score = _confirm(pictures, transform, left, right)
    kept = score >= FLOOR
    return left[kept], right[kept], score[kept]


def _seen(
    pictures: _Pictures, transform: Transform, figure: bool
) -> tuple[Places, Fingerprints, npt.NDArray[np.bool_]]:
    """Places of pictures that are compared as floating figures, or as others, after the transform; their fingerprints; and
    whether each is counted here: one that may float is compared both ways, and counted as a figure."""
    if transform is SAME:
        vectors, kinds = pictures.small.fingerprints[pictures.rows], pictures.small.floating[pictures.rows]
    else:
        vectors, kinds = _fingerprinted(pictures, transform, np.arange(len(pictures.rows)), True)
    places = np.flatnonzero(kinds >= EITHER if figure else kinds <= EITHER)
    vectors, fresh = vectors[places], (kinds[places] == SPREAD) | figure
    if not figure and not fresh.all():
        vectors[~fresh] = _fingerprinted(pictures, transform, places[~fresh], False)[0]
    return places, vectors, fresh


def _fingerprinted(
    pictures: _Pictures, transform: Transform, places: Places, centred: bool
) -> tuple[Fingerprints, Kinds]:
    """Fingerprints and kinds of the pictures at `places` as they look after the transform."""
    vectors, kinds = np.zeros((len(places), DIMENSIONS), np.int16), np.zeros(len(places), np.uint8)
    for top in range(0, len(places), TOGETHER):
        block = np.arange(top, min(top + TOGETHER, len(places)))
        for members, (size,) in pictures.groups(places[block]):
            turned = thumbnails(transform.apply(pictures.take(places[block[members]], size)))
            vectors[block[members]], kinds[block[members]] = fingerprints(turned, centred)
    return vectors, kinds


def _confirm(pictures: _Pictures, transform: Transform, left: Places, right: Places) -> npt.NDArray[np.float64]:
    """Similarity of candidates; pictures of different sizes are compared as thumbnails."""
    score = np.empty(len(left))
    for top in range(0, len(left), TOGETHER):
        a, b = left[top : top + TOGETHER], right[top : top + TOGETHER]
        for members, (size, other) in pictures.groups(a, b):
            one = transform.apply(pictures.take(a[members], size))
            two = pictures.take(b[members], other)
            if one.shape != two.shape or not transform.undone:
                one, two = thumbnails(one), thumbnails(two)
            score[top + members] = similarity(one, two)
    return np.round(score, 6)
