"""Photos that are cut or damaged are refused, those that only look so are not, by ingest and by preprocess alike."""

import io
import random
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import simplejpeg
from PIL import Image

from imageset.photos import jpeg_damage, png_chunks
from imageset.photos.decode import PhotoLimits, check, decode, decode_opened
from imageset.photos.jpeg_markers import START_OF_SCAN, walk
from imageset.photos.outcomes import Rejected
from imageset.photos.preprocess import preprocess_photo
from imageset.photos.stray_text import find_text
from sandbox import draw
from tests.photos.test_decode import saved
from tests.photos.test_preprocess import section

LIMITS = PhotoLimits(50_000_000)
PHOTO = draw.draw("dress", 2).resize((400, 533))
END = b"\xff\xd9"
PAGE = b"<html><head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body></html>"

KINDS: dict[str, dict[str, Any]] = {
    "sequential": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 20},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@cache
def photo(kind: str = "sequential") -> bytes:
    return saved(PHOTO, "JPEG", quality=88, **KINDS[kind])


def judge(body: bytes) -> str:
    """Return why ingest refuses a photo, "" where it takes it. Preprocess has to agree."""
    reason, _ = check(body, LIMITS)
    outcome = preprocess_photo(body, section())

    assert reason == (outcome.reason if isinstance(outcome, Rejected) else "")
    return reason


def start_of_codes(body: bytes) -> int:
    return next(segment.end for segment in walk(body) if segment.marker == START_OF_SCAN)


def pixels_of(body: bytes) -> bytes:
    return decode(body, LIMITS).tobytes()


def cut(body: bytes, share: float) -> bytes:
    start = start_of_codes(body)
    return body[: start + int((len(body) - start) * share)]


def overwrite(body: bytes, share: float, by: bytes) -> bytes:
    begin = cut(body, share)
    return begin + by + body[len(begin) + len(by) :]


def insert_before_end(body: bytes, extra: bytes) -> bytes:
    return body[:-2] + extra + END


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


# The cases of that name: inputs that went wrong, made here of a drawn photo.
CUT_AT_60_PERCENT_WITH_EOI = cut(photo(), 0.6) + END
ZEROS_WITH_EOI = overwrite(photo(), 0.6, bytes(int(len(photo()) * 0.35))) + END


@pytest.mark.parametrize("body", [CUT_AT_60_PERCENT_WITH_EOI, ZEROS_WITH_EOI], ids=["cut-at-60-percent", "zeros"])
def test_case_damaged_jpeg(body: bytes) -> None:
    assert judge(body) == "damaged"


def test_case_only_the_end_marker_missing() -> None:
    body = photo()

    assert judge(body[:-2]) == ""
    assert pixels_of(body[:-2]) == pixels_of(body)


@every_kind
def test_a_jpeg_without_its_end_marker_or_with_half_of_it_has_the_pixels_of_the_whole_one(kind: str) -> None:
    body = photo(kind)

    for less in (1, 2):
        assert judge(body[:-less]) == ""
        assert pixels_of(body[:-less]) == pixels_of(body)


@every_kind
@pytest.mark.parametrize(
    "behind",
    [bytes(3000), b"garbage" * 20, PAGE * 3, b"\0\0\0\x18ftypmp42" + bytes(9000), photo()],
    ids=["zeros", "garbage", "page", "video", "photo"],
)
def test_what_is_behind_the_end_marker_does_not_count(behind: bytes, kind: str) -> None:
    body = photo(kind)

    assert judge(body + behind) == ""
    assert pixels_of(body + behind) == pixels_of(body)


def test_of_two_pictures_in_a_file_only_the_first_has_to_be_whole() -> None:
    body = saved(PHOTO, "MPO", save_all=True, append_images=[PHOTO.rotate(180)])
    second = body.index(b"\xff\xd8\xff", 2)

    assert judge(body) == judge(body[: second + 2000]) == ""
    assert judge(body[: second - 2000] + body[second:]) == "damaged"


