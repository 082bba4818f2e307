"""tools.forget on a released project with real servers: nothing of a product is left, killed or not, and what remains
is named with commands that work."""

import datetime
import fcntl
import hashlib
import io
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import yaml

from imageset.curation.candidates import DIGEST_BYTES
from imageset.formats import tables
from imageset.photos.facts import PhotoFacts
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcomes import PhotoMask
from imageset.photos.pixel_cache import PixelCache
from imageset.photos.preprocess import DecodedPhoto, PreparedPhoto
from imageset.storage.bucket import Bucket, StoredObject, get_object, list_objects, open_bucket
from imageset.storage.object_cache import ObjectCache
from imageset.web.refusals import RefusalCache
from tests.conftest import photo_bytes
from tests.faults.trials import ALL
from tests.forked import run_python
from tests.planted import SMALL_IMAGES
from tests.project import PHOTOS, Project
from tests.tools.test_forget_files import guard_of
from tests.tools.test_release import AUTHOR, commands
from tools.forget import __main__ as tool
from tools.forget import remaining, working_files

COMMAND = (sys.executable, "-m", "tools.forget")
TAG = "dataset@v1.0.0"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Released(NamedTuple):
    """A project with a released version, one of its products, and bytes of it that are to be found nowhere."""

    project: Project
    product_id: int
    traces: dict[str, bytes]  # what -> bytes


def use_bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return open_bucket()


def new_bucket(bucket: Bucket, versioned: bool) -> str:
    name = f"forget-{secrets.token_hex(4)}"
    bucket.client.create_bucket(Bucket=name)
    if versioned:
        bucket.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def middle(content: bytes) -> bytes:
    return content[len(content) // 2 - 60 : len(content) // 2 + 60]


@pytest.fixture(scope="module")
def released(project: Project, tmp_path_factory: pytest.TempPathFactory, module_patch: pytest.MonkeyPatch) -> Released:
    """A project with buckets and caches of its own, whose pipeline has run and is released as v1.0.0."""
    folder = tmp_path_factory.mktemp("forget")
    bucket = use_bucket(project.environment, module_patch)
    store, remote = new_bucket(bucket, True), new_bucket(bucket, False)
    environment = project.environment | AUTHOR | {"IMAGE_STORE": f"s3://{store}/shop", "IMAGESET_WORKERS": "1"}
    # Without exports of other tests: tools.forget says that it does not reach these.
    shutil.copytree(project.folder, folder / "project", symlinks=True, ignore=shutil.ignore_patterns("exports"))
    copied = Project(folder / "project", environment)
    for stored in list_objects(bucket):
        bucket.client.put_object(Bucket=store, Key=f"shop/{stored.key}", Body=get_object(bucket, stored))
    copied.succeed("git", "init", "--quiet", "--bare", str(folder / "origin.git"))
    copied.succeed("git", "remote", "add", "origin", str(folder / "origin.git"))
    copied.succeed("dvc", "remote", "modify", "storage", "url", f"s3://{remote}")
    copied.commit("a remote")
    record_earlier_data(copied)
    output = copied.succeed(sys.executable, "-m", "tools.release", "v1.0.0")
    copied.succeed("bash", "-c", commands(output)[0])
    return found(copied, use_bucket(environment, module_patch))


def record_earlier_data(project: Project) -> None:
    """Commit another processed.h5 and go back to this one; leave a third in DVC's cache that no commit names."""
    lock = (project.folder / "dvc.lock").read_text()
    for number in (1, 2):
        other = project.folder / "other.h5"
        shutil.copy(project.folder / "data/processed.h5", other)
        with h5py.File(other, "r+") as file:
            file.attrs["number"] = number
        md5 = hashlib.md5(other.read_bytes()).hexdigest()
        place = project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        place.parent.mkdir(exist_ok=True)
        other.rename(place)
        if number == 1:
            (project.folder / "dvc.lock").write_text(lock.replace(project.md5("data/processed.h5"), md5))
            project.commit("other params")
    (project.folder / "dvc.lock").write_text(lock)
    project.commit("back")


def found(project: Project, bucket: Bucket) -> Released:
    """Choose a product of the dataset, give it more versions and rows of older params, and take its traces."""
    with h5py.File(project.folder / "data/dataset.h5") as file:
        product_id = int(file["train_ids"][0])
    with h5py.File(project.folder / "data/processed.h5") as file:
        pixels = file["images"][list(file["ids"][:]).index(product_id)].tobytes()
    with h5py.File(project.folder / "data/previews.h5") as file:
        place = list(file["ids"][:]).index(product_id)
        preview = file["previews"][file["ends"][place - 1] if place else 0 : file["ends"][place]].tobytes()
    with h5py.File(project.folder / "data/embeddings.h5") as file:
        embedding = file["embeddings"][list(file["ids"][:]).index(product_id)].tobytes()
    digest = digest_thumbnail(project.folder, product_id)
    key = f"{product_id}.jpeg"
    (stored,) = [one for one in list_objects(bucket) if one.key == key]
    first = bucket.client.get_object(Bucket=bucket.name, Key=bucket.prefix + key)["Body"].read()
    second, extra = photo_bytes(77, "hat"), photo_bytes(78, "hat")
    bucket.client.put_object(Bucket=bucket.name, Key=bucket.prefix + key, Body=second)
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.prefix + key)
    bucket.client.put_object(Bucket=bucket.name, Key=bucket.prefix + key, Body=first)
    bucket.client.put_object(Bucket=bucket.name, Key=f"{bucket.prefix}{product_id}-5.jpeg", Body=extra)
    fill_caches(project.folder / ".cache", bucket, stored, extra)
    (project.folder / ".cache/photos.sqlite").write_bytes(extra)
    (project.folder / "data/.processed.h5.tmp").write_bytes(extra)
    traces = {
        "the photo": first,
        "its second version": second,
        "another position": extra,
        "pixels": pixels,
        "its preview": preview,
        "its embedding": embedding,
    }
    found = {what: middle(content) for what, content in traces.items()}
    return Released(project, product_id, found | {"the digest of its thumbnail": digest})


