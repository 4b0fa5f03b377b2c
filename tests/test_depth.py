"""Values of every width and kind become 8 bits: neither black, nor white, nor inverted, or they are refused with a reason."""

import struct

import numpy as np
import pytest
from odd_files import chunk, png, saved, smooth, tiff

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.modalities.decoding.depth import Known, eight_bits

GREY, COLOUR = smooth(3, channels=1), smooth(5)
ALPHA = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None] * 8, (24, 32, 1))
F = GREY.astype(np.float64)


def close(content, wanted, tolerance=1.0):
    decoded = image.decode(content)
    found = decoded.pixels
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= tolerance, decoded.notes
    return " ".join(decoded.notes)


def to_depth(values, bits, kind=np.uint16):
    return np.round(values.astype(np.float64) * (2**bits - 1) / 255).astype(kind)


def with_alpha(colour):
    pixels = np.concatenate([np.broadcast_to(colour, (24, 32, 3)), ALPHA], axis=2)
    return np.where(pixels[..., 3:] == 0, 0, pixels).astype(np.uint8)


#: PNG's colour types: what is stored, and what comes back.
PNGS = {
    "grey": (0, GREY, GREY),
    "colour": (2, COLOUR, COLOUR),
    "grey and alpha": (4, with_alpha(GREY)[..., 2:], with_alpha(GREY)),
    "colour and alpha": (6, with_alpha(COLOUR), with_alpha(COLOUR)),
}


