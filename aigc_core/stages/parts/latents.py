"""What `evaluate` says of a model by itself: pictures of what its latent numbers do, and a VAE's bound on held-out images."""

from __future__ import annotations

from pathlib import Path

import torch

from aigc_core.config import Config
from aigc_core.evaluation import latents
from aigc_core.evaluation.compare import Yardstick
from aigc_core.evaluation.likelihood import as_observed, held_out_bound
from aigc_core.evaluation.pictures import as_pictures
from aigc_core.files import write_json
from aigc_core.models.vae import Vae
from aigc_core.models.zoo import SampleModel, render, to_bytes
from aigc_core.report.figures import image_grid, pair_grid, save_png

#: Held-out images beside their reconstructions.
RECONSTRUCTED = 40


def bound(config: Config, model: SampleModel, yardstick: Yardstick) -> dict[str, float]:
    """The importance-weighted bound of a VAE on the yardstick's test rows, where the configuration asks for it."""
    samples = config.evaluate.bound_samples
    if samples == 0 or not isinstance(model.networks, Vae):
        return {}
    return held_out_bound(model.networks, yardstick.test_pixels, yardstick.test_labels, samples, config.seed)


def write_latents(folder: Path, model: SampleModel, yardstick: Yardstick) -> list[str]:
    """interpolation.png, for a VAE also reconstructions.png and traversals.png, and latents.json; returns the pictures' names."""
    seed = yardstick.setting.seed
    pixels, names = latents.interpolations(model.networks, seed)
    title = "each row: from one draw to another"
    save_png(
        image_grid(as_pictures(pixels), latents.STEPS, row_labels=names, title=title), folder / "interpolation.png"
    )
    pictures: list[str] = ["interpolation"]
    facts: dict[str, object] = {"dimensions": model.networks.noise_size}
    if isinstance(model.networks, Vae):
        facts |= _write_codes(folder, model.networks, yardstick)
        pictures += ["reconstructions", "traversals"]
    write_json(folder / "latents.json", {"pictures": pictures, **facts})
    return pictures


def _write_codes(folder: Path, vae: Vae, yardstick: Yardstick) -> dict[str, object]:
    """What a VAE makes of held-out images, and what its most active dimensions do; returns how active each is."""
    labels = yardstick.test_labels
    images = as_observed(vae, yardstick.test_pixels, yardstick.setting.seed)
    means = latents.posterior_means(vae, images, labels)
    shown = torch.linspace(0, len(labels) - 1, min(RECONSTRUCTED, len(labels))).long()
    again = render(vae, means[shown], labels[shown])
    picture = pair_grid(as_pictures(to_bytes(images[shown])), as_pictures(again), 8, "held-out image", "reconstruction")
    save_png(picture, folder / "reconstructions.png")
    activity = latents.activity(means)
    order = activity.argsort(descending=True, stable=True)[: latents.ROWS].tolist()
    label = int(labels[shown[0]])
    pixels = latents.traversals(vae, means[shown[0]], label, order)
    names = [f"{dimension} ({float(activity[dimension]):.2f})" for dimension in order]
    title = f"one dimension (its activity) from -{latents.REACH:g} to {latents.REACH:g}, the others as they are"
    save_png(image_grid(as_pictures(pixels), latents.STEPS, row_labels=names, title=title), folder / "traversals.png")
    known = [round(float(value), 6) for value in activity]
    return {"active": int((activity > latents.ACTIVE).sum()), "activity": known}
