"""Pairs of rows that look alike: candidates by fingerprint, confirmed on their small pictures. Nothing is judged here.

Equal pixels are found by their hash. For the rest a 64-bit hash is not enough on small images (moving a digit by one pixel
changes a fifth of its bits): see fingerprints.py for what finds candidates and alignment.py for what confirms them. Two
transparent pictures are as similar as on the backdrop where they differ most; an opaque one is compared with a transparent
one on every backdrop, and the best counts, because it may have been laid over any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aigc_core.quality import colours
from aigc_core.quality.alignment import MOST as HIGHEST
from aigc_core.quality.alignment import similarity
from aigc_core.quality.fingerprints import (
    DIMENSIONS,
    EITHER,
    FLAT,
    LEAST_STD,
    SPREAD,
    Fingerprints,
    Kinds,
    fingerprints,
    is_native,
)
from aigc_core.quality.neighbours import ROWS, neighbours
from aigc_core.quality.planes import BACKDROPS, Lumas, over
from aigc_core.quality.small import VIEWS, Small, large_size
from aigc_core.quality.thumbnails import SIDE, resized, thumbnails
from aigc_core.quality.transforms import SAME, Transform, chosen
from aigc_core.quality.workers import threaded_map
from aigc_core.records import PAIR_SCHEMA

#: Pairs below this similarity are not stored; a threshold above it needs no image again.
FLOOR = 0.9
#: Large pictures whose canvases are less similar than this are not compared at their own scale.
LEAST_SMALL = 0.85
#: How much more contrast one of two copies may have.
CONTRAST = 1.4
#: Shorter side (px) from which colours are compared in fine cells.
FINE_SIDE = 50
#: Candidates per view and transform.
MOST = 8
#: Least cosine of fingerprints of candidates: floating figures are centred and come closer than other pictures.
LEAST_FLOATING = 0.96
LEAST = 0.6
#: Pictures that are looked at together: what is in between stays in the cache.
TOGETHER = 128
LARGE_TOGETHER = 32
#: In place of a view: both pictures are transparent, and every backdrop counts.
EVERY = -1

Places = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Advance = Callable[[int], None]


class _Pictures:
    """The small pictures of the rows that are compared, read block by block, and their views: `owner` (E,) is the place of a
    view's row, `view` (E,) its number."""

    def __init__(self, small: Small, rows: Places, heights: Places, widths: Places) -> None:
        self.small, self.rows = small, rows
        sizes = np.stack([heights, widths], axis=1)
        #: Size (px) of what canvas and larger picture hold, by row; of a thumbnail it is 32, of what is not there 0.
        self.sizes = np.where(is_native(heights, widths)[:, None], sizes, SIDE)
        kinds, own = np.unique(sizes, axis=0, return_inverse=True)
        large = np.array([large_size(*kind) or (0, 0) for kind in kinds.tolist()], np.int64).reshape(-1, 2)
        self.large_sizes = large[own.ravel()]
        self.alpha = small.alpha[rows]
        views = np.where(self.alpha, VIEWS, 1)
        self.owner = np.repeat(np.arange(len(rows)), views)
        self.view = np.arange(len(self.owner)) - np.repeat(np.cumsum(views) - views, views)

    def take(self, places: Places, size: tuple[int, int], view: int, large: bool = False) -> Lumas:
        """Pictures (M, H, W) of places that have one size, all transparent or none, on the backdrop of a view."""
        height, width = size
        rows = self.rows[places]
        lumas, alphas = (
            (self.small.large, self.small.large_alphas) if large else (self.small.canvases, self.small.alphas)
        )
        found = lumas[rows][:, :height, :width]
        if len(places) and self.alpha[places[0]]:
            return over(found, alphas[rows][:, :height, :width], BACKDROPS[view])
        return found


def _groups(*keys: npt.NDArray[Any]) -> Iterator[tuple[Places, list[int]]]:
    """Where the rows of the keys, (M,) or (M, n) each, are equal, with these keys."""
    table = np.column_stack(keys)
    kinds, own = np.unique(table, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds.tolist()):
        yield np.flatnonzero(own.ravel() == number), kind