@every_kind
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.8, 0.97])
def test_a_jpeg_that_is_cut_is_refused_with_and_without_an_end_marker(kind: str, share: float) -> None:
    assert judge(cut(photo(kind), share)) == "truncated"
    assert judge(cut(photo(kind), share) + END) in ("truncated", "damaged")


@every_kind
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
@pytest.mark.parametrize(
    "damage",
    [
        lambda body, share: overwrite(body, share, bytes(2048)),
        lambda body, share: cut(body, share) + body[len(cut(body, share)) + 512 :],
        lambda body, share: overwrite(body, share, PAGE),
        lambda body, share: cut(body, share) + PAGE + body[len(cut(body, share)) :],
    ],
    ids=["zeros", "lost block", "page over it", "page in between"],
)
def test_a_jpeg_that_is_damaged_within_its_picture_is_refused(
    damage: Callable[[bytes, float], bytes], share: float, kind: str
) -> None:
    assert judge(damage(photo(kind), share)) in ("truncated", "damaged")


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused() -> None:
    body = photo("progressive")
    scans = [segment.codes_end for segment in walk(body) if segment.marker == START_OF_SCAN]

    assert len(scans) > 5
    assert [judge(body[:end] + END) for end in scans] == ["truncated"] * (len(scans) - 1) + [""]


def test_a_jpeg_with_a_scan_for_each_channel_needs_them_all() -> None:
    """As the first picture of a sequential JPEG that libjpeg's cjpeg -scans writes: three scans, one for a channel."""
    body = one_scan_a_channel()
    scans = [segment.codes_end for segment in walk(body) if segment.marker == START_OF_SCAN]

    assert [judge(body[:end] + END) for end in scans] == ["truncated", "truncated", ""]


def one_scan_a_channel() -> bytes:
    """Three gray pictures, 64 x 64, as the channels of one JPEG. All have the same tables."""
    grays = [saved(PHOTO.getchannel(channel).resize((64, 64)), "JPEG") for channel in "RGB"]
    segments = [(gray, list(walk(gray))) for gray in grays]
    header = b"".join(grays[0][each.start : each.end] for each in segments[0][1] if each.marker in (0xDB, 0xC4))
    frame = segment(0xC0, struct.pack(">BHHB", 8, 64, 64, 3) + b"\x01\x11\0\x02\x11\0\x03\x11\0")
    scans = b""
    for number, (gray, found) in enumerate(segments, 1):
        [scan] = [each for each in found if each.marker == START_OF_SCAN]
        scans += segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + gray[scan.end : scan.codes_end]
    return b"\xff\xd8" + header + frame + scans + END


HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "bytes before a table": lambda body: body[:20] + b"junk\xff\x00junk" + body[20:],
    "fill bytes before a marker": lambda body: body[:20] + b"\xff" * 9 + body[20:],
    "zeros before the end marker": lambda body: insert_before_end(body, bytes(40)),
    "fill bytes before the end marker": lambda body: insert_before_end(body, b"\xff" * 40),
    "padding before the end marker": lambda body: insert_before_end(body, b"\x20" * 40),
    "another version of JFIF": lambda body: body.replace(b"JFIF\0\x01\x01", b"JFIF\0\x07\x09", 1),
    "an Adobe marker of a new kind": lambda body: body[:20] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09") + body[20:],
    "an unknown application's segment": lambda body: body[:20] + segment(0xE7, PAGE) + body[20:],
    "a page as a comment": lambda body: body[:20] + segment(0xFE, PAGE * 5) + body[20:],
    "a broken colour profile": lambda body: body[:20] + segment(0xE2, b"ICC_PROFILE\0\x07\x03" + PAGE) + body[20:],
    "a restart more than needed": lambda body: insert_before_end(body, b"\xff\xd0"),
}


