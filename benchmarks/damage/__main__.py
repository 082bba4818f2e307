"""How much damage to a JPEG is found? A table: python -m benchmarks.damage [PHOTOS] [--photos 200]

Each photo is damaged in every way, as it is and encoded anew: progressive, and with restart markers. No servers.
"""

import io
import random
from collections.abc import Callable

from PIL import Image

from benchmarks.shared.tables import circumstances, options, origin, table
from benchmarks.shared.workload import read_photos
from imageset.photos.decode import PhotoLimits, check
from imageset.photos.jpeg_markers import walk

LIMITS = PhotoLimits(50_000_000)
END = b"\xff\xd9"
SEED = 7
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"

Damage = Callable[[bytes, int, random.Random], bytes]

# Each is called with a photo, a place within its first scan or behind it, and a source of chance.
DAMAGES: dict[str, Damage] = {
    "none": lambda body, place, chance: body,
    "its end marker is missing": lambda body, place, chance: body[:-2],
    "half of its end marker is missing": lambda body, place, chance: body[:-1],
    "garbage behind its end": lambda body, place, chance: body + b"garbage" * 20,
    "cut": lambda body, place, chance: body[:place],
    "cut, an end marker behind": lambda body, place, chance: body[:place] + END,
    "zeros from there on, an end marker behind": lambda body, place, chance: (
        body[:place] + bytes(len(body) - 2 - place) + END
    ),
    "512 bytes are zeros": lambda body, place, chance: overwrite(body, place, bytes(512)),
    "4,096 bytes are zeros": lambda body, place, chance: overwrite(body, place, bytes(4096)),
    "512 bytes are missing": lambda body, place, chance: body[:place] + body[place + 512 :],
    "a page of HTML over it": lambda body, place, chance: overwrite(body, place, PAGE),
    "a page of HTML in between": lambda body, place, chance: body[:place] + PAGE + body[place:],
    "64 random bytes over it": lambda body, place, chance: overwrite(body, place, chance.randbytes(64)),
    "one bit flipped": lambda body, place, chance: overwrite(
        body, place, bytes([body[place] ^ 1 << chance.randrange(8)])
    ),
}
ENCODINGS: dict[str, dict[str, object]] = {
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 20},
}


def overwrite(body: bytes, place: int, by: bytes) -> bytes:
    """Return a photo with other bytes from a place on, but not over its end marker."""
    by = by[: len(body) - 2 - place]
    return body[:place] + by + body[place + len(by) :]


def encode(body: bytes, **options: object) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(body)).save(file, "JPEG", quality=88, **options)
    return file.getvalue()


def choose_place(body: bytes, chance: random.Random) -> int:
    """Return a place between the first scan's header and the end marker, 512 bytes before it at least."""
    *_, scan = walk(body, header_only=True)
    return chance.randrange(scan.end, max(scan.end + 1, len(body) - 514))


def main() -> None:
    chosen = options("damage", __doc__, turns=1, photos=200).parse_args()
    photos = read_photos(chosen.folder)[: chosen.photos]
    circumstances(chosen, f"{len(photos)} {origin(chosen.folder)}", "pillow", "simplejpeg")
    encoded = {"as they are": photos}
    encoded |= {name: [encode(body, **how) for body in photos] for name, how in ENCODINGS.items()}

    def count(damage: Damage, bodies: list[bytes]) -> int:
        chance = random.Random(SEED)
        damaged = (damage(body, choose_place(body, chance), chance) for body in bodies)
        return sum(check(body, LIMITS)[0] != "" for body in damaged)

    rows = ([name, *(str(count(damage, bodies)) for bodies in encoded.values())] for name, damage in DAMAGES.items())
    table([f"refused of {len(photos)}", *encoded], rows)


if __name__ == "__main__":
    main()
