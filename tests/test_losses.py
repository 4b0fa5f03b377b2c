"""Every formula against a value worked out by hand."""

import math
from typing import get_args

import pytest
import torch

from aigc_core.config import Gan
from aigc_core.errors import DataError
from aigc_core.models import bound
from aigc_core.models.bound import importance_bound
from aigc_core.models.likelihoods import bernoulli_nll, binarise, gaussian_nll, logistic_nll
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build
from aigc_core.training import adversarial, losses
from aigc_core.training.families.gan import GanTrainer
from aigc_core.training.trainer import Batch

# Logits with round sigmoids: log 3 -> 3/4, -log 3 -> 1/4, log 4 -> 4/5.
REAL = torch.tensor([math.log(3), -math.log(3)])
FAKE = torch.tensor([math.log(4), -2.0])
SOFT = math.log(1 + math.exp(-2.0))  # -log(1 - sigmoid(-2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nonsaturating", -(math.log(3 / 4) + math.log(1 / 4)) / 2 + (-math.log(1 / 5) + SOFT) / 2),
        ("minimax", -(math.log(3 / 4) + math.log(1 / 4)) / 2 + (-math.log(1 / 5) + SOFT) / 2),
        # log 3 is beyond the margin; a fake at -2 is too
        ("hinge", (0 + (1 + math.log(3))) / 2 + ((1 + math.log(4)) + 0) / 2),
        ("wgan-gp", (math.log(4) - 2) / 2 - 0),
        ("lsgan", ((math.log(3) - 1) ** 2 + (math.log(3) + 1) ** 2) / 4 + (math.log(4) ** 2 + 4) / 4),
    ],
)
def test_discriminator_losses(name, expected):
    assert adversarial.losses[name].discriminator(REAL, FAKE).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nonsaturating", (-math.log(4 / 5) + (2 + SOFT)) / 2),
        ("minimax", (math.log(1 / 5) - SOFT) / 2),
        ("hinge", -(math.log(4) - 2) / 2),
        ("wgan-gp", -(math.log(4) - 2) / 2),
        ("lsgan", ((math.log(4) - 1) ** 2 + 9) / 4),
    ],
)
def test_generator_losses(name, expected):
    assert adversarial.losses[name].generator(FAKE).item() == pytest.approx(expected, rel=1e-5)


def test_every_loss_of_the_configuration_is_there():
    assert sorted(adversarial.losses) == sorted(get_args(Gan.model_fields["loss"].annotation))


@pytest.mark.parametrize("name", sorted(adversarial.losses))
def test_both_sides_pull_the_logits_apart(name):
    """The discriminator raises real and lowers fake logits, the generator raises them."""
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    up, down = torch.autograd.grad(adversarial.losses[name].discriminator(real, fake), [real, fake], allow_unused=True)
    assert (up < 0).all()
    (risen,) = torch.autograd.grad(adversarial.losses[name].generator(fake), [fake])
    assert (risen < 0).all()
    assert (down > 0).all() or name == "lsgan", "at zero the least-squares loss of fakes has its minimum"


@pytest.mark.parametrize(("name", "slope"), [("nonsaturating", -1.0), ("minimax", 0.0)])
def test_minimax_saturates_where_the_alternative_does_not(name, slope):
    logits = torch.tensor([-20.0], requires_grad=True)
    adversarial.losses[name].generator(logits).backward()
    assert logits.grad.item() == pytest.approx(slope, abs=1e-6)


def test_r1_is_half_the_mean_squared_gradient_norm():
    images = torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = images.square().sum(dim=(1, 2, 3))  # gradient 2 x
    expected = 0.5 * (2 * images.detach()).square().sum(dim=(1, 2, 3)).mean()
    penalty = adversarial.r1_penalty(logits, images)
    assert penalty.item() == pytest.approx(expected.item())
    penalty.backward()  # of 2 |x|^2 / 3 by x
    torch.testing.assert_close(images.grad, 4 * images.detach() / 3)


def test_the_gradient_penalty_is_zero_at_slope_one_and_has_a_gradient_at_slope_zero():
    images = torch.randn((4, 1, 2, 2), generator=torch.Generator().manual_seed(0), requires_grad=True)
    for scale, expected in ((0.5, 0.0), (1.0, 1.0), (2.0, 9.0)):  # four values of this slope: norm 2 * scale
        penalty = adversarial.gradient_penalty(scale * images.sum(dim=(1, 2, 3)), images)
        assert penalty.item() == pytest.approx(expected, abs=1e-5)
    weight = torch.zeros(4, requires_grad=True)
    adversarial.gradient_penalty(images.flatten(1) @ weight, images).backward()
    assert torch.isfinite(weight.grad).all()


