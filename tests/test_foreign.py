"""Bytes that are no image say what they are; formats of optional packages are read where those are installed."""

import gzip
import io
import sys
import types
import zipfile

import numpy as np
import pytest
from odd_files import smooth, tiff
from PIL import Image, ImageFile

from aigc_core.errors import DecodeError
from aigc_core.modalities import image
from aigc_core.modalities.decoding import foreign


def media(brand, *others):
    return b"\0\0\0\x18ftyp" + brand + bytes(4) + b"".join(others) + bytes(60)


def array():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 4, 3), np.uint8))
    return buffer.getvalue()


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("a.png", "b")
    return buffer.getvalue()


PREVIEW = {254: (4, [1]), 330: (4, [8])}
#: Bytes, and the words that must be among what is said of them.
SAID = {
    "heic": (media(b"heic"), ("HEIC", "pillow-heif")),
    "heif": (media(b"mif1", b"heic"), ("HEIC", "pillow-heif")),
    "avif": (media(b"avif"), ("AVIF",)),
    "jxl": (b"\xff\x0a\xfa\x1f" + bytes(30), ("JPEG XL", "pillow-jxl")),
    "jxl in a container": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), ("JPEG XL", "pillow-jxl")),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", ("Git LFS", "git lfs pull")),
    "git annex": (b"/annex/objects/SHA256E-s12--aa.png\n", ("git-annex",)),
    "html": (b"\n<!DOCTYPE html>\n<html><body>404", ("HTML",)),
    "html in capitals": (b"<HTML><HEAD>", ("HTML",)),
    "xhtml": (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x'><html>", ("HTML",)),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", ("XML",)),
    "json": (b'{"error": "not found"}', ("JSON",)),
    "svg": (b"<svg xmlns='x'/>", ("SVG", "PNG")),
    "svg with a prologue": (b"<?xml version='1.0'?><!-- drawn -->\n<svg xmlns='x'>", ("SVG",)),
    "pdf": (b"%PDF-1.7\n", ("PDF",)),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", ("EPS",)),
    "eps for dos": (b"\xc5\xd0\xd3\xc6" + bytes(30), ("EPS",)),
    "emf": (b"\1\0\0\0l\0\0\0" + bytes(32) + b" EMF" + bytes(80), ("EMF",)),
    "mp4": (media(b"isom"), ("video", "MP4")),
    "mov": (media(b"qt  "), ("video", "QuickTime")),
    "webm": (b"\x1aE\xdf\xa3" + bytes(30), ("video", "WebM")),
    "avi": (b"RIFF\x10\0\0\0AVI LIST" + bytes(30), ("video", "AVI")),
    "mpeg": (b"\0\0\1\xb3\x14\0\xf0\x10" + bytes(30), ("video", "MPEG")),
    "dng": (tiff(smooth(1), 2, tags={**PREVIEW, 50706: (1, b"\1\4\0\0")}), ("raw", "DNG")),
    "nef": (tiff(smooth(1), 2, ">", tags=PREVIEW), ("raw", "NEF")),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(100), ("raw", "CR2")),
    "cr3": (media(b"crx "), ("raw", "CR3")),
    "raf": (b"FUJIFILMCCD-RAW 0201" + bytes(50), ("raw", "RAF")),
    "orf": (b"IIRO\x08\0\0\0" + bytes(30), ("raw", "ORF")),
    "numpy": (array(), ("NumPy",)),
    "zip": (archive(), ("zip",)),
    "gzip": (gzip.compress(b"x"), ("gzip",)),
    "tar": (b"a" * 257 + b"ustar" + bytes(300), ("tar",)),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), ("HDF5",)),
    "dicom": (bytes(128) + b"DICM" + bytes(50), ("DICOM",)),
    "exr": (b"\x76\x2f\x31\x01" + bytes(50), ("OpenEXR",)),
    "radiance": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", ("Radiance",)),
    "colour pfm": (b"PF\n2 2\n-1.0\n" + bytes(48), ("PFM",)),
    "pickle": (b"\x80\4\x95" + bytes(20), ("pickle",)),
    "parquet": (b"PAR1" + bytes(20), ("Parquet",)),
    "zeros": (bytes(500), ("zeros",)),
    "header of a png": (b"\x89PNG\r\n\x1a\n\0\0", ("PNG",)),
    "header of a jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), ("JPEG",)),
    "text": (b"hello there\n" * 9, ("not an image",)),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(50), ("not an image",)),
    "noise": (np.random.default_rng(0).bytes(3000), ("not an image",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_is_no_image_is_named(name):
    content, words = SAID[name]
    with pytest.raises(DecodeError) as caught:
        image.decode(content)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_no_beginning_hides_another():
    for place, (beginning, _) in enumerate(foreign.BEGINNINGS):
        assert not [other for other, _ in foreign.BEGINNINGS[:place] if beginning.startswith(other)]


class Stub(ImageFile.ImageFile):
    """A reader such as an optional package registers: one grey pixel, or too many."""

    format = "HEIF"

    def _open(self):
        side = self.fp.read()[40]
        self._size, self._mode = (side * 100, side * 100), "L"
        self.tile = []

    def load(self):
        self.im = Image.new("L", self.size, 77).im
        return Image.Image.load(self)


@pytest.fixture
def package(monkeypatch):
    """An optional package that counts how often it is asked; what it registers is gone afterwards."""
    module = types.ModuleType("pillow_heif")
    module.asked = 0

    def register():
        module.asked += 1
        Image.register_open("HEIF", Stub, lambda prefix: prefix[4:8] == b"ftyp")

    module.register_heif_opener = register
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    before = list(Image.ID)
    foreign.registered.cache_clear()
    yield module
    foreign.registered.cache_clear()
    Image.OPEN.pop("HEIF", None)
    Image.ID[:] = before


def heic(side):
    content = bytearray(media(b"heic"))
    content[40] = side
    return bytes(content)


def test_an_optional_package_is_asked_once_and_used(package):
    image.decode(image.encode_png(smooth(1)))
    assert package.asked == 0, "only where a file needs it"
    for _ in range(2):
        decoded = image.decode(heic(1))
        assert (decoded.pixels.shape, decoded.format) == ((100, 100, 1), "HEIF")
        assert decoded.pixels.max() == 77
    assert package.asked == 1


def test_the_limit_on_pixels_holds_for_an_optional_package(package):
    with pytest.raises(DecodeError, match="9000x9000 px"):
        image.decode(heic(90))


def test_a_package_that_fails_to_register_is_as_good_as_none(package):
    def register():
        raise RuntimeError("no codec")

    package.register_heif_opener = register
    with pytest.raises(DecodeError, match="pillow-heif"):
        image.decode(heic(1))