@every_kind
@pytest.mark.parametrize("harmless", HARMLESS)
def test_a_harmless_warning_is_no_reason_and_hides_no_other(harmless: str, kind: str) -> None:
    body = HARMLESS[harmless](photo(kind))

    assert body != photo(kind)
    assert judge(body) == ""
    assert decode(body, LIMITS, 1, "L").tobytes() == decode(photo(kind), LIMITS, 1, "L").tobytes()
    assert judge(overwrite(body, 0.3, bytes(2048))) == "damaged"
    assert judge(cut(body, 0.7)) == "truncated"


def test_scan_parameters_that_some_encoders_leave_zero_are_harmless() -> None:
    body = bytearray(photo())
    start = start_of_codes(bytes(body))
    body[start - 3 : start] = bytes(3)

    assert judge(bytes(body)) == ""
    assert pixels_of(bytes(body)) == pixels_of(photo())
    assert judge(cut(bytes(body), 0.5) + END) == "damaged"


def test_a_zero_that_coded_data_ends_with_is_no_padding() -> None:
    noise = Image.frombytes("L", (800, 800), random.Random(1).randbytes(640_000))
    body = saved(noise, "JPEG", restart_marker_blocks=1)
    assert re.search(rb"[^\0\xff]\0\xff[\xd0-\xd7]", body[start_of_codes(body) :])

    padded = insert_before_end(body, bytes(9))

    assert judge(padded) == ""
    assert pixels_of(padded) == pixels_of(body)
    assert judge(overwrite(padded, 0.3, bytes(2048))) == "damaged"


def test_bytes_in_front_of_a_restart_are_harmless_where_they_are_padding() -> None:
    body = photo("restarts")
    restart = body.index(b"\xff\xd3", start_of_codes(body))

    assert judge(body[:restart] + bytes(30) + body[restart:]) == ""
    assert judge(body[:restart] + random.Random(1).randbytes(30).replace(b"\xff", b"") + body[restart:]) == "damaged"


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_gray_and_cmyk_jpegs_are_checked_too(mode: str, progressive: bool) -> None:
    body = saved(PHOTO.convert(mode), "JPEG", progressive=progressive)

    assert judge(body) == judge(body[:-2]) == ""
    assert judge(cut(body, 0.6) + END) in ("damaged", "truncated")


def test_a_jpeg_of_red_green_and_blue_is_checked_too() -> None:
    body = saved(PHOTO, "JPEG", keep_rgb=True)

    assert judge(body) == ""
    assert judge(cut(body, 0.6) + END) == "damaged"


def flat_jpeg(*samplings: int) -> bytes:
    """An even gray JPEG of 24 x 24 pixels, any sampling factors: a block is six bits long, whichever channel's."""
    tables = segment(0xDB, bytes([0]) + bytes([1] * 64))
    # One code each, of one bit: the difference 0, and the end of the block.
    tables += segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1" + bytes(15) + b"\0")
    parts = b"".join(bytes([number, sampling, 0]) for number, sampling in enumerate(samplings))
    frame = segment(0xC0, struct.pack(">BHHB", 8, 24, 24, len(samplings)) + parts)
    scan = segment(0xDA, bytes([len(samplings)]) + b"".join(bytes([number, 0]) for number in range(3)) + b"\0\x3f\0")
    wide, high = max(each >> 4 for each in samplings), max(each & 15 for each in samplings)
    units = -(-24 // (8 * wide)) * -(-24 // (8 * high))
    bits = 2 * units * sum((each >> 4) * (each & 15) for each in samplings)
    return b"\xff\xd8" + tables + frame + scan + bytes(bits // 8) + bytes([0xFF >> bits % 8] if bits % 8 else []) + END


def test_rare_sampling_factors_are_taken_where_the_end_marker_is_there() -> None:
    """The strict decoder does not take them, so no more can be told."""
    body = flat_jpeg(0x31, 0x11, 0x11)

    assert "subsampling" in jpeg_damage.decode_strictly(body)
    assert judge(body) == ""
    assert judge(body[:-2]) == "truncated"
    assert judge(flat_jpeg(0x21, 0x11, 0x11)) == ""


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xCB, 0xCF])
def test_a_lossless_or_hierarchical_jpeg_is_refused_by_every_stage(marker: int) -> None:
    assert judge(photo().replace(b"\xff\xc0", bytes([0xFF, marker]), 1)) in ("undecodable", "not_an_image")


