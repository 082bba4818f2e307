"""A dataset in a bucket gives the same batches as a copy on the disk, and an error where the bucket cannot."""

import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from imageset.errors import DataError, FetchFailed, ImagesetError
from imageset.formats import hdf5
from imageset.reader import ImageSet, bucket_file, loader, provenance
from imageset.reader.bucket_file import Place
from imageset.reader.range_cache import GRAIN_BYTES
from imageset.storage.bucket import Bucket
from tests.conftest import put
from tests.dataset_files import write
from tests.faults.proxy import TO_CLIENT, Proxy

ROWS = 30_000  # of 108 bytes: more than what is read at the start, with the header
BATCH, BATCHES = 1_000, 30
SMALL: dict[str, Any] = {"buffer_bytes": 400_000, "block_bytes": 200_000}

every_shuffle = pytest.mark.parametrize("shuffle", [False, True, "blocks"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset file on the disk, with groups and texts."""
    path = tmp_path_factory.mktemp("dataset") / "dataset.h5"
    write(path, counts={"train": ROWS, "test": 5})
    with h5py.File(path, "r+") as file:
        hdf5.add(file, "train_groups", np.arange(ROWS) // 2)
        hdf5.add_text(file, "train_source_ids", [f"id-{row}" for row in range(ROWS)])
        hdf5.add_text(file, "train_column_brand", ["", "Größe"] * (ROWS // 2))
        file.attrs["params"] = "{}"
        file.attrs["content_digest"] = hdf5.content_digest(file)
    return path


@pytest.fixture
def url(bucket: Bucket, path: Path) -> str:
    """The URL of the same file in the bucket."""
    return put_file(bucket, path)


def put_file(bucket: Bucket, path: Path, key: str = "dataset.h5") -> str:
    put(bucket, key, path.read_bytes())
    return f"s3://{bucket.name}/{bucket.prefix}{key}"


@pytest.fixture
def proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy between the reader and the bucket."""
    with Proxy.before(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.replace(os.environ["AWS_ENDPOINT_URL"]))
        monkeypatch.setattr(bucket_file, "RETRIES", 1)
        yield proxy


def batches_of(dataset: ImageSet, shuffle: Any, **options: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(loader(dataset, BATCH, shuffle, **SMALL | options))


def require_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for (images, labels), (other_images, other_labels) in zip(found, expected, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def used(folder: Path) -> int:
    """Return the bytes that a cache's objects take on the disk."""
    return sum(512 * path.stat().st_blocks for path in folder.glob("*.data"))


@pytest.mark.parametrize(
    ("shuffle", "cache_bytes"),
    [(False, 1 << 30), (False, 20 * GRAIN_BYTES), ("blocks", 1 << 30), ("blocks", 20 * GRAIN_BYTES), (True, 1 << 30)],
)
def test_batches_are_those_of_a_copy_in_every_epoch(
    url: str, path: Path, tmp_path: Path, shuffle: Any, cache_bytes: int
) -> None:
    dataset, copy = (
        ImageSet(place, normalize=True, cache_dir=tmp_path, cache_bytes=cache_bytes) for place in (url, path)
    )
    batches, expected = (loader(each, BATCH, shuffle, **SMALL) for each in (dataset, copy))
    for _ in range(2):
        require_same(list(batches), list(expected))

    assert 0 < used(tmp_path) <= cache_bytes


def test_the_first_window_is_smaller_and_the_state_of_another_order_is_refused(
    url: str, path: Path, tmp_path: Path
) -> None:
    block_bytes = 1 << 20
    near, far = (
        loader(ImageSet(each, cache_dir=tmp_path), BATCH, "blocks", block_bytes=block_bytes) for each in (path, url)
    )

    assert near.state_dict()["window_rows"] == (128 << 20) // 108
    assert far.state_dict()["window_rows"] == [-(-(16 << 20) // 108), (128 << 20) // 108]
    for one, other in ((near, far), (far, near)):
        with pytest.raises(ValueError, match="the state was saved with buffer_bytes"):
            one.load_state_dict(other.state_dict())


def test_without_a_cache_nothing_is_kept(url: str, path: Path, tmp_path: Path) -> None:
    dataset = ImageSet(url, cache_dir=tmp_path / "cache", cache_bytes=0)

    require_same(batches_of(dataset, "blocks"), batches_of(ImageSet(path), "blocks"))
    for one, other in zip(dataset[[70, 3, 3]], ImageSet(path)[[70, 3, 3]], strict=True):
        assert torch.equal(one, other)
    assert not (tmp_path / "cache").exists()


def test_the_cache_is_in_the_folder_of_caches(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    list(loader(ImageSet(url), BATCH))

    assert used(tmp_path / "imageset") > 0


def test_columns_and_the_digest_are_read(url: str, path: Path, tmp_path: Path) -> None:
    dataset, copy = (ImageSet(place, verify=True, cache_dir=tmp_path) for place in (url, path))

    assert dataset.path == url
    assert url in repr(dataset)
    assert dataset.content_digest == copy.content_digest
    assert dataset.classes == copy.classes
    assert torch.equal(dataset.labels, copy.labels)
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [row // 2 for row in range(ROWS)]
    assert dataset.source_ids.tolist() == copy.source_ids.tolist()
    assert dataset.columns["brand"].tolist() == copy.columns["brand"].tolist()
    assert len(ImageSet(url, "test", cache_dir=tmp_path)) == 5


@every_shuffle
def test_the_second_epoch_and_another_process_do_not_ask_the_bucket(
    url: str, path: Path, tmp_path: Path, proxy: Proxy, shuffle: Any
) -> None:
    dataset = ImageSet(url, cache_dir=tmp_path)
    batches = loader(dataset, BATCH, shuffle, **SMALL)
    first = list(batches)
    proxy.refuse()
    proxy.cut_now()
    batches.epoch = 0

    require_same(list(batches), first)
    require_same(batches_of(pickle.loads(pickle.dumps(dataset)), shuffle), first)


def test_an_object_that_is_replaced_is_an_error(bucket: Bucket, url: str, tmp_path: Path) -> None:
    dataset = ImageSet(url, cache_dir=tmp_path)
    write(tmp_path / "other.h5", counts={"train": ROWS, "test": 5}, names=["a", "b", "c"])
    put_file(bucket, tmp_path / "other.h5")

    with pytest.raises(DataError, match=r"dataset\.h5 was replaced since this dataset was opened: open it again"):
        batches_of(dataset, "blocks")
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + "dataset.h5")
    with pytest.raises(DataError, match="was removed since this dataset was opened"):
        _ = dataset[20_000]


@every_shuffle
@pytest.mark.parametrize("stay_down", [True, False])
def test_a_server_that_dies_ends_the_loop_and_the_state_continues_it(
    url: str, path: Path, tmp_path: Path, proxy: Proxy, shuffle: Any, stay_down: bool
) -> None:
    dataset = ImageSet(url, cache_dir=tmp_path, cache_bytes=1 << 30 if shuffle is True else 0)
    expected = batches_of(ImageSet(path), shuffle)
    batches = loader(dataset, BATCH, shuffle, threads=1, **SMALL)
    proxy.restore_counts()
    proxy.cut(TO_CLIENT, at=1_800_000, stay_down=stay_down)
    found: list[Any] = []
    if stay_down:
        with pytest.raises(FetchFailed) as caught:
            found.extend(iter(batches))
        message, state = str(caught.value), batches.state_dict()

        assert message.startswith(
            f"batch {len(found) + 1} of {BATCHES} of epoch 0: {url} at 127.0.0.1:{proxy.port} could not"
        )
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in message
        assert state["batch"] == len(found)
        assert len(found) > 0 or shuffle is True
        proxy.restore()
        batches = loader(pickle.loads(pickle.dumps(dataset)), BATCH, shuffle, threads=1, **SMALL)
        batches.load_state_dict(state)
    found.extend(batches)

    require_same(found, expected)
    assert proxy.injected or stay_down


def test_what_fails_while_the_header_is_read_is_said(url: str, tmp_path: Path, proxy: Proxy) -> None:
    proxy.cut(TO_CLIENT, at=2_000)

    with pytest.raises(FetchFailed, match=r"dataset\.h5 at 127\.0\.0\.1:\d+ could not be read \(error"):
        ImageSet(url, cache_dir=tmp_path)


def test_what_fails_while_hdf5_reads_is_said(url: str, tmp_path: Path, proxy: Proxy) -> None:
    dataset = ImageSet(url, "test", cache_dir=tmp_path, cache_bytes=0)
    proxy.restore_counts()
    proxy.cut(TO_CLIENT, at=1_200_000)

    with pytest.raises(FetchFailed, match="could not be read"):
        _ = dataset.columns  # of both ends of the file: HDF5 is in the middle


def test_a_forked_process_says_what_to_use(url: str, tmp_path: Path) -> None:
    """So does a worker of DataLoader, which is not used here: it takes five seconds to end."""
    dataset = ImageSet(url, cache_dir=tmp_path, cache_bytes=0)
    receiving, sending = os.pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            dataset[0]
        except DataError as error:
            os.write(sending, str(error).encode())
        finally:
            os._exit(0)
    os.close(sending)
    os.waitpid(child, 0)
    with open(receiving, encoding="utf-8") as pipe:
        said = pipe.read()

    assert "cannot be read in a forked process: open the dataset in the process that reads it" in said


def test_a_compressed_file_has_to_be_copied_first(bucket: Bucket, tmp_path: Path) -> None:
    write(tmp_path / "gzip.h5", compression="gzip")
    url = put_file(bucket, tmp_path / "gzip.h5")

    with pytest.raises(DataError, match=r"is compressed, and .* copy it first \(`aws s3 cp`, or `dvc pull`\)"):
        ImageSet(url, cache_dir=tmp_path)


def test_what_is_no_dataset_is_refused(bucket: Bucket, path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    for body, problem in (
        (b"", "is not a file of format imageset-dataset, or it is damaged"),
        (b"no HDF5" * 100, "is not a file of format imageset-dataset, or it is damaged"),
        (content[: len(content) // 2], r"is damaged \(.*\): put it there again"),
        (content[:200] + bytes(400) + content[600:], r"is damaged \(.*\): put it there again"),
    ):
        put(bucket, "wrong.h5", body)
        with pytest.raises(DataError, match=problem):
            ImageSet(f"s3://{bucket.name}/{bucket.prefix}wrong.h5", cache_dir=tmp_path)


def test_flipped_bits_in_the_bucket_are_found_by_verify(bucket: Bucket, path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    put(bucket, "flipped.h5", bytes(content))

    with pytest.raises(DataError, match="does not hold what its content_digest says: put it there again"):
        ImageSet(f"s3://{bucket.name}/{bucket.prefix}flipped.h5", verify=True, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "secret-word"}, r"\(status code: 403\): check AWS_ACCESS_KEY_ID and"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, r"\(error sending request\): start the server again, or correct"),
        ({"AWS_ENDPOINT_URL": "http://a:secret-word@127.0.0.1:9"}, "AWS_ENDPOINT_URL has a user, a password or"),
    ],
)
def test_wrong_settings_are_said_without_secrets(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], problem: str
) -> None:
    monkeypatch.setattr(bucket_file, "RETRIES", 1)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ImagesetError, match=problem) as caught:
        ImageSet(url, cache_dir=tmp_path)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("<Code>AuthorizationHeaderMalformed</Code>", "set AWS_REGION to the bucket's region"),
        ("Received redirect without LOCATION, this normally indicates an incorrectly configured region", "set AWS_REG"),
        ("<Code>ExpiredToken</Code>", "check AWS_SESSION_TOKEN, which may have expired, and this machine's clock"),
        ("<Code>RequestTimeTooSkewed</Code>", "check AWS_SESSION_TOKEN, which may have expired, and this machine's cl"),
        ("<Code>AccessDenied</Code>", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("operation timed out", "start the server again, or correct AWS_ENDPOINT_URL"),
    ],
)
def test_what_amazon_answers_has_a_remedy(monkeypatch: pytest.MonkeyPatch, text: str, hint: str) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)

    assert bucket_file.explain(Exception(text))[1].startswith(hint)


def test_a_relative_cache_is_where_it_was_after_another_folder_is_entered(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = ImageSet(url, cache_dir="cache")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for opened in (dataset, pickle.loads(pickle.dumps(dataset))):
        _ = opened[0]

    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and any(path.iterdir())] == ["cache"]


def test_the_provenance_of_an_open_dataset_is_asked_of_its_server(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket_name, _, key = url.removeprefix("s3://").partition("/")
    place = Place(bucket_name, key, os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    dataset = ImageSet(place, cache_dir=tmp_path)

    assert provenance(dataset)["content_digest"] == dataset.content_digest


def test_urls_and_keys_that_name_nothing(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.h5 is missing: check the bucket and the key"):
        ImageSet(url.replace("dataset.h5", "none.h5"), cache_dir=tmp_path)
    with pytest.raises(ValueError, match=r"names no object: write s3://bucket/prefix/dataset\.h5"):
        ImageSet("s3://bucket")
    with pytest.raises(ValueError, match="cache_bytes is -1, it must be 0 or more"):
        ImageSet(url, cache_bytes=-1)


def test_without_obstore_it_says_how_to_install_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(ImportError, match=r"a bucket is read through obstore: pip install .obstore>=0\.12,<1. pyyaml"):
        ImageSet(url)


def test_a_damaged_cache_is_not_used(url: str, path: Path, tmp_path: Path) -> None:
    list(loader(ImageSet(url, cache_dir=tmp_path), BATCH))
    (data,) = tmp_path.glob("*.data")
    with data.open("r+b") as file:
        for place in range(0, data.stat().st_size, GRAIN_BYTES // 2):
            file.seek(place)
            file.write(b"\xaa")

    require_same(batches_of(ImageSet(url, cache_dir=tmp_path), "blocks"), batches_of(ImageSet(path), "blocks"))


def test_a_cache_that_cannot_be_made_is_said(url: str, path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match=r"Not a directory; from now on nothing is kept there, but read from the"):
        dataset = ImageSet(url, cache_dir=tmp_path / "file/cache")

    require_same(batches_of(dataset, "blocks"), batches_of(ImageSet(path), "blocks"))
