"""file:///...: only regular files below the allowed folders, whatever the URL says and whatever changes meanwhile."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageset.errors import BadUrl, Refused, Unreachable
from imageset.web import file_urls, transfer
from imageset.web.file_urls import open_below, parse, read_file
from imageset.web.web_client import WebClient
from tests.conftest import jpeg, plain_image

PHOTO = jpeg(plain_image())
MAX_BYTES = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder with photos, beside a secret one."""
    allowed = tmp_path / "photos"
    for name in ("1.jpg", "hats/red hat.jpg", "hats/caf\u00e9.jpg", "50%.jpg", "a#b?c.jpg", "a%2fb.jpg"):
        (allowed / name).parent.mkdir(parents=True, exist_ok=True)
        (allowed / name).write_bytes(PHOTO)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.jpg").write_bytes(PHOTO)
    (tmp_path / "photos-secret").mkdir()
    (tmp_path / "photos-secret/1.jpg").write_bytes(PHOTO)
    return allowed


def ask(url: str, *folders: Path) -> bytes | str:
    """Return the file behind a URL, or why there is none; the only slot must be free for another photo afterwards."""

    async def main() -> bytes | str:
        async with asyncio.timeout(30), WebClient(frozenset(), 1, MAX_BYTES, frozenset()) as client:
            try:
                async with read_file(client, folders, url) as body:
                    return body.content
            except Refused as refusal:
                return str(refusal)
            except Unreachable as failure:
                return f"unreachable: {failure}"
            finally:
                async with client.host(file_urls.SCHEME).slot():
                    pass

    return asyncio.run(main())


@pytest.mark.parametrize(
    "name",
    [
        "1.jpg",
        "hats/red%20hat.jpg",
        "hats/red hat.jpg",
        "hats/caf%C3%A9.jpg",
        "hats/caf\u00e9.jpg",
        "hats/../1.jpg",
        "hats/%2E%2e/1.jpg",
        "./hats//..//1.jpg",
        "hats%2Fred%20hat.jpg",
        "50%25.jpg",
        "50%.jpg",
        "a%23b%3Fc.jpg",
        "a%252fb.jpg",
    ],
)
def test_a_file_below_an_allowed_folder_is_read(name: str, folder: Path) -> None:
    assert ask(f"file://{folder}/{name}", folder) == PHOTO


@pytest.mark.parametrize(
    "name",
    [
        "../secret/1.jpg",
        "%2e%2e/secret/1.jpg",
        "hats/..%2F..%2Fsecret/1.jpg",
        "hats/%2e%2e%2f%2e%2e%2fsecret%2f1.jpg",
        "../photos-secret/1.jpg",
        "..",
        ".",
        "",
        "../../../../../../../../etc/passwd",
        "../nothing/here.jpg",
    ],
)
def test_what_is_not_below_an_allowed_folder_is_refused(name: str, folder: Path) -> None:
    assert ask(f"file://{folder}/{name}", folder) == "folder_not_allowed"


def test_without_a_setting_no_path_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(f"file://{folder}/1.jpg", folder.parent / "secret", folder) == PHOTO

    monkeypatch.setattr(file_urls, "open_below", lambda *_: pytest.fail("it looks at the disk"))

    assert ask(f"file://{folder}/1.jpg") == "folder_not_allowed"


def test_a_dot_twice_encoded_is_a_name(folder: Path) -> None:
    assert ask(f"file://{folder}/%252e%252e/secret/1.jpg", folder) == "not_found"


def test_links_count_by_where_they_lead(folder: Path) -> None:
    links = {
        "file": "../secret/1.jpg",
        "folder": "../secret",
        "chain": "folder",
        "loop": "loop",
        "within": "hats/red hat.jpg",
        "gone": "../secret/none.jpg",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.symlink_to(folder)

    assert {
        name: ask(f"file://{folder}/{name}", folder)
        for name in ("file", "folder/1.jpg", "chain/1.jpg", "loop", "within", "gone", "folder/../1.jpg")
    } == {
        "file": "folder_not_allowed",
        "folder/1.jpg": "folder_not_allowed",
        "chain/1.jpg": "folder_not_allowed",
        "loop": "folder_not_allowed",
        "within": PHOTO,
        "gone": "folder_not_allowed",
        "folder/../1.jpg": "folder_not_allowed",  # .. of where the link leads, as the system has it
    }
    assert ask(f"file://{elsewhere}/1.jpg", folder) == PHOTO


def test_only_regular_files_are_read_and_nothing_waits_for_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "full").symlink_to("/dev/full")
    other = shutil.copytree(folder, folder.parent / "other", symlinks=True, ignore=lambda *_: ["pipe.jpg", "full"])

    assert ask(f"file://{folder}/pipe.jpg", folder) == "not_an_image"
    assert ask(f"file://{folder}/hats", folder, other) == "not_an_image"
    assert ask("file:///dev/zero", Path("/dev")) == "not_an_image"
    assert ask(f"file://{folder}/full", folder) == "folder_not_allowed"


