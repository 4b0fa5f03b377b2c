"""Raw facts and hashes against values that can be worked out by hand, and the stage that writes them."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from aigc_core import config as configuration
from aigc_core.errors import WorkerError
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality import hashing, measures, workers
from aigc_core.quality import lens as lens_module
from aigc_core.quality import planes as planes_module
from aigc_core.quality.hashing import near_pairs, perceptual_hashes
from aigc_core.quality.measures import (
    colour_noise,
    entropy,
    equal_neighbours,
    extremes,
    histograms,
    measure_batch,
    second_differences,
)
from aigc_core.quality.planes import BACKDROPS, over, planes_of
from aigc_core.quality.scan import Chunk, scan
from aigc_core.quality.thumbnails import thumbnails
from aigc_core.records import MEASURE_SCHEMA, PAIR_SCHEMA, row_id
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
    return int(perceptual_hashes(thumbnails(planes_of(pixels[None]).luma))[0])


def distance(left: int, right: int) -> int:
    return (left ^ right).bit_count()


def facts_of(pixels: np.ndarray) -> dict:
    columns = measure_batch(pixels[None], planes_of(pixels[None]))
    return {name: column[0] if isinstance(column, np.ndarray) else column for name, column in columns.items()}


def test_measures_of_a_half_black_half_white_image():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    facts = facts_of(pixels)
    assert (facts["width"], facts["height"], facts["channels"]) == (8, 4, 3)
    assert facts["aspect"] == 2
    assert (facts["mean"], facts["std"], facts["entropy"]) == (0.5, 0.5, 1.0)
    assert (facts["p01"], facts["p99"]) == (0, 1)


def test_aspect_is_at_least_one_for_tall_and_for_wide():
    assert facts_of(np.zeros((9, 3, 1), np.uint8))["aspect"] == facts_of(np.zeros((3, 9, 1), np.uint8))["aspect"] == 3


def test_entropy_and_percentiles_count_grey_levels():
    facts = facts_of(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    assert facts["entropy"] == pytest.approx(8.0)
    assert facts["p01"] == 2 / 255, "three of 256 are more than one percent"
    assert facts["p99"] == 253 / 255
    flat = facts_of(np.full((5, 5, 1), 77, np.uint8))
    assert (flat["entropy"], flat["std"], flat["p01"], flat["p99"]) == (0, 0, 77 / 255, 77 / 255)


def test_a_table_of_logarithms_gives_the_same_entropy_as_logarithms(monkeypatch):
    draw = np.random.default_rng(0)
    lumas = [np.minimum(draw.integers(0, 256, (20, 16, 16)), top).astype(np.uint8) for top in (0, 1, 9, 255)]
    counts = histograms(np.concatenate(lumas))
    looked_up = entropy(counts)
    monkeypatch.setattr(measures, "TABLED", 0)
    np.testing.assert_array_equal(entropy(counts), looked_up)
    shares = [np.unique(luma, return_counts=True)[1] / 256 for luma in lumas[-1]]
    np.testing.assert_allclose(looked_up[60:], [-(p * np.log2(p)).sum() for p in shares], atol=1e-9)


def test_sharpness_falls_with_blur_and_is_zero_for_flat_or_tiny():
    sharp = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)
    blurred = (sharp // 3 + 60).astype(np.uint8)
    (sharper, softer), _ = second_differences(np.stack([sharp, blurred]))
    assert sharper > softer > 0
    assert facts_of(np.full((9, 9, 1), 128, np.uint8))["sharpness"] == 0
    assert facts_of(np.eye(2, dtype=np.uint8)[..., None])["sharpness"] == 0


def test_sharpness_is_the_variance_of_the_laplacian():
    luma = picture(3)[..., 0].astype(np.int64)
    x = luma / 255
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    assert facts_of(picture(3))["sharpness"] == pytest.approx(laplacian.var())


@pytest.mark.parametrize("sigma", [4, 10, 25])
def test_noise_is_the_standard_deviation_that_was_added(sigma):
    slope = np.add.outer(np.arange(128.0), np.arange(128.0)) / 4 + 90
    noisy = slope + np.random.default_rng(1).normal(0, sigma, slope.shape)
    facts = facts_of(np.clip(np.round(noisy), 0, 255).astype(np.uint8)[..., None])
    assert facts["noise"] == pytest.approx(sigma / 255, rel=0.05)
    assert facts_of(slope.astype(np.uint8)[..., None])["noise"] < 0.004


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("block", [1, 1 << 18])
def test_luma_over_every_backdrop_is_that_of_the_image_also_above_the_block(channels, block, monkeypatch):
    monkeypatch.setattr(planes_module, "BLOCK", block)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 9, 7, channels), dtype=np.uint8)
    found = planes_of(pixels)
    if channels < 4:
        assert found.alpha is None
        expected = [image.with_channels(one, 1)[..., 0] for one in pixels]
        np.testing.assert_array_equal(found.luma, expected)
        return
    alpha = pixels[..., 3:] / 255
    for level in BACKDROPS:
        seen = ((pixels[..., :3] * alpha + level * (1 - alpha)) * (0.299, 0.587, 0.114)).sum(axis=3)
        assert np.abs(over(found.luma, found.alpha, level) - seen).max() <= 1.5


def test_noise_in_colour_is_seen_in_colour_and_edges_of_grey_are_not():
    rng = np.random.default_rng(0)
    grey = np.repeat(np.round(rng.uniform(60, 190, (1, 32, 32, 1))), 3, axis=3)
    noisy = np.clip(np.round(128 + rng.normal(0, 20, (1, 64, 64, 3))), 0, 255).astype(np.uint8)
    assert colour_noise(grey.astype(np.uint8))[0] == 0
    assert colour_noise(noisy)[0] == pytest.approx(20 * np.sqrt(2) / 2 / 255, rel=0.08)
    assert np.isnan(colour_noise(noisy[..., :1])[0])
    hidden = np.concatenate([noisy, np.zeros_like(noisy[..., :1])], axis=3)
    assert colour_noise(hidden)[0] == 0, "what is not seen is no noise"


def test_equal_neighbours_are_counted_where_they_are_seen():
    flat, stripes = np.full((1, 6, 6), 9, np.uint8), np.tile(np.array([0, 200], np.uint8), (1, 6, 3))
    assert equal_neighbours(np.concatenate([flat, stripes])).tolist() == [1, 0.5]
    left = np.zeros((1, 6, 6), bool)
    left[:, :, 0] = True
    assert equal_neighbours(stripes, left)[0] == 1
    assert equal_neighbours(stripes, np.zeros_like(left))[0] == 1, "nothing differs where nothing is seen"


def test_brightness_is_that_of_the_strongest_channel_that_is_seen():
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 2] = 230
    assert facts_of(blue)["p99"] == 230 / 255
    assert facts_of(255 - blue)["p01"] == 25 / 255
    lowest, highest = extremes(blue[None], None)
    assert (lowest[0].argmax(), highest[0].argmax()) == (0, 230)
    figure = np.zeros((8, 8, 4), np.uint8)
    figure[2:5, 2:5] = (250, 250, 250, 255)
    facts = facts_of(figure)
    assert (facts["p01"], facts["p99"], facts["mean"], facts["entropy"]) == (250 / 255, 250 / 255, 250 / 255, 0)
    assert facts["std"] > 0.2, "over black it shows"


def art(alpha: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """One colour (H, W, 4) whose shape lies in the alpha (H, W) alone."""
    return np.concatenate([np.full((*alpha.shape, 3), colour, np.uint8), alpha[..., None].astype(np.uint8)], axis=2)


HALF = np.where(np.arange(16)[None] < 8, 255, 0).repeat(16, axis=0)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (10, 200, 30)])
def test_a_shape_in_the_alpha_is_seen_whatever_its_colour(colour):
    assert facts_of(art(HALF, colour))["std"] >= 0.25
    assert facts_of(art(HALF // 16, colour))["std"] > 0.01, "also a faint one"


def test_contrast_and_edges_are_those_over_the_backdrop_that_shows_more():
    black, light = facts_of(art(HALF, (0, 0, 0))), facts_of(art(HALF, (255, 255, 255)))
    assert (black["std"], black["mean"]) == (0.5, 0), "over white; what is seen is black"
    assert (light["std"], light["mean"]) == (0.5, 1)
    assert black["sharpness"] == pytest.approx(light["sharpness"])


@pytest.mark.parametrize(
    "pixels",
    [
        art(np.zeros((9, 9)), (3, 200, 77)),
        art(np.full((9, 9), 255), (3, 200, 77)),
        art(np.full((9, 9), 60), (3, 200, 77)),
    ],
)
def test_what_shows_nothing_over_any_backdrop_is_flat(pixels):
    assert facts_of(pixels)["std"] == 0


def test_an_opaque_picture_is_measured_as_without_alpha():
    colour = picture(1, 16, 3)
    opaque = np.concatenate([colour, np.full((16, 16, 1), 255, np.uint8)], axis=2)
    without, with_alpha = facts_of(colour), facts_of(opaque)
    assert without.pop("channels") != with_alpha.pop("channels")
    assert without == with_alpha


def test_a_batch_with_alpha_has_the_facts_of_its_images():
    pixels = np.stack([picture(seed, 16, 4) for seed in range(5)] + [art(HALF, (0, 0, 0)), art(HALF, (255, 255, 255))])
    columns = measure_batch(pixels, planes_of(pixels))
    for place, one in enumerate(pixels):
        assert {name: np.broadcast_to(column, len(pixels))[place] for name, column in columns.items()} == facts_of(one)


def test_colours_of_one_brightness_are_no_blank():
    red, green = (200, 0, 0), (0, 102, 0)
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :8], pixels[:, 8:] = red, green
    assert np.ptp(planes_of(pixels[None]).luma) <= 1
    assert facts_of(pixels)["std"] == pytest.approx(100 / 255)
    assert facts_of(np.broadcast_to(np.array(red, np.uint8), (9, 9, 3)))["std"] == 0


def test_large_images_are_measured_in_bands_with_the_same_result(monkeypatch):
    lumas = np.random.default_rng(4).integers(0, 256, (2, 40, 30), dtype=np.uint8)
    whole = [histograms(lumas), *second_differences(lumas)]
    monkeypatch.setattr(measures, "BLOCK", 100)
    for one, other in zip(whole, [histograms(lumas), *second_differences(lumas)], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (32, 32), (100, 47), (1, 300)])
def test_thumbnails_are_those_of_pillow(shape):
    lumas = np.random.default_rng(5).integers(0, 256, (4, *shape), dtype=np.uint8)
    for luma, small in zip(lumas, thumbnails(lumas), strict=True):
        expected = np.asarray(Image.fromarray(luma).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(small - expected).max() <= 1


def test_a_rows_facts_do_not_depend_on_its_chunk():
    contents = [image.encode_png(picture(seed, side)) for seed, side in [(1, 16), (2, 28), (3, 16), (4, 33)]]
    together, alone = Chunk(), []
    for number, content in enumerate(contents):
        together.add(str(number), content, None)
        one = Chunk()
        one.add(str(number), content, None)
        alone.append(scan(one))
    whole = scan(together)
    assert whole.facts.to_pylist() == [line for part in alone for line in part.facts.to_pylist()]

    def small(scanned, first=0):
        return {
            first + member: [
                getattr(part, name)[n] for name in ("canvases", "chroma", "fingerprints", "kinds", "thumbnails")
            ]
            for members, part in scanned.small
            for n, member in enumerate(members)
        }

    apart = {key: value for number, part in enumerate(alone) for key, value in small(part, number).items()}
    assert small(whole).keys() == apart.keys() == {0, 1, 2, 3}
    for number, values in small(whole).items():
        for value, expected in zip(values, apart[number], strict=True):
            np.testing.assert_array_equal(value, expected)


def test_scan_names_what_the_bytes_are_and_why_they_are_nothing():
    buffer = io.BytesIO()
    Image.fromarray(picture(1)[..., 0]).save(buffer, "JPEG")
    chunk = Chunk()
    for content, note in [(buffer.getvalue(), None), (b"hello", None), (None, "gone"), (None, None)]:
        chunk.add(str(len(chunk.ids)), content, note)
    columns = scan(chunk).facts.to_pydict()
    assert columns["format"] == ["JPEG", None, None, None]
    assert columns["error"] == [None, "not an image", "gone", "cannot be read"]
    assert columns["bytes"][1:] == [5, None, None]


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


def test_perceptual_hash_is_the_sign_of_the_cosine_transform_against_the_median():
    from scipy.fft import dctn

    small = np.stack([thumbnails(planes_of(picture(seed)[None]).luma)[0] for seed in range(9)])
    hashes = perceptual_hashes(small)
    assert hashes.tolist() == [int(perceptual_hashes(one[None])[0]) for one in small], "whatever the batch"
    low = dctn(small.astype(float), axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    expected = [int("".join("1" if bit else "0" for bit in row), 2) for row in bits]
    apart = [distance(int(one), other) for one, other in zip(hashes, expected, strict=True)]
    assert max(apart) <= 2, "whole cosines may turn a bit that lies at the median"
    assert np.mean(apart) < 0.5


def test_perceptual_hash_of_every_blank_is_the_same():
    assert len({phash(np.full((8, 8, 1), level, np.uint8)) for level in (3, 77, 128, 254)}) == 1


@pytest.mark.parametrize("max_distance", [0, 2, 5])
@pytest.mark.parametrize("block", [50, 1 << 22])
def test_near_pairs_are_those_of_brute_force(max_distance, block, monkeypatch):
    monkeypatch.setattr(hashing, "BLOCK", block)
    rng = np.random.default_rng(max_distance)
    base = rng.integers(0, 2**63, 700, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (len(base), 6), dtype=np.uint64)
    moved = [base ^ np.bitwise_xor.reduce(flips[:, :count], axis=1) for count in (1, 3, 6)]
    hashes = np.unique(np.concatenate([base, *moved]))
    rng.shuffle(hashes)
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    apart = bits @ (1 - bits).T + (1 - bits) @ bits.T
    expected = set(map(tuple, np.argwhere(np.triu(apart <= max_distance, k=1)).tolist()))
    found = near_pairs(hashes, max_distance).tolist()
    assert {tuple(pair) for pair in found} == expected
    assert len(found) == len(expected), "each pair once"
    assert bool(expected) == (max_distance > 0)


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


def digests(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths.measures.iterdir()}


def test_stage_writes_the_same_bytes_whatever_the_number_of_workers(mixed):
    config, paths = mixed
    found = []
    for count in (1, 1, 2):
        measure_stage(config, paths, count)
        found.append(digests(paths))
    assert found[0] == found[1] == found[2]
    assert found[0].keys() == {"part-0.parquet", "pairs.parquet", "learned.parquet"}
    assert pq.read_schema(paths.measures / "pairs.parquet").equals(PAIR_SCHEMA)


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fill(_: int) -> None:
    raise MemoryError


def test_a_killed_worker_is_one_clear_sentence():
    with pytest.raises(WorkerError, match="one of 2 worker processes was ended from outside"):
        list(workers.ordered_map(die, range(3), 2))


@pytest.mark.parametrize("count", [1, 2])
def test_full_memory_is_one_clear_sentence(count):
    with pytest.raises(WorkerError, match="memory ran out"):
        list(workers.ordered_map(fill, range(3), count))


def test_workers_keep_the_order_and_a_bounded_queue():
    taken = []

    def pieces():
        for number in range(40):
            taken.append(number)
            yield number

    results = workers.ordered_map(abs, pieces(), 2)
    assert next(results) == 0
    assert len(taken) <= 2 * workers.WAITING
    assert list(results) == list(range(1, 40))


def test_a_failing_stage_replaces_nothing(mixed, monkeypatch):
    config, paths = mixed
    measure_stage(config, paths)
    before = digests(paths)

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(lens_module, "scan", full)
    with pytest.raises(WorkerError):
        measure_stage(config, paths)
    assert digests(paths) == before
    assert not [path for path in paths.data.iterdir() if path.name.startswith(".")], "no scratch is left"


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
