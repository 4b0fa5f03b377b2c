"""AI-provenance labels: each known one is found, in each format that carries it, and ordinary files have none."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from aigc_core.modalities import containers, provenance
from aigc_core.modalities.provenance import detect

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SETTINGS = (
    "a red fox in the snow\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x512"
)
COMFY = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}, "4": {"class_type": "VAE", "inputs": {}}})
WORKFLOW = json.dumps({"last_node_id": 9, "nodes": [{"id": 3, "type": "KSampler"}], "links": []})


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def saved(kind, **options):
    buffer = io.BytesIO()
    picture().save(buffer, format=kind, **options)
    return buffer.getvalue()


def png(*, packed=False, wide=False, **text):
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        if wide:
            chunks.add_itxt(key, value, zip=packed)
        else:
            chunks.add_text(key, value, zip=packed)
    return saved("PNG", pnginfo=chunks)


def xmp(inner):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<rdf:Description {inner}</rdf:RDF></x:xmpmeta>"
    ).encode()


def attribute(kind):
    return xmp(f'Iptc4xmpExt:DigitalSourceType="{IPTC}{kind}"/>')


def element(kind):
    return xmp(f"><Iptc4xmpExt:DigitalSourceType>{IPTC}{kind}</Iptc4xmpExt:DigitalSourceType></rdf:Description>")


def resource(kind):
    return xmp(f'><Iptc4xmpExt:DigitalSourceType rdf:resource="{IPTC}{kind}"/></rdf:Description>')


def png_chunk(kind, body):
    content = saved("PNG")
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return content[:33] + chunk + content[33:]


def png_xmp(packet):
    return png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)


def jpeg_segment(marker, body):
    content = saved("JPEG")
    return content[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + content[2:]


def cbor_text(text):
    raw = text.encode()
    return bytes([0x60 + len(raw)]) + raw if len(raw) < 24 else bytes([0x78, len(raw)]) + raw


def manifest(kind, action="c2pa.created", encoded=True):
    """The part of a JUMBF superbox that matters: a claim with an actions assertion, in CBOR or JSON."""
    if encoded:
        body = cbor_text("action") + cbor_text(action) + cbor_text("digitalSourceType") + cbor_text(IPTC + kind)
    else:
        body = json.dumps({"actions": [{"action": action, "digitalSourceType": IPTC + kind}]}).encode()
    inner = b"jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0" + b"c2pa.actions\0" + body
    return struct.pack(">I4s", len(inner) + 8, b"jumb") + inner


def jpeg_manifest(box, packets=1):
    """Spread over APP11 segments as the standard has it: each repeats the box header."""
    size = -(-len(box) // packets)
    content = saved("JPEG")
    segments = b""
    for number in range(packets):
        part = box[:size] if number == 0 else box[:8] + box[number * size : (number + 1) * size]
        body = b"JP" + struct.pack(">HI", 7, number + 1) + part
        segments += b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body
    return content[:2] + segments + content[2:]


def exif(tag, value, kind="JPEG", folder=None):
    block = Image.Exif()
    (block.get_ifd(folder) if folder else block)[tag] = value
    return saved(kind, exif=block)


LABELLED = {
    "own mark": (lambda: provenance.embed(np.asarray(picture()), family="gan", model_sha256="0", dataset_version="1",
                                          seed=0, label="7", index=0), "mark of aigc: family gan"),
    "PNG XMP": (lambda: png_xmp(attribute("trainedAlgorithmicMedia")), "XMP DigitalSourceType trainedAlgorithmicMedia"),
    "PNG XMP element": (lambda: png_xmp(element("compositeWithTrainedAlgorithmicMedia")), "compositeWithTrained"),
    "JPEG XMP": (lambda: saved("JPEG", xmp=resource("trainedAlgorithmicMedia")), "XMP DigitalSourceType"),
    "WebP XMP": (lambda: saved("WEBP", xmp=attribute("trainedAlgorithmicMedia")), "XMP DigitalSourceType"),
    "TIFF XMP": (lambda: saved("TIFF", tiffinfo={700: attribute("trainedAlgorithmicMedia")}), "XMP DigitalSourceType"),
    "C2PA in PNG": (lambda: png_chunk(b"caBX", manifest("trainedAlgorithmicMedia")), "C2PA manifest: c2pa.created"),
    "C2PA in JPEG": (lambda: jpeg_manifest(manifest("trainedAlgorithmicMedia")), "C2PA manifest: c2pa.created"),
    "C2PA over segments": (lambda: jpeg_manifest(manifest("trainedAlgorithmicMedia"), packets=7), "C2PA manifest"),
    "C2PA in JSON": (lambda: jpeg_manifest(manifest("trainedAlgorithmicMedia", encoded=False)), "C2PA manifest"),
    "C2PA edit": (lambda: png_chunk(b"caBX", manifest("compositeWithTrainedAlgorithmicMedia", "c2pa.edited")),
                  "C2PA manifest: an action with digitalSourceType compositeWithTrainedAlgorithmicMedia"),
    "web UI, tEXt": (lambda: png(parameters=SETTINGS), "web UI"),
    "web UI, zTXt": (lambda: png(parameters=SETTINGS, packed=True), "web UI"),
    "web UI, iTXt": (lambda: png(parameters="ein Füchslein " + SETTINGS, wide=True), "web UI"),
    "web UI, packed iTXt": (lambda: png(parameters=SETTINGS, wide=True, packed=True), "web UI"),
    "web UI, JPEG": (lambda: exif(0x9286, b"UNICODE\0" + SETTINGS.encode("utf-16-be"), folder=0x8769), "EXIF UserComment"),
    "web UI, WebP": (lambda: exif(0x9286, b"UNICODE\0" + SETTINGS.encode("utf-16-le"), "WEBP", 0x8769), "EXIF UserComment"),
    "ComfyUI prompt": (lambda: png(prompt=COMFY), "`prompt`: a graph of ComfyUI"),
    "ComfyUI workflow": (lambda: png(workflow=WORKFLOW), "`workflow`: a graph of ComfyUI"),
    "InvokeAI": (lambda: png(invokeai_metadata='{"seed": 1}'), "InvokeAI"),
    "NovelAI": (lambda: png(Software="NovelAI"), "PNG text `Software`: NovelAI"),
    "EXIF Software": (lambda: exif(0x0131, "Adobe Firefly 3"), "EXIF Software: Adobe Firefly 3"),
    "EXIF in PNG": (lambda: exif(0x0131, "Midjourney v6", "PNG"), "EXIF Software: Midjourney v6"),
    "CreatorTool": (lambda: saved("JPEG", xmp=xmp('xmp:CreatorTool="DALL-E 3"/>')), "XMP CreatorTool: DALL-E 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELLED)
def test_a_label_is_found_and_named(case):
    build, words = LABELLED[case]
    assert words in detect(build())


def test_a_label_is_found_in_a_large_jpeg_too():
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95, xmp=resource("trainedAlgorithmicMedia"))
    assert len(buffer.getvalue()) > containers.SMALL
    assert "XMP DigitalSourceType" in detect(buffer.getvalue())


ORDINARY = {
    "plain PNG": lambda: saved("PNG"),
    "plain JPEG": lambda: saved("JPEG"),
    "plain WebP": lambda: saved("WEBP"),
    "plain GIF": lambda: saved("GIF"),
    "a photo whose caption says prompt": lambda: png(
        Description="A prompt answer: steps: 20, then a sampler of sweets", Comment="prompt workflow parameters"
    ),
    "prompt that is a sentence": lambda: png(prompt="Act 2, the prompter leans out of the box"),
    "workflow that is other JSON": lambda: png(workflow='{"steps": ["scan", "crop"]}', prompt='{"mood": "calm"}'),
    "empty JSON": lambda: png(prompt="{}", workflow="[]"),
    "parameters of a scanner": lambda: png(parameters="dpi=300 mode=grey\nSteps: see the manual"),
    "camera": lambda: exif(0x0131, "Adobe Photoshop 25.0 (Macintosh)"),
    "program that mentions one": lambda: exif(0x0131, "Viewer for Midjourney pictures"),
    "digital capture": lambda: saved("JPEG", xmp=attribute("digitalCapture")),
    "algorithmic, but not trained": lambda: png_xmp(attribute("algorithmicMedia")),
    "caption that names the term": lambda: saved(
        "JPEG", xmp=xmp('dc:description="How DigitalSourceType and trainedAlgorithmicMedia are used"/>')
    ),
    "C2PA of a camera": lambda: jpeg_manifest(manifest("digitalCapture")),
    "the term outside a manifest": lambda: png_chunk(b"caBX", b"jumb" + IPTC.encode() + b"trainedAlgorithmicMedia"),
    "broken mark": lambda: png(aigc="{", Comment="aigc"),
    "sentence in the pixel data": lambda: saved("PNG") + b"DigitalSourceType='trainedAlgorithmicMedia'",
}


@pytest.mark.parametrize("case", ORDINARY)
def test_an_ordinary_file_has_none(case):
    assert detect(ORDINARY[case]()) is None


@pytest.mark.parametrize("case", LABELLED)
def test_cut_and_overwritten_bytes_never_raise(case):
    content = LABELLED[case][0]()
    chance = np.random.default_rng(1)
    for length in chance.integers(0, len(content), 25):
        detect(content[:length])
    for _ in range(25):
        noisy = bytearray(content)
        for place in chance.integers(0, len(content), 12):
            noisy[place] = chance.integers(256)
        detect(bytes(noisy))


def test_no_bytes_and_noise():
    assert detect(b"") is None
    assert detect(np.random.default_rng(0).bytes(100_000)) is None


def test_text_that_unpacks_to_gigabytes_is_cut_off():
    bomb = png_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(64 << 20)))
    assert detect(bomb) is None


def test_deep_json_is_no_crash():
    assert detect(png(prompt="[" * 100_000)) is None
