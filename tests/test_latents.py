"""What a model's latent numbers do, and how likely a VAE finds images: against values that are known."""

import math

import pytest
import torch

from aigc_core.evaluation import latents
from aigc_core.evaluation.likelihood import as_observed, content_keys, held_out_bound
from aigc_core.models.bound import importance_bound
from aigc_core.models.spec import ModelSpec
from aigc_core.models.zoo import build

SPEC = ModelSpec("vae", 8, 1, ("a", "b", "c"), latent=6, mlp_width=16, conv_width=8, likelihood="bernoulli")


@pytest.fixture
def vae():
    return build(SPEC, 0).double()


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (9, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_the_way_between_two_codes_is_an_arc():
    first, second = torch.tensor([[2.0, 0, 0], [1, 0, 0]]), torch.tensor([[0, 2.0, 0], [1, 0, 0]])
    way = latents.between(first.double(), second.double(), 5)
    torch.testing.assert_close(way[:, 0], first.double())
    torch.testing.assert_close(way[:, -1], second.double())
    torch.testing.assert_close(way[0, 2], torch.tensor([1.0, 1, 0], dtype=torch.float64) * math.sqrt(2))
    torch.testing.assert_close(way[0].norm(dim=1), torch.full((5,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(way[1], first[1].double().expand(5, 3), msg="from a code to itself")


@pytest.mark.parametrize("family", ["vae", "gan", "flow"])
@pytest.mark.parametrize(("classes", "names"), [(("a", "b"), list("ababababab")), (("",), [""] * 10)])
def test_every_family_is_led_from_one_draw_to_another(family, classes, names):
    model = build(ModelSpec(family, 8, 1, classes, 4, 16, 8, sample_steps=2), 0).double()
    found, rows = latents.interpolations(model, 0)
    assert (found.shape, rows) == ((90, 1, 8, 8), names)
    assert torch.equal(found, latents.interpolations(model, 0)[0])
    assert not torch.equal(found, latents.interpolations(model, 1)[0])
    lines = found.reshape(10, 9, -1).float()
    steps = (lines[:, 1:] - lines[:, :-1]).norm(dim=2)
    whole = (lines[:, -1] - lines[:, 0]).norm(dim=1)
    assert (whole > 0).all()
    assert (steps.max(1).values < whole).all(), "no single step is the whole way"


def test_activity_is_the_variance_of_what_the_encoder_says():
    means = torch.tensor([[1.0, 5.0, 0.0], [-1.0, 5.0, 0.1], [3.0, 5.0, -0.1]])
    torch.testing.assert_close(latents.activity(means), torch.tensor([4.0, 0.0, 0.01]))


def test_posterior_means_do_not_depend_on_the_batch(vae, pixels):
    images, labels = as_observed(vae, pixels, 0), torch.arange(9) % 3
    whole = latents.posterior_means(vae, images, labels)
    assert whole.shape == (9, 6)
    torch.testing.assert_close(latents.posterior_means(vae, images, labels, batch_size=2), whole)


def test_a_traversal_moves_one_dimension(vae):
    with torch.no_grad():
        vae.decoder.synthesis.net[0][0].weight[:, 2] = 0  # nothing hears dimension 2
    found = latents.traversals(vae, torch.zeros(6, dtype=torch.float64), 1, [2, 4]).reshape(2, 9, -1)
    assert (found[0] == found[0, 0]).all()
    assert len({tuple(image) for image in found[1].tolist()}) == 9
    assert torch.equal(found[0, 0], found[1, 4]), "the middle is the code itself"


def test_an_image_is_drawn_black_and_white_by_itself(vae, pixels):
    whole = as_observed(vae, pixels, 0)
    assert set(whole.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(as_observed(vae, pixels[3:5], 0), whole[3:5])
    assert not torch.equal(as_observed(vae, pixels, 1), whole)
    grey = torch.full((1, 1, 100, 100), 64, dtype=torch.uint8)
    assert (as_observed(vae, grey, 0) > 0).float().mean().item() == pytest.approx(64 / 255, abs=0.02)
    alike = torch.cat([grey, grey])
    alike[1, 0, 0, 0] += 1
    two = as_observed(vae, alike, 0)
    assert (two[0] != two[1]).float().mean() > 0.1, "each image has draws of its own"
    plain = build(ModelSpec("vae", 8, 1, ("a",), 6, 16, 8), 0)
    assert torch.equal(as_observed(plain, pixels, 0), pixels.float() / 127.5 - 1)
    assert len(set(content_keys(torch.cat([pixels, pixels])).tolist())) == 9


def test_the_bound_is_the_mean_over_images_with_its_interval(vae, pixels):
    many, labels = pixels.repeat(15, 1, 1, 1), (torch.arange(9) % 3).repeat(15)
    bounds = {k: held_out_bound(vae, many, labels, k, 0) for k in (1, 20)}
    assert set(bounds[20]) == {f"iw_bound_bernoulli_k20{end}" for end in ("", "_low", "_high")}
    least, (middle, low, high) = bounds[1]["iw_bound_bernoulli_k1"], bounds[20].values()
    images = as_observed(vae, pixels, 0).double()
    one_by_one = importance_bound(vae, images, torch.arange(9) % 3, content_keys(pixels), 20, 0)
    assert middle == pytest.approx(one_by_one.mean().item(), rel=1e-9)
    reach = 1.959964 * one_by_one.repeat(15).std().item() / math.sqrt(135)
    assert (high - middle, middle - low) == (pytest.approx(reach, rel=1e-5), pytest.approx(reach, rel=1e-5))
    assert least < middle < 0
