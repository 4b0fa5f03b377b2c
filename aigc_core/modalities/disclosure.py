"""Does a file itself say that it was made by a generative model? Looked up in its metadata, never guessed.

Read are: this tool's own mark; IPTC's DigitalSourceType in XMP; C2PA manifests (Content Credentials, C2PA
specification 2.1, `digitalSourceType` of an action); the settings that Stable Diffusion's web UIs, ComfyUI, InvokeAI
and NovelAI write into PNG text or EXIF; and a `Software` or XMP CreatorTool that is a generator. Signatures are not
checked, nothing is unpickled or fetched. A file without such a label may be generated all the same.
"""

from __future__ import annotations

import json
import re
import struct
import warnings
from collections.abc import Iterator

from PIL import Image

from aigc_core.modalities.containers import Metadata, plain, read_metadata

GENERATOR = "aigc"
_TRAINED = r"((?:compositeWith)?[tT]rainedAlgorithmicMedia)"
#: In XMP an attribute, an element, or an rdf:resource; the value is IPTC's address, of which the last word counts.
_XMP_SOURCE_TYPE = re.compile(
    rb"(?<![\w])DigitalSourceType\s*(?:=\s*[\"']|>\s*|\s+rdf:resource\s*=\s*[\"'])[^\"'<>\s]{0,120}?\b"
    + _TRAINED.encode()
    + rb"\s*[\"'<]"
)
#: Between key and value stand a header of CBOR (1 to 9 bytes, of any value), or quotes and a colon of JSON.
_C2PA_SOURCE_TYPE = re.compile(
    rb"digitalSourceType.{0,10}?(?:https?://[\w./-]{1,100}/)?" + _TRAINED.encode() + rb"(?![A-Za-z])", re.DOTALL
)
_CREATOR_TOOL = re.compile(rb"CreatorTool\s*(?:=\s*[\"']|>\s*)([^\"'<]{1,120})")
#: The line of settings of Stable Diffusion's web UIs.
_SETTINGS = re.compile(r"\bSteps: \d+, .{0,200}\b(?:Sampler|CFG scale|Seed): ", re.DOTALL)
#: Characters of what is told of a file.
MOST_SHOWN = 200
#: Names of programs that generate images and do nothing else.
GENERATORS = re.compile(
    r"^(?:made with |created with )?(aigc|novelai|midjourney|dall[-·\u2022 ]?e|stable[ -]?diffusion|comfyui|invokeai|"
    r"fooocus|dreamstudio|adobe firefly|ideogram(?:\.ai)?|leonardo\.ai|bing image creator|automatic1111|sd\.next|"
    r"draw things|easy diffusion|black forest labs|flux\.1|gpt-image|chatgpt)\b",
    re.IGNORECASE,
)
_SOFTWARE, _USER_COMMENT, _EXIF_FOLDER, _DESCRIPTION = 0x0131, 0x9286, 0x8769, 0x010E


def detect(content: bytes) -> str | None:
    """What in the file says that a model made it, in a few words; null where nothing does.

    `content` are encoded bytes of any kind. Never raises; the cost does not grow with the image data of PNG, JPEG
    and WebP, and of other formats 1 MiB at either end is searched.
    """
    metadata = read_metadata(content)
    if not metadata:
        return None
    told = next((found for find in _FINDERS if (found := find(metadata)) is not None), None)
    return None if told is None else plain(told, MOST_SHOWN)


def _own_mark(metadata: Metadata) -> str | None:
    for key, value in metadata.text:
        mark = _json(value) if key == GENERATOR else None
        if isinstance(mark, dict) and mark.get("ai_generated") is True:
            return f"mark of aigc: family {str(mark.get('family'))[:40]}"
    return None


def _manifest(metadata: Metadata) -> str | None:
    for box in metadata.jumbf:
        match = _C2PA_SOURCE_TYPE.search(box) if b"c2pa" in box else None
        if match:
            action = "c2pa.created" if b"c2pa.created" in box else "an action"
            return f"C2PA manifest: {action} with digitalSourceType {match[1].decode()}"
    return None


def _source_type(metadata: Metadata) -> str | None:
    match = next((match for packet in metadata.xmp if (match := _XMP_SOURCE_TYPE.search(packet))), None)
    return f"XMP DigitalSourceType {match[1].decode()}" if match else None


def _settings(metadata: Metadata) -> str | None:
    """Settings of a generation, by the names that programs give them and by what they have to look like."""
    for key, value in metadata.text:
        if key == "parameters" and _SETTINGS.search(value):
            return "PNG text `parameters`: settings of Stable Diffusion web UI"
        if key in ("prompt", "workflow") and _is_comfy(value):
            return f"PNG text `{key}`: a graph of ComfyUI"
        if key in ("invokeai_metadata", "sd-metadata", "invokeai_graph") and isinstance(_json(value), dict):
            return f"PNG text `{key}`: settings of InvokeAI"
        if key == "Dream" and re.search(r" -s ?\d+ .*-C ?[\d.]+", value):
            return "PNG text `Dream`: settings of InvokeAI"
    return None


def _is_comfy(value: str) -> bool:
    """ComfyUI's prompt maps numbers to nodes with a class_type; its workflow lists nodes and links."""
    graph = _json(value)
    if not isinstance(graph, dict):
        return False
    nodes = [node for node in graph.values() if isinstance(node, dict)]
    named = bool(nodes) and all("class_type" in node and "inputs" in node for node in nodes)
    return named or (isinstance(graph.get("nodes"), list) and "links" in graph)


def _program(metadata: Metadata) -> str | None:
    for key, value in metadata.text:
        if key in ("Software", "software", "Source") and GENERATORS.match(value.strip()):
            return f"PNG text `{key}`: {value.strip()[:60]}"
    for packet in metadata.xmp:
        for match in _CREATOR_TOOL.finditer(packet):
            tool = match[1].decode("utf-8", "replace").strip()
            if GENERATORS.match(tool):
                return f"XMP CreatorTool: {tool[:60]}"
    return None


def _exif(metadata: Metadata) -> str | None:
    for block in metadata.exif:
        for name, value in _exif_texts(block):
            if name == "Software" and GENERATORS.match(value):
                return f"EXIF Software: {value[:60]}"
            if name != "Software" and _SETTINGS.search(value):
                return f"EXIF {name}: settings of Stable Diffusion web UI"
    return None


def _exif_texts(block: bytes) -> Iterator[tuple[str, str]]:
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; what it could read is looked at
            exif.load(block)
            fields = {**exif, **exif.get_ifd(_EXIF_FOLDER)}
    except (SyntaxError, ValueError, KeyError, TypeError, IndexError, OSError, struct.error, ZeroDivisionError):
        return  # damaged EXIF says nothing
    for tag, name in ((_SOFTWARE, "Software"), (_DESCRIPTION, "ImageDescription"), (_USER_COMMENT, "UserComment")):
        value = fields.get(tag)
        if isinstance(value, bytes):
            value = _comment(value)
        if isinstance(value, str):
            yield name, value.strip("\0 ")


def _comment(value: bytes) -> str:
    """A UserComment: eight bytes name its encoding. Programs write UTF-16 in either order, so both are tried."""
    kind, text = value[:8], value[8:]
    if kind.startswith(b"UNICODE"):
        little = len(text) > 1 and text[1] == 0
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    return text.decode("utf-8", "replace")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_FINDERS = (_own_mark, _manifest, _source_type, _settings, _program, _exif)
