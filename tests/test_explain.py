"""What a generated file is most like, and whether its model may be released at all."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from aigc_core.commands.explain import explain, training_images
from aigc_core.config import Config
from aigc_core.data.store import ContentWriter, Version, write_version
from aigc_core.errors import DataError, GateError
from aigc_core.evaluation.explain import nearest_features, nearest_pixels
from aigc_core.evaluation.features import load_extractor
from aigc_core.files import write_json
from aigc_core.modalities import provenance
from aigc_core.modalities.image import RESIZE_MODE, encode_png
from aigc_core.paths import Paths
from aigc_core.records import ROW_SCHEMA, row_id
from aigc_core.stages.extractor import extractor
from aigc_core.stages.parts.likeness import describe, likeness
from aigc_core.stages.parts.release import evaluation_checks, memorization_of, require_release

CARD = {"family": "gan", "model_sha256": "ab" * 32, "seed": 3, "label": "a", "index": 0}


def test_neighbours_are_those_of_a_plain_table():
    chance = np.random.default_rng(0)
    samples, train = chance.normal(size=(5, 6)), chance.normal(size=(40, 6))
    table = np.sqrt(np.square(samples[:, None] - train[None]).sum(2))
    found = nearest_features(samples, train, 4)
    assert np.array_equal(found.index, np.argsort(table, axis=1)[:, :4])
    assert np.allclose(found.distance, np.sort(table, axis=1)[:, :4])
    pixels = torch.randint(0, 256, (40, 1, 3, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    near = nearest_pixels(pixels[[9, 30]], pixels, 2)
    assert near.index[:, 0].tolist() == [9, 30]
    assert near.distance[0, 0] == 0
    other = pixels[int(near.index[0, 1])].double() - pixels[9].double()
    assert near.distance[0, 1] == pytest.approx(float(other.square().mean().sqrt()))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Bars in one of three rows, an extractor of them, and a file that is training image number 4, generated."""
    paths = Paths(tmp_path_factory.mktemp("checkout"))
    chance = np.random.default_rng(7)
    columns = {name: [] for name in ROW_SCHEMA.names}
    kept = {}
    with ContentWriter(paths.content) as writer:
        for split, count in {"reference": 60, "train": 60, "test": 12}.items():
            for index in range(count):
                pixels = chance.integers(0, 80, (8, 8, 1)).astype(np.uint8)
                pixels[1 + 2 * (index % 3)] += 150
                source = f"{split}/{index}.png"
                kept[source] = pixels
                writer.add(row_id(source), encode_png(pixels))
                row = {"id": row_id(source), "label": "abc"[index % 3], "split": split, "source": source}
                for name, values in columns.items():
                    values.append(row.get(name))
    common = {"parameters": {}, "parent": None, "content": ["../content"],
              "image": {"size": 8, "channels": 1, "resize": RESIZE_MODE}}  # fmt: skip
    rows = pa.table(columns, schema=ROW_SCHEMA)
    write_version(paths.ingested, rows, operation="ingest", **common)
    version = write_version(paths.curated, rows, operation="curate", **common).version
    config = Config.model_validate({"extractor": {"dimensions": 8, "steps": 60}, "train": {"device": "cpu"}})
    extractor(config, paths)
    content = provenance.embed(kept["train/4.png"], dataset_version=version, **CARD)
    (paths.root / "a.png").write_bytes(content)
    return paths


def test_the_original_of_a_copy_comes_first_in_both_ways(checkout, capsys):
    result = explain(checkout, checkout.root / "a.png", 3)
    nearest = result.facts["nearest"]
    assert [(row["way"], row["rank"]) for row in nearest] == [(w, r) for w in ("features", "pixels") for r in (1, 2, 3)]
    for first in (nearest[0], nearest[3]):
        assert (first["source"], first["label"], first["distance"]) == ("train/4.png", "b", 0.0)
        assert first["id"] == row_id("train/4.png")
    assert "Likeness is no cause" in result.summary
    printed = capsys.readouterr().out
    assert result.facts["version"] in printed
    assert (checkout.root / "a.explain.png").stat().st_size > 500
    version = Version.open(checkout.curated)
    train = training_images(version, load_extractor(checkout.extractor))
    many = describe(likeness(train.pixels[:2], train, load_extractor(checkout.extractor), 100), version, train)
    assert [len(rows) for rows in many] == [120, 120], "no more neighbours than there are images"


