"""Metadata never condemns pixels; what is missing of the pixels does, unless nobody sees that it is missing."""

import io
import struct
import zlib

import numpy as np
import pytest
from odd_files import EXIF, chunk, exif_of, png, saved, segment, smooth, tiff, turned, with_chunk
from PIL import Image

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.modalities.decoding import exif, jpeg_end
from aigc_core.modalities.decoding.endings import PIECE, SMALL
from aigc_core.modalities.decoding.metadata import FIRST_FRAME_ALONE, IGNORED

COLOUR = smooth(5)


def same(content, wanted=COLOUR, tolerance=0.0):
    decoded = image.decode(content)
    assert decoded.pixels.shape == wanted.shape
    assert np.abs(decoded.pixels.astype(int) - wanted).mean() <= tolerance
    return decoded.notes


PACKED = b"k\0\0" + zlib.compress(bytes(3 << 20))
BODIES = {
    "empty": b"", "short": b"\0", "no text": b"\xff\xa8abc" * 9, "long": bytes(3000), "packed": PACKED,
    "packed text": b"k\0\1\0\0\0" + zlib.compress(bytes(3 << 20)),
}  # fmt: skip
CHUNKS = ["gAMA", "cHRM", "sRGB", "iCCP", "sBIT", "bKGD", "hIST", "pHYs", "sPLT", "tIME", "tEXt", "zTXt", "iTXt", "eXIf",
          "acTL", "fcTL", "fdAT", "cICP", "prVt", "caBX"]  # fmt: skip


@pytest.mark.parametrize("name", CHUNKS)
def test_no_chunk_beside_the_pixels_condemns_a_png(name):
    plain = saved(COLOUR)
    for body in BODIES.values():
        for sound in (True, False):
            for late in (True, False):
                same(with_chunk(plain, name.encode(), body, sound=sound, late=late))


def test_what_is_ignored_is_noted():
    plain = saved(COLOUR)
    assert same(plain) == ()
    assert same(with_chunk(plain, b"pHYs", b"\0")) == (IGNORED,)
    assert same(with_chunk(plain, b"tEXt", b"k\0v", sound=False)) == (IGNORED,)
    assert same(with_chunk(plain, b"eXIf", b"no EXIF")) == (exif.UNREADABLE,)


def test_text_beyond_every_limit_of_pillow():
    text = b"k\0\0" + zlib.compress(bytes(1 << 20))
    content = saved(COLOUR)
    for _ in range(70):
        content = with_chunk(content, b"zTXt", text)
    assert same(content) == (IGNORED,)


def test_the_transparent_colour_is_no_metadata_but_a_broken_one_is():
    grey = smooth(1, channels=1)
    content = saved(grey)
    same(with_chunk(content, b"tRNS", b""), grey)
    same(with_chunk(content, b"tRNS", b"\0" + bytes(grey[0, 0]), sound=False), grey)
    assert image.decode(with_chunk(content, b"tRNS", b"\0" + bytes(grey[0, 0]))).pixels.shape[2] == 4
    palette = saved(COLOUR, mode="P")
    place = palette.index(b"IDAT") - 4
    long = palette[:place] + with_chunk(palette[:33] + palette[-12:], b"tRNS", b"\xff" * 300)[33:-12] + palette[place:]
    same(long, image.decode(palette).pixels)


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE"])
def test_a_wrong_checksum_of_what_decides_pixels_condemns(name):
    content = bytearray(saved(COLOUR, mode="P"))
    place = content.index(name)
    length = struct.unpack_from(">I", content, place - 4)[0]
    content[place + 4 + length] ^= 1
    with pytest.raises(DecodeError, match="damaged PNG"):
        image.decode(bytes(content))


def frames(kind, **options):
    rest = [Image.fromarray(smooth(seed)) for seed in (6, 7)]
    return saved(COLOUR, kind, save_all=True, append_images=rest, **options)