def digest_thumbnail(folder: Path, product_id: int) -> bytes:
    """Return the digest by which the search for near-duplicates knows a product's photo."""
    photos = tables.read(folder / "data/processed.csv", tables.PROCESSED)
    row, phash = photos.loc[photos["product_id"] == product_id, ["row", "phash"]].iloc[0]
    with h5py.File(folder / "data/thumbnails.h5") as file:
        image = file["images"][row].tobytes()
    return hashlib.blake2b(image + np.uint64(int(phash, 16)).tobytes(), digest_size=DIGEST_BYTES).digest()


def fill_caches(folder: Path, bucket: Bucket, stored: StoredObject, extra: bytes) -> None:
    """Add what runs with other params, and a run that ended badly, have left."""
    mask, side = middle(extra), SMALL_IMAGES.image_side
    square, thumbnail = (np.resize(np.frombuffer(extra, np.uint8), (each, each, 1)) for each in (side, 64))
    with closing(MaskCache(folder / "masks.sqlite", bucket, "a recipe of the past", 10**6)) as masks:
        masks.add(stored, PhotoMask(mask, 1000, 0.5, 0.0, 1, 0.1))
    with closing(PixelCache(folder / "pixels.sqlite", bucket, SMALL_IMAGES)) as pixels:
        facts = PhotoFacts(120, 160, "JPEG", 0.6, 130.0, 57.5, 1.3325, "")
        prepared = PreparedPhoto(square, thumbnail, "a" * 64, "0" * 16, "1" * 16)
        pixels.add(stored, mask, DecodedPhoto(facts, b"a preview", prepared))
    with closing(RefusalCache(folder / "ingest.sqlite", "params")) as refusals:
        refusals.remember(stored.key, "http://host/secret-of-a-seller.jpeg", "gone")
    with closing(ObjectCache(folder / "objects", 10**9, bucket)) as cache:
        cache.add(replace(stored, etag="lost"), extra)  # no listing names this object any more
        cache.flush()


def traces(released: Released, folder: Path) -> set[tuple[str, str]]:
    """Return which traces are in which files under a folder."""
    return {
        (what, str(path.relative_to(folder)))
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        for content in [path.read_bytes()]
        for what, trace in (released.traces | {"a URL": b"secret-of-a-seller"}).items()
        if trace in content
    }


