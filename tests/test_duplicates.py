"""Look-alikes: each kind of copy is found, other pictures of the kind are not, and every bound holds."""

import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from aigc_core.config import Quality
from aigc_core.modalities import image
from aigc_core.quality import duplicates as duplicates_module
from aigc_core.quality import neighbours as neighbours_module
from aigc_core.quality.alignment import MOST, similarity
from aigc_core.quality.clusters import near_groups
from aigc_core.quality.duplicates import FLOOR, find_pairs
from aigc_core.quality.fingerprints import FLOATS, LENGTH, fingerprints
from aigc_core.quality.neighbours import neighbours
from aigc_core.quality.scan import Chunk, scan
from aigc_core.quality.small import Small
from aigc_core.quality.thumbnails import thumbnails
from aigc_core.quality.transforms import chosen
from aigc_core.records import PAIR_SCHEMA

#: The two bounds of params.yaml: figures of one kind are alike, and compression costs the edges of photographs more.
THRESHOLD = Quality().duplicate_near.max_similarity
PHOTOGRAPHS = Quality().duplicate_near.min_similarity
COUNT = 60


def figure(seed):
    """A thick random stroke on black, 28x28, as handwritten digits are."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((28, 28))
    points = rng.uniform(7, 20, (4, 2))
    grid = np.indices((28, 28)).transpose(1, 2, 0)
    for start, end in pairwise(points):
        for share in np.linspace(0, 1, 12):
            away = ((grid - (start + share * (end - start))) ** 2).sum(axis=2)
            canvas = np.maximum(canvas, np.clip(1.7 - away / 2, 0, 1))
    return np.round(canvas * 230).astype(np.uint8)[..., None]


def photograph(seed):
    """A random field with the spectrum of a photograph, 32x32 in colour."""
    rng = np.random.default_rng(seed)
    radius = np.maximum(np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32)[None]), 1 / 32)
    planes = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, 32, 32))) / radius**1.3).real
    planes = (planes + planes.mean(axis=0)) / 2
    return np.clip(np.round(planes / planes.std() * 45 + 110), 20, 200).astype(np.uint8).transpose(1, 2, 0)


def moved(pixels, down=1, across=0):
    return np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge")[1 - down :, 1 - across :][: len(pixels), : len(pixels)]


def compressed(pixels):
    buffer = io.BytesIO()
    image.to_pil(pixels).save(buffer, "JPEG", quality=40)
    return image.decode(buffer.getvalue()).pixels


def resized(pixels, back):
    small = image.to_pil(pixels).resize((round(len(pixels) * 0.9),) * 2, Image.Resampling.BILINEAR)
    values = np.asarray(small.resize((len(pixels),) * 2, Image.Resampling.BILINEAR) if back else small)
    return values[..., None] if values.ndim == 2 else values


COPIES = {
    "shift": moved,
    "shift_across": lambda p: moved(p, -1, 1),
    "jpeg": compressed,
    "brighter": lambda p: np.clip(p * 1.1, 0, 255).astype(np.uint8),
    "darker": lambda p: (p * 0.9).astype(np.uint8),
    "resize_and_back": lambda p: resized(p, True),
    "resize": lambda p: resized(p, False),
}
CHANGED = {
    "flip": lambda p: p[:, ::-1],
    "rotate": lambda p: np.rot90(p),
    "crop": lambda p: np.asarray(image.to_pil(p[1:-2, 2:-1]).resize(p.shape[:2])).reshape(p.shape),
}


def gathered(scanned, small=None, first=0):
    """The small pictures of a scanned chunk at the rows of the chunk."""
    small = small or Small.zeros(scanned.facts.num_rows)
    for members, part in scanned.small:
        small.put(np.array(members) + first, part)
    return small


def shapes(thumbs):
    """Fingerprints and kinds of thumbnails without colour."""
    return fingerprints(thumbs, np.zeros((len(thumbs), 4, 4, 2), np.int8))


def pairs_of(pictures, kinds=(), done=None, workers=1):
    chunk = Chunk()
    for number, pixels in enumerate(pictures):
        chunk.add(f"{number:04d}", image.encode_png(np.ascontiguousarray(pixels)), None)
    scanned = scan(chunk)
    table = find_pairs(
        pa.Table.from_batches([scanned.facts]),
        gathered(scanned),
        kinds,
        [].append if done is None else done.append,
        workers,
    )
    assert table.schema.equals(PAIR_SCHEMA)
    return {(int(line["a"]), int(line["b"])): (line["similarity"], line["transform"]) for line in table.to_pylist()}


@pytest.mark.parametrize(("make", "threshold"), [(figure, THRESHOLD), (photograph, PHOTOGRAPHS)])
def test_copies_are_found_and_others_are_not(make, threshold):
    originals = [make(seed) for seed in range(COUNT)]
    kinds = list(COPIES.values())
    copies = [kinds[number % len(kinds)](one) for number, one in enumerate(originals)]
    pairs = pairs_of([*originals, *copies])
    similar = {pair for pair, (score, _) in pairs.items() if score >= threshold}
    truth = {(number, number + COUNT) for number in range(COUNT)}
    assert similar <= truth
    assert len(similar) >= 0.95 * COUNT
    assert all(FLOOR <= score <= 1 for score, _ in pairs.values())


@pytest.mark.parametrize("kind", sorted(CHANGED))
@pytest.mark.parametrize("make", [figure, photograph])
def test_changed_copies_are_found_when_they_are_asked_for(make, kind):
    originals = [make(seed) for seed in range(20)]
    pictures = [*originals, *[CHANGED[kind](one) for one in originals]]
    truth = {(number, number + 20) for number in range(20)}
    found = {pair for pair, (_, name) in pairs_of(pictures, [kind]).items() if name.startswith(kind)}
    assert len(found & truth) >= 12
    assert len(found & truth) >= 0.95 * len(found)
    unasked = {pair for pair, (score, _) in pairs_of(pictures).items() if score >= THRESHOLD}
    assert len(unasked & truth) <= 1


def test_a_pair_names_how_b_comes_from_a():
    pixels = photograph(1)
    for name, turned in [("rotate90", np.rot90(pixels)), ("rotate270", np.rot90(pixels, 3)), ("flip", pixels[:, ::-1])]:
        assert pairs_of([pixels, turned], ["flip", "rotate"])[0, 1] == (MOST, name)


def test_equal_pixels_are_pairs_of_similarity_one_with_the_first_only():
    flat = np.full((28, 28, 1), 9, np.uint8)
    pixels = figure(1)
    pairs = pairs_of([pixels, flat, pixels, moved(pixels), pixels, flat])
    assert pairs == {(0, 2): (1.0, "same"), (0, 4): (1.0, "same"), (0, 3): (MOST, "same"), (1, 5): (1.0, "same")}
    table = pa.Table.from_pylist(
        [{"a": str(a), "b": str(b), "similarity": s, "transform": t} for (a, b), (s, t) in pairs.items()], PAIR_SCHEMA
    )
    assert near_groups(table, {"2", "3"}, 0.99) == [["2", "3"]], "also where the first of the copies is gone"


def test_flat_and_undecodable_rows_have_no_pairs():
    nearly = np.full((28, 28, 1), 9, np.uint8)
    nearly[0, 0] = 10
    chunk = Chunk()
    for number, content in enumerate(
        [b"x", None, image.encode_png(nearly), image.encode_png(nearly.swapaxes(0, 1)[::-1])]
    ):
        chunk.add(str(number), content, None)
    scanned = scan(chunk)
    assert find_pairs(pa.Table.from_batches([scanned.facts]), gathered(scanned), ["flip"], lambda _: None).num_rows == 0
    faint = figure(1) // 100
    assert pairs_of([faint, moved(faint)]) == {}, "a stroke of two grey levels"
    assert pairs_of([figure(1), moved(figure(1))]) != {}


def test_progress_reaches_every_row_and_transform():
    done = []
    pairs_of([*[figure(n) for n in range(9)], *[photograph(n) for n in range(8)]], ["flip", "crop"], done)
    assert sum(done) == 17 * len(chosen(["flip", "crop"]))


def test_similarity_ignores_place_brightness_and_contrast_and_is_symmetric_enough():
    one = photograph(3)[..., :1].astype(int)
    other = np.roll(one, (2, -1), axis=(0, 1)) // 2 + 60
    left, right = (values[..., 0].astype(np.uint8)[None] for values in (one, other))
    assert similarity(left, right)[0] > 0.999
    assert similarity(left, 255 - right)[0] < 0.5
    stranger = photograph(4)[..., 0][None]
    assert similarity(left, stranger)[0] < 0.9
    assert similarity(left, stranger)[0] == pytest.approx(similarity(stranger, left)[0], abs=0.1)


def test_a_moved_figure_keeps_its_fingerprint():
    still = thumbnails(np.stack([figure(n)[..., 0] for n in range(20)]))
    shifted = np.roll(still, (3, -2), axis=(1, 2))
    (one, floating), (other, _) = shapes(still), shapes(shifted)
    assert (floating == FLOATS).all()
    cosines = (one.astype(float) * other).sum(axis=1) / LENGTH**2
    assert cosines.min() > 0.99
    rest, floating = shapes(np.stack([thumbnails(photograph(n)[None, ..., 0])[0] for n in range(20)]))
    assert (floating < FLOATS).all()
    assert rest.dtype == np.int16


def test_a_figure_that_is_moved_into_the_border_is_found():
    figures = [np.roll(figure(seed), 1 - edge(figure(seed)), axis=0) for seed in range(12)]
    pictures = [*figures, *[moved(one, -1) for one in figures]]
    kinds = shapes(thumbnails(np.stack(pictures)[..., 0]))[1].reshape(2, -1)
    assert (kinds[0] != kinds[1]).sum() >= 6, "the border of the copy is not as plain"
    found = {pair for pair, (score, _) in pairs_of(pictures).items() if score >= THRESHOLD}
    assert found <= {(number, number + 12) for number in range(12)}
    assert len(found) >= 11


def edge(pixels):
    """Empty rows above a figure."""
    return int(np.flatnonzero(pixels.any(axis=(1, 2)))[0])


def test_the_same_horizon_does_not_make_two_ships_one():
    ground = np.where(np.arange(32)[:, None] < 15, 190, 110) + np.zeros((32, 32))
    rng = np.random.default_rng(0)
    ships = []
    for _ in range(2):
        ship = ground + gaussian_filter(rng.normal(0, 6, (32, 32)), 1)
        ship[12:16, 8:24] -= gaussian_filter(rng.normal(0, 90, (4, 16)), 1)
        ships.append(np.clip(ship, 0, 255).astype(np.uint8))
    left, right = (one[None] for one in ships)
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.95
    assert similarity(left, right)[0] < PHOTOGRAPHS < similarity(left, compressed(left[0][..., None])[None, ..., 0])[0]


def test_neighbours_are_those_of_brute_force_in_blocks(monkeypatch):
    monkeypatch.setattr(neighbours_module, "ROWS", 7)
    monkeypatch.setattr(neighbours_module, "COLUMNS", 10)
    monkeypatch.setattr(neighbours_module, "GATHERED", 5)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 96))
    vectors[25:] = vectors[:25] + rng.normal(size=(25, 96))
    vectors = np.round(vectors * LENGTH / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.int16)
    cosines = vectors.astype(float) @ vectors.T / LENGTH**2
    expected = set()
    for row in range(50):
        behind = [column for column in range(row + 1, 50) if cosines[row, column] >= 0.1]
        expected |= {(row, column) for column in sorted(behind, key=lambda c: -cosines[row, c])[:3]}
    blocks = [neighbours(vectors, np.arange(50), vectors, 0.1, 3, top) for top in range(0, 50, 7)]
    found = [pair for left, right in blocks for pair in zip(left.tolist(), right.tolist(), strict=True)]
    assert set(found) == expected
    assert len(found) == len(expected) > 30


def test_threads_find_the_same_pairs(monkeypatch):
    monkeypatch.setattr(duplicates_module, "ROWS", 7)
    monkeypatch.setattr(neighbours_module, "ROWS", 7)
    pictures = [make(seed) for make in (figure, photograph) for seed in range(15)]
    pictures += [compressed(one) for one in pictures]
    done = []
    alone, threaded = pairs_of(pictures), pairs_of(pictures, done=done, workers=3)
    assert threaded == alone
    assert len(alone) >= 20
    assert sum(done) == len(pictures)


def test_many_equal_looking_rows_make_a_bounded_number_of_pairs():
    rng = np.random.default_rng(0)
    frames = []
    for number in range(120):
        frame = photograph(7)
        frame[number % 30 + 1, number // 30 * 7 + 1] += rng.integers(1, 4, 3, dtype=np.uint8)
        frames.append(frame)
    pairs = pairs_of(frames)
    assert len(pairs) <= 8 * 120
    table = pa.table([[f"{a:03d}" for a, _ in pairs], [f"{b:03d}" for _, b in pairs],
                      [s for s, _ in pairs.values()], ["same"] * len(pairs)], schema=PAIR_SCHEMA)  # fmt: skip
    assert len(near_groups(table, {f"{n:03d}" for n in range(120)}, THRESHOLD)) == 1


def test_small_pictures_can_lie_in_files(tmp_path):
    scanned = scan(_two())
    small, held = gathered(scanned, Small.zeros(3, tmp_path), first=1), gathered(scanned)
    for name in ("canvases", "alphas", "large", "chroma", "fingerprints", "kinds", "alpha"):
        np.testing.assert_array_equal(getattr(small, name)[1:], getattr(held, name))
        assert not getattr(small, name)[0].any()
    assert small.fingerprints[1].any()


def _two():
    chunk = Chunk()
    for number, pixels in enumerate([figure(1), photograph(1)]):
        chunk.add(str(number), image.encode_png(pixels), None)
    return chunk


def sprite(seed, side=40, grey=None):
    """An opaque figure of random blocks in the middle of nothing, (side, side, 4); `grey` gives all of it one grey level."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(0, 256, (3, 3, 3)), np.ones((8, 8, 1)))
    shape = np.kron(rng.random((6, 6)) < 0.7, np.ones((4, 4)))
    found = np.zeros((side, side, 4), np.uint8)
    found[8:32, 8:32, :3] = blocks if grey is None else grey
    found[8:32, 8:32, 3] = 255 * shape
    found[found[..., 3] == 0] = 0
    return found