def test_animated_png_with_broken_frames_gives_its_first():
    content = frames("PNG")
    assert same(content) == ("first of 3 frames",)
    same(content.replace(b"fcTL\0\0\0\1", b"fcTL\0\0\0\7"))
    same(content[: content.rindex(b"fdAT") + 40])


@pytest.mark.parametrize("cut", [1, 12, 16])
def test_png_without_its_last_bytes_has_all_rows(cut):
    same(saved(COLOUR)[:-cut])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP", "JPEG", "GIF", "PPM"])
def test_half_a_file_is_corrupt_whatever_it_is(kind):
    content = saved(smooth(2, 64, 96), kind)
    for length in (len(content) // 2, len(content) * 3 // 4):
        with pytest.raises(DecodeError):
            image.decode(content[:length])


def zeroed(content, share):
    kept = int(len(content) * share)
    return content[:kept] + bytes(len(content) - kept)


WRITTEN = {
    "PNG": {}, "JPEG": {}, "progressive": {"kind": "JPEG", "progressive": True}, "restarts": {"kind": "JPEG", "restart_marker_blocks": 2},
    "AVIF": {}, "deep AVIF": {"kind": "AVIF", "quality": 100}, "WebP": {"kind": "WEBP"}, "lossless WebP": {"kind": "WEBP", "lossless": True}, "GIF": {}, "LZW": {"kind": "TIFF", "compression": "tiff_lzw"},
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("size", [64, 100, 256])
def test_a_file_that_ends_in_zeros_is_corrupt(name, size):
    options = {"kind": name, **WRITTEN[name]}
    grain = np.random.default_rng(0).integers(-20, 21, (size, size, 3))
    content = saved(np.clip(smooth(2, size, size) + grain, 0, 255).astype(np.uint8), **options)
    assert image.decode(content).notes == image.decode(content + bytes(40)).notes
    for share in (0.5, 0.75, 0.9):
        with pytest.raises(DecodeError):
            image.decode(zeroed(content, share))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 0}])
def test_an_end_marker_does_not_make_half_a_jpeg_whole(mode, options):
    content = saved(smooth(2, 160, 240), "JPEG", mode, quality=90, **options)
    assert jpeg_end.MISSING not in image.decode(content).notes
    for share in (0.5, 0.75, 0.9):
        with pytest.raises(DecodeError):
            image.decode(content[: int(len(content) * share)] + jpeg_end.END)