@pytest.fixture(scope="module")
def copy_of(released: Released) -> Callable[[Path], Released]:
    """Copy the released project, with a bucket of its own that keeps versions."""

    def copy(folder: Path, versioned: bool = True) -> Released:
        shutil.copytree(released.project.folder, folder, symlinks=True)
        bucket = open_bucket()
        name = new_bucket(bucket, versioned)
        pages = bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name)
        versions = [entry for page in pages for entry in page["Versions"]]
        for entry in sorted(versions, key=lambda entry: entry["IsLatest"]):
            where = {"Bucket": bucket.name, "Key": entry["Key"], "VersionId": entry["VersionId"]}
            body = bucket.client.get_object(**where)["Body"].read()
            bucket.client.put_object(Bucket=name, Key=entry["Key"], Body=body)
        environment = released.project.environment | {"IMAGE_STORE": f"s3://{name}/shop"}
        return released._replace(project=Project(folder, environment))

    return copy


@pytest.fixture
def copied(copy_of: Callable[[Path], Released], tmp_path: Path) -> Released:
    return copy_of(tmp_path / "project")


@pytest.fixture(scope="module")
def forgotten(copy_of: Callable[[Path], Released], tmp_path_factory: pytest.TempPathFactory) -> tuple[Released, str]:
    """A copy whose product was taken down, and what the command printed. Its .env has the keys."""
    copy = copy_of(tmp_path_factory.mktemp("forgotten") / "project")
    (copy.project.folder / ".env").write_text("".join(f"{name}={copy.project.environment[name]}\n" for name in KEYS))
    return copy, copy.project.succeed(*COMMAND, str(copy.product_id), "--yes")


def keys_in_bucket(released: Released) -> list[str]:
    """Return the keys of all versions and delete markers in a project's bucket, without the prefix."""
    client, name = open_bucket().client, released.project.environment["IMAGE_STORE"].split("/")[2]
    answer = client.list_object_versions(Bucket=name)
    return [entry["Key"].partition("/")[2] for kind in ("Versions", "DeleteMarkers") for entry in answer.get(kind, [])]


def is_of(key: str, product_id: int) -> bool:
    return key.startswith((f"{product_id}.", f"{product_id}-"))


def read_ids(path: Path) -> set[int]:
    with h5py.File(path) as file:
        return {int(one) for name in ("train_ids", "test_ids") for one in file[name]}


# What is removed


def test_the_traces_are_where_photos_are_kept(released: Released) -> None:
    """Else it would prove nothing that they are nowhere afterwards."""
    places: dict[str, set[str]] = {}
    for what, name in traces(released, released.project.folder):
        if "tests" not in name:
            places.setdefault(what, set()).add(re.sub("[0-9a-f]{8,}|md5/..", "*", name))

    assert places == {
        "the photo": {".cache/objects/*.pack"},
        "another position": {
            ".cache/masks.sqlite",
            ".cache/pixels.sqlite",
            ".cache/objects/*.pack",
            ".cache/photos.sqlite",
            "data/.processed.h5.tmp",
        },
        "pixels": {".cache/pixels.sqlite", ".dvc/cache/files/*/*", "data/dataset.h5", "data/processed.h5"},
        "its preview": {".cache/pixels.sqlite", ".dvc/cache/files/*/*", "data/previews.h5"},
        "its embedding": {".cache/embeddings.sqlite", ".dvc/cache/files/*/*", "data/embeddings.h5"},
        "a URL": {".cache/ingest.sqlite"},
        "the digest of its thumbnail": {".cache/near_duplicates/digests.npy"},
    }
    assert len([key for key in keys_in_bucket(released) if is_of(key, released.product_id)]) == 5


