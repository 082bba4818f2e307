"""Find text within compressed pixels: an error page that a server or a proxy wrote over a part of a photo.

Coded data has so many printable bytes in a row only where it repeats a pattern, and then few different ones.
"""

import re

TEXT_BYTES, DIFFERENT_BYTES = 48, 16
TEXT = re.compile(rb"[\t\n\r -~]{%d}" % TEXT_BYTES)
IS_TEXT = bytes(byte in b"\t\n\r" or 0x20 <= byte <= 0x7E for byte in range(256))
STEP = 8  # every eighth byte is looked at first: six in a row are text, or seldom chance


def find_text(body: bytes, start: int, end: int) -> bool:
    """Return whether text is within coded data, body[start:end]."""
    sample = body[start:end:STEP].translate(IS_TEXT)
    at = -1
    while (at := sample.find(b"\1" * (TEXT_BYTES // STEP), at + 1)) >= 0:
        place = start + at * STEP
        found = TEXT.search(body, max(start, place - STEP), min(end, place + TEXT_BYTES + STEP))
        if found and len(set(found[0])) >= DIFFERENT_BYTES:
            return True
    return False
