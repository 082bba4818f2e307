"""Work on a Dask cluster, with real schedulers and workers in processes of their own."""

import hashlib
import os
import pickle
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.client import FutureCancelledError
from PIL import Image

from imageset.curation import candidates, near_duplicates, search_pool
from imageset.curation.views import VIEWS
from imageset.errors import ImagesetError, ServerError
from imageset.formats import tables
from imageset.photos import background
from imageset.photos.embedding_cache import EmbeddingCache
from imageset.photos.engines import Network
from imageset.photos.mask_cache import MaskCache
from imageset.photos.outcomes import PhotoEmbedding, PhotoMask, Rejected
from imageset.photos.pixel_cache import PixelCache
from imageset.runtime import files
from imageset.storage.bucket import Bucket, StoredObject, list_objects
from imageset.workers import dask_cluster
from imageset.workers.carried_file import carry_file
from imageset.workers.dask_cluster import connect_workers
from imageset.workers.ordered_map import Lost, ordered_map
from sandbox import draw
from sandbox.cluster import Cluster, running
from stages import embed, inventory, masks, preprocess
from tests.conftest import photo_bytes, put
from tests.curation.test_search_cache import EVERY, know, search
from tests.faults.proxy import Proxy
from tests.photos.test_engines import write_quantized
from tests.project import ROOT
from tests.workers import tasks

PHOTOS = 24  # three batches of masks
MASKS = ("data/masks.h5", "data/masks.csv")
EMBEDDINGS = "data/embeddings.h5"
OUTPUTS = (
    "data/processed.h5",
    "data/thumbnails.h5",
    "data/processed.csv",
    "data/rejects.csv",
    "data/photos.csv",
    "data/previews.h5",
)

Edit = Callable[[str, str], None]


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers without settings, each with a nanny, as Dask starts them unless told otherwise."""
    with running(tmp_path_factory.mktemp("dask"), 2, 0, {"PYTHONPATH": str(ROOT)}, nannies=True) as cluster:
        yield cluster


def test_results_come_in_order_and_an_item_that_crashes_loses_only_its_own_result(dask: Cluster) -> None:
    chunks: list[list[Any]] = [[1, 2], [], [3, "segfault", 4], *([number] for number in range(5, 30))]
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        results = list(ordered_map(pool, tasks.work, chunks))

    assert results == [[10, 20], [], [30, Lost("crash"), 40], *([number * 10] for number in range(5, 30))]


def test_under_a_nanny_an_item_that_hangs_or_takes_too_much_memory_does_so_alone(dask: Cluster) -> None:
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        results = list(ordered_map(pool, tasks.work, [[1, "hang", 2], [3]]))
        with pytest.raises(MemoryError):
            list(ordered_map(pool, tasks.work, [["eat"]]))

    assert results == [[10, Lost("timeout"), 20], [30]]


def test_the_processes_do_not_have_the_nannys_setting_of_malloc(dask: Cluster) -> None:
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        client: Any = pool.client  # not typed
        (found,) = pool.submit(tasks.variables, ["MALLOC_TRIM_THRESHOLD_"]).result()
        of_nannies = client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_", nanny=True)

    assert found is None
    assert all(of_nannies.values())


def test_a_nanny_starts_its_worker_again_and_the_process_beside_it_ends_with_it(dask: Cluster) -> None:
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        client: Any = pool.client  # not typed
        ((beside, worker),) = pool.submit(tasks.own_pids, [1]).result()
        before = set(client.run(os.getpid).values())
        os.kill(worker, signal.SIGKILL)
        tasks.wait_until(lambda: not files.is_alive(beside))
        results = list(ordered_map(pool, tasks.work, [[1], [2]]))
        tasks.wait_until(lambda: len(client.nthreads()) == 2)
        after = set(client.run(os.getpid).values())

    assert results == [[10], [20]]
    assert before - after == {worker}


def test_an_error_on_a_worker_is_raised_and_names_the_worker(dask: Cluster) -> None:
    with (
        dask_cluster.connect_workers(dask.address, tasks.same_code) as pool,
        pytest.raises(ImagesetError, match=r"^the Dask worker on .*: photo 7 is bad"),
    ):
        list(ordered_map(pool, tasks.work, [[1], ["raise"], [2]]))


def test_workers_that_would_make_other_bytes_are_refused(dask: Cluster) -> None:
    with (
        dask_cluster.connect_workers(dask.address, tasks.other_code) as pool,
        pytest.raises(ImagesetError, match=r"Dask worker on .*: its code or libraries differ.*\(code \d+\): check out"),
    ):
        list(ordered_map(pool, tasks.work, [[1]]))


def test_a_carried_file_becomes_a_copy_where_it_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there"))
    (tmp_path / "weights").write_bytes(b"weights")
    sent = pickle.dumps(carry_file(tmp_path / "weights"))
    (tmp_path / "weights").unlink()
    (arrived,) = (tmp_path / "there").glob("*/*") if (path := pickle.loads(sent)).exists() else []

    assert (path, path.read_bytes()) == (arrived, b"weights")

    path.write_bytes(b"other weights")

    assert pickle.loads(sent).read_bytes() == b"weights"
    assert pickle.loads(pickle.dumps(path)) == path


def refuse(*arguments: Any) -> None:
    raise AssertionError("this process does the work of the workers")


def test_a_search_on_a_cluster_finds_the_same(dask: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_pool, "FEW_PHOTOS", 0)
    monkeypatch.setattr(candidates, "HASHES_AT_ONCE", 20 * len(VIEWS))
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    expected, _ = search(None, know(EVERY))
    monkeypatch.setenv("IMAGESET_DASK", dask.address)
    for module, name in (
        (candidates, "hash_with_signs"),
        (candidates, "hash_windows"),
        (near_duplicates, "aligned_likeness"),
    ):
        monkeypatch.setattr(module, name, refuse)
    cold, _ = search(tmp_path / "near_duplicates", know(EVERY))
    (tmp_path / "fewer").mkdir()
    search(tmp_path / "fewer/near_duplicates", know(EVERY[2:]))
    warm, memory = search(tmp_path / "fewer/near_duplicates", know(EVERY))

    assert len(expected) > 0
    assert cold == expected
    assert (warm, memory.new) == (expected, 2)


def test_workers_copy_the_content_of_files_from_each_other(dask: Cluster, tmp_path: Path) -> None:
    """A path would be of one worker's own copy, which other machines do not have."""
    (tmp_path / "weights").write_bytes(b"weights of a network")
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        results = list(ordered_map(pool, partial(tasks.read, path=carry_file(tmp_path / "weights")), [[1, 2]]))

        assert b"weights of a network" in pool.scattered[1].result()

    assert results == [[b"weights of a network"] * 2]