@pytest.mark.parametrize("kind", PNGS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_png_of_16_bits_holds_any_depth(kind, bits):
    colour, stored, wanted = PNGS[kind]
    notes = close(png(to_depth(stored, bits), 16, colour), wanted)
    assert (f"read as {bits} bits" in notes) == (bits < 16)
    assert "levels" not in notes


@pytest.mark.parametrize("kind", PNGS)
def test_the_same_values_have_one_hash_as_grey_and_as_colour(kind):
    values = np.random.default_rng(0).integers(0, 65536, (9, 7, 1)).astype(np.uint16)
    grey = image.decode(png(values, 16, 0)).pixels
    assert grey[..., 0].tolist() == np.round(values[..., 0] / 257).astype(int).tolist(), "rounded, not cut"
    colour = {"grey": values, "colour": values.repeat(3, 2)}.get(kind)
    if colour is None:
        full = np.full_like(values, 65535)
        colour = np.concatenate([values.repeat(PNGS[kind][1].shape[2] - 1, 2), full], axis=2)
    np.testing.assert_array_equal(image.decode(png(colour, 16, PNGS[kind][0])).pixels, grey)


def test_significant_bits_decide_whether_or_not_the_values_are_scaled_up():
    said = chunk(b"sBIT", bytes([12]))
    dark = (GREY // 10).astype(int)
    close(png(to_depth(GREY, 16), 16, 0, said), GREY)
    close(png(to_depth(dark, 12), 16, 0, said), dark)
    assert "read as" in close(png(to_depth(dark, 12), 16, 0), dark, 255), "a guess"
    assert "levels" in close(png(to_depth(GREY, 8), 16, 0, chunk(b"sBIT", bytes([16]))), np.round(GREY / 257), 0)
    three = chunk(b"sBIT", bytes([12] * 3))
    close(png(to_depth(COLOUR, 12), 16, 2, three), COLOUR)


@pytest.mark.parametrize(("colour", "stored", "key"), [(0, GREY, (7,)), (2, COLOUR, (7, 8, 9))])
def test_a_transparent_colour_of_16_bits(colour, stored, key):
    values = to_depth(stored, 16)
    values[:3] = key
    wanted = np.concatenate([np.broadcast_to(stored, (24, 32, 3)), np.full((24, 32, 1), 255)], axis=2)
    wanted[:3] = 0
    close(png(values, 16, colour, chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))), wanted)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_and_their_transparent_one(bits):
    values = (F // (256 >> bits)).astype(np.uint8)
    full = values * (255 // (2**bits - 1))
    close(png(values, bits, 0), full, 0)
    wanted = np.concatenate([full.repeat(3, 2), np.where(values == 1, 0, 255)], axis=2)
    wanted[values[..., 0] == 1] = 0
    close(png(values, bits, 0, chunk(b"tRNS", b"\0\1")), wanted, 0)


WHOLE = {
    "u2": F * 257, "u4": F * 257 * 65537, "u2 of 8 bits": F, "u2 of 12 bits": F / 255 * 4095, "u4 of 8 bits": F,
    "u4 of 16 bits": F * 257, "i2": F * 128.49, "i2 of 12 bits": F / 255 * 4095, "i4": F * 2**23, "i4 of 8 bits": F,
    "i4 of 16 bits": F * 257, "i4 that is no depth": F * 8_000_000, "i1": F / 255 * 127, "i1 about 0": F - 128,
    "i2 about 0": (F - 128) * 256, "u8": F * 2**40, "f4": F / 255, "f8": F / 255, "f2": F / 255, "f4 about 0": F / 127.5 - 1,
    "f4 of 8 bits": F, "f4 of 16 bits": F * 257, "f4 about 0 of 8 bits": F - 128, "f4 that is no depth": F * 1e7,
}  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", WHOLE)
def test_tiff_of_every_type(name, order):
    close(
        tiff(np.round(WHOLE[name]).astype(name[:2]) if name[0] != "f" else WHOLE[name].astype(name[:2]), 1, order), GREY
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f4"])
def test_white_may_be_zero(kind, order):
    full = {"u1": 255, "u2": 65535, "u4": 2**32 - 1, "f4": 1.0}[kind]
    close(tiff((full * (1 - F / 255)).astype(kind), 0, order), GREY)


LAYOUTS = {
    "strips": {"rows": 5}, "tiles": {"tile": 16}, "packed": {"packed": True}, "differences": {"packed": True, "predictor": 2},
    "differences in tiles": {"packed": True, "predictor": 2, "tile": 16},
}  # fmt: skip


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_colour_with_alpha_in_every_layout(layout, order, planar):
    options = {**LAYOUTS[layout], "planar": planar}
    wanted = with_alpha(COLOUR)
    close(tiff(to_depth(wanted, 16), 2, order, extra=(2,), **options), wanted, 0)
    shown = wanted.astype(float)
    shown[..., :3] *= shown[..., 3:] / 255
    bright = wanted[..., 3] > 60
    found = image.decode(tiff(to_depth(shown, 16), 2, order, extra=(1,), **options)).pixels
    assert np.abs(found[bright].astype(int) - wanted[bright]).max() <= 3, "colour that is multiplied by alpha"
    grey = with_alpha(GREY)
    close(tiff(to_depth(grey[..., 2:], 16), 1, order, extra=(2,), **options), grey, 0)
    close(tiff(to_depth(COLOUR, 12), 2, order, **options), COLOUR)


@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_differences_of_floats(order, tile):
    values = (COLOUR / 255).astype(np.float32)
    close(tiff(values, 2, order, packed=True, predictor=3, tile=tile), COLOUR, 0)


@pytest.mark.parametrize("bits", [6, 10, 12, 14])
@pytest.mark.parametrize("order", ["<", ">"])
def test_packed_bits(bits, order):
    values = to_depth(GREY, bits)
    places = np.arange(bits - 1, -1, -1)
    rows = np.packbits(((values >> places) & 1).reshape(24, -1).astype(np.uint8), axis=1)[..., None]
    close(tiff(rows, 1, order, tags={256: (4, [32]), 258: (3, [bits])}), np.round(values / (2**bits - 1) * 255), 1)


@pytest.mark.parametrize("white", [1000, 4095, 10000])
def test_the_largest_sample_that_a_tiff_names_is_white(white):
    dark = GREY // 2
    values = np.round(dark / 255 * white).astype(np.uint16)
    assert "read as" not in close(tiff(values, tags={281: (3, [white])}), dark)
    assert "read as" in " ".join(image.decode(tiff(values, tags={281: (3, [5])})).notes), (
        "one that is exceeded says nothing"
    )


def test_a_colour_map_of_8_bits_is_not_black():
    palette = np.random.default_rng(0).integers(0, 256, (256, 3))
    places = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for factor in (1, 257):
        content = tiff(places, 3, tags={320: (3, (palette.T.ravel() * factor).tolist())})
        np.testing.assert_array_equal(image.decode(content).pixels, palette.reshape(16, 16, 3))


@pytest.mark.parametrize(("samples", "extra"), [(13, (0,) * 12), (4, (0, 0, 0)), (2, ())])
def test_too_many_samples_are_refused_or_left_out(samples, extra):
    content = tiff(np.full((4, 4, samples), 900, np.uint16), 1, extra=extra)
    if samples == 2:
        assert "left out: 1" in " ".join(image.decode(content).notes)
    else:
        with pytest.raises(DecodeError, match=f"{samples} samples"):
            image.decode(content)


def test_an_unknown_layout_is_named():
    with pytest.raises(DecodeError, match=r"float 32\+32\+32 bits, photometric 8"):
        image.decode(tiff(np.zeros((4, 4, 3), np.float32), 8))


@pytest.mark.parametrize("most", [1, 15, 100, 254, 256, 1000, 1023, 4095, 65535])
def test_the_largest_value_of_pnm_is_white(most):
    values, colours = np.round(F / 255 * most), np.round(COLOUR / 255 * most)
    kind = ">u2" if most > 255 else "u1"
    wanted = np.round(values / most * 255)
    close(b"P5\n# words\n32 24\n%d\n" % most + values.astype(kind).tobytes(), wanted)
    close(b"P2 32 24 %d " % most + " ".join(str(int(value)) for value in values.ravel()).encode(), wanted)
    close(b"P6 32 24 %d " % most + colours.astype(kind).tobytes(), np.round(colours / most * 255))


def test_pnm_of_all_bits_may_hold_fewer_and_may_not_be_cut_off():
    content = b"P5 32 24 65535 " + to_depth(GREY, 12).astype(">u2").tobytes()
    assert "3,774 read as 12 bits" in close(content, GREY)
    with pytest.raises(DecodeError):
        image.decode(content[:-1])


def test_pfm():
    content = b"Pf\n32 24\n-1.0\n" + (F[::-1] / 255).astype("<f4").tobytes()
    close(content, GREY)


def fits(values, bits, **cards):
    lines = [
        f"SIMPLE  = {'T':>20}",
        f"BITPIX  = {bits:>20}",
        f"NAXIS   = {2:>20}",
        f"NAXIS1  = {32:>20}",
        f"NAXIS2  = {24:>20}",
    ]
    lines += [f"{name:8}= {value:>20}" for name, value in cards.items()] + ["END"]
    return "".join(f"{line:80}" for line in lines).ljust(2880).encode() + values[::-1].tobytes().ljust(2880, b"\0")


def test_fits_is_signed_and_may_be_shifted():
    close(fits((F * 128.49).astype(">i2"), 16), GREY)
    close(fits((F * 257 - 32768).astype(">i2"), 16, BZERO=32768, BSCALE=1), GREY)
    close(fits((F / 255).astype(">f4"), -32), GREY)
    close(fits((F * 100).astype(">i2"), 16, BZERO=0, BSCALE=0.01), GREY)


def test_jpeg_2000_of_16_bits():
    wide = to_depth(GREY, 16)
    close(saved(wide, "JPEG2000"), GREY)


def sgi(values):
    """An SGI file of values (H, W, 3) of 8 or 16 bits, one plane after the other, from the last row on."""
    height, width, samples = values.shape
    head = struct.pack(">HBBHHHH", 474, 0, values.itemsize, 3, width, height, samples).ljust(512, b"\0")
    return head + values[::-1].transpose(2, 0, 1).astype(values.dtype.newbyteorder(">")).tobytes()


def test_an_image_of_16_bits_that_is_read_by_its_upper_bits_is_told_where_it_is_dim():
    low = to_depth(COLOUR, 11)
    assert "of 255 levels" in close(sgi(low), low >> 8)
    assert close(sgi(to_depth(COLOUR, 16)), COLOUR) == ""
    assert close(sgi(COLOUR // 16), COLOUR // 16) == "", "what has 8 bits is as dim as it is meant"


def test_samples_beyond_the_limit_are_left_to_pillow_or_refused(monkeypatch):
    values = to_depth(GREY, 12)
    content = {photometric: tiff(values, photometric) for photometric in (0, 1)}
    monkeypatch.setattr(image, "MAX_BYTES", values.nbytes)
    assert "12 bits" in close(content[1], GREY)
    close(content[0], 255 - GREY)
    monkeypatch.setattr(image, "MAX_BYTES", values.nbytes - 1)
    wide = tiff(COLOUR.astype(np.uint16) * 256, 2)
    close(wide, COLOUR)
    with pytest.raises(DecodeError, match="white is 0"):
        image.decode(content[0])


# What a scale is guessed from, on the numbers themselves.


def scaled(values, known=None, **options):
    values = np.asarray(values, dtype=None)
    pixels, notes = eight_bits(values.reshape(1, -1, 1), known or Known("F", 32), **options)
    return pixels.ravel().tolist(), " ".join(notes)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-0.02, 0.5, 1.05], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([-1.05, 0.0, 0.2], [0, 128, 153]),
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([-7.5, 128.25, 262.5], [0, 128, 255]),
        ([0.0, 2.0, 5.0], [0, 2, 5]),
        ([0.0, 1.3, 2.6], [0, 128, 255]),
        ([-2.5, 0.0, 2.5], [0, 128, 255]),
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([0.0, 1e9, 2e9], [0, 128, 255]),
        ([-80.0, -50.0, -20.0], [0, 128, 255]),
    ],
)
def test_scales_of_floats(values, wanted):
    assert scaled(values)[0] == wanted


@pytest.mark.parametrize("most", [0.1, 0.01, 0.001, 1e-6, 1e-20])
def test_a_small_range_of_fractions_is_stretched(most):
    for low in (0.0, -most / 2):
        levels, notes = scaled(np.array([low, low + most / 2, low + most]))
        assert levels == [0, 128, 255]
        assert "stretched" in notes
        assert "levels" not in notes


@pytest.mark.parametrize("values", [[0.0, 0.13], [0.7, 0.7], [0.0, 2.0, 5.0], [0.0, 1.0]])
def test_a_range_that_shows_or_that_means_whole_numbers_is_not_stretched(values):
    assert "stretched" not in scaled(values)[1]


def test_alpha_of_floats_is_never_stretched():
    values = np.array([0.0, 0.99, 0.001, 1.0]).reshape(1, 2, 2)
    assert eight_bits(values, Known("F", 32), alpha=True)[0].tolist() == [[[0, 252], [255, 255]]]


def without_alpha(kind):
    empty = np.zeros((24, 32, 1), np.uint8)
    pixels = np.concatenate([COLOUR, empty], axis=2)
    if kind == "TGA":
        return saved(pixels, "TGA")
    if kind == "TIFF of 16 bits":
        return tiff(to_depth(pixels, 16), 2)
    return tiff(pixels, 2)


@pytest.mark.parametrize("kind", ["TGA", "TIFF", "TIFF of 16 bits"])
def test_an_alpha_of_0_that_nobody_declared_hides_no_picture(kind):
    assert "alpha of 0" in close(without_alpha(kind), COLOUR)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF of 16 bits", "WEBP"])
def test_a_declared_alpha_of_0_hides_the_picture(kind):
    pixels = np.concatenate([COLOUR, np.zeros((24, 32, 1), np.uint8)], axis=2)
    if kind.startswith("TIFF"):
        content = tiff(to_depth(pixels, 16) if "16" in kind else pixels, 2, extra=(2,))
    else:
        content = saved(pixels, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    decoded = image.decode(content)
    assert not decoded.pixels.any()
    assert "alpha of 0" not in " ".join(decoded.notes)


def test_highlights_do_not_darken_the_rest():
    values = np.linspace(0, 1, 100)
    values[-3:] = 6.5
    levels, notes = scaled(values)
    assert levels[50] == round(255 * 50 / 99)
    assert levels[-3:] == [255] * 3
    assert "cut off: 3" in notes


def test_a_flat_image_stays_flat():
    levels, notes = scaled(np.array([1_000_000, 1_000_001, 1_000_004]), Known("I", 32))
    assert max(levels) - min(levels) <= 1
    assert "uses" in notes


def test_a_dim_image_is_told_and_a_drawing_of_one_bit_is_not():
    assert "uses 11 of 255 levels" in scaled(np.linspace(0, 0.0431, 90), Known("F", 32, white=1.0))[1]
    assert "uses 15 of 255 levels" in scaled(np.arange(3900), Known("I;16", 16, white=65535.0))[1]
    assert "levels" not in scaled(np.zeros(9))[1]
    assert image.decode(saved(np.zeros((8, 8, 1), np.uint8), mode="1")).notes == ("mode 1 read as L",)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_few_values_that_are_not_finite_are_replaced_and_many_refused(bad):
    values = np.linspace(0, 1, 200)
    values[7] = bad
    levels, notes = scaled(values)
    assert levels[7] == (255 if bad == np.inf else 0)
    assert levels[8:] == np.round(values[8:] * 255).astype(int).tolist()
    assert "replaced: 1" in notes
    values[:3] = bad
    with pytest.raises(DecodeError, match="4 of 200"):
        scaled(values)
    with pytest.raises(DecodeError):
        scaled(np.full(1, bad))


def test_strips_do_not_change_what_they_scale(monkeypatch):
    values = np.random.default_rng(0).integers(0, 65536, (40, 30, 3))
    whole = eight_bits(values, Known("RGB;16", 16))[0]
    monkeypatch.setattr("aigc_core.modalities.decoding.depth.STRIP", 100)
    np.testing.assert_array_equal(eight_bits(values, Known("RGB;16", 16))[0], whole)