def test_no_byte_of_the_product_is_left(forgotten: tuple[Released, str]) -> None:
    copy, said = forgotten
    keys = keys_in_bucket(copy)

    assert [place for place in traces(copy, copy.project.folder) if "tests" not in place[1]] == []
    assert [key for key in keys if is_of(key, copy.product_id)] == []
    assert len(keys) == sum(PHOTOS.values()) - 1
    assert read_takedowns(copy) == f"product_id,date\n{copy.product_id},{datetime.date.today().isoformat()}\n"
    assert "2 photos, 4 versions and delete markers, from s3://forget-" in said
    assert "removed 2 rows from .cache/masks.sqlite" in said
    assert "removed 1 rows from .cache/embeddings.sqlite" in said
    assert "removed 2 rows from .cache/pixels.sqlite" in said
    assert "removed 1 rows from .cache/ingest.sqlite" in said
    assert "removed .cache/near_duplicates: its rows name no photo" in said


def read_takedowns(released: Released) -> str:
    return (released.project.folder / "corrections/takedowns.csv").read_text()


def test_the_database_s_tables_and_the_weights_are_kept(forgotten: tuple[Released, str]) -> None:
    folder = forgotten[0].project.folder

    for name in (
        "data/listings.csv",
        "data/labels.csv",
        "data/classes.csv",
        "models/background.onnx",
        "data/ingest.csv",
    ):
        assert (folder / name).exists()


def test_a_second_run_has_nothing_left_to_do(forgotten: tuple[Released, str]) -> None:
    copy, _ = forgotten
    before = read_takedowns(copy)
    said = copy.project.succeed(*COMMAND, str(copy.product_id), "--yes")

    assert "0 photos, 0 versions and delete markers" in said
    assert "warning" not in said
    assert "removed 0 files here and 0 in DVC's cache" in said
    assert read_takedowns(copy) == before


def test_every_hdf5_output_says_which_products_it_holds(released: Released) -> None:
    """Else a takedown would not find the product in it."""
    folder = released.project.folder / "data"
    files = sorted(folder.glob("*.h5"))
    ids = frozenset([released.product_id])

    assert len(files) >= 5
    assert [path.name for path in files if working_files.holds(path, path.name, ids) is None] == []


def test_masks_of_other_photos_are_kept_that_only_masks_h5_has(copied: Released) -> None:
    """As where another machine made them."""
    (copied.project.folder / ".cache/masks.sqlite").unlink()
    copied.project.succeed(*COMMAND, str(copied.product_id), "--yes")
    with closing(sqlite3.connect(copied.project.folder / ".cache/masks.sqlite")) as database:
        rows = database.execute("SELECT count(*) FROM masks WHERE reason IS NULL").fetchone()

    assert rows == (sum(PHOTOS.values()) - 1,)


def answer_with(answer: str, released: Released) -> subprocess.CompletedProcess[str]:
    """Run the command without --yes, with an answer on its standard input."""
    folder, environment = released.project.folder, released.project.environment
    arguments = ("tools.forget", released.product_id)
    return run_python(*arguments, cwd=folder, environment=environment, text=answer, alone=True)


def test_a_bucket_without_versions_is_emptied_of_the_product(copy_of: Callable[..., Released], tmp_path: Path) -> None:
    copy = copy_of(tmp_path / "project", versioned=False)
    done = answer_with("y\n", copy)

    assert done.returncode == 0, done.stderr
    assert [place for place in traces(copy, copy.project.folder) if "tests" not in place[1]] == []
    assert len(keys_in_bucket(copy)) == sum(PHOTOS.values()) - 1
    assert [key for key in keys_in_bucket(copy) if is_of(key, copy.product_id)] == []


KILLS = (  # in the order of the command
    ("os.rename corrections/", 1),
    ("sqlite3.connect .cache/pixels.sqlite", 1),
    ("sqlite3.connect .cache/ingest.sqlite", 1),
    (".pack", 1),
    ("http.client.send b'DELETE'", 1),
    ("http.client.send b'DELETE'", 3),
    ("/files/md5/", 1),
    ("/files/md5/", 12),
    ("os.remove data/", 1),
    ("os.remove data/", 9),
)