def predict(images: list[Image.Image], network: Network) -> list[tuple[str, bytes]]:
    """Return the name of the weights' file and the mask of each image."""
    return [(network.weights.name, background.predict_mask(image, network).tobytes()) for image in images]


def test_a_network_in_a_zip_predicts_on_workers(dask: Cluster, weights: Path, tmp_path: Path) -> None:
    """Its copy there has another name."""
    network = Network("u2netp", write_quantized(weights, tmp_path / "u2netp.zip"), 64, "int8")
    image = draw.draw("t-shirt", 3).resize((180, 240))
    (expected,) = predict([image], network)
    sent = partial(predict, network=network._replace(weights=carry_file(network.weights)))
    with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
        ((made,),) = list(ordered_map(pool, sent, [[image]]))

    assert made == (files.sha256(network.weights), expected[1])


def calculate(
    address: str, seconds: float, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None] = lambda: None
) -> list[list[int | Lost]]:
    """Return a cluster's results for one number; every wait is at most some seconds long."""
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_CONNECT", seconds)
    monkeypatch.setattr(dask_cluster, "SECONDS_WITHOUT_WORKERS", seconds)
    with dask_cluster.connect_workers(address, tasks.same_code) as pool:
        meanwhile()
        return list(ordered_map(pool, tasks.work, [[1]]))


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        calculate("tcp://127.0.0.1:9", 0.5, monkeypatch)


