"""The bench of the detectors: makers, planting and counting, on little data."""

import io
import math
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aigc_core.config import SplitShares
from aigc_core.data.splits import assign_split
from aigc_core.errors import DecodeError
from aigc_core.modalities import image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

from blindness import check, publish  # noqa: E402
from defects import bars, files, kinds, planting, runs, scoring, sets, tables  # noqa: E402
from defects.audit import Audit  # noqa: E402
from defects.pictures import Row, png  # noqa: E402
from defects.stages import Said  # noqa: E402

#: All that need no data but one, which draws hundreds of rows at least and is made as the other sprites are.
MADE = [name for name, one in sets.SETS.items() if not one.needs_data and name != "long_tail"]


@pytest.mark.parametrize("name", MADE)
def test_made_sets_are_the_same_for_equal_seeds_and_hold_no_picture_twice(name):
    count = 24
    first, again, other = (sets.SETS[name].load(None, count, seed) for seed in (0, 0, 1))
    assert len(first) == count
    assert all(np.array_equal(a.pixels, b.pixels) and a.label == b.label for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))
    assert len(sets.without_copies(first)) == len(first)


def test_made_sets_are_what_they_are_named_for():
    shape = {name: sets.SETS[name].load(None, 8, 0)[0].pixels.shape for name in MADE}
    assert shape["sprites"] == (56, 68, 4)
    assert shape["sprites_small"] == (30, 40, 4)
    assert shape["drawings"] == (105, 105, 1)
    assert shape["textures"] == (96, 128, 3)
    assert shape["textures_large"] == (150, 200, 3)
    assert shape["colours"] == (32, 32, 3)
    assert all(set(np.unique(p.pixels[..., 3])) == {0, 255} for p in sets.SETS["sprites"].load(None, 40, 0))
    rows = sets.long_tail(2500)
    assert len(rows) == 39
    assert sum(count < 20 for count in rows) == 20
    assert abs(sum(rows) - 2500) < 39
    assert {p.label for p in sets.SETS["no_labels"].load(None, 40, 0)} == {None}
    twins = Counter(p.twins for p in sets.SETS["colours"].load(None, 60, 0) if p.twins)
    assert set(twins.values()) == {6}


@pytest.fixture(scope="module")
def sprites():
    return sets.SETS["sprites"].load(None, 240, 0)


@pytest.fixture(scope="module")
def planted(sprites):
    foreign = sets.strangers("photographs", None, sprites, 6, "png", 0)
    return planting.plant(sprites, foreign, planting.kinds_of(sprites, moved=True), 0.025, "png", 0)


def test_every_kind_is_planted_at_its_rate_and_no_original_serves_two(planted, sprites):
    count = Counter(row.kind for row in planted)
    assert {count[kind] for kind in planting.kinds_of(sprites, moved=True)} == {6}
    assert count["valid"] == planting.VALID_EACH * len(files.VALID)
    parents = [row.parent for row in planted if row.parent]
    assert len(parents) == len(set(parents)) == 6 * len(kinds.COPIES)
    assert {row.kind for row in planted if row.name in parents} == {""}
    assert len(planted) == len(sprites) + 6 * (len(kinds.COPIES) + 1)  # damage replaces its row


def test_equal_seeds_plant_the_same_and_names_tell_nothing(planted, sprites):
    foreign = sets.strangers("photographs", None, sprites, 6, "png", 0)
    again = planting.plant(sprites, foreign, planting.kinds_of(sprites, moved=True), 0.025, "png", 0)
    assert again == planted
    assert len({row.name for row in planted}) == len(planted)
    assert all(row.name.split("/")[0] == row.label for row in planted)
    numbers = [int(Path(row.name).stem) for row in planted if row.kind != "valid"]
    kinds_by_number = [
        row.kind for _, row in sorted(zip(numbers, [r for r in planted if r.kind != "valid"], strict=True))
    ]
    assert len(set(kinds_by_number[:60])) > 10  # not one kind after the other


def test_defects_lie_in_reference_training_and_test_rows(planted):
    shares = SplitShares()
    found = {"reference": 0, "train": 0, "test": 0}
    for row in planted:
        if row.kind in kinds.DAMAGE:
            try:
                found[assign_split(image.content_hash(image.decode(row.content).pixels), None, shares)] += 1
            except DecodeError:
                continue
    assert min(found.values()) > 5
    assert {row.label for row in planted if row.kind in kinds.DAMAGE} == {row.label for row in planted}


def test_too_many_defects_are_refused(sprites):
    with pytest.raises(ValueError, match="--rate"):
        planting.plant(sprites, [], planting.kinds_of(sprites, moved=True), 0.1, "png", 0)


