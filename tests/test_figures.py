"""Sheets of images: every pixel in its place, and the same bytes for the same pixels."""

import numpy as np
import pytest
from PIL import Image

from aigc_core.report import figures


def solid(value, channels=3, side=8):
    return np.full((side, side, channels), value, np.uint8)


def colours(sheet):
    return {colour for _, colour in sheet.getcolors(1 << 20)}


def test_small_images_are_enlarged_without_new_colours():
    sheet = figures.image_grid(np.stack([solid(10), solid(200)]), 2)
    assert colours(sheet) == {(10, 10, 10), (200, 200, 200), figures.GROUND}
    side = 8 * figures.enlargement(8, 8)
    assert side >= 40
    assert sheet.size == (2 * side + figures.GAP + 2 * figures.MARGIN, side + 2 * figures.MARGIN)


def test_images_stand_in_reading_order_and_the_last_row_may_be_short():
    sheet = np.asarray(figures.image_grid(np.stack([solid(v, 1) for v in (10, 20, 30)]), 2, scale=1))
    m, step = figures.MARGIN, 8 + figures.GAP
    assert sheet[m, m, 0] == 10
    assert sheet[m, m + step, 0] == 20
    assert sheet[m + step, m, 0] == 30
    assert tuple(sheet[m + step, m + step]) == figures.GROUND


def test_labels_and_title_make_room_for_themselves():
    plain = figures.image_grid(np.stack([solid(10)] * 4), 2)
    named = figures.image_grid(np.stack([solid(10)] * 4), 2, row_labels=["zero", "one"], title="A title")
    assert named.width > plain.width
    assert named.height > plain.height


def test_what_is_transparent_shows_a_checkerboard():
    clear, half = solid(0, 4), solid(0, 4)
    half[:4, :, 3] = 255
    assert colours(figures.tile(clear, 2)) == set(figures.CHECKER)
    assert np.asarray(figures.tile(half, 2))[0, 0].tolist() == [0, 0, 0]


def test_pairs_stand_side_by_side_with_captions():
    left, right = np.stack([solid(10)] * 3), np.stack([solid(90)] * 3)
    bare = figures.pair_grid(left, right, 2, "before", "after")
    named = figures.pair_grid(left, right, 2, "before", "after", captions=["a", "b", "c"])
    assert {(10, 10, 10), (90, 90, 90)} <= colours(bare)
    assert named.height > bare.height


def test_images_of_different_sizes_share_a_grid():
    sheet = figures.image_grid([solid(10, side=8), solid(90, 1, side=16)], 2, scale=1)
    assert sheet.width == 2 * 16 + figures.GAP + 2 * figures.MARGIN


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        figures.image_grid([], 2)
    with pytest.raises(ValueError, match="not 2"):
        figures.image_grid([solid(1, 2)], 2)
    with pytest.raises(ValueError, match="1 and 2"):
        figures.pair_grid([solid(1)], [solid(1)] * 2, 2, "a", "b")


def test_equal_pixels_make_equal_files_without_metadata(tmp_path):
    for name in ("a.png", "b.png"):
        figures.save_png(figures.image_grid(np.stack([solid(10)] * 2), 2, title="x"), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as opened:
        assert not opened.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