def test_kl_against_the_closed_form():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    # 1/2 (1 + 1 - 1 - 0) + 1/2 (4 + 0 - 1 - log 4)
    assert losses.gaussian_kl(mean, log_variance).item() == pytest.approx(0.5 + 0.5 * (3 - math.log(4)))
    assert losses.gaussian_kl(torch.zeros(5, 3), torch.zeros(5, 3)).item() == 0


def test_free_bits_keep_the_least_of_each_dimension():
    # Means over the batch: (1/2 * 4 + 0) / 2 = 1 nat and 1/2 * (0.02 + 0) = .01 nats
    mean, log_variance = torch.tensor([[2.0, 0.2], [0.0, 0.0]]), torch.zeros(2, 2)
    assert losses.free_bits_kl(mean, log_variance, 0.25).item() == pytest.approx(1 + 0.25)
    assert losses.free_bits_kl(mean, log_variance, 0.0).item() == pytest.approx(
        losses.gaussian_kl(mean, log_variance).item()
    )
    mean.requires_grad_()
    losses.free_bits_kl(mean, log_variance, 0.25).backward()
    assert mean.grad[0, 0] > 0
    assert mean.grad[0, 1] == 0, "below its free bits a dimension is left alone"


# -- likelihoods -----------------------------------------------------------------------------------------------


def some_images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Bytes as images in [-1, 1] with both ends among them, and activations."""
    chance = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 3, 2, 2), generator=chance)
    pixels[0, 0, 0], pixels[1, 0, 0] = 0, 255
    return pixels / 127.5 - 1, torch.randn((4, 3, 2, 2), generator=chance)


def test_gaussian_likelihood_against_torch_distributions():
    images, activations = some_images()
    log_spread = torch.tensor(-0.7)
    normal = torch.distributions.Normal(torch.tanh(activations), log_spread.exp())
    expected = -normal.log_prob(images).sum(dim=(1, 2, 3))
    torch.testing.assert_close(gaussian_nll(images, activations, log_spread), expected)


def test_bernoulli_likelihood_against_torch_distributions():
    images, activations = some_images()
    binary = torch.where(images > 0, 1.0, -1.0)
    bernoulli = torch.distributions.Bernoulli((torch.tanh(activations) + 1) / 2)
    expected = -bernoulli.log_prob((binary + 1) / 2).sum(dim=(1, 2, 3))
    torch.testing.assert_close(bernoulli_nll(binary, activations, torch.zeros(())), expected)


@pytest.mark.parametrize("log_spread", [-6.0, -3.0, 0.0])
def test_logistic_masses_of_all_grey_levels_add_up_to_one(log_spread):
    levels = (torch.arange(256) / 127.5 - 1).reshape(256, 1, 1, 1)
    for activation in (-3.0, 0.001, 0.7):
        nll = logistic_nll(levels, torch.full_like(levels, activation), torch.tensor(log_spread))
        assert torch.exp(-nll).sum().item() == pytest.approx(1, abs=2e-3)
    middle = logistic_nll(levels[128:129], torch.zeros(1, 1, 1, 1), torch.tensor(0.0))
    edge = 1 / (1 + math.exp(-(1 / 255 + 1 / 255))) - 0.5  # level 128 is at 1 / 255: its mass lies from 0 to 2 / 255
    assert math.exp(-middle.item()) == pytest.approx(edge, rel=1e-4)


def test_the_logistic_tail_stays_finite_and_pulls_back():
    far, activations = torch.full((1, 1, 1, 1), 0.9), torch.full((1, 1, 1, 1), -2.0, requires_grad=True)
    nll = logistic_nll(far, activations, torch.tensor(-7.0))
    nll.sum().backward()
    assert torch.isfinite(nll).all()
    assert activations.grad.item() < -1, "a higher mean would be likelier"


def test_binarisation_draws_by_grey_level():
    grey = torch.tensor([-1.0, -0.5, 0.0, 1.0]).reshape(1, 4, 1, 1).expand(20_000, 4, 1, 1)
    drawn = binarise(grey, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    share = ((drawn + 1) / 2).mean(dim=(0, 2, 3))
    assert share[0] == 0
    assert share[3] == 1
    torch.testing.assert_close(share[1:3], torch.tensor([0.25, 0.5]), atol=0.02, rtol=0)


# -- the importance-weighted bound against a model whose evidence is known ----------------------------------------

WEIGHTS, BIAS, SPREAD = torch.tensor([1.5, -0.5, 0.8]), torch.tensor([0.1, 0.0, -0.3]), 0.6


class LinearGaussian:
    """x = WEIGHTS z + BIAS + SPREAD * noise with one z: log p(x) and p(z | x) are Gaussian; `wrong` widens q."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.wrong = wrong

    def posterior(self, images, labels):
        precision = 1 + WEIGHTS.square().sum() / SPREAD**2
        mean = ((images.flatten(1) - BIAS) @ WEIGHTS / SPREAD**2 / precision)[:, None]
        return mean + self.wrong, torch.full_like(mean, -math.log(precision) + self.wrong)

    def nll(self, images, code, labels):
        return -torch.distributions.Normal(code * WEIGHTS + BIAS, SPREAD).log_prob(images.flatten(1)).sum(1)


