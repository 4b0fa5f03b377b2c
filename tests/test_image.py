"""Decoding: whatever Pillow reads becomes 1, 3 or 4 channels of 8 bits, with a note; the rest is a DecodeError."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.modalities.decoding.canonical import dark_mean


def encoded(picture, file_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip_is_exact_and_deterministic(make, channels):
    pixels = make.pixels(1, side=9, channels=channels)
    content = image.encode_png(pixels)
    assert content == image.encode_png(pixels.copy())
    decoded = image.decode(content)
    assert decoded.notes == ()
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 4), ("P", 3), ("RGB", 3), ("RGBA", 4), ("I;16", 1)]
)
def test_modes_of_png(mode, channels):
    picture = Image.new(mode, (5, 7))
    if mode in ("P", "RGB"):
        picture.putpixel((2, 2), 1 if mode == "P" else (9, 8, 7))
    if mode == "P":
        picture.putpalette([0, 0, 0, 250, 3, 4])
    decoded = image.decode(encoded(picture))
    assert decoded.pixels.shape == (7, 5, channels)
    assert decoded.pixels.dtype == np.uint8
    assert bool(decoded.notes) == (mode not in ("L", "RGB", "RGBA"))


def test_cmyk_becomes_colour_with_a_note():
    decoded = image.decode(encoded(Image.new("CMYK", (8, 8), (0, 200, 200, 0)), "JPEG"))
    assert decoded.pixels.shape == (8, 8, 3)
    assert "CMYK" in decoded.notes[0]
    red, green, blue = decoded.pixels[4, 4].tolist()
    assert red > 245, "neither inverted nor darkened"
    assert max(green, blue) < 65


def test_sixteen_bits_are_scaled_not_cut():
    wide = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    assert image.decode(encoded(Image.fromarray(wide))).pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_palette_with_transparency_keeps_alpha():
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    decoded = image.decode(encoded(picture, transparency=1))
    assert decoded.pixels.shape == (4, 4, 4)
    assert decoded.pixels[0, 0, 3] == 0


def test_exif_rotation_is_applied():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :2] = (255, 254, 255)  # nearly white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    decoded = image.decode(encoded(Image.fromarray(pixels), exif=exif))
    assert decoded.pixels.shape == (8, 4, 3)
    assert decoded.pixels[:2].min() == 254
    assert decoded.pixels[2:].max() == 0
    assert "orientation 6" in decoded.notes[0]


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def turned_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def turned_by_text(keyword, value):
    text = PngImagePlugin.PngInfo()
    text.add_itxt(keyword, value)
    return text


RAW = "\nexif\n26\n" + turned_by_exif().tobytes().hex()
CARRIERS = {
    "PNG, EXIF": ("PNG", lambda: {"exif": turned_by_exif()}),
    "PNG, XMP": ("PNG", lambda: {"pnginfo": turned_by_text("XML:com.adobe.xmp", XMP.decode())}),
    "PNG, raw profile": ("PNG", lambda: {"pnginfo": turned_by_text("Raw profile type exif", RAW)}),
    "JPEG, EXIF": ("JPEG", lambda: {"exif": turned_by_exif()}),
    "JPEG, XMP": ("JPEG", lambda: {"xmp": XMP}),
    "WebP, EXIF": ("WEBP", lambda: {"exif": turned_by_exif()}),
    "TIFF": ("TIFF", lambda: {"tiffinfo": {0x0112: 6}}),
    "packed TIFF": ("TIFF", lambda: {"tiffinfo": {0x0112: 6}, "compression": "tiff_lzw"}),
    "AVIF, EXIF": ("AVIF", lambda: {"exif": turned_by_exif()}),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_rotation_is_seen_wherever_pillow_sees_one(carrier):
    name, options = CARRIERS[carrier]
    content = encoded(Image.new("RGB", (8, 4), (250, 3, 4)), name, **options())
    with Image.open(io.BytesIO(content)) as opened:
        if name != "TIFF":  # which Pillow turns by itself
            opened.load()
        assert opened.getexif()[0x0112] == 6, "the file says so"
    decoded = image.decode(content)
    assert decoded.pixels.shape == (8, 4, 3)
    assert decoded.notes == ("EXIF orientation 6 applied",)


def test_animation_gives_its_first_frame():
    frames = [Image.new("L", (6, 6), level) for level in (0, 255)]
    decoded = image.decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.pixels[..., 0].max() == 0
    assert decoded.notes[0] == "first of 2 frames"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(40)])
def test_foreign_bytes_are_a_decode_error(content):
    with pytest.raises(DecodeError):
        image.decode(content)


def test_every_truncation_is_refused_or_shows_the_whole_picture(make):
    content = make.png(3)
    whole = image.decode(content).pixels
    reasons = []
    for length in range(0, len(content), 7):
        try:
            np.testing.assert_array_equal(image.decode(content[:length]).pixels, whole)
        except DecodeError as error:
            reasons.append(str(error))
    assert not [reason for reason in reasons if "0x" in reason], "an address in memory would make two runs differ"
    assert len(reasons) > 0.9 * len(range(0, len(content), 7))


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch, make):
    monkeypatch.setattr(image, "MAX_PIXELS", 100)
    with pytest.raises(DecodeError, match="12x12 px is more than 100 px"):
        image.decode(make.png(1))


def test_content_hash_knows_shape_and_pixels_but_no_format(make):
    pixels = make.pixels(1, channels=3)
    bmp = encoded(Image.fromarray(pixels), "BMP")
    assert image.content_hash(image.decode(bmp).pixels) == image.content_hash(pixels)
    assert image.content_hash(pixels.reshape(6, 24, 3)) != image.content_hash(pixels)
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert image.content_hash(changed) != image.content_hash(pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("have", [1, 3, 4])
@pytest.mark.parametrize("shape", [(3, 3), (40, 17), (8, 8), (1, 60)])
def test_fit_gives_the_asked_shape(shape, have, channels):
    fitted = image.fit(np.full((*shape, have), 255, np.uint8), 8, channels)
    assert fitted.shape == (8, 8, channels)
    assert fitted.min() == 255


def test_fit_cuts_the_middle():
    wide = np.zeros((8, 24, 1), np.uint8)
    wide[:, 8:16] = 200
    assert image.fit(wide, 8, 1).mean() > 190


@pytest.mark.parametrize("size", [8, 32, 300])
@pytest.mark.parametrize(("colour", "hidden"), [((200, 100, 50), (0, 255, 0)), ((10, 20, 30), (255, 255, 255))])
def test_fit_lets_no_hidden_colour_into_the_edge(colour, hidden, size):
    y, x = np.mgrid[:200, :200]
    disc = (x - 100) ** 2 + (y - 100) ** 2 < 70**2
    pixels = np.zeros((200, 200, 4), np.uint8)
    pixels[..., :3] = hidden
    pixels[disc] = (*colour, 255)
    fitted = image.fit(pixels, size, 4)
    opacity = fitted[..., 3]
    assert 0 < (opacity > 0).mean() < 1
    assert np.abs(fitted[opacity > 0][:, :3].astype(int) - colour).max() <= 1
    assert fitted[opacity == 0].max() == 0
    assert opacity[size // 2, size // 2] > 240


def test_luma_weights_and_alpha_over_mid_grey():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert image.with_channels(red, 1)[0, 0, 0] == round(0.299 * 255)
    clear = np.zeros((2, 2, 4), np.uint8)
    assert image.with_channels(clear, 1)[0, 0, 0] == image.with_channels(clear, 3)[0, 0, 2] == 128
    clear[..., 3] = 255
    assert image.with_channels(clear, 1).max() == 0


# One picture, one form.


def as_stored(grey):
    """Files of one grey picture, each in another way."""
    plain = Image.fromarray(grey)
    colour, opaque, grey_opaque = plain.convert("RGB"), plain.convert("RGBA"), plain.convert("LA")
    palette = Image.frombytes("P", plain.size, plain.tobytes())
    palette.putpalette([level for level in range(256) for _ in range(3)])
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    yield from (encoded(one) for one in (plain, colour, opaque, grey_opaque, palette, wide))
    yield encoded(palette, transparency=bytes([255] * 256))
    yield from (encoded(one, "WEBP", lossless=True) for one in (colour, opaque))
    yield from (encoded(one, "TIFF") for one in (plain, opaque, wide, palette))
    yield from (encoded(plain, kind) for kind in ("BMP", "GIF", "TGA", "PPM", "JPEG2000"))
    yield from (encoded(colour, kind) for kind in ("BMP", "QOI", "PPM", "TIFF"))


def test_a_grey_picture_has_one_hash_however_it_is_stored(make):
    grey = make.pixels(4, 20, 1)[..., 0]
    assert {image.content_hash(image.decode(content).pixels) for content in as_stored(grey)} == {
        image.content_hash(grey[..., None])
    }
    lines = np.where(grey > 99, 255, 0).astype(np.uint8)
    bits = Image.fromarray(lines).convert("1")
    files = [*as_stored(lines), encoded(bits), encoded(bits, "TIFF", compression="group4"), encoded(bits, "PPM")]
    assert len({image.content_hash(image.decode(content).pixels) for content in files}) == 1


def test_colour_that_nobody_sees_has_no_part_in_the_hash(make):
    pixels = make.pixels(1, 12, 4)
    pixels[:4, :, 3] = 0
    other = pixels.copy()
    other[:4, :, :3] = make.pixels(2, 12, 3)[:4]
    files = [encoded(Image.fromarray(one), "PNG") for one in (pixels, other)]
    files += [encoded(Image.fromarray(one), "WEBP", lossless=True, exact=True) for one in (pixels, other)]
    assert len({image.content_hash(image.decode(content).pixels) for content in files}) == 1
    assert image.decode(files[0]).pixels[:4].max() == 0
    np.testing.assert_array_equal(image.decode(files[0]).pixels[4:], pixels[4:])


def test_what_differs_to_the_eye_has_another_hash(make):
    base = make.pixels(1, 12, 4)
    base[..., 3] = 200
    shape = base.copy()
    shape[3, 3, 3] = 0
    tint = image.with_channels(base[..., :1], 3).copy()
    tint[-1, -1, 2] ^= 1
    pictures = [base, shape, base[..., :3], base[..., :1], tint]
    assert len({image.content_hash(picture) for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("place", [(0, 0), (6, 6), (11, 11), (5, 2)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_tinted_pixel_makes_colour(make, place, channel):
    pixels = np.repeat(make.pixels(1, 12, 1), 3, 2)
    assert image.decode(encoded(Image.fromarray(pixels))).pixels.shape == (12, 12, 1)
    pixels[place][channel] ^= 4
    np.testing.assert_array_equal(image.decode(encoded(Image.fromarray(pixels))).pixels, pixels)


def test_one_pixel_that_is_not_opaque_keeps_alpha(make):
    pixels = make.pixels(1, 12, 4)
    pixels[..., 3] = 255
    assert image.decode(encoded(Image.fromarray(pixels))).pixels.shape == (12, 12, 3)
    pixels[-1, -1, 3] = 254
    np.testing.assert_array_equal(image.decode(encoded(Image.fromarray(pixels))).pixels, pixels)


@pytest.mark.parametrize(
    ("colour", "wanted"),
    [([0], 0), ([10], 10), ([11], None), ([255], None), ([10, 10, 10], 10), ([0, 0, 80], 9.12), ([0, 20, 0], None),
     ([1, 1, 1, 255], 1), ([1, 1, 1, 1], 1), ([0, 0, 0, 0], None), ([200, 200, 200, 9], None)],
)  # fmt: skip
@pytest.mark.parametrize("side", [1, 12, 300])
def test_the_mean_of_a_picture_that_is_nearly_black(colour, wanted, side):
    found = dark_mean(np.full((side, side, len(colour)), colour, np.uint8))
    assert found == (wanted if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("width", [63, 189, 60, 1])
@pytest.mark.parametrize("height", [63, 189, 400])
def test_of_a_picture_with_one_white_column_that_is_no_larger_share_is_taken(width, height):
    for column in range(0, width, 3):
        pixels = np.zeros((height, width, 1), np.uint8)
        pixels[:, column] = 255
        wanted = None if width == 1 else pytest.approx(255 / width, rel=0.1)
        assert dark_mean(pixels) == wanted


def test_what_is_hidden_does_not_darken_and_few_bright_pixels_do_not_lighten():
    pixels = np.zeros((100, 120, 4), np.uint8)
    pixels[40:60, 40:60] = 200
    assert dark_mean(pixels) is None
    pixels[..., 3] = 255
    assert dark_mean(pixels) == pytest.approx(200 / 30, rel=0.15)
    assert dark_mean(pixels[..., :1]) == pytest.approx(200 / 30, rel=0.15)


def test_an_icon_is_read_as_what_it_turns_out_to_be(make):
    for mode in ("1", "L", "LA", "RGB"):
        decoded = image.decode(encoded(Image.fromarray(make.pixels(1, 32)).convert(mode), "ICNS"))
        assert decoded.pixels.shape[2] in (1, 3)