def find_pairs(facts: pa.Table, small: Small, kinds: Sequence[str], advance: Advance, workers: int = 1) -> pa.Table:
    """Pairs (PAIR_SCHEMA, by a and b) with a similarity of at least FLOOR.

    `facts` are rows by id with id, content_hash, width and height; row i is row i of `small`. `kinds` names the
    transforms (flip, rotate, crop) that are tried beside the picture itself. Of rows with equal pixels the first is
    compared with others, and each further one makes a pair of similarity 1 with it. `advance` is told how many rows are
    done, `len(chosen(kinds))` times the rows in the end. `workers` is the number of threads: nearly all of the time numpy
    computes without Python's lock. Memory: 400 bytes a row beside `small`.
    """
    rows, copies = _by_content(facts["content_hash"])
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
) -> Iterator[tuple[Places, Places, Scores]]:
    """Places (left, right) where the transformed left picture looks like the right one, with their similarity."""
    told = 0
    for figure, least in ((True, LEAST_FLOATING), (False, LEAST)):
        members, known = _seen(pictures, SAME, figure)
        asking, queries = _seen(pictures, transform, figure)
        if not len(members) or not len(asking):
            continue
        if transform.undone:  # each pair once: only with those that lie behind
            own, most = np.searchsorted(members, asking, side="right") - 1, MOST
        else:
            own, most = np.full(len(asking), -1), MOST + 1
        blocks = range(0, len(asking), ROWS)
        search = partial(_block, pictures, transform, (asking, queries, own), (members, known), (least, most))
        for top, found in zip(blocks, threaded_map(search, blocks, workers), strict=True):
            yield found
            # A picture that may float is asked for twice, and a transparent one by each view: never more than all rows.
            done = min(len(np.unique(pictures.owner[asking[top : top + ROWS]])), len(pictures.rows) - told)
            told += done
            advance(done)
    advance(len(pictures.rows) - told)


def _block(
    pictures: _Pictures,
    transform: Transform,
    queries: tuple[Places, Fingerprints, Places],
    known: tuple[Places, Fingerprints],
    bounds: tuple[float, int],
    top: int,
) -> tuple[Places, Places, Scores]:
    """`_similar` for the ROWS queries (views, fingerprints, own places among the known) from `top` on."""
    (asking, vectors, own), (members, others) = queries, known
    left, right = neighbours(vectors, own, others, *bounds, top)
    one, two, view = _candidates(pictures, asking[left], members[right])
    score = _confirm(pictures, transform, one, two, view)
    kept = score >= FLOOR
    return one[kept], two[kept], score[kept]


def _candidates(pictures: _Pictures, left: Places, right: Places) -> tuple[Places, Places, Places]:
    """Pairs of views as pairs of different rows, each once, with the view whose backdrop they are compared on."""
    one, two = pictures.owner[left], pictures.owner[right]
    both = pictures.alpha[one] & pictures.alpha[two]
    view = np.where(both, EVERY, np.maximum(pictures.view[left], pictures.view[right]))
    found = np.unique(np.stack([one, two, view], axis=1)[one != two], axis=0)
    return found[:, 0], found[:, 1], found[:, 2]


def _seen(pictures: _Pictures, transform: Transform, figure: bool) -> tuple[Places, Fingerprints]:
    """Views that are compared as floating figures, or as others, after the transform, and their fingerprints: what may float
    is compared both ways."""
    if transform is SAME:
        rows = pictures.rows[pictures.owner]
        vectors, kinds = (values[rows, pictures.view] for values in (pictures.small.fingerprints, pictures.small.kinds))
    else:
        vectors, kinds = _fingerprinted(pictures, transform, np.arange(len(pictures.owner)), True)
    wanted = kinds >= EITHER if figure else kinds <= EITHER
    places = np.flatnonzero(wanted & (kinds != FLAT))
    vectors, either = vectors[places], kinds[places] != SPREAD
    if not figure and either.any():
        vectors[either] = _fingerprinted(pictures, transform, places[either], False)[0]
    return places, vectors


