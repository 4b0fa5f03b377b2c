"""generate and verify: what is done with a finished model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aigc_core.data.loader import UNLABELLED
from aigc_core.errors import ConfigError, DataError
from aigc_core.files import atomic_file
from aigc_core.modalities import provenance
from aigc_core.modalities.containers import plain
from aigc_core.models.zoo import SampleModel, load_model
from aigc_core.paths import Paths
from aigc_core.records import StageResult
from aigc_core.report.figures import image_grid
from aigc_core.stages.parts.release import require_final, require_release

CONTACT_SHEET = "contact-sheet.png"
SHEET_COLUMNS = 8
#: The name of what `aigc final` made.
FINAL = "final"
SHEET_SHOWN = 256  # images on the contact sheet; more of them are files alone


def generate(
    paths: Paths,
    name: str,
    label: str | None,
    count: int,
    seed: int,
    out: Path,
    *,
    allow_memorized: bool = False,
) -> StageResult:
    """Write `count` marked PNG files and a contact sheet (of the first 256) into `out`; without a label, all classes in turn.

    `name` is a family, or `final`. Files of the same names are replaced where they are of this model and seed, others stay.
    Raises ConfigError for an unknown label, an `out` that is a file, or one that holds other images by these names, GateError where the model did not pass the memorization gate and `allow_memorized`
    is not given; the mark says what the gate said.
    """
    final = require_final(paths, allowed=allow_memorized) if name == FINAL else None
    model = load_model(paths.final if name == FINAL else paths.model(name))
    names = _labels(model, name, label, count)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: name a folder")
    answer = final or require_release(paths, name, model.card["weights_sha256"], allowed=allow_memorized)
    card = _card(model) | {"seed": seed, "memorization": answer}
    files = [
        f"{name}-{_safe(own)}-{index:04d}.png" if own else f"{name}-{index:04d}.png" for index, own in enumerate(names)
    ]
    for file in (CONTACT_SHEET, *files):
        _refuse_other(out / file, card)
    numbers = torch.tensor([model.spec.classes.index(own) for own in names])
    pixels = model.sample(numbers, seed).permute(0, 2, 3, 1).numpy()
    out.mkdir(parents=True, exist_ok=True)
    for index, (own, file) in enumerate(zip(names, files, strict=True)):
        content = provenance.embed(np.ascontiguousarray(pixels[index]), label=own, index=index, **card)
        _write(out / file, content)
    sheet = np.asarray(image_grid(pixels[:SHEET_SHOWN], min(SHEET_COLUMNS, count)))
    sheet = sheet[..., None] if sheet.ndim == 2 else sheet
    _write(out / CONTACT_SHEET, provenance.embed(sheet, label=label or "all classes", index=None, **card))
    shown = f"class {label}" if label is not None else f"{min(count, len(model.spec.classes))} classes in turn"
    shown = "no class" if model.spec.classes == (UNLABELLED,) else shown
    caution = "" if answer == "passed" else f", and that its model's memorization gate is {answer!r}"
    summary = (
        f"wrote {count} images of {shown} and {CONTACT_SHEET} to {out}; each says that it is AI-generated{caution}"
    )
    return StageResult(summary, {"images": count})


def _refuse_other(target: Path, card: dict[str, Any]) -> None:
    """Raise ConfigError where a file is there that is no image of this model and seed: nothing is replaced in silence."""
    if not target.exists():
        return
    try:
        there = provenance.read_mark(target.read_bytes())
    except (DataError, OSError):
        raise ConfigError(
            f"{target} is there and not an image that aigc generated: name another folder with --out"
        ) from None
    if any(getattr(there, name) != card[name] for name in ("family", "model_sha256", "seed")):
        raise ConfigError(
            f"{target.parent} holds images of another {'seed' if there.model_sha256 == card['model_sha256'] else 'model'} "
            f"({plain(there.family)} model {plain(there.model_sha256)[:12]}, seed {there.seed}; asked for is {card['family']} model "
            f"{card['model_sha256'][:12]}, seed {card['seed']}): name another folder with --out, or remove the images there"
        )


def _card(model: SampleModel) -> dict[str, Any]:
    """What every file says of the model."""
    return {
        "family": model.spec.family,
        "model_sha256": model.card["weights_sha256"],
        "dataset_version": model.card["dataset_version"],
    }


def _labels(model: SampleModel, name: str, label: str | None, count: int) -> list[str]:
    known = list(model.spec.classes)
    if label is not None and known == [UNLABELLED]:
        raise ConfigError(f"the {name} model learnt without labels: leave --label {label} out")
    if label is not None and label not in known:
        raise ConfigError(f"the {name} model knows no label {label!r}: choose one of {', '.join(known)}")
    return [known[index % len(known)] if label is None else label for index in range(count)]


def _safe(name: str) -> str:
    """A class name as part of a file name; the index beside it keeps names apart."""
    return re.sub(r"[^\w.-]+", "_", name)[:60]


def _write(target: Path, content: bytes) -> None:
    with atomic_file(target) as scratch:
        scratch.write_bytes(content)


def verify(path: Path) -> StageResult:
    """Say what a generated file tells of itself and that its pixels are unchanged; the mark is a label and no signature.

    Raises DataError where there is no such file, no image or no mark in it, where the pixels were changed, or where the file
    does not end as a PNG does.
    """
    reading = provenance.read_file(path)
    mark, shown = reading.mark, {name: plain(str(value)) for name, value in vars(reading.mark).items()}
    told = (
        f"AI-generated by {shown['generator']}: {shown['family']} model {shown['model_sha256'][:12]}, trained on dataset version "
        f"{shown['dataset_version']}, memorization gate {shown['memorization']}, label {shown['label']}, seed {shown['seed']}"
        + (f", image {shown['index']}" if mark.index is not None else "")
    )
    if not reading.unchanged:
        raise DataError(f"{path}: the pixels have been changed since it was generated; its mark says: {told}")
    if reading.ending:
        raise DataError(
            f"{path}: the file has been changed since it was generated: {reading.ending}; its mark says: {told}"
        )
    checked = "the pixels are unchanged and the file ends with them (checked: the hash of the pixels in the mark, and the end of the file; "
    return StageResult(
        f"{path}: {told}; {checked}the mark is no signature, so whoever wants to can forge it)", {}, vars(mark)
    )
