"""Settings: the environment first, then .env; what is missing or malformed is named."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from imageset.errors import SettingsError
from imageset.runtime import settings

NAMES = (
    "DATABASE_URL",
    "IMAGE_STORE",
    "IMAGESET_ALLOWED_BUCKETS",
    "IMAGESET_ALLOWED_FOLDERS",
    "IMAGESET_ALLOWED_HOSTS",
    "IMAGESET_CACHE",
    "IMAGESET_CONNECTIONS_PER_HOST",
    "IMAGESET_DASK",
    "IMAGESET_DATABASE_SECONDS",
    "IMAGESET_EMBEDDING_FILE",
    "IMAGESET_HEADERS_FILE",
    "IMAGESET_MODEL_FILE",
    "IMAGESET_OBJECTS_MB",
    "IMAGESET_USER_AGENT",
    "IMAGESET_WORKERS",
)


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No setting in the environment, now or after the test, and an empty working directory."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # noted, so that what load() sets does not outlive the test
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_env_file_of_a_parent_folder_fills_what_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("IMAGE_STORE=s3://from-file/photos\nIMAGESET_WORKERS=3\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    monkeypatch.setenv("IMAGESET_WORKERS", "2")
    settings.load()

    assert settings.image_store() == ("from-file", "photos/")
    assert settings.workers() == 2


def test_a_password_with_a_dollar_sign_in_the_env_file_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL='postgresql://user:a${HOME}b$c@host/shop'\n")
    settings.load()

    assert os.environ["DATABASE_URL"] == "postgresql://user:a${HOME}b$c@host/shop"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"IMAGESET_WORKERS=3\n# caf\xe9 hidden\n",
            "line 2 of {} is not UTF-8 (byte 25 of the file): save it as UTF-8",
        ),
        (b"IMAGESET_WORKERS=3\r\n\r\n\r\nhidden secret\r\n", "line 4 of {} is not NAME=value: correct it, "),
        (b"\nDATABASE_URL='hidden\nIMAGESET_WORKERS=3\n", "line 2 of {} is not NAME=value: correct it, "),
        (b"=hidden", "line 1 of {} is not NAME=value: correct it, "),
        (b"A=1\nDATABASE_URL=hid\0den\n", "line 2 of {} is not NAME=value: correct it, "),
    ],
)
def test_a_damaged_env_file_is_named_with_the_line_and_not_quoted(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        settings.load()

    assert str(caught.value).startswith(problem.format(path))
    assert "hid" not in str(caught.value)
    assert "IMAGESET_WORKERS" not in os.environ


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc, which Linux has")
def test_an_env_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("/proc/self/mem")  # also root gets an error: nothing is at its beginning

    with pytest.raises(
        SettingsError, match=rf"^{tmp_path}/\.env cannot be read \(Input/output error\): make it readable"
    ):
        settings.load()


def test_a_folder_of_that_name_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of `python -m venv .env`."""
    (tmp_path / ".env").write_bytes("\ufeffIMAGESET_WORKERS=3\r\n\r\nNAME_ALONE\r\n# é\r\n".encode())
    (tmp_path / "project" / ".env").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    settings.load()

    assert settings.workers() == 3


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_named_with_an_example(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("DATABASE_URL", value)

    with pytest.raises(SettingsError, match=r"DATABASE_URL is not set.*\.env.*DATABASE_URL=postgresql://"):
        settings.database_url()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_means_psycopg2(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://user:p%40ss@host:5433/shop?sslmode=require")

    assert settings.database_url() == "postgresql+psycopg2://user:p%40ss@host:5433/shop?sslmode=require"


@pytest.mark.parametrize("url", ["mysql+pymysql://user:p@host/shop", "sqlite:///shop.db", "duckdb://"])
def test_the_url_of_another_database_is_taken_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert settings.database_url() == url


@pytest.mark.parametrize("url", ["user:hidden@host/shop", "shop.db", "://hidden", "my hidden://host/shop"])
def test_what_is_no_url_of_a_database_is_refused_without_quoting_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(
        SettingsError, match="must start with the kind of database and ://, such as postgresql://"
    ) as caught:
        settings.database_url()

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://photos", ("photos", "")),
        ("s3://photos/", ("photos", "")),
        ("s3://photos/second/hand", ("photos", "second/hand/")),
        ("s3://photos//second/hand//", ("photos", "second/hand/")),
        ("  s3://photos.example-1/x ", ("photos.example-1", "x/")),
    ],
)
def test_the_store_is_a_bucket_and_a_prefix(
    url: str, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_STORE", url)

    assert settings.image_store() == expected


@pytest.mark.parametrize(
    "url",
    [
        "photos",
        "s3:/photos",
        "s3://",
        "s3:///x",
        "gs://photos",
        "s3://Photos",
        "s3://a b",
        "s3://photos\n/x",
        "https://photos.s3.amazonaws.com",
    ],
)
def test_a_store_that_is_no_s3_url_is_refused_with_its_value(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_STORE", url)
    with pytest.raises(SettingsError) as caught:
        settings.image_store()

    assert repr(url) in str(caught.value)
    assert "s3://bucket/prefix" in str(caught.value)


@pytest.mark.parametrize("prefix", ["a//b", "./a", "a/..", "a/./b", "a\tb", "a\u202eb"])
def test_a_prefix_that_no_client_keeps_as_it_is_is_refused(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_STORE", f"s3://photos/{prefix}")

    with pytest.raises(SettingsError, match=r"IMAGE_STORE is .*: no part of its prefix may be empty"):
        settings.image_store()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", set()),
        (" , ", set()),
        ("photos.internal", {("photos.internal", 80), ("photos.internal", 443)}),
        ("Photos.internal:8080, 10.0.0.7:81", {("photos.internal", 8080), ("10.0.0.7", 81)}),
        ("[fd00::1]:8080", {("fd00::1", 8080)}),
    ],
)
def test_allowed_hosts_are_names_and_ports(
    value: str, expected: set[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_ALLOWED_HOSTS", value)

    assert settings.allowed_hosts() == expected


@pytest.mark.parametrize(
    "value",
    ["http://photos.internal", "photos.internal/x", "a:b", "a:99999", ":80", "[", "a:0", "a#b"],
)
def test_what_is_no_host_is_refused_with_its_value(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_ALLOWED_HOSTS", f"good.example,{value}")

    with pytest.raises(SettingsError, match=f"IMAGESET_ALLOWED_HOSTS contains {re.escape(repr(value))}"):
        settings.allowed_hosts()


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²", "99999", "1e2"])
def test_a_wrong_number_of_workers_is_refused_with_its_value(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_WORKERS", value)

    with pytest.raises(SettingsError, match=f"IMAGESET_WORKERS is '{value}'"):
        settings.workers()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", 2_000_000_000), (" 0 ", 0), ("1", 1_000_000), ("200000", 200_000_000_000), ("100000000", 10**14)],
)
def test_the_objects_on_the_disk_have_a_bound_or_are_none(
    value: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", value)

    assert settings.object_cache_bytes() == expected


@pytest.mark.parametrize("value", ["-1", "1.5", "2GB", "007", "100000001", "9999999999999999", "²", "1e3"])
def test_a_wrong_bound_is_refused_with_its_value(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", value)

    with pytest.raises(SettingsError, match=rf"'{re.escape(value)}': expected a number from 0 to 100000000, such as"):
        settings.object_cache_bytes()


def test_workers_are_as_many_as_cores_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.workers() == os.cpu_count()

    monkeypatch.setenv("IMAGESET_WORKERS", " 7 ")

    assert settings.workers() == 7


def test_cache_and_model_file_have_defaults_and_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.cache_directory() == Path(".cache")
    assert settings.mask_cache() == Path(".cache/masks.sqlite")
    assert settings.embedding_cache() == Path(".cache/embeddings.sqlite")
    assert settings.pixel_cache() == Path(".cache/pixels.sqlite")
    assert settings.object_cache() == Path(".cache/objects")
    assert settings.model_file() is None
    assert settings.embedding_file() is None

    monkeypatch.setenv("IMAGESET_CACHE", "/tmp/elsewhere")
    monkeypatch.setenv("IMAGESET_MODEL_FILE", "/tmp/mine.onnx")
    monkeypatch.setenv("IMAGESET_EMBEDDING_FILE", " /tmp/mine.pth ")

    assert settings.cache_directory() == Path("/tmp/elsewhere")
    assert settings.mask_cache() == Path("/tmp/elsewhere/masks.sqlite")
    assert settings.embedding_cache() == Path("/tmp/elsewhere/embeddings.sqlite")
    assert settings.pixel_cache() == Path("/tmp/elsewhere/pixels.sqlite")
    assert settings.object_cache() == Path("/tmp/elsewhere/objects")
    assert settings.model_file() == Path("/tmp/mine.onnx")
    assert settings.embedding_file() == Path("/tmp/mine.pth")


def test_the_copies_of_dvc_exp_run_share_the_cache_of_their_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "shop" / ".dvc" / "tmp" / "exps" / "tmpx1y2z3"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)

    assert settings.mask_cache() == tmp_path.resolve() / "shop/.cache/masks.sqlite"
    assert settings.pixel_cache() == tmp_path.resolve() / "shop/.cache/pixels.sqlite"

    monkeypatch.setenv("IMAGESET_CACHE", "/tmp/elsewhere")

    assert settings.mask_cache() == Path("/tmp/elsewhere/masks.sqlite")


@pytest.mark.parametrize("value", ["", " ", "tcp://scheduler:8786", " tls://10.0.0.7:8786 ", "tcp://[::1]:8786"])
def test_a_scheduler_is_named_by_its_address(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.dask() == ""

    monkeypatch.setenv("IMAGESET_DASK", value)

    assert settings.dask() == value.strip()


@pytest.mark.parametrize(
    "value",
    [
        "scheduler:8786",
        "tcp://scheduler",
        "http://scheduler:8787",
        "tcp://:8786",
        "tcp://scheduler:8786/status",
        "tcp://a b:8786",
        "tcp://scheduler:\uff11",
    ],
)
def test_what_is_no_address_of_a_scheduler_is_refused_with_its_value(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_DASK", value)

    with pytest.raises(SettingsError, match=f"IMAGESET_DASK is {re.escape(repr(value))}: .*tcp://scheduler:8786"):
        settings.dask()


def test_allowed_buckets_are_names_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.allowed_buckets() == frozenset()

    monkeypatch.setenv("IMAGESET_ALLOWED_BUCKETS", " shop-photos,old.photos, ,")

    assert settings.allowed_buckets() == {"shop-photos", "old.photos"}


@pytest.mark.parametrize("entry", ["s3://shop", "shop/photos", "Shop", "*", "shop photos", "a"])
def test_a_bucket_that_is_no_name_is_an_error(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_ALLOWED_BUCKETS", f"shop,{entry}")

    with pytest.raises(SettingsError, match=f"IMAGESET_ALLOWED_BUCKETS contains {re.escape(repr(entry))}"):
        settings.allowed_buckets()


def test_allowed_folders_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.allowed_folders() == ()

    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.setenv("IMAGESET_ALLOWED_FOLDERS", f"{tmp_path}/link, {tmp_path}/photos/..,")

    assert settings.allowed_folders() == (tmp_path / "photos", tmp_path)


@pytest.mark.parametrize("entry", ["photos", "./photos", "/no/such/folder", "file:///srv", "/etc/passwd", "~"])
def test_a_folder_that_is_not_there_or_relative_is_an_error(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("photos").mkdir()
    monkeypatch.setenv("IMAGESET_ALLOWED_FOLDERS", entry)

    with pytest.raises(SettingsError, match=f"IMAGESET_ALLOWED_FOLDERS contains {re.escape(repr(entry))}.*/srv/photos"):
        settings.allowed_folders()


def test_the_user_agent_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.user_agent() == "imageset"

    monkeypatch.setenv("IMAGESET_USER_AGENT", " shop/1.0 (+mailto:data@shop.example)\n")

    assert settings.user_agent() == "shop/1.0 (+mailto:data@shop.example)"


@pytest.mark.parametrize("value", ["shop\r\nCookie: 1", "shop\n1", "caf\u00e9", "shop\x7f", "a" * 201])
def test_a_user_agent_that_no_header_can_have_is_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGESET_USER_AGENT", value)

    with pytest.raises(SettingsError, match="IMAGESET_USER_AGENT has a line break or"):
        settings.user_agent()


def test_the_headers_file_is_looked_for_in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.headers_file() is None

    monkeypatch.setenv("IMAGESET_HEADERS_FILE", "headers.toml")

    assert settings.headers_file() == Path("headers.toml")


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("IMAGE_STORE", "s3://me:hidden@bucket/x", settings.image_store),
        ("IMAGE_STORE", "s3://bucket/../me:hidden@x", settings.image_store),
        ("IMAGESET_DASK", "tcp://me:hidden@scheduler:8786", settings.dask),
        ("IMAGESET_DASK", "tcp://hidden@scheduler:8786", settings.dask),
        ("IMAGESET_ALLOWED_HOSTS", "me:hidden@photos.internal", settings.allowed_hosts),
        ("IMAGESET_ALLOWED_HOSTS", "photos.internal?key=hidden", settings.allowed_hosts),
        ("IMAGESET_ALLOWED_BUCKETS", "me:hidden@bucket", settings.allowed_buckets),
        ("IMAGESET_ALLOWED_FOLDERS", "file://me:hidden@host/folder", settings.allowed_folders),
        ("IMAGESET_WORKERS", "http://me:hidden@host", settings.workers),
        ("DATABASE_URL", "hidden@host", settings.database_url),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_credentials_in_a_setting_are_refused_and_not_quoted(
    name: str, value: str, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name} ") as caught:
        read()

    assert "hidden" not in str(caught.value)
