"""Attacks: against models small enough to work them out by hand, and what training against them buys."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aigc_core.config import Gan as GanSettings
from aigc_core.errors import ConfigError
from aigc_core.evaluation.classifier import fit_classifier
from aigc_core.evaluation.features import Recipe, load_extractor, save_extractor, train_extractor
from aigc_core.evaluation.robustness import attacked_accuracy
from aigc_core.models.perturb import fgsm, pgd, rising
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build as build_model
from aigc_core.training import adversarial
from aigc_core.training.families.gan import GanTrainer
from aigc_core.training.perturbed import perturbed
from aigc_core.training.trainer import Batch

#: Two values an image; the logit is a - 2 b, and the label says which sign it should have.
WEIGHT = torch.tensor([1.0, -2.0])
IMAGES = torch.tensor([[0.5, -0.25], [-0.95, 0.5]]).reshape(2, 1, 1, 2)
SIGNS = torch.tensor([1.0, -1.0])


def linear_loss(images):
    """Logistic loss of the linear model: its gradient has the sign of -label times the weight."""
    return F.softplus(-SIGNS * (images.flatten(1) @ WEIGHT)).mean()


def test_one_step_goes_against_the_weights_of_a_linear_model():
    moved = fgsm(IMAGES, linear_loss, 0.1)
    torch.testing.assert_close(moved.flatten(1), torch.tensor([[0.4, -0.15], [-0.85, 0.4]]))
    assert linear_loss(moved) > linear_loss(IMAGES)


def test_no_value_leaves_the_range_of_images_unless_it_may():
    dark = torch.full((2, 1, 1, 2), -0.95)
    assert fgsm(dark, linear_loss, 0.1).min() == -1
    assert fgsm(dark, linear_loss, 0.1, bounds=None).min() == pytest.approx(-1.05)


@pytest.mark.parametrize(
    ("radius", "steps", "step", "far"),
    [(0.2, 2, 0.05, 0.1), (0.15, 10, 0.1, 0.15), (0.2, 5, None, 0.2), (0.0, 3, None, 0)],
)
def test_steps_add_up_inside_the_ball(radius, steps, step, far):
    moved = pgd(IMAGES * 0.1, linear_loss, radius, steps, step)
    torch.testing.assert_close((moved - IMAGES * 0.1).abs(), torch.full_like(IMAGES, far))


def test_many_steps_follow_a_bend_that_one_step_overshoots():
    def hill(images):
        return -(images - 0.05).square().sum()

    flat = torch.zeros(1, 1, 2, 2)
    assert hill(fgsm(flat, hill, 0.2)) < hill(flat)
    assert pgd(flat, hill, 0.2, 50) == pytest.approx(0.05, abs=0.011)


def test_an_image_is_changed_by_its_own_loss_and_nothing_else_is_touched():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    images, labels = torch.rand(5, 1, 2, 2) * 2 - 1, torch.tensor([0, 1, 2, 0, 1])
    before = images.clone()
    together = pgd(images, lambda x: F.cross_entropy(network(x), labels), 0.3, 4)
    alone = [
        pgd(images[i : i + 1], lambda x, i=i: F.cross_entropy(network(x), labels[i : i + 1]), 0.3, 4) for i in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    assert torch.equal(images, before)
    assert not together.requires_grad
    assert all(weight.grad is None for weight in network.parameters())
    with torch.inference_mode(False), torch.no_grad():
        assert torch.equal(together, pgd(images, lambda x: F.cross_entropy(network(x), labels), 0.3, 4))


def test_a_loss_without_slope_moves_nothing():
    assert torch.equal(rising(IMAGES, lambda images: (images * 0).sum()), torch.zeros_like(IMAGES))


class _Line(nn.Module):
    """Two classes by the sum of four values: logits (sum, 0)."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0] * 4, [0.0] * 4])

    def forward(self, images):
        return self.head(images.flatten(1))


@pytest.mark.parametrize("steps", [1, 7])
def test_attacked_accuracy_counts_the_margins_that_the_radius_bridges(steps):
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(40, 216, (200, 1, 2, 2), generator=chance, dtype=torch.uint8)
    sums = (pixels.float() / 127.5 - 1).flatten(1).sum(1)
    labels = (sums < 0).long()
    for radius in (0.0, 0.05, 0.2):
        expected = float((sums.abs() > 4 * radius).double().mean())
        assert attacked_accuracy(_Line(), pixels, labels, radius, steps) == pytest.approx(expected, abs=0.006)
        assert expected > 0.1


