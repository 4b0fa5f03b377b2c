"""The offline policy: keyed by row, shape and alpha kept, lineage written, the same bytes twice."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aigc_core import config as configuration
from aigc_core.augment.offline import describe, draw, policy
from aigc_core.config import Augment
from aigc_core.data.store import Version
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, row_id
from aigc_core.stages.augment import augment
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

STILL = {"rotate": 0, "flip": 0, "crop": 0, "brightness": 0}


def noise(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 30, 3), (31, 17, 4), (3, 3, 1)])
def test_shape_and_type_survive(shape):
    result = policy(Augment(rotate=20, flip=0.5, crop=0.2, brightness=0.3), 0)(noise(0, shape), "row", 0)
    assert result.shape == shape
    assert result.dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_policy_of_zeros_changes_nothing(channels):
    pixels = noise(1, (9, 12, channels))
    assert np.array_equal(policy(Augment(**STILL), 0)(pixels, "row", 0), pixels)


@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("setting", [{"rotate": 15}, {"flip": 1.0}, {"crop": 0.1}, {"brightness": 0.2}])
def test_each_setting_alone_changes_small_and_larger_images(side, setting):
    apply = policy(Augment(**{**STILL, **setting}), 0)
    changed = [not np.array_equal(apply(noise(i, (side, side, 1)), str(i), 0), noise(i, (side, side, 1))) for i in range(20)]  # fmt: skip
    assert sum(changed) >= 18


def test_flip_is_horizontal():
    pixels = noise(2, (6, 7, 3))
    assert np.array_equal(policy(Augment(**{**STILL, "flip": 1.0}), 0)(pixels, "row", 0), pixels[:, ::-1])


def test_alpha_moves_with_the_shape_but_is_not_brightened():
    pixels = np.full((16, 16, 4), 100, np.uint8)
    pixels[..., 3] = noise(3, (16, 16, 1))[..., 0]
    lit = policy(Augment(**{**STILL, "brightness": 0.5}), 0)(pixels, "row", 0)
    assert np.array_equal(lit[..., 3], pixels[..., 3])
    assert not np.array_equal(lit[..., :3], pixels[..., :3])
    flipped = policy(Augment(**{**STILL, "flip": 1.0}), 0)(pixels, "row", 0)
    assert np.array_equal(flipped[..., 3], pixels[:, ::-1, 3])


def test_brightness_is_a_factor_that_leaves_black_black():
    apply = policy(Augment(**{**STILL, "brightness": 0.1}), 0)
    pixels = np.zeros((8, 8, 1), np.uint8)
    pixels[4:] = 200
    for number in range(30):
        lit = apply(pixels, str(number), 0)
        assert lit[:4].max() == 0
        assert 179 <= lit[4:].min() <= lit[4:].max() <= 221


def test_the_cropped_window_stays_inside_and_within_the_bound():
    settings = Augment(crop=0.3)
    draws = [draw(settings, 0, str(number), 0) for number in range(300)]
    assert max(d.zoom for d in draws) <= 1 / 0.7
    assert max(d.zoom for d in draws) > 1 / 0.75
    for d in draws:
        assert max(map(abs, d.shift)) <= (d.zoom - 1) / 2


def test_rotation_stays_within_its_bound_on_both_sides():
    angles = [draw(Augment(rotate=10), 0, str(number), 0).angle for number in range(300)]
    assert -10 <= min(angles) < -8
    assert 8 < max(angles) <= 10


def test_the_draw_is_keyed_by_seed_row_and_copy():
    settings = Augment()
    keys = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    draws = [draw(settings, *key) for key in keys]
    assert len({d.angle for d in draws}) == 4
    assert [draw(settings, *key) for key in keys] == draws


def test_rows_do_not_depend_on_what_was_done_before():
    pixels = noise(4, (12, 12, 3))
    first, second = policy(Augment(), 5), policy(Augment(), 5)
    for number in range(7):
        first(noise(number, (12, 12, 3)), f"other {number}", 0)
    assert np.array_equal(first(pixels, "row", 0), second(pixels, "row", 0))


def test_op_names_the_copy_and_the_numbers():
    assert describe(Augment(), 2) == "augment[2](rotate=10, flip=0, crop=0.1, brightness=0.1)"


def curated(root, channels=1, skip=(), copies=2):
    """A curated version of 40 images in two classes, without those named in `skip`."""
    for label in ("a", "b"):
        (root / "raw" / label).mkdir(parents=True)
        for number in range(20):
            if f"{label}/{number}" not in skip:
                small = noise(ord(label) * 100 + number, (4, 4, channels))
                planes = [np.asarray(Image.fromarray(small[..., c]).resize((12, 12))) for c in range(channels)]
                content = image.encode_png(np.stack(planes, axis=2))
                (root / "raw" / label / f"{number}.png").write_bytes(content)
    config = configuration.parse({"source": {"kind": "folder", "path": "raw"}, "augment": {"copies": copies}})
    paths = Paths(root)
    ingest(config, paths)
    measure(config, paths)
    curate(config, paths)
    return config, paths


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def test_the_stage_adds_training_rows_with_lineage(tmp_path):
    config, paths = curated(tmp_path)
    augment(config, paths)
    before, after = Version.open(paths.curated), Version.open(paths.augmented)
    assert after.rows.schema.equals(ROW_SCHEMA)
    assert after.card.parent == before.card.version
    assert after.card.content == ["../content", "content"]
    old = {row["id"]: row for row in before.rows.to_pylist()}
    new = {row["id"]: row for row in after.rows.to_pylist()}
    assert all(new[identity] == row for identity, row in old.items())
    added = [row for identity, row in new.items() if identity not in old]
    assert len(added) == 2 * before.select("train").num_rows
    contents = dict(after.contents())
    assert contents.keys() == new.keys()
    for row in added:
        parent = old[row["parent"]]
        assert parent["split"] == row["split"] == "train"
        assert row["label"] == parent["label"]
        assert row["id"] == row_id(row["source"])
        assert row["op"].startswith("augment[")
        assert image.content_hash(image.decode(contents[row["id"]]).pixels) == row["content_hash"]
    with Image.open(paths.augmented / "sheet.png") as sheet:
        assert min(sheet.size) > 50


def test_alpha_survives_the_stage(tmp_path):
    config, paths = curated(tmp_path, channels=4, copies=1)
    augment(config, paths)
    version = Version.open(paths.augmented)
    added = [row["id"] for row in version.rows.to_pylist() if row["op"]]
    alphas = [image.decode(content).pixels[..., 3] for _, content in version.contents(added)]
    assert len(alphas) == len(added) > 0
    assert all(alpha.std() > 1 for alpha in alphas)


def test_removing_one_row_changes_no_other(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "less").mkdir()
    config, whole = curated(tmp_path / "all")
    gone = next(row["source"] for row in Version.open(whole.curated).select("train").to_pylist())
    _, less = curated(tmp_path / "less", skip=(gone.removesuffix(".png"),))
    contents = []
    for paths in (whole, less):
        augment(config, paths)
        contents.append(dict(Version.open(paths.augmented).contents()))
    assert len(contents[0]) == len(contents[1]) + 3, "the row and its two copies"
    assert contents[1].items() <= contents[0].items()


def test_two_runs_make_the_same_bytes(tmp_path):
    config, paths = curated(tmp_path)
    augment(config, paths)
    first = tree(paths.augmented)
    augment(config, paths)
    assert tree(paths.augmented) == first
    assert "sheet.png" in first


def test_the_seed_changes_the_pictures_but_not_the_ids(tmp_path):
    config, paths = curated(tmp_path, copies=1)
    contents = []
    for seed in (0, 1):
        augment(config.model_copy(update={"seed": seed}), paths)
        contents.append(dict(Version.open(paths.augmented).contents()))
    assert contents[0].keys() == contents[1].keys()
    assert contents[0] != contents[1]
    assert pq.read_table(paths.augmented / "rows.parquet").num_rows == len(contents[0])
