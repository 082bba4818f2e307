"""AVIF and HEIC files that lack their end are found; what cameras append is no fault."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import AvifImagePlugin, Image

from imageset.errors import Undecodable
from imageset.photos.boxes import ZEROS, is_cut, remove_exif
from imageset.photos.decode import PhotoLimits, check, decode
from tests.conftest import photo_bytes, saved
from tests.photos.samples import heic

LIMITS = PhotoLimits(1_000_000, ("avif", "heic"))
FILES = {"avif": photo_bytes(3, kind="AVIF"), "heic": heic(), "heic of two pictures": heic("two")}
every_file = pytest.mark.parametrize("body", FILES.values(), ids=FILES)


def last_box(body: bytes) -> int:
    """Return where the last box of a file begins: its pixels."""
    return body.index(b"mdat") - 4


WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda body: body,
    "with zeros behind it": lambda body: body + bytes(5000),
    "with a box behind it": lambda body: body + (5008).to_bytes(4) + b"free" + bytes(5000),
    "with a part of a box behind it": lambda body: body + (5008).to_bytes(4) + b"free" + bytes(50),
    "with something else behind it": lambda body: body + b"SEFH of some telephones",
    "with a last box without size": lambda body: body[: (at := last_box(body))] + bytes(4) + body[at + 4 :],
}


@every_file
@pytest.mark.parametrize("change", WHOLE.values(), ids=WHOLE)
def test_a_whole_file_is_taken(change: Callable[[bytes], bytes], body: bytes) -> None:
    changed = change(body)

    assert not is_cut(changed)
    assert decode(changed, LIMITS).tobytes() == decode(body, LIMITS).tobytes()


@every_file
@pytest.mark.parametrize("missing", [1, 2, 30, 150])
def test_a_file_without_its_end_is_truncated(missing: int, body: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^truncated$"):
        decode(body[:-missing], LIMITS)


def test_a_file_is_truncated_wherever_it_is_cut() -> None:
    body = FILES["avif"]
    reasons = set()
    for end in range(20, len(body), 97):
        with pytest.raises(Undecodable) as caught:
            decode(body[:end], LIMITS)
        reasons.add(caught.value.reason)

    assert "truncated" in reasons <= {"truncated", "undecodable"}


def test_an_end_of_nothing_but_zeros_is_truncated() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    body = saved(Image.fromarray(noise), "AVIF", quality=95)
    zeroed = body[: -len(ZEROS)] + ZEROS

    assert len(body) - last_box(body) > 2 * len(ZEROS)
    with pytest.raises(Undecodable, match=r"^truncated$"):
        decode(zeroed, LIMITS)
    with pytest.raises(Undecodable, match=r"^truncated$"):
        decode(zeroed + (5008).to_bytes(4) + b"free" + bytes(5000), LIMITS)


def test_other_bytes_in_the_middle_are_damage_where_they_are_no_av1() -> None:
    """AV1 has no check sums, so most damage looks like another picture."""
    body = FILES["avif"]
    reasons = set()
    for place in range(last_box(body) + 50, len(body) - 20, 40):
        changed = body[:place] + bytes(byte ^ 0xFF for byte in body[place : place + 20]) + body[place + 20 :]
        reasons.add(check(changed, LIMITS)[0])

    assert reasons == {"", "damaged"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Pixel allocation failed: Out of memory"), "decoder_memory"),
        (RuntimeError("Failed to decode frame 0: Decoding of color planes failed"), "damaged"),
        (MemoryError(), "decoder_memory"),
    ],
)
def test_a_lack_of_memory_is_no_damage(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(AvifImagePlugin.AvifImageFile, "load", fail)

    assert check(FILES["avif"], LIMITS) == (reason, "")


def test_a_box_of_64_bits_counts_by_its_long_size() -> None:
    first = FILES["avif"][: last_box(FILES["avif"])]
    header = (1).to_bytes(4) + b"mdat" + (116).to_bytes(8)

    assert not is_cut(first + header + b"x" * 100)
    assert is_cut(first + header + b"x" * 99)


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_avif_with_broken_exif_is_used_and_turned_by_its_boxes(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a jacket", orientation
    body = saved(Image.linear_gradient("L").resize((48, 32)), "AVIF", exif=exif)
    assert body.count(b"MM\0*") == 1
    photo = decode(body.replace(b"MM\0*", b"XXXX"), LIMITS)

    assert photo.size == ((48, 32) if orientation == 1 else (32, 48))
    assert photo.tobytes() == decode(body, LIMITS).tobytes()


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4) + kind + content


def with_items(count: bytes, first: bytes, second: bytes) -> bytes:
    """A file with two items of these types, the second one with an id of 32 bits."""
    entries = box(b"infe", b"\2\0\0\0\0\1\0\0", first), box(b"infe", b"\3\0\0\0\0\0\0\2\0\0", second)
    meta = box(b"meta", bytes(4), box(b"pitm", bytes(6)), box(b"iinf", count, *entries))
    return box(b"ftyp", b"avif") + meta + box(b"mdat", b"Exif of no item")


@pytest.mark.parametrize("count", [b"\0\0\0\0\0\2", b"\1\0\0\0\0\0\0\2"], ids=["of 16 bits", "of 32 bits"])
def test_exif_is_removed_whatever_the_version_of_its_boxes(count: bytes) -> None:
    assert remove_exif(with_items(count, b"Exif", b"Exif")) == with_items(count, b"none", b"none")
    assert remove_exif(with_items(count, b"av01", b"Exif")) == with_items(count, b"av01", b"none")


def test_a_file_that_ends_within_its_items_stays() -> None:
    body = FILES["avif"]
    for end in range(body.index(b"iinf") - 4, body.index(b"infe") + 12):
        assert remove_exif(body[:end]) == body[:end]
