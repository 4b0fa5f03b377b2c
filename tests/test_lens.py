"""What learned checks see of an image: over black where it is transparent, bounded in size and in range."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from rich.progress import Progress

from aigc_core.config import Quality
from aigc_core.data.store import Version
from aigc_core.modalities.image import encode_png
from aigc_core.quality import learned
from aigc_core.quality.lens import MOST, SIDE, Look, shown
from aigc_core.quality.scan import Chunk
from aigc_core.stages.ingest import ingest
from aigc_core.stages.parts import learn


def figures(count, seed=0, hidden=0):
    """Opaque squares of random colours in the middle of nothing (count, 12, 12, 4); what is not seen is random or `hidden`."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 12, 12, 4), np.uint8)
    found[..., :3] = rng.integers(0, 256, (count, 12, 12, 3)) if hidden is None else hidden
    rng = np.random.default_rng(seed + 1)
    found[:, 3:9, 3:9, :3] = rng.integers(0, 256, (count, 6, 6, 3))
    found[:, 3:9, 3:9, 3] = 255
    return found


def test_colour_that_shows_little_says_little_and_alpha_is_kept():
    images = np.array([[[[200, 100, 50, 0], [200, 100, 50, 51]], [[200, 100, 50, 255], [9, 8, 7, 128]]]], np.uint8)
    assert shown(images).tolist() == [[[[0, 0, 0, 0], [40, 20, 10, 51]], [[200, 100, 50, 255], [5, 4, 4, 128]]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_images_are_shown_as_they_are(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, channels), dtype=np.uint8)
    assert np.array_equal(shown(images), images)


def chunk_of(images):
    chunk = Chunk()
    for number, pixels in enumerate(images):
        chunk.add(f"{number:04d}", encode_png(pixels), None)
    return chunk


def test_what_is_not_seen_of_an_image_changes_nothing_that_is_learnt_of_it():
    lens = learned._fit(shown(figures(40)))
    look, wanted = Look(lens, 12, 4), [True] * 5
    plain, other = (look((chunk_of(figures(5, 7, hidden)), wanted)).seen for hidden in (0, None))
    assert np.array_equal(plain.distances, other.distances)
    assert np.array_equal(plain.described, other.described)
    assert len(plain.described) == 5


def test_what_is_learnt_from_is_seen_over_black(make, monkeypatch, tmp_path):
    taken = []

    def spy(rows, ids, images, rule, scratch):
        taken.append((ids, images))

    monkeypatch.setattr(learn, "Learner", spy)
    files = {f"a/{n}.png": encode_png(one) for n, one in enumerate(figures(40, hidden=None))}
    config, paths = make.config("folder", make.folder({**files, "a/broken.png": b"broken"})), make.paths()
    ingest(config, paths)
    version = Version.open(paths.ingested)
    with Progress(disable=True) as bars:
        learn.learner_of(config, version, tmp_path, bars)
    ((ids, images),) = taken
    assert 0 < len(ids) == len(images) == sum(split == "reference" for split in version.rows["split"].to_pylist()
                                              ) - broken_references(version)  # fmt: skip
    assert images.shape[1:] == (12, 12, 4)
    assert not images[images[..., 3] == 0].any()
    assert images[images[..., 3] == 255].any()


def broken_references(version):
    return sum(row["split"] == "reference" and row["content_hash"] is None for row in version.rows.to_pylist())


def test_nothing_is_learnt_where_both_rules_are_off(tmp_path):
    version = SimpleNamespace(rows=None, card=None)
    quality = Quality.model_validate({name: getattr(Quality(), name).model_dump() | {"action": "off"}
                                      for name in ("label_suspect", "out_of_domain")})  # fmt: skip
    config = SimpleNamespace(quality=quality)
    assert learn.learner_of(config, version, tmp_path, None) is None
    assert "off" in learn.said(None, 0, 0)


@pytest.mark.parametrize("rule", ["label_suspect", "out_of_domain"])
def test_one_rule_that_is_on_is_enough_to_learn(make, tmp_path, rule):
    config, paths = make.config("folder", make.folder({f"a/{n}.png": make.png(n) for n in range(60)})), make.paths()
    ingest(config, paths)
    off = getattr(config.quality, rule).model_copy(update={"action": "off"})
    config = config.model_copy(update={"quality": config.quality.model_copy(update={rule: off})})
    with Progress(disable=True) as bars:
        assert learn.learner_of(config, Version.open(paths.ingested), tmp_path, bars) is not None


@pytest.mark.parametrize(("size", "seen"), [(12, 12), (SIDE, SIDE), (3 * SIDE, SIDE)])
def test_learned_checks_see_images_of_bounded_size(size, seen):
    version = SimpleNamespace(card=SimpleNamespace(image={"size": size, "channels": 3}))
    look = learn.look_of(version, None)
    assert (look.size, look.channels, look.lens) == (seen, 3, None)


def test_what_is_known_is_said_in_numbers():
    learner = SimpleNamespace(classes=["a", "b", "c"])
    words = learn.said(learner, 1234, 567)
    assert all(number in words for number in ("1,234", "567", "3"))
    assert "1,234" not in learn.said(learner, 0, 567)
    assert "567" not in learn.said(learner, 1234, 0)


def test_descriptions_stay_in_the_range_of_16_bits():
    images = figures(40)[..., :3]
    lens = learned._fit(images)
    narrow = replace(lens, spread=lens.spread * 1e-9)
    described = narrow(images, np.ones(40, bool)).described
    assert np.isfinite(described).all()
    assert np.abs(described).max() == MOST


def test_only_what_is_wanted_and_shows_something_is_described():
    images = figures(40)[..., :3]
    lens = learned._fit(images)
    some = images[:4].copy()
    some[2] = 80
    seen = lens(some, np.array([True, False, True, True]))
    assert seen.which.tolist() == [True, False, False, True]
    assert len(seen.described) == 2
    assert np.array_equal(seen.described[1:], lens(some[3:], np.ones(1, bool)).described)
    assert len(seen.distances) == 4
    nothing = lens(some, np.zeros(4, bool))
    assert nothing.described.shape == (0, lens.descriptor.dimensions)


def test_too_few_reference_images_make_no_lens():
    assert learned._fit(figures(9)) is None
    assert learned._fit(figures(10)) is not None


def test_a_chunk_without_a_readable_image_is_measured_and_not_seen():
    chunk = Chunk()
    chunk.add("0", b"broken", None)
    sight = Look(learned._fit(figures(20)), 12, 4)((chunk, [True]))
    assert (sight.ids, sight.seen) == ([], None)
    assert isinstance(sight.scanned.facts, pa.RecordBatch)