def test_another_dataset_version_on_disk_is_refused_with_both_named(checkout, tmp_path):
    there = Version.open(checkout.curated).card.version
    sample = tmp_path / "b.png"
    sample.write_bytes(provenance.embed(np.zeros((8, 8, 1), np.uint8), dataset_version="0123456789abcdef", **CARD))
    with pytest.raises(DataError, match=f"dataset version 0123456789abcdef, and on disk is {there}"):
        explain(checkout, sample, 3)
    assert not (tmp_path / "b.explain.png").exists()
    with pytest.raises(DataError, match="on disk is none"):
        explain(Paths(tmp_path), sample, 3)


def test_files_that_cannot_be_explained(checkout, tmp_path):
    version = Version.open(checkout.curated).card.version
    sheet, large, plain = (tmp_path / name for name in ("sheet.png", "large.png", "plain.png"))
    sheet.write_bytes(
        provenance.embed(np.zeros((9, 9, 1), np.uint8), dataset_version=version, **{**CARD, "index": None})
    )
    large.write_bytes(provenance.embed(np.zeros((16, 16, 1), np.uint8), dataset_version=version, **CARD))
    plain.write_bytes(encode_png(np.zeros((8, 8, 1), np.uint8)))
    for path, sentence in ((sheet, "is a contact sheet"), (large, "the sample is 1 x 16 x 16"), (plain, "carries no mark"),
                           (tmp_path / "no", "is not a file")):  # fmt: skip
        with pytest.raises(DataError, match=sentence):
            explain(checkout, path, 3)


# -- release ---------------------------------------------------------------------------------------


def judged(tmp_path, passed, weights="ab" * 32):
    paths = Paths(tmp_path)
    details = paths.evaluation("gan") / "details"
    write_json(details / "memorization.json", {"passed": passed, "reasons": ["9.1% of the samples are copies."] * (not passed),
                                               "figures": {"copy_rate": 0.091}, "limits": {"max_copy_rate": 0.03}})  # fmt: skip
    write_json(details / "facts.json", {"model_sha256": weights})
    return paths


def test_only_weights_that_passed_are_released(tmp_path):
    assert require_release(judged(tmp_path, True), "gan", "ab" * 32, allowed=False) == "passed"
    with pytest.raises(GateError, match="trained again since"):
        require_release(judged(tmp_path, True), "gan", "cd" * 32, allowed=False)
    failed = judged(tmp_path, False)
    with pytest.raises(GateError, match=r"failed the memorization gate \(9.1% of the samples are copies\)"):
        require_release(failed, "gan", "ab" * 32, allowed=False)
    assert require_release(failed, "gan", "ab" * 32, allowed=True) == "failed"
    with pytest.raises(GateError, match="run `aigc evaluate vae` first"):
        require_release(failed, "vae", "ab" * 32, allowed=False)
    assert memorization_of(failed, "vae", "x")[0] == "unknown"


def test_the_checks_for_the_asset_page_warn_and_do_not_block():
    good = evaluation_checks({"passed": True, "reasons": []}, [])["checks"]
    bad = evaluation_checks({"passed": False, "reasons": ["Copies."]}, ["pixel_pca."])["checks"]
    assert [check["passed"] for check in good] == [True, True]
    assert [check["passed"] for check in bad] == [False, False]
    assert {check["severity"] for check in bad} == {"warning"}
    assert json.dumps(bad)
    assert bad[0]["observed"] == "Copies."
