"""What does training with adversarial examples change?

    python bench/adversarial.py [--radius 0.2] [--seeds 1] [--steps 400] [--gan-steps 2000] [--write docs/results/training.md]

The classifier of all evaluation is trained on digits and on some thousand rows of MNIST: as it is by default, against the fast
gradient sign method (`extractor.perturb`), and against three steps of projected gradient descent. Each is then shown unseen
images as they are, after one step, and after PGD_STEPS steps against itself, within the same radius.

The GAN is trained on digits with and without perturbed inputs of its discriminator (`train.gan.perturb`): how often its
discriminator is right about held-out images and fresh samples, as they are and after the same attacks on it, and what that
does to the samples.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from blindness import check, publish
from rich.progress import track
from small_targets import DIGITS_SHARES, Target, make_target, read
from transfer import train

from aigc_core.config import Config, load
from aigc_core.data.loader import ImageSet
from aigc_core.evaluation.classifier import to_float
from aigc_core.evaluation.features import Recipe
from aigc_core.evaluation.robustness import attacked_accuracy
from aigc_core.models.gan import Gan
from aigc_core.models.perturb import pgd
from aigc_core.models.zoo import SampleModel
from aigc_core.training.steps import Trainer

ROOT = Path(__file__).resolve().parents[1]
MNIST_TRAIN, MNIST_TEST = 3000, 500
#: Steps of the attack that judges; 1 is the fast gradient sign method.
PGD_STEPS = 20
ATTACKS = {"unchanged": 0, "FGSM": 1, f"PGD-{PGD_STEPS}": PGD_STEPS}
#: What a classifier is trained against: steps of the attack, 0 is nothing.
AGAINST = {"nothing": 0, "FGSM": 1, "PGD-3": 3}
SECTION = "adversarial"


def spread(values: list[float], digits: int = 3) -> str:
    """The mean and, of several, the range."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# -- the classifier --------------------------------------------------------------------------------


def classifier_sets() -> dict[str, tuple[ImageSet, ImageSet]]:
    """Training and unseen rows by name."""
    digits = read("digits", "", None, 8)
    mnist = read("idx", "mnist", (MNIST_TRAIN + MNIST_TEST) * 7 // 6, 28)
    cuts = {"digits, 8 px": (digits, 1000, len(digits)), "MNIST, 28 px": (mnist, MNIST_TRAIN, MNIST_TRAIN + MNIST_TEST)}
    return {
        name: (data.subset(torch.arange(first)), data.subset(torch.arange(first, last)))
        for name, (data, first, last) in cuts.items()
    }


def classifiers(config: Config, radius: float, steps: int, seeds: int) -> list[str]:
    """Accuracy on unseen images by what was trained against, and by attack."""
    plain = replace(Recipe.of(config.extractor), steps=steps)
    lines = [
        "| data | rows | trained against | " + " | ".join(ATTACKS) + " |",
        "| --- | ---: | --- |" + " ---: |" * len(ATTACKS),
    ]
    for name, (seen, unseen) in classifier_sets().items():
        for against, inner in track(AGAINST.items(), name, transient=True):
            found: dict[str, list[float]] = {attack: [] for attack in ATTACKS}
            for seed in range(seeds if seen.pixels.shape[-1] < 28 else 1):
                recipe = replace(plain, perturb=radius if inner else 0.0, perturb_steps=max(inner, 1))
                model = recipe.fit(seen.pixels, seen.labels, len(seen.classes), seed, "cpu")
                for attack, outer in ATTACKS.items():
                    chosen = radius if outer else 0.0
                    found[attack].append(attacked_accuracy(model, unseen.pixels, unseen.labels, chosen, max(outer, 1)))
            lines.append(f"| {name} | {len(seen):,} | {against} | " + " | ".join(map(spread, found.values())) + " |")
    return lines


# -- the GAN ---------------------------------------------------------------------------------------


def digits_target(config: Config) -> Target:
    """All ten classes."""
    data = read("digits", "", None, 8)
    cuts = [int(sum(DIGITS_SHARES[: place + 1]) * len(data)) for place in range(2)]
    return make_target(data, cuts, data.classes, config)


def discriminator_accuracy(trainer: Trainer, target: Target, radius: float, steps: int) -> float:
    """How often the sign of the logit is right about held-out images and about as many samples, each after an attack."""
    discriminator = cast(Gan, trainer.model).discriminator
    labels = target.test.labels
    samples = SampleModel(trainer.model.spec, {}, trainer.model).sample(labels, 2)
    right = 0
    for pixels, truth in ((target.test.pixels, 1.0), (samples, -1.0)):

        def loss(images: torch.Tensor, truth: float = truth) -> torch.Tensor:
            return F.softplus(-truth * discriminator(images, labels)).mean()

        changed = pgd(to_float(pixels), loss, radius, steps)
        with torch.no_grad():
            right += int((truth * discriminator(changed, labels) > 0).sum())
    return right / (2 * len(labels))


def gans(config: Config, radius: float, steps: int, seeds: int) -> list[str]:
    """The discriminator under attack, and distance over floor and coverage of the samples."""
    target = digits_target(config)
    attacked = [f"discriminator, {attack}" for attack in ATTACKS]
    columns = [*attacked, "fd / floor", "coverage"]
    lines = ["| `train.gan.perturb` | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for perturb in (0.0, radius):
        chosen = config.train.model_copy(update={"gan": config.train.gan.model_copy(update={"perturb": perturb})})
        own = config.model_copy(update={"train": chosen})
        rows = [
            _gan(own, target, steps, seed, radius)
            for seed in track(range(seeds), f"perturb {perturb:g}", transient=True)
        ]
        lines.append(
            f"| {perturb:g} | " + " | ".join(spread([row[i] for row in rows], 2) for i in range(len(columns))) + " |"
        )
    return lines


def _gan(config: Config, target: Target, steps: int, seed: int, radius: float) -> list[float]:
    trainer, _ = train(target.pool, "gan", config, [steps], seed, config.train.batch_size)
    judged = target.judge(trainer)
    accuracies = [
        discriminator_accuracy(trainer, target, radius if count else 0.0, max(count, 1)) for count in ATTACKS.values()
    ]
    return [*accuracies, judged["fd"], judged["coverage"]]


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radius", type=float, default=0.2, help="largest change of a value on the scale [-1, 1]")
    parser.add_argument("--seeds", type=int, default=1, help="of what is trained on digits; MNIST gets one")
    parser.add_argument("--steps", type=int, default=400, help="of each classifier")
    parser.add_argument("--gan-steps", type=int, default=2000)
    parser.add_argument("--only", choices=["classifier", "gan"])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into docs/results/training.md")
    chosen = parser.parse_args()
    check(chosen.write, SECTION)
    config = load(ROOT / "params.yaml")
    said = (
        f"`python bench/adversarial.py --radius {chosen.radius:g} --seeds {chosen.seeds} --steps {chosen.steps} "
        f"--gan-steps {chosen.gan_steps}`: mean over seeds (range); unseen images"
    )
    lines = [said]
    if chosen.only != "gan":
        lines += ["", *classifiers(config, chosen.radius, chosen.steps, chosen.seeds)]
    if chosen.only != "classifier":
        lines += ["", *gans(config, chosen.radius, chosen.gan_steps, chosen.seeds)]
    publish(lines, SECTION, chosen.write)


if __name__ == "__main__":
    main()
