"""ICC profiles and PNG files, written value by value, for tests and benchmarks of colours."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# The colorants of RGB spaces, XYZ with D50's white, as their profiles have them.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
D50 = (0.9642, 1.0, 0.8249)

# Adam7: the first column and row of each pass, and the steps to the next.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def srgb_curve() -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def profile(space: bytes, tags: Mapping[bytes, bytes], kind: bytes = b"mntr", pcs: bytes = b"XYZ ") -> bytes:
    """Return an ICC profile of version 4."""
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2, 28) + b"\0-\0\0"
    every = {b"desc": text, b"cprt": text, b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50), **tags}
    table, body = struct.pack(">I", len(every)), b""
    for name, value in every.items():
        padded = value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(every) + len(body), len(value))
        body += padded
    size = 132 + 12 * len(every) + len(body)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"", 0x04000000, kind, space, pcs, b"acsp")
    return header.ljust(68, b"\0") + fixed(*D50) + bytes(48) + table + body


def rgb_profile(
    colorants: Sequence[Sequence[float]] = DISPLAY_P3, curve: bytes | None = None, kind: bytes = b"mntr"
) -> bytes:
    """Return a profile of an RGB space, with sRGB's curve where none is named."""
    tags: dict[bytes, bytes] = {}
    for channel, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags |= {channel + b"XYZ": b"XYZ \0\0\0\0" + fixed(*colorant), channel + b"TRC": curve or srgb_curve()}
    return profile(b"RGB ", tags, kind)


def gray_profile(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": gamma_curve(gamma)})


def cmyk_profile(lightest: float = 1.0) -> bytes:
    """Return a printer's profile, a table of 2 x 2 x 2 x 2 colours: each ink takes a colour out of the paper's.

    Args:
        lightest: how much of the light black ink takes away.
    """
    colors = []
    for cell in range(16):
        cyan, magenta, yellow, black = (cell >> 3) & 1, (cell >> 2) & 1, (cell >> 1) & 1, cell & 1
        light = 100 * (1 - 0.3 * cyan) * (1 - 0.4 * magenta) * (1 - 0.1 * yellow) * (1 - lightest * black)
        a, b = (-40 * cyan + 70 * magenta) * (1 - black), (-50 * cyan + 90 * yellow) * (1 - black)
        colors += [round(light * 2.55), round(a + 128), round(b + 128)]
    straight = bytes(range(256))
    identity = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + straight * 4 + bytes(colors) + straight * 3
    return profile(b"CMYK", {b"A2B0": table, b"A2B1": table}, b"prtr", b"Lab ")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: NDArray[np.uint16], depth: int, kind: int, *chunks: bytes, interlaced: bool = False) -> bytes:
    """Return a PNG.

    Args:
        values: (H, W) or (H, W, C).
        depth: bits a channel.
        kind: PNG's colour type.
        chunks: from `chunk`, before the pixels.
        interlaced: whether in seven passes.
    """
    deep = values.reshape(*values.shape[:2], -1)
    lines = b""
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        for row in deep[top::down, left::right]:
            if not row.size:
                continue
            if depth == 16:
                lines += b"\0" + row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]
                lines += b"\0" + np.packbits(bits).tobytes()
    header = struct.pack(">IIBBBBB", deep.shape[1], deep.shape[0], depth, kind, 0, 0, interlaced)
    body = b"".join([chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body
