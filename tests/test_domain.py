"""The bulk of the reference rows: what it is made of, who measures whom, and which statistics of the pixels there are."""

import numpy as np
import pytest

from aigc_core.quality import domain


def heaps(*parts, spread=0.05, dimensions=4):
    """Rows in heaps: how many, and where along the first direction."""
    rng = np.random.default_rng(0)
    rows = spread * rng.normal(size=(sum(count for count, _ in parts), dimensions))
    rows[:, 0] += np.repeat([place for _, place in parts], [count for count, _ in parts])
    return rows


@pytest.mark.parametrize("near", [-5.0, -1.0])
def test_the_bulk_is_the_rows_that_lie_closest_together(near):
    """Where strangers lie nearer to the middle than the bulk does, one step does not yet leave them out."""
    centre, _ = domain._bulk(heaps((140, 2.0), (60, near)))
    assert centre == pytest.approx([2, 0, 0, 0], abs=0.1)


def test_a_direction_in_which_the_bulk_varies_counts_less():
    rows = heaps((200, 0.0))
    rows[:, 1] *= 10
    _, frame = domain._bulk(rows)
    along = [float(np.square(np.eye(4)[axis] @ frame).sum()) for axis in range(4)]
    assert along[1] < 0.5 * along[0]
    assert along[0] < 2 * along[2]


def test_a_direction_in_which_the_bulk_does_not_vary_does_not_decide():
    rows = heaps((200, 0.0))
    rows[:, 1] = 0
    _, frame = domain._bulk(rows)
    along = [float(np.square(np.eye(4)[axis] @ frame).sum()) for axis in range(4)]
    assert along[1] < 3 * along[0]


def test_each_part_is_measured_by_the_others():
    """Of five strangers each is in a part of its own, and one in the first part is as far as one in the last."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 8)).astype(np.float32)
    rows[:5] += 40
    view = domain.fit_view(rows)
    assert view.own[:5].min() > 3 * view.own[5:].max()
    few = rng.normal(size=(domain.LEAST_REFERENCE, 30)).astype(np.float32)
    view = domain.fit_view(few)
    assert view.own.min() > view.distances(few).min(), "its own part would bring the centre to each row"
    assert np.quantile(view.own, domain.USUAL) == pytest.approx(1)


def test_one_statistic_alone_does_not_make_a_stranger_of_a_row():
    """A statistic that hardly varies among the reference counts up to a limit."""
    rng = np.random.default_rng(0)
    view = domain.fit_view(rng.normal(size=(300, 6)).astype(np.float32))
    row = np.zeros((1, 6), np.float32)
    far, farther = (view.distances(row + np.float32(at) * np.eye(6, dtype=np.float32)[:1]) for at in (1e3, 1e6))
    assert far == pytest.approx(farther, rel=0.01)


def test_statistics_that_do_not_vary_are_no_division_by_zero():
    rows = np.zeros((40, 5), np.float32)
    rows[:, 0] = np.arange(40)
    view = domain.fit_view(rows)
    assert np.isfinite(view.own).all()
    assert np.isfinite(view.distances(rows + 1)).all()
    assert (domain.fit_view(np.zeros((40, 5), np.float32)).own == 0).all()


def test_the_spread_inside_cells_is_among_the_statistics():
    board = np.indices((16, 16)).sum(axis=0) % 2 * 200
    half = np.where(np.arange(16)[:, None] < 8, board, 0).astype(np.uint8)[None, ..., None]
    spreads = domain._spreads(half[..., 0].astype(np.float32) / 255)[0]
    inside = np.log(100 / 255 + 0.01)
    assert spreads[[0, -1]] == pytest.approx([np.log(0.01), inside], abs=1e-3)
    assert np.isclose(domain.statistics(half)[0], inside, atol=1e-3).any()
    assert not np.isclose(domain.statistics(half // 2)[0], inside, atol=1e-3).any()


@pytest.mark.parametrize("side", [4, 5, 12, 32, 33])
def test_every_side_has_statistics_that_do_not_depend_on_other_images(side):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    found = domain.statistics(images)
    assert np.isfinite(found).all()
    assert np.array_equal(found[1:2], domain.statistics(images[1:2]))
    assert np.array_equal(domain.statistics(np.concatenate([images, images[..., :1]], axis=3)), found), (
        "alpha is not seen"
    )


def test_each_kind_of_statistic_tells_pictures_apart():
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
    mixed = np.random.default_rng(0).permutation(ramp.ravel()).reshape(16, 16)
    one, other = domain.statistics(np.stack([ramp, mixed])[..., None])
    levels = 17 + 3  # quantiles, mean, deviation and entropy of the same pixels
    assert one[:levels] == pytest.approx(other[:levels], abs=1e-4)
    assert one[17:19] == pytest.approx([ramp.mean() / 255, ramp.std() / 255], abs=1e-4)
    assert one[19] == pytest.approx(4, abs=0.01), "sixteen levels in equal parts"
    fine = slice(levels + 9, levels + 9 + 4)
    assert (other[fine] > one[fine]).all()
    assert len(one) == levels + 9 + 3 * 4, "gradients at three scales"


def test_fine_texture_is_gone_at_the_coarser_scales():
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 200).astype(np.uint8)[None, ..., None]
    fine, middle, coarse = domain.statistics(board)[0, -12:].reshape(3, 4)
    assert fine == pytest.approx(np.full(4, np.log(400 / 255 + 0.01)), abs=1e-4)
    assert middle == pytest.approx(np.full(4, np.log(0.01)), abs=1e-4)
    assert coarse == pytest.approx(middle)
