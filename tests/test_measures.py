"""Raw facts and hashes against values that can be worked out by hand, and the stage that writes them."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aigc_core import config as configuration
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality.hashing import near_pairs, perceptual_hashes
from aigc_core.quality.measures import entropy, hash_input, measure, sharpness
from aigc_core.records import MEASURE_SCHEMA, row_id
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure as measure_stage

ROOT = Path(__file__).parents[1]


def picture(seed: int, side: int = 16, channels: int = 1) -> np.ndarray:
    """Smooth random blobs: unlike noise, they keep their look when they are resized."""
    rng = np.random.default_rng(seed)
    planes = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).resize((side, side), Image.BICUBIC))
        for _ in range(channels)
    ]
    return np.stack(planes, axis=2)


def phash(pixels: np.ndarray) -> int:
    return int(perceptual_hashes(hash_input(image.luma(pixels))[None])[0])


def distance(left: int, right: int) -> int:
    return (left ^ right).bit_count()


def test_measures_of_a_half_black_half_white_image():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    facts = measure(pixels, image.luma(pixels))
    assert (facts["width"], facts["height"], facts["channels"]) == (8, 4, 3)
    assert facts["aspect"] == 2
    assert facts["mean"] == pytest.approx(0.5)
    assert facts["std"] == pytest.approx(0.5)
    assert facts["entropy"] == pytest.approx(1.0)


def test_aspect_is_at_least_one_for_tall_and_for_wide():
    tall = measure(*[np.zeros((9, 3, 1), np.uint8), np.zeros((9, 3), np.float32)])
    wide = measure(*[np.zeros((3, 9, 1), np.uint8), np.zeros((3, 9), np.float32)])
    assert tall["aspect"] == wide["aspect"] == 3


def test_entropy_counts_grey_levels():
    levels = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
    assert entropy(levels) == pytest.approx(8.0)
    assert entropy(np.full((5, 5), 0.3, np.float32)) == 0.0


def test_sharpness_falls_with_blur_and_is_zero_for_flat_or_tiny():
    sharp = np.indices((16, 16)).sum(axis=0).astype(np.float32) % 2
    blurred = (sharp + np.roll(sharp, 1, axis=0)) / 2 * 0.9 + 0.05 * sharp
    assert sharpness(sharp) > sharpness(blurred)
    assert sharpness(np.full((9, 9), 0.5, np.float32)) == 0.0
    assert sharpness(np.eye(2, dtype=np.float32)) == 0.0


@pytest.mark.parametrize("factor", [0.85, 0.93, 1.07])
def test_perceptual_hash_hardly_moves_with_brightness(factor):
    for seed in range(20):
        pixels = np.clip(picture(seed).astype(float), 20, 220)
        changed = np.clip(np.round(pixels * factor), 0, 255).astype(np.uint8)
        assert distance(phash(pixels.astype(np.uint8)), phash(changed)) <= 4


def test_perceptual_hash_separates_different_pictures():
    hashes = [phash(picture(seed)) for seed in range(30)]
    apart = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 4, "further than brightness moves a hash"
    assert 24 < np.mean(apart) < 40


def test_perceptual_hash_does_not_depend_on_the_batch():
    small = np.stack([hash_input(image.luma(picture(seed))) for seed in range(9)])
    one_by_one = [int(perceptual_hashes(item[None])[0]) for item in small]
    assert perceptual_hashes(small).tolist() == one_by_one


def test_perceptual_hash_of_every_blank_is_the_same():
    assert len({phash(np.full((8, 8, 1), level, np.uint8)) for level in (3, 77, 128, 254)}) == 1


@pytest.mark.parametrize("max_distance", [0, 2, 5])
def test_near_pairs_are_those_of_brute_force(max_distance):
    rng = np.random.default_rng(max_distance)
    base = rng.integers(0, 2**63, 700, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (len(base), 6), dtype=np.uint64)
    moved = [base ^ np.bitwise_xor.reduce(flips[:, :count], axis=1) for count in (1, 3, 6)]
    hashes = np.unique(np.concatenate([base, *moved]))
    rng.shuffle(hashes)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    apart = bits @ (1 - bits).T + (1 - bits) @ bits.T
    expected = set(map(tuple, np.argwhere(np.triu(apart <= max_distance, k=1)).tolist()))
    assert {tuple(pair) for pair in near_pairs(hashes, max_distance).tolist()} == expected
    assert bool(expected) == (max_distance > 0)
    assert len(hashes) > 2048, "more than one block"


def test_near_pairs_of_nothing():
    assert near_pairs(np.empty(0, np.uint64), 3).shape == (0, 2)


@pytest.fixture
def mixed(tmp_path):
    """A folder source with grey, colour, alpha, palette and broken files."""
    raw = tmp_path / "raw"
    for label in ("a", "b"):
        (raw / label).mkdir(parents=True)
        for number in range(6):
            (raw / label / f"{number}.png").write_bytes(image.encode_png(picture(ord(label) * 10 + number)))
    (raw / "a/alpha.png").write_bytes(image.encode_png(picture(1, 20, 4)))
    palette = io.BytesIO()
    Image.fromarray(picture(2, 12, 3)).convert("P").save(palette, "PNG")
    (raw / "b/palette.png").write_bytes(palette.getvalue())
    (raw / "b/broken.png").write_bytes(image.encode_png(picture(3))[:50])
    config = configuration.parse({"source": {"kind": "folder", "path": "raw"}})
    ingest(config, Paths(tmp_path))
    return config, Paths(tmp_path)


def test_stage_measures_every_row_also_the_undecodable(mixed):
    config, paths = mixed
    result = measure_stage(config, paths)
    table = pq.read_table(paths.measures / "part-0.parquet")
    assert table.schema.equals(MEASURE_SCHEMA)
    rows = {row["id"]: row for row in table.to_pylist()}
    ingested = {row["id"]: row for row in pq.read_table(paths.ingested / "rows.parquet").to_pylist()}
    assert rows.keys() == ingested.keys()
    assert list(rows) == sorted(rows)
    assert "1 cannot be decoded" in result.summary
    for identity, row in rows.items():
        assert row["content_hash"] == ingested[identity]["content_hash"]
        assert (row["error"] is None) == (row["width"] is not None) == (row["perceptual_hash"] is not None)
    sources = {row["source"]: rows[row["id"]] for row in ingested.values()}
    broken = next(row for source, row in sources.items() if "broken" in source)
    assert broken["error"]
    assert broken["bytes"] == 50
    assert next(row for source, row in sources.items() if "alpha" in source)["channels"] == 4
    assert next(row for source, row in sources.items() if "palette" in source)["channels"] == 3


def test_stage_writes_the_same_bytes_twice(mixed):
    config, paths = mixed
    digests = []
    for _ in range(2):
        measure_stage(config, paths)
        digests.append(hashlib.sha256((paths.measures / "part-0.parquet").read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_row_ids_are_those_of_the_content_store(mixed):
    _, paths = mixed
    for row in pq.read_table(paths.ingested / "rows.parquet").to_pylist():
        assert row["id"] == row_id(row["source"])


@pytest.mark.parametrize("stage", ["measure", "curate"])
def test_judging_needs_neither_torch_nor_a_platform(stage):
    forbidden = ["torch", "mlflow", "great_expectations", "albumentations", "matplotlib", "dagster", "dvc"]
    code = f"import sys, aigc_core.stages.{stage}; print([m for m in {forbidden} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert shown.stdout.strip() == "[]", shown.stdout + shown.stderr
