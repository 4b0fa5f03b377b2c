"""What the memorization gate found of one model, as a file for the gate and a picture for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aigc_core.evaluation.memorization import Limits, Memorization
from aigc_core.evaluation.neighbours import Index
from aigc_core.evaluation.pictures import as_pictures
from aigc_core.files import write_json
from aigc_core.report.figures import pair_grid, save_png

#: Pairs of a sample and a training image in closest.png and memorization.json.
CLOSEST_SHOWN = 32


def write_copies(
    folder: Path,
    found: Memorization,
    limits: Limits,
    samples: torch.Tensor,
    pixels: torch.Tensor,
    ids: list[str],
    nearest: torch.Tensor,
    suffix: str = "",
    *,
    held_out: str = "test",
    why: str = "",
) -> None:
    """memorization{suffix}.json with verdict, figures, limits and the closest pairs, and their picture.

    `nearest` (N,) is the place of each sample's nearest training image in `pixels` and `ids`; `held_out` is the split that
    stood for images never seen, `why` a sentence where another would have been better.
    """
    shown = found.closest(CLOSEST_SHOWN)
    places = nearest[torch.from_numpy(shown)]
    pairs = _pairs(found, shown, [ids[place] for place in places.tolist()])
    verdict = {
        "passed": found.passed, "reasons": found.reasons, "remarks": found.remarks, "figures": found.figures,
        "limits": vars(limits), "held_out": held_out, "held_out_why": why,
    }  # fmt: skip
    write_json(folder / f"memorization{suffix}.json", {**verdict, "closest": pairs})
    picture = pair_grid(
        as_pictures(samples[torch.from_numpy(shown)]),
        as_pictures(pixels[places]),
        4,
        "sample",
        "nearest training image; below: its id, rms difference of 255 at the best shift, mirror and gain",
        [f"{pair['train_id'][:10]} {pair['rms']:.0f}" for pair in pairs],
    )
    save_png(picture, folder / f"closest{suffix}.png")


def _pairs(found: Memorization, shown: Index, ids: list[str]) -> list[dict[str, Any]]:
    """The closest pairs: which sample, which training row, and how far they are from each other."""
    answers = found.answers
    return [
        {
            "sample": place,
            "train_id": identity,
            "rms": float(answers.distance[place]),
            "ratio": float(answers.ratio[place]),
        }
        for place, identity in zip(shown.tolist(), ids, strict=True)
    ]
