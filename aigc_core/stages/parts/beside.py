"""What `evaluate` writes beside the numbers: second opinions, likeness, and the checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from aigc_core.config import Config
from aigc_core.data.loader import ImageSet
from aigc_core.data.store import Version
from aigc_core.evaluation import opinions
from aigc_core.evaluation.compare import Judgement, Yardstick
from aigc_core.evaluation.explain import LIKENESS
from aigc_core.evaluation.extractors.base import Images
from aigc_core.evaluation.extractors.catalogue import Place
from aigc_core.evaluation.features import CARD
from aigc_core.evaluation.pictures import GAP
from aigc_core.files import read_json, write_json
from aigc_core.paths import Paths
from aigc_core.report.figures import image_grid, save_png
from aigc_core.report.instrument import unfit_words
from aigc_core.stages.parts.likeness import describe, likeness
from aigc_core.stages.parts.release import evaluation_checks

#: Samples on the sheet of likeness, and neighbours of each by features and by pixels.
EXAMPLES, EACH = 8, 3


def ask_others(config: Config, paths: Paths, yardstick: Yardstick) -> opinions.SecondOpinions:
    """The further instruments of params.yaml, on the yardstick's rows. Raises DataError for a missing weights file."""
    chosen = config.evaluate
    weights = {name: paths.root / path if path else None for name, path in chosen.weights.model_dump().items()}
    return opinions.SecondOpinions(
        chosen.extractors,
        Place(paths.extractor, yardstick.setting.device, weights),
        Images(yardstick.real.train_pixels, yardstick.real.train_labels),
        Images(yardstick.test_pixels, yardstick.test_labels),
        draws=chosen.floor_draws,
        seed=config.seed,
    )


def write_opinions(
    target: Path, config: Config, others: opinions.SecondOpinions, yardstick: Yardstick, judgement: Judgement
) -> tuple[dict[str, float], list[str]]:
    """Every instrument's distance with its hash, and the alarms, as JSON; returns distances over floor, and the alarms."""
    found = {opinions.DOMAIN: opinions.domain_opinion(judgement.metrics, yardstick.extractor.hash)}
    found |= opinions.as_facts(others.ask(judgement.samples))
    alarms = opinions.far_apart(found, config.evaluate.alarm_ratio)
    write_json(target, {"opinions": found, "alarms": alarms})
    over = {f"fd_over_floor_{name}": found[name]["fd_over_floor"] for name in config.evaluate.extractors}
    return over, alarms


def unfit(paths: Paths) -> str:
    """The warning of extractor.json where no instrument is fit for the data; empty where one is."""
    instrument = read_json(paths.extractor / CARD).get("instrument")
    return unfit_words(instrument) if instrument else ""


def write_checks(folder: Path, alarms: list[str]) -> bool:
    """checks.json from memorization.json in the same folder; returns whether the model may be released."""
    memorization = read_json(folder / "memorization.json")
    write_json(folder / "checks.json", evaluation_checks(memorization, alarms))
    return bool(memorization["passed"])


def write_likeness(folder: Path, version: Version, yardstick: Yardstick, judgement: Judgement) -> None:
    """likeness.json and likeness.png: a few samples, each with the training images that it is most like."""
    real = yardstick.real
    train = ImageSet(real.train_pixels, real.train_labels, real.train_ids, real.classes)
    chosen = np.random.default_rng(yardstick.setting.seed).permutation(len(judgement.labels))[:EXAMPLES]
    chosen = chosen[np.argsort(judgement.labels.numpy()[chosen], kind="stable")]
    samples = judgement.samples[torch.from_numpy(chosen)]
    found = likeness(samples, train, yardstick.extractor, EACH)
    labels = [real.classes[int(judgement.labels[place])] for place in chosen]
    lines = [
        {"sample": int(place), "label": label, "nearest": nearest}
        for place, label, nearest in zip(chosen, labels, describe(found, version, train), strict=True)
    ]
    write_json(folder / "likeness.json", {"note": LIKENESS, "dataset_version": version.card.version, "samples": lines})
    grey = np.full(tuple(samples.permute(0, 2, 3, 1).shape[1:]), GAP, dtype=np.uint8)
    cells = []
    for row, sample in enumerate(samples.permute(0, 2, 3, 1).numpy()):
        cells += [np.ascontiguousarray(sample)]
        for near in found.values():
            pictures = train.pixels[torch.from_numpy(near.index[row])].permute(0, 2, 3, 1).numpy()
            cells += [grey, *(np.ascontiguousarray(picture) for picture in pictures)]
    columns = len(cells) // len(samples)
    title = "sample | most like it in features | in pixels"
    save_png(image_grid(cells, columns, row_labels=labels, title=title), folder / "likeness.png")
