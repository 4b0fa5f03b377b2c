"""The mark in a generated PNG: that it is AI-generated, by what, from which data, and what its pixels were.

It is written twice: as PNG text for this tool (one JSON object), and as XMP with IPTC's DigitalSourceType
`trainedAlgorithmicMedia`, which picture archives and platforms read. The mark is a label and no signature: it
survives copying and shows a changed pixel, and whoever wants to remove or forge it can.

`detect` answers the question for files of any origin.
"""

from __future__ import annotations

import io
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import PngImagePlugin

from aigc_core.errors import DataError, DecodeError
from aigc_core.modalities.containers import XMP_KEYWORD, png_end, read_metadata
from aigc_core.modalities.disclosure import GENERATOR, detect
from aigc_core.modalities.image import Pixels, content_hash, decode, to_pil

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "GENERATOR",
    "KEYWORD",
    "XMP_KEYWORD",
    "Mark",
    "Reading",
    "detect",
    "embed",
    "read",
    "read_file",
    "read_mark",
]

#: Keyword of the text chunk with the JSON object.
KEYWORD = "aigc"
#: IPTC's name for media made by a trained model.
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@dataclass(frozen=True)
class Mark:
    """What a generated file says of itself."""

    family: str
    model_sha256: str
    dataset_version: str
    seed: int
    label: str
    index: int | None  # place among the images of one call; null for a contact sheet
    pixels_sha256: str  # modalities.image.content_hash of the pixels as written
    memorization: str = "unknown"  # passed | failed | unknown: what the gate said of the model when this was made
    generator: str = GENERATOR
    ai_generated: bool = True


@dataclass(frozen=True)
class Reading:
    """A mark that was read back, the pixels (H, W, C) beside it, and whether they are those that it was written for.

    `ending` says how the file ends otherwise than it was written; empty where it ends as it should.
    """

    mark: Mark
    unchanged: bool
    ending: str
    pixels: Pixels = field(compare=False, repr=False)


def embed(
    pixels: Pixels,
    *,
    family: str,
    model_sha256: str,
    dataset_version: str,
    seed: int,
    label: str,
    index: int | None,
    memorization: str = "unknown",
) -> bytes:
    """PNG bytes of uint8 pixels (H, W, C), with the mark; equal arguments make equal bytes."""
    mark = Mark(family, model_sha256, dataset_version, seed, label, index, content_hash(pixels), memorization)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEYWORD, json.dumps(asdict(mark), sort_keys=True, ensure_ascii=False))
    chunks.add_text("Software", GENERATOR)
    chunks.add_itxt("Description", f"AI-generated image: {family} model, class {label}")
    chunks.add_itxt(XMP_KEYWORD, _xmp(mark))
    buffer = io.BytesIO()
    to_pil(pixels).save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def _xmp(mark: Mark) -> str:
    """An XMP packet with the source type, the tool, and the fields of the mark in a namespace of their own."""
    own = "".join(f"\n    aigc:{key}={quoteattr(str(value))}" for key, value in sorted(asdict(mark).items()))
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:aigc="urn:aigc:provenance:1"
    Iptc4xmpExt:DigitalSourceType={quoteattr(DIGITAL_SOURCE_TYPE)}
    xmp:CreatorTool={quoteattr(GENERATOR)}{own}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def read(content: bytes) -> Reading:
    """Read the mark of a PNG and hash its pixels again.

    Raises DataError, in a sentence, where the bytes are no image, carry no mark, or carry a broken one.
    """
    try:
        pixels = decode(content).pixels
    except DecodeError as error:
        raise DataError(f"not a readable image ({error})") from None
    mark = read_mark(content)
    return Reading(mark, content_hash(pixels) == mark.pixels_sha256, png_end(content), pixels)


def read_mark(content: bytes) -> Mark:
    """The mark alone, without a look at the pixels. Raises DataError where there is none, a broken one, or two that differ."""
    found = {value for name, value in read_metadata(content).text if name == KEYWORD}
    if not found:
        raise DataError("carries no mark of aigc; that does not say whether it is AI-generated")
    if len(found) > 1:
        raise DataError(f"carries {len(found)} marks of aigc that differ: aigc writes one, so it was changed")
    return _parse(found.pop())


def read_file(path: Path) -> Reading:
    """`read` for a file on disk. Raises DataError, with the path, where there is none or `read` refuses it."""
    try:
        return read(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path} is not a file: name a PNG that `aigc generate` wrote") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _parse(text: str) -> Mark:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    known = {part.name for part in fields(Mark)}
    needed = {part.name for part in fields(Mark) if part.default is MISSING}
    if not isinstance(value, dict) or not needed <= set(value) <= known:
        raise DataError("carries a mark of aigc that is damaged: its fields cannot be read")
    kinds = {"seed": (int,), "index": (int, type(None)), "ai_generated": (bool,)}
    wrong = next((name for name in value if type(value[name]) not in kinds.get(name, (str,))), None)
    if wrong is not None:
        raise DataError(f"carries a mark of aigc that is damaged: its field {wrong} is of another kind")
    return Mark(**value)
