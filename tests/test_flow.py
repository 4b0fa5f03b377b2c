"""The flow against a Gaussian target, whose velocity, whose way and whose smallest loss are known."""

import math
from dataclasses import replace

import pytest
import torch

from aigc_core.config import Flow as FlowSettings
from aigc_core.errors import ConfigError
from aigc_core.models.flow import integrate, waves
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build
from aigc_core.training.families.flow import FlowTrainer
from aigc_core.training.trainer import Batch

MEAN, SPREAD = 0.4, 0.2
SPEC = ModelSpec("flow", 8, 1, ("a", "b"), latent=8, mlp_width=32, conv_width=8)


def gaussian_velocity(points: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """E[image - noise | x_t] for images N(MEAN, SPREAD^2): linear in x_t."""
    t = times.reshape(-1, *[1] * (points.dim() - 1))
    variance = (t * SPREAD) ** 2 + (1 - t) ** 2
    return MEAN + (t * SPREAD**2 - (1 - t)) / variance * (points - t * MEAN)


def test_following_the_true_velocity_maps_noise_onto_the_target():
    noise = torch.randn((5000, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = integrate(gaussian_velocity, noise, 200, "heun")
    torch.testing.assert_close(ends, MEAN + SPREAD * noise, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_solvers_have_their_order(solver, order):
    noise = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    errors = [
        (integrate(gaussian_velocity, noise, steps, solver) - (MEAN + SPREAD * noise)).abs().max().item()
        for steps in (100, 200)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)
    with pytest.raises(ConfigError, match=r"'rk4'.*euler, heun"):
        integrate(gaussian_velocity, noise, 2, "rk4")


def test_training_reaches_the_smallest_loss_and_the_target_of_each_class():
    """Class a is N(.4, .2^2) on every pixel, b is N(-.4, .2^2); the mean loss cannot fall below SPREAD * pi / 2."""
    trainer = FlowTrainer(build(SPEC, 0), FlowSettings(learning_rate=0.003, ema=0.98), torch.device("cpu"))
    losses = []
    for step in range(300):
        noise = torch.Generator().manual_seed(step)
        labels = torch.arange(128) % 2
        means = torch.where(labels == 0, MEAN, -MEAN)[:, None, None, None]
        images = means + SPREAD * torch.randn((128, 1, 8, 8), generator=noise)
        losses.append(trainer.step(Batch(images, labels, labels), noise, step)["velocity_loss"].item())
    floor = SPREAD * math.pi / 2
    reached = sum(losses[-100:]) / 100
    assert floor * 0.98 < reached < floor * 1.06
    chance = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for label, mean in ((0, MEAN), (1, -MEAN)):
            samples = trainer.model.generate(torch.randn((300, 64), generator=chance), torch.full((300,), label))
            assert samples.mean().item() == pytest.approx(mean, abs=0.03)
            assert samples.std().item() == pytest.approx(SPREAD, abs=0.02)


@pytest.mark.parametrize("size", [8, 20])
def test_guidance_goes_along_the_difference_that_the_label_makes(size):
    points = torch.randn((3, 1, size, size), generator=torch.Generator().manual_seed(0))
    times, labels = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0, 1, 0])
    found = {}
    for guidance in (0.0, 1.0, 3.0):
        flow = build(replace(SPEC, size=size, guidance=guidance), 0)
        with torch.no_grad():
            found[guidance] = flow.guided(points, times, labels)
    without, plain, guided = found.values()
    torch.testing.assert_close(guided, without + 3 * (plain - without))
    assert not torch.allclose(plain, without)


def test_without_labels_the_velocity_is_the_same_for_every_class():
    flow = build(SPEC, 0)
    points, times = torch.randn((2, 1, 8, 8)), torch.full((2,), 0.3)
    dropped = torch.zeros(2, dtype=torch.bool)
    first, second = (flow.velocity(points, times, torch.tensor(labels), dropped) for labels in ([0, 0], [1, 1]))
    assert torch.equal(first, second)


def test_times_are_told_apart():
    told = waves(torch.linspace(0, 1, 50))
    distances = torch.cdist(told, told) + 10 * torch.eye(50)
    assert distances.min() > 0.5