def test_a_segment_that_no_decoder_knows_is_refused_by_every_stage() -> None:
    body = photo()

    assert judge(body[:2] + segment(0xF8, b"unknown") + body[2:]) == "damaged"


def test_ingest_decodes_a_jpeg_once_but_for_one_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def noted(image: Image.Image, data: bytes, *options: Any) -> Image.Image:
        decoded.append(data)
        return decode_opened(image, data, *options)

    monkeypatch.setattr("imageset.photos.decode.decode_opened", noted)
    png, clean = saved(Image.new("RGB", (9, 9)), "PNG"), photo()
    warned = insert_before_end(clean, bytes(8))
    for body in (png, clean, warned):
        assert check(body, PhotoLimits(1_000_000))[0] == ""

    assert decoded == [png, warned]


def test_a_jpeg_without_a_picture_is_refused() -> None:
    header = photo()[: photo().index(b"\xff\xda")]

    assert judge(header) in ("truncated", "not_an_image")
    assert judge(header + END) == "damaged"
    assert judge(photo()[: start_of_codes(photo()) - 5]) in ("truncated", "undecodable")


def test_a_jpeg_that_shows_other_sides_to_other_decoders_is_refused() -> None:
    """Its memory is bounded by the sides that the header says."""
    frame = photo().index(b"\xff\xc0")
    other = bytearray(photo()[frame : frame + 19])
    other[5:9] = struct.pack(">HH", 8, 8)

    assert judge(photo()[: frame + 19] + bytes(other) + photo()[frame + 19 :]) == "damaged"


def test_scans_without_end_cost_no_more_than_the_deadline() -> None:
    body = photo("progressive")
    last = [each for each in walk(body) if each.marker == START_OF_SCAN][-1]
    many = body[: last.codes_end] + body[last.start : last.codes_end] * 300 + END

    assert judge(many) == "damaged"  # the same bits once more


def chunks_of(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(each.name, body[each.start : each.end]) for each in png_chunks.walk(body)]


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_a_png_needs_its_pixels_but_not_its_end_chunk() -> None:
    body = saved(PHOTO, "PNG")
    end = len(body) - 12

    for less in (1, 4, 8, 11, 12):
        assert judge(body[:-less]) == ""
        assert pixels_of(body[:-less]) == pixels_of(body)
    for behind in (b"garbage" * 9, bytes(5)):
        assert judge(body + behind) == judge(body[:end] + behind) == ""
    for share in (0.1, 0.5, 0.9, 0.99):
        assert judge(body[: int(end * share)]) == "truncated"
        assert judge(body[: int(end * share)] + body[end:]) in ("truncated", "damaged")
    assert judge(body[:3000] + bytes(60) + body[3060:]) == "damaged"


def test_damage_to_a_png_counts_in_its_pixels_alone() -> None:
    wrong = bytearray(chunk(b"tEXt", b"Comment\0a fine dress"))
    wrong[12] ^= 1
    (_, header), *pixels = chunks_of(saved(PHOTO, "PNG"))
    body = png_of(header, bytes(wrong), *(each for _, each in pixels))

    assert judge(body) == ""
    assert pixels_of(body) == PHOTO.tobytes()
    assert judge(body[:-2000] + body[-1990:]) != ""


def animation(kind: str, **options: Any) -> bytes:
    small = PHOTO.resize((120, 160))
    return saved(small, kind, save_all=True, append_images=[small.rotate(180)], **options)