def test_kinds_that_a_set_cannot_have_are_left_out():
    def of(name):
        return set(planting.kinds_of(sets.SETS[name].load(None, 8, 0), moved=False))

    assert "low_information" not in of("drawings")
    assert "copy_flattened" not in of("textures")
    assert "copy_flattened" in of("sprites")
    assert not {"conflict", "flip"} & of("one_class")
    assert not set(kinds.MOVED) & of("sprites")


def shown(content):
    """What a picture shows: colours where anything is seen."""
    pixels = image.with_channels(image.decode(content).pixels, 4).astype(int)
    return np.where(pixels[..., 3:] > 0, pixels, 0)


@pytest.mark.parametrize("name", ["sprites", "sprites_small", "drawings", "textures"])
def test_exact_copies_show_the_same_in_every_container(name):
    picture = sets.SETS[name].load(None, 8, 0)[0]
    made = {way: found for way, make in files.COPIES.items() if (found := make(picture.pixels))}
    assert {"PNG", "TIFF", "lossless WebP"} <= set(made)
    for content, _ in made.values():
        assert np.array_equal(shown(content), shown(png(picture.pixels)))
    assert {files.copy(picture.pixels, n)[2] for n in range(len(made))} == set(made)


def test_valid_odd_files_are_valid_and_odd(sprites):
    contents = {name: make(sprites[0].pixels)[0] for name, (make, _) in files.VALID.items()}
    for content in contents.values():
        assert image.decode(content).pixels.shape[:2] == (56, 68)
    opened = {name: Image.open(io.BytesIO(content)) for name, content in contents.items()}
    assert opened["1 bit"].mode == "1"
    assert opened["16 bits"].mode.startswith("I;16")
    assert opened["CMYK"].mode == "CMYK"
    assert opened["palette GIF"].mode == "P"
    assert opened["EXIF rotation"].size == (56, 68)
    assert opened["animation"].n_frames == 3
    assert opened["interlaced PNG"].info["interlace"] == 1
    assert np.array_equal(image.decode(contents["interlaced PNG"]).pixels, sprites[0].pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_damage_is_what_it_is_named_for(channels):
    pixels = image.with_channels(sets.SETS["textures"].load(None, 8, 0)[5].pixels, channels)
    rng = np.random.default_rng(0)

    def luma(kind, number=0):
        made, _ = kinds.DAMAGE[kind](pixels, rng, number)
        return image.with_channels(made, 1).astype(float)

    plain = image.with_channels(pixels, 1).astype(float)
    assert luma("dark").max() < 0.31 * 255
    assert luma("bright").min() > 0.69 * 255
    assert len(np.unique(luma("low_information"))) == 2
    assert luma("blank").std() == 0
    assert np.diff(luma("blurry_15"), axis=1).std() < 0.5 * np.diff(plain, axis=1).std()
    assert luma("noisy_20").std() > plain.std()
    assert image.decode(png(kinds.DAMAGE["too_small"](pixels, rng, 0)[0])).pixels.shape[0] < 8


ROWS = [
    Row("a/0.png", b"", "a"), Row("a/1.png", b"", "a"), Row("a/2.png", b"", "a"), Row("a/3.png", b"", "a"),
    Row("a/4.png", b"", "a", twins="one"), Row("b/5.png", b"", "b", twins="one"),
    Row("b/6.png", b"", "b", "dark"), Row("b/7.png", b"", "b", "dark"),
    Row("b/8.png", b"", "b", "near_shift", "up", parent="a/0.png"), Row("b/9.png", b"", "b", "near_jpeg", parent="a/1.png"),
    Row("b/10.PNG", b"", "b", "valid", "upper-case ending"),
]  # fmt: skip


def said():
    """One of two dark rows is found, and an untouched one is called dark; one copy is found by its original, and two lamps
    are called alike; a valid file is quarantined."""
    return Said(
        reasons={
            "dark": {"b/6.png": "warn", "a/2.png": "warn", "b/9.png": "warn"},
            "duplicate_near": {"a/0.png": "warn", "b/5.png": "warn"},
            "corrupt": {"b/10.PNG": "quarantine"},
        },
        groups={"a/0.png": {"b/8.png"}, "b/5.png": {"a/4.png"}},
        badness={"similarity": {"a/0.png": 0.99, "b/8.png": 0.99, "b/5.png": 0.96, "a/4.png": 0.96}},
        actions={"dark": "warn", "duplicate_near": "warn", "corrupt": "quarantine"},
        counts={"read": 11, "kept": 10, "quarantined": 1},
    )


def test_counting_by_hand():
    found = scoring.score(ROWS, said(), set())
    dark = found["kinds"]["dark"]
    assert (dark["planted"], dark["recall"], dark["precision"]) == (
        2,
        0.5,
        0.5,
    )  # what was planted otherwise is left out
    shift, jpeg, near = (found["kinds"][kind] for kind in ("near_shift", "near_jpeg", "near"))
    assert (shift["recall"], shift["precision"]) == (1, 0.5)
    assert (jpeg["recall"], jpeg["precision"], jpeg["fired"]) == (0, 0, False)
    assert (near["planted"], near["recall"], near["details"]) == (2, 0.5, {"up": [1, 1], "": [0, 1]})
    assert shift["ap"] == 1
    assert found["untouched"]["rows"] == 4  # a/0 and a/1 were copied
    assert found["untouched"]["any"] == 0.5
    assert found["untouched"]["reasons"]["dark"] == {"action": "warn", "flagged": 0.25, "quarantined": 0}
    assert found["colours"] == {"pairs": 1, "alike": 1}
    assert found["valid"]["lost"] == ["upper-case ending (corrupt)"]


def test_look_alikes_that_the_set_came_with_are_left_out():
    found = scoring.score(ROWS, said(), {"b/5.png"})
    assert found["kinds"]["near_shift"]["precision"] == 1
    assert found["untouched"]["any"] == 0.25
    assert found["look_alikes"] == 1


def test_bars_and_the_mean_of_two_runs():
    good, bad = scoring.score(ROWS, said(), set()), scoring.score(ROWS, Said(remarks=["ingest refused: no"]), set())
    whole = scoring.merged([good, bad])
    assert whole["kinds"]["dark"]["recall"] == 0.25
    assert not whole["kinds"]["dark"]["fired"]
    assert whole["remarks"] == ["ingest refused: no"]
    missed = {bar.name for bar in bars.all_of(whole) if not bar.met}
    assert {
        "dark R",
        "near_shift R",
        "near P",
        "rows neither kept nor quarantined",
        "kinds of valid odd files lost",
    } <= missed
    fine = {"planted": 2, "recall": 1.0, "precision": 1.0, "ap": math.nan, "fired": True, "details": {}}
    assert all(bar.met for bar in bars.of_kind("copy", fine))
    assert not any(bar.met for bar in bars.of_kind("copy", {**fine, "fired": False}))
    assert not bars.of_kind("copy", {**fine, "recall": 0.99})[0].met
    assert "dark R" in tables.line("tiny", whole)


def test_a_detector_that_was_not_applied_could_not_fire():
    one = said()
    one.not_applied = {"dark"}
    assert not scoring.score(ROWS, one, set())["kinds"]["dark"]["fired"]


def test_the_audit_knows_one_photograph_from_two():
    pictures = [p.pixels for p in sets.SETS["textures"].load(None, 24, 0)]
    names = {str(n): pixels for n, pixels in enumerate(pictures)}
    names["moved"] = np.roll(pictures[0], 2, axis=1)
    labels = {name: str(int(name) // 3) if name != "moved" else "0" for name in names}
    audit = Audit(names, labels, turns=False)
    assert audit.tells
    assert audit.same([("0", "moved"), ("0", "1"), ("0", "5")]) == [True, False, False]


def test_the_page_has_a_place_for_every_table():
    page = (ROOT / "docs" / "detectors.md").read_text()
    for name in (*sets.SETS, "summary"):
        for mark in (name, f"{name} moved"):
            assert f"<!-- {mark} -->" in page
            assert f"<!-- end of {mark} -->" in page


def test_no_table_takes_the_place_of_one_with_other_rates_or_kinds():
    asked = [
        (list(rates), Namespace(kinds=chosen, moved=moved))
        for rates in ((0.02,), (0.005,), (0.005, 0.05, 0.1), (0.005, 0.1), (0.02, 0.05), (0.005, 0.001))
        for chosen, moved in (
            (["all"], False),
            (["all"], True),
            (["alone"], False),
            (["stranger"], False),
            (["flip", "stranger"], False),
        )
    ]
    assert len({runs.mark("summary", *one) for one in asked}) == len(asked)
    page = (ROOT / "docs" / "detectors.md").read_text()
    still = Namespace(kinds=["all"], moved=False)
    assert f"<!-- {runs.mark('summary', [0.005, 0.05, 0.1], still)} -->" in page
    assert runs.mark("summary", [0.02], still) == "summary"


def test_a_page_without_the_markers_of_a_table_ends_a_bench_before_it_runs(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("first\n<!-- one -->\nold\n<!-- end of one -->\nlast\n<!-- two -->\n")
    check(None, "anything")
    check(page, "one")
    for names in (["two"], ["one", "three"]):
        with pytest.raises(SystemExit, match=names[-1]):
            check(page, *names)
    with pytest.raises(SystemExit, match=r"none\.md"):
        check(tmp_path / "none.md", "one")
    publish(["new"], "one", page)
    assert page.read_text() == "first\n<!-- one -->\n\nnew\n\n<!-- end of one -->\nlast\n<!-- two -->\n"
