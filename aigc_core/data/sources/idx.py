"""MNIST-style idx files, gzip or not, one file or a folder of them: each file of images with its file of labels.

Format: two zero bytes, a type byte (8 = uint8), the number of dimensions, one big-endian uint32 per dimension,
then the values (LeCun, Cortes, Burges: the MNIST database).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aigc_core.config import Reading
from aigc_core.data.sources.base import Entry, OpenSource, own_splits, readers
from aigc_core.data.sources.folder import walk
from aigc_core.data.sources.idx_files import IdxFile, NotIdxError
from aigc_core.data.sources.idx_pairs import (
    is_candidate,
    names_format,
    names_images,
    names_labels,
    pair,
    set_key,
    set_name,
    tokens,
)
from aigc_core.data.sources.kinds import is_hidden, suffix_of
from aigc_core.data.sources.other_kind import advice
from aigc_core.data.sources.split_words import file_splits, tell_held_out
from aigc_core.data.sources.tables.facts import class_names
from aigc_core.data.sources.tally import Tally
from aigc_core.errors import SourceError

#: Numbers of each row in QMNIST's labels: the class, then where and by whom the digit was written.
QMNIST_NUMBERS = 8


@readers.register("idx")
def open_idx(path: Path, options: Reading) -> OpenSource:  # noqa: ARG001  (idx has no options)
    """List all images of a folder of idx files, or of one file of images; keys are `file#index`.

    Of a file that lies there gzipped and unpacked, as torchvision leaves them, the unpacked one is read.
    Raises SourceError for files that are no idx files, end too early or do not belong together.
    """
    if not path.exists():
        raise SourceError(f"source.path {str(path)!r} does not exist: name an idx file or a folder with idx files")
    tally = Tally()
    root, names, refused, skipped = _listed(path)
    files = _headers(root, names, tally)
    images, labels = _by_role(files, tally)
    skipped["copies of another file"] = _drop_copies(images, root) + _drop_copies(labels, root)
    if not images and not refused:
        raise SourceError(
            f"source.path {str(path)!r} holds no idx file of images: "
            + (advice(path, "idx") or "expected names such as train-images-idx3-ubyte.gz")
        )
    pairs = _pairs(images, labels, tally)
    splits = file_splits(images, tally)
    _check_readable(list(images.values()))
    _tell(images, tally)
    entries = [
        Entry(f"{name}#{index}", label=label, split=splits[name])
        for name, file in sorted(images.items())
        for index, label in enumerate(_labels(file, labels.get(pairs.get(name, "")), tally))
    ]
    tell_held_out(entries, tally)
    entries += [Entry(name, refused=reason) for name, reason in refused.items()]
    return _opened(images, entries, {what: count for what, count in skipped.items() if count}, tally)


def _opened(images: dict[str, IdxFile], entries: list[Entry], skipped: dict[str, int], tally: Tally) -> OpenSource:
    """The source with one file open at a time."""

    def read(entry: Entry) -> bytes:
        name, _, index = entry.key.rpartition("#")
        for other in (file for file in images.values() if file.name != name):
            other.close()
        return images[name].png(int(index))

    def close() -> None:
        for file in images.values():
            file.close()

    return OpenSource(own_splits(entries), read, skipped, close, tally.notices())


def _listed(path: Path) -> tuple[Path, list[str], dict[str, str], Counter[str]]:
    """The folder, names of files that may be idx, those that may not be read, and counts of all others by suffix.

    Beside a single file its neighbours are listed too: the labels may lie there.
    """
    root = path if path.is_dir() else path.parent
    if path.is_file():
        beside = [item.name for item in root.iterdir() if item.is_file() and names_labels(item.name)]
        return root, [path.name, *pair([path.name], beside).values()], {}, Counter()
    found = walk(root)
    hidden = {name for name in found.names if is_hidden(name)}
    able = {name for name in found.names if is_candidate(name)} - hidden
    twins = {name for name in able if name.endswith(".gz") and name.removesuffix(".gz") in able}
    skipped = Counter({"hidden": len(hidden), "packed copies": len(twins)})
    skipped.update(suffix_of(name) or "no suffix" for name in {*found.names} - able - hidden)
    refused = {name: found.refused[name] for name in sorted(able) if name in found.refused}
    return root, sorted(able - twins - refused.keys()), refused, skipped


def _headers(root: Path, names: list[str], tally: Tally) -> dict[str, IdxFile]:
    """The files that begin as idx files do. Others may be there only where their name does not speak of the format."""
    files = {}
    for name in names:
        try:
            files[name] = IdxFile(root / name, name)
        except NotIdxError:
            if names_format(name) or len(names) == 1:
                raise
            tally.add("files_not_idx", name)
    return files


def _by_role(files: dict[str, IdxFile], tally: Tally) -> tuple[dict[str, IdxFile], dict[str, IdxFile]]:
    """Files of images and files of labels, by their names and their dimensions."""
    images, labels = {}, {}
    for name, file in files.items():
        if names_labels(name) or (len(file.shape) < 2 and not names_images(name)):
            labels[name] = file
            continue
        file.check_images()
        images[name] = file
        if file.shape[0] == 0:
            tally.add("tables_without_rows", name)
    return images, labels


def _drop_copies(files: dict[str, IdxFile], root: Path) -> int:
    """Takes out files with the bytes and the words of another one that lies in fewer folders; returns how many."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in sorted(files, key=lambda name: (name.count("/"), name)):
        groups.setdefault((set_key(name), (root / name).stat().st_size), []).append(name)
    kept: dict[str, str] = {}
    copies = []
    for name in (name for names in groups.values() if len(names) > 1 for name in names):
        with (root / name).open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if kept.setdefault(digest, name) != name:
            copies.append(name)
    for name in copies:
        del files[name]
    return len(copies)