@pytest.mark.parametrize("asks", ["result", "slots"])
def test_a_scheduler_that_falls_silent_ends_the_run(asks: str, dask: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_CONNECT", 5)  # also to close
    monkeypatch.setattr(dask_cluster, "SECONDS_WITHOUT_WORKERS", 2)
    monkeypatch.setattr(dask_cluster, "SECONDS_FOR_AN_ANSWER", 1)
    monkeypatch.setattr(dask_cluster, "SECONDS_BETWEEN_COUNTS", 0)

    def ask(pool: dask_cluster.DaskWorkers) -> object:
        return pool.submit(tasks.work, [2]).result() if asks == "result" else pool.slots

    with Proxy.before(dask.address) as proxy, connect_workers(proxy.replace(dask.address), tasks.same_code) as pool:
        assert pool.submit(tasks.work, [1]).result() == [10]
        assert pool.slots
        proxy.drop_now()
        with pytest.raises(ServerError, match="the Dask scheduler has not answered for 1 s: look at it"):
            ask(pool)


@pytest.mark.faults_only
def test_a_cluster_that_loses_one_worker_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function whose last copy is lost with a worker is sent again; a cluster without workers is an error.

    The scheduler deletes the copies that no chunk waits for, every two seconds unless set otherwise.
    """
    settings = {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__INTERVAL": "50ms"}
    with running(tmp_path, 2, 0, settings) as dask:
        with dask_cluster.connect_workers(dask.address, tasks.same_code) as pool:
            client: Any = pool.client  # not typed
            results = [pool.submit(tasks.work, [1]).result()]
            pids = client.run(os.getpid)
            while len(holders := client.who_has([pool.scattered[1]])[pool.scattered[1].key]) > 1:
                time.sleep(0.05)
            lost, left = sorted(dask.workers, key=lambda worker: worker.pid != pids[holders[0]])
            lost.kill()
            lost.wait()
            results.append(pool.submit(tasks.work, [2]).result())

        assert results == [[10], [20]]

        with pytest.raises(ServerError, match="has no workers or no scheduler any more"):
            calculate(dask.address, 2, monkeypatch, left.kill)
        with pytest.raises(ServerError, match="has no workers: start some"):
            calculate(dask.address, 0.5, monkeypatch)


def test_a_chunk_that_takes_every_worker_with_it_is_not_sent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = SimpleNamespace(ncores=lambda: {"tcp://another": 1})
    client: Any = SimpleNamespace(scheduler=scheduler, sync=lambda ask, callback_timeout: ask())
    pool = dask_cluster.DaskWorkers(client, tasks.same_code)
    sent: list[list[Any]] = []

    class Cancelled:
        def result(self, timeout: float) -> None:
            raise FutureCancelledError("chunk", "lost dependencies")

    def send(function: Any, items: list[Any]) -> Cancelled:
        sent.append(items)
        return Cancelled()

    monkeypatch.setattr(pool, "send", send)
    with pytest.raises(ServerError, match="lost workers over one batch 10 times: run again"):
        pool.submit(tasks.work, [1]).result()

    assert sent == [[1]] * dask_cluster.MAX_SENDS


@pytest.fixture
def project(in_project: Path, bucket: Bucket, edit_params: Edit) -> Path:
    """A project with photos whose background is removed, and small images."""
    edit_params("image_side: 128", "image_side: 16")
    edit_params("\n  side: null", "\n  side: 64")
    for number in range(PHOTOS):
        put(bucket, f"{number}.jpeg", photo_bytes(number))
    table, _ = inventory.choose_objects(list_objects(bucket), None)
    tables.write(in_project / "data/inventory.csv", tables.INVENTORY, table)
    return in_project


@pytest.fixture
def both_weights(weights: Path, embedding_weights: Path) -> tuple[Path, Path]:
    return weights, embedding_weights


def run_stages(project: Path, both_weights: tuple[Path, Path]) -> list[str]:
    """Run the stages that read photos and return the md5 of their outputs."""
    weights, embedding_weights = both_weights
    inventory_csv, masks_h5 = project / "data/inventory.csv", project / "data/masks.h5"
    int8 = ROOT / "models/u2netp-int8.zip"
    masks.main(inventory_csv, weights, int8, masks_h5, project / "data/masks.csv")
    embed.main(inventory_csv, embedding_weights, project / EMBEDDINGS)
    preprocess.main(inventory_csv, masks_h5, *(project / output for output in OUTPUTS))
    return [hashlib.md5((project / output).read_bytes()).hexdigest() for output in (*MASKS, EMBEDDINGS, *OUTPUTS)]


def test_the_stages_on_a_cluster_that_loses_a_worker_make_the_same_bytes(
    project: Path,
    both_weights: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGESET_CACHE", "local")
    expected = run_stages(project, both_weights)
    settings = {"PYTHONPATH": str(ROOT), "IMAGE_STORE": os.environ["IMAGE_STORE"]}
    masked: list[str] = []
    embedded: list[str] = []
    squared: list[str] = []
    with running(tmp_path_factory.mktemp("dask"), 2, 0, settings) as dask:

        def lose_a_worker(cache: MaskCache, stored: StoredObject, made: PhotoMask | Rejected) -> None:
            if not masked:
                dask.workers[0].kill()
            masked.append(stored.key)

        def note(cache: PixelCache, stored: StoredObject, *_: Any) -> None:
            squared.append(stored.key)

        def note_embedding(cache: EmbeddingCache, stored: StoredObject, made: PhotoEmbedding | Rejected) -> None:
            embedded.append(stored.key)

        monkeypatch.setattr(MaskCache, "add", lose_a_worker)
        monkeypatch.setattr(EmbeddingCache, "add", note_embedding)
        monkeypatch.setattr(PixelCache, "add", note)
        monkeypatch.setenv("IMAGESET_CACHE", "remote")
        monkeypatch.setenv("IMAGESET_DASK", dask.address)
        made = run_stages(project, both_weights)
        ended = dask.workers[0].wait(10)

    assert (ended, len(masked), len(embedded), len(squared)) == (-signal.SIGKILL, PHOTOS, PHOTOS, PHOTOS)
    assert made == expected


@pytest.mark.faults_only
def test_a_worker_with_other_code_for_masks_is_refused_before_it_gets_a_photo(
    project: Path,
    both_weights: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its package of the module that prepares photos for the network differs."""
    there = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "imageset", there / "imageset")
    with (there / "imageset/photos/background.py").open("a") as module:
        module.write("\nCHANGED = 1\n")
    settings = {"PYTHONPATH": str(there), "IMAGE_STORE": os.environ["IMAGE_STORE"]}
    with running(tmp_path_factory.mktemp("dask"), 1, 0, settings) as dask:
        monkeypatch.setenv("IMAGESET_DASK", dask.address)
        with pytest.raises(ImagesetError, match=r"Dask worker on .*: its code or libraries differ.*background\.py"):
            run_stages(project, both_weights)

    assert not (project / MASKS[0]).exists()
