"""Which files of DVC's cache and of the bucket a takedown finds, where no run has recorded them as usual."""

import hashlib
import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from imageset.errors import ServerError
from imageset.formats import hdf5, source_ids, tables
from imageset.page.assemble import assemble
from imageset.storage.bucket import Bucket, list_objects, open_bucket
from tests import dataset_files
from tests.conftest import put
from tests.project import ROOT
from tests.storage.test_bulk import Wire
from tools.forget import caches, objects, working_files

IDS = frozenset([12])
TEMPLATES = ROOT / "stages/templates/page"
REPORT = assemble(TEMPLATES, {"photos": {"product_id": ["120", "7"]}}, {}).encode()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The DVC cache of a git repository in which nothing was committed."""
    monkeypatch.chdir(tmp_path)
    in_git("init", "--quiet", "--initial-branch=main")
    return tmp_path / ".dvc/cache"


def in_git(*command: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *author, *command], check=True, capture_output=True)


def keep(cache: Path, content: bytes, name: str = "") -> Path:
    """Put a file into the cache, under its md5 or another name."""
    md5 = hashlib.md5(content).hexdigest()
    path = cache / "files/md5" / md5[:2] / (name or md5[2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def md5_of(path: Path) -> str:
    return path.parent.name + path.name


def write_hdf5(ids: list[int], kind: str = hdf5.DATASET) -> bytes:
    path = Path("some.h5")
    with h5py.File(path, "w") as file:
        file.attrs["format"] = kind
        file["ids"] = ids
        file["images"] = np.zeros(4000, np.uint8)
    content = path.read_bytes()
    path.unlink()
    return content


def lock(dependencies: dict[str, Path], outputs: dict[str, Path]) -> str:
    """Return a dvc.lock, which JSON is as well."""
    files = {
        kind: [{"path": name, "md5": md5_of(path)} for name, path in named.items()]
        for kind, named in (("deps", dependencies), ("outs", outputs))
    }
    return json.dumps({"schema": "2.0", "stages": {"report": files}})


def test_a_report_that_no_run_has_recorded_is_taken_to_show_the_product(cache: Path) -> None:
    """Git forgets a dvc.lock that was not committed, and the run cache may be cleared."""
    page = keep(cache, REPORT)
    keep(cache, b"<!DOCTYPE html>\n<title>of another project</title>")

    assert working_files.find_cached(cache, IDS) == [page]


def test_a_recorded_report_is_kept_where_what_it_was_made_of_does_not_hold_the_product(cache: Path) -> None:
    page, without = keep(cache, REPORT), keep(cache, write_hdf5([120, 1]))
    Path("dvc.lock").write_text(lock({"data/dataset.h5": without}, {"data/report.html": page}))

    assert working_files.find_cached(cache, IDS) == []

    holding = keep(cache, write_hdf5([12]))
    Path("dvc.lock").write_text(lock({"data/dataset.h5": holding}, {"data/report.html": page}))

    assert working_files.find_cached(cache, IDS) == [page, holding]


def test_a_page_that_names_the_product_holds_it_whatever_it_was_made_of(cache: Path) -> None:
    """Such as a photo whose bytes never came: only tables of the marketplace name it, and those stay."""
    named = assemble(TEMPLATES, {"photos": {"product_id": ["7", "12"]}}, {}).encode()
    page, without, other = keep(cache, named), keep(cache, write_hdf5([120])), keep(cache, REPORT)
    Path("dvc.lock").write_text(lock({"data/dataset.h5": without}, {"data/report.html": page, "data/x.html": other}))

    assert working_files.find_cached(cache, IDS) == [page]

    Path("dvc.yaml").write_text("stages: {page: {deps: [data/ingest.csv], outs: [data/report.html]}}")
    Path("data").mkdir()
    Path("data/ingest.csv").write_text("key,product_id,position,status,reason\n12.jpeg,12,0,rejected,not_found\n")
    Path("data/report.html").write_bytes(named)
    assert working_files.find_outputs(IDS) == [Path("data/report.html")]

    Path("data/report.html").write_bytes(REPORT)
    assert working_files.find_outputs(IDS) == []


@pytest.mark.parametrize(
    "its_id", ["3f2504e0-4f89-41d3-9a0c-0305e82c3301", 'a], "b\\', "</script>", "שמלה", "7.0", "=1+1"]
)
def test_a_product_is_found_by_the_id_that_the_source_gives_it(its_id: str, cache: Path) -> None:
    ids = frozenset([source_ids.number(its_id)])
    others = ["7", f"{its_id}0", "a]"]
    found, paths = [], []
    for named in ([*others, its_id], others):
        page = assemble(TEMPLATES, {"photos": {"product_id": named}}, {}).encode()
        tables.write(Path("split.csv"), tables.SPLIT, tables.frame(tables.SPLIT, [(one, 0, "train") for one in named]))
        paths += [
            keep(cache, page),
            keep(cache, Path("split.csv").read_bytes()),
            keep(cache, write_hdf5([source_ids.number(one) for one in named])),
        ]
        found.append(
            [
                working_files.holds(path, f"x{suffix}", ids)
                for path, suffix in zip(paths[-3:], (".html", ".csv", ".h5"), strict=True)
            ]
        )

    assert found == [[True] * 3, [None, False, False]]


@pytest.mark.parametrize(("product_id", "answer"), [(1_000_002, True), (999, False)])
def test_a_dataset_with_text_ids_and_columns_is_searched_by_its_numbers(
    product_id: int, answer: bool, tmp_path: Path
) -> None:
    path = tmp_path / "dataset.h5"
    arrays = dataset_files.write(path)
    with h5py.File(path, "r+") as file:
        for subset in ("train", "test"):
            texts = ["999"] * len(arrays[f"{subset}_ids"])
            hdf5.add_text(file, f"{subset}_source_ids", texts)
            hdf5.add_text(file, f"{subset}_column_shop_ids", texts)

    assert working_files.holds(path, "data/dataset.h5", frozenset([product_id])) is answer


@pytest.mark.parametrize("name", ["attributes", "listing_groups"])
def test_what_the_source_says_of_a_product_stays(name: str, cache: Path) -> None:
    Path("data").mkdir()
    Path("dvc.yaml").write_text(f"stages: {{listings: {{outs: [data/{name}.csv, data/rejects.csv]}}}}")
    for path in (f"data/{name}.csv", "data/rejects.csv"):
        Path(path).write_text("product_id,value\n12,x\n")

    assert working_files.find_outputs(IDS) == [Path("data/rejects.csv")]


def test_a_branch_of_which_a_merge_kept_nothing_is_searched(cache: Path) -> None:
    holding, page = keep(cache, write_hdf5([12])), keep(cache, b"a page")
    lock_file = Path("dvc.lock")
    for branch, text in (("main", "{}"), ("side", lock({"data/x.h5": holding}, {"data/report.html": page}))):
        in_git("switch", "--quiet", *(["--create", branch] if branch == "side" else ["--orphan", branch]))
        lock_file.write_text(text)
        in_git("add", "--all", "--", "dvc.lock")
        in_git("commit", "--quiet", "-m", branch)
    in_git("switch", "--quiet", "main")
    in_git("merge", "--quiet", "--no-ff", "--strategy=ours", "-m", "nothing of it", "side")
    in_git("branch", "--delete", "side")
    in_git("reflog", "expire", "--expire=now", "--all")

    assert working_files.find_cached(cache, IDS) == [page, holding]


def test_damaged_and_unfinished_files_are_taken_to_hold_the_product(cache: Path) -> None:
    whole = write_hdf5([7])
    damaged = keep(cache, whole[:3000])
    unfinished = keep(cache, whole[:2000], ".cPmZ0.tmp")
    Path("dvc.lock").write_text(lock({}, {"data/dataset.h5": damaged}))

    assert set(working_files.find_cached(cache, IDS)) == {damaged, unfinished}

    Path("dvc.yaml").write_text("stages: {build: {outs: [data/dataset.h5]}}")
    Path("data").mkdir()
    Path("data/dataset.h5").write_bytes(whole[:3000])

    assert working_files.find_outputs(IDS) == [Path("data/dataset.h5")]


@pytest.mark.parametrize("text", ["stages: 2026-13-45", "stages: {report: {outs: [", "stages: {report: 7}", "- report"])
def test_a_lock_that_is_none_says_nothing_of_files(text: str) -> None:
    """A damaged lock, here or in an old commit, does not end a takedown."""
    assert working_files.parse_stages(text) == []


def test_of_files_that_no_run_has_recorded_only_those_of_imageset_are_ours(cache: Path) -> None:
    """Several projects may share a cache."""
    ours = {
        keep(cache, write_hdf5([12], hdf5.EMBEDDINGS)),
        keep(cache, b"product_id,position,subset\n12,0,train\n"),
        keep(cache, b"product_id,position,label,answer,probability\n12,0,1,2,0.9000\n"),
    }
    keep(cache, write_hdf5([12], "another-project"))
    keep(cache, b"product_id,price\n12,3\n")

    assert set(working_files.find_cached(cache, IDS)) == ours


def test_pages_go_before_the_entries_of_the_run_cache_that_name_them(cache: Path) -> None:
    """Else a removal that was killed between the two would leave pages that nothing names."""
    holding, page = keep(cache, write_hdf5([12])), keep(cache, b"a page")
    entry = cache / "runs/ab/abc/def"
    entry.parent.mkdir(parents=True)
    stage = json.loads(lock({"data/dataset.h5": holding}, {"data/page.html": page}))["stages"]["report"]
    entry.write_text(json.dumps(stage))

    assert working_files.find_cached(cache, IDS) == [page, entry, holding]


def test_etags_of_inventories_that_no_run_has_recorded_are_known(cache: Path) -> None:
    """Else rows of a photo that the bucket has lost would stay in the caches."""
    table = tables.frame(
        tables.INVENTORY, [("12.jpeg", 12, 0, "an-old-etag", 9, ""), ("120.jpeg", 120, 0, "no", 9, "")]
    )
    tables.write(Path("inventory.csv"), tables.INVENTORY, table)
    keep(cache, Path("inventory.csv").read_bytes())
    found = caches.read_inventory(working_files.find_inventories(cache), IDS)

    assert [stored.etag for stored in found] == ["an-old-etag"]


class Guard(Wire):
    """A proxy in front of the bucket that refuses the requests that a pattern matches."""

    def __init__(self, endpoint: str, refuses: bytes) -> None:
        super().__init__(endpoint)
        self.refuses = refuses

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if re.match(self.refuses, data):
                    source.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def guard_of(endpoint: str, refuses: bytes) -> Iterator[Guard]:
    with Guard(endpoint, refuses) as guard:
        threading.Thread(target=guard.serve_forever, args=(0.01,), daemon=True).start()
        yield guard
        guard.shutdown()


def test_an_object_that_may_not_be_removed_does_not_keep_the_others(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("12.jpeg", "12-1.jpeg", "12-2.jpeg", "120.jpeg", "1.jpeg"):
        put(bucket, key, b"a photo")
    listed = objects.list_product(bucket, IDS)
    with guard_of(bucket.client.meta.endpoint_url, rb"DELETE [^ ]*/12\.jpeg") as guard:
        monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
        with pytest.raises(ServerError, match="answered 403"):
            objects.remove(open_bucket(), IDS, listed)

    assert sorted(stored.key for stored in list_objects(bucket)) == ["1.jpeg", "12.jpeg", "120.jpeg"]