def test_of_an_animated_gif_only_the_first_frame_has_to_be_whole() -> None:
    body = animation("GIF")

    assert judge(body[:-1]) == judge(body[:-500]) == judge(body + b"garbage") == ""
    assert judge(body[: len(body) // 4]) == "truncated"


@pytest.mark.parametrize(
    "body",
    [saved(PHOTO, "WEBP"), saved(PHOTO, "WEBP", lossless=True), animation("WEBP")],
    ids=["lossy", "lossless", "animated"],
)
def test_a_webp_that_ends_before_its_header_says_is_truncated(body: bytes) -> None:
    for less in (2, 20, 2000, len(body) * 3 // 4):
        assert judge(body[:-less]) == "truncated"
    assert judge(body[:500] + body[1012:]) == "truncated"
    assert judge(body + b"garbage" * 20) == judge(body + bytes(7)) == ""


def test_an_alpha_channel_that_is_not_compressed_is_no_text() -> None:
    alpha = bytes(range(0x20, 0x7F))
    plain = saved(PHOTO.resize((len(alpha), 50)), "WEBP")

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    sides = struct.pack("<I", len(alpha) - 1)[:3] + struct.pack("<I", 49)[:3]
    pixels = chunk(b"ALPH", b"\0" + alpha * 50) + plain[12:]
    still = chunk(b"VP8X", b"\x10\0\0\0" + sides) + pixels
    frame = chunk(b"ANMF", bytes(6) + sides + bytes(4) + pixels)
    animated = chunk(b"VP8X", b"\x12\0\0\0" + sides) + chunk(b"ANIM", bytes(6)) + frame * 2
    for chunks in (still, animated):
        body = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks

        with Image.open(io.BytesIO(body)) as image:
            assert getattr(image, "n_frames", 1) == (1 if chunks is still else 2)
            assert image.getchannel("A").tobytes() == alpha * 50
        assert judge(body) == ""


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"save_all": True, "append_images": [PHOTO.rotate(9)]}])
def test_a_page_within_a_webp_is_found(options: dict[str, Any]) -> None:
    body = saved(PHOTO, "WEBP", **options)
    assert (b"ANMF" in body) == ("save_all" in options)

    assert judge(body[:900] + PAGE + body[900 + len(PAGE) :]) in ("damaged", "truncated")
    assert judge(body[:2000] + PAGE + body[2000 + len(PAGE) :]) in ("damaged", "truncated")


def test_text_is_told_from_coded_data() -> None:
    noise = random.Random(3).randbytes(1_000_000)
    repeated = b"(b#QE\x14" * 5000 + b"QEP(" * 5000

    assert not find_text(noise, 0, len(noise))
    assert not find_text(repeated, 0, len(repeated))
    for place in range(500, 520):
        for text in (PAGE, b'{"error": "not found", "status": 404, "path": "/a/1.jpg"}'):
            body = noise[:place] + text + noise[place:]
            assert find_text(body, 0, len(body))
            assert not find_text(body, place + len(text), len(body))


def test_a_check_that_runs_out_of_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)

    assert judge(photo()) == "decoder_memory"


def test_photos_of_every_kind_are_whole() -> None:
    kinds = [("JPEG", {"quality": quality}) for quality in (1, 30, 75, 100)]
    kinds += [("JPEG", {"subsampling": number}) for number in range(3)]
    kinds += [("JPEG", {"optimize": True}), ("JPEG", {"restart_marker_rows": 1, "progressive": True})]
    kinds += [("PNG", {}), ("GIF", {}), ("WEBP", {}), ("WEBP", {"lossless": True})]
    sides = [(400, 533), (1, 1), (7, 500), (16, 16), (17, 33)]
    bodies = [saved(PHOTO.resize(each), kind, **options) for kind, options in kinds for each in sides]

    assert {check(body, LIMITS)[0] for body in bodies} == {""}


def test_an_image_is_opened_once_for_all_of_its_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = Image.open

    def counted(file: io.BytesIO, **options: Any) -> Image.Image:
        opened.append(file)
        return real(file, **options)

    monkeypatch.setattr(Image, "open", counted)
    preprocess_photo(photo(), section(color="grayscale", image_side=128))

    assert len(opened) == 1
