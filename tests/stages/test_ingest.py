"""Stage ingest against a photo host that answers anything: reasons, retries, limits, what is remembered."""

import functools
import http.server
import io
import os
import re
import resource
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from imageset.errors import DataError, ParamsError, ServerError
from imageset.formats import tables
from imageset.photos import decode, file_formats
from imageset.photos.file_formats import PLUGINS
from imageset.storage.bucket import CONFIG, Bucket, get_object, list_objects
from imageset.web import fetch_photo, host_limits, server_errors, transfer
from imageset.web.refusals import REASONS, RefusalCache, compute_crc32
from stages import ingest
from tests.conftest import jpeg, photo_bytes, plain_image, put, run_stage
from tests.photos.samples import BY_NAME, DECODED, REFUSED, SHIPPED, heic
from tests.project import ROOT
from tests.stages.in_workers import check_or_fall, fall_once

PHOTO = jpeg(plain_image())
PATHS = (
    "data/listings.csv",
    "data/labels.csv",
    "data/classes.csv",
    "corrections/takedowns.csv",
    "data/ingest.csv",
)
LABELLED = (1, 2, 3_000_001)  # products; each test has one of them


class PhotoHost:
    """A photo host's answer to each path, how often it was asked, and with which credentials."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.credentials: list[str] = []

    def at(self, path: str, answer: "Answer") -> str:
        """Set the answer to a path and return its URL."""
        self.answers[path] = answer
        return self.url + path


class Request(http.server.BaseHTTPRequestHandler):
    """One request to a photo host."""

    def __init__(self, photo_host: PhotoHost, *arguments: object) -> None:
        self.photo_host = photo_host
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.photo_host.asked[self.path] += 1
        self.photo_host.credentials += self.headers.get_all("Authorization", [])
        self.photo_host.answers[self.path](self)

    def answer(self, status: int, body: bytes = PHOTO, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    """Prints nothing when a client closes the connection, as ours does over bodies that are too large."""

    def handle_error(self, *arguments: object) -> None:
        pass


Answer = Callable[[Request], None]
Edit = Callable[[str, str], None]


def status(number: int) -> Answer:
    return lambda request: request.answer(number)


def body(content: bytes, **headers: str) -> Answer:
    return lambda request: request.answer(200, content, **headers)


def redirect(location: str) -> Answer:
    return lambda request: request.answer(302, b"", Location=location)


def raw(content: bytes) -> Answer:
    """Answer with these very bytes."""

    def answer(request: Request) -> None:
        request.wfile.write(content)

    return answer


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(side: int, pixels: bytes, rest: bytes) -> bytes:
    """A grayscale PNG of side x side pixels, with more chunks after the compressed pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + rest


def bomb() -> bytes:
    """A PNG of 80 bytes that claims 60,000 x 60,000 pixels."""
    return png(60_000, zlib.compress(b"\0"), chunk(b"IEND", b""))


def large_png() -> bytes:
    """A PNG of 49 million pixels in some kilobytes."""
    file = io.BytesIO()
    Image.new("1", (7000, 7000)).save(file, "PNG")
    return file.getvalue()


def lossless_jpeg() -> bytes:
    """A JPEG with a frame header that says that it is coded without loss."""
    return photo_bytes().replace(b"\xff\xc0", b"\xff\xc3", 1)