def laid_over(pixels, level):
    alpha = pixels[..., 3:] / 255
    return np.round(pixels[..., :3] * alpha + level * (1 - alpha)).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_transparent_picture_is_found_on_every_backdrop(level):
    originals = [sprite(seed) for seed in range(12)]
    pictures = [*originals, *[compressed(laid_over(one, level)) for one in originals]]
    found = {pair for pair, (score, _) in pairs_of(pictures).items() if score >= PHOTOGRAPHS}
    assert found == {(number, number + 12) for number in range(12)}


def test_one_shape_in_black_and_in_white_is_two_pictures():
    shades = [sprite(seed, grey=grey) for seed in range(4) for grey in (0, 128, 255)]
    shades += [moved(one) for one in shades]
    found = {pair for pair, (score, _) in pairs_of(shades).items() if score >= PHOTOGRAPHS}
    assert found == {(number, number + 12) for number in range(12)}


@pytest.mark.parametrize("side", [32, 96])
def test_one_shape_in_two_colours_is_two_pictures(side):
    shapes_ = [np.asarray(image.to_pil(figure(seed)).resize((side, side))).astype(float) for seed in range(8)]
    tints = [(1, 0.3, 0.2), (0.2, 0.5, 1), (0.9, 0.6, 0.1)]
    pictures = [np.stack([one * t / np.dot(tint, (0.299, 0.587, 0.114)) * 0.4 for t in tint], axis=2).clip(0, 255)
                for one in shapes_ for tint in tints]  # fmt: skip
    pictures = [one.astype(np.uint8) for one in pictures]
    pictures += [compressed(one) for one in pictures] + [(one * 0.9).astype(np.uint8) for one in pictures]
    found = {pair for pair, (score, _) in pairs_of(pictures).items() if score >= PHOTOGRAPHS}
    assert {(a % 24, b % 24) for a, b in found} == {(n, n) for n in range(24)}, "a copy of itself and nothing else"
    assert len({b for a, b in found if a < 24}) >= 46


def drawing(seed, side=105):
    """A thin line on white that few pixels of a thumbnail are left of, in black and white alone."""
    rng = np.random.default_rng(seed)
    points = np.array([[20, 20], [80, 30], [30, 80], [85, 85]]) + rng.uniform(-5, 5, (4, 2))
    grid = np.indices((side, side)).transpose(1, 2, 0)
    line = np.zeros((side, side), bool)
    for start, end in pairwise(points):
        for share in np.linspace(0, 1, 80):
            line |= ((grid - (start + share * (end - start))) ** 2).sum(axis=2) < 2
    return np.where(line, 0, 255).astype(np.uint8)[..., None]


def test_large_drawings_are_compared_at_their_own_scale():
    originals = [drawing(seed) for seed in range(10)]
    pictures = [*originals, *[moved(one) for one in originals]]
    found = {pair for pair, (score, _) in pairs_of(pictures).items() if score >= PHOTOGRAPHS}
    assert found == {(number, number + 10) for number in range(10)}
