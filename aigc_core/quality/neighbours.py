"""The most similar fingerprints, by blocked matrix products: exact, and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from aigc_core.quality.fingerprints import LENGTH, Fingerprints

ROWS = 256
COLUMNS = 4096
#: Hits that are gathered before each row forgets all but its best.
GATHERED = 1 << 21

Places = npt.NDArray[np.int64]  # (M,)
Found = tuple[Places, Places, npt.NDArray[np.float32]]  # left, right, dot product


def neighbours(
    queries: Fingerprints, own: Places, known: Fingerprints, least: float, most: int
) -> Iterator[tuple[Places, Places, int]]:
    """Places (query, known) of fingerprints with a cosine of at least `least`, at most `most` per query, in blocks,
    each with the number of queries that are done.

    Of equally similar ones the earlier wins. `own` are the places of the queries among the known, ascending; each query
    is compared with those that lie behind its own place, so that every pair is found once.
    """
    floor = np.float32(least * LENGTH**2)
    for top in range(0, len(queries), ROWS):
        block = queries[top : top + ROWS].astype(np.float32)
        places = own[top : top + ROWS]
        gathered: list[Found] = []
        size = 0
        for start in range(int(places[0]) // COLUMNS * COLUMNS, len(known), COLUMNS):
            scores = block @ known[start : start + COLUMNS].astype(np.float32).T
            hits = np.flatnonzero(scores >= floor)
            left, right = np.divmod(hits, scores.shape[1])
            values, right = scores.ravel()[hits], right + start
            behind = right > places[left]
            gathered.append((left[behind], right[behind], values[behind]))
            size += len(gathered[-1][0])
            if size > GATHERED:
                gathered = [_best(gathered, most)]
                size = len(gathered[0][0])
        left, right, _ = _best(gathered, most)
        yield left + top, right, min(top + ROWS, len(queries))


def _best(gathered: list[Found], most: int) -> Found:
    """The `most` highest of each row, by row and falling score."""
    left, right, values = (np.concatenate(parts) for parts in zip(*gathered, strict=True))
    order = np.lexsort((right, -values, left))
    left, right, values = left[order], right[order], values[order]
    begin = np.searchsorted(left, left, side="left")
    keep = np.arange(len(left)) - begin < most
    return left[keep], right[keep], values[keep]
