"""Photos and other files by their format: what Pillow writes, and HEIC files of a drawn pattern of four colours."""

from pathlib import Path

from PIL import Image

from tests.conftest import jpeg, photo_bytes, plain_image, saved

SHIPPED = "[jpeg, png, webp, gif, avif]"  # ingest.formats of params.yaml
FOLDER = Path(__file__).parent


def heic(name: str = "quartered") -> bytes:
    """Return a HEIC file of this folder: pi-heif writes none. They were made by pillow-heif."""
    return (FOLDER / f"{name}.heic").read_bytes()


def boxes(brand: bytes, *others: bytes) -> bytes:
    """Return a file of boxes (ISO base media) of these brands, without content."""
    first = b"ftyp" + brand + bytes(4) + b"".join(others)
    return (len(first) + 4).to_bytes(4) + first + bytes(600)


SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"

# Photos of every format that can be decoded, by the name in params.yaml.
DECODED = {
    "jpeg": jpeg(plain_image()),
    "png": saved(plain_image(), "PNG"),
    "webp": saved(plain_image(), "WEBP"),
    "gif": saved(plain_image(), "GIF"),
    "avif": photo_bytes(kind="AVIF"),
    "heic": heic(),
}

# Files of the formats that are known by name alone.
REFUSED = {
    "bmp": saved(plain_image(), "BMP"),
    "ico": saved(plain_image(sides=(48, 48)), "ICO"),
    "jp2": saved(plain_image(), "JPEG2000"),
    "jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(600),
    "mp4": boxes(b"isom", b"isom", b"mp41"),
    "pdf": saved(plain_image(), "PDF"),
    "psd": b"8BPS\0\1" + bytes(600),
    "svg": SVG,
    "tiff": saved(plain_image(), "TIFF"),
    "webm": b"\x1a\x45\xdf\xa3" + bytes(600),
}

BY_NAME = DECODED | REFUSED

# Further files of these formats.
OTHERS = {
    "bitmap of OS/2": ("bmp", b"BM" + bytes(12) + b"\x0c\0" + bytes(600)),
    "cursor": ("ico", b"\0\0\2\0\1\0" + bytes(600)),
    "bare codestream of JPEG 2000": ("jp2", b"\xff\x4f\xff\x51" + bytes(600)),
    "bare codestream of JPEG XL": ("jxl", b"\xff\x0a" + bytes(600)),
    "big-endian TIFF": ("tiff", b"MM\0*" + bytes(600)),
    "BigTIFF": ("tiff", b"II+\0" + bytes(600)),
    "MPO": ("jpeg", saved(plain_image(), "MPO", save_all=True, append_images=[plain_image()])),
    "GIF87a": ("gif", b"GIF87a" + bytes(600)),
    "animated AVIF": ("avif", saved(plain_image(), "AVIF", save_all=True, append_images=[Image.new("RGB", (40, 60))])),
    "AVIF of a general brand": ("avif", boxes(b"mif1", b"miaf", b"avif")),
    "HEIC of a general brand": ("heic", boxes(b"mif1", b"mif1", b"heic")),
    "HEIF of a general brand alone": ("heic", boxes(b"mif1", b"mif1")),
    "QuickTime": ("mp4", boxes(b"qt  ", b"qt  ")),
    "SVG after a byte order mark": ("svg", b"\xef\xbb\xbf\n" + SVG),
    "SVG after a declaration": ("svg", b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- Inkscape -->\n' + SVG),
    "SVG after its document type": ("svg", b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">' + SVG),
}

NO_IMAGES = {
    "nothing but zeros": bytes(1000),
    "HTML": b"<!DOCTYPE html><html><body><svg></svg></body></html>",
    "XHTML": b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><svg/></html>',
    "HTML after a comment": b"<!-- cached --><html><body><svg/></body></html>",
    "an answer of S3": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>',
    "JSON": b'{"error": "no such photo"}',
    "text": b"BMW, model 3, sold out. II*",
    "sound": b"RIFF\0\0\0\0WAVEfmt " + bytes(600),
    "a program": b"\x7fELF" + bytes(600),
    "SVG in the middle of a text": b"see <svg> for an example of a picture",
}