@pytest.mark.sampled
def test_a_run_finishes_what_killed_ones_left(copied: Released) -> None:
    """Killed just before it replaces a file, opens a cache, removes a pack, an object or a file.

    Each run goes on where the one before was killed, so what that had forgotten too early stays forgotten.
    """
    project = copied.project
    for event, number in KILLS if ALL else KILLS[::3]:
        arguments = ("tests.tools.killed_forget", event, number, copied.product_id, "--yes")
        killed = run_python(*arguments, cwd=project.folder, environment=project.environment, alone=True)

        assert killed.returncode == -signal.SIGKILL, f"{event} {number}: {killed.stdout}{killed.stderr}"

    project.succeed(*COMMAND, str(copied.product_id), "--yes")

    assert [place for place in traces(copied, project.folder) if "tests" not in place[1]] == []
    assert [key for key in keys_in_bucket(copied) if is_of(key, copied.product_id)] == []
    assert read_takedowns(copied).count("\n") == 2
    assert not (project.folder / "data/report.html").exists()


# Asking, and what is refused


def state(released: Released) -> dict[str, bytes]:
    """Return all files but those of git, DVC's locks and Python."""
    folder = released.project.folder
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not re.search(r"/\.git/|/\.dvc/tmp|\.lock$|\.pyc$|-shm$|-wal$|\.setup$", str(path))
    }


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), (" YES\n", True), ("n\n", False), ("\n", False)])
def test_only_a_yes_is_a_yes(answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))

    assert tool.confirm() is goes_on


@pytest.mark.parametrize("answer", ["no\n", ""])
def test_nothing_is_removed_without_a_yes(answer: str, released: Released) -> None:
    before, objects = state(released), keys_in_bucket(released)
    done = answer_with(answer, released)

    assert done.returncode == 1
    assert "Remove all this? It cannot be undone. [y/N] forget: nothing was removed" in done.stdout
    assert state(released) == before
    assert keys_in_bucket(released) == objects


def test_a_product_that_nobody_knows_is_taken_down_with_a_warning(copied: Released) -> None:
    before = state(copied)
    said = copied.project.succeed(*COMMAND, "999", "--yes")
    changed = {name for name, content in state(copied).items() if before[name] != content}

    assert "warning: nothing here knows product 999: is the id right?" in said
    assert "\n999," in read_takedowns(copied)
    assert changed == {"corrections/takedowns.csv"} | {name for name in changed if name.endswith(".sqlite")}
    assert len(keys_in_bucket(copied)) == sum(PHOTOS.values()) + 3
    assert "No released version holds it." in said


def test_a_bucket_that_does_not_show_versions_is_an_error_after_all_else_is_done(copied: Released) -> None:
    with guard_of(copied.project.environment["AWS_ENDPOINT_URL"], rb"GET [^ ]*[?&]versions") as guard:
        done = copied.project.run(*COMMAND, str(copied.product_id), "--yes", AWS_ENDPOINT_URL=guard.url)

    assert done.returncode == 1
    assert re.search(r"\nforget: s3://.* does not let these credentials list versions, .* s3:ListBucketV", done.stderr)
    assert re.search("removed [12][0-9] files here", done.stdout)

    copied.project.succeed(*COMMAND, str(copied.product_id), "--yes")

    assert [key for key in keys_in_bucket(copied) if is_of(key, copied.product_id)] == []


def break_takedowns(released: Released) -> None:
    (released.project.folder / "corrections/takedowns.csv").write_text("product_id,date\n12,yesterday\n")


def break_cache(released: Released) -> None:
    (released.project.folder / ".cache/masks.sqlite").write_bytes(b"<html>not found</html>" * 2000)


