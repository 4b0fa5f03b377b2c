"""Known damages: each of them changes images, more so at every strength, by nothing but its seed."""

from statistics import NormalDist

import numpy as np
import pytest
import torch

from aigc_core.evaluation import damages


def pictures(n=40, size=16, channels=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, channels, 4, 4), generator=chance).float()
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(torch.uint8)


GROUPS = np.arange(40) % 5
DAMAGES = {
    "blur": damages.blurred,
    "noise": lambda pixels, strength: damages.noisy(pixels, strength, 3),
    "resolution": damages.coarse,
    "colours": damages.recoloured,
    "strangers": lambda pixels, strength: damages.with_strangers(pixels, strength, 3),
    "missing": lambda pixels, strength: damages.without_groups(pixels, GROUPS, strength, 3),
}


def moved(pixels, other):
    return float((pixels.float() - other.float()).abs().mean())


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (20, 3), (16, 4)])
def test_a_damage_moves_values_further_at_every_strength_and_leaves_the_original(name, size, channels):
    pixels = pictures(size=size, channels=channels)
    before = pixels.clone()
    made = [DAMAGES[name](pixels, strength) for strength in range(3)]
    assert torch.equal(pixels, before)
    assert all(image.shape == pixels.shape and image.dtype == torch.uint8 for image in made)
    changes = [moved(pixels, image) for image in made]
    assert 0.1 < changes[0] < changes[1] < changes[2]
    assert all(torch.equal(image, DAMAGES[name](pixels, strength)) for strength, image in enumerate(made))


def test_noise_has_the_deviation_that_is_named_and_spares_transparency():
    grey = torch.full((20, 4, 16, 16), 128, dtype=torch.uint8)
    noisy = damages.noisy(grey, 0, 0)
    assert float(noisy[:, :3].float().std()) == pytest.approx(25.5, rel=0.05)
    assert (noisy[:, 3] == 128).all()


def test_a_blur_keeps_the_mean_and_takes_the_contrast():
    pixels = pictures(size=16)
    made = damages.blurred(pixels, 2)
    assert float(made.float().mean()) == pytest.approx(float(pixels.float().mean()), abs=2)
    assert float(made.float().std()) < 0.9 * float(pixels.float().std())


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_a_blur_is_as_wide_for_larger_images_in_proportion(side):
    edge = torch.zeros((1, 1, side, side), dtype=torch.uint8)
    edge[..., side // 2 :] = 255
    made = damages.blurred(edge, 2)[0, 0, 0]
    deviation = {8: 2, 16: 2, 32: 4, 64: 8}[side]
    expected = [255 * NormalDist(0, deviation).cdf(step + 0.5) for step in range(3)]
    assert made[side // 2 : side // 2 + 3].tolist() == pytest.approx(expected, abs=3)


def test_hues_are_turned_where_there_are_colours_and_greys_flattened_where_not():
    red = torch.zeros((2, 3, 4, 4), dtype=torch.uint8)
    red[:, 0], red[:, 1:] = 150, 60
    turned = damages.recoloured(red, 2)[0, :, 0, 0].float()
    assert turned.mean() == pytest.approx(90, abs=1), "the grey part stays"
    assert turned.argmax() == 1, "by 100 degrees red turns to green"
    assert float(turned.max() - turned.min()) < 0.6 * 90
    grey = pictures(channels=1).expand(-1, 3, -1, -1)
    assert not damages.has_colours(grey)
    assert not damages.has_colours(pictures(channels=1))
    assert damages.has_colours(pictures(channels=3))
    flat = damages.recoloured(grey, 2).float()
    assert float(flat.std()) == pytest.approx(0.5 * float(grey.float().std()), rel=0.05)


def test_missing_groups_leave_no_image_of_theirs_and_as_many_images():
    pixels = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 8, 8)
    for strength, lost in enumerate((1, 2, 3)):
        seen = GROUPS[damages.without_groups(pixels, GROUPS, strength, 0)[:, 0, 0, 0].numpy()]
        assert (len(seen), len(np.unique(seen))) == (40, 5 - lost)
    assert [damages.missing(count) for count in (4, 8, 10, 40)] == [[1, 2, 3], [1, 2, 4], [1, 2, 5], [4, 10, 20]]


def test_strangers_replace_the_share_that_is_named_and_a_stronger_mix_holds_the_weaker():
    pixels = torch.zeros((40, 1, 12, 12), dtype=torch.uint8)
    made = [damages.with_strangers(pixels, strength, 0) for strength in range(3)]
    foreign = [set((image.float().sum((1, 2, 3)) > 0).nonzero().flatten().tolist()) for image in made]
    assert [len(rows) for rows in foreign] == [2, 6, 16]
    assert foreign[0] < foreign[1] < foreign[2]
    for weaker, stronger, rows in zip(made[:2], made[1:], foreign[:2], strict=True):
        assert torch.equal(weaker[list(rows)], stronger[list(rows)]), "the same strangers in the same places"
    assert (damages.strangers(8, 4, 12, 0)[:, 3] == 255).all()


def test_a_mixture_has_the_means_of_its_groups_and_is_no_copy():
    pixels = pictures(200, 8, 1)
    groups = (pixels.float().mean((1, 2, 3)) > 128).numpy().astype(np.int64)
    made = damages.mixture(pixels, groups, 0)
    for group in (0, 1):
        own = torch.from_numpy(groups == group)
        assert float(made[own].float().mean()) == pytest.approx(float(pixels[own].float().mean()), abs=8)
    assert moved(pixels, made) > 10
    assert torch.equal(made, damages.mixture(pixels, groups, 0))


def test_a_group_of_one_image_is_drawn_with_the_spread_of_the_others():
    pixels = pictures(40, 8, 1)
    made = damages.mixture(pixels, np.arange(40), 0)
    assert moved(pixels, made) < 5, "where every image is its own group nothing has a spread"
    groups = np.where(np.arange(40) == 7, 1, 0)
    assert moved(pixels[7:8], damages.mixture(pixels, groups, 0)[7:8]) > 5


@pytest.mark.parametrize(
    "pixels", [torch.full((40, 1, 8, 8), 9, dtype=torch.uint8), pictures(3, 8, 1), pictures(40, 4, 1)]
)
def test_a_mixture_of_few_or_flat_images_can_be_drawn(pixels):
    made = damages.mixture(pixels, np.arange(len(pixels)) % 2, 0)
    assert made.shape == pixels.shape
    assert float((made.float().mean() - pixels.float().mean()).abs()) < 25


def test_a_mixture_does_not_depend_on_the_signs_of_axes(monkeypatch):
    pixels, groups, plain = pictures(60, 8, 1), np.arange(60) % 3, torch.linalg.eigh
    made = damages.mixture(pixels, groups, 0)

    def turned(table):
        values, axes = plain(table)
        return values, axes * torch.where(torch.arange(axes.shape[1]) % 2 == 0, -1.0, 1.0)

    monkeypatch.setattr(torch.linalg, "eigh", turned)
    assert torch.equal(damages.mixture(pixels, groups, 0), made)
