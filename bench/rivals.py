"""What other tools say of the same files: cleanvision, where it is installed; imagededup and cleanlab are named where not.

cleanvision names every member of a set of copies. All but the first count here, as with ours, so that a set of two counts once.
"""

from __future__ import annotations

import importlib.util
import tempfile
from itertools import combinations
from pathlib import Path

from planting import Row

from aigc_core.errors import DecodeError
from aigc_core.modalities import image

#: Its issues by our reasons. It has no issue for blank images: low information is the nearest.
ISSUES = {
    "blank": "low_information", "low_information": "low_information", "dark": "dark", "bright": "light", "blurry": "blurry",
    "odd_size": "odd_size", "odd_aspect": "odd_aspect_ratio",
}  # fmt: skip
COPIES = {"duplicate_exact": "exact_duplicates", "duplicate_near": "near_duplicates"}
OTHERS = ("cleanvision", "imagededup", "cleanlab")

Said = tuple[dict[str, set[str]], dict[str, dict[str, float]]]


def missing() -> list[str]:
    """Tools of OTHERS that are not installed."""
    return [name for name in OTHERS if importlib.util.find_spec(name) is None]


def cleanvision(rows: list[Row]) -> tuple[Said, list[tuple[str, str]]]:
    """What it flags and how bad it finds each row, by our reasons; and the pairs that it calls near copies.

    It gets the training rows that can be decoded: it stops at others. Its defaults are used.
    """
    from cleanvision import Imagelab

    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for row in rows:
            if row.split == "train" and _decodable(row.content):
                path = Path(folder) / Path(row.name).name
                path.write_bytes(row.content)
                names[str(path)] = row.name
        lab = Imagelab(filepaths=list(names), verbose=False)
        lab.find_issues(n_jobs=1, verbose=False)
        flagged, bad = {}, {}
        for reason, issue in ISSUES.items():
            own = lab.issues[[f"is_{issue}_issue", f"{issue}_score"]]
            flagged[reason] = {names[path] for path in own.index[own.iloc[:, 0]]}
            bad[reason] = {names[path]: -float(score) for path, score in own.iloc[:, 1].items()}
        pairs = []
        for reason, issue in COPIES.items():
            sets = [sorted(names[path] for path in one) for one in lab.info[issue]["sets"]]
            flagged[reason] = {name for one in sets for name in one[1:]}
            if reason == "duplicate_near":
                pairs = [pair for one in sets for pair in combinations(one, 2)]
        return (flagged, bad), pairs


def _decodable(content: bytes) -> bool:
    try:
        image.decode(content)
    except DecodeError:
        return False
    return True