def test_other_files_are_refused_with_their_reasons(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "large.jpg").write_bytes(PHOTO + bytes(MAX_BYTES))
    (folder / "page.jpg").write_text("<!DOCTYPE html><html>")
    (folder / "few").write_bytes(b"\xff")
    with monkeypatch.context() as patch:
        patch.setattr(file_urls, "pieces", unread)

        assert ask(f"file://{folder}/large.jpg", folder) == "too_large"
    assert ask(f"file://{folder}/none.jpg", folder) == "not_found"
    assert ask(f"file://{folder}/1.jpg/more", folder) == "not_found"
    assert ask(f"file://{folder}/{'a' * 300}.jpg", folder) == "not_found"
    assert ask(f"file://{folder}/page.jpg", folder) == "not_an_image"
    assert ask(f"file://{folder}/few", folder) == b"\xff"  # for the decoder to judge


async def unread(file: BinaryIO) -> AsyncIterator[bytes]:
    raise AssertionError
    yield b""


def test_a_file_that_grows_is_cut_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    class Short:
        def __init__(self, status: os.stat_result) -> None:
            self.st_mode, self.st_size = status.st_mode, 10

    (folder / "large.jpg").write_bytes(PHOTO + bytes(10 * MAX_BYTES))
    monkeypatch.setattr(os, "fstat", lambda descriptor: Short(real(descriptor)))

    assert ask(f"file://{folder}/large.jpg", folder) == "too_large"


def replace_folder(folder: Path) -> None:
    (folder / "hats").rename(folder / "old")
    (folder / "hats").symlink_to("../secret")


def replace_file(folder: Path) -> None:
    (folder / "hats/1.jpg").unlink()
    (folder / "hats/1.jpg").symlink_to("../../secret/1.jpg")


def replace_by_pipe(folder: Path) -> None:
    (folder / "hats/1.jpg").unlink()
    os.mkfifo(folder / "hats/1.jpg")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(replace_folder, "not_found"), (replace_file, "folder_not_allowed"), (replace_by_pipe, "not_an_image")],
)
@pytest.mark.parametrize("moment", ["realpath", "stat"])
def test_what_another_program_changes_meanwhile_leads_nowhere_else(
    moment: str, change: Callable[[Path], None], reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes the path once it is resolved, or once the file was looked at."""
    (folder / "hats/1.jpg").write_bytes(b"the right one")
    place = os.path if moment == "realpath" else os
    real = getattr(place, moment)
    changed: list[bytes] = []

    def then_change(path: bytes, *arguments: object, **options: object) -> object:
        result = real(path, *arguments, **options)
        if not changed and (moment == "realpath" or path == b"1.jpg"):
            changed.append(path)
            change(folder)
        return result

    monkeypatch.setattr(place, moment, then_change)
    result: bytes | str
    try:
        with open_below((folder,), os.fsencode(folder / "hats/1.jpg")) as file:
            result = file.read()
    except Refused as refusal:
        result = str(refusal)

    assert changed
    # A folder that is moved away while it is open is still the one that was allowed.
    expected = b"the right one" if (moment, change) == ("stat", replace_folder) else reason
    assert result == expected


def test_a_file_that_may_not_be_read_is_forbidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> None:  # root, as whom tests may run, may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(file_urls, "open_without_links", deny)

    assert ask(f"file://{folder}/1.jpg", folder) == "forbidden"


def test_a_disk_that_fails_leaves_the_photo_pending(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(file_urls, "open_without_links", fail)

    assert ask(f"file://{folder}/1.jpg", folder) == "unreachable: file: Input/output error"


def test_a_disk_that_hangs_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(file_urls, "open_below", lambda *_: time.sleep(0.5))

    assert ask(f"file://{folder}/1.jpg", folder) == "unreachable: file: TimeoutError"


@pytest.mark.parametrize(
    "url",
    [
        "file:/srv/1.jpg",
        "file:srv/1.jpg",
        "file://srv/1.jpg",
        "file://localhost/srv/1.jpg",
        "file://127.0.0.1/srv/1.jpg",
        "file://user@/srv/1.jpg",
        "file://",
        "file://%2Fsrv/1.jpg",
        "file:///srv/1.jpg?a",
        "file:///srv/1.jpg#a",
        "file:///srv/1%00.jpg",
        "file:///srv/1\0.jpg",
        "file:\\\\\\srv\\1.jpg",
        "file:///srv/\ud800.jpg",
        " file:///srv/1.jpg",
    ],
)
def test_other_spellings_are_bad_urls(url: str) -> None:
    with pytest.raises(BadUrl):
        parse(url)
    assert ask(url, Path("/srv")) == "bad_url"


def test_bytes_that_are_not_utf8_are_names_too(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(PHOTO)

    assert ask(f"file://{tmp_path}/caf%E9.jpg", tmp_path) == PHOTO


@given(st.text() | st.text("./%2eEfF\\ \0?#a~").map("file:///".__add__))
def test_any_text_is_a_path_or_refused(url: str) -> None:
    try:
        path = parse(url)
    except BadUrl:
        return

    assert path.startswith(b"/")
    assert b"\0" not in path


@given(st.lists(st.sampled_from(["..", ".", "", "a", "out", "%2e%2e", "1.jpg", "b%2fc", "%2F"]), max_size=8))
def test_no_path_leads_out_of_the_folder(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        (root / "in/a").mkdir(parents=True)
        (root / "1.jpg").write_bytes(b"secret")
        (root / "in/a/1.jpg").write_bytes(b"public")
        (root / "in/1.jpg").write_bytes(b"public")
        (root / "in/out").symlink_to(root)
        with (
            suppress(Refused),
            open_below((root / "in",), parse(f"file://{root}/in/{'/'.join(names)}")) as file,
        ):
            assert file.read() == b"public"
