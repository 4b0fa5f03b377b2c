"""The formulas against closed forms, other implementations and cases whose answer is known."""

import numpy as np
import pytest
import scipy.linalg

from aigc_core.errors import DataError
from aigc_core.evaluation import metrics
from aigc_core.evaluation.floors import matching_draw, real_floor


def cloud(seed, n=400, d=6, shift=0.0, scale=1.0):
    chance = np.random.default_rng(seed)
    return chance.normal(size=(n, d)) @ np.diag(np.linspace(0.5, 1.5, d)) * scale + shift


def exact(mean, covariance, n, seed):
    """n rows whose sample mean and covariance are exactly these."""
    raw = np.random.default_rng(seed).normal(size=(n, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_commuting_gaussians_is_the_closed_form():
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 1.0, 0.25])
    first, second = exact(np.zeros(3), a, 100, 0), exact(np.array([1.0, 0.0, -2.0]), b, 80, 1)
    expected = 5 + ((np.sqrt(np.diag(a)) - np.sqrt(np.diag(b))) ** 2).sum()
    assert metrics.frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_equals_the_textbook_root():
    first, second = cloud(0), cloud(1, shift=0.3, scale=1.4) @ scipy.linalg.hadamard(8)[:6, :6] / 2
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    gap = first.mean(0) - second.mean(0)
    textbook = gap @ gap + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    assert metrics.frechet_distance(first, second) == pytest.approx(textbook, rel=1e-8)


def test_frechet_distance_is_symmetric_and_zero_for_the_same():
    first, second = cloud(0), cloud(1, shift=0.5)
    there, back = metrics.frechet_distance(first, second), metrics.frechet_distance(second, first)
    assert there == pytest.approx(back, rel=1e-9)
    assert there > 0.5
    assert metrics.frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_survives_a_constant_feature():
    first, second = cloud(0), cloud(1)
    first[:, 2] = second[:, 2] = 0
    assert np.isfinite(metrics.frechet_distance(first, second))


def test_too_few_rows_are_refused_with_the_way_out():
    with pytest.raises(DataError, match=r"6 dimensions needs 60 images .* there are 59.*to 5"):
        metrics.frechet_distance(cloud(0, n=59), cloud(1))
    assert metrics.usable_dimensions(540, 32) == 32
    assert metrics.usable_dimensions(270, 32) == 27
    with pytest.raises(DataError, match="79 held-out images"):
        metrics.usable_dimensions(79, 32)


def brute_force(real, generated, k):
    distance = np.linalg.norm(real[:, None] - real[None], axis=-1)
    radii = np.sort(distance, axis=1)[:, k]  # place 0 is the image itself
    hits = np.linalg.norm(generated[:, None] - real[None], axis=-1) <= radii[None]
    return hits.sum() / (k * len(generated)), hits.any(0).mean()


@pytest.mark.parametrize("block", [1, 700, 1 << 22])
def test_density_and_coverage_equal_the_definition(block, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", block)
    real, generated = cloud(0, n=150), cloud(1, n=90, shift=0.4)
    found = metrics.density_coverage(real, generated, 5)
    assert (found.density, found.coverage) == pytest.approx(brute_force(real, generated, 5))
    assert found.covered.mean() == found.coverage


def test_a_set_covers_itself_and_a_far_one_covers_nothing():
    real = cloud(0)
    assert metrics.density_coverage(real, real, 5).coverage == 1
    repeated = np.repeat(cloud(2, n=30), 8, axis=0)
    assert metrics.density_coverage(repeated, repeated, 5).coverage == 1
    far = metrics.density_coverage(real, real + 100, 5)
    assert (far.density, far.coverage) == (0, 0)


def test_a_dropped_mode_lowers_coverage_and_leaves_density():
    left, right = cloud(0, n=300), cloud(1, n=300, shift=20)
    real = np.concatenate([left, right])
    both = metrics.density_coverage(real, np.concatenate([cloud(2, n=300), cloud(3, n=300, shift=20)]), 5)
    one = metrics.density_coverage(real, cloud(4, n=600), 5)
    assert both.coverage > 0.9
    assert one.coverage < 0.55
    assert one.density == pytest.approx(both.density, rel=0.15)


def test_neighbours_need_enough_rows():
    with pytest.raises(DataError, match=r"evaluate\.neighbours = 5"):
        metrics.neighbour_radii(cloud(0, n=5), 5)


@pytest.mark.parametrize("block", [1, 333, 1 << 22])
def test_nearest_finds_the_planted_twin(block, monkeypatch):
    monkeypatch.setattr(metrics, "BLOCK_NUMBERS", block)
    pool = cloud(0, n=200)
    index, distance = metrics.nearest(pool[[7, 150, 3]] + 0.01, pool)
    assert index.tolist() == [7, 150, 3]
    assert distance == pytest.approx([0.01] * 3)


def test_the_floor_is_what_real_data_gets():
    train, test = cloud(0, n=900), cloud(1, n=300)
    many, few = np.zeros(900, dtype=np.int64), np.zeros(300, dtype=np.int64)
    radii = metrics.neighbour_radii(test, 5)
    floor = real_floor(train, test, many, few, neighbours=5, radii=radii, draws=8, seed=0)
    assert 0 < floor.fd < metrics.frechet_distance(test, cloud(2, n=300, shift=0.5))
    assert 0 < floor.fd_std < floor.fd
    assert floor.coverage > 0.9
    assert floor.density == pytest.approx(1, abs=0.15)
    assert floor == real_floor(train, test, many, few, neighbours=5, radii=radii, draws=8, seed=0)


def test_a_draw_has_the_labels_of_the_test_images():
    chance = np.random.default_rng(0)
    pool, wanted = np.repeat([0, 1, 2], [50, 30, 5]), np.repeat([0, 1, 2], [10, 20, 8])
    draw = matching_draw(pool, wanted, chance)
    assert len(set(draw.tolist())) == 38
    counts = np.bincount(pool[draw])
    assert counts[2] == 5, "all that there are"
    assert counts[0] >= 10
    assert counts[1] >= 20
    assert set(draw.tolist()) != set(matching_draw(pool, wanted, chance).tolist())
