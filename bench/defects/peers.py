"""What other tools say of the same files with their defaults, where they are installed.

They stop at files that cannot be decoded, so they get the others. They name every member of a set of copies; all but the first
count as flagged, as with ours.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from defects.pictures import Row
from defects.stages import Said

#: cleanvision's issues by our reasons. It has none for blank images: low information is the nearest.
ISSUES = {
    "blank": "low_information", "low_information": "low_information", "dark": "dark", "bright": "light", "blurry": "blurry",
    "odd_size": "odd_size", "odd_aspect": "odd_aspect_ratio",
}  # fmt: skip
#: DataEval's statistics by our reasons, and whether they are then low (-1), high (1) or either (0).
STATISTICS = {
    "blank": [("std", -1), ("contrast", -1), ("entropy", -1)], "low_information": [("entropy", -1)],
    "dark": [("darkness", -1), ("brightness", -1), ("mean", -1)], "bright": [("darkness", 1), ("brightness", 1), ("mean", 1)],
    "blurry": [("sharpness", -1)], "noisy": [("sharpness", 1)], "odd_size": [("size", 0), ("width", 0), ("height", 0)],
    "odd_aspect": [("aspect_ratio", 0)], "too_small": [("size", -1), ("width", -1), ("height", -1)],
}  # fmt: skip
#: DataEval's label check compares neighbours: classes with fewer rows are left out.
LEAST_OF_CLASS = 6
#: px at which pictures are compared by it.
SIDE = 32

Files = dict[str, Row]  # path to row


def missing() -> list[str]:
    """Names in TOOLS that are not installed."""
    return [name for name in TOOLS if importlib.util.find_spec(name) is None]


def opinions(rows: list[Row], root: Path, folder: Path, moved: bool) -> dict[str, Said]:
    """What each installed tool says of the files that `root` holds.

    `folder` is filled with links to the files that can be decoded: one of the tools reads a flat folder.
    """
    files = _linked(rows, root, folder)
    said = {}
    for name, tool in TOOLS.items():
        if name not in missing():
            try:
                with _silent():
                    said[name] = tool(files, moved)
            except Exception as error:  # foreign code: its failure is a result, and ends nothing
                said[name] = Said(remarks=[f"{name} failed, so its columns are empty: {type(error).__name__}: {error}"])
    return said


@contextmanager
def _silent() -> Iterator[None]:
    """The tools print and warn a lot."""
    logging.disable(logging.INFO)
    with warnings.catch_warnings(), Path(os.devnull).open("w") as sink, redirect_stdout(sink), redirect_stderr(sink):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def _linked(rows: list[Row], root: Path, folder: Path) -> Files:
    folder.mkdir(parents=True)
    files = {}
    for number, row in enumerate(rows):
        try:
            image.decode(row.content)
        except DecodeError:
            continue
        path = folder / f"{number:06d}{Path(row.name).suffix}"
        os.link(root / "data" / "raw" / row.name, path)
        files[str(path)] = row
    return files


def _sets(said: Said, reason: str, sets: Iterable[Iterable[str]]) -> None:
    """Note sets of copies, by the names of rows: all but the first are flagged."""
    flagged = said.reasons.setdefault(reason, {})
    for members in (sorted(own) for own in sets):
        for name in members[1:]:
            flagged[name] = "warn"
            said.groups.setdefault(name, set()).add(members[0])
            said.pairs.append((members[0], name, 1.0))


def _cleanvision(files: Files, _: bool) -> Said:
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=list(files), verbose=False)
    lab.find_issues(n_jobs=1, verbose=False)
    said = Said()
    for reason, issue in ISSUES.items():
        own = lab.issues[f"is_{issue}_issue"]
        said.reasons[reason] = {files[path].name: "warn" for path in own.index[own]}
    for reason, issue in {"duplicate_exact": "exact_duplicates", "duplicate_near": "near_duplicates"}.items():
        _sets(said, reason, ([files[path].name for path in one] for one in lab.info[issue]["sets"]))
    return said


def _imagededup(files: Files, _: bool) -> Said:
    """Its perceptual hash; its network would need weights from elsewhere."""
    from imagededup.methods import PHash  # type: ignore[import-untyped]

    names = {Path(path).name: row.name for path, row in files.items()}
    tool = PHash(verbose=False)
    encodings = tool.encode_images(Path(next(iter(files))).parent, num_enc_workers=0)
    alike = tool.find_duplicates(encoding_map=encodings, num_dist_workers=0)
    extra = tool.find_duplicates_to_remove(encoding_map=encodings, num_dist_workers=0)
    said = Said(reasons={"duplicate_near": {names[name]: "warn" for name in extra}})
    for name in extra:
        said.groups[names[name]] = {names[other] for other in alike[name]}
        said.pairs += [(names[name], names[other], 1.0) for other in alike[name][:5]]
    return said


def _dataeval(files: Files, moved: bool) -> Said:
    """Its hashes of copies (those that do not mind turns with `moved`), its outliers, and its label check on pixels."""
    from dataeval.flags import ImageStats
    from dataeval.quality import Duplicates, Outliers

    rows = list(files.values())
    pixels = [image.decode(row.content).pixels for row in rows]
    colours = [np.ascontiguousarray(image.with_channels(one, 3).transpose(2, 0, 1)) for one in pixels]
    said = Said()
    hashes = ImageStats.HASH_DUPLICATES_BASIC
    if moved:
        hashes |= ImageStats.HASH_DUPLICATES_D4
    copies = Duplicates(flags=hashes).evaluate(colours)
    _sets(said, "duplicate_exact", ([rows[n].name for n in one] for one in copies.exact))
    _sets(said, "duplicate_near", ([rows[n].name for n in one] for one, _ in copies.near))
    outliers = Outliers().evaluate(colours)
    found = outliers.data()
    values: Any = outliers.calculation_results
    values = values["stats"]
    middles = {name: float(np.nanmedian(values[name])) for own in STATISTICS.values() for name, _ in own}
    for reason, own in STATISTICS.items():
        flagged = said.reasons.setdefault(reason, {})
        signs = dict(own)
        for line in found.iter_rows(named=True):
            sign = signs.get(str(line["metric_name"]))
            if sign is not None and sign * (line["metric_value"] - middles[str(line["metric_name"])]) >= 0:
                flagged[rows[line["item_index"]].name] = "warn"
    said.reasons["label_suspect"] = dict.fromkeys(_wrong_labels(rows, pixels), "warn")
    return said


def _wrong_labels(rows: list[Row], pixels: list[image.Pixels]) -> list[str]:
    from dataeval.core import label_errors

    labels = np.array([str(row.label) for row in rows])
    names, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[places] >= LEAST_OF_CLASS)
    if len(names) < 2 or not len(kept):
        return []
    _, classes = np.unique(labels[kept], return_inverse=True)
    flat = np.stack([image.fit(pixels[n], SIDE, 3).reshape(-1) / np.float32(255) for n in kept])
    return [rows[kept[n]].name for n in label_errors(flat, classes.astype(np.int64))["errors"]]


TOOLS: dict[str, Callable[[Files, bool], Said]] = {
    "cleanvision": _cleanvision, "imagededup": _imagededup, "dataeval": _dataeval,
}  # fmt: skip