def evidence(images: torch.Tensor) -> torch.Tensor:
    covariance = torch.outer(WEIGHTS, WEIGHTS) + SPREAD**2 * torch.eye(3)
    return torch.distributions.MultivariateNormal(BIAS, covariance).log_prob(images.flatten(1))


def test_with_the_true_posterior_one_sample_gives_the_evidence():
    images = torch.randn((6, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    found = importance_bound(LinearGaussian(), images, torch.zeros(6), torch.arange(6), samples=1, seed=0)
    torch.testing.assert_close(found, evidence(images), atol=1e-4, rtol=0)


def test_the_bound_rises_to_the_evidence_with_samples():
    images = torch.randn((300, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    gaps = [
        (evidence(images) - importance_bound(LinearGaussian(0.7), images, torch.zeros(300), torch.arange(300), k, 0))
        for k in (1, 10, 500)
    ]
    means = [gap.mean().item() for gap in gaps]
    # KL(q || p(z | x)) of a mean and log variance that are .7 off
    precision = 1 + WEIGHTS.square().sum().item() / SPREAD**2
    divergence = 0.5 * (math.exp(0.7) + 0.7**2 * precision - 1 - 0.7)
    assert means[0] == pytest.approx(divergence, rel=0.15), "k = 1 is the evidence lower bound"
    assert means[0] > 2 * means[1] > 4 * means[2] > 0
    assert means[2] < 0.02


def test_a_bound_depends_on_its_own_image_alone(monkeypatch):
    images = torch.randn((7, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    keys = torch.arange(7) + 100
    whole = importance_bound(LinearGaussian(0.7), images, torch.zeros(7), keys, 9, 0)
    alone = importance_bound(LinearGaussian(0.7), images[3:4], torch.zeros(1), keys[3:4], 9, 0)
    torch.testing.assert_close(alone, whole[3:4])
    monkeypatch.setattr(bound, "CHUNK", 4)  # several rounds per image, one image at a time
    torch.testing.assert_close(importance_bound(LinearGaussian(0.7), images, torch.zeros(7), keys, 9, 0), whole)
    assert not torch.allclose(importance_bound(LinearGaussian(0.7), images, torch.zeros(7), keys, 9, 1), whole)
    with pytest.raises(DataError, match="0 samples"):
        importance_bound(LinearGaussian(), images, torch.zeros(7), keys, 0, 0)


def test_a_lazy_r1_is_taken_at_every_kth_step_and_weighs_as_much_more(monkeypatch):
    spec = ModelSpec("gan", 8, 1, ("a", "b"), latent=4, mlp_width=16, conv_width=8)
    trainer = GanTrainer(build(spec, 0), Gan(mlp_r1=2.0, r1_every=3), torch.device("cpu"))
    penalties, original = [], trainer._penalties
    monkeypatch.setattr(trainer, "_penalties", lambda *given: penalties.append(original(*given)) or penalties[-1])
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 2
    values = [
        trainer.step(Batch(images.clone(), labels, labels), torch.Generator().manual_seed(step), step)[
            "r1_penalty"
        ].item()
        for step in range(6)
    ]
    assert [value > 0 for value in values] == [False, False, True] * 2
    assert {weight for found in penalties for weight, _ in found.values()} == {6.0}
