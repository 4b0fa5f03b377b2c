"""The mark in generated files: written, read back, and honest about what happened to the pixels."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from odd_files import with_chunk
from PIL import Image, PngImagePlugin

from aigc_core.commands import generate as stage
from aigc_core.errors import ConfigError, DataError, GateError
from aigc_core.files import write_json
from aigc_core.modalities import provenance
from aigc_core.modalities.image import decode

CARD = {"family": "gan", "model_sha256": "ab" * 32, "dataset_version": "0123456789abcdef", "seed": 3, "label": "7"}


def pixels(channels=1, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (8, 8, channels), dtype=np.uint8)  # hidden colour is not kept


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_mark_comes_back_and_the_pixels_are_unchanged(channels):
    original = pixels(channels)
    content = provenance.embed(original, index=2, **CARD)
    reading = provenance.read(content)
    assert reading.unchanged
    assert np.array_equal(decode(content).pixels, original)
    told = vars(reading.mark)
    assert {key: told[key] for key in CARD} == CARD
    assert (told["index"], told["generator"], told["ai_generated"]) == (2, "aigc", True)
    assert content == provenance.embed(original, index=2, **CARD)


def test_a_grey_or_opaque_sample_of_a_colour_model_is_unchanged():
    opaque = pixels(4)
    opaque[..., 3] = 255
    for original in (pixels(1).repeat(3, axis=2), opaque):
        assert provenance.read(provenance.embed(original, index=None, **CARD)).unchanged


def test_the_xmp_says_what_archives_look_for():
    content = provenance.embed(pixels(), index=0, **{**CARD, "label": 'a "b" <c> & ä'})
    packet = Image.open(io.BytesIO(content)).info[provenance.XMP_KEYWORD]
    assert 'DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"' in packet
    root = ElementTree.fromstring(packet.split("?>", 1)[1].rsplit("<?", 1)[0])
    description = root[0][0]
    assert description.get("{urn:aigc:provenance:1}label") == 'a "b" <c> & ä'
    assert provenance.read(content).mark.label == 'a "b" <c> & ä'


def save_with(picture, text):
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_itxt(key, value)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def tampered(content):
    """One grey level of one pixel changed, the mark kept."""
    picture = Image.open(io.BytesIO(content))
    picture.load()
    text = {provenance.KEYWORD: picture.info[provenance.KEYWORD]}
    picture.putpixel((3, 4), (picture.getpixel((3, 4)) + 1) % 256)
    return save_with(picture, text)


def test_a_changed_pixel_is_noticed(tmp_path):
    content = tampered(provenance.embed(pixels(), index=0, **CARD))
    assert not provenance.read(content).unchanged
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="pixels have been changed"):
        stage.verify(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (save_with(Image.new("L", (8, 8)), {}), "carries no mark"),
        (save_with(Image.new("L", (8, 8)), {provenance.KEYWORD: "{"}), "damaged"),
        (save_with(Image.new("L", (8, 8)), {provenance.KEYWORD: json.dumps({"seed": 1})}), "damaged"),
        (b"hello", "not a readable image"),
    ],
)
def test_other_files_get_a_clear_answer(tmp_path, content, sentence):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        stage.verify(tmp_path / "a.png")


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="is not a file"):
        stage.verify(tmp_path / "nothing.png")


@pytest.mark.parametrize("sound", [True, False])
def test_the_mark_is_read_from_every_file_that_is_decoded(sound):
    content = with_chunk(provenance.embed(pixels(), index=0, **CARD), b"pHYs", b"\0", sound=sound)
    assert decode(content).notes, "Pillow alone gives up at this file"
    reading = provenance.read(content)
    assert reading.unchanged
    assert reading.mark.label == CARD["label"]


class MadeUp:
    """A model that draws its label and seed."""

    class spec:  # noqa: N801
        family, classes = "gan", ("cat", "dog/wolf")

    def __init__(self):
        self.card = {"weights_sha256": "cd" * 32, "dataset_version": "fedc"}

    def sample(self, labels, seed, batch_size=512):
        chance = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 50, (len(labels), 1, 8, 8), generator=chance, dtype=torch.uint8)
        return noise + (labels * 100).to(torch.uint8)[:, None, None, None]


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(stage, "load_model", lambda folder: MadeUp())


class Places:
    """A checkout in which the model has passed the memorization gate, or was never asked."""

    def __init__(self, folder, passed=True):
        self.folder = folder / "evaluated"
        write_json(
            self.folder / "details/memorization.json", {"passed": passed, "reasons": [] if passed else ["copies"]}
        )
        write_json(self.folder / "details/facts.json", {"model_sha256": MadeUp().card["weights_sha256"]})

    def model(self, family):
        return family

    def evaluation(self, family):
        return self.folder


def test_generate_writes_marked_files_and_replaces_only_its_own(made_up, tmp_path):
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("kept")
    result = stage.generate(Places(tmp_path), "gan", None, 3, 5, out)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["contact-sheet.png", "gan-cat-0000.png", "gan-cat-0002.png", "gan-dog_wolf-0001.png", "mine.txt"]
    mark = provenance.read((out / "gan-dog_wolf-0001.png").read_bytes()).mark
    assert (mark.label, mark.seed, mark.index, mark.model_sha256) == ("dog/wolf", 5, 1, "cd" * 32)
    assert "unchanged" in stage.verify(out / "contact-sheet.png").summary
    before = (out / "gan-cat-0000.png").read_bytes()
    stage.generate(Places(tmp_path), "gan", None, 3, 5, out)
    assert (out / "gan-cat-0000.png").read_bytes() == before
    assert (out / "mine.txt").read_text() == "kept"
    assert result.metrics == {"images": 3}


def test_many_images_do_not_make_an_endless_contact_sheet(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "SHEET_SHOWN", 8)
    heights = []
    for count in (8, 9):
        stage.generate(Places(tmp_path), "gan", None, count, 5, tmp_path / str(count))
        assert len(list((tmp_path / str(count)).glob("gan-*.png"))) == count
        heights.append(provenance.read((tmp_path / str(count) / "contact-sheet.png").read_bytes()).pixels.shape[0])
    assert heights[0] == heights[1]


def test_generate_refuses_an_unknown_label_before_writing(made_up, tmp_path):
    with pytest.raises(ConfigError, match="no label 'x': choose one of cat, dog/wolf"):
        stage.generate(Places(tmp_path), "gan", "x", 3, 5, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        stage.generate(Places(tmp_path), "gan", "cat", 3, 5, tmp_path / "file")


def test_a_model_that_memorized_generates_only_when_told_and_its_files_say_so(made_up, tmp_path):
    with pytest.raises(GateError, match=r"failed the memorization gate \(copies\)"):
        stage.generate(Places(tmp_path, passed=False), "gan", "cat", 1, 5, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = stage.generate(Places(tmp_path, passed=False), "gan", "cat", 1, 5, tmp_path / "out", allow_memorized=True)
    assert "'failed'" in result.summary
    assert provenance.read((tmp_path / "out/gan-cat-0000.png").read_bytes()).mark.memorization == "failed"
    assert "memorization gate failed" in stage.verify(tmp_path / "out/gan-cat-0000.png").summary
    stage.generate(Places(tmp_path), "gan", "cat", 1, 5, tmp_path / "out")
    assert provenance.read((tmp_path / "out/gan-cat-0000.png").read_bytes()).mark.memorization == "passed"


def test_a_mark_from_before_the_gate_is_still_read():
    content = provenance.embed(pixels(), index=0, **CARD)
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        old = json.loads(picture.info[provenance.KEYWORD])
        del old["memorization"]
        content = save_with(picture, {provenance.KEYWORD: json.dumps(old)})
    assert provenance.read(content).mark.memorization == "unknown"
    assert provenance.read(content).unchanged


def test_a_folder_with_images_of_another_seed_or_model_is_refused_and_left_as_it_is(made_up, tmp_path, monkeypatch):
    out = tmp_path / "out"
    stage.generate(Places(tmp_path), "gan", "cat", 2, 5, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ConfigError, match=r"another seed .*seed 5; .*seed 6"):
        stage.generate(Places(tmp_path), "gan", "cat", 2, 6, out)
    monkeypatch.setattr(
        stage, "load_model", lambda folder: vars_of(MadeUp(), {"weights_sha256": "ef" * 32, "dataset_version": "x"})
    )
    with pytest.raises(ConfigError, match="another model"):
        stage.generate(Places(tmp_path), "gan", "cat", 2, 5, out, allow_memorized=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def vars_of(model, card):
    """The model with another card."""
    model.card = card
    return model


@pytest.mark.parametrize("name", ["gan-cat-0001.png", "contact-sheet.png"])
def test_a_file_of_somebody_elses_by_the_same_name_is_not_replaced(made_up, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(save_with(Image.new("L", (8, 8)), {}))
    before = (out / name).read_bytes()
    with pytest.raises(ConfigError, match=name):
        stage.generate(Places(tmp_path), "gan", "cat", 2, 5, out)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_bytes() == before


@pytest.mark.parametrize("missing", range(1, 25))
def test_a_file_that_was_cut_short_is_not_unchanged(tmp_path, missing):
    whole = provenance.embed(pixels(3), index=2, **CARD)
    (tmp_path / "a.png").write_bytes(whole[:-missing])
    with pytest.raises(DataError, match=r"cut short|not a readable image"):
        stage.verify(tmp_path / "a.png")


@pytest.mark.parametrize("more", [b"\0", b"hidden", provenance.embed(pixels(), index=2, **CARD)])
def test_a_file_with_bytes_behind_its_end_is_not_unchanged(tmp_path, more):
    (tmp_path / "a.png").write_bytes(provenance.embed(pixels(3), index=2, **CARD) + more)
    with pytest.raises(DataError, match=f"{len(more):,} bytes? stand"):
        stage.verify(tmp_path / "a.png")


def test_an_end_with_a_wrong_checksum_is_not_unchanged(tmp_path):
    whole = provenance.embed(pixels(3), index=2, **CARD)
    (tmp_path / "a.png").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="IEND"):
        stage.verify(tmp_path / "a.png")


def forged(**fields):
    """A file whose mark says something else than aigc wrote."""
    with Image.open(io.BytesIO(provenance.embed(pixels(), index=0, **CARD))) as picture:
        picture.load()
        return save_with(picture, {provenance.KEYWORD: json.dumps(json.loads(picture.info["aigc"]) | fields)})


NASTY = "\x1b[31mred\x07\n\r\u202eevil\u2028<script>" + "y" * 1000


@pytest.mark.parametrize("name", ["family", "model_sha256", "dataset_version", "label", "memorization", "generator"])
def test_a_forged_field_is_shown_escaped(tmp_path, name):
    (tmp_path / "a.png").write_bytes(forged(**{name: NASTY}))
    said = stage.verify(tmp_path / "a.png").summary
    assert said.isprintable()
    assert "\\x1b[31mred" in said
    assert len(said) < 1_000
    assert (provenance.detect(forged(**{name: NASTY})) or "").isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [("family", 3), ("family", ["gan"]), ("model_sha256", None), ("seed", "3"), ("seed", True), ("seed", 1.5), ("index", "0"),
     ("label", {}), ("ai_generated", "no"), ("generator", 7)],
)  # fmt: skip
def test_a_forged_field_of_another_kind_is_a_damaged_mark(tmp_path, name, value):
    (tmp_path / "a.png").write_bytes(forged(**{name: value}))
    with pytest.raises(DataError, match=f"damaged.*{name}"):
        stage.verify(tmp_path / "a.png")


@pytest.mark.parametrize("mark", ["[" * 100_000, '{"seed": ' + "9" * 5_000 + "}"])
def test_a_mark_that_no_reader_can_hold_is_damaged(tmp_path, mark):
    (tmp_path / "a.png").write_bytes(save_with(Image.new("L", (8, 8)), {provenance.KEYWORD: mark}))
    with pytest.raises(DataError, match="damaged"):
        stage.verify(tmp_path / "a.png")


def test_two_marks_that_differ_are_no_mark(tmp_path):
    with Image.open(io.BytesIO(provenance.embed(pixels(), index=0, **CARD))) as picture:
        picture.load()
        chunks = PngImagePlugin.PngInfo()
        for seed in (3, 4):
            chunks.add_itxt(provenance.KEYWORD, json.dumps(json.loads(picture.info["aigc"]) | {"seed": seed}))
        picture.save(tmp_path / "a.png", pnginfo=chunks)
    with pytest.raises(DataError, match="differ"):
        stage.verify(tmp_path / "a.png")
