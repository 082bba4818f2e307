"""A Dask cluster where workers or the scheduler die or stall, or that has other code: stage preprocess ends with the
bytes of this machine alone, or with one line and without outputs.
"""

import hashlib
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from imageset.errors import ImagesetError
from imageset.formats import tables
from imageset.photos.outcomes import Rejected
from imageset.photos.pixel_cache import PixelCache
from imageset.photos.preprocess import DecodedPhoto
from imageset.storage.bucket import Bucket, StoredObject, list_objects
from imageset.workers import dask_cluster
from sandbox.cluster import Cluster, running
from stages import inventory, preprocess
from tests.conftest import jpeg, plain_image, put
from tests.faults.trials import Trials
from tests.project import ROOT

Edit = Callable[[str, str], None]

PHOTOS = 24
OUTPUTS = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")
GONE = "the Dask cluster has no workers or no scheduler any more"
SILENT = "the Dask scheduler has not answered for 6 s"
SETTINGS = {"PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}  # 5 minutes unless set


class Fault(NamedTuple):
    """What happens to a cluster of two workers, and the line that the stage ends with; "" where it goes on."""

    signal: signal.Signals
    at: Callable[[Cluster], list[subprocess.Popen[bytes]]]
    line: str


FAULTS = {
    "a worker dies": Fault(signal.SIGKILL, lambda cluster: cluster.workers[:1], ""),
    "a worker stalls": Fault(signal.SIGSTOP, lambda cluster: cluster.workers[:1], ""),
    "all workers die": Fault(signal.SIGKILL, lambda cluster: cluster.workers, GONE),
    "all workers stall": Fault(signal.SIGSTOP, lambda cluster: cluster.workers, GONE),
    "the scheduler dies": Fault(signal.SIGKILL, lambda cluster: [cluster.scheduler], GONE),
    "the scheduler stalls": Fault(signal.SIGSTOP, lambda cluster: [cluster.scheduler], SILENT),
}
AFTER = (1, 9, 17)  # photos: in the first, the second and the last batches


@pytest.fixture
def project(in_project: Path, bucket: Bucket, edit_params: Edit, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with photos whose backgrounds are kept, in batches of two, and short waits."""
    edit_params("background: remove", "background: keep")
    edit_params("image_side: 128", "image_side: 16")
    for number in range(PHOTOS):
        put(bucket, f"{number}.jpeg", jpeg(plain_image((9 * number, 0, 0))))
    table, _ = inventory.choose_objects(list_objects(bucket), None)
    tables.write(in_project / "data/inventory.csv", tables.INVENTORY, table)
    monkeypatch.setattr(preprocess, "PHOTOS_AT_ONCE", 2)
    monkeypatch.setattr(dask_cluster, "SECONDS_TO_CONNECT", 8)
    monkeypatch.setattr(dask_cluster, "SECONDS_WITHOUT_WORKERS", 6)
    monkeypatch.setattr(dask_cluster, "SECONDS_FOR_AN_ANSWER", 6)
    return in_project


def run(project: Path) -> list[str]:
    """Run stage preprocess, without its outputs as DVC does, and return their md5."""
    data = project / "data"
    for name in OUTPUTS:
        (data / name).unlink(missing_ok=True)
    preprocess.main(data / "inventory.csv", project / "no masks", *(data / name for name in OUTPUTS))
    return [hashlib.md5((data / name).read_bytes()).hexdigest() for name in OUTPUTS]


def end(project: Path) -> str:
    """Run stage preprocess and return the line that it ends with, "" where it succeeds. Then it leaves nothing."""
    said = ""
    try:
        run(project)
    except ImagesetError as error:
        said = str(error)
    if said:
        assert [path.name for path in (project / "data").iterdir()] == ["inventory.csv"]
        assert "\n" not in said
    return said


@pytest.mark.faults_only
@pytest.mark.fault("Dask", "workers or the scheduler die or stall, at three moments", "SIGKILL, SIGSTOP")
def test_the_stage_ends_with_the_same_bytes_or_with_a_line(
    trials: Trials, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGESET_CACHE", "local")
    undisturbed = run(project)
    cases = [(name, after) for after in AFTER for name in FAULTS]
    for number, (name, after) in enumerate(trials.choose(cases, sample=1)):
        fault = FAULTS[name]
        monkeypatch.setenv("IMAGESET_CACHE", f"cache {number}")
        with running(tmp_path / f"dask {number}", 2, 0, SETTINGS) as cluster, monkeypatch.context() as patch:
            patch.setenv("IMAGESET_DASK", cluster.address)
            fell = inject(fault, cluster, after, patch)
            with trials.trial(f"{name} after {after} photos"):
                said = end(project)
                assert fell, "the fault was not injected"
                assert said.startswith(fault.line)
                assert bool(said) == bool(fault.line)
            for process in [*cluster.workers, cluster.scheduler]:
                process.kill()  # a stopped one ignores SIGTERM
        # What was made is kept, whatever happened: the same bytes come of it without the cluster.
        with trials.trial(f"again, after that {name} after {after} photos"):
            assert run(project) == undisturbed


def inject(
    fault: Fault, cluster: Cluster, after: int, monkeypatch: pytest.MonkeyPatch
) -> list[subprocess.Popen[bytes]]:
    """Send the signal when so many photos have arrived. Return whom it was sent to, an empty list before."""
    fell: list[subprocess.Popen[bytes]] = []
    arrived: list[str] = []
    add = PixelCache.add

    def add_then_fall(
        cache: PixelCache, stored: StoredObject, mask: bytes | None, made: DecodedPhoto | Rejected, from_alpha: bool
    ) -> None:
        add(cache, stored, mask, made, from_alpha)
        arrived.append(stored.key)
        if len(arrived) == after:
            fell.extend(fault.at(cluster))
            for process in fell:
                process.send_signal(fault.signal)

    monkeypatch.setattr(PixelCache, "add", add_then_fall)
    return fell


@pytest.mark.fault("Dask", "a worker has other code", "a changed copy of the code")
def test_a_worker_with_other_code_is_refused_before_it_gets_a_photo(
    trials: Trials, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in trials.choose(("decode", "pixels", "preprocess"), sample=1):
        there = tmp_path / module
        shutil.copytree(ROOT / "imageset", there / "imageset", ignore=shutil.ignore_patterns("__pycache__"))
        with (there / f"imageset/photos/{module}.py").open("a") as file:
            file.write("\nCHANGED = 1\n")
        with running(tmp_path / f"dask {module}", 1, 0, {"PYTHONPATH": str(there)}) as cluster:
            monkeypatch.setenv("IMAGESET_DASK", cluster.address)
            with trials.trial(module):
                assert f"{module}.py" in (said := end(project))
                assert "its code or libraries differ and would make other bytes" in said
