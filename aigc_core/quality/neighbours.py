"""The most similar fingerprints, by blocked matrix products: exact, and in bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aigc_core.quality.fingerprints import LENGTH, Fingerprints

#: Sizes of a block: its products stay in the cache.
ROWS = 512
COLUMNS = 512
#: Hits that are gathered before each row forgets all but its best.
GATHERED = 1 << 21

Places = npt.NDArray[np.int64]  # (M,)
Found = tuple[Places, Places, npt.NDArray[np.float32]]  # left, right, dot product


def neighbours(
    queries: Fingerprints, own: Places, known: Fingerprints, least: float, most: int, top: int
) -> tuple[Places, Places]:
    """Places (query, known) of fingerprints with a cosine of at least `least`, at most `most` per query, for the ROWS queries
    from `top` on.

    Of equally similar ones the earlier wins. `own` are the places of the queries among the known, ascending; each query
    is compared with those that lie behind its own place, so that every pair is found once.
    """
    floor = np.float32(least * LENGTH**2)
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
    return left + top, right


def _best(gathered: list[Found], most: int) -> Found:
    """The `most` highest of each row, by row and falling score."""
    left, right, values = (np.concatenate(parts) for parts in zip(*gathered, strict=True))
    order = np.lexsort((right, -values, left))
    left, right, values = left[order], right[order], values[order]
    begin = np.searchsorted(left, left, side="left")
    keep = np.arange(len(left)) - begin < most
    return left[keep], right[keep], values[keep]
