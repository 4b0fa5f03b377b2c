"""What other tools say of the same files, with their defaults, where they are installed.

They name every member of a set of copies. All but the first count here, as with ours, so that a set of two counts once.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
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

#: Reason to the names of flagged rows; reason to the badness of every row that was graded.
Said = tuple[dict[str, set[str]], dict[str, dict[str, float]]]
#: What was said, and the pairs that are called near copies.
Opinion = tuple[Said, list[tuple[str, str]]]


def missing() -> list[str]:
    """Names in TOOLS that are not installed."""
    return [name for name in TOOLS if importlib.util.find_spec(name) is None]


def opinions(rows: list[Row]) -> dict[str, Opinion]:
    """What each installed tool says of the training rows that can be decoded: they stop at others."""
    return {name: tool(rows) for name, tool in TOOLS.items() if name not in missing()}


def _cleanvision(rows: list[Row]) -> Opinion:
    """What it flags and how bad it finds each row, by our reasons."""
    from cleanvision import Imagelab

    with tempfile.TemporaryDirectory() as folder:
        names = _written(rows, Path(folder))
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


def _imagededup(rows: list[Row]) -> Opinion:
    """Near copies by its perceptual hash; its network would need weights from elsewhere."""
    from imagededup.methods import PHash

    with tempfile.TemporaryDirectory() as folder:
        names = {Path(path).name: name for path, name in _written(rows, Path(folder)).items()}
        tool = PHash(verbose=False)
        encodings = tool.encode_images(folder, num_enc_workers=0)
        alike = tool.find_duplicates(encoding_map=encodings, num_dist_workers=0)
        extra = tool.find_duplicates_to_remove(encoding_map=encodings, num_dist_workers=0)
        pairs = [(names[one], names[other]) for one, others in alike.items() for other in others if one < other]
        return ({"duplicate_near": {names[name] for name in extra}}, {}), pairs


TOOLS: dict[str, Callable[[list[Row]], Opinion]] = {"cleanvision": _cleanvision, "imagededup": _imagededup}


def _written(rows: list[Row], folder: Path) -> dict[str, str]:
    """Decodable training rows as files; path to name."""
    names = {}
    for row in rows:
        if row.split == "train" and _decodable(row.content):
            path = folder / Path(row.name).name
            path.write_bytes(row.content)
            names[str(path)] = row.name
    return names


def _decodable(content: bytes) -> bool:
    try:
        image.decode(content)
    except DecodeError:
        return False
    return True