@pytest.mark.parametrize(
    ("spoil", "arguments", "problem"),
    [
        (
            break_takedowns,
            (),
            r"forget: corrections/takedowns\.csv line 2: date 'yesterday': .*",
        ),
        (break_cache, (), r"forget: .*masks\.sqlite: .*; it may be removed: it is a cache"),
        (None, ("12", "--no-such-option"), r".*unrecognized arguments: --no-such-option"),
        (None, ("1\t2",), r".*'1\\t2' is no product's id, such as 1234567 or SKU-7"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    spoil: Callable[[Released], None] | None, arguments: tuple[str, ...], problem: str, copied: Released
) -> None:
    if spoil:
        spoil(copied)
    done = copied.project.run(*COMMAND, *arguments or [str(copied.product_id)], "--yes")
    lines = [line for line in done.stderr.splitlines() if line and " of " not in line and "usage" not in line]

    assert done.returncode == (2 if arguments else 1)
    assert re.fullmatch(problem, lines[-1])
    assert len(keys_in_bucket(copied)) == sum(PHOTOS.values()) + 3


def test_while_a_stage_runs_nothing_is_removed(copied: Released) -> None:
    with (copied.project.folder / ".cache/masks.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = copied.project.run(*COMMAND, str(copied.product_id), "--yes")

    assert done.returncode == 1
    assert "forget: another run is active" in done.stderr
    assert read_takedowns(copied) == "product_id,date\n"


# What remains


@pytest.fixture
def again(forgotten: tuple[Released, str], tmp_path: Path) -> Project:
    """A copy of the project that has forgotten, with an origin of its own. Its keys are in .env alone."""
    shutil.copytree(forgotten[0].project.folder, tmp_path / "project", symlinks=True)
    environment = forgotten[0].project.environment
    project = Project(tmp_path / "project", {name: environment[name] for name in environment if name not in KEYS})
    project.succeed(
        "git",
        "clone",
        "--quiet",
        "--bare",
        project.succeed("git", "remote", "get-url", "origin").strip(),
        str(tmp_path / "origin.git"),
    )
    project.succeed("git", "remote", "set-url", "origin", str(tmp_path / "origin.git"))
    return project


def objects_in_remote(project: Project) -> set[str]:
    """Return the md5 of all files in the project's DVC remote."""
    client, name = open_bucket().client, project.succeed("dvc", "config", "remote.storage.url").strip().split("/")[2]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix="files/md5/")
    return {entry["Key"][-33:].replace("/", "") for page in pages for entry in page.get("Contents", [])}


def sums_at(project: Project, revision: str) -> dict[str, str]:
    lock = yaml.safe_load(project.succeed("git", "show", f"{revision}:dvc.lock"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def test_the_printed_commands_remake_and_delete_what_holds_the_product(
    released: Released, forgotten: tuple[Released, str], again: Project, tmp_path: Path
) -> None:
    copy, said = forgotten
    before = sums_at(again, TAG)
    [holding] = [line for line in said.splitlines() if " holds it" in line]
    blocks = re.findall(r"(?:^    .+\n)+", said, re.MULTILINE)
    make_again, remake, delete, collect = blocks[-4:]

    assert holding == f"{TAG} holds it."
    assert {before["data/dataset.h5"], before["data/masks.h5"]} <= objects_in_remote(again)

    again.paste(make_again)

    assert copy.product_id not in read_ids(again.folder / "data/dataset.h5")
    ingested = tables.read(again.folder / "data/ingest.csv", tables.INGEST).set_index("product_id")
    assert ingested.loc[copy.product_id, "reason"] == "taken_down"

    *steps, release = remake.splitlines()
    again.paste("\n".join(steps))
    output = again.paste(release.replace("<a higher version>", "v1.0.1"))
    again.paste(commands(output)[0])
    again.succeed("git", "switch", "--quiet", "main")
    again.succeed("dvc", "checkout", "--quiet")
    again.paste(delete)
    again.paste(collect)
    left = objects_in_remote(again)
    new = sums_at(again, "dataset@v1.0.1")

    assert again.succeed("git", "tag", "--list") == "dataset@v1.0.1\n"
    assert TAG not in again.succeed("git", "ls-remote", "origin")
    assert {before[name] for name in ("data/dataset.h5", "data/masks.h5", "data/processed.h5")} & left == set()
    assert new["data/dataset.h5"] in left
    with_keys = {name: released.project.environment[name] for name in KEYS}
    get = ("dvc", "get", ".", "data/dataset.h5", "--rev", "dataset@v1.0.1", "--out", str(tmp_path / "new.h5"))
    again.succeed(*get, **with_keys)
    assert copy.product_id not in read_ids(tmp_path / "new.h5")
    absent = (sys.executable, "-m", "tools.verify", "data/dataset.h5", "--absent", str(copy.product_id), "--reference")
    assert "absent_by_pixels        passed" in again.succeed(
        *absent, str(released.project.folder / "data/processed.h5")
    )
    assert f"products {copy.product_id}\n" in again.succeed(*COMMAND, str(copy.product_id), "--yes")


@pytest.mark.parametrize(
    ("file", "begins"),
    [
        (None, "dvc push"),
        ("project/.env", "dotenv run -- dvc push"),
        (".env", "dotenv --file '{folder}/.env' run -- dvc push"),  # a project in a folder of its repository
    ],
)
def test_a_printed_command_takes_the_keys_from_the_env_file_that_the_settings_are_of(
    file: str | None, begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a shop"
    (folder / "project").mkdir(parents=True)
    monkeypatch.chdir(folder / "project")
    if file is not None:
        (folder / file).write_text("AWS_ACCESS_KEY_ID=key\n")

    assert remaining.with_keys("dvc push") == begins.format(folder=folder)


def test_what_cannot_be_reached_is_named(forgotten: tuple[Released, str]) -> None:
    assert forgotten[1].endswith(remaining.UNREACHABLE)
    assert "clones and forks" in remaining.UNREACHABLE


def in_git(folder: Path, *command: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *author, *command], cwd=folder, check=True, capture_output=True)


def test_versions_are_asked_for_the_product_by_what_git_has_where_their_data_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    in_git(tmp_path, "init", "--quiet")
    for name in ("releases", "corrections"):
        (tmp_path / name).mkdir()

    def tag(version: str, products: list[int], taken_down: list[int] | None) -> None:
        knows = taken_down is not None
        (tmp_path / "dvc.yaml").write_text(f"deps: [{remaining.TAKEDOWNS if knows else 'data/listings.csv'}]\n")
        rows = [(product, 0, "test") for product in products]
        tables.write(tmp_path / "releases/split.csv", tables.SPLIT, tables.frame(tables.SPLIT, rows))
        if knows:
            lines = "".join(f"{product},2026-01-31\n" for product in taken_down or [])
            (tmp_path / remaining.TAKEDOWNS).write_text(f"product_id,date\n{lines}")
        in_git(tmp_path, "add", "--all")
        in_git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", version)
        in_git(tmp_path, "tag", "-a", f"dataset@{version}", "-m", version)

    tag("v0.9.0", [5, 6], None)
    tag("v0.10.0", [6, 7], [])
    tag("v1.0.0", [5, 6], [])
    tag("v1.1.0", [5, 6], [5])
    in_git(tmp_path, "tag", "unrelated")

    assert remaining.find_releases(frozenset([5]), None) == [
        ("dataset@v0.9.0", None, False),
        ("dataset@v0.10.0", False, True),
        ("dataset@v1.0.0", None, True),
        ("dataset@v1.1.0", False, True),
    ]
    said = remaining.describe_releases(remaining.find_releases(frozenset([5]), None), "main", False)

    assert "dataset@v0.9.0 may hold it.\n  It cannot be remade: its code knows no takedowns." in said
    assert "dataset@v1.0.0 may hold it.\n  Remake it without the product" in said
    assert "git push" not in said


def test_photos_of_other_products_that_look_alike_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = [(f"{product}.jpeg", product, 0, etag, 9, "") for product, etag in ((1, "a"), (2, "b"), (3, "a"))]
    tables.write(tool.INVENTORY, tables.INVENTORY, tables.frame(tables.INVENTORY, stored))
    pairs = [(1, 0, 2, 0, "0.97"), (3, 0, 4, 1, "0.99")]
    tables.write(tool.NEAR_DUPLICATES, tables.NEAR_DUPLICATES, tables.frame(tables.NEAR_DUPLICATES, pairs))

    assert tool.find_alike(frozenset([1])) == [
        "2 (position 0) looks like 1, likeness 0.97",
        "3 (position 0) has the bytes of 1",
    ]
    assert tool.find_alike(frozenset([4])) == ["3 (position 0) looks like 4, likeness 0.99"]

    tool.INVENTORY.write_text("damaged")
    tool.NEAR_DUPLICATES.unlink()

    assert tool.find_alike(frozenset([1])) == []


def test_rows_of_corrections_that_name_the_product_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections/labels.csv").write_text("product_id,position,catalog_id,note\n5,,7,\n6,,7,see the photo\n")
    (tmp_path / "corrections/exclusions.csv").write_text("wrong,header\n")

    assert list(tool.find_corrections(frozenset([6]))) == ["corrections/labels.csv line 3"]