@pytest.mark.parametrize("progressive", [False, True])
def test_the_end_of_a_preview_is_not_that_of_the_picture(progressive):
    pixels = smooth(2, 160, 240)
    pixels[-16:, -16:] = 128
    preview = EXIF + exif_of([turned(1)]) + saved(smooth(3, 32, 32), "JPEG")
    plain = saved(pixels, "JPEG", progressive=progressive)
    content = segment(plain, 0xE1, preview)
    for tail in (b"", b"junk", bytes(20)):
        assert same(content + tail, image.decode(plain).pixels) == ()
    with pytest.raises(DecodeError):
        image.decode(content[: len(content) - len(plain) // 2] + jpeg_end.END)


@pytest.mark.parametrize("grey", [127, 128, 129])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_grey_by_itself_is_whole(grey, progressive):
    content = saved(np.full((40, 40, 3), grey, np.uint8), "JPEG", progressive=progressive)
    same(content, np.full((40, 40, 1), grey))
    same(content + b"junk", np.full((40, 40, 1), grey))


def short_png(pixels, rows):
    whole = png(pixels, 8, {1: 0, 3: 2, 4: 6}[pixels.shape[2]])
    place = whole.index(b"IDAT") - 4
    lines = b"".join(b"\0" + row.tobytes() for row in pixels[:rows])
    return whole[:place] + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_with_too_few_rows_is_corrupt_and_one_with_dark_rows_is_not(channels):
    pixels = smooth(3, channels=channels)
    for rows in (1, 12, 23):
        with pytest.raises(DecodeError, match="damaged PNG"):
            image.decode(short_png(pixels, rows))
    pixels[12:] = 0
    same(short_png(pixels, 24), pixels)
    for dark in (np.zeros_like(pixels)[..., :3], pixels[..., :1]):
        same(saved(dark), dark[..., :1])


@pytest.mark.parametrize("sound", [True, False])
def test_the_checksum_of_pixels_counts_and_that_of_later_frames_does_not(sound):
    values = COLOUR.astype(np.uint16) * 257
    for content in (saved(COLOUR), saved(COLOUR, mode="P"), png(values, 16, 2)):
        broken = bytearray(content)
        broken[len(content) - 13] ^= not sound
        if sound:
            image.decode(bytes(broken))
        else:
            with pytest.raises(DecodeError, match="checksum"):
                image.decode(bytes(broken))
    moving = bytearray(frames("PNG"))
    moving[-13] ^= not sound
    same(bytes(moving))


def after_another(content):
    """A PNG whose header comes second."""
    return content[:8] + chunk(b"CgBI", b"P\0 \2") + content[8:]


def test_a_chunk_before_the_header_of_a_png_condemns_nothing_and_hides_nothing():
    assert same(after_another(saved(COLOUR))) == ()
    deep = png(COLOUR.astype(np.uint16) * 257 + 100, 16, 2)
    np.testing.assert_array_equal(image.decode(after_another(deep)).pixels, image.decode(deep).pixels)
    assert image.decode(after_another(deep)).notes == image.decode(deep).notes != ()
    few = png(smooth(1, channels=1) // 64, 2, 0, chunk(b"tRNS", b"\0\1"))
    np.testing.assert_array_equal(image.decode(after_another(few)).pixels, image.decode(few).pixels)
    with pytest.raises(DecodeError, match="of the"):
        image.decode(after_another(short_png(COLOUR, 12)))
    broken = bytearray(after_another(saved(COLOUR)))
    broken[-13] ^= 1
    with pytest.raises(DecodeError, match="checksum"):
        image.decode(bytes(broken))


def test_the_form_of_png_that_apple_writes_for_itself_is_named():
    content = png(COLOUR, 8, 2)
    start, end = content.index(b"IDAT") + 4, len(content) - 16
    raw = content[start + 2 : end - 4]  # without the two bytes before and the checksum behind
    with pytest.raises(DecodeError, match="CgBI"):
        image.decode(after_another(content[: start - 8] + chunk(b"IDAT", raw) + chunk(b"IEND", b"")))


@pytest.mark.parametrize("parts", [1, 7, 1000])
def test_the_bytes_of_a_large_png_are_counted_in_pieces(parts):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    pixels[150:] = 0
    for rows in (200, 199, 150):
        whole = short_png(pixels, rows)
        start, end = whole.index(b"IDAT") + 4, len(whole) - 16
        body = whole[start:end]
        assert len(body) > 4 * PIECE
        step = -(-len(body) // parts)
        cut = b"".join(chunk(b"IDAT", body[at : at + step]) for at in range(0, len(body), step))
        content = whole[: start - 8] + cut + chunk(b"IEND", b"")
        if rows == 200:
            assert same(content, pixels) == ()
        else:
            with pytest.raises(DecodeError, match=f"{rows * 901:,} of the {200 * 901:,} bytes"):
                image.decode(content)


@pytest.mark.parametrize("method", [0, 4])
@pytest.mark.parametrize("lossless", [True, False])
def test_the_zeros_that_a_flat_webp_needs_are_no_damage(method, lossless):
    pixels = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    pixels[64:] = 255
    content = saved(pixels, "WEBP", method=method, lossless=lossless, quality=20)
    assert image.decode(content).notes == ()
    assert method or content.endswith(bytes(16)), "the file that this is about"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_an_avif_may_hold_zeros_that_decide_no_pixel(mode):
    content = saved(smooth(2, 64, 96, 4 if mode == "RGBA" else 3), "AVIF", mode)
    wanted = image.decode(content)
    place = content.index(b"mdat") - 4
    longer = content[:place] + struct.pack(">I", len(content) - place + 50) + content[place + 4 :] + bytes(50)
    open_end = content[:place] + bytes(4) + content[place + 4 :] + bytes(50)
    for other in (longer, open_end):
        found = image.decode(other)
        assert found.notes == wanted.notes == ()
        np.testing.assert_array_equal(found.pixels, wanted.pixels)
    for cut in (16, 40):
        for other in (content, longer[:-50] + bytes(50), open_end):
            end = len(content)
            with pytest.raises(DecodeError):
                image.decode(other[: end - cut] + bytes(cut) + other[end:])


@pytest.mark.parametrize("noisy", [0, 1, 20])
def test_a_png_that_unpacks_to_much_more_and_ends_wrongly_has_all_of_its_pixels(noisy):
    pixels = np.zeros((2000, 300, 3), np.uint8)
    pixels[:noisy] = np.random.default_rng(0).integers(0, 256, (noisy, 300, 3))
    whole = short_png(pixels, 2000)
    start, end = whole.index(b"IDAT") + 4, len(whole) - 16
    assert len(whole) > SMALL
    for cut, tail in (
        (4, b""),
        (5, bytes(4)),
        (5, b"junk" * 9),
    ):  # the checksum of the unpacked bytes, and what is before it
        content = whole[: start - 8] + chunk(b"IDAT", whole[start : end - cut] + tail) + chunk(b"IEND", b"")
        assert same(content, pixels if noisy else pixels[..., :1]) == ()


SEGMENTS = {
    "empty": b"", "EXIF alone": EXIF, "no EXIF": EXIF + b"junk" * 9, "Adobe": b"Adobe\0", "JFIF": b"JFIF\0", "JFXX": b"JFXX\0\x10",
    "Photoshop": b"Photoshop 3.0\x008BIM\4\4", "MPF": b"MPF\0II*\0\xff\xff", "ICC": b"ICC_PROFILE\0", "ICC 1": b"ICC_PROFILE\0\1\2",
    "XMP": b"http://ns.adobe.com/xap/1.0/\0\xff\xfe", "FlashPix": b"FPXR\0", "image": b"\xff\xd8\xff\xdb" * 9000,
}  # fmt: skip


@pytest.mark.parametrize("name", SEGMENTS)
def test_no_segment_beside_the_pixels_condemns_a_jpeg(name):
    plain = saved(COLOUR, "JPEG", quality=95)
    wanted = image.decode(plain).pixels
    for marker in (*range(0xE0, 0xF0), 0xFE):
        same(segment(plain, marker, SEGMENTS[name]), wanted)


@pytest.mark.parametrize("mode", ["CMYK", "RGB"])
def test_the_colours_of_a_jpeg_stay_those_that_its_markers_say(mode):
    options = {"quality": 95} | ({"keep_rgb": True} if mode == "RGB" else {})
    content = saved(COLOUR, "JPEG", mode, **options)
    wanted = image.decode(content).pixels
    same(content, COLOUR, 4)
    notes = same(segment(content, 0xEE, b"Adobe\0"), wanted)
    assert IGNORED in notes


def test_long_exif_in_many_segments():
    content = saved(COLOUR, "JPEG", quality=95)
    wanted = image.decode(content).pixels
    for _ in range(4):
        content = segment(content, 0xE1, EXIF + exif_of([turned(1)]) + bytes(60000))
    same(content, wanted)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_is_kept_where_the_picture_is_there(mode, options):
    content = saved(smooth(2, 160, 240), "JPEG", mode, quality=90, **options)
    wanted = image.decode(content).pixels
    for cut in (1, 2):
        same(content[:-cut], wanted)
    if not options.get("progressive"):  # there one code may stand for many blocks
        for cut in (3, 5):
            same(content[:-cut], wanted, 0.5)
    same(content + b"junk" * 20, wanted)
    for share in (0.9, 0.75, 0.5, 0.25):
        with pytest.raises(DecodeError):
            image.decode(content[: int(len(content) * share)])


def test_a_missing_end_is_noted():
    content = saved(COLOUR, "JPEG")
    assert image.decode(content[:-2]).notes == (jpeg_end.MISSING,)
    assert image.decode(segment(content, 0xEE, b"Adobe\0")[:-2]).notes == image.decode(content[:-2]).notes


@pytest.mark.parametrize("progressive", [False, True])
def test_no_file_is_decoded_twice_to_judge_the_end_of_a_jpeg(progressive):
    content = saved(smooth(2, 160, 240), "JPEG", quality=90, progressive=progressive)[:-7]
    files = []

    def decoded(file):
        files.append(file)
        return np.asarray(Image.open(io.BytesIO(file)))

    with Image.open(io.BytesIO(content + jpeg_end.END)) as picture:
        picture.load()
        assert jpeg_end.check(picture, content, decoded) == (jpeg_end.MISSING,)
    assert sorted(files) == sorted(content + filling + jpeg_end.END for filling in (*jpeg_end.FILLINGS, b""))


def test_a_corner_of_a_small_picture_is_a_visible_part():
    rng = np.random.default_rng(0)
    content = saved(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), "JPEG", quality=90)
    with pytest.raises(DecodeError, match="truncated"):
        image.decode(content[:-60])


def scans(content):
    """Places of the markers that begin a scan."""
    return [place for place in range(len(content)) if content.startswith(jpeg_end.START_OF_SCAN, place)]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whether_every_scan_of_a_jpeg_began(mode):
    def began(content):
        return jpeg_end._all_scans_began(content, jpeg_end._header(content)[0])

    plain = saved(COLOUR, "JPEG", mode)
    assert began(plain)
    assert not began(plain[: scans(plain)[0]])
    assert jpeg_end._header(plain)[1] == scans(plain)[0]
    content = saved(COLOUR, "JPEG", mode, progressive=True)
    places = scans(content)
    assert len(places) > 3
    assert began(content)
    assert began(content[: places[-1] + 20]), "the last one only has to begin"
    for place in places:
        assert not began(content[:place] + jpeg_end.END)


def test_a_progressive_jpeg_without_its_last_scan_is_corrupt():
    content = saved(smooth(2, 160, 240), "JPEG", progressive=True, quality=90)
    for place in scans(content)[1:]:
        with pytest.raises(DecodeError):
            image.decode(content[:place] + jpeg_end.END)


@pytest.mark.parametrize(("change", "forgiven"), [(0, True), (12, True), (13, False)])
def test_the_last_unit_of_a_small_jpeg_may_be_missing_where_it_changes_little(change, forgiven):
    content = saved(smooth(2, 32, 32), "JPEG")[:-2]
    other = np.zeros((32, 32, 3), np.uint8)
    other[16:, 16:] = change  # one of four units, so that the mean is a quarter

    def decoded(file):
        return np.zeros_like(other) if file == content + jpeg_end.END else other

    assert (jpeg_end.ended(content, decoded) is not None) == forgiven
    assert 4 * jpeg_end.MISSING_LEVELS == 12


def test_the_units_that_a_cut_concerns_are_counted_in_the_order_of_reading():
    missing = np.zeros((40, 40), np.bool_)
    assert jpeg_end._missing_units(missing, {1: 0x22, 2: 0x11, 3: 0x11}) == (0, 9)
    missing[20, 20] = True
    assert jpeg_end._missing_units(missing, {1: 0x22, 2: 0x11, 3: 0x11}) == (5, 9)
    assert jpeg_end._missing_units(missing, {1: 0x11}) == (13, 25)


def riff(*chunks):
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_with_broken_metadata(channels):
    pixels = smooth(4, channels=channels)
    content = saved(
        pixels,
        "WEBP",
        lossless=True,
        exact=True,
        exif=EXIF + exif_of([turned(1)]),
        xmp=b"<x/>",
        icc_profile=b"no profile",
    )
    place = content.index(b"EXIF")
    for broken in (content[: place + 10], content[: place + 4] + b"\xff" * 4 + content[place + 8 :], content[:4] + bytes(4) + content[8:],
                   content[:4] + b"\xff\xff\xff\x0f" + content[8:], content + b"junk", content[:place]):  # fmt: skip
        same(broken, pixels)
    assert IGNORED in same(content[: place + 10], pixels)


def test_webp_keeps_its_turn_where_other_metadata_is_broken():
    content = saved(np.rot90(COLOUR), "WEBP", lossless=True, exif=EXIF + exif_of([turned(6)]), xmp=b"<x/>")
    place = content.index(b"XMP ")
    assert "EXIF orientation 6 applied" in same(content[: place + 4] + b"\xff" * 4 + content[place + 8 :])


def test_gif_with_odd_extensions_and_without_its_later_frames():
    content = saved(COLOUR, "GIF")
    wanted = image.decode(content).pixels
    place = 13 + (3 << (content[10] & 7) + 1)
    for extra in (
        b"\x21\xfe\5abcde\0",
        b"\x21\xff\x0bNETSCAPE2.0\1\0\0",
        b"\x21\xff\3NET\0",
        b"\x21\1\x0c" + bytes(13),
        b"\x21\x77\2hi\0",
    ):
        same(content[:place] + extra + content[place:], wanted)
    moving = frames("GIF")
    first = image.decode(moving).pixels
    notes = {same(moving[:length], first)[0] for length in range(len(moving) // 2, len(moving), 7)}
    assert FIRST_FRAME_ALONE in notes


@pytest.mark.parametrize(
    "change", [(2, bytes(4)), (6, b"\xff" * 4), (34, b"\xff" * 4), (38, b"\xff" * 8), (46, b"\xff\xff\0\0")]
)
def test_bmp_with_odd_numbers_in_its_header(change):
    place, raw = change
    content = saved(COLOUR, "BMP")
    same(content[:place] + raw + content[place + len(raw) :])


TAGS = {
    270: (2, b"\xff\xa8\0"), 282: (5, [0, 0]), 305: (3, [7]), 33432: (2, b"x" * 9000), 34665: (4, [99999]), 34853: (4, [8]),
    700: (1, b"\xff\xa8"), 34675: (1, b"junk"), 33723: (4, [1, 2, 3]), 34377: (1, b"8BIM\4"), 296: (3, [99]), 330: (4, [123456]),
}  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_no_odd_tag_condemns_a_tiff(tag, order):
    tags = {tag: TAGS[tag]}
    same(tiff(COLOUR, 2, order, tags=tags))
    same(tiff(COLOUR.astype(np.uint16) * 257, 2, order, tags=tags))
    turn = np.rot90(COLOUR).copy()
    assert "EXIF orientation 6 applied" in same(tiff(turn, 2, order, tags={**tags, 274: (3, [6])}))


def test_tiff_whose_next_page_is_nowhere():
    content = tiff(COLOUR, 2)
    same(content[:-4] + b"\xff\xff\xff\x7f")
    same(content[:-4] + content[4:8])
    same(content[:-4])
    assert same(frames("TIFF")) == ("first of 3 frames",)
    same(saved(COLOUR, "TIFF", big_tiff=True))


def test_a_broken_tag_that_decides_pixels_condemns():
    with pytest.raises(DecodeError):
        image.decode(tiff(COLOUR, 2, tags={273: (4, [10_000_000])}))


# How an image lies.

TURNS = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, -1),
}  # fmt: skip
BROKEN_BEFORE, BROKEN_AFTER = (0x010E, 2, 900, struct.pack("<I", 99999)), (0x011A, 5, 1, struct.pack("<I", 99999))


def carriers(pixels, block, value, order):
    yield segment(saved(pixels, "JPEG", quality=95, subsampling=0), 0xE1, EXIF + block)
    yield with_chunk(saved(pixels), b"eXIf", block)
    yield saved(pixels, "WEBP", lossless=True, exif=EXIF + block)
    yield tiff(pixels, 2, order, tags={274: (3, [value])})
    yield tiff(pixels.astype(np.uint16) * 257, 2, order, tags={274: (3, [value])})
    yield tiff(pixels, 2, order, packed=True, tags={274: (3, [value])})
    yield with_chunk(with_chunk(saved(pixels), b"eXIf", block), b"pHYs", b"\0")
    yield segment(segment(saved(pixels, "JPEG", quality=95, subsampling=0), 0xE1, EXIF + block), 0xEE, b"Adobe\0")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", TURNS)
def test_every_orientation_in_every_format(value, order):
    stored = np.ascontiguousarray(TURNS[value](COLOUR))
    for content in carriers(stored, exif_of([turned(value, order)], order), value, order):
        notes = same(content, COLOUR, 4)
        assert (f"EXIF orientation {value} applied" in notes) == (value != 1)


@pytest.mark.parametrize(
    "entries",
    [
        [BROKEN_BEFORE, turned(6)],
        [turned(6), BROKEN_AFTER],
        [(0x0100, 2, 4, b"abc\0"), turned(6)],
        [(0x010F, 99, 5, b"abcd"), turned(6)],
        [turned(6), (0x8825, 4, 1, struct.pack("<I", 8))],
        [(0x0112, 4, 1, struct.pack("<I", 6))],
        [(0x0112, 1, 1, b"\6\0\0\0")],
        [(0x0112, 3, 2, struct.pack("<HH", 6, 6))],
    ],
)
def test_a_broken_tag_does_not_hide_the_orientation_beside_it(entries):
    stored = np.rot90(COLOUR).copy()
    block = exif_of(entries)
    for content in (with_chunk(saved(stored), b"eXIf", block), saved(stored, "WEBP", lossless=True, exif=EXIF + block)):
        assert "EXIF orientation 6 applied" in same(content)


def test_three_values_of_an_orientation_lie_elsewhere():
    block = exif_of([(0x0112, 3, 3, struct.pack("<I", 26))], tail=struct.pack("<HHH", 6, 6, 6))
    assert "EXIF orientation 6 applied" in same(with_chunk(saved(np.rot90(COLOUR).copy()), b"eXIf", block))


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        (turned(0), "EXIF orientation 0 ignored"),
        (turned(9), "EXIF orientation 9 ignored"),
        ((0x0112, 2, 2, b"6\0\0\0"), "EXIF orientation of type 2 ignored"),
        ((0x0112, 3, 0, b"\6\0\0\0"), "EXIF orientation of type 3 ignored"),
    ],
)
def test_an_orientation_that_is_none_is_ignored(entry, note):
    assert same(with_chunk(saved(COLOUR), b"eXIf", exif_of([entry]))) == (note,)
    assert note in same(segment(saved(COLOUR, "JPEG", quality=95), 0xE1, EXIF + exif_of([entry])), COLOUR, 4)


@pytest.mark.parametrize(
    "block",
    [EXIF, b"II", b"XX*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\xff\xff\xff\xff" + bytes(40), exif_of([turned(6)])[:9], b"\0" * 40,
     exif_of([turned(6)]).replace(b"*", b"x")],
)  # fmt: skip
def test_exif_that_is_none_is_ignored(block):
    assert same(with_chunk(saved(COLOUR), b"eXIf", block)) == (exif.UNREADABLE,)


@pytest.mark.parametrize("block", [exif_of([]), exif_of([])[:10], exif_of([BROKEN_BEFORE]), exif_of([turned(1)])])
def test_exif_that_says_nothing_of_the_orientation_leaves_no_note(block):
    assert same(with_chunk(saved(COLOUR), b"eXIf", block)) == ()