def _check_readable(images: list[IdxFile]) -> None:
    """Raise SourceError where the values of not one image are bytes. Files of bytes need no look."""
    if not images or any(file.dtype == np.uint8 for file in images):
        return
    why = None
    for file in images:
        for index in range(file.shape[0]):
            try:
                file.png(index)
            except OSError as error:
                why = why or f"{file.name}: not one image can be read ({error})"
            else:
                return
        file.close()
    if why:
        raise SourceError(why)


def _pairs(images: dict[str, IdxFile], labels: dict[str, IdxFile], tally: Tally) -> dict[str, str]:
    """The file of labels for each file of images that has one; the lengths must agree."""
    pairs = pair(images, labels)
    for name, file in images.items():
        if name not in pairs and file.shape[0]:
            tally.add("images_without_labels", name)
        elif name in pairs and (count := labels[pairs[name]].shape[:1]) != file.shape[:1]:
            raise SourceError(
                f"{pairs[name]} holds {count[0] if count else 'no'} labels for {file.shape[0]} images: the files do not "
                "belong together"
            )
    for name in sorted(labels.keys() - set(pairs.values())):
        tally.add("labels_without_images", name)
    return pairs


def _tell(images: dict[str, IdxFile], tally: Tally) -> None:
    """Counts what of the files of images is read in another way than the plain one."""
    for name, file in images.items():
        if file.left_over:
            tally.add("bytes_left_over", f"{name} ({file.left_over:,})")
        if file.channels_first:
            tally.add("channels_first", name)
        if file.dtype.itemsize > 1:
            tally.add("wide_pixels", name)
        if "emnist" in tokens(name):
            tally.add("images_transposed", name)
    sets = sorted({set_name(name) for name in images} - {""})
    for name in sets if len(sets) > 1 else []:
        tally.add("labels_of_several_sets", name)


def _labels(images: IdxFile, labels: IdxFile | None, tally: Tally) -> list[str | None]:
    """One class name per image, or null."""
    count = images.shape[0]
    values = None if labels is None else _one_per_row(labels, tally)
    if values is None:
        return [None] * count
    return class_names(pa.array(values), None, lambda code, index, n: tally.add(code, f"{images.name}#{index}", n))


def _one_per_row(labels: IdxFile, tally: Tally) -> Any:
    """The class of each row: the first number of QMNIST's eight; null where several numbers are no class."""
    values = labels.values()
    if values.size == len(values):
        return values.reshape(-1)
    if values.ndim == 2 and values.shape[1] == QMNIST_NUMBERS and "qmnist" in tokens(labels.name):
        tally.add("label_numbers_not_used", labels.name)
        return values[:, 0]
    tally.add("labels_not_usable", f"{labels.name} ({' x '.join(map(str, values.shape))})")
    return None