def stripes(count=160, seed=0):
    """One bright bar in four places, which says the class; noise all over."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    pixels = torch.randint(0, 120, (count, 1, 8, 8), generator=chance, dtype=torch.uint8)
    for index, label in enumerate(labels.tolist()):
        pixels[index, :, 2 * label : 2 * label + 2] += 60
    return pixels, labels


FIT = {"dimensions": 8, "steps": 120, "batch_size": 32, "learning_rate": 0.003}


@pytest.mark.parametrize("steps", [1, 3])
def test_training_against_the_attack_keeps_more_labels(steps):
    plain = fit_classifier(*stripes(), 4, **FIT, seed=0)
    hard = fit_classifier(*stripes(), 4, **FIT, seed=0, perturb=0.15, perturb_steps=steps)
    test = stripes(seed=1)
    assert attacked_accuracy(hard, *test, 0.0, 1) > 0.9
    assert attacked_accuracy(hard, *test, 0.15, 5) > attacked_accuracy(plain, *test, 0.15, 5) + 0.05


def test_off_it_is_the_same_classifier_and_on_it_is_deterministic():
    short = {**FIT, "steps": 5, "seed": 0}
    plain, off, on, again = (
        fit_classifier(*stripes(), 4, **short, **options).state_dict()
        for options in ({}, {"perturb": 0.0, "perturb_steps": 4}, {"perturb": 0.1}, {"perturb": 0.1})
    )
    assert all(torch.equal(plain[name], off[name]) for name in plain)
    assert all(torch.equal(on[name], again[name]) for name in on)
    assert not all(torch.equal(plain[name], on[name]) for name in plain)


def test_the_extractors_card_tells_of_it_only_where_there_was_some(tmp_path):
    short = {**FIT, "steps": 3}
    for recipe, told in (
        (Recipe(**short), set()),
        (Recipe(**short, perturb=0.1, perturb_steps=2), {"perturb", "perturb_steps"}),
    ):
        learnt = train_extractor(*stripes(), list("abcd"), recipe, seed=0, device="cpu")
        save_extractor(learnt, tmp_path)
        assert set(recipe.stored()) == set(short) | told
        assert load_extractor(tmp_path).recipe == recipe


def test_without_labels_there_is_nothing_to_train_against():
    pixels, labels = stripes()
    with pytest.raises(ConfigError, match=r"extractor\.perturb = 0\.1"):
        train_extractor(pixels, labels * 0, [], Recipe(**FIT, perturb=0.1), seed=0, device="cpu")


class _Judge(nn.Module):
    """Logits a - 2 b, whatever the label."""

    def forward(self, images, labels):
        return images.flatten(1) @ WEIGHT


@pytest.mark.parametrize("name", sorted(adversarial.losses))
def test_real_and_fake_images_move_towards_the_wrong_answer(name):
    real, fakes, labels = IMAGES * 0.1, IMAGES[[0, 0]] * 0.2, torch.zeros(2, dtype=torch.int64)
    moved, others = perturbed(_Judge(), adversarial.losses[name].discriminator, real, fakes, labels, 0.05)
    down = -0.05 * WEIGHT.sign().reshape(1, 1, 1, 2).expand(2, -1, -1, -1)
    torch.testing.assert_close(moved - real, down)
    torch.testing.assert_close(others - fakes, -down)


def test_a_radius_of_zero_gives_the_images_themselves():
    labels = torch.zeros(2, dtype=torch.int64)
    same = perturbed(_Judge(), adversarial.losses["hinge"].discriminator, IMAGES, IMAGES, labels, 0.0)
    assert all(one is IMAGES for one in same)


def losses_of(**settings):
    """The losses of three steps of a small GAN."""
    spec = ModelSpec(family="gan", size=8, channels=1, classes=["a", "b"], latent=4, mlp_width=16, conv_width=8)
    trainer = GanTrainer(build_model(spec, 0), GanSettings(**settings), torch.device("cpu"))
    found = []
    for step in range(3):
        chance = torch.Generator().manual_seed(step)
        images = torch.rand((6, 1, 8, 8), generator=chance) * 2 - 1
        batch = Batch(images, torch.arange(6) % 2, torch.arange(6))
        found.append(trainer.step(batch, torch.Generator().manual_seed(step), step))
    return [{name: float(value) for name, value in losses.items()} for losses in found]


def test_a_gans_step_with_perturbed_inputs():
    plain, off, on, again = (
        losses_of(**options) for options in ({}, {"perturb": 0.0}, {"perturb": 0.2}, {"perturb": 0.2})
    )
    assert plain == off
    assert on == again
    assert on[0]["discriminator_loss"] > plain[0]["discriminator_loss"], "it is asked harder questions"
    assert on[2]["r1_penalty"] > 0, "the penalty still sees the real images"


@pytest.mark.parametrize("options", [{"loss": "wgan-gp", "mlp_r1": 0}, {"augment": "ada"}, {"spectral_norm": True}])
def test_perturbed_inputs_go_with_every_other_option(options):
    assert all(value == value for losses in losses_of(perturb=0.1, **options) for value in losses.values())
