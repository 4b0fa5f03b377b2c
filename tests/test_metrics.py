"""The formulas against closed forms, other implementations and cases whose answer is known."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from aigc_core.errors import DataError
from aigc_core.evaluation import diversity as diversity_module
from aigc_core.evaluation import left_out, metrics, neighbours
from aigc_core.evaluation.floors import matching_draw, real_floor
from aigc_core.evaluation.intervals import balanced_groups, balanced_order, jackknife, share_interval
from aigc_core.evaluation.panel import Panel
from aigc_core.evaluation.support import expected_coverage


def cloud(seed, n=400, d=6, shift=0.0, scale=1.0):
    chance = np.random.default_rng(seed)
    return chance.normal(size=(n, d)) @ np.diag(np.linspace(0.5, 1.5, d)) * scale + shift


def subsets(labels):
    return metrics.subset_orders(labels, 0)


def exact(mean, covariance, n, seed):
    """n rows whose sample mean and covariance are exactly these."""
    raw = np.random.default_rng(seed).normal(size=(n, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


# -- Frechet ---------------------------------------------------------------------------------------


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
    with pytest.raises(DataError, match="6 dimensions needs 60 images"):
        metrics.FrechetDistance(cloud(0)).infinite(cloud(1, n=59), subsets(np.zeros(59, dtype=np.int64)))
    assert metrics.usable_dimensions(540, 32) == 32
    assert metrics.usable_dimensions(270, 32) == 27
    with pytest.raises(DataError, match="79 held-out images"):
        metrics.usable_dimensions(79, 32)


def test_the_extrapolation_removes_what_the_number_of_images_adds():
    real = cloud(0, n=60_000, d=16)
    few = [cloud(seed, n=400, d=16) for seed in range(1, 9)]
    plain = np.mean([metrics.frechet_distance(real, rows) for rows in few])
    orders = subsets(np.zeros(400, dtype=np.int64))
    infinite = np.mean([metrics.FrechetDistance(real).infinite(rows, orders) for rows in few])
    assert plain > 0.15
    assert abs(infinite) < 0.2 * plain


def test_the_extrapolation_does_not_take_class_shares_for_distance():
    """Far classes in fixed shares: subsets with random shares would put the line hundreds below zero."""
    labels = np.repeat([0, 1, 2], 100)
    centres = np.array([0.0, 30.0, 60.0])[labels][:, None]
    found = metrics.FrechetDistance(cloud(0, n=300) + centres).infinite(cloud(1, n=300) + centres, subsets(labels))
    assert abs(found) < 0.5


def test_the_interval_of_the_extrapolation_is_as_wide_as_other_samples_lie_apart():
    """Subsets drawn anew for every part made it almost three times as wide."""
    panel, labels = Panel(cloud(0, n=300), np.zeros(300, dtype=np.int64), 5, 0), np.zeros(200, dtype=np.int64)
    group = balanced_groups(labels, 10, 0)
    values, halves, middle = [], [], []
    for seed in range(1, 41):
        rows = cloud(seed, n=200, shift=0.3)
        values.append(panel.fd.infinite(rows, subsets(labels)))
        low, high = jackknife(values[-1], panel.without_groups(rows, labels, group, 10)["fd_inf"])
        halves.append((high - low) / 2)
        middle.append((low, high))
    ratio = np.mean(halves) / (scipy.stats.t.ppf(0.975, 9) * np.std(values, ddof=1))
    assert 0.75 < ratio < 1.6
    inside = np.mean([low <= np.mean(values) <= high for low, high in middle])
    assert inside >= 0.85


@pytest.mark.parametrize("cuts", [[], [1], [7, 7, 200]])
def test_moments_in_batches_are_those_of_the_whole(cuts):
    rows = cloud(0, n=300, shift=1e6)
    found = metrics.Moments.empty(6)
    for part in np.split(rows.astype(np.float64), cuts):
        found = found.add(part)
    assert found.count == 300
    assert found.mean == pytest.approx(rows.mean(0), rel=1e-12)
    assert found.covariance == pytest.approx(np.cov(rows, rowvar=False), rel=1e-7, abs=1e-9)
    with pytest.raises(ValueError, match="two rows"):
        _ = metrics.Moments.of(rows[:1]).covariance


# -- neighbours ------------------------------------------------------------------------------------


def brute_force(real, generated, k):
    distance = np.linalg.norm(real[:, None] - real[None], axis=-1)
    radii = np.sort(distance, axis=1)[:, k]  # place 0 is the image itself
    hits = np.linalg.norm(generated[:, None] - real[None], axis=-1) <= radii[None]
    return hits.sum() / (k * len(generated)), hits.any(0).mean(), hits.any(1).mean()


@pytest.fixture(params=[(1, 3), (700, 40), (1 << 22, 1024)], ids=["tiny", "small", "whole"])
def block(request, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", request.param[0])
    monkeypatch.setattr(neighbours, "QUERY_ROWS", request.param[1])


@pytest.mark.usefixtures("block")
def test_support_equals_the_definition():
    real, generated = cloud(0, n=70), cloud(1, n=50, shift=0.4)
    found = metrics.density_coverage(real, generated, 5)
    assert (found.density, found.coverage, found.precision) == pytest.approx(brute_force(real, generated, 5))
    assert found.covered.mean() == found.coverage
    assert metrics.recall(real, generated, 5) == pytest.approx(brute_force(generated, real, 5)[2])


@pytest.mark.usefixtures("block")
def test_neighbours_are_exact_where_float32_is_blind():
    """Far from the origin, and closer to each other than float32 resolves there."""
    pool = cloud(0, n=80, d=3) * 1e-6 + 1000.0
    queries = cloud(1, n=30, d=3) * 1e-6 + 1000.0
    table = np.square(queries[:, None] - pool[None]).sum(-1)
    index, squared = metrics.nearest_rows(queries, pool, 4)
    assert np.array_equal(index, np.argsort(table, axis=1)[:, :4])
    assert squared == pytest.approx(np.sort(table, axis=1)[:, :4], rel=1e-9)
    radii = np.sort(table, axis=0)[3]  # the fourth nearest query lies exactly on each ball
    assert (metrics.inside_balls(queries, pool, radii).by_ball == 4).all()


def test_float32_doubt_is_settled_by_a_search_of_all_rows(monkeypatch):
    """Two close groups: every row has more near-ties than candidates are kept for."""
    monkeypatch.setattr(neighbours, "SPARE", 0)
    chance = np.random.default_rng(0)
    pool = np.concatenate([chance.normal(size=(60, 4)) * 1e-9, chance.normal(size=(60, 4)) * 1e-9 + 1])
    table = np.square(pool[:, None] - pool[None]).sum(-1)
    np.fill_diagonal(table, np.inf)
    index, _ = metrics.nearest_rows(pool, pool, 2, same=True)
    assert np.array_equal(index, np.argsort(table, axis=1)[:, :2])


def test_a_set_covers_itself_and_a_far_one_covers_nothing():
    real = cloud(0)
    assert metrics.density_coverage(real, real, 5).coverage == 1
    repeated = np.repeat(cloud(2, n=30), 8, axis=0)
    assert metrics.density_coverage(repeated, repeated, 5).coverage == 1
    far = metrics.density_coverage(real, real + 100, 5)
    assert (far.density, far.coverage, far.precision) == (0, 0, 0)


def test_a_dropped_mode_lowers_coverage_and_recall_and_leaves_density_and_precision():
    left, right = cloud(0, n=300), cloud(1, n=300, shift=20)
    real = np.concatenate([left, right])
    whole = np.concatenate([cloud(2, n=300), cloud(3, n=300, shift=20)])
    both, one = (metrics.density_coverage(real, rows, 5) for rows in (whole, cloud(4, n=600)))
    assert both.coverage > 0.9
    assert one.coverage < 0.55
    assert one.density == pytest.approx(both.density, rel=0.15)
    assert one.precision == pytest.approx(both.precision, abs=0.05)
    assert metrics.recall(real, cloud(4, n=600), 5) < 0.55 < 0.85 < metrics.recall(real, whole, 5)


def test_clipped_values_equal_their_definition_and_lose_nothing_to_a_stranger():
    real, generated = cloud(0, n=70), cloud(1, n=50, shift=0.4)
    distance = np.linalg.norm(real[:, None] - real[None], axis=-1)
    radii = np.sort(distance, axis=1)[:, 5]
    across = np.linalg.norm(generated[:, None] - real[None], axis=-1)
    density = np.minimum((across <= np.minimum(radii, np.median(radii))).sum(1) / 5, 1).mean()
    coverage = np.minimum((across <= radii).sum(0) / 5, 1).mean()
    squared = metrics.neighbour_radii(real, 5)
    assert metrics.clipped_density(real, generated, 5, squared) == pytest.approx(density)
    assert metrics.density_coverage(real, generated, 5, squared).clipped_coverage == pytest.approx(coverage)
    # One real image far away has a ball that holds everything.
    strange = np.concatenate([real, real[:1] + 50])
    wide = metrics.neighbour_radii(strange, 5)
    far = cloud(2, n=50, shift=20)
    assert metrics.density_coverage(strange, far, 5, wide).density > 0.19
    assert metrics.clipped_density(strange, far, 5, wide) == 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_clipped_values_are_the_planted_share_of_good_images(share):
    real, n = cloud(0, n=400), 400
    squared = metrics.neighbour_radii(real, 5)

    def raw(rows):
        found = metrics.density_coverage(real, rows, 5, squared)
        return np.array([metrics.clipped_density(real, rows, 5, squared), found.clipped_coverage])

    of_real = np.mean([raw(cloud(seed, n=n)) for seed in range(100, 110)], axis=0)
    read = []
    for seed in range(1, 11):
        rows = cloud(seed, n=n)
        rows[: n - round(share * n)] += 100
        found = raw(rows)
        read.append(
            [metrics.density_share(found[0], of_real[0]), metrics.coverage_share(found[1], of_real[1], 5, n, n)]
        )
    assert np.mean(read, axis=0) == pytest.approx([share, share], abs=0.02)


def test_a_share_is_never_negative_and_at_most_twice_what_real_images_have():
    assert metrics.density_share(0.5, 0.4) == pytest.approx(1.25)
    assert 1 < metrics.coverage_share(0.72, 0.7, 5, 90, 90) < 1.2
    assert metrics.coverage_share(1.0, 0.7, 5, 90, 90) == 2
    assert metrics.coverage_share(-0.1, 0.7, 5, 90, 90) == pytest.approx(0, abs=1e-6)
    assert (
        metrics.density_share(-0.1, 0.4)
        == metrics.density_share(0.0, 0.0)
        == metrics.coverage_share(0, 0, 5, 9, 9)
        == 0
    )


@pytest.mark.parametrize(("k", "real", "generated"), [(150, 2000, 10_000), (5, 90, 90), (120, 10_000, 10_000)])
def test_the_expected_coverage_is_that_of_a_simulation_for_any_number_of_neighbours(k, real, generated):
    chance = np.random.default_rng(0)
    mass = chance.beta(k, real - k, 200_000)
    for share in (0.02, 0.1, 0.3, 1.0):
        held = np.minimum(chance.binomial(round(share * generated), mass) / k, 1).mean()
        assert expected_coverage(round(share * generated) / generated, k, real, generated) == pytest.approx(
            held, abs=2e-3
        )
    raw = 0.9 * expected_coverage(0.1, k, real, generated) / expected_coverage(1.0, k, real, generated)
    assert metrics.coverage_share(raw, 0.9, k, real, generated) == pytest.approx(0.1, abs=1e-6)
    shares = np.linspace(0, 2, 400)
    assert (np.diff([expected_coverage(share, k, real, generated) for share in shares]) > -1e-9).all()


def test_neighbours_need_enough_rows():
    with pytest.raises(DataError, match=r"evaluate\.neighbours = 5"):
        metrics.neighbour_radii(cloud(0, n=5), 5)
    with pytest.raises(ValueError, match="3 neighbours need 4 rows"):
        metrics.nearest_rows(cloud(0, n=3), cloud(0, n=3), 3, same=True)


@pytest.mark.usefixtures("block")
def test_nearest_finds_the_planted_twin_among_bytes_too():
    pool = cloud(0, n=200)
    index, squared = metrics.nearest_rows(pool[[7, 150, 3]] + 0.01, pool)
    assert index[:, 0].tolist() == [7, 150, 3]
    assert squared[:, 0] == pytest.approx([6 * 0.01**2] * 3)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 64), dtype=np.uint8))
    index, squared = metrics.nearest_rows(pixels[[4, 49]], pixels)
    assert (index.tolist(), squared.tolist()) == ([[4], [49]], [[0], [0]])


# -- kernels, diversity ----------------------------------------------------------------------------


def unbiased(kernel, first, second):
    """Squared discrepancy, pair by pair."""
    within = [
        np.mean([kernel(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j])
        for rows in (first, second)
    ]
    return sum(within) - 2 * np.mean([kernel(x, y) for x in first for y in second])


def test_kernel_distances_equal_their_definition():
    real, generated = cloud(0, n=20, d=3), cloud(1, n=14, d=3, shift=0.5)
    pairs = [np.linalg.norm(real[i] - real[j]) for i in range(20) for j in range(i)]
    width = sorted(pairs)[(len(pairs) - 1) // 2]
    rbf = unbiased(lambda x, y: math.exp(-((x - y) @ (x - y)) / (2 * width**2)), real, generated)
    assert metrics.KernelDistance(real, metrics.rbf_kernel(real, 0))(generated) == pytest.approx(rbf, rel=1e-9)
    cubic = unbiased(lambda x, y: (x @ y / 3 + 1) ** 3, real, generated)
    assert metrics.KernelDistance(real, metrics.cubic_kernel(3))(generated) == pytest.approx(cubic, rel=1e-9)


def test_kernel_distances_of_the_same_source_are_about_zero_on_both_sides():
    real = cloud(0)
    mmd = metrics.KernelDistance(real, metrics.rbf_kernel(real, 0))
    values = [mmd(cloud(seed)) for seed in range(1, 25)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 0.001 < 0.02 < mmd(cloud(1, shift=0.3))
    with pytest.raises(DataError, match="the same in the extractor's features"):
        metrics.rbf_kernel(np.zeros((50, 3)), 0)


def test_vendi_score_counts_different_images_and_diversity_sees_a_collapse_inside_a_class():
    far = np.eye(12) * 1000
    kernel = metrics.rbf_kernel(cloud(0), 0)
    assert metrics.vendi_score(far, kernel) == pytest.approx(12)
    assert metrics.vendi_score(np.repeat(far[:3], 4, axis=0), kernel) == pytest.approx(3)
    labels = np.repeat([0, 1], 200)
    real, collapsed = cloud(1), np.repeat(cloud(1)[::50], 50, axis=0)
    whole = metrics.diversity(real, labels, kernel)
    assert metrics.diversity(collapsed, labels, kernel) < 0.6 * whole
    assert diversity_module.MOST >= 200


# -- intervals and floors --------------------------------------------------------------------------


def test_groups_spread_every_class_evenly():
    labels = np.repeat([0, 1, 2], [40, 25, 3])
    groups = balanced_groups(labels, 5, 0)
    assert np.bincount(groups).tolist() == [14, 14, 14, 13, 13]
    assert np.bincount(groups[labels == 0]).tolist() == [8] * 5
    assert not np.array_equal(groups, balanced_groups(labels, 5, 1))


def test_every_beginning_of_a_balanced_order_has_the_shares_of_the_whole():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = balanced_order(labels, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    for size in (20, 50, 90):
        assert np.abs(np.bincount(labels[order[:size]], minlength=3) - size * np.array([0.6, 0.3, 0.1])).max() < 2


def test_the_jackknife_of_a_mean_is_the_t_interval_of_the_group_means():
    values = np.random.default_rng(0).normal(size=60)
    groups = np.arange(60) % 6
    low, high = jackknife(values.mean(), [values[groups != g].mean() for g in range(6)])
    means = [values[groups == g].mean() for g in range(6)]
    reach = scipy.stats.t.ppf(0.975, 5) * np.std(means, ddof=1) / math.sqrt(6)
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    with pytest.raises(ValueError, match="two groups"):
        jackknife(1.0, [1.0])


def test_intervals_of_fd_and_coverage_hold_what_other_samples_get():
    """95 % intervals over 60 sets of samples; the middle of all of them should be inside nearly always."""
    real, group = cloud(0, n=500), balanced_groups(np.zeros(200, dtype=np.int64), 10, 0)
    radii, fd = metrics.neighbour_radii(real, 5), metrics.FrechetDistance(real)
    truth = {"fd": [], "coverage": []}
    bounds = {"fd": [], "coverage": []}
    for seed in range(1, 61):
        rows = cloud(seed, n=200, shift=0.3)
        truth["fd"].append(fd(rows))
        truth["coverage"].append(metrics.density_coverage(real, rows, 5, radii).coverage)
        parts = left_out.supports(real, rows, 5, radii, group, 10)
        bounds["fd"].append(jackknife(truth["fd"][-1], [fd(rows[group != each]) for each in range(10)]))
        bounds["coverage"].append(jackknife(truth["coverage"][-1], [part.coverage for part in parts]))
    for name, values in truth.items():
        middle = np.mean(values)
        inside = np.mean([low <= middle <= high for low, high in bounds[name]])
        assert 0.85 <= inside <= 1, (name, inside)
        width = np.mean([high - low for low, high in bounds[name]])
        assert 0.7 < width / (2 * scipy.stats.t.ppf(0.975, 9) * np.std(values)) < 1.4, name


@pytest.mark.parametrize("known", [1, left_out.KNOWN], ids=["searched again", "known"])
def test_leaving_a_group_out_says_what_a_new_look_at_the_rest_says(known, monkeypatch):
    """Among the samples are images that occur several times: distances of 0, and ties."""
    monkeypatch.setattr(left_out, "KNOWN", known)
    real, labels = cloud(0, n=90), np.arange(80) % 2
    rows = np.concatenate([cloud(1, n=60, shift=0.4), np.repeat(cloud(2, n=4), 5, axis=0)])
    panel, group = Panel(real, np.arange(90) % 2, 5, 0), balanced_groups(labels, 4, 0)
    found = panel.without_groups(rows, labels, group, 4)
    orders = subsets(labels)
    for each in range(4):
        alone = panel.read(rows[group != each], labels[group != each]).values
        said = {name: values[each] for name, values in found.items()}
        for name in ("mmd", "kid"):
            assert said.pop(name) == pytest.approx(alone.pop(name), rel=1e-9)
        kept = [order[group[order] != each] for order in orders]
        alone["fd_inf"] = panel.fd.infinite(rows, kept, least=1)
        assert said == alone
    assert len(set(found["recall"])) > 1
    assert len(set(found["coverage"])) > 1
    assert len(set(found["clipped_density"])) > 1
    assert len(set(found["clipped_coverage"])) > 1


def test_too_few_images_without_a_group_are_refused():
    panel, labels = Panel(cloud(0, n=90), np.zeros(90, dtype=np.int64), 5, 0), np.zeros(10, dtype=np.int64)
    with pytest.raises(DataError, match=r"5 images are too few for evaluate\.neighbours = 5"):
        panel.without_groups(cloud(1, n=10), labels, np.arange(10) % 2, 2)
    with pytest.raises(ValueError, match="there are 1"):
        panel.mmd.without_groups(cloud(1, n=3), np.array([0, 0, 1]), 2)


def test_a_share_has_the_score_interval():
    expected = scipy.stats.binomtest(37, 40).proportion_ci(method="wilson")
    assert share_interval(37 / 40, 40) == pytest.approx((expected.low, expected.high))
    assert share_interval(1.0, 40)[1] == 1
    assert share_interval(0.0, 40)[0] == pytest.approx(0, abs=1e-12)


def test_the_floor_is_what_real_data_gets():
    train, test = cloud(0, n=900), cloud(1, n=300)
    many, few = np.zeros(900, dtype=np.int64), np.zeros(300, dtype=np.int64)
    panel = Panel(test, few, 5, 0)
    floor = real_floor(panel, train, many, draws=8, seed=0)
    assert 0 < floor.fd < metrics.frechet_distance(test, cloud(2, n=300, shift=0.5))
    assert 0 < floor.spread["fd"] < floor.fd_std < floor.fd
    assert floor.coverage > 0.9
    assert floor.covered.mean() == pytest.approx(floor.coverage)
    assert floor.density == pytest.approx(1, abs=0.15)
    assert set(floor.values) == set(metrics.ON_FEATURES) == set(floor.spread)
    assert floor.values["diversity"] == pytest.approx(metrics.diversity(test, few, panel.within), rel=0.1)
    assert floor.values == real_floor(panel, train, many, draws=8, seed=0).values


def test_a_wide_pool_and_many_draws_give_the_floor_the_spread_of_its_draws():
    test, train = cloud(1, n=100), cloud(0, n=200)
    labels, many = np.zeros(100, dtype=np.int64), np.zeros(200, dtype=np.int64)
    panel, chance = Panel(test, labels, 5, 0), np.random.default_rng(0)
    values = [panel.fd(train[matching_draw(many, labels, chance)]) for _ in range(20)]
    floor = real_floor(panel, train, many, draws=20, seed=0)
    assert floor.fd == pytest.approx(np.mean(values))
    assert floor.fd_std == pytest.approx(np.std(values, ddof=1) * np.sqrt(1.5 / 0.5))
    few = real_floor(panel, train, many, draws=9, seed=0)
    assert few.fd_std != pytest.approx(np.std(values[:9], ddof=1) * np.sqrt(3), rel=0.01), (
        "too few draws: the jackknife"
    )
    narrow = real_floor(panel, train[:149], many[:149], draws=20, seed=0)
    share, draws = 100 / 149, np.random.default_rng(0)
    values = [panel.fd(train[matching_draw(many[:149], labels, draws)]) for _ in range(20)]
    other = np.std(values, ddof=1) * np.sqrt((1 + share) / (1 - share))
    assert narrow.fd_std != pytest.approx(other, rel=0.01), "too small a pool: the jackknife"


def test_a_pool_that_is_one_draw_leaves_the_floor_its_chance():
    """Every draw is the same then, and the spread over draws 0: real images would be called worse than real."""
    test, labels = cloud(1, n=300), np.zeros(300, dtype=np.int64)
    panel = Panel(test, labels, 5, 0)
    floor = real_floor(panel, cloud(0, n=300), labels, draws=4, seed=0)
    assert floor.spread["fd"] == pytest.approx(0, abs=1e-9)
    fresh = np.array([panel.fd(cloud(seed, n=300)) for seed in range(2, 42)])
    assert 0.7 * np.std(fresh) < floor.fd_std / np.sqrt(2) < 2 * np.std(fresh)
    assert np.mean(np.abs(fresh - floor.fd) > 2 * floor.fd_std) < 0.1


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
