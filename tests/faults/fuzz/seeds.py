"""What the fuzzer begins with: inputs that pass the first checks of each target, so that it begins behind them."""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imageset.formats import tables
from tests.profiles import ADOBE_RGB, chunk, cmyk_profile, png, rgb_profile

SIDES = (11, 9)  # small files are quick, and in them a change of one byte matters


def draw(mode: str) -> Image.Image:
    """Return a picture with gradients, so that its file has what its format has for these."""
    ramp = Image.linear_gradient("L").resize(SIDES)
    if mode == "I;16":
        return Image.frombytes(mode, SIDES, bytes(range(198)))
    turned = ramp.transpose(Image.Transpose.ROTATE_180)
    return Image.merge("RGBA", (ramp, turned, Image.radial_gradient("L").resize(SIDES), ramp)).convert(mode)


def write(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    """Return a file of a format of Pillow's, in a mode of Pillow's. It is an animation where it has frames."""
    file = io.BytesIO()
    if frames > 1:
        options |= {
            "save_all": True,
            "append_images": [draw(mode).transpose(Image.Transpose.ROTATE_180)] * (frames - 1),
        }
    draw(mode).save(file, kind, **options)
    return file.getvalue()


def turn(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def add_chunks(**chunks: bytes) -> PngInfo:
    info = PngInfo()
    for name, content in chunks.items():
        info.add(name.encode(), content)
    info.add_text("Comment", "a text", zip=True)
    info.add_itxt("Title", "Größe", "de", "Titel", zip=True)
    return info


DEEP = np.arange(9 * 11 * 3, dtype=np.uint16).reshape(9, 11, 3) * 217  # 16-bit colours
GAMMA = struct.pack(">I", 100_000)
PRIMARIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # of Display P3

# Without HEIC: pi-heif 1.4.0 crashes over an item type that is no UTF-8 (pillow_heif#478, which no version has yet).
DECODE = {
    "JPEG": write("JPEG"),
    "JPEG, progressive": write("JPEG", progressive=True),
    "JPEG, colours halved, with restarts": write("JPEG", subsampling="4:2:0", restart_marker_blocks=1),
    "JPEG, gray": write("JPEG", "L"),
    "JPEG, CMYK": write("JPEG", "CMYK"),
    "JPEG, CMYK, with a profile": write("JPEG", "CMYK", icc_profile=cmyk_profile()),
    "JPEG, turned": write("JPEG", exif=turn(6)),
    "JPEG, with a profile": write("JPEG", icc_profile=rgb_profile()),
    "JPEG, MPO": write("MPO", frames=2),
    "PNG": write("PNG"),
    "PNG, transparent": write("PNG", "RGBA"),
    "PNG, 16 bits, gray": write("PNG", "I;16"),
    "PNG, 16 bits, with tRNS": write("PNG", "I;16", pnginfo=add_chunks(tRNS=b"\0\1")),
    "PNG, 16 bits, interlaced": png(DEEP, 16, 2, chunk(b"tRNS", DEEP[4, 4].astype(">u2").tobytes()), interlaced=True),
    "PNG, 1 bit": write("PNG", "1"),
    "PNG, gray and alpha": write("PNG", "LA"),
    "PNG, palette": write("PNG", "P", transparency=b"\0\x80\xff"),
    "PNG, gamma and primaries": write("PNG", pnginfo=add_chunks(gAMA=GAMMA, cHRM=PRIMARIES)),
    "PNG, turned, with a profile": write("PNG", exif=turn(3), icc_profile=rgb_profile(ADOBE_RGB)),
    "PNG, animated": write("PNG", frames=2),
    "WebP": write("WEBP"),
    "WebP, lossless": write("WEBP", "RGBA", lossless=True),
    "WebP, transparent": write("WEBP", "RGBA", exif=turn(8)),
    "WebP, animated": write("WEBP", frames=2),
    "GIF": write("GIF", "P"),
    "GIF, interlaced, transparent": write("GIF", "P", interlace=1, transparency=0),
    "GIF, animated": write("GIF", "P", frames=3, duration=10),
    "AVIF": write("AVIF"),
    "AVIF, transparent, turned": write("AVIF", "RGBA", exif=turn(5)),
    "AVIF, animated": write("AVIF", frames=2),
    "TIFF, which is refused": write("TIFF"),
    "BMP, which is refused": write("BMP"),
}

URLS = {
    "a path, and a fragment": b"https://a.example/b%20c?x=1#y\n../d",
    "an address": b"http://[::1]:80/\n//h/p",
    "another alphabet": "http://é.example/ü\nhttp://ß.example/?ä".encode(),
    "a user": b"http://user:password@a.example:8080/\n?q",
    "spellings": b"HTTP://a.example/a\\b|{c}^`d\n/\\e",
}
HEADERS = {
    "seconds": b"120\ngzip, br\nMon, 01 Jan 2024 00:00:00 GMT",
    "a date": b"Mon, 01 Jan 2024 00:00:00 +0130\nidentity, image/jpeg",
    "directives": b"noindex, imageset: noimageai\nother: none, max-snippet: 2, unavailable_after: 1 Jan 2024",
}
HEADER = tables.format_header(tables.LISTINGS.columns).encode()
TABLES = {
    "no row": HEADER,
    "a url": HEADER + b"1,0,http://a.example/1.jpg,\n",
    "a key, and a quoted text": HEADER + b'p-1,3,,photos/1.jpeg\n2,0,"http://a.example/a""b,c",\n',
    "large numbers": HEADER + b"9223372036854775807,32767,http://a.example/,\n",
}
# Changes of a good file, see `fuzz_hdf5`.
HDF5 = {
    "none": b"",
    "a byte, which is refused": b"\x00\x30\x01",
    "two, which is refused": b"\x08\x00\xff\x08\x01\xff",
}

SEEDS = {"decode": DECODE, "urls": URLS, "headers": HEADERS, "tables": TABLES, "hdf5": HDF5}
