"""The file formats of photos, and how to tell by a file's first bytes which one it has."""

import io
import re
from collections.abc import Collection
from functools import cache
from importlib.util import find_spec

from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    features,
)

from imageset.errors import ParamsError

# The names in params.yaml, and Pillow's. JPEG includes MPO, the two-picture files of some cameras. HEIF is pi-heif's.
PLUGINS = {
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "png": PngImagePlugin.PngImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
    "gif": GifImagePlugin.GifImageFile.format,
    "avif": AvifImagePlugin.AvifImageFile.format,
    "heic": "HEIF",
}
FORMATS = ("jpeg", "png", "webp", "gif", "avif")  # that Pillow alone decodes

HEAD_BYTES = 16  # tell all formats apart, but for text and for some files of boxes
MAX_HEAD_BYTES = 512  # tell these, too

# How files begin. A photo of a format that is not accepted is refused by its name.
SIGNATURES = {
    "bmp": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0",
    "gif": rb"GIF8[79]a",
    "ico": rb"\0\0[\1\2]\0[^\0]\0",
    "jp2": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "jpeg": rb"\xff\xd8\xff",
    "jxl": rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a",
    "pdf": rb"%PDF-",
    "png": rb"\x89PNG\r\n\x1a\n",
    "psd": rb"8BPS\0[\1\2]",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "webm": rb"\x1a\x45\xdf\xa3",
    "webp": rb"RIFF.{4}WEBP",
}
PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in SIGNATURES.items()}

# Files of boxes (ISO base media) begin with the size of the first box, "ftyp", a brand, a version and further brands.
# AVIF and HEIC share the general brands: a further brand tells them apart.
BRANDS = {
    "avif": {b"avif", b"avis"},
    "heic": {b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevm", b"hevs", b"hevx"},
}
GENERAL_BRANDS = {b"miaf", b"mif1", b"msf1"}

# How SVG may begin; HTML and other XML may begin so, too.
MARKUP = (b"<svg", b"<?xml", b"<!--", b"<!doctype svg")

NAMES = (*SIGNATURES, *BRANDS, "mp4", "svg")
REASONS = frozenset(f"format_{name}" for name in NAMES)


def tell_format(body: bytes) -> str:
    """Return which of NAMES is a file's format, "" for none.

    Args:
        body: the file, or its first MAX_HEAD_BYTES: no more is looked at.

    >>> tell_format(b"GIF89a..."), tell_format(b"<!doctype html><html>")
    ('gif', '')
    """
    head = body[:MAX_HEAD_BYTES]
    for name, pattern in PATTERNS.items():
        if pattern.match(head):
            return name
    if head[4:8] == b"ftyp":
        return tell_boxes(head)
    text = head.lower()
    return "svg" if may_be_svg(text) and b"<svg" in text and b"<html" not in text else ""


def tell_boxes(head: bytes) -> str:
    """Return the format of a file of boxes: of a photo by its brands, else mp4."""
    end = min(len(head), int.from_bytes(head[:4]))
    brand, *others = (head[place : place + 4] for place in (8, *range(16, end - 3, 4)))
    for brands in ({brand}, set(others)):
        for name, known in BRANDS.items():
            if brands & known:
                return name
        if brand not in GENERAL_BRANDS:
            return "mp4"
    return "heic"


def may_be_svg(text: bytes) -> bool:
    """Return whether text in lower case begins like SVG, after a byte order mark and blanks."""
    start = text.removeprefix(b"\xef\xbb\xbf").lstrip()[: max(map(len, MARKUP))]
    return any(start.startswith(markup) or markup.startswith(start) for markup in MARKUP)


def is_undecided(head: bytes) -> bool:
    """Return whether further bytes may change what `tell_format` says of a head of HEAD_BYTES or more."""
    if len(head) >= MAX_HEAD_BYTES:
        return False
    if head[4:8] == b"ftyp":
        return head[8:12] in GENERAL_BRANDS and len(head) < int.from_bytes(head[:4])
    return may_be_svg(head.lower()) and not tell_format(head)


def find_refusal(body: bytes, formats: Collection[str]) -> str:
    """Return why a file is refused by its format: "" if it is one of these.

    Args:
        body: as for `tell_format`.
        formats: those that are accepted.

    Returns:
        "", not_an_image, or format_ and the name.
    """
    name = tell_format(body)
    if not name:
        return "not_an_image"
    return "" if name in formats else f"format_{name}"


def list_decodable(listed: Collection[str]) -> tuple[str, ...]:
    """Return the formats that stages decode where ingest.formats lists these: all that Pillow decodes, HEIC if listed.

    So another list makes no mask again: stage preprocess leaves out by the format what is not listed.
    """
    return (*FORMATS, "heic") if "heic" in listed else FORMATS


def require_decoders(formats: Collection[str]) -> None:
    """Raise ParamsError when this machine cannot decode one of the formats."""
    if "heic" in formats and find_spec("pi_heif") is None:
        raise ParamsError(
            "params.yaml: ingest.formats lists heic, which needs the package pi-heif: run `pip install -r "
            "requirements-heif.txt`, or remove heic"
        )
    if "avif" in formats and not features.check("avif"):
        raise ParamsError(
            "params.yaml: ingest.formats lists avif, which this Pillow was built without: run `pip install -r "
            "requirements-pixels.txt`, or remove avif"
        )


def open_as(body: bytes, name: str) -> ImageFile.ImageFile:
    """Read the header of a photo of this format, by its plugin alone. Decoding takes one thread."""
    if name == "avif":
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        AvifImagePlugin.DECODE_CODEC_CHOICE = "dav1d"
    elif name == "heic":
        register_heic()
    return Image.open(io.BytesIO(body), formats=[PLUGINS[name]])


@cache
def register_heic() -> None:
    """Let Pillow open HEIC files."""
    import pi_heif

    pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