def allow(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setenv("IMAGESET_ALLOWED_HOSTS", ",".join([os.environ.get("IMAGESET_ALLOWED_HOSTS", ""), *hosts]))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoHost]:
    """A photo host on loopback, which the settings allow by its address and by its name."""
    photo_host = PhotoHost("")
    with QuietServer(("127.0.0.1", 0), functools.partial(Request, photo_host)) as server:
        photo_host.url = f"http://127.0.0.1:{server.server_port}"
        allow(monkeypatch, f"127.0.0.1:{server.server_port}", f"localhost:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield photo_host
        server.shutdown()
        thread.join()


@pytest.fixture
def dead_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an allowed port where nothing listens, reserved for this test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        allow(monkeypatch, f"127.0.0.1:{taken.getsockname()[1]}")
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def project(in_project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a bucket, where retries follow at once."""
    monkeypatch.setattr(fetch_photo, "SECONDS_BEFORE_RETRY", 0.001)
    monkeypatch.setattr(host_limits, "FIRST_PAUSE", 0.001)
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    write_labels(in_project, [(product_id, 12) for product_id in LABELLED])
    return in_project


@pytest.fixture
def any_share(edit_params: Edit) -> None:
    """Let the stage accept any share of refused photos."""
    edit_params("max_rejected_share: 0.2\n\nmodel:", "max_rejected_share: 1.0\n\nmodel:")


def paths(project: Path) -> list[Path]:
    return [project / path for path in PATHS]


def write_listings(project: Path, *urls: str) -> None:
    """Write the table of listings 1, 2, ..., each with one photo."""
    rows = [(product_id, 0, url, "") for product_id, url in enumerate(urls, 1)]
    tables.write(project / "data/listings.csv", tables.LISTINGS, tables.frame(tables.LISTINGS, rows))


def write_labels(project: Path, rows: Iterable[tuple[object, int]]) -> None:
    """Write the table of labels: products and their classes, of which there is one, 12."""
    labels = [(product_id, catalog_id, "") for product_id, catalog_id in rows]
    tables.write(project / "data/labels.csv", tables.LABELS, tables.frame(tables.LABELS, labels))
    tables.write(project / "data/classes.csv", tables.CLASSES, tables.frame(tables.CLASSES, [(12, "tops", None)]))


def run(project: Path, *urls: str) -> list[str]:
    """Ingest listings 1, 2, ... with these URLs and return their reasons, "" for done; all of them may be refused."""
    write_listings(project, *urls)
    try:
        ingest.main(*paths(project))
    except DataError as error:
        if "none is left" not in str(error):
            raise
    table = tables.read(project / "data/ingest.csv", tables.INGEST)

    assert table["product_id"].tolist() == list(range(1, len(urls) + 1))
    assert table["status"].tolist() == ["rejected" if reason else "done" for reason in table["reason"]]
    return list(table["reason"])


def contents(bucket: Bucket) -> dict[str, bytes]:
    return {stored.key: get_object(bucket, stored) for stored in list_objects(bucket)}


def test_photos_are_stored_byte_for_byte_under_their_keys(
    project: Path, bucket: Bucket, photo_folder: tuple[Path, str]
) -> None:
    folder, url = photo_folder
    first, second = photo_bytes(1), photo_bytes(2, kind="PNG")
    (folder / "a.jpg").write_bytes(first)
    (folder / "b c.png").write_bytes(second)
    rows = [(3_000_001, 0, f"{url}/a.jpg", ""), (3_000_001, 2, f"{url}/b%20c.png", "")]
    tables.write(project / "data/listings.csv", tables.LISTINGS, tables.frame(tables.LISTINGS, rows))

    ingest.main(*paths(project))

    assert contents(bucket) == {"3000001.jpeg": first, "3000001-2.jpeg": second}
    assert (project / "data/ingest.csv").read_text() == (
        "key,product_id,position,status,reason\n3000001.jpeg,3000001,0,done,\n3000001-2.jpeg,3000001,2,done,\n"
    )


def test_only_photos_that_the_bucket_lacks_are_fetched(project: Path, bucket: Bucket, host: PhotoHost) -> None:
    put(bucket, "2.jpeg", b"put by another system")

    assert run(project, *(host.at(f"/{number}", status(200)) for number in (1, 2, 3))) == ["", "", ""]
    assert host.asked == {"/1": 1, "/3": 1}
    assert contents(bucket)["2.jpeg"] == b"put by another system"


def test_an_object_uploaded_in_the_meantime_is_not_overwritten(project: Path, bucket: Bucket, host: PhotoHost) -> None:
    def late(request: Request) -> None:
        put(bucket, "1.jpeg", b"put by another run")
        request.answer(200)

    assert run(project, host.at("/photo", late)) == [""]
    assert contents(bucket) == {"1.jpeg": b"put by another run"}


@pytest.mark.usefixtures("any_share")
def test_a_second_run_asks_for_nothing_and_writes_the_same(project: Path, host: PhotoHost) -> None:
    urls = [host.at("/1", status(200)), host.at("/2", status(404)), host.at("/3", body(b"<html>"))]
    run(project, *urls)
    asked, table = host.asked.copy(), (project / "data/ingest.csv").read_bytes()
    run(project, *urls)

    assert host.asked == asked == {"/1": 1, "/2": 1, "/3": 1}
    assert (project / "data/ingest.csv").read_bytes() == table


@pytest.mark.usefixtures("any_share")
def test_without_the_cache_refusals_are_found_again(project: Path, host: PhotoHost) -> None:
    urls = [host.at("/1", status(200)), host.at("/2", status(410))]
    run(project, *urls)
    table = (project / "data/ingest.csv").read_bytes()
    (project / ".cache/ingest.sqlite").unlink()
    run(project, *urls)

    assert host.asked == {"/1": 1, "/2": 2}
    assert (project / "data/ingest.csv").read_bytes() == table


@pytest.mark.usefixtures("any_share")
def test_a_refused_photo_with_another_url_is_asked_for_again(project: Path, host: PhotoHost) -> None:
    run(project, host.at("/gone", status(404)))

    assert run(project, host.at("/back", status(200))) == [""]


DEFINITE: dict[str, tuple[Answer, str]] = {
    "401": (status(401), "forbidden"),
    "403": (status(403), "forbidden"),
    "404": (status(404), "not_found"),
    "410": (status(410), "gone"),
    "empty": (body(b""), "empty"),
    "html": (body(b"<!DOCTYPE html><html>Please log in</html>", Content_Type="image/jpeg"), "not_an_image"),
    "json": (body(b'{"error": "no such photo"}'), "not_an_image"),
    "half a photo": (body(photo_bytes()[:1500]), "truncated"),
    "half a photo with an end": (body(photo_bytes()[:1500] + b"\xff\xd9"), "damaged"),
    "nonsense": (raw(b"nonsense\r\n\r\n"), "bad_response"),
    "pixel bomb": (body(bomb()), "too_many_pixels"),
    "redirect loop": (redirect("/photo"), "too_many_redirects"),
    "redirect to a file": (redirect("file:///etc/passwd"), "bad_url"),
    "redirect to a bucket": (redirect("s3://bucket/key"), "bad_url"),
    "redirect to nonsense": (redirect("http://[/"), "bad_url"),
}


@pytest.mark.usefixtures("any_share")
def test_a_definite_answer_refuses_the_photo(project: Path, bucket: Bucket, host: PhotoHost) -> None:
    urls = [
        host.at("/photo" if "loop" in name else f"/{number}", answer)
        for number, (name, (answer, _)) in enumerate(DEFINITE.items())
    ]

    assert dict(zip(DEFINITE, run(project, *urls), strict=True)) == {
        name: reason for name, (_, reason) in DEFINITE.items()
    }
    assert contents(bucket) == {}


@pytest.mark.usefixtures("any_share")
@pytest.mark.parametrize("name", ["403", "nonsense", "half a photo"])
def test_a_host_need_not_serve_another_photo_for_its_answer_to_be_definite(
    name: str, project: Path, host: PhotoHost
) -> None:
    answer, reason = DEFINITE[name]

    assert run(project, host.at("/photo", answer)) == [reason]


@pytest.mark.usefixtures("any_share")
@pytest.mark.parametrize("name", DECODED)
def test_a_listed_format_is_taken_whatever_the_url_and_the_headers_say(
    name: str, project: Path, bucket: Bucket, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params(f"  formats: {SHIPPED}", f"  formats: [{name}]")
    lying = "image/png" if name == "jpeg" else "image/jpeg"

    assert run(project, host.at("/photo.bmp", body(DECODED[name], Content_Type=lying))) == [""]
    assert contents(bucket) == {"1.jpeg": DECODED[name]}


@pytest.mark.usefixtures("any_share")
def test_what_is_not_listed_is_refused_by_its_name_until_the_list_changes(
    project: Path, host: PhotoHost, edit_params: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [host.at(f"/{name}.jpg", body(each, Content_Type="image/jpeg")) for name, each in BY_NAME.items()]
    names = list(BY_NAME)
    edit_params(f"  formats: {SHIPPED}", "  formats: [gif]")
    expected = ["" if name == "gif" else f"format_{name}" for name in names]

    assert run(project, *urls) == run(project, *urls) == expected
    assert set(host.asked.values()) == {1}
    said = capsys.readouterr().out
    assert "ingest: 1 format_webp: to take them, add webp to ingest.formats" in said
    assert "ingest: 1 format_tiff: imageset cannot decode this format: return the image_url of a copy in " in said
    assert "1 format_heic: to take them, run `pip install -r requirements-heif.txt` and add heic to ingest.f" in said

    edit_params("  formats: [gif]", "  formats: [gif, heic]")
    expected[names.index("heic")] = ""
    assert run(project, *urls) == expected
    assert host.asked["/heic.jpg"] == host.asked["/tiff.jpg"] == 2


@pytest.mark.usefixtures("any_share")
def test_a_format_can_be_asked_for_again(project: Path, host: PhotoHost) -> None:
    answers = iter([REFUSED["tiff"], PHOTO])
    url = host.at("/photo", lambda request: request.answer(200, next(answers)))

    assert run(project, url) == run(project, url) == ["format_tiff"]
    ingest.main(*paths(project), retry=("format_tiff",))
    assert tables.read(project / "data/ingest.csv", tables.INGEST)["reason"].tolist() == [""]


def test_heic_without_its_package_is_an_error_before_the_first_photo(
    project: Path, host: PhotoHost, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, heic]")
    monkeypatch.setattr(file_formats, "find_spec", lambda _: None)

    with pytest.raises(ParamsError, match=r"which needs the package pi-heif: run `pip install -r requirements-heif"):
        run(project, host.at("/photo", status(200)))
    assert host.asked == {}


@pytest.mark.usefixtures("any_share")
def test_a_cut_photo_of_any_format_is_refused(
    project: Path, bucket: Bucket, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, png, webp, gif, avif, heic]")
    whole = {name: photo_bytes(kind=PLUGINS[name]) for name in ("jpeg", "png", "webp", "gif", "avif")} | {
        "heic": heic()
    }
    cut = {name: each[: len(each) * 3 // 4] for name, each in whole.items()}
    urls = [host.at(f"/{name}", body(each, Content_Length=str(len(each)))) for name, each in cut.items()]
    reasons = run(project, *urls)

    assert set(reasons) <= {"truncated", "undecodable"}
    assert reasons[-2:] == ["truncated", "truncated"]
    assert contents(bucket) == {}


@pytest.mark.usefixtures("any_share")
def test_every_reason_of_the_closed_list_comes_from_a_real_answer(
    project: Path, bucket: Bucket, host: PhotoHost, dead_host: str, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_params("unreachable: fail", "unreachable: reject")
    edit_params("robots: ignore", "robots: obey")
    host.at("/robots.txt", body(b"User-agent: *\nDisallow: /disallowed"))
    edit_params(f"  formats: {SHIPPED}", "  formats: [jpeg, png]")
    monkeypatch.setattr(decode, "check", check_or_fall)
    monkeypatch.setattr(fetch_photo, "SECONDS_TO_DECODE", 3.0)
    monkeypatch.setattr(fetch_photo, "BYTES_TO_DECODE", 100_000_000)
    answers = DEFINITE | {
        "402": (status(402), "refused"),
        "robots": (body(PHOTO, X_Robots_Tag="noai"), "robots_tag"),
        "packed": (body(zlib.compress(PHOTO), Content_Encoding="deflate"), "encoded"),
        "large": (body(b"", Content_Length="20000001"), "too_large"),
        "lasting 500": (status(500), "server_error"),
        "memory": (body(large_png()), "decoder_memory"),
        "crash": (body(PHOTO + b"crash"), "decoder_crash"),
        "hang": (body(PHOTO + b"hang"), "decoder_timeout"),
        "undecodable": (body(lossless_jpeg()), "undecodable"),
        "good": (status(200), ""),
        **{name: (body(each), f"format_{name}") for name, each in BY_NAME.items() if name not in ("jpeg", "png")},
    }
    urls = [
        host.at("/photo" if "loop" in name else f"/{number}", answer)
        for number, (name, (answer, _)) in enumerate(answers.items())
    ]

    urls.append(host.at("/disallowed", status(200)))
    others = "http://10.0.0.1/photo.jpg", "s3://shop/photo.jpg", "file:///photo.jpg", f"{dead_host}/photo.jpg"

    reasons = run(project, *urls, *others)

    assert dict(zip(answers, reasons, strict=False)) == {name: reason for name, (_, reason) in answers.items()}
    assert reasons[-5:] == ["robots_txt", "private_address", "bucket_not_allowed", "folder_not_allowed", "unreachable"]
    assert set(reasons) == REASONS - {"format_jpeg", "format_png"} | {""}
    assert [host.asked[f"/{list(answers).index(name)}"] for name in ("memory", "crash", "hang")] == [1, 1, 1]
    assert list(contents(bucket)) == [f"{list(answers).index('good') + 1}.jpeg"]


def test_a_photo_whose_decoder_is_killed_once_is_decoded_again(
    project: Path, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "check", fall_once)

    assert run(project, *(host.at(f"/{number}", status(200)) for number in range(5))) == [""] * 5
    assert (project / "killed").exists()


@pytest.mark.usefixtures("any_share")
def test_crashes_of_a_decoder_are_not_remembered(
    project: Path,
    host: PhotoHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = host.at("/photo", body(PHOTO + b"crash"))
    with monkeypatch.context() as patch:
        patch.setattr(decode, "check", check_or_fall)
        before = run(project, url)

    assert [before, run(project, url)] == [["decoder_crash"], [""]]


@pytest.mark.usefixtures("any_share")
def test_a_body_of_undeclared_length_that_breaks_off_is_asked_for_again(project: Path, host: PhotoHost) -> None:
    photo = photo_bytes()
    passing, staying = iter([photo[:1500], photo[:1500], photo]), body(photo[:1500])
    urls = host.at("/passing", lambda request: request.answer(200, next(passing))), host.at("/staying", staying)

    assert run(project, *urls) == ["", "truncated"]
    assert host.asked == {"/passing": 3, "/staying": fetch_photo.ATTEMPTS}


LENGTH = b"Content-Length: %d\r\n" % len(PHOTO)
TAKEN = {
    "no compression named": b"Content-Encoding: aws-chunked\r\n" + LENGTH,
    "long header": b"X: " + b"x" * 9000 + b"\r\n" + LENGTH,
    "Content-Length twice, equal": LENGTH * 2,
    "Content-Length twice, equal, in one header": b"Content-Length: %d, %d\r\n" % (len(PHOTO), len(PHOTO)),
}


def test_unusual_headers_refuse_no_photo(project: Path, bucket: Bucket, host: PhotoHost) -> None:
    urls = [
        host.at(f"/{number}", raw(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + PHOTO))
        for number, headers in enumerate(TAKEN.values())
    ]

    assert dict(zip(TAKEN, run(project, *urls), strict=True)) == dict.fromkeys(TAKEN, "")
    assert contents(bucket) == {f"{number}.jpeg": PHOTO for number in range(1, 1 + len(TAKEN))}


def test_contradicting_lengths_refuse_their_own_photo_alone_and_are_remembered(project: Path, host: PhotoHost) -> None:
    two = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + LENGTH + b"\r\n" + PHOTO)
    urls = [host.at(f"/{number}", status(200)) for number in range(9)] + [host.at("/two", two)]

    assert run(project, *urls) == run(project, *urls) == [""] * 9 + ["bad_response"]
    assert host.asked["/two"] == fetch_photo.ATTEMPTS_BY_REASON["bad_response"]


MALFORMED = raw(b"HTTP/1.1 200 OK\r\nNonsense\r\n\r\n" + PHOTO)
BROKEN_OFF = body(photo_bytes()[:1500])


@pytest.mark.parametrize("last", [MALFORMED, BROKEN_OFF], ids=["malformed", "broken off"])
def test_a_host_in_trouble_refuses_no_photo_by_one_bad_answer(last: Answer, project: Path, host: PhotoHost) -> None:
    """At the end of the attempts, and where the photo is asked for again at the end of the run."""
    slow = iter([status(408)] * (fetch_photo.ATTEMPTS - 1) + [last])
    failing = iter([status(500)] * fetch_photo.ATTEMPTS_OF_ONE_PHOTO + [last])
    urls = [host.at(f"/{number}", status(200)) for number in range(9)]
    urls += (
        host.at("/slow", lambda request: next(slow)(request)),
        host.at("/500", lambda request: next(failing)(request)),
    )

    with pytest.raises(ServerError, match="2 photos are pending"):
        run(project, *urls)


def test_a_url_with_a_blank_is_asked_for_as_browsers_do(project: Path, host: PhotoHost) -> None:
    host.at("/photos/my%20photo.jpg", status(200))

    assert run(project, f"{host.url}/photos/my photo.jpg") == [""]
    assert host.asked == {"/photos/my%20photo.jpg": 1}


@pytest.mark.usefixtures("any_share")
def test_an_incomplete_photo_of_declared_length_is_not_asked_for_again(project: Path, host: PhotoHost) -> None:
    photo = photo_bytes()[:1500]

    assert run(project, host.at("/photo", body(photo, Content_Length=str(len(photo))))) == ["truncated"]
    assert host.asked == {"/photo": 1}


BAD_URLS = [
    "file://host/etc/passwd",
    "ftp://127.0.0.1/1.jpg",
    "//127.0.0.1/1.jpg",
    "1.jpg",
    "http://",
    "http://[",
    "http://a..b/",
    "http://\u2100.com/",
    f"http://{'a' * 64}.example/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:http/",
]


@pytest.mark.usefixtures("any_share")
def test_a_bad_url_refuses_its_own_photo_only(project: Path, host: PhotoHost) -> None:
    reasons = run(project, *BAD_URLS, host.at("/photo", status(200)))

    assert dict(zip([*BAD_URLS, "good"], reasons, strict=True)) == dict.fromkeys(BAD_URLS, "bad_url") | {"good": ""}


def test_a_photo_of_exactly_the_most_bytes_and_pixels_is_accepted(
    project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params("max_bytes: 20000000", f"max_bytes: {len(PHOTO)}")
    edit_params("  max_pixels: 50000000\n  # File formats", "  max_pixels: 2400\n  # File formats")

    assert run(project, host.at("/photo", status(200))) == [""]


def test_raising_a_limit_lets_in_photos_that_it_refused(
    project: Path, host: PhotoHost, edit_params: Edit, any_share: None
) -> None:
    edit_params("max_bytes: 20000000", "max_bytes: 10")
    url = host.at("/photo", body(PHOTO))
    before = run(project, url)
    again = run(project, url)
    asked = host.asked.total()
    edit_params("max_bytes: 10", "max_bytes: 20000000")

    assert [before, again, run(project, url)] == [["too_large"], ["too_large"], [""]]
    assert asked == 1


def test_lowering_a_limit_refuses_objects_in_the_bucket(
    project: Path, host: PhotoHost, edit_params: Edit, any_share: None
) -> None:
    url = host.at("/photo", body(PHOTO))
    before = run(project, url)
    edit_params("max_bytes: 20000000", "max_bytes: 10")

    assert [before, run(project, url)] == [[""], ["too_large"]]


def test_a_url_is_requested_as_it_is_spelt(project: Path, host: PhotoHost) -> None:
    path = "/a%7Eb?signature=x%2fy%3D"

    assert run(project, host.at(path, body(PHOTO))) == [""]
    assert host.asked == {path: 1}


def test_waiting_for_a_slot_at_a_slow_host_is_not_a_failure(
    project: Path, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SECONDS_PER_REQUEST", 1.0)
    monkeypatch.setenv("IMAGESET_CONNECTIONS_PER_HOST", "1")
    monkeypatch.setattr(fetch_photo, "ATTEMPTS", 1)

    def slowly(request: Request) -> None:
        time.sleep(0.15)
        request.answer(200)

    assert run(project, *(host.at(f"/{number}", slowly) for number in range(12))) == [""] * 12


@pytest.mark.usefixtures("any_share")
def test_a_photo_of_one_pixel_more_is_refused(project: Path, host: PhotoHost, edit_params: Edit) -> None:
    edit_params("  max_pixels: 50000000\n  # File formats", "  max_pixels: 2399\n  # File formats")

    assert run(project, host.at("/photo", status(200))) == ["too_many_pixels"]


@pytest.mark.usefixtures("any_share")
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "2000000000"}])
def test_an_endless_body_is_cut_off_and_refused(
    headers: dict[str, str], project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params("max_bytes: 20000000", "max_bytes: 300000")
    sent = 0

    def endless(request: Request) -> None:
        nonlocal sent
        request.answer(200, b"", **headers)
        for _ in range(10_000):
            sent += request.wfile.write(PHOTO[:20] + bytes(100_000))

    assert run(project, host.at("/photo", endless)) == ["too_large"]
    assert sent < 100_000_000


def test_what_earlier_versions_refused_as_encoded_without_a_compression_is_asked_for_again(
    project: Path, host: PhotoHost
) -> None:
    url = host.at("/1", body(PHOTO, Content_Encoding="aws-chunked"))
    (project / ".cache").mkdir(exist_ok=True)
    with closing(RefusalCache(project / ".cache/ingest.sqlite", "")) as refusals:
        row = "1.jpeg", url, "encoded", ""  # as versions wrote it that took aws-chunked for a compression
        refusals.database.execute("INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", (*row, compute_crc32(*row)))

    assert run(project, url) == [""]


@pytest.mark.usefixtures("any_share")
def test_a_compressed_body_is_refused_unread(project: Path, host: PhotoHost) -> None:
    packed = zlib.compress(bytes(10_000_000))
    codings = ["deflate", "gzip", "br", "zstd", "x"]
    urls = [host.at(f"/{coding}", body(packed, Content_Encoding=coding)) for coding in codings]

    assert run(project, *urls) == ["encoded"] * len(codings)


@pytest.mark.usefixtures("any_share")
def test_robots_tags_refuse_photos_as_the_params_say(project: Path, host: PhotoHost, edit_params: Edit) -> None:
    url = host.at("/photo", body(PHOTO, X_Robots_Tag="noindex"))
    before = run(project, url)
    edit_params("[noai, noimageai, noindex, noimageindex]", "[noai]")

    assert [before, run(project, url)] == [["robots_tag"], [""]]


@pytest.mark.usefixtures("any_share")
def test_what_robots_txt_refuses_is_remembered_as_long_as_it_is_obeyed(
    project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    host.at("/robots.txt", body(b"User-agent: *\nDisallow: /private"))
    urls = [host.at("/private/1", status(200)), host.at("/2", status(200)), host.at("/3", status(404))]
    edit_params("robots: ignore", "robots: obey")
    first = run(project, *urls)
    host.at("/robots.txt", body(b""))
    again = run(project, *urls)

    assert first == again == ["robots_txt", "", "not_found"]
    assert host.asked == {"/robots.txt": 1, "/2": 1, "/3": 1}

    edit_params("robots: obey", "robots: ignore")

    assert run(project, *urls) == ["", "", "not_found"]
    assert host.asked == {"/robots.txt": 1, "/2": 1, "/3": 1, "/private/1": 1}


@pytest.mark.usefixtures("any_share")
def test_robots_txt_is_read_again_on_request(project: Path, host: PhotoHost, edit_params: Edit) -> None:
    edit_params("robots: ignore", "robots: obey")
    host.at("/robots.txt", body(b"User-agent: *\nDisallow: /"))
    run(project, host.at("/1", status(200)))
    host.at("/robots.txt", body(b""))
    ingest.main(*paths(project), retry=("robots_txt",))

    assert list(tables.read(project / "data/ingest.csv", tables.INGEST)["reason"]) == [""]


@pytest.mark.usefixtures("any_share")
def test_a_robots_txt_that_fails_for_good_leaves_all_photos_pending(
    project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    urls = [host.at("/1", status(200)), host.at("/2", status(200))]
    run(project, urls[0])
    edit_params("robots: ignore", "robots: obey")
    host.at("/robots.txt", status(500))

    with pytest.raises(ServerError, match=r"1 photos are pending: .* status 500, for http://127.*/robots\.txt"):
        run(project, *urls)
    assert host.asked["/2"] == 0


def test_retry_after_is_obeyed_up_to_a_limit(project: Path, host: PhotoHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_limits, "LONGEST_PAUSE", 0.01)
    waits = iter(["3600", "-1", "Sun, 06 Nov 2994 08:49:37 GMT"])

    def busy(request: Request) -> None:
        wait = next(waits, None)
        request.answer(200) if wait is None else request.answer(429, b"", Retry_After=wait)

    assert run(project, host.at("/photo", busy)) == [""]
    assert host.asked == {"/photo": 4}


def test_a_host_that_hangs_does_not_delay_the_others(
    project: Path,
    host: PhotoHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGESET_CONNECTIONS_PER_HOST", "2")
    monkeypatch.setattr("imageset.web.host_queues.MAX_TASKS", 10)
    others_are_done = threading.Event()
    left = 30

    def hang(request: Request) -> None:
        request.answer(200 if others_are_done.wait(20) else 404)

    def answer(request: Request) -> None:
        nonlocal left
        left -= 1
        request.answer(200)
        if not left:
            others_are_done.set()

    hanging = [host.at(f"/hang{number}", hang) for number in range(30)]
    answering = [host.at(f"/{number}", answer).replace("127.0.0.1", "localhost") for number in range(30)]

    assert run(project, *hanging, *answering) == [""] * 60


def test_names_whose_look_up_hangs_do_not_delay_the_others(
    project: Path,
    host: PhotoHost,
    edit_params: Edit,
    any_share: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edit_params("unreachable: fail", "unreachable: reject")
    others_are_done = threading.Event()
    look_up = socket.getaddrinfo

    def block(name: str, *arguments: int, **options: int) -> object:
        if name.startswith("silent"):
            assert others_are_done.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return look_up(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", block)
    answered = 0

    def answer(request: Request) -> None:
        nonlocal answered
        answered += 1
        request.answer(200)
        if answered == 20:
            others_are_done.set()

    silent = [f"http://silent{number}.test/1.jpg" for number in range(40)]
    good = [host.at(f"/{number}", answer).replace("127.0.0.1", "localhost") for number in range(20)]

    assert run(project, *silent, *good) == ["unreachable"] * 40 + [""] * 20


def test_a_low_limit_of_open_files_is_raised(project: Path, host: PhotoHost) -> None:
    def answer(request: Request) -> None:
        time.sleep(0.05)
        request.answer(200)

    urls = [host.at(f"/{number}", answer) for number in range(100)]
    write_listings(project, *urls)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    ended = subprocess.run(
        [sys.executable, "-m", "stages.ingest", *PATHS],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard)),
    )

    assert ended.returncode == 0, ended.stderr
    assert host.asked.total() == 100


def test_a_redirect_is_followed_to_the_photo(project: Path, bucket: Bucket, host: PhotoHost) -> None:
    host.at("/photo", status(200))

    assert run(project, host.at("/moved", redirect("/photo"))) == [""]
    assert contents(bucket) == {"1.jpeg": PHOTO}


def test_failures_that_pass_leave_no_trace(project: Path, host: PhotoHost) -> None:
    troubles = iter([status(500), status(503), body(PHOTO[:50], Content_Length=str(len(PHOTO))), status(200)])

    assert run(project, host.at("/photo", lambda request: next(troubles)(request))) == [""]
    assert host.asked == {"/photo": 4}


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (status(503), "status 503"),
        (status(429), "status 429"),
        (status(408), "status 408"),
    ],
)
def test_failures_that_stay_leave_the_photo_pending(
    answer: Answer, trouble: str, project: Path, bucket: Bucket, host: PhotoHost
) -> None:
    urls = host.at("/photo", answer), host.at("/good", status(200))

    with pytest.raises(ServerError, match=trouble) as caught:
        run(project, *urls)

    assert f"1 photos are pending: {host.url.removeprefix('http://')}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (project / "data/ingest.csv").exists()
    assert contents(bucket) == {"2.jpeg": PHOTO}


def test_one_lasting_500_of_21_is_a_reason_and_no_failure_of_the_stage(
    project: Path, bucket: Bucket, host: PhotoHost, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [host.at(f"/{number}", status(500 if number == 7 else 200)) for number in range(21)]
    expected = ["server_error" if number == 7 else "" for number in range(21)]

    assert run(project, *urls) == expected

    said = capsys.readouterr().out

    assert "20 done, 1 rejected (1 server_error)" in said
    assert "ingest: 1 server_error: their hosts serve other photos, but not these; the next `make refresh`" in said
    assert len(contents(bucket)) == 20

    asked = host.asked["/7"]

    assert run(project, *urls) == expected  # where it is the only one to ask for, too
    assert host.asked["/7"] == 2 * asked

    host.at("/7", status(200))

    assert run(project, *urls) == [""] * 21


def break_off(request: Request) -> None:
    """Close the connection without an answer."""
    request.close_connection = True


@pytest.mark.parametrize(
    "answer", [status(502), status(599), break_off, body(PHOTO[:50], Content_Length=str(len(PHOTO)))], ids=range(4)
)
def test_a_photo_for_which_its_host_fails_for_good_is_a_server_error(
    answer: Answer, project: Path, host: PhotoHost
) -> None:
    urls = [host.at(f"/{number}", answer if number == 3 else status(200)) for number in range(6)]

    assert run(project, *urls) == ["", "", "", "server_error", "", ""]


def serve_until(photos: int, then: Answer, host: PhotoHost) -> Answer:
    """Serve so many photos of a host, then give another answer for good."""

    def answer(request: Request) -> None:
        (status(200) if host.asked.total() <= photos else then)(request)

    return answer


CUT_SHORT = body(PHOTO[:50], Content_Length=str(len(PHOTO)))


@pytest.mark.parametrize(
    "then", [status(500), status(502), status(503), status(599), break_off, CUT_SHORT], ids=range(6)
)
@pytest.mark.parametrize("served", [0, 1, 19])
def test_an_outage_of_a_host_rejects_no_photo(
    served: int, then: Answer, project: Path, bucket: Bucket, host: PhotoHost, any_share: None
) -> None:
    answer = serve_until(served, then, host)
    urls = [host.at(f"/{number}", answer) for number in range(20)]

    with pytest.raises(ServerError, match=f"{20 - served} photos are pending"):
        run(project, *urls)

    assert len(contents(bucket)) == served


def test_an_outage_that_ends_with_the_run_rejects_no_photo(project: Path, host: PhotoHost) -> None:
    passing = Counter[str]()

    def answer(request: Request) -> None:
        passing[request.path] += 1
        request.answer(500 if passing[request.path] <= fetch_photo.ATTEMPTS_OF_ONE_PHOTO else 200)

    urls = [host.at(f"/{number}", status(200)) for number in range(9)] + [host.at("/late", answer)]

    assert run(project, *urls) == [""] * 10
    assert host.asked["/late"] == fetch_photo.ATTEMPTS_OF_ONE_PHOTO + 1


def test_a_photo_of_a_host_that_was_given_up_is_no_server_error_after_one_failure(
    project: Path, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may fail then for the first time, without a request before."""
    monkeypatch.setattr(fetch_photo, "ATTEMPTS_OF_ONE_PHOTO", 1)
    answers = iter([500] * server_errors.ROUNDS)
    late = host.at("/late", lambda request: request.answer(next(answers, 200)))
    urls = [*(host.at(f"/{number}", status(200)) for number in range(9)), late]

    assert run(project, *urls) == [""] * 10
    assert host.asked["/late"] == server_errors.ROUNDS + 1


def test_a_refusal_at_the_end_of_a_run_is_remembered(project: Path, host: PhotoHost) -> None:
    answers = iter([500] * fetch_photo.ATTEMPTS_OF_ONE_PHOTO)
    late = host.at("/late", lambda request: request.answer(next(answers, 404)))
    urls = [*(host.at(f"/{number}", status(200)) for number in range(9)), late]
    first = run(project, *urls)
    asked = host.asked["/late"]

    assert run(project, *urls) == first == [""] * 9 + ["not_found"]
    assert host.asked["/late"] == asked


def test_photos_of_a_host_that_takes_too_long_at_the_end_wait_for_the_next_run(
    project: Path, bucket: Bucket, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_errors, "SECONDS_PER_HOST", 0.0)
    monkeypatch.setattr(server_errors, "PHOTOS_AT_ONCE", 1)
    passing = Counter[str]()

    def answer(request: Request) -> None:
        passing[request.path] += 1
        request.answer(500 if passing[request.path] <= fetch_photo.ATTEMPTS_OF_ONE_PHOTO else 200)

    urls = [host.at(f"/{number}", answer if number < 2 else status(200)) for number in range(20)]

    with pytest.raises(ServerError, match="1 photos are pending"):
        run(project, *urls)

    assert len(contents(bucket)) == 19


@pytest.mark.usefixtures("any_share")
def test_a_host_that_fails_while_it_is_asked_again_rejects_no_photo(project: Path, host: PhotoHost) -> None:
    """It serves the photo before, but not the one after."""

    def last(request: Request) -> None:
        if host.asked["/500"] > fetch_photo.ATTEMPTS_OF_ONE_PHOTO:
            for number in range(9):
                host.at(f"/{number}", status(500))
        request.answer(500)

    urls = [host.at(f"/{number}", status(200)) for number in range(9)] + [host.at("/500", last)]

    with pytest.raises(ServerError, match="1 photos are pending"):
        run(project, *urls)


def test_many_errors_of_a_host_that_serves_others_reject_no_photo(
    project: Path, bucket: Bucket, host: PhotoHost
) -> None:
    """Perhaps a cache serves what it has, and the host behind it is down."""
    good = [host.at(f"/{number}", status(200)) for number in range(20)]
    run(project, *good)  # alone: many errors among them may give the host up before it has served all
    bad = [host.at(f"/{number}", status(500)) for number in range(20, 30)]

    with pytest.raises(ServerError, match="10 photos are pending"):
        run(project, *good, *bad)

    assert len(contents(bucket)) == 20


def test_photos_of_a_host_that_was_given_up_are_fetched_if_it_answers_by_the_end(
    project: Path, bucket: Bucket, host: PhotoHost
) -> None:
    served = set[str]()
    is_back = False

    def answer(request: Request) -> None:
        nonlocal is_back
        is_back |= request.path in served  # the first request of the end is for a photo that was served before
        is_well = request.path != "/7" and (len(served) < 10 or is_back)
        if is_well:
            served.add(request.path)
        request.answer(200 if is_well else 500)

    urls = [host.at(f"/{number}", answer) for number in range(100)]

    assert run(project, *urls) == ["server_error" if number == 7 else "" for number in range(100)]
    assert len(contents(bucket)) == 99


def test_an_error_behind_a_redirect_is_one_of_the_host_that_it_leads_to(project: Path, host: PhotoHost) -> None:
    other = host.url.replace("127.0.0.1", "localhost")  # another host for us
    host.at("/good", status(200))
    host.at("/bad", status(500))
    urls = [host.at(f"/{number}", redirect("/good")) for number in range(9)]

    with pytest.raises(ServerError, match="1 photos are pending: localhost"):
        run(project, *urls, host.at("/9", redirect(f"{other}/bad")))  # nobody knows whether it serves anything

    urls[3] = host.at("/3", redirect(f"{other}/good"))

    assert run(project, *urls, f"{host.url}/9") == [""] * 9 + ["server_error"]


def test_the_next_run_after_failures_continues_where_the_first_one_ended(project: Path, host: PhotoHost) -> None:
    urls = host.at("/1", status(200)), host.at("/2", status(503))
    with pytest.raises(ServerError):
        run(project, *urls)
    host.at("/2", status(200))

    assert run(project, *urls) == ["", ""]
    assert host.asked["/1"] == 1


def test_a_dead_host_is_named_without_the_password_of_its_url(project: Path, dead_host: str) -> None:
    url = dead_host.replace("http://", "http://shop:hunter2@")

    with pytest.raises(ServerError, match=dead_host.removeprefix("http://")) as caught:
        run(project, f"{url}/1.jpg", f"{url}/2.jpg")

    assert "2 photos are pending" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("any_share")
def test_photos_of_dead_hosts_are_rejected_on_request(
    project: Path, host: PhotoHost, dead_host: str, edit_params: Edit
) -> None:
    edit_params("unreachable: fail", "unreachable: reject")
    urls = f"{dead_host}/1.jpg", host.at("/2", status(503)), host.at("/3", status(200))

    assert run(project, *urls) == ["unreachable", "unreachable", ""]


@pytest.mark.usefixtures("any_share")
def test_an_unreachable_photo_is_asked_for_again(project: Path, host: PhotoHost, edit_params: Edit) -> None:
    edit_params("unreachable: fail", "unreachable: reject")
    run(project, host.at("/1", status(500)))
    host.at("/1", status(200))

    assert run(project, f"{host.url}/1") == [""]


@pytest.mark.usefixtures("any_share")
def test_refused_photos_are_asked_for_again_on_request(project: Path, host: PhotoHost) -> None:
    urls = [host.at("/1", status(404)), host.at("/2", status(410)), host.at("/3", status(200))]
    run(project, *urls)
    host.at("/1", status(200))
    before = run(project, *urls)
    ingest.main(*paths(project), retry=("not_found", "empty"))

    assert before == ["not_found", "gone", ""]
    assert list(tables.read(project / "data/ingest.csv", tables.INGEST)["reason"]) == ["", "gone", ""]
    assert host.asked == {"/1": 2, "/2": 1, "/3": 1}


def test_an_unknown_reason_is_refused_with_the_list_of_reasons(project: Path, host: PhotoHost) -> None:
    run(project, host.at("/1", status(200)))
    ended = run_stage("ingest", "--retry", "notfound", *PATHS, cwd=project)

    assert ended.returncode == 2
    assert re.fullmatch("ingest: --retry notfound: expected one of bad_response, .*, undecodable\n", ended.stderr)


def test_the_log_has_counts_speed_time_left_and_reasons(
    project: Path, host: PhotoHost, edit_params: Edit, any_share: None
) -> None:
    run(project, *(host.at(f"/{number}", status(404 if number < 3 else 200)) for number in range(9)))
    (project / ".cache/ingest.sqlite").unlink()
    ended = run_stage("ingest", *PATHS, cwd=project)

    assert ended.returncode == 0
    assert re.search(r"^ingest: 3 of 3, +[0-9.]+ photo/s, 00:00 left, not_found=3$", ended.stderr, re.MULTILINE)
    assert "9 photos, 6 known before, 3 to fetch" in ended.stdout
    assert "6 done, 3 rejected (3 not_found)" in ended.stdout


def test_after_a_kill_only_photos_in_flight_are_asked_for_again(
    project: Path, bucket: Bucket, host: PhotoHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_CONNECTIONS_PER_HOST", "4")

    def answer(request: Request) -> None:
        time.sleep(0.01)
        request.answer(200)

    urls = [host.at(f"/{number}", answer) for number in range(120)]
    write_listings(project, *urls)
    command = [sys.executable, "-m", "stages.ingest", *PATHS]
    stage = subprocess.Popen(command, cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)})
    while host.asked.total() < 60:
        time.sleep(0.01)
    stage.kill()
    stage.wait()
    ingest.main(*paths(project))

    assert len(contents(bucket)) == 120
    assert set(tables.read(project / "data/ingest.csv", tables.INGEST)["status"]) == {"done"}
    assert 120 <= host.asked.total() <= 120 + 2 * 4


def test_more_refusals_than_allowed_fail_the_stage_with_their_counts(project: Path, host: PhotoHost) -> None:
    urls = [host.at(f"/{number}", status(200)) for number in range(3)]

    with pytest.raises(
        DataError,
        match=r"1 of 4 photos are refused \(1 not_found\), .*max_rejected_share = 0.2: "
        "to ask for them again, run `make refresh RETRY=not_found`",
    ):
        run(project, *urls, host.at("/gone", status(404)))

    assert tables.read(project / "data/ingest.csv", tables.INGEST)["reason"].tolist() == ["", "", "", "not_found"]


def test_too_many_refusals_name_three_photos_of_several_reasons_and_nothing_secret(
    project: Path, host: PhotoHost
) -> None:
    gone = [host.at(f"/gone/{number}?signature=hunter2", status(404)) for number in range(3)]
    other = host.at("/page", body(b"<html>" * 9)).replace("http://", "http://me:hunter2@")
    write_listings(project, *gone, other, host.at("/1", status(200)))
    with pytest.raises(DataError) as caught:
        ingest.main(*paths(project))
    message = str(caught.value)

    assert f"such as {host.url}/gone/0 (not_found), {host.url}/page (not_an_image), {host.url}/gone/1 " in message
    assert f"{project / 'data/ingest.csv'} lists them" in message
    assert "hunter2" not in message
    assert "\n" not in message


@pytest.mark.usefixtures("any_share")
def test_when_all_photos_are_refused_the_stage_fails_whatever_share_is_allowed(project: Path, host: PhotoHost) -> None:
    write_listings(project, host.at("/1", status(404)), host.at("/2", status(410)))

    with pytest.raises(DataError, match=r"^2 of 2 photos are refused \(1 not_found, 1 gone\), .*; none is left: "):
        ingest.main(*paths(project))

    assert tables.read(project / "data/ingest.csv", tables.INGEST)["reason"].tolist() == ["not_found", "gone"]


def test_the_error_of_too_many_refusals_says_what_to_do(project: Path, dead_host: str, edit_params: Edit) -> None:
    edit_params("unreachable: fail", "unreachable: reject")
    write_listings(project, f"{dead_host}/1.jpg")
    with pytest.raises(DataError, match=r"1 unreachable.*: to ask for them again, run `make refresh`"):
        ingest.main(*paths(project))
    write_listings(project, "http://10.0.0.1/1.jpg")
    with pytest.raises(DataError, match=r"1 private_address.*: if their host is yours, name it in IMAGESET"):
        ingest.main(*paths(project))


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("max_bytes: 20000000", "max_bytes: 99", "1 too_large.*: to take them, raise ingest.max_bytes; "),
        (
            "\n  max_pixels: 50000000\n  # File",
            "\n  max_pixels: 9\n  # File",
            "1 too_many_pixels.*: to take them, raise ingest.max_pixels; ",
        ),
        ("noindex,", "all,", "1 robots_tag.*: to take them, set ingest.refused_robots_tags; "),
        ("robots: ignore", "robots: obey", "1 robots_txt.*; to take them, set ingest.robots to ignore; "),
    ],
)
def test_where_a_param_refuses_too_many_the_error_names_it(
    old: str, new: str, hint: str, project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    host.at("/robots.txt", body(b"User-agent: *\nDisallow: /"))
    edit_params(old, new)
    write_listings(project, host.at("/photo", body(PHOTO, X_Robots_Tag="all")))

    with pytest.raises(DataError, match=hint):
        ingest.main(*paths(project))


def test_exactly_the_share_allowed_passes(project: Path, host: PhotoHost) -> None:
    urls = [host.at(f"/{number}", status(200)) for number in range(4)]

    assert run(project, *urls, host.at("/gone", status(404))) == [*[""] * 4, "not_found"]


def test_where_another_system_fills_the_bucket_nothing_is_fetched(
    project: Path, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params("  enabled: true\n  # Refuse", "  enabled: false\n  # Refuse")  # that of ingest
    write_listings(project, host.at("/1", status(200)))
    ingest.main(*paths(project))

    assert tables.read(project / "data/ingest.csv", tables.INGEST).empty
    assert not host.asked


def test_photos_come_from_allowed_buckets_and_folders_as_from_hosts(
    project: Path, bucket: Bucket, host: PhotoHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, any_share: None
) -> None:
    other = replace(bucket, name=f"other-{secrets.token_hex(4)}", prefix="")
    bucket.client.create_bucket(Bucket=other.name)
    photos = [photo_bytes(number) for number in range(4)]
    put(other, "hats/a b.jpg", photos[0])
    put(other, "half.jpg", photos[1][:1500])
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "red hat.jpg").write_bytes(photos[2])
    (folder / "page.html").write_text("<html>" * 10)
    monkeypatch.setenv("IMAGESET_ALLOWED_BUCKETS", f"no-such-bucket, {other.name}")
    monkeypatch.setenv("IMAGESET_ALLOWED_FOLDERS", f"{folder},")
    put(bucket, "7.jpeg", b"put by another system")
    urls = [
        f"s3://{other.name}/hats/a b.jpg",
        f"s3://{other.name}/half.jpg",
        f"s3://{other.name}/none.jpg",
        f"file://{folder}/red%20hat.jpg",
        f"file://{folder}/page.html",
        f"file://{folder}/none.jpg",
        f"file://{folder}/red hat.jpg",
        f"file://{folder}/../outside.jpg",
        f"s3://{bucket.name}/{bucket.prefix}7.jpeg",
        host.at("/away", redirect(f"file://{folder}/red%20hat.jpg")),
        host.at("/out", redirect(f"s3://{other.name}/hats/a b.jpg")),
    ]

    assert run(project, *urls) == [
        "",
        "truncated",
        "not_found",
        "",
        "not_an_image",
        "not_found",
        "",
        "folder_not_allowed",
        "bucket_not_allowed",
        "bad_url",
        "bad_url",
    ]
    assert contents(bucket) == {"1.jpeg": photos[0], "4.jpeg": photos[2], "7.jpeg": b"put by another system"}


def test_urls_without_a_scheme_are_met_with_what_to_write(project: Path) -> None:
    write_listings(project, "/img/1.jpg")
    with pytest.raises(DataError, match=r"/img/1\.jpg \(bad_url\); none is left: return image_url as https://"):
        ingest.main(*paths(project))


def test_what_no_setting_allows_is_refused_with_the_setting_s_name(
    project: Path, host: PhotoHost, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [host.at(f"/{number}", status(200)) for number in range(9)]

    assert run(project, *good, "file:///srv/1.jpg", "s3://shop/1.jpg").count("") == 9
    said = capsys.readouterr().out
    for reason, place, setting in (("bucket", "that bucket", "BUCKETS"), ("folder", "their folder", "FOLDERS")):
        hint = f"if whoever writes such URLs may read {place}, name it in IMAGESET_ALLOWED_{setting}"
        assert f"ingest: 1 {reason}_not_allowed: {hint}\n" in said
    with pytest.raises(
        DataError, match=r"s3://shop/1\.jpg \(bucket_not_allowed\).* name it in IMAGESET_ALLOWED_BUCKETS; "
    ):
        run(project, *good, *["s3://shop/1.jpg"] * 4)

    monkeypatch.setenv("IMAGESET_ALLOWED_BUCKETS", "shop")  # which is not there: so it was not remembered

    with pytest.raises(ServerError, match=r"4 photos are pending: s3://shop: there is no such bucket \(4 photos\)"):
        run(project, *good, *["s3://shop/1.jpg"] * 4)


def test_headers_and_the_agent_come_from_the_settings(
    project: Path, host: PhotoHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def only_with_token(request: Request) -> None:
        good = (
            request.headers["Authorization"] == "Bearer top-secret" and request.headers["User-Agent"] == "shop (+a@b)"
        )
        request.answer(200 if good else 403)

    urls = [host.at("/1", only_with_token), host.at("/2", status(200))]
    with pytest.raises(DataError, match="1 forbidden"):
        run(project, *urls)
    (project / "headers.toml").write_text(f'["{host.url}"]\nAuthorization = "Bearer top-secret"\n')
    (project / "headers.toml").chmod(0o600)
    monkeypatch.setenv("IMAGESET_HEADERS_FILE", "headers.toml")
    monkeypatch.setenv("IMAGESET_USER_AGENT", "shop (+a@b)")
    with pytest.raises(DataError, match="RETRY=forbidden"):  # a refusal is remembered whatever the settings say
        run(project, *urls)
    ingest.main(*paths(project), retry=("forbidden",))

    assert set(tables.read(project / "data/ingest.csv", tables.INGEST)["reason"]) == {""}
    assert host.asked == {"/1": 2, "/2": 1}
    assert "top-secret" not in "".join(capsys.readouterr())


def run_named(project: Path, *rows: tuple[int, int, str, str]) -> list[tuple[str, str]]:
    """Ingest listings of product_id, position, URL and key, and return the key and the reason of each."""
    tables.write(project / "data/listings.csv", tables.LISTINGS, tables.frame(tables.LISTINGS, rows))
    ingest.main(*paths(project))
    table = tables.read(project / "data/ingest.csv", tables.INGEST)

    assert table[["product_id", "position"]].values.tolist() == [[row[0], row[1]] for row in rows]
    return list(zip(table["key"], table["reason"], strict=True))


@pytest.mark.usefixtures("any_share")
def test_a_key_names_an_object_and_nothing_is_fetched_for_it(
    project: Path, bucket: Bucket, host: PhotoHost, edit_params: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_params("max_bytes: 20000000", "max_bytes: 1000")
    for key, size in (("hats/\u00e9 1.png", 9), ("5.jpeg", 9), ("hats/large", 1001), ("other", 9)):
        put(bucket, key, bytes(size))
    before = contents(bucket)

    assert run_named(
        project,
        (1, 0, "", "hats/\u00e9 1.png"),
        (1, 3, "", "hats/\u00e9 1.png"),
        (2, 0, "", "5.jpeg"),
        (3, 0, "", "hats/none.png"),
        (4, 0, "", "hats/large"),
        (6, 0, host.at("/6", status(200)), ""),
        (7, 0, "", "6.jpeg"),
        (8, 0, host.at("/8", status(404)), ""),
        (9, 0, "", "8.jpeg"),
    ) == [
        ("hats/\u00e9 1.png", ""),
        ("hats/\u00e9 1.png", ""),
        ("5.jpeg", ""),
        ("hats/none.png", "missing_object"),
        ("hats/large", "too_large"),
        ("6.jpeg", ""),
        ("6.jpeg", ""),
        ("8.jpeg", "not_found"),
        ("8.jpeg", "missing_object"),
    ]
    assert contents(bucket) == before | {"6.jpeg": PHOTO}
    assert host.asked == {"/6": 1, "/8": 1}
    assert (
        f"ingest: 2 photos name objects that are not there, such as '8.jpeg', 'hats/none.png'; s3://{bucket.name}/"
        f"{bucket.prefix} at {bucket.client.meta.endpoint_url} has 4 objects, such as 'other': correct `key` in "
        "queries/listings.sql, or the prefix in IMAGE_STORE\n"
    ) in capsys.readouterr().out


def test_too_many_missing_objects_fail_the_stage_with_what_is_there(project: Path, bucket: Bucket) -> None:
    for number in range(5):
        put(bucket, f"shop/{number}.png", b"")

    with pytest.raises(
        DataError,
        match=r"1 of 2 photos are refused \(1 missing_object\), such as 7.png .* = 0.2: 1 photos name objects that are "
        r"not there, such as '7\.png'; s3://\S+ at \S+ has 5 objects, such as 'shop/1\.png', .*/3\.png': "
        "correct `key`",
    ):
        run_named(project, (1, 0, "", "shop/0.png"), (2, 0, "", "7.png"))


@pytest.mark.usefixtures("any_share")
def test_a_photo_named_by_its_key_may_be_taken_down_and_another_product_keeps_the_object(
    project: Path, bucket: Bucket
) -> None:
    put(bucket, "shop/1.png", b"")
    (project / "corrections/takedowns.csv").write_text("product_id,date\n1,2026-01-31\n")

    assert run_named(project, (1, 0, "", "shop/1.png"), (2, 0, "", "shop/1.png")) == [
        ("shop/1.png", "taken_down"),
        ("shop/1.png", ""),
    ]


@pytest.mark.usefixtures("any_share")
def test_where_nothing_is_fetched_keys_decide_if_there_are_any(
    project: Path, bucket: Bucket, host: PhotoHost, edit_params: Edit
) -> None:
    edit_params("  enabled: true\n  # Refuse", "  enabled: false\n  # Refuse")  # that of ingest
    for key in ("shop/1.png", "2.jpeg", "4.jpeg"):
        put(bucket, key, b"")

    assert run_named(
        project,
        (1, 0, "", "shop/1.png"),
        (2, 0, host.at("/2", status(200)), ""),
        (3, 0, host.at("/3", status(200)), ""),
    ) == [("shop/1.png", ""), ("2.jpeg", ""), ("3.jpeg", "missing_object")]
    assert not host.asked


@pytest.mark.usefixtures("any_share")
def test_a_product_that_was_taken_down_is_rejected_and_never_asked_for(
    project: Path, bucket: Bucket, host: PhotoHost
) -> None:
    urls = [host.at(f"/{number}", status(200)) for number in range(1, 5)]
    put(bucket, "2.jpeg", PHOTO)  # also where the bucket has its photo already
    takedowns_csv = project / "corrections/takedowns.csv"
    takedowns_csv.write_text("product_id,date\n3,2026-01-31\n2,2026-02-01\n77,2026-02-01\n")

    assert run(project, *urls) == ["", "taken_down", "taken_down", ""]
    assert host.asked == {"/1": 1, "/4": 1}

    takedowns_csv.write_text("product_id,date\n")

    assert run(project, *urls) == [""] * 4
    assert host.asked == {"/1": 1, "/3": 1, "/4": 1}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            [(f"6f1c2e3a-0000-4000-8000-00000000000{number}", 12) for number in range(4)],
            "none of the 3 products of queries/listings.sql has one of the 4 rows of queries/labels.sql: labels have "
            "product_id 6f1c2e3a-0000-4000-8000-000000000000, 6f1c2e3a-0000-4000-8000-000000000001, "
            "6f1c2e3a-0000-4000-8000-000000000002, listings have 1, 2, 3: one side has numbers, the other text: return "
            "the same product_id in both queries",
        ),
        (
            [(1, 77), (2, 78), (4, 12)],
            "the 2 rows of queries/labels.sql about products of queries/listings.sql name none of the 1 classes of "
            "queries/classes.sql: labels have catalog_id 77, 78, classes have 12: return the same catalog_id in both "
            "queries",
        ),
    ],
)
def test_where_no_listing_has_a_label_that_names_a_class_nothing_is_asked_for(
    labels: list[tuple[object, int]], said: str, project: Path, host: PhotoHost
) -> None:
    write_labels(project, labels)
    with pytest.raises(DataError) as caught:
        run(project, *(host.at(f"/{number}", status(200)) for number in range(1, 4)))

    assert str(caught.value) == said
    assert not host.asked


def test_ids_that_differ_in_case_are_said_to(project: Path, host: PhotoHost) -> None:
    listed = [("ab-1", 0, host.at("/1", status(200)), "")]
    tables.write(project / "data/listings.csv", tables.LISTINGS, tables.frame(tables.LISTINGS, listed))
    write_labels(project, [("AB-1", 12), ("AB-2", 12)])

    with pytest.raises(
        DataError, match=r"have product_id AB-1, AB-2, listings have ab-1: .* return lower\(product_id\)"
    ):
        ingest.main(*paths(project))


def test_one_listing_with_a_label_is_enough(project: Path, host: PhotoHost) -> None:
    write_labels(project, [(1, 77), (3, 12), (None, 12)])

    assert run(project, *(host.at(f"/{number}", status(200)) for number in range(1, 4))) == ["", "", ""]


def test_takedowns_do_not_count_as_refused(project: Path, host: PhotoHost, capsys: pytest.CaptureFixture[str]) -> None:
    urls = [host.at(f"/{number}", status(200)) for number in range(1, 5)]
    rows = "".join(f"{number},2026-01-31\n" for number in range(2, 5))
    (project / "corrections/takedowns.csv").write_text(f"product_id,date\n{rows}")

    assert run(project, *urls) == ["", *["taken_down"] * 3]
    assert "ingest: 1 done, 3 rejected (3 taken_down)" in capsys.readouterr().out

    (project / "corrections/takedowns.csv").write_text(f"product_id,date\n{rows}1,2026-02-01\n")

    assert run(project, *urls) == ["taken_down"] * 4


def test_no_proxy_and_no_password_come_from_the_environment(
    project: Path, host: PhotoHost, dead_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".netrc").write_text("machine localhost login shop password hunter2\n")
    monkeypatch.setenv("NETRC", str(project / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", dead_host)
    monkeypatch.setenv("http_proxy", dead_host)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # for the bucket; the photo is requested at localhost
    url = host.at("/photo", status(200)).replace("127.0.0.1", "localhost")

    assert run(project, url) == [""]
    assert host.credentials == []


def test_a_bucket_that_is_down_fails_the_stage_with_its_name(
    project: Path, host: PhotoHost, dead_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dead_host)
    monkeypatch.setattr("imageset.storage.bucket.CONFIG", CONFIG.merge(type(CONFIG)(retries={"total_max_attempts": 1})))

    with pytest.raises(ServerError, match=f"{dead_host}.*cannot be reached"):
        run(project, host.at("/photo", status(200)))

    assert not host.asked
