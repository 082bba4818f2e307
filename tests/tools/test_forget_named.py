"""tools.forget where listings name photos by the keys of objects that something else has written."""

import secrets
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from imageset.formats import tables
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcomes import PhotoMask
from imageset.storage.bucket import Bucket, list_objects, open_bucket
from tests.conftest import put
from tests.forked import run_python
from tests.project import ROOT
from tools.forget import objects
from tools.forget.named import Keys, find_keys

LISTINGS = [
    (1, 0, "", "hats/1.png"),
    (1, 1, "", "shared.png"),
    (1, 2, "https://h.example/1-2.jpg", ""),
    (2, 0, "", "shared.png"),
    (3, 0, "", "1.jpeg"),  # an object of another system, which is called as imageset calls a photo of product 1
    (4, 0, "", "1-3.jpeg"),
]
ETAG = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def project(in_project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose listings name objects of a bucket by keys, and that bucket, which keeps versions."""
    name = f"named-{secrets.token_hex(4)}"
    bucket.client.create_bucket(Bucket=name)
    bucket.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    monkeypatch.setenv("IMAGE_STORE", f"s3://{name}/shop")
    store = open_bucket()
    for key in ("hats/1.png", "hats/1.png.bak", "shared.png", "1.jpeg", "1-3.jpeg", "1-4.jpeg", "old/1.png"):
        put(store, key, key.encode())
    put(store, "hats/1.png", b"another version")
    store.client.put_object(Bucket=name, Key="shop/1-2.jpeg", Body=b"by ingest", Metadata={"sha256": "0" * 64})
    (in_project / "data").mkdir()
    tables.write(in_project / "data/listings.csv", tables.LISTINGS, tables.frame(tables.LISTINGS, LISTINGS))
    inventory = [(key or f"{one}-{at}.jpeg", one, at, ETAG, 9, "") for one, at, _, key in LISTINGS]
    write_inventory(in_project / "data/inventory.csv", inventory)
    write_inventory(in_project / "earlier.csv", [("old/1.png", 1, 0, ETAG, 9, "")])
    shutil.copy(ROOT / "dvc.yaml", in_project)
    return in_project


def write_inventory(path: Path, rows: list[tuple[str, int, int, str, int, str]]) -> None:
    tables.write(path, tables.INVENTORY, tables.frame(tables.INVENTORY, rows))


def find(*product_ids: int, taken_down: frozenset[int] = frozenset(), may_go: bool = False) -> Keys:
    return find_keys(frozenset(product_ids), [Path("data/inventory.csv"), Path("earlier.csv")], taken_down, may_go)


def keys(versions: list[objects.Version]) -> dict[str, int]:
    found = [version.stored.key for version in versions]
    return {key: found.count(key) for key in sorted(found)}


@pytest.mark.usefixtures("project")
def test_the_keys_of_a_product_are_those_of_its_listings_and_of_inventories() -> None:
    assert find(1) == Keys(
        frozenset({"hats/1.png", "shared.png", "old/1.png"}),
        {"shared.png": 2, "1.jpeg": 3, "1-3.jpeg": 4},
        are_used=True,
        may_go=False,
    )
    assert find(1, taken_down=frozenset([2, 3])).others == {"1-3.jpeg": 4}
    assert find(1, 2, 3, 4).others == {}
    assert find(9) == Keys(frozenset(), {}, are_used=True, may_go=False)


@pytest.mark.usefixtures("project")
def test_objects_that_imageset_did_not_write_stay_unless_they_may_go() -> None:
    bucket = open_bucket()
    kept = objects.list_product(bucket, [1], find(1))

    assert keys(kept.versions) == {"1-2.jpeg": 1}
    assert keys(kept.kept) == {"hats/1.png": 2, "old/1.png": 1, "shared.png": 1}

    gone = objects.list_product(bucket, [1], find(1, may_go=True))

    assert keys(gone.versions) == {"1-2.jpeg": 1, "hats/1.png": 2, "old/1.png": 1}
    assert keys(gone.kept) == {"shared.png": 1}  # not of product 1 alone

    objects.remove(bucket, [1], gone, find(1, may_go=True))

    assert {stored.key for stored in list_objects(bucket)} == {
        "1.jpeg",
        "1-3.jpeg",
        "1-4.jpeg",
        "hats/1.png.bak",
        "shared.png",
    }


@pytest.mark.usefixtures("project")
def test_without_keys_in_the_listings_the_names_decide_whoever_wrote_the_objects() -> None:
    Path("data/listings.csv").unlink()
    Path("data/inventory.csv").unlink()
    keys_of = find_keys(frozenset([1]), [], frozenset(), may_go=False)

    assert keys(objects.list_product(open_bucket(), [1], keys_of).versions) == {
        "1-2.jpeg": 1,
        "1-3.jpeg": 1,
        "1-4.jpeg": 1,
        "1.jpeg": 1,
    }


def forget(project: Path, *arguments: str) -> str:
    done = run_python("tools.forget", *arguments, cwd=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_names_what_stays_and_removes_it_with_consent(project: Path) -> None:
    bucket = open_bucket()
    (first,) = [stored for stored in list_objects(bucket) if stored.key == "hats/1.png"]
    with closing(MaskCache(project / ".cache/masks.sqlite", bucket, "a recipe", 10**6)) as masks:
        masks.add(first, PhotoMask(b"a mask", 1000, 0.5, 0.0, 1, 0.1))
    said = forget(project, "1", "--yes")

    stays = (
        "These objects stay, as imageset did not write them. Delete them yourself, or add --delete-named:\n"
        "  'hats/1.png'\n"
        "These objects stay, as they are photos of other products, too. If they go, name these as well:\n"
        "  'shared.png', of product 2\n"
    )
    assert said.count(stays) == 2  # before, and when all is done
    assert "warning" not in said
    assert "  1 photos, 1 versions and delete markers, from s3://named-" in said
    assert "forget: removed 1 rows from .cache/masks.sqlite" in said
    assert (project / "corrections/takedowns.csv").read_text().startswith("product_id,date\n1,")
    assert not (project / "data/inventory.csv").exists()
    assert {"hats/1.png", "shared.png"} <= {stored.key for stored in list_objects(bucket)}

    said = forget(project, "1", "--yes", "--delete-named")

    assert "  1 photos, 2 versions and delete markers, from s3://named-" in said
    assert "hats" not in said
    assert {stored.key for stored in list_objects(bucket)} == {
        "1.jpeg",
        "1-3.jpeg",
        "1-4.jpeg",
        "hats/1.png.bak",
        "shared.png",
        "old/1.png",
    }


def test_two_products_of_one_object_go_together(project: Path) -> None:
    forget(project, "1", "2", "--yes", "--delete-named")

    assert "shared.png" not in {stored.key for stored in list_objects(open_bucket())}