def _fingerprinted(
    pictures: _Pictures, transform: Transform, views: Places, centred: bool
) -> tuple[Fingerprints, Kinds]:
    """Fingerprints and kinds of views as they look after the transform."""
    vectors, kinds = np.zeros((len(views), DIMENSIONS), np.int16), np.zeros(len(views), np.uint8)
    for top in range(0, len(views), TOGETHER):
        block = slice(top, min(top + TOGETHER, len(views)))
        own, view = pictures.owner[views[block]], pictures.view[views[block]]
        for members, (height, width, _, number) in _groups(pictures.sizes[own], pictures.alpha[own], view):
            places = own[members]
            turned = thumbnails(transform.apply(pictures.take(places, (height, width), number)))
            chroma = pictures.small.chroma[pictures.rows[places]]
            vectors[top + members], kinds[top + members] = fingerprints(turned, chroma, centred)
    return vectors, kinds


def _confirm(pictures: _Pictures, transform: Transform, left: Places, right: Places, view: Places) -> Scores:
    """Similarity (M,) of candidates on the backdrop of `view`: on their canvases, then at their own scale where those are
    smaller, and never above how well their colours agree where they do not."""
    score = _on_backdrops(pictures, transform, left, right, view, large=False)
    sides = pictures.large_sizes[:, 0]
    closer = np.flatnonzero((score >= LEAST_SMALL) & (sides[left] > 0) & (sides[right] > 0))
    score[closer] = _on_backdrops(pictures, transform, left[closer], right[closer], view[closer], large=True)
    near = np.flatnonzero(score >= FLOOR)
    one, two = (pictures.small.chroma[pictures.rows[side[near]]] for side in (left, right))
    fine = (pictures.large_sizes[left[near]].min(axis=1) >= FINE_SIDE) & (
        pictures.large_sizes[right[near]].min(axis=1) >= FINE_SIDE
    )
    agreed, same = colours.same(transform.apply(one) if transform.undone else one, two, fine, located=transform.undone)
    score[near] = np.where(same, score[near], np.minimum(agreed, score[near]))
    return np.asarray(np.round(score, 6))


def _on_backdrops(
    pictures: _Pictures, transform: Transform, left: Places, right: Places, view: Places, large: bool
) -> Scores:
    """Similarity (M,) on the backdrop of each pair's view; of EVERY the lower one over black and over white."""
    score = np.ones(len(left))
    every = view == EVERY
    for number in range(VIEWS):
        wanted = np.flatnonzero((view == number) | (every & (number < 2)))
        found = _on_backdrop(pictures, transform, left[wanted], right[wanted], number, large)
        score[wanted] = np.minimum(score[wanted], found)
    return score


def _on_backdrop(
    pictures: _Pictures, transform: Transform, left: Places, right: Places, view: int, large: bool
) -> Scores:
    """Similarity (M,) of pairs on one backdrop. Pictures of different sizes are compared as thumbnails, or large ones at the
    smaller size; two that show nothing there do not differ."""
    score = np.empty(len(left))
    sizes, together = (pictures.large_sizes, LARGE_TOGETHER) if large else (pictures.sizes, TOGETHER)
    for top in range(0, len(left), together):
        a, b = left[top : top + together], right[top : top + together]
        for members, key in _groups(sizes[a], sizes[b], pictures.alpha[a], pictures.alpha[b]):
            one = transform.apply(pictures.take(a[members], (key[0], key[1]), view, large))
            two = pictures.take(b[members], (key[2], key[3]), view, large)
            one, two = _of_one_size(one, two, large)
            score[top + members] = np.where(_contrasted(one, two), similarity(one, two), 0)
            score[top + members[_nothing(one) & _nothing(two)]] = HIGHEST
    return score


def _of_one_size(one: Lumas, two: Lumas, large: bool) -> tuple[Lumas, Lumas]:
    if one.shape == two.shape:
        return one, two
    if not large:
        return thumbnails(one), thumbnails(two)
    height, width = (min(sides) for sides in zip(one.shape[1:], two.shape[1:], strict=True))
    return resized(one, height, width), resized(two, height, width)


def _nothing(lumas: Lumas) -> npt.NDArray[np.bool_]:
    return np.asarray(lumas.std(axis=(1, 2)) < LEAST_STD)


def _contrasted(one: Lumas, two: Lumas) -> npt.NDArray[np.bool_]:
    """Whether pairs show something, with about as much contrast: a dark and a light thing of one shape are two things."""
    spread = np.sort([lumas.std(axis=(1, 2)) for lumas in (one, two)], axis=0)
    return np.asarray((spread[0] >= LEAST_STD) & (spread[1] <= CONTRAST * spread[0]))
